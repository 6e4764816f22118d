"""The ledger warns where relevance explodes: at one node, and where no single node does but the growth compounds."""

from __future__ import annotations

import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_growth_at_one_node(backend):
    model = lrp_ref.Model.sequential([L.Dense([[20.0], [-19.0]])])
    ledger = lrp_ref.explain(model, [[1.0, 1.0]], rule=rules.Zero(), ledger=True, backend=backend).ledger
    assert ledger.growth("dense1") == 39
    assert ledger.explosions() == ("dense1",)
    assert "dense1: Σ|R| grows 39-fold here" in ledger.flags


def test_growth_that_compounds_in_a_chain_is_flagged_once_with_where():
    # Signed shares of ±: (3, −2) of 1 is 5-fold at each layer, 25-fold after two.
    model = lrp_ref.Model.sequential([L.Dense([[3.0, -2.0], [-2.0, 3.0]]), L.Dense([[3.0], [-2.0]])])
    ledger = lrp_ref.explain(model, [[1.0, 1.0]], rule=rules.Zero(), ledger=True).ledger
    assert ledger.growth("dense2") == 5
    assert ledger.explosions() == ()
    assert ledger.compound_growth("dense1") == 25
    (flag,) = [flag for flag in ledger.flags if "Σ|R| has grown" in flag]
    assert "by dense1 for the first time, and to 25 times it at dense1" in flag


def test_no_flag_where_nothing_grows():
    model = lrp_ref.Model.sequential([L.Dense([[1.0, 2.0]]), L.Dense([[1.0], [2.0]])])
    assert lrp_ref.explain(model, [[1.0]], rule=rules.Zero(), ledger=True).ledger.flags == ()
