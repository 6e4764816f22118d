"""One call of an explainer: the forward pass, then relevance from the start down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array, Shape, check_finite, fractions, is_exact, like, per_sample, unmasked, zeros
from ..errors import LrpError, NonFiniteError, ShapeError, TargetError, UnknownNameError, unknown
from ..forks import cached_property
from ..layers.base import Recurrent
from ..lazy_dataclass import lazy_dataclass
from ..ledger import PLACES, Amounts, Booking, Entry, Ledger, OpenEntry
from ..messages import Inbox, Message, MessageKind, PartialMessage
from ..network.model import Model, ancestors
from .doubt import Origin, doubt, origin
from .explanation import Explanation
from .forward import forward, last_reads, refuse_values
from .plan import Plan, Step
from .route import Route
from .scores import Scores
from .settling import Booked, settled
from .targets import indices, several


def unknown_node(what: str, name: str, known: list[str], original: Model) -> UnknownNameError:
    """The error for a node that is not `known` in the canonised model; it says so where the node was folded away."""
    error = unknown(what, name, known)
    return UnknownNameError(f"{error} It was folded into its linear neighbour.") if name in original else error


def unreached(what: str, name: str) -> UnknownNameError:
    """The error for a node that the explained output does not depend on."""
    return UnknownNameError(f"{what} {name!r} is not below the explained output, so no relevance reaches it")


@lazy_dataclass(frozen=True, eq=False)
class Order:
    """What an explainer asks of a run.

    Attributes
    ----------
    plan : the steps
    original : the model before it was canonised
    route : what is explained of the output, where that begins, and where relevance goes
    kept : nodes and inputs whose relevance the explanation keeps
    ledger : whether it carries the accounts
    composite : the composite's name
    method : how this explains, for the explanation
    start_at : the node where a given start begins; None: where the scores are
    """

    plan: Plan
    original: Model
    route: Route
    kept: tuple[str, ...]
    ledger: bool
    composite: str
    method: str
    start_at: str | None = None

    # Runs are many, and small ones short: what they share is worked out once.

    @cached_property
    def seen(self) -> frozenset[str]:
        """Where relevance is put aside: what is kept, or has the same relevance."""
        return frozenset(self.plan.alias.get(name, name) for name in self.kept)

    @property
    def scores(self) -> Scores:
        """What is explained of every element of the output."""
        return self.route.scores

    @cached_property
    def below(self) -> frozenset[str]:
        """The nodes that what is explained is computed from."""
        return ancestors(self.plan.model, *self.scores.begins)

    @cached_property
    def done(self) -> tuple[tuple[str, ...], ...]:
        """For each step the activations that nothing reads after it."""
        wanted = {*self.plan.kept, *self.scores.begins, self.scores.output, self.start_at, *self.plan.model.inputs}
        wanted |= {name for origin in self.origins.values() for name in origin.node.inputs}
        return last_reads(self.plan.steps, wanted)

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """For each node where relevance starts the linear node whose sums its scores are, where there is one."""
        return {name: found for name in self.scores.begins if (found := origin(self.plan.model, name)) is not None}

    @cached_property
    def named(self) -> Mapping[str, str]:
        """The rule of every node, as its account names it; none without a ledger."""
        return {name: str(rule) for name, rule in self.route.rules.items()} if self.ledger else {}

    @cached_property
    def head(self) -> str:
        """The name of the head that is in force."""
        return self.scores.explained.name

    @cached_property
    def cautions(self) -> tuple[str, ...]:
        """What a reader has to know of the model, and of what is explained of it."""
        return (*self.plan.model.remarks, *self.scores.remarks)

    @cached_property
    def precision(self) -> str:
        """That of the plan."""
        return self.plan.precision


@lazy_dataclass(frozen=True, eq=False)
class Start:
    """Where relevance starts: R (N, T, …) at nodes, what it explains (N, T), and the targets (N, T) if it was not given.

    `below` are the nodes that a start like this one can reach.
    """

    relevances: Mapping[str, Array]
    below: frozenset[str]
    value: Array
    targets: Array | None
    single: bool


class Run:
    """The arrays of one call. `prediction` is there once it is made; `back` uses up what the forward pass has saved."""

    def __init__(self, order: Order, inputs: dict[str, Array], shapes: Mapping[str, Shape]) -> None:
        self.order, self.plan, self.model, self.inputs = order, order.plan, order.plan.model, inputs
        self.shapes = shapes
        self.some = next(iter(inputs.values()))  # whose number type all numbers have
        self.saved: list[Any] = []
        self.values = forward(self.plan, inputs, shapes, order.done, self.saved)
        self.prediction = self.values[order.scores.output]

    def _node(self, name: str, what: str) -> str:
        """A node that exists in the canonised model and that the explained output depends on."""
        below = self.order.below
        known = [n for n in self.shapes if n in below or n in self.model.inputs]
        if name in known:
            return name
        if name in self.model:
            raise unreached(what, name)
        raise unknown_node(what, name, known, self.order.original)

    # --- where relevance starts ---------------------------------------------------------------------------------------

    def given(self, start: Any, start_at: str | None) -> Start:
        """The start that a relevance of the output's shape, or of that of `start_at`, makes."""
        at = self.order.scores.output if start_at is None else self._node(start_at, "node to start at")
        relevance = np.asarray(unmasked(start, "start"))
        if relevance.dtype.kind not in "iufO":
            raise TargetError(f"start must hold numbers, found {relevance.dtype}")
        if relevance.dtype.kind == "f":
            check_finite(relevance, "start")
        if is_exact(relevance):
            try:
                relevance = fractions(relevance)
            except LrpError as error:
                raise error.at("start") from None
        if relevance.shape != self.shapes[at]:
            raise ShapeError(f"start must have the shape of {at!r}, {self.shapes[at]}, found {relevance.shape}")
        relevance = np.array(like(relevance, self.some))  # a copy: it is kept, and the caller's buffer may change
        begun = {at: relevance} if start_at is not None else self.order.scores.given(relevance, self.shapes)
        value = like(per_sample(relevance), relevance)[:, None]
        self.order.route.require(*begun)
        self._refuse_start(begun)
        below = self.order.below if start_at is None else ancestors(self.model, at)
        return Start({name: part[:, None] for name, part in begun.items()}, below, value, None, True)

    def chosen(self, target: Any, targets: Any, contrast: Any) -> Start:
        """The start that one target, several, or a contrast makes."""
        scores = self._scores()
        if targets is not None:
            if target is not None or contrast is not None:
                raise TargetError("give target= or targets=, not both (contrast= goes with target=)")
            return self._headed(several(targets, scores), False)
        wanted = "predicted" if target is None else target
        single = not (isinstance(wanted, str) and wanted == "all")
        found = indices(wanted, scores)
        if contrast is None:
            return self._headed(found, single)
        if not single or (isinstance(contrast, str) and contrast == "all"):
            raise TargetError("contrast= needs one target, and one index to contrast it with")
        if not self.order.scores.contrasts:
            raise TargetError(
                "contrast= explains a difference of scores; the log-odds head contrasts with every other class itself"
            )
        return self._contrasted(found, indices(contrast, scores, "contrast"))

    def _headed(self, targets: Array, single: bool) -> Start:
        relevances, value = self.order.scores.start(self.values, targets)
        self.order.route.require(*relevances)
        return Start(relevances, self.order.below, value, targets, single)

    def _contrasted(self, targets: Array, others: Array) -> Start:
        """The start that explains the score of the targets minus that of the others."""
        if (targets == others).any():
            raise TargetError("a target cannot be contrasted with itself")
        up, down = self._headed(targets, True), self._headed(others, True)
        relevances = dict(up.relevances)
        for name, relevance in down.relevances.items():
            relevances[name] = relevances[name] - relevance if name in relevances else -relevance
        return replace(up, relevances=relevances, value=up.value - down.value)

    def _scores(self) -> Array:
        begins = self.order.scores.begins
        if not all(self.plan.finite(self.values[name]) for name in begins):
            refuse_values(self.model, self.inputs, begins)
        return self.order.scores.array(self.values)

    def _refuse_start(self, begun: Mapping[str, Array]) -> None:
        """Raise `NonFiniteError` where a given relevance starts at a value that is not finite: it is no share of anything."""
        wrong = [
            name
            for name, relevance in begun.items()
            if not self.plan.finite(self.values[name])
            and (~np.isfinite(self.values[name]) & (relevance != like(0, relevance))).any()
        ]
        if wrong:
            refuse_values(self.model, self.inputs, wrong)

    def masks(self, chosen: Mapping[str, Any]) -> dict[str, Array]:
        """For each filtered node what its relevance is multiplied by."""
        if not chosen:
            return {}
        names = {self._node(name, "node to filter"): choice for name, choice in chosen.items()}
        return {
            name: like(_mask(choice, self.shapes[name][1:], name).astype(np.int8), self.some) for name, choice in names.items()
        }

    # --- the way back -------------------------------------------------------------------------------------------------

    def back(self, start: Start, masks: Mapping[str, Array]) -> Explanation:
        """Take the starting relevance down to the inputs.

        What is not finite stays so through most compiled steps, and is then looked for where the relevance is handed out
        alone, without one more pass over every message. Where something is found, a second run looks everywhere, to name the
        node.
        """
        everywhere = bool(masks)
        try:
            return self._taken_down(start, masks, everywhere)
        except NonFiniteError:
            if not everywhere:
                Run(self.order, self.inputs, self.shapes)._taken_down(start, masks, True)
            raise

    def _taken_down(self, start: Start, masks: Mapping[str, Array], everywhere: bool) -> Explanation:
        entries: list[Booked] = []
        idle, alone = self.order.route.idle, self.plan.alone.difference(masks, start.relevances)
        inboxes: dict[str, Inbox] = {}
        nothing = np.zeros(start.value.shape)
        # Where nothing arrives nothing is moved, so nothing is computed.
        named, quiet = self.order.named, Booking.of(np.zeros((*start.value.shape, len(PLACES))))
        for name, relevance in start.relevances.items():
            inboxes.setdefault(name, Inbox()).add("R", relevance)
        whole: dict[str, Array] = {}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what arrives is checked
            for step, kept in zip(reversed(self.plan.steps), reversed(self.saved), strict=True):
                self.saved.pop()
                name = step.nodes[-1].name
                if name not in inboxes:
                    continue
                inbox = inboxes.pop(name)
                # a recurrent layer has details to book
                if not inbox and name not in masks and not isinstance(step.nodes[0].layer, Recurrent):
                    entries += [(Entry(node.name, named[node.name], quiet), []) for node in reversed(step.nodes)] if named else []
                    self._deliver(inboxes, step, (None,) * len(step.nodes[0].inputs))
                    continue
                looks = everywhere or not getattr(step, "keeps_infinite", False)
                message = self._arrived(name, inbox or self._zeros(name, start), step.takes, masks, whole, entries, looks)
                messages, booked = step.relevance(kept, message)
                if booked:  # what a node hands on is what arrives at the next of its step
                    entries += [(entry, [below.node]) for entry, below in pairwise(booked)]
                    pairs = zip(step.nodes[0].inputs, messages, strict=True) if isinstance(booked[-1], OpenEntry) else ()
                    given = [(s, m) for s, m in pairs if m is not None and s not in idle]
                    handed = [s if s in alone else self._amounts(s, m, step.emits) for s, m in given]
                    entries.append((booked[-1], handed or [(nothing, nothing)]))
                self._deliver(inboxes, step, messages)
            for name in self.model.inputs:
                inbox = inboxes.pop(name, Inbox()) or self._zeros(name, start)
                whole[name] = self._arrived(name, inbox, "R", masks, whole, entries)
        return self._result(whole, start, entries)

    def _deliver(self, inboxes: dict[str, Inbox], step: Step, messages: tuple[Message | None, ...]) -> None:
        """Add a step's messages to what has arrived in front of it."""
        for source, part in zip(step.nodes[0].inputs, messages, strict=True):
            if source not in self.order.route.idle:  # where it is 0, as everywhere below
                inboxes.setdefault(source, Inbox()).add(step.emits, part)

    def _zeros(self, name: str, start: Start) -> Inbox:
        """What is at a node where nothing arrives."""
        found = Inbox()
        found.add("R", zeros((*start.value.shape, *self.shapes[name][1:]), self.some))
        return found

    def _amounts(self, source: str, message: Message, kind: str) -> Amounts:
        """What a message amounts to. Where it is all that arrives, and nothing is filtered, that is found there."""
        activation = self.values[source] if kind == "c" else None
        if isinstance(message, PartialMessage):
            return self.plan.amounts(message.values, None if activation is None else activation[message.where[1:]])
        return self.plan.amounts(message, activation)

    def _arrived(
        self,
        name: str,
        inbox: Inbox,
        kind: MessageKind,
        masks: Mapping[str, Array],
        whole: dict[str, Array],
        entries: list[Booked],
        looks: bool = True,
    ) -> Array:
        """The message at a node in the currency that its step takes; its relevance is put aside where someone looks."""
        message = inbox[kind] if kind in inbox else self._relevance(name, inbox["c"], "c")
        if kind == "R" and len(inbox) == 2:
            message = message + self._relevance(name, inbox["c"], "c")
        if name in masks:
            chosen = message * masks[name]
            if self.order.ledger:
                entries.append((_filtered(name, message, chosen), []))
            message = chosen
        if looks or name in self.order.seen:
            self._check(message, name)
        if name in self.order.seen:
            whole[name] = self._relevance(name, message, kind)
        return message

    def _check(self, message: Array, name: str) -> None:
        if not self.plan.finite(message):
            raise NonFiniteError(
                f"the relevance at {name!r} is not finite: a denominator above it is tiny beside its relevance. A rule with "
                "an ε, or float64, helps; ledger=True shows the last nodes before"
            )

    def _relevance(self, name: str, message: Array, kind: str) -> Array:
        return message if kind == "R" else np.asarray(self.values[name][:, None] * message)

    def _result(self, whole: dict[str, Array], start: Start, entries: list[Booked]) -> Explanation:
        found = {name: self.plan.alias.get(name, name) for name in self.order.kept}
        kept = {name: whole[source] for name, source in found.items() if source in whole}
        none = [name for name in found if name not in kept and name in start.below]
        kept |= {name: zeros((*start.value.shape, *self.shapes[name][1:]), start.value) for name in none}
        single, value, targets = start.single, start.value, start.targets
        doubts = None if targets is None else doubt(self.order.origins, self.values, start.relevances, value)
        return Explanation(
            relevances={name: array[:, 0] for name, array in kept.items()} if single else kept,
            inputs=self.model.inputs,
            activations=self.inputs,
            prediction=self.prediction,
            target=targets[:, 0] if single and targets is not None else targets,
            value=value[:, 0] if single else value,
            ledger=self._ledger(whole, start, entries) if self.order.ledger else None,
            backend=self.plan.backend,
            precision=self.order.precision,
            composite=self.order.composite,
            method=self.order.method,
            head="" if targets is None else self.order.head,
            cautions=self.model.remarks if targets is None else self.order.cautions,
            doubt=doubts[:, 0] if single and doubts is not None else doubts,
        )

    def _ledger(self, whole: dict[str, Array], start: Start, entries: list[Booked]) -> Ledger:
        """The accounts; what is left to find for them waits until someone looks, and needs nothing of this run."""
        value = start.value if is_exact(start.value) else start.value.astype(np.float64)
        reached = {name: whole[name] for name in self.model.inputs}
        begun = None if start.targets is None else (start.relevances, self.order.scores.explained, value)
        settle = partial(settled, tuple(entries), reached, begun, start.single, self.plan.amounts)
        return Ledger.of(settle, value[:, 0] if start.single else value)


def _filtered(name: str, before: Array, after: Array) -> Entry:
    bookings = [
        Booking.handed_on(before[:, t], (after[:, t],), unassigned=before[:, t] - after[:, t]) for t in range(before.shape[1])
    ]
    return Entry(f"filter at {name}", "filter", Booking.stacked(bookings))


def _mask(choice: Any, sample: Shape, name: str) -> Array:
    """A boolean mask of one sample from channels, a neuron or a mask."""
    found = np.zeros(sample, dtype=bool)
    try:
        if not isinstance(choice, tuple) and np.asarray(choice).dtype == bool:
            if np.shape(choice) != sample:
                raise ValueError(f"a mask has the shape of a sample, not {np.shape(choice)}; a list of integers means channels")
            found |= np.asarray(choice)
        elif isinstance(choice, (tuple, int, np.integer)):
            found[choice] = True
        else:
            found[list(choice)] = True
    except (IndexError, ValueError, TypeError) as error:
        raise ShapeError(
            f"the filter {choice!r} does not fit node {name!r}, whose samples have shape {sample}: {error}"
        ) from None
    return found
