"""Layers that move elements and compute nothing, and nearest-neighbour upsampling, which is linear."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from ..arrays import Array, Shape, check_number, integer, integers, zeros
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Layer, Linear, need_arity, need_rank, ones
from .window import paddings, per_axis


class Rearrangement(Layer):
    """A layer whose every output element is one input element, or a constant; relevance goes back the same way."""

    @abstractmethod
    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        """The transpose of `forward`, for inputs of these shapes: each input gets what its elements' copies got.

        Parameters
        ----------
        relevance : numbers for the output, of its shape; what belongs to constants (padding) is left out
        shapes : the shape of each input, batch axis included

        Returns
        -------
        tuple of arrays
            One for each input, of its shape and of the number type of `relevance`.
        """

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        return self.adjoint(upper, *(a.shape for a in inputs))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Identity(Rearrangement):
    """Its input."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return inputs[0]

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return inputs[0]

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (relevance,)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Dropout(Identity):
    """Dropout of a trained network: its input. The rate is kept for the record only.

    Parameters
    ----------
    rate : the part of the inputs that training set to 0, at least 0; nothing is computed with it
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.rate, "Dropout.rate", 0)


class _Reshaping(Rearrangement):
    def forward(self, *inputs: Array) -> Array:
        shape = self.shape(*(a.shape for a in inputs))
        return inputs[0].reshape(shape)

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (relevance.reshape(shapes[0]),)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Flatten(_Reshaping):
    """(N, …) → (N, features); axes before `start` stay.

    Parameters
    ----------
    start : the first axis that is flattened, at least 1, since the batch axis stays
    """

    start: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "start", integer(self.start, "Flatten.start", 1))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        if self.start > len(inputs[0]):
            raise ShapeError(f"Flatten.start = {self.start} must be at most {len(inputs[0])} for shape {inputs[0]}")
        return (*inputs[0][: self.start], math.prod(inputs[0][self.start :]))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Reshape(_Reshaping):
    """(N, …) → (N, *to); one entry of `to` may be −1.

    Parameters
    ----------
    to : the shape of a sample afterwards, without the batch axis; −1 stands for the extent that the other ones leave
    """

    to: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        to = integers(self.to, "Reshape.to")
        object.__setattr__(self, "to", to)
        if to.count(-1) > 1 or any(extent < -1 for extent in to):
            raise ParameterError(f"Reshape.to must hold extents, at most one of them −1, found {to}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        size = math.prod(inputs[0][1:])
        known = math.prod(extent for extent in self.to if extent != -1)
        to = tuple(size // known if extent == -1 and known else extent for extent in self.to)
        if math.prod(to) != size or -1 in to:
            raise ShapeError(f"samples of shape {inputs[0][1:]} ({size} elements) do not reshape to {self.to}")
        return (inputs[0][0], *to)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Transpose(Rearrangement):
    """The axes in another order, numbered with the batch as axis 0, which stays first.

    Parameters
    ----------
    axes : for each axis of the output the axis of the input, a permutation such as (0, 2, 3, 1), which begins with 0
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axes", integers(self.axes, "Transpose.axes"))
        if sorted(self.axes) != list(range(len(self.axes))) or self.axes[:1] != (0,):
            raise ParameterError(f"Transpose.axes must be a permutation that starts with the batch axis 0, found {self.axes}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], len(self.axes), f"with {len(self.axes)} axes")
        return tuple(inputs[0][axis] for axis in self.axes)

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return inputs[0].transpose(self.axes)

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (relevance.transpose(tuple(int(axis) for axis in np.argsort(self.axes))),)


def _is_one(value: Any) -> bool:
    """Whether `value` is one int for all axes."""
    return isinstance(value, (int, np.integer))


def _axes_of(value: Any) -> int:
    """How many axes `value` has entries for; one int has one."""
    return len(value) if isinstance(value, (tuple, list, np.ndarray)) else 1


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Pad(Rearrangement):
    """Zeros around the spatial axes.

    Parameters
    ----------
    padding : one entry per spatial axis, each an int or (before, after); or one int for all
    """

    padding: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        given = paddings(self.padding, _axes_of(self.padding))
        object.__setattr__(self, "padding", int(self.padding) if _is_one(self.padding) else given)

    def pairs(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        r"""The number of zeros (before, after) along each spatial axis.

        Parameters
        ----------
        shape : the shape of the input, (N, C, \*spatial); only the number of its axes matters
        """
        return paddings(self.padding, len(shape) - 2)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 3, "(N, C, *spatial) with 1 to 3 spatial axes", 5)
        if not isinstance(self.padding, int):
            need_rank(inputs[0], len(self.padding) + 2, f"with {len(self.padding)} spatial axes")
        pairs = self.pairs(inputs[0])
        return (*inputs[0][:2], *(e + b + a for e, (b, a) in zip(inputs[0][2:], pairs, strict=True)))

    def _inner(self, shape: Shape) -> tuple[slice, ...]:
        cells = (slice(b, b + e) for e, (b, _) in zip(shape[2:], self.pairs(shape), strict=True))
        return (slice(None), slice(None), *cells)

    def forward(self, *inputs: Array) -> Array:
        padded = zeros(self.shape(*(a.shape for a in inputs)), inputs[0])
        padded[self._inner(inputs[0].shape)] = inputs[0]
        return padded

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (relevance[self._inner(shapes[0])],)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Upsample(Linear):
    """Each cell repeated `factor` times along each spatial axis (nearest neighbour).

    Parameters
    ----------
    factor : an int of at least 1, or one for each spatial axis
    """

    factor: Any = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        given = per_axis(self.factor, "Upsample.factor", _axes_of(self.factor))
        object.__setattr__(self, "factor", given[0] if _is_one(self.factor) else given)

    @property
    def weights(self) -> tuple[Array, ...]:
        return ones()

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 3, "(N, C, *spatial) with 1 to 3 spatial axes", 5)
        if not isinstance(self.factor, int):
            need_rank(inputs[0], len(self.factor) + 2, f"with {len(self.factor)} spatial axes")
        factors = per_axis(self.factor, "factor", len(inputs[0]) - 2)
        return (*inputs[0][:2], *(e * f for e, f in zip(inputs[0][2:], factors, strict=True)))

    def map(self, a: Array, weight: Array) -> Array:
        for axis, factor in enumerate(per_axis(self.factor, "factor", a.ndim - 2), start=2):
            a = np.repeat(a, factor, axis=axis)
        return np.asarray(a * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        for axis, factor in enumerate(per_axis(self.factor, "factor", s.ndim - 2), start=2):
            blocks = s.reshape(*s.shape[:axis], shape[axis], factor, *s.shape[axis + 1 :])
            s = sum((blocks.take(i, axis=axis + 1) for i in range(1, factor)), blocks.take(0, axis=axis + 1))
        return np.asarray(s * weight)
