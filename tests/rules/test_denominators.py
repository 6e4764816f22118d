"""CONV-FLOAT-RANGE: denominators that leave the range of their type are refused by name; exact zeros stay 0/0 = 0."""

from __future__ import annotations

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, explain, rules
from lrp_ref import layers as L
from lrp_ref.composites import Composite
from lrp_ref.errors import NonFiniteError, UnderflowError

BACKENDS = lrp_ref.BACKENDS
LARGE = {np.float32: 1e20, np.float64: 1e180}
TINY, SMALL = {np.float32: 1e-30, np.float64: 1e-250}, {np.float32: 1e-25, np.float64: 1e-180}
TYPES = (np.float32, np.float64)


def dense(weight, dtype, bias=None):
    """A network of one layer, whose weight of more than two axes is a convolution's."""
    weight = np.asarray(weight, dtype)
    bias = None if bias is None else np.asarray(bias, dtype)
    layer = L.Dense(weight, bias) if weight.ndim == 2 else L.Conv(weight, bias)
    return Model.sequential([layer, *([L.Flatten()] if weight.ndim > 2 else [])])


def conv(weight):
    """The same numbers as a pointwise convolution (upper, lower, 1, 1)."""
    return np.asarray(weight).T[:, :, None, None]


def refused(error, model, x, rule, backend, start, **options):
    """The message of the error, which names the node."""
    with pytest.raises(error) as found:
        Explainer(model, rule=rule, backend=backend, **options)(x, start=start)
    assert type(found.value) is error
    assert model.nodes[0].name in str(found.value)
    return str(found.value)


POOLS = {
    # the pool overflows, z = 0.5 × 10^d does not: two weights that cancel, and one that is left
    "αβ": rules.AlphaBeta(2, 1),
    "z⁺": rules.ZPlus(),
    "γ": rules.GeneralizedGamma(1),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rule", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_a_pool_that_overflows_while_z_does_not(backend, dtype, rule, kind):
    big = np.finfo(dtype).max / 2
    weight = np.array([[1.0], [1.0], [1.0], [-1.0], [-1.0], [-1.0], [0.5]]) * big
    weight, x = (weight[[0, 3, 1, 4, 2, 5, 6]], np.ones((1, 7), dtype))  # the order in which z stays finite
    if kind == "conv":
        weight, x = conv(weight), x[..., None, None]
    message = refused(NonFiniteError, dense(weight, dtype), x, rule, backend, np.ones((1, 1), dtype))
    # Some BLAS kernels add up in another order: there z itself is not finite, and the start is refused before its pools are.
    assert "overflow" in message or "the output of node" in message


NOT_A_NUMBER = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])  # times the largest number: ∞ − ∞ in whatever order, and 2


