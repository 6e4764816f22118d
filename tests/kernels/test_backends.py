"""The backends agree: every preset on realistic random networks, and by hand where a shortcut could go wrong.

Nothing here knows how a backend works; with `lrp_ref/kernels` deleted there is one backend, and everything still holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Composite, Explainer, Explanation, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, fractions
from support.random_nets import NETS, network

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
FAST = [name for name in lrp_ref.BACKENDS if name != "reference"]
each_fast = pytest.mark.parametrize("backend", FAST)
each_type = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def disturbed(model: Model, size: float, rng: np.random.Generator) -> Model:
    """The model with every parameter off by up to `size`, relatively."""

    def moved(layer: L.Layer) -> L.Layer:
        return replace(layer, **{k: v * (1 + size * rng.uniform(-1, 1, v.shape)) for k, v in layer.parameters.items()})

    made = {id(node.layer): moved(node.layer) for node in model.nodes}
    nodes = tuple(Node(node.name, made[id(node.layer)], node.inputs) for node in model.nodes)
    return Model(nodes, model.inputs, model.outputs, dict(model.domain), dict(model.input_shape))


def distance(found: Array, expected: Array) -> float:
    """Σ|found − expected| / Σ|expected|."""
    size = float(abs(expected.astype(np.float64)).sum())
    return float(abs(found.astype(np.float64) - expected.astype(np.float64)).sum()) / size if size else float(found.any())


def condition(model: Model, x: Array, expected: Explanation, run: Any) -> dict[str, float]:
    """How many times larger the relative change of a node's relevance is than a change of parameters and inputs."""
    rng, size = np.random.default_rng(1), 1e-9
    found = dict.fromkeys(expected.relevances, 0.0)
    for _ in range(2):
        other = run(disturbed(model, size, rng), np.clip(x * (1 + size * rng.uniform(-1, 1, x.shape)), -1, 1), "reference")
        found = {name: max(k, distance(other.at(name), expected.at(name)) / size) for name, k in found.items()}
    return found


@pytest.mark.parametrize("preset", composites.PRESETS)
@pytest.mark.parametrize("kind", NETS)
@each_fast
def test_every_preset_agrees_with_the_reference(backend, kind, preset):
    """At every node in relative L1: 16 u' times 1 + the condition number (measured: at most 3), u' the spacing of floats at 1.

    Half of the rows of each batch are those of a network with another seed, so a lucky one does not hide the others.
    """

    def run(model: Model, x: Array, name: str) -> Explanation:
        return Explainer(model, preset, keep="all", backend=name, allow_negative=True)(x)

    for seed in range(2):
        model, x = network(kind, seed)
        expected = run(model, x, "reference")
        growth = condition(model, x, expected, run)
        for dtype in (np.float64, np.float32):
            found, same_type = (run(model.astype(dtype), x.astype(dtype), name) for name in (backend, "reference"))
            assert set(found.relevances) == set(expected.relevances)
            assert distance(found.prediction, same_type.prediction) <= 16 * np.finfo(dtype).eps
            for name, R in same_type.relevances.items():
                assert found.at(name).dtype == dtype
                assert distance(found.at(name), R) <= 16 * np.finfo(dtype).eps * (1 + growth[name]), name


@pytest.mark.parametrize("kind", NETS)
@each_backend
def test_float32_stays_close_to_float64(backend, kind):
    """What float32 loses is its own rounding, not a shortcut's."""
    model, x = network(kind)
    wide, narrow = (
        Explainer(model.astype(dtype), "epsilon_plus", keep="all", backend=backend)(x.astype(dtype), target=0)
        for dtype in (np.float64, np.float32)
    )
    for name in wide.relevances:
        assert distance(narrow.at(name), wide.at(name)) <= 1e-4, name


