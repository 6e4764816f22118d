"""Number types and what all rooms share: nothing mixes them, nothing rounds where it need not."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import arrays as A
from lrp_ref.errors import ExactnessError, NonFiniteError, NumberTypeError, ParameterError
from support.strategies import FLOAT_TYPES, LAYOUTS, NUMBER_TYPES, arrays, cast, dyadics, floats, laid_out

F = Fraction


def of(dtype, *values):
    """Values in a number type."""
    return cast(np.array(values, dtype=np.float64), dtype)


@st.composite
def any_array(draw, dtype=None):
    """An array of up to 3 axes, some of them empty, in one of the number types."""
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    return cast(draw(arrays(shape)), draw(st.sampled_from(NUMBER_TYPES)) if dtype is None else dtype)


# ---- conversion ------------------------------------------------------------------------------------------------------


@given(arrays((2, 3), floats()))
def test_fractions_are_the_exact_binary_values(array):
    found = A.fractions(array)
    assert found.shape == array.shape
    assert all(type(value) is Fraction for value in found.flat)
    assert (found == array).all()  # Fraction == float compares exactly


@pytest.mark.parametrize("value", [3, 0.1, True, F(1, 3), np.float32(0.1), np.float64(0.1), np.int64(7), np.uint8(7)])
def test_fractions_of_single_numbers(value):
    exact = F(value.item() if isinstance(value, np.generic) else value)
    assert A.fractions([value])[0] == exact
    assert A.fractions(np.array([value], dtype=object))[0] == exact


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (0, 3), (1,)])
def test_fractions_keep_shapes(shape):
    found = A.fractions(np.zeros(shape))
    assert found.shape == shape
    assert found.dtype == object


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("0.5", NumberTypeError, "rationals need numbers, found an array of <U3"),
        ([1j], NumberTypeError, "rationals need numbers, found an array of complex128"),
        (np.array(["1/2"], dtype=object), NumberTypeError, "rationals need numbers, found '1/2'"),
        (np.array([None], dtype=object), NumberTypeError, "rationals need numbers, found None"),
        ([float("nan")], NonFiniteError, "rationals need finite numbers, found nan"),
        ([float("-inf")], NonFiniteError, "rationals need finite numbers, found -inf"),
    ],
)
def test_fractions_of_what_is_no_number(value, error, message):
    with pytest.raises(error, match=re.escape(message)):
        A.fractions(value)


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
def test_like_gives_the_number_type_of_the_array(dtype):
    target = of(dtype, 1.0)
    for value in (2, 0.25, F(1, 4), [1, 2], np.float32(0.25), of(object, 0.5), of(np.float32, 0.5)):
        found = A.like(value, target)
        assert found.dtype == dtype
        assert found.shape == np.shape(value)
        if dtype is object:
            assert all(type(item) is Fraction for item in found.flat)
    same = of(dtype, 1.0, 2.0)
    assert A.like(same, target) is same


def test_like_takes_a_float_among_rationals_at_its_exact_value():
    """CONV-EXACT-PARAMETERS."""
    assert A.like(0.1, of(object, 0.0)).item() == F(3602879701896397, 36028797018963968)


def test_like_completes_a_mixed_object_array():
    found = A.like(np.array([1, 0.5, F(1, 3)], dtype=object), of(object, 0.0))
    assert found.tolist() == [F(1), F(1, 2), F(1, 3)]
    assert all(type(item) is Fraction for item in found.flat)


@pytest.mark.parametrize("dtype", [np.int64, bool, np.float16, np.longdouble, np.complex64])
def test_other_number_types_are_refused(dtype):
    array = np.zeros(1, dtype=dtype)
    for refused in (lambda: A.like(1, array), lambda: A.check_type(array)):
        with pytest.raises(NumberTypeError, match=f"float32, float64 or Fraction, found an array of {array.dtype}"):
            refused()


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
def test_zeros_are_of_the_type(dtype):
    found = A.zeros((2, 0, 3), of(dtype, 1.0))
    assert found.shape == (2, 0, 3)
    found = A.zeros((2, 3), of(dtype, 1.0))
    assert found.dtype == dtype
    assert not found.any()
    assert {type(value) for value in found.flat} == {Fraction if dtype is object else dtype}


# ---- elementwise -----------------------------------------------------------------------------------------------------


@given(any_array())
def test_positive_and_negative_parts(a):
    p, n = A.positive(a), A.negative(a)
    assert p.dtype == n.dtype == a.dtype
    assert p.shape == n.shape == a.shape
    assert (p >= 0).all()
    assert (n <= 0).all()
    assert (p + n == a).all()
    assert not (p * n).any()
    assert all(type(value) is Fraction for value in (*p.flat, *n.flat)) or a.dtype != object


@given(any_array())
def test_signs_of_both_zeros_are_plus_one(z):
    found = A.signs(z)
    assert found.dtype == z.dtype
    assert ((found == 1) | (found == -1)).all()
    assert ((found == 1) == (z >= 0)).all()


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
def test_divide_is_0_where_nothing_lives(dtype):
    """0/0 := 0 is decided by the caller; nothing is divided there, so nothing warns."""
    with np.errstate(all="raise"):
        found = A.divide(of(dtype, 1, 0, -3, 5), of(dtype, 0, 0, 2, 4), np.array([False, False, True, False]))
    assert found.dtype == dtype
    assert found.tolist() == [0, 0, -1.5, 0]


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
def test_divide_broadcasts(dtype):
    found = A.divide(of(dtype, 1, 2)[:, None], of(dtype, 2, 4, 8)[None], np.array([[True, True, False]]))
    assert found.tolist() == [[0.5, 0.25, 0], [1, 0.5, 0]]
    assert A.divide(of(dtype, 1, 2), of(dtype, 2, 4), np.ones((), dtype=bool)).tolist() == [0.5, 0.5]


@given(arrays((2, 3), dyadics()))
def test_square_root_of_squares(a):
    exact = A.fractions(a)
    assert (A.square_root(exact * exact) == abs(exact)).all()
    assert (A.square_root(a * a) == abs(a)).all()  # squares of dyadic numbers are exact in float64, and so is the root


def test_square_root_keeps_type_and_shape_and_refuses_the_irrational():
    assert A.square_root(np.float32([[4.0]])).dtype == np.float32
    assert A.square_root(A.fractions(np.zeros((0, 2)))).shape == (0, 2)
    assert A.square_root(A.fractions([[9.0 / 16]])).tolist() == [[F(3, 4)]]
    for value in (F(2), F(1, 2), F(9, 2)):
        with pytest.raises(ExactnessError, match=f"the square root of {value} is not rational"):
            A.square_root(np.array([value], dtype=object))


# ---- sums ------------------------------------------------------------------------------------------------------------


@given(any_array(object), st.data())
def test_total_is_the_sum(a, data):
    axes = tuple(data.draw(st.lists(st.integers(0, a.ndim - 1), min_size=1, unique=True)))
    keepdims = data.draw(st.booleans())
    expected = np.full([1 if axis in axes else n for axis, n in enumerate(a.shape)], F(0), dtype=object)
    for index in np.ndindex(*a.shape):
        expected[tuple(0 if axis in axes else i for axis, i in enumerate(index))] += a[index]
    found = A.total(a, axes, keepdims)
    assert all(type(value) is Fraction for value in found.flat)
    assert (found.reshape(expected.shape) == expected).all()
    assert found.ndim == (a.ndim if keepdims else a.ndim - len(axes))


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("shape", [(5, 200), (5, 33, 3), (5, 3, 17, 2)])
def test_total_does_not_depend_on_the_layout(shape, dtype):
    """NumPy's sum does: the values are chosen so that every order of addition rounds otherwise."""
    values = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for axes in [(1,), (len(shape) - 1,), tuple(range(1, len(shape)))]:
        expected = A.total(values, axes).tobytes()
        for layout in LAYOUTS:
            laid = laid_out(values, layout)
            assert A.total(laid, axes).tobytes() == expected
            samples = [A.total(laid[n : n + 1], axes) for n in range(len(laid))]
            assert np.concatenate(samples).tobytes() == expected


