"""Turning a model and its rules into steps. This is the only module that imports `kernels/`; without it everything still works.

A step serves one node, or a chain of nodes. What flows between steps on the way back is a message of one of two kinds:
"relevance", R itself, or "ratio", the c with R = a·c for the activation a of the node that the message is at. The reference
backend knows R only. Messages have the shape (N, targets, …).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field, replace

from ..arrays import Array, Shape, is_exact
from ..errors import LrpError, unknown
from ..forks import cached_property
from ..layers.activations import ReLU, Sigmoid, Softmax, Softplus
from ..layers.linear import Add, Mean
from ..layers.merge import Concat, Multiply
from ..layers.pooling import AvgPool, GlobalAvgPool, GlobalMaxPool, GlobalSumPool, MaxPool, Selecting, SumPool
from ..layers.shape import Dropout, Flatten, Identity, Pad, Reshape, Transpose, Upsample
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Amounts
from ..messages import MessageKind
from ..network.model import Model
from ..resources import Resources
from ..rules.base import Rule
from ..step import Backend, PlanContext, Slot, Step
from .reference_step import ForwardStep, ReferenceStep

try:
    from .. import kernels
except ImportError:  # it is there for speed and may be missing
    kernels = None  # type: ignore[assignment]

#: What computes where there are no kernels: it has no steps of its own, so that the definition serves every node.
REFERENCE = Backend("reference")
#: The names of what can compute here, the default last.
BACKENDS: tuple[str, ...] = (REFERENCE.name, *(() if kernels is None else kernels.installed()))


def backend_named(name: str) -> Backend:
    """The backend of a name.

    Parameters
    ----------
    name : one of BACKENDS

    Raises
    ------
    MissingExtraError, UnknownNameError
        Where it cannot compute here: what it lacks can be installed, or there is no such backend.
    """
    if name not in BACKENDS:
        raise absent(name)
    return REFERENCE if name == REFERENCE.name else kernels.load(name)


def absent(name: object) -> LrpError:
    """The error for a backend that is not among BACKENDS: an extra is missing, or the name is unknown.

    Parameters
    ----------
    name : what was given as backend=
    """
    error = None if kernels is None else kernels.missing(name)
    return unknown("backend", name, BACKENDS) if error is None else error


def instruction_set() -> str | None:
    """What the default backend has chosen for this processor; None where it chooses nothing."""
    return backend_named(BACKENDS[-1]).instruction_set


@lazy_dataclass(frozen=True, eq=False)
class Plan:
    """Which step serves which node, and which kind of message reaches each node.

    Attributes
    ----------
    model : the (canonised) model
    steps : in computing order
    served_by : the backend
    currency : the kind of the message at each node and input
    needed_activations : nodes and inputs whose activations the way back needs
    fused_into : for a node inside a chain, the node at its end that has the same relevance
    resources : what it may spend
    slots : nodes whose output goes into a slice of another's, and where
    """

    model: Model
    steps: tuple[Step, ...]
    served_by: Backend
    currency: Mapping[str, MessageKind]
    needed_activations: frozenset[str]
    fused_into: Mapping[str, str]
    resources: Resources = field(default_factory=Resources)
    slots: Mapping[str, Slot] = field(default_factory=dict)

    @property
    def backend(self) -> str:
        """The backend's name."""
        return self.served_by.name

    def finite(self, message: Array) -> bool:
        """Whether no number of a message is infinite or NaN.

        Parameters
        ----------
        message : relevance, or c with R = a·c, of any shape; rationals are finite
        """
        return is_exact(message) or self.served_by.finite(message, self.resources.threads)

    @cached_property
    def alone(self) -> frozenset[str]:
        """Nodes and inputs at which one message arrives."""
        return frozenset(name for name, count in _readings(self.steps).items() if count == 1)

    def pruned(self, needed: frozenset[str]) -> Plan:
        """The plan without the steps of nodes that are not `needed`: those that only other outputs depend on.

        Parameters
        ----------
        needed : the names of the nodes that what is explained depends on
        """
        steps = tuple(step for step in self.steps if step.nodes[-1].name in needed)
        if len(steps) == len(self.steps):
            return self
        return replace(self, steps=steps, slots={name: slot for name, slot in self.slots.items() if slot.owner in needed})

    def amounts(self, message: Array, activation: Array | None) -> Amounts:
        """Σ R and Σ|R| of a message, (N, targets) each, which the ledger books.

        Parameters
        ----------
        message : relevance (N, targets, …), or c with R = a·c
        activation : a, (N, …), where the message is c; None: the message is relevance
        """
        return self.served_by.amounts(message, activation, self.resources.threads)

    def output(self, shape: Shape) -> Array:
        """A new array without values for an output that nodes fill slice by slice (`slots`), in the model's number type.

        Parameters
        ----------
        shape : of the output, batch axis included
        """
        return self.served_by.output(shape, self.model.dtype)

    def prepare(self) -> None:
        """Make what the steps make once, such as packed weights: a model's memo counts them from then on."""
        for step in self.steps:
            _ = step.prepared

    def rows(self) -> list[tuple[str, str]]:
        """(nodes, step) in computing order."""
        return [(" + ".join(node.name for node in step.nodes), step.label) for step in self.steps]

    @property
    def precision(self) -> str:
        """The number type, or "fast" where float32 convolutions may take the larger Winograd tiles."""
        if self.model.dtype == object:
            return "exact"
        return "fast" if self.resources.fast and self.served_by.spends_resources else str(self.model.dtype)

    @property
    def described(self) -> str:
        """What computes, in one line."""
        facts = [self.precision, f"backend {self.backend}"]
        if self.served_by.spends_resources:
            facts.append(f"{self.resources.threads} thread{'s' if self.resources.threads > 1 else ''}")
            facts += ["low memory"] if self.resources.memory == "low" else []
        return ", ".join(facts)

    def __repr__(self) -> str:
        rows = [(*row, step.rule_name) for row, step in zip(self.rows(), self.steps, strict=True)]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"  {nodes:<{widths[0]}}  {label:<{widths[1]}}  {rule}".rstrip() for nodes, label, rule in rows]
        return "\n".join([f"plan: {self.described}", *lines])


