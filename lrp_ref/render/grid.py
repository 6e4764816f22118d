"""Many small maps side by side: samples down, ways to explain them across."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import ShapeError
from .canvas import GREY, PLAIN, as_image, colour_scale, figure
from .colours import heatmap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = 0.86  # inches
_GAP = 0.08  # of a cell
_PIXELS = 96  # of a cell on the canvas


def grid(
    inputs: Sequence[Any],
    relevances: Sequence[Sequence[Any]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    groups: Sequence[tuple[str, int]] = (),
    title: str = "",
) -> Figure:
    """Inputs down, and for each of them a row of heatmaps, each on a symmetric scale of its own.

    Parameters
    ----------
    inputs : one sample (C, H, W) or (H, W) for each row
    relevances : for each row one map for each column, of the sample's shape
    rows, columns : the labels
    groups : headings above the columns: (text, how many columns it spans), from the left
    title : above everything

    Raises
    ------
    ShapeError
        Where the numbers of labels and maps differ.
    """
    widths = {len(row) for row in relevances}
    if not len(rows) == len(inputs) == len(relevances) or widths - {len(columns)}:
        raise ShapeError(
            f"{len(rows)} × {len(columns)} labels need as many maps, found {len(inputs)} inputs and rows of {sorted(widths)} maps"
        )
    cells = [[as_image(x), *(heatmap(r) for r in row)] for x, row in zip(inputs, relevances, strict=True)]
    across, down = len(columns) + 1, len(rows)
    left, right, bottom = 0.25 + 0.078 * _longest(rows), 0.15, 0.75
    top = 0.1 + 0.16 * _lines(columns) + 0.35 * bool(groups) + 0.3 * bool(title)
    width, height = left + across * _CELL + right, top + down * _CELL + bottom
    fig = figure(width, height)
    axes = fig.add_axes((left / width, bottom / height, across * _CELL / width, down * _CELL / height))
    axes.imshow(_canvas(cells), interpolation="nearest", aspect="auto", extent=(0, across, down, 0))
    _label(axes, rows, ("input", *columns), groups)
    if title:
        fig.text(0.5, 1 - 0.1 / height, title, ha="center", va="top", fontsize=12, **PLAIN)
    wide = len(columns) * _CELL > 6.5  # the words fit beside each other
    begin = left + _CELL if wide else left
    bar = fig.add_axes((begin / width, 0.42 / height, 1 - (begin + right) / width, 0.14 / height))
    fig.colorbar(colour_scale(1.0), cax=bar, orientation="horizontal", ticks=[-1, 0, 1])
    ends = (
        ("−max |R| of each map: against the class", "+max |R| of each map: for the class") if wide else ("−max |R|", "+max |R|")
    )
    bar.set_xticklabels((ends[0], "0", ends[1]), fontsize=9)
    first, _, last = bar.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    return fig


def _longest(labels: Sequence[str]) -> int:
    """The characters of the longest line; at least those of short labels, so that pictures look alike."""
    return max(8, *(len(line) for label in labels for line in label.splitlines())) if labels else 8


def _lines(labels: Sequence[str]) -> int:
    return max([1, *(len(label.splitlines()) for label in labels)])


def _canvas(cells: list[list[Array]]) -> Array:
    """One white picture of all cells, framed in light grey so that a white map keeps its outline."""
    inner = round(_PIXELS * (1 - _GAP))
    pad = (_PIXELS - inner) // 2
    canvas = np.full((len(cells) * _PIXELS, len(cells[0]) * _PIXELS, 3), 255, dtype=np.uint8)
    for r, row in enumerate(cells):
        for c, image in enumerate(row):
            y, x = r * _PIXELS + pad, c * _PIXELS + pad
            canvas[y - 1 : y + inner + 1, x - 1 : x + inner + 1] = 205
            canvas[y : y + inner, x : x + inner] = _resized(image, inner)
    return canvas


def _resized(image: Array, size: int) -> Array:
    """The nearest cell for each of size × size pixels."""
    picks = [np.arange(size) * extent // size for extent in image.shape[:2]]
    return np.asarray(image[picks[0][:, None], picks[1]])


def _label(axes: Axes, rows: Sequence[str], columns: Sequence[str], groups: Sequence[tuple[str, int]]) -> None:
    axes.set_xticks([c + 0.5 for c in range(len(columns))], columns, fontsize=8.5, linespacing=1.25, **PLAIN)
    axes.xaxis.tick_top()
    axes.set_yticks([r + 0.5 for r in range(len(rows))], rows, fontsize=9, **PLAIN)
    axes.tick_params(length=0, pad=3)
    axes.spines[:].set_visible(False)
    start = 1
    for text, span in groups:
        ends = (start + _GAP, start + span - _GAP)
        above = -0.16 - 0.18 * _lines(columns)  # of a cell, above the maps
        axes.plot(ends, (above, above), color=GREY, linewidth=0.8, clip_on=False)
        axes.text(sum(ends) / 2, above - 0.06, text, ha="center", va="bottom", fontsize=9.5, color=GREY, **PLAIN)
        start += span
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
