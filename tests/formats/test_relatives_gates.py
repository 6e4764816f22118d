"""A sigmoid times a constant: a gate where the graph shows it, a scale elsewhere.

Written from the kind's description, without sight of the code. Expected under LRP-0 and SignalTakesAll in closed form: the gate's
input gets nothing, the signal's linear map gives s · x_j w_jk for a signal's share s·h, and a constant's share stays as bias.
"""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import rules

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lrp_ref.formats.onnx import load  # noqa: E402

F, H = 3, 2
X = np.array([[1.0, -0.5, 2.0]], np.float32)
Y = np.array([[-0.25, 1.5, 0.5]], np.float32)  # a second step, or a second input
A = np.array([[1.0, -0.5], [0.5, 2.0], [-0.25, 1.0]], np.float32)  # of the signal
B = np.array([[0.5, 1.0], [-1.0, 0.25], [0.125, -0.5]], np.float32)  # of the gate
C = np.array([0.75, -1.25], np.float32)  # the constant
STORED = {
    "A": A,
    "B": B,
    "c": C,
    "one": np.float32(1),
    "two": np.float32(2),
    "hundred": np.float32(100),
    "b": np.array([0.5, -0.25], np.float32),
    "gamma": np.array([1.5, 0.5], np.float32),
    "beta": np.array([0.25, -0.75], np.float32),
    "mean": np.array([0.5, 0.25], np.float32),
    "variance": np.array([0.25, 1.0], np.float32),
    "V": np.array([[2.0, -1.0], [0.5, 1.5]], np.float32),
}


def sigmoid(z):
    return 1 / (1 + np.exp(-z.astype(float)))


def network(*lines, inputs=("x",)):
    """An ONNX file of lines such as "h = MatMul x A"; its output is y."""
    nodes = []
    for number, line in enumerate(lines):
        output, _, right = line.partition(" = ")
        kind, *names = right.split()
        nodes.append(helper.make_node(kind, names, [output], f"{kind.lower()}{number}"))
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(value, name) for name, value in STORED.items() if name in used]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", F]) for name in inputs]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", H])], stored)
    return load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())


def explained(model, k, x=None, **choices):
    return lrp_ref.explain(model, X if x is None else x, rule=rules.Zero(), target=k, **choices)


def assert_relevance(found, expected):
    np.testing.assert_allclose(found, expected[None], rtol=2e-5, atol=1e-6)


HIGHWAYS = {
    "the carry is learned": ("s = Sub one t", "u = Mul t h", "v = Mul s c", "y = Add u v"),
    "the carry first": ("s = Sub one t", "v = Mul c s", "u = Mul h t", "y = Add v u"),
    "subtracted": ("s = Sub one t", "u = Mul t h", "v = Mul s c", "y = Sub u v"),
    "the same gate": ("u = Mul t h", "v = Mul t c", "y = Add u v"),
    "the same gate, the constant first": ("v = Mul c t", "u = Mul h t", "y = Add v u"),
    "the same gate, a number": ("u = Mul t h", "v = Mul t two", "y = Add u v"),
}


@pytest.mark.parametrize("name", HIGHWAYS)
@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("backend", ["reference", None])
def test_a_gate_that_also_multiplies_a_signal(name, k, backend):
    """y = t h ± (1 − t) c: t h is all that reaches the input, through h."""
    model = network("h = MatMul x A", "g = MatMul x B", "t = Sigmoid g", *HIGHWAYS[name])
    e = explained(model, k, backend=backend)
    t = sigmoid(X @ B)[0]
    assert_relevance(e.relevance, t[k] * X[0] * A[:, k])


@pytest.mark.parametrize("k", [0, 1])
def test_the_constants_share_is_booked_as_bias(k):
    model = network("h = MatMul x A", "g = MatMul x B", "t = Sigmoid g", *HIGHWAYS["the carry is learned"])
    e = explained(model, k, ledger=True)
    np.testing.assert_allclose(e.ledger.bias, [(1 - sigmoid(X @ B)[0, k]) * C[k]], rtol=1e-5)


@pytest.mark.parametrize("k", [0, 1])
def test_the_signal_is_gated_by_the_complement(k):
    """y = t c + (1 − t) h."""
    lines = ("s = Sub one t", "u = Mul s h", "v = Mul t c", "y = Add u v")
    model = network("h = MatMul x A", "g = MatMul x B", "t = Sigmoid g", *lines)
    assert_relevance(explained(model, k).relevance, (1 - sigmoid(X @ B)[0, k]) * X[0] * A[:, k])


def two_steps(start):
    """A simple recurrent unit: s_t = f_t s_{t−1} + (1 − f_t) A x_t, f_t = σ(B x_t), with `start` for f_1 s_0."""
    step = "a{0} = MatMul x{0} A;g{0} = MatMul x{0} B;f{0} = Sigmoid g{0};i{0} = Sub one f{0};u{0} = Mul i{0} a{0}"
    return network(
        *step.format(1).split(";"),
        start,
        "s1 = Add v1 u1",
        *step.format(2).split(";"),
        "v2 = Mul f2 s1",
        "y = Add v2 u2",
        inputs=("x1", "x2"),
    )


@pytest.mark.parametrize("start", ["v1 = Mul f1 c", "v1 = Mul c f1"])
@pytest.mark.parametrize("k", [0, 1])
def test_a_simple_recurrent_unit_with_a_learned_start(start, k):
    e = explained(two_steps(start), k, {"x1": X, "x2": Y}, ledger=True)
    f1, f2 = sigmoid(X @ B)[0, k], sigmoid(Y @ B)[0, k]
    assert_relevance(e.relevance["x1"], f2 * (1 - f1) * X[0] * A[:, k])
    assert_relevance(e.relevance["x2"], (1 - f2) * Y[0] * A[:, k])
    np.testing.assert_allclose(e.ledger.bias, [f2 * f1 * C[k]], rtol=1e-5)


