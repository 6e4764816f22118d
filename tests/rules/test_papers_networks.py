"""The papers' small networks through the front door: `Model.sequential`, `explain`, presets, domains, ledgers.

Every number is asked for in rationals, where it must be equal, and in floats from every backend. In floats these networks
round a few dozen times, and no denominator is less than a tenth of the terms it adds up: 1e-13 and 1e-5 of the largest
number at hand leave a factor of ten to both number types' units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, fractions
from lrp_ref.errors import DomainError, TargetError

F = Fraction
QUARTER = F(1, 4)


def dense(weight: Sequence[Any], bias: Sequence[Any] | None = None) -> L.Dense:
    """A layer of rationals; entries may be strings."""
    table = [[F(w) for w in row] for row in weight]
    return L.Dense(fractions(table), None if bias is None else fractions([F(b) for b in bias]))


@dataclass(frozen=True)
class Front:
    """One way to ask: a number type and a backend."""

    dtype: Any
    backend: str

    def array(self, rows: Any) -> Array:
        exact = fractions([[F(v) for v in row] for row in rows])
        return exact if self.dtype is object else exact.astype(float).astype(self.dtype)

    def model(self, *layers: L.Layer, **options: Any) -> lrp_ref.Model:
        return lrp_ref.Model.sequential(layers, **options).astype(self.dtype)

    def explain(self, model: lrp_ref.Model, *x: Any, **options: Any) -> lrp_ref.Explanation:
        """Explain the rows x, with everything kept and booked; the first output unless another is asked for."""
        options = {"keep": "all", "ledger": True, "target": 0} | options
        e = lrp_ref.explain(model, self.array(x), backend=self.backend, **options)
        assert e.precision == ("exact" if self.dtype is object else np.dtype(self.dtype).name)
        assert e.backend == ("reference" if self.dtype is object else self.backend)
        return e

    def agrees(self, found: Array, *expected: Any) -> bool:
        """Whether the rows `found` are those expected."""
        wanted = fractions([[F(v) for v in row] for row in expected])
        assert found.shape == wanted.shape
        assert found.dtype == self.dtype
        if self.dtype is object:
            return bool((found == wanted).all())
        tolerance = 1e-13 if self.dtype is np.float64 else 1e-5
        return bool((abs(found - wanted.astype(float)) <= tolerance * max(abs(wanted.astype(float)).max(), 1)).all())


FRONTS = [Front(dtype, backend) for dtype in (object, np.float64, np.float32) for backend in lrp_ref.BACKENDS]
each_front = pytest.mark.parametrize("front", FRONTS, ids=lambda f: f"{np.dtype(f.dtype).name}-{f.backend}")
EXACT = FRONTS[0]

# ---- a network with biases --------------------------------------------------------------------------------------------------

N1 = (dense([[2, -1, 1], [-1, 1, 1]], [1, 0, -1]), L.ReLU(), dense([[1], [-2], [3]], ["1/2"]))

#: rule, x, relevance of the hidden layer where the table gives it, relevance of the input
N1_UNIFORM: list[tuple[rules.LinearRule, Any, Any, Any]] = [
    (rules.Zero(), (1, 2), (1, -2, 6), (7, 0)),
    (rules.Zero(), (1, 4), (0, -6, 12), (5, 4)),
    (rules.Epsilon(QUARTER), (1, 2), ("22/23", "-44/23", "132/23"), ("1936/345", "176/345")),
    (rules.Epsilon(QUARTER, signed=False), (1, 2), ("22/23", "-44/23", "132/23"), ("1936/345", "176/345")),
    (rules.Gamma(QUARTER), (1, 2), ("55/59", "-88/59", "330/59"), ("6032/1239", "1900/1239")),
    (rules.GeneralizedGamma(QUARTER), (1, 2), ("55/59", "-88/59", "330/59"), ("6032/1239", "1900/1239")),
    (rules.Gamma(QUARTER), (1, 4), None, ("1846/539", "2470/539")),
    (rules.ZPlus(), (1, 2), ("11/14", 0, "33/7"), ("33/14", "22/7")),
    (rules.AlphaBeta(1, 0, bias="none"), (1, 2), ("11/14", 0, "33/7"), ("33/14", "22/7")),
    (rules.ZPlus(), (1, 4), None, ("13/10", "26/5")),
    (rules.AlphaBeta(2, 1, bias="none"), (1, 2), None, ("209/14", 0)),
    (rules.AlphaBeta(2, 1), (1, 2), None, ("1199/90", "-11/15")),
    (rules.AlphaBeta(2, 1, bias="none"), (1, 4), None, ("117/10", "39/5")),
    (rules.AlphaBeta(2, 1), (1, 4), None, ("2873/250", "871/125")),
]


@each_front
@pytest.mark.parametrize(("rule", "x", "hidden", "expected"), N1_UNIFORM, ids=str)
def test_one_rule_everywhere(front, rule, x, hidden, expected):
    model = front.model(*N1)
    e = front.explain(model, x, rule=rule)
    assert front.agrees(e.relevance, expected)
    assert hidden is None or front.agrees(e.at("relu1"), hidden)
    assert e.value[0] == e.prediction[0, 0] == model(front.array([x]))[0, 0]
    assert np.array_equal(e.at("input"), e.relevance)


@each_front
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (rules.WSquare(), ("165/59", "132/59")),
        (rules.ZBox(0, 3), ("308/177", "583/177")),
        (rules.ZBox(), ("308/177", "583/177")),
        (rules.Flat(), ("297/118", "297/118")),
    ],
    ids=str,
)
def test_another_rule_in_the_first_layer(front, first, expected):
    """γ above; the first layer's rule conserves the 297/59 that arrive. ZBox() takes its bounds from the model."""
    model = front.model(*N1, domain=(0, 3))
    composite = composites.uniform(rules.Gamma(QUARTER)).with_rules({composites.First(): first})
    e = front.explain(model, (1, 2), composite=composite)
    assert front.agrees(e.relevance, expected)
    assert front.agrees(e.total[None], [F(297, 59)])
    assert front.agrees(e.at("relu1").sum(axis=1)[None], [F(297, 59)])


