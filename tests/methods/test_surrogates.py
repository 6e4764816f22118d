"""LIME, activation patterns, insertions, mutations, and a model as a function: numbers, laws, bad input."""

from __future__ import annotations

import pickle
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from lrp_ref import Model, Node, zoo
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import (
    ExactnessError,
    GraphError,
    HeadError,
    LrpError,
    MissingExtraError,
    ParameterError,
    RuleError,
    ShapeError,
    UnknownNameError,
)
from lrp_ref.methods import ActivationPattern, Insertion, Lime, Mutation, Shapley, as_function, superpixels
from lrp_ref.methods.lime import kernel_weights

LINEAR = Model.sequential([L.Dense(fractions([[2], [-1], [3]]), fractions([1]))])
CURVED = Model.sequential([L.Dense(fractions([[1, 0], [-1, 2], [2, 1]])), L.ReLU(), L.Dense(fractions([[1], [-1]]))])


# --- LIME ----------------------------------------------------------------------------------------------------------------


def test_of_an_additive_function_the_coefficients_are_drops() -> None:
    """papers.md §2.14: ridge → 0 gives each segment's drop, as occlusion, whatever the weights; exactly on rationals."""
    x = fractions([[1, 4, 2]])
    e = Lime(LINEAR, samples="all", width=None, ridge=0)(x)
    assert e.relevance.tolist() == [[2, -4, 6]]
    floats = Lime(LINEAR.astype(np.float64), samples=50, ridge=0, seed=3)(x.astype(float))
    np.testing.assert_allclose(floats.relevance, [[2, -4, 6]], rtol=1e-9)
    grouped = Lime(LINEAR, samples="all", width=None, ridge=0, segments=[0, 1, 1])(x)
    assert grouped.relevance.tolist() == [[2, 2, 2]]  # every element has its segment's coefficient


def test_the_weights_of_the_kernel() -> None:
    """papers.md §2.14: √exp(−d²/w²) = exp(−d²/(2 w²)), d = 1 − √(m/S), and 1 of nothing."""
    present = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]) == 1
    found = kernel_weights(present, 0.25, np.zeros(0))
    np.testing.assert_allclose(found, [1, np.sqrt(np.exp(-(0.5**2) / 0.25**2)), np.exp(-1 / (2 * 0.25**2))], rtol=1e-15)


@pytest.mark.parametrize(("width", "ridge"), [(None, 2), (0.25, 1.0), (0.7, 0.125)])
def test_the_regression_is_the_minimum(width: Any, ridge: Any) -> None:
    """The normal equations, with the intercept as one more unknown, hold: against a solution of its own."""
    model = CURVED.astype(np.float64)
    x = np.array([[1.0, 0.5, -2.0]])
    e = Lime(model, samples="all", width=width, ridge=ridge)(x)
    z = np.array([row[::-1] for row in product([0, 1], repeat=3)], dtype=float)
    f = model(z * x)[:, 0]
    d = 1 - np.sqrt(z.mean(axis=1))
    pi = np.ones(8) if width is None else np.exp(-(d**2) / (2 * width**2))
    design = np.concatenate([z, np.ones((8, 1))], axis=1)
    system = design.T @ (pi[:, None] * design) + np.diag([ridge] * 3 + [0])
    np.testing.assert_allclose(e.relevance[0], np.linalg.solve(system, design.T @ (pi * f))[:3], rtol=1e-10)
    if width is None:
        exact = Lime(CURVED, samples="all", width=None, ridge=ridge)(fractions(x))
        np.testing.assert_allclose(exact.relevance.astype(float), e.relevance, rtol=1e-10)


