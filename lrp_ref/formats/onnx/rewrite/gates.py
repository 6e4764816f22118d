"""Gates in products: the output of a function onto [0, 1] or of a comparison, its complement, or a multiple of it.

A gate times a constant looks like a scaled sigmoid. It is what is left of a product whose other factor is known when the file is
read, such as the state before the first step, and only the rest of the graph can show that (CONV-GATE-CONSTANT).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from ....arrays import Array
from ....layers import (
    Add,
    Clip,
    Compare,
    Conv,
    Dense,
    HardSigmoid,
    Maximum,
    Minimum,
    Multiply,
    Rearrangement,
    Scale,
    Sigmoid,
    Softmax,
    StackedDense,
)
from ....layers.base import Layer
from ....network.model import Node
from .rewriting import DEPTH, GraphView, Match, number

#: A weight, by its layer and bytes, and the layers that move its output on the way to a gate.
Weight: TypeAlias = tuple[str, bytes, tuple[str, ...]]


def gate(view: GraphView, node: Node) -> Match:
    """A product of a signal and a gate, with the signal marked, where the graph shows which is which."""
    if not (isinstance(node.layer, Multiply) and view.is_product(node.name)) or node.layer.signal is not None:
        return None
    signal = _signal(view, node)
    return None if signal is None else (Multiply(signal=signal), node.inputs)


def _signal(view: GraphView, node: Node) -> int | None:
    """The number of the factor that is the signal, where the other alone is a gate, its complement or a multiple of it."""
    for squashed in ([gate_of(view, name) for name in node.inputs], [scaled_gate_of(view, name) for name in node.inputs]):
        if any(squashed):
            return squashed.index("") if "" in squashed else None
    return None


def gate_of(view: GraphView, name: str) -> str:
    """The function onto [0, 1] that a value comes from, through rearrangements alone; an empty name where there is none."""
    for _ in range(DEPTH):
        layer = view.layer(name)
        if _maps_to_unit(layer) or _is_truth(view, name):
            return name
        if not isinstance(layer, Rearrangement) or layer.arity != 1:
            return ""
        name = view.source(name)
    return ""


def scaled_gate_of(view: GraphView, name: str) -> str:
    """The gate g of w·g + b with numbers w and b, where that is never negative (1 − g, 2g, 1 + g); see `gate_of`."""
    weight, bias = 1.0, 0.0
    for _ in range(DEPTH):
        layer = view.layer(name)
        if _maps_to_unit(layer) or _is_truth(view, name):
            return name if min(bias, bias + weight) >= 0 and weight else ""
        if isinstance(layer, Scale):
            factor, shift = number(layer.weight), 0.0 if layer.bias is None else number(layer.bias)
            if factor is None or shift is None:
                return ""
            weight, bias = weight * factor, weight * shift + bias
        elif not isinstance(layer, Rearrangement) or layer.arity != 1:
            return ""
        name = view.source(name)
    return ""


def _is_truth(view: GraphView, name: str, depth: int = DEPTH) -> bool:
    """Whether a value is a comparison, or several that And and Or bring together."""
    layer = view.layer(name)
    if isinstance(layer, (Maximum, Minimum)) or view.is_product(name):
        return depth > 0 and all(_is_truth(view, source, depth - 1) for source in view.nodes[name].inputs)
    return isinstance(layer, Compare)


def _maps_to_unit(layer: Layer | None) -> bool:
    return isinstance(layer, (Sigmoid, HardSigmoid, Softmax)) or (isinstance(layer, Clip) and (layer.low, layer.high) == (0, 1))


# --- gates times constants ---------------------------------------------------------------------------------------------------


def restore_gated_constants(view: GraphView) -> bool:
    """Turn Scales of gates into products of a gate and a constant, where the graph shows that they are; whether one was turned.

    It is shown where the same gate, or its complement, multiplies a signal; where a gate with the same weights does, at another
    step; or where the constant is what the signal of another gate is without its input, as U·0 + b is b.
    """
    candidates = [node for node in view.nodes.values() if _is_candidate(view, node)]
    if not candidates:
        return False
    products = [node for node in view.nodes.values() if view.is_product(node.name)]
    signals = {node.name: signal for node in products if (signal := _signal(view, node)) is not None}
    factors = {view.nodes[name].inputs[1 - signal] for name, signal in signals.items()}
    gates = {scaled_gate_of(view, name) for name in factors}
    scaled = {other for name in factors for other in _nodes_between(view, name, scaled_gate_of(view, name))}
    weights = frozenset(weight for name in gates for weight in _weights(view, view.source(name)))
    resting = [_value_for_zeros(view, view.nodes[name].inputs[signal]) for name, signal in signals.items()]
    changed = False
    for node in candidates:
        assert isinstance(node.layer, Scale)
        if node.name in scaled:
            continue
        (source,) = node.inputs
        gate = scaled_gate_of(view, source)
        constant = node.layer.weight
        known = gate in gates or not weights.isdisjoint(_weights(view, view.source(gate)))
        if known or any(_is_same_constant(constant, rest) for rest in resting):
            view.replace(node.name, Multiply(signal=1, constant=constant), node.inputs)
            changed = True
    return changed


def _is_candidate(view: GraphView, node: Node) -> bool:
    """Whether a node is w·g for a gate g."""
    return isinstance(node.layer, Scale) and node.layer.bias is None and bool(scaled_gate_of(view, node.inputs[0]))


def _nodes_between(view: GraphView, name: str, gate: str) -> Iterator[str]:
    """The nodes between a product and its gate, where its factor is a multiple or the complement of that."""
    while name != gate:
        yield name
        name = view.source(name)


def _weights(view: GraphView, name: str, path: tuple[str, ...] = ()) -> Iterator[Weight]:
    """The weights that a sum of linear maps is computed by."""
    layer = view.layer(name)
    if isinstance(layer, (Dense, StackedDense, Conv)):
        yield type(layer).__name__, layer.weight.tobytes(), path
    elif isinstance(layer, Add):
        for source in view.nodes[name].inputs:
            yield from _weights(view, source, path)
    elif isinstance(layer, Scale):
        yield from _weights(view, view.source(name), path)
    elif isinstance(layer, Rearrangement) and layer.arity == 1:
        yield from _weights(view, view.source(name), (*path, repr(layer)))


def _value_for_zeros(view: GraphView, name: str) -> Array | None:
    """The output of a linear map for an input of zeros; None where a node is none."""
    layer = view.layer(name)
    if isinstance(layer, Dense):
        return None if layer.bias is None else layer.bias
    if not isinstance(layer, (Scale, Rearrangement)) or layer.arity != 1:
        return None
    below = _value_for_zeros(view, view.source(name))
    try:
        return None if below is None else np.asarray(layer.forward(below[None]))[0]
    except ValueError:  # of another shape than one sample's: nothing to compare with
        return None


def _is_same_constant(constant: Array, value_at_rest: Array | None) -> bool:
    """Whether two constants are the same numbers, and not the same number everywhere."""
    if value_at_rest is None or number(value_at_rest) is not None:
        return False
    return np.array_equal(constant.reshape(-1), value_at_rest.reshape(-1))
