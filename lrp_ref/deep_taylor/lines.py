"""Where each rule looks for its root point: a line from the activations, and the domain that the root is to lie in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import rules
from ..arrays import Array, Shape, is_exact, like, root_mean_square, signs, total, zeros
from ..errors import DomainError, ExactnessError, RuleError


@dataclass(frozen=True, eq=False)
class Neurons:
    """Upper neurons and what feeds them: one row for each k, one column for each neuron below.

    Attributes
    ----------
    a : a_j, (lower,)
    w : w_jk, (upper, lower); 0 where j does not feed k, which `feeds` tells from a weight that happens to be 0
    feeds : whether j feeds k, (upper, lower)
    b : b_k, (upper,)
    shape : of one sample of the layer's input
    """

    a: Array
    w: Array
    feeds: Array
    b: Array
    shape: Shape

    @property
    def z(self) -> Array:
        """z_k, the pre-activation."""
        return total(self.a * self.w, (1,)) + self.b

    def where(self, condition: Array) -> Array:
        """The indicator 1[condition], 0 or 1 in the number type of `a`.

        Parameters
        ----------
        condition : truth values, such as w ≥ 0; (upper, lower), or any other shape
        """
        return like(np.asarray(condition, dtype=np.int8), self.a)

    def each(self, bound: Any) -> Array:
        """A bound as one number for each neuron below, (lower,).

        Parameters
        ----------
        bound : a number, or an array that broadcasts against one sample of the layer's input
        """
        return np.broadcast_to(like(bound, self.a), self.shape).reshape(-1)

    def bias_moves(self, speed: int) -> Array:
        """The direction d_0 of the bias neuron, (upper,), the same for every k.

        Parameters
        ----------
        speed : 1 where the bias is switched off on the way to the root point as fast as the activations are; 0 where it stays
        """
        return zeros(self.b.shape, self.a) + like(speed, self.a)


@dataclass(frozen=True, eq=False)
class Line:
    """The points ã = a − t·d, ã_0 = 1 − t·d_0 of each upper neuron.

    Attributes
    ----------
    d, d_0 : the direction, (upper, lower), and that of the bias neuron, (upper,)
    low, high : the domain that the root is to lie in, (lower,); None: no bound
    ends : whether the search ends at t = 1
    stabiliser : what is added to Σ_{0,j} d_j w_jk; None: nothing, and the root is where the line meets the hinge
    """

    d: Array
    d_0: Array
    low: Array | None = None
    high: Array | None = None
    ends: bool = True
    stabiliser: Callable[[Array], Array] | None = None


def toward_zero(_: rules.Zero, k: Neurons) -> Line:
    """To the origin, with the bias neuron (Montavon et al. 2019, §10.2.3)."""
    return Line(k.a * k.where(k.feeds), k.bias_moves(1), low=k.each(0))


def short_of_zero(rule: rules.Epsilon, k: Neurons) -> Line:
    """To the origin, but ending before the hinge: z(ã) = e z/(z + e) (Montavon et al. 2019, §10.2.3)."""
    line = toward_zero(rules.Zero(), k)
    return Line(line.d, line.d_0, line.low, stabiliser=stabiliser(rule.epsilon, rule.signed))


def favour_positive(rule: rules.Gamma, k: Neurons) -> Line:
    """1 + γ times as fast where w ≥ 0, the bias neuron too (Montavon et al. 2019, §10.2.3)."""
    zero, one, gamma = like(0, k.a), like(1, k.a), like(rule.gamma, k.a)
    d = k.a * (one + gamma * k.where(k.w >= zero)) * k.where(k.feeds)
    d_0 = one + gamma * k.where(k.b >= zero)
    return Line(d, d_0, low=k.each(0), stabiliser=stabiliser(rule.epsilon, True))


def favour_sign_of_z(rule: rules.GeneralizedGamma, k: Neurons) -> Line:
    """1 + γ times as fast where the contribution has the sign of z; always between 0 and a."""
    zero, one, gamma, sign = like(0, k.a), like(1, k.a), like(rule.gamma, k.a), signs(k.z)
    d = k.a * (one + gamma * k.where(k.a * k.w * sign[:, None] >= zero)) * k.where(k.feeds)
    return Line(d, one + gamma * k.where(k.b * sign >= zero))


def without_support(_: rules.ZPlus, k: Neurons) -> Line:
    """To the corner where nothing excites k and all that inhibits it is still there (Montavon et al. 2018, §5.2)."""
    return Line(k.a * k.where(k.a * k.w > like(0, k.a)), k.bias_moves(0), low=k.each(0))


def without_support_or_bias(rule: rules.AlphaBeta, k: Neurons) -> Line:
    """As z⁺; with the bias in the pool also without a positive bias, the limit of `favour_positive` for γ → ∞."""
    if rule.beta != 0:
        raise RuleError(
            f"{rule} has no root point: its second pool moves the inputs that inhibit k by βz/|Σ(aw)⁻|, which nothing "
            "keeps in their domain; deep Taylor decomposition has α = 1, β = 0 alone"
        )
    if rule.empty != "drop":
        raise RuleError(
            f"{rule} has no root point: it gives the relevance of an empty pool to the other pool; empty='drop' has one"
        )
    line = without_support(rules.ZPlus(), k)
    return Line(line.d, k.where(k.b > like(0, k.a)) if rule.bias == "pool" else line.d_0, line.low)


def along_weights(_: rules.WSquare, k: Neurons) -> Line:
    """Along the gradient, to the nearest root of all (Montavon et al. 2018, Tab. 2)."""
    return Line(k.w, k.bias_moves(0), ends=False)


def toward_corner(rule: rules.ZBox, k: Neurons) -> Line:
    """To the corner of the box where z is lowest (Montavon et al. 2018, Tab. 2)."""
    if rule.low is None:
        raise DomainError("ZBox() has no bounds: no model is known here, give ZBox(low, high)")
    rule.check(k.a.reshape(1, *k.shape))
    low, high, zero = k.each(rule.low), k.each(rule.high), like(0, k.a)
    # An input of weight 0 stays: going to 0 with it would change no term, and could leave a box that 0 is not in.
    d = (k.a - low) * k.where(k.w > zero) + (k.a - high) * k.where(k.w < zero)
    return Line(d, k.bias_moves(0), low, high)


def stabiliser(epsilon: Any, signed: bool) -> Callable[[Array], Array]:
    """ε, or ε·s(z) of a denominator z; `relative(r)`: r times the root mean square over all k."""

    def added(z: Array) -> Array:
        if not isinstance(epsilon, rules.RelativeEpsilon):
            size = like(epsilon, z)
        elif is_exact(z):
            raise ExactnessError(f"{epsilon} is a fraction of a root mean square, which is not rational; give a number")
        else:
            size = like(epsilon.fraction, z) * root_mean_square(z.reshape(1, -1))[0]
        return np.asarray(size * (signs(z) if signed else like(1, z)))

    return added


@dataclass(frozen=True)
class Root:
    """How a rule's root point is found.

    Parameters
    ----------
    line : from the rule and the upper neurons to the line on which their root points are searched
    formula : the root point as LaTeX
    domain : the domain that the root point stays in, in words
    """

    line: Callable[[Any, Neurons], Line]
    formula: str
    domain: str


#: The rules that have a root point.
ROOTS: dict[type[rules.Rule], Root] = {
    rules.Zero: Root(toward_zero, r"\tilde a_j = 0", "ã ≥ 0"),
    rules.Epsilon: Root(short_of_zero, r"\tilde a_j = \frac{\epsilon_k}{z_k + \epsilon_k}\,a_j", "ã ≥ 0"),
    rules.Gamma: Root(favour_positive, r"\tilde a_j = a_j\,(1 - t\,(1 + \gamma\,1_{w_{jk} \ge 0}))", "ã ≥ 0"),
    rules.GeneralizedGamma: Root(
        favour_sign_of_z, r"\tilde a_j = a_j\,(1 - t\,(1 + \gamma\,1_{a_j w_{jk} z_k \ge 0}))", "any real ã"
    ),
    rules.ZPlus: Root(without_support, r"\tilde a_j = a_j\,(1 - t\,1_{a_j w_{jk} > 0})", "ã ≥ 0"),
    rules.AlphaBeta: Root(without_support_or_bias, r"\tilde a_j = a_j\,(1 - t\,1_{a_j w_{jk} > 0})", "ã ≥ 0"),
    rules.WSquare: Root(along_weights, r"\tilde a_j = a_j - t\,w_{jk}", "any real ã"),
    rules.ZBox: Root(toward_corner, r"\tilde a_j = a_j - t\,(a_j - l_j 1_{w_{jk} > 0} - h_j 1_{w_{jk} < 0})", "low ≤ ã ≤ high"),
}

_MAXIMUM = "a maximum is no ReLU of a weighted sum"

#: Why the other rules have none.
NO_ROOT: dict[type[Any], str] = {
    rules.Flat: "it gives relevance also to inputs of weight 0, on which the neuron does not depend",
    rules.WinnerTakesAll: _MAXIMUM,
    rules.Proportional: _MAXIMUM,
    rules.AverageSurrogate: f"{_MAXIMUM}; its inner rule has one on the SumPool of the same windows",
    rules.ChoiceTakesAll: "a choice is no ReLU of a weighted sum",
    rules.ProductRule: "a product is no ReLU of a weighted sum",
    rules.ConstantDeviation: "a normalisation is no ReLU of a weighted sum",
    rules.ConstantStatistics: "a normalisation is no ReLU of a weighted sum",
    rules.Gradient: "it is no decomposition",
    rules.LocalTaylor: "it expands the normalisation itself, and no ReLU of a weighted sum",
    rules.Pass: "it hands relevance on without a weighted sum",
    rules.ThroughTime: "a recurrent cell is many sums and products",
}


def root_of(rule: rules.Rule) -> Root:
    """The way in which a rule's root point is found: its line, formula and domain.

    Parameters
    ----------
    rule : a rule for linear layers

    Raises
    ------
    RuleError
        Where it has none, and why.
    """
    if type(rule) in ROOTS:
        return ROOTS[type(rule)]
    for kind, why in NO_ROOT.items():
        if isinstance(rule, kind):
            raise RuleError(f"{rule} has no root point: {why}")
    raise RuleError(f"no root point is known for {rule}; known for: {', '.join(kind.__name__ for kind in ROOTS)}")
