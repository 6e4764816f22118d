"""CONV-QUANTISED: dynamically quantised files as the float networks that they stand for."""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref.errors import FormatError

onnx = pytest.importorskip("onnx", reason="onnx is not installed: quantised files are NOT tested here")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lrp_ref.formats.onnx import load  # noqa: E402

REMARK = "quantised activations are computed in floating point numbers, not rounded to the file's steps"
rng = np.random.default_rng(0)
Q = rng.integers(-128, 128, (6, 4)).astype(np.int8)
STORED = {
    "Q": Q,
    "U": (Q.astype(int) + 128).astype(np.uint8),
    "none": np.int8(0),
    "middle": np.uint8(128),
    "zeros": np.array([3, -2, 0, 1], np.int8),
    "step": np.float32(1 / 64),
    "steps": np.array([1 / 64, 1 / 32, 1 / 128, 1 / 64], np.float32),
    "b": rng.normal(size=4).astype(np.float32),
    "K": rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8),
    "places": np.array([1 / 64, 1 / 32, 1 / 128, 1 / 64], np.float32).reshape(4, 1, 1),
    "beside": rng.normal(size=(4, 1, 1)).astype(np.float32),
    "row": np.array([1, 4]),
    "two": np.float32(2),
}
X = rng.normal(size=(5, 6)).astype(np.float32)
IMAGES = rng.normal(size=(2, 3, 7, 8)).astype(np.float32)
START = "q,s,z = DynamicQuantizeLinear x; "


def file(text, shape=(6,), outputs=("y",), **attributes):
    """Lines such as "m = MatMulInteger q Q z none"; operators with a dot are those of ONNX Runtime."""
    nodes = []
    for number, line in enumerate(text.split("; ")):
        left, _, right = line.partition(" = ")
        kind, *names = right.split()
        domain, kind = ("com.microsoft", kind[1:]) if kind[0] == "." else ("", kind)
        own = attributes if kind in ("ConvInteger", "DynamicQuantizeLSTM") else {"to": 1} if kind == "Cast" else {}
        if kind == "Int":
            domain, kind, own = "", "Cast", {"to": 6}
        inputs = ["" if name == "-" else name for name in names]
        nodes.append(
            helper.make_node(kind, inputs, [name.strip("-") for name in left.split(",")], f"n{number}", domain=domain, **own)
        )
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in STORED.items() if name in used]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(helper.make_graph(nodes, "g", [given], ends, stored), opset_imports=versions, ir_version=8)


