"""The oracle itself: by hand where it can be, and that it stands on its own feet."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrp_ref import layers as L
from lrp_ref import oracle, rules
from lrp_ref.arrays import fractions
from lrp_ref.errors import DomainError, ExactnessError, ParameterError, RuleError, ShapeError
from lrp_ref.oracle import matrix
from lrp_ref.oracle.messages import FORMULAS
from lrp_ref.rules import base
from support.by_hand import F, dense, row
from support.rule_strategies import ALL_RULES, LINEAR_RULES, ruled
from support.strategies import RATIONAL, cases

L1, A1, R1 = dense([[3, -1], [-1, 2]], [1, -1]), row(1, 2), row(6, 12)


# ---- by hand ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "messages", "bias", "stabiliser", "unassigned"),
    [
        (rules.Zero(), [[9, -6], [-6, 24]], (3, -6), (0, 0), (0, 0)),
        (rules.Epsilon(1), [[6, -4], [-4, 16]], (2, -4), (2, 4), (0, 0)),
        (rules.AlphaBeta(2, 1), [[9, -6], [-6, 24]], (3, -6), (0, 0), (0, 0)),
        (rules.AlphaBeta(2, 1, "none"), [[12, -12], [-6, 24]], (0, 0), (0, 0), (0, 0)),
        (rules.ZPlus(), [[6, 0], [0, 12]], (0, 0), (0, 0), (0, 0)),
        (rules.WSquare(), [["27/5", "12/5"], ["3/5", "48/5"]], (0, 0), (0, 0), (0, 0)),
        (rules.Flat(), [[3, 6], [3, 6]], (0, 0), (0, 0), (0, 0)),
        (rules.ZBox(1, 2), [[0, 4], [0, 8]], (0, 0), (0, 0), (6, 0)),
        (rules.ZBox(A1[0], A1[0]), [[0, 0], [0, 0]], (0, 0), (0, 0), (6, 12)),
    ],
    ids=str,
)
def test_messages_of_one_layer(rule, messages, bias, stabiliser, unassigned):
    m = oracle.messages(L1, rule, A1, R1)
    assert m.matrices[0].tolist() == [[F(v) for v in line] for line in messages]
    assert m.bias.tolist() == [list(bias)]
    assert m.stabiliser.tolist() == [list(stabiliser)]
    assert m.unassigned.tolist() == [list(unassigned)]
    assert m.relevances[0].tolist() == m.matrices[0].sum(axis=1)[None].tolist()
    assert m.sizes[0].tolist() == abs(m.matrices[0]).sum(axis=1)[None].tolist()


def test_the_inputs_of_a_layer_share_one_denominator():
    """a − b broadcast over two columns: z = (3 − 1, 3 − 2), and LRP-0 gives a its 3/2 and 3, b the rest."""
    a, b = fractions([[[3]]]), fractions([[[1, 2]]])
    m = oracle.messages(L.Subtract(), rules.Zero(), (a, b), fractions([[[2, 2]]]))
    assert [R.tolist() for R in m.relevances] == [[[[9]]], [[[-1, -4]]]]
    assert m.fan == 3
    assert m.kappa.tolist() == [[[2, 5]]]
    assert m.turnover == 4 + 9 + 5


def test_what_the_rounding_bounds_are_made_of():
    m = oracle.messages(L1, rules.Zero(), A1, R1)
    assert m.fan == 3
    assert m.kappa.tolist() == [[3, 3]]  # (3 + 2 + 1) / 2 and (1 + 4 + 1) / 2
    assert m.turnover == 18 + 45 + 9
    (tolerance,) = m.tolerance(F(1, 100))
    assert tolerance.tolist() == [[F(12, 100) * 15 * 4, F(12, 100) * 30 * 4]]


def test_connections_know_weights_of_zero_and_no_padding():
    layer = L.Conv(fractions([[[0, 0, 5]]]), padding=1)
    ((weight,), _), (connected,) = matrix.weights(layer, [(1, 1, 3)]), matrix.connections(layer, [(1, 1, 3)])
    assert weight.tolist() == [[0, 0, 0], [5, 0, 0], [0, 5, 0]]
    assert connected.tolist() == [[True, True, False], [True, True, True], [False, True, True]]
    (windows,) = matrix.connections(L.MaxPool(2, stride=1), [(1, 1, 3)])
    assert windows.tolist() == [[True, False], [True, True], [False, True]]
    first, second = matrix.connections(L.Multiply(), [(1, 2), (1, 1)], others=1)
    assert first.tolist() == [[True, False], [False, True]]
    assert second.tolist() == [[True, True]]


@given(cases(*(kind for kind in RATIONAL if issubclass(kind, L.Linear)), batch=st.just(1)))
def test_the_matrix_is_the_layer(case):
    """forward(a) = Σ a w + b for any a: the unit vectors have told everything."""
    case = case.astype(object)
    found, bias = matrix.weights(case.layer, case.shapes)
    z = sum((a.reshape(1, -1) @ w for a, w in zip(case.inputs, found, strict=True)), bias)
    assert (z.reshape(case.relevance.shape) == case.layer.forward(*case.inputs)).all()


@given(st.sampled_from(ALL_RULES), st.data())
def test_every_neuron_accounts_for_all_of_its_relevance(kind, data):
    drawn = data.draw(ruled(kind, batch=st.just(1))).astype(object)
    (m,) = drawn.messages()
    kept = m.bias + m.stabiliser + m.unassigned
    sent = sum(found.sum(axis=0).reshape(m.shape) for found in m.matrices)
    assert (sent + kept == drawn.case.relevance).all()


# ---- on its own feet -------------------------------------------------------------------------------------------------


#: Rules whose literal definition is another: a derivative, the ε-rule of a matrix, and tests/support/recurrent_by_hand.py.
ELSEWHERE = {rules.Gradient, rules.ConstantDeviation, rules.ConstantStatistics, rules.ThroughTime}


def test_every_rule_has_its_literal_definition():
    exported = {kind for name in rules.__all__ if isinstance(kind := getattr(rules, name), type) and issubclass(kind, rules.Rule)}
    assert {kind for kind in exported if not inspect.isabstract(kind)} == set(FORMULAS) | ELSEWHERE


def test_it_needs_nothing_of_the_engine(monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("the oracle asked the engine")

    for name in ("quotients", "redistribute", "book"):
        monkeypatch.setattr(base, name, never)
    for kind in ALL_RULES:
        for name in ("propagate", "relevances", "shares", "divided"):
            if hasattr(kind, name):
                monkeypatch.setattr(kind, name, never)
    monkeypatch.setattr(L.Dense, "adjoint", never)
    for kind in LINEAR_RULES:
        rule = rules.ZBox(0, 3) if kind is rules.ZBox else kind()
        assert oracle.messages(L1, rule, A1, R1).relevances[0].shape == (1, 2)
    assert oracle.messages(L1, rules.Pass(), A1, R1).relevances[0].tolist() == [[6, 12]]


def test_it_imports_nothing_of_the_engine():
    found = set()
    for file in Path(oracle.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found.add("." * node.level + (node.module or ""))
    assert not {name for name in found if "shares" in name or name.startswith("..rules")}
    assert found <= {
        "__future__", "collections.abc", "dataclasses", "fractions", "functools", "html", "typing",
        "..", "..arrays", "..errors", "..layers.activations", "..layers.base", "..layers.merge", "..layers.recurrent",
        "..layers.functions", "..layers.norms", "..layers.recurrent.base", "..layers.selection", "..forks",
        ".account", ".matrix", ".messages", ".neuron",
    }  # fmt: skip


def test_floats_are_taken_at_their_exact_value():
    """CONV-EXACT-PARAMETERS: of data, weights and ε alike."""
    layer = L.Dense(np.array([[0.1]]), np.array([0.2]))
    m = oracle.messages(layer, rules.Epsilon(0.3), np.array([[0.7]]), np.array([[1.0]]))
    w, b, e, a = F(0.1), F(0.2), F(0.3), F(0.7)
    assert m.relevances[0].item() == a * w / (a * w + b + e)
    single = L.Dense(np.array([[0.1]], dtype=np.float32))
    assert oracle.messages(single, rules.Epsilon(1), np.array([[1.0]]), np.array([[1.0]])).stabiliser.item() == 1 / (
        1 + F(float(np.float32(0.1)))
    )


# ---- refusals --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mine(rules.Zero):
    """A rule of a user's own."""


