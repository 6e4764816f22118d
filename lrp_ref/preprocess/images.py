"""Reading images: whatever the file's mode, upright, grey or RGB, eight bits."""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import FormatError, LrpError, missing_extra

if TYPE_CHECKING:
    from PIL.Image import Image

#: Files that are read as images, by suffix.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

#: What Pillow's parsers raise on damaged files, as fuzzing found; anything else would be a defect of ours.
_BROKEN = (OSError, SyntaxError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error,
           MemoryError, RuntimeError)  # fmt: skip


def read_image(path: str | Path) -> Image:
    """An image from a file, upright (EXIF), in mode L or RGB.

    Transparency is laid on white. Of 16 bits the upper eight are kept. Palettes, CMYK, YCbCr and HSV become RGB; colour
    profiles are ignored, as networks' training pipelines do. Of several frames the first is read.

    Parameters
    ----------
    path : the file

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
            warnings.simplefilter("ignore")  # on damaged metadata; the pixels decide
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with source.open("rb") as file, Image.open(file) as opened:
                return _plain(ImageOps.exif_transpose(opened), source)
    except LrpError:
        raise
    except UnidentifiedImageError:
        raise FormatError(f"{source}: this is no image that Pillow can read") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise FormatError(f"{source}: {error}") from None
    except _BROKEN as error:
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
        return Image.alpha_composite(ground, over).convert("L" if image.mode in ("L", "LA", "La") else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
