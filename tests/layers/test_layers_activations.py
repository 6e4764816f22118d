"""Activations far out: no overflow, no cancellation, no NaN."""

import numpy as np
import pytest

from lrp_ref import layers as L
from support.strategies import FLOAT_TYPES

FAR = [-1000.0, -750.0, -100.0, -20.0, -0.0, 0.0, 20.0, 100.0, 750.0, 1000.0]
ALL = [L.ReLU(), L.LeakyReLU(), L.Tanh(), L.Sigmoid(), L.GELU(), L.GELU("tanh"), L.Softplus(), L.Softplus(20.0), L.LogSigmoid()]


def on(layer, *values, dtype=np.float64):
    """The layer on one sample, as floats."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):  # underflow to 0 is the right value
        found = layer.forward(np.array([values], dtype=dtype))
    assert found.dtype == dtype
    return found[0].tolist()


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("layer", ALL, ids=repr)
def test_nothing_overflows_far_out(layer, dtype):
    """Neither a NaN nor an infinity nor a warning; and rising from z = 0 on."""
    found = on(layer, *FAR, dtype=dtype)
    assert np.isfinite(found).all()
    assert found[4:] == sorted(found[4:])


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_limits(dtype):
    assert on(L.Sigmoid(), -1000, 1000, dtype=dtype) == [0, 1]
    assert on(L.Tanh(), -1000, 1000, dtype=dtype) == [-1, 1]
    assert on(L.Softplus(), -1000, 1000, dtype=dtype) == [0, 1000]
    for form in ("none", "tanh"):
        assert on(L.GELU(form), -1000, 1000, dtype=dtype) == [0, 1000]


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_softmax_far_out(dtype):
    """Shifted by the largest: exp never overflows, and the sum is never 0."""
    assert on(L.Softmax(), -1000, 0, 1000, dtype=dtype) == [0, 0, 1]
    assert on(L.Softmax(), 1000, 1000, dtype=dtype) == [0.5, 0.5]
    assert on(L.Softmax(), -1000, -1000, dtype=dtype) == [0.5, 0.5]
    assert on(L.LogSoftmax(), -1000, 0, 1000, dtype=dtype) == [-2000, -1000, 0]


# Values to 20 digits from mpmath 1.3 with 60 digits, at exactly these z.
LEFT_TAIL = {
    -5.0: -1.4332578593959695584e-06,
    -10.0: -7.619853024160526066e-23,
    -20.0: -5.5072482372124673902e-88,
    -30.0: -1.4720141781444561179e-196,
    -37.0: -2.1184613523340934244e-298,
}


@pytest.mark.parametrize(("z", "value"), LEFT_TAIL.items())
def test_gelu_is_accurate_relative_to_itself_in_the_left_tail(z, value):
    """½ z (1 + erf(z/√2)) would be 0 from −8.3 on. The argument of erfc is rounded twice: z² u each in the result."""
    assert on(L.GELU(), z)[0] == pytest.approx(value, rel=(2 * z * z + 8) * 2**-53, abs=0)


@pytest.mark.parametrize("z", [-5.0, -10.0, -12.5])
def test_gelu_in_float32_is_rounded_once(z):
    """Φ is computed in float64 in any case; −12.5·Φ(−12.5) ~ 5e-35 still is a normal float32, and Φ(−13) is not."""
    assert on(L.GELU(), z, dtype=np.float32)[0] == np.float32(on(L.GELU(), z)[0])


TANH_TAIL = {
    -3.0: -0.0036373920817730188378,
    -5.0: -2.2917961966295060456e-07,
    -8.0: -3.107782937501111218e-21,
}


@pytest.mark.parametrize(("z", "value"), TANH_TAIL.items())
def test_the_tanh_form_does_not_cancel_in_the_left_tail(z, value):
    """Values to 20 digits from mpmath. 1 + tanh y keeps no digit at z = −8; y is rounded about 6 times, 2|y| u each."""
    y = np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)
    assert on(L.GELU("tanh"), z)[0] == pytest.approx(value, rel=(12 * abs(y) + 8) * 2**-53, abs=0)


def test_sigmoid_and_softplus_are_accurate_relative_to_themselves_in_the_left_tail():
    """Values to 20 digits from mpmath; exp of an exact argument, so a few roundings."""
    tail = {-40.0: 4.2483542552915889773e-18, -300.0: 5.1482002224120137812e-131, -700.0: 9.8596765437597708567e-305}
    for z, value in tail.items():
        assert on(L.Sigmoid(), z)[0] == pytest.approx(value, rel=1e-15, abs=0)
        assert on(L.Softplus(), z)[0] == pytest.approx(value, rel=1e-15, abs=0)
