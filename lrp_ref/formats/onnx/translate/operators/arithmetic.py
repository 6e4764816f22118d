"""Sums, products and comparisons of signals and constants."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .....arrays import Array
from .....errors import FormatError
from .....layers import Add, Compare, Divide, Exp, Identity, Maximum, Minimum, Multiply, Pow, Power, Reciprocal, Subtract, Where
from .....layers.base import Layer
from ...read.tensors import check_size
from ..builder import Tensor, Value
from ..operator_call import Call
from ..registry import Operator, OperatorFunction, versions
from .activations import clip
from .broadcasting import affine, align_operands, expand


def _signals_and_constants(call: Call) -> tuple[list[Tensor], list[Array]]:
    """The signals and the constants among all inputs, aligned."""
    values = align_operands(call, [call.value(index) for index in range(len(call.inputs))])
    constants = [v for v in values if isinstance(v, np.ndarray)]
    check_size(np.broadcast_shapes(*(c.shape for c in constants)), *constants)  # they are brought together at load
    return [v for v in values if isinstance(v, Tensor)], constants


def _pair(call: Call) -> tuple[Value, Value]:
    first, second = align_operands(call, [call.value(0), call.value(1)])
    return first, second


def _sum(call: Call) -> Tensor:
    signals, constants = _signals_and_constants(call)
    factor = call.parameter(1 / len(call.inputs)) if call.node.op == "Mean" else None
    bias = functools.reduce(np.add, map(call.finite_mask, constants)) if constants else None
    if bias is None and factor is None:
        return _added(call, signals, "")
    x = _added(call, signals, "sum") if len(signals) > 1 else signals[0]
    return affine(call, x, factor, bias if factor is None or bias is None else bias * factor)


def _added(call: Call, signals: list[Tensor], suffix: str) -> Tensor:
    layer = Add(len(signals)) if len(signals) > 1 else Identity()
    return call.emit(layer, *signals, suffix=suffix)


def _sub(call: Call) -> Tensor:
    first, second = _pair(call)
    if not isinstance(second, Tensor):
        return affine(call, _signal(first), None, call.finite_mask(-second))
    if not isinstance(first, Tensor):
        return affine(call, second, np.asarray(-1.0), call.finite_mask(first))
    return call.emit(Subtract(), first, second)


def _signal(value: Value) -> Tensor:
    assert isinstance(value, Tensor)  # one of a pair always is; what is constant altogether is folded
    return value


def _mul(call: Call) -> Tensor:
    first, second = _pair(call)
    if not isinstance(second, Tensor):
        return affine(call, _signal(first), second)
    if not isinstance(first, Tensor):
        return affine(call, second, first)
    return call.emit(Multiply(), first, second)


def _div(call: Call) -> Tensor:
    first, second = _pair(call)
    if not isinstance(second, Tensor):
        if (second == 0).any():
            raise FormatError("it divides by 0")
        return affine(call, _signal(first), 1 / call.parameter(second))
    if not isinstance(first, Tensor):
        if first.size == 1 and first.flat[0] == 1:
            return call.emit(Reciprocal(), second)
        return affine(call, call.emit(Reciprocal(), second, suffix="reciprocal"), first)
    return call.emit(Divide(), first, second)


def _pow(call: Call) -> Tensor:
    first, second = _pair(call)
    if not isinstance(first, Tensor):
        if not (first > 0).all():
            raise FormatError("a constant that is not positive to the power of a signal is not supported")
        scaled = affine(call, _signal(second), np.log(first.astype(np.float64)), suffix="exponent")
        return call.emit(Exp(), scaled)
    if isinstance(second, Tensor):
        return call.emit(Power(), first, second)
    x = expand(call, first, np.broadcast_shapes(first.shape, second.shape))
    return call.emit(Pow(call.parameter(second if second.size > 1 else second.reshape(()))), x)


def _extreme(layer: Callable[[int], Layer], function: Callable[[Array, Array], Array]) -> OperatorFunction:
    """Max and Min; a constant bound makes an activation of them."""

    def extreme(call: Call) -> Tensor:
        signals, constants = _signals_and_constants(call)
        if not constants:
            return call.emit(layer(len(signals)) if len(signals) > 1 else Identity(), *signals)
        bound = functools.reduce(function, constants)
        x = signals[0] if len(signals) == 1 else call.emit(layer(len(signals)), *signals, suffix="of_signals")
        x = expand(call, x, np.broadcast_shapes(x.shape, bound.shape))
        if not bound.size or (bound != bound.flat[0]).any():
            beyond = call.emit(Compare(">" if layer is Maximum else "<", call.parameter(bound)), x, suffix="beyond")
            return call.emit(Where(otherwise=call.parameter(bound)), beyond, x)
        number = float(bound.flat[0])
        return clip(call, x, *((number, None) if layer is Maximum else (None, number)))

    return extreme


TABLE: dict[tuple[str, int], Operator] = {
    **versions("Add", _sum, 7, 13, 14, broadcasts=True),
    **versions("Div", _div, 7, 13, 14, broadcasts=True),
    **versions("Max", _extreme(Maximum, np.maximum), 6, 8, 12, 13, broadcasts=True),
    **versions("Mean", _sum, 6, 8, 13, broadcasts=True),
    **versions("Min", _extreme(Minimum, np.minimum), 6, 8, 12, 13, broadcasts=True),
    **versions("Mul", _mul, 7, 13, 14, broadcasts=True),
    **versions("Pow", _pow, 7, 12, 13, 15, broadcasts=True),
    **versions("Sub", _sub, 7, 13, 14, broadcasts=True),
    **versions("Sum", _sum, 6, 8, 13, broadcasts=True),
}
