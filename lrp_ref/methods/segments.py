"""Features that act together: labels of the inputs' elements, and numbers of segments given to the elements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array, Shape, integer, like
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass

#: The largest label of a segment: a typing error should not take all memory.
MOST_SEGMENTS = 10**7


@lazy_dataclass(frozen=True, eq=False)
class Segments:
    """A partition of the elements of a sample.

    Attributes
    ----------
    labels : of one sample of each input, the number of each element's segment
    count : how many segments there are; none is empty
    """

    labels: Mapping[str, Array]
    count: int

    @property
    def sizes(self) -> Array:
        """How many elements each segment has, (count,)."""
        return _label_counts(self.labels.values(), self.count)

    def split(self, values: Array) -> dict[str, Array]:
        """Numbers (N, T, count) as relevance (N, T, *sample) of each input: a segment's elements share its number equally.

        Parameters
        ----------
        values : of the segments
        """
        return self.spread(values / like(self.sizes, values))

    def spread(self, values: Array) -> dict[str, Array]:
        """Numbers (N, T, count) as relevance (N, T, *sample) of each input: every element has that of its segment.

        Parameters
        ----------
        values : of the segments
        """
        return {name: np.ascontiguousarray(values[..., labels]) for name, labels in self.labels.items()}

    def mix(self, present: Array, own: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Array]:
        """Inputs (B, …) whose segments that are `present`, (B, count), are their own, and whose rest is another's.

        Parameters
        ----------
        present : Boolean
        own, other : (B, …) each, by name
        """
        return {name: np.where(present[:, labels], own[name], other[name]) for name, labels in self.labels.items()}


def segments_of(groups: Any, inputs: Mapping[str, Array], place: str) -> Segments:
    """A partition of a sample from what a call says of it.

    Parameters
    ----------
    groups : integer labels 0, 1, … that broadcast against one sample, as `Explanation.coarsen` takes them; of several inputs a
        mapping, where equal labels of different inputs are one segment. An int p: square patches of p × p cells over the last
        two axes, smaller at the ends. None: every element by itself
    inputs : (N, …) each, by name
    place : what messages call it

    Raises
    ------
    ShapeError
        Where labels do not broadcast against a sample, or it has no two axes for patches.
    ParameterError
        Where labels are no integers ≥ 0, or a number between 0 and the largest labels nothing.
    """
    samples = {name: array.shape[1:] for name, array in inputs.items()}
    if groups is None:
        ends = np.cumsum([0, *(math.prod(shape) for shape in samples.values())])
        parts = zip(samples.items(), ends[:-1], ends[1:], strict=True)
        return Segments({name: np.arange(low, high).reshape(shape) for (name, shape), low, high in parts}, int(ends[-1]))
    given = groups if isinstance(groups, Mapping) else dict.fromkeys(samples, groups)
    if set(given) != set(samples):
        raise ParameterError(f"{place} has labels for each input, {', '.join(samples)}; found {', '.join(map(str, given))}")
    if len(samples) > 1 and not isinstance(groups, Mapping):
        raise ParameterError(f"the model has several inputs: {place} is a mapping from {', '.join(samples)} to labels")
    labels = {name: _labels(given[name], shape, place) for name, shape in samples.items()}
    count = max((int(array.max()) + 1 for array in labels.values() if array.size), default=0)
    if count > MOST_SEGMENTS:
        raise ParameterError(f"{place} has the label {count - 1}: labels count segments from 0, without a gap")
    empty = np.flatnonzero(_label_counts(labels.values(), count) == 0)
    if len(empty):
        raise ParameterError(
            f"{place} labels no element with {empty[0]}: that segment is empty. Labels are 0 to {count - 1} without a gap; "
            "np.unique(labels, return_inverse=True)[1].reshape(labels.shape) closes gaps"
        )
    return Segments(labels, count)


def _label_counts(labels: Any, count: int) -> Array:
    parts = [np.bincount(array.reshape(-1), minlength=count) for array in labels]
    return np.asarray(sum(parts[1:], parts[0]))


def _labels(groups: Any, sample: Shape, place: str) -> Array:
    """Labels of one sample's shape."""
    labels = np.asarray(groups)
    if labels.ndim == 0 and labels.dtype.kind in "iu":
        return _patch_labels(integer(groups, place, 1), sample, place)
    if labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise ParameterError(f"{place} must be non-negative integer labels, or one int for patches, found {labels.dtype}")
    try:
        return np.broadcast_to(labels, sample).astype(np.intp)
    except ValueError:
        raise ShapeError(f"{place} of shape {labels.shape} does not broadcast against a sample of shape {sample}") from None


def _patch_labels(size: int, sample: Shape, place: str) -> Array:
    """Labels of square patches over the last two axes, row by row."""
    if len(sample) < 2:
        raise ShapeError(f"{place}: patches need two axes, and a sample has the shape {sample}; labels serve any shape")
    rows, columns = (np.arange(extent) // size for extent in sample[-2:])
    return np.broadcast_to(rows[:, None] * -(-sample[-1] // size) + columns, sample)
