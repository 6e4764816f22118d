"""How much of an explanation's time is spent in reference code: counted in the code that runs, whatever a step is called.

    with counted() as clock:
        explainer(x)
    clock.seconds, clock.calls

Reference code is what defines the numbers: the computing methods of layers and rules, and a node's output by `Model.compute`.
They are replaced by ones that keep the time of the outermost call while the block runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lrp_ref.layers.base import Layer
from lrp_ref.network.model import Model
from lrp_ref.rules import Rule

METHODS = {
    Layer: ("forward", "function", "map", "map_absolute", "adjoint", "sum_vectors", "vjp", "unroll"),
    Rule: ("propagate", "relevances", "divided"),
    Model: ("compute",),
}


class Clock:
    """Seconds and calls in reference code, by class and method; inner calls belong to the outermost."""

    def __init__(self) -> None:
        self.seconds, self.calls, self.within = Counter[str](), Counter[str](), False

    def timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, which says how long it took."""

        def call(*arguments: Any, **options: Any) -> Any:
            if self.within:
                return method(*arguments, **options)
            self.within, begun = True, time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self.within = False
                self.seconds[self._named(name, arguments)] += time.perf_counter() - begun
                self.calls[self._named(name, arguments)] += 1

        return call

    @staticmethod
    def _named(name: str, arguments: tuple[Any, ...]) -> str:
        first = arguments[0]
        kind = (
            first.layer if hasattr(first, "layer") else arguments[1] if isinstance(first, Rule) and len(arguments) > 1 else first
        )
        return f"{type(kind).__name__} ({name})"


def classes(kind: type) -> Iterator[type]:
    """A class and all that inherit from it."""
    yield kind
    for below in kind.__subclasses__():
        yield from classes(below)


@contextmanager
def counted() -> Iterator[Clock]:
    """Count what runs in reference code inside of the block, in one thread."""
    clock, kept = Clock(), []
    for base, names in METHODS.items():
        for cls in dict.fromkeys(classes(base)):
            for name in names:
                own = vars(cls).get(name)
                if own is None:
                    continue
                fixed = isinstance(own, staticmethod)
                made = clock.timed(name, own.__func__ if fixed else own)
                kept.append((cls, name, own))
                setattr(cls, name, staticmethod(made) if fixed else made)
    try:
        yield clock
    finally:
        for cls, name, own in kept:
            setattr(cls, name, own)


def share(call: Callable[[], Any], rounds: int = 3) -> tuple[float, Clock]:
    """The part of a call's time that is spent in reference code, the least of several rounds, and what was counted there."""
    found = []
    for _ in range(rounds):
        with counted() as clock:
            begun = time.perf_counter()
            call()
            whole = time.perf_counter() - begun
        found.append((sum(clock.seconds.values()) / whole, clock))
    return min(found, key=lambda pair: pair[0])
