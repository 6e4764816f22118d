"""From what the steps of a run account for to the entries of its ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, like
from ..ledger import PLACES, Amounts, Entry, OpenEntry, account_table

#: What a message amounts to, or where that is found: the node or input at which it arrives alone.
Handed: TypeAlias = str | Amounts
#: An entry, and where it is not complete what its step has handed on.
Booked: TypeAlias = tuple[Entry | OpenEntry, list[Handed]]
ARRIVING, ARRIVING_ABS = PLACES["arriving"], PLACES["arriving_abs"]


def settled(
    entries: tuple[Booked, ...],
    reached: Mapping[str, Array],
    head_start: tuple[Mapping[str, Array], Any, Array] | None,
    single: bool,
    amounts: Callable[[Array, None], Amounts],
) -> tuple[tuple[Entry, ...], Array]:
    """The entries, and what reached the inputs; from below: what is handed on is what arrives at the nodes in front.

    Parameters
    ----------
    reached : the relevance of each input
    head_start : where a head starts, the relevances that it gave to nodes, the head, and the value that it explains
    single : the accounts of the first target alone
    amounts : Σ R and Σ|R| of a relevance
    """
    arrived = {name: amounts(relevance, None) for name, relevance in reached.items()}
    first, *others = [inputs for inputs, _ in arrived.values()]
    reached_sum = np.asarray(sum(others, first))
    settled_entries: list[Entry] = []
    for entry, handed in reversed(entries):
        if isinstance(entry, Entry):
            arrived[entry.node] = entry.booking.amounts()
            settled_entries.append(Entry(entry.node, entry.rule, entry.booking.first()) if single else entry)
        elif entry.columns is None:
            arrived[entry.node] = amount = added(handed, arrived)
            settled_entries.append(entry.unchanged(amount, single))
        else:
            columns = entry.settled(*added(handed, arrived))
            arrived[entry.node] = columns[..., ARRIVING], columns[..., ARRIVING_ABS]
            settled_entries.append(entry.entry(columns, single))
    if head_start is not None:
        relevances, head, value = head_start
        inputs, sizes = added([amounts(relevance, None) for relevance in relevances.values()], {})
        none, size = value * like(0, value), abs(value)
        # What its relevance adds up to beyond the explained value is unassigned (negative: too much).
        columns = account_table(value, inputs, none, none, value - inputs, size + sizes, size, sizes)
        settled_entries.append(OpenEntry(f"start at {', '.join(relevances)}", str(head)).entry(columns, single))
    return tuple(settled_entries[::-1]), reached_sum[:, 0] if single else reached_sum


def added(handed: Sequence[Handed], arrived: Mapping[str, Amounts]) -> Amounts:
    """Σ R and Σ|R| over a step's messages."""
    if len(handed) == 1:
        (amount,) = handed
        return arrived[amount] if isinstance(amount, str) else amount
    (inputs, sizes), *others = [arrived[amount] if isinstance(amount, str) else amount for amount in handed]
    for more, larger in others:
        inputs, sizes = inputs + more, sizes + larger
    return inputs, sizes
