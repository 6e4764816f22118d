"""The compiled core's scatters, and its convolutions of narrow groups, against NumPy written out (support/ext_by_hand.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrp_ref.arrays import Array, Shape
from support import ext_by_hand as by_hand
from support.ext_by_hand import bits, same_bits

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)

#: Around the vectors of every instruction set and type, and around panels of two of them.
CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 15, 17, 31, 32, 33, 65])


def scattered(s: Array, w: Array, stride: Shape, dilation: Shape, before: Shape, spatial: Shape) -> Array:
    """x[n, o·stride + tap·dilation − before, c] += Σ_k s[n, o, k] w[c, k, tap], group by group, in float64."""
    groups, upper, lower, *kernel = w.shape
    out = s.shape[1:-1]
    if 0 in out:
        return np.zeros((len(s), *spatial, groups * upper))
    reach = tuple((o - 1) * step + (k - 1) * d + 1 for o, step, k, d in zip(out, stride, kernel, dilation, strict=True))
    cells, s = np.zeros((len(s), *reach, groups * upper)), s.astype(np.float64)
    for tap in np.ndindex(*kernel):
        at = tuple(
            slice(t * d, t * d + (o - 1) * step + 1, step) for t, d, o, step in zip(tap, dilation, out, stride, strict=True)
        )
        for g in range(groups):
            above = s[..., g * lower : (g + 1) * lower] @ w[(g, slice(None), slice(None), *tap)].astype(np.float64).T
            cells[(slice(None), *at, slice(g * upper, (g + 1) * upper))] += above
    return by_hand.padded(cells, tuple(-b for b in before), spatial)


@dataclass(frozen=True)
class Call:
    """A scatter or a convolution and what it is called with."""

    x: Array
    weights: tuple[Array, ...]
    stride: Shape
    dilation: Shape
    before: Shape
    extents: Shape

    def scatter(self, threads: int = 1, samples: slice = slice(None)) -> list[Array]:
        made = ext.Scatter(self.weights, self.stride, self.dilation, threads)
        return made([(self.x[samples], ext.COPY, None)], self.before, self.extents, threads)

    def convolution(self, threads: int = 1, samples: slice = slice(None)) -> list[Array]:
        made = ext.Convolution(self.weights, self.stride, self.dilation, ext.DIRECT, threads)
        return made([(self.x[samples], ext.COPY, None)], self.before, self.extents, None, threads)

    def check(self, run: Callable[..., list[Array]], literal: Callable[..., Array]) -> None:
        """The literal sum to the rounding of its terms; threads and the other samples change no bit."""
        found, where = same_bits(run), (self.stride, self.dilation, self.before, self.extents)
        for y, weight in zip(found, self.weights, strict=True):
            expected, sizes = literal(self.x, weight, *where), literal(abs(self.x), abs(weight), *where)
            assert (y.dtype, y.shape) == (self.x.dtype, expected.shape)
            assert (abs(y - expected) <= by_hand.rounding(weight[0, 0].size, y.dtype) * sizes).all()
        for n in range(len(self.x)):
            assert [bits(y) for y in run(2, slice(n, n + 1))] == [bits(y[n : n + 1]) for y in found]


@st.composite
def calls(draw: st.DrawFn, narrow: bool = False) -> Call:
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> Shape:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    large = axes < 3
    if narrow:
        groups, (lower, upper) = draw(st.integers(4, 35)), draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (1, 3), (4, 1), (2, 2)]))
    else:
        groups, lower, upper = draw(st.sampled_from([1, 1, 2, 3])), draw(CHANNELS), draw(CHANNELS)
    rng, dtype = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.sampled_from([np.float32, np.float64]))
    x = rng.standard_normal((draw(st.integers(0, 2)), *each(0, 7 if large else 3), groups * lower)).astype(dtype)
    kernel = each(1, 4 if large else 3)
    weights = tuple(rng.standard_normal((groups, upper, lower, *kernel)).astype(dtype) for _ in range(draw(st.integers(1, 4))))
    return Call(x, weights, each(1, 5), each(1, 3), each(-2, 4), each(0, 12 if large else 5))


@settings(max_examples=150, deadline=None)
@given(calls())
def test_scatter_is_the_literal_sum(call):
    """Any axes, stride (beyond the kernel too), dilation, groups, channels, padding of either sign, number of samples."""
    call.check(call.scatter, scattered)


@st.composite
def few_channels(draw: st.DrawFn) -> Call:
    """Stride 1 and up to eight channels above: vectors run along the window where it is long enough."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> Shape:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    rng, dtype = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.sampled_from([np.float32, np.float64]))
    lower, upper, large = draw(st.sampled_from([3, 8, 17, 32, 40, 65])), draw(st.integers(1, 9)), axes < 3
    x = rng.standard_normal((draw(st.integers(0, 2)), *each(1, 12 if large else 3), lower)).astype(dtype)
    weights = tuple(rng.standard_normal((1, upper, lower, *each(1, 4))).astype(dtype) for _ in range(1))
    weights += tuple(rng.standard_normal(weights[0].shape).astype(dtype) for _ in range(draw(st.integers(0, 3))))
    return Call(x, weights, (1,) * axes, each(1, 2), each(-1, 3), each(0, 11 if large else 4))


