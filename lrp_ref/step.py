"""What a plan and its backends agree on: what a step is, what is told to choose one, and what a backend gives beside steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from .arrays import Array, Shape, per_sample
from .forks import cached_property
from .layers.activations import ReLU
from .layers.base import Layer, Linear, Recurrent
from .layers.merge import Multiply
from .layers.normalization import BatchNorm
from .layers.pooling import Selecting
from .lazy_dataclass import lazy_dataclass
from .ledger import Amounts, Entry, OpenEntry
from .messages import Message, MessageKind
from .network.model import Model, Node
from .resources import Resources
from .rules import Gradient, Pass, Rule, SignalTakesAll, ThroughTime, WinnerTakesAll, Zero

#: What a step hands on: a message for each input (None: it gets nothing, whatever arrives), and what it accounts for.
Handed: TypeAlias = "tuple[tuple[Message | None, ...], tuple[Entry | OpenEntry, ...]]"
#: What computes a node's output from its inputs.
Forward: TypeAlias = Callable[..., Array]
#: What a step keeps from the way forward for its own way back: a named tuple, or None.
Saved = TypeVar("Saved")


class SavedNode(NamedTuple):
    """The inputs and the output of a node: what its definition needs."""

    inputs: tuple[Array, ...]
    output: Array


@lazy_dataclass(frozen=True, eq=False)
class BaseStep(ABC, Generic[Saved]):
    """What serves a node, or a chain of nodes that ends in `nodes[-1]`: one way forward and one back. A step has no state.

    A message has the shape (N, targets, …). It is of one of two kinds: "relevance", R itself, or "ratio", the c with R = a·c
    for the activation a of the node that the message is at.

    Attributes
    ----------
    nodes : what it serves
    rule : of the first of them; None where no relevance passes
    takes : the kind of the message that arrives, as the plan has decided
    with_ledger : whether it accounts for what it does
    """

    nodes: tuple[Node, ...]
    rule: Rule | None
    takes: MessageKind = field(default="relevance", kw_only=True)
    with_ledger: bool = field(default=False, kw_only=True)

    @property
    def explains(self) -> bool:
        """Whether relevance passes; else the step predicts alone."""
        return True

    @property
    def accepts_quotient(self) -> bool:
        """Whether a message may arrive as c."""
        return False

    @property
    def emits(self) -> MessageKind:
        """The kind of the messages to its inputs, given that of the one that arrives."""
        return "relevance"

    @property
    def keeps_nonfinite(self) -> bool:
        """Whether an infinity or NaN in a message always reaches a message below, so that nobody has to look for one here."""
        return False

    @property
    def writes_into_slice(self) -> bool:
        """Whether `forward` can write its output into a slice of another array."""
        return False

    @property
    def share_count(self) -> int:
        """How many factors of the output's size are saved in the place of activations; 0: the activations are."""
        return 0

    @property
    def columns(self) -> Literal["all", "block", "none"]:
        """How much of what the windows of a convolution or a maximum see is in memory at once.

        "none" also says that the quotients of a message are made where they are used, and never lie in memory.
        """
        return "all"

    @property
    def prepared(self) -> object:
        """What is made once for the layer under its rule, such as packed weights; None where that is nothing."""
        return None

    @property
    def backend(self) -> str:
        """Whose step it is."""
        return "numpy"

    @property
    @abstractmethod
    def label(self) -> str:
        """The step's name in tables. Nothing is decided by it."""

    @cached_property
    def rule_name(self) -> str:
        """The rule, as accounts name it."""
        return "" if self.rule is None else str(self.rule)

    @abstractmethod
    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, Saved]:
        """The output, and what the way back needs.

        Parameters
        ----------
        inputs : (N, …) each
        into : where the output goes, of its shape; given only to a step that `writes_into_slice`
        """

    @abstractmethod
    def relevance(self, saved: Saved, message: Array) -> Handed:
        """The messages to the inputs, and the accounts of the nodes served.

        Parameters
        ----------
        saved : what `forward` gave beside the output
        message : (N, targets, …), of the kind that the step `takes`

        Returns
        -------
        One message for each input (None: it gets nothing, whatever arrives), and one entry for each node, from the last down; no
        entries unless `with_ledger`.
        """


#: A step, whatever it saves: what a plan holds.
Step: TypeAlias = BaseStep[Any]


@lazy_dataclass(frozen=True)
class Slot:
    """Where an output goes: channels [first, first + channels) of the output of node `owner`."""

    owner: str
    first: int
    channels: int


def nothing_for(_context: PlanContext, _node: Node) -> None:
    """No step of a backend's own."""


