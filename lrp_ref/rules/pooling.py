"""The rules of maximum and Lp pooling."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..arrays import Array, is_exact, like
from ..errors import ParameterError, RuleError
from ..layers.base import Layer
from ..layers.pooling import Pooling, Selecting, lowered, winners
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .base import LinearRule, Rule
from .linear import Zero


class _PoolRule(Rule):
    serves: ClassVar[str] = "maximum and Lp pooling"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Pooling)


@lazy_dataclass(frozen=True)
class WinnerTakesAll(Rule):
    """Maximum pooling whose winner takes all relevance of its window (Bach et al. 2015; Montavon et al. 2018, §5.3).

        R_j = Σ_k 1[j = argmax_{j' → k} x_j'] R_k

    Parameters
    ----------
    ties : "lowest": of equal cells the first, in row-major order, takes all; "split": they share equally
    """

    ties: str = "lowest"
    serves: ClassVar[str] = "maximum pooling"
    source: ClassVar[str] = "Bach et al. 2015; Montavon et al. 2018, §5.3"
    formula: ClassVar[str] = r"R_j = \sum_k 1[j = \operatorname{argmax}_{j' \to k} x_{j'}]\, R_k"
    usage: ClassVar[str] = "maximum pooling; LRP-0 with it equals gradient × input"

    def __post_init__(self) -> None:
        if self.ties not in ("lowest", "split"):
            raise ParameterError(f'WinnerTakesAll.ties must be "lowest" or "split", found {self.ties!r}')

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Selecting)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, Selecting)
        cells, exist = layer.cells(inputs[0])
        rows = (*cells.shape[:2], *cells.shape[3:])  # the outputs as the cells number them
        messages = self._shares(lowered(cells, exist), output.reshape(rows), exist) * relevance.reshape(rows)[:, :, None]
        lower = layer.spread(messages, inputs[0].shape)
        return (lower,), Booking.handed_on(relevance, (lower,), messages=(messages,))

    def _shares(self, cells: Array, output: Array, exist: Array) -> Array:
        """What part of its window's relevance each cell takes."""
        if self.ties == "split":
            equal = ((cells == output[:, :, None]) & exist).astype(cells.dtype)
            equal = like(equal, cells) if is_exact(cells) else equal
            return np.asarray(equal / equal.sum(axis=2, keepdims=True))
        return like(winners(cells).astype(np.int8), cells)


@lazy_dataclass(frozen=True)
class AverageSurrogate(_PoolRule):
    """Maximum or Lp pooling treated as sum pooling over the same windows, under a rule for linear layers.

        R_j = Σ_k x_j / (Σ_{j → k} x_j) · R_k for LRP-0

    (Montavon et al. 2019, §10.3.2.)

    Parameters
    ----------
    rule : the rule of the sum pooling
    """

    rule: LinearRule = Zero()
    source: ClassVar[str] = "Montavon et al. 2019, §10.3.2"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{x_j}{\sum_{j \to k} x_j} R_k \text{ for LRP-0}"
    usage: ClassVar[str] = "maximum and Lp pooling, as in the 2019 overview"

    def __post_init__(self) -> None:
        if not isinstance(self.rule, LinearRule):
            raise ParameterError(f"AverageSurrogate.rule must be a rule for linear layers, found {self.rule!r}")

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, Pooling)
        linear = layer.as_sum()
        return self.rule.propagate(linear, inputs, linear.forward(*inputs), relevance)


@lazy_dataclass(frozen=True)
class Proportional(_PoolRule):
    """Maximum or Lp pooling whose cells take relevance in proportion to their values (Montavon et al. 2018, §5.3).

        R_j = Σ_k x_j / (Σ_{j → k} x_j) · R_k,   x ≥ 0

    The deep-Taylor rule of every l_p pooling; the maximum is that of p = ∞. A window of zeros assigns nothing, and the ledger
    books it.
    """

    source: ClassVar[str] = "Montavon et al. 2018, §5.3"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{x_j}{\sum_{j \to k} x_j} R_k,\quad x \ge 0"
    usage: ClassVar[str] = "maximum pooling in deep Taylor decomposition, Lp pooling"

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        if (inputs[0] < like(0, inputs[0])).any():
            other = "WinnerTakesAll" if isinstance(layer, Selecting) else "AverageSurrogate(Epsilon())"
            raise RuleError(f"Proportional needs inputs x ≥ 0, found negative ones; {other} takes inputs of any sign")
        return AverageSurrogate(Zero()).propagate(layer, inputs, output, relevance)
