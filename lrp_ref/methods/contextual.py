"""Contextual decomposition of an LSTM: what a phrase contributes to a score, and what everything else does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..arrays import Array, like, zeros
from ..errors import HeadError, ParameterError, RuleError
from ..layers.activations import Softmax
from ..layers.base import BaseEmbedding, Elementwise, Linear
from ..layers.linear import Dense, Scale
from ..layers.recurrent import LSTM
from ..layers.recurrent.base import Unrolled, activation, select_alive
from ..layers.shape import Identity, Rearrangement
from ..network.model import Model, Node, ancestors
from ..propagate import versions
from ..propagate.explanation import Explanation
from ..propagate.heads import Logit
from ..propagate.scores import Scores, scores
from ..propagate.start import Question, Request
from .base import Cost, ModelMethod
from .scoring import Answer
from .segments import Segments, segments_of

Parts: TypeAlias = tuple[Array, Array, Array]

#: Layers that compute each time step by itself.
STEPWISE = (BaseEmbedding, Dense, Scale, Elementwise, Identity)


@dataclass(frozen=True, eq=False)
class ContextualDecomposition(ModelMethod):
    r"""Contextual decomposition of an LSTM (Murdoch et al. 2018; Arras et al. 2019, §11.5.1).

    .. math:: h_t = \beta_t + \gamma_t, \qquad R_{\text{phrase}} = w^\top \beta_T

    β is what comes from a phrase alone, γ everything else. A gate or candidate with the summands r (relevant), i (irrelevant) and
    b (bias) has the relevant part ½[σ(r + b) − σ(b) + σ(r + i + b) − σ(i + b)]; in products relevant × relevant and relevant ×
    bias are relevant, whatever has an irrelevant factor is not, and bias × bias is where the step is in the phrase
    (`CONV-CONTEXTUAL`). Relevances conserve nothing: interactions of two phrases belong to neither.

    Parameters
    ----------
    model : stepwise layers, one LSTM, and linear layers behind it
    phrases : integer labels 0, 1, … of the time steps; None: each step is a phrase. The elements of a phrase share its relevance
        equally (`CONV-GROUP-SHARE`)
    head : "logit", which is the only one
    output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    RuleError
        Where the network is not of this kind; the node is named.
    HeadError
        Where the head is no logit.
    """

    _: KW_ONLY
    phrases: Any = None

    formula: ClassVar[str] = r"R_p = w \beta_T,\quad h_T = \beta_T + \gamma_T"
    needs: ClassVar[str] = "one LSTM, and linear layers behind it"
    passes: ClassVar[str] = "1 forward, and 1 for each phrase"
    source: ClassVar[str] = "Murdoch et al. 2018; Arras et al. 2019, §11.5.1"

    def _check(self) -> None:
        if self._head is not None and type(self._head) is not Logit:
            raise HeadError("contextual decomposition explains a score, which is linear in the state of the LSTM: head='logit'")
        model = self._scorer.model
        explained = scores(model, self._scorer.output, {}, self._head).explained_nodes
        _ = _only_lstm(model, explained)

    def estimate(self) -> Cost:
        if self.phrases is not None:
            return Cost(2 + int(np.max(self.phrases)))
        shapes = list(self.model.input_shape.values())
        if not shapes:
            raise ParameterError("the cost depends on the number of steps: give phrases=, or a model that knows its input_shape")
        return Cost(1 + shapes[0][0])

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        shapes = versions.sample_shapes(answer.inputs)
        model = self._scorer.model.fitted(shapes)
        explained = scores(model, self._scorer.output, model.shapes({k: (1, *s) for k, s in shapes.items()}), self._head)
        _refuse_curved(explained, answer)
        node = _only_lstm(model, explained.explained_nodes)
        source = _sequence(model, node)
        segments = self._segments(source, answer.inputs[source])
        steps = segments.labels[source].reshape(shapes[source][0], -1)[:, 0]
        run = model.trace(answer.inputs).activations
        parts = [self._value(model, node, run, steps == phrase, explained, answer.question) for phrase in range(segments.count)]
        values = np.stack(parts, axis=-1) if parts else zeros((*answer.value.shape, 0), answer.value)
        found = segments.split(values)
        others = {name: zeros((*answer.value.shape, *a.shape[1:]), answer.value) for name, a in answer.inputs.items()}
        return replace(self._explained(answer, others | found), backend="reference")

    def _segments(self, source: str, sequence: Array) -> Segments:
        """The phrases as labels of a sample's elements."""
        steps = sequence.shape[1]
        labels = np.arange(steps) if self.phrases is None else np.asarray(self.phrases)
        if labels.shape != (steps,):
            raise ParameterError(f"phrases has one label for each of {steps} time step(s), found shape {labels.shape}")
        whole = labels.reshape(-1, *(1,) * (sequence.ndim - 2))
        return segments_of(np.broadcast_to(whole, sequence.shape[1:]), {source: sequence}, "phrases")

    @staticmethod
    def _value(model: Model, node: Node, run: Mapping[str, Array], inside: Array, explained: Scores, question: Question) -> Array:
        """The score of the relevant part, (N, T)."""
        assert isinstance(node.layer, LSTM)
        relevant, irrelevant = decompose(node.layer, tuple(run[name] for name in node.inputs), inside)
        found: dict[str, Array] = {node.name: relevant}
        for above in model.nodes:
            if node.name in above.inputs or any(name in found for name in above.inputs):
                layer, inputs = above.layer, [found.get(name, run[name] * like(0, run[name])) for name in above.inputs]
                if isinstance(layer, (Linear, Rearrangement)):
                    nothing = layer.forward(*(a * like(0, a) for a in inputs))
                    found[above.name] = np.asarray(layer.forward(*inputs) - nothing)
        del irrelevant
        value = explained.start(found, question.targets)[1]
        return value if question.others is None else np.asarray(value - explained.start(found, question.others)[1])


