"""Bounds of an input, low ≤ a ≤ high, as a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, check_finite, like
from ..errors import DomainError, ParameterError
from ..held import held
from ..lazy_dataclass import lazy_dataclass


@lazy_dataclass(frozen=True, eq=False)
class Bounds:
    """The interval [low, high] of each element of a sample; bounds compare by value.

    Parameters
    ----------
    low, high : numbers, or arrays that broadcast against one sample; arrays are held as layers hold theirs

    Raises
    ------
    ParameterError
        Where a bound is no number and no array of numbers.
    NonFiniteError
        Where a bound is NaN or infinite.
    DomainError
        Where low > high somewhere.
    """

    low: Any
    high: Any

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = np.asarray(getattr(self, name))
            if value.dtype.kind not in "iufO":
                raise ParameterError(f"{name} must be a number or an array, found {getattr(self, name)!r}")
            if value.dtype.kind == "f":
                check_finite(value, name)
            if value.ndim:
                object.__setattr__(self, name, held(getattr(self, name)))
        if not np.all(np.asarray(self.low) <= np.asarray(self.high)):
            raise DomainError(f"bounds need low ≤ high, found low = {self.low}, high = {self.high}")

    def _key(self) -> tuple[Any, ...]:
        return tuple(np.asarray(b).tolist() if isinstance(b, np.ndarray) else b for b in (self.low, self.high))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bounds) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(str(self._key()))

    def contains(self, a: Array) -> bool:
        """Whether every element of the inputs (N, …) lies in the bounds, without any tolerance."""
        return not ((a < like(self.low, a)) | (a > like(self.high, a))).any()

    def check(self, a: Array, name: str) -> None:
        """Raise `DomainError`, which calls the bounds `name`, where inputs (N, …) leave them by more than 1e-5·(high − low)."""
        low, high = np.asarray(like(self.low, a)), np.asarray(like(self.high, a))
        tolerance = (high - low) * like(1e-5, a)
        outside = (a < low - tolerance) | (a > high + tolerance)
        if outside.any():
            where = tuple(int(i) for i in np.argwhere(outside)[0])
            raise DomainError(
                f"{int(np.count_nonzero(outside))} input(s) leave the bounds of {name}, the first {a[where]} at {where}; "
                "give bounds that hold, or an input that the network was made for"
            )
