"""What exporters take apart, put together again: activations, layer norms, dense layers, gates.

A pattern looks at one node and at what it reads, and gives the layer that the node is in truth, with the inputs of that
layer. The node keeps its name; nodes that nobody reads any more disappear.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from ...arrays import Array
from ...layers import (
    GELU,
    Clip,
    Dense,
    Divide,
    Erf,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Identity,
    LayerNorm,
    Mean,
    Mish,
    Multiply,
    Pow,
    Rearrangement,
    Reciprocal,
    Scale,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Sqrt,
    Subtract,
    Tanh,
)
from ...layers import Add as AddLayer
from ...layers.base import Layer
from ...model import Model, Node

Match: TypeAlias = tuple[Layer, tuple[str, ...]] | None


#: How far a pattern looks below a node: exporters write short chains, and a file may hold long ones.
_DEPTH = 6


@dataclass
class View:
    """A model's nodes while patterns are looked for, with how often each is read and how many axes it has."""

    nodes: dict[str, Node]
    outputs: frozenset[str]
    reads: Counter[str]
    ranks: dict[str, int]

    def replace(self, name: str, layer: Layer, inputs: tuple[str, ...]) -> None:
        """Another layer under the same name; what nobody reads any more goes."""
        old = list(self.nodes[name].inputs)
        self.nodes[name] = Node(name, layer, inputs)
        self.reads.update(inputs)
        while old:
            source = old.pop()
            self.reads[source] -= 1
            if not self.reads[source] and source in self.nodes and source not in self.outputs:
                old += self.nodes.pop(source).inputs

    def layer(self, name: str) -> Layer | None:
        """The layer of a node, None for an input of the model."""
        return self.nodes[name].layer if name in self.nodes else None

    def source(self, name: str) -> str:
        """The first input of a node."""
        return self.nodes[name].inputs[0]

    def private(self, name: str) -> bool:
        """Whether a node is read once and is no output."""
        return self.reads[name] == 1 and name not in self.outputs

    def affine(self, name: str) -> Iterator[tuple[float, float, str]]:
        """Every (w, b, base) with `name` = w·base + b for numbers w and b: `name` itself, and what lies below its scalar Scales."""  # noqa: E501
        weight, bias = 1.0, 0.0
        yield weight, bias, name
        for _ in range(_DEPTH):
            layer = self.layer(name)
            if not isinstance(layer, Scale):
                return
            shift = 0.0 if layer.bias is None else _number(layer.bias)
            factor = _number(layer.weight)
            if factor is None or shift is None:
                return
            weight, bias, name = weight * factor, weight * shift + bias, self.source(name)
            yield weight, bias, name

    def multiples(self, name: str) -> Iterator[tuple[float, str]]:
        """Every (w, base) with `name` = w·base."""
        return ((weight, base) for weight, bias, base in self.affine(name) if bias == 0)

    def is_multiple(self, name: str, factor: float, base: str) -> bool:
        """Whether `name` = factor·base."""
        return any(found == base and _close(weight, factor) for weight, found in self.multiples(name))


def _number(array: Array) -> float | None:
    return float(array.reshape(-1)[0]) if array.size == 1 else None


def _close(a: float, b: float) -> bool:
    # Constants in a file are rounded to float32, or typed with a few digits: √(2/π) as 0.7979.
    return math.isclose(a, b, rel_tol=1e-4)


def recognised(model: Model) -> Model:
    """`model` with known groups of nodes as the layers that they are."""
    view = _viewed(model)
    changed = True
    while changed:
        changed = False
        for name in list(view.nodes):
            node = view.nodes.get(name)
            match = None if node is None else next(filter(None, (pattern(view, node) for pattern in PATTERNS)), None)
            if match is not None:
                view.replace(name, *match)
                changed = True
    return Model(tuple(view.nodes.values()), model.inputs, model.outputs, dict(model.domain), dict(model.input_shape))


def _viewed(model: Model) -> View:
    ranks = {name: len(shape) for name, shape in model.shapes({n: (1, *s) for n, s in model.input_shape.items()}).items()}
    nodes = _without_identities(model)
    return View(nodes, frozenset(model.outputs), Counter(name for node in nodes.values() for name in node.inputs), ranks)


