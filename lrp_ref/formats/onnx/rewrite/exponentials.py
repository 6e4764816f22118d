"""Functions written with exp: sigmoid and what is made of it, softplus, softmax; and quotients by 1 + |x|."""

from __future__ import annotations

from ....layers import (
    Abs,
    Divide,
    Exp,
    GlobalMaxPool,
    Log,
    LogSigmoid,
    LogSoftmax,
    Multiply,
    Pow,
    Reciprocal,
    ReduceMax,
    Scale,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Subtract,
    Sum,
    Tanh,
)
from ....layers.base import Layer
from ....network.model import Node
from .moments import reduction_of
from .rewriting import GraphView, Match, close, number


def logistic(view: GraphView, node: Node) -> Match:
    """The sigmoid of 1/(1 + exp m) or exp(−m)/(1 + exp(−m)), which is σ(−m); a/(1 + exp m) is the product of a and σ(−m)."""
    layer = node.layer
    if isinstance(layer, Reciprocal) or (isinstance(layer, Pow) and number(layer.exponent) == -1):
        exponent = _exponent_beside_one(view, node.inputs[0])
        return None if exponent is None else (Sigmoid(), (_negated(view, exponent),))
    if not isinstance(layer, Divide):
        return None
    top, bottom = node.inputs
    exponent = _exponent_beside_one(view, bottom)
    if exponent is None:
        return None
    if isinstance(view.layer(top), Exp) and view.same(view.source(top), exponent):
        return Sigmoid(), (exponent,)
    gate = view.insert(f"{node.name}/sigmoid", Sigmoid(), (_negated(view, exponent),))
    return Multiply(), (top, gate)


def _exponent_beside_one(view: GraphView, name: str) -> str | None:
    """m, where a node is 1 + exp(m)."""
    for weight, bias, base in view.affine(name):
        if (weight, bias) == (1, 1) and isinstance(view.layer(base), Exp):
            return view.source(base)
    return None


def _opposite(view: GraphView, name: str) -> str | None:
    """The node whose negative a node is, where there is one."""
    return next((base for weight, base in view.multiples(name) if weight == -1), None)


def _negated(view: GraphView, name: str) -> str:
    """A node that is the negative of another: one that exists, or a new one."""
    opposite = _opposite(view, name)
    if opposite is not None:
        return opposite
    layer = view.layer(name)
    inputs: tuple[str, ...] = (name,)
    negation: Layer = Scale(-1.0)
    if isinstance(layer, Scale):
        negation, inputs = Scale(-layer.weight, None if layer.bias is None else -layer.bias), (view.source(name),)
    elif isinstance(layer, Subtract):
        negation, inputs = layer, view.nodes[name].inputs[::-1]
    return view.insert(f"{name}/negated", negation, inputs)


def tanh_half(view: GraphView, node: Node) -> Match:
    """The sigmoid of ½ + ½ tanh(x/2), which is σ(x)."""
    if not isinstance(node.layer, Scale):
        return None
    for weight, bias, tanh in view.affine(node.name):
        if (weight, bias) == (0.5, 0.5) and isinstance(view.layer(tanh), Tanh):
            half = view.source(tanh)
            return next(((Sigmoid(), (base,)) for factor, base in view.multiples(half) if factor == 0.5), None)
    return None


def shifted_tanh(view: GraphView, node: Node) -> Match:
    """The sigmoid of ½ ± ½ tanh(z), which is σ(±2z), above a new node ±2z."""
    if not isinstance(node.layer, Scale):
        return None
    for weight, bias, tanh in view.affine(node.name):
        if abs(weight) == bias == 0.5 and isinstance(view.layer(tanh), Tanh):
            *_, (factor, base) = view.multiples(view.source(tanh))
            return Sigmoid(), (view.insert(f"{node.name}/score", Scale(4 * weight * factor), (base,)),)
    return None


def logarithm(view: GraphView, node: Node) -> Match:
    """The softplus of log(1 + exp m), and the log-sigmoid of log σ(x)."""
    if not isinstance(node.layer, Log):
        return None
    exponent = _exponent_beside_one(view, node.inputs[0])
    if exponent is not None:
        return Softplus(), (exponent,)
    return (LogSigmoid(), (view.source(node.inputs[0]),)) if isinstance(view.layer(node.inputs[0]), Sigmoid) else None


