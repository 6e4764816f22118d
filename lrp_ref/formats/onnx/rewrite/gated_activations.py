"""Activations that multiply a signal by a function of itself, as exporters take them apart."""

from __future__ import annotations

import math

from ....layers import GELU, Add, Clip, Erf, HardSigmoid, HardSwish, Mish, Multiply, Pow, Scale, Sigmoid, SiLU, Softplus, Tanh
from ....layers.base import Layer
from ....network.model import Node
from .rewriting import DEPTH, GraphView, Match, close, number


def self_gated_activation(view: GraphView, node: Node) -> Match:
    """The activation x·g(x) with a gate g of the same signal: GELU, SiLU, HardSwish, Mish; a constant may stand anywhere."""
    products = ((w, name) for w, name in view.multiples(node.name) if view.is_product(name))
    outer, product = next(products, (1.0, ""))
    if not product:
        return None
    first, second = view.nodes[product].inputs
    for left, right in ((first, second), (second, first)):
        for factor, x in view.multiples(left):
            for weight, bias, gate in view.affine(right):
                activation = _activation_of(view, x, gate, outer * factor * weight, outer * factor * bias)
                if activation is not None:
                    return activation, (x,)
    return None


def _activation_of(view: GraphView, x: str, gate: str, weight: float, bias: float) -> Layer | None:
    """The activation x·(weight·gate + bias), where the gate is a function of x."""
    layer = view.layer(gate)
    if layer is None:
        return None
    inner = view.source(gate)
    if close(abs(weight), 0.5) and close(bias, 0.5):
        if isinstance(layer, Erf) and view.is_multiple(inner, math.copysign(math.sqrt(0.5), weight), x):
            return GELU()  # also as ½x·erfc(−x/√2)
        return GELU("tanh") if weight > 0 and isinstance(layer, Tanh) and _is_gelu_polynomial(view, inner, x) else None
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


def _is_gelu_polynomial(view: GraphView, name: str, x: str) -> bool:
    """√(2/π)·(x + 0.044715·x³)."""
    coefficients, factor = polynomial(view, name, x), math.sqrt(2 / math.pi)
    return set(coefficients) == {1, 3} and close(coefficients[1], factor) and close(coefficients[3], 0.044715 * factor)


def polynomial(view: GraphView, name: str, x: str, depth: int = DEPTH + 2) -> dict[int, float]:
    """The coefficients of a polynomial in x of at most the third degree, by powers; nothing where a node is none."""
    if name == x:
        return {1: 1.0}
    if not depth or name not in view.nodes:
        return {}
    layer = view.layer(name)
    operands = [polynomial(view, source, x, depth - 1) for source in view.nodes[name].inputs]
    if not all(operands) or not operands:
        return {}
    if isinstance(layer, Scale):
        weight, bias = number(layer.weight), 0.0 if layer.bias is None else number(layer.bias)
        return {} if weight is None or bias is None else _sum({0: bias}, {k: weight * c for k, c in operands[0].items()})
    if isinstance(layer, Add):
        return _sum(*operands)
    exponent = number(layer.exponent) if isinstance(layer, Pow) else None
    if exponent in (2, 3):
        return _product([operands[0]] * int(exponent))
    return _product(operands) if view.is_product(name) else {}


def _sum(*summands: dict[int, float]) -> dict[int, float]:
    powers = {power for polynomial_terms in summands for power in polynomial_terms}
    coefficients = {power: sum(polynomial_terms.get(power, 0.0) for polynomial_terms in summands) for power in powers}
    return {power: coefficient for power, coefficient in coefficients.items() if coefficient}


def _product(factors: list[dict[int, float]]) -> dict[int, float]:
    coefficients = {0: 1.0}
    for factor in factors:
        coefficients = _sum(*({a + b: c * d} for a, c in coefficients.items() for b, d in factor.items()))
    return coefficients if max(coefficients, default=0) <= 3 else {}


def is_square(view: GraphView, name: str, x: str) -> bool:
    """Whether a node computes x² of a node x."""
    layer = view.layer(name)
    if isinstance(layer, Pow):
        return number(layer.exponent) == 2 and view.source(name) == x
    return isinstance(layer, Multiply) and view.nodes[name].inputs == (x, x)
