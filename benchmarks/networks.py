"""Networks for the benchmarks, with random weights; `torch_networks.as_module` has the same as PyTorch modules."""

from __future__ import annotations

from dataclasses import replace
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


def sparse_vgg16(size: int = 224, zeros: float = 0.68, seed: int = 0) -> lrp_ref.Model:
    """`vgg16` with biases that leave a part `zeros` of each layer's activations at 0, and weights that keep their size.

    Every layer's bias is one negative number, found from the activations of a smooth image of its own.
    """
    model = vgg16(size=size, seed=seed)
    nodes, value = [], smooth_image(size, seed=7)
    for node, above in zip(model.nodes, [*model.nodes[1:], None], strict=True):
        layer = node.layer
        if isinstance(layer, (L.Conv, L.Dense)) and above is not None:
            z = replace(layer, bias=None).forward(value)
            shift = np.quantile(z, zeros)
            scale = np.float32(1 / np.sqrt(np.mean(np.maximum(z - shift, 0) ** 2)))
            layer = replace(layer, weight=layer.weight * scale, bias=np.full_like(layer.bias, -shift * scale))
        value = layer.forward(value)
        nodes.append(lrp_ref.Node(node.name, layer, node.inputs))
    return replace(model, nodes=tuple(nodes))


def zeros_of(model: lrp_ref.Model, x: np.ndarray) -> float:
    """Which part of the ReLUs' outputs is 0."""
    trace = model.trace(x)
    outputs = [trace[node.name] for node in model.nodes if isinstance(node.layer, L.ReLU)]
    return 1 - sum(np.count_nonzero(a) for a in outputs) / sum(a.size for a in outputs)


def lenet5(seed: int = 0) -> lrp_ref.Model:
    """LeNet-5's shape on 28 × 28 cells with ReLU and maximum pooling, He-normal weights."""
    random = np.random.default_rng(seed)

    def normal(*shape: int, fan: int) -> np.ndarray:
        return (random.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)

    made: list[L.Layer] = []
    for lower, upper, padding in ((1, 6, 2), (6, 16, 0)):
        conv = L.Conv(normal(upper, lower, 5, 5, fan=25 * lower), normal(upper, fan=800), padding=padding)
        made += [conv, L.ReLU(), L.MaxPool(2)]
    made.append(L.Flatten())
    for lower, upper in pairwise((400, 120, 84, 10)):
        made += [L.Dense(normal(lower, upper, fan=lower), normal(upper, fan=800)), L.ReLU()]
    return lrp_ref.Model.sequential(made[:-1], input_shape=(1, 28, 28))


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


def recurrent(kind: str, depth: int, directions: int, width: int = 60, dtype: str = "float64") -> lrp_ref.Model:
    """LSTM, GRU or RNN layers, one on the other, of which the last one's last state goes into five classes."""
    random, scale, below = np.random.default_rng(0), width**-0.5, width
    cells, gates = {"LSTM": (L.LSTM, 4), "GRU": (L.GRU, 3), "RNN": (L.RNN, 1)}[kind]
    built: list[L.Layer] = []
    for level in range(depth):
        shapes = ((directions, rows, gates * width) for rows in (below, width))
        weights = [random.uniform(-scale, scale, shape) for shape in (*shapes, (directions, gates * width))]
        direction, returns = ("forward", "bidirectional")[directions - 1], "last" if level == depth - 1 else "all"
        built.append(cells(*weights, direction=direction, returns=returns))
        below = directions * width
    return lrp_ref.Model.sequential([*built, L.Dense(random.uniform(-scale, scale, (below, 5)))]).astype(dtype)


def squeezenet(dtype: Any = np.float32, size: int = 224, seed: int = 0) -> lrp_ref.Model:
    """SqueezeNet 1.1's shape with random weights: fire modules, and a convolution to 1000 classes that is averaged."""
    draw = np.random.default_rng(seed)
    nodes: list[lrp_ref.Node] = []

    def add(name: str, layer: L.Layer, *reads: str) -> str:
        nodes.append(lrp_ref.Node(name, layer, reads))
        return name

    def conv(name: str, before: str, shape: tuple[int, int, int], **choices: int) -> str:
        upper, lower, kernel = shape
        weight = draw.normal(0, (2 / (lower * kernel**2)) ** 0.5, (upper, lower, kernel, kernel)).astype(dtype)
        add(name, L.Conv(weight, np.full(upper, 0.05, dtype), **choices), before)
        return add(f"{name}_relu", L.ReLU(), name)

    at, channels = conv("conv1", "input", (64, 3, 3), stride=2), 64
    fires = ("pool", 16, 16, "pool", 32, 32, "pool", 48, 48, 64, 64)
    for i, narrow in enumerate(fires):
        if narrow == "pool":
            at = add(f"pool{i}", L.MaxPool(3, stride=2, ceil_mode=True), at)
            continue
        squeezed = conv(f"fire{i}_squeeze", at, (narrow, channels, 1))
        branches = [conv(f"fire{i}_{k}", squeezed, (4 * narrow, narrow, k), padding=k // 2) for k in (1, 3)]
        at, channels = add(f"fire{i}", L.Concat(2), *branches), 8 * narrow
    at = conv("conv10", at, (1000, channels, 1))
    add("flat", L.Flatten(), add("average", L.GlobalAvgPool(), at))
    return lrp_ref.Model(tuple(nodes), input_shape=(3, size, size))
