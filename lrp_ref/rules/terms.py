"""What a rule for linear layers declares: shares of the relevance, each in proportion to terms of features and weights.

`lrp_ref.rules.shares` says what is computed of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from ..arrays import Array, Exact, Number, Stabiliser, like, negative, positive, zeros
from ..lazy_dataclass import lazy_dataclass


class Feature(ABC):
    """A function f of a layer's input, applied before padding: a padding cell is never an input."""

    @abstractmethod
    def __call__(self, a: Array) -> Array:
        """f(a), of a's shape and number type."""


class _Identity(Feature):
    def __call__(self, a: Array) -> Array:
        return a

    def __repr__(self) -> str:
        return "a"


class _Positive(Feature):
    def __call__(self, a: Array) -> Array:
        return positive(a)

    def __repr__(self) -> str:
        return "a⁺"


class _Negative(Feature):
    def __call__(self, a: Array) -> Array:
        return negative(a)

    def __repr__(self) -> str:
        return "a⁻"


class _One(Feature):
    def __call__(self, a: Array) -> Array:
        return zeros(a.shape, a) + like(1, a)

    def __repr__(self) -> str:
        return "1"


# One of each, known by identity
IDENTITY, POSITIVE, NEGATIVE, ONE = _Identity(), _Positive(), _Negative(), _One()


@lazy_dataclass(frozen=True, eq=False)
class Above(Feature):
    """a − low: how far a is above the lower end of its domain.

    Parameters
    ----------
    low : the lower end, a number or an array that broadcasts against one sample
    """

    low: Array

    def __call__(self, a: Array) -> Array:
        return np.asarray(a - like(self.low, a))

    def __repr__(self) -> str:
        return "(a − low)"


@lazy_dataclass(frozen=True, eq=False)
class Below(Feature):
    """a − high: how far a is below the upper end of its domain (never positive).

    Parameters
    ----------
    high : the upper end, a number or an array that broadcasts against one sample
    """

    high: Array

    def __call__(self, a: Array) -> Array:
        return np.asarray(a - like(self.high, a))

    def __repr__(self) -> str:
        return "(a − high)"


@lazy_dataclass(frozen=True)
class Where:
    """Which upper neurons a share serves, by the sign of their plain pre-activation (0 counts as ≥ 0).

    A pre-activation that is NaN has either sign, so that its relevance meets denominators, which are refused, and does not
    vanish between two shares neither of which serves it.

    Parameters
    ----------
    name : "all", "z ≥ 0" or "z < 0"
    """

    name: str

    def __call__(self, preactivation: Array) -> Array:
        zero = like(0, preactivation)
        if self.name == "z ≥ 0":
            return ~np.asarray(preactivation < zero, dtype=bool)
        if self.name == "z < 0":
            return ~np.asarray(preactivation >= zero, dtype=bool)
        return np.ones((), dtype=bool)


ALL, NONNEGATIVE, NEGATIVE_ONLY = Where("all"), Where("z ≥ 0"), Where("z < 0")


@lazy_dataclass(frozen=True, eq=False)
class Term:
    """One product of a feature of the input and a (modified) weight.

    Parameters
    ----------
    feature : the function f of the input, such as a⁺
    weight : the weight that f(a) is multiplied by, such as w⁺, of the shape of the layer's
    lost : where the weight is 0 or has lost digits because what it is made of underflowed; None: nowhere
    """

    feature: Feature
    weight: Array
    lost: Array | None = None


@lazy_dataclass(frozen=True, eq=False)
class Share:
    """A part λ of the relevance, redistributed in proportion to its terms: R_j = Σ_k λ Σ f(a_j) w'_jk / (z_k + e_k) · R_k.

    Parameters
    ----------
    coefficient : λ, the part of R_k that is shared: 1 in most rules, α and −β in the αβ-rule
    terms : the products whose sum, with the bias, is z
    bias : the bias' term of z, broadcastable against the output; None: 0
    stabiliser : what gives e from z
    where : which upper neurons have this share at all
    """

    coefficient: Number
    terms: tuple[Term, ...]
    bias: Array | None = None
    stabiliser: Stabiliser = Exact()
    where: Where = ALL
