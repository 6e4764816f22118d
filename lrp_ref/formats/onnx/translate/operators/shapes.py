"""Operators that rearrange: reshape, transpose, pick, repeat, join."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .....arrays import Array, Shape
from .....errors import FormatError
from .....layers import (
    Attach,
    Concat,
    DepthToSpace,
    Embedding,
    Expand,
    Flatten,
    Gather,
    Identity,
    Reshape,
    Slice,
    SpaceToDepth,
    Tile,
    Transpose,
)
from .....layers.base import Recurrent
from ..batch_axis import recount_along, recount_gather, recount_slice, recount_squeeze, recount_transpose, recount_unsqueeze
from ..builder import Tensor, Value, shape_text
from ..folded_batch import batch_layout, unfold_transpose
from ..operator_call import Call
from ..registry import Operator, versions
from ..shape_arithmetic import python_slice, reshape_target, shape_extents, slices, split_sizes

#: What exporters write for a slice to the end: the largest numbers of 32 and of 64 bits.
_END = 2**31 - 1


def reshape_to(call: Call, x: Tensor, full: Sequence[int]) -> Tensor:
    """The tensor x in another shape, given as the file counts axes.

    Parameters
    ----------
    full : the shape, the batch or a multiple of it in it

    Raises
    ------
    FormatError
        Where elements move between samples.
    """
    batch = call.builder.batch
    if batch is None:
        return _undone(call, x, tuple(full)) or _reshaped(call, x, tuple(full))
    layout = batch_layout(full, x.shape, x.batch_axis + x.before, batch)
    if layout is None:
        raise FormatError(
            f"it moves elements between samples: {shape_text(call.builder.full_shape(x))} becomes {shape_text(full)}"
        )
    sample, (batch_axis, before, behind) = layout
    output = None if before + behind else _undone(call, x, sample)
    output = _reshaped(call, x, sample) if output is None else output
    return replace(output, batch_axis=batch_axis, before=before, behind=behind)


def _undone(call: Call, x: Tensor, sample: Shape) -> Tensor | None:
    """The output of a recurrent layer, or one direction of it: `x` has the file's shape, and `sample` is the layer's own."""
    nodes, cut = call.builder.nodes, None
    node = nodes.get(x.name)
    if node is not None and isinstance(node.layer, Slice):
        cut, node = node.layer, nodes.get(node.inputs[0])
    source = nodes.get(node.inputs[0]) if node is not None and isinstance(node.layer, Reshape) else None
    if node is None or source is None or not isinstance(source.layer, Recurrent):
        return None
    steps, by_direction = (call.builder.tensors[name] for name in (source.name, node.name))
    if cut is None:
        return steps if steps.shape == sample else None
    # Of all steps, (T, directions, H), one direction is some of the features, whatever T is.
    if (
        len(by_direction.shape) != 3
        or cut.axis != 2
        or steps.shape != (by_direction.shape[0], by_direction.shape[1] * by_direction.shape[2])
    ):
        return None
    directions, size = range(by_direction.shape[1])[cut.start : cut.stop : cut.step], by_direction.shape[2]
    if len(directions) != 1 or sample != (by_direction.shape[0], size):
        return None
    return call.emit(Slice(directions[0] * size, (directions[0] + 1) * size, 2), steps)


def _reshaped(call: Call, x: Tensor, sample: Shape) -> Tensor:
    if sample == x.shape:
        return call.emit(Identity(), x)
    flat = len(sample) == 1 and call.lead == 1
    return call.emit(Flatten() if flat else Reshape(sample), x)


def _reshape(call: Call) -> Tensor:
    x = call.tensor()
    target = call.integer_list(1)
    full = reshape_target(target or (), call.builder.full_shape(x), bool(call.integer("allowzero", 0)))
    return reshape_to(call, x, full)


def _flatten(call: Call) -> Tensor:
    x = call.tensor()
    full, axis = call.builder.full_shape(x), call.integer("axis", 1)
    axis = axis + len(full) if axis < 0 else axis
    if not 0 <= axis <= len(full):
        raise FormatError(f"axis {axis} does not exist in shape {full}")
    return reshape_to(call, x, (math.prod(full[:axis]), math.prod(full[axis:])))


def _transpose(call: Call) -> Tensor:
    x = call.tensor()
    rank = call.rank(x)
    order = call.integers("perm", tuple(reversed(range(rank))))
    if sorted(order) != list(range(rank)):
        raise FormatError(f"the attribute perm is {order}, which is not a permutation of {rank} axes")
    if call.lead and order == tuple(range(rank)):  # a move of the batch axis, which stays in front in the model
        return x
    axes = order if call.lead else (0, *(axis + 1 for axis in order))
    return call.emit(Transpose(axes), x)


def _squeeze(call: Call) -> Tensor:
    x = call.tensor()
    full = call.builder.full_shape(x)
    file_axes = call.listed(1, "axes", 13)
    if x.before + x.behind:
        return reshape_to(call, x, np.squeeze(np.broadcast_to(0, full), file_axes).shape)
    if file_axes is None:
        file_axes = tuple(axis for axis, extent in enumerate(full) if extent == 1 and axis >= call.lead)
    axes = {axis - 1 + call.lead for axis in call.axes(file_axes, len(full))}
    if any(full[axis] != 1 for axis in axes):
        raise FormatError(f"axes {tuple(file_axes)} of shape {full} are not all of extent 1")
    return reshape_to(call, x, [extent for axis, extent in enumerate(full) if axis not in axes])


def _unsqueeze(call: Call) -> Tensor:
    x, file_axes = call.tensor(), call.listed(1, "axes", 13)
    if file_axes is None or len(file_axes) > 32:
        raise FormatError("its axes are missing")
    if x.before + x.behind:
        return reshape_to(call, x, np.expand_dims(np.broadcast_to(0, call.builder.full_shape(x)), file_axes).shape)
    rank = call.rank(x) + len(file_axes)
    axes = {axis - 1 + call.lead for axis in call.axes(file_axes, rank)}
    extents = iter(call.builder.full_shape(x))
    return reshape_to(call, x, [1 if axis in axes else next(extents) for axis in range(rank)])


def _shape(call: Call) -> Array:
    return shape_extents(call, call.builder.full_shape(call.tensor()))


def _size(call: Call) -> Array:
    return np.asarray(math.prod(call.builder.full_shape(call.tensor())), dtype=np.int64)


def _expand(call: Call) -> Tensor:
    x, target = call.tensor(), call.integer_list(1) or ()
    if len(target) > 32 or any(extent < 0 for extent in target):
        raise FormatError(f"its target shape is {target}")
    rank = call.rank(x)
    if call.lead and len(target) > rank:
        raise FormatError(f"the target {target} puts axes in front of the batch axis")
    # An extent 1 in the batch's place leaves the batch as it is.
    full = call.builder.full_shape(x)
    sample = call.sample([int(extent) for extent in np.broadcast_shapes(full, target)])
    call.builder.check(sample, "its output")
    return call.emit(Identity() if sample == x.shape else Expand(sample), x)


def _tile(call: Call) -> Tensor:
    x, repeats = call.tensor(), call.integer_list(1) or ()
    if len(repeats) != call.rank(x):
        raise FormatError(f"{len(repeats)} repeats do not fit {call.rank(x)} axes")
    if call.lead and repeats[0] != 1:
        raise FormatError("it repeats samples along the batch axis")
    call.builder.check(tuple(e * r for e, r in zip(x.shape, repeats[call.lead :], strict=True)), "its output")
    return call.emit(Tile(repeats[call.lead :]), x)


def _concat(call: Call) -> Tensor:
    values = [call.value(index) for index in range(len(call.inputs))]
    rank = max(call.rank(v) if isinstance(v, Tensor) else v.ndim for v in values)
    axis = call.axis(call.integer("axis", 1), rank)
    signals = [v for v in values if isinstance(v, Tensor)]
    if len(signals) == len(values):
        return call.emit(Concat(len(signals), axis) if len(signals) > 1 else Identity(), *signals)
    if len(signals) == 1:
        position = next(index for index, v in enumerate(values) if isinstance(v, Tensor))
        return _attached(call, values[:position], signals[0], values[position + 1 :], axis, "")
    tensors: list[Tensor] = []
    while values:
        # A signal with the constants in front of it; the last one takes those behind it as well.
        position = next(index for index, v in enumerate(values) if isinstance(v, Tensor))
        last = not any(isinstance(v, Tensor) for v in values[position + 1 :])
        behind = values[position + 1 :] if last else []
        tensors.append(_attached(call, values[:position], values[position], behind, axis, f"part_{len(tensors)}"))
        values = [] if last else values[position + 1 :]
    return call.emit(Concat(len(tensors), axis), *tensors)


def _attached(call: Call, before: Sequence[Value], x: Value, after: Sequence[Value], axis: int, suffix: str) -> Tensor:
    """A signal with constants on either side along an axis."""
    assert isinstance(x, Tensor)
    if not before and not after:
        return x
    return call.emit(Attach(_joined(call, before, x, axis), _joined(call, after, x, axis), axis), x, suffix=suffix)


def _joined(call: Call, constants: Sequence[Value], x: Tensor, axis: int) -> Array | None:
    """Constants beside a signal, side by side, shaped like one sample."""
    samples = [call.per_sample(np.asarray(v), call.rank(x)) for v in constants]
    return call.parameter(np.concatenate(samples, axis=axis - 1)) if samples else None


def _split(call: Call) -> list[Tensor | None]:
    x = call.tensor()
    axis = call.axis(call.integer("axis", 0), call.rank(x))
    sizes = split_sizes(call, x.shape[axis - 1])
    ends = np.cumsum((0, *sizes))
    bounds = enumerate(itertools.pairwise(ends))
    return [call.emit(Slice(int(start), int(stop), axis), x, suffix=f"part_{k}") for k, (start, stop) in bounds]


def _slice(call: Call) -> Tensor:
    x = call.tensor()
    full = call.builder.full_shape(x)
    cuts = []
    for axis, start, stop, step in slices(call, len(full)):
        cells = python_slice(start, stop, step, full[axis])
        if cells.indices(full[axis]) != (0, full[axis], 1):
            cuts.append((call.axis(axis, len(full)), _from_the_end(start, stop, full[axis], cells)))
    for number, (axis, cells) in enumerate(cuts):
        last = number == len(cuts) - 1
        x = call.emit(Slice(cells.start, cells.stop, axis, cells.step), x, suffix="" if last else f"axis_{axis}")
    return x if cuts else call.emit(Identity(), x)


def _from_the_end(start: int, stop: int, extent: int, cells: slice) -> slice:
    """The same cells, counted from the end where the file does: the last step is the last of any number of steps."""
    if cells.step < 0:
        return cells
    first = start if -extent <= start < 0 else cells.start
    last = None if stop >= _END else stop if -extent <= stop < 0 else cells.stop
    return slice(first, last, cells.step)


def _gather(call: Call) -> Tensor:
    source, indices = call.value(0), call.value(1)
    if isinstance(indices, Tensor):
        return _embedding(call, source, indices)
    assert isinstance(source, Tensor)
    if indices.dtype.kind not in "iu" or indices.size > 1_000_000:
        raise FormatError("its indices must be a list of integers")
    axis = call.axis(call.integer("axis", 0), call.rank(source))
    if indices.ndim == 0 and isinstance(source_and_cell := _of_part(call, source, axis, int(indices)), tuple):
        source, indices = source_and_cell
    cells = tuple(int(index) for index in indices.reshape(-1))
    if indices.ndim == 0 and source.shape[axis - 1] == 1 and cells[0] in (0, -1):
        return reshape_to(call, source, [e for k, e in enumerate(call.builder.full_shape(source)) if k != axis])
    shape = (*source.shape[: axis - 1], *indices.shape, *source.shape[axis:])
    call.builder.check(shape, "its output")
    if indices.ndim == 1:
        return call.emit(Gather(cells, axis), source)
    return call.emit(Reshape(shape), call.emit(Gather(cells, axis), source, suffix="gather"))


def _of_part(call: Call, x: Tensor, axis: int, cell: int) -> tuple[Tensor, Array] | None:
    """The signal that holds a cell, and its number there, where `x` is signals side by side along `axis`."""
    node = call.builder.nodes.get(x.name)
    if node is None or not isinstance(node.layer, Concat) or node.layer.axis != axis:
        return None
    cell += x.shape[axis - 1] if cell < 0 else 0
    for name in node.inputs:
        tensor = call.builder.tensors[name]
        if 0 <= cell < tensor.shape[axis - 1]:
            return tensor, np.asarray(cell)
        cell -= tensor.shape[axis - 1]
    return None


def _embedding(call: Call, table: Value, indices: Tensor) -> Tensor:
    if isinstance(table, Tensor):
        options = ", ".join(f"fix={{{name!r}: …}}" for name in call.builder.sources(indices))
        raise FormatError(
            f"it picks elements of one signal by another, which is not supported; {options} sets the indices to a value"
        )
    if call.integer("axis", 0) not in (0, -table.ndim) or table.ndim != 2:
        raise FormatError(f"rows of a table are picked by a signal; a table of shape {table.shape} has other axes")
    return call.emit(Embedding(call.parameter(table)), indices)


def _depth_to_space(call: Call) -> Tensor:
    return call.emit(DepthToSpace(call.integer("blocksize"), call.text("mode", "DCR")), call.image())


def _space_to_depth(call: Call) -> Tensor:
    return call.emit(SpaceToDepth(call.integer("blocksize"), call.text("mode", "DCR")), call.image())


_LATE = (21, 23, 24, 25)

TABLE: dict[tuple[str, int], Operator] = {
    **versions("Concat", _concat, 4, 11, 13, recount=recount_along(1)),
    **versions("DepthToSpace", _depth_to_space, 1, 11, 13, 28),
    **versions("Expand", _expand, 8, 13),
    **versions("Flatten", _flatten, 1, 9, 11, 13, *_LATE, finds_batch=True, finds_folded=True),
    **versions("Gather", _gather, 1, 11, 13, recount=recount_gather),
    **versions("Reshape", _reshape, 5, 13, 14, 19, *_LATE, finds_batch=True, finds_folded=True),
    **versions("Shape", _shape, 1, 13, 15, 19, *_LATE, finds_batch=True, finds_folded=True),
    **versions("Size", _size, 1, 13, 19, *_LATE, finds_batch=True, finds_folded=True),
    **versions("Slice", _slice, 1, 10, 11, 13, recount=recount_slice),
    **versions("SpaceToDepth", _space_to_depth, 1, 13, 28),
    **versions("Split", _split, 2, 11, 13, 18, recount=recount_along(0)),
    **versions("Squeeze", _squeeze, 1, 11, 13, *_LATE, finds_folded=True, recount=recount_squeeze),
    **versions("Tile", _tile, 6, 13),
    **versions("Transpose", _transpose, 1, 13, *_LATE, moves_batch=True, recount=recount_transpose, unfold=unfold_transpose),
    **versions("Unsqueeze", _unsqueeze, 1, 11, 13, *_LATE, finds_folded=True, moves_batch=True, recount=recount_unsqueeze),
}
