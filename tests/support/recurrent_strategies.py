"""Recurrent layers of every kind, with sequences, lengths, initial states and a relevance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from lrp_ref import layers as L
from lrp_ref import rules
from lrp_ref.arrays import fractions

RATIONAL = ("identity", "relu")
KINDS = ("LSTM", "peepholes", "nondecreasing", "Markov", "gateless", "GRU", "GRU after", "RNN")
PRODUCTS = (rules.SignalTakesAll(), rules.HalfProduct(), rules.ProportionalProduct(0.25), rules.AbsoluteProduct(0.125))


@dataclass(frozen=True, eq=False)
class Case:
    """A layer, what it reads, and a relevance of its output's shape."""

    layer: L.Layer
    inputs: tuple
    relevance: np.ndarray

    def astype(self, dtype):
        cast = fractions if dtype is object else lambda a: a.astype(dtype)
        return Case(self.layer.astype(dtype), tuple(cast(a) for a in self.inputs), cast(self.relevance))

    def sample(self, n):
        cut = slice(n, n + 1)
        return replace(self, inputs=tuple(a[cut] for a in self.inputs), relevance=self.relevance[cut])

    @property
    def batch(self):
        return len(self.inputs[0])

    def __repr__(self):
        parameters = {name: value.tolist() for name, value in self.layer.parameters.items()}
        return f"Case({self.layer!r}, {parameters}, {[a.tolist() for a in self.inputs]}, {self.relevance.tolist()})"


def numbers(rng, *shape, size=8):
    """Dyadic numbers of both signs, some of them 0."""
    return rng.integers(-size, size + 1, shape) / 8


def layer_of(kind, rng, features, hidden, activations, **options):
    """A layer of that kind with random weights."""
    gate, inner, outer = activations
    d = () if options["direction"] != "bidirectional" else (2,)

    def arrays(gates):
        biased = rng.random() < 0.8
        w, u, b = (numbers(rng, *d, rows, gates * hidden) for rows in (features, hidden, 1))
        return (w, u, b[..., 0, :] if biased else None)

    if kind == "RNN":
        return L.RNN.from_arrays(*arrays(1), activation=inner, **options)
    if kind.startswith("GRU"):
        second = numbers(rng, *d, 3 * hidden)
        after = kind == "GRU after"
        return L.GRU.from_arrays(*arrays(3), second, linear_before_reset=after, gate_activation=gate, activation=inner, **options)
    order = {"nondecreasing": "iog", "Markov": "ig", "gateless": "g"}.get(kind, "ifgo")
    extra = {"peepholes": numbers(rng, *d, 3 * hidden)} if kind == "peepholes" else {"scale": 2, "state_scale": 0.5}
    extra |= {"gate_activation": gate, "activation": inner, "state_activation": outer}
    return L.LSTM.from_arrays(*arrays(len(order)), gate_order=order, **extra, **options)


def make(seed, kind, rational=True, batch=None, direction=None, returns=None, reads=None, steps=None, hidden=None):
    """A case from a seed; what is not given is drawn."""
    rng = np.random.default_rng(seed)
    lstm = kind not in ("GRU", "GRU after", "RNN")
    choices = RATIONAL if rational else ("sigmoid", "tanh", "softsign")
    activations = [str(rng.choice(choices)) for _ in range(3)]
    if not rational:
        activations = ["sigmoid", *activations[1:]]
    direction = direction or str(rng.choice(["forward", "reverse", "bidirectional"]))
    returns = returns or str(rng.choice(["all", "last", "cell"] if lstm else ["all", "last"]))
    known = ("lengths", "hidden", "cell") if lstm else ("lengths", "hidden")
    reads = tuple(name for name in known if rng.random() < 0.5) if reads is None else reads
    n, t = batch or int(rng.integers(1, 4)), steps or int(rng.integers(1, 5))
    features, hidden = int(rng.integers(1, 4)), hidden or int(rng.integers(1, 4))
    d = 2 if direction == "bidirectional" else 1
    options = {"direction": direction, "reads": reads, "returns": returns}
    for state in ("hidden", "cell") if lstm else ("hidden",):
        if state not in reads and rng.random() < 0.5:
            options[f"initial_{state}"] = numbers(rng, *((2, hidden) if d == 2 else (hidden,)))
    layer = layer_of(kind, rng, features, hidden, activations, **options)
    given = {
        "lengths": rng.integers(1, t + 1, n).astype(float),
        "hidden": numbers(rng, n, d * hidden),
        "cell": numbers(rng, n, d * hidden),
    }
    inputs = (numbers(rng, n, t, features), *(given[name] for name in reads))
    shape = layer.shape(*(a.shape for a in inputs))
    return Case(layer, inputs, numbers(rng, *shape))


def cases(rational=True, kinds=KINDS, **options):
    """Cases of some kinds."""
    return st.builds(lambda seed, kind: make(seed, kind, rational, **options), st.integers(0, 2**32 - 1), st.sampled_from(kinds))


def through_time(exact=True):
    """Rules for recurrent layers."""
    linear = [rules.Epsilon(0.25), rules.Epsilon(0), rules.GeneralizedGamma(0.5), rules.AlphaBeta(2, 1), rules.Flat()]
    linear += [rules.Zero(), rules.AlphaBeta(1, 0, empty="renormalise"), rules.Epsilon(0.125, signed=False)]
    linear += [] if exact else [rules.Epsilon(rules.relative(0.25))]
    return st.builds(
        rules.ThroughTime,
        st.sampled_from(PRODUCTS),
        st.sampled_from(linear),
        st.sampled_from([rules.Epsilon(0.125), rules.Zero(), rules.AlphaBeta(2, 1)]),
        st.sampled_from(["activated", "pre"]),
    )
