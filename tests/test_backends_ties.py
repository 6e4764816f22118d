"""Ties stay ties: equal windows beside one another get equal numbers, so that the same cells win.

Backgrounds of one colour, frames and stripes are common, and where a maximum has ties the first cell wins. A backend that gives
equal windows numbers that differ in the last bit gives the relevance of whole backgrounds to other cells. What comes
of it is not rounding: in L1 half of the relevance moves.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from one_layer import PRECISIONS, ROUNDOFF

import lrp_ref
from lrp_ref import Explainer, Explanation, Model, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array


def background(rng: np.random.Generator) -> Array:
    """Something in the middle of white."""
    x = np.ones((1, 3, 40, 36))
    x[:, :, 12:26, 10:23] = rng.random((1, 3, 14, 13))
    return x


def framed(rng: np.random.Generator) -> Array:
    """A picture between black bars."""
    x = rng.random((1, 3, 40, 36))
    x[:, :, :12] = x[:, :, 30:] = 0.0625
    return x


def rows(rng: np.random.Generator) -> Array:
    """Every row of one colour."""
    return np.repeat(rng.random((1, 3, 40, 1)), 36, axis=3)


def columns(rng: np.random.Generator) -> Array:
    return np.repeat(rng.random((1, 3, 1, 36)), 40, axis=2)


PICTURES = (background, framed, rows, columns)


@cache
def network(pool: L.MaxPool) -> Model:
    """Two blocks of two convolutions with a maximum behind, wide enough for every way to compute them."""
    rng = np.random.default_rng(1)

    def weights(*shape: int) -> Array:
        return np.float32(rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float64)

    def conv(lower: int, upper: int) -> list[Any]:
        return [L.Conv(weights(upper, lower, 3, 3), weights(upper) / 8, padding=1), L.ReLU()]

    blocks = [*conv(3, 16), *conv(16, 16), pool, *conv(16, 32), *conv(32, 16), pool]
    top = Model.sequential(blocks, input_shape=(3, 40, 36))
    sizes = top.shapes({"input": (1, 3, 40, 36)})[top.outputs[0]]
    return Model.sequential([*blocks, L.Flatten(), L.Dense(weights(int(np.prod(sizes[1:])), 3))])


@cache
def explained(picture: Any, pool: L.MaxPool, backend: str, precision: str) -> Explanation:
    x = np.float32(picture(np.random.default_rng(2))).astype(np.float64)
    composite = composites.uniform(rules.Epsilon(1e-3))
    return Explainer(network(pool), composite, keep="all", backend=backend, precision=precision)(x, 1)


POOLS = (L.MaxPool(2), L.MaxPool(3, stride=2, padding=1))
BROKEN = [("compiled", "float64"), ("compiled", "fast")]
LARGE_TILES = "F(4×4) gives equal windows numbers that differ in the last bits: ties of maxima are lost"


@pytest.mark.parametrize("pool", POOLS, ids=("2×2", "3×3 stride 2"))
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.__name__)
@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        pytest.param(b, p, marks=[pytest.mark.xfail(reason=LARGE_TILES, strict=True)] if (b, p) in BROKEN else [])
        for b in lrp_ref.BACKENDS
        for p in PRECISIONS
    ],
)
def test_on_backgrounds_of_one_colour_the_same_cells_win(backend, precision, picture, pool):
    """CONV-MAX-TIES. The relevance at every node agrees in L1 to 1000u (measured: 170u), and what won nothing has nothing."""
    exact, found = explained(picture, pool, "reference", "float64"), explained(picture, pool, backend, precision)
    for name in ("relu2", "relu4", "input"):
        R = exact.at(name)
        assert name == "input" or not found.at(name)[R == 0].any(), name
        assert abs(found.at(name) - R).sum() <= 1000 * ROUNDOFF[precision] * abs(R).sum(), name
