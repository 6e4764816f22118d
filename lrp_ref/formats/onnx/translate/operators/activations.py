"""Functions of one signal, element by element."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .....errors import FormatError
from .....layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Abs,
    Clip,
    Compare,
    Dropout,
    Erf,
    Exp,
    Flatten,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyReLU,
    Log,
    LogSoftmax,
    Mish,
    PReLU,
    Reciprocal,
    ReLU,
    Reshape,
    Scale,
    Shrink,
    Sigmoid,
    Sign,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Sqrt,
    Tanh,
    Threshold,
)
from .....layers.base import Layer
from ...read.tensors import kind_name
from ..batch_axis import recount_softmax
from ..builder import Tensor, Value
from ..folded_batch import unfold_softmax
from ..integers import BOOL
from ..operator_call import Call
from ..registry import Operator, OperatorFunction, versions
from .broadcasting import expand


def _plain(layer: type[Layer]) -> OperatorFunction:
    """An operator without attributes."""

    def function(call: Call) -> Tensor:
        return call.emit(layer(), call.tensor())

    return function


def _leaky(call: Call) -> Tensor:
    return call.emit(LeakyReLU(call.number("alpha", 0.01)), call.tensor())


def _elu(call: Call) -> Tensor:
    return call.emit(ELU(call.number("alpha", 1.0)), call.tensor())


def _celu(call: Call) -> Tensor:
    return call.emit(CELU(call.number("alpha", 1.0)), call.tensor())


def _selu(call: Call) -> Tensor:
    default = SELU()
    return call.emit(SELU(call.number("alpha", default.alpha), call.number("gamma", default.gamma)), call.tensor())


def _hard_sigmoid(call: Call) -> Tensor:
    slope = call.number("alpha", 0.2)
    slope = 1 / 6 if np.float32(slope) == np.float32(1 / 6) else slope
    return call.emit(HardSigmoid(slope, call.number("beta", 0.5)), call.tensor())


def _swish(call: Call) -> Tensor:
    return call.emit(SiLU(call.number("alpha", 1.0)), call.tensor())


def _gelu(call: Call) -> Tensor:
    return call.emit(GELU(call.text("approximate", "none")), call.tensor())


def _shrink(call: Call) -> Tensor:
    return call.emit(Shrink(call.number("lambd", 0.5), call.number("bias", 0.0)), call.tensor())


def _thresholded(call: Call) -> Tensor:
    threshold = call.number("alpha", 1.0)
    return call.emit(Threshold(threshold) if threshold else ReLU(), call.tensor())


def _prelu(call: Call) -> Tensor:
    x = call.tensor()
    slope = call.per_sample(call.constant(1), call.rank(x))
    x = expand(call, x, np.broadcast_shapes(x.shape, slope.shape))
    return call.emit(PReLU(call.parameter(slope)), x)


def clip(call: Call, x: Tensor, low: float | None, high: float | None) -> Tensor:
    """The layer of min(high, max(low, x)), under the name by which rules know it: Identity, ReLU or Clip.

    Parameters
    ----------
    low, high : None, or beyond float32: no bound

    Raises
    ------
    FormatError
        Where a bound is not a number.
    """
    largest = float(np.finfo(np.float32).max)
    low = None if low is None or low <= -largest else low
    high = None if high is None or high >= largest else high
    if any(bound is not None and math.isnan(bound) for bound in (low, high)):
        raise FormatError("a bound is not a number")
    if low is None and high is None:
        return call.emit(Identity(), x)
    return call.emit(ReLU() if low == 0 and high is None else Clip(low, high), x)


def _clip_by_attributes(call: Call) -> Tensor:
    bounds = (call.number(name) if call.has(name) else None for name in ("min", "max"))
    return clip(call, call.tensor(), *bounds)


def _clip(call: Call) -> Tensor:
    return clip(call, call.tensor(), call.scalar(1), call.scalar(2))


def _negated(call: Call) -> Tensor:
    return call.emit(Scale(call.parameter(-1.0)), call.tensor())


def _softmax(call: Call) -> Tensor:
    x = call.tensor()
    layer = Softmax if call.node.op == "Softmax" else LogSoftmax
    if call.version >= 13:
        return call.emit(layer(call.axis(call.integer("axis", -1), call.rank(x))), x)
    return _flat_softmax(call, x, layer)


def _flat_softmax(call: Call, x: Tensor, layer: type[Softmax]) -> Tensor:
    """Before version 13 all axes from `axis` on were normalised together."""
    axis = call.axis(call.integer("axis", 1), call.rank(x))
    if math.prod(x.shape[axis:]) == 1:  # the last axis, or nothing but axes of extent 1 behind it
        return call.emit(layer(axis), x)
    flat = call.emit(layer(axis), call.emit(Flatten(axis), x, suffix="flatten"), suffix="flat")
    return call.emit(Reshape(x.shape), flat)


def _dropout(call: Call) -> list[Tensor | None]:
    training = call.optional_constant(2)
    if training is not None and training.any():
        raise FormatError("it drops at random (training mode); export the network for inference")
    rate = call.number("ratio", 0.5) if call.version < 12 else call.scalar(1)
    return [call.emit(Dropout(0.5 if rate is None else rate), call.tensor())]


_FLOATS = frozenset({1, 10, 11, 16})
#: How many bits an integer type holds; numbers of 64 bits are those of 32 in the files that there are.
_SIZES = {9: 1, 3: 7, 2: 8, 5: 15, 4: 16, 6: 31, 7: 31, 12: 32, 13: 32}


def _cast(call: Call) -> Tensor:
    x, to = call.tensor(), call.integer("to")
    if to == BOOL:
        return x if x.kind == BOOL else replace(call.emit(Compare("!=", call.parameter(0.0)), x), kind=BOOL)
    if to not in _FLOATS and not x.kind:
        raise FormatError("a signal is cast to integers, which cannot be explained; end the model before it with outputs=")
    signed = to in (2, 4, 12, 13) and x.kind in (3, 5, 6, 7)
    if to not in _FLOATS and (signed or _SIZES.get(to, 0) < _SIZES.get(x.kind, 0)):
        raise FormatError(f"integers are cast to {kind_name(to)}, which wraps around; end the model before it with outputs=")
    # Half precision is computed in the model's own, wider type.
    return replace(x, kind=to) if to not in _FLOATS else replace(call.emit(Identity(), x), kind=0)


def _cast_like(call: Call) -> Value:
    first, like = call.value(0), call.value(1)
    if not isinstance(first, Tensor):
        return call.parameter(first)  # the type of a signal, which is the model's
    if isinstance(like, np.ndarray) and like.dtype.kind != "f":
        raise FormatError("a signal is cast to integers, which cannot be explained; end the model before it with outputs=")
    return call.emit(Identity(), first)


TABLE: dict[tuple[str, int], Operator] = {
    **versions("Abs", _plain(Abs), 6, 13, elementwise=True),
    **versions("Cast", _cast, 6, 9, 13, 19, 21, 23, 24, 25, 28, elementwise=True),
    **versions("CastLike", _cast_like, 15, 19, 21, 23, 24, 25),
    **versions("Celu", _celu, 12, 28, elementwise=True),
    **versions("Clip", _clip_by_attributes, 6, elementwise=True),
    **versions("Clip", _clip, 11, 12, 13, elementwise=True),
    **versions("Dropout", _dropout, 7, 10, 12, 13, 22, elementwise=True),
    **versions("Elu", _elu, 6, 22, elementwise=True),
    **versions("Erf", _plain(Erf), 9, 13, elementwise=True),
    **versions("Exp", _plain(Exp), 6, 13, elementwise=True),
    **versions("Gelu", _gelu, 20, elementwise=True),
    **versions("HardSigmoid", _hard_sigmoid, 6, 22, elementwise=True),
    **versions("HardSwish", _plain(HardSwish), 14, 22, elementwise=True),
    **versions("Identity", _plain(Identity), 1, 13, 14, 16, 19, 21, 23, 24, 25, elementwise=True),
    **versions("LeakyRelu", _leaky, 6, 16, elementwise=True),
    **versions("Log", _plain(Log), 6, 13, elementwise=True),
    **versions("LogSoftmax", _softmax, 1, 11, 13, recount=recount_softmax, unfold=unfold_softmax),
    **versions("Mish", _plain(Mish), 18, 22, elementwise=True),
    **versions("Neg", _negated, 6, 13, elementwise=True),
    **versions("PRelu", _prelu, 7, 9, 16, broadcasts=True),
    **versions("Reciprocal", _plain(Reciprocal), 6, 13, elementwise=True),
    **versions("Relu", _plain(ReLU), 6, 13, 14, elementwise=True),
    **versions("Selu", _selu, 6, 22, elementwise=True),
    **versions("Shrink", _shrink, 9, elementwise=True),
    **versions("Sigmoid", _plain(Sigmoid), 6, 13, elementwise=True),
    **versions("Sign", _plain(Sign), 9, 13),
    **versions("Softmax", _softmax, 1, 11, 13, recount=recount_softmax, unfold=unfold_softmax),
    **versions("Softplus", _plain(Softplus), 1, 22, elementwise=True),
    **versions("Softsign", _plain(Softsign), 1, 22, elementwise=True),
    **versions("Sqrt", _plain(Sqrt), 6, 13, elementwise=True),
    **versions("Swish", _swish, 24, elementwise=True),
    **versions("Tanh", _plain(Tanh), 6, 13, elementwise=True),
    **versions("ThresholdedRelu", _thresholded, 10, 22, elementwise=True),
}
