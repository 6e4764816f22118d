"""One call of an explainer: the forward pass, then relevance from the start down. `graph` says what that means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array, Shape, each_target_times, is_exact, zeros
from ..errors import NonFiniteError
from ..forks import cached_property
from ..layers.base import Recurrent
from ..ledger import PLACES, Amounts, Booking, Entry, Ledger, OpenEntry
from ..messages import Inbox, Message, MessageKind, PartialMessage
from ..step import Step
from .doubt import doubt
from .explanation import Explanation
from .forward import ForwardPass, node_outputs
from .settling import Booked, settled
from .spec import ExplainSpec
from .start import Start


class Execution:
    """One forward and one backward pass. Making it runs forward; `back` may be called once: it frees what was saved as it goes.

    Parameters
    ----------
    spec : what is explained, and by which steps
    inputs : (N, …) each, of the model's number type
    shapes : of every input and node, batch axis included
    """

    def __init__(self, spec: ExplainSpec, inputs: Mapping[str, Array], shapes: Mapping[str, Shape]) -> None:
        self.spec = spec
        self._saved: list[Any] = []
        values = node_outputs(spec.plan, inputs, shapes, spec.dead_after, self._saved)
        self.run = ForwardPass(spec.plan, inputs, shapes, values)

    def back(self, start: Start, masks: Mapping[str, Array]) -> Explanation:
        """Take the starting relevance down to the inputs.

        What is not finite stays so through most compiled steps, and is then looked for where the relevance is handed out
        alone, without one more pass over every message. Where something is found, a second run looks everywhere, to name the
        node.

        Parameters
        ----------
        start : where relevance starts
        masks : for each filtered node what its relevance is multiplied by

        Raises
        ------
        NonFiniteError
            Where a relevance is not finite; the node is named.
        """
        try:
            backward = Backward(self.spec, self.run, start, masks, bool(masks))
            backward.down(self._saved)
        except NonFiniteError:
            if not masks:
                again = Execution(self.spec, self.run.inputs, self.run.shapes)
                Backward(self.spec, again.run, start, masks, True).down(again._saved)
            raise
        return backward.explanation()


class Backward:
    """Relevance on its way down: what waits at nodes, what is put aside where someone looks, and the accounts.

    Parameters
    ----------
    spec, run : what is explained, and what the forward pass has left
    start : where relevance starts
    masks : for each filtered node what its relevance is multiplied by
    everywhere : whether every message is looked at for what is not finite
    """

    def __init__(self, spec: ExplainSpec, run: ForwardPass, start: Start, masks: Mapping[str, Array], everywhere: bool) -> None:
        self.spec, self.run, self.start, self.masks, self.everywhere = spec, run, start, masks, everywhere
        self.plan, self.model, self.idle = spec.plan, spec.plan.model, spec.route.idle
        self.inboxes: dict[str, Inbox] = {}
        self.relevance_at: dict[str, Array] = {}
        self.entries: list[Booked] = []

    def down(self, saved: list[Any]) -> None:
        """Step by step from the last to the inputs; `saved`, of each step, is used up."""
        for name, relevance in self.start.relevances.items():
            self._inbox(name).add("relevance", relevance)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what arrives is checked
            for step, state in zip(reversed(self.plan.steps), reversed(saved), strict=True):
                saved.pop()
                if step.nodes[-1].name in self.inboxes:
                    self._through(step, state)
            for name in self.model.inputs:
                inbox = self.inboxes.pop(name, Inbox()) or self._zeros(name)
                self.relevance_at[name] = self._message(name, inbox, "relevance", True)

    def _through(self, step: Step, state: Any) -> None:
        """One step hands its message on."""
        name = step.nodes[-1].name
        inbox = self.inboxes.pop(name)
        if not inbox and name not in self.masks and not isinstance(step.nodes[0].layer, Recurrent):  # which has details to book
            # Where nothing arrives nothing is moved, so nothing is computed.
            self._book_nothing(step)
            self._deliver(step, (None,) * len(step.nodes[0].inputs))
            return
        looks = self.everywhere or not step.keeps_nonfinite
        message = self._message(name, inbox or self._zeros(name), step.takes, looks)
        messages, entries = step.relevance(state, message)
        if entries:
            self._book(step, messages, entries)
        self._deliver(step, messages)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _inbox(self, name: str) -> Inbox:
        return self.inboxes.setdefault(name, Inbox())

    def _deliver(self, step: Step, messages: Sequence[Message | None]) -> None:
        """Add a step's messages to what has arrived in front of it."""
        for source, message in zip(step.nodes[0].inputs, messages, strict=True):
            if source not in self.idle:  # where it is 0, as everywhere below
                self._inbox(source).add(step.emits, message)

    def _zeros(self, name: str) -> Inbox:
        """What is at a node where nothing arrives."""
        inbox = Inbox()
        inbox.add("relevance", zeros((*self.start.value.shape, *self.run.shapes[name][1:]), self.run.template))
        return inbox

    def _message(self, name: str, inbox: Inbox, kind: MessageKind, looks: bool) -> Array:
        """The message at a node, of the kind that its step takes; its relevance is put aside where someone looks."""
        message = inbox[kind] if kind in inbox else self._relevance(name, inbox["ratio"], "ratio")
        if kind == "relevance" and len(inbox) == 2:
            message = message + self._relevance(name, inbox["ratio"], "ratio")
        if name in self.masks:
            message = self._filtered(name, message)
        observed = name in self.spec.observed
        if looks or observed:
            self._check(message, name)
        if observed:
            self.relevance_at[name] = self._relevance(name, message, kind)
        return message

    def _filtered(self, name: str, message: Array) -> Array:
        """What a filter leaves of a message."""
        filtered = message * self.masks[name]
        if self.spec.with_ledger:
            pairs = [(message[:, t], filtered[:, t]) for t in range(message.shape[1])]
            bookings = [Booking.handed_on(before, (after,), unassigned=before - after) for before, after in pairs]
            self.entries.append((Entry(f"filter at {name}", "filter", Booking.stacked(bookings)), []))
        return filtered

    def _check(self, message: Array, name: str) -> None:
        if not self.plan.finite(message):
            raise NonFiniteError(
                f"the relevance at {name!r} is not finite, as where a denominator above it is close to 0: use a rule with an ε "
                "there, or float64"
            )

    def _relevance(self, name: str, message: Array, kind: MessageKind) -> Array:
        return message if kind == "relevance" else each_target_times(message, self.run.values[name])

    # --- accounts -----------------------------------------------------------------------------------------------------

    def _book_nothing(self, step: Step) -> None:
        """The accounts of a step at which nothing arrives."""
        if self.spec.with_ledger:
            names = self.spec.rule_names
            self.entries += [(Entry(node.name, names[node.name], self._nothing), []) for node in reversed(step.nodes)]

    @cached_property
    def _nothing(self) -> Booking:
        """The one account of all nodes at which nothing arrives."""
        return Booking.of(np.zeros((*self.start.value.shape, len(PLACES))))

    def _book(self, step: Step, messages: Sequence[Message | None], entries: Sequence[Entry | OpenEntry]) -> None:
        """The accounts of a step. What a node hands on is what arrives at the next of its step, or in front of it."""
        self.entries += [(entry, [below.node]) for entry, below in pairwise(entries)]
        handed: list[str | Amounts] = []
        if isinstance(entries[-1], OpenEntry):
            for source, message in zip(step.nodes[0].inputs, messages, strict=True):
                if message is not None and source not in self.idle:
                    handed.append(source if self._alone(source) else self._amounts(source, message, step.emits))
        self.entries.append((entries[-1], handed or [self._nothing.amounts()]))

    def _alone(self, source: str) -> bool:
        """Whether one message is all that arrives at a node, and nothing of it is filtered: it is accounted for there."""
        return source in self.plan.alone and source not in self.masks and source not in self.start.relevances

    def _amounts(self, source: str, message: Message, kind: MessageKind) -> Amounts:
        """Σ R and Σ|R| of a message."""
        activation = self.run.values[source] if kind == "ratio" else None
        if isinstance(message, PartialMessage):
            return self.plan.amounts(message.values, None if activation is None else activation[message.where[1:]])
        return self.plan.amounts(message, activation)

    # --- the explanation ----------------------------------------------------------------------------------------------

    def explanation(self) -> Explanation:
        """What has arrived."""
        spec, start, run = self.spec, self.start, self.run
        single, value, targets = start.single, start.value, start.targets
        relevances = self._kept_relevances()
        doubts = None if targets is None else doubt(spec.origins, run.values, start.relevances, value)
        return Explanation(
            relevances={name: array[:, 0] for name, array in relevances.items()} if single else relevances,
            inputs=self.model.inputs,
            activations=run.inputs,
            prediction=run.values[spec.scores.output],
            target=targets[:, 0] if single and targets is not None else targets,
            value=value[:, 0] if single else value,
            ledger=self._ledger() if spec.with_ledger else None,
            backend=self.plan.backend,
            precision=spec.precision,
            composite=spec.composite,
            method=spec.method,
            head="" if targets is None else spec.head,
            cautions=self.model.remarks if targets is None else spec.cautions,
            doubt=doubts[:, 0] if single and doubts is not None else doubts,
        )

    def _kept_relevances(self) -> dict[str, Array]:
        """The relevances that the explanation keeps, 0 where none arrives."""
        ends = {name: self.plan.fused_into.get(name, name) for name in self.spec.keep}
        kept = {name: self.relevance_at[end] for name, end in ends.items() if end in self.relevance_at}
        silent = [name for name in ends if name not in kept and name in self.start.below]
        value = self.start.value
        return kept | {name: zeros((*value.shape, *self.run.shapes[name][1:]), value) for name in silent}

    def _ledger(self) -> Ledger:
        """The accounts; what is left to find for them waits until someone looks, and needs nothing of this run."""
        start = self.start
        value = start.value if is_exact(start.value) else start.value.astype(np.float64)
        reached = {name: self.relevance_at[name] for name in self.model.inputs}
        head_start = None if start.targets is None else (start.relevances, self.spec.scores.explained, value)
        settle = partial(settled, tuple(self.entries), reached, head_start, start.single, self.plan.amounts)
        wiring = {node.name: node.inputs for node in self.model.nodes}
        return Ledger.of(settle, value[:, 0] if start.single else value, wiring)
