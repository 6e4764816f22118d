"""Windows that hold identical numbers tie exactly, and the lowest index wins (CONV-MAX-TIES).

Written from the kind's description, without sight of the code. Weights are generic numbers, so that any order of summation that
depends on the position shows; pictures have areas in which neighbouring windows hold the same numbers. Nothing is compared with
another backend: where the winners lie follows from the picture alone, and every other cell has exactly 0.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, Node, rules
from lrp_ref import layers as L

HERE = __file__
WAYS = [(b, p) for b in lrp_ref.BACKENDS for p in ("float32", "float64")] + [(lrp_ref.BACKENDS[-1], "fast")]
ways = pytest.mark.parametrize(("backend", "precision"), WAYS, ids=["-".join(way) for way in WAYS])


def relevance(layers, x, node, backend, precision, composite=None):
    """Of `node`'s output, where a dense layer of positive weights reads what `layers` compute."""
    body = Model.sequential(layers)
    rng = np.random.default_rng(7)
    width = int(np.prod(body(x).shape[1:]))
    model = Model.sequential([*layers, L.Flatten(), L.Dense(rng.uniform(0.5, 1.5, (width, 1)))])
    choices = {"composite": composite or "epsilon_plus", "backend": backend, "precision": precision}
    return np.asarray(lrp_ref.explain(model, x, target=0, keep=(node,), **choices).at(node))


def conv(rng, *shape, **options):
    """Generic weights whose outputs are positive nearly everywhere."""
    return L.Conv(rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])), rng.uniform(2, 3, shape[0]), **options)


def assert_only_at(r, *cells):
    """Every relevant cell lies in the grid of `cells` (one set of indices for each spatial axis), and each of these has some."""
    allowed = np.zeros(r.shape[-len(cells) :], bool)
    allowed[np.ix_(*[np.asarray(c) for c in cells])] = True
    stray = np.argwhere((r != 0) & ~allowed)
    assert stray.size == 0, f"{len(stray)} cells of {r.size} have relevance and are no first of equals, such as {stray[0]}"
    assert (r[..., allowed] != 0).any()


# (upper, lower/groups, kernel), extent, options of the convolution
SHAPES = {
    "3x3 of 1": ((6, 1, 3, 3), 14, {}),
    "3x3 of 3": ((8, 3, 3, 3), 18, {}),
    "3x3 of 16": ((16, 16, 3, 3), 14, {}),
    "3x3 of 64": ((9, 64, 3, 3), 10, {}),
    "1x1 of 37": ((24, 37, 1, 1), 12, {}),
    "5x5 of 5": ((7, 5, 5, 5), 16, {}),
    "7x7 of 3, stride 2": ((12, 3, 7, 7), 27, {"stride": 2}),
    "3x3, stride 3": ((5, 11, 3, 3), 24, {"stride": 3}),
    "3x3, dilation 2": ((6, 4, 3, 3), 14, {"dilation": 2}),
    "groups of 4": ((12, 4, 3, 3), 12, {"groups": 3}),
    "depthwise": ((13, 1, 3, 3), 13, {"groups": 13}),
    "2x5": ((6, 9, 2, 5), 15, {}),
}


def uniform(rng, shape, extent, options, batch=2):
    lower = shape[1] * options.get("groups", 1)
    return np.broadcast_to(rng.uniform(0.1, 1, (batch, lower, 1, 1)), (batch, lower, extent, extent)).copy()


@ways
@pytest.mark.parametrize("name", SHAPES)
def test_uniform_pictures(name, backend, precision):
    shape, extent, options = SHAPES[name]
    rng = np.random.default_rng(len(name))
    layers = [conv(rng, *shape, **options), L.ReLU(), L.MaxPool(2)]
    r = relevance(layers, uniform(rng, shape, extent, options), "relu1", backend, precision)
    assert_only_at(r, range(0, r.shape[2] - 1, 2), range(0, r.shape[3] - 1, 2))


@ways
def test_windows_that_overlap(backend, precision):
    rng = np.random.default_rng(1)
    layers = [conv(rng, 10, 6, 3, 3), L.ReLU(), L.MaxPool(3, stride=2)]
    r = relevance(layers, uniform(rng, (10, 6), 17, {}), "relu1", backend, precision)
    assert_only_at(r, range(0, 13, 2), range(0, 13, 2))


@ways
def test_windows_that_begin_in_the_padding(backend, precision):
    rng = np.random.default_rng(2)
    layers = [conv(rng, 8, 3, 3, 3), L.ReLU(), L.MaxPool(3, stride=2, padding=1)]
    r = relevance(layers, uniform(rng, (8, 3), 15, {}), "relu1", backend, precision)
    first = [0, 1, 3, 5, 7, 9, 11]
    assert_only_at(r, first, first)


