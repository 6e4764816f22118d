"""Overflow and underflow: the right value, or an error that names the node; never another number without a word.

Written from the kind's description, without sight of the code. A denominator that overflowed, or is 0 only because its terms
underflowed, is an error in every backend alike; an exact zero (no term, or terms that cancel) stays 0/0 := 0 and is booked.
"""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, errors, rules
from lrp_ref import layers as L

backends = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
HUGE, TINY = {"float32": 1e30, "float64": 1e290}, {"float32": 1e-30, "float64": 1e-290}
precisions = pytest.mark.parametrize("precision", ["float32", "float64"])


def dense(weight, precision, bias=None):
    return Model.sequential([L.Dense(np.array(weight, precision), bias)])


def as_conv(weight, precision):
    """The same map as a convolution over one cell, with a layer that moves its output."""
    weight = np.array(weight, precision)
    return Model.sequential([L.Conv(weight.T[:, :, None, None].copy()), L.Flatten()])


def explain(model, x, rule, **choices):
    return lrp_ref.explain(model, x, rule=rule, target=0 if "start" not in choices else None, **choices)


def refusal(model, x, rule, **choices):
    """The error, where there is one; its message must name the node."""
    with pytest.raises(errors.LrpError, match=r"dense1|conv1") as caught:
        explain(model, x, rule, **choices)
    return caught.value


# A relative ε need not overflow or vanish: the rms of one z is |z|, so that R_j = a_j w_j z / (z + r |z|) = a_j w_j / (1 + r).
MAGNITUDES = [("float32", m) for m in (1.0, 1e20, 1e25, 1e37, 1e-20, 1e-23, 1e-30, 1e-36)]
MAGNITUDES += [("float64", m) for m in (1.0, 1e155, 1e200, 1e307, 1e-155, 1e-170, 1e-200, 1e-300)]


@pytest.mark.parametrize(("precision", "magnitude"), MAGNITUDES)
@pytest.mark.parametrize("sign", [1, -1])
@backends
def test_a_relative_stabiliser_at_any_size(precision, magnitude, sign, backend):
    weight = np.array([[3.0], [-1.0]]) * magnitude * sign
    e = explain(dense(weight, precision), np.array([[0.5, 0.25]]), rules.Epsilon(rules.relative(0.25)), backend=backend)
    np.testing.assert_allclose(e.relevance, [[1.2 * magnitude * sign, -0.2 * magnitude * sign]], rtol=1e-5)


@pytest.mark.parametrize(("precision", "magnitude"), MAGNITUDES)
@backends
def test_a_relative_stabiliser_of_several_numbers(precision, magnitude, backend):
    """z = (4, −3)·m over two cells: rms = 5/√2 · m, and output 0 keeps R_0 = a w z / (z + rms/4)."""
    weight = np.array([[4.0, -3.0]]) * magnitude
    for model, x in ((dense(weight, precision), np.ones((1, 1))), (as_conv(weight, precision), np.ones((1, 1, 1, 1)))):
        e = explain(model, x, rules.Epsilon(rules.relative(0.25)), backend=backend)
        expected = 16 / (4 + 5 / np.sqrt(2) / 4) * magnitude
        np.testing.assert_allclose(np.ravel(e.relevance), [expected], rtol=1e-5)


@pytest.mark.parametrize(("precision", "magnitude"), MAGNITUDES)
@backends
def test_a_relative_stabiliser_of_a_gamma_rule(precision, magnitude, backend):
    """γ = 1: terms (3 + 3, −1) · m of z = 5 m, and ε = 5/4 m."""
    weight = np.array([[3.0], [-1.0]]) * magnitude / 4
    e = explain(dense(weight, precision), np.ones((1, 2)), rules.Gamma(1, rules.relative(0.25)), backend=backend)
    z = 2 * magnitude / 4
    np.testing.assert_allclose(e.relevance, [[6 / 6.25 * z, -1 / 6.25 * z]], rtol=1e-5)


@pytest.mark.parametrize("pool", [L.SumPool(2), L.AvgPool(2)], ids=["sum", "average"])
@precisions
@backends
def test_a_relative_stabiliser_in_pooling(pool, precision, backend):
    n = 4 if isinstance(pool, L.AvgPool) else 1
    x = np.array([[[[1.0, 2.0], [3.0, -2.0]]]]) * TINY[precision]
    model = Model.sequential([pool, L.Flatten()])
    e = explain(model, x, rules.Epsilon(rules.relative(0.25)), backend=backend, precision=precision)
    np.testing.assert_allclose(e.relevance, x / n / 1.25, rtol=1e-5)


