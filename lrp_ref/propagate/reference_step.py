"""The steps that every model can be served by: the definition of a node, and a node that is predicted alone."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..errors import LrpError
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking, Entry
from ..network.model import Model
from ..rules.base import Rule
from ..step import BaseStep, Forward, Handed, SavedNode


@lazy_dataclass(frozen=True, eq=False)
class ReferenceStep(BaseStep[SavedNode]):
    """One node, its layer's forward and its rule's propagate: the definition."""

    rule: Rule

    backend = "reference"
    label = "reference"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedNode]:
        output = Model.compute(self.nodes[0], inputs)
        return output, SavedNode(inputs, output)

    def relevance(self, saved: SavedNode, message: Array) -> Handed:
        (node,), (inputs, output) = self.nodes, saved
        try:
            targets = [self._one(inputs, output, message[:, t]) for t in range(message.shape[1])]
        except LrpError as error:
            raise error.at(node.title) from None
        messages = tuple(np.stack(parts, axis=1) for parts in zip(*(lower for lower, _ in targets), strict=True))
        bookings = [booking for _, booking in targets if booking is not None]
        return messages, (Entry(node.name, self.rule_name, Booking.stacked(bookings)),) if self.with_ledger else ()

    def _one(self, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[tuple[Array, ...], Booking | None]:
        layer = self.nodes[0].layer
        if self.with_ledger:
            return self.rule.propagate(layer, inputs, output, relevance)
        return self.rule.relevances(layer, inputs, output, relevance), None


@lazy_dataclass(frozen=True, eq=False)
class ForwardStep(BaseStep[None]):
    """A node above the start: predicted, never explained.

    Parameters
    ----------
    compute : the backend's own function from the node's inputs to its output; None: the layer's `forward`
    """

    rule: None = None
    compute: Forward | None = None

    explains = False
    backend = "reference"
    label = "forward only"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, None]:
        return Model.compute(self.nodes[0], inputs) if self.compute is None else self.compute(*inputs), None

    def relevance(self, saved: None, message: Array) -> Handed:
        raise AssertionError("no relevance reaches a node above the start")
