"""What the inputs of a network hold: numbers of words, steps of a sequence, lengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..layers import Activation, Dense, Embedding, Identity, Rearrangement, Recurrent, Scale
from ..network.model import Model


@dataclass(frozen=True, eq=False)
class InputKinds:
    """The inputs of a network that are no images.

    Attributes
    ----------
    tables : for each input of numbers of words the node, an Embedding, that has their table
    sequences : the inputs (N, T, features) that run over time: those that a recurrent layer reads, but for lengths and states
    lengths : the inputs that say how long each sequence is
    """

    tables: Mapping[str, str]
    sequences: tuple[str, ...]
    lengths: tuple[str, ...]

    @classmethod
    def of(cls, model: Model) -> InputKinds:
        """The kinds of the inputs of `model`, found by the layers that read them.

        Parameters
        ----------
        model : the network
        """
        tables = {name: node for name in model.inputs if (node := _reader(model, name, Embedding, (Rearrangement,)))}
        # Behind these layers the axes are still what they were.
        steady = (Identity, Dense, Scale, Activation)
        sequences = tuple(name for name in model.inputs if _reader(model, name, Recurrent, steady))
        return cls(tables, sequences, _lengths(model))

    @property
    def words(self) -> str:
        """The input that takes words, as numbers or as vectors; empty where none does."""
        return next(iter((*self.tables, *self.sequences)), "")


def _lengths(model: Model) -> tuple[str, ...]:
    sources = set()
    for node in model.nodes:
        if isinstance(node.layer, Recurrent):
            reads = zip(node.inputs[1:], getattr(node.layer, "reads", ()), strict=False)
            sources |= {source for source, what in reads if what == "lengths"}
    return tuple(name for name in model.inputs if name in sources)


def _reader(model: Model, name: str, kind: type, through: tuple[type, ...]) -> str | None:
    """The first node of that kind that reads an input, directly or behind layers of the kinds `through`."""
    queue, visited = [name], {name}
    while queue:
        source = queue.pop(0)
        for node in model.readers(source):
            if isinstance(node.layer, kind) and node.inputs[0] == source:
                return node.name
            if isinstance(node.layer, through) and node.name not in visited:
                visited.add(node.name)
                queue.append(node.name)
    return None
