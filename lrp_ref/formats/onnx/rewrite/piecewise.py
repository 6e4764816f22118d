"""Functions that are straight on both sides of a bend, as exporters write them: by Where, by a mask, by Max.

Where a choice goes by a comparison of the signal itself with a number it is an activation under another name, and gets that
activation's layer. Every other choice stays what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from ....layers import (
    CELU,
    ELU,
    Abs,
    Add,
    Clip,
    Compare,
    Exp,
    LeakyReLU,
    Maximum,
    ReLU,
    Scale,
    Shrink,
    Sign,
    Subtract,
    Threshold,
    Where,
)
from ....layers.activations import Activation
from ....layers.base import Layer
from ....network.model import Node
from .rewriting import DEPTH, GraphView, Match, close, number, shortest

#: A number, or the name of a node.
Branch: TypeAlias = "float | str"

_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True)
class Bend:
    """`upper` where the node `x` is above `at`, `lower` elsewhere; at the bend itself `upper` where it is `closed`."""

    x: str
    at: float
    closed: bool
    upper: Branch
    lower: Branch


def activation_by_bend(view: GraphView, node: Node) -> Match:
    """The activation that a choice by the sign of a signal is: ReLU, LeakyReLU, Abs, Clip, Threshold, ELU, or a shrinkage."""
    bend = _bend(view, node)
    if bend is None:
        return _activation_plus_zero(view, node)
    return _identity_above(view, bend) or _identity_below(bend) or _shrinkage(view, bend)


def _bend(view: GraphView, node: Node) -> Bend | None:
    layer = node.layer
    if isinstance(layer, Where):
        signals = iter(node.inputs[1:])
        branches = [next(signals) if value is None else number(value) for value in (layer.then, layer.otherwise)]
        return _bend_of(view, node.inputs[0], *branches)
    if view.is_product(node.name):  # a mask of zeros and ones
        for mask, x in (node.inputs, node.inputs[::-1]):
            bend = _bend_of(view, mask, x, 0.0)
            if bend is not None:
                return bend
    return _sum_of_masked(view, node) if isinstance(layer, Add) and len(node.inputs) == 2 else None


def _sum_of_masked(view: GraphView, node: Node) -> Bend | None:
    """A choice as tf2onnx writes it: a branch times a mask, plus the other branch times the opposite mask."""
    for first, second in (node.inputs, node.inputs[::-1]):
        for (mask, then), (opposite_mask, otherwise) in product(_masked_operands(view, first), _masked_operands(view, second)):
            one, other = condition(view, mask), condition(view, opposite_mask)
            if one is not None and other is not None and other == (_OPPOSITE[one[0]], *one[1:]):
                return _bend_of(view, mask, then, otherwise)
    return None


def _masked_operands(view: GraphView, name: str) -> list[tuple[str, Branch]]:
    """The pairs (mask, factor) that a node may be the product of."""
    node = view.nodes.get(name)
    if node is None:
        return []
    if view.is_product(name):
        a, b = node.inputs
        return [(a, b), (b, a)]
    value = number(node.layer.weight) if isinstance(node.layer, Scale) and node.layer.bias is None else None
    return [] if value is None else [(node.inputs[0], value)]


def _activation_plus_zero(view: GraphView, node: Node) -> Match:
    """An activation plus 0 times a mask: the rest of a choice that was read already."""
    if not isinstance(node.layer, Add) or len(node.inputs) != 2:
        return None
    for name, product_name in (node.inputs, node.inputs[::-1]):
        layer = view.layer(name)
        nothing = any(value == 0 and condition(view, mask) is not None for mask, value in _masked_operands(view, product_name))
        if nothing and isinstance(layer, Activation) and view.shapes[name] == view.shapes[product_name]:
            return layer, view.nodes[name].inputs
    return None


def _bend_of(view: GraphView, mask: str, then: Branch | None, otherwise: Branch | None) -> Bend | None:
    comparison = condition(view, mask)
    if comparison is None or then is None or otherwise is None:
        return None
    relation, at, x = comparison
    if relation in ("<", "<="):
        return Bend(x, at, relation == "<", otherwise, then)
    return Bend(x, at, relation == ">=", then, otherwise) if relation in (">", ">=") else None


def condition(view: GraphView, name: str) -> tuple[str, float, str] | None:
    """The relation, number and node x of a comparison, 1 where x stands in the relation to the number, else 0; or None."""
    negative = False
    for _ in range(DEPTH):
        layer = view.layer(name)
        other = number(layer.other) if isinstance(layer, Compare) else None
        if not isinstance(layer, Compare) or other is None:
            return None
        name = view.source(name)
        if other != 0 or layer.relation not in ("==", "!=") or not isinstance(view.layer(name), Compare):
            return (_OPPOSITE[layer.relation] if negative else layer.relation), other, name
        negative ^= layer.relation == "=="  # a Not, or a cast of a truth value
    return None


def _identity_above(view: GraphView, bend: Bend) -> Match:
    """The signal itself above the bend."""
    if bend.upper != bend.x:
        return None
    if isinstance(bend.lower, float):
        if bend.lower == bend.at:
            return (Clip(low=bend.at) if bend.at else ReLU()), (bend.x,)
        return None if bend.closed else (Threshold(shortest(bend.at), shortest(bend.lower)), (bend.x,))
    if bend.at != 0:
        return None
    for factor, base in view.multiples(bend.lower):
        if base == bend.x:
            return _leaky(factor), (bend.x,)
    return _exponential(view, bend)


def _leaky(slope: float) -> Layer:
    return ReLU() if slope == 0 else Abs() if slope == -1 else LeakyReLU(shortest(slope))


def _exponential(view: GraphView, bend: Bend) -> Match:
    """α(exp(x/c) − 1) below 0: ELU with c = 1, CELU with c = α."""
    assert isinstance(bend.lower, str)
    for alpha, bias, power in view.affine(bend.lower):
        if not isinstance(view.layer(power), Exp) or not close(bias, -alpha) or alpha == 0:
            continue
        if view.source(power) == bend.x:
            return ELU(shortest(alpha)), (bend.x,)
        if view.is_multiple(view.source(power), 1 / alpha, bend.x):
            return CELU(shortest(alpha)), (bend.x,)
    return None


def _identity_below(bend: Bend) -> Match:
    """The signal itself below the bend, and the bend's number above."""
    if bend.lower != bend.x or bend.upper != bend.at:
        return None
    return Clip(high=bend.at), (bend.x,)


