"""A network that every kernel has a part in: direct and filtered convolutions, groups, scatter, pools, branches, dense layers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from lrp_ref import Model, Node
from lrp_ref import layers as L
from lrp_ref.arrays import Array
from support.random_nets import conv, dense

SAMPLE = (3, 19, 34)


@cache
def wide() -> Model:
    """Maps of 19×34, 9×17 and 5×9 cells with 16 to 33 channels; the domain is known."""
    rng = np.random.default_rng(4)
    nodes = (
        Node("stem", conv(rng, 3, 17, 3, 3, padding=1), ("input",)),
        Node("relu1", L.ReLU(), ("stem",)),
        Node("filtered", conv(rng, 17, 16, 3, 3, padding=1), ("relu1",)),
        Node("relu2", L.ReLU(), ("filtered",)),
        Node("pool1", L.MaxPool(2), ("relu2",)),
        Node("left", conv(rng, 16, 33, 3, 3, padding=1), ("pool1",)),
        Node("relu3", L.ReLU(), ("left",)),
        Node("depthwise", conv(rng, 33, 33, 3, 3, padding=1, groups=33, bias=False), ("relu3",)),
        Node("right", conv(rng, 16, 33, 1, 1), ("pool1",)),
        Node("sum", L.Add(), ("depthwise", "right")),
        Node("relu4", L.ReLU(), ("sum",)),
        Node("signed", conv(rng, 33, 16, 3, 3, padding=1), ("sum",)),
        Node("tanh", L.Tanh(), ("signed",)),
        Node("both", L.Concat(), ("relu4", "tanh")),
        Node("pool2", L.AvgPool(3, stride=2, padding=1), ("both",)),
        Node("strided", conv(rng, 49, 12, 3, 3, stride=2), ("pool2",)),
        Node("relu5", L.ReLU(), ("strided",)),
        Node("up", L.ConvTranspose(rng.normal(size=(12, 5, 2, 2)) / 3, rng.normal(size=5), stride=2), ("relu5",)),
        Node("relu6", L.ReLU(), ("up",)),
        Node("flat", L.Flatten(), ("relu6",)),
        Node("dense", dense(rng, 5 * 4 * 8, 37), ("flat",)),
        Node("relu7", L.ReLU(), ("dense",)),
        Node("scores", dense(rng, 37, 5), ("relu7",)),
    )
    return Model(nodes, domain={"input": (-1.0, 1.0)}, input_shape={"input": SAMPLE})


def pictures(batch: int, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(9).uniform(-1, 1, (batch, *SAMPLE)).astype(np.float32).astype(dtype)
