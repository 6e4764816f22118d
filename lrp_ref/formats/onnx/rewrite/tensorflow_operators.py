"""Operators of TensorFlow that its converters leave in a file, as ONNX's own: exp(x) − 1 and 1 − erf(x).

tf2onnx writes an operator that it does not know under its own name, in ONNX's domain or in one for such operators. No runtime of
ONNX computes it, and these two are sums of what ONNX has.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..read.onnx_graph import OnnxGraph, OpNode

#: The domain that tf2onnx has for operators that it does not know.
DOMAIN = "ai.onnx.converters.tensorflow"
#: Each operator with ONNX's own function, and whether the result is that minus 1 (else 1 minus that).
OPERATORS = {"Expm1": ("Exp", True), "Erfc": ("Erf", False)}


def replace_tensorflow_operators(graph: OnnxGraph) -> OnnxGraph:
    """A graph in which Expm1 is Exp and Sub, and Erfc is Erf and Sub.

    Parameters
    ----------
    graph : as it is in the file
    """
    one, taken = (
        "one",
        {*graph.initializers, *(value.name for value in graph.inputs), *(n for v in graph.nodes for n in v.outputs)},
    )
    while one in taken:
        one += "_"
    nodes = [new for node in graph.nodes for new in _spelled(node, one)]
    if len(nodes) == len(graph.nodes):
        return graph
    arrays = {**graph._arrays, one: np.ones((), np.float32)}
    return replace(graph, nodes=tuple(nodes), initializers={**graph.initializers, one: None}, _arrays=arrays)


def _spelled(node: OpNode, one: str) -> tuple[OpNode, ...]:
    """A node in ONNX's own operators; itself where it is one of these."""
    function, minus_one = OPERATORS.get(node.op.removeprefix(f"{DOMAIN}."), ("", False))
    if not function or len(node.inputs) != 1 or len(node.outputs) != 1:
        return (node,)
    value = f"{node.outputs[0]}/{function}"
    inner = replace(node, name=f"{node.name}/{function}", op=function, outputs=(value,), attributes={})
    operands = (value, one) if minus_one else (one, value)
    return inner, replace(node, op="Sub", inputs=operands, attributes={})
