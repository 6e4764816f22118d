"""DeepLIFT: what the difference from a reference does to a score, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, like, negative, positive, zeros
from ..composites import Composite
from ..composites.matchers import Type
from ..errors import ParameterError, RuleError, unknown
from ..explainer import Explainer
from ..forks import cached_property
from ..layers.activations import Softmax
from ..layers.base import BaseEmbedding, Elementwise, Layer, Linear, Recurrent
from ..layers.functions import Choice, Divide
from ..layers.matmul import MatMul
from ..layers.merge import Multiply
from ..layers.pooling import Selecting
from ..layers.shape import Rearrangement
from ..network.model import Model, Node, ancestors
from ..propagate import versions
from ..propagate.explanation import Explanation
from ..propagate.graph import backward
from ..propagate.heads import LogOdds, Unit
from ..propagate.scores import scores
from ..propagate.start import Question, Request
from ..rules import Gradient
from .base import Cost, ModelMethod, input_like
from .cell_multipliers import ThroughCells
from .multipliers import (
    ChoiceRescale,
    LargestRescale,
    Midpoint,
    Rescale,
    SignedLinear,
    VectorSum,
    doubled,
    halves,
    one_multiplier,
    reveal_cancel,
    signed_differences,
)

RULES = ("rescale", "reveal-cancel")
PRODUCTS = ("midpoint", "gradient")


@dataclass(frozen=True, eq=False)
class DeepLift(ModelMethod):
    r"""DeepLIFT (Shrikumar et al. 2017; Ancona et al. 2019, Eq. 9.17–9.18).

    .. math:: R_i = m_i\,(x_i - \bar x_i), \qquad m_i = \sum_k w_{ik}\, \frac{f(z_k) - f(\bar z_k)}{z_k - \bar z_k}\, m_k

    The multipliers m obey a chain rule, as derivatives do; bars mark the reference run. Relevance adds up to the score less that
    of the baseline: exactly on rationals, whatever the network, since products (gates and cells too) are shared by their mean
    over both runs (`CONV-DEEPLIFT-PRODUCT`), and of a maximum the cell that wins where it is larger takes the difference
    (`CONV-DEEPLIFT-MAX`). Under RevealCancel positive and negative contributions to a unit have multipliers of their own, those
    of their Shapley values (`CONV-DEEPLIFT-SIGNS`). Where a unit does not change it has its slope (`CONV-DEEPLIFT-ZERO`).

    Parameters
    ----------
    model : the network
    baseline : the reference input: a number, one sample, a batch, or a mapping from input names
    rule : "rescale", "reveal-cancel", or a mapping from names of activations to one of them, "rescale" for the others
    products : "midpoint", or "gradient": each factor has the other's value, as when activations alone are replaced in a gradient
        (Ancona et al. 2019, Table 9.1), which does not add up
    head, output, backend, precision, threads, memory : as of every `ModelMethod`; no log-odds

    Raises
    ------
    RuleError
        Where the network has a layer that DeepLIFT says no multipliers of: softmax, and normalisations by statistics. When
        called: where a condition chooses otherwise for the baseline, or sequences differ in length.
    ParameterError
        Where the rule, or the head, is not one of those.
    """

    _: KW_ONLY
    baseline: Any = 0
    rule: Any = "rescale"
    products: str = "midpoint"

    formula: ClassVar[str] = r"R_i = m_i (x_i - \tilde x_i),\quad m_i = \sum_k w_{ik}\,\frac{\Delta f(z_k)}{\Delta z_k} m_k"
    needs: ClassVar[str] = "a baseline; layers whose multipliers are defined"
    conserves: ClassVar[str] = "f(x) − f(baseline)"
    passes: ClassVar[str] = "3 forward, 2 backward"
    source: ClassVar[str] = "Shrikumar et al. 2017; Ancona et al. 2019, Eq. 9.17–9.18"

    def _check(self) -> None:
        given = self.rule.values() if isinstance(self.rule, Mapping) else (self.rule,)
        for name in given:
            if not isinstance(name, str) or name not in RULES:
                raise unknown("rule of DeepLift", name, RULES)
        if not isinstance(self.products, str) or self.products not in PRODUCTS:
            raise unknown("products of DeepLift", self.products, PRODUCTS)
        if isinstance(self._head, LogOdds):
            raise ParameterError("DeepLIFT through log-odds is not defined: head='logit' explains a score, contrast= two of them")
        model = self._scorer.model
        if isinstance(self.rule, Mapping):
            for name in self.rule:
                if name not in model:
                    raise unknown("node", name, [node.name for node in model.nodes])
                if not Rescale().fits(model[name].layer):
                    raise RuleError(f"{model[name].title}: a rule is chosen for functions of each element, and this is none")
        explained = scores(model, self._scorer.output, {}, self._head).explained_nodes
        self._refuse([node for node in model.nodes if node.name in ancestors(model, *explained)])

    def _refuse(self, nodes: list[Node]) -> None:
        """Raise `RuleError` where a node has no multipliers."""
        rules = [(matcher(self._scorer.model), rule) for matcher, rule in self._composite.entries]
        first = {node.name: next((rule for names, rule in rules if node.name in names), None) for node in nodes}
        wrong = [node.title for node in nodes if (rule := first[node.name]) is None or not rule.fits(node.layer)]
        if wrong:
            raise RuleError(
                f"DeepLIFT says no multipliers of {'; '.join(wrong)}: it has some for linear layers, functions of each element, "
                "maxima, products and recurrent cells. output= explains a node below, methods.IntegratedGradients needs "
                "derivatives alone"
            )
        recurrent = [node.title for node in nodes if isinstance(node.layer, Recurrent)]
        if recurrent and self.rule == "reveal-cancel":
            raise RuleError(
                f"RevealCancel is not defined inside {'; '.join(recurrent)}: rule='rescale', or a mapping from the activations "
                "that take 'reveal-cancel'"
            )

    @cached_property
    def _composite(self) -> Composite:
        """The multipliers of every kind of layer."""
        linear = Gradient() if self._rescales else SignedLinear()
        entries = (
            (Type(Linear), linear),
            (Type(Rearrangement), Gradient()),
            (Type(Softmax), Rescale()),  # which does not serve it
            (Type(Elementwise), Rescale()),
            (Type(Selecting), LargestRescale()),
            (Type(Choice), ChoiceRescale()),
            (Type(Multiply, MatMul, Divide), Midpoint(self.products == "gradient")),
            (Type(Recurrent), ThroughCells()),
            (Type(BaseEmbedding), VectorSum()),
        )
        return Composite(entries, "deep_lift")

    @property
    def _rescales(self) -> bool:
        """Whether Rescale is the only rule."""
        return "reveal-cancel" not in (self.rule.values() if isinstance(self.rule, Mapping) else (self.rule,))

    @cached_property
    def _pass(self) -> Explainer:
        """Multipliers by the steps of a backend."""
        return self._explainer(self._composite)

    def estimate(self) -> Cost:
        return Cost(3, 2)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        inputs, question = answer.inputs, answer.question
        reference = input_like(self.baseline, inputs, "baseline")
        both = {name: np.concatenate([a, reference[name]]) for name, a in inputs.items()}
        every = question.targets if question.others is None else np.concatenate([question.targets, question.others], axis=1)
        found = (self._rescaled if self._rescales else self._revealed)(both, doubled(every), answer.prediction.shape[1:])
        if question.others is not None:
            found = {name: m[:, :1] - m[:, 1:] for name, m in found.items()}
        relevances = {name: self._contribution(name, m, both[name]) for name, m in found.items()}
        e = self._explained(answer, relevances, answer.value - self._scorer.values(reference, question))
        return e if self._rescales else replace(e, backend="reference")

    def _contribution(self, name: str, message: Array, both: Array) -> Array:
        """m Δx, (N, T, …), from the multipliers of both runs; what an embedding handed to an index is a contribution already."""
        if is_index(self._scorer.model, name):
            return message[: len(message) // 2]
        x, reference = halves(both)
        return np.asarray(one_multiplier(message, (x - reference)[:, None]) * (x - reference)[:, None])

    def _rescaled(self, both: Mapping[str, Array], targets: Array, outputs: tuple[int, ...]) -> dict[str, Array]:
        """The multipliers (2N, T, …) of every input, by the steps of a backend."""
        return dict(self._pass(both, **Question(targets, False).spelled(outputs)).relevances)

    def _revealed(self, both: Mapping[str, Array], targets: Array, outputs: tuple[int, ...]) -> dict[str, Array]:
        """The multipliers of every input, those of positive contributions first, then of negative ones, by the definition."""
        shapes = versions.sample_shapes(both)
        model = versions.canonized(self._scorer.model.fitted(shapes), shapes)
        explained = scores(model, model.outputs[0], model.shapes({k: (1, *s) for k, s in shapes.items()}), Unit(self._head))
        run = model.trace(both).activations
        rules = self._composite.assign(model, ancestors(model, *explained.explained_nodes))

        def at_node(node: Node, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
            if self._rule_at(node) == "rescale":
                return rules[node.name].relevances(node.layer, inputs, output, upper)
            assert isinstance(node.layer, Elementwise)
            y, y_ref = halves(output)
            m = one_multiplier(upper, y - y_ref)
            parts = parts_of(model, run, node.inputs[0])
            return (np.concatenate([m * part for part in reveal_cancel(node.layer, inputs[0], output, *parts)]),)

        start, _ = explained.start(run, targets)
        found = [backward(model, run, {name: a[:, t] for name, a in start.items()}, at_node) for t in range(targets.shape[1])]
        return {name: np.stack([one.get(name, zeros(a.shape, a)) for one in found], axis=1) for name, a in both.items()}

    def _rule_at(self, node: Node) -> str:
        """The rule of a node; whatever is no function of each element has one way alone."""
        if not Rescale().fits(node.layer):
            return "rescale"
        return str(self.rule.get(node.name, "rescale") if isinstance(self.rule, Mapping) else self.rule)


def parts_of(model: Model, run: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    """The positive and the negative contributions to the output of a node or input, (N, …) each.

    Behind a linear layer those of its inputs, also through layers that only move numbers; elsewhere the parts of the difference.

    Parameters
    ----------
    model : the network
    run : the outputs (2N, …) of every node and input
    name : of the node or input
    """
    layer: Layer | None = model[name].layer if name in model else None
    if isinstance(layer, Linear):
        return signed_differences(layer, tuple(run[source] for source in model[name].inputs))
    if isinstance(layer, Rearrangement):
        below = [parts_of(model, run, source) for source in model[name].inputs]
        nothing = layer.forward(*(a * like(0, a) for a, _ in below))  # constants around what is moved are no difference
        up, down = (np.asarray(layer.forward(*part) - nothing) for part in zip(*below, strict=True))
        return up, down
    x, reference = halves(run[name])
    return positive(x - reference), negative(x - reference)


def is_index(model: Model, name: str) -> bool:
    """Whether an input is looked up in a table: only embeddings read it, perhaps behind layers that move numbers.

    Parameters
    ----------
    model : the network
    name : of an input

    Raises
    ------
    RuleError
        Where it is read as a number, too.
    """
    kinds = set()
    waiting = [name]
    while waiting:
        for node in model.readers(waiting.pop()):
            if isinstance(node.layer, Rearrangement):
                waiting.append(node.name)
            else:
                kinds.add(isinstance(node.layer, BaseEmbedding))
    if len(kinds) > 1:
        raise RuleError(f"input {name!r} is read as an index and as a number: DeepLIFT has no contribution of it")
    return kinds == {True}
