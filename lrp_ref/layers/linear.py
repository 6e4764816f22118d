"""Linear layers without windows: Dense, StackedDense, Scale, Add, Subtract, Mean."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, integer, integers, like, sum_to, zeros
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Linear, broadcast, need_arity, ones
from .ties import settle_rows


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Dense(Linear):
    r"""Fully connected: :math:`z_k = \sum_j a_j w_{jk} + b_k`.

    Parameters
    ----------
    weight : (lower, upper), which other libraries call (in, out); any strided view
    bias : (upper,), or None

    Inputs are (N, …, lower), outputs (N, …, upper). Samples are multiplied one by one, so that a sample's bits do not
    depend on the batch that it comes in.
    """

    weight: Any
    bias: Any = None
    parameter_names: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim != 2:
            raise ShapeError(f"Dense.weight must be (lower, upper), found shape {self.weight.shape}")
        if self.bias is not None and self.bias.shape != self.weight.shape[1:]:
            raise ShapeError(f"Dense.bias must have shape {self.weight.shape[1:]}, found {self.bias.shape}")

    @property
    def weights(self) -> tuple[Array, ...]:
        return (self.weight,)

    def offset(self, ndim: int) -> Array | None:
        return None if self.bias is None else np.asarray(self.bias)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        lower, upper = self.weight.shape
        if len(inputs[0]) < 2:
            raise ShapeError(
                f"expected an input of shape (N, …, {lower}), found shape {inputs[0]}. "
                "The batch axis is required: x[None] adds it to a single sample."
            )
        if inputs[0][-1] != lower:
            raise ShapeError(f"expected {lower} features on the last axis, found shape {inputs[0]}")
        return (*inputs[0][:-1], upper)

    def map(self, a: Array, weight: Array) -> Array:
        z = _rows_times(a, weight)
        self.settle(a, z)
        return z

    def settle(self, a: Array, z: Array) -> None:
        """Make products equal, in place, where rows of one sample hold the same numbers: BLAS rounds equal rows differently.

        Parameters
        ----------
        a : the input, (N, …, lower); a row is what stands on its last axis
        z : the products a @ weight, (N, …, upper); they are changed. Of an input (N, lower) there is one row, and nothing to do
        """
        if z.ndim > 2 and z.size:
            settle_rows(z.reshape(z.shape[0], -1, z.shape[-1]), a.reshape(a.shape[0], -1, a.shape[-1]))

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return _rows_times(s, weight.T)


def _rows_times(a: Array, weight: Array) -> Array:
    """a @ weight over the last axis, one matrix product per sample."""
    if 0 in a.shape or 0 in weight.shape:
        return zeros((*a.shape[:-1], weight.shape[1]), a)
    rows = np.ascontiguousarray(a).reshape(a.shape[0], -1, a.shape[-1])
    return np.asarray(np.matmul(rows, weight).reshape(*a.shape[:-1], weight.shape[1]))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class StackedDense(Linear):
    r"""A dense layer for each cell of a stack: :math:`z_{sk} = \sum_j a_{sj} w_{sjk}`, where s counts the stack's cells.

    Parameters
    ----------
    weight : (\*stack, lower, upper), with at least one axis in the stack

    Inputs are (N, …, \*stack, rows, lower), outputs (N, …, \*stack, rows, upper); the stacks of input and weight broadcast
    against each other.
    """

    weight: Any
    parameter_names: ClassVar[tuple[str, ...]] = ("weight",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim < 3:
            raise ShapeError(
                f"StackedDense.weight must be (*stack, lower, upper), found shape {self.weight.shape}; Dense has one"
            )

    @property
    def weights(self) -> tuple[Array, ...]:
        return (self.weight,)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        *stack, lower, upper = self.weight.shape
        (given,) = inputs
        wanted = f"(N, …, {', '.join(map(str, stack))}, rows, {lower})"
        if len(given) <= self.weight.ndim or given[-1] != lower:
            raise ShapeError(f"expected an input of shape {wanted}, found shape {given}")
        joint = broadcast_sample(tuple(stack), given[1:-2])
        if joint is None:
            raise ShapeError(f"expected an input of shape {wanted}, found shape {given}, whose stack axes differ")
        return (given[0], *joint, given[-2], upper)

    def map(self, a: Array, weight: Array) -> Array:
        return _stacked_product(a, weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return sum_to(_stacked_product(s, weight.swapaxes(-1, -2)), shape)


def _stacked_product(a: Array, weight: Array) -> Array:
    """a @ weight over the last two axes, one matrix product for each cell of the stack of each sample."""
    if 0 in a.shape or 0 in weight.shape:
        return zeros((*np.broadcast_shapes(a.shape[:-2], weight.shape[:-2]), a.shape[-2], weight.shape[-1]), a)
    return np.asarray(np.matmul(np.ascontiguousarray(a), np.ascontiguousarray(weight)))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Scale(Linear):
    """An elementwise affine map, z = a·w + b with constants that broadcast against (N, …).

    Parameters
    ----------
    weight, bias : shapes that broadcast against one sample; per channel: (C, 1, 1)
    """

    weight: Any = 1.0
    bias: Any = None
    parameter_names: ClassVar[tuple[str, ...]] = ("weight", "bias")

    @property
    def weights(self) -> tuple[Array, ...]:
        return (self.weight.reshape(1) if self.weight.ndim == 0 else self.weight,)

    def offset(self, ndim: int) -> Array | None:
        return None if self.bias is None else np.asarray(self.bias)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        for name, value in self.parameters.items():
            if value.ndim >= len(inputs[0]) or broadcast_sample(value.shape, inputs[0]) != inputs[0]:
                raise ShapeError(f"Scale.{name} of shape {value.shape} does not fit samples of shape {inputs[0][1:]}")
        return inputs[0]

    def map(self, a: Array, weight: Array) -> Array:
        return np.asarray(a * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return sum_to(s * weight, shape)


def broadcast_sample(constant: Shape, shape: Shape) -> Shape | None:
    """The shape of constant ∘ array, or None where they do not broadcast."""
    try:
        return tuple(np.broadcast_shapes(constant, shape))
    except ValueError:
        return None


class _Combination(Linear):
    """Inputs that broadcast against each other, each with one weight for all its elements."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return broadcast(*inputs)

    def map(self, a: Array, weight: Array) -> Array:
        return np.asarray(a * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return sum_to(s * weight, shape)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Add(_Combination):
    """The sum of its inputs (a residual connection), which may broadcast against each other.

    Parameters
    ----------
    inputs : how many arrays it takes, at least 1
    """

    inputs: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "inputs", integer(self.inputs, "Add.inputs", 1))

    @property
    def arity(self) -> int:
        return self.inputs

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones(of=(1.0,) * self.inputs)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Subtract(_Combination):
    """first − second, which may broadcast against each other: weights 1 and −1."""

    @property
    def arity(self) -> int:
        return 2

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones(of=(1.0, -1.0))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Mean(Linear):
    """The mean over `axes` (numbered with the batch as axis 0, which may not be among them).

    Parameters
    ----------
    axes : the axes that the mean goes over; negative ones count from the end
    keepdims : whether they stay, with extent 1
    """

    axes: tuple[int, ...] = (1,)
    keepdims: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        axes = integers(self.axes, "Mean.axes")
        object.__setattr__(self, "axes", axes)
        if not axes or 0 in axes or len(set(axes)) != len(axes):
            raise ParameterError(f"Mean.axes must be different axes other than the batch axis 0, found {axes}")

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones()

    def _axes(self, ndim: int) -> tuple[int, ...]:
        axes = tuple(axis + ndim if axis < 0 else axis for axis in self.axes)
        if any(not 0 < axis < ndim for axis in axes) or len(set(axes)) != len(axes):
            raise ShapeError(f"axes {self.axes} do not exist beside a batch axis in an input of {ndim} axes")
        return axes

    def _keepdims_shape(self, shape: Shape) -> Shape:
        axes = self._axes(len(shape))
        return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        axes = self._axes(len(inputs[0]))
        if not math.prod(inputs[0][axis] for axis in axes):
            raise ShapeError(f"nothing to take a mean of over axes {self.axes} of an input of shape {inputs[0]}")
        shape_with_ones = self._keepdims_shape(inputs[0])
        return shape_with_ones if self.keepdims else tuple(e for axis, e in enumerate(shape_with_ones) if axis not in axes)

    def map(self, a: Array, weight: Array) -> Array:
        count = like(math.prod(a.shape[axis] for axis in self._axes(a.ndim)), a)
        return sum_to(a * weight, self._keepdims_shape(a.shape)).reshape(self.shape(a.shape)) / count

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        count = like(math.prod(shape[axis] for axis in self._axes(len(shape))), s)
        return np.broadcast_to(s.reshape(self._keepdims_shape(shape)), shape) * weight / count
