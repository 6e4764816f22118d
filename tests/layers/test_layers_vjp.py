"""The derivative of every layer: ⟨u, J v⟩ = ⟨Jᵀu, v⟩ with J v from dual numbers, exactly; batches, number types, kinks."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import DerivativeError
from support import dual, recurrent_strategies
from support.layer_strategies import IRRATIONAL, RATIONAL
from support.more_layers import CASES
from support.smooth_by_hand import FORMULAS
from support.strategies import cases

#: Of the layers in `more_layers`, those without a rational value, and those without a derivative.
SMOOTH = set(FORMULAS)
NONE = {L.Embedding}
#: Of mpmath: Φ(−30) is 5e-198, of a difference from 1.
DIGITS = 230
MORE = [(layer, shapes) for kind, found in CASES.items() if kind not in SMOOTH | NONE for layer, shapes in found]


def named(found):
    return [pytest.param(layer, shapes, id=f"{layer}-{shapes}") for layer, shapes in found]


def generic(a, seed=0):
    """Fractions near `a` that are at no kink and equal none of the others: the law holds where there is a derivative."""
    rng = np.random.default_rng(seed)
    offsets = rng.choice(np.arange(1, 30 * a.size + 2), a.size, replace=False).reshape(a.shape)
    return fractions(a) + offsets * Fraction(1, 10007) + Fraction(1, 1000003)


def directions(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [fractions(rng.integers(-4, 5, shape)) for shape in shapes]


def movable(layer, inputs):
    """For each input whether the layer's output moves with it: lengths and conditions are no numbers to differentiate by."""
    names = ("sequence", *layer.reads) if hasattr(layer, "reads") else range(len(inputs))
    still = {"lengths", 0} if isinstance(layer, L.Where) else {"lengths"}
    return [name not in still for name in names]


def agrees_exactly(layer, inputs, seed):
    layer = layer.astype(object)
    moves = movable(layer, inputs)
    exact = [generic(a, seed + i) if move else fractions(a) for i, (a, move) in enumerate(zip(inputs, moves, strict=True))]
    v = directions([a.shape for a in exact], seed)
    v = [x if move else x * 0 for x, move in zip(v, moves, strict=True)]
    output = layer.forward(*exact)
    (u,) = directions([output.shape], seed + 1)
    lower = layer.vjp(tuple(exact), output, u)
    assert [g.shape for g in lower] == [a.shape for a in exact]
    assert all(type(item) is Fraction for g in lower for item in g.flat)
    upward = dual.inner(u, dual.derivative(layer.forward, exact, v))
    assert upward == sum((dual.inner(g, x) for g, x in zip(lower, v, strict=True)), Fraction(0))


# --- piecewise rational layers: exactly ---------------------------------------------------------------------------------------


@given(cases(*RATIONAL), st.integers(0, 1000))
def test_vjp_is_the_transpose_of_the_derivative(case, seed):
    agrees_exactly(case.layer, case.inputs, seed)


@pytest.mark.parametrize(("layer", "shapes"), named(MORE))
def test_vjp_of_layers_from_files(layer, shapes):
    rng = np.random.default_rng(7)
    for seed in range(3):
        inputs = [rng.integers(1, 17, (2, *shape)) / 8 * rng.choice([-1, 1], (2, *shape)) for shape in shapes]
        if isinstance(layer, L.Where):
            inputs[0] = rng.integers(0, 2, inputs[0].shape)
        agrees_exactly(layer, inputs, seed)


@given(recurrent_strategies.cases())
def test_vjp_of_recurrent_layers_on_rationals(case):
    agrees_exactly(case.layer, case.inputs, 3)


# --- the others: every entry within a bound of Σ |u||J| ----------------------------------------------------------------------


