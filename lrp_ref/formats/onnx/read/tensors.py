"""Tensors of an ONNX file as NumPy arrays, checked against a size budget before memory is taken."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....arrays import Array, Shape
from ....errors import FormatError

#: ONNX's element types that are read: number → (NumPy type in the file, the field of values where there is no `raw_data`).
KINDS: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
    16: ("bfloat16", "int32_data"),
}
NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
}  # fmt: skip
FLOATS = frozenset({1, 10, 11, 16})
#: What a Cast to each element type gives at load: half precision becomes float32.
CASTS = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float32, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: np.float32,
}  # fmt: skip

#: How many elements a value may have that is computed at load from less: an attention mask of 2048 steps has half as many.
LARGEST = 2**23


def kind_name(kind: int) -> str:
    """The name of an element type, for messages."""
    return NAMES.get(kind, f"low-precision type {kind}")


@dataclass(frozen=True)
class Store:
    """The sources of tensors' bytes, and a budget for them.

    Parameters
    ----------
    budget : how many bytes one tensor, and all of them together, may take
    folder : the model's folder, the only place that external data is read from; None: external data is refused
    blobs : bytes that were left in the model's file: name of an initializer → (offset, length)
    source : the model's file, or its bytes; what `blobs` speak of
    """

    budget: int
    folder: Path | None = None
    blobs: Mapping[str, tuple[int, int]] | None = None
    source: Path | bytes | None = None


def checked_shape(dims: Any, item: int, budget: int, what: str) -> Shape:
    """A shape whose elements fit a budget, from the extents that a file states.

    Parameters
    ----------
    dims : the extents
    item : how many bytes an element takes
    budget : how many bytes all may take
    what : the tensor, for messages

    Raises
    ------
    FormatError
        Where an extent is negative or the tensor is larger than the budget.
    """
    shape = tuple(int(extent) for extent in dims)
    if any(extent < 0 for extent in shape):
        raise FormatError(f"{what} has a negative extent: {shape}")
    if len(shape) > 32:
        raise FormatError(f"{what} has {len(shape)} axes, more than 32")
    size = math.prod(max(extent, 1) for extent in shape) * item  # NumPy counts so, even where an extent is 0
    if size > budget:
        raise FormatError(f"{what} of shape {shape} would take {size} bytes, more than the budget of {budget}; budget= raises it")
    return shape


def check_size(shape: Sequence[int], *operands: Array) -> Shape:
    """The extents of a value that is computed at load, checked against the size of its operands.

    Parameters
    ----------
    shape : of the value
    *operands : what it is computed from; it may have as many elements as these, or `LARGEST`

    Raises
    ------
    FormatError
        Where an extent is negative, or there are too many elements.
    """
    extents = tuple(int(extent) for extent in shape)
    limit = max(LARGEST, sum({id(array): array.size for array in operands}.values()))
    if any(extent < 0 for extent in extents) or math.prod(max(e, 1) for e in extents) > limit or len(extents) > 32:
        raise FormatError(f"a constant of shape {extents} is too large, or its shape is not valid")
    return extents


def array_of(tensor: Any, store: Store, what: str, blob: tuple[int, int] | None = None) -> Array:
    """The array of a TensorProto; half-precision numbers become float32.

    Parameters
    ----------
    tensor : a TensorProto
    store : where its bytes may come from
    what : the tensor, for messages
    blob : the offset and length of its bytes in the model's file, where they were left there

    Raises
    ------
    FormatError
        Where the type is not read, the data does not fit the shape, or external data is missing or outside the model's folder.
    """
    if tensor.data_type not in KINDS:
        raise FormatError(f"{what} holds {kind_name(tensor.data_type)} numbers, which are not read")
    spelled, field = KINDS[tensor.data_type]
    dtype = np.dtype("<u2" if spelled == "bfloat16" else spelled)
    shape = checked_shape(tensor.dims, dtype.itemsize, store.budget, what)
    count = math.prod(shape)
    if tensor.data_location == 1:
        flat = _external_array(tensor, store, dtype, count, what)
    elif blob is not None:
        flat = _mapped_array(store, blob, dtype, count, what)
    elif tensor.raw_data or not count:
        flat = _raw_array(tensor.raw_data, dtype, count, what)
    else:
        flat = _values_array(getattr(tensor, field), spelled, dtype, what)
    if flat.size != count:
        raise FormatError(f"{what} of shape {shape} needs {count} values and has {flat.size}")
    return _widen(flat, spelled).reshape(shape)


def _widen(flat: Array, spelled: str) -> Array:
    if spelled == "bfloat16":
        return (flat.astype(np.uint32) << 16).view(np.float32)
    if spelled == "<f2":
        return flat.astype(np.float32)
    return flat if flat.dtype.isnative else flat.astype(flat.dtype.newbyteorder("="))


def _raw_array(data: bytes, dtype: np.dtype[Any], count: int, what: str) -> Array:
    if len(data) != count * dtype.itemsize:
        raise FormatError(f"{what} needs {count * dtype.itemsize} bytes and has {len(data)}")
    return np.frombuffer(data, dtype)


def _values_array(values: Any, spelled: str, dtype: np.dtype[Any], what: str) -> Array:
    if spelled in ("bfloat16", "<f2"):  # stored as their bits
        return np.array(values, dtype=np.int64).astype("<u2").view(dtype)
    try:
        return np.array(values, dtype=dtype)
    except (OverflowError, ValueError):
        raise FormatError(f"{what} holds values that do not fit its type {dtype}") from None


def _mapped_array(store: Store, blob: tuple[int, int], dtype: np.dtype[Any], count: int, what: str) -> Array:
    offset, length = blob
    if length != count * dtype.itemsize:
        raise FormatError(f"{what} needs {count * dtype.itemsize} bytes and has {length}")
    if isinstance(store.source, Path):
        return np.fromfile(store.source, dtype, count, offset=offset)
    assert store.source is not None
    array = np.frombuffer(store.source, dtype, count, offset)
    return array if offset % dtype.itemsize == 0 else array.copy()  # BLAS would copy unaligned memory at every call


def _external_array(tensor: Any, store: Store, dtype: np.dtype[Any], count: int, what: str) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _path_inside(entries.get("location", ""), store.folder, what)
    try:
        offset = int(entries.get("offset", 0))
        length = int(entries.get("length", count * dtype.itemsize))
        size = path.stat().st_size
    except (ValueError, OSError) as error:
        raise FormatError(f"{what}: its external data {path.name!r} cannot be read: {error}") from None
    if length != count * dtype.itemsize or offset < 0 or offset + length > size:
        raise FormatError(
            f"{what} needs {count * dtype.itemsize} bytes, and states {length} from {offset} of {path.name!r}, which has {size}"
        )
    return np.fromfile(path, dtype, count, offset=offset)


def _path_inside(location: str, folder: Path | None, what: str) -> Path:
    """The file of external data, which must lie inside the model's folder, symbolic links followed."""
    if folder is None:
        raise FormatError(f"{what} is stored outside the model; load it from its file, or give folder=")
    root = folder.resolve()
    try:
        path = (root / location).resolve()
        fine = bool(location) and not Path(location).is_absolute() and path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError):
        fine = False
    if not fine:
        raise FormatError(f"{what}: its external data {location!r} is no file inside the model's folder")
    return path