@pytest.mark.parametrize("kind", NETS)
@each_type
@each_fast
def test_several_targets_and_the_ledger_agree(backend, kind, dtype):
    model, x = network(kind, dtype=dtype)
    expected, found = (
        Explainer(model, "epsilon_gamma_box", keep="all", ledger=True, backend=name)(x, "all") for name in ("reference", backend)
    )
    eps = float(np.finfo(dtype).eps)
    for name in expected.relevances:
        assert found.at(name).shape == expected.at(name).shape
        assert distance(found.at(name), expected.at(name)) <= 1e4 * eps, name
    assert [entry.node for entry in sorted(found.ledger, key=lambda e: e.node)] == sorted(e.node for e in expected.ledger)
    for entry in expected.ledger:
        booking, other = entry.booking, found.ledger[entry.node]
        for column in ("arriving", "inputs", "bias", "stabiliser", "unassigned", "turnover", "arriving_abs", "inputs_abs"):
            gap = abs(getattr(other, column) - getattr(booking, column))
            assert (gap <= 1e4 * eps * (booking.turnover + 1e-30)).all(), (entry.node, column)
        assert other.flags == booking.flags
        assert found.ledger.entries[0].node == "start at " + model.outputs[0]


@pytest.mark.parametrize("kind", NETS)
@each_type
@each_backend
def test_a_sample_has_the_same_bits_in_every_batch_of_a_realistic_network(backend, kind, dtype):
    model, x = network(kind, batch=5, dtype=dtype)
    explain = Explainer(model, "lrp_overview", keep="all", backend=backend)
    together = explain(x, "all")
    for n in (0, 3):
        alone = explain(x[n : n + 1], "all")
        assert together.prediction[n : n + 1].tobytes() == alone.prediction.tobytes()
        for name in alone.relevances:
            assert np.ascontiguousarray(together.at(name)[n : n + 1]).tobytes() == alone.at(name).tobytes(), name


@pytest.mark.parametrize("kind", ["plain", "residual", "signed"])
@each_backend
def test_resuming_and_filtering_anywhere_agree_with_the_whole(backend, kind):
    """Past a node nothing flows in a chain; in a network with branches the filtered parts add up."""
    model, x = network(kind)
    explain = Explainer(model, "epsilon_plus", keep="all", backend=backend)
    whole = explain(x)
    for name in whole.relevances:
        resumed = explain(x, start=whole.at(name), start_at=name)
        nothing = np.zeros(whole.at(name).shape[1:], dtype=bool)
        past = explain(x, filter={name: nothing}).relevance
        through = explain(x, filter={name: ~nothing}).relevance
        added = resumed.relevance + past if name != "input" else resumed.relevance
        assert distance(added, whole.relevance) <= 1e-10, name
        assert distance(through, whole.relevance) <= 1e-10, name


# ---- where a shortcut could go wrong -----------------------------------------------------------------------------------


def one_and_all(model: Model, composite: Any, x: Any, **call: Any) -> list[Explanation]:
    """The explanation by each backend, and in rationals."""
    made = [Explainer(model, composite, keep="all", ledger=True, backend=name)(x, **call) for name in lrp_ref.BACKENDS]
    exact = Explainer(model.astype(object), composite, keep="all", ledger=True)(fractions(x), **call)
    return [*made, exact]


def assert_all(found: list[Explanation], name: str, expected: Any) -> None:
    for e in found:
        assert np.array_equal(e.at(name).astype(np.float64), expected), e.backend
        assert not np.isnan(e.at(name).astype(np.float64)).any()


