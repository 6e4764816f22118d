"""What stands in the place of what a method takes away from an input."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, check_number, fractions, integer, is_exact, like, total, unmasked, zeros
from ..errors import ExactnessError, NumberTypeError, ParameterError, ShapeError
from .base import written
from .draws import check_seed, checked_keys, generator
from .perturbation import background


class Replacement(ABC):
    """A rule that gives an input of the same shape, cells of which replace those of the input."""

    @abstractmethod
    def backgrounds(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, ...]:
        """The inputs that cells are taken from, one for each draw: (N, …), or (1, …) where all samples have the same.

        Parameters
        ----------
        x : the inputs (N, …)
        axes : those that are of space or time
        """


@dataclass(frozen=True, eq=False)
class Value(Replacement):
    """A number, or an array that broadcasts against one sample.

    Parameters
    ----------
    value : what cells become
    """

    value: Any = 0

    def __str__(self) -> str:
        return str(written(self.value))

    def backgrounds(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, ...]:
        return (background(self.value, x, "the replacement")[None],)


@dataclass(frozen=True)
class Blur(Replacement):
    r"""The input itself, blurred by a Gaussian (`CONV-BLUR`).

    .. math:: b(u) = \sum_v g_\sigma(u - v)\, x(v) \Big/ \sum_v g_\sigma(u - v)

    The sums are over cells of the input. It has no rational form.

    Parameters
    ----------
    sigma : the standard deviation, in cells
    """

    sigma: float = 10.0

    def __post_init__(self) -> None:
        check_number(self.sigma, "Blur.sigma")
        if self.sigma <= 0:
            raise ParameterError(f"Blur.sigma must be positive, found {self.sigma!r}")

    def backgrounds(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, ...]:
        return (blurred(x, self.sigma, axes),)


@dataclass(frozen=True)
class Noise(Replacement):
    """Gaussian noise, independent for every cell: the mean over draws of what is explained.

    A draw is made for one sample's shape, from `SeedSequence(seed, spawn_key=(draw,))`: it is the same for every sample, in any
    batch, and for every patch (`CONV-SEED`).

    Parameters
    ----------
    sigma : the standard deviation
    mean : of the noise; a number, or an array that broadcasts against one sample
    draws : how many draws the mean is over
    seed : an integer ≥ 0
    per_sample_keys : an integer ≥ 0 for every sample: its noise is then from the spawn key (draw, key); None: the same for all
    """

    sigma: float = 1.0
    mean: Any = 0
    draws: int = 1
    seed: int = 0
    per_sample_keys: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_number(self.sigma, "Noise.sigma", 0)
        integer(self.draws, "Noise.draws", 1)
        check_seed(self.seed)
        if self.per_sample_keys is not None:
            object.__setattr__(self, "per_sample_keys", checked_keys(self.per_sample_keys, len(self.per_sample_keys)))

    def backgrounds(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, ...]:
        keys = checked_keys(self.per_sample_keys, len(x)) or (None,)
        mean = background(self.mean, x, "Noise.mean")
        draws = [[generator(self.seed, draw, key).standard_normal(x.shape[1:]) for key in keys] for draw in range(self.draws)]
        sigma = like(self.sigma, x)
        return tuple(mean + sigma * like(np.reshape(found, (len(keys), *x.shape[1:])), x) for found in draws)


@dataclass(frozen=True)
class Deletion(Replacement):
    """The time step is taken out, and the sequence is shorter: what replaces it is nothing.

    It serves models that take sequences of any length.
    """

    def backgrounds(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, ...]:
        raise ParameterError("Deletion takes cells out of a sequence; there is nothing that replaces them")


def data_mean(data: Any) -> Value:
    """The mean of a data set, cell by cell, as a replacement.

    Parameters
    ----------
    data : (N, …), samples of the shape of those that are explained

    Raises
    ------
    ShapeError
        Where there is no sample.
    """
    array = np.asarray(unmasked(data, "data"))
    if array.ndim < 1 or not len(array):
        raise ShapeError(f"the mean of a data set needs at least one sample (N, …), found shape {array.shape}")
    if not is_exact(array):
        return Value(array.mean(axis=0, dtype=np.float64))
    return Value(total(array, (0,)) / fractions(len(array)))


#: Replacements by name, as `replacement=` and the command line take them.
REPLACEMENTS: dict[str, Replacement] = {"blur": Blur(), "noise": Noise(), "delete": Deletion(), "zero": Value()}


def replacement_of(value: Any) -> Replacement:
    """A replacement from a `Replacement`, a name, a number or an array.

    Raises
    ------
    UnknownNameError
        Where there is none of this name.
    """
    from ..errors import unknown

    if isinstance(value, Replacement):
        return value
    if isinstance(value, str):
        if value not in REPLACEMENTS:
            raise unknown("replacement", value, REPLACEMENTS)
        return REPLACEMENTS[value]
    if isinstance(value, bool) or value is None:
        raise NumberTypeError(f"a replacement is a number, an array, a name or a Replacement, found {value!r}")
    return Value(value)


def blurred(x: Array, sigma: float, axes: tuple[int, ...]) -> Array:
    """Inputs blurred by a Gaussian, whose weights are divided by the sum of those inside.

    Parameters
    ----------
    x : (N, …)
    sigma : the standard deviation, in cells
    axes : along which

    Raises
    ------
    ExactnessError
        Where x holds rationals.
    """
    for axis in axes:
        x = times_matrix(x, blur_weights(x.shape[axis], sigma, x), axis)
    return x


def blur_weights(extent: int, sigma: float, x: Array) -> Array:
    """The weights (cells, cells) of a Gaussian blur along one axis, in the number type of x.

    Parameters
    ----------
    extent : of the axis
    sigma : the standard deviation, in cells
    x : for its number type

    Raises
    ------
    ExactnessError
        Where x holds rationals.
    """
    if is_exact(x):
        raise ExactnessError("a Gaussian blur is not rational: explain in float64, or replace by a number, without smoothing")
    cells = np.arange(extent)
    weights = np.exp(-((cells[:, None] - cells) ** 2) / (2 * float(sigma) ** 2))
    return like(weights / weights.sum(axis=1, keepdims=True), x)


def times_matrix(a: Array, matrix: Array, axis: int) -> Array:
    """Σ_j a_j matrix_kj along one axis, sample by sample, so that no bit depends on the batch.

    Parameters
    ----------
    a : (B, …)
    matrix : (cells after, cells before)
    axis : along which
    """
    rows = np.ascontiguousarray(np.moveaxis(a, axis, -1))
    product = np.matmul(rows.reshape(len(a), math.prod(rows.shape[1:-1]), rows.shape[-1]), np.ascontiguousarray(matrix.T))
    return np.ascontiguousarray(np.moveaxis(product.reshape(*rows.shape[:-1], len(matrix)), -1, axis))


def mean_over_draws(values: Array) -> Array:
    """(N, count, draws, T) to (N, count, T): added draw by draw, so that no bit depends on the memory."""
    added = zeros((*values.shape[:2], values.shape[3]), values)
    for draw in range(values.shape[2]):
        added = added + values[:, :, draw]
    return np.asarray(added / like(values.shape[2], values))
