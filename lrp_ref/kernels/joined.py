"""Concatenation without copies: the layers in front compute into their slices of its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..arrays import Array, Shape
from ..errors import LrpError
from ..layers.merge import Concat
from ..ledger import Entry, OpenEntry
from ..model import Node
from ..records import dataclass
from ..rules import Pass
from .native import _ext
from .packed import channels_first
from .passing import PassThrough
from .request import Request


@dataclass(frozen=True)
class Room:
    """Where an output goes: channels [first, first + channels) of the output of node `whole`."""

    whole: str
    first: int
    channels: int


def offer(request: Request, node: Node) -> Any:
    """The step for a concatenation of channels; None for others."""
    layer, rule = node.layer, request.rules[node.name]
    known = all(len(request.shapes.get(name, ())) > 1 for name in (*node.inputs, node.name))
    if type(layer) is not Concat or type(rule) is not Pass or not known:
        return None
    if layer.axis not in (1, -len(request.shapes[node.name])):
        return None
    channels = tuple(request.shapes[name][0] for name in node.inputs)
    return Joined((node,), rule, booked=request.booked, channels=channels)


@dataclass(frozen=True, eq=False)
class Joined(PassThrough):
    """Pass through a concatenation of channels, some of whose inputs are in their place already."""

    channels: tuple[int, ...] = ()

    keeps_infinite = True

    @property
    def label(self) -> str:
        return f"compiled, joined, {self.arrives}"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, Any]:
        if into is None:
            return super().forward(*inputs)
        try:
            self.nodes[0].layer.shape(*(a.shape for a in inputs))
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        first = 0
        for a in inputs:
            room = into[:, first : first + a.shape[1]]
            if a.ctypes.data != room.ctypes.data or a.strides != room.strides:
                room[...] = a
            first += a.shape[1]
        return into, (None, tuple(a.shape for a in inputs), into if self.booked else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry | OpenEntry, ...]]:
        _, shapes, output = saved
        ends = np.cumsum((0, *self.channels)).tolist()
        messages = tuple(message[:, :, first:end] for first, end in pairwise(ends))
        return messages, self._entries(output, message, shapes) if self.booked else ()


def rooms(steps: Sequence[Any]) -> Mapping[str, Room]:
    """For each node whose output can be computed into that of a concatenation (and for the latter itself), where."""
    places = {step.nodes[-1].name for step in steps if getattr(step, "places", False)}
    found: dict[str, Room] = {}
    for step in steps:
        if not isinstance(step, Joined):
            continue
        node, first = step.nodes[0], 0
        for name, channels in zip(node.inputs, step.channels, strict=True):
            if name in places and name not in found:
                found[name] = Room(node.name, first, channels)
                found[node.name] = Room(node.name, 0, sum(step.channels))
            first += channels
    return found


def output(shape: Shape, dtype: Any) -> Array:
    """An output (N, C, *spatial) of any content, channels last in memory."""
    return channels_first(_ext.room((shape[0], *shape[2:], shape[1]), np.dtype(dtype)))
