"""Numbers of the papers on recurrent networks, and their equations written out (Arras et al. 2017; Arras et al. 2019)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from support.recurrent_strategies import numbers

F = Fraction
EXACTLY = {"gate_activation": "identity", "activation": "identity", "state_activation": "identity"}


def through(product, epsilon=0):
    return rules.ThroughTime(product, rules.Epsilon(epsilon), rules.Epsilon(epsilon))


# ---- accumulation (Arras et al. 2019, §11.3.3) -----------------------------------------------------------------------


def accumulator(steps):
    """One cell without recurrent weights whose gates are given: features are (a_p, f), i = o = 1; in rationals."""
    weight = fractions([[0, 0, 1, 0], [0, 1, 0, 0]])  # gates i, f, g, o
    layer = L.LSTM.from_arrays(weight, fractions(np.zeros((1, 4), int)), fractions([1, 0, 0, 1]), **EXACTLY)
    return layer, fractions(np.array(steps, dtype=object))[None]


def test_accumulation_with_half_of_it_forgotten():
    layer, x = accumulator([(1, F(1, 2))] * 3)
    assert layer.unroll(x).cell[0, 0, 1:, 0].tolist() == [1, F(3, 2), F(7, 4)]
    assert layer.forward(x).tolist() == [[F(7, 4)]]
    (r,), booking = through(rules.SignalTakesAll()).propagate(layer, (x,), layer.forward(x), layer.forward(x))
    assert r[0].tolist() == [[F(1, 4), 0], [F(1, 2), 0], [1, 0]]
    assert booking.rounding.tolist() == [0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_relevance_is_what_the_forget_gates_leave(seed, steps):
    """R_{p−T} = (Π_t a_{f−t+1}) · a_{p−T} · c_k, as printed, where z_s sees no earlier state."""
    rng = np.random.default_rng(seed)
    given_ = [(F(int(a), 4), F(int(f), 4)) for a, f in rng.integers(1, 9, (steps, 2))]
    layer, x = accumulator(given_)
    upper = F(3, 7)
    relevance = layer.forward(x) * upper
    (r,), _ = through(rules.SignalTakesAll()).propagate(layer, (x,), None, relevance)
    for t, (added, _) in enumerate(given_):
        product = F(1)
        for _, forget in given_[t + 1 :]:
            product *= forget
        assert r[0, t].tolist() == [product * added * upper, 0]


# ---- the gated product (Arras et al. 2019, §11.3.2) ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "signal", "value", "first"), [(0, 0.1, 0.0498340, 0.05), (0, 1, 0.380797, 0.5), (2, -0.5, -0.407031, -0.440399)]
)
def test_the_product_and_its_taylor_expansion_at_the_nearest_root(gate, signal, value, first):
    """At (z_g, 0) the gate's term is 0; the signal's is the product where the signal is linear, else what tanh lets through."""
    z_g, z_s = np.array([[gate]], float), np.array([[signal]], float)
    opened, squashed = L.Sigmoid().forward(z_g), L.Tanh().forward(z_s)
    assert L.Multiply(1).forward(opened, squashed).item() == pytest.approx(value, abs=5e-7)
    assert (opened * z_s).item() == pytest.approx(first, abs=5e-7)  # tanh'(0) = 1
    for signal_ in (z_s, np.maximum(z_s, 0)):
        R = L.Multiply(1).forward(opened, signal_)
        r_g, r_s = rules.SignalTakesAll().relevances(L.Multiply(1), (opened, signal_), R, R)
        assert r_g.item() == 0
        assert r_s.item() == (opened * signal_).item()  # the first-order term, exactly


# ---- the adder, wired by hand ----------------------------------------------------------------------------------------


def adder():
    """17 parameters: z sees the second feature with w = 0.01, all gates are open, the output divides by w."""
    w = 0.01
    weight, bias = np.zeros((2, 4)), np.array([20.0, 20.0, 0.0, 20.0])
    weight[1, 2] = w
    model = lrp_ref.Model.sequential([L.LSTM.from_arrays(weight, np.zeros((1, 4)), bias), L.Dense([[1 / w]])])
    x = np.zeros((1, 5, 2))
    x[0, :, 0] = 0.7, 0, -0.8, 0, 0.5
    x[0, :, 1] = 0, 0.6, 0, 0.9, 0
    return model, x


def steps(model, x, composite):
    return lrp_ref.explain(model, x, target=0, composite=composite).relevance[0].sum(axis=1)


def test_the_adder_has_17_parameters_and_adds():
    model, x = adder()
    assert sum(row[3] for row in model.rows()) == 17
    assert model(x).item() == pytest.approx(1.499856, abs=5e-7)


def test_the_adder_explained():
    model, x = adder()
    found = steps(model, x, composites.lstm_all(0))
    assert found == pytest.approx([0, 0.599948, 0, 0.899908, 0], abs=5e-7)
    assert found.sum() == pytest.approx(model(x).item(), rel=1e-12)
    half = steps(model, x, composites.lstm_half(0))
    assert half == pytest.approx([0, 0.018748, 0, 0.112489, 0], abs=5e-7)
    assert half.sum() == pytest.approx(0.131237, abs=1e-6)
    for composite in (composites.lstm_prop(0), composites.lstm_abs(0)):
        assert abs(steps(model, x, composite)).max() < 0.02  # nearly all of it ends in the gates' biases


def test_the_adder_by_gradient_times_input_and_occlusion():
    model, x = adder()
    layer, (top,) = model["lstm1"].layer, model["dense1"].layer.weights
    slopes = x * layer.vjp((x,), layer.forward(x), np.broadcast_to(top.T, (1, 1)))[0]
    assert slopes[0, [1, 3]].sum(axis=1) == pytest.approx([0.599843, 0.899725], abs=5e-7)
    dropped = [model(x).item() - model(np.where(np.arange(5)[None, :, None] == t, 0, x)).item() for t in (1, 3)]
    assert dropped == pytest.approx([0.599905, 0.899870], abs=5e-7)


# ---- conservation ----------------------------------------------------------------------------------------------------


def unbiased(seed, hidden=3):
    rng = np.random.default_rng(seed)
    layer = L.LSTM.from_arrays(rng.normal(size=(2, 4 * hidden)), rng.normal(size=(hidden, 4 * hidden)))
    return lrp_ref.Model.sequential([layer, L.Dense(rng.normal(size=(hidden, 1)))]), rng.normal(size=(1, 6, 2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("composite", "near"), [("lstm_all", 1e-12), ("lstm_half", 1e-12), ("lstm_abs", 1e-12), ("lstm_prop", 1e-6)]
)
def test_without_biases_relevance_adds_up_to_the_prediction(composite, near, seed):
    """With ε = 0 and h_0 = c_0 = 0, what gates get reaches the inputs too. LRP-prop meets denominators near 0 on the way."""
    model, x = unbiased(seed)
    e = lrp_ref.explain(model, x, target=0, composite=composites.PRESETS[composite](0), ledger=True)
    # LRP-0 itself multiplies what it rounds wherever a sum cancels: the turnover says by how much.
    turnover = sum(entry.booking.turnover.item() for entry in e.ledger)
    assert abs(e.relevance.sum() - model(x).item()) < near * max(1, turnover * 1e-3)
    assert e.ledger["lstm1"].bias.item() == 0


@given(st.integers(0, 2**32 - 1))
def test_with_biases_they_keep_the_rest(seed):
    """Σ R = f − Σ bias shares; in rationals."""
    rng = np.random.default_rng(seed)
    layer = L.LSTM.from_arrays(numbers(rng, 2, 8), numbers(rng, 2, 8), numbers(rng, 8), **EXACTLY).astype(object)
    x = fractions(numbers(rng, 1, 4, 2))
    f = layer.forward(x)
    for product in (rules.SignalTakesAll(), rules.HalfProduct(), rules.AbsoluteProduct(), rules.ProportionalProduct()):
        (r,), booking = through(product).propagate(layer, (x,), f, f)
        assert r.sum() == f.sum() - booking.bias.sum() - booking.unassigned.sum()


# ---- cells made to be explained (Arras et al. 2019, §11.4) -----------------------------------------------------------


@pytest.mark.parametrize("gates", ["io", "i", ""])
def test_cells_that_only_collect(gates):
    """c is nondecreasing and not negative; by Eq. 11.7–11.18."""
    rng = np.random.default_rng(3)
    hidden = 4
    w, b = rng.normal(size=(3, hidden)), -np.abs(rng.normal(size=(len(gates) + 1) * hidden))
    u = rng.normal(size=(hidden, len(gates) * hidden))
    layer = L.LSTM.friendly(w, u if gates else None, b, gates, scale=3.0, state_scale=2.0, return_sequences=True)
    x = rng.normal(size=(2, 7, 3))
    cell = layer.unroll(x).cell[0]
    assert (np.diff(cell, axis=1) >= 0).all()
    assert (cell >= 0).all()

    def sigma(z):
        return 1 / (1 + np.exp(-z))

    y, c = np.zeros((2, hidden)), np.zeros((2, hidden))
    for t in range(7):
        z = 3 * sigma(x[:, t] @ w + b[len(gates) * hidden :])
        i = sigma(y @ u[:, :hidden] + b[:hidden]) if "i" in gates else 1
        o = sigma(y @ u[:, hidden:] + b[hidden : 2 * hidden]) if "o" in gates else 1
        c = i * z + c
        y = o * 2 * np.tanh(c)
        np.testing.assert_allclose(layer.forward(x)[:, t], y, rtol=1e-13)


def test_without_gates_the_steps_share_in_proportion_to_what_they_added():
    """R_t = z_t / Σ z_t' · R for one cell, biases included in the steps' share: what is trapped in b_z is the step's own."""
    layer = L.LSTM.friendly(np.array([[0.5]]), None, np.array([-1.0]), "", scale=4.0, state_scale=2.0)
    x = np.array([[[1.0], [3.0], [-2.0], [0.5]]])
    y = layer.forward(x)
    (r,), booking = through(rules.SignalTakesAll()).propagate(layer, (x,), y, y)
    added = 4 / (1 + np.exp(-(0.5 * x[0, :, 0] - 1)))
    found = r[0, :, 0] + booking.details["bias"][0]
    np.testing.assert_allclose(found, added / added.sum() * y.item(), rtol=1e-13)


