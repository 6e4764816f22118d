"""Model files that are mapped instead of read: the same model, no copies, and nothing that a broken file could do."""

import gc
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Model
from lrp_ref import layers as L
from lrp_ref.errors import ExistingFileError, FormatError
from lrp_ref.formats import archive, npz
from support.npz_files import mutations, small

ROOT = Path(__file__).resolve().parents[2]
HOW = r"save\(model, path, compress=False\)"
x = np.random.default_rng(0).standard_normal((3, 2, 4, 3))


@pytest.fixture(params=[True, False], ids=["compressed", "stored"])
def either(request, tmp_path):
    return npz.save(small(), tmp_path / "m.npz", compress=request.param)


def stored(folder, model=None):
    return lrp_ref.save(small() if model is None else model, folder / "m.npz", compress=False)


def arrays(model):
    return [a for node in model.nodes for a in node.layer.parameters.values()] + [
        end for bounds in model.domain.values() for end in (bounds.low, bounds.high)
    ]


def origin(array):
    """The object at the end of the chain of views."""
    while isinstance(getattr(array, "base", None), np.ndarray):
        array = array.base
    return array.base


# ---- files -------------------------------------------------------------------------------------------------------------


def test_files_of_either_kind_are_read(either):
    model = lrp_ref.load(either)
    assert model(x).tobytes() == small()(x).tobytes()
    assert npz.describe(model)[0] == npz.describe(small())[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mapped_model_predicts_and_explains_the_same_bits(tmp_path, dtype):
    path = stored(tmp_path, small().astype(dtype))
    mapped, copied = lrp_ref.load(path, mmap=True), lrp_ref.load(path)
    assert mapped.dtype == dtype
    assert mapped(x).tobytes() == copied(x).tobytes() == small().astype(dtype)(x).tobytes()
    inside = np.clip(abs(x), 0, 1).astype(dtype)
    ours, theirs = (lrp_ref.explain(model, inside, composite="epsilon_gamma_box") for model in (mapped, copied))
    assert ours.relevance.tobytes() == theirs.relevance.tobytes()


def test_arrays_are_aligned_read_only_views_of_the_file(tmp_path):
    model = lrp_ref.load(stored(tmp_path), mmap=True)
    for node in model.nodes:
        for array in node.layer.parameters.values():
            assert type(origin(origin(array)._array)).__name__ == "mmap"
            assert array.ctypes.data % archive.ALIGNMENT == 0
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
            with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                origin_of_views(array).flags.writeable = True


def origin_of_views(array):
    """The first of the chain of views: whose flags could be set, were the file not mapped for reading alone."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_without_mmap_nothing_is_mapped(tmp_path):
    assert all(type(origin(origin(a)._array)).__name__ != "mmap" for a in arrays(lrp_ref.load(stored(tmp_path))))


def test_what_was_written_is_a_plain_npz_and_the_same_bytes_again(tmp_path):
    path = stored(tmp_path)
    with zipfile.ZipFile(path) as members:
        assert members.testzip() is None
        assert {info.compress_type for info in members.infolist()} == {zipfile.ZIP_STORED}
    with np.load(path, allow_pickle=False) as found:
        expected = npz.describe(small())[1]
        assert set(found.files) == {"graph", *expected}
        assert all(found[name].tobytes() == value.tobytes() for name, value in expected.items())
    again = lrp_ref.save(lrp_ref.load(path, mmap=True), tmp_path / "again.npz", compress=False)
    assert again.read_bytes() == path.read_bytes()


@mutations
@given(st.lists(st.tuples(st.text(max_size=9), st.integers(0, 40)), max_size=6, unique_by=lambda pair: pair[0]))
def test_every_member_is_aligned_whatever_its_name_and_its_neighbours(tmp_path, drawn):
    """Names of any length and alphabet push the data along."""
    named = {f"{i}{''.join(filter(str.isalpha, name))}": np.arange(size) / 7 for i, (name, size) in enumerate(drawn)}
    path = tmp_path / "drawn.npz"
    archive.write(path, named, overwrite=True, compress=False)
    with archive.open_archive(path, 2**20, mapped=True) as members:
        for name, expected in named.items():
            found = members.array(name)
            assert found.tobytes() == expected.tobytes()
            assert found.ctypes.data % archive.ALIGNMENT == 0


def test_large_members_are_aligned_too(tmp_path, monkeypatch):
    """From 1 GiB a member's header is longer. An array without memory behind it stands for one; five numbers are written."""
    whole = np.lib.format.write_array
    monkeypatch.setattr(np.lib.format, "write_array", lambda member, array, **given: whole(member, array[:5], **given))
    huge = np.broadcast_to(np.float32(1.5), (2**28,))
    path = tmp_path / "large.npz"
    archive.write(path, {"a": np.ones(5), "huge": huge, "b": np.ones(5)}, overwrite=False, compress=False)
    with archive.open_archive(path, 2**30, mapped=True) as members:
        assert members.array("huge").tolist() == [1.5] * 5
        assert members.array("b").tolist() == [1.0] * 5


def test_columns_first_and_empty_arrays(tmp_path):
    weight = np.asfortranarray(np.random.default_rng(1).standard_normal((6, 4)))
    model = Model.sequential([L.Dense(weight), L.Dense(np.ones((4, 0)))])
    found = lrp_ref.load(stored(tmp_path, model), mmap=True)
    assert found["dense1"].layer.weight.flags.f_contiguous
    np.testing.assert_array_equal(found["dense1"].layer.weight, weight)
    assert found["dense2"].layer.weight.shape == (4, 0)


def test_the_file_stays_open_as_long_as_an_array_of_it_is_there(tmp_path):
    path = stored(tmp_path)
    model = lrp_ref.load(path, mmap=True)
    weight = model["dense"].layer.weight
    expected = weight.copy()
    del model
    gc.collect()
    lrp_ref.save(Model.sequential([L.Dense(np.zeros((2, 2)))]), path, overwrite=True)  # whole: the old one stays mapped
    np.testing.assert_array_equal(weight, expected)


def test_an_existing_file_is_kept(tmp_path):
    path = stored(tmp_path)
    with pytest.raises(ExistingFileError):
        lrp_ref.save(small(), path, compress=False)


# ---- refusals ----------------------------------------------------------------------------------------------------------


def test_a_compressed_file_is_refused_with_what_would_help(tmp_path):
    path = lrp_ref.save(small(), tmp_path / "m.npz")
    with pytest.raises(FormatError, match=f"is compressed and cannot be mapped; {HOW}"):
        lrp_ref.load(path, mmap=True)


def test_a_file_that_is_not_aligned_is_refused(tmp_path):
    """As `numpy.savez` writes it: uncompressed, wherever the names end."""
    graph, found = npz.describe(small())
    path = tmp_path / "m.npz"
    np.savez(path, graph=np.array(npz.json.dumps(graph)), **found)
    assert lrp_ref.load(path)(x).tobytes() == small()(x).tobytes()
    with pytest.raises(FormatError, match=f"not aligned to 64 bytes and cannot be mapped; {HOW}"):
        lrp_ref.load(path, mmap=True)


def test_the_other_byte_order_is_refused(tmp_path):
    graph, found = npz.describe(small())
    path = tmp_path / "m.npz"
    swapped = {name: value.astype(value.dtype.newbyteorder(">")) for name, value in found.items()}
    archive.write(path, {"graph": np.array(npz.json.dumps(graph)), **swapped}, overwrite=False, compress=False)
    assert lrp_ref.load(path)(x).tobytes() == small()(x).tobytes()
    with pytest.raises(FormatError, match=f"other byte order and cannot be mapped; {HOW}"):
        lrp_ref.load(path, mmap=True)


@pytest.mark.parametrize(("size", "message"), [(4, "Bad CRC-32"), (4000, "does not have the checksum that the archive states")])
def test_a_changed_bit_is_found(tmp_path, size, message):
    """In what comes with the header, which zipfile has read anyway, and beyond."""
    path = stored(tmp_path, Model.sequential([L.Scale(np.arange(1.0, size + 1))]))
    data = bytearray(path.read_bytes())
    data[data.find(np.float64(size).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message):
        lrp_ref.load(path, mmap=True)


@pytest.mark.parametrize("left", [0, 1, 100, 1000, -1, -30, -200])
def test_a_truncated_file_is_refused(tmp_path, left):
    path = stored(tmp_path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(FormatError, match="no readable"):
        lrp_ref.load(path, mmap=True)


def test_a_file_that_loses_its_middle_is_refused(tmp_path):
    """The directory at the end is whole, what it points to is not: an access would end the process."""
    path = stored(tmp_path)
    data = path.read_bytes()
    directory = data.rindex(b"PK\1\2", 0, data.index(b"PK\1\2") + 4)
    for cut in (64, 512, directory // 2):
        path.write_bytes(data[:64] + data[64 + cut :])
        with pytest.raises(FormatError):
            lrp_ref.load(path, mmap=True)


@pytest.mark.parametrize("stated", [2**31, 10**6])
def test_sizes_that_reach_beyond_the_file_are_refused(tmp_path, stated):
    path = stored(tmp_path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\1\2")
    struct.pack_into("<II", data, entry + 20, stated, stated)  # compressed and whole size of the last member
    path.write_bytes(data)
    with pytest.raises(FormatError):
        lrp_ref.load(path, mmap=True)


@mutations
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_whatever_byte_is_changed_the_file_is_refused_or_the_same(tmp_path, where, value):
    original = tmp_path / "original.npz"
    if not original.exists():
        lrp_ref.save(small(), original, compress=False)
    data = bytearray(original.read_bytes())
    data[where % len(data)] = value
    (tmp_path / "changed.npz").write_bytes(data)
    try:
        model = lrp_ref.load(tmp_path / "changed.npz", mmap=True)
    except FormatError:
        return
    assert model(x).tobytes() == small()(x).tobytes()


# ---- memory ------------------------------------------------------------------------------------------------------------

MEASURE = """
import sys, numpy, lrp_ref
def status(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) / 1024
lrp_ref.formats.npz
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
model = lrp_ref.load(sys.argv[1], mmap=sys.argv[2] == "mapped")
print(status("VmHWM") - before, status("RssAnon") if sys.argv[2] == "mapped" else 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured on Linux")
@pytest.mark.parametrize("way", ["copied", "mapped"])
def test_loading_makes_no_second_copy_of_a_large_array(tmp_path, way):
    """500 MB in ten arrays: a second copy of one alone would be 50 MB above; what is allowed is a mask for NaN of one (12 MB)."""
    block = np.random.default_rng(0).standard_normal((1250, 10_000), dtype=np.float32)
    path = lrp_ref.save(Model.sequential([L.Scale(block + i) for i in range(10)]), tmp_path / "m.npz", compress=False)
    size = path.stat().st_size / 2**20
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path), way], cwd=ROOT, capture_output=True, text=True, check=True)
    peak, own = map(float, done.stdout.split())
    assert size - 1 < peak < size + 40, f"a file of {size:.0f} MB, peak {peak:.0f} MB above what the process had"
    if way == "mapped":
        assert own < 100  # nothing of the arrays: the rest is the file's own pages, which processes share
