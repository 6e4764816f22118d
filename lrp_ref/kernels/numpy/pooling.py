"""The other rules of maximum pooling: ties that share, maxima over whole channels, and maxima treated as sums."""

from __future__ import annotations

import math
from dataclasses import field, replace
from typing import Any

import numpy as np

from ...arrays import Array, Shape, like
from ...errors import LrpError, RuleError
from ...layers.base import Linear
from ...layers.pooling import GlobalMaxPool, MaxPool, Selecting, pool_window
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Entry
from ...network.model import Node
from ...rules import AverageSurrogate, Proportional, Rule, WinnerTakesAll, Zero
from ...step import PlanContext
from .linear import FusedLinear
from .passing import Winners, folded
from .prepared import prepared_sum


def step_for(context: PlanContext, node: Node) -> Any:
    """The step for maximum pooling under one of the rules below; None where there is none."""
    layer, rule = node.layer, context.rules[node.name]
    if type(layer) is GlobalMaxPool and rule == WinnerTakesAll():
        return GlobalWinners((node,), rule, with_ledger=context.with_ledger)
    if type(layer) is MaxPool and rule == WinnerTakesAll("split"):
        return SplitWinners((node,), rule, with_ledger=context.with_ledger)
    if type(layer) in (MaxPool, GlobalMaxPool) and type(rule) in (AverageSurrogate, Proportional):
        assert isinstance(layer, Selecting)
        inner = rule.rule if isinstance(rule, AverageSurrogate) else Zero()
        total, sure = layer.as_sum(), (node.inputs[0] in context.nonnegative,)
        made = prepared_sum(total, inner, sure, context.model.dtype)
        if made is None:
            return None
        return Surrogate((node,), inner, lambda _: made, with_ledger=context.with_ledger, total=total, outer=rule)
    return None


@lazy_dataclass(frozen=True, eq=False)
class Surrogate(FusedLinear):
    """Maximum pooling whose relevance flows as through a sum over the same windows; Proportional is that, for x ≥ 0."""

    total: Linear = field(kw_only=True)
    outer: Rule = field(kw_only=True)

    @property
    def label(self) -> str:
        return f"numpy, as a sum, {self.takes} → c"

    @property
    def layer(self) -> Linear:
        return self.total

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        (a,), node = inputs, self.nodes[0]
        if isinstance(self.outer, Proportional) and (a < like(0, a)).any():
            refusal = "Proportional needs inputs x ≥ 0 and found negative ones; WinnerTakesAll serves any sign"
            raise RuleError(refusal).at(node.place)
        try:
            node.layer.shape(a.shape)
        except LrpError as error:
            raise error.at(node.place) from None
        made = self.prepared
        z, bottoms = self._products(made, inputs)
        output = self._maximum(a)
        return output, self._saved(made, inputs, z, output, bottoms)

    def _maximum(self, a: Array) -> Array:
        return self.nodes[0].layer.forward(a)

    def _entries(self, seen: Any, message: Array, messages: tuple[Array, ...]) -> tuple[Entry, ...]:
        return tuple(replace(entry, rule=str(self.outer)) for entry in super()._entries(seen, message, messages))


@lazy_dataclass(frozen=True, eq=False)
class SplitWinners(Winners):
    """Winner-takes-all where equal cells share."""

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        best, (_, shape, _) = super().forward(*inputs)
        return best, ((inputs[0], best), shape, (inputs[0], best) if self.with_ledger else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        (a, best), shape, seen = saved
        layer, targets = self.nodes[0].layer, message.shape[1]
        assert isinstance(layer, MaxPool)
        window, out = pool_window(layer, len(shape) - 2), best.shape[2:]
        in_input, in_padded = window.inside(shape[2:], out)
        values = np.full(shape[:2] + window.padded(out), -np.inf, a.dtype)
        values[in_padded] = a[in_input]
        count = np.zeros(best.shape, a.dtype)
        for cells in window.slices(out):
            count += values[cells] == best
        padded = np.zeros((shape[0] * targets, shape[1], *window.padded(out)), message.dtype)
        part = folded(message / count[:, None])
        for cells in window.slices(out):
            equal = values[cells] == best
            padded[cells] += np.where(equal if targets == 1 else np.repeat(equal, targets, axis=0), part, like(0, part))
        lower = np.zeros((shape[0] * targets, *shape[1:]), message.dtype)
        lower[in_input] = padded[in_padded]
        messages = (lower.reshape(shape[0], targets, *shape[1:]),)
        return messages, self._entries(seen, message, messages[0]) if self.with_ledger else ()


@lazy_dataclass(frozen=True, eq=False)
class GlobalWinners(Winners):
    """Winner-takes-all over all cells of a channel."""

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        (a,) = inputs
        try:
            shape: Shape = self.nodes[0].layer.shape(a.shape)
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        cells = a.reshape(*a.shape[:2], math.prod(a.shape[2:]))
        winner = cells.argmax(axis=2)[:, :, None]
        best = np.take_along_axis(cells, winner, axis=2).reshape(shape)
        return best, (winner, a.shape, (a, best) if self.with_ledger else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        winner, shape, seen = saved
        targets = message.shape[1]
        lower = np.zeros((shape[0] * targets, shape[1], math.prod(shape[2:])), message.dtype)
        winners = winner if targets == 1 else np.repeat(winner, targets, axis=0)
        np.put_along_axis(lower, winners, folded(message).reshape(*lower.shape[:2], 1), axis=2)
        messages = (lower.reshape(shape[0], targets, *shape[1:]),)
        return messages, self._entries(seen, message, messages[0]) if self.with_ledger else ()
