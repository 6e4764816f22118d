"""Normalisations by a length or a range of the input itself: RMSNorm, LpNorm, MinMaxNorm."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, is_exact, like, square_root, sum_to, zeros
from ..errors import ParameterError, UnderflowError
from ..lazy_dataclass import lazy_dataclass
from .base import need_arity
from .norms import LastAxes, Normalised, _finite, _need_elements
from .reductions import _axes_from_front, _keepdims_shape, _reduced_axes


@lazy_dataclass(frozen=True, eq=False, repr=False)
class RMSNorm(LastAxes):
    r"""Each sample divided by its root mean square over the last `axes` axes (Zhang & Sennrich 2019).

    .. math:: z = \gamma\, a / \bigl(\sqrt{\tfrac{1}{n} \sum a^2 + \epsilon} + \delta\bigr) + \beta

    Parameters
    ----------
    axes : how many of the last axes are normalised together; the batch axis may not be among them
    scale, shift : broadcast against these axes; None: 1 and 0
    epsilon : inside the square root
    outside : δ, outside of it
    """

    centred: ClassVar[bool] = False


class _OverAxes(Normalised):
    """A normalisation over any axes but that of the batch, without γ and β."""

    axes: tuple[int, ...]
    floor: Any
    scale: ClassVar[None] = None  # type: ignore[misc]
    shift: ClassVar[None] = None  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axes", _reduced_axes(self.axes, type(self).__name__))
        check_number(self.floor, f"{type(self).__name__}.floor", 0)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        _need_elements(inputs[0], _axes_from_front(self.axes, len(inputs[0])))
        return inputs[0]

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        return shape, _axes_from_front(self.axes, len(shape))

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        return None, None

    def _group(self, a: Array) -> Shape:
        """The shape with one entry for each group."""
        return _keepdims_shape(a.shape, _axes_from_front(self.axes, a.ndim))

    def _inverse(self, size: Array) -> Array:
        """1/max(size, floor), 0 where that is 0: a group of zeros stays one."""
        size = np.maximum(size, like(self.floor, size))
        nothing = size == like(0, size)
        return np.where(nothing, like(0, size), like(1, size) / np.where(nothing, like(1, size), size))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LpNorm(_OverAxes):
    r"""Groups divided by their p-norm, :math:`z = a / \max\bigl((\sum |a|^p + \epsilon)^{1/p} + \delta, f\bigr)`.

    A group of zeros stays one.

    Parameters
    ----------
    axes : over which the sum goes (numbered with the batch as axis 0, which may not be among them)
    p : 1 or 2
    epsilon : ε, inside the root
    floor : f, the least divisor
    outside : δ, outside of the root
    """

    axes: tuple[int, ...] = (1,)
    p: Any = 2
    epsilon: Any = 0.0
    floor: Any = 0.0
    outside: Any = 0.0
    centred: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p not in (1, 2):
            raise ParameterError(f"LpNorm.p must be 1 or 2, found {self.p!r}")
        check_number(self.outside, "LpNorm.outside", 0)

    def _length(self, a: Array) -> Array:
        with np.errstate(over="ignore"):
            powers = sum_to(a * a if self.p == 2 else abs(a), self._group(a)) + like(self.epsilon, a)
        return square_root(powers) if self.p == 2 else powers

    def statistics(self, a: Array) -> tuple[Array, Array]:
        length = _finite(self._length(a), a, "the length of inputs that are normalised together")
        if not is_exact(a) and ((length == 0) & (a != 0)).any():
            raise UnderflowError(f"the length of inputs that are normalised together is too small for {a.dtype}")
        return zeros(length.shape, a), self._inverse(self._divisor(length))

    def _divisor(self, length: Array) -> Array:
        return length + like(self.outside, length) if self.outside else length

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        # z = a/s: (upper − ∂s/∂a Σ upper·z)/s, where ∂s/∂a is a/(s − δ) for p = 2, the sign for p = 1, and 0 at the floor
        a = inputs[0]
        length = self._length(a)
        divisor = self._divisor(length)
        one, none = like(1, a), like(0, a)
        inner = np.where(divisor > like(self.floor, a), sum_to(upper * output, length.shape), none)
        slope = output if self.p == 2 else np.where(a > none, one, np.where(a < none, -one, none))
        if self.p == 2 and self.outside:
            slope = slope * np.where(length > none, divisor / np.where(length > none, length, one), none)
        return (np.asarray((upper - slope * inner) * self._inverse(divisor)),)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class MinMaxNorm(_OverAxes):
    r"""Groups moved to begin at 0 and divided by their range, :math:`z = (a - \min a) / \max(\max a - \min a + \epsilon, f)`.

    A group of equal numbers becomes zeros.

    Parameters
    ----------
    axes : over which minimum and maximum are taken (numbered with the batch as axis 0, which may not be among them)
    epsilon : ε, added to the range
    floor : f, the least divisor
    """

    axes: tuple[int, ...] = (1,)
    epsilon: Any = 0.0
    floor: Any = 0.0
    linear_mean: ClassVar[bool] = False

    def _range(self, a: Array) -> tuple[Array, Array]:
        axes = _axes_from_front(self.axes, a.ndim)
        low = np.asarray(a.min(axis=axes, keepdims=True))
        with np.errstate(over="ignore"):
            size = np.asarray(a.max(axis=axes, keepdims=True) - low + like(self.epsilon, a))
        return low, _finite(size, a, "the range of inputs that are normalised together")

    def statistics(self, a: Array) -> tuple[Array, Array]:
        low, size = self._range(a)
        return low, self._inverse(size)

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        # dz = (da − d min)/r − z (d max − d min)/r; at the floor r does not move
        a = inputs[0]
        _, size = self._range(a)
        group = self._group(a)
        inverse = self._inverse(size)
        moved = np.where(size > like(self.floor, a), sum_to(upper * output, group), like(0, a)) * inverse
        lowest = self._first(a.min(axis=_axes_from_front(self.axes, a.ndim), keepdims=True) == a, a)
        highest = self._first(a.max(axis=_axes_from_front(self.axes, a.ndim), keepdims=True) == a, a)
        return (np.asarray(upper * inverse + lowest * (moved - sum_to(upper, group) * inverse) - highest * moved),)

    def _first(self, mask: Array, a: Array) -> Array:
        """1 at the first cell of each group where the mask holds, in row-major order, 0 elsewhere."""
        axes = _axes_from_front(self.axes, a.ndim)
        order = (*(axis for axis in range(a.ndim) if axis not in axes), *axes)
        moved = np.asarray(mask, dtype=bool).transpose(order)
        rows = moved.reshape(-1, math.prod(a.shape[axis] for axis in axes))
        marks = np.zeros(rows.shape, dtype=np.int8)
        marks[np.arange(len(rows)), rows.argmax(axis=1)] = 1
        return like(marks.reshape(moved.shape).transpose(np.argsort(order)), a)