def _without_identities(model: Model) -> dict[str, Node]:
    """The nodes without those that a Cast or an empty Slice left behind: they say nothing about the network."""
    new: dict[str, str] = {}
    kept = {}
    for node in model.nodes:
        inputs = tuple(new.get(name, name) for name in node.inputs)
        if type(node.layer) is Identity and node.name not in model.outputs:
            new[node.name] = inputs[0]
        else:
            kept[node.name] = node if inputs == node.inputs else replace(node, inputs=inputs)
    return kept


# --- a signal times a function of itself -----------------------------------------------------------------------------------


def _self_gated(view: View, node: Node) -> Match:
    """GELU, SiLU, HardSwish, Mish: c·x·g(x), the constant c before, between or after the factors."""
    products = ((w, name) for w, name in view.multiples(node.name) if isinstance(view.layer(name), Multiply))
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
    if _close(weight, 0.5) and _close(bias, 0.5):
        if isinstance(layer, Erf) and view.is_multiple(inner, math.sqrt(0.5), x):
            return GELU()
        return GELU("tanh") if isinstance(layer, Tanh) and _is_gelu_polynomial(view, inner, x) else None
    if bias != 0:
        return None
    if isinstance(layer, Sigmoid) and _close(weight, 1):
        beta = next((factor for factor, base in view.multiples(inner) if base == x), None)
        return None if beta is None else SiLU(beta if beta == 1 else float(f"{beta:.6g}"))
    if isinstance(layer, HardSigmoid) and _close(weight, 1) and inner == x:
        return HardSwish() if _close(layer.alpha, 1 / 6) and _close(layer.beta, 0.5) else None
    if isinstance(layer, Clip) and (layer.low, layer.high) == (0, 6) and _close(weight, 1 / 6):
        fits = any(base == x and _close(w, 1) and _close(b, 3) for w, b, base in view.affine(inner))
        return HardSwish() if fits else None
    plus = view.layer(inner)
    if (
        isinstance(layer, Tanh)
        and isinstance(plus, Softplus)
        and plus.beta == 1
        and view.source(inner) == x
        and _close(weight, 1)
    ):
        return Mish()
    return None


def _is_gelu_polynomial(view: View, name: str, x: str) -> bool:
    """√(2/π)·(x + 0.044715·x³)."""
    for factor, total in view.multiples(name):
        if isinstance(view.layer(total), AddLayer) and len(view.nodes[total].inputs) == 2:
            first, second = view.nodes[total].inputs
            cubed = second if first == x else first if second == x else None
            if cubed is not None and _close(factor, math.sqrt(2 / math.pi)):
                return any(_close(w, 0.044715) and _is_cube(view, base, x) for w, base in view.multiples(cubed))
    return False


def _is_cube(view: View, name: str, x: str) -> bool:
    layer = view.layer(name)
    if isinstance(layer, Pow):
        return _number(layer.exponent) == 3 and view.source(name) == x
    if not isinstance(layer, Multiply):
        return False
    first, second = view.nodes[name].inputs
    return (first == x and _is_square(view, second, x)) or (second == x and _is_square(view, first, x))


def _is_square(view: View, name: str, x: str) -> bool:
    layer = view.layer(name)
    if isinstance(layer, Pow):
        return _number(layer.exponent) == 2 and view.source(name) == x
    return isinstance(layer, Multiply) and view.nodes[name].inputs == (x, x)


def _hard_sigmoid(view: View, node: Node) -> Match:
    """Clip(w·x + b, 0, h) / h."""
    if not isinstance(node.layer, Scale):
        return None
    for factor, name in view.multiples(node.name):
        clip = view.layer(name)
        if isinstance(clip, Clip) and clip.low == 0 and clip.high is not None and _close(clip.high * factor, 1):
            *_, (weight, bias, x) = view.affine(view.source(name))
            if bias != 0:
                return HardSigmoid(_short(weight * factor), _short(bias * factor)), (x,)
    return None


def _short(value: float) -> float:
    """1/6 where float32 has 0.16666667."""
    return next((k / 6 for k in range(1, 7) if _close(value, k / 6)), value)


# --- affine maps and norms ---------------------------------------------------------------------------------------------------


def _dense(view: View, node: Node) -> Match:
    """MatMul + Add: a dense layer with its bias."""
    layer = node.layer
    if not isinstance(layer, Scale) or layer.bias is None or not _is_one(layer.weight):
        return None
    (source,) = node.inputs
    below = view.layer(source)
    if not isinstance(below, Dense) or below.bias is not None or not view.private(source):
        return None
    upper = below.weight.shape[1]
    if layer.bias.size != upper or layer.bias.shape[-1:] != (upper,):
        return None
    return Dense(below.weight, layer.bias.reshape(-1)), view.nodes[source].inputs


