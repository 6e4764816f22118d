"""What one node accounts for: the relevance that arrived, and where it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from .arrays import Array, frozen, like, per_sample
from .lazy_dataclass import lazy_dataclass

COLUMNS = ("arriving", "inputs", "bias", "stabiliser", "unassigned")
AMOUNTS = ("turnover", "arriving_abs", "inputs_abs")
#: Where each is in `Booking.of`.
PLACES = {name: place for place, name in enumerate((*COLUMNS, *AMOUNTS))}
_NONE: Mapping[str, Array] = MappingProxyType({})


def account_table(arriving: Array, *others: Array) -> Array:
    """The table of `Booking.of`, (…, 8): COLUMNS and AMOUNTS, in this order, on a new last axis.

    Parameters
    ----------
    arriving : the first column, (…), whose number type the table has
    others : the other seven columns, "inputs" to "inputs_abs", each of the shape of `arriving`
    """
    made = np.empty((*arriving.shape, len(PLACES)), arriving.dtype)
    for place, column in enumerate((arriving, *others)):
        made[..., place] = column
    return made


@lazy_dataclass(frozen=True, eq=False)
class Booking:
    r"""What one step accounts for, per sample (arrays of shape (N,), or (N, targets)).

    .. math:: \sum_k R_k = \sum_j R_j + \text{bias} + \text{stabiliser} + \text{unassigned}

    holds identically in rationals; in floats up to `rounding`, which is at most 4·n·u·`turnover` with
    n = 1 + max(fan-in, fan-out) and u the unit round-off.

    Attributes
    ----------
    arriving : Σ_k R_k, what arrived from above
    inputs : Σ_j R_j, what was handed on below
    bias : the share of the bias neuron, which is trapped there
    stabiliser : what an ε absorbed
    unassigned : what no living share took: empty pools, zero denominators, filtered or padded-away relevance
    turnover : Σ|R_k| + Σ|R_{j←k}| + Σ|bias shares|, the amount that moved
    arriving_abs, inputs_abs : Σ_k |R_k| and Σ_j |R_j|, the same without their signs
    flags : remarks, such as a rule used outside its domain
    details : parts of the columns by name, such as a recurrent layer's "bias" per time step, (N, T); several targets are the
        second axis here too
    """

    arriving: Array
    inputs: Array
    bias: Array
    stabiliser: Array
    unassigned: Array
    turnover: Array
    arriving_abs: Array
    inputs_abs: Array
    flags: tuple[str, ...] = ()
    details: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*COLUMNS, *AMOUNTS):
            object.__setattr__(self, name, frozen(np.asarray(getattr(self, name))))
        object.__setattr__(self, "details", _read_only(self.details))

    @classmethod
    def of(cls, columns: Array, flags: tuple[str, ...] = (), details: Mapping[str, Array] = _NONE) -> Booking:
        """A booking from one table: the arrays of COLUMNS and AMOUNTS, in this order, on its last axis.

        Networks have many nodes, and few of their accounts are looked at: a column is taken from the table when it is read.

        Parameters
        ----------
        columns : the table, (N, 8) or (N, targets, 8); `account_table` makes one
        flags : remarks, such as a rule used outside its domain
        details : parts of the columns by name, each with the batch axis first
        """
        made = object.__new__(cls)
        made.__dict__.update(_columns=columns, flags=flags, details=_read_only(details))
        return made

    @classmethod
    def unchanged(cls, amounts: Amounts, flags: tuple[str, ...] = ()) -> Booking:
        """The booking of a step that hands on what arrived: every column follows from Σ R and Σ|R|, and is made when it is read.

        Parameters
        ----------
        amounts : Σ R and Σ|R| of what arrived, (N,) or (N, targets) each
        flags : remarks, such as a rule used outside its domain
        """
        made = object.__new__(cls)
        made.__dict__.update(_amounts=amounts, flags=flags, details=_NONE)
        return made

    def _table(self) -> Array | None:
        """All columns as one array; None where they were given one by one."""
        held = self.__dict__
        if "_columns" not in held and "_amounts" in held:
            R, sizes = held["_amounts"]
            columns = np.zeros((*R.shape, len(PLACES)), R.dtype)
            columns[..., :2] = R[..., None]
            columns[..., PLACES["turnover"]] = sizes + sizes
            columns[..., 6:] = sizes[..., None]
            held["_columns"] = columns
        found: Array | None = held.get("_columns")
        return found

    def __getattr__(self, name: str) -> Any:
        place = PLACES.get(name)
        columns = None if place is None else self._table()
        if columns is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found = self.__dict__[name] = frozen(columns[..., place])
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that copies are read-only again; a read-only mapping has no copy of its own.
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"details": dict(self.details)}
        return Booking, tuple(values.values())

    @property
    def rounding(self) -> Array:
        """What the columns leave over: exactly 0 in rationals."""
        return self.arriving - self.inputs - self.bias - self.stabiliser - self.unassigned

    @classmethod
    def handed_on(
        cls,
        relevance: Array,
        relevances: tuple[Array, ...],
        *,
        messages: tuple[Array, ...] | None = None,
        bias: Array | None = None,
        stabiliser: Array | None = None,
        unassigned: Array | None = None,
        flags: tuple[str, ...] = (),
    ) -> Booking:
        """The booking of a step that hands relevance on: its turnover is what arrived plus what left.

        Parameters
        ----------
        relevance : R_k, what arrived from above, (N, …)
        relevances : R_j of each input, (N, …)
        messages : R_{j←k} in any arrangement, where several of them add up to one R_j; None: they are `relevances` themselves
        bias, stabiliser, unassigned : where the rest went, as in a `Booking`, but arrays (N, …) that are summed here; None: 0
        flags : remarks, such as a rule used outside its domain
        """
        arriving = per_sample(relevance)
        none = arriving * like(0, arriving)
        trapped, absorbed, lost = (none if value is None else per_sample(value) for value in (bias, stabiliser, unassigned))
        known: dict[int, Array] = {}  # an array is often relevance and message in one

        def size(part: Array) -> Array:
            found = known.get(id(part))
            if found is None:
                found = known[id(part)] = per_sample(abs(part))
            return found

        arriving_abs = size(relevance)
        inputs = sum((arriving if r is relevance else per_sample(r) for r in relevances), none)
        moved = relevances if messages is None else messages
        turnover = sum((size(part) for part in (moved if bias is None else (*moved, bias))), arriving_abs)
        inputs_abs = sum((size(r) for r in relevances), none)
        return cls.of(account_table(arriving, inputs, trapped, absorbed, lost, turnover, arriving_abs, inputs_abs), flags)

    def amounts(self) -> Amounts:
        """Σ R and Σ|R| of what arrived."""
        if "_amounts" in self.__dict__:
            known: Amounts = self.__dict__["_amounts"]
            return known
        columns = self._table()
        if columns is None:
            return self.arriving, self.arriving_abs
        return columns[..., PLACES["arriving"]], columns[..., PLACES["arriving_abs"]]

    def first(self) -> Booking:
        """The accounts of the first target alone."""
        details = {name: part[:, 0] for name, part in self.details.items()}
        columns = self._table()
        if columns is not None:
            return Booking.of(columns[:, 0], self.flags, details)
        return Booking(**{name: getattr(self, name)[:, 0] for name in (*COLUMNS, *AMOUNTS)}, flags=self.flags, details=details)

    @classmethod
    def stacked(cls, bookings: list[Booking]) -> Booking:
        """The bookings of several targets as one, whose arrays have the targets as their second axis, (N, targets).

        Parameters
        ----------
        bookings : one for each target, each with arrays (N,); at least one
        """
        flags = tuple(dict.fromkeys(flag for b in bookings for flag in b.flags))
        details = {name: np.stack([b.details[name] for b in bookings], axis=1) for name in bookings[0].details}
        tables = [whole for b in bookings if (whole := b._table()) is not None]
        if len(tables) == len(bookings):
            return cls.of(tables[0][:, None] if len(tables) == 1 else np.stack(tables, axis=1), flags, details)
        columns = {name: np.stack([getattr(b, name) for b in bookings], axis=1) for name in (*COLUMNS, *AMOUNTS)}
        return cls(**columns, flags=flags, details=details)


def _read_only(parts: Mapping[str, Array]) -> Mapping[str, Array]:
    return MappingProxyType({name: frozen(np.asarray(part)) for name, part in parts.items()}) if parts else _NONE


@lazy_dataclass(frozen=True, eq=False)
class Entry:
    """One line of the ledger: a node, the rule that served it, and its booking.

    Parameters
    ----------
    node : the node's name; "start at …" where the start itself is booked
    rule : the rule as text, with all its parameters
    booking : what the node accounts for, per sample
    """

    node: str
    rule: str
    booking: Booking


#: What a message amounts to, Σ R and Σ|R|, (N, targets) each.
Amounts: TypeAlias = tuple[Array, Array]


@lazy_dataclass(frozen=True, eq=False)
class OpenEntry:
    """An entry of which it is not yet known what its messages amount to: that is found where they arrive.

    Attributes
    ----------
    node, rule : as those of an entry
    columns : those of `Booking.of`, (N, targets, 8), with "inputs" and "inputs_abs" left 0; None: relevance passes unchanged, so
        that what arrived is what is handed on
    flags : remarks
    details : those of the booking; None: it has none
    adds : whether the turnover lacks what is handed on: where a layer is not one sum, its messages are told from its terms
    """

    node: str
    rule: str
    columns: Array | None = None
    flags: tuple[str, ...] = ()
    details: Mapping[str, Array] | None = None
    adds: bool = False

    def settled(self, inputs: Array, sizes: Array) -> Array:
        """The table of an entry that has `columns`, (N, targets, 8), completed by what was handed on; a copy.

        Parameters
        ----------
        inputs, sizes : Σ R and Σ|R| of the messages that the step handed on, (N, targets) each
        """
        assert self.columns is not None
        columns = self.columns.copy()
        columns[..., PLACES["inputs"]], columns[..., PLACES["inputs_abs"]] = inputs, sizes
        if self.adds:
            columns[..., PLACES["turnover"]] += sizes
        return columns

    def entry(self, columns: Array, single: bool) -> Entry:
        """The entry of the ledger, with its table completed.

        Parameters
        ----------
        columns : the table that `settled` gives, (N, targets, 8)
        single : whether one target was asked for: the entry then has no axis of targets
        """
        details = self.details or _NONE
        if single:
            columns = columns[:, 0]
            details = {name: part[:, 0] for name, part in details.items()} if details else _NONE
        return Entry(self.node, self.rule, Booking.of(columns, self.flags, details))

    def unchanged(self, amounts: Amounts, single: bool) -> Entry:
        """The entry of the ledger of a step without `columns`, which hands on what arrived.

        Parameters
        ----------
        amounts : Σ R and Σ|R| of what arrived, (N, targets) each
        single : whether one target was asked for: the entry then has no axis of targets
        """
        here = (amounts[0][:, 0], amounts[1][:, 0]) if single else amounts
        return Entry(self.node, self.rule, Booking.unchanged(here, self.flags))
