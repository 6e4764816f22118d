"""Whole networks: as exact as ONNX Runtime, what exporters took apart recognised, explained with the ledger closed."""

import os
from pathlib import Path

import numpy as np
import pytest

from support import onnx_networks

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
SMALL = {"light_bvlc_alexnet", "light_shufflenet", "light_squeezenet", "light_zfnet512"}


def predicted(data, x, output):
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run([output], {session.get_inputs()[0].name: x})[0]


def check_parity(data, batch):
    """Within 1e-5 of the largest value, or twice the runtime's own distance from float64."""
    model = reader.load(data)
    (shape,) = model.input_shape.values()
    x = np.random.default_rng(7).normal(size=(batch, *shape)).astype(np.float32)
    ours, theirs = model(x), predicted(data, x, model.outputs[0])
    exact = model.astype(np.float64)(x.astype(np.float64))
    largest = np.abs(exact).max()
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= max(1e-5 * largest, 2 * np.abs(theirs - exact).max())


@pytest.mark.parametrize("name", onnx_networks.NETWORKS)
def test_parity_of_networks_of_known_shapes(name):
    check_parity(onnx_networks.NETWORKS[name]().SerializeToString(), 3)


@pytest.mark.parametrize("path", [pytest.param(p, marks=() if p.stem in SMALL else pytest.mark.slow, id=p.stem) for p in LIGHT])
def test_parity_of_the_light_networks(path):
    check_parity(path.read_bytes(), 1)


@pytest.mark.parametrize("path", [p for p in LIGHT if p.stem in SMALL], ids=lambda p: p.stem)
def test_stored_outputs_of_the_light_networks(path):
    stored = onnx.TensorProto()
    stored.ParseFromString(path.with_name(f"{path.stem}_output_0.pb").read_bytes())
    model = reader.load(path)
    (shape,) = model.input_shape.values()
    count = np.prod(shape)
    x = (np.arange(count).reshape(1, *shape) / count).astype(np.float32)
    np.testing.assert_allclose(model(x), numpy_helper.to_array(stored), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", onnx_networks.NETWORKS)
def test_a_fixed_batch_does_not_stay(name):
    """The file says batch 1, the model takes any."""
    fixed, free = (reader.load(onnx_networks.NETWORKS[name](batch)) for batch in (1, "N"))
    (shape,) = free.input_shape.values()
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    assert (fixed(x) == free(x)).all()
    assert [n.name for n in fixed.nodes] == [n.name for n in free.nodes]


@pytest.mark.parametrize("name", onnx_networks.NETWORKS)
def test_what_is_recognised_computes_the_same(name):
    apart, whole = (reader.load(onnx_networks.NETWORKS[name](), patterns=p).astype(np.float64) for p in (False, True))
    (shape,) = whole.input_shape.values()
    x = np.random.default_rng(0).normal(size=(2, *shape))
    # 1/√2 and the like stand in the file as float32: what is recognised means the number itself.
    np.testing.assert_allclose(whole(x), apart(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["vgg", "resnet", "densenet", "mobilenet"])
def test_networks_are_explained(name):
    model = reader.load(onnx_networks.NETWORKS[name]()).astype(np.float64)
    (shape,) = model.input_shape.values()
    x = np.random.default_rng(1).normal(size=(1, *shape))
    e = lrp_ref.explain(model, x, target=1, ledger=True)
    assert np.isfinite(e.relevance).all()
    assert e.relevance.shape == x.shape


# --- patterns ---------------------------------------------------------------------------------------------------------------


def written(build, *shape, opset=17, scale=1.0):
    """A network of one input x, written by `build(maker, x)`; (ModelProto, Model, input)."""
    m = onnx_networks.Maker(opset)
    m.channels["x"] = shape[0]
    proto = m.model(build(m, "x"), shape, name="x", out="y")
    return proto, reader.load(proto), np.random.default_rng(2).normal(size=(2, *shape)).astype(np.float32) * scale


def f(x):
    return np.float32(x)


def tanh_gelu(cube):
    def build(m, x):
        inner = m.op("Mul", m.op("Add", x, m.op("Mul", cube(m, x), f(0.044715))), f(0.7978845608))
        return m.op("Mul", m.op("Mul", x, f(0.5)), m.op("Add", f(1), m.op("Tanh", inner)))

    return build


def clip(m, x):
    return m.op("Clip", m.op("Add", x, f(3)), f(0), f(6))


def erf_gelu(m, x, before, gate, after):
    g = m.op("Erf", m.op("Mul", x, f(0.70710678)))
    g = m.op("Add", g, f(1)) if gate == 1 else m.op("Add", m.op("Mul", g, f(0.5)), f(0.5))
    y = m.op("Mul", g, m.op("Mul", x, f(before)) if before != 1 else x)
    return m.op("Mul", y, f(after)) if after != 1 else y


PATTERNS = {
    "GELU, half after": (lambda m, x: erf_gelu(m, x, 1, 1, 0.5), L.GELU()),
    "GELU, half before": (lambda m, x: erf_gelu(m, x, 0.5, 1, 1), L.GELU()),
    "GELU, half inside": (lambda m, x: erf_gelu(m, x, 1, 0.5, 1), L.GELU()),
    "GELU of a multiple": (lambda m, x: onnx_networks.gelu(m, m.op("Mul", x, f(3))), L.GELU()),
    "GELU by tanh, power": (tanh_gelu(lambda m, x: m.op("Pow", x, f(3))), L.GELU("tanh")),
    "GELU by tanh, products": (tanh_gelu(lambda m, x: m.op("Mul", x, m.op("Mul", x, x))), L.GELU("tanh")),
    "SiLU": (lambda m, x: m.op("Mul", x, m.op("Sigmoid", x)), L.SiLU()),
    "SiLU turned": (lambda m, x: m.op("Mul", m.op("Sigmoid", x), x), L.SiLU()),
    "quick GELU": (lambda m, x: m.op("Mul", x, m.op("Sigmoid", m.op("Mul", x, f(1.702)))), L.SiLU(1.702)),
    "Mish": (lambda m, x: m.op("Mul", x, m.op("Tanh", m.op("Softplus", x))), L.Mish()),
    "HardSwish, division last": (lambda m, x: m.op("Div", m.op("Mul", x, clip(m, x)), f(6)), L.HardSwish()),
    "HardSwish, division inside": (lambda m, x: m.op("Mul", x, m.op("Div", clip(m, x), f(6))), L.HardSwish()),
    "HardSwish of HardSigmoid": (lambda m, x: m.op("Mul", x, m.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)), L.HardSwish()),
    "HardSigmoid": (lambda m, x: m.op("Div", clip(m, x), f(6)), L.HardSigmoid(1 / 6, 0.5)),
}


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("shape", [(3,), (2, 4, 4)])
def test_activations_are_recognised(name, shape):
    build, layer = PATTERNS[name]
    proto, model, x = written(build, *shape, scale=3)
    node = model["y"]
    assert repr(node.layer) == repr(layer)
    assert len(model.nodes) == (2 if "multiple" in name else 1)
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=2e-4, atol=1e-5)