def scaled_softplus(view: GraphView, node: Node) -> Match:
    """The softplus with a factor β: softplus(βx)/β."""
    if not isinstance(node.layer, Scale):
        return None
    for factor, base in view.multiples(node.name):
        layer = view.layer(base)
        if not isinstance(layer, Softplus) or layer.beta != 1 or factor in (1, -1):
            continue
        for beta, x in view.multiples(view.source(base)):
            if beta > 0 and beta != 1 and close(factor * beta, 1):
                return Softplus(float(f"{beta:.6g}")), (x,)
    return None


def negated_softplus(view: GraphView, node: Node) -> Match:
    """The log-sigmoid of −softplus(−x), and the softplus of −log σ(−x)."""
    layer = node.layer
    if not isinstance(layer, Scale) or number(layer.weight) != -1 or layer.bias is not None:
        return None
    below = view.layer(node.inputs[0])
    function: Layer
    if isinstance(below, Softplus) and below.beta == 1:
        function = LogSigmoid()
    elif isinstance(below, LogSigmoid):
        function = Softplus()
    else:
        return None
    x = _opposite(view, view.source(node.inputs[0]))
    return None if x is None else (function, (x,))


def softsign(view: GraphView, node: Node) -> Match:
    """The softsign of x / (1 + |x|)."""
    x, bottom = quotient(view, node)
    for weight, bias, base in view.affine(bottom) if bottom else ():
        if (weight, bias) == (1, 1) and isinstance(view.layer(base), Abs) and view.source(base) == x:
            return Softsign(), (x,)
    return None


def quotient(view: GraphView, node: Node) -> tuple[str, str]:
    """The numerator a and denominator b of a / b, or of a · (1/b); empty names where a node is neither."""
    if isinstance(node.layer, Divide):
        return node.inputs[0], node.inputs[1]
    if view.is_product(node.name):
        for a, b in (node.inputs, node.inputs[::-1]):
            if isinstance(view.layer(b), Reciprocal):
                return a, view.source(b)
    return "", ""


# --- softmax ------------------------------------------------------------------------------------------------------------------


def softmax(view: GraphView, node: Node) -> Match:
    """The softmax of exp(m) / Σ exp(m), where m may be x − max x; and its logarithm m − log Σ exp(m)."""
    if isinstance(node.layer, Subtract) and isinstance(view.layer(node.inputs[1]), Log):
        return _log_softmax(view, node)
    top, bottom = quotient(view, node)
    sums = reduction_of(view, bottom)
    layer = view.layer(sums)
    if not (isinstance(view.layer(top), Exp) and isinstance(layer, Sum) and view.same(view.source(sums), top)):
        return None
    axis = _single_axis(view, layer, top)
    return None if axis is None else (Softmax(axis), (_without_maximum(view, view.source(top), axis),))


def _log_softmax(view: GraphView, node: Node) -> Match:
    m, logarithm = node.inputs
    sums = reduction_of(view, view.source(logarithm))
    layer = view.layer(sums)
    power = view.source(sums) if isinstance(layer, Sum) else ""
    if not (isinstance(layer, Sum) and isinstance(view.layer(power), Exp) and view.same(view.source(power), m)):
        return None
    axis = _single_axis(view, layer, power)
    return None if axis is None else (LogSoftmax(axis), (_without_maximum(view, m, axis),))


def _single_axis(view: GraphView, layer: Sum | ReduceMax, name: str) -> int | None:
    """The axis that a reduction goes over, counted from the front, where it is one."""
    (axis, *others) = layer.axes
    return None if others else axis % view.rank(name)


def _without_maximum(view: GraphView, m: str, axis: int) -> str:
    """x, where m is x − max x."""
    if not isinstance(view.layer(m), Subtract):
        return m
    x, largest = view.nodes[m].inputs
    largest = reduction_of(view, largest) or largest
    layer = view.layer(largest)
    if layer is None or not view.same(view.source(largest), x):
        return m
    over = _single_axis(view, layer, x) if isinstance(layer, ReduceMax) else None
    pooled = isinstance(layer, GlobalMaxPool) and view.rank(x) == 3 and axis == 2
    return x if over == axis or pooled else m
