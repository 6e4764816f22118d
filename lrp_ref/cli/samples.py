"""From files to samples: arrays, tables, text, images, and folders of them. The batch axis is added here."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import preprocess
from ..arrays import Array
from ..errors import FormatError, LrpError, MissingExtraError, ShapeError
from ..network.model import Model
from .input_kinds import InputKinds
from .network import Network
from .sentences import STDIN, arrays_of, check_numbers, read_lines, words_of

#: What a folder may hold. Tables and text are taken from it where the network reads such: a readme is no sentence.
SUFFIXES = (".npy", ".npz", *preprocess.SUFFIXES)
#: All that is read.
EVERY = (*SUFFIXES, *preprocess.TABLE_SUFFIXES, *preprocess.TEXT_SUFFIXES)
BUDGET = 4 * 2**30  # bytes that the members of an .npz may take when unpacked


def files_of(paths: Sequence[Path], network: Network) -> list[Path]:
    """The files themselves, and those of the folders by name; each once, in order.

    Parameters
    ----------
    paths : files and folders; STDIN for the standard input
    network : which says whether tables and text are taken from folders, too

    Raises
    ------
    FormatError
        Where a path does not exist, or a folder holds nothing that is read.
    """
    tables = preprocess.TABLE_SUFFIXES if network.kinds.sequences else ()
    suffixes = (*SUFFIXES, *tables, *(preprocess.TEXT_SUFFIXES if network.text is not None else ()))
    files: dict[Path, Path] = {}
    for path in paths:
        for file in _in_folder(path, suffixes) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
        if not path.exists() and path != STDIN:
            raise FormatError(f"{path}: no such file or folder")
    return list(files.values())


def _in_folder(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.is_file() and p.name[0] != ".")
    if not files:
        raise FormatError(f"{folder}: the folder holds no file of a kind that is read: {', '.join(suffixes)}")
    return files


def names_of(files: Sequence[Path]) -> list[str]:
    """A short name for each file, and no name twice: the stem, or more of the path where stems clash.

    Parameters
    ----------
    files : each of them once
    """
    for shorten in (lambda p: p.stem, lambda p: p.name, lambda p: "-".join(p.resolve().parts[1:])):
        names = [shorten(file) for file in files]
        if len(set(names)) == len(names):
            break
    return names


# --- samples --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sample:
    """The content of one sample.

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


@dataclass(frozen=True, eq=False)
class NamedSample:
    """A sample with its name, or what is wrong with it.

    Attributes
    ----------
    file : where it lies
    name : what it is called in reports and outputs
    content : the sample, or the error that says why there is none
    index : which sample of the file; None: the file as a whole cannot be read
    more : with the first sample of a file, how many follow
    """

    file: Path
    name: str
    content: Sample | LrpError
    index: int | None = None
    more: int = 0

    @property
    def sample(self) -> Sample:
        """The content of the sample.

        Raises
        ------
        LrpError
            Where there is none.
        """
        if isinstance(self.content, LrpError):
            raise self.content
        return self.content


def samples_of(files: Sequence[Path], network: Network) -> Iterator[NamedSample]:
    """The samples of all files, one after the other; each file is read when its turn comes.

    Parameters
    ----------
    files : each of them once
    network : which says what its inputs take

    Raises
    ------
    MissingExtraError
        Where a file is an image and Pillow is not installed. All other errors stand in place of samples.
    """
    for file, name in zip(files, names_of(files), strict=True):
        try:
            contents = _read(file, network)
        except MissingExtraError:
            raise
        except LrpError as error:
            yield NamedSample(file, name, error)
            continue
        if not contents:
            yield NamedSample(file, name, FormatError(f"{file}: the file holds no samples"))
        for i, content in enumerate(contents):
            yield NamedSample(file, name if len(contents) == 1 else f"{name}-{i}", content, i, 0 if i else len(contents) - 1)


def _read(path: Path, network: Network) -> list[Sample | LrpError]:
    """The samples of one file; for a sentence that cannot be read, what is wrong with it."""
    if path == STDIN or path.suffix.lower() in preprocess.TEXT_SUFFIXES:
        return [_sentence(path, line, words, network) for line, words in enumerate(read_lines(path, network.text), start=1)]
    try:
        return _samples(*_contents(path, network), network)
    except MissingExtraError:
        raise
    except FormatError as error:
        raise error if str(path) in str(error) else error.at(str(path)) from None
    except LrpError as error:
        raise FormatError(f"{path}: {error}") from None


