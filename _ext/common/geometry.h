/* Where the cells of windows lie in memory: the same for every element type and instruction set. */
#ifndef LRP_GEOMETRY_H
#define LRP_GEOMETRY_H

#include "lrp.h"

#include <stdlib.h>

/* Sums of products are cut into chunks of so many, and the chunks added up: the rounding error of a long sum is that
 * of CHUNK terms and of the number of chunks, about half of it at some thousand terms. A chunk is a matter of the
 * order of the sum alone, never of blocks. */
enum { CHUNK = 128 };

/* How much memory the parts of a product work on at a time; no number depends on it. */
enum {
    SLAB_BYTES = 4 << 20,   /* of packed input, unless one row of windows needs more */
    ITEM_BYTES = 4 << 20,   /* of weights that the pixels of an item share */
    DEPTHWISE_ELEMENTS = 64 << 10, /* of input that an item of depthwise convolutions reads */
    /* of frequencies before and after their product: as much as there are weights, since these */
    BATCH_LEAST = 1 << 20,
    BATCH_MOST = 4 << 20,   /* are read once for each batch of tiles, but within L2 and not below LEAST_TILES */
    LEAST_TILES = 49,       /* fewer, and reading the weights takes longer than multiplying by them */
    RANGE_CHANNELS = 128,   /* of an item of outputs */
    SEGMENT_BYTES = 192 << 10, /* of outputs that are finished together */
};

static inline idx min_idx(idx a, idx b) { return a < b ? a : b; }
static inline idx max_idx(idx a, idx b) { return a > b ? a : b; }
static inline idx ceil_div(idx whole, idx part) { return (whole + part - 1) / part; }

/* The cells of a window in the order of the weights (tap after tap, channel after channel), as spans, none of which
 * crosses a chunk: chunk i is made of spans [begin[i], begin[i + 1]). */
typedef struct {
    lrp_span *span;
    idx *begin, chunks;
} lrp_spans;

static void append_spans(lrp_spans *r, idx *position, idx *count, idx offset, idx length) {
    while (length > 0) {
        const idx left = CHUNK - *position % CHUNK, n = min_idx(length, left);
        LRP_ASSERT(n >= 1);
        if (left == CHUNK) r->begin[(*position) / CHUNK] = *count;
        r->span[*count] = (lrp_span){.offset = offset, .length = n};
        *count += 1;
        *position += n;
        offset += n;
        length -= n;
    }
}

/* The spans of a window in an array with the given steps along its axes, in elements; `channels` of all groups. */
static int make_spans(lrp_spans *r, const lrp_window *w, const idx step[3]) {
    /* taps that lie side by side, and all channels of them, are one span */
    const int together = w->groups == 1 && w->dilation[2] == 1;
    const idx taps = w->kernel[0] * w->kernel[1] * w->kernel[2], depth = taps * w->lower;
    idx position = 0, count = 0;
    r->chunks = ceil_div(depth, CHUNK);
    r->span = malloc((size_t)(taps + r->chunks) * sizeof(lrp_span));
    r->begin = malloc((size_t)(r->chunks + 1) * sizeof(idx));
    if (!r->span || !r->begin) return LRP_NO_MEMORY;
    for (idx d = 0; d < w->kernel[0]; d++)
        for (idx h = 0; h < w->kernel[1]; h++) {
            const idx line = d * w->dilation[0] * step[0] + h * w->dilation[1] * step[1];
            for (idx t = 0; t < (together ? 1 : w->kernel[2]); t++)
                append_spans(r, &position, &count, line + t * w->dilation[2] * step[2],
                             together ? w->kernel[2] * w->lower : w->lower);
        }
    r->begin[r->chunks] = count;
    LRP_ASSERT(position == depth && count <= taps + r->chunks);
    return LRP_OK;
}

static void free_spans(lrp_spans *r) {
    free(r->span);
    free(r->begin);
}

/* Output pixels in order, as lines of pixels that lie at one step: line l of `count` begins at line_at(l). */
typedef struct {
    idx extent[4], step[4]; /* samples, depth, height, width; the last is the line */
    idx count;
} lrp_lines;

/* Neighbouring axes that lie at one step become one axis: then a line may be an image, or all of them. */
static lrp_lines make_lines(idx samples, const idx out[3], idx sample_step, const idx step[3]) {
    const idx extent[4] = {samples, out[0], out[1], out[2]}, steps[4] = {sample_step, step[0], step[1], step[2]};
    lrp_lines found = {.extent = {1, 1, 1, 1}, .count = 1};
    int at = 3;
    for (int axis = 3; axis >= 0; axis--) {
        if (extent[axis] == 1) continue;
        if (found.extent[at] == 1) {
            found.extent[at] = extent[axis];
            found.step[at] = steps[axis];
        } else if (steps[axis] == found.extent[at] * found.step[at]) {
            found.extent[at] *= extent[axis];
        } else {
            found.extent[--at] = extent[axis];
            found.step[at] = steps[axis];
        }
    }
    found.count = found.extent[0] * found.extent[1] * found.extent[2];
    return found;
}

static inline idx line_at(const lrp_lines *l, idx line) {
    LRP_ASSERT(line >= 0 && line < l->count);
    const idx inner = line % l->extent[2], rest = line / l->extent[2];
    return inner * l->step[2] + rest % l->extent[1] * l->step[1] + rest / l->extent[1] * l->step[0];
}

#endif
