"""Where relevance starts: logits, log-odds, contrasts, and what a target may look like."""

from __future__ import annotations

import array
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Explainer, Model, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import ExactnessError, HeadError, TargetError, UnknownNameError
from lrp_ref.propagate.heads import Logit, LogOdds, head_of
from lrp_ref.propagate.targets import indices, several
from support.strategies import FLOAT_TYPES, arrays, floats

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)

Z = np.array([[2.0, 1.0, 0.0]])  # the logits of the papers' example (papers: Montavon et al. 2019, §10.3.1)
C = np.array([[0]])


def entropy(q: np.ndarray) -> float:
    return float(-(q * np.log(q)).sum())


# ---- the log-odds ------------------------------------------------------------------------------------------------------


def test_log_odds_of_three_classes():
    """P = (.665241, …), η = .686738; the weights q = (.731059, .268941); R sums to 1.268941 = η + H(q)."""
    relevance, value = LogOdds().start(Z, C)
    q = np.array([math.e, 1]) / (math.e + 1)
    p = np.exp(Z[0]) / np.exp(Z[0]).sum()
    assert np.allclose(value, math.log(p[0] / (1 - p[0])), rtol=1e-15)
    assert np.allclose(value, 0.686738, atol=5e-7)
    assert np.allclose(relevance, [[[2, -q[0] * 1, -q[1] * 0]]], rtol=1e-15)
    # R_{c,c'} = q_{c'} z_{c,c'} = (.731059, .537883), which is what LRP-0 through the differences adds up.
    contrasts = q * [1, 2]
    assert np.allclose(contrasts, [0.731059, 0.537883], atol=5e-7)
    assert math.isclose(relevance.sum(), contrasts.sum(), rel_tol=1e-14)
    assert math.isclose(relevance.sum(), 1.268941, abs_tol=5e-7)
    assert math.isclose(relevance.sum() - value[0, 0], entropy(q), rel_tol=1e-14)
    assert math.isclose(entropy(q), 0.582203, abs_tol=5e-7)


def test_conservative_log_odds_of_three_classes():
    """Each contrast takes q η = (.502046, .184692), and z_{c,c'} divides it: they add up to η."""
    relevance, value = LogOdds(conserve=True).start(Z, C)
    parts = np.array([0.502046, 0.184692])
    assert np.allclose(relevance, [[[2 * (parts[0] / 1 + parts[1] / 2), -parts[0] / 1 * 1, 0]]], atol=2e-6)
    assert math.isclose(relevance.sum(), value[0, 0], rel_tol=1e-14)


@each_backend
def test_log_odds_through_a_layer_turn_the_second_feature_negative(backend):
    """a = (1, 2), W = [[2, 0, 0], [0, 1/2, 0]]: z = (2, 1, 0), R_a = (2, −.731059); the score alone gives (2, 0)."""
    model = Model.sequential([L.Dense([[2.0, 0.0, 0.0], [0.0, 0.5, 0.0]]), L.Softmax()])
    odds, logit = (
        Explainer(model, rule=rules.Zero(), head=head, backend=backend, ledger=True)([[1.0, 2.0]], 0)
        for head in ("log-odds", "logit")
    )
    assert np.allclose(odds.relevance, [[2, -0.731059]], atol=5e-7)
    assert np.allclose(logit.relevance, [[2, 0]])
    assert np.allclose(odds.prediction, [[0.665241, 0.244728, 0.090031]], atol=5e-7)
    assert np.array_equal(odds.prediction, logit.prediction)
    gap = odds.ledger["start at dense1"]
    assert gap.arriving[0] == odds.value[0]
    assert math.isclose(gap.unassigned[0], -entropy(np.array([math.e, 1]) / (math.e + 1)), rel_tol=1e-13)
    assert abs(odds.ledger.rounding[0]) < 1e-15
    assert not logit.ledger["start at dense1"].unassigned.any()


