"""Windows over the spatial axes: their geometry, and `gather` and `scatter`, which mirror each other line for line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import Array, Shape, zeros
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass

Pair = tuple[int, int]


@lazy_dataclass(frozen=True)
class Window:
    """Which cells of the input each output cell is computed from: one entry for each spatial axis.

    Output cell o reads, through tap t of the kernel, the input cell o·stride + t·dilation − before.

    Parameters
    ----------
    kernel : the number of taps
    stride : how many input cells lie between the windows of neighbouring output cells
    padding : the number of zeros (before, after)
    dilation : how many input cells lie between neighbouring taps
    ceil_mode : whether a last window may stick out at the end
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[Pair, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    @classmethod
    def of(
        cls, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, *, dims: int
    ) -> Window:
        """A window from the spellings that the layers accept (an int, or one entry per axis).

        Parameters
        ----------
        kernel, stride, dilation : an int of at least 1, or one per axis
        padding : an int of at least 0, or one entry per axis, each an int or (before, after)
        ceil_mode : whether a last window may stick out at the end
        dims : the number of spatial axes

        Raises
        ------
        ParameterError
            Where one has another number of entries, or a smaller one.
        """
        return cls(
            per_axis(kernel, "kernel", dims),
            per_axis(stride, "stride", dims),
            paddings(padding, dims),
            per_axis(dilation, "dilation", dims),
            bool(ceil_mode),
        )

    @property
    def taps(self) -> int:
        """How many cells a window sees at the most."""
        return math.prod(self.kernel)

    def extent(self, axis: int) -> int:
        """The number of cells from the first to the last one of a window, those that dilation skips included.

        Parameters
        ----------
        axis : the spatial axis, from 0
        """
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def outputs(self, spatial: Shape) -> Shape:
        """The number of windows along each spatial axis: the extents of the output.

        With `ceil_mode` one more window is taken where the last one left cells over, if it starts inside the input or
        its left padding; it sticks out at the end. An input smaller than the window has room for none, or for that one.

        Parameters
        ----------
        spatial : the extents of the input's spatial axes

        Raises
        ------
        ShapeError
            Where no window fits an axis.
        """
        counts = []
        for axis, size in enumerate(spatial):
            before, after = self.padding[axis]
            room = size + before + after - self.extent(axis)
            step = self.stride[axis]
            count = room // step + 1
            if self.ceil_mode and room % step and count * step < size + before:
                count += 1
            if count < 1:
                raise ShapeError(
                    f"a window of extent {self.extent(axis)} does not fit spatial axis {axis} of {size} cells "
                    f"with padding {(before, after)}"
                )
            counts.append(count)
        return tuple(counts)

    def slices(self, out: Shape) -> Iterator[tuple[slice, ...]]:
        """For each tap, in row-major order, the slices of the padded input (N, C, …) that hold one cell of each window.

        Parameters
        ----------
        out : the extents of the output
        """
        for tap in np.ndindex(*self.kernel):
            yield (slice(None), slice(None)) + tuple(
                slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, self.dilation, out, self.stride, strict=True)
            )

    def padded(self, out: Shape) -> Shape:
        """The extents of the padded input as far as the windows reach: a stride may leave cells at the end that none covers.

        Parameters
        ----------
        out : the extents of the output
        """
        return tuple((o - 1) * s + self.extent(axis) for axis, (o, s) in enumerate(zip(out, self.stride, strict=True)))

    def inside(self, spatial: Shape, out: Shape) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """The cells that input and padded input share: their slices in the input and in the padded input.

        A stride may leave cells at the end that no window sees; `ceil_mode` may reach cells that do not exist.

        Parameters
        ----------
        spatial : the extents of the input's spatial axes
        out : the extents of the output
        """
        whole = (slice(None), slice(None))
        in_input, in_padded = [], []
        for (before, _), size, reach in zip(self.padding, spatial, self.padded(out), strict=True):
            seen = max(0, min(size, reach - before))
            in_input.append(slice(0, seen))
            in_padded.append(slice(before, before + seen))
        return whole + tuple(in_input), whole + tuple(in_padded)


