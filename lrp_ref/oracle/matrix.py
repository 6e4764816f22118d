"""A layer as a table of numbers: what every output is to every input, found by asking the layer about unit vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..arrays import Array, Shape
from ..layers.base import Layer, Linear


def constant(value: int, shape: Shape) -> Array:
    """A rational array that is `value` everywhere.

    Parameters
    ----------
    value : the integer that every element is
    shape : of the array
    """
    return np.full(shape, Fraction(value), dtype=object)


def unit_responses(layer: Layer, shapes: Sequence[Shape], others: int = 0) -> tuple[Array, ...]:
    """For each input of the layer the matrix forward(e_j) − forward(0), rows j, columns k.

    j and k number the elements of one sample in row-major order.

    Parameters
    ----------
    layer : the layer, in rationals
    shapes : the shapes of the layer's inputs, each (1, …)
    others : what the layer's other inputs hold meanwhile: 0; 1 for a product
    """
    responses = []
    for i, shape in enumerate(shapes):
        lower = math.prod(shape)
        units = constant(0, (lower, lower))
        units[np.arange(lower), np.arange(lower)] = Fraction(1)
        nothing = constant(0, (lower, *shape[1:]))
        rest = [constant(others, (lower, *other[1:])) for other in shapes]
        response, at_zero = (layer.forward(*rest[:i], a, *rest[i + 1 :]) for a in (units.reshape(nothing.shape), nothing))
        responses.append(np.asarray(response - at_zero).reshape(lower, math.prod(response.shape[1:])))
    return tuple(responses)


def weights(layer: Linear, shapes: Sequence[Shape]) -> tuple[tuple[Array, ...], Array]:
    """The weights w_jk, one matrix (lower, upper) for each input of the layer, and the biases b_k = forward(0), (upper,).

    Parameters
    ----------
    layer : a linear layer in rationals
    shapes : the shape of each input, (1, …)
    """
    zero = layer.forward(*(constant(0, shape) for shape in shapes))
    return unit_responses(layer, shapes), zero.reshape(-1)


def connections(layer: Layer, shapes: Sequence[Shape], others: int = 0) -> tuple[Array, ...]:
    """The connections of a layer, Boolean matrices (lower, upper), one for each input: a weight of 0 connects, padding does not.

    They are where the same layer with all weights 1 responds to a unit vector. A layer without weights is asked as it is: a
    maximum pooling answers a unit vector with 1 in exactly the windows that hold it, and so does an Lp pooling with p = 1,
    whose windows are those of every p.

    Parameters
    ----------
    layer : the layer, in rationals
    shapes : the shape of each input, (1, …)
    others : what the layer's other inputs hold meanwhile: 0; 1 for a product
    """
    ones: dict[str, Any] = {
        name: np.ones_like(layer.parameters[name]) for name in ("weight", "scale") if name in layer.parameters
    }
    if any(field.name == "p" for field in fields(layer)):
        ones["p"] = 1
    responses = unit_responses(replace(layer, **ones) if ones else layer, shapes, others)
    return tuple(np.asarray(response != 0, dtype=bool) for response in responses)
