"""Gated recurrent units."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from ...arrays import Array, Shape, like
from ...errors import ParameterError
from ...lazy_dataclass import lazy_dataclass
from .base import ACTIVATIONS, Cells, Unrolled, activation, choose, rearranged, select_alive, sides
from .base import gate_order as canonical
from .derivative import Chain, slope


@lazy_dataclass(frozen=True, eq=False, repr=False)
class GRU(Cells):
    r"""Gated recurrent unit (Cho et al. 2014).

    .. math::

        r_t = \sigma(W_r x_t + U_r h_{t-1} + b_r), \quad z_t = \sigma(W_z x_t + U_z h_{t-1} + b_z), \quad
        h_t = z_t \odot h_{t-1} + (1 - z_t) \odot n_t

    where the candidate resets the state before its linear map, or after it (`linear_before_reset`, as in cuDNN and PyTorch):

    .. math::

        n_t = \tanh(W_n x_t + U_n (r_t \odot h_{t-1}) + b_n) \quad\text{or}\quad
        n_t = \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + b'_n))

    Parameters
    ----------
    weight_input : (directions, features, 3·hidden); the three blocks are r, z, n
    weight_recurrent : (directions, hidden, 3·hidden)
    bias : (directions, 3·hidden)
    initial_hidden, direction, returns, reads : as of `LSTM`, which alone has a cell state
    bias_recurrent : (directions, hidden), b'_n; only with `linear_before_reset`
    linear_before_reset : which of the two forms
    gate_activation, activation : of r and z, and of n
    """

    bias_recurrent: Any = None
    linear_before_reset: bool = False
    gate_activation: str = "sigmoid"
    activation: str = "tanh"
    parameter_names: ClassVar[tuple[str, ...]] = (*Cells.parameter_names, "bias_recurrent")

    def __post_init__(self) -> None:
        for name in ("gate_activation", "activation"):
            choose(getattr(self, name), f"GRU.{name}", ACTIVATIONS)
        object.__setattr__(self, "linear_before_reset", bool(self.linear_before_reset))
        if self.bias_recurrent is not None and not self.linear_before_reset:
            raise ParameterError("GRU.bias_recurrent needs linear_before_reset=True; without it add its numbers to the bias")
        super().__post_init__()

    def _extents(self) -> dict[str, Shape]:
        return super()._extents() | {"bias_recurrent": (self.directions, self.hidden)}

    @property
    def gate_names(self) -> str:
        return "rzn"

    @classmethod
    def from_arrays(
        cls,
        weight_input: Any,
        weight_recurrent: Any,
        bias: Any = None,
        bias_recurrent: Any = None,
        gate_order: str = "rzn",
        linear_before_reset: bool = True,
        return_sequences: bool = False,
        **options: Any,
    ) -> Self:
        """A GRU from the arrays of a framework, gates side by side on the last axis.

        Parameters
        ----------
        weight_input : (features, 3·hidden), or (2, features, 3·hidden) of a bidirectional layer. PyTorch and ONNX store the
            transpose
        weight_recurrent : (hidden, 3·hidden), or (2, hidden, 3·hidden)
        bias, bias_recurrent : (3·hidden,) or (2, 3·hidden): those of W x and of U h. Keras with reset_after=True keeps both in
            one array b: they are b[0] and b[1]
        gate_order : "rzn" (PyTorch), "zrn" (Keras, ONNX, where n is called h), or any other arrangement
        linear_before_reset : True: PyTorch, and Keras with reset_after=True; False: ONNX by default, and Keras with
            reset_after=False
        return_sequences : whether the state of every step is returned, or the last one
        options : the other fields, such as direction="reverse", reads=("lengths",)

        Raises
        ------
        ParameterError, ShapeError
            Where the gate order is unknown or an array does not fit the others.
        """
        order = gate_order.replace("h", "n") if isinstance(gate_order, str) else gate_order
        wanted = canonical(order, ("rzn",), "GRU")
        arrays = {"weight_input": weight_input, "weight_recurrent": weight_recurrent, "bias": bias}
        arrays["bias_recurrent"] = bias_recurrent
        parameters = {name: rearranged(value, order, wanted, f"GRU {name}") for name, value in arrays.items()}
        second = parameters.pop("bias_recurrent")
        if second is not None and linear_before_reset:
            # In front of the gates' sigmoids both biases are one; the candidate's own stays behind the reset gate.
            size = second.shape[-1] // 3
            gates = np.concatenate([second[..., : 2 * size], np.zeros_like(second[..., 2 * size :])], axis=-1)
            parameters["bias"] = gates if parameters["bias"] is None else parameters["bias"] + gates
            options["bias_recurrent"] = second[..., 2 * size :]
        elif second is not None:
            parameters["bias"] = second if parameters["bias"] is None else parameters["bias"] + second
        options.setdefault("direction", sides(weight_input))
        options.setdefault("returns", "all" if return_sequences else "last")
        return cls(**parameters, linear_before_reset=linear_before_reset, **options)

    def _run(self, x: Array, z: Array, alive: Array | None, **states: Array) -> Unrolled:
        h = states["hidden"]
        d, n, steps, _ = x.shape
        size = self.hidden
        gate, outer = activation(self.gate_activation, 1, x), activation(self.activation, 1, x)
        weight = like(self.weight_recurrent, x)[:, None]
        first, last = np.ascontiguousarray(weight[..., : 2 * size]), np.ascontiguousarray(weight[..., 2 * size :])
        offset = None if self.bias_recurrent is None else like(self.bias_recurrent, x)[:, None, None]
        values, inner = np.empty_like(z), np.empty((d, n, steps, size), x.dtype)
        hidden = np.empty((d, n, steps + 1, size), x.dtype)
        hidden[:, :, :1] = h
        one = like(1, x)
        for t in range(steps):
            now = slice(t, t + 1)
            here, value = z[:, :, now], values[:, :, now]
            here[..., : 2 * size] += np.matmul(h, first)
            value[..., : 2 * size] = gate(here[..., : 2 * size])
            reset, update = value[..., :size], value[..., size : 2 * size]
            if self.linear_before_reset:
                inner[:, :, now] = np.matmul(h, last) if offset is None else np.matmul(h, last) + offset
                here[..., 2 * size :] += reset * inner[:, :, now]
            else:
                inner[:, :, now] = reset * h
                here[..., 2 * size :] += np.matmul(np.ascontiguousarray(inner[:, :, now]), last)
            value[..., 2 * size :] = outer(here[..., 2 * size :])
            h = select_alive(alive, now, update * h + (one - update) * value[..., 2 * size :], h)
            hidden[:, :, t + 1 : t + 2] = h
        return Unrolled(x, alive, z, values, hidden, inner=inner)

    def _chain(self, u: Unrolled) -> Chain:
        return GRUChain(self, u)


class GRUChain(Chain):
    """h = z ⊙ h' + (1 − z) ⊙ n."""

    layer: GRU

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        layer, u = self.layer, self.u
        assert u.inner is not None
        value, z, weight = self.blocks(u.values[:, :, now]), self.blocks(u.z[:, :, now]), self.blocks(self.weight)
        before, inner, one = u.hidden[:, :, now], u.inner[:, :, now], like(1, u.x)
        gate = layer.gate_activation
        candidate = hidden * (one - value["z"]) * slope(layer.activation, 1, z["n"])
        update = hidden * (before - value["n"]) * slope(gate, 1, z["z"])
        below = hidden * value["z"] + self.through(update, weight["z"])
        if layer.linear_before_reset:
            reset, below = candidate * inner, below + self.through(candidate * value["r"], weight["n"])
        else:
            passed = self.through(candidate, weight["n"])
            reset, below = passed * before, below + passed * value["r"]
        reset = reset * slope(gate, 1, z["r"])
        below = below + self.through(reset, weight["r"])
        return np.concatenate([reset, update, candidate], axis=-1), below, cell
