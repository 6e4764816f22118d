"""A linear layer is a pair of maps, each the other's transpose; what moves elements has one too. All in rationals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.layers.window import Window, gather, scatter, window_spread, window_sum
from support import naive
from support.strategies import LINEAR, REARRANGEMENTS, SELECTING, cases, fewer, floats, geometries


def dense_values(shape, seed):
    """Rationals without structure: Hypothesis draws the geometry, and the values must not hide a wrong one."""
    return fractions(np.random.default_rng(seed).integers(-99, 100, size=shape) / 8.0)


def inner(a, b):
    """⟨a, b⟩, after checking that it means anything."""
    assert a.shape == b.shape
    assert all(type(value) is Fraction for array in (a, b) for value in array.flat)
    return sum((x * y for x, y in zip(a.flat, b.flat, strict=True)), Fraction(0))


@pytest.mark.parametrize("kind", LINEAR)
def test_map_and_adjoint_are_transposes_of_each_other(kind):
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        s = dense_values(case.relevance.shape, 0)
        for i, (shape, own) in enumerate(zip(case.shapes, case.layer.weights, strict=True)):
            a, weight = dense_values(shape, 1 + i), dense_values(own.shape, 10 + i)
            assert inner(spread(case.layer.map(a, weight), s.shape), s) == inner(a, case.layer.adjoint(s, weight, shape))

    check()


def spread(z, shape):
    """What one of several inputs contributes to the output: it may broadcast against the others."""
    return np.broadcast_to(z, shape)


@pytest.mark.parametrize("kind", LINEAR)
def test_both_maps_are_linear_in_the_array_and_in_the_weight(kind):
    """A rule hands in any weight, modified or not, so the weight counts as an argument."""
    c = Fraction(-3, 4)

    @fewer
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        layer, out = case.layer, case.relevance.shape
        s, t = dense_values(out, 0), dense_values(out, 1)
        for shape, own in zip(case.shapes, layer.weights, strict=True):
            a, b = dense_values(shape, 2), dense_values(shape, 3)
            v, w = dense_values(own.shape, 4), dense_values(own.shape, 5)
            assert (layer.map(a + c * b, w) == layer.map(a, w) + c * layer.map(b, w)).all()
            assert (layer.map(a, v + c * w) == layer.map(a, v) + c * layer.map(a, w)).all()
            back = layer.adjoint(s, w, shape)
            assert (layer.adjoint(s + c * t, w, shape) == back + c * layer.adjoint(t, w, shape)).all()
            assert (layer.adjoint(s, w + c * v, shape) == back + c * layer.adjoint(s, v, shape)).all()

    check()


@pytest.mark.parametrize("kind", LINEAR)
def test_forward_is_the_maps_of_the_layer_s_own_weights_and_the_bias(kind):
    @fewer
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        found = case.layer.forward(*case.inputs)
        z = sum(case.layer.map(a, fractions(w)) for a, w in zip(case.inputs, case.layer.weights, strict=True))
        bias = case.layer.offset(found.ndim)
        assert len(case.layer.weights) == case.layer.arity == len(case.inputs)
        assert (found == (z if bias is None else z + bias)).all()

    check()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_maps_keep_the_number_type(dtype):
    @given(cases(*LINEAR, numbers=floats(), inputs=floats(), relevance=floats()))
    def check(drawn):
        case = drawn.astype(dtype)
        for a, w in zip(case.inputs, case.layer.weights, strict=True):
            assert case.layer.map(a, w.astype(dtype)).dtype == dtype
            back = case.layer.adjoint(case.relevance, w.astype(dtype), a.shape)
            assert back.dtype == dtype
            assert back.shape == a.shape

    check()


# ---- windows ---------------------------------------------------------------------------------------------------------


@st.composite
def windows(draw):
    """A window, the shape of an input that it fits, and the extents of its output."""
    g = draw(geometries())
    window = Window.of(g.kernel, g.stride, g.padding, g.dilation, draw(st.booleans()), dims=g.dims)
    return window, (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *g.spatial), window.outputs(g.spatial)


@given(windows())
def test_gather_is_what_the_definition_says(drawn):
    """Output cell o sees, through tap t, the input cell o·stride + t·dilation − before, and 0 outside."""
    window, shape, out = drawn
    x = dense_values(shape, 0)
    columns = gather(x, window, out)
    assert columns.shape == (*shape[:2], window.taps, *out)
    for tap, t in enumerate(np.ndindex(*window.kernel)):
        for o in np.ndindex(*out):
            i = tuple(
                oo * s + tt * d - before
                for oo, s, tt, d, (before, _) in zip(o, window.stride, t, window.dilation, window.padding, strict=True)
            )
            inside = all(0 <= k < n for k, n in zip(i, shape[2:], strict=True))
            seen = columns[(slice(None), slice(None), tap, *o)]
            assert (seen == (x[(slice(None), slice(None), *i)] if inside else 0)).all()


@given(windows())
def test_gather_and_scatter_are_transposes_of_each_other(drawn):
    window, shape, out = drawn
    x, columns = dense_values(shape, 0), dense_values((*shape[:2], window.taps, *out), 1)
    assert inner(gather(x, window, out), columns) == inner(x, scatter(columns, window, shape))


@given(windows())
def test_window_sums_are_gather_and_scatter_without_columns(drawn):
    window, shape, out = drawn
    x, s = dense_values(shape, 0), dense_values((*shape[:2], *out), 1)
    assert (window_sum(x, window, out) == gather(x, window, out).sum(axis=2)).all()
    columns = np.repeat(s[:, :, None], window.taps, axis=2)
    assert (window_spread(s, window, shape) == scatter(columns, window, shape)).all()
    assert inner(window_sum(x, window, out), s) == inner(x, window_spread(s, window, shape))


@given(geometries())
def test_windows_fit_where_they_must_and_nowhere_else(g):
    """The last window ends inside the padded input, and one more would not."""
    window = Window.of(g.kernel, g.stride, g.padding, g.dilation, dims=g.dims)
    for axis, (n, out) in enumerate(zip(g.spatial, window.outputs(g.spatial), strict=True)):
        room = n + sum(g.padding[axis])
        assert window.padded((out,) * g.dims)[axis] <= room < window.padded((out + 1,) * g.dims)[axis]


# ---- layers that select or move --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SELECTING)
def test_cells_and_spread_are_transposes_of_each_other(kind):
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        a = dense_values(case.shapes[0], 0)
        cells, exist = case.layer.cells(a)
        columns = dense_values(cells.shape, 1)
        assert inner(cells, columns) == inner(a, case.layer.spread(columns, a.shape))
        # What does not exist holds 0 and comes from nowhere.
        assert not cells[~np.broadcast_to(exist, cells.shape)].any()

    check()


@pytest.mark.parametrize("kind", SELECTING)
def test_the_sum_over_the_same_windows(kind):
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        pooled = case.layer.as_sum().forward(*case.inputs)
        assert pooled.shape == case.layer.shape(*case.shapes)
        assert (pooled == naive.forward(case.layer.as_sum(), *case.inputs)).all()
        assert (pooled == case.layer.cells(case.inputs[0])[0].sum(axis=2)).all()

    check()


@pytest.mark.parametrize("kind", REARRANGEMENTS)
def test_restore_is_the_transpose_of_forward(kind):
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        x = tuple(dense_values(shape, i) for i, shape in enumerate(case.shapes))
        r = dense_values(case.relevance.shape, 9)
        back = case.layer.adjoint(r, *case.shapes)
        assert inner(case.layer.forward(*x), r) == sum(inner(a, part) for a, part in zip(x, back, strict=True))

    check()


@pytest.mark.parametrize("kind", REARRANGEMENTS)
def test_restore_puts_everything_back_where_it_came_from(kind):
    @fewer
    @given(cases(kind))
    def check(drawn):
        back = drawn.layer.adjoint(drawn.layer.forward(*drawn.inputs), *drawn.shapes)
        for a, part in zip(drawn.inputs, back, strict=True):
            np.testing.assert_array_equal(part, a)

    check()


def test_the_constant_of_an_average_belongs_to_both_maps_and_not_to_the_weight():
    layer = L.AvgPool(2)
    assert [w.tolist() for w in layer.weights] == [[1.0]]
    weight = np.ones(1)
    assert layer.map(np.array([[[3.0, 5.0]]]), weight).tolist() == [[[4.0]]]
    assert layer.adjoint(np.array([[[1.0]]]), weight, (1, 1, 2)).tolist() == [[[0.5, 0.5]]]
