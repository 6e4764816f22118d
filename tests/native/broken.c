/* Breaks a precondition of each family of kernels: each must abort with file and line (tests/native/sanitize.sh). */
#include "lrp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined(LRP_DEBUG)
#error "assertions are off: build with -DLRP_DEBUG"
#endif

static float x[4096], y[4096], w[4096];
static double columns[LRP_COLUMNS];

static lrp_convolution convolution(void) {
    lrp_convolution c = {.window = {.groups = 1, .lower = 4, .upper = 8, .products = 1, .kernel = {1, 3, 3},
                                    .stride = {1, 1, 1}, .dilation = {1, 1, 1}},
                         .algorithm = LRP_DIRECT, .weight = {w}, .weight_stride = {{0, 36, 9, 9, 3, 1}}};
    return c;
}

static void no_products(const lrp_kernels *k) {
    lrp_convolution c = convolution();
    c.window.products = 0;
    k->convolution_bytes(&c);
}

static void strided_winograd(const lrp_kernels *k) {
    lrp_convolution c = convolution();
    c.algorithm = LRP_F2;
    c.window.stride[2] = 2;
    k->convolution_bytes(&c);
}

static void channels_that_do_not_fit(const lrp_kernels *k) {
    const idx out[3] = {1, 4, 4};
    lrp_convolution c = convolution();
    lrp_source s = {.samples = 1, .cells = {1, 6, 6}, .channels = 5, .groups = 1, .padded = {1, 6, 6}, .parts = 1};
    lrp_epilogue f = {.channels = 8, .products = 1, .raw = {y}};
    s.part[0] = (lrp_part){.x = x, .repeat = 1};
    c.panels = lrp_allocate_exactly((size_t)k->convolution_bytes(&c));
    k->convolution_prepare(&c, 1);
    k->convolution_run(&c, &s, out, &f, 1);
}

static void share_of_no_product(const lrp_kernels *k) {
    const void *products[LRP_MOST_PRODUCTS] = {x};
    int odd = 0;
    lrp_epilogue f = {.channels = 8, .products = 1, .output = y, .shares = 1, .odd = &odd};
    f.share[0] = (lrp_share){.product = 1, .coefficient = 1, .factor = w};
    k->epilogue_arrays(&f, products, 4, 1);
}

static void mask_that_does_not_repeat(const lrp_kernels *k) {
    lrp_dense d = {.x = x, .weight = w, .mask = x, .y = y, .samples = 3, .lower = 4, .upper = 4, .repeat = 2};
    k->dense(&d, 1);
}

static void winners_of_two_bytes(const lrp_kernels *k) {
    const lrp_pool p = {.samples = 1, .channels = 4, .cells = {1, 4, 4}, .out = {1, 2, 2}, .kernel = {1, 2, 2},
                        .stride = {1, 2, 2}, .dilation = {1, 1, 1}, .repeat = 1};
    k->pool(&p, x, y, w, 2, 1);
}

static void ratio_without_output(const lrp_kernels *k) {
    const lrp_account a = {.samples = 1, .targets = 1, .cells = 1, .channels = 4, .quotient = 1, .message = x,
                           .message_cell = 4, .columns = columns};
    k->account(&a, 1);
}

static void rule_of_other_weights(const lrp_kernels *k) {
    const lrp_lstm m = {.directions = 1, .features = 4, .hidden = 4, .panels = w};
    lrp_lstm_pass p = {.samples = 1, .steps = 1, .targets = 1, .x = x, .output = y};
    p.rule.product = LRP_HALF;
    k->lstm_forward(&m, &p, 1);
}

static void no_axes(const lrp_kernels *k) {
    const lrp_pointwise p = {.function = LRP_RELU, .operands = 1, .x = {x}, .y = y};
    k->pointwise(&p, 1);
}

static void empty_groups(const lrp_kernels *k) {
    const lrp_norm n = {.rows = 1, .width = 0, .period = 1, .x = x, .y = y};
    k->norm(&n, 1);
}

static void no_threads(const lrp_kernels *k) {
    (void)k;
    lrp_parallel(1, 0, NULL, NULL);
}

/* Whether a child that does this aborts, and says why. */
static int aborts(const char *name, void (*broken)(const lrp_kernels *)) {
    int pipes[2], status;
    char said[256] = "";
    if (pipe(pipes)) return 0;
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        broken(lrp_choose(NULL, 0));
        _exit(0);
    }
    close(pipes[1]);
    if (read(pipes[0], said, sizeof said - 1) < 0) return 0;
    close(pipes[0]);
    waitpid(child, &status, 0);
    const int right = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, "precondition broken: ");
    printf("%s%s: %s", right ? "" : "NOT REFUSED ", name, right ? said : "\n");
    return right;
}

int main(void) {
    int right = 1;
#define ABORTS(broken) right &= aborts(#broken, broken)
    ABORTS(no_products);
    ABORTS(strided_winograd);
    ABORTS(channels_that_do_not_fit);
    ABORTS(share_of_no_product);
    ABORTS(mask_that_does_not_repeat);
    ABORTS(winners_of_two_bytes);
    ABORTS(ratio_without_output);
    ABORTS(rule_of_other_weights);
    ABORTS(no_axes);
    ABORTS(empty_groups);
    ABORTS(no_threads);
    return !right;
}
