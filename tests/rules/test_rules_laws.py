"""Laws of the rules: the engine is the literal definition, exactly in rationals and within two stated bounds in floats.

Over random layers with random hyper-parameters. The oracle (`lrp_ref.oracle`) shares no code with the engine; what both
use, `layer.forward`, is compared with literal loops in the tests of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lrp_ref import layers as L
from lrp_ref import oracle, rules
from lrp_ref.arrays import Array, fractions
from lrp_ref.rules.terms import IDENTITY, Share, Term
from support.rule_strategies import (
    ALL_RULES,
    LINEAR_RULES,
    OFTEN,
    ROUNDOFF,
    exactly_folded,
    roundable,
    ruled,
    settings_for,
    small,
    sweep,
)
from support.strategies import FLOAT_TYPES, LINEAR, Case, arrays, cases, nonnegatives, positives

each_rule = pytest.mark.parametrize("kind", ALL_RULES, ids=lambda kind: kind.__name__)
each_linear_rule = pytest.mark.parametrize("kind", LINEAR_RULES, ids=lambda kind: kind.__name__)
any_rule, any_linear_rule = st.sampled_from(ALL_RULES), st.sampled_from(LINEAR_RULES)


def anything(_case: Case) -> bool:
    return True


def same(found: tuple[Array, ...], expected: tuple[Array, ...]) -> bool:
    """Whether rational results are equal, shapes included."""
    return len(found) == len(expected) and all(
        f.shape == e.shape and f.dtype == e.dtype == object and (f == e).all() for f, e in zip(found, expected, strict=True)
    )


def same_bits(found: Array, expected: Array) -> bool:
    """Whether float results are equal to the last bit, the signs of zeros included."""
    return (
        found.dtype == expected.dtype
        and np.array_equal(found, expected)
        and np.array_equal(np.signbit(found), np.signbit(expected))
    )


def relevances(rule: rules.Rule, case: Case, relevance: Array | None = None) -> tuple[Array, ...]:
    """R_j of every input."""
    R = case.relevance if relevance is None else relevance
    return rule.relevances(case.layer, case.inputs, case.layer.forward(*case.inputs), R)


def stacked(parts: list[Array], shape: tuple[int, ...]) -> Array:
    """One array of what each sample gave, also for no samples."""
    return np.concatenate([*parts, np.empty((0, *shape[1:]), dtype=object)])


# ---- the engine is the oracle ----------------------------------------------------------------------------------------


@each_linear_rule
def test_every_setting_of_every_rule_is_the_sum_of_the_messages(kind):
    """In rationals and, the data being dyadic, in floats."""
    for drawn in sweep(kind):
        exact, _ = drawn.astype(object).propagate()
        floats, _ = drawn.propagate()
        for n, m in enumerate(drawn.messages()):
            for R, r, expected, size in zip(exact, floats, m.relevances, m.sizes, strict=True):
                assert (R[n : n + 1] == expected).all()
                assert (abs(fractions(r[n : n + 1]) - expected) <= size / 10**12).all()


@each_rule
@given(st.data())
def test_in_rationals_the_engine_is_the_sum_of_the_messages(kind, data):
    drawn = data.draw(ruled(kind)).astype(object)
    found, _ = drawn.propagate()
    each = drawn.messages()
    for i, (R, a) in enumerate(zip(found, drawn.case.inputs, strict=True)):
        expected = stacked([m.relevances[i] for m in each], a.shape)
        assert R.dtype == object
        assert R.shape == a.shape
        assert not (R - expected).any()
    assert same(relevances(drawn.rule, drawn.case), found), "relevances() is propagate() without the accounts"


@each_rule
@given(st.data())
def test_on_dyadic_data_floats_agree_with_the_oracle_to_1e_12(kind, data):
    """CONV-FLOAT-DYADIC. z is exact here, so dead shares, branches and ties are those of the definition; what rounds
    is one division, one product and one sum of at most a few dozen terms. Data include ±0, empty pools, and windows
    that are negative throughout. Relative to Σ_k |R_{j←k}|: where messages cancel, nothing can be promised of R_j.
    """
    drawn = data.draw(ruled(kind, lambda case: small(case) and exactly_folded(case)))
    found, _ = drawn.propagate()
    for n, m in enumerate(drawn.messages()):
        for R, expected, size in zip(found, m.relevances, m.sizes, strict=True):
            assert (abs(fractions(R[n : n + 1]) - expected) <= size / 10**12).all()


@each_rule
@given(st.data())
def test_on_general_data_floats_stay_within_the_rounding_bound(kind, data):
    """CONV-FLOAT-GENERAL: |R_j − exact_j| ≤ 4·n·u·Σ_k |R_{j←k}|·(1 + κ_k). The number type is kept."""
    dtype = data.draw(st.sampled_from(FLOAT_TYPES))
    drawn = data.draw(ruled(kind, general=True)).astype(dtype)
    each = drawn.messages()
    u = ROUNDOFF[np.dtype(dtype)]
    assume(roundable(drawn, each, u))
    found, _ = drawn.propagate()
    for R, a in zip(found, drawn.case.inputs, strict=True):
        assert R.dtype == dtype
        assert R.shape == a.shape
    for n, m in enumerate(each):
        for R, expected, allowed in zip(found, m.relevances, m.tolerance(u), strict=True):
            assert (abs(fractions(R[n : n + 1]) - expected) <= allowed).all()


@each_rule
@given(st.data())
def test_a_sample_has_the_same_bits_in_every_batch(kind, data):
    general, dtype = data.draw(st.booleans()), data.draw(st.sampled_from(FLOAT_TYPES))
    drawn = data.draw(ruled(kind, anything, general, batch=st.sampled_from([3, 2]))).astype(dtype)
    together, booking = drawn.propagate()
    for n in range(drawn.case.batch):
        alone, booked = drawn.sample(n).propagate()
        for many, one in zip(together, alone, strict=True):
            assert same_bits(many[n : n + 1], one)
        for column in ("arriving", "inputs", "bias", "stabiliser", "unassigned", "turnover"):
            assert same_bits(getattr(booking, column)[n : n + 1], getattr(booked, column))


@given(any_rule, st.data())
def test_an_empty_batch_gives_an_empty_result(kind, data):
    drawn = data.draw(ruled(kind, anything, batch=st.just(0)))
    for dtype in (object, *FLOAT_TYPES):
        found, booking = drawn.astype(dtype).propagate()
        assert [R.shape for R in found] == list(drawn.case.shapes)
        assert all(R.dtype == dtype for R in found)
        assert booking.rounding.shape == (0,)


# ---- laws that every rule obeys --------------------------------------------------------------------------------------


@given(any_rule, st.data())
def test_every_rule_is_linear_in_the_relevance(kind, data):
    drawn = data.draw(ruled(kind, anything)).astype(object)
    case = drawn.case
    other = fractions(data.draw(arrays(case.relevance.shape, strided=False)))
    t = Fraction(data.draw(st.sampled_from([-2, 3, 0]))) / 7
    one, two = relevances(drawn.rule, case), relevances(drawn.rule, case, other)
    assert same(
        relevances(drawn.rule, case, case.relevance + t * other),
        tuple(R + t * S for R, S in zip(one, two, strict=True)),
    )


@given(
    st.sampled_from([rules.Zero, rules.Gamma, rules.GeneralizedGamma, rules.AlphaBeta, rules.ZPlus]),
    st.data(),
)
def test_without_bias_and_stabiliser_the_size_of_the_input_does_not_matter(kind, data):
    """R(t x) = t R(x) for nets without bias, t > 0; for one layer under the same R_k nothing changes."""
    drawn = data.draw(ruled(kind, anything)).astype(object)
    case, rule = drawn.case, drawn.rule
    assume(not isinstance(case.layer, L.BatchNorm))
    if "bias" in case.layer.parameters:
        case = replace(case, layer=replace(case.layer, bias=None))
    if isinstance(rule, rules.Gamma):
        rule = replace(rule, epsilon=0)
    t = Fraction(data.draw(st.integers(1, 9)), 7)
    scaled = replace(case, inputs=tuple(t * a for a in case.inputs))
    assert same(relevances(rule, case), relevances(rule, scaled))


def test_with_a_stabiliser_or_a_bias_the_size_of_the_input_does_matter():
    a, R = fractions([[1, 2]]), fractions([[6, 12]])
    for rule, bias in ((rules.Epsilon(1), None), (rules.Zero(), fractions([1, -1]))):
        layer = L.Dense(fractions([[3, -1], [-1, 2]]), bias)
        one, two = (rule.relevances(layer, (x,), layer.forward(x), R) for x in (a, 2 * a))
        assert not same(one, two)


@given(any_linear_rule, st.data())
def test_permuting_channels_permutes_relevance(kind, data):
    case = data.draw(cases(L.Dense, L.Conv, batch=st.just(2))).astype(object)
    rule = data.draw(st.sampled_from(settings_for(kind, case)))
    if isinstance(rule, rules.ZBox):
        rule = rules.ZBox(-4, 5)
    assume(not isinstance(case.layer, L.Conv) or case.layer.groups == 1)
    weight, axis = case.layer.weight, (0, -1) if isinstance(case.layer, L.Dense) else (1, 1)
    lower, upper = (0, 1) if isinstance(case.layer, L.Dense) else (1, 0)
    j = np.array(data.draw(st.permutations(range(weight.shape[lower]))))
    k = np.array(data.draw(st.permutations(range(weight.shape[upper]))))
    bias = case.layer.bias if case.layer.bias is None else case.layer.bias[k]
    moved = Case(
        replace(case.layer, weight=weight.take(j, axis=lower).take(k, axis=upper), bias=bias),
        (case.inputs[0].take(j, axis=axis[1]),),
        case.relevance.take(k, axis=axis[1]),
    )
    (R,) = relevances(rule, case)
    assert same(relevances(rule, moved), (R.take(j, axis=axis[1]),))


@each_linear_rule
@given(st.data())
def test_every_linear_layer_is_the_dense_layer_of_its_matrix(kind, data):
    """Convolutions with every padding, stride, dilation and group, pooling, and the rest, one input."""
    case = data.draw(cases(L.Conv, L.Conv, L.ConvTranspose, *LINEAR, batch=st.just(1)).filter(small)).astype(object)
    assume(len(case.inputs) == 1)
    rule = data.draw(st.sampled_from(settings_for(kind, case)))
    if isinstance(rule, rules.ZBox):
        rule = rules.ZBox(-4, 5)
    (a,) = case.inputs
    (matrix,), bias = oracle.matrix.weights(case.layer, (a.shape,))
    if kind is rules.Flat:  # a matrix does not tell a weight of 0 from no connection, so its ones are told by LRP-0
        (connected,) = oracle.matrix.connections(case.layer, (a.shape,))
        dense, x, rule = L.Dense(fractions(connected.astype(int))), a * 0 + 1, rules.Zero()
    else:
        dense, x = L.Dense(matrix, bias), a
    row, R = x.reshape(1, -1), case.relevance.reshape(1, -1)
    flat = relevances(rule, Case(dense, (row,), R))[0]
    original = data.draw(st.sampled_from(settings_for(kind, case))) if kind is rules.Flat else rule
    assert same(relevances(original, case), (flat.reshape(a.shape),))


@given(any_linear_rule, st.data())
def test_a_weight_of_zero_is_no_connection(kind, data):
    """All rules but flat, which counts connections."""
    case = data.draw(cases(L.Dense, batch=st.just(1))).astype(object)
    assume(case.inputs[0].ndim == 2)
    rule = rules.ZBox(-4, 5) if kind is rules.ZBox else data.draw(st.sampled_from(settings_for(kind, case)))
    extra = fractions(data.draw(arrays((1, 1), positives())))
    more = Case(
        replace(case.layer, weight=np.concatenate([case.layer.weight, case.layer.weight[:1] * 0])),
        (np.concatenate([case.inputs[0], extra], axis=1),),
        case.relevance,
    )
    (before,), (after,) = relevances(rule, case), relevances(rule, more)
    if kind is rules.Flat:
        assert (after[:, -1] == case.relevance.sum() / more.layer.weight.shape[0]).all()
    else:
        assert same((after,), (np.concatenate([before, extra * 0], axis=1),))


SPLITTING = [rules.Zero, rules.Epsilon, rules.Gamma, rules.GeneralizedGamma, rules.AlphaBeta, rules.ZPlus, rules.ZBox]


@given(st.sampled_from(SPLITTING), st.data())
def test_a_neuron_split_in_two_of_the_same_signs_keeps_its_relevance(kind, data):
    """Montavon 2019 (§13.3): w' + w'' = w. With like signs no rule notices; LRP-0 and ε not with unlike ones either."""
    case = data.draw(cases(L.Dense, batch=st.just(1))).astype(object)
    assume(case.inputs[0].ndim == 2)
    rule = rules.ZBox(-4, 5) if kind is rules.ZBox else data.draw(st.sampled_from(settings_for(kind, case)))
    signless = kind in (rules.Zero, rules.Epsilon)
    part = Fraction(data.draw(st.integers(*((-9, 9) if signless else (0, 7)))), 7)
    weight, (a,) = case.layer.weight, case.inputs
    split = Case(
        replace(case.layer, weight=np.concatenate([weight[:1] * part, weight[:1] * (1 - part), weight[1:]])),
        (np.concatenate([a[:, :1], a], axis=1),),
        case.relevance,
    )
    (whole,), (R,) = relevances(rule, case), relevances(rule, split)
    assert same((np.concatenate([R[:, :1] + R[:, 1:2], R[:, 2:]], axis=1),), (whole,))