@pytest.mark.parametrize(
    ("layer", "rule", "a", "R", "error", "message"),
    [
        (
            L1,
            Mine(),
            A1,
            R1,
            RuleError,
            "Mine() has no literal definition: FORMULAS in lrp_ref/oracle/messages.py has no line for Mine",
        ),
        (L.MaxPool(2), rules.AverageSurrogate(Mine()), row(1, 2)[None], fractions([[[1]]]), RuleError, "Mine() has no"),
        (L1, rules.WinnerTakesAll(), A1, R1, RuleError, "WinnerTakesAll(ties='lowest') serves maximum pooling, not Dense"),
        (L1, rules.ZBox(), A1, R1, DomainError, "ZBox() has no bounds"),
        (
            L1,
            rules.Epsilon(rules.relative(0.25)),
            A1,
            R1,
            ExactnessError,
            "relative(0.25) is a fraction of a root mean",
        ),
        (L1, rules.Zero(), A1, row(1), ShapeError, "R must have the shape of the layer's output, (1, 2), found (1, 1)"),
        (L1, rules.Zero(), A1[0], R1, ShapeError, "The batch axis is required"),
        (
            L1,
            rules.Zero(),
            np.concatenate([A1, A1]),
            R1,
            ShapeError,
            "one sample at a time, with a batch axis of 1; found 2 samples",
        ),
        (dense([[1], [1]]), rules.Pass(), A1, row(1), RuleError, "turns (1, 2) into (1, 1)"),
        (L.Multiply(), rules.SignalTakesAll(), (A1, A1), R1, RuleError, "must know which factor is the signal"),
        (
            L.MaxPool(2),
            rules.Proportional(),
            fractions([[[1, -1]]]),
            fractions([[[1]]]),
            RuleError,
            "found a negative x",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(layer, rule, a, R, error, message):
    with pytest.raises(error, match=re.escape(message)):
        oracle.messages(layer, rule, a, R)


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (2, "neuron (2,) does not exist in one sample of the output, of shape (2,)"),
        ((0, 0), "neuron (0, 0) does not exist in one sample of the output, of shape (2,)"),
        ("0", "neuron must be an int or a tuple of ints, found '0'"),
        (0.5, "neuron must be an int or a tuple of ints, found 0.5"),
    ],
)
def test_neurons_that_do_not_exist(neuron, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        oracle.explain_neuron(L1, rules.Zero(), A1, R1, neuron)


# ---- one neuron explained --------------------------------------------------------------------------------------------

ALPHA_BETA = """\
neuron 0 of Dense(weight[2, 2], bias[2]) under AlphaBeta(alpha=2, beta=1, bias='pool', empty='drop')
z_k = 2,  R_k = 6

j                   a_j  w_jk  z_jk = a_j w_jk  (a w)⁺  (a w)⁻  R_{j←k}
-----------------------------------------------------------------------
0                     1     3                3       3       0        9
1                     2    -1               -2       0      -2       -6
bias                  1     1                1       1       0        3
-----------------------------------------------------------------------
sum                                                  4      -2        6
part of R_k                                          2      -1
× part · R_k / sum                                   3       3

3 to the inputs + 3 in the bias = 6 = R_k"""

EPSILON = """\
neuron 1 of Dense(weight[2, 2], bias[2]) under Epsilon(epsilon=1, signed=True)
z_k = 2,  R_k = 12

j            a_j  w_jk  z_jk = a_j w_jk  a w  R_{j←k}
-----------------------------------------------------
0              1    -1               -1   -1       -4
1              2     2                4    4       16
bias           1    -1               -1   -1       -4
stabiliser                                 1        4
-----------------------------------------------------
sum                                        3       12
× R_k / sum                                4

12 to the inputs + (-4) in the bias + 4 in the stabiliser = 12 = R_k"""

WINNER = """\
neuron (0, 0) of MaxPool(kernel=2) under WinnerTakesAll(ties='lowest')
R_k = 6

j            a_j  1[winner]  R_{j←k}
------------------------------------
(0, 0)         1          0        0
(0, 1)         3          1        6
------------------------------------
sum                       1        6
× R_k / sum               6

6 to the inputs = 6 = R_k"""

PRODUCT = """\
neuron 0 of Multiply() under ProportionalProduct(epsilon=0)
R_k = 2

j            a_j         x  R_{j←k}
-----------------------------------
input 0: 0     1         1        0
input 1: 0    -1        -1        0
-----------------------------------
sum                      0        0
× R_k / sum       empty: 0
unassigned                        2

0 to the inputs + 2 unassigned = 2 = R_k"""


@pytest.mark.parametrize(
    ("layer", "rule", "a", "R", "neuron", "text"),
    [
        (L1, rules.AlphaBeta(2, 1), A1, R1, (0,), ALPHA_BETA),
        (L1, rules.Epsilon(1), A1.astype(float), R1.astype(float), -1, EPSILON),
        (L.MaxPool(2), rules.WinnerTakesAll(), row(1, 3)[None], row(6)[None], (0, 0), WINNER),
        (L.Multiply(), rules.ProportionalProduct(), (row(1), row(-1)), row(2), 0, PRODUCT),
    ],
    ids=["αβ", "ε", "winner", "product"],
)
def test_the_printed_table(layer, rule, a, R, neuron, text):
    table = oracle.explain_neuron(layer, rule, a, R, neuron)
    assert str(table) == repr(table) == text


def test_fractions_have_their_decimal_beside_them_and_long_ones_only_that():
    text = str(oracle.explain_neuron(L1, rules.Gamma(0.5), A1, row("1/3", 1), 0))
    assert "1/3 (0.333333)" in text
    text = str(oracle.explain_neuron(L1, rules.Zero(), np.array([[0.1, 2.0]]), R1, 0))
    assert "≈0.1 " in text
    assert "3602879701896397" not in text


def test_the_table_in_a_notebook():
    page = oracle.explain_neuron(L1, rules.AlphaBeta(2, 1, "none"), A1, R1, 1)._repr_html_()
    assert page.count("<tr>") == page.count("</tr>") == 1 + 3 + 1 + 1 + 1
    assert "<th>(a w)⁺</th>" in page
    assert "<th style='text-align:left'>part of R_k</th>" in page
    assert "Dense(weight[2, 2], bias[2]) under AlphaBeta(alpha=2, beta=1, bias=&#x27;none&#x27;, empty=&#x27;drop&#x27;)" in page
    assert page.endswith("<p>12 to the inputs = 12 = R_k</p>")


@given(st.sampled_from(ALL_RULES), st.data())
def test_every_neuron_of_every_case_prints(kind, data):
    drawn = data.draw(ruled(kind, batch=st.just(1)))
    case = drawn.case
    index = tuple(data.draw(st.integers(0, extent - 1)) for extent in case.relevance.shape[1:])
    text = str(oracle.explain_neuron(case.layer, drawn.rule, case.inputs, case.relevance, index))
    assert text.endswith("= R_k")