@settings(max_examples=120, deadline=None)
@given(few_channels(), st.integers(0, 3))
def test_few_channels(call, which):
    """Up and down; neither the other products nor what is left in memory by another call change a bit."""
    call.check(call.convolution, by_hand.convolution)
    call.check(call.scatter, scattered)
    alone = Call(call.x, call.weights[which % len(call.weights) :][:1], call.stride, call.dilation, call.before, call.extents)
    assert bits(alone.convolution()[0]) == bits(call.convolution()[which % len(call.weights)])
    expected = [bits(y) for y in call.convolution()]
    Call(
        call.x * np.nan, call.weights, call.stride, call.dilation, call.before, call.extents
    ).convolution()  # scratch is used again
    assert [bits(y) for y in call.convolution()] == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lower", [5, 96, 150])
@pytest.mark.parametrize("filled", [0, 0.02, 0.2])
@pytest.mark.parametrize(("kernel", "stride", "upper"), [((7, 7), (2, 2), 3), ((3,), (2,), 1), ((2, 5, 4), (2, 3, 2), 2)])
def test_lines_that_are_mostly_zero(kernel, stride, upper, filled, lower, dtype):
    """They are multiplied number by number; beside numbers that fill the line the same cells get the same bits."""
    rng = np.random.default_rng(len(kernel) + lower)
    extents = (3, 4, 11)[-len(kernel) :]
    s = rng.standard_normal((2, *extents, lower)) * (rng.random((2, *extents, lower)) < filled)
    if filled:
        s[0, ..., -1] = 1e-30  # more than the winners' numbers, and small
    weights = tuple(rng.standard_normal((1, upper, lower, *kernel)).astype(dtype) for _ in range(2))
    spatial = tuple((e - 1) * step + k for e, step, k in zip(extents, stride, kernel, strict=True))
    sparse = Call(s.astype(dtype), weights, stride, (1,) * len(kernel), (0,) * len(kernel), spatial)
    sparse.check(sparse.scatter, scattered)
    beside = rng.standard_normal((2, *extents[:-1], 60, lower)).astype(dtype)
    full = np.concatenate([sparse.x, beside], axis=-2)
    wide = (*spatial[:-1], spatial[-1] + 60 * stride[-1])
    dense = Call(full, weights, stride, sparse.dilation, sparse.before, wide)
    alone = extents[-1] * stride[-1]  # cells that only the first pixels reach
    for one, other in zip(sparse.scatter(), dense.scatter(), strict=True):
        assert bits(np.ascontiguousarray(one[..., :alone, :])) == bits(np.ascontiguousarray(other[..., :alone, :]))


@settings(max_examples=80, deadline=None)
@given(calls(narrow=True))
def test_narrow_groups(call):
    call.check(call.convolution, by_hand.convolution)
    call.check(call.scatter, scattered)


# What the drawn cases are too small for: several boxes along either axis, sums of several chunks, items of several rows.
LARGE = {
    "boxes": ((2, 70, 300, 20), (1, 3, 20, 3, 3), (1, 1), (1, 1), (1, 1), (70, 300)),
    "boxes of a large stride": ((1, 20, 30, 150), (1, 2, 150, 7, 5), (4, 3), (1, 2), (2, 3), (80, 90)),
    "boxes in space": ((1, 5, 10, 20, 4), (1, 3, 4, 3, 3, 3), (2, 1, 1), (1, 2, 1), (1, 1, 1), (10, 12, 20)),
    "a long line": ((1, 3000, 10), (1, 3, 10, 5), (1,), (3,), (4,), (3000,)),
    "few channels, several bands": ((2, 300, 40, 64), (1, 3, 64, 3, 3), (1, 1), (1, 1), (1, 1), (300, 40)),
    "few channels in space": ((1, 6, 40, 30, 20), (1, 2, 20, 3, 5, 3), (1, 1, 1), (1, 2, 1), (1, 4, 1), (6, 40, 30)),
    "phases": ((2, 20, 20, 40), (1, 70, 40, 3, 3), (2, 2), (1, 1), (1, 1), (40, 40)),
    "narrow": ((2, 30, 40, 70), (70, 1, 1, 5, 5), (2, 1), (1, 1), (2, 2), (30, 40)),
    "narrow and long": ((1, 4000, 40), (40, 1, 1, 3), (1,), (1,), (1,), (4000,)),
    "narrow, many taps": ((1, 20, 20, 40), (40, 1, 1, 13, 11), (1, 1), (1, 1), (6, 5), (20, 20)),
}


