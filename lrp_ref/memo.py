"""The one thing that changes after construction: a locked, bounded, invisible memo of prepared weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

LIMIT = 2**30  # bytes; VGG-16's stacked weights under one composite are 0.1 GB


class Memo:
    """Least recently used results, at most `limit` bytes of them, or the last one alone. Copies and pickles are empty."""

    def __init__(self, limit: int = LIMIT) -> None:
        import threading  # here and not above: importing lrp_ref must stay cheap

        self._limit = limit
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._size = 0

    def get(self, key: Hashable, build: Callable[[], tuple[Any, int]]) -> Any:
        """The value of `key`; where it is missing, `build` gives it with its size in bytes."""
        with self._lock:
            found = self._found.get(key)  # keys are deep: each look hashes rules
            if found is not None:
                self._found.move_to_end(key)
                return found[0]
        value, size = build()  # outside the lock: a build may ask the memo itself
        with self._lock:
            if key in self._found:  # another thread was faster; whoever asks gets the same object
                return self._found[key][0]
            self._found[key] = (value, size)
            self._size += size
            while self._size > self._limit and len(self._found) > 1:
                self._size -= self._found.popitem(last=False)[1][1]
        return value

    @property
    def size(self) -> int:
        """Bytes held."""
        with self._lock:
            return self._size

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()
            self._size = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Memo, (self._limit,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Memo:
        return Memo(self._limit)
