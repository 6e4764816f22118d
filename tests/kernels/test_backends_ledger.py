"""The ledger closes at every node, by every backend in every precision, within its bound."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from test_backends_shapes import conv, filled

import lrp_ref
from lrp_ref import Explainer, Explanation, Model, Node, rules
from lrp_ref import layers as L
from lrp_ref.ledger import AMOUNTS, COLUMNS
from support import winograd_bound
from support.fans import closes
from support.one_layer import PRECISIONS, ROUNDOFF, Around, behind_relu, explained, fan
from support.random_nets import NETS, network
from support.strategies import Case
from support.wide_net import pictures, wide

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)
PRESETS = ("epsilon_gamma_box", "epsilon_alpha2_beta1", "deep_taylor", "lrp_overview")


@cache
def booked(preset: str, backend: str, precision: str) -> Explanation:
    explain = Explainer(wide(), preset, backend=backend, precision=precision, ledger=True, keep="all", allow_negative=True)
    return closes(explain, pictures(3), target="all")


@pytest.mark.parametrize("preset", PRESETS)
@each_precision
@each_backend
def test_it_closes_at_every_node_of_a_wide_network_and_says_what_the_reference_says(backend, precision, preset):
    """CONV-LEDGER-BOUND; each column agrees with the definition in float64 to 1000u of what moved there (measured: 100u).

    Not under lrp_overview, whose γ rule sees signed values here: relevance grows, and rounding with it.
    """
    found, expected = booked(preset, backend, precision), booked(preset, "reference", "float64")
    assert [entry.rule for entry in sorted(found.ledger, key=lambda e: e.node)] == [
        entry.rule for entry in sorted(expected.ledger, key=lambda e: e.node)
    ]
    for entry in expected.ledger:
        booking, other = entry.booking, found.ledger[entry.node]
        assert other.flags == booking.flags
        for column in (*COLUMNS, *AMOUNTS):
            gap = abs(getattr(other, column) - getattr(booking, column))
            agrees = gap <= 1000 * ROUNDOFF[precision] * booking.turnover
            assert agrees.all() or preset == "lrp_overview", (entry.node, column)


@pytest.mark.parametrize("kind", NETS)
@each_precision
@each_backend
def test_it_closes_at_every_node_of_realistic_networks(backend, precision, kind):
    model, x = network(kind, seed=3)
    for preset in PRESETS:
        closes(Explainer(model, preset, backend=backend, precision=precision, ledger=True, allow_negative=True), x, target="all")


def uneven(scale: float, seed: int) -> Case:
    """A few cells much larger than the others; relevance arrives only where none of them is seen."""
    rng = np.random.default_rng(seed)
    case = behind_relu(filled(conv(16, 16, 3, 3, padding=1), ((1, 16, 20, 16),), rng))
    (a,) = case.inputs
    large = np.broadcast_to(rng.random((1, 1, *a.shape[2:])) < 0.03, a.shape)
    seen = case.layer.map(large.astype(np.float64), np.ones_like(case.layer.weight)) > 0
    inputs = np.float32(np.where(large, abs(rng.normal(size=a.shape)) * scale, a)).astype(np.float64)
    return replace(case, inputs=(inputs,), relevance=np.where(seen, 0.0, abs(case.relevance)))


@pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")
@pytest.mark.parametrize("scale", [1, 100, 1e4])
@each_precision
def test_where_minimal_filtering_serves_a_step_its_bound_is_added(precision, scale):
    """|rounding| ≤ 4·n·u·turnover + Σ_j of how far R_j may be off (`winograd_bound`).

    The first part alone covers even activations with room to spare, but not relevance that arrives only at windows whose
    neighbours are ten thousand times as large: what rounds is relative to these, and the turnover is not (measured in float64
    under ε: 84 times the first part; in float32 small values beside large ones are computed anew, and it holds).
    """
    u, around = ROUNDOFF[precision], Around(front=True)
    m = (2, 2) if precision == "float32" else (4, 4)
    for number, rule in enumerate((rules.ZPlus(), rules.Epsilon(1e-6), rules.AlphaBeta(2, 1), rules.GeneralizedGamma(0.25))):
        case = uneven(scale, number)
        _, sure = winograd_bound.allowed(case, rule, around, m, u)
        case = replace(case, relevance=np.where(sure, case.relevance, 0.0))
        bound, _ = winograd_bound.allowed(case, rule, around, m, u)
        booking = explained(case, rule, around, backend="compiled", precision=precision, ledger=True).ledger["layer"]
        plain = 4 * fan(case.layer, case.inputs[0].shape, case.relevance.shape) * u * booking.turnover
        assert (abs(booking.rounding) <= plain + bound.sum()).all(), rule
        assert scale > 1 or (abs(booking.rounding) <= plain / 10).all(), rule


@each_backend
def test_accounts_of_a_target_are_the_same_bits_among_several(backend):
    """Behind a convolution memory lies channels last, and the order of a sum must not follow it with one target alone."""
    weight = np.zeros((8, 2))
    weight[[0, 4, 6], 0] = -3, 1, 1
    nodes = (
        Node("conv", L.Conv(np.zeros((2, 2, 3)), np.zeros(2), padding=1), ("x",)),
        Node("gate", L.Sigmoid(), ("conv",)),
        Node("product", L.Multiply(signal=1), ("gate", "x")),
        Node("flat", L.Flatten(), ("product",)),
        Node("scores", L.Dense(weight, np.zeros(2)), ("flat",)),
    )
    x = np.array([[[1.0, 0, 0, 0], [1, 1, 0, 0]], [[1.0, 1, 0, 1], [1, 0, 1, 1]]])
    model = Model(nodes=nodes, inputs=("x",), outputs=("scores",))
    explain = Explainer(model, "epsilon_alpha2_beta1", backend=backend, keep="all", ledger=True)
    several, alone = explain(x, "all"), explain(x, 0)
    for entry in alone.ledger:
        for column in COLUMNS:
            found, wanted = getattr(several.ledger[entry.node], column)[:, 0], getattr(entry.booking, column)
            assert found.tobytes() == wanted.tobytes(), (entry.node, column)
