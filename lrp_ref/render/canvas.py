"""What the figures share: matplotlib, imported when it is needed, and the colour bar."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arrays import Array
from ..errors import missing_extra
from ..share import remarks, stated
from .colours import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    from ..explanation import Explanation

#: Text is drawn as it is: a name with $…$ is no formula.
PLAIN: dict[str, Any] = {"parse_math": False}
#: The colour of text that is not the message, such as the name of the composite.
GREY = "0.35"
#: An image whose height is less than this part of its width, such as channels over positions, is stretched.
SLIM = 0.25


def figure(width: float, height: float, **options: Any) -> Figure:
    """An empty figure of so many inches, which no pyplot knows of.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot", "a picture") from None
    return Figure(figsize=(width, height), **options)


def colour_scale(limit: float) -> ScalarMappable:
    """The scale of `colours.heatmap` from −limit to limit, for colour bars."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    return ScalarMappable(Normalize(-limit, limit), ListedColormap(scale() / 255, name="relevance"))


def show(axes: Axes, image: Array) -> None:
    """An image without ticks, cells as they are."""
    # Interpolation would invent relevance between cells; antialiasing averages cells that are smaller than pixels.
    interpolation = "nearest" if max(image.shape[:2]) < 400 else "antialiased"
    aspect: Literal["equal", "auto"] = "equal" if SLIM < image.shape[0] / image.shape[1] < 1 / SLIM else "auto"
    axes.imshow(image, interpolation=interpolation, aspect=aspect)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("0.8")


def say_facts(made: Figure, explanation: Explanation, sample: int, width: int) -> None:
    """At the bottom of a picture how it was computed, how much of the value arrives, and what should not go unnoticed.

    Lines have about `width` characters.
    """
    share = explanation.share_arrived
    facts = (explanation.composite, explanation.precision, f"backend {explanation.backend}", stated(share, sample))
    found = (*explanation.cautions, *remarks(share, explanation.value, explanation.ledger, sample))
    lines = [" · ".join(shown(fact) for fact in facts if fact), *map(shown, found)]
    made.supxlabel("\n".join(fill(line, width) for line in lines), fontsize=8, color=GREY, **PLAIN)


def shown(word: str) -> str:
    r"""A word without control characters, which a terminal or a browser would obey: they are spelled out, as in \x1b."""
    # Joiners are part of words in several scripts.
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else ascii(c)[1:-1] for c in word)


def as_image(x: Any) -> Array:
    """A sample (F,), (H, W), (C, H, W), or an image (H, W, 3), as (H, W, 3) uint8.

    The smallest value becomes black, the largest white; uint8 is shown as it is. One channel, and more than four,
    become grey.
    """
    array = np.asarray(x)
    whole = array.dtype == np.uint8
    array = array.astype(np.float64)
    if array.ndim == 3 and array.shape[2] not in (3, 4):
        array = np.moveaxis(array, 0, 2)
    grey = array.ndim < 3 or array.shape[2] not in (3, 4)
    if grey:
        array = np.atleast_2d(array.mean(axis=2) if array.ndim == 3 else array)[..., None].repeat(3, axis=2)
    array = array[..., :3]
    if not whole:
        low, high = array.min(initial=np.inf), array.max(initial=-np.inf)
        array = 255 * (array - low) / (high - low) if high > low else np.full_like(array, 128)
    return np.asarray(np.rint(array), dtype=np.uint8)
