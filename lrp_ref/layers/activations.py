"""Elementwise activations, and softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, Shape, check_number, check_type, integer, is_exact, like, positive, total
from ..errors import DerivativeError, ExactnessError, ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Elementwise, need_arity


class Activation(Elementwise):
    """A function of each element; relevance passes through it (Samek et al. 2021, §1.4.3)."""


class _Irrational(Activation):
    """An activation that has no rational value."""

    def forward(self, *inputs: Array) -> Array:
        if any(is_exact(a) for a in inputs):
            raise ExactnessError(f"{type(self).__name__} of a rational is not rational; use float64 arrays")
        for a in inputs:
            check_type(a)
        return super().forward(*inputs)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class ReLU(Activation):
    """max(0, z)."""

    def function(self, z: Array) -> Array:
        return positive(z)

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(z > like(0, z), like(1, z), like(0, z))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LeakyReLU(Activation):
    """z where z ≥ 0, slope·z elsewhere.

    Parameters
    ----------
    slope : the factor of negative z, one number
    """

    slope: Any = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.slope, "LeakyReLU.slope")

    def function(self, z: Array) -> Array:
        return np.where(z < like(0, z), z * like(self.slope, z), z)

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(z > like(0, z), like(1, z), like(self.slope, z))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Tanh(_Irrational):
    """tanh(z)."""

    def function(self, z: Array) -> Array:
        return np.asarray(np.tanh(z))

    def derivative(self, z: Array, output: Array) -> Array:
        # 1/cosh² as 4 σ(2z) σ(−2z): 1 − tanh² cancels where tanh is near ±1.
        one, two = like(1, z), like(2, z)
        small = np.exp(-two * np.abs(z))
        return np.asarray(two * two * small / ((one + small) * (one + small)))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Sigmoid(_Irrational):
    """1 / (1 + exp(−z)), without overflow for either sign."""

    def function(self, z: Array) -> Array:
        return _logistic(z)

    def derivative(self, z: Array, output: Array) -> Array:
        return _logistic(z) * _logistic(-z)  # σ(−z) is 1 − σ(z) without cancellation


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LogSigmoid(_Irrational):
    """log(1 / (1 + exp(−z))), without overflow for either sign.

    At the end of a network it shows a probability, as a sigmoid does.
    """

    def function(self, z: Array) -> Array:
        return np.asarray(-np.logaddexp(like(0, z), -z))

    def derivative(self, z: Array, output: Array) -> Array:
        return _logistic(-z)


def _logistic(z: Array) -> Array:
    """1 / (1 + exp(−z)), accurate relative to itself on both sides."""
    small = np.exp(-np.abs(z))
    one = like(1, z)
    return np.asarray(np.where(z >= 0, one, small) / (one + small))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class GELU(_Irrational):
    """z·Φ(z) (Hendrycks & Gimpel 2016); `approximate="tanh"` is their approximation.

    Parameters
    ----------
    approximate : "none" for the exact Φ, the normal distribution function, or "tanh" for its approximation
    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.approximate not in ("none", "tanh"):
            raise ParameterError(f'GELU.approximate must be "none" or "tanh", found {self.approximate!r}')

    def function(self, z: Array) -> Array:
        if self.approximate == "tanh":
            # ½(1 + tanh y) = 1 / (1 + exp(−2y)): the right side does not cancel in the left tail.
            inner = like(math.sqrt(8 / math.pi), z) * (z + like(0.044715, z) * z * z * z)
            return np.asarray(z * _logistic(inner))
        wide = z.astype(np.float64)
        return np.asarray(wide * _normal(wide)).astype(z.dtype)

    def derivative(self, z: Array, output: Array) -> Array:
        if self.approximate == "tanh":
            # d/dz z σ(u) = σ(u) + z u' σ(u) σ(−u)
            root, cubic = like(math.sqrt(8 / math.pi), z), like(0.044715, z)
            inner = root * (z + cubic * z * z * z)
            slope = root * (like(1, z) + like(3, z) * cubic * z * z)
            return np.asarray(_logistic(inner) + z * slope * _logistic(inner) * _logistic(-inner))
        wide = z.astype(np.float64)
        density = np.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
        return np.asarray(_normal(wide) + wide * density).astype(z.dtype)


def _normal(z: Array) -> Array:
    """Φ(z) from erfc, which keeps its relative accuracy in the left tail; NumPy has none, Python one in float64."""
    tail = np.asarray(np.frompyfunc(math.erfc, 1, 1)(z * -math.sqrt(0.5))).astype(np.float64).reshape(z.shape)
    return np.asarray(0.5 * tail)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Softplus(_Irrational):
    """log(1 + exp(β z)) / β, without overflow.

    Parameters
    ----------
    beta : β > 0, how fast the kink of ReLU is approached
    """

    beta: Any = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.beta, "Softplus.beta")
        if self.beta <= 0:
            raise ParameterError(f"Softplus.beta must be positive, found {self.beta!r}")

    def function(self, z: Array) -> Array:
        beta = like(self.beta, z)
        return np.asarray(np.logaddexp(like(0, z), beta * z) / beta)

    def derivative(self, z: Array, output: Array) -> Array:
        return _logistic(like(self.beta, z) * z)


class _Normalising(_Irrational):
    """A function of all elements along an axis."""

    axis: int

    def derivative(self, z: Array, output: Array) -> Array:
        raise DerivativeError(f"{type(self).__name__} is not an elementwise function: use vjp")

    def _sum(self, a: Array) -> Array:
        return total(a, (self.axis % a.ndim,), keepdims=True)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Softmax(_Normalising):
    """exp(z) / Σ exp(z) over `axis`.

    At the end of a network an explanation starts before it, and a head must be chosen (`lrp_ref.heads`).

    Parameters
    ----------
    axis : the axis of the classes, counted with the batch axis, which it may not be
    """

    axis: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axis", integer(self.axis, f"{type(self).__name__}.axis"))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        axis = self.axis + len(inputs[0]) if self.axis < 0 else self.axis
        if not 0 < axis < len(inputs[0]):
            raise ShapeError(f"axis {self.axis} does not exist beside a batch axis in an input of shape {inputs[0]}")
        if not inputs[0][axis]:
            raise ShapeError(f"nothing to normalise over axis {self.axis} of an input of shape {inputs[0]}")
        return inputs[0]

    def function(self, z: Array) -> Array:
        powers = np.exp(z - z.max(axis=self.axis, keepdims=True))
        return np.asarray(powers / total(powers, (self.axis,), keepdims=True))

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        # J = diag(p) − p pᵀ
        return (np.asarray(output * (upper - self._sum(upper * output))),)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LogSoftmax(Softmax):
    """log(softmax(z)) over `axis`.

    Parameters
    ----------
    axis : the axis of the classes, counted with the batch axis, which it may not be
    """

    def function(self, z: Array) -> Array:
        shifted = z - z.max(axis=self.axis, keepdims=True)
        return np.asarray(shifted - np.log(total(np.exp(shifted), (self.axis,), keepdims=True)))

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        # J = I − 1 pᵀ
        return (np.asarray(upper - np.exp(output) * self._sum(upper)),)
