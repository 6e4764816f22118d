"""The same function, however an exporter spells it: one prediction, ONNX Runtime's, and one relevance.

Written from the kind's description, without sight of the code. Each file is x → z = x W → f(z) → y = f V. Under LRP-0 a function
of each element passes relevance on, so that R_j = Σ_i f(z_i) V_ik x_j W_ji / z_i; so does a norm whose deviation is held. Layer
norms are compared with the operator of that name. Unusual spellings may be refused, but get no other answer.
"""

import ast

import numpy as np
import pytest

import lrp_ref
from lrp_ref import errors, rules

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lrp_ref.formats.onnx import load  # noqa: E402

F, H, K = 3, 6, 2
rng = np.random.default_rng(0)
X = rng.normal(size=(2, F)).astype(np.float32)
W = (2 * rng.normal(size=(F, H))).astype(np.float32)
V = rng.normal(size=(H, K)).astype(np.float32)
Z = X.astype(float) @ W
CONSTANTS = {
    "W": W,
    "V": V,
    "A": rng.normal(size=(F, H)).astype(np.float32),
    "g": rng.uniform(0.5, 1.5, H).astype(np.float32),
    "last": np.array([-1]),
    **{f"c{n}".replace("-", "m").replace(".", "_"): np.float32(n) for n in (0, 1, 2, 3, 6, -1, -2, 0.5, 0.1, -0.5)},
    "sixth": np.float32(1 / 6),
    "eps": np.float32(1e-5),
    "slopes": np.full(H, 0.1, np.float32),
    "zeros": np.zeros((1, H), np.float32),
}


def file(lines, opset=17):
    """Lines such as "m = ReduceMean z axes=[-1]"; z is the pre-activation and f what is read behind."""
    text = "z = MatMul x W;" + lines + ";y = MatMul f V"
    nodes = []
    for number, line in enumerate(part.strip() for part in text.split(";")):
        output, _, right = line.partition(" = ")
        kind, *rest = right.split()
        names = ["" if word == "-" else word for word in rest if "=" not in word]
        attributes = {key: ast.literal_eval(value) for key, value in (word.split("=") for word in rest if "=" in word)}
        nodes.append(helper.make_node(kind, names, [output], f"{kind.lower()}{number}", **attributes))
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in CONSTANTS.items() if name in used]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", F])]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", K])], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()


def explained(content, k, rule=None):
    model = load(content)
    (expected,) = runtime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": X})
    np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-5)
    return np.asarray(lrp_ref.explain(model, X, rule=rule or rules.Zero(), target=k).relevance)


def passed(f, k):
    """What a function that passes relevance gives."""
    return np.einsum("ni,i,nj,ji->nj", f / Z, V[:, k].astype(float), X.astype(float), W.astype(float))


def s(z):
    return 1 / (1 + np.exp(-z))


def softplus(z):
    return np.log1p(np.exp(z))


