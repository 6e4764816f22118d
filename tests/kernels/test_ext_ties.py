"""The compiled core's convolutions: windows of a sample that hold the same numbers have the same results, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lrp_ref.arrays import Array, Shape
from support.ext_by_hand import bits

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)

ALGORITHMS = {"F2": ext.F2, "F4": ext.F4}
#: (groups, upper, lower, kernel, stride, dilation)
DIRECT = {
    "3×3": (1, 33, 17, 3, 1, 1),
    "of an image": (1, 9, 3, 7, 2, 1),
    "to an image": (1, 3, 16, 3, 1, 1),
    "1×1": (1, 40, 300, 1, 1, 1),
    "dilated": (1, 2, 20, 5, 1, 2),
    "one channel": (1, 1, 1, 3, 1, 1),
    "groups": (4, 4, 4, 3, 1, 1),
    "depthwise": (16, 1, 1, 3, 1, 1),
    "narrow groups": (13, 2, 1, 3, 2, 1),
}


def pictures(channels: int, dtype: Any) -> Array:
    """Few colours at random, a uniform one, three periods, zeros of both signs; (6, 17, 22, channels)."""
    rng = np.random.default_rng(channels)
    i, j = np.indices((17, 22))
    shape, colours = (17, 22, channels), rng.normal(size=(6, channels))
    found = [
        colours[rng.integers(0, 2, (17, 22))] * (j < 12)[..., None],
        np.broadcast_to(colours[0], shape),
        colours[(i + j) % 2],
        colours[j % 3],
        colours[(i + 2 * j) % 5],
        np.where(rng.random(shape) < 0.5, 0.0, -0.0),
    ]
    return np.stack(found).astype(dtype)


def firsts(x: Array, kernel: int, stride: int, dilation: int, before: int, out: Shape, groups: int) -> Array:
    """(samples, groups, pixels): the first pixel that sees the same, literally."""
    reach = before + kernel * dilation + stride
    padded = np.pad(x + 0, ((0, 0), (before, reach), (before, reach), (0, 0)))
    found = np.empty((x.shape[0], groups, out[0] * out[1]), int)
    for n in range(x.shape[0]):
        for g, part in enumerate(np.split(padded[n], groups, axis=2)):
            first: dict[bytes, int] = {}
            for p, (i, j) in enumerate(np.ndindex(*out)):
                y, z = i * stride, j * stride
                window = part[y : y + kernel * dilation : dilation, z : z + kernel * dilation : dilation]
                found[n, g, p] = first.setdefault(window.tobytes(), p)
    return found


def assert_tied(z: Array, origin: Array) -> None:
    """z (samples, *out, channels): each pixel has the numbers of its origin."""
    planes = z.reshape(z.shape[0], -1, origin.shape[1], z.shape[-1] // origin.shape[1]).swapaxes(1, 2)
    assert np.array_equal(planes, np.take_along_axis(planes, origin[..., None], axis=2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DIRECT)
def test_direct_sums_know_no_place(name, dtype):
    groups, upper, lower, kernel, stride, dilation = DIRECT[name]
    x, before = pictures(groups * lower, dtype), kernel // 2
    extents = [(size + 2 * before - (kernel - 1) * dilation - 1) // stride + 1 for size in x.shape[1:3]]
    weight = np.random.default_rng(0).normal(size=(groups, upper, lower, kernel, kernel)).astype(dtype)
    convolution = ext.Convolution([weight], (stride,) * 2, (dilation,) * 2, ext.DIRECT, 2)
    (z,) = convolution([(x, ext.COPY, None)], (before,) * 2, tuple(extents), None, 2)
    origin = firsts(x, kernel, stride, dilation, before, tuple(extents), groups)
    assert (origin != np.arange(origin.shape[2])).mean() > 1 / 2
    assert_tied(z, origin)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 16, 33])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_filtered_sums_are_those_of_the_first_of_equal_windows(name, channels, dtype):
    """All products, outputs and factors; the same bits as without `ties` where a window is the first, whatever the threads."""
    x, rng = pictures(channels, dtype), np.random.default_rng(1)
    weights = [rng.normal(size=(1, 21, channels, 3, 3)).astype(dtype) for _ in range(2)]
    finish = ext.Epilogue(rng.normal(size=21).astype(dtype), True, True, [(0, False, None, ext.SIGNED, 1e-3, ext.ALL, 1.0)])
    for before, out in (((1, 1), (17, 22)), ((2, 0), (18, 20)), ((0, -1), (15, 18))):
        plain = ext.Convolution(weights, (1, 1), (1, 1), ALGORITHMS[name], 1)
        tied = ext.Convolution(weights, (1, 1), (1, 1), ALGORITHMS[name], 1, True)
        cut = x[:, :, -before[1] :] if before[1] < 0 else x
        padded = np.pad(cut, ((0, 0), (before[0], 9), (max(before[1], 0), 9), (0, 0)))
        origin = firsts(padded, 3, 1, 1, 0, out, 1)
        own = (origin == np.arange(origin.shape[2]))[:, 0]
        for threads in (1, 2):
            for end in (None, finish):
                results = [np.asarray(r) for r in flat(tied([(x, ext.COPY, None)], before, out, end, threads))]
                others = [np.asarray(r) for r in flat(plain([(x, ext.COPY, None)], before, out, end, threads))]
                for found, other in zip(results, others, strict=True):
                    assert_tied(found, origin)
                    assert bits(found.reshape(*own.shape, -1)[own]) == bits(other.reshape(*own.shape, -1)[own])


def flat(results: Any) -> list[Array]:
    """Products, or output and factors."""
    return [results[0], *results[1]] if isinstance(results, tuple) else list(results)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_slice_of_channels_in_and_out(name):
    x = pictures(32, np.float32)
    weight = np.random.default_rng(2).normal(size=(1, 16, 16, 3, 3)).astype(np.float32)
    convolution = ext.Convolution([weight], (1, 1), (1, 1), ALGORITHMS[name], 1, True)
    finish = ext.Epilogue(None, False, True, [])
    part, room = x[..., 16:], np.zeros((6, 17, 22, 48), np.float32)
    output, *_ = convolution([(part, ext.COPY, None)], (1, 1), (17, 22), finish, 2, room[..., 16:32])
    assert_tied(np.ascontiguousarray(output), firsts(part, 3, 1, 1, 1, (17, 22), 1))
    assert not room[..., :16].any()
    assert not room[..., 32:].any()
