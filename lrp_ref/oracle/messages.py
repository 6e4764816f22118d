"""The literal definition: every message R_{j←k}, one upper neuron at a time, in exact rationals.

A rule is here what the papers print: a formula that says in which proportion the neurons j that feed k share R_k.
Nothing is vectorised, and nothing is shared with the engine in `lrp_ref.rules`, so that the agreement of the two proves
something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from .. import rules
from ..arrays import Array, Shape, fractions
from ..errors import DomainError, ExactnessError, RuleError, ShapeError
from ..layers.activations import Activation
from ..layers.base import Layer, Linear
from ..layers.functions import Choice, Maximum
from ..layers.merge import Multiply
from ..layers.norms import LRN
from ..layers.selection import Where
from .account import Account, Lower, Messages, Pool, Terms, Upper
from .matrix import connections, constant, weights

Pools = tuple[Pool, ...]


def exact(value: Any) -> Fraction:
    """A number as a fraction; a float is its exact binary value."""
    number: Fraction = fractions(value).item()
    return number


def plus(number: Fraction) -> Fraction:
    """max(0, number)."""
    return number if number > 0 else Fraction(0)


def minus(number: Fraction) -> Fraction:
    """min(0, number), which is negative."""
    return number if number < 0 else Fraction(0)


def stabiliser(epsilon: Any, signed: bool, z: Fraction) -> Fraction:
    """ε·s(z) with s(0) = +1, or ε as it is."""
    if isinstance(epsilon, rules.RelativeEpsilon):
        raise ExactnessError(f"{epsilon} is a fraction of a root mean square, which is not rational; give a number")
    e = exact(epsilon)
    return -e if signed and z < 0 else e


# Rules for linear layers ---------------------------------------------------------------------------------------------


def zero(_: rules.Zero, k: Upper) -> Pools:
    """In proportion to a_j w_jk, with the bias (Montavon et al. 2019, §10.2.1)."""
    return (Pool("a w", k.contributions, k.b),)


def epsilon(rule: rules.Epsilon, k: Upper) -> Pools:
    """As LRP-0, with ε in the denominator (Montavon et al. 2019, §10.2.1; signed: Arras et al. 2019, §11.3.1)."""
    return (Pool("a w", k.contributions, k.b, stabiliser(rule.epsilon, rule.signed, k.z)),)


def gamma(rule: rules.Gamma, k: Upper) -> Pools:
    """In proportion to a_j (w_jk + γ w_jk⁺), the bias mapped alike (Montavon et al. 2019, §10.2.1; Montavon 2019)."""
    g = exact(rule.gamma)
    terms = {j: k.a[j] * (k.w[j] + g * plus(k.w[j])) for j in k.a}
    bias = k.b + g * plus(k.b)
    return (Pool("a (w + γ w⁺)", terms, bias, stabiliser(rule.epsilon, True, sum(terms.values(), bias))),)


def generalized_gamma(rule: rules.GeneralizedGamma, k: Upper) -> Pools:
    """What has z_k's own sign counts 1 + γ times (Andéol et al. 2021); z_k = 0 counts as positive."""
    g = exact(rule.gamma)
    name, part = ("z + γ z⁺", plus) if k.z >= 0 else ("z + γ z⁻", minus)
    return (Pool(name, {j: z + g * part(z) for j, z in k.contributions.items()}, k.b + g * part(k.b)),)


def alpha_beta(rule: rules.AlphaBeta, k: Upper) -> Pools:
    """α R_k in proportion to (a w)⁺, −β R_k to (a w)⁻ (Bach et al. 2015; Samek et al. 2021, Tab. 1.1)."""
    b = k.b if rule.bias == "pool" else Fraction(0)
    pools = (
        Pool("(a w)⁺", {j: plus(z) for j, z in k.contributions.items()}, plus(b), coefficient=exact(rule.alpha)),
        Pool("(a w)⁻", {j: minus(z) for j, z in k.contributions.items()}, minus(b), coefficient=-exact(rule.beta)),
    )
    filled = [pool for pool in pools if not pool.empty]
    if rule.empty == "renormalise" and len(filled) == 1:
        return tuple(replace(pool, coefficient=Fraction(1) if pool in filled else Fraction(0)) for pool in pools)
    return pools


