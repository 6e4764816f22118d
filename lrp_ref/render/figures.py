"""One explanation as a picture: the input, the heatmap, both on top of each other, and what was explained."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import ParameterError
from ..propagate.explanation import Explanation
from .canvas import PLAIN, SMALL, Scale, as_image, colour_bar, figure, printable, show, write_facts
from .colours import NEGATIVE, POSITIVE, limit_of
from .maps import COLOURED, Content, Look, Map, content_of, shorten
from .panels import panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 5  # maps in a row at most, where there are several targets
_LONGEST = 30  # letters of a feature's name
_NAMED = 40  # features up to which each has its name at the axis


def picture(
    explanation: Explanation,
    x: Any = None,
    *,
    sample: int = 0,
    labels: Sequence[str] | None = None,
    style: str = "panels",
    cmap: Any = None,
    percentile: float | None = None,
    vmax: float | None = None,
    smooth: float | None = None,
    segments: Any = None,
    dpi: float | None = None,
) -> Figure:
    """An explanation of one sample: input, heatmap, overlay and colour bar, with the class and its score.

    Vectors (N, F) become bars. Of several targets each gets its heatmap, at most `MOST_TARGETS`, those with the largest
    values, all on one colour scale; several inputs get a row each. In maps of at least 100 × 100 cells the |R| that one cell
    in 200 exceeds takes the full colour, so that single pixels do not outshine the rest; the colour bar has pointed ends then,
    and a line says how much is beyond it. The bar shows the signs that occur.

    Parameters
    ----------
    explanation : what `explain` returned
    x : what to show as the only input, such as the photograph before preprocessing, (H, W), (H, W, 3) or (C, H, W);
        None: the values that were explained
    sample : which of the batch
    labels : the names of the classes; None: those that the explanation has
    style : "panels", or one panel alone: "heatmap", "overlay", or "pattern", which is the input as bright as it is relevant
        (Montavon et al. 2018, §6.6: x ⊙ R, with R summed over channels, clipped at 0 and scaled to 1); of several targets
        each is drawn so. "grey", "scaled", "mask", "blend" and "projection" are the papers' other views
        (`lrp_ref.render.views`), and a line says what they show. "contrast": the first two targets on one scale, and the
        difference of their relevance on its own
    cmap : the colours: a colour map of matplotlib or its name, such as "seismic", whose middle is zero; None: blue and orange
    percentile : of |R| of the cells: what takes the full colour; 100: the largest |R|
    vmax : the |R| that takes the full colour
    smooth : the standard deviation, in cells, of a Gaussian blur that keeps Σ R; strided layers leave a grid in a map. In a blend
        it is the blur, otherwise 3 cells, or 0.02 of less than 100
    segments : of the style "mask": integer labels (H, W), such as superpixels, or an int p for patches of p × p cells
    dpi : dots per inch of the figure

    Returns
    -------
    A `matplotlib.figure.Figure` that a notebook displays

    Raises
    ------
    ShapeError
        Where the input has more than three axes without the batch axis.
    ParameterError, UnknownNameError
        Where there is no such sample, style or colour map, or they do not fit.
    MissingExtraError
        Where matplotlib is not installed.
    """
    look = Look(cmap, percentile, vmax, smooth, segments)
    fig = figure_of(content_of(explanation, x, sample=sample, labels=labels, style=style, look=look), explanation, sample)
    if dpi is not None:
        fig.set_dpi(dpi)
    return fig


def picture_on(
    axes: Axes,
    explanation: Explanation,
    x: Any = None,
    *,
    sample: int = 0,
    labels: Sequence[str] | None = None,
    style: str = "heatmap",
    **look: Any,
) -> Axes:
    """Draw one map, or the bars of a vector, on axes of the caller's; without facts and colour bar.

    Parameters
    ----------
    axes : where it is drawn
    explanation, x, sample, labels : as `picture` takes them; of one target and one input
    style : any with one panel
    **look : cmap, percentile, vmax, smooth, segments, as `picture` takes them

    Raises
    ------
    ParameterError
        Where there are several maps, or the style has several panels.
    """
    content = content_of(explanation, x, sample=sample, labels=labels, style=style, look=Look(**look))
    if len(content.maps) > 1 or style == "panels":
        raise ParameterError(
            f"axes hold one map; found {len(content.maps)} in style {style!r}. Explain one target, and take style='heatmap', "
            "'overlay' or 'pattern'; without ax= the whole picture is drawn"
        )
    (one,) = content.maps
    if content.kind == "bars":
        _draw(axes, one.relevance, _unit(POSITIVE[3]), _unit(NEGATIVE[3]), explanation.feature_names)
    else:
        show(axes, *one.layers(content.style, content.limit, content.look))
    axes.set_title(", ".join(one.caption.splitlines()), fontsize=10, **PLAIN)
    return axes


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
    fig = _bars(content.maps, explanation.feature_names) if content.kind == "bars" else _gallery(content)
    write_facts(fig, explanation, sample, () if content.kind == "bars" else content.notes)
    return fig


def _columns(panels: int) -> int:
    """In how many columns so many panels leave the fewest places empty; few of them stand in one row."""
    if panels <= _ACROSS:
        return panels
    return min(range(_ACROSS, 2, -1), key=lambda across: -panels % across)


def _gallery(content: Content) -> Figure:
    """The input of each input node, then its heatmaps for all targets, on one scale."""
    each = len(content.maps) // content.inputs
    blocks = [content.maps[i : i + each] for i in range(0, len(content.maps), each)]
    across = _columns(each + 1)
    depth = -(-(each + 1) // across)
    side = 0.8 * content.side
    lines = max(sum(len(fill(line, 26).splitlines()) for line in one.caption.splitlines()) for one in content.maps)
    heights = [side * block[0].height + 0.2 * lines for block in blocks for _ in range(depth)]
    has_own = any(one.is_difference for one in content.maps)
    fig = figure(across * side + 1.1 * (1 + has_own), sum(heights) + 0.5 + 0.14 * len(content.notes), layout="constrained")
    axes = fig.subplots(len(heights), across, squeeze=False, height_ratios=heights)
    for number, block in enumerate(blocks):
        places = list(axes[number * depth : (number + 1) * depth].flat)
        show(places[0], as_image(block[0].x))
        title = f"input {shorten(printable(block[0].name))}" if content.inputs > 1 else "input"
        places[0].set_title(title, fontsize=10, **PLAIN)
        for axis, one in zip(places[1:], block, strict=False):
            if one.is_difference:
                _draw_difference(fig, axis, one, content)
            else:
                show(axis, *one.layers(content.style, content.limit, content.look))
            axis.set_title("\n".join(fill(line, 26) for line in one.caption.splitlines()), fontsize=10, **PLAIN)
        for axis in places[len(block) + 1 :]:
            axis.set_axis_off()
    if content.style in COLOURED:
        left = axes[:, : across - has_own]
        colour_bar(fig, content.limit, content.scale, ax=left, shrink=0.8, aspect=25, pad=0.02)
    return fig


def _draw_difference(fig: Figure, axes: Axes, one: Map, content: Content) -> None:
    """The difference of two maps on a scale of its own, which stands beside it."""
    limit = content.look.limit([one.relevance])
    scale = Scale.of([one.relevance], limit, content.look.cmap)
    show(axes, *one.layers(content.style, limit, content.look))
    label = "difference: second ◂  ▸ first" if scale.negative and scale.positive else "difference"
    colour_bar(fig, limit, scale, label, ax=axes, shrink=0.8, aspect=25, pad=0.04)


def _bars(maps: Sequence[Map], names: Sequence[str] = ()) -> Figure:
    """Vectors: the values of each input, and below them the relevance of every feature, a difference on its own scale."""
    panels: list[tuple[str, str, Array, float]] = []  # a limit of 0: values, which have no scale
    limit = max(limit_of(one.relevance) for one in maps if not one.is_difference) or 1.0
    for i, one in enumerate(maps):
        if i == 0 or one.name != maps[i - 1].name:
            panels.append((one.name, "", np.asarray(one.x, dtype=np.float64).reshape(-1), 0.0))
        own = (limit_of(one.relevance) or 1.0) if one.is_difference else limit
        caption = one.caption.replace("\n", " " if one.is_difference else ", ")
        panels.append(("difference" if one.is_difference else "relevance", caption, one.relevance, own))
    named = len(names) == maps[-1].relevance.size <= _NAMED
    fig = figure(8.0, 1.7 * len(panels) + 0.6 + 0.4 * named, layout="constrained")
    column = fig.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (name, caption, values, most) in zip(column, panels, strict=True):
        up, down = (_unit(POSITIVE[3]), _unit(NEGATIVE[3])) if most else ("0.45", "0.45")
        _draw(axes, values, up, down, names if axes is column[-1] else ())
        axes.set_ylabel(shorten(printable(name)), **PLAIN)
        axes.set_title(fill(caption, 90), fontsize=10, **PLAIN)
        if most:
            axes.set_ylim(-1.08 * most, 1.08 * most)
        axes.spines[["top", "right"]].set_visible(False)
        axes.axhline(0, color="0.6", linewidth=0.6)
        if named and axes is not column[-1]:
            axes.set_xticks([])
    if not named:
        column[-1].set_xlabel("feature")
    return fig


def _draw(axes: Axes, values: Array, up: Any, down: Any, names: Sequence[str] = ()) -> None:
    """A bar for every feature, with its name where it has one and there is room; of very many the outline, which draws fast."""
    from matplotlib.ticker import MaxNLocator

    at = np.arange(values.size)
    for part, colour in ((np.maximum(values, 0), up), (np.minimum(values, 0), down)):
        if values.size <= 400:
            axes.bar(at, part, width=0.85 if values.size <= 60 else 1.0, color=colour)
        else:
            axes.fill_between(at, part, step="mid", color=colour, linewidth=0)
    axes.margins(x=0.01)
    if len(names) == values.size <= _NAMED:
        words = [printable(name) if len(name) <= _LONGEST else f"{printable(name[:_LONGEST])}…" for name in names]
        axes.set_xticks(at, words, rotation=45, ha="right", rotation_mode="anchor", fontsize=SMALL, **PLAIN)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _unit(colour: tuple[int, int, int]) -> tuple[float, ...]:
    return tuple(c / 255 for c in colour)
