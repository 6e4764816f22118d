/* For editors and tests alone, which read a body by itself: one instruction set and element type, as core.c and
 * types.inc have them. Where both include a body, this file is never read. */
#ifndef LRP_EDITOR_H
#define LRP_EDITOR_H

#include "compiler.h"

#define SET baseline
#define INSTRUCTION_SET "baseline"
#define VECTOR_BYTES 16
#define FUSES 0
#define TILE_ROWS 6

#ifndef EDITOR_LEAVES_TYPES
#define T float
#define INTEGER int32_t
#define EPSILON FLT_EPSILON
#define LEAST_NUMBER FLT_TRUE_MIN
#define LEAST_NORMAL FLT_MIN
#define FUSED(a, b, c) ((a) * (b) + (c))
#endif

#endif
