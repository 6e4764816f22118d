"""What exporters write when they optimise nothing: types by example, comparisons, choices, stacks of matrices, Einsum."""

import numpy as np
import pytest

from support import onnx_examples, onnx_networks

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref import rules  # noqa: E402
from lrp_ref.errors import FormatError, RuleError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402

F = np.float32
RNG = np.random.default_rng(4)


def floats(*shape):
    return RNG.normal(size=shape).astype(F)


def written(build, *shape, opset=18):
    """A network of one input x, written by `build(maker, x)`; (ModelProto, Model, input)."""
    m = onnx_networks.Maker(opset)
    m.channels["x"] = shape[0]
    proto = m.model(build(m, "x"), shape, name="x", out="y")
    return proto, reader.load(proto), floats(3, *shape)


def agrees(proto, model, x, tolerance=1e-6):
    (want,), judge = onnx_examples.expected(proto, x)
    assert judge == "runtime"
    found = model(x)
    assert found.shape == want.shape
    assert np.abs(found - want).max() <= tolerance * max(np.abs(want).max(), 1)


# --- types, comparisons and choices ------------------------------------------------------------------------------------------


def as_type(m, x, cast):
    return m.op("Cast", x, to=cast)


def each(m, x, *shape):
    """A constant that is the same for every sample, as exporters expand it."""
    batch = m.op("Slice", m.op("Shape", x), np.array([0]), np.array([1]))
    return m.op("Expand", floats(1, *shape), m.op("Concat", batch, np.array(shape), axis=0))


