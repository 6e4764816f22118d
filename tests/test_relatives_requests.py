"""What was asked for is done or refused: targets in any container, and rules inside recurrent cells.

Written from the kind's description, without sight of the code. Networks are linear without bias: under LRP-0 the relevance of
output k is R_j = x_j w_jk, whatever the target's container. With r axes of the output (the batch axis not counted), `targets=` is
read by r: r = 1: (T,) for all samples or (N, T); r > 1: (T, r) for all or (N, T, r), and flat integers (T,). Else it is refused.
"""

from fractions import Fraction

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, composites, errors, rules
from lrp_ref import layers as L

N, F = 3, 2
rng = np.random.default_rng(0)
X = rng.integers(-4, 5, (N, F)) / 4 + 0.125
W = rng.integers(-8, 9, (F, 12)) / 8 + 0.0625
SHAPES = {1: (12,), 2: (3, 4), 3: (2, 3, 2)}


def model(r):
    return Model.sequential([L.Dense(W), *([] if r == 1 else [L.Reshape(SHAPES[r])])])


def expected(flat):
    """(N, T) flat indices → (N, T, F)."""
    return X[:, None, :] * W.T[np.asarray(flat)]


def explained(r, **choices):
    return lrp_ref.explain(model(r), X, rule=rules.Zero(), **choices).relevance


def containers(value):
    """The same request in every container."""
    listed = np.asarray(value).tolist()

    def into(value, outer, inner):
        return value if isinstance(value, int) else outer(into(part, inner, outer) for part in value)

    yield "array", np.asarray(value)
    yield "small integers", np.asarray(value, np.uint8)
    yield "strided", np.repeat(np.asarray(value), 2, axis=-1)[..., ::2]
    yield "lists", into(listed, list, list)
    yield "tuples", into(listed, tuple, tuple)
    yield "list of tuples", into(listed, list, tuple)
    yield "tuple of lists", into(listed, tuple, list)
    if np.asarray(value).ndim > 1:
        yield "list of arrays", list(np.asarray(value))
        yield "tuple of arrays", tuple(np.asarray(value))


# rank of the output, targets, and what they mean as (N, T) flat indices
TARGETS = {
    "r1 T": (1, [7, 0], [[7, 0]] * N),
    "r1 T as many as samples": (1, [7, 0, 11], [[7, 0, 11]] * N),
    "r1 N T": (1, [[7, 0], [1, 11], [2, 2]], [[7, 0], [1, 11], [2, 2]]),
    "r1 N T square": (1, [[7, 0, 1], [1, 11, 2], [2, 2, 3]], [[7, 0, 1], [1, 11, 2], [2, 2, 3]]),
    "r2 T r": (2, [[0, 1], [1, 0]], [[1, 4]] * N),
    "r2 T r as many as samples": (2, [[0, 1], [1, 0], [2, 3]], [[1, 4, 11]] * N),
    "r2 one": (2, [[2, 1]], [[9]] * N),
    "r2 N T r": (2, [[[0, 1], [1, 0]], [[2, 3], [0, 0]], [[1, 1], [2, 0]]], [[1, 4], [11, 0], [5, 8]]),
    "r2 flat": (2, [9, 4], [[9, 4]] * N),
    "r2 flat as many as samples": (2, [9, 4, 2], [[9, 4, 2]] * N),
    "r3 T r": (3, [[0, 1, 1], [1, 2, 0]], [[3, 10]] * N),
    "r3 T r square": (3, [[0, 1, 1], [1, 2, 0], [1, 0, 1]], [[3, 10, 7]] * N),
    "r3 N T r": (3, [[[0, 1, 1]], [[1, 2, 0]], [[1, 0, 1]]], [[3], [10], [7]]),
    "r3 flat": (3, [3, 10, 7], [[3, 10, 7]] * N),
}
ASKED = [pytest.param(r, asked, meant, id=f"{name}-{c}") for name, (r, v, meant) in TARGETS.items() for c, asked in containers(v)]


@pytest.mark.parametrize(("r", "asked", "meant"), ASKED)
def test_targets_mean_the_same_in_every_container(r, asked, meant):
    np.testing.assert_array_equal(explained(r, targets=asked), expected(meant))


