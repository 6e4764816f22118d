"""Every rule by every backend on layers that reach the remainders of kernels: vectors, tiles and blocks that are not full.

Channels 1, 3, 31 and 33; maps smaller than a tile; strides beyond the kernel; groups, depthwise; one to three dimensions.
The oracle is too slow for them. The definition in float64 keeps the rounding bound (test_rules_laws), and so must every
backend: from the definition a float64 result may differ by twice the bound, a float32 result by the bound of float32.
"""

from __future__ import annotations

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
    lower,
    settled,
    tolerance,
)
from support.rule_strategies import mixed
from support.strategies import Case

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)

RULES: tuple[rules.LinearRule, ...] = (
    rules.Zero(),
    rules.Epsilon(1e-6),
    rules.Epsilon(0.5, signed=False),
    rules.Epsilon(rules.relative(0.25)),
    rules.Gamma(0.25),
    rules.Gamma(1, epsilon=0.25),
    rules.GeneralizedGamma(0.25),
    rules.AlphaBeta(1, 0),
    rules.AlphaBeta(2, 1),
    rules.AlphaBeta(2, 1, bias="none"),
    rules.AlphaBeta(1.5, 0.5, empty="renormalise"),
    rules.ZPlus(),
    rules.ZBox(-8, 8),
    rules.ZBox(-6.5, 7.0),
    rules.WSquare(),
    rules.Flat(),
)


