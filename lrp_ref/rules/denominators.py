r"""Denominators that have left the range of their number type: found, told from exact zeros, and refused (`CONV-FLOAT-RANGE`).

In floats a denominator :math:`z_k + e_k` can be wrong without a word: it overflows, and takes 0 of any relevance, or its terms
are so small that their products vanish, and it looks like the 0 of an empty pool. A denominator in the range of normal numbers
cannot be either, which is nearly free to see; the others are looked at here. Rationals have no range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays import Array, Stabiliser, is_exact, like
from ..errors import LrpError, NonFiniteError, UnderflowError
from ..layers.base import Linear
from .terms import Share


def in_range(bottom: Array) -> bool:
    """Whether all numbers are finite, and normal ones (0 is none)."""
    if is_exact(bottom) or not bottom.size:
        return True
    size = abs(bottom)
    return bool(size.min() >= np.finfo(bottom.dtype).tiny and size.max() < np.inf)


def divides(bottom: Array) -> Array:
    """Where a denominator can be divided by: where it is not 0, and has not overflowed, which no relevance may meet (`check`)."""
    alive = bottom != like(0, bottom)
    return np.asarray(alive if is_exact(bottom) else alive & np.isfinite(bottom), dtype=bool)


def counts(relevance: Array, leading: int = 1) -> Array:
    """Where relevance is above the rounding of the largest of its sample: what is divided elsewhere changes no sum."""
    size = abs(relevance)
    rest = tuple(range(leading, relevance.ndim))
    largest = size.max(axis=rest, keepdims=True, initial=0)
    return np.asarray(size > np.finfo(relevance.dtype).eps * largest)


def check(
    layer: Linear,
    position: Sequence[Share],
    inputs: Sequence[Array],
    z: Array,
    e: Array,
    admitted: Array,
    relevance: Array,
    leading: int = 1,
) -> None:
    """Refuse a share's denominators z + e that divide relevance and are not what they say.

    Parameters
    ----------
    layer, position, inputs : the layer, the share for each of its inputs, and these
    z, e : the share's sum of terms, and what its stabiliser adds
    admitted : where the share serves
    relevance : that is divided
    leading : how many axes tell samples apart

    Raises
    ------
    NonFiniteError
        Where a denominator overflowed.
    UnderflowError
        Where one is 0 or subnormal, and its terms, or its ε, would have made it another number in a wider type.
    """
    bottom = np.asarray(z + e)
    if in_range(bottom):
        return
    with np.errstate(all="ignore"):
        wanted = counts(relevance, leading) & admitted
        _refuse_overflow(bottom, wanted)
        small = np.asarray(wanted & (abs(bottom) < np.finfo(bottom.dtype).tiny))
        lost = position[0].stabiliser.lost(e, z, leading)
        if small.any() and (lost.any() or not products_in_range(terms_of(position, inputs))):
            _refuse_underflow(bottom, small & _vanished(layer, position, inputs, z, e, leading))


def check_sum(terms: Sequence[Array], stabiliser: Stabiliser, total: Array, e: Array, relevance: Array) -> None:
    """`check` of a sum of two numbers: adding them cannot underflow, only overflow, or lose its ε."""
    bottom = np.asarray(total + e)
    if in_range(bottom):
        return
    with np.errstate(all="ignore"):
        wanted = relevance != 0
        _refuse_overflow(bottom, wanted)
        small = wanted & (abs(bottom) < np.finfo(bottom.dtype).tiny)
        any_term = np.any([part != 0 for part in terms], axis=0)
        _refuse_underflow(bottom, small & any_term & stabiliser.lost(e, total))


def _refuse_overflow(bottom: Array, wanted: Array) -> None:
    over = np.asarray(wanted & ~np.isfinite(bottom))
    if over.any():
        raise NonFiniteError(
            f"{_first(bottom, over)}: its terms overflow {bottom.dtype}, though the layer's output need not. {_way_out(bottom)}"
        )


def _refuse_underflow(bottom: Array, wrong: Array) -> None:
    if wrong.any():
        raise UnderflowError(
            f"{_first(bottom, wrong)}, because its terms, or its ε, are too small for {bottom.dtype}: no relevance can be "
            f"divided by it. {_way_out(bottom)}"
        )


def _first(bottom: Array, wrong: Array) -> str:
    where = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = int(np.count_nonzero(wrong))
    many = f"{count} denominators are out of range, the first" if count > 1 else "a denominator"
    return f"{many} at {where} is {bottom[where]}"


def _way_out(bottom: Array) -> str:
    wider = "float64 (precision='float64')" if bottom.dtype == np.float32 else "rationals (precision='exact')"
    return f"Rescale the weights and inputs, or compute in {wider}"


# ---- can products have vanished? ---------------------------------------------------------------------------------------------


def terms_of(position: Sequence[Share], inputs: Sequence[Array]) -> Iterator[tuple[Array, float, bool]]:
    """Each term's input, the least size of its weight, and whether that itself lost numbers."""
    for share, a in zip(position, inputs, strict=True):
        for term in share.terms:
            yield term.feature(a), least(term.weight), term.lost is not None


