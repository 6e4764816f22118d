"""CONV-TARGET: what target= and targets= mean is decided by the axes and the output's rank, whatever holds the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules, wrappers
from lrp_ref.cli.question import Question
from lrp_ref.errors import TargetError
from lrp_ref.propagate.targets import indices, several, spelled

CONTAINERS: dict[str, Callable[[np.ndarray], Any]] = {
    "lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a.tolist())) if a.ndim == 2 else tuple(a.tolist()) if a.ndim else a.item(),
    "a list of tuples": lambda a: list(map(tuple, a.tolist())) if a.ndim == 2 else list(a.tolist()) if a.ndim else a.item(),
    "a list of arrays": lambda a: list(a) if a.ndim else a,
    "unsigned": lambda a: a.astype(np.uint8),
    "an array": lambda a: a,
}
each_container = pytest.mark.parametrize("held", CONTAINERS.values(), ids=CONTAINERS)


def scores(*shape: int) -> np.ndarray:
    return np.arange(float(np.prod(shape))).reshape(shape)


#: For each output the lines of the table: what is given, and the flat targets of two samples that it means.
ONE = [
    ((2, 4), 3, [[3], [3]]),
    ((2, 4), [3, 1], [[3], [1]]),
    ((2, 1), [0, 0], [[0], [0]]),
    ((2,), [0, 0], [[0], [0]]),
    ((2, 2, 2), 3, [[3], [3]]),
    ((2, 2, 2), [0, 1], [[1], [1]]),  # as many samples as axes: an index for all the same
    ((2, 2, 2), [[0, 1], [1, 0]], [[1], [2]]),
    ((2, 2, 2, 3), [1, 0, 2], [[8], [8]]),
    ((2, 2, 2, 3), [[1, 0, 2], [0, 1, 1]], [[8], [4]]),
]
SEVERAL = [
    ((2, 4), [3], [[3], [3]]),
    ((2, 4), [3, 1], [[3, 1], [3, 1]]),
    ((2, 4), [[3, 1], [0, 2]], [[3, 1], [0, 2]]),
    ((2,), [0], [[0], [0]]),
    ((2, 2, 2), [3, 1, 0], [[3, 1, 0], [3, 1, 0]]),
    ((2, 2, 2), [3, 1], [[3, 1], [3, 1]]),
    ((2, 2, 2), [[0, 1], [1, 0]], [[1, 2], [1, 2]]),
    ((2, 2, 2), [[0, 1]], [[1], [1]]),
    ((2, 2, 2), [[[0, 1], [1, 0]], [[1, 1], [0, 0]]], [[1, 2], [3, 0]]),
    ((2, 2, 2, 3), [[1, 0, 2], [0, 1, 1], [0, 0, 0]], [[8, 4, 0], [8, 4, 0]]),
    ((2, 2, 2, 3), [[[1, 0, 2]], [[0, 1, 1]]], [[8], [4]]),
]


@each_container
@pytest.mark.parametrize(("shape", "target", "flat"), ONE, ids=repr)
def test_one_target(held, shape, target, flat):
    assert indices(held(np.array(target)), scores(*shape)).tolist() == flat


@each_container
@pytest.mark.parametrize(("shape", "targets", "flat"), SEVERAL, ids=repr)
def test_several_targets(held, shape, targets, flat):
    assert several(held(np.array(targets)), scores(*shape)).tolist() == flat


@pytest.mark.parametrize(
    ("shape", "target", "message"),
    [
        ((2, 4), [[0, 1]], r"of shape \(1, 2\) is not one index for each of 2 sample\(s\)"),
        ((2, 2, 3), [0], r"of shape \(1,\) does not fit an output of 2 axes.*\(2,\) for all samples, or \(2, 2\) for 2 sample"),
        ((3, 2, 2), [0, 1, 2], r"Flat indices, one per sample: np.stack\(np.unravel_index\("),
        ((3, 2, 2), [[0, 1], [1, 0]], r"of shape \(2, 2\) does not fit"),
        ((3, 2, 2), [[0], [1], [1]], r"of shape \(3, 1\) does not fit"),
        ((2, 2, 3), [[[0, 1]], [[1, 0]]], "does not fit"),
        ((2, 2, 3), [0, 3], r"\(0, 3\) is out of range of an output of shape \(2, 3\)"),
        ((2, 2, 3), [0, -1], r"\(0, -1\) is out of range"),
        ((2, 2, 3), [[0, 1], [2, 0]], r"\(2, 0\) is out of range"),
        ((2, 2, 3), 6, "6 is out of range"),
        ((2, 2, 3), [(0, 1), 3], "target must be integer, all indices of the same length"),
        ((2, 2, 3), [(0, 1), (1,)], "target must be integer, all indices of the same length"),
        ((2, 2, 3), (0.0, 1.0), "target must be integer, found float64"),
        ((2, 4), np.array([0, 2**64 - 1], dtype=np.uint64), "18446744073709551615 is out of range"),
        ((2, 2, 3), np.array([0, 2**64 - 1], dtype=np.uint64), r"\(0, 18446744073709551615\) is out of range"),
    ],
    ids=repr,
)
def test_anything_else_is_refused(shape, target, message):
    with pytest.raises(TargetError, match=message):
        indices(target, scores(*shape))


@pytest.mark.parametrize(
    ("shape", "targets", "message"),
    [
        ((2, 4), 0, r"indices for all samples, or \(2, T\) of them, found shape \(\)"),
        ((2, 4), "all", "must be integer"),
        ((2, 4), [[[0]], [[1]]], r"found shape \(2, 1, 1\)"),
        (
            (3, 2, 2),
            [[0], [1], [2]],
            r"the index as the last axis \(T, 2\) or \(3, T, 2\), found shape \(3, 1\)",
        ),
        ((3, 2, 2), [[0, 1, 2]], r"found shape \(1, 3\)"),
        ((3, 2, 2), [[[0, 1]], [[1, 0]]], r"found shape \(2, 1, 2\)"),
        ((2, 2, 2), np.zeros((0, 2), int), r"found shape \(0, 2\)"),
        ((2, 2, 2), np.zeros((2, 0, 2), int), r"found shape \(2, 0, 2\)"),
        ((2, 2, 2), [[(0, 1)], [(1, 0), (1, 1)]], "all indices of the same length"),
        ((2, 2, 2), [[0, 2]], r"\(0, 2\) is out of range"),
    ],
    ids=repr,
)
def test_any_other_targets_are_refused(shape, targets, message):
    with pytest.raises(TargetError, match=message):
        several(targets, scores(*shape))


def test_what_is_meant_can_be_asked_again():
    """Flat indices, as an explanation holds them, and the spelling that asks for each sample's own."""
    for shape in ((2, 4), (2, 2, 3), (2, 2, 1, 3)):
        flat = np.array([3, 1])
        assert indices(spelled(flat, shape[1:]), scores(*shape))[:, 0].tolist() == [3, 1]
        both = np.array([[3, 1], [0, 2]])
        assert several(spelled(both, shape[1:]), scores(*shape)).tolist() == both.tolist()


