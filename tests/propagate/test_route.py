"""CONV-RULE-ASKED: a rule is asked for only where relevance can arrive."""

from __future__ import annotations

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.errors import HeadError, RuleError, UnknownNameError

V = np.array([[1.0, -0.5], [2.0, 1.0], [-1.0, 0.5]])  # values
S = np.array([[0.5], [-1.0]])  # scores
U = np.array([[1.0, 2.0], [-1.0, 0.5]])
X = np.array([[[1.0, 2.0, -1.0], [0.5, -1.0, 2.0]], [[2.0, 0.0, 1.0], [-1.0, 1.0, 1.5]]])  # (N, steps, features)

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def attention(signal: int | None = 1, softmax: L.Layer | None = None) -> Model:
    """Σ_t a_t h_t U, h = x V, a = softmax over steps of h S."""
    nodes = [
        Node("h", L.Dense(V), "input"),
        Node("score", L.Dense(S), "h"),
        Node("weights", softmax or L.Softmax(1), "score"),
        Node("weighted", L.Multiply(signal), ("weights", "h")),
        Node("pooled", L.Sum((1,)), "weighted"),
        Node("out", L.Dense(U), "pooled"),
    ]
    return Model(tuple(nodes), input_shape=(2, 3))


def weights() -> np.ndarray:
    powers = np.exp(X @ V @ S)
    return powers / powers.sum(axis=1, keepdims=True)


@each_backend
def test_attention_pooling_needs_no_rule_for_its_softmax(backend):
    """Everything goes to the values: R_tj = a_t x_tj (V U)_jk."""
    explainer = Explainer(attention(), rule=rules.Zero(), backend=backend, ledger=True, keep="all")
    e = explainer(X, target=1)
    np.testing.assert_allclose(e.relevance, weights() * X * (V @ U)[:, 1], rtol=1e-12)
    assert e.at("score").shape == (2, 2, 1)
    assert not e.at("score").any()
    assert not e.at("weights").any()
    assert {entry.node for entry in e.ledger} == {"start at out", "out", "pooled", "weighted", "h"}
    assert np.abs(e.ledger.rounding).max() < 1e-13
    bare = Explainer(attention(), rule=rules.Zero(), backend=backend)(X, target=1)
    assert np.array_equal(bare.relevance, e.relevance)


def test_tables_show_where_no_rule_is_needed():
    explainer = Explainer(attention())
    assert set(explainer.rules) == {"h", "score", "weighted", "pooled", "out"}
    rows = {line.split()[0]: line for line in repr(explainer).splitlines()[2:]}
    assert " –  " in rows["weights"]
    assert composites.epsilon_plus().table(attention()).splitlines()[5].endswith("–")


@pytest.mark.parametrize("product", [rules.HalfProduct(), rules.AbsoluteProduct(), rules.ProportionalProduct()], ids=str)
def test_a_product_that_gives_to_both_asks_for_the_rule(product):
    composite = composites.epsilon_plus().with_rules({"weighted": product})
    with pytest.raises(RuleError, match=r"no rule for node 'weights' \(Softmax\)"):
        Explainer(attention(), composite)
    with pytest.raises(RuleError, match="node 'weights'"):
        Explainer(attention(signal=None))
    with pytest.raises(RuleError, match="node 'weights'"):
        Explainer(attention(signal=0))


def test_all_that_relevance_reaches_are_listed():
    nodes = [
        Node("a", L.Exp(), "input"),
        Node("b", L.Exp(), "a"),
        Node("y", L.Multiply(0), ("input", "b")),
        Node("z", L.Exp(), "y"),
    ]
    with pytest.raises(RuleError) as error:
        Explainer(Model(tuple(nodes)))
    assert "node 'z'" in str(error.value)
    assert "node 'a'" not in str(error.value)


def test_a_start_below_is_served_where_a_rule_is():
    model = attention(softmax=L.Sigmoid())
    e = Explainer(model, rule=rules.Zero())(X, start=np.ones((2, 2, 1)), start_at="score")
    np.testing.assert_allclose(e.total, [2.0, 2.0])
    with pytest.raises(RuleError, match="node 'weights'"):
        Explainer(attention())(X, start=np.ones((2, 2, 1)), start_at="weights")
    with pytest.raises(UnknownNameError, match="node to start at 'nowhere'"):
        Explainer(attention())(X, start=np.ones((2, 2, 1)), start_at="nowhere")


