"""Convolutions by Winograd's algorithm keep a bound of their own, and exact zeros (see `winograd_bound`)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from test_backends_shapes import RULES, conv, filled, transposed

from lrp_ref import Explainer, Explanation, Model, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from support import winograd_bound
from support.one_layer import AROUND, PRECISIONS, ROUNDOFF, Around, arriving, behind_relu, explained, explainer, lower
from support.rule_strategies import mixed
from support.strategies import Case

pytest.importorskip("lrp_ref.kernels.compiled._core")

LAYERS: dict[str, tuple[L.Conv | L.ConvTranspose, tuple[int, ...]]] = {
    "16 → 16": (conv(16, 16, 3, 3, padding=1), (16, 15, 16)),
    "31 → 33": (conv(31, 33, 3, 3, padding=1), (31, 17, 19)),
    "33 → 17, no padding": (conv(33, 17, 3, 3), (33, 18, 17)),
    "17 → 48, padding on one side": (conv(17, 48, 3, 3, padding=((0, 2), (2, 1))), (17, 16, 21)),
    "65 → 16, small map": (conv(65, 16, 3, 3, padding=1), (65, 6, 7)),
    "16 → 65, small map": (conv(16, 65, 3, 3, padding=2), (16, 7, 8)),
    "transposed 16 → 33": (transposed(16, 33, 3, 3, padding=1), (16, 16, 17)),
    "transposed 33 → 31, no padding": (transposed(33, 31, 3, 3), (33, 7, 9)),
}
each_layer = pytest.mark.parametrize("name", LAYERS)
SERVED = tuple(rule for rule in RULES if rule.empty == "drop")


def tiles(case: Case, rule: rules.LinearRule, around: Around, precision: str) -> tuple[int, int]:
    """m of the way up and of the way down; 1: direct."""
    from lrp_ref.kernels.compiled import _core

    made = explainer(case, rule, around, backend="compiled", precision=precision).plan({"x0": case.inputs[0].shape[1:]})
    (step,) = (step for step in made.steps if step.nodes[0].name == "layer")
    side = {_core.DIRECT: 1, _core.F2: 2, _core.F4: 4}
    return side[step.choice.upward], side[step.choice.downward]


@cache
def drawn(name: str, seed: int) -> Case:
    layer, sample = LAYERS[name]
    return filled(layer, ((1 + seed % 2, *sample),), np.random.default_rng(seed))


def test_the_amplifications_of_the_transforms():
    assert [round(winograd_bound.amplification(m), 6) for m in (2, 4)] == [64, pytest.approx(620, abs=0.1)]
    assert [round(winograd_bound.amplification(m, squares=True), 3) for m in (2, 4)] == [5, 21.375]


@pytest.mark.parametrize("precision", ["float32", "fast"])
def test_the_bound_is_reached_to_half_where_all_numbers_have_one_size(precision):
    """What FACTOR is derived from: ±1/3 with random signs, 16 channels. Measured: 1.5 u·S and 6 u·S, at most 8.5 and 40."""
    rng = np.random.default_rng(0)
    layer = L.Conv(np.float32(rng.choice([-1, 1], (16, 16, 3, 3)) / 3).astype(np.float64), padding=1)
    case = Case(layer, (np.float32(rng.choice([-1, 1], (8, 16, 24, 24)) / 3).astype(np.float64),), np.zeros((8, 16, 24, 24)))
    m = {"float32": 2, "fast": 4}[precision]
    assert tiles(case, rules.Zero(), Around(), precision) == (m, m)
    found = explained(case, rules.Zero(), Around(), backend="compiled", precision=precision).prediction
    unit = ROUNDOFF[precision] * winograd_bound.upward(case, [(case.inputs[0], layer.weight)], m)
    off = (found - layer.forward(*case.inputs)) / unit
    factor = winograd_bound.FACTOR[m]
    assert factor / 16 <= np.sqrt((off**2).mean()) <= factor / 10
    assert factor / 4 <= abs(off).max() <= factor


@pytest.mark.parametrize(("precision", "larger"), [(None, False), ("float32", False), ("fast", True), ("float64", True)])
def test_only_who_asks_for_it_gets_larger_tiles_in_float32(precision, larger):
    """The default of a float32 model rounds as "float32" does, in maps of any size."""
    layer = L.Conv(np.ones((16, 16, 3, 3), np.float32), padding=1)
    explainer_ = Explainer(Model.sequential([layer], input_shape=(16, 32, 32)), backend="compiled", precision=precision)
    (step,) = (step for step in explainer_.plan().steps if step.nodes[0].name == "conv1")
    assert str(step.choice) == ("F(4×4)" if larger else "F(2×2)")
    assert explainer_.resources.fast == (precision == "fast")


@pytest.mark.parametrize("precision", PRECISIONS)
@each_layer
def test_relevance_keeps_the_bound_and_comes_near_it(name, precision):
    """The largest error of each layer is at least a fiftieth of what is allowed there: what the bound holds is no accident."""
    u, nearest = ROUNDOFF[precision], [0.0, 0.0]
    for number in chosen(name, precision):
        case, rule, around = surrounded(name, number)
        m = tiles(case, rule, around, precision)
        small = min(case.relevance.shape[2:] + case.inputs[0].shape[2:]) <= 14
        assert m == ((2, 2) if small or precision == "float32" else (4, 4))
        bound, sure = winograd_bound.allowed(case, rule, around, m, u)
        assert sure.mean() > 0.99
        if not sure.all():
            case = replace(case, relevance=np.where(sure, case.relevance, 0.0))
            bound, _ = winograd_bound.allowed(case, rule, around, m, u)
        e = explained(case, rule, around, backend="compiled", precision=precision)
        for i, (off, most) in enumerate((output_off(case, e, around, m[0], u), (relevance_off(case, rule, around, e), bound))):
            assert (off <= most).all(), (rule, around)
            nearest[i] = max(nearest[i], (off / np.where(most == 0, 1, most)).max())
    assert min(nearest) >= 1 / 50


def chosen(name: str, precision: str) -> list[int]:
    """Four of the rules; together with other layers and precisions all of them."""
    first = 4 * list(LAYERS).index(name) + 5 * PRECISIONS.index(precision)
    return [(first + i) % len(SERVED) for i in range(4)]


def surrounded(name: str, number: int) -> tuple[Case, rules.LinearRule, Around]:
    around = AROUND[(list(LAYERS).index(name) + 3 * number) % len(AROUND)]
    case = drawn(name, number)
    return behind_relu(case) if around.front else case, SERVED[number], around


def output_off(case: Case, e: Explanation, around: Around, m: int, u: float) -> tuple[Array, Array]:
    """|ŷ − y| of the layer's output, and what is allowed: FACTOR·u·S, and what adding the bias rounds."""
    z = case.layer.forward(*case.inputs)
    terms = winograd_bound.upward(case, [(case.inputs[0], case.layer.weight)], m)
    return abs(e.prediction - (np.maximum(z, 0.0) if around.behind else z)), u * (winograd_bound.FACTOR[m] * terms + 2 * abs(z))


def relevance_off(case: Case, rule: rules.LinearRule, around: Around, e: Explanation) -> Array:
    z = case.layer.forward(*case.inputs)
    (expected,) = rule.relevances(case.layer, case.inputs, z, arriving(case, around))
    return np.asarray(abs(lower(e, case, around)[0] - expected))


@each_layer
def test_small_tiles_round_nothing_where_sums_are_exact(name):
    """F(2×2) has only 0, ±1 and halves in its matrices: on dyadic data every z and every denominator is exact."""
    layer, sample = LAYERS[name]
    for number in chosen(name, "fast"):
        _, rule, around = surrounded(name, number)
        case = mixed(Case(layer, (np.zeros((1, *sample)),), np.zeros(layer.shape((1, *sample)))), number, general=False)
        case = behind_relu(case) if around.front else case
        bound, _ = winograd_bound.allowed(case, rule, around, (2, 2), ROUNDOFF["float32"], exact=True)
        e = explained(case, rule, around, backend="compiled", precision="float32")
        off, _ = output_off(case, e, around, 2, 0)
        assert not off.any()
        assert (relevance_off(case, rule, around, e) <= bound).all(), (rule, around)