def jacobian(formula, layer, inputs, moves):
    """∂output/∂input of one sample, (entries of movable inputs, outputs), in DIGITS digits: all basis directions as a batch."""
    count = sum(a.size for a, move in zip(inputs, moves, strict=True) if move)
    basis, at, moved = np.eye(count, dtype=int), 0, []
    for a, move in zip(inputs, moves, strict=True):
        whole = np.repeat(a, count, axis=0)
        if not move:
            moved.append(whole)
            continue
        part = basis[:, at : at + a.size].reshape(whole.shape)
        at += a.size
        exact = np.frompyfunc(mpmath.mpf, 1, 1)(whole)
        moved.append(dual.duals(exact, np.frompyfunc(mpmath.mpf, 1, 1)(part)))
    return dual.slope(formula(layer, *moved)).reshape(count, -1)


def agrees(layer, inputs, dtype):
    formula, moves = FORMULAS[type(layer)], movable(layer, inputs)
    layer = layer.astype(dtype)
    inputs = tuple(np.asarray(a, dtype) for a in inputs)
    output = layer.forward(*inputs)
    u = np.random.default_rng(5).integers(-4, 5, output.shape).astype(dtype)
    lower = layer.vjp(inputs, output, u)
    assert [(g.shape, g.dtype) for g in lower] == [(a.shape, a.dtype) for a in inputs]
    tolerance, smallest = {np.float64: 1e-12, np.float32: 1e-5}[dtype], float(np.finfo(dtype).tiny)
    for n in range(len(output)):
        one = [a[n : n + 1] for a in inputs]
        with mpmath.workdps(DIGITS):
            rows = jacobian(formula, layer, one, moves)
            upper = [mpmath.mpf(float(x)) for x in u[n].flat]
            wanted = [sum(x * y for x, y in zip(row, upper, strict=True)) for row in rows]
            sizes = [sum(abs(x * y) for x, y in zip(row, upper, strict=True)) for row in rows]
        found = [float(x) for g, move in zip(lower, moves, strict=True) if move for x in g[n].flat]
        for x, y, size in zip(found, wanted, sizes, strict=True):
            assert abs(x - y) <= tolerance * size + smallest


DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@DTYPES
@pytest.mark.parametrize(
    ("layer", "shapes"), named([(layer, shapes) for kind in CASES if kind in SMOOTH for layer, shapes in CASES[kind]])
)
def test_vjp_of_smooth_layers_from_files(layer, shapes, dtype):
    rng = np.random.default_rng(11)
    inputs = [rng.integers(1, 17, (2, *shape)) / 8 * rng.choice([-1, 1], (2, *shape)) for shape in shapes]
    if isinstance(layer, (L.Log, L.Sqrt, L.Power)):
        inputs = [abs(a) for a in inputs]
    if "lengths" in getattr(layer, "reads", ()):
        inputs[1 + layer.reads.index("lengths")] = rng.integers(1, shapes[0][0] + 1, 2)
    agrees(layer, inputs, dtype)


ACTIVATIONS = [L.Tanh(), L.Sigmoid(), L.GELU(), L.GELU("tanh"), L.Softplus(), L.Softplus(2.0), L.SiLU(), L.Mish()]


@DTYPES
@pytest.mark.parametrize("layer", ACTIVATIONS, ids=str)
def test_the_tails_of_activations(layer, dtype):
    """Derivatives keep their accuracy where 1 − tanh², σ(1 − σ) and Φ would cancel."""
    ends = [-30.0, -12.0, -3.0, -0.5, 2.0**-20, 0.5, 3.0, 12.0, 30.0]
    agrees(layer, [np.array([ends])], dtype)


