"""The ledger: where every bit of relevance went, node by node, to the last entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .arrays import Array, frozen, is_exact, like
from .booking import AMOUNTS, COLUMNS, PLACES, Amounts, Booking, Entry, OpenEntry, account_table
from .forks import cached_property
from .lazy_dataclass import lazy_dataclass

__all__ = ["AMOUNTS", "COLUMNS", "PLACES", "Amounts", "Booking", "Entry", "Ledger", "OpenEntry", "account_table", "plain"]


@lazy_dataclass(frozen=True, eq=False)
class Ledger:
    """All bookings of an explanation, from the output down to the input.

    start = relevance + bias + stabiliser + unassigned + rounding, where the last four are sums over all nodes.

    Parameters
    ----------
    entries : one for each step, in the order of the backward pass
    start : the relevance that the explanation began with, Σ R of each sample, (N,) or (N, targets)
    relevance : what reached the inputs, Σ R over all of them, of the same shape
    wiring : for every node of the network that was explained the names of its inputs, where they are known
    """

    entries: tuple[Entry, ...]
    start: Array
    relevance: Array
    wiring: Mapping[str, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        for name in ("start", "relevance"):
            object.__setattr__(self, name, frozen(np.asarray(getattr(self, name))))

    @classmethod
    def of(
        cls,
        settle: Callable[[], tuple[tuple[Entry, ...], Array]],
        start: Array,
        wiring: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Ledger:
        """A ledger whose entries are computed when one is first read: most explanations are never asked for theirs.

        Parameters
        ----------
        settle : a function that gives the entries, in the order of the backward pass, and the relevance at the inputs; the same
            in every call
        start : the relevance at the start, Σ R of each sample, (N,) or (N, targets)
        wiring : the names of every node's inputs
        """
        made = object.__new__(cls)
        made.__dict__.update(_settle=settle, start=frozen(start), wiring=wiring)
        return made

    def __getattr__(self, name: str) -> Any:
        if name not in ("entries", "relevance") or "_settle" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        entries, relevance = self.__dict__["_settle"]()
        self.__dict__.update(entries=entries, relevance=frozen(relevance))
        return self.__dict__[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return Ledger, (self.entries, self.start, self.relevance, None if self.wiring is None else dict(self.wiring))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, node: str) -> Booking:
        from .errors import unknown

        if node not in self._bookings:
            raise unknown("node in the ledger", node, list(self._bookings))
        return self._bookings[node]

    @cached_property
    def _bookings(self) -> Mapping[str, Booking]:
        """The first booking of each node."""
        return {entry.node: entry.booking for entry in reversed(self.entries)}

    def first(self) -> Ledger:
        """The accounts of the first target alone, (N,) columns."""
        if self.start.ndim == 1:
            return self
        entries = tuple(Entry(entry.node, entry.rule, entry.booking.first()) for entry in self.entries)
        return Ledger(entries, self.start[:, 0], self.relevance[:, 0], self.wiring)

    def column(self, name: str) -> Array:
        """The sum of one column over all nodes.

        Parameters
        ----------
        name : of the column of a `Booking`, such as "bias" or "unassigned"

        Returns
        -------
        array (N,) or (N, targets)
        """
        total = self.start * like(0, self.start)
        return np.asarray(sum((getattr(entry.booking, name) for entry in self.entries), total))

    @property
    def bias(self) -> Array:
        """Relevance trapped in biases, over all nodes."""
        return self.column("bias")

    @property
    def stabiliser(self) -> Array:
        """Relevance absorbed by stabilisers, over all nodes."""
        return self.column("stabiliser")

    @property
    def unassigned(self) -> Array:
        """Relevance that no share took, over all nodes."""
        return self.column("unassigned")

    @property
    def rounding(self) -> Array:
        """What all accounts leave over."""
        return self.start - self.relevance - self.bias - self.stabiliser - self.unassigned

    def losses(self, sample: int = 0) -> tuple[tuple[str, str, float], ...]:
        """Where one sample's relevance (of its first target) stayed: (node, column, amount), the largest |amount| first.

        Columns are "bias", "stabiliser" and "unassigned"; what is 0 is left out. A negative amount was added to what flows on.

        Parameters
        ----------
        sample : the index of the sample in the batch
        """
        found = []
        for entry in self.first():
            for column in ("bias", "stabiliser", "unassigned"):
                amount = float(getattr(entry.booking, column)[sample])
                if amount:
                    found.append((entry.node, column, amount))
        return tuple(sorted(found, key=lambda loss: -abs(loss[2])))

    def growth(self, node: str) -> float:
        """Σ|R| handed on below by `node` over Σ|R| that arrived: the largest ratio over the samples.

        Parameters
        ----------
        node : its name

        Raises
        ------
        UnknownNameError
            Where the ledger has no entry of that node.
        """
        booking = self[node]
        arrived, left = booking.arriving_abs.astype(np.float64), booking.inputs_abs.astype(np.float64)
        ratios = left[arrived > 0] / arrived[arrived > 0]
        return float(ratios.max()) if ratios.size else 0.0

    def explosions(self, factor: float = 10.0) -> tuple[str, ...]:
        """Nodes that hand on more than `factor` times the Σ|R| that arrived (zennit's users ask to be warned).

        Parameters
        ----------
        factor : the growth, as `growth` measures it, beyond which a node is named
        """
        return tuple(entry.node for entry in self.entries if self.growth(entry.node) > factor)

    def compound_growth(self, node: str) -> float:
        """Σ|R| handed on below by `node` over that of the start: the largest ratio over the samples.

        Growth that no single node shows compounds over a deep network.

        Parameters
        ----------
        node : its name

        Raises
        ------
        UnknownNameError
            Where the ledger has no entry of that node.
        """
        started = self.entries[0].booking.arriving_abs.astype(np.float64)
        ratios = self[node].inputs_abs.astype(np.float64)[started > 0] / started[started > 0]
        return float(ratios.max()) if ratios.size else 0.0

    @property
    def flags(self) -> tuple[str, ...]:
        """All remarks, each with its node: those of the rules, explosions, and where growth has compounded to tenfold."""
        remarks = [f"{entry.node}: {flag}" for entry in self.entries for flag in entry.booking.flags]
        remarks += [f"{node}: Σ|R| grows {self.growth(node):.3g}-fold here" for node in self.explosions()]
        grown = [node for node in dict.fromkeys(entry.node for entry in self.entries) if self.compound_growth(node) > 10]
        if grown:
            top = max(grown, key=self.compound_growth)
            ends = f"by {grown[0]} for the first time, and to {self.compound_growth(top):.3g} times it at {top}"
            remarks.append(f"Σ|R| has grown to more than ten times that of the start: {ends}")
        return tuple(remarks)

    def rows(self) -> list[dict[str, Any]]:
        """The table as a list of plain dictionaries, numbers as (nested) lists."""
        return [
            {
                "node": entry.node,
                "rule": entry.rule,
                **{name: plain(getattr(entry.booking, name)) for name in (*COLUMNS, "rounding", *AMOUNTS)},
                "flags": list(entry.booking.flags),
            }
            for entry in self.entries
        ]

    def to_json(self, indent: int | None = None) -> str:
        """The ledger as JSON; rationals become strings such as "7/3".

        Parameters
        ----------
        indent : spaces per level of nesting, as `json.dumps` has it; None: all on one line
        """
        import json  # here and not above: importing lrp_ref must stay cheap

        totals = {
            name: plain(getattr(self, name)) for name in ("start", "relevance", "bias", "stabiliser", "unassigned", "rounding")
        }
        return json.dumps({"format": "lrp_ref.ledger", "version": 1, "totals": totals, "entries": self.rows()}, indent=indent)

    def _lines(self, sample: int = 0) -> list[list[str]]:
        head = ["node", "rule", *COLUMNS, "rounding", "Σ|R|"]
        lines = [head]
        for entry in self.entries:
            values = [getattr(entry.booking, name) for name in (*COLUMNS, "rounding", "inputs_abs")]
            lines.append([entry.node, entry.rule, *(_cell(v, sample) for v in values)])
        totals = [self.start, self.relevance, self.bias, self.stabiliser, self.unassigned, self.rounding]
        return [*lines, ["total", "", *(_cell(v, sample) for v in totals), ""]]

    def table(self, sample: int = 0) -> str:
        """The ledger of one sample (of its first target) as text.

        Parameters
        ----------
        sample : the index of the sample in the batch
        """
        if self.start.shape[0] == 0:
            return "Ledger of an empty batch"
        lines = self._lines(sample)
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        ]
        return "\n".join([text[0], "-" * len(text[0]), *text[1:-1], "-" * len(text[0]), text[-1], *self.flags])

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        from html import escape

        if self.start.shape[0] == 0:
            return "<p>Ledger of an empty batch</p>"
        head, *rows = self._lines()
        cells = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:{'left' if i < 2 else 'right'}'>{escape(c)}</td>" for i, c in enumerate(row))
            + "</tr>"
            for row in rows
        )
        titles = "".join(f"<th>{escape(title)}</th>" for title in head)
        notes = "".join(f"<li>{escape(flag)}</li>" for flag in self.flags)
        return f"<table><thead><tr>{titles}</tr></thead><tbody>{cells}</tbody></table><ul>{notes}</ul>"


def plain(array: Array) -> Any:
    """`array` as (nested) lists of floats, or of strings where it holds rationals.

    Parameters
    ----------
    array : floats, integers or rationals of any shape
    """
    return np.vectorize(str, otypes=[object])(array).tolist() if is_exact(array) else array.tolist()


def _cell(array: Array, sample: int) -> str:
    value = np.asarray(array[sample]).reshape(-1)[0]
    return str(value) if is_exact(array) else f"{float(value):.6g}"
