"""A choice between two signals, element by element, and the comparison that it goes by."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, like
from ..errors import ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import broadcast, need_arity
from .functions import Choice, Function
from .linear import broadcast_sample

RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Compare(Function):
    """1 where z stands in `relation` to `other`, 0 elsewhere.

    Parameters
    ----------
    relation : one of `RELATIONS`
    other : broadcasts against one sample
    """

    relation: str = ">"
    other: Any = 0.0
    parameter_names: ClassVar[tuple[str, ...]] = ("other",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relation not in RELATIONS:
            raise ParameterError(f"Compare.relation must be one of {', '.join(RELATIONS)}, found {self.relation!r}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        if broadcast_sample(self.other.shape, inputs[0][1:]) != inputs[0][1:]:
            raise ShapeError(f"Compare.other of shape {self.other.shape} does not fit samples of shape {inputs[0][1:]}")
        return inputs[0]

    def function(self, z: Array) -> Array:
        holds = np.asarray(RELATIONS[self.relation](z, like(self.other, z)), dtype=bool)
        return np.where(holds, like(1, z), like(0, z))

    def derivative(self, z: Array, output: Array) -> Array:
        return like(0, z)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Where(Choice):
    """One of two signals: the second input where the first is not 0, the third elsewhere.

    Parameters
    ----------
    then, otherwise : constants that broadcast against one sample and stand for the second and the third input, which the
        layer has not then
    """

    then: Any = None
    otherwise: Any = None
    parameter_names: ClassVar[tuple[str, ...]] = ("then", "otherwise")

    @property
    def arity(self) -> int:
        return 1 + (self.then is None) + (self.otherwise is None)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        joint = broadcast(*inputs)
        for name, value in self.parameters.items():
            if broadcast_sample(value.shape, joint[1:]) != joint[1:]:
                raise ShapeError(f"Where.{name} of shape {value.shape} does not fit samples of shape {joint[1:]}")
        return joint

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        condition, *signals = inputs
        rest = iter(signals)
        choices = [next(rest) if value is None else like(value, condition) for value in (self.then, self.otherwise)]
        return np.asarray(np.where(condition != like(0, condition), *choices))

    def chosen(self, inputs: tuple[Array, ...], output: Array) -> tuple[Array, ...]:
        holds = np.asarray(inputs[0] != like(0, inputs[0]), dtype=bool)
        choices = ((holds, self.then), (~holds, self.otherwise))
        return np.zeros(holds.shape, dtype=bool), *(mask for mask, value in choices if value is None)