def test_numpy_s_own_sum_does_depend_on_the_layout():
    """The reason for `total`; when this fails, NumPy has changed, and `total` may go."""
    values = np.random.default_rng(0).standard_normal((5, 200))
    assert np.array(values, order="F").sum(axis=1).tobytes() != values.sum(axis=1).tobytes()


@given(any_array(object), st.data())
def test_sum_to_is_the_transpose_of_broadcasting(a, data):
    """⟨broadcast(x), a⟩ = ⟨x, sum_to(a)⟩, for every shape that broadcasts to that of a."""
    kept = data.draw(st.lists(st.booleans(), min_size=a.ndim, max_size=a.ndim))
    start = data.draw(st.integers(0, a.ndim))
    shape = tuple(n if k else 1 for k, n in zip(kept, a.shape, strict=True))[start:]
    x = A.fractions(np.arange(1.0, 1 + math.prod(shape)).reshape(shape))
    found = A.sum_to(a, shape)
    assert found.shape == shape
    assert np.sum(np.broadcast_to(x, a.shape) * a) == np.sum(x * found)


def test_sum_to_the_same_shape_is_the_array_itself():
    a = np.ones((2, 3))
    assert A.sum_to(a, (2, 3)) is a


@given(any_array(object))
def test_per_sample_adds_up_each_sample(a):
    found = A.per_sample(a)
    assert found.shape == (a.shape[0],)
    assert all(type(value) is Fraction for value in found.flat)
    assert found.tolist() == [sum(np.asarray(sample).flat, F(0)) for sample in a]


