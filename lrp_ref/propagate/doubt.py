"""How far an explained value may be from its exact one: the rounding of the sum that made it.

A score that is nothing but the rounding of terms which cancel has no share that could arrive (`CONV-SHARE`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..arrays import Array, is_exact, like
from ..forks import cached_property
from ..layers.activations import ReLU
from ..layers.base import Layer, Linear
from ..layers.conv import Conv, ConvTranspose
from ..layers.linear import Dense
from ..layers.shape import Rearrangement
from ..lazy_dataclass import lazy_dataclass
from ..network.model import Model, Node


@lazy_dataclass(frozen=True, eq=False)
class Origin:
    """The linear node whose sum a score is, and the layers that hand the sum on, from the node up."""

    node: Node
    moves: tuple[Layer, ...]

    @cached_property
    def heaviest(self) -> tuple[int, float, float] | None:
        """1 + the fan-in, the largest Σ_j |w_jk| and |b_k|, of layers whose weights say it whatever the shape of the input."""
        layer = self.node.layer
        if not isinstance(layer, (Dense, Conv, ConvTranspose)):
            return None
        size = abs(layer.weights[0]).astype(np.float64)
        upper = 0 if isinstance(layer, Conv) else 1
        # Of a transposed convolution with groups that is too much, and on the safe side.
        heavy = size.sum(axis=tuple(axis for axis in range(size.ndim) if axis != upper))
        bias = layer.offset(size.ndim)
        most = 0.0 if bias is None else float(abs(bias).max(initial=0))
        return 1 + size.size // max(1, size.shape[upper]), float(heavy.max(initial=0)), most


def origin(model: Model, name: str) -> Origin | None:
    """Where the output of the node `name` was added up; None where that is not one linear layer."""
    moves: list[Layer] = []
    while name not in model.inputs:
        node = model[name]
        if isinstance(node.layer, Linear):
            return Origin(node, tuple(reversed(moves)))
        if not isinstance(node.layer, (Rearrangement, ReLU)) or len(node.inputs) != 1:
            return None
        moves.append(node.layer)
        name = node.inputs[0]
    return None


def doubt(origins: Mapping[str, Origin], values: Mapping[str, Array], starts: Mapping[str, Array], value: Array) -> Array | None:
    r"""4·n·u·Σ\|terms\| of each explained value, (N, T) float64, n = 1 + fan-in; None where all are plainly above it.

    Parameters
    ----------
    origins : the sum behind each node where relevance starts
    values : the activations of their inputs, by name
    starts : (N, T, …) at each node, the starting relevance: what is not 0 is explained
    value : (N, T)
    """
    if is_exact(value) or not value.size:
        return None
    size = abs(value.astype(np.float64))
    unit = 2.0 * float(np.finfo(value.dtype).eps)
    parts = [_doubt(found, values, starts[name], size, unit) for name, found in origins.items() if name in starts]
    known = [part for part in parts if part is not None]
    return np.asarray(sum(known[1:], known[0])) if known else None


def _doubt(origin: Origin, values: Mapping[str, Array], start: Array, size: Array, unit: float) -> Array | None:
    """That of the scores of one node, for values of these sizes; `unit` is 4u."""
    if not all(name in values for name in origin.node.inputs):
        return None
    inputs = tuple(values[name] for name in origin.node.inputs)
    if origin.heaviest is not None:
        fan, heavy, bias = origin.heaviest
        if size.min() > 2 * unit * fan * (heavy * float(abs(inputs[0]).max(initial=0)) + bias):
            return None
    layer = origin.node.layer
    assert isinstance(layer, Linear)
    fan = _fan(layer, inputs) if origin.heaviest is None else origin.heaviest[0]
    terms = unit * fan * _terms(layer, inputs)
    for move in origin.moves:
        terms = move.forward(terms)
    used = np.where(start != 0, terms[:, None], 0).reshape(*size.shape, -1)
    # A score has one sum, a contrast two; the log-odds are as uncertain as the two largest.
    return np.asarray(np.sort(used, axis=-1)[..., -2:].sum(axis=-1))


def _terms(layer: Linear, inputs: tuple[Array, ...]) -> Array:
    """Σ|terms| of every output, float64."""
    wide = [a.astype(np.float64) for a in inputs]
    parts = [layer.map_absolute(a, like(w, a)) for a, w in zip(wide, layer.weights, strict=True)]
    terms = np.asarray(sum(parts[1:], parts[0]))
    bias = layer.offset(terms.ndim)
    return terms if bias is None else terms + abs(like(bias, terms))


def _fan(layer: Linear, inputs: tuple[Array, ...]) -> int:
    """1 + the fan-in, of averages from the numbers of cells in and out."""
    ones = [np.ones((1, *a.shape[1:])) for a in inputs]
    counted = [layer.map(one, np.ones(w.shape)) for one, w in zip(ones, layer.weights, strict=True)]
    whole = max(one.size for one in ones) / max(1, counted[0].size)
    return 1 + math.ceil(max(sum(float(abs(count).max(initial=0)) for count in counted), whole))
