"""Turning a model and its rules into Steps. This is the only module that imports `kernels/`; without it everything still works.

A Step serves one node, or a run of nodes. What flows between steps on the way back is a message in one of two
currencies: "R", the relevance itself, or "c", the quotient with R = a·c for the activation a of the node that the
message is at. The reference backend knows R only. Messages have the shape (N, targets, …).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from ..arrays import Array, Shape, is_exact, per_sample
from ..errors import LrpError, missing_extra, unknown
from ..forks import cached_property
from ..layers.activations import ReLU, Sigmoid, Softmax, Softplus
from ..layers.linear import Add, Mean
from ..layers.merge import Concat, Multiply
from ..layers.pooling import AvgPool, GlobalAvgPool, GlobalMaxPool, GlobalSumPool, MaxPool, Selecting, SumPool
from ..layers.shape import Dropout, Flatten, Identity, Pad, Reshape, Transpose, Upsample
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking, Entry, OpenEntry
from ..messages import Message, MessageKind
from ..network.model import Model, Node
from ..resources import Resources
from ..rules.base import Rule


def _backends() -> tuple[str, ...]:
    """What can compute here, the default last. kernels/ is there for speed and may be missing; so may Numba and the C core."""
    if find_spec("..kernels", __package__) is None:
        return ("reference",)
    jit = ["jit"] if find_spec("numba") is not None else []
    core = all(find_spec(f"..kernels.{name}", __package__) is not None for name in ("compiled", "compiled._core"))
    return ("reference", *jit, "numpy", *(["compiled"] if core else []))


BACKENDS = _backends()


def absent(backend: object) -> LrpError:
    """What to raise where `backend` is none of BACKENDS."""
    if backend == "jit" and "numpy" in BACKENDS:
        return missing_extra("numba", "numba", 'backend="jit"')
    return unknown("backend", backend, BACKENDS)


def block() -> int:
    """Bytes that a fused step works on at a time."""
    from ..kernels.numpy.products import BLOCK

    return BLOCK


def instruction_set() -> str | None:
    """What the compiled core has chosen for this processor; None where it is not built."""
    if "compiled" not in BACKENDS:
        return None
    from ..kernels.compiled.native import _core

    return _core.instruction_set


class Step(Protocol):
    """What serves a node, or a run of nodes that ends in `nodes[-1]`. Steps have no state."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What it serves."""

    @property
    def takes(self) -> MessageKind:
        """The currency of what arrives."""

    @property
    def with_ledger(self) -> bool:
        """Whether it makes bookings."""

    @property
    def accepts_quotient(self) -> bool:
        """Whether a message may arrive as c."""

    @property
    def emits(self) -> MessageKind:
        """The currency of the messages below, given that of what arrives."""

    @property
    def label(self) -> str:
        """The step's name in tables."""

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        """The output, and everything that the way back needs."""

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Message | None, ...], tuple[Entry | OpenEntry, ...]]:
        """One message for each input (None: it gets nothing, whatever arrives), and the bookings of the nodes served.

        These are from the last node down; there are none unless `with_ledger`.
        """


