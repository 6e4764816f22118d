"""What does not fit is refused with a message that says what was found and what would work."""

import dataclasses
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import (
    ExactnessError,
    LrpError,
    NonFiniteError,
    NumberTypeError,
    ParameterError,
    ShapeError,
)
from lrp_ref.layers.window import Window
from support.strategies import KINDS, cases, fewer

ONES = np.ones
NAN, INF = float("nan"), float("inf")


def raises(error, message):
    """`pytest.raises` on the literal text of a message, whole or in part."""
    return pytest.raises(error, match=re.escape(message))


# ---- parameters ------------------------------------------------------------------------------------------------------

WRONG_PARAMETERS = [
    # weights and biases
    (lambda: L.Dense([1.0, 2.0]), ShapeError, "Dense.weight must be (lower, upper), found shape (2,)"),
    (lambda: L.Dense(ONES((2, 3)), ONES(2)), ShapeError, "Dense.bias must have shape (3,), found (2,)"),
    (lambda: L.Conv(ONES((3, 2))), ShapeError, "Conv.weight must have 2 channel and 1 to 3 kernel axes, found (3, 2)"),
    (lambda: L.Conv(ONES((1,) * 6)), ShapeError, "Conv.weight must have 2 channel and 1 to 3 kernel axes"),
    (lambda: L.Conv(ONES((1, 1, 0))), ShapeError, "Conv.weight has an empty kernel: (1, 1, 0)"),
    (lambda: L.Conv(ONES((4, 2, 3)), ONES(2)), ShapeError,
     "Conv.bias must be (4,), or a feature map (4, *output), found (2,)"),
    (lambda: L.Conv(ONES((4, 2, 3)), ONES((4, 2, 2))), ShapeError, "or a feature map (4, *output), found (4, 2, 2)"),
    (lambda: L.ConvTranspose(ONES((4, 2, 3)), ONES(2), groups=2), ShapeError, "ConvTranspose.bias must be (4,)"),
    (lambda: L.BatchNorm(ONES(3), ONES(2)), ShapeError,
     "BatchNorm.variance must have shape (3,) like mean, found (2,)"),
    (lambda: L.BatchNorm(ONES((3, 1)), ONES((3, 1))), ShapeError, "BatchNorm.mean must have shape (3, 1) like mean"),
    (lambda: L.BatchNorm(ONES(2), [1.0, -1.0]), ParameterError,
     "BatchNorm.variance + epsilon must be positive in every channel"),
    (lambda: L.BatchNorm(ONES(2), [1.0, 0.0], epsilon=0), ParameterError, "must be positive in every channel"),
    (lambda: L.BatchNorm(ONES(2), ONES(2), epsilon=-1), ParameterError,
     "BatchNorm.epsilon must be finite and at least 0, found -1"),
    (lambda: L.BatchNorm(ONES(2), ONES(2), epsilon=NAN), ParameterError, "BatchNorm.epsilon must be finite"),
    # groups
    (lambda: L.Conv(ONES((4, 2, 3)), groups=3), ParameterError,
     "Conv.groups must divide the 4 channels of the weight's first axis, found 3"),
    (lambda: L.ConvTranspose(ONES((4, 2, 3)), groups=3), ParameterError, "ConvTranspose.groups must divide the 4"),
    (lambda: L.Conv(ONES((4, 2, 3)), groups=0), ParameterError, "Conv.groups must be at least 1, found 0"),
    (lambda: L.Conv(ONES((4, 2, 3)), groups=2.0), ParameterError, "Conv.groups must be an integer, found 2.0"),
    # windows
    (lambda: L.Conv(ONES((1, 1, 3)), stride=0), ParameterError, "stride must be at least 1, found 0"),
    (lambda: L.Conv(ONES((1, 1, 3)), stride=1.5), ParameterError, "stride must be an int or 1 ints, found 1.5"),
    (lambda: L.Conv(ONES((1, 1, 3)), stride=True), ParameterError, "stride must be an int or 1 ints, found True"),
    (lambda: L.Conv(ONES((1, 1, 3)), stride=None), ParameterError, "stride must be an int or 1 ints, found None"),
    (lambda: L.Conv(ONES((1, 1, 3, 3)), stride=(1, 2, 3)), ParameterError,
     "stride must be an int or 2 ints, found (1, 2, 3)"),
    (lambda: L.Conv(ONES((1, 1, 3)), dilation=0), ParameterError, "dilation must be at least 1, found 0"),
    (lambda: L.Conv(ONES((1, 1, 3)), padding=-1), ParameterError, "padding must be at least 0, found -1"),
    (lambda: L.Conv(ONES((1, 1, 3, 3)), padding="same"), ParameterError,
     "padding must be an int or 2 entries, each an int or (before, after), found 'same'"),
    (lambda: L.Conv(ONES((1, 1, 3, 3)), padding=(1, 1, 1, 1)), ParameterError,
     "padding must be an int or 2 entries, each an int or (before, after), found (1, 1, 1, 1)"),
    (lambda: L.Conv(ONES((1, 1, 3)), padding=(0, 1)), ParameterError, "padding must be an int or 1 entries"),
    (lambda: L.Conv(ONES((1, 1, 3)), padding=((0, 1, 2),)), ParameterError,
     "padding must be an int or 2 ints, found (0, 1, 2)"),
    (lambda: L.Conv(ONES((1, 1, 3)), padding=(0.5,)), ParameterError, "padding must be an int or 2 ints, found 0.5"),
    (lambda: L.ConvTranspose(ONES((1, 1, 3)), stride=2, output_padding=2), ParameterError,
     "output_padding (2,) must be smaller than the stride or the dilation of each axis"),
    (lambda: L.ConvTranspose(ONES((1, 1, 3)), output_padding=-1), ParameterError, "output_padding must be at least 0"),
    (lambda: L.MaxPool(0), ParameterError, "kernel must be at least 1, found 0"),
    (lambda: L.MaxPool("2"), ParameterError, "kernel must be an int or 1 ints, found '2'"),
    (lambda: L.MaxPool(2.0), ParameterError, "kernel must be an int or 1 ints, found 2.0"),
    (lambda: L.AvgPool((2, 2), stride=(1, 1, 1)), ParameterError,
     "kernel, stride, padding and dilation have different numbers of axes: {'kernel': (2, 2), 'stride': (1, 1, 1)"),
    (lambda: L.SumPool((2, 2), padding=((0, 1),)), ParameterError, "have different numbers of axes"),
    (lambda: L.SumPool(2, padding=-1), ParameterError, "padding must be at least 0, found -1"),
    (lambda: L.Pad(-1), ParameterError, "padding must be at least 0, found -1"),
    (lambda: L.Pad("same"), ParameterError, "padding must be an int or 1 entries"),
    (lambda: L.Pad(True), ParameterError, "padding must be an int or 2 ints, found True"),
    (lambda: L.Upsample(0), ParameterError, "Upsample.factor must be at least 1, found 0"),
    (lambda: L.Upsample((2, 0)), ParameterError, "Upsample.factor must be at least 1, found (2, 0)"),
    (lambda: L.Upsample(1.5), ParameterError, "Upsample.factor must be an int or 1 ints, found 1.5"),
    # axes and extents
    (lambda: L.Mean(0), ParameterError, "Mean.axes must be different axes other than the batch axis 0, found (0,)"),
    (lambda: L.Mean((1, 1)), ParameterError, "Mean.axes must be different axes other than the batch axis 0, found"),
    (lambda: L.Mean(()), ParameterError, "Mean.axes must be different axes other than the batch axis 0, found ()"),
    (lambda: L.Mean((1.5,)), ParameterError, "Mean.axes must be an integer, found 1.5"),
    (lambda: L.Transpose((1, 0)), ParameterError,
     "Transpose.axes must be a permutation that starts with the batch axis 0, found (1, 0)"),
    (lambda: L.Transpose((0, 2, 2)), ParameterError, "Transpose.axes must be a permutation"),
    (lambda: L.Transpose(()), ParameterError, "Transpose.axes must be a permutation that starts with"),
    (lambda: L.Transpose((0, -1, 1)), ParameterError, "Transpose.axes must be a permutation that starts with"),
    (lambda: L.Reshape((-1, -1)), ParameterError,
     "Reshape.to must hold extents, at most one of them −1, found (-1, -1)"),
    (lambda: L.Reshape((-2,)), ParameterError, "Reshape.to must hold extents, at most one of them −1, found (-2,)"),
    (lambda: L.Reshape((2.5,)), ParameterError, "Reshape.to must be an integer, found 2.5"),
    (lambda: L.Flatten(0), ParameterError, "Flatten.start must be at least 1, found 0"),
    (lambda: L.Flatten("1"), ParameterError, "Flatten.start must be an integer, found '1'"),
    (lambda: L.Concat(0), ParameterError, "Concat.inputs must be at least 1, found 0"),
    (lambda: L.Concat(2, 0), ParameterError, "Concat.axis must not be the batch axis 0"),
    (lambda: L.Concat(2, None), ParameterError, "Concat.axis must be an integer, found None"),
    (lambda: L.Add(0), ParameterError, "Add.inputs must be at least 1, found 0"),
    (lambda: L.Add(True), ParameterError, "Add.inputs must be an integer, found True"),
    (lambda: L.Softmax("last"), ParameterError, "Softmax.axis must be an integer, found 'last'"),
    (lambda: L.LogSoftmax(1.0), ParameterError, "LogSoftmax.axis must be an integer, found 1.0"),
    # numbers and names
    (lambda: L.Multiply(signal=2), ParameterError, "Multiply.signal must be 0, 1 or None, found 2"),
    (lambda: L.GELU("erf"), ParameterError, "GELU.approximate must be \"none\" or \"tanh\", found 'erf'"),
    (lambda: L.LeakyReLU("small"), ParameterError, "LeakyReLU.slope must be a number, found 'small'"),
    (lambda: L.LeakyReLU(NAN), ParameterError, "LeakyReLU.slope must be finite, found nan"),
    (lambda: L.Softplus(0), ParameterError, "Softplus.beta must be positive, found 0"),
    (lambda: L.Softplus(INF), ParameterError, "Softplus.beta must be finite, found inf"),
    (lambda: L.Threshold(INF), ParameterError, "Threshold.threshold must be finite, found inf"),
    (lambda: L.Threshold(0, "x"), ParameterError, "Threshold.value must be a number, found 'x'"),
    (lambda: L.Shrink(-0.5), ParameterError, "Shrink.threshold must be finite and at least 0, found -0.5"),
    (lambda: L.Shrink(1, NAN), ParameterError, "Shrink.shift must be finite, found nan"),
    (lambda: L.Dropout(-0.5), ParameterError, "Dropout.rate must be finite and at least 0, found -0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), WRONG_PARAMETERS, ids=[m for _, _, m in WRONG_PARAMETERS])
def test_a_wrong_parameter_is_refused_when_the_layer_is_made(make, error, message):
    with raises(error, message):
        make()


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_and_infinity_in_a_parameter_name_the_field_and_the_index(value):
    weight = ONES((2, 3, 1, 2))
    weight[1, 2, 0, 1] = value
    with raises(NonFiniteError, f"Conv.weight has 1 value(s) that are NaN or infinite, the first {value} at (1, 2, 0, 1)"):
        L.Conv(weight)
    with raises(NonFiniteError, "Dense.bias has 2 value(s) that are NaN or infinite, the first nan at (0,)"):
        L.Dense(ONES((1, 3)), [NAN, 1.0, value])
    with raises(NonFiniteError, "BatchNorm.shift has 1 value(s)"):
        L.BatchNorm([0.0], [1.0], None, [value])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            ONES((2, 2)) * 1j,
            NumberTypeError,
            "Dense.weight must hold float32, float64 or Fraction numbers, found complex",
        ),
        ([["a", "b"]], NumberTypeError, "Dense.weight must hold float32, float64 or Fraction numbers, found <U1"),
        (np.array([["1/2"]], dtype=object), NumberTypeError, "Dense.weight: rationals need numbers, found '1/2'"),
        (np.array([[1j]], dtype=object), NumberTypeError, "Dense.weight: rationals need numbers, found 1j"),
        (np.array([[NAN]], dtype=object), NonFiniteError, "Dense.weight: rationals need finite numbers, found nan"),
        (None, NumberTypeError, "Dense.weight: rationals need numbers, found None"),
        ([[1.0, 2.0], [3.0]], NumberTypeError, "Dense.weight must be an array of numbers: "),
        (np.zeros((1, 1), dtype="datetime64[s]"), NumberTypeError, "found datetime64[s]"),
        (np.zeros((1, 1), dtype=np.longdouble), NumberTypeError, "Dense.weight must hold float32, float64 or Fraction"),
    ],
)
def test_a_parameter_that_is_no_array_of_numbers_is_refused(value, error, message):
    with raises(error, message):
        L.Dense(value)


