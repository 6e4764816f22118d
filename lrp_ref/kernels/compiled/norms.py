"""Normalisations by the mean and the deviation of groups, in C: statistics, output and denominators in one call, and back in one.

A group is a row of memory, so that its sums have one order wherever it stands. What is rare, a variance that overflowed or a
denominator that is no normal number, is left to the definition.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, divide, each_target_times, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.lengths import RMSNorm
from ...layers.norms import GroupNorm, InstanceNorm, LastAxes, LayerNorm, Normalised
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry, OpenEntry
from ...messages import SYMBOLS
from ...network.model import Node
from ...rules import ConstantDeviation, ConstantStatistics, RelativeEpsilon, Rule
from ...step import BaseStep, Handed, PlanContext
from .native import _core

_NORMS = (LayerNorm, InstanceNorm, GroupNorm, RMSNorm)


def step_for(context: PlanContext, node: Node) -> NormStep | None:
    """The step for a normalisation whose deviation alone is held; None for others."""
    layer, rule = node.layer, context.rules[node.name]
    # Where no mean is taken off both rules are one.
    held = type(rule) is ConstantDeviation or (type(rule) is ConstantStatistics and type(layer) is RMSNorm)
    if type(layer) not in _NORMS or not held or isinstance(rule.epsilon, RelativeEpsilon):  # type: ignore[attr-defined]
        return None
    return NormStep((node,), rule, threads=context.resources.threads, with_ledger=context.with_ledger)


class SavedNorm(NamedTuple):
    """What the way back of a normalisation needs.

    Attributes
    ----------
    scale, shift : γ and β as rows, None where there is none
    factor : what a message is multiplied with or divided by, a row for each group
    inverse : 1 over the deviation of each group
    size : Σ |terms| of each denominator; None without a ledger
    output : of the layer
    odd_input : the input, where something is left to the definition
    """

    scale: Array | None
    shift: Array | None
    factor: Array
    inverse: Array
    size: Array | None
    output: Array
    odd_input: Array | None


@lazy_dataclass(frozen=True, eq=False)
class NormStep(BaseStep[SavedNorm]):
    """A normalisation under the ε-rule with its deviation held: R = a·c, with c = w·s less its mean over the group."""

    rule: Rule
    threads: int = 1

    accepts_quotient = True
    backend = "compiled"
    columns = "none"
    emits = "ratio"

    @property
    def label(self) -> str:
        return f"compiled, norm, {SYMBOLS[self.takes]} → c"

    @cached_property
    def layer(self) -> Normalised:
        """The layer that the step serves."""
        layer = self.nodes[0].layer
        assert isinstance(layer, Normalised)
        return layer

    @cached_property
    def epsilon(self) -> float:
        """ε of the rule."""
        return float(self.rule.epsilon)  # type: ignore[attr-defined]

    def _rows(self, shape: tuple[int, ...], template: Array) -> tuple[int, list[Array | None]]:
        """How many numbers a group has, and γ and β as rows of so many that come again with every sample, or sooner."""
        layer = self.layer
        grouped, axes = layer._grouped(shape)
        width = math.prod(grouped[axis] for axis in axes)
        affine_shape = shape[-layer.axes :] if isinstance(layer, LastAxes) else shape[1:]
        return width, [
            None
            if value is None
            else np.ascontiguousarray(np.broadcast_to(like(value, template), affine_shape)).reshape(-1, width)
            for value in layer._affine(shape)
        ]

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedNorm]:
        layer, (a,) = self.layer, inputs
        try:
            layer.shape(a.shape)
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        width, (scale, shift) = self._rows(a.shape, a)
        statistics = (float(layer.epsilon), float(layer.outside), int(layer.correction), layer.centred)
        how = (*statistics, self.epsilon, self.takes == "ratio", self.with_ledger, self.threads)
        rows = np.ascontiguousarray(a).reshape(-1, width)
        y, factor, inverse, size, odd = _core.norm(rows, scale, shift, *how)
        output = y.reshape(a.shape)
        if odd:  # the definition says what, here or where relevance meets it
            output = self._defined(layer.forward, a)
        return output, SavedNorm(scale, shift, factor, inverse, size, output, a if odd else None)

    def relevance(self, saved: SavedNorm, message: Array) -> Handed:
        scale, shift, factor, inverse, size, output, odd = saved
        if odd is not None:
            return self._by_definition(odd, output, message)
        width, quotient = factor.shape[1], self.takes == "ratio"
        cells = len(factor) // len(message) if len(message) else 0
        rows = np.ascontiguousarray(message).reshape(*message.shape[:2], cells, width)
        c = _core.norm_back(rows, factor, inverse, scale, self.layer.centred, quotient, self.threads)
        below = (c.reshape(message.shape),)
        if size is None:
            return below, ()
        shape = (len(message), cells, width)
        shown = output.reshape(shape) if quotient else None
        columns = self._accounting(shift, quotient)(
            rows, shown, [factor.reshape(shape)], [None], [size.reshape(shape)], self.threads
        )
        return below, (OpenEntry(self.nodes[0].name, self.rule_name, columns),)

    def _accounting(self, shift: Array | None, quotient: bool) -> Any:
        bias = None if shift is None else shift[0] if len(shift) == 1 else shift
        stabiliser = _core.SIGNED if self.epsilon else _core.EXACT
        return _core.Accounting(bias, quotient, [(bias, stabiliser, self.epsilon, 1.0, False, 0.0, 1)])

    # --- what is left to the definition -------------------------------------------------------------------------------

    def _defined(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None

    def _by_definition(self, a: Array, output: Array, message: Array) -> Handed:
        relevance = each_target_times(message, output) if self.takes == "ratio" else message
        targets = [self._defined(self.rule.propagate, self.layer, (a,), output, relevance[:, t]) for t in range(message.shape[1])]
        lower = np.stack([part for (part,), _ in targets], axis=1)
        wide = np.broadcast_to(a[:, None], lower.shape)
        entries = (
            (Entry(self.nodes[0].name, self.rule_name, Booking.stacked([b for _, b in targets])),) if self.with_ledger else ()
        )
        return (divide(lower, wide, wide != 0),), entries  # R = a·c