def plan(
    model: Model,
    rules: Mapping[str, Rule],
    backend: str,
    observe: frozenset[str] = frozenset(),
    with_ledger: bool = False,
    barriers: frozenset[str] = frozenset(),
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
    barriers : nodes and inputs whose relevance is filtered, or given: no run goes across one, and what is there is R
    shapes : of one sample at each node and input, where they are known: they decide how convolutions are computed
    resources : what the plan may spend
    """
    computes = backend_named(backend)
    resources = Resources() if resources is None else resources
    nonnegative, maxima = (nonnegative_nodes(model), before_maxima(model))
    context = PlanContext(model, rules, nonnegative, with_ledger, barriers, maxima, shapes or {}, resources, observe)
    steps = _candidates(context, computes)
    fused_into = {node.name: step.nodes[-1].name for step in steps for node in step.nodes[:-1]}
    steps, currency, arriving = _currencies(model, steps, frozenset((*model.inputs, *model.outputs, *barriers)))
    # What several messages meet at is accounted for message by message.
    met = {name for name, count in _readings(steps).items() if count > 1} if with_ledger else set()
    observed = {fused_into.get(name, name) for name in observe} | met
    # R = a·c is taken where someone looks at a node, and where the messages' currencies meet.
    needed = {
        name for name, kinds in arriving.items() if "ratio" in kinds and (name in observed or currency.get(name) == "relevance")
    }
    return Plan(model, steps, computes, currency, frozenset(needed), fused_into, resources, computes.slots(steps))


def _readings(steps: tuple[Step, ...]) -> dict[str, int]:
    """How many messages arrive at each node and input."""
    return Counter(name for step in steps if step.explains for name in step.nodes[0].inputs)


def _candidates(context: PlanContext, backend: Backend) -> tuple[Step, ...]:
    """The steps in computing order, each as if R arrived."""
    steps: list[Step] = []
    served: set[str] = set()
    for node in context.model.nodes:
        if node.name in served:
            continue
        if node.name not in context.rules:
            steps.append(ForwardStep((node,), compute=backend.forward_for(context, node)))
            continue
        step = backend.step_for(context, node)
        chosen = ReferenceStep((node,), context.rules[node.name], with_ledger=context.with_ledger) if step is None else step
        steps.append(chosen)
        served |= {n.name for n in chosen.nodes}
    return tuple(steps)


def _currencies(
    model: Model, steps: tuple[Step, ...], needs_relevance: frozenset[str]
) -> tuple[tuple[Step, ...], dict[str, MessageKind], dict[str, set[MessageKind]]]:
    """Decide from the output down: a node's message is c where all its readers send c and its step takes it.

    The steps with the kinds of their messages, the kind at each node and input, and those that its readers send.
    """
    currency: dict[str, MessageKind] = {}
    arriving: dict[str, set[MessageKind]] = {}
    decided: list[Step] = []
    for candidate in reversed(steps):
        name = candidate.nodes[-1].name
        quotient = candidate.accepts_quotient and arriving.get(name) == {"ratio"}
        kind: MessageKind = "ratio" if quotient and name not in needs_relevance else "relevance"
        currency[name] = kind
        step = replace(candidate, takes=kind) if candidate.takes != kind else candidate
        decided.append(step)
        if step.explains:
            for source in step.nodes[0].inputs:
                arriving.setdefault(source, set()).add(step.emits)
    return tuple(reversed(decided)), currency | dict.fromkeys(model.inputs, "relevance"), arriving


def nonnegative_nodes(model: Model) -> frozenset[str]:
    """The nodes whose output is never negative, whatever the input: steps for a ≥ 0 may serve the nodes that read them.

    Layers are known by their exact class: a subclass may compute something else.

    Parameters
    ----------
    model : the canonised network
    """
    names: set[str] = set()
    for node in model.nodes:
        nonnegative = (
            type(node.layer) in _KEEPS_SIGN
            and all(name in names for name in node.inputs)
            and all((value >= 0).all() for value in node.layer.parameters.values())  # a constant factor
        )
        if nonnegative or type(node.layer) in _NONNEGATIVE:
            names.add(node.name)
    return frozenset(names)


def before_maxima(model: Model) -> frozenset[str]:
    """The nodes from which a maximum is reached: equal windows need equal numbers there, or rounding would choose the winner.

    Parameters
    ----------
    model : the canonised network
    """
    names: set[str] = set()
    for node in reversed(model.nodes):
        if isinstance(node.layer, Selecting) or node.name in names:
            names.update(node.inputs)
    return frozenset(names)


#: Layers whose output is never negative.
_NONNEGATIVE = (ReLU, Sigmoid, Softplus, Softmax)
#: Layers whose output is not negative where their inputs are not.
_KEEPS_SIGN = (
    *(Add, Mean, SumPool, AvgPool, GlobalSumPool, GlobalAvgPool, Upsample, MaxPool, GlobalMaxPool, Multiply),
    *(Concat, Dropout, Flatten, Identity, Pad, Reshape, Transpose),
)
