"""Sums, means and repetitions: relevance and accounts are those of the definition, whatever the size and order of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def conv(seed: int, lower: int, upper: int) -> L.Conv:
    rng = np.random.default_rng(seed)
    return L.Conv(rng.standard_normal((upper, lower, 1, 1)) / np.sqrt(lower), rng.standard_normal(upper) / 4)


def network(size: int) -> Model:
    """A difference and a sum of what is signed, a mean over all cells beside its map, and cells that are repeated."""
    nodes = [
        *(Node("a", conv(1, 3, 8), ("input",)), Node("b", conv(2, 3, 8), ("input",))),
        *(Node("minus", L.Subtract(), ("a", "b")), Node("plus", L.Add(inputs=3), ("minus", "a", "b"))),
        *(Node("mean", L.GlobalAvgPool(), ("plus",)), Node("total", L.GlobalSumPool(), ("b",))),
        *(Node("beside", L.Add(), ("plus", "mean")), Node("wide", L.Upsample((2, 3)), ("beside",))),
        *(Node("c", conv(3, 8, 4), ("wide",)), Node("relu", L.ReLU(), ("c",)), Node("pool", L.GlobalAvgPool(), ("relu",))),
        *(Node("joined", L.Concat(2), ("pool", "total")), Node("flat", L.Flatten(), ("joined",))),
        Node("scores", L.Dense(np.random.default_rng(4).standard_normal((12, 3))), ("flat",)),
    ]
    return Model(tuple(nodes), input_shape=(3, size, size + 1))


def picture(size: int, batch: int) -> Array:
    return np.random.default_rng(5).standard_normal((batch, 3, size, size + 1))


def explained(size: int, batch: int, backend: str, rule: Any, **choices: Any) -> lrp_ref.Explanation:
    composite = rule if isinstance(rule, str) else composites.uniform(rule)
    return Explainer(network(size), composite, backend=backend, ledger=True, keep="all", **choices)(picture(size, batch), "all")


@each_backend
@pytest.mark.parametrize(
    "rule", [rules.Epsilon(0.25), rules.Gamma(0.5), "epsilon_plus", rules.Epsilon(rules.relative(0.25))], ids=str
)
@pytest.mark.parametrize("size", [2, 60])
def test_sums_hand_down_and_account_for_what_the_definition_does(size, rule, backend):
    """Of little arrays, and of such as take memory that is used again."""
    found, expected = (explained(size, 2, name, rule) for name in (backend, "reference"))
    for name, R in expected.relevances.items():
        np.testing.assert_allclose(found.at(name), R, rtol=1e-9, atol=1e-10 * abs(R).max(), err_msg=name)
    for entry in expected.ledger:
        scale = abs(entry.booking.turnover).max()
        for column in ("arriving", "inputs", "stabiliser", "unassigned", "turnover", "arriving_abs", "inputs_abs"):
            own, wanted = getattr(found.ledger[entry.node], column), getattr(entry.booking, column)
            np.testing.assert_allclose(own, wanted, rtol=1e-9, atol=1e-9 * scale, err_msg=f"{entry.node} {column}")


@each_backend
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_sample_has_the_bits_that_it_has_alone(precision, backend):
    explain = Explainer(network(9), "epsilon_plus", backend=backend, precision=precision)
    x = picture(9, 3)
    whole = explain(x, "all").relevance
    for n in range(3):
        assert explain(x[n : n + 1], "all").relevance.tobytes() == whole[n : n + 1].tobytes()
    assert explain(x[:0], "all").relevance.shape == (0, 3, 3, 9, 10)


@pytest.mark.parametrize("factor", [1, 2, 3, (2, 3), (1, 4)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_repeated_cells_are_added_up_in_the_order_of_the_definition(factor, precision):
    """To the bit: R/c of a cell is the sum over its copies, along each axis in turn."""
    for shape in ((2, 3, 4, 5), (1, 17, 1, 2)):
        layer, rng = L.Upsample(factor), np.random.default_rng(1)
        above = layer.shape(shape)
        nodes = (
            Node("first", L.Conv(np.eye(shape[1])[:, :, None, None]), ("input",)),
            Node("wide", layer, ("first",)),
            Node("flat", L.Flatten(), ("wide",)),
            Node("scores", L.Dense(rng.standard_normal((int(np.prod(above[1:])), 2))), ("flat",)),
        )
        model, x = Model(nodes, input_shape=shape[1:]), rng.standard_normal(shape)
        bits = {
            backend: Explainer(model, composites.uniform(rules.Zero()), backend=backend, precision=precision, keep="first")(x, 0)
            .at("first")
            .tobytes()
            for backend in lrp_ref.BACKENDS
            if backend in ("numpy", "compiled")
        }
        assert len(set(bits.values())) <= 1


BELOW = {
    "Add": [Node("x", L.Add(), ("conv", "conv"))],
    "Subtract": [Node("x", L.Subtract(), ("conv", "input"))],
    "Upsample": [Node("x", L.Upsample(2), ("conv",))],
    "GlobalAvgPool": [Node("x", L.GlobalAvgPool(), ("conv",))],
    "Slice": [Node("x", L.Slice(0, 1, axis=2), ("conv",))],
    "PadWith": [Node("x", L.PadWith(((0, 0), (1, 0), (0, 2)), "constant", 1.0), ("conv",))],
}


@each_backend
@pytest.mark.parametrize("name", list(BELOW))
def test_relevance_that_is_not_finite_is_found_above_sums_and_picks(name, backend):
    """A message that overflows below the last layer: no step that is not looked at may lose it."""
    nodes = (
        Node("conv", L.Conv(np.full((1, 1, 1, 1), 2.0)), ("input",)),
        *BELOW[name],
        *(Node("tiny", L.Conv(np.full((1, 1, 1, 1), 1e-20)), ("x",)), Node("flat", L.Flatten(), ("tiny",))),
    )
    model, x = Model(nodes, input_shape=(1, 2, 2)), np.full((1, 1, 2, 2), 1e-8, np.float32)
    for ledger in (False, True):
        explain = Explainer(model, composites.uniform(rules.Zero()), backend=backend, precision="float32", ledger=ledger)
        with pytest.raises(lrp_ref.errors.NonFiniteError, match="'x' is not finite"):
            explain(x, start=np.full(model(x).shape, 1e37, np.float32))
