"""What real exporters write: each file loads, predicts what ONNX Runtime does, and is explained.

Written from the kind's description, without sight of the code. Networks are linear behind what is tried, so that under LRP-0 the
relevance of output k is Σ of x_j times the weights on the way from j to k; where something else is expected the test says it.
"""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import errors, rules

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import helper  # noqa: E402

from lrp_ref.formats.onnx import load  # noqa: E402
from support.onnx_lines import check, file, nodes_of, numbers, session  # noqa: E402

rng = np.random.default_rng(0)
A = rng.integers(-4, 5, (3, 2)).astype(np.float32) / 4 + 0.125
B = rng.integers(-4, 5, (2, 2)).astype(np.float32) / 4 + 0.125


POOLED = {
    "global pool": "c = Conv x w;p = GlobalAveragePool c;y = Flatten p",
    "mean": "c = Conv x w;y = ReduceMean c axes=[2,3] keepdims=0",
    "folded by shape": "c = Conv x w;s = Shape c;n = Gather s i0;k = Gather s i1;u = Unsqueeze n z;v = Unsqueeze k z;"
    "t = Concat u v m axis=0;f = Reshape c t;y = ReduceMean f axes=[2] keepdims=0",
}


@pytest.mark.parametrize("name", POOLED)
@pytest.mark.parametrize("extents", [("H", "W"), (-1, -1), (6, "W")], ids=str)
@pytest.mark.parametrize("size", [(6, 4), (6, 9)])
def test_open_extents_come_from_the_input(name, extents, size):
    x = numbers(2, 3, *size)
    stored = {"w": A.T[:, :, None, None].copy()}
    if "shape" in name:
        stored |= {"i0": np.array(0), "i1": np.array(1), "z": np.array([0]), "m": np.array([-1])}
    content = file(POOLED[name], {"x": ("float32", ("N", 3, *extents))}, **stored)
    check(content, x, x * A[:, 1][:, None, None] / np.prod(size), target=1)


@pytest.mark.parametrize("shape", [(-1, 3), ("N", -1), (-1, -1)], ids=str)
def test_extents_of_minus_one(shape):
    x = numbers(2, 3)
    check(file("y = MatMul x a", {"x": ("float32", shape)}, a=A), x, x * A[:, 1], target=1)


FOLDED = {
    "a fixed batch of one": ("f = Reshape x one;y = MatMul f a", {"one": np.array([1, 3])}, (1, 3, 1)),
    "a fixed batch and an open rest": ("f = Reshape x one;y = MatMul f a", {"one": np.array([1, -1])}, (1, 3, 1)),
    "a batch by shape": (
        "n = Shape x start=0 end=1;t = Concat n r axis=0;f = Reshape x t;y = MatMul f a",
        {"r": np.array([3])},
        ("N", 3, 1),
    ),
    "a copied batch": ("f = Reshape x zero;y = MatMul f a", {"zero": np.array([0, -1])}, ("N", 3, 1)),
    "a squeezed axis": ("f = Squeeze x two;y = MatMul f a", {"two": np.array([2])}, ("N", 3, 1)),
}


@pytest.mark.parametrize("name", FOLDED)
def test_reshapes_that_hold_the_batch(name):
    text, stored, shape = FOLDED[name]
    x = numbers(1, 3, 1)
    e = check(file(text, {"x": ("float32", shape)}, a=A, **stored), x, x * A[:, 1:], target=1)
    assert e.relevance.shape == (1, 3, 1)


def test_a_class_first_output():
    """y is (C, N): the model's own output has the batch in front."""
    x = numbers(2, 3)
    check(
        file("z = MatMul x a;y = Transpose z perm=[1,0]", {"x": ("float32", ("N", 3))}, a=A), x, x * A[:, 1], 1, transposed=(1, 0)
    )


@pytest.mark.parametrize("batch", ["N", 2])
def test_steps_first_behind_an_activation(batch):
    """(T, N, C) of a network that reads (N, T, F)."""
    x = numbers(2, 4, 3)
    text = "z = MatMul x a;r = Relu z;u = MatMul r b;y = Transpose u perm=[1,0,2]"
    content = file(text, {"x": ("float32", (batch, 4, 3))}, a=np.abs(A), b=B)
    expected = np.zeros_like(x)
    expected[:, 2] = x[:, 2] * (np.abs(A) @ B)[:, 1]
    check(content, x, expected, target=(2, 1), transposed=(1, 0, 2))