@given(st.data(), st.sampled_from(FLOAT_TYPES), st.integers(2, 5))
def test_log_odds_are_those_of_the_softmax(data, dtype, classes):
    scores = data.draw(arrays((2, classes), floats(20))).astype(dtype)
    for head in (LogOdds(), LogOdds(conserve=True)):
        relevance, value = head.start(scores, np.tile(np.arange(classes), (2, 1)))
        assert relevance.dtype == value.dtype == dtype
        assert relevance.shape == (2, classes, classes)
        wide = scores.astype(np.float64)
        for c in range(classes):
            others = np.delete(wide, c, axis=1)
            top = others.max(axis=1)
            eta = wide[:, c] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
            assert np.allclose(value[:, c], eta, rtol=1e-5, atol=1e-4 if dtype == np.float32 else 1e-12)
    if classes == 2:  # no entropy: the printed form conserves
        relevance, value = LogOdds().start(scores, np.array([[0, 1]] * 2))
        assert np.allclose(relevance.sum(axis=2), value, rtol=1e-4, atol=1e-4 if dtype == np.float32 else 1e-12)


@given(st.data(), st.integers(2, 5))
def test_the_gap_of_the_printed_form_is_the_entropy_of_the_weights(data, classes):
    """CONV-LOG-ODDS."""
    scores = data.draw(arrays((1, classes), floats(8)))
    relevance, value = LogOdds().start(scores, C)
    others = np.delete(scores[0], 0)
    q = np.exp(others - others.max())
    q = q / q.sum()
    kept = q[q > 0]
    assert math.isclose(relevance.sum() - value[0, 0], entropy(kept), rel_tol=1e-9, abs_tol=1e-9)


def test_log_odds_of_huge_scores_do_not_overflow():
    scores = np.array([[1e4, -1e4, 0.0]])
    for head in (LogOdds(), LogOdds(conserve=True)):
        for c in range(3):
            relevance, value = head.start(scores, np.array([[c]]))
            assert np.isfinite(relevance).all()
            assert np.isfinite(value).all()
    assert LogOdds().start(scores, C)[1][0, 0] == 1e4


def test_conservative_log_odds_of_a_tie_give_a_contrast_of_0_nothing():
    relevance, value = LogOdds(conserve=True).start(np.array([[1.0, 1.0, -1.0]]), C)
    assert relevance[0, 0, 1] == 0
    assert math.isclose(relevance.sum(), value[0, 0] * math.exp(-2) / (1 + math.exp(-2)), rel_tol=1e-14)


def test_log_odds_refusals():
    with pytest.raises(ExactnessError, match=r'head="logit"'):
        LogOdds().start(fractions(Z), C)
    with pytest.raises(HeadError, match=r"at least two classes, found \(1, 1\)"):
        LogOdds().start(np.ones((1, 1)), C)
    with pytest.raises(HeadError, match=r"scores \(N, classes\)"):
        LogOdds().start(np.ones((1, 2, 3)), C)
    with pytest.raises(UnknownNameError, match="Did you mean 'log-odds'"):
        head_of("logodds")
    assert head_of(LogOdds(True)) == LogOdds(conserve=True)


# ---- choosing a head ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [L.Softmax(), L.LogSoftmax(), L.Sigmoid()], ids=lambda layer: type(layer).__name__)
def test_a_network_that_ends_in_a_squashing_layer_needs_a_head(end):
    """CONV-HEAD."""
    model = Model.sequential([L.Dense([[1.0, 2.0]]), end])
    with pytest.raises(HeadError, match=rf"node '{type(end).__name__.lower()}1' .*head='logit'.*head='log-odds'"):
        Explainer(model)
    e = Explainer(model, rule=rules.Zero(), head="logit", ledger=True, keep=("dense1",))([[3.0]])
    assert np.array_equal(e.prediction, model([[3.0]]))
    assert e.value.tolist() == [6.0]
    assert e.at("dense1").tolist() == [[0.0, 6.0]]
    assert [entry.node for entry in e.ledger] == ["start at dense1", "dense1"]


