"""The graph under construction: values that are known at load, tensors that depend on the input, and the layers made so far.

Exporters surround layers with arithmetic on shapes. Here a value is either an array, known at load, or a `Tensor`, of which
the shape of one sample is known. The batch axis is symbolic: where a graph asks for its extent it gets `BATCH`, a prime that no
real extent has and that survives every arithmetic that exporters do with it; a Reshape that finds it again in front keeps the
batch axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ....arrays import Array, Shape
from ....errors import FormatError
from ....layers import MaxPool, Rearrangement
from ....layers.base import Layer
from ....network.model import Node

#: Stands for the extent of the batch axis where the file leaves it open: prime, and exact in float32.
BATCH = 16_777_213


@dataclass(frozen=True)
class Tensor:
    """The value of a node or an input of the model, of which the shape of one sample is known.

    Attributes
    ----------
    shape : of one sample
    batch_axis : the axis that is the batch in the file; in the model it is the first
    before, behind : how many axes of a sample the file folds into that axis, in front of the batch and behind it
    kind : ONNX's type of its elements where they are integers or truth values, 0 where they are floating point numbers
    """

    name: str
    shape: Shape
    batch_axis: int = 0
    kind: int = 0
    before: int = 0
    behind: int = 0


Value: TypeAlias = "Tensor | Array"


def shape_text(shape: Sequence[int]) -> str:
    """A shape for a message, with N for the batch."""

    def word(extent: int) -> str:
        if extent and extent % BATCH == 0:
            return "N" if extent == BATCH else f"{extent // BATCH}·N"
        return str(extent)

    return f"({', '.join(map(word, shape))})"


@dataclass
class Builder:
    """The model's nodes made so far.

    Parameters
    ----------
    dtype : of the model's parameters
    budget : how many bytes one sample of any tensor may take
    batch : the extent that stands for the batch axis; None: tensors of the file have no batch axis, the model's get one in front
    opset : the version of ONNX's operators
    """

    dtype: np.dtype[Any]
    budget: int
    batch: int | None
    opset: int
    nodes: dict[str, Node] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    computed: int = 0
    remarks: dict[str, None] = field(default_factory=dict)
    grids: dict[str, tuple[float, int] | None] = field(default_factory=dict)

    def remark(self, text: str) -> None:
        """Add a remark on what differs between model and file."""
        self.remarks[text] = None

    def charge(self, arrays: Sequence[Array]) -> None:
        """Charge arrays that were computed at load to the budget; views take nothing.

        Raises
        ------
        FormatError
            Where they exceed it.
        """
        self.computed += sum(array.nbytes for array in arrays if array.base is None)
        if self.computed > self.budget:
            raise FormatError(f"what is computed at load takes more than the budget of {self.budget} bytes; budget= raises it")

    @property
    def lead(self) -> int:
        """The number of the file's axes that the batch takes up: 1, or 0 where its tensors are single samples."""
        return 0 if self.batch is None else 1

    def unique(self, name: str) -> str:
        """`name`, or the name with a number where it is taken."""
        name = free_name = name or "node"
        while free_name in self.tensors:
            self.counts[name] = self.counts.get(name, 1) + 1
            free_name = f"{name}_{self.counts[name]}"
        return free_name

    def add_input(self, name: str, shape: Shape, batch_axis: int = 0, kind: int = 0) -> Tensor:
        """Add an input of the model.

        Parameters
        ----------
        name, shape, batch_axis, kind : of its tensor

        Raises
        ------
        FormatError
            Where one sample does not fit the budget.
        """
        self.check(shape, f"input {name!r}")
        self.tensors[name] = Tensor(name, shape, batch_axis, kind)
        return self.tensors[name]

    def add(self, name: str, layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
        """Add a node of the model.

        Parameters
        ----------
        name : of the node, or with a number where it is taken
        layer, inputs : of the node

        Raises
        ------
        FormatError
            Where one sample of its output does not fit the budget.
        """
        shape = layer.shape(*((1, *tensor.shape) for tensor in inputs))[1:]
        self.check(shape, "its output")
        output = Tensor(self.unique(name), tuple(int(extent) for extent in shape))
        self.tensors[output.name] = output
        self.nodes[output.name] = Node(output.name, layer, tuple(tensor.name for tensor in inputs))
        return output

    def grid_of(self, tensor: Tensor) -> tuple[float, int] | None:
        """Scale and zero point of the integers that a signal stands for, through layers that pick and move; None: it is none."""
        name = tensor.name
        while name not in self.grids:
            node = self.nodes.get(name)
            if node is None or node.layer.arity != 1 or not isinstance(node.layer, (Rearrangement, MaxPool)):
                return None
            name = node.inputs[0]
        return self.grids[name]

    def sources(self, tensor: Tensor) -> tuple[str, ...]:
        """The names of the model's inputs that a tensor depends on."""
        input_names: dict[str, None] = {}
        waiting, visited = [tensor.name], set()
        while waiting:
            name = waiting.pop()
            if name in visited:
                continue
            visited.add(name)
            if name in self.nodes:
                waiting += self.nodes[name].inputs
            else:
                input_names[name] = None
        return tuple(input_names)

    def check(self, shape: Shape, what: str) -> None:
        """Check that one sample of a shape fits the budget.

        Parameters
        ----------
        what : has that shape, for the message

        Raises
        ------
        FormatError
            Where it does not.
        """
        size = math.prod(max(extent, 1) for extent in shape) * self.dtype.itemsize
        if size > self.budget:
            raise FormatError(
                f"{what} of shape {shape} would take {size} bytes, more than the budget of {self.budget}; budget= raises it"
            )

    def full_shape(self, tensor: Tensor) -> Shape:
        """The shape as the file counts it: with the batch where it is, if its tensors have a batch axis."""
        if self.batch is None:
            return tensor.shape
        shape, batch_axis, end = tensor.shape, tensor.batch_axis, tensor.batch_axis + tensor.before + tensor.behind
        return (*shape[:batch_axis], math.prod(shape[batch_axis:end]) * self.batch, *shape[end:])