@each_front
@pytest.mark.parametrize(
    ("x", "f", "gradient", "kept", "biases"),
    [((1, 2), "11/2", (7, 0), 7, "-3/2"), ((1, 4), "13/2", (5, 1), 9, "-5/2")],
    ids=str,
)
def test_lrp_0_is_gradient_times_input_and_the_ledger_holds_the_biases(front, x, f, gradient, kept, biases):
    """Σ R + Σ b ∂f/∂z = f, bias by bias: Montavon 2019, Eq. 13.3, whose residual need not be small or positive."""
    e = front.explain(front.model(*N1), x, rule=rules.Zero())
    assert front.agrees(e.relevance, [F(v) * g for v, g in zip(x, gradient, strict=True)])
    assert front.agrees(e.value[None], [f])
    assert front.agrees(e.total[None], [kept])
    assert front.agrees(e.residual[None], [biases])
    assert e.ledger is not None
    booked = e.ledger["dense1"].bias + e.ledger["dense2"].bias
    assert float(booked[0]) == pytest.approx(float(F(biases)), rel=1e-6)
    assert not e.ledger.stabiliser.any()
    assert not e.ledger.unassigned.any()


@pytest.mark.parametrize(("rule", "total"), [(rules.Epsilon(QUARTER), "704/115"), (rules.ZPlus(), "11/2")], ids=str)
def test_what_arrives_at_the_input_of_the_network(rule, total):
    """z⁺ hands all of f = 11/2 down, ε neither its own share nor the biases'."""
    e = EXACT.explain(EXACT.model(*N1), (1, 2), rule=rule)
    assert e.total.tolist() == [F(total)]
    assert e.ledger is not None
    assert (e.ledger.bias + e.ledger.stabiliser + e.ledger.unassigned == e.residual).all()
    assert not e.ledger.rounding.any()


