"""The rules of maxima over any axes and of Lp pooling: against the literal definition, the windows' sums, and each other."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import composites, errors, oracle, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from support import fans
from support.layer_strategies import geometries

#: Rules of every pooling that is no sum.
BY_SUMS = (rules.Proportional(), *map(rules.AverageSurrogate, (rules.Zero(), rules.Epsilon(0.25), rules.Flat(), rules.ZPlus())))
P = (1, 2, 3, 2.5, 7)


@st.composite
def pooled(draw):
    """An Lp pooling, or a maximum over axes; a sample x ≥ 0 with zeros and equal cells, and relevance."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["window", "window", "global", "axes"]))
    if kind == "window":
        g = draw(geometries())
        layer = L.LpPool(g.kernel, g.stride, g.padding, g.dilation, draw(st.booleans()), draw(st.sampled_from(P)))
        shape = (1, 2, *g.spatial)
    else:
        shape = (1, *draw(st.lists(st.integers(1, 4), min_size=2, max_size=4)))
        axes = draw(st.lists(st.integers(1, len(shape) - 1), min_size=1, unique=True))
        signs = draw(st.lists(st.sampled_from([0, len(shape)]), min_size=len(axes), max_size=len(axes)))
        layer = (
            L.ReduceMax(tuple(a - s for a, s in zip(axes, signs, strict=True)), draw(st.booleans()))
            if kind == "axes" or len(shape) < 3
            else L.GlobalLpPool(draw(st.sampled_from(P)))
        )
    a = fractions(random.integers(0, 5, shape)) / Fraction(4)
    R = fractions(random.integers(-8, 9, layer.shape(shape))) / Fraction(4)
    return layer, a, R


def output(layer, a):
    """The layer's output, as exactly as it can be had: a p-norm of rationals has none in them."""
    return layer.forward(a) if isinstance(layer, L.Selecting) else fractions(layer.forward(a.astype(np.float64)))


@given(pooled(), st.sampled_from((*BY_SUMS, rules.WinnerTakesAll(), rules.WinnerTakesAll("split"))))
def test_engine_equals_oracle_and_the_ledger_closes(case, rule):
    layer, a, R = case
    if not rule.fits(layer):
        assert isinstance(rule, rules.WinnerTakesAll)
        assert isinstance(layer, (L.LpPool, L.GlobalLpPool))
        return
    (lower,), booking = rule.propagate(layer, (a,), output(layer, a), R)
    (expected,) = oracle.messages(layer, rule, a, R).relevances
    assert lower.shape == a.shape
    assert (lower == expected).all()
    assert (booking.rounding == 0).all()
    assert (booking.arriving == R.sum()).all()


@given(pooled(), st.sampled_from(BY_SUMS))
def test_it_is_the_rule_of_the_sum_over_the_same_cells(case, rule):
    """Montavon et al. 2018, §5.3: for every p the same shares."""
    layer, a, R = case
    total = layer.as_sum()
    inner = rule.rule if isinstance(rule, rules.AverageSurrogate) else rules.Zero()
    (found,) = rule.relevances(layer, (a,), output(layer, a), R)
    (expected,) = inner.relevances(total, (a,), total.forward(a), R)
    assert (found == expected).all()


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("layer", ["window", "global"])
def test_the_printed_numbers_hold_for_every_p(p, layer):
    """(1, 3, 2, 0) with R = 6 gives (1, 3, 2, 0)."""
    made = L.LpPool((2, 2), p=p) if layer == "window" else L.GlobalLpPool(p)
    a, R = np.array([1.0, 3, 2, 0]).reshape(1, 1, 2, 2), np.full((1, 1, 1, 1), 6.0)
    for rule in (rules.Proportional(), rules.AverageSurrogate()):
        (lower,), booking = rule.propagate(made, (a,), made.forward(a), R)
        assert lower.reshape(-1).tolist() == [1, 3, 2, 0]
        assert booking.unassigned.tolist() == [0]
    (lower,), booking = rules.Proportional().propagate(made, (a * 0,), made.forward(a * 0), R)
    assert not lower.any()
    assert booking.unassigned.tolist() == [6]


def test_the_first_of_equal_cells_wins_whatever_the_order_of_the_axes():
    a, R = np.zeros((1, 2, 3, 2)), np.ones((1, 3))
    a[0, 0, :, 1] = a[0, 1, :, 0] = 1  # the first of these in the input's own order is the one in front
    for axes in ((1, 3), (3, 1), (-1, -3)):
        (lower,), _ = rules.WinnerTakesAll().propagate(L.ReduceMax(axes), (a,), L.ReduceMax(axes).forward(a), R)
        assert lower[0, 0, :, 1].tolist() == [1, 1, 1]
        assert lower.sum() == 3


