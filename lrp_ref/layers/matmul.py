"""The product of two signals, sample by sample."""

from __future__ import annotations

import numpy as np

from ..arrays import Array, Shape, zeros
from ..errors import ShapeError
from ..records import dataclass
from .base import Layer, broadcast, need_arity


@dataclass(frozen=True, eq=False, repr=False)
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
        out = self.shape(*(a.shape for a in inputs))
        if 0 in out or 0 in inputs[0].shape:
            return zeros(out, inputs[0])
        # Contiguous operands, so that a sample's bits do not depend on strides.
        return np.asarray(np.matmul(*(np.ascontiguousarray(a) for a in inputs)))