class WithoutBias(rules.LinearRule):
    """LRP-0 without the bias in its denominators: a user's own rule, and the negative control."""

    def shares(self, weight: Array, bias: Array | None) -> tuple[Any, ...]:
        from lrp_ref.rules.terms import IDENTITY, Share, Term

        return (Share(1, (Term(IDENTITY, weight),)),)


@each_front
def test_without_the_bias_in_the_denominators_it_is_not_gradient_times_input(front):
    e = front.explain(front.model(*N1), (1, 2), rule=WithoutBias())
    assert front.agrees(e.at("relu1"), ("11/10", "-11/5", "33/5"))
    assert front.agrees(e.relevance, ("22/5", 0))


def test_epsilon_towards_0_and_gamma_of_0_are_lrp_0():
    model = EXACT.model(*N1)
    zero = EXACT.explain(model, (1, 2), (1, 4), rule=rules.Zero()).relevance
    for rule in (rules.Gamma(0), rules.GeneralizedGamma(0), rules.Epsilon(0)):
        assert (EXACT.explain(model, (1, 2), (1, 4), rule=rule).relevance == zero).all()
    near = EXACT.explain(model, (1, 2), (1, 4), rule=rules.Epsilon(F(1, 10**12))).relevance
    assert (abs(near - zero) < F(1, 10**10)).all(), "of the order of ε times what ∂R/∂ε is here"


# ---- the network that computes a maximum ------------------------------------------------------------------------------------

MAX = (dense([[1, -1, 1], [-1, 1, 1]]), L.ReLU(), dense([["1/2"], ["1/2"], ["1/2"]]), L.ReLU())


@each_front
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
        (rules.Gamma(QUARTER), (2, 1), ("11/6", "1/6")),
        (rules.Gamma(QUARTER), (3, 1), ("63/22", "3/22")),
        (rules.Gamma(1), (2, 1), ("5/3", "1/3")),
        (rules.Gamma(1), (3, 1), ("27/10", "3/10")),
        (rules.AlphaBeta(2, 1), (2, 1), (6, 1)),
        (rules.AlphaBeta(2, 1), (3, 1), (10, 0)),
        (rules.AlphaBeta(2, 1, empty="renormalise"), (2, 1), (2, 0)),
        (rules.AlphaBeta(2, 1, empty="renormalise"), (3, 1), ("7/2", "-1/2")),
    ],
    ids=str,
)
def test_the_maximum_network(front, rule, x, expected):
    """max(x1, x2) on positive numbers (Montavon et al. 2018, Fig. 6)."""
    e = front.explain(front.model(*MAX), x, rule=rule)
    assert front.agrees(e.relevance, expected)
    assert front.agrees(e.prediction, [max(x)])
    if rule == rules.ZPlus():
        x1, x2 = x
        assert front.agrees(e.at("relu1"), (max(F(x1 - x2, 2), 0), max(F(x2 - x1, 2), 0), F(x1 + x2, 2)))


def test_the_ledger_shows_what_alpha2_beta1_doubles():
    """With no negative contributions in a layer α = 2 hands twice the relevance down (CONV-EMPTY-POOL)."""
    e = EXACT.explain(EXACT.model(*MAX), (2, 1), rule=rules.AlphaBeta(2, 1))
    assert (e.value[0], e.total[0], e.residual[0]) == (2, 7, -5)
    assert e.ledger is not None
    assert e.ledger.unassigned.tolist() == [-5]
    assert e.ledger["dense2"].unassigned.tolist() == [-2]


positive = st.builds(F, st.integers(0, 40), st.integers(1, 8))
points = st.tuples(positive, positive).filter(lambda x: any(x))


