"""Networks for the benchmarks: the same random weights as a lrp_ref model and, on request, as a PyTorch module."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import lrp_ref
from lrp_ref import layers as L

VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def vgg16(dtype: Any = np.float32, size: int = 224, seed: int = 0, bias: float = 0.05) -> lrp_ref.Model:
    """VGG-16's shape with He-normal weights, input in [-2, 2]. Without the adaptive pooling, which is the identity at 224²."""
    random = np.random.default_rng(seed)
    found: list[L.Layer] = []
    channels, cells = 3, size
    for entry in VGG16:
        if entry == "M":
            found.append(L.MaxPool(2))
            cells //= 2
            continue
        scale = np.sqrt(2 / (9 * channels))
        weight = (random.standard_normal((entry, channels, 3, 3)) * scale).astype(dtype)
        found += [L.Conv(weight, (random.standard_normal(entry) * bias).astype(dtype), padding=1), L.ReLU()]
        channels = int(entry)
    found.append(L.Flatten())
    widths = (channels * cells * cells, 4096, 4096, 1000)
    for lower, upper in pairwise(widths):
        weight = (random.standard_normal((lower, upper), dtype=np.float32) * np.sqrt(2 / lower)).astype(dtype)
        found += [L.Dense(weight, (random.standard_normal(upper) * bias).astype(dtype)), L.ReLU()]
    return lrp_ref.Model.sequential(found[:-1], domain=(-2.0, 2.0), input_shape=(3, size, size))


def resnet50(dtype: Any = np.float32, size: int = 224, width: int = 64, seed: int = 0) -> lrp_ref.Model:
    """ResNet-50's shape with He-normal weights, input in [-2, 2].

    Batch norms have the statistics that a smooth image makes, so that activations are as in a trained network; their scales are
    about 1, their shifts small. `width` is that of the first stage, 64 in ResNet-50.
    """
    made = _Grown(smooth_image(size, 2, dtype=dtype), np.random.default_rng(seed), np.dtype(dtype))
    last = made.block("stem", "input", 3, width, 7, stride=2)
    last = made.add("pool", L.MaxPool(3, stride=2, padding=1), made.add("stem.relu", L.ReLU(), last))
    channels = width
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for i in range(blocks):
            name, inner, stride = f"layer{stage + 1}.{i}", width * 2**stage, 2 if stage and not i else 1
            a = made.add(f"{name}.relu1", L.ReLU(), made.block(f"{name}.1", last, channels, inner, 1))
            b = made.add(f"{name}.relu2", L.ReLU(), made.block(f"{name}.2", a, inner, inner, 3, stride))
            c = made.block(f"{name}.3", b, inner, 4 * inner, 1)
            short = last if i else made.block(f"{name}.down", last, channels, 4 * inner, 1, stride)
            last = made.add(f"{name}.relu3", L.ReLU(), made.add(f"{name}.add", L.Add(), c, short))
            channels = 4 * inner
    flat = made.add("flat", L.Flatten(), made.add("mean", L.GlobalAvgPool(), last))
    made.add("scores", L.Dense(made.normal((channels, 1000), channels), made.normal((1000,), 1000)), flat)
    return lrp_ref.Model(tuple(made.nodes), domain=(-2.0, 2.0), input_shape=(3, size, size))


class _Grown:
    """A network that is run while it is built: what a batch norm normalises is known when it is made."""

    def __init__(self, x: np.ndarray, random: np.random.Generator, dtype: np.dtype[Any]) -> None:
        self.nodes: list[lrp_ref.Node] = []
        self._values, self._random, self._dtype = {"input": x}, random, dtype

    def normal(self, shape: tuple[int, ...], fan: int) -> np.ndarray:
        """He-normal weights."""
        return (self._random.standard_normal(shape, dtype=np.float32) * np.sqrt(2 / fan)).astype(self._dtype)

    def add(self, name: str, layer: L.Layer, *reads: str) -> str:
        """One more node; its name."""
        self.nodes.append(lrp_ref.Node(name, layer, reads))
        self._values[name] = layer.forward(*(self._values[read] for read in reads))
        for old in list(self._values)[:-12]:  # nobody reads that far back
            del self._values[old]
        return name

    def block(self, name: str, before: str, lower: int, upper: int, kernel: int, stride: int = 1) -> str:
        """A convolution without bias, and its batch norm; the latter's name."""
        weight = self.normal((upper, lower, kernel, kernel), lower * kernel**2)
        conv = self.add(f"{name}.conv", L.Conv(weight, stride=stride, padding=kernel // 2), before)
        z = self._values[conv]
        scale, shift = 1 + 0.1 * self._random.standard_normal(upper), 0.1 * self._random.standard_normal(upper)
        statistics = (z.mean((0, 2, 3)), z.var((0, 2, 3)), scale, shift)
        return self.add(f"{name}.bn", L.BatchNorm(*(value.astype(self._dtype) for value in statistics)), conv)


def smooth_image(size: int = 224, count: int = 1, seed: int = 1, dtype: Any = np.float32) -> np.ndarray:
    """Smoothed noise in [-2, 2], (count, 3, size, size)."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((count, 3, size, size))
    for axis in (2, 3):
        x = sum(np.roll(x, shift, axis) for shift in range(-4, 5)) / 3
    return np.clip(x, -2, 2).astype(dtype)


def as_torch(model: lrp_ref.Model) -> Any:
    """A sequential lrp_ref model as a torch.nn.Sequential with the same weights."""
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for node in model.nodes:
        layer = node.layer
        if isinstance(layer, L.Conv):
            module: nn.Module = nn.Conv2d(layer.lower, layer.upper, layer.weight.shape[2:], layer.stride, layer.padding[0][0])
            weight = layer.weight
        elif isinstance(layer, L.Dense):
            module, weight = nn.Linear(*layer.weight.shape), layer.weight.T
        else:
            kinds = {
                L.ReLU: lambda _: nn.ReLU(),
                L.Flatten: lambda _: nn.Flatten(),
                L.MaxPool: lambda pool: nn.MaxPool2d(pool.kernel),
                L.AvgPool: lambda pool: nn.AvgPool2d(pool.kernel),
            }
            modules.append(kinds[type(layer)](layer))
            continue
        module.weight.data = torch.from_numpy(np.array(weight))
        module.bias.data = torch.from_numpy(np.array(layer.bias))
        modules.append(module)
    return nn.Sequential(*modules).eval()
