"""Pixels as a PNG, packed quickly."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from ..arrays import Array

#: The fastest: a picture of flat colours and repeated cells is hardly smaller at 6, which takes four times as long.
LEVEL = 1


def png(pixels: Array, dpi: int) -> bytes:
    """A PNG file (ISO/IEC 15948) of (H, W, 3) uint8, at so many dots per inch.

    Lines are stored without a filter: the filters make photographs smaller, and pictures of enlarged cells larger.

    Parameters
    ----------
    pixels : the image
    dpi : dots per inch, which the file states
    """
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter, 0
    lines[:, 1:] = pixels.reshape(height, -1)
    metre = round(dpi / 0.0254)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),  # 8 bits of red, green and blue
        (b"pHYs", struct.pack(">IIB", metre, metre, 1)),
        (b"IDAT", zlib.compress(lines.data, LEVEL)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