def deep_taylor_of_max(*x: Any) -> Array:
    return EXACT.explain(EXACT.model(*MAX), *x, rule=rules.ZPlus(), ledger=False, keep="input").relevance


@given(st.lists(points, min_size=2, max_size=8, unique=True))
def test_deep_taylor_of_the_maximum_is_its_shapley_value(x):
    """(x1 − x2/2, x2/2) for x1 ≥ x2, mirrored otherwise, ties included; and it conserves."""
    for (x1, x2), R in zip(x, deep_taylor_of_max(*x), strict=True):
        expected = [x1 - x2 / 2, x2 / 2] if x1 >= x2 else [x1 / 2, x2 - x1 / 2]
        assert R.tolist() == expected


@given(st.lists(points, min_size=2, max_size=8, unique=True))
def test_deep_taylor_of_the_maximum_is_continuous_with_constant_root_2(x):
    """‖ΔR‖₁ ≤ √2 ‖Δx‖₂ for any two points, on one side of the kink or across it (Montavon et al. 2018, §7.1)."""
    R = deep_taylor_of_max(*x)
    for i in range(len(x)):
        for j in range(i):
            moved = (x[i][0] - x[j][0]) ** 2 + (x[i][1] - x[j][1]) ** 2
            assert abs(R[i] - R[j]).sum() ** 2 <= 2 * moved


def test_the_constant_is_reached():
    R = deep_taylor_of_max((3, 1), (4, 0))
    assert abs(R[0] - R[1]).sum() ** 2 == 4 == 2 * (1**2 + 1**2)


@each_front
@pytest.mark.parametrize("d", ["1/8", "1/128", "1/1024"])
def test_gradient_times_input_of_the_maximum_jumps(front, d):
    """Between (1, 1 + d) and (1, 1 − d) relevance moves by 2 + d, whatever d: by (2 + d)/(2d) of the way, unbounded."""
    e = front.explain(front.model(*MAX), (1, 1 + F(d)), (1, 1 - F(d)), rule=rules.Zero())
    assert front.agrees(e.relevance, (0, 1 + F(d)), (1, 0))


@each_front
def test_who_is_larger_by_a_hair_gets_everything(front):
    """Ancona et al. 2019, Tab. 9.2, for the ReLU network and for a maximum as a primitive with its winner."""
    e = F(1, 256)
    primitive = (L.Reshape((1, 2)), L.MaxPool(2), L.Flatten(), dense([[1]]))
    for layers in (MAX, primitive):
        for rule in (rules.Zero(), rules.Epsilon(F(1, 2**100))):
            # In floats 2**-100 is lost beside 2.
            found = front.explain(front.model(*layers), (2, 2 + e), (2, 2 - e), rule=rule, ledger=False)
            if front.dtype is object and rule != rules.Zero():
                assert (abs(found.relevance - EXACT.array([(0, 2 + e), (2, 0)])) < F(1, 2**90)).all()
            else:
                assert front.agrees(found.relevance, (0, 2 + e), (2, 0))


@each_front
def test_the_deep_taylor_preset_on_the_maximum(front):
    """z⁺ above and zᴮ in the first layer, from the model's domain; with a box at 0 it is z⁺ where all weights are positive."""
    model = front.model(*MAX, domain=(0, 4))
    e = front.explain(model, (2, 1), composite="deep_taylor")
    # By hand: 1/2 and 3/2 arrive at z1 = x1 − x2 and z3 = x1 + x2; z1's terms are 2·1 and (1 − 4)·(−1), z3's 2 and 1.
    assert front.agrees(e.relevance, (F(1, 2) * F(2, 5) + 1, F(1, 2) * F(3, 5) + F(1, 2)))
    assert front.agrees(e.total[None], [2])
    free = front.explain(front.model(*MAX), (2, 1), composite="deep_taylor")
    assert front.agrees(free.relevance, (1, 1)), "without a domain w²: its shares are halves"
    with pytest.raises(DomainError, match="leave the bounds"):
        front.explain(model, (5, 1), composite="deep_taylor")