def _is_one(weight: Array) -> bool:
    return bool((weight == 1).all())


def _mul_add(view: View, node: Node) -> Match:
    """Mul + Add by constants: one affine map, such as a batch norm that was taken apart."""
    layer = node.layer
    if not isinstance(layer, Scale) or layer.bias is None or layer.weight.size != 1 or not _is_one(layer.weight):
        return None
    (source,) = node.inputs
    below = view.layer(source)
    if not isinstance(below, Scale) or below.bias is not None or not view.private(source):
        return None
    return Scale(below.weight, layer.bias), view.nodes[source].inputs


def _layer_norm(view: View, node: Node) -> Match:
    """(x − mean x) / √(mean (x − mean x)² + ε) over the last axes."""
    centred, root = _quotient(view, node)
    if not (isinstance(view.layer(centred), Subtract) and isinstance(view.layer(root), Sqrt)):
        return None
    x, mean = view.nodes[centred].inputs
    for weight, epsilon, variance in view.affine(view.source(root)):
        axes = _last_axes(view, mean)
        same = axes and _last_axes(view, variance) == axes and view.source(mean) == x
        if same and weight == 1 and epsilon >= 0 and _is_square(view, view.source(variance), centred):
            return LayerNorm(axes, None, None, float(f"{epsilon:.6g}")), (x,)
    return None


def _quotient(view: View, node: Node) -> tuple[str, str]:
    """a and b of a / b, or of a · (1/b); empty names where it is neither."""
    if isinstance(node.layer, Divide):
        return node.inputs[0], node.inputs[1]
    if isinstance(node.layer, Multiply):
        for a, b in (node.inputs, node.inputs[::-1]):
            if isinstance(view.layer(b), Reciprocal):
                return a, view.source(b)
    return "", ""


def _last_axes(view: View, name: str) -> int:
    """How many of the last axes a Mean goes over; 0 where it is none, or drops axes."""
    layer = view.layer(name)
    rank = view.ranks[view.source(name)] if name in view.nodes else 0
    if isinstance(layer, GlobalAvgPool):
        return rank - 2
    if not isinstance(layer, Mean) or not layer.keepdims:
        return 0
    axes = sorted(axis + rank if axis < 0 else axis for axis in layer.axes)
    return len(axes) if axes == list(range(rank - len(axes), rank)) else 0


def _norm_affine(view: View, node: Node) -> Match:
    """The γ and β behind a layer norm that has none yet."""
    layer = node.layer
    (source,) = node.inputs if len(node.inputs) == 1 else ("",)
    norm = view.layer(source)
    if not isinstance(layer, Scale) or not isinstance(norm, LayerNorm) or not view.private(source) or norm.shift is not None:
        return None
    if max(layer.weight.ndim, 0 if layer.bias is None else layer.bias.ndim) > norm.axes:
        return None
    unscaled = _is_one(layer.weight) and layer.weight.size == 1
    if norm.scale is not None and not unscaled:
        return None
    scale = norm.scale if unscaled else layer.weight
    return replace(norm, scale=scale, shift=layer.bias), view.nodes[source].inputs


# --- gates --------------------------------------------------------------------------------------------------------------------


def _gate(view: View, node: Node) -> Match:
    """A product of a signal and a squashed gate: which is which is a fact about the network."""
    if not isinstance(node.layer, Multiply) or node.layer.signal is not None:
        return None
    squashed = [_is_squashed(view, name) for name in node.inputs]
    return (Multiply(signal=squashed.index(False)), node.inputs) if sum(squashed) == 1 else None


def _is_squashed(view: View, name: str) -> bool:
    """Whether a value comes from a function onto [0, 1], through nothing but rearrangements."""
    layer = view.layer(name)
    for _ in range(_DEPTH):
        if not isinstance(layer, Rearrangement) or layer.arity != 1:
            break
        name = view.source(name)
        layer = view.layer(name)
    return isinstance(layer, (Sigmoid, HardSigmoid, Softmax)) or (isinstance(layer, Clip) and (layer.low, layer.high) == (0, 1))


PATTERNS: tuple[Callable[[View, Node], Match], ...] = (
    _self_gated,
    _layer_norm,
    _norm_affine,
    _hard_sigmoid,
    _dense,
    _mul_add,
    _gate,
)