def z_plus(_: rules.ZPlus, k: Upper) -> Pools:
    """In proportion to (a w)⁺, without bias (Montavon et al. 2018, Eq. 2)."""
    return (Pool("(a w)⁺", {j: plus(z) for j, z in k.contributions.items()}),)


def z_box(rule: rules.ZBox, k: Upper) -> Pools:
    """In proportion to a_j w_jk − l_j w_jk⁺ − h_j w_jk⁻, as printed (Montavon et al. 2018, Tab. 2)."""
    if rule.low is None:
        raise DomainError("ZBox() has no bounds: the oracle knows no model, give ZBox(low, high)")
    low, high = _bounds(rule.low, k), _bounds(rule.high, k)
    terms = {j: k.a[j] * k.w[j] - low[j] * plus(k.w[j]) - high[j] * minus(k.w[j]) for j in k.a}
    return (Pool("a w − l w⁺ − h w⁻", terms),)


def _bounds(bound: Any, k: Upper) -> Terms:
    """One bound for every j that feeds k, of a number or an array that broadcasts against one sample."""
    spread = [np.broadcast_to(fractions(bound), shape).reshape(-1) for shape in k.shapes]
    return {(i, j): spread[i][j] for i, j in k.a}


def w_square(_: rules.WSquare, k: Upper) -> Pools:
    """In proportion to w_jk² (Montavon et al. 2018, Tab. 2)."""
    return (Pool("w²", {j: k.w[j] ** 2 for j in k.a}),)


def flat(_: rules.Flat, k: Upper) -> Pools:
    """Equal shares for all that feed k (Samek et al. 2021, Tab. 1.1)."""
    return (Pool("1", dict.fromkeys(k.a, Fraction(1))),)


# Rules for maximum pooling -------------------------------------------------------------------------------------------


def winner_takes_all(rule: rules.WinnerTakesAll, k: Upper) -> Pools:
    """Everything to the largest x_j (Bach et al. 2015); of equal ones to the first, or in equal shares."""
    largest = max(k.a.values())
    winners = [j for j in sorted(k.a) if k.a[j] == largest]
    if rule.ties == "lowest":
        winners = winners[:1]
    return (Pool("1[winner]", {j: Fraction(1 if j in winners else 0) for j in k.a}),)


def proportional(_: rules.Proportional, k: Upper) -> Pools:
    """In proportion to x_j ≥ 0 (Montavon et al. 2018, §5.3)."""
    if min(k.a.values(), default=Fraction(0)) < 0:  # an Lp pooling's window may see nothing but padding
        raise RuleError("Proportional is defined for x ≥ 0, found a negative x")
    return (Pool("x", dict(k.a)),)


def average_surrogate(rule: rules.AverageSurrogate, k: Upper) -> Pools:
    """As sum pooling, whose weights are 1, under another rule (Montavon et al. 2019, §10.3.2)."""
    return formula_of(rule.rule)(rule.rule, k)


# Rules for products: the first input holds one factor of every output element, the second the other -------------------


def signal_takes_all(_: rules.SignalTakesAll, k: Upper) -> Pools:
    """Everything to the signal, which the layer names (Arras et al. 2019, Table 11.1, LRP-all)."""
    signal = k.layer.signal if isinstance(k.layer, Multiply) else None
    if signal is None:
        raise RuleError("SignalTakesAll must know which factor is the signal: Multiply(signal=0) or Multiply(signal=1)")
    return (Pool("1[signal]", {(i, j): Fraction(1 if i == signal else 0) for i, j in k.a}),)


def proportional_product(rule: rules.ProportionalProduct, k: Upper) -> Pools:
    """In proportion to the factors' values (Arras et al. 2019, Table 11.1, LRP-prop)."""
    return (Pool("x", dict(k.a), stabiliser=stabiliser(rule.epsilon, True, sum(k.a.values(), Fraction(0)))),)


def absolute_product(rule: rules.AbsoluteProduct, k: Upper) -> Pools:
    """In proportion to the factors' absolute values (Arras et al. 2019, Table 11.1, LRP-abs)."""
    return (Pool("|x|", {j: abs(x) for j, x in k.a.items()}, stabiliser=exact(rule.epsilon)),)


