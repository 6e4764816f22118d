"""What a row of the table is made of: lines of ours beside a yardstick, from one run in which the contenders take turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from timing import Others, alternate

import lrp_ref

#: Begins the remark of a row that must not pass for measured.
FAILED = "FAILED"


@dataclass(frozen=True)
class Setting:
    """What the rows are measured under.

    Attributes
    ----------
    threads : ours and the yardsticks'
    rounds : None: as many as the row wants
    backend : ours; what is not built yet can be stood in for
    size : cells of an image's side
    squeezenet : the network's file
    wheel : a wheel that is there already
    """

    threads: int = 2
    rounds: int | None = None
    backend: str = "compiled"
    size: int = 224
    squeezenet: str | None = None
    wheel: str | None = None

    def explainer(self, model: lrp_ref.Model, composite: Any = None, **choices: Any) -> lrp_ref.Explainer:
        """One of ours."""
        return lrp_ref.Explainer(model, composite, backend=self.backend, **{"threads": self.threads} | choices)


@dataclass(frozen=True)
class Line:
    """One line: `figure` is what is compared, with `must` and `aim`; `more` says whether larger is better."""

    work: str
    ours: str
    yardstick: str
    ratio: str
    figure: float | None
    more: bool
    must: float | None = None
    aim: float | None = None
    unit: str = "×"

    @property
    def met(self) -> str:
        """The best of the limits that the figure keeps."""
        if self.figure is None:
            return "not measured"
        for name, limit in (("aim", self.aim), ("must", self.must)):
            if limit is not None and (self.figure >= limit if self.more else self.figure <= limit):
                return name
        return "NO" if self.must is not None else "–"

    def cells(self) -> list[str]:
        """The line of the table."""
        sign = "≥" if self.more else "≤"
        limits = ["–" if limit is None else f"{sign} {limit:g}{_spaced(self.unit)}" for limit in (self.must, self.aim)]
        return [self.work, self.ours, self.yardstick, self.ratio, *limits, self.met]


def _spaced(unit: str) -> str:
    return unit if unit == "×" else f" {unit}"


@dataclass(frozen=True)
class Want:
    """A line of a row: ours against the yardstick, how large the ratio must be, and whether it is theirs / ours (`more`)."""

    yardstick: str
    must: float | None = None
    aim: float | None = None
    more: bool = True
    ours: str = "ours"
    unit: str = "×"


@dataclass(frozen=True)
class Found:
    """A row's lines, and what else there is to say."""

    lines: tuple[Line, ...]
    remarks: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"lines": [asdict(line) | {"met": line.met} for line in self.lines], "remarks": self.remarks}


def milliseconds(seconds: float) -> str:
    """Three digits."""
    value = 1e3 * seconds
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def side_by_side(
    setting: Setting,
    work: str,
    contenders: dict[str, Callable[[], Any] | None],
    wants: list[Want],
    rounds: int,
    least: float = 0.0,
) -> Found:
    """One alternating run; a line for each want. Contenders that are None are left out, and said so."""
    runs = {name: run for name, run in contenders.items() if run is not None}
    remarks = [f"{name} is not installed" for name in contenders if name not in runs]
    others, begun = Others(), time.perf_counter()
    found = alternate(runs, setting.rounds or rounds, least=least, pause=0.05)
    used = others.said(time.perf_counter() - begun)
    lines = [_line(work, found, want) for want in wants]
    figures = "; ".join(f"{n} {milliseconds(f[0])} / {milliseconds(f[1])} / {milliseconds(f[2])}" for n, f in found.items())
    remarks.append(f"least wall / median wall / least CPU: {figures}")
    remarks.append(used)
    return Found(tuple(lines), tuple(remarks))


def _line(work: str, found: dict[str, tuple[float, float, float]], want: Want) -> Line:
    work = work if want.ours == "ours" else f"{work}, {want.ours}"
    ours = milliseconds(found[want.ours][1])
    if want.yardstick not in found:
        return Line(work, ours, f"{want.yardstick}: not installed", "", None, want.more, want.must, want.aim)
    pairs = list(zip(found[want.yardstick], found[want.ours], strict=True))
    ratios = [theirs / own if want.more else own / theirs for theirs, own in pairs]
    shown = f"{ratios[1]:.2f} (least {ratios[0]:.2f}, CPU {ratios[2]:.2f})"
    theirs = f"{want.yardstick} {milliseconds(found[want.yardstick][1])}"
    return Line(work, ours, theirs, shown, ratios[1], want.more, want.must, want.aim, want.unit)


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """How far two maps lie apart, in L1 relative to the second: a yardstick that computes something else is none."""
    return float(np.abs(ours - theirs).sum() / np.abs(theirs).sum())