# ---- one rule is another ---------------------------------------------------------------------------------------------


def linear_case(**options: Any) -> st.SearchStrategy[Case]:
    return cases(*OFTEN, *LINEAR, **options)


@given(linear_case(), st.sampled_from(FLOAT_TYPES))
def test_gamma_0_and_epsilon_0_are_lrp_0_bit_for_bit(case, dtype):
    case = case.astype(dtype)
    expected = relevances(rules.Zero(), case)
    for rule in (rules.Epsilon(0), rules.Epsilon(0, signed=False), rules.Gamma(0), rules.Gamma(0, epsilon=0)):
        assert all(same_bits(f, e) for f, e in zip(relevances(rule, case), expected, strict=True))


@given(linear_case())
def test_generalised_gamma_0_is_lrp_0(case):
    case = case.astype(object)
    assert same(relevances(rules.GeneralizedGamma(0), case), relevances(rules.Zero(), case))


@given(linear_case(inputs=nonnegatives()), st.sampled_from([0.25, 1, 3]))
def test_on_inputs_and_preactivations_that_are_not_negative_the_two_gamma_rules_agree(case, gamma):
    case = case.astype(object)
    z = case.layer.forward(*case.inputs)
    case = replace(case, relevance=np.where(z < 0, Fraction(0), case.relevance))
    assert same(relevances(rules.GeneralizedGamma(gamma), case), relevances(rules.Gamma(gamma), case))


