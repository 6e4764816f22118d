"""The gradient as a rule: what a layer's derivative hands down."""

from __future__ import annotations

from typing import ClassVar

from ..arrays import Array
from ..layers.base import BaseEmbedding, Layer
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .base import Rule


@lazy_dataclass(frozen=True)
class Gradient(Rule):
    """The gradient by the chain rule (Simonyan et al. 2014; Montavon et al. 2018, §4.1).

        R_j = Σ_k ∂ z_k / (∂ x_j) · R_k

    Started with 1 at one score (`lrp_ref.heads.Unit`) the relevance of the input is that score's gradient. It is no share of
    the score: nothing is conserved, and there is no ledger. At a kink the derivative is that of `CONV-GRAD-KINK`.
    """

    conserves: ClassVar[bool] = False
    source: ClassVar[str] = "Simonyan et al. 2014; Montavon et al. 2018, §3.1"
    serves: ClassVar[str] = "every layer that has a derivative"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{\partial z_k}{\partial x_j} R_k"
    usage: ClassVar[str] = "the gradient, with a start of 1; times the input it is gradient × input"

    def fits(self, layer: Layer) -> bool:
        return not isinstance(layer, BaseEmbedding)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        lower = self.relevances(layer, inputs, output, relevance)
        booking = Booking.handed_on(relevance, lower, flags=("is a derivative: what arrives and what is handed on differ",))
        return lower, booking

    def relevances(self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        self.require(layer)
        return layer.vjp(inputs, output, relevance)