NEAR_MISSES = {
    "no half": lambda m, x: erf_gelu(m, x, 1, 1, 1),
    "another root": lambda m, x: m.op("Mul", m.op("Mul", x, m.op("Add", m.op("Erf", m.op("Mul", x, f(0.7))), f(1))), f(0.5)),
    "a gate of something else": lambda m, x: m.op("Mul", m.op("Relu", x), m.op("Sigmoid", x)),
    "a shifted gate": lambda m, x: m.op("Mul", x, m.op("Sigmoid", m.op("Add", x, f(1)))),
    "six missing": lambda m, x: m.op("Mul", x, clip(m, x)),
    "another bound": lambda m, x: m.op("Div", m.op("Mul", x, m.op("Clip", m.op("Add", x, f(3)), f(0), f(5))), f(6)),
    "a softplus of something else": lambda m, x: m.op("Mul", x, m.op("Tanh", m.op("Softplus", m.op("Neg", x)))),
    "another cube": tanh_gelu(lambda m, x: m.op("Pow", x, f(2))),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_is_nearly_a_pattern_is_left_alone(name):
    proto, model, x = written(NEAR_MISSES[name], 3)
    assert not any(isinstance(n.layer, (L.GELU, L.SiLU, L.Mish, L.HardSwish)) for n in model.nodes)
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-6)


def test_what_others_read_stays():
    """x·σ(x) beside a second reader of σ(x)."""

    def build(m, x):
        gate = m.op("Sigmoid", x)
        return m.op("Add", m.op("Mul", x, gate), gate)

    proto, model, x = written(build, 3)
    assert sorted(type(n.layer).__name__ for n in model.nodes) == ["Add", "SiLU", "Sigmoid"]
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-5)


def test_matmul_and_add_are_one_dense_layer():
    _, model, _ = written(lambda m, x: m.dense(x, 4, 5, split=True), 4)
    assert repr(model["y"].layer) == "Dense(weight[4, 5], bias[5])"
    assert len(model.nodes) == 1


