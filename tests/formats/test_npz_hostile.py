"""Archives that lie: pickled objects, sizes and shapes that cannot be, bombs. Each is refused in bounded memory; nothing runs."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, errors
from lrp_ref import layers as L
from lrp_ref.formats import archive
from support.npz_files import FormatError, described, header, npy, packed, refused, small, written

ROOT = Path(__file__).resolve().parents[2]


# ---- hostile archives ------------------------------------------------------------------------------------------------


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickled_objects_are_not_unpickled(tmp_path):
    trap = tmp_path / "ran"
    graph, arrays = described()
    pickled = npy(np.array([Touch(trap)], dtype=object))
    pickle.loads(pickle.dumps(Touch(trap)))  # noqa: S301 (the trap works)
    trap.unlink()
    arrays["layers/1/weight"] = pickled
    refused(written(tmp_path / "m.npz", graph, arrays), "holds pickled Python objects, which are never loaded")
    packed(tmp_path / "g.npz", {"graph.npy": pickled})
    refused(tmp_path / "g.npz", "member 'graph' is no text")
    bare = tmp_path / "p.npz"
    bare.write_bytes(pickle.dumps(Touch(trap)))
    refused(bare, "no readable .npz file")
    assert not trap.exists()


HEADERS = {
    "elements without end": header(shape="(1152921504606846976,)"),
    "a product without end": header(shape="(4294967296, 4294967296, 4294967296)"),
    "more digits than a number has": header(shape=f"({'9' * 500},)"),
    "a huge extent beside 0": header(shape="(0, 1152921504606846976)"),
    "too many axes": header(shape=f"({'1, ' * 63}3)"),
    "a negative extent": header(shape="(-3,)"),
    "two negative extents": header(shape="(-3, -1)"),
    "a shape of floats": header(shape="(3.0,)"),
    "no shape": header(shape="None"),
    "gaps in the shape": header(shape="(,,3)"),
    "digits without separators": header(shape="(" + "1" * 900),
    "code for a shape": header(shape="(__import__('os').getpid(),)"),
    "another number type": header("'<i8'"),
    "complex numbers": header("'<c16'", "(1,)"),
    "half precision": header("'<f2'", "(12,)"),
    "text for numbers": header("'<U6'", "(1,)"),
    "raw bytes": header("'|V8'"),
    "a structure": header("[('a', '<f8')]"),
    "a structure with objects": header("[('a', '|O')]"),
    "objects": header("'|O'"),
    "a type that is none": header("'nonsense'"),
    "an order that is none": header(fortran="0"),
    "a bare header": b"\x93NUMPY\x01\x00\x00\x00",
    "another magic": b"\x93NUMPZ" + header()[6:],
    "another version": b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header()) - 10) + header()[10:],
    "a header longer than the file": b"\x93NUMPY\x01\x00\xff\xff{",
    "a very long header": header(pad=60_000),
    "a header that is Python": header("'<f8' if 1 else 0"),
    "deep nesting": b"\x93NUMPY\x01\x00" + struct.pack("<H", 900) + b"(" * 900,
    "minus signs": b"\x93NUMPY\x01\x00" + struct.pack("<H", 900) + b"-" * 899 + b"1",
    "nothing": b"",
}


@pytest.mark.parametrize("start", HEADERS.values(), ids=HEADERS)
def test_headers_that_lie(tmp_path, start):
    graph, arrays = described(Model.sequential([L.Dense(np.ones((3, 1)))]))
    for data in (b"\0" * 24, b""):
        refused(written(tmp_path / "m.npz", graph, {**arrays, "layers/0/weight": start + data}), "member 'layers/0/weight'")


@pytest.mark.parametrize("shape", ["(3,)", "(4, 1)", "()", "(1, 1)", "(3, 1, 0)"])
def test_shapes_that_the_data_do_not_have(tmp_path, shape):
    graph, arrays = described(Model.sequential([L.Dense(np.ones((3, 1)))]))
    arrays["layers/0/weight"] = header(shape=shape) + b"\0" * 24
    refused(written(tmp_path / "m.npz", graph, arrays), r"states the shape|Dense\.weight must be")


def directory(data: bytes, change: Any) -> bytes:
    """An archive whose entries for "layers/0/weight.npy" are changed: (struct offset in the directory, in the local header)."""
    name = b"layers/0/weight.npy"
    found = bytearray(data)
    for signature, length in ((b"PK\x01\x02", 46), (b"PK\x03\x04", 30)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            if data[at + length : at + length + len(name)] == name:
                change(found, at, signature == b"PK\x01\x02")
    return bytes(found)


def lying(size: int | None = None, compressed: int | None = None, method: int | None = None, flags: int | None = None) -> Any:
    def change(data: bytearray, at: int, central: bool) -> None:
        base = at + (8 if central else 6)
        for value, offset, form in ((flags, 0, "<H"), (method, 2, "<H"), (compressed, 12, "<I"), (size, 16, "<I")):
            if value is not None:
                struct.pack_into(form, data, base + offset, value)

    return change


def model_file(path: Path, weight: np.ndarray, stored: bool = False) -> bytes:
    graph, arrays = described(Model.sequential([L.Dense(weight)]))
    members = {"graph.npy": npy(np.array(json.dumps(graph))), **{f"{k}.npy": v for k, v in arrays.items()}}
    packed(path, members, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return path.read_bytes()


LIES = {
    "larger than it is": (lying(size=1000), False, "states the shape"),
    "a little smaller than it is": (lying(size=250), False, "states the shape|no readable"),
    "much smaller than it is": (lying(size=5), False, "is no NumPy array|no readable"),
    "stored, larger than the file": (lying(size=2**31, compressed=2**31), True, "states impossible sizes"),
    "more than deflating can make of it": (lying(size=2**31), False, "states impossible sizes"),
    "stored, two sizes": (lying(size=2**20), True, "states impossible sizes"),
    "a compressed size beyond the file": (lying(compressed=2**30), False, "states impossible sizes"),
    "another method": (lying(method=12), False, "compressed by a method that no .npz uses"),
    "an unknown method": (lying(method=77), False, "compressed by a method that no .npz uses"),
    "encrypted": (lying(flags=1), False, "is encrypted"),
    "stored, that is deflated": (lying(method=0), False, "states impossible sizes|no readable|is no NumPy array"),
    "deflated, that is stored": (lying(method=8), True, "no readable"),
}


@pytest.mark.parametrize(("change", "stored", "match"), LIES.values(), ids=LIES)
def test_members_that_lie_about_themselves(tmp_path, change, stored, match):
    path = tmp_path / "m.npz"
    data = model_file(path, np.ones((5, 4)), stored)
    lrp_ref.load(path)
    path.write_bytes(directory(data, change))
    assert path.read_bytes() != data
    refused(path, match)


def test_duplicate_members(tmp_path):
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("graph.npy", npy(np.array("{}")))
        with pytest.warns(UserWarning, match="Duplicate name"):
            target.writestr("graph.npy", npy(np.array("{}")))
    refused(path, "two members of the file have the same name")


def test_a_huge_directory(tmp_path, monkeypatch):
    path = lrp_ref.save(small(), tmp_path / "m.npz")
    monkeypatch.setattr(archive, "DIRECTORY", 300)
    refused(path, r"the archive's directory would take \d+ bytes")


def test_no_memory(tmp_path, monkeypatch):
    path = lrp_ref.save(small(), tmp_path / "m.npz")

    def none(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(archive, "_read_all", none)
    refused(path, "there is not enough memory for the members of the file")


@pytest.mark.parametrize("served", [b"", b"\0" * 7, b"\0" * 9])
def test_data_that_do_not_fill_an_array(served):
    """The archive's own checks come first; this one would see what they let pass."""
    with pytest.raises(FormatError, match="member 'a' does not have the size that the archive states"):
        archive._read_all(io.BytesIO(served), 8, "a")


