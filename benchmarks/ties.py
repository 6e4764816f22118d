"""What it costs that equal windows have equal sums (CONV-MAX-TIES): CPU time of an explanation with the search and without.

    OPENBLAS_NUM_THREADS=1 python benchmarks/ties.py [BACKEND ...]

Networks of the shapes of LeNet-5 (batch 64), of a ResNet and of VGG-16 at half size; pictures of noise, in which nothing repeats,
and with bars of one colour over half of them. One thread, `epsilon_plus`, the best of several runs side by side.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

import lrp_ref
from lrp_ref import Explainer, Model, Node
from lrp_ref import layers as L

rng = np.random.default_rng(0)


def conv(lower: int, upper: int, kernel: int = 3, padding: int | None = None, **options: Any) -> L.Conv:
    weight = rng.normal(size=(upper, lower, kernel, kernel)) * np.sqrt(2 / (lower * kernel**2))
    padding = kernel // 2 if padding is None else padding
    return L.Conv(np.float32(weight), np.zeros(upper, np.float32), padding=padding, **options)


def dense(lower: int, upper: int) -> L.Dense:
    return L.Dense(np.float32(rng.normal(size=(lower, upper)) * np.sqrt(2 / lower)), np.zeros(upper, np.float32))


def lenet() -> tuple[Model, tuple[int, ...]]:
    body = [conv(1, 6, 5), L.ReLU(), L.MaxPool(2), conv(6, 16, 5, 0), L.ReLU(), L.MaxPool(2), L.Flatten()]
    return Model.sequential([*body, dense(400, 120), L.ReLU(), dense(120, 84), L.ReLU(), dense(84, 10)]), (64, 1, 28, 28)


def resnet() -> tuple[Model, tuple[int, ...]]:
    nodes = [Node("c", conv(3, 64, 7, stride=2), "input"), Node("r", L.ReLU(), "c")]
    nodes.append(Node("p", L.MaxPool(3, stride=2, padding=1), "r"))
    below, lower = "p", 64
    for i, (upper, stride) in enumerate(((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1))):
        nodes += [Node(f"a{i}", conv(lower, upper, stride=stride), below), Node(f"ra{i}", L.ReLU(), f"a{i}")]
        nodes += [Node(f"b{i}", conv(upper, upper), f"ra{i}")]
        if stride > 1:
            nodes.append(Node(f"s{i}", conv(lower, upper, 1, stride=stride), below))
        nodes += [Node(f"add{i}", L.Add(), (f"b{i}", f"s{i}" if stride > 1 else below)), Node(f"r{i}", L.ReLU(), f"add{i}")]
        below, lower = f"r{i}", upper
    nodes += [Node("g", L.GlobalAvgPool(), below), Node("f", L.Flatten(), "g"), Node("d", dense(256, 100), "f")]
    return Model(tuple(nodes)), (1, 3, 224, 224)


def vgg() -> tuple[Model, tuple[int, ...]]:
    body: list[Any] = []
    lower = 3
    for count, upper in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            body += [conv(lower, upper), L.ReLU()]
            lower = upper
        body.append(L.MaxPool(2))
    return Model.sequential([*body, L.Flatten(), dense(512 * 9, 100)]), (1, 3, 112, 112)


def picture(shape: tuple[int, ...], bars: bool) -> Any:
    x = np.random.default_rng(1).random(shape)
    if bars:
        x[:, :, : shape[2] // 3] = x[:, :, :, -shape[3] // 4 :] = 1
    return np.float32(x)


@contextmanager
def without() -> Iterator[None]:
    """Nothing is looked for."""
    with (
        mock.patch("lrp_ref.propagate.plan.before_maxima", return_value=frozenset()),
        mock.patch("lrp_ref.layers.conv.settle_windows"),
        mock.patch("lrp_ref.layers.conv.settle_filters"),
    ):
        yield


def timed(explainer: Explainer, x: Any) -> float:
    start = time.process_time()
    explainer(x, target=0)
    return time.process_time() - start


def ratio(model: Model, x: Any, backend: str, precision: str) -> tuple[float, float]:
    """Seconds without the search, and with it."""
    options: Any = {"backend": backend, "precision": precision, "threads": 1}
    with without():
        plain = Explainer(model, "epsilon_plus", **options)
        timed(plain, x)
    tied = Explainer(model, "epsilon_plus", **options)
    timed(tied, x)
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):
        with without():
            found[0].append(timed(plain, x))
        found[1].append(timed(tied, x))
    return min(found[0]), min(found[1])


def main() -> None:
    backends = sys.argv[1:] or lrp_ref.BACKENDS
    for make, backend in itertools.product((lenet, resnet, vgg), backends):
        model, shape = make()
        for precision in ("float32", "fast", "float64") if backend == "compiled" else ("float32",):
            for bars in (False, True):
                off, on = ratio(model, picture(shape, bars), backend, precision)
                kind = "bars" if bars else "noise"
                print(
                    f"{make.__name__:7} {backend:9} {precision:8} {kind:6} {1e3 * off:8.1f} {1e3 * on:8.1f} ms {on / off:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
