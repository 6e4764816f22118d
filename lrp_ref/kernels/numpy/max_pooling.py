"""Maximum pooling: to the winners, to all that are equal, and as through a sum over the same windows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, Shape, like
from ...errors import LrpError, RuleError
from ...forks import cached_property
from ...layers.pooling import GlobalMaxPool, MaxPool, Selecting
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry, OpenEntry
from ...messages import SYMBOLS, MessageKind
from ...network.model import Node
from ...rules import AverageSurrogate, Proportional, Rule, WinnerTakesAll, Zero
from ...step import BaseStep, Handed, PlanContext, Saved, Step
from . import linear
from .linear import FusedLinear, SavedLinear
from .passes import WINDOWS, WindowPasses, folded
from .prepared import StackedLayer, prepared_sum


def step_for(
    context: PlanContext,
    node: Node,
    windows: WindowPasses = WINDOWS,
    summing: linear.Factory = FusedLinear,
) -> Step | None:
    """The step for maximum pooling; None for other layers.

    Parameters
    ----------
    windows : the backend's functions of windows
    summing : makes the step of the sum that stands in for a maximum
    """
    layer, rule, with_ledger = node.layer, context.rules[node.name], context.with_ledger
    if type(layer) is MaxPool and type(rule) is WinnerTakesAll:
        kind = SplitWinners if rule == WinnerTakesAll("split") else Winners if rule == WinnerTakesAll() else None
        return None if kind is None else kind((node,), rule, windows, with_ledger=with_ledger)
    if type(layer) is GlobalMaxPool and rule == WinnerTakesAll():
        return GlobalWinners((node,), rule, with_ledger=with_ledger)
    if type(layer) in (MaxPool, GlobalMaxPool) and type(rule) in (AverageSurrogate, Proportional):
        return _surrogate(context, node, rule, windows, summing)
    return None


def _surrogate(context: PlanContext, node: Node, rule: Rule, windows: WindowPasses, summing: linear.Factory) -> Surrogate | None:
    layer = node.layer
    assert isinstance(layer, Selecting)
    inner = rule.rule if isinstance(rule, AverageSurrogate) else Zero()
    total = layer.as_sum()
    stacked = prepared_sum(total, inner, (node.inputs[0] in context.nonnegative,), context.model.dtype)
    if stacked is None:
        return None

    def prepare(_: bool) -> StackedLayer:
        return stacked

    inside = summing((node,), inner, prepare, with_ledger=context.with_ledger, stand_in=total)
    return Surrogate((node,), rule, inside, windows, with_ledger=context.with_ledger)


class SavedWinners(NamedTuple):
    """Which cell of each window won, the input's shape, and for the ledger the input and the output."""

    winner: Array
    shape: Shape
    ledger_inputs: tuple[Array, Array] | None


@lazy_dataclass(frozen=True, eq=False)
class MaximumStep(BaseStep[Saved]):
    """What winner-takes-all through a maximum has in common: the output is the winner's value, so c goes through like R."""

    rule: Rule
    windows: WindowPasses = WINDOWS

    accepts_quotient = True

    @property
    def backend(self) -> str:
        return self.windows.backend

    @property
    def label(self) -> str:
        return f"{self.backend}, winners, {SYMBOLS[self.takes]}"

    @property
    def emits(self) -> MessageKind:
        return self.takes

    @cached_property
    def layer(self) -> MaxPool:
        """The layer that the step serves."""
        layer = self.nodes[0].layer
        assert isinstance(layer, MaxPool)
        return layer

    def _winners(self, a: Array) -> tuple[Array, Array]:
        try:
            return self.windows.winners(self.layer, a)
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None

    def _entries(self, ledger_inputs: tuple[Array, Array] | None, message: Array, lower: Array) -> tuple[Entry | OpenEntry, ...]:
        if ledger_inputs is None:
            return ()
        a, output = ledger_inputs
        if self.takes == "ratio":
            message, lower = message * output[:, None], lower * a[:, None]
        # Every message to a winner is a whole R_k; where windows overlap they add up in `lower`, and may cancel there.
        bookings = [Booking.handed_on(message[:, t], (lower[:, t],), messages=(message[:, t],)) for t in range(message.shape[1])]
        return (Entry(self.nodes[0].name, self.rule_name, Booking.stacked(bookings)),)


