"""A squash behind something that keeps its meaning, in ONNX files (CONV-HEAD): see test_relatives_squash."""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import errors, rules

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lrp_ref.formats.onnx import load  # noqa: E402

W = np.array([[1.0, -2.0, 0.5], [-0.5, 1.0, -0.25]], np.float32)
X = np.array([[1.0, -1.5]], np.float32)
Z = (X @ W)[0]
TERMS = X[0][:, None] * W

CONSTANTS = {
    "one": np.float32(1),
    "zero": np.float32(0),
    "hundred": np.float32(100),
    "half": np.float32(0.5),
    "minus": np.float32(-1),
    "axis1": np.array([1]),
    "axis2": np.array([2]),
    "shape": np.array([-1, 3, 1]),
    "flat": np.array([-1, 3]),
    "from": np.array([1]),
    "to": np.array([3]),
    "tiles": np.array([1, 2]),
    "order": np.array([2, 0, 1]),
    "v": 2 * W[:, ::-1],
}


def network(behind, squash="Sigmoid", outputs=("y",), dtype=TensorProto.FLOAT):
    """x → MatMul → squash, called p; then `behind`, (operator, inputs, output, attributes) each, where "y" is the output."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"], "score")]
    nodes.append(helper.make_node(squash, ["z"], ["p"], "squash", **({"axis": 1} if "oft" in squash else {})))
    for i, (kind, inputs, output, attributes) in enumerate(behind):
        names = [output] if isinstance(output, str) else list(output)
        nodes.append(helper.make_node(kind, inputs, names, f"{kind.lower()}{i}", **attributes))
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(np.asarray(CONSTANTS[name]), name) for name in CONSTANTS if name in used]
    stored.append(numpy_helper.from_array(W, "w"))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])]
    out = [helper.make_tensor_value_info(name, dtype, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs, out, stored)
    return load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())


def explained(model, **choices):
    return lrp_ref.explain(model, X, rule=rules.Zero(), **choices)


# what stands behind p, the target, the score that is meant, and the sign of its relevance
SIGMOID = {
    "two identities": ([("Identity", ["p"], "a", {}), ("Identity", ["a"], "y", {})], 1, 1, 1),
    "dropout": ([("Dropout", ["p"], "y", {})], 1, 1, 1),
    "in and out": ([("Unsqueeze", ["p", "axis2"], "a", {}), ("Squeeze", ["a", "axis2"], "y", {})], 1, 1, 1),
    "a column": ([("Reshape", ["p", "shape"], "y", {})], (2, 0), 2, 1),
    "there and back": ([("Reshape", ["p", "shape"], "a", {}), ("Reshape", ["a", "flat"], "y", {})], 0, 0, 1),
    "transposed": ([("Unsqueeze", ["p", "axis1"], "a", {}), ("Transpose", ["a"], "y", {"perm": [0, 2, 1]})], (1, 0), 1, 1),
    "sliced": ([("Slice", ["p", "from", "to", "axis1"], "y", {})], 0, 1, 1),
    "in another order": ([("Gather", ["p", "order"], "y", {"axis": 1})], 0, 2, 1),
    "tiled": ([("Tile", ["p", "tiles"], "y", {})], 4, 1, 1),
    "percent": ([("Mul", ["p", "hundred"], "y", {})], 1, 1, 1),
    "percent on the left": ([("Mul", ["hundred", "p"], "y", {})], 1, 1, 1),
    "halved by division": ([("Div", ["p", "hundred"], "y", {})], 1, 1, 1),
    "plus nothing": ([("Add", ["p", "zero"], "y", {})], 1, 1, 1),
    "within its own range": ([("Clip", ["p", "zero", "one"], "y", {})], 1, 1, 1),
    "complement": ([("Sub", ["one", "p"], "y", {})], 1, 1, -1),
    "complement by a sign": ([("Neg", ["p"], "a", {}), ("Add", ["a", "one"], "y", {})], 1, 1, -1),
    "complement by minus one": ([("Mul", ["p", "minus"], "a", {}), ("Add", ["one", "a"], "y", {})], 0, 0, -1),
    "percent of the complement": ([("Sub", ["one", "p"], "a", {}), ("Mul", ["a", "hundred"], "y", {})], 1, 1, -1),
    "complement first": ([("Sub", ["one", "p"], "q", {}), ("Concat", ["q", "p"], "y", {"axis": 1})], 1, 1, -1),
    "complement second": ([("Sub", ["one", "p"], "q", {}), ("Concat", ["p", "q"], "y", {"axis": 1})], 4, 1, -1),
    "itself first": ([("Sub", ["one", "p"], "q", {}), ("Concat", ["p", "q"], "y", {"axis": 1})], 1, 1, 1),
    "split and joined": ([("Split", ["p"], ("a", "b", "c"), {"axis": 1}), ("Concat", ["c", "a"], "y", {"axis": 1})], 0, 2, 1),
}


@pytest.mark.parametrize("name", SIGMOID)
def test_no_head_no_explanation(name):
    behind, target, _, _ = SIGMOID[name]
    with pytest.raises(errors.HeadError):
        explained(network(behind), target=target)


@pytest.mark.parametrize("name", SIGMOID)
@pytest.mark.parametrize("head", ["logit", "log-odds"])
def test_the_logit_of_the_element_that_is_asked_for(name, head):
    behind, target, k, sign = SIGMOID[name]
    e = explained(network(behind), target=target, head=head)
    np.testing.assert_allclose(e.value, [sign * Z[k]], rtol=1e-6)
    np.testing.assert_allclose(e.relevance, sign * TERMS[None, :, k], rtol=1e-6)


def test_another_number_type_behind_it():
    model = network([("Cast", ["p"], "y", {"to": TensorProto.DOUBLE})], dtype=TensorProto.DOUBLE)
    with pytest.raises(errors.HeadError):
        explained(model, target=1)
    np.testing.assert_allclose(explained(model, target=1, head="logit").relevance, TERMS[None, :, 1], rtol=1e-6)


SOFTMAX = {name: SIGMOID[name] for name in ("two identities", "in and out", "a column", "sliced", "in another order", "percent")}


@pytest.mark.parametrize(
    ("squash", "name"), [(s, n) for s in ("Softmax", "LogSoftmax") for n in SOFTMAX if (s, n) != ("LogSoftmax", "percent")]
)
def test_softmax_too(squash, name):
    behind, target, k, _ = SOFTMAX[name]
    model = network(behind, squash)
    with pytest.raises(errors.HeadError):
        explained(model, target=target)
    others = [i for i in range(3) if i != k]
    q = np.exp(Z[others] - Z[k])
    expected = TERMS[:, k] - TERMS[:, others] @ (q / q.sum())
    np.testing.assert_allclose(explained(model, target=target, head="logit").relevance, TERMS[None, :, k], rtol=1e-6)
    np.testing.assert_allclose(explained(model, target=target, head="log-odds").relevance, expected[None], rtol=1e-5)


def detector():
    behind = [("MatMul", ["x", "v"], "box", {}), ("Concat", ["p", "box"], "y", {"axis": 1})]
    return network(behind), X[0][:, None] * CONSTANTS["v"]


@pytest.mark.parametrize("target", range(6))
def test_scores_in_front_of_boxes(target):
    model, terms = detector()
    if target >= 3:
        np.testing.assert_allclose(explained(model, target=target).relevance, terms[None, :, target - 3], rtol=1e-6)
        return
    with pytest.raises(errors.HeadError):
        explained(model, target=target)
    np.testing.assert_allclose(explained(model, target=target, head="logit").relevance, TERMS[None, :, target], rtol=1e-6)


@pytest.mark.parametrize("kind", ["Mul", "Add"])
def test_probabilities_that_are_joined_are_refused_by_name(kind):
    behind = [("MatMul", ["x", "v"], "u", {}), ("Sigmoid", ["u"], "o", {}), (kind, ["p", "o"], "y", {})]
    with pytest.raises(errors.LrpError):
        explained(network(behind), target=1, head="logit")
    with pytest.raises(errors.LrpError):
        explained(network(behind), target=1)


TANH = {
    "half of the sum": ([("Add", ["p", "one"], "a", {}), ("Mul", ["a", "half"], "y", {})], 1),
    "half and half": ([("Mul", ["p", "half"], "a", {}), ("Add", ["half", "a"], "y", {})], 1),
    "half of the difference": ([("Sub", ["one", "p"], "a", {}), ("Mul", ["a", "half"], "y", {})], -1),
    "percent": ([("Add", ["p", "one"], "a", {}), ("Mul", ["a", "half"], "b", {}), ("Mul", ["b", "hundred"], "y", {})], 1),
    "complement": ([("Add", ["p", "one"], "a", {}), ("Mul", ["a", "half"], "b", {}), ("Sub", ["one", "b"], "y", {})], -1),
}


@pytest.mark.parametrize("name", TANH)
def test_half_of_one_and_a_tanh_is_a_probability_whose_logit_is_twice_the_score(name):
    behind, sign = TANH[name]
    model = network(behind, "Tanh")
    with pytest.raises(errors.HeadError):
        explained(model, target=1)
    e = explained(model, target=1, head="logit")
    np.testing.assert_allclose(e.value, [2 * sign * Z[1]], rtol=1e-6)
    np.testing.assert_allclose(e.relevance, 2 * sign * TERMS[None, :, 1], rtol=1e-6)


def test_a_tanh_alone_is_a_number():
    e = explained(network([("Identity", ["p"], "y", {})], "Tanh"), target=1)
    np.testing.assert_allclose(e.relevance.sum(), np.tanh(Z[1]), rtol=1e-6)
