"""What the figures share: matplotlib, imported when it is needed, and the colour bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arrays import Array
from ..errors import missing_extra
from ..propagate.share import remarks, stated
from .colours import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    from ..propagate.explanation import Explanation

#: Text is drawn as it is: a name with $…$ is no formula.
PLAIN: dict[str, Any] = {"parse_math": False}
#: The colour of text that is not the message, such as the name of the composite.
GREY = "0.35"
#: Sizes of letters: those of facts and of the scale's numbers.
SMALL = TICKS = 8
#: The pointed ends of a scale, of its length.
POINTED = 0.03
#: Cells across, from which on they may be smaller than pixels.
MANY = 400
#: An image whose height is less than this part of its width, such as channels over positions, is stretched.
SLIM = 0.25


def figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure of so many inches, which no pyplot knows of, and which a notebook displays.

    Parameters
    ----------
    width, height : in inches
    **options : as `matplotlib.figure.Figure` takes them

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    try:
        from .drawing import Drawing
    except ImportError:
        raise missing_extra("matplotlib", "plot", "a picture") from None
    return Drawing(figsize=(width, height), **options)


@dataclass(frozen=True)
class Scale:
    """What a colour bar shows: the signs that occur, the colours, and the ends beyond which there is relevance.

    Attributes
    ----------
    negative, positive : whether some relevance is negative, and some positive
    below, above : whether some is beyond the scale
    table : the colours from −limit to limit, the bytes of (K, 3) uint8; empty: those of `colours.scale`
    """

    negative: bool = True
    positive: bool = True
    below: bool = False
    above: bool = False
    table: bytes = b""

    @classmethod
    def of(cls, maps: Iterable[Array], limit: float, table: bytes = b"") -> Scale:
        """The scale of some maps.

        Parameters
        ----------
        maps : of relevance
        limit : the |R| that takes the full colour
        table : the colours
        """
        low, high = 0.0, 0.0
        for one in maps:
            low, high = min(low, float(one.min(initial=0.0))), max(high, float(one.max(initial=0.0)))
        both = not (low or high)
        return cls(low < 0 or both, high > 0 or both, low < -limit, high > limit, table)

    @property
    def colours(self) -> Array:
        """From −limit to limit, (K, 3) uint8."""
        return np.frombuffer(self.table, np.uint8).reshape(-1, 3) if self.table else scale()

    def ends(self, limit: float) -> tuple[float, float]:
        """The smallest and the largest value of the bar.

        Parameters
        ----------
        limit : the |R| that takes the full colour
        """
        return -limit if self.negative else 0.0, limit if self.positive else 0.0

    @property
    def extend(self) -> str:
        """Which ends are pointed, as `Figure.colorbar` takes it."""
        return {(False, False): "neither", (True, False): "min", (False, True): "max"}.get((self.below, self.above), "both")

    @property
    def label(self) -> str:
        """What stands beside the bar."""
        if self.negative and self.positive:
            return "relevance: against ◂  ▸ for"
        return "relevance: for" if self.positive else "relevance: against"


BOTH = Scale()


def colour_scale(limit: float, shown: Scale = BOTH) -> ScalarMappable:
    """The scale of `colours.heatmap` from −limit to limit, or of one sign alone, for colour bars.

    Parameters
    ----------
    limit : the |R| that takes the full colour
    shown : the signs and the colours
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = shown.colours
    middle = len(colours) // 2
    part = colours[0 if shown.negative else middle : None if shown.positive else len(colours) - middle]
    return ScalarMappable(Normalize(*shown.ends(limit)), ListedColormap(part / 255, name="relevance"))


def colour_bar(fig: Figure, limit: float, shown: Scale, label: str = "", **where: Any) -> Axes:
    """Add the colour bar from −limit to limit to a figure.

    Parameters
    ----------
    fig : the figure
    limit : the |R| that takes the full colour
    shown : which part of the scale; an end beyond which there is relevance is pointed
    label : what stands beside it; empty: which side is which
    **where : as `Figure.colorbar` takes it
    """
    bar = fig.colorbar(colour_scale(limit, shown), extend=shown.extend, extendfrac=POINTED, **where)
    bar.set_label(label or shown.label, fontsize=9)
    bar.ax.tick_params(labelsize=TICKS)
    bar.ax.yaxis.get_offset_text().set_fontsize(TICKS)
    return bar.ax


