"""Panels side by side, a row for each input, on one scale: places that no text moves, and what goes there."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from ..arrays import Array
from ..forks import cached_property
from ..propagate.explanation import Explanation
from .canvas import GREY, PLAIN, SMALL, Scale, characters, colour_bar, facts_of, figure, is_slim, printable, remove_ticks, show
from .maps import COLOURED, Content, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Left, bottom, width, height in inches.
Box = tuple[float, float, float, float]

# Inches. All are whole numbers of _UNIT: at 50, 100, 150, … dots per inch images begin and end with a pixel.
_UNIT = 0.02
_EDGE = 0.06
_NAME, _HEADING, _TITLE, _FACT = 0.24, 0.20, 0.24, 0.14  # what a line takes
_GAP = 0.08  # between panels
_BAR = (0.20, 0.12)  # free, and taken
_LABEL = 0.82  # from the bar to its label, over ticks of up to nine letters
_RIGHT = 0.96


@dataclass(frozen=True)
class Frame:
    """What a picture of panels has whatever it says: the places, the titles, the scale without its numbers.

    Attributes
    ----------
    shapes : for each row the height and width of what its panels show
    side : the width of a panel in inches
    heights : those of the rows in inches
    titles : above the columns; none where there is one panel
    names : of the rows; none where there is one
    lines : those of the heading and those of the facts
    bar : the part of the scale that is shown; None: there is none
    """

    shapes: tuple[tuple[tuple[int, int], ...], ...]
    side: float
    heights: tuple[float, ...]
    titles: tuple[str, ...]
    names: tuple[str, ...]
    lines: tuple[int, int]
    bar: Scale | None

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        width = width_of(self.side, len(self.shapes[0]), self.names, self.bar is not None)
        # A little more: 10.9 inches of 150 dots are 1635 pixels, and not 1634.999….
        return width + 1e-9, _whole(self._top + self._rows + self._bottom) + 1e-9

    @property
    def _top(self) -> float:
        return 2 * _EDGE + _HEADING * self.lines[0] + _TITLE * bool(self.titles)

    @property
    def _bottom(self) -> float:
        return 3 * _EDGE + _FACT * self.lines[1]

    @property
    def _rows(self) -> float:
        return sum(self.heights) + _GAP * (len(self.heights) - 1)

    @cached_property
    def boxes(self) -> tuple[tuple[Box, ...], ...]:
        """Where the panels lie, row by row."""
        rows, base = [], self._bottom + self._rows
        for shapes, height in zip(self.shapes, self.heights, strict=True):
            base -= height
            lefts = [_EDGE + _NAME * bool(self.names) + i * (self.side + _GAP) for i in range(len(shapes))]
            rows.append(tuple(_fitted((left, base, self.side, height), *s) for left, s in zip(lefts, shapes, strict=True)))
            base -= _GAP
        return tuple(rows)

    @property
    def scale(self) -> Box:
        """Where the scale lies."""
        return self.size[0] - _RIGHT - _BAR[1], self._bottom + 0.1 * self._rows, _BAR[1], 0.8 * self._rows

    def figure(self, limit: float = 1.0) -> tuple[Figure, list[list[Axes]], Axes | None]:
        """A figure with axes for the panels and for the scale, which goes from −limit to limit or shows one sign.

        Parameters
        ----------
        limit : the |R| that takes the full colour
        """
        fig = figure(*self.size)
        axes = [[fig.add_axes(self.part(box)) for box in row] for row in self.boxes]
        for axis in (axis for row in axes for axis in row):
            remove_ticks(axis)
        for axis, title in zip(axes[0], self.titles, strict=False):
            axis.set_title(title, fontsize=10)
        for row, name in zip(axes, self.names, strict=False):
            row[0].set_ylabel(name, **PLAIN)
        if self.bar is None:
            return fig, axes, None
        scale = colour_bar(fig, limit, self.bar, cax=fig.add_axes(self.part(self.scale)))
        scale.yaxis.set_label_coords(1 + _LABEL / _BAR[1], 0.5)
        return fig, axes, scale

    def say(self, fig: Figure, heading: str, facts: str) -> None:
        """Write the heading above the panels, and the facts below.

        Parameters
        ----------
        fig : the figure of this frame
        heading : what is explained
        facts : as `facts_of` gives them
        """
        fig.suptitle(heading, y=1 - _EDGE / self.size[1], va="top", **PLAIN)
        fig.supxlabel(facts, y=_EDGE / self.size[1], va="bottom", fontsize=SMALL, color=GREY, **PLAIN)

    def part(self, box: Box) -> Box:
        """A box in inches as fractions of the figure.

        Parameters
        ----------
        box : left, base, width, height
        """
        width, height = self.size
        return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def width_of(side: float, columns: int, names: tuple[str, ...], bar: bool) -> float:
    """The width in inches of panels with what stands beside them.

    Parameters
    ----------
    side : of a panel, in inches
    columns : how many panels stand beside each other
    names : of the inputs, in front of the rows
    bar : whether there is a colour bar
    """
    beside = sum(_BAR) + _RIGHT if bar else _EDGE
    return _whole(_EDGE + _NAME * bool(names) + columns * (side + _GAP) - _GAP + beside)


def _whole(length: float) -> float:
    return round(length / _UNIT) * _UNIT


def _fitted(box: Box, height: int, width: int) -> Box:
    """The middle of a box that has the shape of an image, unless that is stretched."""
    left, base, across, up = box
    if is_slim(height, width):
        return box
    scale = min(across / width, up / height)
    natural = max(_UNIT, _whole(width * scale)), max(_UNIT, _whole(height * scale))
    return left + _whole((across - natural[0]) / 2), base + _whole((up - natural[1]) / 2), *natural


@dataclass(frozen=True, eq=False)
class Panels:
    """A picture of panels.

    Attributes
    ----------
    frame : the places
    layers : for each row and panel its images, one above the other
    heading, facts : what is said above and below
    limit : the |R| that takes the full colour
    """

    frame: Frame
    layers: tuple[tuple[list[Array], ...], ...]
    heading: str
    facts: str
    limit: float

    def figure(self) -> Figure:
        """The picture."""
        fig, axes, _ = self.frame.figure(self.limit)
        for row, images in zip(axes, self.layers, strict=True):
            for axis, layers in zip(row, images, strict=True):
                show(axis, *layers, fills=True)
        self.frame.say(fig, self.heading, self.facts)
        return fig


def panels_of(content: Content, explanation: Explanation, sample: int) -> Panels:
    """The panels of a picture: a row for each input of input, heatmap and overlay, or of the style's panel alone.

    Parameters
    ----------
    content : what is drawn
    explanation : for the facts below
    sample : which of the batch
    """
    titles = ("input", "relevance", "overlay") if content.style == "panels" else (content.style,)
    several, bar = len(titles) > 1, content.style in COLOURED
    layers = tuple(tuple(one.layers(title, content.limit, content.look) for title in titles) for one in content.maps)
    names = tuple(shorten(printable(one.name)) for one in content.maps) if content.inputs > 1 else ()
    heading = fill(", ".join(content.maps[0].caption.splitlines()), 80 if several else 40)
    facts = facts_of(explanation, sample, characters(width_of(content.side, len(titles), names, bar)), content.notes)
    frame = Frame(
        shapes=tuple(tuple(images[0].shape[:2] for images in row) for row in layers),
        side=content.side,
        heights=tuple(max(_UNIT, _whole(content.side * one.height)) for one in content.maps),
        titles=titles if several else (),
        names=names,
        lines=(heading.count("\n") + 1, facts.count("\n") + 1),
        bar=content.scale if bar else None,
    )
    return Panels(frame, layers, heading, facts, content.limit)