def test_the_log_odds_of_a_sigmoid_are_its_score():
    model = Model.sequential([L.Dense([[1.0, 2.0]]), L.Sigmoid()])
    one, two = (Explainer(model, rule=rules.Zero(), head=head)([[3.0]], "all") for head in ("logit", "log-odds"))
    assert np.array_equal(one.relevance, two.relevance)


def test_a_squashing_layer_inside_the_network_is_no_head():
    model = Model.sequential([L.Dense([[1.0, 2.0]]), L.Sigmoid(), L.Dense([[1.0], [1.0]])])
    assert Explainer(model)([[3.0]]).value.shape == (1,)


def test_a_network_that_is_a_softmax_alone_explains_its_input():
    e = Explainer(Model.sequential([L.Softmax()]), head="logit")([[1.0, 3.0]])
    assert e.relevance.tolist() == [[0.0, 3.0]]
    assert np.isclose(e.prediction.sum(), 1)


def test_a_head_of_ones_own():
    class Doubled(Logit):
        def start(self, scores, targets):
            relevance, values = super().start(scores, targets)
            return 2 * relevance, 2 * values

    model = Model.sequential([L.Dense([[1.0, 2.0]]), L.Softmax()])
    e = Explainer(model, rule=rules.Zero(), head=Doubled())([[3.0]], 0)
    assert e.relevance.tolist() == [[6.0]]


# ---- targets -----------------------------------------------------------------------------------------------------------

SCORES = np.array([[1.0, 5.0, 2.0], [7.0, 0.0, 7.0]])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("predicted", [[1], [0]]),  # of equal scores the first
        ("all", [[0, 1, 2], [0, 1, 2]]),
        (2, [[2], [2]]),
        (np.int8(1), [[1], [1]]),
        (np.array(2), [[2], [2]]),
        ([0, 2], [[0], [2]]),
        ((0, 2), [[0], [2]]),
        (range(1, 3), [[1], [2]]),
        (array.array("i", [2, 1]), [[2], [1]]),
        pytest.param(memoryview(array.array("q", [0, 1])), [[0], [1]], id="memoryview"),  # its repr is an address
        (np.array([1, 2], dtype=np.uint64), [[1], [2]]),
        (np.array([[1, 9], [2, 9]], dtype=np.int16)[:, 0], [[1], [2]]),
    ],
    ids=repr,
)
def test_targets_in_any_container(target, expected):
    """CONV-TARGET."""
    found = indices(target, SCORES)
    assert found.tolist() == expected
    assert found.dtype.kind == "i"


