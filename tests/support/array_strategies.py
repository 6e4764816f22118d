"""Hypothesis strategies of numbers and arrays, and the number types that they are moved to.

Values come from a small drawn palette that a drawn seed lays out: a failure shrinks to few, simple numbers and small
shapes, and large arrays cost no more entropy than small ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lrp_ref.arrays import Array, Shape, fractions

NUMBER_TYPES = (object, np.float64, np.float32)
FLOAT_TYPES = (np.float64, np.float32)

# ---- numbers ---------------------------------------------------------------------------------------------------------

Numbers = SearchStrategy[float]

_QUARTERS = st.integers(1, 12).map(lambda k: k / 4)


def zeros() -> Numbers:
    """0 and −0."""
    return st.sampled_from([0.0, -0.0])


def positives() -> Numbers:
    """Small positive dyadic rationals: 1/4 … 3."""
    return _QUARTERS


def negatives() -> Numbers:
    """Small negative dyadic rationals: −3 … −1/4."""
    return _QUARTERS.map(lambda x: -x)


def nonnegatives() -> Numbers:
    """0, −0 and small positive dyadic rationals."""
    return zeros() | positives()


def dyadics() -> Numbers:
    """Small dyadic rationals of any sign, ±0 included: sums and products of a few hundred are exact in float64."""
    return zeros() | positives() | negatives()


def floats(limit: float = 1e3) -> Numbers:
    """General numbers that float32 holds: any sign and size up to `limit`, zeros included, none of them tiny."""
    bound = float(np.float32(limit))
    normal = st.floats(2.0**-20, bound, width=32)
    return zeros() | normal | normal.map(lambda x: -x)


def nonzero(numbers: Numbers) -> Numbers:
    """`numbers` without their zeros."""
    return numbers.filter(bool)


@st.composite
def any_dyadics(draw: DrawFn) -> Numbers:
    """A strategy of numbers itself: mixed signs mostly, sometimes of one sign, sometimes mostly zeros."""
    return draw(st.sampled_from([dyadics(), dyadics(), dyadics(), nonnegatives(), negatives(), zeros()]))


# ---- arrays ----------------------------------------------------------------------------------------------------------


@st.composite
def arrays(draw: DrawFn, shape: Shape, numbers: Numbers | None = None, strided: bool = True) -> Array:
    """A float64 array of `shape` with elements of `numbers`, in one of several memory layouts if `strided`."""
    numbers = dyadics() if numbers is None else numbers
    size = math.prod(shape)
    palette = np.array(draw(st.lists(numbers, min_size=1, max_size=min(max(size, 1), 12))), dtype=np.float64)
    if len(palette) == size:
        cells = palette.reshape(shape)
    else:
        seed = draw(st.integers(0, 2**32 - 1))
        cells = palette[np.random.default_rng(seed).integers(0, len(palette), size=shape)].reshape(shape)
    return laid_out(cells, draw(st.sampled_from(LAYOUTS))) if strided and cells.ndim else cells


LAYOUTS = ("C", "Fortran", "every second", "reversed")


def laid_out(array: Array, layout: str) -> Array:
    """The values of `array` behind another set of strides."""
    if layout == "Fortran":
        return np.array(array, order="F")
    if layout == "every second":
        wide = np.repeat(array, 2, axis=-1)
        return wide[..., ::2]
    if layout == "reversed":
        return np.array(array[..., ::-1], order="C")[..., ::-1]
    return np.array(array, order="C")


def cast(array: Array, dtype: Any) -> Array:
    """`array` in another number type; a cast to `object` gives the exact values as fractions. Strides are kept."""
    if np.dtype(dtype) == object:
        return fractions(array)
    return array.astype(dtype, order="K")
