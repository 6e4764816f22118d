"""The ledger as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError
from ..ledger import Ledger
from .canvas import GREY, PLAIN, figure, printable
from .colours import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 40  # letters of a name at the axis
_NET, _ABSOLUTE = POSITIVE[4], NEGATIVE[4]


def ledger(accounts: Ledger, *, sample: int = 0) -> Figure:
    """Σ R and Σ |R| over the layers, from the output down to the input (Montavon 2019, Fig. 13.2).

    Where Σ R falls, relevance stayed in biases or stabilisers; where Σ |R| grows far above it, evidence for and against
    cancel.

    Parameters
    ----------
    accounts : of an explanation with ledger=True; of several targets the first is drawn
    sample : which of the batch

    Raises
    ------
    ParameterError
        Where there is no such sample, or nothing was booked.
    """
    account = accounts.first()
    if not 0 <= sample < account.start.shape[0]:
        raise ParameterError(f"there is no sample {sample} in a ledger of {account.start.shape[0]}")
    nodes, net, absolute = _curves(account, sample)
    names = [printable(name) if len(name) <= _LONGEST else f"{printable(name[:_LONGEST])}…" for name in nodes]
    fig = figure(min(16.0, max(4.8, 0.62 * len(names) + 1.6)), 3.6, layout="constrained")
    axes = fig.add_subplot()
    at = np.arange(len(names))
    for values, name, colour, marker in ((absolute, "Σ |R|", _ABSOLUTE, "s"), (net, "Σ R", _NET, "o")):
        axes.plot(at, values, marker=marker, markersize=5, color=tuple(c / 255 for c in colour), label=name)
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if len(names) > 5 else {}
    axes.set_xticks(at, names, fontsize=9 if len(names) <= 24 else 6, **PLAIN, **slanted)
    axes.set_ylabel("relevance")
    axes.set_xlabel("at the output of …, from the explained score down", color=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    top, low = max([*net, *absolute, 0.0]), min([*net, *absolute, 0.0])
    axes.set_ylim(low - 0.05 * (top - low or 1), top + 0.08 * (top - low or 1))
    axes.legend(frameon=False)
    return fig


def _curves(account: Ledger, sample: int) -> tuple[list[str], list[float], list[float]]:
    """The places from the output down, with Σ R and Σ |R| at each."""
    entries = [e for i, e in enumerate(account) if i or not e.node.startswith("start at ")]
    if not entries:
        raise ParameterError("the ledger is empty: nothing was booked")

    def at(value: Any) -> float:
        return float(value[sample])

    net = [at(e.booking.arriving) for e in entries]
    absolute = [at(e.booking.arriving_abs) for e in entries]
    last = entries[-1].booking
    complete = np.isclose(at(last.inputs), at(account.relevance), rtol=1e-4, atol=1e-12)
    names = [e.node for e in entries] + ["input" if complete else f"below {entries[-1].node}"]
    return names, [*net, at(last.inputs)], [*absolute, at(last.inputs_abs)]
