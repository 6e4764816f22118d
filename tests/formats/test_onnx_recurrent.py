"""LSTM, GRU and RNN from ONNX files: against ONNX Runtime and the `onnx` package's stored outputs; layouts; refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from support import onnx_cases

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref.errors import FormatError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402

F = np.float32
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
T, N, FEATURES, H = 5, 3, 4, 2


def array(name, *shape, seed=0):
    return numpy_helper.from_array(np.random.default_rng(seed).normal(size=shape).astype(F), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, constants, opset=17):
    graph = helper.make_graph(nodes, "g", inputs, [info(n, None) for n in outputs], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def cell(op, read=(), outputs=("y",), bias=True, peepholes=False, constants=(), **attributes):
    """A node that reads "t", (T, N, features), and what `read` names, with its weights."""
    d = 2 if attributes.get("direction") == "bidirectional" else 1
    g = GATES[op] * H
    arrays = [array("W", d, g, FEATURES, seed=1), array("R", d, g, H, seed=2)]
    inputs = ["t", "W", "R", ""]
    if bias:
        arrays.append(array("B", d, 2 * g, seed=3))
        inputs[3] = "B"
    inputs += [name if name in read else "" for name in ("lengths", "h", *(("c",) if op == "LSTM" else ()))]
    if peepholes:
        arrays.append(array("P", d, 3 * H, seed=4))
        inputs.append("P")
    while inputs[-1] == "":
        inputs.pop()
    return helper.make_node(op, inputs, list(outputs), name="cell", hidden_size=H, **attributes), [*arrays, *constants], d


def batch_first(op, outputs=("Y", "Y_h"), **options):
    """x (N, T, features) turned around, the cell, and its outputs with the batch in front again."""
    made, constants, d = cell(
        op, outputs=[o if o in outputs else "" for o in ("Y", "Y_h", "Y_c")[: 3 if op == "LSTM" else 2]], **options
    )
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]), made]
    for name in outputs:
        perm = [2, 0, 1, 3] if name == "Y" else [1, 0, 2]
        nodes.append(helper.make_node("Transpose", [name], [f"{name}_out"], perm=perm))
    return nodes, constants, d


def judged(proto, given, opened=None, **options):
    """Our model's outputs beside ONNX Runtime's, for the same arrays."""
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, given)
    model = reader.load(proto, **options)
    ours = {k: v.astype(model.dtype) for k, v in given.items()}
    found = model(opened(ours) if opened else ours)
    found = list(found.values()) if isinstance(found, dict) else [found]
    return model, found, wanted


def close(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape
        # float32, some dozens of roundings each, through squashing functions
        np.testing.assert_allclose(ours, theirs, atol=3e-6)


X = np.random.default_rng(5).normal(size=(N, T, FEATURES)).astype(F)


@pytest.mark.parametrize("opset", [7, 14, 22])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_every_output_in_every_direction(op, direction, opset):
    outputs = ("Y", "Y_h", "Y_c") if op == "LSTM" else ("Y", "Y_h")
    for bias, more in itertools.product((True, False), ({}, {"linear_before_reset": 1}) if op == "GRU" else ({},)):
        nodes, constants, _ = batch_first(op, outputs, direction=direction, bias=bias, **more)
        proto = model_of(nodes, [info("x", ("N", T, FEATURES))], [f"{o}_out" for o in outputs], constants, opset)
        close(*judged(proto, {"x": X})[1:])


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", GATES)
def test_lengths_and_initial_states_as_inputs(op, direction):
    states = ("h", "c") if op == "LSTM" else ("h",)
    nodes, constants, d = batch_first(op, direction=direction, read=("lengths", *states))
    inputs = [info("x", ("N", T, FEATURES)), info("lengths", ("N",), TensorProto.INT32)]
    inputs += [info(f"{s}0", ("N", d, H)) for s in states]
    turns = [helper.make_node("Transpose", [f"{s}0"], [s], perm=[1, 0, 2]) for s in states]
    rng = np.random.default_rng(6)
    given = {"x": X, "lengths": np.array([5, 2, 1], np.int32)} | {f"{s}0": rng.normal(size=(N, d, H)).astype(F) for s in states}
    proto = model_of([*turns, *nodes], inputs, ["Y_out", "Y_h_out"], constants)
    model, found, wanted = judged(proto, given)
    close(found, wanted)
    e = lrp_ref.explain(model, {k: v.astype(F) for k, v in given.items()}, target=(0, 0, 0), output="Y_out", composite="lstm_all")
    assert not e.relevances["x"][1, 2:].any()


def test_lengths_that_are_cast():
    nodes, constants, _ = batch_first("LSTM", ("Y_h",), read=("lengths",))
    cast = helper.make_node("Cast", ["given"], ["lengths"], to=TensorProto.INT32)
    inputs = [info("x", ("N", T, FEATURES)), info("given", ("N",), TensorProto.INT64)]
    proto = model_of([cast, *nodes], inputs, ["Y_h_out"], constants)
    model, found, wanted = judged(proto, {"x": X, "given": np.array([3, 5, 1])})
    close(found, wanted)
    assert [n.layer.reads for n in model.nodes if isinstance(n.layer, L.LSTM)] == [("lengths",)]


@pytest.mark.parametrize("op", GATES)
def test_constant_initial_states(op):
    states = ("h", "c") if op == "LSTM" else ("h",)
    row = np.random.default_rng(8).normal(size=(1, 1, H)).astype(F)
    constants = [numpy_helper.from_array(np.repeat(row, N, axis=1), s) for s in states]
    nodes, arrays, _ = batch_first(op, read=states, constants=constants)
    proto = model_of(nodes, [info("x", (N, T, FEATURES))], ["Y_out", "Y_h_out"], arrays)
    model, found, wanted = judged(proto, {"x": X})
    close(found, wanted)
    layer = next(n.layer for n in model.nodes if isinstance(n.layer, L.Recurrent))
    np.testing.assert_array_equal(layer.initial_hidden, row[0])


def test_initial_states_of_zeros_as_exporters_write_them():
    """(1, N, H) zeros from the batch's extent, and a state made by putting an axis in front of the batch."""
    nodes, constants, _ = batch_first("LSTM", ("Y_h",), read=("h", "c"))
    front = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["one", "n", "size"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["c"]),
        helper.make_node("Unsqueeze", ["z", "axis"], ["h"]),
    ]
    constants += [ints("zero", 0), ints("one", 1), ints("size", H), ints("axis", 0)]
    proto = model_of([*front, *nodes], [info("x", ("N", T, FEATURES)), info("z", ("N", H))], ["Y_h_out"], constants)
    model, found, wanted = judged(proto, {"x": X, "z": np.random.default_rng(1).normal(size=(N, H)).astype(F)})
    close(found, wanted)
    assert model["cell"].layer.reads == ("hidden",)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_peepholes(direction):
    nodes, constants, _ = batch_first("LSTM", ("Y", "Y_h", "Y_c"), direction=direction, peepholes=True)
    proto = model_of(nodes, [info("x", ("N", T, FEATURES))], ["Y_out", "Y_h_out", "Y_c_out"], constants)
    close(*judged(proto, {"x": X})[1:])


