"""Functions of each element beyond `activations`.

Those that subclass `Activation` are monotone or nearly so and keep the meaning of a neuron: relevance may pass them. The
others (Exp, Log, Pow, …) are plain layers, so that no preset passes relevance through them without being told to.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, check_type, integer, is_exact, like, square_root
from ..errors import ExactnessError, ParameterError, ShapeError
from .activations import Activation, _Irrational, _logistic
from .base import Layer, broadcast, need_arity
from .linear import broadcast_sample


@dataclass(frozen=True, eq=False, repr=False)
class PReLU(Activation):
    """z where z ≥ 0, slope·z elsewhere, with trained slopes (He et al. 2015).

    Parameters
    ----------
    slope : broadcasts against one sample; per channel: (C, 1, 1)
    """

    slope: Any
    parameter_names: ClassVar[tuple[str, ...]] = ("slope",)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        if broadcast_sample(self.slope.shape, inputs[0][1:]) != inputs[0][1:]:
            raise ShapeError(f"PReLU.slope of shape {self.slope.shape} does not fit samples of shape {inputs[0][1:]}")
        return inputs[0]

    def function(self, z: Array) -> Array:
        return np.where(z < like(0, z), z * like(self.slope, z), z)


class _Numbers(_Irrational):
    """An irrational activation whose fields are finite numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in vars(self).items():
            check_number(value, f"{type(self).__name__}.{name}")


@dataclass(frozen=True, eq=False, repr=False)
class ELU(_Numbers):
    """z where z > 0, α(exp(z) − 1) elsewhere (Clevert et al. 2016)."""

    alpha: Any = 1.0

    def function(self, z: Array) -> Array:
        return np.where(z > 0, z, like(self.alpha, z) * np.expm1(np.minimum(z, like(0, z))))


@dataclass(frozen=True, eq=False, repr=False)
class SELU(_Numbers):
    """γ·ELU(z; α) with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017)."""

    alpha: Any = 1.6732632423543772
    gamma: Any = 1.0507009873554805

    def function(self, z: Array) -> Array:
        return np.asarray(like(self.gamma, z) * ELU(self.alpha).function(z))


@dataclass(frozen=True, eq=False, repr=False)
class CELU(_Numbers):
    """max(0, z) + min(0, α(exp(z/α) − 1)) (Barron 2017)."""

    alpha: Any = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha == 0:
            raise ParameterError("CELU.alpha must not be 0")

    def function(self, z: Array) -> Array:
        alpha, zero = like(self.alpha, z), like(0, z)
        # α(exp(z/α) − 1) has the sign of z whatever that of α, so the other side never contributes.
        low = np.minimum(z, zero)
        return np.asarray(np.maximum(z, zero) + np.minimum(zero, alpha * np.expm1(low / alpha)))


@dataclass(frozen=True, eq=False, repr=False)
class SiLU(_Numbers):
    """z·σ(β z), also called swish (Ramachandran et al. 2017); β = 1.702 approximates GELU."""

    beta: Any = 1.0

    def function(self, z: Array) -> Array:
        return np.asarray(z * _logistic(like(self.beta, z) * z))


@dataclass(frozen=True, eq=False, repr=False)
class Mish(_Irrational):
    """z·tanh(log(1 + exp(z))) (Misra 2019)."""

    def function(self, z: Array) -> Array:
        return np.asarray(z * np.tanh(np.logaddexp(like(0, z), z)))


@dataclass(frozen=True, eq=False, repr=False)
class HardSigmoid(Activation):
    """max(0, min(1, αz + β))."""

    alpha: Any = 0.2
    beta: Any = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.alpha, "HardSigmoid.alpha")
        check_number(self.beta, "HardSigmoid.beta")

    def function(self, z: Array) -> Array:
        inner = like(self.alpha, z) * z + like(self.beta, z)
        return np.asarray(np.maximum(like(0, z), np.minimum(like(1, z), inner)))


@dataclass(frozen=True, eq=False, repr=False)
class HardSwish(Activation):
    """z·max(0, min(1, z/6 + 1/2)) (Howard et al. 2019)."""

    def function(self, z: Array) -> Array:
        six = like(6, z)
        return np.asarray(z * np.minimum(six, np.maximum(like(0, z), z + like(3, z))) / six)


@dataclass(frozen=True, eq=False, repr=False)
class Softsign(Activation):
    """z / (1 + |z|)."""

    def function(self, z: Array) -> Array:
        return np.asarray(z / (like(1, z) + abs(z)))


