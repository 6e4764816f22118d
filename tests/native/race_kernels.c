/* The kernels with several threads, for ThreadSanitizer (which wants a program and not an interpreter):
 * tests/native/sanitize.sh.
 *
 * Each kernel runs with one thread and with three, for several instruction sets; what they give must be the same. The
 * sizes are small, but make several items of everything.
 */
#include "lrp.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 18 };

static float x[MOST], weight[MOST], factor[MOST], one[4][MOST], three[4][MOST];
static int odd; /* what the epilogue says of denominators */
static uint8_t winner[2][MOST];
static int wrong;

static void compare(const char *what, const char *set, const void *a, const void *b, size_t bytes) {
    if (memcmp(a, b, bytes)) {
        printf("%s, %s: threads change bits\n", what, set);
        wrong = 1;
    }
}

static lrp_source image(idx samples, idx height, idx width, idx channels, idx groups, enum lrp_feature feature) {
    lrp_source s = {
        .samples = samples, .cells = {1, height, width}, .channels = channels, .groups = groups, .parts = 1};
    s.part[0] = (lrp_part){.x = x, .feature = feature, .operand = factor, .operand_cell = channels,
                             .operand_channel = 1, .operand_sample = height * width * channels, .repeat = 1};
    return s;
}

static void reach(lrp_source *s, const lrp_window *w, const idx out[3]) {
    for (int i = 0; i < 3; i++) s->padded[i] = (out[i] - 1) * w->stride[i] + (w->kernel[i] - 1) * w->dilation[i] + 1;
}

static void strides(const lrp_window *w, idx to[6]) {
    const idx extents[6] = {w->groups, w->upper, w->lower, w->kernel[0], w->kernel[1], w->kernel[2]};
    for (int i = 5, step = 1; i >= 0; step *= (int)extents[i--]) to[i] = step;
}

static void convolutions(const lrp_kernels *k, idx groups, idx lower, idx upper, idx stride,
                         enum lrp_algorithm algorithm) {
    const idx out[3] = {1, 40 / stride, 40 / stride};
    lrp_convolution c = {
        .window = {.groups = groups, .lower = lower, .upper = upper, .products = 2,
                   .kernel = {1, 3, 3}, .stride = {1, stride, stride}, .dilation = {1, 1, 1}},
        .algorithm = algorithm, .weight = {weight, weight + 5}};
    strides(&c.window, c.weight_stride[0]);
    strides(&c.window, c.weight_stride[1]);
    c.panels = lrp_allocate_exactly((size_t)k->convolution_bytes(&c));
    lrp_source s = image(2, 40, 40, groups * lower, groups, LRP_POSITIVE);
    s.before[1] = s.before[2] = 1;
    reach(&s, &c.window, out);
    for (int threads = 1; threads <= 3; threads += 2) {
        float(*to)[MOST] = threads == 1 ? one : three;
        lrp_epilogue f = {.channels = groups * upper,
                          .products = 2,
                          .rectified = 1,
                          .quotient = 1,
                          .output = to[0],
                          .shares = 1,
                          .odd = &odd,
                          .raw = {to[1], to[2]}};
        f.share[0] = (lrp_share){
            .product = 1, .stabiliser = LRP_SIGNED, .epsilon = 1e-3, .where = LRP_ALL,
            .coefficient = 1, .factor = to[3]};
        k->convolution_prepare(&c, threads);
        k->convolution_run(&c, &s, out, &f, threads);
    }
    for (int i = 0; i < 4; i++)
        compare("convolution", k->instruction_set, one[i], three[i],
                (size_t)(2 * out[1] * out[2] * groups * upper) * 4);
    lrp_release(c.panels);
}

static void scatters(const lrp_kernels *k, idx lower, idx upper, idx stride) {
    const idx before[3] = {0, 1, 1}, spatial[3] = {1, 30 * stride, 30 * stride};
    lrp_scatter s = {
        .window = {.groups = 1, .lower = lower, .upper = upper, .products = 2,
                   .kernel = {1, 3, 3}, .stride = {1, stride, stride}, .dilation = {1, 1, 1}},
        .weight = {weight, weight + 3}};
    strides(&s.window, s.weight_stride[0]);
    strides(&s.window, s.weight_stride[1]);
    s.panels = lrp_allocate_exactly((size_t)k->scatter_bytes(&s));
    s.phases = lrp_allocate_exactly((size_t)lrp_scatter_phases(&s.window) * sizeof(lrp_convolution));
    const lrp_source source = image(2, 30, 30, lower, 1, LRP_TIMES);
    for (int threads = 1; threads <= 3; threads += 2) {
        void *to[4] = {threads == 1 ? one[0] : three[0], threads == 1 ? one[1] : three[1]};
        k->scatter_prepare(&s, threads);
        k->scatter_run(&s, &source, before, spatial, to, threads);
    }
    for (int i = 0; i < 2; i++)
        compare("scatter", k->instruction_set, one[i], three[i], (size_t)(2 * spatial[1] * spatial[2] * upper) * 4);
    lrp_release(s.panels);
    lrp_release(s.phases);
}