ACTIVATED = [
    ("LSTM", ["Tanh", "Relu", "Softsign"]),
    ("LSTM", ["HardSigmoid", "sigmoid", "Tanh"]),
    ("GRU", ["HardSigmoid", "Relu"]),
    ("RNN", ["Relu"]),
    ("RNN", ["Sigmoid"]),
]


@pytest.mark.parametrize(("op", "names"), ACTIVATED, ids=[" ".join((op, *names)) for op, names in ACTIVATED])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_activations(op, names, direction):
    names = names * (2 if direction == "bidirectional" else 1)
    nodes, constants, _ = batch_first(op, direction=direction, activations=names)
    proto = model_of(nodes, [info("x", ("N", T, FEATURES))], ["Y_out", "Y_h_out"], constants)
    close(*judged(proto, {"x": X})[1:])


def test_two_layers_in_the_layout_of_exporters():
    """Transpose, LSTM, Transpose + Reshape of both directions, LSTM, Squeeze, Transpose, MatMul."""
    d, g = 2, 4 * H
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "W", "R"], ["a"], name="first", hidden_size=H, direction="bidirectional"),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["b", "merge"], ["c"]),
        helper.make_node("LSTM", ["c", "W2", "R2"], ["e"], name="second", hidden_size=H),
        helper.make_node("Squeeze", ["e", "one"], ["f"]),
        helper.make_node("Transpose", ["f"], ["h"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["h", "M"], ["y"], name="top"),
    ]
    constants = [
        array("W", d, g, FEATURES),
        array("R", d, g, H),
        array("W2", 1, g, 2 * H),
        array("R2", 1, g, H),
        array("M", H, 3),
    ]
    constants += [ints("merge", 0, 0, -1), ints("one", 1)]
    proto = model_of(nodes, [info("x", ("N", "T", FEATURES))], ["y"], constants)
    model, found, wanted = judged(proto, {"x": X})
    close(found, wanted)
    assert [(n.name, type(n.layer).__name__) for n in model.nodes] == [("first", "LSTM"), ("second", "LSTM"), ("y", "Dense")]
    assert model(X[:, :2]).shape == (N, 2, 3)  # the file leaves the steps open, and so does the model
    again = reader.load(proto, input_shape=(T, FEATURES))
    assert again.input_shape == {"x": (T, FEATURES)}