# --- shrinkage ----------------------------------------------------------------------------------------------------------------


def _shrinkage(view: GraphView, bend: Bend) -> Match:
    """Nothing where |z| ≤ λ: hard shrinkage keeps z elsewhere, soft shrinkage moves it towards 0 by λ."""
    threshold = bend.at
    if isinstance(view.layer(bend.x), Abs) and isinstance(bend.upper, str) and _is_nothing(view, bend.lower, view.source(bend.x)):
        z = view.source(bend.x)
        if bend.upper == z and threshold >= 0 and not bend.closed:
            return Shrink(shortest(threshold)), (z,)
        return (Shrink(*2 * (shortest(threshold),)), (z,)) if _is_moved(view, bend.upper, z, threshold) else None
    if _is_shifted(view, bend.upper, bend.x, -threshold) and isinstance(bend.lower, str):
        low = view.nodes.get(bend.lower)
        low_bend = None if low is None else _bend(view, low)
        if low_bend is not None and _is_lower_half(view, low_bend, bend.x, threshold):
            return Shrink(*2 * (shortest(threshold),)), (bend.x,)
    return None


def hard_shrinkage(view: GraphView, node: Node) -> Match:
    """The hard shrinkage by two comparisons: z where z > λ or z < −λ, 0 elsewhere."""
    layer = node.layer
    if not isinstance(layer, Where) or layer.otherwise is None or number(layer.otherwise) != 0 or layer.then is not None:
        return None
    mask, z = node.inputs
    if not isinstance(view.layer(mask), Maximum) or len(view.nodes[mask].inputs) != 2:
        return None
    comparisons = {condition(view, name) for name in view.nodes[mask].inputs}
    for threshold in (c[1] for c in comparisons if c is not None):
        if threshold >= 0 and comparisons == {(">", threshold, z), ("<", -threshold, z)}:
            return Shrink(shortest(threshold)), (z,)
    return None