def test_integers_booleans_and_half_precision_become_floats():
    """Nothing is lost, and nothing else would be meant."""
    assert L.Dense([[1, 2]]).weight.dtype == np.float64
    assert L.Dense([[True, False]]).weight.tolist() == [[1.0, 0.0]]
    assert L.Dense(ONES((1, 2), dtype=np.float16)).weight.dtype == np.float32
    assert L.Dense([[Fraction(1, 3), 0.5, np.float32(0.25), 2]]).weight.tolist() == [
        [Fraction(1, 3), Fraction(1, 2), Fraction(1, 4), Fraction(2)]
    ]


def test_numpy_s_integers_are_integers():
    two = np.int64(2)
    assert repr(L.Conv(ONES((4, 2, 3)), stride=two, padding=two, groups=two)) == (
        "Conv(weight[4, 2, 3], stride=2, padding=2, groups=2)"
    )
    assert L.MaxPool(np.array([2, 2])).shape((1, 1, 4, 4)) == (1, 1, 2, 2)
    for layer, shape in ((L.Upsample(two), (1, 1, 6)), (L.Pad(two), (1, 1, 7)), (L.MaxPool(two), (1, 1, 1))):
        assert layer.shape((1, 1, 3)) == shape
    assert L.Mean(two).shape((1, 2, 3)) == (1, 2)
    assert L.Reshape((two, 2)).shape((1, 4)) == (1, 2, 2)


