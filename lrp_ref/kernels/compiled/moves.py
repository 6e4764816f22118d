"""Layers that pick cells along an axis: upwards a slice is a view, and on the way down a message to the cells that it shows."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, Shape
from ...errors import LrpError
from ...forks import cached_property
from ...layers.indexing import Expand, Gather, PadWith, Slice, Tile
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry, OpenEntry, account_table
from ...messages import SYMBOLS, Message, PartialMessage
from ...network.model import Model, Node
from ...rules import Pass
from ...step import Handed, PlanContext
from ..numpy.pass_through import PassingStep
from .accounts import amounts

#: Layers whose every cell along an axis is one of their input's, or a constant.
_PICKING = (Slice, Gather, Tile, PadWith, Expand)
#: Cells of an output, and those of an input that they are: each an index along an axis.
Turn = tuple[Any, Any]


def step_for(context: PlanContext, node: Node) -> Picked | None:
    """The step for a layer that picks cells along one axis; None for others."""
    layer, rule = node.layer, context.rules[node.name]
    if type(layer) not in _PICKING or type(rule) is not Pass or node.inputs[0] not in context.shapes:
        return None
    shape = (1, *context.shapes[node.inputs[0]])
    try:
        picks = layer.picks(shape)  # type: ignore[attr-defined]
        rank = len(layer.shape(shape))
    except LrpError:
        return None  # the layer says what is wrong, with the data at hand
    if len(picks) != 1 or rank != len(shape):
        return None
    ((axis, cells),) = picks.items()
    return Picked(
        (node,), rule, with_ledger=context.with_ledger, axis=axis, cells=tuple(cells.tolist()), threads=context.resources.threads
    )


class SavedPick(NamedTuple):
    """The input's shape; the input and the output where accounts are told from them."""

    shape: Shape
    input: Array | None
    output: Array | None


@lazy_dataclass(frozen=True, eq=False)
class Picked(PassingStep[SavedPick]):
    """Pass through a layer whose cell i along `axis` is cell `cells[i]` of its input, or a constant (−1)."""

    axis: int = 1
    cells: tuple[int, ...] = ()
    threads: int = 1

    backend = "compiled"
    columns = "none"

    @property
    def label(self) -> str:
        return f"compiled, picks, {SYMBOLS[self.takes]}"

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """All cells that are no constants, so that none of the input's comes twice in one turn."""
        occurrences: Counter[int] = Counter()
        turns: list[tuple[list[int], list[int]]] = []
        for position, cell in enumerate(self.cells):
            if cell < 0:
                continue
            if occurrences[cell] == len(turns):
                turns.append(([], []))
            above, below = turns[occurrences[cell]]
            above.append(position)
            below.append(cell)
            occurrences[cell] += 1
        return tuple((index_of(above), index_of(below)) for above, below in turns)

    @cached_property
    def once(self) -> bool:
        """Whether every cell of the output is a cell of the input that no other is."""
        return min(self.cells, default=0) >= 0 and len(set(self.cells)) == len(self.cells)

    @property
    def keeps_nonfinite(self) -> bool:
        """Whether nothing of a message is dropped."""
        return min(self.cells, default=0) >= 0

    @cached_property
    def view(self) -> tuple[Any, ...] | None:
        """The index of the input that is the output, where that takes no copy."""
        shown = index_of(list(self.cells))
        return (*(slice(None),) * self.axis, shown) if self.once and isinstance(shown, slice) else None

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedPick]:
        (a,) = inputs
        output = Model.compute(self.nodes[0], inputs) if self.view is None else a[self.view]
        weighs = self.with_ledger and not self.once and self.takes == "ratio"
        return output, SavedPick(a.shape, *((a, output) if weighs else (None, None)))

    def relevance(self, saved: SavedPick, message: Array) -> Handed:
        shape, a, output = saved
        lower = self._placed(message, (*message.shape[:2], *shape[1:]))
        return (lower,), (self._entry(a, output, message, lower),) if self.with_ledger else ()

    def _placed(self, message: Array, shape: Shape) -> Message:
        front = (slice(None),) * (self.axis + 1)
        if len(self.turns) == 1:
            ((above, below),) = self.turns
            return PartialMessage(message[(*front, above)], (*front, below), shape)
        lower = np.zeros(shape, message.dtype)
        for above, below in self.turns:
            lower[(*front, below)] += message[(*front, above)]
        return lower

    def _entry(self, a: Array | None, output: Array | None, message: Array, lower: Message) -> Entry | OpenEntry:
        """What reaches one cell from several is added up there; what a constant got belongs to no input."""
        node, named = self.nodes[0].name, self.rule_name
        if self.once:
            return OpenEntry(node, named)
        lower = lower.full() if isinstance(lower, PartialMessage) else lower
        arriving, arriving_abs = amounts(message, output, self.threads)
        inputs, inputs_abs = amounts(lower, a, self.threads)
        none = np.zeros_like(arriving)
        lost = none if lower.size == message.size else arriving - inputs
        columns = account_table(arriving, inputs, none, none, lost, arriving_abs + inputs_abs, arriving_abs, inputs_abs)
        return Entry(node, named, Booking.of(columns))


def index_of(cells: list[int]) -> Any:
    """An index for cells ≥ 0: a slice, which is a view, where they lie at one step."""
    step = cells[1] - cells[0] if len(cells) > 1 else 1
    if not cells or step == 0 or any(b - a != step for a, b in pairwise(cells)):
        return np.array(cells, dtype=np.int64)
    end = cells[-1] + step
    return slice(cells[0], None if end < 0 else end, step)
