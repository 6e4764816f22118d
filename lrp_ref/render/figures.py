"""One explanation as a picture: the input, the heatmap, both on top of each other, and what was explained."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import ParameterError, ShapeError, unknown
from ..explanation import Explanation
from ..records import dataclass
from .canvas import PLAIN, SLIM, as_image, colour_scale, figure, say_facts, show, shown
from .colours import NEGATIVE, POSITIVE, heatmap, limit_of, plain_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What a picture shows.
STYLES = ("panels", "heatmap", "overlay", "pattern", "contrast")
MOST_TARGETS = 12
MOST_LETTERS = 200  # of a name
_ACROSS = 4  # maps in a row, where there are several targets
_PANEL = 2.5  # inches
_FINE = 100  # cells across, from which on a panel is larger, so that a cell is more than a pixel


@dataclass(frozen=True, eq=False)
class _Map:
    """One heatmap: of which input, for which target."""

    name: str
    caption: str
    relevance: Array
    x: Array


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
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    count = explanation.value.shape[0]
    if not 0 <= sample < count:
        raise ParameterError(f"there is no sample {sample} in an explanation of {count}")
    maps = _maps(explanation, x, sample, labels, style == "contrast")
    limit = max(_full(m.relevance) for m in maps) or 1.0
    vectors = [m.relevance.ndim == 1 for m in maps]
    if all(vectors):
        if style in ("overlay", "pattern"):
            raise ParameterError(f"style {style!r} is for images; vectors are drawn as bars")
        made = _bars(maps)
    elif len(maps) == len(explanation.inputs):
        made = _panels(maps, limit, len(explanation.inputs) > 1, style)
    else:
        made = _gallery(maps, limit, len(explanation.inputs) > 1, style)
    say_facts(made, explanation, sample, int(16 * made.get_figwidth()))
    return made


def _maps(explanation: Explanation, x: Any, sample: int, labels: Sequence[str] | None, contrast: bool) -> list[_Map]:
    values = np.atleast_1d(explanation.value[sample])
    if contrast and values.size < 2:
        raise ParameterError('style "contrast" compares two targets: explain with targets=(one, another)')
    targets = None if explanation.target is None else np.atleast_1d(explanation.target[sample])
    order = np.argsort(-values.astype(np.float64), kind="stable")[:MOST_TARGETS] if values.size > 1 else np.arange(1)
    order = np.arange(2) if contrast else order
    found = []
    for name in explanation.inputs:
        relevance, value = explanation.relevances[name][sample], explanation.activations[name][sample]
        if value.ndim > 3 or not value.ndim:
            raise ShapeError(
                f"input {name!r} has samples of shape {value.shape}; a picture needs (F,), (H, W) or (C, H, W). "
                "render.heatmap draws one slice"
            )
        shown = value if x is None or len(explanation.inputs) > 1 else np.asarray(x)
        several = []
        for t in order:
            one = relevance[t] if explanation.several else relevance
            target = None if targets is None else int(targets[t])
            caption = caption_of(target, float(values[t]), explanation.prediction[sample], labels)
            one = one if one.ndim == 1 else plain_map(one)
            several.append(_Map(name, caption, np.asarray(one, dtype=np.float64), shown))
        found += [*several, _difference(*several)] if contrast else several
    return found


def _difference(first: _Map, second: _Map) -> _Map:
    """What speaks for the first rather than for the second."""
    caption = "the first minus the second"
    return _Map(first.name, caption, first.relevance - second.relevance, first.x)


def caption_of(target: int | None, value: float, prediction: Array, labels: Sequence[str] | None) -> str:
    """What was explained, in two lines: the class, and its score or other value."""
    number = f"{value:.4g}".replace("-", "−")
    if target is None:
        return f"start with Σ R = {number}"
    name = f"class {target}" if labels is None else shortened(shown(str(labels[target])))
    # The log-odds or a contrast is not the score; a softmax at the end shows probabilities as the prediction.
    score = np.isclose(float(prediction.reshape(-1)[target]), value, rtol=1e-4)
    return f"{name}\n{'score' if score else 'value'} {number}"


def shortened(text: str) -> str:
    """A name that fits a picture."""
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"


def _panels(maps: Sequence[_Map], limit: float, named: bool, style: str) -> Figure:
    """One row for each input: input, heatmap and overlay, or the style's panel alone."""
    titles = ("input", "relevance", "overlay") if style == "panels" else (style,)
    side = _side(maps)
    heights = [side * _height(m.relevance) for m in maps]
    made = figure(len(titles) * side + 1.1 + (len(titles) == 1), sum(heights) + 0.85, layout="constrained")
    axes = made.subplots(len(maps), len(titles), squeeze=False, height_ratios=heights)
    for row, one in zip(axes, maps, strict=True):
        for axis, title in zip(row, titles, strict=True):
            _draw_map(axis, one, limit, title)
        row[0].set_ylabel(shortened(shown(one.name)) if named else "", **PLAIN)
    for axis, title in zip(axes[0], titles if len(titles) > 1 else ("",), strict=True):
        axis.set_title(title, fontsize=10)
    made.suptitle(fill(", ".join(maps[0].caption.splitlines()), 80 if len(titles) > 1 else 40), **PLAIN)
    if style != "pattern":
        _bar(made, axes, limit, maps)
    return made


