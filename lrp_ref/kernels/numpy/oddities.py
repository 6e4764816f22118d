"""Denominators out of the range of normal numbers in fast steps: noted on the way up, looked at where relevance meets them.

A fast step divides on the way up, when nothing is known of relevance, and divides by infinity where it cannot divide. It notes
that there were such denominators, which is rare; on the way down the definition decides whether they are exact zeros, whose 0 is
right, or have to be refused (`lrp_ref.rules.denominators`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...arrays import Array, divide, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.base import Linear
from ...lazy_dataclass import lazy_dataclass
from ...messages import MessageKind
from ...rules import LinearRule
from ...rules.denominators import counts, in_range, least, outweighs, products_in_range, terms_of
from ...rules.terms import IDENTITY, NEGATIVE, POSITIVE, Share

#: What a step may note of its denominators, added up: as the C core says it.
SMALL, OVERFLOWED = 1, 2
#: Features that hold no smaller numbers than the input does.
_PARTS = (IDENTITY, POSITIVE, NEGATIVE)


@lazy_dataclass(frozen=True, eq=False)
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


@lazy_dataclass(frozen=True, eq=False)
class Definition:
    """A layer under a rule, asked where a step's own denominators are out of range.

    Attributes
    ----------
    rule, layer : these
    title : what messages call the layer in its model
    look : what finds the least size of an array's numbers that are not 0
    """

    rule: LinearRule
    layer: Linear
    title: str
    look: Callable[[Array], float] = least

    def settled(
        self, oddity: Oddity, shares: Sequence[tuple[Array, float]], message: Array, takes: MessageKind, emits: MessageKind
    ) -> tuple[Array, ...] | None:
        """What the definition says where a step's own denominators overflowed; None where the step's own division stands.

        `shares` are for each share what the step multiplies messages with, or divides them by, and its coefficient λ.

        Raises
        ------
        NonFiniteError, UnderflowError
            As the definition does.
        """
        inputs, output = oddity.inputs, oddity.output
        if oddity.kinds == SMALL and (
            self._is_sure(inputs) or not _met(shares, output, message, takes) or self._exact(inputs, output.ndim)
        ):
            return None
        by_target = []
        try:
            z = self.layer.forward(*inputs)
            for t in range(message.shape[1]):
                relevance = message[:, t] * output if takes == "ratio" else message[:, t]
                if oddity.kinds & OVERFLOWED:
                    by_target.append(self.rule.relevances(self.layer, inputs, z, relevance))
                else:
                    self.rule.divided(self.layer, inputs, z, relevance)
        except LrpError as error:
            raise error.at(self.title) from None
        if not by_target:
            return None
        messages = tuple(np.stack(lowers, axis=1) for lowers in zip(*by_target, strict=True))
        if emits == "relevance":
            return messages
        wide = [np.broadcast_to(a[:, None], message_below.shape) for a, message_below in zip(inputs, messages, strict=True)]
        return tuple(divide(message_below, a, a != 0) for a, message_below in zip(wide, messages, strict=True))  # R = a·c

    def _is_sure(self, inputs: tuple[Array, ...]) -> bool:
        """Whether one look at each input tells that no product can underflow."""
        weights = self.weights.get(inputs[0].dtype.char, ())
        return bool(weights) and all(outweighs(self.look(a), w, a.dtype) for a, w in zip(inputs, weights, strict=True))

    def _exact(self, inputs: tuple[Array, ...], ndim: int) -> bool:
        """Whether no product of the layer under the rule can underflow: then sums of 0 are 0."""
        positions = list(zip(*self._shares(inputs[0], ndim), strict=True))
        return not self._loses(positions, inputs[0]) and all(products_in_range(terms_of(p, inputs)) for p in positions)

    @cached_property
    def weights(self) -> dict[str, tuple[float, ...]]:
        """By number type, for each input the least size of its weights in all shares; nothing where that does not tell.

        A part of an input has no smaller number than it, but for those that a bound is taken from.
        """
        least_by_type: dict[str, tuple[float, ...]] = {}
        for template in (np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float64)):
            shares = self._shares(template, 2 + getattr(self.layer, "dims", 0))
            terms = [[term for share in terms_of_input for term in share.terms] for terms_of_input in shares]
            plain = all(term.lost is None and term.feature in _PARTS for terms_of_input in terms for term in terms_of_input)
            if plain and not self._loses(list(zip(*shares, strict=True)), template):
                least_by_type[template.dtype.char] = tuple(
                    min((least(term.weight) for term in terms_of_input), default=np.inf) for terms_of_input in terms
                )
        return least_by_type

    def _shares(self, template: Array, ndim: int) -> list[tuple[Share, ...]]:
        bias: Any = self.layer.offset(ndim)
        bias = None if bias is None else like(bias, template)
        return [self.rule.shares(like(w, template), bias) for w in self.layer.weights]

    @staticmethod
    def _loses(positions: Sequence[tuple[Share, ...]], template: Array) -> bool:
        """Whether a stabiliser is too small for the number type."""
        none = np.zeros((1, 1), template.dtype)
        return any(bool(np.any(position[0].stabiliser.lost(none, none))) for position in positions)


def _met(shares: Sequence[tuple[Array, float]], output: Array, message: Array, takes: MessageKind) -> bool:
    """Whether relevance above its rounding may meet a denominator that is no normal number: as it is seen in the factors."""
    tiny = 2 * float(np.finfo(message.dtype).tiny)  # twice, for the rounding of what λ makes of a denominator
    wanted = counts(message * output[:, None] if takes == "ratio" else message, 2)
    for factor, coefficient in shares:
        size = abs(factor)
        if takes == "ratio":  # λ·output / bottom, or 0
            dead = (size == 0) | (abs(output) * like(coefficient, size) <= size * like(tiny, size))
        else:  # bottom / λ, or infinity
            dead = ~((size * like(coefficient, size) >= like(tiny, size)) & (size < np.inf))
        if (wanted & dead[:, None]).any():
            return True
    return False
