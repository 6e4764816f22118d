"""Simple Taylor decomposition: one expansion of the whole function, at a root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, integer, is_exact, like
from ..errors import HeadError, ParameterError
from ..propagate.explanation import Explanation
from ..propagate.heads import Logit
from ..propagate.start import Question, Request
from .base import Cost, input_like
from .gradients import GradientMethod
from .paths import refuse_curved
from .pieces import path_pieces
from .scoring import Answer

HALVINGS = 60  # of a bracket: more than a double tells apart


@dataclass(frozen=True, eq=False)
class SimpleTaylor(GradientMethod):
    r"""The first-order terms of one expansion at a root point (Montavon et al. 2018, §4.2; `CONV-TAYLOR-ROOT`).

    .. math:: R_i = \frac{\partial f}{\partial x_i}(\tilde x)\,(x_i - \tilde x_i), \qquad f(\tilde x) = 0

    The relevances add up to :math:`f(x) - f(\tilde x)` less the terms of higher order (`Explanation.residual`).

    Parameters
    ----------
    model : the network; every layer has a derivative
    root : the root point: a number, one sample, the batch, or a mapping of such from input names; None: the one nearest to x on
        the line from x to `toward`, with the gradient on x's side of it
    toward : where the line goes to, in the same forms
    steps : how many pieces of the line are looked at for a change of sign, in floats; on rationals the root is found exactly, and
        the network must be piecewise linear
    most_pieces : how many pieces the line may have on rationals
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    root: Any = None
    toward: Any = 0
    _: KW_ONLY
    steps: int = 64
    most_pieces: int = 10_000

    formula: ClassVar[str] = r"R_i = \frac{\partial f}{\partial x_i}(\tilde x) (x_i - \tilde x_i), f(\tilde x) = 0"
    needs: ClassVar[str] = "a derivative of every layer, and a root"
    conserves: ClassVar[str] = "f(x) − f(root), to first order"
    passes: ClassVar[str] = "steps + 63 forward, 1 backward; 3 forward, 1 backward with a root"
    source: ClassVar[str] = "Montavon et al. 2018, §4.2"

    def _check(self) -> None:
        super()._check()
        integer(self.steps, "steps", 1)
        integer(self.most_pieces, "most_pieces", 1)
        if self.root is not None and self.toward is not type(self).toward:
            raise ParameterError("give root= or toward=, not both: a root that is given is not looked for along a line")

    @property
    def parameters(self) -> dict[str, Any]:
        names = ("toward", "steps") if self.root is None else ("root",)
        return {name: value for name, value in super().parameters.items() if name in names}

    def estimate(self) -> Cost:
        return Cost(self.steps + HALVINGS + 3, 1) if self.root is None else Cost(3, 1)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        lines = [self._at_targets(answer, t) for t in range(answer.value.shape[1])]
        relevances = {name: np.stack([parts[name] for parts, _ in lines], axis=1) for name in answer.inputs}
        return self._explained(answer, relevances, answer.value - np.stack([values for _, values in lines], axis=1))

    def _at_targets(self, answer: Answer, t: int) -> tuple[dict[str, Array], Array]:
        """The terms of the targets number t of every sample, and the values at their roots."""
        question = Question(answer.question.targets[:, t : t + 1], True, answer.question.others)
        if self.root is not None:
            root = near = input_like(self.root, answer.inputs, "root")
        else:
            root, near = self._roots(answer, question, answer.value[:, t])
        e = self._pass(near, **question.spelled(answer.prediction.shape[1:]))
        parts = {name: np.asarray(e.relevances[name] * (a - root[name])) for name, a in answer.inputs.items()}
        return parts, self._scorer.values(root, question)[:, 0]

    def _roots(self, answer: Answer, question: Question, value: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """The roots on the lines, and points near them on x's side, whose gradient is that of the piece before the root."""
        end = input_like(self.toward, answer.inputs, "toward")
        search = self._exact_root if is_exact(value) else self._bracketed_root
        at, near = search(answer.inputs, end, question, value)
        lost = [n for n, a in enumerate(at) if a is None]
        if lost:
            raise ParameterError(
                f"the explained number of sample {lost[0]} has no root on the line from x to toward={self.toward!r}: another "
                "toward=, or root=, gives one"
            )
        places = (_along(answer.inputs, end, np.array(fractions, dtype=value.dtype)) for fractions in (at, near))
        root, side = places
        return root, side

    def _exact_root(
        self, begin: Mapping[str, Array], end: Mapping[str, Array], question: Question, value: Array
    ) -> tuple[list[Any], list[Any]]:
        model, explained = self._scorer.explained(begin)
        if type(self._head) not in (Logit, type(None)):
            raise HeadError(
                f"an exact root needs a piecewise linear number, and head={self.head!r} explains none: use float64 inputs"
            )
        refuse_curved(explained)
        at, near = [], []
        for n in range(len(value)):
            one, other = ({name: a[n : n + 1] for name, a in arrays.items()} for arrays in (begin, end))
            ends = path_pieces(model, explained.explained_nodes, one, other, self.most_pieces).ends
            others = None if question.others is None else question.others[[n] * len(ends)]
            asked = Question(question.targets[[n] * len(ends)], True, others)
            line = {name: np.repeat(a, len(ends), axis=0) for name, a in one.items()}
            far = {name: np.repeat(a, len(ends), axis=0) for name, a in other.items()}
            found, side = _first_root(ends, self._scorer.values(_along(line, far, ends), asked)[:, 0])
            at.append(found)
            near.append(side)
        return at, near

    def _bracketed_root(
        self, begin: Mapping[str, Array], end: Mapping[str, Array], question: Question, value: Array
    ) -> tuple[list[Any], list[Any]]:
        low, high = np.zeros_like(value), np.where(value == 0, np.zeros_like(value), np.full_like(value, np.nan))
        for step in range(1, self.steps + 1):
            here = np.full_like(value, step / self.steps)
            there = self._scorer.values(_along(begin, end, here), question)[:, 0]
            crossed = np.isnan(high) & (np.sign(there) != np.sign(value))
            high[crossed] = here[crossed]
            low[np.isnan(high)] = step / self.steps
        missing = np.isnan(high)
        high = np.where(missing, low, high)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            same = np.sign(self._scorer.values(_along(begin, end, middle), question)[:, 0]) == np.sign(value)
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return [None if lost else a for a, lost in zip(high.tolist(), missing, strict=True)], low.tolist()


def _along(begin: Mapping[str, Array], end: Mapping[str, Array], at: Array) -> dict[str, Array]:
    """Points of the lines from `begin` to `end`, at a fraction for each sample."""
    found = {}
    for name, a in begin.items():
        t = like(at, a).reshape(-1, *(1,) * (a.ndim - 1))
        found[name] = np.asarray(a + t * (end[name] - a))
    return found


def _first_root(ends: Array, values: Array) -> tuple[Any, Any]:
    """Where a function that is affine between `ends` is 0 for the first time, and the middle of what is before it; or None."""
    zero = like(0, values)
    if values[0] == zero:
        return ends[0], ends[0]
    for k in range(len(ends) - 1):
        left, right = values[k], values[k + 1]
        if right == zero or (left < zero) != (right < zero):
            root = ends[k] + left / (left - right) * (ends[k + 1] - ends[k])
            return root, (ends[k] + root) / like(2, values)
    return None, ends[0]
