"""Local response normalisation, as exporters write it: windows over the channels by a three-dimensional pooling."""

from __future__ import annotations

import math

import numpy as np

from ....arrays import Array
from ....layers import LRN, AvgPool, Divide, Pad, Pow, Reshape, Scale, Slice, Transpose
from ....layers.base import Layer
from ....network.model import Node
from .gated_activations import is_square
from .rewriting import DEPTH, GraphView, Match, number, shortest

#: What may stand between the squares and the power.
_BETWEEN = (AvgPool, Pad, Reshape, Scale, Transpose)


def local_response(view: GraphView, node: Node) -> Match:
    """The local response norm x / (k + α·mean of x² over n channels)^β, whose parameters are tried on random numbers."""
    if not isinstance(node.layer, Divide):
        return None
    x, power = node.inputs
    layer = view.layer(power)
    beta = number(layer.exponent) if isinstance(layer, Pow) else None
    if beta is None or view.rank(x) < 3:
        return None
    chain = _chain(view, view.source(power), x)
    pool = next((step for step in chain if isinstance(step, AvgPool)), None)
    if pool is None or not isinstance(pool.kernel, tuple):
        return None
    norm = _guess(chain, view.shapes[x], math.prod(pool.kernel), beta)
    a = np.abs(np.random.default_rng(0).normal(size=view.shapes[x])) + 1
    expected = a / _applied(chain, a * a) ** beta
    if np.allclose(norm.forward(a), expected, rtol=1e-6, atol=0):
        return norm, (x,)
    if not np.allclose(norm.forward(a[:, ::-1])[:, ::-1], expected, rtol=1e-6, atol=0):
        return None
    # The channel more of an even size lies below, as PyTorch has it: the layer's of the channels in the other order.
    reversed_channels = view.insert(f"{node.name}/turned", Slice(None, None, 1, -1), (x,))
    return Slice(None, None, 1, -1), (view.insert(f"{node.name}/norm", norm, (reversed_channels,)),)


def _chain(view: GraphView, name: str, x: str) -> list[Layer]:
    """The layers between x² and a node, from below; none where something else is among them."""
    layers: list[Layer] = []
    for _ in range(2 * DEPTH):
        if name in view.nodes and is_square(view, name, x):
            return layers[::-1]
        layer = view.layer(name)
        if not isinstance(layer, _BETWEEN):
            return []
        layers.append(layer.astype(np.float64))
        name = view.source(name)
    return []


def _applied(chain: list[Layer], squares: Array) -> Array:
    for layer in chain:
        squares = layer.forward(squares)
    return squares


def _guess(chain: list[Layer], shape: tuple[int, ...], size: int, beta: float) -> LRN:
    """The layer by what the chain gives for nothing, and for one channel of ones."""
    one = np.zeros(shape)
    k = float(_applied(chain, one).flat[0])
    one[:, shape[1] // 2] = 1
    alpha = float(_applied(chain, one).max() - k) * size
    return LRN(size, shortest(float(f"{alpha:.7g}")), shortest(beta), shortest(k))
