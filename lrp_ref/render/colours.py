"""From relevance to colours, with NumPy alone.

The scale is signed and symmetric: zero is white, evidence for is orange, evidence against is blue, and −R has the
lightness of R. Each side darkens steadily, so that the size reads in greyscale too; blue and orange are a pair that
the forms of red-green colour blindness leave apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import NonFiniteError, ParameterError, ShapeError, missing_extra, unknown

#: What zero looks like.
NEUTRAL = (255, 255, 255)
#: From zero outwards at equal steps, chosen in OKLCH so that the two sides have the same lightness at each step.
POSITIVE = (NEUTRAL, (254, 223, 182), (253, 178, 100), (226, 120, 19), (167, 73, 9), (106, 34, 3))
NEGATIVE = (NEUTRAL, (201, 234, 254), (136, 205, 253), (33, 157, 252), (10, 103, 197), (2, 50, 144))
#: Colours on each side of zero.
STEPS = 255
#: Cells across, from which on a panel is larger, so that a cell is more than a pixel, and single cells do not set the scale.
FINE = 100


def _ramp(anchors: tuple[tuple[int, int, int], ...]) -> Array:
    """(STEPS + 1, 3) colours from zero outwards, linear between the anchors."""
    at = np.linspace(0, len(anchors) - 1, STEPS + 1)
    channels = np.array(anchors, dtype=np.float64).T
    ramps = [np.interp(at, np.arange(len(anchors)), channel) for channel in channels]
    return np.asarray(np.rint(np.stack(ramps, axis=1)), dtype=np.uint8)


def scale() -> Array:
    """The colour scale from −1 to 1, (2·STEPS + 1, 3) uint8; zero is the middle."""
    return np.concatenate([_ramp(NEGATIVE)[:0:-1], _ramp(POSITIVE)])


def table_of(cmap: Any) -> Array:
    """The colours from −1 to 1 that a colour map stands for, (2·STEPS + 1, 3) uint8.

    Parameters
    ----------
    cmap : None: that of `scale`; a name of matplotlib's, such as "seismic" or "bwr", or one of its colour maps, whose middle is
        zero; or such colours themselves, (K, 3) uint8 with K odd

    Raises
    ------
    MissingExtraError
        Where a map of matplotlib is asked for and it is not installed.
    UnknownNameError, ParameterError
        Where there is no such map, or the colours are no table.
    """
    if cmap is None:
        return scale()
    if isinstance(cmap, np.ndarray):
        if cmap.dtype != np.uint8 or cmap.ndim != 2 or cmap.shape[1] != 3 or len(cmap) % 2 == 0:
            raise ParameterError(f"colours are (K, 3) uint8 with K odd, found {cmap.dtype} of shape {cmap.shape}")
        if len(cmap) == 2 * STEPS + 1:
            return cmap
        places = np.linspace(0, len(cmap) - 1, 2 * STEPS + 1)
        columns = [np.interp(places, np.arange(len(cmap)), channel) for channel in cmap.T.astype(np.float64)]
        return np.asarray(np.rint(np.stack(columns, axis=1)), dtype=np.uint8)
    try:
        from matplotlib import colormaps
        from matplotlib.colors import Colormap
    except ImportError:
        raise missing_extra("matplotlib", "plot", f"the colour map {cmap!r}") from None
    if not isinstance(cmap, Colormap):
        if not isinstance(cmap, str):
            raise ParameterError(f"cmap is the name of a colour map, one of matplotlib's, or colours (K, 3), found {cmap!r}")
        if cmap not in colormaps:
            raise unknown("colour map", cmap, list(colormaps))
        cmap = colormaps[cmap]
    rgba = np.asarray(cmap(np.linspace(0.0, 1.0, 2 * STEPS + 1)))
    return np.asarray(np.rint(255 * rgba[:, :3]), dtype=np.uint8)


def blurred(relevance: Array, sigma: float) -> Array:
    """A map (H, W) after a Gaussian blur; Σ R stays what it is, since what would leave at an edge is reflected.

    Parameters
    ----------
    relevance : (H, W) float64
    sigma : the standard deviation in cells; at least half the stride of a layer takes away the grid that it leaves

    Raises
    ------
    ParameterError
        Where it is no positive number.
    """
    if not (np.isfinite(sigma) and sigma > 0):
        raise ParameterError(f"the width of a blur is a positive number of cells, found {sigma}")
    reach = max(1, int(np.ceil(4 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        extent = relevance.shape[axis]
        if extent < 2:
            continue
        widths = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(relevance, widths, mode="symmetric")
        relevance = sum(w * np.take(padded, np.arange(extent) + i, axis=axis) for i, w in enumerate(kernel))
    return np.asarray(relevance)


def limit_of(relevance: Any) -> float:
    """The largest |R|, which takes the full colour; 0 for an empty or all-zero map.

    Parameters
    ----------
    relevance : of one sample, as `plain_map` takes it

    Raises
    ------
    ShapeError, NonFiniteError, ParameterError
        Where the map cannot be drawn.
    """
    return float(np.abs(plain_map(relevance)).max(initial=0.0))


def plain_map(relevance: Any) -> Array:
    """The relevance of one sample as a float64 map (H, W): channels are summed, a vector is one row.

    Parameters
    ----------
    relevance : (F,), (H, W) or (C, H, W)

    Raises
    ------
    ShapeError
        Where the sample has no axis or more than three: (F,), (H, W) or (C, H, W) are drawn.
    NonFiniteError
        Where there is NaN or infinity.
    ParameterError
        Where it is no array of numbers.
    """
    try:
        array = np.asarray(relevance, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"relevance must be an array of numbers: {error}") from None
    if array.ndim not in (1, 2, 3):
        raise ShapeError(f"one sample (F,), (H, W) or (C, H, W) can be drawn, found {array.shape}; choose one, as in R[0]")
    if not np.isfinite(array).all():
        raise NonFiniteError("NaN or infinity in the relevance to be drawn")
    if array.ndim == 3:
        return np.asarray(array.sum(axis=0))
    return array if array.ndim == 2 else array[None]


def heatmap(relevance: Any, *, limit: float | None = None, transparent: bool = False, cmap: Any = None) -> Array:
    """Relevance as colours: zero is white, positive orange, negative blue, on a symmetric scale.

    Parameters
    ----------
    relevance : of one sample: (C, H, W) whose channels are summed, (H, W), or (F,) drawn as one row
    limit : the |R| that takes the full colour, larger values too; None: max |R| of this map
    transparent : add an alpha channel that grows with |R|, to lay the map over a picture
    cmap : other colours than those of `scale`: a colour map of matplotlib or its name, such as "seismic", whose middle is zero,
        or colours (K, 3) uint8 from −limit to limit

    Returns
    -------
    (H, W, 3) uint8, or (H, W, 4) where `transparent`

    Raises
    ------
    ShapeError, NonFiniteError, ParameterError
        Where the map cannot be drawn, or the limit is no positive number.
    UnknownNameError, MissingExtraError
        Where there is no such colour map.
    """
    values = plain_map(relevance)
    if limit is not None and not (limit > 0 and np.isfinite(limit)):
        raise ParameterError(f"limit must be a positive number, found {limit}")
    full = limit_of(values) if limit is None else float(limit)
    with np.errstate(over="ignore"):  # a tiny limit: infinity is clipped to the full colour
        ratio = np.clip(values / full, -1.0, 1.0) if full > 0 else np.zeros_like(values)
    steps = np.rint(ratio * STEPS).astype(np.intp)
    colours: Array = table_of(cmap)[steps + STEPS]
    if not transparent:
        return colours
    alpha = np.rint(255 * np.sqrt(np.abs(ratio))).astype(np.uint8)
    return np.concatenate([colours, alpha[..., None]], axis=-1)


def full_colour(relevance: Array, one_in: int = 200) -> float:
    """The |R| that takes the full colour: the largest, or of a fine map what one cell in so many exceeds.

    A photograph's relevance has peaks of single pixels, beside which all else would be white.

    Parameters
    ----------
    relevance : (H, W), or (F,)
    one_in : how many cells there are to one that exceeds it
    """
    if relevance.ndim < 2 or min(relevance.shape) < FINE:
        return limit_of(relevance)
    return float(np.quantile(np.abs(relevance), 1 - 1 / one_in)) or limit_of(relevance)