def test_per_sample_adds_floats_in_float64():
    """These sums are accounts: 2^24 + 1 is no float32."""
    found = A.per_sample(np.array([[2.0**24, 1.0]], dtype=np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [2**24 + 1]
    assert A.per_sample(np.zeros((0, 3))).shape == (0,)
    assert A.per_sample(np.zeros((2, 0))).tolist() == [0, 0]
    assert A.per_sample(np.ones(3)).tolist() == [1, 1, 1]


# ---- parameters and checks -------------------------------------------------------------------------------------------


def test_frozen_is_a_view():
    array = np.ones(2)
    view = A.frozen(array)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 2
    assert array.flags.writeable
    assert np.shares_memory(view, array)


def test_parameter_is_read_only_and_of_a_number_type():
    for value, dtype in (
        ([1, 2], np.float64),
        ([True], np.float64),
        (np.ones(2, dtype=np.float16), np.float32),
        (np.ones(2, dtype=np.float32), np.float32),
        ([F(1, 3)], object),
        (1.5, np.float64),
    ):
        found = A.parameter(value, "weight")
        assert found.dtype == dtype
        assert not found.flags.writeable


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_check_finite_says_where(value):
    array = np.zeros((2, 3))
    A.check_finite(array, "x")
    array[1, 0] = array[1, 2] = value
    message = f"x has 2 value(s) that are NaN or infinite, the first {value} at (1, 0)"
    with pytest.raises(NonFiniteError, match=re.escape(message)):
        A.check_finite(array, "x")
    A.check_finite(A.fractions([1]), "x")
    A.check_finite(np.zeros((0, 3)), "x")


@pytest.mark.parametrize("value", [0, 1.5, F(1, 3), np.float32(2), np.int64(3), 10**400, F(10) ** 400])
def test_check_number_accepts_finite_numbers(value):
    A.check_number(value, "epsilon")
    A.check_number(value, "epsilon", 0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1", "epsilon must be a number, found '1'"),
        (None, "epsilon must be a number, found None"),
        (True, "epsilon must be a number, found True"),
        (1j, "epsilon must be a number, found 1j"),
        (np.ones(1), "epsilon must be a number, found array([1.])"),
        (float("nan"), "epsilon must be finite and at least 0, found nan"),
        (np.float32("inf"), "epsilon must be finite and at least 0, found "),
        (-1, "epsilon must be finite and at least 0, found -1"),
        (F(-1, 3), "epsilon must be finite and at least 0, found Fraction(-1, 3)"),
    ],
)
def test_check_number_refuses_the_rest(value, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        A.check_number(value, "epsilon", 0)


def test_check_number_without_a_bound_does_not_mention_one():
    A.check_number(-1, "slope")
    with pytest.raises(ParameterError, match=r"^slope must be finite, found inf$"):
        A.check_number(float("inf"), "slope")


def test_integers():
    assert A.integer(np.int64(3), "axis") == 3
    assert type(A.integer(np.int64(3), "axis")) is int
    assert A.integers(2, "axes") == A.integers([2], "axes") == A.integers(np.array([2]), "axes") == (2,)
    for value in (1.0, "1", None, True):
        with pytest.raises(ParameterError, match=re.escape(f"axis must be an integer, found {value!r}")):
            A.integer(value, "axis")
    with pytest.raises(ParameterError, match="axis must be at least 1, found 0"):
        A.integer(0, "axis", 1)


# ---- stabilisers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", NUMBER_TYPES)
def test_stabilisers_by_hand(dtype):
    z = of(dtype, 3.0, -0.0, 0.0, -2.0)
    assert (A.Exact()(z) + z).tolist() == [3, 0, 0, -2]
    assert A.Signed(0.25)(z).tolist() == [0.25, 0.25, 0.25, -0.25]
    assert (A.Unsigned(0.25)(z) + z).tolist() == [3.25, 0.25, 0.25, -1.75]
    for stabiliser in (A.Exact(), A.Signed(0.25), A.Unsigned(0.25)):
        assert np.asarray(stabiliser(z)).dtype == dtype


def test_relative_is_the_root_mean_square_of_each_sample():
    """Over all axes but the batch: √((9 + 16)/2) and √((0 + 4)/2)."""
    z = np.array([[[3.0], [-4.0]], [[0.0], [2.0]]])
    rms = np.sqrt([12.5, 2.0])
    np.testing.assert_allclose(A.Relative(0.5)(z)[:, :, 0], [[rms[0] / 2, -rms[0] / 2], [rms[1] / 2] * 2], rtol=1e-15)
    unsigned = np.broadcast_to(A.Relative(0.5, signed=False)(z), z.shape)
    np.testing.assert_allclose(unsigned[:, :, 0], [[rms[0] / 2] * 2, [rms[1] / 2] * 2], rtol=1e-15)


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_relative_keeps_the_type_and_does_not_see_the_batch(dtype):
    z = np.random.default_rng(0).standard_normal((4, 40)).astype(dtype)
    for laid in (z, np.array(z, order="F")):
        found = A.Relative(0.25)(laid)
        assert found.dtype == dtype
        assert np.concatenate([A.Relative(0.25)(laid[n : n + 1]) for n in range(4)]).tobytes() == found.tobytes()
    assert A.Relative(0.25)(z[:0]).shape == (0, 40)
    assert A.Relative(0.25)(z[:, :0]).shape == (4, 0)


def test_relative_is_not_rational():
    with pytest.raises(ExactnessError, match="an ε relative to the root mean square of z is not rational"):
        A.Relative(0.25)(A.fractions([[1]]))


def test_stabilisers_compare_by_value_and_print_as_formulas():
    assert A.Signed(0.25) == A.Signed(0.25) != A.Signed(0.5)
    assert A.Signed(1) != A.Unsigned(1)
    assert A.Exact().formula == "0"
    assert A.Signed(0.25).formula == r"0.25\,s(z_k)"
    assert A.Unsigned(0.25).formula == "0.25"
    assert A.Relative(0.25).formula == r"0.25\,\mathrm{rms}(z)\,s(z_k)"
    assert A.Relative(0.25, signed=False).formula == r"0.25\,\mathrm{rms}(z)"
