"""Two networks that are the same function, and what their explanations have in common; gradient × input.

Exact in rationals, and for every backend in floats: bit for bit where the same numbers are computed, else within the
rounding bound of the naive walk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, fractions
from lrp_ref.network.model import ancestors
from support.graph_strategies import LINEAR_RULES, Net, explained, many, nets
from support.graph_walk import walk
from support.strategies import FLOAT_TYPES, arrays, cast, fewer

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
U = Fraction(1, 2**53)
ODD = st.integers(-16, 15).map(lambda k: (2 * k + 1) / 16)  # sums of few of their products are 0


def equal(found: Array, expected: Array) -> bool:
    """Whether rationals are equal, and are rationals."""
    return found.dtype == expected.dtype == object and found.shape == expected.shape and bool((found == expected).all())


def same_bits(found: Array, expected: Array) -> bool:
    return found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


# ---- LRP-0 is gradient × input -----------------------------------------------------------------------------------------


def directions(net: Net, h: Fraction) -> dict[str, Array]:
    """One sample as it is, then with each element of each input larger by h, then smaller by h."""
    elements = [(name, i) for name, a in net.inputs.items() for i in range(a.size)]
    found = {name: np.repeat(a, 1 + 2 * len(elements), axis=0) for name, a in net.inputs.items()}
    for row, (name, i) in enumerate(elements, start=1):
        found[name][row].reshape(-1)[i] += h
        found[name][row + len(elements)].reshape(-1)[i] -= h
    return found


def gradients(net: Net) -> dict[str, Array] | None:
    """∂ scores / ∂ input, (classes, *input), of one sample of a piecewise linear network in rationals; None at a kink.

    Differences of a linear function are its slopes, exactly. A step of 2⁻⁸⁰ leaves no linear piece but where a kink is hit,
    and then some node is not linear along some element.
    """
    h = Fraction(1, 2**80)
    values = net.canonical.trace(directions(net, h)).activations
    count = (next(iter(values.values())).shape[0] - 1) // 2
    for node in net.canonical.nodes:
        v = values[node.name]
        up, down = v[1 : 1 + count] - v[:1], v[:1] - v[1 + count :]
        if (up != down).any():
            return None
        # A sum that is 0 and moves has no share to be in proportion to: LRP-0 loses it, and the gradient does not.
        if isinstance(node.layer, L.Linear) and ((v[:1] == 0) & (up != 0)).any():
            return None
    scores = values["scores"]
    slopes = (scores[1 : 1 + count] - scores[:1]) / h
    found, first = {}, 0
    for name, a in net.inputs.items():
        found[name] = slopes[first : first + a.size].T.reshape(-1, *a.shape[1:])
        first += a.size
    return found


@given(nets(numbers=ODD, products=False), st.data())
def test_lrp_0_is_gradient_times_input(net, data):
    """CONV-BIAS-DENOMINATOR: off every kink, and where no sum of non-zero terms outside a ReLU is 0."""
    one = net.sample(0)
    slopes = gradients(one.astype(object))
    assume(slopes is not None)
    composite = composites.uniform(rules.Zero())
    c = data.draw(st.integers(0, one.values["scores"].shape[1] - 1))
    exact = Explainer(one.model.astype(object), composite, **one.options)(one.astype(object).inputs, c)
    gradient = Explainer(one.model.astype(object), composites.gradient(), head="unit", **one.options)(
        one.astype(object).inputs, c
    )
    for name, a in one.inputs.items():
        assert equal(exact.relevances[name], fractions(a) * slopes[name][c])
        assert equal(gradient.relevances[name][0], slopes[name][c])
    assume(one.exact)
    start = np.where(np.arange(one.values["scores"].shape[1]) == c, one.values["scores"], 0.0)
    assigned = composite.assign(one.canonical, ancestors(one.canonical, "scores"))
    bound = walk(one.canonical, assigned, one.values, "scores", start, U).error
    for backend in lrp_ref.BACKENDS:
        e = Explainer(one.model, composite, backend=backend, **one.options)(one.inputs, c)
        for name, a in one.inputs.items():
            assert (abs(fractions(e.relevances[name]) - fractions(a) * slopes[name][c]) <= bound.get(name, 0)).all()


@pytest.mark.parametrize("rule", [rules.Epsilon(0.25), rules.Gamma(0.25), rules.ZPlus()])
def test_other_rules_are_not_gradient_times_input(rule):
    """N1 of the papers at (1, 4), whose gradient × input is (5, 4)."""
    model = Model.sequential(
        [L.Dense([[2.0, -1.0, 1.0], [-1.0, 1.0, 1.0]], [1.0, 0.0, -1.0]), L.ReLU(), L.Dense([[1.0], [-2.0], [3.0]], [0.5])]
    )
    x = [[1.0, 4.0]]
    assert np.allclose(lrp_ref.explain(model, x, rule=rules.Zero()).relevance, [[5, 4]], rtol=1e-14)
    assert not np.allclose(lrp_ref.explain(model, x, rule=rule).relevance, [[5, 4]], rtol=1e-2)


# ---- folding -----------------------------------------------------------------------------------------------------------


def cancels(model: Model, values: Mapping[str, Array]) -> bool:
    """Whether terms that are not 0 add up to 0 anywhere."""
    for node in model.nodes:
        if not isinstance(node.layer, L.Linear):
            continue
        z, layer = values[node.name], node.layer
        sizes = sum(layer.map(abs(values[n]), abs(w)) for n, w in zip(node.inputs, layer.weights, strict=True))
        bias = layer.offset(z.ndim)
        if ((z == 0) & (sizes + (0 if bias is None else abs(bias)) != 0)).any():
            return True
    return False


def _affine_nets() -> Any:
    kinds = (L.BatchNorm, L.Scale)
    return nets(numbers=ODD).filter(lambda net: any(isinstance(node.layer, kinds) for node in net.model.nodes))


@given(_affine_nets())
def test_folding_keeps_the_function_and_lrp_0(drawn):
    """CONV-BN-FOLD."""
    net = drawn.astype(object)
    names = [name for name in net.model.outputs if name in net.canonical]
    before, after = net.model.trace(net.inputs), net.values
    assert equal(after["scores"], before["scores"])
    assert "scores" in names
    assume(not cancels(net.model, before.activations))
    assume(not cancels(net.canonical, after))
    # The product rules ask which factor is the signal, not what precedes it.
    composite = composites.uniform(rules.Zero())
    folded, unfolded = (
        Explainer(net.model, composite, canonize=canonize, **net.options)(net.inputs, "all") for canonize in (True, False)
    )
    for name in net.inputs:
        assert equal(folded.relevances[name], unfolded.relevances[name])


@each_backend
@fewer
@given(_affine_nets(), st.sampled_from(FLOAT_TYPES))
def test_folding_keeps_the_function_in_floats(backend, drawn, dtype):
    net = drawn.astype(dtype)
    exact = drawn.astype(object).values["scores"]
    size = 1 + max(float(abs(a).max()) for a in net.values.values())
    e = Explainer(net.model, "epsilon_plus", backend=backend, **net.options)(net.inputs)
    for found in (net.model(net.inputs), e.prediction):
        scores = found["scores"] if isinstance(found, Mapping) else found
        assert scores.dtype == dtype
        assert np.allclose(scores, exact.astype(np.float64), rtol=0, atol=200 * np.finfo(dtype).eps * size**2)


# ---- shared layers, split neurons, permuted channels -------------------------------------------------------------------


def _with_copies(model: Model) -> Model:
    """Every node with a layer of its own, of equal weights (behind the same strides, which BLAS may round differently)."""
    nodes = tuple(Node(n.name, replace(n.layer), n.inputs) for n in model.nodes)
    return Model(nodes, model.inputs, model.outputs, dict(model.domain), dict(model.input_shape))


def _shared(net: Net) -> bool:
    layers = [node.layer for node in net.model.nodes]
    return len({id(layer) for layer in layers}) < len(layers)


@each_backend
@fewer
@given(explained(numbers=many(), rational=False).filter(lambda drawn: _shared(drawn[0])), st.sampled_from(FLOAT_TYPES))
def test_a_shared_layer_is_two_copies(backend, drawn, dtype):
    """CONV-SHARED-LAYER: At every node, bit for bit: the split between the two uses, not only the sum."""
    net, composite = drawn[0].astype(dtype), drawn[1]
    options: dict[str, Any] = {"keep": "all", "backend": backend, "allow_negative": True, **net.options}
    shared = Explainer(net.model, composite, **options)(net.inputs)
    copied = Explainer(_with_copies(net.model), composite, **options)(net.inputs)
    for name in shared.relevances:
        assert same_bits(shared.at(name), copied.at(name))


@each_backend
def test_a_layer_used_twice_by_hand(backend):
    """x = (1, 2): z = xW = (7, 4), zW = (19, 18). Of R = 19 for the first output z takes (7, 12), and x (1 + 6, 6 + 6)."""
    twice = L.Dense([[1.0, 2.0], [3.0, 1.0]])
    e = Explainer(Model.sequential([twice, twice]), rule=rules.Zero(), keep="all", backend=backend)([[1.0, 2.0]], 0)
    assert np.allclose(e.at("dense1"), [[7, 12]], rtol=1e-15)
    assert np.allclose(e.relevance, [[7, 12]], rtol=1e-15)


@each_backend
@given(st.data())
def test_splitting_a_neuron_keeps_the_prediction_and_lrp_0(backend, data):
    """A neuron split in two with weights θ and w − θ above (Montavon 2019, Fig. 13.6): the same function."""
    numbers = st.sampled_from([1.0, -1.0, 0.5, 0.25, -0.5, 2.0])
    w1, b1 = data.draw(arrays((3, 3), numbers)), data.draw(arrays((3,), numbers))
    w2, b2, theta = data.draw(arrays((3, 2), numbers)), data.draw(arrays((2,), numbers)), data.draw(arrays((2,), numbers))
    x, s = data.draw(arrays((2, 3), numbers)), data.draw(st.integers(0, 2))
    upper = np.concatenate([w2, theta[None]])
    upper[s] = w2[s] - theta
    one = Model.sequential([L.Dense(w1, b1), L.ReLU(), L.Dense(w2, b2)])
    two = Model.sequential(
        [L.Dense(np.concatenate([w1, w1[:, [s]]], axis=1), np.append(b1, b1[s])), L.ReLU(), L.Dense(upper, b2)]
    )
    found = []
    for dtype in (np.float64, object):
        for model in (one, two):
            e = Explainer(model.astype(dtype), rule=rules.Zero(), keep="all", backend=backend)(cast(x, dtype), 0)
            assert np.array_equal(e.prediction.astype(np.float64), one(x))
            found.append(e)
    whole, split = found[2:]
    hidden = split.at("dense1")
    joined = hidden[:, :3] * 1
    joined[:, s] += hidden[:, 3]
    assert equal(whole.relevance, split.relevance)
    assert equal(whole.at("dense1"), joined)
    assert np.allclose(found[0].relevance, found[1].relevance, rtol=1e-12, atol=1e-12)


@each_backend
@fewer
@given(st.data(), st.sampled_from(LINEAR_RULES))
def test_permuting_channels_permutes_relevance(backend, data, rule):
    """Of the input and of a hidden layer, through a whole network; exact in rationals, within the bound of the walk in floats."""
    numbers = st.sampled_from([1.0, -1.0, 0.5, 0.25, -0.5, 2.0])
    w1, b1 = data.draw(arrays((4, 3, 2), numbers)), data.draw(arrays((4,), numbers))
    w2, w3 = data.draw(arrays((2, 4, 2), numbers)), data.draw(arrays((4, 2), numbers))
    x = data.draw(arrays((1, 3, 4), numbers))
    below, hidden = (np.array(data.draw(st.permutations(range(n)))) for n in (3, 4))
    straight = Model.sequential([L.Conv(w1, b1), L.ReLU(), L.Conv(w2), L.Flatten(), L.Dense(w3)])
    moved = Model.sequential(
        [L.Conv(w1[hidden][:, below], b1[hidden]), L.ReLU(), L.Conv(w2[:, hidden]), L.Flatten(), L.Dense(w3)]
    )
    composite = composites.uniform(rule)
    exact = []
    for model, a in ((straight, x), (moved, x[:, below])):
        options: dict[str, Any] = {"keep": "all", "backend": backend}
        exact.append(Explainer(model.astype(object), composite, **options)(fractions(a), 0))
        net = Net(model, {"input": a})
        start = np.where(np.arange(2) == 0, net.values["dense1"], 0.0)
        expected = walk(model, composite.assign(model), net.values, "dense1", start, U)
        e = Explainer(model, composite, **options)(a, 0)
        assert all(expected.agrees(name, e.at(name)) for name in expected.relevance)
    one, two = exact
    assert equal(two.at("input"), one.at("input")[:, below])
    assert equal(two.at("conv1"), one.at("conv1")[:, hidden])
    assert equal(two.at("conv2"), one.at("conv2"))


def test_the_rule_of_one_node_changes_nothing_above_it():
    model = Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0], [1.0]])])
    base = composites.uniform(rules.Zero())
    other = base.with_rules({"dense1": rules.Flat()})
    one, two = (Explainer(model, c, keep="all")([[1.0, 2.0]]) for c in (base, other))
    assert same_bits(one.at("dense1"), two.at("dense1"))
    assert not same_bits(one.relevance, two.relevance)
