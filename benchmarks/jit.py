"""Where Numba's loops pay: each kind of layer and some networks, backend `numpy` against backend `jit` in turns.

    OPENBLAS_NUM_THREADS=1 taskset -c 0 python benchmarks/jit.py
    OPENBLAS_NUM_THREADS=1 taskset -c 0 python benchmarks/jit.py --only pooling --markdown

One thread each, float32. For a layer its step alone, up and down; for a network a whole explanation. The ratios are those of the
median wall and of the least CPU times: above 1 jit is faster. Where a loop is not, the step is NumPy's
(`lrp_ref/kernels/jit/passes.py` says where and why), and the ratio is the noise. Compiling is not counted: the second line says
what it takes in a fresh process, with and without what the last one kept on disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import networks
import numpy as np
from timing import alternate, machine

import lrp_ref
from lrp_ref import layers as L
from lrp_ref import rules, zoo

Case = tuple[lrp_ref.Model, dict[str, Any], np.ndarray]


def normal(*shape: int) -> np.ndarray:
    random = np.random.default_rng(sum(shape))
    return random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))


def layers() -> dict[str, tuple[L.Layer, tuple[int, ...], rules.Rule, bool]]:
    """The layer, one sample's shape, the rule, and whether a ReLU is behind it."""
    gamma, epsilon, winner = rules.GeneralizedGamma(), rules.Epsilon(), rules.WinnerTakesAll()
    overlapping = L.MaxPool(3, stride=2, padding=1)
    return {
        "max pooling 2×2, 64 at 56²": (L.MaxPool(2), (64, 56, 56), winner, False),
        "max pooling 2×2, 16 at 8²": (L.MaxPool(2), (16, 8, 8), winner, False),
        "max pooling 3×3 stride 2, 64 at 56²": (overlapping, (64, 56, 56), winner, False),
        "max pooling 3×3 stride 1, 64 at 28²": (L.MaxPool(3, stride=1, padding=1), (64, 28, 28), winner, False),
        "max pooling, ties split, 64 at 56²": (overlapping, (64, 56, 56), rules.WinnerTakesAll("split"), False),
        "max pooling, proportional, 64 at 56²": (overlapping, (64, 56, 56), rules.Proportional(), False),
        "max pooling, as ε-average, 64 at 56²": (L.MaxPool(2), (64, 56, 56), rules.AverageSurrogate(epsilon), False),
        "max pooling, global, 512 at 7²": (L.GlobalMaxPool(), (512, 7, 7), winner, False),
        "average pooling 2×2, 64 at 56²": (L.AvgPool(2), (64, 56, 56), epsilon, False),
        "average pooling 3×3 stride 1, 64 at 28²": (L.AvgPool(3, stride=1, padding=1), (64, 28, 28), epsilon, False),
        "average pooling, global, 512 at 7²": (L.GlobalAvgPool(), (512, 7, 7), epsilon, False),
        "conv 3×3, 64 → 64 at 56², ReLU": (L.Conv(normal(64, 64, 3, 3), normal(64), padding=1), (64, 56, 56), gamma, True),
        "conv 3×3, 256 → 256 at 14², ReLU": (L.Conv(normal(256, 256, 3, 3), normal(256), padding=1), (256, 14, 14), gamma, True),
        "conv 3×3, 1 → 8 at 8², ReLU": (L.Conv(normal(8, 1, 3, 3), normal(8), padding=1), (1, 8, 8), gamma, True),
        "conv 3×3, 8 → 16 at 8², ReLU": (L.Conv(normal(16, 8, 3, 3), normal(16), padding=1), (8, 8, 8), gamma, True),
        "conv 3×3, 3 → 64 at 112²": (L.Conv(normal(64, 3, 3, 3), padding=1), (3, 112, 112), epsilon, False),
        "conv 3×3 stride 2, 64 → 128 at 56²": (L.Conv(normal(128, 64, 3, 3), padding=1, stride=2), (64, 56, 56), gamma, False),
        "conv 3×3 dilation 2, 64 → 64 at 28²": (L.Conv(normal(64, 64, 3, 3), padding=2, dilation=2), (64, 28, 28), gamma, False),
        "conv 1×1, 256 → 256 at 14², ReLU": (L.Conv(normal(256, 256, 1, 1), normal(256)), (256, 14, 14), gamma, True),
        "conv 3×3, 32 groups of 4, at 28²": (L.Conv(normal(128, 4, 3, 3), padding=1, groups=32), (128, 28, 28), gamma, True),
        "conv 3×3, 64 groups of 2, at 28²": (L.Conv(normal(128, 2, 3, 3), padding=1, groups=64), (128, 28, 28), gamma, True),
        "conv 3×3 depthwise, 128 at 28²": (L.Conv(normal(128, 1, 3, 3), padding=1, groups=128), (128, 28, 28), gamma, True),
        "conv 5×5 depthwise, 128 at 28²": (L.Conv(normal(128, 1, 5, 5), padding=2, groups=128), (128, 28, 28), gamma, False),
        "conv 3×3 depthwise stride 2, 128 at 56²": (
            *(L.Conv(normal(128, 1, 3, 3), padding=1, stride=2, groups=128), (128, 56, 56), gamma, True),
        ),
        "conv 9 of 64 steps, 16 → 16": (L.Conv(normal(16, 16, 9), padding=4), (16, 64), gamma, True),
        "conv transpose 4×4, 64 → 32 at 28²": (
            L.ConvTranspose(normal(64, 32, 4, 4), stride=2, padding=1),
            (64, 28, 28),
            gamma,
            False,
        ),
        "dense 4096 → 1000": (L.Dense(normal(4096, 1000), normal(1000)), (4096,), epsilon, False),
        "dense 400 → 120, ReLU": (L.Dense(normal(400, 120), normal(120)), (400,), epsilon, True),
        "dense 64 → 10": (L.Dense(normal(64, 10), normal(10)), (64,), epsilon, False),
        "dense 64 → 64, 50 steps": (L.Dense(normal(64, 64), normal(64)), (50, 64), gamma, True),
        "scale, 64 at 56², ReLU": (L.Scale(normal(64, 1, 1), normal(64, 1, 1)), (64, 56, 56), epsilon, True),
        "upsample 2, 64 at 28²": (L.Upsample(2), (64, 28, 28), epsilon, False),
    }