# ---- inputs ----------------------------------------------------------------------------------------------------------

BATCH = " The batch axis is required: x[None] adds it to a single sample."

WRONG_SHAPES = [
    (L.Dense(ONES((3, 2))), [(3,)], f"expected an input of shape (N, …, 3), found shape (3,).{BATCH}"),
    (L.Dense(ONES((3, 2))), [(1, 4)], "expected 3 features on the last axis, found shape (1, 4)"),
    (L.Conv(ONES((2, 3, 1, 1))), [(3, 5, 5)],
     f"expected an input of shape (N, 3, spatial, spatial), found shape (3, 5, 5).{BATCH}"),
    (L.Conv(ONES((2, 3, 1, 1))), [(1, 3, 5, 5, 5)], "found shape (1, 3, 5, 5, 5)."),
    (L.Conv(ONES((2, 3, 1))), [(1, 4, 5)], "expected 3 channels on axis 1, found shape (1, 4, 5)"),
    (L.Conv(ONES((2, 3, 1)), groups=2), [(1, 3, 5)], "expected 6 channels on axis 1, found shape (1, 3, 5)"),
    (L.ConvTranspose(ONES((2, 3, 1))), [(1, 3, 5)], "expected 2 channels on axis 1, found shape (1, 3, 5)"),
    (L.Conv(ONES((1, 1, 3)), dilation=2), [(1, 1, 4)],
     "a window of extent 5 does not fit spatial axis 0 of 4 cells with padding (0, 0)"),
    (L.Conv(ONES((1, 1, 1, 3)), padding=((0, 0), (1, 0))), [(1, 1, 1, 1)],
     "a window of extent 3 does not fit spatial axis 1 of 1 cells with padding (1, 0)"),
    (L.Conv(ONES((1, 1, 2)), ONES((1, 3))), [(1, 1, 5)], "the bias is a whole feature map of shape (1, 3)"),
    (L.Conv(ONES((1, 1, 2)), ONES((1, 3))), [(1, 1, 5)], "fixes the input size; this input would give (4,)"),
    (L.ConvTranspose(ONES((1, 1, 2)), padding=1), [(1, 1, 1)],
     "padding ((1, 1),) leaves nothing of an input of (1,) cells"),
    (L.BatchNorm(ONES(3), ONES(3)), [(3,)], f"expected an input of shape (N, 3, …), found shape (3,).{BATCH}"),
    (L.BatchNorm(ONES(3), ONES(3)), [(1, 2)], "expected an input of shape (N, 3, …), found shape (1, 2)"),
    (L.MaxPool(2), [(4, 4)],
     f"expected an input of shape (N, C, *spatial) with 1 to 3 spatial axes, found shape (4, 4).{BATCH}"),
    (L.MaxPool((2, 2)), [(1, 4, 4)],
     f"expected an input of shape (N, C, spatial, spatial), found shape (1, 4, 4).{BATCH}"),
    (L.MaxPool(2, padding=(1, 1)), [(1, 1, 4)], "expected an input of shape (N, C, spatial, spatial), found shape"),
    (L.AvgPool((2,)), [(1, 1, 4, 4)], "expected an input of shape (N, C, spatial), found shape (1, 1, 4, 4)"),
    (L.SumPool(2), [(1, 1, 1)], "a window of extent 2 does not fit spatial axis 0 of 1 cells with padding (0, 0)"),
    (L.SumPool(1), [(1, 1, 2, 2, 2, 2)], "(N, C, *spatial) with 1 to 3 spatial axes, found shape (1, 1, 2, 2, 2, 2)"),
    (L.GlobalAvgPool(), [(1, 2)], "expected an input of shape (N, C, *spatial) with 1 to 3 spatial axes, found shape"),
    (L.GlobalMaxPool(), [(1, 2)], "expected an input of shape (N, C, *spatial) with 1 to 3 spatial axes, found shape"),
    (L.GlobalSumPool(), [(1, 2)], "expected an input of shape (N, C, *spatial) with 1 to 3 spatial axes, found shape"),
    (L.GlobalMaxPool(), [(1, 1, 0)], "nothing to take a maximum of in an input of shape (1, 1, 0)"),
    (L.GlobalAvgPool(), [(1, 1, 0)], "nothing to take a mean of in an input of shape (1, 1, 0)"),
    (L.Mean(1), [(1, 0, 2)], "nothing to take a mean of over axes (1,) of an input of shape (1, 0, 2)"),
    (L.Mean((1, 3)), [(1, 2, 3)], "axes (1, 3) do not exist beside a batch axis in an input of 3 axes"),
    (L.Mean(-2), [(4, 2)], "axes (-2,) do not exist beside a batch axis in an input of 2 axes"),
    (L.Mean((1, -1)), [(4, 2)], "axes (1, -1) do not exist beside a batch axis in an input of 2 axes"),
    (L.Scale(ONES((2, 1, 1))), [(1, 3, 4, 4)],
     "Scale.weight of shape (2, 1, 1) does not fit samples of shape (3, 4, 4)"),
    (L.Scale(1.0, ONES((1, 3))), [(1, 3)], "Scale.bias of shape (1, 3) does not fit samples of shape (3,)"),
    (L.Scale(ONES(3)), [(1, 1)], "Scale.weight of shape (3,) does not fit samples of shape (1,)"),
    (L.Add(), [(1, 2), ()], "an input of Add is a single number: every input has a batch axis"),
    (L.ReLU(), [()], "an input of ReLU is a single number: every input has a batch axis"),
    (L.Add(), [(1, 2), (1, 3)], "shapes (1, 2), (1, 3) do not broadcast"),
    (L.Add(), [(1, 2), (2, 2)], "the batch extents of (1, 2), (2, 2) differ"),
    (L.Subtract(), [(2, 3), (3,)], "shapes (2, 3), (3,) have different ranks; every input has a batch axis"),
    (L.Multiply(), [(2, 3), (2, 4)], "shapes (2, 3), (2, 4) do not broadcast"),
    (L.Add(3), [(1, 2), (1, 2)], "Add has 3 input(s), found 2"),
    (L.Multiply(), [(1, 2)], "Multiply has 2 input(s), found 1"),
    (L.Multiply(1, ONES(2)), [(1, 2), (1, 2)], "Multiply has 1 input(s), found 2"),
    (L.Multiply(1, ONES((2, 2))), [(1, 2)], "Multiply.constant of shape (2, 2) does not fit samples of shape (2,)"),
    (L.Concat(2), [(1, 2, 3), (1, 2, 4)], "inputs (1, 2, 3), (1, 2, 4) differ beside axis 1"),
    (L.Concat(2), [(1, 2, 3), (2, 2, 3)], "inputs (1, 2, 3), (2, 2, 3) differ beside axis 1"),
    (L.Concat(2), [(1, 2, 3), (1, 2)], "inputs (1, 2, 3), (1, 2) differ beside axis 1"),
    (L.Concat(2, 2), [(1, 2), (1, 2)], "axis 2 does not exist beside a batch axis in an input of shape (1, 2)"),
    (L.Concat(2, -2), [(1, 2), (1, 2)], "axis -2 does not exist beside a batch axis in an input of shape (1, 2)"),
    (L.Softmax(2), [(1, 2)], "axis 2 does not exist beside a batch axis in an input of shape (1, 2)"),
    (L.Softmax(0), [(1, 2)], "axis 0 does not exist beside a batch axis in an input of shape (1, 2)"),
    (L.LogSoftmax(), [(1, 0)], "nothing to normalise over axis 1 of an input of shape (1, 0)"),
    (L.Reshape((2, 2)), [(1, 5)], "samples of shape (5,) (5 elements) do not reshape to (2, 2)"),
    (L.Reshape((2, -1)), [(1, 5)], "samples of shape (5,) (5 elements) do not reshape to (2, -1)"),
    (L.Reshape((0, -1)), [(1, 0)], "samples of shape (0,) (0 elements) do not reshape to (0, -1)"),
    (L.Flatten(3), [(1, 2)], "Flatten.start = 3 must be at most 2 for shape (1, 2)"),
    (L.Transpose((0, 2, 1)), [(2, 3)], f"expected an input of shape with 3 axes, found shape (2, 3).{BATCH}"),
    (L.Pad(1), [(1, 2)], "expected an input of shape (N, C, *spatial) with 1 to 3 spatial axes, found shape (1, 2)."),
    (L.Pad((1, 1)), [(1, 2, 3)], "expected an input of shape with 2 spatial axes, found shape (1, 2, 3)"),
    (L.Upsample((2, 2)), [(1, 2, 3)], "expected an input of shape with 2 spatial axes, found shape (1, 2, 3)"),
    (L.Upsample(), [(1, 2)], "expected an input of shape (N, C, *spatial) with 1 to 3 spatial axes, found shape"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shapes", "message"), WRONG_SHAPES, ids=[m for _, _, m in WRONG_SHAPES])
def test_a_wrong_shape_is_refused(layer, shapes, message):
    """By `shape`, without data, and by `forward`, with the same words."""
    with raises(ShapeError, message):
        layer.shape(*shapes)
    with raises(ShapeError, message):
        layer.forward(*(ONES(shape) for shape in shapes))


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_or_too_few_inputs_are_refused(kind):
    @fewer
    @given(cases(kind))
    def check(case):
        count = case.layer.arity
        for inputs in ((), case.inputs * 2):
            expected = f"{kind.__name__} has {count} input(s), found {len(inputs)}"
            with raises(ShapeError, expected):
                case.layer.shape(*(a.shape for a in inputs))
            with raises(ShapeError, expected):
                case.layer.forward(*inputs)

    check()


COMPUTING = [
    L.Dense([[0.5]]), L.Conv([[[0.5]]]), L.ConvTranspose([[[0.5]]]), L.Scale(0.5), L.Add(1), L.Mean(1), L.AvgPool(1),
    L.GlobalAvgPool(), L.SumPool(1), L.BatchNorm([0.5], [1.0]), L.ReLU(), L.LeakyReLU(0.5), L.Sigmoid(), L.Softplus(),
    L.Upsample(1), L.GELU("tanh"), L.GELU(), L.Tanh(), L.Softmax(), L.LogSoftmax(),
]  # fmt: skip


@pytest.mark.parametrize("layer", COMPUTING, ids=repr)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16, np.complex128])
def test_a_layer_that_computes_refuses_other_numbers(layer, dtype):
    """A weight of 0.5 that met integers would be cut off to 0: never in silence."""
    with raises(NumberTypeError, f"numbers must be float32, float64 or Fraction, found an array of {np.dtype(dtype)}"):
        layer.forward(ONES((1, 1, 1), dtype=dtype))


