"""What both wrappers ask of an input: one array, and axes to move along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import Array, Shape, integers, is_exact
from ..errors import GraphError, ParameterError, ShapeError
from ..explainer import Explainer


def only_input(explainer: Explainer) -> str:
    """The name of the model's input.

    Parameters
    ----------
    explainer : of a model of one input

    Raises
    ------
    GraphError
        Where there are several.
    """
    names = explainer.model.inputs
    if len(names) != 1:
        raise GraphError(f"the model must have one input; it has {len(names)}: {', '.join(names)}")
    return names[0]


def moved_axes(axes: Any, x: Array) -> tuple[int, ...]:
    """The axes to move along, counted from the front; by default all but the first two, and never the batch.

    Parameters
    ----------
    axes : what a caller says; None: all but the first two
    x : the input, (N, …)

    Raises
    ------
    ShapeError
        Where x does not have them.
    """
    typed = tuple(range(2, x.ndim)) if axes is None else integers(axes, "axes")
    numbers = tuple(axis + x.ndim if axis < 0 else axis for axis in typed)
    if not numbers or any(not 0 < axis < x.ndim for axis in numbers) or len(set(numbers)) < len(numbers):
        wanted = "(N, C, *spatial)" if axes is None else f"with axes {typed} beside the batch axis 0, each of them once"
        raise ShapeError(f"expected an input of shape {wanted}, found shape {x.shape}; axes= says which ones to move along")
    return numbers


def per_axis(value: Any, count: int, name: str) -> Shape:
    """One int ≥ 1 for each of `count` axes, from an int or as many of them.

    Parameters
    ----------
    value : one int for all axes, or one for each
    count : how many axes there are
    name : of the parameter

    Raises
    ------
    ParameterError
        Where there are others, or one is below 1.
    """
    values = integers(value, name)
    entries = values * count if isinstance(value, (int, np.integer)) else values
    if len(entries) != count or min(entries) < 1:
        raise ParameterError(f"{name} must be an int of at least 1, or one for each of {count} axes, found {value!r}")
    return entries


def storable(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays as `Explanation.save` writes them: rationals as strings.

    Parameters
    ----------
    arrays : by name
    """
    return {name: array.astype(str) if is_exact(array) else array for name, array in arrays.items()}
