"""Predictions and gradients: the backends' steps against the definition, in CPU time on one thread.

OPENBLAS_NUM_THREADS=1 python benchmarks/forward.py [--size 128] [--rounds 6]

f: `lrp_ref.Predictor`. ∇f: an explainer of the composite "gradient".
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded

import numpy as np
from networks import lenet5, resnet50, smooth_image, vgg16
from timing import machine

import lrp_ref


def least(run: Callable[[], Any], rounds: int) -> float:
    """Milliseconds of CPU time, the least of some rounds behind a first one."""
    run()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return 1e3 * min(found)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--size", type=int, default=128)
parser.add_argument("--rounds", type=int, default=6)
options = parser.parse_args()
size, digits = options.size, np.random.default_rng(1).standard_normal((64, 1, 28, 28)).astype(np.float32)
networks = {
    f"VGG-16 shape, {size}²": (vgg16(size=size), smooth_image(size)),
    f"ResNet-50 shape, {size}²": (resnet50(size=size), smooth_image(size)),
    "LeNet-5 shape, batch 64": (lenet5(), digits),
}
print(machine())
print("| network, float32 | " + " | ".join(f"{what}, {name}" for name in lrp_ref.BACKENDS for what in ("f", "∇f")) + " |")
print("| --- " * (1 + 2 * len(lrp_ref.BACKENDS)) + "|")
for title, (model, x) in networks.items():
    cells = []
    for backend in lrp_ref.BACKENDS:
        predictor = lrp_ref.Predictor(model, backend, threads=1)
        gradient = lrp_ref.Explainer(model, "gradient", head="unit", backend=backend, threads=1)
        cells += [f"{least(run, options.rounds):.1f} ms" for run in (partial(predictor, x), partial(gradient, x, 0))]
    print(f"| {title} | " + " | ".join(cells) + " |", flush=True)