def test_a_filter_where_nothing_arrives_changes_nothing():
    explainer = Explainer(attention(), rule=rules.Zero(), ledger=True)
    filtered = explainer(X, target=0, filter={"score": (0, 0)})
    assert np.array_equal(filtered.relevance, explainer(X, target=0).relevance)


def test_a_rule_of_ones_own_says_what_it_hands_on():
    class First(rules.Rule):
        def fits(self, layer):
            return isinstance(layer, L.Maximum)

        def hands_on(self, layer):
            return (True, False)

        def propagate(self, layer, inputs, output, relevance):
            parts = (relevance, relevance * 0)
            return parts, lrp_ref.Booking.handed_on(relevance, parts)

    nodes = [Node("h", L.Dense(V[:2]), "input"), Node("e", L.Exp(), "h"), Node("y", L.Maximum(), ("h", "e"))]
    composite = composites.uniform(rules.Zero()).with_rules({"y": First()})
    assert Explainer(Model(tuple(nodes)), composite)([[1.0, 2.0]], target=0).relevances["input"].shape == (1, 2)
    assert rules.Zero().hands_on(L.Add()) == (True, True)
    assert rules.SignalTakesAll().hands_on(L.Multiply(1)) == (False, True)
    assert rules.SignalTakesAll().hands_on(L.Multiply(0, constant=[2.0])) == (True,)
    assert rules.SignalTakesAll().hands_on(L.Multiply(1, constant=[2.0])) == (False,)


# ---- the other branch of an output ---------------------------------------------------------------------------------------


def detector(scores: tuple[L.Layer, ...] = ()) -> Model:
    """Two extents exp(x B) beside two scores x C."""
    nodes = [Node("b", L.Dense(V), "input"), Node("extents", L.Exp(), "b"), Node("c", L.Dense(V[:, ::-1]), "input")]
    names = ["c"]
    for layer in scores:
        nodes.append(Node(type(layer).__name__.lower(), layer, names[-1]))
        names.append(nodes[-1].name)
    joined = (Node("both", L.Concat(), ("extents", names[-1])), Node("out", L.Reshape((2, 2)), "both"))
    return Model((*nodes, *joined))


@each_backend
@pytest.mark.parametrize("shape", [None, (3,)])
def test_a_branch_that_is_not_asked_for_needs_no_rule(backend, shape):
    model = Model(detector().nodes, input_shape=shape)
    explainer = Explainer(model, rule=rules.Zero(), backend=backend, ledger=True)
    x = X[:, 0]
    e = explainer(x, target=(1, 0))
    np.testing.assert_allclose(e.relevance, x * V[:, 1], rtol=1e-13)
    np.testing.assert_allclose(e.value, x @ V[:, 1])
    assert [entry.node for entry in e.ledger] == ["start at c", "c"]
    for call in (
        {"target": (0, 1)},
        {"targets": [(1, 0), (0, 0)]},
        {"target": (1, 0), "contrast": 0},
        {"start": np.ones((2, 2, 2))},
    ):
        with pytest.raises(RuleError, match=r"no rule for node 'extents' \(Exp\)"):
            explainer(x, **call)


def test_a_branch_beside_probabilities():
    explainer = Explainer(detector((L.Sigmoid(),)), rule=rules.Zero(), head="logit")
    np.testing.assert_allclose(explainer(X[:, 0], target=3).relevance, X[:, 0] * V[:, 0], rtol=1e-13)
    with pytest.raises(RuleError, match="node 'extents'"):
        explainer(X[:, 0], target=0)
    with pytest.raises(HeadError, match="element 2"):
        Explainer(detector((L.Sigmoid(),)))(X[:, 0], target=2)


def test_where_no_branch_has_its_rules():
    with pytest.raises(RuleError, match=r"node 'extents' .*node 'exp'"):
        Explainer(detector((L.Exp(),)))
    with pytest.raises(RuleError, match="node 'extents'"):
        Explainer(Model.sequential([L.Dense(V), L.Exp(), L.Flatten()], ["h", "extents", "out"]))