# fmt: off
FUNCTIONS = {
    "relu": (lambda z: np.maximum(z, 0),
        ("f = Relu z | f = Max z c0 | f = Max c0 z | f = Max z zeros | f = Clip z c0 | m = Greater z c0;f = Where m z c0 | "
        "m = Less z c0;f = Where m c0 z | m = LessOrEqual z c0;f = Where m c0 z | "
        "m = GreaterOrEqual z c0;f = Where m z zeros | m = Less c0 z;f = Where m z c0 | "
        "l = Less z c0;m = Not l;f = Where m z c0 | m = Greater z c0;t = Cast m to=1;f = Mul z t | "
        "m = Greater z c0;t = Cast m to=1;f = Mul t z | f = LeakyRelu z alpha=0.0 | f = ThresholdedRelu z alpha=0.0")),
    "relu6": (lambda z: np.clip(z, 0, 6),
        ("f = Clip z c0 c6 | t = Relu z;f = Min t c6 | t = Max z c0;f = Min c6 t | t = Min z c6;f = Relu t | "
        "t = Min z c6;f = Max t c0")),
    "a cap": (lambda z: np.minimum(z, 1), "f = Min z c1 | f = Min c1 z | f = Clip z - c1 | m = Less z c1;f = Where m z c1"),
    "leaky relu": (lambda z: np.where(z >= 0, z, np.float32(0.1) * z),
        ("f = LeakyRelu z alpha=0.1 | f = PRelu z slopes | t = Mul z c0_1;f = Max z t | t = Mul c0_1 z;f = Max t z | "
        "t = Mul z c0_1;m = Greater z c0;f = Where m z t | t = Mul z c0_1;m = Less z c0;f = Where m t z")),
    "threshold": (lambda z: np.where(z > 0.5, z, 0),
        ("f = ThresholdedRelu z alpha=0.5 | m = Greater z c0_5;f = Where m z c0 | "
        "m = Greater z c0_5;t = Cast m to=1;f = Mul z t")),
    "absolute value": (np.abs, "f = Abs z | n = Neg z;f = Max z n | m = Less z c0;n = Neg z;f = Where m n z"),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        "f = Elu z | e = Exp z;t = Sub e c1;m = Greater z c0;f = Where m z t"),
    "sigmoid": (s,
        ("f = Sigmoid z | n = Neg z;e = Exp n;d = Add e c1;f = Reciprocal d | "
        "n = Neg z;e = Exp n;d = Add c1 e;f = Div c1 d | e = Exp z;d = Add e c1;f = Div e d | "
        "n = Mul z cm1;e = Exp n;d = Add e c1;f = Div c1 d")),
    "silu": (lambda z: z * s(z),
        ("t = Sigmoid z;f = Mul z t | t = Sigmoid z;f = Mul t z | n = Neg z;e = Exp n;d = Add e c1;f = Div z d | "
        "n = Neg z;e = Exp n;d = Add c1 e;t = Reciprocal d;f = Mul z t | "
        "n = Neg z;e = Exp n;d = Add c1 e;t = Div c1 d;f = Mul t z")),
    "tanh": (np.tanh, "f = Tanh z"),
    "softplus": (softplus, "f = Softplus z | e = Exp z;d = Add e c1;f = Log d | e = Exp z;d = Add c1 e;f = Log d"),
    "log sigmoid": (lambda z: -softplus(-z),
        ("t = Sigmoid z;f = Log t | n = Neg z;t = Softplus n;f = Neg t | "
        "n = Neg z;e = Exp n;d = Add e c1;l = Log d;f = Neg l")),
    "softsign": (lambda z: z / (1 + np.abs(z)),
        "f = Softsign z | a = Abs z;d = Add a c1;f = Div z d | a = Abs z;d = Add c1 a;f = Div z d"),
    "mish": (lambda z: z * np.tanh(softplus(z)),
        "t = Softplus z;u = Tanh t;f = Mul z u | e = Exp z;d = Add e c1;l = Log d;u = Tanh l;f = Mul u z"),
    "hard sigmoid": (lambda z: np.clip(z / 6 + 0.5, 0, 1),
        "f = HardSigmoid z alpha=0.16666667 beta=0.5 | t = Add z c3;u = Clip t c0 c6;f = Div u c6"),
    "hard swish": (lambda z: z * np.clip(z / 6 + 0.5, 0, 1),
        ("f = HardSwish z | t = HardSigmoid z alpha=0.16666667 beta=0.5;f = Mul z t | "
        "t = Add z c3;u = Clip t c0 c6;v = Mul z u;f = Div v c6 | "
        "t = Add c3 z;u = Relu t;v = Min u c6;w = Div v c6;f = Mul z w")),
    "soft shrink": (lambda z: np.sign(z) * np.maximum(np.abs(z) - 0.5, 0), "f = Shrink z lambd=0.5 bias=0.5"),
    "hard shrink": (lambda z: np.where(np.abs(z) > 0.5, z, 0),
        ("f = Shrink z lambd=0.5 bias=0.0 | a = Abs z;m = Greater a c0_5;f = Where m z c0 | "
        "a = Abs z;m = Greater a c0_5;t = Cast m to=1;f = Mul z t")),
    "gelu": (lambda z: z * s(np.sqrt(8 / np.pi) * (z + 0.044715 * z**3)), "f = Gelu z approximate='tanh'"),
}
UNUSUAL = {
    "relu": "a = Abs z;t = Add z a;f = Mul t c0_5 | a = Abs z;t = Add a z;f = Div t c2 | n = Neg z;m = Min n c0;f = Neg m",
    "leaky relu": (
        "p = Relu z;n = Neg z;q = Relu n;t = Mul q c0_1;f = Sub p t | p = Relu z;n = Min z c0;t = Mul n c0_1;f = Add p t"
    ),
    "absolute value": (
        "t = Sign z;f = Mul z t | q = Mul z z;f = Sqrt q | q = Pow z c2;f = Sqrt q | "
        "p = Relu z;n = Neg z;q = Relu n;f = Add p q"
    ),
    "elu": "p = Relu z;n = Min z c0;e = Exp n;t = Sub e c1;f = Add p t",
    "softplus": "n = Neg z;t = Sigmoid n;l = Log t;f = Neg l",
    "hard sigmoid": "t = Mul z sixth;u = Add t c0_5;f = Clip u c0 c1",
    "hard swish": "t = Add z c3;u = Clip t c0 c6;v = Mul z u;f = Mul v sixth",
    "soft shrink": "g = Greater z c0_5;a = Sub z c0_5;l = Less z cm0_5;b = Add z c0_5;t = Where l b c0;f = Where g a t",
    "hard shrink": "g = Greater z c0_5;l = Less z cm0_5;m = Or g l;f = Where m z c0",
}
# fmt: on
ELEMENTWISE = [(name, text) for name, (_, texts) in FUNCTIONS.items() for text in texts.split(" | ")]


