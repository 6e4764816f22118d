"""Numbers that can be checked by hand: every rule on one layer, one neuron, one window, one product, one head.

In fractions and compared with ==, except where a logarithm is involved. `F("7/2")` is 7/2.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import fractions
from lrp_ref.propagate.heads import LogOdds
from support.by_hand import F, apply, dense, row
from support.rule_table import A1, L1, R1, TABLE, Z1

# ---- every rule on one layer, and what is lost -----------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "expected", "bias", "stabiliser"), TABLE, ids=lambda value: str(value))
def test_every_rule_on_one_layer(rule, expected, bias, stabiliser):
    R, booking = apply(rule, L1, A1, R1)
    assert (row(*expected) == R).all()
    assert (booking.bias, booking.stabiliser, booking.unassigned) == ([bias], [stabiliser], [0])
    assert R.sum() == 18 - bias - stabiliser


def test_the_table_in_floats():
    layer = L1.astype(np.float64)
    for rule, expected, *_ in TABLE:
        (R,) = rule.relevances(layer, (A1.astype(float),), Z1.astype(float), R1.astype(float))
        assert np.allclose(R, row(*expected).astype(float), rtol=1e-15, atol=0)


def test_lrp_0_without_the_bias_in_the_denominator_is_another_rule():
    """The variant of neither Samek et al. 2021 nor Montavon et al. 2019: take the bias away, and it is LRP-0."""
    assert (apply(rules.Zero(), dense([[3, -1], [-1, 2]]), A1, R1)[0] == row(14, 4)).all()


def test_gamma_towards_infinity_keeps_the_positive_bias():
    """Its limit is α1β0 with the bias in the pool, at the rate 1/γ, and not the z⁺ rule."""
    R, _ = apply(rules.Gamma(10**9), L1, A1, R1)
    limit = row("9/2", 12)
    assert [float(r) for r in R[0]] == pytest.approx([4.49999999925, 12.000000003], rel=1e-13)
    assert (abs(apply(rules.Gamma(10**12), L1, A1, R1)[0] - limit) < abs(R - limit) / 999).all()
    negative = dense([[3, -1], [-1, 2]], [0, -1])
    assert (apply(rules.AlphaBeta(1, 0), negative, A1, R1)[0] == apply(rules.ZPlus(), negative, A1, R1)[0]).all()


def test_alpha_beta_pairs_signs_of_input_and_weight():
    """CONV-AB-SIGN: (a w)⁺ and not a w⁺, which would give (−1, 2)."""
    layer, a = dense([[1], [1]]), row(-1, 2)
    for rule in (rules.AlphaBeta(1, 0), rules.ZPlus()):
        assert (apply(rule, layer, a, row(1))[0] == row(0, 1)).all()


def test_alpha_beta_as_two_flows():
    """Montavon et al. 2018, §5.1: R↑ = 2 R through P⁺ = (6, 12), R↓ = −R through P⁻ = (12, 6)."""
    up, _ = apply(rules.AlphaBeta(1, 0, bias="none"), L1, A1, R1)
    down, _ = apply(rules.AlphaBeta(1, 0, bias="none"), dense([[-3, 1], [1, -2]]), A1, R1)
    assert (up == row(6, 12)).all()
    assert (down == row(12, 6)).all()
    assert (apply(rules.AlphaBeta(2, 1, bias="none"), L1, A1, R1)[0] == 2 * up - down).all()


@pytest.mark.parametrize("rho", ["0", "γ", "z⁺"])
def test_the_four_steps_of_the_generic_rule(rho):
    """Montavon et al. 2019, §10.2.2: forward, divide, backward, multiply; ρ on weights and biases alike."""
    g = {"0": F(0), "γ": F(1, 4), "z⁺": F(0)}[rho]
    w, b = L1.weight, L1.bias
    plus = np.maximum(w, F(0))
    w, b = (plus, b * 0) if rho == "z⁺" else (w + g * plus, b + g * np.maximum(b, F(0)))
    z = A1 @ w + b
    s = R1 / z
    c = s @ w.T
    rule = {"0": rules.Zero(), "γ": rules.Gamma(F(1, 4)), "z⁺": rules.ZPlus()}[rho]
    assert (apply(rule, L1, A1, R1)[0] == A1 * c).all()


EMPTY = [
    # a, what 2 α1β… means where a pool is empty: the sum is α R or −β R, and with "renormalise" R
    (row(1, 0), rules.AlphaBeta(2, 1), row(12, 0), -6),
    (row(1, 0), rules.AlphaBeta(2, 1, empty="renormalise"), row(6, 0), 0),
    (row(0, 1), rules.AlphaBeta(2, 1), row(0, -6), 12),
    (row(0, 1), rules.AlphaBeta(2, 1, empty="renormalise"), row(0, 6), 0),
    (row(0, 1), rules.AlphaBeta(1, 0), row(0, 0), 6),
    (row(0, 1), rules.ZPlus(), row(0, 0), 6),
    (row(0, 0), rules.AlphaBeta(2, 1, empty="renormalise"), row(0, 0), 6),
    (row(0, 0), rules.Zero(), row(0, 0), 6),
    (row(0, 0), rules.Flat(), row(3, 3), 0),
]


@pytest.mark.parametrize(
    ("a", "rule", "expected", "unassigned"), EMPTY, ids=lambda v: str(v) if isinstance(v, rules.Rule) else ""
)
def test_what_an_empty_pool_would_have_taken_is_not_assigned(a, rule, expected, unassigned):
    """CONV-EMPTY-POOL, CONV-ZERO-BY-ZERO."""
    R, booking = apply(rule, dense([[1], [-1]]), a, row(6))
    assert (expected == R).all()
    assert booking.unassigned == [unassigned]


# ---- pooling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", [L.SumPool(2), L.AvgPool(2), L.GlobalSumPool(), L.GlobalAvgPool()], ids=repr)
def test_pooling_is_proportional_under_most_rules(pool):
    """Pool (1, 3, 2, 0), R = 6; α2β1 gives twice as much, its negative pool being empty."""
    a, R = fractions([[[[1, 3], [2, 0]]]]), fractions([[[[6]]]])
    for rule in (rules.Zero(), rules.Gamma(F(1, 4)), rules.GeneralizedGamma(), rules.ZPlus(), rules.AlphaBeta(1, 0)):
        assert apply(rule, pool, a, R)[0].reshape(-1).tolist() == [1, 3, 2, 0]
    assert apply(rules.AlphaBeta(2, 1), pool, a, R)[0].reshape(-1).tolist() == [2, 6, 4, 0]
    assert apply(rules.AlphaBeta(2, 1, empty="renormalise"), pool, a, R)[0].reshape(-1).tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize(
    ("rule", "x", "expected"),
    [
        (rules.WinnerTakesAll(), (1, 3, 2, 0), (0, 6, 0, 0)),
        (rules.Proportional(), (1, 3, 2, 0), (1, 3, 2, 0)),
        (rules.AverageSurrogate(), (1, 3, 2, 0), (1, 3, 2, 0)),
        (rules.AverageSurrogate(rules.Flat()), (1, 3, 2, 0), ("3/2", "3/2", "3/2", "3/2")),
        (rules.WinnerTakesAll(), (3, 3, 2, 3), (6, 0, 0, 0)),
        (rules.WinnerTakesAll("split"), (3, 3, 2, 3), (2, 2, 0, 2)),
        (rules.WinnerTakesAll(), (-3, -1, -2, -1), (0, 6, 0, 0)),
        (rules.WinnerTakesAll("split"), (0, 0, 0, 0), ("3/2", "3/2", "3/2", "3/2")),
        (rules.Proportional(), (0, 0, 0, 0), (0, 0, 0, 0)),
    ],
    ids=str,
)
def test_maximum_pooling(rule, x, expected):
    """CONV-MAX-TIES, CONV-POOL-PROPORTIONAL, CONV-POOL-SURROGATE."""
    a = fractions([[[[F(x[0]), F(x[1])], [F(x[2]), F(x[3])]]]])
    for pool in (L.MaxPool(2), L.GlobalMaxPool()):
        assert apply(rule, pool, a, fractions([[[[6]]]]))[0].reshape(-1).tolist() == [F(v) for v in expected]


def test_flat_at_a_padded_border_counts_real_inputs():
    """Kernel 3, padding 1, four cells."""
    layer = L.Conv(fractions([[[5, 0, -2]]]), padding=1)
    R, _ = apply(rules.Flat(), layer, fractions([[[1, 2, 3, 4]]]), fractions([[[1, 1, 1, 1]]]))
    assert R.reshape(-1).tolist() == [F(5, 6), F(7, 6), F(7, 6), F(5, 6)]


# ---- the log-odds head, batch normalisation --------------------------------------------------------------------------


def test_log_odds_of_three_classes():
    """To the six printed digits; the closed form, and the same by LRP-0 through the layer of differences."""
    scores = np.array([[2.0, 1.0, 0.0]])
    R, eta = LogOdds().start(scores, np.array([[0]]))
    P = np.exp(scores[0]) / np.exp(scores[0]).sum()
    assert pytest.approx([0.665241, 0.244728, 0.090031], abs=5e-7) == P
    assert eta == pytest.approx(0.686738, abs=5e-7)
    assert eta == pytest.approx(math.log(P[0] / (1 - P[0])), rel=1e-14)
    contrasts = np.array([1.0, 2.0])
    q = np.exp(-contrasts) / np.exp(-contrasts).sum()
    assert q == pytest.approx([0.731059, 0.268941], abs=5e-7)
    by_contrast = q * contrasts
    assert by_contrast == pytest.approx([0.731059, 0.537883], abs=5e-7)
    entropy = -(q * np.log(q)).sum()
    assert entropy == pytest.approx(0.582203, abs=5e-7)
    assert by_contrast.sum() == pytest.approx(1.268941, abs=5e-7)
    assert R.sum() == pytest.approx(by_contrast.sum(), rel=1e-14)
    assert R.sum() == pytest.approx(eta[0, 0] + entropy, rel=1e-14), "CONV-LOG-ODDS: over-distributed by the entropy of q"
    assert q * eta[0, 0] == pytest.approx([0.502046, 0.184692], abs=5e-7)
    conserved, _ = LogOdds(conserve=True).start(scores, np.array([[0]]))
    assert conserved.sum() == pytest.approx(eta[0, 0], rel=1e-14)


def test_log_odds_through_a_layer_of_differences():
    """Montavon et al. 2019, §10.3.1: what speaks for another class turns negative; z_c alone does not show it."""
    layer, a = L.Dense(np.array([[2.0, 0.0, 0.0], [0.0, 0.5, 0.0]])), np.array([[1.0, 2.0]])
    scores = layer.forward(a)
    assert scores.tolist() == [[2, 1, 0]]
    R, _ = LogOdds().start(scores, np.array([[0]]))
    (relevance,) = rules.Zero().relevances(layer, (a,), scores, R[:, 0])
    assert relevance == pytest.approx(np.array([[2.0, -0.731059]]), abs=5e-7)
    differences = L.Dense(layer.weight[:, :1] - layer.weight[:, 1:])
    q = np.exp(-np.array([1.0, 2.0])) / np.exp(-np.array([1.0, 2.0])).sum()
    z = differences.forward(a)
    (by_contrast,) = rules.Zero().relevances(differences, (a,), z, q * z)
    assert by_contrast == pytest.approx(relevance, rel=1e-14)
    (logit,) = rules.Zero().relevances(layer, (a,), scores, scores * [1, 0, 0])
    assert logit.tolist() == [[2, 0]]


def test_log_odds_of_two_classes_conserve():
    R, eta = LogOdds().start(np.array([[2.0, 0.5]]), np.array([[0]]))
    assert eta[0, 0] == pytest.approx(1.5, rel=1e-15)
    assert R.sum() == pytest.approx(1.5, rel=1e-15)


@pytest.mark.parametrize("rule", [rules.Zero(), rules.Epsilon(F(1, 4)), rules.Gamma(F(1, 4)), rules.AlphaBeta(2, 1)], ids=str)
def test_a_batch_norm_after_a_linear_layer_is_that_layer_rescaled(rule):
    """w' = s w, b' = s (b − μ) + β with s = γ/√(σ² + ε); the fused layer is one linear layer."""
    norm = L.BatchNorm(fractions([1, -2]), fractions([F(15, 4), 9 - F(1, 4)]), fractions([2, -3]), fractions([1, 1]), F(1, 4))
    assert norm.factor.tolist() == [1, -1]
    fused = dense([[3, 1], [-1, -2]], [1 * (1 - 1) + 1, -1 * (-1 + 2) + 1])
    assert (norm.forward(L1.forward(A1)) == fused.forward(A1)).all()
    R, _ = apply(rule, fused, A1, R1)
    if isinstance(rule, rules.Zero):  # LRP-0 through both layers gives the same wherever no inner z is 0
        inner, _ = apply(rule, norm, L1.forward(A1), R1)
        assert (apply(rule, L1, A1, inner)[0] == R).all()


# ---- golden neurons under our conventions ----------------------------------------------------------------------------

G1, G2 = dense([[1], [-1]], [-1]), dense([[2], [-1]], [1])


@pytest.mark.parametrize(
    ("rule", "one", "two"),
    [
        (rules.Zero(), (1, -1), (2, -1)),
        (rules.AlphaBeta(1, 0), (-1, 0), ("4/3", 0)),
        (rules.AlphaBeta(2, 1), (-2, "1/2"), ("8/3", -2)),
        (rules.ZPlus(), (-1, 0), (2, 0)),
        (rules.Gamma(F(1, 4)), ("5/3", "-4/3"), ("20/11", "-8/11")),
        (rules.GeneralizedGamma(F(1, 4)), ("2/3", "-5/6"), ("20/11", "-8/11")),
        (rules.WSquare(), ("-1/2", "-1/2"), ("8/5", "2/5")),
        (rules.Flat(), ("-1/2", "-1/2"), (1, 1)),
        (rules.ZBox(0, 1), (-1, 0), (2, 0)),
    ],
    ids=str,
)
def test_golden_neurons(rule, one, two):
    """G1: x = (1, 1), w = (1, −1), b = −1, R = z = −1. G2: w = (2, −1), b = 1, R = z = 2."""
    x = row(1, 1)
    assert (apply(rule, G1, x, row(-1))[0] == row(*one)).all()
    assert (apply(rule, G2, x, row(2))[0] == row(*two)).all()


def test_a_golden_neuron_under_the_small_epsilon_of_recurrent_networks():
    R, _ = apply(rules.Epsilon(F(1, 1000)), G1, row(1, 1), row(-1))
    assert [float(r) for r in R[0]] == pytest.approx([0.999, -0.999], abs=5e-7 + 1e-6)


@pytest.mark.parametrize(
    ("rule", "x", "w", "R", "expected"),
    [
        (rules.GeneralizedGamma(F(1, 4)), (1, -1), (1, -1), 2, (1, 1)),
        (rules.Gamma(F(1, 4)), (1, -1), (1, -1), 2, ("10/9", "8/9")),
        (rules.GeneralizedGamma(F(1, 4)), (1, 2), (1, -2), -3, ("3/4", "-15/4")),
        (rules.Gamma(F(1, 4)), (1, 2), (1, -2), -3, ("15/11", "-48/11")),
        (rules.AlphaBeta(1, 0), (1, -1), (1, -1), 2, (1, 1)),
        (rules.ZPlus(), (1, -1), (1, -1), 2, (1, 1)),
        (rules.AlphaBeta(1, 0), (0, 1), (1, -1), -1, (0, 0)),
        (rules.GeneralizedGamma(F(1, 4)), (1, 1), (1, -1), 1, (5, -4)),  # z = 0 counts as ≥ 0 and drops nothing
    ],
    ids=str,
)
def test_negative_inputs_and_preactivations(rule, x, w, R, expected):
    """CONV-GAMMA-CLASSIC, CONV-GAMMA-ZERO, CONV-AB-SIGN."""
    assert (apply(rule, dense([[v] for v in w]), row(*x), row(R))[0] == row(*expected)).all()


def test_the_stabiliser_around_zero():
    """CONV-EPS-SIGN: z + e at ε = 1e-6, s(±0) = +1; in floats, with both zeros."""
    z = np.array([-1e-6, -1e-9, -0.0, 0.0, 1e-9, 1e-6])
    signed, plain = (rules.Epsilon(1e-6, s).shares(z, None)[0].stabiliser for s in (True, False))
    assert (z + signed(z)).tolist() == [-2e-6, -1.001e-6, 1e-6, 1e-6, 1.001e-6, 2e-6]
    assert (z + plain(z)).tolist() == [0, 1e-6 - 1e-9, 1e-6, 1e-6, 1.001e-6, 2e-6]


# ---- the product rules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "signal", "expected"),
    [
        (rules.SignalTakesAll(), "3/4", (0, 1)),
        (rules.HalfProduct(), "3/4", ("1/2", "1/2")),
        (rules.HalfProduct(), 0, ("1/2", "1/2")),  # whatever the values
        (rules.ProportionalProduct(), "3/4", ("1/4", "3/4")),
        (rules.AbsoluteProduct(), "3/4", ("1/4", "3/4")),
        (rules.ProportionalProduct(), "-3/4", ("-1/2", "3/2")),
        (rules.AbsoluteProduct(), "-3/4", ("1/4", "3/4")),
        (rules.ProportionalProduct(), "-1/4", (0, 0)),  # x_g + x_s = 0: nothing can be in proportion
        (rules.ProportionalProduct(F(1, 8)), "-1/4", (2, -2)),
    ],
    ids=str,
)
def test_the_product_rules(rule, signal, expected):
    """Table 11.1 of Arras et al. 2019: x_g = 1/4, R_p = 1."""
    layer, factors = L.Multiply(signal=1), (row("1/4"), row(signal))
    (gate, kept), booking = rule.propagate(layer, factors, layer.forward(*factors), row(1))
    assert [gate.item(), kept.item()] == [F(v) for v in expected]
    assert booking.rounding == [0]
    flipped = L.Multiply(signal=0)
    (kept_first, gate_last), _ = rule.propagate(flipped, factors[::-1], flipped.forward(*factors), row(1))
    assert (gate_last, kept_first) == (gate, kept)
    constant = L.Multiply(signal=1, constant=[F(signal)])  # CONV-GATE-CONSTANT: what the signal keeps is in a bias
    (alone,), booking = rule.propagate(constant, factors[:1], constant.forward(*factors[:1]), row(1))
    assert (alone.item(), booking.bias.item(), booking.rounding.item()) == (gate.item(), kept.item(), 0)
