"""Recurrent networks whose steps a file leaves open: where they are the same for every number of steps, the model takes any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ....arrays import Shape
from ....errors import FormatError
from ....network.model import Model, Node
from ..read.onnx_graph import InputDeclaration
from .declarations import candidate_shapes


def model_of_any_length(
    left: Sequence[InputDeclaration], batched: bool, read: Callable[[Mapping[str, Shape]], Model]
) -> Model | None:
    """The network, where it is the same for two numbers of steps; None where it is not.

    Parameters
    ----------
    left : the inputs with open extents
    read : the network for shapes of these
    """
    try:
        one, other = (read(shapes) for shapes in candidate_shapes(left, batched, (5, 7)))
    except FormatError:
        return None
    if len(one.nodes) != len(other.nodes) or not all(map(_same, one.nodes, other.nodes)):
        return None
    names = {value.name for value in left}
    return replace(one, input_shape={name: shape for name, shape in one.input_shape.items() if name not in names})


def _same(one: Node, other: Node) -> bool:
    if (one.name, one.inputs, repr(one.layer)) != (other.name, other.inputs, repr(other.layer)):
        return False
    theirs = other.layer.parameters
    return all(np.array_equal(value, theirs[name]) for name, value in one.layer.parameters.items())
