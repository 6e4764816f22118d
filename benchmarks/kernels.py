"""3 × 3 convolutions of the C core: direct, F(2×2), F(4×4); which is fastest for which channels and sides, and how they round.

    python benchmarks/kernels.py --threads 1
    python benchmarks/kernels.py --channels 16 32 --sides 4 6 8 --dtype float64

Times are medians of turns; "GF/s" counts the multiplications and additions of the direct sum, so Winograd may exceed what the
processor can do. rms is the root-mean-square rounding over that of the output, against float64. The plan's choice
(`lrp_ref/kernels/compiled.py`) follows this table.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
parser.add_argument("--products", type=int, default=1, help="weights that meet one input: 2 under rules that change the weight")
parser.add_argument("--channels", type=int, nargs="*", help="default: the layers of VGG-16, and small ones")
parser.add_argument("--sides", type=int, nargs="*")
options = parser.parse_args()
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import numpy as np  # noqa: E402
from timing import alternate, machine  # noqa: E402

from lrp_ref import _ext  # noqa: E402

ALGORITHMS = {"direct": _ext.DIRECT, "F(2×2)": _ext.F2, "F(4×4)": _ext.F4}
VGG16 = [
    (64, 64, 224),
    (64, 128, 112),
    (128, 128, 112),
    (128, 256, 56),
    (256, 256, 56),
    (256, 512, 28),
    (512, 512, 28),
    (512, 512, 14),
]
SMALL = [(c, c, side) for c in (8, 16, 32, 64) for side in (4, 6, 8, 14)]


def shapes() -> list[tuple[int, int, int]]:
    """(channels below, channels above, side of the map)."""
    if options.channels or options.sides:
        return [(c, c, side) for c in options.channels or (64,) for side in options.sides or (28,)]
    return VGG16 + SMALL


def turns(lower: int, upper: int, side: int) -> dict[str, Any]:
    """Each algorithm on the same input and weights."""
    random, dtype = np.random.default_rng(lower + upper + side), np.dtype(options.dtype)
    x = np.maximum(random.standard_normal((1, side, side, lower)), 0).astype(dtype)
    weights = [random.standard_normal((1, upper, lower, 3, 3)).astype(dtype) / lower**0.5 for _ in range(options.products)]

    def turn(algorithm: int) -> Any:
        product = _ext.Convolution(weights, (1, 1), (1, 1), algorithm, options.threads)
        return lambda: product([(x, _ext.COPY, None)], (1, 1), (side, side), None, options.threads)

    made = {name: turn(algorithm) for name, algorithm in ALGORITHMS.items()}
    wide = _ext.Convolution([w.astype(np.float64) for w in weights[:1]], (1, 1), (1, 1), _ext.DIRECT, options.threads)
    (exact,) = wide([(x.astype(np.float64), _ext.COPY, None)], (1, 1), (side, side), None, options.threads)
    return made | {"exact": exact}


def main() -> None:
    print(f"{machine()}, {_ext.instruction_set}, {options.dtype}, {options.threads} thread(s), {options.products} product(s)\n")
    titles = [
        "channels",
        "side",
        *(f"{name} ms (GF/s)" for name in ALGORITHMS),
        "fastest",
        *(f"rms {name}" for name in ALGORITHMS),
    ]
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}", flush=True)
    for lower, upper, side in shapes():
        made = turns(lower, upper, side)
        exact = made.pop("exact")
        found = alternate(made, options.rounds, least=0.02)
        work = 2 * 9 * lower * upper * side**2 * options.products
        times = [f"{1e3 * found[name][1]:.3f} ({work / found[name][1] / 1e9:.0f})" for name in ALGORITHMS]
        rms = [f"{np.sqrt(((run()[0] - exact) ** 2).mean() / (exact**2).mean()):.1e}" for run in made.values()]
        best = min(ALGORITHMS, key=lambda name: found[name][1])
        print(f"| {' | '.join([f'{lower} → {upper}', str(side), *times, best, *rms])} |", flush=True)


if __name__ == "__main__":
    main()
