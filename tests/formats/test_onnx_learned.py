"""The operators of ai.onnx.ml that are layers, labels beside scores, and models that are none."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import Model, rules  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref.errors import FormatError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402

ML = "ai.onnx.ml"
W = np.array([[0.5, -1.0, 0.25], [1.5, 0.5, -0.5], [-0.25, 0.75, 1.0], [0.5, -0.5, -1.25]], np.float32)
B = np.array([0.125, -0.25, 0.5], np.float32)
X = np.array([[1.0, -2.0, 0.5, 3.0], [0.25, 1.0, -1.5, 2.0]], np.float32)


def node(op, inputs, outputs, **attributes):
    given = {name: value for name, value in attributes.items() if value != []}
    return helper.make_node(op, list(inputs), list(outputs), name=op.lower(), domain=ML, **given)


def plain(op, inputs, outputs, **attributes):
    return helper.make_node(op, list(inputs), list(outputs), name=op.lower(), **attributes)


def network(nodes, outputs=(("y", TensorProto.FLOAT),), initializers=(), lower=4):
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", lower])]
    made = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs]
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers]
    graph = helper.make_graph(list(nodes), "g", given, made, constants)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def runtime(proto, x=X):
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})


DENSE = [plain("MatMul", "sw", "m"), plain("Add", "mb", "y")]


@pytest.mark.parametrize(
    ("offset", "scale"),
    [([1.0, -1.0, 0.5, 2.0], [2.0, 0.5, 4.0, 0.25]), ([0.5], [2.0]), ([], [2.0, 0.5, 4.0, 0.25]), ([0.5, 1.0, 2.0, -1.0], [])],
)
def test_a_scaler_in_front_of_a_network_is_part_of_its_first_layer(offset, scale):
    proto = network([node("Scaler", "x", "s", offset=offset, scale=scale), *DENSE], initializers=[("w", W), ("b", B)])
    model = reader.load(proto)
    shift, factor = np.broadcast_to(offset or [0.0], 4), np.broadcast_to(scale or [1.0], 4)
    np.testing.assert_allclose(model(X), (X - shift) * factor @ W + B, rtol=1e-6, atol=1e-6)
    if offset and scale:  # the runtime wants both
        np.testing.assert_allclose(model(X), runtime(proto)[0], rtol=1e-6, atol=1e-6)
    folded = Model.sequential([L.Dense(factor[:, None] * W, B - (shift * factor) @ W)])
    found = lrp_ref.explain(model, X, rule=rules.Zero(), target=1)
    expected = lrp_ref.explain(folded, X.astype(np.float64), rule=rules.Zero(), target=1)
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["L1", "L2", "MAX"])
def test_a_normalizer_predicts_as_the_runtime_does(norm):
    proto = network([node("Normalizer", "x", "y", norm=norm)])
    np.testing.assert_allclose(reader.load(proto)(X), runtime(proto)[0], rtol=1e-6)


def test_linear_models_are_dense_layers():
    flat, bias = W.T.reshape(-1).tolist(), B.tolist()
    regressor = network([node("LinearRegressor", "x", "y", coefficients=flat, intercepts=bias, targets=3)])
    classifier = network(
        [node("LinearClassifier", "x", ["label", "y"], coefficients=flat, intercepts=bias, classlabels_ints=[4, 5, 6])],
        outputs=[("label", TensorProto.INT64), ("y", TensorProto.FLOAT)],
    )
    for proto in (regressor, classifier):
        model = reader.load(proto)
        assert model.outputs == ("y",)
        np.testing.assert_allclose(model(X), runtime(proto)[-1], rtol=1e-6)
        e = lrp_ref.explain(model, X, rule=rules.Zero(), target=2)
        np.testing.assert_allclose(e.relevance, X * W[:, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("squash", "upper"), [(s, u) for s in ("NONE", "LOGISTIC", "SOFTMAX") for u in (1, 2, 3) if (s, u) != ("SOFTMAX", 1)]
)
def test_a_linear_classifier_squashes_as_the_runtime_does(squash, upper):
    weight = W[:, :upper]
    labels = list(range(max(upper, 2)))
    made = node(
        "LinearClassifier", "x", ["label", "y"], coefficients=weight.T.reshape(-1).tolist(), intercepts=B[:upper].tolist(),
        classlabels_ints=labels, post_transform=squash,
    )  # fmt: skip
    proto = network([made], outputs=[("label", TensorProto.INT64), ("y", TensorProto.FLOAT)])
    np.testing.assert_allclose(reader.load(proto)(X), runtime(proto)[1], rtol=2e-6, atol=1e-7)


def test_logistic_regression_as_it_is_converted_has_its_scores_for_output():
    """LinearClassifier, Normalizer, ZipMap and a Cast of the label: what skl2onnx writes for two classes."""
    weight, bias = np.stack([-W[:, 0], W[:, 0]]), [-0.25, 0.25]
    nodes = [
        node(
            "LinearClassifier", "x", ["label", "raw"], coefficients=weight.reshape(-1).tolist(), intercepts=bias,
            classlabels_ints=[0, 1], post_transform="LOGISTIC", multi_class=1,
        ),
        node("Normalizer", ["raw"], ["probabilities"], norm="L1"),
        node("ZipMap", ["probabilities"], ["listed"], classlabels_int64s=[0, 1]),
        plain("Cast", ["label"], ["named"], to=TensorProto.INT64),
    ]  # fmt: skip
    proto = network(nodes, outputs=[("named", TensorProto.INT64)])
    listed = helper.make_value_info(
        "listed", helper.make_sequence_type_proto(helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, [])))
    )
    proto.graph.output.append(listed)
    model = reader.load(proto)
    assert model.outputs == ("probabilities",)
    theirs = np.array([[row[0], row[1]] for row in runtime(proto)[1]])
    np.testing.assert_allclose(model(X), theirs, rtol=1e-6)
    e = lrp_ref.explain(model, X, rule=rules.Zero(), target=1, head="logit")
    np.testing.assert_allclose(e.relevance, X * W[:, 0], rtol=1e-6)


def test_an_imputer_puts_a_number_where_another_one_stands():
    """CONV-IMPUTED for its relevance: all of it stays at the feature."""
    proto = network(
        [node("Imputer", "x", "s", imputed_value_floats=[9.0], replaced_value_float=0.5), *DENSE],
        initializers=[("w", W), ("b", B)],
    )
    np.testing.assert_allclose(reader.load(proto)(X), runtime(proto)[0], rtol=1e-6)
    found = lrp_ref.explain(reader.load(proto), X, rule=rules.Zero(), target=0).relevance
    np.testing.assert_allclose(found, np.where(X == 0.5, 9, X) * W[:, 0], rtol=1e-6)
    proto = network([node("Imputer", "x", "y", imputed_value_floats=[9.0], replaced_value_float=float("nan"))])
    model = reader.load(proto)
    np.testing.assert_array_equal(model(X), X)
    with pytest.raises(lrp_ref.errors.LrpError, match="NaN or infinite"):
        model(np.where(X == 1, np.nan, X))


@pytest.mark.parametrize("steps", [["ArgMax"], ["ArgMax", "Cast"], ["ArgMax", "Squeeze", "Cast"]])
def test_the_label_output_beside_scores_is_left_out(steps):
    nodes, name = [plain("MatMul", "xw", "y")], "y"
    for step in steps:
        extra = {"ArgMax": {"axis": 1}, "Cast": {"to": TensorProto.INT64}, "Squeeze": {}}[step]
        nodes.append(plain(step, [name], [f"{name}_"], **extra))
        name += "_"
    proto = network(nodes, outputs=[(name, TensorProto.INT64), ("y", TensorProto.FLOAT)], initializers=[("w", W)])
    assert (reader.load(proto).outputs, reader.load(proto).remarks) == (("y",), ())
    alone = network(nodes, outputs=[(name, TensorProto.INT64)], initializers=[("w", W)])
    assert reader.load(alone).outputs == ("y",)
    assert "a target is one of their indices" in reader.load(alone).remarks[0]
    assert reader.load(alone, outputs="y").remarks == ()


def test_trees_are_refused_as_trees():
    made = node("TreeEnsembleRegressor", "x", "y")
    with pytest.raises(FormatError, match=r"these are decision trees.*LRP does not explain trees"):
        reader.load(network([made]))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (node("Scaler", "x", "y", scale=[1.0, 2.0], offset=[0.0]), "'scale' has 2 numbers for 4 features"),
        (node("Normalizer", "x", "y", norm="L7"), "'norm' is 'L7'"),
        (node("LinearRegressor", "x", "y", coefficients=[1.0, 2.0]), "2 coefficients and 0 intercepts do not map 4 features"),
        (node("LinearRegressor", "x", "y", coefficients=[1.0] * 4, post_transform="PROBIT"), "'post_transform' is 'PROBIT'"),
    ],
)
def test_what_does_not_fit_is_refused(made, message):
    with pytest.raises(FormatError, match=message):
        reader.load(network([made]))
