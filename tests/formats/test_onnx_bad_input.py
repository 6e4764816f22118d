"""Files that are broken, foreign or hostile: each a clear error, and never a crash, a hang or a flood."""

import resource
import sys
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import onnx_networks

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref.errors import FormatError, LrpError, MissingExtraError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402
from lrp_ref.formats.onnx.read import tensors  # noqa: E402
from lrp_ref.formats.onnx.translate.operators import OPERATORS  # noqa: E402


def weights(*shape, name="w", value=1.0):
    return numpy_helper.from_array(np.full(shape, value, np.float32), name)


def network(nodes, inputs=(("x", ("N", 3)),), outputs=("y",), initializers=(), opset=17, domains=()):
    """A ModelProto that nobody checked."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "g", given, made, list(initializers))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def node(op, inputs, outputs, name="it", **attributes):
    return helper.make_node(op, list(inputs), list(outputs), name=name, **attributes)


def dense():
    return network([node("Gemm", "xw", "y")], initializers=[weights(3, 2)])


def refused(proto, message, **options):
    with pytest.raises(FormatError, match=message):
        reader.load(proto, **options)


# --- the file ---------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_onnx(tmp_path):
    for data in (b"no protobuf at all", b"\x89PNG\r\n\x1a\n" + bytes(50), b"\x08\x07", b"PK\x03\x04" + bytes(30)):
        refused(data, "no readable ONNX file|no ONNX file")
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"model\.onnx: this is no"):
            lrp_ref.load(path)


def test_a_missing_an_empty_and_an_unreadable_file(tmp_path):
    refused(tmp_path / "none.onnx", r"none\.onnx: the file cannot be read: No such file")
    (tmp_path / "empty.onnx").touch()
    refused(tmp_path / "empty.onnx", "the file is empty")
    refused(tmp_path, "cannot be read: Is a directory")
    refused(7, "as a path, as bytes or as a ModelProto, found int")


def test_every_truncation_is_refused():
    whole = dense().SerializeToString()
    for end in range(len(whole)):
        with pytest.raises(FormatError):
            reader.load(whole[:end])


def test_a_truncated_large_file(tmp_path):
    path = tmp_path / "model.onnx"
    whole = network([node("Gemm", "xw", "y")], inputs=[("x", ("N", 100))], initializers=[weights(100, 100)]).SerializeToString()
    path.write_bytes(whole)
    assert reader.load(path)(np.ones((1, 100), np.float32)).shape == (1, 100)
    path.write_bytes(whole[:-20000])
    refused(path, "no readable ONNX file")


@pytest.mark.parametrize("opset", [1, 6, 99])
def test_versions_that_are_not_read(opset):
    proto = dense()
    proto.opset_import[0].version = opset
    refused(proto, rf"version {opset} of ONNX's operators; versions 7 to \d+ are read")
    del proto.opset_import[:]
    refused(proto, "does not say which version")


def test_a_graph_without_outputs_functions_and_sparse_tensors():
    proto = dense()
    del proto.graph.output[:]
    refused(proto, "the graph has no outputs")
    proto = dense()
    proto.functions.add(name="Mine", domain="d")
    refused(proto, r"functions of its own \(Mine.*inline_local_functions")
    proto = dense()
    proto.graph.sparse_initializer.add()
    refused(proto, "sparse initializers")


# --- wiring -----------------------------------------------------------------------------------------------------------------


def test_a_cycle():
    nodes = [node("Relu", ["b"], ["a"], "first"), node("Relu", ["a"], ["b"], "second"), node("Relu", "x", "y", "third")]
    refused(network(nodes), "a cycle through 'first', 'second'")


def test_nodes_in_any_order():
    nodes = [node("Tanh", ["h"], ["y"], "second"), node("Relu", ["x"], ["h"], "first")]
    assert [n.name for n in reader.load(network(nodes)).nodes] == ["first", "y"]


def test_a_missing_initializer():
    refused(network([node("Gemm", "xw", "y")]), r"node 'it' \(Gemm\) reads 'w', which is neither an input, nor an initializer")


def test_names_defined_twice():
    refused(network([node("Relu", "x", "y"), node("Tanh", "x", "y", "other")]), "the name 'y' is defined twice")
    refused(network([node("Relu", "x", "y")], inputs=[("x", ("N", 3)), ("x", ("N", 3))]), "the name 'x' is defined twice")


def test_outputs_that_nobody_computes_or_that_no_input_reaches():
    refused(network([node("Relu", "x", "y")], outputs=["z"]), "the output 'z' is computed by no node")
    refused(network([node("Relu", "w", "y")], initializers=[weights(2)]), "the outputs depend on no input")
    refused(dense(), "unknown output 'z'", outputs="z")
    refused(dense(), "outputs must be different names", outputs=("y", "y"))


def test_two_outputs_and_no_choice_made():
    model = reader.load(network([node("Relu", "x", "y", "a"), node("Tanh", "x", "z", "b")], outputs=["y", "z"]))
    assert model.outputs == ("y", "z")
    with pytest.raises(LrpError, match="output"):
        lrp_ref.explain(model, np.ones((1, 3), np.float32), target=0)
    assert reader.load(
        network([node("Relu", "x", "y", "a"), node("Tanh", "x", "z", "b")], outputs=["y", "z"]), outputs="z"
    ).outputs == ("z",)


# --- operators --------------------------------------------------------------------------------------------------------------


def test_unknown_operators_are_all_listed_with_what_would_help():
    nodes = [
        node("MatMulInteger", ["x"], ["a"], "l"),
        node("Wiggle", ["a"], ["b"], "w1"),
        node("Wiggle", ["b"], ["c"], "w2"),
        node("FusedConv", ["c"], ["d"], "f", domain="com.microsoft"),
        node("Relu", ["d"], ["y"], "r"),
    ]
    with pytest.raises(FormatError) as caught:
        reader.load(network(nodes, domains=["com.microsoft"]))
    message = str(caught.value)
    assert "MatMulInteger (1×: export the network before quantisation" in message
    assert "Wiggle (2×: ONNX has no such operator in version 17)" in message
    assert "com.microsoft.FusedConv (1×: the operator belongs to a runtime" in message
    assert "Relu" not in message


def test_unknown_operators_behind_other_outputs_do_not_matter():
    proto = network([node("Relu", "x", "y", "r"), node("Wiggle", "x", "z", "w")], outputs=["y", "z"])
    assert len(reader.load(proto, outputs="y").nodes) == 1


def test_all_nodes_that_cannot_be_represented_are_listed():
    nodes = [
        node("Split", ["x"], ["a"], "parted", axis=0),
        node("ReduceSum", ["x", "axes"], ["b"], "summed"),
        node("Softmax", ["x"], ["c"], "soft", axis=0),
        node("Add", ["a", "b"], ["d"], "sum"),
        node("Sum", ["d", "c"], ["y"], "last"),
    ]
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    with pytest.raises(FormatError) as caught:
        reader.load(network(nodes, initializers=[axes]))
    for named in ("'parted' (Split)", "'summed' (ReduceSum)", "'soft' (Softmax)"):
        assert named in str(caught.value)
    assert "'sum'" not in str(caught.value)  # broken only because of what it reads
    assert "batch axis" in str(caught.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (node("Reshape", ["x", "two"], "y"), r"moves elements between samples: \(N, 3\) becomes \(3, "),
        (node("Concat", ["x", "x"], "y", axis=0), "computes across samples, along the batch axis"),
        (node("Squeeze", ["x"], "y", axes=[0]), "computes across samples, along the batch axis|not all of extent 1"),
        (node("Cast", ["x"], "y", to=7), "a signal is cast to integers"),
        (node("Dropout", ["x", "", "t"], "y"), "drops at random"),
        (node("Gather", ["x", "x"], "y"), "picks elements of one signal by another"),
        (node("Conv", ["x", "x"], "y"), "must be a constant"),
        (node("Pow", ["z", "x"], "y"), "a constant that is not positive to the power of a signal"),
        (node("Gemm", ["x"], "y"), "its input 1 is missing"),
        (node("Relu", [], "y"), "depend on no input"),
        (node("Softmax", "x", "y", axis=7), "axis 7 does not exist among 2 axes"),
        (node("LeakyRelu", "x", "y", alpha="much"), "the attribute 'alpha' must be a number"),
        (node("LeakyRelu", "x", "y", alpha=float("nan")), "the attribute 'alpha' is not finite"),
        (node("Transpose", "x", "y", perm=[0, 0]), "not a permutation of 2 axes"),
        (node("Div", ["x", "z"], "y"), "divides by 0"),
        (node("Expand", ["x", "minus"], "y"), "its target shape is"),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else None,
)
def test_nodes_that_make_no_sense_are_named(made, message):
    constants = [
        numpy_helper.from_array(np.array([-1], np.int64), "s"),
        numpy_helper.from_array(np.array([3, -1], np.int64), "two"),
        numpy_helper.from_array(np.array([-1, 3], np.int64), "minus"),
        numpy_helper.from_array(np.array(True), "t"),
        weights(3, name="p"),
        weights(3, name="z", value=0.0),
    ]
    opset = 11 if made.op_type == "Squeeze" else 17
    refused(network([made], initializers=constants, opset=opset), message)


def test_an_output_that_is_not_supported():
    nodes = [
        node("Dropout", ["x"], ["a", "mask"], "d"),
        node("Cast", ["mask"], ["m"], "c", to=1),
        node("Mul", ["a", "m"], ["y"], "p"),
    ]
    refused(network(nodes), r"it reads 'mask', an output of node 'd' \(Dropout\) that is not supported")


# --- inputs and extents -----------------------------------------------------------------------------------------------------


def test_open_extents_of_no_known_number_or_of_no_fitting_size_need_a_shape():
    proto = network([node("Add", ["x", "w"], "y")], inputs=[("x", ("N", "T"))], initializers=[weights(8191)])
    refused(proto, r"input 'x' has samples of shape \(\?\): give input_shape=.* \(node 'it' \(Add\): ")
    assert reader.load(proto, input_shape=(8191,)).input_shape == {"x": (8191,)}
    proto = network([node("Relu", "x", "y")], inputs=[("x", ("N", 3, "H", None))])
    assert reader.load(proto, input_shape=(3, 4, 5)).input_shape == {"x": (3, 4, 5)}
    assert reader.load(proto, input_shape={"x": (3, 4, 5)}).input_shape == {"x": (3, 4, 5)}
    refused(proto, "does not fit input 'x'", input_shape=(2, 4, 5))
    refused(proto, "unknown input 'z'", input_shape={"z": (3, 4, 5)})
    refused(network([node("Relu", "x", "y")], inputs=[("x", None)]), "samples of any shape")


@pytest.mark.parametrize(
    ("extent", "message"), [(-3, "negative extent"), (2**40, "more than the budget"), (2**62, "more than the budget")]
)
def test_negative_and_gigantic_extents(extent, message):
    if extent > 0:  # a negative extent of an input is an open one
        refused(network([node("Relu", "x", "y")], inputs=[("x", ("N", extent))]), message)
    proto = dense()
    proto.graph.initializer[0].dims[0] = extent
    refused(proto, message)


def test_a_gigantic_extent_beside_an_extent_of_0():
    """NumPy refuses such a shape although it has no elements."""
    proto = dense()
    proto.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.FLOAT, (0, 2**56, 2**10), []))
    refused(proto, "more than the budget")


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Expand", ["x", "s"], "y")], {"s": [1, 2**31, 3]}),
        ([node("Tile", ["x", "s"], "y")], {"s": [1, 2**40]}),
        ([node("Pad", ["x", "s"], "y")], {"s": [0, 2**40, 0, 0]}),
        ([node("ConstantOfShape", "s", "c"), node("Add", "xc", "y")], {"s": [2**20, 2**20]}),
        ([node("Range", "abd", "c"), node("Add", "xc", "y")], {"a": 0, "b": 2**60, "d": 1}),
        ([node("Expand", "as", "c"), node("Mul", "xc", "y")], {"a": 1, "s": [2**15, 2**16, 3]}),
        ([node("Tile", "as", "c"), node("Mul", "xc", "y")], {"a": [1], "s": [2**40]}),
        ([node("Where", "msx", "y")], {"m": np.ones((1, 2**20), np.int64), "s": np.ones((2**20, 1), np.int64)}),
        ([node("Sum", "xas", "y")], {"a": np.ones((1, 2**20), np.int64), "s": np.ones((2**20, 1), np.int64)}),
        ([node("Unsqueeze", "as", "c"), node("Add", "xc", "y")], {"a": [1], "s": list(range(500))}),
        ([node("Expand", "as", "it"), node("Trilu", ["it"], "c"), node("Mul", "xc", "y")], {"a": 1, "s": [2**27, 5]}),
        ([node("Expand", "as", "it"), node("ReduceSum", ["it"], "c"), node("Mul", "xc", "y")], {"a": 1, "s": [2**20, 2**20]}),
        ([node("Expand", "as", "it"), node("Cast", ["it"], "c", to=1), node("Mul", "xc", "y")], {"a": 1, "s": [2**20, 2**14]}),
        ([node("Range", "abd", "c"), node("Add", "xc", "y")], {"a": 0, "b": 2**25, "d": 1}),
    ],
    ids=lambda value: value[0].op_type if isinstance(value, list) else None,
)
def test_nodes_that_would_flood_the_memory(nodes, constants):
    arrays = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in constants.items()]
    start = time.process_time()
    refused(network(nodes, initializers=arrays), r"node 'it' \(")
    assert time.process_time() - start < 5


def test_scales_without_number_are_not_made_a_list():
    ones = numpy_helper.from_array(np.ones((), np.float32), "a")
    extents = numpy_helper.from_array(np.array([2**23]), "s")
    nodes = [node("Expand", "as", ["c"]), node("Resize", ["x", "", "c"], "y")]
    start = time.process_time()
    refused(network(nodes, initializers=[ones, extents]), "holds more numbers than there are axes")
    assert time.process_time() - start < 1


def test_what_is_computed_at_load_has_a_budget_together():
    """Each node doubles what it reads, by a view and a copy."""
    nodes, last = [], "a"
    for k in range(12):
        nodes += [node("Transpose", [last], [f"t{k}"]), node("Concat", [last, f"t{k}"], [f"c{k}"], axis=0)]
        last = f"c{k}"
    nodes.append(node("Add", ["x", last], "y"))
    refused(
        network(nodes, initializers=[weights(2**18, name="a")]),
        "what is computed at load takes more than the budget",
        budget=2**26,
    )


def test_windows_that_would_flood_the_memory():
    made = node("MaxPool", "x", "y", kernel_shape=[2000, 2000], strides=[1, 1])
    refused(network([made], inputs=[("x", ("N", 1, 8000, 8000))]), "its windows take")


def test_a_budget():
    refused(dense(), "more than the budget of 8; budget= raises it", budget=8)
    two = network(
        [node("Gemm", "xw", "a"), node("Gemm", "av", "y", "other")], initializers=[weights(3, 3), weights(3, 3, name="v")]
    )
    refused(two, "the initializers take more than the budget of 40 bytes", budget=40)


def test_inputs_of_other_types():
    proto = dense()
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    refused(proto, "input 'x' holds string values")
    proto.graph.input[0].type.tensor_type.elem_type = 23
    refused(proto, "low-precision type 23 values")
    proto.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1
    refused(proto, "input 'x' is no tensor")


def test_inputs_without_a_common_batch():
    made = node("Add", "xz", "y")
    refused(network([made], inputs=[("x", (2, 3)), ("z", (4, 3))]), "first extents differ")
    refused(network([made], inputs=[("x", (2, 3)), ("z", ())]), "has no batch axis: fix=.*batched=False")


# --- weights ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers(value):
    refused(
        network([node("Gemm", "xw", "y")], initializers=[weights(3, 2, value=value)]),
        r"node 'it' \(Gemm\): Dense.weight has 6 value\(s\)",
    )


def test_data_that_does_not_fit():
    proto = dense()
    proto.graph.initializer[0].raw_data = b"12"
    refused(proto, "initializer 'w' needs 24 bytes and has 2")
    proto.graph.initializer[0].ClearField("raw_data")
    proto.graph.initializer[0].float_data.extend([1.0] * 5)
    refused(proto, r"initializer 'w' of shape \(3, 2\) needs 6 values and has 5")
    proto.graph.initializer[0].data_type = 17
    refused(proto, "initializer 'w' holds low-precision type 17 numbers")
    proto.graph.initializer[0].dims.extend([1] * 40)
    proto.graph.initializer[0].data_type = 1
    refused(proto, "axes, more than 32")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("raw", [True, False])
def test_weights_of_every_precision_and_storage(kind, raw):
    values = np.array([[1.5, -2], [0.25, 3], [4, -0.5]])
    proto = dense()
    kinds = {np.float16: TensorProto.FLOAT16, np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}
    data = values.astype(kind).tobytes() if raw else values.astype(kind).reshape(-1)
    proto.graph.initializer[0].CopyFrom(helper.make_tensor("w", kinds[kind], (3, 2), data, raw=raw))
    assert (reader.load(proto)(np.eye(3, dtype=np.float32)) == values).all()


# --- external data ----------------------------------------------------------------------------------------------------------


def external(tmp_path, location, offset=None, length=None):
    proto = dense()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "network.onnx").write_bytes(proto.SerializeToString())
    return folder / "network.onnx"


def test_external_data(tmp_path):
    path = external(tmp_path, "w.bin", 8, 24)
    values = np.arange(6, dtype=np.float32)
    (path.parent / "w.bin").write_bytes(bytes(8) + values.tobytes() + bytes(3))
    assert (reader.load(path)(np.eye(3, dtype=np.float32)) == values.reshape(3, 2)).all()
    data = path.read_bytes()
    refused(data, "stored outside the model; load it from its file, or give folder=")
    assert len(reader.load(data, folder=path.parent).nodes) == 1


@pytest.mark.parametrize("location", ["../w.bin", "", "/etc/passwd", "sub/../../w.bin", "none.bin", ".", "link.bin", "bad\0name"])
def test_external_data_outside_the_folder_is_refused(tmp_path, location):
    path = external(tmp_path, location)
    (tmp_path / "w.bin").write_bytes(bytes(24))
    (path.parent / "sub").mkdir()
    (path.parent / "link.bin").symlink_to(tmp_path / "w.bin")
    refused(path, "is no file inside the model's folder")


@pytest.mark.parametrize(("offset", "length"), [(-1, 24), (0, 7), (8, 24), (0, 10**15), ("x", 24), (2**70, 24)])
def test_external_data_of_another_size_is_refused(tmp_path, offset, length):
    path = external(tmp_path, "w.bin", offset, length)
    (path.parent / "w.bin").write_bytes(bytes(24))
    refused(path, "needs 24 bytes, and states|cannot be read")


# --- memory -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False], ids=["path", "bytes"])
def test_loading_makes_no_second_copy_of_the_weights(tmp_path, whole):
    side = 2000
    proto = network([node("Gemm", "xw", "y", transB=1)], inputs=[("x", ("N", side))], initializers=[weights(side, side)])
    path = tmp_path / "large.onnx"
    path.write_bytes(proto.SerializeToString())
    source = path if whole else path.read_bytes()
    import tracemalloc

    tracemalloc.start()
    model = reader.load(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = 4 * side * side
    weight = model["y"].layer.weight
    assert weight.shape == (side, side)
    # One copy, out of the file or to an aligned place, and the check for NaN, a byte for each number.
    assert peak < 1.4 * size


# --- many files -------------------------------------------------------------------------------------------------------------

SEEDS = [
    *(make().SerializeToString() for name, make in onnx_networks.NETWORKS.items() if name in ("mixer", "mobilenet", "inception")),
    dense().SerializeToString(),
]


def outcome(source):
    """ "loaded", or the error; anything else than an error of ours is let through and fails the test."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader.load(source, budget=2**26)
        return "loaded"
    except FormatError:
        return "refused"
    finally:
        assert time.process_time() - start < 5