def test_a_matrix_product_that_is_an_output_stays_beside_its_sum():
    m = onnx_networks.Maker()
    product = m.op("MatMul", "x", m.floats(4, 5))
    proto = m.model(m.op("Add", product, m.floats(5)), (4,), name="x", out="y")
    model = reader.load(proto, outputs=(product, "y"))
    assert {type(n.layer) for n in model.nodes} == {L.Dense, L.Scale}


def test_a_batch_norm_as_mul_and_add_is_one_affine_map():
    build = lambda m, x: m.op("Add", m.op("Mul", m.conv(x, 4), m.floats(4, 1, 1)), m.floats(4, 1, 1))  # noqa: E731
    proto, model, x = written(build, 2, 5, 5)
    assert [type(n.layer) for n in model.nodes] == [L.Conv, L.Scale]
    canonical = lrp_ref.canonize(model)
    assert [type(n.layer) for n in canonical.nodes] == [L.Conv]
    for read in (model, canonical):
        np.testing.assert_allclose(read(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-5)


def test_a_sum_that_differs_from_row_to_row_is_no_bias():
    build = lambda m, x: m.op("Add", m.op("MatMul", x, m.floats(4, 5)), m.floats(5, 1))  # noqa: E731
    proto, model, x = written(build, 5, 4)
    assert [type(n.layer) for n in model.nodes] == [L.Dense, L.Scale]
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-5)


def test_a_factor_that_differs_from_row_to_row_is_no_part_of_a_layer_norm():
    build = lambda m, x: m.op("Mul", spelled_norm(m, x), m.floats(5, 8))  # noqa: E731
    proto, model, x = written(build, 5, 8)
    assert [type(n.layer) for n in model.nodes] == [L.LayerNorm, L.Scale]
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-5)


def spelled_norm(m, x, of=None, mean=-1, variance=-1, scale=1.0):
    """(x − mean) / √(variance + ε); `of`: of what the mean is."""
    centred = m.op("Sub", x, m.op("ReduceMean", of or x, axes=[mean], keepdims=1))
    square = m.op("ReduceMean", m.op("Mul", centred, centred), axes=[variance], keepdims=1)
    square = square if scale == 1 else m.op("Mul", square, f(scale))
    return m.op("Div", centred, m.op("Sqrt", m.op("Add", square, f(1e-5))))


@pytest.mark.parametrize(
    "build",
    [
        lambda m, x: spelled_norm(m, x, of=m.op("Relu", x)),
        lambda m, x: spelled_norm(m, x, mean=1),
        lambda m, x: spelled_norm(m, x, variance=1),
        lambda m, x: spelled_norm(m, x, scale=2.0),
    ],
    ids=["the mean of something else", "mean of another axis", "variance of another axis", "twice the variance"],
)
def test_what_is_nearly_a_layer_norm_is_left_alone(build):
    proto, model, x = written(build, 5, 8)
    assert not any(isinstance(n.layer, L.LayerNorm) for n in model.nodes)
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-5)


GATES = {
    "a sigmoid": lambda m, x: m.op("Sigmoid", x),
    "clipped to 0 and 1": lambda m, x: m.op("Clip", x, f(0), f(1)),
    "hard sigmoid in parts": lambda m, x: m.op("Div", clip(m, x), f(6)),
    "reshaped": lambda m, x: m.op("Reshape", m.op("Sigmoid", m.op("Flatten", x)), np.array([0, 3, 1, 1])),
}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("first", [True, False])
def test_gates_are_recognised_whatever_squashes_them(name, first):
    def build(m, x):
        gate = GATES[name](m, m.conv(m.op("GlobalAveragePool", x), 3, 1))
        return m.op("Mul", *((gate, x) if first else (x, gate)))

    _, model, x = written(build, 3, 4, 4)
    assert model["y"].layer.signal == int(first)
    e = lrp_ref.explain(model, x[:1], target=(1, 2, 3), ledger=True)
    assert np.flatnonzero(e.relevance).tolist() == [16 + 2 * 4 + 3]  # all of it goes to the signal, none through the gate


def test_a_product_of_two_signals_or_of_two_gates_has_no_signal():
    for build in (
        lambda m, x: m.op("Mul", m.op("Relu", x), m.op("Tanh", x)),
        lambda m, x: m.op("Mul", m.op("Sigmoid", m.op("Relu", x)), m.op("Sigmoid", x)),
        lambda m, x: m.op("Mul", m.op("Relu", x), m.op("Clip", x, f(0), f(2))),
    ):
        _, model, _ = written(build, 3)
        assert model["y"].layer.signal is None


