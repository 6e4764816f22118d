"""The plain recurrent layer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from ...arrays import Array, like
from ...lazy_dataclass import lazy_dataclass
from .base import ACTIVATIONS, Cells, Unrolled, activation, choose, select_alive, sides, table
from .derivative import Chain, slope


@lazy_dataclass(frozen=True, eq=False, repr=False)
class RNN(Cells):
    r"""A plain recurrent layer (Elman 1990): :math:`h_t = \tanh(W x_t + U h_{t-1} + b)`.

    Parameters
    ----------
    weight_input : (directions, features, hidden)
    weight_recurrent : (directions, hidden, hidden)
    bias : (directions, hidden)
    initial_hidden, direction, returns, reads : as of `LSTM`, which alone has a cell state
    activation : "tanh", or another of those of `LSTM`
    """

    activation: str = "tanh"

    def __post_init__(self) -> None:
        choose(self.activation, "RNN.activation", ACTIVATIONS)
        super().__post_init__()

    @property
    def gate_names(self) -> str:
        return "h"

    @classmethod
    def from_arrays(
        cls, weight_input: Any, weight_recurrent: Any, bias: Any = None, return_sequences: bool = False, **options: Any
    ) -> Self:
        """An RNN from the arrays of a framework.

        Parameters
        ----------
        weight_input : (features, hidden), or (2, features, hidden) of a bidirectional layer. PyTorch and ONNX store the transpose
        weight_recurrent : (hidden, hidden), or (2, hidden, hidden)
        bias : (hidden,) or (2, hidden), the sum where a framework has two
        return_sequences : whether the state of every step is returned, or the last one
        options : the other fields, such as direction="reverse", activation="relu"
        """
        weight_input = table(weight_input, "RNN weight_input")
        options.setdefault("direction", sides(weight_input))
        options.setdefault("returns", "all" if return_sequences else "last")
        return cls(weight_input, weight_recurrent, bias, **options)

    def _run(self, x: Array, z: Array, alive: Array | None, **states: Array) -> Unrolled:
        h = states["hidden"]
        function = activation(self.activation, 1, x)
        weight = like(self.weight_recurrent, x)[:, None]
        values = np.empty_like(z)
        hidden = np.empty((*x.shape[:2], x.shape[2] + 1, self.hidden), x.dtype)
        hidden[:, :, :1] = h
        for t in range(x.shape[2]):
            now = slice(t, t + 1)
            z[:, :, now] += np.matmul(h, weight)
            values[:, :, now] = function(z[:, :, now])
            h = select_alive(alive, now, values[:, :, now], h)
            hidden[:, :, t + 1 : t + 2] = h
        return Unrolled(x, alive, z, values, hidden)

    def _chain(self, u: Unrolled) -> Chain:
        return RNNChain(self, u)


class RNNChain(Chain):
    """h = f(W x + U h' + b)."""

    layer: RNN

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        z = hidden * slope(self.layer.activation, 1, self.u.z[:, :, now])
        return z, self.through(z), cell