def least(array: Array) -> float:
    """The smallest size of a number of the array that is not 0; infinity where there is none."""
    smallest = math.inf
    for block in np.array_split(array.reshape(-1), max(1, array.size >> 20)):
        size = abs(block)
        low = float(size.min(initial=np.inf))
        smallest = min(smallest, low or float(size.min(initial=np.inf, where=size > 0)))
    return smallest


def products_in_range(terms: Iterable[tuple[Array, float, bool]]) -> bool:
    """Whether no product of a term can underflow, so that every sum of them is what it says, 0 too. Adding never underflows."""
    return not any(lost or not outweighs(least(a), weight, a.dtype) for a, weight, lost in terms)


def outweighs(low: float, weight: float, dtype: Any) -> bool:
    """Whether products of numbers from `low` and from `weight` on, infinity where there are none, are all normal ones."""
    tiny = float(np.finfo(dtype).tiny)
    return not (low < math.inf and weight < math.inf) or _log(low) + _log(weight) >= _log(tiny) + 1


def _log(number: float) -> int:
    return math.frexp(number)[1] - 1


def _vanished(layer: Linear, position: Sequence[Share], inputs: Sequence[Array], z: Array, e: Array, leading: int) -> Array:
    """Where z + e is 0 or subnormal for want of range: the terms are added up again, scaled by a power of 2.

    Where their magnitudes reach the normal numbers z is what rounding makes of it. Below, scaling cannot overflow.
    """
    limits = np.finfo(z.dtype)
    half = (int(limits.nmant) - int(limits.minexp) + 1) // 2
    size, again, scaled_size, count = (np.zeros_like(z) for _ in range(4))
    lost = np.zeros(z.shape, dtype=bool)
    for share, a in zip(position, inputs, strict=True):
        for term in share.terms:
            f, w = term.feature(a), term.weight
            high_f, high_w = _scaled(f, half), _scaled(w, half)
            size += layer.map_absolute(f, w)
            again += layer.map(high_f, high_w)
            scaled_size += layer.map_absolute(high_f, high_w)
            some = like(f != 0, z)
            count += layer.map_absolute(some, like(w != 0, z))
            if term.lost is not None:
                lost |= layer.map_absolute(some, like(term.lost, z)) > 0
    bias = position[0].bias
    if bias is not None:
        size, again, scaled_size = size + abs(bias), again + _scaled(bias, 2 * half), scaled_size + abs(_scaled(bias, 2 * half))
    off = abs(again - _scaled(z, 2 * half)) > 4 * limits.eps * (count + 2) * scaled_size
    alive = (count > 0) | lost
    return np.asarray((size < limits.tiny) & (off | lost) | alive & position[0].stabiliser.lost(e, z, leading))


def _scaled(x: Array, by: int) -> Array:
    high = np.finfo(x.dtype).max
    return np.asarray(np.clip(np.ldexp(x, by), -high, high))


# ---- for fast backends --------------------------------------------------------------------------------------------------------


def refuse(rule: Any, layer: Linear, inputs: tuple[Array, ...], relevance: Array, place: str) -> None:
    """The definition's look at a layer whose denominators a fast backend found out of range."""
    try:
        rule.divided(layer, inputs, layer.forward(*inputs), relevance)
    except LrpError as error:
        raise error.at(place) from None
