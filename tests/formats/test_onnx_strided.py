"""What PyTorch writes for `as_strided`: all samples in one row, and a Gather by numbers that depend on the batch."""

import numpy as np
import pytest

from support import onnx_examples, onnx_networks

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref.errors import FormatError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402

CHANNELS, SIDE = 4, 2
SIZE = CHANNELS * SIDE * SIDE


def strided(places, step=SIZE, batch="N", twist=None, axis=0):
    """A network x → Relu → `places` (of one sample) picked from memory, n·step further in sample n → Tanh."""
    m = onnx_networks.Maker()
    m.channels["x"] = CHANNELS
    h = m.op("Relu", "x")
    row = m.op("Reshape", h, np.array([-1]))
    places = np.asarray(places)
    if batch == "N":
        count = m.op("Gather", m.op("Shape", "x"), np.array(0), axis=0)
        samples = m.op("Range", np.array(0), count, np.array(1))
        samples = m.op("Mul", samples, np.array(step)) if twist is None else twist(m, samples)
        samples = m.op("Unsqueeze", samples, np.arange(1, places.ndim + 1))
        picked = m.op("Add", samples, places[None])
    else:
        picked = step * np.arange(batch).reshape(-1, *(1,) * places.ndim) + places[None]
    y = m.op("Tanh", m.op("Gather", row, picked, axis=axis))
    return m.model(y, (CHANNELS, SIDE, SIDE), batch, name="x", out="y")


def check(proto, batch=2):
    x = np.random.default_rng(0).normal(size=(batch, CHANNELS, SIDE, SIDE)).astype(np.float32)
    (want,), _ = onnx_examples.expected(proto, x)
    model = reader.load(proto)
    np.testing.assert_allclose(model(x), want, rtol=1e-5, atol=1e-6)
    return model


WHOLE = np.arange(SIZE).reshape(CHANNELS, SIDE, SIDE)


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_all_elements_in_their_order_are_what_was_there(batch):
    model = check(strided(WHOLE, batch=batch), 2 if batch == "N" else batch)
    assert [type(node.layer) for node in model.nodes] == [L.ReLU, L.Tanh]


@pytest.mark.parametrize(
    "places",
    [
        WHOLE.reshape(-1),
        WHOLE.transpose(2, 0, 1),
        WHOLE[::2, :, :1],
        WHOLE[:, ::-1],
        np.array([3, 3, 15, 0]),
        np.array(7),
    ],
    ids=["flat", "moved", "some", "turned", "twice", "one"],
)
@pytest.mark.parametrize("batch", ["N", 3])
def test_any_pick_within_a_sample_is_a_gather(places, batch):
    model = check(strided(places, batch=batch), 3)
    assert model(np.ones((5, CHANNELS, SIDE, SIDE), np.float32)).shape == (5, *places.shape)
    e = lrp_ref.explain(model, np.ones((1, CHANNELS, SIDE, SIDE), np.float32), target=(0,) * places.ndim if places.ndim else 0)
    where = np.flatnonzero(e.relevance)
    assert where.tolist() == [places.reshape(-1)[0]]


@pytest.mark.parametrize(
    ("places", "options", "message"),
    [
        (WHOLE, {"step": SIZE - 1}, "between samples"),
        (WHOLE, {"step": 0}, "between samples"),
        (WHOLE + 1, {}, "between samples"),
        (WHOLE - 1, {}, "between samples"),
        (WHOLE[:0], {}, "picks none"),
        (WHOLE, {"twist": lambda m, n: m.op("Mul", m.op("Mul", n, n), np.array(SIZE))}, "between samples"),
        (WHOLE, {"twist": lambda m, n: m.op("Mul", m.op("Min", n, np.array(1)), np.array(SIZE))}, "between samples"),
        (WHOLE, {"batch": 2, "step": SIZE + 1}, "between samples"),
    ],
    ids=["short step", "no step", "beyond", "before", "nothing", "squares", "the first two", "fixed"],
)
def test_what_mixes_samples_is_refused(places, options, message):
    with pytest.raises(FormatError, match=message):
        reader.load(strided(places, **options))


def test_the_row_itself_is_read_by_others_sample_by_sample():
    proto = strided(WHOLE)
    proto.graph.node.append(helper.make_node("Relu", [proto.graph.node[1].output[0]], ["z"], name="other"))
    proto.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    model = reader.load(proto)
    assert model.remarks == ("output 'z' has its batch folded into axis 0 in the file, and along axis 0 here",)
    assert len(reader.load(proto, outputs="y").nodes) == 2


def test_the_samples_of_an_open_batch_are_not_counted_at_load():
    """They stand for any number: an array of them, and sums of it, would take gigabytes."""
    with pytest.raises(FormatError, match=r"'/Range_\d+' \(Range\): a Range of N numbers is not computed at load"):
        reader.load(strided(WHOLE, axis=1))


@pytest.mark.parametrize("numbers", ["floats", "a signal"])
def test_numbers_that_are_not_known_are_refused(numbers):
    places = numpy_helper.from_array(np.zeros(3, np.float32), "p")
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["row"], name="row"),
        helper.make_node("Gather", ["row", "p" if numbers == "floats" else "x"], ["y"], name="it"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    one_row = numpy_helper.from_array(np.array([-1]), "s")
    graph = helper.make_graph(nodes, "g", [x], [y], [one_row, places])
    with pytest.raises(FormatError, match=r"node 'it' \(AsStrided\): the indices that it picks must be constant integers"):
        reader.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
