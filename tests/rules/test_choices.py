"""CONV-CHOICE: of several signals the one that is chosen takes all: Maximum, Minimum, Where; by hand, by the oracle, in files."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Model, Node, oracle, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import RuleError

RULE = rules.ChoiceTakesAll()


def run(layer, *inputs, R):
    return RULE.propagate(layer, inputs, layer.forward(*inputs), R)


# ---- by hand ------------------------------------------------------------------------------------------------------------

A, B, R = fractions([[1, 2, -3, 0]]), fractions([[4, 2, -5, 0]]), fractions([[5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("layer", "first", "second"),
    [(L.Maximum(), [0, 6, 7, 8], [5, 0, 0, 0]), (L.Minimum(), [5, 6, 0, 8], [0, 0, 7, 0])],
)
def test_the_winner_takes_all_and_of_equals_the_first(layer, first, second):
    (r, s), booking = run(layer, A, B, R=R)
    assert (r.tolist(), s.tolist()) == ([first], [second])
    assert booking.inputs.tolist() == [26]
    assert booking.rounding.tolist() == [0]
    assert booking.turnover.tolist() == [52]
    (r, s), _ = run(layer, B, A, R=R)
    assert r.tolist() == [[x + y if a == b else y for a, b, x, y in zip(A[0], B[0], first, second, strict=True)]]


def test_the_condition_gets_nothing():
    condition = fractions([[1, 0, -2, 0]])
    (c, r, s), booking = run(L.Where(), condition, A, B, R=R)
    assert (c.tolist(), r.tolist(), s.tolist()) == ([[0] * 4], [[5, 0, 7, 0]], [[0, 6, 0, 8]])
    assert booking.inputs.tolist() == [26]


def test_a_constant_that_is_chosen_keeps_its_share_as_bias():
    condition = fractions([[1, 0, -2, 0]])
    (_, r), booking = run(L.Where(otherwise=[3.0, 3, 3, 3]), condition, A, R=R)
    assert r.tolist() == [[5, 0, 7, 0]]
    assert (booking.inputs.tolist(), booking.bias.tolist(), booking.unassigned.tolist()) == ([12], [14], [0])
    (_, r), booking = run(L.Where(then=3.0), condition, A, R=R)
    assert r.tolist() == [[0, 6, 0, 8]]
    assert booking.bias.tolist() == [12]


def test_what_is_repeated_adds_up_where_it_comes_from():
    """A channel's number against three places: those where it wins come back to it."""
    a, b = fractions([[[2], [0]]]), fractions([[[1, 2, 3], [1, -1, 0]]])
    (r, s), booking = run(L.Maximum(), a, b, R=fractions([[[1, -2, 4], [8, 16, 32]]]))
    assert r.tolist() == [[[-1], [48]]]
    assert s.tolist() == [[[0, 0, 4], [8, 0, 0]]]
    assert booking.turnover.tolist() == [126]


# ---- the oracle, and laws -----------------------------------------------------------------------------------------------


@st.composite
def cases(draw):
    number = st.integers(-2, 2).map(lambda i: Fraction(i, 2))
    kind = draw(st.sampled_from([L.Maximum, L.Minimum, L.Where]))
    count = draw(st.integers(1, 4)) if kind is not L.Where else 3
    whole = (2, 3)
    shapes = [draw(st.sampled_from([whole, (2, 1), (1, 3)])) for _ in range(count - 1)] + [whole]
    inputs = [fractions([draw(number) for _ in range(int(np.prod(s)))]).reshape(1, *s) for s in shapes]
    relevance = fractions([draw(number) for _ in range(6)]).reshape(1, *whole)
    return (kind() if kind is L.Where else kind(count)), tuple(inputs), relevance


@given(cases())
def test_the_engine_is_the_oracle(case):
    layer, inputs, relevance = case
    found, booking = run(layer, *inputs, R=relevance)
    expected = oracle.messages(layer, RULE, inputs if len(inputs) > 1 else inputs[0], relevance)
    for mine, theirs in zip(found, expected.relevances, strict=True):
        assert (mine == theirs).all()
    assert booking.rounding.tolist() == [0]
    floats, _ = run(layer, *(a.astype(float) for a in inputs), R=relevance.astype(float))
    assert all(np.array_equal(mine, theirs.astype(float)) for mine, theirs in zip(floats, found, strict=True))


@given(cases())
def test_it_is_linear_in_the_relevance_and_what_the_derivative_hands_down(case):
    layer, inputs, relevance = case
    found, _ = run(layer, *inputs, R=relevance)
    more, _ = run(layer, *inputs, R=3 * relevance)
    lower = layer.vjp(inputs, layer.forward(*inputs), relevance)
    for one, three, derivative in zip(found, more, lower, strict=True):
        assert (3 * one == three).all()
        assert (one == derivative).all()


