"""Activation patterns of linear models: how a signal shows in the data, beside the weights that extract it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, is_exact, like, square_root, total
from ..errors import GraphError, HeadError, ParameterError, RuleError, unknown
from ..explainer import Explainer
from ..forks import cached_property
from ..layers.base import Linear
from ..layers.shape import Rearrangement
from ..network.model import ancestors
from ..propagate.explanation import Explanation
from ..propagate.heads import Logit
from ..propagate.scores import scores
from ..propagate.start import Request
from .base import Cost, ModelMethod
from .equations import solve_exactly

SCALES = ("covariance", "unit", "correlation")


@dataclass(frozen=True, eq=False)
class ActivationPattern(ModelMethod):
    r"""The activation patterns of a linear model (Haufe et al. 2014; Samek et al. 2019, Eq. 20.5).

    .. math:: A = \Sigma_x W \Sigma_s^{-1}, \qquad s = W^\top x + b

    A weight says how a score is computed, and is large where noise is cancelled; the pattern says how what the score measures
    shows in the data. W is the derivative of the scores, the covariances are those of the data and of its scores; for as many
    scores as features A = W^{-T}. It is the same for every input, and no share of anything (`CONV-ACTIVATION-PATTERN`).

    Parameters
    ----------
    model : of one input, linear up to its scores
    data : samples (M, …), as the model takes them; there is no pattern without
    joint : whether Σ_s is that of all scores; False: of each score alone, a = Σ_x w / (w^T Σ_x w)
    scale : "covariance": as it is; "unit": of length 1; "correlation": times σ_s / σ_x, for one score corr(x, s)
    head : "logit", which is the only one
    output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    RuleError
        Where a node is not linear; it is named.
    ParameterError
        Where there are no data, or scores of them are constant or depend on each other, so that Σ_s has no inverse.
    HeadError, GraphError, ShapeError, NumberTypeError
        Where the head is no logit, there are several inputs, or the data do not fit.
    """

    data: Any = None
    _: KW_ONLY
    joint: bool = True
    scale: str = "covariance"

    formula: ClassVar[str] = r"A = \Sigma_x W \Sigma_s^{-1}"
    needs: ClassVar[str] = "a linear model, and data"
    passes: ClassVar[str] = "1 forward, 1 backward"
    source: ClassVar[str] = "Haufe et al. 2014; Samek et al. 2019, Eq. 20.5"

    def _check(self) -> None:
        if not isinstance(self.scale, str) or self.scale not in SCALES:
            raise unknown("scale of ActivationPattern", self.scale, SCALES)
        if self._head is not None and type(self._head) is not Logit:
            raise HeadError("an activation pattern is that of a score, which is linear in the input: head='logit'")
        model = self._scorer.model
        if len(model.inputs) != 1:
            raise GraphError(f"an activation pattern is of one input, and the model has {', '.join(model.inputs)}")
        below = ancestors(model, *scores(model, self._scorer.output, {}, self._head).explained_nodes)
        for node in model.nodes:
            if node.name in below and not isinstance(node.layer, (Linear, Rearrangement)):
                raise RuleError(f"{node.title} is not linear: activation patterns are of linear models, DeepLift serves others")
        if self.data is None or not len(self._samples):
            raise ParameterError("an activation pattern is that of data: data= takes samples (M, …) of what the model reads")
        _ = self.patterns

    @cached_property
    def _samples(self) -> Array:
        (name,) = self._scorer.model.inputs
        return self._scorer.inputs(self.data)[name]

    @cached_property
    def _pass(self) -> Explainer:
        return self._explainer()

    @cached_property
    def weights(self) -> Array:
        """W, (scores, *sample)."""
        e = self._pass(self._samples[:1] * like(0, self._samples), "all")
        return np.asarray(e.relevance[0])

    @cached_property
    def patterns(self) -> Array:
        """A, (scores, *sample)."""
        flat = self._samples.reshape(len(self._samples), -1)
        wide = flat if is_exact(flat) else flat.astype(np.float64)
        x = wide - total(wide, (0,), keepdims=True) / like(len(wide), wide)
        w = like(self.weights.reshape(len(self.weights), -1), x)
        s = x @ w.T
        joint = s.T @ s
        if not self.joint:
            joint = like(np.eye(len(joint), dtype=np.int8), joint) * joint
        a = self._scaled(self._divided(s.T @ x, joint), x, s)
        return like(a.reshape(self.weights.shape), self.weights)

    @staticmethod
    def _divided(covariance: Array, joint: Array) -> Array:
        """Σ_s^{-1} W^T Σ_x."""
        try:
            if is_exact(joint):
                return solve_exactly(joint, covariance)
            if np.linalg.matrix_rank(joint, hermitian=True) == len(joint):
                return np.asarray(np.linalg.solve(joint, covariance))
        except ParameterError:
            pass
        raise ParameterError(
            "the scores of the data are constant, or some are sums of others, so that their covariance has no inverse: "
            "joint=False takes each score alone, and output= another node"
        )

    def _scaled(self, a: Array, x: Array, s: Array) -> Array:
        if self.scale == "covariance":
            return a
        if self.scale == "unit":
            return np.asarray(a / square_root((a * a).sum(axis=1, keepdims=True)))
        spread = square_root((x * x).sum(axis=0))
        alive = spread != like(0, spread)
        return np.where(
            alive, a * square_root((s * s).sum(axis=0))[:, None] / np.where(alive, spread, like(1, spread)), like(0, a)
        )

    def estimate(self) -> Cost:
        return Cost(1, 1)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        (name,) = answer.inputs
        found = self.patterns[answer.question.targets]
        if answer.question.others is not None:
            found = found - self.patterns[answer.question.others]
        return self._explained(answer, {name: found})
