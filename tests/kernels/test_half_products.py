"""z⁺ = ½ (Σ a w + Σ |a||w|): where the compiled core makes a denominator from the layer's own product, and what it is."""

from __future__ import annotations

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.composites import uniform

pytest.importorskip("lrp_ref.kernels.compiled._core", reason="the C core is not built: its half products are NOT tested here")
from lrp_ref.kernels.compiled.product_plan import MAGNITUDE

RNG = np.random.default_rng(11)


def model(bias, stride=2, kernel=(3, 5), channels=3, lower_activation=(), dtype=np.float64, relu=True, upper=6) -> lrp_ref.Model:
    """Small integers throughout, so that sums are exact."""
    w = RNG.integers(-3, 4, (upper, channels, *kernel)).astype(dtype)
    w[0] = abs(w[0])  # its windows over negative input have no positive product at all
    top = RNG.integers(1, 4, (2, upper, 2, 2)).astype(dtype)
    first = [*lower_activation, L.Conv(w, bias if bias is None else np.asarray(bias, dtype), stride=stride, padding=1)]
    return lrp_ref.Model.sequential([*first, *([L.ReLU()] if relu else []), L.Conv(top), L.GlobalSumPool()]).astype(dtype)


def steps(made: lrp_ref.Model, composite, x):
    explainer = lrp_ref.Explainer(made, composite, backend="compiled")
    explainer(x, target=0)
    return explainer.plan({"input": x.shape[1:]}).steps


def used(made: lrp_ref.Model, composite, x) -> bool:
    found = steps(made, composite, x)
    step = next(step for step in found if isinstance(step.nodes[0].layer, L.Conv))
    return (MAGNITUDE,) in step.prepared.products._features


def image(dtype=np.float64):
    x = RNG.integers(-4, 5, (2, 3, 9, 11)).astype(dtype)
    x[0] = -abs(x[0]) - 1
    return x


BIASES = {"none": None, "of both signs": [400, -3, 0, 25, -60, 7], "negative": [-1, -2, 0, -3, -5, -1]}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_denominators_are_exact_where_sums_are(bias, stride, dtype):
    """Windows without a positive product included: both sums are one number there, and what is left is the bias, or nothing."""
    made, x = model(BIASES[bias], stride, dtype=dtype), image(dtype)
    assert used(made, "epsilon_plus", x)
    first = steps(made, "epsilon_plus", x)[0]
    output, saved = first.forward(x)
    layer = first.layer
    w, b = layer.weight, 0 if layer.bias is None else layer.bias[:, None, None]
    positive = L.Conv(np.maximum(w, 0), stride=stride, padding=1).forward(np.maximum(x, 0))
    positive = positive + L.Conv(np.minimum(w, 0), stride=stride, padding=1).forward(np.minimum(x, 0))
    bottom = positive + np.maximum(b, 0)
    assert (positive == 0).any()  # the corner is there
    assert (output[positive == 0] > 0).any() or bias != "of both signs"
    expected = np.where(bottom == 0, 0, output / np.where(bottom == 0, 1, bottom)).astype(dtype)
    (factor,) = saved[1]
    np.testing.assert_array_equal(factor.transpose(0, 3, 1, 2), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", BIASES)
def test_maps_are_the_reference_s(bias, dtype):
    """For numbers of any kind, in L1."""
    made = model(BIASES[bias], dtype=dtype)
    x = RNG.standard_normal((3, 3, 9, 11)).astype(dtype)
    assert used(made, "epsilon_plus", x)
    ours = lrp_ref.Explainer(made, "epsilon_plus", backend="compiled")(x, target=1).relevance
    reference = lrp_ref.Explainer(made.astype(np.float64), "epsilon_plus", backend="reference")(x.astype(np.float64), target=1)
    assert abs(ours - reference.relevance).sum() <= 50 * np.finfo(dtype).eps * abs(reference.relevance).sum()


def test_a_rule_without_bias_is_served_where_no_bias_is_positive():
    assert used(model(BIASES["negative"]), uniform(rules.ZPlus()), image())


@pytest.mark.parametrize(
    ("case", "made", "composite"),
    [
        ("relevance may reach z ≤ 0", lambda: model(None, relu=False), "epsilon_plus"),
        ("a ≥ 0 needs one product anyway", lambda: model(None, lower_activation=(L.ReLU(),)), "epsilon_plus"),
        ("Winograd's algorithm does not add up alike", lambda: model(None, 1, (3, 3), 16, upper=16), "epsilon_plus"),
        (
            "z⁺ alone may be tiny beside a bias that keeps the neuron alive",
            lambda: model(BIASES["of both signs"]),
            uniform(rules.ZPlus()),
        ),
        ("another rule", lambda: model(None), "epsilon_plus_flat"),
    ],
)
def test_nothing_else_is_made_so(case, made, composite):
    network = made()
    channels = next(node.layer for node in network.nodes if isinstance(node.layer, L.Conv)).weight.shape[1]
    x = RNG.standard_normal((2, channels, 12, 12))
    assert not used(network, composite, x), case
