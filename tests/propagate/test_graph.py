"""The definition of going back through a graph, and that every way of computing gives what it says."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, fractions
from lrp_ref.errors import RuleError
from lrp_ref.network.model import ancestors
from lrp_ref.propagate.graph import backward, by_rules
from support import dual, recurrent_strategies
from support.graph_strategies import Net, explained, nets
from support.graph_walk import walk
from support.strategies import FLOAT_TYPES, fewer

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
ROUNDOFF = {np.float64: Fraction(1, 2**53), np.float32: Fraction(1, 2**24)}


def explainer(net: Net, composite: Composite, **options: Any) -> Explainer:
    return Explainer(net.model, composite, allow_negative=True, keep="all", **net.options, **options)


def assigned(net: Net, composite: Composite) -> dict[str, rules.Rule]:
    return composite.assign(net.canonical, ancestors(net.canonical, "scores"))


def score(net: Net, target: Array) -> Array:
    """The start that explains the scores `target`, (N,)."""
    scores = net.values["scores"]
    return np.where(np.arange(scores.shape[1]) == target[:, None], scores, scores * 0)


def agree(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> bool:
    """Whether all that was reached is equal, to the last bit, and all else is 0."""
    assert set(wanted) <= set(found)
    for name, R in found.items():
        other = wanted.get(name, R * 0)
        assert R.dtype == other.dtype, name
        assert R.shape == other.shape, name
        assert (other == R).all(), name
    return True


# --- by hand ------------------------------------------------------------------------------------------------------------------


def test_what_several_readers_hand_to_a_node_adds_up():
    """x = (1, 2) is read by a (its sum, 3) and by b (its difference, −1); z = 2a + b = 5.

    LRP-0: R_a = 6, R_b = −1; a gives 6·(1, 2)/3 = (2, 4), b −1·(1, −2)/−1 = (1, −2): together (3, 2).
    """
    nodes = (
        Node("a", L.Dense([[1.0], [1.0]]), ("input",)),
        Node("b", L.Dense([[1.0], [-1.0]]), ("input",)),
        Node("both", L.Concat(), ("a", "b")),
        Node("z", L.Dense([[2.0], [1.0]]), ("both",)),
    )
    model = Model(nodes)
    values = model.trace(np.array([[1.0, 2.0]])).activations
    by = by_rules({"a": rules.Zero(), "b": rules.Zero(), "both": rules.Pass(), "z": rules.Zero()})
    R = backward(model, values, {"z": values["z"]}, by)
    assert {name: part.tolist() for name, part in R.items()} == {
        "z": [[5]],
        "both": [[6, -1]],
        "a": [[6]],
        "b": [[-1]],
        "input": [[3, 2]],
    }
    below = backward(model, values, {"a": np.array([[3.0]])}, by)
    assert set(below) == {"a", "input"}
    assert below["input"].tolist() == [[1, 2]]


def test_a_node_without_a_rule_gets_no_relevance_and_hands_none_on():
    nodes = (
        Node("gate", L.Dense([[1.0], [1.0]]), ("input",)),
        Node("signal", L.Dense([[2.0], [1.0]]), ("input",)),
        Node("z", L.Multiply(1), ("gate", "signal")),
    )
    model = Model(nodes)
    values = model.trace(np.array([[1.0, 2.0]])).activations
    served: dict[str, rules.Rule] = {"z": rules.SignalTakesAll(), "signal": rules.Zero()}
    R = backward(model, values, {"z": values["z"]}, by_rules(served))
    assert R["gate"].tolist() == [[0]]
    assert R["input"].tolist() == [[6, 6]]
    with pytest.raises(RuleError, match=r"relevance arrives at node 'gate' \(Dense\), which has no rule"):
        backward(model, values, {"z": values["z"]}, by_rules(served | {"z": rules.HalfProduct()}))
    with pytest.raises(RuleError, match=r"node 'signal' \(Dense\)"):
        backward(model, values, {"z": values["z"]}, by_rules(served | {"signal": rules.Pass()}))


# --- what explainers give -----------------------------------------------------------------------------------------------------


@given(explained())
def test_explanations_in_rationals_are_the_definition(drawn):
    """CONV-BRANCH-SUM, CONV-AT-OUTPUT, CONV-START-SCORE: of one target, several, and a difference of two."""
    net, composite = drawn[0].astype(object), drawn[1]
    explain, by = explainer(net, composite), by_rules(assigned(net, composite))

    def defined(start: Array) -> dict[str, Array]:
        return backward(net.canonical, net.values, {"scores": start}, by)

    classes = net.values["scores"].shape[1]
    one = explain(net.inputs)
    assert agree(one.relevances, defined(score(net, one.target)))
    every = explain(net.inputs, "all")
    for t in range(classes):
        assert agree({name: R[:, t] for name, R in every.relevances.items()}, defined(score(net, every.target[:, t])))
    if classes > 1:
        others = (one.target + 1) % classes
        assert agree(explain(net.inputs, contrast=others).relevances, defined(score(net, one.target) - score(net, others)))


@fewer
@given(explained(), st.data())
def test_a_given_start_and_a_filter_are_the_definition(drawn, data):
    """A start is what begins at its node; what a filter leaves is what the node then shares out."""
    net, composite = drawn[0].astype(object), drawn[1]
    by, below = by_rules(assigned(net, composite)), ancestors(net.canonical, "scores")
    name = data.draw(st.sampled_from(sorted(below)))
    values = net.values[name]
    start = values * 2 + 1
    given_one = explainer(net, composite)(net.inputs, start=start, start_at=name)
    assert agree(given_one.relevances, backward(net.canonical, net.values, {name: start}, by))

    mask = np.arange(values[0].size).reshape(values[0].shape) % 2 == 0
    chosen = fractions(mask.astype(int))

    def filtered(node: Node, inputs: tuple[Array, ...], output: Array, R: Array) -> tuple[Array, ...]:
        return by(node, inputs, output, R * chosen if node.name == name else R)

    e = explainer(net, composite)(net.inputs, filter={name: mask})
    wanted = backward(net.canonical, net.values, {"scores": score(net, e.target)}, filtered)
    assert agree(e.relevances, wanted | ({name: wanted[name] * chosen} if name in wanted else {}))


@given(explained(), st.sampled_from(FLOAT_TYPES))
def test_the_reference_gives_the_bits_of_the_definition(drawn, dtype):
    net, composite = drawn[0].astype(dtype), drawn[1]
    e = explainer(net, composite, backend="reference")(net.inputs)
    by = by_rules(assigned(net, composite))
    assert agree(e.relevances, backward(net.canonical, net.values, {"scores": score(net, e.target)}, by))


@each_backend
@fewer
@given(explained(), st.sampled_from(FLOAT_TYPES))
def test_every_backend_is_within_rounding_of_the_definition(backend, drawn, dtype):
    """CONV-FLOAT-GENERAL, for either of the two: the walk in rationals says how far it may be."""
    net, composite = drawn[0].astype(dtype), drawn[1]
    assume(net.exact)
    e = explainer(net, composite, backend=backend)(net.inputs)
    start, by = score(net, e.target), assigned(net, composite)
    exact = walk(net.canonical, by, net.values, "scores", start, ROUNDOFF[dtype])
    found = backward(net.canonical, net.values, {"scores": start}, by_rules(by))
    assert set(found) == set(exact.relevance)
    for name, R in found.items():
        assert exact.agrees(name, R), name
        assert (abs(fractions(R) - fractions(e.at(name))) <= 2 * exact.error[name]).all(), name


# --- through time -------------------------------------------------------------------------------------------------------------


def recurrent(case: recurrent_strategies.Case) -> Net:
    """A layer at two nodes, whose outputs add up, and scores."""
    x = case.inputs[0]
    shape = case.relevance.shape[1:]
    numbers = np.random.default_rng(3)
    nodes = (
        Node("doubled", L.Add(), ("input", "input")),
        Node("cell1", case.layer, ("doubled",)),
        Node("cell2", case.layer, ("input",)),
        Node("sum", L.Add(), ("cell1", "cell2")),
        Node("flat", L.Flatten(), ("sum",)),
        Node("scores", L.Dense(recurrent_strategies.numbers(numbers, int(np.prod(shape)), 2)), ("flat",)),
    )
    return Net(Model(nodes), {"input": x})


@given(recurrent_strategies.cases(reads=()), recurrent_strategies.through_time())
def test_relevance_through_time_is_the_definition(case, rule):
    composite = Composite((("cell1", rule), ("cell2", rule), ("flat", rules.Pass()), (L.Linear, rules.Epsilon(0.25))))
    net = recurrent(case).astype(object)
    e = explainer(net, composite)(net.inputs)
    wanted = backward(net.canonical, net.values, {"scores": score(net, e.target)}, by_rules(assigned(net, composite)))
    assert agree(e.relevances, wanted)
    floats = recurrent(case)
    for backend in lrp_ref.BACKENDS:
        found = explainer(floats, composite, backend=backend)(floats.inputs, e.target.tolist())
        start, by = score(floats, found.target), by_rules(assigned(floats, composite))
        defined = backward(floats.canonical, floats.values, {"scores": start}, by)
        for name, R in defined.items():
            np.testing.assert_allclose(found.at(name), R, rtol=1e-9, atol=1e-9 * float(abs(R).max(initial=1)))


# --- a derivative -------------------------------------------------------------------------------------------------------------


def generic(inputs: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Fractions near these, at which nothing is at a kink by chance."""
    offsets = {name: fractions(rng.integers(1, 10**9, a.shape)) / 10**11 for name, a in inputs.items()}
    return {name: fractions(a) + offsets[name] for name, a in inputs.items()}


