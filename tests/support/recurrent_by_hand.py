"""Recurrent layers written out: the forward pass as literal loops, and the cell as a graph of elementary nodes.

Neither knows how `lrp_ref.layers.recurrent` computes; both follow the printed equations, gate by gate and step by step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from lrp_ref import Model, Node, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions, is_exact
from lrp_ref.errors import HeadError
from lrp_ref.ledger import Booking

FUNCTIONS = {
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "relu": lambda z: max(z, z * 0),
    "identity": lambda z: z,
    "softsign": lambda z: z / (1 + abs(z)),
    "hard_sigmoid": lambda z: min(1.0, max(0.0, 0.2 * z + 0.5)),
}
NODES = {"sigmoid": L.Sigmoid, "tanh": L.Tanh, "relu": L.ReLU, "identity": L.Identity, "softsign": L.Softsign}


def gate(layer, name, d):
    """W, U, b of one gate of one direction."""
    k, size = layer.gate_names.index(name), layer.hidden
    cut = slice(k * size, (k + 1) * size)
    bias = np.zeros(size, int) if layer.bias is None else layer.bias[d, cut]
    return layer.weight_input[d][:, cut], layer.weight_recurrent[d][:, cut], bias


def peephole(layer, name, d):
    """p of one gate, or None."""
    if layer.peepholes is None:
        return None
    k = "ifo".index(name)
    return layer.peepholes[d, k * layer.hidden : (k + 1) * layer.hidden]


def read(layer, inputs):
    """x, the lengths, and the initial states (N, D, H) of a call."""
    x, named = inputs[0], dict(zip(layer.reads, inputs[1:], strict=True))
    n, d, size = x.shape[0], layer.directions, layer.hidden
    lengths = [int(v) for v in named.get("lengths", np.full(n, x.shape[1]))]
    states = []
    for state in ("hidden", "cell"):
        constant = getattr(layer, f"initial_{state}", None)
        value = np.zeros((n, d, size), int) if constant is None else np.broadcast_to(constant, (n, d, size))
        states.append(named[state].reshape(n, d, size) if state in named else value)
    return x, lengths, *states


def step(layer, d, x, h, c):
    """h and c after one step, one number after the other."""
    size = layer.hidden

    def z(name, k, state=h):
        w, u, b = gate(layer, name, d)
        return sum(x[j] * w[j, k] for j in range(len(x))) + sum(state[j] * u[j, k] for j in range(size)) + b[k]

    if isinstance(layer, L.RNN):
        return [FUNCTIONS[layer.activation](z("h", k)) for k in range(size)], c
    inner = FUNCTIONS[layer.activation]
    sigma = FUNCTIONS[layer.gate_activation]
    if isinstance(layer, L.GRU):
        r, update = ([sigma(z(name, k)) for k in range(size)] for name in "rz")
        w, u, b = gate(layer, "n", d)
        second = np.zeros(size, int) if layer.bias_recurrent is None else layer.bias_recurrent[d]
        n = []
        for k in range(size):
            if layer.linear_before_reset:
                inside = r[k] * (sum(h[j] * u[j, k] for j in range(size)) + second[k])
            else:
                inside = sum(r[j] * h[j] * u[j, k] for j in range(size))
            n.append(inner(sum(x[j] * w[j, k] for j in range(len(x))) + inside + b[k]))
        return [(1 - update[k]) * n[k] + update[k] * h[k] for k in range(size)], c
    new_h, new_c = [], []
    factors = layer.scale, layer.state_scale
    inner_scale, outer_scale = map(Fraction, factors) if is_exact(layer.weight_input) else factors
    outer = FUNCTIONS[layer.state_activation]
    for k in range(size):
        i = f = o = 1
        if "i" in layer.gates:
            i = sigma(z("i", k) + (0 if layer.peepholes is None else peephole(layer, "i", d)[k] * c[k]))
        if "f" in layer.gates:
            f = sigma(z("f", k) + (0 if layer.peepholes is None else peephole(layer, "f", d)[k] * c[k]))
        new_c.append(f * c[k] + i * inner_scale * inner(z("g", k)))
        if "o" in layer.gates:
            o = sigma(z("o", k) + (0 if layer.peepholes is None else peephole(layer, "o", d)[k] * new_c[k]))
        new_h.append(o * outer_scale * outer(new_c[k]))
    return new_h, new_c


def forward(layer, *inputs):
    """The layer's output by loops over samples, directions, steps and units."""
    x, lengths, hidden, cell = read(layer, inputs)
    size, steps = layer.hidden, x.shape[1]
    every = np.zeros((x.shape[0], steps, layer.directions * size), x.dtype)
    last = np.zeros((2, x.shape[0], layer.directions * size), x.dtype)
    for n, length in enumerate(lengths):
        for d in range(layer.directions):
            backwards = layer.direction == "reverse" or d == 1
            h, c = hidden[n, d], cell[n, d]
            for t in reversed(range(length)) if backwards else range(length):
                h, c = step(layer, d, x[n, t], h, c)
                every[n, t, d * size : (d + 1) * size] = h
            last[:, n, d * size : (d + 1) * size] = h, c
    return {"all": every, "last": last[0], "cell": last[1]}[layer.returns]


