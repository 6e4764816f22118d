"""The kernels themselves; skipped where `lrp_ref/kernels` has been deleted."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import Composite, Explainer, Model, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from support.random_nets import NETS, network
from support.strategies import FLOAT_TYPES, Case, cases, floats, geometries

pytest.importorskip("lrp_ref.kernels")
from lrp_ref.kernels.numpy import matrix_products as products
from lrp_ref.kernels.numpy.linear import FusedLinear


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Blocks that hold a few rows of a small image, or not even one."""
    monkeypatch.setattr(products, "BLOCK", 300)
    return products


def close(found: Array, expected: Array, sizes: Array, terms: int) -> bool:
    """Whether sums of products agree to 2·n·u of the sum of sizes."""
    return found.dtype == expected.dtype and bool((abs(found - expected) <= 2 * terms * np.finfo(found.dtype).eps * sizes).all())


Products = tuple[L.Dense | L.Conv, Array, list[Array], Array]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Case, int]:
    """A Dense or Conv case, and how many weights are stacked."""
    case = draw(cases(L.Dense, L.Conv, L.Conv, numbers=floats(8), inputs=floats(8), relevance=floats(8)))
    return case.astype(draw(st.sampled_from(FLOAT_TYPES))), draw(st.integers(1, 3))


@given(stacks(), st.sampled_from([products.BLOCK, 1, 200, 1000]))
def test_stacked_products_are_the_layers_own_maps(drawn, block):
    """map and Σ_q adjoint, for one to three weights at once, whatever the size of the blocks."""
    case, count = drawn
    layer, (a,), s = case.layer, case.inputs, case.relevance
    weights = [layer.weight * (q + 1) / 2 - q for q in range(count)]
    weights = [np.asarray(w, dtype=a.dtype) for w in weights]
    stacked = products.stack(layer, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "BLOCK", block)
        found = products.maps(layer, a, stacked, count)
        quotients = [np.asarray(s * (q + 1), dtype=a.dtype) for q in range(count)]
        lower = products.adjoints(layer, quotients, stacked, a.shape)
    terms = 2 + max(math.prod(weights[0].shape), 2)
    assert len(found) == count
    for z, w in zip(found, weights, strict=True):
        expected = layer.map(a, w)
        assert z.shape == expected.shape
        assert close(z, expected, layer.map(abs(a), abs(w)), terms)
    expected = sum(layer.adjoint(q, w, a.shape) for q, w in zip(quotients, weights, strict=True))
    sizes = sum(layer.adjoint(abs(q), abs(w), a.shape) for q, w in zip(quotients, weights, strict=True))
    assert lower.shape == a.shape
    assert close(lower, expected, sizes, terms * count)


@given(st.integers(0, 4), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 400), st.integers(1, 500))
def test_blocks_cover_every_row_once_and_are_the_same_for_each_sample(samples, out, row_bytes, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "BLOCK", block)
        blocks = list(products._blocks(samples, tuple(out), row_bytes))
        alone = list(products._blocks(1, tuple(out), row_bytes))
    seen = np.zeros((samples, out[0]), dtype=int)
    for n, rows in blocks:
        seen[n, rows] += 1
        # At least one row; more only as far as they fit.
        height = rows.stop - rows.start
        assert height == 1 or (n.stop - n.start == 1 or height == out[0])
        assert (n.stop - n.start) * height * row_bytes <= max(block, row_bytes)
    assert (seen == 1).all()
    for sample in range(samples):
        mine = [rows for n, rows in blocks if n.start <= sample < n.stop]
        assert mine == [rows for _, rows in alone]


@given(geometries(), st.integers(0, 3))
def test_the_cells_of_a_block_of_rows_are_those_of_the_whole(g, start):
    window = L.Conv(np.ones((1, 1, *g.kernel)), stride=g.stride, padding=g.padding, dilation=g.dilation).window
    out = window.outputs(g.spatial)
    rows = slice(min(start, out[0] - 1), out[0])
    padded = np.arange(math.prod(window.padded(out))).reshape(1, 1, *window.padded(out))
    for cells, whole in zip(products._taps(window, out, rows), window.slices(out), strict=True):
        assert np.array_equal(padded[cells], padded[whole][:, :, rows])


@pytest.mark.parametrize("kind", NETS)
def test_blocks_smaller_than_an_image_change_nothing_but_rounding(kind, small_blocks):
    model, x = network(kind)
    explain = Explainer(model, "epsilon_gamma_box", keep="all", backend="numpy")
    cut = explain(x, "all")
    alone = explain(x[1:], "all")
    for name in cut.relevances:
        assert np.array_equal(np.ascontiguousarray(cut.at(name)[1:]), alone.at(name)), "bit for bit in every batch"
    small_blocks.BLOCK = 64 * 2**20
    whole = explain(x, "all")
    for name in whole.relevances:
        gap, size = abs(cut.at(name) - whole.at(name)).sum(), abs(whole.at(name)).sum()
        assert gap <= 1e-12 * size


def test_every_case_of_a_convolution_takes_the_fused_step():
    """So that the tests of the backends test the kernels, and not the reference twice."""
    model, _ = network("windows")
    made = Explainer(model, "epsilon_plus", backend="numpy").plan()
    fused_names = {node.name for step in made.steps if isinstance(step, FusedLinear) for node in step.nodes}
    # The first convolution sees signed inputs, for which αβ needs both parts of them: the reference step.
    assert {f"conv{i}" for i in range(2, 7)} | {"avgpool1", "dense1"} <= fused_names
    assert "conv1" not in fused_names


