"""What is done to an image before a network sees it, as a record; and the values that the network's input can take for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..arrays import Array
from ..errors import ParameterError, ShapeError
from ..network.domain import Domain
from .checks import crop_of, extents, finite_number, numbers, pair

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pixels that an image may have after it is resized.
PIXELS = 2**27
ORDERS = ("RGB", "BGR")
LAYOUTS = ("CHW", "HWC", "HW")
RESAMPLE = ("nearest", "bilinear", "bicubic", "lanczos")
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Preprocessing:
    r"""From an image to an array: cut to size, then :math:`x_c = (\text{scale} \cdot p_c - \text{mean}_c) / \text{std}_c`.

    Parameters
    ----------
    size : the size of the result, an int for a square or (height, width); where `crop` is a size, the size before it, an int
        for the shorter side; None: the model's
    crop : how an image of other proportions gets there. None: each side is resized for itself. "square": the largest part in
        the middle that has the result's proportions is cut out, then resized. A fraction such as 0.875: the image is resized
        to the least size that covers size / 0.875, then `size` is cut out of the middle. An int or (height, width): the
        image is resized to `size`, then this is cut out of the middle
    mean, std : one number, or one for each channel in the order in which the network takes them
    scale : what pixel values 0 to 255 are multiplied by first, such as 1/255
    order : "RGB" or "BGR", the order in which the network takes the channels
    layout : "CHW" (channels first), "HWC", or "HW" for grey inputs without that axis; None: the model's, else "CHW"
    resample : "nearest", "bilinear", "bicubic" or "lanczos", as Pillow computes it
    channels : 1 for grey, 3 for colour; None: the model's, else the image's

    Raises
    ------
    ParameterError
        Where a parameter is none of these.
    """

    size: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | float | str | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1.0
    order: str = "RGB"
    layout: str | None = None
    resample: str = "bilinear"
    channels: int | None = None

    _choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "order": ORDERS,
        "layout": (*LAYOUTS, None),
        "resample": RESAMPLE,
        "channels": (*_MODES, None),
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", None if self.size is None else extents(self.size, "size"))
        object.__setattr__(self, "crop", crop_of(self.crop))
        for name in ("mean", "std"):
            object.__setattr__(self, name, numbers(getattr(self, name), name))
        object.__setattr__(self, "scale", finite_number(self.scale, "scale"))
        if self.scale <= 0 or min(self.std) <= 0:
            raise ParameterError(f"scale and std must be positive, found {self.scale} and {self.std}")
        for name, known in self._choices.items():
            value = getattr(self, name)
            if isinstance(value, bool) or value not in known:
                listed = ", ".join(str(k) for k in known if k is not None)
                raise ParameterError(f"Preprocessing.{name} is one of {listed}, found {value!r}")
        self._check_channels()

    def _check_channels(self) -> None:
        counts = {len(values) for values in (self.mean, self.std)} - {1}
        if self.channels is None and len(counts) == 1:
            object.__setattr__(self, "channels", counts.pop())
        elif counts - {self.channels}:
            wanted = "agree" if self.channels is None else f"be 1 or {self.channels}, as there are channels"
            raise ParameterError(f"the lengths of mean and std must {wanted}, found {len(self.mean)} and {len(self.std)}")

    # --- an image, step by step ---------------------------------------------------------------------------------------

    def __call__(self, image: Image) -> Array:
        """One sample, float64, without the batch axis."""
        return self.values(np.asarray(self.cut(image)))

    def cut(self, image: Image) -> Image:
        """The image, grey or RGB, cut and resized: what the network sees, as a picture.

        Parameters
        ----------
        image : in any mode that Pillow converts

        Raises
        ------
        ShapeError
            Where the image is too small for the crop, or too narrow to be resized.
        """
        plain = image.convert(_MODES[self.channels or (1 if image.mode in ("1", "L") else 3)])
        if self.crop is None:
            return plain if self.size is None else self._resized(plain, pair(self.size))
        if isinstance(self.crop, str):
            part = _proportional(plain, (1, 1) if self.size is None else pair(self.size))
            return part if self.size is None else self._resized(part, pair(self.size))
        if isinstance(self.crop, float):
            if self.size is None:
                raise ShapeError(f"a crop of {self.crop} needs size=: the model does not state the size of its input")
            height, width = pair(self.size)
            covered = self._covering(plain, (math.floor(height / self.crop), math.floor(width / self.crop)))
            return _centre(covered, (height, width))
        if isinstance(self.size, int):
            plain = self._covering(plain, (self.size, self.size))
        elif self.size is not None:
            plain = self._resized(plain, self.size)
        return _centre(plain, pair(self.crop))

    def _resized(self, image: Image, size: tuple[int, int]) -> Image:
        from PIL import Image

        height, width = size
        if height < 1 or width < 1 or height * width > PIXELS:
            raise ShapeError(f"an image of {image.height} × {image.width} pixels cannot be resized to {height} × {width}")
        # Pillow does nothing where the size is right already.
        return image.resize((width, height), Image.Resampling[self.resample.upper()])

    def _covering(self, image: Image, size: tuple[int, int]) -> Image:
        """The image resized to the least size of its proportions that covers `size`; for a square, its shorter side is."""
        height, width = size
        if image.width * height >= image.height * width:
            return self._resized(image, (height, int(height * image.width / image.height)))
        return self._resized(image, (int(width * image.height / image.width), width))

    def values(self, pixels: Array) -> Array:
        """The network's input for pixels (H, W) or (H, W, 3), 0 to 255, in the layout.

        Parameters
        ----------
        pixels : of an image that is cut and resized
        """
        array = np.asarray(pixels, dtype=np.float64)
        array = array[..., None] if array.ndim == 2 else array
        ordered = array[..., ::-1] if self.order == "BGR" else array
        return np.ascontiguousarray(self.arranged(self.affine(ordered)))

    def affine(self, values: Array) -> Array:
        r"""The affine map :math:`(\text{scale} \cdot p - \text{mean}) / \text{std}` of values (H, W, C).

        Parameters
        ----------
        values : pixels in the order of the channels that the network takes
        """
        return np.asarray((values * self.scale - np.array(self.mean)) / np.array(self.std))

    def arranged(self, array: Array) -> Array:
        """The array (H, W, C) in the layout.

        Parameters
        ----------
        array : with channels at the end
        """
        if self.layout == "HWC":
            return array
        return array[..., 0] if self.layout == "HW" else np.moveaxis(array, -1, 0)

    @property
    def domain(self) -> Domain:
        """What black and white become: the bounds of every input, for each channel where they differ.

        They are computed as the pixels are, so that no pixel leaves them.
        """
        ends = (self.affine(np.full((1, 1, 1), p)) for p in (0.0, 255.0))
        return Domain(*(e.reshape(()) if e.size == 1 else self.arranged(e) for e in ends))

    @property
    def result(self) -> tuple[int, int] | None:
        """The height and width of what is made of any image; None: not said."""
        fixed = self.crop if isinstance(self.crop, (int, tuple)) else self.size
        return None if fixed is None else pair(fixed)

    def replace(self, **options: Any) -> Preprocessing:
        """The same preprocessing with other parameters; new statistics (mean=, std=) may have another number of channels.

        Parameters
        ----------
        options : parameters of a `Preprocessing` by name

        Raises
        ------
        ParameterError
            Where the parameters contradict each other, as of a `Preprocessing`.
        """
        if self.channels not in (None, 1) and {"mean", "std"} & options.keys():
            options = {"channels": None} | options
        return replace(self, **options)


@dataclass(frozen=True)
class Stretched(Preprocessing):
    """Black becomes the low end of a model's domain, white its high end; both are met exactly.

    Parameters
    ----------
    bounds : the domain; None: [0, 1]
    """

    bounds: Domain | None = None

    def values(self, pixels: Array) -> Array:
        """The network's input for pixels (H, W) or (H, W, 3), 0 to 255, stretched to the domain.

        Parameters
        ----------
        pixels : of an image that is cut and resized

        Raises
        ------
        ShapeError
            Where the domain does not broadcast against the image.
        """
        unit = super().values(pixels) / 255
        low, high = (np.asarray(b, dtype=np.float64) for b in (self.domain.low, self.domain.high))
        try:
            return np.asarray(low * (1 - unit) + high * unit)
        except ValueError:
            raise ShapeError(f"the domain {self.domain} does not broadcast against an image of shape {unit.shape}") from None

    @property
    def domain(self) -> Domain:
        """The bounds."""
        return Domain(0.0, 1.0) if self.bounds is None else self.bounds


def _proportional(image: Image, size: tuple[int, int]) -> Image:
    """The largest part in the middle that has the proportions of `size`; odd rests go to the right and below."""
    height, width = size
    if image.width * height >= image.height * width:
        inner = (image.height, max(1, image.height * width // height))
    else:
        inner = (max(1, image.width * height // width), image.width)
    left, top = (image.width - inner[1]) // 2, (image.height - inner[0]) // 2
    return image.crop((left, top, left + inner[1], top + inner[0]))


def _centre(image: Image, size: tuple[int, int]) -> Image:
    height, width = size
    if image.height < height or image.width < width:
        raise ShapeError(
            f"an image of {image.height} × {image.width} pixels is smaller than the crop of {height} × {width}: give size=, to "
            "which it is resized before"
        )
    # Halves are rounded to even numbers, as torchvision's CenterCrop rounds them.
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
