"""From what the steps of a run account for to the entries of its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from .arrays import like
from .ledger import Amounts, Booking, Entry, OpenEntry

#: What a message amounts to, or where that is found: the node or input at which it arrives alone.
Handed: TypeAlias = str | Amounts
#: An entry, and where it is not complete what its step has handed on.
Booked: TypeAlias = tuple[Entry | OpenEntry, list[Handed]]


def settled(entries: tuple[Booked, ...], known: Mapping[str, Amounts], head: Any, single: bool) -> tuple[Entry, ...]:
    """The entries, from below: what is handed on is what arrives at the nodes in front.

    Parameters
    ----------
    known : what arrives at the inputs
    head : node, name, value, and what its relevance amounts to, where a head has begun
    single : the accounts of the first target alone
    """
    arrived = dict(known)
    found: list[Entry] = []
    for entry, handed in reversed(entries):
        booking = entry.booking if isinstance(entry, Entry) else entry.booking(added(handed, arrived))
        arrived[entry.node] = booking.amounts()
        found.append(Entry(entry.node, entry.rule, booking.first() if single else booking))
    if head is not None:
        node, name, value, (inputs, sizes) = head
        none, size = value * like(0, value), abs(value)
        # What its relevance adds up to beyond the explained value is unassigned (negative: too much).
        booking = Booking(value, inputs, none, none, value - inputs, size + sizes, size, sizes)
        found.append(Entry(node, name, booking.first() if single else booking))
    return tuple(found[::-1])


def added(parts: list[Handed], arrived: Mapping[str, Amounts]) -> Amounts:
    """Σ R and Σ|R| over a step's messages."""
    (inputs, sizes), *rest = [arrived[part] if isinstance(part, str) else part for part in parts]
    for more, larger in rest:
        inputs, sizes = inputs + more, sizes + larger
    return inputs, sizes
