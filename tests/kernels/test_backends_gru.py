"""The GRU in C: relevance and accounts are the definition's, the same bits whatever is asked, and it serves what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, errors, rules
from lrp_ref import layers as L
from lrp_ref.ledger import AMOUNTS, COLUMNS
from support.recurrent_strategies import make, numbers

pytestmark = pytest.mark.skipif("compiled" not in lrp_ref.BACKENDS, reason="the compiled core is not built")

NAMES = (*COLUMNS, *AMOUNTS)
EPSILON = rules.Epsilon(0.5)
each_kind = pytest.mark.parametrize("kind", ["GRU", "GRU after"])
each_type = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])


def usual(seed, kind, **options):
    """A GRU that the core serves, with what it reads."""
    case = make(seed, kind, rational=False, **options)
    return replace(case, layer=replace(case.layer, gate_activation="sigmoid", activation="tanh"))


def explained(case, rule, backend="compiled", ledger=True, **options):
    names = ("x", *case.layer.reads)
    model = Model((Node("it", case.layer, names),), names)
    explainer = Explainer(model, Composite(((L.Recurrent, rule),)), backend=backend, keep=names, ledger=ledger, **options)
    return explainer(dict(zip(names, case.inputs, strict=True)), start=case.relevance)


def parts(booking):
    return {name: getattr(booking, name) for name in NAMES} | dict(booking.details)


def bits(e):
    return [e.prediction.tobytes(), *(e.at(name).tobytes() for name in e.inputs)]


def widest(layer):
    return 1 + max(layer.features + layer.hidden + 1, 3 * layer.hidden)


def require_near(found, wanted, layer, unit):
    """Relevance, accounts and their details, to units of what moved in all."""
    booking, other = wanted.ledger["it"], found.ledger["it"]
    bound = 64 * widest(layer) * unit
    np.testing.assert_allclose(found.prediction, wanted.prediction, atol=64 * unit)
    for name in wanted.inputs:
        off = abs(found.at(name) - wanted.at(name))
        assert (off <= bound * booking.turnover.reshape(-1, *(1,) * (off.ndim - 1))).all(), name
    assert set(other.details) == set(booking.details)
    for name, part in parts(booking).items():
        turnover = booking.turnover.reshape(booking.turnover.shape + (1,) * (part.ndim - booking.turnover.ndim))
        assert (abs(parts(other)[name] - part) <= bound * turnover).all(), name
    assert (abs(other.rounding) <= 4 * widest(layer) * unit * other.turnover).all()


@pytest.mark.parametrize("linear", [EPSILON, rules.Zero(), rules.Epsilon(0)], ids=str)
@each_kind
def test_relevance_and_figures_are_the_definition_s(kind, linear):
    """Directions, returns, lengths, initial states that are read, constants or none, biases or none."""
    served = 0
    for seed in range(40):
        case = usual(seed, kind)
        for total in (EPSILON, rules.Zero()):
            rule = rules.ThroughTime(rules.SignalTakesAll(), linear, total)
            try:
                wanted = explained(case, rule, "reference")
            except errors.NonFiniteError:
                continue
            scale = wanted.ledger["it"].turnover.max(initial=0) / max(abs(case.relevance).max(initial=0), 1e-30)
            if scale < 1e6:  # beyond, a denominator is all but 0, and both are rounding
                require_near(explained(case, rule), wanted, case.layer, max(2**-53, scale * 2**-53))
                served += 1
    assert served > 20


@each_kind
def test_float32_is_within_the_rounding_of_what_moved(kind):
    """Against float64. With ε = 1 no denominator is small, so that rounding is a part of the turnover alone."""
    rule = rules.ThroughTime(rules.SignalTakesAll(), rules.Epsilon(1), rules.Epsilon(1))
    for seed in range(30):
        case = usual(seed, kind, steps=1 + seed % 9, hidden=1 + seed % 37)
        require_near(explained(case.astype(np.float32), rule), explained(case, rule, "reference"), case.layer, 2**-24)


@each_type
@each_kind
def test_bits(kind, dtype):
    """CONV-BATCH-BITS, CONV-THREAD-BITS, CONV-OBSERVE-BITS: alone or in a batch, on one thread or four, with a ledger or not."""
    rule = rules.ThroughTime(rules.SignalTakesAll(), EPSILON, EPSILON)
    for seed, (steps, hidden, batch) in enumerate([(3, 2, 5), (9, 17, 33), (33, 8, 6), (2, 60, 29), (1, 1, 3), (7, 33, 1)]):
        case = usual(seed, kind, batch=batch, steps=steps, hidden=hidden).astype(dtype)
        whole, other = explained(case, rule, threads=1), explained(case, rule, threads=4)
        assert bits(whole) == bits(other) == bits(explained(case, rule, ledger=False))
        for n in range(0, batch, 4):
            alone = explained(case.sample(n), rule, threads=2)
            assert alone.prediction.tobytes() == whole.prediction[n : n + 1].tobytes()
            for name in whole.inputs:
                assert alone.at(name).tobytes() == whole.at(name)[n : n + 1].tobytes()
            for name, part in parts(alone.ledger["it"]).items():
                cut = [parts(e.ledger["it"])[name][n : n + 1].tobytes() for e in (whole, other)]
                assert [part.tobytes()] * 2 == cut, name


@each_kind
def test_what_arrives_behind_an_end_is_lost(kind):
    for seed in range(12):
        case = usual(seed, kind, returns="all", reads=("lengths",), batch=3, steps=6)
        behind = np.arange(6) >= case.inputs[1][:, None]
        start = np.where(behind[..., None], case.relevance, 0.0)
        found = explained(replace(case, relevance=start), rules.ThroughTime())
        assert np.array_equal(found.ledger["it"].details["unassigned"], start.sum(axis=2))
        assert not found.at("x").any()


@each_kind
def test_what_no_share_takes_is_booked_exactly(kind):
    """All is 0 but the relevance: with ε = 0 every denominator is 0, and nothing goes on."""
    for returns in ("last", "all"):
        after = kind == "GRU after"
        layer = L.GRU.from_arrays(
            np.zeros((2, 3, 6)), np.zeros((2, 2, 6)), returns=returns, direction="bidirectional", linear_before_reset=after
        )
        start = np.ones((2, 4, 4)) if returns == "all" else np.ones((2, 4))
        case = replace(usual(0, kind), layer=layer, inputs=(np.zeros((2, 4, 3)),), relevance=start)
        rule = rules.ThroughTime(rules.SignalTakesAll(), rules.Zero(), rules.Zero())
        found, wanted = (explained(case, rule, backend).ledger["it"] for backend in ("compiled", "reference"))
        for name, part in parts(wanted).items():
            assert np.array_equal(parts(found)[name], part), (returns, name)
        assert not found.inputs.any()


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_one_step_by_hand(backend):
    """One unit, one feature, r = u = 1/2 (z = 0), h' = 1, x = 1, W_n = 1, U_n = 2, b'_n = 2: U h' + b' = 4, z_n = 1 + 2 = 3.

    kept 1/2, added tanh(3)/2, their sum a; R = 8, without ε: R_n = 8 added/a. Of z_n the input takes 1/3; the product 2/3, of
    which the state takes 2/4 and b' the rest. The state before gets 8 kept/a, and R_n/3.
    """
    layer = L.GRU.from_arrays(
        *(np.array([[0.0, 0, 1]]), np.array([[0.0, 0, 2]]), None, np.array([0.0, 0, 2])),
        linear_before_reset=True,
        reads=("hidden",),
    )
    added = np.tanh(3.0) / 2
    candidate = 8 * added / (0.5 + added)
    case = replace(usual(0, "GRU after"), layer=layer, inputs=(np.ones((1, 1, 1)), np.ones((1, 1))), relevance=np.array([[8.0]]))
    found = explained(case, rules.ThroughTime(rules.SignalTakesAll(), rules.Zero(), rules.Zero()), backend)
    np.testing.assert_allclose(found.at("x"), [[[candidate / 3]]], rtol=1e-15)
    np.testing.assert_allclose(found.at("hidden"), [[8 * 0.5 / (0.5 + added) + candidate / 3]], rtol=1e-15)
    np.testing.assert_allclose(found.ledger["it"].bias, [candidate / 3], rtol=1e-15)


def test_the_usual_gru_is_compiled_and_other_cells_are_not():
    rng = np.random.default_rng(0)
    plain, step = L.GRU.from_arrays(numbers(rng, 3, 6), numbers(rng, 2, 6), numbers(rng, 6)), {}
    for name, layer, rule in (
        ("plain", plain, rules.ThroughTime()),
        ("before", replace(plain, linear_before_reset=False, bias_recurrent=None), rules.ThroughTime()),
        ("half", plain, rules.ThroughTime(rules.HalfProduct(), rules.Zero(), EPSILON)),
        ("gamma", plain, rules.ThroughTime(linear=rules.GeneralizedGamma())),
        ("relu", replace(plain, activation="relu"), rules.ThroughTime()),
        ("hard", replace(plain, gate_activation="hard_sigmoid"), rules.ThroughTime()),
    ):
        explainer = Explainer(Model.sequential([layer]), Composite(((L.GRU, rule),)), backend="compiled")
        step[name] = explainer.plan({"input": (4, 3)}).steps[0].label
    assert {name for name, label in step.items() if label == "compiled, through time"} == {"plain", "before"}


@pytest.mark.parametrize("backend", ["reference", "numpy", "compiled"])
@pytest.mark.parametrize(
    ("size", "error"), [(3.3e-21, errors.UnderflowError), (1e20, errors.NonFiniteError)], ids=["small", "large"]
)
def test_a_denominator_that_leaves_its_type_is_refused(backend, size, error):
    """z_n = W x is 1.1e-41 or overflows, and what is handed to it is not 0."""
    layer = L.GRU.from_arrays(np.array([[0, 0, size]]), np.zeros((1, 3)))
    case = replace(usual(0, "GRU"), layer=layer, inputs=(np.full((1, 1, 1), size),), relevance=np.ones((1, 1)))
    with pytest.raises(errors.NonFiniteError):
        explained(case.astype(np.float32), rules.ThroughTime(rules.SignalTakesAll(), rules.Zero(), rules.Zero()), backend)


def test_wrong_calls_are_refused():
    core = pytest.importorskip("lrp_ref.kernels.compiled._core")
    w, u, rule = np.ones((1, 3, 6)), np.ones((1, 2, 6)), (core.SIGNAL, False, 0.0, 0.1, 0.1)
    gru, x = core.GRU(w, u, None, None, (False,), True, False), np.ones((4, 5, 3))
    for call in (
        lambda: core.GRU(w, np.ones((1, 2, 8)), None, None, (False,), True, False),
        lambda: core.GRU(w, u, None, np.ones((1, 3)), (False,), True, False),
        lambda: core.GRU.__init__(gru, w, u, None, None, (False,), True, False),
        lambda: gru.forward(x, None, (None, None), core.CELL, rule, 1),
        lambda: gru.forward(x, None, (None, None), core.LAST, (core.HALF, *rule[1:]), 1),
        lambda: core.GRU.__new__(core.GRU).forward(x, None, (None, None), core.LAST, rule, 1),
    ):
        with pytest.raises(ValueError, match=r".+"):
            call()
    with pytest.raises(TypeError):
        core.GRU(w, u, None, np.ones((1, 2), np.float32), (False,), True, False)
