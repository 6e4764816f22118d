"""Pooling in 1 to 3 dimensions. Sum and average pooling are linear layers; maximum pooling is not."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, Shape, is_exact, like, sum_to
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Layer, Linear, need_arity, need_rank, ones
from .window import Window, gather, scatter, window_spread, window_sum

#: The largest cell of each window of an input; −∞ where it sees none.
Largest: TypeAlias = Callable[[Array, Window], Array]

_SPELLED = ("kernel", "stride", "padding", "dilation")


def pool_window(layer: Any, dims: int) -> Window:
    """Where a pooling layer sees an input with `dims` spatial axes; the stride defaults to the kernel."""
    stride = layer.kernel if layer.stride is None else layer.stride
    return Window.of(layer.kernel, stride, layer.padding, layer.dilation, layer.ceil_mode, dims=dims)


def window_largest(a: Array, window: Window) -> Array:
    """The largest cell of each window: `Largest`."""
    out = window.outputs(a.shape[2:])
    in_input, in_padded = window.inside(a.shape[2:], out)
    padded = np.full(a.shape[:2] + window.padded(out), -np.inf, a.dtype)
    padded[in_padded] = a[in_input]
    maxima = np.full((*a.shape[:2], *out), -np.inf, a.dtype)
    for cells in window.slices(out):
        np.maximum(maxima, padded[cells], out=maxima)
    return maxima


def _check_pool(layer: Any) -> None:
    """Check a pool's parameters once; entries that are not ints say how many axes there are."""
    for name in _SPELLED:
        object.__setattr__(layer, name, _tuples(getattr(layer, name)))
    given = {name: getattr(layer, name) for name in _SPELLED}
    if len({len(value) for value in given.values() if isinstance(value, tuple)}) > 1:
        raise ParameterError(f"kernel, stride, padding and dilation have different numbers of axes: {given}")
    pool_window(layer, _axes_given(layer) or 1)


def _tuples(value: Any) -> Any:
    """Sequences as tuples, which compare and hash."""
    return tuple(_tuples(entry) for entry in value) if isinstance(value, (tuple, list, np.ndarray)) else value


def _axes_given(layer: Any) -> int | None:
    """How many spatial axes a pool's parameters fix, None where they are ints and serve any number."""
    lengths = (len(value) for value in (getattr(layer, name) for name in _SPELLED) if isinstance(value, tuple))
    return next(lengths, None)


def _pool_shape(layer: Any, inputs: tuple[Shape, ...]) -> Shape:
    need_arity(layer, inputs)
    need_rank(inputs[0], 3, "(N, C, *spatial) with 1 to 3 spatial axes", 5)
    dims = _axes_given(layer)
    if dims is not None:
        need_rank(inputs[0], dims + 2, f"(N, C, {', '.join('spatial' for _ in range(dims))})")
    return (*inputs[0][:2], *pool_window(layer, len(inputs[0]) - 2).outputs(inputs[0][2:]))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class SumPool(Linear):
    """The sum over each window.

    Parameters
    ----------
    kernel, stride, dilation : an int, or one per axis; the stride defaults to the kernel
    padding : an int, or one entry per axis, each an int or (before, after)
    ceil_mode : whether a last window may stick out at the end; its extra cells are never counted
    """

    kernel: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pool(self)

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones()

    def shape(self, *inputs: Shape) -> Shape:
        return _pool_shape(self, inputs)

    def map(self, a: Array, weight: Array) -> Array:
        window = pool_window(self, a.ndim - 2)
        z = self._share(window_sum(a, window, window.outputs(a.shape[2:])) * weight, a.shape[2:])
        return self.settle(z, a, weight, window_largest)

    def settle(self, z: Array, a: Array, weight: Array, largest: Largest) -> Array:
        r"""The sums z, made equal where rounding alone tells them apart: a plain sum is returned as it is, an average is not.

        Parameters
        ----------
        z : the layer's products, (N, C, \*out), weight included
        a : the input, (N, C, \*spatial)
        weight : the weight that z was made with
        largest : function of an array and a window that gives the largest cell of each window; every backend has its own
        """
        return z

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return window_spread(self._share(s * weight, shape[2:]), pool_window(self, s.ndim - 2), shape)

    def _share(self, z: Array, spatial: Shape) -> Array:
        """What belongs to both maps beside the sum: nothing here, 1/n for an average."""
        return z


