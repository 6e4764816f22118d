"""A request for a batch as requests for its blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array, Shape, integer
from ..errors import ParameterError
from .start import Request
from .targets import indices, several, spelled


def blocks(arrays: Mapping[str, Array], request: Request, output: Shape, size: int) -> Iterator[tuple[dict[str, Array], Request]]:
    """The samples of each block, and what is asked of them.

    Parameters
    ----------
    arrays : for each input its samples, (N, …)
    request : for all of them
    output : the shape of the output, (N, …)
    size : samples in a block

    Raises
    ------
    TargetError
        Where a target does not fit the output.
    ParameterError
        Where the size is no positive whole number.
    """
    size = integer(size, "batch_size", 1)
    scores = np.broadcast_to(np.float64(0), output)
    for_each: dict[str, Any] = {name: spelled(found, output[1:]) for name, found in _indices(request, scores).items()}
    if request.start is not None:
        for_each["start"] = np.asarray(request.start)
        if for_each["start"].shape[:1] != output[:1]:
            raise ParameterError(f"start has {for_each['start'].shape[:1]} samples, and the input {output[0]}")
    for begin in range(0, output[0], size):
        part = slice(begin, begin + size)
        yield (
            {name: array[part] for name, array in arrays.items()},
            replace(request, **{name: array[part] for name, array in for_each.items()}),
        )


def _indices(request: Request, scores: Array) -> dict[str, Array]:
    """The flat indices, for each sample, of what is asked for by index; names such as "all" mean the same in each block."""
    found: dict[str, Array] = {}
    for name in ("target", "contrast"):
        value: Any = getattr(request, name)
        if value is not None and not isinstance(value, str):
            found[name] = indices(value, scores, name)[:, 0]
    if request.targets is not None:
        found["targets"] = several(request.targets, scores)
    return found


def reporter(progress: Any) -> Any:
    """A function (done, all) from what was given as progress=.

    Parameters
    ----------
    progress : False or None: nothing is said; True: a line on the standard error; a function: it is called with both numbers

    Raises
    ------
    ParameterError
        Where it is something else.
    """
    if not progress:
        return lambda *_: None
    if progress is True:
        return _say
    if not callable(progress):
        raise ParameterError(f"progress is True or a function of (done, all), found {progress!r}")
    return progress


def _say(done: int, count: int) -> None:
    import sys

    end = "\n" if done == count else ""
    begin = "\r" if sys.stderr.isatty() or not end else ""
    sys.stderr.write(f"{begin}{done} of {count} explained{end}")
    sys.stderr.flush()
