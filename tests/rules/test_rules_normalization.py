"""LayerNorm, InstanceNorm and GroupNorm: their rules against literal sums over the normalised group."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import errors
from lrp_ref import layers as L
from lrp_ref import rules as R
from lrp_ref.arrays import fractions


def groups_of(layer, shape):
    """The indices of one sample's elements, group by group: written from each normalisation's definition."""
    cells = np.arange(math.prod(shape)).reshape(shape)
    if isinstance(layer, (L.LayerNorm, L.RMSNorm)):
        return list(cells.reshape(-1, math.prod(shape[-layer.axes :])))
    if isinstance(layer, L.InstanceNorm):
        return list(cells.reshape(shape[0], -1))
    return list(cells.reshape(layer.groups, -1))


def affine_of(layer, shape):
    """γ and β of every element of one sample."""
    found = []
    for value, default in ((layer.scale, 1.0), (layer.shift, 0.0)):
        if value is None:
            found.append(np.full(math.prod(shape), default))
        elif isinstance(layer, (L.LayerNorm, L.RMSNorm)):
            found.append(np.broadcast_to(value, shape).reshape(-1))
        else:
            found.append(np.broadcast_to(value.reshape(-1, *(1,) * (len(shape) - 1)), shape).reshape(-1))
    return found


def literal(layer, a, relevance, epsilon, *, mean_held):
    """Σ_k R_{j←k} with the statistics held: one sample, plain loops."""
    flat, upper, lower = a.reshape(-1), relevance.reshape(-1), np.zeros(a.size)
    gamma, beta = affine_of(layer, a.shape)
    for group in groups_of(layer, a.shape):
        n, mean = len(group), 0.0 if isinstance(layer, L.RMSNorm) else sum(flat[group]) / len(group)
        mean_held = mean_held or isinstance(layer, L.RMSNorm)
        variance = sum((flat[i] - mean) ** 2 for i in group) / (n - getattr(layer, "correction", 0))
        deviation = math.sqrt(variance + layer.epsilon) + getattr(layer, "outside", 0)
        for k in group:
            w = gamma[k] / deviation
            terms = {j: flat[j] * ((j == k) - (0 if mean_held else 1 / n)) * w for j in group}
            z = sum(terms.values()) + beta[k] - (mean * w if mean_held else 0)
            for j in group:
                lower[j] += terms[j] / (z + epsilon * (1 if z >= 0 else -1)) * upper[k]
    return lower.reshape(a.shape)


@st.composite
def cases(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.sampled_from([2, 4])), draw(st.integers(1, 3)), draw(st.integers(2, 3)))
    kind = draw(st.sampled_from(["layer 1", "layer 2", "rms 1", "rms 2", "instance", "group"]))
    affine = draw(st.booleans())

    def some(extents):
        return random.normal(size=extents) if affine else None

    if kind == "instance":
        layer = L.InstanceNorm(some(shape[0]), some(shape[0]))
    elif kind == "group":
        layer = L.GroupNorm(draw(st.sampled_from([1, 2])), some(shape[0]), some(shape[0]))
    else:
        axes = int(kind[-1])
        more = {} if affine else {"outside": 0.5} if kind[0] == "r" else {"outside": 0.25, "correction": 1}
        layer = (L.RMSNorm if kind[0] == "r" else L.LayerNorm)(axes, some(shape[-axes:]), some(shape[-1:]), **more)
    count = draw(st.integers(1, 3))
    return layer, random.normal(size=(count, *shape)) * 3 + 1, random.normal(size=(count, *shape))


@given(cases(), st.sampled_from([R.ConstantDeviation(0.01), R.ConstantStatistics(0.01)]))
def test_engine_equals_literal_sums(case, rule):
    layer, a, relevance = case
    (lower,), booking = rule.propagate(layer, (a,), layer.forward(a), relevance)
    for sample in range(len(a)):
        expected = literal(layer, a[sample], relevance[sample], 0.01, mean_held=isinstance(rule, R.ConstantStatistics))
        np.testing.assert_allclose(lower[sample], expected, rtol=1e-7, atol=1e-9)
    assert (abs(booking.rounding) <= 4 * (1 + a[0].size) * 2**-53 * booking.turnover).all()


@given(cases(), st.sampled_from([R.ConstantDeviation(), R.ConstantStatistics()]))
def test_batch_is_one_by_one_bit_for_bit(case, rule):
    layer, a, relevance = case
    (lower,) = rule.relevances(layer, (a,), layer.forward(a), relevance)
    for n in range(len(a)):
        one = a[n : n + 1]
        (alone,) = rule.relevances(layer, (one,), layer.forward(one), relevance[n : n + 1])
        assert alone.tobytes() == lower[n : n + 1].tobytes()


def test_exact_where_the_deviation_is_rational():
    layer = L.LayerNorm(1, fractions([2, 1]), fractions([1, 0]), epsilon=0)
    a, relevance = fractions([[1, 5]]), fractions([[3, 4]])  # mean 3, deviation 2: z = (2·(−1) + 1, 1) = (−1, 1)
    z = layer.forward(a)
    assert z.tolist() == [[-1, 1]]
    (lower,), booking = R.ConstantDeviation(0).propagate(layer, (a,), z, relevance)
    # k = 1: terms 1·½·1 = ½ and 5·(−½)·1 = −5/2 over z = −1, times 3; k = 2: −½·½ = −¼ and 5·½·½ = 5/4 over 1, times 4
    assert lower.tolist() == [[Fraction(-3, 2) - 1, Fraction(15, 2) + 5]]
    assert booking.bias.tolist() == [-3]
    assert booking.rounding.tolist() == [0]


def test_with_the_deviation_held_shifting_all_inputs_moves_no_share_of_the_sum():
    """The map is blind to a constant: its centred terms take all of R but the shift's share, whatever the mean."""
    layer = L.LayerNorm(1)
    a, relevance = np.array([[0.5, 2.0, -1.0, 3.0]]), np.array([[1.0, -2.0, 0.5, 4.0]])
    for offset in (0.0, 7.0):
        moved = a + offset
        (lower,), _ = R.ConstantDeviation(0).propagate(layer, (moved,), layer.forward(moved), relevance)
        np.testing.assert_allclose(lower.sum(), relevance.sum(), rtol=1e-12)


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_presets_explain_normalisations(backend):
    random = np.random.default_rng(0)
    model = lrp_ref.Model.sequential(
        [
            L.Conv(random.normal(size=(4, 2, 3, 3)), padding=1),
            L.GroupNorm(2, random.normal(size=4), random.normal(size=4)),
            L.ReLU(),
            L.LRN(3),
            L.InstanceNorm(),
            L.Flatten(),
            L.Dense(random.normal(size=(64, 6))),
            L.LayerNorm(1, random.normal(size=6)),
            L.GELU(),
            L.Dense(random.normal(size=(6, 3))),
        ]
    )
    x = random.normal(size=(2, 2, 4, 4))
    explained = lrp_ref.explain(model, x, backend=backend, ledger=True)
    given_back = explained.ledger.relevance + explained.ledger.bias + explained.ledger.stabiliser + explained.ledger.unassigned
    scale = sum(entry.booking.turnover for entry in explained.ledger)
    assert (abs(explained.value - given_back) <= 1e-12 * scale).all()


