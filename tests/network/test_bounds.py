"""The bounds that ZBox() takes from the domain, through what stands in front of its layer."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import Composite, Domain, Explainer, Model, Node, composites, errors, explain, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.composites import (
    Bounded,
)
from support.model_strategies import batch_norms, scales
from support.strategies import arrays, cast, dyadics, fewer, positives

w, eps, winner, box, zplus = np.ones((1, 1)), rules.Epsilon(), rules.WinnerTakesAll(), rules.ZBox(0.0, 1.0), rules.ZPlus()

# ---- the bounds of ZBox() --------------------------------------------------------------------------------------------


def bounds(model: Model, name: str = "conv1") -> rules.ZBox:
    found = Composite(((name, rules.ZBox()), (L.Selecting, winner), (L.Layer, rules.Pass()))).assign(model)[name]
    assert isinstance(found, rules.ZBox)
    return found


def conv_behind(*layers: L.Layer, channels: int = 2, dims: int = 2, **options) -> Model:
    conv = L.Conv(np.ones((1, channels, *(1,) * dims)))
    return Model.sequential([*layers, conv], [*(f"front{i}" for i in range(len(layers))), "conv1"], **options)


def tolist(box: rules.ZBox) -> tuple:
    return np.asarray(box.low).tolist(), np.asarray(box.high).tolist()


def test_the_domain_is_the_bounds_of_a_layer_at_the_input():
    assert tolist(bounds(conv_behind(domain=(-1, 2)))) == (-1.0, 2.0)
    per_channel = np.array([0.0, -1.0]).reshape(2, 1, 1)
    assert tolist(bounds(conv_behind(domain=(per_channel, 2)))) == ([[[0.0]], [[-1.0]]], 2.0)


def test_scales_in_front_move_the_bounds_and_a_negative_one_exchanges_them():
    assert tolist(bounds(conv_behind(L.Scale(2.0, 1.0), domain=(0, 3)))) == (1.0, 7.0)
    assert tolist(bounds(conv_behind(L.Scale(-2.0, 1.0), domain=(0, 3)))) == (-5.0, 1.0)
    mixed = L.Scale(np.array([2.0, -2.0]).reshape(2, 1, 1), 1.0)
    assert tolist(bounds(conv_behind(mixed, domain=(0, 3)))) == ([[[1.0]], [[-5.0]]], [[[7.0]], [[1.0]]])
    assert tolist(bounds(conv_behind(mixed, L.Scale(-1.0), domain=(0, 3)))) == ([[[-7.0]], [[-1.0]]], [[[-1.0]], [[5.0]]])


@pytest.mark.parametrize("shape", [None, (2, 4, 2)])
def test_a_batch_norm_in_front_is_per_channel_even_where_the_width_is_the_number_of_channels(shape):
    norm = L.BatchNorm([1.0, 2.0], [0.75, 3.75], [1.0, -2.0], [0.0, 0.5], epsilon=0.25)  # (a − 1), −(a − 2) + 1/2
    found = bounds(conv_behind(norm, domain=(0, 3), input_shape=shape))
    assert tolist(found) == ([[[-1.0]], [[-0.5]]], [[[2.0]], [[2.5]]])


def test_the_zeros_of_a_pad_lie_within_the_bounds():
    assert tolist(bounds(conv_behind(L.Pad(1), domain=(1, 2)))) == (0.0, 2.0)
    assert tolist(bounds(conv_behind(L.Pad(1), domain=(-2, -1)))) == (-2.0, 0.0)
    assert tolist(bounds(conv_behind(L.Pad(1), L.Scale(2.0, 1.0), domain=(1, 2)))) == (1.0, 5.0)
    scale = L.Scale(np.array([1.0, -1.0]).reshape(2, 1, 1))
    assert tolist(bounds(conv_behind(scale, L.Pad(1), domain=(1, 2)))) == ([[[0.0]], [[-2.0]]], [[[2.0]], [[0.0]]])


def test_bounds_of_every_cell_are_padded_with_zeros():
    low = np.array([[[1.0, 2.0]]])
    found = bounds(conv_behind(L.Pad(((0, 0), (1, 0))), channels=1, domain=(low, 3), input_shape=(1, 1, 2)))
    assert tolist(found) == ([[[0.0, 1.0, 2.0]]], [[[0.0, 3.0, 3.0]]])


def test_layers_that_move_elements_keep_a_number_and_take_arrays_along_where_the_shape_is_known():
    """CONV-DOMAIN-LAYER."""
    chain = [L.Flatten(), L.Dense(np.ones((4, 1)))]
    assert tolist(bounds(Model.sequential(chain, domain=(0, 1)), "dense1")) == (0.0, 1.0)
    low = np.array([-1.0, 0.0]).reshape(2, 1)
    known = Model.sequential(chain, domain=(low, 1), input_shape=(2, 2))
    assert tolist(bounds(known, "dense1")) == ([-1.0, -1.0, 0.0, 0.0], [1.0] * 4)
    with pytest.raises(
        errors.DomainError,
        match=r"node 'dense1' \(Dense\): behind node 'flatten1' \(Flatten\): .* it is not known where the layer moves them",
    ):
        bounds(Model.sequential(chain, domain=(low, 1)), "dense1")


def test_constants_that_a_layer_adds_are_within_the_bounds_of_their_places():
    front = [L.PadWith(((0, 0), (1, 0)), "constant", 5.0), L.Slice(0, 2, axis=2)]
    found = bounds(conv_behind(*front, channels=1, dims=1, domain=(0, 1), input_shape=(1, 3)), "conv1")
    assert tolist(found) == ([[5.0, 0.0]], [[5.0, 1.0]])
    with pytest.raises(
        errors.DomainError, match=r"behind node 'front0' \(PadWith\): .* it is not known where the layer moves them"
    ):
        bounds(conv_behind(*front, channels=1, dims=1, domain=(0, 1)))


def test_a_domain_knows_what_it_cannot_follow():
    with pytest.raises(errors.DomainError, match="the domain gives no bounds for its output"):
        Domain(0, 1).behind(L.Tanh(), (3,), 2)
    assert not Domain(np.zeros(2), 1).fits((3,))
    assert not Domain(np.zeros((2, 3)), 1).fits((3,))
    assert Domain(np.zeros((2, 1)), 1).fits((2, 3))
    pad = conv_behind(L.Pad(1), L.Pad(0), domain=(np.ones((1, 1, 1)), 2))  # one number, though in an array
    assert np.ravel(bounds(pad).low).tolist() == [0.0]
    with pytest.raises(errors.DomainError, match="it is not known where the layer moves them"):
        Domain(np.zeros(2), 1).behind(L.Pad(1), None, None)
    one = L.BatchNorm([1.0], [1.0], epsilon=0)
    assert repr(Domain(0, 1).behind(one, None, None)) == "[-1.0, 0.0]"


def test_exact_bounds_stay_exact():
    third = Fraction(1, 3)
    model = conv_behind(L.Scale(np.array(third, dtype=object), third), domain=(0, third)).astype(object)
    assert tolist(bounds(model)) == (third, Fraction(4, 9))
    tenth = conv_behind(L.Scale(0.1), domain=(0, 1)).astype(object)
    assert tolist(bounds(tenth))[1] == Fraction(0.1)


def test_in_floats_the_bounds_are_rounded_as_the_activations_are():
    """Whatever the number type of the domain: here float64 bounds, or Fractions, of a float32 model."""
    scale = L.Scale(np.float32(0.1), np.float32(1000.0))
    cast_model = conv_behind(scale, channels=1, input_shape=(1, 2, 2)).astype(np.float32)
    for low, high in ((0.3, 0.7), (Fraction(3, 10), Fraction(7, 10))):
        model = replace(cast_model, domain={"input": (low, high)})
        ends = [float(model.trace(np.full((1, 1, 2, 2), float(x)))["front0"].ravel()[0]) for x in (low, high)]
        found = bounds(model)
        assert tolist(found) == tuple(ends)
        assert found.low.dtype == found.high.dtype == np.float32


@st.composite
def fronts(draw):
    """Affine layers, and perhaps pads, in front of a convolution; a domain, and two inputs within it."""
    sample = draw(st.sampled_from([(2, 3), (2, 2, 2), (3, 2, 3)]))
    layers: list[L.Layer] = []
    shape = sample
    for kind in draw(st.lists(st.sampled_from(["scale", "norm", "pad", "identity"]), max_size=4)):
        if kind == "scale":
            layers.append(draw(scales(shape, dyadics())))
        elif kind == "norm":
            layers.append(draw(batch_norms(shape, dyadics())))
        elif kind == "pad":
            layers.append(L.Pad(draw(st.integers(0, 1))))
        else:
            layers.append(L.Identity())
        shape = layers[-1].shape((1, *shape))[1:]
    low = draw(arrays(draw(st.sampled_from([(), (sample[0], *(1,) * (len(sample) - 1)), sample])), dyadics()))
    high = low + draw(arrays(draw(st.sampled_from([(), low.shape])), positives()))
    part = draw(arrays((2, *sample), st.integers(0, 4).map(lambda n: n / 4)))
    x = low + part * (high - low)
    model = conv_behind(*layers, channels=sample[0], dims=len(sample) - 1, domain=(low, high), input_shape=sample)
    return model.astype(object), cast(
        np.stack([*x, *np.broadcast_to((low, high) if low.shape == sample else x[:2], x.shape)]), object
    )


@given(fronts())
def test_the_bounds_hold_what_the_layers_make_of_the_domain_and_no_more(drawn):
    model, x = drawn
    box, shapes = bounds(model), model.shapes({"input": (1, *model.input_shape["input"])})
    source = model["conv1"].inputs[0]
    seen = model.trace(x)[source]
    low, high = (np.broadcast_to(b, seen.shape[1:]) for b in (box.low, box.high))
    assert ((low <= seen) & (seen <= high)).all()
    if any(isinstance(node.layer, L.Pad) for node in model.nodes):
        return
    # Elementwise affine: the ends of the box are the images of the ends of the domain.
    sample = shapes["input"]
    ends = [
        model.trace(np.array(np.broadcast_to(b, sample)))[source][0]
        for b in (model.domain["input"].low, model.domain["input"].high)
    ]
    assert (np.minimum(*ends) == low).all()
    assert (np.maximum(*ends) == high).all()


@fewer
@given(st.data())
def test_zb_behind_a_factor_is_zb_of_the_folded_layer(data):
    """(s a + t − low′) w⁺ = (a − low)(s w)⁺ for s > 0, and with the ends exchanged for s < 0; zero padding is no input."""
    sample = (2, 3)
    front = data.draw(scales(sample, dyadics()) | batch_norms(sample, dyadics()))
    conv = L.Conv(data.draw(arrays((2, 2, 2), dyadics())), padding=1)
    model = Model.sequential([front, conv], domain=(-3, 3), input_shape=sample).astype(object)
    x = fractions(data.draw(arrays((1, *sample), dyadics())))
    start = fractions(np.arange(1, 9).reshape(1, 2, 4) / 4)
    made = Composite(((L.Conv, rules.ZBox()), (L.Layer, rules.Pass())))
    folded, unfolded = (explain(model, x, composite=made, start=start, canonize=canonize).relevance for canonize in (True, False))
    assert (folded == unfolded).all()


@pytest.mark.parametrize(
    ("front", "place"),
    [
        ([L.ReLU()], "'front0' (ReLU)"),
        ([L.AvgPool(1)], "'front0' (AvgPool)"),
        ([L.MaxPool(1), L.Scale(2.0)], "'front0' (MaxPool)"),
        ([L.Scale(2.0), L.Tanh()], "'front1' (Tanh)"),
        ([L.Conv(np.ones((2, 2, 1, 1)))], "'front0' (Conv)"),
        ([L.Upsample(2)], "'front0' (Upsample)"),
    ],
    ids=repr,
)
def test_behind_anything_else_the_bounds_must_be_given(front, place):
    model = conv_behind(*front, domain=(0, 1))
    with pytest.raises(errors.DomainError) as caught:
        bounds(model)
    assert str(caught.value) == (
        f"node 'conv1' (Conv): ZBox() follows node {place}, whose output the domain gives no bounds for: give ZBox(low, high)"
    )
    asked = composites.epsilon_plus().with_rules({"conv1": rules.ZBox(0, 9)})
    assert asked.assign(model)["conv1"] == rules.ZBox(0, 9)


def test_without_a_domain_the_error_says_how_to_give_one():
    for preset in ("epsilon_gamma_box", "lrp_overview"):
        with pytest.raises(errors.DomainError) as caught:
            Explainer(conv_behind(), preset)
        assert str(caught.value) == (
            "node 'conv1' (Conv): ZBox() needs bounds and the model has no domain for 'input': "
            "give low= and high=, or Model(…, domain=(low, high))"
        )


def test_a_norm_whose_channels_nobody_can_place_asks_for_the_shape():
    norm = L.BatchNorm([1.0, 2.0], [1.0, 1.0], epsilon=0)
    chain = [norm, L.Dense(np.ones((2, 1)))]
    with pytest.raises(
        errors.DomainError,
        match=r"behind node 'batchnorm1' .*it is not known which axis has channels: give the model input_shape=",
    ):
        bounds(Model.sequential(chain, domain=(0, 1)), "dense1")
    assert tolist(bounds(Model.sequential(chain, domain=(0, 1), input_shape=(2,)), "dense1")) == ([-1.0, -2.0], [0.0, -1.0])
    sequence = Model.sequential(chain, domain=(0, 1), input_shape=(2, 2))
    assert tolist(bounds(sequence, "dense1")) == ([[-1.0], [-2.0]], [[0.0], [-1.0]])


def test_a_layer_of_several_inputs_needs_the_same_bounds_for_all():
    nodes = (Node("add", L.Add(), ("x", "y")),)
    same = Model(nodes, ("x", "y"), domain={"x": (0, 1), "y": (0.0, 1)})  # type: ignore[arg-type]
    assert tolist(bounds(same, "add")) == (0.0, 1.0)
    other = Model(nodes, ("x", "y"), domain={"x": (0, 1), "y": (0, 2)})  # type: ignore[arg-type]
    with pytest.raises(
        errors.DomainError, match=r"ZBox\(\) has one pair of bounds and the inputs have \[0\.0, 1\.0\], \[0\.0, 2\.0\]"
    ):
        bounds(other, "add")
    half = Model(nodes, ("x", "y"), domain={"x": (0, 1)})  # type: ignore[arg-type]
    with pytest.raises(errors.DomainError, match="no domain for 'y'"):
        bounds(half, "add")


def test_an_input_shape_that_does_not_fit_is_named():
    with pytest.raises(errors.ShapeError, match=r"node 'conv1' \(Conv\): expected 2 channels"):
        bounds(conv_behind(domain=(0, 1), input_shape=(3, 4, 4)))


def test_deep_taylor_takes_zb_where_the_domain_is_known_and_w2_where_it_is_not():
    nodes = (
        Node("a", L.Dense(w), "x"),
        Node("b", L.Dense(w), "y"),
        Node("c", L.Add(), ("a", "b")),
        Node("d", L.Add(), ("x", "y")),
    )
    for domain, a, b, d in (
        (None, rules.WSquare(), rules.WSquare(), rules.WSquare()),
        ({"x": (0, 1)}, box, rules.WSquare(), rules.WSquare()),
        ({"x": (0, 1), "y": (0, 1)}, box, box, box),
    ):
        found = composites.deep_taylor().assign(Model(nodes, ("x", "y"), domain=domain))  # type: ignore[arg-type]
        assert (found["a"], found["b"], found["d"], found["c"]) == (a, b, d, zplus)


def test_bounded_follows_the_graph():
    nodes = (Node("a", L.ReLU(), "x"), Node("b", L.Add(), ("a", "y")), Node("c", L.ReLU(), "b"))
    assert Bounded()(Model(nodes, ("x", "y"), domain={"x": (0, 1)})) == {"a"}  # type: ignore[arg-type]
    assert Bounded()(Model(nodes, ("x", "y"), domain={"x": (0, 1), "y": (0, 1)})) == {"a", "b", "c"}  # type: ignore[arg-type]
    assert Bounded()(Model(nodes, ("x", "y"))) == set()
