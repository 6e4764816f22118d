"""Maximum pooling whose winners are given: for telling rounding from winners that differ.

Two float32 evaluations of one network rarely agree on every winner: where the best two cells of a window nearly tie, the
smallest rounding decides, and all relevance of the window goes to the other cell. How often that happened is one number,
what rounding does where it did not happen is another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import lrp_ref
from lrp_ref import layers as L
from lrp_ref.arrays import Array, Shape
from lrp_ref.layers.base import Linear
from lrp_ref.layers.pooling import Selecting


@dataclass(frozen=True, eq=False, repr=False)
class Pinned(Selecting):
    """Each output is one given cell of its channel: `winner`, flat over the spatial axes, (N, C, *out)."""

    winner: Any

    def shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:2], *self.winner.shape[2:])

    def cells(self, a: Array) -> tuple[Array, Array]:
        flat, picked = a.reshape(*a.shape[:2], -1), self.winner.reshape(*self.winner.shape[:2], -1)
        cells = np.take_along_axis(flat, picked, axis=2).reshape(*self.winner.shape[:2], 1, *self.winner.shape[2:])
        return cells, np.ones((1,) * cells.ndim, dtype=bool)

    def spread(self, cells: Array, shape: Shape) -> Array:
        spread = np.zeros((*shape[:2], int(np.prod(shape[2:]))), cells.dtype)
        samples, channels = np.ogrid[: shape[0], : shape[1]]
        picked = self.winner.reshape(*self.winner.shape[:2], -1)
        np.add.at(spread, (samples[..., None], channels[..., None], picked), cells.reshape(picked.shape))
        return spread.reshape(shape)

    def as_sum(self) -> Linear:
        raise NotImplementedError("the winners are given: there is no window to sum over")


def winners(model: lrp_ref.Model, values: dict[str, Array]) -> dict[str, tuple[Array, Array]]:
    """For each maximum pooling the winning cells, flat over the spatial axes, and their values; `values`: every activation."""
    found = {}
    for node in model.nodes:
        if isinstance(node.layer, L.MaxPool):
            a = values[node.inputs[0]]
            cells, exist = node.layer.cells(a)
            best = np.where(exist, cells, -np.inf).argmax(axis=2)[:, :, None]
            places = np.arange(1, 1 + np.prod(a.shape[2:]), dtype=np.int64).reshape(1, 1, *a.shape[2:])  # from 1: padding is 0
            index = np.broadcast_to(node.layer.cells(places)[0], cells.shape)
            found[node.name] = tuple(np.take_along_axis(array, best, axis=2)[:, :, 0] for array in (index - 1, cells))
    return found


def pinned(model: lrp_ref.Model, found: dict[str, tuple[Array, Array]]) -> lrp_ref.Model:
    """The model with its winners given. A ReLU behind each says again that the values are not negative, as they were before."""
    nodes, renamed = [], {}
    for node in model.nodes:
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        if node.name not in found:
            nodes.append(lrp_ref.Node(node.name, node.layer, inputs))
            continue
        nodes.append(lrp_ref.Node(node.name, Pinned(found[node.name][0]), inputs))
        renamed[node.name] = f"{node.name}.sure"
        nodes.append(lrp_ref.Node(renamed[node.name], L.ReLU(), (node.name,)))
    return replace(model, nodes=tuple(nodes))
