"""The product of two signals, sample by sample."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, Shape, sum_to, zeros
from ..errors import ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Layer, broadcast, need_arity


@lazy_dataclass(frozen=True, eq=False, repr=False)
class MatMul(Layer):
    """The matrix product of two inputs over their last two axes, (N, …, m, k) and (N, …, k, n) → (N, …, m, n)."""

    @property
    def arity(self) -> int:
        return 2

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        first, second = inputs
        if min(len(first), len(second)) < 3 or first[-1] != second[-2]:
            raise ShapeError(f"samples of shapes {first[1:]} and {second[1:]} have no matrix product")
        return (*broadcast(first[:-2], second[:-2]), first[-2], second[-1])

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return self._product(*inputs)

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        first, second = inputs
        below = self._product(upper, second.swapaxes(-1, -2)), self._product(first.swapaxes(-1, -2), upper)
        return sum_to(below[0], first.shape), sum_to(below[1], second.shape)

    @staticmethod
    def _product(first: Array, second: Array) -> Array:
        out = (*np.broadcast_shapes(first.shape[:-2], second.shape[:-2]), first.shape[-2], second.shape[-1])
        if 0 in out or 0 in first.shape:
            return zeros(out, first)
        # Contiguous operands, so that a sample's bits do not depend on strides.
        return np.asarray(np.matmul(np.ascontiguousarray(first), np.ascontiguousarray(second)))