COLUMN, ROW = floats(4, 1), floats(5)
WRITTEN = {
    "a constant of a signal's type": lambda m, x: m.op("Mul", x, m.op("CastLike", np.array(2), x)),
    "bounds of a signal's type": lambda m, x: m.op(
        "Clip", x, *(m.op("Reshape", m.op("CastLike", np.array([v]), x), np.array([], np.int64)) for v in (-1, 1))
    ),
    "a constant of a constant's type": lambda m, x: m.op("Mul", x, m.op("CastLike", np.array(3), F(0))),
    "a signal of a constant's type": lambda m, x: m.op("CastLike", x, F(0)),
    "a constant to the power of a signal": lambda m, x: m.op("Pow", np.abs(COLUMN) + F(0.5), x),
    "the larger of a signal and a row": lambda m, x: m.op("Max", x, ROW),
    "the smaller of a signal and a column": lambda m, x: m.op("Min", COLUMN, x, ROW),
    "the larger of two signals and a row": lambda m, x: m.op("Max", x, ROW, m.op("Neg", x)),
    "leaky by choice": lambda m, x: m.op("Where", m.op("Greater", x, F(0)), x, m.op("Mul", x, F(0.1))),
    "threshold": lambda m, x: m.op("Where", m.op("LessOrEqual", x, F(0.1)), F(0), x),
    "filled where small": lambda m, x: m.op("Where", m.op("Not", m.op("Less", x, COLUMN)), x, ROW),
    "two constants": lambda m, x: m.op("Where", m.op("GreaterOrEqual", F(0.25), x), COLUMN, ROW),
    "a mask as numbers": lambda m, x: m.op("Mul", x, as_type(m, m.op("Greater", x, m.op("Neg", x)), 1)),
    "truth from numbers": lambda m, x: m.op("Where", as_type(m, m.op("Relu", x), 9), x, F(-1)),
    "shrunk by two comparisons": lambda m, x: m.op(
        "Where", m.op("Or", m.op("Greater", x, F(0.5)), m.op("Less", x, F(-0.5))), x, F(0)
    ),
    "within two bounds": lambda m, x: m.op("Where", m.op("And", m.op("Greater", x, F(-0.5)), m.op("Less", x, ROW)), x, F(7)),
    "equal to a constant": lambda m, x: m.op("Where", m.op("Equal", m.op("Relu", x), F(0)), x, F(2)),
    "a mask known at load": lambda m, x: m.op("Where", RNG.random((4, 5)) > 0.5, x, COLUMN),
    "a mask and a constant first": lambda m, x: m.op("Where", RNG.random((4, 5)) > 0.5, ROW, x),
    "a mask of two signals": lambda m, x: m.op("Where", RNG.random((1, 5)) > 0.5, m.op("Neg", x), m.op("Exp", x)),
    "a triangle": lambda m, x: m.op("Mul", x, m.op("Trilu", m.op("Expand", F(1), np.array([4, 5])), np.array(1), upper=0)),
    "rolled by a remainder": lambda m, x: m.op(
        "Slice", x, np.array([0]), m.op("Mod", m.op("Slice", m.op("Shape", x), np.array([2]), np.array([3])), np.array([3])),
        np.array([2]),
    ),
    "constants between signals": lambda m, x: m.op(
        "Concat", each(m, x, 4, 2), x, each(m, x, 4, 1), x, x, each(m, x, 4, 3), axis=2
    ),
    "constants first": lambda m, x: m.op("Concat", each(m, x, 2, 5), each(m, x, 1, 5), x, m.op("Neg", x), axis=1),
    "a row picked by positions": lambda m, x: m.op("Mul", x, m.op("GatherND", floats(3, 5), np.array([1]))),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_what_exporters_write_predicts(name):
    proto, model, x = written(WRITTEN[name], 4, 5)
    agrees(proto, model, x)


@pytest.mark.parametrize("beta", [1.0, 2.0, 0.5])
def test_softplus_as_a_choice_is_softplus(beta):
    """As PyTorch exports it: beyond β·x = 20 the function is its input."""

    def build(m, x):
        scaled = m.op("Mul", x, F(beta)) if beta != 1 else x
        soft = m.op("Softplus", scaled)
        return m.op("Where", m.op("Greater", scaled, F(20)), x, m.op("Div", soft, F(beta)) if beta != 1 else soft)

    proto, model, x = written(build, 4, 5)
    assert [repr(n.layer) for n in model.nodes] == [repr(L.Softplus(beta))]
    agrees(proto, model, 20 * x)


@pytest.mark.parametrize("change", ["threshold", "other branch", "factor", "relation"])
def test_what_is_nearly_softplus_is_left_alone(change):
    def build(m, x):
        scaled = m.op("Mul", x, F(2))
        soft = m.op("Div", m.op("Softplus", scaled), F(3 if change == "factor" else 2))
        condition = m.op("Less" if change == "relation" else "Greater", scaled, F(1 if change == "threshold" else 20))
        return m.op("Where", condition, m.op("Neg", x) if change == "other branch" else x, soft)

    proto, model, x = written(build, 4, 5)
    assert isinstance(model["y"].layer, L.Where)
    agrees(proto, model, 20 * x)


@pytest.mark.parametrize("p", [2.0, 4.0])
def test_lp_pooling_as_pytorch_exports_it(p):
    def build(m, x, cells=6.0, exponent=1 / p):
        mean = m.op("AveragePool", m.op("Pow", x, F(p)), kernel_shape=[2, 3], strides=[2, 1], count_include_pad=1)
        size = m.op("Relu", m.op("Abs", mean))
        return m.op("Pow", m.op("Mul", m.op("Mul", m.op("Sign", mean), size), F(cells)), F(exponent))

    proto, model, x = written(build, 2, 6, 7)
    (node,) = model.nodes
    assert isinstance(node.layer, L.LpPool)
    assert (node.layer.kernel, node.layer.stride, node.layer.p) == ((2, 3), (2, 1), p)
    agrees(proto, model, x)
    assert lrp_ref.explain(model, np.abs(x), target=(0, 0, 0)).relevance.shape == x.shape
    for change in ({"cells": 5.0}, {"exponent": 1 / 3}):
        proto, model, x = written(lambda m, x, change=change: build(m, x, **change), 2, 6, 7)
        assert not any(isinstance(n.layer, L.LpPool) for n in model.nodes)
        agrees(proto, model, x)


def test_an_odd_power_of_signed_numbers_is_no_lp_pooling():
    def build(m, x):
        mean = m.op("AveragePool", m.op("Pow", x, F(3)), kernel_shape=[2, 2])
        return m.op("Pow", m.op("Mul", m.op("Mul", m.op("Sign", mean), m.op("Relu", m.op("Abs", mean))), F(4)), F(1 / 3))

    proto, model, x = written(build, 2, 5, 5)
    assert not any(isinstance(n.layer, L.LpPool) for n in model.nodes)
    agrees(proto, model, np.abs(x))


def test_a_comparison_predicts_and_is_refused_by_name_when_it_is_explained():
    proto, model, x = written(WRITTEN["two constants"], 4, 5)
    agrees(proto, model, x)
    with pytest.raises(RuleError, match=r"node '/GreaterOrEqual_0' \(Compare\).*node 'y' \(Where\)"):
        lrp_ref.explain(model, x, target=(0, 0))


def test_a_constant_shape_that_equals_the_batch_keeps_its_axes():
    """ConstantOfShape([2]) beside a batch of 2 that the file fixes: two axes of 1 cell, and not one."""
    m = onnx_networks.Maker(18)
    ones = m.op("ConstantOfShape", np.array([2]), value=numpy_helper.from_array(np.array([1])))
    mean = m.op("ReduceMean", m.op("Flatten", "x", axis=1), np.array([1]), keepdims=1)
    proto = m.model(m.op("Reshape", mean, m.op("Concat", np.array([2]), ones, axis=0)), (3, 4), batch=2, name="x", out="y")
    x = floats(2, 3, 4)
    agrees(proto, reader.load(proto), x)
    assert reader.load(proto)(floats(5, 3, 4)).shape == (5, 1, 1)


# --- stacks of matrices ------------------------------------------------------------------------------------------------------

STACKS = {
    "a matrix for each head": (lambda m, x: m.op("MatMul", x, floats(3, 4, 2)), (3, 5, 4)),
    "a matrix for each head, batch axis of 1": (lambda m, x: m.op("MatMul", x, floats(1, 3, 4, 2)), (3, 5, 4)),
    "one stack for all heads": (lambda m, x: m.op("MatMul", x, floats(1, 4, 2)), (3, 5, 4)),
    "heads from one": (lambda m, x: m.op("MatMul", x, floats(3, 4, 2)), (1, 5, 4)),
    "in front": (lambda m, x: m.op("MatMul", floats(3, 6, 5), x), (3, 5, 4)),
    "in front of fewer heads": (lambda m, x: m.op("MatMul", floats(1, 3, 6, 5), x), (1, 5, 4)),
    "two axes of heads": (lambda m, x: m.op("MatMul", x, floats(2, 1, 4, 2)), (2, 3, 5, 4)),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_of_constant_matrices(name):
    build, shape = STACKS[name]
    proto, model, x = written(build, *shape)
    agrees(proto, model, x, 1e-5)


@pytest.mark.parametrize("shapes", [((3, 4), (2, 4, 5)), ((4,), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((6, 1, 3, 4), (2, 4, 5))])
def test_stacks_without_a_batch_axis(shapes):
    first, second = shapes
    weight, x = floats(*second), floats(*first)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, first)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = reader.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), batched=False)
    np.testing.assert_allclose(model(x[None])[0], x @ weight, rtol=1e-5, atol=1e-6)