def predicted(proto, x):
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def agrees(proto, x, plain):
    """Prediction and relevance of the float network, and ONNX Runtime's prediction but for its rounding of x to 255 steps."""
    model = load(proto)
    np.testing.assert_allclose(model(x), plain(x), rtol=1e-5, atol=1e-5)
    assert model.remarks == (REMARK,)
    rank = model(x).ndim - 1
    found, expected = (lrp_ref.explain(m, x, target=0 if rank == 1 else (0,) * rank).relevance for m in (model, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    theirs = predicted(proto, x)
    off = np.abs(model(x) - theirs).max() / np.abs(theirs).max()
    assert 1e-6 < off < 0.02  # it is rounded there, and not here
    return model


W = Q.astype(np.float32)
SCALED = START + "m = MatMulInteger q {weights}; c = Cast m; k = Mul s step; u = Mul c k; y = Add u b"
DENSE = {
    "one scale": (SCALED.format(weights="Q z none"), L.Dense(W / 64, STORED["b"])),
    "unsigned weights": (SCALED.format(weights="U z middle"), L.Dense(W / 64, STORED["b"])),
    "no zero of the weights": (SCALED.format(weights="Q z"), L.Dense(W / 64, STORED["b"])),
    "a zero for each column": (SCALED.format(weights="Q z zeros"), L.Dense((W - STORED["zeros"]) / 64, STORED["b"])),
    "a scale for each column": (
        SCALED.format(weights="Q z none").replace("step", "steps"), L.Dense(W * STORED["steps"], STORED["b"])),
    "scales the other way round": (
        START + "m = MatMulInteger q Q z; c = Cast m; k = Mul step s; u = Mul k c; y = Add b u", L.Dense(W / 64, STORED["b"])),
    "a bias of integers": (
        START + "m = MatMulInteger q Q z; k = Mul s step; d = Div b k; f = Floor d; i = .Int f; v = Add m i; c = Cast v; "
        "y = Mul c k",
        L.Dense(W / 64, STORED["b"])),
    "a bias of integers in a shape": (
        START + "m = MatMulInteger q Q z; k = Mul s step; d = Div b k; f = Round d; i = .Int f; r = Reshape i row; v = Add r m; "
        "c = Cast v; l = Mul s step; y = Mul c l", L.Dense(W / 64, STORED["b"])),
    "steps of 1": (START + "m = MatMulInteger q Q z; c = Cast m; y = Mul c s", L.Dense(W)),
    "dequantised at once": (
        START + "d = DequantizeLinear q s z; e = DequantizeLinear Q step none; y = MatMul d e", L.Dense(W / 64)),
    "one node": ("y = .DynamicQuantizeMatMul x Q step none b", L.Dense(W / 64, STORED["b"])),
    "one node without a bias": ("y = .DynamicQuantizeMatMul x Q steps", L.Dense(W * STORED["steps"])),
    "to floats": (START + "y = .MatMulIntegerToFloat q Q s step z none b", L.Dense(W / 64, STORED["b"])),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_a_product_of_integers_is_a_dense_layer(name):
    text, layer = DENSE[name]
    model = agrees(file(text), X, lrp_ref.Model.sequential([layer]))
    assert isinstance(model.nodes[0].layer, L.Dense)


CONV = START + "m = ConvInteger q K z none; c = Cast m; k = Mul s step; u = Mul c k; y = Add u beside"
HALF = STORED["K"].astype(np.float32)


@pytest.mark.parametrize(
    ("text", "factor", "given", "options"),
    [
        (CONV, 1 / 64, {}, {}),
        (CONV, 1 / 64, {"pads": [1, 2, 0, 1], "strides": [2, 1]}, {"padding": ((1, 0), (2, 1)), "stride": (2, 1)}),
        (CONV.replace("step", "places"), STORED["places"][:, None], {"dilations": [2, 1]}, {"dilation": (2, 1)}),
    ],
)
def test_a_convolution_of_integers_is_one(text, factor, given, options):
    layer = L.Conv(HALF * factor, STORED["beside"].reshape(-1), **options)
    agrees(file(text, (3, 7, 8), **given), IMAGES, lrp_ref.Model.sequential([layer]))


def test_several_layers_read_one_quantised_signal():
    """Queries, keys and values: the scale of the signal is used three times."""
    text = (
        START + "m = MatMulInteger q Q z; c = Cast m; k = Mul s step; u = Mul c k; n = MatMulInteger q U z middle; d = Cast n; "
    )
    text += "l = Mul s steps; v = Mul d l; y = Add u v"
    agrees(file(text), X, lrp_ref.Model.sequential([L.Dense(W * (1 / 64 + STORED["steps"]))]))


def test_a_relu_and_a_second_layer():
    STORED["R"] = rng.integers(-128, 128, (4, 2)).astype(np.int8)
    text = SCALED.format(weights="Q z none").replace("y =", "v =") + "; r = Relu v; p,t,w = DynamicQuantizeLinear r; "
    text += "n = MatMulInteger p R w; d = Cast n; l = Mul t step; y = Mul d l"
    plain = [L.Dense(W / 64, STORED["b"]), L.ReLU(), L.Dense(STORED["R"].astype(np.float32) / 64)]
    agrees(file(text), X, lrp_ref.Model.sequential(plain))


@pytest.mark.parametrize("each", [False, True], ids=["one scale", "a scale for each column"])
def test_an_lstm_of_integers(each):
    """ONNX Runtime's: weights (directions, lower, 4·hidden); the plain file has them the other way round."""
    hidden, steps = 3, 5
    lower = {"W": 4, "R": hidden}
    for name, extent in lower.items():
        STORED[f"{name}q"] = rng.integers(-128, 128, (1, extent, 4 * hidden)).astype(np.int8)
        STORED[f"{name}s"] = np.full((1, 4 * hidden) if each else (1,), 1 / 128, np.float32)
        STORED[f"{name}z"] = np.zeros((1, 4 * hidden) if each else (1,), np.int8)
        STORED[f"{name}s"].flat[0] = 1 / 64
        STORED[f"{name}f"] = (
            ((STORED[f"{name}q"] * STORED[f"{name}s"][:, None]) if each else STORED[f"{name}q"] / 64)
            .transpose(0, 2, 1)
            .astype(np.float32)
        )
    STORED["B"] = rng.normal(size=(1, 8 * hidden)).astype(np.float32)
    STORED["first"] = np.array([0])
    start, end = "t = Transpose x; ", "; y = Squeeze h first"
    quantised = file(start + "-,h = .DynamicQuantizeLSTM t Wq Rq B - - - - Ws Wz Rs Rz" + end, (steps, 4), hidden_size=hidden)
    plain = file(start + "-,h = LSTM t Wf Rf B" + end, (steps, 4))
    for proto in (quantised, plain):
        proto.graph.node[0].attribute.append(helper.make_attribute("perm", [1, 0, 2]))
        proto.graph.node[1].attribute.append(helper.make_attribute("direction", "forward"))
    plain.graph.node[1].attribute.append(helper.make_attribute("hidden_size", hidden))
    x = rng.normal(size=(2, steps, 4)).astype(np.float32)
    agrees(quantised, x, load(plain))


@pytest.mark.parametrize(
    "text",
    [
        START + "m = MatMulInteger q Q none; c = Cast m; k = Mul s step; y = Mul c k",
        START + "m = MatMulInteger q Q z; c = Cast m; k = Mul s step; u = Mul c k; y = Add u s",
        START + "m = MatMulInteger q Q z; c = Cast m; y = Mul c step",
        START + "m = MatMulInteger q Q z; c = Cast m; k = Mul s two; l = Mul k step; u = Mul c l; y = Mul c k",
        START + "m = MatMulInteger q Q z; c = Cast m; u = Mul c s; d = Cast q; e = Mul d s; y = MatMul u e",
        START + "d = DequantizeLinear q two z; y = MatMul d Q",
        START + "m = MatMulInteger q Q z; k = Mul s step; i = .Int b; v = Add m i; c = Cast v; y = Mul c k",
        START + "m = MatMulInteger q Q z; k = Mul s step; d = Div k b; i = .Int d; v = Add m i; c = Cast v; y = Mul c k",
    ],
)
def test_other_uses_of_scales_and_integers_are_refused_by_name(text):
    with pytest.raises(FormatError, match=r"DynamicQuantizeLinear \(1×: export the network before quantisation"):
        load(file(text))


def test_what_no_output_needs_is_no_remark():
    assert load(file(SCALED.format(weights="Q z") + "; r = Relu x", outputs=("y", "r")), outputs="r").remarks == ()


@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_what_onnx_runtime_quantises_itself(kind, tmp_path):
    """Its own tool, from a float file: the weights' rounding is all that differs."""
    tools = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime's tool does not load: NOT tested here")
    STORED["k"], STORED["v"] = rng.normal(size=(4, 3, 3, 3)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    plain = file("a = Conv x k; r = Relu a; g = GlobalAveragePool r; f = Flatten g; m = MatMul f v; y = Relu m", (3, 7, 8))
    onnx.save(plain, tmp_path / "plain.onnx")
    tools.quantize_dynamic(
        tmp_path / "plain.onnx",
        tmp_path / "int8.onnx",
        weight_type=getattr(tools.QuantType, kind),
        op_types_to_quantize=["Conv", "MatMul"],
    )
    proto = onnx.load(tmp_path / "int8.onnx")
    assert {"ConvInteger", "MatMulInteger"} <= {node.op_type for node in proto.graph.node}
    model, float_ = load(proto), load(plain)
    assert [type(n.layer) for n in model.nodes if n.layer.parameters and not isinstance(n.layer, L.Scale)] == [L.Conv, L.Dense]
    scale = np.abs(float_(IMAGES)).max()
    assert np.abs(model(IMAGES) - float_(IMAGES)).max() / scale < 0.05
    assert np.abs(model(IMAGES) - predicted(proto, IMAGES)).max() / scale < 0.05
