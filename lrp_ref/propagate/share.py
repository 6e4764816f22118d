"""How much of an explained value arrives at the inputs, and what is worth saying about it (`CONV-SHARE`)."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Ledger

#: Shares below and above which there is a remark.
LITTLE, MUCH = 0.05, 2.0
_NODES = 3  # that a remark names
_KEPT = ("bias", "stabiliser", "unassigned")
_PLACES = {"bias": "in its bias", "stabiliser": "in its stabiliser", "unassigned": "unassigned"}
_POOLS = ("AlphaBeta", "ZPlus")  # rules whose pools may be empty
_CONSTANT = ("ConstantDeviation", "ConstantStatistics")  # whose bias is the shift of a normalisation
#: For each column of the ledger what keeps less in it, in the library and on the command line.
_LESS = {
    "bias": 'z⁺ has no bias and keeps nothing in it: rule=rules.ZPlus(), or --rule "*=ZPlus()"',
    "stabiliser": 'a smaller ε keeps less: rule=rules.Zero() has none, nor has --rule "*=Zero()"',
    "unassigned": 'an ε-rule has no empty pools: rule=rules.Epsilon(), or --rule "*=Epsilon()"',
}


def share_arrived(total: Array, value: Array, doubt: Array | None) -> Array:
    """Σ R / value as floats, NaN where the value is 0 or no larger than its own rounding."""
    known = value != 0
    if doubt is not None:
        known = known & (abs(value.astype(np.float64)) > doubt)
    one = value * 0 + 1
    # Rationals are divided as such.
    return np.where(known, (total / np.where(known, value, one)).astype(np.float64), np.nan)


def stated(share: Array | None, sample: int) -> str:
    """How much of the values of one sample arrives, in words; nothing for a given start."""
    if share is None:
        return ""
    low, high = (percent(float(pick(np.atleast_1d(share[sample])))) for pick in (np.min, np.max))
    return f"{low} of the value arrives" if low == high else f"{low} to {high} of the values arrive"


def percent(share: float) -> str:
    """A share for people: 1.56 %."""
    return "undefined" if np.isnan(share) else f"{100 * share + 0.0:.3g} %"  # −0 is 0


def remarks(share: Array | None, value: Array, ledger: Ledger | None, sample: int | None = None) -> tuple[str, ...]:
    """A text for each kind of share that should not go unnoticed: the other sign, under 5 %, over 200 %.

    Parameters
    ----------
    share, value : (N,) or (N, T), what `share_arrived` found of which values
    ledger : names the nodes that kept the rest
    sample : the one that is looked at; None: all
    """
    if share is None:
        return ()
    wide = share if share.ndim == 2 else share[:, None]
    if sample is not None:
        wide = np.where((np.arange(len(wide)) == sample)[:, None], wide, np.nan)
    kinds = (("other", wide < 0, 1), ("little", (wide >= 0) & (wide < LITTLE), 1), ("much", wide > MUCH, -1))
    return tuple(_remark(wide, value, ledger, kind, found, sign) for kind, found, sign in kinds if found.any())


def _remark(share: Array, value: Array, ledger: Ledger | None, kind: str, is_kind: Array, sign: int) -> str:
    """What is said of the worst of the explanations of one kind."""
    flat = int(np.argmin(np.where(is_kind, sign * share, np.inf)))
    n, t = (int(i) for i in np.unravel_index(flat, share.shape))
    amount = percent(float(share[n, t]))
    text = {
        "other": f"the relevance that arrives at the inputs has the other sign than the value: {amount} of it",
        "little": f"only {amount} of the value arrives at the inputs",
        "much": f"{amount} of the value arrives at the inputs",
    }[kind]
    known = int((~np.isnan(share)).sum())
    if known > 1:
        where = f"sample {n}" + (f", its target number {t}" if share.shape[1] > 1 else "")
        text = f"{text} at {where}, the worst of {int(is_kind.sum())} such in {known}"
    return f"{text}; {_reason(value, ledger, n, t)}"


@lazy_dataclass(frozen=True)
class _Keeper:
    """A node, its rule, and what it kept of a value in which column."""

    node: str
    rule: str
    amount: float
    column: str

    def of(self, value: float) -> str:
        """What the node did to the value, in words."""
        part = self.amount / value
        return f"{self.node} {'keeps' if part > 0 else 'adds'} {percent(abs(part))} {_PLACES[self.column]}"

    @property
    def less(self) -> str:
        """What would keep less, where one is known."""
        kind = self.rule.partition("(")[0]
        others = {"bias": kind in _CONSTANT or self.node.startswith("start at "), "unassigned": kind not in _POOLS}
        return "" if others.get(self.column, False) else _LESS[self.column]


def _reason(values: Array, ledger: Ledger | None, n: int, t: int) -> str:
    """The nodes that kept the rest, and what would keep less."""
    if ledger is None:
        return "ledger=True names the nodes that keep the rest"
    value = float(np.atleast_1d(values[n])[t])
    keepers = _keepers(ledger, n, t)
    if not keepers:
        return "no node keeps the rest: it is rounding"
    parts = (", ".join(keeper.of(value) for keeper in keepers), keepers[0].less)
    return "; ".join(part for part in parts if part)


def _keepers(ledger: Ledger, n: int, t: int) -> list[_Keeper]:
    """The nodes that kept most, until four fifths of all that was kept are named; at most three."""
    keepers = []
    for entry in ledger:
        columns = {name: getattr(entry.booking, name) for name in _KEPT}
        amounts = {name: float(np.atleast_1d(a[n])[t]) for name, a in columns.items()}
        column = max(amounts, key=lambda name: abs(amounts[name]))
        keepers.append(_Keeper(entry.node, entry.rule, sum(amounts.values()), column))
    keepers.sort(key=lambda keeper: -abs(keeper.amount))
    whole = sum(abs(keeper.amount) for keeper in keepers)
    named: list[_Keeper] = []
    for keeper in keepers[:_NODES]:
        if abs(keeper.amount) <= 0.05 * whole or sum(abs(k.amount) for k in named) >= 0.8 * whole:
            break
        named.append(keeper)
    return named