@pytest.mark.parametrize("rule", [rules.Zero(), rules.ZPlus(), rules.Gamma(0.25), rules.AlphaBeta(2, 1, bias="none")])
def test_a_window_of_zeros_beside_active_ones_gets_exactly_nothing(rule):
    """CONV-ZERO-BY-ZERO: Without a bias z = 0 there: 0/0 := 0, and what stood there is booked as unassigned."""
    model = Model.sequential([L.Conv([[[1.0, 1.0]]], stride=2), L.Flatten(), L.Dense([[1.0], [1.0], [1.0]], [4.0])])
    x = np.array([[[1.0, 3.0, 0.0, 0.0, 2.0, 2.0]]])
    composite = Composite(((L.Conv, rule), (L.Dense, rules.Flat()), *composites.uniform(rules.Zero()).entries))
    found = one_and_all(model, composite, x)
    for e in found:
        share = e.at("conv1")[0, 0].astype(np.float64)
        assert np.allclose(share, 4.0)
        assert e.relevance.astype(np.float64)[0, 0, 2:4].tolist() == [0.0, 0.0]
        lost = float(e.ledger["conv1"].unassigned[0])
        # AlphaBeta(2, 1) also loses −1 times what the two active windows have in their empty negative pools.
        assert np.isclose(lost, 4.0 if not isinstance(rule, rules.AlphaBeta) else 4.0 - 2 * 4.0)


def test_relevance_of_a_dead_relu_and_of_a_zero_activation_is_nothing_whatever_arrives():
    """CONV-ACTIVATION-PASS: Flat hands relevance to dead neurons too; it goes on through the ReLU, in every backend."""
    model = Model.sequential([L.Dense([[1.0, -1.0]], [0.0, 0.0]), L.ReLU(), L.Dense([[1.0], [1.0]])])
    composite = Composite((("dense2", rules.Flat()), *composites.uniform(rules.Zero()).entries))
    found = one_and_all(model, composite, np.array([[2.0]]))
    assert_all(found, "relu1", [[1.0, 1.0]])
    assert_all(found, "dense1", [[1.0, 1.0]])
    assert_all(found, "input", [[2.0]])
    dead = one_and_all(model, composites.uniform(rules.Zero()), np.array([[2.0]]))
    assert_all(dead, "relu1", [[2.0, 0.0]])
    assert_all(dead, "input", [[2.0]])


