"""Prediction difference analysis: odds by hand, the conditional Gaussian by its precision matrix, laws, and what is refused."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, methods
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import ExactnessError, HeadError, LrpError, NonFiniteError, ParameterError, ShapeError, UnknownNameError
from lrp_ref.methods.prediction_difference import Gaussian, evidence

BACKENDS = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def linear(*w: float) -> Model:
    return Model.sequential([L.Dense(np.array(w)[:, None])])


def cnn(dtype: Any = np.float64) -> Model:
    """Two channels of 5 × 4 cells, three probabilities."""
    draw = np.random.default_rng(7)
    w1, w2 = (draw.integers(-4, 5, size=shape) / 8 for shape in ((2, 2, 3, 3), (40, 3)))
    layers = [L.Conv(w1, np.array([0.5, -0.25]), padding=1), L.ReLU(), L.Flatten(), L.Dense(w2), L.Softmax()]
    return Model.sequential(layers).astype(dtype)


def images(count: int = 2, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 9, size=(count, 2, 5, 4)) / 4


# --- worked numbers -----------------------------------------------------------------------------------------------------


def test_odds_after_laplaces_correction():
    """N = 8, K = 2: 0.9 becomes 8.2/10, 1 becomes 9/10 and 0 becomes 1/10."""
    found = evidence(np.array([0.9, 1.0, 0.0, 0.5]), 8, 2)
    np.testing.assert_allclose(found, [math.log2(0.82 / 0.18), math.log2(9), -math.log2(9), 0], rtol=1e-14, atol=1e-15)


def test_what_the_others_tell_exactly_is_what_replaces():
    """In the data x₂ = 2 x₁ + 1: at (1, 5) the first is 2 given the second, and the second 3 given the first."""
    data = np.array([[t, 2 * t + 1] for t in (-1.0, 0.0, 0.5, 2.0)])
    e = methods.PredictionDifference(linear(3, -2), data, measure="difference", head="logit")([[1.0, 5.0]], 0)
    np.testing.assert_allclose(e.relevance, [[3 * (1 - 2), -2 * (5 - 3)]], rtol=1e-10)
    assert (e.method, e.value[0], e.conserves) == ("PredictionDifference", -7.0, False)


def test_where_the_outer_patch_is_the_inner_one_the_mean_replaces():
    data = np.full((4, 2, 5, 4), 0.75)
    e = methods.PredictionDifference(cnn(), data, 2, 2, stride=2, measure="difference", samples=2, head="probability")(
        images(), 1
    )
    expected = methods.Occlusion(cnn(), 2, replacement=0.75, head="probability")(images(), 1)
    np.testing.assert_allclose(e.relevance, expected.relevance, atol=1e-12)


# --- the Gaussian -----------------------------------------------------------------------------------------------------------


def test_a_gaussian_is_fitted_to_every_window():
    data = images(7)
    found = Gaussian.of(data, (2, 3), (2, 3))
    windows = [data[n, :, r : r + 2, c : c + 3].ravel() for n, r, c in itertools.product(range(7), range(4), range(2))]
    np.testing.assert_allclose(found.mean, np.mean(windows, axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(np.array(windows).T), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("corner", [(0, 0), (2, 1), (4, 3)])
def test_mean_and_covariance_given_the_rest_are_those_of_the_precision_matrix(corner):
    x, known = images(2), Gaussian.of(images(60, seed=5), (2, 3), (3, 3))
    part = (slice(None), slice(corner[0], corner[0] + 1), slice(corner[1], corner[1] + 1))
    top, left = min(max(corner[0] - 1, 0), 2), min(max(corner[1] - 1, 0), 1)
    cells = [(k, top + i, left + j) for k, i, j in itertools.product(range(2), range(3), range(3))]
    own = [n for n, (_, i, j) in enumerate(cells) if (i, j) == corner]
    rest = [n for n in range(len(cells)) if n not in own]
    precision = np.linalg.inv(known.covariance)
    covariance = np.linalg.inv(precision[np.ix_(own, own)])
    means, root = known.given(x, part)
    np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-8)
    for n in range(2):
        values = np.array([x[n][cell] for cell in cells])
        expected = known.mean[own] - covariance @ precision[np.ix_(own, rest)] @ (values - known.mean)[rest]
        np.testing.assert_allclose(means[n], expected, rtol=1e-8)


def test_evidence_is_the_loss_of_log_odds_of_the_mean_probability():
    x, data, model = images(1), images(30, seed=5), cnn()
    found = methods.PredictionDifference(model, data, 1, 3, samples=4, seed=6, count=50, head="probability")(x, 2).relevance[0]
    known = Gaussian.of(data, (2, 3), (3, 3))
    for row, column in ((0, 0), (2, 1), (4, 3)):
        part = (slice(None), slice(row, row + 1), slice(column, column + 1))
        means, root = known.given(x, part)
        p = []
        for draw in range(4):
            noise = np.random.Generator(np.random.PCG64(np.random.SeedSequence(6, spawn_key=(draw,)))).standard_normal((2, 5, 4))
            other = x.copy()
            other[0, :, row, column] = means[0] + root @ noise[:, row, column]
            p.append(model(other)[0, 2])
        odds = [(q * 50 + 1) / 53 for q in (model(x)[0, 2], np.mean(p))]
        expected = math.log2(odds[0] / (1 - odds[0])) - math.log2(odds[1] / (1 - odds[1]))
        np.testing.assert_allclose(found[:, row, column], expected, rtol=1e-9)


def test_many_draws_of_a_linear_function_come_near_to_the_conditional_mean():
    draw = np.random.default_rng(0)
    data = draw.normal(size=(500, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    x, w = np.array([[1.0, -1.0, 2.0]]), np.array([1.0, 2.0, -1.0])
    choices = {"measure": "difference", "head": "logit"}
    found = methods.PredictionDifference(linear(*w), data, samples=4000, **choices)(x, 0).relevance[0]
    known = Gaussian.of(data, (1,), (3,))
    expected = [w[i] * (x[0, i] - known.given(x, (slice(i, i + 1),))[0][0, 0]) for i in range(3)]
    np.testing.assert_allclose(found, expected, atol=0.1)


# --- laws --------------------------------------------------------------------------------------------------------------------


@BACKENDS
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_batch_is_its_samples_and_no_bit_depends_on_blocks(backend, dtype):
    x, choices = images(2).astype(dtype), {"patch": 2, "outer": 3, "samples": 3, "backend": backend, "head": "probability"}
    whole = methods.PredictionDifference(cnn(dtype), images(20, seed=5), **choices)(x, targets=[0, 2])
    small = methods.PredictionDifference(cnn(dtype), images(20, seed=5), batch=7, **choices)(x, targets=[0, 2])
    assert whole.relevance.dtype == dtype
    assert whole.relevance.tobytes() == small.relevance.tobytes()
    for n in range(2):
        one = methods.PredictionDifference(cnn(dtype), images(20, seed=5), **choices)(x[n : n + 1], targets=[0, 2])
        assert one.relevance.tobytes() == whole.relevance[n : n + 1].tobytes()


def test_another_seed_draws_others_and_the_cost_is_known():
    method = methods.PredictionDifference(cnn(), images(20, seed=5), 2, 4, stride=2, samples=3, head="probability")
    assert (method(images(), 0).relevance != method.replace(seed=1)(images(), 0).relevance).any()
    assert method.estimate().forward == 1 + 3 * 2 * 3
    assert method(images(), 0).parameters["data"].startswith("float64[20, 2, 5, 4]")


# --- bad input -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"measure": "odds"}, UnknownNameError, "evidence"),
        ({"head": "logit"}, ParameterError, "probability"),
        ({"head": None}, HeadError, "head='probability'"),
        ({"data": None}, ParameterError, "data="),
        ({"samples": 0}, ParameterError, "samples"),
        ({"seed": 1.5}, ParameterError, "seed"),
        ({"count": 0}, ParameterError, "count"),
        ({"patch": 6}, ShapeError, "larger than the input"),
        ({"patch": 3, "outer": 2}, ParameterError, "smaller than the inner"),
        ({"outer": 9}, ShapeError, "outer"),
        ({"stride": 2}, ParameterError, "leaves cells"),
        ({"data": np.ones((1, 2, 5, 4))}, ShapeError, "at least two"),
        ({"data": np.ones((3, 2, 4, 4))}, ShapeError, "samples of shape"),
        ({"data": np.full((3, 2, 5, 4), np.nan)}, NonFiniteError, "data"),
    ],
)
def test_what_makes_no_sense_is_refused(choices, error, words):
    with pytest.raises(error, match=words):
        methods.PredictionDifference(cnn(), **{"data": images(5), "patch": 1, "head": "probability"} | choices)(images(1), 0)


def test_scores_have_no_odds_and_rationals_no_draws():
    with pytest.raises(HeadError, match="no softmax or sigmoid"):
        methods.PredictionDifference(linear(1, 2), np.eye(2), head="probability")
    with pytest.raises(ParameterError, match="contrast"):
        methods.PredictionDifference(cnn(), images(5), head="probability")(images(1), 0, contrast=1)
    exact = Model.sequential([L.Dense(fractions([[1], [2]]))])
    with pytest.raises(ExactnessError, match="Occlusion"):
        methods.PredictionDifference(exact, np.eye(2), head="logit", measure="difference")(fractions([[1, 2]]), 0)
    with pytest.raises(LrpError):
        methods.PredictionDifference(cnn(), images(5), head="probability")(np.ones((1, 2, 3, 3)), 0)