@given(linear_case())
def test_generalised_gamma_treats_both_signs_alike(case):
    """Turning every sign of a layer turns no message, except that z = 0 counts as positive."""
    case = case.astype(object)
    z = case.layer.forward(*case.inputs)
    case = replace(case, relevance=np.where(z == 0, Fraction(0), case.relevance))
    assume("weight" in case.layer.parameters)
    turned = replace(case, layer=replace(case.layer, **{name: -value for name, value in case.layer.parameters.items()}))
    assert same(relevances(rules.GeneralizedGamma(), case), relevances(rules.GeneralizedGamma(), turned))


@given(linear_case(inputs=nonnegatives(), batch=st.just(1)).filter(small))
def test_gamma_towards_infinity_is_alpha_1_beta_0_with_the_bias_in_the_pool(case):
    """Where the positive pool is not empty. Data are small multiples of 1/16, so that 1e12 is infinity to 1e-6."""
    case = case.astype(object)
    m = oracle.messages(case.layer, rules.AlphaBeta(1, 0), case.inputs, case.relevance)
    filled = np.array([not account.pools[0].empty for account in m.accounts]).reshape(m.shape)
    case = replace(case, relevance=np.where(filled, case.relevance, Fraction(0)))
    expected = relevances(rules.AlphaBeta(1, 0), case)
    for rule in (rules.Gamma(10**12), rules.Gamma(1e12)):
        for R, exact in zip(relevances(rule, case), expected, strict=True):
            assert (abs(R - exact) <= Fraction(1, 10**6)).all()