def forgetting(start):
    """c_1 = f_1 c_0 + h_1, c_2 = f_2 c_1 + h_2: no complement; the second step shows that f with these weights is a gate."""
    lines = ["h1 = MatMul x1 A", "g1 = MatMul x1 B", "f1 = Sigmoid g1", start, "c1 = Add v1 h1"]
    lines += ["h2 = MatMul x2 A", "g2 = MatMul x2 B", "f2 = Sigmoid g2", "v2 = Mul f2 c1", "y = Add v2 h2"]
    return network(*lines, inputs=("x1", "x2"))


@pytest.mark.parametrize("start", ["v1 = Mul f1 c", "v1 = Mul c f1", "v1 = Mul two f1"])
@pytest.mark.parametrize("k", [0, 1])
def test_the_same_weights_at_another_step_show_a_gate(start, k):
    e = explained(forgetting(start), k, {"x1": X, "x2": Y})
    f2 = sigmoid(Y @ B)[0, k]
    assert_relevance(e.relevance["x1"], f2 * X[0] * A[:, k])
    assert_relevance(e.relevance["x2"], Y[0] * A[:, k])


@pytest.mark.parametrize("k", [0, 1])
def test_what_constant_folding_leaves_of_a_reset(k):
    """n_1 = A x_1 + r_1 ⊙ b where U h_0 + b is b, and n_2 = A x_2 + r_2 ⊙ (V n_1 + b): r has the same weights twice."""
    lines = ["a1 = MatMul x1 A", "g1 = MatMul x1 B", "r1 = Sigmoid g1", "q1 = Mul r1 b", "n1 = Add a1 q1"]
    lines += ["m2 = MatMul n1 V", "o2 = Add m2 b", "a2 = MatMul x2 A", "g2 = MatMul x2 B", "r2 = Sigmoid g2"]
    lines += ["q2 = Mul r2 o2", "y = Add a2 q2"]
    e = explained(network(*lines, inputs=("x1", "x2")), k, {"x1": X, "x2": Y})
    r2 = sigmoid(Y @ B)[0, k]
    assert_relevance(e.relevance["x1"], r2 * X[0] * (A.astype(float) @ STORED["V"][:, k]))
    assert_relevance(e.relevance["x2"], Y[0] * A[:, k])


def squashed(weights, k):
    """What a relevance of σ(z_k) gives the input, in parts of σ_k: x_j w_jk / z_k."""
    z = (X @ weights)[0].astype(float)
    return X[0] * weights[:, k] / z[k], sigmoid(z)


SCALES = {
    "percent": (["q = Mul t hundred"], lambda s: 100 * s),
    "percent on the left": (["q = Mul hundred t"], lambda s: 100 * s),
    "a learned scale": (["q = Mul t gamma"], lambda s: STORED["gamma"] * s),
    "a learned scale and shift": (["p = Mul gamma t", "q = Add p beta"], lambda s: STORED["gamma"] * s),
    "a number and a number": (["p = Mul t two", "q = Sub p one"], lambda s: 2 * s),
    "divided": (["q = Div t two"], lambda s: s / 2),
}


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("k", [0, 1])
def test_a_scale_behind_a_sigmoid_stays_one(name, k):
    """y = V q, q = γ σ(B x) + β: relevance of σ_i is σ_i γ_i V_ik, and all of it passes the sigmoid."""
    lines, function = SCALES[name]
    e = explained(network("g = MatMul x B", "t = Sigmoid g", *lines, "y = MatMul q V"), k)
    expected = sum(squashed(B, i)[0] * function(squashed(B, i)[1])[i] * STORED["V"][i, k] for i in range(H))
    assert_relevance(e.relevance, expected)


@pytest.mark.parametrize("k", [0, 1])
def test_a_batch_norm_behind_a_sigmoid_is_a_scale(k):
    model = network("g = MatMul x B", "t = Sigmoid g", "q = BatchNormalization t gamma beta mean variance", "y = MatMul q V")
    factor = STORED["gamma"] / np.sqrt(STORED["variance"] + 1e-5)
    e = explained(model, k)
    assert_relevance(e.relevance, sum(squashed(B, i)[0] * squashed(B, i)[1][i] * factor[i] * STORED["V"][i, k] for i in range(H)))


@pytest.mark.parametrize("k", [0, 1])
def test_a_scaled_sigmoid_beside_a_signal_it_does_not_touch(k):
    """y = γ σ(B x) + A x: no product with a signal, so the sigmoid is what carries information."""
    e = explained(network("g = MatMul x B", "t = Sigmoid g", "q = Mul t gamma", "h = MatMul x A", "y = Add q h"), k)
    part, s = squashed(B, k)
    assert_relevance(e.relevance, part * s[k] * STORED["gamma"][k] + X[0] * A[:, k])


@pytest.mark.parametrize("k", [0, 1])
def test_another_gate_in_the_network_shows_nothing(k):
    """y = γ σ(B x) + σ(A x) ⊙ (B x): the second sigmoid gates, the first is scaled."""
    lines = (
        "g = MatMul x B",
        "t = Sigmoid g",
        "q = Mul t gamma",
        "h = MatMul x A",
        "o = Sigmoid h",
        "u = Mul o g",
        "y = Add q u",
    )
    part, s = squashed(B, k)
    expected = part * s[k] * STORED["gamma"][k] + sigmoid(X @ A)[0, k] * X[0] * B[:, k]
    assert_relevance(explained(network(*lines), k).relevance, expected)