def test_bits_of_batches_and_seeds() -> None:
    model = zoo.load("digits")
    x = zoo.digits().images[:3]
    method = Lime(model, samples=40, seed=7)
    whole = method(x, [1, 2, 3]).relevance
    assert whole.shape == x.shape
    assert np.array_equal(method.replace(batch=7)(x, [1, 2, 3]).relevance, whole)
    assert np.array_equal(method(x[1:2], 2).relevance[0], whole[1])
    assert not np.array_equal(method.replace(seed=8)(x, [1, 2, 3]).relevance, whole)
    assert Lime(model, segments=4)(x, 0).relevance[0, 0, :4, :4].std() == 0
    assert method.estimate().forward == 41


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"samples": 1}, ParameterError, "at least 2"),
        ({"width": 0}, ParameterError, "width must be positive"),
        ({"ridge": -1}, ParameterError, "at least 0"),
        ({"seed": "a"}, ParameterError, "seed"),
        ({"segments": [0, 2, 2]}, ParameterError, "that segment is empty"),
        ({"samples": 2, "ridge": 0}, ParameterError, "do not determine 3 coefficients"),
        ({"baseline": [1, 2]}, ShapeError, "baseline"),
    ],
)
def test_bad_parameters_of_lime(options: dict[str, Any], error: type[LrpError], message: str) -> None:
    with pytest.raises(error, match=message):
        Lime(LINEAR.astype(np.float64), **options)(np.ones((1, 3)))


def test_a_kernel_is_not_rational_and_all_samples_are_not_too_many() -> None:
    with pytest.raises(ExactnessError, match="width=None"):
        Lime(LINEAR)(fractions([[1, 2, 3]]))
    with pytest.raises(ParameterError, match=r"2\^17, and 16 segments are the most"):
        Lime(Model.sequential([L.Dense(np.ones((17, 1)))]), samples="all")(np.ones((1, 17)))
    with pytest.raises(ParameterError, match="9000 segments: 8192 are the most; segments="):
        Lime(Model.sequential([L.Dense(np.ones((9000, 1)))]))(np.ones((1, 9000)))
    with pytest.raises(ParameterError, match="do not determine"):
        Lime(LINEAR, samples=2, width=None, ridge=0)(fractions([[1, 2, 3]]))


def test_superpixels_need_an_extra() -> None:
    with pytest.raises(ParameterError, match=r"found shape \(2, 2\)"):
        superpixels(np.zeros((2, 2)))
    image = np.zeros((3, 16, 16))
    image[:, :, 8:] = 1
    try:
        labels = superpixels(image, 4)
    except MissingExtraError as error:
        assert "lrp_ref[superpixels]" in str(error)  # noqa: PT017
        return
    assert labels.shape == (16, 16)
    assert not set(labels[:, :8].flat) & set(labels[:, 8:].flat)


# --- activation patterns ---------------------------------------------------------------------------------------------------


def test_the_pattern_of_a_signal_beside_noise() -> None:
    """papers.md §2.14: x = (s + d, d), w = (1, −1), s and d uncorrelated: a = (1, 0), and 0 for noise."""
    data = fractions([[s + d, d] for s in (-1, 1) for d in (-2, 2)])
    model = Model.sequential([L.Dense(fractions([[1], [-1]]), fractions([7]))])
    method = ActivationPattern(model, data)
    assert (method.patterns.tolist(), method.weights.tolist()) == ([[1, 0]], [[1, -1]])
    e = method(fractions([[3, 5], [1, 1]]))
    assert e.relevance.tolist() == [[1, 0], [1, 0]]
    assert not e.conserves
    np.testing.assert_allclose(ActivationPattern(model.astype(np.float64), data.astype(float)).patterns, [[1, 0]], atol=1e-15)