# ---- in a network: outputs of two axes, as many samples as axes --------------------------------------------------------

MODEL = lrp_ref.Model.sequential([L.Dense([[1.0, 2, 3, 4], [2, 1, 0, -1], [1, 1, -1, 1]]), L.Reshape((2, 2))])
X = np.array([[1.0, 2, 3], [3, 1, -2]])


@each_container
def test_a_network_of_two_axes(held):
    y, zero = MODEL(X), rules.Zero()
    for_all = lrp_ref.explain(MODEL, X, targets=held(np.array([[0, 1], [1, 0]])), rule=zero)
    assert (for_all.value == y[:, [0, 1], [1, 0]]).all()
    each = lrp_ref.explain(MODEL, X, target=held(np.array([[0, 1], [1, 0]])), rule=zero)
    assert each.value.tolist() == [y[0, 0, 1], y[1, 1, 0]]
    assert each.target.tolist() == [1, 2]
    other = lrp_ref.explain(MODEL, X, target=0, contrast=held(np.array([[0, 1], [1, 0]])), rule=zero)
    assert other.value.tolist() == [y[0, 0, 0] - y[0, 0, 1], y[1, 0, 0] - y[1, 1, 0]]


def test_wrappers_ask_for_what_was_asked_of_them():
    net = lrp_ref.Model.sequential([L.Conv(np.ones((2, 1, 1, 2)))], input_shape=(1, 1, 3))
    explainer, x = lrp_ref.Explainer(net, rule=rules.Zero()), np.arange(24.0).reshape(3, 1, 1, 8)[..., :3]
    places = [(0, 0, 0), (1, 0, 1), (0, 0, 1)]
    each = wrappers.translated(explainer, x, 1, axes=3, target=places)
    several_each = wrappers.translated(explainer, x, 1, axes=3, targets=[[p] for p in places])
    windows = wrappers.sliding_window(explainer, np.concatenate([x, x], axis=3), stride=(1, 3), target=places, contrast=(1, 0, 0))
    for n, place in enumerate(places):
        one = wrappers.translated(explainer, x[n : n + 1], 1, axes=3, target=place)
        assert (each.relevance[n] == one.relevance[0]).all()
        assert (several_each.relevance[n, 0] == one.relevance[0]).all()
        alone = explainer(x[n : n + 1], target=place, contrast=(1, 0, 0))
        assert windows.window_values[n].tolist() == alone.value.tolist() * 2


def test_the_command_line_asks_for_several_outputs_of_two_axes():
    one = {"input": X[:1]}
    best = np.argsort(-MODEL(X)[0].ravel())
    top = lrp_ref.explain(MODEL, one, rule=rules.Zero(), **Question(top=2).call(MODEL, one))
    assert top.target.tolist() == [best[:2].tolist()]
    pair = lrp_ref.explain(MODEL, one, rule=rules.Zero(), **Question(target=(1, 0), contrast=1, pair=True).call(MODEL, one))
    assert pair.target.tolist() == [[2, 1]]