@lazy_dataclass(frozen=True, eq=False, repr=False)
class AvgPool(SumPool):
    """The average over each window: a sum pooling whose 1/n belongs to both maps.

    Parameters
    ----------
    kernel, stride, padding, dilation, ceil_mode : as in `SumPool`
    count_include_pad : whether n counts padding (the cells that `ceil_mode` adds are never counted)
    """

    count_include_pad: bool = True

    def counts(self, spatial: Shape) -> Array:
        r"""The number n of cells by which each window divides its sum, integers (\*out); at least 1.

        Parameters
        ----------
        spatial : the extents of the input's spatial axes, without batch and channels
        """
        window = pool_window(self, len(spatial))
        total = np.ones((), dtype=np.int64)
        for axis, (size, out) in enumerate(zip(spatial, window.outputs(spatial), strict=True)):
            before, after = window.padding[axis] if self.count_include_pad else (0, 0)
            taps = np.arange(window.kernel[axis]) * window.dilation[axis] - window.padding[axis][0]
            cells = np.arange(out)[:, None] * window.stride[axis] + taps
            total = np.multiply.outer(total, ((cells >= -before) & (cells < size + after)).sum(axis=1))
        return np.maximum(total, 1)

    def _share(self, z: Array, spatial: Shape) -> Array:
        return np.asarray(z / like(self.counts(spatial), z))

    def settle(self, z: Array, a: Array, weight: Array, largest: Largest) -> Array:
        """The means, where windows count different cells: that of equal numbers is this number, so that they tie (`ties`).

        `largest` gives the largest cell of each window; the smallest is that of −a.
        """
        counts = self.counts(a.shape[2:])
        if is_exact(a) or not z.size or (counts == counts.flat[0]).all():
            return z
        cells = counts if not self.count_include_pad else replace(self, count_include_pad=False).counts(a.shape[2:])
        window = pool_window(self, a.ndim - 2)
        high, low = largest(a, window), -largest(-a, window)
        even = (high == low) & (high != 0) & (cells == counts)
        return np.where(even, np.where(even, high, like(0, high)) * weight, z)  # a window without cells has the end −∞


@lazy_dataclass(frozen=True, eq=False, repr=False)
class GlobalSumPool(Linear):
    """The sum over all spatial axes, (N, C, *spatial) → (N, C, 1, …)."""

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones()

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 3, "(N, C, *spatial) with 1 to 3 spatial axes", 5)
        return (*inputs[0][:2], *(1 for _ in inputs[0][2:]))

    def map(self, a: Array, weight: Array) -> Array:
        total = sum_to(a, self.shape(a.shape)) * weight
        return self._share(total, a.shape[2:])

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return np.broadcast_to(self._share(s * weight, shape[2:]), shape)

    def _share(self, z: Array, spatial: Shape) -> Array:
        """What belongs to both maps beside the sum: nothing here, 1/n for an average."""
        return z


@lazy_dataclass(frozen=True, eq=False, repr=False)
class GlobalAvgPool(GlobalSumPool):
    """The mean over all spatial axes, (N, C, *spatial) → (N, C, 1, …)."""

    def shape(self, *inputs: Shape) -> Shape:
        out = super().shape(*inputs)
        if 0 in inputs[0][2:]:
            raise ShapeError(f"nothing to take a mean of in an input of shape {inputs[0]}")
        return out

    def _share(self, z: Array, spatial: Shape) -> Array:
        return np.asarray(z / like(math.prod(spatial), z))


class Pooling(Layer):
    """A pooling that is not linear, such as a maximum or a p-norm: the home of proportional redistribution."""

    @abstractmethod
    def as_sum(self) -> Linear:
        """The sum over the same cells, for `AverageSurrogate` and `Proportional`."""