static void dense(const lrp_kernels *k, idx samples, idx lower, idx upper) {
    for (int i = 0; i < 4; i++) {
        const int transposed = i % 2, masked = i / 2;
        lrp_dense r = {.x = x, .weight = weight, .transposed = transposed, .total = factor, .y = one[0],
                       .mask = masked ? factor + 1 : NULL, .samples = samples, .lower = lower, .upper = upper,
                       .repeat = 1};
        k->dense(&r, 1);
        r.y = three[0];
        k->dense(&r, 3);
        compare("dense", k->instruction_set, one[0], three[0], (size_t)(samples * upper) * 4);
    }
}

static void windows(const lrp_kernels *k, idx channels) {
    const lrp_pool p = {.samples = 2, .channels = channels, .cells = {1, 60, 60}, .out = {1, 30, 30},
                        .kernel = {1, 3, 3}, .stride = {1, 2, 2}, .dilation = {1, 1, 1}, .before = {0, 1, 1},
                        .repeat = 1};
    const size_t above = (size_t)(2 * 30 * 30 * channels), below = (size_t)(2 * 60 * 60 * channels);
    for (int threads = 1; threads <= 3; threads += 2) {
        float(*to)[MOST] = threads == 1 ? one : three;
        k->pool(&p, x, to[0], winner[threads > 1], 1, threads);
        k->pool(&p, x, to[1], NULL, 0, threads);
        k->unpool(&p, factor, to[2], winner[threads > 1], 1, threads);
        k->unpool(&p, factor, to[3], NULL, 0, threads);
    }
    compare("winners", k->instruction_set, winner[0], winner[1], above);
    for (int i = 0; i < 4; i++) compare("windows", k->instruction_set, one[i], three[i], (i < 2 ? above : below) * 4);
}

static void epilogues(const lrp_kernels *k, idx channels) {
    const idx pixels = MOST / channels;
    const void *products[4] = {x, weight};
    for (int threads = 1; threads <= 3; threads += 2) {
        float(*to)[MOST] = threads == 1 ? one : three;
        lrp_epilogue f = {
            .channels = channels, .products = 2, .bias = factor, .output = to[0], .shares = 1, .odd = &odd};
        f.share[0] = (lrp_share){.product = 1, .bias = factor, .stabiliser = LRP_EXACT, .where = LRP_NONNEGATIVE,
                                 .coefficient = 2, .factor = to[1]};
        k->epilogue_arrays(&f, products, pixels, threads);
    }
    for (int i = 0; i < 2; i++)
        compare("epilogue", k->instruction_set, one[i], three[i], (size_t)(pixels * channels) * 4);
}

static void finites(const lrp_kernels *k, idx channels) {
    static float numbers[MOST];
    memcpy(numbers, x, sizeof numbers);
    for (int odd = 0; odd < 2; odd++) {
        if (odd) for (int i = 0; i < MOST; i += 1000) numbers[i] = INFINITY;
        for (int threads = 1; threads <= 3; threads++)
            if (k->finite(numbers, MOST / channels, channels - 1, channels, threads) == odd) wrong = 1;
    }
}

int main(void) {
    const char *sets[] = {"x86-64-v4", "x86-64-v3", "baseline"};
    for (int i = 0; i < MOST; i++) {
        x[i] = (float)(i * 7919 % 1009) / 500 - 1;
        weight[i] = (float)(i * 104729 % 997) / 500 - 1;
        factor[i] = (float)(i % 101) / 50 - 1;
    }
    for (int i = 0; i < 3; i++) {
        const lrp_kernels *k = lrp_choose(sets[i], 0);
        convolutions(k, 1, 10, 40, 1, LRP_DIRECT);
        convolutions(k, 1, 10, 40, 2, LRP_DIRECT);
        convolutions(k, 2, 10, 20, 1, LRP_DIRECT);
        convolutions(k, 40, 1, 1, 1, LRP_DIRECT);
        convolutions(k, 1, 20, 40, 1, LRP_F2);
        convolutions(k, 1, 20, 40, 1, LRP_F4);
        scatters(k, 20, 3, 1);
        scatters(k, 20, 20, 2);
        dense(k, 1, 700, 300);
        dense(k, 40, 700, 300);
        windows(k, 3);
        windows(k, 20);
        epilogues(k, 3);
        epilogues(k, 40);
        finites(k, 3);
        finites(k, 40);
    }
    printf("threads change %s\n", wrong ? "bits" : "nothing");
    return wrong;
}
