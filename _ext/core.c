/* The C core of lrp_ref: one source, compiled for each instruction set and element type.
 *
 * The bodies (*.inc) are written with the compiler's vector types. This file includes them three times, for x86-64-v4
 * (AVX-512), x86-64-v3 (AVX2 and FMA) and the baseline that every processor of the platform has, and each time for
 * float and double. Which table of functions is used is decided when the module is loaded: one wheel serves all.
 */
#include "compiler.h"

idx lrp_scatter_phases(const lrp_window *w) { return phases_of(w); }

#if defined(__x86_64__)

#define SET v4
#define INSTRUCTION_SET "x86-64-v4"
#define VECTOR_BYTES 64
#define FUSES 1
#define TILE_ROWS 14 /* 28 accumulators, 2 vectors of weights: 30 of 32 registers */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))),                   \
                             apply_to = function)
#include "types.inc"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#include "types.inc"
#pragma GCC pop_options
#endif
#undef SET
#undef INSTRUCTION_SET
#undef VECTOR_BYTES
#undef FUSES
#undef TILE_ROWS

#define SET v3
#define INSTRUCTION_SET "x86-64-v3"
#define VECTOR_BYTES 32
#define FUSES 1
#define TILE_ROWS 6 /* 12 accumulators, 2 vectors of weights, 1 number of the input: 15 of 16 registers */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "types.inc"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#include "types.inc"
#pragma GCC pop_options
#endif
#undef SET
#undef INSTRUCTION_SET
#undef VECTOR_BYTES
#undef FUSES
#undef TILE_ROWS

#endif

/* On x86-64 the baseline serves processors without AVX2, which are older than 2013: it is compiled for size. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("Os")
#endif
#define SET baseline
#define INSTRUCTION_SET "baseline"
#define VECTOR_BYTES 16
#if defined(__aarch64__)
#define FUSES 1
#define TILE_ROWS 12 /* 24 accumulators, 2 vectors of weights, 3 of the input: 29 of 32 registers */
#else
#define FUSES 0
#define TILE_ROWS 6
#endif
#include "types.inc"
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* The best set that this processor has, and not above `most` (the name of a set, or NULL). */
const lrp_kernels *lrp_choose(const char *most, int is_double) {
    const lrp_kernels *floats[] = {
#if defined(__x86_64__)
        &kernels_v4_float, &kernels_v3_float,
#endif
        &kernels_baseline_float};
    const lrp_kernels *doubles[] = {
#if defined(__x86_64__)
        &kernels_v4_double, &kernels_v3_double,
#endif
        &kernels_baseline_double};
    const int count = sizeof(floats) / sizeof(floats[0]);
    int best = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    best = v3 ? 1 : 2;
    if (v4) best = 0;
#endif
    for (int i = best; most && i < count; i++)
        if (strcmp(most, floats[i]->instruction_set) == 0) best = i;
    return is_double ? doubles[best] : floats[best];
}
