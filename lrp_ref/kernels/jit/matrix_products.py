"""Arrays as the compiled loops take them, and the products of a convolution: over columns made by loops, or without any."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...arrays import Array, Shape
from ...layers.conv import Conv
from ...layers.window import Window
from ...lazy_dataclass import lazy_dataclass
from ..numpy import matrix_products
from . import loops


def plain(x: Array) -> Array:
    """C-contiguous, aligned and writable: what is not is copied, for every other kind of array is a compilation of its own."""
    return x if x.flags.carray else np.array(x, order="C")


def planes(x: Array, axes: int) -> Array:
    """The first axes (samples and channels), and all cells in one."""
    return plain(x).reshape(*x.shape[:axes], math.prod(x.shape[axes:]))


def table(window: Window, spatial: Shape, out: Shape, first: int = 0) -> Array:
    """Where the windows `out` lie in `spatial`, the first of them in row `first` of the first axis."""
    grid = np.ones((6, 3), dtype=np.int64)
    grid[loops.BEFORE] = 0
    before = [low for low, _ in window.padding]
    before[0] -= first * window.stride[0]
    grid[:, 3 - len(out) :] = (window.kernel, window.stride, window.dilation, before, spatial, out)
    found = np.empty((math.prod(grid[loops.OUT, :2].tolist()), window.taps, 3), dtype=np.int64)
    loops.spans(grid, found)
    return found


@lazy_dataclass(frozen=True)
class Form:
    """The output of a convolution as (samples, groups, channels, cells): its last three extents."""

    groups: int
    channels: int
    cells: int

    @classmethod
    def of(cls, layer: Conv, shape: Shape) -> Form:
        """Of an output of this shape, batch axis included."""
        return cls(layer.groups, layer.upper // layer.groups, math.prod(shape[2:]))

    def of_array(self, x: Array, axes: int = 1) -> Array:
        """The array, of which the first `axes` are left as they are."""
        return plain(x).reshape(*x.shape[:axes], self.groups, self.channels, self.cells)

    def of_bias(self, bias: Array | None, dtype: np.dtype) -> Array:
        """(groups, channels, 0, 1 or cells): nothing, one number for a channel, or one for a cell."""
        if bias is None:
            return np.empty((self.groups, self.channels, 0), dtype)
        return plain(bias.reshape(self.groups, self.channels, bias.size // (self.groups * self.channels)))


def direct(layer: Conv) -> tuple[bool, bool]:
    """Whether a convolution has so few channels in a group that its columns cost more than its products, up and down.

    Measured once, loops and products alone at batch 1 (benchmarks/jit.py times whole steps), for 128 channels at 28²: depthwise
    3 × 3 up 1.9 times as fast as with columns, down 13 times; at a stride of 2 (from 56²) down 3.2 times, but up 0.8 times;
    2 channels to 2 up 1.1 and down 1.8 times; 4 to 4 up 0.7 times.
    """
    channels, stride = layer.weight.shape[1] * (layer.upper // layer.groups), max(layer.stride)
    return stride == 1 and channels <= 2, channels <= (2 if stride == 1 else 1)


def up(layer: Conv, a: Array, stacked: Array, out: Shape) -> Iterator[tuple[slice, int, Array]]:
    """Samples, the first of their cells, and their products (samples, groups, weights, cells), block by block."""
    window, row = layer.window, math.prod(out[1:])
    apart = (layer.groups, layer.lower // layer.groups * window.taps)
    if direct(layer)[0]:
        for n, _ in matrix_products._blocks(a.shape[0], (1,), a.itemsize * layer.groups * stacked.shape[1] * out[0] * row):
            yield n, 0, _correlated(window, a[n], plain(stacked), out)
        return
    lower = planes(a, 2)
    for n, rows in matrix_products._blocks(a.shape[0], out, matrix_products._row_bytes(layer.lower, window, out, a.itemsize)):
        if matrix_products.pointwise(window):
            columns = lower[n, :, rows.start * row : rows.stop * row]
        else:
            height = rows.stop - rows.start
            where = table(window, a.shape[2:], (height, *out[1:]), rows.start)
            columns = np.empty((n.stop - n.start, layer.lower, window.taps, height * row), a.dtype)
            loops.gather(lower[n], where, window.stride[-1], columns)
        columns = columns.reshape(columns.shape[0], *apart, columns.shape[-1])
        yield n, rows.start * row, matrix_products.multiplied(stacked, columns, layer.upper // layer.groups)


def down(layer: Conv, s: Array, stacked: Array, shape: Shape, out: Shape) -> Array:
    """Σ adjoint of all quotients (samples, groups, weights, cells), as an array of `shape`."""
    window, row = layer.window, math.prod(out[1:])
    if direct(layer)[1]:
        return _correlated_adjoint(window, s, plain(stacked), shape, out)
    matrix = stacked.swapaxes(1, 2)
    lower = np.zeros((*shape[:2], math.prod(shape[2:])), s.dtype)
    for n, rows in matrix_products._blocks(shape[0], out, matrix_products._row_bytes(layer.lower, window, out, s.itemsize)):
        columns = np.matmul(matrix, s[n, :, :, rows.start * row : rows.stop * row])
        if matrix_products.pointwise(window):
            lower[n, :, rows.start * row : rows.stop * row] = columns.reshape(-1, layer.lower, columns.shape[-1])
            continue
        where = table(window, shape[2:], (rows.stop - rows.start, *out[1:]), rows.start)
        loops.scatter(columns.reshape(-1, layer.lower, window.taps, columns.shape[-1]), where, window.stride[-1], lower[n])
    return lower.reshape(shape)


def _long(window: Window, out: Shape) -> Array:
    """The table of a window without stride: over a padded input all rows are one, with cells between them that mean nothing."""
    pitch = [math.prod(window.padded(out)[axis + 1 :]) for axis in range(len(out))]
    found = np.zeros((1, window.taps, 3), dtype=np.int64)
    taps = np.indices(window.kernel).reshape(len(out), window.taps)
    found[0, :, loops.INPUT] = np.multiply(window.dilation, pitch) @ taps
    found[0, :, loops.COUNT] = 1 + sum((o - 1) * p for o, p in zip(out, pitch, strict=True))
    return found


def _correlated(window: Window, a: Array, weight: Array, out: Shape) -> Array:
    """The products of a convolution without stride."""
    reach = (out[0], *window.padded(out)[1:])
    z = np.empty((a.shape[0], *weight.shape[:2], math.prod(reach)), a.dtype)
    loops.correlate(planes(matrix_products._zero_padded(a, window, out), 2), weight, _long(window, out), z)
    inner = z.reshape(*z.shape[:3], *reach)[_corner(out)]
    return np.ascontiguousarray(inner).reshape(*z.shape[:3], math.prod(out))


def _corner(out: Shape) -> Any:
    """The first cells of each axis behind samples, groups and channels."""
    return (slice(None),) * 3 + tuple(slice(extent) for extent in out)


def _correlated_adjoint(window: Window, s: Array, weight: Array, shape: Shape, out: Shape) -> Array:
    """Their transpose; with a stride, row by row."""
    if max(window.stride) > 1:
        lower = np.empty((*shape[:2], math.prod(shape[2:])), s.dtype)
        loops.correlate_adjoint(s, weight, table(window, shape[2:], out), window.stride[-1], lower)
        return lower.reshape(shape)
    reach = (out[0], *window.padded(out)[1:])
    wide = np.zeros((*s.shape[:3], *reach), s.dtype)
    wide[_corner(out)] = s.reshape(*s.shape[:3], *out)
    padded = np.empty((*shape[:2], math.prod(window.padded(out))), s.dtype)
    loops.correlate_adjoint(planes(wide, 3), weight, _long(window, out), 1, padded)
    in_input, in_padded = window.inside(shape[2:], out)
    lower = np.zeros(shape, s.dtype)
    lower[in_input] = padded.reshape(*shape[:2], *window.padded(out))[in_padded]
    return lower
