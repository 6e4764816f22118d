"""`.npz` archives that nobody vouches for: read in bounded memory, with nothing unpickled; written whole or not at all.

NumPy's own reader evaluates headers as Python and believes the sizes that they state. This one reads exactly what `write` writes:
float32 and float64 arrays and texts, in the two zip methods that an `.npz` uses.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import re
import secrets
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from ..arrays import Array, Shape
from ..errors import ExistingFileError, FormatError

MEMBERS = 100_000
DIRECTORY = 16 * 2**20  # bytes of the archive's directory: it is parsed before anything can be checked
DEFLATED = 1032  # no byte of a deflated member stands for more than this many
HEADER = 1_000  # bytes; NumPy writes 118 for the arrays that are allowed here
AXES = 32
CHUNK = 2**20
ALIGNMENT = 64  # bytes; of a cache line, which is what NumPy pads its own headers to
_LOCAL = struct.Struct("<4s22xHH")  # in front of a member: a signature, and the lengths of its name and of its extra field
_PADDING = 0xD935  # the extra field that means "alignment": readers skip what they do not know
_ZIP64 = 20  # bytes of the extra field that zipfile puts in front of members that may be large

_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, NotImplementedError, RuntimeError, ValueError)
_HEADER = re.compile(r"\{'descr': (.+), 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n")
_NUMBERS = ("'<f4'", "'<f8'", "'>f4'", "'>f8'")
_INTEGERS = ("'<i8'", "'>i8'")
_RATIONAL = re.compile(r"-?\d+(/[1-9]\d*)?")
_TEXT = re.compile(r"'([<>])U([1-9]\d{0,8})'")


class _Capped(io.FileIO):
    """A file that hands out at most `DIRECTORY` bytes at once: only reading a huge directory asks for more."""

    def read(self, size: int | None = -1, /) -> bytes:
        count = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if count > DIRECTORY:
            raise FormatError(f"the archive's directory would take {count} bytes")
        return super().read(count)


@dataclass(frozen=True)
class _Header:
    """The header of a member: its number type and shape, and how many bytes of data follow."""

    descr: str
    fortran: bool
    shape: Shape
    size: int


class Archive:
    """An open `.npz` whose members are checked, and read when asked for; of a `mapped` file its arrays are views."""

    def __init__(self, archive: zipfile.ZipFile, size: int, budget: int, mapped: mmap.mmap | None = None) -> None:
        self._archive, self._budget, self._mapped = archive, budget, mapped
        infos = archive.infolist()
        if len(infos) > MEMBERS:
            raise FormatError(f"the file has {len(infos)} members, more than {MEMBERS}")
        self._members = {info.filename: info for info in infos}
        if len(self._members) < len(infos):
            raise FormatError("two members of the file have the same name")
        for info in infos:
            _check_sizes(info, size)
        total = sum(info.file_size for info in infos)
        if total > budget:
            raise FormatError(
                f"the members would take {total} bytes, more than the budget of {budget}; load(…, budget=…) raises it"
            )

    @property
    def names(self) -> list[str]:
        """The members, without their suffix."""
        return [name.removesuffix(".npy") for name in self._members]

    def text(self, name: str, most: int) -> str:
        """The text of a member that holds one.

        Parameters
        ----------
        name : the member, without its suffix
        most : how many characters it may have

        Raises
        ------
        FormatError
            Where the member holds something else, or more.
        """
        with self._open(name) as (header, stream):
            kind = _TEXT.fullmatch(header.descr)
            if kind is None or header.shape or not header.size == 4 * int(kind[2]) <= 4 * most:
                raise FormatError(f"member {name!r} is no text of at most {most} characters")
            data = _read_all(stream, header.size, name)
        return data.tobytes().decode("utf-32-le" if kind[1] == "<" else "utf-32-be").rstrip("\0")

    def integers(self, name: str) -> Array:
        """The whole numbers of a member, int64.

        Parameters
        ----------
        name : the member, without its suffix

        Raises
        ------
        FormatError
            Where the member holds something else, or has not the size that its header states.
        """
        return self._numbers(name, _INTEGERS, "int64")

    def array(self, name: str) -> Array:
        """The numbers of a member, whose header is believed only where its data has the size that it states.

        Parameters
        ----------
        name : the member, without its suffix

        Raises
        ------
        FormatError
            Where the member holds other data than float32 or float64, or has not the size that its header states.
        """
        return self._numbers(name, _NUMBERS, "float32 or float64")

    def rationals(self, name: str) -> Array:
        """The rationals of a member that holds them as texts, such as "7/3".

        Parameters
        ----------
        name : the member, without its suffix

        Raises
        ------
        FormatError
            Where the member holds something else, or has not the size that its header states.
        """
        from fractions import Fraction

        with self._open(name) as (header, stream):
            kind = _TEXT.fullmatch(header.descr)
            length = 0 if kind is None else int(kind[2])
            if kind is None or header.size != 4 * length * math.prod(header.shape) or len(header.shape) > AXES:
                raise FormatError(f"member {name!r} holds no texts, or others than its header states")
            data = _read_all(stream, header.size, name)
        texts = data.view(f"{kind[1]}U{length}")
        wrong = [text for text in texts.tolist() if not _RATIONAL.fullmatch(text)]
        if wrong:
            raise FormatError(f"member {name!r} holds {wrong[0]!r}, which is no rational number")
        numbers = np.empty(texts.size, object)
        numbers[:] = [Fraction(text) for text in texts.tolist()]
        return numbers.reshape(header.shape, order="F" if header.fortran else "C")

    def _numbers(self, name: str, kinds: tuple[str, ...], called: str) -> Array:
        with self._open(name) as (header, stream):
            if "O" in header.descr:
                raise FormatError(f"member {name!r} holds pickled Python objects, which are never loaded")
            if header.descr not in kinds:
                raise FormatError(f"member {name!r} has the number type {header.descr}, not {called}")
            dtype = np.dtype(header.descr[1:-1])
            # Beside an extent of 0 the others take no data, and could be of any size if they were not counted.
            reach = math.prod(max(1, extent) for extent in header.shape) * dtype.itemsize
            fits = math.prod(header.shape) * dtype.itemsize == header.size
            if not fits or reach > self._budget or len(header.shape) > AXES:
                raise FormatError(f"member {name!r} states the shape {header.shape}, which its data does not have")
            order: Literal["F", "C"] = "F" if header.fortran else "C"
            if self._mapped is not None:
                return _view(self._mapped, self._members[f"{name}.npy"], header, dtype, order)
            data = _read_all(stream, header.size, name)
        numbers = data.view(dtype).astype(dtype.newbyteorder("="), copy=False)
        return numbers.reshape(header.shape, order=order)

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[_Header, IO[bytes]]]:
        info = self._members[f"{name}.npy"]
        with self._archive.open(info) as stream:
            yield _header(stream, info.file_size, name), stream


@contextmanager
def open_archive(source: Path, budget: int, mapped: bool = False) -> Iterator[Archive]:
    """A context with an open archive; whatever goes wrong inside is a `FormatError`.

    Parameters
    ----------
    source : the file
    budget : how many bytes its members may take when unpacked
    mapped : whether arrays are read-only views of the file, which then stays open as long as one of them is there

    Raises
    ------
    FormatError
        Where the file is missing or unreadable, or a member is not what it states.
    """
    try:
        if not source.is_file():
            kind = "is a folder" if source.is_dir() else "is no regular file" if source.exists() else "does not exist"
            raise FormatError(f"the file cannot be read: it {kind}")
        with _Capped(source) as file, zipfile.ZipFile(file) as archive:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else None
            yield Archive(archive, source.stat().st_size if view is None else len(view), budget, view)
    except FormatError:
        raise
    except OSError as error:
        raise FormatError(f"the file cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise FormatError("there is not enough memory for the members of the file") from None
    except _BROKEN as error:
        raise FormatError(f"this is no readable .npz file: {error}") from None


def _check_sizes(info: zipfile.ZipInfo, size: int) -> None:
    """Refuse members whose sizes cannot be, before anything of that size is asked for."""
    if not info.filename.endswith(".npy"):
        raise FormatError(f"member {info.filename!r} is no array")
    if info.flag_bits & 1:
        raise FormatError(f"member {info.filename!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError(f"member {info.filename!r} is compressed by a method that no .npz uses")
    most = info.compress_size if info.compress_type == zipfile.ZIP_STORED else DEFLATED * info.compress_size
    if info.compress_size > size or info.file_size > most:
        raise FormatError(f"member {info.filename!r} states impossible sizes")


def _header(stream: IO[bytes], size: int, name: str) -> _Header:
    start = stream.read(10)
    if len(start) < 10 or start[:8] != b"\x93NUMPY\x01\x00":
        raise FormatError(f"member {name!r} is no NumPy array (of format 1.0)")
    length = int.from_bytes(start[8:], "little")
    match = _HEADER.fullmatch(stream.read(length).decode("latin-1")) if length <= HEADER else None
    if match is None:
        raise FormatError(f"member {name!r} has no valid array header")
    extents = [extent.strip() for extent in match[3].split(",")]
    if any(len(extent) > 20 for extent in extents) or "" in extents[:-1]:
        raise FormatError(f"member {name!r} has an impossible shape")
    shape = tuple(int(extent) for extent in extents if extent)
    return _Header(match[1], match[2] == "True", shape, size - 10 - length)


def _read_all(stream: IO[bytes], size: int, name: str) -> Array:
    """The next `size` bytes, read to the end, where their checksum is compared."""
    data = np.empty(size, dtype=np.uint8)
    done = 0
    while chunk := stream.read(CHUNK):
        if done + len(chunk) > size:
            break
        data[done : done + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        done += len(chunk)
    if done != size or chunk:
        raise FormatError(f"member {name!r} does not have the size that the archive states")
    return data


def _view(mapped: mmap.mmap, info: zipfile.ZipInfo, header: _Header, dtype: np.dtype[Any], order: Literal["F", "C"]) -> Array:
    """A member's array as a view of the file, whose bytes are compared with their checksum like those of any other."""
    how = "; save(model, path, compress=False) writes files that can be mapped, and without mmap=True any file is read"
    if info.compress_type != zipfile.ZIP_STORED:
        raise FormatError(f"member {info.filename!r} is compressed and cannot be mapped{how}")
    if not dtype.isnative:
        raise FormatError(f"member {info.filename!r} has the other byte order and cannot be mapped{how}")
    signature, name, extra = _LOCAL.unpack_from(mapped, info.header_offset)
    begin = info.header_offset + _LOCAL.size + name + extra
    end = begin + info.file_size
    if signature != b"PK\3\4" or end > len(mapped):
        raise FormatError(f"member {info.filename!r} reaches beyond the file")
    if (end - header.size) % ALIGNMENT:
        raise FormatError(f"member {info.filename!r} is not aligned to {ALIGNMENT} bytes and cannot be mapped{how}")
    checksum = 0
    with memoryview(mapped) as file_bytes:
        for at in range(begin, end, CHUNK):
            checksum = zlib.crc32(file_bytes[at : min(at + CHUNK, end)], checksum)
    if checksum != info.CRC:
        raise FormatError(f"member {info.filename!r} does not have the checksum that the archive states")
    return np.ndarray(header.shape, dtype, mapped, end - header.size, order=order)


