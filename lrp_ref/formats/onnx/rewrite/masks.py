"""Masks beside signals, and words as rows of ones and zeros: what integer and boolean inputs do in a network.

A mask says which steps there are; it carries no information of its own. Where it multiplies a signal, divides it (a mean over
the steps that there are), or chooses between it and 0, it is the gate, and the signal takes all relevance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ....arrays import Array, Shape
from ....layers import (
    Add,
    Clip,
    Compare,
    Dense,
    Divide,
    Embedding,
    Expand,
    Maximum,
    Mean,
    Minimum,
    Multiply,
    Rearrangement,
    Reciprocal,
    ReLU,
    Reshape,
    Scale,
    Subtract,
    Sum,
    Where,
)
from ....network.model import Model, Node
from .rewriting import number

#: Layers behind which a mask, or how many steps it has, is still nothing else.
_KEEPS = (Add, Clip, Compare, Expand, Maximum, Mean, Minimum, Rearrangement, Reciprocal, ReLU, Scale, Subtract, Sum)


def gate_masks(model: Model, truths: frozenset[str]) -> Model:
    """The model with masks as gates, and products of ones and zeros with a table as look-ups.

    Parameters
    ----------
    truths : the inputs that hold truth values
    """
    if not model.integer_inputs:
        return model
    shapes = model.shapes({name: (1, *shape) for name, shape in model.input_shape.items()})
    reader = _Reader(
        {node.name: node for node in model.nodes}, shapes, frozenset(model.integer_inputs), truths, _find_masks(model)
    )
    nodes = [replacement for node in model.nodes for replacement in reader.read(node)]
    names = set(model.outputs)
    for node in reversed(nodes):  # what is read no more is left out
        if node.name in names:
            names.update(node.inputs)
    return replace(model, nodes=tuple(node for node in nodes if node.name in names))


def _find_masks(model: Model) -> frozenset[str]:
    """The nodes that depend on integer and boolean inputs alone, and are no signals: no rows of a table, no weighted sums."""
    masks = set(model.integer_inputs)
    for node in model.nodes:
        if isinstance(node.layer, _KEEPS) and masks.issuperset(node.inputs):
            masks.add(node.name)
    return frozenset(masks)


@dataclass(frozen=True, eq=False)
class _Reader:
    nodes: Mapping[str, Node]
    shapes: Mapping[str, Shape]
    whole: frozenset[str]
    truths: frozenset[str]
    masks: frozenset[str]

    def read(self, node: Node) -> list[Node]:
        """The nodes that a node is in truth, the last of which has its name."""
        layer, inputs = node.layer, node.inputs
        if isinstance(layer, Multiply) and layer.signal is None:
            (signals, gates) = self._apart(inputs)
            if len(signals) == len(gates) == 1 and self._gates(gates[0], signals[0]):
                return [Node(node.name, Multiply(signal=inputs.index(signals[0])), inputs)]
        if isinstance(layer, Divide) and inputs[1] in self.masks and inputs[0] not in self.masks:
            gate = f"{node.name}/reciprocal"
            return [Node(gate, Reciprocal(), inputs[1:]), Node(node.name, Multiply(signal=0), (inputs[0], gate))]
        if isinstance(layer, Where) and layer.arity == 2 and inputs[0] in self.masks and inputs[1] not in self.masks:
            constant = layer.otherwise if layer.then is None else layer.then
            if constant is not None and not constant.any():
                gate, relation = f"{node.name}/mask", "!=" if layer.then is None else "=="
                comparison = Node(gate, Compare(relation, np.zeros((), constant.dtype)), inputs[:1])
                return [comparison, Node(node.name, Multiply(signal=0), (inputs[1], gate))]
        if isinstance(layer, Dense) and layer.weight.ndim == 2:
            return self._looked_up(node, layer) or [node]
        return [node]

    def _apart(self, inputs: tuple[str, ...]) -> tuple[list[str], list[str]]:
        return [n for n in inputs if n not in self.masks], [n for n in inputs if n in self.masks]

    def _gates(self, mask: str, signal: str) -> bool:
        """Whether a factor is a mask beyond doubt: it is 0 or 1, or one number for many of the signal's."""
        if self._is_truth(mask):
            return True
        ours, theirs = self.shapes[mask], self.shapes[signal]
        return len(ours) == len(theirs) and any(a == 1 < b for a, b in zip(ours[1:], theirs[1:], strict=True))

    def _is_truth(self, name: str) -> bool:
        while name in self.nodes and isinstance(self.nodes[name].layer, (Rearrangement, Expand)):
            name = self.nodes[name].inputs[0]
        return name in self.truths or (name in self.nodes and isinstance(self.nodes[name].layer, Compare))

    def _looked_up(self, node: Node, layer: Dense) -> list[Node]:
        """Rows of a table, where the input is 1 at a word's number and 0 elsewhere; nothing where it is something else."""
        name, factor = node.inputs[0], 1.0
        scale = self.nodes[name].layer if name in self.nodes else None
        if isinstance(scale, Scale) and scale.bias is None and number(scale.weight) is not None:
            factor, name = number(scale.weight) or 0.0, self.nodes[name].inputs[0]
        words_and_rows = self._words(name, layer.weight.shape[0])
        if words_and_rows is None:
            return []
        words, rows = words_and_rows
        table: Array = np.empty_like(layer.weight)
        table[rows] = layer.weight * layer.weight.dtype.type(factor)
        new_nodes: list[Node] = []
        if self.shapes[words][1:] != self.shapes[node.name][1:-1]:  # a number in the place of its vector
            new_nodes.append(Node(f"{node.name}/words", Reshape(self.shapes[node.name][1:-1]), (words,)))
            words = new_nodes[-1].name
        if layer.bias is None:
            return [*new_nodes, Node(node.name, Embedding(table), (words,))]
        rows_of = Node(f"{node.name}/rows", Embedding(table), (words,))
        return [*new_nodes, rows_of, Node(node.name, Scale(np.ones((), table.dtype), layer.bias), (rows_of.name,))]

    def _words(self, name: str, rows: int) -> tuple[str, Array] | None:
        """The words' numbers and their order, where `name` compares each with every row's number."""
        node = self.nodes.get(name)
        if node is None or not isinstance(node.layer, Compare) or node.layer.relation != "==":
            return None
        other = node.layer.other
        numbers = other.reshape(-1)
        if other.shape[-1:] != (rows,) or numbers.size != rows or not np.array_equal(np.sort(numbers), np.arange(rows)):
            return None
        words = node.inputs[0]
        while words in self.nodes and isinstance(self.nodes[words].layer, (Expand, Reshape)):
            words = self.nodes[words].inputs[0]
        ours, theirs = self.shapes[words][1:], self.shapes[name][1:-1]
        if words not in self.whole or tuple(e for e in ours if e != 1) != tuple(e for e in theirs if e != 1):
            return None
        return words, numbers.astype(np.int64)
