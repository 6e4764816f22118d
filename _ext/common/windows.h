/* Pooling windows along one axis: the same for every element type and instruction set. */
#ifndef LRP_WINDOWS_H
#define LRP_WINDOWS_H

#include "common/geometry.h"

/* Elements of an item of pooling: some microseconds; less is not worth waking a thread for. */
enum { POOL_ELEMENTS = 32768 };

/* What one window sees, along each axis: taps [first, last) of it lie in the input, tap t at cell at + t * dilation. */
typedef struct {
    idx at[3], first[3], last[3];
} lrp_clipped_window;

static inline void clip_window(const lrp_pool *p, lrp_clipped_window *clip, int axis, idx window) {
    const idx at = window * p->stride[axis] - p->before[axis], step = p->dilation[axis], cells = p->cells[axis];
    clip->at[axis] = at;
    clip->first[axis] = at < 0 ? ceil_div(-at, step) : 0;
    clip->last[axis] = cells > at ? min_idx(p->kernel[axis], ceil_div(cells - at, step)) : 0;
}

/* Which windows see a cell: pairs [begin[cell], begin[cell + 1]), by rising tap. */
typedef struct {
    idx tap, window;
} lrp_pair;

typedef struct {
    idx *begin;
    lrp_pair *pair;
} lrp_tap_map;

/* Each window and tap is one pair at the most. One block of memory, which begins at `begin`. */
static int map_taps(const lrp_pool *p, int axis, lrp_tap_map *map) {
    const idx cells = p->cells[axis], taps = p->kernel[axis], stride = p->stride[axis], step = p->dilation[axis];
    idx found = 0, bytes;
    if (__builtin_mul_overflow(p->out[axis], taps, &bytes) ||
        __builtin_mul_overflow(bytes, (idx)sizeof(lrp_pair), &bytes))
        return LRP_NO_MEMORY;
    map->begin = lrp_allocate((size_t)(cells + 1) * sizeof(idx) + (size_t)bytes);
    if (!map->begin) return LRP_NO_MEMORY;
    map->pair = (lrp_pair *)(map->begin + cells + 1);
    for (idx cell = 0; cell < cells; cell++) {
        const idx at = cell + p->before[axis], far = at - (taps - 1) * step;
        map->begin[cell] = found;
        if (at < 0) continue;
        for (idx o = min_idx(p->out[axis] - 1, at / stride); o >= 0 && o * stride >= far; o--)
            if ((at - o * stride) % step == 0)
                map->pair[found++] = (lrp_pair){.tap = (at - o * stride) / step, .window = o};
    }
    map->begin[cells] = found;
    LRP_ASSERT(found <= p->out[axis] * taps);
    return LRP_OK;
}

#endif
