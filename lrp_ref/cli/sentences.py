"""Sentences for a network: what the options say of words, and the arrays that a sentence becomes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import zoo
from ..arrays import Array
from ..errors import FormatError, ParameterError, ShapeError
from ..network.model import Model
from ..preprocess import Vocabulary, read_sentences
from ..preprocess.vocabulary import sentences_in
from .input_kinds import InputKinds

#: What is typed for text from the standard input.
STDIN = Path("-")


@dataclass(frozen=True, eq=False)
class Text:
    """What is done to sentences before a network sees them.

    Attributes
    ----------
    vocabulary : which row of the network's table each word is
    vectors : (words, features), for a network that takes words as vectors; None: it has the table itself
    unknown : the word for those that are not in the vocabulary; None: they are an error
    pad : the word that fills short sentences up, where the network wants a number of words; None: they are an error
    lower : whether letters become small
    origin : where the vocabulary comes from, in words
    """

    vocabulary: Vocabulary
    vectors: Array | None = None
    unknown: str | None = None
    pad: str | None = None
    lower: bool = False
    origin: str = ""


# --- what is typed --------------------------------------------------------------------------------------------------------


def text_of(spec: str, model: Model, kinds: InputKinds, options: Mapping[str, Any]) -> Text | None:
    """What the options say about sentences; None where nothing says what the words' numbers are.

    Parameters
    ----------
    spec : what is typed for the network
    model, kinds : the network, and what its inputs hold
    options : those of `options.text`

    Raises
    ------
    FormatError, ShapeError
        Where a file cannot be read, or does not fit the network.
    ParameterError
        Where options need a vocabulary and there is none, or name a word that is not in it.
    """
    vocabulary, origin = _vocabulary(spec, options["vocab"])
    names = {"unknown": "--unknown", "pad": "--pad", "lower": "--lower", "vectors": "--vectors"}
    if vocabulary is None:
        for name, option in names.items():
            if options[name]:
                raise ParameterError(f"{option} is about words: give --vocab FILE as well")
        return None
    for name in ("unknown", "pad"):
        if options[name] is not None and options[name] not in vocabulary.numbers:
            raise ParameterError(f"{names[name]} {options[name]!r} is itself not in the vocabulary {origin}")
    text = Text(vocabulary, _vectors(options["vectors"]), options["unknown"], options["pad"], options["lower"], origin)
    _check_rows(text, model, kinds.tables)
    return text


def _vocabulary(spec: str, path: Path | None) -> tuple[Vocabulary | None, str]:
    if path is not None:
        return Vocabulary.load(path), str(path)
    if spec.startswith("zoo:"):
        return zoo.vocabulary(spec.removeprefix("zoo:")), f"of {spec}"
    beside = Path(spec).with_suffix(".vocab.txt")
    return (Vocabulary.load(beside), str(beside)) if beside.is_file() else (None, "")


def _vectors(path: Path | None) -> Array | None:
    if path is None:
        return None
    try:
        vectors = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FormatError(f"{path}: the file cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise FormatError(f"{path}: this is no readable .npy file: {error}") from None
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise FormatError(f"{path}: --vectors takes an .npy file of floating point numbers, (words, features)")
    return vectors


def _check_rows(text: Text, model: Model, tables: Mapping[str, str]) -> None:
    """Every word needs a row in the table, the network's own or that of `vectors`."""
    if text.vectors is not None and tables:
        node = next(iter(tables.values()))
        raise ParameterError(f"the network has its own table of words, node {node!r}: --vectors is for others")
    counts = {f"node {node!r}": table_rows(model, node) for node in tables.values()}
    counts |= {} if text.vectors is None else {"--vectors": len(text.vectors)}
    for where, rows in counts.items():
        if text.vocabulary.rows > rows:
            last = text.vocabulary.spell([text.vocabulary.rows - 1])[0]
            raise FormatError(
                f"the vocabulary {text.origin} does not fit the network: {last!r} is number {text.vocabulary.rows - 1}, and the "
                f"table of {where} has rows 0 to {rows - 1}"
            )


def table_rows(model: Model, node: str) -> int:
    """The number of rows of a network's table of words.

    Parameters
    ----------
    node : the name of its Embedding
    """
    return len(model[node].layer.weight)  # type: ignore[attr-defined]


# --- sentences ------------------------------------------------------------------------------------------------------------


def read_lines(path: Path, text: Text | None) -> list[tuple[str, ...]]:
    """The words of each line of a file, or of the standard input.

    Parameters
    ----------
    path : the file; STDIN for the standard input
    text : what is done to sentences

    Raises
    ------
    FormatError
        Where the file cannot be read, or nothing says what the words' numbers are.
    """
    if text is None:
        raise FormatError(f"{path}: text needs --vocab FILE, which says what the number of each word is")
    return sentences_in(sys.stdin.read(), text.lower) if path == STDIN else read_sentences(path, text.lower)