@pytest.mark.parametrize(("name", "text"), ELEMENTWISE, ids=[f"{name}: {text}" for name, text in ELEMENTWISE])
def test_functions_of_each_element(name, text):
    function, _ = FUNCTIONS[name]
    for k in range(K):
        found = explained(file(text, 20 if "Gelu" in text else 17), k)
        np.testing.assert_allclose(found, passed(function(Z), k), rtol=1e-3, atol=1e-4)


ELSEWHERE = [(name, text) for name, texts in UNUSUAL.items() for text in texts.split(" | ")]


@pytest.mark.parametrize(("name", "text"), ELSEWHERE, ids=[f"{name}: {text}" for name, text in ELSEWHERE])
def test_unusual_spellings_are_right_or_refused(name, text):
    function, _ = FUNCTIONS[name]
    for k in range(K):
        try:
            found = explained(file(text), k)
        except errors.LrpError:
            return
        np.testing.assert_allclose(found, passed(function(Z), k), rtol=1e-3, atol=1e-4)


M = "m = ReduceMean z axes=[-1];d = Sub z m;"
TAIL = "w = Add v eps;r = Sqrt w;n = Div d r;f = Mul n g"
LAYER_NORMS = [
    M + "q = Pow d c2;v = ReduceMean q axes=[-1];" + TAIL,
    M + "q = Mul d d;v = ReduceMean q axes=[-1];w = Add v eps;r = Sqrt w;n = Div d r;f = Mul g n",
    M + "q = Mul d d;v = ReduceMean q axes=[1];w = Add eps v;r = Sqrt w;i = Reciprocal r;n = Mul d i;f = Mul n g",
    M + "q = Mul d d;v = ReduceMean q axes=[-1];w = Add v eps;r = Sqrt w;i = Div c1 r;n = Mul d i;f = Mul n g",
    M + "q = Mul d d;v = ReduceMean q axes=[-1];w = Add v eps;p = Pow w cm0_5;n = Mul d p;f = Mul n g",
]
UNUSUAL_NORMS = [
    M + "q = Mul d d;u = ReduceSum q last;v = Mul u sixth;" + TAIL,
    M + "u = ReduceSumSquare d axes=[-1];v = Div u c6;" + TAIL,
    "u = ReduceSum z last;m = Div u c6;d = Sub z m;q = Mul d d;v = ReduceMean q axes=[-1];" + TAIL,
    M + "t = Mul z z;e = ReduceMean t axes=[-1];o = Mul m m;v = Sub e o;" + TAIL,
]


