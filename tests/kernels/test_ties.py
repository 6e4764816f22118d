"""Windows, rows and filters that hold the same numbers have the same products, bit for bit, on any processor (CONV-MAX-TIES)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lrp_ref import BACKENDS, Composite, Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, fractions
from lrp_ref.layers import ties
from lrp_ref.propagate.plan import before_maxima

CONVOLUTIONS: dict[str, Any] = {
    "3×3": lambda w: L.Conv(w(7, 5, 3, 3)),
    "padded": lambda w: L.Conv(w(16, 5, 3, 3), padding=1),
    "padded on one side": lambda w: L.Conv(w(16, 5, 3, 3), padding=((0, 2), (1, 0))),
    "stride 2": lambda w: L.Conv(w(9, 5, 3, 3), stride=2, padding=1),
    "dilated": lambda w: L.Conv(w(9, 5, 2, 3), dilation=(2, 1)),
    "1×1": lambda w: L.Conv(w(33, 5, 1, 1)),
    "groups": lambda w: L.Conv(w(10, 1, 3, 3), groups=5),
    "depthwise": lambda w: L.Conv(w(5, 1, 3, 3), groups=5, padding=1),
    "transposed": lambda w: L.ConvTranspose(w(5, 6, 3, 3), padding=1),
    "transposed, stride 2": lambda w: L.ConvTranspose(w(5, 6, 3, 3), stride=2, padding=1, output_padding=1),
    "transposed, groups": lambda w: L.ConvTranspose(w(5, 2, 2, 2), stride=2, groups=5),
}


def weights(rng: np.random.Generator) -> Any:
    return lambda *shape: rng.normal(size=shape)


def pictures(dtype: Any) -> Array:
    """Few colours at random, a uniform one, periods of three and five, zeros of both signs; channels that differ."""
    rng = np.random.default_rng(3)
    i, j = np.indices((11, 14))
    shape = (1, 5, 11, 14)
    x = np.concatenate(
        [
            rng.integers(0, 2, (1, 1, 11, 14)) * rng.random((1, 5, 1, 1)),
            np.broadcast_to(rng.random((1, 5, 1, 1)), shape),
            rng.random((5, 3))[None, :, j % 3],
            rng.random((5, 5))[None, :, (i + 2 * j) % 5] * (j < 9),
            np.where(rng.random(shape) < 0.5, 0.0, -0.0),
        ]
    ).astype(dtype)
    x[1, 2] = rng.random((11, 14))  # one group of channels is no repetition
    return x


def seen(layer: Any, x: Array) -> Array:
    """What each output cell sees, (N, cells, groups, lower/groups·taps): every number by a product with 1 alone."""
    groups, kernel = layer.groups, layer.weight.shape[2:]
    lower, taps = layer.lower // groups, int(np.prod(kernel))
    one = np.eye(lower * taps).reshape(lower * taps, lower, *kernel)
    turned = isinstance(layer, L.ConvTranspose)
    weight = np.concatenate([one.swapaxes(0, 1) if turned else one] * groups)
    columns = type(layer)(weight, **{n: getattr(layer, n) for n in ("stride", "padding", "dilation", "groups")})
    if turned:
        columns = type(layer)(
            weight, None, layer.stride, layer.padding, layer.dilation, groups, output_padding=layer.output_padding
        )
    found = columns.forward(x) + 0
    return found.reshape(x.shape[0], groups, lower * taps, -1).transpose(0, 3, 1, 2)


def firsts(columns: Array) -> Array:
    """The first cell that sees the same, literally."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(column.tobytes(), cell) for cell, column in enumerate(columns)])


def literal(layer: Any, x: Array) -> Array:
    """(N, groups, cells)."""
    columns = seen(layer, x)
    return np.array([[firsts(columns[n, :, g]) for g in range(layer.groups)] for n in range(x.shape[0])])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_windows_that_hold_the_same_numbers_have_the_same_products(name, dtype):
    layer, x = CONVOLUTIONS[name](weights(np.random.default_rng(1))), pictures(dtype)
    origin = literal(layer, x)
    assert (origin != np.arange(origin.shape[2])).mean() > 1 / 4
    z = layer.forward(x)
    z = z.reshape(x.shape[0], layer.groups, -1, origin.shape[2])
    assert np.array_equal(z, np.take_along_axis(z, origin[:, :, None], axis=3))