def test_equal_cells_of_a_maximum_give_everything_to_the_first():
    """CONV-MAX-TIES."""
    model = Model.sequential([L.MaxPool(2, stride=1), L.Flatten(), L.Dense([[1.0], [1.0]])])
    x = np.array([[[[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]]])
    found = one_and_all(model, "epsilon_plus", x, start=np.array([[2.0]]), start_at="dense1")
    for e in found:
        assert np.allclose(e.at("maxpool1").astype(np.float64), 1.0, rtol=1e-5)
        assert e.relevance.astype(np.float64)[0, 0, 0, :2].all()
        assert not e.relevance.astype(np.float64)[0, 0, 1:].any()
        assert e.relevance.astype(np.float64)[0, 0, 0, 2] == 0


def test_a_maximum_of_negative_cells_and_padding():
    """Padding never wins, and the winner's relevance arrives whatever its sign."""
    model = Model.sequential([L.MaxPool(2, padding=1), L.Flatten(), L.Dense(np.ones((4, 1)))])
    x = -np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    found = one_and_all(model, composites.uniform(rules.Zero()), x)
    assert_all(found, "maxpool1", [[[[-1.0, -2.0], [-3.0, -4.0]]]])
    assert_all(found, "input", x)


def test_a_node_that_layers_of_both_currencies_read():
    """A linear layer hands on quotients, a product and a flat rule relevance: they meet at the ReLU, and twice at the input."""
    nodes = (
        Node("a", L.Dense([[1.0, 2.0], [-1.0, 1.0]]), ("input",)),
        Node("relu", L.ReLU(), ("a",)),
        Node("linear", L.Dense([[1.0, -1.0], [2.0, 1.0]]), ("relu",)),
        Node("flat", L.Dense([[1.0, -1.0], [2.0, 1.0]]), ("relu",)),
        Node("times", L.Multiply(1), ("linear", "relu")),
        Node("sum", L.Add(3), ("times", "flat", "relu")),
        Node("scores", L.Dense([[1.0], [-0.5]]), ("sum",)),
    )
    composite = Composite((("flat", rules.Flat()), *composites.uniform(rules.Zero()).entries))
    found = one_and_all(Model(nodes), composite, np.array([[3.0, 1.0]]))
    exact = found[-1]
    assert not exact.ledger.rounding.any()
    for e in found[:-1]:
        for name in exact.relevances:
            assert np.allclose(e.at(name), exact.at(name).astype(np.float64), rtol=1e-13, atol=0), (e.backend, name)


@each_backend
def test_relevance_may_be_filtered_and_started_inside_a_run(backend):
    model = Model.sequential([L.Dense([[1.0, -1.0], [2.0, 3.0]]), L.ReLU(), L.Dense([[1.0], [1.0]])])
    explain = Explainer(model, rule=rules.Zero(), keep="all", backend=backend)
    x = np.array([[1.0, 1.0]])  # hidden (3, 2)
    assert np.allclose(explain(x, filter={"dense1": 1}).relevance, [[-1, 3]])
    assert np.allclose(explain(x, filter={"relu1": [0]}).relevance, [[1, 2]])
    both = explain(x, filter={"dense1": 1, "relu1": 0})
    assert not both.relevance.any()
    assert np.allclose(both.at("relu1"), [[3, 0]])
    # What starts at a dead or a living neuron is divided as it is: no quotient of the activation is asked for.
    dead = np.array([[-3.0, 1.0]])  # pre-activation (−1, 6)
    assert np.allclose(explain(dead, start=[[1.0, 0.0]], start_at="dense1").relevance, [[3, -2]])
    assert np.allclose(explain(dead, start=[[1.0, 0.0]], start_at="relu1").relevance, [[3, -2]])
    assert set(explain(dead, start=[[1.0, 0.0]], start_at="dense1").relevances) == {"dense1", "input"}


@each_backend
def test_generalised_gamma_counts_0_as_positive_and_serves_negative_sums_only_where_relevance_is(backend):
    """z = (2 − 2, 1, −1): without a ReLU all three have relevance, behind one only the second."""
    w = np.array([[2.0, 1.0, -1.0], [-2.0, 0.0, 0.0]])
    bare = Model.sequential([L.Dense(w), L.Dense(np.ones((3, 1)))])
    composite = Composite((("dense1", rules.GeneralizedGamma(1)), ("dense2", rules.Flat())))
    for model in (bare, Model.sequential([L.Dense([[1.0, -1.0], [0.0, 1.0]]), L.ReLU(), *[n.layer for n in bare.nodes]])):
        exact = Explainer(
            model.astype(object), composite.with_rules({(L.ReLU,): rules.Pass(), L.Dense: rules.Zero()}), keep="all"
        )
        found = Explainer(model, exact.composite, keep="all", backend=backend)
        x = np.array([[1.0, 1.0]])
        e, expected = found(x, start=[[3.0]]), exact(fractions(x), start=fractions([[3.0]]))
        for name in expected.relevances:
            assert np.allclose(e.at(name), expected.at(name).astype(np.float64), rtol=1e-14), name


@each_type
@each_backend
def test_scores_whose_reciprocal_overflows_are_divided_by(backend, dtype):
    """R/z is finite where 1/z is not: z is subnormal, and R = z, or R = 0 at the other outputs."""
    tiny = np.finfo(dtype).smallest_subnormal * 8
    weight = np.array([[tiny, tiny], [tiny, -tiny]], dtype)
    for layers in ([L.Dense(weight)], [L.Conv(weight.T[:, :, None], padding=0), L.Flatten()]):
        model = Model.sequential(layers)
        x = np.array([[1.0, 3.0]], dtype).reshape(1, 2, *([] if len(layers) == 1 else [1]))
        for rule in (rules.Zero(), rules.AlphaBeta(2, 1), rules.ZPlus()):
            e, expected = (
                Explainer(m, rule=rule, backend=backend)(a, "all") for m, a in ((model, x), (model.astype(object), fractions(x)))
            )
            assert np.allclose(e.relevance / tiny, (expected.relevance / fractions(tiny)).astype(dtype), rtol=0, atol=1 / 8)


@each_type
@each_backend
def test_a_sum_over_all_axes_but_the_batch(backend, dtype):
    """(N, F) → (N,): nothing is left that could be the channels."""
    model = Model((Node("mean", L.Mean(axes=(1,)), ("input",)),), input_shape=(3,)).astype(dtype)
    x = np.array([[1.0, 2.0, 6.0], [0.0, -1.0, 1.0]], dtype)
    for rule in (rules.Zero(), rules.GeneralizedGamma(0.25), rules.ZPlus(), rules.Epsilon(1)):
        found, expected = (
            Explainer(model, Composite(((L.Linear, rule),)), backend=name, ledger=True)(x, start=np.array([3, 1], dtype))
            for name in (backend, "reference")
        )
        assert np.allclose(found.relevance, expected.relevance, rtol=1e-6, atol=0)
        assert found.ledger is not None


# ---- user code ---------------------------------------------------------------------------------------------------------


class Doubled(L.Dense):
    """A user's layer with the parameters of another one."""

    def map(self, a: Array, weight: Array) -> Array:
        return 2 * super().map(a, weight)

    def adjoint(self, s: Array, weight: Array, shape: Any) -> Array:
        return 2 * super().adjoint(s, weight, shape)


class Shifted(L.ReLU):
    """A user's activation, negative for small inputs."""

    def function(self, z: Array) -> Array:
        return super().function(z) - 1


class Halved(rules.Zero):
    """A user's rule: LRP-0 that keeps half to itself."""

    def divided(self, layer, inputs, output, relevance):
        found, unassigned = super().divided(layer, inputs, output, relevance / 2)
        return found, unassigned + relevance / 2


class Turned(rules.Pass):
    """A user's rule for activations."""

    def propagate(self, layer, inputs, output, relevance):
        return super().propagate(layer, inputs, output, -relevance)


@each_backend
def test_subclasses_compute_what_they_say(backend):
    """No backend takes a shortcut that knows the base class only."""
    dense, x = [[1.0, -2.0], [3.0, 1.0]], np.array([[1.0, 2.0]])
    model = Model.sequential([Doubled(dense), L.ReLU(), L.Dense([[1.0], [1.0]])])
    e = Explainer(model, rule=rules.Zero(), keep="all", backend=backend)(x)
    assert np.allclose(e.prediction, [[14]])
    assert np.allclose(e.relevance, [[2, 12]])
    shifted = Model.sequential([L.Dense(np.eye(2)), Shifted(), L.Dense([[1.0], [1.0]])])
    for rule in (rules.Zero(), rules.AlphaBeta(2, 1), rules.ZPlus()):
        e, exact = (
            Explainer(m, rule=rule, keep="all", backend=backend)(a)
            for m, a in ((shifted, [[0.5, 3.0]]), (shifted.astype(object), fractions([[0.5, 3.0]])))
        )
        assert np.allclose(e.relevance, exact.relevance.astype(np.float64), rtol=1e-14)
    model = Model.sequential([L.Dense(dense), L.ReLU(), L.Dense([[1.0], [1.0]])])
    e = Explainer(model, rule=Halved(), backend=backend, ledger=True)(x)
    assert np.allclose(e.relevance, np.array([[1, 6]]) / 4)
    assert np.isclose(e.ledger.unassigned[0], 7 * 3 / 4)
    turned = composites.uniform(rules.Zero()).with_rules({"relu1": Turned()})
    assert np.allclose(Explainer(model, turned, backend=backend)(x).relevance, [[-1, -6]])
