"""Hypothesis strategies of rules that fit a drawn case, and what the tests of rules compare with.

Cases (layer, inputs, relevance) come from `strategies`; here they get a rule, bounds that hold their inputs, and a size
that the oracle, which works one message at a time, can take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from inspect import isabstract
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lrp_ref import layers as L
from lrp_ref import oracle, rules
from lrp_ref.arrays import Array, fractions
from lrp_ref.ledger import Booking
from support.rule_table import TABLE
from support.strategies import LINEAR, REARRANGEMENTS, SELECTING, Case, cases, dyadics, floats

#: What nearly every network is made of comes up more often than the other linear layers.
OFTEN = (L.Dense, L.Conv, L.Dense, L.Conv, L.ConvTranspose)

#: u, the unit round-off.
ROUNDOFF = {np.dtype(np.float64): Fraction(1, 2**53), np.dtype(np.float32): Fraction(1, 2**24)}

#: Messages that one sample of a drawn case may have, at the most (the oracle takes about 10 µs for each).
MOST = 600


def small(case: Case) -> bool:
    """Whether the oracle can take the case."""
    lower = max(math.prod(shape[1:]) for shape in case.shapes)
    return lower * math.prod(case.relevance.shape[1:]) <= MOST


def exactly_folded(case: Case) -> bool:
    """Whether float64 holds the layer's own factors exactly: a batch norm's quotient may have no dyadic value."""
    if not isinstance(case.layer, L.BatchNorm):
        return True
    rational = case.layer.astype(object)
    return all(
        (fractions(mine) == exact).all()
        for mine, exact in ((case.layer.factor, rational.factor), (case.layer.translation, rational.translation))
    )


# ---- rules -----------------------------------------------------------------------------------------------------------

_EPSILONS = (0.25, 1, Fraction(1, 8), 0)
_GAMMAS = (0.25, 1, Fraction(5, 2), 0)
_PAIRS = ((2, 1), (1, 0), (1.5, 0.5), (Fraction(5, 4), Fraction(1, 4)))

#: The settings of each rule that are tried. Those of ZBox depend on the input. A rule for linear layers that is not here is tried
#: with the settings that it has in `rule_table`, or where it has none, with its defaults.
SETTINGS: dict[type[rules.Rule], list[rules.Rule]] = {
    rules.Zero: [rules.Zero()],
    rules.Epsilon: [rules.Epsilon(e, signed) for e in _EPSILONS for signed in (True, False)],
    rules.Gamma: [*map(rules.Gamma, _GAMMAS), rules.Gamma(1, epsilon=0.25), rules.Gamma(0, epsilon=1)],
    rules.GeneralizedGamma: [*map(rules.GeneralizedGamma, _GAMMAS)],
    rules.AlphaBeta: [
        rules.AlphaBeta(*pair, bias, empty) for pair in _PAIRS for bias in ("pool", "none") for empty in ("drop", "renormalise")
    ],
    rules.ZPlus: [rules.ZPlus()],
    rules.WSquare: [rules.WSquare()],
    rules.Flat: [rules.Flat()],
    rules.WinnerTakesAll: [rules.WinnerTakesAll("lowest"), rules.WinnerTakesAll("split")],
    rules.Proportional: [rules.Proportional()],
    rules.AverageSurrogate: [
        rules.AverageSurrogate(rule)
        for rule in (rules.Zero(), rules.Epsilon(0.25), rules.Flat(), rules.AlphaBeta(2, 1), rules.ZPlus())
    ],
    rules.SignalTakesAll: [rules.SignalTakesAll()],
    rules.ProportionalProduct: [*map(rules.ProportionalProduct, _EPSILONS)],
    rules.AbsoluteProduct: [*map(rules.AbsoluteProduct, _EPSILONS)],
    rules.HalfProduct: [rules.HalfProduct()],
    rules.Pass: [rules.Pass()],
}


def boxes(case: Case) -> list[rules.Rule]:
    """Bounds around the inputs, some of them touching: numbers, one per channel, or one per element."""
    low = min((float(a.min()) for a in case.inputs if a.size), default=0.0)
    high = max((float(a.max()) for a in case.inputs if a.size), default=0.0)
    # The engine refuses nothing where low = high; it divides 0 by 0 and books what it could not assign.
    numbers = [rules.ZBox(low, high), rules.ZBox(min(low, 0) - 1, high + 0.5), rules.ZBox(low - 0.25, high)]
    if len(case.inputs) > 1 or not case.inputs[0].size:
        return [*numbers]
    a = case.inputs[0]
    spatial = tuple(range(2, a.ndim))
    channels = rules.ZBox(a.min(axis=(0, *spatial), keepdims=True)[0], a.max(axis=(0, *spatial), keepdims=True)[0])
    elements = rules.ZBox(a.min(axis=0) - 0.5, a.max(axis=0))
    return [*numbers, channels, elements]


_EXPORTED = [kind for name in rules.__all__ if isinstance(kind := getattr(rules, name), type)]
SETTINGS |= {
    kind: [rule for rule, *_ in TABLE if type(rule) is kind] or [kind()]
    for kind in _EXPORTED
    if issubclass(kind, rules.LinearRule) and kind not in SETTINGS and kind is not rules.ZBox and not isabstract(kind)
}

LINEAR_RULES = [kind for kind in (*SETTINGS, rules.ZBox) if issubclass(kind, rules.LinearRule)]
ALL_RULES = [*SETTINGS, rules.ZBox]


def settings_for(kind: type[rules.Rule], case: Case) -> list[rules.Rule]:
    """The settings of a rule that a case allows."""
    return boxes(case) if kind is rules.ZBox else SETTINGS[kind]


def _cases_for(kind: type[rules.Rule], **options: Any) -> SearchStrategy[Case]:
    """Cases of the layers that a rule serves."""
    if kind in LINEAR_RULES:
        return cases(*OFTEN, *LINEAR, **options)
    if kind is rules.Pass:
        return cases(L.ReLU, L.LeakyReLU, L.Scale, L.BatchNorm, *REARRANGEMENTS, **options)
    if issubclass(kind, rules.ProductRule):
        known = kind is rules.SignalTakesAll
        return cases(L.Multiply, **options).filter(lambda case: not known or case.layer.signal is not None)
    return cases(*SELECTING, **options)


@dataclass(frozen=True, eq=False)
class Ruled:
    """A case and a rule that serves it."""

    case: Case
    rule: rules.Rule

    def astype(self, dtype: Any) -> Ruled:
        return Ruled(self.case.astype(dtype), self.rule)

    def sample(self, n: int) -> Ruled:
        return Ruled(self.case.sample(n), self.rule)

    def propagate(self) -> tuple[tuple[Array, ...], Booking]:
        """What the engine makes of it."""
        case = self.case
        return self.rule.propagate(case.layer, case.inputs, case.layer.forward(*case.inputs), case.relevance)

    def messages(self) -> list[oracle.Messages]:
        """What the oracle makes of each sample."""
        found = [self.case.sample(n) for n in range(self.case.batch)]
        return [oracle.messages(one.layer, self.rule, one.inputs, one.relevance) for one in found]


def roundable(drawn: Ruled, each: list[oracle.Messages], u: Fraction) -> bool:
    """Whether general data decide all signs: no denominator is 0 other than for want of terms, or so near to it that
    rounding could turn it (n·u·κ ≥ 1/8), and no more is the pre-activation where its sign decides.
    """
    for m in each:
        for account in m.accounts:
            pools = [pool for pool in account.pools if pool.coefficient]
            if any(pool.empty and any(pool.terms.values()) for pool in pools) or account.kappa * m.fan * u >= Fraction(1, 8):
                return False
            if isinstance(drawn.rule, (rules.GeneralizedGamma, rules.Epsilon, rules.Gamma)):
                z, upper = abs(account.upper.z), account.upper
                terms = sum(map(abs, upper.contributions.values()), abs(upper.b))
                if terms and terms * m.fan * u >= z / 8:
                    return False
    return True


#: Mixed signs, and zeros of both signs; sums and products of a few hundred are exact in float64.
PALETTE = np.array([*(k / 4 for k in (-12, -8, -5, -4, -3, -2, -1, 1, 2, 3, 4, 6, 7, 12)), 0.0, 0.0, -0.0])


def mixed(case: Case, seed: int, general: bool) -> Case:
    """The case with other numbers: from `PALETTE`, or `general` ones that float32 holds, one in eight of them 0.

    Hypothesis prefers few and simple values, with which many branches of a rule give the same. Here nearly every neuron
    has contributions of both signs.
    """
    rng = np.random.default_rng(seed)

    def other(array: Array) -> Array:
        if general:
            values = rng.normal(size=array.shape).astype(np.float32).astype(np.float64)
            return np.where(rng.random(array.shape) < 1 / 8, 0.0, values)
        return rng.choice(PALETTE, array.shape)

    names = set(case.layer.parameter_names) - {"variance"}
    parameters = {name: other(value) for name, value in case.layer.parameters.items() if name in names}
    if isinstance(case.layer, (L.Dense, L.Conv, L.ConvTranspose)) and "bias" not in parameters and rng.random() < 3 / 4:
        upper = case.relevance.shape[-1 if isinstance(case.layer, L.Dense) else 1]
        parameters["bias"] = other(np.empty(upper))
    return Case(replace(case.layer, **parameters), tuple(map(other, case.inputs)), other(case.relevance))


@st.composite
def ruled(
    draw: DrawFn,
    kind: type[rules.Rule],
    fits: Callable[[Case], bool] = small,
    general: bool = False,
    batch: SearchStrategy[int] | None = None,
) -> Ruled:
    """A rule of `kind`, drawn together with a case that it serves.

    Parameters
    ----------
    fits : what else is asked of the case
    general : whether numbers are general ones rather than dyadic
    batch : the batch extent; default: 1 or 2
    """
    numbers = floats() if general else None
    options = {"numbers": numbers, "inputs": numbers, "relevance": floats() if general else dyadics()}
    extent = st.sampled_from([1, 2]) if batch is None else batch
    case = draw(_cases_for(kind, batch=extent, **options).filter(fits))
    if draw(st.sampled_from([True, True, True, False])):
        case = mixed(case, draw(st.integers(0, 2**32 - 1)), general)
    if kind is rules.Proportional:
        case = replace(case, inputs=tuple(abs(a) for a in case.inputs))
    return Ruled(case, draw(st.sampled_from(settings_for(kind, case))))


# ---- a sweep ---------------------------------------------------------------------------------------------------------


TEMPLATES: list[tuple[L.Linear, tuple[tuple[int, ...], ...]]] = [
    (L.Dense(np.zeros((4, 3)), np.zeros(3)), ((2, 4),)),
    (L.Conv(np.zeros((2, 2, 2)), np.zeros(2), padding=[(0, 1)], stride=2), ((2, 2, 4),)),
    (L.Conv(np.zeros((2, 1, 2, 2)), np.zeros(2), padding=1, groups=2), ((1, 2, 1, 2),)),
    (L.ConvTranspose(np.zeros((2, 2, 2)), np.zeros(2)), ((1, 2, 3),)),
    (L.AvgPool(2, stride=1, padding=1), ((1, 2, 3),)),
    (L.Subtract(), ((2, 3), (2, 1))),
]


def sweep(kind: type[rules.Rule]) -> Iterator[Ruled]:
    """Every setting of a rule for linear layers on every template, three times; the same in every run.

    Hypothesis finds corners; but in forty examples it may not give every setting a layer on which it matters.
    """
    for number, (layer, shapes) in enumerate(TEMPLATES * 3):
        zeros = Case(layer, tuple(map(np.zeros, shapes)), np.zeros(layer.shape(*shapes)))
        case = mixed(zeros, number, general=False)
        yield from (Ruled(case, rule) for rule in settings_for(kind, case))
