"""Relevance that is pooled over groups of features, as bars or as a pie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError, ShapeError, unknown
from ..propagate.explanation import Explanation
from .canvas import PLAIN, figure, printable, write_facts
from .colours import NEGATIVE, POSITIVE
from .maps import caption_of, labels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("bars", "pie")
_MOST_PIECES = 12


def pooled(
    explanation: Explanation,
    groups: Any,
    *,
    names: Sequence[str] | None = None,
    kind: str = "bars",
    sample: int = 0,
    labels: Sequence[str] | None = None,
    name: str | None = None,
) -> Figure:
    """Σ R of each group of features (Montavon et al. 2018, §4.4), as bars, or as the pieces of a pie.

    Parameters
    ----------
    explanation : of one target
    groups : integer labels that broadcast against one sample, as `Explanation.coarsen` takes them
    names : of the groups
    kind : "bars", or "pie", which has no negative pieces
    sample : which of the batch
    labels : the names of the classes
    name : of an input or a kept node; None: the only input

    Raises
    ------
    ParameterError
        Where there is no such sample, several targets, a pie with a negative group, with nothing or with more pieces than can be
        told apart.
    ShapeError
        Where there is another number of names, or the groups do not fit.
    UnknownNameError
        Where there is no such kind.
    """
    if kind not in KINDS:
        raise unknown("kind of picture", kind, KINDS)
    if not 0 <= sample < len(explanation):
        raise ParameterError(f"there is no sample {sample} in an explanation of {len(explanation)}")
    if explanation.several:
        raise ParameterError("groups are drawn of one target")
    sums = np.asarray(explanation.coarsen(groups, name)[sample], dtype=np.float64).reshape(-1)
    if names is not None and len(names) != sums.size:
        raise ShapeError(f"{len(names)} names for {sums.size} groups")
    words = [printable(str(one)) for one in (range(sums.size) if names is None else names)]
    target = None if explanation.target is None else int(explanation.target[sample])
    value = float(explanation.value[sample])
    caption = caption_of(target, value, explanation.prediction[sample], labels_of(explanation, labels))
    fig = figure(7.0, 2.2 + 0.28 * sums.size if kind == "bars" else 4.6, layout="constrained")
    axes = fig.add_subplot()
    (_draw_bars if kind == "bars" else _draw_pie)(axes, sums, words)
    axes.set_title(", ".join(caption.splitlines()), fontsize=10, **PLAIN)
    write_facts(fig, explanation, sample)
    return fig


def _unit(colour: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(c / 255 for c in colour)


def _draw_bars(axes: Any, sums: Any, words: list[str]) -> None:
    at = np.arange(sums.size)
    colours = [_unit(POSITIVE[3] if value >= 0 else NEGATIVE[3]) for value in sums]
    axes.barh(at, sums, color=colours)
    axes.set_yticks(at, words, fontsize=9, **PLAIN)
    axes.invert_yaxis()
    axes.axvline(0, color="0.6", linewidth=0.6)
    axes.set_xlabel("Σ R of the group")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_pie(axes: Any, sums: Any, words: list[str]) -> None:
    if (sums < 0).any() or not sums.any() or sums.size > _MOST_PIECES:
        what = "a negative piece" if (sums < 0).any() else "nothing to share" if not sums.any() else f"{sums.size} pieces"
        raise ParameterError(f"a pie of {what} cannot be read; kind='bars' draws it")
    shades = np.linspace(0.9, 0.35, sums.size)
    base = np.array(_unit(POSITIVE[4]))
    colours = [tuple(1 - (1 - base) * shade) for shade in shades]
    texts = axes.pie(sums, labels=words, colors=colours, autopct="%.0f %%", startangle=90, counterclock=False)[1]
    for text in texts:
        text.set_parse_math(False)
