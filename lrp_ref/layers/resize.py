"""Interpolation along axes: a linear layer whose two maps are a matrix and its transpose for each axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..arrays import Array, Shape, check_number, integers, like, zeros
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Linear, need_arity, need_rank, ones

COORDINATES = (
    "half_pixel",
    "asymmetric",
    "align_corners",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)


def position(coordinates: str, i: int, scale: Fraction, m: int, n: int) -> Fraction:
    """Where output cell i of n lies among m input cells, by the conventions that ONNX names."""
    half = Fraction(1, 2)
    if coordinates == "align_corners":  # the length before it is cut off to whole cells counts
        return i * (m - 1) / (scale * m - 1) if scale * m != 1 else Fraction(0)
    if coordinates == "asymmetric":
        return i / scale
    if coordinates == "tf_half_pixel_for_nn":
        return (i + half) / scale
    if coordinates == "pytorch_half_pixel" and n == 1:
        return Fraction(0)
    position = (i + half) / scale - half
    # The output is cut off to whole cells; the symmetric variant keeps it centred on the input.
    return position + Fraction(m, 2) * (1 - Fraction(n) / (scale * m)) if coordinates == "half_pixel_symmetric" else position


ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: math.floor(x + Fraction(1, 2)),
}


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Resize(Linear):
    """A sample resampled to extents `to` by nearest, linear or cubic interpolation along each axis.

    Parameters
    ----------
    to : the extents of a sample after resizing, the channels' included
    scales : the scale factor of each axis; None: output extent / input extent
    mode : "nearest", "linear" or "cubic" (Keys 1981)
    coordinates : where output cells lie, one of `COORDINATES`
    rounding : of positions in mode "nearest", one of `ROUNDINGS`
    cubic : the coefficient a of the cubic kernel
    exclude_outside : whether cells outside have weight 0 (and the others more), instead of being the border's
    antialias : whether linear and cubic kernels are widened where an axis shrinks
    roi : for the coordinates "tf_crop_and_resize" the part of each axis that is cut out, (start, end) from 0 to 1
    extrapolation : what output cells are that such a part puts beyond the input
    """

    to: tuple[int, ...]
    scales: tuple[Any, ...] | None = None
    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic: Any = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    roi: tuple[tuple[Any, Any], ...] | None = None
    extrapolation: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "to", integers(self.to, "Resize.to"))
        if any(extent < 1 for extent in self.to):
            raise ParameterError(f"Resize.to must hold positive extents, found {self.to}")
        if self.scales is not None:
            object.__setattr__(self, "scales", tuple(self.scales))
            if len(self.scales) != len(self.to):
                raise ParameterError(f"Resize.scales must hold {len(self.to)} numbers, found {self.scales}")
            for scale in self.scales:
                check_number(scale, "Resize.scales")
                if scale <= 0:
                    raise ParameterError(f"Resize.scales must be positive, found {self.scales}")
        check_number(self.cubic, "Resize.cubic")
        check_number(self.extrapolation, "Resize.extrapolation")
        self._check_roi()
        choices = (("mode", ("nearest", "linear", "cubic")), ("coordinates", COORDINATES), ("rounding", ROUNDINGS))
        for name, known in choices:
            if getattr(self, name) not in known:
                raise ParameterError(f"Resize.{name} must be one of {', '.join(known)}, found {getattr(self, name)!r}")

    def _check_roi(self) -> None:
        cropping = self.coordinates == "tf_crop_and_resize"
        pairs = () if self.roi is None else tuple(tuple(pair) for pair in self.roi)
        if cropping != bool(pairs) or (pairs and [len(pair) for pair in pairs] != [2] * len(self.to)):
            raise ParameterError(
                f"Resize.roi must hold a (start, end) for each of {len(self.to)} axes with the coordinates tf_crop_and_resize, "
                f"and be None with others; found {self.roi} with {self.coordinates}"
            )
        for bound in (bound for pair in pairs for bound in pair):
            check_number(bound, "Resize.roi")
        object.__setattr__(self, "roi", pairs or None)

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones()

    def offset(self, ndim: int) -> Array | None:
        if self.roi is None or self.extrapolation == 0:
            return None
        outside = np.zeros(self.to, dtype=bool)
        for axis, (part, n) in enumerate(zip(self.roi, self.to, strict=True)):
            beyond = [not 0 <= _cropped(part, i, n) <= 1 for i in range(n)]
            outside |= np.reshape(beyond, [n if axis == k else 1 for k in range(len(self.to))])
        return np.asarray(np.where(outside, self.extrapolation, self.extrapolation * 0))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], len(self.to) + 1, f"with {len(self.to)} axes beside the batch")
        if 0 in inputs[0][1:]:
            raise ShapeError(f"nothing to interpolate in an input of shape {inputs[0]}")
        return (inputs[0][0], *self.to)

    def map(self, a: Array, weight: Array) -> Array:
        for axis, matrix in self._matrices(a.shape):
            a = _gathered(a, matrix, axis)
        return np.asarray(a * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        for axis, matrix in self._matrices(shape):
            s = _along(s, like(matrix, s), axis)
        return np.asarray(s * weight)

    def _matrices(self, shape: Shape) -> list[tuple[int, Array]]:
        """(axis, matrix (output cells, input cells)) for each axis that changes."""
        matrices = []
        for axis, (m, n) in enumerate(zip(shape[1:], self.to, strict=True), start=1):
            scale = Fraction(n, m) if self.scales is None else Fraction(self.scales[axis - 1])
            if m != n or scale != 1 or not (self.roi is None or self.roi[axis - 1] == (0, 1)):
                matrices.append((axis, self.matrix(m, n, scale, None if self.roi is None else self.roi[axis - 1])))
        return matrices

    def matrix(self, m: int, n: int, scale: Fraction, interval: tuple[Any, Any] | None = None) -> Array:
        """The interpolation matrix (n, m) of one axis, in exact rationals: how much each output cell takes of each input cell.

        Parameters
        ----------
        m, n : the axis' extent before and after
        scale : the scale factor, which the coordinates are made with; n / m unless the layer has `scales`
        interval : (start, end), the part of the axis that is cut out, from 0 to 1 (`roi`); None: all of it
        """
        matrix = np.full((n, m), Fraction(0), dtype=object)
        for i in range(n):
            where = position(self.coordinates, i, scale, m, n) if interval is None else _cropped(interval, i, n) * (m - 1)
            if interval is not None and not 0 <= where <= m - 1:
                continue  # beyond the input: a constant
            for cell, share in self._cells(where, m, scale):
                matrix[i, min(max(cell, 0), m - 1)] += share
        return matrix

    def _cells(self, where: Fraction, m: int, scale: Fraction) -> list[tuple[int, Fraction]]:
        if self.mode == "nearest":
            return [(ROUNDINGS[self.rounding](where), Fraction(1))]
        reach = 1 if self.mode == "linear" else 2
        kernel = _triangle if self.mode == "linear" else _keys(Fraction(self.cubic))
        shrink = min(Fraction(1), scale) if self.antialias else Fraction(1)
        first = math.floor(where - reach / shrink) + 1
        cells = range(first, math.ceil(where + reach / shrink))
        weights = [(cell, kernel((where - cell) * shrink)) for cell in cells]
        if self.exclude_outside:
            weights = [(cell, share) for cell, share in weights if 0 <= cell < m]
        whole = sum((share for _, share in weights), Fraction(0))
        return [(cell, share / whole) for cell, share in weights] if whole else weights


def _cropped(part: tuple[Any, Any], i: int, n: int) -> Fraction:
    """Where output cell i of n lies along an axis that counts from 0 to 1, when it shows `part` of it."""
    start, end = Fraction(part[0]), Fraction(part[1])
    return start + i * (end - start) / (n - 1) if n > 1 else (start + end) / 2


def _triangle(x: Fraction) -> Fraction:
    return max(Fraction(0), 1 - abs(x))


def _keys(a: Fraction) -> Callable[[Fraction], Fraction]:
    def kernel(x: Fraction) -> Fraction:
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else Fraction(0)

    return kernel


def _gathered(a: Array, matrix: Array, axis: int) -> Array:
    """Σ_j a_j matrix_kj along one axis, for the few j where that is not 0, in the order of the cells.

    No product of matrices: cells that repeat others with the same weights are to have the same sums (`ties`). What lies between
    equal numbers is that number: the rounding of weights that add up to 1 would make different ones of a background.
    """
    taps = [np.flatnonzero(row) for row in matrix]
    shape = [matrix.shape[0] if k == axis else 1 for k in range(a.ndim)]
    total = zeros((*a.shape[:axis], matrix.shape[0], *a.shape[axis + 1 :]), a)
    first = np.take(a, [cells[0] if len(cells) else 0 for cells in taps], axis=axis)
    flat = np.broadcast_to((matrix.sum(axis=1) == 1).reshape(shape), total.shape)
    for t in range(max(map(len, taps), default=0)):
        cells = [(k, cells[t]) for k, cells in enumerate(taps) if t < len(cells)]
        index = np.zeros(len(taps), int)
        shares = np.full(len(taps), matrix[0, 0] * 0)
        for k, cell in cells:
            index[k], shares[k] = cell, matrix[k, cell]
        seen = np.take(a, index, axis=axis)
        total += seen * like(shares, a).reshape(shape)
        flat = flat & ((seen == first) | (shares == 0).reshape(shape))
    return np.asarray(np.where(flat, first, total))


def _along(a: Array, matrix: Array, axis: int) -> Array:
    """Σ_j a_j matrix_jk along one axis, sample by sample."""
    rows = np.ascontiguousarray(np.moveaxis(a, axis, -1))
    product = np.matmul(rows.reshape(a.shape[0], math.prod(rows.shape[1:-1]), rows.shape[-1]), np.ascontiguousarray(matrix))
    return np.ascontiguousarray(np.moveaxis(product.reshape(*rows.shape[:-1], matrix.shape[1]), -1, axis))
