"""Class activation maps: the last feature maps of a convolutional network, weighted for a class and enlarged to the input."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, like, positive, total
from ..errors import GraphError, ParameterError, ShapeError, unknown
from ..explainer import Explainer
from ..forks import cached_property
from ..layers.base import Elementwise
from ..layers.conv import Conv, ConvTranspose
from ..layers.linear import Add, Dense, Scale
from ..layers.normalization import BatchNorm
from ..layers.pooling import GlobalAvgPool
from ..layers.resize import Resize
from ..layers.shape import Flatten, Identity, Reshape
from ..network.model import Model, ancestors
from ..predictor import Predictor
from ..propagate.explanation import Explanation
from ..propagate.heads import Unit
from ..propagate.scores import scores
from .backward_rules import GuidedPass, rectified
from .base import Cost, ModelMethod
from .perturbation import only_input
from .scoring import with_output


@dataclass(frozen=True, eq=False)
class ActivationMethod(ModelMethod):
    """A method that weights the feature maps of one node.

    Parameters
    ----------
    model : of one input, convolutional
    layer : the node whose feature maps are weighted; None: the method's choice (`CONV-CAM-LAYER`)
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    layer: str | None = None

    needs: ClassVar[str] = "a convolutional network with derivatives"
    passes: ClassVar[str] = "2 forward, 1 backward"

    def _check(self) -> None:
        only_input(self.model, self.name)
        _ = self._maps, self._pass

    def estimate(self) -> Cost:
        return Cost(2, 1)

    @cached_property
    def _network(self) -> Model:
        """The model with the explained output alone."""
        return with_output(self.model, self.output)

    @cached_property
    @abstractmethod
    def _maps(self) -> str:
        """The node whose feature maps are weighted."""

    def _kept(self) -> str:
        """The node at whose output the gradient is read."""
        return self._maps

    @cached_property
    def _pass(self) -> Explainer:
        # As it was given: where a batch norm is folded, a convolution's output is another one, and nodes go.
        choices = {"backend": self.backend, "precision": self.precision, "threads": self.threads, "memory": self.memory}
        return Explainer(self._network, "gradient", head=Unit(self._head), keep=(self._kept(),), canonize=False, **choices)  # type: ignore[arg-type]

    @cached_property
    def _features(self) -> Predictor:
        """What predicts the feature maps."""
        model = replace(self._network, outputs=(self._maps,))
        return Predictor(model, self.backend, self.precision, self.threads, self.memory, canonize=False)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        e = self._pass(x, target, targets=targets, contrast=contrast)
        (name,) = e.inputs
        maps, gradient = self._features(e.activations[name]), e.at(self._kept())
        if maps.ndim < 3:
            raise ShapeError(f"{self.name} needs feature maps (N, C, *spatial), and node {self._maps!r} has shape {maps.shape}")
        gradient = gradient if e.several else gradient[:, None]
        found = self._map(maps[:, None], gradient)
        large = enlarged(found, e.activations[name].shape[1:], self.name)
        asked = {"target": target, "targets": targets, "contrast": contrast}
        both = {name: self._combined(large, e.activations[name], asked), self._maps: found}
        return self._renamed(e, relevances={key: a if e.several else a[:, 0] for key, a in both.items()})

    @abstractmethod
    def _map(self, maps: Array, gradient: Array) -> Array:
        """The map (N, T, 1, *spatial) of feature maps (N, 1, C, *spatial) and the gradient (N, T, …)."""

    def _combined(self, large: Array, x: Array, asked: Mapping[str, Any]) -> Array:
        """What the input x gets (N, T, *sample) of a map in its shape, in a call that asked for these targets."""
        return large


