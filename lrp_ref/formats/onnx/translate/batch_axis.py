"""Sequence-first layouts: where the file has its batch axis elsewhere than in front.

A model's batch axis is always the first. Where a file moves it, the tensor remembers where to (`Tensor.batch_axis`), and the
nodes behind are read as if it were in front, with their axes counted anew. What would work across it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import FormatError
from ....layers.shape import Reshape
from .builder import Tensor, Value
from .operator_call import Call
from .registry import Operator, Recount
from .shape_arithmetic import slices


def move_batch_first(call: Call, operator: Operator) -> tuple[Call, int] | None:
    """A node as if the batch axis were in front, and where the file has it in the outputs; None where it is in front.

    Parameters
    ----------
    call : the node with its inputs looked up
    operator : says how it treats the batch axis

    Raises
    ------
    FormatError
        Where the operator works across the batch axis, or is not read in such a layout.
    """
    signals = [value for value in call.inputs if isinstance(value, Tensor)]
    batch_axes, op = {signal.batch_axis for signal in signals}, call.node.op
    if not call.lead or operator.finds_batch:
        return None
    if (
        operator.broadcasts
        and len({call.rank(s) - s.batch_axis for s in signals}) == 1
        and (batch_axes != {0} or _rank(call) > call.rank(signals[0]))
    ):
        return _broadcast(call, signals)
    if batch_axes == {0} and not operator.moves_batch:
        return None
    if len(batch_axes) > 1 or operator.broadcasts:
        raise FormatError(f"its inputs have different batch axes: {', '.join(map(str, sorted(batch_axes)))}")
    (batch_axis,) = batch_axes
    if operator.elementwise:
        return _call_batch_first(call), batch_axis
    if operator.recount is None:
        raise FormatError(
            f"the batch axis of its input is axis {batch_axis}, and {op} is supported only with the batch axis first"
        )
    return operator.recount(call, batch_axis)


def _call_batch_first(call: Call, attributes: dict[str, Any] | None = None, inputs: Mapping[int, Value] | None = None) -> Call:
    """The call with its signals' batch axes in front, other attributes and other constants."""
    inputs_in_front: list[Value | None] = [replace(v, batch_axis=0) if isinstance(v, Tensor) else v for v in call.inputs]
    for index, value in (inputs or {}).items():
        inputs_in_front += [None] * (index + 1 - len(inputs_in_front))
        inputs_in_front[index] = value
    node = replace(call.node, attributes={**call.node.attributes, **(attributes or {})})
    return replace(call, node=node, inputs=tuple(inputs_in_front))


def _axis_batch_first(axis: int, batch_axis: int, rank: int) -> int:
    """An axis of the file, counted with the batch axis in front."""
    position = axis + rank if axis < 0 else axis
    if not 0 <= position < rank:
        raise FormatError(f"axis {axis} does not exist among {rank} axes")
    if position == batch_axis:
        raise FormatError(f"it computes across samples, along the batch axis {batch_axis}; each sample is explained by itself")
    return position + 1 if position < batch_axis else position


def _with_axes(call: Call, axes: Sequence[int], since: int) -> Call:
    """The call with other axes, which are an input from schema `since` on and an attribute before."""
    if call.version >= since:
        return _call_batch_first(call, inputs={1: np.asarray(axes, dtype=np.int64)})
    return _call_batch_first(call, {"axes": tuple(axes)})


def _rank(call: Call) -> int:
    return max(call.rank(v) if isinstance(v, Tensor) else v.ndim for v in call.inputs if v is not None)


def _broadcast(call: Call, signals: Sequence[Tensor]) -> tuple[Call, int]:
    """Inputs are aligned at their last axes; a signal of fewer axes gets axes of extent 1 in front of its own."""
    rank = _rank(call)
    batch_axis = signals[0].batch_axis + rank - call.rank(signals[0])
    others: dict[int, Value] = {}
    for index, value in enumerate(call.inputs):
        if isinstance(value, Tensor) and call.rank(value) < rank:
            shape = (1,) * (rank - call.rank(value)) + value.shape
            others[index] = call.emit(Reshape(shape), value, suffix=f"aligned_{index}")
        elif value is not None and not isinstance(value, Tensor) and value.ndim:
            others[index] = np.moveaxis(value.reshape((1,) * (rank - value.ndim) + value.shape), batch_axis, 0)
    return _call_batch_first(call, inputs=others), batch_axis


def recount_transpose(call: Call, batch_axis: int) -> tuple[Call, int]:
    """The order of axes in `perm`.

    Raises
    ------
    FormatError
        Where `perm` is no order of the axes.
    """
    rank = call.rank(call.tensor())
    order = call.integers("perm", tuple(reversed(range(rank))))
    if sorted(order) != list(range(rank)):
        raise FormatError(f"the attribute perm is {order}, which is not a permutation of {rank} axes")
    perm = (0, *(_axis_batch_first(axis, batch_axis, rank) for axis in order if axis != batch_axis))
    return _call_batch_first(call, {"perm": perm}), order.index(batch_axis)


