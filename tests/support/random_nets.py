"""Random networks of a realistic kind with normal weights: every sort of convolution, branches, gates, batch norms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lrp_ref import Model, Node
from lrp_ref import layers as L
from lrp_ref.arrays import Array

Generator = np.random.Generator


def conv(rng: Generator, lower: int, upper: int, *kernel: int, groups: int = 1, bias: bool = True, **options: Any) -> L.Conv:
    """A convolution with weights of the size that keeps activations near 1."""
    size = (upper, lower // groups, *kernel)
    weight = rng.normal(size=size) * np.sqrt(2 / np.prod(size[1:]))
    return L.Conv(weight, rng.normal(size=upper) * 0.2 if bias else None, groups=groups, **options)


def dense(rng: Generator, lower: int, upper: int, bias: bool = True) -> L.Dense:
    """A dense layer with weights of the size that keeps activations near 1."""
    return L.Dense(rng.normal(size=(lower, upper)) * np.sqrt(2 / lower), rng.normal(size=upper) * 0.2 if bias else None)


def norm(rng: Generator, channels: int) -> L.BatchNorm:
    """A batch norm with statistics as after training."""
    return L.BatchNorm(
        rng.normal(size=channels) * 0.3,
        rng.uniform(0.5, 2, channels),
        rng.uniform(0.5, 1.5, channels),
        rng.normal(size=channels) * 0.2,
    )


Layers = list[L.Layer]


def plain(rng: Generator) -> tuple[Model, tuple[int, ...]]:
    """Convolutions, maximum pooling, dense layers: the shape of VGG."""
    layers: Layers = [
        *(conv(rng, 3, 6, 3, 3, padding=1), L.ReLU(), conv(rng, 6, 8, 3, 3, padding=1), L.ReLU(), L.MaxPool(2)),
        *(conv(rng, 8, 8, 3, 3, padding=1), L.ReLU(), L.MaxPool(3, stride=2, padding=1), L.Flatten()),
        *(dense(rng, 8 * 2 * 3, 16), L.ReLU(), L.Dropout(), dense(rng, 16, 5)),
    ]
    return Model.sequential(layers), (3, 8, 12)


def windows(rng: Generator) -> tuple[Model, tuple[int, ...]]:
    """Groups, depthwise, dilation, stride, one-sided padding, 1 × 1, cells at the end that no window sees, no biases."""
    layers: Layers = [
        *(conv(rng, 4, 8, 3, 2, groups=2, padding=((1, 0), 2), bias=False), L.ReLU()),
        *(conv(rng, 8, 8, 3, 3, groups=8, padding=2, dilation=2), L.ReLU(), conv(rng, 8, 6, 1, 1), L.ReLU()),
        *(conv(rng, 6, 6, 2, 3, stride=(3, 2)), L.ReLU(), conv(rng, 6, 4, 1, 1, stride=2, bias=False), L.ReLU()),
        *(conv(rng, 4, 4, 1, 1, groups=2, padding=1), L.ReLU()),
        *(L.AvgPool(2, stride=1, padding=1, count_include_pad=False), L.Flatten(), dense(rng, 4 * 5 * 7, 4)),
    ]
    return Model.sequential(layers), (4, 11, 12)


def signed(rng: Generator) -> tuple[Model, tuple[int, ...]]:
    """Hidden values of both signs: steps of both backends in turn, relevance in both currencies."""
    layers: Layers = [
        *(conv(rng, 2, 4, 3, padding=1), L.Tanh(), conv(rng, 4, 4, 3), L.ReLU(), conv(rng, 4, 4, 2, stride=2), L.GELU()),
        *(conv(rng, 4, 6, 2), L.LeakyReLU(0.1), L.SumPool(2, ceil_mode=True), L.Upsample(2), conv(rng, 6, 3, 1), L.ReLU()),
        *(L.Transpose((0, 2, 1)), L.Flatten(), dense(rng, 3 * 4, 6), L.Softplus(), dense(rng, 6, 3)),
    ]
    return Model.sequential(layers), (2, 13)


def volumes(rng: Generator) -> tuple[Model, tuple[int, ...]]:
    """Three dimensions, a transposed convolution, global pooling."""
    layers: Layers = [
        *(conv(rng, 1, 4, 2, 3, 2, padding=1, stride=(1, 2, 1)), L.ReLU(), L.MaxPool((2, 1, 2), stride=1)),
        *(L.ConvTranspose(rng.normal(size=(4, 3, 2, 2, 2)), rng.normal(size=3), stride=(1, 2, 1)), L.ReLU(), L.Pad(1)),
        *(conv(rng, 3, 5, 2, 2, 2), L.ReLU(), L.GlobalAvgPool(), L.Flatten(), dense(rng, 5, 3)),
    ]
    return Model.sequential(layers), (1, 4, 5, 4)


def residual(rng: Generator) -> tuple[Model, tuple[int, ...]]:
    """Batch norms before and after, skip connections, a shared convolution, a gate, a concatenation."""
    again = conv(rng, 4, 4, 3, 3, padding=1)
    nodes = (
        Node("norm0", norm(rng, 3), ("input",)),
        Node("stem", conv(rng, 3, 4, 3, 3, padding=1), ("norm0",)),
        Node("norm1", norm(rng, 4), ("stem",)),
        Node("relu1", L.ReLU(), ("norm1",)),
        Node("first", again, ("relu1",)),
        Node("relu2", L.ReLU(), ("first",)),
        Node("second", again, ("relu2",)),
        Node("norm2", norm(rng, 4), ("second",)),
        Node("add", L.Add(3), ("norm2", "relu1", "relu2")),
        Node("relu3", L.ReLU(), ("add",)),
        Node("squeeze", L.GlobalAvgPool(), ("relu3",)),
        Node("mix", conv(rng, 4, 4, 1, 1), ("squeeze",)),
        Node("gate", L.Sigmoid(), ("mix",)),
        Node("gated", L.Multiply(1), ("gate", "relu3")),
        Node("concat", L.Concat(3), ("gated", "relu1", "second")),
        Node("norm3", norm(rng, 12), ("concat",)),
        Node("relu4", L.ReLU(), ("norm3",)),
        Node("pool", L.AvgPool(2), ("relu4",)),
        Node("flat", L.Flatten(), ("pool",)),
        Node("scores", dense(rng, 12 * 3 * 2, 4), ("flat",)),
    )
    return Model(nodes), (3, 6, 5)


def tokens(rng: Generator) -> tuple[Model, tuple[int, ...]]:
    """Dense layers on (N, T, F)."""
    layers: Layers = [
        *(dense(rng, 5, 7), L.ReLU(), dense(rng, 7, 7, bias=False), L.ReLU(), L.Mean(1)),
        *(L.Scale(rng.normal(size=7)), L.ReLU(), dense(rng, 7, 3)),
    ]
    return Model.sequential(layers), (4, 5)


NETS: Mapping[str, Callable[[Generator], tuple[Model, tuple[int, ...]]]] = {
    made.__name__: made for made in (plain, windows, signed, volumes, residual, tokens)
}


def network(kind: str, seed: int = 0, batch: int = 2, dtype: Any = np.float64) -> tuple[Model, Array]:
    """A network of this kind, and inputs within [−1, 1]; the domain is known."""
    rng = np.random.default_rng(seed)
    model, sample = NETS[kind](rng)
    model = Model(model.nodes, model.inputs, model.outputs, {"input": (-1.0, 1.0)}, {"input": sample}).astype(dtype)
    return model, rng.uniform(-1, 1, size=(batch, *sample)).astype(dtype)
