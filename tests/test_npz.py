"""The native file format: round trips bit for bit, and files that are broken, foreign or hostile.

Reading may fail in one way only: with a `FormatError`. Nothing in a file is executed, and no file takes more than its budget.
"""

import contextlib
import copy
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_strategies import Modelled, any_models
from strategies import KINDS

import lrp_ref
from lrp_ref import Domain, Model, Node, errors
from lrp_ref import layers as L
from lrp_ref.formats import archive, npz

FormatError = errors.FormatError
ROOT = Path(__file__).resolve().parent.parent
#: Several mutations per example: a file is small and quickly read.
mutations = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def small() -> Model:
    """A model with a domain, a shared layer, options of every type, and arrays of several ranks."""
    conv = L.Conv(np.arange(18.0).reshape(1, 2, 3, 3), [0.5], padding=((1, 0), (1, 1)))
    relu = L.LeakyReLU(0.25)
    nodes = (
        Node("scale", L.Scale(2.0, np.ones((2, 1, 1))), "input"),
        Node("conv", conv, "scale"),
        Node("relu", relu, "conv"),
        Node("pool", L.AvgPool(2, ceil_mode=True), "relu"),
        Node("again", relu, "pool"),
        Node("flat", L.Flatten(), "again"),
        Node("dense", L.Dense(np.ones((4, 3)) / 3), "flat"),
    )
    return Model(nodes, domain=(np.zeros((2, 1, 1)), 1), input_shape=(2, 4, 3))  # type: ignore[arg-type]


# ---- files made by hand ----------------------------------------------------------------------------------------------


def header(descr: str = "'<f8'", shape: str = "(3,)", fortran: str = "False", pad: int = 0) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}{' ' * pad}\n".encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    return stream.getvalue()


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return path


