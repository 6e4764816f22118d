"""Train the two networks that ship with the package, `zoo:digits` and `zoo:digits_bn`.

    pip install -e . torch scikit-learn
    python examples/train_digits.py --out lrp_ref/zoo

The library explains networks, it does not train them: training is PyTorch's, the result is two native `.npz` files.

Protocol, fixed before anything was trained
-------------------------------------------
Data        scikit-learn's 8×8 digits, 1797 images, pixel values 0..16 divided by 16.
Splits      five, stratified, 70 % training and 30 % test, `random_state` 0, 1, 2, 3, 4, in this order. A split's number
            is also the seed of everything random in its training. The **first** split (0) gives the networks that are
            shipped, whatever the other four give; no seed is chosen by its result.
Stopping    never early: a fixed number of epochs, the last weights are the result, and the test part is for them alone.
Choices     made on a validation part only, a quarter of the training part of split 0 (`--validate` trains on the other
            three quarters, under five seeds). Compared were architecture, epochs, learning rate, dropout and label
            smoothing; batch size, weight decay and distortion were set once. The validation images are in part test
            images of splits 1 to 4, so that only the first split's test part is strictly untouched. One writer's images
            are on both sides of every split, since the data does not say who wrote what.
Required    at least 98.5 % on the test part of the first split, for both networks; the script fails otherwise.
Embedded    the first test image of each class, in the order in which the first split lists its test images.

The networks
------------
digits      average pooling, and no bias is positive, neither hidden nor output: after every step of the optimiser the
            biases are clipped to b ≤ 0. Deep Taylor decomposition asks for that (Montavon et al. 2017): only with b ≤ 0
            is the root point of the z⁺-rule sure to have no negative activation.
digits_bn   the same with batch norm after each convolution, and max pooling: a network to be canonised before it is
            explained.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import lrp_ref
from lrp_ref import layers
from lrp_ref.formats import npz

SPLITS = (0, 1, 2, 3, 4)
TEST_SHARE = 0.3
VALIDATION_SHARE = 0.25
REQUIRED = 0.985


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One network and how it is trained; every number in it was compared on the validation part only."""

    build: Callable[[], nn.Sequential]
    learning_rate: float
    nonpositive_bias: bool
    epochs: int = 200
    batch: int = 64
    weight_decay: float = 0.01
    smoothing: float = 0.05


def average_pooling() -> nn.Sequential:
    """Three convolutions with ReLU, average pooling after the second and the third, one dense layer."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 10),
    )  # fmt: skip


def batch_norm() -> nn.Sequential:
    """The same with max pooling, and batch norm before each ReLU: its shift stands for the convolution's bias."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 10),
    )  # fmt: skip


RECIPES = {
    "digits": Recipe(average_pooling, learning_rate=0.02, nonpositive_bias=True),
    "digits_bn": Recipe(batch_norm, learning_rate=0.005, nonpositive_bias=False),
}


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of the digits: images (N, 1, 8, 8) in [0, 1], their classes, and where they stand in scikit-learn's list."""

    images: torch.Tensor
    labels: torch.Tensor
    indices: np.ndarray


def split(number: int, *, validation: bool = False) -> tuple[Part, Part]:
    """The training and the test part of one split, or (`validation`) two pieces of its training part."""
    data = load_digits()
    train, test = train_test_split(np.arange(len(data.target)), test_size=TEST_SHARE, random_state=number, stratify=data.target)
    if validation:
        train, test = train_test_split(train, test_size=VALIDATION_SHARE, random_state=number, stratify=data.target[train])

    def part(indices: np.ndarray) -> Part:
        images = (data.images[indices, None] / 16).astype(np.float32)
        return Part(torch.from_numpy(images), torch.from_numpy(data.target[indices]), indices)

    return part(train), part(test)


def distort(images: torch.Tensor) -> torch.Tensor:
    """Turn, scale and shift each image a little; what enters from outside is 0, and values stay in [0, 1]."""
    n = len(images)
    angle = (torch.rand(n) * 2 - 1) * math.radians(12)
    scale = 1 + (torch.rand(n) * 2 - 1) * 0.12
    shift = (torch.rand(n, 2) * 2 - 1) * 0.2  # in half widths: 0.8 of a pixel
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2) * scale[:, None, None]
    grid = nn.functional.affine_grid(torch.cat([turn, shift[:, :, None]], 2), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False).clamp(0, 1)


def clip_biases(network: nn.Module) -> None:
    """Project onto b ≤ 0."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.clamp_(max=0)


def train(recipe: Recipe, part: Part, seed: int) -> nn.Sequential:
    """Train from scratch for the recipe's number of epochs and return the last weights, in evaluation mode."""
    torch.manual_seed(seed)
    network = recipe.build()
    steps = math.ceil(len(part.labels) / recipe.batch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, epochs=recipe.epochs, steps_per_epoch=steps)
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    network.train()
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(part.labels)).split(recipe.batch):
            optimiser.zero_grad()
            loss(network(distort(part.images[chosen])), part.labels[chosen]).backward()
            optimiser.step()
            schedule.step()
            if recipe.nonpositive_bias:
                clip_biases(network)
    return network.eval()


