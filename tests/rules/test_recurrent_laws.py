"""Laws of relevance through time: it closes to the last entry, is linear in R, and a sample is its own, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules
from support.recurrent_strategies import KINDS, PRODUCTS, Case, cases, make, numbers, through_time
from support.strategies import fewer

any_rule = through_time(exact=False)


def fan(layer):
    """1 + the larger of fan-in and fan-out of the cell's widest map."""
    return 1 + max(layer.features + layer.hidden + 1, len(layer.gate_names) * layer.hidden)


def propagate(case, rule, relevance=None):
    relevance = case.relevance if relevance is None else relevance
    return rule.propagate(case.layer, case.inputs, case.layer.forward(*case.inputs), relevance)


@given(cases(rational=False, batch=3), any_rule)
def test_the_accounts_close_up_to_rounding(case, rule):
    """CONV-LEDGER-BOUND: every number that moved, at every step, is in the turnover."""
    _, booking = propagate(case, rule)
    bound = 4 * fan(case.layer) * 2**-53 * booking.turnover
    assert (abs(booking.rounding) <= bound).all()


@given(cases(), any_rule)
def test_asking_for_accounts_changes_no_bit(case, rule):
    with_accounts, _ = propagate(case, rule)
    without = rule.relevances(case.layer, case.inputs, case.layer.forward(*case.inputs), case.relevance)
    assert [a.tobytes() for a in with_accounts] == [a.tobytes() for a in without]


