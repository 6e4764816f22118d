"""From files to samples: arrays, tables, text, images, and folders of them. The batch axis is added here."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import preprocess
from ..arrays import Array
from ..errors import FormatError, LrpError, MissingExtraError, ShapeError
from ..network.model import Model
from . import text
from .network import Network

#: What a folder may hold. Tables and text are taken from it where the network reads such: a readme is no sentence.
SUFFIXES = (".npy", ".npz", *preprocess.SUFFIXES)
#: All that is read.
EVERY = (*SUFFIXES, *preprocess.TABLE_SUFFIXES, *preprocess.TEXT_SUFFIXES)
BUDGET = 4 * 2**30  # bytes that the members of an .npz may take when unpacked


def kinds_of(network: Network) -> tuple[str, ...]:
    """The suffixes of files that are taken from a folder for this network."""
    tables = preprocess.TABLE_SUFFIXES if text.sequences(network.model) else ()
    return (*SUFFIXES, *tables, *(preprocess.TEXT_SUFFIXES if network.text is not None else ()))


def files_of(paths: Sequence[Path], kinds: Sequence[str] = SUFFIXES) -> list[Path]:
    """The files themselves, and those of the folders by name; each once, in order.

    Raises
    ------
    FormatError
        Where a path does not exist, or a folder holds nothing that is read.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _in_folder(path, kinds) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
        if not path.exists() and path != text.STDIN:
            raise FormatError(f"{path}: no such file or folder")
    return list(found.values())


def _in_folder(folder: Path, kinds: Sequence[str]) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in kinds and p.is_file() and p.name[0] != ".")
    if not files:
        raise FormatError(f"{folder}: the folder holds no file of a kind that is read: {', '.join(kinds)}")
    return files


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample.

    Attributes
    ----------
    arrays : the inputs by name, each (1, …)
    shown : the photograph that the network sees, where it is one
    words : those of a sentence
    columns : the names of the features of a table
    """

    arrays: dict[str, Array]
    shown: Array | None = None
    words: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None


def samples_of(path: Path, network: Network) -> list[Sample | LrpError]:
    """The samples of one file; for a sentence that cannot be read, what is wrong with it.

    Raises
    ------
    FormatError
        Where the file cannot be read, or its arrays are not what the model takes.
    MissingExtraError
        Where it is an image and Pillow is not installed.
    """
    model = network.model
    if path == text.STDIN or path.suffix.lower() in preprocess.TEXT_SUFFIXES:
        found = text.read(path, network.text, model)
        return [one if isinstance(one, LrpError) else Sample(one[1], words=one[0]) for one in found]
    try:
        shown, columns = None, None
        if path.suffix.lower() in preprocess.SUFFIXES and len(model.inputs) == 1:
            arrays, shown = _image(path, network)
        else:
            read, columns = _arrays(path, model)
            arrays = _batches(_as_steps(_as_numbers(read, model), model), model)
        prepared = model.prepare(arrays)
        text.check_numbers(prepared, model)
    except MissingExtraError:
        raise
    except FormatError as error:
        raise error if str(path) in str(error) else error.at(str(path)) from None
    except LrpError as error:
        raise FormatError(f"{path}: {error}") from None
    count = next(iter(prepared.values())).shape[0]
    samples = [{name: array[i : i + 1] for name, array in prepared.items()} for i in range(count)]
    return [Sample(one, shown, text.spelled(one, network.text, model), columns) for one in samples]


def _as_numbers(arrays: dict[str, Array], model: Model) -> dict[str, Array]:
    """Integers as the model's numbers, where they are those of words, or lengths; elsewhere they are refused."""
    whole = {*text.tables(model), *text.lengths(model)}
    return {
        name: array.astype(model.dtype) if name in whole and array.dtype.kind in "iu" and model.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def _image(path: Path, network: Network) -> tuple[dict[str, Array], Array]:
    """An image as a batch of one, and its pixels after it was cut and resized."""
    recipe, model = network.for_images(), network.model
    pixels = np.asarray(recipe.cut(preprocess.read_image(path)))
    # Rounded as the domain is, so that no pixel leaves the bounds.
    made = recipe.values(pixels).astype(np.float64 if model.dtype == object else model.dtype)
    return {model.inputs[0]: made[None]}, pixels


def _as_steps(arrays: dict[str, Array], model: Model) -> dict[str, Array]:
    """One sequence (T, features) as a batch of one: a recurrent layer says how many axes its input has."""
    over_time = text.sequences(model)
    return {name: array[None] if name in over_time and array.ndim == 2 else array for name, array in arrays.items()}


def _arrays(path: Path, model: Model) -> tuple[dict[str, Array], tuple[str, ...] | None]:
    """The model's inputs by name, as the file holds them, and the names of a table's columns."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _chosen(_as_numbers(_npz(path), model), model), None
    if suffix not in EVERY:
        raise FormatError(f"inputs of kind {suffix or '(no suffix)'!r} are not read; known: {', '.join(EVERY)}")
    if len(model.inputs) > 1:
        raise FormatError(f"the model has several inputs; an .npz with the arrays {', '.join(model.inputs)} gives them")
    if suffix == ".npy":
        return {model.inputs[0]: _npy(path)}, None
    if suffix in preprocess.TABLE_SUFFIXES:
        table, names = preprocess.read_table(path)
        return {model.inputs[0]: table}, names
    raise FormatError("an image is no input of this network")


def _npy(path: Path) -> Array:
    try:
        # Mapped: the header is checked against the size of the file before memory is taken.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        raise FormatError(f"the file cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, OverflowError, SyntaxError) as error:
        raise FormatError(f"this is no readable .npy file: {error}") from None


def _npz(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > BUDGET:
            raise FormatError(f"its arrays would take {size} bytes, more than {BUDGET}")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise FormatError(f"the file cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError, MemoryError, RuntimeError) as error:
        raise FormatError(f"this is no readable .npz file: {error}") from None


def _chosen(stored: Mapping[str, Array], model: Model) -> dict[str, Array]:
    """The model's inputs among the arrays of an .npz: by name, else the only floating point array that fits."""
    if all(name in stored for name in model.inputs):
        return {name: stored[name] for name in model.inputs}
    listed = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in stored.items())
    if len(model.inputs) > 1:
        raise FormatError(f"the model takes {', '.join(model.inputs)}; the file holds {listed or 'nothing'}")
    kinds = "fiub" if model.whole else "f"
    fitting = [name for name, array in stored.items() if array.dtype.kind in kinds and _fits(array, model)]
    if len(fitting) != 1:
        raise FormatError(
            f"{'several arrays fit' if fitting else 'no floating point array fits'} the model's input "
            f"{model.inputs[0]!r}, and none has that name; the file holds {listed or 'nothing'}"
        )
    return {model.inputs[0]: stored[fitting[0]]}


