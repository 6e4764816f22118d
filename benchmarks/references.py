"""DeepLIFT beside Captum's, and exact Shapley values of 16 groups: time side by side, and how far the sums are off.

    python benchmarks/references.py
    python benchmarks/references.py --rounds 9 --batch 16

LeNet-5 on 28 × 28 cells, ResNet-18's shape on 64 × 64 with random weights, both in float32, and the digits network of the zoo
with the 2¹⁶ coalitions of its 16 patches of 2 × 2 cells. The comparison needs torch and captum; without them only our own
times are printed.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from timing import alternate, machine  # noqa: E402

from lrp_ref import methods, zoo  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--batch", type=int, default=8)


def networks(torch: Any) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Modules with an activation of its own at each place, as Captum needs it, and the shape of a sample."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, lower: int, upper: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(lower, upper, 3, stride, 1)
            self.conv2 = nn.Conv2d(upper, upper, 3, 1, 1)
            self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
            self.way = nn.Identity() if stride == 1 and lower == upper else nn.Conv2d(lower, upper, 1, stride)

        def forward(self, x: Any) -> Any:
            return self.relu2(self.conv2(self.relu1(self.conv1(x))) + self.way(x))

    torch.manual_seed(0)
    lenet = [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    lenet += [nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
    stem = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    resnet = [*stem, *(Block(*width) for width in widths), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 100)]
    return {
        "LeNet-5": (nn.Sequential(*lenet).eval(), (1, 28, 28)),
        "ResNet-18": (nn.Sequential(*resnet).eval(), (3, 64, 64)),
    }


def deep_lift(rounds: int, batch: int) -> None:
    """DeepLIFT here and in Captum."""
    try:
        import captum.attr
        import torch
    except ImportError:
        print("DeepLIFT was NOT compared: torch or captum is not installed")
        return
    from lrp_ref.formats import torch as reader

    torch.set_num_threads(2)
    for name, (module, sample) in networks(torch).items():
        x, baseline = torch.randn(2, batch, *sample)
        model = reader.load(module, x[:1])
        ours, theirs = methods.DeepLift(model, baseline=baseline.numpy(), threads=2), captum.attr.DeepLift(module)
        inputs = x.numpy()
        e = ours(inputs, 3)
        total = theirs.attribute(x, baseline, target=3).detach().numpy().reshape(batch, -1).sum(axis=1)
        took = alternate(
            {"here": lambda: ours(inputs, 3), "Captum": lambda: theirs.attribute(x, baseline, target=3)},  # noqa: B023
            rounds,
        )
        for who, (_, median, cpu) in took.items():
            off = abs(e.residual).max() if who == "here" else abs(total - e.shared).max()
            print(f"DeepLIFT {name:10} {who:7} {1e3 * median:8.1f} ms {1e3 * cpu:8.1f} ms of CPU   Σ R off by {off:.1e}")
        print(
            f"DeepLIFT {name:10} ratio   {took['here'][1] / took['Captum'][1]:8.2f}    {took['here'][2] / took['Captum'][2]:8.2f}"
        )


def shapley(rounds: int) -> None:
    """Exact Shapley values of 16 groups."""
    model, x = zoo.load("digits"), zoo.digits().images[:1]
    method = methods.Shapley(model, groups=2, threads=2)
    ((_, median, cpu),) = alternate({"here": lambda: method(x)}, rounds).values()
    off = abs(method(x).residual).max()
    print(f"Shapley  16 groups  here    {1e3 * median:8.1f} ms {1e3 * cpu:8.1f} ms of CPU   Σ R off by {off:.1e}")


if __name__ == "__main__":
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine("torch", "captum"))
    print(f"batch {arguments.batch}, float32, two threads; medians of {arguments.rounds} rounds, least CPU time\n")
    shapley(arguments.rounds)
    deep_lift(arguments.rounds, arguments.batch)
