"""The derivative of a recurrent layer: the chain rule back through time, step by step (Werbos 1990)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ...arrays import Array, like, zeros
from ..base import Elementwise
from .base import ACTIVATIONS, Cells, Unrolled, merge_directions


def slope(name: str, scale: Any, z: Array) -> Array:
    """The derivative of scale · activation at z; at a kink that of `CONV-GRAD-KINK`."""
    layer = ACTIVATIONS[name]
    one = zeros(z.shape, z) + like(1, z)
    derivative = layer.derivative(z, layer.function(z)) if isinstance(layer, Elementwise) else one
    return np.asarray(derivative if scale == 1 else like(scale, z) * derivative)


class Chain(ABC):
    """One cell's chain rule: from the gradient of a step's states to that of its pre-activations and of the states before it."""

    def __init__(self, layer: Cells, u: Unrolled) -> None:
        self.layer, self.u = layer, u
        self.weight = like(layer.weight_recurrent, u.x)

    @abstractmethod
    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        """∂z, ∂h' and ∂c' of one step, (D, N, 1, ·), from ∂h and ∂c behind it."""

    def blocks(self, array: Array) -> dict[str, Array]:
        """The block of every gate, by the gate's letter."""
        names = self.layer.gate_names
        return dict(zip(names, np.split(array, len(names), axis=-1), strict=True))

    def through(self, z: Array, weight: Array | None = None) -> Array:
        """∂z back through the recurrent weight."""
        weight = self.weight if weight is None else weight
        return np.asarray(np.matmul(np.ascontiguousarray(z), weight.swapaxes(1, 2)[:, None]))

    def through_time(self, upper: Array) -> tuple[Array, ...]:
        """The gradient of everything that the layer reads, from that of its output: the sequences first, then `layer.reads`."""
        layer, u = self.layer, self.u
        (d, n, steps, _), alive = u.x.shape, u.alive
        hidden, cell = (zeros((d, n, 1, layer.hidden), u.x) for _ in range(2))
        every = layer.to_sequence_order(layer.split_directions(upper)) if layer.returns == "all" else None
        if layer.returns == "last":
            hidden = layer.split_directions(upper)[:, :, None]
        elif every is None:
            cell = layer.split_directions(upper)[:, :, None]
        elif alive is not None:
            every = np.where(alive, every, like(0, every))
        z = zeros(u.z.shape, u.x)
        for t in reversed(range(steps)):
            now = slice(t, t + 1)
            hidden = hidden if every is None else hidden + every[:, :, now]
            dz, *before = self.step(now, hidden, cell)
            if alive is not None:
                here = alive[:, :, now]
                dz = np.where(here, dz, like(0, dz))
                before = [np.where(here, new, old) for new, old in zip(before, (hidden, cell), strict=True)]
            z[:, :, now] = dz
            hidden, cell = before
        x = np.matmul(z, like(layer.weight_input, u.x).swapaxes(1, 2)[:, None])
        directions = layer.to_sequence_order(x)
        states = {"hidden": hidden, "cell": cell}
        read = {name: merge_directions(state[:, :, 0]) for name, state in states.items()}
        read["lengths"] = zeros(upper.shape[:1], u.x)  # whole numbers: the output does not follow them continuously
        return (np.asarray(sum(directions[1:], directions[0])), *(read[name] for name in layer.reads))
