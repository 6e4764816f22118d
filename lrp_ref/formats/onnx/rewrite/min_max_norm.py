"""Normalisations by the input's own range, and quotients whose divisor is looked at for 0."""

from __future__ import annotations

from ....layers import GlobalMaxPool, LpNorm, MinMaxNorm, ReduceMax, Subtract, Where
from ....network.model import Node
from .exponentials import quotient
from .moments import Axes, is_aligned, length, reduced_axes, split_floor, without_unit_axes
from .norms import six_digits
from .piecewise import condition
from .rewriting import GraphView, Match, close, number

_MAXIMA = (ReduceMax, GlobalMaxPool)


def min_max(view: GraphView, node: Node) -> Match:
    """The min-max norm (x − min x) / (max x − min x), where the range may be the maximum of x − min x."""
    a, bottom = quotient(view, node)
    if not bottom or not isinstance(view.layer(a), Subtract):
        return None
    x, low = view.nodes[a].inputs
    axes = _minimum(view, low, x)
    inner, floor = split_floor(view, bottom)
    if not axes or not is_aligned(view, inner, x, axes):
        return None
    for weight, epsilon, base in view.affine(without_unit_axes(view, inner)):
        if weight == 1 and epsilon >= 0 and _is_range(view, without_unit_axes(view, base), x, a, low, axes):
            return MinMaxNorm(axes, six_digits(epsilon), floor), (x,)
    return None


def _minimum(view: GraphView, name: str, x: str) -> Axes:
    """The axes along which a node is the minimum of x's groups, standing where their elements do."""
    axes = _minimum_axes(view, name, x)
    return axes if axes and is_aligned(view, name, x, axes) else ()


def _minimum_axes(view: GraphView, name: str, x: str) -> Axes:
    """The axes along which a node is the minimum of x's groups, which is −max(−x)."""
    for weight, base in view.multiples(without_unit_axes(view, name)):
        top = without_unit_axes(view, base)
        axes, _ = reduced_axes(view, top, _MAXIMA) if weight == -1 else ((), 0)
        if axes:
            negative = any(factor == -1 and view.same(source, x) for factor, source in view.multiples(view.source(top)))
            return axes if negative else ()
    return ()


def _is_range(view: GraphView, name: str, x: str, a: str, low: str, axes: Axes) -> bool:
    """Whether a node is max(x − min x) or max x − min x."""
    if isinstance(view.layer(name), Subtract):
        high, other = view.nodes[name].inputs
        return view.same(without_unit_axes(view, other), without_unit_axes(view, low)) and _is_maximum(view, high, x, axes)
    return _is_maximum(view, name, a, axes)


def _is_maximum(view: GraphView, name: str, x: str, axes: Axes) -> bool:
    name = without_unit_axes(view, name)
    return reduced_axes(view, name, _MAXIMA)[0] == axes and view.same(view.source(name), x)


def guarded_norm(view: GraphView, node: Node) -> Match:
    """The norm behind a Where that gives 0 where its divisor is 0, as the norm does by itself."""
    layer = node.layer
    if not isinstance(layer, Where) or len(node.inputs) != 2:
        return None
    name, zero = node.inputs[1], layer.otherwise if layer.then is None else layer.then
    norm = view.layer(name)
    if zero is None or number(zero) != 0 or not isinstance(norm, (LpNorm, MinMaxNorm)) or norm.epsilon or norm.floor:
        return None
    comparison = condition(view, without_unit_axes(view, node.inputs[0]))
    if comparison is None or comparison[:2] != ("==" if layer.then is not None else "!=", 0.0):
        return None
    x, divisor = view.source(name), without_unit_axes(view, comparison[2])
    return (norm, (x,)) if _divides(view, divisor, x, norm) else None


def _divides(view: GraphView, name: str, x: str, norm: LpNorm | MinMaxNorm) -> bool:
    """Whether a node is what a norm divides the groups of x by."""
    axes = tuple(sorted(axis % view.rank(x) for axis in norm.axes))
    if isinstance(norm, LpNorm):
        divisor_length = length(view, name, x) if norm.p == 2 and not norm.outside else None
        of = None if divisor_length is None else divisor_length.of
        return of is not None and of.axes == axes and view.same(of.base, x) and close(of.square, of.count) and not of.constant
    if isinstance(view.layer(name), Subtract):
        low = view.nodes[name].inputs[1]
        return _minimum_axes(view, low, x) == axes and _is_range(view, name, x, "", low, axes)
    of_all = view.source(name) if reduced_axes(view, name, _MAXIMA)[0] == axes else ""
    centred = isinstance(view.layer(of_all), Subtract) and view.same(view.source(of_all), x)
    return centred and _minimum(view, view.nodes[of_all].inputs[1], x) == axes