@given(linear_case(), st.sampled_from((object, *FLOAT_TYPES)))
def test_z_plus_is_alpha_1_beta_0_without_bias_bit_for_bit(case, dtype):
    case = case.astype(dtype)
    pairs = zip(relevances(rules.ZPlus(), case), relevances(rules.AlphaBeta(1, 0, bias="none"), case), strict=True)
    assert all(same((f,), (e,)) if dtype is object else same_bits(f, e) for f, e in pairs)


@given(linear_case(), st.sampled_from([(2, 1), (Fraction(3, 2), Fraction(1, 2))]), st.sampled_from(["pool", "none"]))
def test_alpha_beta_is_an_excitatory_and_an_inhibitory_flow(case, pair, bias):
    """Montavon et al. 2018, §5.1: α P⁺(R) − β P⁻(R), and P⁻ is P⁺ of the layer with all signs turned."""
    case = case.astype(object)
    assume("weight" in case.layer.parameters)
    alpha, beta = pair
    turned = replace(case, layer=replace(case.layer, **{name: -value for name, value in case.layer.parameters.items()}))
    up, down = (relevances(rules.AlphaBeta(1, 0, bias=bias), c) for c in (case, turned))
    expected = tuple(alpha * u - beta * d for u, d in zip(up, down, strict=True))
    assert same(relevances(rules.AlphaBeta(alpha, beta, bias=bias), case), expected)


