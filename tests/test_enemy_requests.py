"""Requests and numbers of odd kinds, asked without sight of the code: done, or refused by a message that says what would do."""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, errors, rules
from lrp_ref import layers as L

W = np.array([[1.0, -2.0, 0.5], [-0.5, 1.0, -0.25]])
X = np.array([[1.0, -1.5], [2.0, 0.5]])


def explained(model=None, x=X, **choices):
    head = {name: choices.pop(name) for name in ("head", "keep") if name in choices}
    explainer = lrp_ref.Explainer(model or Model.sequential([L.Dense(W)]), rule=rules.Zero(), **head)
    return explainer(x, **({"target": 1} | choices))


MASKED = {
    "an input": lambda: explained(x=np.ma.array(X, mask=X > 1)),
    "a target": lambda: explained(target=np.ma.array([1, 2], mask=[False, True])),
    "targets": lambda: explained(target=None, targets=np.ma.array([[1, 2], [0, 1]], mask=[[True, False]] * 2)),
    "a start": lambda: explained(target=None, start=np.ma.array(np.ones((2, 3)), mask=np.eye(2, 3))),
    "a weight": lambda: L.Dense(np.ma.array(W, mask=W < 0)),
    "a bias": lambda: L.Dense(W, np.ma.array(np.ones(3), mask=[True, False, False])),
}


@pytest.mark.parametrize("name", MASKED)
def test_masks_are_not_ignored(name):
    with pytest.raises(errors.NumberTypeError, match="masked array"):
        MASKED[name]()


def test_an_array_that_masks_nothing_is_an_array():
    np.testing.assert_array_equal(explained(x=np.ma.array(X)).relevance, explained().relevance)


BOOLEANS = {"array": np.asarray, "list": np.ndarray.tolist}


@pytest.mark.parametrize("kind", BOOLEANS)
def test_a_mask_of_a_sample_is_one_in_every_container(kind):
    """A row of booleans for (2, 2) samples meant columns as an array and rows as a list."""
    model = Model.sequential([L.Reshape((2, 1)), L.Dense(np.array([[1.0, -2.0]])), L.Flatten(), L.Dense(np.eye(4))])
    mask = np.array([[True, False], [False, True]])
    e = explained(model, filter={"dense1": BOOLEANS[kind](mask)}, target=0)
    np.testing.assert_allclose(e.relevance, [[1.0, 0], [2, 0]])
    e = explained(model, filter={"dense1": BOOLEANS[kind](mask)}, target=1)
    assert not e.relevance.any()
    with pytest.raises(errors.ShapeError, match="has the shape of a sample"):
        explained(model, filter={"dense1": BOOLEANS[kind](mask[0])})


REFUSED = {
    "a list of heads": {"head": ["logit"]},
    "nothing to keep": {"keep": None},
    "a number to keep": {"keep": 3},
    "bytes to keep": {"keep": b"all"},
    "filters that are no mapping": {"filter": ["dense1"]},
}


@pytest.mark.parametrize("name", REFUSED)
def test_requests_of_another_type(name):
    with pytest.raises(errors.LrpError):
        explained(**REFUSED[name])