def test_the_oracle_has_no_constants():
    with pytest.raises(RuleError, match="constant"):
        oracle.messages(L.Where(otherwise=1.0), RULE, (A, A), R)


def test_what_it_serves():
    assert RULE.hands_on(L.Where()) == (False, True, True)
    assert RULE.hands_on(L.Where(then=1.0)) == (False, True)
    assert RULE.hands_on(L.Maximum(3)) == (True, True, True)
    for layer in (L.MaxPool(2), L.Multiply(), L.Compare(), L.Where(1.0, 2.0)):
        with pytest.raises(RuleError, match="choices of a signal"):
            RULE.require(layer)
    model = Model((Node("max", L.Maximum(), ("input", "input")),))
    with pytest.raises(RuleError, match=r"fits: ChoiceTakesAll\(\)"):
        lrp_ref.Explainer(model, lrp_ref.composites.Composite(((L.Dense, rules.Zero()),), "dense"))


# ---- networks -----------------------------------------------------------------------------------------------------------

rng = np.random.default_rng(0)
W, V, U = (rng.normal(size=shape) for shape in ((3, 4), (3, 4), (4, 2)))
X = rng.normal(size=(5, 3))


def between(layer, inputs):
    """z = x W and v = x V, a choice by or between them, and a dense layer."""
    nodes = (Node("z", L.Dense(W), ("x",)), Node("v", L.Dense(V), ("x",)), Node("above", L.Compare(">", 0.25), ("v",)))
    return Model((*nodes, Node("choice", layer, inputs), Node("y", L.Dense(U), ("choice",))), ("x",), ("y",))


NETWORKS = {
    "maximum": (between(L.Maximum(), ("z", "v")), lambda z, v: z >= v),
    "minimum": (between(L.Minimum(), ("z", "v")), lambda z, v: z <= v),
    "where": (between(L.Where(), ("above", "z", "v")), lambda z, v: v > 0.25),
}