# the same table for one target: its T axis is not there
SINGLE = {
    "r1 for all": (1, 7, [7] * N),
    "r1 per sample": (1, [7, 0, 11], [7, 0, 11]),
    "r2 for all": (2, [2, 1], [9] * N),
    "r2 per sample": (2, [[0, 1], [2, 3], [1, 0]], [1, 11, 4]),
    "r3 for all": (3, [1, 2, 0], [10] * N),
    "r3 per sample": (3, [[0, 1, 1], [1, 2, 0], [1, 0, 1]], [3, 10, 7]),
}
ONE = [
    pytest.param(r, asked, meant, id=f"{name}-{c}")
    for name, (r, v, meant) in SINGLE.items()
    for c, asked in ([("int", v), ("NumPy int", np.int64(v)), ("array", np.array(v))] if isinstance(v, int) else containers(v))
    if name != "r3 for all" or c in ("lists", "tuples")  # of as many numbers as samples: see below
]


@pytest.mark.parametrize(("r", "asked", "meant"), ONE)
def test_a_target_means_the_same_in_every_container(r, asked, meant):
    np.testing.assert_array_equal(explained(r, target=asked), expected(np.asarray(meant)[:, None])[:, 0])


def test_an_index_is_an_index_however_it_is_held():
    """r = N = 3: three numbers are one index, or the answer is a refusal; never one thing as a tuple and another as a list."""
    answers = []
    for _, asked in containers([1, 2, 0]):
        try:
            answers.append(explained(3, target=asked).tolist())
        except errors.LrpError:
            answers.append(None)
    assert all(answer == answers[0] for answer in answers)


