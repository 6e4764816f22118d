"""The compiled core's dense layers, finish of arrays and pooling windows, against NumPy written out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lrp_ref.arrays import Array, Shape
from support import ext_by_hand as by_hand
from support.ext_by_hand import bits, same_bits

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)
oddities = pytest.importorskip("lrp_ref.kernels.numpy.oddities")

#: Around the vectors of every instruction set and type, and around panels of two of them.
CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 15, 17, 31, 32, 33, 65])
TYPES = st.sampled_from([np.float32, np.float64])


# ---- dense layers -----------------------------------------------------------------------------------------------------------


@st.composite
def dense_cases(draw: st.DrawFn) -> tuple[Array, Array]:
    samples = draw(st.sampled_from([0, 1, 2, 3, 6, 7, 16, 17, 100, 257]))
    lower, upper = draw(st.sampled_from([0, 1, 3, 15, 16, 31, 127, 128, 129, 600])), draw(CHANNELS | st.sampled_from([0, 300]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((samples, lower))
    x[:, rng.random(lower) < draw(st.sampled_from([0.0, 0.5, 0.99, 1.0]))] = draw(st.sampled_from([0.0, -0.0]))
    x[rng.random(x.shape) < 0.3] = 0
    weight, dtype = rng.standard_normal((lower, upper)), draw(TYPES)
    return x.astype(dtype), np.asarray(weight, dtype, order=draw(st.sampled_from(["C", "F"])))


@settings(max_examples=150, deadline=None)
@given(dense_cases())
def test_rows_are_the_product(case):
    """x @ weight, to the rounding of its sum; threads and the other samples change no bit, zeros come out as +0."""
    x, weight = case
    (y,) = same_bits(lambda threads: [ext.dense(x, weight, threads)])
    assert y.dtype == x.dtype
    expected, sizes = x.astype(np.float64) @ weight, abs(x).astype(np.float64) @ abs(weight)
    assert (abs(y - expected) <= by_hand.rounding(x.shape[1], x.dtype) * sizes).all()
    assert not np.signbit(y[sizes == 0]).any()
    for n in range(0, len(x), 1 + len(x) // 5):
        assert bits(ext.dense(x[n : n + 1], weight, 1)) == bits(y[n : n + 1])


@settings(max_examples=100, deadline=None)
@given(dense_cases(), st.sampled_from([1, 2, 3]), st.booleans())
def test_rows_that_nobody_wants_are_zero(case, targets, summed):
    """The others have the bits that they have anyway; `wanted` may have a row for several samples."""
    x, weight = case
    rng = np.random.default_rng(1)
    x = np.repeat(x, targets, axis=0)
    wanted = (rng.random((len(x) // targets, weight.shape[1])) < 0.4).astype(x.dtype) * x.dtype.type(rng.choice([-1, 1, 0.5]))
    wanted[:, rng.random(weight.shape[1]) < 0.5] = 0
    total = rng.standard_normal((len(x), weight.shape[1])).astype(x.dtype) if summed else None
    whole = ext.dense(x, weight, 1, total)
    (y,) = same_bits(lambda threads: [ext.dense(x, weight, threads, total, wanted)])
    assert bits(y) == bits(np.where(np.repeat(wanted, targets, axis=0) != 0, whole, x.dtype.type(0)))
    for n in range(0, len(wanted), 1 + len(wanted) // 5):
        rows = slice(n * targets, (n + 1) * targets)
        given_ = None if total is None else total[rows]
        assert bits(ext.dense(x[rows], weight, 1, given_, wanted[n : n + 1])) == bits(y[rows])


def test_the_end_of_a_row_is_not_the_beginning_of_the_next():
    """Weights whose rows end within a line: what lies behind a row, infinities too, is not multiplied by 0."""
    for lower in (1, 5, 15, 17, 33):
        weight = np.ones((3, lower), np.float32)
        weight[1] = np.inf
        y = ext.dense(np.ones((1, lower), np.float32), weight.T, 1)
        assert y.tolist() == [[lower, np.inf, lower]]


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_added_to_a_total(order):
    rng = np.random.default_rng(1)
    for samples in (1, 40):
        x, weight, total = rng.standard_normal((samples, 50)), rng.standard_normal((50, 33)), rng.standard_normal((samples, 33))
        kept = total.copy()
        assert bits(ext.dense(x, weight.copy(order), 2, total)) == bits(kept + ext.dense(x, weight.copy(order), 1))
        assert bits(total) == bits(kept)


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_a_network_s_size(order):
    """More than one round of chunks, panels of several blocks, a last line that is not full."""
    rng = np.random.default_rng(2)
    weight = np.asarray(rng.standard_normal((2999, 1111)), np.float32, order=order)
    x = np.maximum(rng.standard_normal((300, 2999)), 0).astype(np.float32)
    for samples in (1, 15, 300):
        (y,) = same_bits(lambda threads, a=x[:samples]: [ext.dense(a, weight, threads)])
        sizes = x[:samples].astype(np.float64) @ abs(weight)
        assert (abs(y - x[:samples].astype(np.float64) @ weight) <= by_hand.rounding(2999, y.dtype) * sizes).all()
        assert bits(ext.dense(x[:1], weight, 1)) == bits(y[:1])


def test_rows_of_the_weight_that_meet_zeros_are_not_read():
    """So what they hold does not matter: for a lot of samples, too."""
    rng = np.random.default_rng(3)
    for samples in (1, 5, 50):
        x, weight = rng.standard_normal((samples, 200)), rng.standard_normal((200, 40))
        x[:, 20:150] = 0
        y = ext.dense(x, weight, 1)
        weight[20:150] = np.nan
        assert bits(ext.dense(x, weight, 2)) == bits(y)


X, W = np.zeros((2, 6), np.float32), np.zeros((6, 4), np.float32)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, (X, W[:5], 1)),
        (ValueError, (X[0], W, 1)),
        (ValueError, (X[:, ::2], W[:3], 1)),
        (ValueError, (X, np.zeros((12, 8), np.float32)[::2, ::2], 1)),
        (TypeError, (X, W.astype(np.float64), 1)),
        (TypeError, (X.astype(np.int32), W, 1)),
        (TypeError, (X.tolist(), W, 1)),
        (ValueError, (X, W, 0)),
        (ValueError, (X, W, 1, np.zeros((2, 5), np.float32))),
        (TypeError, (X, W, 1, np.zeros((2, 4)))),
    ],
)
def test_wrong_rows_are_refused(error, arguments):
    with pytest.raises(error):
        ext.dense(*arguments)


# ---- finite? ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5), (1, 40, 33), (3, 70, 50, 17), (2, 200, 200, 3), (0, 4), (4, 0)])
def test_one_number_that_is_not_finite_is_found(shape, dtype):
    rng = np.random.default_rng(1)
    whole = rng.standard_normal((*shape[:-1], shape[-1] + 9)).astype(dtype)
    whole[..., shape[-1] + 4 :] = np.nan
    for x in (np.ascontiguousarray(whole[..., 4 : 4 + shape[-1]]), whole[..., 4 : 4 + shape[-1]]):
        x.ravel()[:1] = np.finfo(dtype).max
        assert all(ext.finite(x, threads) for threads in (1, 2, 3))
        for _ in range(20 if x.size else 0):
            at = tuple(rng.integers(extent) for extent in shape)
            kept, x[at] = x[at], rng.choice([np.nan, np.inf, -np.inf])
            assert not any(ext.finite(x, threads) for threads in (1, 2))
            x[at] = kept
        assert ext.finite(x, 1)


def test_finite_takes_slices_of_channels_alone():
    x = np.zeros((4, 6, 8))
    for wrong in (x[:, :, ::2], x[:, :5], x[::-1], np.broadcast_to(x[:, :1], x.shape)):
        with pytest.raises(ValueError, match="channels"):
            ext.finite(wrong, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 5), (1, 40, 33), (3, 70, 50, 17), (2, 200, 200, 3), (0, 4), (4, 0)])
def test_the_least_size_that_is_not_zero(shape, dtype):
    """Zeros of either sign do not count, subnormal numbers do, and neither do numbers beside a slice of channels."""
    rng = np.random.default_rng(1)
    whole = rng.standard_normal((*shape[:-1], shape[-1] + 9) if shape else ()).astype(dtype)
    inside = slice(4, 4 + shape[-1]) if shape else ()
    for part in (np.zeros_like(whole), whole):
        x = part[..., inside] if shape else part
        if shape:
            part[..., : inside.start], part[..., inside.stop :] = 1e-30, -1e-30
        some = abs(x[x != 0])
        for seen in (x, np.ascontiguousarray(x)) if shape else (x,):
            assert all(ext.least_size(seen, threads) == some.min(initial=np.inf) for threads in (1, 2))
    for value in (0.0, -0.0, -1e-5, float(np.finfo(dtype).smallest_subnormal)) if whole.size and shape and shape[-1] else ():
        x = np.array(whole[..., inside])
        x[tuple(rng.integers(extent) for extent in shape)] = value
        assert ext.least_size(x, 2) == abs(x[x != 0]).min(initial=np.inf)


# ---- finish of arrays ---------------------------------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1e-3, -1e-3, 0.5, -0.5, 1.0, -2.0, np.inf, -np.inf, np.nan]


def finished(
    products: list[Array], bias: Array | None, shares: list[tuple], rectified: bool, quotient: bool
) -> tuple[list[Array], int]:
    """The operations of `lrp_ref.kernels.numpy.linear`, one by one, and what is odd about the denominators."""
    z = products[0] if bias is None else products[0] + bias
    dtype = z.dtype.type
    output = np.maximum(z, dtype(0)) if rectified else z
    found, odd = [output], 0
    for product, half, own, stabiliser, epsilon, where, coefficient in shares:
        bottom = z if product == 0 else products[product] if product > 0 else np.zeros_like(z)
        if half:
            bottom = dtype(0.5) * (bottom + products[0])
        if product != 0 and own is not None:
            bottom = bottom + own
        if stabiliser == ext.SIGNED:
            bottom = bottom + np.where(bottom < 0, -dtype(1), dtype(1)) * dtype(epsilon)
        elif stabiliser == ext.UNSIGNED:
            bottom = bottom + dtype(epsilon)
        dead = (bottom == 0) | ~np.isfinite(bottom)
        served = np.ones(z.shape, bool) if where == ext.ALL else ~(z < 0) if where == ext.NONNEGATIVE else ~(z >= 0)
        odd |= oddities.kinds_of(bottom, served & (output != 0) if quotient else served)
        dead = dead | ~served
        bottom = np.where(dead, dtype(np.inf), bottom)
        if quotient:
            factor = output / bottom
            found.append(factor * dtype(coefficient) if coefficient != 1 else factor)
        else:
            found.append(bottom / dtype(coefficient))
    return found, odd


def alike(found: Array, expected: Array) -> bool:
    """The same bits; a NaN is a NaN, whatever its sign."""
    nan = np.isnan(expected)
    return bool((np.isnan(found) == nan).all()) and bits(np.where(nan, 0, found)) == bits(np.where(nan, 0, expected))


@st.composite
def finishes(draw: st.DrawFn) -> tuple[list[Array], Array | None, list[tuple], bool, bool]:
    dtype, rng = draw(TYPES), np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(0, 3)), *(draw(st.integers(0, 5)) for _ in range(draw(st.integers(0, 3)))), draw(CHANNELS))

    def numbers(extents: Shape) -> Array:
        return rng.choice(SPECIAL, extents).astype(dtype)

    products = [numbers(shape) for _ in range(draw(st.integers(1, 4)))]
    of_bias = shape[1:] if draw(st.booleans()) else shape[-1:]
    known = [(p, half) for p in range(-1, len(products)) for half in (False, True) if p > 0 or not half]
    shares = [
        (
            *draw(st.sampled_from(known)),
            numbers(of_bias) if draw(st.booleans()) else None,
            draw(st.sampled_from([ext.EXACT, ext.SIGNED, ext.UNSIGNED])),
            draw(st.sampled_from([0.0, 1e-3, 0.5])),
            draw(st.sampled_from([ext.ALL, ext.NONNEGATIVE, ext.NEGATIVE_ONLY])),
            draw(st.sampled_from([1.0, 2.0, -1.0])),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    return products, numbers(of_bias) if draw(st.booleans()) else None, shares, draw(st.booleans()), draw(st.booleans())


@settings(max_examples=200, deadline=None)
@given(finishes())
def test_finish_is_the_fused_step_s_bit_for_bit(case):
    """Signed zeros, infinities and NaN included: dead where the denominator is ±0, s(±0) = +1, x / ∞ = 0."""
    products, bias, shares, rectified, quotient = case
    with np.errstate(all="ignore"):
        expected, odd = finished(*case)
    how = ext.Epilogue(bias, rectified, quotient, shares)
    for threads in (1, 3):
        output, factors, found = ext.epilogue(how, products, threads)
        # Spare lanes may be odd as well: one look in vain.
        assert found | odd == found if products[0].shape[-1] < 16 else found == odd
        assert all(alike(one, other) for one, other in zip([output, *factors], expected, strict=True))


def test_finish_of_many_pixels():
    """More than an item, and fewer channels than a vector, whose spare lanes must not reach another item."""
    rng = np.random.default_rng(4)
    for channels in (3, 20):
        z = rng.standard_normal((1, 300, 200, channels)).astype(np.float32)
        how = ext.Epilogue(z[0, 0, 0].copy(), True, True, [(0, False, None, ext.SIGNED, 0.1, ext.ALL, 1.0)])
        expected, odd = finished([z], z[0, 0, 0], [(0, False, None, ext.SIGNED, 0.1, ext.ALL, 1.0)], True, True)
        for threads in (1, 2):
            output, (factor,), found = ext.epilogue(how, [z], threads)
            assert found == odd == 0
            assert alike(output, expected[0])
            assert alike(factor, expected[1])


@pytest.mark.parametrize(
    ("error", "products"),
    [
        (ValueError, []),
        (ValueError, [X] * 5),
        (ValueError, [X[0]]),
        (ValueError, [X, X[:1]]),
        (ValueError, [X[:, ::2]]),
        (TypeError, [X, X.astype(np.float64)]),
        (TypeError, ["z"]),
    ],
)
def test_wrong_products_are_refused(error, products):
    with pytest.raises(error):
        ext.epilogue(ext.Epilogue(None, False, False, []), products, 1)
    with pytest.raises(TypeError):
        ext.epilogue("relu", [X], 1)


# ---- windows ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """A pooling window, the extents below and above it, and how many channels and samples."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    cells: Shape
    out: Shape
    samples: int
    targets: int
    channels: int
    dtype: Any
    seed: int

    @property
    def window(self) -> tuple[Shape, ...]:
        return (self.kernel, self.stride, self.dilation, self.before)

    @property
    def below(self) -> Shape:
        return (self.samples, *self.cells, self.channels)

    @property
    def above(self) -> Shape:
        return (self.samples, *self.out, self.channels)

    def pairs(self) -> list[tuple[int, tuple[Any, ...], tuple[Any, ...]]]:
        """(tap, index of the window, index of the cell), tap after tap."""
        found = []
        for number, tap in enumerate(np.ndindex(*self.kernel)):
            for o in np.ndindex(*self.out):
                at = tuple(
                    a * s + t * d - b for a, s, t, d, b in zip(o, self.stride, tap, self.dilation, self.before, strict=True)
                )
                if all(0 <= a < size for a, size in zip(at, self.cells, strict=True)):
                    found.append((number, (slice(None), *o), (slice(None), *at)))
        return found

    def numbers(self, shape: Shape) -> Array:
        """With many equal numbers, so that several cells of a window are the largest."""
        rng = np.random.default_rng(self.seed)
        return rng.choice([-2, -0.1, 0, 0.1, 3, 4], shape).astype(self.dtype)


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> Shape:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    large = axes < 3
    sizes = (
        each(1, 4 if large else 3),
        each(1, 5),
        each(1, 3),
        each(-1, 3),
        each(0, 12 if large else 5),
        each(0, 7 if large else 3),
    )
    counts = (draw(st.integers(0, 2)), draw(st.integers(1, 3)), draw(CHANNELS))
    return Pool(*sizes, *counts, draw(TYPES), draw(st.integers(0, 2**32)))


