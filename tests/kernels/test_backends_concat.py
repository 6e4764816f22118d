"""Concatenations: no backend copies more than it must, and where outputs lie in memory changes no number.

The compiled backend computes layers into their slices of a concatenation's output. What reads such a slice, a layer, the
ledger, an observer, must find what it would find in an array of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, composites
from lrp_ref import layers as L
from lrp_ref.arrays import Array

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
each_precision = pytest.mark.parametrize("precision", ["float64", "float32", "fast"])


def conv(rng: np.random.Generator, lower: int, upper: int, kernel: int = 1, **options: Any) -> L.Conv:
    weight = rng.standard_normal((upper, lower, kernel, kernel)) / np.sqrt(lower * kernel**2 / 2)
    return L.Conv(weight.astype(np.float32), rng.standard_normal(upper).astype(np.float32) / 4, padding=kernel // 2, **options)


def inception(upper: tuple[int, int, int]) -> Model:
    """Branches of every kind, some read elsewhere or there twice, and a concatenation inside another."""
    rng = np.random.default_rng(sum(upper))
    a, b, c = upper
    nodes = [
        *(Node("stem", conv(rng, 3, 8, 3), ("input",)), Node("stem.relu", L.ReLU(), ("stem",))),
        *(Node("a", conv(rng, 8, a), ("stem.relu",)), Node("a.relu", L.ReLU(), ("a",))),
        *(Node("b", conv(rng, 8, b, 3), ("stem.relu",)), Node("b.relu", L.ReLU(), ("b",))),
        *(Node("pool", L.MaxPool(3, stride=1, padding=1), ("stem.relu",)), Node("c", conv(rng, 8, c), ("pool",))),
        Node("inner", L.Concat(2), ("b.relu", "c")),
        Node("outer", L.Concat(4), ("a.relu", "inner", "a.relu", "stem.relu")),
        Node("beside", conv(rng, a, a), ("a.relu",)),
        Node("again", L.Concat(2, axis=-3), ("beside", "a.relu")),
        *(Node("d", conv(rng, 2 * a + b + c + 8, 6, 3, stride=2), ("outer",)), Node("d.relu", L.ReLU(), ("d",))),
        *(Node("e", conv(rng, 2 * a, 6, 3, stride=2), ("again",)), Node("e.relu", L.ReLU(), ("e",))),
        *(
            Node("sum", L.Add(), ("d.relu", "e.relu")),
            Node("mean", L.GlobalAvgPool(), ("sum",)),
            Node("flat", L.Flatten(), ("mean",)),
        ),
        Node("scores", L.Dense(rng.standard_normal((6, 3)).astype(np.float32)), ("flat",)),
    ]
    return Model(tuple(nodes), domain=(-3.0, 3.0), input_shape=(3, 13, 10))


def image(dtype: Any, batch: int = 2) -> Array:
    return np.clip(np.random.default_rng(7).standard_normal((batch, 3, 13, 10)), -3, 3).astype(dtype)


def bits(e: lrp_ref.Explanation) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(R).tobytes() for name, R in e.relevances.items()} | {"": e.prediction.tobytes()}


@pytest.mark.parametrize("upper", [(16, 24, 32), (1, 3, 5), (17, 2, 33)])
@each_precision
@each_backend
def test_networks_of_concatenations_agree_with_the_reference(backend, precision, upper):
    model = inception(upper)
    for composite in ("epsilon_plus", "epsilon_gamma_box", "epsilon_alpha2_beta1"):
        found, expected = (
            Explainer(model, composite, keep="all", ledger=True, backend=name, precision=kind)(image(np.float32), "all")
            for name, kind in ((backend, precision), ("reference", "float64"))
        )
        for name, R in expected.relevances.items():
            gap = np.abs(found.at(name) - R).sum()
            assert gap <= (1e-11 if precision == "float64" else 1e-3) * np.abs(R).sum(), (composite, name)
        assert sorted(e.node for e in found.ledger) == sorted(e.node for e in expected.ledger)
        for entry in expected.ledger:
            assert np.allclose(found.ledger[entry.node].inputs, entry.booking.inputs, rtol=1e-2, atol=1e-4), entry.node


@each_precision
@each_backend
def test_where_outputs_lie_changes_no_bit(backend, precision):
    """Observed or not, in any batch, resumed inside, filtered: the same bits."""
    model = inception((16, 24, 32))
    options = {"backend": backend, "precision": precision}
    x = image(np.float32, 3)
    whole = Explainer(model, "epsilon_plus", keep="all", **options)(x)
    for name in ("input", "a.relu", "inner", "outer", "beside"):
        assert bits(Explainer(model, "epsilon_plus", keep=(name,), **options)(x))[name] == bits(whole)[name], name
    alone = Explainer(model, "epsilon_plus", keep="all", **options)(x[1:2])
    for name, R in alone.relevances.items():
        assert np.array_equal(R, whole.at(name)[1:2]), name
    booked = Explainer(model, "epsilon_plus", keep="all", ledger=True, **options)(x)
    assert bits(booked) == bits(whole)
    one, two = (Explainer(model, "epsilon_plus", threads=n, **options)(x) for n in (1, 2))
    assert bits(one) == bits(two)


@each_backend
def test_a_concatenation_of_inputs_that_do_not_fit_is_refused(backend):
    rng = np.random.default_rng(1)
    nodes = (
        *(Node("a", conv(rng, 3, 4), ("input",)), Node("b", conv(rng, 3, 4, stride=2), ("input",))),
        *(Node("both", L.Concat(2), ("a", "b")), Node("flat", L.Flatten(), ("both",))),
    )
    with pytest.raises(lrp_ref.errors.ShapeError, match="both"):
        Explainer(Model(nodes), rule=lrp_ref.rules.Zero(), backend=backend)(image(np.float32), start=np.ones((2, 4)))


@pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")
def test_the_compiled_backend_does_not_copy_what_it_can_compute_in_place():
    model = inception((16, 24, 32))
    plan = Explainer(model, composites.epsilon_plus(), backend="compiled").plan()
    assert {name: (slot.owner, slot.first, slot.channels) for name, slot in plan.slots.items()} == {
        "b.relu": ("inner", 0, 24),
        "c": ("inner", 24, 32),
        "inner": ("inner", 0, 56),
        "a.relu": ("outer", 0, 16),
        "stem.relu": ("outer", 88, 8),
        "outer": ("outer", 0, 96),
        "beside": ("again", 0, 16),
        "again": ("again", 0, 32),
    }
    assert not Explainer(model, backend="numpy").plan().slots
