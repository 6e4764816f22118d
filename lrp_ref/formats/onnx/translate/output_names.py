"""The nodes of a model under the names that its outputs have in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....errors import FormatError
from ....layers.shape import Identity
from ....network.model import Node
from .builder import Builder, Tensor, Value
from .nodes import MissingValue


def name_outputs(builder: Builder, outputs: Sequence[str], values: Mapping[str, Value | MissingValue]) -> list[Node]:
    """The nodes of a builder that outputs depend on, those that compute outputs under the outputs' names.

    Parameters
    ----------
    outputs : names of values of the file
    values : by the file's names

    Raises
    ------
    FormatError
        Where an output is not supported, or does not depend on the network's input.
    """
    renamed: dict[str, str] = {}
    extra: list[tuple[str, str]] = []
    for name in outputs:
        value = values.get(name)
        if isinstance(value, MissingValue) and value.why:
            raise FormatError(value.why.removeprefix("it reads "))
        if not isinstance(value, Tensor):
            raise FormatError(f"the output {name!r} does not depend on the network's input")
        if value.name in builder.nodes and value.name not in renamed:
            renamed[value.name] = name
        else:
            extra.append((name, value.name))
    taken = set(outputs)
    for old in builder.nodes:
        if old in taken and old not in renamed:
            renamed[old] = builder.unique(f"{old}_node")
    new = {name: renamed.get(name, name) for name in builder.tensors}
    nodes = [Node(new[n.name], n.layer, tuple(new[i] for i in n.inputs)) for n in builder.nodes.values()]
    nodes += [Node(name, Identity(), (new[source],)) for name, source in extra]
    needed = set(outputs)
    for node in reversed(nodes):  # what no output depends on is left out
        if node.name in needed:
            needed.update(node.inputs)
    return [node for node in nodes if node.name in needed]
