"""Small piecewise linear networks on rationals, as the tests of the methods draw them."""

from fractions import Fraction

import numpy as np

from lrp_ref import Model, Node
from lrp_ref import layers as L
from lrp_ref.arrays import fractions


def exact(*rows):
    """A batch of rationals."""
    return fractions(np.array([[Fraction(value) for value in row] for row in rows], dtype=object))


def n1():
    """The network N1: two inputs, three ReLUs, one output, with biases."""
    return Model.sequential(
        [L.Dense([[2.0, -1.0, 1.0], [-1.0, 1.0, 1.0]], [1.0, 0.0, -1.0]), L.ReLU(), L.Dense([[1.0], [-2.0], [3.0]], [0.5])]
    ).astype(object)


def halves(random, *shape):
    """Random halves between −2 and 2: rationals that a float holds, with zeros and ties among them."""
    return random.integers(-4, 5, size=shape) / 2


def dense_net(random, bias=True, last=2, kinds=("relu",)):
    """A dense network of two hidden layers of the given kinds of activations, in float64."""

    def activation():
        kind = random.choice(kinds)
        return {
            "relu": L.ReLU(),
            "leaky": L.LeakyReLU(0.25),
            "abs": L.Abs(),
            "clip": L.Clip(-1.0, 2.0),
            "hard": L.HardSigmoid(0.25, 0.5),
        }[kind]

    def dense(lower, upper):
        return L.Dense(halves(random, lower, upper), halves(random, upper) if bias else None)

    return Model.sequential([dense(3, 4), activation(), dense(4, 3), activation(), dense(3, last)])


def conv_net(random, bias=True):
    """A convolution with maximum pooling and a maximum of two branches, in float64; inputs are (N, 1, 5, 5)."""
    weights = [halves(random, 2, 1, 2, 2), halves(random, 2, 2, 1, 1), halves(random, 8, 2)]
    biases = [halves(random, 2) if bias else None for _ in range(3)]
    return Model(
        nodes=[
            Node("conv", L.Conv(weights[0], biases[0]), ("input",)),
            Node("relu", L.ReLU(), ("conv",)),
            Node("pool", L.MaxPool(2), ("relu",)),
            Node("other", L.Conv(weights[1], biases[1]), ("pool",)),
            Node("most", L.Maximum(), ("pool", "other")),
            Node("leaky", L.LeakyReLU(0.25), ("other",)),
            Node("least", L.Minimum(), ("most", "leaky")),
            Node("flat", L.Flatten(), ("least",)),
            Node("top", L.Dense(weights[2], biases[2]), ("flat",)),
        ]
    )