def test_a_stack_that_would_put_an_axis_in_front_of_the_batch_is_refused():
    for shape in ((4,), (5, 4)):
        with pytest.raises(FormatError, match="more axes than the signal"):
            written(lambda m, x: m.op("MatMul", x, floats(2, 3, 4, 2)), *shape)


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("composite", ["epsilon_plus", "alpha1_beta0", "deep_taylor", "innvestigate_a"])
def test_a_stack_is_explained_as_dense_layers_side_by_side(backend, composite):
    """Each head's rows through its own Dense layer, and the heads joined: relevance and accounts are the same."""
    weight, x = RNG.normal(size=(3, 4, 2)), RNG.normal(size=(2, 3, 5, 4))
    stacked = lrp_ref.Model.sequential([L.StackedDense(weight), L.Flatten()], domain=(-9, 9), input_shape=(3, 5, 4))
    heads = [
        node
        for h in range(3)
        for node in (
            lrp_ref.Node(f"slice{h}", L.Slice(h, h + 1), ("x",)),
            lrp_ref.Node(f"dense{h}", L.Dense(weight[h]), (f"slice{h}",)),
        )
    ]
    nodes = [
        *heads, lrp_ref.Node("heads", L.Concat(3), ("dense0", "dense1", "dense2")),
        lrp_ref.Node("flat", L.Flatten(), ("heads",)),
    ]  # fmt: skip
    apart = lrp_ref.Model(tuple(nodes), ("x",), domain=(-9, 9), input_shape=(3, 5, 4))
    options = {"target": 4, "backend": backend, "composite": composite, "ledger": True, "allow_negative": True}
    one, other = (lrp_ref.explain(model, x, **options) for model in (stacked, apart))
    np.testing.assert_allclose(one.prediction, other.prediction, rtol=1e-12)
    scale = np.abs(other.relevance).max()
    np.testing.assert_allclose(one.relevance, other.relevance, rtol=0, atol=1e-12 * scale)
    for column in ("relevance", "bias", "stabiliser", "unassigned"):
        a, b = (np.asarray(getattr(e.ledger, column)) for e in (one, other))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(scale, 1))


