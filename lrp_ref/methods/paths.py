"""Along paths: integrated gradients, in steps or exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, integer, is_exact, like, zeros
from ..errors import ExactnessError, HeadError, ParameterError, unknown
from ..propagate.explanation import Explanation
from ..propagate.heads import Logit
from ..propagate.scores import Scores
from ..propagate.start import Question, Request
from .base import Cost, input_like, written
from .gradients import GradientMethod
from .pieces import path_pieces
from .scoring import Answer, Progress, blocks

RULES = ("midpoint", "right", "left", "trapezoid", "gauss-legendre")


def quadrature(rule: str, steps: int) -> tuple[list[Any], list[Any]]:
    """Places in [0, 1] and weights of a quadrature rule (`CONV-IG-RULE`), as rationals; those of Gauss and Legendre as floats.

    Parameters
    ----------
    rule : one of `RULES`
    steps : how many pieces the path has; of "gauss-legendre" how many places

    Raises
    ------
    UnknownNameError, ParameterError
        Where there is no such rule, or no step.
    """
    if rule not in RULES:
        raise unknown("rule of integration", rule, RULES)
    m = integer(steps, "steps", 1)
    if rule == "gauss-legendre":
        nodes, weights = np.polynomial.legendre.leggauss(m)
        return [float(node) for node in (nodes + 1) / 2], [float(weight) for weight in weights / 2]
    if rule == "trapezoid":
        inner = [Fraction(1, m)] * (m - 1)
        return [Fraction(k, m) for k in range(m + 1)], [Fraction(1, 2 * m), *inner, Fraction(1, 2 * m)]
    offset = {"midpoint": Fraction(1, 2), "right": Fraction(1), "left": Fraction(0)}[rule]
    return [(k + offset) / m for k in range(m)], [Fraction(1, m)] * m


@dataclass(frozen=True, eq=False)
class IntegratedGradients(GradientMethod):
    r"""Integrated gradients along the straight path from a baseline (Sundararajan et al. 2017; Samek et al. 2021, Eq. 9.19).

    .. math:: R_i = (x_i - \tilde x_i) \int_0^1 \frac{\partial f}{\partial x_i}(\tilde x + \alpha (x - \tilde x))\, d\alpha

    The relevances add up to :math:`f(x) - f(\tilde x)`: exactly with `exact=True`, and as well as the rule integrates with steps
    (`Explanation.residual` is the rest).

    Parameters
    ----------
    model : the network; every layer has a derivative
    baseline : a number, one sample, the batch, or a mapping of such from input names
    steps : how many pieces the path is cut into, at least 1
    rule : "midpoint", "right", "left", "trapezoid" or "gauss-legendre"
    baselines : several baselines in place of one: the mean over them
    exact : whether the path is cut where the network bends, instead of into steps: for piecewise linear networks, whose gradient
        is constant between; rational on rationals. A path that lies on a kink has there the derivative of `CONV-GRAD-KINK`
    most_pieces : how many pieces an exact path may have
    block : how many gradients are computed at once; no bit depends on it
    progress : called after each block with the numbers of gradients done and of all
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    baseline: Any = 0
    steps: int = 50
    rule: str = "midpoint"
    _: KW_ONLY
    baselines: Sequence[Any] | None = None
    exact: bool = False
    most_pieces: int = 10_000
    block: int = 16
    progress: Progress | None = None

    formula: ClassVar[str] = (
        r"R_i = (x_i - \tilde x_i) \int_0^1 \frac{\partial f}{\partial x_i}(\tilde x + \alpha (x - \tilde x))\, d\alpha"
    )
    needs: ClassVar[str] = "a derivative of every layer, and a baseline"
    conserves: ClassVar[str] = "f(x) − f(baseline)"
    passes: ClassVar[str] = "steps forward, steps backward, for each baseline"
    source: ClassVar[str] = "Sundararajan et al. 2017; Samek et al. 2021, Eq. 9.19"

    def _check(self) -> None:
        super()._check()
        quadrature(self.rule, self.steps)
        integer(self.block, "block", 1)
        integer(self.most_pieces, "most_pieces", 1)
        if self.baselines is not None and not (isinstance(self.baselines, (Sequence, np.ndarray)) and len(self.baselines)):
            raise ParameterError("baselines is a sequence of at least one baseline; a single one is baseline=")
        if self.baselines is not None and self.baseline is not type(self).baseline:
            raise ParameterError("give baseline= or baselines=, not both")
        if self.exact and self._head is not None and type(self._head) is not Logit:
            raise HeadError(
                f"exact=True needs a piecewise linear number, and head={self.head!r} explains none: steps= integrates it"
            )

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {"exact": True} if self.exact else {"steps": self.steps, "rule": self.rule}
        if self.baselines is None:
            return found | {"baseline": written(self.baseline)}
        return found | {"baselines": [written(baseline) for baseline in self.baselines]}

    def estimate(self) -> Cost:
        count = 1 if self.baselines is None else len(self.baselines)
        passes = count * (self.steps + (self.rule == "trapezoid"))
        return Cost(passes + count + 1, passes)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        given = [self.baseline] if self.baselines is None else list(self.baselines)
        baselines = [input_like(value, answer.inputs, "baseline") for value in given]
        parts = [self._from(answer, baseline, len(baselines), n) for n, baseline in enumerate(baselines)]
        values = [self._scorer.values(baseline, answer.question) for baseline in baselines]
        relevances = {name: _mean_of([part[name] for part in parts]) for name in answer.inputs}
        return self._explained(answer, relevances, answer.value - _mean_of(values))

    def _from(self, answer: Answer, baseline: Mapping[str, Array], many: int, number: int) -> dict[str, Array]:
        """The integral from one baseline."""
        example = next(iter(answer.inputs.values()))
        plans = self._exact_plan(answer, baseline) if self.exact else self._stepped_plan(example)
        rows = [(n, at, weight) for n, plan in enumerate(plans) for at, weight in plan]
        totals = {name: zeros((*answer.value.shape, *a.shape[1:]), a) for name, a in answer.inputs.items()}
        outputs = answer.prediction.shape[1:]
        for part in blocks(len(rows), self.block):
            self._add(totals, answer, baseline, rows[part], outputs)
            if self.progress is not None:
                self.progress(number * len(rows) + part.stop, many * len(rows))
        return {name: np.asarray(total * (answer.inputs[name] - baseline[name])[:, None]) for name, total in totals.items()}

    def _add(
        self,
        totals: dict[str, Array],
        answer: Answer,
        baseline: Mapping[str, Array],
        rows: list[tuple[int, Any, Any]],
        outputs: tuple[int, ...],
    ) -> None:
        """Add weighted gradients at some places of the paths; each sample's are added in the order of its path."""
        if not rows:
            return
        samples = np.array([n for n, _, _ in rows], dtype=np.intp)
        points = {}
        for name, x in answer.inputs.items():
            at = like([at for _, at, _ in rows], x).reshape(-1, *(1,) * (x.ndim - 1))
            points[name] = baseline[name][samples] + at * (x[samples] - baseline[name][samples])
        question = answer.question
        others = None if question.others is None else question.others[samples]
        asked = Question(question.targets[samples], question.single, others).spelled(outputs)
        e = self._pass(points, **asked)
        for name, total in totals.items():
            gradients = e.relevances[name] if e.several else e.relevances[name][:, None]
            for row, (n, _, weight) in enumerate(rows):
                total[n] += gradients[row] * like(weight, total)

    def _stepped_plan(self, x: Array) -> list[list[tuple[Any, Any]]]:
        """Places and weights for every sample."""
        if is_exact(x) and self.rule == "gauss-legendre":
            raise ExactnessError("the places of Gauss and Legendre are not rational; rule='midpoint', or exact=True, is")
        places, weights = quadrature(self.rule, self.steps)
        return [list(zip(places, weights, strict=True))] * len(x)

    def _exact_plan(self, answer: Answer, baseline: Mapping[str, Array]) -> list[list[tuple[Any, Any]]]:
        """The middle and the length of every piece of each sample's path."""
        model, explained = self._scorer.explained(answer.inputs)
        refuse_curved(explained)
        found = []
        for n in range(len(answer.value)):
            begin, end = ({name: a[n : n + 1] for name, a in arrays.items()} for arrays in (baseline, answer.inputs))
            ends = path_pieces(model, explained.explained_nodes, begin, end, self.most_pieces).ends
            two = like(2, ends)
            found.append(list(zip((ends[:-1] + ends[1:]) / two, ends[1:] - ends[:-1], strict=True)))
        return found


def refuse_curved(explained: Scores) -> None:
    """Raise `HeadError` where an explained element is no score, but the log-odds behind a complement 1 − p.

    Parameters
    ----------
    explained : what is explained of every element
    """
    if explained.sources and explained.elements is not None and (explained.elements.weight < 0).any():
        raise HeadError("the output holds complements 1 − p, whose log-odds are not piecewise linear: steps= integrates them")


def _mean_of(parts: Sequence[Array]) -> Array:
    """The mean of arrays, added in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return np.asarray(total / like(len(parts), total)) if len(parts) > 1 else total
