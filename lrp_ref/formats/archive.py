"""`.npz` archives that nobody vouches for: read in bounded memory, with nothing unpickled; written whole or not at all.

NumPy's own reader evaluates headers as Python and believes the sizes that they state. This one reads exactly what `write` writes:
float32 and float64 arrays and texts, in the two zip methods that an `.npz` uses.
"""

from __future__ import annotations

import io
import math
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
from typing import IO

import numpy as np

from ..arrays import Array, Shape
from ..errors import ExistingFileError, FormatError

MEMBERS = 100_000
DIRECTORY = 16 * 2**20  # bytes of the archive's directory: it is parsed before anything can be checked
DEFLATED = 1032  # no byte of a deflated member stands for more than this many
HEADER = 1_000  # bytes; NumPy writes 118 for the arrays that are allowed here
AXES = 32
CHUNK = 2**20

_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, NotImplementedError, RuntimeError, ValueError)
_HEADER = re.compile(r"\{'descr': (.+), 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n")
_NUMBERS = ("'<f4'", "'<f8'", "'>f4'", "'>f8'")
_TEXT = re.compile(r"'([<>])U([1-9]\d{0,8})'")


class _Capped(io.FileIO):
    """A file that hands out at most `DIRECTORY` bytes at once: only reading a huge directory asks for more."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = os.fstat(self.fileno()).st_size - self.tell() if size is None or size < 0 else size
        if wanted > DIRECTORY:
            raise FormatError(f"the archive's directory would take {wanted} bytes")
        return super().read(wanted)


@dataclass(frozen=True)
class _Header:
    """What a member says that it is, and how many bytes of data follow."""

    descr: str
    fortran: bool
    shape: Shape
    size: int


class Archive:
    """An open `.npz` whose members are checked, and read when asked for."""

    def __init__(self, archive: zipfile.ZipFile, size: int, budget: int) -> None:
        self._archive, self._budget = archive, budget
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
        """A member that holds one text of at most `most` characters."""
        with self._open(name) as (header, stream):
            kind = _TEXT.fullmatch(header.descr)
            if kind is None or header.shape or not header.size == 4 * int(kind[2]) <= 4 * most:
                raise FormatError(f"member {name!r} is no text of at most {most} characters")
            data = _filled(stream, header.size, name)
        return data.tobytes().decode("utf-32-le" if kind[1] == "<" else "utf-32-be").rstrip("\0")

    def array(self, name: str) -> Array:
        """A member that holds numbers, as what its header says only where that is what the archive holds."""
        with self._open(name) as (header, stream):
            if "O" in header.descr:
                raise FormatError(f"member {name!r} holds pickled Python objects, which are never loaded")
            if header.descr not in _NUMBERS:
                raise FormatError(f"member {name!r} has the number type {header.descr}, not float32 or float64")
            dtype = np.dtype(header.descr[1:-1])
            # Beside an extent of 0 the others take no data, and could be of any size if they were not counted.
            reach = math.prod(max(1, extent) for extent in header.shape) * dtype.itemsize
            fits = math.prod(header.shape) * dtype.itemsize == header.size
            if not fits or reach > self._budget or len(header.shape) > AXES:
                raise FormatError(f"member {name!r} states the shape {header.shape}, which its data does not have")
            data = _filled(stream, header.size, name)
        numbers = data.view(dtype).astype(dtype.newbyteorder("="), copy=False)
        return numbers.reshape(header.shape, order="F" if header.fortran else "C")

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[_Header, IO[bytes]]]:
        info = self._members[f"{name}.npy"]
        with self._archive.open(info) as stream:
            yield _header(stream, info.file_size, name), stream


@contextmanager
def opened(source: Path, budget: int) -> Iterator[Archive]:
    """An archive to read from; whatever goes wrong inside is a `FormatError`.

    Parameters
    ----------
    source : the file
    budget : how many bytes its members may take when unpacked
    """
    try:
        if not source.is_file():
            kind = "is a folder" if source.is_dir() else "is no regular file" if source.exists() else "does not exist"
            raise FormatError(f"the file cannot be read: it {kind}")
        with _Capped(source) as file, zipfile.ZipFile(file) as archive:
            yield Archive(archive, source.stat().st_size, budget)
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
        raise FormatError(f"member {info.filename!r} states sizes that cannot be")


def _header(stream: IO[bytes], size: int, name: str) -> _Header:
    start = stream.read(10)
    if len(start) < 10 or start[:8] != b"\x93NUMPY\x01\x00":
        raise FormatError(f"member {name!r} is no NumPy array (of format 1.0)")
    length = int.from_bytes(start[8:], "little")
    found = _HEADER.fullmatch(stream.read(length).decode("latin-1")) if length <= HEADER else None
    if found is None:
        raise FormatError(f"member {name!r} has no valid array header")
    extents = [part.strip() for part in found[3].split(",")]
    if any(len(part) > 20 for part in extents) or "" in extents[:-1]:
        raise FormatError(f"member {name!r} has a shape that cannot be")
    shape = tuple(int(part) for part in extents if part)
    return _Header(found[1], found[2] == "True", shape, size - 10 - length)


def _filled(stream: IO[bytes], size: int, name: str) -> Array:
    """The next `size` bytes, read to the end, where their checksum is compared."""
    data = np.empty(size, dtype=np.uint8)
    done = 0
    while chunk := stream.read(CHUNK):
        if done + len(chunk) > size:
            break
        data[done : done + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        done += len(chunk)
    if done != size or chunk:
        raise FormatError(f"member {name!r} has not the size that the archive states")
    return data


def write(target: Path, arrays: Mapping[str, Array], overwrite: bool) -> None:
    """Write `arrays` to an `.npz`, the same bytes for the same arrays.

    The file is written beside `target` and put in its place when it is complete, so that a failure leaves an old file as it was.

    Raises
    ------
    ExistingFileError
        Where the file exists and `overwrite` is not set.
    FormatError
        Where it cannot be written.
    """
    _refuse_existing(target, overwrite)
    place = Path(os.path.realpath(target))  # a link stays a link
    draft = place.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            _pack(file, arrays)
        if place.exists():
            shutil.copymode(place, draft)
        _refuse_existing(target, overwrite)
        draft.replace(place)
    except OSError as error:
        if isinstance(error, ExistingFileError):
            raise
        raise FormatError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise ExistingFileError(f"{target} exists; overwrite=True replaces it")


def _pack(file: IO[bytes], arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=array.nbytes >= 2**30) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
