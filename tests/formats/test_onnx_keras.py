"""Keras's recurrent networks as tf2onnx writes them, by hand and by Keras itself: any number of steps, words that are looked up.

What tf2onnx makes of Keras: the last step is a slice that counts from the end, both directions are cut apart and joined again,
and a word's number is wrapped, so that negative ones count from the end of the table.
"""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref.errors import FormatError, ShapeError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402
from support import onnx_networks  # noqa: E402

ROWS, FEATURES, H = 9, 4, 3
END = np.array([2**31 - 1], np.int64)


def ints(*values):
    return np.array(values, np.int64)


def cut(m, x, start, stop, axis):
    """One cell along an axis, which goes."""
    return m.op("Squeeze", m.op("Slice", x, ints(start), np.asarray(stop, np.int64).reshape(1), ints(axis)), ints(axis))


def wrapped(m, x, rows=ROWS):
    """x < 0 ? x + rows : x, as a sum of two products."""
    negative = m.op("Less", m.op("Cast", x, to=TensorProto.FLOAT), np.float32(0))
    below = m.op("Mul", m.op("Cast", negative, to=TensorProto.INT32), m.op("Add", x, np.int32(rows)))
    return m.op("Add", below, m.op("Mul", x, m.op("Cast", m.op("Not", negative), to=TensorProto.INT32)))


def chosen(m, x):
    """The same by Where."""
    return m.op("Where", m.op("Less", x, np.int32(0)), m.op("Add", x, np.int32(ROWS)), x)


def lstm(m, x, features, directions):
    """All steps, (T, directions, N, H)."""
    weights = m.floats(directions, 4 * H, features), m.floats(directions, 4 * H, H), m.floats(directions, 8 * H)
    direction = "bidirectional" if directions == 2 else "forward"
    return m.op("LSTM", x, *weights, outputs=3, hidden_size=H, direction=direction)[0]


def words(spelling=wrapped, sequences=True, axis=1):
    """Words, looked up; both directions, of all steps into another LSTM or of the last ones; two scores."""
    m = onnx_networks.Maker(17)
    vectors = m.op("Gather", m.floats(ROWS, FEATURES), spelling(m, "words"), axis=0)
    steps = lstm(m, m.op("Transpose", vectors, perm=[1, 0, 2]), FEATURES, 2)
    forward, backward = (cut(m, steps, d, d + 1, axis) for d in (0, 1))
    if sequences:
        steps = lstm(m, m.op("Concat", forward, backward, axis=2), 2 * H, 1)
        state, size = cut(m, m.op("Squeeze", steps, ints(1)), -1, END, 0), H
    else:
        state, size = m.op("Concat", cut(m, forward, -1, END, 0), cut(m, backward, 0, 1, 0), axis=1), 2 * H
    return finished(m, m.op("MatMul", state, m.floats(size, 2)))


