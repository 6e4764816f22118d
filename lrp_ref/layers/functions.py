"""Functions of each element that no preset passes relevance through: exp, log, powers, extremes, quotients; and Embedding."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_type, integer, is_exact, like, square_root, sum_to
from ..errors import ExactnessError, ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import BaseEmbedding, Elementwise, Layer, broadcast, need_arity
from .linear import broadcast_sample


class Function(Elementwise):
    """A function of each element that relevance does not pass by itself."""


def _need_floats(layer: Layer, a: Array) -> None:
    if is_exact(a):
        raise ExactnessError(f"{type(layer).__name__} of a rational is not rational; use float64 arrays")
    check_type(a)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Exp(Function):
    """exp(z)."""

    def function(self, z: Array) -> Array:
        _need_floats(self, z)
        return np.asarray(np.exp(z))

    def derivative(self, z: Array, output: Array) -> Array:
        return output


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Log(Function):
    """log(z), the natural logarithm; not a number where z < 0."""

    def function(self, z: Array) -> Array:
        _need_floats(self, z)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(z))

    def derivative(self, z: Array, output: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(like(1, z) / z)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Sqrt(Function):
    """√z; of rationals only where it is rational, not a number where z < 0."""

    def function(self, z: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return square_root(z)

    def derivative(self, z: Array, output: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray(like(0.5, z) / output)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Sign(Function):
    """−1, 0 or 1, as z is negative, 0 or positive."""

    def function(self, z: Array) -> Array:
        return np.where(z > like(0, z), like(1, z), np.where(z < like(0, z), like(-1, z), like(0, z)))

    def derivative(self, z: Array, output: Array) -> Array:
        return like(0, z)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Reciprocal(Function):
    """1/z."""

    def function(self, z: Array) -> Array:
        if is_exact(z) and (z == like(0, z)).any():
            raise ExactnessError("1/0 is not rational")
        with np.errstate(divide="ignore"):
            return np.asarray(like(1, z) / z)

    def derivative(self, z: Array, output: Array) -> Array:
        return np.asarray(-output * output)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Erf(Function):
    """The error function, 2/√π ∫₀ᶻ exp(−t²) dt; computed in float64."""

    def function(self, z: Array) -> Array:
        _need_floats(self, z)
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(z.astype(np.float64))).astype(z.dtype).reshape(z.shape)

    def derivative(self, z: Array, output: Array) -> Array:
        return np.asarray(like(2 / math.sqrt(math.pi), z) * np.exp(-z * z))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Pow(Function):
    """z raised to `exponent`, which broadcasts against one sample; of rationals only where all exponents are integers.

    Parameters
    ----------
    exponent : a number, or an array that broadcasts against one sample
    """

    exponent: Any = 2.0
    parameter_names: ClassVar[tuple[str, ...]] = ("exponent",)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        if broadcast_sample(self.exponent.shape, inputs[0][1:]) != inputs[0][1:]:
            raise ShapeError(f"Pow.exponent of shape {self.exponent.shape} does not fit samples of shape {inputs[0][1:]}")
        return inputs[0]

    def function(self, z: Array) -> Array:
        if is_exact(z):
            whole = np.asarray([int(e) for e in self.exponent.flat], dtype=object).reshape(self.exponent.shape)
            if (whole != self.exponent).any() or ((z == like(0, z)) & (whole < 0)).any():
                raise ExactnessError(f"a rational to the power of {self} is not rational")
            return np.asarray(z**whole, dtype=object)
        if self.exponent.size == 1 and self.exponent.flat[0] == 2:
            return np.asarray(z * z)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(z ** like(self.exponent, z))

    def derivative(self, z: Array, output: Array) -> Array:
        exponent = like(self.exponent, z)
        lower = Pow(np.where(self.exponent == 0, self.exponent, self.exponent - like(1, self.exponent)))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(exponent == like(0, z), like(0, z), exponent * lower.function(z))


class Pairwise(Layer):
    """A function of inputs that may broadcast against each other."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return broadcast(*inputs)