# ---- the equations of Arras et al. 2017, written out -----------------------------------------------------------------


def literal(weights, top, x, target, epsilon):
    """LRP of a bidirectional LSTM and a linear classifier of its last states: one sentence, one number after the other.

    Weighted connections: R_{i←j} = z_i w_ij / (z_j + ε sign(z_j)) · R_j, z_j = Σ_i z_i w_ij + b_j (Arras et al. 2017, Eq. 1,
    with the bias share kept by the bias). Products: the gate gets 0, the signal all (Sect. 3.2).
    """

    def message(z_i, w_ij, z_j, R_j):
        return z_i * w_ij / (z_j + epsilon * (1 if z_j >= 0 else -1)) * R_j

    size, words = len(weights[0][1]), len(x)
    last, traces = [], []
    for d, (w, u, b) in enumerate(weights):
        h, c, trace = np.zeros(size), np.zeros(size), []
        for t in range(words) if d == 0 else reversed(range(words)):
            a = w.T @ x[t] + u.T @ h + b
            i, g, f, o = np.split(a, 4)
            opened, kept = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f))
            new = kept * c + opened * np.tanh(g)
            trace.append((t, h, c, g, opened * np.tanh(g), kept * c, new))
            h, c = 1 / (1 + np.exp(-o)) * np.tanh(new), new
        last.append(h)
        traces.append(trace)
    state = np.concatenate(last)
    score = state @ top
    R_state = [message(state[i], top[i, target], score[target], score[target]) for i in range(2 * size)]
    R_x = np.zeros_like(x)
    for d, (w, u, _) in enumerate(weights):
        R_h, R_c = np.array(R_state[d * size : (d + 1) * size]), np.zeros(size)
        for t, h, _, g, added, kept, c in reversed(traces[d]):
            R_c = R_c + R_h
            R_g = np.array([message(added[k], 1, c[k], R_c[k]) for k in range(size)])
            R_c = np.array([message(kept[k], 1, c[k], R_c[k]) for k in range(size)])
            R_h = np.zeros(size)
            for k in range(size):
                for j in range(len(x[t])):
                    R_x[t, j] += message(x[t, j], w[j, size + k], g[k], R_g[k])
                for j in range(size):
                    R_h[j] += message(h[j], u[j, size + k], g[k], R_g[k])
    return score, R_x


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("seed", range(3))
def test_lstm_all_is_the_lrp_of_arras_et_al_2017(seed, backend):
    """At their ε = 0.001, on a bidirectional LSTM with biases, to 1e-10; gate order of their code; in every backend."""
    rng = np.random.default_rng(seed)
    features, size, classes = 4, 5, 3
    weights = [tuple(rng.normal(size=s) for s in ((features, 4 * size), (size, 4 * size), 4 * size)) for _ in range(2)]
    top = rng.normal(size=(2 * size, classes))
    arrays = [np.stack(pair) for pair in zip(*weights, strict=True)]
    model = lrp_ref.Model.sequential([L.LSTM.from_arrays(*arrays, gate_order="igfo"), L.Dense(top)])
    x = rng.normal(size=(2, 8, features))
    e = lrp_ref.explain(model, x, target=1, composite="lstm_all", backend=backend)
    for n in range(2):
        score, R_x = literal(weights, top, x[n], 1, 0.001)
        np.testing.assert_allclose(e.prediction[n], score, rtol=1e-10)
        np.testing.assert_allclose(e.relevance[n], R_x, rtol=1e-10, atol=1e-10)


