"""The compiled core's direct convolution, its inputs and its finish, against NumPy written out (tests/support/ext_by_hand.py)."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass

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

#: Around the vectors of every instruction set and type, and around panels of two of them.
CHANNELS = st.sampled_from([1, 2, 3, 5, 8, 15, 17, 31, 32, 33, 65])


@dataclass(frozen=True)
class Call:
    """A convolution and what it is called with."""

    x: Array
    weights: tuple[Array, ...]
    stride: Shape
    dilation: Shape
    before: Shape
    out: Shape

    def run(self, threads: int = 1, x: Array | None = None) -> list[Array]:
        convolution = ext.Convolution(self.weights, self.stride, self.dilation, ext.DIRECT, threads)
        return convolution([(self.x if x is None else x, ext.COPY, None)], self.before, self.out, None, threads)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> Shape:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    groups = draw(st.sampled_from([1, 1, 2, 3]))
    lower, upper = draw(CHANNELS) if axes < 3 else draw(st.sampled_from([1, 3, 17])), draw(CHANNELS)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((draw(st.integers(0, 3)), *each(1, 12 if axes < 3 else 4), groups * lower)).astype(dtype)
    kernel = each(1, 4 if axes < 3 else 3)
    weights = tuple(rng.standard_normal((groups, upper, lower, *kernel)).astype(dtype) for _ in range(draw(st.integers(1, 4))))
    return Call(x, weights, each(1, 5), each(1, 3), each(-3, 4), each(0 if draw(st.booleans()) else 1, 9 if axes < 3 else 4))


def close(found: Array, call: Call, weight: Array) -> bool:
    """Whether a product is the literal sum to the rounding of its terms."""
    where = (call.stride, call.dilation, call.before, call.out)
    expected = by_hand.convolution(call.x, weight, *where)
    sizes = by_hand.convolution(abs(call.x), abs(weight), *where)
    assert found.dtype == call.x.dtype
    assert found.shape == expected.shape
    return bool((abs(found - expected) <= by_hand.rounding(weight[0, 0].size, found.dtype) * sizes).all())


@settings(max_examples=150, deadline=None)
@given(calls())
def test_direct_is_the_literal_sum(call):
    """Any axes, stride (beyond the kernel too), dilation, groups, channels, padding of either sign, number of samples."""
    for found, weight in zip(call.run(), call.weights, strict=True):
        assert close(found, call, weight)


# What the drawn cases are too small for: long sums, several panels and groups of them in an item, slabs of one sample (along
# either axis) and of several, lines longer than an item, axes that run together.
LARGE = {
    "chunks": ((2, 9, 9, 150), (1, 40, 150, 3, 3), (1, 1), (1, 1), (9, 9)),
    "many panels": ((1, 7, 7, 40), (1, 600, 40, 1, 1), (1, 1), (0, 0), (7, 7)),
    "narrow groups": ((2, 10, 10, 48), (24, 1, 2, 3, 3), (1, 1), (1, 1), (10, 10)),
    "groups of three panels": ((1, 8, 8, 6), (2, 70, 3, 3, 3), (1, 1), (1, 1), (8, 8)),
    "slabs of lines": ((2, 300, 300, 8), (1, 3, 8, 3, 3), (2, 2), (1, 1), (150, 150)),
    "slabs of planes": ((1, 20, 120, 120, 6), (1, 2, 6, 3, 3, 3), (1, 1, 1), (1, 1, 1), (20, 120, 120)),
    "slabs of samples": ((70, 50, 50, 8), (1, 3, 8, 3, 3), (1, 1), (1, 1), (50, 50)),
    "a long line": ((1, 5000, 3), (1, 20, 3, 5), (1,), (2,), (5000,)),
    "one pixel each": ((300, 5, 5, 4), (1, 7, 4, 5, 5), (1, 1), (0, 0), (1, 1)),
    "read as it is": ((2, 56, 56, 32), (1, 33, 32, 1, 1), (2, 2), (0, 0), (28, 28)),
}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("shape", "weight", "stride", "before", "out"), LARGE.values(), ids=LARGE)
def test_direct_in_blocks(shape, weight, stride, before, out, threads):
    """The literal sum, and the same bits with every number of threads and each sample alone."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(weight).astype(np.float32)
    call = Call(x, (w,), stride, (1,) * len(stride), before, out)
    (found,) = call.run(threads)
    if threads == 1:
        assert close(found, call, w)
    else:
        assert bits(found) == bits(call.run()[0])
    for n in range(0, len(x), 1 + len(x) // 3):
        assert bits(call.run(threads, x=x[n : n + 1])[0]) == bits(found[n : n + 1])


@settings(max_examples=40, deadline=None)
@given(calls())
def test_direct_bits(call):
    """Neither threads nor the batch nor the layout of the weights nor the other products change a bit."""
    found = call.run()
    assert [bits(y) for y in call.run(2)] == [bits(y) for y in call.run(3)] == [bits(y) for y in found]
    for n in range(len(call.x)):
        assert [bits(y[n : n + 1]) for y in found] == [bits(y) for y in call.run(x=call.x[n : n + 1])]
    turned = tuple(np.asfortranarray(w) for w in call.weights[:1])
    alone = Call(call.x, turned, call.stride, call.dilation, call.before, call.out)
    assert bits(alone.run()[0]) == bits(found[0])


# ---- inputs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("groups", [1, 2])
def test_parts_are_features_side_by_side(dtype, groups):
    """f(x) before padding, so that a cell of padding is 0 under every feature; parts of a group lie together."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 6, 5, 6)).astype(dtype)
    factor = rng.standard_normal((2, 6, 5, 6)).astype(dtype)
    bounds = [rng.standard_normal(shape).astype(dtype) for shape in [(), (6,), (1, 1, 1), (6, 5, 1), (6, 5, 6)]]
    parts = [(ext.COPY, None, x), (ext.POSITIVE, None, np.maximum(x, 0)), (ext.NEGATIVE, None, np.minimum(x, 0))]
    parts += [(ext.ONE, None, np.ones_like(x)), (ext.TIMES, factor, x * np.repeat(factor, 2, axis=0))]
    parts += [(ext.OVER, factor, x / np.repeat(factor, 2, axis=0))]
    parts += [(ext.MINUS, bound, x - bound) for bound in bounds]
    for chosen in ([0, 1], [2, 3, 4], *([i] for i in range(4, len(parts)))):
        used = [parts[i] for i in chosen]
        weights = rng.standard_normal((groups, 5, 6 // groups * len(used), 3, 3)).astype(dtype)
        convolution = ext.Convolution([weights], (1, 1), (1, 1), ext.DIRECT, 1)
        (found,) = convolution([(x, feature, operand) for feature, operand, _ in used], (1, 1), (6, 5), None, 2)
        packed = np.concatenate([p[..., g::1][..., : 6 // groups] for g in range(0, 6, 6 // groups) for _, _, p in used], axis=-1)
        (expected,) = convolution([(packed, ext.COPY, None)], (1, 1), (6, 5), None, 1)
        assert bits(found) == bits(expected)


# ---- finish ---------------------------------------------------------------------------------------------------------------


def finished(products: list[Array], bias: Array, shares: list[tuple], rectified: bool, quotient: bool) -> list[Array]:
    """The formulas of `Finish`, in the type of the products."""
    z = products[0] + bias
    output = np.maximum(z, 0) if rectified else z
    found = []
    for product, half, own, stabiliser, epsilon, where, coefficient in shares:
        bottom = products[product] if product > 0 else np.zeros_like(z)
        bottom = z.dtype.type(0.5) * (products[0] + bottom) if half else bottom
        bottom = z if product == 0 else bottom + (0 if own is None else own)
        sign = np.where(bottom < 0, -1, 1) if stabiliser == ext.SIGNED else 1
        bottom = bottom + (0 if stabiliser == ext.EXACT else z.dtype.type(epsilon)) * sign
        dead = (bottom == 0) | ((where == ext.NONNEGATIVE) & (z < 0)) | ((where == ext.NEGATIVE_ONLY) & (z >= 0))
        if quotient:
            found.append(np.where(dead, 0, z.dtype.type(coefficient) * (output / np.where(dead, 1, bottom))).astype(z.dtype))
        else:
            found.append((np.where(dead, np.inf, bottom) / z.dtype.type(coefficient)).astype(z.dtype))
    return [output, *found]


@pytest.mark.parametrize("channels", [1, 3, 16, 33, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rectified", "quotient"), [(True, True), (False, False), (False, True)])
@pytest.mark.parametrize("name", ["DIRECT", "F2", "F4"])
def test_finish_behind_a_convolution(channels, dtype, rectified, quotient, name):
    """The finish of products in blocks is the formula on the raw products."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 9, 17, 5)).astype(dtype)
    weights = [rng.standard_normal((1, channels, 5, 3, 3)).astype(dtype) for _ in range(3)]
    bias, own = (rng.standard_normal(channels).astype(dtype) for _ in range(2))
    shares = [
        (0, False, None, ext.SIGNED, 1e-3, ext.ALL, 1.0),
        (1, False, own, ext.EXACT, 0.0, ext.NONNEGATIVE, 2.0),
        (2, True, None, ext.UNSIGNED, 0.5, ext.NEGATIVE_ONLY, -0.25),
        (-1, False, own, ext.EXACT, 0.0, ext.ALL, 1.0),
    ]
    convolution = ext.Convolution(weights, (1, 1), (1, 1), getattr(ext, name), 1)
    call = ([(x, ext.COPY, None)], (1, 1), (9, 17))
    output, found, _ = convolution(*call, ext.Epilogue(bias, rectified, quotient, shares), 2)
    expected, *factors = finished(convolution(*call, None, 1), bias, shares, rectified, quotient)
    np.testing.assert_array_equal(output, expected)
    for one, other in zip(found, factors, strict=True):
        np.testing.assert_allclose(one, other, rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("channels", [1, 3, 16, 33, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["DIRECT", "F2", "F4"])
def test_outputs_go_into_slices_and_products_that_are_there_are_used(channels, dtype, name):
    """A convolution that finishes what another one began, into some channels of a wider array, from some of another."""
    rng = np.random.default_rng(3)
    below = rng.standard_normal((2, 9, 17, 50)).astype(dtype)
    x, weights = below[..., 20:25], [rng.standard_normal((1, channels, 5, 3, 3)).astype(dtype) for _ in range(2)]
    bias, shares = rng.standard_normal(channels).astype(dtype), [(1, True, None, ext.SIGNED, 0.5, ext.NONNEGATIVE, 2.0)]
    how, where = ext.Epilogue(bias, True, True, shares), ((1, 1), (9, 17))
    both, own, other = (ext.Convolution(w, (1, 1), (1, 1), getattr(ext, name), 1) for w in (weights, weights[:1], weights[1:]))
    output, (factor,), _ = both([(x.copy(), ext.COPY, None)], *where, how, 1)
    for threads in (1, 2):
        (z,) = own([(x, ext.COPY, None)], *where, None, threads)
        wide = np.full((2, 9, 17, channels + 7), 5, dtype)
        room = wide[..., 3 : 3 + channels]
        found, (again,), _ = other([(x, ext.COPY, None)], *where, how, threads, room, [z])
        assert found is room
        assert bits(np.ascontiguousarray(room)) == bits(output)
        assert bits(again) == bits(factor)
        assert (wide[..., :3] == 5).all()
        assert (wide[..., 3 + channels :] == 5).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"into": np.zeros((1, 6, 6, 4), np.float32)}, "does not go into"),
        ({"into": np.zeros((1, 6, 6, 8), np.float64)}, "does not go into"),
        ({"into": np.zeros((1, 6, 6, 16), np.float32)[..., ::2]}, "must lie together"),
        ({"given": [np.zeros((1, 6, 6, 4), np.float32)]}, "a product of shape"),
        ({"given": [np.zeros((1, 6, 6, 8), np.float32)] * 4}, "at most 4 products"),
    ],
)
def test_rooms_and_products_that_do_not_fit_are_refused(change, message):
    convolution = ext.Convolution([np.ones((1, 8, 4, 3, 3), np.float32)], (1, 1), (1, 1), ext.DIRECT, 1)
    parts, how = [(np.ones((1, 6, 6, 4), np.float32), ext.COPY, None)], ext.Epilogue(None, True, True, [])
    with pytest.raises(ValueError, match=message):
        convolution(parts, (1, 1), (6, 6), how, 1, **change)
    frozen = np.zeros((1, 6, 6, 8), np.float32)
    frozen.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        convolution(parts, (1, 1), (6, 6), how, 1, into=frozen)


