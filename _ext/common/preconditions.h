/* What holds of the arguments of each kernel: the Cython entries check it, and raise; debug builds assert it here.
 *
 * No pointer is followed, and no number looked at. What is out of range here would be read or written out of bounds.
 */
#ifndef LRP_PRECONDITIONS_H
#define LRP_PRECONDITIONS_H

#include "common/phases.h"

static inline void check_window(const lrp_window *w) {
    LRP_ASSERT(w->groups >= 1 && w->lower >= 1 && w->upper >= 1);
    LRP_ASSERT(w->products >= 1 && w->products <= LRP_MOST_PRODUCTS);
    for (int axis = 0; axis < 3; axis++)
        LRP_ASSERT(w->kernel[axis] >= 1 && w->stride[axis] >= 1 && w->dilation[axis] >= 1);
}

/* A window that Winograd's algorithm serves. */
static inline void check_plain_window(const lrp_window *w) {
    LRP_ASSERT(w->groups == 1 && w->kernel[0] == 1 && w->kernel[1] == 3 && w->kernel[2] == 3);
    LRP_ASSERT(w->stride[0] * w->stride[1] * w->stride[2] == 1);
    LRP_ASSERT(w->dilation[1] * w->dilation[2] == 1);
}

/* An input whose parts fit a window of `groups` groups of `lower` channels. */
static inline void check_source(const lrp_source *s, const lrp_window *w) {
    LRP_ASSERT(s->samples >= 0 && s->channels >= 1 && s->groups == w->groups && s->channels % s->groups == 0);
    LRP_ASSERT(s->parts >= 1 && s->parts <= LRP_MOST_PARTS && s->channels * s->parts == w->lower * w->groups);
    for (int axis = 0; axis < 3; axis++) LRP_ASSERT(s->cells[axis] >= 0); /* a scatter pads by itself */
    for (int p = 0; p < s->parts; p++) {
        LRP_ASSERT(s->part[p].feature >= LRP_COPY && s->part[p].feature <= LRP_OVER);
        LRP_ASSERT(s->part[p].feature < LRP_MINUS || s->part[p].operand);
        LRP_ASSERT(s->part[p].x_cell == 0 || s->part[p].x_cell >= s->channels);
        LRP_ASSERT(s->part[p].repeat >= 1 && s->samples % s->part[p].repeat == 0);
    }
}

static inline void check_epilogue(const lrp_epilogue *f) {
    LRP_ASSERT(f->channels >= 1 && f->products >= 1 && f->products <= LRP_MOST_PRODUCTS);
    LRP_ASSERT(f->givens >= 0 && f->givens <= f->products);
    LRP_ASSERT(f->shares >= 0 && f->shares <= LRP_MOST_SHARES);
    LRP_ASSERT(f->bias_pixels >= 0 && (f->output_step == 0 || f->output_step >= f->channels));
    LRP_ASSERT(f->odd || !f->shares);
    for (int q = 0; q < f->shares; q++) {
        LRP_ASSERT(f->share[q].product >= (f->share[q].half ? 1 : -1) && f->share[q].product < f->products);
        LRP_ASSERT(f->share[q].factor && f->share[q].where >= LRP_ALL && f->share[q].where <= LRP_NEGATIVE_ONLY);
    }
}

static inline void check_pool(const lrp_pool *p, const void *winner, int bytes) {
    LRP_ASSERT(p->samples >= 0 && p->channels >= 1 && p->repeat >= 1 && p->samples % p->repeat == 0);
    LRP_ASSERT(!winner || bytes == 1 || bytes == 4);
    for (int axis = 0; axis < 3; axis++) {
        LRP_ASSERT(p->cells[axis] >= 0 && p->out[axis] >= 0);
        LRP_ASSERT(p->kernel[axis] >= 1 && p->stride[axis] >= 1 && p->dilation[axis] >= 1);
    }
    LRP_ASSERT(!winner || bytes == 4 || p->kernel[0] * p->kernel[1] * p->kernel[2] < 256);
}

static inline void check_dense(const lrp_dense *d) {
    LRP_ASSERT(d->samples >= 0 && d->lower >= 0 && d->upper >= 0);
    LRP_ASSERT(!d->mask || (d->repeat >= 1 && d->samples % d->repeat == 0));
}

static inline void check_account(const lrp_account *a) {
    LRP_ASSERT(a->samples >= 0 && a->targets >= 0 && a->cells >= 0 && a->channels >= 0 && a->columns);
    LRP_ASSERT(a->message_cell >= a->channels && (!a->output || a->output_cell >= a->channels));
    LRP_ASSERT(a->output || !a->quotient);
    LRP_ASSERT(a->shares >= 0 && a->shares <= LRP_MOST_SHARES);
    for (int q = 0; q < a->shares; q++) {
        LRP_ASSERT(a->share[q].factor && (a->share[q].sign == 1 || a->share[q].sign == -1));
        LRP_ASSERT(a->share[q].size || a->share[q].alike || (a->share[q].tilt > 0 && a->output));
    }
}

static inline void check_lstm(const lrp_lstm *m, const lrp_lstm_pass *p) {
    LRP_ASSERT(m->directions >= 1 && m->directions <= 2 && m->features >= 1 && m->hidden >= 1);
    LRP_ASSERT(p->samples >= 0 && p->steps >= 1 && p->targets >= 0);
    LRP_ASSERT(p->returns >= LRP_LAST && p->returns <= LRP_CELL);
    LRP_ASSERT((p->rule.product == LRP_SIGNAL) == !m->all_gates); /* what the prepared weights are for */
}

static inline void check_pointwise(const lrp_pointwise *p) {
    LRP_ASSERT(p->function >= LRP_RELU && p->function < LRP_FUNCTIONS);
    LRP_ASSERT(p->axes >= 1 && p->axes <= LRP_MOST_AXES && p->operands >= 1 && p->operands <= LRP_MOST_OPERANDS);
    for (int axis = 0; axis < p->axes; axis++) LRP_ASSERT(p->extent[axis] >= 1);
}

#endif
