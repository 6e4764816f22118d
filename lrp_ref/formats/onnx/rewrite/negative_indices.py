"""Look-ups in a table whose numbers, where negative, count from its end: how exporters spell indexing by NumPy and TensorFlow.

A word's number is a row of the table, 0 or more, and for those the spelling changes nothing. So it is left out, and what looks
up reads the network's input itself. Nothing is guessed: the spelling is computed for every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ....arrays import Array
from ....errors import FormatError
from ..read.onnx_graph import InputDeclaration, OnnxGraph, OpNode
from ..read.tensors import CASTS

#: Operators of which one number in makes one number out, at the same place.
_EACH = frozenset(
    {
        *("Add", "Cast", "Identity", "Max", "Min", "Mod", "Mul", "Sub", "Where"),
        *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Not", "Or", "Xor"),
    }
)
#: Nodes that a spelling takes at most.
_MOST = 20

#: From nodes, the values that they start from, and a name, to what that name is.
Compute = Callable[[Sequence[OpNode], dict[str, Array], str], Array]


def remove_negative_indices(graph: OnnxGraph, nodes: Sequence[OpNode], compute: Compute) -> tuple[OpNode, ...]:
    """The nodes of a file, in which every Gather from a table reads an input instead of arithmetic that changes no valid index.

    Parameters
    ----------
    nodes : in computing order
    compute : computes a value from constants
    """
    makers = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    inputs = {value.name: value for value in graph.inputs if value.name not in graph.initializers}
    new_nodes = list(nodes)
    for index, node in enumerate(nodes):
        if node.op != "Gather" or len(node.inputs) != 2 or node.inputs[0] not in graph.initializers:
            continue
        below = _below(node.inputs[1], nodes, makers)
        source = _source(graph, node, below, inputs, compute) if below else ""
        if source:
            new_nodes[index] = replace(node, inputs=(node.inputs[0], source))
    return tuple(new_nodes)


def _source(
    graph: OnnxGraph, node: OpNode, below: Sequence[OpNode], inputs: Mapping[str, InputDeclaration], compute: Compute
) -> str:
    """The input that the Gather's numbers are, for every row of the table; empty where there is none."""
    outputs = {name for one in below for name in one.outputs}
    read = {name for one in below for name in one.inputs if name} - outputs
    sources = [name for name in read if name in inputs]
    rows = graph.constant(node.inputs[0]).shape[:1]
    if len(sources) != 1 or inputs[sources[0]].kind not in CASTS or not rows:
        return ""
    constants = {name: graph.constant(name) for name in read if name in graph.initializers}
    if any(value.size != 1 for value in constants.values()):
        return ""
    every: Array = np.arange(rows[0]).astype(CASTS[inputs[sources[0]].kind])
    try:
        same = np.array_equal(compute(below, constants | {sources[0]: every}, node.inputs[1]), every)
    except FormatError:
        return ""
    return sources[0] if same else ""


def _below(name: str, nodes: Sequence[OpNode], makers: Mapping[str, int]) -> list[OpNode]:
    """The nodes that a value comes from, in computing order; empty where one of them is none of `_EACH`, or they are many."""
    indices: set[int] = set()
    waiting = [name]
    while waiting:
        index = makers.get(waiting.pop())
        if index is None or index in indices:
            continue
        if (nodes[index].op not in _EACH and nodes[index].op != "Constant") or len(indices) == _MOST:
            return []
        indices.add(index)
        waiting += [name for name in nodes[index].inputs if name]
    return [nodes[index] for index in sorted(indices)]
