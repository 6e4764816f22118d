/* What every body stands on: names for each element type and instruction set, and what the compiler is told. */
#ifndef LRP_COMPILER_H
#define LRP_COMPILER_H

#include "lrp.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* NAME(tile) is tile_v3_float, for example: the bodies are compiled once for each SET and T. */
#define JOIN_(name, set, type) name##_##set##_##type
#define JOIN(name, set, type) JOIN_(name, set, type)
#define NAME(name) JOIN(name, SET, T)

/* So that int parameters become constants, and loops over them unroll. */
#define FORCE_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#include "common/geometry.h"
#include "common/phases.h"
#include "common/preconditions.h"
#include "common/windows.h"
#include "conv/outside.h"
#include "elementwise/series.h"

#endif
