"""Axes that a file folds into its batch, masks beside signals, and quantised graphs: as plain models have them."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto as T  # noqa: E402
from test_onnx_files import floats, ints, network, node, runtime, same  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import Model, rules  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref.errors import FormatError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402
from lrp_ref.formats.onnx.translate.folded_batch import batch_layout  # noqa: E402

A, B = floats(4, 6), floats(6, 3)


def relevance(model, x, target=0):
    return lrp_ref.explain(model, x, rule=rules.Zero(), target=target).relevance


@pytest.mark.parametrize(
    ("full", "sample", "at", "expected"),
    [
        ((-7, 4), (5, 4), 0, None),
        ((7, 5, 4), (5, 4), 0, ((5, 4), (0, 0, 0))),
        ((35, 4), (5, 4), 0, ((5, 4), (0, 0, 1))),
        ((35, 4), (5, 4), 1, ((5, 4), (0, 1, 0))),
        ((5, 7, 4), (5, 4), 1, ((5, 4), (1, 0, 0))),
        ((5, 14, 2), (5, 4), 1, ((5, 2, 2), (1, 0, 1))),
        ((70, 2), (5, 4), 1, ((5, 2, 2), (0, 1, 1))),
        ((4, 35), (5, 4), 0, None),
        ((140,), (5, 4), 1, ((5, 4), (0, 1, 1))),
    ],
)
def test_where_the_batch_is_after_a_reshape(full, sample, at, expected):
    """A batch of 7 in front of, between or behind the axes of a sample."""
    assert batch_layout(full, sample, at, 7) == expected


@pytest.mark.parametrize("batch", ["N", 2, 1])
@pytest.mark.parametrize("steps_first", [False, True])
def test_tokens_folded_into_the_batch_are_tokens(batch, steps_first):
    """(N, T, C) or (T, N, C) → (N·T, C) or (T·N, C) → Gemm, ReLU, Gemm → back."""
    turn = [node("Transpose", "x", "t", perm=[1, 0, 2])] if steps_first else [node("Identity", "x", "t")]
    shape = [5, -1, 3] if steps_first else [-1, 5, 3]
    nodes = [
        *turn, node("Reshape", "t rows", "r"), node("Gemm", "r a c", "g"), node("Relu", "g", "h"), node("MatMul", "h b", "m"),
        node("Reshape", "m back", "u"), node("ReduceMax", "u", "y", axes=[0]) if steps_first else node("Identity", "u", "y"),
    ]  # fmt: skip
    constants = {"rows": ints(-1, 4), "back": ints(*shape), "a": A, "b": B, "c": floats(6)}
    proto = network(nodes, {"x": (T.FLOAT, (batch, 5, 4))}, **constants)
    model, x = reader.load(proto), floats(2 if batch == "N" else batch, 5, 4)
    theirs = runtime(proto, x=x)[0]
    same(model(x), np.moveaxis(theirs, 1, 0) if steps_first else theirs)
    layers = [L.Dense(A, constants["c"]), L.ReLU(), L.Dense(B), *([L.ReduceMax((1,), True)] if steps_first else [])]
    target = (0, 1) if steps_first else (3, 1)
    np.testing.assert_allclose(relevance(model, x, target), relevance(Model.sequential(layers), x, target), rtol=1e-4, atol=1e-5)
    more = floats(3, 5, 4)
    same(model(more), Model.sequential(layers)(more))


def test_heads_folded_into_the_batch_are_axes_of_a_sample():
    """(N, T, C) → (N·H, T, D): scores of a head by its own steps, a softmax, and back."""
    nodes = [
        node("Reshape", "x heads", "r"), node("Transpose", "r", "t", perm=[0, 2, 1, 3]), node("Reshape", "t fold", "q"),
        node("Transpose", "q", "k", perm=[0, 2, 1]), node("MatMul", "q k", "s"), node("Softmax", "s", "p", axis=-1),
        node("MatMul", "p q", "o"), node("Mul", "o two", "w"), node("Add", "w bias", "v"), node("Reshape", "v apart", "y"),
    ]  # fmt: skip
    constants = {"heads": ints(0, 5, 2, 2), "fold": ints(-1, 5, 2), "apart": ints(-1, 2, 5, 2)}
    proto = network(nodes, {"x": (T.FLOAT, ("N", 5, 4))}, **constants, two=np.float32(2), bias=floats(1, 5, 2))
    x = floats(3, 5, 4)
    same(reader.load(proto)(x), runtime(proto, x=x)[0])


def test_an_output_that_stays_folded_is_apart_here():
    """CONV-FILE-BATCH."""
    proto = network(
        [node("Reshape", "x rows", "r"), node("MatMul", "r a", "y")], {"x": (T.FLOAT, ("N", 5, 4))}, rows=ints(-1, 4), a=A
    )
    model, x = reader.load(proto), floats(2, 5, 4)
    assert model.remarks == ("output 'y' has its batch folded into axis 0 in the file, and along axis 0 here",)
    same(model(x).reshape(10, 6), runtime(proto, x=x)[0])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Softmax", "r", "y", axis=0)], "computes across samples: the batch is folded into axis 0"),
        ([node("ReduceSum", "r", "y")], "reduces all axes"),
        ([node("Add", "r pos", "y")], "differs along axis 0, into which the batch is folded"),
        ([node("Gemm", "r r", "y", transB=1)], "only products with one constant matrix"),
        ([node("CumSum", "r one", "y")], "CumSum"),
        ([node("Concat", "r x", "y", axis=0)], "different axes folded into their batch"),
    ],
)
def test_what_works_across_samples_is_refused(nodes, message):
    constants = {"rows": ints(-1, 4), "pos": floats(10, 4), "one": np.int64(0)}
    with pytest.raises(FormatError, match=message):
        reader.load(network([node("Reshape", "x rows", "r"), *nodes], {"x": (T.FLOAT, ("N", 5, 4))}, **constants))


# --- masks --------------------------------------------------------------------------------------------------------------------


def test_a_mask_that_multiplies_is_the_gate_and_a_column_of_numbers_is_not():
    """CONV-MASK-GATE."""
    nodes = [node("Cast", "m", "f", to=T.FLOAT), node("Unsqueeze", "f two", "u"), node("Mul", "u x", "g")]
    nodes += [node("ReduceSum", "g one", "s", keepdims=0), node("MatMul", "s a", "y")]
    for kind in (T.BOOL, T.INT64, T.INT32):
        proto = network(nodes, {"x": (T.FLOAT, ("N", 5, 4)), "m": (kind, ("N", 5))}, two=ints(2), one=ints(1), a=A)
        (layer,) = (n.layer for n in reader.load(proto).nodes if isinstance(n.layer, L.Multiply))
        assert layer.signal == 1
    counted = [node("Cast", "m", "f", to=T.FLOAT), node("Mul", "f x", "y")]  # so many of each
    proto = network(counted, {"x": (T.FLOAT, ("N", 4)), "m": (T.INT64, ("N", 4))})
    (layer,) = (n.layer for n in reader.load(proto).nodes if isinstance(n.layer, L.Multiply))
    assert layer.signal is None


def test_a_choice_of_another_constant_than_0_stays_a_choice():
    nodes = [node("Where", "m x low", "w"), node("ReduceMax", "w", "y", axes=[1], keepdims=0)]
    proto = network(nodes, {"x": (T.FLOAT, ("N", 4)), "m": (T.BOOL, ("N", 4))}, low=np.float32(-9))
    model = reader.load(proto)
    assert any(isinstance(n.layer, L.Where) for n in model.nodes)
    x, m = floats(2, 4), np.array([[True, False, True, True], [False, False, True, False]])
    same(model({"x": x, "m": m}), runtime(proto, x=x, m=m)[0])


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 1, 0, 4, 2)])
@pytest.mark.parametrize("bias", [False, True])
def test_rows_of_ones_and_zeros_times_a_table_are_a_look_up(order, bias):
    table, ids = floats(5, 3), np.array([[1, 4, 0], [2, 2, 3]])
    nodes = [node("Unsqueeze", "x two", "u"), node("Equal", "u every", "h"), node("Cast", "h", "f", to=T.FLOAT)]
    nodes += [node("MatMul", "f t", "e" if bias else "y"), *([node("Add", "e b", "y")] if bias else [])]
    proto = network(nodes, {"x": (T.INT64, ("N", 3))}, two=ints(2), every=ints(*order), t=table, b=floats(3))
    model = reader.load(proto)
    same(model(ids), runtime(proto, x=ids)[0])
    assert sum(isinstance(n.layer, L.Embedding) for n in model.nodes) == 1
    shifted = ints(*order) + 1  # word 0 has no row here
    proto = network(nodes, {"x": (T.INT64, ("N", 3))}, two=ints(2), every=shifted, t=table, b=floats(3))
    assert not any(isinstance(n.layer, L.Embedding) for n in reader.load(proto).nodes)


# --- quantised graphs -----------------------------------------------------------------------------------------------------------


def quantised(zero, between=(), again=None):
    nodes = [node("QuantizeLinear", "x s z", "q"), *between, node("DequantizeLinear", "p s z2", "d"), node("MatMul", "d a", "y")]
    if not between:
        nodes.insert(1, node("Identity", "q", "p"))
    return network(nodes, {"x": (T.FLOAT, ("N", 4))}, s=np.float32(1 / 64), z=zero, z2=zero if again is None else again, a=A)


def test_a_signal_is_cut_off_at_the_ends_of_its_integers_and_not_rounded():
    """CONV-QUANTISED: uint8 with zero point 0 in steps of 1/64 is 0 to 255/64: the activation that the exporter left to it."""
    model, x = reader.load(quantised(np.uint8(0))), np.array([[-1.0, 0.3, 2.2, 9.0]], np.float32)
    same(model(x), np.clip(x, 0, 255 / 64) @ A)
    np.testing.assert_allclose(model(x), runtime(quantised(np.uint8(0)), x=x)[0], atol=4 * np.abs(A).max() / 64)
    assert model.remarks == ("quantised activations are computed in floating point numbers, not rounded to the file's steps",)
    plain = Model.sequential([L.Clip(0, 255 / 64), L.Dense(A)])
    np.testing.assert_allclose(relevance(model, x), relevance(plain, x), rtol=1e-6)


def test_what_computes_with_the_integers_of_a_signal_is_refused():
    moved = [node("Reshape", "q to", "r"), node("Reshape", "r back", "p")]
    proto = quantised(np.int8(0), moved)
    proto.graph.initializer.extend(
        [onnx.numpy_helper.from_array(ints(0, 2, 2), "to"), onnx.numpy_helper.from_array(ints(0, 4), "back")]
    )
    x = np.array([[-0.5, 0.25, 0.75, 1.0]], np.float32)
    same(reader.load(proto)(x), runtime(proto, x=x)[0])
    with pytest.raises(FormatError, match="computes with the integers of a quantised signal"):
        reader.load(quantised(np.int8(0), [node("Abs", "q", "p")]))
    with pytest.raises(FormatError, match="another scale or zero point"):
        reader.load(quantised(np.int8(0), again=np.int8(1)))


def test_cells_are_written_over_in_every_sample():
    nodes = [node("ScatterElements", "x i u", "s", axis=1), node("MatMul", "s a", "y")]
    proto = network(nodes, {"x": (T.FLOAT, (1, 4))}, i=ints([-1, 1]), u=np.array([[5.0, -2.0]], np.float32), a=A)
    model, x = reader.load(proto), floats(1, 4)
    same(model(x), runtime(proto, x=x)[0])
    np.testing.assert_allclose(relevance(model, x), x * A[:, 0] * [1, 0, 1, 0], rtol=1e-6)
