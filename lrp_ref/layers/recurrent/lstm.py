"""Long short-term memory, and the cells that are made to be explained."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from ...arrays import Array, Shape, check_number, like
from ...errors import ParameterError, ShapeError
from ...lazy_dataclass import lazy_dataclass
from .base import ACTIVATIONS, Cells, Unrolled, activation, choose, gate_order, rearranged, select_alive, sides
from .derivative import Chain, slope

#: The gates of the cells: the usual one, and those of Arras et al. 2019, §11.4 (nondecreasing, Markov, without gates).
GATES = ("ifog", "iog", "ig", "g")


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LSTM(Cells):
    r"""Long short-term memory (Hochreiter & Schmidhuber 1997; Arras et al. 2019, Eq. 11.1–11.6).

    .. math::

        i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i), \quad f_t = \sigma(W_f x_t + U_f h_{t-1} + b_f), \quad
        o_t = \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
        g_t &= a_g \tanh(W_g x_t + U_g h_{t-1} + b_g), \quad c_t = i_t \odot g_t + f_t \odot c_{t-1}, \quad
        h_t = o_t \odot a_h \tanh(c_t)

    With peepholes the gates also see the cell state: :math:`p_i \odot c_{t-1}`, :math:`p_f \odot c_{t-1}`,
    :math:`p_o \odot c_t` (Gers & Schmidhuber 2000). `from_arrays` takes the weights of any framework.

    Parameters
    ----------
    weight_input : (directions, features, 4·hidden); the four blocks are i, f, o, g
    weight_recurrent : (directions, hidden, 4·hidden)
    bias : (directions, 4·hidden)
    initial_hidden, initial_cell : (directions, hidden), h_0 and c_0; None: 0
    direction : "forward", "reverse" or "bidirectional", whose outputs lie side by side on the last axis
    returns : "last": the state after the last step, (N, directions·hidden); "all": that after every step, (N, T,
        directions·hidden), 0 beyond a sample's length; "cell": the cell state after the last step
    reads : what the layer reads beside its sequence, in this order: "lengths" (N,), whole numbers from 1 to T, beyond which
        nothing is computed and nothing gets relevance; "hidden" and "cell" (N, directions·hidden), the initial states
    peepholes : (directions, 3·hidden) of i, f, o; None: none
    gates : which gates there are, one of "ifog", "iog", "ig" and "g"; a gate that is not there is open
    gate_activation, activation, state_activation : of i, f, o; of g; and of c on its way out: "sigmoid", "tanh", "relu",
        "identity", "softsign" or "hard_sigmoid"
    scale, state_scale : a_g and a_h
    """

    initial_cell: Any = None
    peepholes: Any = None
    gates: str = "ifog"
    gate_activation: str = "sigmoid"
    activation: str = "tanh"
    state_activation: str = "tanh"
    scale: Any = 1.0
    state_scale: Any = 1.0
    parameter_names: ClassVar[tuple[str, ...]] = (*Cells.parameter_names, "initial_cell", "peepholes")
    states: ClassVar[tuple[str, ...]] = ("hidden", "cell")

    def __post_init__(self) -> None:
        choose(self.gates, "LSTM.gates", GATES)
        for name in ("gate_activation", "activation", "state_activation"):
            choose(getattr(self, name), f"LSTM.{name}", ACTIVATIONS)
        for name in ("scale", "state_scale"):
            check_number(getattr(self, name), f"LSTM.{name}")
        if self.peepholes is not None and self.gates != "ifog":
            raise ParameterError(f"peepholes need a cell with all gates, found LSTM.gates = {self.gates!r}")
        super().__post_init__()

    def _extents(self) -> dict[str, Shape]:
        return super()._extents() | {"peepholes": (self.directions, 3 * self.hidden)}

    @property
    def gate_names(self) -> str:
        return self.gates

    @classmethod
    def from_arrays(
        cls,
        weight_input: Any,
        weight_recurrent: Any,
        bias: Any = None,
        gate_order: str = "ifgo",
        return_sequences: bool = False,
        **options: Any,
    ) -> Self:
        """An LSTM from the arrays of a framework, gates side by side on the last axis.

        Parameters
        ----------
        weight_input : (features, 4·hidden), or (2, features, 4·hidden) of a bidirectional layer. PyTorch and ONNX store the
            transpose
        weight_recurrent : (hidden, 4·hidden), or (2, hidden, 4·hidden)
        bias : (4·hidden,) or (2, 4·hidden), the sum where a framework has two
        gate_order : "ifgo" (PyTorch, Keras), "igfo" (Arras et al. 2017), "iofg" (ONNX), or any other arrangement; without the
            gates that the cell does not have. Peepholes come in the same order without g
        return_sequences : whether the state of every step is returned, or the last one
        options : the other fields, such as direction="reverse", reads=("lengths",), peepholes=…, activation="relu"

        Raises
        ------
        ParameterError, ShapeError
            Where the gate order is unknown or an array does not fit the others.
        """
        wanted = _gates(gate_order)
        others = gate_order.replace("g", "")
        if "peepholes" in options and others:
            options["peepholes"] = rearranged(options["peepholes"], others, wanted.replace("g", ""), "peepholes")
        arrays = {"weight_input": weight_input, "weight_recurrent": weight_recurrent, "bias": bias}
        parameters = {name: rearranged(value, gate_order, wanted, f"LSTM {name}") for name, value in arrays.items()}
        options.setdefault("direction", sides(weight_input))
        options.setdefault("returns", "all" if return_sequences else "last")
        return cls(**parameters, gates=wanted, **options)

    @classmethod
    def friendly(
        cls,
        weight_input: Any,
        weight_gates: Any,
        bias: Any,
        gates: str = "i",
        scale: Any = 2.0,
        state_scale: Any = 1.0,
        **options: Any,
    ) -> Self:
        r"""A cell made to be explained (Arras et al. 2019, §11.4): the input reaches g alone, and nothing is forgotten.

        .. math::

            g_t = a_g \sigma(W_g x_t + b_g), \quad i_t = \sigma(U_i h_{t-1} + b_i), \quad o_t = \sigma(U_o h_{t-1} + b_o), \quad
            c_t = i_t \odot g_t + c_{t-1}, \quad h_t = o_t \odot a_h \tanh(c_t)

        Parameters
        ----------
        weight_input : (features, hidden), W_g
        weight_gates : (hidden, gates·hidden), U of the gates in the order of `gates`; None where there is none
        bias : ((gates + 1)·hidden,), of the gates and then of g
        gates : "io": nondecreasing memory cells (Eq. 11.7–11.11), "i": with the Markov property (Eq. 11.12–11.15), "": without
            gates (Eq. 11.16–11.18)
        scale, state_scale : a_g and a_h
        options : the other fields of an LSTM

        Raises
        ------
        ShapeError
            Where the weights have other shapes.
        ParameterError
            Where `gates` is none of the three.
        """
        choose(gates, "gates", ("io", "i", ""))
        weight = np.asarray(weight_input)
        if weight.ndim != 2:
            raise ShapeError(f"weight_input must be (features, hidden), found shape {weight.shape}")
        features, hidden = weight.shape
        none = np.zeros((features, len(gates) * hidden), weight.dtype)
        recurrent = np.zeros((hidden, 0), weight.dtype) if weight_gates is None else np.asarray(weight_gates)
        if recurrent.shape != (hidden, len(gates) * hidden):
            raise ShapeError(f"weight_gates must have shape {(hidden, len(gates) * hidden)}, found {recurrent.shape}")
        arrays = (
            np.concatenate([none, weight], axis=1),
            np.concatenate([recurrent, np.zeros((hidden, hidden), weight.dtype)], axis=1),
        )
        options = {"activation": "sigmoid", **options}
        return cls.from_arrays(*arrays, bias, gates + "g", scale=scale, state_scale=state_scale, **options)

    def _run(self, x: Array, z: Array, alive: Array | None, **states: Array) -> Unrolled:
        h, c = states["hidden"], states["cell"]
        d, n, steps, _ = x.shape
        size, wide = self.hidden, self.hidden * (len(self.gates) - 1)
        gate, inner, outer = (
            activation(name, scale, x)
            for name, scale in (
                (self.gate_activation, 1),
                (self.activation, self.scale),
                (self.state_activation, self.state_scale),
            )
        )
        weight = like(self.weight_recurrent, x)[:, None]
        peepholes = None if self.peepholes is None else np.split(like(self.peepholes, x)[:, None, None], 3, axis=-1)
        values = np.empty_like(z)
        hidden, cell = (np.empty((d, n, steps + 1, size), x.dtype) for _ in range(2))
        hidden[:, :, :1], cell[:, :, :1] = h, c
        at = {name: slice(k * size, (k + 1) * size) for k, name in enumerate(self.gates)}
        for t in range(steps):
            now, after = slice(t, t + 1), slice(t + 1, t + 2)
            here, value = z[:, :, now], values[:, :, now]
            here += np.matmul(h, weight)
            if peepholes is not None:
                here[..., at["i"]] += peepholes[0] * c
                here[..., at["f"]] += peepholes[1] * c
            value[..., at["g"]] = inner(here[..., at["g"]])
            if wide and peepholes is None:
                value[..., :wide] = gate(here[..., :wide])
            elif wide:
                value[..., : 2 * size] = gate(here[..., : 2 * size])
            added = value[..., at["i"]] * value[..., at["g"]] if "i" in at else value[..., at["g"]]
            new = (value[..., at["f"]] * c if "f" in at else c) + added
            if peepholes is not None:
                here[..., at["o"]] += peepholes[2] * new
                value[..., at["o"]] = gate(here[..., at["o"]])
            out = outer(new)
            c = select_alive(alive, now, new, c)
            h = select_alive(alive, now, value[..., at["o"]] * out if "o" in at else out, h)
            hidden[:, :, after], cell[:, :, after] = h, c
        return Unrolled(x, alive, z, values, hidden, cell)

    def _chain(self, u: Unrolled) -> Chain:
        return LSTMChain(self, u)


def _gates(order: Any) -> str:
    """The cell's gates, from the order in which arrays hold them."""
    return gate_order(order, GATES, "LSTM")


