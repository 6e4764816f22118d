"""Messages on their way down: those that meet at a node are added up, also where one of them reaches some of its cells alone."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from .arrays import Array, Shape
from .lazy_dataclass import lazy_dataclass

#: What a message holds: relevance R, or the ratio c with R = a·c.
MessageKind = Literal["relevance", "ratio"]
#: How tables write them.
SYMBOLS: dict[MessageKind, str] = {"relevance": "R", "ratio": "c"}


@lazy_dataclass(frozen=True, eq=False)
class PartialMessage:
    """A message to some cells of a node, each at most once; the others get 0.

    Attributes
    ----------
    values : (N, targets, …) for these cells
    where : the cells, as an index of the full message
    shape : of the full message, (N, targets, …)
    """

    values: Array
    where: tuple[Any, ...]
    shape: Shape

    def full(self) -> Array:
        """The full message, (N, targets, …), its axes in the order that those of the values have in memory."""
        axes = sorted(range(len(self.shape)), key=lambda axis: -abs(self.values.strides[axis]))
        inverse = sorted(range(len(axes)), key=axes.__getitem__)
        message = np.zeros([self.shape[axis] for axis in axes], self.values.dtype).transpose(inverse)
        message[self.where] = self.values + self.values.dtype.type(0)  # as it adds to 0: never −0
        return message


#: What a step emits to a node.
Message: TypeAlias = "Array | PartialMessage"


class Inbox:
    """The sums of the messages to one node, one sum for each kind, added up in the order of arrival."""

    def __init__(self) -> None:
        self._sums: dict[MessageKind, Array] = {}
        self._writable: set[MessageKind] = set()  # sums in memory that nobody else reads

    def __contains__(self, kind: MessageKind) -> bool:
        return kind in self._sums

    def __getitem__(self, kind: MessageKind) -> Array:
        return self._sums[kind]

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, kind: MessageKind, message: Message | None) -> None:
        """Add a message, whose own array is never written to; None adds nothing."""
        if message is None:
            return
        if kind not in self._sums:
            self._sums[kind] = message.full() if isinstance(message, PartialMessage) else message
            if isinstance(message, PartialMessage):
                self._writable.add(kind)
            return
        total = self._sums[kind]
        if isinstance(message, PartialMessage):
            total = total if kind in self._writable else total.copy(order="K")
            total[message.where] += message.values
        elif kind in self._writable and total.dtype != object:
            np.add(total, message, out=total)
        else:
            total = total + message
        self._sums[kind] = total
        self._writable.add(kind)
