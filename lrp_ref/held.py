"""Memory that nobody writes: what layers, bounds and models hold (`CONV-IMMUTABLE`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Held:
    """What an array that is held is a view of.

    NumPy can make a read-only view of its own memory writable again, and shows in no view whether somebody else has another one.
    An array that is a view of this can not become writable, and neither can views of it: so whoever meets one knows.
    """

    __slots__ = ("__array_interface__", "_array")

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array  # keeps the memory
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, True)}


def held(value: Any) -> NDArray[Any]:
    """The numbers of `value` as an array that nobody can write: a copy in its order in memory, unless it is one already."""
    array = np.asarray(value)
    if is_held(array):
        return array
    fresh = isinstance(value, (int, float, complex, list, tuple))
    return adopt(array if fresh else np.array(array, order="K", copy=True))


def is_held(array: NDArray[Any]) -> bool:
    """Whether nobody can write the array: it is a view of what is held, or of `bytes`."""
    return not array.flags.writeable and isinstance(root(array).base, (Held, bytes))


def root(array: NDArray[Any]) -> NDArray[Any]:
    """The array that the memory of a view belongs to."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def adopt(array: NDArray[Any]) -> NDArray[Any]:
    """An array as layers hold it, without a copy: for large weights.

    The caller promises that its memory will not change: other arrays that share it, a file that is mapped, or memory of another
    library are not watched. The array itself becomes read-only.

    Parameters
    ----------
    array : any NumPy array; a layer still copies what is no float32 or float64 array, aligned and in the machine's byte order

    Returns
    -------
    A read-only array of the same memory, which layers take as it is.
    """
    if is_held(array):
        return array
    array.flags.writeable = False
    if array.dtype.hasobject or not array.size:
        return array.view()  # objects have no address that can be told; no numbers cannot change
    return np.asarray(Held(array))
