"""Which step serves which node, in which currency relevance arrives, and what is inferred of the graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.errors import UnknownNameError
from lrp_ref.propagate.plan import BACKENDS, nonnegative_nodes, plan
from support.graph_strategies import explained, many, nets

each_backend = pytest.mark.parametrize("backend", BACKENDS)
numpy_only = pytest.mark.skipif("numpy" not in BACKENDS, reason="lrp_ref/kernels is there for speed only")


def chain(*layers: L.Layer) -> Model:
    return Model.sequential(layers)


def dense(lower: int = 2, upper: int = 2) -> L.Dense:
    return L.Dense(np.ones((lower, upper)))


# ---- what every plan is ------------------------------------------------------------------------------------------------


@each_backend
@given(explained(rational=False))
def test_every_node_is_served_once_in_computing_order(backend, drawn):
    net, composite = drawn
    made = Explainer(net.model, composite, backend=backend, **net.options).plan({n: a.shape[1:] for n, a in net.inputs.items()})
    served = [node.name for step in made.steps for node in step.nodes]
    assert sorted(served) == sorted(node.name for node in made.model.nodes)
    done = set(made.model.inputs)
    for step in made.steps:
        assert set(step.nodes[0].inputs) <= done
        for before, node in zip(step.nodes[:-1], step.nodes[1:], strict=True):
            assert node.inputs == (before.name,), "a run is a chain"
            assert made.fused_into[before.name] == step.nodes[-1].name
        done |= {node.name for node in step.nodes}
    assert len(made.rows()) == len(made.steps)
    assert all(label in repr(made) for _, label in made.rows())


@each_backend
@given(explained(rational=False))
def test_a_quotient_arrives_only_where_every_reader_sends_one_and_the_step_takes_it(backend, drawn):
    net, composite = drawn
    explain = Explainer(net.model, composite, backend=backend, **net.options)
    made = explain.plan({n: a.shape[1:] for n, a in net.inputs.items()})
    for step in made.steps:
        name = step.nodes[-1].name
        if made.currency[name] == "ratio":
            readers = [s for s in made.steps if name in s.nodes[0].inputs and s.explains]
            assert readers
            assert all(s.emits == "ratio" for s in readers)
            assert step.accepts_quotient
            assert name not in made.model.outputs
        assert step.takes == made.currency[name]
    assert all(made.currency[name] == "relevance" for name in made.model.inputs)
    if backend == "reference":
        assert set(made.currency.values()) == {"relevance"}
        assert not made.needed_activations


def test_an_unknown_backend():
    model = chain(dense())
    with pytest.raises(UnknownNameError, match="unknown backend 'nunpy'"):
        plan(model, {"dense1": rules.Zero()}, "nunpy")


def test_rationals_take_the_reference_whatever_is_asked():
    for backend in BACKENDS:
        made = Explainer(chain(dense()).astype(object), backend=backend).plan()
        assert made.backend == "reference"
        assert [label for _, label in made.rows()] == ["reference"]


# ---- currencies --------------------------------------------------------------------------------------------------------


@numpy_only
def test_a_plain_network_carries_quotients_from_the_output_to_the_input():
    made = Explainer(chain(dense(), L.ReLU(), dense(), L.ReLU(), dense()), backend="numpy").plan()
    assert made.rows() == [
        ("dense1 + relu1", "numpy, fused, c → c"),
        ("dense2 + relu2", "numpy, fused, c → c"),
        ("dense3", "numpy, fused, R → c"),
    ]
    assert made.fused_into == {"dense1": "relu1", "dense2": "relu2"}
    assert made.needed_activations == {"input"}


@numpy_only
def test_where_relevance_is_filtered_or_given_a_run_ends_and_relevance_arrives():
    explain = Explainer(chain(dense(), L.ReLU(), dense(), L.ReLU(), dense()), backend="numpy")
    inner, end = explain.plan(barriers=["dense2"]), explain.plan(barriers=["relu2"])
    assert [nodes for nodes, _ in inner.rows()] == ["dense1 + relu1", "dense2", "relu2", "dense3"]
    assert inner.currency["dense2"] == "relevance"
    assert [nodes for nodes, _ in end.rows()] == ["dense1 + relu1", "dense2 + relu2", "dense3"]
    assert end.currency == {"relu1": "ratio", "relu2": "relevance", "dense3": "relevance", "input": "relevance"}


@numpy_only
def test_what_asks_for_relevance_gets_it():
    """Flat and zᴮ need R; a product and an activation of both signs know R only; a node with a reader of each kind takes R."""
    nodes = (
        Node("a", dense(), ("input",)),
        Node("relu", L.ReLU(), ("a",)),
        Node("linear", dense(), ("relu",)),
        Node("tanh", L.Tanh(), ("linear",)),
        Node("times", L.Multiply(1), ("tanh", "relu")),
        Node("flat", dense(), ("times",)),
        Node("last", L.ReLU(), ("flat",)),
        Node("scores", dense(), ("last",)),
    )
    composite = Composite((("flat", rules.Flat()), *composites.uniform(rules.Zero()).entries))
    made = Explainer(Model(nodes), composite, backend="numpy").plan()
    assert made.currency == {
        "scores": "relevance",
        "last": "ratio",
        "flat": "relevance",
        "times": "relevance",
        "tanh": "relevance",
        "linear": "relevance",
        "relu": "relevance",
        "input": "relevance",
    }
    # At "relu" the quotient of "linear" and the relevance of "times" meet: its activation is kept to make R of the former.
    assert "relu" in made.needed_activations
    # The ReLU "last" stands alone behind a rule that is not fused, so quotients go through it, and become R at "flat".
    assert dict(made.rows())["last"] == "numpy, pass, c"


@numpy_only
def test_a_linear_layer_with_another_reader_or_as_an_output_is_not_fused_with_its_relu():
    nodes = (Node("a", dense(), ("input",)), Node("relu", L.ReLU(), ("a",)), Node("sum", L.Add(), ("a", "relu")))
    assert [names for names, _ in Explainer(Model(nodes)).plan().rows()] == ["a", "relu", "sum"]
    nodes = (Node("a", dense(), ("input",)), Node("relu", L.ReLU(), ("a",)))
    made = Explainer(Model(nodes, outputs=("a", "relu")), output="relu").plan()
    assert [names for names, _ in made.rows()] == ["a", "relu"]
    # Nor where relevance does not pass through the ReLU: it is above the start.
    below = Explainer(Model(nodes, outputs=("a", "relu")), output="a").plan()
    assert dict(below.rows())["relu"] == "forward only"


@numpy_only
def test_the_ledger_and_kept_nodes_add_activations_and_change_no_step():
    model = chain(dense(), L.ReLU(), dense(), L.ReLU(), dense())
    bare, observed = Explainer(model).plan(), Explainer(model, keep="all", ledger=True).plan()
    assert observed.rows() == bare.rows()
    assert observed.currency == bare.currency
    assert observed.needed_activations == {"input", "relu1", "relu2"}


# ---- what is never negative --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [L.ReLU(), L.Sigmoid(), L.Softplus(), L.Softmax()], ids=repr)
def test_layers_that_are_never_negative(layer):
    assert nonnegative_nodes(chain(layer)) == {next(iter(chain(layer).nodes)).name}


KEEPING = [
    L.AvgPool(1),
    L.SumPool(1),
    L.MaxPool(1),
    L.GlobalAvgPool(),
    L.GlobalSumPool(),
    L.GlobalMaxPool(),
    L.Upsample(2),
    L.Pad(1),
    L.Flatten(),
    L.Reshape((-1,)),
    L.Transpose((0, 2, 1)),
    L.Dropout(),
    L.Identity(),
    L.Mean(1),
    L.Add(1),
    L.Concat(1),
]


@pytest.mark.parametrize("layer", KEEPING, ids=repr)
def test_layers_that_keep_what_is_not_negative(layer):
    behind, bare = chain(L.ReLU(), layer), chain(layer)
    assert len(nonnegative_nodes(behind)) == 2
    assert not nonnegative_nodes(bare)


@pytest.mark.parametrize(
    "layer", [dense(), L.Scale(2.0), L.LeakyReLU(), L.Tanh(), L.GELU(), L.LogSoftmax(), L.BatchNorm([0.0], [1.0])], ids=repr
)
def test_layers_of_which_nothing_is_known(layer):
    assert nonnegative_nodes(chain(L.ReLU(), layer)) == {"relu1"}


def test_sums_and_products_are_not_negative_where_all_their_inputs_are_not():
    for layer, sure in ((L.Add(), True), (L.Multiply(0), True), (L.Concat(), True), (L.Subtract(), False)):
        for first in ("relu", "input"):
            nodes = (Node("relu", L.ReLU(), ("input",)), Node("both", layer, (first, "relu")))
            assert ("both" in nonnegative_nodes(Model(nodes))) == (sure and first == "relu")


def test_a_product_with_a_constant_is_not_negative_where_the_constant_is_not():
    assert nonnegative_nodes(chain(L.ReLU(), L.Multiply(1, [0.0, 2.0]))) == {"relu1", "multiply1"}
    assert nonnegative_nodes(chain(L.ReLU(), L.Multiply(1, [1.0, -2.0]))) == {"relu1"}


def test_a_subclass_may_compute_anything():
    class Shifted(L.ReLU):
        def function(self, z):
            return super().function(z) - 1

    class Weighted(L.Add):
        @property
        def weights(self):
            return (np.array([1.0]), np.array([-1.0]))

    assert not nonnegative_nodes(chain(Shifted()))
    nodes = (Node("relu", L.ReLU(), ("input",)), Node("both", Weighted(), ("relu", "relu")))
    assert nonnegative_nodes(Model(nodes)) == {"relu"}


@given(nets(numbers=many(), rational=False))
def test_what_is_said_to_be_never_negative_is_not(net):
    for name in nonnegative_nodes(net.canonical):
        assert (net.values[name] >= 0).all()


def test_the_backends_are_named_in_the_front_door():
    assert lrp_ref.BACKENDS[0] == "reference"
