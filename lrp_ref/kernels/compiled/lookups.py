"""Steps that look something up: rows of a table, and the winner of a whole channel."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array, Shape, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.functions import Embedding
from ...lazy_dataclass import lazy_dataclass
from ...ledger import PLACES, OpenEntry
from ...messages import MessageKind
from ...network.model import Node
from ...rules import Pass, Rule
from ...step import PlanContext
from ..numpy.pooling import GlobalWinners
from .accounts import totals


def step_for(context: PlanContext, node: Node) -> Any:
    """The step for an embedding whose words get what their vectors got; None for other layers."""
    if type(node.layer) is not Embedding or type(context.rules[node.name]) is not Pass:
        return None
    return Looked((node,), context.rules[node.name], threads=context.resources.threads, with_ledger=context.with_ledger)


@lazy_dataclass(frozen=True, eq=False)
class Looked:
    """Rows of a table; each number's relevance is that of its row, added up."""

    nodes: tuple[Node, ...]
    rule: Rule
    threads: int = 1
    takes: MessageKind = "R"
    with_ledger: bool = False

    accepts_quotient = False
    keeps_infinite = True
    emits: ClassVar[MessageKind] = "R"
    label = "compiled, looked up, R"

    @cached_property
    def named(self) -> str:
        """The rule, as accounts name it."""
        return str(self.rule)

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        layer, (a,) = self.nodes[0].layer, inputs
        assert isinstance(layer, Embedding)
        table, found = like(layer.weight, a), a.astype(np.intp)
        if not ((found == a) & (found >= -len(table)) & (found < len(table))).all():
            try:
                return layer.forward(a), None  # which says what is wrong
            except LrpError as error:
                raise error.at(self.nodes[0].place) from None
        return table[found], None

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[OpenEntry, ...]]:
        lower = np.ascontiguousarray(message).sum(axis=-1)
        return (lower,), (self._entry(message),) if self.with_ledger else ()

    def _entry(self, message: Array) -> OpenEntry:
        return OpenEntry(self.nodes[0].name, self.named, moved(message, None, self.threads))


def moved(message: Array, activation: Array | None, threads: int) -> Array:
    """The columns of a step whose every message is a whole R_k, and where several may meet at one cell."""
    columns = totals(message, activation, threads)
    columns[..., PLACES["turnover"]] += columns[..., PLACES["arriving_abs"]]
    return columns


@lazy_dataclass(frozen=True, eq=False)
class CompiledGlobalWinners(GlobalWinners):
    """Winner-takes-all over all cells of a channel: one number of each is written, and accounted for."""

    threads: int = 1

    keeps_infinite = True

    @property
    def label(self) -> str:
        return f"compiled, winners, {self.takes}"

    @cached_property
    def named(self) -> str:
        """The rule, as accounts name it."""
        return str(self.rule)

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        best, (winner, shape, _) = super().forward(*inputs)
        return best, (winner, shape)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], Any]:
        winner, shape = saved
        lower = self._written(winner, message, (*message.shape[:2], *shape[1:]))
        # A cell alone wins each channel, so what arrives is what is handed on.
        return (lower,), (OpenEntry(self.nodes[0].name, self.named),) if self.with_ledger else ()

    @staticmethod
    def _written(winner: Array, message: Array, shape: Shape) -> Array:
        samples, targets, channels, cells = *shape[:3], math.prod(shape[3:])
        lower = np.zeros((samples, targets, channels, cells), message.dtype)
        where = np.broadcast_to(winner[:, None, :, 0], (samples, targets, channels))
        np.put_along_axis(lower, where[..., None], message.reshape(samples, targets, channels, 1), axis=3)
        return lower.reshape(shape)