def test_every_rule_of_linear_layers_serves_a_stack_as_the_oracle_says():
    from lrp_ref.arrays import fractions
    from lrp_ref.oracle import messages

    layer = L.StackedDense(np.array([[[1, -2], [0.5, 1]], [[-1, 0], [2, 3]]])).astype(object)
    a, R = fractions([[[[1, -1]], [[2, 0.5]]]]), fractions([[[[3, -2]], [[1, 4]]]])
    for rule in (rules.Zero(), rules.Epsilon(0.25), rules.ZPlus(), rules.AlphaBeta(), rules.WSquare(), rules.Flat()):
        (lower,) = rule.relevances(layer, (a,), layer.forward(a), R)
        (expected,) = messages(layer, rule, a, R).relevances
        assert (lower == expected).all(), rule


# --- Einsum ------------------------------------------------------------------------------------------------------------------

WITH_CONSTANT = [
    ("nij,jk->nik", (3, 4), (4, 5)),
    ("...ij,jk->...ik", (6, 3, 4), (4, 5)),
    ("nhij,hjk->nhik", (3, 4, 5), (3, 5, 6)),
    ("nhij,hjk->nikh", (3, 4, 5), (3, 5, 6)),
    ("nij,i->nij", (3, 4), (3,)),
    ("nij,ij->nji", (3, 4), (3, 4)),
    ("nij,ij->n", (3, 4), (3, 4)),
    ("ni,jk->nijk", (3,), (4, 5)),
    ("ni,jk->nij", (3,), (4, 5)),
    ("nij,kk->ni", (3, 4), (5, 5)),
    ("nii,ij->nj", (3, 3), (3, 4)),
    ("nijk,kjl->nil", (3, 4, 5), (5, 4, 6)),
    ("n...,...->n...", (3, 4), (3, 4)),
]
ALONE = [
    ("nii->ni", (3, 3)),
    ("...ii->...i", (5, 3, 3)),
    ("nii->n", (3, 3)),
    ("niji->nj", (3, 4, 3)),
    ("niii->ni", (3, 3, 3)),
    ("nijij->nij", (3, 4, 3, 4)),
    ("nij->nji", (3, 4)),
    ("nij->n", (3, 4)),
    ("bij", (3, 4)),
]
OF_SIGNALS = [
    ("nij,njk->nik", (3, 4), (4, 5)),
    ("...ij,...jk->...ik", (6, 3, 4), (6, 4, 5)),
    ("nij,nij->n", (3, 4), (3, 4)),
    ("nij,nkl->nij", (3, 4), (5, 6)),
    ("nii,ni->n", (3, 3), (3,)),
]