def _sentence(path: Path, line: int, words: tuple[str, ...], network: Network) -> Sample | LrpError:
    assert network.text is not None, "lines are read where something says what the words' numbers are"
    try:
        arrays, shown = arrays_of(words, network.text, network.model, network.kinds)
    except LrpError as error:
        return FormatError(f"{path}, line {line}: {error}")
    return Sample(arrays, words=shown)


def _contents(path: Path, network: Network) -> tuple[dict[str, Array], Array | None, tuple[str, ...] | None]:
    """The arrays of a file as batches, by input; with the photograph, and the names of a table's columns."""
    model, kinds = network.model, network.kinds
    if path.suffix.lower() in preprocess.SUFFIXES and len(model.inputs) == 1:
        return *_image(path, network), None
    arrays, columns = _file_inputs(path, model, kinds)
    return _batches(_as_steps(_as_numbers(arrays, model, kinds), kinds), model), None, columns


def _image(path: Path, network: Network) -> tuple[dict[str, Array], Array]:
    """An image as a batch of one, and its pixels after it was cut and resized."""
    recipe, model = network.images.preprocessing, network.model
    pixels = np.asarray(recipe.cut(preprocess.read_image(path)))
    # Rounded as the domain is, so that no pixel leaves the bounds.
    array = recipe.values(pixels).astype(np.float64 if model.dtype == object else model.dtype)
    return {model.inputs[0]: array[None]}, pixels


def _samples(
    arrays: dict[str, Array], shown: Array | None, columns: tuple[str, ...] | None, network: Network
) -> list[Sample | LrpError]:
    """The samples of batches, checked."""
    prepared = network.model.prepare(arrays)
    check_numbers(prepared, network.model, network.kinds)
    count = next(iter(prepared.values())).shape[0]
    single = [{name: array[i : i + 1] for name, array in prepared.items()} for i in range(count)]
    return [Sample(one, shown, words_of(one, network.text, network.kinds), columns) for one in single]


# --- arrays ---------------------------------------------------------------------------------------------------------------


def _as_numbers(arrays: dict[str, Array], model: Model, kinds: InputKinds) -> dict[str, Array]:
    """Integers as the model's numbers, where they are those of words, or lengths; elsewhere they are refused."""
    counts = {*kinds.tables, *kinds.lengths}
    return {
        name: array.astype(model.dtype) if name in counts and array.dtype.kind in "iu" and model.dtype.kind == "f" else array
        for name, array in arrays.items()
    }


def _as_steps(arrays: dict[str, Array], kinds: InputKinds) -> dict[str, Array]:
    """One sequence (T, features) as a batch of one: a recurrent layer says how many axes its input has."""
    return {name: array[None] if name in kinds.sequences and array.ndim == 2 else array for name, array in arrays.items()}


def _file_inputs(path: Path, model: Model, kinds: InputKinds) -> tuple[dict[str, Array], tuple[str, ...] | None]:
    """The model's inputs by name, as the file holds them, and the names of a table's columns."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _choose(_as_numbers(_npz(path), model, kinds), model), None
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


def _choose(stored: Mapping[str, Array], model: Model) -> dict[str, Array]:
    """The model's inputs among the arrays of an .npz: by name, else the only floating point array that fits."""
    if all(name in stored for name in model.inputs):
        return {name: stored[name] for name in model.inputs}
    listed = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in stored.items())
    if len(model.inputs) > 1:
        raise FormatError(f"the model takes {', '.join(model.inputs)}; the file holds {listed or 'nothing'}")
    types = "fiub" if model.integer_inputs else "f"
    fitting = [name for name, array in stored.items() if array.dtype.kind in types and _fits(array, model)]
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
            batches = known | read
            if any(array.ndim == 0 for array in batches.values()):
                raise ShapeError("the file holds a single number")
            model.shapes({name: array.shape for name, array in batches.items()})
        except LrpError as failure:
            error = error or failure
        else:
            return batches
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
