"""Shapes are worked out once for inputs of a shape, whoever asks; a rewritten network has those of the one it is made from."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Predictor
from lrp_ref import layers as L
from support.graph_strategies import nets


@pytest.fixture
def counts(monkeypatch):
    """How often shapes are worked out, and rules assigned."""
    found = Counter()

    def counting(kind, name):
        real = getattr(kind, name)

        def counted(self, *args):
            found[name] += 1
            return real(self, *args)

        monkeypatch.setattr(kind, name, counted)

    counting(Model, "shapes")
    counting(Composite, "assign")
    return found


def network(**options):
    layers = [L.Conv(np.ones((2, 1, 3, 3))), L.ReLU(), L.MaxPool(2), L.Flatten(), L.Dense(np.ones((18, 2)))]
    return Model.sequential(layers, **options)


@pytest.mark.parametrize("options", [{}, {"input_shape": (1, 8, 8)}], ids=["open", "known"])
def test_once_from_the_model_to_the_explanation(counts, options):
    model, x = network(**options), np.ones((1, 1, 8, 8))
    explainer = Explainer(model)
    explainer(x)
    assert counts == {"shapes": 1, "assign": 1}
    explainer(np.ones((3, 1, 8, 8)), target=1)
    explainer(x, filter={"conv1": 0})
    Predictor(model)(x)
    model(x)
    lrp_ref.explain(model, x, composite="alpha1_beta0")
    assert counts == {"shapes": 1, "assign": 2}
    if not options:
        explainer(np.ones((1, 1, 9, 9)))
        assert counts == {"shapes": 2, "assign": 2}


def test_a_number_of_samples_is_no_shape():
    model = network()
    assert model.sample_shapes((1, 1, 8, 8)) is model.sample_shapes((5, 1, 8, 8))
    shapes = model.sample_shapes((5, 1, 8, 8))
    assert shapes["conv1"] == (2, 6, 6)
    assert shapes.batch(4) == model.shapes((4, 1, 8, 8))
    model.forget()
    assert model.sample_shapes((1, 1, 8, 8)) is not shapes


@given(nets())
def test_a_rewritten_network_has_the_shapes_of_the_one_that_it_is_made_from(net):
    inputs = {name: a.shape for name, a in net.inputs.items()}
    wanted = net.model.sample_shapes(inputs)
    assert net.canonical.sample_shapes(inputs).items() <= wanted.items()
    for name, a in net.values.items():
        assert wanted[name] == a.shape[1:]


def test_a_rewritten_network_that_shares_a_memo_is_not_mistaken_for_the_whole():
    shape = (1, 6, 6)
    norm = L.BatchNorm(np.zeros(2), np.ones(2))
    model = Model.sequential([L.Conv(np.ones((2, 1, 3, 3))), norm, L.Flatten(), L.Dense(np.ones((32, 2)))])
    explainer = Explainer(model)
    rewritten = explainer.plan({"input": shape}).model
    first = rewritten.sample_shapes((1, *shape))
    assert set(first) == {"input", *(node.name for node in rewritten.nodes)}
    assert set(model.sample_shapes((1, *shape))) == {"input", *(node.name for node in model.nodes)}