def _refuse_curved(explained: Scores, answer: Answer) -> None:
    """Raise `HeadError` where what is explained is not linear in the scores, as that of 1 − p of a softmax."""
    layers = explained.layers.values()
    elements = explained.elements
    if elements is not None and any(isinstance(layer, Softmax) for layer in layers):
        weights = elements.weight[answer.question.targets]
        if (weights < 0).any():
            raise HeadError("what is explained of 1 − p of a softmax is no score: target= the probability itself")


def decompose(layer: LSTM, inputs: tuple[Array, ...], inside: Array) -> tuple[Array, Array]:
    """β and γ of what an LSTM returns: the part of a phrase, and the rest. They add up to its output.

    Parameters
    ----------
    layer : the LSTM, without peepholes
    inputs : what it reads
    inside : for each time step whether it is in the phrase, (T,)
    """
    u = layer.unroll(*inputs)
    within = layer.to_step_order(np.broadcast_to(inside[None, :, None], (len(inputs[0]), len(inside), 1)))
    weight = like(layer.weight_input, u.x)[:, None]
    own = np.where(within, np.matmul(u.x, weight), like(0, u.x))
    rest = np.where(within, like(0, u.x), np.matmul(u.x, weight))
    bias = zeros(u.z.shape[-1:], u.x) if layer.bias is None else like(layer.bias, u.x)[:, None, None]
    hidden, cell = _Track(u.hidden), _Track(_not_none(u.cell))
    recurrent = like(layer.weight_recurrent, u.x)[:, None]
    size = layer.hidden
    functions = _functions(layer, u.x)
    outer = activation(layer.state_activation, layer.state_scale, u.x)
    for t in range(u.x.shape[2]):
        now = slice(t, t + 1)
        r, i = (a[:, :, now] + np.matmul(track, recurrent) for a, track in ((own, hidden.relevant), (rest, hidden.irrelevant)))
        gate = {
            name: _three_parts(
                functions[name], *(np.split(np.broadcast_to(a, r.shape), len(layer.gates), -1)[k] for a in (r, i, bias))
            )
            for k, name in enumerate(layer.gates)
        }
        new, old = _gated(gate.get("i"), gate["g"], within[:, :, now]), (cell.relevant, cell.irrelevant)
        if "f" in gate:
            (fr, fi, fb), (before, other) = gate["f"], old
            old = ((fr + fb) * before, (fr + fi + fb) * other + fi * before)
        c = new[0] + old[0], new[1] + old[1]
        shown = _two_parts(outer, *c)
        if "o" in gate:
            whole = u.values[:, :, now, layer.gates.index("o") * size : (layer.gates.index("o") + 1) * size]
            shown = whole * shown[0], whole * shown[1]
        cell.add(u.alive, now, *c)
        hidden.add(u.alive, now, *shown)
    outputs = [layer.output(Unrolled(u.x, u.alive, u.z, u.values, hidden.stacked(part), cell.stacked(part))) for part in (0, 1)]
    return outputs[0], outputs[1]


