"""A sample's bits depend neither on the batch that it comes in nor on how that lies in memory (CONV-BATCH-BITS)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import layers as L
from support.strategies import FLOAT_TYPES, KINDS, LINEAR, cases, fewer, floats


def bits(a):
    """Type, shape and every bit, the signs of zeros included."""
    return a.dtype, a.shape, a.tobytes()


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_samples_one_by_one(kind, dtype):
    @fewer
    @given(cases(kind, numbers=floats(), inputs=floats(), relevance=floats(), batch=st.integers(2, 5)))
    def check(drawn):
        case = drawn.astype(dtype)
        layer = case.layer
        whole = layer.forward(*case.inputs)
        for n in range(case.batch):
            alone = case.sample(n)
            assert bits(layer.forward(*alone.inputs)) == bits(whole[n : n + 1])
            if kind not in LINEAR:
                continue
            for i, weight in enumerate(w.astype(dtype) for w in layer.weights):
                back = layer.adjoint(case.relevance, weight, case.shapes[i])
                assert bits(layer.adjoint(alone.relevance, weight, alone.shapes[i])) == bits(back[n : n + 1])

    check()


# NumPy adds in the order of the memory, in eight lanes from eight numbers on, and in blocks from 128 on: sums that are
# short, or whose array is laid out in C order, never show it.
LONG = [
    (L.Dense(np.linspace(-1, 2, 200 * 19).reshape(200, 19)), [(200,)]),
    (L.Dense(np.linspace(-1, 2, 200).reshape(200, 1)), [(200,)]),
    (L.Dense(np.linspace(-1, 2, 400).reshape(20, 20)[:, ::2]), [(5, 20)]),
    (L.Mean(1), [(200,)]),
    (L.Mean(1), [(33, 3)]),
    (L.Mean((1, 3)), [(33, 3, 17)]),
    (L.Mean(-1), [(3, 200)]),
    (L.GlobalAvgPool(), [(3, 17, 17)]),
    (L.GlobalSumPool(), [(3, 200)]),
    (L.GlobalSumPool(), [(2, 7, 7, 7)]),
    (L.Add(2), [(33, 17), (1, 17)]),
    (L.Add(3), [(200, 3), (200, 1), (1, 1)]),
    (L.Subtract(), [(1, 17), (33, 17)]),
    (L.Softmax(), [(200,)]),
    (L.Softmax(1), [(33, 3)]),
    (L.LogSoftmax(-1), [(3, 200)]),
    (L.Conv(np.linspace(-1, 2, 8 * 6 * 9).reshape(8, 6, 3, 3), padding=1), [(6, 8, 8)]),
    (L.Conv(np.linspace(-1, 2, 160).reshape(4, 40, 1)), [(40, 1)]),
    (L.ConvTranspose(np.linspace(-1, 2, 6 * 8 * 9).reshape(6, 8, 3, 3), stride=2), [(6, 8, 8)]),
    (L.AvgPool(3, 1, 1), [(3, 17, 17)]),
    (L.Upsample(12), [(3, 5)]),
    (L.GELU(), [(33, 3)]),
    (L.Tanh(), [(33, 3)]),
    (L.Sigmoid(), [(33, 3)]),
    (L.Softplus(), [(33, 3)]),
]


def in_memory(x, order):
    """The values of `x` in C order, in Fortran order, or with the batch axis fastest."""
    if order == "batch last":
        return np.moveaxis(np.array(np.moveaxis(x, 0, -1), order="C"), -1, 0)
    return np.array(x, order=order)


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("order", ["C", "F", "batch last"])
@pytest.mark.parametrize(("layer", "samples"), LONG, ids=[f"{layer} {shapes}" for layer, shapes in LONG])
def test_long_sums_in_every_memory_layout(layer, samples, order, dtype):
    rng = np.random.default_rng(0)
    layer = layer.astype(dtype)
    x = [in_memory(rng.standard_normal((16, *shape)).astype(dtype), order) for shape in samples]
    whole = layer.forward(*x)
    s = in_memory(rng.standard_normal(whole.shape).astype(dtype), order)
    weights = [w.astype(dtype) for w in layer.weights] if isinstance(layer, L.Linear) else []
    back = [layer.adjoint(s, w, a.shape) for w, a in zip(weights, x, strict=False)]
    for n in range(16):
        for one in (lambda a, n=n: a[n : n + 1], lambda a, n=n: np.array(a[n : n + 1], order="C")):
            assert bits(layer.forward(*map(one, x))) == bits(whole[n : n + 1])
            for w, a, b in zip(weights, x, back, strict=False):
                assert bits(layer.adjoint(one(s), w, (1, *a.shape[1:]))) == bits(b[n : n + 1])


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_signs_of_zeros_survive_what_moves(dtype):
    zeros = np.array([[[0.0, -0.0, 0.0, -0.0]]], dtype=dtype)
    for layer in (L.Identity(), L.Dropout(), L.Transpose((0, 1, 2)), L.Reshape((1, 4)), L.Concat(1), L.Pad(0)):
        assert bits(layer.forward(zeros)) == bits(zeros)
    assert bits(L.Upsample(1).forward(zeros)) == bits(zeros)