def _gallery(maps: Sequence[_Map], limit: float, named: bool, style: str) -> Figure:
    """The input of each input node, then its heatmaps for all targets, on one scale."""
    blocks: list[list[_Map]] = []
    for one in maps:
        if not blocks or blocks[-1][0].name != one.name:
            blocks.append([])
        blocks[-1].append(one)
    depth = -(-(len(blocks[0]) + 1) // _ACROSS)
    side = 0.8 * _side(maps)
    lines = max(sum(len(fill(line, 26).splitlines()) for line in one.caption.splitlines()) for one in maps)
    heights = [side * _height(block[0].relevance) + 0.2 * lines for block in blocks for _ in range(depth)]
    made = figure(_ACROSS * side + 1.1, sum(heights) + 0.45, layout="constrained")
    axes = made.subplots(len(blocks) * depth, _ACROSS, squeeze=False, height_ratios=heights)
    for number, block in enumerate(blocks):
        places = list(axes[number * depth : (number + 1) * depth].flat)
        show(places[0], as_image(block[0].x))
        places[0].set_title(f"input {shortened(shown(block[0].name))}" if named else "input", fontsize=10, **PLAIN)
        for axis, one in zip(places[1:], block, strict=False):
            _draw_map(axis, one, limit, style)
            axis.set_title("\n".join(fill(line, 26) for line in one.caption.splitlines()), fontsize=10, **PLAIN)
        for axis in places[len(block) + 1 :]:
            axis.set_axis_off()
    if style != "pattern":
        _bar(made, axes, limit, maps)
    return made


def _draw_map(axes: Axes, one: _Map, limit: float, what: str) -> None:
    """One panel: the input, or the map as a style shows it."""
    if what == "input":
        show(axes, as_image(one.x))
    elif what == "overlay":
        _overlay(axes, as_image(one.x), one.relevance, limit)
    elif what == "pattern":
        show(axes, pattern(one.x, one.relevance))
    else:
        show(axes, heatmap(one.relevance, limit=limit))


def pattern(x: Any, relevance: Any) -> Array:
    """The input as bright as it is relevant, (H, W, 3) uint8: R summed over channels, clipped, scaled to [0, 1]."""
    positive = np.maximum(plain_map(relevance), 0.0)
    # Brighter than a heatmap: what is dark in a pattern is lost, what is saturated is merely the photograph.
    top = _full(positive, 20)
    base = as_image(x)
    # The photograph may have more pixels than the map has cells, never the other way round.
    picks = [np.arange(wide) * cells // wide for wide, cells in zip(base.shape[:2], positive.shape, strict=True)]
    weight = np.minimum(positive[picks[0][:, None], picks[1]] / (top or 1.0), 1.0)
    return np.asarray(np.rint(base * weight[..., None]), dtype=np.uint8)


def _full(relevance: Array, one_in: int = 200) -> float:
    """The |R| that takes the full colour: the largest, or of a fine map what one cell in so many exceeds.

    A photograph's relevance has peaks of single pixels, beside which all else would be white.
    """
    if relevance.ndim < 2 or min(relevance.shape) < _FINE:
        return limit_of(relevance)
    return float(np.quantile(np.abs(relevance), 1 - 1 / one_in)) or limit_of(relevance)


def _side(maps: Sequence[_Map]) -> float:
    """The width of a panel."""
    return _PANEL if max(np.atleast_2d(m.relevance).shape[1] for m in maps) < _FINE else 1.3 * _PANEL


def _height(relevance: Array) -> float:
    """Height over width of a panel: that of the map, within reason."""
    rows, columns = np.atleast_2d(relevance).shape
    ratio = rows / columns if columns else 1.0
    return min(1.6, ratio) if ratio > SLIM else 0.5


def _overlay(axes: Axes, base: Array, relevance: Array, limit: float) -> None:
    """The map, as transparent as it is weak, over a pale grey of the input."""
    grey = base.mean(axis=2, keepdims=True).repeat(3, axis=2)
    # The picture keeps a third of its contrast on a light ground, so that neither side of the scale drowns in it.
    show(axes, np.rint(255 - (255 - grey) * 0.45).astype(np.uint8))
    height, width = base.shape[:2]
    over = heatmap(relevance, limit=limit, transparent=True)
    axes.imshow(over, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest", aspect=axes.get_aspect())


def _bar(made: Figure, axes: Any, limit: float, maps: Sequence[_Map]) -> None:
    beyond = max(limit_of(m.relevance) for m in maps) > limit
    bar = made.colorbar(
        colour_scale(limit), ax=axes, shrink=0.8, aspect=25, pad=0.02, extend="both" if beyond else "neither", extendfrac=0.03
    )
    bar.set_label("relevance: against ◂  ▸ for", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _bars(maps: Sequence[_Map]) -> Figure:
    """Vectors: the values of each input, and below them the relevance of every feature."""
    panels: list[tuple[str, str, Array, bool]] = []
    for i, one in enumerate(maps):
        if i == 0 or one.name != maps[i - 1].name:
            panels.append((one.name, "", np.asarray(one.x, dtype=np.float64).reshape(-1), False))
        panels.append(("relevance", one.caption, one.relevance, True))
    made = figure(8.0, 1.7 * len(panels) + 0.6, layout="constrained")
    column = made.subplots(len(panels), 1, squeeze=False)[:, 0]
    limit = max(limit_of(values) for _, _, values, signed in panels if signed) or 1.0
    for axes, (name, caption, values, signed) in zip(column, panels, strict=True):
        up, down = (_unit(POSITIVE[3]), _unit(NEGATIVE[3])) if signed else ("0.45", "0.45")
        _draw(axes, values, up, down)
        axes.set_ylabel(shortened(shown(name)), **PLAIN)
        axes.set_title(fill(", ".join(caption.splitlines()), 90), fontsize=10, **PLAIN)
        if signed:
            axes.set_ylim(-1.08 * limit, 1.08 * limit)
        axes.spines[["top", "right"]].set_visible(False)
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
    column[-1].set_xlabel("feature")
    return made


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
