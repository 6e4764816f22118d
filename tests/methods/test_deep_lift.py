"""DeepLIFT: worked numbers, completeness, literal definitions, cells against their graphs, what is refused."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrp_ref import BACKENDS, Model, Node, zoo
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import LrpError, ParameterError, RuleError, ShapeError, UnknownNameError
from lrp_ref.methods import DeepLift, IntegratedGradients, Shapley

HALF = Fraction(1, 2)
N1 = Model.sequential(
    [
        L.Dense(fractions([[2, -1, 1], [-1, 1, 1]]), fractions([1, 0, -1])),
        L.ReLU(),
        L.Dense(fractions([[1], [-2], [3]]), fractions([HALF])),
    ]
)
# papers.md §2.0: max(0, ½ (max(0, x1 − x2) + max(0, x2 − x1) + max(0, x1 + x2))), which is max(x1, x2) for x ≥ 0
MAX = Model.sequential(
    [L.Dense(fractions([[1, -1, 1], [-1, 1, 1]])), L.ReLU(), L.Dense(fractions([[HALF], [HALF], [HALF]])), L.ReLU()]
)
PRODUCT = Model(
    (
        Node("first", L.Dense(fractions([[1], [0]]), fractions([-1])), ("input",)),
        Node("second", L.Dense(fractions([[0], [1]])), ("input",)),
        Node("relu1", L.ReLU(), ("first",)),
        Node("relu2", L.ReLU(), ("second",)),
        Node("product", L.Multiply(), ("relu1", "relu2")),
    )
)


# --- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_of_n1(backend: str) -> None:
    """papers.md §2.4: (27/5, −2/5), which adds up to 13/2 − 3/2."""
    e = DeepLift(N1)(fractions([[1, 4]]))
    assert e.relevance.tolist() == [[Fraction(27, 5), Fraction(-2, 5)]]
    assert (e.shared.tolist(), e.residual.tolist()) == ([5], [0])
    floats = DeepLift(N1.astype(np.float64), backend=backend)(np.array([[1.0, 4.0]])).relevance
    np.testing.assert_allclose(floats, [[5.4, -0.4]], rtol=1e-14)


def test_numbers_of_the_max_network() -> None:
    """papers.md §2.6: Rescale gives all to the larger, RevealCancel (x1 − x2/2, x2/2), as Shapley, no 29/20."""
    x = fractions([[2, 1], [3, 1], [1, 1], [1, 2]])
    assert DeepLift(MAX)(x).relevance[[0, 1, 3]].tolist() == [[2, 0], [3, 0], [0, 2]]
    revealed = DeepLift(MAX, rule="reveal-cancel")(x)
    assert revealed.relevance.tolist() == [[3 * HALF, HALF], [5 * HALF, HALF], [HALF, HALF], [HALF, 3 * HALF]]
    assert revealed.relevance.tolist() == Shapley(MAX)(x).relevance.tolist()
    assert revealed.backend == "reference"


def test_numbers_of_a_product() -> None:
    """papers.md §2.14: ReLU(x1 − 1) ReLU(x2) at (2, 1): (1, 1) by Table 9.1, which adds up to 2; (½, ½) by the midpoint."""
    x = fractions([[2, 1]])
    assert DeepLift(PRODUCT, products="gradient")(x).relevance.tolist() == [[1, 1]]
    e = DeepLift(PRODUCT)(x)
    assert e.relevance.tolist() == [[HALF, HALF]]
    assert e.residual.tolist() == [0]


def test_numbers_of_a_root() -> None:
    """papers.md §2.14: x1 + √x2 at (4, 4), baseline 0: (4, 2), though the slope of the root at 0 is infinite."""
    model = Model((Node("root", L.Sqrt(), ("b",)), Node("sum", L.Add(), ("a", "root"))), inputs=("a", "b"))
    e = DeepLift(model)({"a": np.array([[4.0]]), "b": np.array([[4.0]])}, 0)
    assert [e.at(name).tolist() for name in "ab"] == [[[4.0]], [[2.0]]]


def test_overlapping_maxima_add_up() -> None:
    """CONV-DEEPLIFT-MAX: one cell wins all three windows of three, 3 in all; an assignment would leave 1."""
    model = Model.sequential([L.MaxPool(3, 1), L.Flatten(), L.Dense(fractions([[1], [1], [1]]))])
    e = DeepLift(model)(fractions([[[0, 0, 1, 0, 0]]]))
    assert e.relevance.tolist() == [[[0, 0, 3, 0, 0]]]


def test_of_a_maximum_the_cell_that_wins_where_it_is_larger_takes_the_difference() -> None:
    """(1, 0) against (0, 3): the maximum falls by 2, which the reference's winner takes, −2 of −3; the other takes nothing."""
    model = Model.sequential([L.MaxPool(2), L.Flatten()]).astype(object)
    e = DeepLift(model, baseline=fractions([[0, 3]]))(fractions([[[1, 0]]]))
    assert e.relevance.tolist() == [[[0, -2]]]
    even = DeepLift(model, baseline=fractions([[0, 1]]))(fractions([[[1, 0]]]))
    assert even.relevance.tolist() == [[[0, 0]]]  # the slope times the difference would give 1


