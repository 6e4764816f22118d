"""Many small maps side by side: samples down, ways to explain them across."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import ShapeError
from .canvas import GREY, PLAIN, as_image, colour_scale, figure
from .colours import full_colour, heatmap, limit_of, plain_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = 0.86  # inches
_GAP = 0.08  # of a cell
_PIXELS = 96  # of a cell on the canvas
_LARGE, _LARGE_CELL = 32, 1.7  # cells of a map from which on it is larger; its side in inches


def grid(
    inputs: Sequence[Any],
    relevances: Sequence[Sequence[Any]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    groups: Sequence[tuple[str, int]] = (),
    title: str = "",
    cell: float | None = None,
) -> Figure:
    """Inputs down, and for each of them a row of heatmaps, each on a symmetric scale of its own.

    In maps of at least 100 × 100 cells the |R| that one cell in 200 exceeds takes the full colour, elsewhere the largest.

    Parameters
    ----------
    inputs : one sample (C, H, W) or (H, W) for each row
    relevances : for each row one map for each column, of the sample's shape
    rows, columns : the labels
    groups : headings above the columns: (text, how many columns it spans), from the left
    title : above everything
    cell : the side of a map in inches; None: 0.86, and 1.7 where maps have 32 cells or more across

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
    maps = [[plain_map(r) for r in row] for row in relevances]
    is_cut = any(full_colour(one) < limit_of(one) for row in maps for one in row)
    cells = [[as_image(x), *(heatmap(r, limit=full_colour(r) or None) for r in row)] for x, row in zip(inputs, maps, strict=True)]
    if cell is None:
        cell = _CELL if max([1, *(max(image.shape[:2]) for row in cells for image in row)]) < _LARGE else _LARGE_CELL
    across, down = len(columns) + 1, len(rows)
    ratio = _ratio([one for row in maps for one in row])
    tall = cell * ratio
    left, right, bottom = 0.25 + 0.078 * _longest(rows), 0.15, 0.75
    top = 0.1 + 0.16 * _lines(columns) + 0.35 * bool(groups) + 0.3 * bool(title)
    width, height = left + across * cell + right, top + down * tall + bottom
    fig = figure(width, height)
    axes = fig.add_axes((left / width, bottom / height, across * cell / width, down * tall / height))
    canvas = _canvas(cells, round(_PIXELS * max(1.0, cell / _CELL)), ratio)
    axes.imshow(canvas, interpolation="nearest", aspect="auto", extent=(0, across, down, 0))
    _label(axes, rows, ("input", *columns), groups, tall)
    if title:
        fig.text(0.5, 1 - 0.1 / height, title, ha="center", va="top", fontsize=12, **PLAIN)
    wide = len(columns) * cell > 6.5  # the words fit beside each other
    begin = left + cell if wide else left
    bar = fig.add_axes((begin / width, 0.42 / height, 1 - (begin + right) / width, 0.14 / height))
    fig.colorbar(colour_scale(1.0), cax=bar, orientation="horizontal", ticks=[-1, 0, 1])
    ends = ("−max |R|", "+max |R|")
    if is_cut:
        ends = ("against", "for")
        said = "full colour: the |R| that one cell in 200 of a map exceeds"
        fig.text(0.5, 0.06 / height, said, ha="center", fontsize=8, color=GREY, **PLAIN)
    elif wide:
        ends = ("−max |R| of each map: against the class", "+max |R| of each map: for the class")
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


def _ratio(maps: Sequence[Array]) -> float:
    """Height over width of the cells: that of the maps where it is the same for all, within reason."""
    ratios = {one.shape[0] / one.shape[1] for one in maps if one.size}
    return float(np.clip(ratios.pop(), 0.5, 2.0)) if len(ratios) == 1 else 1.0


def _canvas(cells: list[list[Array]], side: int, ratio: float) -> Array:
    """One white picture of all cells, framed in light grey so that a white map keeps its outline."""
    tall = round(side * ratio)
    inner, high = round(side * (1 - _GAP)), tall - (side - round(side * (1 - _GAP)))
    pad = (side - inner) // 2
    canvas = np.full((len(cells) * tall, len(cells[0]) * side, 3), 255, dtype=np.uint8)
    for r, row in enumerate(cells):
        for c, image in enumerate(row):
            y, x = r * tall + pad, c * side + pad
            canvas[y - 1 : y + high + 1, x - 1 : x + inner + 1] = 205
            canvas[y : y + high, x : x + inner] = _resized(image, high, inner)
    return canvas


def _resized(image: Array, height: int, width: int) -> Array:
    """The nearest cell for each of height × width pixels."""
    picks = [np.arange(size) * extent // size for size, extent in zip((height, width), image.shape[:2], strict=True)]
    return np.asarray(image[picks[0][:, None], picks[1]])


def _label(axes: Axes, rows: Sequence[str], columns: Sequence[str], groups: Sequence[tuple[str, int]], cell: float) -> None:
    axes.set_xticks([c + 0.5 for c in range(len(columns))], columns, fontsize=8.5, linespacing=1.25, **PLAIN)
    axes.xaxis.tick_top()
    axes.set_yticks([r + 0.5 for r in range(len(rows))], rows, fontsize=9, **PLAIN)
    axes.tick_params(length=0, pad=3)
    axes.spines[:].set_visible(False)
    start = 1
    for text, span in groups:
        ends = (start + _GAP, start + span - _GAP)
        above = (-0.16 - 0.18 * _lines(columns)) * _CELL / cell  # of a cell, above the maps
        axes.plot(ends, (above, above), color=GREY, linewidth=0.8, clip_on=False)
        axes.text(sum(ends) / 2, above - 0.06 * _CELL / cell, text, ha="center", va="bottom", fontsize=9.5, color=GREY, **PLAIN)
        start += span
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