@pytest.mark.parametrize(("shape", "weight", "stride", "dilation", "before", "extents"), LARGE.values(), ids=LARGE)
def test_scatter_in_blocks(shape, weight, stride, dilation, before, extents):
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype(np.float32)
    weights = tuple(rng.standard_normal(weight).astype(np.float32) for _ in range(2))
    call = Call(x, weights, stride, dilation, before, extents)
    call.check(call.scatter, scattered)
    if weight[0] > 1:
        call.check(call.convolution, by_hand.convolution)


@pytest.mark.parametrize("groups", [1, 40])
def test_parts_of_what_is_scattered(groups):
    """Several shares' factors at once, s_q = c·q_q, and their weights side by side; several targets have one factor."""
    rng = np.random.default_rng(6)
    message, factors = rng.standard_normal((4, 6, 5, 40)), [rng.standard_normal((2, 6, 5, 40)) for _ in range(2)]
    weights = [rng.standard_normal((groups, 3 if groups == 1 else 1, 2 * 40 // groups, 3, 3)) for _ in range(2)]
    made = ext.Scatter(weights, (2, 2), (1, 1), 1)
    found = made([(message, ext.TIMES, factor) for factor in factors], (1, 1), (12, 10), 2)
    parts = [(message * np.repeat(factor, 2, axis=0)).reshape(4, 6, 5, groups, 40 // groups) for factor in factors]
    side_by_side = np.concatenate(parts, axis=-1).reshape(4, 6, 5, 80)
    assert [bits(y) for y in found] == [bits(y) for y in made([(side_by_side, ext.COPY, None)], (1, 1), (12, 10), 1)]


def test_weights_of_a_scatter_in_any_order():
    rng = np.random.default_rng(7)
    for shape in ((1, 3, 20, 3, 3), (2, 17, 20, 3, 3), (40, 1, 1, 3, 3)):
        w, x = rng.standard_normal(shape), rng.standard_normal((1, 5, 5, shape[0] * shape[2]))
        run = [
            ext.Scatter([v], (2, 2), (1, 1), 1)([(x, ext.COPY, None)], (1, 1), (9, 9), 1)[0] for v in (w, np.asfortranarray(w))
        ]
        assert bits(run[0]) == bits(run[1])


S, SW = np.zeros((2, 6, 6, 4), np.float32), np.zeros((1, 5, 4, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"parts": []}),
        (ValueError, {"parts": [(S, ext.COPY, None)] * 2}),
        (ValueError, {"parts": [(S[0], ext.COPY, None)]}),
        (TypeError, {"parts": [(S.astype(np.float64), ext.COPY, None)]}),
        (ValueError, {"before": (1,)}),
        (ValueError, {"spatial": (6,)}),
        (ValueError, {"spatial": (-6, 6)}),
        ((ValueError, MemoryError), {"spatial": (2**40, 2**40)}),
        ((ValueError, MemoryError), {"spatial": (2**45, 1)}),
        (ValueError, {"threads": 0}),
    ],
)
def test_wrong_scatters_are_refused(error, arguments):
    call = {"parts": [(S, ext.COPY, None)], "before": (1, 1), "spatial": (6, 6), "threads": 1} | arguments
    with pytest.raises(error):
        ext.Scatter([SW], (1, 1), (1, 1), 1)(*call.values())


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, ([], (1, 1), (1, 1), 1)),
        (ValueError, ([SW] * 5, (1, 1), (1, 1), 1)),
        (TypeError, ([SW, SW.astype(np.float64)], (1, 1), (1, 1), 1)),
        (ValueError, ([SW], (1,), (1, 1), 1)),
        (ValueError, ([SW], (0, 1), (1, 1), 1)),
        (ValueError, ([SW], (1, 1), (1, 1), 0)),
        ((ValueError, MemoryError), ([np.broadcast_to(np.float32(1), (1, 2**28, 2**28, 3, 3))], (1, 1), (1, 1), 1)),
        ((ValueError, MemoryError), ([np.broadcast_to(np.float32(1), (2**50, 1, 1, 3, 3))], (1, 1), (1, 1), 1)),
        ((ValueError, MemoryError), ([np.broadcast_to(np.float32(1), (1, 40, 40, 2**25, 2**25))], (2**25, 2**25), (1, 1), 1)),
    ],
)
def test_wrong_weights_of_a_scatter_are_refused(error, arguments):
    with pytest.raises(error):
        ext.Scatter(*arguments)
