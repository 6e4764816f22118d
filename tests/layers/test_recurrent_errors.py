"""Recurrent layers refuse what they cannot mean, and say what would do."""

from __future__ import annotations

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.errors import ExactnessError, LrpError, ParameterError, RuleError, ShapeError, UnknownNameError

W, U, B = np.ones((3, 8)), np.ones((2, 8)), np.ones(8)
X = np.ones((2, 4, 3))
LSTM = L.LSTM.from_arrays(W, U, B)
RAGGED = L.LSTM.from_arrays(W, U, B, reads=("lengths",))


def lengths(*values):
    return lambda: RAGGED.forward(X, np.array(values, float))


BAD = {
    "gate order": (lambda: L.LSTM.from_arrays(W, U, B, gate_order="ifco"), ParameterError, "unknown gate order 'ifco'"),
    "gate order, twice": (lambda: L.LSTM.from_arrays(W, U, gate_order="iifg"), ParameterError, "arrangement of 'ifog' or 'iog'"),
    "gate order, no text": (lambda: L.LSTM.from_arrays(W, U, gate_order=4), ParameterError, "unknown gate order 4"),
    "gate order of a GRU": (lambda: L.GRU.from_arrays(W, U, gate_order="ifgo"), ParameterError, "GRU: unknown gate order"),
    "blocks": (lambda: L.LSTM.from_arrays(np.ones((3, 7)), U), ShapeError, "weight_input must hold 4 blocks"),
    "hidden": (lambda: L.LSTM.from_arrays(W, np.ones((3, 8))), ShapeError, r"weight_input must have shape \(1, 3, 12\)"),
    "transposed": (lambda: L.LSTM.from_arrays(W, U.T), ShapeError, r"weight_recurrent must hold 4 blocks.*\(8, 2\)"),
    "bias": (lambda: L.LSTM.from_arrays(W, U, np.ones(4)), ShapeError, r"LSTM.bias must have shape \(1, 8\), found \(1, 4\)"),
    "rows of different lengths": (lambda: L.LSTM.from_arrays([[1, 2], [3]], U), ShapeError, "LSTM weight_input is no array"),
    "rows of an RNN": (lambda: L.RNN.from_arrays([[1, 2], [3]], U), ShapeError, "RNN weight_input is no array"),
    "second bias of one unit": (
        lambda: L.GRU.from_arrays(np.ones((3, 6)), np.ones((2, 6)), np.ones(6), np.ones(2)),
        ShapeError,
        "GRU bias_recurrent must hold 3 blocks",
    ),
    "directions": (lambda: L.LSTM.from_arrays(W, U, direction="bidirectional"), ShapeError, "must be .directions, features"),
    "one of two": (lambda: L.LSTM.from_arrays(np.stack([W, W]), U), ShapeError, "weight_recurrent must be"),
    "direction": (lambda: L.LSTM.from_arrays(W, U, direction="backward"), ParameterError, "one of 'forward', 'reverse'"),
    "returns": (
        lambda: L.GRU.from_arrays(np.ones((3, 6)), np.ones((2, 6)), returns="cell"),
        ParameterError,
        "'last', 'all', found",
    ),
    "reads": (lambda: L.RNN.from_arrays(W, np.ones((8, 8)), reads=("cell",)), ParameterError, "some of 'lengths', 'hidden'"),
    "reads, in order": (lambda: L.LSTM.from_arrays(W, U, reads=("cell", "lengths")), ParameterError, "in this order"),
    "reads, twice": (lambda: L.LSTM.from_arrays(W, U, reads=("cell", "cell")), ParameterError, "in this order"),
    "read and constant": (
        lambda: L.LSTM.from_arrays(W, U, reads=("hidden",), initial_hidden=np.ones(2)),
        ParameterError,
        "a constant, or read as an input, not both",
    ),
    "initial state": (
        lambda: L.LSTM.from_arrays(W, U, initial_cell=np.ones(3)),
        ShapeError,
        r"initial_cell must have shape \(1, 2\)",
    ),
    "peepholes": (lambda: L.LSTM.from_arrays(W, U, peepholes=np.ones(8)), ShapeError, "peepholes must hold 3 blocks"),
    "peepholes of nothing": (
        lambda: L.LSTM.from_arrays(np.ones((3, 4)), np.ones((2, 4)), gate_order="ig", peepholes=np.ones(2)),
        ParameterError,
        "all gates",
    ),
    "activation": (lambda: L.LSTM.from_arrays(W, U, activation="affine"), ParameterError, "activation must be one of 'sigmoid'"),
    "activation, no text": (lambda: L.RNN.from_arrays(W, np.ones((8, 8)), activation=["tanh"]), ParameterError, "must be one of"),
    "scale": (lambda: L.LSTM.from_arrays(W, U, scale=np.inf), ParameterError, "LSTM.scale must be finite"),
    "second bias": (
        lambda: L.GRU(np.ones((3, 6)), np.ones((2, 6)), bias_recurrent=np.ones(2)),
        ParameterError,
        "needs linear_before_reset=True",
    ),
    "friendly gates": (lambda: L.LSTM.friendly(np.ones((3, 2)), U, B, "f"), ParameterError, "gates must be one of 'io', 'i', ''"),
    "friendly weights": (lambda: L.LSTM.friendly(np.ones(3), U, B), ShapeError, r"\(features, hidden\)"),
    "friendly recurrent": (lambda: L.LSTM.friendly(np.ones((3, 2)), U, B), ShapeError, r"weight_gates must have shape \(2, 2\)"),
    "no features": (lambda: L.LSTM.from_arrays(np.ones((0, 8)), U), ShapeError, "weight_input must be"),
    "features": (lambda: LSTM.forward(X[..., :2]), ShapeError, r"expects 3 features on the last axis, found shape \(2, 4, 2\)"),
    "no batch axis": (lambda: LSTM.forward(X[0]), ShapeError, r"x\[None\] adds it"),
    "empty sequence": (lambda: LSTM.forward(X[:, :0]), ShapeError, "an empty sequence: LSTM needs at least one step"),
    "no lengths": (lambda: RAGGED.forward(X), ShapeError, "LSTM has 2 input"),
    "lengths of others": (lengths(1, 2, 3), ShapeError, r"reads lengths of shape \(2,\), found \(3,\)"),
    "longer than the array": (lengths(4, 5), ParameterError, "whole numbers from 1 to 4, the steps of the array; found 5"),
    "an empty sentence": (lengths(0, 1), ParameterError, "from 1 to 4.*found 0"),
    "a negative length": (lengths(-1, 1), ParameterError, "found -1"),
    "half a word": (lengths(1, 1.5), ParameterError, "found 1.5"),
    "state": (
        lambda: L.RNN.from_arrays(W, np.ones((8, 8)), reads=("hidden",)).forward(X, np.ones((2, 4))),
        ShapeError,
        r"reads hidden of shape \(2, 8\), found \(2, 4\)",
    ),
    "rationals": (lambda: LSTM.astype(object).forward(lrp_ref.arrays.fractions(X)), ExactnessError, "sigmoid of a rational"),
    "rule's product": (lambda: rules.ThroughTime(rules.Zero()), ParameterError, "product must be a rule for products"),
    "rule's map": (lambda: rules.ThroughTime(linear=rules.Pass()), ParameterError, "linear must be a rule for linear layers"),
    "rule's box": (lambda: rules.ThroughTime(linear=rules.ZBox(0, 1)), ParameterError, "without bounds"),
    "rule's operands": (lambda: rules.ThroughTime(operands="post"), ParameterError, '"activated" or "pre"'),
    "rule's layer": (
        lambda: rules.ThroughTime().propagate(L.ReLU(), (X,), X, X),
        RuleError,
        r"ThroughTime\(.*\) serves recurrent layers",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name):
    made, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        made()
    assert issubclass(kind, LrpError)


def test_a_sentence_with_a_word_that_does_not_exist():
    model = lrp_ref.Model.sequential([L.Embedding(np.ones((5, 3))), LSTM], names=["words", "reader"])
    with pytest.raises(
        ParameterError, match=r"node 'words' \(Embedding\): an Embedding of 5 rows needs whole numbers from -5 to 4, found 5 at"
    ):
        lrp_ref.explain(model, np.array([[1.0, 5.0]]), target=0)
    with pytest.raises(ShapeError, match=r"node 'reader' \(LSTM\): an empty sequence"):
        lrp_ref.explain(model, np.zeros((1, 0)), target=0)


def test_lengths_are_an_input_of_the_model_by_name():
    model = lrp_ref.Model((lrp_ref.Node("reader", RAGGED, ("x", "lengths")),), ("x", "lengths"))
    with pytest.raises(UnknownNameError, match="the model has 2 inputs"):
        model(X)
    with pytest.raises(ParameterError, match=r"node 'reader' \(LSTM\): lengths must be"):
        model({"x": X, "lengths": np.array([9.0, 1.0])})
    e = lrp_ref.explain(model, {"x": X, "lengths": np.array([2.0, 4.0])}, target=0, ledger=True)
    assert not e.relevances["lengths"].any()
    assert not e.relevances["x"][0, 2:].any()


def test_no_other_rule_serves_a_recurrent_layer():
    model = lrp_ref.Model.sequential([LSTM])
    with pytest.raises(RuleError, match=r"Epsilon\(epsilon=1e-06, signed=True\) does not serve it \(fits: ThroughTime\(\)\)"):
        lrp_ref.composites.epsilon_plus().with_rules({L.LSTM: rules.Epsilon()}).assign(model)
