"""CONV-GATE-CONSTANT: which products have a gate, and which constants it multiplies, read from ONNX files of a few nodes.

Under LRP-0 and SignalTakesAll everything above the signal's linear map is a constant factor: R_j = Σ_k g_k x_j w_jk.
"""

from __future__ import annotations

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules

onnx = pytest.importorskip("onnx", reason="onnx is not installed: gates of files are NOT tested here")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lrp_ref.formats.onnx import load  # noqa: E402

X = np.array([[2.0, -1.5], [0.5, 3.0]], np.float32)
W = {
    "A": np.array([[1.0, 0.5], [-2.0, 1.0]], np.float32),
    "B": np.array([[0.5, -1.0], [0.25, 2.0]], np.float32),
    "D": np.array([[-1.0, 0.5], [1.5, 0.25]], np.float32),
    "b": np.array([0.75, -0.5], np.float32),
    "c": np.array([0.5, 2.0], np.float32),
    "ones": np.ones((2,), np.float32),
    "one": np.float32(1),
    "two": np.float32(2),
    "half": np.float32(0.5),
    "zero": np.float32(0),
    "three": np.float32(3),
    "six": np.float32(6),
}
A, B = W["A"].astype(float), W["B"].astype(float)


def network(text: str, inputs: tuple[str, ...] = ("x",)) -> lrp_ref.Model:
    """A file of lines such as "h = MatMul x A"; the last line is its output."""
    nodes = [helper.make_node(right[0], right[1:], [left], f"node_{left}") for left, right in map(_parts, text.split(";"))]
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in W.items() if name in used]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in inputs]
    end = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "g", given, [end], stored)
    return load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())


def _parts(line: str) -> tuple[str, list[str]]:
    left, right = line.split("=")
    return left.strip(), right.split()


def constants(model: lrp_ref.Model) -> list[str]:
    """The nodes that are products of a gate and a constant."""
    return [node.name for node in model.nodes if isinstance(node.layer, L.Multiply) and node.layer.constant is not None]


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


SIGNALS = "h = MatMul x A;g = MatMul x B;t = Sigmoid g;"


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("s = Sub one t;y = Mul s h", lambda t: 1 - t),
        ("s = Sub ones t;y = Mul h s", lambda t: 1 - t),
        ("s = Neg t;u = Add s one;y = Mul u h", lambda t: 1 - t),
        ("s = Mul t two;y = Mul s h", lambda t: 2 * t),
        ("s = Add t one;y = Mul s h", lambda t: 1 + t),
        ("s = Sub one t;u = Mul s half;y = Mul u h", lambda t: (1 - t) / 2),
        ("u = Mul t h;s = Sub one t;v = Mul s x;y = Sub u v", None),
    ],
)
def test_complements_and_multiples_of_a_gate_are_gates(text, gate):
    e = lrp_ref.explain(network(SIGNALS + text), X, rule=rules.Zero(), targets=(0, 1))
    t = sigmoid(X @ B)
    if gate is None:
        expected = np.einsum("nk,nj,jk->nkj", t, X, A) - np.einsum("nk,nk,jk->nkj", 1 - t, X, np.eye(2))
    else:
        expected = np.einsum("nk,nj,jk->nkj", gate(t), X, A)
    np.testing.assert_allclose(e.relevance, expected, rtol=1e-5)


@pytest.mark.parametrize("text", ["s = Mul t two;u = Sub s one;y = Mul u h", "s = Mul t c;y = Mul s h", "s = Neg t;y = Mul s h"])
def test_a_factor_of_either_sign_or_of_other_weights_is_not_known_for_a_gate(text):
    """2t − 1 is a tanh; each unit's own scale makes a feature of it."""
    with pytest.raises(lrp_ref.errors.RuleError, match="must know which factor is the signal"):
        lrp_ref.explain(network(SIGNALS + text), X)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("u = Mul t h;v = Mul t c;y = Add u v", ["node_v"]),
        ("u = Mul t h;s = Sub ones t;v = Mul s c;y = Add u v", ["node_v"]),
        ("u = Mul t h;v = Mul t c;w = Add v b;y = Add u w", ["node_v"]),  # the constant behind it makes no affine map of it
        ("v = Mul t c;y = Add v h", []),  # nothing shows that t is a gate
        ("v = Mul t two;w = Mul v h;y = Add w h", []),  # the gate of w
        ("u = Mul t h;s = Sub one t;y = Add u s", []),  # no product with a constant
        ("o = Sigmoid h;u = Mul o g;v = Mul t c;y = Add u v", []),  # o is a gate
    ],
)
def test_what_shows_a_gated_constant(text, found):
    assert constants(network(SIGNALS + text)) == found


def test_a_hard_sigmoid_that_was_taken_apart_gates_a_constant():
    spelled = "a = Add g three;q = Clip a zero six;t = Div q six;"
    model = network(SIGNALS.removesuffix("t = Sigmoid g;") + spelled + "u = Mul t h;v = Mul t c;y = Add u v")
    assert constants(model) == ["node_v"]
    assert isinstance(model["node_t"].layer, L.HardSigmoid)


STEPS = "g1 = MatMul x1 {};t1 = Sigmoid g1;a1 = MatMul x1 A;v = Mul t1 {};h1 = Add a1 v;"
SECOND = "g2 = MatMul x2 {};t2 = Sigmoid g2;a2 = MatMul x2 A;m = MatMul h1 A;n = Add m b;u = Mul t2 n;y = Add a2 u"


