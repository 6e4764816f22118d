"""Root points: the numbers of a worked neuron, and that each rule's messages are first-order terms at its root.

`lrp_ref.deep_taylor` knows a rule as a direction in which to look for a root, the oracle as a formula, the engine as
shares; three derivations of the same numbers.
"""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import lrp_ref
from lrp_ref import deep_taylor, oracle, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.deep_taylor import NO_ROOT, ROOTS, root_point, root_points
from lrp_ref.deep_taylor.lines import root_of
from lrp_ref.errors import (
    DomainError,
    ExactnessError,
    LrpError,
    NonFiniteError,
    NumberTypeError,
    ParameterError,
    RuleError,
    ShapeError,
)
from support.strategies import Case, cases, fewer, negatives, nonnegatives

F = Fraction

# ---- one neuron, by hand -----------------------------------------------------------------------------------------------

#: a = (2, 1), w = (3, −1), b = −1: z = 4; R = 12, so c = 3.
NEURON = L.Dense(fractions([[3], [-1]]), fractions([-1]))
ACTIVATIONS, RELEVANCE = fractions([[2, 1]]), fractions([[12]])

#: rule: t, root, root of the bias neuron, terms, bias term, zero-order term, z at the root, squared distance
WORKED: dict[str, tuple[rules.Rule, tuple[Any, ...]]] = {
    "LRP-0": (rules.Zero(), (1, (0, 0), 0, (18, -3), -3, 0, 0, 5)),
    "LRP-eps": (
        rules.Epsilon(1),
        (F(4, 5), (F(2, 5), F(1, 5)), F(1, 5), (F(72, 5), F(-12, 5)), F(-12, 5), F(12, 5), F(4, 5), F(16, 5)),
    ),
    "LRP-gamma": (
        rules.Gamma(F(1, 4)),
        (F(8, 11), (F(2, 11), F(3, 11)), F(3, 11), (F(180, 11), F(-24, 11)), F(-24, 11), 0, 0, F(464, 121)),
    ),
    "z+": (rules.ZPlus(), (F(2, 3), (F(2, 3), 1), 1, (12, 0), 0, 0, 0, F(16, 9))),
    "w2": (rules.WSquare(), (F(2, 5), (F(4, 5), F(7, 5)), 1, (F(54, 5), F(6, 5)), 0, 0, 0, F(8, 5))),
    "zB": (rules.ZBox(0, 3), (F(1, 2), (1, 2), 1, (9, 3), 0, 0, 0, 2)),
}


@pytest.mark.parametrize("name", WORKED)
def test_the_worked_neuron(name):
    """Root, terms and distance of each rule; z⁺ stands for α1β0 as well, b being negative (Montavon et al. 2018, §5.2)."""
    rule, (t, root, root_bias, terms, bias, zero_order, z_root, squared) = WORKED[name]
    found = root_point(NEURON, rule, ACTIVATIONS, RELEVANCE, 0)
    assert (found.z, found.relevance, found.c, found.b) == (4, 12, 3, -1)
    assert found.t == t
    assert (found.root == fractions(root)).all()
    assert found.root_bias == root_bias
    assert (found.terms == fractions(terms)).all()
    assert (found.bias, found.zero_order, found.z_root) == (bias, zero_order, z_root)
    assert found.squared_distance == squared
    assert found.exists
    assert found.in_domain
    assert found.active
    assert sum(found.terms) + found.bias + found.zero_order == 12
    numbers = [found.t, found.root_bias, found.zero_order, found.bias, *found.root, *found.terms]
    assert {type(number) for number in numbers} == {Fraction}


def test_the_distances_of_the_worked_neuron():
    """LRP-0 is the farthest from the activations; ε and γ reduce the distance (Montavon et al. 2019, §10.2.3)."""
    far = {name: root_point(NEURON, rule, ACTIVATIONS, RELEVANCE, 0).distance for name, (rule, _) in WORKED.items()}
    printed = {"LRP-0": 2.236, "LRP-eps": 1.789, "LRP-gamma": 1.958, "w2": 1.265, "z+": 1.333, "zB": 1.414}
    assert far == pytest.approx(printed, abs=5e-4)  # as printed, to three decimals
    assert max(far, key=far.__getitem__) == "LRP-0"