@lazy_dataclass(frozen=True, eq=False)
class ReferenceStep:
    """One node, its layer's forward and its rule's propagate: the definition."""

    nodes: tuple[Node, ...]
    rule: Rule
    takes: MessageKind = "R"
    with_ledger: bool = False

    accepts_quotient = False
    emits: MessageKind = "R"
    label = "reference"

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        output = Model.compute(self.nodes[0], inputs)
        return output, (inputs, output)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        (node,), (inputs, output) = self.nodes, saved
        try:
            targets = [self._one(inputs, output, message[:, t]) for t in range(message.shape[1])]
        except LrpError as error:
            raise error.at(node.place) from None
        messages = tuple(np.stack(parts, axis=1) for parts in zip(*(lower for lower, _ in targets), strict=True))
        bookings = [booking for _, booking in targets if booking is not None]
        return messages, (Entry(node.name, str(self.rule), Booking.stacked(bookings)),) if self.with_ledger else ()

    def _one(self, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[tuple[Array, ...], Booking | None]:
        layer = self.nodes[0].layer
        if self.with_ledger:
            return self.rule.propagate(layer, inputs, output, relevance)
        return self.rule.relevances(layer, inputs, output, relevance), None


@lazy_dataclass(frozen=True, eq=False)
class ForwardStep:
    """A node above the start: predicted, never explained; `compute` is the backend's own way, where it has one."""

    nodes: tuple[Node, ...]
    compute: Callable[..., Array] | None = None
    takes: MessageKind = "R"
    with_ledger: bool = False

    accepts_quotient = False
    emits: MessageKind = "R"
    label = "forward only"

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        return Model.compute(self.nodes[0], inputs) if self.compute is None else self.compute(*inputs), None

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        raise AssertionError("no relevance reaches a node above the start")


def _finite(message: Array) -> bool:
    # One infinity or NaN makes the sum one; a sum that overflows is looked at again. In the order of the memory it is fast.
    return math.isfinite(message.ravel(order="K").sum()) or bool(np.isfinite(message).all())


@lazy_dataclass(frozen=True, eq=False)
class Plan:
    """Which step serves which node, and in which currency messages reach each node.

    Attributes
    ----------
    model : the (canonised) model
    steps : in computing order
    currency : of the message at each node and input
    kept : nodes and inputs whose activations the way back needs
    alias : a node inside a run, and the node at its end that has the same relevance
    resources : what it may spend
    rooms : nodes whose output goes into a slice of another's, and where
    """

    model: Model
    steps: tuple[Step, ...]
    backend: str
    currency: Mapping[str, MessageKind]
    kept: frozenset[str]
    alias: Mapping[str, str]
    resources: Resources = field(default_factory=Resources)
    rooms: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _looks(self) -> Callable[[Array], bool]:
        """The backend's look at a message."""
        if self.backend != "compiled":
            return _finite
        from ..kernels.compiled.packed import finite

        return lambda message: finite(message, self.resources.threads)

    def finite(self, message: Array) -> bool:
        """Whether no number of a message is infinite or NaN."""
        return is_exact(message) or self._looks(message)

    @cached_property
    def alone(self) -> frozenset[str]:
        """Nodes and inputs at which one message arrives."""
        return frozenset(name for name, count in _readings(self.steps).items() if count == 1)

    def pruned(self, needed: frozenset[str]) -> Plan:
        """The plan without the steps of nodes that are not `needed`: those that only other outputs depend on."""
        steps = tuple(step for step in self.steps if step.nodes[-1].name in needed)
        if len(steps) == len(self.steps):
            return self
        return replace(self, steps=steps, rooms={name: room for name, room in self.rooms.items() if room.whole in needed})

    def amounts(self, message: Array, activation: Array | None) -> tuple[Array, Array]:
        """Σ R and Σ|R| of a message, (N, targets) each; where it is c, of the product with the activation."""
        if self.backend == "compiled":
            from ..kernels.compiled.accounts import amounts

            return amounts(message, activation, self.resources.threads)
        whole = message if activation is None else message * activation[:, None]
        columns = [(per_sample(whole[:, t]), per_sample(abs(whole[:, t]))) for t in range(whole.shape[1])]
        found, sizes = zip(*columns, strict=True)
        return np.stack(found, axis=1), np.stack(sizes, axis=1)

    def output(self, shape: Shape) -> Array:
        """A new output that is filled slice by slice (`rooms`)."""
        from ..kernels.compiled.joined import output

        return output(shape, self.model.dtype)

    def rows(self) -> list[tuple[str, str]]:
        """(nodes, step) in computing order."""
        return [(" + ".join(node.name for node in step.nodes), step.label) for step in self.steps]

    @property
    def precision(self) -> str:
        """The number type, or "fast" where float32 convolutions may take the larger Winograd tiles."""
        if self.model.dtype == object:
            return "exact"
        return "fast" if self.resources.fast and self.backend == "compiled" else str(self.model.dtype)

    @property
    def described(self) -> str:
        """What computes, in one line."""
        facts = [self.precision, f"backend {self.backend}"]
        if self.backend == "compiled":
            facts.append(f"{self.resources.threads} thread{'s' if self.resources.threads > 1 else ''}")
            facts += ["low memory"] if self.resources.memory == "low" else []
        return ", ".join(facts)

    def __repr__(self) -> str:
        rules = [str(getattr(step, "rule", "")) for step in self.steps]
        rows = [(*row, rule) for row, rule in zip(self.rows(), rules, strict=True)]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"  {nodes:<{widths[0]}}  {label:<{widths[1]}}  {rule}".rstrip() for nodes, label, rule in rows]
        return "\n".join([f"plan: {self.described}", *lines])


def plan(
    model: Model,
    rules: Mapping[str, Rule],
    backend: str,
    observe: frozenset[str] = frozenset(),
    with_ledger: bool = False,
    cuts: frozenset[str] = frozenset(),
    shapes: Mapping[str, Shape] | None = None,
    resources: Resources | None = None,
) -> Plan:
    """The steps that serve `model` under `rules`.

    Parameters
    ----------
    model : canonised
    rules : of the nodes that relevance passes; other nodes are predicted only
    backend : one of BACKENDS
    observe : nodes and inputs whose relevance is looked at
    with_ledger : whether every step makes its bookings
    cuts : nodes and inputs whose relevance is filtered, or given: no run goes across one, and what is there is R
    shapes : of one sample at each node and input, where they are known: they decide how convolutions are computed
    resources : what the plan may spend
    """
    if backend not in BACKENDS:
        raise absent(backend)
    resources = Resources() if resources is None else resources
    steps = _candidates(model, rules, backend, with_ledger, cuts, shapes or {}, resources, observe)
    alias = {node.name: step.nodes[-1].name for step in steps for node in step.nodes[:-1]}
    steps, currency, arriving = _currencies(model, steps, frozenset((*model.inputs, *model.outputs, *cuts)))
    # What several messages meet at is accounted for message by message.
    met = {name for name, count in _readings(steps).items() if count > 1} if with_ledger else set()
    seen = {alias.get(name, name) for name in observe} | met
    # R = a·c is taken where someone looks at a node, and where the messages' currencies meet.
    kept = {name for name, kinds in arriving.items() if "c" in kinds and (name in seen or currency.get(name) == "R")}
    return Plan(model, steps, backend, currency, frozenset(kept), alias, resources, _rooms(steps, backend))


