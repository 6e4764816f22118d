"""Activations that multiply a signal by a function of itself, as exporters take them apart."""

from __future__ import annotations

import math

from ...layers import GELU, Add, Clip, Erf, HardSigmoid, HardSwish, Mish, Multiply, Pow, Sigmoid, SiLU, Softplus, Tanh
from ...layers.base import Layer
from ...model import Node
from .view import Match, View, close, number


def self_gated(view: View, node: Node) -> Match:
    """GELU, SiLU, HardSwish, Mish: c·x·g(x), the constant c before, between or after the factors."""
    products = ((w, name) for w, name in view.multiples(node.name) if view.is_product(name))
    outer, product = next(products, (1.0, ""))
    if not product:
        return None
    first, second = view.nodes[product].inputs
    for left, right in ((first, second), (second, first)):
        for factor, x in view.multiples(left):
            for weight, bias, gate in view.affine(right):
                found = _gated(view, x, gate, outer * factor * weight, outer * factor * bias)
                if found is not None:
                    return found, (x,)
    return None


def _gated(view: View, x: str, gate: str, weight: float, bias: float) -> Layer | None:
    """The activation x·(weight·gate + bias), where the gate is a function of x."""
    layer = view.layer(gate)
    if layer is None:
        return None
    inner = view.source(gate)
    if close(weight, 0.5) and close(bias, 0.5):
        if isinstance(layer, Erf) and view.is_multiple(inner, math.sqrt(0.5), x):
            return GELU()
        return GELU("tanh") if isinstance(layer, Tanh) and _is_gelu_polynomial(view, inner, x) else None
    if bias != 0:
        return None
    if isinstance(layer, Sigmoid) and close(weight, 1):
        beta = next((factor for factor, base in view.multiples(inner) if base == x), None)
        return None if beta is None else SiLU(beta if beta == 1 else float(f"{beta:.6g}"))
    if isinstance(layer, HardSigmoid) and close(weight, 1) and inner == x:
        return HardSwish() if close(layer.alpha, 1 / 6) and close(layer.beta, 0.5) else None
    if isinstance(layer, Clip) and (layer.low, layer.high) == (0, 6) and close(weight, 1 / 6):
        fits = any(base == x and close(w, 1) and close(b, 3) for w, b, base in view.affine(inner))
        return HardSwish() if fits else None
    plus = view.layer(inner)
    if isinstance(layer, Tanh) and isinstance(plus, Softplus) and plus.beta == 1 and view.source(inner) == x and close(weight, 1):
        return Mish()
    return None


def _is_gelu_polynomial(view: View, name: str, x: str) -> bool:
    """√(2/π)·(x + 0.044715·x³)."""
    for factor, total in view.multiples(name):
        if isinstance(view.layer(total), Add) and len(view.nodes[total].inputs) == 2:
            first, second = view.nodes[total].inputs
            cubed = second if first == x else first if second == x else None
            if cubed is not None and close(factor, math.sqrt(2 / math.pi)):
                return any(close(w, 0.044715) and _is_cube(view, base, x) for w, base in view.multiples(cubed))
    return False


def _is_cube(view: View, name: str, x: str) -> bool:
    layer = view.layer(name)
    if isinstance(layer, Pow):
        return number(layer.exponent) == 3 and view.source(name) == x
    if not view.is_product(name):
        return False
    first, second = view.nodes[name].inputs
    return (first == x and is_square(view, second, x)) or (second == x and is_square(view, first, x))


def is_square(view: View, name: str, x: str) -> bool:
    """Whether `name` = x²."""
    layer = view.layer(name)
    if isinstance(layer, Pow):
        return number(layer.exponent) == 2 and view.source(name) == x
    return isinstance(layer, Multiply) and view.nodes[name].inputs == (x, x)