@st.composite
def damaged(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["set", "flip", "cut", "copy", "grow"]))
        if how == "set":
            data[place] = draw(st.sampled_from([0, 1, 127, 128, 255]))
        elif how == "flip":
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[place : place + draw(st.integers(1, 64))]
        elif how == "copy":
            data[place:place] = data[max(0, place - draw(st.integers(1, 200))) : place]
        else:
            data[place:place] = draw(st.binary(min_size=1, max_size=10))
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


@settings(max_examples=300)
@given(damaged())
def test_damaged_bytes(data):
    outcome(data)


def structure(data):
    """Where nodes, attributes and names are, not weights: damage there reaches further."""
    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    return proto


@st.composite
def rewired(draw):  # noqa: C901 one branch for each kind of change
    """A network whose graph was changed at random: names, operators, attributes, extents, versions."""
    proto = structure(draw(st.sampled_from(SEEDS)))
    graph = proto.graph
    names = [n for made in graph.node for n in (*made.input, *made.output)] + ["", "x"]
    numbers = st.sampled_from([-(2**63), -5, -1, 0, 1, 2, 3, 7, 1000, 2**31, 2**40, 2**63 - 1])
    operators = sorted({op for op, _ in OPERATORS} | {"If", "Wiggle"})
    for _ in range(draw(st.integers(1, 5))):
        made = draw(st.sampled_from(list(graph.node)))
        how = draw(
            st.sampled_from(["operator", "input", "output", "drop", "number", "kind", "dims", "version", "less", "constant"])
        )
        if how == "operator":
            made.op_type = draw(st.sampled_from(operators))
        elif how == "input" and made.input:
            made.input[draw(st.integers(0, len(made.input) - 1))] = draw(st.sampled_from(names))
        elif how == "output" and made.output:
            made.output[0] = draw(st.sampled_from(names))
        elif how == "drop":
            graph.node.remove(made)
        elif how == "number" and made.attribute:
            attribute = draw(st.sampled_from(list(made.attribute)))
            if attribute.ints:
                attribute.ints[draw(st.integers(0, len(attribute.ints) - 1))] = draw(numbers)
            else:
                attribute.i = draw(numbers)
        elif how == "kind" and made.attribute:
            draw(st.sampled_from(list(made.attribute))).type = draw(st.integers(0, 14))
        elif how == "dims":
            tensor = draw(st.sampled_from(list(graph.initializer)))
            if tensor.dims:
                tensor.dims[0] = draw(numbers)
        elif how == "version":
            proto.opset_import[0].version = draw(st.integers(5, 30))
        elif how == "less" and made.input:
            del made.input[-1]
        elif how == "constant":
            tensor = draw(st.sampled_from([t for t in graph.initializer if t.data_type == 7] or list(graph.initializer)))
            if tensor.data_type == 7 and tensor.raw_data:
                tensor.raw_data = np.array(draw(numbers), np.int64).tobytes() + tensor.raw_data[8:]
        if not graph.node:
            break
    return proto