@pytest.mark.parametrize(
    "rule",
    [
        rules.Zero(),
        rules.Epsilon(0.1),
        rules.Epsilon(rules.relative(0.25)),
        rules.Gamma(0.5),
        rules.GeneralizedGamma(0.5),
        rules.AlphaBeta(2, 1),
        rules.AlphaBeta(1, 0, bias="none"),
        rules.ZPlus(),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [L.Dense, L.Conv])
def test_rules_whose_features_are_the_input_are_fused(rule, kind):
    layer = L.Dense(np.ones((2, 2)), np.ones(2)) if kind is L.Dense else L.Conv(np.ones((2, 2, 1)), np.ones(2))
    model = Model.sequential([L.ReLU(), layer, L.ReLU()])
    steps = Explainer(model, rule=rule, backend="numpy").plan().steps
    assert isinstance(steps[-1], FusedLinear)
    assert [node.name for node in steps[-1].nodes] == [f"{kind.__name__.lower()}1", "relu2"]


@pytest.mark.parametrize("rule", [rules.WSquare(), rules.Flat(), rules.ZBox(0, 1), rules.AlphaBeta(2, 1, empty="renormalise")])
def test_other_rules_take_the_reference_step(rule):
    model = Model.sequential([L.ReLU(), L.Dense(np.ones((2, 2))), L.ReLU(), L.Dense(np.ones((2, 1)))])
    steps = Explainer(model, rule=rule, backend="numpy").plan().steps
    assert not any(isinstance(step, FusedLinear) for step in steps)


class Twofold(rules.LinearRule):
    """A user's rule of two shares, one of which has a term for negative inputs alone."""

    def shares(self, weight: Array, bias: Array | None) -> Any:
        from lrp_ref.rules.terms import NEGATIVE, POSITIVE, Share, Term

        return (Share(0.5, (Term(POSITIVE, weight),), bias), Share(0.5, (Term(NEGATIVE, weight),)))


def test_a_share_without_terms_left_assigns_nothing():
    """Behind a ReLU the second share has no term: its half is unassigned, as the reference says."""
    model = Model.sequential([L.ReLU(), L.Dense([[1.0, -2.0], [3.0, 1.0]]), L.ReLU(), L.Dense([[1.0], [2.0]])])
    x = np.array([[1.0, 2.0], [-1.0, 3.0]])
    one, two = (Explainer(model, rule=Twofold(), keep="all", ledger=True, backend=b)(x) for b in ("reference", "numpy"))
    for name in one.relevances:
        assert np.allclose(two.at(name), one.at(name), rtol=1e-14)
    assert np.allclose(two.ledger.unassigned, one.ledger.unassigned)
    assert (two.ledger["dense2"].unassigned > 0).all()


class Negative(rules.LinearRule):
    """A user's rule that serves negative sums alone."""

    def shares(self, weight: Array, bias: Array | None) -> Any:
        from lrp_ref.rules.terms import IDENTITY, NEGATIVE_ONLY, Share, Term

        return (Share(1, (Term(IDENTITY, weight),), bias, where=NEGATIVE_ONLY),)


@pytest.mark.parametrize("layer", [L.Dense([[1.0, -2.0], [-3.0, 1.0]]), L.Scale([1.0, -1.0])], ids=repr)
def test_a_rule_of_which_no_share_is_left_assigns_nothing(layer):
    """With quotients at a ReLU nothing arrives where z < 0; as relevance it may, and is taken."""
    model = Model.sequential([layer, L.ReLU(), L.Dense([[1.0], [2.0]])], names=["lower", "relu", "upper"])
    x = np.array([[1.0, 2.0], [-1.0, 3.0]])
    for top, nothing in ((rules.Zero(), True), (rules.Flat(), False)):
        composite = Composite((("lower", Negative()), ("upper", top), (L.ReLU, rules.Pass())))
        one, two = (Explainer(model, composite, ledger=True, backend=b)(x) for b in ("reference", "numpy"))
        assert np.allclose(two.relevance, one.relevance, rtol=1e-14)
        assert np.allclose(two.ledger.unassigned, one.ledger.unassigned)
        assert two.relevance.any() != nothing


def test_nothing_of_the_inputs_or_weights_is_written_to():
    model, x = network("residual")
    before = [a.copy() for node in model.nodes for a in node.layer.parameters.values()]
    x.flags.writeable = False
    explain = Explainer(model, "epsilon_alpha2_beta1", keep="all", ledger=True, backend="numpy")
    one, two = explain(x, "all"), explain(x, "all")
    after = [a for node in model.nodes for a in node.layer.parameters.values()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(np.array_equal(one.at(name), two.at(name)) for name in one.relevances)


def test_layers_without_channels_give_zeros():
    conv = L.Conv(np.zeros((2, 0, 3)), [1.0, 2.0], padding=1)
    stacked = products.stack(conv, [conv.weight])
    (z,) = products.maps(conv, np.zeros((1, 0, 4)), stacked, 1)
    assert z.shape == (1, 2, 4)
    assert not z.any()
    assert products.adjoints(conv, [np.ones((1, 2, 4))], stacked, (1, 0, 4)).shape == (1, 0, 4)
    none = replace(conv, weight=np.zeros((0, 2, 3)), bias=None)
    lower = products.adjoints(none, [np.ones((1, 0, 4))], products.stack(none, [none.weight]), (1, 2, 4))
    assert lower.shape == (1, 2, 4)
    assert not lower.any()