def test_astype_refuses_other_numbers():
    with raises(NumberTypeError, "numbers must be float32, float64 or Fraction, found an array of int64"):
        L.Dense([[0.5]]).astype(np.int64)


def test_what_is_not_rational_says_so():
    with raises(ExactnessError, "Tanh of a rational is not rational; use float64 arrays"):
        L.Tanh().forward(fractions([[0]]))


@given(st.data())
def test_whatever_the_shape_an_error_is_one_of_ours(data):
    """A layer that met a random shape gives an output of the shape that it said, or an LrpError: nothing of NumPy's."""
    case = data.draw(cases())
    shapes = [tuple(data.draw(st.lists(st.integers(0, 3), max_size=6))) for _ in case.inputs]
    try:
        expected = case.layer.shape(*shapes)
    except LrpError:
        with pytest.raises(LrpError):
            case.layer.forward(*(ONES(shape) for shape in shapes))
    else:
        assert case.layer.forward(*(ONES(shape) for shape in shapes)).shape == expected


def test_every_layer_says_whether_its_fields_are_parameters():
    """An array outside `parameter_names` would be missed by astype, by the file format and by the check for NaN."""
    for kind in KINDS:
        names = {field.name for field in dataclasses.fields(kind)}
        assert set(kind.parameter_names) <= names


def test_a_window_s_own_error_names_the_axis():
    with raises(ShapeError, "a window of extent 3 does not fit spatial axis 1 of 2 cells with padding (0, 0)"):
        Window.of(3, dims=2).outputs((3, 2))