@dataclass(frozen=True, eq=False)
class CAM(ActivationMethod):
    r"""The class activation map of a network that ends in a global average and a dense layer (Zhou et al. 2016).

    .. math:: R_u = \sum_k w_{kc} A_k(u)

    A are the feature maps that are averaged, and w the weights of class c. The map is enlarged to the input linearly with
    half-pixel centres, the same in every channel (`CONV-CAM-ENLARGED`); `e.at(layer)` is the map itself, (N, 1, h, w). It is
    #pixels · (f_c − b_c) in total, before it is enlarged.

    Parameters
    ----------
    model : of one input; its scores are a dense layer behind a global average
    layer : must be the node that is averaged, or None
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    GraphError
        Where the network does not end so: `GradCAM` serves any convolutional network.
    ParameterError
        Where the layer is another one, or the head explains no score.
    """

    needs: ClassVar[str] = "a global average and a dense layer at the end"
    formula: ClassVar[str] = r"R_u = \sum_k w_{kc} A_k(u)"
    source: ClassVar[str] = "Zhou et al. 2016"

    def _check(self) -> None:
        if self.head not in (None, "logit"):
            raise ParameterError(
                f'CAM weights maps for a score: head="logit", or None where it is the output; found {self.head!r}'
            )
        super()._check()

    @cached_property
    def _average(self) -> str:
        """The node of the global average."""
        model = self._network
        dense = _score_node(self)
        if not isinstance(model[dense].layer, Dense):
            raise GraphError(f"CAM needs scores of a dense layer, and {model[dense].title} is none: GradCAM needs no such end")
        name = model[dense].inputs[0]
        while name in model and isinstance(model[name].layer, (Flatten, Identity, Reshape)):
            name = model[name].inputs[0]
        if name not in model or not isinstance(model[name].layer, GlobalAvgPool):
            found = model[name].title if name in model else "the input"
            raise GraphError(
                f"CAM needs a global average in front of {model[dense].title}, and there is {found}: GradCAM serves this network"
            )
        return name

    @cached_property
    def _maps(self) -> str:
        name: str = self._network[self._average].inputs[0]
        if self.layer not in (None, name):
            raise ParameterError(
                f"the maps of CAM are those of {name!r}, which are averaged; layer={self.layer!r} is for GradCAM"
            )
        if name not in self._network:
            raise GraphError("CAM needs feature maps, and the input itself is averaged")
        return name

    def _kept(self) -> str:
        return self._average

    def _map(self, maps: Array, gradient: Array) -> Array:
        # The derivative by the averages is the weights.
        weights = gradient.reshape(*gradient.shape[:3], *(1,) * (maps.ndim - 3))
        return total(weights * maps, (2,), keepdims=True)


@dataclass(frozen=True, eq=False)
class GradCAM(ActivationMethod):
    r"""Feature maps weighted by the mean of their gradient (Selvaraju et al. 2017).

    .. math:: R_u = \max\Big(0, \sum_k \alpha_k A_k(u)\Big), \quad \alpha_k = \frac 1 Z \sum_u \frac{\partial f}{\partial A_k(u)}

    Z is the number of pixels of a feature map. The map is enlarged to the input linearly with half-pixel centres, the same in
    every channel (`CONV-CAM-ENLARGED`); `e.at(layer)` is the map itself, (N, 1, h, w). Where a global average and a dense layer
    follow the maps it is max(0, CAM) / Z.

    Parameters
    ----------
    model : of one input, convolutional
    layer : the node whose output are the feature maps; None: that of the last convolution, behind its activation
        (`CONV-CAM-LAYER`)
    relu : whether negative sums become 0, as the paper has it
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    GraphError
        Where there is no convolution.
    UnknownNameError
        Where there is no such node.
    ShapeError
        Where the node's output are no maps over the axes of the input.
    """

    _: KW_ONLY
    relu: bool = True

    formula: ClassVar[str] = r"R_u = \max(0, \sum_k \alpha_k A_k(u))"
    source: ClassVar[str] = "Selvaraju et al. 2017"

    @cached_property
    def _maps(self) -> str:
        model = self._network
        if self.layer is None:
            return last_maps(model, _score_node(self), self.name)
        if self.layer not in model:
            raise unknown("layer", self.layer, [node.name for node in model.nodes])
        return self.layer

    def _map(self, maps: Array, gradient: Array) -> Array:
        axes = tuple(range(3, gradient.ndim))
        pixels = like(math.prod(gradient.shape[3:]), gradient)
        found = total(total(gradient, axes, keepdims=True) / pixels * maps, (2,), keepdims=True)
        return positive(found) if self.relu else found


