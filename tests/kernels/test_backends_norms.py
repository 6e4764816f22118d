"""Normalisations by a group's own statistics, embeddings, global maxima: every backend as the definition says, in what runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, composites, errors, rules
from lrp_ref import layers as L
from lrp_ref.network.model import Model as Graph

#: The jit backend takes NumPy's steps here.
each_backend = pytest.mark.parametrize("backend", [name for name in lrp_ref.BACKENDS if name != "jit"])
each_fast = pytest.mark.parametrize("backend", [name for name in lrp_ref.BACKENDS if name not in ("jit", "reference")])
each_type = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
compiled = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")
COLUMNS = ("arriving", "inputs", "bias", "stabiliser", "unassigned", "turnover", "arriving_abs", "inputs_abs")
SHAPE = (4, 3, 7)


def some(*extents: int, seed: int = 7) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(extents)


NORMS: tuple[L.Layer, ...] = (
    *(L.LayerNorm(1, some(7), some(7, seed=8)), L.LayerNorm(2, some(3, 7), some(7)), L.LayerNorm(3, outside=0.25, correction=1)),
    *(
        L.LayerNorm(1, some(1)),
        L.InstanceNorm(some(4), some(4, seed=8)),
        L.InstanceNorm(),
        L.GroupNorm(2, some(4), some(4, seed=8)),
    ),
    *(L.GroupNorm(1), L.RMSNorm(1, some(7)), L.RMSNorm(2, some(3, 1), some(7), outside=0.5), L.RMSNorm(3)),
)
HELD = (rules.ConstantDeviation(), rules.ConstantDeviation(0.125), rules.ConstantDeviation(0), rules.ConstantStatistics(0.01))


def around(layer: L.Layer, currency: str = "ratio", turned: bool = False) -> Model:
    """The layer between two convolutions; relevance arrives in the currency; `turned`: its input is a transposed view."""
    rng = np.random.default_rng(0)
    below, above = rng.standard_normal((4, 4, 1, 1)), rng.standard_normal((3, 4, 1, 1))
    nodes = [Node("below", L.Conv(below, rng.standard_normal(4)), ("input",)), Node("front", L.Softsign(), ("below",))]
    nodes += [Node("there", L.Transpose((0, 3, 2, 1)), ("front",)), Node("bend", L.Tanh(), ("there",))] if turned else []
    nodes += [Node("back", L.Transpose((0, 3, 2, 1)), ("bend",))] if turned else []
    nodes += [Node("layer", layer, (nodes[-1].name,))]
    nodes += [Node("pool", L.MaxPool((1, 1)) if currency == "ratio" else L.Tanh(), ("layer",))]
    nodes += [Node("above", L.Conv(above, rng.standard_normal(3)), ("pool",)), Node("mean", L.GlobalAvgPool(), ("above",))]
    return Model((*nodes, Node("flat", L.Flatten(), ("mean",))), input_shape=SHAPE)


def explained(
    model: Model, backend: str, dtype: Any, rule: Any = None, samples: int = 2, x: Any = None, ledger: bool = True
) -> lrp_ref.Explanation:
    given = np.random.default_rng(2).standard_normal((2, *SHAPE))[:samples] if x is None else x
    entries: Sequence[Any] = composites.epsilon_plus().entries
    kinds = () if rule is None else (L.LayerNorm, L.InstanceNorm, L.GroupNorm, L.RMSNorm)
    chosen = Composite((*((kind, rule) for kind in kinds), *entries))
    explainer = Explainer(model.astype(dtype), chosen, keep="all", ledger=ledger, backend=backend, allow_negative=True)
    return explainer(given.astype(dtype), targets=[0, 2])


def require_same(found: lrp_ref.Explanation, expected: lrp_ref.Explanation, dtype: Any) -> None:
    """Relevance everywhere, and the accounts, to the rounding of the sums of a group."""
    eps = float(np.finfo(dtype).eps)
    assert np.abs(found.prediction - expected.prediction).max() <= 256 * eps * np.abs(expected.prediction).max()
    for name, R in expected.relevances.items():
        assert np.abs(found.at(name) - R).max() <= 1e4 * eps * max(1.0, np.abs(R).max()), name
    for entry in expected.ledger:
        booking, other = entry.booking, found.ledger[entry.node]
        for column in COLUMNS:
            gap = abs(getattr(other, column) - getattr(booking, column))
            assert (gap <= 1e4 * eps * (booking.turnover + 1e-30)).all(), (entry.node, column)
        assert other.flags == booking.flags
    assert [(entry.node, entry.rule) for entry in found.ledger] == [(entry.node, entry.rule) for entry in expected.ledger]


@pytest.mark.parametrize("layer", NORMS, ids=repr)
@pytest.mark.parametrize("currency", ["ratio", "relevance"])
@each_type
@each_fast
def test_a_normalisation_hands_on_what_the_definition_does(backend, dtype, currency, layer):
    for rule in HELD if dtype is np.float32 else HELD[1:3]:
        model = around(layer, currency, turned=currency == "relevance")
        expected = explained(model, "reference", dtype, rule)
        require_same(explained(model, backend, dtype, rule), expected, dtype)


@each_type
@each_backend
def test_a_sample_has_the_same_bits_in_every_batch_and_with_its_accounts(backend, dtype):
    for layer in NORMS:
        together, alone = (explained(around(layer), backend, dtype, samples=n) for n in (2, 1))
        without = explained(around(layer), backend, dtype, ledger=False)
        for name in alone.relevances:
            assert np.ascontiguousarray(together.at(name)[:1]).tobytes() == alone.at(name).tobytes(), (layer, name)
            assert np.ascontiguousarray(together.at(name)).tobytes() == without.at(name).tobytes(), (layer, name)


@each_type
@each_fast
@pytest.mark.parametrize("rule", [rules.ConstantDeviation(0), rules.ConstantDeviation(0.5)], ids=str)
def test_groups_of_equal_numbers_share_nothing_as_the_definition_says(backend, dtype, rule):
    """Every output is 0, so that without ε no share is alive: what arrives is unassigned, in floats and accounts."""
    layer = L.LayerNorm(1, epsilon=0.25)
    model = Model((Node("layer", layer, ("input",)), Node("flat", L.Flatten(), ("layer",))), input_shape=(2, 5))
    x = np.ones((2, 2, 5))
    x[1, 1] = np.arange(5.0)
    expected = explained(model, "reference", dtype, rule, x=x)
    found = explained(model, backend, dtype, rule, x=x)
    require_same(found, expected, dtype)
    assert not found.relevance[0].any()


@each_backend
def test_a_variance_that_overflows_is_refused_by_name(backend):
    model = Model((Node("norm", L.LayerNorm(1), ("input",)),), input_shape=(4,))
    with pytest.raises(errors.NonFiniteError, match=r"variance.*overflows float32"):
        explained(model, backend, np.float32, x=np.array([[1e30, -1e30, 0.0, 1.0]]))


@each_backend
def test_an_input_that_does_not_fit_names_the_node(backend):
    model = Model((Node("norm", L.LayerNorm(1, np.ones(4)), ("input",)),))
    with pytest.raises(errors.LrpError, match="norm"):
        explained(model, backend, np.float32, x=np.ones((1, 5)))


def words(table: np.ndarray[Any, Any]) -> Model:
    nodes = [Node("words", L.Embedding(table), ("input",)), Node("norm", L.LayerNorm(1), ("words",))]
    nodes += [Node("turned", L.Transpose((0, 2, 1)), ("norm",)), Node("best", L.GlobalMaxPool(), ("turned",))]
    nodes += [Node("flat", L.Flatten(), ("best",)), Node("scores", L.Dense(some(6, 3)), ("flat",))]
    return Model(tuple(nodes), input_shape=(5,))


@each_type
@each_fast
def test_words_get_what_their_vectors_got(backend, dtype):
    x = np.array([[0, 3, 3, 1, -1], [2, 2, 0, 0, 1]], float)
    model = words(some(9, 6))
    require_same(explained(model, backend, dtype, x=x), explained(model, "reference", dtype, x=x), dtype)


@each_backend
@pytest.mark.parametrize("word", [9.0, -10.0, 0.5])
def test_a_word_that_is_not_in_the_table_is_refused_with_its_place(backend, word):
    x = np.array([[0, 3, word, 1, -1]])
    with pytest.raises(errors.ParameterError, match=r"words.*9 rows.*\(0, 2\)"):
        explained(words(some(9, 6)), backend, np.float32, x=x)


@compiled
@each_type
@pytest.mark.parametrize("ledger", [False, True])
def test_the_layers_of_a_reader_of_bytes_never_run_in_reference_code(monkeypatch, dtype, ledger):
    """Counted in what runs: a node computed by the model, a rule's own propagate, a lookup's own way back."""
    model, x = words(some(9, 6)).astype(dtype), np.array([[0, 3, 3, 1, -1]], dtype)
    explainer = Explainer(model, "epsilon_plus", backend="compiled", ledger=ledger, allow_negative=True)
    explainer(x)
    ran: list[str] = []
    compute = Graph.compute
    monkeypatch.setattr(Graph, "compute", staticmethod(lambda node, inputs: ran.append(node.name) or compute(node, inputs)))
    monkeypatch.setattr(rules.ConstantDeviation, "propagate", lambda *_: ran.append("propagate"))
    monkeypatch.setattr(L.LayerNorm, "forward", lambda *_: ran.append("forward"))
    monkeypatch.setattr(L.Embedding, "sum_vectors", lambda *_: ran.append("restore"))
    explainer(x)
    assert set(ran) <= {"turned", "flat"}  # views