@pytest.mark.parametrize(("layer", "numbers"), [(L.Maximum(), ([[0]], [[-2]])), (L.Minimum(), ([[0]], [[0]]))])
def test_maxima_and_minima_of_two_inputs(layer: L.Layer, numbers: Any) -> None:
    """max(1, 0) − max(0, 3) = −2 and min(1, 0) − min(0, 3) = 0."""
    model = Model((Node("choice", layer, ("a", "b")),), inputs=("a", "b")).astype(object)
    e = DeepLift(model, baseline={"a": fractions([0]), "b": fractions([3])})({"a": fractions([[1]]), "b": fractions([[0]])}, 0)
    assert (e.at("a").tolist(), e.at("b").tolist()) == numbers


def test_of_a_minimum_the_input_that_wins_where_it_is_smaller_takes_the_difference() -> None:
    """min(2, 5) − min(4, 1) = 1: the reference's winner is the smaller one, and takes 1 of its 4; the other would lose −2."""
    model = Model((Node("choice", L.Minimum(), ("a", "b")),), inputs=("a", "b")).astype(object)
    e = DeepLift(model, baseline={"a": fractions([4]), "b": fractions([1])})({"a": fractions([[2]]), "b": fractions([[5]])}, 0)
    assert (e.at("a").tolist(), e.at("b").tolist()) == ([[0]], [[1]])


def test_a_winner_that_does_not_change_hands_on_what_cancels_below() -> None:
    """max(x1 − x2, −5) at (1, 1) against (0, 0): no difference, (1, −1) below it."""
    model = Model.sequential(
        [L.Dense(fractions([[1, 0], [-1, 0]]), fractions([0, -5])), L.Reshape((1, 2)), L.MaxPool(2), L.Flatten()]
    )
    assert DeepLift(model)(fractions([[1, 1]])).relevance.tolist() == [[1, -1]]


def test_a_unit_that_does_not_change_takes_the_mean_of_both_multipliers() -> None:
    """CONV-DEEPLIFT-SIGNS: h1 = ReLU(x1 − x2 + 1) stays 1 at (1, 1); z = h1 + 2 x1 − 3 x2 from 1 has Δz⁺ = 2 and Δz⁻ = −3.

    Δy⁺ = ½ (3 − 1 + 0 − 0) = 1 and Δy⁻ = ½ (0 − 1 + 0 − 3) = −2, so m⁺ = ½, m⁻ = 2/3, their mean 7/12:
    R = (7/12 + 1, −7/12 − 2), which adds up to −1.
    """
    first = L.Dense(fractions([[1, 1, 0], [-1, 0, 1]]), fractions([1, 0, 0]))
    model = Model.sequential([first, L.ReLU(), L.Dense(fractions([[1], [2], [-3]])), L.ReLU()])
    e = DeepLift(model, rule="reveal-cancel")(fractions([[1, 1]]))
    assert e.relevance.tolist() == [[Fraction(19, 12), Fraction(-31, 12)]]


