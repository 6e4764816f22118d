"""Between a preprocessing and a model: what the input's shape and domain demand, and the domain that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, Shape
from ..errors import GraphError, ShapeError, unknown
from ..layers.conv import Conv
from ..network.domain import Domain
from ..network.model import Model
from .checks import domain_text
from .image_presets import PRESETS
from .recipe import Preprocessing, Stretched

if TYPE_CHECKING:
    from PIL.Image import Image


def image_shape(model: Model, name: str | None = None) -> tuple[int, int | None, int | None]:
    """(channels, height, width) that the model's input wants of an image; None where any size will do.

    Parameters
    ----------
    model : the network
    name : which input; None: the only one

    Raises
    ------
    ShapeError, GraphError
        Where the input is no image, or nothing says how many channels it has.
    """
    return _wanted(model, name)[:3]


def _wanted(model: Model, name: str | None) -> tuple[int, int | None, int | None, str]:
    """`image_shape`, and the layout."""
    source = _input(model, name)
    shape = model.input_shape.get(source)
    if shape is None:
        for node in model.readers(source):
            if isinstance(node.layer, Conv) and node.layer.dims == 2:
                return node.layer.lower, None, None, "CHW"
        raise ShapeError(f"the model does not state the shape of {source!r}: make it with input_shape=(channels, height, width)")
    if len(shape) == 2:
        return 1, shape[0], shape[1], "HW"
    if len(shape) != 3:
        raise ShapeError(
            f"input {source!r} has samples of shape {shape}; an image fits (channels, height, width) or (height, width)"
        )
    if shape[0] not in (1, 3) and shape[2] in (1, 3):
        return shape[2], shape[0], shape[1], "HWC"
    return shape[0], shape[1], shape[2], "CHW"


def _input(model: Model, name: str | None) -> str:
    if name is None and len(model.inputs) > 1:
        raise GraphError(f"the model has several inputs; name the image's: {', '.join(model.inputs)}")
    return model.inputs[0] if name is None else name


def fitted(preprocessing: Preprocessing | str | None, model: Model, name: str | None = None) -> Preprocessing:
    """The preprocessing with everything filled in that the model's input says: size, layout, channels.

    Parameters
    ----------
    preprocessing : a record, a preset's name, or None for one that meets the model's domain, [0, 1] where it has none
    model, name : the model, and which of its inputs; None: the only one

    Raises
    ------
    ShapeError, GraphError, UnknownNameError
        Where the model's input is no image, the preset does not exist, or sizes or channels differ.
    """
    source = _input(model, name)
    if preprocessing is None:
        preprocessing = Stretched(bounds=model.domain.get(source))
    elif isinstance(preprocessing, str):
        if preprocessing not in PRESETS:
            raise unknown("preset", preprocessing, PRESETS)
        preprocessing = PRESETS[preprocessing]
    channels, height, width, layout = _wanted(model, name)
    if preprocessing.layout not in (None, layout):
        layout, (channels, height, width) = preprocessing.layout, _read_as(preprocessing.layout, model.input_shape.get(source))
    if channels not in (1, 3):
        raise ShapeError(f"an image has 1 or 3 channels, and the model's input has {channels}; give the input as .npy")
    if preprocessing.channels not in (None, channels):
        raise ShapeError(f"the preprocessing makes {preprocessing.channels} channel(s), and the model's input has {channels}")
    ready = replace(preprocessing, channels=channels, layout=layout)
    if height is None or width is None:
        return ready
    if ready.size is None and not isinstance(ready.crop, (int, tuple)):
        ready = replace(ready, size=(height, width))
    if ready.result not in (None, (height, width)):
        result = " × ".join(map(str, ready.result or ()))
        raise ShapeError(f"the preprocessing makes images of {result} pixels, and the model's input takes {height} × {width}")
    return ready


def _read_as(layout: str, shape: Shape | None) -> tuple[int, int | None, int | None]:
    """(channels, height, width) of an input that is said to have this layout."""
    axes = len(layout)
    if shape is None:
        raise ShapeError(f"layout={layout!r}: the model does not state the shape of its input")
    if len(shape) != axes:
        raise ShapeError(f"layout={layout!r} does not fit samples of shape {shape}")
    extents = dict(zip(layout, shape, strict=True))
    return extents.get("C", 1), extents["H"], extents["W"]


def array_of(image: Image, model: Model, *, name: str | None = None, preprocessing: Preprocessing | str | None = None) -> Array:
    """An image as one sample of the model's input, in its shape and number type, without the batch axis.

    Parameters
    ----------
    image : a Pillow image
    model : its `input_shape` is followed
    name : which input; None: the only one
    preprocessing : a record, a preset's name, or None for one that meets the model's domain, [0, 1] where it has none

    Raises
    ------
    ShapeError, GraphError, UnknownNameError
        Where the model's input is no image, the preset does not exist, or sizes or channels differ.
    """
    values = fitted(preprocessing, model, name)(image)
    return np.ascontiguousarray(values, dtype=np.float64 if model.dtype == object else model.dtype)


def with_domain(model: Model, domain: Domain | Preprocessing | Any, name: str | None = None) -> Model:
    """The same model with another domain of one input, in the model's number type.

    Parameters
    ----------
    model : the network, which stays what it is
    domain : a `Domain`, a (low, high) pair, or a `Preprocessing`, whose domain is taken
    name : which input; None: the only one
    """
    source = _input(model, name)
    bounds = fitted(domain, model, name).domain if isinstance(domain, Preprocessing) else Domain.of(domain)
    return replace(model, domain={**model.domain, source: bounds.astype(model.dtype)})


def misfit(x: Any, domain: Domain | None) -> str | None:
    """A sentence on what is suspicious about the range of an input; None where it fits the domain.

    Suspicious are values outside, by more than 1e-5 of its width, and values that fill less than a twentieth of it, as
    pixels in [0, 1] do where the network was made for [0, 255].

    Parameters
    ----------
    x : the input, of any shape that the domain broadcasts against
    domain : the bounds; None: nothing is known
    """
    array = np.asarray(x)
    if domain is None or not array.size:
        return None
    array = array.astype(np.float64)
    value_range = f"the input's values lie in [{array.min():.6g}, {array.max():.6g}]"
    low, high = (np.asarray(b, dtype=np.float64) for b in (domain.low, domain.high))
    asked = f"the model's domain {domain_text(domain)}: was the input preprocessed for this model?"
    try:
        outside = np.count_nonzero((array < low - 1e-5 * (high - low)) | (array > high + 1e-5 * (high - low)))
    except ValueError:
        return f"the model's domain {domain_text(domain)} does not broadcast against an input of shape {array.shape}"
    if outside:
        return f"{value_range}, {outside} of {array.size} outside {asked}"
    width = float(np.max(high - low))
    if array.size > 1 and array.max() - array.min() < width / 20:
        return f"{value_range}, a small part of {asked}"
    return None
