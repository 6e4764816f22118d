"""The ledger as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError
from ..ledger import Entry, Ledger
from .canvas import GREY, PLAIN, figure, printable
from .colours import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST = 40  # letters of a name at the axis
_MOST_NAMES = 40  # at the axis
_NET, _ABSOLUTE = POSITIVE[4], NEGATIVE[4]


@dataclass(frozen=True, eq=False)
class Depths:
    """What a ledger says of each depth of a network, from the output (0) down to the inputs, for one sample and target.

    Attributes
    ----------
    names : at each depth, of its node, or of the first of its nodes
    net : Σ R of the whole network at each depth: the start less what stayed above
    absolute : Σ |R| there, NaN where the ledger does not tell what each branch carries
    branches : the lines between places (depth, Σ R) that are not on the way of all relevance
    """

    names: tuple[str, ...]
    net: tuple[float, ...]
    absolute: tuple[float, ...]
    branches: tuple[tuple[tuple[float, float], tuple[float, float]], ...]


def ledger(accounts: Ledger, *, sample: int = 0, title: str = "Relevance from the output to the input") -> Figure:
    """Σ R and Σ |R| over the depth of a network, from the output down to the input (Montavon 2019, Fig. 13.2).

    Σ R is the whole network's: where it falls, relevance stayed in biases or stabilisers. Where Σ |R| grows far above it,
    evidence for and against cancel. Where a network branches, thin lines show the Σ R of each node on the way to those that it
    reads; Σ |R| has no point where the ledger does not tell what each branch carries.

    Parameters
    ----------
    accounts : of an explanation with ledger=True; of several targets the first is drawn
    sample : which of the batch
    title : above the picture

    Raises
    ------
    ParameterError
        Where there is no such sample, or nothing was booked.
    """
    account = accounts.first()
    if not 0 <= sample < account.start.shape[0]:
        raise ParameterError(f"there is no sample {sample} in a ledger of {account.start.shape[0]}")
    depths = depths_of(account, sample)
    names = [printable(name) if len(name) <= _LONGEST else f"{printable(name[:_LONGEST])}…" for name in depths.names]
    fig = figure(min(16.0, max(4.8, 0.62 * len(names) + 1.6)), 3.9, layout="constrained")
    axes = fig.add_subplot()
    for number, (one, other) in enumerate(depths.branches):
        label = "Σ R of a branch" if not number else None
        axes.plot((one[0], other[0]), (one[1], other[1]), color="0.65", linewidth=0.9, marker=".", markersize=4, label=label)
    at = np.arange(len(names))
    for values, name, colour, marker in ((depths.absolute, "Σ |R|", _ABSOLUTE, "s"), (depths.net, "Σ R", _NET, "o")):
        known = [i for i, value in enumerate(values) if not np.isnan(value)]
        shade = tuple(c / 255 for c in colour)
        axes.plot(at[known], [values[i] for i in known], marker=marker, markersize=5, color=shade, label=name)
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    _name_depths(axes, names)
    _limit(axes, depths)
    axes.set_title(title, fontsize=11, **PLAIN)
    axes.legend(frameon=False)
    return fig


def _name_depths(axes: Axes, names: list[str]) -> None:
    every = -(-len(names) // _MOST_NAMES)
    at = [i for i in range(len(names)) if i % every == 0 or i == len(names) - 1]
    at = [i for i in at if i == len(names) - 1 or len(names) - 1 - i >= every]
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if len(names) > 5 else {}
    size = 9 if len(at) <= 24 else 7
    axes.set_xticks(at, [names[i] for i in at], fontsize=size, **PLAIN, **slanted)
    axes.set_ylabel("relevance")
    axes.set_xlabel("at the output of …, from the explained score down", color=GREY)
    axes.spines[["top", "right"]].set_visible(False)


def _limit(axes: Axes, depths: Depths) -> None:
    values = [*depths.net, *(value for value in depths.absolute if not np.isnan(value))]
    values += [place[1] for line in depths.branches for place in line]
    top, low = max([*values, 0.0]), min([*values, 0.0])
    axes.set_ylim(low - 0.05 * (top - low or 1), top + 0.08 * (top - low or 1))


def depths_of(account: Ledger, sample: int) -> Depths:
    """What the accounts of one sample say of each depth.

    Parameters
    ----------
    account : of one target
    sample : which of the batch

    Raises
    ------
    ParameterError
        Where nothing was booked.
    """
    entries = {entry.node: entry for entry in account if not entry.node.startswith("start at ")}
    if not entries:
        raise ParameterError("the ledger is empty: nothing was booked")
    wiring = _wiring(account, entries)
    depth = _depths(wiring, entries)
    last = 1 + max(depth[node] for node in entries)
    levels: list[list[str]] = [[] for _ in range(last)]
    for node in entries:
        levels[depth[node]].append(node)
    names = [nodes[0] if len(nodes) == 1 else f"{nodes[0]} +{len(nodes) - 1}" for nodes in levels]

    def at(value: Any) -> float:
        return float(value[sample])

    heads = [entry.booking for entry in account if entry.node.startswith("start at ")]
    left = at(account.start) - sum(at(booking.arriving) - at(booking.inputs) for booking in heads)
    net = []
    for nodes in levels:
        net.append(left)
        left -= sum(at(entries[node].booking.arriving) - at(entries[node].booking.inputs) for node in nodes)
    net.append(left)
    absolute = [_absolute(place, levels, wiring, depth, entries, sample) for place in range(last + 1)]
    return Depths((*names, "input"), tuple(net), tuple(absolute), _branches(levels, wiring, depth, entries, sample, last))


def _wiring(account: Ledger, entries: Mapping[str, Entry]) -> Mapping[str, tuple[str, ...]]:
    """The inputs of each node; a chain in the order of the entries where they are not known."""
    known: Mapping[str, tuple[str, ...]] = account.wiring or {}
    if all(node in known for node in entries):
        return known
    nodes = list(entries)
    return {node: (below,) for node, below in zip(nodes, [*nodes[1:], "input"], strict=True)}


def _depths(wiring: Mapping[str, tuple[str, ...]], entries: Mapping[str, Entry]) -> dict[str, int]:
    """The longest way from the output to each node that has an entry; entries are in the order of the way back."""
    depth = dict.fromkeys(entries, 0)
    for node in entries:
        for source in wiring[node]:
            if source in entries:
                depth[source] = max(depth[source], depth[node] + 1)
    return depth


def _absolute(
    place: int,
    levels: list[list[str]],
    wiring: Mapping[str, tuple[str, ...]],
    depth: Mapping[str, int],
    entries: Mapping[str, Entry],
    sample: int,
) -> float:
    """Σ |R| of what arrives at a depth: of the nodes that are read above it, where they are read nowhere else."""
    above = [node for nodes in levels[:place] for node in nodes]
    crossing = {source for node in above for source in wiring[node] if depth.get(source, len(levels)) >= place}
    crossing |= set(levels[0]) if not place else set()
    below = {source for nodes in levels[place:] for node in nodes for source in wiring[node]}
    inputs = crossing - set(entries)
    if crossing & below or (inputs and crossing != inputs):
        return np.nan
    if not inputs:
        return sum(float(entries[node].booking.arriving_abs[sample]) for node in crossing)
    readers = [node for node in above if set(wiring[node]) & inputs]
    if len(readers) == 1 and set(wiring[readers[0]]) <= inputs:
        return float(entries[readers[0]].booking.inputs_abs[sample])
    return np.nan


def _branches(
    levels: list[list[str]],
    wiring: Mapping[str, tuple[str, ...]],
    depth: Mapping[str, int],
    entries: Mapping[str, Entry],
    sample: int,
    last: int,
) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
    """Lines from nodes to those that they read, but for those that carry the relevance of the whole network."""
    lines = []
    for node in entries:
        for source in wiring[node]:
            if source not in entries:
                continue
            is_chain = len(levels[depth[node]]) == len(levels[depth[source]]) == 1 and depth[source] == depth[node] + 1
            if not is_chain or _is_bypassed(depth[node], wiring, depth, entries, last):
                ends = [(float(depth[one]), float(entries[one].booking.arriving[sample])) for one in (node, source)]
                lines.append((ends[0], ends[1]))
    return tuple(lines)


def _is_bypassed(
    place: int, wiring: Mapping[str, tuple[str, ...]], depth: Mapping[str, int], entries: Mapping[str, Entry], last: int
) -> bool:
    """Whether some relevance gets past a depth on another way."""
    return any(
        depth[node] <= place < depth.get(source, last) - (depth[node] == place)
        for node in entries
        for source in wiring[node]
        if source in depth
    )