@precisions
@backends
def test_a_relative_stabiliser_in_a_recurrent_cell(precision, backend):
    m = HUGE[precision]
    cell = L.RNN(np.array([[[3.0 * m], [-1.0 * m]]], precision), np.zeros((1, 1, 1), precision), activation="identity")
    rule = rules.ThroughTime(linear=rules.Epsilon(rules.relative(0.25)))
    composite = lrp_ref.composites.uniform(rules.Zero()).with_rules({"rnn1": rule})
    e = lrp_ref.explain(Model.sequential([cell]), np.array([[[0.5, 0.25]]]), composite=composite, target=0, backend=backend)
    np.testing.assert_allclose(e.relevance, [[[1.2 * m, -0.2 * m]]], rtol=1e-5)


def overflowing(precision):
    """Rules whose pools overflow while z = a · w does not: (weight, input, rule)."""
    m = float(np.finfo(precision).max) * 0.6
    return {
        "w²": ([[m], [-m / 2]], [[1.0, 1.0]], rules.WSquare()),
        "w² of middling weights": ([[m**0.75], [m**0.75]], [[1e-3, 1e-3]], rules.WSquare()),
        "z⁺": ([[m], [-m], [m]], [[1.0, 1.0, 1.0]], rules.ZPlus()),
        "z⁺ of negative products": ([[-m], [m], [-m]], [[-1.0, -1.0, -1.0]], rules.ZPlus()),
        "α1β0": ([[m], [-m], [m]], [[1.0, 1.0, 1.0]], rules.AlphaBeta(1, 0)),
        "α2β1, the negative pool": ([[-m], [m], [-m], [m / 2]], [[1.0, 1.0, 1.0, 1.0]], rules.AlphaBeta(2, 1)),
        "zᴮ": ([[m / 2], [-m / 2]], [[1.0, 1.0 - 2**-4]], rules.ZBox(-3, 3)),
        "γ": ([[m], [-m / 2]], [[1.0, 1.0]], rules.Gamma(9)),
        "generalised γ": ([[m], [-m / 2]], [[1.0, 1.0]], rules.GeneralizedGamma(9)),
    }


CASES = list(overflowing("float64"))


@pytest.mark.parametrize("name", CASES)
@precisions
@pytest.mark.parametrize("make", [dense, as_conv], ids=["dense", "conv"])
def test_a_pool_that_overflows_is_an_error_in_every_backend_alike(name, precision, make):
    weight, x, rule = overflowing(precision)[name]
    x = np.array(x, precision).reshape(1, -1, *([1, 1] if make is as_conv else []))
    found = {type(refusal(make(weight, precision), x, rule, backend=backend)) for backend in lrp_ref.BACKENDS}
    assert len(found) == 1, found
    assert issubclass(found.pop(), errors.NonFiniteError)


@pytest.mark.parametrize("name", ["w²", "z⁺", "γ"])
@precisions
@backends
def test_deep_in_a_network_too(name, precision, backend):
    """A convolution, whose score is what is explained, behind another."""
    weight, _, rule = overflowing(precision)[name]
    count = len(weight)
    first = L.Conv(np.eye(count, dtype=precision)[:, :, None, None].copy())
    second = L.Conv(np.array(weight, precision).T[:, :, None, None].copy())
    model = Model.sequential([first, L.ReLU(), second, L.Flatten()], ["eye", "relu", "culprit", "flat"])
    composite = lrp_ref.composites.uniform(rules.Zero()).with_rules({"culprit": rule})
    with pytest.raises(errors.NonFiniteError, match="culprit"):
        lrp_ref.explain(model, np.ones((1, count, 1, 1)), composite=composite, target=0, backend=backend)


def vanishing(precision):
    """Terms that are not 0 and underflow: every denominator is 0 for that alone."""
    t = TINY[precision]
    return {
        "w²": ([[t], [-t]], [[1.0, 2.0]], rules.WSquare()),
        "z⁺": ([[t], [t]], [[t, t]], rules.ZPlus()),
        "α1β0": ([[t], [t]], [[t, t]], rules.AlphaBeta(1, 0)),
        "z": ([[t], [2 * t]], [[t, t]], rules.Zero()),
        "γ": ([[t], [2 * t]], [[t, t]], rules.Gamma(0.25)),
        "generalised γ": ([[t], [2 * t]], [[t, t]], rules.GeneralizedGamma(0.25)),
        "zᴮ": ([[t], [t]], [[t, t]], rules.ZBox(0, 1)),
    }


@pytest.mark.parametrize("name", list(vanishing("float64")))
@precisions
@pytest.mark.parametrize("make", [dense, as_conv], ids=["dense", "conv"])
def test_a_denominator_that_underflowed_is_an_error_in_every_backend_alike(name, precision, make):
    weight, x, rule = vanishing(precision)[name]
    x = np.array(x, precision).reshape(1, -1, *([1, 1] if make is as_conv else []))
    start = np.ones((1, 1), precision)
    found = {type(refusal(make(weight, precision), x, rule, backend=b, start=start)) for b in lrp_ref.BACKENDS}
    assert len(found) == 1, found


