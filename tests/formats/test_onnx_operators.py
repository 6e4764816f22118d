"""Every operator, judged by the `onnx` package's stored outputs, and in every version of its schema by ONNX Runtime."""

import numpy as np
import pytest

from support import onnx_cases, onnx_examples

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lrp_ref import layers as L  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402
from lrp_ref.formats.onnx.read.reader import NEWEST, OLDEST  # noqa: E402
from lrp_ref.formats.onnx.translate.operators import OPERATORS  # noqa: E402

CASES = onnx_cases.collected()
BY_OPERATOR: dict = {}
for case in CASES:
    BY_OPERATOR.setdefault(case.model.graph.node[0].op_type, []).append(case)
#: Listed operators whose cases are all of signals that cannot be explained.
WITHOUT_PASS = {"ArgMax", "TopK"}
#: How many of the node cases must pass; a newer `onnx` may have more of them.
AT_LEAST = 605


@pytest.mark.parametrize("op", sorted(BY_OPERATOR))
def test_node_cases(op):
    outcomes = {c.name: onnx_cases.tried(c) for c in BY_OPERATOR[op]}
    assert {name: o.wrong for name, o in outcomes.items() if o.wrong} == {}
    assert any(o.passed for o in outcomes.values()) or op in WITHOUT_PASS
    assert all(o.passed or o.reasons for o in outcomes.values())
    COUNTED[op] = sum(bool(o.passed) for o in outcomes.values())


COUNTED: dict = {}

MORE = [c for c in onnx_cases.collected(onnx_cases.LISTED | onnx_cases.BESIDE) if c.name not in {case.name for case in CASES}]


@pytest.mark.parametrize("op", sorted({c.model.graph.node[0].op_type for c in MORE}))
def test_node_cases_of_what_exporters_write_beside_them(op):
    outcomes = {c.name: onnx_cases.tried(c) for c in MORE if c.model.graph.node[0].op_type == op}
    assert {name: o.wrong for name, o in outcomes.items() if o.wrong} == {}
    assert all(o.passed or o.reasons for o in outcomes.values())
    PASSED_BESIDE[op] = sum(bool(o.passed) for o in outcomes.values())


PASSED_BESIDE: dict = {}


def test_enough_of_them_pass():
    if len(PASSED_BESIDE) < len({c.model.graph.node[0].op_type for c in MORE}):
        pytest.skip("needs the outcomes of all operators, in one process")
    assert sum(PASSED_BESIDE.values()) >= 358


def test_enough_node_cases_pass():
    if len(COUNTED) < len(BY_OPERATOR):
        pytest.skip("needs the outcomes of all operators, in one process")
    assert sum(COUNTED.values()) >= AT_LEAST


def test_every_listed_operator_has_node_cases_or_examples():
    assert set(BY_OPERATOR) | set(onnx_examples.EXAMPLES) | onnx_examples.APART >= onnx_cases.LISTED
    assert {op for op, _ in OPERATORS if "." not in op} == set(onnx_examples.EXAMPLES) | onnx_examples.APART


def test_the_table_lists_every_schema_from_the_oldest_version_on():
    """A newer `onnx` that changes an operator makes this fail: someone must look at the change."""
    for op in {op for op, _ in OPERATORS}:
        ours = {version for found, version in OPERATORS if found == op}
        domain, _, name = op.rpartition(".")
        theirs = {s.since_version for s in onnx.defs.get_all_schemas_with_history() if (s.domain, s.name) == (domain, name)}
        theirs = {v for v in theirs if v <= NEWEST}
        first = max((v for v in theirs if v <= OLDEST), default=0)
        assert ours == {v for v in theirs if v >= first}, op


#: Those of ai.onnx.ml have a file of their own: test_onnx_learned.py.
SCHEMAS = sorted(
    (op, v) for op, v in OPERATORS if "." not in op and op not in onnx_examples.APART and (op, v) != ("Upsample", 10)
)


@pytest.mark.parametrize(("op", "version"), SCHEMAS)
def test_every_schema(op, version):
    proto, x = onnx_examples.model_of(op, version)
    wanted, _ = onnx_examples.expected(proto, x)
    model = reader.load(proto)
    found = model(x)
    found = list(found.values()) if isinstance(found, dict) else [found]
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        # Both are float32 and round differently: a few units in the last place of the largest value.
        assert np.abs(ours - theirs).max() <= 1e-5 * max(np.abs(theirs).max(), 1e-9)
    more = model(np.concatenate([x, x[:1]]))  # the batch is open
    more = list(more.values()) if isinstance(more, dict) else [more]
    assert all(len(array) == len(x) + 1 for array in more)