def _fits(array: Array, model: Model) -> bool:
    try:
        _batches({model.inputs[0]: array}, model)
    except LrpError:
        return False
    return True


def _batches(arrays: Mapping[str, Array], model: Model) -> dict[str, Array]:
    """The arrays with a batch axis, which is added where a file holds one sample without it.

    Where the model states its input shapes they decide. Else the arrays are read as batches if the network can compute
    with them, and as single samples if not.
    """
    known = {name: _batch(array, model.input_shape[name], name) for name, array in arrays.items() if name in model.input_shape}
    rest = {name: array for name, array in arrays.items() if name not in known}
    error: LrpError | None = None
    for read in (rest, {name: array[None] for name, array in rest.items()}):
        try:
            found = known | read
            if any(array.ndim == 0 for array in found.values()):
                raise ShapeError("the file holds a single number")
            model.shapes({name: array.shape for name, array in found.items()})
        except LrpError as failure:
            error = error or failure
        else:
            return found
    assert error is not None
    raise error


def _batch(array: Array, sample: tuple[int, ...], name: str) -> Array:
    """One sample or a batch of them as (N, *sample); axes of extent 1 may be missing or too many."""
    core = tuple(extent for extent in sample if extent != 1)
    if array.shape == sample:
        return array[None]
    if array.shape[1:] == sample:
        return array
    if tuple(extent for extent in array.shape if extent != 1) == core:
        return array.reshape(1, *sample)
    if array.ndim and tuple(extent for extent in array.shape[1:] if extent != 1) == core:
        return array.reshape(array.shape[0], *sample)
    raise ShapeError(f"input {name!r} takes samples of shape {sample}, alone or as (N, …); the file holds {array.shape}")
