"""The gradient beside PyTorch's forward and backward pass, and integrated gradients beside Captum's: time side by side.

    python benchmarks/gradients.py
    python benchmarks/gradients.py --rounds 9 --threads 2

VGG-16's and ResNet-50's shapes on one image of 224 × 224 with random weights, in float32; integrated gradients with 64 steps
on ResNet-50's shape at half width and 64 × 64. PyTorch differentiates by the input alone (its weights are frozen). Whether
both sides compute the same is asked in float64, to 1e-9 of the largest derivative: in float32 one ReLU of thousands may be on
the other side of 0, where the derivative jumps. A row whose sides differ is not a row: the script says so and fails.
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
CLOSE = 1e-9


Side = Callable[[Any], np.ndarray]


def row(name: str, here: Side, there: Side, rounds: int) -> bool:
    """Print one row; whether both sides give the same. Each side takes the number type that it computes in."""
    ours, theirs = here(np.float64), there(np.float64)
    apart = abs(ours - theirs).max() / abs(theirs).max()
    if not apart <= CLOSE:
        print(f"{name}: NOT MEASURED, the two sides are {apart:.1e} of the largest number apart")
        return False
    took = alternate({"here": lambda: here(np.float32), "there": lambda: there(np.float32)}, rounds)
    ratios = [took["here"][i] / took["there"][i] for i in (1, 2)]
    print(
        f"{name:46} {1e3 * took['here'][1]:8.1f} ms, theirs {1e3 * took['there'][1]:8.1f} ms: {ratios[0]:.2f}, "
        f"CPU {ratios[1]:.2f} (apart {apart:.0e} in float64)"
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

    def modules(model: Any, make: Any) -> dict[Any, Any]:
        kinds = {np.float32: torch.float32, np.float64: torch.float64}
        return {kind: make(model).eval().requires_grad_(False).to(theirs) for kind, theirs in kinds.items()}

    held = True
    for name, model, make in (("VGG-16", vgg16(), as_module), ("ResNet-50", resnet50(), as_resnet)):
        networks, x = modules(model, make), smooth_image()
        ours = {kind: methods.Gradient(model.astype(kind), threads=options.threads) for kind in networks}

        def here(kind: Any, ours: Any = ours, x: np.ndarray = x) -> np.ndarray:
            return ours[kind](x.astype(kind), TARGET).relevance

        def there(kind: Any, networks: Any = networks, x: np.ndarray = x) -> np.ndarray:
            inputs = torch.tensor(x.astype(kind), requires_grad=True)
            networks[kind](inputs)[0, TARGET].backward()
            return inputs.grad.numpy()

        held &= row(f"gradient, {name}'s shape, 224²", here, there, options.rounds)
    model, x = resnet50(size=64, width=32), smooth_image(64)
    paths = {kind: captum.attr.IntegratedGradients(module) for kind, module in modules(model, as_resnet).items()}
    ours = {kind: methods.IntegratedGradients(model.astype(kind), steps=64, threads=options.threads) for kind in paths}

    def attribute(kind: Any) -> np.ndarray:
        inputs = torch.tensor(x.astype(kind))
        return paths[kind].attribute(inputs, target=TARGET, n_steps=64, method="riemann_middle").detach().numpy()

    held &= row(
        "integrated gradients, 64 steps, ResNet at 64²",
        lambda kind: ours[kind](x.astype(kind), TARGET).relevance,
        attribute,
        options.rounds,
    )
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
