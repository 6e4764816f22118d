"""Linear equations in rationals."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..errors import ParameterError


def solve_exactly(system: Array, right: Array) -> Array:
    """The solution of linear equations in rationals, by elimination.

    Parameters
    ----------
    system : (n, n)
    right : (n, m)

    Raises
    ------
    ParameterError
        Where there is not one solution.
    """
    count = len(system)
    rows = np.concatenate([system, right], axis=1)
    for k in range(count):
        pivot = next((i for i in range(k, count) if rows[i, k] != 0), None)
        if pivot is None:
            raise undetermined(count, right.shape[1])
        rows[[k, pivot]] = rows[[pivot, k]]
        rows[k] = rows[k] / rows[k, k]
        for i in range(count):
            if i != k and rows[i, k] != 0:
                rows[i] = rows[i] - rows[i, k] * rows[k]
    return rows[:, count:]


def undetermined(unknowns: int, equations: int) -> ParameterError:
    """What to raise where equations have no single solution.

    Parameters
    ----------
    unknowns, equations : how many there are
    """
    return ParameterError(
        f"{equations} equation(s) do not determine {unknowns} coefficients: a positive ridge=, or more and other samples, do"
    )
