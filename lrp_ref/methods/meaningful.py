"""Meaningful perturbation: the smallest mask whose deletion takes the score away, or that preserves it, found by its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, integer, integers, is_exact, like, total, zeros
from ..errors import ExactnessError, ParameterError, ShapeError, unknown
from ..explainer import Explainer
from ..forks import cached_property
from ..layers.resize import Resize
from ..propagate.explanation import Explanation
from ..propagate.start import Question, Request
from .base import Cost, ModelMethod
from .draws import check_seed, generator
from .masks import Blurring, Change, Grid, Mixing, circles, variation_slope
from .occlusion import moved_axes
from .perturbation import expanded, only_input
from .replacements import Blur, Deletion, blur_weights, blurred, replacement_of
from .scoring import Progress, blocks

MODES = ("deletion", "preservation")
OPTIMIZERS = ("adam", "descent")
#: Between the image and its strongest blur; and rows that are optimised at once.
LEVELS, ROWS = 10, 16


@dataclass(frozen=True, eq=False)
class MeaningfulPerturbation(ModelMethod):
    r"""A mask that deletes the evidence for a class, or preserves it alone (Fong and Vedaldi 2019, §8.3).

    .. math::
        \min_m\; \lambda_1 \lVert 1 - m \rVert_1 + \lambda_2 \sum_u \lVert \nabla m(u) \rVert_\beta^\beta
            + \operatorname{E}_\tau f\big(\Phi(x_0(\cdot - \tau); M)\big)

    for deletion, with :math:`\lVert m \rVert_1` and :math:`-f` for preservation (`CONV-MEANINGFUL-OBJECTIVE`). m is a coarse grid
    in [0, 1], M the same interpolated linearly with half-pixel centres to the input and smoothed (`CONV-MEANINGFUL-GRID`). M = 1
    keeps: :math:`\Phi = M x_0 + (1 - M) b`, or the input blurred by σ₀ (1 − M) (`CONV-MEANINGFUL-BLUR`).

    Relevance is 1 − M for deletion and M for preservation, in every channel. For a linear f without variation and smoothing the
    optimum of deletion is m_i = 0 where w_i (x_i − b_i) > λ₁ and else 1, and that of preservation is 1 minus it; for other f they
    differ.

    Parameters
    ----------
    model : of one input; every layer has a derivative
    mode : "deletion" or "preservation"
    replacement : "blur" or `Blur(sigma)`, σ₀; else b, as of an `Occlusion`, with one draw
    cells : of m along each axis, or of each; None: 28, or as many as the input has
    smoothing : the standard deviation, in cells of the input, by which M is smoothed; None: 5 for cells of 8 pixels, and so on in
        proportion; 0 where m has the input's extents
    jitter : inputs are shifted by up to this many cells in each step; None: 4 for cells of 8 pixels, and so on
    steps, rate : how many steps are made, and how long they are
    sparsity, variation, power : λ₁, λ₂ and β
    optimizer : "adam" (Kingma and Ba 2015), or "descent": plain steps along the gradient, exact on rationals
    begin : m at the beginning: a number or an array; None: the smallest centred circle that takes 99 % (`CONV-MEANINGFUL-START`)
    seed : of the jitter; an integer ≥ 0
    axes : the axes that a mask covers, as of an `Occlusion`
    progress : called after each step with the numbers of steps done and of all
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError, UnknownNameError, ShapeError
        Where a choice makes no sense.
    """

    mode: str = "deletion"
    replacement: Any = "blur"
    _: KW_ONLY
    cells: int | Sequence[int] | None = None
    smoothing: Any = None
    jitter: int | None = None
    steps: int = 300
    rate: Any = 0.1
    sparsity: Any = 1e-4
    variation: Any = 1e-2
    power: Any = 3
    optimizer: str = "adam"
    begin: Any = None
    seed: int = 0
    axes: int | Sequence[int] | None = None
    progress: Progress | None = None

    formula: ClassVar[str] = r"\min_m \lambda_1 |1 - m|_1 + \lambda_2 TV_\beta(m) + f(x; m)"
    needs: ClassVar[str] = "a derivative of every layer"
    passes: ClassVar[str] = "steps forward, steps backward"
    source: ClassVar[str] = "Fong and Vedaldi 2019, §8.3"

    def _check(self) -> None:
        only_input(self.model, self.name)
        for value, name, known in ((self.mode, "mode", MODES), (self.optimizer, "optimizer", OPTIMIZERS)):
            if value not in known:
                raise unknown(name, value, known)
        integer(self.steps, "steps", 1)
        for name in ("rate", "sparsity", "variation", "power", *(("smoothing",) if self.smoothing is not None else ())):
            check_number(getattr(self, name), name, 0)
        if self.rate == 0 or self.power < 1:
            raise ParameterError(f"rate must be above 0 and power at least 1, found {self.rate!r} and {self.power!r}")
        if self.jitter is not None:
            integer(self.jitter, "jitter", 0)
        if self.cells is not None and min(integers(self.cells, "cells")) < 1:
            raise ParameterError(f"cells must be at least 1, found {self.cells!r}")
        check_seed(self.seed)
        if isinstance(replacement_of(self.replacement), Deletion):
            raise ParameterError("a mask has all degrees between there and away, and deletion has none: replace by something")
        _ = self._gradient

    def estimate(self) -> Cost:
        return Cost(1 + self.steps, self.steps)

    @cached_property
    def _gradient(self) -> Explainer:
        return self._explainer()

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        (name,) = answer.inputs
        x, question = answer.inputs[name], answer.question
        if is_exact(x) and self.optimizer == "adam":
            raise ExactnessError('Adam takes square roots, which are not rational: optimizer="descent", or float64')
        axes = moved_axes(self.model, x, self.axes)
        grid = self._grid(x, axes)
        count = question.targets.shape[1]
        found = zeros((len(x) * count, *grid.extents), x)
        for part in blocks(len(found), ROWS):
            rows = np.arange(len(found))[part] // max(count, 1)
            others = None if question.others is None else question.others[rows]
            if len(rows):
                asked = Question(question.targets.reshape(-1)[part][:, None], True, others)
                found[part] = self._optimised(x[rows], asked, answer.prediction.shape[1:], grid)
        shown = found if self.mode == "preservation" else like(1, x) - found
        shape = [1] * (x.ndim - 1)
        for axis, extent in zip(axes, grid.extents, strict=True):
            shape[axis - 1] = extent
        return self._explained(answer, {name: expanded(shown.reshape(len(x), count, *shape), x.shape[1:])})

    def _grid(self, x: Array, axes: tuple[int, ...]) -> Grid:
        extents = tuple(x.shape[axis] for axis in axes)
        cells = tuple(min(28, extent) for extent in extents) if self.cells is None else integers(self.cells, "cells")
        cells = cells * len(axes) if len(cells) == 1 else cells
        if len(cells) != len(axes):
            raise ParameterError(f"cells must be an int, or one for each of {len(axes)} axes, found {self.cells!r}")
        if any(c > extent for c, extent in zip(cells, extents, strict=True)):
            raise ShapeError(f"a mask of {cells} cells is larger than the input, which has {extents} along its axes {axes}")
        matrices = []
        for c, extent in zip(cells, extents, strict=True):
            matrix = like(Resize(to=(extent,), mode="linear").matrix(c, extent, Fraction(extent, c)), x)
            sigma = (0 if c == extent else 5 / 8 * extent / c) if self.smoothing is None else self.smoothing
            matrices.append(matrix if sigma == 0 else like(blur_weights(extent, sigma, x) @ matrix, x))
        jitter = [
            (0 if c == e else e // (2 * c)) if self.jitter is None else self.jitter for c, e in zip(cells, extents, strict=True)
        ]
        return Grid(axes, cells, extents, tuple(matrices), tuple(jitter))

    def _optimised(self, x: Array, question: Question, outputs: Shape, grid: Grid) -> Array:
        """The masks M (B, *extents) of rows (B, …), each of a target."""
        deleting, one = self.mode == "deletion", like(1, x)
        change = self._change(x, grid)
        m = self._begin(change, question, grid)
        moments = zeros(m.shape, m), zeros(m.shape, m)
        for step in range(self.steps):
            source = generator(self.seed, step)
            moved = change.moved([int(source.integers(-j, j + 1)) for j in grid.jitter])
            mask = grid.placed(grid.enlarged(m), x.ndim)
            e = self._gradient(moved.at(mask), **question.spelled(outputs))
            slope = total(e.relevance * moved.slope(mask), grid.others(x.ndim))
            slope = grid.reduced(slope if deleting else -slope)
            slope = slope + like(self.sparsity, x) * (-one if deleting else one)
            slope = slope + like(self.variation, x) * variation_slope(m, self.power)
            if self.optimizer == "adam":
                slope, moments = adam(slope, moments, step + 1)
            m = np.clip(m - like(self.rate, x) * slope, one * 0, one)
            if self.progress is not None:
                self.progress(step + 1, self.steps)
        return grid.enlarged(m)

    def _change(self, x: Array, grid: Grid) -> Change:
        replacement = replacement_of(self.replacement)
        if isinstance(replacement, Blur):
            levels = [x, *(blurred(x, float(replacement.sigma) * level / LEVELS, grid.axes) for level in range(1, LEVELS + 1))]
            return Blurring(np.stack(levels), grid.axes)
        (instead,) = replacement.backgrounds(x, grid.axes)[:1]
        return Mixing(x, np.broadcast_to(instead, x.shape), grid.axes)

    def _begin(self, change: Change, question: Question, grid: Grid) -> Array:
        """m at the first step, (B, *cells)."""
        x, shape = change.x, (len(change.x), *grid.cells)
        if self.begin is not None:
            try:
                return np.array(np.broadcast_to(like(self.begin, x), shape))
            except ValueError:
                raise ShapeError(f"begin of shape {np.shape(self.begin)} does not fit a mask of {grid.cells} cells") from None
        (name,) = self._scorer.model.inputs

        def score(m: Array) -> Array:
            mask = np.broadcast_to(grid.enlarged(m), (len(x), *grid.extents))
            return self._scorer.values({name: change.at(grid.placed(mask, x.ndim))}, question)[:, 0]

        masks = [like(circle.astype(np.int8), x)[None] for circle in circles(grid.cells)]
        whole, nothing = score(masks[0]), score(masks[-1])
        found, open_rows = np.array(np.broadcast_to(masks[-1], shape)), np.ones(len(x), dtype=bool)
        for mask in masks[1:-1]:
            if not open_rows.any():
                break
            # p' = (p − p_b) / (p_0 − p_b) ≤ 1 %, without a division
            left, all_of_it = score(mask) - nothing, whole - nothing
            done = open_rows & (left * np.where(all_of_it < 0, -1, 1) <= abs(all_of_it) / like(100, x))
            found[done], open_rows = mask, open_rows & ~done
        return found if self.mode == "deletion" else like(1, x) - found


#: What Adam remembers: the means of the gradient and of its square.
Moments = tuple[Array, Array]


def adam(slope: Array, moments: Moments, count: int) -> tuple[Array, Moments]:
    """Where a step of length 1 goes, by Adam with its usual constants (Kingma and Ba 2015), and the means after it.

    Parameters
    ----------
    slope : the gradient
    moments : the means before; at first 0
    count : the number of this step, from 1
    """
    first, second = like(0.9 * moments[0] + 0.1 * slope, slope), like(0.999 * moments[1] + 0.001 * slope * slope, slope)
    mean, square = first / (1 - 0.9**count), second / (1 - 0.999**count)
    return like(mean / (np.sqrt(square) + 1e-8), slope), (first, second)
