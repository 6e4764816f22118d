"""Operators that reduce axes, and normalisations by the input's own statistics."""

from __future__ import annotations

import math

import numpy as np

from .....arrays import Array
from .....errors import FormatError
from .....layers import (
    LRN,
    Abs,
    GlobalAvgPool,
    GlobalMaxPool,
    GroupNorm,
    Identity,
    InstanceNorm,
    LayerNorm,
    LpNorm,
    Mean,
    Pow,
    ReduceMax,
    RMSNorm,
    Scale,
    Sqrt,
    Sum,
)
from .....layers.base import Layer
from ..batch_axis import recount_reduction
from ..builder import Tensor
from ..folded_batch import unfold_reduction
from ..operator_call import Call
from ..registry import Operator, OperatorFunction, versions
from .broadcasting import affine


def _reduce(layer: type[Layer], over_space: type[Layer] | None, since: int) -> OperatorFunction:
    """A reduction; `over_space` is the pooling that it is where it goes over all spatial axes and keeps them."""

    def function(call: Call) -> Tensor:
        return _reduced(call, call.tensor(), layer, over_space, since)

    return function


def _reduced(call: Call, x: Tensor, layer: type[Layer], over_space: type[Layer] | None, since: int, suffix: str = "") -> Tensor:
    file_axes = call.listed(1, "axes", since)
    if not file_axes and call.integer("noop_with_empty_axes", 0):
        return call.emit(Identity(), x, suffix=suffix)
    rank = call.rank(x)
    axes = call.axes(file_axes or tuple(range(rank)), rank)
    keep = bool(call.integer("keepdims", 1))
    spatial = tuple(range(2, len(x.shape) + 1))
    if over_space is not None and keep and axes == spatial and 1 <= len(spatial) <= 3:
        return call.emit(over_space(), x, suffix=suffix)
    return call.emit(layer(axes, keep), x, suffix=suffix)  # type: ignore[call-arg]


def _least(call: Call) -> Tensor:
    """min x = −max(−x)."""
    negative = call.emit(Scale(call.parameter(-1.0)), call.tensor(), suffix="negative")
    largest = _reduced(call, negative, ReduceMax, GlobalMaxPool, 18, "largest")
    return call.emit(Scale(call.parameter(-1.0)), largest)


def _of_powers(p: int, root: bool) -> OperatorFunction:
    """Σ|x|, Σx² and √Σx²: what they are made of, so that a norm by them is found."""

    def function(call: Call) -> Tensor:
        powers = call.emit(Abs() if p == 1 else Pow(call.parameter(2.0)), call.tensor(), suffix="powers")
        total = _reduced(call, powers, Sum, None, 18, "sum" if root else "")
        return call.emit(Sqrt(), total) if root else total

    return function


def _lp_norm(call: Call) -> Tensor:
    x = call.tensor()
    return call.emit(LpNorm((call.axis(call.integer("axis", -1), call.rank(x)),), call.integer("p", 2)), x)


def _lrn(call: Call) -> Tensor:
    layer = LRN(call.integer("size"), call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("bias", 1.0))
    return call.emit(layer, call.image())


def _instance_norm(call: Call) -> Tensor:
    scale, shift = (call.parameter(call.constant(index)) for index in (1, 2))
    return call.emit(InstanceNorm(scale, shift, call.number("epsilon", 1e-5)), call.image())


def _group_norm(call: Call) -> Tensor:
    x, groups = call.image(), call.integer("num_groups")
    scale, shift = (call.parameter(call.constant(index)) for index in (1, 2))
    if call.version < 21 and x.shape and groups > 0 and x.shape[0] % groups == 0:  # one number for each group, then
        scale, shift = (np.repeat(values, x.shape[0] // groups) for values in (scale, shift))
    return call.emit(GroupNorm(groups, scale, shift, call.number("epsilon", 1e-5)), x)


def _rms_norm(call: Call) -> list[Tensor | None]:
    return _over_last(call, RMSNorm)


def _layer_norm(call: Call) -> list[Tensor | None]:
    return _over_last(call, LayerNorm)


def _over_last(call: Call, norm: type[LayerNorm | RMSNorm]) -> list[Tensor | None]:
    x = call.tensor()
    first = call.axis(call.integer("axis", -1), call.rank(x))
    axes = len(x.shape) - first + 1
    scale, shift = _over(call, call.constant(1), axes), call.optional_constant(2)
    shift = None if shift is not None and not shift.any() else shift  # exporters write what does nothing
    epsilon = call.number("epsilon", 1e-5)
    if scale is not None and (shift is None or _over(call, shift, axes) is not None):
        scale = None if (scale == 1).all() else scale
        return [call.emit(norm(axes, scale, None if shift is None else _over(call, shift, axes), epsilon), x)]
    plain = call.emit(norm(axes, None, None, epsilon), x, suffix="normalised")
    constants = [None if c is None else call.per_sample(c, call.rank(x)) for c in (call.constant(1), shift)]
    return [affine(call, plain, constants[0], constants[1])]


def _over(call: Call, constant: Array, axes: int) -> Array | None:
    """A constant that varies along the last `axes` axes only; None where it varies along others too."""
    if math.prod(constant.shape[: max(0, constant.ndim - axes)]) != 1:
        return None
    return call.parameter(constant.reshape(constant.shape[max(0, constant.ndim - axes) :]))


def _ignored(call: Call) -> list[Tensor | None]:
    raise FormatError(f"{call.node.op} picks indices, which cannot be explained; end the model before it with outputs=")


TABLE: dict[tuple[str, int], Operator] = {
    **versions("ArgMax", _ignored, 1, 11, 12, 13),
    **versions("GroupNormalization", _group_norm, 18, 21),
    **versions("InstanceNormalization", _instance_norm, 6, 22),
    **versions("LRN", _lrn, 1, 13),
    **versions("LayerNormalization", _layer_norm, 17),
    **versions("LpNormalization", _lp_norm, 1, 22),
    **versions("RMSNormalization", _rms_norm, 23),
    **versions("ReduceL1", _of_powers(1, root=False), 1, 11, 13, 18, recount=recount_reduction(18)),
    **versions("ReduceL2", _of_powers(2, root=True), 1, 11, 13, 18, recount=recount_reduction(18)),
    **versions(
        "ReduceMax",
        _reduce(ReduceMax, GlobalMaxPool, 18),
        1,
        11,
        12,
        13,
        18,
        20,
        recount=recount_reduction(18),
        unfold=unfold_reduction(18),
    ),
    **versions(
        "ReduceMean", _reduce(Mean, GlobalAvgPool, 18), 1, 11, 13, 18, recount=recount_reduction(18), unfold=unfold_reduction(18)
    ),
    **versions("ReduceMin", _least, 1, 11, 12, 13, 18, 20, recount=recount_reduction(18)),
    **versions("ReduceSum", _reduce(Sum, None, 13), 1, 11, 13, recount=recount_reduction(13), unfold=unfold_reduction(13)),
    **versions("ReduceSumSquare", _of_powers(2, root=False), 1, 11, 13, 18, recount=recount_reduction(18)),
    **versions("TopK", _ignored, 1, 10, 11, 24),
}
