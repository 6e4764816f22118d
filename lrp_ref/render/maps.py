"""What a picture of one explanation shows, before it is drawn: maps, their scale, and words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ParameterError, ShapeError, unknown
from ..propagate.explanation import Explanation
from ..propagate.share import percent
from .canvas import SLIM, Scale, as_image, printable
from .colours import FINE, blurred, full_colour, heatmap, limit_of, plain_map, scale, table_of
from .views import SIGMA, SIGMA_OF_SIZE, TOP, blend, grey_map, masked_input, projection, scaled_input

#: What a picture shows.
STYLES = ("panels", "heatmap", "overlay", "pattern", "contrast", "grey", "scaled", "mask", "blend", "projection")
#: Those that have the colours of `heatmap`, and so a colour bar.
COLOURED = ("panels", "heatmap", "overlay", "contrast")
#: What the others show, which a picture says.
_SAID = {
    "pattern": "pattern: the input, as bright as it is relevant: x ⊙ R, with R < 0 as 0",
    "grey": "grey: Σ |R| over channels; white is the largest",
    "scaled": "scaled: the input, as bright as Σ |R| over channels is large",
    "mask": f"mask: the {TOP} segments with the largest Σ R",
    "blend": "blend: |Σ R over channels| over the input, after a Gaussian blur of {:g} cells; its sign is not shown",
    "projection": "projection: R / (2 max |R|) + ½; grey is zero, white speaks for, black against",
}
MOST_TARGETS = 12
MOST_LETTERS = 200  # of a name
_PANEL, _FINE_PANEL = 2.56, 3.28  # inches: 384 and 492 pixels at 150 dots


@dataclass(frozen=True, eq=False)
class Look:
    """The colours of a picture and their scale.

    Attributes
    ----------
    cmap : the colours, as `heatmap` takes them; None: ours
    percentile : of |R| of a map's cells, 0 < p ≤ 100: what takes the full colour; None: the largest |R|, or of maps of at least
        100 × 100 cells what one cell in 200 exceeds
    vmax : the |R| that takes the full colour, whatever the maps hold
    smooth : the standard deviation, in cells, of a Gaussian blur that keeps Σ R: strided layers leave a grid in a map. None: none
    segments : of the style "mask", as `views.masked_input` takes them

    Raises
    ------
    ParameterError, UnknownNameError, MissingExtraError
        Where two of them contradict each other, are out of range, or there are no such colours.
    """

    cmap: Any = None
    percentile: float | None = None
    vmax: float | None = None
    smooth: float | None = None
    segments: Any = None

    def __post_init__(self) -> None:
        if self.percentile is not None and self.vmax is not None:
            raise ParameterError("give percentile= or vmax=, not both: each says what takes the full colour")
        if self.percentile is not None and not 0 < self.percentile <= 100:
            raise ParameterError(f"percentile is above 0 and at most 100, found {self.percentile}")
        if self.vmax is not None and not (self.vmax > 0 and np.isfinite(self.vmax)):
            raise ParameterError(f"vmax is a positive number, found {self.vmax}")
        object.__setattr__(self, "cmap", b"" if self.cmap is None else table_of(self.cmap).tobytes())

    @property
    def table(self) -> Array:
        """The colours from −limit to limit, (K, 3) uint8."""
        return np.frombuffer(self.cmap, np.uint8).reshape(-1, 3) if self.cmap else scale()

    @property
    def cmap_of_blend(self) -> Any:
        """The colours of a blend: those that were asked for, or those of the papers."""
        return self.table if self.cmap else "jet"

    def sigma(self, relevance: Array) -> float:
        """The blur before a blend: 3 cells, and of maps with less than 100 cells across 0.02 of them.

        Parameters
        ----------
        relevance : (H, W)
        """
        if self.smooth is not None:
            return self.smooth
        return SIGMA if min(relevance.shape) >= FINE else max(SIGMA_OF_SIZE * max(relevance.shape), 1e-3)

    def limit(self, maps: Iterable[Array]) -> float:
        """The |R| that takes the full colour.

        Parameters
        ----------
        maps : that share a scale
        """
        if self.vmax is not None:
            return float(self.vmax)
        if self.percentile is None:
            return max(map(full_colour, maps)) or 1.0
        found = [float(np.percentile(np.abs(one), self.percentile)) if one.size else 0.0 for one in maps]
        return max(found) or max(limit_of(one) for one in maps) or 1.0

    def smoothed(self, relevance: Array) -> Array:
        """A map as it is drawn; a vector stays what it is.

        Parameters
        ----------
        relevance : (H, W), or (F,)
        """
        return relevance if self.smooth is None or relevance.ndim < 2 else blurred(relevance, self.smooth)


PLAIN_LOOK = Look()


@dataclass(frozen=True, eq=False)
class Map:
    """One heatmap: of which input, for which target; `channels` is the relevance before they are summed."""

    name: str
    caption: str
    relevance: Array
    x: Array
    is_difference: bool = False
    channels: Array | None = None

    @property
    def height(self) -> float:
        """Height over width of a panel: that of the map, within reason."""
        rows, columns = np.atleast_2d(self.relevance).shape
        ratio = rows / columns if columns else 1.0
        return min(1.6, ratio) if ratio > SLIM else 0.5

    def layers(self, what: str, limit: float, look: Look) -> list[Array]:
        """The images of a panel, each (H, W, 3) uint8, or (H, W, 4) where it lies over the one before it.

        Parameters
        ----------
        what : "input", or one of `STYLES` that has one panel
        limit : the |R| that takes the full colour
        look : the colours
        """
        table = look.table
        if what == "input":
            return [as_image(self.x)]
        if what == "pattern":
            return [pattern(self.x, self.relevance)]
        if what in _SAID:
            return [self._view(what, look)]
        if what != "overlay":
            return [heatmap(self.relevance, limit=limit, cmap=table)]
        base = as_image(self.x)
        grey = base.mean(axis=2, keepdims=True).repeat(3, axis=2)
        # The picture keeps a third of its contrast on a light ground, so that neither side of the scale drowns in it.
        pale = np.rint(255 - (255 - grey) * 0.45).astype(np.uint8)
        return [pale, heatmap(self.relevance, limit=limit, transparent=True, cmap=table)]

    def _view(self, what: str, look: Look) -> Array:
        """The image of one of the papers' other views."""
        R = self.relevance if self.channels is None else self.channels
        if what == "grey":
            return grey_map(R)
        if what == "projection":
            return projection(self.relevance)
        if what == "mask":
            return masked_input(self.x, self.relevance, look.segments)
        if what == "blend":
            return blend(self.x, self.relevance, sigma=look.sigma(self.relevance), cmap=look.cmap_of_blend)
        return scaled_input(self.x, R)