def derives(net: Net, seed: int) -> None:
    """⟨u, J v⟩ = ⟨Jᵀu, v⟩ of the whole network, J v from a forward pass on dual numbers."""
    rng = np.random.default_rng(seed)
    model = net.model.astype(object)
    x = generic(net.inputs, rng)
    v = {name: fractions(rng.integers(-4, 5, a.shape)) for name, a in x.items()}
    moved = {name: dual.duals(x[name], v[name]) for name in x}
    for node in model.nodes:
        moved[node.name] = node.layer.forward(*(moved[name] for name in node.inputs))
    values = model.trace(x).activations
    u = fractions(rng.integers(-4, 5, values["scores"].shape))
    at_node = by_rules({node.name: rules.Gradient() for node in model.nodes})
    lower = backward(model, values, {"scores": u}, at_node)
    upward = dual.inner(u, dual.slope(moved["scores"]))
    assert upward == sum((dual.inner(lower[name], v[name]) for name in x if name in lower), Fraction(0))


@given(nets(), st.integers(0, 1000))
def test_gradients_of_networks_are_those_of_dual_numbers(net, seed):
    derives(net, seed)


@fewer
@given(recurrent_strategies.cases(reads=()), st.integers(0, 1000))
def test_gradients_through_time_are_those_of_dual_numbers(case, seed):
    derives(recurrent(case), seed)
