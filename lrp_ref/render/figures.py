"""One explanation as a picture: the input, the heatmap, both on top of each other, and what was explained."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..propagate.explanation import Explanation
from .canvas import PLAIN, as_image, colour_bar, figure, printable, show, write_facts
from .colours import NEGATIVE, POSITIVE, limit_of
from .maps import Content, Map, content_of, shorten
from .panels import panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 4  # maps in a row, where there are several targets


def picture(
    explanation: Explanation, x: Any = None, *, sample: int = 0, labels: Sequence[str] | None = None, style: str = "panels"
) -> Figure:
    """An explanation of one sample: input, heatmap, overlay and colour bar, with the class and its score.

    Vectors (N, F) become bars. Of several targets each gets its heatmap, at most `MOST_TARGETS`, those with the largest
    values, all on one colour scale; several inputs get a row each. In maps of at least 100 × 100 cells the |R| that one cell
    in 200 exceeds takes the full colour, so that single pixels do not outshine the rest; the colour bar has pointed ends then.

    Parameters
    ----------
    explanation : what `explain` returned
    x : what to show as the only input, such as the photograph before preprocessing, (H, W), (H, W, 3) or (C, H, W);
        None: the values that were explained
    sample : which of the batch
    labels : the names of the classes
    style : "panels", or one panel alone: "heatmap", "overlay", or "pattern", which is the input as bright as it is relevant
        (Montavon et al. 2018, §6.6: x ⊙ R, with R summed over channels, clipped at 0 and scaled to 1); of several targets
        each is drawn so. "contrast": the first two targets and the difference of their relevance, on one scale

    Raises
    ------
    ShapeError
        Where the input has more than three axes without the batch axis.
    ParameterError, UnknownNameError
        Where there is no such sample or style, or the style does not fit.
    """
    return figure_of(content_of(explanation, x, sample=sample, labels=labels, style=style), explanation, sample)


def figure_of(content: Content, explanation: Explanation, sample: int) -> Figure:
    """The picture of a content.

    Parameters
    ----------
    content : what is drawn
    explanation : for the facts below
    sample : which of the batch
    """
    if content.kind == "panels":
        return panels_of(content, explanation, sample).figure()
    fig = _bars(content.maps) if content.kind == "bars" else _gallery(content)
    write_facts(fig, explanation, sample)
    return fig


def _gallery(content: Content) -> Figure:
    """The input of each input node, then its heatmaps for all targets, on one scale."""
    each = len(content.maps) // content.inputs
    blocks = [content.maps[i : i + each] for i in range(0, len(content.maps), each)]
    depth = -(-(each + 1) // _ACROSS)
    side = 0.8 * content.side
    lines = max(sum(len(fill(line, 26).splitlines()) for line in one.caption.splitlines()) for one in content.maps)
    heights = [side * block[0].height + 0.2 * lines for block in blocks for _ in range(depth)]
    fig = figure(_ACROSS * side + 1.1, sum(heights) + 0.45, layout="constrained")
    axes = fig.subplots(len(heights), _ACROSS, squeeze=False, height_ratios=heights)
    for number, block in enumerate(blocks):
        places = list(axes[number * depth : (number + 1) * depth].flat)
        show(places[0], as_image(block[0].x))
        title = f"input {shorten(printable(block[0].name))}" if content.inputs > 1 else "input"
        places[0].set_title(title, fontsize=10, **PLAIN)
        for axis, one in zip(places[1:], block, strict=False):
            show(axis, *one.layers(content.style, content.limit))
            axis.set_title("\n".join(fill(line, 26) for line in one.caption.splitlines()), fontsize=10, **PLAIN)
        for axis in places[len(block) + 1 :]:
            axis.set_axis_off()
    if content.style != "pattern":
        colour_bar(fig, content.limit, content.beyond, ax=axes, shrink=0.8, aspect=25, pad=0.02)
    return fig


def _bars(maps: Sequence[Map]) -> Figure:
    """Vectors: the values of each input, and below them the relevance of every feature."""
    panels: list[tuple[str, str, Array, bool]] = []
    for i, one in enumerate(maps):
        if i == 0 or one.name != maps[i - 1].name:
            panels.append((one.name, "", np.asarray(one.x, dtype=np.float64).reshape(-1), False))
        panels.append(("relevance", one.caption, one.relevance, True))
    fig = figure(8.0, 1.7 * len(panels) + 0.6, layout="constrained")
    column = fig.subplots(len(panels), 1, squeeze=False)[:, 0]
    limit = max(limit_of(values) for _, _, values, signed in panels if signed) or 1.0
    for axes, (name, caption, values, signed) in zip(column, panels, strict=True):
        up, down = (_unit(POSITIVE[3]), _unit(NEGATIVE[3])) if signed else ("0.45", "0.45")
        _draw(axes, values, up, down)
        axes.set_ylabel(shorten(printable(name)), **PLAIN)
        axes.set_title(fill(", ".join(caption.splitlines()), 90), fontsize=10, **PLAIN)
        if signed:
            axes.set_ylim(-1.08 * limit, 1.08 * limit)
        axes.spines[["top", "right"]].set_visible(False)
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
    column[-1].set_xlabel("feature")
    return fig


def _draw(axes: Axes, values: Array, up: Any, down: Any) -> None:
    """A bar for every feature; of very many the outline, which draws fast."""
    at = np.arange(values.size)
    for part, colour in ((np.maximum(values, 0), up), (np.minimum(values, 0), down)):
        if values.size <= 400:
            axes.bar(at, part, width=0.85 if values.size <= 60 else 1.0, color=colour)
        else:
            axes.fill_between(at, part, step="mid", color=colour, linewidth=0)
    axes.margins(x=0.01)


def _unit(colour: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(c / 255 for c in colour)
