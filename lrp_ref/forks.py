"""What a child of fork() needs of its parent's locks and caches, so that it never waits for a thread that it does not have."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

__all__ = ["cached_property", "fork_safe"]

Value = TypeVar("Value")


def fork_safe(lock: Any) -> Any:
    """The lock, which every fork() of the process takes before and gives back after, in the parent and in the child.

    Parameters
    ----------
    lock : a lock with `acquire` and `release`; one that the forking thread may hold already must be reentrant
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


class cached_property(Generic[Value]):  # noqa: N801 (it stands where functools' does)
    """`functools.cached_property` without a lock, as in Python 3.12: in 3.11 a child of fork() may wait for it forever.

    Threads that meet at once may both compute, and get one object.

    Parameters
    ----------
    function : the method that computes the attribute, called once for each object
    """

    def __init__(self, function: Callable[[Any], Value]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object, owner: type) -> Self | Value:
        if instance is None:
            return self
        value: Value = instance.__dict__.setdefault(self.name, self.function(instance))
        return value