@fewer
@given(cases(), through_time(), st.integers(0, 2**32 - 1))
def test_relevance_is_linear_in_what_arrives(case, rule, seed):
    """In rationals exactly, accounts included."""
    other = numbers(np.random.default_rng(seed), *case.relevance.shape)
    one, two = case.astype(object), Case(case.layer, case.inputs, other).astype(object)
    both = propagate(one, rule, one.relevance + 3 * two.relevance)
    parts = propagate(one, rule), propagate(one, rule, two.relevance)
    for whole, a, b in zip(both[0], parts[0][0], parts[1][0], strict=True):
        assert (whole == a + 3 * b).all()
    for name in both[1].details:
        assert (both[1].details[name] == parts[0][1].details[name] + 3 * parts[1][1].details[name]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_samples_one_by_one_bit_for_bit(kind, dtype):
    """CONV-BATCH-BITS, for every output and every account; sizes at which BLAS has more than one way."""
    for seed, (steps, hidden) in enumerate([(3, 2), (9, 17), (33, 8), (2, 60), (1, 1)]):
        case = make(seed, kind, rational=False, batch=7, steps=steps, hidden=hidden).astype(dtype)
        for product in PRODUCTS:
            rule = rules.ThroughTime(product)
            whole = propagate(case, rule)
            output = case.layer.forward(*case.inputs)
            for n in range(case.batch):
                one = case.sample(n)
                alone = propagate(one, rule)
                assert one.layer.forward(*one.inputs).tobytes() == output[n : n + 1].tobytes()
                for a, b in zip(alone[0], whole[0], strict=True):
                    assert a.tobytes() == b[n : n + 1].tobytes()
                for name in ("bias", "stabiliser", "unassigned", "turnover"):
                    assert getattr(alone[1], name).tobytes() == getattr(whole[1], name)[n : n + 1].tobytes()


@given(cases(rational=False, reads=("lengths",), batch=2), any_rule, st.integers(0, 2**32 - 1))
def test_what_is_beyond_the_end_of_a_sequence_does_not_matter_and_gets_nothing(case, rule, seed):
    """CONV-LENGTHS"""
    x, lengths = case.inputs
    beyond = np.arange(x.shape[1]) >= lengths[:, None]
    other = np.where(beyond[..., None], np.random.default_rng(seed).normal(size=x.shape), x)
    found, elsewhere = propagate(case, rule), propagate(replace(case, inputs=(other, lengths)), rule)
    assert found[0][0].tobytes() == elsewhere[0][0].tobytes()
    assert not found[0][0][beyond].any()
    assert not found[0][1].any()
    output = case.layer.forward(*case.inputs)
    assert output.tobytes() == case.layer.forward(other, lengths).tobytes()
    if case.layer.returns == "all":
        assert not output[beyond].any()


@fewer
@given(cases(rational=False, batch=2), any_rule)
def test_full_lengths_are_no_lengths(case, rule):
    read = tuple(name for name in case.layer.reads if name != "lengths")
    plain = replace(case.layer, reads=read)
    states = dict(zip(case.layer.reads, case.inputs[1:], strict=True))
    rest = [states[name] for name in read]
    full = np.full(case.batch, float(case.inputs[0].shape[1]))
    ragged = replace(case.layer, reads=("lengths", *read))
    a = propagate(replace(case, layer=plain, inputs=(case.inputs[0], *rest)), rule)
    b = propagate(replace(case, layer=ragged, inputs=(case.inputs[0], full, *rest)), rule)
    assert a[0][0].tobytes() == b[0][0].tobytes()


@fewer
@given(cases(rational=False, direction="bidirectional", reads=(), returns="all", batch=2))
def test_both_directions_are_the_sum_of_each(case):
    size, layer = case.layer.hidden, case.layer
    total = 0
    for d, direction in enumerate(("forward", "reverse")):
        own = {name: value[d : d + 1] for name, value in layer.parameters.items()}
        one = replace(layer, direction=direction, **own)
        part = case.relevance[..., d * size : (d + 1) * size]
        assert (layer.forward(*case.inputs)[..., d * size : (d + 1) * size] == one.forward(*case.inputs)).all()
        total = total + propagate(Case(one, case.inputs, part), rules.ThroughTime())[0][0]
    found = propagate(case, rules.ThroughTime())[0][0]
    np.testing.assert_allclose(found, total, rtol=1e-12, atol=1e-12)  # BLAS may add in another order for other strides


def test_several_layers_are_several_nodes_and_targets_are_an_axis():
    rng = np.random.default_rng(0)
    model = lrp_ref.Model.sequential(
        [
            L.Embedding(rng.normal(size=(9, 3))),
            L.LSTM.from_arrays(rng.normal(size=(2, 3, 16)), rng.normal(size=(2, 4, 16)), return_sequences=True),
            L.GRU.from_arrays(rng.normal(size=(8, 15)), rng.normal(size=(5, 15))),
            L.Dense(rng.normal(size=(5, 3))),
        ]
    )
    words = rng.integers(0, 9, (2, 6)).astype(float)
    e = lrp_ref.explain(model, words, target="all", composite="lstm_all", keep="all", ledger=True)
    assert e.relevance.shape == (2, 3, 6)
    np.testing.assert_allclose(e.relevance, e.at("embedding1").sum(axis=-1), rtol=1e-12)
    total = e.ledger.relevance + e.ledger.bias + e.ledger.stabiliser + e.ledger.unassigned
    np.testing.assert_allclose(total, e.ledger.start, rtol=1e-12)
    assert e.ledger["lstm1"].details["bias"].shape == (2, 3, 6)
    for t in range(3):
        one = lrp_ref.explain(model, words, target=t, composite="lstm_all", ledger=True)
        assert (one.relevance == e.relevance[:, t]).all()
        assert (one.ledger["lstm1"].details["bias"] == e.ledger["lstm1"].details["bias"][:, t]).all()


# ---- the gradient, for comparisons -----------------------------------------------------------------------------------


@fewer
@given(cases(kinds=("RNN",), reads=(), returns="last"))
def test_lrp_0_of_a_relu_network_is_gradient_times_input(case):
    """Back through time too, biases included; in rationals, where no pre-activation that relevance meets is 0."""
    layer = replace(case.layer, activation="relu", initial_hidden=None).astype(object)
    exact = replace(case.astype(object), layer=layer)
    z = layer.unroll(*exact.inputs).z
    if (z == 0).any():
        return
    relevance = layer.forward(*exact.inputs) * exact.relevance
    (found,), _ = propagate(exact, rules.ThroughTime(linear=rules.Zero()), relevance)
    assert (found == exact.inputs[0] * layer.vjp(exact.inputs, layer.forward(*exact.inputs), exact.relevance)[0]).all()
