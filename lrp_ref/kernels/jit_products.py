"""Arrays as the compiled loops take them, and the products of Dense and convolution around columns made by loops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Shape
from ..layers.conv import Conv
from ..layers.linear import Dense
from ..layers.window import Window
from . import jit_loops as loops
from . import products


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


@dataclass(frozen=True)
class Form:
    """An output of Dense or convolution as (samples, groups, channels, cells): its last three extents.

    The cells of a Dense layer are its upper neurons, and its groups the other axes.
    """

    groups: int
    part: int
    cells: int

    @classmethod
    def of(cls, layer: Dense | Conv, shape: Shape) -> Form:
        """Of an output of this shape, batch axis included."""
        if isinstance(layer, Dense):
            return cls(math.prod(shape[1:-1]), 1, shape[-1])
        return cls(layer.groups, layer.upper // layer.groups, math.prod(shape[2:]))

    def of_array(self, x: Array, axes: int = 1) -> Array:
        """The array, of which the first `axes` are left as they are."""
        return plain(x).reshape(*x.shape[:axes], self.groups, self.part, self.cells)

    def of_bias(self, layer: Dense | Conv, bias: Array | None, dtype: np.dtype) -> Array:
        """(groups, channels, 0, 1 or cells): nothing, one number for a channel, or one for a cell."""
        if bias is None:
            return np.empty((self.groups, self.part, 0), dtype)
        if isinstance(layer, Dense):
            return plain(np.broadcast_to(bias, (self.groups, self.part, self.cells)))
        return plain(bias.reshape(self.groups, self.part, bias.size // layer.upper))


def direct(layer: Dense | Conv) -> bool:
    """Whether a convolution has so few channels that its columns cost more than its products."""
    return isinstance(layer, Conv) and layer.lower // layer.groups == 1


def up(layer: Dense | Conv, a: Array, stacked: Array, form: Form, out: Shape) -> Iterator[tuple[slice, int, Array]]:
    """Samples, the first of their cells, and their products (samples, groups, weights, cells), block by block."""
    if isinstance(layer, Dense):
        every = plain(a).reshape(a.shape[0], form.groups, a.shape[-1])
        yield slice(None), 0, np.matmul(every, stacked).reshape(a.shape[0], form.groups, -1, form.cells)
        return
    window, lower, weights = layer.window, planes(a, 2), stacked.shape[1]
    apart = (layer.groups, layer.lower // layer.groups * window.taps)
    if direct(layer):
        stacked, where = plain(stacked), table(window, a.shape[2:], out)
        for n, _ in products._blocks(a.shape[0], (1,), a.itemsize * layer.groups * weights * form.cells):
            found = np.empty((n.stop - n.start, layer.groups, weights, form.cells), a.dtype)
            loops.correlate(lower[n], stacked, where, window.stride[-1], found)
            yield n, 0, found
        return
    for n, rows in products._blocks(a.shape[0], out, products._row_bytes(layer.lower, window, out, a.itemsize)):
        height = rows.stop - rows.start
        if products._pointwise(window):
            columns = lower[n, :, rows.start * math.prod(out[1:]) : rows.stop * math.prod(out[1:])]
        else:
            where = table(window, a.shape[2:], (height, *out[1:]), rows.start)
            columns = np.empty((n.stop - n.start, layer.lower, window.taps, height * math.prod(out[1:])), a.dtype)
            loops.gather(lower[n], where, window.stride[-1], columns)
        found = np.matmul(stacked, columns.reshape(columns.shape[0], *apart, columns.shape[-1]))
        yield n, rows.start * math.prod(out[1:]), found


def down(layer: Dense | Conv, s: Array, stacked: Array, shape: Shape, out: Shape) -> Array:
    """Σ adjoint of all quotients (samples, groups, weights, cells), as an array of `shape`."""
    if isinstance(layer, Dense):
        every = s.reshape(*s.shape[:2], s.shape[2] * s.shape[3])
        return np.asarray(np.matmul(every, stacked.T).reshape(shape))
    window, row = layer.window, math.prod(out[1:])
    if direct(layer):
        lower = np.empty((*shape[:2], math.prod(shape[2:])), s.dtype)
        loops.correlate_adjoint(s, plain(stacked), table(window, shape[2:], out), window.stride[-1], lower)
        return lower.reshape(shape)
    matrix = stacked.swapaxes(1, 2)
    lower = np.zeros((*shape[:2], math.prod(shape[2:])), s.dtype)
    for n, rows in products._blocks(shape[0], out, products._row_bytes(layer.lower, window, out, s.itemsize)):
        columns = np.matmul(matrix, s[n, :, :, rows.start * row : rows.stop * row])
        if products._pointwise(window):
            lower[n, :, rows.start * row : rows.stop * row] = columns.reshape(-1, layer.lower, columns.shape[-1])
            continue
        where = table(window, shape[2:], (rows.stop - rows.start, *out[1:]), rows.start)
        loops.scatter(columns.reshape(-1, layer.lower, window.taps, columns.shape[-1]), where, window.stride[-1], lower[n])
    return lower.reshape(shape)
