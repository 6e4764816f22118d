"""The gated product at its nearest root point (Arras et al. 2019, §11.3.2): worked numbers, laws, refusals."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import deep_taylor, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import ExactnessError, ParameterError, RuleError, ShapeError
from lrp_ref.layers.merge import Product

F = Fraction
numbers = st.floats(-3, 3).filter(lambda z: abs(z) > 1e-3)


@pytest.mark.parametrize(
    ("gate", "signal", "value", "first"), [(0, 0.1, 0.0498340, 0.05), (0, 1, 0.380797, 0.5), (2, -0.5, -0.407031, -0.440399)]
)
def test_worked_numbers(gate, signal, value, first):
    """With R_p = σ(z_g) tanh(z_s), so that c_p = 1: R_s = σ(z_g) z_s."""
    found = deep_taylor.gated_product([gate], [signal], [1 / (1 + math.exp(-gate)) * math.tanh(signal)])
    assert found.value.item() == pytest.approx(value, abs=5e-7)
    assert found.c.item() == pytest.approx(1, rel=1e-14)
    assert found.gate_term.tolist() == [0]
    assert found.signal_term.item() == pytest.approx(first, abs=5e-7)
    assert found.remainder.item() == pytest.approx(value - first, abs=1e-6)
    assert (found.root_gate.tolist(), found.root_signal.tolist()) == ([gate], [0])
    assert found.distance.tolist() == [abs(signal)]


@given(st.lists(st.tuples(*[st.fractions(-4, 4, max_denominator=8)] * 3), min_size=1, max_size=4))
@pytest.mark.parametrize("activation", [L.Identity(), L.ReLU(), L.LeakyReLU(0.25)], ids=repr)
def test_a_signal_that_is_linear_takes_all_in_rationals(activation, drawn):
    """The remainder is exactly 0 where the product is not, and R_s is what SignalTakesAll gives."""
    z_g, z_s, R = (fractions(column) for column in zip(*drawn, strict=True))
    found = deep_taylor.gated_product(z_g, z_s, R, activation=activation, gate_activation=L.HardSigmoid())
    alive = found.value != 0
    assert (found.remainder[alive] == 0).all()
    assert (found.signal_term == np.where(alive, R, F(0))).all()
    assert (found.gate_term + found.signal_term + found.remainder == R).all()
    gate, signal = L.HardSigmoid().forward(z_g[None]), activation.forward(z_s[None])
    _, taken = rules.SignalTakesAll().relevances(L.Multiply(1), (gate, signal), gate * signal, R[None])
    assert (found.signal_term[alive] == taken[0][alive]).all()


@given(numbers, numbers, numbers)
def test_the_terms_are_those_of_the_relevance_model(z_g, z_s, R):
    """R̂(z) = σ(z_g) tanh(z_s) c: central differences at the root, along the gate and along the signal."""
    found = deep_taylor.gated_product([z_g], [z_s], [R])
    c = found.c.item()

    def model(gate, signal):
        return 1 / (1 + math.exp(-gate)) * math.tanh(signal) * c

    h = 1e-4
    along_signal = (model(z_g, h) - model(z_g, -h)) / (2 * h) * z_s
    along_gate = (model(z_g + h, 0) - model(z_g - h, 0)) / (2 * h)
    assert model(z_g, z_s) == pytest.approx(R, rel=1e-12)
    assert model(z_g, 0) == 0
    assert found.signal_term.item() == pytest.approx(along_signal, rel=1e-6)
    assert along_gate == 0
    # tanh saturates: |tanh z| < |z|, so the first-order term is too large, of the same sign.
    assert abs(found.signal_term.item()) > abs(R)
    assert found.signal_term.item() * R > 0


def test_near_its_linear_regime_the_remainder_is_negligible():
    """Samek et al. 2021, §1.4.3: z − tanh z = z³/3 − …, however saturated the gate is."""
    for gate in (-20.0, 0.0, 20.0):
        found = deep_taylor.gated_product([gate], [1e-3], [1.0])
        assert abs(found.remainder.item()) == pytest.approx(1e-6 / 3, rel=1e-3)


def test_it_broadcasts_and_keeps_its_number_type():
    found = deep_taylor.gated_product(np.zeros((2, 1), np.float32), np.ones(3, np.float32), np.ones((2, 3), np.float32))
    assert found.signal_term.shape == found.gate_term.shape == found.root_gate.shape == (2, 3)
    assert found.signal_term.dtype == np.float32
    assert deep_taylor.gated_product(0, 1, 2).signal_term.dtype == np.float64


def test_where_the_product_is_0_all_remains():
    found = deep_taylor.gated_product([1.0, 1.0], [0.0, -2.0], [3.0, 3.0], activation=L.ReLU())
    assert found.signal_term.tolist() == [0, 0]
    assert found.remainder.tolist() == [3, 3]


def test_it_is_a_record():
    found = deep_taylor.gated_product([1.0], [2.0], [3.0])
    for same in (found, copy.deepcopy(found), pickle.loads(pickle.dumps(found))):  # noqa: S301  # our own
        assert same.signal_term.tolist() == found.signal_term.tolist()
        with pytest.raises(ValueError, match="read-only"):
            same.c[0] = 0
    for part in ("root point (z_g, 0)", "R_g", "R_s", "remainder"):
        assert part in repr(found)


@pytest.mark.parametrize(
    ("arguments", "choices", "error", "message"),
    [
        (([0.0], [1.0], [1.0]), {"activation": L.Sigmoid()}, RuleError, r"Sigmoid\(\) is not 0 at 0, so that"),
        (([0.0], [1.0], [1.0]), {"activation": L.Softmax()}, ParameterError, "a function of one number"),
        (([0.0], [1.0], [1.0]), {"gate_activation": L.Dense([[1.0]])}, ParameterError, "a function of one number"),
        ((np.zeros(2), np.zeros(3), np.zeros(3)), {}, ShapeError, "do not broadcast"),
        ((np.zeros(2), np.zeros(2), np.zeros(3)), {}, ShapeError, r"the shape of the product, \(2,\), found \(3,\)"),
        ((fractions([0]), fractions([1]), fractions([1])), {}, ExactnessError, "rational"),
    ],
    ids=["no root", "softmax", "no activation", "shapes", "relevance", "rationals"],
)
def test_refusals(arguments, choices, error, message):
    with pytest.raises(error, match=message):
        deep_taylor.gated_product(*arguments, **choices)


class Blend(Product):
    """A product of a layer that this package does not know: x · 2g."""

    arity, signal, constant = 2, 0, None

    def shape(self, *inputs):
        return inputs[0]

    def factors(self, *inputs):
        return inputs[0], 2 * inputs[1]

    def forward(self, *inputs):
        first, second = self.factors(*inputs)
        return first * second


@pytest.mark.parametrize(
    ("rule", "signal", "gate"),
    [(rules.SignalTakesAll(), 6, 0), (rules.HalfProduct(), 3, 3), (rules.ProportionalProduct(), F(18, 7), F(24, 7))],
)
def test_a_product_rule_serves_any_product(rule, signal, gate):
    """By what a layer is, not by its class: z = x · 2g with x = 3/2 and 2g = 2, and R = 6."""
    x, g = fractions(np.array([[1.5]])), fractions(np.array([[1]]))
    assert rule.fits(Blend())
    assert not rule.fits(L.Concat())
    (first, second), _ = rule.propagate(Blend(), (x, g), Blend().forward(x, g), fractions(np.array([[6]])))
    assert (first.item(), second.item()) == (signal, gate)
