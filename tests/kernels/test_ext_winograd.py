"""The compiled core's Winograd convolutions: their error, their bits, and exact zeros that stay zeros."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrp_ref.arrays import Array, Shape
from support import ext_by_hand as by_hand
from support.ext_by_hand import bits

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)

ALGORITHMS = {"F2": (ext.F2, 2), "F4": (ext.F4, 4)}
UNIT = {np.float32: 2.0**-24, np.float64: 2.0**-53}


def run(x: Array, weights: list[Array], algorithm: int, before: Shape, out: Shape, threads: int = 1) -> list[Array]:
    return ext.Convolution(weights, (1, 1), (1, 1), algorithm, 1)([(x, ext.COPY, None)], before, out, None, threads)


def literal(x: Array, w: Array, before: Shape, out: Shape) -> Array:
    return by_hand.convolution(x, w, (1, 1), (1, 1), before, out)


Drawn = tuple[Array, list[Array], Shape, Shape]


@st.composite
def calls(draw: st.DrawFn) -> Drawn:
    """Images smaller than a tile and larger, channels around the vectors, parts of the output beyond the input."""
    channels = st.sampled_from([1, 3, 16, 31, 32, 33, 64, 70, 130])
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    lower, upper, size = draw(channels), draw(channels), st.integers(1, 13)
    x = rng.standard_normal((draw(st.integers(0, 3)), draw(size), draw(size), lower)).astype(dtype)
    x *= rng.random(x.shape[:3] + (1,)) < draw(st.sampled_from([1, 0.5, 0.1]))
    weights = [rng.standard_normal((1, upper, lower, 3, 3)).astype(dtype) for _ in range(draw(st.integers(1, 4)))]
    padding = st.integers(-2, 3)
    return x, weights, (draw(padding), draw(padding)), (draw(size), draw(size))


@pytest.mark.parametrize("name", ALGORITHMS)
@settings(max_examples=60, deadline=None)
@given(drawn=calls())
def test_the_error_is_what_the_repair_takes_it_for(name, drawn):
    """|y − exact| ≤ 64·u·Σ_c max|d_c| max|w_c| of each tile; numbers below that are the direct sum's own."""
    x, weights, before, out = drawn
    algorithm, side = ALGORITHMS[name]
    found = run(x, weights, algorithm, before, out)
    for y, direct, w in zip(found, run(x, weights, ext.DIRECT, before, out), weights, strict=True):
        exact, bound = literal(x, w, before, out), 64 * UNIT[x.dtype.type] * by_hand.tile_sizes(x, w, before, out, side)
        assert (abs(y - exact) <= bound).all()
        assert (y[abs(y) <= bound] == direct[abs(y) <= bound]).all()
        assert (y[exact == 0] == 0).all()


@pytest.mark.parametrize("name", ALGORITHMS)
@settings(max_examples=40, deadline=None)
@given(drawn=calls())
def test_bits(name, drawn):
    """Neither threads nor the batch nor the other products change a bit."""
    x, weights, before, out = drawn
    algorithm, _ = ALGORITHMS[name]
    found = run(x, weights, algorithm, before, out)
    for threads in (2, 3):
        assert [bits(y) for y in run(x, weights, algorithm, before, out, threads)] == [bits(y) for y in found]
    for n in range(len(x)):
        assert [bits(y) for y in run(x[n : n + 1], weights, algorithm, before, out)] == [bits(y[n : n + 1]) for y in found]
    assert bits(run(x, weights[-1:], algorithm, before, out)[0]) == bits(found[-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "rms"), [("F2", 3.1e-7), ("F4", 9.1e-7)])
