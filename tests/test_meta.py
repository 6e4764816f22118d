"""The tests' own tools: do the strategies reach the corners, are the literal loops and the bounds what they claim?"""

import inspect
from fractions import Fraction

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings

from lrp_ref import layers as L
from support import more_layers, naive
from support.strategies import (
    ACTIVATIONS,
    IRRATIONAL,
    KINDS,
    LAYOUTS,
    LINEAR,
    POOLS,
    RATIONAL,
    REARRANGEMENTS,
    SELECTING,
    arrays,
    cases,
    cast,
    dyadics,
    floats,
    geometries,
    laid_out,
    layers,
    linear_cases,
    linear_layers,
    negatives,
    nonnegatives,
    nonzero,
    pool_cases,
    pool_layers,
    positives,
    zeros,
)

# ---- nothing is left out ---------------------------------------------------------------------------------------------


def test_every_public_layer_is_drawn_and_has_its_loops():
    public = {getattr(L, name) for name in L.__all__}
    concrete = {kind for kind in public if not inspect.isabstract(kind)}
    assert concrete == set(KINDS) | set(more_layers.CASES)
    assert set(naive._FORWARD) == set(KINDS)
    assert all(kind.__doc__ for kind in public)


def test_families():
    assert len(set(LINEAR)) == 13
    assert len(set(POOLS)) == 6
    assert set(SELECTING) == {L.MaxPool, L.GlobalMaxPool}
    assert set(REARRANGEMENTS) == {L.Concat, L.Flatten, L.Reshape, L.Transpose, L.Pad, L.Dropout, L.Identity}
    assert set(IRRATIONAL) < set(ACTIVATIONS)
    assert set(RATIONAL) | set(IRRATIONAL) == set(KINDS)
    assert not set(RATIONAL) & set(IRRATIONAL)


# ---- the corners are reached -----------------------------------------------------------------------------------------

SEARCH = settings(max_examples=400, derandomize=True, database=None, phases=[hypothesis.Phase.generate])


def each(value, dims):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims


def stride_of(layer, dims):
    return each(layer.kernel if layer.stride is None else layer.stride, dims)


def dims_of(case):
    return case.inputs[0].ndim - 2