def test_the_pattern_of_a_discriminant_analysis() -> None:
    """papers.md §2.14: Σ_W = ((2, 1), (1, 1)), Δμ = (1, 0), so w = (1, −1): a = (1, 0), as Δμ."""
    within = [[1, 1], [-1, -1], [1, 0], [-1, 0]]  # Σ rows = ((4, 2), (2, 2)), so over 2: ((2, 1), (1, 1))
    data = fractions([[Fraction(2 * w0 + sign, 2), w1] for w0, w1 in within for sign in (-1, 1)])
    model = Model.sequential([L.Dense(fractions([[1], [-1]]))])
    assert ActivationPattern(model, data).patterns.tolist() == [[1, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_laws_of_patterns(seed: int) -> None:
    """Square: A = W^{-T}; alone: w^T a = 1; general: A = Σ_x W Σ_s^{-1}, so that W^T A = 1."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3))
    w = rng.normal(size=(3, 3))
    square = ActivationPattern(Model.sequential([L.Dense(w)]), data).patterns
    np.testing.assert_allclose(square.T, np.linalg.inv(w).T, rtol=1e-8)
    wide = ActivationPattern(Model.sequential([L.Dense(w[:, :2], [1.0, 2.0])]), data)
    cov = np.cov(data.T)
    np.testing.assert_allclose(wide.patterns.T, cov @ w[:, :2] @ np.linalg.inv(w[:, :2].T @ cov @ w[:, :2]), rtol=1e-8)
    np.testing.assert_allclose(w[:, :2].T @ wide.patterns.T, np.eye(2), atol=1e-10)
    alone = wide.replace(joint=False).patterns
    np.testing.assert_allclose((alone * w[:, :2].T).sum(axis=1), 1, rtol=1e-10)
    np.testing.assert_allclose((wide.replace(scale="unit").patterns ** 2).sum(axis=1), 1, rtol=1e-10)
    correlation = wide.replace(scale="correlation", joint=False).patterns
    wanted = np.corrcoef(np.concatenate([data, data @ w[:, :2]], axis=1).T)[3:, :3]
    np.testing.assert_allclose(correlation, wanted, rtol=1e-8)


@pytest.mark.parametrize("noise", ["normal", "drift", "step", "periodic"])
def test_the_pattern_of_in_sample_lda_is_the_difference_of_means(noise: str) -> None:
    """papers.md §3 #67a: w = S_W⁻¹ Δμ gives a ∝ Δμ whatever the noise, drifts and steps included."""
    rng = np.random.default_rng(4)
    time = np.linspace(0, 1, 60)
    second = {"normal": rng.normal(size=60), "drift": time, "step": (time > 0.4) * 1.0, "periodic": np.sin(20 * time)}[noise]
    label = rng.integers(0, 2, 60)
    data = np.stack([label + second + 0.1 * rng.normal(size=60), second + 0.1 * rng.normal(size=60)], axis=1)
    means = [data[label == k].mean(axis=0) for k in (0, 1)]
    scatter = sum((data[label == k] - means[k]).T @ (data[label == k] - means[k]) for k in (0, 1))
    difference = means[1] - means[0]
    pattern = ActivationPattern(Model.sequential([L.Dense(np.linalg.solve(scatter, difference)[:, None])]), data).patterns[0]
    np.testing.assert_allclose(pattern / pattern[0], difference / difference[0], rtol=1e-8)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ActivationPattern(CURVED, np.ones((4, 3))), RuleError, "node 'relu1' .*is not linear"),
        (lambda: ActivationPattern(LINEAR.astype(float), np.ones((4, 3))), ParameterError, "covariance has no inverse"),
        (lambda: ActivationPattern(LINEAR, fractions(np.ones((4, 3), int))), ParameterError, "covariance has no inverse"),
        (lambda: ActivationPattern(LINEAR.astype(float), np.ones((4, 2))), ShapeError, "node 'dense1'"),
        (lambda: ActivationPattern(LINEAR.astype(float), np.ones((0, 3))), ParameterError, "data= takes samples"),
        (lambda: ActivationPattern(LINEAR, np.ones((4, 3)), scale="one"), UnknownNameError, "unknown scale"),
        (lambda: ActivationPattern(LINEAR, np.ones((4, 3)), head="log-odds"), HeadError, "head='logit'"),
    ],
)
def test_bad_parameters_of_patterns(make: Any, error: type[LrpError], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --- insertions and mutations ------------------------------------------------------------------------------------------------


def test_a_charge_in_a_linear_model_is_its_weight() -> None:
    x = fractions([[1, 4, 2], [0, 0, 0]])
    assert Insertion(LINEAR)(x).relevance.tolist() == [[2, -1, 3]] * 2
    assert Insertion(LINEAR, charge=-2)(x).relevance.tolist() == [[-4, 2, -6]] * 2
    assert Insertion(LINEAR, segments=[0, 1, 0])(x).relevance.tolist() == [[5, -1, 5]] * 2


def test_a_charge_against_the_definition() -> None:
    """ReLU(x1 − x2 + 2 x3) − ReLU(2 x2 + x3) at (0, 1, 0) is −2; a charge 3 at each place: 2 − 2, −8, 5 − 5."""
    e = Insertion(CURVED, charge=3)(fractions([[0, 1, 0]]))
    assert e.relevance.tolist() == [[2, -6, 2]]
    assert e.value.tolist() == [-2]


def test_a_mutation_map() -> None:
    """A score that counts the pair AC in sequences of A, C, G: every exchange, place by place and letter by letter."""
    kernel = np.zeros((1, 3, 2))
    kernel[0, 0, 0] = kernel[0, 1, 1] = 1
    model = Model.sequential([L.Conv(kernel, [-1.0]), L.ReLU(), L.GlobalSumPool(), L.Flatten()])
    letters = {"A": 0, "C": 1, "G": 2}

    def coded(word: str) -> Any:
        return np.eye(3)[[letters[c] for c in word]].T[None]

    word = "GACAG"
    e = Mutation(model, axis=1)(coded(word), 0)
    for t, (letter, row) in product(range(5), letters.items()):
        changed = word[:t] + letter + word[t + 1 :]
        assert e.relevance[0, row, t] == changed.count("AC") - word.count("AC")
    assert np.array_equal(Mutation(model, axis=1, batch=2)(coded(word), 0).relevance, e.relevance)
    last = Model.sequential([L.Transpose((0, 2, 1)), *(node.layer for node in model.nodes)])
    moved = Mutation(last)(np.swapaxes(coded(word), 1, 2), "all")
    assert np.array_equal(np.swapaxes(moved.relevance[:, 0], 1, 2), e.relevance)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Mutation(LINEAR)(fractions([[1, 1, 0]])), ParameterError, "one letter at each place"),
        (lambda: Mutation(LINEAR)(fractions([[2, 0, 0]])), ParameterError, "one letter at each place"),
        (lambda: Mutation(LINEAR, axis=2)(fractions([[1, 0, 0]])), ShapeError, "axis 2"),
        (lambda: Mutation(LINEAR, axis=0)(fractions([[1, 0, 0]])), ShapeError, "axis 0"),
        (lambda: Mutation(Model((Node("sum", L.Add(), ("a", "b")),), inputs=("a", "b"))), GraphError, "a, b"),
        (lambda: Insertion(LINEAR, batch=0), ParameterError, "at least 1"),
        (lambda: Insertion(LINEAR, charge=fractions([1, 2]))(fractions([[1, 0, 0]])), ShapeError, "charge"),
        (lambda: Insertion(LINEAR).estimate(), ParameterError, "input_shape"),
        (lambda: Mutation(LINEAR).estimate(), ParameterError, "input_shape"),
    ],
)
def test_bad_parameters_of_insertions(make: Any, error: type[LrpError], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --- a function ----------------------------------------------------------------------------------------------------------------


def test_a_model_as_a_function() -> None:
    model, x = zoo.load("digits"), zoo.digits().images[:3]
    f = as_function(model, shape=(1, 8, 8))
    rows = f(x.reshape(3, 64).tolist())
    assert (rows.shape, rows.dtype) == ((3, 10), np.float64)
    np.testing.assert_allclose(rows, model(x), rtol=1e-5)
    assert np.array_equal(as_function(model, target=4)(x), rows[:, 4])
    assert np.array_equal(as_function(model, channels_last=True)(np.moveaxis(x, 1, -1)), rows)
    assert np.array_equal(pickle.loads(pickle.dumps(f))(x.reshape(3, 64)), rows)  # noqa: S301
    with pytest.raises(ShapeError, match=r"samples of shape \(1, 8, 8\)"):
        f(np.zeros((2, 63)))
    squashed = Model.sequential([L.Dense(np.eye(2)), L.Softmax()])
    with pytest.raises(HeadError, match="choose head="):
        as_function(squashed)
    assert as_function(squashed, head="probability")(np.zeros((1, 2))).tolist() == [[0.5, 0.5]]


def test_a_function_is_what_its_package_needs() -> None:
    """Shapley values by a literal sum over what the function answers."""
    f = as_function(CURVED.astype(np.float64), target=0)
    x = np.array([1.0, 0.5, -2.0])
    masks = np.array(list(product([0, 1], repeat=3)))
    worth = dict(zip(map(tuple, masks.tolist()), f(masks * x), strict=True))
    first = sum((worth[1, b, c] - worth[0, b, c]) * (2 if b == c else 1) for b, c in product([0, 1], repeat=2)) / 6
    assert abs(Shapley(CURVED.astype(np.float64))(x[None]).relevance[0, 0] - first) < 1e-14
