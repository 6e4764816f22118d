"""The compiled LSTM: its squashing functions, and what it refuses before any C runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

ext = pytest.importorskip("lrp_ref.kernels.compiled._core")

RULE = (ext.SIGNAL, False, 0.0, 0.01, 0.01)
W, U, B = np.ones((2, 3, 8)), np.ones((2, 2, 8)), np.ones((2, 8))
X = np.ones((4, 5, 3))


def made(w=W, u=U, b=B, backwards=(False, True), all_gates=False, booked=False):
    return ext.LSTM(w, u, b, backwards, all_gates, booked)


def squashed(gate, x):
    """σ or tanh of x, as the cell state that it makes: i = 1 or g = 1, f = 0."""
    w = np.zeros((1, 1, 4), x.dtype)
    w[0, 0, gate] = 1
    bias = np.array([[60, -60, 60, 0] if gate == 3 else [0, -60, 60, 40]], x.dtype)
    lstm = ext.LSTM(w, np.zeros((1, 1, 4), x.dtype), bias, (False,), False, False)
    return lstm.forward(x.reshape(-1, 1, 1), None, (None, None), ext.CELL, RULE, 1)[0][:, 0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_squashing_functions_are_accurate_to_three_units(dtype):
    """Relative to themselves, on both sides and near 0 (two are seen, and half of one is Python's own); what underflows is 0."""
    x = np.concatenate([np.linspace(-30, 30, 4001), np.logspace(-12, 1.4, 800), -np.logspace(-12, 1.4, 800), [0.0]]).astype(dtype)
    u = float(np.finfo(dtype).eps)
    for gate, function in ((3, math.tanh), (0, lambda v: 1 / (1 + math.exp(-v)))):
        found = squashed(gate, x)
        wanted = np.array([function(float(v)) for v in x])
        assert (abs(found - wanted) <= 3 * u * abs(wanted)).all()
    far = np.array([-1e4, -800, -90, 90, 800, 1e4], dtype)
    assert squashed(3, far).tolist() == [-1, -1, -1, 1, 1, 1]
    assert abs(squashed(0, far) - [0, 0, 0, 1, 1, 1]).max() <= 1e-37


def forward(lstm=None, x=X, lengths=None, states=(None, None), returns=ext.LAST, rule=RULE, threads=1):
    return (lstm or made()).forward(x, lengths, states, returns, rule, threads)


def forward_saved():
    return made().forward(X, None, (None, None), ext.LAST, RULE, 1)[1]


def relevance(message=None, saved=None, x=X, rule=RULE, lstm=None, returns=ext.LAST):
    lstm = lstm or made()
    saved = saved or lstm.forward(X, None, (None, None), ext.LAST, RULE, 1)[1]
    message = np.ones((4, 1, 4)) if message is None else message
    return lstm.relevance(saved, message, x, None, (None, None), returns, rule, 1)


BAD = {
    "a weight of two axes": (ValueError, lambda: made(w=W[0])),
    "three directions": (ValueError, lambda: made(np.ones((3, 3, 8)), np.ones((3, 2, 8)), None, (0, 0, 0))),
    "weights that do not fit": (ValueError, lambda: made(u=np.ones((2, 3, 12)))),
    "no features": (ValueError, lambda: made(w=np.ones((2, 0, 8)))),
    "a bias that does not fit": (ValueError, lambda: made(b=np.ones((1, 8)))),
    "two types": (TypeError, lambda: made(b=B.astype(np.float32))),
    "switches": (ValueError, lambda: made(backwards=(True,))),
    "strides": (ValueError, lambda: made(w=np.ones((2, 8, 3)).swapaxes(1, 2))),
    "twice": (ValueError, lambda: ext.LSTM.__init__(made(), W, U, B, (False, True), False, False)),
    "x": (ValueError, lambda: forward(x=X[..., :2].copy())),
    "x of two axes": (ValueError, lambda: forward(x=X[0])),
    "no steps": (ValueError, lambda: forward(x=X[:, :0])),
    "type of x": (TypeError, lambda: forward(x=X.astype(np.float32))),
    "threads": (ValueError, lambda: forward(threads=0)),
    "lengths": (TypeError, lambda: forward(lengths=np.ones(4))),
    "lengths of others": (TypeError, lambda: forward(lengths=np.ones(3, np.intp))),
    "an empty sequence": (ValueError, lambda: forward(lengths=np.array([1, 0, 1, 1]))),
    "a long sequence": (ValueError, lambda: forward(lengths=np.array([1, 6, 1, 1]))),
    "a state": (ValueError, lambda: forward(states=(np.ones((4, 2)), None))),
    "returns": (ValueError, lambda: forward(returns=3)),
    "rule": (ValueError, lambda: forward(rule=(7, False, 0.0, 0.0, 0.0))),
    "rule for all gates": (ValueError, lambda: forward(rule=(ext.HALF, False, 0.0, 0.0, 0.0))),
    "rule for one gate": (ValueError, lambda: forward(lstm=made(all_gates=True))),
    "message": (ValueError, lambda: relevance(np.ones((4, 1, 3)))),
    "message without targets": (ValueError, lambda: relevance(np.ones((4, 4)))),
    "message of other steps": (ValueError, lambda: relevance(np.ones((4, 1, 4, 4)), returns=ext.EVERY)),
    "type of the message": (TypeError, lambda: relevance(np.ones((4, 1, 4), np.float32))),
    "saved": (ValueError, lambda: relevance(saved=(np.ones((2, 4, 5, 1)), np.ones((2, 4, 5, 2, 8))))),
    "saved without accounts": (ValueError, lambda: relevance(saved=forward_saved(), lstm=made(booked=True))),
    "saved of others": (ValueError, lambda: relevance(x=np.ones((3, 5, 3)))),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_calls_are_refused(name):
    kind, call = BAD[name]
    with pytest.raises(kind):
        call()


def test_weights_are_not_kept():
    w = W.copy()
    lstm = made(w=w)
    wanted = forward(lstm)[0]
    w[:] = 0
    assert (forward(lstm)[0] == wanted).all()
    assert lstm.nbytes > W.nbytes + U.nbytes
