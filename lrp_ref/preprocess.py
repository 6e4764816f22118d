"""From an image to an array for a model, and whether an array fits the model's domain.

The input's shape says how many channels an image gets and which size; the domain says what black and white become.
Images need Pillow, which the extra `plot` installs.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Array, Shape
from .errors import FormatError, GraphError, ShapeError, missing_extra, unknown
from .layers.conv import Conv
from .model import Model

if TYPE_CHECKING:
    from PIL.Image import Image

    from .domain import Domain

#: Files that are read as images, by suffix.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
PRESETS = {
    "unit": "black becomes the domain's low, white its high; 0 and 1 for a model without a domain",
    "none": "grey values 0 to 255, as they are",
}
_MODES = {1: "L", 3: "RGB"}


def read_image(path: str | Path) -> Image:
    """An image from a file, upright (EXIF), in mode L or RGB; transparency is laid on white, 16 bits become 8.

    Raises
    ------
    MissingExtraError
        Where Pillow is not installed.
    FormatError
        Where the file is missing, no image, broken, or so large that Pillow suspects a decompression bomb.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise missing_extra("Pillow", "plot", "reading an image") from None
    source = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with source.open("rb") as file, Image.open(file) as opened:
                return _plain(ImageOps.exif_transpose(opened), source)
    except UnidentifiedImageError:
        raise FormatError(f"{source}: this is no image that Pillow can read") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise FormatError(f"{source}: {error}") from None
    except (OSError, SyntaxError, EOFError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise FormatError(f"{source}: the image cannot be read: {reason}") from None


def _plain(image: Image, source: Path) -> Image:
    """The image in mode L or RGB."""
    from PIL import Image

    if image.mode == "F":
        raise FormatError(f"{source}: an image of floating point numbers has no known range; give it as .npy")
    if image.mode.startswith("I"):
        # Divided by what 16 bits can hold, never by the largest value that happens to occur.
        grey = np.clip(np.asarray(image, dtype=np.float64) / 65535, 0, 1)
        return Image.fromarray(np.rint(grey * 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        over = image.convert("RGBA")
        ground = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(ground, over).convert("L" if image.mode in ("L", "LA") else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def image_shape(model: Model, name: str | None = None) -> tuple[int, int | None, int | None]:
    """(channels, height, width) that the model's input wants of an image; None where any size will do.

    Parameters
    ----------
    name : which input; None: the only one

    Raises
    ------
    ShapeError, GraphError
        Where the input is no image, or nothing says how many channels it has.
    """
    if name is None and len(model.inputs) > 1:
        raise GraphError(f"the model has several inputs; name the image's: {', '.join(model.inputs)}")
    chosen = model.inputs[0] if name is None else name
    shape = model.input_shape.get(chosen)
    if shape is None:
        for node in model.readers(chosen):
            if isinstance(node.layer, Conv) and node.layer.dims == 2:
                return node.layer.lower, None, None
        raise ShapeError(f"the model does not state the shape of {chosen!r}: make it with input_shape=(channels, height, width)")
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) != 3:
        raise ShapeError(
            f"input {chosen!r} has samples of shape {shape}; an image fits (channels, height, width) or (height, width)"
        )
    return shape[0], shape[1], shape[2]


def array_of(image: Image, model: Model, *, name: str | None = None, preset: str = "unit") -> Array:
    """An image as one sample of the model's input, in its shape, domain and number type, without the batch axis.

    The image becomes grey or RGB as the channels demand, and is resized (bilinear, each side for itself) where the
    model states a size.

    Parameters
    ----------
    image : a Pillow image
    model : its `input_shape` and `domain` are followed
    name : which input; None: the only one
    preset : one of `PRESETS`

    Raises
    ------
    ShapeError, GraphError, UnknownNameError
        Where the model's input is no image, or the preset does not exist.
    """
    from PIL import Image

    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    channels, height, width = image_shape(model, name)
    if channels not in _MODES:
        raise ShapeError(f"an image has 1 or 3 channels, and the model's input {channels}; give it as .npy")
    plain = image.convert(_MODES[channels])
    size = (width or plain.width, height or plain.height)
    if size != plain.size:
        plain = plain.resize(size, Image.Resampling.BILINEAR)
    chosen = model.inputs[0] if name is None else name
    pixels = np.asarray(plain, dtype=np.float64).reshape(size[1], size[0], channels)
    sample = np.moveaxis(pixels, 2, 0)
    if preset == "unit":
        sample = _into(sample / 255, model.domain.get(chosen))
    shape: Shape = model.input_shape.get(chosen) or sample.shape
    dtype = np.float64 if model.dtype == object else model.dtype
    return np.ascontiguousarray(sample.reshape(shape), dtype=dtype)


def _into(unit: Array, domain: Domain | None) -> Array:
    """[0, 1] stretched to the domain; the ends are met exactly."""
    if domain is None:
        return unit
    low, high = (np.asarray(b, dtype=np.float64) for b in (domain.low, domain.high))
    try:
        return np.asarray(low * (1 - unit) + high * unit)
    except ValueError:
        raise ShapeError(f"the domain {domain} does not broadcast against an image of shape {unit.shape}") from None


def misfit(x: Any, domain: Domain | None) -> str | None:
    """What is suspicious about the range of `x`, as a sentence; None where it fits the domain.

    Suspicious are values outside, by more than 1e-5 of its width, and values that fill less than a twentieth of it, as
    pixels in [0, 1] do where the network was made for [0, 255].
    """
    array = np.asarray(x)
    if domain is None or not array.size:
        return None
    array = array.astype(np.float64)
    found = f"the input's values lie in [{array.min():.6g}, {array.max():.6g}]"
    low, high = (np.asarray(b, dtype=np.float64) for b in (domain.low, domain.high))
    try:
        outside = np.count_nonzero((array < low - 1e-5 * (high - low)) | (array > high + 1e-5 * (high - low)))
    except ValueError:
        return f"the model's domain {domain} does not broadcast against an input of shape {array.shape}"
    asked = f"the model's domain {domain}: was the input preprocessed for this model?"
    if outside:
        return f"{found}, {outside} of {array.size} outside {asked}"
    width = float(np.max(high - low))
    if array.size > 1 and array.max() - array.min() < width / 20:
        return f"{found}, a small part of {asked}"
    return None