def test_a_positive_bias_drives_the_root_of_z_plus_off_its_segment():
    """w = a = b = 1: z = 2, t = 2, ã = −1; the chapter's condition b ≤ 0 is not there for nothing."""
    neuron, a, R = L.Dense(fractions([[1]]), fractions([1])), fractions([[1]]), fractions([[5]])
    found = root_point(neuron, rules.ZPlus(), a, R, 0)
    assert (found.t, found.root[0], found.z_root) == (2, -1, 0)
    assert found.exists
    assert not found.in_domain
    assert "OUTSIDE its domain" in repr(found)
    pooled = root_point(neuron, rules.AlphaBeta(1, 0), a, R, 0)
    assert (pooled.t, pooled.root[0], pooled.root_bias) == (1, 0, 0), "with the bias in the pool it moves too, and t ≤ 1"
    assert pooled.in_domain


def test_where_nothing_supports_a_neuron_there_is_no_root():
    """z > 0 through the bias alone: the line of z⁺ never meets the hinge, and nothing is handed on (CONV-ZPLUS-NO-BIAS)."""
    neuron = L.Dense(fractions([[-1], [0]]), fractions([3]))
    found = root_point(neuron, rules.ZPlus(), fractions([[1, 2]]), fractions([[6]]), 0)
    assert (found.t, found.zero_order, found.bias) == (0, 6, 0)
    assert (found.root == found.a).all()
    assert not found.terms.any()
    assert not found.exists
    assert not found.in_domain
    assert "no root" in repr(found)


def test_a_neuron_at_the_hinge():
    """CONV-ROOT-POINT: no slope c_k makes a relevance of 1 from an activation of 0."""
    neuron, a = L.Dense(fractions([[1], [-1]])), fractions([[2, 2]])
    with pytest.raises(DomainError, match=r"neuron \(0,\) has z_k = 0 and R_k = 1"):
        root_point(neuron, rules.ZPlus(), a, fractions([[1]]), 0)
    dead = root_point(neuron, rules.ZPlus(), a, fractions([[0]]), 0)
    assert (dead.c, dead.t) == (0, 0)
    assert dead.exists, "a lies on the hinge itself"
    assert not dead.active


def test_below_the_hinge_the_terms_are_those_without_the_relu():
    """CONV-ROOT-POINT: z = −2."""
    found = root_point(NEURON, rules.Epsilon(1), fractions([[0, 1]]), fractions([[6]]), 0)
    assert (found.z, found.c, found.active) == (-2, -3, False)
    assert (found.terms == fractions([0, 2])).all()
    assert (found.bias, found.zero_order) == (2, 2)
    assert "not active" in repr(found)
    uphill = root_point(NEURON, rules.ZPlus(), fractions([[F(1, 4), 1]]), fractions([[1]]), 0)
    assert (uphill.t, uphill.root[0], uphill.z_root) == (F(-5, 3), F(2, 3), 0)
    assert not uphill.in_domain, "ã ≥ 0, but on the other side of a: not on the segment (CONV-ROOT-DOMAIN)"


# ---- laws --------------------------------------------------------------------------------------------------------------

DYADIC = (L.Dense, L.Conv, L.Dense, L.ConvTranspose, L.SumPool, L.Scale, L.Upsample)
#: Of these two the weights are 1/n, which floats may not hold.
KINDS = (*DYADIC, L.AvgPool, L.Mean)
epsilons = st.sampled_from([F(1, 4), 1, F(1, 8), 0])
gammas = st.sampled_from([F(1, 4), 1, F(5, 2), 0])
alpha1s = st.sampled_from([rules.AlphaBeta(1, 0), rules.AlphaBeta(1, 0, bias="none")])
RULES: dict[type[rules.Rule], st.SearchStrategy[rules.Rule]] = {
    rules.Zero: st.just(rules.Zero()),
    rules.Epsilon: st.builds(rules.Epsilon, epsilons, st.booleans()),
    rules.Gamma: st.builds(rules.Gamma, gammas, st.sampled_from([0, F(1, 4)])),
    rules.GeneralizedGamma: st.builds(rules.GeneralizedGamma, gammas),
    rules.ZPlus: st.just(rules.ZPlus()),
    rules.AlphaBeta: alpha1s,
    rules.WSquare: st.just(rules.WSquare()),
    rules.ZBox: st.sampled_from([rules.ZBox(-4, 4), rules.ZBox(-3, 7)]),
}
each_rule = pytest.mark.parametrize("kind", list(ROOTS), ids=lambda kind: kind.__name__)


def small(case: Case) -> bool:
    return math.prod(case.shapes[0]) * math.prod(case.relevance.shape) <= 150