class _Track:
    """The relevant and the irrelevant part of a state from step to step; the initial state is irrelevant."""

    def __init__(self, states: Array) -> None:
        first = states[:, :, :1]
        self.steps = [(first * like(0, first), first)]

    @property
    def relevant(self) -> Array:
        """The relevant part after the last step so far."""
        return self.steps[-1][0]

    @property
    def irrelevant(self) -> Array:
        """The irrelevant part."""
        return self.steps[-1][1]

    def add(self, alive: Array | None, now: slice, relevant: Array, irrelevant: Array) -> None:
        """The next step; beyond a sample's length the state stays."""
        before = self.steps[-1]
        self.steps.append((select_alive(alive, now, relevant, before[0]), select_alive(alive, now, irrelevant, before[1])))

    def stacked(self, part: int) -> Array:
        """One part of all steps, as an unrolled pass holds them."""
        return np.concatenate([step[part] for step in self.steps], axis=2)


def _three_parts(function: Callable[[Array], Array], r: Array, i: Array, b: Array) -> Parts:
    """What r, i and b contribute to f(r + i + b): the bias first, then the mean over both orders of the others."""
    two, bias, whole = like(2, r), function(np.ascontiguousarray(b)), function(r + i + b)
    alone, other = function(r + b), function(i + b)
    return (alone - bias + whole - other) / two, (other - bias + whole - alone) / two, bias


def _two_parts(function: Callable[[Array], Array], r: Array, i: Array) -> tuple[Array, Array]:
    """What r and i contribute to f(r + i); f(0), which is 0 of tanh, is irrelevant."""
    whole = function(r + i)
    relevant = (function(r) - function(r * like(0, r)) + whole - function(i)) / like(2, r)
    return relevant, whole - relevant


def _gated(i: Parts | None, g: Parts, within: Array) -> tuple[Array, Array]:
    """The relevant and the irrelevant part of i ⊙ g; without a gate of g."""
    (gr, gi, gb), zero = g, like(0, g[0])
    if i is None:
        return gr + np.where(within, gb, zero), gi + np.where(within, zero, gb)
    ir, ii, ib = i
    both = ib * gb
    relevant = ir * (gr + gb) + ib * gr
    irrelevant = ii * (gr + gi + gb) + (ir + ib) * gi
    return relevant + np.where(within, both, zero), irrelevant + np.where(within, zero, both)


def _functions(layer: LSTM, x: Array) -> dict[str, Callable[[Array], Array]]:
    gate = activation(layer.gate_activation, 1, x)
    return dict.fromkeys("ifo", gate) | {"g": activation(layer.activation, layer.scale, x)}


def _not_none(a: Array | None) -> Array:
    assert a is not None
    return a


def _only_lstm(model: Model, explained: tuple[str, ...]) -> Node:
    """The LSTM, where the network has one, and linear layers alone behind it; else `RuleError`."""
    below = ancestors(model, *explained)
    nodes = [node for node in model.nodes if node.name in below]
    found = [node for node in nodes if isinstance(node.layer, LSTM)]
    if len(found) != 1:
        names = ", ".join(repr(node.name) for node in found) or "none"
        raise RuleError(f"contextual decomposition is defined for a network with one LSTM, found {names}; DeepLift takes others")
    (cell,) = found
    if isinstance(cell.layer, LSTM) and cell.layer.peepholes is not None:
        raise RuleError(f"{cell.title} has peepholes, of which contextual decomposition says nothing; DeepLift takes them")
    behind = {cell.name}
    for node in nodes:
        if not behind & set(node.inputs):
            continue
        if not set(node.inputs) <= behind:
            raise RuleError(
                f"{node.title} joins what passes the LSTM with what does not: contextual decomposition needs one path"
            )
        if not isinstance(node.layer, (Linear, Rearrangement)):
            raise RuleError(f"{node.title} behind the LSTM is not linear: output= explains a node in front of it")
        behind.add(node.name)
    return cell


def _sequence(model: Model, cell: Node) -> str:
    """The input whose time steps the LSTM reads, each by itself."""
    name = cell.inputs[0]
    while name not in model.inputs:
        node = model[name]
        if len(node.inputs) > 1 or not isinstance(node.layer, STEPWISE) or isinstance(node.layer, Softmax):
            raise RuleError(f"{node.title} in front of the LSTM does not compute each time step by itself")
        name = node.inputs[0]
    return name