@settings(max_examples=400)
@given(rewired())
def test_rewired_graphs(proto):
    outcome(proto)


def test_a_long_chain_takes_no_long_time():
    count = 5000
    nodes = [node("Mul", [f"h{k}", "w"], [f"h{k + 1}"], "same") for k in range(count)]
    proto = network(nodes, inputs=[("h0", ("N", 3))], outputs=[f"h{count}"], initializers=[weights(1)])
    start = time.process_time()
    assert len(reader.load(proto).nodes) == count
    assert time.process_time() - start < 5


def test_this_file_took_no_more_memory_than_promised():
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert kilobytes < 2 * 2**20, f"{kilobytes} kB"


# --- tensors left in the file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", SEEDS[:3], ids=["mobilenet", "inception", "mixer"])
def test_the_file_without_its_large_tensors_is_the_same_graph(data, monkeypatch):
    monkeypatch.setattr(tensors, "_SMALL", 0)
    rest, blobs = tensors.split_large_initializers(data)
    whole = onnx.ModelProto.FromString(data)
    assert len(rest) + sum(length for _, length in blobs.values()) < len(data) + 10
    assert set(blobs) == {t.name for t in whole.graph.initializer}
    stripped = onnx.ModelProto.FromString(rest)
    for ours, theirs in zip(stripped.graph.initializer, whole.graph.initializer, strict=True):
        offset, length = blobs[ours.name]
        assert data[offset : offset + length] == theirs.raw_data
        assert not ours.raw_data
        ours.raw_data = theirs.raw_data
    assert stripped == whole
    model, plain = reader.load(data), reader.load(whole)
    for node_, other in zip(model.nodes, plain.nodes, strict=True):
        assert all((v == other.layer.parameters[k]).all() for k, v in node_.layer.parameters.items())


def test_a_file_in_parts_is_left_to_the_parser():
    """Protobuf merges messages that are given twice."""
    large = network([node("Gemm", "xw", "y")], inputs=[("x", ("N", 100))], initializers=[weights(100, 100)])
    first, second = onnx.ModelProto(), onnx.ModelProto()
    first.CopyFrom(large)
    del first.graph.node[:]
    second.graph.node.extend(large.graph.node)
    data = first.SerializeToString() + second.SerializeToString()
    assert tensors.split_large_initializers(data) is None
    assert (reader.load(data)["y"].layer.weight == 1).all()


@pytest.mark.parametrize("data", [b"", b"\xff" * 20, b"\x3a\x7f\x00", b"\x3b\x00", b"\x00\x00", b"\x3a\x02\x2a\x05"])
def test_what_is_no_message_is_left_to_the_parser(data):
    assert tensors.split_large_initializers(data) is None or not tensors.split_large_initializers(data)[1]


def test_a_name_that_is_no_text():
    data = dense().SerializeToString().replace(b"Gemm", b"Ge\xff\x80")
    refused(data, "no readable ONNX file")


def test_without_the_onnx_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"reading ONNX files needs onnx: pip install 'lrp_ref\[onnx\]'"):
        reader.load(b"")