@st.composite
def expandable(draw: DrawFn, kind: type[rules.Rule], layers: Any = KINDS, **options: Any) -> tuple[Case, rules.Rule]:
    """A small rational case of one sample with a rule; no relevance where z = 0, for which nothing can be expanded."""
    case = draw(cases(*layers, batch=st.just(1), **options).filter(small)).astype(object)
    z = case.layer.forward(*case.inputs)
    return Case(case.layer, case.inputs, np.where(z == 0, Fraction(0), case.relevance)), draw(RULES[kind])


def test_the_laws_cover_every_rule_with_a_root():
    assert set(RULES) == set(ROOTS)


@each_rule
@fewer
@given(st.data())
def test_first_order_terms_are_the_messages(kind, data):
    case, rule = data.draw(expandable(kind))
    found = root_points(case.layer, rule, case.inputs[0], case.relevance)
    messages = oracle.messages(case.layer, rule, case.inputs, case.relevance)
    assert len(found) == len(messages.accounts)
    for k, (point, account) in enumerate(zip(found, messages.accounts, strict=True)):
        assert (point.terms.reshape(-1) == messages.matrices[0][:, k]).all()
        assert point.bias == account.bias
        assert point.zero_order == account.stabiliser + account.unassigned
        assert point.terms.sum() + point.bias + point.zero_order == point.relevance
    (R,) = rule.relevances(case.layer, case.inputs, case.layer.forward(*case.inputs), case.relevance)
    assert (found.relevances == R).all()
    assert found.relevances.shape == R.shape


@each_rule
@fewer
@given(st.data())
def test_the_expansion_is_that_of_the_relevance_model(kind, data):
    """R̂ = z c falls off linearly between a and ã, where it is 0 unless there is a stabiliser; z by the forward pass."""
    case, rule = data.draw(expandable(kind))
    for k, point in enumerate(root_points(case.layer, rule, case.inputs[0], case.relevance)):
        z = case.layer.forward(point.root[None]).reshape(-1)[k] + (point.root_bias - 1) * point.b
        assert point.z_root == z
        assert (point.root == point.a)[~point.feeds].all(), "what does not feed k does not move"
        if point.exists and not getattr(rule, "epsilon", 0):
            assert z == 0
        assert (point.terms == (point.a - point.root) * point.weight * point.c).all()
        assert point.bias == (1 - point.root_bias) * point.b * point.c
        assert point.relevance == point.z * point.c


@given(st.data())
def test_roots_of_relu_layers_stay_in_the_domain(data):
    """ã ≥ 0 for LRP-0, ε and γ on a ≥ 0 (Montavon et al. 2019, §10.2.3), also with the bias in the pool of α1β0."""
    kind = data.draw(st.sampled_from([rules.Zero, rules.Epsilon, rules.Gamma, rules.AlphaBeta]))
    case, rule = data.draw(expandable(kind, inputs=nonnegatives()))
    if rule == rules.AlphaBeta(1, 0, bias="none"):
        rule = rules.AlphaBeta(1, 0)
    for point in root_points(case.layer, rule, case.inputs[0], case.relevance):
        if point.active:
            assert point.in_domain
            assert (point.root >= 0).all()
            assert point.root_bias >= 0
            assert point.squared_distance <= (point.a**2).sum(), "LRP-0 has the largest distance"


@fewer
@given(expandable(rules.ZPlus, inputs=nonnegatives()))
def test_the_root_of_z_plus_is_in_the_domain_where_bias_and_inhibition_outweigh_nothing(drawn):
    """t ≤ 1 exactly where the end of the segment, without its support, is not active: always so for b ≤ 0."""
    case, rule = drawn
    for point in root_points(case.layer, rule, case.inputs[0], case.relevance):
        if not point.active:
            continue
        inhibited = sum((x for x in (point.a * point.weight).flat if x < 0), point.b)
        assert point.in_domain == (inhibited <= 0)
        if point.b <= 0:
            assert point.in_domain


@fewer
@given(expandable(rules.ZBox))
def test_the_root_of_the_box_is_in_it_where_its_corner_is_not_active(drawn):
    case, rule = drawn
    for point in root_points(case.layer, rule, case.inputs[0], case.relevance):
        if not point.active:
            continue
        lowest = sum((w * (rule.low if w > 0 else rule.high) for w in point.weight.flat), point.b)
        assert point.in_domain == (lowest <= 0)
        if point.in_domain:
            assert (point.root >= rule.low).all()
            assert (point.root <= rule.high).all()