def test_lengths_and_ranges_are_held_exactly():
    """CONV-NORM-LENGTH. Worked: LpNorm of (3, 4) divides by 5, MinMaxNorm of (1, 3, 5) takes 1 off and divides by 4."""
    a, relevance = fractions([[3, 4]]), fractions([[2, 7]])
    for rule in (R.ConstantDeviation(0), R.ConstantStatistics(0)):
        (lower,), booking = rule.propagate(L.LpNorm(), (a,), L.LpNorm().forward(a), relevance)
        assert lower.tolist() == [[2, 7]]
        assert (booking.bias.tolist(), booking.unassigned.tolist()) == ([0], [0])
    a, relevance = fractions([[1, 3, 5]]), fractions([[6, 2, 4]])
    z = L.MinMaxNorm().forward(a)
    assert z.tolist() == [[0, Fraction(1, 2), 1]]
    (lower,), booking = R.ConstantStatistics(0).propagate(L.MinMaxNorm(), (a,), z, relevance)
    assert lower.tolist() == [[0, 3, 5]]  # a/4 over z times R: 3/4 over ½ times 2, 5/4 over 1 times 4; 0/0 := 0
    assert booking.bias.tolist() == [-2]  # −1/4 over ½ times 2, −1/4 over 1 times 4
    assert booking.unassigned.tolist() == [6]


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_lp_0_with_held_statistics_is_gradient_times_input_of_the_held_map(backend):
    """x → A → norm → B: R_j = Σ_i w_i (B_i c) A_ji x_j, with w = 1/s of the norm held."""
    random = np.random.default_rng(3)
    first, last, x = random.normal(size=(4, 6)), random.normal(size=(6, 2)), random.normal(size=(3, 4))
    z = x @ first
    scale = random.normal(size=6)
    for layer, weight in (
        (L.RMSNorm(1, scale, None, 0.5), scale / np.sqrt((z**2).mean(axis=1, keepdims=True) + 0.5)),
        (L.LpNorm((1,), 2, 0.0, 0.125), 1 / np.sqrt((z**2).sum(axis=1, keepdims=True))),
        (L.LpNorm((1,), 1), 1 / abs(z).sum(axis=1, keepdims=True)),
        # the least cell has the value 0, and relevance 0
        (L.MinMaxNorm(), (z > z.min(axis=1, keepdims=True)) / np.ptp(z, axis=1, keepdims=True)),
    ):
        model = lrp_ref.Model.sequential([L.Dense(first), layer, L.Dense(last)])
        found = lrp_ref.explain(model, x, rule=R.Zero(), target=1, backend=backend).relevance
        np.testing.assert_allclose(found, x * ((weight * last[:, 1]) @ first.T), rtol=1e-9, atol=1e-12)


def test_refusals():
    with pytest.raises(errors.RuleError, match=r"serves normalisations by their input's own statistics.*not ReLU"):
        R.ConstantDeviation().propagate(L.ReLU(), (np.ones((1, 2)),), np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(errors.ParameterError, match=r"ConstantStatistics\.epsilon"):
        R.ConstantStatistics(-1)
    with pytest.raises(errors.RuleError, match=r"ConstantDeviation.*not MinMaxNorm"):
        R.ConstantDeviation().propagate(L.MinMaxNorm(), (np.ones((1, 2)),), np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(errors.RuleError, match=r"fits: ConstantStatistics\(\)"):
        lrp_ref.Explainer(lrp_ref.Model.sequential([L.MinMaxNorm()]), lrp_ref.Composite(((L.MinMaxNorm, R.ConstantDeviation()),)))
    model = lrp_ref.Model.sequential([L.LayerNorm()])
    with pytest.raises(errors.RuleError, match="layernorm1"):
        lrp_ref.Explainer(model, lrp_ref.Composite(((L.LayerNorm, R.Zero()),)))