#: Nothing but padding in some windows; more taps than a byte counts; more than one item.
EMPTY_WINDOWS = Pool((1, 2), (1, 3), (1, 1), (2, 0), (3, 4), (6, 3), 1, 1, 3, np.float32, 1)
MANY_TAPS = Pool((20, 15), (1, 2), (1, 1), (3, 0), (24, 20), (6, 3), 2, 2, 5, np.float32, 2)
LARGE_POOL = Pool((3, 3), (2, 2), (1, 1), (1, 1), (60, 60), (30, 30), 2, 1, 33, np.float32, 3)


@settings(max_examples=150, deadline=None)
@given(pools())
@example(EMPTY_WINDOWS)
@example(MANY_TAPS)
@example(LARGE_POOL)
def test_winners_are_the_first_of_the_largest(pool):
    x = pool.numbers(pool.below)
    best = np.full(pool.above, -np.inf, pool.dtype)
    winner = np.zeros(pool.above, np.uint8 if math.prod(pool.kernel) < 256 else np.int32)
    for tap, above, below in pool.pairs():
        better = x[below] > best[above]
        winner[above][better] = tap
        best[above] = np.where(better, x[below], best[above])
    found = same_bits(lambda threads: list(ext.winners(x, *pool.window, pool.out, threads)))
    assert bits(found[0]) == bits(best)
    assert bits(found[1]) == bits(winner)


