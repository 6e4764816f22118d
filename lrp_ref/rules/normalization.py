"""The rules of normalisations whose statistics come from the input itself: Layer-, Instance- and GroupNorm."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from ..arrays import Array, Number
from ..layers.base import Layer, Linear
from ..layers.norms import Normalised
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .base import Rule
from .linear import EPSILON, Epsilon, RelativeEpsilon, check_epsilon


class _ConstantRule(Rule):
    """The ε-rule of a normalisation that is a linear layer, because some of its statistics count as constants."""

    serves: ClassVar[str] = (
        "normalisations by their input's own statistics (LayerNorm, InstanceNorm, GroupNorm, RMSNorm, LpNorm, MinMaxNorm)"
    )
    epsilon: Number | RelativeEpsilon

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon, f"{type(self).__name__}.epsilon")

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Normalised)

    @abstractmethod
    def linear(self, layer: Normalised, a: Array) -> Linear:
        """The layer as a linear one, for the input `a`."""

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        assert isinstance(layer, Normalised)
        return Epsilon(self.epsilon).propagate(self.linear(layer, inputs[0]), inputs, output, relevance)

    def relevances(self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        self.require(layer)
        assert isinstance(layer, Normalised)
        return Epsilon(self.epsilon).relevances(self.linear(layer, inputs[0]), inputs, output, relevance)


@lazy_dataclass(frozen=True)
class ConstantDeviation(_ConstantRule):
    """The ε-rule of a normalisation whose deviation is a constant and whose mean is linear (Ali et al. 2022, Prop. 3.2).

        R_j = Σ_k a_j (δ_jk − 1/n) w_k / (ε_k + b_k + Σ_i a_i (δ_ik − 1/n) w_k) · R_k,   w_k = γ_k / σ

    over the n elements that are normalised together; σ is their deviation, with the layer's own ε inside the root, and b is the
    shift β. Where no mean is taken off (RMSNorm, LpNorm) the map is z_k = a_k w_k + b_k, as `ConstantStatistics` has it.

    Parameters
    ----------
    epsilon : of the ε-rule, signed
    """

    epsilon: Number | RelativeEpsilon = EPSILON
    source: ClassVar[str] = "Ali et al. 2022, Prop. 3.2"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \frac{a_j (\delta_{jk} - 1/n)\, w_k}{\epsilon_k + b_k + \sum_i a_i (\delta_{ik} - 1/n)\, w_k} R_k,"
        r"\quad w_k = \gamma_k / \sigma"
    )
    serves: ClassVar[str] = "normalisations by their input's own statistics (LayerNorm, InstanceNorm, GroupNorm, RMSNorm, LpNorm)"
    usage: ClassVar[str] = "LayerNorm, InstanceNorm, GroupNorm, RMSNorm and LpNorm in every preset"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Normalised) and layer.linear_mean

    def linear(self, layer: Normalised, a: Array) -> Linear:
        return layer.with_constant_deviation(a)


@lazy_dataclass(frozen=True)
class ConstantStatistics(_ConstantRule):
    """The ε-rule of a normalisation whose mean and deviation are constants, as a batch norm's are: an elementwise affine map.

        R_j = a_j w_j / (ε_j + a_j w_j + β_j − μ w_j) · R_j',   w_j = γ_j / σ

    What the mean and the shift account for is booked as bias. It is the ε-rule of a batch norm with its statistics (Samek et al.
    2021, §1.4.1, as a linear layer), here a sample's own.

    Parameters
    ----------
    epsilon : of the ε-rule, signed
    """

    epsilon: Number | RelativeEpsilon = EPSILON
    source: ClassVar[str] = "Binder et al. 2016 for batch normalisation, with a sample's own statistics"
    formula: ClassVar[str] = r"R_j = \frac{a_j w_j}{\epsilon_j + a_j w_j + \beta_j - \mu w_j} R_j',\quad w_j = \gamma_j / \sigma"
    usage: ClassVar[str] = "MinMaxNorm in every preset, whose minimum takes its share as a bias; others for comparison"

    def linear(self, layer: Normalised, a: Array) -> Linear:
        return layer.with_constant_statistics(a)
