"""Arithmetic on shapes that constants and signals share: the targets of Reshape, Slice, Split and Shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....arrays import Array, Shape
from ....errors import FormatError
from .operator_call import Call


def reshape_target(requested: Sequence[int], shape: Shape, keep_zero: bool) -> Shape:
    """The target shape of a Reshape, with its 0 (copied) and −1 (inferred) resolved.

    Parameters
    ----------
    requested : the target that the file states
    shape : of what is reshaped
    keep_zero : whether 0 is an extent of 0 (`allowzero`)

    Raises
    ------
    FormatError
        Where the shape does not reshape to it.
    """
    if not keep_zero and any(extent == 0 and axis >= len(shape) for axis, extent in enumerate(requested)):
        raise FormatError(f"the target {tuple(requested)} copies an axis that shape {shape} does not have")
    target = [shape[axis] if extent == 0 and not keep_zero else int(extent) for axis, extent in enumerate(requested)]
    size, known = math.prod(shape), math.prod(extent for extent in target if extent != -1)
    if target.count(-1) == 1 and known and size % known == 0:
        target[target.index(-1)] = size // known
    if min(target, default=0) < 0 or math.prod(target) != size:
        raise FormatError(f"shape {shape} does not reshape to {tuple(requested)}")
    return tuple(target)


def slices(call: Call, rank: int) -> list[tuple[int, int, int, int]]:
    """The cuts of a Slice: (axis, start, stop, step) for each sliced axis, as the file counts them.

    Parameters
    ----------
    rank : of what is sliced

    Raises
    ------
    FormatError
        Where they are missing or do not fit.
    """
    if call.version < 10:
        starts, stops = call.integers("starts"), call.integers("ends")
        file_axes, steps = (call.integers("axes") if call.has("axes") else None), None
    else:
        lists = [call.integer_list(index) for index in range(1, 5)]
        if lists[0] is None or lists[1] is None:
            raise FormatError("its starts or ends are missing")
        starts, stops, file_axes, steps = lists[0], lists[1], lists[2], lists[3]
    axes = tuple(range(len(starts))) if file_axes is None else tuple(axis + rank if axis < 0 else axis for axis in file_axes)
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(stops) == len(axes) == len(steps) or any(not 0 <= axis < rank for axis in axes) or 0 in steps:
        raise FormatError(f"slices {starts} to {stops} in steps of {steps} along axes {axes} do not fit {rank} axes")
    return list(zip(axes, starts, stops, steps, strict=True))


def python_slice(start: int, stop: int, step: int, extent: int) -> slice:
    """The slice of Python for ONNX's start and stop, which may reach beyond both ends."""
    start, stop = (end + extent if end < 0 else end for end in (start, stop))
    if not extent:
        return slice(0, 0, 1)
    if step > 0:
        return slice(min(max(start, 0), extent), min(max(stop, 0), extent), step)
    stop = min(max(stop, -1), extent - 1)
    return slice(min(max(start, 0), extent - 1), None if stop < 0 else stop, step)


def split_sizes(call: Call, extent: int) -> tuple[int, ...]:
    """The extents of a Split's outputs along its axis.

    Parameters
    ----------
    extent : of the axis

    Raises
    ------
    FormatError
        Where they do not add up to it.
    """
    sizes = call.listed(1, "split", 13)
    if sizes is None:
        count = call.integer("num_outputs", len(call.node.outputs))
        if not 0 < count <= max(extent, 1):
            raise FormatError(f"{extent} cells do not split into {count} parts")
        size = -(-extent // count)
        sizes = (*(size,) * (count - 1), extent - size * (count - 1))
    if any(part < 0 for part in sizes) or sum(sizes) != extent:
        raise FormatError(f"parts {sizes} do not make an axis of {extent} cells")
    return sizes


def shape_extents(call: Call, shape: Shape) -> Array:
    """The value of a Shape node, `start` and `end` included."""
    extents = shape[slice(call.integer("start", 0), call.integer("end", len(shape)))]
    return np.asarray(extents, dtype=np.int64)
