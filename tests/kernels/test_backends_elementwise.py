"""Functions of each element, gates and affine maps: every backend passes relevance as the definition does, in what runs.

Around the layer stand dense layers, so that relevance arrives at it in either currency that a backend knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from lrp_ref.network.model import Model as Graph
from lrp_ref.rules.passing import Pass as PassRule

#: The jit backend takes NumPy's steps here.
each_backend = pytest.mark.parametrize("backend", [name for name in lrp_ref.BACKENDS if name != "jit"])
each_fast = pytest.mark.parametrize("backend", [name for name in lrp_ref.BACKENDS if name not in ("jit", "reference")])
each_type = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
compiled = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")

FUNCTIONS: tuple[L.Layer, ...] = (
    *(L.ReLU(), L.LeakyReLU(0.1), L.Tanh(), L.Sigmoid(), L.LogSigmoid(), L.GELU(), L.GELU("tanh"), L.Softplus(), L.Softplus(3.0)),
    *(L.ELU(), L.ELU(0.5), L.SELU(), L.CELU(2.0), L.CELU(-2.0), L.SiLU(), L.SiLU(1.702), L.SiLU(0.0), L.Mish(), L.HardSigmoid()),
    *(
        L.HardSwish(),
        L.Softsign(),
        L.Clip(0, 6),
        L.Clip(None, 0.5),
        L.Clip(-1.0),
        L.Abs(),
        L.Threshold(0.3, 0.1),
        L.Shrink(0.2, 0.1),
    ),
    *(
        L.PReLU(np.array([0.1, 0.2, -0.3, 0.0]).reshape(4, 1, 1)),
        L.Scale(2.0),
        L.Scale(np.ones((4, 1, 1)) / 2, np.full((1, 1, 5), 0.3)),
    ),
    L.BatchNorm(np.zeros(4), np.ones(4), np.array([1.0, 2.0, -1.0, 0.5]), np.array([0.5, -0.5, 0.0, 1.0])),
)
COLUMNS = ("arriving", "inputs", "bias", "stabiliser", "unassigned", "turnover", "arriving_abs", "inputs_abs")


def conv(rng: np.random.Generator, lower: int, upper: int) -> L.Conv:
    return L.Conv(rng.standard_normal((upper, lower, 1, 1)), rng.standard_normal(upper) / 4)


def around(layer: L.Layer, above: bool = True) -> Model:
    """The layer between two convolutions, or at the end; what stands beside it keeps it from being folded into them."""
    rng = np.random.default_rng(0)
    nodes = [
        Node("below", conv(rng, 3, 4), ("input",)),
        Node("front", L.Softsign(), ("below",)),
        Node("layer", layer, ("front",)),
    ]
    if above:
        nodes += [
            Node("pool", L.MaxPool((1, 1)), ("layer",)),
            Node("above", conv(rng, 4, 3), ("pool",)),
            Node("mean", L.GlobalAvgPool(), ("above",)),
        ]
        nodes += [Node("flat", L.Flatten(), ("mean",))]
    return Model(tuple(nodes), input_shape=(3, 2, 5))


def gated(layer: L.Multiply, gate: L.Layer, *, squeezed: bool) -> Model:
    """A signal times its gate, which is made of the mean over all places (squeeze and excitation), or at each place."""
    rng = np.random.default_rng(1)
    gates = [Node("mean", L.GlobalAvgPool(), ("stem",))] if squeezed else []
    gates += [Node("narrow", conv(rng, 4, 2), ("mean" if squeezed else "stem",)), Node("relu", L.ReLU(), ("narrow",))]
    gates += [Node("wide", conv(rng, 2, 4), ("relu",)), Node("gate", gate, ("wide",))]
    order = ("stem", "gate") if layer.signal != 1 else ("gate", "stem")
    nodes = [
        Node("below", conv(rng, 3, 4), ("input",)),
        Node("stem", L.HardSwish(), ("below",)),
        *gates,
        Node("product", layer, order),
    ]
    nodes += [
        Node("above", conv(rng, 4, 3), ("product",)),
        Node("end", L.GlobalAvgPool(), ("above",)),
        Node("flat", L.Flatten(), ("end",)),
    ]
    return Model(tuple(nodes), input_shape=(3, 2, 5))


def explained(
    model: Model, backend: str, dtype: Any, rule: Any = None, samples: int = 2, head: Any = None, **call: Any
) -> lrp_ref.Explanation:
    x = np.random.default_rng(2).standard_normal((2, 3, 2, 5)).astype(dtype)[:samples]
    composite = composites.epsilon_plus() if rule is None else Composite(((L.Multiply, rule), *composites.epsilon_plus().entries))
    explainer = Explainer(
        model.astype(dtype), composite, keep="all", ledger=True, backend=backend, allow_negative=True, head=head
    )
    return explainer(x, **call)


def require_same(found: lrp_ref.Explanation, expected: lrp_ref.Explanation, dtype: Any) -> None:
    """Relevance everywhere, and the accounts, to the rounding of a few operations; the same remarks."""
    eps = float(np.finfo(dtype).eps)
    assert np.abs(found.prediction - expected.prediction).max() <= 64 * eps * np.abs(expected.prediction).max()
    assert set(found.relevances) == set(expected.relevances)
    for name, R in expected.relevances.items():
        assert np.abs(found.at(name) - R).max() <= 1e4 * eps * max(1.0, np.abs(R).max()), name
    assert sorted(entry.node for entry in found.ledger) == sorted(entry.node for entry in expected.ledger)
    for entry in expected.ledger:
        booking, other = entry.booking, found.ledger[entry.node]
        for column in COLUMNS:
            gap = abs(getattr(other, column) - getattr(booking, column))
            assert (gap <= 1e4 * eps * (booking.turnover + 1e-30)).all(), (entry.node, column)
        assert other.flags == booking.flags
    assert [entry.rule for entry in found.ledger] == [entry.rule for entry in expected.ledger]


@pytest.mark.parametrize("layer", FUNCTIONS, ids=repr)
@each_type
@each_fast
def test_relevance_passes_a_function_as_the_definition_says(backend, dtype, layer):
    for above in (True, False):
        target: dict[str, Any] = {"targets": [0, 2]} if above else {"target": (1, 0, 3)}
        if not above and isinstance(layer, (L.Sigmoid, L.LogSigmoid, L.HardSigmoid)):
            target["head"] = "probability"
        expected = explained(around(layer, above), "reference", dtype, **target)
        require_same(explained(around(layer, above), backend, dtype, **target), expected, dtype)


@pytest.mark.parametrize("rule", [rules.SignalTakesAll(), rules.HalfProduct(), rules.AbsoluteProduct(0.1)], ids=str)
@pytest.mark.parametrize("squeezed", [False, True], ids=["beside", "squeezed"])
@each_type
@each_fast
def test_a_product_is_shared_as_the_definition_says(backend, dtype, squeezed, rule):
    """A factor that broadcasts and takes something, a constant that takes something: the definition's sums are no shortcut's."""
    for signal in (0, 1):
        model = gated(L.Multiply(signal=signal), L.HardSigmoid(), squeezed=squeezed)
        expected = explained(model, "reference", dtype, rule, targets=[0, 2])
        require_same(explained(model, backend, dtype, rule, targets=[0, 2]), expected, dtype)


@each_fast
@pytest.mark.parametrize("rule", [rules.SignalTakesAll(), rules.HalfProduct()], ids=str)
def test_a_constant_factor_keeps_its_share(backend, rule):
    for signal in (0, 1):
        model = around(L.Multiply(signal=signal, constant=np.array([[0.5], [-1.0]])))
        expected = explained(model, "reference", np.float64, rule)
        require_same(explained(model, backend, np.float64, rule), expected, np.float64)


@each_backend
def test_a_product_without_a_known_signal_is_refused(backend):
    with pytest.raises(lrp_ref.errors.RuleError, match="which factor is the signal"):
        explained(gated(L.Multiply(), L.Sigmoid(), squeezed=False), backend, np.float64, rules.SignalTakesAll())


@each_backend
def test_a_gate_that_takes_nothing_has_its_lines_in_the_ledger_and_its_zeros(backend):
    """Where nothing arrives nothing is computed; what is kept, filtered or observed there is zero all the same."""
    found = explained(gated(L.Multiply(signal=0), L.Sigmoid(), squeezed=True), backend, np.float64)
    for name in ("gate", "wide", "relu", "narrow", "mean"):
        assert not found.at(name).any(), name
        assert found.at(name).shape[0] == 2
        assert all(not getattr(found.ledger[name], column).any() for column in COLUMNS), name
    assert np.abs(found.ledger.rounding).max() <= 1e-14


@each_backend
def test_a_filter_at_a_gate_that_takes_nothing(backend):
    model = gated(L.Multiply(signal=0), L.Sigmoid(), squeezed=True)
    found = explained(model, backend, np.float64, filter={"wide": [0]})
    assert np.array_equal(found.relevance, explained(model, backend, np.float64).relevance)
    assert not found.ledger["filter at wide"].arriving.any()


@each_fast
def test_a_branch_without_a_rule_below_a_gate_keeps_its_books(backend):
    """Relevance never reaches the softmax; what is above it, and passes nothing on, has a line."""
    rng = np.random.default_rng(1)
    nodes = (
        *(
            Node("below", conv(rng, 3, 4), ("input",)),
            Node("soft", L.Softmax(), ("below",)),
            Node("turn", L.Identity(), ("soft",)),
        ),
        *(Node("signal", L.Tanh(), ("below",)), Node("product", L.Multiply(signal=0), ("signal", "turn"))),
        *(Node("mean", L.GlobalAvgPool(), ("product",)), Node("flat", L.Flatten(), ("mean",))),
    )
    model = Model(nodes, input_shape=(3, 2, 5))
    found = explained(model, backend, np.float64)
    require_same(found, explained(model, "reference", np.float64), np.float64)
    assert not found.ledger["turn"].inputs_abs.any()


@each_type
@each_backend
def test_a_sample_has_the_same_bits_in_every_batch(backend, dtype):
    for layer in FUNCTIONS:
        together, alone = (explained(around(layer), backend, dtype, samples=n, targets=[0, 1]) for n in (2, 1))
        assert together.prediction[:1].tobytes() == alone.prediction.tobytes()
        for name in alone.relevances:
            assert np.ascontiguousarray(together.at(name)[:1]).tobytes() == alone.at(name).tobytes(), (layer, name)


@each_fast
def test_what_is_computed_into_a_concatenation_is_what_is_computed_beside_it(backend):
    rng = np.random.default_rng(5)
    nodes = (
        *(Node("a", conv(rng, 3, 2), ("input",)), Node("a.silu", L.SiLU(), ("a",)), Node("b", conv(rng, 3, 3), ("input",))),
        *(
            Node("b.gelu", L.GELU(), ("b",)),
            Node("both", L.Concat(2), ("a.silu", "b.gelu")),
            Node("c", conv(rng, 5, 3), ("both",)),
        ),
        *(Node("mean", L.GlobalAvgPool(), ("c",)), Node("flat", L.Flatten(), ("mean",))),
    )
    model = Model(nodes, input_shape=(3, 2, 5))
    require_same(explained(model, backend, np.float32), explained(model, "reference", np.float32), np.float32)


def real(rng: np.random.Generator) -> Model:
    """The elementwise layers of the real networks: squeeze and excitation, a gated cell, GELU blocks, a Scale, a head beside."""
    cell = [Node("flat", L.Flatten(), ("scaled",)), Node("z", L.Dense(rng.standard_normal((40, 6))), ("flat",))]
    cell += [Node("g", L.Dense(rng.standard_normal((40, 6))), ("flat",)), Node("sigmoid", L.Sigmoid(), ("g",))]
    cell += [Node("tanh", L.Tanh(), ("z",)), Node("cell", L.Multiply(signal=0), ("tanh", "sigmoid"))]
    nodes = [
        *(
            Node("below", conv(rng, 3, 4), ("input",)),
            Node("stem", L.HardSwish(), ("below",)),
            Node("mean", L.GlobalAvgPool(), ("stem",)),
        ),
        *(Node("narrow", conv(rng, 4, 4), ("mean",)), Node("gate", L.HardSigmoid(), ("narrow",))),
        *(
            Node("product", L.Multiply(signal=0), ("stem", "gate")),
            Node("gelu", L.GELU(), ("product",)),
            Node("silu", L.SiLU(), ("gelu",)),
        ),
        *(Node("norm", L.BatchNorm(np.zeros(4), np.ones(4)), ("silu",)), Node("scaled", L.Scale(2.0, 0.5), ("norm",)), *cell),
        *(Node("scores", L.Dense(rng.standard_normal((6, 3))), ("cell",)), Node("other", L.Sigmoid(), ("scores",))),
        *(Node("more", L.Dense(rng.standard_normal((3, 3))), ("other",)), Node("probability", L.LogSigmoid(), ("more",))),
    ]
    return Model(tuple(nodes), outputs=("scores", "probability"), input_shape=(3, 2, 5))


@compiled
@each_type
@pytest.mark.parametrize("ledger", [False, True])
def test_the_elementwise_layers_of_real_networks_never_run_in_reference_code(monkeypatch, dtype, ledger):
    """Counted in what runs: a layer's own forward, a rule's own propagate, and a node computed by the model."""
    model = real(np.random.default_rng(3)).astype(dtype)
    explainer = Explainer(model, "epsilon_plus", output="scores", backend="compiled", ledger=ledger, allow_negative=True)
    x: Array = np.random.default_rng(2).standard_normal((2, 3, 2, 5)).astype(dtype)
    explainer(x)
    ran: list[str] = []
    compute = Graph.compute
    monkeypatch.setattr(Graph, "compute", staticmethod(lambda node, inputs: ran.append(node.name) or compute(node, inputs)))
    for rule in (PassRule, rules.SignalTakesAll):
        for name in ("propagate", "relevances"):
            own = getattr(rule, name)
            monkeypatch.setattr(rule, name, lambda self, layer, *a, own=own: ran.append(str(layer)) or own(self, layer, *a))
    explainer(x)
    assert ran == ["flat"]  # moved by NumPy, a view


def given_nothing(rng: np.random.Generator) -> Model:
    """A mask by softmax over what a convolution, a sum, a slice and a pool make of the input: read, and given nothing."""
    nodes = (
        *(Node("below", conv(rng, 3, 4), ("input",)), Node("signal", L.SiLU(), ("below",))),
        *(Node("narrow", conv(rng, 3, 4), ("input",)), Node("both", L.Add(), ("narrow", "narrow"))),
        *(Node("turned", L.ConvTranspose(rng.standard_normal((4, 4, 1, 1))), ("both",)), Node("relu", L.ReLU(), ("turned",))),
        *(
            Node("pool", L.MaxPool((1, 1)), ("relu",)),
            Node("part", L.Slice(0, 4, 1), ("pool",)),
            Node("mask", L.Softmax(), ("part",)),
        ),
        *(Node("product", L.Multiply(signal=0), ("signal", "mask")), Node("mean", L.GlobalAvgPool(), ("product",))),
        Node("flat", L.Flatten(), ("mean",)),
    )
    return Model(nodes, input_shape=(3, 2, 5))


@each_type
@each_fast
def test_a_branch_that_gets_nothing_is_predicted_as_the_definition_says(backend, dtype):
    model = given_nothing(np.random.default_rng(4))
    require_same(explained(model, backend, dtype), explained(model, "reference", dtype), dtype)