# ---- two networks of one function, and split neurons --------------------------------------------------------------------------

DIFFERENCE = (dense([[1], [-1]]), L.ReLU())  # max(0, a1 − a2)
DETOUR = (dense([[1, 0], [9, 10]]), L.ReLU(), dense([[1], [-1]]), L.ReLU())  # max(0, max(0, a1 + 9 a2) − max(0, 10 a2))


@each_front
@pytest.mark.parametrize(
    ("g", "a", "one", "hidden", "two"),
    [
        (QUARTER, (2, 1), ("5/3", "-2/3"), ("11/3", "-8/3"), ("2/3", "1/3")),
        (QUARTER, (3, 1), ("30/11", "-8/11"), (6, -4), ("3/2", "1/2")),
        (QUARTER, (1, "1/2"), ("5/6", "-1/3"), ("11/6", "-4/3"), ("1/3", "1/6")),
        (QUARTER, (1, 0), (1, 0), (1, 0), (1, 0)),
        (1, (2, 1), ("4/3", "-1/3"), None, ("1/3", "2/3")),
        (0, (2, 1), (2, -1), (11, -10), (2, -1)),
        (QUARTER, (1, 2), (0, 0), (0, 0), (0, 0)),
        (QUARTER, (1, 1), (0, 0), (0, 0), (0, 0)),
    ],
    ids=str,
)
def test_gamma_tells_two_implementations_of_one_function_apart(front, g, a, one, hidden, two):
    """Montavon 2019, Fig. 13.5. Nothing is explained where the function is 0; the sums are those of the function."""
    short = front.explain(front.model(*DIFFERENCE), a, rule=rules.Gamma(g))
    long = front.explain(front.model(*DETOUR), a, rule=rules.Gamma(g))
    assert front.agrees(short.relevance, one)
    assert front.agrees(long.relevance, two)
    assert hidden is None or front.agrees(long.at("relu1"), hidden)
    f = max(F(a[0]) - F(a[1]), 0)
    for e in (short, long):
        assert front.agrees(e.prediction, [f])
        assert front.agrees(e.total[None], [f])


@pytest.mark.parametrize("g", [F(1, 10), QUARTER, F(7, 2)])
@given(x=points)
def test_the_closed_forms_of_the_two_implementations(g, x):
    a1, a2 = max(x), min(x)
    if a1 == a2:
        return
    short = EXACT.explain(EXACT.model(*DIFFERENCE), (a1, a2), rule=rules.Gamma(g), ledger=False)
    bottom = (1 + g) * a1 - a2
    assert short.relevance.tolist() == [[(1 + g) * a1 * (a1 - a2) / bottom, -a2 * (a1 - a2) / bottom]]
    if g == QUARTER:
        long = EXACT.explain(EXACT.model(*DETOUR), (a1, a2), rule=rules.Gamma(g))
        scale = (a1 - a2) / (a1 + a2)
        assert long.relevance.tolist() == [[a1 * scale, a2 * scale]]
        assert long.at("relu1").tolist() == [[(a1 + 9 * a2) * scale, -8 * a2 * scale]]