def cases(batches: tuple[int, ...]) -> dict[str, Case]:
    """Layers behind a ReLU, so that their inputs are known to be ≥ 0, in a chain that hands on quotients; then networks."""
    random, found = np.random.default_rng(0), {}
    for n in batches:
        for name, (layer, sample, rule, rectified) in layers().items():
            chain = [L.ReLU(), layer, *([L.ReLU()] if rectified else []), L.Scale(np.float32(1))]
            composite = lrp_ref.Composite((((type(layer)), rule), (L.Scale, rules.Epsilon()), (L.ReLU, rules.Pass())))
            if isinstance(layer, L.Scale):
                chain = chain[:-1]
            x = random.standard_normal((n, *sample), dtype=np.float32)
            found[f"{name}, {n}"] = (lrp_ref.Model.sequential(chain), {"composite": composite, "canonize": False}, x)
        digits = np.resize(zoo.digits().images, (n, 1, 8, 8)).astype(np.float32)
        for name in ("digits", "digits_bn"):
            found[f"network zoo:{name}, {n}"] = (zoo.load(name).astype(np.float32), {}, digits)
        one = random.standard_normal((n, 1, 28, 28), dtype=np.float32)
        found[f"network LeNet-5 shape, {n}"] = (networks.lenet5(), {"composite": "epsilon_plus"}, abs(one))
    image = networks.smooth_image(64)
    for composite in ("epsilon_gamma_box", "epsilon_plus"):
        found[f"network VGG-16 shape at 64², {composite}, 1"] = (networks.vgg16(size=64), {"composite": composite}, image)
    residual = networks.resnet50(size=64, width=32)
    found["network ResNet-50 shape, half width, at 64², 1"] = (residual, {"composite": "epsilon_gamma_box"}, image)
    return found


def turn(case: Case, backend: str) -> tuple[Callable[[], object], str]:
    """What takes a turn, and which steps are in it."""
    model, options, x = case
    explainer = lrp_ref.Explainer(model, backend=backend, **options)
    steps = explainer.plan(dict.fromkeys(model.inputs, x.shape[1:])).steps
    if "canonize" not in options:
        count = sum(step.backend == "jit" for step in steps)
        return lambda: explainer(x, target=0), f"{count} of {len(steps)} steps"
    step, a = steps[1], np.maximum(x, 0)
    message = np.ones((len(x), 1, *step.forward(a)[0].shape[1:]), x.dtype)
    return lambda: step.relevance(step.forward(a)[1], message), step.label


COMPILING = """
import time, numpy as np, lrp_ref
from lrp_ref import zoo
model, x = zoo.load("digits_bn").astype(np.float32), zoo.digits().images.astype(np.float32)
made = [lrp_ref.Explainer(model, backend=name) for name in ("numpy", "jit")]
made[0](x)
begun = time.process_time()
made[1](x)
print(time.process_time() - begun)
"""


def compiling() -> str:
    """CPU seconds of the first explanation in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        run = [sys.executable, "-c", COMPILING]
        took = [
            float(subprocess.run(run, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout) for _ in range(3)
        ]
    return f"first explanation of zoo:digits_bn: {took[0]:.1f} s, compiling; {min(took[1:]):.2f} s with what was kept (CPU)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, nargs="*", default=(1, 32))
    parser.add_argument("--markdown", action="store_true", help="the table of results.md")
    options = parser.parse_args()
    print(machine("numba"))
    print(compiling())
    chosen = {name: case for name, case in cases(tuple(options.batches)).items() if options.only in name}
    width = max(map(len, chosen))
    row = (
        "| {} | {:.3f} | {:.3f} | {:.2f} | {:.2f} | {} |"
        if options.markdown
        else f"{{:{width}}} {{:9.3f}} {{:9.3f}} {{:6.2f}} {{:6.2f}}  {{}}"
    )
    for name, case in chosen.items():
        turns = {backend: turn(case, backend) for backend in ("numpy", "jit")}
        found = alternate({backend: run for backend, (run, _) in turns.items()}, options.rounds, least=0.02)
        own, other = found["jit"], found["numpy"]
        print(row.format(name, 1e3 * other[1], 1e3 * own[1], other[1] / own[1], other[2] / own[2], turns["jit"][1]), flush=True)


if __name__ == "__main__":
    main()