@fewer
@given(expandable(rules.WSquare))
def test_the_root_of_w_square_is_the_nearest(drawn):
    """No root with the bias neuron fixed is nearer than that along the weights (Montavon et al. 2018, Tab. 2)."""
    case, rule = drawn
    nearest = root_points(case.layer, rule, case.inputs[0], case.relevance)
    for other in (rules.ZPlus(), rules.ZBox(-4, 4)):
        for point, near in zip(root_points(case.layer, other, case.inputs[0], case.relevance), nearest, strict=True):
            if point.exists and near.exists:
                assert near.squared_distance <= point.squared_distance


@fewer
@given(st.data())
def test_gamma_tends_to_alpha1_beta0_with_the_bias_in_the_pool(data):
    case, _ = data.draw(expandable(rules.AlphaBeta, inputs=nonnegatives()))
    bounded = [rules.AlphaBeta(1, 0), rules.Gamma(10**9)]
    limit, near = (root_points(case.layer, rule, case.inputs[0], case.relevance) for rule in bounded)
    for ideal, point in zip(limit, near, strict=True):
        if ideal.active:
            # Inputs and weights are 0 or between 1/4 and 3: 1e-4 is far above the order of the difference, 1e3/γ. An
            # input of weight 0 is moved by γ as by LRP-0, to no effect.
            assert (abs(point.root - ideal.root) < F(1, 10**4))[point.weight != 0].all()


@fewer
@given(expandable(rules.ZPlus, inputs=nonnegatives(), numbers=negatives() | nonnegatives()))
def test_deep_taylor_with_negative_biases_keeps_nothing_back(drawn):
    """Under b ≤ 0 the terms of z⁺ are all of R_k: the decomposition conserves (Montavon et al. 2018, §5.2)."""
    case, rule = drawn
    for point in root_points(case.layer, rule, case.inputs[0], case.relevance):
        if point.active and point.b <= 0:
            assert point.terms.sum() == point.relevance


# ---- floats ------------------------------------------------------------------------------------------------------------


@each_rule
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@fewer
@given(st.data())
def test_floats_agree_with_rationals(kind, dtype, data):
    """On dyadic data z, Σ d w and every product are exact; a division and a few roundings remain (CONV-FLOAT-DYADIC).

    The verdicts are the same: small dyadic numbers leave no root within rounding of its bound, unless it lies on it.
    """
    exact, rule = data.draw(expandable(kind, DYADIC))
    case = exact.astype(dtype)
    expected = root_points(exact.layer, rule, exact.inputs[0], exact.relevance)
    found = root_points(case.layer, rule, case.inputs[0], case.relevance)
    tolerance = 64 * float(np.finfo(dtype).eps)
    for point, ideal in zip(found, expected, strict=True):
        assert point.root.dtype == point.terms.dtype == dtype
        assert (point.exists, point.in_domain, point.active) == (ideal.exists, ideal.in_domain, ideal.active)
        size = float(abs(ideal.root).max() + abs(ideal.a).max())
        assert (abs(point.root.astype(float) - ideal.root.astype(float)) <= tolerance * size).all()
        far = abs(point.terms.astype(float) - ideal.terms.astype(float))
        assert (far <= tolerance * abs(ideal.terms.astype(float))).all()
        scale = float(abs(ideal.root * ideal.weight).sum() + abs(ideal.root_bias * ideal.b) + abs(ideal.z))
        assert abs(float(point.z_root) - float(ideal.z_root)) <= tolerance * scale


def test_a_relative_epsilon_is_that_of_all_upper_neurons():
    generator = np.random.default_rng(3)
    layer = L.Dense(generator.normal(size=(4, 3)), generator.normal(size=3))
    a, R = generator.normal(size=(1, 4)), generator.normal(size=(1, 3))
    for rule in (rules.Epsilon(rules.relative(0.25)), rules.Gamma(0.25, rules.relative(0.5))):
        (expected,) = rule.relevances(layer, (a,), layer.forward(a), R)
        found = root_points(layer, rule, a, R)
        np.testing.assert_allclose(found.relevances, expected, rtol=1e-12)
        one = root_point(layer, rule, a, R, 1)
        assert np.array_equal(one.terms, found[1].terms)
    with pytest.raises(ExactnessError, match="not rational"):
        root_point(layer.astype(object), rule, fractions(a), fractions(R), 1)


# ---- the records -------------------------------------------------------------------------------------------------------


