"""What the compiled steps account for: the same figures as the definition's, from what the steps have."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.ledger import AMOUNTS, COLUMNS, Booking
from support.random_nets import NETS, network

pytestmark = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")

COLUMN_NAMES = (*COLUMNS, *AMOUNTS)


def by_definition(message, output, quotient, shares, bias):
    """The columns of a booking from the formulas, in float64."""
    axes = tuple(range(2, message.ndim))
    relevance = np.asarray(message * output[:, None] if quotient else message, np.float64)
    found = np.zeros((*message.shape[:2], 8))
    found[..., 0], found[..., 6] = relevance.sum(axes), abs(relevance).sum(axes)
    taken = np.zeros(relevance.shape)
    for factor, own, signed, epsilon, coefficient, how, tilt, sign, size in shares:
        f = factor.astype(np.float64)[:, None]
        alive = f != 0 if quotient else np.isfinite(f)
        living = np.where(alive, f, 1.0)
        s = np.where(alive, message * living if quotient else message / living, 0.0)
        bottom = coefficient * (output[:, None] / living if quotient else living)
        b = 0.0 if own is None else own
        e = np.where(bottom < 0, -1, 1) * epsilon if signed else epsilon
        taken += np.where(alive, coefficient, 0.0)
        found[..., 2] += (s * b).sum(axes)
        found[..., 3] += (s * e).sum(axes)
        if how == "alike":
            moved = s * (bottom - e)
        elif how == "given":
            moved = s * (size[:, None] + abs(b))
        else:
            part, z = bottom - e - b, output[:, None] - (0.0 if bias is None else bias)
            positive = sign * (part - z) / tilt
            moved = s * (np.maximum((2 + tilt) * positive - sign * z, abs(part)) + abs(b))
        found[..., 5] += abs(moved).sum(axes)
    found[..., 4] = (relevance * (1 - taken)).sum(axes) if shares else 0.0
    found[..., 5] += found[..., 6]
    return found


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("quotient", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 3, 7), (1, 1, 28, 28, 6), (2, 2, 5, 4, 16), (1, 2, 9, 9, 20), (1, 1, 4000), (2, 1, 31, 70)]
)
def test_the_core_sums_what_the_formulas_say(shape, quotient, dtype):
    from lrp_ref.kernels.compiled.native import _core

    rng = np.random.default_rng(len(shape) + quotient)
    below, u = (shape[0], *shape[2:]), float(np.finfo(dtype).eps)

    def some(*extents):
        return rng.standard_normal(extents).astype(dtype)

    for count in range(4):
        message, output, bias = some(*shape), abs(some(*below)), some(shape[-1])
        shares, core = [], []
        for q in range(count):
            how = ("alike", "tilt", "given")[(q + count) % 3]
            factor = some(*below)
            factor[rng.random(below) < 0.2] = 0 if quotient else np.inf
            own, size = (some(shape[-1]) if q % 2 else None), abs(some(*below)) if how == "given" else None
            kind, epsilon = (_core.EXACT, 0.0) if q == 2 else (_core.SIGNED, 0.25) if q == 0 else (_core.UNSIGNED, 0.5)
            coefficient, tilt = (1.0, 2.0, -1.0)[q], 0.25 if how == "tilt" else 0.0
            shares.append((factor, own, kind == _core.SIGNED, epsilon, coefficient, how, tilt, 1, size))
            core.append((own, kind, epsilon, coefficient, how == "alike", tilt, 1))
        expected = by_definition(message, output, quotient, shares, bias)
        given = ([share[0] for share in shares], [None] * count, [share[-1] for share in shares])
        found = [_core.Accounting(bias, quotient, core)(message, output, *given, threads) for threads in (1, 2)]
        assert np.array_equal(*found)
        assert (abs(found[0] - expected) <= 200 * u * expected[..., 5:6]).all(), count
        alone = _core.Accounting(bias, quotient, core)(
            message[:1], output[:1], *([x if x is None else x[:1] for x in g] for g in given), 1
        )
        assert np.array_equal(alone, found[0][:1])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("samples", [1, 2, 3, 20, 300])
@pytest.mark.parametrize("order", ["C", "F"])
def test_products_of_sizes(order, samples, dtype):
    from lrp_ref.kernels.compiled.native import _core

    rng = np.random.default_rng(samples)
    x, w = rng.standard_normal((samples, 70)).astype(dtype), np.asarray(rng.standard_normal((70, 90)), dtype, order)
    x[:, 10:40] *= rng.random((samples, 30)) < 0.5
    found = _core.dense(x, w, 2, None, None, True)
    np.testing.assert_allclose(found, abs(x.astype(np.float64)) @ abs(w.astype(np.float64)), rtol=100 * np.finfo(dtype).eps)
    assert np.array_equal(found[:1], _core.dense(x[:1], w, 1, None, None, True))
    assert np.array_equal(found, _core.dense(abs(x), abs(w), 1))


EVERY_RULE = (
    rules.Zero(),
    rules.Epsilon(0.1),
    rules.Epsilon(0.1, signed=False),
    rules.Epsilon(rules.relative(0.25)),
    rules.Gamma(0.25),
    rules.Gamma(0.01, epsilon=1e-3),
    rules.GeneralizedGamma(0.5),
    rules.AlphaBeta(1, 0),
    rules.AlphaBeta(2, 1),
    rules.AlphaBeta(2, 1, bias="none"),
    rules.ZPlus(),
    rules.WSquare(),
    rules.Flat(),
)


def agrees(model, x, composite, **call):
    """All columns are those of the definition in float64, to the rounding of a float32 network."""
    found = Explainer(model, composite, backend="compiled", ledger=True)(x, **call)
    plain = Explainer(model, composite, backend="compiled")(x, **call)
    assert all(np.array_equal(found.relevances[name], plain.relevances[name]) for name in plain.relevances)
    expected = Explainer(model, composite, backend="reference", precision="float64", ledger=True)(x.astype(np.float64), **call)
    order = {entry.node: entry for entry in found.ledger}
    assert len(order) == len(expected.ledger)
    u = float(np.finfo(model.dtype).eps)
    for entry in expected.ledger:
        booking, other = entry.booking, order[entry.node].booking
        assert (order[entry.node].rule, other.flags) == (entry.rule, booking.flags)
        for name in COLUMN_NAMES:
            gap = abs(getattr(other, name) - getattr(booking, name))
            assert (gap <= 2000 * u * booking.turnover).all(), (str(entry.rule), entry.node, name, gap / booking.turnover)


@pytest.mark.parametrize("rule", EVERY_RULE, ids=str)
@pytest.mark.parametrize("front", [L.ReLU, L.Identity])
def test_every_rule_on_inputs_of_one_sign_and_of_both(rule, front):
    """Conv, its transpose and Dense, each with and without a ReLU behind, under every way to find a size."""
    rng = np.random.default_rng(5)

    def normal(*shape):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    layers = [
        *(L.Conv(normal(6, 4, 3, 3), normal(6), padding=1), front()),
        *(L.Conv(normal(20, 6, 3, 3), normal(20)), L.ReLU()),
        *(L.ConvTranspose(normal(20, 6, 2, 2), normal(6), stride=2), front()),
        *(L.Flatten(), L.Dense(normal(384, 40), normal(40)), L.ReLU(), L.Dense(np.asfortranarray(normal(40, 5)), normal(5))),
    ]
    x = rng.standard_normal((2, 4, 6, 6)).astype(np.float32) + np.float32(0.3)
    agrees(Model.sequential(layers), x, composites.uniform(rule), targets=[0, 3])


@pytest.mark.parametrize("kind", NETS)
def test_networks_that_branch_join_and_pool(kind):
    model, x = network(kind, seed=5)
    agrees(model, x, "epsilon_plus")


def test_one_product_finds_the_sizes_of_gamma_where_it_has_many_terms_and_no_small_gamma():
    from lrp_ref.kernels.compiled.accounts import size_method_of
    from lrp_ref.kernels.compiled.product_plan import product_plan

    weight = np.random.default_rng(0).standard_normal((4, 8, 3, 3))
    for rule, terms, tilted in ((rules.Gamma(0.25), 72, True), (rules.Gamma(0.01), 72, False), (rules.Gamma(0.25), 9, False)):
        (column,) = product_plan(L.Conv(weight), rule, True, np.float64, False).columns
        method = size_method_of(column, rule, True, terms)
        assert (method.alike, bool(method.tilt)) == (False, tilted)
        assert not size_method_of(column, rule, False, terms).tilt


def test_no_step_of_a_usual_network_takes_the_definition_for_its_accounts(monkeypatch):
    """CONV-LEDGER-BOUND's figures are found in one pass; `book` would take one more pass for each share, and the input anew."""
    from lrp_ref.kernels.numpy import linear as fused

    def refused(*_, **__):
        raise AssertionError("a booking by the definition")

    monkeypatch.setattr(fused, "book", refused)
    monkeypatch.setattr(rules.LinearRule, "divided", refused)
    monkeypatch.setattr(rules.LinearRule, "propagate", refused)
    for kind in ("plain", "windows", "residual"):
        model, x = network(kind, seed=3)
        for composite in ("epsilon_plus", "epsilon_gamma_box"):
            Explainer(model, composite, backend="compiled", ledger=True, allow_negative=True)(x).ledger.table()


