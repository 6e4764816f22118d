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

import lrp_ref
from lrp_ref import Explainer, Explanation, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from support.one_layer import PRECISIONS, ROUNDOFF


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


def checkerboard(rng: np.random.Generator) -> Array:
    """Two colours: windows repeat along the diagonals, where a tile of Winograd's algorithm has them in different places."""
    i, j = np.indices((40, 36))
    return rng.random((1, 3, 2))[:, :, (i + j) % 2]


def stripes(rng: np.random.Generator) -> Array:
    """Slanting stripes of a period that no tile has, on the right a colour without any."""
    i, j = np.indices((40, 36))
    return np.where(j < 24, rng.random((1, 3, 5))[:, :, (2 * i + j) % 5], rng.random((1, 3, 1, 1)))


def digit(rng: np.random.Generator) -> Array:
    """Thin strokes of sixteen greys on black."""
    x = np.zeros((1, 3, 40, 36))
    row, column = 8, 14
    for _ in range(60):
        x[:, :, row : row + 2, column : column + 2] = rng.integers(1, 17) / 16
        row, column = np.clip([row + rng.integers(-1, 3), column + rng.integers(-1, 2)], 4, 30)
    return x


def photograph(rng: np.random.Generator) -> Array:
    """Smooth light with noise in it, overexposed in some places and black in others: uniform areas of any outline."""
    coarse = rng.normal(size=(1, 3, 8, 8))
    i, j = np.linspace(0, 6.9, 40), np.linspace(0, 6.9, 36)
    rest, along = (i % 1)[:, None], (j % 1)[None]
    top, bottom = (coarse[:, :, np.int64(i) + k] for k in (0, 1))
    smooth = (top * (1 - rest) + bottom * rest)[..., np.int64(j)] * (1 - along)
    smooth += (top * (1 - rest) + bottom * rest)[..., np.int64(j) + 1] * along
    return np.round(255 * np.clip(0.5 + smooth + rng.normal(size=smooth.shape) / 50, 0, 1)) / 255


def screenshot(rng: np.random.Generator) -> Array:
    """A window with a title, and the same few letters again and again."""
    x = np.full((1, 3, 40, 36), 0.9375)
    x[:, :, :6] = rng.random((1, 3, 1, 1))
    letters = rng.random((3, 5, 4)) < 0.5
    for row in range(9, 35, 7):
        for column in range(3, 31, 5):
            x[:, :, row : row + 5, column : column + 4][..., letters[rng.integers(3)]] = 0.125
    return x


PICTURES = (background, framed, rows, columns, checkerboard, stripes, digit, photograph, screenshot)


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
CASES = [(picture, POOLS[i % 2]) for i, picture in enumerate(PICTURES)] + [(checkerboard, POOLS[1]), (photograph, POOLS[0])]


@pytest.mark.parametrize(
    ("picture", "pool"), CASES, ids=[f"{picture.__name__}, {pool.kernel}×{pool.kernel}" for picture, pool in CASES]
)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_on_backgrounds_of_one_colour_the_same_cells_win(backend, precision, picture, pool):
    """CONV-MAX-TIES. The relevance at every node agrees in L1 to 1000u (measured: 170u), and what won nothing has nothing."""
    exact, found = explained(picture, pool, "reference", "float64"), explained(picture, pool, backend, precision)
    for name in ("relu2", "relu4", "input"):
        R = exact.at(name)
        assert name == "input" or not found.at(name)[R == 0].any(), name
        assert abs(found.at(name) - R).sum() <= 1000 * ROUNDOFF[precision] * abs(R).sum(), name


def bars(rng: np.random.Generator) -> Array:
    """A photograph between white bars, as on a page."""
    x = np.ones((1, 3, 40, 36))
    x[:, :, 10:30, 6:30] = photograph(rng)[:, :, 10:30, 6:30]
    return x


@cache
def branching() -> Model:
    """Fire modules (Iandola et al. 2016), maxima of overlapping windows, and one over everything."""
    rng = np.random.default_rng(3)

    def conv(lower: int, upper: int, kernel: int, **options: Any) -> L.Conv:
        w = rng.normal(size=(upper, lower, kernel, kernel)) * np.sqrt(2 / (lower * kernel**2))
        return L.Conv(np.float32(w).astype(np.float64), np.full(upper, 0.125), **options)

    def fire(name: str, below: str, lower: int, squeezed: int, upper: int) -> list[Node]:
        return [
            Node(f"{name}/squeeze", conv(lower, squeezed, 1), below),
            Node(f"{name}/narrow", L.ReLU(), f"{name}/squeeze"),
            Node(f"{name}/1×1", conv(squeezed, upper, 1), f"{name}/narrow"),
            Node(f"{name}/left", L.ReLU(), f"{name}/1×1"),
            Node(f"{name}/3×3", conv(squeezed, upper, 3, padding=1), f"{name}/narrow"),
            Node(f"{name}/right", L.ReLU(), f"{name}/3×3"),
            Node(name, L.Concat(), (f"{name}/left", f"{name}/right")),
        ]

    nodes = [
        Node("conv", conv(3, 24, 3), "input"),
        Node("relu", L.ReLU(), "conv"),
        *fire("fire1", "relu", 24, 16, 24),
        Node("pool1", L.MaxPool(3, stride=2, ceil_mode=True), "fire1"),
        *fire("fire2", "pool1", 48, 16, 32),
        Node("depthwise", conv(1, 64, 3, groups=64, padding=1), "fire2"),
        Node("last", L.ReLU(), "depthwise"),
        Node("global", L.GlobalMaxPool(), "last"),
        Node("flat", L.Flatten(), "global"),
        Node("scores", L.Dense(np.float32(rng.normal(size=(64, 3))).astype(np.float64)), "flat"),
    ]
    return Model(nodes, input_shape=(3, 40, 36))


@cache
def branched(picture: Any, backend: str, precision: str) -> Explanation:
    # With seed 2 two cells of `digit` that differ in float64 by 3e-7 of their value meet in a window of fire1: no tie of the
    # picture, but without FMA `fast` rounds them the other way.
    x = np.float32(picture(np.random.default_rng(4))).astype(np.float64)
    composite = composites.uniform(rules.Epsilon(1e-3))
    return Explainer(branching(), composite, keep="all", backend=backend, precision=precision)(x, 1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("picture", [bars, digit, screenshot, checkerboard], ids=lambda picture: picture.__name__)
def test_branches_that_meet_before_a_maximum(backend, precision, picture):
    exact, found = branched(picture, "reference", "float64"), branched(picture, backend, precision)
    for name in ("last", "fire1", "input"):
        R = exact.at(name)
        assert name == "input" or not found.at(name)[R == 0].any(), name
        assert abs(found.at(name) - R).sum() <= 1000 * ROUNDOFF[precision] * abs(R).sum(), name
