"""Meaningful perturbation: the papers' optima for linear f, a literal objective, laws, and what is refused."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Model, methods
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import ExactnessError, GraphError, LrpError, ParameterError, ShapeError, TargetError, UnknownNameError
from lrp_ref.methods.masks import Blurring, circles, shifted, variation_slope
from lrp_ref.methods.replacements import blurred
from support.strategies import fewer

F = Fraction
EXACT = {"replacement": 0, "optimizer": "descent", "variation": 0, "begin": 1, "rate": F(1, 2), "steps": 40}


def linear(w: Any, bias: Any = 0) -> Model:
    return Model.sequential([L.Dense(fractions(w).reshape(-1, 1), fractions([bias]))])


def cnn(dtype: Any = np.float64) -> Model:
    """One channel of 8 × 6 cells, two scores; small dyadic weights."""
    draw = np.random.default_rng(1)
    w1, w2 = (draw.integers(-4, 5, size=shape) / 4 for shape in ((2, 1, 3, 3), (96, 2)))
    return Model.sequential([L.Conv(w1, np.array([0.5, -0.25]), padding=1), L.ReLU(), L.Flatten(), L.Dense(w2)]).astype(dtype)


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(3).integers(-8, 9, size=(count, 1, 8, 6)) / 4


# --- worked: linear f -------------------------------------------------------------------------------------------------------


def test_of_a_linear_function_deletion_and_preservation_are_the_published_optima():
    """w x = (3, −2, 1/2, 1/4), λ = 1/4: terms above λ are deleted, the same are preserved."""
    w, x = [3, -1, 1, F(1, 4)], fractions([[1, 2, F(1, 2), 1]])
    choices = EXACT | {"sparsity": F(1, 4), "steps": 40}
    deletion = methods.MeaningfulPerturbation(linear(w), "deletion", **choices)(x, 0)
    preservation = methods.MeaningfulPerturbation(linear(w), "preservation", **choices)(x, 0)
    assert deletion.relevance.tolist() == [[1, 0, 1, 0]]  # relevance is 1 − m
    assert preservation.relevance[0, [0, 1, 2]].tolist() == [1, 0, 1]  # the last is as good either way
    assert (deletion.method, deletion.conserves) == ("MeaningfulPerturbation", False)


@fewer
@given(st.data())
def test_for_a_linear_function_no_other_mask_is_better_and_preservation_is_one_minus_deletion(data):
    terms = data.draw(st.lists(st.sampled_from([F(n, 2) for n in (-4, -3, -1, 0, 3, 4, 6)]), min_size=3, max_size=3))
    b = fractions(data.draw(st.lists(st.integers(-2, 2), min_size=3, max_size=3)))
    x, choices = b + 1, EXACT | {"replacement": b, "sparsity": F(1), "steps": 12}
    found = {
        mode: methods.MeaningfulPerturbation(linear(terms), mode, **choices)(x[None], 0).relevance[0]
        for mode in ("deletion", "preservation")
    }
    assert (found["deletion"] == found["preservation"]).all()  # 1 − m and m: m_preserved = 1 − m_deleted

    def objective(m: Any) -> Fraction:
        phi = [m[i] * x[i] + (1 - m[i]) * b[i] for i in range(3)]
        return sum(1 - a for a in m) + sum(t * p for t, p in zip(terms, phi, strict=True))

    best = objective(1 - found["deletion"])
    assert all(best <= objective(m) for m in itertools.product((0, 1), repeat=3))


def test_where_f_is_not_linear_deletion_and_preservation_differ():
    """x₁ and x₂: either is enough to delete, both are needed."""
    both = Model.sequential([L.Dense(fractions([[1], [1]]), fractions([-1])), L.ReLU()])
    x = fractions([[1, 1]])
    choices = EXACT | {"sparsity": F(1, 4), "rate": F(1, 8)}
    kept = methods.MeaningfulPerturbation(both, "preservation", **choices)(x, 0).relevance
    gone = methods.MeaningfulPerturbation(both, "deletion", **choices)(x, 0).relevance
    assert kept.tolist() == [[1, 1]]
    assert gone.sum() < F(3, 2)


# --- a literal objective --------------------------------------------------------------------------------------------------


def literal(
    model: Model, x: np.ndarray, m: np.ndarray, mode: str, sparsity: Fraction, variation: Fraction, b: Fraction
) -> Fraction:
    """The objective of §8.3, β = 2, of an image of 4 × 2 cells and a mask of 2 × 2: half-pixel centres in the rows."""
    rows = [m[0], F(3, 4) * m[0] + F(1, 4) * m[1], F(1, 4) * m[0] + F(3, 4) * m[1], m[1]]
    phi = np.array([[[rows[u][v] * x[0, u, v] + (1 - rows[u][v]) * b for v in range(2)] for u in range(4)]], dtype=object)
    cells = list(itertools.product(range(2), repeat=2))
    size = sum((1 - m[c] if mode == "deletion" else m[c]) for c in cells)
    rough = sum((m[1, v] - m[0, v]) ** 2 for v in range(2)) + sum((m[u, 1] - m[u, 0]) ** 2 for u in range(2))
    score = model(phi[None])[0, 0]
    return sparsity * size + variation * rough + (score if mode == "deletion" else -score)


@pytest.mark.parametrize("mode", ["deletion", "preservation"])
def test_a_step_of_descent_goes_along_the_derivative_of_the_objective(mode):
    draw = np.random.default_rng(5)
    w1, w2 = (fractions(draw.integers(-4, 5, size=shape)) for shape in ((8, 3), (3, 1)))
    model = Model.sequential([L.Flatten(), L.Dense(w1, fractions([5, 3, 7])), L.LeakyReLU(F(1, 4)), L.Dense(w2)])
    x, b = fractions(draw.integers(-4, 5, size=(1, 1, 4, 2))), F(1, 3)
    begin = fractions([[F(1, 2), F(1, 3)], [F(3, 5), F(1, 4)]])
    step, rate = F(1, 10**6), F(1, 10**4)
    choices = {"replacement": b, "optimizer": "descent", "cells": 2, "smoothing": 0, "jitter": 0, "power": 2, "begin": begin}
    method = methods.MeaningfulPerturbation(model, mode, steps=1, rate=rate, sparsity=F(1, 8), variation=F(1, 16), **choices)
    after = method(x, 0).relevance[0, 0]
    after = after if mode == "preservation" else 1 - after
    expected = begin.copy()
    for cell in itertools.product(range(2), repeat=2):
        ends = []
        for sign in (1, -1):
            moved = begin.copy()
            moved[cell] += sign * step
            ends.append(literal(model, x[0], moved, mode, F(1, 8), F(1, 16), b))
        expected[cell] -= rate * (ends[0] - ends[1]) / (2 * step)  # exact: the objective is quadratic here
    assert (after[[0, 3]] == expected).all()  # the outer rows of M are those of m


@pytest.mark.parametrize("power", [1, 2, 3, 2.5])
def test_the_derivative_of_the_variation(power):
    m = np.random.default_rng(2).random((2, 3, 4))

    def variation(m: np.ndarray) -> float:
        return float(sum((abs(np.diff(m, axis=axis)) ** power).sum() for axis in (1, 2)))

    found = variation_slope(m, power)
    for cell in np.ndindex(m.shape):
        ends = [m.copy(), m.copy()]
        ends[0][cell] += 1e-6
        ends[1][cell] -= 1e-6
        assert found[cell] == pytest.approx((variation(ends[0]) - variation(ends[1])) / 2e-6, rel=1e-4, abs=1e-6)


# --- blur, jitter, the beginning ------------------------------------------------------------------------------------------


def test_a_mask_of_1_keeps_and_a_mask_of_0_blurs_most():
    x = images(1)
    levels = np.stack([x, *(blurred(x, 0.2 * k, (2, 3)) for k in range(1, 11))])
    change = Blurring(levels, (2, 3))
    assert (change.at(np.ones((1, 1, 8, 6))) == x).all()
    np.testing.assert_allclose(change.at(np.zeros((1, 1, 8, 6))), blurred(x, 2.0, (2, 3)), rtol=1e-13)
    np.testing.assert_allclose(change.at(np.full((1, 1, 8, 6), 0.5)), blurred(x, 1.0, (2, 3)), rtol=1e-12)
    mask = np.full((1, 1, 8, 6), 0.43)
    slope = (change.at(mask + 1e-7) - change.at(mask - 1e-7)) / 2e-7
    np.testing.assert_allclose(change.slope(mask), slope, atol=1e-6)


def test_a_shift_repeats_the_border():
    assert shifted(np.array([[1, 2, 3, 4]]), [1], [1]).tolist() == [[1, 1, 2, 3]]
    assert shifted(np.array([[1, 2, 3, 4]]), [-2], [1]).tolist() == [[3, 4, 4, 4]]


def test_circles_grow_from_none_to_all():
    masks = circles((4, 4))
    assert [int((~mask).sum()) for mask in masks] == [0, 4, 12, 16, 16]


def test_the_first_mask_is_the_smallest_circle_that_takes_99_percent():
    """The score is in the twelve cells of the second circle."""
    w = (~circles((4, 4))[2]).astype(float)
    model = Model.sequential([L.Flatten(), L.Dense(w.reshape(-1, 1))])
    choices = {"replacement": 0, "steps": 1, "rate": 1e-12, "optimizer": "descent"}
    for sign in (1.0, -1.0):  # of a negative score, too
        x = np.full((1, 1, 4, 4), sign)
        np.testing.assert_allclose(methods.MeaningfulPerturbation(model, **choices)(x, 0).relevance[0, 0], w, atol=1e-9)
        np.testing.assert_allclose(
            methods.MeaningfulPerturbation(model, "preservation", **choices)(x, 0).relevance[0, 0], w, atol=1e-9
        )
    w[0, 0] = 1  # a corner belongs to it, and no circle but the last takes it
    whole = methods.MeaningfulPerturbation(Model.sequential([L.Flatten(), L.Dense(w.reshape(-1, 1))]), **choices)(
        np.ones((1, 1, 4, 4)), 0
    )
    np.testing.assert_allclose(whole.relevance, 1, atol=1e-9)


# --- laws ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choices", [{}, {"replacement": 0.5, "cells": 3}, {"replacement": "noise", "cells": 4, "optimizer": "descent"}]
)
@pytest.mark.parametrize("mode", ["deletion", "preservation"])
def test_masks_are_in_0_to_1_and_a_batch_is_its_samples_bit_for_bit(choices, mode):
    method = methods.MeaningfulPerturbation(cnn(), mode, steps=6, seed=4, **choices)
    whole = method(images(2), targets=[1, 0])
    assert whole.relevance.shape == (2, 2, 1, 8, 6)
    assert whole.relevance.min() >= -1e-12
    assert whole.relevance.max() <= 1 + 1e-12
    for n in range(2):
        assert method(images(2)[n : n + 1], targets=[1, 0]).relevance.tobytes() == whole.relevance[n : n + 1].tobytes()
    assert method(images(2), 0).relevance.tobytes() == np.ascontiguousarray(whole.relevance[:, 1]).tobytes()
    assert method(images(0), 0).relevance.shape == (0, 1, 8, 6)


def test_deletion_lowers_and_preservation_keeps_the_score():
    x, model, choices = images(1), cnn(), {"replacement": 0, "steps": 60, "begin": 0.5, "variation": 0}
    value = model(x)[0, 0]
    gone = methods.MeaningfulPerturbation(model, **choices)(x, 0).relevance
    kept = methods.MeaningfulPerturbation(model, "preservation", **choices)(x, 0).relevance
    assert model(x * (1 - gone))[0, 0] < value < model(x * kept)[0, 0]


def test_a_contrast_is_a_difference_of_scores():
    w = fractions([[1, 0], [0, 1], [1, 1]])
    model = Model.sequential([L.Dense(w)])
    e = methods.MeaningfulPerturbation(model, **EXACT | {"sparsity": F(1, 4)})(fractions([[1, 1, 1]]), 0, contrast=1)
    assert e.relevance.tolist() == [[1, 0, 0]]


def test_progress_and_cost():
    told = []
    method = methods.MeaningfulPerturbation(cnn(), steps=3, progress=lambda *now: told.append(now))
    method(images(1), 0)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert str(method.estimate()) == "4 forward, 3 backward"


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_every_backend_finds_nearly_the_same_mask(backend):
    choices = {"replacement": 0, "steps": 5, "optimizer": "descent", "begin": 0.5}
    exact = methods.MeaningfulPerturbation(cnn(), backend="reference", **choices)(images(1), 0).relevance
    np.testing.assert_allclose(
        methods.MeaningfulPerturbation(cnn(), backend=backend, **choices)(images(1), 0).relevance, exact, atol=1e-9
    )


# --- bad input ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"mode": "both"}, UnknownNameError, "preservation"),
        ({"optimizer": "newton"}, UnknownNameError, "adam"),
        ({"replacement": "delete"}, ParameterError, "deletion has none"),
        ({"steps": 0}, ParameterError, "steps"),
        ({"rate": 0}, ParameterError, "rate"),
        ({"power": 0.5}, ParameterError, "power"),
        ({"sparsity": -1}, ParameterError, "sparsity"),
        ({"jitter": 0.5}, ParameterError, "jitter"),
        ({"cells": 0}, ParameterError, "cells"),
        ({"cells": 9}, ShapeError, "larger than the input"),
        ({"cells": (2, 2, 2)}, ParameterError, "each of 2 axes"),
        ({"begin": np.ones(5)}, ShapeError, "begin"),
        ({"seed": 0.0}, ParameterError, "seed"),
        ({"axes": 5}, ShapeError, "axes"),
    ],
)
def test_what_makes_no_sense_is_refused(choices, error, words):
    with pytest.raises(error, match=words):
        methods.MeaningfulPerturbation(cnn(), **choices)(images(1), 0)


def test_what_has_no_rational_form_is_refused():
    x = fractions(images(1))
    for choices in ({"replacement": 0}, {"optimizer": "descent"}, {"replacement": 0, "optimizer": "descent", "cells": 2}):
        with pytest.raises(ExactnessError):
            methods.MeaningfulPerturbation(cnn(object), **choices)(x, 0)


def test_targets_and_inputs_are_checked():
    with pytest.raises(TargetError):
        methods.MeaningfulPerturbation(cnn(), steps=1)(images(1), 2)
    two = Model((lrp_ref.Node("sum", L.Add(), ("p", "q")),), inputs=("p", "q"))
    with pytest.raises(GraphError, match="p, q"):
        methods.MeaningfulPerturbation(two)
    with pytest.raises(LrpError):
        methods.MeaningfulPerturbation(cnn(), steps=1)(np.ones((1, 1, 3, 3)), 0)