def half_lost(dtype, *behind):
    """x = (2, 2, 1) → (NaN, 2), and what comes behind."""
    weight = (NOT_A_NUMBER * [[np.finfo(dtype).max], [2]]).T.astype(dtype)
    return Model.sequential([L.Dense(weight), *behind]), np.array([[2, 2, 1]], dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rule", [*POOLS.values(), rules.Epsilon(), rules.WSquare()], ids=str)
def test_a_given_start_at_what_is_no_number(backend, dtype, rule):
    """Its relevance would be lost, or fill every input with NaN."""
    model, x = half_lost(dtype)
    with pytest.raises(NonFiniteError, match="the output of node 'dense1'"):
        explain(model, x, rule=rule, backend=backend, start=np.ones((1, 2), dtype))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_given_start_at_a_node_whose_nan_is_cut_off(backend, dtype):
    """The output is a number; the node where the start begins holds another."""
    model, x = half_lost(dtype, L.Slice(1, 2), L.Dense(np.ones((1, 1), dtype)))
    with np.errstate(all="ignore"):
        assert np.isfinite(model(x)).all()
    with pytest.raises(NonFiniteError, match="the output of node 'dense1'"):
        explain(model, x, rule=rules.GeneralizedGamma(1), backend=backend, start=np.ones((1, 2), dtype), start_at="dense1")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rule", POOLS.values(), ids=POOLS)
def test_a_pre_activation_that_is_no_number_below_what_is_one(backend, dtype, rule):
    """A threshold puts 3 where NaN is not above it. NaN is neither ≥ 0 nor < 0: no share of γ would take its relevance."""
    model, x = half_lost(dtype, L.Threshold(0.0, 3.0), L.Dense(np.ones((2, 1), dtype)))
    with np.errstate(all="ignore"):
        assert model(x) == 5
    with pytest.raises(NonFiniteError, match="'dense1'"):
        explain(model, x, rule=rule, backend=backend, start=np.ones((1, 1), dtype))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_squared_weights_overflow_and_vanish(backend, dtype, kind):
    """w² of large weights is infinite, that of small ones 0, while z is neither."""
    for size, error in ((LARGE[dtype], NonFiniteError), (SMALL[dtype], UnderflowError)):
        weight, x = np.array([[size], [2 * size]], dtype), np.ones((1, 2), dtype)
        if kind == "conv":
            weight, x = conv(weight), x[..., None, None]
        refused(error, dense(weight, dtype), x, rules.WSquare(), backend, np.ones((1, 1), dtype))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_box_that_overflows(backend, dtype):
    """(a − low) w⁺ overflows where a w does not."""
    limit = np.finfo(dtype).max
    model = dense([[limit / 2], [limit / 4]], dtype)
    refused(NonFiniteError, model, np.zeros((1, 2), dtype), rules.ZBox(-2, 2), backend, np.ones((1, 1), dtype))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rule", [rules.Zero(), rules.ZPlus(), rules.AlphaBeta(1, 0), rules.GeneralizedGamma()], ids=str)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_terms_that_vanish(backend, dtype, rule, kind):
    """Every product is 0 in floats, and none of them is 0."""
    weight, x = np.full((2, 1), TINY[dtype], dtype), np.full((1, 2), TINY[dtype], dtype)
    if kind == "conv":
        weight, x = conv(weight), x[..., None, None]
    message = refused(UnderflowError, dense(weight, dtype), x, rule, backend, np.ones((1, 1), dtype))
    assert "too small" in message


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_subnormal_sum_of_products_has_lost_its_digits(backend, dtype):
    """Twice 1.5 of the least number are 4 in floats, not 3."""
    least = np.finfo(dtype).smallest_subnormal
    model = dense([[3 * least], [3 * least]], dtype)
    refused(UnderflowError, model, np.full((1, 2), 0.5, dtype), rules.Zero(), backend, np.full((1, 1), least, dtype))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_subnormal_sum_that_is_exact_is_divided_by(backend, dtype):
    """Subnormal weights times 1 and 2 lose nothing: 3 and 2 · 2 of 7 parts."""
    least = np.finfo(dtype).smallest_subnormal
    model = dense([[3 * least], [2 * least]], dtype)
    found = Explainer(model, rule=rules.Zero(), backend=backend)(
        np.array([[1, 2]], dtype), start=np.full((1, 1), 7 * least, dtype)
    )
    assert np.array_equal(found.relevance, np.array([[3, 4]], dtype) * least)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("weight", [[[1.0], [-1.0]], [[0.0], [0.0]]], ids=["cancellation", "no term"])
@pytest.mark.parametrize("rule", [rules.Zero(), rules.AlphaBeta(1, 0)], ids=str)
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_exact_zeros_stay_zero(backend, dtype, weight, rule, kind):
    """0/0 := 0, and the ledger books what was not assigned."""
    weight, x = np.array(weight), np.full((1, 2), 0.5, dtype)
    if rule != rules.Zero():
        weight = -abs(weight)  # an empty pool
    if kind == "conv":
        weight, x = conv(weight), x[..., None, None]
    explainer = Explainer(dense(weight, dtype), rule=rule, backend=backend, ledger=True)
    found = explainer(x, start=np.full((1, 1), 3, dtype))
    assert not found.relevance.any()
    booked = [entry for entry in found.ledger.entries if entry.node == explainer.model.nodes[0].name]
    assert float(np.sum(booked[-1].booking.unassigned)) == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_relevance_no_refusal(backend):
    """What overflows or vanishes where no relevance is divided changes nothing."""
    x = np.array([[1e-30, 1.0]], np.float32)
    weight = np.array([[1e-30, 2.0], [0.0, 2.0]], np.float32)
    for rule, expected in ((rules.Zero(), [0, 4]), (rules.WSquare(), [2, 2])):
        found = Explainer(dense(weight, np.float32), rule=rule, backend=backend)(x, start=np.array([[0, 4]], np.float32))
        np.testing.assert_allclose(found.relevance, [expected], rtol=1e-6, atol=1e-29)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_epsilon_too_small_for_its_type(backend):
    """z cancels to 0, and ε = 10⁻⁵⁰ is 0 in float32: in float64 relevance is R a w/ε, not 0."""
    model = dense([[1.0], [-1.0]], np.float32)
    refused(UnderflowError, model, np.ones((1, 2), np.float32), rules.Epsilon(1e-50), backend, np.ones((1, 1), np.float32))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scale", [2.0**70, 2.0**100, 2.0**-80, 2.0**-120])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_a_relative_epsilon_is_the_same_fraction_at_any_scale(backend, scale, kind):
    """z = (3, 4) s has rms s √12.5, and a power of 2 changes no digit: the same bits as for s = 1."""
    weight, x = np.array([[1.0, 2.0], [2.0, 2.0]], np.float32), np.array([[1, 1]], np.float32)
    x = x[..., None, None] if kind == "conv" else x
    found = [
        Explainer(dense(conv(w) if kind == "conv" else w, np.float32), rule=rules.Epsilon(rules.relative(0.25)), backend=backend)(
            x, start=np.array([[5, 7]], np.float32)
        ).relevance
        for w in (weight, weight * np.float32(scale))
    ]
    rms = np.sqrt(12.5)
    s = np.array([5 / (3 + 0.25 * rms), 7 / (4 + 0.25 * rms)])
    np.testing.assert_allclose(found[0].reshape(1, 2), [[s[0] + 2 * s[1], 2 * s[0] + 2 * s[1]]], rtol=1e-6)
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize("rule", [rules.ProportionalProduct(), rules.AbsoluteProduct()], ids=str)
def test_a_sum_of_factors_that_overflows(rule):
    """x_g + x_s is infinite, x_g and x_s are not."""
    big = np.full((1, 1), np.finfo(np.float32).max * np.float32(0.75))
    one = np.ones((1, 1), np.float32)
    with np.errstate(over="ignore"), pytest.raises(NonFiniteError, match="overflow"):
        rule.propagate(L.Multiply(), (big, big), one, one)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_maps_of_recurrent_cells(backend, cell):
    """Gates whose pre-activations vanish get a half of their products under LRP-0; without relevance nothing is refused."""
    size = {"LSTM": 4, "GRU": 3, "RNN": 1}[cell]
    one = np.ones(1, np.float32)
    states = {"initial_hidden": one} | ({"initial_cell": one} if cell == "LSTM" else {})
    weights = [np.full((rows, size), value, np.float32) for rows, value in ((2, 1e-30), (1, 0.0))]
    layer = getattr(L, cell).from_arrays(*weights, **({} if cell == "RNN" else states))
    model = Model.sequential([layer])
    rule = rules.ThroughTime(rules.HalfProduct(), rules.Zero(), rules.Zero())
    explainer = Explainer(model, Composite(((type(layer), rule),)), backend=backend)
    x = np.full((1, 1, 2), 1e-30, np.float32)
    with pytest.raises(UnderflowError, match=model.nodes[0].name):
        explainer(x, start=np.ones((1, 1), np.float32))
    assert not explainer(x, start=np.zeros((1, 1), np.float32)).relevance.any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(1, 8, 12, 12), (2, 20, 8, 8)])
