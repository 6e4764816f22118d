"""Real exporters' files: open extents, time first, branches, integers, and what a user says of a file when it is loaded."""

import pickle

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto as T  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import Model, rules  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref.errors import FormatError, GraphError, NumberTypeError, ShapeError  # noqa: E402
from lrp_ref.formats import npz  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402

RNG = np.random.default_rng(3)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values):
    return np.asarray(values, np.int64)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"{op}_{outputs.split()[0]}", **attributes)


def network(nodes, inputs, outputs="y", opset=17, **constants):
    """`inputs`: name → (element type, extents)."""
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    made = [helper.make_tensor_value_info(name, T.FLOAT, None) for name in outputs.split()]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", given, made, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def branch(nodes, output):
    return helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info(output, T.FLOAT, None)])


def runtime(proto, **feed):
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


# --- open extents -----------------------------------------------------------------------------------------------------------

KERNEL, LAST = floats(3, 2, 3, 3), floats(3, 4)


def pooled(extents=("N", 2, "H", "W")):
    """Convolution, a flattened map times a mean by its own size, and a dense layer: other nodes for every size."""
    nodes = [
        node("Conv", "x k", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Shape", "r", "s"),
        node("Gather", "s three", "w", axis=0),
        node("Concat", "minus3 w", "to", axis=0),
        node("Reshape", "r to", "rows"),
        node("ReduceMean", "rows", "m", axes=[3], keepdims=0),
        node("ReduceMean", "m", "mm", axes=[2], keepdims=0),
        node("MatMul", "mm v", "y"),
    ]
    constants = {"k": KERNEL, "v": LAST, "three": ints(3), "minus3": ints(0, 3, -1)}
    return network(nodes, {"x": (T.FLOAT, extents)}, **constants)


@pytest.mark.parametrize("extents", [("N", 2, "H", "W"), (-1, 2, -1, -1), (None, 2, None, None)])
def test_open_extents_are_those_of_what_is_given(extents):
    proto = pooled(extents)
    model = reader.load(proto)
    assert model.input_shape == {}
    for height, width in ((6, 8), (9, 5), (6, 8)):
        x = floats(2, 2, height, width)
        same(model(x), runtime(proto, x=x)[0])
        fixed = reader.load(proto, input_shape=(2, height, width))
        ours, theirs = (lrp_ref.explain(m, x, rule=rules.Zero(), target=1, ledger=True) for m in (model, fixed))
        np.testing.assert_array_equal(ours.relevance, theirs.relevance)
        assert model.trace(x)["r"].shape == (2, 3, height, width) if "r" in model else True
        assert model.shapes((2, 2, height, width)) == fixed.shapes((2, 2, height, width))


def test_one_explainer_explains_several_shapes():
    explainer = lrp_ref.Explainer(reader.load(pooled()), rule=rules.Zero())
    for side in (4, 7):
        assert explainer(floats(1, 2, side, side), 0).relevance.shape == (1, 2, side, side)
        assert explainer.plan({"x": (2, side, side)}).model.nodes
        assert explainer.memory_needed((1, 2, side, side)) > 0


def test_a_network_with_open_extents_can_be_pickled_cast_and_asked_for_other_outputs(tmp_path):
    model, x = reader.load(pooled()), floats(1, 2, 5, 6)
    same(pickle.loads(pickle.dumps(model))(x), model(x))  # noqa: S301
    wide = model.astype(np.float64)
    assert wide(x.astype(np.float64)).dtype == np.float64
    same(wide(x.astype(np.float64)), model(x))
    with pytest.raises(FormatError, match="load it with input_shape= first"):
        npz.save(model, tmp_path / "open.npz")
    with pytest.raises(ShapeError, match=r"cannot take samples of shape 'x': \(7, 5, 6\)"):
        model(floats(1, 7, 5, 6))
    from dataclasses import replace

    nodes = tuple(replace(n, layer=L.Dense(2 * n.layer.weight)) if isinstance(n.layer, L.Dense) else n for n in model.nodes)
    with pytest.raises(GraphError, match="its nodes cannot be changed"):
        replace(model, nodes=nodes)(x)


def test_extents_of_one_name_are_equal_and_others_need_not_be():
    nodes = [node("MatMul", "a v", "p"), node("Add", "p b", "s"), node("ReduceSum", "s one", "y", keepdims=0)]
    proto = network(nodes, {"a": (T.FLOAT, ("N", "T", 3)), "b": (T.FLOAT, ("N", "T", 4))}, v=LAST, one=ints(1))
    model = reader.load(proto)
    a, b = floats(2, 5, 3), floats(2, 5, 4)
    same(model({"a": a, "b": b}), runtime(proto, a=a, b=b)[0])


# --- the batch elsewhere ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["N", 2])
def test_an_output_with_time_first_has_its_batch_first_here_and_says_so(batch):
    nodes = [node("Conv", "x k", "c", pads=[1, 1]), node("Transpose", "c", "t", perm=[2, 0, 1]), node("MatMul", "t v", "y")]
    kernel = floats(3, 4, 3)
    proto = network(nodes, {"x": (T.FLOAT, (batch, 4, 10))}, k=kernel, v=LAST)
    model, x = reader.load(proto), floats(2, 4, 10)
    assert model.remarks == ("output 'y' has its batch along axis 1 in the file, and along axis 0 here",)
    same(model(x), np.moveaxis(runtime(proto, x=x)[0], 1, 0))
    plain = Model.sequential([L.Conv(kernel, padding=1), L.Transpose((0, 2, 1)), L.Dense(LAST)])
    ours, theirs = (lrp_ref.explain(m, x, rule=rules.Zero(), target=(6, 1)).relevance for m in (model, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def beside(state=("T", "N", 3), first="N"):
    nodes = [node("Transpose", "s", "t", perm=[1, 0, 2]), node("Flatten", "t", "f"), node("Concat", "x f", "c", axis=1)]
    nodes.append(node("MatMul", "c w", "y"))
    return network(nodes, {"x": (T.FLOAT, (first, 4)), "s": (T.FLOAT, state)}, w=floats(10, 3))


@pytest.mark.parametrize("state", [(2, "N", 3), (2, None, 3)])
def test_an_input_whose_extents_say_that_its_batch_is_elsewhere_is_asked_about(state):
    proto = beside(state)
    with pytest.raises(FormatError, match=r"input 's' seems to have its batch along axis 1: if so, give batch_axis=\{'s': 1\}"):
        reader.load(proto)
    model, x, s = reader.load(proto, batch_axis={"s": 1}), floats(5, 4), floats(2, 5, 3)
    same(model({"x": x, "s": s.swapaxes(0, 1)}), runtime(proto, x=x, s=s)[0])
    assert model.remarks == ("input 's' has its batch along axis 1 in the file, and along axis 0 here",)


def test_indices_are_no_state_that_is_held_at_0():
    nodes = [node("Cast", "s", "t", to=1), node("Transpose", "t", "u", perm=[1, 0]), node("Concat", "x u", "c", axis=1)]
    proto = network([*nodes, node("MatMul", "c w", "y")], {"x": (T.FLOAT, ("N", 4)), "s": (T.INT64, (2, "N"))}, w=floats(6, 3))
    with pytest.raises(FormatError, match=r"if the first axis is the batch, give batch_axis=.*\}$"):
        reader.load(proto)
    with pytest.raises(FormatError, match=r"fix=.'s': 0. sets a state to 0 instead$"):
        reader.load(beside())


def test_fixed_extents_say_it_too():
    proto = beside((2, 1, 3), 1)
    with pytest.raises(FormatError, match=r"if so, give batch_axis=\{'s': 1\}"):
        reader.load(proto)
    x, s = floats(1, 4), floats(2, 1, 3)
    same(reader.load(proto, batch_axis={"s": 1})({"x": x, "s": s.swapaxes(0, 1)}), runtime(proto, x=x, s=s)[0])


# --- branches -----------------------------------------------------------------------------------------------------------------


def chosen(condition, *before, **constants):
    """If `condition` then x @ a else (x @ b) + 1, of which b is read from around the branches."""
    yes = branch([node("MatMul", "x a", "y1")], "y1")
    no = branch([node("MatMul", "x b", "m"), node("Add", "m one", "y2")], "y2")
    return [*before, node("If", condition, "z", then_branch=yes, else_branch=no), node("Relu", "z", "y")]


CONSTANTS = {"a": floats(4, 3), "b": floats(4, 3), "one": np.float32(1)}


@pytest.mark.parametrize("value", [True, False])
def test_a_branch_on_a_constant_or_a_held_input_is_the_one_that_it_takes(value):
    x = floats(2, 4)
    constant = network(chosen("c"), {"x": (T.FLOAT, ("N", 4))}, **CONSTANTS, c=np.array(value))
    model = reader.load(constant)
    same(model(x), runtime(constant, x=x)[0])
    weight = CONSTANTS["a" if value else "b"]
    plain = Model.sequential([L.Dense(weight, None if value else np.ones(3, np.float32)), L.ReLU()])
    ours, theirs = (lrp_ref.explain(m, x, rule=rules.Zero(), target=0).relevance for m in (model, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    rate = node("Equal", "rate k", "c")
    proto = network(chosen("c", rate), {"x": (T.FLOAT, ("N", 4)), "rate": (T.INT64, ())}, **CONSTANTS, k=np.int64(16000))
    with pytest.raises(FormatError, match=r"'rate' is a single number and has no batch axis: fix=\{'rate': …\} sets it"):
        reader.load(proto)
    number = 16000 if value else 8000
    model = reader.load(proto, fix={"rate": number})
    assert model.inputs == ("x",)
    same(model(x), runtime(proto, x=x, rate=np.asarray(number))[0])


def test_a_held_input_may_be_a_row_first():
    """Reshape(rate, [-1]) and a Gather: what PyTorch writes for rate.item()."""
    rate = [node("Reshape", "rate row", "r"), node("Gather", "r first", "f", axis=0), node("Equal", "f k", "c")]
    constants = {**CONSTANTS, "row": ints(-1), "first": np.int64(0), "k": np.int64(16000)}
    proto = network(chosen("c", *rate), {"x": (T.FLOAT, ("N", 4)), "rate": (T.INT64, ())}, **constants)
    x = floats(2, 4)
    same(reader.load(proto, fix={"rate": 8000})(x), runtime(proto, x=x, rate=np.asarray(8000))[0])


def test_a_branch_on_a_shape_is_the_one_that_the_shape_takes():
    before = [node("Shape", "x", "s"), node("Gather", "s k", "e", axis=0), node("Equal", "e four", "c")]
    for extent in (4, 3):
        constants = {**CONSTANTS, "b": floats(extent, 3), "a": floats(extent, 3), "k": np.int64(1), "four": np.int64(4)}
        proto = network(chosen("c", *before), {"x": (T.FLOAT, ("N", extent))}, **constants)
        x = floats(2, extent)
        same(reader.load(proto)(x), runtime(proto, x=x)[0])


def test_a_branch_inside_a_branch_and_one_that_is_not_read():
    negative, positive = branch([node("Neg", "x", "n")], "n"), branch([node("Abs", "x", "p")], "p")
    deep = branch([node("If", "d", "q", then_branch=negative, else_branch=positive)], "q")
    odd = branch([helper.make_node("Wiggle", ["x"], ["odd"])], "odd")
    nodes = [node("If", "c", "y", then_branch=deep, else_branch=odd)]
    proto = network(nodes, {"x": (T.FLOAT, ("N", 4))}, c=np.array(True), d=np.array(True))
    x = floats(2, 4)
    np.testing.assert_array_equal(reader.load(proto)(x), -x)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array(False), "c"))
    with pytest.raises(FormatError, match="Wiggle is not read"):
        reader.load(proto)


def test_a_branch_on_the_input_is_refused_with_the_way_out():
    before = [node("ReduceSum", "u", "t", keepdims=0), node("Greater", "t zero", "c")]
    inputs = {"x": (T.FLOAT, ("N", 4)), "u": (T.FLOAT, ("N", 2))}
    proto = network(chosen("c", *before), inputs, **CONSTANTS, zero=np.float32(0))
    with pytest.raises(FormatError):
        reader.load(proto, batched=True)
    with pytest.raises(FormatError, match=r"LRP explains one network, not two; fix=\{'u': …\} sets the input that decides"):
        reader.load(proto, batched=False, input_shape={"x": (2, 4), "u": (2, 2)})


# --- integers and truth values --------------------------------------------------------------------------------------------------


def test_declared_integers_are_taken_as_they_are():
    table, kernel = floats(10, 4), floats(4, 3)
    nodes = [node("Reshape", "ids to", "r"), node("Gather", "e r", "v"), node("ReduceMean", "v", "m", axes=[1], keepdims=0)]
    nodes.append(node("MatMul", "m w", "y"))
    for kind, dtype in ((T.INT64, np.int64), (T.INT32, np.int32)):
        proto = network(nodes, {"ids": (kind, ("N", 6))}, e=table, w=kernel, to=ints(0, 6))
        model, ids = reader.load(proto), RNG.integers(0, 10, (2, 6)).astype(dtype)
        assert model.integer_inputs == ("ids",)
        same(model(ids), runtime(proto, ids=ids)[0])
        np.testing.assert_array_equal(model(ids), model(ids.astype(np.float32)))
        e = lrp_ref.explain(model, ids, rule=rules.Zero(), target=2)
        np.testing.assert_allclose(e.relevance, (table[ids] @ kernel[:, 2]) / 6, rtol=1e-5, atol=1e-6)


def test_images_of_bytes_are_taken_as_they_are():
    nodes = [node("Cast", "x", "f", to=T.FLOAT), node("Mul", "f k", "g"), node("Flatten", "g", "h"), node("MatMul", "h w", "y")]
    proto = network(nodes, {"x": (T.UINT8, ("N", 2, 3))}, k=np.float32(1 / 255), w=floats(6, 3))
    x = RNG.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    same(reader.load(proto)(x), runtime(proto, x=x)[0])
    model = reader.load(network([node("Relu", "x", "y")], {"x": (T.FLOAT, ("N", 3))}))
    with pytest.raises(NumberTypeError, match="convert it"):
        model(np.ones((1, 3), np.uint8))


def test_integers_that_floats_cannot_tell_apart_are_refused(tmp_path):
    nodes = [node("Cast", "x", "f", to=T.FLOAT), node("Mul", "f one", "y")]
    model = reader.load(network(nodes, {"x": (T.INT64, ("N", 2))}, one=np.float32(1)))
    with pytest.raises(NumberTypeError, match="cannot tell apart"):
        model(ints([1, 2**24 + 1]))
    np.testing.assert_array_equal(model.astype(np.float64)(ints([1, 2**24 + 1])), [[1, 2**24 + 1]])
    assert npz.load(npz.save(model, tmp_path / "whole.npz")).integer_inputs == ("x",)


@pytest.mark.parametrize(
    ("nodes", "kind", "message"),
    [
        ([node("Div", "x two", "i"), node("Cast", "i", "y", to=T.FLOAT)], T.INT64, "divides integers, which drops the remainder"),
        ([node("Add", "x x", "i"), node("Cast", "i", "y", to=T.FLOAT)], T.UINT8, "8 or 16 bits, which wrap around"),
        ([node("Cast", "x", "i", to=T.UINT8), node("Cast", "i", "y", to=T.FLOAT)], T.INT64, "cast to uint8, which wraps"),
    ],
)
def test_integer_arithmetic_that_floats_do_not_do_is_refused(nodes, kind, message):
    with pytest.raises(FormatError, match=message):
        reader.load(network(nodes, {"x": (kind, ("N", 3))}, two=ints(2)))


# --- what a user says of a file -------------------------------------------------------------------------------------------------


def test_inputs_held_at_a_value_are_constants():
    proto = beside((2, "N", 3))
    x = floats(4, 4)
    model = reader.load(proto, fix={"s": 0.5})
    assert model.inputs == ("x",)
    same(model(x), runtime(proto, x=x, s=np.full((2, 4, 3), 0.5, np.float32))[0])
    wrong = [({"z": 1}, "unknown input 'z'"), ({"s": "a"}, "not a number"), ({"s": np.ones(3)}, r"gives input 's' shape \(3,\)")]
    for fix, message in wrong:
        with pytest.raises(FormatError, match=message):
            reader.load(proto, fix=fix)


def test_a_network_can_end_anywhere_by_value_or_by_node():
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("Exp", "r", "y")]
    proto = network(nodes, {"x": (T.FLOAT, ("N", 4))}, w=floats(4, 3))
    for name in ("r", "Relu_r"):
        model = reader.load(proto, outputs=name)
        assert model.outputs == ("r",)
        assert lrp_ref.explain(model, floats(1, 4)).relevance.shape == (1, 4)


@pytest.mark.parametrize("index", [0, 1])
def test_the_signal_of_a_product_can_be_said(index):
    nodes = [node("MatMul", "x a", "p"), node("MatMul", "x b", "q"), node("Mul", "p q", "y")]
    proto = network(nodes, {"x": (T.FLOAT, ("N", 4))}, a=floats(4, 3), b=floats(4, 3))
    model = reader.load(proto, signal={"y": index})
    assert next(n.layer.signal for n in model.nodes if isinstance(n.layer, L.Multiply)) == index
    with pytest.raises(FormatError, match="signal= must be 0 or 1"):
        reader.load(proto, signal={"y": 2})
    with pytest.raises(FormatError, match="unknown node 'z'"):
        reader.load(proto, signal={"z": 1})
    with pytest.raises(FormatError, match=r"for products of two signals \(and quotients"):
        reader.load(proto, signal={"MatMul_p": 1})


def test_relevance_can_be_told_to_pass_a_node():
    nodes = [node("MatMul", "x w", "h"), node("Exp", "h", "e"), node("MatMul", "e v", "y")]
    proto = network(nodes, {"x": (T.FLOAT, ("N", 4))}, w=floats(4, 3), v=LAST)
    model, x = reader.load(proto, pass_through=["Exp_e"]), floats(2, 4)
    same(model(x), runtime(proto, x=x)[0])
    e = lrp_ref.explain(model, x, rule=rules.Zero(), keep="all", target=0)
    np.testing.assert_array_equal(e.at("MatMul_h"), e.at("Exp_e"))
    two = network([node("MatMul", "x w", "h"), node("Pow", "x h", "y")], {"x": (T.FLOAT, ("N", 4))}, w=floats(4, 4))
    with pytest.raises(FormatError, match="pass_through= is for nodes of one input"):
        reader.load(two, pass_through=["y"])


# --- the network as the file has it ---------------------------------------------------------------------------------------------


def test_the_original_is_what_load_gives_without_patterns_and_choices(monkeypatch):
    proto = network([node("Mul", "a b", "m"), node("Sigmoid", "m", "s"), node("Mul", "m s", "y")],
                    {"a": (T.FLOAT, ["N", 4]), "b": (T.FLOAT, ["N", 4])})  # fmt: skip
    plain, together = reader.load(proto, patterns=False), reader.load(proto, signal={"Mul_m": 0})
    parsed = []
    monkeypatch.setattr(reader, "read_graph", lambda *given, run=reader.read_graph: parsed.append(1) or run(*given))
    model, original = reader.load_with_original(proto, signal={"Mul_m": 0})
    assert (repr(model.nodes), repr(original.nodes)) == (repr(together.nodes), repr(plain.nodes))
    assert len(original.nodes) > len(model.nodes)
    assert len(parsed) == 1


def test_there_is_no_original_that_ends_at_a_node_which_the_file_does_not_have():
    proto = network([node("Div", "a b", "y")], {"a": (T.FLOAT, ["N", 4]), "b": (T.FLOAT, ["N", 4])})
    model, original = reader.load_with_original(proto, signal={"y": 0}, outputs="y/reciprocal")
    assert [node.name for node in model.nodes] == ["y/reciprocal"]
    assert original is None
    with pytest.raises(FormatError, match="unknown output 'z'"):
        reader.load_with_original(proto, outputs="z")


def test_choices_are_made_in_a_model_from_any_file():
    model = Model((lrp_ref.Node("m", L.Multiply(), ("a", "b")),), inputs=("a", "b"))
    assert reader.with_choices(model, {"m": 1})["m"].layer.signal == 1
    assert reader.with_choices(model) is model
    with pytest.raises(FormatError, match="unknown node 'n'"):
        reader.with_choices(model, pass_through=["n"])


# --- constants that float32 does not hold ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "tiny"), [("MatMul", [[1.0, 1e-60], [2.0, -1e-60]]), ("Mul", [1e-60, 2.0]), ("Add", [1e-60, 2.0])]
)
def test_constants_of_double_precision_that_vanish_are_remarked_on(op, tiny):
    """A network that takes float32 is computed in float32, also where the file casts to double in between."""
    tiny = np.array(tiny)
    nodes = [node("Cast", "x", "d", to=T.DOUBLE), node(op, "d w", "e"), node("Cast", "e", "y", to=T.FLOAT)]
    model = reader.load(network(nodes, {"x": (T.FLOAT, ["N", 2])}, w=tiny))
    lost = np.count_nonzero(np.abs(tiny) == 1e-60)
    assert model.remarks == (f"node '{op}_e' ({op}): {lost} of {tiny.size} constants are 0 in float32",)
    assert lrp_ref.explain(model, floats(1, 2), rule=rules.Zero(), target=0).remarks[0] == model.remarks[0]
    kept = np.where(np.abs(tiny) == 1e-60, 1e-40, tiny)
    assert reader.load(network(nodes, {"x": (T.FLOAT, ["N", 2])}, w=kept)).remarks == ()


# --- masks of −inf --------------------------------------------------------------------------------------------------------------

NOTHING = np.float32(-np.inf)
CAUSAL = np.where(np.tri(4, dtype=bool), 0, -np.inf).astype(np.float32)
SOFT = [node("Softmax", "e", "y", axis=-1)]
MASKS = {
    "chosen by a signal": [node("Greater", "x z", "m"), node("Where", "m x n", "e"), *SOFT],
    "chosen by a signal, the other way round": [node("Less", "x z", "m"), node("Where", "m n x", "e"), *SOFT],
    "chosen at load": [node("Where", "k x n", "e"), *SOFT],
    "chosen at load, the other way round": [node("Not", "k", "l"), node("Where", "l n x", "e"), *SOFT],
    "added": [node("Add", "x c", "e"), *SOFT],
    "added from the left, twice": [node("Add", "c x", "a"), node("Add", "c a", "e"), *SOFT],
    "subtracted": [node("Neg", "c", "b"), node("Sub", "x b", "e"), *SOFT],
    "of a logarithm": [node("Add", "x c", "e"), node("LogSoftmax", "e", "l", axis=-1), node("Exp", "l", "y")],
    "of a maximum": [node("Add", "x c", "e"), node("ReduceMax", "e", "y", axes=[2], keepdims=0)],
    "of exponentials": [node("Where", "k x n", "e"), node("Exp", "e", "y")],
}


@pytest.mark.parametrize("patterns", [True, False])
@pytest.mark.parametrize("name", MASKS)
def test_what_a_mask_of_infinities_leaves_out_is_left_out(name, patterns):
    x = floats(3, 4, 4) + 4 * np.eye(4, dtype=np.float32)
    proto = network(MASKS[name], {"x": (T.FLOAT, ["N", 4, 4])}, z=np.float32(0.5), n=NOTHING, c=CAUSAL, k=np.tri(4, dtype=bool))
    model = reader.load(proto, patterns=patterns)
    same(model(x), runtime(proto, x=x)[0])
    assert any("a mask of −inf" in remark for remark in model.remarks)


@pytest.mark.parametrize(
    ("op", "constant"),
    [("Mul", -np.inf), ("Add", np.inf), ("Add", np.nan), ("MatMul", -np.inf), ("Max", np.inf), ("Sub", -np.inf)],
)
def test_other_infinities_are_refused_by_name(op, constant):
    weight = np.full((4, 4), constant, np.float32)
    with pytest.raises(FormatError, match=r"NaN or infinite|must be finite"):
        reader.load(network([node(op, "x w", "y")], {"x": (T.FLOAT, ["N", 4, 4])}, w=weight))
