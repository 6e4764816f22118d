"""RISE: exact enumeration, literal loops, laws, and what is refused."""

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
from lrp_ref.errors import ParameterError, ShapeError, UnknownNameError
from support.strategies import fewer

F = Fraction
BACKENDS = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def cnn(dtype: Any = np.float64) -> Model:
    """One channel of 5 × 6 cells, two scores; small dyadic weights."""
    draw = np.random.default_rng(1)
    w1, w2 = (draw.integers(-4, 5, size=shape) / 4 for shape in ((2, 1, 3, 3), (60, 2)))
    return Model.sequential([L.Conv(w1, np.array([0.5, -0.25]), padding=1), L.ReLU(), L.Flatten(), L.Dense(w2)]).astype(dtype)


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(3).integers(-8, 9, size=(count, 1, 5, 6)) / 4


def interpolated(grid: dict[tuple[int, int], Any], cells: int, extents: tuple[int, int]) -> list[list[Any]]:
    """Bilinear interpolation with half-pixel centres, cell by cell; beyond the outer centres the grid goes on as it ends."""

    def neighbours(u: int, extent: int) -> list[tuple[int, Fraction]]:
        where = (u + F(1, 2)) * F(cells, extent) - F(1, 2)
        low = where.numerator // where.denominator
        share = where - low
        return [(min(max(low, 0), cells - 1), 1 - share), (min(max(low + 1, 0), cells - 1), share)]

    return [
        [
            sum(a * b * grid[i, j] for i, a in neighbours(u, extents[0]) for j, b in neighbours(v, extents[1]))
            for v in range(extents[1])
        ]
        for u in range(extents[0])
    ]


@pytest.mark.parametrize("p", [F(1, 2), F(1, 3)])
def test_all_grids_are_the_sum_over_masks_with_their_probabilities(p):
    model, x = cnn(object), fractions(images(1))
    expected = fractions(np.zeros((5, 6)))
    places = list(itertools.product(range(2), repeat=2))
    for bits in itertools.product((0, 1), repeat=4):
        mask = fractions(interpolated(dict(zip(places, bits, strict=True)), 2, (5, 6)))
        chance = p ** sum(bits) * (1 - p) ** (4 - sum(bits))
        expected = expected + chance * model(x * mask)[0, 1] * mask / p
    found = methods.RISE(model, "all", grid=2, probability=p)(x, 1).relevance
    assert (found[0, 0] == expected).all()
    floats = methods.RISE(cnn(), "all", grid=2, probability=float(p))(images(1), 1).relevance
    np.testing.assert_allclose(floats[0, 0], expected.astype(float), rtol=1e-12, atol=1e-12)


def test_all_grids_divide_alike_by_probability_and_coverage():
    model, x = cnn(object), fractions(images(1))
    one, other = (methods.RISE(model, "all", grid=2, probability=F(1, 3), divide=d)(x, 0) for d in ("probability", "coverage"))
    assert (one.relevance == other.relevance).all()


@fewer
@given(st.data())
def test_of_a_linear_function_each_cell_gets_its_own_term_and_a_constant(data):
    w, x = (fractions(data.draw(st.lists(st.fractions(-3, 3, max_denominator=4), min_size=4, max_size=4))) for _ in range(2))
    p = data.draw(st.fractions(F(1, 8), 1, max_denominator=8))
    e = methods.RISE(Model.sequential([L.Dense(w[:, None])]), "all", grid=4, probability=p)(x[None], 0)
    assert (e.relevance[0] == (1 - p) * w * x + p * e.value[0]).all()


def test_a_baseline_shows_where_the_mask_is_0():
    w, x, b, p = fractions([2, -1]), fractions([3, 4]), fractions([1, 5]), F(1, 4)
    found = methods.RISE(Model.sequential([L.Dense(w[:, None])]), "all", grid=2, probability=p, baseline=b)(x[None], 0)
    # E[f M_u] / p, f = Σ w (b + M (x − b))
    expected = [sum(w * b) + (1 - p) * w[u] * (x - b)[u] + p * sum(w * (x - b)) for u in range(2)]
    assert found.relevance[0].tolist() == expected


