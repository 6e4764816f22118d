"""`forward` of every layer against literal loops: equal in rationals, within a derived bound in floats."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

from lrp_ref import layers as L
from lrp_ref.arrays import fractions, frozen
from lrp_ref.errors import ExactnessError
from support import naive
from support.strategies import FLOAT_TYPES, IRRATIONAL, KINDS, LINEAR, RATIONAL, cases, fewer, floats


def read_only(arrays):
    """Views that cannot be written to: a forward pass that changes its input fails."""
    return tuple(frozen(a) for a in arrays)


def unit_roundoff(dtype):
    return Fraction(1, 2**53) if dtype == np.float64 else Fraction(1, 2**24)


@pytest.mark.parametrize("kind", RATIONAL)
def test_forward_is_the_literal_loops_exactly(kind):
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        found = case.layer.forward(*read_only(case.inputs))
        expected = naive.forward(case.layer, *case.inputs)
        assert case.layer.shape(*case.shapes) == found.shape == expected.shape
        assert found.dtype == object
        assert all(type(value) is Fraction for value in found.flat)
        assert (found == expected).all()

    check()


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("kind", RATIONAL)
def test_forward_rounds_no_more_than_it_must(kind, dtype):
    """|z − exact| ≤ γ Σ|terms| with γ = m u / (1 − m u), whatever the order of the additions (Higham 2002, §3.1).

    Every term meets at most as many additions as a sample has elements, one multiplication, one division by a count and
    one addition of a bias. A batch norm has 5 more: the sum under the root, the root, γ/root, μ·factor, and + β. A
    layer's own constants (a slope, a 1/n) are rounded once. What selects or moves rounds nothing.
    """
    u = unit_roundoff(dtype)

    @fewer
    @given(cases(kind, numbers=floats(), inputs=floats()))
    def check(drawn):
        case = drawn.astype(dtype)
        with np.errstate(all="raise"):
            found = case.layer.forward(*read_only(case.inputs))
        assert found.dtype == dtype
        assert case.layer.shape(*case.shapes) == found.shape
        exact = case.astype(object)
        off = abs(fractions(found) - naive.forward(exact.layer, *exact.inputs))
        if kind in LINEAR:
            m = sum(a[:1].size for a in case.inputs) + (8 if kind is L.BatchNorm else 3)
            assert (off <= m * u / (1 - m * u) * naive.magnitude(exact.layer, *exact.inputs)).all()
        elif kind in (L.Multiply, L.LeakyReLU):
            assert (off <= 2 * u / (1 - 2 * u) * abs(naive.forward(exact.layer, *exact.inputs))).all()
        else:
            assert not off.any()

    check()


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_a_layer_in_float64_serves_the_number_type_of_its_input(dtype):
    """Parameters enter in the number type of the input: the same bits as from a layer of that type."""

    @given(cases(*(set(RATIONAL) - {L.BatchNorm}), numbers=floats(), inputs=floats()))
    def check(drawn):
        case = drawn.astype(dtype)
        found = drawn.layer.forward(*case.inputs)
        assert found.dtype == dtype
        assert found.tobytes() == case.layer.forward(*case.inputs).tobytes()

    check()


def test_a_batch_norm_in_float64_rounds_its_factors_once():
    """Its factors are made in the type of its statistics, and only then rounded to that of the input."""
    layer = L.BatchNorm(np.array([0.1]), np.array([3.0]), np.array([0.7]), np.array([-0.3]))
    x = np.array([[0.5], [-2.0]], dtype=np.float32)
    factor = 0.7 / np.sqrt(3.0 + 1e-5)
    expected = x * np.float32(factor) + np.float32(-0.3 - 0.1 * factor)
    found = layer.forward(x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def tolerance(layer, x, u):
    """How far a correct value may be from the loops', relative to the value and absolutely (see each reason)."""
    z = abs(x.astype(np.float64))
    if isinstance(layer, L.Softmax):
        # z − max is rounded once, |z − max| u in the exponent; then n additions, exp, log, and a few more.
        spread = x.astype(np.float64).max(axis=layer.axis, keepdims=True) - x
        m = spread + x.shape[layer.axis] + 8
        return (0, 2 * m * u) if isinstance(layer, L.LogSoftmax) else (2 * m * u, 0)
    if isinstance(layer, L.Softplus):
        return (layer.beta * z + 8) * u, 0  # β z is rounded before it enters an exponent
    if isinstance(layer, L.GELU):
        # d log Φ(z) / d log z ~ z² in the left tail, and the argument is rounded a few times; the cubic form ~ 2.7 |y|
        steepness = z**2 if layer.approximate == "none" else 4 * (z + 0.044715 * z**3)
        return (4 * steepness + 8) * u, 0
    return 8 * u, 0


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("kind", IRRATIONAL)
def test_irrational_activations_are_those_of_the_math_module(kind, dtype):
    u = float(unit_roundoff(dtype))
    least = float(np.finfo(dtype).tiny)  # below it, and only there, accuracy may be lost

    @given(cases(kind, inputs=floats(100)))
    def check(drawn):
        case = drawn.astype(dtype)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            found = case.layer.forward(*read_only(case.inputs))
        assert found.dtype == dtype
        assert case.layer.shape(*case.shapes) == found.shape
        wide = drawn.inputs[0]
        expected = naive.forward(case.layer, wide)
        if kind is L.GELU and case.layer.approximate == "tanh":
            expected = gelu_tanh(wide)
        relative, absolute = tolerance(case.layer, case.inputs[0], u) if wide.size else (0, 0)
        assert (abs(found - expected) <= relative * abs(expected) + absolute + 200 * least).all()

    check()


