"""What the parameters of a preprocessing may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ParameterError
from ..network.domain import Domain

#: Extents that an image may be resized to.
LARGEST = 2**15


def domain_text(domain: Domain) -> str:
    """The bounds of a domain in words: as numbers, where there is one pair for each of a few channels.

    Parameters
    ----------
    domain : the bounds
    """
    ends = [np.asarray(bound).reshape(-1) for bound in (domain.low, domain.high)]
    if not all(1 < end.size <= 4 for end in ends):
        return str(domain)
    low, high = (", ".join(f"{float(value):.4g}" for value in end) for end in ends)
    return f"[({low}), ({high})]"


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """The height and width of a size.

    Parameters
    ----------
    value : one number for both, or (height, width)
    """
    return (value, value) if isinstance(value, int) else value


def extents(value: Any, name: str) -> int | tuple[int, int]:
    """The extents of an image: one number for a square, or (height, width).

    Parameters
    ----------
    value : what is checked
    name : of the parameter

    Raises
    ------
    ParameterError
        Where it is neither, or out of range.
    """
    if isinstance(value, (tuple, list)):
        pixels = tuple(_extent(v, name) for v in value)
        if len(pixels) == 2:
            return pixels
        raise ParameterError(f"Preprocessing.{name} is one number, or (height, width), found {value!r}")
    return _extent(value, name)


def _extent(value: Any, name: str) -> int:
    """A number of pixels."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= LARGEST:
        raise ParameterError(f"Preprocessing.{name} is a number of pixels from 1 to {LARGEST}, found {value!r}")
    return int(value)


def crop_of(value: Any) -> int | tuple[int, int] | float | str | None:
    """The value of `Preprocessing.crop`, checked.

    Parameters
    ----------
    value : None, "square", a fraction, a number of pixels, or (height, width)

    Raises
    ------
    ParameterError
        Where it is none of these.
    """
    if value is None or (isinstance(value, str) and value == "square"):
        return value
    if isinstance(value, float):
        if not 0.01 <= value <= 1:
            raise ParameterError(f"Preprocessing.crop as a fraction lies between 0.01 and 1, found {value}")
        return value
    if isinstance(value, str):
        raise ParameterError(f'Preprocessing.crop is "square", a fraction, or a size, found {value!r}')
    return extents(value, "crop")


def numbers(value: Any, name: str) -> tuple[float, ...]:
    """The numbers of a parameter for all channels or for each of three, checked.

    Parameters
    ----------
    value : one number or three
    name : of the parameter

    Raises
    ------
    ParameterError
        Where there are others, or one is not finite.
    """
    values = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    if len(values) not in (1, 3):
        raise ParameterError(f"Preprocessing.{name} is one number or three, found {len(values)}")
    return tuple(finite_number(v, name) for v in values)


def finite_number(value: Any, name: str) -> float:
    """The number of a parameter, checked.

    Parameters
    ----------
    value : what is checked
    name : of the parameter

    Raises
    ------
    ParameterError
        Where it is no finite number.
    """
    try:
        result = float(value) if not isinstance(value, (bool, str)) else math.nan
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise ParameterError(f"Preprocessing.{name} needs finite numbers, found {value!r}")
    return result