def _score_node(method: ActivationMethod) -> str:
    """The node whose output is explained: the score before a softmax."""
    found = scores(method._network, method._network.outputs[0], {}, method._head).explained_nodes
    if len(found) != 1:
        raise GraphError(f"{method.name} explains scores of one node, and here they are those of {', '.join(found)}")
    name: str = found[0]
    if name not in method._network:
        raise GraphError(f"{method.name} needs a convolution, and the output is the input {name!r} itself")
    return name


def last_maps(model: Model, explained: str, method: str) -> str:
    """The node behind the last convolution that has its extents: its activation, a batch norm, the end of its residual block.

    Parameters
    ----------
    model : the network
    explained : the node of the scores
    method : what messages call the method

    Raises
    ------
    GraphError
        Where there is no convolution.
    """
    below = ancestors(model, explained)
    found = [node.name for node in model.nodes if node.name in below and isinstance(node.layer, (Conv, ConvTranspose))]
    if not found:
        raise GraphError(
            f"{method} weights feature maps, and no convolution is below {model[explained].title}: layer= names another node of "
            "maps (N, C, *spatial); Occlusion needs none"
        )
    name = found[-1]
    while True:
        after = [node for node in model.readers(name) if node.name in below]
        if len(after) != 1 or not isinstance(after[0].layer, (Elementwise, BatchNorm, Scale, Add, Identity)):
            return name
        name = after[0].name


def enlarged(maps: Array, sample: Shape, method: str) -> Array:
    """Maps in the shape of samples: interpolated linearly with half-pixel centres, the same in every channel.

    Parameters
    ----------
    maps : (N, T, 1, *spatial)
    sample : (C, *spatial)
    method : what messages call the method

    Returns
    -------
    array (N, T, *sample)

    Raises
    ------
    ShapeError
        Where samples have other axes.
    """
    if len(sample) != maps.ndim - 2:
        raise ShapeError(f"{method} enlarges maps of {maps.ndim - 3} axes to the input, whose samples have shape {sample}")
    flat = maps.reshape(math.prod(maps.shape[:2]), *maps.shape[2:])
    large = Resize(to=(1, *sample[1:]), mode="linear").forward(flat)
    return np.array(np.broadcast_to(large.reshape(*maps.shape[:3], *sample[1:]), (*maps.shape[:2], *sample)))


@dataclass(frozen=True, eq=False)
class GuidedGradCAM(GradCAM):
    r"""Guided backpropagation times the enlarged Grad-CAM map, cell by cell (Selvaraju et al. 2017).

    .. math:: R_i = g_i\, \mathrm{GradCAM}_{u(i)}

    g is the gradient of which each ReLU hands the positive part on alone. `e.at(layer)` is the map of Grad-CAM.

    Parameters
    ----------
    model : of one input, convolutional
    layer, relu : as of `GradCAM`
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    GraphError, UnknownNameError, ShapeError
        As `GradCAM`.
    """

    formula: ClassVar[str] = r"R_i = g_i\, \mathrm{GradCAM}_{u(i)}"
    passes: ClassVar[str] = "3 forward, 2 backward"

    def estimate(self) -> Cost:
        return Cost(3, 2)

    @cached_property
    def _guided(self) -> Explainer:
        return self._pass.replace(composite=rectified(GuidedPass(), "guided"), keep="input")

    def _combined(self, large: Array, x: Array, asked: Mapping[str, Any]) -> Array:
        guided = self._guided(x, **asked)
        return np.asarray((guided.relevance if guided.several else guided.relevance[:, None]) * large)