@precisions
@backends
@pytest.mark.parametrize("make", [dense, as_conv], ids=["dense", "conv"])
@pytest.mark.parametrize("coefficient", [1, 2, 1024])
def test_a_denominator_that_underflowed_is_refused_where_relevance_meets_it(make, coefficient, precision, backend):
    """The second neuron's terms vanish; what the first takes is its own affair, whatever part λ of R is divided."""
    t, rule = TINY[precision], rules.AlphaBeta(coefficient, coefficient - 1)
    x = np.array([[t, 1.0]], precision).reshape(1, -1, *([1, 1] if make is as_conv else []))
    model = make([[1.0, t], [1.0, 0.0]], precision)
    e = explain(model, x, rule, start=np.array([[1.0, 0.0]]), backend=backend)
    np.testing.assert_allclose(np.reshape(e.relevance, -1), [coefficient * t, coefficient], rtol=1e-6)
    with pytest.raises(errors.UnderflowError, match="denominator"):
        explain(model, x, rule, start=np.array([[0.0, 1.0]]), backend=backend)
    if backend != "reference":
        with pytest.raises(errors.UnderflowError, match="denominator"):
            explain(model, x, rule, start=np.array([[1e3, 1e-3]]), backend=backend)


ZEROS = {
    "no input": ([[1.0], [2.0]], [[0.0, 0.0]], [rules.Zero(), rules.ZPlus(), rules.AlphaBeta(1, 0), rules.Gamma()]),
    "no weight": ([[0.0], [0.0]], [[1.0, 2.0]], [rules.Zero(), rules.WSquare(), rules.ZPlus(), rules.GeneralizedGamma()]),
    "one of both": ([[0.0], [3.0]], [[5.0, 0.0]], [rules.Zero(), rules.ZPlus(), rules.AlphaBeta(1, 0)]),
    "terms that cancel": ([[1.0], [1.0]], [[0.5, -0.5]], [rules.Zero()]),
    "huge terms that cancel": ([[1e30], [1e30]], [[2.0, -2.0]], [rules.Zero()]),
    "no positive product": ([[1.0], [2.0]], [[-1.0, -3.0]], [rules.ZPlus(), rules.AlphaBeta(1, 0)]),
    "tiny terms, none of them positive": ([[1e-20], [1e-20]], [[-1e-15, -1e-15]], [rules.ZPlus()]),
    "at the bounds of the box": ([[1.0], [2.0]], [[-1.0, -1.0]], [rules.ZBox(-1, 1)]),
}
ZERO = [pytest.param(name, rule, id=f"{name}-{rule}") for name, (_, _, given) in ZEROS.items() for rule in given]


@pytest.mark.parametrize(("name", "rule"), ZERO)
@precisions
@backends
def test_an_exact_zero_assigns_nothing_and_is_booked(name, rule, precision, backend):
    weight, x, _ = ZEROS[name]
    for model, given in ((dense(weight, precision), np.array(x)), (as_conv(weight, precision), np.array(x)[..., None, None])):
        e = explain(model, given, rule, start=np.ones((1, 1)), backend=backend, ledger=True)
        np.testing.assert_array_equal(e.relevance, 0)
        np.testing.assert_array_equal(e.ledger.unassigned, [1])


@precisions
@backends
def test_numbers_near_the_ends_that_are_fine_stay_so(precision, backend):
    """No refusal without need: z and every pool are finite and not 0."""
    top = float(np.finfo(precision).max)
    for magnitude in (top / 16, float(np.finfo(precision).tiny) * 64):
        for rule, expected in ((rules.Zero(), [3, -1]), (rules.ZPlus(), [2, 0]), (rules.AlphaBeta(2, 1), [4, -2])):
            e = explain(dense([[3 * magnitude], [-magnitude]], precision), np.ones((1, 2)), rule, backend=backend)
            np.testing.assert_allclose(e.relevance / magnitude, [expected], rtol=1e-5)


@precisions
@backends
def test_the_node_that_overflowed_is_named_not_its_neighbour(precision, backend):
    m = float(np.finfo(precision).max) * 0.6
    layers = [
        L.Dense(np.eye(2, dtype=precision)),
        L.Dense(np.array([[m], [-m / 2]], precision)),
        L.Dense(np.eye(1, dtype=precision)),
    ]
    model = Model.sequential(layers, ["before", "culprit", "behind"])
    composite = lrp_ref.composites.uniform(rules.Zero()).with_rules({"culprit": rules.WSquare()})
    with pytest.raises(errors.NonFiniteError, match="culprit"):
        lrp_ref.explain(model, np.ones((1, 2)), composite=composite, target=0, backend=backend)
