"""lrp_ref models as PyTorch modules with the same weights: for the yardsticks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import lrp_ref
from lrp_ref import layers as L


def as_module(model: lrp_ref.Model) -> nn.Module:
    """A sequential model as a Sequential, any other as a module that walks the graph."""
    sequential = all(node.inputs == (before,) for node, before in zip(model.nodes, _chain(model), strict=True))
    made = nn.Sequential(*(_module(node.layer) for node in model.nodes)) if sequential else Graph(model)
    return made.eval()


def _chain(model: lrp_ref.Model) -> list[str]:
    return [model.inputs[0], *(node.name for node in model.nodes[:-1])]


class Graph(nn.Module):
    """Nodes in computing order; concatenation and sums are functions, everything else is a module."""

    def __init__(self, model: lrp_ref.Model) -> None:
        super().__init__()
        self.wired = [(node.name, node.inputs, type(node.layer)) for node in model.nodes]
        self.begin, self.end = model.inputs[0], model.outputs[0]
        functions = (L.Concat, L.Add)
        self.parts = nn.ModuleDict(
            {str(i): _module(node.layer) for i, node in enumerate(model.nodes) if type(node.layer) not in functions}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {self.begin: x}
        for i, (name, reads, kind) in enumerate(self.wired):
            inputs = [values[read] for read in reads]
            if kind is L.Concat:
                values[name] = torch.cat(inputs, dim=1)
            elif kind is L.Add:
                values[name] = inputs[0] + inputs[1]
            else:
                values[name] = self.parts[str(i)](inputs[0])
        return values[self.end]


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _module(layer: L.Layer) -> nn.Module:
    """One layer as a module."""
    if isinstance(layer, L.Conv):
        return _convolution(layer)
    if isinstance(layer, L.Dense):
        made = nn.Linear(*layer.weight.shape, bias=layer.bias is not None)
        made.weight.data = _tensor(layer.weight.T)
        if layer.bias is not None:
            made.bias.data = _tensor(layer.bias)
        return made
    if isinstance(layer, L.BatchNorm):
        norm = nn.BatchNorm2d(len(layer.mean), eps=float(layer.epsilon))
        norm.running_mean, norm.running_var = _tensor(layer.mean), _tensor(layer.variance)
        norm.weight.data, norm.bias.data = _tensor(layer.scale), _tensor(layer.shift)
        return norm
    kinds = {
        L.ReLU: lambda _: nn.ReLU(),
        L.Flatten: lambda _: nn.Flatten(),
        L.Dropout: lambda _: nn.Identity(),
        L.GlobalAvgPool: lambda _: nn.AdaptiveAvgPool2d(1),
        L.MaxPool: lambda pool: nn.MaxPool2d(pool.kernel, pool.stride, _symmetric(pool.padding), ceil_mode=pool.ceil_mode),
        L.AvgPool: lambda pool: nn.AvgPool2d(pool.kernel, pool.stride),
    }
    return kinds[type(layer)](layer)


def _symmetric(padding: Any) -> Any:
    """Padding before and after each axis as PyTorch has it: one number for both."""
    if isinstance(padding, int):
        return padding
    pairs = [(entry, entry) if isinstance(entry, int) else entry for entry in padding]
    assert all(before == after for before, after in pairs)
    return tuple(before for before, _ in pairs)


def _convolution(layer: L.Conv) -> nn.Conv2d:
    upper, lower = layer.weight.shape[0], layer.weight.shape[1] * layer.groups
    made = nn.Conv2d(
        lower,
        upper,
        tuple(layer.weight.shape[2:]),
        layer.stride,
        _symmetric(layer.padding),
        layer.dilation,
        layer.groups,
        bias=layer.bias is not None,
    )
    made.weight.data = _tensor(layer.weight)
    if layer.bias is not None:
        made.bias.data = _tensor(layer.bias)
    return made


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions under the attribute names of torchvision, which Zennit's canoniser goes by."""

    def __init__(self, first: Any, second: Any, third: Any, downsample: nn.Module | None) -> None:
        super().__init__()
        (self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3) = first, second, third
        self.relu, self.downsample = nn.ReLU(), downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet(model: lrp_ref.Model) -> nn.Module:
    """`networks.resnet50` as a module of `Bottleneck`s."""

    def pair(name: str) -> tuple[nn.Module, nn.Module]:
        return _module(model[f"{name}.conv"].layer), _module(model[f"{name}.bn"].layer)

    blocks = []
    for name in dict.fromkeys(n.name.rsplit(".", 1)[0] for n in model.nodes if n.name.endswith(".add")):
        down = nn.Sequential(*pair(f"{name}.down")) if f"{name}.down.conv" in model else None
        blocks.append(Bottleneck(pair(f"{name}.1"), pair(f"{name}.2"), pair(f"{name}.3"), down))
    stem = [*pair("stem"), nn.ReLU(), _module(model["pool"].layer)]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), _module(model["scores"].layer)]
    return nn.Sequential(*stem, *blocks, *end).eval()
