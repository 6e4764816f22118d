/* The phases of a scatter, along one axis (scatter.inc): the same for every element type and instruction set. */
#ifndef LRP_PHASES_H
#define LRP_PHASES_H

#include "common/geometry.h"

/* Boxes of cells, where the taps of a scatter are stacked (conv_narrow_adjoint.inc); no number depends on them. */
enum { BOX_ROWS = 32, BOX_WIDTH = 256, MOST_COLUMNS = 4096 };

static inline idx common_divisor(idx a, idx b) {
    while (b) {
        const idx rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Taps first, first + every, ...: `count` of them. Each is `step` cells of s before the one before it. */
typedef struct {
    idx first, every, count, step;
} lrp_taps;

static inline lrp_taps phase_taps(const lrp_window *w, int axis, idx first) {
    const idx divisor = common_divisor(w->stride[axis], w->dilation[axis]), every = w->stride[axis] / divisor;
    const idx count = ceil_div(w->kernel[axis] - first, every), step = w->dilation[axis] / divisor;
    return (lrp_taps){.first = first, .every = every, .count = count, .step = step};
}

/* How many phases have taps, along an axis and in all; a flat phase index decomposed into one for each axis, which
 * is its first tap there. */
static inline idx axis_phases(const lrp_window *w, int axis) {
    return min_idx(w->kernel[axis], w->stride[axis] / common_divisor(w->stride[axis], w->dilation[axis]));
}

static inline idx phases_of(const lrp_window *w) { return axis_phases(w, 0) * axis_phases(w, 1) * axis_phases(w, 2); }

static inline idx phase_on(const lrp_window *w, idx phase, int axis) {
    for (int behind = 2; behind > axis; behind--) phase /= axis_phases(w, behind);
    return phase % axis_phases(w, axis);
}

/* The first cell that is seen through tap `first` and those like it. */
static inline idx phase_start(const lrp_window *w, int axis, idx first, idx before) {
    const idx stride = w->stride[axis], place = (first * w->dilation[axis] - before) % stride;
    return place < 0 ? place + stride : place;
}

#endif