# ---- gate orders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ifgo", "igfo", "iofg", "ogif"])
def test_an_lstm_is_the_same_in_every_gate_order(order):
    rng = np.random.default_rng(1)
    blocks = {letter: [rng.normal(size=s) for s in ((3, 2), (2, 2), 2, 2)] for letter in "ifgo"}
    w, u, b = (np.concatenate([blocks[letter][k] for letter in order], axis=-1) for k in range(3))
    p = np.concatenate([blocks[letter][3] for letter in order if letter != "g"])
    layer = L.LSTM.from_arrays(w, u, b, gate_order=order, peepholes=p)
    first = L.LSTM.from_arrays(
        *(np.concatenate([blocks[letter][k] for letter in "ifog"], axis=-1) for k in range(3)),
        gate_order="ifog",
        peepholes=np.concatenate([blocks[letter][3] for letter in "ifo"]),
    )
    x = rng.normal(size=(2, 4, 3))
    assert (layer.forward(x) == first.forward(x)).all()


@pytest.mark.parametrize("after", [False, True])
def test_a_gru_is_the_same_in_every_gate_order_and_its_biases_add_up(after):
    rng = np.random.default_rng(2)
    blocks = {letter: [rng.normal(size=s) for s in ((3, 2), (2, 2), 2, 2)] for letter in "rzn"}

    def made(order):
        arrays = [np.concatenate([blocks[letter][k] for letter in order], axis=-1) for k in range(4)]
        return L.GRU.from_arrays(*arrays, gate_order=order.replace("n", "h"), linear_before_reset=after)

    x = rng.normal(size=(2, 4, 3))
    assert (made("rzn").forward(x) == made("zrn").forward(x)).all()
    # by PyTorch's formula: n = tanh(W x + b + r ⊙ (U h + b')); before the reset: tanh(W x + b + U (r ⊙ h) + b')
    h = np.zeros((2, 2))
    for t in range(4):
        r, z = (1 / (1 + np.exp(-(x[:, t] @ blocks[k][0] + h @ blocks[k][1] + blocks[k][2] + blocks[k][3]))) for k in "rz")
        w, u, b, second = blocks["n"]
        inner = r * (h @ u + second) if after else (r * h) @ u + second
        h = (1 - z) * np.tanh(x[:, t] @ w + b + inner) + z * h
    np.testing.assert_allclose(made("zrn").forward(x), h, rtol=1e-12)


def test_a_second_bias_is_kept_apart_only_where_it_must_be():
    arrays = [np.ones((2, 3)), np.ones((1, 3)), np.ones(3), np.array([1.0, 2.0, 3.0])]
    before = L.GRU.from_arrays(*arrays, linear_before_reset=False)
    after = L.GRU.from_arrays(*arrays, linear_before_reset=True)
    assert before.bias.tolist() == [[2, 3, 4]]
    assert before.bias_recurrent is None
    assert after.bias.tolist() == [[2, 3, 1]]
    assert after.bias_recurrent.tolist() == [[3]]
    assert replace(after, direction="reverse").direction == "reverse"
