"""Masks of an input: coarse grids, what they make of it, and the derivatives of that."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, Shape, like, zeros
from .replacements import times_matrix


@dataclass(frozen=True, eq=False)
class Grid:
    """A coarse mask, and how it becomes one of the input's extents.

    Attributes
    ----------
    axes : of the input that it covers
    cells, extents : of the coarse mask and of the input, along these axes
    matrices : (extent, cells) of each axis
    jitter : how far inputs are shifted along each axis
    """

    axes: tuple[int, ...]
    cells: Shape
    extents: Shape
    matrices: tuple[Array, ...]
    jitter: Shape

    def enlarged(self, m: Array) -> Array:
        """M (B, *extents) of m (B, *cells)."""
        for axis, matrix in enumerate(self.matrices, start=1):
            m = times_matrix(m, matrix, axis)
        return m

    def reduced(self, slope: Array) -> Array:
        """The derivative by m of what has the derivative `slope` by M."""
        for axis, matrix in enumerate(self.matrices, start=1):
            slope = times_matrix(slope, matrix.T, axis)
        return slope

    def placed(self, mask: Array, ndim: int) -> Array:
        """A mask (B, *extents) with axes of length 1 where inputs of `ndim` axes have others."""
        return mask.reshape(
            len(mask), *(mask.shape[self.axes.index(axis) + 1] if axis in self.axes else 1 for axis in range(1, ndim))
        )

    def others(self, ndim: int) -> tuple[int, ...]:
        """The axes of inputs that are no batch and that the mask does not cover."""
        return tuple(axis for axis in range(1, ndim) if axis not in self.axes)


class Change(ABC):
    """What a mask makes of inputs: Φ, and its derivative by M."""

    x: Array

    @abstractmethod
    def at(self, mask: Array) -> Array:
        """Φ of a mask that broadcasts against the inputs; 1 keeps them."""

    @abstractmethod
    def slope(self, mask: Array) -> Array:
        """∂Φ/∂M, cell by cell."""

    @abstractmethod
    def moved(self, shift: Sequence[int]) -> Change:
        """The same for shifted inputs."""


@dataclass(frozen=True, eq=False)
class Mixing(Change):
    """Φ = M x + (1 − M) b; b is not shifted."""

    x: Array
    instead: Array
    axes: tuple[int, ...]

    def at(self, mask: Array) -> Array:
        return np.asarray(mask * self.x + (like(1, self.x) - mask) * self.instead)

    def slope(self, mask: Array) -> Array:
        return np.asarray(self.x - self.instead)

    def moved(self, shift: Sequence[int]) -> Mixing:
        return Mixing(shifted(self.x, shift, self.axes), self.instead, self.axes)


@dataclass(frozen=True, eq=False)
class Blurring(Change):
    """The input blurred by σ₀ (1 − M): between levels of blur on a straight line.

    Attributes
    ----------
    levels : (levels + 1, B, …), the input and its blurs, from none to σ₀
    axes : that were blurred
    """

    levels: Array
    axes: tuple[int, ...]

    @property
    def x(self) -> Array:  # type: ignore[override]
        """The inputs themselves."""
        return np.asarray(self.levels[0])

    def _between(self, mask: Array) -> tuple[Array, Array, Array]:
        """The levels below and above, and how far each cell is between them."""
        place = (1 - np.broadcast_to(mask, self.x.shape)) * (len(self.levels) - 1)
        low = np.clip(np.floor(place).astype(np.intp), 0, len(self.levels) - 2)
        below, above = (np.take_along_axis(self.levels, level[None], axis=0)[0] for level in (low, low + 1))
        return below, above, like(place - low, self.x)

    def at(self, mask: Array) -> Array:
        below, above, share = self._between(mask)
        return np.asarray(below + share * (above - below))

    def slope(self, mask: Array) -> Array:
        below, above, _ = self._between(mask)
        return np.asarray((below - above) * like(len(self.levels) - 1, self.x))

    def moved(self, shift: Sequence[int]) -> Blurring:
        return Blurring(shifted(self.levels, shift, [axis + 1 for axis in self.axes]), self.axes)


def variation_slope(m: Array, power: Any) -> Array:
    """The derivative of Σ_u Σ_axes |m(u + 1) − m(u)|^β by m.

    Parameters
    ----------
    m : (B, *cells)
    power : β
    """
    found = zeros(m.shape, m)
    for axis in range(1, m.ndim):
        steps = np.diff(m, axis=axis)
        exponent = power - 1 if isinstance(power, int) else float(power) - 1
        slope = like(power, m) * np.sign(steps) * abs(steps) ** exponent
        ahead, behind = ([slice(None)] * m.ndim for _ in range(2))
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        found[tuple(ahead)] += slope
        found[tuple(behind)] -= slope
    return found


def circles(cells: Shape) -> list[Array]:
    """Masks that are 0 inside centred circles, from none to all cells, one cell further each.

    Parameters
    ----------
    cells : the extents of a mask
    """
    squares = sum(np.square(place - (extent - 1) / 2) for place, extent in zip(np.indices(cells), cells, strict=True))
    distance = np.sqrt(squares)
    radii = np.arange(1, math.ceil(float(distance.max())) + 1)
    return [np.ones(cells, bool), *(distance >= radius for radius in radii), np.zeros(cells, bool)]


def shifted(x: Array, shift: Sequence[int], axes: Sequence[int]) -> Array:
    """x moved by whole cells along axes; what comes in repeats the border.

    Parameters
    ----------
    x : an array
    shift : by how many cells, for each axis
    axes : along which
    """
    for by, axis in zip(shift, axes, strict=True):
        if by:
            x = np.take(x, np.clip(np.arange(x.shape[axis]) - by, 0, x.shape[axis] - 1), axis=axis)
    return x