def test_a_maximum_over_space_is_global_maximum_pooling():
    a, R = np.random.default_rng(0).normal(size=(2, 3, 4, 5)), np.random.default_rng(1).normal(size=(2, 3, 1, 1))
    for rule in (rules.WinnerTakesAll(), rules.AverageSurrogate(rules.Epsilon(0.1))):
        found, expected = (
            rule.relevances(layer, (a,), layer.forward(a), R)[0] for layer in (L.ReduceMax((2, 3), True), L.GlobalMaxPool())
        )
        assert found.tobytes() == expected.tobytes()


def network(layer):
    random = np.random.default_rng(0)
    made = L.Conv(random.normal(size=(4, 2, 3, 3)), random.normal(size=4), padding=1)
    upper = layer.shape((1, 4, 6, 6))
    return lrp_ref.Model.sequential(
        [made, L.ReLU(), layer, L.Flatten(), L.Dense(random.normal(size=(int(np.prod(upper[1:])), 3)))],
        domain=(-9, 9),
        input_shape=(2, 6, 6),
    )


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("layer", [L.LpPool(2), L.LpPool(3, 1, 1, p=3), L.GlobalLpPool(), L.ReduceMax((2, 3)), L.ReduceMax((1,))])
@pytest.mark.parametrize("name", ["epsilon_plus", "deep_taylor", "lrp_overview", "epsilon_gamma_box"])
def test_presets_serve_them_and_close_the_ledger(backend, layer, name):
    explainer = lrp_ref.Explainer(network(layer), name, ledger=True, keep="all", backend=backend, allow_negative=True)
    given = explainer.rules[explainer.model.nodes[2].name]
    own = {"lrp_overview": rules.AverageSurrogate(), "deep_taylor": rules.Proportional()}
    usual = rules.WinnerTakesAll() if isinstance(layer, L.ReduceMax) else rules.Proportional()
    assert given == own.get(name, usual)
    x = np.random.default_rng(3).normal(size=(3, 2, 6, 6))
    fans.closes(explainer, x)


def test_negative_inputs_of_the_proportional_rule():
    layer, a, R = L.LpPool(2), -np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1))
    with pytest.raises(errors.RuleError, match=r"found negative ones; AverageSurrogate\(Epsilon\(\)\) takes inputs of any sign"):
        rules.Proportional().propagate(layer, (a,), layer.forward(a), R)
    (lower,) = rules.AverageSurrogate(rules.Epsilon()).relevances(layer, (a,), layer.forward(a), R)
    assert lower.sum() == pytest.approx(1)


def test_winner_takes_all_is_refused_where_nothing_wins():
    model = lrp_ref.Model.sequential([L.LpPool(2)], names=["norms"])
    with pytest.raises(
        errors.RuleError, match=r"node 'norms' \(LpPool\): WinnerTakesAll\(ties='lowest'\).*fits: Proportional\(\) or Average"
    ):
        composites.Composite(((L.LpPool, rules.WinnerTakesAll()),)).assign(model)


# --- equal maxima that share ------------------------------------------------------------------------------------------------

# x, and what each cell takes of R = 12 of the one window that holds them
SHARED = {
    "one": ([[1, 2], [4, 3]], [[0, 0], [12, 0]]),
    "two": ([[4, 2], [3, 4]], [[6, 0], [0, 6]]),
    "three": ([[4, 4], [4, 3]], [[4, 4], [4, 0]]),
    "all": ([[4, 4], [4, 4]], [[3, 3], [3, 3]]),
    "zeros": ([[0, 0], [0, -1]], [[4, 4], [4, 0]]),
    "below zero": ([[-2, -1], [-1, -3]], [[0, 6], [6, 0]]),
}


@pytest.mark.parametrize("dtype", [object, np.float64, np.float32])
@pytest.mark.parametrize("name", SHARED)
def test_equal_maxima_share_by_how_many_they_are(name, dtype):
    x, expected = (np.array([[rows]]).astype(dtype) for rows in SHARED[name])
    for layer in (L.MaxPool(2), L.GlobalMaxPool(), L.ReduceMax((2, 3))):
        z = layer.forward(x)
        (found,), booking = rules.WinnerTakesAll("split").propagate(layer, (x,), z, np.full_like(z, 12))
        assert found.tolist() == expected.tolist()
        assert not np.any(booking.rounding)


def test_a_window_counts_its_own_cells_and_none_of_the_padding():
    """Two channels, windows of 2 with padding: the windows hold (–, 0), (0, 0), (0, –); padding is never a maximum of 0."""
    x = np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 2.0]]])
    layer = L.MaxPool(2, 2, padding=1)
    R = np.array([[[8.0, 8.0], [8.0, 8.0]]])
    (found,), _ = rules.WinnerTakesAll("split").propagate(layer, (x,), layer.forward(x), R)
    assert found.tolist() == [[[8, 4, 4], [8, 0, 8]]]