def show(axes: Axes, *layers: Array, fills: bool = False) -> None:
    """Draw images on top of each other without ticks, cells as they are.

    Parameters
    ----------
    axes : where they are drawn
    *layers : (H, W, 3) or (H, W, 4) uint8
    fills : whether the axes have the shape of the image already
    """
    height, width = layers[0].shape[:2]
    aspect: Literal["equal", "auto"] = "auto" if fills or is_slim(height, width) else "equal"
    for image in layers:
        # Interpolation would invent relevance between cells; antialiasing averages cells that are smaller than pixels.
        interpolation = "antialiased" if has_small_cells(image) else "nearest"
        axes.imshow(image, interpolation=interpolation, aspect=aspect, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    remove_ticks(axes)


def has_small_cells(image: Array) -> bool:
    """Whether an image has cells that may be smaller than pixels.

    Parameters
    ----------
    image : (H, W, …)
    """
    return bool(max(image.shape[:2]) >= MANY)


def is_slim(height: int, width: int) -> bool:
    """Whether an image is so slim that it is stretched; it would be a line.

    Parameters
    ----------
    height, width : in cells
    """
    return not SLIM < height / width < 1 / SLIM


def remove_ticks(axes: Axes) -> None:
    """Take the ticks away, and put a pale frame around the image, which it does not cover.

    Parameters
    ----------
    axes : of an image
    """
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(color="0.8", linewidth=1.6, zorder=-1)


def facts_of(explanation: Explanation, sample: int, width: int, notes: Sequence[str] = ()) -> str:
    """The facts below a picture: composite, precision, backend, the share that arrives, notes, cautions and remarks.

    Parameters
    ----------
    explanation : what is drawn
    sample : which of the batch
    width : characters of a line
    notes : what is to be said of the picture itself, a line each
    """
    share = explanation.share_arrived if explanation.method == "LRP" else None
    facts = (
        explanation.composite or explanation.described,
        explanation.precision,
        f"backend {explanation.backend}",
        stated(share, sample),
    )
    comments = (*notes, *explanation.cautions, *remarks(share, explanation.value, explanation.ledger, sample))
    lines = [" · ".join(printable(fact) for fact in facts if fact), *map(printable, comments)]
    return "\n".join(fill(line, width) for line in lines)


def write_facts(fig: Figure, explanation: Explanation, sample: int, notes: Sequence[str] = ()) -> None:
    """Write `facts_of` at the bottom of a picture.

    Parameters
    ----------
    fig : the picture
    explanation : what is drawn
    sample : which of the batch
    notes : what is to be said of the picture itself
    """
    fig.supxlabel(facts_of(explanation, sample, characters(fig.get_figwidth()), notes), fontsize=SMALL, color=GREY, **PLAIN)


def characters(width: float) -> int:
    """The number of characters of facts that stand beside each other.

    Parameters
    ----------
    width : in inches
    """
    return int(16 * width)


def printable(word: str) -> str:
    r"""A word without control characters, which a terminal or a browser would obey: they are spelled out, as in \x1b.

    Parameters
    ----------
    word : from a file or a user
    """
    # Joiners are part of words in several scripts.
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else ascii(c)[1:-1] for c in word)


def as_image(x: Any) -> Array:
    """The image (H, W, 3) uint8 of a sample (F,), (H, W), (C, H, W), or of an image (H, W, 3) or (H, W, 4) of bytes.

    The smallest value becomes black, the largest white; uint8 is shown as it is. One channel, and more than four,
    become grey. The channels of numbers are their first axis, whatever their extents: of a sample (1, 4, 4) the last axis
    has four cells, not red, green, blue and alpha.

    Parameters
    ----------
    x : the sample
    """
    array = np.asarray(x)
    is_bytes = array.dtype == np.uint8
    array = array.astype(np.float64)
    if array.ndim == 3 and not (is_bytes and array.shape[2] in (3, 4)):
        array = np.moveaxis(array, 0, 2)
    grey = array.ndim < 3 or array.shape[2] not in (3, 4)
    if grey:
        array = np.atleast_2d(array.mean(axis=2) if array.ndim == 3 else array)[..., None].repeat(3, axis=2)
    array = array[..., :3]
    if not is_bytes:
        low, high = array.min(initial=np.inf), array.max(initial=-np.inf)
        array = 255 * (array - low) / (high - low) if high > low else np.full_like(array, 128)
    return np.asarray(np.rint(array), dtype=np.uint8)
