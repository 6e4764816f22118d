"""How far an explained value may be from its exact one: the rounding of the sum that made it.

A score that is nothing but the rounding of terms which cancel has no share that could arrive (`CONV-SHARE`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Array, Shape, is_exact, like
from .layers.activations import ReLU
from .layers.base import Layer, Linear
from .layers.shape import Rearrangement
from .model import Model, Node
from .records import dataclass


@dataclass(frozen=True, eq=False)
class Origin:
    """The linear node whose sum a score is, and the layers that hand the sum on, from the node up."""

    node: Node
    moves: tuple[Layer, ...]


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


def doubt(
    model: Model, origins: Mapping[str, Origin], values: Mapping[str, Array], starts: Mapping[str, Array], value: Array
) -> Array | None:
    r"""4·n·u·Σ\|terms\| of each explained value, (N, T) float64, n = 1 + fan-in; None where all are plainly above it.

    Parameters
    ----------
    model : whose memo keeps what depends on the weights alone
    origins : the sum behind each node where relevance starts
    values : the activations of their inputs, by name
    starts : (N, T, …) at each node, the starting relevance: what is not 0 is explained
    value : (N, T)
    """
    if is_exact(value) or not value.size:
        return None
    size = abs(value.astype(np.float64))
    parts = [_doubt(model, found, values, starts[name], size, value.dtype) for name, found in origins.items() if name in starts]
    known = [part for part in parts if part is not None]
    return np.asarray(sum(known[1:], known[0])) if known else None


def _doubt(
    model: Model, found: Origin, values: Mapping[str, Array], start: Array, size: Array, dtype: np.dtype[Any]
) -> Array | None:
    """That of the scores of one node, for values of these sizes."""
    if not all(name in values for name in found.node.inputs):
        return None
    inputs = tuple(values[name] for name in found.node.inputs)
    layer = found.node.layer
    assert isinstance(layer, Linear)
    shapes = tuple(a.shape[1:] for a in inputs)
    fan, heaviest, bias = model._memo.get(("doubt", layer, shapes), lambda: (_weights(layer, shapes), 1))
    unit = 2.0 * fan * float(np.finfo(dtype).eps)
    most = unit * (sum(w * float(abs(a).max(initial=0)) for w, a in zip(heaviest, inputs, strict=True)) + bias)
    if (size > 2 * most).all():
        return None
    terms = unit * _terms(layer, inputs)
    for move in found.moves:
        terms = move.forward(terms)
    used = np.where(start != 0, terms[:, None], 0).reshape(*size.shape, -1)
    # A score has one sum, a contrast two; the log-odds are as uncertain as the two largest.
    return np.asarray(np.sort(used, axis=-1)[..., -2:].sum(axis=-1))


def _terms(layer: Linear, inputs: tuple[Array, ...]) -> Array:
    """Σ|terms| of every output, float64."""
    wide = [a.astype(np.float64) for a in inputs]
    parts = [layer.map_absolute(a, like(w, a)) for a, w in zip(wide, layer.weights, strict=True)]
    found = np.asarray(sum(parts[1:], parts[0]))
    bias = layer.offset(found.ndim)
    return found if bias is None else found + abs(like(bias, found))


def _weights(layer: Linear, shapes: tuple[Shape, ...]) -> tuple[int, tuple[float, ...], float]:
    """1 + the fan-in, the largest Σ|w| of an output for each input, and the largest |bias|, for samples of these shapes."""
    ones = [np.ones((1, *shape)) for shape in shapes]
    counted = [layer.map(one, np.ones(w.shape)) for one, w in zip(ones, layer.weights, strict=True)]
    heavy = [layer.map_absolute(one, like(w, one)) for one, w in zip(ones, layer.weights, strict=True)]
    whole = max(math.prod(shape) for shape in shapes) / max(1, counted[0].size)
    fan = max(sum(float(abs(count).max(initial=0)) for count in counted), whole)
    bias: Any = layer.offset(counted[0].ndim)
    most = 0.0 if bias is None else float(abs(like(bias, ones[0])).max(initial=0))
    return 1 + math.ceil(fan), tuple(float(h.max(initial=0)) for h in heavy), most
