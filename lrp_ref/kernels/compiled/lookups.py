"""Steps that look something up: rows of a table, and the winner of a whole channel."""

from __future__ import annotations

import math

import numpy as np

from ...arrays import Array, Shape, like
from ...errors import LrpError
from ...layers.functions import Embedding
from ...layers.pooling import GlobalMaxPool
from ...lazy_dataclass import lazy_dataclass
from ...ledger import PLACES, OpenEntry
from ...network.model import Node
from ...rules import Pass, WinnerTakesAll
from ...step import BaseStep, Handed, PlanContext, Step
from ..numpy.max_pooling import GlobalWinners, SavedWinners
from .accounts import totals


def step_for(context: PlanContext, node: Node) -> Step | None:
    """The step for an embedding whose words get what their vectors got, or for maxima of whole channels; None for others."""
    if type(node.layer) is GlobalMaxPool and context.rules[node.name] == WinnerTakesAll():
        return CompiledGlobalWinners(
            (node,), context.rules[node.name], threads=context.resources.threads, with_ledger=context.with_ledger
        )
    if type(node.layer) is not Embedding or type(context.rules[node.name]) is not Pass:
        return None
    return Lookup((node,), context.rules[node.name], threads=context.resources.threads, with_ledger=context.with_ledger)


@lazy_dataclass(frozen=True, eq=False)
class Lookup(BaseStep[None]):
    """Rows of a table; each number's relevance is that of its row, added up."""

    threads: int = 1

    keeps_nonfinite = True
    backend = "compiled"
    columns = "none"
    label = "compiled, looked up, R"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, None]:
        layer, (a,) = self.nodes[0].layer, inputs
        assert isinstance(layer, Embedding)
        table, indices = like(layer.weight, a), a.astype(np.intp)
        if not ((indices == a) & (indices >= -len(table)) & (indices < len(table))).all():
            try:
                return layer.forward(a), None  # which says what is wrong
            except LrpError as error:
                raise error.at(self.nodes[0].title) from None
        return table[indices], None

    def relevance(self, saved: None, message: Array) -> Handed:
        lower = np.ascontiguousarray(message).sum(axis=-1)
        return (lower,), (self._entry(message),) if self.with_ledger else ()

    def _entry(self, message: Array) -> OpenEntry:
        return OpenEntry(self.nodes[0].name, self.rule_name, moved(message, None, self.threads))


def moved(message: Array, activation: Array | None, threads: int) -> Array:
    """The columns of a step whose every message is a whole R_k, and where several may meet at one cell."""
    columns = totals(message, activation, threads)
    columns[..., PLACES["turnover"]] += columns[..., PLACES["arriving_abs"]]
    return columns


@lazy_dataclass(frozen=True, eq=False)
class CompiledGlobalWinners(GlobalWinners):
    """Winner-takes-all over all cells of a channel: one number of each is written, and accounted for."""

    threads: int = 1

    keeps_nonfinite = True
    backend = "compiled"
    columns = "none"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedWinners]:
        best, saved = super().forward(*inputs)
        return best, saved._replace(ledger_inputs=None)

    def relevance(self, saved: SavedWinners, message: Array) -> Handed:
        lower = self._written(saved.winner, message, (*message.shape[:2], *saved.shape[1:]))
        # A cell alone wins each channel, so what arrives is what is handed on.
        return (lower,), (OpenEntry(self.nodes[0].name, self.rule_name),) if self.with_ledger else ()

    @staticmethod
    def _written(winner: Array, message: Array, shape: Shape) -> Array:
        samples, targets, channels, cells = *shape[:3], math.prod(shape[3:])
        lower = np.zeros((samples, targets, channels, cells), message.dtype)
        where = np.broadcast_to(winner[:, None, :, 0], (samples, targets, channels))
        np.put_along_axis(lower, where[..., None], message.reshape(samples, targets, channels, 1), axis=3)
        return lower.reshape(shape)