def test_contributions_are_told_apart_through_layers_that_move_numbers() -> None:
    """A reshape and a concatenation between the sums and their ReLU change nothing."""
    first, _, second, last = (node.layer for node in MAX.nodes)
    nodes = (
        Node("sums", first, ("input",)),
        Node("column", L.Reshape((3, 1)), ("sums",)),
        Node("again", L.Dense(first.weight), ("input",)),
        Node("column2", L.Reshape((3, 1)), ("again",)),
        Node("beside", L.Concat(2, 2), ("column", "column2")),
        Node("relu", L.ReLU(), ("beside",)),
        Node("flat", L.Flatten(), ("relu",)),
        Node("half", L.Dense(np.repeat(second.weight / 2, 2, axis=0)), ("flat",)),
        Node("last", last, ("half",)),
    )
    e = DeepLift(Model(nodes), rule="reveal-cancel")(fractions([[2, 1], [1, 3]]))
    assert e.relevance.tolist() == [[3 * HALF, HALF], [HALF, 5 * HALF]]


def test_quotients_are_products_with_a_reciprocal() -> None:
    """a/b at (6, 3), baseline (2, 1): Δ = 0 = ½(1/3 + 1)·4 − ½(6 + 2)·(1 − 1/3) = 8/3 − 8/3."""
    model = Model((Node("quotient", L.Divide(), ("a", "b")),), inputs=("a", "b")).astype(object)
    e = DeepLift(model, baseline={"a": fractions([2]), "b": fractions([1])})({"a": fractions([[6]]), "b": fractions([[3]])}, 0)
    assert (e.at("a").tolist(), e.at("b").tolist()) == ([[Fraction(8, 3)]], [[Fraction(-8, 3)]])


# --- the definition in literal loops -----------------------------------------------------------------------------------


def by_loops(weights: list[Any], biases: list[Any], x: list[Any], reference: list[Any], rule: str) -> list[Any]:
    """The contributions of a ReLU network with one linear output, in fractions, from the formulas."""

    def run(a: list[Any]) -> tuple[list[list[Any]], list[list[Any]]]:
        inputs, sums = [], []
        for index, (w, b) in enumerate(zip(weights, biases, strict=True)):
            inputs.append(a)
            z = [sum(a[j] * w[j][k] for j in range(len(a))) + b[k] for k in range(len(b))]
            sums.append(z)
            a = z if index == len(weights) - 1 else [max(v, 0) for v in z]
        return inputs, sums

    (a, z), (a_ref, z_ref) = run(x), run(reference)
    plus = minus = [Fraction(1)] * len(biases[-1])
    for layer in reversed(range(len(weights))):
        delta = [p - q for p, q in zip(a[layer], a_ref[layer], strict=True)]
        m = []
        for j, d in enumerate(delta):
            total = Fraction(0)
            for k in range(len(plus)):
                part = weights[layer][j][k] * d
                taken = plus[k] if part > 0 else minus[k] if part < 0 else (plus[k] + minus[k]) / 2
                total += weights[layer][j][k] * taken
            m.append(total)
        if not layer:
            return [one * d for one, d in zip(m, delta, strict=True)]
        plus, minus = [], []
        for k, one in enumerate(m):
            low, high = z_ref[layer - 1][k], z[layer - 1][k]
            w, d_in = weights[layer - 1], [p - q for p, q in zip(a[layer - 1], a_ref[layer - 1], strict=True)]
            parts = [w[j][k] * d_in[j] for j in range(len(d_in))]
            slope = Fraction(int(high > 0))
            if rule == "rescale":
                ratio = (max(high, 0) - max(low, 0)) / (high - low) if high != low else slope
                plus.append(one * ratio)
                minus.append(one * ratio)
                continue
            up, down = sum(p for p in parts if p > 0), sum(p for p in parts if p < 0)
            f = [max(low + u + v, Fraction(0)) for u, v in ((0, 0), (up, 0), (0, down), (up, down))]
            plus.append(one * ((f[1] - f[0] + f[3] - f[2]) / 2 / up if up else slope))
            minus.append(one * ((f[2] - f[0] + f[3] - f[1]) / 2 / down if down else slope))
    raise AssertionError