def _readings(steps: tuple[Step, ...]) -> dict[str, int]:
    """How many messages arrive at each node and input."""
    return Counter(name for step in steps if step.label != "forward only" for name in step.nodes[0].inputs)


def _rooms(steps: tuple[Step, ...], backend: str) -> Mapping[str, Any]:
    if backend != "compiled":
        return {}
    from ..kernels.compiled.joined import rooms

    return rooms(steps)


def _candidates(
    model: Model,
    rules: Mapping[str, Rule],
    backend: str,
    with_ledger: bool,
    cuts: frozenset[str],
    shapes: Mapping[str, Shape],
    resources: Resources,
    observe: frozenset[str],
) -> tuple[Step, ...]:
    step_for, predict = _steps_for(backend), _predicts(backend)
    if step_for is not None:
        from ..step import PlanContext

        context = PlanContext(
            model, rules, nonnegative_nodes(model), with_ledger, cuts, before_maxima(model), shapes, resources, observe
        )
    steps: list[Step] = []
    served: set[str] = set()
    for node in model.nodes:
        if node.name in served:
            continue
        if node.name not in rules:
            steps.append(ForwardStep((node,), None if predict is None else predict(context, node)))
            continue
        found = None if step_for is None else step_for(context, node)
        steps.append(found if found is not None else ReferenceStep((node,), rules[node.name], with_ledger=with_ledger))
        served |= {n.name for n in steps[-1].nodes}
    return tuple(steps)


def _steps_for(backend: str) -> Callable[[Any, Node], Step | None] | None:
    """What offers a backend's steps; None for the reference. Imported by the first plan that asks for it."""
    if backend == "reference":
        return None
    if backend == "numpy":
        from ..kernels.numpy.linear import step_for
    elif backend == "jit":
        from ..kernels.jit.steps import step_for
    else:
        from ..kernels.compiled.linear import step_for
    return step_for


def _predicts(backend: str) -> Callable[[Any, Node], Callable[..., Array] | None] | None:
    """What gives a backend's own way to compute a node's output; None where there is none."""
    if backend != "compiled":
        return None
    from ..kernels.compiled.predictions import forward

    return forward


def _currencies(
    model: Model, steps: tuple[Step, ...], whole: frozenset[str]
) -> tuple[tuple[Step, ...], dict[str, MessageKind], dict[str, set[MessageKind]]]:
    """Decide from the output down: a node's message is c where all its readers send c and its step takes it.

    The steps with their currencies, the currency at each node and input, and those in which its readers send their messages.
    """
    currency: dict[str, MessageKind] = {}
    arriving: dict[str, set[MessageKind]] = {}
    decided: list[Step] = []
    for candidate in reversed(steps):
        name = candidate.nodes[-1].name
        quotient = candidate.accepts_quotient and arriving.get(name) == {"c"}
        kind: MessageKind = "c" if quotient and name not in whole else "R"
        currency[name] = kind
        step = replace(candidate, takes=kind) if candidate.takes != kind else candidate  # type: ignore[type-var]
        decided.append(step)
        if step.label != "forward only":
            for source in step.nodes[0].inputs:
                arriving.setdefault(source, set()).add(step.emits)
    return tuple(reversed(decided)), currency | dict.fromkeys(model.inputs, "R"), arriving


def nonnegative_nodes(model: Model) -> frozenset[str]:
    """Nodes whose output is never negative, whatever the input: what shortcuts for a ≥ 0 may rely on.

    Layers are known by their exact class: a subclass may compute something else.
    """
    found: set[str] = set()
    for node in model.nodes:
        sure = (
            type(node.layer) in _KEEPS_SIGN
            and all(name in found for name in node.inputs)
            and all((value >= 0).all() for value in node.layer.parameters.values())  # a constant factor
        )
        if sure or type(node.layer) in _NONNEGATIVE:
            found.add(node.name)
    return frozenset(found)


def before_maxima(model: Model) -> frozenset[str]:
    """Nodes from which a maximum is reached: where equal windows need equal numbers, whatever is asked for."""
    found: set[str] = set()
    for node in reversed(model.nodes):
        if isinstance(node.layer, Selecting) or node.name in found:
            found.update(node.inputs)
    return frozenset(found)


#: Layers whose output is never negative.
_NONNEGATIVE = (ReLU, Sigmoid, Softplus, Softmax)
#: Layers whose output is not negative where their inputs are not.
_KEEPS_SIGN = (
    *(Add, Mean, SumPool, AvgPool, GlobalSumPool, GlobalAvgPool, Upsample, MaxPool, GlobalMaxPool, Multiply),
    *(Concat, Dropout, Flatten, Identity, Pad, Reshape, Transpose),
)