def gelu_tanh(z):
    """½ z (1 + tanh y) as z / (1 + exp(−2y)): the printed form cancels in the left tail, and the library's does not."""
    y = np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)
    with np.errstate(over="ignore"):
        return z / (1 + np.exp(-2 * y))


@pytest.mark.parametrize("kind", IRRATIONAL)
def test_irrational_activations_refuse_rationals_by_name(kind):
    @fewer
    @given(cases(kind))
    def check(drawn):
        case = drawn.astype(object)
        with pytest.raises(ExactnessError, match=rf"^{kind.__name__} of a rational is not rational; use float64 arrays"):
            case.layer.forward(*case.inputs)

    check()


def test_a_batch_norm_whose_root_is_irrational_refuses_rationals():
    layer = L.BatchNorm([0.0], [2.0], epsilon=0).astype(object)
    with pytest.raises(ExactnessError, match="the square root of 2 is not rational"):
        layer.forward(fractions([[1.0]]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_gives_an_empty_result(kind):
    @fewer
    @given(cases(kind))
    def check(drawn):
        for dtype in (*FLOAT_TYPES, *((object,) if kind in RATIONAL else ())):
            case = drawn.astype(dtype)
            found = case.layer.forward(*(a[:0] for a in case.inputs))
            assert found.shape == (0, *drawn.relevance.shape[1:])
            assert found.dtype == dtype

    check()


# ---- by hand ---------------------------------------------------------------------------------------------------------
# Small integers worked out on paper, so that the loops above are not the only reading of a definition.


def row(*values):
    """One sample with one channel."""
    return np.array([[values]], dtype=np.float64)


def test_dense_by_hand():
    layer = L.Dense([[1, 2, 3], [4, 5, 6]], [10, 20, 30])
    assert layer.forward(np.array([[1.0, -1.0]])).tolist() == [[1 - 4 + 10, 2 - 5 + 20, 3 - 6 + 30]]


def test_conv_is_a_cross_correlation_by_hand():
    """The kernel is not flipped: it meets (0, 1, 2), (1, 2, 3), (2, 3, 4) with padding (1, 0)."""
    layer = L.Conv([[[1, 10, 100]]], [0.5], padding=((1, 0),))
    assert layer.forward(row(1, 2, 3, 4)).tolist() == [[[210.5, 321.5, 432.5]]]


def test_conv_with_stride_and_dilation_by_hand():
    """Taps 2 apart, windows 3 apart: (1, 3), (4, 6); the last cell is never seen."""
    layer = L.Conv([[[1, 10]]], stride=3, dilation=2)
    assert layer.forward(row(1, 2, 3, 4, 5, 6, 7)).tolist() == [[[31, 64]]]


def test_grouped_conv_by_hand():
    """Two groups, two channels above each: (1, 10) on the first channel, (100, 1000) on the second."""
    layer = L.Conv(np.array([1, 10, 100, 1000]).reshape(4, 1, 1), groups=2)
    assert layer.forward(np.array([[[2.0], [3.0]]])).tolist() == [[[2], [20], [300], [3000]]]


def test_conv_transpose_by_hand():
    """Each cell puts (1, 10, 100) down, 2 apart: (1, 10, 100, 0, 0) + (0, 0, 2, 20, 200); one cell cut off in front."""
    layer = L.ConvTranspose([[[1, 10, 100]]], stride=2, padding=((1, 0),))
    assert layer.forward(row(1, 2)).tolist() == [[[10, 102, 20, 200]]]


def test_conv_transpose_with_output_padding_by_hand():
    """One cell more at the end; nothing falls on it when nothing was cut off there."""
    assert L.ConvTranspose([[[1, 10]]], stride=2, output_padding=1).forward(row(1, 2)).tolist() == [[[1, 10, 2, 20, 0]]]
    cut = L.ConvTranspose([[[1, 10]]], stride=2, padding=1, output_padding=1)
    assert cut.forward(row(1, 2)).tolist() == [[[10, 2, 20]]]


def test_grouped_conv_transpose_by_hand():
    """Two groups of one channel below and two above: weight (lower, upper/groups, kernel)."""
    layer = L.ConvTranspose(np.array([[1, 10], [100, 1000]]).reshape(2, 2, 1), groups=2)
    assert layer.forward(np.array([[[2.0], [3.0]]])).tolist() == [[[2], [20], [300], [3000]]]


def test_batch_norm_by_hand():
    """(5 − 1)·3/√(3.75 + 0.25) + 7 = 13."""
    layer = L.BatchNorm([1], [3.75], [3], [7], epsilon=0.25)
    assert layer.forward(np.array([[5.0]])).tolist() == [[13.0]]


def test_shapes_by_hand():
    x = np.arange(6.0).reshape(1, 2, 3)
    assert L.Flatten().forward(x).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert L.Transpose((0, 2, 1)).forward(x).tolist() == [[[0, 3], [1, 4], [2, 5]]]
    assert L.Reshape((3, -1)).forward(x).tolist() == [[[0, 1], [2, 3], [4, 5]]]
    assert L.Pad(((1, 2),)).forward(row(1, 2)).tolist() == [[[0, 1, 2, 0, 0]]]
    assert L.Upsample(2).forward(row(1, 2)).tolist() == [[[1, 1, 2, 2]]]
    assert L.Concat(2, -1).forward(row(1, 2), row(3)).tolist() == [[[1, 2, 3]]]
    assert L.Mean((1, -1)).forward(x).tolist() == [2.5]
    assert L.Mean(-1, keepdims=True).forward(x).tolist() == [[[1], [4]]]


def test_upsampling_repeats_along_each_axis_by_its_own_factor():
    x = np.array([[[[1.0, 2.0]]]])
    assert L.Upsample((2, 3)).forward(x).tolist() == [[[[1, 1, 1, 2, 2, 2]] * 2]]


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_activations_by_hand(dtype):
    z = np.array([[-2.0, -0.0, 0.0, 3.0]], dtype=dtype)
    assert L.ReLU().forward(z).tolist() == [[0, 0, 0, 3]]
    assert L.LeakyReLU(0.25).forward(z).tolist() == [[-0.5, 0, 0, 3]]
    assert L.Sigmoid().forward(z)[0, 1:3].tolist() == [0.5, 0.5]
    assert L.Softmax().forward(z[:, 1:3]).tolist() == [[0.5, 0.5]]