def test_finish_with_a_bias_for_each_cell():
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((3, 5, 4, 2)), rng.standard_normal((1, 20, 2, 3, 3))
    bias = rng.standard_normal((5, 4, 20))
    for algorithm in (ext.DIRECT, ext.F4):
        convolution = ext.Convolution([w], (1, 1), (1, 1), algorithm, 1)
        call = ([(x, ext.COPY, None)], (1, 1), (5, 4))
        output, _, _ = convolution(*call, ext.Epilogue(bias, False, False, []), 1)
        np.testing.assert_array_equal(output, convolution(*call, None, 1)[0] + bias)


# ---- wrong calls -----------------------------------------------------------------------------------------------------------

X, W = np.zeros((2, 6, 6, 4), np.float32), np.zeros((1, 5, 4, 3, 3), np.float32)


def made(weights=(W,), stride=(1, 1), dilation=(1, 1), algorithm=ext.DIRECT, threads=1):
    return ext.Convolution(weights, stride, dilation, algorithm, threads)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"weights": ()}),
        (ValueError, {"weights": (W,) * 5}),
        (ValueError, {"weights": (W, W[:, :4])}),
        (ValueError, {"weights": (W[:, :0],)}),
        (ValueError, {"weights": (W[0, 0],)}),
        (ValueError, {"weights": (W[..., None, None],)}),
        (TypeError, {"weights": (W, W.astype(np.float64))}),
        (TypeError, {"weights": (W.astype(np.float16),)}),
        (TypeError, {"weights": (W.astype(">f4"),)}),
        (TypeError, {"weights": (W.tolist(),)}),
        (ValueError, {"stride": (1,)}),
        (ValueError, {"stride": (0, 1)}),
        (TypeError, {"stride": (1.5, 1)}),
        (ValueError, {"dilation": (1, 1, 1)}),
        (ValueError, {"dilation": (-1, 1)}),
        (ValueError, {"dilation": (2**70, 1)}),
        (ValueError, {"algorithm": 7}),
        (ValueError, {"algorithm": ext.F2, "stride": (2, 1)}),
        (ValueError, {"algorithm": ext.F4, "dilation": (1, 2)}),
        (ValueError, {"algorithm": ext.F4, "weights": (W[..., :2],)}),
        (ValueError, {"algorithm": ext.F2, "weights": (np.zeros((2, 5, 4, 3, 3), np.float32),)}),
        (ValueError, {"threads": 0}),
        # more weights than any memory holds, out of one number
        ((ValueError, MemoryError), {"weights": (np.broadcast_to(np.float32(1), (1, 2**28, 2**28, 3, 3)),)}),
        ((ValueError, MemoryError), {"weights": (np.broadcast_to(np.float32(1), (2**55, 1, 1, 1, 1)),)}),
    ],
)
def test_wrong_weights_are_refused(error, arguments):
    with pytest.raises(error):
        made(**arguments)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"parts": []}),
        (ValueError, {"parts": [(X, ext.COPY, None)] * 5}),
        (ValueError, {"parts": [(X, 9, None)]}),
        (ValueError, {"parts": [(X, ext.COPY, None)] * 2}),
        (ValueError, {"parts": [(X[..., :3].copy(), ext.COPY, None)]}),
        (ValueError, {"parts": [(X[0], ext.COPY, None)]}),
        (ValueError, {"parts": [(X[:, ::2], ext.COPY, None)]}),
        (TypeError, {"parts": [(X.astype(np.float64), ext.COPY, None)]}),
        (TypeError, {"parts": [(X.astype(np.int32), ext.COPY, None)]}),
        (TypeError, {"parts": [([[0.0]], ext.COPY, None)]}),
        (ValueError, {"parts": [(X, ext.TIMES, X[:, :5].copy())]}),
        (ValueError, {"parts": [(X, ext.TIMES, np.zeros((3, 6, 6, 4), np.float32))]}),
        (TypeError, {"parts": [(X, ext.TIMES, X.astype(np.float64))]}),
        (ValueError, {"parts": [(X, ext.MINUS, np.zeros((3,), np.float32))]}),
        (ValueError, {"parts": [(X, ext.MINUS, np.zeros((6, 1, 4), np.float32))]}),
        (ValueError, {"parts": [(X, ext.MINUS, X)]}),
        (TypeError, {"parts": [(X, ext.MINUS, "low")]}),
        (ValueError, {"before": (1,)}),
        (ValueError, {"out": (6, 6, 6)}),
        (ValueError, {"out": (-1, 6)}),
        ((ValueError, MemoryError), {"out": (2**40, 2**40)}),
        ((ValueError, MemoryError), {"out": (2**50, 1)}),
        (TypeError, {"epilogue": "relu"}),
        (ValueError, {"epilogue": ext.Epilogue(np.zeros(4, np.float32), False, False, [])}),
        (TypeError, {"epilogue": ext.Epilogue(np.zeros(5), False, False, [])}),
        (ValueError, {"epilogue": ext.Epilogue(None, False, False, [(1, False, None, ext.EXACT, 0.0, ext.ALL, 1.0)])}),
        (ValueError, {"threads": -1}),
    ],
)
def test_wrong_calls_are_refused(error, arguments):
    call = {"parts": [(X, ext.COPY, None)], "before": (1, 1), "out": (6, 6), "epilogue": None, "threads": 1} | arguments
    with pytest.raises(error):
        made()(*call.values())


