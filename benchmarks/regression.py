"""Did a change make anything slower? Small cases, two minutes, run before and after it.

    python benchmarks/regression.py save before.json       # before the change
    python benchmarks/regression.py compare before.json    # after it
    python benchmarks/regression.py against ../other       # two checkouts in turns: the fairest, as machines drift

Each figure is the least time of one call over several short turns, by the clock and of the processors. A case is marked where
both ratios are above 1 + --tolerance (other processes disturb the first one more), and then the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
Figures = dict[str, list[float]]  # for each case the least seconds: wall, CPU


@dataclass(frozen=True)
class Case:
    """One explanation: what the explainer is made with, and what it is called with."""

    model: Any
    choices: dict[str, Any]
    x: Any
    call: dict[str, Any] = field(default_factory=dict)


def cases() -> dict[str, Case]:
    """Networks first, then layers by themselves."""
    import networks
    import numpy as np

    from lrp_ref import rules, zoo

    vgg, image = networks.vgg16(size=64), networks.smooth_image(64)
    residual, lenet = networks.resnet50(size=64, width=32), networks.lenet5()
    box, epsilon = {"composite": "epsilon_gamma_box"}, {"rule": rules.Epsilon()}
    one = np.random.default_rng(0).standard_normal((1, 1, 28, 28)).astype(np.float32)
    digits = np.resize(zoo.digits().images, (1000, 1, 8, 8))
    return {
        "VGG-16 shape at 64², γ and box, fast": Case(vgg, box | {"precision": "fast"}, image),
        "VGG-16 shape at 64², γ and box, float32": Case(vgg, box, image),
        "VGG-16 shape at 64², γ and box, low memory": Case(vgg, box | {"memory": "low"}, image),
        "VGG-16 shape at 64², γ and box, float64": Case(vgg, box | {"precision": "float64"}, image),
        "VGG-16 shape at 64², α1β0": Case(vgg, {"composite": "epsilon_plus"}, image),
        "VGG-16 shape at 64², five targets": Case(vgg, box, image, {"targets": range(5)}),
        "ResNet-50 shape, half width, at 64²": Case(residual, box, image),
        "ResNet-50 shape, half width, at 64², ledger": Case(residual, box | {"ledger": True}, image),
        "LeNet-5 shape": Case(lenet, epsilon, one),
        "LeNet-5 shape, 64 images": Case(lenet, epsilon, np.repeat(one, 64, axis=0)),
        "1000 digits": Case(zoo.load("digits_bn"), {}, digits),
        **_layers(),
    }


def _layers() -> dict[str, Case]:
    """Layers behind a ReLU, so that their input is known to be ≥ 0. A map has no classes: its relevance starts with ones."""
    import numpy as np

    import lrp_ref
    from lrp_ref import layers as L
    from lrp_ref import rules

    random = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))

    gamma = {"rule": rules.GeneralizedGamma()}
    made = {
        "conv 3×3, 128 → 128 at 28²": (L.Conv(normal(128, 128, 3, 3), padding=1), (128, 28, 28)),
        "conv 1×1, 256 → 256 at 28²": (L.Conv(normal(256, 256, 1, 1)), (256, 28, 28)),
        "conv 3×3 stride 2, 64 → 128 at 56²": (L.Conv(normal(128, 64, 3, 3), padding=1, stride=2), (64, 56, 56)),
        "conv 5×5 depthwise, 128 at 28²": (L.Conv(normal(128, 1, 5, 5), padding=2, groups=128), (128, 28, 28)),
        "conv transpose 4×4, 64 → 32 at 28²": (L.ConvTranspose(normal(64, 32, 4, 4), stride=2, padding=1), (64, 28, 28)),
        "dense 4096 → 1000": (L.Dense(normal(4096, 1000)), (4096,)),
        "max pooling 3×3 stride 2 at 56²": (L.MaxPool(3, stride=2, padding=1), (64, 56, 56)),
        "average pooling 2×2 at 56²": (L.AvgPool(2), (64, 56, 56)),
    }
    found = {}
    for name, (layer, shape) in made.items():
        x = random.standard_normal((1, *shape), dtype=np.float32)
        model = lrp_ref.Model.sequential([L.ReLU(), layer])
        found[name] = Case(model, gamma, x, {"start": np.ones_like(model(x))})
    return found


def here(threads: int | None, backend: str | None, turns: int) -> Figures:
    """The least seconds of each case, in this process."""
    from timing import alternate

    import lrp_ref

    found = {}
    for name, case in cases().items():
        explainer = lrp_ref.Explainer(case.model, backend=backend, threads=threads, **case.choices)
        turn = {name: lambda e=explainer, case=case: e(case.x, **case.call)}
        wall, _, used = alternate(turn, turns, least=0.05)[name]
        found[name] = [wall, used]
    return found


def child(root: Path, options: argparse.Namespace) -> Figures:
    """The same in a process of its own, with the package of another checkout."""
    environment = os.environ | {"PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": str(options.threads or 2)}
    script = [sys.executable, __file__, "here", "--turns", str(options.turns)]
    script += ["--threads", str(options.threads)] if options.threads else []
    script += ["--backend", options.backend] if options.backend else []
    done = subprocess.run(script, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def least(many: list[Figures]) -> Figures:
    """Of several runs."""
    return {name: [min(column) for column in zip(*(figures[name] for figures in many), strict=True)] for name in many[0]}


def compared(before: Figures, after: Figures, tolerance: float) -> int:
    """Print both, and the ratio; how many cases became slower."""
    names = [name for name in after if name in before]
    width, slower = max(map(len, names)), 0
    print(f"{'':{width}}  {'before':>9} {'after':>9}   wall    CPU   (milliseconds, ratios)")
    for name in names:
        wall, used = (new / old for new, old in zip(after[name], before[name], strict=True))
        mark = "SLOWER" if min(wall, used) > 1 + tolerance else "faster" if max(wall, used) < 1 / (1 + tolerance) else ""
        slower += mark == "SLOWER"
        times = f"{1e3 * before[name][0]:9.2f} {1e3 * after[name][0]:9.2f}"
        print(f"{name:{width}}  {times}  {wall:5.2f}  {used:5.2f}   {mark}".rstrip())
    return slower


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("save", "compare", "against", "here"))
    parser.add_argument("path", nargs="?", type=Path, help="a file of figures, or another checkout")
    parser.add_argument("--runs", type=int, default=3, help="processes for each side")
    parser.add_argument("--turns", type=int, default=5, help="turns of each case in a process")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--backend")
    parser.add_argument("--tolerance", type=float, default=0.1)
    options = parser.parse_args()
    if options.what == "here":
        sys.path.append(str(HERE))  # behind the package of PYTHONPATH
        print(json.dumps(here(options.threads, options.backend, options.turns)))
        return 0
    if options.path is None:
        parser.error(f"{options.what} needs a path")
    if options.what == "against":
        pairs = [(child(options.path, options), child(HERE.parent, options)) for _ in range(options.runs)]
        return 1 if compared(least([b for b, _ in pairs]), least([a for _, a in pairs]), options.tolerance) else 0
    figures = least([child(HERE.parent, options) for _ in range(options.runs)])
    if options.what == "save":
        options.path.write_text(json.dumps(figures, indent=1, ensure_ascii=False))
        print(f"{len(figures)} figures in {options.path}")
        return 0
    return 1 if compared(json.loads(options.path.read_text()), figures, options.tolerance) else 0


if __name__ == "__main__":
    raise SystemExit(main())