@pytest.mark.parametrize(("shift", "divide"), [(False, "probability"), (True, "probability"), (True, "coverage")])
def test_drawn_masks_are_those_of_the_formula(shift, divide):
    model, x, s, p = cnn(), images(1), 2, 0.75
    total, covered = np.zeros((5, 6)), np.zeros((5, 6))
    for draw in range(20):
        source = np.random.Generator(np.random.PCG64(np.random.SeedSequence(11, spawn_key=(draw,))))
        grid = dict(
            zip(itertools.product(range(s), repeat=2), (source.random((s, s)) < p).ravel().astype(int).tolist(), strict=True)
        )
        mask = np.array(interpolated(grid, s, (9, 9) if shift else (5, 6)), float)
        if shift:  # cells of ⌈5/2⌉ = 3 and ⌈6/2⌉ = 3
            r, c = int(source.integers(3)), int(source.integers(3))
            mask = mask[r : r + 5, c : c + 6]
        total += model(x * mask)[0, 1] * mask
        covered += mask
    expected = total / (p * 20) if divide == "probability" else total / covered
    found = methods.RISE(model, 20, s, p, 11, shift, divide)(x, 1).relevance[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_many_masks_come_near_to_all_of_them():
    x, model = images(1), cnn()
    exact = methods.RISE(model, "all", grid=2)(x, 0).relevance
    drawn = methods.RISE(model, 4000, grid=2, shift=False)(x, 0).relevance
    assert abs(drawn - exact).max() < 0.1 * abs(exact).max()


def test_what_no_mask_covers_gets_nothing_from_coverage():
    found = methods.RISE(Model.sequential([L.Dense(np.ones((3, 1)))]), 1, 3, 0.01, shift=False, divide="coverage")(
        [[1.0, 1.0, 1.0]], 0
    )
    assert found.relevance.tolist() == [[0.0, 0.0, 0.0]]


def test_of_a_sequence_masks_cover_time():
    model = Model.sequential(
        [L.LSTM.from_arrays(np.ones((3, 8)) / 4, np.ones((2, 8)) / 4, np.zeros(8)), L.Dense(np.ones((2, 1)))]
    )
    found = methods.RISE(model, 10, grid=2)(np.ones((2, 4, 3)), 0).relevance
    assert found.shape == (2, 4, 3)
    assert (found == found[:, :, :1]).all()


@BACKENDS
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_batch_is_its_samples_and_no_bit_depends_on_blocks(backend, dtype):
    x, model = images(2).astype(dtype), cnn(dtype)
    whole = methods.RISE(model, 10, grid=3, seed=2, backend=backend)(x, targets=[1, 0])
    small = methods.RISE(model, 10, grid=3, seed=2, backend=backend, batch=3)(x, targets=[1, 0])
    assert whole.relevance.dtype == dtype
    assert whole.relevance.tobytes() == small.relevance.tobytes()
    for n in range(2):
        one = methods.RISE(model, 10, grid=3, seed=2, backend=backend)(x[n : n + 1], targets=[1, 0])
        assert one.relevance.tobytes() == whole.relevance[n : n + 1].tobytes()
    assert (methods.RISE(model, 10, grid=3, seed=3, backend=backend)(x, 1).relevance != whole.relevance[:, 0]).any()


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"masks": 0}, ParameterError, "masks"),
        ({"masks": "some"}, ParameterError, "masks"),
        ({"masks": "all", "grid": (4, 5)}, ParameterError, "at most 16 cells"),
        ({"masks": "all", "grid": 2, "shift": True}, ParameterError, "without a shift"),
        ({"grid": 6}, ShapeError, "does not fit"),
        ({"grid": 0}, ParameterError, "grid"),
        ({"grid": (1, 2, 3)}, ParameterError, "each of 2 axes"),
        ({"probability": 0}, ParameterError, "probability"),
        ({"probability": 1.5}, ParameterError, "probability"),
        ({"seed": 1.0}, ParameterError, "seed"),
        ({"seed": -1}, ParameterError, "seed"),
        ({"divide": "mean"}, UnknownNameError, "coverage"),
        ({"baseline": np.ones(4)}, ShapeError, "baseline"),
    ],
)
def test_what_makes_no_sense_is_refused(choices, error, words):
    with pytest.raises(error, match=words):
        methods.RISE(cnn(), **{"masks": 4, "grid": 2, **choices})(images(1), 0)


def test_by_default_a_grid_has_no_more_cells_than_the_input():
    method = methods.RISE(cnn(), 3, seed=5)
    assert (method(images(1), 0).relevance == methods.RISE(cnn(), 3, (5, 6), seed=5)(images(1), 0).relevance).all()
    assert method.estimate().forward == 4


def test_words_are_in_or_out_and_never_parts_of_their_numbers():
    table, w = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]]), np.array([[1.0], [2.0]])
    model = Model.sequential([L.Embedding(table), L.Mean(1), L.Dense(w)])
    e = methods.RISE(model, "all", probability=0.5)([[1.0, 2.0]], 0)
    own = (table @ w)[[1, 2], 0] / 2  # f is linear in the words that are in
    np.testing.assert_allclose(e.relevance[0], 0.5 * own + 0.5 * own.sum())
    assert "numbers of words" in e.cautions[-1]
    assert methods.RISE(model, 8)([[1.0, 2.0]], 0).relevance.shape == (1, 2)
    for wrong in ({"grid": 1}, {"shift": True}):
        with pytest.raises(ParameterError, match="another word"):
            methods.RISE(model, 8, **wrong)([[1.0, 2.0]], 0)