@dataclass(frozen=True, eq=False)
class Content:
    """What a picture shows.

    Attributes
    ----------
    maps : those of the first input, then those of the second
    limit : the |R| that takes the full colour
    inputs : how many there are
    style : one of `STYLES`
    look : the colours
    """

    maps: tuple[Map, ...]
    limit: float
    inputs: int
    style: str
    look: Look = PLAIN_LOOK

    @property
    def kind(self) -> str:
        """How it is drawn: "bars" of vectors, "panels" of one map for each input, a "gallery" of several targets."""
        if all(one.relevance.ndim == 1 for one in self.maps):
            return "bars"
        return "panels" if len(self.maps) == self.inputs else "gallery"

    @property
    def side(self) -> float:
        """The width of a panel in inches."""
        return _PANEL if max(np.atleast_2d(one.relevance).shape[1] for one in self.maps) < FINE else _FINE_PANEL

    @property
    def scale(self) -> Scale:
        """The part of the scale that occurs."""
        return Scale.of((one.relevance for one in self.maps if not one.is_difference), self.limit, self.look.cmap)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the picture: what a pattern is, how much is beyond the scale, a blur."""
        maps = [one.relevance for one in self.maps if not one.is_difference]
        notes = [_SAID[self.style].format(self.look.sigma(maps[0]))] if self.style in _SAID else []
        if self.style == "pattern":
            positive = [np.maximum(one, 0.0) for one in maps]
            notes += _clipped([(one, full_colour(one, 20)) for one in positive], "full brightness")
        elif self.style in COLOURED:
            notes += _clipped([(one, self.limit) for one in maps], "the scale")
        if self.look.smooth is not None and self.style != "blend":
            notes.append(f"smoothed by a Gaussian of {self.look.smooth:g} cells")
        return tuple(notes)


def _clipped(maps: Sequence[tuple[Array, float]], what: str) -> tuple[str, ...]:
    """How much is beyond what is shown of pairs of a map and its limit; nothing where nothing is."""
    size = sum(one.size for one, _ in maps)
    sizes = [(np.abs(one), limit) for one, limit in maps]
    beyond = sum(int((one > limit).sum()) for one, limit in sizes)
    if not beyond:
        return ()
    held = sum(float(one[one > limit].sum()) for one, limit in sizes) / sum(float(one.sum()) for one, _ in sizes)
    return (f"beyond {what}: {percent(beyond / size)} of the cells, which hold {percent(held)} of Σ |R|",)


def content_of(
    explanation: Explanation,
    x: Any = None,
    *,
    sample: int = 0,
    labels: Sequence[str] | None = None,
    style: str = "panels",
    look: Look = PLAIN_LOOK,
) -> Content:
    """The content of a picture of one sample: its maps, their common limit, and the style.

    Parameters
    ----------
    explanation, x, sample, labels, style : as `picture` takes them
    look : the colours and their scale

    Raises
    ------
    UnknownNameError
        Where there is no such style.
    ParameterError
        Where there is no such sample, or the style needs two targets.
    ShapeError, NonFiniteError
        Where a map cannot be drawn.
    """
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    count = explanation.value.shape[0]
    if not 0 <= sample < count:
        raise ParameterError(f"there is no sample {sample} in an explanation of {count}")
    labels = labels_of(explanation, labels)
    maps = _maps(explanation, x, sample, labels, style, look)
    limit = look.limit([m.relevance for m in maps if not m.is_difference])
    content = Content(tuple(maps), limit, len(explanation.inputs), style, look)
    if content.kind == "bars" and (style == "overlay" or style in _SAID):
        raise ParameterError(f"style {style!r} is for images; vectors are drawn as bars")
    return content


def _maps(explanation: Explanation, x: Any, sample: int, labels: Sequence[str] | None, style: str, look: Look) -> list[Map]:
    contrast = style == "contrast"
    values = np.atleast_1d(explanation.value[sample])
    if contrast and values.size < 2:
        raise ParameterError('style "contrast" compares two targets: explain with targets=(one, another)')
    targets = None if explanation.target is None else np.atleast_1d(explanation.target[sample])
    order = np.argsort(-values.astype(np.float64), kind="stable")[:MOST_TARGETS] if values.size > 1 else np.arange(1)
    order = np.arange(2) if contrast else order
    maps = []
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
            flat = one if one.ndim == 1 else plain_map(one)
            flat = flat if style == "blend" else look.smoothed(flat)
            channels = np.asarray(one, dtype=np.float64)
            if channels.ndim == 3 and look.smooth is not None:
                channels = np.stack([look.smoothed(channel) for channel in channels])
            several.append(Map(name, caption, np.asarray(flat, dtype=np.float64), shown, channels=channels))
        maps += [*several, _difference(*several)] if contrast else several
    return maps


def _difference(first: Map, second: Map) -> Map:
    """What speaks for the first rather than for the second."""
    names = [one.caption.partition("\n")[0] for one in (first, second)]
    caption = f"{names[0]}\nminus {names[1]}"
    return Map(first.name, caption, first.relevance - second.relevance, first.x, True)


def labels_of(explanation: Explanation, labels: Sequence[str] | None) -> Sequence[str] | None:
    """The names of the classes: those that are given, or those that the explanation has; None: there are none.

    Parameters
    ----------
    explanation : what is drawn
    labels : what was given
    """
    return labels if labels is not None else explanation.class_names or None


def caption_of(target: int | None, value: float, prediction: Array, labels: Sequence[str] | None) -> str:
    """The caption of a map in two lines: the class, and its score or other value.

    Parameters
    ----------
    target : the index of the output; None: relevance began elsewhere
    value : what is explained
    prediction : of the sample
    labels : the names of the classes
    """
    number = f"{value:.4g}".replace("-", "−")
    if target is None:
        return f"start with Σ R = {number}"
    name = f"class {target}" if labels is None else shorten(printable(str(labels[target])))
    name = f"class {name}" if name.isdigit() else name  # classes that are numbers have no other name
    # The log-odds or a contrast is not the score; a softmax at the end shows probabilities as the prediction.
    score = np.isclose(float(prediction.reshape(-1)[target]), value, rtol=1e-4)
    return f"{name}\n{'score' if score else 'value'} {number}"


def shorten(text: str) -> str:
    """The beginning of a name that is too long for a picture.

    Parameters
    ----------
    text : the name
    """
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"


def pattern(x: Any, relevance: Any) -> Array:
    """The input as bright as it is relevant, (H, W, 3) uint8: R summed over channels, clipped, scaled to [0, 1].

    Parameters
    ----------
    x : the input, as `as_image` takes it
    relevance : of the sample, in the same shape
    """
    positive = np.maximum(plain_map(relevance), 0.0)
    # Brighter than a heatmap: what is dark in a pattern is lost, what is saturated is merely the photograph.
    top = full_colour(positive, 20)
    base = as_image(x)
    # The photograph may have more pixels than the map has cells, never the other way round.
    picks = [np.arange(wide) * cells // wide for wide, cells in zip(base.shape[:2], positive.shape, strict=True)]
    weight = np.minimum(positive[picks[0][:, None], picks[1]] / (top or 1.0), 1.0)
    return np.asarray(np.rint(base * weight[..., None]), dtype=np.uint8)
