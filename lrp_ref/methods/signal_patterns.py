"""PatternNet and PatternAttribution: a gradient whose weights are what the data do, and how that is learnt from data."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ..arrays import Array, divide, is_exact, like, zeros
from ..composites import Composite
from ..composites.matchers import Matcher, Type
from ..errors import ParameterError, RuleError, unknown
from ..explainer import Explainer
from ..forks import cached_property
from ..layers.activations import ReLU
from ..layers.base import Layer
from ..layers.conv import Conv, ConvTranspose
from ..layers.linear import Dense, StackedDense
from ..layers.window import gather
from ..network.canonize import canonize
from ..network.model import Model, ancestors
from ..propagate.explanation import Explanation
from ..rules import Gradient
from .backward_rules import PatternPass
from .base import Cost
from .gradients import GradientMethod

CENTRES = ("positive", "printed")
STARTS = ("one", "score")


@dataclass(frozen=True)
class _Node(Matcher):
    """One node."""

    name: str

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset([self.name]) & frozenset(node.name for node in model.nodes)

    def __repr__(self) -> str:
        return f"node {self.name!r}"


@dataclass(frozen=True, eq=False)
class Patterns:
    r"""The patterns of a network's linear layers: what the signal that each neuron reads looks like in the data.

    For y = wᵀx + b in front of a ReLU, with averages over the data where y > 0 (`CONV-PATTERN-CENTRE`),

    .. math:: a = \frac{E_+[x y] - E_+[x] E_+[y]}{w^\top (E_+[x y] - E_+[x] E_+[y])},

    and over all data for a layer that no ReLU follows. Always wᵀa = 1; where the denominator is 0, as of a neuron that is never
    active, a = 0.

    Attributes
    ----------
    arrays : the pattern of each node's weight, of its shape
    weights : checksums of the weights that they belong to, by node
    centre : "positive", or "printed" for E₊[x] E[y], as Samek et al. 2019, Ch. 14, print it
    """

    arrays: Mapping[str, Array]
    weights: Mapping[str, int]
    centre: str = "positive"

    @classmethod
    def fit(cls, model: Model, data: Iterable[Any], centre: str = "positive") -> Self:
        """Patterns from data, batch after batch: nothing but sums is kept.

        Parameters
        ----------
        model : the network, as it is explained
        data : batches (N, …), or mappings from input names; one array (N, …) is one batch
        centre : "positive" or "printed"

        Raises
        ------
        UnknownNameError
            Where there is no such centre.
        ParameterError
            Where there are no data.
        """
        if centre not in CENTRES:
            raise unknown("centre", centre, CENTRES)
        rewritten = canonize(model, dict(model.input_shape))
        nodes = pattern_nodes(rewritten)
        sums = {name: _Sums(rewritten[name].layer, _before_relu(rewritten, name)) for name in nodes}
        batches = [data] if isinstance(data, (np.ndarray, Mapping)) else data
        count = 0
        for batch in batches:
            values = rewritten.trace(batch).activations
            count += len(next(iter(values.values())))
            for name, sum_of in sums.items():
                sum_of.add(values[rewritten[name].inputs[0]])
        if not count:
            raise ParameterError("there are no data to fit patterns to")
        arrays = {name: sum_of.pattern(centre) for name, sum_of in sums.items()}
        return cls(arrays, {name: _checksum(rewritten[name].layer) for name in nodes}, centre)


def pattern_nodes(model: Model) -> tuple[str, ...]:
    """The nodes that have a pattern: dense layers and convolutions.

    Parameters
    ----------
    model : canonised
    """
    return tuple(node.name for node in model.nodes if isinstance(node.layer, (Dense, Conv)))


def _before_relu(model: Model, name: str) -> bool:
    """Whether all that reads a node is a ReLU."""
    readers = model.readers(name)
    return bool(readers) and all(isinstance(node.layer, ReLU) for node in readers)


def _checksum(layer: Layer) -> int:
    weight = next(iter(layer.parameters.values()))
    text = "".join(map(str, weight.flat)).encode() if is_exact(weight) else np.ascontiguousarray(weight).tobytes()
    return zlib.crc32(text, weight.size)


class _Sums:
    """What a layer's patterns are made of, added up over the data: of x, y, x y and of ones, where y counts."""

    def __init__(self, layer: Any, rectified: bool) -> None:
        self.layer, self.rectified = layer, rectified
        self.count: Any = 0
        self.y_everywhere: Any = 0
        self.many: Any = 0
        self.x: Any = 0
        self.y: Any = 0
        self.xy: Any = 0

    def add(self, a: Array) -> None:
        """The sums of one batch, inputs (N, …) of the layer."""
        a = a if is_exact(a) else a.astype(np.float64)
        x, w = self._rows(a), self._weight(a)  # (groups, rows, lower), (groups, upper, lower)
        y = x @ w.swapaxes(1, 2) + self._bias(a)
        counts = np.where(y > like(0, y), like(1, y), like(0, y)) if self.rectified else zeros(y.shape, y) + like(1, y)
        seen = counts.swapaxes(1, 2)  # (groups, upper, rows)
        self.count = self.count + seen.sum(axis=2)
        self.x = self.x + seen @ x
        self.y = self.y + (counts * y).sum(axis=1)
        self.xy = self.xy + (counts * y).swapaxes(1, 2) @ x
        self.y_everywhere = self.y_everywhere + y.sum(axis=1)
        self.many = self.many + y.shape[1]

    def pattern(self, centre: str) -> Array:
        """The pattern, of the weight's shape."""
        w = self._weight(self.xy)
        alive = self.count != like(0, self.count)
        mean_x = divide(self.x, self.count[..., None], alive[..., None])
        mean_xy = divide(self.xy, self.count[..., None], alive[..., None])
        mean_y = divide(self.y, self.count, alive)
        if centre == "printed" and self.rectified:
            mean_y = self.y_everywhere / like(self.many, self.y_everywhere)
        covariance = mean_xy - mean_x * mean_y[..., None]
        scale = (w * covariance).sum(axis=2, keepdims=True)
        found = divide(covariance, scale, scale != like(0, scale))
        weight = self.layer.weight
        flat = found.reshape(-1, found.shape[2])
        shaped = flat.T if isinstance(self.layer, Dense) else flat.reshape(weight.shape)
        return np.asarray(like(shaped, weight) if not is_exact(found) else shaped)

    def _rows(self, a: Array) -> Array:
        """What each neuron reads, (groups, rows, lower)."""
        if isinstance(self.layer, Dense):
            return a.reshape(1, -1, a.shape[-1])
        window, groups = self.layer.window, self.layer.groups
        cells = gather(a, window, window.outputs(a.shape[2:]))  # (N, C, taps, *out)
        split = cells.reshape(len(a), groups, a.shape[1] // groups * cells.shape[2], -1)
        return np.asarray(split.transpose(1, 0, 3, 2).reshape(groups, -1, split.shape[2]))

    def _weight(self, a: Array) -> Array:
        """(groups, upper, lower)."""
        weight = like(self.layer.weight, a)
        if isinstance(self.layer, Dense):
            return weight.T[None]
        groups = self.layer.groups
        return weight.reshape(groups, weight.shape[0] // groups, -1)

    def _bias(self, a: Array) -> Array:
        bias = self.layer.bias
        if bias is None:
            return like(0, a)
        return like(bias, a).reshape(-1).reshape(1 if isinstance(self.layer, Dense) else self.layer.groups, 1, -1)


@dataclass(frozen=True, eq=False)
class PatternNet(GradientMethod):
    r"""PatternNet: a gradient whose weights are the patterns of the data (Kindermans et al. 2018).

    .. math:: R_j = \sum_k a_{jk} R_k \text{ at a linear layer}, \qquad R = J^\top R \text{ elsewhere}

    Parameters
    ----------
    model : the network
    patterns : `Patterns.fit(model, data)`
    start : "one" at the score, or the "score" itself (`CONV-PATTERN-START`)
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError
        Where patterns are missing, or belong to other weights.
    RuleError
        Where a linear layer has a weight and no pattern, such as a transposed convolution.
    """

    patterns: Patterns | None = None
    start: str = "one"

    formula: ClassVar[str] = r"R_j = \sum_k a_{jk} R_k \text{ at a linear layer}, R = J^T R \text{ elsewhere}"
    needs: ClassVar[str] = "data (Patterns.fit), dense layers and convolutions"
    source: ClassVar[str] = "Kindermans et al. 2018; Samek et al. 2019, Ch. 14 and 22"

    def _check(self) -> None:
        if self.start not in STARTS:
            raise unknown("start", self.start, STARTS)
        if not isinstance(self.patterns, Patterns):
            raise ParameterError(f"{self.name} needs patterns=methods.Patterns.fit(model, data), found {self.patterns!r}")
        super()._check()

    @classmethod
    def fit(cls, model: Model, data: Iterable[Any], centre: str = "positive", **choices: Any) -> Self:
        """The method with patterns from data, `Patterns.fit`.

        Parameters
        ----------
        model, data, centre : as of `Patterns.fit`
        choices : other parameters of the constructor
        """
        return cls(model, Patterns.fit(model, data, centre), **choices)

    @property
    def parameters(self) -> dict[str, Any]:
        assert self.patterns is not None
        mark = zlib.crc32("".join(str(_sum_of(a)) for a in self.patterns.arrays.values()).encode())
        return {"start": self.start, "centre": self.patterns.centre, "patterns": f"CRC-32 {mark:08x}"}

    def estimate(self) -> Cost:
        return Cost(1, 1)

    @cached_property
    def _pass(self) -> Explainer:
        assert self.patterns is not None
        scorer = self._scorer
        model = canonize(scorer.model, dict(scorer.model.input_shape))
        below = ancestors(model, *model.outputs)
        entries = [(_Node(name), PatternPass(self._weight_of(model, name))) for name in pattern_nodes(model) if name in below]
        weighted = [n.name for n in model.nodes if n.name in below and _without_pattern(n.layer)]
        if weighted:
            raise RuleError(
                f"{self.name} has patterns of dense layers and convolutions; {', '.join(weighted)} have weights of another kind"
            )
        return self._explainer(Composite((*entries, (Type(Layer), Gradient())), self.name))

    @cached_property
    def _fitting(self) -> Model:
        """The model as patterns are fitted to it, in its own number type."""
        return canonize(self.model, dict(self.model.input_shape))

    def _weight_of(self, model: Model, name: str) -> Array:
        """What stands in place of a node's weight."""
        assert self.patterns is not None
        if name not in self.patterns.arrays:
            raise ParameterError(
                f"the patterns have none of node {name!r}: fit them to this model with methods.Patterns.fit(model, data)"
            )
        if self.patterns.weights.get(name) != _checksum(self._fitting[name].layer):
            raise ParameterError(
                f"the pattern of node {name!r} was fitted to other weights: fit patterns to this model with methods.Patterns.fit"
            )
        return self._pattern(model[name].layer, self.patterns.arrays[name])

    def _pattern(self, layer: Any, pattern: Array) -> Array:
        return pattern

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        e = self._pass(x, target, targets=targets, contrast=contrast)
        if self.start == "one":
            return self._renamed(e)
        if contrast is not None:
            raise ParameterError("start='score' has one score, and contrast= explains a difference: start='one', or no contrast=")
        scaled = {name: a * e.value.reshape(*e.value.shape, *(1,) * (a.ndim - e.value.ndim)) for name, a in e.relevances.items()}
        return self._renamed(e, relevances=scaled)


@dataclass(frozen=True, eq=False)
class PatternAttribution(PatternNet):
    r"""PatternAttribution: a gradient whose weights are w ⊙ a, weights times patterns of the data (Kindermans et al. 2018).

    .. math:: R_j = \sum_k a_{jk} w_{jk} R_k \text{ at a linear layer}, \qquad R = J^\top R \text{ elsewhere}

    Parameters
    ----------
    model : the network
    patterns : `Patterns.fit(model, data)`
    start : "one" at the score, or the "score" itself (`CONV-PATTERN-START`)
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    formula: ClassVar[str] = r"R_j = \sum_k a_{jk} w_{jk} R_k \text{ at a linear layer}, R = J^T R \text{ elsewhere}"

    def _pattern(self, layer: Any, pattern: Array) -> Array:
        return np.asarray(like(layer.weight, pattern) * pattern)


def _without_pattern(layer: Layer) -> bool:
    """Whether a linear layer has a weight that is learnt, and no pattern."""
    return isinstance(layer, (ConvTranspose, StackedDense))


def _sum_of(array: Array) -> Any:
    return array.sum()
