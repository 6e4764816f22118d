"""What rules refuse, and what they say: which rule, what was found, what would work."""

import re
from fractions import Fraction

import numpy as np
import pytest

from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import fractions
from lrp_ref.errors import DomainError, ExactnessError, ParameterError, RuleError

DENSE = L.Dense(np.array([[3.0, -1.0], [-1.0, 2.0]]), np.array([1.0, -1.0]))
X, Z, R = np.array([[1.0, 2.0]]), np.array([[2.0, 2.0]]), np.array([[6.0, 12.0]])
POOL = L.MaxPool(2)


def refuses(error, message):
    return pytest.raises(error, match=re.escape(message))


@pytest.mark.parametrize(
    ("alpha", "beta", "message"),
    [
        (2, 2, "AlphaBeta needs alpha − beta = 1, found 2 − 2 = 0"),
        (1, 0.5, "AlphaBeta needs alpha − beta = 1, found 1 − 0.5 = 0.5"),
        (0.5, -0.5, "AlphaBeta.beta must be finite and at least 0, found -0.5"),
        (float("inf"), 1, "AlphaBeta.alpha must be finite, found inf"),
        (True, 0, "AlphaBeta.alpha must be a number, found True"),
        ("2", 1, "AlphaBeta.alpha must be a number, found '2'"),
    ],
)
def test_alpha_minus_beta_must_be_1(alpha, beta, message):
    with refuses(ParameterError, message):
        rules.AlphaBeta(alpha, beta)


def test_alpha_minus_beta_may_be_1_up_to_rounding():
    assert rules.AlphaBeta(1.1, 0.1).alpha == 1.1
    assert rules.AlphaBeta(Fraction(4, 3), Fraction(1, 3)).beta == Fraction(1, 3)
    assert rules.AlphaBeta(2, 1 - 2**-31).alpha == 2  # 4.7e-10 from it: of a number that was written with ten digits
    for off in (2**-29, -(2**-29), 1e-6, 1e-3):
        with refuses(ParameterError, "AlphaBeta needs alpha − beta = 1"):
            rules.AlphaBeta(2 + off, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.AlphaBeta(2, 1, bias="both"), 'AlphaBeta.bias must be "pool" or "none", found \'both\''),
        (
            lambda: rules.AlphaBeta(2, 1, empty="vanish"),
            'AlphaBeta.empty must be "drop" or "renormalise", found \'vanish\'',
        ),
        (lambda: rules.Epsilon(-0.1), "Epsilon.epsilon must be finite and at least 0, found -0.1"),
        (lambda: rules.Epsilon(float("nan")), "Epsilon.epsilon must be finite and at least 0, found nan"),
        (lambda: rules.Gamma(-1), "Gamma.gamma must be finite and at least 0, found -1"),
        (lambda: rules.Gamma(1, epsilon=-1), "Gamma.epsilon must be finite and at least 0, found -1"),
        (lambda: rules.GeneralizedGamma(None), "GeneralizedGamma.gamma must be a number, found None"),
        (lambda: rules.relative(-1), "relative(fraction) must be finite and at least 0, found -1"),
        (lambda: rules.WinnerTakesAll("random"), 'WinnerTakesAll.ties must be "lowest" or "split", found \'random\''),
        (
            lambda: rules.AverageSurrogate(rules.WinnerTakesAll()),
            "AverageSurrogate.rule must be a rule for linear layers, found WinnerTakesAll",
        ),
        (lambda: rules.ProportionalProduct(-1), "ProportionalProduct.epsilon must be finite and at least 0, found -1"),
        (lambda: rules.AbsoluteProduct(-1), "AbsoluteProduct.epsilon must be finite and at least 0, found -1"),
        (lambda: rules.ZBox("a", "b"), "ZBox: low must be a number or an array, found 'a'"),
    ],
)
def test_parameters_out_of_range(make, message):
    with refuses(ParameterError, message):
        make()


def test_a_box_needs_both_bounds_in_order():
    with refuses(DomainError, "ZBox needs both bounds, low and high, or neither"):
        rules.ZBox(low=0)
    with refuses(DomainError, "ZBox: bounds need low ≤ high, found low = 1, high = 0"):
        rules.ZBox(1, 0)
    with refuses(DomainError, "ZBox() has no bounds: give ZBox(low, high), or a model with a domain"):
        rules.ZBox().propagate(DENSE, (X,), Z, R)


