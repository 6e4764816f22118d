"""ONNX files from lines such as "z = MatMul x a", and what must hold of each: for the relatives of files."""

import ast

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import lrp_ref
from lrp_ref import rules
from lrp_ref.formats.onnx import load

KINDS = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("int64"): TensorProto.INT64, np.dtype("int32"): TensorProto.INT32}
KINDS |= {np.dtype("bool"): TensorProto.BOOL, np.dtype("float64"): TensorProto.DOUBLE}


def nodes_of(text, prefix="n"):
    found = []
    for number, line in enumerate(part.strip() for part in text.split(";")):
        outputs, _, right = line.partition(" = ")
        kind, *rest = right.split()
        domain, _, kind = kind.rpartition(".")
        names = ["" if word == "-" else word for word in rest if "=" not in word]
        attributes = {key: ast.literal_eval(value) for key, value in (word.split("=") for word in rest if "=" in word)}
        domain = {"ml": "ai.onnx.ml", "tf": "ai.onnx.converters.tensorflow"}.get(domain, "ai.onnx.ml") if domain else ""
        found.append(helper.make_node(kind, names, outputs.split(","), f"{prefix}{number}", domain=domain, **attributes))
    return found


def file(text, inputs, outputs=("y",), opset=17, **stored):
    """A file of such lines; `inputs` by name, (number type, shape) each."""
    nodes = text if isinstance(text, list) else nodes_of(text)
    given = []
    for name, (kind, shape) in inputs.items():
        value = helper.make_tensor_value_info(name, KINDS[np.dtype(kind)], ["N" if n == -1 else n for n in shape])
        for dim, n in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            if n == -1:
                dim.dim_value = -1
        given.append(value)
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()]
    out = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "g", given, out, kept)
    versions = [
        helper.make_opsetid("", opset),
        helper.make_opsetid("ai.onnx.ml", 3),
        helper.make_opsetid("ai.onnx.converters.tensorflow", 1),
    ]
    return helper.make_model(graph, opset_imports=versions, ir_version=9).SerializeToString()


def session(content):
    """ONNX Runtime, literally: its optimisations round the inputs of layers whose weights are dequantised."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def check(content, x, expected=None, target=0, rtol=1e-4, transposed=None, at=None, name="y", **choices):
    """The prediction is ONNX Runtime's, and the relevance what it must be."""
    given = x if isinstance(x, dict) else {"x": x}
    (y,) = session(content).run([name], given)
    model = load(content, **choices.pop("load", {}))
    np.testing.assert_allclose(model(x), y if transposed is None else y.transpose(transposed), rtol=rtol, atol=1e-5)
    e = lrp_ref.explain(model, x, rule=rules.Zero(), target=target, keep="all", **choices)
    found = e.relevance if at is None else e.relevance[at]
    if expected is not None:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    return e


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).uniform(0.25, 1, shape).astype(np.float32)
