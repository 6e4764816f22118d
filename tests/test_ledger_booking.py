"""Bookings: what one layer accounts for is what the oracle says, to the last entry; in floats within a stated bound."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import fractions
from lrp_ref.ledger import AMOUNTS, COLUMNS, Booking
from support.rule_strategies import ALL_RULES, LINEAR_RULES, ROUNDOFF, Ruled, ruled, sweep
from support.strategies import FLOAT_TYPES

each_rule = pytest.mark.parametrize("kind", ALL_RULES, ids=lambda kind: kind.__name__)


def total(array: np.ndarray) -> Fraction:
    return sum(array.flat, Fraction(0))


def closes_as_the_oracle_says(drawn: Ruled) -> None:
    _, booking = drawn.propagate()
    assert booking.rounding.dtype == object
    assert (booking.rounding == 0).all()
    for n, m in enumerate(drawn.messages()):
        R = fractions([account.upper.R for account in m.accounts])
        expected = {
            "arriving": total(R),
            "inputs": sum(map(total, m.relevances)),
            "bias": total(m.bias),
            "stabiliser": total(m.stabiliser),
            "unassigned": total(m.unassigned),
            "turnover": m.turnover,
            "arriving_abs": total(abs(R)),
            "inputs_abs": sum(total(abs(r)) for r in m.relevances),
        }
        assert {name: getattr(booking, name)[n] for name in (*COLUMNS, *AMOUNTS)} == expected


@each_rule
@given(st.data())
def test_in_rationals_every_column_is_the_oracles_and_the_ledger_closes(kind, data):
    closes_as_the_oracle_says(data.draw(ruled(kind)).astype(object))


@pytest.mark.parametrize("kind", LINEAR_RULES, ids=lambda kind: kind.__name__)
def test_so_it_does_under_every_setting(kind):
    for drawn in sweep(kind):
        closes_as_the_oracle_says(drawn.astype(object))


@each_rule
@given(st.data())
def test_in_floats_the_ledger_closes_up_to_rounding(kind, data):
    """CONV-LEDGER-BOUND: |rounding| ≤ 4·n·u·turnover, whatever the data: exact zeros, cancellation, anything."""
    dtype = data.draw(st.sampled_from(FLOAT_TYPES))
    drawn = data.draw(ruled(kind, general=data.draw(st.booleans()))).astype(dtype)
    _, booking = drawn.propagate()
    for n, m in enumerate(drawn.messages()):
        bound = 4 * m.fan * ROUNDOFF[np.dtype(dtype)] * fractions(booking.turnover)[n]
        assert abs(fractions(booking.rounding)[n]) <= bound


def test_turnover_counts_every_message_also_where_messages_to_one_neuron_cancel():
    """Two windows with one winner send it 3 and −3: R_j = 0, and 6 + 6 has moved."""
    a, R = fractions([[[0, 5, 0]]]), fractions([[[3, -3]]])
    _, booking = rules.WinnerTakesAll().propagate(L.MaxPool(2, stride=1), (a,), fractions([[[5, 5]]]), R)
    assert booking.inputs_abs == [0]
    assert booking.turnover == [12]


def test_turnover_of_a_booking_with_a_bias_counts_its_shares_one_by_one():
    R = fractions([[1, -1]])
    booking = Booking.handed_on(R, (R * 0,), bias=R, unassigned=R * 0)
    assert (booking.bias, booking.rounding, booking.turnover) == ([0], [0], [4])


@pytest.mark.parametrize(
    ("rule", "a", "column", "amount"),
    [
        (rules.Zero(), (1, 1), "bias", 3),
        (rules.Epsilon(1), (1, 1), "bias", 2),
        (rules.Epsilon(1), (1, 1), "stabiliser", 2),
        (rules.Epsilon(1), (-1, -1), "bias", 6),  # z = 0 counts as positive, so that e = +1
        (rules.Epsilon(1), (-2, -2), "stabiliser", 3),
        (rules.Epsilon(1, signed=False), (-2, -2), "unassigned", 6),
        (rules.ZPlus(), (1, 0), "unassigned", 0),
        (rules.ZPlus(), (0, 1), "unassigned", 6),
        (rules.AlphaBeta(2, 1), (1, 0), "bias", 4),
        (rules.AlphaBeta(2, 1), (1, 0), "unassigned", -6),
        (rules.AlphaBeta(2, 1, "none"), (0, 1), "unassigned", 12),
        (rules.AlphaBeta(2, 1, "none", "renormalise"), (0, 1), "unassigned", 0),
        (rules.AlphaBeta(1, 0, "none", "renormalise"), (0, 1), "unassigned", 0),
        (rules.ZBox(1, 1), (1, 1), "unassigned", 6),
        (rules.Flat(), (0, 0), "unassigned", 0),
    ],
    ids=str,
)
def test_what_is_not_handed_on_is_booked(rule, a, column, amount):
    """One neuron by hand, CONV-ZERO-BY-ZERO: z = 2 a_1 − a_2 + 1 and R = 6."""
    layer, x = L.Dense(fractions([[2], [-1]]), fractions([1])), fractions([a])
    _, booking = rule.propagate(layer, (x,), layer.forward(x), fractions([[6]]))
    assert getattr(booking, column).tolist() == [amount]
    assert booking.rounding.tolist() == [0]


def test_gamma_on_negative_inputs_is_flagged_and_the_generalised_rule_is_not():
    layer, a, R = L.Dense(fractions([[1], [-1]])), fractions([[1, -1]]), fractions([[2]])
    flags = {
        rule: rule.propagate(layer, (a,), layer.forward(a), R)[1].flags for rule in (rules.Gamma(), rules.GeneralizedGamma())
    }
    (flag,) = flags[rules.Gamma()]
    assert "outside its domain" in flag
    assert "GeneralizedGamma" in flag
    assert flags[rules.GeneralizedGamma()] == ()
    assert rules.Gamma(0).propagate(layer, (a,), layer.forward(a), R)[1].flags == (), "γ = 0 is LRP-0, which serves any sign"


def test_pass_over_a_bias_says_what_lrp_0_would_have_left_there():
    layer, a = L.Scale(fractions([2]), fractions([1, 0])), fractions([[1, 1]])
    (R,), booking = rules.Pass().propagate(layer, (a,), layer.forward(a), fractions([[6, 5]]))
    assert R.tolist() == [[6, 5]]
    assert booking.bias.tolist() == [0]
    assert booking.flags == ("passes on 2, which LRP-0 would have left in the bias",)


def test_relevance_of_padding_is_booked_as_unassigned():
    layer, a = L.Pad(1), fractions([[[1, 1]]])
    (R,), booking = rules.Pass().propagate(layer, (a,), layer.forward(a), fractions([[[1, 2, 3, 4]]]))
    assert R.tolist() == [[[2, 3]]]
    assert booking.unassigned.tolist() == [5]
    assert booking.rounding.tolist() == [0]
