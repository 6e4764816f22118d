"""Layers that bring several signals together otherwise than by adding them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, integer, like, sum_to
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Layer, broadcast, need_arity
from .linear import broadcast_sample
from .shape import Rearrangement


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Concat(Rearrangement):
    """Its inputs side by side along `axis`.

    Parameters
    ----------
    inputs : how many arrays it takes, at least 1; their shapes differ along the axis at most
    axis : the axis along which they are joined, counted with the batch axis, which it may not be
    """

    inputs: int = 2
    axis: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inputs", integer(self.inputs, "Concat.inputs", 1))
        object.__setattr__(self, "axis", integer(self.axis, "Concat.axis"))
        if self.axis == 0:
            raise ParameterError("Concat.axis must not be the batch axis 0")

    @property
    def arity(self) -> int:
        return self.inputs

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        rank = len(inputs[0])
        axis = self.axis + rank if self.axis < 0 else self.axis
        if not 0 < axis < rank:
            raise ShapeError(f"axis {self.axis} does not exist beside a batch axis in an input of shape {inputs[0]}")
        rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in inputs if len(shape) == rank}
        if len(rests) != 1 or any(len(shape) != rank for shape in inputs):
            raise ShapeError(f"inputs {', '.join(map(str, inputs))} differ beside axis {axis}")
        return (*inputs[0][:axis], sum(shape[axis] for shape in inputs), *inputs[0][axis + 1 :])

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return np.concatenate(inputs, axis=self.axis)

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        ends = np.cumsum([shape[self.axis] for shape in shapes])[:-1]
        return tuple(np.split(relevance, ends, axis=self.axis))


class Product(Layer):
    """A layer whose output is the product of two factors, element by element: what `rules.ProductRule` serves.

    Attributes
    ----------
    signal : which factor carries the information (0 or 1), None where that is not known
    constant : the second factor where it is no input, else None; its share of relevance stays in a bias
    """

    signal: int | None
    constant: Any

    @abstractmethod
    def factors(self, *inputs: Array) -> tuple[Array, Array]:
        """Both factors, (N, …) each, which may broadcast against each other; the constant too where it is one."""


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Multiply(Product):
    """The product of two inputs, which may broadcast against each other: a signal and its gate.

    Parameters
    ----------
    signal : which input carries the information (0 or 1), None where that is not known. It is a fact about the
        network, which the rule `SignalTakesAll` needs.
    constant : stands for the second input, which the layer has not then, and broadcasts against one sample of the first: what
        is left of a cell whose state is known, such as a reset gate before the first step. Its share stays in a bias
    """

    signal: int | None = None
    constant: Any = None
    parameter_names: ClassVar[tuple[str, ...]] = ("constant",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.signal not in (None, 0, 1):
            raise ParameterError(f"Multiply.signal must be 0, 1 or None, found {self.signal!r}")

    @property
    def arity(self) -> int:
        return 2 if self.constant is None else 1

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        if self.constant is not None and broadcast_sample(self.constant.shape, inputs[0][1:]) != inputs[0][1:]:
            raise ShapeError(f"Multiply.constant of shape {self.constant.shape} does not fit samples of shape {inputs[0][1:]}")
        return broadcast(*inputs)

    def factors(self, *inputs: Array) -> tuple[Array, Array]:
        """Both factors, the constant too where it is one."""
        first = inputs[0]
        return (first, inputs[1]) if self.constant is None else (first, like(self.constant, first))

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        first, second = self.factors(*inputs)
        return np.asarray(first * second)

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        first, second = self.factors(*inputs)
        if self.constant is not None:
            return (np.asarray(upper * second),)
        return sum_to(upper * second, first.shape), sum_to(upper * first, second.shape)
