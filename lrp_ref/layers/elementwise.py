"""Activations beyond those of `activations`: relevance may pass them, as it passes ReLU."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, like
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .activations import Activation, Tanh, _Irrational, _logistic
from .base import need_arity
from .linear import broadcast_sample


@lazy_dataclass(frozen=True, eq=False, repr=False)
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

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(z > like(0, z), like(1, z), like(self.slope, z))


class _Numbers(_Irrational):
    """An irrational activation whose fields are finite numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in vars(self).items():
            check_number(value, f"{type(self).__name__}.{name}")


@lazy_dataclass(frozen=True, eq=False, repr=False)
class ELU(_Numbers):
    """z where z > 0, α(exp(z) − 1) elsewhere (Clevert et al. 2016).

    Parameters
    ----------
    alpha : α, minus the limit of the function where z → −∞
    """

    alpha: Any = 1.0

    def function(self, z: Array) -> Array:
        return np.where(z > 0, z, like(self.alpha, z) * np.expm1(np.minimum(z, like(0, z))))

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(z > 0, like(1, z), like(self.alpha, z) * np.exp(np.minimum(z, like(0, z))))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class SELU(_Numbers):
    """γ·ELU(z; α) with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017).

    Parameters
    ----------
    alpha, gamma : α and γ; their usual values are Klambauer's
    """

    alpha: Any = 1.6732632423543772
    gamma: Any = 1.0507009873554805

    def function(self, z: Array) -> Array:
        return np.asarray(like(self.gamma, z) * ELU(self.alpha).function(z))

    def derivative(self, z: Array, output: Array) -> Array:
        return np.asarray(like(self.gamma, z) * ELU(self.alpha).derivative(z, output))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class CELU(_Numbers):
    """max(0, z) + min(0, α(exp(z/α) − 1)) (Barron 2017).

    Parameters
    ----------
    alpha : α ≠ 0; the function goes to −α where z → −∞ (for α > 0)
    """

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

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(z > 0, like(1, z), np.exp(np.minimum(z, like(0, z)) / like(self.alpha, z)))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class SiLU(_Numbers):
    """z·σ(β z), also called swish (Ramachandran et al. 2017); β = 1.702 approximates GELU.

    Parameters
    ----------
    beta : β, the factor of z inside the sigmoid; 1 is SiLU itself
    """

    beta: Any = 1.0

    def function(self, z: Array) -> Array:
        return np.asarray(z * _logistic(like(self.beta, z) * z))

    def derivative(self, z: Array, output: Array) -> Array:
        inner = like(self.beta, z) * z
        return np.asarray(_logistic(inner) + inner * _logistic(inner) * _logistic(-inner))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Mish(_Irrational):
    """z·tanh(log(1 + exp(z))) (Misra 2019)."""

    def function(self, z: Array) -> Array:
        return np.asarray(z * np.tanh(np.logaddexp(like(0, z), z)))

    def derivative(self, z: Array, output: Array) -> Array:
        # u = log(1 + exp z), u' = σ(z): tanh(u) + z u'/cosh²(u)
        inner = np.logaddexp(like(0, z), z)
        return np.asarray(np.tanh(inner) + z * _logistic(z) * Tanh().derivative(inner, inner))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class HardSigmoid(Activation):
    """max(0, min(1, αz + β)).

    Parameters
    ----------
    alpha : α, the slope between the bounds
    beta : β, the value at z = 0
    """

    alpha: Any = 0.2
    beta: Any = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.alpha, "HardSigmoid.alpha")
        check_number(self.beta, "HardSigmoid.beta")

    def function(self, z: Array) -> Array:
        inner = like(self.alpha, z) * z + like(self.beta, z)
        return np.asarray(np.maximum(like(0, z), np.minimum(like(1, z), inner)))

    def derivative(self, z: Array, output: Array) -> Array:
        inner = like(self.alpha, z) * z + like(self.beta, z)
        return np.where((inner > like(0, z)) & (inner < like(1, z)), like(self.alpha, z), like(0, z))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class HardSwish(Activation):
    """z·max(0, min(1, z/6 + 1/2)) (Howard et al. 2019)."""

    def function(self, z: Array) -> Array:
        six = like(6, z)
        return np.asarray(z * np.minimum(six, np.maximum(like(0, z), z + like(3, z))) / six)

    def derivative(self, z: Array, output: Array) -> Array:
        three = like(3, z)
        middle = z / three + like(0.5, z)  # d/dz z(z + 3)/6
        return np.where(z <= -three, like(0, z), np.where(z >= three, like(1, z), middle))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Softsign(Activation):
    """z / (1 + |z|)."""

    def function(self, z: Array) -> Array:
        return np.asarray(z / (like(1, z) + abs(z)))

    def derivative(self, z: Array, output: Array) -> Array:
        scale = like(1, z) + abs(z)
        return np.asarray(like(1, z) / (scale * scale))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Clip(Activation):
    """min(high, max(low, z)); None: no bound on that side. `Clip(0, 6)` is ReLU6.

    Parameters
    ----------
    low, high : the smallest and the largest output, one number each; None: no bound on that side
    """

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

    def derivative(self, z: Array, output: Array) -> Array:
        inside = np.ones(z.shape, dtype=bool)
        for bound, sign in ((self.low, 1), (self.high, -1)):
            if bound is not None:
                inside &= np.asarray((z - like(bound, z)) * like(sign, z) > like(0, z), dtype=bool)
        return np.where(inside, like(1, z), like(0, z))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Abs(Activation):
    """|z|, of slope 1 or −1: under LRP-0 what passes is gradient × input."""

    def function(self, z: Array) -> Array:
        return np.asarray(abs(z))

    def derivative(self, z: Array, output: Array) -> Array:
        one, zero = like(1, z), like(0, z)
        return np.where(z > zero, one, np.where(z < zero, -one, zero))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Threshold(Activation):
    """z where z > threshold, value elsewhere (ONNX's ThresholdedRelu has the value 0).

    Parameters
    ----------
    threshold : z must be larger to pass, one number
    value : what stands for a z that is not, one number
    """

    threshold: Any = 1.0
    value: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threshold", "value"):
            check_number(getattr(self, name), f"Threshold.{name}")

    def function(self, z: Array) -> Array:
        return np.where(z > like(self.threshold, z), z, like(self.value, z))

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(z > like(self.threshold, z), like(1, z), like(0, z))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Shrink(Activation):
    """z − shift where z > threshold, z + shift where z < −threshold, 0 between.

    Hard shrinkage has shift 0, soft shrinkage shift = threshold (Donoho & Johnstone 1994).

    Parameters
    ----------
    threshold, shift : λ and the bias of ONNX's Shrink, whose defaults they have
    """

    threshold: Any = 0.5
    shift: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.threshold, "Shrink.threshold", 0)
        check_number(self.shift, "Shrink.shift")

    def function(self, z: Array) -> Array:
        threshold, shift = like(self.threshold, z), like(self.shift, z)
        return np.where(z > threshold, z - shift, np.where(z < -threshold, z + shift, like(0, z)))

    def derivative(self, z: Array, output: Array) -> Array:
        return np.where(abs(z) > like(self.threshold, z), like(1, z), like(0, z))
