"""Dynamic quantisation: signals that are rounded to steps of their own range, and products of integers, as float layers.

DynamicQuantizeLinear finds a scale and a zero point for whatever the network is given; a product of integers is multiplied by the
scales of both factors again. In floating point numbers that is the layer itself, with the weights that the integers stand for
(`CONV-QUANTISED`). The spelling is rewritten as a whole where nothing else reads its scale, zero point or integers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ....arrays import Array
from ....errors import FormatError
from ..read.onnx_graph import OnnxGraph, OpNode

MICROSOFT = "com.microsoft"
#: Products of integers, and what they are of floating point numbers.
_PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}


#: Of a node's first output, the nodes that take its place.
Replacements: TypeAlias = dict[str, tuple[OpNode, ...]]


def remove_dynamic_quantisation(graph: OnnxGraph) -> OnnxGraph:
    """A graph whose dynamically quantised layers are float layers; others stay, and are refused by name.

    Parameters
    ----------
    graph : as it is in the file
    """
    reader = _Reader(graph)
    for node in graph.nodes:
        reader.read(node)
    if not reader.replacements:
        return graph
    nodes = tuple(replacement for node in graph.nodes for replacement in reader.replacements.get(_key(node), (node,)))
    initializers = {**graph.initializers, **dict.fromkeys(reader.weights)}
    arrays = {**graph._arrays, **reader.weights}
    return replace(graph, nodes=nodes, initializers=initializers, _arrays=arrays, dequantised=frozenset(reader.replacements))


def _key(node: OpNode) -> str:
    """The first output, by which a node is known: names may be there twice."""
    return next(filter(None, node.outputs), "")


class _Reader:
    """Finds quantised layers, and collects nodes and weights that take their place."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.makers = {name: node for node in graph.nodes for name in node.outputs if name}
        self.readers: dict[str, list[OpNode]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.reads):
                self.readers.setdefault(name, []).append(node)
        self.weights: dict[str, Array] = {}
        self.replacements: Replacements = {}

    def read(self, node: OpNode) -> None:
        """Take a quantised layer, with all that belongs to it."""
        if node.op == "DynamicQuantizeLinear":
            self.replacements |= self._signal(node) or {}
        elif node.op == f"{MICROSOFT}.DynamicQuantizeLSTM":
            self.replacements |= self._lstm(node) or {}
        elif node.op == f"{MICROSOFT}.DynamicQuantizeMatMul":
            x, q, scale, zero, bias = _padded(node.inputs, 5)
            self.replacements |= self._product(node, x, self._weight(node, q, zero, scale), bias) or {}

    def _signal(self, node: OpNode) -> Replacements | None:
        """A quantised signal, and the layers that read it; None where something else reads it."""
        q, scale, zero = _padded(node.outputs, 3)
        scales: set[str] = set()
        readers = self.readers.get(q, [])
        replacements: Replacements = {q: (replace(node, op="Identity", outputs=(q,), attributes={}),)}
        for reader in readers:
            products = self._layer(reader, (q, scale, zero), scales)
            if products is None:
                return None
            replacements |= products
        known = {_key(reader) for reader in readers} | scales
        others = {_key(reader) for name in (scale, zero) if name for reader in self.readers.get(name, [])} - known
        return replacements if readers and not others and not {q, scale, zero}.intersection(self.graph.outputs) else None

    def _layer(self, node: OpNode, signal: tuple[str, str, str], scales: set[str]) -> Replacements | None:
        """The replacement of a node that reads a quantised signal; `scales` takes products of scales that nobody needs."""
        q, scale, zero = signal
        names = _padded(node.inputs, 7)
        if node.op == "DequantizeLinear":
            return {_key(node): (_as(node, "Identity", q),)} if names[:3] == signal else None
        if node.op == f"{MICROSOFT}.MatMulIntegerToFloat":
            fits = (names[0], names[2], names[4] or zero) == (q, scale, zero)
            return self._product(node, q, self._weight(node, names[1], names[5], names[3]), names[6]) if fits else None
        if node.op not in _PRODUCTS or (names[0], names[2] or zero) != (q, zero):
            return None
        weight = self._weight(node, names[1], names[3], "")
        if weight is None:
            return None
        behind = self._sums(node.outputs[0], scale, scales)
        return None if behind is None else {_key(node): (_as(node, _PRODUCTS[node.op], q, weight),)} | behind

    def _sums(self, name: str, scale: str, scales: set[str], biased: bool = False) -> Replacements | None:
        """The replacement of a Cast of integer sums and its product with the scales, behind a bias or none."""
        replacements: Replacements = {}
        for node in self.readers.get(name, []):
            replacement: Replacements | None = None
            if node.op == "Add" and not biased:
                bias = self._bias(node, node.inputs[1 - node.inputs.index(name)], scale, scales)
                behind = self._sums(node.outputs[0], scale, scales, biased=True) if bias else None
                replacement = None if bias is None or behind is None else {_key(node): (_as(node, "Add", name, bias),)} | behind
            elif node.op == "Cast" and node.attributes.get("to") == 1:
                cast = node.outputs[0]
                products = [self._scaled(product, cast, scale, scales) for product in self.readers.get(cast, [])]
                scaled_products = [product for product in products if product is not None]
                if scaled_products and len(scaled_products) == len(products) and cast not in self.graph.outputs:
                    replacement = {_key(one): (one,) for one in (_as(node, "Identity", name), *scaled_products)}
            if replacement is None:
                return None
            replacements |= replacement
        return replacements if replacements and name not in self.graph.outputs else None

    def _bias(self, node: OpNode, name: str, scale: str, scales: set[str]) -> str | None:
        """A new initializer: b/w, where a value is b/(s·w) as integers, in the shape that it is given."""
        shape: Array | None = None
        for op in ("Reshape", "Cast", "Floor"):  # Floor or Round, or none of them
            maker = self.makers.get(name)
            if maker is None:
                return None
            if op == "Reshape" and maker.op == op and maker.inputs[1] in self.graph.initializers:
                shape, name = self.graph.constant(maker.inputs[1]), maker.inputs[0]
            elif (op == "Cast" and maker.op == op) or (op == "Floor" and maker.op in ("Floor", "Round")):
                name = maker.inputs[0]
        division = self.makers.get(name)
        if division is None or division.op != "Div" or division.inputs[0] not in self.graph.initializers:
            return None
        weight_scale = self._weight_scale(division.inputs[1], scale, scales)
        if weight_scale is None:
            return None
        bias = self.graph.constant(division.inputs[0]).astype(np.float64) / self.graph.constant(weight_scale).astype(np.float64)
        try:
            bias = bias if shape is None else bias.reshape(shape.tolist())
        except ValueError:
            return None
        return self._stored(division.inputs[0], node, bias)

    def _weight_scale(self, name: str, scale: str, scales: set[str]) -> str | None:
        """The scale of the weights, where a value is its product with that of the signal."""
        both = self.makers.get(name)
        if both is None or both.op != "Mul" or len(both.inputs) != 2 or scale not in both.inputs:
            return None
        weight_scale = both.inputs[1 - both.inputs.index(scale)]
        scales.add(_key(both))
        return weight_scale if weight_scale in self.graph.initializers else None

    def _scaled(self, node: OpNode, cast: str, scale: str, scales: set[str]) -> OpNode | None:
        """The product of a cast with the scales of both factors: with that of the weights alone."""
        if node.op != "Mul" or len(node.inputs) != 2:
            return None
        other = node.inputs[1 - node.inputs.index(cast)]
        if other == scale:  # weights in steps of 1
            scales.add(_key(node))
            return _as(node, "Identity", cast)
        weight_scale = self._weight_scale(other, scale, scales)
        return None if weight_scale is None else _as(node, "Mul", cast, weight_scale)

    def _weight(self, node: OpNode, name: str, zero: str, scale: str) -> str | None:
        """A new initializer: (q − zero)·scale; None where one of them is no constant."""
        if not name or any(source and source not in self.graph.initializers for source in (name, zero, scale)):
            return None
        weight = self.graph.constant(name).astype(np.float64)
        if zero:
            weight = weight - self._fitting(node, zero, weight)
        if scale:
            weight = weight * self._fitting(node, scale, weight)
        return self._stored(name, node, weight)

    def _stored(self, name: str, node: OpNode, weight: Array) -> str:
        weight_name = f"{name}/{_key(node)}"
        self.weights[weight_name] = weight.astype(np.float32)
        return weight_name

    def _fitting(self, node: OpNode, name: str, weight: Array) -> Array:
        """A scale or zero point as it meets the weights: one for all, for each column, or for each channel of a convolution."""
        number = self.graph.constant(name).astype(np.float64)
        if node.op == "ConvInteger" and number.ndim == 1:
            number = number.reshape(-1, *(1,) * (weight.ndim - 1))
        if number.size != 1 and np.broadcast_shapes(number.shape, weight.shape) != weight.shape:
            raise FormatError(f"{node.title}: {name!r} of shape {number.shape} does not fit weights of shape {weight.shape}")
        return number.reshape(()) if number.size == 1 else number

    def _product(self, node: OpNode, x: str, weight: str | None, bias: str) -> Replacements | None:
        """A product of matrices with a bias, as two nodes."""
        if weight is None or not x:
            return None
        if not bias:
            return {_key(node): (_as(node, "MatMul", x, weight),)}
        inner = f"{_key(node)}/product"
        product = replace(_as(node, "MatMul", x, weight), name=f"{node.name}/product", outputs=(inner,))
        return {_key(node): (product, _as(node, "Add", inner, bias))}

    def _lstm(self, node: OpNode) -> Replacements | None:
        """Its weights are (directions, lower, upper), ONNX's own the other way round; a scale for all, or for each column."""
        names = _padded(node.inputs, 12)
        weight_names = []
        for q, scale, zero in ((names[1], *names[8:10]), (names[2], *names[10:12])):
            if any(source not in self.graph.initializers for source in (q, scale, zero)):
                return None
            weight, steps, shift = (self.graph.constant(source).astype(np.float64) for source in (q, scale, zero))
            steps, shift = (source.reshape(weight.shape[0], 1, -1) for source in (steps, shift))
            weight_names.append(self._stored(q, node, ((weight - shift) * steps).transpose(0, 2, 1)))
        return {_key(node): (_as(node, "LSTM", names[0], *weight_names, *names[3:8]),)}


def _padded(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    return (*names, *[""] * count)[:count]


def _as(node: OpNode, op: str, *inputs: str) -> OpNode:
    """The node as another operator; convolutions and recurrent cells keep what they were told."""
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    return replace(node, op=op, inputs=inputs, attributes=node.attributes if op in ("Conv", "LSTM") else {})
