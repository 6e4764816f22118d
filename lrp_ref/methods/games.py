"""Shapley values: what each feature or group of features adds, averaged over all orders in which they come."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, integer, like
from ..errors import ParameterError
from ..lazy_dataclass import lazy_dataclass
from ..propagate.explanation import Explanation
from ..propagate.start import Request
from .base import Cost, ModelMethod, input_like
from .draws import check_seed, generator
from .scoring import Answer, Progress
from .segments import Segments, segments_of

#: The most groups whose 2ⁿ coalitions are all evaluated.
MOST_GROUPS = 20


@lazy_dataclass(frozen=True, eq=False)
class ShapleyValues:
    """The value of every group.

    Attributes
    ----------
    values : (N, T, groups)
    standard_error : of the values where they are estimated, (N, T, groups); None: they are exact
    shared : (N, T), what the values add up to: the score less that of the baseline
    """

    values: Array
    standard_error: Array | None
    shared: Array


@dataclass(frozen=True, eq=False)
class Shapley(ModelMethod):
    r"""Shapley values of features or groups of features (Shapley 1953).

    .. math:: R_i = \sum_{S \not\ni i} \frac{|S|!\,(n - |S| - 1)!}{n!} \bigl(v(S \cup \{i\}) - v(S)\bigr)

    v(S) is the score of the input whose groups in S are its own, and whose others are those of the baseline. The values add up
    to v(all) − v(none), the score less that of the baseline. They are exact, on rationals too, where all 2ⁿ coalitions are
    evaluated (n ≤ 20); else the mean over random orders, each followed by its reverse (`CONV-SHAPLEY-SAMPLING`). The elements
    of a group share its value equally (`CONV-GROUP-SHARE`); `group_values` has it whole.

    Parameters
    ----------
    model : the network
    baseline : what absent features are: a number, one sample, a batch, or a mapping from input names
    groups : integer labels 0, 1, … that broadcast against one sample; of several inputs a mapping. An int p: patches of p × p
        cells. None: every element
    permutations : how many random orders, an even number; None: all coalitions
    seed : of the orders, an integer of at least 0; they are the same for every sample
    batch : how many inputs are predicted at once; None: as many as 256 MB hold, 1024 at most. No bit depends on it
    progress : called after each block with the numbers of inputs done and of all
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError
        Where the number of orders is odd, and when called for more than 20 groups without orders, or with an empty group.
    """

    _: KW_ONLY
    baseline: Any = 0
    groups: Any = None
    permutations: int | None = None
    seed: int = 0
    batch: int | None = None
    progress: Progress | None = None

    formula: ClassVar[str] = r"R_i = \sum_{S: i \notin S} \frac{|S|!\,(n - |S| - 1)!}{n!}\,(v(S \cup i) - v(S))"
    needs: ClassVar[str] = "a baseline; at most 20 groups, or random orders"
    conserves: ClassVar[str] = "f(x) − f(baseline)"
    passes: ClassVar[str] = "2ⁿ forward for n groups, or permutations · (n − 1) + 2"
    source: ClassVar[str] = "Shapley 1953; Castro et al. 2009 (orders)"

    def _check(self) -> None:
        check_seed(self.seed)
        if self.batch is not None:
            integer(self.batch, "Shapley.batch", 1)
        _ = self._scorer
        if self.permutations is not None and integer(self.permutations, "Shapley.permutations", 2) % 2:
            raise ParameterError(
                f"Shapley.permutations must be even, each order comes with its reverse; found {self.permutations}"
            )

    def estimate(self) -> Cost:
        shapes = self.model.input_shape
        if self.groups is None and len(shapes) < len(self.model.inputs):
            raise ParameterError("the cost depends on the number of groups: give groups=, or a model that knows its input_shape")
        if isinstance(self.groups, (int, np.integer)) or self.groups is None:
            example = {name: np.zeros((1, *shapes[name])) for name in self.model.inputs}
            count = segments_of(self.groups, example, "Shapley.groups").count
        else:
            given = self.groups.values() if isinstance(self.groups, dict) else (self.groups,)
            count = max(int(np.max(labels)) for labels in given) + 1
        return Cost(2**count if self.permutations is None else _paths(self.permutations, count))

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        segments = segments_of(self.groups, answer.inputs, "Shapley.groups")
        found = self._values(answer, segments)
        e = self._explained(answer, segments.split(found.values), found.shared)
        error = found.standard_error
        if error is None or not error.size:
            return e
        remark = f"estimated from {self.permutations} orders: the largest standard error of a group's value is {error.max():.2g}"
        return replace(e, cautions=(*e.cautions, remark))

    def group_values(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> ShapleyValues:
        """The values of the groups, with standard errors where they are estimated.

        Parameters
        ----------
        x, target, targets, contrast : as in a call

        Raises
        ------
        LrpError
            What a call raises.
        """
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        return self._values(answer, segments_of(self.groups, answer.inputs, "Shapley.groups"))

    def _values(self, answer: Answer, segments: Segments) -> ShapleyValues:
        if self.permutations is not None:
            return self._sampled(answer, segments, self.permutations)
        count = segments.count
        if count > MOST_GROUPS:
            raise ParameterError(
                f"exact Shapley values of {count} groups take 2^{count} evaluations, and {MOST_GROUPS} groups are the most: "
                "permutations=200 estimates them, and groups= puts features together (an int p: patches of p × p)"
            )
        players = np.arange(count)
        worth = self._worth(answer, segments, 2**count, lambda number: (number[:, None] >> players) & 1 == 1)
        return ShapleyValues(exact_values(worth), None, worth[..., -1] - worth[..., 0])

    def _sampled(self, answer: Answer, segments: Segments, permutations: int) -> ShapleyValues:
        count = segments.count
        ranks = ranks_of(self.seed, permutations, count)
        steps = max(count - 1, 0)

        def present(number: Array) -> Array:
            # Nobody, everybody, and then who has come after each step of each order.
            order, step = np.divmod(number - 2, max(steps, 1))
            return np.where(number[:, None] < 2, number[:, None] == 1, ranks[order] <= step[:, None])

        worth = self._worth(answer, segments, _paths(permutations, count), present)
        shape = (*worth.shape[:2], permutations, 1)
        none, every = (np.broadcast_to(worth[:, :, None, i : i + 1], shape) for i in (0, 1))
        between = worth[:, :, 2:].reshape(*worth.shape[:2], permutations, steps)
        gains = np.diff(np.concatenate([none, between, every], axis=-1), axis=-1)[..., :count]
        values, error = mean_of_pairs(np.take_along_axis(gains, ranks[None, None], axis=-1))
        return ShapleyValues(values, error, worth[..., 1] - worth[..., 0])

    def _worth(self, answer: Answer, segments: Segments, count: int, present: Callable[[Array], Array]) -> Array:
        """v of `count` coalitions, (N, T, count); `present` says who is in those of some numbers, (B, groups)."""
        inputs, number = answer.inputs, len(answer.prediction)
        other = input_like(self.baseline, inputs, "baseline")
        coalition, sample = (part.reshape(-1) for part in np.indices((count, number)))

        def perturbed(part: slice) -> dict[str, Array]:
            own, absent = ({name: array[sample[part]] for name, array in given.items()} for given in (inputs, other))
            return segments.mix(present(coalition[part]), own, absent)

        size = self._scorer.batch_size(inputs) if self.batch is None else self.batch
        found = self._scorer.over(answer.question, sample, perturbed, size, self.progress)
        return np.ascontiguousarray(np.moveaxis(found.reshape(count, number, found.shape[1]), 0, 2))


def exact_values(worth: Array) -> Array:
    """Shapley values (…, n) of a game given by the worth of its coalitions, (…, 2ⁿ): bit i of a coalition's number is player i.

    Parameters
    ----------
    worth : of every coalition, the empty one first

    Raises
    ------
    ParameterError
        Where the last axis is no power of two.
    """
    count = worth.shape[-1].bit_length() - 1
    if worth.shape[-1] != 2**count:
        raise ParameterError(f"a game of n players has 2^n coalitions, found {worth.shape[-1]}")
    sizes, weights = _coalition_sizes(count), _weights(count, worth)
    found = []
    for player in range(count):
        pairs = worth.reshape(*worth.shape[:-1], 2 ** (count - 1 - player), 2, 2**player)
        others = sizes.reshape(-1, 2, 2**player)[:, 0].reshape(-1)
        gains = (pairs[..., 1, :] - pairs[..., 0, :]).reshape(*worth.shape[:-1], 2 ** (count - 1))
        found.append(np.ascontiguousarray(gains * weights[others]).sum(axis=-1))
    return np.stack(found, axis=-1) if found else worth[..., :0]


def _coalition_sizes(count: int) -> Array:
    """How many players each coalition has: the bits of its number."""
    sizes = np.zeros(1, dtype=np.intp)
    for _ in range(count):
        sizes = np.concatenate([sizes, sizes + 1])
    return sizes


def _weights(count: int, array: Array) -> Array:
    """1 / (n · C(n − 1, s)) for s = 0 … n − 1: the part of all orders in which s others come before a player."""
    return np.asarray(like(1, array) / like([count * math.comb(count - 1, s) for s in range(count)], array))


def ranks_of(seed: int, permutations: int, count: int) -> Array:
    """Where each of `count` players stands in random orders, each followed by its reverse: (permutations, count).

    Parameters
    ----------
    seed : of the draws; each pair is a draw
    permutations : how many orders, an even number
    count : how many players
    """
    forth = np.array([generator(seed, draw).permutation(count) for draw in range(permutations // 2)])
    return np.stack([forth, count - 1 - forth], axis=1).reshape(permutations, count)


def mean_of_pairs(gains: Array) -> tuple[Array, Array]:
    """The mean (N, T, n) of gains (N, T, orders, n), each order followed by its reverse, and the standard error of that mean.

    Pairs are independent, the two of a pair are not: the error is √(Σ (pair − mean)² / (P (P − 1))) over P pairs
    (`CONV-SHAPLEY-SAMPLING`). Of one pair it is not known, and NaN.

    Parameters
    ----------
    gains : what each player adds in each order
    """
    pairs = np.ascontiguousarray(np.moveaxis((gains[:, :, ::2] + gains[:, :, 1::2]) / like(2, gains), 2, -1))
    count = pairs.shape[-1]
    values = np.asarray(pairs.sum(axis=-1) / like(count, gains))
    spread = (pairs - values[..., None]).astype(np.float64)
    squares = (spread * spread).sum(axis=-1)
    return values, np.sqrt(squares / (count * (count - 1))) if count > 1 else np.full(values.shape, np.nan)


def _paths(permutations: int, count: int) -> int:
    """How many inputs are predicted for as many orders of `count` players."""
    return permutations * max(count - 1, 0) + 2
