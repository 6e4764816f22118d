"""The compiled core's functions of each element: against mpmath's, against NumPy's bits, at every corner, wherever they lie."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ext = pytest.importorskip(
    "lrp_ref.kernels.compiled._core", reason="the compiled core is not built: python setup.py build_ext --inplace"
)

mpmath.mp.prec = 160
each_type = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def logistic(y):
    return 1 / (1 + mpmath.exp(-y))


def inner(x):
    return mpmath.sqrt(8 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)


#: Each function by its printed formula, its numbers, and how far out its argument may be beside that of an exponential.
SMOOTH = {
    "SIGMOID": ((), logistic),
    "SILU": ((1.0,), lambda x: x * logistic(x)),
    "GELU": ((), lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2),
    "TANH": ((), mpmath.tanh),
    "SOFTPLUS": ((1.0,), lambda x: mpmath.log1p(mpmath.exp(-abs(x))) + max(x, 0)),
    "LOG_SIGMOID": ((), lambda x: min(x, 0) - mpmath.log1p(mpmath.exp(-abs(x)))),
    "ELU": ((0.75, 1.25), lambda x: 1.25 * (x if x > 0 else 0.75 * mpmath.expm1(x))),
    "CELU": ((2.0,), lambda x: x if x > 0 else 2 * mpmath.expm1(x / 2)),
    "MISH": ((), lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x)))),
}


def call(name, *operands, numbers=(), threads=1, into=None):
    return ext.Pointwise(getattr(ext, name), *numbers)(*operands, threads=threads, into=into)


def arguments(dtype, count):
    """Numbers of every size: about 0, through all of the range of exp, and down to the least normal number."""
    rng, far = np.random.default_rng(3), 110 if dtype is np.float32 else 760
    small = np.exp(rng.uniform(0.99 * np.log(float(np.finfo(dtype).tiny)), 2, count)) * rng.choice([-1, 1], count)
    return np.concatenate([rng.uniform(-1, 1, count) * size for size in (1, 4, 20, far)] + [small]).astype(dtype)


def units(found, expected, dtype):
    """The largest error in units in the last place of what is expected, those of the least normal number below it."""
    info, worst = np.finfo(dtype), 0.0
    for value, exact in zip(found, expected, strict=True):
        power = max(int(mpmath.floor(mpmath.log(abs(exact), 2))) if exact else info.minexp, int(info.minexp))
        worst = max(worst, float(abs(mpmath.mpf(float(value)) - exact) / mpmath.mpf(2) ** (power - info.nmant)))
    return worst


@each_type
@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_function_is_within_five_units_in_the_last_place_over_its_whole_range(name, dtype):
    """Measured over 7000 arguments: at most 3.8, without fused multiplications 4.2; below the normal numbers 1.5 of the least."""
    numbers, formula = SMOOTH[name]
    x = arguments(dtype, 60)
    assert units(call(name, x, numbers=numbers), [formula(mpmath.mpf(float(v))) for v in x], dtype) <= 5


@each_type
@pytest.mark.parametrize(
    ("name", "number"), [("SILU", 1.702), ("SILU", -1.5), ("SOFTPLUS", 20.0), ("CELU", 0.3), ("GELU_TANH", 0.0)]
)
def test_a_rounded_argument_of_an_exponential_costs_its_size_in_units(name, number, dtype):
    """exp(y (1 + δ)) = exp(y)(1 + y δ): three roundings of GELU's cubic at most, one elsewhere."""
    x = arguments(dtype, 30)
    x = x[abs(x) < (5 if name == "GELU_TANH" else 40)]
    p = mpmath.mpf(float(dtype(number)))
    formulas = {
        "SILU": (lambda v: v * logistic(p * v), lambda v: p * v),
        "SOFTPLUS": (lambda v: (mpmath.log1p(mpmath.exp(-abs(p * v))) + max(p * v, 0)) / p, lambda v: p * v),
        "CELU": (lambda v: v if v > 0 else p * mpmath.expm1(v / p), lambda v: v / p),
        "GELU_TANH": (lambda v: v * logistic(inner(v)), inner),
    }
    formula, argument = formulas[name]
    found = call(name, x, numbers=(number,))
    for value, v in zip(found, map(mpmath.mpf, x.astype(np.float64).tolist()), strict=True):
        assert units([value], [formula(v)], dtype) <= 5 + 3 * abs(argument(v)), (name, v)


