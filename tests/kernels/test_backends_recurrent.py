"""Recurrent layers in every backend: near the reference, the same bits whatever is asked, and accounts that close."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Composite, Explainer, Model, Node, rules
from lrp_ref import layers as L
from support.recurrent_strategies import KINDS, PRODUCTS, Case, make, numbers
from support.strategies import fewer

FAST = [name for name in lrp_ref.BACKENDS if name != "reference"]
EPSILON = rules.Epsilon(0.01)


def usual(case):
    """The case with the activations that the compiled step serves."""
    options = {"activation": "tanh", "state_activation": "tanh", "scale": 1, "state_scale": 1}
    return replace(case, layer=replace(case.layer, **options))


def drawn(seed, kind, **options):
    case = make(seed, kind, rational=False, **options)
    return usual(case) if kind == "LSTM" and seed % 4 else case


def explained(case, rule, backend, ledger=False, **options):
    names = ("x", *case.layer.reads)
    model = Model((Node("it", case.layer, names),), names)
    explainer = Explainer(model, Composite(((L.Recurrent, rule),)), backend=backend, keep=names, ledger=ledger, **options)
    return explainer(dict(zip(names, case.inputs, strict=True)), start=case.relevance)


def bits(e):
    return [e.prediction.tobytes(), *(e.at(name).tobytes() for name in e.inputs)]


any_rule = st.builds(
    rules.ThroughTime,
    st.sampled_from(PRODUCTS),
    st.sampled_from([EPSILON, EPSILON, rules.Zero(), rules.GeneralizedGamma(0.5), rules.Epsilon(0.1, signed=False)]),
    st.sampled_from([EPSILON, rules.Epsilon(0)]),
    st.sampled_from(["activated", "pre"]),
)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("kind", KINDS)
def test_every_backend_is_near_the_reference_and_its_accounts_close(backend, kind):
    """Both round differently, by some units of what moved in all: the turnover."""

    @fewer
    @given(st.integers(0, 2**32 - 1), any_rule)
    def check(seed, rule):
        case = drawn(seed, kind)
        wanted, found = explained(case, rule, "reference", ledger=True), explained(case, rule, backend, ledger=True)
        np.testing.assert_allclose(found.prediction, wanted.prediction, rtol=1e-12, atol=1e-13)
        turnover = wanted.ledger["it"].turnover
        widest = 1 + max(case.layer.features + case.layer.hidden + 1, len(case.layer.gate_names) * case.layer.hidden)
        for name in wanted.inputs:
            off = abs(found.at(name) - wanted.at(name))
            scale = turnover.reshape(-1, *(1,) * (off.ndim - 1))
            assert (off <= 32 * widest * 2**-53 * scale).all()
        booking = found.ledger["it"]
        assert (abs(booking.rounding) <= 4 * widest * 2**-53 * booking.turnover).all()
        for name in ("bias", "stabiliser", "unassigned"):
            np.testing.assert_allclose(
                getattr(booking, name), getattr(wanted.ledger["it"], name), atol=1e-9 * turnover.max(initial=1)
            )
        # step by step too, and what reached the initial states
        details = wanted.ledger["it"].details
        assert set(booking.details) == set(details)
        for name, part in details.items():
            np.testing.assert_allclose(booking.details[name], part, atol=1e-9 * turnover.max(initial=1))

    check()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("product", PRODUCTS, ids=str)
def test_bits(backend, product, dtype):
    """CONV-BATCH-BITS, CONV-THREAD-BITS, CONV-OBSERVE-BITS: alone or in a batch, on one thread or four, with a ledger or not."""
    rule = rules.ThroughTime(product, EPSILON, EPSILON)
    for seed, (steps, hidden, batch) in enumerate([(3, 2, 5), (9, 17, 33), (33, 8, 6), (2, 60, 29), (1, 1, 3), (7, 33, 1)]):
        case = usual(make(seed, "LSTM", rational=False, batch=batch, steps=steps, hidden=hidden)).astype(dtype)
        whole = explained(case, rule, backend, threads=1)
        assert bits(whole) == bits(explained(case, rule, backend, threads=4)) == bits(explained(case, rule, backend, ledger=True))
        for n in range(0, batch, 4):
            alone = explained(case.sample(n), rule, backend, threads=2)
            assert alone.prediction.tobytes() == whole.prediction[n : n + 1].tobytes()
            for name in whole.inputs:
                assert alone.at(name).tobytes() == whole.at(name)[n : n + 1].tobytes()


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_several_targets_are_each_target(backend):
    rng = np.random.default_rng(0)
    lstm = L.LSTM.from_arrays(numbers(rng, 2, 3, 20), numbers(rng, 2, 5, 20), numbers(rng, 2, 20), return_sequences=True)
    gru = L.GRU.from_arrays(numbers(rng, 10, 9), numbers(rng, 3, 9), numbers(rng, 9))
    model = Model.sequential([lstm, gru, L.Dense(numbers(rng, 3, 4))])
    explainer = Explainer(model, "lstm_half", backend=backend, keep="all")
    x = numbers(rng, 3, 6, 3)
    every = explainer(x, target="all")
    for t in range(4):
        one = explainer(x, target=t)
        for name in ("input", "lstm1", "gru1"):
            assert one.at(name).tobytes() == every.at(name)[:, t].tobytes()


def test_the_usual_lstm_is_compiled_and_other_cells_are_not():
    if "compiled" not in lrp_ref.BACKENDS:
        pytest.skip("the compiled core is not built")
    rng = np.random.default_rng(0)
    arrays = numbers(rng, 3, 8), numbers(rng, 2, 8), numbers(rng, 8)
    plain, step = L.LSTM.from_arrays(*arrays), {}
    for name, layer, rule in (
        ("plain", plain, rules.ThroughTime()),
        ("half", plain, rules.ThroughTime(rules.HalfProduct(), rules.Zero(), EPSILON)),
        ("gamma", plain, rules.ThroughTime(linear=rules.GeneralizedGamma())),
        ("relative", plain, rules.ThroughTime(linear=rules.Epsilon(rules.relative(0.1)))),
        ("peepholes", L.LSTM.from_arrays(*arrays, peepholes=numbers(rng, 6)), rules.ThroughTime()),
        ("relu", replace(plain, activation="relu"), rules.ThroughTime()),
        ("scaled", replace(plain, scale=2.0), rules.ThroughTime()),
    ):
        explainer = Explainer(Model.sequential([layer]), Composite(((L.LSTM, rule),)), backend="compiled")
        step[name] = explainer.plan({"input": (4, 3)}).steps[0].label
    assert {name for name, label in step.items() if label == "compiled, through time"} == {"plain", "half"}
    assert set(step.values()) == {"compiled, through time", "numpy, through time"}


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_errors_name_the_node(backend):
    rng = np.random.default_rng(0)
    lstm = L.LSTM.from_arrays(numbers(rng, 3, 8), numbers(rng, 2, 8), reads=("lengths",))
    explainer = Explainer(Model((Node("reader", lstm, ("x", "lengths")),), ("x", "lengths")), "lstm_all", backend=backend)
    with pytest.raises(lrp_ref.errors.ParameterError, match=r"node 'reader' \(LSTM\): lengths must be whole numbers from 1 to 4"):
        explainer({"x": numbers(rng, 2, 4, 3), "lengths": np.array([5.0, 1.0])}, target=0)
    assert explainer({"x": numbers(rng, 0, 4, 3), "lengths": np.zeros(0)}, target="all").relevances["x"].shape == (0, 2, 4, 3)


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_memory_is_linear_in_the_number_of_steps(backend):
    rng = np.random.default_rng(0)
    model = Model.sequential([L.LSTM.from_arrays(numbers(rng, 4, 32), numbers(rng, 8, 32)), L.Dense(numbers(rng, 8, 2))])
    explainer, peaks = Explainer(model, "lstm_all", backend=backend), []
    for steps in (100, 400):
        x = numbers(rng, 4, steps, 4)
        explainer(x, target=0)
        tracemalloc.start()
        explainer(x, target=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 4.5 * peaks[0]


def test_a_case_is_what_it_says():
    assert isinstance(drawn(1, "LSTM"), Case)
    assert drawn(1, "LSTM").layer.activation == "tanh"