@pytest.mark.parametrize("number", [1e-24, 0.0])
def test_a_convolution_inside_a_network(backend, shape, number):
    """z⁺ without the bias: relevance arrives as c, and the pool has vanished, or is empty."""
    rng = np.random.default_rng(0)
    top = abs(rng.standard_normal((20 * shape[2] * shape[3], 3))).astype(np.float32)
    first = L.Conv(np.full((20, shape[1], 3, 3), 1e-24, np.float32), np.ones(20, np.float32), padding=1)
    model = Model.sequential([first, L.ReLU(), L.Flatten(), L.Dense(top)], input_shape=shape[1:])
    explainer, x = Explainer(model, rule=rules.ZPlus(), backend=backend), np.full(shape, number, np.float32)
    if number:
        with pytest.raises(UnderflowError, match="conv1"):
            explainer(x)
    else:
        assert not explainer(x).relevance.any()


LEAST = float(np.finfo(np.float32).smallest_subnormal)
WITHOUT_MATRIX = [  # a layer, its rule, four cells, and what is refused (None: an exact zero)
    (L.AvgPool(2), rules.Zero(), [LEAST, 0, 0, 0], UnderflowError),  # a quarter of the least number
    (L.AvgPool(2), rules.Zero(), [1, -1, 2, -2], None),
    (L.SumPool(2), rules.Zero(), [3e38, 3e38, -3e38, -3e38], NonFiniteError),
    (L.SumPool(2), rules.Zero(), [0, 0, 0, 0], None),
    (L.Scale(np.float32(1e-24)), rules.Zero(), [1e-24, 1e-24, 1e-24, 1e-24], UnderflowError),
    (L.MaxPool(2), rules.AverageSurrogate(rules.Zero()), [3e38, 3e38, -3e38, -1e38], NonFiniteError),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("layer", "rule", "cells", "error"), WITHOUT_MATRIX)
def test_layers_without_a_matrix(backend, layer, rule, cells, error):
    model, x = Model.sequential([layer], input_shape=(1, 2, 2)), np.array(cells, np.float32).reshape(1, 1, 2, 2)
    composite = Composite(((type(layer), rule),))
    explainer = Explainer(model, composite, backend=backend, canonize=False, precision="float32")
    start = np.ones(model.shapes({"input": x.shape})[model.nodes[0].name])
    if error is None:
        assert not explainer(x, start=start).relevance.any()
        return
    with pytest.raises(error, match=model.nodes[0].name):
        explainer(x, start=start)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layer", [L.LayerNorm(3), L.InstanceNorm(), L.GroupNorm(1), L.LRN(3)], ids=lambda x: type(x).__name__)
def test_statistics_that_overflow(backend, layer):
    """Divided by infinity the output would be 0."""
    model = Model.sequential([layer, L.Flatten()], input_shape=(4, 2, 2))
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 2, 2) * np.float32(1e25)
    explainer = Explainer(model, backend=backend, precision="float32")
    with pytest.raises(NonFiniteError, match=model.nodes[0].name):
        explainer(x, target=0)
    assert np.isfinite(explainer(x / np.float32(1e20), target=0).prediction).all()


def test_rationals_have_no_range():
    found = explain(
        dense([[1e-200], [2e-200]], np.float64), np.full((1, 2), 1e-200), rule=rules.Zero(), precision="exact", start=[[3]]
    )
    assert [float(r) for r in found.relevance[0]] == [1, 2]