@dataclass(frozen=True, eq=False, repr=False)
class Clip(Activation):
    """min(high, max(low, z)); None: no bound on that side. `Clip(0, 6)` is ReLU6."""

    low: Any = None
    high: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), f"Clip.{name}")

    def function(self, z: Array) -> Array:
        z = z if self.low is None else np.maximum(z, like(self.low, z))
        return z if self.high is None else np.minimum(z, like(self.high, z))


class Function(Layer):
    """A function of each element that relevance does not pass by itself."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return inputs[0]

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return np.asarray(self.function(inputs[0]))

    @abstractmethod
    def function(self, z: Array) -> Array:
        """The function itself."""


def _need_floats(layer: Layer, a: Array) -> None:
    if is_exact(a):
        raise ExactnessError(f"{type(layer).__name__} of a rational is not rational; use float64 arrays")
    check_type(a)


@dataclass(frozen=True, eq=False, repr=False)
class Exp(Function):
    """exp(z)."""

    def function(self, z: Array) -> Array:
        _need_floats(self, z)
        return np.asarray(np.exp(z))


@dataclass(frozen=True, eq=False, repr=False)
class Log(Function):
    """log(z), the natural logarithm; not a number where z < 0."""

    def function(self, z: Array) -> Array:
        _need_floats(self, z)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(z))


@dataclass(frozen=True, eq=False, repr=False)
class Sqrt(Function):
    """√z; of rationals only where it is rational, not a number where z < 0."""

    def function(self, z: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return square_root(z)


@dataclass(frozen=True, eq=False, repr=False)
class Abs(Function):
    """|z|."""

    def function(self, z: Array) -> Array:
        return np.asarray(abs(z))


@dataclass(frozen=True, eq=False, repr=False)
class Reciprocal(Function):
    """1/z."""

    def function(self, z: Array) -> Array:
        if is_exact(z) and (z == like(0, z)).any():
            raise ExactnessError("1/0 is not rational")
        with np.errstate(divide="ignore"):
            return np.asarray(like(1, z) / z)


@dataclass(frozen=True, eq=False, repr=False)
class Erf(Function):
    """The error function, 2/√π ∫₀ᶻ exp(−t²) dt; computed in float64."""

    def function(self, z: Array) -> Array:
        _need_floats(self, z)
        return np.asarray(np.frompyfunc(math.erf, 1, 1)(z.astype(np.float64))).astype(z.dtype).reshape(z.shape)


@dataclass(frozen=True, eq=False, repr=False)
class Pow(Function):
    """z raised to `exponent`, which broadcasts against one sample; of rationals only where all exponents are integers."""

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


class _Pairwise(Layer):
    """A function of inputs that may broadcast against each other."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return broadcast(*inputs)


class _Extreme(_Pairwise):
    inputs: int

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inputs", integer(self.inputs, f"{type(self).__name__}.inputs", 1))

    @property
    def arity(self) -> int:
        return self.inputs


@dataclass(frozen=True, eq=False, repr=False)
class Maximum(_Extreme):
    """The largest of its inputs, element by element."""

    inputs: int = 2

    def forward(self, *inputs: Array) -> Array:
        found = np.broadcast_to(inputs[0], self.shape(*(a.shape for a in inputs)))
        for a in inputs[1:]:
            found = np.maximum(found, a)
        return np.asarray(found)


@dataclass(frozen=True, eq=False, repr=False)
class Minimum(_Extreme):
    """The smallest of its inputs, element by element."""

    inputs: int = 2

    def forward(self, *inputs: Array) -> Array:
        found = np.broadcast_to(inputs[0], self.shape(*(a.shape for a in inputs)))
        for a in inputs[1:]:
            found = np.minimum(found, a)
        return np.asarray(found)


@dataclass(frozen=True, eq=False, repr=False)
class Divide(_Pairwise):
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


@dataclass(frozen=True, eq=False, repr=False)
class Power(_Pairwise):
    """first raised to the power of second."""

    @property
    def arity(self) -> int:
        return 2

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        _need_floats(self, inputs[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(inputs[0] ** inputs[1])


@dataclass(frozen=True, eq=False, repr=False)
class Embedding(Layer):
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
        if (wide != np.rint(wide)).any() or (wide < -rows).any() or (wide >= rows).any():
            raise ParameterError(f"an Embedding of {rows} rows needs whole numbers from {-rows} to {rows - 1}")
        return np.asarray(like(self.weight, inputs[0])[wide.astype(np.int64)])
