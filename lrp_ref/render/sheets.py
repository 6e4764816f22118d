"""Many pictures as pixels: what pictures of one kind share is drawn once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arrays import Array
from ..memo import Memo
from ..propagate.explanation import Explanation
from .canvas import PLAIN, TICKS, figure, has_small_cells
from .figures import figure_of
from .maps import Look, content_of
from .panels import Box, Frame, Panels, panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LIMIT = 2**27  # bytes of what is kept
_TICK: Literal[1] = 1  # matplotlib.markers.TICKRIGHT
_LONG = 3.5  # points: a tick, and from there to its number


@dataclass(frozen=True, eq=False)
class Ground:
    """The pixels (H, W, 4) that pictures of one frame share, the panels' places among them, and where the scale's axis lies."""

    pixels: Array
    places: tuple[tuple[tuple[slice, slice], ...], ...]
    axis: Box | None


@dataclass(frozen=True, eq=False)
class Sheets:
    """Pictures of many explanations as pixels.

    A picture is the same whatever was drawn before. Where the panels of several have the same places, as those of a folder of
    photographs have, their frames, titles and the colours of the scale are drawn once; the panels are put there cell by cell.

    Parameters
    ----------
    dpi : dots per inch
    """

    dpi: int = 150
    _grounds: Memo = field(default_factory=lambda: Memo(_LIMIT), init=False, repr=False)

    def pixels(
        self,
        explanation: Explanation,
        x: Any = None,
        *,
        sample: int = 0,
        labels: Sequence[str] | None = None,
        style: str = "panels",
        **look: Any,
    ) -> Array:
        """The pixels (H, W, 3) uint8 of what `picture` draws.

        Parameters
        ----------
        explanation, x, sample, labels, style : as `picture` takes them
        **look : the attributes of a `Look` that `picture` takes by name: cmap, percentile, vmax, smooth, segments

        Raises
        ------
        ShapeError, NonFiniteError, ParameterError, UnknownNameError
            As `picture` raises them.
        """
        content = content_of(explanation, x, sample=sample, labels=labels, style=style, look=Look(**look))
        if content.kind != "panels":
            return pixels(figure_of(content, explanation, sample), self.dpi)
        panels = panels_of(content, explanation, sample)
        ground: Ground = self._grounds.get(panels.frame, lambda: _ground(panels.frame, self.dpi))
        fig = figure(*panels.frame.size, dpi=self.dpi)
        fig.patch.set_visible(False)
        panels.frame.say(fig, panels.heading, panels.facts)
        if ground.axis is not None:
            _write_scale(fig, panels.frame, ground.axis, panels.limit)
        return _without_alpha(_render(fig, ground, panels))


def pixels(fig: Figure, dpi: int) -> Array:
    """The pixels (H, W, 3) uint8 of a figure.

    Parameters
    ----------
    fig : the figure
    dpi : dots per inch
    """
    fig.set_dpi(dpi)
    return _without_alpha(_render(fig))


def _render(fig: Figure, ground: Ground | None = None, panels: Panels | None = None) -> Array:
    """A figure (H, W, 4) uint8; over a ground and the panels on it, if there is one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(fig).get_renderer()  # type: ignore[no-untyped-call]
    canvas = np.asarray(renderer.buffer_rgba())
    if ground is not None and panels is not None:
        canvas[...] = ground.pixels
        for places, row in zip(ground.places, panels.layers, strict=True):
            for place, layers in zip(places, row, strict=True):
                canvas[place] = compose_layers(layers, *canvas[place].shape[:2])
    fig.draw(renderer)
    return canvas


def _without_alpha(canvas: Array) -> Array:
    """Without the channel of what is transparent, of which nothing is."""
    colours = np.empty((*canvas.shape[:2], 3), np.uint8)
    for channel in range(3):  # a quarter of the time of all at once
        colours[..., channel] = canvas[..., channel]
    return colours