def test_inputs_outside_the_box_are_refused_beyond_a_tolerance():
    """CONV-DOMAIN-TOLERANCE: 1e-5 of the box's width."""
    with refuses(DomainError, "1 input(s) leave the bounds of ZBox(low=0, high=1), the first 2.0 at (0, 1)"):
        rules.ZBox(0, 1).propagate(DENSE, (X,), Z, R)
    with refuses(DomainError, "2 input(s) leave the bounds of ZBox(low=3, high=4), the first 1 at (0, 0)"):
        exact = DENSE.astype(object)
        rules.ZBox(3, 4).propagate(exact, (fractions(X),), fractions(Z), fractions(R))
    rules.ZBox(0, 2 - 1e-5).propagate(DENSE, (X,), Z, R)
    rules.ZBox(1 + 2**-17, 2).propagate(DENSE, (X,), Z, R)  # 0.76e-5 of the width outside
    for box in ((1 + 2**-16, 2), (0, 2 - 2**-15), (-100, 2 - 2**-9)):  # 1.5e-5, 1.5e-5, 1.9e-5
        with refuses(DomainError, "1 input(s) leave the bounds of ZBox"):
            rules.ZBox(*box).propagate(DENSE, (X,), Z, R)
    rules.ZBox(np.array([1, 2]), np.array([1, 2])).propagate(DENSE, (X,), Z, R)


@pytest.mark.parametrize(
    ("rule", "layer", "message"),
    [
        (rules.Zero(), L.ReLU(), "Zero() serves linear layers, not ReLU"),
        (rules.Epsilon(0.25), POOL, "Epsilon(epsilon=0.25, signed=True) serves linear layers, not MaxPool"),
        (rules.WinnerTakesAll(), L.AvgPool(2), "WinnerTakesAll(ties='lowest') serves maximum pooling, not AvgPool"),
        (rules.Proportional(), DENSE, "Proportional() serves maximum and Lp pooling, not Dense"),
        (rules.AverageSurrogate(), DENSE, "AverageSurrogate(rule=Zero()) serves maximum and Lp pooling, not Dense"),
        (rules.HalfProduct(), L.Add(), "HalfProduct() serves products (Multiply), not Add"),
        (rules.Pass(), POOL, "Pass() serves activations, layers that only move elements, embeddings, and one-input layers"),
        (rules.Pass(), L.Add(), "not Add"),
        (rules.Pass(), L.Softmax(), "not Softmax"),
    ],
    ids=str,
)
def test_a_rule_on_the_wrong_layer(rule, layer, message):
    assert not rule.fits(layer)
    with refuses(RuleError, message):
        rule.propagate(layer, (X,) * layer.arity, X, X)


def test_pass_on_a_layer_that_changes_the_shape():
    layer = L.Dense(np.ones((2, 3)))
    with refuses(RuleError, "Pass needs equal shapes, Dense turns (1, 2) into (1, 3); use a rule for linear layers"):
        rules.Pass().propagate(layer, (X,), layer.forward(X), np.ones((1, 3)))


@pytest.mark.parametrize("below", [1.0, 1e-9])
def test_proportional_pooling_of_negative_inputs(below):
    a = np.array([[[1.0, -below]]])
    with refuses(RuleError, "Proportional needs inputs x ≥ 0, found negative ones; WinnerTakesAll takes inputs of any sign"):
        rules.Proportional().propagate(POOL, (a,), POOL.forward(a), np.ones((1, 1, 1)))


def test_the_signal_of_a_product_must_be_known():
    with refuses(RuleError, "SignalTakesAll must know which factor is the signal: make the layer Multiply(signal=0)"):
        rules.SignalTakesAll().propagate(L.Multiply(), (X, X), X * X, R)


@pytest.mark.parametrize("rule", [rules.Epsilon(rules.relative(0.25)), rules.Gamma(0.25, epsilon=rules.relative(0.25))], ids=str)
def test_a_relative_epsilon_has_no_rational_value(rule):
    with refuses(ExactnessError, "an ε relative to the root mean square of z is not rational"):
        rule.propagate(DENSE.astype(object), (fractions(X),), fractions(Z), fractions(R))
