/* Taps that see nothing but padding, from all pixels of an item: their products are 0, and need not be made.
 *
 * The adjoint of a convolution with a tall or dilated kernel sees little else. Chunks of a sum that lie outside as a
 * whole are left out; adding their 0 changes no bit.
 */
#ifndef LRP_OUTSIDE_H
#define LRP_OUTSIDE_H

#include "common/geometry.h"

/* The windows of an item: from the first to the last on each axis. */
typedef struct {
    idx first[3], last[3];
} lrp_window_range;

/* Pixels [from, to) of samples with `out` windows, in order. */
static lrp_window_range window_range(const idx out[3], idx from, idx to) {
    lrp_window_range s = {.last = {out[0] - 1, out[1] - 1, out[2] - 1}};
    LRP_ASSERT(from >= 0 && from < to);
    idx inner = out[0] * out[1] * out[2], last = to - 1;
    if (from / inner != last / inner) return s;
    for (int axis = 0; axis < 3; axis++) {
        from %= inner;
        last %= inner;
        inner /= out[axis];
        s.first[axis] = from / inner;
        s.last[axis] = last / inner;
        if (s.first[axis] != s.last[axis]) break;
    }
    return s;
}

/* Whether taps [tap, tap + taps) on an axis see padding alone. */
static inline int taps_outside(const lrp_source *s, const lrp_window *w, const lrp_window_range *range, int axis,
                               idx tap, idx taps) {
    const idx last = range->last[axis] * w->stride[axis] + (tap + taps - 1) * w->dilation[axis] - s->before[axis];
    const idx first = range->first[axis] * w->stride[axis] + tap * w->dilation[axis] - s->before[axis];
    return last < 0 || first >= s->cells[axis];
}

/* Whether what a chunk sees, elements [from, to) of a window, is padding alone. */
static int chunk_outside(const lrp_source *s, const lrp_window *w, const lrp_window_range *range, idx from, idx to) {
    const int together = w->groups == 1 && w->dilation[2] == 1; /* as `make_spans` has it */
    const idx along = together ? 1 : w->kernel[2], length = together ? w->kernel[2] * w->lower : w->lower;
    LRP_ASSERT(from >= 0 && from < to);
    for (idx unit = from / length; unit <= (to - 1) / length; unit++) {
        const idx t = unit % along, h = unit / along % w->kernel[1], d = unit / along / w->kernel[1];
        if (!taps_outside(s, w, range, 0, d, 1) && !taps_outside(s, w, range, 1, h, 1) &&
            !taps_outside(s, w, range, 2, t, together ? w->kernel[2] : 1))
            return 0;
    }
    return 1;
}

/* 1 where looking for such chunks pays: an eighth of the padded input is padding. */
static int skipping_pays(const lrp_source *s) {
    const double padded = (double)s->padded[0] * (double)s->padded[1] * (double)s->padded[2];
    return padded > 1.125 * (double)s->cells[0] * (double)s->cells[1] * (double)s->cells[2];
}

#endif