@ways
def test_one_maximum_over_everything(backend, precision):
    rng = np.random.default_rng(3)
    layers = [conv(rng, 21, 8, 3, 3), L.ReLU(), L.GlobalMaxPool()]
    r = relevance(layers, uniform(rng, (21, 8), 13, {}, batch=3), "relu1", backend, precision)
    assert_only_at(r, [0], [0])


@ways
@pytest.mark.parametrize("across", [2, 3], ids=["rows", "columns"])
def test_constant_rows_and_columns(across, backend, precision):
    """Numbers change along one axis only: along the other the first cell of each window wins."""
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 1, (2, 5, 18, 1) if across == 2 else (2, 5, 1, 18)) * np.ones((1, 1, 18, 18))
    r = relevance([conv(rng, 11, 5, 3, 3), L.ReLU(), L.MaxPool(2)], x, "relu1", backend, precision)
    every, first = range(16), range(0, 16, 2)
    assert_only_at(r, *((every, first) if across == 2 else (first, every)))


@ways
@pytest.mark.parametrize("level", [0.0, 1.0, 0.3])
def test_frames(level, backend, precision):
    """A digit on a background: windows whose receptive fields lie in the background tie."""
    rng = np.random.default_rng(5)
    x = np.full((2, 3, 22, 22), level)
    x[:, :, 9:13, 8:14] = rng.uniform(0, 1, (2, 3, 4, 6))
    r = relevance([conv(rng, 8, 3, 3, 3), L.ReLU(), L.MaxPool(2)], x, "relu1", backend, precision)
    frame = np.ones((20, 20), bool)
    frame[6:14, 6:14] = False  # whole windows of 2 × 2 that may see the digit: rows 7 to 12, columns 6 to 13
    frame[0::2, 0::2] = False
    assert (r[:, :, frame] == 0).all()
    assert (r[:, :, 0:6:2, 0::2] != 0).all()


@ways
@pytest.mark.parametrize("period", [2, 3])
def test_stripes(period, backend, precision):
    """Of a window of two periods the second repeats the first."""
    rng = np.random.default_rng(6)
    extent = 4 * period + 2
    stripes = rng.uniform(0, 1, (2, 4, 1, period))[..., np.arange(extent) % period]
    x = np.broadcast_to(stripes, (2, 4, extent, extent)).copy()
    r = relevance([conv(rng, 9, 4, 3, 3), L.ReLU(), L.MaxPool(2 * period)], x, "relu1", backend, precision)
    assert_only_at(r, range(0, 4 * period, 2 * period), [c for c in range(4 * period) if c % (2 * period) < period])


@ways
@pytest.mark.parametrize(("lower", "upper", "extent"), [(3, 16, 20), (16, 16, 16), (32, 32, 18), (64, 24, 12), (5, 40, 26)])
def test_a_padded_convolution_inside(lower, upper, extent, backend, precision):
    rng = np.random.default_rng(8)
    layers = [conv(rng, upper, lower, 3, 3, padding=1), L.ReLU(), L.MaxPool(2)]
    r = relevance(layers, uniform(rng, (upper, lower), extent, {}), "relu1", backend, precision)
    inside = np.zeros((extent, extent), bool)
    inside[2 : extent - 2, 2 : extent - 2] = True
    winners = inside.copy()
    inside[0::2, 0::2] = False
    assert (r[:, :, inside] == 0).all()
    assert (r[:, :, winners & ~inside] != 0).any()


CHAINS = {
    "two convolutions": lambda g: [conv(g, 16, 3, 3, 3), L.ReLU(), conv(g, 24, 16, 3, 3), L.ReLU()],
    "batch norm": lambda g: [
        conv(g, 12, 3, 3, 3),
        L.BatchNorm(g.normal(size=12), g.uniform(1, 2, 12), g.uniform(0.5, 1, 12), g.uniform(3, 4, 12)),
        L.ReLU(),
    ],
    "average before": lambda g: [L.AvgPool(3, stride=1), conv(g, 12, 3, 3, 3), L.ReLU()],
    "linear between": lambda g: [conv(g, 12, 3, 1, 1), conv(g, 20, 12, 3, 3), L.ReLU()],
    "sigmoid": lambda g: [conv(g, 20, 3, 3, 3), L.Sigmoid()],
}


@ways
@pytest.mark.parametrize("name", CHAINS)
def test_layers_between_the_picture_and_the_maximum(name, backend, precision):
    rng = np.random.default_rng(9)
    layers = CHAINS[name](rng)
    count = sum(isinstance(layer, (L.ReLU, L.Sigmoid)) for layer in layers)
    node = f"{type(layers[-1]).__name__.lower()}{count}"
    r = relevance([*layers, L.MaxPool(2)], uniform(rng, (12, 3), 16, {}), node, backend, precision)
    assert_only_at(r, range(0, r.shape[2] - 1, 2), range(0, r.shape[3] - 1, 2))


