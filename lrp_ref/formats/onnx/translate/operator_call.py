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
from ....held import adopt
from ....layers import MaxPool, Rearrangement
from ....layers.base import Layer
from ....network.model import Node
from ..read.reader import OpNode

#: Stands for the extent of the batch axis where the file leaves it open: prime, and exact in float32.
BATCH = 16_777_213


@dataclass(frozen=True)
class Tensor:
    """What a node of the model (or an input) computes.

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
        """Say what is otherwise in the model than in the file."""
        self.remarks[text] = None

    def charge(self, arrays: Sequence[Array]) -> None:
        """Raise `FormatError` where what was computed at load takes more than the budget; views take nothing."""
        self.computed += sum(array.nbytes for array in arrays if array.base is None)
        if self.computed > self.budget:
            raise FormatError(f"what is computed at load takes more than the budget of {self.budget} bytes; budget= raises it")

    @property
    def lead(self) -> int:
        """How many of the file's axes the batch takes up: 1, or 0 where its tensors are single samples."""
        return 0 if self.batch is None else 1

    def unique(self, name: str) -> str:
        """`name`, or the name with a number where it is taken."""
        name = free_name = name or "node"
        while free_name in self.tensors:
            self.counts[name] = self.counts.get(name, 1) + 1
            free_name = f"{name}_{self.counts[name]}"
        return free_name

    def add_input(self, name: str, shape: Shape, batch_axis: int = 0, kind: int = 0) -> Tensor:
        """An input of the model."""
        self.check(shape, f"input {name!r}")
        self.tensors[name] = Tensor(name, shape, batch_axis, kind)
        return self.tensors[name]

    def add(self, name: str, layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
        """A node of the model."""
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
        """The inputs of the model that a tensor depends on."""
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
        """Raise `FormatError` where one sample of this shape does not fit the budget."""
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


@dataclass(frozen=True, eq=False)
class Call:
    """One node of the file, with its inputs looked up: what an operator's function gets."""

    node: OpNode
    inputs: tuple[Value | None, ...]
    version: int
    builder: Builder

    # --- attributes ---------------------------------------------------------------------------------------------------

    def _attribute(self, name: str, kinds: tuple[type, ...], default: Any, meaning: str) -> Any:
        value = self.node.attributes.get(name)
        if value is None:
            if default is None:
                raise FormatError(f"the attribute {name!r} is missing")
            return default
        if not isinstance(value, kinds):
            raise FormatError(f"the attribute {name!r} must be {meaning}")
        return value

    def has(self, name: str) -> bool:
        """Whether the node states an attribute."""
        return name in self.node.attributes

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute."""
        return int(self._attribute(name, (int,), default, "an integer"))

    def number(self, name: str, default: float | None = None) -> float:
        """A number attribute, with the shortest decimal that its float32 stands for."""
        value = self._attribute(name, (float, int), default, "a number")
        if not math.isfinite(value):
            raise FormatError(f"the attribute {name!r} is not finite: {value}")
        return float(value) if name not in self.node.attributes else float(str(np.float32(value)))

    def text(self, name: str, default: str | None = None) -> str:
        """A text attribute."""
        return str(self._attribute(name, (str,), default, "a text"))

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        value = self._attribute(name, (tuple,), default, "a list of integers")
        if not all(isinstance(entry, int) for entry in value):
            raise FormatError(f"the attribute {name!r} must be a list of integers")
        return tuple(value)

    def floats(self, name: str) -> tuple[float, ...]:
        """An attribute that is a list of numbers, empty where it is left out."""
        value = self._attribute(name, (tuple,), (), "a list of numbers")
        if not all(isinstance(entry, (int, float)) and math.isfinite(entry) for entry in value):
            raise FormatError(f"the attribute {name!r} must be a list of finite numbers")
        return tuple(value)

    # --- inputs -------------------------------------------------------------------------------------------------------

    def value(self, index: int) -> Value:
        """An input, which must be there."""
        value = self.optional(index)
        if value is None:
            raise FormatError(f"its input {index} is missing")
        return value

    def optional(self, index: int) -> Value | None:
        """An input, or None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int = 0) -> Tensor:
        """An input that depends on the network's input."""
        value = self.value(index)
        if not isinstance(value, Tensor):
            raise FormatError(f"its input {self.node.inputs[index]!r} is a constant, where only a signal is supported")
        return value

    def image(self) -> Tensor:
        """The first input of an operator whose definition has a batch axis and channels, (N, C, …)."""
        if not self.lead:
            raise FormatError("the operator has a batch axis of its own; without batched=False it is the model's")
        return self.tensor(0)

    def constant(self, index: int) -> Array:
        """An input that is known at load."""
        value = self.value(index)
        if isinstance(value, Tensor):
            raise FormatError(
                f"its input {self.node.inputs[index]!r} must be a constant (an initializer), and depends on the network's input"
            )
        return value

    def optional_constant(self, index: int) -> Array | None:
        """An input that is known at load, or None where it is left out."""
        return None if self.optional(index) is None else self.constant(index)

    def integer_list(self, index: int) -> tuple[int, ...] | None:
        """A constant input that holds integers along one axis, or None where it is left out."""
        constant = self.optional_constant(index)
        if constant is None:
            return None
        if constant.ndim > 1 or constant.dtype.kind not in "iu" or constant.size > 1_000_000:
            raise FormatError(f"its input {self.node.inputs[index]!r} must be a list of integers")
        return tuple(int(entry) for entry in constant.reshape(-1))

    def scalar(self, index: int) -> float | None:
        """A constant input that is one number, or None where it is left out."""
        constant = self.optional_constant(index)
        if constant is None:
            return None
        if constant.size != 1:
            raise FormatError(f"its input {self.node.inputs[index]!r} must be one number, found shape {constant.shape}")
        return float(constant.reshape(-1)[0])

    def listed(self, index: int, name: str, since: int) -> tuple[int, ...] | None:
        """Integers that are an input from schema `since` on and the attribute `name` before; None where they are left out."""
        if self.version >= since:
            return self.integer_list(index)
        return self.integers(name) if self.has(name) else None

    # --- axes ---------------------------------------------------------------------------------------------------------

    @property
    def lead(self) -> int:
        """How many of the file's axes the batch takes up."""
        return self.builder.lead

    def rank(self, tensor: Tensor) -> int:
        """How many axes the file counts."""
        return len(tensor.shape) + self.lead

    def axis(self, axis: int, rank: int) -> int:
        """An axis as the file counts it, as the axis of a layer's input; it must not be the batch axis."""
        position = axis + rank if axis < 0 else axis
        if not 0 <= position < rank:
            raise FormatError(f"axis {axis} does not exist among {rank} axes")
        if position == 0 and self.lead:
            raise FormatError("it works across the batch axis 0, and samples are explained one by one")
        return position + 1 - self.lead

    def axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """Several axes as `axis` counts them, in ascending order."""
        positions = sorted(self.axis(axis, rank) for axis in axes)
        if len(set(positions)) != len(positions):
            raise FormatError(f"axes {tuple(axes)} name one axis twice")
        return tuple(positions)

    def sample(self, shape: Sequence[int]) -> Shape:
        """The shape of one sample from a shape as the file counts it; the batch must stay in front."""
        if not self.lead:
            return tuple(shape)
        if not shape or shape[0] != self.builder.batch:
            batch = "N" if self.builder.batch == BATCH else self.builder.batch
            raise FormatError(
                f"it moves elements between samples: the batch axis of extent {batch} is not the first of {shape_text(shape)}"
            )
        return tuple(shape[1:])

    def per_sample(self, constant: Array, rank: int) -> Array:
        """A constant that meets a tensor of `rank` axes (as the file counts), shaped to broadcast against one sample."""
        if constant.ndim < rank or not self.lead:
            return constant
        if constant.ndim > rank:
            raise FormatError(f"a constant of shape {constant.shape} has more axes than the signal that it meets")
        if constant.shape[0] != 1 and (constant.shape[0] != self.builder.batch or (constant != constant[:1]).any()):
            raise FormatError(f"a constant of shape {constant.shape} differs from sample to sample")
        return np.asarray(constant[0])

    # --- layers -------------------------------------------------------------------------------------------------------

    def parameter(self, value: Any) -> Array:
        """An array in the model's number type; not copied where it has that type, for it is the reader's own."""
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise FormatError(f"a parameter holds {array.dtype} values, where numbers are needed")
        return adopt(array.astype(self.builder.dtype, copy=False))

    def emit(self, layer: Layer, *inputs: Tensor, suffix: str = "") -> Tensor:
        """Add a layer; `suffix` names what is not the node itself but a step towards it."""
        return self.builder.add(f"{self.node.name}/{suffix}" if suffix else self.node.name, layer, inputs)