@given(cases(L.SumPool, L.AvgPool, L.GlobalAvgPool, L.GlobalSumPool, inputs=nonnegatives()), st.sampled_from([0.25, 2]))
def test_on_sum_pooling_of_non_negative_inputs_most_rules_are_the_proportional_rule(case, gamma):
    case = case.astype(object)
    expected = relevances(rules.Zero(), case)
    for rule in (rules.Gamma(gamma), rules.GeneralizedGamma(gamma), rules.ZPlus(), rules.AlphaBeta(1, 0)):
        assert same(relevances(rule, case), expected)
    assert same(relevances(rules.AlphaBeta(2, 1), case), tuple(2 * R for R in expected)), "the empty pool takes nothing"
    assert same(relevances(rules.AlphaBeta(2, 1, empty="renormalise"), case), expected)


@given(cases(L.MaxPool, L.GlobalMaxPool, inputs=nonnegatives()))
def test_the_proportional_rule_of_maximum_pooling_is_lrp_0_of_sum_pooling(case):
    case = case.astype(object)
    summed = replace(case, layer=case.layer.as_sum())
    assert same(relevances(rules.Proportional(), case), relevances(rules.Zero(), summed))
    assert same(relevances(rules.AverageSurrogate(), case), relevances(rules.Zero(), summed))


# ---- rules of the user's own -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Doubled(rules.LinearRule):
    """A rule of a user's own, in one method: positive weights count twice."""

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        def twice(w: Array) -> Array:
            return w + np.maximum(w, w * 0)

        return (Share(1, (Term(IDENTITY, twice(weight)),), None if bias is None else twice(bias)),)


@given(linear_case(), st.sampled_from((object, *FLOAT_TYPES)))
def test_a_rule_of_ones_own_takes_one_method(case, dtype):
    case = case.astype(dtype)
    found, booking = Doubled().propagate(case.layer, case.inputs, case.layer.forward(*case.inputs), case.relevance)
    expected = relevances(rules.Gamma(1), case)
    assert all(same((f,), (e,)) if dtype is object else same_bits(f, e) for f, e in zip(found, expected, strict=True))
    if dtype is object:
        assert (booking.rounding == 0).all()