def test_too_many_members(tmp_path, monkeypatch):
    path = lrp_ref.save(small(), tmp_path / "m.npz")
    monkeypatch.setattr(archive, "MEMBERS", 3)
    refused(path, "members, more than 3")


def test_a_wrong_checksum(tmp_path):
    path = tmp_path / "m.npz"
    data = model_file(path, np.full((4, 4), 7.0), stored=True)
    at = data.index(np.full(16, 7.0).tobytes()) + 64
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    refused(path, "no readable .npz file: Bad CRC-32")


def test_the_budget_counts_what_members_become(tmp_path):
    path = tmp_path / "m.npz"
    model_file(path, np.zeros((2**17, 8)))
    assert path.stat().st_size < 20_000
    refused(
        path,
        r"the members would take 83\d{5} bytes, more than the budget of 1000000; load\(…, budget=…\) raises it",
        budget=10**6,
    )
    lrp_ref.load(path, budget=10**7)
    with pytest.raises(errors.ParameterError, match="budget must be an integer"):
        lrp_ref.load(path, budget="4 GB")


LIMITED = """
import resource, sys, time
import numpy as np, lrp_ref
from lrp_ref.formats import npz
pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + 256 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    start = time.perf_counter()
    try:
        lrp_ref.load(path)
        said = "read"
    except lrp_ref.errors.FormatError as error:
        said = f"refused: {str(error)[len(path):]}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(f"{grown} MB|{time.perf_counter() - start:.3f} s|{said}")
"""