@pytest.mark.parametrize("text", [*LAYER_NORMS, *UNUSUAL_NORMS])
def test_layer_norms_written_by_hand(text):
    for k in range(K):
        try:
            found = explained(file(text), k)
        except errors.LrpError:
            if text in LAYER_NORMS:
                raise
            return
        canonical = explained(file("f = LayerNormalization z g axis=-1 epsilon=1e-05"), k)
        np.testing.assert_allclose(found, canonical, rtol=1e-3, atol=1e-4)


RMS = "w = Add v eps;r = Sqrt w;"
NORMS = {
    "rms": (
        lambda z: z / np.sqrt((z**2).mean(axis=1, keepdims=True) + 1e-5),
        [
            "q = Pow z c2;v = ReduceMean q axes=[-1];" + RMS + "f = Div z r",
            "q = Mul z z;v = ReduceMean q axes=[-1];" + RMS + "i = Reciprocal r;f = Mul z i",
            "q = Mul z z;v = ReduceMean q axes=[-1];" + RMS + "i = Div c1 r;f = Mul i z",
            "q = Mul z z;v = ReduceMean q axes=[-1];w = Add v eps;p = Pow w cm0_5;f = Mul z p",
        ],
    ),
    "L2": (
        lambda z: z / np.sqrt((z**2).sum(axis=1, keepdims=True)),
        [
            "f = LpNormalization z axis=-1 p=2",
            "r = ReduceL2 z axes=[-1];f = Div z r",
            "r = ReduceL2 z axes=[-1];t = Clip r eps;f = Div z t",
            "r = ReduceL2 z axes=[-1];t = Max r eps;f = Div z t",
            "q = Mul z z;u = ReduceSum q last;r = Sqrt u;f = Div z r",
            "u = ReduceSumSquare z axes=[-1];r = Sqrt u;i = Reciprocal r;f = Mul z i",
        ],
    ),
}
HELD = [(name, text) for name, (_, texts) in NORMS.items() for text in texts]


@pytest.mark.parametrize(("name", "text"), HELD, ids=[f"{name}: {text}" for name, text in HELD])
def test_norms_whose_statistic_is_held(name, text):
    for k in range(K):
        np.testing.assert_allclose(explained(file(text), k), passed(NORMS[name][0](Z), k), rtol=1e-3, atol=1e-4)


GATES = [
    ("t = Sigmoid z;f = Mul t h", s),
    ("n = Neg z;e = Exp n;d = Add e c1;t = Reciprocal d;f = Mul h t", s),
    ("t = Sigmoid z;o = Sub c1 t;f = Mul o h", lambda z: 1 - s(z)),
    ("t = Sigmoid z;n = Neg t;o = Add n c1;f = Mul h o", lambda z: 1 - s(z)),
    ("t = Sigmoid z;o = Mul t c2;f = Mul h o", lambda z: 2 * s(z)),
    ("t = Sigmoid z;u = Mul t h;f = Mul u c2", lambda z: 2 * s(z)),
    ("t = Sigmoid z;o = Add t c1;f = Mul o h", lambda z: 1 + s(z)),
    ("t = HardSigmoid z;f = Mul h t", lambda z: np.clip(0.2 * z + 0.5, 0, 1)),
    ("t = Add z c3;u = Clip t c0 c6;o = Div u c6;f = Mul h o", lambda z: np.clip(z / 6 + 0.5, 0, 1)),
]


@pytest.mark.parametrize(("text", "gate"), GATES, ids=[text for text, _ in GATES])
def test_gates_give_all_to_the_signal(text, gate):
    """f = gate(z) h with h = x A: R_j = Σ_i gate_i V_ik x_j A_ji."""
    for k in range(K):
        expected = np.einsum("ni,i,nj,ji->nj", gate(Z), V[:, k].astype(float), X.astype(float), CONSTANTS["A"].astype(float))
        np.testing.assert_allclose(explained(file("h = MatMul x A;" + text), k), expected, rtol=1e-3, atol=1e-4)
