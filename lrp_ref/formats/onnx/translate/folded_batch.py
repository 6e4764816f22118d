"""Axes that a file folds into its batch: tokens (N·T, C), heads (N·H, T, D), windows, or steps in front of it (T·N, C).

In the model the batch is apart and in front, and the folded axes are axes of a sample. A tensor remembers how the file has it:
its axis `batch_axis` is `before` axes of a sample, the batch, and `behind` more axes, in this order. Nodes behind are read with
their axes counted anew, and what would work across samples is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....arrays import Array, Shape
from ....errors import FormatError
from .builder import Tensor, Value
from .operator_call import Call
from .registry import Layout, Operator, Unfold


def batch_layout(full: Sequence[int], sample: Shape, at: int, batch: int) -> tuple[Shape, Layout] | None:
    """The shape of a sample, and where the batch is, after a reshape to `full`; None: elements of samples mix.

    Parameters
    ----------
    full : the target as the file counts, the batch or a multiple of it in it
    sample : the shape of one sample before, the batch between its axes `at` − 1 and `at`
    batch : what stands for the batch in `full`
    """
    front, back = math.prod(sample[:at]), math.prod(sample[at:])
    layouts: list[tuple[bool, int, int, int]] = []
    for axis, extent in enumerate(full):
        head, tail = math.prod(full[:axis]), math.prod(full[axis + 1 :])
        if not (head and tail and extent and front and back) or front % head or extent % (front // head * batch):
            continue
        before, behind = front // head, extent // (front // head * batch)
        if behind * tail == back:
            layouts.append((before * behind > 1, axis, before, behind))
    if not layouts:
        return None
    _, axis, before, behind = min(layouts)  # as it is, where that is possible
    folded = (*((before,) if before > 1 else ()), *((behind,) if behind > 1 else ()))
    return (*full[:axis], *folded, *full[axis + 1 :]), (axis, int(before > 1), int(behind > 1))


def has_folded_batch(call: Call) -> bool:
    """Whether a signal that a node reads has axes in its batch."""
    return any(isinstance(value, Tensor) and value.before + value.behind > 0 for value in call.inputs)


def unfold_batch(call: Call, operator: Operator) -> tuple[Call, Layout]:
    """A node as if the batch were apart and in front, and where the file has it in the outputs.

    Parameters
    ----------
    call : the node with its inputs looked up
    operator : says how it treats the batch axis

    Raises
    ------
    FormatError
        Where the operator works across the batch, or is not read in such a layout.
    """
    signals = [value for value in call.inputs if isinstance(value, Tensor)]
    layouts = {(s.batch_axis, s.before, s.behind) for s in signals}
    if len(layouts) > 1 or len({len(s.shape) for s in signals}) > 1:
        raise FormatError("its inputs have different axes folded into their batch")
    (layout,) = layouts
    if operator.elementwise:
        return _front(call), layout
    if operator.broadcasts:
        rank = _file_rank(call, layout)
        return _front(call, {k: _aligned(v, layout, rank) for k, v in _constants(call)}), layout
    if operator.unfold is None:
        raise _not_read(call)
    return operator.unfold(call, layout)


def _not_read(call: Call) -> FormatError:
    return FormatError(f"axes are folded into the batch of its input, and {call.node.op} is not read in such a layout")


def _file_rank(call: Call, layout: Layout) -> int:
    """The rank of a node's first signal as the file counts it."""
    signal = next(value for value in call.inputs if isinstance(value, Tensor))
    return len(signal.shape) + 1 - layout[1] - layout[2]


def _constants(call: Call) -> list[tuple[int, Array]]:
    return [(k, v) for k, v in enumerate(call.inputs) if v is not None and not isinstance(v, Tensor)]


def _front(call: Call, inputs: Mapping[int, Value] | None = None, attributes: Mapping[str, Any] | None = None) -> Call:
    inputs_in_front: list[Value | None] = [
        replace(v, batch_axis=0, before=0, behind=0) if isinstance(v, Tensor) else v for v in call.inputs
    ]
    for index, value in (inputs or {}).items():
        inputs_in_front += [None] * (index + 1 - len(inputs_in_front))
        inputs_in_front[index] = value
    node = replace(call.node, attributes={**call.node.attributes, **(attributes or {})})
    return replace(call, node=node, inputs=tuple(inputs_in_front))