@pytest.mark.parametrize("backend", ["reference", "numpy", "compiled"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_choices_are_gradient_times_input(name, backend):
    """Under LRP-0 a choice is one of two linear maps: R_j = Σ_k (z chosen ? w_jk : v_jk) x_j u_kt."""
    if backend == "compiled":
        pytest.importorskip("lrp_ref.kernels.compiled._core")
    model, first = NETWORKS[name]
    e = lrp_ref.explain(model, X, rule=rules.Zero(), targets=(0, 1), ledger=True, backend=backend)
    taken = first(X @ W, X @ V)[:, None]
    expected = np.einsum("njk,kt,nj->ntj", np.where(taken, W, V), U, X)
    np.testing.assert_allclose(e.relevance, expected, rtol=1e-12)
    np.testing.assert_allclose(e.share_arrived, 1)
    single = lrp_ref.explain(model, X[1:2], rule=rules.Zero(), targets=(0, 1), backend=backend)
    assert np.array_equal(single.relevance[0], e.relevance[1])


@pytest.mark.parametrize("preset", sorted(lrp_ref.composites.PRESETS))
def test_every_preset_serves_choices(preset):
    for model, _ in NETWORKS.values():
        explainer = lrp_ref.Explainer(Model(model.nodes, ("x",), ("y",), domain=(-3, 3)), preset, allow_negative=True)
        assert explainer.rules["choice"] == RULE
        assert np.isfinite(explainer(X, target=0).relevance).all()


def test_maxout_of_a_uniform_image_ties_exactly():
    """Two halves of a convolution with equal filters: the first takes all, at every place."""
    filters = rng.normal(size=(2, 3, 3, 3)).astype(np.float32)
    nodes = (
        Node("conv", L.Conv(np.concatenate([filters, filters])), ("x",)),
        Node("first", L.Slice(0, 2), ("conv",)),
        Node("second", L.Slice(2, 4), ("conv",)),
        Node("max", L.Maximum(), ("first", "second")),
        Node("y", L.GlobalAvgPool(), ("max",)),
    )
    x = np.full((1, 3, 17, 19), 0.3, np.float32)
    e = lrp_ref.explain(Model(nodes, ("x",)), x, target=0, keep="all")
    assert not e.at("second").any()
    assert e.at("first").all(axis=(2, 3)).any()


# ---- files --------------------------------------------------------------------------------------------------------------

onnx = pytest.importorskip("onnx", reason="onnx is not installed: choices in files are NOT tested here")
from support import onnx_lines  # noqa: E402

FILE = {"W": W, "V": V, "U": U, "at": np.float32(0.25), "none": np.float32(0), "one": np.float32(1)}
FILE = {name: np.float32(value) for name, value in FILE.items()}
ABOVE = "m = Greater v at; "
FILES = {
    "f = Max z v": lambda z, v: z >= v,
    "d = Sub z v; m = GreaterOrEqual d none; f = Where m z v": lambda z, v: z >= v,
    "m = Less z v; f = Where m v z": lambda z, v: z >= v,
    "f = Min z v": lambda z, v: z <= v,
    "p = Neg z; q = Neg v; n = Max p q; f = Neg n": lambda z, v: z <= v,
    ABOVE + "f = Where m z v": lambda z, v: v > 0.25,
    ABOVE + "k = Not m; f = Where k v z": lambda z, v: v > 0.25,
    ABOVE + "l = Less z at; k = And m l; f = Where k z v": lambda z, v: (v > 0.25) & (z < 0.25),
    ABOVE + "l = Less z at; k = Or m l; f = Where k z v": lambda z, v: (v > 0.25) | (z < 0.25),
    ABOVE + "k = Cast m to=1; p = Mul k z; r = Sub one k; q = Mul v r; f = Add p q": lambda z, v: v > 0.25,
    ABOVE + "k = Cast m to=1; l = Not m; r = Cast l to=1; p = Mul z k; q = Mul r v; f = Add q p": lambda z, v: v > 0.25,
    ABOVE + "l = Less z at; o = Or m l; k = Cast o to=1; n = Not o; r = Cast n to=1; p = Mul z k; q = Mul r v; f = Add q p":
        lambda z, v: (v > 0.25) | (z < 0.25),
}  # fmt: skip


@pytest.mark.parametrize("text", FILES)
def test_choices_in_files_hold_what_they_go_by(text):
    given_ = {"x": ("float32", (-1, 3))}
    stored = {name: FILE[name] for name in {*text.replace(";", " ").split(), *"WVU"} if name in FILE}
    content = onnx_lines.file(f"z = MatMul x W; v = MatMul x V; {text}; y = MatMul f U", given_, **stored)
    x = X.astype(np.float32)
    taken = FILES[text](x @ FILE["W"], x @ FILE["V"])[:, None]
    assert 0 < taken.sum() < taken.size
    expected = np.einsum("njk,k,nj->nj", np.where(taken, FILE["W"], FILE["V"]), FILE["U"][:, 0], x)
    onnx_lines.check(content, x, expected)


def test_a_mask_that_is_computed_gates_what_it_multiplies():
    """x · 1[v > ¼] is a choice between x and nothing: the signal takes all, the comparison nothing."""
    text = "z = MatMul x W; v = MatMul x V; m = Greater v at; k = Cast m to=1; f = Mul k z; y = MatMul f U"
    stored = {name: FILE[name] for name in ("W", "V", "U", "at")}
    x = X.astype(np.float32)
    taken = x @ FILE["V"] > 0.25
    expected = np.einsum("nk,jk,k,nj->nj", taken, FILE["W"], FILE["U"][:, 0], x)
    onnx_lines.check(onnx_lines.file(text, {"x": ("float32", (-1, 3))}, **stored), x, expected)


def test_a_mask_of_the_input_chooses_between_two_signals():
    given_ = {"x": ("float32", (-1, 3)), "m": ("bool", (-1, 4))}
    text = "z = MatMul x W; v = MatMul x V; f = Where m z v; y = MatMul f U"
    x, mask = X.astype(np.float32), rng.random((5, 4)) > 0.5
    stored = {name: FILE[name] for name in "WVU"}
    expected = np.einsum("njk,k,nj->nj", np.where(mask[:, None], FILE["W"], FILE["V"]), FILE["U"][:, 0], x)
    e = onnx_lines.check(onnx_lines.file(text, given_, **stored), {"x": x, "m": mask}, expected, at="x")
    assert not e.relevance["m"].any()


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_a_choice_by_what_has_no_rule_needs_none(backend):
    """CONV-RULE-ASKED: behind a condition nothing arrives, also where a product does not say its signal."""
    nodes = (Node("z", L.Dense(W), ("x",)), Node("v", L.Dense(V), ("x",)), Node("product", L.Multiply(), ("z", "v")))
    nodes += (Node("root", L.Exp(), ("product",)), Node("above", L.Compare(">", 1.0), ("root",)))
    nodes += (
        Node("choice", L.Where(), ("above", "z", "v")),
        Node("other", L.Exp(), ("z",)),
        Node("y", L.Concat(), ("choice", "other")),
    )
    model = Model(nodes, ("x",), ("y",))
    explainer = lrp_ref.Explainer(model, rule=rules.Zero())
    assert {name: bool(why) for name, why in explainer.explained_nodes.items()} == {"choice": False, "other": True}
    assert "node 'other' (Exp)" in explainer.explained_nodes["other"]
    assert "product" not in explainer.rules  # so that nobody is asked for its signal
    e = lrp_ref.explain(model, X, rule=rules.Zero(), target=1, keep="all", backend=backend)
    assert not e.at("product").any()
    z, v = X @ W, X @ V
    weights = np.where((z * v > 0)[:, 1, None], W[:, 1], V[:, 1])
    np.testing.assert_allclose(e.relevance, X * weights, rtol=1e-12)
    with pytest.raises(RuleError, match="node 'other'"):
        explainer(X, target=5)
