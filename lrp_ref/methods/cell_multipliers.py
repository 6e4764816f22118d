"""DeepLIFT through recurrent layers: the chain rule back through time, with multipliers for derivatives.

A gate times a state is a product: each factor has the mean of the other over both runs. A sigmoid or a tanh has Δy / Δz.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, like
from ..errors import RuleError
from ..layers.base import Layer
from ..layers.recurrent import GRU, LSTM, RNN
from ..layers.recurrent.base import Cells, Unrolled, activation
from ..layers.recurrent.derivative import Chain, slope
from ..lazy_dataclass import lazy_dataclass
from .multipliers import MultiplierRule, ratio


@lazy_dataclass(frozen=True)
class ThroughCells(MultiplierRule):
    """The multipliers of an LSTM, a GRU or a plain recurrent layer."""

    serves: ClassVar[str] = "recurrent layers"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, (LSTM, GRU, RNN))

    def below(self, layer: Layer, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        assert isinstance(layer, Cells)
        whole = layer.unroll(*inputs)
        at, reference = (_half(whole, part, len(upper)) for part in (0, 1))
        if at.alive is not None and reference.alive is not None and not np.array_equal(at.alive, reference.alive):
            raise RuleError("the sequences of the input and of the baseline differ in length: their lengths must be the same")
        chain: CellMultipliers = next(chain for kind, chain in _CHAINS.items() if isinstance(layer, kind))(layer, at, reference)
        return chain.through_time(upper)


def _half(u: Unrolled, part: int, count: int) -> Unrolled:
    """The samples' or the references' part of a pass over both; samples are the second axis."""
    chosen = slice(part * count, (part + 1) * count)
    arrays: dict[str, Any] = {field.name: getattr(u, field.name) for field in fields(u)}
    parts: dict[str, Any] = {name: None if a is None else np.ascontiguousarray(a[:, chosen]) for name, a in arrays.items()}
    return Unrolled(**parts)


class CellMultipliers(Chain):
    """What the cells share: both runs, the mean of a number over them, and Δy / Δz."""

    def __init__(self, layer: Cells, u: Unrolled, reference: Unrolled) -> None:
        super().__init__(layer, u)
        self.reference = reference

    def mean(self, name: str, now: slice) -> Array:
        """½ (a + ā) of an array of the pass at one step."""
        a, b = getattr(self.u, name)[:, :, now], getattr(self.reference, name)[:, :, now]
        return np.asarray((a + b) / like(2, a))

    def gates(self, now: slice, functions: dict[str, tuple[str, Any]]) -> dict[str, Array]:
        """Δy / Δz of every gate at one step, by letter."""
        parts = (self.blocks(getattr(run, name)[:, :, now]) for run in (self.u, self.reference) for name in ("z", "values"))
        z, y, z_ref, y_ref = parts
        return {k: multiplier(functions[k], z[k], z_ref[k], y[k], y_ref[k]) for k in z}


def multiplier(function: tuple[str, Any], z: Array, z_ref: Array, y: Array, y_ref: Array) -> Array:
    """Δy / Δz of an activation of a cell.

    Parameters
    ----------
    function : its name and scale
    z, z_ref, y, y_ref : its input and output in both runs
    """
    return ratio(y - y_ref, z - z_ref, slope(*function, z), abs(y) + abs(y_ref))


class LSTMMultipliers(CellMultipliers):
    """c = f ⊙ c' + i ⊙ g, h = o ⊙ h(c)."""

    layer: LSTM

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        layer, names = self.layer, self.layer.gate_names
        gate, outer = (layer.gate_activation, 1), (layer.state_activation, layer.state_scale)
        m = self.gates(now, dict.fromkeys("ifo", gate) | {"g": (layer.activation, layer.scale)})
        value = self.blocks(self.mean("values", now))
        after = slice(now.start + 1, now.stop + 1)
        assert self.u.cell is not None
        assert self.reference.cell is not None
        c, c_ref = self.u.cell[:, :, after], self.reference.cell[:, :, after]
        state, state_ref = activation(*outer, self.u.x)(c), activation(*outer, self.u.x)(c_ref)
        dz: dict[str, Array] = {}
        if "o" in names:
            dz["o"] = hidden * (state + state_ref) / like(2, state) * m["o"]
            hidden = hidden * value["o"]
        cell = cell + hidden * multiplier(outer, c, c_ref, state, state_ref)
        peep = self._peepholes()
        if peep:
            cell = cell + peep["o"] * dz["o"]
        dz["g"] = (cell * value["i"] if "i" in names else cell) * m["g"]
        if "i" in names:
            dz["i"] = cell * value["g"] * m["i"]
        if "f" in names:
            dz["f"] = cell * self.mean("cell", now) * m["f"]
            cell = cell * value["f"]
        if peep:
            cell = cell + peep["i"] * dz["i"] + peep["f"] * dz["f"]
        whole = np.concatenate([dz[name] for name in names], axis=-1)
        return whole, self.through(whole), cell

    def _peepholes(self) -> dict[str, Array]:
        given = self.layer.peepholes
        if given is None:
            return {}
        return dict(zip("ifo", np.split(like(given, self.u.x)[:, None, None], 3, axis=-1), strict=True))


class GRUMultipliers(CellMultipliers):
    """h = z ⊙ h' + (1 − z) ⊙ n."""

    layer: GRU

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        layer, weight = self.layer, self.blocks(self.weight)
        functions: dict[str, tuple[str, Any]] = dict.fromkeys("rz", (layer.gate_activation, 1))
        m = self.gates(now, functions | {"n": (layer.activation, 1)})
        value, before, inner = self.blocks(self.mean("values", now)), self.mean("hidden", now), self.mean("inner", now)
        candidate = hidden * (like(1, before) - value["z"]) * m["n"]
        update = hidden * (before - value["n"]) * m["z"]
        below = hidden * value["z"] + self.through(update, weight["z"])
        if layer.linear_before_reset:
            reset, below = candidate * inner, below + self.through(candidate * value["r"], weight["n"])
        else:
            passed = self.through(candidate, weight["n"])
            reset, below = passed * before, below + passed * value["r"]
        reset = reset * m["r"]
        below = below + self.through(reset, weight["r"])
        return np.concatenate([reset, update, candidate], axis=-1), below, cell


class RNNMultipliers(CellMultipliers):
    """h = f(W x + U h' + b)."""

    layer: RNN

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array, Array]:
        z = hidden * self.gates(now, {"h": (self.layer.activation, 1)})["h"]
        return z, self.through(z), cell


_CHAINS: dict[type, type[CellMultipliers]] = {LSTM: LSTMMultipliers, GRU: GRUMultipliers, RNN: RNNMultipliers}