@pytest.mark.parametrize(
    ("first", "constant", "second", "found"),
    [
        ("B", "c", "B", ["node_v"]),  # the same weights at the second step
        ("B", "c", "D", []),  # others
        ("B", "b", "D", ["node_v"]),  # the constant is what the second step's signal is without its input, U·0 + b
        ("B", "ones", "D", []),
    ],
)
def test_what_another_step_shows(first, constant, second, found):
    model = network(STEPS.format(first, constant) + SECOND.format(second), ("x1", "x2"))
    assert constants(model) == found
    e = lrp_ref.explain(model, {"x1": X, "x2": X[::-1]}, rule=rules.Zero(), target=0, ledger=True, keep=("node_v",))
    if found:
        kept = e.ledger["node_v"]
        np.testing.assert_allclose(kept.bias, kept.arriving)
        np.testing.assert_allclose(e.ledger.rounding, 0, atol=1e-6)


def test_the_derivative_of_a_product_with_a_constant():
    layer, z = L.Multiply(1, constant=[0.5, -2.0]), np.array([[3.0, 4.0]])
    (found,) = layer.vjp((z,), layer.forward(z), np.array([[1.0, 10.0]]))
    assert found.tolist() == [[0.5, -20.0]]


@pytest.mark.parametrize("rule", [rules.HalfProduct(), rules.AbsoluteProduct(), rules.ProportionalProduct()], ids=str)
def test_the_other_product_rules_give_the_gate_its_share(rule):
    model = network(SIGNALS + "u = Mul t h;v = Mul t c;y = Add u v")
    composite = lrp_ref.composites.uniform(rules.Zero()).with_rules({"node_v": rule})
    e = lrp_ref.explain(model, X, composite=composite, target=1, ledger=True, keep=("node_v",))
    arrived, t = e.at("node_v")[:, 1], sigmoid(X @ B)[:, 1]
    share = 0.5 if isinstance(rule, rules.HalfProduct) else t / (t + 2)
    np.testing.assert_allclose(e.ledger["node_v"].inputs, share * arrived, rtol=1e-5)
    np.testing.assert_allclose(e.ledger["node_v"].bias, (1 - share) * arrived, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "exporter", "learned"),
    [
        ("GRUCell", "dynamo", False),
        ("GRUCell", "torchscript", True),
        ("LSTMCell", "dynamo", True),
        ("LSTMCell", "torchscript", False),
    ],
)
def test_cells_in_a_loop_send_nothing_into_their_gates(kind, exporter, learned):
    """Gradient × input with gates held and tanh passed on is LRP-0 under signal-take-all."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: its cells in loops are NOT tested here")
    if exporter == "dynamo":
        pytest.importorskip("onnxscript", reason="onnxscript is not installed: its export of cells is NOT tested here")
    model, x, expected = _looped(torch, kind, exporter, learned)
    e = lrp_ref.explain(model.astype(np.float64), x.astype(np.float64), rule=rules.Zero(), target=1, keep="all", ledger=True)
    np.testing.assert_allclose(e.relevance, expected, rtol=1e-4, atol=1e-7)
    assert not any(np.abs(r).any() for name, r in e.relevances.items() if "Sigmoid" in name)
    assert np.abs(e.ledger.rounding).max() < 1e-10


def _looped(torch, kind, exporter, learned):
    """A loop over three steps of a cell; the model, its input, and what LRP-0 gives it."""
    torch.manual_seed(2)
    nn, steps, features, hidden = torch.nn, 3, 2, 4

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.last = getattr(nn, kind)(features, hidden), nn.Linear(hidden, 2)
            self.start = nn.Parameter(torch.randn(2, hidden) if learned else torch.zeros(2, hidden), requires_grad=learned)

        def forward(self, x):
            h, c = (part.expand(x.shape[0], hidden) for part in self.start)
            for t in range(steps):
                if kind == "GRUCell":
                    h = self.cell(x[:, t], h)
                else:
                    h, c = self.cell(x[:, t], (h, c))
            return self.last(h)

        def held(self, x):
            def passed(a):
                return a * (torch.tanh(a) / a).detach()

            h, c = (part.expand(x.shape[0], hidden) for part in self.start)
            for t in range(steps):
                wx = x[:, t] @ self.cell.weight_ih.T + self.cell.bias_ih
                uh = h @ self.cell.weight_hh.T + self.cell.bias_hh
                if kind == "GRUCell":
                    (rx, zx, nx), (rh, zh, nh) = wx.chunk(3, 1), uh.chunk(3, 1)
                    r, z = torch.sigmoid(rx + rh).detach(), torch.sigmoid(zx + zh).detach()
                    h = (1 - z) * passed(nx + r * nh) + z * h
                else:
                    i, f, g, o = (wx + uh).chunk(4, 1)
                    c = torch.sigmoid(f).detach() * c + torch.sigmoid(i).detach() * passed(g)
                    h = torch.sigmoid(o).detach() * passed(c)
            return self.last(h)

    net, x = Loop().eval(), torch.randn(2, steps, features)
    model = lrp_ref.formats.torch.load(net, x, exporter=exporter)
    given = x.double().requires_grad_()
    net.double().held(given)[:, 1].sum().backward()
    return model, x.numpy(), (given.grad * given).detach().numpy()