class Column:
    """What a data frame's column looks like to NumPy."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([1, 0])


def test_targets_from_anything_that_is_an_array():
    assert indices(Column(), SCORES).tolist() == [[1], [0]]


def test_targets_of_outputs_of_several_axes():
    scores = np.arange(12.0).reshape(2, 2, 3)
    assert indices((1, 2), scores).tolist() == [[5], [5]]
    assert indices(4, scores).tolist() == [[4], [4]]
    assert indices("predicted", scores).tolist() == [[5], [5]]
    assert several([(0, 1), (1, 0)], scores).tolist() == [[1, 3], [1, 3]]
    relevance, value = Logit().start(scores, several([(0, 1), (1, 0)], scores))
    assert relevance.shape == (2, 2, 2, 3)
    assert value.tolist() == [[1, 3], [7, 9]]
    assert relevance[1, 1, 1, 0] == 9
    assert (relevance != 0).sum() == 4


def test_targets_of_an_empty_batch():
    none = np.empty((0, 3))
    for target, width in (("predicted", 1), ("all", 3), (1, 1), ([], 1)):
        assert indices(target, none).shape == (0, width)
    assert several([0, 1], none).shape == (0, 2)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, r"target 3 is out of range: the output has 3 element\(s\), 0 to 2"),
        (-1, "target -1 is out of range"),
        ([0, 5], "target 5 is out of range"),
        ([0, 1, 2], r"target of shape \(3,\) is not one index for each of 2 sample\(s\); targets= takes several"),
        ([[0], [1]], r"shape \(2, 1\)"),
        (1.0, r"target must be integer, found float64"),
        (True, "target must be integer, found bool"),
        ([True, False], "target must be integer, found bool"),
        ("argmax", 'target must be "predicted", "all"'),
        (2**70, "target must be integer, found object"),
        ({0, 1}, "target must be integer"),
    ],
    ids=repr,
)
def test_wrong_targets(target, message):
    with pytest.raises(TargetError, match=message):
        indices(target, SCORES)


@pytest.mark.parametrize("targets", [[], [[0, 1]], 3, np.zeros((2, 0), dtype=int), np.zeros((2, 2, 2), dtype=int)], ids=repr)
def test_wrong_shapes_of_several_targets(targets):
    with pytest.raises(TargetError, match="targets must be indices for all samples"):
        several(targets, SCORES)


def test_wrong_indices_of_several_targets():
    with pytest.raises(TargetError, match="targets 9 is out of range"):
        several([0, 9], SCORES)
    with pytest.raises(TargetError, match=r"targets \(0, 9\) is out of range of an output of shape \(2, 3\)"):
        several([(0, 9)], np.ones((1, 2, 3)))
    with pytest.raises(TargetError, match=r"target \(0, 9\) is out of range"):
        indices((0, 9), np.ones((1, 2, 3)))
    with pytest.raises(TargetError, match="no elements"):
        indices(0, np.ones((1, 0)))


def test_one_relevance_per_target_and_nothing_else():
    relevance, value = Logit().start(SCORES, indices("all", SCORES))
    assert relevance.shape == (2, 3, 3)
    assert all((relevance[n] == np.diag(SCORES[n])).all() for n in range(2))
    assert (value == SCORES).all()
    exact, number = Logit().start(fractions(SCORES), indices(1, SCORES))
    assert exact.dtype == number.dtype == object
    assert exact[0, 0].tolist() == [Fraction(0), Fraction(5), Fraction(0)]


# ---- contrasts ---------------------------------------------------------------------------------------------------------


@each_backend
def test_a_contrast_explains_a_difference_of_scores(backend):
    """f = (3x₁ + x₂, x₁ − x₂, x₂) at (1, 2): f₀ − f₁ = 6, of which x₁ has (3 − 1)·1 and x₂ (1 + 1)·2."""
    model = Model.sequential([L.Dense([[3.0, 1.0, 0.0], [1.0, -1.0, 1.0]])])
    explain = Explainer(model, rule=rules.Zero(), backend=backend, ledger=True)
    e = explain([[1.0, 2.0]], 0, contrast=1)
    assert np.allclose(e.relevance, [[2, 4]])
    assert e.value.tolist() == [6.0]
    assert e.target.tolist() == [0]
    assert abs(e.ledger.rounding[0]) < 1e-14
    both = explain([[1.0, 2.0], [2.0, -9.0]], [0, 1], contrast=[2, 0])
    assert both.value.tolist() == [3.0, 14.0]
    assert np.allclose(explain([[1.0, 2.0]], 1, contrast="predicted").value, -6)


def test_contrasts_that_make_no_sense():
    model = Model.sequential([L.Dense([[3.0, 1.0, 0.0]])])
    explain = Explainer(model)
    with pytest.raises(TargetError, match="contrasted with itself"):
        explain([[1.0]], 1, contrast=1)
    with pytest.raises(TargetError, match="contrast 3 is out of range"):
        explain([[1.0]], 1, contrast=3)
    for call in ({"target": "all", "contrast": 1}, {"target": 0, "contrast": "all"}):
        with pytest.raises(TargetError, match="contrast= needs one target"):
            explain([[1.0]], **call)
    with pytest.raises(TargetError, match="not both"):
        explain([[1.0]], targets=[0, 1], contrast=2)
    odds = Explainer(Model.sequential([L.Dense([[3.0, 1.0]]), L.Softmax()]), head="log-odds")
    with pytest.raises(TargetError, match="log-odds head contrasts with every other class"):
        odds([[1.0]], 0, contrast=1)