ENTRY = st.integers(-2, 2)


@st.composite
def stacks(draw: st.DrawFn) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    sizes = draw(st.sampled_from([(2, 3, 1), (3, 2, 2, 1), (2, 2, 3, 1)]))
    pairs = list(pairwise(sizes))
    weights = [[[Fraction(draw(ENTRY)) for _ in range(n)] for _ in range(m)] for m, n in pairs]
    biases = [[Fraction(draw(ENTRY)) for _ in range(n)] for _, n in pairs]
    x, reference = ([Fraction(draw(ENTRY)) for _ in range(sizes[0])] for _ in range(2))
    return weights, biases, x, reference


@settings(max_examples=40)
@given(stacks(), st.sampled_from(["rescale", "reveal-cancel"]))
def test_the_definition_in_loops(stack: tuple[list[Any], list[Any], list[Any], list[Any]], rule: str) -> None:
    weights, biases, x, reference = stack
    layers: list[L.Layer] = []
    for w, b in zip(weights, biases, strict=True):
        layers += [L.Dense(fractions(w), fractions(b)), L.ReLU()]
    e = DeepLift(Model.sequential(layers[:-1]), baseline=fractions(reference), rule=rule)(fractions([x]))
    assert e.relevance[0].tolist() == by_loops(weights, biases, x, reference, rule)
    assert e.residual.tolist() == [0]


# --- completeness ------------------------------------------------------------------------------------------------------