@pytest.mark.parametrize("picked", [(0, 1), (-2, -1)])
def test_the_last_states_of_both_directions_side_by_side_are_what_the_layer_returns(picked):
    nodes, constants, _ = batch_first("LSTM", (), direction="bidirectional")
    nodes[1].output[:] = ["", "Y_h"]
    nodes += [helper.make_node("Gather", ["Y_h", f"k{k}"], [f"p{k}"], axis=0) for k in range(2)]
    nodes.append(helper.make_node("Concat", ["p0", "p1"], ["y"], axis=1))
    constants += [numpy_helper.from_array(np.array(k, np.int64), f"k{i}") for i, k in enumerate(picked)]
    nodes.append(helper.make_node("Gemm", ["y", "M"], ["z"], name="top"))
    proto = model_of(nodes, [info("x", ("N", T, FEATURES))], ["z"], [*constants, array("M", 2 * H, 3)])
    model, found, wanted = judged(proto, {"x": X})
    close(found, wanted)
    assert [type(n.layer).__name__ for n in model.nodes] == ["LSTM", "Dense"]


def test_in_the_other_order_they_are_not():
    nodes, constants, _ = batch_first("LSTM", (), direction="bidirectional")
    nodes[1].output[:] = ["", "Y_h"]
    nodes += [helper.make_node("Gather", ["Y_h", f"k{k}"], [f"p{k}"], axis=0) for k in range(2)]
    nodes.append(helper.make_node("Concat", ["p1", "p0"], ["y"], axis=1))
    constants += [numpy_helper.from_array(np.array(k, np.int64), f"k{k}") for k in range(2)]
    proto = model_of(nodes, [info("x", ("N", T, FEATURES))], ["y"], constants)
    model, found, wanted = judged(proto, {"x": X})
    close(found, wanted)
    assert len(model.nodes) > 2


def test_a_state_among_those_of_several_layers():
    """Both layers' last states side by side, of which one is picked: the other's node is not there."""
    first, constants, _ = cell("GRU", outputs=("Y", "h1"))
    second = helper.make_node("GRU", ["s", "W2", "R2"], ["", "h2"], name="second", hidden_size=H)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        first,
        helper.make_node("Squeeze", ["Y", "one"], ["s"]),
        second,
        helper.make_node("Concat", ["h1", "h2"], ["both"], axis=0),
        helper.make_node("Gather", ["both", "last"], ["y"], axis=0),
    ]
    constants += [array("W2", 1, 3 * H, H), array("R2", 1, 3 * H, H), ints("one", 1)]
    constants.append(numpy_helper.from_array(np.array(-1, np.int64), "last"))
    model, found, wanted = judged(model_of(nodes, [info("x", ("N", T, FEATURES))], ["y"], constants), {"x": X})
    close(found, wanted)
    assert [type(n.layer).__name__ for n in model.nodes] == ["GRU", "GRU"]


