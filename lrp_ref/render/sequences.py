"""A sequence of numbers as a picture: its values and their relevance over time and feature, and the relevance of every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..errors import ParameterError, ShapeError
from ..propagate.explanation import Explanation
from .canvas import Scale, as_image, colour_bar, figure, printable, write_facts
from .colours import NEGATIVE, POSITIVE, heatmap, limit_of
from .maps import MOST_TARGETS, caption_of, labels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 40  # features up to which each has its name


def sequence(
    explanation: Explanation,
    *,
    sample: int = 0,
    labels: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    steps: Sequence[str] | None = None,
    name: str = "",
) -> Figure:
    """One sample (T, F) as heatmaps with time from left to right and a row for each feature.

    Above the values of the input, below them the relevance, for each target, on one colour scale; at the bottom Σ R over the
    features at each step, where there is one target. Of several targets the `MOST_TARGETS` with the largest values are drawn.

    Parameters
    ----------
    explanation : of a network that reads sequences (N, T, F)
    sample : which of the batch
    labels : the names of the classes
    features : the names of the columns
    steps : the names of the steps, such as words
    name : of the input, or of a node that was kept, where there are several

    Raises
    ------
    ShapeError
        Where samples are no sequences (T, F), or there is another number of names.
    ParameterError
        Where there is no such sample or input.
    """
    if not 0 <= sample < explanation.value.shape[0]:
        raise ParameterError(f"there is no sample {sample} in an explanation of {explanation.value.shape[0]}")
    if not name and len(explanation.inputs) > 1:
        raise ParameterError(f"name= says which input is the sequence: {', '.join(explanation.inputs)}")
    name = name or explanation.inputs[0]
    relevance = np.asarray(explanation.at(name)[sample], dtype=np.float64)
    maps = relevance if explanation.several else relevance[None]
    if maps.ndim != 3 or 0 in maps.shape:
        raise ShapeError(f"a sequence has samples (T, features), found {maps.shape[1:]}")
    for names, extent, what in ((features, maps.shape[2], "features"), (steps, maps.shape[1], "steps")):
        if names is not None and len(names) != extent:
            raise ShapeError(f"{len(names)} names for {extent} {what}")
    values = np.atleast_1d(explanation.value[sample]).astype(np.float64)
    order = np.argsort(-values, kind="stable")[:MOST_TARGETS]
    value = explanation.activations.get(name)
    captions = [_caption(explanation, sample, int(t), labels) for t in order]
    x = None if value is None else np.asarray(value[sample], dtype=np.float64)
    fig = _figure(x, [maps[t] for t in order], captions, features, steps)
    write_facts(fig, explanation, sample)
    return fig


def _caption(explanation: Explanation, sample: int, t: int, labels: Sequence[str] | None) -> str:
    targets = explanation.target
    target = None if targets is None else int(np.atleast_1d(targets[sample])[t])
    value = float(np.atleast_1d(explanation.value[sample])[t])
    return ", ".join(caption_of(target, value, explanation.prediction[sample], labels_of(explanation, labels)).splitlines())


def _figure(
    x: Array | None, maps: list[Array], captions: list[str], features: Sequence[str] | None, steps: Sequence[str] | None
) -> Figure:
    rows = maps[0].shape[1]
    tall = float(np.clip(0.16 * rows, 0.5, 3.2))
    heights = [tall] * ((x is not None) + len(maps)) + [1.0] * (len(maps) == 1)
    fig = figure(9.0, sum(heights) + 0.45 * len(heights) + 0.6 + 0.5 * (steps is not None), layout="constrained")
    column = fig.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    limit = max(limit_of(one) for one in maps) or 1.0
    panels = list(column)
    if x is not None:
        _image(panels[0], as_image(x.T), "input", features)
    for axes, one, caption in zip(panels[x is not None :], maps, captions, strict=False):
        _image(axes, heatmap(one.T, limit=limit), caption, features)
    if len(maps) == 1:
        _bars(panels[-1], maps[0].sum(axis=1))
    for axes in panels:
        axes.set_xlim(-0.5, maps[0].shape[0] - 0.5)
    _name_steps(panels, maps[0].shape[0], steps)
    colour_bar(fig, limit, Scale.of(maps, limit), ax=panels, shrink=0.8, aspect=25, pad=0.01)
    return fig


def _image(axes: Axes, image: Array, title: str, features: Sequence[str] | None) -> None:
    """Cells as they are, but those smaller than a pixel, which are averaged."""
    fine = max(image.shape[:2]) >= 400
    axes.imshow(image, interpolation="antialiased" if fine else "nearest", aspect="auto")
    axes.set_title(printable(title), fontsize=10, parse_math=False)
    axes.spines[:].set_color("0.8")
    if image.shape[0] > _NAMED or (features is None and image.shape[0] == 1):
        axes.set_yticks([])
        axes.set_ylabel("features" if image.shape[0] > 1 else "", fontsize=9)
        return
    names = [printable(f) for f in features] if features is not None else [str(k) for k in range(image.shape[0])]
    plain: dict[str, Any] = {"parse_math": False}
    axes.set_yticks(range(image.shape[0]), names, fontsize=8 if image.shape[0] <= 16 else 6, **plain)


def _bars(axes: Axes, totals: Array) -> None:
    at = np.arange(totals.size)
    for part, colour in ((np.maximum(totals, 0), POSITIVE[3]), (np.minimum(totals, 0), NEGATIVE[3])):
        unit = tuple(c / 255 for c in colour)
        if totals.size <= 400:
            axes.bar(at, part, width=0.85 if totals.size <= 60 else 1.0, color=unit)
        else:
            axes.fill_between(at, part, step="mid", color=unit, linewidth=0)
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.set_ylabel("Σ R", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _name_steps(panels: Sequence[Axes], count: int, steps: Sequence[str] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    for axes in panels[:-1]:
        axes.set_xticks([])
    last = panels[-1]
    if steps is not None and count <= 60:
        names = [printable(step) for step in steps]
        slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor", "parse_math": False}
        last.set_xticks(range(count), names, fontsize=8, **slanted)
    else:
        last.xaxis.set_major_locator(MaxNLocator(integer=True))
        last.set_xlabel("step", fontsize=9)