class Selecting(Pooling):
    """A layer whose every output is one of the cells that it sees: the home of winner-takes-all."""

    @abstractmethod
    def cells(self, a: Array) -> tuple[Array, Array]:
        r"""The cells of each output, (N, C, cells, \*out), and which of them exist (broadcastable to that): padding is no cell.

        The outputs have the shape (N, C, \*out), or another one with as many elements in the same order.

        Parameters
        ----------
        a : the input, (N, C, \*spatial)
        """

    @abstractmethod
    def spread(self, cells: Array, shape: Shape) -> Array:
        r"""The transpose of `cells`: every number of a cell is added to the input element that the cell shows, (N, C, \*spatial).

        Parameters
        ----------
        cells : a number for each cell, (N, C, cells, \*out), such as the relevance of the winner and 0 elsewhere
        shape : the shape of the input, batch axis included
        """

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        cells, exist = self.cells(inputs[0])
        return np.asarray(lowered(cells, exist).max(axis=2))

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        # 1 for the first of the largest cells, 0 for the others.
        cells, exist = self.cells(inputs[0])
        rows = upper.reshape(*cells.shape[:2], 1, *cells.shape[3:])
        wins = winners(lowered(cells, exist))
        return (self.spread(np.where(wins, rows, like(0, upper)), inputs[0].shape),)


def winners(cells: Array) -> Array:
    """Whether each cell, (N, C, cells, …), is the first of the largest of its output."""
    taps = np.arange(cells.shape[2]).reshape(-1, *(1,) * (cells.ndim - 3))
    rows = (*cells.shape[:2], *cells.shape[3:])
    first = cells.argmax(axis=2) if cells.size else np.zeros(rows, dtype=np.intp)
    return np.asarray(first[:, :, None] == taps)


def lowered(cells: Array, exist: Array) -> Array:
    """`cells` with a value below every other where no cell exists, so that it never wins."""
    if exist.all() or not cells.size:
        return cells
    below = min(cells.flat) - 1 if is_exact(cells) else like(-np.inf, cells)
    return np.where(exist, cells, below)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class MaxPool(Selecting):
    """The largest cell of each window; padding is never a cell.

    Parameters
    ----------
    kernel, stride, padding, dilation, ceil_mode : as in `SumPool`
    """

    kernel: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pool(self)

    def shape(self, *inputs: Shape) -> Shape:
        out = _pool_shape(self, inputs)
        window = pool_window(self, len(out) - 2)
        if not self._exist(inputs[0][2:], window, out[2:]).any(axis=2).all():
            raise ShapeError(f"a window of {self} covers nothing but padding in an input of {inputs[0][2:]} cells")
        return out

    @staticmethod
    def _exist(spatial: Shape, window: Window, out: Shape) -> Array:
        return gather(np.ones((1, 1, *spatial), dtype=bool), window, out)

    def cells(self, a: Array) -> tuple[Array, Array]:
        window = pool_window(self, a.ndim - 2)
        out = window.outputs(a.shape[2:])
        return gather(a, window, out), self._exist(a.shape[2:], window, out)

    def spread(self, cells: Array, shape: Shape) -> Array:
        return scatter(cells, pool_window(self, len(shape) - 2), shape)

    def as_sum(self) -> Linear:
        return SumPool(self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class GlobalMaxPool(Selecting):
    """The largest cell of each channel, (N, C, *spatial) → (N, C, 1, …)."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 3, "(N, C, *spatial) with 1 to 3 spatial axes", 5)
        if 0 in inputs[0][2:]:
            raise ShapeError(f"nothing to take a maximum of in an input of shape {inputs[0]}")
        return (*inputs[0][:2], *(1 for _ in inputs[0][2:]))

    def cells(self, a: Array) -> tuple[Array, Array]:
        cells = a.reshape(*a.shape[:2], math.prod(a.shape[2:]), *(1 for _ in a.shape[2:]))
        return cells, np.ones((1, 1, cells.shape[2], *cells.shape[3:]), dtype=bool)

    def spread(self, cells: Array, shape: Shape) -> Array:
        return cells.reshape(shape)

    def as_sum(self) -> Linear:
        return GlobalSumPool()