CORNERS = [
    # numbers and batches
    (KINDS, "an empty batch", lambda c: c.batch == 0),
    (KINDS, "a batch", lambda c: c.batch > 1),
    (KINDS, "a negative zero", lambda c: any((np.signbit(a) & (a == 0)).any() for a in c.inputs)),
    (KINDS, "all inputs zero", lambda c: c.batch and not any(a.any() for a in c.inputs)),
    (KINDS, "all inputs negative", lambda c: c.batch and all((a < 0).all() for a in c.inputs)),
    (KINDS, "mixed signs", lambda c: any((a < 0).any() and (a > 0).any() for a in c.inputs)),
    (KINDS, "an input in no simple order", lambda c: c.batch > 1 and not any(
        a.flags.c_contiguous or a.flags.f_contiguous for a in c.inputs)),
    # convolution
    ((L.Conv, L.ConvTranspose), "no bias", lambda c: c.layer.bias is None),
    ((L.Conv, L.ConvTranspose), "a bias per channel", lambda c: c.layer.bias is not None and c.layer.bias.ndim == 1),
    ((L.Conv, L.ConvTranspose), "a bias map", lambda c: c.layer.bias is not None and c.layer.bias.ndim > 1),
    ((L.Conv, L.ConvTranspose), "groups", lambda c: c.layer.groups > 1),
    ((L.Conv, L.ConvTranspose), "depthwise", lambda c: c.layer.groups == c.layer.lower > 1),
    ((L.Conv, L.ConvTranspose), "groups of several channels", lambda c: 1 < c.layer.groups < c.layer.lower),
    ((L.Conv, L.ConvTranspose), "stride > kernel", lambda c: any(
        s > k for s, k in zip(c.layer.stride, c.layer.weight.shape[2:], strict=True))),
    ((L.Conv, L.ConvTranspose), "dilation", lambda c: any(
        d > 1 and k > 1 for d, k in zip(c.layer.dilation, c.layer.weight.shape[2:], strict=True))),
    ((L.Conv, L.ConvTranspose), "asymmetric padding", lambda c: any(b != a for b, a in c.layer.padding)),
    ((L.Conv, L.ConvTranspose), "1-d", lambda c: dims_of(c) == 1),
    ((L.Conv, L.ConvTranspose), "2-d", lambda c: dims_of(c) == 2),
    ((L.Conv, L.ConvTranspose), "3-d", lambda c: dims_of(c) == 3),
    ((L.Conv,), "cells at the end that no window sees", lambda c: any(
        (n + sum(p) - d * (k - 1) - 1) % s
        for n, p, d, k, s in zip(c.shapes[0][2:], c.layer.padding, c.layer.dilation,
                                 c.layer.weight.shape[2:], c.layer.stride, strict=True))),
    ((L.ConvTranspose,), "output padding", lambda c: any(c.layer.output_padding)),
    # pooling
    ((L.MaxPool, L.AvgPool, L.SumPool), "overlap", lambda c: any(
        s < k for s, k in zip(stride_of(c.layer, dims_of(c)), each(c.layer.kernel, dims_of(c)), strict=True))),
    ((L.MaxPool, L.AvgPool, L.SumPool), "gaps", lambda c: any(
        s > k for s, k in zip(stride_of(c.layer, dims_of(c)), each(c.layer.kernel, dims_of(c)), strict=True))),
    ((L.MaxPool, L.AvgPool, L.SumPool), "padding", lambda c: np.any(np.array(naive.pairs(c.layer.padding, dims_of(c))))),
    ((L.MaxPool, L.AvgPool, L.SumPool), "an int for every axis", lambda c: isinstance(c.layer.kernel, int)),
    ((L.MaxPool, L.AvgPool, L.SumPool), "ceil mode that makes a difference", lambda c: c.layer.ceil_mode and (
        windows_of(c, True) != windows_of(c, False))),
    ((L.MaxPool, L.AvgPool, L.SumPool), "an input smaller than the window", lambda c: 0 in windows_of(c, False)),
    ((L.AvgPool,), "uncounted padding beside ceil mode", lambda c: c.layer.ceil_mode and not c.layer.count_include_pad),
    # axes
    ((L.Mean,), "a negative axis", lambda c: any(axis < 0 for axis in c.layer.axes)),
    ((L.Concat, L.Softmax, L.LogSoftmax), "a negative axis", lambda c: c.layer.axis < 0),
    ((L.Add, L.Subtract, L.Multiply), "broadcasting", lambda c: len({*c.shapes}) > 1),
    ((L.Reshape,), "an open extent", lambda c: -1 in c.layer.to),
    ((L.Transpose,), "a permutation that is not its own inverse", lambda c: tuple(
        np.argsort(c.layer.axes)) != c.layer.axes),
    ((L.Scale,), "fewer axes than the input", lambda c: c.layer.weight.ndim < c.inputs[0].ndim - 1),
    ((L.Dense,), "axes in between", lambda c: c.inputs[0].ndim > 2),
    ((L.BatchNorm,), "neither scale nor shift", lambda c: c.layer.scale is None and c.layer.shift is None),
]  # fmt: skip


def windows_of(case, ceil_mode):
    """How many windows there are along each axis."""
    layer, dims = case.layer, dims_of(case)
    return tuple(
        len(naive.windows_along(n, k, s, d, *p, ceil_mode))
        for n, k, s, d, p in zip(
            case.shapes[0][2:],
            each(layer.kernel, dims),
            stride_of(layer, dims),
            each(layer.dilation, dims),
            naive.pairs(layer.padding, dims),
            strict=True,
        )
    )


@pytest.mark.parametrize(("kinds", "name", "reached"), CORNERS, ids=[name for _, name, _ in CORNERS])
def test_corners_are_reached(kinds, name, reached):
    for kind in kinds if kinds is not KINDS else [None]:
        strategy = cases() if kind is None else cases(kind)
        hypothesis.find(strategy, reached, settings=SEARCH)  # raises NoSuchExample


@given(geometries())
def test_geometries_fit(g):
    for n, k, d, (before, after) in zip(g.spatial, g.kernel, g.dilation, g.padding, strict=True):
        assert n >= 1
        assert n + before + after >= d * (k - 1) + 1


# ---- what is drawn is what was asked for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "holds"),
    [
        (zeros(), lambda x: x == 0),
        (positives(), lambda x: x > 0),
        (negatives(), lambda x: x < 0),
        (nonnegatives(), lambda x: x >= 0),
        (nonzero(dyadics()), lambda x: x != 0),
        (floats(8), lambda x: x == 0 or 2**-20 <= abs(x) <= 8),
    ],
)
def test_numbers_are_of_their_kind_and_fit_every_type(numbers, holds):
    @given(arrays((3, 2), numbers))
    def check(a):
        assert a.dtype == np.float64
        assert a.shape == (3, 2)
        assert all(holds(x) for x in a.flat)
        assert (cast(a, np.float32) == a).all()
        assert (cast(a, object) == a).all()

    check()


