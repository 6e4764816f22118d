"""Whether an input is what a network saw in training, as far as its first layer tells (`CONV-FIRST-LAYER`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..arrays import Array
from ..layers import BatchNorm, Conv
from ..layers.base import Layer
from ..network.model import Model, ancestors

#: How many times the root mean square in a median channel may be what the statistics say; right inputs had at most 1.5.
MOST = 5.0
#: How much of it the deviation over an image may be; right inputs had at least 0.19.
LEAST = 0.05
#: How much of the bias a response may be, in a median channel; right inputs had at least 0.28.
LEAST_RESPONSE = 0.02
#: The deviation of a photograph's pixels, as a part of 255, under which it has nothing that the first layer could see.
FLAT = 0.05
_NEAR = 6  # nodes in front of a layer that is still one of the first
_SHIFTS = 16  # positions that a deviation is taken over


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The first layer of a network that says what its input was in training.

    That is a batch normalisation, whose statistics are those of its inputs in training; else a convolution with a bias.

    Attributes
    ----------
    node : its name
    layer : the layer
    model : the network up to the layer, or up to what it reads where it is a batch normalisation; None: it reads the input
    """

    node: str
    layer: BatchNorm | Conv
    model: Model | None

    @classmethod
    def of(cls, model: Model) -> FirstLayer | None:
        """The layer of a network that is asked, None where there is none.

        Parameters
        ----------
        model : the network; of one input, in floating point numbers
        """
        if len(model.inputs) != 1 or model.dtype == object or model.integer_inputs:
            return None
        near = [node for node in model.nodes if len(ancestors(model, node.name)) <= _NEAR + 2]
        for node in near:
            if isinstance(node.layer, BatchNorm):
                source = node.inputs[0]
                return cls(node.name, node.layer, None if source in model.inputs else _up_to(model, source))
        for node in near:
            if isinstance(node.layer, Conv):
                known = node.layer.dims == 2 and node.layer.bias is not None and _reads_the_input(model, node.inputs[0])
                return cls(node.name, node.layer, _up_to(model, node.name)) if known else None
        return None

    def misfit(self, x: Array, pixels: Array | None = None) -> str | None:
        """A sentence on an input that is not as those in training were, None where nothing is suspicious.

        Parameters
        ----------
        x : a batch
        pixels : the photograph that it was made of, 0 to 255; one that shows next to nothing is not the preprocessing's fault
        """
        seen = np.asarray(x if self.model is None else self.model(x), dtype=np.float64)
        flat = bool(np.ptp(x) == 0 or (pixels is not None and np.std(pixels) < 255 * FLAT))
        if isinstance(self.layer, BatchNorm):
            return self._against_statistics(self.layer, seen, flat)
        return None if flat else self._against_bias(self.layer, seen)

    def _against_statistics(self, layer: BatchNorm, signal: Array, flat: bool) -> str | None:
        if signal.ndim not in (2, 4):
            return None  # of signals we know too little: silence is as right as noise
        axes = (0, *range(2, signal.ndim))
        deviation = np.sqrt(np.asarray(layer.variance, dtype=np.float64) + float(layer.epsilon))
        shift = (signal.mean(axis=axes) - np.asarray(layer.mean, dtype=np.float64)) / deviation
        spread = signal.std(axis=axes) / deviation
        size, within = float(np.median(np.hypot(shift, spread))), float(np.median(spread))
        if size > MOST:
            return self._text(f"are {size:.3g} times as large as its statistics of the training say")
        if signal.ndim == 4 and signal[:, 0].size >= _SHIFTS and within < LEAST and not flat:
            return self._text(f"differ by {100 * within:.2g} % of what its statistics of the training say")
        return None

    def _against_bias(self, layer: Conv, seen: Array) -> str | None:
        bias = np.asarray(layer.bias, dtype=np.float64)
        response = np.sqrt(np.mean((seen - bias[None, :, None, None]) ** 2, axis=(0, 2, 3)))
        there = bias != 0
        if there.sum() * 2 < bias.size:
            return None
        part = float(np.median(response[there] / abs(bias[there])))
        return self._text(f"are {100 * part:.2g} % of its bias: it hardly sees the input") if part < LEAST_RESPONSE else None

    def _text(self, found: str) -> str:
        what = "values" if isinstance(self.layer, BatchNorm) else "responses"
        return (
            f"the {what} at the first layer ({self.node}) {found}, in the median of its channels: the input was probably not "
            "preprocessed as this network needs it"
        )


def _up_to(model: Model, name: str) -> Model:
    """The part of a model of one input that ends at a node."""
    names = ancestors(model, name)
    return replace(model, nodes=tuple(node for node in model.nodes if node.name in names), outputs=(name,))


def _reads_the_input(model: Model, name: str) -> bool:
    """Whether a node's output is the input, moved about: nothing in front of it has weights."""
    names: frozenset[str] | set[str] = set() if name in model.inputs else set(ancestors(model, name))
    layers: list[Layer] = [node.layer for node in model.nodes if node.name in names]
    return not any(layer.parameters for layer in layers)
