"""The rules of linear layers, each a declaration of shares. a_0 = 1 and w_0k = b_k stand for the bias."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..arrays import (
    Array,
    Exact,
    Number,
    Relative,
    Signed,
    Stabiliser,
    Unsigned,
    check_number,
    is_exact,
    like,
    negative,
    positive,
)
from ..errors import DomainError, LrpError, ParameterError
from ..forks import cached_property
from ..lazy_dataclass import lazy_dataclass
from .base import LinearRule
from .bounds import Bounds
from .terms import IDENTITY, NEGATIVE, NEGATIVE_ONLY, NONNEGATIVE, ONE, POSITIVE, Above, Below, Share, Term

GAMMA = 0.25  # Montavon et al. 2019, Fig. 10.4
EPSILON = 1e-6


@lazy_dataclass(frozen=True)
class RelativeEpsilon:
    """An ε that is a fraction of the root mean square of each share's z (see `relative`).

    Parameters
    ----------
    fraction : the ratio of ε to the root mean square of z, at least 0
    """

    fraction: Number

    def __repr__(self) -> str:
        return f"relative({self.fraction!r})"


def relative(fraction: Number) -> RelativeEpsilon:
    """ε = fraction · rms(z), per sample over all axes but the batch: the "0.25 std" of Montavon et al. 2019, Fig. 10.4.

    Parameters
    ----------
    fraction : the ratio of ε to the root mean square of z, at least 0; 0.25 in Fig. 10.4

    Raises
    ------
    ParameterError
        Where it is not one finite number ≥ 0.
    """
    check_number(fraction, "relative(fraction)", 0)
    return RelativeEpsilon(fraction)


def _stabiliser(epsilon: Number | RelativeEpsilon, signed: bool = True) -> Stabiliser:
    if isinstance(epsilon, RelativeEpsilon):
        return Relative(epsilon.fraction, signed)
    if epsilon == 0:
        return Exact()
    return Signed(epsilon) if signed else Unsigned(epsilon)


def check_epsilon(epsilon: Any, name: str) -> None:
    """Raise `ParameterError` unless `epsilon` is a number ≥ 0 or `relative(r)`."""
    if not isinstance(epsilon, RelativeEpsilon):
        check_number(epsilon, name, 0)


@lazy_dataclass(frozen=True)
class Zero(LinearRule):
    """LRP-0: relevance in proportion to the contributions a_j w_jk, the bias among them.

        R_j = Σ_k a_j w_jk / (Σ_{0,j} a_j w_jk) · R_k

    Used everywhere it equals gradient × input on a ReLU network. (Montavon et al. 2019, §10.2.1 and Appendix 10.A.)
    """

    source: ClassVar[str] = "Bach et al. 2015; Montavon et al. 2019, §10.2.1"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{a_j w_{jk}}{\sum_{0,j} a_j w_{jk}} R_k"
    usage: ClassVar[str] = "upper layers; everywhere: gradient × input"

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        return (Share(1, (Term(IDENTITY, weight),), bias),)


@lazy_dataclass(frozen=True)
class Epsilon(LinearRule):
    """LRP-ε: LRP-0 with ε in the denominator z_k, which absorbs the relevance of weak and contradictory contributions.

        R_j = Σ_k a_j w_jk / (ε s(z_k) + Σ_{0,j} a_j w_jk) · R_k

    Parameters
    ----------
    epsilon : ε ≥ 0, or `relative(r)`
    signed : whether ε takes the sign of z, with s(±0) = +1 (Arras et al. 2019, §11.3.1); else it is added as it is
        (Montavon et al. 2019, §10.2.1)
    """

    epsilon: Number | RelativeEpsilon = EPSILON
    signed: bool = True
    source: ClassVar[str] = "Bach et al. 2015; Arras et al. 2019, §11.3.1"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{a_j w_{jk}}{\epsilon\,s(z_k) + \sum_{0,j} a_j w_{jk}} R_k"
    usage: ClassVar[str] = "dense and middle layers; removes weak and contradictory contributions"

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon, "Epsilon.epsilon")

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        return (Share(1, (Term(IDENTITY, weight),), bias, _stabiliser(self.epsilon, self.signed)),)


@lazy_dataclass(frozen=True)
class Gamma(LinearRule):
    """LRP-γ: positive weights count 1 + γ times, so that positive contributions are favoured.

        R_j = Σ_k a_j (w_jk + γ w_jk⁺) / (ε_k + Σ_{0,j} a_j (w_jk + γ w_jk⁺)) · R_k

    The paper's rule, for a ≥ 0; on other inputs it computes the same formula and the ledger flags it. The bias is mapped like a
    weight. With ε it is the combined rule of Montavon 2019 (Eq. 13.1).

    Parameters
    ----------
    gamma : γ ≥ 0, how much more a positive weight counts; 0 is the ε-rule, γ → ∞ is α1β0 with the bias in the pool
    epsilon : ε ≥ 0, a number or `relative(fraction)`, added with the sign of the denominator
    """

    gamma: Number = GAMMA
    epsilon: Number | RelativeEpsilon = 0
    source: ClassVar[str] = "Montavon et al. 2019, §10.2.1; Montavon 2019, Eq. 13.1"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \frac{a_j (w_{jk} + \gamma w_{jk}^+)}{\epsilon_k + \sum_{0,j} a_j (w_{jk} + \gamma w_{jk}^+)} R_k"
    )
    usage: ClassVar[str] = "lower convolutions on inputs a ≥ 0; favours positive contributions"

    def __post_init__(self) -> None:
        check_number(self.gamma, "Gamma.gamma", 0)
        check_epsilon(self.epsilon, "Gamma.epsilon")

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        term = Term(IDENTITY, favour_positive(weight, self.gamma))
        return (Share(1, (term,), favour_positive(bias, self.gamma), _stabiliser(self.epsilon)),)

    def flags(self, inputs: tuple[Array, ...]) -> tuple[str, ...]:
        if self.gamma and any((a < like(0, a)).any() for a in inputs):
            return ("outside its domain: Gamma is defined for inputs a ≥ 0 (GeneralizedGamma serves any sign)",)
        return ()


def favour_positive(w: Array | None, gamma: Number) -> Any:
    """w + γ w⁺, of the shape of w; the weight itself where γ = 0, None of None."""
    return w if w is None or gamma == 0 else _increase(positive(w), w, gamma)


def favour_negative(w: Array | None, gamma: Number) -> Any:
    """w + γ w⁻, of the shape of w; the weight itself where γ = 0, None of None."""
    return w if w is None or gamma == 0 else _increase(negative(w), w, gamma)


def _increase(part: Array, w: Array, gamma: Number) -> Array:
    """w + γ·part, computed in the memory of `part`: copies of a large weight are what memory peaks at."""
    with np.errstate(over="ignore", invalid="ignore"):  # seen where it is divided by
        part *= like(gamma, w)
        part += w
    return part


@lazy_dataclass(frozen=True)
class GeneralizedGamma(LinearRule):
    """LRP-γ for inputs and pre-activations of any sign: contributions of z's own sign are favoured (Andéol et al. 2021).

        R_j = Σ_k (a_j⁺ (w_jk + γ w_jk^±) + a_j⁻ (w_jk + γ w_jk^∓)) / (Σ_{0,j} a_j⁺ (w_jk + γ w_jk^±) + a_j⁻ (w_jk + γ w_jk^∓))
        · R_k

    with the upper signs where z_k ≥ 0 and the lower ones where z_k < 0. For a ≥ 0 and z ≥ 0 it is `Gamma`. A pre-activation of
    exactly 0 counts as ≥ 0, so that its relevance is not dropped. For one sign it is LRP-γ as Montavon et al. 2019, §10.2.1 print
    it.

    Parameters
    ----------
    gamma : γ ≥ 0, how much more a contribution of z's own sign counts; 0 is LRP-0
    """

    gamma: Number = GAMMA
    source: ClassVar[str] = "Andéol et al. 2021; Montavon et al. 2019, §10.2.1"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \frac{a_j^+ (w_{jk} + \gamma w_{jk}^\pm) + a_j^- (w_{jk} + \gamma w_{jk}^\mp)}"
        r"{\sum_{0,j} a_j^+ (w_{jk} + \gamma w_{jk}^\pm) + a_j^- (w_{jk} + \gamma w_{jk}^\mp)} R_k"
    )
    usage: ClassVar[str] = "lower convolutions, any sign; the presets' γ rule"

    def __post_init__(self) -> None:
        check_number(self.gamma, "GeneralizedGamma.gamma", 0)

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        w_plus, w_minus = favour_positive(weight, self.gamma), favour_negative(weight, self.gamma)
        b_plus, b_minus = favour_positive(bias, self.gamma), favour_negative(bias, self.gamma)
        return (
            Share(1, (Term(POSITIVE, w_plus), Term(NEGATIVE, w_minus)), b_plus, where=NONNEGATIVE),
            Share(1, (Term(POSITIVE, w_minus), Term(NEGATIVE, w_plus)), b_minus, where=NEGATIVE_ONLY),
        )


@lazy_dataclass(frozen=True)
class AlphaBeta(LinearRule):
    """LRP-αβ: a pool of positive and a pool of negative contributions, which take α and −β times the relevance.

        R_j = Σ_k (α (a_j w_jk)⁺ / (Σ_{0,j} (a_j w_jk)⁺) − β (a_j w_jk)⁻ / (Σ_{0,j} (a_j w_jk)⁻)) R_k

    Parameters
    ----------
    alpha, beta : α − β = 1, β ≥ 0
    bias : "pool": b⁺ in the positive and b⁻ in the negative pool (Samek et al. 2021, Tab. 1.1; Montavon et al. 2019,
        Appendix 10.A). "none": no bias (Montavon et al. 2018, Eq. 1)
    empty : "drop": an empty pool takes nothing and its part is booked as unassigned. "renormalise": where only one pool is not
        empty it takes all
    """

    alpha: Number = 2
    beta: Number = 1
    bias: str = "pool"
    empty: str = "drop"
    source: ClassVar[str] = "Bach et al. 2015; Montavon et al. 2018, Eq. 1; Samek et al. 2021, Tab. 1.1"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \Big(\alpha \frac{(a_j w_{jk})^+}{\sum_{0,j} (a_j w_{jk})^+}"
        r" - \beta \frac{(a_j w_{jk})^-}{\sum_{0,j} (a_j w_{jk})^-}\Big) R_k"
    )
    usage: ClassVar[str] = "convolutions; β > 0 shows contradicting evidence and makes maps sparser"

    def __post_init__(self) -> None:
        check_number(self.alpha, "AlphaBeta.alpha")
        check_number(self.beta, "AlphaBeta.beta", 0)
        if abs(float(self.alpha) - float(self.beta) - 1) > 1e-9:
            raise ParameterError(f"AlphaBeta needs alpha − beta = 1, found {self.alpha} − {self.beta} = {self.alpha - self.beta}")
        if self.bias not in ("pool", "none"):
            raise ParameterError(f'AlphaBeta.bias must be "pool" or "none", found {self.bias!r}')
        if self.empty not in ("drop", "renormalise"):
            raise ParameterError(f'AlphaBeta.empty must be "drop" or "renormalise", found {self.empty!r}')

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        w_plus, w_minus = positive(weight), negative(weight)
        pools = (None, None) if bias is None or self.bias == "none" else (positive(bias), negative(bias))
        excitatory = Share(self.alpha, (Term(POSITIVE, w_plus), Term(NEGATIVE, w_minus)), pools[0])
        if self.beta == 0 and self.empty == "drop":
            return (excitatory,)
        return (excitatory, Share(-self.beta, (Term(POSITIVE, w_minus), Term(NEGATIVE, w_plus)), pools[1]))


@lazy_dataclass(frozen=True)
class ZPlus(LinearRule):
    """The z⁺ rule: relevance in proportion to the positive contributions, without bias.

        R_j = Σ_k (a_j w_jk)⁺ / (Σ_j (a_j w_jk)⁺) · R_k

    The deep-Taylor rule of hidden ReLU layers (Montavon et al. 2018, Eq. 2); α1β0 without its bias.
    """

    source: ClassVar[str] = "Montavon et al. 2018, Eq. 2"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{(a_j w_{jk})^+}{\sum_j (a_j w_{jk})^+} R_k"
    usage: ClassVar[str] = "deep Taylor, hidden layers"

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        return (Share(1, (Term(POSITIVE, positive(weight)), Term(NEGATIVE, negative(weight)))),)


@lazy_dataclass(frozen=True, eq=False)
class ZBox(LinearRule):
    """The zᴮ rule of a first layer whose inputs are bounded, l_j ≤ a_j ≤ h_j (Montavon et al. 2018, Tab. 2).

        R_j = Σ_k (a_j w_jk − l_j w_jk⁺ − h_j w_jk⁻) / (Σ_j a_j w_jk − l_j w_jk⁺ − h_j w_jk⁻) · R_k

    The bias cancels. It is computed as (a − l) w⁺ + (a − h) w⁻: subtracting the three products of the printed form goes wrong in
    floats on saturated inputs.

    Parameters
    ----------
    low, high : numbers, or arrays that broadcast against one sample; None: the model's domain
    """

    low: Any = None
    high: Any = None
    source: ClassVar[str] = "Montavon et al. 2018, Tab. 2"
    formula: ClassVar[str] = (
        r"R_j = \sum_k \frac{a_j w_{jk} - l_j w_{jk}^+ - h_j w_{jk}^-}{\sum_j a_j w_{jk} - l_j w_{jk}^+ - h_j w_{jk}^-} R_k"
    )
    usage: ClassVar[str] = "the first layer, on bounded inputs such as pixels"

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise DomainError("ZBox needs both bounds, low and high, or neither (then the model's domain gives them)")
        if self.low is None:
            return
        try:
            bounds = Bounds(self.low, self.high)
        except LrpError as error:
            raise error.at("ZBox") from None
        object.__setattr__(self, "low", bounds.low)
        object.__setattr__(self, "high", bounds.high)

    @cached_property
    def bounds(self) -> Bounds | None:
        """The bounds as a value; None where the model's domain is to give them."""
        return None if self.low is None else Bounds(self.low, self.high)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZBox) and self.bounds == other.bounds

    def __hash__(self) -> int:
        return hash((ZBox, self.bounds))

    def __str__(self) -> str:
        return "ZBox()" if self.low is None else super().__str__()

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        if self.low is None:
            raise DomainError("ZBox() has no bounds: give ZBox(low, high), or a model with a domain")
        return (Share(1, (Term(Above(self.low), positive(weight)), Term(Below(self.high), negative(weight)))),)

    def check(self, a: Array) -> None:
        """Raise `DomainError` where an element of the inputs (N, …) leaves the bounds by more than 1e-5·(high − low).

        Parameters
        ----------
        a : the layer's inputs, (N, …); a rule without bounds of its own checks nothing

        Raises
        ------
        DomainError
            Where an element lies outside; the message counts them and has the index of the first.
        """
        if self.bounds is not None:
            self.bounds.check(a, str(self))

    def divided(self, layer: Any, inputs: tuple[Array, ...], output: Array, relevance: Array) -> Any:
        for a in inputs:
            self.check(a)
        return super().divided(layer, inputs, output, relevance)


