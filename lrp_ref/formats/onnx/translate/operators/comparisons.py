"""Comparisons, and the choice that goes by them. True is 1 and false is 0 where a signal is compared."""

from __future__ import annotations

import numpy as np

from .....arrays import Array
from .....errors import FormatError
from .....layers import Add, Compare, Maximum, Multiply, Subtract, Where
from .....layers.base import Layer
from ...read.tensors import check_size
from ..builder import Tensor, Value
from ..operator_call import Call
from ..registry import Operator, OperatorFunction, versions
from .broadcasting import affine, align_operands, expand

#: What a relation is with its sides exchanged.
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}


def _comparison(relation: str) -> OperatorFunction:
    def compared(call: Call) -> Tensor:
        first, second = align_operands(call, [call.value(0), call.value(1)])
        if isinstance(first, Tensor) and isinstance(second, Tensor):
            # In floats a difference is 0 only between equal numbers, and has the sign of the exact one.
            return call.emit(Compare(relation, call.parameter(0.0)), call.emit(Subtract(), first, second, suffix="difference"))
        if isinstance(first, Tensor):
            assert not isinstance(second, Tensor)
            return _with_constant(call, relation, first, second)
        assert isinstance(second, Tensor)
        return _with_constant(call, _MIRRORED[relation], second, first)

    return compared


def _with_constant(call: Call, relation: str, x: Tensor, other: Array) -> Tensor:
    return call.emit(Compare(relation, call.parameter(other)), expand(call, x, np.broadcast_shapes(x.shape, other.shape)))


def _not(call: Call) -> Tensor:
    return call.emit(Compare("==", call.parameter(0.0)), call.tensor())


def _both(call: Call) -> Tensor:
    return _joint(call, Multiply())


def _either(call: Call) -> Tensor:
    return _joint(call, Maximum())


def _joint(call: Call, layer: Layer) -> Tensor:
    """A function of two truth values, each of which is 0 or 1."""
    values = align_operands(call, [call.value(0), call.value(1)])
    signals = [v for v in values if isinstance(v, Tensor)]
    if len(signals) < 2:
        raise FormatError("a truth value of a signal meets one of a constant, which is not supported")
    return call.emit(layer, *signals)


def _where(call: Call) -> Tensor:
    condition, first, second = align_operands(call, [call.value(index) for index in range(3)])
    if not isinstance(condition, Tensor):
        return _masked(call, condition, first, second)
    shape = np.broadcast_shapes(*(value.shape for value in (condition, first, second)))
    call.builder.check(shape, "its output")
    condition = expand(call, condition, shape)
    then, otherwise = (None if isinstance(v, Tensor) else call.parameter(call.finite_mask(v)) for v in (first, second))
    return call.emit(Where(then, otherwise), condition, *(v for v in (first, second) if isinstance(v, Tensor)))


def _masked(call: Call, condition: Array, first: Value, second: Value) -> Tensor:
    """A choice that is known at load: each signal times a mask of ones and zeros, a constant where it is chosen."""
    mask, opposite = condition != 0, condition == 0
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return call.emit(Add(), affine(call, first, mask, suffix="first"), affine(call, second, opposite, suffix="second"))
    if isinstance(first, Tensor):
        assert not isinstance(second, Tensor)
        return affine(call, first, mask, _filled(opposite, call.finite_mask(second)))
    assert isinstance(second, Tensor)
    return affine(call, second, opposite, _filled(mask, call.finite_mask(first)))


def _filled(mask: Array, constant: Array) -> Array:
    check_size(np.broadcast_shapes(mask.shape, constant.shape), mask, constant)
    return np.where(mask, constant, 0)


TABLE: dict[tuple[str, int], Operator] = {
    **versions("And", _both, 7),
    **versions("Equal", _comparison("=="), 7, 11, 13, 19),
    **versions("Greater", _comparison(">"), 7, 9, 13),
    **versions("GreaterOrEqual", _comparison(">="), 12, 16),
    **versions("Less", _comparison("<"), 7, 9, 13),
    **versions("LessOrEqual", _comparison("<="), 12, 16),
    **versions("Not", _not, 1),
    **versions("Or", _either, 7),
    **versions("Where", _where, 9, 16, broadcasts=True),
}