TOKENS = {
    "Gemm": "f = Reshape x fold;z = Gemm f a c;y = Reshape z back",
    "two layers": "f = Reshape x fold;z = Gemm f a c;r = Relu z;u = MatMul r b;y = Reshape u back",
    "by shape": "f = Reshape x fold;z = Gemm f a c;n = Shape x start=0 end=1;t = Concat n rest axis=0;y = Reshape z t",
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_that_are_folded_into_the_batch(name):
    x = numbers(2, 4, 3)
    stored = {"fold": np.array([-1, 3]), "a": np.abs(A), "c": np.zeros(2, np.float32)}
    stored |= {"rest": np.array([4, 2])} if name == "by shape" else {"back": np.array([-1, 4, 2])}
    stored |= {"b": B} if name == "two layers" else {}
    weight = np.abs(A) @ B if name == "two layers" else np.abs(A)
    expected = np.zeros_like(x)
    expected[:, 3] = x[:, 3] * weight[:, 0]
    check(file(TOKENS[name], {"x": ("float32", ("N", 4, 3))}, **stored), x, expected, target=(3, 0))


def test_pixels_that_are_folded_into_the_batch():
    x = numbers(2, 3, 2, 2)
    text = "t = Transpose x perm=[0,2,3,1];f = Reshape t fold;z = MatMul f a;u = Reshape z back;y = Transpose u perm=[0,3,1,2]"
    stored = {"fold": np.array([-1, 3]), "back": np.array([-1, 2, 2, 2]), "a": A}
    expected = np.zeros_like(x)
    expected[:, :, 1, 0] = x[:, :, 1, 0] * A[:, 1]
    check(file(text, {"x": ("float32", ("N", 3, 2, 2))}, **stored), x, expected, target=(1, 1, 0))


def branching(condition, inputs, **stored):
    """y = x a where the condition holds, else x (2a); both branches see what lies outside."""
    branches = {}
    for name, text in (("then_branch", "t = MatMul x a"), ("else_branch", "t = MatMul x twice")):
        branches[name] = helper.make_graph(nodes_of(text, name), name, [], [onnx.ValueInfoProto(name="t")])
    nodes = [*(nodes_of(condition) if condition else []), helper.make_node("If", ["c"], ["y"], "if", **branches)]
    return file(nodes, {"x": ("float32", ("N", 3)), **inputs}, a=A, twice=2 * A, **stored)


CONDITIONS = {
    "true": ("", {"c": np.array(True)}, 1),
    "false": ("", {"c": np.array([False])}, 2),
    "computed": ("l = Greater p q;c = Not l", {"p": np.array(3.0), "q": np.array(5.0)}, 1),
    "on the number of features": ("s = Shape x;k = Gather s i;c = Equal k n", {"i": np.array(1), "n": np.array(4)}, 2),
    "on the rank": ("s = Shape x;k = Size s;c = Equal k n", {"n": np.array(2)}, 1),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_branch_that_is_known(name):
    condition, stored, factor = CONDITIONS[name]
    x = numbers(2, 3)
    check(branching(condition, {}, **stored), x, factor * x * A[:, 1], target=1)


def test_a_branch_on_the_input_itself_is_refused_by_name():
    content = branching("m = ReduceMax x axes=[0,1] keepdims=0;c = Greater m h", {}, h=np.float32(0.5))
    with pytest.raises(errors.LrpError, match="If"):
        lrp_ref.explain(load(content), numbers(2, 3), target=0)


QUANTISED = {
    "a weight": ("w = DequantizeLinear q s;y = MatMul x w", {"s": np.float32(0.125)}, 0.125),
    "a weight and its zero": ("w = DequantizeLinear q s o;y = MatMul x w", {"s": np.float32(0.25), "o": np.int8(0)}, 0.25),
    "each column": (
        "w = DequantizeLinear q s o axis=1;y = MatMul x w",
        {"s": np.array([0.5, 0.25], "f4"), "o": np.zeros(2, "i1")},
        None,
    ),
    "each row": (
        "w = DequantizeLinear q s o axis=0;y = MatMul x w",
        {"s": np.array([1, 2, 4], "f4"), "o": np.zeros(3, "i1")},
        None,
    ),
    "transposed behind": ("w = DequantizeLinear q s;t = Transpose w;y = Gemm x t transB=1", {"s": np.float32(0.5)}, 0.5),
    "cast and scaled": ("w = Cast q to=1;v = Mul w s;y = MatMul x v", {"s": np.float32(0.5)}, 0.5),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_weights_of_small_integers(name):
    text, stored, factor = QUANTISED[name]
    q = np.random.default_rng(3).integers(-8, 8, (3, 2)).astype(np.int8)
    scale = factor or (stored["s"][:, None] if "row" in name else stored["s"])
    x = numbers(2, 3)
    check(file(text, {"x": ("float32", ("N", 3))}, q=q, **stored), x, x * (q * scale)[:, 1], target=1)


def test_activations_that_are_quantised_are_computed_in_float():
    """ONNX Runtime rounds to steps of 1/64, which lrp_ref does not: predictions agree to a step, relevance is that of floats."""
    text = (
        "q = QuantizeLinear x s o;d = DequantizeLinear q s o;z = MatMul d a;p = QuantizeLinear z s o;y = DequantizeLinear p s o"
    )
    content = file(text, {"x": ("float32", ("N", 3))}, a=np.abs(A) / 2, s=np.float32(1 / 64), o=np.uint8(0))
    x = numbers(2, 3)
    (y,) = session(content).run(None, {"x": x})
    model = load(content)
    np.testing.assert_allclose(model(x), y, atol=3 / 64)
    e = lrp_ref.explain(model, x, rule=rules.Zero(), target=1)
    np.testing.assert_allclose(e.relevance, x * np.abs(A)[:, 1] / 2, rtol=1e-5)