def half_product(_: rules.HalfProduct, k: Upper) -> Pools:
    """Half to each factor (Arras et al. 2019, Table 11.1, LRP-half)."""
    return (Pool("1/2", dict.fromkeys(k.a, Fraction(1, 2))),)


# The rule of choices: every output element comes from one input ---------------------------------------------------------


def choice_takes_all(_: rules.ChoiceTakesAll, k: Upper) -> Pools:
    """Everything to the input that k is: the first of the largest, or of the smallest; what the condition says."""
    if isinstance(k.layer, Where):
        (condition,) = (x for (i, _), x in k.a.items() if i == 0)
        source = 1 if condition != 0 else 2
    else:
        best = (max if isinstance(k.layer, Maximum) else min)(k.a.values())
        source = min(i for (i, _), x in k.a.items() if x == best)
    return (Pool("1[chosen]", {(i, j): Fraction(1 if i == source else 0) for i, j in k.a}),)


def _beside(shapes: Sequence[Shape], shape: Shape) -> list[Array]:
    """For every input which of its elements stands beside which output element, as Boolean matrices (lower, upper)."""
    matrices = []
    for own in shapes:
        lower = np.arange(math.prod(own))
        matrices.append(lower[:, None] == np.broadcast_to(lower.reshape(own), shape).reshape(1, -1))
    return matrices


def local_taylor(rule: rules.LocalTaylor, k: Upper) -> Pools:
    """In proportion to the first-order terms of a_k / (κ + α/n Σ a²)^β between a and (0, …, a_k, …, 0) (Binder et al. 2016)."""
    layer, own = k.layer, (0, k.number)
    if not isinstance(layer, LRN) or layer.beta != int(layer.beta):
        raise ExactnessError("the terms of LocalTaylor are rational only where beta is a whole number")
    b, kappa, beta, x = exact(layer.alpha) / layer.size, exact(layer.k), int(layer.beta), k.a[own]
    whole = kappa + b * sum(a * a for a in k.a.values())
    terms = {j: -2 * beta * b * x * a * a / whole ** (beta + 1) for j, a in k.a.items()}
    terms[own] = x / (kappa + b * x * x) ** beta
    return (Pool("first-order term", terms, stabiliser=stabiliser(rule.epsilon, True, sum(terms.values(), Fraction(0)))),)


