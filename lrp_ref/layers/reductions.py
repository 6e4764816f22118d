"""Layers that reduce axes or windows beyond mean, sum and maximum pooling: Sum, ReduceMax, LpPool, GlobalLpPool."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, Shape, check_number, check_type, divide, integers, is_exact, like, sum_to
from ..errors import ExactnessError, ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Layer, Linear, need_arity, need_rank, ones
from .functions import Sign
from .pooling import GlobalSumPool, Pooling, Selecting, SumPool, _check_pool, _pool_shape, pool_window
from .window import gather, scatter, window_sum


def _reduced_axes(given: Any, kind: str) -> tuple[int, ...]:
    """Different axes other than the batch axis."""
    axes = integers(given, f"{kind}.axes")
    if not axes or 0 in axes or len(set(axes)) != len(axes):
        raise ParameterError(f"{kind}.axes must be different axes other than the batch axis 0, found {axes}")
    return axes


def _axes_from_front(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """The axes counted from the front of an input of `ndim` axes."""
    numbers = tuple(axis + ndim if axis < 0 else axis for axis in axes)
    if any(not 0 < axis < ndim for axis in numbers) or len(set(numbers)) != len(numbers):
        raise ShapeError(f"axes {axes} do not exist beside a batch axis in an input of {ndim} axes")
    return numbers


def _keepdims_shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))


def _reduced_shape(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    return _keepdims_shape(shape, axes) if keepdims else tuple(e for axis, e in enumerate(shape) if axis not in axes)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Sum(Linear):
    """The sum over `axes` (numbered with the batch as axis 0, which may not be among them).

    Parameters
    ----------
    axes : the axes that the sum goes over; negative ones count from the end
    keepdims : whether they stay, with extent 1
    """

    axes: tuple[int, ...] = (1,)
    keepdims: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axes", _reduced_axes(self.axes, "Sum"))

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones()

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return _reduced_shape(inputs[0], _axes_from_front(self.axes, len(inputs[0])), self.keepdims)

    def map(self, a: Array, weight: Array) -> Array:
        shape_with_ones = _keepdims_shape(a.shape, _axes_from_front(self.axes, a.ndim))
        return np.asarray(sum_to(a * weight, shape_with_ones).reshape(self.shape(a.shape)))

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        shape_with_ones = _keepdims_shape(shape, _axes_from_front(self.axes, len(shape)))
        return np.asarray(np.broadcast_to(s.reshape(shape_with_ones), shape) * weight)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class ReduceMax(Selecting):
    """The largest element over `axes` (numbered with the batch as axis 0, which may not be among them).

    Parameters
    ----------
    axes : the axes that the maximum goes over; negative ones count from the end
    keepdims : whether they stay, with extent 1
    """

    axes: tuple[int, ...] = (1,)
    keepdims: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axes", _reduced_axes(self.axes, "ReduceMax"))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        axes = _axes_from_front(self.axes, len(inputs[0]))
        if not math.prod(inputs[0][axis] for axis in axes):
            raise ShapeError(f"nothing to take a maximum of over axes {self.axes} of an input of shape {inputs[0]}")
        return _reduced_shape(inputs[0], axes, self.keepdims)

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return np.asarray(inputs[0].max(axis=_axes_from_front(self.axes, inputs[0].ndim), keepdims=self.keepdims))

    def _order(self, ndim: int) -> tuple[int, ...]:
        """The batch, the axes that stay, and those that go, in the input's order: the first of equal cells stays the first."""
        axes = sorted(_axes_from_front(self.axes, ndim))
        return (*(axis for axis in range(ndim) if axis not in axes), *axes)

    def cells(self, a: Array) -> tuple[Array, Array]:
        moved = a.transpose(self._order(a.ndim))
        split = a.ndim - len(self.axes)
        rows = moved.reshape(a.shape[0], math.prod(moved.shape[1:split]), math.prod(moved.shape[split:]))
        return rows, np.ones((1, 1, rows.shape[2]), dtype=bool)

    def spread(self, cells: Array, shape: Shape) -> Array:
        order = self._order(len(shape))
        return cells.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))

    def as_sum(self) -> Linear:
        return Sum(self.axes, self.keepdims)


def _lp_norm(powers: Array, p: Any) -> Array:
    return np.asarray(np.sqrt(powers) if p == 2 else powers if p == 1 else powers ** powers.dtype.type(1 / p))


def _slope(a: Array, norm: Array, p: Any) -> Array:
    """∂‖a‖/∂a = sign(a) (|a|/‖a‖)^(p−1) of a p-norm; 0 where the norm is 0."""
    signs = Sign().function(a)
    if p == 1:
        return signs
    share = divide(abs(a), norm, np.broadcast_to(norm != like(0, norm), a.shape))
    return np.asarray(signs * (share if p == 2 else share ** a.dtype.type(p - 1)))


def _powered(layer: Layer, a: Array, p: Any) -> Array:
    if p == 1:
        return np.asarray(abs(a))
    if is_exact(a):
        raise ExactnessError(f"{type(layer).__name__} of rationals is not rational; use float64 arrays")
    check_type(a)
    return np.asarray(a * a if p == 2 else abs(a) ** a.dtype.type(p))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LpPool(Pooling):
    r"""The p-norm of each window, :math:`(\sum |a|^p)^{1/p}`; padding counts as 0.

    Parameters
    ----------
    kernel, stride, padding, dilation, ceil_mode : as in `SumPool`
    p : at least 1
    """

    kernel: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    p: Any = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.p, "LpPool.p", 1)
        _check_pool(self)

    def shape(self, *inputs: Shape) -> Shape:
        return _pool_shape(self, inputs)

    def forward(self, *inputs: Array) -> Array:
        out = self.shape(*(a.shape for a in inputs))
        powers = _powered(self, inputs[0], self.p)
        return _lp_norm(window_sum(powers, pool_window(self, powers.ndim - 2), out[2:]), self.p)

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        window = pool_window(self, output.ndim - 2)
        slopes = _slope(gather(inputs[0], window, output.shape[2:]), output[:, :, None], self.p)
        return (scatter(slopes * upper[:, :, None], window, inputs[0].shape),)

    def as_sum(self) -> Linear:
        return SumPool(self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class GlobalLpPool(Pooling):
    r"""The p-norm of each channel, (N, C, \*spatial) → (N, C, 1, …).

    Parameters
    ----------
    p : the order of the norm, a number of at least 1
    """

    p: Any = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.p, "GlobalLpPool.p", 1)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 3, "(N, C, *spatial) with 1 to 3 spatial axes", 5)
        return (*inputs[0][:2], *(1 for _ in inputs[0][2:]))

    def forward(self, *inputs: Array) -> Array:
        out = self.shape(*(a.shape for a in inputs))
        return _lp_norm(sum_to(_powered(self, inputs[0], self.p), out), self.p)

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        return (np.asarray(_slope(inputs[0], output, self.p) * upper),)

    def as_sum(self) -> Linear:
        return GlobalSumPool()
