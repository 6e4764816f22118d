"""Train the small network of the documentation's gallery, which tells patches of two photographs apart.

    pip install -e . torch scikit-learn
    python examples/train_patches.py --out docs/_static/patches.npz

It is a stand-in: networks that were trained on a million photographs are megabytes large, and their licences are their own. Five
classes are patches of the two photographs that scikit-learn ships, cut from regions that were drawn by hand: sky, pagoda, trees,
flower, shade. What it says about other photographs means nothing. The library explains networks, it does not train them: training
is PyTorch's.

Protocol, fixed before anything was trained
-------------------------------------------
Data        patches of 64 × 64 pixels at random places of the regions, values −1..1, and every eighth batch larger pieces
            of the pagoda and of the flower, 320 × 320, so that a subject wins over what is around it. There is no test part
            in the usual sense: two photographs are too few to generalise from, and nothing is claimed beyond them.
Network     three convolutions (5 × 5, 3 × 3, 3 × 3, stride 2 each) with ReLU, the mean over the image, one dense layer: it
            takes images of any size. No biases, so that all relevance can arrive at the pixels.
Training    Adam, learning rate 0.003, 800 steps of 64 patches, cross-entropy, seed 0; the last weights are the result.
Required    at least 98 % of 500 other places of the same regions; the script fails otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_sample_image
from torch import nn

import lrp_ref
from lrp_ref import layers
from lrp_ref.formats import npz

#: Class, photograph, and its regions: rows and columns from, to.
REGIONS = (
    ("sky", "china.jpg", (0, 130, 330, 640)),
    ("pagoda", "china.jpg", (90, 340, 90, 345)),
    ("trees", "china.jpg", (290, 427, 330, 570)),
    ("flower", "flower.jpg", (95, 345, 180, 435)),
    ("shade", "flower.jpg", (0, 427, 0, 170)),
)
CLASSES = tuple(name for name, _, _ in REGIONS)
SIDE, LARGE, STEPS, BATCH, RATE, REQUIRED = 64, 320, 800, 64, 0.003, 0.98


def photographs() -> dict[str, np.ndarray]:
    """(3, H, W) float32 each, with values from −1 to 1."""
    names = sorted({name for _, name, _ in REGIONS})
    return {name: np.float32(load_sample_image(name).transpose(2, 0, 1)) / 127.5 - 1 for name in names}


def patches(images: dict[str, np.ndarray], count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3, SIDE, SIDE) float32 and their classes."""
    classes = rng.integers(len(REGIONS), size=count)
    x = np.empty((count, 3, SIDE, SIDE), np.float32)
    for i, k in enumerate(classes):
        _, name, (top, bottom, left, right) = REGIONS[k]
        row, column = (int(rng.integers(a, b - SIDE + 1)) for a, b in ((top, bottom), (left, right)))
        x[i] = images[name][:, row : row + SIDE, column : column + SIDE]
    return x, classes


def pieces(images: dict[str, np.ndarray], count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(count, 3, LARGE, LARGE) float32 with a subject in each, and their classes."""
    classes = rng.choice([CLASSES.index("pagoda"), CLASSES.index("flower")], size=count)
    rows, columns = rng.integers(427 - LARGE, size=count), rng.integers(90, size=count)
    names = [REGIONS[k][1] for k in classes]
    x = [
        images[name][:, r : r + LARGE, c : c + LARGE]
        for name, r, c in zip(names, rows, columns + 90 * (classes == 3), strict=True)
    ]
    return np.stack(x), classes


def build() -> nn.Sequential:
    """The network."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, len(CLASSES), bias=False),
    )


def train() -> nn.Sequential:
    """The trained network."""
    torch.manual_seed(0)
    rng, network, images = np.random.default_rng(0), build(), photographs()
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    for step in range(STEPS):
        x, classes = pieces(images, 4, rng) if step % 8 == 7 else patches(images, BATCH, rng)
        loss = nn.functional.cross_entropy(network(torch.from_numpy(x)), torch.from_numpy(classes))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


def exported(network: nn.Sequential) -> lrp_ref.Model:
    """The same as a model of ours; its input is an image of any size with values from −1 to 1."""
    weights = [p.detach().numpy() for p in network.parameters()]
    chain: list[layers.Layer] = []
    for weight in weights[:3]:
        chain += [layers.Conv(weight, stride=2), layers.ReLU()]
    chain += [layers.GlobalAvgPool(), layers.Flatten(), layers.Dense(weights[3].T)]
    return lrp_ref.Model.sequential(chain, domain=lrp_ref.Domain(-1.0, 1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    options = parser.parse_args()
    network = train()
    x, classes = patches(photographs(), 500, np.random.default_rng(1))
    model = exported(network)
    right = float((model(x).argmax(axis=1) == classes).mean())
    print(f"{right:.1%} of {len(x)} patches")
    if right < REQUIRED:
        raise SystemExit(f"fewer than {REQUIRED:.0%}: not written")
    npz.save(model, options.out, overwrite=True)
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
