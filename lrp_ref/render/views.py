"""Other views of relevance that the papers have: functions from an input and its relevance to an image.

The first five are those of the listings in (Alber 2019, §22.A.5), whose slips are mended (`CONV-VIEWS`); the blur that grows with
the image is that of (Samek et al. 2021, §1.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import NonFiniteError, ParameterError, ShapeError
from .canvas import as_image
from .colours import blurred, plain_map, table_of

#: The standard deviation of the blur before a blend, in cells; None: this part of the image's size.
SIGMA, SIGMA_OF_SIZE = 3.0, 0.02
#: How many segments a mask leaves visible, and the patches of a mask across an image that has no segments.
TOP, PATCHES = 50, 16


def magnitude(relevance: Any) -> Array:
    """Σ |R| over channels, by its maximum: in [0, 1], (H, W); 0 everywhere where all relevance is 0.

    Parameters
    ----------
    relevance : of one sample, (F,), (H, W) or (C, H, W)

    Raises
    ------
    ShapeError, NonFiniteError, ParameterError
        Where it cannot be drawn.
    """
    plain_map(relevance)  # refuses what cannot be drawn
    return _scaled(plain_map(np.abs(np.asarray(relevance, dtype=np.float64))))


def _scaled(values: Array) -> Array:
    top = float(values.max(initial=0.0))
    return values / top if top > 0 else np.zeros_like(values)


def grey_map(relevance: Any) -> Array:
    """Σ |R| over channels as brightness, (H, W, 3) uint8; black is 0, white the largest.

    Parameters
    ----------
    relevance : of one sample, (F,), (H, W) or (C, H, W)
    """
    return _grey(magnitude(relevance))


def projection(relevance: Any) -> Array:
    """R / (2 max |R|) + ½ as brightness, (H, W, 3) uint8: grey is 0, white speaks for, black against.

    Parameters
    ----------
    relevance : of one sample, (F,), (H, W) or (C, H, W), whose channels are summed
    """
    values = plain_map(relevance)
    top = float(np.abs(values).max(initial=0.0))
    return _grey(values / (2 * top) + 0.5 if top > 0 else np.full_like(values, 0.5))


def scaled_input(x: Any, relevance: Any) -> Array:
    """The input, as bright as Σ |R| over channels is large, (H, W, 3) uint8.

    Parameters
    ----------
    x : the input, (F,), (H, W), (C, H, W), or an image (H, W, 3)
    relevance : of the sample
    """
    return np.asarray(np.rint(as_image(x) * _on(x, magnitude(relevance))[..., None]), dtype=np.uint8)


def masked_input(x: Any, relevance: Any, segments: Any = None, top: int = TOP) -> Array:
    """The input where its most relevant segments are, and black elsewhere, (H, W, 3) uint8.

    Parameters
    ----------
    x : the input, (H, W), (C, H, W), or an image (H, W, 3)
    relevance : of the sample
    segments : integer labels (H, W), such as superpixels; an int p: square patches of p × p cells; None: 16 patches across
    top : how many segments with the largest Σ R stay; of equal ones those of the lowest labels

    Raises
    ------
    ParameterError, ShapeError
        Where labels are negative or of another shape, or `top` is no positive number.
    """
    values = plain_map(relevance)
    labels = _labels(segments, values.shape)
    if top < 1:
        raise ParameterError(f"a mask leaves at least 1 segment, found top={top}")
    sums = np.bincount(labels.reshape(-1), weights=values.reshape(-1))
    present = np.flatnonzero(np.bincount(labels.reshape(-1)))
    kept = present[np.argsort(-sums[present], kind="stable")[:top]]
    return np.asarray(as_image(x) * _on(x, np.isin(labels, kept))[..., None], dtype=np.uint8)


def _labels(segments: Any, shape: tuple[int, ...]) -> Array:
    if segments is None:
        segments = max(1, -(-max(shape) // PATCHES))
    if isinstance(segments, (int, np.integer)) and not isinstance(segments, bool):
        if segments < 1:
            raise ParameterError(f"a patch has at least 1 cell across, found {segments}")
        rows, columns = (np.arange(extent) // int(segments) for extent in shape)
        return np.asarray(rows[:, None] * (int(columns.max(initial=0)) + 1) + columns)
    labels = np.asarray(segments)
    if labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise ParameterError("segments are non-negative integer labels, or one int for square patches")
    if labels.shape != tuple(shape):
        raise ShapeError(f"segments of shape {labels.shape} for a map of {tuple(shape)}")
    return labels


def blend(x: Any, relevance: Any, *, sigma: float | None = SIGMA, cmap: Any = "jet", opacity: float = 0.5) -> Array:
    """The input under |Σ R over channels| after a blur, (H, W, 3) uint8; nothing of the sign is left.

    Parameters
    ----------
    x : the input, (H, W), (C, H, W), or an image (H, W, 3)
    relevance : of the sample
    sigma : the standard deviation of the blur in cells; None: 0.02 of the larger side (Samek et al. 2021, §1.5)
    cmap : the colours from 0 to the largest, as `heatmap` takes them
    opacity : of the colours, from 0 to 1

    Raises
    ------
    ParameterError, UnknownNameError, MissingExtraError
        Where the opacity or the blur is out of its range, or there are no such colours.
    """
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity is from 0 to 1, found {opacity}")
    values = np.abs(plain_map(relevance))
    soft = _scaled(blurred(values, SIGMA_OF_SIZE * max(values.shape) if sigma is None else sigma))
    table = table_of(cmap)
    if cmap is None:
        table = table[len(table) // 2 :]
    colours = table[np.rint(soft * (len(table) - 1)).astype(np.intp)].astype(np.float64)
    base = as_image(x).astype(np.float64)
    return np.asarray(np.rint((1 - opacity) * base + opacity * _on(x, colours)), dtype=np.uint8)


def _on(x: Any, cells: Array) -> Array:
    """The cell of each pixel of the input's image, which may be finer than the map."""
    shape = as_image(x).shape[:2]
    picks = [np.arange(wide) * extent // max(wide, 1) for wide, extent in zip(shape, cells.shape[:2], strict=True)]
    return np.asarray(cells[picks[0][:, None], picks[1]])


def _grey(values: Array) -> Array:
    if not np.isfinite(values).all():
        raise NonFiniteError("NaN or infinity in the relevance to be drawn")
    return np.asarray(np.rint(255 * values), dtype=np.uint8)[..., None].repeat(3, axis=2)
