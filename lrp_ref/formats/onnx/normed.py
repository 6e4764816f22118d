"""Normalisations by the input's own statistics, as exporters write them: layer, RMS, Lp and min-max norms.

A statistic is recognised by what it is computed from: only a quotient of a signal by that signal's own length or range is a norm.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ...arrays import Array
from ...layers import (
    Abs,
    Clip,
    Expand,
    GlobalAvgPool,
    GlobalMaxPool,
    GlobalSumPool,
    LayerNorm,
    LpNorm,
    Mean,
    MinMaxNorm,
    Pow,
    Reciprocal,
    ReduceMax,
    Reshape,
    RMSNorm,
    Scale,
    Sqrt,
    Subtract,
    Sum,
    Transpose,
)
from ...model import Node
from .exponentials import quotient
from .gated import is_square
from .view import Match, View, close, number

Axes: TypeAlias = tuple[int, ...]
Norm: TypeAlias = "type[LayerNorm | RMSNorm]"


def normalised(view: View, node: Node) -> Match:
    """a / √(mean a² + ε) and the like: RMSNorm, LpNorm, and LayerNorm where a is x − mean x."""
    a, power, floor, gain = _over_root(view, node)
    for weight, epsilon, base in view.affine(power) if a else ():
        axes, count = _reduced(view, base, (Mean, GlobalAvgPool, Sum, GlobalSumPool))
        if not axes or epsilon < 0 or not _is_square_of(view, _reduces(view, base), a):
            continue
        mean = isinstance(view.layer(_reduction(view, base)), (Mean, GlobalAvgPool))
        if floor == 0 and (weight == 1 if mean else close(weight * count, 1) and weight != 1):
            return _over_axes(view, node, a, axes, _rounded(epsilon), gain)
        if not mean and weight == 1 and gain is None:
            return LpNorm(axes, 2, _rounded(epsilon), floor), (a,)
    return _absolute(view, node)


def _rounded(epsilon: float) -> float:
    return float(f"{epsilon:.6g}")


def _over_root(view: View, node: Node) -> tuple[str, str, float, Array | None]:
    """(a, v, f, g) of g·a / max(√v, f); empty names where the node is something else, None where there is no g."""
    a, bottom = quotient(view, node)
    if bottom:
        inner, floor = _floored(view, bottom)
        power = _root(view, inner)
        return (a, power, floor, None) if power else ("", "", 0.0, None)
    for a, other in (node.inputs, node.inputs[::-1]) if view.is_product(node.name) else ():
        gain, inverse = _gain(view, other)
        inverse = _spread(view, inverse)
        layer = view.layer(inverse)
        if isinstance(layer, Pow) and number(layer.exponent) == -0.5:
            return a, view.source(inverse), 0.0, gain
        if isinstance(layer, Sqrt) and isinstance(view.layer(view.source(inverse)), Reciprocal):
            return a, view.source(view.source(inverse)), 0.0, gain
        if isinstance(layer, Reciprocal) and inverse != other and _root(view, view.source(inverse)):
            return a, _root(view, view.source(inverse)), 0.0, gain
    return "", "", 0.0, None


def _gain(view: View, name: str) -> tuple[Array | None, str]:
    """g and b, where a node is g·b for a constant g."""
    layer = view.layer(name)
    if not isinstance(layer, Scale) or layer.bias is not None:
        return None, name
    return None if number(layer.weight) == 1 else layer.weight, view.source(name)


def _root(view: View, name: str) -> str:
    """v, where a node is √v."""
    layer = view.layer(name)
    root = isinstance(layer, Sqrt) or (isinstance(layer, Pow) and number(layer.exponent) == 0.5)
    return view.source(name) if root else ""


def _floored(view: View, name: str) -> tuple[str, float]:
    """b and f, where a node is max(b, f), repeated along the axes of a group."""
    name = _spread(view, name)
    layer = view.layer(name)
    if isinstance(layer, Clip) and layer.low is not None and layer.high is None and layer.low > 0:
        return _spread(view, view.source(name)), float(layer.low)
    return name, 0.0


def _spread(view: View, name: str) -> str:
    """The node that is repeated along axes of extent 1; a quotient does so by itself."""
    layer = view.layer(name)
    kept = isinstance(layer, Expand) and view.rank(name) == view.rank(view.source(name))
    return view.source(name) if kept else name


def _reduced(view: View, name: str, kinds: tuple[type, ...]) -> tuple[Axes, int]:
    """The axes that a reduction goes over and keeps, and over how many cells; no axes where it is none of `kinds`."""
    layer = view.layer(name)
    if isinstance(layer, Reshape):  # axes that were dropped, and are put back
        below = view.layer(view.source(name))
        if isinstance(below, (Mean, Sum, ReduceMax)) and not below.keepdims and isinstance(below, kinds):
            shape = view.shapes[view.source(view.source(name))]
            axes = _counted(below.axes, len(shape))
            if view.shapes[name] == tuple(1 if axis in axes else e for axis, e in enumerate(shape)):
                return axes, math.prod(shape[axis] for axis in axes)
        return (), 0
    if not isinstance(layer, kinds):
        return (), 0
    shape = view.shapes[view.source(name)]
    if isinstance(layer, (Mean, Sum, ReduceMax)):
        axes = _counted(layer.axes, len(shape)) if layer.keepdims else ()
    else:
        axes = tuple(range(2, len(shape)))  # poolings over the whole image
    return axes, math.prod(shape[axis] for axis in axes)


def _counted(axes: Axes, rank: int) -> Axes:
    return tuple(sorted(axis % rank for axis in axes))


def _reduction(view: View, name: str) -> str:
    """The reduction itself, where its axes are put back behind it."""
    return view.source(name) if isinstance(view.layer(name), Reshape) else name


def _reduces(view: View, name: str) -> str:
    """What a reduction reads."""
    return view.source(_reduction(view, name))


def _is_square_of(view: View, name: str, a: str) -> bool:
    return name in view.nodes and view.same(view.source(name), a) and is_square(view, name, view.source(name))


def _over_axes(view: View, node: Node, a: str, axes: Axes, epsilon: float, gain: Array | None) -> Match:
    """A LayerNorm or RMSNorm over these axes, between transpositions where they are not the last ones."""
    kind: Norm = RMSNorm
    x = a
    if isinstance(view.layer(a), Subtract):
        x, mean = view.nodes[a].inputs
        own, _ = _reduced(view, mean, (Mean, GlobalAvgPool))
        if own == axes and view.same(_reduces(view, mean), x):
            kind = LayerNorm
        else:
            x = a
    rank, count = view.rank(x), len(axes)
    order = (*(axis for axis in range(rank) if axis not in axes), *axes)
    scale = None if gain is None else _along(gain, order, count)
    if gain is not None and scale is None:
        return None
    made = kind(count, scale, None, epsilon)
    if order == tuple(range(rank)):
        return made, (x,)
    moved = view.insert(f"{node.name}/moved", Transpose(order), (x,))
    return Transpose(tuple(np.argsort(order).tolist())), (view.insert(f"{node.name}/norm", made, (moved,)),)


def _along(constant: Array, order: Axes, count: int) -> Array | None:
    """A constant of one sample with its axes in another order, where it varies along the last `count` of these alone."""
    whole = constant.reshape((1,) * (len(order) - constant.ndim) + constant.shape) if constant.ndim < len(order) else None
    if whole is None:
        return None
    moved = whole.transpose(order)
    return moved.reshape(moved.shape[-count:]) if moved.size == math.prod(moved.shape[-count:]) else None


def _absolute(view: View, node: Node) -> Match:
    """a / Σ|a|."""
    a, bottom = quotient(view, node)
    if not bottom:
        return None
    inner, floor = _floored(view, bottom)
    for weight, epsilon, base in view.affine(inner):
        axes, _ = _reduced(view, base, (Sum, GlobalSumPool))
        size = _reduces(view, base) if axes else ""
        if weight == 1 and epsilon >= 0 and isinstance(view.layer(size), Abs) and view.same(view.source(size), a):
            return LpNorm(axes, 1, _rounded(epsilon), floor), (a,)
    return None


# --- ranges -------------------------------------------------------------------------------------------------------------------


def min_max(view: View, node: Node) -> Match:
    """(x − min x) / (max x − min x), where the range may be the maximum of x − min x."""
    a, bottom = quotient(view, node)
    if not bottom or not isinstance(view.layer(a), Subtract):
        return None
    x, low = view.nodes[a].inputs
    axes = _minimum(view, low, x)
    inner, floor = _floored(view, bottom)
    for weight, epsilon, base in view.affine(inner) if axes else ():
        if weight == 1 and epsilon >= 0 and _is_range(view, base, x, a, low, axes):
            return MinMaxNorm(axes, _rounded(epsilon), floor), (x,)
    return None


def _minimum(view: View, name: str, x: str) -> Axes:
    """The axes that −max(−x) goes over."""
    for weight, base in view.multiples(name):
        axes, _ = _reduced(view, base, (ReduceMax, GlobalMaxPool)) if weight == -1 else ((), 0)
        if axes and any(factor == -1 and view.same(found, x) for factor, found in view.multiples(_reduces(view, base))):
            return axes
    return ()


def _is_range(view: View, name: str, x: str, a: str, low: str, axes: Axes) -> bool:
    """Whether a node is max(x − min x) or max x − min x."""
    if isinstance(view.layer(name), Subtract):
        high, other = view.nodes[name].inputs
        return view.same(other, low) and _is_maximum(view, high, x, axes)
    return _is_maximum(view, name, a, axes)


def _is_maximum(view: View, name: str, x: str, axes: Axes) -> bool:
    return _reduced(view, name, (ReduceMax, GlobalMaxPool))[0] == axes and view.same(_reduces(view, name), x)


# --- γ and β ------------------------------------------------------------------------------------------------------------------


def norm_affine(view: View, node: Node) -> Match:
    """The γ and β behind a layer or RMS norm that has none yet."""
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
    parts = [None if p is None else _sample_order(p, order, norm.axes) for p in (layer.weight, layer.bias)]
    scale, shift = parts
    unscaled = number(layer.weight) == 1
    if scale is None or (layer.bias is not None and shift is None) or (norm.scale is not None and not unscaled):
        return None
    made = replace(norm, scale=norm.scale if unscaled else scale, shift=shift)
    if not isinstance(back, Transpose):
        return made, view.nodes[source].inputs
    return back, (view.insert(f"{node.name}/norm", made, view.nodes[name].inputs),)


def _sample_order(constant: Array, order: Axes, count: int) -> Array | None:
    found = _along(constant, order, count)
    return found if found is None or constant.size > 1 else found.reshape(())
