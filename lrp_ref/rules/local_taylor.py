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
    """Local response normalisation expanded at its input, down to the channel alone (Binder et al. 2016).

        R_j = Σ_k t_jk / (Σ_i t_ik + ε_k) · R_k,   t_kk = a_k (κ + (α/n) a_k²)^(−β),   t_jk = −2β (α/n) a_k a_j² B_k^(−β−1)

    with B_k = κ + (α/n) Σ_{j → k} a_j², by which the layer computes z_k = a_k / B_k^β. It is the local Taylor expansion that
    Montavon et al. 2018, §5.3 name: t are the first-order terms between the input and the point where all other channels are 0,
    t_jk those of j ≠ k. Neighbours that suppressed k take relevance of the other sign, less than 2/e of what k itself takes (for
    α, β, κ ≥ 0). The paper has κ = 1 and writes b for α/n; other κ come out of its formula by b = α / (n κ).

    Parameters
    ----------
    epsilon : ε ≥ 0 with the sign of the sum of the terms, which is that of a_k
    """

    epsilon: Number = 0
    source: ClassVar[str] = "Binder et al. 2016; Montavon et al. 2018, §5.3"
    serves: ClassVar[str] = "local response normalisation (LRN)"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \frac{t_{jk}}{\sum_i t_{ik} + \epsilon_k} R_k,"
        r"\quad t_{kk} = a_k (\kappa + (\alpha/n)\, a_k^2)^{-\beta},"
        r"\quad t_{jk} = -2\beta\,(\alpha/n)\, a_k a_j^2 B_k^{-\beta-1}"
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
        own_term, slope = layer.expanded(a)
        other_terms = slope * layer.neighbours(squares)
        total = own_term + other_terms
        stabiliser = Signed(self.epsilon) if self.epsilon else Exact()
        e = stabiliser(total)
        if not is_exact(total):
            check_sum((own_term, other_terms), stabiliser, total, e, relevance)
        alive = divides(total + e)
        s = divide(relevance, total + e, alive)
        lower = np.asarray(own_term * s + squares * layer.neighbours(slope * s, mirrored=True))
        lost = np.where(alive, like(0, relevance), relevance)
        # All other channels' messages from one k have one sign.
        moved = (own_term * s, other_terms * s)
        return (lower,), Booking.handed_on(relevance, (lower,), messages=moved, stabiliser=e * s, unassigned=lost)
