"""Where the time of an explanation goes: milliseconds of each step, on the way up and on the way down.

    python benchmarks/steps.py vgg16 --threads 1 --precision fast
    python benchmarks/steps.py squeezenet1_0.onnx --composite epsilon_plus --most 12

What no step spends (checks, the start, sums where the graph branches) is the last line. Times are medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("network", help="vgg16, resnet50, lenet5, digits, digits_bn, or a file")
parser.add_argument("--composite", default="epsilon_gamma_box", help="a preset, or `epsilon` for the ε-rule everywhere")
parser.add_argument("--backend", default=None)
parser.add_argument("--precision", default=None)
parser.add_argument("--memory", default="normal")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--targets", type=int, default=1)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--most", type=int, default=None, help="show the slowest so many steps only, the slowest first")
options = parser.parse_args()
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = str(options.threads)  # before NumPy is loaded
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import networks  # noqa: E402
import numpy as np  # noqa: E402
from timing import machine  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import rules, zoo  # noqa: E402


class Timed:
    """A step that keeps the seconds of its calls."""

    def __init__(self, step: Any, seconds: dict[tuple[str, str], list[float]]) -> None:
        self._step, self._seconds = step, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    def forward(self, *inputs: Any) -> Any:
        return self._run("up", *inputs)

    def relevance(self, *arguments: Any) -> Any:
        return self._run("down", *arguments)

    def _run(self, way: str, *arguments: Any) -> Any:
        begun = time.perf_counter()
        result = (self._step.forward if way == "up" else self._step.relevance)(*arguments)
        self._seconds[self._step.nodes[-1].name, way].append(time.perf_counter() - begun)
        return result


def network() -> tuple[lrp_ref.Model, np.ndarray]:
    """The model, and a batch for it."""
    if options.network in ("vgg16", "resnet50"):
        return getattr(networks, options.network)(size=options.size), networks.smooth_image(options.size, options.batch)
    model = networks.lenet5() if options.network == "lenet5" else None
    if model is None:
        model = zoo.load(options.network) if options.network in zoo.names() else lrp_ref.load(options.network)
    (shape,) = model.input_shape.values()
    domain = next(iter(model.domain.values()), lrp_ref.Domain(-2.0, 2.0))
    random = np.random.default_rng(0).random((options.batch, *shape))
    return model, (domain.low + (domain.high - domain.low) * random).astype(model.dtype)


def main() -> None:
    model, x = network()
    chosen = {"rule": rules.Epsilon()} if options.composite == "epsilon" else {"composite": options.composite}
    explainer = lrp_ref.Explainer(
        model,
        backend=options.backend,
        precision=options.precision,
        memory=options.memory,
        threads=options.threads,
        **chosen,
    )
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    made = explainer.plan(dict.fromkeys(model.inputs, x.shape[1:]))
    # The plan is frozen and kept by its explainer: this is the one place that puts something else into it.
    object.__setattr__(made, "steps", tuple(Timed(step, seconds) for step in made.steps))
    totals = []
    for _ in range(options.rounds + 2):
        begun = time.perf_counter()
        explainer(x, targets=range(options.targets))
        totals.append(time.perf_counter() - begun)
    median = {key: statistics.median(values[2:]) for key, values in seconds.items()}
    total = statistics.median(totals[2:])
    print(f"{machine()}; {made.described}; {options.composite}, {x.shape}, {options.targets} target(s)\n")
    found = [[1e3 * median.get((step.nodes[-1].name, way), 0.0) for way in ("up", "down")] for step in made.steps]
    rows = [(step.nodes, step.label, times) for step, times in zip(made.steps, found, strict=True)]
    rows = sorted(rows, key=lambda row: -sum(row[2]))[: options.most] if options.most else rows
    width = max(len(" + ".join(node.name for node in nodes)) for nodes, _, _ in rows)
    print(f"{'':{width}}  {'up':>8} {'down':>8}   (milliseconds)")
    for nodes, label, (up, down) in rows:
        print(f"{' + '.join(node.name for node in nodes):{width}}  {up:8.3f} {down:8.3f}   {label}")
    ways = [1e3 * sum(value for (_, way), value in median.items() if way == wanted) for wanted in ("up", "down")]
    print(f"{'all steps':{width}}  {ways[0]:8.3f} {ways[1]:8.3f}")
    print(f"{'the whole':{width}}  {1e3 * total:8.3f}, of which {1e3 * total - sum(ways):.3f} in no step")


if __name__ == "__main__":
    main()