def test_the_printed_table():
    found = repr(root_point(NEURON, rules.Gamma(F(1, 4)), ACTIVATIONS, RELEVANCE, 0))
    assert found.splitlines() == [
        "root point of neuron 0 of Dense(weight[2, 1], bias[1]) under Gamma(gamma=Fraction(1, 4), epsilon=0)",
        "z_k = 4,  R_k = 12,  c_k = 3,  t = 8/11",
        "",
        "j     a_j  w_jk  root ã_j  (a_j − ã_j) w_jk c_k",
        "-----------------------------------------------",
        "0       2     3      2/11                180/11",
        "1       1    -1      3/11                -24/11",
        "bias    1    -1      3/11                -24/11",
        "",
        "156/11 to the inputs + (-24/11) in the bias = 12 = R_k",
        "z(ã) = 0,  ‖ã − a‖ = 1.958,  inside its domain (ã ≥ 0)",
    ]


def test_inputs_of_weight_0():
    """CONV-ROOT-ZERO-WEIGHT: z⁺, w² and zᴮ leave them where they are, zᴮ also where 0 is outside of the box."""
    neuron, a, R = L.Dense(fractions([[1], [0]])), fractions([[2, 2]]), fractions([[4]])
    for rule, expected in (
        (rules.ZPlus(), [0, 2]),
        (rules.WSquare(), [0, 2]),
        (rules.ZBox(1, 3), [0, 2]),
        (rules.Zero(), [0, 0]),
        (rules.Gamma(1), [0, 0]),
    ):
        found = root_point(neuron, rule, a, R, 0)
        assert found.root.tolist() == expected
        assert found.terms.tolist() == [4, 0]
    assert not root_point(neuron, rules.ZBox(1, 3), a, R, 0).in_domain, "its corner, z = 1, is still active"
    assert root_point(neuron, rules.ZBox(1, 3), fractions([[1, 2]]), fractions([[1]]), 0).exists is False


def test_long_tables_are_cut_and_images_are_indexed():
    layer = L.Conv(np.ones((1, 2, 4, 4)))
    point = root_point(layer, rules.ZPlus(), np.ones((1, 2, 5, 5)), np.ones((1, 1, 2, 2)), (0, 1, 1))
    assert point.neuron == (0, 1, 1)
    lines = repr(point).splitlines()
    assert "neuron (0, 1, 1)" in lines[0]
    assert lines[5].startswith("(0, 1, 1)"), "what does not feed the neuron is not listed"
    assert "… 12 more" in repr(point)
    assert point.terms.shape == point.root.shape == (2, 5, 5)
    assert (point.root[:, 0] == 1).all(), "nor moved"


def test_all_neurons_at_once():
    layer, a = L.Dense(fractions([[1, -2], [2, 1]]), fractions([0, 1])), fractions([[1, 2]])
    points = root_points(layer, rules.ZPlus(), a, fractions([[10, 1]]))
    assert len(points) == 2
    assert points[-1].neuron == points[1].neuron == (1,)
    assert points.in_domain.tolist() == [[True, True]]
    assert points.active.tolist() == [[True, True]]
    shown = "root points of Dense(weight[2, 2], bias[2]) under ZPlus(): {} active neurons have theirs in its domain"
    assert repr(points) == shown.format("2 of 2")
    assert (points.relevances == fractions([[2, 9]])).all()
    silent = root_points(layer, rules.ZPlus(), fractions([[2, 1]]), fractions([[10, 0]]))
    assert silent.active.tolist() == [[True, False]]
    assert repr(silent) == shown.format("1 of 1")


def test_records_are_read_only_and_pickle():
    point = root_point(NEURON, rules.ZPlus(), ACTIVATIONS, RELEVANCE, 0)
    pickled = pickle.loads(pickle.dumps(point))  # noqa: S301 (our own bytes)
    for same in (pickled, copy.deepcopy(point), point):
        assert (same.terms == point.terms).all()
        for array in (same.a, same.weight, same.root, same.terms, same.feeds):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


# ---- refusals ----------------------------------------------------------------------------------------------------------


