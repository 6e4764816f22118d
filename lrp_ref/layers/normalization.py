"""Batch normalisation with its statistics held: an affine map per channel."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, like, square_root
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Linear, need_arity, need_rank


@lazy_dataclass(frozen=True, eq=False, repr=False)
class BatchNorm(Linear):
    r"""Batch normalisation of a trained network, :math:`z = \gamma\,(a - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta`.

    Parameters
    ----------
    mean, variance : (C,) running statistics of the channels on axis 1
    scale, shift : (C,) γ and β; None: 1 and 0
    epsilon : inside the square root
    """

    mean: Any
    variance: Any
    scale: Any = None
    shift: Any = None
    epsilon: Any = 1e-5
    parameter_names: ClassVar[tuple[str, ...]] = ("mean", "variance", "scale", "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.epsilon, "BatchNorm.epsilon", 0)
        for name, value in self.parameters.items():
            if value.ndim != 1 or value.shape != self.mean.shape:
                raise ShapeError(f"BatchNorm.{name} must have shape {self.mean.shape} like mean, found {value.shape}")
        if not (self.variance + like(self.epsilon, self.variance) > 0).all():
            raise ParameterError("BatchNorm.variance + epsilon must be positive in every channel")

    @property
    def factor(self) -> Array:
        """γ/√(σ² + ε), (C,)."""
        root = square_root(self.variance + like(self.epsilon, self.variance))
        scale = like(1, root) if self.scale is None else like(self.scale, root)
        return np.asarray(scale / root)

    @property
    def translation(self) -> Array:
        """β − μ·factor, (C,)."""
        moved = -like(self.mean, self.factor) * self.factor
        return np.asarray(moved if self.shift is None else moved + like(self.shift, moved))

    @property
    def weights(self) -> tuple[Array, ...]:
        return (self.factor,)

    def offset(self, ndim: int) -> Array | None:
        return _per_channel(self.translation, ndim)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 2, f"(N, {self.mean.shape[0]}, …)", max(2, len(inputs[0])))
        if inputs[0][1] != self.mean.shape[0]:
            raise ShapeError(f"expected an input of shape (N, {self.mean.shape[0]}, …), found shape {inputs[0]}")
        return inputs[0]

    def map(self, a: Array, weight: Array) -> Array:
        return np.asarray(a * _per_channel(weight, a.ndim))

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return np.asarray(s * _per_channel(weight, s.ndim))


def _per_channel(values: Array, ndim: int) -> Array:
    """(C,) shaped to broadcast against (N, C, …) with `ndim` axes; numbers for all channels stay."""
    return values if values.size == 1 else values.reshape(-1, *(1,) * (ndim - 2))