EXACT = {
    "RELU": ((), lambda z, t: np.maximum(z, t(0))),
    "LEAKY": ((0.01,), lambda z, t: np.where(z < 0, z * t(0.01), z)),
    "CLIP": ((-0.3, 0.7), lambda z, t: np.minimum(np.maximum(z, t(-0.3)), t(0.7))),
    "HARD_SIGMOID": ((0.2, 0.5), lambda z, t: np.maximum(t(0), np.minimum(t(1), t(0.2) * z + t(0.5)))),
    "HARD_SWISH": ((), lambda z, t: z * np.minimum(t(6), np.maximum(t(0), z + t(3))) / t(6)),
    "SOFTSIGN": ((), lambda z, t: z / (t(1) + abs(z))),
    "ABS": ((), lambda z, t: abs(z)),
    "THRESHOLD": ((0.4, -0.2), lambda z, t: np.where(z > t(0.4), z, t(-0.2))),
    "SHRINK": ((0.4, 0.1), lambda z, t: np.where(z > t(0.4), z - t(0.1), np.where(z < -t(0.4), z + t(0.1), t(0)))),
}


@each_type
@pytest.mark.parametrize("name", EXACT)
def test_what_is_made_of_sums_products_and_quotients_has_the_bits_of_numpy(name, dtype):
    numbers, formula = EXACT[name]
    x = np.concatenate([arguments(dtype, 200), np.array([np.nan, np.inf, -np.inf, 0.0], dtype)])
    with np.errstate(all="ignore"):
        expected = formula(x, dtype)
        found = call(name, x, numbers=numbers)
    assert np.array_equal(found, expected, equal_nan=True)


@each_type
def test_several_arrays_have_the_bits_of_numpy_with_each_product_rounded(dtype):
    """Fused, 0.1·0.1 − 0.01 is no 0, which NumPy's is not fused to."""
    rng = np.random.default_rng(0)
    x, a, b = (rng.standard_normal((2, 3, 37)).astype(dtype) for _ in range(3))
    b = np.where(rng.random(b.shape) < 0.5, -(x * a), b)
    assert np.array_equal(call("PRODUCT", x, a), x * a)
    assert np.array_equal(call("AFFINE", x, a, b), x * a + b)
    assert (call("AFFINE", x, a, -(x * a)) == 0).all()
    assert np.array_equal(call("PRELU", x, a), np.where(x < 0, x * a, x))
    b[0] = 0
    with np.errstate(divide="ignore"):
        assert np.array_equal(call("SHARE", x, a, b), np.where(b == 0, dtype(0), x * a / b))


@each_type
def test_far_out_and_beside_nothing(dtype):
    """Infinities have their limits, a NaN stays one, zeros keep their sign, and the least number is halved to the nearest."""
    with np.errstate(all="ignore"):
        edge = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
        found = {
            name: call(name, edge, numbers=numbers).tolist() for name, (numbers, _) in {**SMOOTH, "GELU_TANH": ((), None)}.items()
        }
    big = float(dtype(1e30))
    for name, values in found.items():
        assert np.isnan(values[-1]), name
        assert np.isfinite(values[1:5]).all(), name
    assert found["SIGMOID"][:6] == [0, 0, 0.5, 0.5, 1, 1]
    assert found["TANH"][:6] == [-1, -1, 0, 0, 1, 1]
    assert found["SOFTPLUS"][:6] == [0, 0, pytest.approx(np.log(2)), pytest.approx(np.log(2)), big, np.inf]
    assert found["LOG_SIGMOID"][:2] == [-np.inf, -big]
    assert found["LOG_SIGMOID"][4:6] == [0, 0]
    assert found["ELU"][:2] == [-0.9375, -0.9375]
    for name in ("SILU", "GELU", "GELU_TANH", "MISH"):
        assert found[name][1:6] == [0, 0, 0, big, np.inf], name
    for name in ("SILU", "GELU", "GELU_TANH", "MISH", "TANH", "ELU", "CELU"):
        numbers = SMOOTH[name][0] if name in SMOOTH else ()
        assert np.signbit(call(name, np.array([-0.0, 0.0], dtype), numbers=numbers)).tolist() == [True, False], name
    least = np.finfo(dtype).smallest_subnormal
    for name in ("SILU", "GELU", "MISH"):
        factor = 0.6 if name == "MISH" else 0.5
        numbers = SMOOTH[name][0]
        assert abs(call(name, np.array([10 * least], dtype), numbers=numbers)[0] / least - 10 * factor) <= 1, name
    assert call("TANH", np.array([least, -least], dtype)).tolist() == [least, -least]


def every_call(dtype):
    for name, (numbers, _) in {**SMOOTH, **EXACT, "GELU_TANH": ((), None)}.items():
        yield name, numbers, 1
    for name, count in (("PRODUCT", 2), ("PRELU", 2), ("AFFINE", 3), ("SHARE", 3)):
        yield name, (), count