def one(op, *inputs, shape=("N", 4, 6), opset=17, outputs=1, elem=TensorProto.FLOAT, **attributes):
    """A model of one node, its constants given as arrays."""
    names = ["x", *(f"c{k}" for k in range(len(inputs)))]
    constants = [numpy_helper.from_array(np.asarray(v), n) for v, n in zip(inputs, names[1:], strict=True)]
    made = [f"y{k}" for k in range(outputs)]
    node = helper.make_node(op, names, made, name="it", **attributes)
    x = helper.make_tensor_value_info("x", elem, shape)
    y = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in made]
    return helper.make_model(
        helper.make_graph([node], "g", [x], y, constants), opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("opset", [7, 11, 13])
def test_softmax_took_all_later_axes_together_once(op, axis, opset):
    proto = one(op, shape=("N", 4, 6), opset=opset, axis=axis)
    x = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32)
    (want,), _ = onnx_examples.expected(proto, x)
    np.testing.assert_allclose(reader.load(proto)(x), want, rtol=1e-5)


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_automatic_padding(auto, op, stride):
    weight = [np.random.default_rng(1).normal(size=(2, 2, 3, 2)).astype(np.float32)] if "Conv" in op else []
    proto = one(op, *weight, shape=("N", 2, 7, 8), auto_pad=auto, strides=[stride] * 2, kernel_shape=[3, 2])
    x = np.random.default_rng(0).normal(size=(2, 2, 7, 8)).astype(np.float32)
    (want,), _ = onnx_examples.expected(proto, x)
    np.testing.assert_allclose(reader.load(proto)(x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["Conv", "MaxPool"])
@pytest.mark.parametrize(
    ("auto", "stride", "pads"),
    [("SAME_UPPER", 1, [2, 1, 2, 2]), ("SAME_LOWER", 1, [2, 2, 2, 1]), ("SAME_UPPER", 2, [2, 1, 2, 1])],
)
def test_automatic_padding_counts_dilated_windows_whole(op, auto, stride, pads):
    """ONNX Runtime takes dilated windows for smaller ones in its automatic padding, so it is given the pads by number."""
    weight = [np.random.default_rng(1).normal(size=(2, 2, 3, 2)).astype(np.float32)] if op == "Conv" else []
    options = {"strides": [stride] * 2, "kernel_shape": [3, 2], "dilations": [2, 3]}
    x = np.random.default_rng(0).normal(size=(2, 2, 9, 8)).astype(np.float32)
    (want,), _ = onnx_examples.expected(one(op, *weight, shape=("N", 2, 9, 8), pads=pads, **options), x)
    assert want.shape[2:] == (-(-9 // stride), -(-8 // stride))
    ours = reader.load(one(op, *weight, shape=("N", 2, 9, 8), auto_pad=auto, **options))
    np.testing.assert_allclose(ours(x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("auto", "extent"), [("NOTSET", 4), ("VALID", 3), ("SAME_UPPER", 4)])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_a_last_window_may_stick_out_only_where_pads_are_given(op, auto, extent):
    """As ONNX defines the extents; ONNX Runtime also lets it under VALID."""
    proto = one(op, shape=("N", 1, 8), opset=19, auto_pad=auto, kernel_shape=[3], strides=[2], ceil_mode=1)
    assert reader.load(proto)(np.ones((1, 1, 8), np.float32)).shape == (1, 1, extent)


@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("coordinates", ["tf_half_pixel_for_nn", "asymmetric", "half_pixel"])
def test_nearest_cells_as_older_files_count_them(coordinates, rounding):
    """`tf_half_pixel_for_nn` is of version 11 alone, for which the node cases have no example."""
    for factor in (2.0, 0.5, 1.75, 0.625):
        scales = np.array([1, 1, factor], np.float32)
        options = {"coordinate_transformation_mode": coordinates, "nearest_mode": rounding, "mode": "nearest"}
        proto = one("Resize", np.zeros(0, np.float32), scales, shape=("N", 2, 8), opset=11, **options)
        x = np.random.default_rng(0).normal(size=(2, 2, 8)).astype(np.float32)
        (want,), _ = onnx_examples.expected(proto, x)
        np.testing.assert_array_equal(reader.load(proto)(x), want)


@pytest.mark.parametrize("order", [("image", "gate"), ("gate", "image")])
def test_the_signal_of_a_gate_is_known(order):
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Sigmoid", ["p"], ["gate"]),
        helper.make_node("Relu", ["x"], ["image"]),
        helper.make_node("Mul", list(order), ["y"], name="gated"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 3, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 3, 3])
    model = reader.load(helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)]))
    layer = model["y"].layer
    assert isinstance(layer, L.Multiply)
    assert layer.signal == order.index("image")


def test_a_class_label_beside_the_scores_is_left_out():
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["score"]),
        helper.make_node("ArgMax", ["score"], ["label"], axis=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, None),
        helper.make_tensor_value_info("score", TensorProto.FLOAT, None),
    ]
    weight = numpy_helper.from_array(np.eye(3, 4, dtype=np.float32), "w")
    for chosen in (outputs, outputs[:1]):
        graph = helper.make_graph(nodes, "g", [x], chosen, [weight])
        assert reader.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).outputs == ("score",)


def test_token_ids_are_read_as_floats():
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    node = helper.make_node("Gather", ["w", "ids"], ["y"], name="rows")
    x = helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", 5])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(table, "w")])
    model = reader.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    ids = np.array([[0, 3, 1, 1, 2]])
    assert (model(ids.astype(np.float32)) == table[ids]).all()


def test_a_single_sample_gets_a_batch_axis():
    proto = one("Transpose", shape=(3, 4), perm=[1, 0])
    moved = reader.load(proto)
    assert moved.remarks == ("output 'y0' has its batch along axis 1 in the file, and along axis 0 here",)
    x = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    assert (reader.load(proto, batched=False)(x) == x.transpose(0, 2, 1)).all()