# --- the wire format, as far as it takes to leave large tensors where they are ------------------------------------------

_GRAPH, _INITIALIZER, _NAME, _RAW = 7, 5, 8, 9
_SMALL = 4096  # bytes; smaller tensors are left to the parser


def split_large_initializers(data: bytes | mmap.mmap) -> tuple[bytes, dict[str, tuple[int, int]]] | None:
    """An ONNX file without the bytes of its large initializers, and where in the file these are.

    A parser would copy them, and its message would keep the copy alive beside the arrays. Only lengths are read here;
    whatever is unusual gives None: then the parser reads everything.
    """
    try:
        return _split_graph(data)
    except (IndexError, ValueError):
        return None


def _split_graph(data: bytes | mmap.mmap) -> tuple[bytes, dict[str, tuple[int, int]]]:
    blobs: dict[str, tuple[int, int]] = {}
    graphs = 0
    pieces: list[bytes] = []
    for field, start, body, end in _fields(data, 0, len(data)):
        if field != _GRAPH:
            pieces.append(data[start:end])
            continue
        graphs += 1
        inner = b"".join(_initializer(data, *entry, blobs) for entry in _fields(data, body, end))
        pieces += [_tag(_GRAPH), _varint(len(inner)), inner]
    if graphs != 1:
        raise ValueError("messages that are given in parts are left to the parser")
    return b"".join(pieces), blobs


def _initializer(
    data: bytes | mmap.mmap, field: int, start: int, body: int, end: int, blobs: dict[str, tuple[int, int]]
) -> bytes:
    if field != _INITIALIZER or end - body < _SMALL:
        return data[start:end]
    entries = list(_fields(data, body, end))
    raw = [(b, e) for f, _, b, e in entries if f == _RAW]
    names = [data[b:e] for f, _, b, e in entries if f == _NAME]
    if len(raw) != 1 or len(names) != 1:
        return data[start:end]
    name = names[0].decode("utf-8")
    if name in blobs:
        raise ValueError("two initializers of one name are left to the parser")
    blobs[name] = (raw[0][0], raw[0][1] - raw[0][0])
    fields_left = b"".join(data[s:e] for f, s, _, e in entries if f != _RAW)
    return _tag(_INITIALIZER) + _varint(len(fields_left)) + fields_left


def _fields(data: bytes | mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field, start of the tag, start of the body, end) of every field of a message; ValueError where it is none."""
    while at < end:
        start = at
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == 2:
            length, at = _read_varint(data, at)
            body, at = at, at + length
        elif wire == 0:
            body = at
            _, at = _read_varint(data, at)
        elif wire in (1, 5):
            body, at = at, at + (8 if wire == 1 else 4)
        else:
            raise ValueError("groups are left to the parser")
        if at > end or key >> 3 == 0:
            raise ValueError("a field reaches beyond its message")
        yield (key >> 3 if wire == 2 else -1), start, body, at


def _read_varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("no number ends here")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _tag(field: int) -> bytes:
    return _varint(field << 3 | 2)