def finished(m, y):
    from onnx import numpy_helper

    graph = helper.make_graph(
        m.nodes,
        "keras",
        [helper.make_tensor_value_info("words", TensorProto.INT32, ["batch", "steps"])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in m.constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("spelling", [wrapped, chosen, lambda m, x: x], ids=["products", "choice", "plain"])
@pytest.mark.parametrize("sequences", [True, False], ids=["all steps", "last states"])
def test_a_network_of_words_is_read_for_any_number_of_steps(sequences, spelling):
    proto = words(spelling, sequences)
    model = reader.load(proto)
    assert model.input_shape == {}
    first, second = model.nodes[:2]
    assert isinstance(first.layer, L.Embedding)
    assert first.inputs == model.inputs == ("words",)
    assert isinstance(second.layer, L.LSTM)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for steps in (1, 2, 8):
        numbers = np.random.default_rng(steps).integers(0, ROWS, (3, steps)).astype(np.int32)
        (wanted,) = session.run(None, {"words": numbers})
        np.testing.assert_allclose(model(numbers.astype(np.float32)), wanted, atol=3e-6)
    e = lrp_ref.explain(model, numbers.astype(np.float32), target=0, composite="lstm_all")
    assert e.relevance.shape == (3, 8)


@pytest.mark.parametrize("rows", [ROWS - 1, 0])
def test_a_spelling_that_changes_a_words_number_is_not_left_out(rows):
    """Numbers are shifted here: only what leaves every row of the table as it is means nothing."""
    with pytest.raises(FormatError, match="divides integers, which drops the remainder"):
        reader.load(words(lambda m, x: m.op("Mod", m.op("Add", x, np.int32(1)), np.int32(rows or ROWS))))


def test_what_is_not_a_spelling_of_a_number_is_left_alone():
    with pytest.raises(FormatError, match=r"CumSum.*computed of constants alone"):
        reader.load(words(lambda m, x: m.op("CumSum", x, ints(1))))
    five = reader.load(words(lambda m, x: m.op("Add", x, np.zeros(5, np.int32))))  # of one number of steps alone
    assert five(np.zeros((2, 5))).shape[0] == 2
    with pytest.raises(ShapeError):
        five(np.zeros((2, 6)))
    twice = reader.load(words(lambda m, x: m.op("Add", x, m.op("Mul", x, np.int32(1)))))
    assert any(isinstance(node.layer, L.Add) for node in twice.nodes)


def test_slices_that_count_from_the_end_do():
    """Also both at once, and beyond both ends."""
    for start, stop in ((-2, END), (0, -1), (-3, -1), (-99, 2)):
        end = None if stop is END else stop
        m = onnx_networks.Maker(17)
        vectors = m.op("Gather", m.floats(ROWS, FEATURES), "words", axis=0)
        part = m.op("Slice", vectors, ints(start), np.asarray(stop, np.int64).reshape(1), ints(1))
        steps = m.op("Squeeze", lstm(m, m.op("Transpose", part, perm=[1, 0, 2]), FEATURES, 1), ints(1))
        model = reader.load(finished(m, m.op("MatMul", m.op("ReduceSum", steps, ints(0), keepdims=0), m.floats(H, 2))))
        numbers = np.arange(7.0, dtype=np.float32)[None]
        (slices,) = (node.layer for node in model.nodes if isinstance(node.layer, L.Slice))
        assert np.array_equal(slices.forward(numbers), numbers[:, start:end])


def keras_networks(keras):
    k = keras.layers
    return {
        "one": lambda: [k.LSTM(H), k.Dense(2)],
        "two, both ways": lambda: [k.Bidirectional(k.LSTM(H, return_sequences=True)), k.LSTM(H), k.Dense(2)],
        "last states, both ways": lambda: [k.Bidirectional(k.LSTM(H)), k.Dense(2)],
        "mean over time": lambda: [k.LSTM(H, return_sequences=True), k.GlobalAveragePooling1D(), k.Dense(2)],
        "words": lambda: [k.Embedding(ROWS, FEATURES), k.Bidirectional(k.LSTM(H)), k.Dense(2)],
    }


@pytest.mark.filterwarnings("ignore::FutureWarning")  # Keras asks NumPy for np.object, for tf2onnx
@pytest.mark.parametrize("steps", [5, None])
@pytest.mark.parametrize("name", ["one", "two, both ways", "last states, both ways", "mean over time", "words"])
def test_what_keras_exports(tmp_path, name, steps):
    """LSTMs; GRU and SimpleRNN become loops, which are refused by name with what would do."""
    keras = pytest.importorskip("keras", reason="Keras is not installed: its exports are NOT tested")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: Keras's exports are NOT tested")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(1)
    shape, kind = ((steps,), "int32") if name == "words" else ((steps, FEATURES), "float32")
    network = keras.Sequential([keras.Input(shape, dtype=kind), *keras_networks(keras)[name]()])
    for weight in network.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    network(np.zeros((1, 5) if name == "words" else (1, 5, FEATURES), kind))  # Keras exports what was called
    network.export(str(tmp_path / "net.onnx"), format="onnx", verbose=False)
    model = reader.load(tmp_path / "net.onnx")
    assert sum(isinstance(node.layer, L.LSTM) for node in model.nodes) == 1 + (name == "two, both ways")
    for count in (steps,) if steps else (1, 5, 9):
        size = (3, count) if name == "words" else (3, count, FEATURES)
        x = rng.integers(0, ROWS, size).astype(kind) if name == "words" else rng.normal(size=size).astype(kind)
        np.testing.assert_allclose(model(x.astype(np.float32)), keras.ops.convert_to_numpy(network(x)), atol=3e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_spellings_that_keras_exports(tmp_path):
    keras = pytest.importorskip("keras", reason="Keras is not installed: its spellings are NOT tested")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: Keras's spellings are NOT tested")
    k = keras.layers
    table = {
        "ReLU()": "relu",
        "Sigmoid()": "sigmoid",
        "SiLU()": "silu",
        "Softplus()": "softplus",
        "Softsign()": "softsign",
        "ELU()": "elu",
        "LogSigmoid()": "log_sigmoid",
        "Shrink()": "hard_shrink",
        "Shrink(shift=0.5)": "soft_shrink",
        f"HardSigmoid(alpha={1 / 6})": "hard_sigmoid",
        "HardSwish()": "hard_silu",
    }
    x = keras.Input((6,))
    network = keras.Model(x, k.Concatenate()([k.Activation(name)(x) for name in table.values()]))
    network(np.zeros((1, 6), np.float32))  # Keras exports what was called
    network.export(str(tmp_path / "net.onnx"), format="onnx", verbose=False)
    model = reader.load(tmp_path / "net.onnx")
    assert [repr(model[source].layer) for source in model.nodes[-1].inputs] == list(table)
    given = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    np.testing.assert_allclose(model(given), keras.ops.convert_to_numpy(network(given)), atol=3e-6)


def test_a_loop_of_keras_is_refused_with_what_would_do(tmp_path):
    m = onnx_networks.Maker(17)
    body = helper.make_graph([], "body", [], [])
    looped = m.op("Loop", np.array(3), np.array(True), m.floats(1), body=body)
    with pytest.raises(FormatError, match=r"Loop \(1×: .*from_arrays takes the weights of a GRU"):
        reader.load(finished(m, m.op("Mul", m.op("Cast", "words", to=1), looped)))


def test_a_look_up_without_numbers_is_refused_by_name():
    m = onnx_networks.Maker(17)
    found = m.op("Gather", m.floats(ROWS, FEATURES), "words")
    del m.nodes[-1].input[1]
    with pytest.raises(FormatError, match=r"node '/Gather_0' \(Gather\)"):
        reader.load(finished(m, m.op("Mul", m.op("Cast", "words", to=TensorProto.FLOAT), found)), input_shape=(5,))