@lazy_dataclass(frozen=True)
class WSquare(LinearRule):
    """The w² rule: relevance in proportion to the squares of the weights, whatever the input.

        R_j = Σ_k w_jk² / (Σ_j w_jk²) · R_k

    (Montavon et al. 2018, Tab. 2.)
    """

    source: ClassVar[str] = "Montavon et al. 2018, Tab. 2"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{w_{jk}^2}{\sum_j w_{jk}^2} R_k"
    usage: ClassVar[str] = "the first layer, on unbounded real inputs"

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        with np.errstate(over="ignore"):  # seen where it is divided by
            squares = weight * weight
        return (Share(1, (Term(ONE, squares, _lost(squares, weight)),)),)


def _lost(squares: Array, weight: Array) -> Array | None:
    """Where w² is no normal number and w is not 0; None: nowhere."""
    if is_exact(weight):
        return None
    underflow = np.asarray((squares < np.finfo(weight.dtype).tiny) & (weight != 0))
    return underflow if underflow.any() else None


@lazy_dataclass(frozen=True)
class Flat(LinearRule):
    """The flat rule: equal relevance for every input that k sees; padding is no input.

        R_j = Σ_k 1 / (Σ_j 1) · R_k

    (Lapuschkin et al. 2019; Samek et al. 2021, Tab. 1.1.) It lowers the resolution of a heatmap.
    """

    source: ClassVar[str] = "Lapuschkin et al. 2019; Samek et al. 2021, Tab. 1.1"
    formula: ClassVar[str] = r"R_j = \sum_k \frac{1}{\sum_j 1} R_k"
    usage: ClassVar[str] = "the first layers, to lower the resolution"

    def shares(self, weight: Array, bias: Array | None) -> tuple[Share, ...]:
        return (Share(1, (Term(ONE, weight * like(0, weight) + like(1, weight)),)),)
