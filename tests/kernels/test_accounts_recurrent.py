"""What a compiled LSTM accounts for in one pass back: the same figures as the definition's, step by step."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, rules
from lrp_ref import layers as L
from lrp_ref.ledger import AMOUNTS, COLUMNS
from support.recurrent_strategies import PRODUCTS, make, numbers

pytestmark = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")

NAMES = (*COLUMNS, *AMOUNTS)
LINEAR = (rules.Epsilon(0.5), rules.Zero(), rules.Epsilon(0))


def usual(seed, **options):
    """An LSTM that the core serves, with what it reads."""
    case = make(seed, "LSTM", rational=False, **options)
    return replace(case, layer=replace(case.layer, activation="tanh", state_activation="tanh", scale=1, state_scale=1))


def booked(case, rule, backend="compiled", start=None, **options):
    names = ("x", *case.layer.reads)
    model = Model((Node("it", case.layer, names),), names)
    explainer = Explainer(model, Composite(((L.Recurrent, rule),)), backend=backend, keep=names, ledger=True, **options)
    return explainer(dict(zip(names, case.inputs, strict=True)), start=case.relevance if start is None else start)


def parts(booking):
    return {name: getattr(booking, name) for name in NAMES} | dict(booking.details)


def same(found, wanted, bound):
    """Columns and details, to a part of the turnover."""
    assert set(found.details) == set(wanted.details)
    for name, part in parts(wanted).items():
        other = parts(found)[name]
        assert (other.shape, other.dtype) == (part.shape, np.float64), name
        turnover = wanted.turnover.reshape(wanted.turnover.shape + (1,) * (part.ndim - wanted.turnover.ndim))
        assert (abs(other - part) <= bound * turnover).all(), name


def widest(layer):
    return 1 + max(layer.features + layer.hidden + 1, 4 * layer.hidden)


@pytest.mark.parametrize("operands", ["activated", "pre"])
@pytest.mark.parametrize("linear", LINEAR, ids=str)
@pytest.mark.parametrize("product", PRODUCTS, ids=str)
def test_the_figures_are_the_definition_s(product, linear, operands):
    """Directions, returns, lengths, initial states that are read, constants or none, biases or none."""
    for seed in range(24):
        case = usual(seed)
        for total in (rules.Epsilon(0.5), rules.Zero()):
            rule = rules.ThroughTime(product, linear, total, operands)
            try:
                wanted = booked(case, rule, "reference").ledger["it"]
            except lrp_ref.errors.NonFiniteError:
                continue
            same(booked(case, rule).ledger["it"], wanted, 1e-9)


@pytest.mark.parametrize("product", PRODUCTS, ids=str)
def test_float32_is_within_the_rounding_of_what_moved(product):
    """Against float64. With ε = 1 no denominator is small, so that rounding is a part of the turnover alone."""
    rule = rules.ThroughTime(product, rules.Epsilon(1), rules.Epsilon(1))
    for seed in range(40):
        case = usual(seed, steps=1 + seed % 9, hidden=1 + seed % 21)
        found, wanted = (booked(c, rule, b).ledger["it"] for c, b in ((case.astype(np.float32), "compiled"), (case, "reference")))
        same(found, wanted, 64 * widest(case.layer) * 2**-24)
        bound = 4 * widest(case.layer) * 2**-24 * found.turnover
        assert (abs(found.rounding) <= bound).all()


def test_what_no_share_takes_is_booked_exactly():
    """All is 0 but the relevance: with ε = 0 every denominator is 0, and nothing goes on."""
    for product in (rules.SignalTakesAll(), rules.HalfProduct(), rules.ProportionalProduct(0)):
        for returns in ("last", "all", "cell"):
            layer = L.LSTM.from_arrays(np.zeros((2, 3, 8)), np.zeros((2, 2, 8)), returns=returns, direction="bidirectional")
            start = np.ones((2, 4, 4)) if returns == "all" else np.ones((2, 4))
            case = replace(usual(0), layer=layer, inputs=(np.zeros((2, 4, 3)),), relevance=start)
            for operands in ("activated", "pre"):
                rule = rules.ThroughTime(product, rules.Zero(), rules.Zero(), operands)
                found, wanted = (booked(case, rule, backend).ledger["it"] for backend in ("compiled", "reference"))
                for name, part in parts(wanted).items():
                    assert np.array_equal(parts(found)[name], part), (product, returns, name)
                assert (found.inputs == 0).all()


def test_what_arrives_behind_an_end_is_lost():
    for seed in range(12):
        case = usual(seed, returns="all", reads=("lengths",), batch=3, steps=6)
        behind = np.arange(6) >= case.inputs[1][:, None]
        start = np.where(behind[..., None], case.relevance, 0.0)
        found = booked(case, rules.ThroughTime(), start=start).ledger["it"]
        wanted = start.sum(axis=2)
        assert np.array_equal(found.details["unassigned"], wanted)
        assert np.array_equal(found.unassigned, wanted.sum(axis=1))
        assert np.array_equal(found.turnover, abs(start).sum(axis=(1, 2)))


def test_one_step_by_hand():
    """One unit, one feature, i = f = o = 1/2 (z = 0), x = 1, W_g = 1, b_g = 1: z_g = 2, a = tanh(2)/2, no state before it.

    R_c = R: the sum takes ε/(a + ε); s = R_g/(2 + ε); the bias s, the stabiliser s ε, the input s.
    """
    layer = L.LSTM.from_arrays(np.array([[0.0, 0, 1, 0]]), np.zeros((1, 4)), np.array([0.0, 0, 1, 0]), gate_order="ifgo")
    a, epsilon = np.tanh(2.0) / 2, 0.25
    to_g = 8 * a / (a + epsilon)
    s = to_g / (2 + epsilon)
    case = replace(usual(0), layer=layer, inputs=(np.ones((1, 1, 1)),), relevance=np.array([[8.0]]))
    found = booked(case, rules.ThroughTime(rules.SignalTakesAll(), rules.Epsilon(epsilon), rules.Epsilon(epsilon))).ledger["it"]
    taken = 8 * epsilon / (a + epsilon) + s * epsilon
    #         R arrives, the sum's share and message, the map's: R_g, the bias, the input; and the input's relevance
    turnover = 8 + (8 + to_g) + (to_g + s + s) + s
    wanted = {"arriving": 8, "inputs": s, "bias": s, "stabiliser": taken, "unassigned": 0, "turnover": turnover}
    for name, value in (wanted | {"arriving_abs": 8, "inputs_abs": s}).items():
        np.testing.assert_allclose(getattr(found, name), [value], rtol=1e-15, err_msg=name)
    assert {name: part.tolist() for name, part in found.details.items() if "initial" in name} == {
        "initial hidden": [0],
        "initial cell": [0],
    }


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("product", PRODUCTS, ids=str)
def test_a_batch_is_its_samples_bit_for_bit(product, dtype):
    """CONV-BATCH-BITS and CONV-THREAD-BITS, of the accounts."""
    rule = rules.ThroughTime(product)
    for seed, (steps, hidden, batch) in enumerate([(3, 2, 5), (9, 17, 33), (33, 8, 6), (61, 5, 2), (1, 1, 3), (7, 33, 2)]):
        case = usual(seed, batch=batch, steps=steps, hidden=hidden).astype(dtype)
        whole, other = (parts(booked(case, rule, threads=threads).ledger["it"]) for threads in (1, 4))
        for n in range(0, batch, 4):
            alone = parts(booked(case.sample(n), rule, threads=2).ledger["it"])
            for name, part in whole.items():
                assert part.tobytes() == other[name].tobytes()
                assert part[n : n + 1].tobytes() == alone[name].tobytes(), name


@pytest.mark.parametrize("composite", ["lstm_all", "lstm_half", "lstm_abs", "lstm_prop"])
def test_several_targets_and_layers(composite):
    """A stack of two, whose upper reads what the lower hands on: each target alone has the same bits, and every total closes."""
    rng = np.random.default_rng(0)
    first = L.LSTM.from_arrays(numbers(rng, 2, 3, 20), numbers(rng, 2, 5, 20), numbers(rng, 2, 20), return_sequences=True)
    second = L.LSTM.from_arrays(numbers(rng, 10, 12), numbers(rng, 3, 12), numbers(rng, 12), initial_cell=numbers(rng, 3))
    model = Model.sequential([first, second, L.Dense(numbers(rng, 3, 4), numbers(rng, 4))])
    x = numbers(rng, 3, 6, 3)
    compiled, reference = (
        Explainer(model, composite, backend=b, ledger=True)(x, target="all").ledger for b in ("compiled", "reference")
    )
    for name in ("lstm1", "lstm2", "dense1"):
        same(compiled[name], reference[name], 1e-9)
        for t in range(4):
            alone = Explainer(model, composite, backend="compiled", ledger=True)(x, target=t).ledger
            for part, value in parts(alone[name]).items():
                assert value.tobytes() == parts(compiled[name])[part][:, t].tobytes(), (name, part)
    total = compiled.relevance + compiled.bias + compiled.stabiliser + compiled.unassigned
    np.testing.assert_allclose(total, compiled.start, atol=1e-12)
    again = copy.deepcopy(compiled)
    for part, value in parts(again["lstm2"]).items():
        assert np.array_equal(value, parts(compiled["lstm2"])[part])
        assert not value.flags.writeable


def test_no_step_of_an_lstm_walks_the_definition_for_its_accounts(monkeypatch):
    from lrp_ref.kernels.compiled import recurrent as compiled_recurrent

    def refused(*_, **__):
        raise AssertionError("a walk by the definition")

    monkeypatch.setattr(compiled_recurrent, "backward_through_time", refused)
    for product in PRODUCTS:
        booked(usual(3), rules.ThroughTime(product)).ledger.table()


def test_lengths_that_a_node_computes_get_nothing():
    rng = np.random.default_rng(0)
    layer = L.LSTM.from_arrays(numbers(rng, 3, 8), numbers(rng, 2, 8), numbers(rng, 8), reads=("lengths",))
    model = Model((Node("ends", L.Scale(1.0), ("n",)), Node("it", layer, ("x", "ends"))), ("x", "n"))
    given = {"x": numbers(rng, 2, 4, 3), "n": np.array([2.0, 4.0])}
    for backend in lrp_ref.BACKENDS:
        e = Explainer(model, "lstm_all", backend=backend, ledger=True)(given, target="all")
        assert (e.ledger["ends"].arriving == 0).all()
