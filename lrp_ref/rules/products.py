"""The rules of a product of a signal and a gate (Arras et al. 2019, Table 11.1; Samek et al. 2021, §1.4.3)."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from ..arrays import Array, Exact, Number, Signed, Stabiliser, Unsigned, check_number, divide, is_exact, like, sum_to, zeros
from ..errors import RuleError
from ..layers.base import Layer
from ..layers.merge import Product
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .base import Rule
from .denominators import check_sum, divides


class ProductRule(Rule):
    """A rule for a `Product`, which says what part of R_p each factor takes; that of a constant factor is booked as bias."""

    serves: ClassVar[str] = "products (Multiply)"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Product)

    @abstractmethod
    def divided(self, layer: Product, factors: tuple[Array, Array], relevance: Array) -> tuple[Array, Array, Array, Array]:
        """The relevance R_p of a product, divided between its two factors, before broadcasting is undone.

        Parameters
        ----------
        layer : the product; it says which factor is the signal, if either is
        factors : the two factors, broadcast to the output's shape
        relevance : R_p, of the output's shape, (N, …)

        Returns
        -------
        tuple of four arrays (N, …)
            The relevance of the first and of the second factor, what the stabiliser absorbed, and what was not assigned.
        """

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, Product)
        first, second = layer.factors(*inputs)
        whole = zeros(output.shape, output)
        left, right, absorbed, lost = self.divided(layer, (first + whole, second + whole), relevance)
        if layer.constant is not None:
            below = (sum_to(left, first.shape),)
            booked = Booking.handed_on(relevance, below, messages=(left,), bias=right, stabiliser=absorbed, unassigned=lost)
            return below, booked
        relevances = sum_to(left, first.shape), sum_to(right, second.shape)
        return relevances, Booking.handed_on(relevance, relevances, messages=(left, right), stabiliser=absorbed, unassigned=lost)


@lazy_dataclass(frozen=True)
class SignalTakesAll(ProductRule):
    """LRP-all: the signal takes all relevance, the gate none (Arras et al. 2019, Tab. 11.1).

        (R_g, R_s) = (0, R_p)

    The layer says which factor is the signal.
    """

    source: ClassVar[str] = "Arras et al. 2017; Arras et al. 2019, Table 11.1"
    formula: ClassVar[str] = r"(R_g, R_s) = (0, R_p)"
    usage: ClassVar[str] = "gated products, every preset"

    def hands_on(self, layer: Layer) -> tuple[bool, ...]:
        signal = layer.signal if isinstance(layer, Product) else None
        return tuple(signal in (None, index) for index in range(layer.arity))

    def decides(self, layer: Layer) -> bool:
        return not isinstance(layer, Product) or layer.signal is not None

    def divided(self, layer: Product, factors: tuple[Array, Array], relevance: Array) -> tuple[Array, Array, Array, Array]:
        none = zeros(relevance.shape, relevance)
        if layer.signal is None:
            raise RuleError(
                "SignalTakesAll must know which factor is the signal: make the layer Multiply(signal=0) or Multiply(signal=1), "
                "or use HalfProduct, AbsoluteProduct or ProportionalProduct"
            )
        return (relevance, none, none, none) if layer.signal == 0 else (none, relevance, none, none)


def _weighted(terms: tuple[Array, Array], stabiliser: Stabiliser, relevance: Array) -> tuple[Array, Array, Array, Array]:
    """R_p in proportion to `terms`, 0/0 := 0."""
    total = terms[0] + terms[1]
    e = stabiliser(total)
    if not is_exact(total):
        check_sum(terms, stabiliser, total, e, relevance)
    alive = divides(total + e)
    s = divide(relevance, total + e, alive)
    lost = np.where(alive, like(0, relevance), relevance)
    return terms[0] * s, terms[1] * s, e * s, lost


@lazy_dataclass(frozen=True)
class ProportionalProduct(ProductRule):
    """LRP-prop: relevance in proportion to the factors of the product.

        R_g = x_g / (x_g + x_s + ε s(x_g + x_s)) · R_p,   R_s = x_s / … · R_p

    Of the factors' values as they enter the product (Samek et al. 2021, §1.4.3); Arras et al. 2019, Tab. 11.1 prints
    pre-activations.

    Parameters
    ----------
    epsilon : ε ≥ 0, which absorbs a part of R_p; 0: nothing is absorbed, and 0/0 := 0
    """

    epsilon: Number = 0
    source: ClassVar[str] = "Ding et al. 2017; Arras et al. 2019, Table 11.1"
    formula: ClassVar[str] = r"R_g = \frac{x_g}{x_g + x_s + \epsilon\,s(x_g + x_s)} R_p,\quad R_s = \frac{x_s}{\ldots} R_p"
    usage: ClassVar[str] = "products, for comparison"

    def __post_init__(self) -> None:
        check_number(self.epsilon, "ProportionalProduct.epsilon", 0)

    def divided(self, layer: Product, factors: tuple[Array, Array], relevance: Array) -> tuple[Array, Array, Array, Array]:
        return _weighted(factors, Signed(self.epsilon) if self.epsilon else Exact(), relevance)


@lazy_dataclass(frozen=True)
class AbsoluteProduct(ProductRule):
    """LRP-abs: relevance in proportion to the magnitudes of the factors.

        R_g = |x_g| / (|x_g| + |x_s| + ε) · R_p,   R_s = |x_s| / … · R_p

    (Arras et al. 2019, Tab. 11.1.)

    Parameters
    ----------
    epsilon : ε ≥ 0, which absorbs a part of R_p; 0: nothing is absorbed, and 0/0 := 0
    """

    epsilon: Number = 0
    source: ClassVar[str] = "Arras et al. 2019, Table 11.1"
    formula: ClassVar[str] = r"R_g = \frac{|x_g|}{|x_g| + |x_s| + \epsilon} R_p,\quad R_s = \frac{|x_s|}{\ldots} R_p"
    usage: ClassVar[str] = "products, for comparison"

    def __post_init__(self) -> None:
        check_number(self.epsilon, "AbsoluteProduct.epsilon", 0)

    def divided(self, layer: Product, factors: tuple[Array, Array], relevance: Array) -> tuple[Array, Array, Array, Array]:
        sizes = abs(factors[0]), abs(factors[1])
        return _weighted(sizes, Unsigned(self.epsilon) if self.epsilon else Exact(), relevance)


@lazy_dataclass(frozen=True)
class HalfProduct(ProductRule):
    """LRP-half: half of the relevance for each factor.

        R_g = R_s = R_p / 2

    (Arjona-Medina et al. 2019; Arras et al. 2019, Tab. 11.1.)
    """

    source: ClassVar[str] = "Arjona-Medina et al. 2019; Arras et al. 2019, Table 11.1"
    formula: ClassVar[str] = r"R_g = R_s = R_p / 2"
    usage: ClassVar[str] = "products whose factors both carry information"

    def divided(self, layer: Product, factors: tuple[Array, Array], relevance: Array) -> tuple[Array, Array, Array, Array]:
        none = zeros(relevance.shape, relevance)
        half = relevance / like(2, relevance)
        return half, half, none, none
