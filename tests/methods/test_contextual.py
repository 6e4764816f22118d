"""Contextual decomposition: a literal implementation, its laws, what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lrp_ref import Model, Node, zoo
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import HeadError, LrpError, ParameterError, RuleError
from lrp_ref.methods import ContextualDecomposition
from lrp_ref.methods.contextual import decompose


def logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def by_loops(w: Any, u: Any, b: Any, x: Any, inside: Any) -> tuple[list[float], list[float]]:
    """β_T and γ_T of one sequence by the formulas, unit by unit; gates i, f, o, g."""
    size = len(u)

    def column(gate: int, k: int) -> int:
        return gate * size + k

    def three(f: Any, r: float, i: float, c: float) -> tuple[float, float, float]:
        return (f(r + c) - f(c) + f(r + i + c) - f(i + c)) / 2, (f(i + c) - f(c) + f(r + i + c) - f(r + c)) / 2, f(c)

    beta, gamma, cell, other = ([0.0] * size for _ in range(4))
    for t in range(len(x)):
        parts = {}
        for gate, function in ((0, logistic), (1, logistic), (2, logistic), (3, math.tanh)):
            for k in range(size):
                from_x = sum(x[t][j] * w[j][column(gate, k)] for j in range(len(w)))
                r = sum(beta[j] * u[j][column(gate, k)] for j in range(size)) + (from_x if inside[t] else 0.0)
                i = sum(gamma[j] * u[j][column(gate, k)] for j in range(size)) + (0.0 if inside[t] else from_x)
                parts[gate, k] = three(function, r, i, b[column(gate, k)])
        beta, gamma = [0.0] * size, [0.0] * size
        for k in range(size):
            (ir, ii, ib), (fr, fi, fb), o, (gr, gi, gb) = (parts[gate, k] for gate in range(4))
            new = ir * gr + ir * gb + ib * gr + (ib * gb if inside[t] else 0)
            rest = ir * gi + ib * gi + ii * gr + ii * gi + ii * gb + (0 if inside[t] else ib * gb)
            old, old_rest = fr * cell[k] + fb * cell[k], fi * cell[k] + fr * other[k] + fi * other[k] + fb * other[k]
            cell[k], other[k] = new + old, rest + old_rest
            whole = math.tanh(cell[k] + other[k])
            shown = (math.tanh(cell[k]) + whole - math.tanh(other[k])) / 2
            beta[k], gamma[k] = sum(o) * shown, sum(o) * (whole - shown)
    return beta, gamma


def arrays(seed: int, features: int = 3, size: int = 2) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(features, 4 * size)), rng.normal(size=(size, 4 * size)), rng.normal(size=4 * size)


@pytest.mark.parametrize("inside", [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
def test_the_definition_in_loops(inside: list[int]) -> None:
    w, u, b = arrays(1)
    x = np.random.default_rng(2).normal(size=(2, 4, 3))
    beta, gamma = decompose(L.LSTM(w, u, b), (x,), np.array(inside) == 1)
    for n in range(2):
        wanted = by_loops(w, u, b, x[n], inside)
        np.testing.assert_allclose(beta[n], wanted[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(gamma[n], wanted[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"direction": "bidirectional", "returns": "all"},
        {"direction": "reverse", "returns": "cell"},
        {"gates": "iog"},
        {"gates": "ig", "scale": 2.0},
        {"gates": "g", "activation": "sigmoid", "state_activation": "sigmoid"},
        {"initial_hidden": True, "initial_cell": True},
    ],
)
def test_both_parts_add_up(options: dict[str, Any]) -> None:
    """β + γ is what the layer returns, of every kind of cell."""
    rng = np.random.default_rng(3)
    count, gates = (2 if options.get("direction") == "bidirectional" else 1), len(options.get("gates", "ifog"))
    options = {k: rng.normal(size=(count, 2)) if v is True else v for k, v in options.items()}
    shapes = ((count, 3, gates * 2), (count, 2, gates * 2), (count, gates * 2))
    layer = L.LSTM(*(rng.normal(size=shape) for shape in shapes), **options)
    x = rng.normal(size=(2, 4, 3))
    beta, gamma = decompose(layer, (x,), np.array([False, True, True, False]))
    np.testing.assert_allclose(beta + gamma, layer.forward(x), rtol=1e-12, atol=1e-14)
    assert abs(beta).max() > 1e-3


def test_on_rationals_and_without_biases_the_whole_sentence_is_all() -> None:
    """Everything inside, no bias, no initial state: γ = 0 and the relevance is the score, exactly."""
    rng = np.random.default_rng(5)
    w, u = (fractions(rng.integers(-3, 4, shape)) / 4 for shape in ((3, 8), (2, 8)))
    cell = L.LSTM(w, u, gate_activation="hard_sigmoid", activation="softsign", state_activation="softsign")
    model = Model.sequential([cell, L.Dense(fractions([[1], [-2]]), fractions([5]))])
    x = fractions(rng.integers(-3, 4, (2, 3, 3)))
    e = ContextualDecomposition(model, phrases=[0, 0, 0])(x)
    assert e.total.tolist() == (model(x)[:, 0] - 5).tolist()
    assert len({str(r) for r in e.relevance[0].flat}) == 1  # CONV-GROUP-SHARE
    assert not e.conserves


def test_relevance_of_words() -> None:
    """One number for each word, that of a phrase of it alone; several words in one phrase share theirs."""
    model = zoo.load("sentences").astype(np.float64)
    x = np.array([[5.0, 7.0, 9.0, 2.0], [3.0, 3.0, 8.0, 1.0]])
    e = ContextualDecomposition(model)(x, "all")
    assert e.relevance.shape == (2, 2, 4)
    vectors = model["embedding1"].layer.forward(x)
    head = model["dense1"].layer.weight
    for t in range(4):
        beta, _ = decompose(model["lstm1"].layer, (vectors,), np.arange(4) == t)
        np.testing.assert_allclose(e.relevance[:, :, t], beta @ head, atol=1e-12)
    pair = ContextualDecomposition(model, phrases=[0, 1, 1, 0])(x, 1)
    beta, _ = decompose(model["lstm1"].layer, (vectors,), np.array([False, True, True, False]))
    np.testing.assert_allclose(2 * pair.relevance[:, 1], (beta @ head)[:, 1], atol=1e-12)
    alone = ContextualDecomposition(model)(x[1:], "all")
    assert np.array_equal(alone.relevance[0], e.relevance[1])
    contrast = ContextualDecomposition(model)(x, 1, contrast=0)
    np.testing.assert_allclose(contrast.relevance, e.relevance[:, 1] - e.relevance[:, 0], atol=1e-12)
    assert ContextualDecomposition(model, phrases=[0, 0, 1]).estimate().forward == 3


def test_steps_beyond_the_length_get_nothing() -> None:
    w, u, b = arrays(7)
    layer = L.LSTM(w, u, b, reads=("lengths",))
    model = Model((Node("lstm", layer, ("input", "lengths")),), inputs=("input", "lengths"))
    x = np.random.default_rng(8).normal(size=(1, 4, 3))
    e = ContextualDecomposition(model)({"input": x, "lengths": np.array([2.0])}, 0)
    short = ContextualDecomposition(Model.sequential([L.LSTM(w, u, b)]))(x[:, :2], 0)
    np.testing.assert_allclose(e.at("input")[:, :2], short.relevance, rtol=1e-12)
    assert not e.at("input")[:, 2:].any()


def cell(**options: Any) -> L.LSTM:
    w, u, b = arrays(9)
    return L.LSTM(w, u, b, **options)


@pytest.mark.parametrize(
    ("layers", "options", "error", "message"),
    [
        ([L.Flatten(), L.Dense(np.ones((12, 1)))], {}, RuleError, "one LSTM, found none"),
        ([cell(returns="all"), L.LSTM(np.ones((2, 4)), np.ones((1, 4)))], {}, RuleError, "found 'lstm1', 'lstm2'"),
        ([cell(peepholes=np.ones(6))], {}, RuleError, "node 'lstm1' .*has peepholes"),
        ([cell(), L.ReLU()], {}, RuleError, "node 'relu1' .*behind the LSTM is not linear"),
        ([cell(), L.Softmax()], {"head": "log-odds"}, HeadError, "head='logit'"),
        ([cell(), L.Softmax()], {"head": "probability"}, HeadError, "head='logit'"),
    ],
)
def test_what_is_refused(layers: list[L.Layer], options: dict[str, Any], error: type[LrpError], message: str) -> None:
    with pytest.raises(error, match=message):
        ContextualDecomposition(Model.sequential(layers), **options)


def test_phrases_label_every_step() -> None:
    model = Model.sequential([cell()])
    with pytest.raises(ParameterError, match=r"each of 4 time step\(s\), found shape \(3,\)"):
        ContextualDecomposition(model, phrases=[0, 1, 2])(np.ones((1, 4, 3)))
    with pytest.raises(ParameterError, match="that segment is empty"):
        ContextualDecomposition(model, phrases=[0, 2, 2, 0])(np.ones((1, 4, 3)))
    with pytest.raises(ParameterError, match="input_shape"):
        ContextualDecomposition(model).estimate()


def test_a_way_around_the_cell_is_refused() -> None:
    nodes = (Node("lstm", cell(returns="all"), ("input",)), Node("dense", L.Dense(np.ones((3, 2))), ("input",)))
    with pytest.raises(RuleError, match="joins what passes the LSTM with what does not"):
        ContextualDecomposition(Model((*nodes, Node("sum", L.Add(), ("lstm", "dense")))))