def test_an_input_just_outside_of_the_bounds():
    """zᴮ allows 1e-5 of the interval: there a − low is negative, and its size is not what it adds to z."""
    layer = L.Conv(np.float32([[[[1.0, -2.0]]]]))
    model = Model.sequential([layer], domain=(0.0, 1.0), input_shape=(1, 1, 2))
    x = np.float32([[[[-9e-6, 0.5]]]])
    found = Explainer(model, composites.uniform(rules.ZBox(0.0, 1.0)), backend="compiled", ledger=True)(x, target=(0, 0, 0))
    (entry,) = [entry for entry in found.ledger if entry.node == "conv1"]
    z = -9e-6 + 1.0
    s = float(found.value[0]) / z
    np.testing.assert_allclose(entry.booking.turnover, abs(s * z) + abs(s) * (9e-6 + 1.0), rtol=1e-7)


def test_a_node_that_is_read_twice_is_accounted_for_message_by_message():
    """x → relu → (dense1, dense2) → add: what dense1 and dense2 hand on is found apart, though it arrives as one."""
    rng = np.random.default_rng(2)
    dense = [L.Dense(rng.standard_normal((4, 3)).astype(np.float32)) for _ in range(2)]
    nodes = (
        Node("relu", L.ReLU(), ("input",)),
        Node("dense1", dense[0], ("relu",)),
        Node("dense2", dense[1], ("relu",)),
        Node("add", L.Add(), ("dense1", "dense2")),
    )
    agrees(Model(nodes), rng.standard_normal((3, 4)).astype(np.float32), "epsilon_plus")
    agrees(Model(nodes), rng.standard_normal((3, 4)).astype(np.float32), "epsilon_plus", filter={"relu": [0, 2]})


def test_a_ledger_put_together_late_is_the_same_when_it_is_copied():
    model, x = network(next(iter(NETS)), seed=1)
    found = Explainer(model, ledger=True)(x).ledger
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):  # noqa: S301 - our own bytes
        assert other.table() == found.table()
        assert not other.entries[0].booking.bias.flags.writeable
    assert found.entries is found.entries
    with pytest.raises(AttributeError, match="no attribute 'colums'"):
        _ = found.colums
    with pytest.raises(AttributeError, match="no attribute 'sum'"):
        _ = Booking.of(np.zeros((2, 1, 8))).sum