@given(cases())
def test_a_case_means_the_same_in_every_number_type(case):
    narrow, exact = case.astype(np.float32), case.astype(object)
    for a, b, c in zip(case.inputs, narrow.inputs, exact.inputs, strict=True):
        assert b.dtype == np.float32
        assert all(type(value) is Fraction for value in c.flat)
        assert (a == b).all()
        assert (a == c).all()
    assert (exact.relevance == case.relevance).all()


@given(cases())
def test_a_case_fits_together(case):
    assert case.layer.shape(*case.shapes) == case.relevance.shape
    assert case.dtype == np.float64
    for n in range(case.batch):
        alone = case.sample(n)
        assert alone.batch == 1
        assert (alone.relevance == case.relevance[n]).all()
        assert all((a == b[n]).all() for a, b in zip(alone.inputs, case.inputs, strict=True))


@given(linear_cases(), pool_cases(), linear_layers(), pool_layers(), layers(L.Dense, batch=hypothesis.strategies.just(7)))
def test_families_are_drawn_alone(linear, pool, linear_layer, pool_layer, dense):
    assert isinstance(linear.layer, L.Linear)
    assert type(pool.layer) in POOLS
    assert isinstance(linear_layer[0], L.Linear)
    assert type(pool_layer[0]) in POOLS
    assert type(dense[0]) is L.Dense
    assert dense[1][0][0] == 7


def test_layouts_are_what_they_say():
    """The same values behind four different sets of strides."""
    values = np.arange(12.0).reshape(3, 4)
    views = [laid_out(values, layout) for layout in LAYOUTS]
    assert len({view.strides for view in views}) == len(LAYOUTS)
    assert all((view == values).all() for view in views)


# ---- the loops and their bound ---------------------------------------------------------------------------------------


def test_magnitudes_by_hand():
    """Σ|terms|, the bias being one of them."""
    a = np.array([[1.0, -2.0]])
    assert naive.magnitude(L.Dense([[3], [-5]], [-7]), a).tolist() == [[3 + 10 + 7]]
    assert naive.magnitude(L.Subtract(), a, a).tolist() == [[2, 4]]
    norm = L.BatchNorm([3, -3], [4, 4], [2, -2], [-1, 1], epsilon=0).astype(object)
    assert naive.magnitude(norm, cast(a, object)).tolist() == [[1 + 3 + 1, 2 + 3 + 1]]


def test_windows_along_one_axis_by_hand():
    """Five cells: windows of 2 every 2 fit twice; with ceil mode a third starts on the last cell."""
    assert naive.windows_along(5, 2, 2, 1, 0, 0, False) == [[0, 1], [2, 3]]
    assert naive.windows_along(5, 2, 2, 1, 0, 0, True) == [[0, 1], [2, 3], [4, 5]]
    assert naive.windows_along(3, 2, 1, 2, 1, 1, False) == [[-1, 1], [0, 2], [1, 3]]


@given(linear_cases(numbers=floats(), inputs=floats()))
def test_loops_in_floats_are_near_the_loops_in_rationals(case):
    """They compute in the number type of the data, so the loops themselves are a twin in float64 too."""
    if isinstance(case.layer, L.BatchNorm):
        return  # its loops are written for rationals
    exact = case.astype(object)
    found = naive.forward(case.layer, *case.inputs)
    assert found.dtype == np.float64
    off = abs(cast(found, object) - naive.forward(exact.layer, *exact.inputs))
    m = sum(a[:1].size for a in case.inputs) + 3
    assert (off <= Fraction(2 * m, 2**53) * naive.magnitude(exact.layer, *exact.inputs)).all()


def test_the_bound_is_tight_enough_to_see_a_narrower_type():
    """A pass in float32 is outside the bound of float64 by far; so is one relative error of 2^-46."""
    rng = np.random.default_rng(0)
    layer, x = L.Dense(rng.standard_normal((5, 4))), rng.standard_normal((3, 5))
    exact, terms = layer.astype(object), cast(x, object)
    bound = Fraction(8, 2**53) * naive.magnitude(exact, terms)
    z = layer.forward(x)
    for found, inside in (
        (z, True),
        (layer.forward(x.astype(np.float32)).astype(np.float64), False),
        (z * (1 + 2**-46), False),
    ):
        assert (abs(cast(found, object) - naive.forward(exact, terms)) <= bound).all() == inside