def described(model: Model | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The graph and the members of a saved model, to be changed and written by `written`."""
    graph, arrays = npz.describe(model or small())
    return copy.deepcopy(graph), {name: npy(array) for name, array in arrays.items()}


def written(path: Path, graph: Any, arrays: dict[str, bytes]) -> Path:
    text = graph if isinstance(graph, str) else json.dumps(graph)
    return packed(path, {"graph.npy": npy(np.array(text)), **{f"{name}.npy": data for name, data in arrays.items()}})


def listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def refused(path: Path, match: str, **options: Any) -> None:
    """Reading gives a `FormatError` that names the file and says `match`, soon."""
    start = time.process_time()
    with pytest.raises(FormatError, match=match) as caught:
        lrp_ref.load(path, **options)
    assert time.process_time() - start < 5
    assert type(caught.value) is FormatError
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000 + len(str(path))


# ---- round trips -----------------------------------------------------------------------------------------------------


def same_layer(a: L.Layer, b: L.Layer) -> None:
    assert type(a) is type(b)
    for name in a.__dataclass_fields__:
        if name == "parameter_names":
            continue
        mine, theirs = getattr(a, name), getattr(b, name)
        if isinstance(mine, np.ndarray):
            assert (theirs.dtype, theirs.shape) == (mine.dtype, mine.shape)
            assert theirs.tobytes() == mine.tobytes()
            assert not theirs.flags.writeable
        else:
            assert theirs == mine
            assert type(theirs) is type(mine)


def same_model(a: Model, b: Model) -> None:
    assert (b.inputs, b.outputs, dict(b.input_shape)) == (a.inputs, a.outputs, dict(a.input_shape))
    assert (b.dtype, b.default_dtype) == (a.dtype, a.default_dtype)
    assert [(n.name, n.inputs) for n in b.nodes] == [(n.name, n.inputs) for n in a.nodes]
    for mine, theirs in zip(a.nodes, b.nodes, strict=True):
        same_layer(mine.layer, theirs.layer)
    # Layers are shared by the same nodes.
    shared = [[m.layer is n.layer for n in model.nodes for m in model.nodes] for model in (a, b)]
    assert shared[0] == shared[1]
    assert a.domain.keys() == b.domain.keys()
    for name, bounds in a.domain.items():
        for end in ("low", "high"):
            mine, theirs = getattr(bounds, end), getattr(b.domain[name], end)
            assert (theirs.dtype, theirs.shape, theirs.tobytes()) == (mine.dtype, mine.shape, mine.tobytes())


#: What a layer without a default for everything needs.
NEEDED = {
    L.BatchNorm: ([0.0], [1.0]),
    L.Conv: (np.ones((1, 1, 1)),),
    L.ConvTranspose: (np.ones((1, 1, 1)),),
    L.Dense: (np.ones((1, 1)),),
    L.DepthToSpace: (2,),
    L.Embedding: (np.ones((2, 2)),),
    L.Expand: ((2, 3),),
    L.Gather: ((1, 0, 1),),
    L.LpPool: ((2, 1),),
    L.PReLU: ([0.5],),
    L.PadWith: (((1, 0), (2, 1)), "constant", 0.5),
    L.Reshape: ((-1, 2),),
    L.Resize: ((3, 4), (1.5, 2.0), "linear"),
    L.SpaceToDepth: (2,),
    L.Tile: ((1, 2),),
    L.Transpose: ((0, 2, 1),),
    **dict.fromkeys((L.AvgPool, L.MaxPool, L.SumPool), ((2, 1), None, ((0, 1), (1, 1)))),
    L.Pad: (((1, 0), 2),),
}


@pytest.mark.parametrize("kind", npz.LAYERS.values(), ids=npz.LAYERS)
def test_every_kind_of_layer_survives(tmp_path, kind):
    layer = kind(*NEEDED.get(kind, ()))
    reads = tuple(f"x{i}" for i in range(layer.arity))
    model = Model((Node("here", layer, reads),), reads)
    same_model(model, lrp_ref.load(lrp_ref.save(model, tmp_path / "m.npz")))


def test_every_concrete_layer_is_known_to_the_format():
    kinds = {getattr(L, name) for name in L.__all__}
    assert {kind for kind in kinds if not getattr(kind, "__abstractmethods__", None)} == set(npz.LAYERS.values()) >= set(KINDS)


@mutations
@given(any_models())
def test_a_round_trip_keeps_every_bit(tmp_path, drawn: Modelled):
    path = lrp_ref.save(drawn.model, tmp_path / "m.npz", overwrite=True)
    same_model(drawn.model, lrp_ref.load(path))
    first = path.read_bytes()
    lrp_ref.save(lrp_ref.load(path), path, overwrite=True)
    assert path.read_bytes() == first


@mutations
@given(any_models())
def test_a_model_that_was_read_predicts_the_same_bits(tmp_path, drawn: Modelled):
    path = lrp_ref.save(drawn.model, tmp_path / "m.npz", overwrite=True)
    before, after = drawn.model(drawn.x), lrp_ref.load(path)(drawn.x)
    for name in drawn.model.outputs:
        mine, theirs = (found[name] if isinstance(found, dict) else found for found in (before, after))
        assert (theirs.dtype, theirs.tobytes()) == (mine.dtype, mine.tobytes())


def test_columns_first_stay_columns_first(tmp_path):
    """The order in memory may decide how a matrix product rounds."""
    model = Model.sequential([L.Dense(np.asfortranarray(np.arange(6.0).reshape(2, 3)))])
    weight = lrp_ref.load(lrp_ref.save(model, tmp_path / "m.npz"))["dense1"].layer.weight
    assert weight.flags.f_contiguous
    assert not weight.flags.c_contiguous


@pytest.mark.parametrize(
    "layer",
    [
        L.SumPool(np.int64(2)),
        L.MaxPool(np.array([2, 2]), stride=(np.int32(1), 2), ceil_mode=np.True_),
        L.AvgPool((2, 1), padding=((0, 0), (0, 0)), count_include_pad=False),
        L.LeakyReLU(np.float32(0.1)),
        L.LeakyReLU(Fraction(1, 3)),
        L.BatchNorm([0.5], [1.0], epsilon=Fraction(10**40 + 1, 3**50)),
        L.Multiply(signal=1),
        L.Mean(axes=(-1, 1), keepdims=True),
        L.GELU("tanh"),
        L.Dense(np.zeros((0, 3)), np.zeros(3)),
        L.Scale(-0.0, 5e-324),
    ],
    ids=repr,
)
def test_options_of_every_spelling_survive(tmp_path, layer):
    model = Model((Node("a", layer, tuple("xyz"[: layer.arity])),), tuple("xyz"[: layer.arity]))
    (found,) = lrp_ref.load(lrp_ref.save(model, tmp_path / "m.npz")).nodes
    for name in layer.__dataclass_fields__:
        mine, theirs = getattr(layer, name), getattr(found.layer, name)
        if isinstance(mine, np.ndarray):
            assert theirs.tobytes() == mine.tobytes()
        else:
            assert theirs == mine
            assert isinstance(mine, np.generic) or type(theirs) is type(mine)


def test_defaults_are_written_out(tmp_path):
    """Another default in a later version must change no stored network."""
    graph, _ = npz.describe(Model.sequential([L.LeakyReLU(), L.AvgPool(2)]))
    assert graph["layers"][0]["options"] == {"slope": 0.01}
    assert graph["layers"][1]["options"]["count_include_pad"] is True


def test_names_of_any_kind_survive(tmp_path):
    names = ("../../etc/passwd", "a\0b", "ünï", "\ud800", "x" * 300, "graph")
    model = Model.sequential([L.ReLU()] * len(names), names, domain=(0, 1))
    odd = Model((Node("a", L.Add(), ("../x", "\0")),), ("../x", "\0"), domain={"../x": (0, 1), "\0": (1, 2)})  # type: ignore[arg-type]
    for case in (model, odd):
        same_model(case, lrp_ref.load(lrp_ref.save(case, tmp_path / "m.npz", overwrite=True)))


def test_the_same_model_gives_the_same_bytes_at_another_time(tmp_path, monkeypatch):
    first = lrp_ref.save(small(), tmp_path / "a.npz").read_bytes()
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(10**9))
    assert lrp_ref.save(small(), tmp_path / "b.npz").read_bytes() == first


def test_numpy_reads_what_is_written(tmp_path):
    with np.load(lrp_ref.save(small(), tmp_path / "m.npz"), allow_pickle=False) as stored:
        assert json.loads(str(stored["graph"]))["format"] == "lrp_ref.model"
        assert stored["layers/1/weight"].shape == (1, 2, 3, 3)


def test_what_numpy_writes_is_read(tmp_path):
    graph, arrays = npz.describe(small())
    for save in (np.savez, np.savez_compressed):
        with (tmp_path / "m.npz").open("wb") as file:
            save(file, graph=np.array(json.dumps(graph)), **arrays)
        same_model(small(), lrp_ref.load(tmp_path / "m.npz"))


def test_numbers_of_the_other_byte_order_are_read(tmp_path):
    graph, arrays = npz.describe(small())
    swapped = {name: npy(array.astype(array.dtype.newbyteorder(">"))) for name, array in arrays.items()}
    model = lrp_ref.load(written(tmp_path / "m.npz", graph, swapped))
    same_model(small(), model)
    assert model.dtype == np.float64
    assert model["dense"].layer.weight.dtype.isnative


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_no_file_is_overwritten_unless_asked(tmp_path):
    path = tmp_path / "m.npz"
    path.write_bytes(b"mine")
    with pytest.raises(errors.ExistingFileError, match=r"m\.npz exists; overwrite=True replaces it"):
        lrp_ref.save(small(), path)
    assert path.read_bytes() == b"mine"
    lrp_ref.save(small(), path, overwrite=True)
    same_model(small(), lrp_ref.load(path))


def test_a_file_that_appears_while_writing_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    monkeypatch.setattr(archive, "_pack", lambda file, arrays: path.write_bytes(b"theirs"))
    with pytest.raises(errors.ExistingFileError):
        lrp_ref.save(small(), path)
    assert path.read_bytes() == b"theirs"
    assert listed(tmp_path) == ["m.npz"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("old", [None, b"the old file"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure, old):
    path = tmp_path / "m.npz"
    if old is not None:
        path.write_bytes(old)
    write = np.lib.format.write_array
    left = [3]

    def fails(stream: Any, array: Any, **options: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise failure
        write(stream, array, **options)

    monkeypatch.setattr(np.lib.format, "write_array", fails)
    with pytest.raises(FormatError if isinstance(failure, OSError) else type(failure)) as caught:
        lrp_ref.save(small(), path, overwrite=True)
    if isinstance(failure, OSError):
        assert "m.npz cannot be written: No space left on device" in str(caught.value)
    assert listed(tmp_path) == ([] if old is None else ["m.npz"])
    assert old is None or path.read_bytes() == old


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"gone/m\.npz cannot be written: No such file or directory"):
        lrp_ref.save(small(), tmp_path / "gone" / "m.npz")


@pytest.mark.skipif(sys.platform == "win32", reason="links and permissions of POSIX")
def test_links_and_permissions_are_kept(tmp_path):
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    lrp_ref.save(small(), real)
    assert real.stat().st_mode & 0o777 == 0o666 & ~_umask()
    real.chmod(0o640)
    link.symlink_to(real)
    lrp_ref.save(Model.sequential([L.ReLU()]), link, overwrite=True)
    assert link.is_symlink()
    assert len(lrp_ref.load(real).nodes) == 1
    assert real.stat().st_mode & 0o777 == 0o640


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


@pytest.mark.parametrize("name", ["m", "m.onnx", "m.npz.gz"])
def test_models_are_saved_as_npz(tmp_path, name):
    with pytest.raises(errors.ParameterError, match=r"a model is saved as \.npz"):
        lrp_ref.save(small(), tmp_path / name)
    assert listed(tmp_path) == []


class Mine(L.ReLU):
    """A layer that the format does not know."""


def test_what_the_format_does_not_hold_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "m.npz"
    with pytest.raises(FormatError, match=r"node 'mine1' \(Mine\): the \.npz format does not know this layer"):
        lrp_ref.save(Model.sequential([Mine()]), path)
    with pytest.raises(errors.NumberTypeError, match=r"node 'dense1' \(Dense\): rationals are not saved; model\.astype"):
        lrp_ref.save(Model.sequential([L.Dense(np.array([[Fraction(1)]]))]), path)
    with pytest.raises(errors.NumberTypeError, match="the model computes in rationals, which are not saved"):
        lrp_ref.save(Model.sequential([L.ReLU()]).astype(object), path)
    with pytest.raises(errors.NumberTypeError, match="the domain of input 'input': rationals are not saved"):
        lrp_ref.save(Model.sequential([L.ReLU()], domain=(Fraction(1, 3), 1)), path)
    assert listed(tmp_path) == []
    exact = Model.sequential([L.Dense(np.array([[Fraction(1)]]))], domain=(Fraction(1, 3), 1))
    assert lrp_ref.load(lrp_ref.save(exact.astype(np.float64), path)).domain["input"].low == 1 / 3


def test_a_graph_that_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "CHARACTERS", 100)
    with pytest.raises(FormatError, match=r"7 nodes, more than the \.npz format holds"):
        lrp_ref.save(small(), tmp_path / "m.npz")
    assert listed(tmp_path) == []


# ---- files that are no files, or not ours ----------------------------------------------------------------------------


def test_missing_files_and_folders(tmp_path):
    refused(tmp_path / "gone.npz", "the file cannot be read: it does not exist")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "the file cannot be read: it is a folder")
    with pytest.raises(FormatError, match=r"files of kind '\.pkl' are not read; known: \.npz"):
        lrp_ref.load(tmp_path / "model.pkl")
    with pytest.raises(FormatError, match=r"files of kind '\(no suffix\)' are not read"):
        lrp_ref.load(tmp_path / "model")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    refused(tmp_path / "pipe.npz", "it is no regular file")


def test_no_permission(tmp_path, monkeypatch):
    path = lrp_ref.save(small(), tmp_path / "m.npz")

    def denied(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(archive, "_Capped", denied)
    refused(path, "the file cannot be read: Permission denied")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + b"\0" * 18, b"hello, world" * 100, pickle.dumps([1] * 50)])
def test_what_is_no_npz(tmp_path, content):
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    refused(path, "no readable .npz file|holds no lrp_ref model")


def test_a_foreign_npz_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "m.npz", images=np.zeros(3, np.uint8), labels=np.array([object()]))
    refused(tmp_path / "m.npz", r"this \.npz file holds no lrp_ref model \(no member 'graph'\); found images, labels")
    packed(tmp_path / "e.npz", {})
    refused(tmp_path / "e.npz", "found nothing")
    packed(tmp_path / "t.npz", {"graph.npy": npy(np.array("{}")), "readme.txt": b"hello"})
    refused(tmp_path / "t.npz", "member 'readme.txt' is no array")
    np.savez(tmp_path / "g.npz", graph=np.zeros(3))
    refused(tmp_path / "g.npz", "member 'graph' is no text")


def test_an_explanation_is_no_model(tmp_path):
    model = Model.sequential([L.Dense([[1.0]])])
    lrp_ref.explain(model, [[1.0]]).save(tmp_path / "e.npz")
    refused(tmp_path / "e.npz", "holds no lrp_ref model")


@pytest.mark.parametrize("version", [2, 10**6, 0, -1, "1", 1.0, True, None])
def test_another_version_is_named_before_anything_else_is_looked_at(tmp_path, version):
    members = {"graph": json.dumps({"format": "lrp_ref.model", "version": version, "new": True})}
    path = written(tmp_path / "m.npz", members["graph"], {"codes": npy(np.zeros(3, np.int8))})
    newer = "; a newer lrp_ref wrote it" if type(version) is int and version > 1 else "$"
    refused(path, re.escape(f"the file has version {version!r}, this lrp_ref reads version 1") + newer)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"lrp_ref.model"', "{}", '{"format": "lrp_ref.explanation", "version": 1}'])
def test_json_that_is_no_model(tmp_path, text):
    refused(written(tmp_path / "m.npz", text, {}), "this is no lrp_ref model")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"format": "lrp_ref.model", "version": 1',
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"version": ' + "9" * 5000 + "}",
        '{"version": ' + "9" * 100 + "}",
        '{"version": NaN}',
        '{"version": Infinity}',
        "'single'",
    ],
    ids=lambda text: text[:20],
)
def test_json_that_is_none(tmp_path, text):
    refused(written(tmp_path / "m.npz", text, {}), "no valid JSON|an integer in the graph has|which is no number")


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
    "stored, larger than the file": (lying(size=2**31, compressed=2**31), True, "states sizes that cannot be"),
    "more than deflating can make of it": (lying(size=2**31), False, "states sizes that cannot be"),
    "stored, two sizes": (lying(size=2**20), True, "states sizes that cannot be"),
    "a compressed size beyond the file": (lying(compressed=2**30), False, "states sizes that cannot be"),
    "another method": (lying(method=12), False, "compressed by a method that no .npz uses"),
    "an unknown method": (lying(method=77), False, "compressed by a method that no .npz uses"),
    "encrypted": (lying(flags=1), False, "is encrypted"),
    "stored, that is deflated": (lying(method=0), False, "states sizes that cannot be|no readable|is no NumPy array"),
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


# ---- hostile graphs --------------------------------------------------------------------------------------------------


def edit(*path: Any, value: Any = ...) -> Any:
    """Set (or, without a value, delete) the entry of the graph at `path`."""

    def change(graph: Any) -> None:
        for key in path[:-1]:
            graph = graph[key]
        if value is ...:
            del graph[path[-1]]
        else:
            graph[path[-1]] = value

    return change


LAYER = ("layers", 1, "options")  # the convolution of `small`
GRAPHS = {
    "a cycle": (edit("nodes", 0, "inputs", value=["dense"]), "the graph has a cycle"),
    "a node that reads itself": (edit("nodes", 1, "inputs", value=["conv"]), "the graph has a cycle: conv → conv"),
    "an input that does not exist": (
        edit("nodes", 1, "inputs", value=["scal"]),
        "reads what does not exist: .*Did you mean 'scale'",
    ),
    "too many inputs": (edit("nodes", 1, "inputs", value=["scale", "scale"]), "has 1 input"),
    "no inputs": (edit("nodes", 1, "inputs", value=[]), "has 1 input"),
    "a name twice": (edit("nodes", 1, "name", value="scale"), "the name 'scale' is used 2 times"),
    "a name of the input's": (edit("nodes", 1, "name", value="input"), "the name 'input' is used 2 times"),
    "an empty name": (edit("nodes", 1, "name", value=""), "expected a name"),
    "a very long name": (edit("nodes", 1, "name", value="x" * 10_000), "expected a name"),
    "a number for a name": (edit("nodes", 1, "name", value=3), "which is no str"),
    "no name": (edit("nodes", 1, "name"), "has no 'name'"),
    "a text for inputs": (edit("nodes", 1, "inputs", value="scale"), "which is no list"),
    "a node that is none": (edit("nodes", 1, value=3), "has no 'name'"),
    "nodes that are none": (edit("nodes", value={}), "which is no list"),
    "no nodes": (edit("nodes", value=[]), "at least one node"),
    "a layer that does not exist": (edit("nodes", 1, "layer", value=99), "names layer 99, which does not exist"),
    "a layer from the end": (edit("nodes", 1, "layer", value=-1), "names layer -1"),
    "a layer by truth": (edit("nodes", 1, "layer", value=True), "which is no int"),
    "a layer by name": (edit("nodes", 1, "layer", value="conv"), "which is no int"),
    "an unknown layer": (
        edit("layers", 1, "kind", value="Convolution"),
        "the layer 'Convolution', which this lrp_ref does not know",
    ),
    "an abstract layer": (edit("layers", 1, "kind", value="Linear"), "the layer 'Linear'"),
    "something else of ours": (edit("layers", 1, "kind", value="__all__"), "the layer '__all__'"),
    "an unknown parameter": (edit(*LAYER, "colour", value=3), "layer Conv has no parameter 'colour'"),
    "a hidden parameter": (edit(*LAYER, "parameter_names", value=[]), "has no parameter 'parameter_names'"),
    "an array that is an option": (edit(*LAYER, "weight", value=[[[1.0]]]), "has no parameter 'weight'"),
    "an option that is an array": (edit("layers", 1, "arrays", "stride", value="layers/0/weight"), "has no parameter 'stride'"),
    "an unknown array": (edit("layers", 1, "arrays", "scale", value="layers/0/weight"), "has no parameter 'scale'"),
    "a missing array": (
        edit("layers", 1, "arrays", "weight", value="gone"),
        "names the array 'gone', which the file does not hold",
    ),
    "the graph as an array": (edit("layers", 1, "arrays", "weight", value="graph"), "names the array 'graph'"),
    "an array twice": (edit("layers", 1, "arrays", "bias", value="layers/0/weight"), "or names it twice"),
    "an array that is a number": (edit("layers", 1, "arrays", "weight", value=3), "names the array 3"),
    "a required array left out": (edit("layers", 1, "arrays", "weight"), "weight"),
    "an array of another shape": (
        edit("layers", 1, "arrays", value={"weight": "layers/1/bias", "bias": "layers/1/weight"}),
        r"Conv\.weight must have 2 channel",
    ),
    "a text for a number": (edit(*LAYER, "groups", value="2"), r"Conv\.groups must be an integer"),
    "a fraction of a group": (edit(*LAYER, "groups", value=0.5), r"Conv\.groups must be an integer"),
    "truth for a number": (edit(*LAYER, "groups", value=True), r"Conv\.groups is no switch"),
    "a huge number": (edit(*LAYER, "groups", value=10**17), r"Conv\.groups must divide"),
    "a list for a number": (edit(*LAYER, "groups", value=[1]), r"Conv\.groups must be an integer"),
    "a negative stride": (edit(*LAYER, "stride", value=[-1, 1]), "stride must be at least 1"),
    "a text for strides": (edit(*LAYER, "stride", value="ab"), "stride must be an int or 2 ints"),
    "too many strides": (edit(*LAYER, "stride", value=[1] * 100_000), "stride must be an int or 2 ints"),
    "very deep padding": (edit(*LAYER, "padding", value=json.loads("[" * 900 + "]" * 900)), "padding|recursion"),
    "deep padding": (edit(*LAYER, "padding", value=[[[[1]]]]), "padding"),
    "a mapping for padding": (edit(*LAYER, "padding", value={"a": 1}), "has no 'fraction'"),
    "a fraction that is none": (edit("layers", 2, "options", "slope", value={"fraction": "1/0"}), "is no fraction"),
    "a very long fraction": (edit("layers", 2, "options", "slope", value={"fraction": "1" * 4000}), "is no fraction"),
    "a text for a slope": (edit("layers", 2, "options", "slope", value="0.25"), r"LeakyReLU\.slope must be a number"),
    "a number beyond floats": (edit("layers", 2, "options", "slope", value=1e400), "Infinity"),
    "a text for a switch": (
        edit("layers", 3, "options", "ceil_mode", value="no"),
        r"AvgPool\.ceil_mode is true or false, found 'no'",
    ),
    "a number for a switch": (edit("layers", 3, "options", "ceil_mode", value=1), r"AvgPool\.ceil_mode is true or false"),
    "a negative kernel": (edit("layers", 3, "options", "kernel", value=-2), "kernel must be at least 1"),
    "no kernel": (edit("layers", 3, "options", "kernel"), "kernel"),
    "no options": (edit("layers", 3, "options"), "has no 'options'"),
    "a list of options": (edit("layers", 3, "options", value=[]), "which is no dict"),
    "unknown outputs": (edit("outputs", value=["dens"]), "unknown output 'dens'. Did you mean 'dense'"),
    "no outputs": (edit("outputs", value=[]), "outputs must be different nodes, at least one"),
    "an output twice": (edit("outputs", value=["dense", "dense"]), "outputs must be different nodes"),
    "no inputs of the model": (edit("inputs", value=[]), "does not exist"),
    "an input twice": (edit("inputs", value=["input", "input"]), "the name 'input' is used 2 times"),
    "inputs that are none": (edit("inputs", value="input"), "which is no list"),
    "a shape of an unknown input": (edit("input_shape", value={"imput": [3]}), "unknown input 'imput'"),
    "a negative extent": (edit("input_shape", "input", value=[-3]), "integers of a reasonable size"),
    "a huge extent": (edit("input_shape", "input", value=[2**40]), "integers of a reasonable size"),
    "a shape of texts": (edit("input_shape", "input", value=["3"]), "integers of a reasonable size"),
    "a shape of truths": (edit("input_shape", "input", value=[True]), "integers of a reasonable size"),
    "a number for a shape": (edit("input_shape", "input", value=3), "which is no list"),
    "no shapes": (edit("input_shape"), "has no 'input_shape'"),
    "a domain of an unknown input": (
        edit("domain", value={"imput": {"low": "domain/0/low", "high": "domain/0/high"}}),
        "unknown input",
    ),
    "half a domain": (edit("domain", "input", "low"), "has no 'low'"),
    "a domain of numbers": (edit("domain", "input", value=[0, 1]), "has no 'low'"),
    "a domain upside down": (edit("domain", "input", value={"low": "domain/0/high", "high": "domain/0/low"}), "needs low ≤ high"),
    "a domain of another shape": (
        edit("domain", "input", "low", value="layers/4/weight"),
        "do not fit|does not fit|does not hold",
    ),
    "no domain": (edit("domain"), "has no 'domain'"),
    "a number type that is none": (edit("default_dtype", value="float16"), "number type is float32 or float64, found 'float16'"),
    "rationals": (edit("default_dtype", value="object"), "number type is float32 or float64, found 'object'"),
    "a number type that is a list": (edit("default_dtype", value=["float32"]), "number type is float32 or float64"),
}


@pytest.mark.parametrize(("change", "match"), GRAPHS.values(), ids=GRAPHS)
def test_graphs_that_cannot_be(tmp_path, change, match):
    graph, arrays = described()
    lrp_ref.load(written(tmp_path / "fine.npz", graph, arrays))
    change(graph)
    refused(written(tmp_path / "m.npz", graph, arrays), match)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("member", ["layers/1/weight", "layers/1/bias", "domain/0/low"])
def test_weights_that_are_no_numbers(tmp_path, bad, member):
    graph, arrays = npz.describe(small())
    arrays[member] = np.where(np.arange(arrays[member].size) == 0, bad, 1.0).reshape(arrays[member].shape)
    path = written(tmp_path / "m.npz", graph, {name: npy(array) for name, array in arrays.items()})
    refused(path, r"(Conv|Domain)\.\w+ has 1 value\(s\) that are NaN or infinite")


def test_graphs_of_many_nodes_take_no_time(tmp_path):
    """20 000 nodes: in the worst order, in a circle, and with a name that does not exist among many that look like it."""
    count = 20_000
    layer = {"kind": "ReLU", "options": {}, "arrays": {}}
    base = {"format": "lrp_ref.model", "version": 1, "inputs": ["input"], "input_shape": {}, "domain": {}, "layers": [layer]}
    chain = [{"name": f"a{i}", "layer": 0, "inputs": [f"a{i - 1}" if i else "input"]} for i in range(count)]
    path = written(tmp_path / "m.npz", {**base, "outputs": [f"a{count - 1}"], "nodes": chain[::-1]}, {})
    start = time.process_time()
    assert lrp_ref.load(path).nodes[-1].name == f"a{count - 1}"
    assert time.process_time() - start < 5
    circle = [{**chain[0], "inputs": [f"a{count - 1}"]}, *chain[1:]]
    refused(written(path, {**base, "outputs": ["a0"], "nodes": circle}, {}), "has a cycle: .* → … → ")
    star = [{"name": f"a{i}", "layer": 0, "inputs": ["input"]} for i in range(count)]
    lrp_ref.load(written(path, {**base, "outputs": ["a0"], "nodes": star}, {}))
    refused(written(path, {**base, "outputs": ["a" + "1" * 900], "nodes": chain}, {}), "unknown output")


# ---- random damage ---------------------------------------------------------------------------------------------------

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=3)
    | st.sampled_from(["input", "conv", "Conv", "Dense", "layers/1/weight", "fraction", "graph", 0, 1, -1, 2**31, 1e308]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["fraction", "low", "kind", "a"]), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


def places(graph: Any, path: tuple = ()) -> list[tuple]:
    """Where every value of the graph is."""
    if isinstance(graph, dict):
        return [found for key, value in graph.items() for found in ((*path, key), *places(value, (*path, key)))]
    if isinstance(graph, list):
        return [found for key, value in enumerate(graph) for found in ((*path, key), *places(value, (*path, key)))]
    return []


def survives(path: Path) -> None:
    """Reading gives a model or a `FormatError`: anything else raised fails the test."""
    with contextlib.suppress(FormatError):
        assert isinstance(lrp_ref.load(path), Model)


@settings(mutations, max_examples=4 * settings.default.max_examples)
@given(st.data())
def test_no_graph_makes_reading_fail_otherwise(tmp_path, data):
    graph, arrays = described()
    for _ in range(data.draw(st.integers(1, 3))):
        *inner, key = data.draw(st.sampled_from(places(graph)))
        value = graph
        for step in inner:
            value = value[step]
        action = data.draw(st.sampled_from(["replace", "replace", "delete", "double"]))
        if action == "replace":
            value[key] = data.draw(JUNK)
        elif action == "delete":
            del value[key]
        elif isinstance(value, list):
            value.append(value[key])
        if not places(graph):
            break
    survives(written(tmp_path / "m.npz", graph, arrays))


def saved_bytes() -> bytes:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"lrp_ref_test_{os.getpid()}.npz"
    try:
        return lrp_ref.save(small(), path, overwrite=True).read_bytes()
    finally:
        path.unlink(missing_ok=True)


@settings(mutations, max_examples=5 * settings.default.max_examples)
@given(st.data())
def test_no_damage_to_a_file_makes_reading_fail_otherwise(tmp_path, data):
    found = bytearray(_BASE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(found) - 1)))
        action = data.draw(st.sampled_from(["flip", "flip", "set", "cut", "drop", "insert", "copy"]))
        if action == "flip" and found:
            found[at] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "set":
            found[at : at + 4] = data.draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"PK\x01\x02"]))
        elif action == "cut":
            del found[at:]
        elif action == "drop":
            del found[at : at + data.draw(st.integers(1, 50))]
        elif action == "insert":
            found[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        elif action == "copy":
            found[at:at] = found[at : at + data.draw(st.integers(1, 200))]
    path = tmp_path / "m.npz"
    path.write_bytes(found)
    survives(path)


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    path = tmp_path / "m.npz"
    path.write_bytes(_BASE)
    for length in reversed(range(len(_BASE))):
        os.truncate(path, length)
        with pytest.raises(FormatError):
            lrp_ref.load(path)


@settings(mutations, max_examples=3 * settings.default.max_examples)
@given(st.data())
def test_no_header_makes_reading_fail_otherwise(tmp_path, data):
    graph, arrays = described(Model.sequential([L.Dense(np.ones((3, 1)))]))
    found = bytearray(header(shape="(3, 1)", pad=data.draw(st.integers(0, 3))) + np.ones(3).tobytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(6, len(found) - 1))
        piece = data.draw(st.sampled_from([b"", b"9", b"(", b"O", b"'", b",", b" ", b"-", b"\xff", b"\0", b"1e9", b"0x", b"\n"]))
        found[at : at + data.draw(st.integers(0, 2))] = piece
    survives(written(tmp_path / "m.npz", graph, {**arrays, "layers/0/weight": bytes(found)}))


_BASE = saved_bytes()


def test_a_domain_is_read_as_a_domain(tmp_path):
    model = lrp_ref.load(lrp_ref.save(small(), tmp_path / "m.npz"))
    assert isinstance(model.domain["input"], Domain)
    assert repr(model.domain["input"]) == "[array[2, 1, 1], 1.0]"