@pytest.mark.parametrize(
    ("w", "theta", "total"),
    [((1, 3), 0, 1), ((1, 3), 1, "8/7"), ((1, 3), 11, "64/31"), ((1, 3), 111, "464/131"), ((1, "-1/2"), 10, "15/26")],
    ids=str,
)
def test_splitting_a_neuron_changes_no_prediction_but_gamma(w, theta, total):
    """Montavon 2019, §13.3.3: neuron s becomes two copies with the weights w + θ and −θ."""
    whole = EXACT.model(dense([[1, 0], [0, 1]]), L.ReLU(), dense([[w[0]], [w[1]]]))
    halves = EXACT.model(dense([[1, 1, 0], [0, 0, 1]]), L.ReLU(), dense([[w[0] + theta], [-theta], [w[1]]]))
    before, after = (EXACT.explain(m, (1, 1), rule=rules.Gamma(QUARTER)) for m in (whole, halves))
    assert after.prediction.tolist() == before.prediction.tolist() == [[F(w[0]) + F(w[1])]]
    assert after.relevance[0, 0] == after.at("relu1")[0, :2].sum() == F(total)
    assert (after.relevance[0, 0] == before.relevance[0, 0]) == (theta == 0)
    unmoved = [EXACT.explain(m, (1, 1), rule=rules.Zero()).relevance.tolist() for m in (whole, halves)]
    assert unmoved[0] == unmoved[1], "gradient × input does not notice"


# ---- one ReLU near its hinge ---------------------------------------------------------------------------------------------------


@each_front
@pytest.mark.parametrize(
    ("rule", "d", "expected"),
    [
        (rules.Zero(), "1/10", (1, "-9/10")),
        (rules.Zero(), "1/100", (1, "-99/100")),
        (rules.Gamma(QUARTER), "1/10", ("5/14", "-9/35")),
        (rules.Gamma(QUARTER), "1/100", ("5/104", "-99/2600")),
        (rules.Epsilon(QUARTER), "1/10", ("2/7", "-9/35")),
        (rules.Epsilon(QUARTER), "1/100", ("1/26", "-99/2600")),
    ],
    ids=str,
)
def test_near_the_hinge(front, rule, d, expected):
    """At (1, 1 − d) LRP-0 keeps a size of nearly 2 down to d = 0 and is (0, 0) beyond; γ and ε go to 0 with d."""
    f = F(d)
    e = front.explain(front.model(*DIFFERENCE), (1, 1 - f), (1, 1), (1, 1 + f), rule=rule)
    # 1 − (1 − d) cancels: the relative error of z is that of 1/d.
    if front.dtype is np.float32:
        np.testing.assert_allclose(e.relevance[0], [float(F(v)) for v in expected], rtol=2 * 2**-24 * 100)
    else:
        assert front.agrees(e.relevance[:1], expected)
        total = f**2 / (f + QUARTER) if isinstance(rule, rules.Epsilon) else f
        assert front.agrees(e.total[None, :1], [total])
    assert not e.relevance[1:].any()


def test_a_conserving_explanation_can_be_one_of_nothing():
    """R = (20, −19) conserves f = 1; the ledger's absolute sum of 39 tells (Montavon 2019, Eq. 13.4)."""
    e = EXACT.explain(EXACT.model(dense([[20], [-19]])), (1, 1), rule=rules.Zero())
    assert (e.value[0], e.total[0]) == (1, 1)
    assert e.ledger is not None
    assert e.ledger["dense1"].inputs_abs.tolist() == [39]
    assert e.ledger["dense1"].arriving_abs.tolist() == [1]


# ---- shifting the input -----------------------------------------------------------------------------------------------

draw = np.random.default_rng(14)
MLP = (
    L.Dense(fractions(draw.integers(-5, 6, (5, 7))), fractions(draw.integers(-3, 4, 7))),
    L.ReLU(),
    L.Dense(fractions(draw.integers(-5, 6, (7, 1))), fractions(draw.integers(-3, 4, 1))),
)
DATA = fractions(draw.integers(0, 9, (20, 5)))
SHIFTS = {"constant": fractions([-1] * 5), "pattern": fractions([1, -1, 1, -1, 1])}

Bounds = Callable[[Array], tuple[Any, Any]]


def of_the_data_set(data: Array) -> tuple[Any, Any]:
    return min(data.flat), max(data.flat)


def of_each_pixel(data: Array) -> tuple[Any, Any]:
    return data.min(axis=0), data.max(axis=0)