def test_wrong_shares_are_refused():
    share = (0, False, None, ext.EXACT, 0.0, ext.ALL, 1.0)
    for shares in (
        [share] * 5,
        [(-2, *share[1:])],
        [(0, True, *share[2:])],
        [(*share[:3], 9, *share[4:])],
        [(*share[:5], 9, 1.0)],
    ):
        with pytest.raises(ValueError, match=r"shares|no such share"):
            ext.Epilogue(None, False, False, shares)


def test_weights_are_no_longer_needed_once_prepared():
    """A direct convolution keeps nothing of the arrays that it was made from."""
    w = np.ones((1, 5, 4, 3, 3), np.float32)
    convolution = made((w,))
    w[...] = np.nan
    assert (convolution([(X, ext.COPY, None)], (1, 1), (6, 6), None, 1)[0] == 0).all()


# ---- what is decided when the module is loaded --------------------------------------------------------------------------------

SETS = ["x86-64-v4", "x86-64-v3", "baseline"]
SCRIPT = """
import sys, numpy as np
from lrp_ref.kernels.compiled import _core as ext
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    x = rng.standard_normal((2, 19, 18, 21)).astype(dtype)
    x[:, 8:] *= rng.random((2, 11, 18, 1)) < 0.1
    for shape in ((1, 37, 21, 3, 3), (3, 11, 7, 3, 3)):
        w = rng.standard_normal(shape).astype(dtype)
        for algorithm in (ext.DIRECT, ext.F2, ext.F4)[: 3 if shape[0] == 1 else 1]:
            y = ext.Convolution([w], (1, 1), (1, 1), algorithm, 2)([(x, ext.COPY, None)], (1, 1), (19, 18), None, 2)[0]
            np.save(sys.stdout.buffer, y)
print(ext.instruction_set, file=sys.stderr)
"""