def test_files_that_are_sequences_first_throughout():
    """batch_axis=1: the model's batch is in front, that of its outputs too."""
    made, constants, _ = cell("GRU", outputs=("Y",))
    nodes = [
        made,
        helper.make_node("Squeeze", ["Y", "one"], ["s"]),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("MatMul", ["r", "M"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    constants += [ints("one", 1), array("M", H, 3), array("b", 3, seed=9)]
    proto = model_of(nodes, [info("t", (T, "N", FEATURES))], ["y"], constants)
    with pytest.raises(FormatError, match=r"batch along axis 1, and the model's batch is axis 0; load\(…, batch_axis=1\)"):
        reader.load(proto)
    for axis in (1, {"t": 1}):
        model, found, (wanted,) = judged(
            proto, {"t": X.swapaxes(0, 1)}, lambda given: {"t": given["t"].swapaxes(0, 1)}, batch_axis=axis
        )
        close([found[0].swapaxes(0, 1)], [wanted])
        assert model.input_shape == {"t": (T, FEATURES)}


def test_what_works_along_the_axes_beside_a_batch_that_is_not_in_front():
    """Every operator that is read there, on (T, N, 2·H): slices, reductions, softmax, splits, joins, constants of all ranks."""
    made, constants, _ = cell("LSTM", outputs=("Y",), direction="bidirectional")
    merged = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        made,
        helper.make_node("Transpose", ["Y"], ["a"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["a", "merge"], ["s"]),
    ]
    constants += [ints("merge", T, -1, 2 * H), ints("one", 1), ints("zero", 0), ints("two", 2), ints("four", 4), ints("last", -1)]
    constants += [array("row", 2 * H), array("steps", T, 1, 2 * H), array("scalar"), ints("cells", 2, 0)]
    tails = {
        "slice": [helper.make_node("Slice", ["s", "one", "four", "zero"], ["y"])],
        "slice of features": [helper.make_node("Slice", ["s", "zero", "two", "last"], ["y"])],
        "slice in steps": [helper.make_node("Slice", ["s", "zero", "four", "zero", "two"], ["y"])],
        "sum over time": [helper.make_node("ReduceSum", ["s", "zero"], ["y"], keepdims=0)],
        "maximum over time": [helper.make_node("ReduceMax", ["s"], ["y"], axes=[0], keepdims=1)],
        "mean over features": [helper.make_node("ReduceMean", ["s"], ["y"], axes=[-1], keepdims=0)],
        "softmax over time": [helper.make_node("Softmax", ["s"], ["y"], axis=0)],
        "softmax over features": [helper.make_node("LogSoftmax", ["s"], ["y"], axis=-1)],
        "join": [helper.make_node("Concat", ["s", "s"], ["y"], axis=0)],
        "join with constants": [helper.make_node("Concat", ["s", "s"], ["v"], axis=2), helper.make_node("Neg", ["v"], ["y"])],
        "split": [helper.make_node("Split", ["s"], ["v", "w"], axis=2), helper.make_node("Mul", ["v", "w"], ["y"])],
        "pick": [helper.make_node("Gather", ["s", "cells"], ["y"], axis=0)],
        "constants": [
            helper.make_node("Add", ["s", "row"], ["v"]),
            helper.make_node("Mul", ["steps", "v"], ["w"]),
            helper.make_node("Sub", ["w", "scalar"], ["y"]),
        ],
        "one more axis": [helper.make_node("Unsqueeze", ["s", "zero"], ["v"]), helper.make_node("Add", ["v", "s"], ["y"])],
        "gate": [helper.make_node("Sigmoid", ["s"], ["v"]), helper.make_node("Mul", ["s", "v"], ["y"])],
    }
    for name, steps in tails.items():
        tail = list(steps)
        place = {"sum over time": 0, "one more axis": 2}.get(name, 1)
        rank = {"sum over time": 2, "mean over features": 2, "one more axis": 4}.get(name, 3)
        back = [place, *(axis for axis in range(rank) if axis != place)]
        tail.append(helper.make_node("Transpose", ["y"], ["z"], perm=back))
        proto = model_of([*merged, *tail], [info("x", ("N", T, FEATURES))], ["z"], constants)
        _, found, wanted = judged(proto, {"x": X})
        close(found, wanted)


def test_single_samples_get_a_batch_axis():
    made, constants, _ = cell("LSTM", outputs=("Y", "Y_h"), read=("h",), direction="bidirectional")
    squeeze = helper.make_node("Squeeze", ["Y_h", "one"], ["y"])
    inputs = [info("t", (T, 1, FEATURES)), info("h", (2, 1, H))]
    proto = model_of([made, squeeze], inputs, ["Y", "y"], [*constants, ints("one", 1)])
    h = np.random.default_rng(2).normal(size=(2, 1, H)).astype(F)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    model = reader.load(proto, batched=False)
    for n in range(N):
        given = {"t": X[n][:, None], "h": h}
        wanted = session.run(None, given)
        found = model({k: v[None] for k, v in given.items()})
        close([found["Y"][0], found["y"][0]], wanted)


def test_a_network_for_sentences_of_any_length():
    nodes, constants, _ = batch_first("GRU", ("Y_h",), direction="bidirectional")
    words = helper.make_node("Gather", ["table", "words"], ["x"])
    flat = helper.make_node("Reshape", ["Y_h_out", "flat"], ["z"])
    constants += [array("table", 7, FEATURES), ints("flat", -1, 2 * H)]
    proto = model_of([words, *nodes, flat], [info("words", ("N", "T"), TensorProto.INT64)], ["z"], constants)
    model = reader.load(proto)
    assert model.input_shape == {}
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for steps in (1, 4, 9):
        ids = np.random.default_rng(steps).integers(0, 7, (2, steps))
        close([model(ids.astype(F))], session.run(None, {"words": ids}))
    e = lrp_ref.explain(model, ids.astype(F), target=0, composite="lstm_all")
    assert e.relevance.shape == (2, 9)


def test_a_network_that_depends_on_the_number_of_steps_is_laid_out_for_each():
    nodes, constants, _ = batch_first("GRU", ("Y",))
    nodes += [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["t_"]),
        helper.make_node("Sub", ["t_", "one"], ["last"]),
        helper.make_node("Gather", ["Y_out", "last"], ["y"], axis=1),
    ]
    proto = model_of(nodes, [info("x", ("N", "T", FEATURES))], ["y"], [*constants, ints("one", 1)])
    close(*judged(proto, {"x": X}, input_shape=(T, FEATURES))[1:])
    close(*judged(proto, {"x": X})[1:])


# --- the `onnx` package's own cases -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", onnx_cases.collected(frozenset(GATES)), ids=lambda c: c.name)
def test_node_cases(case):
    """The sequences are the signal, everything else is constant; batch in front (layout = 1) or second."""
    proto = case.model
    (node,) = proto.graph.node
    arrays, expected = case.data_sets[0]
    given = {v.name: np.asarray(a) for v, a in zip(proto.graph.input, arrays, strict=True)}
    layout = next((a.i for a in node.attribute if a.name == "layout"), 0)
    graph = onnx.GraphProto()
    graph.CopyFrom(proto.graph)
    del graph.input[1:]
    graph.initializer.extend(numpy_helper.from_array(given[v.name], v.name) for v in proto.graph.input[1:])
    model = reader.load(helper.make_model(graph, opset_imports=proto.opset_import, ir_version=8), batch_axis=0 if layout else 1)
    x = given[proto.graph.input[0].name]
    found = model(x if layout else x.swapaxes(0, 1))
    found = found if isinstance(found, dict) else {model.outputs[0]: found}
    for value, wanted in zip(proto.graph.output, expected, strict=True):
        ours = found[value.name]
        if not layout:  # Y (T, D, N, H), states (D, N, H)
            ours = np.moveaxis(ours, 0, ours.ndim - 2)
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)


# --- refusals -----------------------------------------------------------------------------------------------------------------


def alone(op="LSTM", x=("N", T, FEATURES), change=None, **options):
    nodes, constants, _ = batch_first(op, ("Y_h",), **options)
    if change:
        change(nodes, constants)
    return model_of(nodes, [info("x", x)], ["Y_h_out"], constants)


def with_constant(name, value, index):
    def change(nodes, constants):
        inputs = [*nodes[1].input, *[""] * 8][: max(index + 1, len(nodes[1].input))]
        inputs[index] = name
        del nodes[1].input[:]
        nodes[1].input.extend(inputs)
        constants[:] = [c for c in constants if c.name != name] + [numpy_helper.from_array(value, name)]

    return change


BAD = {
    "affine": (alone(activations=["Sigmoid", "Affine", "Tanh"]), "activations Affine are not read; known are Sigmoid, Tanh"),
    "custom": (alone(activations=["Mine", "Tanh", "Tanh"]), "activations Mine are not read"),
    "too few activations": (alone(activations=["Sigmoid"]), "are not 3 that all directions share"),
    "other activations in reverse": (
        alone("RNN", direction="bidirectional", activations=["Tanh", "Relu"]),
        "are not 1 that all directions share",
    ),
    "alpha": (alone("RNN", activations=["HardSigmoid"], activation_alpha=[0.5]), "'activation_alpha' = .0.5,. is not supported"),
    "clip": (alone(clip=3.0), "the attribute 'clip' = 3.0 is not supported"),
    "coupled gates": (alone(input_forget=1), "the attribute 'input_forget' = 1 is not supported"),
    "direction": (alone(direction="sideways"), "its direction 'sideways' is not known"),
    "weights": (alone(change=with_constant("W", np.ones((1, 7, FEATURES), F), 1)), r"its weights have shapes \(1, 7, 4\) and"),
    "features": (alone(x=("N", T, 3)), r"instead of \(1, 8, 3\) and \(1, 8, 2\)"),
    "bias": (alone(change=with_constant("B", np.ones((1, 8), F), 3)), r"its bias has shape \(1, 8\) instead of \(1, 16\)"),
    "constant lengths": (alone(change=with_constant("l", np.array([3], np.int32), 4)), "constants other than the 5 steps"),
    "states of samples": (
        alone(change=with_constant("h", np.arange(2 * H, dtype=F).reshape(1, 2, H), 5)),
        "its initial hidden state differs from sample to sample",
    ),
    "a state's shape": (alone(change=with_constant("h", np.ones((1, 3), F), 5)), r"hidden state has shape \(1, 3\)"),
    "rank": (
        model_of(
            [helper.make_node("LSTM", ["x", "W", "R"], ["y"])],
            [info("x", ("N", T))],
            ["y"],
            [array("W", 1, 8, T), array("R", 1, 8, 2)],
        ),
        "2 axes instead of 3",
    ),
    "a weight that is no constant": (
        model_of([helper.make_node("LSTM", ["x", "x", "x"], ["y"])], [info("x", ("N", T, 2))], ["y"], [array("W", 1, 8, T)]),
        "must be a constant",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name):
    proto, message = BAD[name]
    with pytest.raises(FormatError, match=message):
        reader.load(proto)


def test_states_and_lengths_of_the_wrong_shape():
    made, constants, _ = batch_first("LSTM", ("Y_h",), read=("h",))
    proto = model_of(made, [info("x", ("N", T, FEATURES)), info("h", ("N", 1, H))], ["Y_h_out"], constants)
    with pytest.raises(FormatError, match="its initial hidden state has its batch along axis 1"):
        reader.load(proto)
    made, constants, _ = batch_first("LSTM", ("Y_h",), read=("lengths",))
    inputs = [info("x", ("N", T, FEATURES)), info("lengths", ("N", 2), TensorProto.INT32)]
    with pytest.raises(FormatError, match=r"its lengths have samples of shape \(2,\)"):
        reader.load(model_of(made, inputs, ["Y_h_out"], constants))


MOVED = [
    (["Conv"], {"kernel_shape": [1]}, "Conv is supported only with the batch axis first"),
    (["ReduceSum", "one"], {}, "computes across samples, along the batch axis 1"),
    (["Squeeze", "one"], {}, "computes across samples, along the batch axis 1"),
    (["Reshape", "apart"], {}, r"moves elements between samples: \(5, N, 4\) becomes \(4, "),
    (["MatMul", "cube"], {}, "only products with one constant matrix"),
    (["Gather", "one"], {"axis": 1}, "computes across samples, along the batch axis 1"),
    (["Gather", "one"], {"axis": 7}, "axis 7 does not exist among 3 axes"),
    (["Add", "x"], {}, "its inputs have different batch axes: 0, 1"),
    (["Concat", "x"], {"axis": 0}, "its inputs have different batch axes"),
]


@pytest.mark.parametrize(("read", "attributes", "message"), MOVED, ids=[read[0][0] + str(k) for k, read in enumerate(MOVED)])
def test_what_is_not_read_where_the_batch_is_not_in_front(read, attributes, message):
    op, *others = read
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(op, ["t", *others], ["y"], **attributes),
    ]
    constants = [ints("one", 1), ints("apart", FEATURES, -1), array("cube", 2, FEATURES, 3)]
    with pytest.raises(FormatError, match=message):
        reader.load(model_of(nodes, [info("x", ("N", T, FEATURES))], ["y"], constants))


@pytest.mark.parametrize(
    ("axis", "message"),
    [(3, "is no axis of input 'x', which has 3 axes"), (-1, "is no axis"), (True, "is no axis"), ({"z": 1}, "unknown input 'z'")],
)
def test_a_batch_axis_that_is_none(axis, message):
    with pytest.raises(FormatError, match=message):
        reader.load(alone(), batch_axis=axis)


# --- frameworks, where they are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_pytorch_modules_and_their_arrays(kind):
    """Both: what PyTorch exports, and its arrays in the gate order that its documentation states."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(FEATURES, H, batch_first=True, bidirectional=True)
    wanted = module(torch.tensor(X))[0].detach().numpy()
    names = [("_l0", ""), ("_l0_reverse", "")]
    arrays = {
        key: np.stack([getattr(module, f"{key}{side}").detach().numpy().T for side, _ in names])
        for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    w, u, b, second = arrays.values()
    if kind == "GRU":
        layer = L.GRU.from_arrays(w, u, b, second, return_sequences=True)
    else:
        layer = getattr(L, kind).from_arrays(w, u, b + second, return_sequences=True)
    np.testing.assert_allclose(layer.forward(X), wanted, atol=1e-6)


@pytest.mark.parametrize("after", [False, True])
def test_keras_arrays(after):
    """In the gate order that Keras's documentation states: i, f, c, o and z, r, h; biases (2, 3·H) with reset_after."""
    keras = pytest.importorskip("keras")
    for made, build in (
        (keras.layers.LSTM(H, return_sequences=True), lambda w, u, b: L.LSTM.from_arrays(w, u, b, return_sequences=True)),
        (
            keras.layers.GRU(H, return_sequences=True, reset_after=after),
            lambda w, u, b: L.GRU.from_arrays(
                w, u, *(b if after else (b,)), gate_order="zrn", linear_before_reset=after, return_sequences=True
            ),
        ),
    ):
        wanted = keras.ops.convert_to_numpy(made(X))  # of any backend
        np.testing.assert_allclose(build(*made.get_weights()).forward(X), wanted, atol=1e-5)
