"""What one layer does in the modified backward passes: rules for composites of derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..arrays import Array, like, positive
from ..composites import Composite
from ..composites.matchers import Type
from ..layers.activations import ReLU
from ..layers.base import Layer, Linear
from ..layers.conv import Conv
from ..layers.linear import Dense
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from ..rules import Gradient, Rule, ZPlus


@lazy_dataclass(frozen=True)
class DeconvPass(Rule):
    r"""The deconvnet at a ReLU: of what arrives the positive part flows on, whether the ReLU was open or not.

    .. math:: R_j = \max(0, R_j)
    """

    conserves: ClassVar[bool] = False
    source: ClassVar[str] = "Zeiler & Fergus 2014; Montavon et al. 2018, §4.3"
    serves: ClassVar[str] = "ReLU"
    formula: ClassVar[str] = r"R_j = \max(0, R_j)"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, ReLU)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        lower = (positive(relevance),)
        return lower, Booking.handed_on(relevance, lower, flags=("keeps the positive part alone",))


@lazy_dataclass(frozen=True)
class GuidedPass(Rule):
    r"""Guided backpropagation at a ReLU: of what arrives the positive part flows on, where the ReLU was open.

    .. math:: R_j = [x_j > 0]\, \max(0, R_j)
    """

    conserves: ClassVar[bool] = False
    source: ClassVar[str] = "Springenberg et al. 2015"
    serves: ClassVar[str] = "ReLU"
    formula: ClassVar[str] = r"R_j = [x_j > 0] \max(0, R_j)"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, ReLU)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        lower = layer.vjp(inputs, output, positive(relevance))
        return lower, Booking.handed_on(relevance, lower, flags=("keeps the positive part alone",))


def rectified(rule: Rule, name: str) -> Composite:
    """The gradient, but for `rule` at every ReLU.

    Parameters
    ----------
    rule : at the ReLUs
    name : of the composite
    """
    return Composite(((Type(ReLU), rule), (Type(Layer), Gradient())), name)


@lazy_dataclass(frozen=True)
class ContrastivePass(Rule):
    r"""The top of contrastive excitation backpropagation: the shares of w⁺ less those of (−w)⁺, each without the other.

    .. math:: R_j = \sum_k \Big(\frac{a_j w_{jk}^+}{\sum_j a_j w_{jk}^+} - \frac{a_j (-w_{jk})^+}{\sum_j a_j (-w_{jk})^+}\Big) R_k

    Each adds up to 1; an empty pool gives nothing.
    """

    conserves: ClassVar[bool] = False
    source: ClassVar[str] = "Zhang et al. 2018"
    serves: ClassVar[str] = "dense layers and convolutions"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \left(\frac{a_j w_{jk}^+}{\sum_j a_j w_{jk}^+} - \frac{a_j (-w_{jk})^+}{\sum_j a_j (-w_{jk})^+}\right) R_k"
    )

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, (Dense, Conv))

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, (Dense, Conv))
        turned = replace(layer, weight=-layer.weight)
        shares = (ZPlus().relevances(side, inputs, output, relevance) for side in (layer, turned))
        lower = tuple(np.asarray(plus - minus) for plus, minus in zip(*shares, strict=True))
        return lower, Booking.handed_on(relevance, lower, flags=("is a difference of shares",))


@dataclass(frozen=True, eq=False)
class PatternPass(Rule):
    r"""PatternNet and PatternAttribution at a linear layer: the derivative with other weights.

    .. math:: R_j = \sum_k a_{jk} R_k

    Parameters
    ----------
    pattern : in place of the weight, of its shape
    """

    pattern: Array

    conserves: ClassVar[bool] = False
    source: ClassVar[str] = "Kindermans et al. 2018"
    serves: ClassVar[str] = "dense layers and convolutions"
    formula: ClassVar[str] = r"R_j = \sum_k a_{jk} R_k"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Linear) and layer.weights[0].shape == self.pattern.shape

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, Linear)
        lower = (layer.adjoint(relevance, like(self.pattern, relevance), inputs[0].shape),)
        return lower, Booking.handed_on(relevance, lower, flags=("is a pattern's backward pass",))
