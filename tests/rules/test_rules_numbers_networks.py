"""Numbers that can be checked by hand, through small networks, layer by layer: in fractions, compared with ==."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import Array, fractions
from support.by_hand import F, apply, dense, everywhere, row, through

# ---- the network N1 --------------------------------------------------------------------------------------------------

N1 = (dense([[2, -1, 1], [-1, 1, 1]], [1, 0, -1]), dense([[1], [-2], [3]], ["1/2"]))
X12, X14 = row(1, 2), row(1, 4)

N1_UNIFORM = [
    (rules.Zero(), X12, (1, -2, 6), (7, 0)),
    (rules.Zero(), X14, (0, -6, 12), (5, 4)),
    (rules.Epsilon(F(1, 4)), X12, ("22/23", "-44/23", "132/23"), ("1936/345", "176/345")),
    (rules.Gamma(F(1, 4)), X12, ("55/59", "-88/59", "330/59"), ("6032/1239", "1900/1239")),
    (rules.ZPlus(), X12, ("11/14", 0, "33/7"), ("33/14", "22/7")),
    (rules.AlphaBeta(2, 1, bias="none"), X12, None, ("209/14", 0)),
    (rules.AlphaBeta(2, 1), X12, None, ("1199/90", "-11/15")),
    (rules.Gamma(F(1, 4)), X14, None, ("1846/539", "2470/539")),
    (rules.ZPlus(), X14, None, ("13/10", "26/5")),
    (rules.AlphaBeta(2, 1, bias="none"), X14, None, ("117/10", "39/5")),
    (rules.AlphaBeta(2, 1), X14, None, ("2873/250", "871/125")),
]


@pytest.mark.parametrize(
    ("rule", "x", "hidden", "expected"), N1_UNIFORM, ids=lambda v: str(v) if isinstance(v, rules.Rule) else ""
)
def test_one_rule_everywhere_on_n1(rule, x, hidden, expected):
    at_input, at_hidden = everywhere(N1, rule, x)
    assert (at_input == row(*expected)).all()
    assert hidden is None or (at_hidden == row(*hidden)).all()


@pytest.mark.parametrize(
    ("rule", "x", "hidden", "expected"), N1_UNIFORM, ids=lambda v: str(v) if isinstance(v, rules.Rule) else ""
)
def test_explain_gives_the_same_numbers(rule, x, hidden, expected):
    model = lrp_ref.Model.sequential([N1[0], L.ReLU(), N1[1]])
    e = lrp_ref.explain(model, x, target=0, rule=rule, backend="reference")
    assert (e.relevance == row(*expected)).all()


@pytest.mark.parametrize(
    ("x", "f", "gradient", "kept", "biases"), [(X12, "11/2", (7, 0), 7, "-3/2"), (X14, "13/2", (5, 1), 9, "-5/2")]
)
def test_lrp_0_everywhere_is_gradient_times_input_and_the_biases_keep_the_rest(x, f, gradient, kept, biases):
    """For any bias; f = Σ R + Σ b ∂f/∂z."""
    hidden = N1[0].forward(x)
    assert (N1[1].forward(np.maximum(hidden, F(0))) == row(f)).all()
    through_relu = np.where(hidden > 0, N1[1].weight.T, F(0))
    assert (through_relu @ N1[0].weight.T == row(*gradient)).all()
    at_input, at_hidden = everywhere(N1, rules.Zero(), x)
    assert (at_input == x * row(*gradient)).all()
    _, upper = apply(rules.Zero(), N1[1], np.maximum(hidden, F(0)), row(f))
    _, lower = apply(rules.Zero(), N1[0], x, at_hidden)
    assert upper.bias + lower.bias == [F(biases)]
    assert at_input.sum() == kept == F(f) - F(biases)


def test_without_the_bias_in_the_denominators_it_is_not_gradient_times_input():
    """The negative control."""
    bare = tuple(dense(layer.weight.tolist()) for layer in N1)
    hidden = np.maximum(N1[0].forward(X12), F(0))
    R, _ = apply(rules.Zero(), bare[1], hidden, row("11/2"))
    assert (row("11/10", "-11/5", "33/5") == R).all()
    assert (apply(rules.Zero(), bare[0], X12, R)[0] == row("22/5", 0)).all()


def test_epsilon_towards_0_is_gradient_times_input():
    near = everywhere(N1, rules.Epsilon(F(1, 10**12)), X14)[0]
    assert (abs(near - row(5, 4)) < F(1, 10**10)).all()


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (rules.WSquare(), ("165/59", "132/59")),
        (rules.ZBox(0, 3), ("308/177", "583/177")),
        (rules.Flat(), ("297/118", "297/118")),
    ],
    ids=str,
)
def test_a_composite_on_n1_whose_first_layer_conserves(first, expected):
    R = through(N1, [first, rules.Gamma(F(1, 4))], X12)[0]
    assert (row(*expected) == R).all()
    assert R.sum() == F(297, 59)


def test_z_plus_conserves_the_score_of_n1():
    assert everywhere(N1, rules.ZPlus(), X12)[0].sum() == F(11, 2)
    assert everywhere(N1, rules.Epsilon(F(1, 4)), X12)[0].sum() == F(704, 115)


# ---- equivalences ----------------------------------------------------------------------------------------------------


def test_z_plus_is_excitation_backprop():
    """The same shares of a top score of 1."""
    hidden = np.maximum(N1[0].forward(X12), F(0))
    P = row(1)
    for layer, a in ((N1[1], hidden), (N1[0], X12)):
        excitatory = a.T * np.maximum(layer.weight, F(0))
        P = (excitatory / excitatory.sum(axis=0) * P).sum(axis=1)[None]
    assert (through(N1, [rules.ZPlus()] * 2, X12, top=row(1))[0] == P).all()


# ---- the network that computes the maximum of two numbers ------------------------------------------------------------

MAX = (dense([[1, -1, 1], [-1, 1, 1]]), dense([["1/2"], ["1/2"], ["1/2"]]))


@pytest.mark.parametrize(
    ("rule", "x", "expected"),
    [
        (rules.ZPlus(), (2, 1), ("3/2", "1/2")),
        (rules.ZPlus(), (3, 1), ("5/2", "1/2")),
        (rules.ZPlus(), (1, 1), ("1/2", "1/2")),
        (rules.ZPlus(), (2, 0), (2, 0)),
        (rules.ZPlus(), (1, 3), ("1/2", "5/2")),
        (rules.Zero(), (2, 1), (2, 0)),
        (rules.Zero(), (3, 1), (3, 0)),
        (rules.Zero(), (2, 0), (2, 0)),
        (rules.Gamma(F(1, 4)), (2, 1), ("11/6", "1/6")),
        (rules.Gamma(F(1, 4)), (3, 1), ("63/22", "3/22")),
        (rules.Gamma(1), (2, 1), ("5/3", "1/3")),
        (rules.Gamma(1), (3, 1), ("27/10", "3/10")),
        (rules.AlphaBeta(2, 1), (2, 1), (6, 1)),
        (rules.AlphaBeta(2, 1), (3, 1), (10, 0)),
        (rules.AlphaBeta(2, 1, empty="renormalise"), (2, 1), (2, 0)),
        (rules.AlphaBeta(2, 1, empty="renormalise"), (3, 1), ("7/2", "-1/2")),
    ],
    ids=str,
)
def test_the_maximum_network(rule, x, expected):
    assert (everywhere(MAX, rule, row(*x))[0] == row(*expected)).all()


def test_relevance_of_the_hidden_layer_of_the_maximum_network():
    for x1, x2 in ((2, 1), (3, 1), (5, 2)):
        _, hidden = everywhere(MAX, rules.ZPlus(), row(x1, x2))
        assert (hidden == row(F(x1 - x2, 2), 0, F(x1 + x2, 2))).all()


def deep_taylor_of_max(x1: F, x2: F) -> Array:
    return everywhere(MAX, rules.ZPlus(), row(x1, x2))[0]


def test_deep_taylor_of_the_maximum_is_its_shapley_value_everywhere():
    """(x1 − x2/2, x2/2) for x1 ≥ x2, mirrored otherwise, ties included."""
    for x1 in range(5):
        for x2 in range(1, 5):
            high, low = F(max(x1, x2)), F(min(x1, x2))
            expected = (high - low / 2, low / 2)
            assert (deep_taylor_of_max(x1, x2) == row(*(expected if x1 >= x2 else expected[::-1]))).all()


def test_the_continuity_constant_of_deep_taylor_is_the_root_of_2():
    """max ‖ΔR‖₁/‖Δx‖₂ = √2, reached along (1, −1); squared, so that it is rational. Across the kink too."""
    points = [(F(i, 3), F(j, 2)) for i in range(5) for j in range(5)]
    found = [(p, q, deep_taylor_of_max(*p), deep_taylor_of_max(*q)) for p, q in pairwise(points + points[::-3] + points[::7])]
    ratios = [abs(R - S).sum() ** 2 / ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) for p, q, R, S in found if p != q]
    assert max(ratios) <= 2
    steepest = deep_taylor_of_max(F(2), F(1)) - deep_taylor_of_max(F(2) + F(1, 5), F(1) - F(1, 5))
    assert abs(steepest).sum() ** 2 / (2 * F(1, 5) ** 2) == 2


@pytest.mark.parametrize(("d", "factor"), [("1/10", 21), ("1/100", 201), ("1/1000", 2001)])
def test_gradient_times_input_of_the_maximum_jumps(d, factor):
    """From (1, 1 − d) to (1, 1 + d) relevance moves by 2 + d, however small d is."""
    d = F(d)
    one, two = (everywhere(MAX, rules.Zero(), row(1, 1 + s * d))[0] for s in (-1, 1))
    assert abs(one - two).sum() / d == factor == (2 + d) / d


def test_the_other_side_of_a_tie_turns_everything_over():
    """Ancona et al. 2019, Tab. 9.2: a small e decides who gets all."""
    e = F(1, 100)
    tiny = rules.Epsilon(F(1, 10**15))
    for rule in (rules.Zero(), tiny):
        for x, expected in (((2, 2 + e), (0, 2 + e)), ((2, 2 - e), (2, 0))):
            assert (abs(everywhere(MAX, rule, row(*x))[0] - row(*expected)) < F(1, 10**12)).all()
    for x, expected in (((2, 2 + e), [0, 2 + e]), ((2, 2 - e), [2, 0])):
        a = fractions([[[F(v) for v in x]]])
        pool = L.MaxPool(2)
        assert apply(rules.WinnerTakesAll(), pool, a, pool.forward(a))[0].reshape(-1).tolist() == expected


# ---- two networks of one function, and split neurons -----------------------------------------------------------------

DIFFERENCE = (dense([[1], [-1]]),)  # max(0, a1 − a2); the ReLU is the identity on what is explained
DETOUR = (dense([[1, 0], [9, 10]]), dense([[1], [-1]]))  # max(0, max(0, a1 + 9 a2) − max(0, 10 a2))


@pytest.mark.parametrize(
    ("a", "one", "hidden", "two"),
    [
        ((2, 1), ("5/3", "-2/3"), ("11/3", "-8/3"), ("2/3", "1/3")),
        ((3, 1), ("30/11", "-8/11"), (6, -4), ("3/2", "1/2")),
        ((1, "1/2"), ("5/6", "-1/3"), ("11/6", "-4/3"), ("1/3", "1/6")),
        ((1, 0), (1, 0), (1, 0), (1, 0)),
    ],
    ids=str,
)
def test_gamma_tells_two_implementations_of_one_function_apart(a, one, hidden, two):
    """Montavon 2019, Fig. 13.5: γ = 1/4, with the closed forms."""
    x, g = row(*a), F(1, 4)
    a1, a2 = x[0]
    assert (everywhere(DIFFERENCE, rules.Gamma(g), x)[0] == row(*one)).all()
    assert (row(*one) == row((1 + g) * a1, -a2) * (a1 - a2) / ((1 + g) * a1 - a2)).all()
    at_input, at_hidden = everywhere(DETOUR, rules.Gamma(g), x)
    assert (at_input == row(*two)).all()
    assert (at_hidden == row(*hidden)).all()
    assert (row(*two) == row(a1, a2) * (a1 - a2) / (a1 + a2)).all()
    for net in (DIFFERENCE, DETOUR):
        assert (everywhere(net, rules.Zero(), x)[0] == row(a1, -a2)).all(), "γ = 0 does not tell them apart"
        assert everywhere(net, rules.Gamma(g), x)[0].sum() == a1 - a2


def test_gamma_1_and_the_other_side_of_the_difference():
    assert (everywhere(DIFFERENCE, rules.Gamma(1), row(2, 1))[0] == row("4/3", "-1/3")).all()
    assert (everywhere(DETOUR, rules.Gamma(1), row(2, 1))[0] == row("1/3", "2/3")).all()
    for x in (row(1, 2), row(1, 1)):
        assert (through(DETOUR, [rules.Gamma(1)] * 2, x, top=row(0))[0] == row(0, 0)).all(), "no relevance above a silent ReLU"


def split(w: tuple[Any, Any], theta: Any) -> L.Dense:
    """Neuron 1 of two becomes two neurons of the same activation, with weights w + θ and −θ."""
    return dense([[w[0]], [F(w[1]) + F(theta)], [-F(theta)]])


@pytest.mark.parametrize(
    ("w", "R", "theta", "expected"),
    [
        ((3, 1), 4, 0, (1, 0)),
        ((3, 1), 4, 1, ("40/21", "-16/21")),
        ((3, 1), 4, 11, ("240/31", "-176/31")),
        ((3, 1), 4, 111, None),
        ((1, "-1/2"), "1/2", 0, None),
        ((1, "-1/2"), "1/2", 10, None),
    ],
    ids=str,
)
def test_gamma_notices_a_neuron_split_into_unlike_signs(w, R, theta, expected):
    """Montavon 2019, §13.3. In the second network the neuron with w = 1 is split, the other has −1/2."""
    sums = {0: 1, 1: F(8, 7), 11: F(64, 31), 111: F(464, 131)} if w == (3, 1) else {0: F(5, 6), 10: F(15, 26)}
    layer = split(w if w == (3, 1) else w[::-1], theta)
    a = row(1, 1, 1)
    assert (layer.forward(a) == row(R)).all(), "the prediction does not notice"
    found, _ = apply(rules.Gamma(F(1, 4)), layer, a, row(R))
    assert expected is None or found[0, 1:].tolist() == [F(v) for v in expected]
    assert found[0, 1:].sum() == sums[theta]
    lrp_0, _ = apply(rules.Zero(), layer, a, row(R))
    assert lrp_0[0, 1:].sum() == layer.weight[1:, 0].sum(), "LRP-0 does not notice either"


@pytest.mark.parametrize(("w", "R"), [((3, 1), 4), (("-1/2", 1), "1/2")])
def test_a_neuron_split_far_enough_takes_everything(w, R):
    found, _ = apply(rules.Gamma(F(1, 4)), split(w, 10**9), row(1, 1, 1), row(R))
    assert abs(found[0, 1:].sum() - F(R)) < F(1, 10**7)


# ---- continuity of one ReLU ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "d", "expected"),
    [
        (rules.Zero(), "1/10", (1, "-9/10")),
        (rules.Zero(), "1/100", (1, "-99/100")),
        (rules.Gamma(F(1, 4)), "1/10", ("5/14", "-9/35")),
        (rules.Gamma(F(1, 4)), "1/100", ("5/104", "-99/2600")),
        (rules.Epsilon(F(1, 4)), "1/10", ("2/7", "-9/35")),
        (rules.Epsilon(F(1, 4)), "1/100", ("1/26", "-99/2600")),
    ],
    ids=str,
)
def test_near_the_hinge_of_one_relu(rule, d, expected):
    """max(0, a1 − a2) at (1, 1 − d): LRP-0 jumps from size 1 to 0, γ and ε go to 0. Σ R is f, or f²/(f + ε)."""
    f = F(d)
    R = everywhere(DIFFERENCE, rule, row(1, 1 - f))[0]
    assert (row(*expected) == R).all()
    assert R.sum() == (f**2 / (f + F(1, 4)) if isinstance(rule, rules.Epsilon) else f)


# ---- shifting the input ----------------------------------------------------------------------------------------------

rng = np.random.default_rng(13)
MLP = tuple(
    L.Dense(fractions(rng.integers(-5, 6, shape)), fractions(rng.integers(-3, 4, shape[1]))) for shape in ((5, 7), (7, 1))
)
DATA = fractions(rng.integers(0, 9, (20, 5)))
X5 = DATA[:1]
CONSTANT, PATTERN = row(*[-1] * 5), row(1, -1, 1, -1, 1)


def bounds(data: Array) -> rules.ZBox:
    return rules.ZBox(min(data.flat), max(data.flat))


def pixels(data: Array) -> rules.ZBox:
    return rules.ZBox(data.min(axis=0), data.max(axis=0))


@pytest.mark.parametrize(
    ("rule", "constant", "pattern"),
    [
        (lambda _: rules.Zero(), False, False),
        (lambda _: rules.Epsilon(F(1, 4)), False, False),
        (lambda _: rules.Gamma(F(1, 4)), False, False),
        (lambda _: rules.GeneralizedGamma(F(1, 4)), False, False),
        (lambda _: rules.AlphaBeta(2, 1), False, False),
        (lambda _: rules.ZPlus(), False, False),
        (lambda _: rules.WSquare(), True, True),
        (lambda _: rules.Flat(), True, True),
        (bounds, True, False),
        (pixels, True, True),
    ],
    ids=["0", "ε", "γ", "γ±", "αβ", "z⁺", "w²", "flat", "zB of the data set", "zB per pixel"],
)
def test_which_first_layer_rules_see_a_shift_of_the_input_that_the_bias_undoes(rule, constant, pattern):
    """Kindermans et al. 2019: x' = x + m and b' = b − mᵀW give the same network; does R stay?"""
    before = through(MLP, [rule(DATA), rules.Zero()], X5)
    for shift, passes in ((CONSTANT, constant), (PATTERN, pattern)):
        moved = L.Dense(MLP[0].weight, MLP[0].bias - (shift @ MLP[0].weight)[0])
        assert (moved.forward(X5 + shift) == MLP[0].forward(X5)).all()
        after = through((moved, MLP[1]), [rule(DATA + shift), rules.Zero()], X5 + shift)
        assert (before[1] == after[1]).all(), "what arrives at the first layer is the same in both"
        assert (before[0] == after[0]).all() == passes


def test_relevance_through_single_neurons_adds_up():
    """Filtering (Montavon et al. 2018, §4.4): propagation is linear in R."""
    _, hidden = everywhere(N1, rules.Gamma(F(1, 4)), X12)
    each = [apply(rules.Gamma(F(1, 4)), N1[0], X12, hidden * row(*(k == m for k in range(3))))[0] for m in range(3)]
    assert (sum(each) == everywhere(N1, rules.Gamma(F(1, 4)), X12)[0]).all()
