"""The gradient of a recurrent layer, for comparisons: gradient × input is the baseline of Arras et al. 2019, Table 11.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, is_exact, like, zeros
from ..errors import ParameterError
from ..layers.base import Layer
from ..layers.recurrent import GRU, LSTM, RNN
from ..layers.recurrent.base import Cells, Unrolled, activation


def gradient(layer: Layer, inputs: tuple[Array, ...], upper: Array) -> Array:
    """∂⟨upper, output⟩ / ∂x of an LSTM, GRU or RNN, by the chain rule back through time.

    Parameters
    ----------
    layer : the recurrent layer
    inputs : what it reads, the sequences (N, T, F) first
    upper : the gradient of whatever is explained with respect to the layer's output, of its shape

    Returns
    -------
    Array
        (N, T, F). Where an activation has a corner its derivative is that of the right side, for ReLU 0 at 0.

    Raises
    ------
    ParameterError
        Where the layer is none of these.
    """
    step = next((found for kind, found in _STEPS.items() if isinstance(layer, kind)), None)
    if step is None or not isinstance(layer, Cells):
        raise ParameterError(f"gradient knows LSTM, GRU and RNN, not {type(layer).__name__}")
    u = layer.unroll(*inputs)
    d, n, steps, _ = u.x.shape
    state = zeros((2, d, n, layer.hidden), u.x)  # of h and c
    every = layer.restored(layer.apart(upper)) if layer.returns == "all" else None
    if every is None:
        state[0 if layer.returns == "last" else 1] = layer.apart(upper)
    z = np.zeros_like(u.z) if not is_exact(u.z) else zeros(u.z.shape, u.z)
    for t in reversed(range(steps)):
        if every is not None:
            live = every[:, :, t] if u.alive is None else np.where(u.alive[:, :, t], every[:, :, t], like(0, every))
            state = np.stack([state[0] + live, state[1]])
        found, before = step(layer, u, t, state)
        if u.alive is not None:
            found = np.where(u.alive[:, :, t], found, like(0, found))
            before = np.where(u.alive[:, :, t], before, state)
        z[:, :, t], state = found, before
    x = np.matmul(z, like(layer.weight_input, u.x).swapaxes(1, 2)[:, None])
    return np.asarray(sum(layer.restored(x)))


def derivative(name: str, scale: Any, z: Array, value: Array) -> Array:
    """The derivative of scale · activation at z, where the activation's own value is `value`."""
    one = like(1, z)
    rules: dict[str, Callable[[], Any]] = {
        "sigmoid": lambda: value * (one - value),
        "tanh": lambda: one - value * value,
        "relu": lambda: np.where(z > like(0, z), one, like(0, z)),
        "identity": lambda: zeros(z.shape, z) + one,
        "softsign": lambda: (one - abs(value)) * (one - abs(value)),
        "hard_sigmoid": lambda: np.where((value > like(0, z)) & (value < one), like(0.2, z), like(0, z)),
    }
    return np.asarray(like(scale, z) * rules[name]())


def _blocks(layer: Cells, array: Array) -> dict[str, Array]:
    names = layer.gate_names
    return dict(zip(names, np.split(array, len(names), axis=-1), strict=True))


def _through(z: Array, weight: Array) -> Array:
    """(D, N, upper) back through (D, lower, upper)."""
    return np.asarray(np.matmul(z, weight.swapaxes(1, 2)))


def _slope(name: str, scale: Any, z: Array) -> Array:
    return derivative(name, scale, z, activation(name, 1, z)(z))


def _lstm(layer: LSTM, u: Unrolled, t: int, state: Array) -> tuple[Array, Array]:
    assert u.cell is not None
    value, z = _blocks(layer, u.values[:, :, t]), _blocks(layer, u.z[:, :, t])
    before, after = u.cell[:, :, t], u.cell[:, :, t + 1]
    hidden, cell = state
    p = dict(zip("ifo", np.split(like(layer.peepholes, u.x)[:, None], 3, axis=-1), strict=True)) if _peeps(layer) else {}
    slope = {name: _slope(layer.gate_activation, 1, z[name]) for name in layer.gates if name != "g"}
    found = {}
    outer = activation(layer.state_activation, layer.state_scale, u.x)
    if "o" in slope:
        found["o"] = hidden * outer(after) * slope["o"]
        hidden = hidden * value["o"]
    cell = cell + hidden * _slope(layer.state_activation, layer.state_scale, after)
    cell = cell + p["o"] * found["o"] if p else cell
    inner = cell * value["i"] if "i" in slope else cell
    found["g"] = inner * _slope(layer.activation, layer.scale, z["g"])
    if "i" in slope:
        found["i"] = cell * value["g"] * slope["i"]
    if "f" in slope:
        found["f"] = cell * before * slope["f"]
        cell = cell * value["f"]
    if p:
        cell = cell + p["i"] * found["i"] + p["f"] * found["f"]
    whole = np.concatenate([found[name] for name in layer.gates], axis=-1)
    return whole, np.stack([_through(whole, like(layer.weight_recurrent, u.x)), cell])


def _peeps(layer: LSTM) -> bool:
    return layer.peepholes is not None


def _gru(layer: GRU, u: Unrolled, t: int, state: Array) -> tuple[Array, Array]:
    assert u.inner is not None
    value, z = _blocks(layer, u.values[:, :, t]), _blocks(layer, u.z[:, :, t])
    weight = _blocks(layer, like(layer.weight_recurrent, u.x))
    before, inner, one = u.hidden[:, :, t], u.inner[:, :, t], like(1, u.x)
    n = state[0] * (one - value["z"]) * _slope(layer.activation, 1, z["n"])
    update = state[0] * (before - value["n"]) * _slope(layer.gate_activation, 1, z["z"])
    below = state[0] * value["z"] + _through(update, weight["z"])
    if layer.linear_before_reset:
        reset, below = n * inner, below + _through(n * value["r"], weight["n"])
    else:
        through = _through(n, weight["n"])
        reset, below = through * before, below + through * value["r"]
    reset = reset * _slope(layer.gate_activation, 1, z["r"])
    return np.concatenate([reset, update, n], axis=-1), np.stack([below + _through(reset, weight["r"]), state[1]])


def _rnn(layer: RNN, u: Unrolled, t: int, state: Array) -> tuple[Array, Array]:
    z = state[0] * _slope(layer.activation, 1, u.z[:, :, t])
    return z, np.stack([_through(z, like(layer.weight_recurrent, u.x)), state[1]])


_STEPS: dict[type[Cells], Callable[..., tuple[Array, Array]]] = {LSTM: _lstm, GRU: _gru, RNN: _rnn}