def gather(x: Array, window: Window, out: Shape) -> Array:
    """The cells of every window: (N, C, *spatial) → (N, C, taps, *out), 0 where a window covers padding.

    Parameters
    ----------
    x : the input, (N, C, *spatial)
    window : kernel, stride, padding and dilation
    out : the extents of the output, as `window.outputs` gives them
    """
    padded = zeros(x.shape[:2] + window.padded(out), x)
    in_input, in_padded = window.inside(x.shape[2:], out)
    padded[in_padded] = x[in_input]
    columns = np.empty((*x.shape[:2], window.taps, *out), dtype=x.dtype)
    for tap, cells in enumerate(window.slices(out)):
        columns[:, :, tap] = padded[cells]
    return columns


def scatter(columns: Array, window: Window, shape: Shape) -> Array:
    """The transpose of `gather`: (N, C, taps, *out) → (N, C, *spatial); what falls on padding is dropped.

    Parameters
    ----------
    columns : a number for each cell of each window, (N, C, taps, *out)
    window : kernel, stride, padding and dilation
    shape : the shape of the input, (N, C, *spatial)
    """
    out = columns.shape[3:]
    padded = zeros(shape[:2] + window.padded(out), columns)
    for tap, cells in enumerate(window.slices(out)):
        padded[cells] += columns[:, :, tap]
    x = zeros(shape, columns)
    in_input, in_padded = window.inside(shape[2:], out)
    x[in_input] = padded[in_padded]
    return x


def window_sum(x: Array, window: Window, out: Shape) -> Array:
    """The sum over the cells of each window, (N, C, *out): `gather` and a sum over taps, without the columns.

    Parameters
    ----------
    x, window, out : as for `gather`
    """
    padded = zeros(x.shape[:2] + window.padded(out), x)
    in_input, in_padded = window.inside(x.shape[2:], out)
    padded[in_padded] = x[in_input]
    total = zeros((*x.shape[:2], *out), x)
    for cells in window.slices(out):
        total += padded[cells]
    return total


def window_spread(s: Array, window: Window, shape: Shape) -> Array:
    """The transpose of `window_sum`: (N, C, *out) → (N, C, *spatial), each number added to all cells of its window.

    Parameters
    ----------
    s : a number for each window, (N, C, *out)
    window : kernel, stride, padding and dilation
    shape : the shape of the input, (N, C, *spatial)
    """
    out = s.shape[2:]
    padded = zeros(shape[:2] + window.padded(out), s)
    for cells in window.slices(out):
        padded[cells] += s
    x = zeros(shape, s)
    in_input, in_padded = window.inside(shape[2:], out)
    x[in_input] = padded[in_padded]
    return x


def per_axis(value: Any, name: str, dims: int, low: int = 1) -> tuple[int, ...]:
    """A parameter of a window as one int for each spatial axis.

    Parameters
    ----------
    value : an int, which holds for every axis, or one int for each
    name : what the message calls the parameter
    dims : the number of spatial axes
    low : the smallest value allowed

    Raises
    ------
    ParameterError
        Where it is neither, or too small.
    """
    if type(value) is int and value >= low:  # what nearly every layer says: windows are made in every call
        return (value,) * dims
    entries = _entries(value, dims)
    if len(entries) != dims or any(isinstance(e, bool) or not isinstance(e, (int, np.integer)) for e in entries):
        raise ParameterError(f"{name} must be an int or {dims} ints, found {value!r}")
    if any(e < low for e in entries):
        raise ParameterError(f"{name} must be at least {low}, found {value!r}")
    return tuple(int(e) for e in entries)


def _entries(value: Any, dims: int) -> tuple[Any, ...]:
    """One entry for each axis; none where `value` is neither an int nor a sequence."""
    if isinstance(value, (int, np.integer)):
        return (value,) * dims
    return tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else ()


def paddings(value: Any, dims: int) -> tuple[Pair, ...]:
    """A padding as one pair (before, after) for each spatial axis.

    Parameters
    ----------
    value : an int, or for each axis an int or a (before, after) pair; none negative
    dims : the number of spatial axes

    Raises
    ------
    ParameterError
        Where it is neither, or negative.
    """
    if type(value) is int and value >= 0:
        return ((value, value),) * dims
    entries = _entries(value, dims)
    if len(entries) != dims:
        raise ParameterError(f"padding must be an int or {dims} entries, each an int or (before, after), found {value!r}")
    pairs = [per_axis(entry, "padding", 2, low=0) for entry in entries]
    return tuple((before, after) for before, after in pairs)