def run(environment: dict[str, str], script: str = SCRIPT) -> tuple[str, bytes]:
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stderr.decode().split()[-1], done.stdout


def test_lesser_instruction_sets_are_chosen_and_agree():
    """With a fused multiply-add the bits are the same in vectors of every length; the baseline rounds more often."""
    best, expected = run({"LRP_REF_INSTRUCTION_SET": ""})
    assert best == run({"LRP_REF_INSTRUCTION_SET": "no such set"})[0]
    for name in SETS[SETS.index(best) + 1 :]:
        used, found = run({"LRP_REF_INSTRUCTION_SET": name})
        assert used == name
        if name != "baseline":
            assert found == expected
        one, other = io.BytesIO(found), io.BytesIO(expected)
        for _ in range(8):
            a, b = np.load(one), np.load(other)
            assert abs(a - b).max() <= 2e-5 * np.finfo(a.dtype).eps / 1e-7 * abs(b).max()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's here")
def test_no_memory_is_a_memory_error():
    """For the scratch of a kernel as well as for results and prepared weights."""
    script = """
import resource, sys, numpy as np
from lrp_ref.kernels.compiled import _core as ext
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
x, w = np.zeros((1, 300, 300, 8), np.float32), np.zeros((1, 8, 8, 3, 3), np.float32)
direct, fast = (ext.Convolution([w], (1, 1), (1, 1), a, 1) for a in (ext.DIRECT, ext.F4))
resource.setrlimit(resource.RLIMIT_AS, (size + (48 << 20),) * 2)
wide = np.broadcast_to(np.float32(0), (1, 2048, 2048, 3, 3))
for attempt in (
    lambda: fast([(x, ext.COPY, None)], (1, 1), (2, 300_000), None, 1),
    lambda: direct([(x, ext.COPY, None)], (1, 1), (2, 1_000_000), None, 1),
    lambda: direct([(x, ext.COPY, None)], (1, 1), (9000, 9000), None, 1),
    lambda: ext.Convolution([wide], (1, 1), (1, 1), ext.F4, 1),
):
    try:
        attempt()
    except MemoryError:
        continue
    sys.exit("no MemoryError")
assert (direct([(x, ext.COPY, None)], (1, 1), (300, 300), None, 1)[0] == 0).all()
print("done", file=sys.stderr)
"""
    assert run({}, script)[0] == "done"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's here")
