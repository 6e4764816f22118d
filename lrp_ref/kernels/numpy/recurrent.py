"""Recurrent layers under `ThroughTime`: one pass over time serves the prediction and the way back, for all targets."""

from __future__ import annotations

import numpy as np

from ...arrays import Array
from ...errors import LrpError
from ...forks import cached_property
from ...layers.recurrent import GRU, LSTM, RNN
from ...layers.recurrent.base import Cells, Unrolled
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry
from ...network.model import Node
from ...rules import ThroughTime
from ...rules.recurrent.over_time import backward_through_time, cell_backward
from ...step import BaseStep, Handed, PlanContext, Saved


def step_for(context: PlanContext, node: Node) -> UnrolledStep | None:
    """The step for a recurrent layer, None where there is none."""
    rule = context.rules[node.name]
    if type(node.layer) not in (LSTM, GRU, RNN) or type(rule) is not ThroughTime:
        return None
    return UnrolledStep((node,), rule, with_ledger=context.with_ledger)


@lazy_dataclass(frozen=True, eq=False)
class RecurrentStep(BaseStep[Saved]):
    """What the steps of recurrent layers have in common."""

    rule: ThroughTime

    @cached_property
    def layer(self) -> Cells:
        """The layer that the step serves."""
        layer = self.nodes[0].layer
        assert isinstance(layer, Cells)
        return layer


@lazy_dataclass(frozen=True, eq=False)
class UnrolledStep(RecurrentStep[Unrolled]):
    """The reference's steps over values that the prediction has left, with their denominators made once."""

    label = "numpy, through time"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, Unrolled]:
        try:
            u = self.layer.unroll(*inputs)
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        return self.layer.output(u), u

    def relevance(self, saved: Unrolled, message: Array) -> Handed:
        cells = cell_backward(self.rule, self.layer, saved, self.with_ledger)
        try:
            targets = [backward_through_time(cells, np.ascontiguousarray(message[:, t])) for t in range(message.shape[1])]
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        messages = tuple(np.stack(parts, axis=1) for parts in zip(*(lower for lower, _ in targets), strict=True))
        return messages, self._entries([booking for _, booking in targets if booking is not None])

    def _entries(self, bookings: list[Booking]) -> tuple[Entry, ...]:
        return (Entry(self.nodes[0].name, self.rule_name, Booking.stacked(bookings)),) if self.with_ledger else ()
