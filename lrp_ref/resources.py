"""What a plan may spend: threads, memory, precision. None of it changes a definition."""

from __future__ import annotations

import os
from typing import Any

from .arrays import integer
from .errors import ParameterError, unknown
from .lazy_dataclass import lazy_dataclass

MEMORY = ("normal", "low")
#: More are never asked for: the core takes 256 at most.
MOST_THREADS = 2**16


@lazy_dataclass(frozen=True)
class Resources:
    """What a plan may spend.

    Attributes
    ----------
    threads : how many threads the compiled backend computes with; they change no bit
    memory : "normal", or "low": no transformed weights, so no Winograd convolutions
    fast : whether float32 convolutions may take the larger Winograd tiles, whose rounding is about three times that of the
        smaller ones
    """

    threads: int = 1
    memory: str = "normal"
    fast: bool = False

    def __post_init__(self) -> None:
        if self.memory not in MEMORY:
            raise unknown("memory", self.memory, MEMORY)


def chosen_threads(threads: Any) -> int:
    """The number of threads that is meant: what is given, or LRP_REF_NUM_THREADS, or as many as there are CPUs for this process.

    Parameters
    ----------
    threads : an integer of at least 1, or None: the environment decides

    Raises
    ------
    ParameterError
        Where either is no integer of at least 1.
    """
    if threads is not None:
        return min(integer(threads, "threads", 1), MOST_THREADS)
    asked = os.environ.get("LRP_REF_NUM_THREADS", "").strip()
    if asked:
        if not (asked.isascii() and asked.isdecimal() and asked.strip("0")):
            raise ParameterError(f"LRP_REF_NUM_THREADS must be an integer of at least 1, found {asked[:40]!r}")
        return int(asked[-9:]) if len(asked.lstrip("0")) < 10 else MOST_THREADS
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