@each_type
def test_an_element_has_the_same_bits_wherever_it_stands(dtype):
    """Alone, in a batch, in the remainder of a vector, in a slice, backwards, on any number of threads."""
    x = arguments(dtype, 13)
    others = [np.roll(x, k) for k in (1, 2)]
    for name, numbers, count in every_call(dtype):
        given_ = (x, *others)[:count]
        with np.errstate(all="ignore"):
            whole = call(name, *given_, numbers=numbers)
            alone = np.concatenate([call(name, *(a[i : i + 1] for a in given_), numbers=numbers) for i in range(x.size)])
            back = call(name, *(a[::-1] for a in given_), numbers=numbers)[::-1]
            apart = call(name, *(np.repeat(a, 3)[::3] for a in given_), numbers=numbers)
            wide = call(name, *(np.tile(a, (700, 1)) for a in given_), numbers=numbers, threads=3)
        for other in (alone, back, apart, wide[0], wide[-1]):
            assert other.tobytes() == whole.tobytes(), name


@st.composite
def layouts(draw):
    """Two arrays that broadcast against each other, in any order of memory, with steps."""
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 17]), min_size=0, max_size=4)))
    rng, found = np.random.default_rng(draw(st.integers(0, 2**32))), []
    for _ in range(2):
        own = tuple(extent if draw(st.booleans()) or len(found) == 0 else 1 for extent in shape)
        own = own[draw(st.integers(0, len(own))) :] if found else own
        order = draw(st.permutations(range(len(own))))
        steps = [draw(st.sampled_from([1, 1, 2, -1])) for _ in own]
        base = rng.standard_normal([own[axis] * abs(steps[axis]) for axis in order])
        array = base.transpose(np.argsort(order)) if own else base
        found.append(array[tuple(slice(None, None, step) for step in steps)])
    return found


@given(layouts(), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=300)
def test_any_layout_is_numpys(arrays, dtype):
    a, b = (np.asarray(x) if dtype is np.float64 else np.asarray(x).astype(dtype) for x in arrays)
    assert np.array_equal(call("PRODUCT", a, b, threads=2), a * b)
    assert np.array_equal(call("PRODUCT", b, a), a * b)
    assert np.array_equal(call("RELU", a), np.maximum(a, dtype(0)))


def test_the_output_lies_in_the_order_of_the_input():
    """Channels last stay channels last: what is behind finds its memory as it wants it."""
    x = np.ones((2, 5, 4, 3), np.float32).transpose(0, 3, 1, 2)
    assert call("TANH", x).strides == x.strides
    assert call("PRODUCT", x, np.ones((2, 3, 1, 1), np.float32)).strides == x.strides
    assert call("PRODUCT", np.ones((2, 3, 1, 1), np.float32), x).strides == x.strides
    assert call("TANH", x[:, 1:]).strides == np.ones((2, 5, 4, 2), np.float32).transpose(0, 3, 1, 2).strides


def test_the_output_goes_where_it_is_told():
    whole = np.zeros((2, 4, 5, 7), np.float32).transpose(0, 3, 1, 2)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    assert call("SIGMOID", x, into=whole[:, 2:5]).base is not None
    assert np.array_equal(whole[:, 2:5], call("SIGMOID", x))
    assert not whole[:, :2].any()
    assert not whole[:, 5:].any()


def test_wrong_calls_are_refused():
    x = np.ones((2, 3), np.float32)
    for wrong, message in (
        (lambda: call("TANH", x, x), "1 arrays are needed, found 2"),
        (lambda: call("PRODUCT", x, np.ones((2, 2), np.float32)), "does not broadcast"),
        (lambda: call("TANH", x, into=np.ones((3, 2), np.float32)), "does not go into"),
        (lambda: call("TANH", x, into=np.ones((2, 3))), "does not go into"),
        (lambda: call("TANH", x, into=np.broadcast_to(np.float32(0), (2, 3))), "cannot be written"),
        (lambda: call("TANH", np.ones((1,) * 9)), "at most 8 axes"),
        (lambda: call("TANH", np.ones(9, "u1")[1:].view("f4")), "not aligned"),
        (lambda: ext.Pointwise(99), "no such function"),
        (lambda: ext.Pointwise.__new__(ext.Pointwise)(x, threads=1), "arrays are needed"),
        (lambda: call("TANH", x, threads=0), "threads"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(TypeError, match="float32 and float64"):
        call("PRODUCT", x, np.ones((2, 3)))
    with pytest.raises(TypeError, match="must be float32 or float64"):
        call("TANH", x.astype(np.int32))


def test_nothing_is_something():
    for shape, dtype in itertools.product([(0,), (0, 3), (3, 0, 2), ()], (np.float32, np.float64)):
        found = call("GELU", np.ones(shape, dtype))
        assert (found.shape, found.dtype) == (shape, dtype)