@settings(max_examples=150, deadline=None)
@given(pools())
@example(MANY_TAPS)
@example(LARGE_POOL)
def test_messages_go_to_the_winners(pool):
    """Σ over taps, in order, of the messages of the windows that the cell won there; several targets have one winner."""
    rng = np.random.default_rng(pool.seed)
    _, winner = ext.winners(pool.numbers(pool.below), *pool.window, pool.out, 1)
    message = rng.standard_normal((pool.samples * pool.targets, *pool.above[1:])).astype(pool.dtype)
    winners, lower = np.repeat(winner, pool.targets, axis=0), np.zeros((len(message), *pool.below[1:]), pool.dtype)
    for tap, above, below in pool.pairs():
        lower[below] += np.where(winners[above] == tap, message[above], pool.dtype(0))
    found = same_bits(lambda threads: [ext.to_winners(message, winner, *pool.window, pool.cells, threads)])
    assert bits(found[0]) == bits(lower)


@settings(max_examples=150, deadline=None)
@given(pools())
@example(LARGE_POOL)
def test_sums_and_what_is_spread(pool):
    """Tap after tap, so that every bit is NumPy's."""
    rng = np.random.default_rng(pool.seed)
    x, s = rng.standard_normal(pool.below).astype(pool.dtype), rng.standard_normal(pool.above).astype(pool.dtype)
    sums, spread = np.zeros(pool.above, pool.dtype), np.zeros(pool.below, pool.dtype)
    for _, above, below in pool.pairs():
        sums[above] += x[below]
        spread[below] += s[above]
    assert bits(same_bits(lambda threads: [ext.window_sums(x, *pool.window, pool.out, threads)])[0]) == bits(sums)
    assert bits(same_bits(lambda threads: [ext.window_spread(s, *pool.window, pool.cells, threads)])[0]) == bits(spread)


