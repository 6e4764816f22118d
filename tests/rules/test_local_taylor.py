"""LocalTaylor: LRN by its own first-order expansion, against the oracle, numbers by hand, and laws."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Model, oracle, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import ExactnessError, ParameterError, RuleError

F = Fraction


def run(layer, a, R, rule=rules.LocalTaylor()):  # noqa: B008  # a frozen value
    (found,), booking = rule.propagate(layer, (a,), layer.forward(a), R)
    return found, booking


# ---- by hand ------------------------------------------------------------------------------------------------------------


def test_two_channels_by_hand():
    """α/n = 1, κ = 1, β = 1, a = (1, 2): B = 6.

    k = 1: ½ of its own, −2·1·4/36 = −2/9 from the other; of 5/18. R_1 = 5 → 9 and −4.
    k = 2: 2/5 of its own, −2·2·1/36 = −1/9 from the other; of 13/45. R_2 = 13 → 18 and −5.
    """
    layer, a = L.LRN(3, alpha=3, beta=1, k=1), fractions([[1, 2]])
    assert layer.forward(a).tolist() == [[F(1, 6), F(1, 3)]]
    found, booking = run(layer, a, fractions([[5, 13]]))
    assert found.tolist() == [[9 - 5, 18 - 4]]
    assert booking.rounding.tolist() == [0]
    assert booking.turnover.tolist() == [18 + 9 + 4 + 18 + 5]
    floats, _ = run(L.LRN(3, 3.0, 1.0, 1.0), np.array([[1.0, 2.0]]), np.array([[5.0, 13.0]]))
    np.testing.assert_allclose(floats, [[4, 14]], rtol=1e-14)


def test_another_constant_is_the_printed_form_with_b_divided_by_it():
    """(κ + α/n Σ)^β = κ^β (1 + b Σ)^β with b = α/(n κ): the proportions are those of κ = 1."""
    a, R = fractions([[1, -2, 3]]), fractions([[1, 2, 3]])
    one, _ = run(L.LRN(3, alpha=F(3, 2), beta=2, k=1), a, R)
    other, _ = run(L.LRN(3, alpha=6, beta=2, k=4), a, R)
    assert (one == other).all()


def test_a_stabiliser_takes_its_share():
    """One channel alone: t = 1/2, ε = 1/2, so half of 4 stays in the stabiliser."""
    found, booking = run(L.LRN(1, alpha=1, beta=1, k=1), fractions([[1]]), fractions([[4]]), rules.LocalTaylor(F(1, 2)))
    assert found.tolist() == [[2]]
    assert booking.stabiliser.tolist() == [2]


def test_a_channel_of_0_has_no_terms_and_assigns_nothing():
    found, booking = run(L.LRN(3, alpha=3, beta=1, k=1), fractions([[0, 1]]), fractions([[7, 3]]))
    assert found.tolist() == [[0, 3]]
    assert booking.unassigned.tolist() == [7]


# ---- the oracle ---------------------------------------------------------------------------------------------------------


@st.composite
def cases(draw, whole):
    channels, places = draw(st.integers(1, 5)), draw(st.sampled_from([(), (2,), (2, 1)]))
    number = st.integers(-4, 4).map(lambda i: F(i, 2))
    size = int(np.prod((channels, *places)))
    a = fractions([draw(number) for _ in range(size)]).reshape(1, channels, *places)
    R = fractions([draw(number) for _ in range(size)]).reshape(a.shape)
    beta = draw(st.integers(1, 2)) if whole else draw(st.sampled_from([0.75, 0.5, 1.0]))
    layer = L.LRN(draw(st.integers(1, 6)), alpha=draw(st.sampled_from([0.5, 2, 4])), beta=beta, k=draw(st.sampled_from([1, 2])))
    return layer, a, R, rules.LocalTaylor(draw(st.sampled_from([0, 0.25])))


@given(cases(True))
def test_the_engine_is_the_oracle_in_rationals(case):
    layer, a, R, rule = case
    found, booking = run(layer, a, R, rule)
    expected = oracle.messages(layer, rule, a, R)
    assert (found == expected.relevances[0]).all()
    assert booking.rounding.tolist() == [0]
    assert booking.turnover.tolist() == [expected.turnover]
    assert booking.stabiliser.tolist() == [expected.stabiliser.sum()]
    assert booking.unassigned.tolist() == [expected.unassigned.sum()]


@given(cases(True), st.sampled_from([np.float32, np.float64]))
def test_floats_within_the_bound(case, dtype):
    """CONV-FLOAT-GENERAL; terms that cancel to an exact zero belong to the rationals."""
    layer, a, R, rule = case
    expected = oracle.messages(layer, rule, a, R)
    if any(pool.empty and account.upper.R for account in expected.accounts for pool in account.pools):
        return
    found, _ = run(layer, a.astype(dtype), R.astype(dtype), rule)
    unit = F(float(np.finfo(dtype).eps)) / 2
    wrong = abs(fractions(found) - expected.relevances[0])
    # A term is the product of six numbers and a power, each of which is rounded.
    assert (wrong <= 8 * expected.tolerance(unit)[0]).all()


# ---- laws ---------------------------------------------------------------------------------------------------------------


@given(cases(False))
def test_the_terms_are_those_of_the_derivative(case):
    """t_jk = a_j ∂z_k/∂a_j for j ≠ k, and t_kk is the output of the channel alone."""
    layer, a, _, _ = case
    a = a.astype(np.float64)
    for k in range(a.size):
        unit = np.zeros(a.size)
        unit[k] = 1.0
        alone = layer.forward(np.where(unit.reshape(a.shape) != 0, a, 0.0)).reshape(-1)[k]
        terms = (a * layer.vjp((a,), layer.forward(a), unit.reshape(a.shape))[0]).reshape(-1)
        terms[k] = alone
        if abs(terms.sum()) < 1e-3 * abs(terms).sum() or not terms.any():
            continue
        found, _ = run(layer, a, unit.reshape(a.shape))
        np.testing.assert_allclose(found.reshape(-1), terms / terms.sum(), rtol=1e-9, atol=1e-12)


@given(cases(True))
def test_neighbours_never_outweigh_the_channel_itself(case):
    """Σ_j≠k |t_jk| = 2βu/(1 + u)^(β + 1) · |t_kk| with u = Σ_j≠k/(nκ/α + a_k²), at most 2 (β/(β + 1))^(β + 1) < 2/e of it."""
    layer, a, R, _ = case
    expected = oracle.messages(layer, rules.LocalTaylor(), a, R)
    for account in expected.accounts:
        (pool,) = account.pools
        own = pool.terms[0, account.upper.number]
        others = sum(abs(term) for term in pool.terms.values()) - abs(own)
        assert others <= 2 * F(layer.beta, layer.beta + 1) ** (layer.beta + 1) * abs(own)


@given(cases(False))
def test_without_neighbours_relevance_passes(case):
    layer, a, R, _ = case
    a, R = a.astype(np.float64), R.astype(np.float64)
    found, booking = run(L.LRN(1, layer.alpha, layer.beta, layer.k), a, R)
    np.testing.assert_allclose(found, np.where(a != 0, R, 0), rtol=1e-14)
    np.testing.assert_allclose(booking.unassigned, [R[a == 0].sum()], rtol=1e-14, atol=0)


@given(cases(True))
def test_it_is_linear_and_conserves(case):
    layer, a, R, _ = case
    found, booking = run(layer, a, R)
    other, _ = run(layer, a, R[:, ::-1])
    both, _ = run(layer, a, 2 * R - R[:, ::-1])
    assert (both == 2 * found - other).all()
    assert found.sum() == R.sum() - booking.unassigned[0]


@given(cases(False))
def test_a_weak_normalisation_passes_nearly_all(case):
    _, a, R, _ = case
    a, R = a.astype(np.float64), R.astype(np.float64)
    found, _ = run(L.LRN(5, 1e-9), a, R)
    np.testing.assert_allclose(found, np.where(a != 0, R, 0), atol=1e-5)


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_in_a_network_a_batch_is_its_samples(backend):
    rng = np.random.default_rng(0)
    model = Model.sequential(
        [L.Conv(rng.standard_normal((6, 2, 3, 3))), L.ReLU(), L.LRN(5, 0.5), L.Flatten(), L.Dense(rng.standard_normal((96, 3)))]
    )
    made = lrp_ref.composites.epsilon_plus().with_rules({L.LRN: rules.LocalTaylor()})
    x = rng.standard_normal((4, 2, 6, 6))
    explainer = lrp_ref.Explainer(model, made, backend=backend, ledger=True)
    e = explainer(x)
    for n in range(4):
        assert (explainer(x[n : n + 1]).relevance[0] == e.relevance[n]).all()
    assert (abs(e.ledger["lrn1"].rounding) <= 4 * 7 * 2.0**-53 * e.ledger["lrn1"].turnover).all()
    passed = lrp_ref.explain(model, x, backend=backend)
    assert not np.allclose(e.relevance, passed.relevance, rtol=1e-3)
    assert "LocalTaylor(epsilon=0)" in repr(explainer)


# ---- refusals -----------------------------------------------------------------------------------------------------------


def test_refusals():
    a = fractions([[1, 2]])
    with pytest.raises(RuleError, match=r"serves local response normalisation \(LRN\), not ReLU"):
        rules.LocalTaylor().propagate(L.ReLU(), (a,), a, a)
    with pytest.raises(ParameterError, match=r"LocalTaylor\.epsilon"):
        rules.LocalTaylor(-1)
    with pytest.raises(ExactnessError, match="beta is a whole number"):
        L.LRN(3).forward(a)
    with pytest.raises(ExactnessError, match="whole number"):
        oracle.messages(L.LRN(3), rules.LocalTaylor(), a, a)
    with pytest.raises(RuleError, match=r"\(fits: Pass\(\) or LocalTaylor\(\)\)"):
        lrp_ref.Explainer(Model.sequential([L.LRN()]), lrp_ref.Composite(((L.LRN, rules.Zero()),)))
