"""Pooling under every rule by every backend: windows of any kind, channels that fill no vector, ties, negative cells, nothing.

Maximum pooling moves relevance and adds it up: every backend agrees with the definition to the rounding of these sums.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import Array
from support.one_layer import (
    AROUND,
    DTYPES,
    PRECISIONS,
    ROUNDOFF,
    Around,
    arriving,
    behind_relu,
    explained,
    explainer,
    fed,
    lower,
)
from support.strategies import Case

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)

RULES: tuple[rules.Rule, ...] = (
    rules.WinnerTakesAll(),
    rules.WinnerTakesAll("split"),
    rules.Proportional(),
    rules.AverageSurrogate(),
    rules.AverageSurrogate(rules.Epsilon(0.25)),
    rules.AverageSurrogate(rules.ZPlus()),
    rules.AverageSurrogate(rules.AlphaBeta(2, 1)),
    rules.AverageSurrogate(rules.Flat()),
)

LAYERS: dict[str, tuple[L.Selecting, tuple[int, ...]]] = {
    "one channel": (L.MaxPool(2), (1, 6, 8)),
    "3 channels overlapping": (L.MaxPool(3, stride=2, padding=1), (3, 9, 8)),
    "31 channels": (L.MaxPool(2), (31, 4, 5)),
    "33 channels, every window touches others": (L.MaxPool(3, stride=1), (33, 6, 5)),
    "stride beyond the window": (L.MaxPool(2, stride=(3, 5)), (33, 8, 12)),
    "smaller than the window": (L.MaxPool(3, ceil_mode=True), (31, 2, 1)),
    "last window sticks out": (L.MaxPool((2, 3), stride=2, ceil_mode=True), (3, 5, 6)),
    "padding of unequal sides": (L.MaxPool(3, stride=2, padding=((1, 0), (0, 1))), (33, 6, 7)),
    "dilated": (L.MaxPool(2, stride=1, dilation=(2, 3)), (31, 6, 7)),
    "one cell": (L.MaxPool(1), (33, 3, 2)),
    "one dimension": (L.MaxPool(3, stride=2), (33, 12)),
    "three dimensions": (L.MaxPool(2, stride=1, padding=1), (3, 3, 2, 4)),
    "a window of 300 cells": (L.MaxPool((15, 20), stride=5), (3, 20, 25)),
    "global": (L.GlobalMaxPool(), (33, 5, 4)),
    "global, one dimension": (L.GlobalMaxPool(), (31, 7)),
}

#: Few values, so that most windows have ties; of both signs, or all negative, or nothing.
PALETTES = ((-1.0, -0.5, -0.0, 0.0, 0.5, 1.0), (-2.0, -1.0, -1.0), (0.0, -0.0), (0.0, 0.0, 0.25, 3.0))


@cache
def prepared(name: str, number: int) -> tuple[Case, Around, Array, Array]:
    """A layer for one of RULES in one of the surroundings; R_j by the definition in float64, and Σ_k |R_{j←k}|."""
    rule, rng = RULES[number], np.random.default_rng(number)
    place = list(LAYERS).index(name) + 3 * number
    around = AROUND[place % len(AROUND)]
    layer, sample = LAYERS[name]
    case = Case(layer, (rng.choice(PALETTES[place % 4], (1 + number % 3, *sample)),), np.zeros(()))
    case = replace(case, relevance=rng.choice([-1.0, 0.0, 0.25, 2.0, 3.0], layer.shape(*case.shapes)))
    case = behind_relu(case) if around.front else case
    case = replace(case, inputs=(abs(case.inputs[0]),)) if isinstance(rule, rules.Proportional) else case
    R = arriving(case, around)
    (expected,), (size,) = (rule.relevances(layer, case.inputs, layer.forward(*case.inputs), r) for r in (R, abs(R)))
    return case, around, expected, abs(size)


@pytest.mark.parametrize("name", LAYERS)
@each_backend
def test_every_backend_is_the_definition(backend, name):
    """CONV-MAX-TIES. Within 4·n·u of Σ_k |R_{j←k}|: a quotient, a product or two, and sums of at most n = 1 + taps terms."""
    for number, rule in enumerate(RULES):
        case, around, expected, size = prepared(name, number)
        n = 2 + taps(case.layer, case.inputs[0].shape)
        for precision in PRECISIONS:
            e = explained(case, rule, around, backend=backend, precision=precision)
            (found,) = lower(e, case, around)
            assert found.dtype == DTYPES[precision]
            assert (abs(found - expected) <= 4 * n * ROUNDOFF[precision] * size).all(), (rule, around, precision)
            z = case.layer.forward(*case.inputs)
            assert np.array_equal(e.prediction, np.maximum(z, 0.0) if around.behind else z)


def taps(layer: Any, shape: tuple[int, ...]) -> int:
    """How many cells a window has."""
    if isinstance(layer, L.GlobalMaxPool):
        return math.prod(shape[2:])
    return math.prod(layer.kernel) if isinstance(layer.kernel, tuple) else layer.kernel ** (len(shape) - 2)


@pytest.mark.parametrize("name", LAYERS)
@each_backend
def test_several_targets_and_no_samples(backend, name):
    """The second axis of a message is a batch of its own over one set of winners; bit for bit as one by one."""
    for number, rule in enumerate(RULES):
        case, around, expected, _ = prepared(name, number)
        explain = explainer(case, rule, around, backend=backend, keep="all")
        size = int(np.prod(case.relevance.shape[1:]))
        some = sorted({0, size // 2, size - 1})
        several = explain(fed(case, around), targets=[np.unravel_index(i, case.relevance.shape[1:]) for i in some])
        for place, i in enumerate(some):
            alone = explain(fed(case, around), tuple(int(k) for k in np.unravel_index(i, case.relevance.shape[1:])))
            for found, one in zip(lower(several, case, around), lower(alone, case, around), strict=True):
                assert found[:, place].tobytes() == one.tobytes()
        nothing = Case(case.layer, tuple(a[:0] for a in case.inputs), case.relevance[:0])
        (empty,) = lower(explained(nothing, rule, around, backend=backend, ledger=True), nothing, around)
        assert empty.shape == (0, *expected.shape[1:])


@each_backend
def test_a_negative_cell_is_refused_by_the_proportional_rule(backend):
    case = Case(L.MaxPool(2), (np.array([[[[1.0, -1.0], [0.0, 2.0]]]]),), np.ones((1, 1, 1, 1)))
    with pytest.raises(lrp_ref.errors.RuleError, match=r"'layer' \(MaxPool\)"):
        explained(case, rules.Proportional(), Around(), backend=backend)


@each_backend
def test_a_window_of_nothing_but_padding_is_refused(backend):
    case = Case(L.MaxPool(2, stride=1, padding=2), (np.ones((1, 33, 3, 3)),), np.ones((1, 33, 6, 6)))
    for rule in RULES:
        with pytest.raises(lrp_ref.errors.ShapeError, match="nothing but padding"):
            explained(case, rule, Around(), backend=backend)