@ways
def test_words_that_are_repeated(backend, precision):
    """A text network: one word ten times, a convolution over three words, and the maximum over time."""
    rng = np.random.default_rng(10)
    x = np.repeat(rng.uniform(0, 1, (3, 25, 1)), 10, axis=2)
    r = relevance([conv(rng, 14, 25, 3), L.ReLU(), L.GlobalMaxPool()], x, "relu1", backend, precision)
    assert_only_at(r, [0])


@ways
def test_rows_of_a_dense_layer(backend, precision):
    """Steps with identical numbers, a dense layer for each of them, and the maximum over the steps."""
    rng = np.random.default_rng(11)
    x = np.repeat(rng.uniform(0.1, 1, (2, 1, 67)), 13, axis=1)
    layers = [L.Dense(rng.normal(size=(67, 19)), rng.uniform(9, 10, 19)), L.ReLU(), L.Transpose((0, 2, 1)), L.MaxPool(13)]
    r = relevance(layers, x, "relu1", backend, precision)
    assert_only_at(r.swapaxes(1, 2), [0])


@ways
def test_volumes(backend, precision):
    rng = np.random.default_rng(12)
    x = np.broadcast_to(rng.uniform(0, 1, (1, 2, 1, 1, 1)), (1, 2, 8, 8, 8)).copy()
    r = relevance([conv(rng, 5, 2, 3, 3, 3), L.ReLU(), L.MaxPool(2)], x, "relu1", backend, precision)
    assert_only_at(r, [0, 2, 4], [0, 2, 4], [0, 2, 4])


@ways
def test_a_transposed_convolution_repeats_itself(backend, precision):
    """Stride = kernel = 2 on a uniform picture has period 2; of each window of 4 × 4 the first 2 × 2 cells alone can win."""
    rng = np.random.default_rng(13)
    layer = L.ConvTranspose(rng.normal(size=(15, 6, 2, 2)) / 4, rng.uniform(2, 3, 6), stride=2)
    r = relevance([layer, L.ReLU(), L.MaxPool(4)], uniform(rng, (6, 15), 6, {}), "relu1", backend, precision)
    assert_only_at(r, *[[c for c in range(12) if c % 4 < 2]] * 2)


@ways
def test_a_sum_of_branches_before_the_maximum(backend, precision):
    rng = np.random.default_rng(14)
    nodes = (
        Node("left", conv(rng, 9, 7, 3, 3, padding=1), "input"),
        Node("right", conv(rng, 9, 7, 1, 1), "input"),
        Node("sum", L.Add(), ("left", "right")),
        Node("relu", L.ReLU(), "sum"),
        Node("pool", L.MaxPool(2), "relu"),
        Node("flat", L.Flatten(), "pool"),
        Node("dense", L.Dense(rng.uniform(0.5, 1.5, (9 * 36, 1))), "flat"),
    )
    x = uniform(rng, (9, 7), 12, {})
    e = lrp_ref.explain(Model(nodes), x, rule=rules.ZPlus(), keep=("relu",), target=0, backend=backend, precision=precision)
    inside = np.zeros((12, 12), bool)
    inside[2:10, 2:10] = True
    inside[0::2, 0::2] = False
    assert (np.asarray(e.at("relu"))[:, :, inside] == 0).all()


@ways
def test_equal_shares_are_equal_where_ties_are_split(backend, precision):
    """The same ties seen by the other convention: four equals of a window get a quarter each."""
    rng = np.random.default_rng(15)
    layers = [conv(rng, 8, 5, 3, 3), L.ReLU(), L.MaxPool(2)]
    composite = lrp_ref.composites.epsilon_plus().with_rules({"maxpool1": rules.WinnerTakesAll(ties="split")})
    r = relevance(layers, uniform(rng, (8, 5), 14, {}), "relu1", backend, precision, composite)
    windows = r.reshape(2, 8, 6, 2, 6, 2)
    assert (windows == windows[:, :, :, :1, :, :1]).all()
    assert (windows != 0).any()


@pytest.mark.parametrize("core", ["Haswell", "SkylakeX"])
def test_on_other_processors(core):
    """The pictures again where OpenBLAS uses another processor's kernels: in a child, since some end with SIGILL here."""
    chosen = "(stride or groups or 2x5 or rows_of or words_that or stripes) and (numpy or reference) and not on_other"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", HERE, "-k", chosen]
    # Without what the run around it asks for, such as coverage of the whole package.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {"OPENBLAS_CORETYPE": core}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode < 0:
        pytest.skip(f"this processor does not run OpenBLAS's {core} kernels: the child ended with signal {-done.returncode}")
    assert done.returncode == 0, done.stdout[-2000:]