def _counted(axis: int, layout: Layout, rank: int) -> int:
    """An axis of the file, counted with the batch apart and in front."""
    batch_axis, before, behind = layout
    position = axis + rank if axis < 0 else axis
    if not 0 <= position < rank:
        raise FormatError(f"axis {axis} does not exist among {rank} axes")
    if position == batch_axis:
        raise FormatError(
            f"it computes across samples: the batch is folded into axis {batch_axis}; each sample is explained by itself"
        )
    return position + 1 if position < batch_axis else position + before + behind


def _aligned(constant: Array, layout: Layout, rank: int) -> Array:
    """A constant that meets a signal: its axis that meets the batch, of extent 1, in front, and 1 for every folded axis."""
    batch_axis, before, behind = layout
    if constant.ndim <= rank - 1 - batch_axis:  # it does not reach the batch
        return constant
    if constant.ndim > rank:
        raise FormatError(f"a constant of shape {constant.shape} has more axes than the signal that it is combined with")
    constant_of_rank = constant.reshape((1,) * (rank - constant.ndim) + constant.shape)
    if constant_of_rank.shape[batch_axis] != 1:
        raise FormatError(f"a constant of shape {constant.shape} differs along axis {batch_axis}, into which the batch is folded")
    batch_first = np.moveaxis(constant_of_rank, batch_axis, 0)
    return batch_first.reshape(
        (*batch_first.shape[: batch_axis + 1], *(1,) * (before + behind), *batch_first.shape[batch_axis + 1 :])
    )


def unfold_product(call: Call, layout: Layout) -> tuple[Call, Layout]:
    """A product of rows with one constant matrix, or of two signals' matrices behind the batch.

    Raises
    ------
    FormatError
        Where it is another product.
    """
    first, second = call.value(0), call.value(1)
    batch_axis, rank = layout[0], _file_rank(call, layout)
    if isinstance(first, Tensor) and isinstance(second, Tensor) and call.node.op == "MatMul" and batch_axis < rank - 2:
        return _front(call), layout
    plain = isinstance(first, Tensor) and not isinstance(second, Tensor) and second.ndim == 2 and batch_axis < rank - 1
    if not plain or (call.node.op == "Gemm" and call.integer("transA", 0)):
        raise FormatError("axes are folded into its input's batch: only products with one constant matrix are supported then")
    return _front(call), layout


def unfold_transpose(call: Call, layout: Layout) -> tuple[Call, Layout]:
    """The order of axes in `perm`, the folded ones side by side.

    Raises
    ------
    FormatError
        Where `perm` is no order of the axes.
    """
    batch_axis, before, behind = layout
    rank = _file_rank(call, layout)
    order = call.integers("perm", tuple(reversed(range(rank))))
    if sorted(order) != list(range(rank)):
        raise FormatError(f"the attribute perm is {order}, which is not a permutation of {rank} axes")
    perm = [0]
    for axis in order:
        perm += range(batch_axis + 1, batch_axis + 1 + before + behind) if axis == batch_axis else [_counted(axis, layout, rank)]
    return _front(call, {}, {"perm": tuple(perm)}), (order.index(batch_axis), before, behind)


def unfold_softmax(call: Call, layout: Layout) -> tuple[Call, Layout]:
    """The axis that a softmax normalises; before schema 13 it is refused.

    Raises
    ------
    FormatError
        Where the schema is older.
    """
    if call.version < 13:
        raise _not_read(call)
    return _front(call, {}, {"axis": _counted(call.integer("axis", -1), layout, _file_rank(call, layout))}), layout


def unfold_reduction(since: int) -> Unfold:
    """The axes of a reduction, which are an input from schema `since` on.

    Raises
    ------
    FormatError
        Where no axes are named: all are reduced.
    """

    def unfold(call: Call, layout: Layout) -> tuple[Call, Layout]:
        file_axes, rank = call.listed(1, "axes", since), _file_rank(call, layout)
        if not file_axes:
            raise FormatError("it reduces all axes, into one of which the batch is folded")
        axes = [_counted(axis, layout, rank) for axis in file_axes]
        gone = 0 if call.integer("keepdims", 1) else sum((axis + rank if axis < 0 else axis) < layout[0] for axis in file_axes)
        reduced_layout = (layout[0] - gone, *layout[1:])
        if call.version >= since:
            return _front(call, {1: np.asarray(axes, dtype=np.int64)}), reduced_layout
        return _front(call, {}, {"axes": tuple(axes)}), reduced_layout

    return unfold
