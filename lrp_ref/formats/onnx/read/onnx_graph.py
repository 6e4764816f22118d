"""The checked graph of an ONNX file: nodes, declared inputs, and constants that are read when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....arrays import Array
from ....errors import FormatError
from .tensors import Store, array_of


@dataclass(frozen=True, eq=False)
class OpNode:
    """One node of an ONNX graph."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that the node reads, and those that its branches read beside it."""
        branches = [value for value in self.attributes.values() if isinstance(value, Branch)]
        return (*self.inputs, *(name for branch in branches for name in branch.captured))

    @property
    def title(self) -> str:
        """The node's name and operator, for error messages."""
        return f"node {self.name!r} ({self.op})"


@dataclass(frozen=True, eq=False)
class Branch:
    """A graph inside a node: what an If computes where its condition holds, or where it does not.

    Attributes
    ----------
    captured : the values that it reads from around it
    """

    nodes: tuple[OpNode, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Array]
    captured: tuple[str, ...]


@dataclass(frozen=True)
class InputDeclaration:
    """The declaration of an input: its element type, its extents, None where one is open, and the names of open extents."""

    name: str
    kind: int
    dims: tuple[int | None, ...] | None
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A graph as it is in the file: nodes in computing order, inputs, outputs, and constants that are read when needed.

    Attributes
    ----------
    opset, ml_opset : the versions of ONNX's operators, and of those of the domain ai.onnx.ml; 0: the file imports none of these
    dequantised : values that the file computes from integers, and that are computed in floating point numbers here
    """

    opset: int
    ml_opset: int
    nodes: tuple[OpNode, ...]
    inputs: tuple[InputDeclaration, ...]
    outputs: tuple[str, ...]
    initializers: Mapping[str, Any]
    store: Store
    dequantised: frozenset[str] = frozenset()
    _arrays: dict[str, Array] = field(default_factory=dict)

    def extents(self, name: str) -> tuple[int, ...]:
        """The extents of an initializer, without reading it."""
        tensor = self.initializers[name]
        return self._arrays[name].shape if tensor is None else tuple(tensor.dims)

    def constant(self, name: str) -> Array:
        """The initializer `name` as an array.

        Raises
        ------
        FormatError
            Where its type is not read, its data does not fit its shape, or the initializers exceed the budget.
        """
        if name not in self._arrays:
            blob = (self.store.blobs or {}).get(name)
            self._arrays[name] = array_of(self.initializers[name], self.store, f"initializer {name!r}", blob)
            size = sum(array.nbytes for array in self._arrays.values())
            if size > self.store.budget:
                raise FormatError(f"the initializers take more than the budget of {self.store.budget} bytes; budget= raises it")
        return self._arrays[name]


def needed_nodes(record: OnnxGraph, outputs: Iterable[str]) -> tuple[OpNode, ...]:
    """The nodes of a graph that outputs depend on, in computing order.

    Parameters
    ----------
    outputs : names of values
    """
    names = set(outputs)
    nodes = []
    for node in reversed(record.nodes):
        if names.intersection(node.outputs):
            nodes.append(node)
            names.update(node.reads)
    return tuple(reversed(nodes))
