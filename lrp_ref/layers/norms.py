"""Normalisations whose statistics come from the input itself: LRN, Instance-, Layer- and GroupNorm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, check_type, integer, is_exact, like, square_root, sum_to, zeros
from ..errors import ExactnessError, ParameterError, ShapeError
from .base import Layer, need_arity, need_rank
from .linear import broadcast_sample


@dataclass(frozen=True, eq=False, repr=False)
class LRN(Layer):
    r"""Local response normalisation across channels, :math:`z_c = a_c / (k + \frac{\alpha}{n} \sum_{c'} a_{c'}^2)^\beta`.

    The sum goes over ⌊(n−1)/2⌋ channels below c and ⌈(n−1)/2⌉ above (Krizhevsky et al. 2012, §3.3, with ONNX's and Caffe's α/n).

    Parameters
    ----------
    size : n
    alpha, beta, k : the constants of the formula
    """

    size: int = 5
    alpha: Any = 1e-4
    beta: Any = 0.75
    k: Any = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", integer(self.size, "LRN.size", 1))
        for name in ("alpha", "beta", "k"):
            check_number(getattr(self, name), f"LRN.{name}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 2, "(N, C, …)", max(2, len(inputs[0])))
        return inputs[0]

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        a = inputs[0]
        if is_exact(a):
            raise ExactnessError("LRN of rationals is not rational; use float64 arrays")
        check_type(a)
        channels, below, above = a.shape[1], (self.size - 1) // 2, self.size // 2
        squares, total = a * a, zeros(a.shape, a)
        for step in range(-min(below, channels - 1), min(above, channels - 1) + 1):
            total[:, max(0, -step) : channels - max(0, step)] += squares[:, max(0, step) : channels + min(0, step)]
        base = like(self.k, a) + like(self.alpha, a) / like(self.size, a) * total
        return np.asarray(a / base ** like(self.beta, a))


class _Normalised(Layer):
    r"""A normalisation by mean and variance of groups of elements: :math:`z = \gamma\,(a - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta`."""

    scale: Any
    shift: Any
    epsilon: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.epsilon, f"{type(self).__name__}.epsilon", 0)

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        """A shape of the same elements, and its axes that are normalised over."""
        raise NotImplementedError

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        """γ and β, broadcastable against `shape`."""
        raise NotImplementedError

    def statistics(self, a: Array) -> tuple[Array, Array]:
        """Mean and 1/√(σ² + ε) of every element's group, broadcastable against the grouped input."""
        grouped, axes = self._grouped(a.shape)
        kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(grouped))
        count = like(math.prod(grouped[axis] for axis in axes), a)
        values = a.reshape(grouped)
        mean = sum_to(values, kept) / count
        centred = values - mean
        variance = sum_to(centred * centred, kept) / count
        return mean, np.asarray(like(1, a) / square_root(variance + like(self.epsilon, a)))

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        a = inputs[0]
        grouped, _ = self._grouped(a.shape)
        mean, inverse = self.statistics(a)
        z = ((a.reshape(grouped) - mean) * inverse).reshape(a.shape)
        scale, shift = self._affine(a.shape)
        z = z if scale is None else z * like(scale, a)
        return np.asarray(z if shift is None else z + like(shift, a))

    def _per_channel(self, shape: Shape) -> Shape:
        need_rank(shape, 3, "(N, C, …)", max(3, len(shape)))
        for name, value in self.parameters.items():
            if value.shape != (shape[1],):
                raise ShapeError(f"{type(self).__name__}.{name} of shape {value.shape} does not fit {shape[1]} channels")
        return shape

    def _on_channels(self, shape: Shape) -> tuple[Array | None, Array | None]:
        ones = (1,) * (len(shape) - 2)
        found = [None if value is None else np.asarray(value).reshape(-1, *ones) for value in (self.scale, self.shift)]
        return found[0], found[1]


def _need_elements(shape: Shape, axes: tuple[int, ...]) -> None:
    if not math.prod(shape[axis] for axis in axes):
        raise ShapeError(f"nothing to normalise over in an input of shape {shape}")


@dataclass(frozen=True, eq=False, repr=False)
class InstanceNorm(_Normalised):
    """Each channel of each sample normalised over its spatial axes (Ulyanov et al. 2016).

    Parameters
    ----------
    scale, shift : (C,) γ and β; None: 1 and 0
    epsilon : inside the square root
    """

    scale: Any = None
    shift: Any = None
    epsilon: Any = 1e-5
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "shift")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        shape = self._per_channel(inputs[0])
        _need_elements(shape, tuple(range(2, len(shape))))
        return shape

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        return shape, tuple(range(2, len(shape)))

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        return self._on_channels(shape)


@dataclass(frozen=True, eq=False, repr=False)
class GroupNorm(_Normalised):
    """Groups of channels of each sample normalised together (Wu & He 2018).

    Parameters
    ----------
    groups : divides the channels
    scale, shift : (C,) γ and β; None: 1 and 0
    epsilon : inside the square root
    """

    groups: int = 1
    scale: Any = None
    shift: Any = None
    epsilon: Any = 1e-5
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "groups", integer(self.groups, "GroupNorm.groups", 1))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        shape = self._per_channel(inputs[0])
        if shape[1] % self.groups:
            raise ShapeError(f"GroupNorm.groups = {self.groups} must divide the {shape[1]} channels")
        _need_elements(shape, tuple(range(1, len(shape))))
        return shape

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        grouped = (shape[0], self.groups, shape[1] // self.groups, *shape[2:])
        return grouped, tuple(range(2, len(grouped)))

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        return self._on_channels(shape)


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(_Normalised):
    """Each sample normalised over its last `axes` axes (Ba et al. 2016).

    Parameters
    ----------
    axes : how many of the last axes are normalised together; the batch axis may not be among them
    scale, shift : broadcast against these axes; None: 1 and 0
    epsilon : inside the square root
    """

    axes: int = 1
    scale: Any = None
    shift: Any = None
    epsilon: Any = 1e-5
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axes", integer(self.axes, "LayerNorm.axes", 1))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        if self.axes >= len(inputs[0]):
            raise ShapeError(f"{self.axes} axes to normalise over do not exist beside a batch axis in {inputs[0]}")
        last = inputs[0][-self.axes :]
        _need_elements(inputs[0], tuple(range(len(inputs[0]) - self.axes, len(inputs[0]))))
        for name, value in self.parameters.items():
            if broadcast_sample(value.shape, last) != last:
                raise ParameterError(f"LayerNorm.{name} of shape {value.shape} does not fit the normalised axes {last}")
        return inputs[0]

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        return shape, tuple(range(len(shape) - self.axes, len(shape)))

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        return self.scale, self.shift
