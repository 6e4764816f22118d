"""Recurrent layers: the fast pass and the rule through time against the cell as a graph of elementary nodes."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from lrp_ref import rules
from support import recurrent_by_hand as hand
from support.recurrent_strategies import KINDS, cases, through_time
from support.strategies import fewer

COLUMNS = ("bias", "stabiliser", "unassigned")


def total(e, column):
    return sum(getattr(entry.booking, column) for entry in e.ledger)


def at_each_step(e, steps):
    """What the graph's nodes of every step account for, over both directions: (1, steps) of each column."""
    found = {name: [total(e, name) * 0] * steps for name in COLUMNS}
    for entry in e.ledger:
        step = re.match(r"d\d t(\d+) ", entry.node)
        for name in COLUMNS if step else ():
            found[name][int(step[1])] = found[name][int(step[1])] + getattr(entry.booking, name)
    return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def agree(case, rule, close):
    """Relevance, what reaches the initial states, and every account, of every step, one sample after the other."""
    output = case.layer.forward(*case.inputs)
    relevances, booking = rule.propagate(case.layer, case.inputs, output, case.relevance)
    read = dict(zip(("x", *case.layer.reads), relevances, strict=True))
    for n in range(case.batch):
        one = case.sample(n)
        e, below, states = hand.explained(case.layer, rule, one.inputs, one.relevance)
        close(read["x"][n : n + 1], below)
        trapped = booking.arriving[n : n + 1] * 0
        for letter, name in (("h", "hidden"), ("c", "cell")):
            if name in read:
                close(read[name][n : n + 1], states[letter])
            elif letter in states:
                stuck = states[letter].sum(axis=1)
                close(booking.details[f"initial {name}"][n : n + 1], stuck)
                trapped = trapped + stuck
        close(booking.bias[n : n + 1], total(e, "bias") + trapped)
        close(booking.stabiliser[n : n + 1], total(e, "stabiliser"))
        beyond = one.relevance.sum() - e.at("out").sum()  # what arrived beyond the sample's length
        close(booking.unassigned[n : n + 1], total(e, "unassigned") + beyond)
        steps = at_each_step(e, case.inputs[0].shape[1])
        if case.layer.returns == "all":
            end = e.at("out").shape[1]
            steps["unassigned"][:, end:] += one.relevance[:, end:].sum(axis=2)
        for name in COLUMNS:
            close(booking.details[name][n : n + 1], steps[name])
    for name in COLUMNS:
        stuck = sum(v for k, v in booking.details.items() if k.startswith("initial")) if name == "bias" else 0
        close(booking.details[name].sum(axis=1) + stuck, getattr(booking, name))


def same(a, b):
    assert a.shape == b.shape
    assert (a == b).all()


def near(a, b):
    # Both add the same few dozen terms in another order; what cancels is of the size of a relevance of 1.
    np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rationals_equal_the_graph_of_elementary_nodes(kind):
    @fewer
    @given(cases(kinds=(kind,)), through_time())
    def check(case, rule):
        if kind in ("peepholes", "GRU after") and rule.linear == rules.Flat():
            return  # the graph writes an elementwise weight as a diagonal matrix, whose zeros are weights to the flat rule
        exact = case.astype(object)
        agree(exact, rule, same)
        relevances, booking = rule.propagate(exact.layer, exact.inputs, None, exact.relevance)
        assert (booking.rounding == 0).all()
        assert all(type(v) is Fraction for r in relevances for v in r.flat)

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_floats_agree_with_the_graph_of_elementary_nodes(kind):
    @fewer
    @given(cases(rational=False, kinds=(kind,)))
    def check(case):
        for rule in (
            rules.ThroughTime(),
            rules.ThroughTime(rules.HalfProduct(), rules.Epsilon(0.25), rules.Epsilon(0.25)),
            rules.ThroughTime(rules.AbsoluteProduct(0.125), rules.GeneralizedGamma(0.5), rules.Epsilon(0.25)),
            rules.ThroughTime(rules.ProportionalProduct(0.25), rules.Epsilon(rules.relative(0.25)), rules.Epsilon(0.25)),
            rules.ThroughTime(rules.AbsoluteProduct(0.25), operands="pre"),
        ):
            agree(case, rule, near)

    check()


@given(cases(rational=False))
def test_forward_is_the_literal_loop(case):
    near(case.layer.forward(*case.inputs), hand.forward(case.layer, *case.inputs))


@given(cases())
def test_forward_in_rationals_is_the_literal_loop(case):
    exact = case.astype(object)
    same(exact.layer.forward(*exact.inputs), hand.forward(exact.layer, *exact.inputs))