def test_maxima_of_nan_and_infinity():
    """NaN stays the maximum, as NumPy's; nothing beats −∞ but what is larger."""
    x = np.array([[1, np.nan, 2, -np.inf, -np.inf, -np.inf, np.inf, 3]], np.float32)[..., None]
    best, winner = ext.winners(x, (2,), (2,), (1,), (0,), (4,), 1)
    np.testing.assert_array_equal(best[0, :, 0], [np.nan, 2, -np.inf, np.inf])
    np.testing.assert_array_equal(winner[0, 1:, 0], [0, 0, 0])


P = np.zeros((2, 6, 6, 4), np.float32)
POOLED = {"kernel": (2, 2), "stride": (2, 2), "dilation": (1, 1), "before": (0, 0), "out": (3, 3), "threads": 1}


@pytest.mark.parametrize("name", ["winners", "window_sums", "window_spread"])
@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"x": P[:, :, ::2]}),
        (ValueError, {"x": P[0, 0]}),
        (ValueError, {"x": P[:, :, :, None, None]}),
        (TypeError, {"x": P.astype(np.int8)}),
        (ValueError, {"kernel": (2,)}),
        (ValueError, {"kernel": (0, 2)}),
        (ValueError, {"kernel": (2**20, 2**20)}),
        (ValueError, {"stride": (0, 1)}),
        (ValueError, {"dilation": (1, -1)}),
        (ValueError, {"dilation": (2**58, 1)}),
        (TypeError, {"before": ("1", 1)}),
        (ValueError, {"out": (3, 3, 3)}),
        (ValueError, {"out": (-1, 3)}),
        ((ValueError, MemoryError), {"out": (2**50, 2**50)}),
        ((ValueError, MemoryError), {"out": (2**40, 1)}),
        (ValueError, {"threads": 0}),
    ],
)
def test_wrong_windows_are_refused(name, error, arguments):
    with pytest.raises(error):
        getattr(ext, name)(*({"x": P} | POOLED | arguments).values())


def test_wrong_winners_are_refused():
    message, winner = np.zeros((4, 3, 3, 4), np.float32), np.zeros((2, 3, 3, 4), np.uint8)
    rest = ((2, 2), (2, 2), (1, 1), (0, 0), (6, 6), 1)
    assert ext.to_winners(message, winner, *rest).shape == (4, 6, 6, 4)
    for error, wrong in [
        (TypeError, winner.astype(np.int32)),
        (TypeError, winner.tolist()),
        (ValueError, np.zeros((2, 3, 3, 8), np.uint8)[..., ::2]),
        (ValueError, winner[:, :2].copy()),
        (ValueError, np.zeros((3, 3, 3, 4), np.uint8)),
        (ValueError, winner[:0]),
    ]:
        with pytest.raises(error):
            ext.to_winners(message, wrong, *rest)
