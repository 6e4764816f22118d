"""The ledger as a whole: its totals, its table, its JSON, what it flags. The bookings themselves: test_ledger_booking.py."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Ledger, Model, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import UnknownNameError

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)

#: N1 of the papers (Montavon et al. 2019, Appendix 10.A) at (1, 2): z = (1, 1, 2), f = 11/2.
N1 = Model.sequential(
    [L.Dense([[2.0, -1.0, 1.0], [-1.0, 1.0, 1.0]], [1.0, 0.0, -1.0]), L.ReLU(), L.Dense([[1.0], [-2.0], [3.0]], [0.5])]
)
X = np.array([[1.0, 2.0], [1.0, 4.0]])


def ledger(dtype: Any = object, rule: rules.LinearRule | None = None, model: Model = N1, **call: Any) -> Ledger:
    x = fractions(X) if dtype is object else X.astype(dtype)
    e = Explainer(model.astype(dtype), rule=rule or rules.Zero(), ledger=True)(x, **call)
    assert e.ledger is not None
    return e.ledger


def test_n1_to_the_last_entry():
    """f = 11/2 = 7 + (1/2 + 1 + 0 − 3); at (1, 4) f = 13/2 = 9 + (1/2 + 0 + 0 − 3)."""
    found = ledger()
    assert [entry.node for entry in found] == ["start at dense2", "dense2", "relu1", "dense1"]
    assert [entry.rule for entry in found] == ["Logit()", "Zero()", "Pass()", "Zero()"]
    assert len(found) == 4
    assert found.start.tolist() == [Fraction(11, 2), Fraction(13, 2)]
    assert found.relevance.tolist() == [Fraction(7), Fraction(9)]
    assert found.bias.tolist() == [Fraction(-3, 2), Fraction(-5, 2)]
    assert found["dense2"].bias.tolist() == [Fraction(1, 2)] * 2
    assert found["dense1"].bias.tolist() == [Fraction(-2), Fraction(-3)]
    assert not found.stabiliser.any()
    assert not found.unassigned.any()
    assert not found.rounding.any()


def test_what_epsilon_absorbs_is_in_its_column():
    """ε = 1/4 in both layers: the inputs keep 704/115 (papers)."""
    found = ledger(rule=rules.Epsilon(0.25))
    assert found.relevance[0] == Fraction(704, 115)
    assert found["dense2"].stabiliser[0] == Fraction(11, 2) * Fraction(1, 4) / Fraction(23, 4)
    assert found.start[0] == found.relevance[0] + found.bias[0] + found.stabiliser[0]


@each_backend
def test_empty_pools_are_booked(backend):
    """CONV-EMPTY-POOL: α2β1 on one positive contribution: an empty pool leaves −1 unassigned, the inputs get twice R."""
    model = Model.sequential([L.Dense([[1.0]]), L.ReLU(), L.Dense([[3.0]])])
    e = Explainer(model, rule=rules.AlphaBeta(2, 1), ledger=True, backend=backend)([[2.0]])
    assert e.relevance.tolist() == [[24.0]]
    assert e.ledger["dense2"].unassigned.tolist() == [-6.0]
    assert e.ledger["dense1"].unassigned.tolist() == [-12.0]
    assert e.ledger.rounding.tolist() == [0.0]
    empty = Explainer(Model.sequential([L.Dense([[-1.0]])]), rule=rules.AlphaBeta(1, 0), ledger=True, backend=backend)([[2.0]])
    assert empty.relevance.tolist() == [[0.0]]
    assert empty.ledger.unassigned.tolist() == [-2.0]


@each_backend
def test_a_filter_has_an_entry_of_its_own(backend):
    e = Explainer(N1, rule=rules.Zero(), ledger=True, backend=backend)(X, filter={"relu1": 0, "input": [1]})
    assert [entry.node for entry in e.ledger][:3] == ["start at dense2", "dense2", "filter at relu1"]
    assert e.ledger.entries[-1].node == "filter at input"
    # Of the hidden relevance (1, −2, 6) at (1, 2) the first flows on, 1·(2, −2)/1; of (0, −6, 12) nothing does.
    assert np.allclose(e.ledger["filter at relu1"].unassigned, [4, 6])
    assert np.allclose(e.ledger["relu1"].arriving, [1, 0])
    assert np.allclose(e.relevance, [[0, -2], [0, 0]])
    assert np.allclose(e.ledger["filter at input"].unassigned, [2, 0])
    assert np.allclose(e.ledger.rounding, 0, atol=1e-14)


def test_several_targets_are_columns():
    model = Model.sequential([L.Dense([[2.0, 1.0], [1.0, 3.0]], [1.0, -1.0])])
    found = ledger(model=model, target="all")
    assert found.start.shape == found.bias.shape == found.rounding.shape == (2, 2)
    assert found["dense1"].bias.tolist() == [[1, -1], [1, -1]]
    assert found.first().bias.tolist() == [1, 1]
    assert found.first().first().start.ndim == 1
    assert found.first().start.tolist() == found.start[:, 0].tolist() == [5, 7]
    assert found.start[:, 1].tolist() == [6, 12]  # so that the last target is another one
    assert found.first().relevance.tolist() == found.relevance[:, 0].tolist()


def test_an_unknown_node():
    with pytest.raises(UnknownNameError, match=r"unknown node in the ledger 'dense3'. Did you mean 'dense"):
        ledger()["dense3"]


# ---- as text -----------------------------------------------------------------------------------------------------------


def test_the_table_of_one_sample():
    lines = repr(ledger(np.float64)).splitlines()
    assert lines[0].split() == ["node", "rule", "arriving", "inputs", "bias", "stabiliser", "unassigned", "rounding", "Σ|R|"]
    assert lines[2].split() == ["start", "at", "dense2", "Logit()", "5.5", "5.5", "0", "0", "0", "0", "5.5"]
    assert lines[3].split() == ["dense2", "Zero()", "5.5", "5", "0.5", "0", "0", "0", "9"]
    assert lines[-1].split()[:4] == ["total", "5.5", "7", "-1.5"]
    assert len({len(line) for line in lines if line.startswith("-")}) == 1
    assert ledger(np.float64).table(1).splitlines()[-1].split()[:3] == ["total", "6.5", "9"]
    assert "11/2" in repr(ledger())


def test_the_table_of_several_targets_shows_the_first():
    model = Model.sequential([L.Dense([[2.0, 1.0], [1.0, 3.0]])])
    assert ledger(model=model, target="all").table().splitlines()[-1].split()[1] == "4"


def test_an_empty_batch_has_no_table():
    e = Explainer(N1, ledger=True)(np.zeros((0, 2)))
    assert repr(e.ledger) == "Ledger of an empty batch"
    assert e.ledger._repr_html_() == "<p>Ledger of an empty batch</p>"
    assert e.ledger.growth("dense1") == 0
    assert not e.ledger.flags
    assert json.loads(e.ledger.to_json())["totals"]["start"] == []


def test_html_is_escaped():
    e = Explainer(Model.sequential([L.Dense([[1.0]])], names=["<b>"]), ledger=True)([[1.0]])
    html = e.ledger._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 4


# ---- as data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [object, np.float64, np.float32], ids=["exact", "float64", "float32"])
def test_as_json(dtype):
    found = json.loads(ledger(dtype).to_json(indent=1))
    assert found["format"] == "lrp_ref.ledger"
    assert found["version"] == 1
    exact = dtype is object
    assert found["totals"]["start"] == (["11/2", "13/2"] if exact else [5.5, 6.5])
    names = [entry["node"] for entry in found["entries"]]
    assert names == ["start at dense2", "dense2", "relu1", "dense1"]
    columns = {"arriving", "inputs", "bias", "stabiliser", "unassigned", "rounding", "turnover", "arriving_abs", "inputs_abs"}
    assert set(found["entries"][0]) == {"node", "rule", "flags"} | columns
    assert found["entries"][1]["bias"] == (["1/2", "1/2"] if exact else [0.5, 0.5])
    assert found["entries"] == json.loads(json.dumps(ledger(dtype).rows()))


def test_accounts_of_floats_are_float64():
    found = ledger(np.float32)
    assert found.start.dtype == found.relevance.dtype == found.rounding.dtype == np.float64
    assert all(entry.booking.turnover.dtype == np.float64 for entry in found)


# ---- flags -------------------------------------------------------------------------------------------------------------


def test_relevance_that_explodes_is_flagged():
    """z = 10 − 9.9 under LRP-0: the terms are 199 times as large as their sum."""
    model = Model.sequential([L.Dense([[10.0], [-9.9]])])
    found = Explainer(model, rule=rules.Zero(), ledger=True)([[1.0, 1.0]]).ledger
    assert np.isclose(found.growth("dense1"), 199)
    assert found.explosions() == ("dense1",)
    assert found.explosions(500) == ()
    assert "dense1: Σ|R| grows 199-fold here" in found.flags
    assert "grows 199-fold" in repr(found)
    assert "grows 199-fold" in found._repr_html_()


def test_what_a_rule_remarks_is_flagged_with_its_node():
    found = ledger(np.float64, rules.Gamma(0.25), model=Model.sequential([L.Dense([[1.0], [1.0]])]))
    assert not found.flags
    model = Model.sequential([L.Dense([[1.0, 1.0], [-1.0, 1.0]]), L.Dense([[1.0], [1.0]])])
    remarks = ledger(np.float64, rules.Gamma(0.25), model=model).flags
    assert any(remark.startswith("dense2: outside its domain: Gamma is defined for inputs a ≥ 0") for remark in remarks)
