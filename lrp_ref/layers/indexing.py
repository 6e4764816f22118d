"""Layers that pick, repeat and reorder elements along axes: each output element is one input element, or a constant."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, integer, integers, like, zeros
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import need_arity, need_rank
from .shape import Rearrangement


def axis_of(axis: int, shape: Shape, kind: str) -> int:
    """`axis` counted from the front; it must exist beside the batch axis."""
    number = axis + len(shape) if axis < 0 else axis
    if not 0 < number < len(shape):
        raise ShapeError(f"{kind}.axis {axis} does not exist beside a batch axis in an input of shape {shape}")
    return number


class _Picking(Rearrangement):
    """A layer that picks cells along some axes, each axis by itself; −1 picks a constant."""

    constant: ClassVar[Any] = 0

    @abstractmethod
    def picks(self, shape: Shape) -> dict[int, Array]:
        """For each axis that changes, which of its cells every output cell is."""

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        a = inputs[0]
        for axis, cells in self.picks(a.shape).items():
            outside = cells < 0
            a = a.take(np.where(outside, 0, cells), axis=axis) if a.shape[axis] else _nothing(a, axis, len(cells))
            if outside.any():
                a[(slice(None),) * axis + (outside,)] = like(self.constant, a)
        return a

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        for axis, cells in reversed(self.picks(shapes[0]).items()):
            extents = (*relevance.shape[:axis], shapes[0][axis], *relevance.shape[axis + 1 :])
            back = zeros(extents, relevance)
            inside = cells >= 0
            front: tuple[Any, ...] = (slice(None),) * axis
            where: Any = (*front, cells[inside])
            np.add.at(back, where, relevance[(*front, inside)])
            relevance = back
        return (relevance,)


def _nothing(a: Array, axis: int, extent: int) -> Array:
    """An array with `extent` cells along an axis that has none."""
    return zeros((*a.shape[:axis], extent, *a.shape[axis + 1 :]), a)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Slice(_Picking):
    """Every `step`-th cell from `start` to before `stop` along `axis`, counted as Python's slices are.

    Parameters
    ----------
    start, stop : None: from or to the end, as in a[:]
    axis : not the batch axis
    step : not 0; negative ones go backwards
    """

    start: int | None = None
    stop: int | None = None
    axis: int = 1
    step: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("start", "stop"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, integer(getattr(self, name), f"Slice.{name}"))
        object.__setattr__(self, "axis", integer(self.axis, "Slice.axis"))
        object.__setattr__(self, "step", integer(self.step, "Slice.step"))
        if self.step == 0 or self.axis == 0:
            raise ParameterError("Slice.step must not be 0, and Slice.axis not the batch axis 0")

    def _range(self, extent: int) -> range:
        return range(*slice(self.start, self.stop, self.step).indices(extent))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        axis = axis_of(self.axis, inputs[0], "Slice")
        return (*inputs[0][:axis], len(self._range(inputs[0][axis])), *inputs[0][axis + 1 :])

    def picks(self, shape: Shape) -> dict[int, Array]:
        axis = axis_of(self.axis, shape, "Slice")
        return {axis: np.asarray(self._range(shape[axis]), dtype=np.int64)}


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Gather(_Picking):
    """The cells `indices` along `axis`, in this order; cells may repeat.

    Parameters
    ----------
    indices : one axis of integers, negative ones counted from the end
    axis : not the batch axis
    """

    indices: tuple[int, ...]
    axis: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "indices", integers(self.indices, "Gather.indices"))
        object.__setattr__(self, "axis", integer(self.axis, "Gather.axis"))
        if self.axis == 0:
            raise ParameterError("Gather.axis must not be the batch axis 0")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        axis = axis_of(self.axis, inputs[0], "Gather")
        extent = inputs[0][axis]
        if self.indices and not -extent <= min(self.indices) <= max(self.indices) < extent:
            raise ShapeError(f"Gather picks cells {min(self.indices)} to {max(self.indices)} of an axis of {extent}")
        return (*inputs[0][:axis], len(self.indices), *inputs[0][axis + 1 :])

    def picks(self, shape: Shape) -> dict[int, Array]:
        axis = axis_of(self.axis, shape, "Gather")
        cells = np.asarray(self.indices, dtype=np.int64)
        return {axis: np.where(cells < 0, cells + shape[axis], cells)}


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Expand(_Picking):
    """A sample broadcast to shape `to`: axes of extent 1 repeated, new axes in front of the sample's.

    Parameters
    ----------
    to : the shape of a sample afterwards, without the batch axis
    """

    to: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "to", integers(self.to, "Expand.to"))
        if any(extent < 0 for extent in self.to):
            raise ParameterError(f"Expand.to must hold extents, found {self.to}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        sample = inputs[0][1:]
        padded = (1,) * (len(self.to) - len(sample)) + sample
        if len(padded) != len(self.to) or any(e not in (1, t) for e, t in zip(padded, self.to, strict=True)):
            raise ShapeError(f"samples of shape {sample} do not expand to {self.to}")
        return (inputs[0][0], *self.to)

    def _padded(self, shape: Shape) -> Shape:
        return (shape[0], *(1,) * (len(self.to) - len(shape) + 1), *shape[1:])

    def picks(self, shape: Shape) -> dict[int, Array]:
        padded = enumerate(zip(self._padded(shape)[1:], self.to, strict=True), start=1)
        return {axis: np.zeros(to, dtype=np.int64) for axis, (extent, to) in padded if extent != to}

    def forward(self, *inputs: Array) -> Array:
        shape = self.shape(*(a.shape for a in inputs))
        return np.array(np.broadcast_to(inputs[0].reshape(self._padded(inputs[0].shape)), shape))

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        (lower,) = super().adjoint(relevance, self._padded(shapes[0]))
        return (lower.reshape(shapes[0]),)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Tile(_Picking):
    """A sample repeated `repeats` times along each of its axes.

    Parameters
    ----------
    repeats : one count of at least 0 for each axis of a sample
    """

    repeats: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "repeats", integers(self.repeats, "Tile.repeats"))
        if any(count < 0 for count in self.repeats):
            raise ParameterError(f"Tile.repeats must not be negative, found {self.repeats}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], len(self.repeats) + 1, f"with {len(self.repeats)} axes beside the batch")
        return (inputs[0][0], *(e * r for e, r in zip(inputs[0][1:], self.repeats, strict=True)))

    def picks(self, shape: Shape) -> dict[int, Array]:
        counts = enumerate(self.repeats, start=1)
        return {axis: np.tile(np.arange(shape[axis]), count) for axis, count in counts if count != 1}


_MODES = ("constant", "reflect", "edge", "wrap")


@lazy_dataclass(frozen=True, eq=False, repr=False)
class PadWith(_Picking):
    """Cells around the axes of a sample, made from what is inside; `Pad` adds zeros around spatial axes.

    Parameters
    ----------
    padding : for each axis of a sample (the channels' included) a (before, after) pair
    mode : "reflect" mirrors without repeating the border, "edge" repeats it, "wrap" continues at the other end,
        "constant" adds `value`
    value : for mode "constant"
    """

    padding: tuple[tuple[int, int], ...]
    mode: str = "constant"
    value: Any = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs = tuple(integers(tuple(pair), "PadWith.padding") for pair in self.padding)
        object.__setattr__(self, "padding", pairs)
        if any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
            raise ParameterError(f"PadWith.padding must hold pairs of counts, found {self.padding}")
        if self.mode not in _MODES:
            raise ParameterError(f"PadWith.mode must be one of {', '.join(_MODES)}, found {self.mode!r}")
        check_number(self.value, "PadWith.value")

    @property
    def constant(self) -> Any:
        """What is added in mode "constant"."""
        return self.value

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], len(self.padding) + 1, f"with {len(self.padding)} axes beside the batch")
        for extent, pair in zip(inputs[0][1:], self.padding, strict=True):
            low = {"reflect": 2 if extent < 2 else 1, "constant": 0}.get(self.mode, 1)
            if any(pair) and extent < low:
                raise ShapeError(f"an axis of {extent} cells has nothing to pad with in mode {self.mode!r}")
        return (inputs[0][0], *(b + e + a for e, (b, a) in zip(inputs[0][1:], self.padding, strict=True)))

    def picks(self, shape: Shape) -> dict[int, Array]:
        pads = enumerate(self.padding, start=1)
        return {axis: self._cells(shape[axis], *pair) for axis, pair in pads if any(pair)}

    def _cells(self, extent: int, before: int, after: int) -> Array:
        cells = np.arange(-before, extent + after)
        if self.mode == "edge":
            return np.clip(cells, 0, extent - 1)
        if self.mode == "wrap":
            return cells % extent
        if self.mode == "reflect":
            period = max(1, 2 * (extent - 1))
            folded = cells % period
            return np.where(folded < extent, folded, period - folded)
        return np.where((cells >= 0) & (cells < extent), cells, -1)
