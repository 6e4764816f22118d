"""The gradient beside PyTorch's forward and backward pass, and integrated gradients beside Captum's: time side by side.

    python benchmarks/gradients.py
    python benchmarks/gradients.py --rounds 9 --threads 2

VGG-16's and ResNet-50's shapes on one image of 224 × 224 with random weights, in float32; integrated gradients with 50 steps on
ResNet-50's shape at half width and 64 × 64. PyTorch differentiates by the input alone (its weights are frozen). A row whose two
sides differ by more than 1e-3 of the largest derivative is not a row: the script says so and fails.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import numpy as np  # noqa: E402
from networks import resnet50, smooth_image, vgg16  # noqa: E402
from timing import alternate, machine  # noqa: E402

from lrp_ref import methods  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)

TARGET = 283
CLOSE = 1e-3


def row(name: str, here: Callable[[], np.ndarray], there: Callable[[], np.ndarray], rounds: int) -> bool:
    """Print one row; whether both sides give the same."""
    ours, theirs = here(), there()
    apart = abs(ours - theirs).max() / abs(theirs).max()
    if not apart <= CLOSE:
        print(f"{name}: NOT MEASURED, the two sides are {apart:.1e} of the largest number apart")
        return False
    took = alternate({"here": here, "there": there}, rounds)
    ratios = [took["here"][i] / took["there"][i] for i in (1, 2)]
    print(
        f"{name:44} {1e3 * took['here'][1]:8.1f} ms, theirs {1e3 * took['there'][1]:8.1f} ms: {ratios[0]:.2f}, "
        f"CPU {ratios[1]:.2f} (apart {apart:.0e})"
    )
    return True


def main() -> int:
    """Run all rows."""
    options = parser.parse_args()
    try:
        import captum.attr
        import torch
    except ImportError:
        print("NOTHING was compared: torch or captum is not installed")
        return 0
    from torch_networks import as_module
    from torch_networks import resnet as as_resnet

    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    print(machine("torch", "captum"))
    held = True
    for name, model, make in (("VGG-16", vgg16(), as_module), ("ResNet-50", resnet50(), as_resnet)):
        module, x = make(model).eval().requires_grad_(False), smooth_image()
        method = methods.Gradient(model, threads=options.threads)

        def backward(module: Any = module, x: np.ndarray = x) -> np.ndarray:
            inputs = torch.tensor(x, requires_grad=True)
            module(inputs)[0, TARGET].backward()
            return inputs.grad.numpy()

        here = lambda method=method, x=x: method(x, TARGET).relevance  # noqa: E731
        held &= row(f"gradient, {name}'s shape, 224²", here, backward, options.rounds)
    model, x = resnet50(size=64, width=32), smooth_image(64)
    paths = captum.attr.IntegratedGradients(as_resnet(model).eval().requires_grad_(False))
    method = methods.IntegratedGradients(model, steps=50, threads=options.threads)
    held &= row(
        "integrated gradients, 50 steps, ResNet at 64²",
        lambda: method(x, TARGET).relevance,
        lambda: paths.attribute(torch.tensor(x), target=TARGET, n_steps=50, method="riemann_middle").detach().numpy(),
        options.rounds,
    )
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
