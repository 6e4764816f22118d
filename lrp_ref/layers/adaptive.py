"""Adaptive pooling: the output's size is given, and the windows follow from the input's (as in PyTorch)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, Shape, like, total, zeros
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Layer, Linear, need_arity, need_rank, ones
from .pooling import Selecting
from .window import per_axis


def edges(size: int, out: int) -> list[tuple[int, int]]:
    """Where each of `out` windows over `size` cells begins and ends: ⌊i·size/out⌋ and ⌈(i+1)·size/out⌉."""
    return [(i * size // out, -((-(i + 1) * size) // out)) for i in range(out)]


def _check_size(layer: Any) -> None:
    dims = 1 if isinstance(layer.size, (int, np.integer)) else len(tuple(layer.size))
    sizes = per_axis(layer.size, f"{type(layer).__name__}.size", dims)
    object.__setattr__(layer, "size", sizes[0] if isinstance(layer.size, (int, np.integer)) else sizes)
    if not 1 <= dims <= 3:
        raise ParameterError(f"{type(layer).__name__}.size must be an int or 1 to 3 ints, found {layer.size!r}")


def _sizes(layer: Any, shape: Shape) -> tuple[int, ...]:
    return per_axis(layer.size, "size", len(shape) - 2)


def _adaptive_shape(layer: Layer, inputs: tuple[Shape, ...]) -> Shape:
    need_arity(layer, inputs)
    size = getattr(layer, "size")  # noqa: B009  (both layers here have one, `Layer` has not)
    if isinstance(size, int):
        need_rank(inputs[0], 3, "(N, C, *spatial) with 1 to 3 spatial axes", 5)
    else:
        need_rank(inputs[0], len(size) + 2, f"(N, C, {', '.join('spatial' for _ in size)})")
    if 0 in inputs[0][2:]:
        raise ShapeError(f"nothing to pool in an input of shape {inputs[0]}")
    return (*inputs[0][:2], *_sizes(layer, inputs[0]))


def _mean(a: Array, axis: int) -> Array:
    """The mean over one axis. That of equal numbers is this number, however many there are: they tie behind it (`ties`)."""
    first = a.take([0], axis=axis)
    flat = (a == first).all(axis=axis)
    return np.where(flat, first.squeeze(axis), total(a, (axis,)) / like(a.shape[axis], a))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class AdaptiveAvgPool(Linear):
    """The average over windows that divide the input into `size` parts, which overlap where it does not divide evenly.

    Parameters
    ----------
    size : the output's extents, an int for all spatial axes or one for each
    """

    size: Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size(self)

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones()

    def shape(self, *inputs: Shape) -> Shape:
        return _adaptive_shape(self, inputs)

    def map(self, a: Array, weight: Array) -> Array:
        for axis, out in enumerate(_sizes(self, a.shape), start=2):
            a = np.stack([_mean(a.take(range(low, high), axis=axis), axis) for low, high in edges(a.shape[axis], out)], axis=axis)
        return np.asarray(a * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        s = s * weight
        for axis in range(len(shape) - 1, 1, -1):
            spread = zeros((*s.shape[:axis], shape[axis], *s.shape[axis + 1 :]), s)
            for i, (low, high) in enumerate(edges(shape[axis], s.shape[axis])):
                cells = (slice(None),) * axis
                spread[(*cells, slice(low, high))] += s[(*cells, slice(i, i + 1))] / like(high - low, s)
            s = spread
        return s


@lazy_dataclass(frozen=True, eq=False, repr=False)
class AdaptiveMaxPool(Selecting):
    """The largest cell of windows that divide the input into `size` parts, which overlap where it does not divide evenly.

    Parameters
    ----------
    size : the output's extents, an int for all spatial axes or one for each
    """

    size: Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size(self)

    def shape(self, *inputs: Shape) -> Shape:
        return _adaptive_shape(self, inputs)

    def _picks(self, shape: Shape) -> list[tuple[Array, Array]]:
        """For each spatial axis which input cells every window sees, (out, longest window), and which of them exist."""
        windows = []
        for size, out in zip(shape[2:], _sizes(self, shape), strict=True):
            ends = edges(size, out)
            longest = max(high - low for low, high in ends)
            cells = np.array([low for low, _ in ends])[:, None] + np.arange(longest)
            exist = cells < np.array([high for _, high in ends])[:, None]
            windows.append((np.minimum(cells, size - 1), exist))
        return windows

    def cells(self, a: Array) -> tuple[Array, Array]:
        picks = self._picks(a.shape)
        dims, exist = len(picks), np.ones((1, 1), dtype=bool)
        for axis, (cells, there) in enumerate(picks):
            a = a.take(cells, axis=2 + 2 * axis)  # one axis becomes (window, cell)
            exist = np.multiply.outer(exist, there)
        order = (0, 1, *range(3, 3 + 2 * dims, 2), *range(2, 2 + 2 * dims, 2))
        out = tuple(len(cells) for cells, _ in picks)
        shape = (*a.shape[:2], -1, *out)
        count = int(np.prod([cells.shape[1] for cells, _ in picks]))
        return a.transpose(order).reshape(*shape[:2], count, *out), exist.transpose(order).reshape(1, 1, count, *out)

    def spread(self, cells: Array, shape: Shape) -> Array:
        picks = self._picks(shape)
        dims = len(picks)
        x = cells.reshape(*shape[:2], *(p.shape[1] for p, _ in picks), *(p.shape[0] for p, _ in picks))
        x = x.transpose((0, 1, *(axis for i in range(dims) for axis in (2 + dims + i, 2 + i))))
        for axis in range(2 + dims - 1, 1, -1):
            picked, exist = picks[axis - 2]
            at = axis + (axis - 2)  # the (window, cell) axes of this spatial axis; those before it are still pairs
            lead = (slice(None),) * at
            whole = zeros((*x.shape[:at], shape[axis], *x.shape[at + 2 :]), x)
            for window, cell in np.argwhere(exist):
                whole[(*lead, picked[window, cell])] += x[(*lead, window, cell)]
            x = whole
        return x

    def as_sum(self) -> Linear:
        return AdaptiveAvgPool(self.size)
