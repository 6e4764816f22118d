"""The native file format: round trips bit for bit, writing that is whole or not at all, and files that are not ours."""

import json
import os
import pickle
import re
import sys
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import lrp_ref
from lrp_ref import Model, Node, errors
from lrp_ref import layers as L
from lrp_ref.formats import archive, npz
from support.model_strategies import Modelled, any_models
from support.npz_files import FormatError, listed, mutations, npy, packed, refused, small, written
from support.strategies import KINDS

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
    L.GRU: (np.ones((1, 3)), np.ones((1, 3))),
    L.LSTM: (np.ones((1, 4)), np.ones((1, 4)), np.ones(4), None, "reverse", "all", ("lengths", "cell")),
    L.LpPool: ((2, 1),),
    L.RNN: (np.ones((1, 1)), np.ones((1, 1))),
    L.PReLU: ([0.5],),
    L.PadWith: (((1, 0), (2, 1)), "constant", 0.5),
    L.Reshape: ((-1, 2),),
    L.Resize: ((3, 4), (1.5, 2.0), "linear"),
    L.SpaceToDepth: (2,),
    L.StackedDense: (np.ones((2, 1, 1)),),
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
        L.Multiply(1, constant=np.array([0.5, -2.0])),
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


def test_names_of_any_kind_that_can_be_printed_survive(tmp_path):
    names = ("../../etc/passwd", "a\\0b", "ünï", "\\ud800", "x" * 1000, "graph", "👩\u200d🔬")
    model = Model.sequential([L.ReLU()] * len(names), names, domain=(0, 1))
    odd = Model((Node("a", L.Add(), ("../x", "$")),), ("../x", "$"), domain={"../x": (0, 1), "$": (1, 2)})  # type: ignore[arg-type]
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
    monkeypatch.setattr(archive, "_pack", lambda *_: path.write_bytes(b"theirs"))
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


@pytest.mark.parametrize("value", [object(), 1j, float("inf"), b"x", {1: 2}], ids=lambda value: type(value).__name__)
def test_options_that_json_does_not_hold_are_refused(tmp_path, value):
    layer = L.Dropout()
    object.__setattr__(layer, "rate", value)
    with pytest.raises(FormatError, match=r"node 'dropout1' \(Dropout\): rate = .* cannot be stored"):
        lrp_ref.save(Model.sequential([layer]), tmp_path / "m.npz")
    assert listed(tmp_path) == []


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
    with pytest.raises(FormatError, match=r"files of kind '\.dat' are not read; known: \.npz"):
        lrp_ref.load(tmp_path / "model.dat")
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