def write(target: Path, arrays: Mapping[str, Array], overwrite: bool, compress: bool = True) -> None:
    """Write arrays to an `.npz`, the same bytes for the same arrays; where they are not compressed, aligned in the file.

    The file is written beside `target` and put in its place when it is complete, so that a failure leaves an old file as it was.

    Parameters
    ----------
    target : the file
    arrays : by the members' names, without their suffix
    overwrite : whether a file that exists is replaced
    compress : whether members are deflated; stored ones can be mapped

    Raises
    ------
    ExistingFileError
        Where the file exists and `overwrite` is not set.
    FormatError
        Where it cannot be written.
    """
    _refuse_existing(target, overwrite)
    real_target = Path(os.path.realpath(target))  # a link stays a link
    draft = real_target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            _pack(file, arrays, compress)
        if real_target.exists():
            shutil.copymode(real_target, draft)
        _refuse_existing(target, overwrite)
        draft.replace(real_target)
    except OSError as error:
        if isinstance(error, ExistingFileError):
            raise
        raise FormatError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise ExistingFileError(f"{target} exists; overwrite=True replaces it")


def _pack(file: IO[bytes], arrays: Mapping[str, Array], compress: bool) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
            info.external_attr = 0o600 << 16
            large = array.nbytes >= 2**30
            if not compress:
                info.extra = _padding(file.tell() + _LOCAL.size + len(info.filename.encode()) + _ZIP64 * large)
            with archive.open(info, "w", force_zip64=large) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def _padding(position: int) -> bytes:
    """The extra field after which a member begins at a multiple of the alignment. NumPy's header is as long as one itself."""
    pad = -(position + 4) % ALIGNMENT
    return struct.pack("<HH", _PADDING, pad) + bytes(pad)