class LSTMChain(Chain):
    """c = f ⊙ c' + i ⊙ g, h = o ⊙ h(c)."""

    layer: LSTM

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        layer, u = self.layer, self.u
        assert u.cell is not None
        value, z = self.blocks(u.values[:, :, now]), self.blocks(u.z[:, :, now])
        before, after = u.cell[:, :, now], u.cell[:, :, now.start + 1 : now.stop + 1]
        gates, outer = layer.gate_names, (layer.state_activation, layer.state_scale)
        dz: dict[str, Array] = {}
        if "o" in gates:
            dz["o"] = hidden * activation(*outer, u.x)(after) * self._gate(z["o"])
            hidden = hidden * value["o"]
        cell = cell + hidden * slope(*outer, after)
        peep = self._peepholes()
        if peep:
            cell = cell + peep["o"] * dz["o"]
        candidate = cell * value["i"] if "i" in gates else cell
        dz["g"] = candidate * slope(layer.activation, layer.scale, z["g"])
        if "i" in gates:
            dz["i"] = cell * value["g"] * self._gate(z["i"])
        if "f" in gates:
            dz["f"] = cell * before * self._gate(z["f"])
            cell = cell * value["f"]
        if peep:
            cell = cell + peep["i"] * dz["i"] + peep["f"] * dz["f"]
        whole = np.concatenate([dz[name] for name in gates], axis=-1)
        return whole, self.through(whole), cell

    def _gate(self, z: Array) -> Array:
        return slope(self.layer.gate_activation, 1, z)

    def _peepholes(self) -> dict[str, Array]:
        given = self.layer.peepholes
        if given is None:
            return {}
        return dict(zip("ifo", np.split(like(given, self.u.x)[:, None, None], 3, axis=-1), strict=True))
