"""From an image, words or a table to an array for a network.

A `Preprocessing` is a record: cut to size, order of the channels, scale, mean, deviation. What the network's input takes
for it follows, and so do the bounds of the zᴮ rule. Images need Pillow, which the extra `plot` installs. A `Vocabulary`
says which row of a network's table each word is.
"""

from .checks import domain_text
from .csv_table import TABLE_SUFFIXES, read_table
from .first_layer import FirstLayer
from .fitting import array_of, fitted, image_shape, misfit, with_domain
from .image_presets import MEANING, PRESETS, described
from .images import SUFFIXES, read_image
from .recipe import Preprocessing, Stretched
from .recipe_file import beside, load, ratio, text_of
from .resolve import ImageInput, resolve
from .vocabulary import TEXT_SUFFIXES, Vocabulary, read_sentences

__all__ = [
    "MEANING",
    "PRESETS",
    "SUFFIXES",
    "TABLE_SUFFIXES",
    "TEXT_SUFFIXES",
    "FirstLayer",
    "ImageInput",
    "Preprocessing",
    "Stretched",
    "Vocabulary",
    "array_of",
    "beside",
    "described",
    "domain_text",
    "fitted",
    "image_shape",
    "load",
    "misfit",
    "ratio",
    "read_image",
    "read_sentences",
    "read_table",
    "resolve",
    "text_of",
    "with_domain",
]
