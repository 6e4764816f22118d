"""Folding batch norms and constant factors: the function stays the same, exactly; relevance too; nothing else is merged."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lrp_ref import Explainer, Model, Node, canonize, errors, explain, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions, zeros
from lrp_ref.network.canonize import Merge, canonized
from support.model_strategies import Modelled, affine_models, generic
from support.strategies import cast

AFFINE = (L.BatchNorm, L.Scale)
WEIGHTED = (L.Dense, L.Conv, L.ConvTranspose)

rng = np.random.default_rng(5)


def norm(channels: int, seed: int = 0) -> L.BatchNorm:
    """A batch norm whose roots are 1, 3/2, 2, …, so that it is rational."""
    r = np.random.default_rng(seed)
    root = 1 + np.arange(channels) / 2
    draw = [r.integers(-6, 7, channels) / 4 + 0.125 for _ in range(3)]
    return L.BatchNorm(draw[0], root * root - 0.25, draw[1], draw[2], epsilon=0.25)


def dyadic(*shape: int) -> np.ndarray:
    return rng.integers(-8, 9, shape) / 4


def outputs(model: Model, x) -> list[np.ndarray]:
    found = model(x)
    return list(found.values()) if isinstance(found, dict) else [found]


def same_function(model: Model, *shape: int) -> None:
    """Folded or not, in rationals the outputs are equal on an input of this shape."""
    exact, x = model.astype(object), fractions(dyadic(*shape))
    for a, b in zip(outputs(exact, x), outputs(canonize(exact), x), strict=True):
        assert (a == b).all()


def without_shape(model: Model) -> Model:
    return replace(model, input_shape=None)


# ---- random graphs ---------------------------------------------------------------------------------------------------


@given(affine_models())
def test_folding_changes_no_output_in_exact_rationals(drawn: Modelled):
    exact = drawn.astype(object)
    folded = canonize(exact.model)
    for a, b in zip(outputs(exact.model, exact.x), outputs(folded, exact.x), strict=True):
        assert (a == b).all()


@given(affine_models())
def test_where_shapes_are_unknown_what_depends_on_them_is_left_alone(drawn: Modelled):
    exact = drawn.astype(object)
    folded, merges = canonized(without_shape(exact.model))
    assert len(merges) <= len(canonized(exact.model)[1])
    for a, b in zip(outputs(exact.model, exact.x), outputs(folded, exact.x), strict=True):
        assert (a == b).all()


def sizes(model: Model) -> Model:
    """The same graph with the absolute value of every parameter: on |x| it bounds every sum in `model`."""
    nodes = []
    for node in model.nodes:
        layer = node.layer
        if isinstance(layer, L.BatchNorm):
            ndim = len(model.shapes({"input": (1, *model.input_shape["input"])})[node.name])
            moved = [p.reshape(-1, *(1,) * (ndim - 2)) for p in (layer.factor, layer.mean * layer.factor)]
            shift = 0 * moved[0] if layer.shift is None else layer.shift.reshape(moved[0].shape)
            layer = L.Scale(abs(moved[0]), abs(moved[1]) + abs(shift))
        else:
            layer = replace(layer, **{name: abs(value) for name, value in layer.parameters.items()})
        nodes.append(Node(node.name, layer, node.inputs))
    return Model(tuple(nodes), model.inputs, model.outputs, None, dict(model.input_shape))


@given(affine_models())
def test_in_floats_folding_only_rounds(drawn: Modelled):
    """Both ways of computing round a sum of the same products; all sums and their parts are bounded by `sizes`.

    At most 6 layers with fewer than 300 terms each: 2 · 6 · 300 · 2⁻⁵³ < 1e-12.
    """
    folded = canonize(drawn.model)
    bounds = outputs(sizes(drawn.model), {"input": abs(drawn.x["input"])})
    for a, b, bound in zip(outputs(drawn.model, drawn.x), outputs(folded, drawn.x), bounds, strict=True):
        assert (abs(a - b) <= 1e-12 * bound).all()


@given(affine_models())
def test_only_affine_nodes_go_and_each_into_linear_nodes_that_keep_their_names(drawn: Modelled):
    model = drawn.model
    folded, merges = canonized(model)
    names = {node.name for node in model.nodes}
    gone = [merge.node for merge in merges]
    assert {node.name for node in folded.nodes} == names - set(gone)
    assert len(gone) == len(set(gone))
    for merge in merges:
        assert isinstance(model[merge.node].layer, AFFINE)
        assert merge.into
        assert all(isinstance(model[name].layer, WEIGHTED) for name in merge.into)
    for node in folded.nodes:
        before = model[node.name].layer
        assert type(node.layer) is type(before)
        if isinstance(before, WEIGHTED):
            assert node.layer.weight.shape == before.weight.shape
        else:
            assert node.layer is before
    assert canonized(folded)[1] == ()


@given(affine_models())
def test_nothing_that_folds_is_left(drawn: Modelled):
    """Said once more, for batch norms and for one factor for all."""
    folded = canonize(drawn.model)
    shapes = folded.shapes({"input": (1, *drawn.model.input_shape["input"])})
    for node in folded.nodes:
        if not isinstance(node.layer, L.BatchNorm) and not (isinstance(node.layer, L.Scale) and node.layer.weight.ndim == 0):
            continue
        if isinstance(node.layer, L.Scale) and node.layer.bias is not None and node.layer.bias.ndim:
            continue

        def takes(name: str, node: Node = node) -> bool:
            layer = folded[name].layer
            flat = len(shapes[node.name]) == 2 or isinstance(node.layer, L.Scale)
            return isinstance(layer, (L.Conv, L.ConvTranspose)) or (isinstance(layer, L.Dense) and flat)

        source = node.inputs[0]
        if source in folded and source not in folded.outputs and len(folded.readers(source)) == 1:
            assert not takes(source)
        if folded.readers(node.name) and node.name not in folded.outputs:
            assert not all(takes(reader.name) for reader in folded.readers(node.name))


@given(affine_models(numbers=generic(), one_output=True), st.data())
def test_under_lrp_0_folding_changes_no_relevance_where_no_inner_z_is_zero(drawn: Modelled, data):
    exact = drawn.astype(object)
    trace = exact.model.trace(exact.x)
    linear = [node.name for node in exact.model.nodes if isinstance(node.layer, L.Linear)]
    assume(all((trace[name] != 0).all() for name in linear))
    start = cast(np.array(data.draw(st.permutations(range(1, trace[exact.model.outputs[0]].size + 1)))), object)
    start = start.reshape(trace[exact.model.outputs[0]].shape)
    unfolded, folded = (
        explain(exact.model, exact.x, rule=rules.Zero(), start=start, canonize=canonize) for canonize in (False, True)
    )
    assert (unfolded.relevance == folded.relevance).all()


# ---- the formulas ----------------------------------------------------------------------------------------------------


def test_after_a_linear_layer():
    """w' = s w, b' = s (b − μ) + β with s = γ/√(σ² + ε) (Samek et al. 2021, §1.4.1): s = (2, −1/2), by hand."""
    bn = L.BatchNorm([1.0, 2.0], [3.75, 15.75], [4.0, -2.0], [0.5, 0.25], epsilon=0.25)
    dense = L.Dense([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0])
    folded, merges = canonized(Model.sequential([dense, bn], input_shape=(2,)))
    assert merges == (Merge("batchnorm1", ("dense1",)),)
    layer = folded["dense1"].layer
    assert layer.weight.tolist() == [[2.0, -1.0], [6.0, -2.0]]
    assert layer.bias.tolist() == [2 * (5 - 1) + 0.5, -0.5 * (6 - 2) + 0.25]


def test_before_a_linear_layer():
    """w'_jk = s_j w_jk, b'_k = b_k + Σ_j w_jk t_j with t = β − s μ (papers: the order ReLU, batch norm, linear)."""
    bn = L.BatchNorm([1.0, 2.0], [3.75, 15.75], [4.0, -2.0], [0.5, 0.25], epsilon=0.25)  # s = (2, −1/2), t = (−3/2, 5/4)
    dense = L.Dense([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0])
    folded = canonize(Model.sequential([L.ReLU(), bn, dense], input_shape=(2,)))
    layer = folded["dense1"].layer
    assert layer.weight.tolist() == [[2.0, 4.0], [-1.5, -2.0]]
    assert layer.bias.tolist() == [5 - 1.5 + 3.75, 6 - 3.0 + 5.0]


SPATIAL = {1: (5,), 2: (4, 3), 3: (3, 2, 3)}


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", [L.Conv, L.ConvTranspose])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("before", [True, False])
def test_beside_convolutions_of_every_dimension(dims, kind, groups, padding, before):
    lower, upper = 2, 4
    shape = (upper, lower // groups) if kind is L.Conv else (lower, upper // groups)
    conv = kind(dyadic(*shape, *(2,) * dims), dyadic(upper), stride=2, padding=padding, groups=groups)
    order = [norm(lower), conv, L.ReLU()] if before else [L.ReLU(), conv, norm(upper)]
    model = Model.sequential(order, input_shape=(lower, *SPATIAL[dims]))
    folded, merges = canonized(model)
    (linear,) = (node for node in folded.nodes if isinstance(node.layer, kind))
    assert [merge.into for merge in merges] == [(linear.name,)]
    same_function(model, 2, lower, *SPATIAL[dims])


def test_in_front_of_zero_padding_the_bias_becomes_a_feature_map_that_fixes_the_input_size():
    conv = L.Conv(np.ones((1, 1, 3, 3)), [1.0], padding=1)
    bn = L.BatchNorm([-2.0], [1.0], epsilon=0)  # a + 2
    folded = canonize(Model.sequential([bn, conv], input_shape=(1, 3, 3)))
    corner, side, middle = 1 + 2 * 4, 1 + 2 * 6, 1 + 2 * 9  # the bias, and 2 for each cell that is no padding
    rows = [[corner, side, corner], [side, middle, side], [corner, side, corner]]
    assert folded["conv1"].layer.bias.tolist() == [rows]
    loose = without_shape(folded)
    with pytest.raises(errors.ShapeError, match=r"node 'conv1' \(Conv\).*whole feature map.*fixes the input size"):
        loose(np.zeros((1, 1, 4, 4)))


@pytest.mark.parametrize("padding", [((0, 1), (0, 0)), ((0, 0), (0, 1)), ((1, 0), (0, 0)), ((0, 0), (2, 0)), ((0, 1), (1, 0))])
def test_zero_padding_on_one_side_alone_makes_a_feature_map_too(padding):
    model = Model.sequential([norm(2), L.Conv(dyadic(3, 2, 2, 2), dyadic(3), padding=padding)], input_shape=(2, 4, 3))
    folded = canonize(model)
    assert folded["conv1"].layer.bias.shape == (3, *model["conv1"].layer.shape((1, 2, 4, 3))[2:])
    same_function(model, 2, 2, 4, 3)
    assert canonized(without_shape(model))[1] == ()


def test_an_explainer_folds_anew_for_another_input_size():
    model = Model.sequential([norm(1), L.Conv(dyadic(2, 1, 3, 3), padding=1), L.GlobalAvgPool(), L.Flatten()])
    explainer = Explainer(model, rule=rules.Zero())
    for size in (3, 5, 3):
        x = dyadic(1, 1, size, size)
        np.testing.assert_allclose(explainer(x, 0).prediction, model(x), rtol=1e-12)


def test_without_padding_no_shape_is_needed_and_the_bias_stays_one_number_per_channel():
    conv = L.Conv(dyadic(2, 3, 2, 2), dyadic(2), stride=2, dilation=2)
    model = Model.sequential([norm(3), conv])
    folded, merges = canonized(model)
    assert len(merges) == 1
    assert folded["conv1"].layer.bias.shape == (2,)
    same_function(model, 1, 3, 5, 6)


def test_padding_with_an_unknown_shape_is_left_alone_unless_nothing_is_added():
    conv = L.Conv(dyadic(2, 3, 2, 2), padding=1)
    assert canonized(Model.sequential([norm(3), conv]))[1] == ()
    factor = L.Scale(dyadic(3, 1, 1))
    model = Model.sequential([factor, conv])
    _, merges = canonized(model)
    assert merges == (Merge("scale1", ("conv1",)),)
    same_function(model, 1, 3, 4, 4)


# ---- what is folded into what ----------------------------------------------------------------------------------------


def graph(*nodes: tuple, outputs=None, shape=(2, 4, 4)) -> Model:
    return Model(tuple(Node(*node) for node in nodes), outputs=outputs, input_shape=shape)


def conv(lower: int = 2, upper: int = 2, **options) -> L.Conv:
    return L.Conv(dyadic(upper, lower, 3, 3), dyadic(upper), **options)


def test_a_norm_that_several_layers_read_is_folded_into_all_of_them():
    model = graph(
        ("bn", norm(2), "input"),
        ("a", conv(padding=1), "bn"),
        ("b", conv(upper=3, padding=1), "bn"),
        ("join", L.Concat(2), ("a", "b")),
    )
    folded, merges = canonized(model)
    assert merges == (Merge("bn", ("a", "b")),)
    assert folded["a"].inputs == folded["b"].inputs == ("input",)
    same_function(model, 1, 2, 4, 4)


def test_a_norm_that_one_reader_cannot_take_stays_for_all():
    model = graph(
        ("bn", norm(2), "input"),
        ("a", conv(padding=1), "bn"),
        ("relu", L.ReLU(), "bn"),
        ("join", L.Add(), ("a", "relu")),
    )
    folded, merges = canonized(model)
    assert merges == ()
    assert folded["a"].layer is model["a"].layer


def test_a_linear_layer_that_somebody_else_reads_does_not_take_the_norm_behind_it():
    model = graph(("a", conv(), "input"), ("bn", norm(2), "a"), ("join", L.Add(), ("a", "bn")))
    assert canonized(model)[1] == ()


def test_a_norm_that_is_an_output_is_folded_back_and_the_output_is_then_the_linear_node():
    model = graph(("a", conv(), "input"), ("bn", norm(2), "a"), ("relu", L.ReLU(), "a2"), ("a2", conv(), "input"))
    folded, merges = canonized(model)
    assert merges == (Merge("bn", ("a",)),)
    assert set(model.outputs) == {"bn", "relu"}
    assert folded.outputs == tuple("a" if name == "bn" else name for name in model.outputs)
    same_function(model, 1, 2, 4, 4)


def test_a_norm_that_is_an_output_is_not_folded_forward():
    model = graph(("bn", norm(2), "input"), ("a", conv(), "bn"), outputs=("bn", "a"))
    assert canonized(model)[1] == ()


def test_a_linear_layer_that_is_an_output_does_not_take_the_norm_behind_it():
    model = graph(("a", conv(), "input"), ("bn", norm(2), "a"), outputs=("a", "bn"))
    assert canonized(model)[1] == ()


def test_nothing_is_folded_across_an_activation():
    model = Model.sequential([norm(2), L.ReLU(), conv(), L.ReLU(), norm(2), L.ReLU()], input_shape=(2, 4, 4))
    assert canonized(model)[1] == ()


def test_after_an_activation_a_norm_goes_forward():
    model = Model.sequential([conv(), L.ReLU(), norm(2), conv()], ["a", "relu", "bn", "b"], input_shape=(2, 6, 6))
    folded, merges = canonized(model)
    assert merges == (Merge("bn", ("b",)),)
    assert folded["a"].layer is model["a"].layer


def test_between_two_linear_layers_a_norm_goes_back():
    model = Model.sequential([conv(), norm(2), conv()], ["a", "bn", "b"], input_shape=(2, 6, 6))
    assert canonized(model)[1] == (Merge("bn", ("a",)),)


def test_a_chain_is_folded_whole():
    chain = [L.Scale(0.5, dyadic(2, 1, 1)), norm(2), conv(padding=1), norm(2, 1), L.Scale(dyadic(2, 1, 1)), norm(2, 2), L.ReLU()]
    model = Model.sequential(chain, input_shape=(2, 4, 4))
    folded, merges = canonized(model)
    assert {merge.node for merge in merges} == {"scale1", "batchnorm1", "batchnorm2", "scale2", "batchnorm3"}
    assert all(merge.into == ("conv1",) for merge in merges)
    assert [node.name for node in folded.nodes] == ["conv1", "relu1"]
    same_function(model, 2, 2, 4, 4)


def test_linear_layers_are_never_merged_into_each_other():
    chain = [L.Dense(dyadic(3, 2)), L.Dense(dyadic(2, 2)), L.Scale(2.0), L.Dense(dyadic(2, 2))]
    folded, merges = canonized(Model.sequential(chain, input_shape=(3,)))
    assert merges == (Merge("scale1", ("dense2",)),)
    assert [node.name for node in folded.nodes] == ["dense1", "dense2", "dense3"]
    alone = Model.sequential([norm(2), L.Scale(2.0), norm(2)], input_shape=(2,))
    assert canonized(alone)[1] == ()


@pytest.mark.parametrize("extents", [(2, 3), (3, 3)])
@pytest.mark.parametrize("before", [True, False])
def test_a_norm_beside_dense_on_sequences_counts_time_steps_and_is_left_alone(extents, before):
    """(N, T, F): axis 1 holds T steps, and folding them into the F features would be wrong, silently so where T = F."""
    steps, features = extents
    order = [norm(steps), L.Dense(dyadic(features, 3))] if before else [L.Dense(dyadic(features, 3)), norm(steps)]
    model = Model.sequential(order, input_shape=extents)
    _, merges = canonized(model)
    assert merges == ()
    same_function(model, 2, *extents)


def test_a_factor_per_feature_is_folded_into_dense_whatever_the_rank():
    chain = [L.Scale(dyadic(1, 3), dyadic(3)), L.Dense(dyadic(3, 2)), L.Scale(dyadic(2), 0.5)]
    model = Model.sequential(chain)
    assert len(canonized(model)[1]) == 2
    same_function(model, 2, 4, 3)
    assert canonized(Model.sequential([L.Scale(dyadic(4, 1)), L.Dense(dyadic(3, 2))]))[1] == ()


def test_beside_dense_on_inputs_of_unknown_rank_a_norm_is_left_until_the_shape_is_known():
    model = Model.sequential([L.Dense(dyadic(3, 2)), norm(2)], ["a", "bn"])
    assert canonized(model)[1] == ()
    assert canonized(model, (3,))[1] == (Merge("bn", ("a",)),)
    assert canonized(model, {"input": (3,)})[1] == (Merge("bn", ("a",)),)
    explained = explain(model, dyadic(1, 3), keep="all", rule=rules.Zero())
    with pytest.raises(errors.UnknownNameError):
        explained.at("bn")


def test_a_factor_that_differs_from_place_to_place_is_left_alone():
    for weight in (dyadic(2, 4, 4), dyadic(4)):
        assert canonized(Model.sequential([L.Scale(weight), conv()], input_shape=(2, 4, 4)))[1] == ()


def test_a_norm_of_other_channels_than_its_neighbour_has_is_left_for_the_forward_pass_to_refuse():
    model = Model.sequential([conv(upper=4), norm(1)])
    assert canonized(model)[1] == ()
    with pytest.raises(errors.ShapeError, match="node 'batchnorm1'"):
        model(dyadic(1, 2, 4, 4))


# ---- what else stays as it was ---------------------------------------------------------------------------------------


def test_of_a_layer_used_twice_only_the_node_with_the_norm_changes():
    shared = conv(padding=1)
    model = graph(("a", shared, "input"), ("bn", norm(2), "a"), ("b", shared, "bn"))
    folded = canonize(model)
    assert folded["b"].layer is shared
    assert folded["a"].layer is not shared
    same_function(model, 1, 2, 4, 4)


def test_domain_input_shape_and_the_model_itself_are_kept():
    model = Model.sequential([conv(), norm(2)], domain=(-1, 1), input_shape=(2, 4, 4))
    weight = model["conv1"].layer.weight.copy()
    folded = canonize(model)
    assert repr(folded.domain["input"]) == "[-1.0, 1.0]"
    assert dict(folded.input_shape) == {"input": (2, 4, 4)}
    assert (model["conv1"].layer.weight == weight).all()
    assert not folded["conv1"].layer.weight.flags.writeable


def test_folding_never_narrows_the_number_type():
    wide = L.BatchNorm(*(rng.uniform(1, 2, 2) for _ in range(4)))
    narrow = L.Conv(rng.normal(size=(2, 2, 3, 3)).astype(np.float32), rng.normal(size=2).astype(np.float32))
    model = Model.sequential([narrow, wide], input_shape=(2, 4, 4))
    folded = canonize(model)
    assert folded.dtype == model.dtype == np.float64
    x = rng.normal(size=(1, 2, 4, 4))
    np.testing.assert_allclose(folded(x), model(x), rtol=1e-13)
    small = canonize(model.astype(np.float32))
    assert {value.dtype for value in small["conv1"].layer.parameters.values()} == {np.dtype(np.float32)}


def test_a_float_beside_rationals_keeps_its_exact_value():
    third = np.array([[Fraction(1, 3)]], dtype=object)
    model = Model.sequential([L.Dense(third, [0.1]), L.BatchNorm([0.3], [1.0], epsilon=0)], input_shape=(1,))
    bias = canonize(model)["dense1"].layer.bias
    assert bias.tolist() == [Fraction(0.1) - Fraction(0.3)]


def test_a_fold_that_would_overflow_is_not_made():
    tiny = L.BatchNorm(np.zeros(1, np.float32), np.full(1, 1e-38, np.float32), epsilon=0)
    huge = L.Dense(np.full((1, 1), 1e30, np.float32))
    model = Model.sequential([huge, tiny], input_shape=(1,))
    assert canonized(model)[1] == ()
    assert np.isfinite(model(np.full((1, 1), 1e-15, np.float32))).all()


def test_a_norm_without_a_rational_factor_is_named():
    model = Model.sequential([L.Dense(dyadic(2, 2)), L.BatchNorm([0.0, 0.0], [2.0, 2.0])], input_shape=(2,)).astype(object)
    with pytest.raises(errors.ExactnessError, match=r"node 'batchnorm1' \(BatchNorm\).*not rational"):
        canonize(model)


def test_input_shapes_that_do_not_fit_are_refused():
    two = Model((Node("add", L.Add(), ("a", "b")),), ("a", "b"))
    with pytest.raises(errors.GraphError, match="several inputs; give a mapping from a, b"):
        canonize(two, (3,))
    with pytest.raises(errors.UnknownNameError, match=r"unknown input 'imput'\. Did you mean 'input'"):
        canonize(Model.sequential([L.ReLU()]), {"imput": (3,)})
    with pytest.raises(errors.ShapeError, match="node 'conv1'"):
        canonize(Model.sequential([conv()]), (3, 4, 4))
    assert canonized(two, {"a": (3,)}) == (two, ())


def test_an_empty_batch_is_still_empty():
    model = Model.sequential([norm(2), conv(padding=1)], input_shape=(2, 4, 4))
    assert canonize(model)(zeros((0, 2, 4, 4), np.empty(0))).shape == (0, 2, 4, 4)


# ---- channels last ---------------------------------------------------------------------------------------------------


def turned(layer, scale, axes, shape, more=(), outputs=("scale",)):
    """A linear layer, a Transpose, a Scale."""
    nodes = [Node("linear", layer, ("input",)), Node("turn", L.Transpose(axes), ("linear",)), Node("scale", scale, ("turn",))]
    return Model((*nodes, *more), ("input",), outputs, input_shape=shape)


LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
TURNED = {
    "a convolution": (L.Conv(dyadic(4, 2, 3, 3), dyadic(4), padding=1), (1, 1, 4), LAST, (2, 5, 4)),
    "one number": (L.Conv(dyadic(4, 2, 3, 3)), (), LAST, (2, 5, 4)),
    "a last axis alone": (L.Conv(dyadic(4, 2, 3, 3)), (4,), LAST, (2, 5, 4)),
    "groups": (L.Conv(dyadic(4, 1, 3, 3), groups=2), (4,), LAST, (2, 5, 4)),
    "a transposed convolution": (L.ConvTranspose(dyadic(2, 4, 2, 2), stride=2), (4,), LAST, (2, 3, 4)),
    "a dense layer in front of channels first": (L.Dense(dyadic(3, 4), dyadic(4)), (4, 1, 1), FIRST, (5, 2, 3)),
    "a sequence": (L.Conv(dyadic(4, 2, 3)), (4,), (0, 2, 1), (2, 6)),
}


@pytest.mark.parametrize("name", TURNED)
def test_a_factor_behind_a_transpose_is_folded_into_the_linear_layer(name):
    layer, extents, axes, shape = TURNED[name]
    model = turned(layer, L.Scale(dyadic(*extents) + 0.125, dyadic(*extents)), axes, shape)
    folded, merges = canonized(model)
    assert merges == (Merge("scale", ("linear",)),)
    assert [type(n.layer) for n in folded.nodes] == [type(layer), L.Transpose]
    assert folded.outputs == ("turn",)
    same_function(model, 2, *shape)


CONV = L.Conv(dyadic(4, 2, 3, 3))
KEPT = {
    "a factor of places": turned(CONV, L.Scale(dyadic(3, 1, 1)), LAST, (2, 5, 4)),
    "a factor of both": turned(CONV, L.Scale(dyadic(3, 2, 4)), LAST, (2, 5, 4)),
    "a batch norm, which counts another axis": turned(L.Conv(dyadic(4, 2, 1, 1)), norm(4), LAST, (2, 4, 4)),
    "a second reader of the transpose": turned(
        CONV, L.Scale(dyadic(4)), LAST, (2, 5, 4), (Node("other", L.ReLU(), ("turn",)),), ("scale", "other")
    ),
    "a second reader of the layer": turned(
        CONV, L.Scale(dyadic(4)), LAST, (2, 5, 4), (Node("other", L.ReLU(), ("linear",)),), ("scale", "other")
    ),
    "an output in between": turned(CONV, L.Scale(dyadic(4)), LAST, (2, 5, 4), (), ("scale", "turn")),
    "no linear layer": turned(L.ReLU(), L.Scale(dyadic(2)), LAST, (2, 5, 4)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_cannot_be_folded_through_a_transpose_stays(name):
    folded, merges = canonized(KEPT[name])
    assert not merges
    assert folded.nodes == KEPT[name].nodes


def test_a_transpose_of_the_input_alone_is_no_layer_to_fold_into():
    nodes = (Node("turn", L.Transpose(LAST), ("input",)), Node("scale", L.Scale(dyadic(2)), ("turn",)))
    assert not canonized(Model(nodes, ("input",), ("scale",), input_shape=(2, 5, 4)))[1]
