"""One node of a file with its inputs looked up: what the function of an operator gets, and adds layers by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....arrays import Array, Shape
from ....errors import FormatError
from ....held import adopt
from ....layers.base import Layer
from ..read.onnx_graph import OpNode
from .builder import BATCH, Builder, Tensor, Value, shape_text


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
        """A number attribute, with the shortest decimal that its float32 stands for.

        Raises
        ------
        FormatError
            Where it is missing, no number, or not finite.
        """
        value = self._attribute(name, (float, int), default, "a number")
        if not math.isfinite(value):
            raise FormatError(f"the attribute {name!r} is not finite: {value}")
        return float(value) if name not in self.node.attributes else float(str(np.float32(value)))

    def text(self, name: str, default: str | None = None) -> str:
        """A text attribute."""
        return str(self._attribute(name, (str,), default, "a text"))

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """An attribute that is a list of integers.

        Raises
        ------
        FormatError
            Where it is missing, or something else.
        """
        value = self._attribute(name, (tuple,), default, "a list of integers")
        if not all(isinstance(entry, int) for entry in value):
            raise FormatError(f"the attribute {name!r} must be a list of integers")
        return tuple(value)

    def floats(self, name: str) -> tuple[float, ...]:
        """An attribute that is a list of numbers, empty where it is left out.

        Raises
        ------
        FormatError
            Where it is something else, or not finite.
        """
        value = self._attribute(name, (tuple,), (), "a list of numbers")
        if not all(isinstance(entry, (int, float)) and math.isfinite(entry) for entry in value):
            raise FormatError(f"the attribute {name!r} must be a list of finite numbers")
        return tuple(value)

    # --- inputs -------------------------------------------------------------------------------------------------------

    def value(self, index: int) -> Value:
        """The value of an input, which must be there.

        Raises
        ------
        FormatError
            Where it is missing.
        """
        value = self.optional(index)
        if value is None:
            raise FormatError(f"its input {index} is missing")
        return value

    def optional(self, index: int) -> Value | None:
        """The value of an input, None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def tensor(self, index: int = 0) -> Tensor:
        """The tensor of an input that depends on the network's input.

        Raises
        ------
        FormatError
            Where it is missing, or a constant.
        """
        value = self.value(index)
        if not isinstance(value, Tensor):
            raise FormatError(f"its input {self.node.inputs[index]!r} is a constant, where only a signal is supported")
        return value

    def image(self) -> Tensor:
        """The first input of an operator whose definition has a batch axis and channels, (N, C, …).

        Raises
        ------
        FormatError
            Where the file's tensors have no batch axis.
        """
        if not self.lead:
            raise FormatError("the operator has a batch axis of its own; without batched=False it is the model's")
        return self.tensor(0)

    def constant(self, index: int) -> Array:
        """The array of an input that is known at load.

        Raises
        ------
        FormatError
            Where it is missing, or depends on the network's input.
        """
        value = self.value(index)
        if isinstance(value, Tensor):
            raise FormatError(
                f"its input {self.node.inputs[index]!r} must be a constant (an initializer), and depends on the network's input"
            )
        return value

    def optional_constant(self, index: int) -> Array | None:
        """The array of an input that is known at load, None where it is left out."""
        return None if self.optional(index) is None else self.constant(index)

    def integer_list(self, index: int) -> tuple[int, ...] | None:
        """The integers of a constant input of one axis, None where it is left out.

        Raises
        ------
        FormatError
            Where it holds something else.
        """
        constant = self.optional_constant(index)
        if constant is None:
            return None
        if constant.ndim > 1 or constant.dtype.kind not in "iu" or constant.size > 1_000_000:
            raise FormatError(f"its input {self.node.inputs[index]!r} must be a list of integers")
        return tuple(int(entry) for entry in constant.reshape(-1))

    def scalar(self, index: int) -> float | None:
        """The number of a constant input, None where it is left out.

        Raises
        ------
        FormatError
            Where it is not one number.
        """
        constant = self.optional_constant(index)
        if constant is None:
            return None
        if constant.size != 1:
            raise FormatError(f"its input {self.node.inputs[index]!r} must be one number, found shape {constant.shape}")
        return float(constant.reshape(-1)[0])

    def listed(self, index: int, name: str, since: int) -> tuple[int, ...] | None:
        """The integers of an input from schema `since` on, and of the attribute `name` before; None where they are left out.

        Parameters
        ----------
        index : of the input
        name : of the attribute
        since : the first schema version that has the input
        """
        if self.version >= since:
            return self.integer_list(index)
        return self.integers(name) if self.has(name) else None

    # --- axes ---------------------------------------------------------------------------------------------------------

    @property
    def lead(self) -> int:
        """The number of the file's axes that the batch takes up."""
        return self.builder.lead

    def rank(self, tensor: Tensor) -> int:
        """The rank of a tensor as the file counts it."""
        return len(tensor.shape) + self.lead

    def axis(self, axis: int, rank: int) -> int:
        """An axis of a layer's input, from an axis as the file counts it; it must not be the batch axis.

        Raises
        ------
        FormatError
            Where it does not exist, or is the batch axis.
        """
        position = axis + rank if axis < 0 else axis
        if not 0 <= position < rank:
            raise FormatError(f"axis {axis} does not exist among {rank} axes")
        if position == 0 and self.lead:
            raise FormatError("it computes across samples, along the batch axis 0; each sample is explained by itself")
        return position + 1 - self.lead

    def axes(self, axes: Sequence[int], rank: int) -> tuple[int, ...]:
        """Several axes as `axis` counts them, in ascending order.

        Raises
        ------
        FormatError
            Where one does not exist, is the batch axis, or is named twice.
        """
        positions = sorted(self.axis(axis, rank) for axis in axes)
        if len(set(positions)) != len(positions):
            raise FormatError(f"axes {tuple(axes)} name one axis twice")
        return tuple(positions)

    def sample(self, shape: Sequence[int]) -> Shape:
        """The shape of one sample from a shape as the file counts it; the batch must stay in front.

        Raises
        ------
        FormatError
            Where the batch is not in front.
        """
        if not self.lead:
            return tuple(shape)
        if not shape or shape[0] != self.builder.batch:
            batch = "N" if self.builder.batch == BATCH else self.builder.batch
            raise FormatError(
                f"it moves elements between samples: the batch axis of extent {batch} is not the first of {shape_text(shape)}"
            )
        return tuple(shape[1:])

    def per_sample(self, constant: Array, rank: int) -> Array:
        """The part of a constant that meets one sample, from one that meets a tensor of `rank` axes as the file counts.

        Raises
        ------
        FormatError
            Where it has more axes, or differs from sample to sample.
        """
        if constant.ndim < rank or not self.lead:
            return constant
        if constant.ndim > rank:
            raise FormatError(f"a constant of shape {constant.shape} has more axes than the signal that it is combined with")
        if constant.shape[0] != 1 and (constant.shape[0] != self.builder.batch or (constant != constant[:1]).any()):
            raise FormatError(f"a constant of shape {constant.shape} differs from sample to sample")
        return np.asarray(constant[0])

    # --- layers -------------------------------------------------------------------------------------------------------

    def parameter(self, value: Any) -> Array:
        """A layer's parameter in the model's number type; not copied where it has that type, for it is the reader's own.

        Raises
        ------
        FormatError
            Where it holds no numbers.
        """
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise FormatError(f"a parameter holds {array.dtype} values, where numbers are needed")
        parameter = array.astype(self.builder.dtype, copy=False)
        if array.dtype.kind == "f" and array.dtype.itemsize > parameter.dtype.itemsize:
            lost = int(np.count_nonzero((array != 0) & (parameter == 0)))
            if lost:
                self.builder.remark(f"{self.node.title}: {lost} of {array.size} constants are 0 in {parameter.dtype}")
        return adopt(parameter)

    def finite_mask(self, constant: Array) -> Array:
        """A constant that is added or chosen, with half of the least number for −inf (CONV-MASK-INFINITY)."""
        if constant.dtype.kind != "f" or not np.isneginf(constant).any():
            return constant
        least = float(np.finfo(np.float32).min) / 2  # two of them may be added
        self.builder.remark(
            f"{self.node.title}: a mask of −inf holds {least:.3g} here, which softmax and maximum leave out as well; where all "
            "elements are masked the file gives NaN, and the model a number"
        )
        return np.where(np.isneginf(constant), np.asarray(least, constant.dtype), constant)

    def emit(self, layer: Layer, *inputs: Tensor, suffix: str = "") -> Tensor:
        """Add a layer to the model.

        Parameters
        ----------
        layer, *inputs : of the new node
        suffix : behind the node's name, where the layer is a step towards it and not the node itself
        """
        return self.builder.add(f"{self.node.name}/{suffix}" if suffix else self.node.name, layer, inputs)
