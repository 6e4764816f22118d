"""The rule of local response normalisation by its own Taylor expansion (Binder et al. 2016)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..arrays import Array, Exact, Number, Signed, check_number, divide, is_exact, like
from ..layers.base import Layer
from ..layers.norms import LRN
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .base import Rule
from .denominators import check_sum, divides


@lazy_dataclass(frozen=True)
class LocalTaylor(Rule):
    r"""Local response normalisation expanded at its input, down to the channel alone (Binder et al. 2016).

    It is the local Taylor expansion that Montavon et al. 2018, §5.3 name. With
    :math:`B_k = \kappa + \frac{\alpha}{n} \sum_{j \to k} a_j^2` the layer computes :math:`z_k = a_k / B_k^\beta`. Its first-order
    expansion between the input and the point where all other channels are 0 has the terms

    .. math::

        t_{kk} = \frac{a_k}{(\kappa + \frac{\alpha}{n} a_k^2)^\beta}, \qquad
        t_{jk} = -2 \beta \frac{\alpha}{n} \frac{a_k a_j^2}{B_k^{\beta + 1}} \quad (j \ne k),

    and relevance goes in proportion to them, :math:`R_{j \leftarrow k} = t_{jk} R_k / (\sum_i t_{ik} + \epsilon_k)`: neighbours
    that suppressed k take relevance of the other sign, less than 2/e of what k itself takes (for α, β, κ ≥ 0). The paper has
    κ = 1 and writes b for α/n; other κ come out of its formula by :math:`b = \alpha / (n \kappa)`.

    Parameters
    ----------
    epsilon : ε ≥ 0 with the sign of the sum of the terms, which is that of a_k
    """

    epsilon: Number = 0
    source: ClassVar[str] = "Binder et al. 2016; Montavon et al. 2018, §5.3"
    serves: ClassVar[str] = "local response normalisation (LRN)"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \frac{t_{jk}}{\sum_i t_{ik} + \epsilon_k} R_k,"
        r"\quad t_{kk} = a_k (\kappa + \tfrac{\alpha}{n} a_k^2)^{-\beta},"
        r"\quad t_{jk} = -2\beta\tfrac{\alpha}{n} a_k a_j^2 B_k^{-\beta-1}"
    )
    usage: ClassVar[str] = "local response normalisation, instead of Pass, for more selective explanations"

    def __post_init__(self) -> None:
        check_number(self.epsilon, "LocalTaylor.epsilon", 0)

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, LRN)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, LRN)
        a = inputs[0]
        squares = a * a
        own, slope = layer.expanded(a)
        others = slope * layer.neighbours(squares)
        total = own + others
        stabiliser = Signed(self.epsilon) if self.epsilon else Exact()
        e = stabiliser(total)
        if not is_exact(total):
            check_sum((own, others), stabiliser, total, e, relevance)
        alive = divides(total + e)
        s = divide(relevance, total + e, alive)
        lower = np.asarray(own * s + squares * layer.neighbours(slope * s, mirrored=True))
        lost = np.where(alive, like(0, relevance), relevance)
        # All other channels' messages from one k have one sign.
        moved = (own * s, others * s)
        return (lower,), Booking.handed_on(relevance, (lower,), messages=moved, stabiliser=e * s, unassigned=lost)
