"""Randomness that is the same for the same seed, in any batch and any block (`CONV-SEED`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import integer
from ..errors import ParameterError


def check_seed(seed: object) -> int:
    """A seed as an int.

    Parameters
    ----------
    seed : an integer of at least 0

    Raises
    ------
    ParameterError
        Where it is none: there is no unseeded randomness.
    """
    return integer(seed, "seed", 0)


def generator(seed: int, draw: int, key: int | None = None) -> np.random.Generator:
    """The numbers of one draw: the same for every sample, whatever the batch.

    Parameters
    ----------
    seed : of all draws
    draw : the number of the draw
    key : of a sample that has draws of its own; None: all samples have the same
    """
    spawn = (draw,) if key is None else (draw, key)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(check_seed(seed), spawn_key=spawn)))


def checked_keys(keys: object, count: int) -> tuple[int, ...] | None:
    """One key for each of `count` samples, or None.

    Parameters
    ----------
    keys : integers of at least 0; None: there are none
    count : how many samples there are

    Raises
    ------
    ParameterError
        Where they are not as many integers.
    """
    if keys is None:
        return None
    if not isinstance(keys, (Sequence, np.ndarray)) or isinstance(keys, str) or len(keys) != count:
        raise ParameterError(f"per_sample_keys has one integer for each of {count} sample(s), found {keys!r}")
    return tuple(integer(key, "an entry of per_sample_keys", 0) for key in keys)