def no_slots(_: Sequence[Step]) -> Mapping[str, Slot]:
    """No outputs that are written slice by slice."""
    return {}


def all_finite(message: Array, _: int) -> bool:
    """Whether no number of a message is infinite or NaN."""
    # One infinity or NaN makes the sum one; a sum that overflows is looked at again. In the order of the memory it is fast.
    return math.isfinite(message.ravel(order="K").sum()) or bool(np.isfinite(message).all())


def amounts(message: Array, activation: Array | None, _: int) -> Amounts:
    """Σ R and Σ|R| of a message (N, targets, …), (N, targets) each; where it is c, of its product with the activation (N, …)."""
    relevance = message if activation is None else message * activation[:, None]
    columns = [(per_sample(relevance[:, t]), per_sample(abs(relevance[:, t]))) for t in range(relevance.shape[1])]
    sums, sizes = zip(*columns, strict=True)
    return np.stack(sums, axis=1), np.stack(sizes, axis=1)


@lazy_dataclass(frozen=True, eq=False)
class Backend:
    """What computes: the steps that it has, and what else a plan asks of it.

    Attributes
    ----------
    name : one of `BACKENDS`
    step_for : the step for a node, and perhaps for those behind it; None: the reference serves the node
    forward_for : its own way to compute the output of a node that is predicted alone; None: the layer itself serves
    finite : whether no number of a message (N, targets, …) is infinite or NaN; the last argument is the number of threads
    amounts : Σ R and Σ|R|, (N, targets) each, of a message and, where it is c, the activation; the last argument as there
    slots : for each node whose output can be written into that of a concatenation, and for the latter, where
    output : a new array of a shape and a number type for outputs that are written slice by slice
    block : bytes of columns at a time of a step whose `columns` are "block"
    spends_resources : whether it heeds `threads=`, `memory=` and precision="fast"
    instruction_set : what it has chosen for this processor; None where it chooses none
    """

    name: str
    step_for: Callable[[PlanContext, Node], Step | None] = nothing_for
    forward_for: Callable[[PlanContext, Node], Forward | None] = nothing_for
    finite: Callable[[Array, int], bool] = all_finite
    amounts: Callable[[Array, Array | None, int], Amounts] = amounts
    slots: Callable[[Sequence[Step]], Mapping[str, Slot]] = no_slots
    output: Callable[[Shape, Any], Array] = np.empty
    block: int = 0
    spends_resources: bool = False
    instruction_set: str | None = None


@lazy_dataclass(frozen=True, eq=False)
class PlanContext:
    """Steps for the nodes of a model.

    Attributes
    ----------
    model : canonised
    rules : of the nodes that relevance passes
    nonnegative : nodes whose output is never negative
    with_ledger : whether every step makes its bookings
    barriers : nodes and inputs whose relevance is filtered, or given: no run goes across one
    before_maxima : nodes from which a maximum is reached
    shapes : of one sample at each node and input, where they are known
    resources : what may be spent
    observed : nodes and inputs whose relevance is looked at
    """

    model: Model
    rules: Mapping[str, Rule]
    nonnegative: frozenset[str]
    with_ledger: bool
    barriers: frozenset[str]
    before_maxima: frozenset[str]
    shapes: Mapping[str, Shape]
    resources: Resources
    observed: frozenset[str] = frozenset()

    @cached_property
    def stand_ins(self) -> PlanContext:
        """The same with rules that move no element otherwise than a derivative does, in the place of all derivatives.

        Other rules are left out: no step of a derivative serves a node of theirs. And no run of a derivative goes across a node
        that is looked at: what arrives at a ReLU is not what arrives below it.
        """
        rules = {name: stand_in(self.model[name].layer) for name, rule in self.rules.items() if type(rule) is Gradient}
        return replace(self, rules=rules, barriers=self.barriers | self.observed)

    def activation_behind(self, node: Node) -> Node | None:
        """The ReLU that alone reads `node`, if relevance passes through it."""
        readers = self.model.readers(node.name)
        if (
            node.name in self.barriers
            or len(readers) != 1
            or node.name in self.model.outputs
            or type(readers[0].layer) is not ReLU
        ):
            return None
        return readers[0] if type(self.rules.get(readers[0].name)) is Pass else None


def stand_in(layer: Layer) -> Rule:
    """The rule whose step computes the layer's output, and moves relevance along the layer's connections."""
    if isinstance(layer, Linear) and not isinstance(layer, BatchNorm):
        return Zero()
    if isinstance(layer, Selecting):
        return WinnerTakesAll()
    if isinstance(layer, Recurrent):
        return ThroughTime(linear=Zero(), accumulation=Zero())
    return SignalTakesAll() if isinstance(layer, Multiply) else Pass()