def test_the_error_is_as_small_as_the_points_allow(name, rms, dtype):
    """At 512 channels and He-normal weights: twice the measured rms error, which the usual points exceed twice over."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((1, 16, 16, 512)), 0).astype(dtype)
    w = (rng.standard_normal((1, 64, 512, 3, 3)) * np.sqrt(2 / 512 / 9)).astype(dtype)
    exact = literal(x, w, (1, 1), (16, 16))
    (found,) = run(x, [w], ALGORITHMS[name][0], (1, 1), (16, 16), 2)
    error = np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean())
    assert error <= 2 * rms * UNIT[dtype] / UNIT[np.float32]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("scale", [1, 1e-30, 1e15])
@pytest.mark.parametrize("positive", [True, False])
def test_zeros_stay_zeros(name, dtype, scale, positive):
    """All-zero windows beside active ones; windows whose only active channels have no weight; columns without any weight."""
    rng = np.random.default_rng(1)
    x = rng.random((2, 30, 26, 40)) * scale * (rng.random((2, 30, 26, 1)) < 0.05)
    x[:, 20:] = rng.random((2, 10, 26, 40)) * scale * (rng.random((2, 10, 26, 40)) < 0.01)
    w = rng.standard_normal((1, 50, 40, 3, 3))
    w[:, :, ::3] = 0
    w[:, 7] = w[:, 45:] = 0
    if positive:
        w = np.maximum(w, 0)
    x, w = x.astype(dtype), w.astype(dtype)
    exact = literal(abs(x), abs(w), (1, 1), (30, 26))
    assert (exact == 0).mean() > 0.2
    assert (exact[:, :20, :, 0] == 0).mean() > 0.2
    (found,) = run(x, [w], ALGORITHMS[name][0], (1, 1), (30, 26))
    assert (found[exact == 0] == 0).all()
    assert not np.signbit(found[exact == 0]).any()
    assert (found[literal(x, w, (1, 1), (30, 26)) != 0] != 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_small_beside_its_tile_is_the_direct_sum(name, dtype):
    """One active cell, one weight of 1, and the others up to 64 units of rounding: each window's sum is its own weight."""
    x = np.zeros((1, 12, 12, 3), dtype)
    x[0, 5, 6, 1] = 1
    w = np.random.default_rng(5).uniform(1, 64, (1, 40, 3, 3, 3)).astype(dtype) * dtype(UNIT[dtype])
    w[:, :, 1, 2, 0] = 1
    (found,) = run(x, [w], ALGORITHMS[name][0], (1, 1), (12, 12))
    small = found[abs(found) < 0.5]
    assert bits(small) == bits(run(x, [w], ext.DIRECT, (1, 1), (12, 12))[0][abs(found) < 0.5])
    assert (small != 0).sum() == 40 * 8


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_adjoint_reads_its_weights_as_a_view(name):
    """Flipped and turned weights are not copied: mended numbers are read through the view's strides."""
    rng = np.random.default_rng(2)
    w = rng.standard_normal((1, 20, 24, 3, 3)).astype(np.float32)
    turned = w.transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
    s = rng.standard_normal((1, 17, 18, 20)).astype(np.float32) * (rng.random((1, 17, 18, 1)) < 0.1)
    s = s.astype(np.float32)
    (found,) = run(s, [turned], ALGORITHMS[name][0], (1, 1), (17, 18))
    assert bits(found) == bits(run(s, [np.ascontiguousarray(turned)], ALGORITHMS[name][0], (1, 1), (17, 18))[0])
    exact = literal(s, turned, (1, 1), (17, 18))
    assert (exact == 0).any()
    assert (found[exact == 0] == 0).all()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_scratch_of_other_calls_does_not_show(name):
    """Scratch memory is reused as it is: what another call left in it, infinities too, changes nothing."""
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((1, 23, 29, 19)).astype(np.float32), rng.standard_normal((1, 21, 19, 3, 3)).astype(np.float32)
    expected = bits(run(x, [w], ALGORITHMS[name][0], (1, 1), (23, 29))[0])
    for shape in ((2, 40, 31, 33), (1, 9, 9, 5)):
        dirt = np.full(shape, np.inf, np.float32)
        run(dirt, [np.ones((1, 40, shape[-1], 3, 3), np.float32)], ALGORITHMS[name][0], (1, 1), shape[1:3], 2)
        assert bits(run(x, [w], ALGORITHMS[name][0], (1, 1), (23, 29))[0]) == expected


def test_memory_of_prepared_weights():
    """9, 16 and 36 numbers for each pair of channels, and what spare columns and sizes take."""
    w = np.zeros((1, 64, 64, 3, 3), np.float32)
    for algorithm, taps in ((ext.DIRECT, 9), (ext.F2, 16), (ext.F4, 36)):
        held = ext.Convolution([w, w], (1, 1), (1, 1), algorithm, 1).nbytes
        assert 2 * taps * 64 * 64 * 4 <= held <= 2 * taps * 64 * 64 * 4 * 1.01


@st.composite
def sources(draw: st.DrawFn) -> tuple[Array, Array, Array, int, Shape, Shape]:
    """Whole vectors of channels in a slice of wider cells, factors for one or two samples each, padding of either sign."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    lower, beside, repeat = draw(st.sampled_from([16, 32, 48])), draw(st.sampled_from([0, 3, 16])), draw(st.sampled_from([1, 2]))
    high, wide = draw(st.integers(1, 19)), draw(st.integers(1, 19))
    filled, alive = draw(st.sampled_from([1, 0.3])), draw(st.sampled_from([1, 0.2]))
    wider = rng.random((2 * repeat, high, wide, lower + beside)) * (rng.random((2 * repeat, high, wide, 1)) < filled)
    factor = rng.standard_normal((2, high, wide, lower)) * (rng.random((2, high, wide, lower)) < alive)
    w = rng.standard_normal((1, draw(st.sampled_from([16, 24, 40])), lower, 3, 3))
    before = (draw(st.integers(-2, 3)), draw(st.integers(-2, 3)))
    out = (max(1, high + draw(st.integers(-2, 3))), max(1, wide + draw(st.integers(-2, 3))))
    return wider.astype(dtype)[..., beside:], factor.astype(dtype), w.astype(dtype), repeat, before, out


@pytest.mark.parametrize("name", ALGORITHMS)
@settings(max_examples=60, deadline=None)
@given(drawn=sources())
def test_tiles_are_the_same_wherever_they_are_read(name, drawn):
    """Inside the image cells are read where they lie, and multiplied on the way; elsewhere, and for other features, packed."""
    x, factor, w, repeat, before, out = drawn
    algorithm, side = ALGORITHMS[name]
    made = ext.Convolution([w], (1, 1), (1, 1), algorithm, 1)

    def bits_of(part: tuple[Array, int, None]) -> list[object]:
        return [bits(made([part], before, out, None, threads)[0]) for threads in (1, 2)]

    packed = bits_of((np.ascontiguousarray(x), ext.POSITIVE, None))  # nothing is below 0
    assert bits_of((x, ext.COPY, None)) == bits_of((np.ascontiguousarray(x), ext.COPY, None)) == packed
    (found,) = made([(x, ext.TIMES, factor)], before, out, None, 2)
    s = x * np.repeat(factor, repeat, axis=0)
    (direct,) = run(s, [w], ext.DIRECT, before, out)
    exact, bound = literal(s, w, before, out), 64 * UNIT[s.dtype.type] * by_hand.tile_sizes(s, w, before, out, side)
    assert (abs(found - exact) <= bound).all()
    assert (found[abs(found) <= bound] == direct[abs(found) <= bound]).all()
    assert (found[exact == 0] == 0).all()
    assert bits(made([(x[repeat:], ext.TIMES, factor[1:])], before, out, None, 1)[0]) == bits(found[repeat:])
