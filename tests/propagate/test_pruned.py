"""Explaining one of several outputs computes that one alone."""

from __future__ import annotations

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, errors
from lrp_ref import layers as L
from lrp_ref.network.model import Model as Graph


def two_heads(rng: np.random.Generator) -> Model:
    nodes = [Node("body", L.Dense(rng.standard_normal((4, 5))), ("input",)), Node("relu", L.ReLU(), ("body",))]
    nodes += [Node("scores", L.Dense(rng.standard_normal((5, 3))), ("relu",)), Node("probability", L.Softmax(), ("scores",))]
    nodes += [
        Node("other", L.Dense(rng.standard_normal((5, 2))), ("relu",)),
        Node("words", L.Embedding(np.ones((9, 2))), ("other",)),
    ]
    return Model(tuple(nodes), outputs=("probability", "words"), input_shape=(4,))


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_what_another_output_alone_needs_is_not_computed(backend):
    """The other head's words are no whole numbers: predicting it is refused, explaining this one is not."""
    rng = np.random.default_rng(0)
    model, x = two_heads(rng), rng.standard_normal((3, 4))
    with pytest.raises(errors.ParameterError, match="words"):
        model(x)
    found = Explainer(model, output="probability", head="logit", backend=backend, ledger=True, keep="all")(x)
    alone = Model(model.nodes[:4], input_shape=(4,))
    wanted = Explainer(alone, head="logit", backend=backend, ledger=True, keep="all")(x)
    assert found.prediction.tobytes() == wanted.prediction.tobytes()
    assert found.relevance.tobytes() == wanted.relevance.tobytes()
    assert [entry.node for entry in found.ledger] == [entry.node for entry in wanted.ledger]


def test_a_start_below_the_output_and_an_unknown_one(monkeypatch):
    rng = np.random.default_rng(0)
    model, x = two_heads(rng), rng.standard_normal((3, 4))
    explainer, ran = Explainer(model, output="probability", head="logit", backend="reference"), []
    compute = Graph.compute
    monkeypatch.setattr(Graph, "compute", staticmethod(lambda node, inputs: ran.append(node.name) or compute(node, inputs)))
    explainer(x, start=np.ones((3, 5)), start_at="relu")
    assert set(ran) == {"body", "relu", "scores", "probability"}
    for name in ("other", "nowhere"):
        with pytest.raises(errors.UnknownNameError, match=name):
            explainer(x, start=np.ones((3, 5)), start_at=name)


def test_the_table_of_steps_still_has_every_node():
    explainer = Explainer(two_heads(np.random.default_rng(0)), output="probability", head="logit")
    assert {node.name for step in explainer.plan().steps for node in step.nodes} >= {"other", "words"}