def soft_shrinkage(view: GraphView, node: Node) -> Match:
    """The soft shrinkage as a sum of what lies above λ and what lies below −λ, each moved towards 0 by λ."""
    if not isinstance(node.layer, Add) or len(node.inputs) != 2:
        return None
    bends = [_bend(view, view.nodes[name]) if name in view.nodes else None for name in node.inputs]
    for high, low in (bends, bends[::-1]):
        if high is None or low is None or high.lower != 0 or not _is_shifted(view, high.upper, high.x, -high.at):
            continue
        if _is_lower_half(view, low, high.x, high.at):
            return Shrink(*2 * (shortest(high.at),)), (high.x,)
    return None


def _is_lower_half(view: GraphView, bend: Bend, x: str, threshold: float) -> bool:
    """Whether a bend is x + λ below −λ, and 0 above."""
    return bend.x == x and bend.at == -threshold and bend.upper == 0 and _is_shifted(view, bend.lower, x, threshold)


def _is_shifted(view: GraphView, branch: Branch, x: str, shift: float) -> bool:
    return isinstance(branch, str) and any((w, b, base) == (1, shift, x) for w, b, base in view.affine(branch))


def _is_moved(view: GraphView, branch: str, z: str, threshold: float) -> bool:
    """Whether a branch is z − λ·sign(z)."""
    if not isinstance(view.layer(branch), Subtract) or view.source(branch) != z:
        return False
    shift = view.nodes[branch].inputs[1]
    return any(
        w == threshold and isinstance(view.layer(base), Sign) and view.source(base) == z for w, base in view.multiples(shift)
    )


def _is_nothing(view: GraphView, branch: Branch, z: str) -> bool:
    """Whether a branch is 0, also as 0·z."""
    return branch == 0 or (isinstance(branch, str) and any((w, base) == (0, z) for w, base in view.multiples(branch)))


# --- maxima -------------------------------------------------------------------------------------------------------------------


def leaky_maximum(view: GraphView, node: Node) -> Match:
    """The LeakyReLU of max(x, s·x) with s ≤ 1, Abs where s is −1; with s > 1 it is LeakyReLU of s·x with the slope 1/s."""
    if not isinstance(node.layer, Maximum) or len(node.inputs) != 2:
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        for slope, base in view.multiples(other):
            if base == x and slope <= 1:
                return _leaky(slope), (x,)
            if base == x:
                return LeakyReLU(1 / slope), (other,)
    return None


def nested_bounds(view: GraphView, node: Node) -> Match:
    """The Clip of a bound of what is bounded already, and read by no other node: min(6, max(0, x))."""
    outer = _bounds(node.layer)
    source = node.inputs[0] if node.inputs else ""
    inner = _bounds(view.layer(source))
    if outer is None or inner is None or outer == inner or not view.private(source):
        return None
    low, high = max(outer[0], inner[0]), min(outer[1], inner[1])
    if low > high:
        return None
    return Clip(*(None if math.isinf(bound) else bound for bound in (low, high))), view.nodes[source].inputs


def _bounds(layer: Layer | None) -> tuple[float, float] | None:
    if isinstance(layer, ReLU):
        return 0.0, math.inf
    if not isinstance(layer, Clip):
        return None
    return (-math.inf if layer.low is None else layer.low), (math.inf if layer.high is None else layer.high)