REFUSED = {
    "r1, three axes": (1, [[[1], [2], [3]]]),
    "r1, for two samples of three": (1, [[1, 2], [3, 4]]),
    "r2, last axis of three": (2, [[0, 1, 1], [1, 2, 0]]),
    "r2, for two samples of three": (2, [[[0, 1]], [[1, 0]]]),
    "r2, four axes": (2, [[[[0, 1]]]] * N),
    "r3, last axis of two": (3, [[0, 1], [1, 0]]),
    "r1, beyond the end": (1, [0, 12]),
    "r2, beyond an axis though not beyond the end": (2, [[0, 4]]),
    "r3, beyond an axis": (3, [[2, 0, 0]]),
    "r2, flat and beyond": (2, [12]),
    "r1, ragged": (1, [[1, 2], [3], [4, 5]]),
    "r2, numbers and indices": (2, [3, (0, 1)]),
    "r1, fractions": (1, [0.5, 1.0]),
    "r1, words": (1, ["cat", "dog"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(name):
    r, asked = REFUSED[name]
    with pytest.raises(errors.LrpError):
        explained(r, targets=asked)


@pytest.mark.parametrize("asked", [[(0, 1), (2, 3)], [(0, 1, 1)] * N, [(0, 4)] * N, [0.5] * N], ids=str)
def test_a_target_that_fits_nothing_is_refused(asked):
    with pytest.raises(errors.LrpError):
        explained(2, target=asked)


@pytest.mark.parametrize("asked", [[(0, 1), (2, 3), (1, 0)], np.array([[0, 1], [2, 3], [1, 0]])], ids=["tuples", "array"])
def test_contrasts_are_read_as_targets_are(asked):
    found = explained(2, target=(0, 0), contrast=asked)
    np.testing.assert_array_equal(found, (expected([[0]] * N) - expected([[1], [11], [4]]))[:, 0])


# Recurrent cells. Two steps; identity for tanh makes the cell linear, and LRP-0 gradient × input.
V = rng.integers(-4, 5, (F, 2)) / 4 + 0.125
U = rng.integers(-4, 5, (2, 2)) / 8 + 0.0625
STEPS = rng.integers(1, 5, (1, 2, F)) / 4 + [0, 0.125]  # no pre-activation is 0: there 0/0 := 0, and gradient × input is another


def rnn(**options):
    return Model.sequential([L.RNN(V[None], U[None], activation="identity", **options)])


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
def test_zero_in_a_plain_recurrent_cell_is_gradient_times_input(k, backend):
    e = lrp_ref.explain(rnn(), STEPS, rule=rules.Zero(), target=k, backend=backend)
    expected = np.stack([STEPS[0, 0] * (V @ U)[:, k], STEPS[0, 1] * V[:, k]])[None]
    np.testing.assert_allclose(e.relevance, expected, rtol=1e-13)


def by_hand(rule, k):
    """R of both steps from fractions: h1 = x1 V, h2 = x2 V + h1 U, each map under one rule with one denominator."""
    x1, x2 = ([Fraction(float(a)) for a in step] for step in STEPS[0])
    v, u = ([[Fraction(float(w)) for w in row] for row in m] for m in (V, U))
    h1 = [sum(x1[j] * v[j][i] for j in range(2)) for i in range(2)]
    terms = [x2[j] * v[j][k] for j in range(2)] + [h1[i] * u[i][k] for i in range(2)]
    start = sum(terms)
    shares = rule(terms, start)
    below = [rule([x1[j] * v[j][i] for j in range(2)], shares[2 + i]) for i in range(2)]
    return np.array([[below[0][j] + below[1][j] for j in range(2)], shares[:2]], float)[None], float(start)


def epsilon(amount):
    def rule(terms, R):
        z = sum(terms)
        return [t * R / (z + (amount if z >= 0 else -amount)) for t in terms]

    return rule


def positive(terms, R):
    pool = sum(max(t, Fraction(0)) for t in terms)
    return [max(t, Fraction(0)) * R / pool if pool else Fraction(0) for t in terms]


INSIDE = {
    "Epsilon(0.5)": (rules.Epsilon(0.5), epsilon(Fraction(1, 2))),
    "Epsilon(2)": (rules.Epsilon(2), epsilon(Fraction(2))),
    "ZPlus": (rules.ZPlus(), positive),
    "AlphaBeta(1, 0)": (rules.AlphaBeta(1, 0), positive),
}


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("k", [0, 1])
def test_the_rule_that_was_asked_for_holds_in_a_cell(name, k):
    rule, literal = INSIDE[name]
    expected, _ = by_hand(literal, k)
    np.testing.assert_allclose(lrp_ref.explain(rnn(), STEPS, rule=rule, target=k).relevance, expected, rtol=1e-12)


CELLS = {
    "GRU": lambda **o: L.GRU.from_arrays(np.tile(V, 3), np.tile(U, 3), linear_before_reset=False, activation="identity", **o),
    "GRU, reset after": lambda **o: L.GRU.from_arrays(np.tile(V, 3), np.tile(U, 3), activation="identity", **o),
    "LSTM": lambda **o: L.LSTM.from_arrays(np.tile(V, 4), np.tile(U, 4), **o),
    "LSTM, all steps": lambda **o: L.LSTM.from_arrays(np.tile(V, 4), np.tile(U, 4), return_sequences=True, **o),
    "LSTM, backwards": lambda **o: L.LSTM.from_arrays(np.tile(V, 4), np.tile(U, 4), direction="reverse", **o),
}


@pytest.mark.parametrize("name", CELLS)
def test_zero_conserves_in_every_cell_without_bias(name):
    """No bias, no start, no stabiliser: all of the value arrives (with ε = 0.001 some of it would not)."""
    cell = Model.sequential([CELLS[name](), L.Flatten()])
    e = lrp_ref.explain(cell, STEPS, rule=rules.Zero(), targets=(0, 1), ledger=True)
    np.testing.assert_allclose(e.total, e.value, rtol=1e-12)
    np.testing.assert_array_equal(e.ledger.stabiliser, 0)


@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
@pytest.mark.parametrize(
    ("choice", "shown", "hidden"),
    [
        ({"rule": rules.Epsilon(0.125)}, "0.125", "0.001"),
        ({"rule": rules.Zero()}, "Zero()", "0.001"),
        ({"composite": composites.lstm_all(epsilon=0.375)}, "0.375", "0.001"),
        ({"composite": composites.lstm_prop()}, "0.2", "0.001"),
        ({"composite": "lstm_abs"}, "0.001", "0.2"),
        ({"composite": "epsilon_plus"}, "0.001", "0.2"),
    ],
    ids=["epsilon", "zero", "lstm_all", "lstm_prop", "lstm_abs", "epsilon_plus"],
)
def test_the_table_says_which_parameters_hold_in_a_cell(cell, choice, shown, hidden):
    explainer = lrp_ref.Explainer(Model.sequential([CELLS[cell](), L.Dense(W)]), **choice)
    (line,) = [line for line in str(explainer).splitlines() if line.startswith(cell.lower())]
    assert shown in line
    assert hidden not in line


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        (rules.Epsilon(), "1e-06"),
        (rules.Epsilon(0.25), "0.25"),
        (rules.Gamma(0.25), "0.25"),
        (rules.ThroughTime(), "0.001"),
        (rules.ThroughTime(linear=rules.Epsilon(0.125)), "0.125"),
        (rules.AverageSurrogate(rules.Epsilon(0.5)), "0.5"),
    ],
    ids=str,
)
def test_a_rule_prints_what_it_computes_with(rule, shown):
    """A default is a parameter too: whoever reads "Epsilon()" in a table cannot know ε."""
    explainer = lrp_ref.Explainer(model(1), rule=rule) if isinstance(rule, rules.LinearRule) else None
    assert shown in str(rule) if explainer is None else shown in str(explainer)