def bombs(folder: Path) -> dict[str, Path]:
    """Files of a few MB that would take gigabytes: each with the size that it states, or hides."""
    found = {name: folder / f"{name}.npz" for name in ("beyond", "within", "hidden", "early", "directory", "shape")}
    graph, arrays = described(Model.sequential([L.Dense(np.ones((3, 1)))]))
    start = header(shape=f"({2**28}, 1)", pad=30)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    begun = deflate.compress(start) + deflate.flush(zlib.Z_FULL_FLUSH)
    zeros = deflate.compress(b"\0" * 2**26) + deflate.flush(zlib.Z_FULL_FLUSH)  # 64 MB, to be repeated
    _forge(found["beyond"], graph, begun + zeros * 128 + b"\x03\0", 2**33 + len(start))  # 8 GB, as it says
    _forge(found["within"], graph, begun + zeros * 32 + b"\x03\0", 2**31 + len(start))  # 2 GB: within the budget, too much here
    _forge(found["hidden"], graph, begun + zeros * 64 + b"\x03\0", 24 + len(start))  # 4 GB that say 24 bytes
    _forge(found["early"], graph, begun + b"\xff" * 2**22, 2**31 + len(start))  # says 2 GB, has 4 MB that are broken
    arrays["layers/0/weight"] = header(shape="(1152921504606846976,)") + b"\0" * 24
    written(found["shape"], graph, arrays)
    with found["directory"].open("wb") as file:  # a directory of 1 GB, in a file with a hole
        file.seek(2**30)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**30, 0, 0))
    return found


def _forge(path: Path, graph: dict, deflated: bytes, size: int) -> None:
    """A model whose weight is this deflated stream, with a header in front, and is said to have `size` bytes."""
    wide = size > 2**32 - 2
    extra = struct.pack("<HHQQ", 1, 16, size, len(deflated)) if wide else b""
    name, small_size = b"layers/0/weight.npy", 2**32 - 1 if wide else size
    packed_size = 2**32 - 1 if wide else len(deflated)
    common = struct.pack("<5H3L2H", 45, 0, 8, 0, 33, 0, packed_size, small_size, len(name), len(extra))
    local = b"PK\x03\x04" + common + name + extra + deflated
    packed(path, {"graph.npy": npy(np.array(json.dumps(graph)))})
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    length, at = struct.unpack_from("<LL", data, end + 12)
    entry = b"PK\x01\x02" + struct.pack("<H", 45) + common + struct.pack("<3H2L", 0, 0, 0, 0, at) + name + extra
    central = data[at : at + length] + entry
    start = at + len(local)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(central), start, 0)
    path.write_bytes(data[:at] + local + central + tail)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and RLIMIT_AS")
def test_bombs_take_neither_memory_nor_time(tmp_path):
    """In a process that may take 256 MB more than NumPy needs: each file is refused, and resident memory hardly grows."""
    found = bombs(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, found.values())],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = dict(zip(found, (line.split("|") for line in done.stdout.splitlines()), strict=True))
    assert "more than the budget" in said["beyond"][2]
    assert "not enough memory" in said["within"][2]
    assert "Bad CRC-32" in said["hidden"][2]
    assert "Error -3 while decompressing" in said["early"][2]
    assert "directory would take 1073741824 bytes" in said["directory"][2]
    assert "states the shape (1152921504606846976,)" in said["shape"][2]
    for grown, seconds, _ in said.values():
        assert int(grown.removesuffix(" MB")) < 64
        assert float(seconds.removesuffix(" s")) < 5
