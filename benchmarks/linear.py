"""Cost grows linearly in images, pixels and targets: times, the line through them, and a plot of each.

    python benchmarks/linear.py --threads 2 --out linear.png

The network is VGG-16's convolutions with a global average behind them, so that no dense layer costs the same at every size.
The figure is how far the times lie from their line, in parts of the largest; with --out they are drawn (matplotlib).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--backend", default=None)
parser.add_argument("--precision", default="fast")
parser.add_argument("--out", type=Path, help="a picture")
options = parser.parse_args()
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = str(options.threads)  # before NumPy is loaded
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import numpy as np  # noqa: E402
from networks import smooth_image, vgg16  # noqa: E402
from timing import alternate, machine  # noqa: E402

import lrp_ref  # noqa: E402
from lrp_ref import layers as L  # noqa: E402

#: What grows, and the sizes; pixels are sides of squares.
SERIES = {"images": (1, 2, 4, 6, 8), "pixels": (64, 96, 128, 160, 192, 224, 288), "targets": (1, 2, 4, 8, 12, 16)}


def network() -> lrp_ref.Model:
    """VGG-16's convolutions; 16 scores behind a global average. Any size of image goes in."""
    layers = [node.layer for node in vgg16(size=32).nodes if not isinstance(node.layer, (L.Dense, L.Flatten))][:-2]
    random = np.random.default_rng(3)
    scores = L.Dense(random.standard_normal((512, 16), dtype=np.float32) / 16)
    return lrp_ref.Model.sequential([*layers, L.GlobalAvgPool(), L.Flatten(), scores], domain=(-2.0, 2.0))


def measured(explainer: lrp_ref.Explainer, series: str) -> tuple[np.ndarray, np.ndarray]:
    """How many images, pixels or targets, and the median seconds of an explanation; all sizes take turns."""
    turns, amounts = {}, []
    for size in SERIES[series]:
        images, side, targets = {"images": (size, 128, 1), "pixels": (1, size, 1), "targets": (1, 128, size)}[series]
        x = smooth_image(side, images)
        turns[str(size)] = lambda x=x, targets=targets: explainer(x, targets=range(targets))
        amounts.append(size**2 if series == "pixels" else size)
    found = alternate(turns, options.rounds, pause=0.02)
    return np.array(amounts, dtype=float), np.array([figures[1] for figures in found.values()])


def line(amounts: np.ndarray, seconds: np.ndarray) -> tuple[float, float, float]:
    """Intercept and slope of the line of least squares, and the largest distance from it over the largest time."""
    slope, intercept = np.polyfit(amounts, seconds, 1)
    apart = np.abs(seconds - intercept - slope * amounts).max() / seconds.max()
    return float(intercept), float(slope), float(apart)


def drawn(found: dict[str, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(12, 3.4), constrained_layout=True)
    for axis, (name, (amounts, seconds)) in zip(axes, found.items(), strict=True):
        intercept, slope, _ = line(amounts, seconds)
        ends = np.array([0.0, amounts.max()])
        axis.plot(ends, 1e3 * (intercept + slope * ends), color="0.6", linewidth=1)
        axis.plot(amounts, 1e3 * seconds, "o", color="black", markersize=5)
        axis.set(xlabel=name, ylabel="milliseconds", xlim=(0, None), ylim=(0, None))
    figure.savefig(path, dpi=100)
    print(f"drawn: {path}")


def main() -> None:
    explainer = lrp_ref.Explainer(
        network(), "epsilon_gamma_box", backend=options.backend, precision=options.precision, threads=options.threads
    )
    print(f"{machine()}; {explainer.plan({'input': (3, 128, 128)}).described}; one image of 128² where nothing else is said")
    found = {}
    for name, sizes in SERIES.items():
        amounts, seconds = found[name] = measured(explainer, name)
        intercept, slope, apart = line(amounts, seconds)
        times = ", ".join(f"{size}: {1e3 * value:.1f}" for size, value in zip(sizes, seconds, strict=True))
        print(f"{name} (milliseconds): {times}")
        print(f"    {1e3 * intercept:.1f} ms + {1e6 * slope:.3g} µs for each of the {name}; at most {apart:.1%} from that line")
    if options.out:
        drawn(found, options.out)


if __name__ == "__main__":
    main()
