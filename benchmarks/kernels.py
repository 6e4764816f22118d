"""3 × 3 convolutions of the C core: direct, F(2×2), F(4×4); which is fastest for which channels and sides, and how they round.

    python benchmarks/kernels.py --threads 1
    python benchmarks/kernels.py --channels 16 32 --sides 4 6 8 --dtype float64

Times are medians of turns; "GF/s" counts the multiplications and additions of the direct sum, so Winograd may exceed what the
processor can do. rms is the root-mean-square rounding over that of the output, against float64. The plan's choice
(`lrp_ref/kernels/compiled/linear.py`) follows this table. Where PyTorch is installed its convolution takes turns too, and the
sums over the twelve layers of VGG-16 are compared. Last, the microkernel alone: pixels × channels below × channels above.
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

from lrp_ref.kernels.compiled import _core  # noqa: E402

ALGORITHMS = {"direct": _core.DIRECT, "F(2×2)": _core.F2, "F(4×4)": _core.F4}
#: (channels below, channels above, side), and how many layers of VGG-16 are so.
VGG16 = {
    (64, 64, 224): 1,
    (64, 128, 112): 1,
    (128, 128, 112): 1,
    (128, 256, 56): 1,
    (256, 256, 56): 2,
    (256, 512, 28): 1,
    (512, 512, 28): 2,
    (512, 512, 14): 3,
}
PRODUCTS = [(196, 512, 512), (49, 512, 512), (16, 512, 512), (196, 1024, 256), (784, 64, 256)]
SMALL = [(c, c, side) for c in (8, 16, 32, 64) for side in (4, 6, 8, 14)]


def shapes() -> list[tuple[int, int, int]]:
    """(channels below, channels above, side of the map)."""
    if options.channels or options.sides:
        return [(c, c, side) for c in options.channels or (64,) for side in options.sides or (28,)]
    return [*VGG16, *SMALL]


def pytorch(x: np.ndarray, weight: np.ndarray) -> Any:
    """PyTorch's convolution of the same input, in the layout that it likes; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(options.threads)
    image, kernel = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))), torch.from_numpy(weight)

    def run() -> Any:
        with torch.inference_mode():
            return torch.nn.functional.conv2d(image, kernel, padding=1)

    return run


def turns(lower: int, upper: int, side: int) -> dict[str, Any]:
    """Each algorithm on the same input and weights."""
    random, dtype = np.random.default_rng(lower + upper + side), np.dtype(options.dtype)
    x = np.maximum(random.standard_normal((1, side, side, lower)), 0).astype(dtype)
    weights = [random.standard_normal((1, upper, lower, 3, 3)).astype(dtype) / lower**0.5 for _ in range(options.products)]

    def turn(algorithm: int) -> Any:
        product = _core.Convolution(weights, (1, 1), (1, 1), algorithm, options.threads)
        return lambda: product([(x, _core.COPY, None)], (1, 1), (side, side), None, options.threads)

    made = {name: turn(algorithm) for name, algorithm in ALGORITHMS.items()}
    wide = _core.Convolution([w.astype(np.float64) for w in weights[:1]], (1, 1), (1, 1), _core.DIRECT, options.threads)
    (exact,) = wide([(x.astype(np.float64), _core.COPY, None)], (1, 1), (side, side), None, options.threads)
    theirs = pytorch(x, weights[0][0])
    return made | ({} if theirs is None else {"PyTorch": theirs}) | {"exact": exact}


def product(pixels: int, lower: int, upper: int) -> Any:
    """A product of matrices, as a convolution with a kernel of one cell."""
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(shape).astype(options.dtype) for shape in ((1, pixels, lower), (1, upper, lower, 1)))
    made = _core.Convolution([w], (1,), (1,), _core.DIRECT, options.threads)
    return lambda: made([(x, _core.COPY, None)], (0,), (pixels,), None, options.threads)


def microkernel() -> None:
    """Products of matrices alone."""
    print(f"\n| pixels | channels | GF/s |\n|{' --- |' * 3}")
    for pixels, lower, upper in PRODUCTS:
        _, median, _ = alternate({"": product(pixels, lower, upper)}, options.rounds, least=0.02)[""]
        print(f"| {pixels} | {lower} → {upper} | {2 * pixels * lower * upper / median / 1e9:.0f} |", flush=True)


def main() -> None:
    print(f"{machine('torch')}, {_core.instruction_set}, {options.dtype}")
    print(f"{options.threads} thread(s), {options.products} product(s)\n")
    titles = [
        "channels",
        "side",
        *(f"{name} ms (GF/s)" for name in (*ALGORITHMS, "PyTorch")),
        "fastest",
        *(f"rms {name}" for name in ALGORITHMS),
    ]
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}", flush=True)
    sums: dict[str, float] = {}
    for lower, upper, side in shapes():
        made = turns(lower, upper, side)
        exact = made.pop("exact")
        found = alternate(made, options.rounds, least=0.02)
        for name, (_, median, _) in found.items():
            sums[name] = sums.get(name, 0) + VGG16.get((lower, upper, side), 0) * median
        work = 2 * 9 * lower * upper * side**2
        each = {name: work * (1 if name == "PyTorch" else options.products) for name in found}
        times = [
            f"{1e3 * found[n][1]:.3f} ({each[n] / found[n][1] / 1e9:.0f})" if n in found else "–"
            for n in (*ALGORITHMS, "PyTorch")
        ]
        rms = [f"{np.sqrt(((made[name]()[0] - exact) ** 2).mean() / (exact**2).mean()):.1e}" for name in ALGORITHMS]
        best = min(ALGORITHMS, key=lambda name: found[name][1])
        print(f"| {' | '.join([f'{lower} → {upper}', str(side), *times, best, *rms])} |", flush=True)
    if not (options.channels or options.sides):
        yardstick = sums.get("PyTorch", float("nan"))
        print("\nVGG-16: " + ", ".join(f"{name} {1e3 * t:.1f} ms = {t / yardstick:.2f} × PyTorch" for name, t in sums.items()))
        microkernel()


if __name__ == "__main__":
    main()