def conv(lower: int, upper: int, *kernel: int, groups: int = 1, **options: Any) -> L.Conv:
    return L.Conv(np.zeros((upper, lower // groups, *kernel)), np.zeros(upper), groups=groups, **options)


def transposed(lower: int, upper: int, *kernel: int, groups: int = 1, **options: Any) -> L.ConvTranspose:
    return L.ConvTranspose(np.zeros((lower, upper // groups, *kernel)), np.zeros(upper), groups=groups, **options)


def dense(lower: int, upper: int) -> L.Dense:
    return L.Dense(np.zeros((lower, upper)), np.zeros(upper))


#: Layers with the shapes of their inputs' samples.
LAYERS: dict[str, tuple[L.Linear, tuple[tuple[int, ...], ...]]] = {
    "dense 1 → 1": (dense(1, 1), ((1,),)),
    "dense 33 → 3": (dense(33, 3), ((33,),)),
    "dense 3 → 65": (dense(3, 65), ((3,),)),
    "dense 129 → 31": (dense(129, 31), ((129,),)),
    "dense 31 → 33 over words": (dense(31, 33), ((5, 31),)),
    "dense 3 → 1 over a grid": (dense(3, 1), ((2, 3, 3),)),
    "conv 1-d 31 → 33": (conv(31, 33, 3, padding=1), ((31, 9),)),
    "conv 1-d stride beyond the kernel": (conv(3, 31, 2, stride=5, padding=[(1, 0)]), ((3, 13),)),
    "conv 1-d of one cell": (conv(33, 1, 3, padding=1), ((33, 1),)),
    "conv 1 → 33": (conv(1, 33, 3, 3, padding=1), ((1, 5, 7),)),
    "conv 3 → 31": (conv(3, 31, 3, 3), ((3, 6, 8),)),
    "conv 31 → 3": (conv(31, 3, 3, 3, padding=1), ((31, 4, 4),)),
    "conv 33 → 31 smaller than a tile": (conv(33, 31, 3, 3, padding=1), ((33, 2, 3),)),
    "conv 33 → 33 of one cell": (conv(33, 33, 3, 3, padding=1), ((33, 1, 1),)),
    "conv 5×5": (conv(3, 17, 5, 5, padding=2), ((3, 7, 6),)),
    "conv 7×7 stride 2": (conv(3, 33, 7, 7, stride=2, padding=3), ((3, 11, 9),)),
    "conv 1×1": (conv(33, 31, 1, 1), ((33, 3, 5),)),
    "conv 1×1 stride 2": (conv(31, 33, 1, 1, stride=2), ((31, 5, 6),)),
    "conv 2×3 stride beyond the kernel": (conv(31, 5, 2, 3, stride=(3, 4), padding=((0, 1), (2, 0))), ((31, 8, 9),)),
    "conv dilated": (conv(3, 33, 3, 3, dilation=2, padding=2), ((3, 7, 6),)),
    "conv dilated stride 3": (conv(33, 3, 2, 3, dilation=(3, 2), stride=3, padding=2), ((33, 7, 9),)),
    "conv of two groups of 31": (conv(62, 62, 3, 3, groups=2, padding=1), ((62, 4, 3),)),
    "conv of three groups 1 → 11": (conv(3, 33, 3, 2, groups=3), ((3, 5, 5),)),
    "conv depthwise": (conv(33, 33, 3, 3, groups=33, padding=1), ((33, 5, 6),)),
    "conv depthwise stride 2": (conv(31, 31, 3, 3, groups=31, stride=2, padding=1), ((31, 7, 6),)),
    "conv depthwise dilated, two for one": (conv(31, 62, 3, 2, groups=31, dilation=2), ((31, 6, 4),)),
    "conv 3-d": (conv(3, 31, 2, 3, 2, padding=1, stride=(1, 2, 1)), ((3, 3, 4, 3),)),
    "conv 3-d depthwise": (conv(33, 33, 2, 2, 2, groups=33), ((33, 3, 2, 3),)),
    "transposed 1-d": (transposed(31, 3, 3, stride=2, padding=1, output_padding=1), ((31, 4),)),
    "transposed stride 2": (transposed(33, 31, 2, 2, stride=2), ((33, 3, 2),)),
    "transposed stride 1": (transposed(3, 33, 3, 3, padding=1), ((3, 5, 4),)),
    "transposed stride beyond the kernel": (transposed(31, 3, 1, 2, stride=(3, 4)), ((31, 2, 3),)),
    "transposed dilated groups": (transposed(6, 62, 2, 3, groups=2, dilation=2, stride=3, padding=1), ((6, 3, 2),)),
    "transposed depthwise": (transposed(33, 33, 3, 3, groups=33, stride=2), ((33, 3, 3),)),
    "transposed 3-d": (transposed(3, 5, 2, 1, 2, stride=(1, 2, 1)), ((3, 2, 3, 2),)),
    "average 33": (L.AvgPool(2), ((33, 6, 4),)),
    "average overlapping": (L.AvgPool(3, stride=2, padding=1, count_include_pad=False), ((31, 7, 6),)),
    "average stride beyond the kernel": (L.AvgPool(2, stride=3, ceil_mode=True), ((3, 7, 8),)),
    "sum of one channel": (L.SumPool(3, stride=1, padding=1), ((1, 4, 9),)),
    "sum 1-d dilated": (L.SumPool(2, stride=2, dilation=3), ((33, 11),)),
    "sum 3-d": (L.SumPool(2, stride=1), ((31, 3, 2, 3),)),
    "global average": (L.GlobalAvgPool(), ((33, 3, 5),)),
    "global sum": (L.GlobalSumPool(), ((31, 7),)),
    "add": (L.Add(), ((33, 3, 5), (33, 3, 5))),
    "add three": (L.Add(3), ((31,), (31,), (31,))),
    "add over channels": (L.Add(), ((33, 3, 5), (33, 1, 1))),
    "subtract": (L.Subtract(), ((31, 5), (31, 5))),
    "mean": (L.Mean((1, 3)), ((31, 3, 5),)),
    "scale": (L.Scale(np.zeros((33, 1, 1)), np.zeros((33, 1, 1))), ((33, 3, 5),)),
    "upsample": (L.Upsample((2, 3)), ((31, 3, 2),)),
}


each_layer = pytest.mark.parametrize("name", LAYERS)


def filled(layer: L.Linear, shapes: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> Case:
    """The layer with normal numbers that float32 holds; one in eight inputs is 0. Weights have the size that keeps z near 1."""

    def normal(shape: tuple[int, ...], size: float = 1.0) -> Array:
        return (rng.normal(size=shape) * size).astype(np.float32).astype(np.float64)

    def given(name: str, value: Array) -> Array:
        fan = value[0].size if value.ndim > 1 and not isinstance(layer, L.Scale) else 1
        return normal(value.shape, 1 / np.sqrt(max(fan, 1)) if name == "weight" else 0.5)

    layer = replace(layer, **{name: given(name, value) for name, value in layer.parameters.items() if name in ("weight", "bias")})
    inputs = tuple(np.where(rng.random(shape) < 1 / 8, 0.0, normal(shape)) for shape in shapes)
    return Case(layer, inputs, normal(layer.shape(*(a.shape for a in inputs))))


@cache
def prepared(name: str, number: int, dyadic: bool) -> tuple[Case, Around, tuple[Array, ...], tuple[Array, ...]]:
    """A layer for one of RULES in one of the surroundings; R_j by the definition, and how far from it R_j may be."""
    rule, around = RULES[number], AROUND[(list(LAYERS).index(name) + 3 * number + dyadic) % len(AROUND)]
    layer, shapes = LAYERS[name]
    batch = tuple((1 + number % 3, *sample) for sample in shapes)
    if dyadic:
        case = mixed(Case(layer, tuple(map(np.zeros, batch)), np.zeros(layer.shape(*batch))), number, general=False)
    else:
        case = filled(layer, batch, np.random.default_rng(number))
    case = behind_relu(case) if around.front else case
    case = case if dyadic else settled(case, rule, ROUNDOFF["float32"])
    expected, _ = rule.propagate(case.layer, case.inputs, case.layer.forward(*case.inputs), arriving(case, around))
    return case, around, expected, tolerance(case, rule, around, exact=dyadic)


def agree(backend: str, name: str, dyadic: bool) -> None:
    for number, rule in enumerate(RULES):
        case, around, expected, allowed = prepared(name, number, dyadic)
        for precision in PRECISIONS:
            e = explained(case, rule, around, backend=backend, precision=precision)
            u = ROUNDOFF[precision] + ROUNDOFF["float64"]
            for found, exact, each in zip(lower(e, case, around), expected, allowed, strict=True):
                assert found.dtype == DTYPES[precision]
                assert (abs(found - exact) <= u * each).all(), (rule, around, precision)


@each_layer
@each_backend
def test_every_backend_keeps_the_rounding_bound(backend, name):
    """CONV-FLOAT-GENERAL. The relevance of neurons whose sign or denominator is undecided at float32's u is left out."""
    agree(backend, name, dyadic=False)


@each_layer
@each_backend
def test_every_backend_is_the_definition_where_sums_are_exact(backend, name):
    """CONV-FLOAT-DYADIC, at 4·n·u of Σ_k |R_{j←k}|: empty pools, ties, zeros and signs are those of the definition."""
    agree(backend, name, dyadic=True)