@lazy_dataclass(frozen=True, eq=False)
class Winners(MaximumStep[SavedWinners]):
    """Winner-takes-all through maximum pooling."""

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedWinners]:
        (a,) = inputs
        best, winner = self._winners(a)
        return best, SavedWinners(winner, a.shape, (a, best) if self.with_ledger else None)

    def relevance(self, saved: SavedWinners, message: Array) -> Handed:
        lower = self.windows.to_winners(self.layer, message, saved.winner, saved.shape)
        return (lower,), self._entries(saved.ledger_inputs, message, lower)


class SavedTies(NamedTuple):
    """The input and the output."""

    input: Array
    output: Array


@lazy_dataclass(frozen=True, eq=False)
class SplitWinners(MaximumStep[SavedTies]):
    """Winner-takes-all where equal cells share."""

    @property
    def label(self) -> str:
        return f"{self.backend}, shared winners, {SYMBOLS[self.takes]}"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedTies]:
        best, _ = self._winners(inputs[0])
        return best, SavedTies(inputs[0], best)

    def relevance(self, saved: SavedTies, message: Array) -> Handed:
        lower = self.windows.to_ties(self.layer, message, saved.input, saved.output)
        return (lower,), self._entries((saved.input, saved.output) if self.with_ledger else None, message, lower)


@lazy_dataclass(frozen=True, eq=False)
class GlobalWinners(Winners):
    """Winner-takes-all over all cells of a channel."""

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedWinners]:
        (a,) = inputs
        try:
            shape: Shape = self.nodes[0].layer.shape(a.shape)
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        cells = a.reshape(*a.shape[:2], math.prod(a.shape[2:]))
        winner = cells.argmax(axis=2)[:, :, None]
        best = np.take_along_axis(cells, winner, axis=2).reshape(shape)
        return best, SavedWinners(winner, a.shape, (a, best) if self.with_ledger else None)

    def relevance(self, saved: SavedWinners, message: Array) -> Handed:
        shape, targets = saved.shape, message.shape[1]
        lower = np.zeros((shape[0] * targets, shape[1], math.prod(shape[2:])), message.dtype)
        winners = saved.winner if targets == 1 else np.repeat(saved.winner, targets, axis=0)
        np.put_along_axis(lower, winners, folded(message).reshape(*lower.shape[:2], 1), axis=2)
        below = lower.reshape(shape[0], targets, *shape[1:])
        return (below,), self._entries(saved.ledger_inputs, message, below)


@lazy_dataclass(frozen=True, eq=False)
class Surrogate(BaseStep[SavedLinear]):
    """Maximum pooling whose relevance flows as through a sum over the same windows; Proportional is that, for x ≥ 0.

    Attributes
    ----------
    inside : the step of the sum
    """

    rule: Rule
    inside: FusedLinear
    windows: WindowPasses = WINDOWS

    accepts_quotient = True

    @property
    def backend(self) -> str:
        return self.inside.backend

    @property
    def label(self) -> str:
        return f"{self.backend}, as a sum, {SYMBOLS[self.takes]} → c"

    @property
    def emits(self) -> MessageKind:
        return "ratio"

    @property
    def keeps_nonfinite(self) -> bool:
        return self.inside.keeps_nonfinite

    @property
    def columns(self) -> Any:
        return self.inside.columns

    @property
    def share_count(self) -> int:
        return self.inside.share_count

    @property
    def prepared(self) -> StackedLayer:
        return self.inside.prepared

    @cached_property
    def summed(self) -> FusedLinear:
        """The step of the sum, for the messages that arrive."""
        return replace(self.inside, takes=self.takes, with_ledger=self.with_ledger)

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedLinear]:
        (a,), node = inputs, self.nodes[0]
        if isinstance(self.rule, Proportional) and (a < like(0, a)).any():
            refusal = "Proportional needs inputs x ≥ 0 and found negative ones; WinnerTakesAll serves any sign"
            raise RuleError(refusal).at(node.title)
        try:
            node.layer.shape(a.shape)
        except LrpError as error:
            raise error.at(node.title) from None
        stacked = self.prepared
        z, bottoms = self.summed.products(stacked, inputs)
        output = self.windows.largest(node.layer, a)
        return output, self.summed.saved(stacked, inputs, z, output, bottoms)

    def relevance(self, saved: SavedLinear, message: Array) -> Handed:
        messages, entries = self.summed.relevance(saved, message)
        return messages, tuple(replace(entry, rule=self.rule_name) for entry in entries)
