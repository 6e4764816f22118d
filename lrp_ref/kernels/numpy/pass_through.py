"""Steps that move messages without weighing them: through a ReLU, and through rearrangements."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...arrays import Array, Shape, each_target_times
from ...layers.activations import ReLU
from ...layers.shape import Rearrangement
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry, OpenEntry
from ...messages import SYMBOLS, MessageKind
from ...network.model import Model, Node
from ...rules import Pass, Rule
from ...step import BaseStep, Handed, PlanContext, Saved
from .passes import folded

#: The rule of an activation behind a layer, as accounts name it.
PASS = str(Pass())


def step_for(context: PlanContext, node: Node) -> PassThrough | None:
    """The step for a ReLU or a rearrangement under `Pass`; None for others."""
    layer, rule = node.layer, context.rules[node.name]
    if type(rule) is not Pass or not (type(layer) is ReLU or isinstance(layer, Rearrangement)):
        return None
    return PassThrough((node,), rule, with_ledger=context.with_ledger)


class SavedPass(NamedTuple):
    """Where a ReLU passes c (None: everywhere), the inputs' shapes, and the output, where the ledger asks for it."""

    mask: Array | None
    shapes: tuple[Shape, ...]
    output: Array | None


@lazy_dataclass(frozen=True, eq=False)
class PassingStep(BaseStep[Saved]):
    """What steps have in common through which a message of either kind goes as it is."""

    rule: Rule

    accepts_quotient = True

    @property
    def emits(self) -> MessageKind:
        return self.takes


@lazy_dataclass(frozen=True, eq=False)
class PassThrough(PassingStep[SavedPass]):
    """Pass through a ReLU or a layer that only moves elements."""

    @property
    def label(self) -> str:
        return f"numpy, pass, {SYMBOLS[self.takes]}"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedPass]:
        output = Model.compute(self.nodes[0], inputs)
        # R = a·c is 0 where the ReLU's output is, and there its input is not: c must be 0 instead.
        mask = output > 0 if isinstance(self.nodes[0].layer, ReLU) and self.takes == "ratio" else None
        return output, SavedPass(mask, tuple(a.shape for a in inputs), output if self.with_ledger else None)

    def relevance(self, saved: SavedPass, message: Array) -> Handed:
        layer, targets = self.nodes[0].layer, message.shape[1]
        messages: tuple[Array, ...]
        if isinstance(layer, Rearrangement):
            wide = [(shape[0] * targets, *shape[1:]) for shape in saved.shapes]
            parts = layer.adjoint(folded(message), *wide)
            messages = tuple(p.reshape(shape[0], targets, *shape[1:]) for p, shape in zip(parts, saved.shapes, strict=True))
        else:
            messages = (message if saved.mask is None else each_target_times(message, saved.mask),)
        return messages, self._entries(saved, message)

    def _entries(self, saved: SavedPass, message: Array) -> tuple[Entry | OpenEntry, ...]:
        node, output = self.nodes[0], saved.output
        if output is None:
            return ()
        if sum(math.prod(shape) for shape in saved.shapes) == output.size:
            return (OpenEntry(node.name, self.rule_name),)
        inputs = tuple(np.broadcast_to(np.zeros((), output.dtype), shape) for shape in saved.shapes)
        relevance = each_target_times(message, output) if self.takes == "ratio" else message
        bookings = [self.rule.propagate(node.layer, inputs, output, relevance[:, t])[1] for t in range(message.shape[1])]
        return (Entry(node.name, self.rule_name, Booking.stacked(bookings)),)
