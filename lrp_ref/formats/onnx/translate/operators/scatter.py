"""Cells that are written over at places that are known at load, and words as rows of ones and zeros."""

from __future__ import annotations

import math

import numpy as np

from .....arrays import Array
from .....errors import FormatError
from .....layers import Compare, Reshape, Scale
from ..builder import Tensor
from ..operator_call import Call
from ..registry import Operator, versions
from .broadcasting import affine, expand


def scatter_constants(call: Call) -> Array:
    """A ScatterElements of constants: an array with elements written into it."""
    data, indices, updates = (call.constant(index) for index in range(3))
    _check(call)
    updated, axis = data.copy(), call.integer("axis", 0)
    np.put_along_axis(updated, _counted(indices, data.shape, axis), updates, axis)
    return updated


def _check(call: Call) -> None:
    if call.text("reduction", "none") != "none":
        raise FormatError(f"its reduction {call.text('reduction')!r} is not supported")


def _counted(indices: Array, shape: tuple[int, ...], axis: int) -> Array:
    numbers = indices.astype(np.int64)
    extent = shape[axis]
    if numbers.size and not -extent <= int(numbers.min()) <= int(numbers.max()) < extent:
        raise FormatError(f"its indices lie outside an axis of {extent} cells")
    return np.where(numbers < 0, numbers + extent, numbers)


def _scatter(call: Call) -> Tensor:
    """A signal with constants in some of its cells: they get what is theirs, which is booked as bias."""
    x, indices, updates = call.tensor(), call.constant(1), call.constant(2)
    _check(call)
    rank = call.rank(x)
    axis = call.axis(call.integer("axis", 0), rank) - 1
    if indices.shape != updates.shape or indices.ndim != rank:
        raise FormatError(f"indices of shape {indices.shape} and updates of shape {updates.shape} do not fit {rank} axes")
    if call.lead:
        indices, updates = call.per_sample(indices, rank), call.per_sample(updates, rank)
    if any(a > b for k, (a, b) in enumerate(zip(indices.shape, x.shape, strict=True)) if k != axis):
        raise FormatError(f"indices of shape {indices.shape} do not fit samples of shape {x.shape}")
    factor, shift = np.ones(x.shape), np.zeros(x.shape)
    inside = tuple(slice(None) if k == axis else slice(e) for k, e in enumerate(indices.shape))
    cells = _counted(indices, x.shape, axis)
    np.put_along_axis(factor[inside], cells, 0.0, axis)
    np.put_along_axis(shift[inside], cells, updates, axis)
    return affine(call, x, factor, shift)


def _one_hot(call: Call) -> Tensor:
    """`on` at each number's place along a new axis, `off` elsewhere; numbers count from the end where they are negative."""
    x, depth, ends = call.tensor(), call.constant(1), call.constant(2)
    if depth.size != 1 or ends.shape != (2,) or not 0 < int(depth.reshape(())) <= 2**24:
        raise FormatError("its depth must be one number, and its values two")
    rows, rank = int(depth.reshape(())), call.rank(x) + 1
    axis = call.integer("axis", -1)
    if axis not in (-1, rank - 1):
        raise FormatError(f"axis {axis} is not supported: only the last axis is")
    column = call.emit(Reshape((*x.shape, 1)), x, suffix="column")
    call.builder.check((*x.shape, rows), "its output")
    wide = expand(call, column, (*x.shape, rows))
    numbers = call.parameter(np.arange(rows))
    off, on = (float(value) for value in ends)
    if math.isclose(off, 0.0) and on == 1:
        return call.emit(Compare("==", numbers), wide)
    hot = call.emit(Compare("==", numbers), wide, suffix="hot")
    return call.emit(Scale(call.parameter(on - off), None if off == 0 else call.parameter(off)), hot)


TABLE: dict[tuple[str, int], Operator] = {
    **versions("OneHot", _one_hot, 9, 11, 28),
    **versions("ScatterElements", _scatter, 11, 13, 16, 18),
}