def einsum(equation, shapes, constants=()):
    """A model of one Einsum in float64, and its inputs, all of batch 2 but the constants."""
    arrays = {f"x{k}": RNG.normal(size=s if k in constants else (2, *s)) for k, s in enumerate(shapes)}
    names = list(arrays)
    graph = helper.make_graph(
        [helper.make_node("Einsum", names, ["y"], name="e", equation=equation)],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.DOUBLE, a.shape) for n, a in arrays.items() if int(n[1]) not in constants],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
        [numpy_helper.from_array(a, n) for n, a in arrays.items() if int(n[1]) in constants],
    )
    model = reader.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    return model, arrays


def turned(equation):
    left, _, out = equation.partition("->")
    return ",".join(reversed(left.split(","))) + "->" + out


@pytest.mark.parametrize(
    ("equation", "shapes", "constants"),
    [
        *((e, (a, b), (1,)) for e, a, b in WITH_CONSTANT),
        *((turned(e), (b, a), (0,)) for e, a, b in WITH_CONSTANT),
        *((e, (a,), ()) for e, a in ALONE),
        *((e, (a, b), ()) for e, a, b in OF_SIGNALS),
    ],
)
def test_einsum_is_numpys(equation, shapes, constants):
    model, arrays = einsum(equation, shapes, constants)
    want = np.einsum(equation, *arrays.values())
    found = model({name: arrays[name] for name in model.inputs})
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("equation", "shapes", "constants", "message"),
    [
        ("nij,njk->ijk", [(3, 4), (4, 5)], (), "keep the batch axis in front"),
        ("nn->n", [(2,)], (), "keep the batch axis in front"),
        ("nij,jk,kl->nil", [(3, 4), (4, 5), (5, 6)], (1, 2), "no product of two matrices"),
        ("nij->nn", [(3, 4)], (), "does not fit"),
        ("n...->n", [(3, 4)], (), "does not fit"),
        ("nij->nk", [(3, 4)], (), "labels in its output that no input has"),
        ("nij,ni->nj", [(3, 4), (2, 3)], (1,), "differ from sample to sample"),
        ("nij,jk->nik", [(3, 4), (5, 6)], (1,), "axes of 4 and 5 cells meet"),
        ("nii->ni", [(3, 4)], (), "stands for axes of 3 and 4 cells"),
    ],
)
def test_einsum_refusals(equation, shapes, constants, message):
    with pytest.raises(FormatError, match=f"node 'e' .Einsum.: .*{message}"):
        einsum(equation, shapes, constants)


# --- what is left ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda m, x: m.op("CumSum", x, np.array(1)), r"\(CumSum\): it is computed of constants alone.*outputs="),
        (
            lambda m, x: m.op("Mul", x, m.op("ReduceMean", np.zeros((0, 5), F), np.array([0]))),
            r"\(ReduceMean\): a mean over an empty array, of shape \(0, 5\)",
        ),
        (lambda m, x: m.op("Pow", F(-2), x), r"\(Pow\): a constant that is not positive"),
        (lambda m, x: m.op("Mul", x, m.op("Mod", np.array([3]), np.array([0]))), r"\(Mod\): a remainder of integers by 0"),
    ],
)
def test_refusals_name_the_node(build, message):
    with pytest.raises(FormatError, match=message):
        written(build, 4, 5)


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("roi", [(0.25, 0.1, 0.75, 0.9), (0.2, 0.9, 0.7, 0.3), (-0.5, 0.25, 0.8, 1.5)])
def test_cut_out_and_resized(mode, roi):
    """tf_crop_and_resize, beyond the image too."""
    m = onnx_networks.Maker(18)
    y = m.op(
        "Resize", "x", np.array([0, 0, *roi[:2], 1, 1, *roi[2:]], F), "", np.array([1, 2, 7, 5]), mode=mode,
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=2.5, nearest_mode="floor",
    )  # fmt: skip
    proto = m.model(y, (2, 6, 8), batch=1, name="x", out="y")
    agrees(proto, reader.load(proto), floats(1, 2, 6, 8), 1e-4)