class Choice(Pairwise):
    """Of several signals one, element by element."""

    @abstractmethod
    def chosen(self, inputs: tuple[Array, ...], output: Array) -> tuple[Array, ...]:
        """For every input where the output is that input, as Boolean arrays that broadcast against the output; at most one is."""

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        chosen, none = self.chosen(inputs, output), like(0, upper)
        return tuple(sum_to(np.where(mask, upper, none), a.shape) for mask, a in zip(chosen, inputs, strict=True))


class _Extreme(Choice):
    """The largest or smallest of several inputs; of equal ones the first counts, for the gradient too."""

    inputs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inputs", integer(self.inputs, f"{type(self).__name__}.inputs", 1))

    @property
    def arity(self) -> int:
        return self.inputs

    def chosen(self, inputs: tuple[Array, ...], output: Array) -> tuple[Array, ...]:
        free, winners = np.ones(output.shape, dtype=bool), []
        for a in inputs:
            wins = np.asarray(a == output, dtype=bool) & free
            free &= ~wins
            winners.append(wins)
        return tuple(winners)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Maximum(_Extreme):
    """The largest of its inputs, element by element.

    Parameters
    ----------
    inputs : how many arrays it takes, at least 1; they broadcast against each other
    """

    inputs: int = 2

    def forward(self, *inputs: Array) -> Array:
        largest = np.broadcast_to(inputs[0], self.shape(*(a.shape for a in inputs)))
        for a in inputs[1:]:
            largest = np.maximum(largest, a)
        return np.asarray(largest)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Minimum(_Extreme):
    """The smallest of its inputs, element by element.

    Parameters
    ----------
    inputs : how many arrays it takes, at least 1; they broadcast against each other
    """

    inputs: int = 2

    def forward(self, *inputs: Array) -> Array:
        smallest = np.broadcast_to(inputs[0], self.shape(*(a.shape for a in inputs)))
        for a in inputs[1:]:
            smallest = np.minimum(smallest, a)
        return np.asarray(smallest)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Divide(Pairwise):
    """first / second."""

    @property
    def arity(self) -> int:
        return 2

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        if is_exact(inputs[1]) and (inputs[1] == like(0, inputs[1])).any():
            raise ExactnessError("a division by 0 is not rational")
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(inputs[0] / inputs[1])

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        top, bottom = inputs
        with np.errstate(divide="ignore", invalid="ignore"):
            share = upper / bottom
            return sum_to(share, top.shape), sum_to(-share * output, bottom.shape)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Power(Pairwise):
    """first raised to the power of second."""

    @property
    def arity(self) -> int:
        return 2

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        _need_floats(self, inputs[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(inputs[0] ** inputs[1])

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        base, exponent = inputs
        zero, one = like(0, upper), like(1, upper)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(exponent == zero, zero, exponent * base ** (exponent - one))
            growth = np.where(output == zero, zero, output * np.log(np.where(output == zero, one, base)))
        return sum_to(upper * slope, base.shape), sum_to(upper * growth, exponent.shape)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Embedding(BaseEmbedding):
    """Rows of a table: (N, …) whole numbers → (N, …, features).

    Parameters
    ----------
    weight : (rows, features). An index is given as a floating point number, as all inputs of a model are; negative ones
        count from the end
    """

    weight: Any
    parameter_names: ClassVar[tuple[str, ...]] = ("weight",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim != 2:
            raise ShapeError(f"Embedding.weight must be (rows, features), found shape {self.weight.shape}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return (*inputs[0], self.weight.shape[1])

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        rows = self.weight.shape[0]
        wide = inputs[0].astype(np.float64)
        wrong = (wide != np.rint(wide)) | (wide < -rows) | (wide >= rows)
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0].tolist())
            raise ParameterError(
                f"an Embedding of {rows} rows needs whole numbers from {-rows} to {rows - 1}, found {wide[place]:g} at {place}"
            )
        return np.asarray(like(self.weight, inputs[0])[wide.astype(np.int64)])
