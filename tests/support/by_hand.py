"""What the tests with numbers by hand share: rows and layers of fractions, one layer's step, a chain of layers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from lrp_ref import layers as L
from lrp_ref import oracle, rules
from lrp_ref.arrays import Array, fractions
from lrp_ref.ledger import Booking

F = Fraction


def row(*values: Any) -> Array:
    """One sample, (1, F); strings are fractions."""
    return fractions([[F(value) for value in values]])


def dense(weight: Sequence[Any], bias: Sequence[Any] | None = None) -> L.Dense:
    table = [[F(w) for w in line] for line in weight]
    return L.Dense(fractions(table), None if bias is None else fractions([F(b) for b in bias]))


def apply(rule: rules.Rule, layer: L.Layer, a: Array, R: Array) -> tuple[Array, Booking]:
    """One layer; the engine and the oracle must agree before anything is compared with a printed number."""
    (lower,), booking = rule.propagate(layer, (a,), layer.forward(a), R)
    assert (oracle.messages(layer, rule, a, R).relevances[0] == lower).all()
    assert booking.rounding.tolist() == [0]
    return lower, booking


def through(net: Sequence[L.Linear], by: Sequence[rules.Rule], x: Array, top: Array | None = None) -> list[Array]:
    """Relevance of every layer's input, from the lowest up, where a ReLU stands between each two linear layers.

    It starts with the last layer's output, or with `top`.
    """
    inputs = [x]
    for layer in net[:-1]:
        inputs.append(np.maximum(layer.forward(inputs[-1]), F(0)))
    R = net[-1].forward(inputs[-1]) if top is None else top
    found = []
    for layer, rule, a in reversed(list(zip(net, by, inputs, strict=True))):
        R, _ = apply(rule, layer, a, R)
        found.append(R)
    return found[::-1]


def everywhere(net: Sequence[L.Linear], rule: rules.Rule, x: Array) -> list[Array]:
    return through(net, [rule] * len(net), x)
