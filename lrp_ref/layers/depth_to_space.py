"""Layers that move blocks of elements: depth to space and back; constants beside a signal."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, integer, like
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import need_arity, need_rank
from .indexing import axis_of
from .shape import Rearrangement


class _Blocks(Rearrangement):
    block: int
    mode: str

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__name__
        object.__setattr__(self, "block", integer(self.block, f"{kind}.block", 1))
        if self.mode not in ("DCR", "CRD"):
            raise ParameterError(f'{kind}.mode must be "DCR" or "CRD", found {self.mode!r}')

    def _deeper(self, shape: Shape) -> Shape:
        need_rank(shape, 4, "(N, C, height, width)")
        if any(extent % self.block for extent in shape[2:]):
            raise ShapeError(f"blocks of {self.block} do not fit the spatial axes of {shape}")
        return (shape[0], shape[1] * self.block**2, shape[2] // self.block, shape[3] // self.block)

    def _wider(self, shape: Shape) -> Shape:
        need_rank(shape, 4, "(N, C, height, width)")
        if shape[1] % self.block**2:
            raise ShapeError(f"blocks of {self.block} × {self.block} do not fit the channels of {shape}")
        return (shape[0], shape[1] // self.block**2, shape[2] * self.block, shape[3] * self.block)

    def _widen(self, a: Array) -> Array:
        n, c, h, w = self._wider(a.shape)
        b = self.block
        split = (n, b, b, c, h // b, w // b) if self.mode == "DCR" else (n, c, b, b, h // b, w // b)
        order = (0, 3, 4, 1, 5, 2) if self.mode == "DCR" else (0, 1, 4, 2, 5, 3)
        return a.reshape(split).transpose(order).reshape(n, c, h, w)

    def _deepen(self, a: Array) -> Array:
        n, c, h, w = a.shape
        b = self.block
        order = (0, 3, 5, 1, 2, 4) if self.mode == "DCR" else (0, 1, 3, 5, 2, 4)
        return a.reshape(n, c, h // b, b, w // b, b).transpose(order).reshape(self._deeper(a.shape))


@lazy_dataclass(frozen=True, eq=False, repr=False)
class DepthToSpace(_Blocks):
    """Channels laid out as blocks of `block` × `block` cells (pixel shuffle; Shi et al. 2016).

    Parameters
    ----------
    block : the blocks' side
    mode : which channels form a block: "CRD" neighbouring ones (PyTorch's pixel shuffle), "DCR" those that are far apart
    """

    block: int
    mode: str = "DCR"

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return self._wider(inputs[0])

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return self._widen(inputs[0])

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (self._deepen(relevance),)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class SpaceToDepth(_Blocks):
    """Blocks of `block` × `block` cells laid out as channels: `DepthToSpace` backwards.

    Parameters
    ----------
    block : the side of a block, a divisor of both spatial extents
    mode : "DCR": the cells of a block are the outer part of the new channel axis; "CRD": the inner part
    """

    block: int
    mode: str = "DCR"

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return self._deeper(inputs[0])

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return self._deepen(inputs[0])

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        return (self._widen(relevance),)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Attach(Rearrangement):
    """Constants beside every sample along `axis`, such as the class token of a transformer.

    Parameters
    ----------
    before, after : what stands before and after the signal, shaped like a sample but for `axis`; None: nothing
    axis : not the batch axis
    """

    before: Any = None
    after: Any = None
    axis: int = 1
    parameter_names: ClassVar[tuple[str, ...]] = ("before", "after")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axis", integer(self.axis, "Attach.axis", 1))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        axis = axis_of(self.axis, inputs[0], "Attach")
        rest = (*inputs[0][1:axis], *inputs[0][axis + 1 :])
        for name, value in self.parameters.items():
            if value.ndim != len(inputs[0]) - 1 or (*value.shape[: axis - 1], *value.shape[axis:]) != rest:
                raise ShapeError(f"Attach.{name} of shape {value.shape} does not fit samples of shape {inputs[0][1:]}")
        added = sum(value.shape[axis - 1] for value in self.parameters.values())
        return (*inputs[0][:axis], inputs[0][axis] + added, *inputs[0][axis + 1 :])

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        a = inputs[0]
        parts = [self.before, a, self.after]
        whole = [p if p is a else np.broadcast_to(like(p, a), (a.shape[0], *p.shape)) for p in parts if p is not None]
        return np.concatenate(whole, axis=self.axis)

    def adjoint(self, relevance: Array, *shapes: Shape) -> tuple[Array, ...]:
        start = 0 if self.before is None else self.before.shape[self.axis - 1]
        cells = slice(start, start + shapes[0][self.axis])
        return (relevance[(slice(None),) * self.axis + (cells,)],)
