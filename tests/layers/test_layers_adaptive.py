"""Adaptive pooling against literal windows, and its maps against each other."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import errors, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions


@st.composite
def cases(draw):
    dims = draw(st.integers(1, 3))
    spatial = tuple(draw(st.integers(1, 5)) for _ in range(dims))
    size = draw(st.one_of(st.integers(1, 4), st.tuples(*(st.integers(1, 4) for _ in range(dims)))))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a = fractions(random.integers(-8, 8, size=(draw(st.integers(1, 2)), 2, *spatial))) / Fraction(4)
    return size, a


def windows(size, spatial):
    """For each output cell the input cells that it sees: PyTorch's rule, start ⌊i·n/m⌋, end ⌈(i+1)·n/m⌉."""
    sizes = (size,) * len(spatial) if isinstance(size, int) else size
    for out in itertools.product(*(range(m) for m in sizes)):
        ranges = [
            range(math.floor(Fraction(i * n, m)), math.ceil(Fraction((i + 1) * n, m)))
            for i, n, m in zip(out, spatial, sizes, strict=True)
        ]
        yield out, list(itertools.product(*ranges))


@given(cases())
def test_forward_is_the_literal_loop(case):
    size, a = case
    mean, top = L.AdaptiveAvgPool(size), L.AdaptiveMaxPool(size)
    averaged, largest = mean.forward(a), top.forward(a)
    assert averaged.shape == mean.shape(a.shape) == largest.shape
    for n, c in np.ndindex(*a.shape[:2]):
        for out, cells in windows(size, a.shape[2:]):
            seen = [a[(n, c, *cell)] for cell in cells]
            assert averaged[(n, c, *out)] == sum(seen) / Fraction(len(seen))
            assert largest[(n, c, *out)] == max(seen)


@given(cases(), st.integers(0, 2**32 - 1))
def test_maps_are_each_others_transpose(case, seed):
    size, a = case
    layer = L.AdaptiveAvgPool(size)
    s = fractions(np.random.default_rng(seed).integers(-5, 5, size=layer.shape(a.shape)))
    weight = fractions([3])
    assert (layer.map(a, weight) * s).sum() == (a * layer.adjoint(s, weight, a.shape)).sum()
    cells, _ = L.AdaptiveMaxPool(size).cells(a)
    r = fractions(np.random.default_rng(seed).integers(-5, 5, size=cells.shape))
    exist = np.broadcast_to(L.AdaptiveMaxPool(size).cells(a)[1], cells.shape)
    r = np.where(exist, r, Fraction(0))
    assert (cells * r).sum() == (a * L.AdaptiveMaxPool(size).spread(r, a.shape)).sum()


@given(cases())
def test_winner_takes_all_is_the_first_largest_cell(case):
    size, a = case
    layer = L.AdaptiveMaxPool(size)
    output = layer.forward(a)
    relevance = fractions(np.arange(1, output.size + 1).reshape(output.shape))
    (lower,), booking = rules.WinnerTakesAll().propagate(layer, (a,), output, relevance)
    expected = np.full(a.shape, Fraction(0), dtype=object)
    for n, c in np.ndindex(*a.shape[:2]):
        for out, cells in windows(size, a.shape[2:]):
            winner = max(cells, key=lambda cell: a[(n, c, *cell)])  # max keeps the first of equals
            expected[(n, c, *winner)] += relevance[(n, c, *out)]
    assert (lower == expected).all()
    assert not booking.rounding.any()


@given(cases())
def test_batch_is_one_by_one_bit_for_bit(case):
    size, a = case
    x = a.astype(np.float64) / 3
    for layer in (L.AdaptiveAvgPool(size), L.AdaptiveMaxPool(size)):
        whole = layer.forward(x)
        assert all(layer.forward(x[n : n + 1]).tobytes() == whole[n : n + 1].tobytes() for n in range(len(x)))


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("composite", ["epsilon_plus", "lrp_overview", "deep_taylor"])
def test_presets_serve_them(backend, composite):
    random = np.random.default_rng(0)
    model = lrp_ref.Model.sequential(
        [
            L.Conv(random.normal(size=(3, 1, 3, 3)), padding=1),
            L.ReLU(),
            L.AdaptiveMaxPool(4),
            L.AdaptiveAvgPool((2, 3)),
            L.Flatten(),
            L.Dense(random.normal(size=(18, 2))),
        ],
        domain=(-1, 1),
    )
    x = random.uniform(-1, 1, size=(2, 1, 7, 5))
    explained = lrp_ref.explain(model, x, composite=composite, backend=backend, ledger=True, allow_negative=True)
    accounts = explained.ledger
    bound = 1e-12 * sum(entry.booking.turnover for entry in accounts)
    assert (abs(accounts.rounding) <= bound).all()


def test_npz_round_trip(tmp_path):
    model = lrp_ref.Model.sequential([L.AdaptiveAvgPool((2, 1)), L.AdaptiveMaxPool(1)])
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 4))
    assert (lrp_ref.load(lrp_ref.save(model, tmp_path / "m.npz"))(x) == model(x)).all()


@pytest.mark.parametrize("kind", [L.AdaptiveAvgPool, L.AdaptiveMaxPool])
def test_refusals(kind):
    with pytest.raises(errors.ParameterError, match="size must be at least 1"):
        kind(0)
    with pytest.raises(errors.ParameterError, match="1 to 3 ints"):
        kind((1, 1, 1, 1))
    with pytest.raises(errors.ShapeError, match=r"\(N, C, spatial, spatial\)"):
        kind((2, 2)).forward(np.ones((1, 1, 3)))
    with pytest.raises(errors.ShapeError, match="nothing to pool"):
        kind(2).forward(np.ones((1, 1, 0)))