# ---- products that are weighed by something else than their factors --------------------------------------------------


class Weighed(L.Layer):
    """gate · signal; its other two inputs are what a rule weighs them by."""

    arity = 4

    def shape(self, *inputs):
        return inputs[0]

    def forward(self, *inputs):
        return inputs[0] * inputs[1]


@dataclass(frozen=True)
class ByOthers(rules.Rule):
    """A product rule of the last two inputs."""

    product: rules.ProductRule

    def fits(self, layer):
        return isinstance(layer, Weighed)

    def propagate(self, layer, inputs, output, relevance):
        left, right, absorbed, lost = self.product.divided(L.Multiply(1), inputs[2:], relevance)
        lower = (left, right, relevance * 0, relevance * 0)
        return lower, Booking.handed_on(relevance, lower, stabiliser=absorbed, unassigned=lost)


# ---- the cell as a graph ---------------------------------------------------------------------------------------------


@dataclass
class Graph:
    """A recurrent layer over `steps` steps as nodes of the core; initial states are inputs, one for each direction."""

    layer: L.Layer
    steps: int
    pre: bool = False  # whether products are weighed by pre-activations
    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=lambda: ["x"])

    def add(self, name, kind, *sources):
        self.nodes.append(Node(name, kind, sources))
        return name

    def build(self) -> Model:
        layer, states = self.layer, {}
        sides = []
        for d in range(layer.directions):
            backwards = layer.direction == "reverse" or d == 1
            h, c = f"h{d}", f"c{d}"
            self.inputs += [h, c] if isinstance(layer, L.LSTM) else [h]
            for t in reversed(range(self.steps)) if backwards else range(self.steps):
                p = f"d{d} t{t} "
                x = self.add(p + "x", L.Reshape((layer.features,)), self.add(p + "cut", L.Slice(t, t + 1), "x"))
                h, c = self.step(p, d, x, h, c)
                states[d, t] = h
            sides.append(c if layer.returns == "cell" else h)
        if layer.returns == "all":
            sides = []
            for d in range(layer.directions):
                rows = [self.add(f"d{d} row{t}", L.Reshape((1, layer.hidden)), states[d, t]) for t in range(self.steps)]
                sides.append(self.add(f"d{d} rows", L.Concat(len(rows), 1), *rows))
        self.add("out", L.Concat(len(sides), -1), *sides)
        return Model(tuple(self.nodes), tuple(self.inputs), ("out",))

    def linear(self, name, d, letter, sources, *more):
        """One gate's map of the concatenated sources; `more` holds the weights behind W and U."""
        w, u, b = gate(self.layer, letter, d)
        weights = [w, *([u] if len(sources) - len(more) == 2 else []), *more]
        joined = self.add(name + "joined", L.Concat(len(sources), 1), *sources) if len(sources) > 1 else sources[0]
        return self.add(name + "z", L.Dense(np.concatenate(weights), b), joined)

    def multiply(self, name, factors, before):
        return self.add(name, Weighed(), *factors, *before) if self.pre else self.add(name, L.Multiply(1), *factors)

    def active(self, name, kind, source, scale=1):
        found = self.add(name + "a", NODES[kind](), source)
        return found if scale == 1 else self.add(name + "scaled", L.Scale(np.asarray(scale)), found)

    def step(self, p, d, x, h, c):
        layer = self.layer
        if isinstance(layer, L.RNN):
            return self.active(p, layer.activation, self.linear(p, d, "h", [x, h])), c
        return self.gru(p, d, x, h, c) if isinstance(layer, L.GRU) else self.lstm(p, d, x, h, c)

    def gru(self, p, d, x, h, c):
        layer = self.layer
        ar, az = (self.linear(p + k, d, k, [x, h]) for k in "rz")
        r, z = (self.active(p + k, layer.gate_activation, a) for k, a in (("r", ar), ("z", az)))
        _, u, _ = gate(layer, "n", d)
        if layer.linear_before_reset:
            second = np.zeros(layer.hidden) if layer.bias_recurrent is None else layer.bias_recurrent[d]
            m = self.add(p + "m", L.Dense(u, second), h)
            inside = self.multiply(p + "reset", (r, m), (ar, m))
            a = self.linear(p + "n", d, "n", [x, inside], np.eye(layer.hidden))
        else:
            a = self.linear(p + "n", d, "n", [x, self.multiply(p + "reset", (r, h), (ar, h))], u)
        n = self.active(p + "n", layer.activation, a)
        closed = self.add(p + "1-z", L.Scale(-1.0, 1.0), z)
        kept = self.multiply(p + "kept", (z, h), (az, h))
        added = self.multiply(p + "added", (closed, n), (self.add(p + "-az", L.Scale(-1.0), az), a))
        return self.add(p + "h", L.Add(), kept, added), c

    def lstm(self, p, d, x, h, c):
        layer = self.layer

        def gated(k, seen):
            w = peephole(layer, k, d)
            a = self.linear(p + k, d, k, [x, h]) if w is None else self.linear(p + k, d, k, [x, h, seen], np.diag(w))
            return self.active(p + k, layer.gate_activation, a), a

        before = self.linear(p + "g", d, "g", [x, h])
        added = self.active(p + "g", layer.activation, before, layer.scale)
        kept = c
        if "i" in layer.gates:
            i, ai = gated("i", c)
            added = self.multiply(p + "added", (i, added), (ai, before))
        if "f" in layer.gates:
            f, af = gated("f", c)
            kept = self.multiply(p + "kept", (f, c), (af, c))
        new = self.add(p + "c", L.Add(), kept, added)
        out = self.active(p + "out", layer.state_activation, new, layer.state_scale)
        if "o" in layer.gates:
            o, ao = gated("o", new)
            out = self.multiply(p + "h", (o, out), (ao, new))
        return out, new