def image_network(seed: int) -> Model:
    """Convolutions, overlapping maxima, averages, a branch, products, a maximum of two, a concatenation, a PReLU."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return fractions(rng.integers(-3, 4, shape))

    return Model(
        (
            Node("conv1", L.Conv(draw(3, 2, 2, 2), draw(3)), ("input",)),
            Node("relu1", L.ReLU(), ("conv1",)),
            Node("pool", L.MaxPool(2, 1), ("relu1",)),
            Node("mean", L.AvgPool(2, 1), ("relu1",)),
            Node("sum", L.Add(), ("pool", "mean")),
            Node("leaky", L.LeakyReLU(fractions(Fraction(1, 4)).item()), ("sum",)),
            Node("product", L.Multiply(), ("leaky", "pool")),
            Node("largest", L.Maximum(), ("leaky", "mean")),
            Node("beside", L.Concat(2), ("product", "largest")),
            Node("flat", L.Flatten(), ("beside",)),
            Node("dense1", L.Dense(draw(24, 3), draw(3)), ("flat",)),
            Node("abs", L.Abs(), ("dense1",)),
            Node("dense2", L.Dense(draw(3, 2)), ("abs",)),
        )
    )


@pytest.mark.parametrize(("seed", "rule"), list(product(range(3), ["rescale", "reveal-cancel"])))
def test_completeness_is_exact_on_rationals(seed: int, rule: str) -> None:
    rng = np.random.default_rng(seed + 100)
    x, baseline = (fractions(rng.integers(-3, 4, (2, 2, 4, 4))) for _ in range(2))
    e = DeepLift(image_network(seed), baseline=baseline, rule=rule)(x, "all")
    assert (e.residual == 0).all()
    assert e.total.tolist() == (image_network(seed)(x) - image_network(seed)(baseline)).tolist()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", ["rescale", "reveal-cancel", {"abs": "reveal-cancel"}])
def test_backends_bits_and_targets(backend: str, rule: Any) -> None:
    model = image_network(5).astype(np.float64)
    rng = np.random.default_rng(7)
    x = rng.integers(-3, 4, (3, 2, 4, 4)) / 2
    method = DeepLift(model, baseline=0.5, rule=rule, backend=backend)
    whole = method(x, "all")
    exact = DeepLift(image_network(5), baseline=0.5, rule=rule)(fractions(x), "all")
    np.testing.assert_allclose(whole.relevance, exact.relevance.astype(float), rtol=1e-12, atol=1e-10)
    for i in range(3):
        assert np.array_equal(method(x[i : i + 1], "all").relevance[0], whole.relevance[i])
    np.testing.assert_allclose(method(x, 1, contrast=0).relevance, whole.relevance[:, 1] - whole.relevance[:, 0], atol=1e-10)
    assert np.array_equal(method(x, 1).relevance, whole.relevance[:, 1])
    assert method(x[:0]).relevance.shape == (0, 2, 4, 4)


# --- equivalences --------------------------------------------------------------------------------------------------------


def test_of_one_hidden_layer_it_is_integrated_gradients() -> None:
    """papers.md §2.4: the same baseline, Rescale, a linear output, Δz ≠ 0."""
    x = fractions([[1, 4], [3, -1], [-2, 5]])
    assert DeepLift(N1)(x).relevance.tolist() == IntegratedGradients(N1, exact=True)(x).relevance.tolist()


def test_of_two_hidden_layers_it_is_not() -> None:
    model = Model.sequential([N1["dense1"].layer, L.ReLU(), L.Dense(fractions([[1, 1], [-2, 1], [1, -1]]), fractions([1, 2]))])
    model = Model.sequential([*(node.layer for node in model.nodes), L.ReLU(), L.Dense(fractions([[1], [1]]))])
    x = fractions([[1, 4]])
    lift, path = DeepLift(model)(x), IntegratedGradients(model, exact=True)(x)
    assert lift.relevance.tolist() != path.relevance.tolist()
    assert lift.total.tolist() == path.total.tolist()


def test_where_nothing_changes_it_has_the_slope() -> None:
    """CONV-DEEPLIFT-ZERO: ReLU(x1 − x2) at (2, 2) against (1, 1): Δz = 0, slope 1 at z > 0, 0 at the kink."""
    for bias, slope in ((1, 1), (0, 0)):
        model = Model.sequential([L.Dense(fractions([[1], [-1]]), fractions([bias])), L.ReLU()])
        e = DeepLift(model, baseline=fractions([1, 1]))(fractions([[2, 2]]))
        assert e.relevance.tolist() == [[slope, -slope]]


def test_a_difference_of_rounding_size_is_no_noise() -> None:
    """CONV-DEEPLIFT-ZERO: Δz = 3e-16 at tanh(0.5); Δy/Δz would be off by tens of percent, the slope is right to 1e-15."""
    model = Model.sequential([L.Dense([[1.0], [-1.0]], [0.5]), L.Tanh()])
    x, baseline = np.array([[1.0, 1.0 - 2.0**-52]]), np.zeros(2)
    found = DeepLift(model, baseline=baseline)(x).relevance
    np.testing.assert_allclose(found, [[1 - np.tanh(0.5) ** 2, -(1 - np.tanh(0.5) ** 2)]], rtol=1e-12)


# --- recurrent layers ----------------------------------------------------------------------------------------------------


def lstm_graph(weight: Any, recurrent: Any, bias: Any, gate: L.Layer, squash: L.Layer) -> Model:
    """Two steps of an LSTM as a graph of dense layers, activations, sums and products; gates i, f, o, g."""
    size, zero = recurrent.shape[0], recurrent[0, 0] * 0
    nodes = [Node("h0", L.Dense(weight[:, :size] * 0), ("x1",)), Node("c0", L.Dense(weight[:, :size] * 0), ("x1",))]
    for t in (1, 2):
        for k, name in enumerate("ifog"):
            part = slice(k * size, (k + 1) * size)
            nodes += [
                Node(f"{name}x{t}", L.Dense(weight[:, part], bias[part]), (f"x{t}",)),
                Node(f"{name}h{t}", L.Dense(recurrent[:, part]), (f"h{t - 1}",)),
                Node(f"{name}z{t}", L.Add(), (f"{name}x{t}", f"{name}h{t}")),
                Node(f"{name}{t}", squash if name == "g" else gate, (f"{name}z{t}",)),
            ]
        nodes += [
            Node(f"new{t}", L.Multiply(), (f"i{t}", f"g{t}")),
            Node(f"old{t}", L.Multiply(), (f"f{t}", f"c{t - 1}")),
            Node(f"c{t}", L.Add(), (f"old{t}", f"new{t}")),
            Node(f"s{t}", squash, (f"c{t}",)),
            Node(f"h{t}", L.Multiply(), (f"o{t}", f"s{t}")),
        ]
    assert zero == 0
    return Model(tuple(nodes), inputs=("x1", "x2"), outputs=("h2",))


def test_an_lstm_is_its_graph_and_complete_on_rationals() -> None:
    rng = np.random.default_rng(3)
    weight, recurrent, bias = (fractions(rng.integers(-3, 4, shape)) / 4 for shape in ((3, 8), (2, 8), (8,)))
    options = {"gate_activation": "hard_sigmoid", "activation": "softsign", "state_activation": "softsign"}
    cell = Model.sequential([L.LSTM(weight, recurrent, bias, **options)])
    x, baseline = (fractions(rng.integers(-3, 4, (2, 2, 3))) for _ in range(2))
    e = DeepLift(cell, baseline=baseline)(x, "all")
    assert (e.residual == 0).all()
    graph = lstm_graph(weight, recurrent, bias, L.HardSigmoid(0.2, 0.5), L.Softsign())
    parts = DeepLift(graph, baseline={"x1": baseline[:, 0], "x2": baseline[:, 1]})({"x1": x[:, 0], "x2": x[:, 1]}, "all")
    assert e.relevance.tolist() == np.stack([parts.at("x1"), parts.at("x2")], axis=2).tolist()


@pytest.mark.parametrize(
    "layer",
    [
        lambda w: L.LSTM(w(2, 4, 12), w(2, 3, 12), w(2, 12), direction="bidirectional", returns="all", peepholes=w(2, 9)),
        lambda w: L.LSTM.friendly(w(4, 3), w(3, 6), w(9), gates="io"),
        lambda w: L.LSTM(w(4, 12), w(3, 12), w(12), direction="reverse", returns="cell"),
        lambda w: L.GRU(w(4, 9), w(3, 9), w(9), bias_recurrent=w(3), linear_before_reset=True),
        lambda w: L.GRU(w(4, 9), w(3, 9), w(9)),
        lambda w: L.RNN(w(4, 3), w(3, 3), w(3), returns="all"),
    ],
)
def test_cells_are_complete(layer: Any) -> None:
    rng = np.random.default_rng(11)
    model = Model.sequential([layer(lambda *shape: rng.normal(size=shape))])
    x, baseline = rng.normal(size=(2, 2, 5, 4))
    e = DeepLift(model, baseline=baseline)(x, 0)
    np.testing.assert_allclose(e.residual, 0, atol=1e-13)
    assert abs(e.shared).min() > 1e-3


def test_lengths_must_be_the_same() -> None:
    rng = np.random.default_rng(2)
    layer = L.LSTM(rng.normal(size=(2, 4)), rng.normal(size=(1, 4)), reads=("lengths",))
    model = Model((Node("lstm", layer, ("input", "lengths")),), inputs=("input", "lengths"))
    inputs = {"input": rng.normal(size=(2, 3, 2)), "lengths": np.array([2.0, 3.0])}
    e = DeepLift(model, baseline={"input": 0, "lengths": [2.0, 3.0]})(inputs, 0)
    np.testing.assert_allclose(e.residual, 0, atol=1e-14)
    assert not e.at("input")[0, 2].any()
    with pytest.raises(RuleError, match="differ in length"):
        DeepLift(model, baseline={"input": 0, "lengths": [3.0, 3.0]})(inputs, 0)


def test_words_get_the_sum_over_their_vectors() -> None:
    model = zoo.load("sentences").astype(np.float64)
    x = np.array([[5.0, 7.0, 9.0, 2.0]])
    e = DeepLift(model, baseline=1.0)(x)
    assert e.relevance.shape == x.shape
    np.testing.assert_allclose(e.residual, 0, atol=1e-12)
    vectors = model["embedding1"].layer.weight
    below = Model.sequential([node.layer for node in model.nodes[1:]])
    inner = DeepLift(below, baseline=np.repeat(vectors[1:2], 4, axis=0))(vectors[x.astype(int)])
    np.testing.assert_allclose(e.relevance, inner.relevance.sum(axis=2), atol=1e-12)


# --- what is refused -------------------------------------------------------------------------------------------------------


def small(*layers: L.Layer) -> Model:
    return Model.sequential([L.Dense(np.eye(3)), *layers])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DeepLift(small(L.LayerNorm(1), L.Dense(np.eye(3)))), RuleError, "no multipliers of node 'layernorm1'"),
        (lambda: DeepLift(small(L.Softmax(), L.Dense(np.eye(3)))), RuleError, "no multipliers of node 'softmax1'"),
        (lambda: DeepLift(small(L.Softmax()), head="probability"), RuleError, "no multipliers of node 'softmax1'"),
        (lambda: DeepLift(small(L.Softmax()), head="log-odds"), ParameterError, "head='logit'"),
        (lambda: DeepLift(small(), rule="linear"), UnknownNameError, "unknown rule of DeepLift 'linear'"),
        (lambda: DeepLift(small(), products="half"), UnknownNameError, "unknown products"),
        (lambda: DeepLift(small(), rule={"relu": "rescale"}), UnknownNameError, "unknown node 'relu'"),
        (lambda: DeepLift(small(), rule={"dense1": "reveal-cancel"}), RuleError, "functions of each element"),
        (
            lambda: DeepLift(Model.sequential([L.RNN(np.eye(2), np.eye(2))]), rule="reveal-cancel"),
            RuleError,
            "RevealCancel is not defined inside node 'rnn1'",
        ),
        (
            lambda: DeepLift(small(), baseline=np.ones(4))(np.ones((1, 3))),
            ShapeError,
            r"baseline of input 'input' has shape \(4,\)",
        ),
        (lambda: DeepLift(small(), baseline=np.inf)(np.ones((1, 3))), ParameterError, "not finite"),
    ],
)
def test_what_is_refused(make: Any, error: type[LrpError], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_sigmoid_is_a_function_of_each_element() -> None:
    e = DeepLift(small(L.Sigmoid()), head="probability")(np.array([[1.0, 2.0, -1.0]]), 1)
    np.testing.assert_allclose(e.relevance, [[0, 1 / (1 + np.exp(-2.0)) - 0.5, 0]], rtol=1e-14)


def test_a_condition_must_choose_the_same() -> None:
    model = Model(
        (
            Node("holds", L.Compare(">", np.array([0.0])), ("a",)),
            Node("where", L.Where(otherwise=np.array([0.0])), ("holds", "b")),
        ),
        inputs=("a", "b"),
    )
    x = {"a": np.array([[1.0]]), "b": np.array([[5.0]])}
    e = DeepLift(model, baseline={"a": 2.0, "b": 1.0})(x, 0)
    assert (e.at("a").tolist(), e.at("b").tolist()) == ([[0.0]], [[4.0]])
    with pytest.raises(RuleError, match=r"node 'where'.*chooses otherwise"):
        DeepLift(model)(x, 0)


def test_an_index_is_no_number_as_well() -> None:
    nodes = (Node("words", L.Embedding(np.eye(3)), ("input",)), Node("number", L.Scale(1.0), ("input",)))
    model = Model((*nodes, Node("flat", L.Flatten(), ("words",)), Node("sum", L.Concat(2), ("flat", "number"))))
    with pytest.raises(RuleError, match="as an index and as a number"):
        DeepLift(model)(np.array([[1.0]]), 0)
