"""Steps that move messages without weighing them: through a ReLU, through rearrangements, to the winners of a maximum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...arrays import Array, Shape, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.activations import ReLU
from ...layers.pooling import MaxPool, pool_window
from ...layers.shape import Rearrangement
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry, OpenEntry
from ...messages import Message, MessageKind
from ...network.model import Model, Node
from ...rules import Pass, Rule

#: The rule of an activation behind a layer, as accounts name it.
PASS = str(Pass())


def folded(message: Array) -> Array:
    """(N, targets, …) as one batch."""
    return message.reshape(message.shape[0] * message.shape[1], *message.shape[2:])


def weighed(message: Array, factor: Array, takes: MessageKind) -> Array:
    """s from a message (N, targets, …) and what a share made of its denominators (N, …).

    s = c·factor, or R / divisor: a factor 1/z would overflow where z is so small that only R/z does not.
    """
    return np.asarray(message * factor[:, None] if takes == "c" else message / factor[:, None])


@lazy_dataclass(frozen=True, eq=False)
class PassThrough:
    """Pass through a ReLU or a layer that only moves elements; either currency goes through."""

    nodes: tuple[Node, ...]
    rule: Rule
    takes: MessageKind = "R"
    with_ledger: bool = False

    accepts_quotient = True

    @property
    def label(self) -> str:
        return f"numpy, pass, {self.takes}"

    @property
    def emits(self) -> MessageKind:
        return self.takes

    @cached_property
    def named(self) -> str:
        """The rule, as accounts name it."""
        return str(self.rule)

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        output = Model.compute(self.nodes[0], inputs)
        # R = a·c is 0 where the ReLU's output is, and there its input is not: c must be 0 instead.
        mask = output > 0 if isinstance(self.nodes[0].layer, ReLU) and self.takes == "c" else None
        return output, (mask, tuple(a.shape for a in inputs), output if self.with_ledger else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Message, ...], tuple[Entry | OpenEntry, ...]]:
        mask, shapes, output = saved
        layer, targets = self.nodes[0].layer, message.shape[1]
        if isinstance(layer, Rearrangement):
            wide = [(shape[0] * targets, *shape[1:]) for shape in shapes]
            parts = layer.adjoint(folded(message), *wide)
            messages = tuple(p.reshape(shape[0], targets, *shape[1:]) for p, shape in zip(parts, shapes, strict=True))
        else:
            messages = (message if mask is None else message * mask[:, None],)
        return messages, self._entries(output, message, shapes) if self.with_ledger else ()

    def _entries(self, output: Array, message: Array, shapes: tuple[Shape, ...]) -> tuple[Entry | OpenEntry, ...]:
        node = self.nodes[0]
        if sum(math.prod(shape) for shape in shapes) == output.size:
            return (OpenEntry(node.name, self.named),)
        inputs = tuple(np.broadcast_to(np.zeros((), output.dtype), shape) for shape in shapes)
        whole = message * output[:, None] if self.takes == "c" else message
        bookings = [self.rule.propagate(node.layer, inputs, output, whole[:, t])[1] for t in range(message.shape[1])]
        return (Entry(node.name, str(self.rule), Booking.stacked(bookings)),)


@lazy_dataclass(frozen=True, eq=False)
class Winners:
    """Winner-takes-all through maximum pooling; the output is the winner's value, so c goes through like R."""

    nodes: tuple[Node, ...]
    rule: Rule
    takes: MessageKind = "R"
    with_ledger: bool = False

    accepts_quotient = True

    @property
    def label(self) -> str:
        return f"numpy, winners, {self.takes}"

    @property
    def emits(self) -> MessageKind:
        return self.takes

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        layer, (a,) = self.nodes[0].layer, inputs
        assert isinstance(layer, MaxPool)
        try:
            out = layer.shape(a.shape)[2:]
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        window = pool_window(layer, a.ndim - 2)
        padded = np.full(a.shape[:2] + window.padded(out), -np.inf, a.dtype)
        in_input, in_padded = window.inside(a.shape[2:], out)
        padded[in_padded] = a[in_input]
        counter = np.uint8 if window.taps < 256 else np.int32
        best, winner = np.full((*a.shape[:2], *out), -np.inf, a.dtype), np.zeros((*a.shape[:2], *out), counter)
        for tap, cells in enumerate(window.slices(out)):
            better = padded[cells] > best  # strictly: of equal cells the first wins
            np.maximum(best, padded[cells], out=best)
            np.copyto(winner, counter(tap), where=better)
        return best, (winner, a.shape, (a, best) if self.with_ledger else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        winner, shape, seen = saved
        layer, targets = self.nodes[0].layer, message.shape[1]
        assert isinstance(layer, MaxPool)
        window = pool_window(layer, len(shape) - 2)
        wide, out = (shape[0], targets, *shape[1:]), winner.shape[2:]
        padded = np.zeros((shape[0] * targets, shape[1], *window.padded(out)), message.dtype)
        flat = folded(message)
        winners = winner if targets == 1 else np.repeat(winner, targets, axis=0)
        for tap, cells in enumerate(window.slices(out)):
            padded[cells] += np.where(winners == tap, flat, like(0, flat))
        in_input, in_padded = window.inside(shape[2:], out)
        lower = np.zeros((shape[0] * targets, *shape[1:]), message.dtype)
        lower[in_input] = padded[in_padded]
        messages = (lower.reshape(wide),)
        return messages, self._entries(seen, message, messages[0]) if self.with_ledger else ()

    def _entries(self, seen: Any, message: Array, lower: Array) -> tuple[Entry, ...]:
        a, output = seen
        if self.takes == "c":
            message, lower = message * output[:, None], lower * a[:, None]
        # Every message to a winner is a whole R_k; where windows overlap they add up in `lower`, and may cancel there.
        bookings = [Booking.handed_on(message[:, t], (lower[:, t],), messages=(message[:, t],)) for t in range(message.shape[1])]
        return (Entry(self.nodes[0].name, str(self.rule), Booking.stacked(bookings)),)