@pytest.mark.parametrize("shape", [(5, 8), (2, 5, 8), (8,)])
@pytest.mark.parametrize("square", [lambda m, c: m.op("Pow", c, f(2)), lambda m, c: m.op("Mul", c, c)])
@pytest.mark.parametrize("divide", ["Div", "Mul"])
def test_layer_norms_are_recognised(shape, square, divide):
    def build(m, x):
        centred = m.op("Sub", x, m.op("ReduceMean", x, axes=[-1], keepdims=1))
        root = m.op("Sqrt", m.op("Add", m.op("ReduceMean", square(m, centred), axes=[-1], keepdims=1), f(1e-5)))
        y = m.op("Div", centred, root) if divide == "Div" else m.op("Mul", centred, m.op("Reciprocal", root))
        return m.op("Add", m.op("Mul", y, m.floats(8)), m.floats(8))

    proto, model, x = written(build, *shape)
    assert repr(model["y"].layer) == "LayerNorm(scale[8], shift[8])"
    assert len(model.nodes) == 1
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_mean_over_space_is_global_average_pooling(keep):
    _, model, _ = written(lambda m, x: m.op("ReduceMean", x, axes=[2, 3], keepdims=keep), 3, 4, 4)
    assert repr(model["y"].layer) == ("GlobalAvgPool()" if keep else "Mean(axes=(2, 3))")


@pytest.mark.parametrize("target", [[0, -1], [-1, 48], "view"])
def test_a_reshape_to_one_axis_is_flatten(target):
    build = (lambda m, x: m.flat(x)) if target == "view" else (lambda m, x: m.op("Reshape", x, np.array(target)))
    _, model, _ = written(build, 3, 4, 4)
    assert repr(model["y"].layer) == "Flatten()"


def test_a_group_norm_as_pytorch_exports_it():
    def build(m, x):
        y = m.op("Reshape", x, np.array([0, 2, -1]))
        y = m.op("InstanceNormalization", y, np.ones(2, np.float32), np.zeros(2, np.float32))
        y = m.op("Reshape", y, m.op("Shape", x))
        return m.op("Add", m.op("Mul", y, m.floats(4, 1, 1)), m.floats(4, 1, 1))

    proto, model, x = written(build, 4, 3, 3)
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-5)


def test_shuffled_channels_and_sizes_from_shapes():
    """Reshape and Resize to extents that the graph computes."""

    def build(m, x):
        shape = m.op("Shape", x)
        batch = m.op("Slice", shape, np.array([0]), np.array([1]))
        y = m.op("Reshape", x, m.op("Concat", batch, np.array([2, 2, 3, 3]), axis=0))
        y = m.op("Reshape", m.op("Transpose", y, perm=[0, 2, 1, 3, 4]), shape)
        size = m.op(
            "Cast",
            m.op("Floor", m.op("Mul", m.op("Cast", m.op("Slice", shape, np.array([2]), np.array([4])), to=1), f(2.0))),
            to=7,
        )
        head = m.op("Slice", shape, np.array([0]), np.array([2]))
        return m.op(
            "Resize", y, "", "", m.op("Concat", head, size, axis=0), mode="linear", coordinate_transformation_mode="half_pixel"
        )

    proto, model, x = written(build, 4, 3, 3)
    assert [type(n.layer).__name__ for n in model.nodes] == ["Reshape", "Transpose", "Reshape", "Resize"]
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-5, atol=1e-6)


def test_attention_is_predicted_and_its_nodes_are_refused_by_name():
    def build(m, x):
        q, k, v = (m.dense(x, 6, 6, split=True) for _ in range(3))
        scores = m.op("Softmax", m.op("Div", m.op("MatMul", q, m.op("Transpose", k, perm=[0, 2, 1])), f(6**0.5)), axis=-1)
        return m.op("MatMul", scores, v)

    proto, model, x = written(build, 5, 6)
    np.testing.assert_allclose(model(x), predicted(proto.SerializeToString(), x, "y"), rtol=1e-4, atol=1e-5)
    with pytest.raises(lrp_ref.errors.LrpError, match="MatMul"):
        lrp_ref.explain(model, x, target=(0, 0))


def test_names_are_those_of_the_file():
    a, b = helper.make_node("Relu", ["x"], ["h"], name="same"), helper.make_node("Tanh", ["h"], ["g"], name="same")
    c = helper.make_node("Relu", ["g"], ["out"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    model = reader.load(
        helper.make_model(helper.make_graph([a, b, c], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    )
    assert [n.name for n in model.nodes] == ["same", "same_2", "out"]
    assert model.inputs == ("x",)
    assert model.outputs == ("out",)


@pytest.mark.shared
def test_squeezenet():
    """LRP_REF_MODELS names a folder with squeezenet1_0.onnx, which is not ours to ship."""
    path = Path(os.environ.get("LRP_REF_MODELS", ".")) / "squeezenet1_0.onnx"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    check_parity(path.read_bytes(), 1)
