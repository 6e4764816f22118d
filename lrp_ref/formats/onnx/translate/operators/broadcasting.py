"""Broadcasting: the ranks and shapes of an operator's inputs brought together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .....arrays import Array, Shape
from .....errors import FormatError
from .....layers import Expand, Identity, Reshape, Scale
from ..builder import Tensor, Value
from ..operator_call import Call


def align_operands(call: Call, values: Sequence[Value]) -> list[Value]:
    """The operands of an operator that broadcasts: signals of one rank, and constants shaped to meet one sample of them.

    Parameters
    ----------
    values : the operands, at least one a signal

    Raises
    ------
    FormatError
        Where signals of different ranks meet, so that a batch axis meets another axis.
    """
    rank = max(call.rank(v) if isinstance(v, Tensor) else v.ndim for v in values)
    operands: list[Value] = []
    for number, value in enumerate(values):
        if not isinstance(value, Tensor):
            operands.append(call.per_sample(value, rank))
        elif call.rank(value) == rank:
            operands.append(value)
        elif call.lead:
            raise FormatError(
                f"signals and constants of different ranks meet, so that the batch axis of {value.name!r} meets another axis"
            )
        else:
            shape = (1,) * (rank - call.rank(value)) + value.shape
            operands.append(call.emit(Reshape(shape), value, suffix=f"reshape_{number}"))
    return operands


def expand(call: Call, x: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor x broadcast to samples of a shape; nothing is added where it has that shape."""
    return x if x.shape == tuple(shape) else call.emit(Expand(tuple(shape)), x, suffix="expand")


def affine(call: Call, x: Tensor, weight: Array | None = None, bias: Array | None = None, suffix: str = "") -> Tensor:
    """The tensor weight·x + bias, with constants that meet one sample.

    Parameters
    ----------
    weight, bias : None: 1 and 0
    suffix : of the node's name

    Raises
    ------
    FormatError
        Where the constants stretch it beyond the budget.
    """
    shape: Shape = np.broadcast_shapes(x.shape, *(c.shape for c in (weight, bias) if c is not None))
    if math.prod(shape) * call.builder.dtype.itemsize > call.builder.budget:
        raise FormatError(f"constants stretch its output to shape {shape}, which is beyond the budget")
    x = expand(call, x, shape)
    if weight is None and bias is None:
        return call.emit(Identity(), x, suffix=suffix)
    factor = call.parameter(1.0 if weight is None else weight)
    return call.emit(Scale(factor, None if bias is None else call.parameter(bias)), x, suffix=suffix)
