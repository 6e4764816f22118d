"""RISE: a mean of random masks, weighted by the score of what they leave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, integer, integers, like, zeros
from ..errors import ParameterError, ShapeError, unknown
from ..layers.resize import Resize
from .base import Cost
from .draws import check_seed, generator
from .occlusion import moved_axes
from .perturbation import PerturbationMethod, Probe, background, expanded, reads_words

#: Cells of a grid whose masks are enumerated at most.
ENUMERATED = 16
DIVISORS = ("probability", "coverage")


@dataclass(frozen=True, eq=False)
class RISE(PerturbationMethod):
    r"""Randomised input sampling: masks weighted by the score of what they leave (Petsiuk et al. 2018).

    .. math:: S_u = \frac{1}{p N} \sum_{k=1}^{N} f_c\big(x \odot M_k + b \odot (1 - M_k)\big)\, M_k(u)

    A mask is a grid of s × s cells, each 1 with probability p and else 0, interpolated linearly with half-pixel centres to
    (s + 1) times its cells' extents, ⌈H / s⌉ and ⌈W / s⌉, and cropped at random to the input's (`CONV-RISE-MASK`). Without a
    shift it is interpolated to the input's extents. masks="all" enumerates the grids without a shift, each with its probability:
    exact, on rationals a rational. For a linear f with b = 0 and as many cells as the input has that is
    (1 − p) w_u x_u + p f(x). It conserves nothing.

    Parameters
    ----------
    model : of one input
    masks : how many are drawn; or "all", for grids of at most 16 cells
    grid : s, or the number of cells along each axis; None: 7, or as many as the input has;
        of words as many as there are
    probability : p, that a cell is kept; a rational for rational inputs
    seed : an integer ≥ 0
    shift : whether masks are cropped at random; None: they are, but for masks="all" and words, which need False
    divide : "probability" divides by p N, as the paper does; "coverage" by Σ_k M_k(u), cell by cell (`CONV-RISE-DIVISOR`)
    axes : the axes that a mask covers, as of an `Occlusion`
    baseline : b; a number, or an array that broadcasts against one sample
    batch, progress : as of every `PerturbationMethod`
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError, UnknownNameError
        Where a choice makes no sense.
    ShapeError
        Where the grid has more cells than the input.
    """

    masks: Any = 4000
    grid: Any = None
    probability: Any = 0.5
    seed: int = 0
    shift: bool | None = None
    divide: str = "probability"
    _: KW_ONLY
    axes: int | Sequence[int] | None = None
    baseline: Any = 0

    formula: ClassVar[str] = r"R_u = \frac{1}{p N} \sum_k f(x \odot M_k)\, M_k(u)"
    passes: ClassVar[str] = "1 + masks forward"
    source: ClassVar[str] = "Petsiuk et al. 2018"

    def _check(self) -> None:
        super()._check()
        check_number(self.probability, "RISE.probability")
        if not 0 < self.probability <= 1:
            raise ParameterError(f"RISE.probability must be above 0 and at most 1, found {self.probability!r}")
        check_seed(self.seed)
        if self.divide not in DIVISORS:
            raise unknown("divisor", self.divide, DIVISORS)
        if self.grid is not None and any(cells < 1 for cells in integers(self.grid, "RISE.grid")):
            raise ParameterError(f"RISE.grid must be at least 1, found {self.grid!r}")
        if self._enumerated:
            if self.shift:
                raise ParameterError('masks="all" enumerates grids without a shift: leave shift= out, or say how many masks')
        elif isinstance(self.masks, str):
            raise ParameterError(f'RISE.masks is a number of masks or "all", found {self.masks!r}')
        else:
            integer(self.masks, "RISE.masks", 1)

    @property
    def _enumerated(self) -> bool:
        return isinstance(self.masks, str) and self.masks == "all"

    def estimate(self) -> Cost:
        if not self._enumerated:
            return Cost(1 + int(self.masks))
        x = self._sample(None)
        return Cost(1 + self._masks(x, moved_axes(self.model, x, self.axes)).count)

    def _relevance(self, probe: Probe) -> Array:
        x = probe.x
        axes = moved_axes(self.model, x, self.axes)
        instead = background(self.baseline, x, "the baseline")
        masks = self._masks(x, axes)

        def perturb(samples: Array, which: Array) -> Array:
            numbers, rows = np.unique(which, return_inverse=True)
            mask = masks.of(numbers)[rows]
            return np.asarray(x[samples] * mask + instead * (like(1, x) - mask))

        values = probe.scores(masks.count, perturb)
        wide = x if x.dtype == object else np.zeros(0)  # thousands of summands
        found = expanded(zeros((len(x), values.shape[2], *(1,) * (x.ndim - 1)), wide), x.shape[1:])
        covered = zeros(x.shape[1:], wide)
        for number, mask, weight in masks.each(wide):
            covered = covered + weight * mask
            found += (weight * like(values[:, number], wide)).reshape(*values[:, number].shape, *(1,) * mask.ndim) * mask
        if self.divide == "probability":
            return like(found / like(self.probability, wide), x)
        alive = covered != like(0, covered)
        return like(np.where(alive, found / np.where(alive, covered, like(1, covered)), like(0, found)), x)

    def _cautions(self) -> tuple[str, ...]:
        if not reads_words(self.model):
            return ()
        return ("the input holds numbers of words: what a mask leaves out becomes the word of the baseline's row",)

    def _masks(self, x: Array, axes: tuple[int, ...]) -> Masks:
        extents = tuple(x.shape[axis] for axis in axes)
        words = reads_words(self.model)
        most = max(extents) if words else 7
        cells = tuple(min(most, extent) for extent in extents) if self.grid is None else integers(self.grid, "RISE.grid")
        cells = cells * len(axes) if len(cells) == 1 else cells
        if len(cells) != len(axes):
            raise ParameterError(f"RISE.grid must be an int, or one for each of {len(axes)} axes, found {self.grid!r}")
        if any(c > extent for c, extent in zip(cells, extents, strict=True)):
            raise ShapeError(f"a grid of {cells} cells does not fit an input of {extents} cells along its axes {axes}")
        if words and (cells != extents or self.shift):
            raise ParameterError(
                f"the input holds numbers of words, and a part of a number is another word: grid={extents}, without a shift, "
                "leaves each word in or out"
            )
        if not self._enumerated:
            shift = not words if self.shift is None else self.shift
            return Masks(x, axes, cells, self.probability, int(self.masks), self.seed, shift)
        if math.prod(cells) > ENUMERATED:
            raise ParameterError(
                f'masks="all" enumerates grids of at most {ENUMERATED} cells, and {cells} has {math.prod(cells)}: take a smaller '
                "grid=, or masks= as a number"
            )
        return Masks(x, axes, cells, self.probability, None, 0, False)


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of RISE for inputs of one shape.

    Attributes
    ----------
    x : the inputs, for their shape and number type
    axes : those that a mask covers
    cells : of the grid, along each of them
    probability : that a cell is 1
    drawn : how many are drawn; None: all are enumerated
    seed : of the draws
    shift : whether each is cropped at random
    """

    x: Array
    axes: tuple[int, ...]
    cells: Shape
    probability: Any
    drawn: int | None
    seed: int
    shift: bool

    @property
    def count(self) -> int:
        """How many masks there are."""
        return 2 ** math.prod(self.cells) if self.drawn is None else self.drawn

    def each(self, wide: Array) -> Iterator[tuple[int, Array, Any]]:
        """Each mask with its number and what it counts, 1 / N or its probability, in the number type of `wide`."""
        for begin in range(0, self.count, 64):
            numbers = range(begin, min(begin + 64, self.count))
            for number, mask in zip(numbers, self.of(np.array(numbers)), strict=True):
                yield number, like(mask, wide), self._weight(number, wide)

    def _weight(self, number: int, wide: Array) -> Any:
        one = like(1, wide)
        if self.drawn is not None:
            return one / like(self.drawn, wide)
        p, ones = like(self.probability, wide), number.bit_count()
        return p**ones * (one - p) ** (math.prod(self.cells) - ones)

    def of(self, numbers: Array) -> Array:
        """The masks (B, …) that broadcast against samples."""
        extents = [self.x.shape[axis] for axis in self.axes]
        if self.drawn is None:
            bits = np.array([[int(n) >> cell & 1 for cell in range(math.prod(self.cells))] for n in numbers])
            return self._placed(self._resized(bits.reshape(len(numbers), *self.cells), tuple(extents)))
        sizes = [-(-extent // cells) for extent, cells in zip(extents, self.cells, strict=True)]
        sources = [generator(self.seed, int(number)) for number in numbers]
        grids = np.stack([source.random(self.cells) < float(self.probability) for source in sources])
        if not self.shift:
            return self._placed(self._resized(grids, tuple(extents)))
        large = self._resized(grids, tuple(size * (cells + 1) for size, cells in zip(sizes, self.cells, strict=True)))
        corners = [[int(source.integers(size)) for size in sizes] for source in sources]
        cut = [
            mask[tuple(slice(begin, begin + extent) for begin, extent in zip(corner, extents, strict=True))]
            for mask, corner in zip(large, corners, strict=True)
        ]
        return self._placed(np.stack(cut))

    def _resized(self, grids: Array, extents: Shape) -> Array:
        found = Resize(to=extents, mode="linear").forward(like(grids.astype(np.int8), self.x))
        # Weights that add up to 1 within rounding alone.
        return found if self.x.dtype == object else np.clip(found, 0, 1)

    def _placed(self, masks: Array) -> Array:
        shape = [1] * (self.x.ndim - 1)
        for axis, extent in zip(self.axes, masks.shape[1:], strict=True):
            shape[axis - 1] = extent
        return masks.reshape(len(masks), *shape)