def arrays_of(words: tuple[str, ...], text: Text, model: Model, kinds: InputKinds) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The model's inputs (1, …) for one sentence, and the words that it reads: the padding, too, unless it is told the length.

    Parameters
    ----------
    words : the words of the sentence
    text : what is done to sentences
    model, kinds : the network, and what its inputs hold

    Raises
    ------
    FormatError
        Where the sentence has no words, or the network takes something else than sentences.
    UnknownNameError
        Where a word is not in the vocabulary.
    ShapeError
        Where the network wants another number of words.
    """
    if not words:
        raise FormatError("the sentence is empty")
    if not model.dtype.kind == "f":
        raise FormatError("words are read by networks of floating point numbers")
    name, lengths = _words_input(kinds, text), kinds.lengths
    others = [other for other in model.inputs if other != name and other not in lengths]
    if others:
        raise FormatError(f"the network also reads {', '.join(others)}, for which a sentence says nothing; an .npz can")
    padded = (*words, *_padding(words, text, model.input_shape.get(name)))
    numbers = text.vocabulary.look_up(padded, text.unknown)
    sample = numbers if text.vectors is None else text.vectors[numbers]
    arrays = {name: sample[None].astype(model.dtype)}
    arrays |= {other: np.array([len(words)], dtype=model.dtype) for other in lengths}
    return arrays, words if lengths else padded


def _words_input(kinds: InputKinds, text: Text) -> str:
    """The one input that takes words, as vectors or as numbers."""
    if text.vectors is not None:
        names, missing = kinds.sequences, "a recurrent layer reads none of its inputs"
    else:
        names, missing = (
            tuple(kinds.tables),
            "it has no table of words; --vectors FILE.npy is for those that take words as vectors",
        )
    if len(names) != 1:
        raise FormatError(
            f"the network takes no sentences: {missing if not names else f'it has several inputs of words, {names}'}"
        )
    return names[0]


def _padding(words: Sequence[str], text: Text, shape: tuple[int, ...] | None) -> list[str]:
    """What fills a sentence up to the number of words that the network wants."""
    missing = (shape[0] if shape else len(words)) - len(words)
    if missing < 0:
        raise ShapeError(f"the network takes {shape[0] if shape else 0} words, and the sentence has {len(words)}")
    if missing and text.pad is None:
        raise ShapeError(
            f"the network takes {shape[0] if shape else 0} words, and the sentence has {len(words)}; --pad WORD fills it up"
        )
    return [str(text.pad)] * missing


def check_numbers(arrays: Mapping[str, Array], model: Model, kinds: InputKinds) -> None:
    """Refuse numbers of words that are no rows of the network's table, and lengths that are not there.

    Parameters
    ----------
    arrays : the model's inputs by name, each (N, …)
    model, kinds : the network, and what its inputs hold

    Raises
    ------
    FormatError
        The message says which number, and where it stands.
    """
    limits = {name: (0, table_rows(model, node) - 1) for name, node in kinds.tables.items()}
    if kinds.words and arrays[kinds.words].ndim > 1:
        limits |= dict.fromkeys(kinds.lengths, (1, arrays[kinds.words].shape[1]))
    for name, (low, high) in limits.items():
        numbers = arrays[name]
        wrong = np.argwhere((numbers != np.rint(numbers.astype(np.float64))) | (numbers < low) | (numbers > high))
        if len(wrong):
            place, number = wrong[0].tolist(), float(numbers[tuple(wrong[0])])
            what = "the length" if name in kinds.lengths else "the number of a word"
            raise FormatError(f"input {name!r}: {what} must be a whole number from {low} to {high}, found {number:g} at {place}")


def words_of(arrays: Mapping[str, Array], text: Text | None, kinds: InputKinds) -> tuple[str, ...] | None:
    """The words whose numbers a sample holds, up to its length; without a vocabulary the numbers; None: it holds none.

    Parameters
    ----------
    arrays : the inputs of one sample by name, each (1, …)
    text : what is done to sentences
    kinds : what the network's inputs hold
    """
    names = tuple(kinds.tables)
    if len(names) != 1 or arrays[names[0]].ndim != 2:
        return None
    numbers = arrays[names[0]][0]
    for name in kinds.lengths:
        numbers = numbers[: int(arrays[name][0])]
    return tuple(f"{number:g}" for number in numbers) if text is None else text.vocabulary.spell(numbers)
