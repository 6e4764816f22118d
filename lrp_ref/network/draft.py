"""A model while it is rewritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..layers.base import Layer
from .model import Model
from .wiring import Node


class Draft:
    """A model that is being rewritten: a fold touches its neighbours alone, so that many take time linear in the nodes."""

    def __init__(self, model: Model) -> None:
        self.inputs, self.outputs = model.inputs, model.outputs
        self._model = model
        self._nodes = {node.name: node for node in model.nodes}
        self._positions = {node.name: position for position, node in enumerate(model.nodes)}
        self._readers = {name: {n.name for n in model.readers(name)} for name in (*model.inputs, *self._nodes)}

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def at(self, position: int) -> Node | None:
        """The node at a place of the model; None where it was dropped."""
        return self._nodes.get(self._model.nodes[position].name)

    def readers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read the node or input `name`."""
        return tuple(self._nodes[reader] for reader in sorted(self._readers[name], key=self._positions.__getitem__))

    def private(self, name: str) -> bool:
        """Whether `name` is a node that is read once, and no output."""
        return name not in self.inputs and name not in self.outputs and len(self._readers[name]) == 1

    def put(self, name: str, layer: Layer) -> None:
        """Another layer for a node."""
        self._nodes[name] = replace(self._nodes[name], layer=layer)

    def drop(self, node: Node) -> None:
        """Leave a node out: what it reads is read in its place."""
        (source,) = node.inputs
        readers = self._readers.pop(node.name)
        for reader in readers:
            self._nodes[reader] = self._rewired(reader, node.name, source)
        self._readers[source].remove(node.name)
        self._readers[source] |= readers
        self.outputs = tuple(source if output == node.name else output for output in self.outputs)
        del self._nodes[node.name]

    def _rewired(self, name: str, old: str, new: str) -> Node:
        node = self._nodes[name]
        return replace(node, inputs=tuple(new if read == old else read for read in node.inputs))

    def beside(self, names: Iterable[str], kinds: tuple[type, ...], through: type) -> set[int]:
        """Places of the nodes of some kinds that are neighbours of `names`, or of a neighbour of the kind `through`."""
        positions: set[int] = set()
        for name in names:
            near = self._neighbours(name)
            near += [n for node in near if isinstance(node.layer, through) for n in self._neighbours(node.name)]
            positions.update(self._positions[node.name] for node in near if isinstance(node.layer, kinds))
        return positions

    def _neighbours(self, name: str) -> list[Node]:
        """What a node reads, inputs of the model left out, and what reads it."""
        return [self._nodes[n] for n in (*self._nodes[name].inputs, *self._readers[name]) if n in self._nodes]

    def to_model(self) -> Model:
        """The rewritten model."""
        return replace(self._model, nodes=tuple(self._nodes.values()), outputs=self.outputs)
