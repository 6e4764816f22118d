"""Pooling at its edges: padding that must not win, windows that stick out, and what an average counts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given

from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import ShapeError
from support.strategies import FLOAT_TYPES, cases, negatives, pool_cases


def row(*values):
    """One sample with one channel."""
    return np.array([[values]], dtype=np.float64)


# ---- padding is never a cell -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [object, *FLOAT_TYPES])
def test_padding_never_wins_among_negative_cells(dtype):
    @given(cases(L.MaxPool, L.GlobalMaxPool, inputs=negatives()))
    def check(drawn):
        case = drawn.astype(dtype)
        assert (case.layer.forward(*case.inputs) < 0).all()

    check()


@pytest.mark.parametrize("dtype", [object, *FLOAT_TYPES])
def test_every_maximum_is_one_of_the_cells_of_its_channel(dtype):
    @given(cases(L.MaxPool, L.GlobalMaxPool))
    def check(drawn):
        case = drawn.astype(dtype)
        (x,), found = case.inputs, case.layer.forward(*case.inputs)
        for n, c in np.ndindex(*x.shape[:2]):
            assert set(found[n, c].flat) <= set(x[n, c].flat)

    check()


def test_negative_windows_by_hand():
    """Windows of 3 at −1, 1, 3: two of them see padding, whose 0 would be larger than every cell."""
    x = row(-5.0, -3.0, -4.0, -7.0)
    assert L.MaxPool(3, 2, ((1, 2),)).forward(x).tolist() == [[[-3.0, -3.0, -7.0]]]
    assert L.MaxPool(3, 2, ((1, 2),)).astype(object).forward(fractions(x)).tolist() == [[[-3, -3, -7]]]


def test_the_lowest_float_is_a_cell_and_padding_is_not():
    lowest = float(np.finfo(np.float64).min)
    assert L.MaxPool(2, padding=1).forward(row(lowest, lowest)).tolist() == [[[lowest, lowest]]]


def test_a_maximum_over_nothing_but_padding_does_not_exist():
    with pytest.raises(ShapeError, match=r"a window of MaxPool\(kernel=1, padding=1\) covers nothing but padding in an"):
        L.MaxPool(1, padding=1).shape((1, 1, 3))


def test_a_sum_over_nothing_but_padding_is_0_and_so_is_its_average():
    x = row(3.0)
    assert L.SumPool(1, padding=1).forward(x).tolist() == [[[0.0, 3.0, 0.0]]]
    for counted in (True, False):
        assert L.AvgPool(1, padding=1, count_include_pad=counted).forward(x).tolist() == [[[0.0, 3.0, 0.0]]]


# ---- how many windows ------------------------------------------------------------------------------------------------


def outputs_of_torch(size, kernel, stride, padding, dilation, ceil_mode):
    """The documented rule of torch.nn.MaxPool1d and AvgPool1d (`pooling_output_shape` in ATen/native/Pool.h).

    L_out = ⌊(L_in + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1, with ⌈…⌉ if `ceil_mode`; and: "When
    ceil_mode=True, sliding windows are allowed to go off-bounds if they start within the left padding or the input.
    Sliding windows that would start in the right padded region are ignored."
    """
    quotient = (size + 2 * padding - dilation * (kernel - 1) - 1) / stride
    if not ceil_mode:
        return math.floor(quotient) + 1
    count = math.ceil(quotient) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def test_the_number_of_windows_is_pytorch_s():
    """Over PyTorch's whole domain of small windows: it wants padding ≤ kernel / 2."""
    seen = 0
    for kernel, stride, dilation, size, ceil_mode in itertools.product(
        range(1, 5), range(1, 6), range(1, 4), range(1, 9), (False, True)
    ):
        for padding in range(kernel // 2 + 1):
            expected = outputs_of_torch(size, kernel, stride, padding, dilation, ceil_mode)
            layer = L.SumPool(kernel, stride, padding, dilation, ceil_mode)
            if expected >= 1:
                assert layer.shape((1, 1, size)) == (1, 1, expected), (layer, size)
                seen += ceil_mode and expected > outputs_of_torch(size, kernel, stride, padding, dilation, False)
            else:
                with pytest.raises(ShapeError, match="does not fit spatial axis 0"):
                    layer.shape((1, 1, size))
    assert seen > 300  # ceil mode made a difference that often


def test_ceil_mode_by_hand():
    """Five cells, windows of 2 every 2: the last one starts on the last cell and sticks out."""
    x = row(1.0, 2.0, 3.0, 4.0, 5.0)
    assert L.MaxPool(2).forward(x).tolist() == [[[2, 4]]]
    assert L.MaxPool(2, ceil_mode=True).forward(x).tolist() == [[[2, 4, 5]]]
    assert L.MaxPool(2, ceil_mode=True).forward(-x).tolist() == [[[-1, -3, -5]]]
    assert L.SumPool(2, ceil_mode=True).forward(x).tolist() == [[[3, 7, 5]]]


def test_ceil_mode_takes_no_window_that_starts_in_the_padding_behind():
    """Padding 1, windows of 3 every 4: the second starts at 3, which is padding behind 3 cells, and the last of 4."""
    layer = L.MaxPool(3, 4, 1, ceil_mode=True)
    assert layer.forward(row(1.0, 2.0, 3.0)).tolist() == [[[2]]]
    assert layer.forward(row(1.0, 2.0, 3.0, 4.0)).tolist() == [[[2, 4]]]
    assert L.MaxPool(3, 4, 1).forward(row(1.0, 2.0, 3.0, 4.0)).tolist() == [[[2]]]


def test_ceil_mode_serves_an_input_smaller_than_the_window():
    """Two cells, a window of 3 every 2: none fits, and one that sticks out by one cell is taken (as in PyTorch)."""
    x = row(-1.0, -2.0)
    assert L.MaxPool(3, 2, ceil_mode=True).forward(x).tolist() == [[[-1]]]
    assert L.AvgPool(3, 2, ceil_mode=True).forward(x).tolist() == [[[-1.5]]]
    for short in (L.MaxPool(3, 2), L.MaxPool(4, 2, ceil_mode=True)):
        with pytest.raises(ShapeError, match=r"a window of extent \d does not fit spatial axis 0 of 2 cells"):
            short.forward(x)


# ---- what an average counts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ceil_mode", "count_include_pad", "expected"),
    [
        # Five ones, padding 1 on either side, windows of 3 every 2 at −1, 1, 3: the last ends on the padding behind.
        (False, True, [2 / 3, 1, 2 / 3]),
        (False, False, [1, 1, 1]),
        (True, True, [2 / 3, 1, 2 / 3]),
        (True, False, [1, 1, 1]),
    ],
)
def test_padding_counts_if_asked_to(ceil_mode, count_include_pad, expected):
    layer = L.AvgPool(3, 2, 1, ceil_mode=ceil_mode, count_include_pad=count_include_pad)
    np.testing.assert_allclose(layer.forward(np.ones((1, 1, 5)))[0, 0], expected, rtol=1e-15)


@pytest.mark.parametrize(("count_include_pad", "expected"), [(True, [2 / 3, 1, 1 / 2]), (False, [1, 1, 1])])
def test_cells_that_ceil_mode_adds_never_count(count_include_pad, expected):
    """Four ones, padding 1, windows of 3 every 2 at −1, 1, and, in ceil mode, 3: a one, the padding, and no cell.

    The padding counts (if asked to), so that window divides by 2 or by 1, and never by 3.
    """
    layer = L.AvgPool(3, 2, 1, ceil_mode=True, count_include_pad=count_include_pad)
    np.testing.assert_allclose(layer.forward(np.ones((1, 1, 4)))[0, 0], expected, rtol=1e-15)
    assert layer.counts((4,)).tolist() == ([3, 3, 2] if count_include_pad else [2, 3, 1])


@given(cases(L.AvgPool))
def test_an_average_of_ones_is_1_where_padding_does_not_count(case):
    """Or 0, where a window sees no cell at all."""
    layer = L.AvgPool(case.layer.kernel, case.layer.stride, case.layer.padding, case.layer.dilation,
                      case.layer.ceil_mode, count_include_pad=False)  # fmt: skip
    found = layer.astype(object).forward(fractions(np.ones(case.shapes[0])))
    seen = L.SumPool(*(getattr(layer, name) for name in ("kernel", "stride", "padding", "dilation", "ceil_mode")))
    assert (found == (seen.forward(np.ones(case.shapes[0])) > 0)).all()


# ---- windows of one axis serve any number of axes --------------------------------------------------------------------


@given(pool_cases())
def test_pools_treat_every_channel_and_sample_alike(case):
    """A pool over (N, C, …) is the pool over (N·C, 1, …)."""
    x = case.inputs[0]
    merged = x.reshape(-1, 1, *x.shape[2:])
    found = case.layer.forward(x)
    assert (case.layer.forward(merged).reshape(found.shape) == found).all()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", [L.MaxPool, L.AvgPool, L.SumPool])
def test_ints_serve_any_number_of_axes(kind, dims):
    x = np.random.default_rng(0).standard_normal((2, 2) + (5,) * dims)
    short, full = kind(3, 2, 1), kind((3,) * dims, (2,) * dims, ((1, 1),) * dims)
    np.testing.assert_array_equal(short.forward(x), full.forward(x))


def test_the_stride_is_the_kernel_by_default():
    x = np.random.default_rng(0).standard_normal((1, 1, 6, 6))
    np.testing.assert_array_equal(L.MaxPool((2, 3)).forward(x), L.MaxPool((2, 3), (2, 3)).forward(x))