def _connections(layer: LRN, shape: Shape) -> Array:
    """Which channels each channel of an LRN is normalised by, at the same place: a Boolean matrix (lower, upper)."""
    places = np.arange(math.prod(shape)).reshape(shape[1], -1)
    connected = np.zeros((places.size, places.size), dtype=bool)
    for upper in range(shape[1]):
        for lower in range(shape[1]):
            if -((layer.size - 1) // 2) <= lower - upper <= layer.size // 2:
                connected[places[lower], places[upper]] = True
    return connected


def passed(_: rules.Pass, k: Upper) -> Pools:
    """Everything to the one element that k comes from; an element of padding comes from nowhere."""
    return (Pool("1", dict.fromkeys(k.a, Fraction(1))),)


FORMULAS: dict[type[rules.Rule], Callable[[Any, Upper], Pools]] = {
    rules.Zero: zero,
    rules.Epsilon: epsilon,
    rules.Gamma: gamma,
    rules.GeneralizedGamma: generalized_gamma,
    rules.AlphaBeta: alpha_beta,
    rules.ZPlus: z_plus,
    rules.ZBox: z_box,
    rules.WSquare: w_square,
    rules.Flat: flat,
    rules.WinnerTakesAll: winner_takes_all,
    rules.Proportional: proportional,
    rules.AverageSurrogate: average_surrogate,
    rules.SignalTakesAll: signal_takes_all,
    rules.ProportionalProduct: proportional_product,
    rules.AbsoluteProduct: absolute_product,
    rules.HalfProduct: half_product,
    rules.ChoiceTakesAll: choice_takes_all,
    rules.LocalTaylor: local_taylor,
    rules.Pass: passed,
}


def formula_of(rule: rules.Rule) -> Callable[[Any, Upper], Pools]:
    """The formula function of a rule.

    Raises
    ------
    RuleError
        For a rule that has no literal definition here, such as one of the user's own.
    """
    if type(rule) not in FORMULAS:
        raise RuleError(
            f"{rule} has no literal definition: FORMULAS in lrp_ref/oracle/messages.py has no line for {type(rule).__name__}"
        )
    return FORMULAS[type(rule)]


def _links(layer: Layer, rule: rules.Rule, shapes: Sequence[Shape]) -> tuple[list[Array], list[Array], Array]:
    """Which j feed which k; w_jk; b_k."""
    if isinstance(rule, rules.Pass) and isinstance(layer, (Activation, Linear, LRN)):
        if layer.shape(*shapes) != shapes[0]:
            raise RuleError(f"Pass needs equal shapes, {layer} turns {shapes[0]} into {layer.shape(*shapes)}")
        size = math.prod(shapes[0])
        return [np.eye(size, dtype=bool)], [constant(1, (size, size))], constant(0, (size,))
    if isinstance(rule, rules.LocalTaylor):
        assert isinstance(layer, LRN)
        matrix = _connections(layer, shapes[0])
        return [matrix], [constant(1, matrix.shape)], constant(0, (matrix.shape[1],))
    if isinstance(layer, Choice):
        feed = _beside(shapes, layer.shape(*shapes))
        return feed, [constant(1, matrix.shape) for matrix in feed], constant(0, (feed[0].shape[1],))
    feed = list(connections(layer, shapes, others=1 if isinstance(layer, Multiply) else 0))
    if isinstance(layer, Linear):
        matrices, bias = weights(layer, shapes)
        return feed, list(matrices), bias
    return feed, [constant(1, matrix.shape) for matrix in feed], constant(0, (feed[0].shape[1],))


def _arrays(layer: Layer, a: Any, R: Any) -> tuple[list[Array], Array]:
    """The inputs and the relevance of one sample as rationals, their shapes checked."""
    if isinstance(layer, Multiply) and layer.constant is not None:
        raise RuleError("a constant factor is no neuron: give the oracle Multiply(signal), and the constant as its second input")
    if isinstance(layer, Where) and layer.parameters:
        raise RuleError("a constant that is chosen is no neuron: give the oracle Where(), and the constant as an input")
    given = a if layer.arity > 1 or isinstance(a, tuple) else (a,)
    inputs = [fractions(array) for array in given]
    shape = layer.shape(*(array.shape for array in inputs))
    if shape[0] != 1:
        raise ShapeError(f"the oracle takes one sample at a time, with a batch axis of 1; found {shape[0]} samples")
    relevance = fractions(R)
    if relevance.shape != shape:
        raise ShapeError(f"R must have the shape of the layer's output, {shape}, found {relevance.shape}")
    return inputs, relevance


def upper_neurons(layer: Layer, rule: rules.Rule, a: Any, R: Any) -> tuple[tuple[Upper, ...], tuple[Shape, ...], Shape]:
    """Every upper neuron with what feeds it; the shapes of the inputs and of the output."""
    rule.require(layer)
    inputs, relevance = _arrays(layer, a, R)
    shapes = tuple(array.shape for array in inputs)
    feed, w, bias = _links(layer, rule, shapes)
    flat_inputs = [array.reshape(-1) for array in inputs]
    neurons = []
    for number, R_k in enumerate(relevance.flat):
        below: list[Lower] = [(i, int(j)) for i, matrix in enumerate(feed) for j in np.flatnonzero(matrix[:, number])]
        a_j: Terms = {(i, j): flat_inputs[i][j] for i, j in below}
        w_jk: Terms = {(i, j): w[i][j, number] for i, j in below}
        neurons.append(Upper(number, a_j, w_jk, bias[number], R_k, layer, shapes))
    return tuple(neurons), shapes, relevance.shape


def messages(layer: Layer, rule: rules.Rule, a: Any, R: Any) -> Messages:
    """Every message R_{j←k} of a layer under a rule, for one sample.

    Parameters
    ----------
    layer : the layer
    rule : a rule of `lrp_ref.rules` that serves it
    a : its input, (1, …); a tuple of inputs where it has several. Floats are taken at their exact binary value
    R : the relevance of its output, (1, …)

    Raises
    ------
    RuleError
        Where the rule does not serve the layer, or has no literal definition.
    ExactnessError
        For an ε relative to a root mean square.
    """
    uppers, shapes, shape = upper_neurons(layer, rule, a, R)
    return Messages(tuple(Account(k, formula_of(rule)(rule, k)) for k in uppers), shapes, shape)