def test_every_rule_has_a_root_or_is_refused():
    exported = [getattr(rules, name) for name in rules.__all__ if name[0].isupper()]
    made = [kind() for kind in exported if issubclass(kind, rules.Rule) and not inspect.isabstract(kind)]
    for rule in made:
        if type(rule) not in ROOTS:
            with pytest.raises(RuleError, match="no root point"):
                root_of(rule)
    assert not set(ROOTS) & set(NO_ROOT)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (rules.Flat(), "inputs of weight 0"),
        (rules.AlphaBeta(2, 1), "α = 1, β = 0 alone"),
        (rules.AlphaBeta(1, 0, empty="renormalise"), "gives the relevance of an empty pool"),
        (rules.WinnerTakesAll(), "a maximum is no ReLU"),
        (rules.Proportional(), "a maximum is no ReLU"),
        (rules.AverageSurrogate(), "SumPool of the same windows"),
        (rules.HalfProduct(), "a product is no ReLU"),
        (rules.SignalTakesAll(), "a product is no ReLU"),
        (rules.Pass(), "without a weighted sum"),
        (rules.ThroughTime(), "many sums and products"),
    ],
    ids=str,
)
def test_rules_without_a_root_say_why(rule, why):
    with pytest.raises(RuleError, match=rf"has no root point: .*{why}"):
        root_point(NEURON, rule, ACTIVATIONS, RELEVANCE, 0)


class Own(rules.Zero):
    """A rule of the user's."""


NAN = np.array([[np.nan, 1.0]])


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (RuleError, "no root point is known for Own", {"rule": Own()}),
        (RuleError, "serves linear layers, not ReLU", {"layer": L.ReLU()}),
        (RuleError, "layers of one input, Subtract has 2", {"layer": L.Subtract()}),
        (DomainError, r"give ZBox\(low, high\)", {"rule": rules.ZBox()}),
        (DomainError, "leave the bounds", {"rule": rules.ZBox(0, 1)}),
        (ShapeError, "one sample", {"a": fractions([[2, 1], [2, 1]])}),
        (ShapeError, "batch axis is required", {"a": fractions([2, 1])}),
        (ShapeError, "expected 2 features", {"a": fractions([[2, 1, 1]])}),
        (ShapeError, "no neurons", {"layer": L.Dense(np.zeros((2, 0)))}),
        (ShapeError, "shape of the layer's output", {"relevance": fractions([12])}),
        (NumberTypeError, "found an array of int", {"a": np.array([[2, 1]])}),
        (NonFiniteError, "a has 1 value", {"a": NAN}),
        (NonFiniteError, "relevance has 1 value", {"a": np.array([[2.0, 1.0]]), "relevance": np.array([[np.inf]])}),
        (ParameterError, r"neuron \(1,\) does not exist", {"k": 1}),
        (ParameterError, r"neuron \(0, 0\) does not exist", {"k": (0, 0)}),
        (ParameterError, "must be an int or a tuple", {"k": 0.5}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_arguments(error, message, arguments):
    given_ = {"layer": NEURON, "rule": rules.ZPlus(), "a": ACTIVATIONS, "relevance": RELEVANCE, "k": 0} | arguments
    with pytest.raises(error, match=message) as caught:
        root_point(**given_)
    assert isinstance(caught.value, LrpError)


# ---- a network of deep Taylor decompositions ----------------------------------------------------------------------------


@fewer
@given(st.data())
def test_the_preset_is_the_iterated_expansion(data):
    """Expanding layer by layer from the output down gives the explanation of the `deep_taylor` preset."""
    dense = cases(L.Dense, batch=st.just(1), numbers=negatives() | nonnegatives(), inputs=nonnegatives())
    case = data.draw(dense.filter(lambda c: c.inputs[0].ndim == 2)).astype(object)
    upper = data.draw(st.integers(0, 2**16).map(np.random.default_rng))
    weights = fractions(upper.integers(-3, 4, size=(case.layer.weight.shape[1], 2)))
    second = L.Dense(weights, fractions([-1, 0]))
    hidden = L.ReLU().forward(case.layer.forward(*case.inputs))
    scores = second.forward(hidden)
    assume(scores.max() > 0)
    model = lrp_ref.Model.sequential([case.layer, L.ReLU(), second])
    low, high = -F(1, 2), F(7, 2)
    e = lrp_ref.explain(model, case.inputs[0], composite=lrp_ref.composites.deep_taylor(low, high), keep="all")
    start = np.where(np.arange(2) == e.target[0], scores, Fraction(0))
    middle = deep_taylor.root_points(second, rules.ZPlus(), hidden, start).relevances
    assert (e.at("relu1") == middle).all()
    z = case.layer.forward(*case.inputs)
    assert not middle[z <= 0].any(), "an inactive neuron has no relevance"
    lower = deep_taylor.root_points(case.layer, rules.ZBox(low, high), case.inputs[0], middle)
    assert (e.relevance == lower.relevances).all()
