"""Functions that exporters spell out in several nodes: hard sigmoid, softplus, Lp pooling."""

from __future__ import annotations

import math

import numpy as np

from ....layers import Abs, AvgPool, Clip, Compare, HardSigmoid, LpPool, Pow, ReLU, Scale, Sign, Softplus, Where
from ....network.model import Node
from .rewriting import GraphView, Match, close, number

#: From here on log(1 + exp(x)) is x to within float32: log(1 + exp(−15)) = 3e-7.
LINEAR_FROM = 15.0


def hard_sigmoid(view: GraphView, node: Node) -> Match:
    """Clip(w·x + b, 0, h) / h; Clip(w·x + ½, 0, 1) with a weight, which a dense layer with one bias for all has not."""
    if isinstance(node.layer, Clip) and (node.layer.low, node.layer.high) == (0, 1):
        *_, (weight, bias, x) = view.affine(node.inputs[0])
        return (HardSigmoid(_short(weight), 0.5), (x,)) if bias == 0.5 and weight != 1 else None
    if not isinstance(node.layer, Scale):
        return None
    for factor, name in view.multiples(node.name):
        clip = view.layer(name)
        if isinstance(clip, Clip) and clip.low == 0 and clip.high is not None and close(clip.high * factor, 1):
            *_, (weight, bias, x) = view.affine(view.source(name))
            if bias != 0:
                return HardSigmoid(_short(weight * factor), _short(bias * factor)), (x,)
    return None


def _short(value: float) -> float:
    """1/6 where float32 has 0.16666667."""
    return next((k / 6 for k in range(1, 7) if close(value, k / 6)), value)


def softplus(view: GraphView, node: Node) -> Match:
    """Softplus as exporters write it: x where β·x is so large that nothing else is left of it, log(1 + exp(β·x))/β elsewhere."""
    if not isinstance(node.layer, Where) or len(node.inputs) != 3:
        return None
    condition, x, soft = node.inputs
    compare = view.layer(condition)
    if not isinstance(compare, Compare) or compare.relation != ">" or (number(compare.other) or 0.0) < LINEAR_FROM:
        return None
    for factor, name in view.multiples(soft):
        layer = view.layer(name)
        if isinstance(layer, Softplus) and close(factor, 1) and view.source(name) == x:  # put together before
            return (layer, (x,)) if view.is_multiple(view.source(condition), layer.beta, x) else None
        for beta, base in view.multiples(view.source(name)) if isinstance(layer, Softplus) and layer.beta == 1 else ():
            if base == x and close(factor * beta, 1) and view.is_multiple(view.source(condition), beta, x):
                return Softplus(float(f"{beta:.6g}")), (x,)
    return None


def lp_pool(view: GraphView, node: Node) -> Match:
    """Lp pooling as PyTorch exports it: (sign(m)·relu(|m|)·n)^(1/p), where m is the mean of x^p over windows of n cells."""
    root = number(node.layer.exponent) if isinstance(node.layer, Pow) else None
    p = round(1 / root) if root and 0 < root < 1 else 1
    if root is None or p % 2 or not close(p * root, 1):  # of an odd power the mean has a sign
        return None
    for cells, product in view.multiples(view.source(node.name)):
        mean = _sign_times_size(view, product)
        pool, power = view.layer(mean), view.layer(view.source(mean)) if mean else None
        if isinstance(pool, AvgPool) and isinstance(power, Pow) and number(power.exponent) == p and _counts(pool, cells):
            lp = LpPool(pool.kernel, pool.stride, pool.padding, pool.dilation, p=p)
            return lp, (view.source(view.source(mean)),)
    return None


def _sign_times_size(view: GraphView, name: str) -> str:
    """m, where `name` is sign(m)·relu(|m|); an empty name where it is something else."""
    if not view.is_product(name):
        return ""
    sign, size = view.nodes[name].inputs
    if not (isinstance(view.layer(sign), Sign) and isinstance(view.layer(size), ReLU)):
        return ""
    mean, inner = view.source(sign), view.source(size)
    return mean if mean in view.nodes and isinstance(view.layer(inner), Abs) and view.source(inner) == mean else ""


def _counts(pool: AvgPool, cells: float) -> bool:
    """Whether the pooling divides by `cells` in every window."""
    kernel_cells = math.prod(pool.kernel) if isinstance(pool.kernel, tuple) else 0
    return not pool.ceil_mode and (pool.count_include_pad or not np.any(pool.padding)) and close(cells, kernel_cells)
