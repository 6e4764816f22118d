"""From an image to an array for a network, and the domain that follows from it.

A `Preprocessing` is a record: cut to size, order of the channels, scale, mean, deviation. What the network's input takes
for it follows, and so do the bounds of the zᴮ rule. Images need Pillow, which the extra `plot` installs.
"""

from .checks import spelled
from .fitting import array_of, fitted, image_shape, misfit, with_domain
from .images import SUFFIXES, read_image
from .presets import MEANING, PRESETS, described
from .recipe import Preprocessing, Stretched
from .stored import beside, load, text_of

__all__ = [
    "MEANING",
    "PRESETS",
    "SUFFIXES",
    "Preprocessing",
    "Stretched",
    "array_of",
    "beside",
    "described",
    "fitted",
    "image_shape",
    "load",
    "misfit",
    "read_image",
    "spelled",
    "text_of",
    "with_domain",
]