def repetitions(layer: Any, x: Array) -> Array:
    out = layer.shape(x.shape)[2:]
    views = (ties.scattered if isinstance(layer, L.ConvTranspose) else ties.gathered)(layer.window, out)
    found = ties.repeats(x, layer.groups, views)
    origin = np.tile(np.arange(np.prod(out)), (x.shape[0] * layer.groups, 1))
    if found is not None:
        origin[found.rows] = found.origin
    return origin.reshape(x.shape[0], layer.groups, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_repeats_is_what_a_literal_search_finds(name, dtype):
    layer, x = CONVOLUTIONS[name](weights(np.random.default_rng(1))), pictures(dtype)
    assert np.array_equal(repetitions(layer, x), literal(layer, x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_different_numbers_that_share_a_mark_are_told_apart(dtype, monkeypatch):
    """With factors of 1 every permutation of a column has its mark: such attempts are given up."""
    own, asked = ties._factors, []

    def factors(many: int, seed: int) -> Array:
        asked.append(seed)
        return np.ones(many, np.uint64) if seed < 6 else own(many, seed)

    monkeypatch.setattr(ties, "_factors", factors)
    x = np.random.default_rng(0).permuted(np.tile(np.arange(1.0, 5.0)[None, :, None, None], (2, 1, 9, 9)), axis=1).astype(dtype)
    layer = L.Conv(np.ones((3, 4, 1, 1)))
    assert np.array_equal(repetitions(layer, x), literal(layer, x))
    assert max(asked) >= 6


def test_numbers_that_share_the_mark_of_zero_are_not_padding(monkeypatch):
    own = ties._marks
    monkeypatch.setattr(ties, "_marks", lambda bits, size, attempt: own(bits, size, attempt) * (attempt > 0))
    x = np.random.default_rng(0).random((1, 5, 6, 6))
    assert ties.repeats(x, 1, ties.gathered(L.Conv(np.ones((1, 5, 3, 3))).window, (4, 4))) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_filters_have_equal_products(dtype):
    rng = np.random.default_rng(2)
    for upper, lower, kernel in ((64, 37, 1), (50, 3, 3), (1000, 5, 1)):
        w = rng.normal(size=(upper, lower, kernel, kernel)).astype(dtype)
        w[upper // 3 :: 2] = w[0]
        w[-1, :, 0, 0] = w[0, :, 0, 0]  # the first numbers alone are equal
        z = L.Conv(w).forward(rng.random((2, lower, 9, 9)).astype(dtype))
        assert (z[:, upper // 3 :: 2] == z[:, :1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_have_equal_products(dtype):
    rng = np.random.default_rng(4)
    for rows, lower, upper in ((13, 67, 19), (31, 5, 64), (7, 300, 3)):
        x = rng.random((3, rows, lower)).astype(dtype)
        x[:, 2::3] = x[:, :1]
        z = L.Dense(rng.normal(size=(lower, upper))).forward(x)
        assert (z[:, 2::3] == z[:, :1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resized_cells_with_the_same_weights_on_the_same_numbers_are_equal(mode, dtype):
    """Three cells for one: along rows of one colour everything repeats after three."""
    x = np.random.default_rng(8).random((2, 3, 9, 1)).astype(dtype).repeat(30, axis=3)
    inner = L.Resize((3, 9, 90), mode=mode).forward(x)[..., 9:-9]
    assert np.array_equal(inner[..., 3:], inner[..., :-3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_lies_between_equal_numbers_is_that_number(dtype):
    """Weights and counts differ from cell to cell and add up to 1: the background of a picture stays one colour."""
    x = np.random.default_rng(9).random((2, 3, 1, 1)).astype(dtype).repeat(17, axis=2).repeat(16, axis=3)
    resized = [L.Resize((3, 23, 25), mode=mode, antialias=mode != "nearest") for mode in ("nearest", "linear", "cubic")]
    resized += [L.Resize((3, 7, 11), mode=mode, antialias=True) for mode in ("linear", "cubic")]
    for layer in (*resized, L.Resize((3, 9, 40), mode="cubic", exclude_outside=True), L.AdaptiveAvgPool((7, 9))):
        assert (layer.forward(x) == x[:, :, :1, :1]).all(), layer


MEANS = {
    "padded": L.AvgPool(3, 1, padding=1, count_include_pad=False),
    "one side": L.AvgPool((3, 2), (2, 1), padding=((2, 0), (0, 1)), count_include_pad=False),
    "sticking out": L.AvgPool(4, 3, ceil_mode=True),
    "far": L.AvgPool(3, 1, padding=2, dilation=2, count_include_pad=False),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", MEANS.values(), ids=MEANS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_means_of_different_counts_of_one_number_are_that_number(layer, backend, dtype):
    """A border window of AvgPool counts fewer cells: rounding made 0.1 · 9 / 9 and 0.1 · 4 / 4 differ, and a maximum chose."""
    x = np.random.default_rng(11).random((2, 5, 1, 1)).astype(dtype).repeat(18, axis=2).repeat(17, axis=3)
    x = np.ascontiguousarray(x)
    assert (layer.forward(x) == x[:, :, :1, :1]).all()
    model = Model.sequential([layer, L.MaxPool(3, 2), L.Flatten()])
    start = np.random.default_rng(12).random(model(x).shape).astype(dtype)
    exact = Explainer(model, rule=rules.Epsilon(), precision="exact")(x, start=start).relevance.astype(float)
    found = Explainer(model, rule=rules.Epsilon(), backend=backend)(x, start=start).relevance
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5 * abs(exact).max())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mean_of_no_cell_is_zero_under_a_weight_of_zero(backend):
    """zᴮ has pools whose weights are 0, and −∞ · 0 is no number."""
    layer = L.AvgPool((1, 2), padding=((0, 1), (0, 0)), count_include_pad=False)
    x = np.array([[[[0.5, -0.75]]]])
    found = Explainer(Model.sequential([layer]), rule=rules.ZBox(-3, 1), backend=backend)(x, start=np.array([[[[-1.25], [3.0]]]]))
    exact = Explainer(Model.sequential([layer]), rule=rules.ZBox(-3, 1), precision="exact")(
        x, start=np.array([[[[-1.25], [3.0]]]])
    )
    np.testing.assert_allclose(found.relevance, exact.relevance.astype(float), rtol=1e-14)


def test_means_with_padding_that_counts_are_not():
    """Zeros are part of these means."""
    x = np.full((1, 1, 5, 5), 0.1)
    layer = L.AvgPool(3, 1, padding=1)
    np.testing.assert_allclose(layer.forward(x)[0, 0, 0, :2], [0.4 / 9, 0.6 / 9], rtol=1e-15)
    layer = L.AvgPool(2, 2, padding=1, ceil_mode=True)
    np.testing.assert_allclose(layer.forward(x), layer.forward(fractions(x)).astype(float), rtol=1e-15)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_only_equal_numbers_are_taken_as_they_are(mode):
    """Exact rationals are what floats round: nothing else moves."""
    x = np.round(np.random.default_rng(10).random((1, 1, 6, 5)) * 3)
    for layer in (L.Resize((1, 11, 13), mode=mode), L.AdaptiveAvgPool((4, 3))):
        np.testing.assert_allclose(layer.forward(x), layer.forward(fractions(x)).astype(float), rtol=1e-14, atol=1e-15)


def test_a_bias_for_each_cell_is_no_part_of_a_tie():
    """Equal windows have equal products; their sums with a bias that depends on the cell differ by it."""
    rng = np.random.default_rng(5)
    bias = rng.integers(0, 9, (16, 18, 18)) / 2
    x = np.full((1, 16, 18, 18), 0.75)
    layer = L.Conv(rng.integers(-8, 9, (16, 16, 3, 3)) / 16, bias, padding=1)
    net = Model.sequential([layer, L.ReLU(), L.MaxPool(2), L.Flatten(), L.Dense(np.ones((16 * 81, 1)))])
    expected = Explainer(net, composites.uniform(rules.Zero()), backend="reference", keep="all")(x)
    for backend in BACKENDS:
        found = Explainer(net, composites.uniform(rules.Zero()), backend=backend, keep="all")(x)
        assert np.array_equal(found.prediction, expected.prediction)  # dyadic numbers: sums are exact
        assert np.array_equal(found.at("relu1") != 0, expected.at("relu1") != 0)


def test_what_knows_its_place_is_computed_directly():
    """Winograd's algorithm looks for equal windows where biases and features are those of every cell, and serves no others."""
    pytest.importorskip("lrp_ref.kernels.compiled._core")
    rng = np.random.default_rng(6)
    w = rng.normal(size=(16, 16, 3, 3))

    def label(bias: Any, rule: Any, *behind: Any) -> str:
        net = Model.sequential([L.Conv(w, bias, padding=1), L.ReLU(), *behind], domain=(0.0, 1.0), input_shape=(16, 18, 18))
        composite = Composite(((L.Conv, rule), *composites.uniform(rules.Epsilon(1e-3)).entries))
        return Explainer(net, composite, backend="compiled").plan().rows()[0][1]

    assert "F(" in label(np.ones(16), rules.Zero(), L.MaxPool(2))
    assert "F(" in label(np.ones((16, 18, 18)), rules.Zero(), L.AvgPool(2))
    assert label(np.ones((16, 18, 18)), rules.Zero(), L.MaxPool(2)).startswith("compiled, direct/F(")
    assert label(np.ones(16), rules.ZBox(), L.MaxPool(2)).startswith("compiled, direct")


def test_the_nodes_before_a_maximum():
    one = np.ones((1, 1))
    nodes = (
        Node("a", L.Dense(one), "input"),
        Node("b", L.ReLU(), "a"),
        Node("c", L.ReduceMax((1,)), "b"),
        Node("d", L.ReLU(), "a"),
        Node("e", L.Tanh(), "d"),
    )
    assert before_maxima(Model(nodes, outputs=("c", "e"))) == {"input", "a", "b"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["3×3", "1×1", "groups", "depthwise"])
def test_a_layers_own_products_do_not_depend_on_what_is_asked_for_beside_them(name, dtype):
    """CONV-OBSERVE-BITS: shares for one sign are left out where no relevance meets them; z has the same bits."""
    products = pytest.importorskip("lrp_ref.kernels.numpy.matrix_products")
    rng = np.random.default_rng(7)
    layer = CONVOLUTIONS[name](weights(rng)).astype(dtype)
    x, others = rng.random((2, 5, 40, 33)).astype(dtype), [rng.normal(size=layer.weight.shape).astype(dtype) for _ in range(3)]
    alone = products.maps(layer, x, products.stack(layer, [layer.weight]), 1)[0]
    for count in (1, 3):
        stacked = products.stack(layer, [layer.weight, *others[:count]])
        assert np.array_equal(products.maps(layer, x, stacked, 1 + count)[0], alone)
