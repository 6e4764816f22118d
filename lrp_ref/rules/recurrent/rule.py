"""The rule of recurrent layers: relevance goes back through time (Arras et al. 2017; Arras et al. 2019, §11.3)."""

from __future__ import annotations

from typing import ClassVar

from ...arrays import Array
from ...errors import ParameterError
from ...layers.base import Layer, Recurrent
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking
from ..base import LinearRule, Rule
from ..linear import Epsilon, ZBox
from ..products import ProductRule, SignalTakesAll

RECURRENT_EPSILON = 0.001  # Arras et al. 2019, §11.5.1


@lazy_dataclass(frozen=True)
class ThroughTime(Rule):
    """LRP through a recurrent cell: its linear maps, its products and its sums, step by step from the last one to the first.

        R_x_t = x_t Σ_k w_k R_k / (z_k + ε s(z_k)),   R_h = h_{t−1} Σ_k u_k R_k / (z_k + ε s(z_k)),   (R_g, R_s) by the product
        rule

    Linear maps of x_t and h_{t−1} have one denominator z_k = x_t w_k + h_{t−1} u_k + b_k, here with the ε-rule.

    A sum such as c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t shares its relevance in proportion to its terms, a product by
    the product rule, and an activation passes it on, whatever its scale. What reaches an initial state that is a constant stays
    there, as in a bias, and so does what reaches the biases; what reaches the output beyond a sample's length is unassigned.

    Parameters
    ----------
    product : LRP-all, -prop, -abs or -half: `SignalTakesAll()`, `ProportionalProduct(ε)`, `AbsoluteProduct(ε)`, `HalfProduct()`.
        Gates are the first factor; the signals are g_t, c_{t−1} and h(c_t) of an LSTM, and
        h_{t−1}, n_t and what is reset of a GRU
    linear : a rule for the linear maps; an ε relative to z is relative to each gate's z at each step
    accumulation : a rule for the sums
    operands : "activated": product rules weigh the factors' values (Samek et al. 2021, §1.4.3); "pre": their pre-activations, as
        Arras et al. 2019 print it in Table 11.1, where a state is its own, and that of 1 − z_t is −z's
    """

    product: ProductRule = SignalTakesAll()
    linear: LinearRule = Epsilon(RECURRENT_EPSILON)
    accumulation: LinearRule = Epsilon(RECURRENT_EPSILON)
    operands: str = "activated"
    source: ClassVar[str] = "Arras et al. 2017; Arras et al. 2019, §11.3; Samek et al. 2021, §1.4.3"
    serves: ClassVar[str] = "recurrent layers (LSTM, GRU, RNN)"
    formula: ClassVar[str] = (
        r"R_{x_t} = x_t \sum_k \frac{w_k R_k}{z_k + \epsilon\,s(z_k)},\quad"
        r" R_h = h_{t-1} \sum_k \frac{u_k R_k}{z_k + \epsilon\,s(z_k)},\quad"
        r" (R_g, R_s) \text{ by the product rule}"
    )
    usage: ClassVar[str] = "LSTM, GRU and RNN in every preset"

    def __post_init__(self) -> None:
        if not isinstance(self.product, ProductRule):
            raise ParameterError(f"ThroughTime.product must be a rule for products, found {self.product!r}")
        for name in ("linear", "accumulation"):
            rule = getattr(self, name)
            if not isinstance(rule, LinearRule) or isinstance(rule, ZBox):
                hint = " without bounds: a state has none" if isinstance(rule, ZBox) else ""
                raise ParameterError(f"ThroughTime.{name} must be a rule for linear layers{hint}, found {rule!r}")
        if self.operands not in ("activated", "pre"):
            raise ParameterError(f'ThroughTime.operands must be "activated" or "pre", found {self.operands!r}')

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Recurrent)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        relevances, booking = self._backward(layer, inputs, relevance, with_ledger=True)
        assert booking is not None
        return relevances, booking

    def relevances(self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        return self._backward(layer, inputs, relevance, with_ledger=False)[0]

    def _backward(
        self, layer: Layer, inputs: tuple[Array, ...], relevance: Array, with_ledger: bool
    ) -> tuple[tuple[Array, ...], Booking | None]:
        self.require(layer)
        assert isinstance(layer, Recurrent)
        from .over_time import backward_through_time, cell_backward  # here, because few networks are recurrent

        return backward_through_time(cell_backward(self, layer, layer.unroll(*inputs), with_ledger), relevance)
