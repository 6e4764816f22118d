"""Laws of whole explanations, over random small networks under random composites, for every backend.

What one layer does is proven in the tests of the rules; here it is that layers, rules, branches, starts and the ledger
are put together as the definition says, whichever steps serve them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Composite, Explainer, Explanation, Model, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, fractions
from lrp_ref.network.model import ancestors
from support.graph_strategies import Net, explained, many, nets
from support.graph_walk import COLUMNS, Walk, walk
from support.strategies import FLOAT_TYPES, arrays, cast, fewer

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
ROUNDOFF = {np.dtype(np.float64): Fraction(1, 2**53), np.dtype(np.float32): Fraction(1, 2**24)}


def explainer(net: Net, composite: Composite, **options: Any) -> Explainer:
    return Explainer(net.model, composite, allow_negative=True, **net.options, **options)


def same_bits(found: Array, expected: Array) -> bool:
    """Whether floats are equal to the last bit, the signs of zeros included."""
    return (
        found.dtype == expected.dtype
        and found.shape == expected.shape
        and np.array_equal(found, expected)
        and np.array_equal(np.signbit(found), np.signbit(expected))
    )


def equal(found: Array, expected: Array) -> bool:
    """Whether rationals are equal, and are rationals."""
    return found.dtype == expected.dtype == object and found.shape == expected.shape and bool((found == expected).all())


def one_hot(e: Explanation, scores: Array) -> Array:
    """Where the explanation of one target starts."""
    return np.where(np.arange(scores.shape[1]) == e.target[:, None], scores, scores * 0)


def walked(net: Net, composite: Composite, e: Explanation, u: Fraction = Fraction(0)) -> Walk:
    """The walk that the explanation of one target must agree with."""
    assigned = composite.assign(net.canonical, ancestors(net.canonical, "scores"))
    return walk(net.canonical, assigned, net.values, "scores", one_hot(e, net.values["scores"]), u)


# ---- the explanation is the walk ---------------------------------------------------------------------------------------


@given(explained())
def test_in_rationals_the_explanation_is_the_walk_and_every_account_is_exact(drawn):
    """CONV-EXACT-EQUAL, CONV-BRANCH-SUM, CONV-AT-OUTPUT, CONV-START-SCORE."""
    net, composite = drawn[0].astype(object), drawn[1]
    e = explainer(net, composite, keep="all", ledger=True)(net.inputs)
    expected = walked(net, composite, e)
    assert set(e.relevances) == set(expected.relevance) | set(net.inputs)
    for name, R in expected.relevance.items():
        assert equal(e.at(name), R), name
    assert {entry.node for entry in e.ledger} == {"start at scores", *expected.accounts}
    for name, columns in expected.accounts.items():
        for column in COLUMNS:
            assert getattr(e.ledger[name], column).tolist() == columns[column], (name, column)
    assert not any(entry.booking.rounding.any() for entry in e.ledger)
    assert not e.ledger.rounding.any()
    assert (e.ledger.start == e.value).all()
    assert (e.value == e.total + e.ledger.bias + e.ledger.stabiliser + e.ledger.unassigned).all()


@each_backend
@given(explained(), st.sampled_from(FLOAT_TYPES))
def test_floats_stay_within_the_rounding_bound_of_the_walk(backend, drawn, dtype):
    """CONV-FLOAT-GENERAL, node after node: the activations are exact, each layer adds 4·n·u·Σ_k |R_{j←k}|·(1 + κ_k).

    The ledger: each node's columns leave over at most 4·n·u·turnover, and their total at most the sum of that, plus u for
    every message that is added to another one where the graph branches.
    """
    net, composite = drawn[0].astype(dtype), drawn[1]
    assume(net.exact)
    u = ROUNDOFF[np.dtype(dtype)]
    e = explainer(net, composite, keep="all", ledger=True, backend=backend)(net.inputs)
    expected = walked(net, composite, e, u)
    assert set(e.relevances) == set(expected.relevance) | set(net.inputs)
    for name in expected.relevance:
        assert e.at(name).dtype == dtype
        assert expected.agrees(name, e.at(name)), name
    total = 0.0
    for name, n in expected.fan.items():
        allowed = 4 * n * float(u) * e.ledger[name].turnover
        assert (abs(e.ledger[name].rounding) <= allowed).all(), name
        total = total + allowed + float(u) * e.ledger[name].turnover
    assert (abs(e.ledger.rounding) <= total).all()


@each_backend
@fewer
@given(explained(batch=st.just(0)))
def test_an_empty_batch_gives_empty_results(backend, drawn):
    net, composite = drawn
    for dtype in (object, *FLOAT_TYPES):
        cast_net = net.astype(dtype)
        for target in ("predicted", "all", 0, []):
            e = explainer(cast_net, composite, keep="all", ledger=True, backend=backend)(cast_net.inputs, target)
            several = (e.prediction.shape[1],) if target == "all" else ()
            assert e.several == bool(several)
            for name, R in e.relevances.items():
                assert R.shape == (0, *several, *cast_net.values[name].shape[1:])
                assert R.dtype == dtype
            assert e.total.shape == e.residual.shape == e.ledger.rounding.shape == (0, *several)
            assert repr(e)
            assert repr(e.ledger)


# ---- linear and homogeneous --------------------------------------------------------------------------------------------


@given(explained(), st.data())
def test_explanations_are_linear_in_the_start(drawn, data):
    net, composite = drawn[0].astype(object), drawn[1]
    explain = explainer(net, composite, keep="all")
    shape = net.values["scores"].shape
    R, S = (fractions(data.draw(arrays(shape))) for _ in range(2))
    t = Fraction(data.draw(st.sampled_from([-2, 3, 0])), 7)
    one, two, both = (explain(net.inputs, start=start) for start in (R, S, R + t * S))
    assert set(both.relevances) == set(one.relevances)
    for name in one.relevances:
        assert equal(both.at(name), one.at(name) + t * two.at(name))


def normal(a):
    """Whether every number is 0 or far from the subnormal range, so that its products keep all their digits."""
    return ((a == 0) | (abs(a) >= np.sqrt(np.finfo(a.dtype).tiny))).all()


@each_backend
@fewer
@given(explained(numbers=many(), rational=False), st.sampled_from(FLOAT_TYPES), st.data())
def test_twice_the_start_is_twice_the_relevance_bit_for_bit(backend, drawn, dtype, data):
    net, composite = drawn[0].astype(dtype), drawn[1]
    explain = explainer(net, composite, keep="all", backend=backend)
    start = cast(data.draw(arrays(net.values["scores"].shape)), dtype)
    assume(all(normal(values) for values in net.values.values()))  # a gate of 1e-42 has no digits to double exactly
    one, two = explain(net.inputs, start=start), explain(net.inputs, start=2 * start)
    assert all(same_bits(two.at(name), 2 * one.at(name)) for name in one.relevances)


SCALE_FREE = [
    Composite((*((rule_for, rule) for rule_for, rule in pairs), *composites.uniform(rules.Zero()).entries), "scale free")
    for pairs in (
        [(L.Linear, rules.Zero())],
        [(L.Linear, rules.Gamma(0.25))],
        [(L.Linear, rules.ZPlus())],
        [(L.Linear, rules.AlphaBeta(2, 1))],
        [(L.Dense, rules.AlphaBeta(1, 0)), (L.Linear, rules.GeneralizedGamma(0.25))],
    )
]


@given(nets(homogeneous=True), st.sampled_from(SCALE_FREE), st.integers(1, 9))
def test_without_biases_and_stabilisers_relevance_grows_with_the_input(drawn, composite, times):
    """R(t x) = t R(x), exactly in rationals."""
    net, t = drawn.astype(object), Fraction(times, 7)
    scaled = Net(net.model, {name: a * t for name, a in net.inputs.items()})
    one, more = (explainer(n, composite, keep="all")(n.inputs, target=0) for n in (net, scaled))
    assert all(equal(more.at(name), t * one.at(name)) for name in one.relevances)


@each_backend
@fewer
@given(nets(homogeneous=True, numbers=many()), st.sampled_from(SCALE_FREE), st.sampled_from(FLOAT_TYPES))
def test_twice_the_input_gives_twice_the_relevance_bit_for_bit(backend, drawn, composite, dtype):
    net = drawn.astype(dtype)
    scaled = Net(net.model, {name: a * 2 for name, a in net.inputs.items()})
    one, two = (explainer(n, composite, keep="all", backend=backend)(n.inputs) for n in (net, scaled))
    assert all(same_bits(two.at(name), 2 * one.at(name)) for name in one.relevances)


def test_with_a_stabiliser_or_a_bias_relevance_does_not_grow_with_the_input():
    for layer, rule in ((L.Dense([[3.0], [1.0]]), rules.Epsilon(1)), (L.Dense([[3.0], [1.0]], [1.0]), rules.Zero())):
        model = Model.sequential([layer, L.ReLU(), L.Dense([[1.0]])])
        one, two = (lrp_ref.explain(model, x, rule=rule).relevance for x in ([[1.0, 1.0]], [[2.0, 2.0]]))
        assert not np.array_equal(two, 2 * one) or isinstance(rule, rules.Zero)


# ---- bits --------------------------------------------------------------------------------------------------------------


@each_backend
@given(explained(numbers=many(), rational=False, batch=st.sampled_from([2, 3])), st.sampled_from(FLOAT_TYPES), st.booleans())
def test_a_sample_has_the_same_bits_in_every_batch(backend, drawn, dtype, every):
    """CONV-BATCH-BITS."""
    net, composite = drawn[0].astype(dtype), drawn[1]
    explain = explainer(net, composite, keep="all", ledger=True, backend=backend)
    target = "all" if every else "predicted"
    together = explain(net.inputs, target)
    for n in range(net.batch):
        alone = explain(net.sample(n).inputs, target)
        for name in together.relevances:
            assert same_bits(together.at(name)[n : n + 1], alone.at(name)), name
        assert same_bits(together.prediction[n : n + 1], alone.prediction)
        for entry in together.ledger:
            for column in COLUMNS:
                many_, one = getattr(entry.booking, column), getattr(alone.ledger[entry.node], column)
                assert same_bits(many_[n : n + 1], one), (entry.node, column)


@each_backend
@given(explained(numbers=many(), rational=False), st.sampled_from(FLOAT_TYPES), st.data())
def test_observing_a_node_changes_no_bit_elsewhere(backend, drawn, dtype, data):
    """CONV-OBSERVE-BITS."""
    net, composite = drawn[0].astype(dtype), drawn[1]
    everything = explainer(net, composite, keep="all", ledger=True, backend=backend)(net.inputs)
    name = data.draw(st.sampled_from(sorted(everything.relevances)))
    some = explainer(net, composite, keep=(name,), backend=backend)(net.inputs)
    nothing = explainer(net, composite, backend=backend)(net.inputs)
    assert same_bits(some.at(name), everything.at(name))
    for source in net.inputs:
        assert same_bits(some.at(source), everything.at(source))
        assert same_bits(nothing.at(source), everything.at(source))


@each_backend
@given(explained(numbers=many(), rational=False), st.sampled_from(FLOAT_TYPES), st.data())
def test_filtering_a_node_changes_no_bit_but_below_it(backend, drawn, dtype, data):
    """CONV-OBSERVE-BITS."""
    net, composite = drawn[0].astype(dtype), drawn[1]
    explain = explainer(net, composite, keep="all", backend=backend)
    whole = explain(net.inputs)
    name = data.draw(st.sampled_from(sorted(whole.relevances)))
    filtered = explain(net.inputs, filter={name: 0})
    below = {name} if name in net.inputs else ancestors(net.canonical, name)
    for other in set(whole.relevances) - below - set(net.inputs):
        assert same_bits(filtered.at(other), whole.at(other)), other
    assert not filtered.at(name)[:, 1:].any()


@each_backend
@given(explained(numbers=many(), rational=False, batch=st.just(2)), st.sampled_from(FLOAT_TYPES))
def test_several_targets_at_once_are_each_alone_bit_for_bit(backend, drawn, dtype):
    net, composite = drawn[0].astype(dtype), drawn[1]
    explain = explainer(net, composite, keep="all", ledger=True, backend=backend)
    classes = net.values["scores"].shape[1]
    wanted = [classes - 1, 0]
    every, some = explain(net.inputs, "all"), explain(net.inputs, targets=wanted)
    assert every.target.tolist() == [list(range(classes))] * 2
    for t in range(classes):
        alone = explain(net.inputs, t)
        for name in alone.relevances:
            assert same_bits(every.at(name)[:, t], alone.at(name))
        for entry in alone.ledger:
            for column in COLUMNS:
                assert same_bits(getattr(every.ledger[entry.node], column)[:, t], getattr(entry.booking, column))
        for i, target in enumerate(wanted):
            if target == t:
                assert all(same_bits(some.at(name)[:, i], alone.at(name)) for name in alone.relevances)
    mixed = explain(net.inputs, np.array([classes - 1, 0], dtype=np.uint8))
    for name in mixed.relevances:
        assert same_bits(mixed.at(name)[:1], some.at(name)[:1, 0])
        assert same_bits(mixed.at(name)[1:], some.at(name)[1:, 1])


# ---- starts and filters ------------------------------------------------------------------------------------------------


@given(explained())
def test_a_contrast_is_the_difference_of_two_explanations(drawn):
    """CONV-CONTRAST."""
    net, composite = drawn[0].astype(object), drawn[1]
    assume(net.values["scores"].shape[1] > 1)
    explain = explainer(net, composite, keep="all")
    both = explain(net.inputs, target=0, contrast=1)
    up, down = explain(net.inputs, target=0), explain(net.inputs, target=1)
    assert (both.value == up.value - down.value).all()
    assert all(equal(both.at(name), up.at(name) - down.at(name)) for name in both.relevances)


@each_backend
@fewer
@given(explained(), st.data())
def test_relevance_may_start_at_any_node(backend, drawn, data):
    """Within the bound of a walk from there; exactly in rationals."""
    net, composite = drawn
    assume(net.exact)
    known = [name for name in net.values if name in ancestors(net.canonical, "scores")] + list(net.inputs)
    at = data.draw(st.sampled_from(sorted(known)))
    start = data.draw(arrays(net.values[at].shape))
    assigned = composite.assign(net.canonical, ancestors(net.canonical, "scores"))
    for dtype, u in ((object, Fraction(0)), (np.float64, ROUNDOFF[np.dtype(np.float64)])):
        here = net.astype(dtype)
        e = explainer(here, composite, keep="all", ledger=True, backend=backend)(
            here.inputs, start=cast(start, dtype), start_at=at
        )
        expected = walk(net.canonical, assigned, net.values, at, start, u)
        assert e.target is None
        assert set(e.relevances) == set(expected.relevance) | set(net.inputs)
        assert all(expected.agrees(name, e.at(name)) for name in expected.relevance)
        assert dtype is not object or (e.value == e.total + e.ledger.bias + e.ledger.stabiliser + e.ledger.unassigned).all()


@given(explained(), st.data())
def test_what_arrives_at_a_node_reproduces_the_rest(drawn, data):
    """What flows through a node, resumed there, and what flows past it make up the explanation."""
    net, composite = drawn[0].astype(object), drawn[1]
    explain = explainer(net, composite, keep="all")
    whole = explain(net.inputs)
    at = data.draw(st.sampled_from(sorted(whole.relevances)))
    resumed = explain(net.inputs, start=whole.at(at), start_at=at)
    past = explain(net.inputs, filter={at: np.zeros(net.values[at].shape[1:], dtype=bool)})
    for name in net.inputs:
        through = past.at(name) if name != at else past.at(name) * 0
        assert equal(whole.at(name), resumed.at(name) + through)


@each_backend
@fewer
@given(explained(), st.data())
def test_filtered_relevance_is_the_walk_with_a_mask_and_is_booked(backend, drawn, data):
    """CONV-FILTER."""
    net, composite = drawn
    assume(net.exact)
    names = sorted(set(net.values) & (ancestors(net.canonical, "scores") | set(net.inputs)))
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    masks = {}
    for name in chosen:
        shape = net.values[name].shape[1:]
        masks[name] = data.draw(arrays(shape, st.sampled_from([0.0, 1.0]), strided=False)) != 0
    assigned = composite.assign(net.canonical, ancestors(net.canonical, "scores"))
    for dtype, u in ((object, Fraction(0)), (np.float64, ROUNDOFF[np.dtype(np.float64)])):
        here = net.astype(dtype)
        e = explainer(here, composite, keep="all", ledger=True, backend=backend)(here.inputs, filter=masks)
        start = one_hot(e, net.values["scores"])
        expected = walk(net.canonical, assigned, net.values, "scores", start, u, masks)
        assert all(expected.agrees(name, e.at(name)) for name in expected.relevance)
        if dtype is object:
            assert not e.ledger.rounding.any()
            assert not any(entry.booking.rounding.any() for entry in e.ledger)
            for name, columns in expected.accounts.items():
                assert all(getattr(e.ledger[name], column).tolist() == columns[column] for column in COLUMNS), name


@given(explained(), st.data())
def test_the_channels_filtered_one_by_one_add_up(drawn, data):
    """CONV-FILTER: what flows through each channel adds up to what flows through the node (Montavon et al. 2018, §4.4)."""
    net, composite = drawn[0].astype(object), drawn[1]
    explain = explainer(net, composite)
    whole = explain(net.inputs)
    at = data.draw(st.sampled_from(sorted(ancestors(net.canonical, "scores"))))
    each = [explain(net.inputs, filter={at: c}) for c in range(net.values[at].shape[1])]
    nothing = explain(net.inputs, filter={at: []})
    for name in net.inputs:
        added = sum(e.at(name) - nothing.at(name) for e in each)
        assert equal(whole.at(name), added + nothing.at(name))


@given(explained(), st.data())
def test_groups_of_features_add_up(drawn, data):
    net, composite = drawn[0].astype(object), drawn[1]
    e = explainer(net, composite)(net.inputs, data.draw(st.sampled_from(["all", "predicted"])))
    name = data.draw(st.sampled_from(sorted(net.inputs)))
    labels = data.draw(arrays(net.inputs[name].shape[1:], st.sampled_from([0.0, 1.0, 3.0]), strided=False)).astype(int)
    coarse = e.coarsen(labels, name)
    assert coarse.dtype == object
    lead = e.value.ndim
    for g in range(coarse.shape[-1]):
        inside = np.where(labels == g, e.at(name), e.at(name) * 0).reshape(*e.value.shape, -1)
        assert (coarse[..., g] == inside.sum(axis=-1)).all()
    assert (coarse.sum(axis=-1) == e.at(name).reshape(*e.value.shape, -1).sum(axis=-1)).all()
    assert coarse.shape[:lead] == e.value.shape
