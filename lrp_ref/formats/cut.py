"""A network that ends early: at any of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import unknown
from ..network.model import Model, ancestors


def cut_at(model: Model, ends: Sequence[str]) -> Model:
    """The part of a model that ends at some of its nodes, which are its outputs.

    Parameters
    ----------
    ends : the names of the nodes

    Raises
    ------
    UnknownNameError
        Where there is no such node.
    """
    known = [node.name for node in model.nodes]
    for name in ends:
        if name not in known:
            raise unknown("node", name, known)
    names = ancestors(model, *ends)
    nodes = tuple(node for node in model.nodes if node.name in names)
    read = {name for node in nodes for name in node.inputs}
    inputs = tuple(name for name in model.inputs if name in read)
    shapes = {name: shape for name, shape in model.input_shape.items() if name in read}
    domain = {name: bounds for name, bounds in model.domain.items() if name in read}
    integer_inputs = tuple(name for name in model.integer_inputs if name in read)
    return replace(
        model, nodes=nodes, inputs=inputs, outputs=tuple(ends), input_shape=shapes, domain=domain, integer_inputs=integer_inputs
    )
