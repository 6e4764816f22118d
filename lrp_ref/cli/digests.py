"""Digests: by which two files, two arrays or two networks are known to be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array

SIZE = 16  # bytes: nobody searches for two files of one digest, and 2^64 files are no worry
CHUNK = 2**22

#: What says how a thing came here, and not what it is; how a network is laid out for other shapes follows from its file.
_ORIGINS = ("origin", "spec", "extents")


def of_file(path: Path) -> str:
    """The digest of a file's bytes.

    Parameters
    ----------
    path : the file
    """
    state = hashlib.blake2b(digest_size=SIZE)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            state.update(block)
    return state.hexdigest()


def of(value: Any) -> str:
    """The digest of plain data, arrays, and records of such: a model, its layers, a sample.

    Two things have the same digest where they hold the same, wherever they lie and whatever was derived from them since.

    Parameters
    ----------
    value : the data; origins of models and of words do not count

    Raises
    ------
    TypeError
        Where a thing is neither: its digest could not be that of its content.
    """
    state = hashlib.blake2b(digest_size=SIZE)
    for part in _digest_parts(value):
        state.update(len(part).to_bytes(8, "little"))  # so that no two lists of parts read the same
        state.update(part)
    return state.hexdigest()


def _digest_parts(value: Any) -> Iterable[bytes | memoryview]:
    if isinstance(value, np.ndarray):
        yield from _array(value)
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key in sorted(value, key=repr):
            yield from _digest_parts(key)
            yield from _digest_parts(value[key])
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}".encode()
        for entry in value:
            yield from _digest_parts(entry)
    elif is_dataclass(value) and not isinstance(value, type):
        yield f"record {type(value).__qualname__}".encode()
        for field in fields(value):
            if field.init and field.name not in _ORIGINS:
                yield field.name.encode()
                yield from _digest_parts(getattr(value, field.name))
    else:
        yield _value_digest(value)


def _value_digest(value: Any) -> bytes:
    if isinstance(value, (np.dtype, np.generic)):
        return f"numpy {value!r}".encode()
    if value is None or isinstance(value, (bool, int, float, str, bytes, Fraction, Path)):
        return f"{type(value).__name__} {value!r}".encode()
    raise TypeError(f"a digest is of plain data, arrays and records, not of {type(value).__qualname__}")


def _array(array: Array) -> Iterable[bytes | memoryview]:
    yield f"array {array.dtype.str} {array.shape}".encode()
    if array.dtype == object:
        yield from _digest_parts(array.reshape(-1).tolist())
        return
    rows = array.reshape(1) if array.ndim == 0 else array
    step = max(1, CHUNK * len(rows) // max(1, array.nbytes))
    for i in range(0, len(rows), step):  # a block at a time: weights may be views, of which each block is copied
        yield np.ascontiguousarray(rows[i : i + step]).reshape(-1).view(np.uint8).data
