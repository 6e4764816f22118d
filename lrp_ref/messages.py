"""Messages on their way down: those that meet at a node are added up, also where one of them reaches some of its cells alone."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from .arrays import Array, Shape
from .lazy_dataclass import lazy_dataclass

Currency = Literal["R", "c"]


@lazy_dataclass(frozen=True, eq=False)
class Placed:
    """A message to some cells of a node, each at most once; the others get 0.

    Attributes
    ----------
    values : (N, targets, …) for these cells
    where : which they are, as an index of the whole message
    shape : of the whole message
    """

    values: Array
    where: tuple[Any, ...]
    shape: Shape

    def alone(self) -> Array:
        """The whole message, its axes in the order that those of the values have in memory."""
        axes = sorted(range(len(self.shape)), key=lambda axis: -abs(self.values.strides[axis]))
        back = sorted(range(len(axes)), key=axes.__getitem__)
        whole = np.zeros([self.shape[axis] for axis in axes], self.values.dtype).transpose(back)
        whole[self.where] = self.values + self.values.dtype.type(0)  # as it adds to 0: never −0
        return whole


#: What a step hands on to a node.
Message: TypeAlias = "Array | Placed"


class Heap:
    """What has arrived at a node in each currency, added up in the order in which it came."""

    def __init__(self) -> None:
        self._sums: dict[Currency, Array] = {}
        self._own: set[Currency] = set()  # sums in memory that nobody else reads

    def __contains__(self, kind: Currency) -> bool:
        return kind in self._sums

    def __getitem__(self, kind: Currency) -> Array:
        return self._sums[kind]

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, kind: Currency, message: Message | None) -> None:
        """Add a message, whose own array is never written to; None adds nothing."""
        if message is None:
            return
        if kind not in self._sums:
            self._sums[kind] = message.alone() if isinstance(message, Placed) else message
            if isinstance(message, Placed):
                self._own.add(kind)
            return
        found = self._sums[kind]
        if isinstance(message, Placed):
            found = found if kind in self._own else found.copy(order="K")
            found[message.where] += message.values
        elif kind in self._own and found.dtype != object:
            np.add(found, message, out=found)
        else:
            found = found + message
        self._sums[kind] = found
        self._own.add(kind)