#: first-layer rule, bounds from the data, whether explanations survive a constant shift and a pattern
SHIFTED: list[tuple[rules.LinearRule, Bounds | None, bool, bool]] = [
    (rules.Zero(), None, False, False),
    (rules.Epsilon(QUARTER), None, False, False),
    (rules.Gamma(QUARTER), None, False, False),
    (rules.GeneralizedGamma(QUARTER), None, False, False),
    (rules.AlphaBeta(2, 1), None, False, False),
    (rules.AlphaBeta(1, 0), None, False, False),
    (rules.ZPlus(), None, False, False),
    (rules.WSquare(), None, True, True),
    (rules.Flat(), None, True, True),
    (rules.ZBox(), of_the_data_set, True, False),
    (rules.ZBox(), of_each_pixel, True, True),
]


@pytest.mark.parametrize("above", [rules.Zero(), rules.ZPlus(), rules.Epsilon(QUARTER), rules.Gamma(QUARTER)], ids=str)
@pytest.mark.parametrize(("first", "bounds", "constant", "pattern"), SHIFTED, ids=lambda v: getattr(v, "__name__", str(v)))
def test_which_first_layer_rules_see_a_shift_that_the_bias_undoes(first, bounds, constant, pattern, above):
    """Kindermans et al. 2019: x + m into a network with b − Wᵀm is the same prediction; is it the same explanation?

    Only the first layer's rule matters: what arrives at its output is the same in both networks.
    """
    composite = composites.uniform(above).with_rules({composites.First(): first})
    x = [row.tolist() for row in DATA[:4]]
    before = EXACT.explain(EXACT.model(*MLP, domain=bounds and bounds(DATA)), *x, composite=composite)
    assert before.relevance.any()
    for name, passes in (("constant", constant), ("pattern", pattern)):
        m = SHIFTS[name]
        first_layer = L.Dense(MLP[0].weight, MLP[0].bias - m @ MLP[0].weight)
        moved = EXACT.model(first_layer, *MLP[1:], domain=bounds and bounds(DATA + m))
        after = EXACT.explain(moved, *[(row + m).tolist() for row in DATA[:4]], composite=composite)
        assert (after.prediction == before.prediction).all()
        assert (after.at("dense1") == before.at("dense1")).all()
        assert (after.relevance == before.relevance).all() == passes, name


def test_the_presets_that_survive_a_shift_are_those_with_a_box_or_flat_rule_first():
    """What composites say of their first layer shows here: bounds that move with the data, or none at all."""
    x = [row.tolist() for row in DATA[:4]]
    m = SHIFTS["constant"]
    model = EXACT.model(*MLP, domain=of_the_data_set(DATA))
    moved = EXACT.model(L.Dense(MLP[0].weight, MLP[0].bias - m @ MLP[0].weight), *MLP[1:], domain=of_the_data_set(DATA + m))
    survive = {"epsilon_gamma_box", "deep_taylor", "epsilon_plus_flat", "epsilon_alpha2_beta1_flat"}
    for name in (*survive, "epsilon_plus", "epsilon_alpha2_beta1", "alpha1_beta0"):
        options = {"composite": name, "allow_negative": True}
        before = EXACT.explain(model, *x, **options)
        after = EXACT.explain(moved, *[(row + m).tolist() for row in DATA[:4]], **options)
        assert (after.relevance == before.relevance).all() == (name in survive), name


def test_deep_taylor_says_nothing_of_negative_scores():
    """Alber 2019, Fig. 22.5."""
    negative = EXACT.model(dense([[1], [-2]]))
    with pytest.raises(TargetError, match="not defined for a negative start, found -3"):
        EXACT.explain(negative, (1, 2), composite="deep_taylor")
    e = EXACT.explain(negative, (1, 2), composite="deep_taylor", allow_negative=True)
    assert (e.relevance <= 0).all()
