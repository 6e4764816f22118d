"""Some samples of an explanation, and explanations of several batches as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..arrays import Array
from ..booking import AMOUNTS, COLUMNS
from ..errors import GraphError, ParameterError, ShapeError
from ..ledger import Booking, Entry, Ledger
from .explanation import Explanation

#: Attributes of an explanation that have an axis of samples; the mappings have it in each of their arrays.
_MAPPINGS = ("relevances", "activations")
_ARRAYS = ("prediction", "target", "value", "doubt", "shared")


def take(explanation: Explanation, which: Any) -> Explanation:
    """The explanation of some of its samples, which keep their axis.

    Parameters
    ----------
    explanation : of a batch
    which : an int (one sample, as a batch of one), a slice, a mask of truth values or a list of ints

    Raises
    ------
    IndexError
        Where there is no such sample; a loop over the samples ends there.
    ParameterError
        Where it is no choice of samples.
    """
    indices = _sample_indices(which, explanation.value.shape[0])
    return _mapped([explanation], lambda arrays: arrays[0][indices])


def _sample_indices(which: Any, count: int) -> Array:
    if isinstance(which, slice):
        return np.arange(count)[which]
    chosen = np.asarray(which)
    if chosen.dtype == bool and chosen.shape == (count,):
        return np.flatnonzero(chosen)
    if (chosen.dtype.kind not in "iu" and chosen.size) or chosen.ndim > 1:
        raise ParameterError(f"samples are chosen by an int, a slice, a list of ints or a mask of {count}, found {which!r}")
    chosen = np.atleast_1d(chosen).astype(np.intp)
    if chosen.size and not -count <= chosen.min() <= chosen.max() < count:
        raise IndexError(f"there is no sample {which} in an explanation of {count}")
    return chosen % count if count else chosen


def with_names(explanation: Explanation, features: tuple[str, ...], classes: tuple[str, ...]) -> Explanation:
    """An explanation with names, as `Explanation.named` says.

    Parameters
    ----------
    explanation : of the features and classes
    features, classes : their names; none: those that it has

    Raises
    ------
    ShapeError, GraphError
        As `Explanation.named` raises them.
    """
    if features and len(explanation.inputs) > 1:
        raise GraphError(f"names of features are those of the only input, and there are {', '.join(explanation.inputs)}")
    width = math.prod(explanation.activations[explanation.inputs[0]].shape[1:])
    for names, size, kind in ((features, width, "features"), (classes, math.prod(explanation.prediction.shape[1:]), "classes")):
        if names and len(names) != size:
            raise ShapeError(f"{len(names)} names for {size} {kind}")
    return replace(
        explanation, feature_names=features or explanation.feature_names, class_names=classes or explanation.class_names
    )


def join(explanations: Sequence[Explanation]) -> Explanation:
    """Explanations of batches, made in the same way, as one explanation of all their samples.

    Parameters
    ----------
    explanations : at least one; what is not an array is that of the first

    Raises
    ------
    ShapeError
        Where their arrays do not fit.
    """
    if len(explanations) == 1:
        return explanations[0]
    try:
        joined = _mapped(list(explanations), np.concatenate)
    except (ValueError, KeyError) as error:
        raise ShapeError(f"the explanations do not fit each other: {error}") from None
    return replace(joined, cautions=tuple(dict.fromkeys(caution for part in explanations for caution in part.cautions)))


def _mapped(batches: list[Explanation], change: Callable[[list[Array]], Array]) -> Explanation:
    """An explanation of what `change` makes of the arrays that have an axis of samples."""
    first = batches[0]
    changed: dict[str, Any] = {
        name: {key: change([getattr(each, name)[key] for each in batches]) for key in getattr(first, name)} for name in _MAPPINGS
    }
    for name in _ARRAYS:
        held = [array for each in batches if (array := getattr(each, name)) is not None]
        changed[name] = change(held) if len(held) == len(batches) else None
    ledgers = [each.ledger for each in batches if each.ledger is not None]
    if len(ledgers) == len(batches):
        starts = change([ledger.start for ledger in ledgers])
        changed["ledger"] = Ledger.of(lambda: _settled(ledgers, change), starts, ledgers[0].wiring)
    # Of an explanation with more to it, such as the windows of a sliding one, what every explanation has: no array of the
    # others is known to have an axis of samples.
    return Explanation(**({field.name: getattr(first, field.name) for field in fields(Explanation)} | changed))


def _settled(ledgers: list[Ledger], change: Callable[[list[Array]], Array]) -> tuple[tuple[Entry, ...], Array]:
    """The entries of the accounts, and what reaches the inputs."""
    entries = []
    for each in zip(*ledgers, strict=True):
        bookings = [entry.booking for entry in each]
        columns = {name: change([getattr(booking, name) for booking in bookings]) for name in (*COLUMNS, *AMOUNTS)}
        details: Mapping[str, Array] = {
            name: change([booking.details[name] for booking in bookings]) for name in bookings[0].details
        }
        flags = tuple(dict.fromkeys(flag for booking in bookings for flag in booking.flags))
        entries.append(Entry(each[0].node, each[0].rule, Booking(**columns, flags=flags, details=details)))
    return tuple(entries), change([ledger.relevance for ledger in ledgers])