def test_what_waits_serves_the_next_call_and_goes_back_where_there_is_no_more():
    script = """
import resource, sys, numpy as np
from lrp_ref.kernels.compiled import _core as ext
def room(megabytes):
    made = ext.new_array((megabytes << 20,), np.dtype("f4"))
    made[:] = 1
    return made
def pages(column):
    return int(open("/proc/self/statm").read().split()[column]) * resource.getpagesize() >> 20
before = pages(1)
lent = [room(20), room(20)]
del lent
assert pages(1) - before > 140, "two blocks of 80 MB wait"
resource.setrlimit(resource.RLIMIT_AS, ((pages(0) + 24) << 20,) * 2)
lent = [room(20), room(19)]  # they wait no longer
del lent
larger = room(40)  # 160 MB, where 24 are left: what waits goes back
try:
    room(40)
except MemoryError:
    print("done", file=sys.stderr)
"""
    assert run({}, script)[0] == "done"


def test_a_core_that_was_built_from_other_sources_is_refused():
    """What stays behind in a checkout might compute something else without any error."""
    from lrp_ref.errors import FormatError
    from lrp_ref.kernels.compiled import native

    assert ext.INTERFACE == native.INTERFACE
    for found in (None, native.INTERFACE + 1):
        with pytest.raises(FormatError, match="build it again"):
            native.require(found)


def test_an_instruction_set_that_is_none_is_refused():
    """The core takes the best for it; whoever asked for another is told."""
    from lrp_ref.errors import UnknownNameError
    from lrp_ref.kernels.compiled import native

    for name in ("", *native.INSTRUCTION_SETS):
        native.require_set(name)
    for name in ("x86-64-v5", "V3", "\udcff"):
        with pytest.raises(UnknownNameError, match="LRP_REF_INSTRUCTION_SET"):
            native.require_set(name)