@pytest.mark.parametrize("kind", IRRATIONAL, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_vjp_of_smooth_layers(kind, data):
    case = data.draw(cases(kind, batch=st.just(1)))
    agrees(case.layer, case.inputs, np.float64)


@given(recurrent_strategies.cases(rational=False))
def test_vjp_of_recurrent_layers(case):
    agrees(case.layer, [a[:1] for a in case.inputs], np.float64)


# --- batches, kinks, refusals -------------------------------------------------------------------------------------------------


@given(cases(batch=st.just(3)) | recurrent_strategies.cases(rational=False, batch=3), st.sampled_from([np.float32, np.float64]))
def test_a_batch_has_the_bits_of_its_samples(case, dtype):
    layer, inputs = (
        case.layer.astype(dtype),
        tuple(np.asarray(a, dtype) / 3 if a.ndim > 1 else np.asarray(a, dtype) for a in case.inputs),
    )
    output = layer.forward(*inputs)
    u = np.asarray(case.relevance, dtype) / 7
    whole = layer.vjp(inputs, output, u)
    for n in range(3):
        alone = layer.vjp(tuple(a[n : n + 1] for a in inputs), output[n : n + 1], u[n : n + 1])
        for g, one in zip(whole, alone, strict=True):
            assert g.dtype == dtype
            assert (g[n : n + 1] == one).all()
            assert (np.signbit(g[n : n + 1]) == np.signbit(one)).all()


KINKS = [
    (L.ReLU(), 0, 0),
    (L.LeakyReLU(0.25), 0, 0.25),
    (L.PReLU(0.5), 0, 0.5),
    (L.Abs(), 0, 0),
    (L.Sign(), 0, 0),
    (L.Compare(">", 1.0), 1, 0),
    (L.Clip(0, 6), 0, 0),
    (L.Clip(0, 6), 6, 0),
    (L.HardSigmoid(0.25, 0.5), -2, 0),
    (L.HardSigmoid(0.25, 0.5), 2, 0),
    (L.HardSwish(), -3, 0),
    (L.HardSwish(), 3, 1),
    (L.Softsign(), 0, 1),
    (L.Pow(0.0), 0, 0),
    (L.Pow(1.0), 0, 1),
]


@pytest.mark.parametrize(("layer", "z", "wanted"), KINKS, ids=str)
@pytest.mark.parametrize("dtype", [object, np.float64])
def test_the_derivative_at_a_kink(layer, z, wanted, dtype):
    """CONV-GRAD-KINK."""
    layer = layer.astype(dtype)
    a = fractions(np.array([[z]])) if dtype is object else np.array([[float(z)]])
    (found,) = layer.vjp((a,), layer.forward(a), a * 0 + 1)
    assert found[0, 0] == wanted


def test_a_maximum_belongs_to_its_first_argument():
    """CONV-GRAD-KINK: of equal inputs the first, of equal cells the one with the lowest index."""
    a = np.array([[1.0, 2.0, 2.0]])
    assert [g.tolist() for g in L.Maximum(2).vjp((a, a), a, a * 0 + 1)] == [[[1, 1, 1]], [[0, 0, 0]]]
    assert L.ReduceMax((1,)).vjp((a,), np.array([2.0]), np.array([3.0]))[0].tolist() == [[0, 3, 0]]
    x = np.array([[[1.0, 1.0, 1.0, 0.0]]])
    assert L.MaxPool(2, 1).vjp((x,), np.array([[[1.0, 1.0, 1.0]]]), np.array([[[1.0, 2.0, 4.0]]]))[0].tolist() == [[[1, 2, 4, 0]]]


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_norm_of_zeros_has_the_derivative_zero(p):
    a = np.zeros((1, 1, 4))
    (found,) = L.LpPool(2, p=p).vjp((a,), np.zeros((1, 1, 2)), np.ones((1, 1, 2)))
    assert found.tolist() == [[[0, 0, 0, 0]]]


def test_an_embedding_has_no_derivative():
    layer, words = L.Embedding(np.eye(3)), np.array([[0.0, 2.0]])
    with pytest.raises(DerivativeError, match="Embedding has no derivative"):
        layer.vjp((words,), layer.forward(words), np.ones((1, 2, 3)))


def test_every_public_layer_is_tested_here():
    from support.layer_strategies import KINDS

    public = {getattr(L, name) for name in L.__all__}
    concrete = {kind for kind in public if not getattr(kind, "__abstractmethods__", None)}
    assert concrete <= set(KINDS) | set(CASES)
    assert set(IRRATIONAL) <= SMOOTH
