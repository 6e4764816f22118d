"""The rule of a choice between signals: a maximum, a minimum, or a choice that goes by a condition."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..arrays import Array, like, sum_to
from ..layers.base import Layer
from ..layers.functions import Choice
from ..layers.selection import Where
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .base import Rule


@lazy_dataclass(frozen=True)
class ChoiceTakesAll(Rule):
    """Winner-takes-all between signals: the one that a choice gives takes all relevance, of equal ones the first.

        R_j = Σ_k 1[z_k is x_j] R_k

    It is winner-takes-all of maximum pooling (Bach et al. 2015; Montavon et al. 2018, §5.3) between signals. The condition of a
    `Where` is a gate, held fixed: it gets nothing. A constant that was chosen keeps its share as a bias.
    """

    source: ClassVar[str] = "as maximum pooling: Bach et al. 2015; Montavon et al. 2018, §5.3"
    serves: ClassVar[str] = "choices of a signal (Maximum, Minimum, Where)"
    formula: ClassVar[str] = r"R_j = \sum_k 1[z_k \text{ is } x_j]\, R_k"
    usage: ClassVar[str] = "choices between signals, every preset"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Choice) and any(self.hands_on(layer))  # between constants no signal is chosen

    def hands_on(self, layer: Layer) -> tuple[bool, ...]:
        return tuple(index > 0 or not isinstance(layer, Where) for index in range(layer.arity))

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, Choice)
        chosen, none = layer.chosen(inputs, output), like(0, relevance)
        messages = tuple(np.where(mask, relevance, none) for mask in chosen)
        relevances = tuple(sum_to(message, a.shape) for message, a in zip(messages, inputs, strict=True))
        bias = np.where(np.logical_or.reduce(chosen), none, relevance)
        return relevances, Booking.handed_on(relevance, relevances, messages=messages, bias=bias)
