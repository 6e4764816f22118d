"""The ledger of a network that branches, as a picture of its depths."""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explanation, Model, Node, render, rules
from lrp_ref import layers as L
from lrp_ref.ledger import Ledger
from lrp_ref.render.accounts import depths_of

RNG = np.random.default_rng(0)


def dense(lower: int, upper: int) -> L.Dense:
    return L.Dense(RNG.normal(size=(lower, upper)), RNG.normal(size=upper))


# A residual block, and two branches of different lengths.
NODES = (
    Node("stem", dense(3, 4), ("input",)),
    Node("r0", L.ReLU(), ("stem",)),
    Node("a1", dense(4, 4), ("r0",)),
    Node("a2", dense(4, 4), ("a1",)),
    Node("add", L.Add(), ("a2", "r0")),
    Node("p", dense(4, 2), ("add",)),
    Node("q1", dense(4, 3), ("add",)),
    Node("q2", dense(3, 2), ("q1",)),
    Node("cat", L.Concat(2), ("p", "q2")),
    Node("fc", dense(4, 3), ("cat",)),
)


def explained(**choices) -> Explanation:
    return lrp_ref.explain(Model(NODES), RNG.random((2, 3)), rule=rules.Epsilon(0.25), ledger=True, keep="all", **choices)


def test_the_account_at_each_depth_is_the_whole_networks():
    e = explained()
    d = depths_of(e.ledger.first(), 1)
    assert d.names == ("fc", "cat", "q2 +1", "q1", "add", "a2", "a1", "r0", "stem", "input")
    lost = {entry.node: entry.booking.arriving[1] - entry.booking.inputs[1] for entry in e.ledger}
    # By hand: what arrives at a depth is the start less what the nodes above it kept.
    above = [[], ["fc"], ["cat"], ["q2", "p"], ["q1"], ["add"], ["a2"], ["a1"], ["r0"], ["stem"]]
    left = e.value[1]
    for place, nodes in enumerate(above):
        left -= sum(lost[node] for node in nodes)
        assert d.net[place] == pytest.approx(left, rel=1e-9)
    assert d.net[-1] == pytest.approx(e.total[1], rel=1e-9)
    # Where one node carries everything, it is what arrives there; one branch alone is less, or more.
    for place, name in ((0, "fc"), (1, "cat"), (4, "add"), (7, "r0"), (8, "stem"), (9, "input")):
        assert d.net[place] == pytest.approx(e.at(name)[1].sum(), rel=1e-9)
        assert d.absolute[place] == pytest.approx(np.abs(e.at(name)[1]).sum(), rel=1e-9)
    assert d.absolute[2] == pytest.approx(np.abs(e.at("p")[1]).sum() + np.abs(e.at("q2")[1]).sum(), rel=1e-9)
    assert np.isnan([d.absolute[place] for place in (3, 5, 6)]).all()  # the ledger does not tell what the skip carries


def test_branches_are_drawn_and_a_chain_has_none():
    e = explained()
    (axes,) = render.ledger(e.ledger).axes
    labels = [line.get_label() for line in axes.get_lines()]
    assert "Σ R of a branch" in labels
    assert axes.get_title() == "Relevance from the output to the input"
    drawn = {tuple(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) == 2}
    assert {(1, 2), (2, 3), (3, 4), (2, 4), (4, 5), (5, 6), (6, 7), (4, 7)} <= drawn
    assert (7, 8) not in drawn
    chain = lrp_ref.explain(Model.sequential([dense(3, 2), L.ReLU(), dense(2, 1)]), np.ones((1, 3)), ledger=True)
    assert depths_of(chain.ledger.first(), 0).branches == ()


def test_accounts_without_wiring_are_a_chain_with_the_same_sums():
    e = explained()
    ledger = Ledger(e.ledger.entries, e.ledger.start, e.ledger.relevance)
    d = depths_of(ledger, 0)
    assert d.net[-1] == pytest.approx(e.total[0])
    assert len(d.names) == len(NODES) + 1


def test_wiring_is_kept(tmp_path):
    e = explained(target="all")
    for again in (Explanation.load(e.save(tmp_path / "e.npz")), e[:1]):
        assert dict(again.ledger.wiring) == {node.name: node.inputs for node in NODES}
        assert dict(again.ledger.first().wiring) == dict(again.ledger.wiring)


def test_log_odds_begin_with_what_the_head_keeps():
    model = Model.sequential([dense(3, 4), L.ReLU(), dense(4, 3), L.Softmax()])
    e = lrp_ref.explain(model, np.ones((1, 3)), head="log-odds", ledger=True)
    assert depths_of(e.ledger.first(), 0).net[-1] == pytest.approx(e.total[0])