def recount_squeeze(call: Call, batch_axis: int) -> tuple[Call, int]:
    """The axes of extent 1 that a Squeeze drops."""
    full = call.builder.full_shape(call.tensor())
    file_axes = call.listed(1, "axes", 13)
    if file_axes is None:
        file_axes = tuple(axis for axis, extent in enumerate(full) if extent == 1 and axis != batch_axis)
    axes = [_axis_batch_first(axis, batch_axis, len(full)) for axis in file_axes]
    return _with_axes(call, axes, 13), batch_axis - sum(axis <= batch_axis for axis in axes)


def recount_unsqueeze(call: Call, batch_axis: int) -> tuple[Call, int]:
    """The axes of extent 1 that an Unsqueeze puts in.

    Raises
    ------
    FormatError
        Where the axes are missing, or do not fit the rank.
    """
    file_axes = call.listed(1, "axes", 13)
    if file_axes is None or len(file_axes) > 32:
        raise FormatError("its axes are missing")
    rank = call.rank(call.tensor()) + len(file_axes)
    added = {axis + rank if axis < 0 else axis for axis in file_axes}
    signal_axes = [axis for axis in range(rank) if axis not in added]
    if len(signal_axes) != rank - len(file_axes):
        raise FormatError(f"axes {file_axes} are not {len(file_axes)} of {rank} axes")
    return _with_axes(call, [_axis_batch_first(axis, signal_axes[batch_axis], rank) for axis in file_axes], 13), signal_axes[
        batch_axis
    ]


def recount_gather(call: Call, batch_axis: int) -> tuple[Call, int]:
    """The axis that a Gather picks along, with constant indices."""
    source, indices = call.value(0), call.value(1)
    if isinstance(indices, Tensor):
        return _call_batch_first(call), batch_axis
    axis = _axis_batch_first(call.integer("axis", 0), batch_axis, _rank_of(call, source))
    return _call_batch_first(call, {"axis": axis}), batch_axis + (indices.ndim - 1 if axis <= batch_axis else 0)


def _rank_of(call: Call, value: Value) -> int:
    return call.rank(value) if isinstance(value, Tensor) else value.ndim


def recount_slice(call: Call, batch_axis: int) -> tuple[Call, int]:
    """The axes that a Slice cuts."""
    rank = call.rank(call.tensor())
    axes = [_axis_batch_first(axis, batch_axis, rank) for axis, *_ in slices(call, rank)]
    if call.version < 10:
        return _call_batch_first(call, {"axes": tuple(axes)}), batch_axis
    return _call_batch_first(call, inputs={3: np.asarray(axes, dtype=np.int64)}), batch_axis


def recount_along(default: int) -> Recount:
    """The axis of a Concat or Split, `default` where the node says none."""

    def recount(call: Call, batch_axis: int) -> tuple[Call, int]:
        axis = _axis_batch_first(call.integer("axis", default), batch_axis, _rank(call))
        constants = {
            index: np.moveaxis(value, batch_axis, 0)
            for index, value in enumerate(call.inputs)
            if call.node.op == "Concat" and value is not None and not isinstance(value, Tensor)
        }
        return _call_batch_first(call, {"axis": axis}, constants), batch_axis

    return recount


def recount_reduction(since: int) -> Recount:
    """The axes of a reduction, which are an input from schema `since` on."""

    def recount(call: Call, batch_axis: int) -> tuple[Call, int]:
        rank, file_axes = call.rank(call.tensor()), call.listed(1, "axes", since)
        if not file_axes and call.integer("noop_with_empty_axes", 0):
            return _call_batch_first(call), batch_axis
        axes = [_axis_batch_first(axis, batch_axis, rank) for axis in file_axes or range(rank)]
        gone = 0 if call.integer("keepdims", 1) else sum(axis <= batch_axis for axis in axes)
        return _with_axes(call, axes, since), batch_axis - gone

    return recount


def recount_matmul(call: Call, batch_axis: int) -> tuple[Call, int]:
    """A product of rows with one constant matrix, which stays as it is.

    Raises
    ------
    FormatError
        Where it is another product.
    """
    first, second = call.value(0), call.value(1)
    if isinstance(second, Tensor) or not isinstance(first, Tensor) or second.ndim > 2 or batch_axis == call.rank(first) - 1:
        raise FormatError(
            f"the batch axis of its input is axis {batch_axis}: only products with one constant matrix are supported then"
        )
    return _call_batch_first(call), batch_axis


def recount_softmax(call: Call, batch_axis: int) -> tuple[Call, int]:
    """The axis that a softmax normalises; before schema 13 it is refused.

    Raises
    ------
    FormatError
        Where the schema is older: several axes are normalised together.
    """
    if call.version < 13:
        raise FormatError(f"the batch axis of its input is axis {batch_axis}, and several axes are normalised together")
    return recount_along(-1)(call, batch_axis)
