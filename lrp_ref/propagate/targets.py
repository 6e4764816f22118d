r"""Which outputs are explained: what a target may look like, and which flat indices it means.

The number of axes decides, never the container: lists, tuples, arrays and their mixtures of the same numbers ask the same. r is
the rank of the output without its batch axis, N the number of samples, T that of targets.

=====  ===========================  ==============================
\      ``target=``, ``contrast=``   ``targets=``
=====  ===========================  ==============================
r ≤ 1  int: all samples             (T,): all samples
\      (N,): one per sample         (N, T): T per sample
r > 1  int, flat: all samples       (T,), flat: all samples
\      (r,): an index, all samples  (T, r): T indices, all samples
\      (N, r): one per sample       (N, T, r): T per sample
=====  ===========================  ==============================
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, Shape, unmasked
from ..errors import TargetError


def indices(value: Any, scores: Array, what: str = "target") -> Array:
    """Flat output indices (N, T) from "predicted", "all", an index, or one index per sample.

    Parameters
    ----------
    value : as the table of this module says
    scores : (N, *output)
    what : how messages call it

    Raises
    ------
    TargetError
        Where an index is out of range or not an integer, or the axes fit neither line of the table.
    """
    count, outputs = scores.shape[0], scores.shape[1:]
    size = math.prod(outputs)
    if size == 0:
        raise TargetError(f"the output of shape {scores.shape} has no elements to explain")
    if type(value) is int and 0 <= value < size:
        return np.full((count, 1), value, dtype=np.intp)
    if isinstance(value, str):
        return _named(value, scores.reshape(count, size), what)
    numbers = _whole_numbers(value, what)
    if numbers.ndim == 0:
        return np.full((count, 1), _flat(numbers, outputs, what))
    rank = len(outputs)
    if rank > 1 and numbers.shape in ((rank,), (count, rank)):
        return np.broadcast_to(_joined(numbers, outputs, what), (count,))[:, None]
    if numbers.shape == (count,) and (rank < 2 or not count):
        return _flat(numbers, outputs, what)[:, None]
    raise TargetError(
        f"{what} of shape {numbers.shape} {_wanted(count, rank)}; targets= takes several{_hint(numbers, count, rank)}"
    )


def _wanted(count: int, rank: int) -> str:
    if rank < 2:
        return f"is not one index for each of {count} sample(s)"
    return (
        f"does not fit an output of {rank} axes, whose last axis is the index: ({rank},) for all samples, or ({count}, {rank}) "
        f"for {count} sample(s)"
    )


def _hint(numbers: Array, count: int, rank: int) -> str:
    flat = rank > 1 and numbers.shape == (count,)
    return ". Flat indices, one per sample: np.stack(np.unravel_index(flat, output.shape[1:]), axis=-1)" if flat else ""


def several(value: Any, scores: Array) -> Array:
    """Flat output indices (N, T) from indices for all samples, or T of them for each; see the table of this module.

    Parameters
    ----------
    value : what was given as targets=, read as the table of this module says
    scores : the output, (N, *output)

    Raises
    ------
    TargetError
        As `indices`, and where there is no target at all.
    """
    count, outputs = scores.shape[0], scores.shape[1:]
    numbers, rank = _whole_numbers(value, "targets"), len(outputs)
    if numbers.ndim == 1 and len(numbers):
        return np.tile(_flat(numbers, outputs, "targets"), (count, 1))
    flat = numbers
    if rank > 1 and numbers.ndim in (2, 3) and numbers.shape[-1] == rank:
        flat = _joined(numbers, outputs, "targets")
        flat = np.tile(flat, (count, 1)) if flat.ndim == 1 else flat
    elif rank < 2 and numbers.ndim == 2:
        flat = _flat(numbers, outputs, "targets")
    else:
        raise _unfit(numbers, count, rank)
    if flat.shape[0] != count or not flat.shape[1]:
        raise _unfit(numbers, count, rank)
    return flat


def _unfit(numbers: Array, count: int, rank: int) -> TargetError:
    ways = (
        f"({count}, T) of them"
        if rank < 2
        else f"flat (T,), or with the index as the last axis (T, {rank}) or ({count}, T, {rank})"
    )
    return TargetError(f"targets must be indices for all samples, or {ways}, found shape {numbers.shape}")


def spelled(flat: Array, outputs: Shape) -> Array:
    """Flat indices (…) as target= and targets= take them for each sample: (…, r) where the output has r > 1 axes.

    Parameters
    ----------
    flat : indices into the flattened output of a sample, of any shape
    outputs : the shape of the output without its batch axis
    """
    return flat if len(outputs) < 2 else np.stack(np.unravel_index(flat, outputs), axis=-1)


def _named(value: str, flat: Array, what: str) -> Array:
    """The indices of "predicted" and "all"; `flat` are the scores (N, outputs)."""
    if value == "predicted":
        return flat.argmax(axis=1)[:, None] if len(flat) else np.zeros((0, 1), dtype=np.intp)
    if value == "all":
        return np.tile(np.arange(flat.shape[1]), (len(flat), 1))
    raise TargetError(f'{what} must be "predicted", "all", an index or one index per sample, found {value!r}')


def _whole_numbers(value: Any, what: str) -> Array:
    """An array of integers; nothing at all counts as none."""
    value = unmasked(value, what)
    try:
        numbers = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise TargetError(f"{what} must be integer, all indices of the same length: {error}") from None
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise TargetError(f"{what} must be integer, found {numbers.dtype}: {value!r}")
    return numbers if numbers.size else numbers.astype(np.intp)


def _flat(numbers: Array, outputs: Shape, what: str) -> Array:
    """Flat indices, none out of range."""
    size = math.prod(outputs)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= size):
        bad = int(numbers.min() if numbers.min() < 0 else numbers.max())
        raise TargetError(f"{what} {bad} is out of range: the output has {size} element(s), 0 to {size - 1}")
    return numbers.astype(np.intp)


def _joined(numbers: Array, outputs: Shape, what: str) -> Array:
    """Flat indices (…) from indices (…, r)."""
    wrong = np.argwhere(((numbers < 0) | (numbers >= np.array(outputs))).any(axis=-1))
    if len(wrong):
        index = tuple(int(i) for i in numbers[tuple(wrong[0])])
        raise TargetError(f"{what} {index} is out of range of an output of shape {outputs}")
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(numbers.astype(np.intp), -1, 0)), outputs))
