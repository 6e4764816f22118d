"""What the functions of the compiled core compute, written out in NumPy and float64, and the sizes that bound their rounding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lrp_ref.arrays import Array, Shape


def padded(x: Array, before: Shape, reach: Shape) -> Array:
    """Cells −before … −before + reach of each axis of (samples, *spatial, channels), 0 where there are none."""
    found = np.zeros((x.shape[0], *reach, x.shape[-1]), x.dtype)
    inside = [(max(0, b), min(r, size + b)) for b, r, size in zip(before, reach, x.shape[1:-1], strict=True)]
    if all(first < last for first, last in inside):
        to = tuple(slice(first, last) for first, last in inside)
        source = tuple(slice(first - b, last - b) for (first, last), b in zip(inside, before, strict=True))
        found[(slice(None), *to)] = x[(slice(None), *source)]
    return found


def convolution(x: Array, w: Array, stride: Shape, dilation: Shape, before: Shape, out: Shape) -> Array:
    """y[n, o, k] = Σ_tap Σ_c x[n, o·stride + tap·dilation − before, c] w[k, c, tap], group by group, in float64."""
    groups, upper, lower, *kernel = w.shape
    if 0 in out:
        return np.zeros((x.shape[0], *out, groups * upper))
    reach = tuple((o - 1) * s + (k - 1) * d + 1 for o, s, k, d in zip(out, stride, kernel, dilation, strict=True))
    cells = padded(x.astype(np.float64), before, reach)
    y = np.zeros((x.shape[0], *out, groups * upper))
    for tap in np.ndindex(*kernel):
        at = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, out, stride, strict=True))
        seen = cells[(slice(None), *at)]
        for g in range(groups):
            below = seen[..., g * lower : (g + 1) * lower]
            y[..., g * upper : (g + 1) * upper] += below @ w[(g, slice(None), slice(None), *tap)].astype(np.float64).T
    return y


def rounding(terms: int, dtype: np.dtype) -> float:
    """What Σ|terms| is multiplied by: chunks of 128 terms are added one after the other, then the chunks."""
    return (min(terms, 128) + terms // 128 + 1) * np.finfo(dtype).eps


def tile_sizes(x: Array, w: Array, before: Shape, out: Shape, side: int) -> Array:
    """Σ_c max|d_c| max|w_kc| for each output of a 3×3 convolution, the maximum over the tile that it is computed in."""
    tiles = tuple(-(-o // side) for o in out)
    cells = padded(abs(x.astype(np.float64)), before, tuple(t * side + 2 for t in tiles))
    weights = abs(w[0].astype(np.float64)).max(axis=(2, 3))
    found = np.zeros((x.shape[0], *(t * side for t in tiles), w.shape[1]))
    for i, j in np.ndindex(*tiles):
        tile = cells[:, i * side : i * side + side + 2, j * side : j * side + side + 2].max(axis=(1, 2))
        found[:, i * side : (i + 1) * side, j * side : (j + 1) * side] = (tile @ weights.T)[:, None, None]
    return found[:, : out[0], : out[1]]


def bits(a: Array) -> tuple[np.dtype, Shape, bytes]:
    """Type, shape and every bit, the signs of zeros included."""
    return a.dtype, a.shape, a.tobytes()


def same_bits(run: Callable[[int], list[Array]]) -> list[Array]:
    """What `run(threads)` gives, which must be the same for 1, 2 and 3 threads."""
    found = run(1)
    assert [bits(y) for y in run(2)] == [bits(y) for y in run(3)] == [bits(y) for y in found]
    return found
