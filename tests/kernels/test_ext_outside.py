"""Padding that windows see is left out of sums, and c is chosen by the sign of the input: no bit differs from the long way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    axes = draw(st.sampled_from([1, 1, 2, 2, 3]))
    few = st.integers(1, 5 if axes < 3 else 3)
    cells = [draw(st.integers(1, 40 if axes == 1 else 9)) for _ in range(axes)]
    kernel, stride = (
        [draw(few if axes > 1 else st.sampled_from([1, 2, 3, 9])) for _ in range(axes)],
        [draw(few) for _ in range(axes)],
    )
    dilation = [draw(st.sampled_from([1, 1, 2, 7, 30 if axes == 1 else 3])) for _ in range(axes)]
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    before = [draw(st.integers(-min(2, c - 1), r + 2)) for c, r in zip(cells, reach, strict=True)]
    after = [draw(st.integers(0, r + 2)) for r in reach]
    out = [max(0, (c + b + a - r - 1) // s + 1) for c, b, a, r, s in zip(cells, before, after, reach, stride, strict=True)]
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    upper, lower = draw(st.sampled_from([1, 9, 16, 40])), draw(st.sampled_from([1, 3, 8, 64, 130] if axes < 3 else [1, 5, 40]))
    return {
        "cells": cells, "kernel": kernel, "stride": stride, "dilation": dilation, "before": before, "out": out, "groups": groups,
        "upper": upper, "lower": lower, "samples": draw(st.sampled_from([0, 1, 2, 3])), "products": draw(st.sampled_from([1, 2])),
        "dtype": draw(st.sampled_from(["f4", "f8"])), "seed": draw(st.integers(0, 2**32)),
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(windows())
def test_padding_is_what_zeros_are(case):
    """Padding, and the same zeros as cells of the input, give the same bits: those cells are no padding, and are multiplied."""
    c, rng = case, np.random.default_rng(case["seed"])
    x = rng.standard_normal((c["samples"], *c["cells"], c["groups"] * c["lower"])).astype(c["dtype"])
    shape = (c["groups"], c["upper"], c["lower"], *c["kernel"])
    weights = [rng.standard_normal(shape).astype(c["dtype"]) for _ in range(c["products"])]
    made = ext.Convolution(weights, c["stride"], c["dilation"], ext.DIRECT, 1)
    seen = [
        max(1, (o - 1) * s + (k - 1) * d + 1)
        for o, s, k, d in zip(c["out"], c["stride"], c["kernel"], c["dilation"], strict=True)
    ]
    whole = np.zeros((c["samples"], *seen, x.shape[-1]), c["dtype"])
    there = [slice(max(b, 0), max(0, min(n, b + e))) for b, e, n in zip(c["before"], c["cells"], seen, strict=True)]
    here = [slice(t.start - b, t.start - b + max(0, t.stop - t.start)) for t, b in zip(there, c["before"], strict=True)]
    whole[(slice(None), *there)] = x[(slice(None), *here)]
    expected = made([(whole, ext.COPY, None)], [0] * len(seen), c["out"], None, 1)
    for threads in (1, 3):
        found = made([(x, ext.COPY, None)], c["before"], c["out"], None, threads)
        assert [y.tobytes() for y in found] == [y.tobytes() for y in expected]


def test_a_kernel_that_sees_padding_alone():
    """As the adjoint of a kernel as tall as its input, and of one dilated beyond it; some windows see nothing at all."""
    rng = np.random.default_rng(3)
    for cells, kernel, dilation, before, out in (
        ((1, 12), (96, 3), (1, 1), (95, 2), (96, 14)),
        ((300,), (3,), (400,), (800,), (1100,)),
        ((5,), (2,), (1,), (60,), (90,)),
    ):
        x = rng.standard_normal((2, *cells, 40)).astype(np.float32)
        w = rng.standard_normal((1, 24, 40, *kernel)).astype(np.float32)
        (found,) = ext.Convolution([w], (1,) * len(cells), dilation, ext.DIRECT, 1)([(x, ext.COPY, None)], before, out, None, 1)
        whole = np.zeros((2, *(o + (k - 1) * d for o, k, d in zip(out, kernel, dilation, strict=True)), 40))
        whole[(slice(None), *(slice(b, b + e) for b, e in zip(before, cells, strict=True)))] = x
        expected = np.zeros(found.shape)
        for tap in np.ndindex(*kernel):
            at = tuple(slice(t * d, t * d + o) for t, d, o in zip(tap, dilation, out, strict=True))
            expected += whole[(slice(None), *at)] @ w[(0, slice(None), slice(None), *tap)].T
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        assert not np.signbit(found[expected == 0]).any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(2, 3), (1, 40, 33), (3, 7, 50, 17), (1, 300, 200, 3), (0, 4), (4, 0), (2, 0, 3)])
@pytest.mark.parametrize("targets", [1, 3])
def test_what_is_chosen_by_a_sign(shape, targets, dtype):
    """Where a is 0, −0 or NaN the second; a may be a slice of channels, and has a sample for several of the others."""
    rng = np.random.default_rng(1)
    whole = rng.standard_normal((*shape[:-1], shape[-1] + 9)).astype(dtype)
    whole[rng.random(whole.shape) < 0.2] = 0.0
    whole[rng.random(whole.shape) < 0.1] = -0.0
    whole[rng.random(whole.shape) < 0.1] = np.nan
    wide = (shape[0] * targets, *shape[1:])
    for a in (whole[..., 4 : 4 + shape[-1]], np.ascontiguousarray(whole[..., 4 : 4 + shape[-1]])):
        yes, no = (rng.standard_normal(wide).astype(dtype) for _ in range(2))
        expected = np.where(np.repeat(a, targets, axis=0) > 0, yes, no)
        for threads in (1, 2):
            assert ext.choose(a, yes.copy(), no, threads).tobytes() == expected.tobytes()


def test_arrays_that_do_not_fit_are_refused():
    a = np.ones((2, 3, 4), np.float32)
    for wrong, message in (
        ((a, a, a[:1]), "shapes"),
        ((a, a[:1].copy(), a[:1].copy()), "shape"),
        ((a[:, ::-1], a.copy(), a), "slice of the channels"),
        ((a[0, 0], a[0, 0], a[0, 0]), "shapes"),
        ((a[:0], a.copy(), a), "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            ext.choose(*wrong, 1)
    frozen = a.copy()
    frozen.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        ext.choose(a, frozen, a, 1)
    with pytest.raises(TypeError, match="float32 and float64"):
        ext.choose(a, a.astype(np.float64), a, 1)
