"""Concatenation without copies: the layers in front compute into their slices of its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ...arrays import Array, Shape
from ...errors import LrpError
from ...forks import cached_property
from ...layers.merge import Concat
from ...lazy_dataclass import lazy_dataclass
from ...messages import SYMBOLS
from ...network.model import Node
from ...rules import Pass
from ...step import Handed, PlanContext, Slot, Step
from ..numpy.pass_through import PassThrough, SavedPass
from .native import _core
from .packed import channels_first, room_like


def step_for(context: PlanContext, node: Node) -> ConcatInPlace | None:
    """The step for a concatenation; None for other layers."""
    layer, rule = node.layer, context.rules[node.name]
    known = all(len(context.shapes.get(name, ())) > 1 for name in (*node.inputs, node.name))
    if type(layer) is not Concat or type(rule) is not Pass or not known:
        return None
    axis = layer.axis if layer.axis > 0 else layer.axis + len(context.shapes[node.name]) + 1
    extents = tuple(context.shapes[name][axis - 1] for name in node.inputs)
    return ConcatInPlace((node,), rule, with_ledger=context.with_ledger, axis=axis, extents=extents)


@lazy_dataclass(frozen=True, eq=False)
class ConcatInPlace(PassThrough):
    """Pass through a concatenation; of channels, some of its inputs may be in their place already."""

    axis: int = 1
    extents: tuple[int, ...] = ()

    keeps_nonfinite = True
    backend = "compiled"
    columns = "none"

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each input lies along the axis."""
        return tuple(slice(*ends) for ends in pairwise(accumulate(self.extents, initial=0)))

    @property
    def label(self) -> str:
        return f"compiled, concat in place, {SYMBOLS[self.takes]}"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedPass]:
        try:
            shape = self.nodes[0].layer.shape(*(a.shape for a in inputs))
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        if into is None:
            output = np.concatenate(inputs, axis=self.axis, out=room_like(max(inputs, key=lambda a: a.nbytes), shape))
            return output, SavedPass(None, tuple(a.shape for a in inputs), output if self.with_ledger else None)
        first = 0
        for a in inputs:
            slice_view = into[:, first : first + a.shape[1]]
            if a.ctypes.data != slice_view.ctypes.data or a.strides != slice_view.strides:
                slice_view[...] = a
            first += a.shape[1]
        return into, SavedPass(None, tuple(a.shape for a in inputs), into if self.with_ledger else None)

    def relevance(self, saved: SavedPass, message: Array) -> Handed:
        front = (slice(None),) * (self.axis + 1)
        messages = tuple(message[(*front, part)] for part in self.slices)
        return messages, self._entries(saved, message)


def slots(steps: Sequence[Step]) -> Mapping[str, Slot]:
    """For each node whose output can be computed into that of a concatenation (and for the latter itself), where."""
    writers = {step.nodes[-1].name for step in steps if step.writes_into_slice}
    slot_of: dict[str, Slot] = {}
    for step in steps:
        if not isinstance(step, ConcatInPlace) or step.axis != 1:
            continue
        node, first = step.nodes[0], 0
        for name, channels in zip(node.inputs, step.extents, strict=True):
            if name in writers and name not in slot_of:
                slot_of[name] = Slot(node.name, first, channels)
                slot_of[node.name] = Slot(node.name, 0, sum(step.extents))
            first += channels
    return slot_of


def output(shape: Shape, dtype: Any) -> Array:
    """An output (N, C, *spatial) of any content, channels last in memory."""
    return channels_first(_core.new_array((shape[0], *shape[2:], shape[1]), np.dtype(dtype)))
