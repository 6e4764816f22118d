"""Normalisations by the input's own statistics, as exporters write them: layer, RMS and Lp norms.

A statistic is recognised by what it is computed from: only a quotient of a signal by that signal's own length is a norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ....arrays import Array
from ....layers import Abs, Add, GlobalSumPool, LayerNorm, LpNorm, Multiply, RMSNorm, Scale, Subtract, Sum, Transpose
from ....network.model import Node
from .exponentials import quotient
from .moments import Axes, Length, centred_signal, inverse_length, is_mean, length, reduced_axes, reduction_of, split_floor
from .rewriting import GraphView, Match, close, number


def norm_by_length(view: GraphView, node: Node) -> Match:
    """The norm that divides a by its own length: RMSNorm, LpNorm, and LayerNorm where a is x − mean x."""
    for a, gain, divisor in _quotients_by_length(view, node):
        match = _norm(view, node, a, gain, divisor)
        if match is not None:
            return match
    return _absolute_norm(view, node)


def _quotients_by_length(view: GraphView, node: Node) -> Iterator[tuple[str, Array | None, Length]]:
    """(a, g, l) of g·a/l for a length l; None where there is no g."""
    a, bottom = quotient(view, node)
    if bottom:
        divisor = length(view, bottom, a)
        if divisor is not None:
            yield a, None, divisor
            gain, inner = _gain(view, a)
            yield inner, gain, divisor
        return
    for a, other in (node.inputs, node.inputs[::-1]) if view.is_product(node.name) else ():
        gain, inverse = _gain(view, other)
        divisor = inverse_length(view, inverse, a)
        if divisor is not None:
            yield a, gain, divisor


def _gain(view: GraphView, name: str) -> tuple[Array | None, str]:
    """g and b, where a node is g·b for a constant g."""
    layer = view.layer(name)
    if not isinstance(layer, Scale) or layer.bias is not None:
        return None, name
    return None if number(layer.weight) == 1 else layer.weight, view.source(name)


def _norm(view: GraphView, node: Node, a: str, gain: Array | None, divisor: Length) -> Match:
    """The norm that a/l is, for a length l."""
    of, epsilon, outside = divisor.of, six_digits(divisor.of.constant), six_digits(divisor.outside)
    if of.mean or of.square <= 0 or of.constant < 0:
        return None
    x, axes = centred_signal(view, a)
    if x and axes == of.axes and of.is_variance and view.same(x, of.base):
        # A standard deviation: σ², or that of a sample, n/(n − 1) σ².
        ratios = {0: 1.0} if of.count == 1 else {0: 1.0, 1: of.count / (of.count - 1)}
        correction = min(ratios, key=lambda kind: abs(ratios[kind] - of.square))
        if close(of.square, ratios[correction]) and divisor.floor == 0:
            norm = LayerNorm(len(axes), None, None, epsilon, outside, correction)
            return _over_axes(view, node, x, axes, norm, gain)
    elif of.squared_mean or not view.same(a, of.base):
        return None
    elif close(of.square, 1) and divisor.floor == 0 and (of.averaged or of.count > 1):
        return _over_axes(view, node, a, of.axes, RMSNorm(len(of.axes), None, None, epsilon, outside), gain)
    summed = close(of.square, of.count) and gain is None
    return (LpNorm(of.axes, 2, epsilon, divisor.floor, outside), (a,)) if summed else None


def split_norm(view: GraphView, node: Node) -> Match:
    """The product (x − m)·r, and b more, of a node x·r − m·r + b for the mean m of x: as folded batch norms are written."""
    layer = node.layer
    if not isinstance(layer, (Add, Subtract)) or len(node.inputs) != 2:
        return None
    for first, second in (node.inputs, node.inputs[::-1])[: 2 if isinstance(layer, Add) else 1]:
        bias, product = (None, second) if isinstance(layer, Subtract) else _subtraction(view, second)
        if not view.is_product(first) or not product or not view.is_product(product):
            continue
        for x, inverse in (view.nodes[first].inputs, view.nodes[first].inputs[::-1]):
            means = [m for m, r in _orders(view, product) if view.same(r, inverse) and is_mean(view, m, x)]
            if not means or inverse_length(view, _gain(view, inverse)[1], x) is None:
                continue
            name = view.insert(f"{node.name}/centred", Subtract(), (x, means[0]))
            if bias is None:
                return Multiply(), (name, inverse)
            scaled = view.insert(f"{node.name}/scaled", Multiply(), (name, inverse))
            return Scale(np.ones((), bias.dtype), bias), (scaled,)
    return None


def _orders(view: GraphView, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return view.nodes[name].inputs, view.nodes[name].inputs[::-1]


def _subtraction(view: GraphView, name: str) -> tuple[Array | None, str]:
    """b and p, where a node is b − p; an empty name where it is not."""
    layer = view.layer(name)
    if not isinstance(layer, Scale) or number(layer.weight) != -1:
        return None, ""
    return layer.bias, view.source(name)


def six_digits(epsilon: float) -> float:
    """A constant to six digits: what a file was told, and not its float32."""
    return float(f"{epsilon:.6g}")


def _reduced(view: GraphView, name: str, kinds: tuple[type, ...]) -> Axes:
    """The axes that a reduction goes over, and keeps or has put back; none where it is none of `kinds`."""
    layer = view.layer(name)
    if isinstance(layer, GlobalSumPool) and isinstance(layer, kinds):
        return reduced_axes(view, name, kinds)[0]
    below = reduction_of(view, name)
    return reduced_axes(view, below, kinds)[0] if below else ()


def _reduces(view: GraphView, name: str) -> str:
    """The node that a reduction reads."""
    return view.source(reduction_of(view, name) or name)


def _over_axes(view: GraphView, node: Node, x: str, axes: Axes, norm: LayerNorm | RMSNorm, gain: Array | None) -> Match:
    """The norm over these axes, between transpositions where they are not the last ones."""
    rank, count = view.rank(x), len(axes)
    order = (*(axis for axis in range(rank) if axis not in axes), *axes)
    scale = None if gain is None else _constant_along(gain, order, count)
    if gain is not None and scale is None:
        return None
    scaled_norm = replace(norm, scale=scale)
    if order == tuple(range(rank)):
        return scaled_norm, (x,)
    transpose = view.insert(f"{node.name}/moved", Transpose(order), (x,))
    return Transpose(tuple(np.argsort(order).tolist())), (view.insert(f"{node.name}/norm", scaled_norm, (transpose,)),)


def _constant_along(constant: Array, order: Axes, count: int) -> Array | None:
    """A constant of one sample with its axes in another order, where it varies along the last `count` of these alone."""
    constant_of_rank = (
        constant.reshape((1,) * (len(order) - constant.ndim) + constant.shape) if constant.ndim < len(order) else None
    )
    if constant_of_rank is None:
        return None
    transposed = constant_of_rank.transpose(order)
    return transposed.reshape(transposed.shape[-count:]) if transposed.size == math.prod(transposed.shape[-count:]) else None


def _absolute_norm(view: GraphView, node: Node) -> Match:
    """a / Σ|a|."""
    a, bottom = quotient(view, node)
    if not bottom:
        return None
    inner, floor = split_floor(view, bottom)
    for weight, epsilon, base in view.affine(inner):
        axes = _reduced(view, base, (Sum, GlobalSumPool))
        size = _reduces(view, base) if axes else ""
        if weight == 1 and epsilon >= 0 and isinstance(view.layer(size), Abs) and view.same(view.source(size), a):
            return LpNorm(axes, 1, six_digits(epsilon), floor), (a,)
    return None


# --- γ and β ------------------------------------------------------------------------------------------------------------------


def norm_affine(view: GraphView, node: Node) -> Match:
    """A layer or RMS norm with the γ and β that a Scale behind it holds."""
    layer = node.layer
    (source,) = node.inputs if len(node.inputs) == 1 else ("",)
    if not isinstance(layer, Scale) or not view.private(source):
        return None
    back = view.layer(source)
    name = view.source(source) if isinstance(back, Transpose) else source
    norm = view.layer(name)
    if not isinstance(norm, (LayerNorm, RMSNorm)) or norm.shift is not None or not view.private(name):
        return None
    order = tuple(np.argsort(back.axes).tolist()) if isinstance(back, Transpose) else tuple(range(view.rank(source)))
    parameters = [None if p is None else _sample_order(p, order, norm.axes) for p in (layer.weight, layer.bias)]
    scale, shift = parameters
    unscaled = number(layer.weight) == 1
    if scale is None or (layer.bias is not None and shift is None) or (norm.scale is not None and not unscaled):
        return None
    affine_norm = replace(norm, scale=norm.scale if unscaled else scale, shift=shift)
    if not isinstance(back, Transpose):
        return affine_norm, view.nodes[source].inputs
    return back, (view.insert(f"{node.name}/norm", affine_norm, view.nodes[name].inputs),)


def _sample_order(constant: Array, order: Axes, count: int) -> Array | None:
    constant_in_order = _constant_along(constant, order, count)
    return constant_in_order if constant_in_order is None or constant.size > 1 else constant_in_order.reshape(())
