"""Denominators out of the range of normal numbers in fast steps: noted on the way up, looked at where relevance meets them.

A fast step divides on the way up, when nothing is known of relevance, and divides by infinity where it cannot divide. It notes
that there were such denominators, which is rare; on the way down the definition decides whether they are exact zeros, whose 0 is
right, or have to be refused (`lrp_ref.rules.denominators`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, divide, like
from ..errors import LrpError
from ..layers.base import Linear
from ..records import dataclass
from ..rules import LinearRule
from ..rules.denominators import in_range, products_in_range, terms_of
from .passing import Currency

#: What a step may note of its denominators, added up: as the C core says it.
SMALL, OVERFLOWED = 1, 2


@dataclass(frozen=True, eq=False)
class Oddity:
    """A step's note: the kinds, and what the definition needs to look at them."""

    kinds: int
    inputs: tuple[Array, ...]
    output: Array


def noted(kinds: int, inputs: tuple[Array, ...], output: Array) -> Oddity | None:
    """The note, None where there is nothing to note."""
    return Oddity(kinds, inputs, output) if kinds else None


def kinds_of(bottom: Array, meets: Array | None) -> int:
    """What is odd about denominators, where relevance `meets` them (None: everywhere)."""
    if in_range(bottom):
        return 0
    size, finite = abs(bottom), np.isfinite(bottom)
    here = np.ones((), dtype=bool) if meets is None else meets
    small, over = here & finite & (size < np.finfo(bottom.dtype).tiny), here & ~finite
    return SMALL * bool(small.any()) + OVERFLOWED * bool(over.any())


def settled(
    oddity: Oddity, rule: LinearRule, layer: Linear, place: str, message: Array, arrives: Currency, hands_on: Currency
) -> tuple[Array, ...] | None:
    """What the definition says where a step's own denominators overflowed; None where the step's own division stands.

    Raises
    ------
    NonFiniteError, UnderflowError
        As the definition does.
    """
    inputs, output = oddity.inputs, oddity.output
    if oddity.kinds == SMALL and _exact(rule, layer, inputs, output.ndim):
        return None
    found = []
    try:
        z = layer.forward(*inputs)
        for t in range(message.shape[1]):
            relevance = message[:, t] * output if arrives == "c" else message[:, t]
            if oddity.kinds & OVERFLOWED:
                found.append(rule.relevances(layer, inputs, z, relevance))
            else:
                rule.divided(layer, inputs, z, relevance)
    except LrpError as error:
        raise error.at(place) from None
    if not found:
        return None
    whole = tuple(np.stack(parts, axis=1) for parts in zip(*found, strict=True))
    if hands_on == "R":
        return whole
    wide = [np.broadcast_to(a[:, None], part.shape) for a, part in zip(inputs, whole, strict=True)]
    return tuple(divide(part, a, a != 0) for a, part in zip(wide, whole, strict=True))  # R = a·c


def _exact(rule: LinearRule, layer: Linear, inputs: tuple[Array, ...], ndim: int) -> bool:
    """Whether no product of the layer under the rule can underflow: then sums of 0 are 0."""
    bias: Any = layer.offset(ndim)
    bias = None if bias is None else like(bias, inputs[0])
    shares = [rule.shares(like(w, a), bias) for w, a in zip(layer.weights, inputs, strict=True)]
    none = np.zeros((1, 1), inputs[0].dtype)
    return all(
        not np.any(position[0].stabiliser.lost(none, none)) and products_in_range(terms_of(position, inputs))
        for position in zip(*shares, strict=True)
    )
