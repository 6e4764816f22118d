"""The one thing that changes after construction: a locked, bounded, invisible memo of what is prepared."""

from __future__ import annotations

from _thread import RLock  # not through threading: importing lrp_ref must stay cheap
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from .forks import fork_safe

LIMIT = 2**30  # bytes; VGG-16's stacked weights under one composite are 0.1 GB
LIGHT = 2**16  # bytes; what is smaller is counted: records of a model or a plan have no size that is worth telling

#: Of all memos: it is held for a look alone, never while something is made. A child of fork() finds every memo whole.
_lock = fork_safe(RLock())


class Key:
    """A key of many parts that is used again and again: its hash is computed once.

    Parameters
    ----------
    parts : hashable; keys are equal where these are
    """

    __slots__ = ("_hash", "_parts")

    def __init__(self, *parts: Hashable) -> None:
        self._parts, self._hash = parts, hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self._parts == other._parts)


class Memo:
    """Least recently used results. Copies and pickles are empty.

    Parameters
    ----------
    limit : bytes that are held at most, or the last result alone
    light : how many results of less than `LIGHT` bytes are held; None: any number
    """

    def __init__(self, limit: int = LIMIT, light: int | None = None) -> None:
        self._limit, self._light_limit = limit, light
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._light: OrderedDict[Hashable, None] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable, build: Callable[[], tuple[Any, int]]) -> Any:
        """The value of a key, built and held where it is missing; two threads that ask at once get the same object.

        Parameters
        ----------
        key : what the value is made from; hashable
        build : a function that gives the value with its size in bytes, of which the memo holds a limited sum
        """
        with _lock:
            found = self._found.get(key)  # keys are deep: each look hashes rules
            if found is not None:
                self._used(key, found[1])
                return found[0]
        value, size = build()  # outside the lock: a build may ask the memo itself
        dropped: list[Any] = []  # outside as well: what goes may be large
        with _lock:
            if key in self._found:  # another thread was faster; whoever asks gets the same object
                return self._found[key][0]
            self._found[key] = (value, size)
            self._size += size
            if size < LIGHT and self._light_limit is not None:
                self._light[key] = None
            while self._size > self._limit and len(self._found) > 1:
                self._drop(next(iter(self._found)), dropped)
            while self._light_limit is not None and len(self._light) > self._light_limit:
                self._drop(next(iter(self._light)), dropped)
        return value

    def _used(self, key: Hashable, size: int) -> None:
        self._found.move_to_end(key)
        if size < LIGHT and self._light_limit is not None:
            self._light.move_to_end(key)

    def _drop(self, key: Hashable, into: list[Any]) -> None:
        into.append(self._found.pop(key))
        self._size -= into[-1][1]
        self._light.pop(key, None)

    @property
    def size(self) -> int:
        """Bytes held."""
        with _lock:
            return self._size

    def clear(self) -> None:
        """Forget everything."""
        with _lock:
            dropped = self._found, self._light
            self._found, self._light, self._size = OrderedDict(), OrderedDict(), 0
        del dropped

    def __reduce__(self) -> tuple[Any, ...]:
        return Memo, (self._limit, self._light_limit)

    def __deepcopy__(self, memo: dict[int, Any]) -> Memo:
        return Memo(self._limit, self._light_limit)