def composite(rule):
    """The rule of every elementary node that a rule for recurrent layers means."""
    return composites.Composite(
        (
            (L.Dense, rule.linear),
            (L.Add, rule.accumulation),
            (L.Multiply, rule.product),
            (Weighed, ByOthers(rule.product)),
            ((L.Activation, L.Rearrangement, L.Scale), rules.Pass()),
        )
    )


def explained(layer, rule, inputs, relevance):
    """By the graph, of one sample: its explanation with a ledger, the relevance of x, and that of the initial states."""
    import lrp_ref

    x, lengths, hidden, cell = read(layer, inputs)
    (length,) = lengths
    exact = is_exact(x)
    model = Graph(layer, length, rule.operands == "pre").build()
    model = model.astype(object) if exact else model
    given = {"x": x[:, :length]}
    for d in range(layer.directions):
        for letter, state in (("h", hidden), ("c", cell)):
            if f"{letter}{d}" in model.inputs:
                given[f"{letter}{d}"] = fractions(state[:, d]) if exact else np.asarray(state[:, d], dtype=float)
    start = relevance[:, :length] if layer.returns == "all" else relevance
    choices = {"backend": "reference", "canonize": False, "keep": ("out", *model.inputs), "ledger": True}
    try:
        e = lrp_ref.Explainer(model, composite(rule), **choices)(given, start=start)
    except HeadError:  # a state that is a product of two sigmoids is one of probabilities, and says so
        e = lrp_ref.Explainer(model, composite(rule), head="probability", **choices)(given, start=start)
    below = np.concatenate([e.at("x"), x[:, length:] * 0], axis=1)
    states = {k: [e.at(f"{k}{d}") for d in range(layer.directions)] for k in "hc" if f"{k}0" in model.inputs}
    return e, below, {k: np.concatenate(v, axis=-1) for k, v in states.items()}