def _ground(frame: Frame, dpi: int) -> tuple[Ground, int]:
    """The ground of a frame, and its size in bytes."""
    fig, _, scale = frame.figure()
    fig.set_dpi(dpi)
    if scale is not None:
        scale.tick_params(right=False, labelright=False)
    canvas = _render(fig)
    axis = None if scale is None else scale.get_position().bounds  # with pointed ends shorter than the place of the scale
    places = tuple(tuple(_place(box, dpi, len(canvas)) for box in row) for row in frame.boxes)
    return Ground(canvas, places, axis), canvas.nbytes


def _place(box: Box, dpi: int, height: int) -> tuple[slice, slice]:
    """A box in pixels from the upper left."""
    left, base, across, up = (round(length * dpi) for length in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    return slice(height - up, height - base), slice(left, across)


def _write_scale(fig: Figure, frame: Frame, axis: Box, limit: float) -> None:
    """The ticks and numbers of a scale, where matplotlib puts them; axes that do so would take five times as long."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import AutoLocator, ScalarFormatter

    formatter = ScalarFormatter()
    formatter.create_dummy_axis()
    assert formatter.axis is not None
    assert frame.bar is not None
    ends = frame.bar.ends(limit)
    formatter.axis.set_view_interval(*ends)
    right, base, up = axis[0] + axis[2], axis[1], axis[3]
    locator = AutoLocator()
    locator.set_params(nbins=min(9, max(1, int(72 * up * frame.size[1] / (2 * TICKS)))))  # as many as axes have room for
    slack = limit * 1e-10
    numbers = [value for value in locator.tick_values(*ends) if ends[0] - slack <= value <= ends[1] + slack]
    heights = [base + up * (value - ends[0]) / (ends[1] - ends[0]) for value in numbers]
    ticks = Line2D([right] * len(heights), heights, linestyle="", color="black", marker=_TICK, markersize=_LONG, mew=0.8)
    fig.add_artist(ticks)
    across, high = (1 / (72 * inches) for inches in frame.size)  # a point
    for height, label in zip(heights, formatter.format_ticks(numbers), strict=True):
        fig.text(right + 2 * _LONG * across, height, label, fontsize=TICKS, va="center_baseline", **PLAIN)
    top = sum(frame.part(frame.scale)[1::2])
    fig.text(right, top + 3 * high, formatter.get_offset(), fontsize=TICKS, ha="right", **PLAIN)


def compose_layers(layers: Sequence[Array], height: int, width: int) -> Array:
    """Images one above the other, (height, width, 4) uint8.

    Parameters
    ----------
    layers : (h, w, 3) or (h, w, 4) uint8, the lowest first
    height, width : in pixels
    """
    small = len({layer.shape[:2] for layer in layers}) == 1  # the same cells: they can be laid over each other before
    ground, *above = layers if small else [resize_cells(layer, height, width) for layer in layers]
    for over in above:
        alpha = over[..., 3:].astype(np.uint16)
        ground = ((ground[..., :3] * (255 - alpha) + over[..., :3] * alpha + 127) // 255).astype(np.uint8)
    ground = np.concatenate([ground[..., :3], np.full((*ground.shape[:2], 1), 255, np.uint8)], axis=-1)
    return resize_cells(ground, height, width) if small else ground


def resize_cells(image: Array, height: int, width: int) -> Array:
    """An image of so many pixels, as `show` has it drawn: the cell under the middle of each pixel, or means of small cells.

    Parameters
    ----------
    image : (h, w, 3) or (h, w, 4) uint8
    height, width : in pixels
    """
    cells, wanted = image.shape[:2], (height, width)
    is_multiple = all(n in (k, 2 * k) or n > 3 * k for n, k in zip(wanted, cells, strict=True))
    if has_small_cells(image) and not is_multiple:
        from PIL import Image

        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.HAMMING))
    rows, columns = ((2 * np.arange(n) + 1) * k // (2 * n) for n, k in zip(wanted, cells, strict=True))
    # One word for the four bytes of a pixel: half the time.
    words = np.ascontiguousarray(image).view(np.uint32) if image.shape[2] == 4 else image
    return np.asarray(words.take(columns, axis=1).take(rows, axis=0)).view(np.uint8)
