"""A bidirectional LSTM, explained: against the per-step NumPy code that the field uses.

The yardstick is written from the equations of Arras et al. 2017: one ε-rule call for each linear map and sum at every step of one
sentence, the sums being linear maps with an identity matrix. Hidden 60, input 60, five classes, LRP-all with ε = 0.001.

    python benchmarks/recurrent.py [--backend compiled] [--dtype float32]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from timing import Others, alternate, machine

import lrp_ref
from lrp_ref import layers as L

HIDDEN, FEATURES, CLASSES, EPSILON = 60, 60, 5, 0.001


def epsilon_rule(a: Any, w: Any, b: Any, z: Any, relevance: Any) -> Any:  # noqa: ARG001 - the field's signature
    """R_j = Σ_k a_j w_jk R_k / (z_k + ε s(z_k)): the messages as a matrix, and its sum."""
    sign = np.where(z[None, :] >= 0, 1.0, -1.0)
    return (w * a[:, None] / (z[None, :] + EPSILON * sign * 1.0) * relevance[None, :]).sum(axis=1)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


class Sentence:
    """One sentence at a time, one step at a time, one direction after the other; gates i, g, f, o."""

    def __init__(self, directions: list[tuple[Any, Any, Any]], top: Any) -> None:
        self.directions, self.top = directions, top

    def explain(self, x: Any, target: int) -> Any:
        steps, size = len(x), HIDDEN
        passes = [self.forward(x if d == 0 else x[::-1], *weights) for d, weights in enumerate(self.directions)]
        scores = sum(p[3][steps - 1] @ self.top[d * size : (d + 1) * size] for d, p in enumerate(passes))
        last = np.zeros(CLASSES)
        last[target] = scores[target]
        lower = np.zeros((2, steps, x.shape[1]))
        for d, (weights, found) in enumerate(zip(self.directions, passes, strict=True)):
            rows = self.top[d * size : (d + 1) * size]
            arriving = epsilon_rule(found[3][steps - 1], rows, np.zeros(CLASSES), scores, last)
            back = self.back(x if d == 0 else x[::-1], *weights, found, arriving)
            lower[d] = back if d == 0 else back[::-1]
        return scores, lower.sum(axis=0)

    def forward(self, x: Any, w: Any, u: Any, b: Any) -> Any:
        steps, size = len(x), HIDDEN
        pre, act = np.zeros((steps, 4 * size)), np.zeros((steps, 4 * size))
        c, h = np.zeros((steps + 1, size)), np.zeros((steps + 1, size))
        sigmoids = np.hstack([np.arange(size), np.arange(2 * size, 4 * size)])
        for t in range(steps):
            pre[t] = np.dot(x[t], w) + np.dot(h[t - 1], u) + b
            act[t, sigmoids] = sigmoid(pre[t, sigmoids])
            act[t, size : 2 * size] = np.tanh(pre[t, size : 2 * size])
            c[t] = act[t, 2 * size : 3 * size] * c[t - 1] + act[t, :size] * act[t, size : 2 * size]
            h[t] = act[t, 3 * size :] * np.tanh(c[t])
        return pre, act, c, h

    def back(self, x: Any, w: Any, u: Any, b: Any, found: Any, arriving: Any) -> Any:
        pre, act, c, h = found
        steps, size = len(x), HIDDEN
        rx, rh, rc = np.zeros(x.shape), np.zeros((steps + 1, size)), np.zeros((steps + 1, size))
        rh[steps - 1] = arriving
        g, none, one = slice(size, 2 * size), np.zeros(size), np.eye(size)
        for t in reversed(range(steps)):
            rc[t] += rh[t]
            rc[t - 1] = epsilon_rule(act[t, 2 * size : 3 * size] * c[t - 1], one, none, c[t], rc[t])
            rg = epsilon_rule(act[t, :size] * act[t, g], one, none, c[t], rc[t])
            rx[t] = epsilon_rule(x[t], w[:, g], b[g], pre[t, g], rg)
            rh[t - 1] = epsilon_rule(h[t - 1], u[:, g], b[g], pre[t, g], rg)
        return rx


def made(dtype: Any) -> tuple[lrp_ref.Model, Sentence]:
    """The same network twice."""
    random = np.random.default_rng(0)
    scale = HIDDEN**-0.5
    directions = [
        tuple(random.uniform(-scale, scale, shape) for shape in ((FEATURES, 4 * HIDDEN), (HIDDEN, 4 * HIDDEN), (4 * HIDDEN,)))
        for _ in range(2)
    ]
    top = random.uniform(-scale, scale, (2 * HIDDEN, CLASSES))
    arrays = [np.stack(pair) for pair in zip(*directions, strict=True)]
    model = lrp_ref.Model.sequential([L.LSTM.from_arrays(*arrays, gate_order="igfo"), L.Dense(top)]).astype(dtype)
    return model, Sentence(directions, top)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default=None)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    model, yardstick = made(np.dtype(chosen.dtype))
    explainer = lrp_ref.Explainer(model, "lstm_all", backend=chosen.backend)
    others, begun = Others(), time.perf_counter()
    print(machine())
    for steps, batch in ((20, 1), (200, 1), (200, 64)):
        x = np.random.default_rng(1).normal(size=(batch, steps, FEATURES))
        narrow = x.astype(model.dtype)
        scores, lower = yardstick.explain(x[0], 2)
        e = explainer(narrow, target=2)
        np.testing.assert_allclose(e.prediction[0], scores, rtol=1e-4)
        np.testing.assert_allclose(e.relevance[0], lower, rtol=1e-3, atol=1e-5 * abs(lower).max())
        found = alternate(
            {
                "one sentence, step by step": lambda x=x: yardstick.explain(x[0], 2),
                "lrp_ref, the batch": lambda x=narrow: explainer(x, target=2),
                "lrp_ref, its prediction": lambda x=narrow: model(x),
            },
            rounds=chosen.rounds,
            least=0.05,
        )
        one, ours = found["one sentence, step by step"], found["lrp_ref, the batch"]
        print(f"T = {steps}, batch {batch}, {model.dtype}, backend {e.backend}")
        for name, figures in found.items():
            print(f"  {name:28} {1e3 * figures[0]:9.3f} ms   {1e3 * figures[2]:9.3f} ms CPU")
        print(f"  per sentence: {one[0] * batch / ours[0]:.1f} times faster, {one[2] * batch / ours[2]:.1f} in CPU time")
    print(others.said(time.perf_counter() - begun))


if __name__ == "__main__":
    main()
