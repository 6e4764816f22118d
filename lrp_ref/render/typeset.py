"""Words coloured by their relevance, as a picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ParameterError
from .canvas import GREY, colour_scale, figure, printable
from .readings import Reading, colours_of, on_scale, scale_note, signed_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Readings that one picture holds; a page has no limit.
MOST_READINGS = 100
_POINTS, _SMALL = 11.0, 7.5
_CHARACTER = 0.602 * _POINTS / 72  # inches: DejaVu Sans Mono, which comes with matplotlib
_LINE, _NUMBERS, _HEAD = 0.30, 0.15, 0.42  # inches


def sentences(
    readings: Sequence[Reading],
    *,
    title: str = "",
    numbers: bool = False,
    width: float = 9.0,
    scale: str = "page",
    percentile: float | None = None,
) -> Figure:
    """Sentences whose words are coloured by their relevance, as a picture.

    Parameters
    ----------
    readings : what `readings` returned, of one sentence or of at most `MOST_READINGS`
    title : above everything
    numbers : whether each word has its relevance below it
    width : inches; a sentence that is wider goes on in another line
    scale : "page": one scale for all sentences; "sentence": each has its own
    percentile : of |R| of the words: what takes the full colour; None: as `on_scale` has it

    Raises
    ------
    ParameterError, UnknownNameError
        Where there is no sentence, or too many, no such scale, or the percentile is out of its range.
    """
    readings = on_scale(readings, scale, percentile)
    if not 0 < len(readings) <= MOST_READINGS:
        raise ParameterError(f"a picture holds 1 to {MOST_READINGS} sentences, found {len(readings)}; html() has no limit")
    across = int((width - 0.4) / _CHARACTER)
    lines = [_picture_lines(one, across, numbers) for one in readings]
    line = _LINE + (_NUMBERS if numbers else 0)
    height = 0.75 + 0.4 * bool(title) + sum(_HEAD + line * len(rows) for rows in lines)
    fig = figure(width, height)
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    if title:
        axes.text(0.2, 0.3, printable(title), fontsize=12, parse_math=False)
    y = 0.1 + 0.4 * bool(title)
    for one, rows in zip(readings, lines, strict=True):
        axes.text(0.2, y + _HEAD - 0.1, printable(one.caption), fontsize=8.5, color=GREY, parse_math=False)
        y += _HEAD
        for row in rows:
            _draw_line(axes, one, row, y, numbers)
            y += line
    _draw_bar(fig, width, height, scale_note(scale, percentile))
    return fig


def _cells(text: str) -> int:
    """How many characters wide a text is set; those of East Asian scripts take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _picture_lines(reading: Reading, across: int, numbers: bool) -> list[list[tuple[int, int, int]]]:
    """(word, column, width) by line, broken where the next word would leave the picture."""
    lines: list[list[tuple[int, int, int]]] = [[]]
    column = 0
    for i, word in enumerate(reading.words):
        # Numbers are smaller than words by 7.5 to 11, and need a gap.
        number = round(0.7 * len(signed_number(float(reading.relevance[i])))) + 1 if numbers else 0
        wide = max(_cells(printable(word)), number)
        if column and column + wide > across:
            lines.append([])
            column = 0
        lines[-1].append((i, column, wide))
        column += wide + 1
    return lines


def _draw_line(axes: Axes, reading: Reading, row: list[tuple[int, int, int]], y: float, numbers: bool) -> None:
    from matplotlib.patches import Rectangle

    colours = colours_of(reading)
    for i, column, wide in row:
        colour, dark = colours[i]
        left, size = 0.2 + column * _CHARACTER, wide * _CHARACTER
        pad = 0.45 * _CHARACTER
        background = tuple(c / 255 for c in colour)
        axes.add_patch(Rectangle((left - pad, y), size + 2 * pad, _LINE - 0.06, facecolor=background, edgecolor="0.85", lw=0.4))
        style: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
        ink = "white" if dark else "black"
        word, face = printable(reading.words[i]), "DejaVu Sans Mono"
        axes.text(left + size / 2, y + 0.12, word, family=face, fontsize=_POINTS, color=ink, **style)
        if reading.underlined(i):
            axes.plot((left, left + size), (y + 0.215, y + 0.215), color=ink, linewidth=0.8)
        if numbers:
            text = signed_number(float(reading.relevance[i]))
            axes.text(left + size / 2, y + _LINE + 0.02, text, fontsize=_SMALL, color=GREY, **style)


def _draw_bar(fig: Figure, width: float, height: float, most: str) -> None:
    bar = fig.add_axes((0.2 / width, 0.36 / height, 3.2 / width, 0.13 / height))
    fig.colorbar(colour_scale(1.0), cax=bar, orientation="horizontal", ticks=[-1, 0, 1])
    bar.set_xticklabels(("against", "0", "for"), fontsize=8)
    first, _, last = bar.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    bar.tick_params(length=0)
    fig.text(3.6 / width, 0.36 / height, f"full colour: {most}", fontsize=8, color=GREY)