def accuracy(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of samples whose largest score is their class's."""
    return float((scores.argmax(1) == labels).double().mean())


def to_library(network: nn.Sequential) -> lrp_ref.Model:
    """The same network as a model of the library: float32, without dropout, with the pixels' domain [0, 1]."""
    found = [layer for module in network for layer in converted(module)]
    return lrp_ref.Model.sequential(found, input_shape=(1, 8, 8), domain=(0.0, 1.0))


def converted(module: nn.Module) -> list[layers.Layer]:
    """One module's layer; none for dropout, which does nothing outside training."""
    values = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    match module:
        case nn.Conv2d():
            return [layers.Conv(values["weight"], values.get("bias"), padding=module.padding)]
        case nn.Linear():  # PyTorch's rows are outputs, the library's are inputs
            return [layers.Dense(np.ascontiguousarray(values["weight"].T), values["bias"])]
        case nn.BatchNorm2d():
            statistics = values["running_mean"], values["running_var"]
            return [layers.BatchNorm(*statistics, values["weight"], values["bias"], epsilon=module.eps)]
        case nn.AvgPool2d():
            return [layers.AvgPool(module.kernel_size)]
        case nn.MaxPool2d():
            return [layers.MaxPool(module.kernel_size)]
        case nn.ReLU():
            return [layers.ReLU()]
        case nn.Flatten():
            return [layers.Flatten()]
        case nn.Dropout():
            return []
    raise TypeError(f"no layer for {module}")


def check(model: lrp_ref.Model, network: nn.Sequential, part: Part) -> None:
    """The library must compute what PyTorch computes: to 1e-5 of the largest score, and with the same accuracy."""
    with torch.no_grad():
        expected = network(part.images).numpy()
    scores = model(part.images.numpy())
    difference = float(np.abs(scores - expected).max() / np.abs(expected).max())
    correct = float((scores.argmax(1) == part.labels.numpy()).mean())
    print(f"    library against PyTorch: {difference:.1e} of the largest score apart, accuracy {correct:.2%}")
    if difference > 1e-5 or correct != accuracy(torch.from_numpy(expected), part.labels):
        raise SystemExit("the library's prediction differs from PyTorch's: nothing written")


def embed(test: Part, path: Path) -> None:
    """Write the first test image of each class, and the indices of the whole test part."""
    labels = test.labels.numpy()
    first = np.array([np.flatnonzero(labels == digit)[0] for digit in range(10)])
    np.savez_compressed(
        path,
        images=test.images.numpy()[first],
        labels=labels[first].astype(np.int64),
        indices=test.indices[first].astype(np.int64),
        test_part=test.indices.astype(np.int64),
    )


def five_runs(name: str, *, validation: bool) -> nn.Sequential:
    """Train on every split and print the accuracies; the first split's network.

    With `validation`: five seeds on the first split's validation part, where its test part stays out of sight.
    """
    accuracies, networks = [], []
    for number in SPLITS:
        training, held_out = split(SPLITS[0] if validation else number, validation=validation)
        network = train(RECIPES[name], training, seed=number)
        with torch.no_grad():
            scores = network(held_out.images)
        accuracies.append(accuracy(scores, held_out.labels))
        networks.append(network)
        wrong = int((scores.argmax(1) != held_out.labels).sum())
        run = "seed" if validation else "split"
        print(f"    {run} {number}: {accuracies[-1]:7.2%}   ({wrong} of {len(held_out.labels)} wrong)", flush=True)
    print(f"    mean {np.mean(accuracies):.2%}, worst {min(accuracies):.2%}")
    if accuracies[0] < REQUIRED and not validation:
        raise SystemExit(f"{name}: {accuracies[0]:.2%} on the first split, at least {REQUIRED:.1%} are required")
    return networks[0]


def main() -> None:
    """Train both networks; with `--out`, write them and the embedded digits there."""
    parser = argparse.ArgumentParser(description="Train the networks of lrp_ref.zoo on scikit-learn's digits.")
    parser.add_argument("--out", type=Path, help="folder for the .npz files; without it nothing is written")
    parser.add_argument("--validate", action="store_true", help="print validation accuracies and stop")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the sums' order, and so the last bits, depend on the number of threads
    models = {}
    for name, recipe in RECIPES.items():
        print(f"{name}: {recipe.epochs} epochs, {'validation part of split 0' if options.validate else 'test parts'}")
        network = five_runs(name, validation=options.validate)
        if not options.validate:
            models[name] = to_library(network)
            check(models[name], network, split(SPLITS[0])[1])
    if options.out and not options.validate:
        for name, model in models.items():
            npz.save(model, options.out / f"{name}.npz", overwrite=True)
        embed(split(SPLITS[0])[1], options.out / "held_out.npz")


if __name__ == "__main__":
    main()
