"""How far each precision mode lies from the float64 reference, per composite and network: rms, L1, and winners that differ.

    python benchmarks/accuracy.py                                          # VGG-16's and ResNet-50's shape, the digits
    python benchmarks/accuracy.py --squeezenet squeezenet1_0.onnx --images 4
    python benchmarks/accuracy.py vgg16 --size 96 --composites epsilon_plus

rms is √(Σd²/ΣR²), L1 is Σ|d|/Σ|R|, max is max|d|/max|R|, over one map at a time; shown is the worst of the images. "flips" are
windows of maximum pooling with a positive maximum whose winning cell is another one than in the reference. "same winners" are
the same numbers with the reference's winners given to both: what rounding alone does. A bound on max would be a lottery: one
flip near the input moves a whole pixel's relevance.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")  # before NumPy is loaded
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import networks  # noqa: E402
import numpy as np  # noqa: E402
from pinned import pinned, winners  # noqa: E402
from timing import machine  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import layers as L  # noqa: E402
from lrp_ref import zoo  # noqa: E402
from lrp_ref.composites import PRESETS  # noqa: E402

#: What each mode must keep in L1, once the winners are the same: float64 an absolute bound, the float32 modes a multiple of
#: what the reference loses in float32 itself, as that depends on the network (ResNet-50's shape: 500 times what VGG-16's does).
EXACT, MULTIPLES = 1e-13, {"float32": 10.0, "fast": 30.0}
MODES = ("float64", "float32", "fast")
Array = np.ndarray


def networks_of(options: argparse.Namespace) -> dict[str, Any]:
    """For each network a function that makes it and its images, (count, …)."""
    size, count = options.size, options.images
    found = {
        "vgg16": lambda: (networks.vgg16(size=size), networks.smooth_image(size, count)),
        "resnet50": lambda: (networks.resnet50(size=size), networks.smooth_image(size, count)),
        "digits": lambda: (zoo.load("digits"), zoo.digits().images),
        "digits_bn": lambda: (zoo.load("digits_bn"), zoo.digits().images),
    }
    if options.squeezenet:
        found["squeezenet"] = lambda: (_squeezenet(options.squeezenet), 60 * networks.smooth_image(227, count))
    return {name: make for name, make in found.items() if not options.networks or name in options.networks}


def _squeezenet(path: str) -> lrp_ref.Model:
    from dataclasses import replace

    model = lrp_ref.load(path)
    return replace(model, domain={model.inputs[0]: lrp_ref.Domain(-124.0, 152.0)})


def values_of(explainer: lrp_ref.Explainer, x: Array) -> tuple[lrp_ref.Model, dict[str, Array]]:
    """The activations that the steps of a plan hand to each other."""
    made = explainer.plan(dict.fromkeys(explainer.model.inputs, x.shape[1:]))
    values = dict.fromkeys(made.model.inputs, x)
    for step in made.steps:
        values[step.nodes[-1].name], _ = step.forward(*(values[name] for name in step.nodes[0].inputs))
    return made.model, values


def flips(reference: dict[str, tuple[Array, Array]], found: dict[str, tuple[Array, Array]]) -> tuple[int, int]:
    """How many winners with a positive maximum differ, and of how many windows."""
    differ = sum(int(((place != found[n][0]) & (value > 0)).sum()) for n, (place, value) in reference.items())
    return differ, sum(place.size for place, _ in reference.values())


def distances(found: Array, exact: Array) -> tuple[float, float, float]:
    """rms, L1 and max."""
    d = found.astype(np.float64) - exact
    rms = np.sqrt((d**2).sum() / (exact**2).sum())
    return float(rms), float(np.abs(d).sum() / np.abs(exact).sum()), float(np.abs(d).max() / np.abs(exact).max())


def worst(rows: list[tuple[float, float, float]]) -> tuple[float, ...]:
    return tuple(max(column) for column in zip(*rows, strict=True))


class Case:
    """One network under one composite: the reference, with its winners, and the same with the winners given."""

    def __init__(self, model: lrp_ref.Model, images: Array, composite: str) -> None:
        self.composite, self.images, self.model = composite, images, model
        exact = self._explainer(model, "float64", "reference")
        self.wide = [exact(x[None].astype(np.float64)) for x in images]
        self.targets = [int(e.target[0]) for e in self.wide]
        self.winners, self.pinned, self.fixed = [], [], []
        for x, target in zip(images, self.targets, strict=True):
            self.winners.append(winners(*values_of(exact, x[None].astype(np.float64))))
            self.pinned.append(pinned(model, self.winners[-1]))
            again = self._explainer(self.pinned[-1], "float64", "reference")
            self.fixed.append(again(x[None].astype(np.float64), target=target).relevance)

    def _explainer(self, model: lrp_ref.Model, precision: str, backend: str) -> lrp_ref.Explainer:
        return lrp_ref.Explainer(model, self.composite, precision=precision, backend=backend, allow_negative=True)

    def row(self, precision: str, backend: str) -> tuple[tuple[float, ...], tuple[float, ...], int, int]:
        """Worst rms, L1, max; the same with the winners given; flips, windows."""
        free, same, flipped, windows = [], [], 0, 0
        dtype = np.float64 if precision == "float64" else np.float32
        explainer = self._explainer(self.model, precision, backend)
        for i, (x, target) in enumerate(zip(self.images, self.targets, strict=True)):
            one = x[None].astype(dtype)
            free.append(distances(explainer(one, target=target).relevance, self.wide[i].relevance))
            of_image = flips(self.winners[i], winners(*values_of(explainer, one)))
            flipped, windows = flipped + of_image[0], windows + of_image[1]
            given = self._explainer(self.pinned[i], precision, backend)
            same.append(distances(given(one, target=target).relevance, self.fixed[i]))
        return worst(free), worst(same), flipped, windows


def _line(network: str, composite: str, mode: str, row: Any, pools: bool, bound: float | None) -> str:
    free, same, flipped, windows = row
    limit = "–" if bound is None else f"{bound:.1e}{'' if same[1] <= bound else ' EXCEEDED'}"
    counted = f"{flipped} of {windows}" if pools else "–"
    numbers = [*(f"{v:.1e}" for v in free), counted, *(f"{v:.1e}" for v in same[:2])]
    return f"| {' | '.join((network, composite, mode, *numbers, limit))} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="vgg16, resnet50, squeezenet, digits, digits_bn; default: all")
    parser.add_argument("--composites", nargs="*", default=["epsilon_plus", "epsilon_gamma_box", "epsilon_alpha2_beta1"])
    parser.add_argument("--every", action="store_true", help="every preset that serves the network")
    parser.add_argument("--modes", nargs="*", default=list(MODES), choices=MODES)
    parser.add_argument("--backend", default=lrp_ref.BACKENDS[-1])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--squeezenet", help="SqueezeNet 1.0 as an ONNX file")
    options = parser.parse_args()
    print(f"{machine()}; backend {options.backend}\n")
    titles = (
        "network",
        "composite",
        "mode",
        "rms",
        "L1",
        "max",
        "flips of windows",
        "rms, same winners",
        "L1, same winners",
        "bound",
    )
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}", flush=True)
    failed = 0
    for name, make in networks_of(options).items():
        model, images = make()
        pools = any(isinstance(node.layer, L.MaxPool) for node in model.nodes)
        for composite in PRESETS if options.every else options.composites:
            begun = time.perf_counter()
            case = Case(model, images, composite)
            _, own, _, _ = row = case.row("float32", "reference")
            print(_line(name, composite, "float32, reference", row, pools, None), flush=True)
            for mode in options.modes:
                row = case.row(mode, options.backend)
                bound = EXACT if mode == "float64" else MULTIPLES[mode] * own[1]
                failed += row[1][1] > bound
                print(_line(name, composite, mode, row, pools, bound), flush=True)
            print(f"{name}, {composite}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
