"""Networks for the benchmarks: the same random weights as a lrp_ref model and, on request, as a PyTorch module."""

from __future__ import annotations

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
    for lower, upper in zip(widths, widths[1:], strict=False):
        weight = (random.standard_normal((lower, upper), dtype=np.float32) * np.sqrt(2 / lower)).astype(dtype)
        found += [L.Dense(weight, (random.standard_normal(upper) * bias).astype(dtype)), L.ReLU()]
    return lrp_ref.Model.sequential(found[:-1], domain=(-2.0, 2.0), input_shape=(3, size, size))


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
                L.ReLU: nn.ReLU,
                L.Flatten: nn.Flatten,
                L.MaxPool: lambda: nn.MaxPool2d(layer.kernel),
                L.AvgPool: lambda: nn.AvgPool2d(layer.kernel),
            }
            modules.append(kinds[type(layer)]())
            continue
        module.weight.data = torch.from_numpy(np.array(weight))
        module.bias.data = torch.from_numpy(np.array(layer.bias))
        modules.append(module)
    return nn.Sequential(*modules).eval()
