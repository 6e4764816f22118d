"""Text for a network: which input takes words, as what, and the samples that sentences become."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import zoo
from ..arrays import Array
from ..errors import FormatError, LrpError, ParameterError, ShapeError
from ..layers import Activation, Dense, Embedding, Identity, Rearrangement, Recurrent, Scale
from ..network.model import Model
from ..preprocess import Vocabulary, read_sentences
from ..preprocess.words import sentences_in

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


# --- what a network reads -------------------------------------------------------------------------------------------------


def tables(model: Model) -> dict[str, str]:
    """The tables of words of a network: for each input of numbers of words the name of its Embedding."""
    return {name: found for name in model.inputs if (found := _reached(model, name, Embedding, (Rearrangement,)))}


def sequences(model: Model) -> tuple[str, ...]:
    """The inputs (N, T, features) that run over time: those that a recurrent layer reads, but for lengths and initial states."""
    # Behind these layers the axes are still what they were.
    kept = (Identity, Dense, Scale, Activation)
    return tuple(name for name in model.inputs if _reached(model, name, Recurrent, kept))


def lengths(model: Model) -> tuple[str, ...]:
    """The inputs that say how long each sequence is."""
    found = []
    for node in model.nodes:
        if isinstance(node.layer, Recurrent):
            reads = zip(node.inputs[1:], getattr(node.layer, "reads", ()), strict=False)
            found += [source for source, what in reads if what == "lengths"]
    return tuple(name for name in model.inputs if name in found)


def _reached(model: Model, name: str, kind: type, through: tuple[type, ...]) -> str | None:
    """The first node of that kind that reads an input, directly or behind layers of the kinds `through`."""
    waiting, seen = [name], {name}
    while waiting:
        source = waiting.pop(0)
        for node in model.readers(source):
            if isinstance(node.layer, kind) and node.inputs[0] == source:
                return node.name
            if isinstance(node.layer, through) and node.name not in seen:
                seen.add(node.name)
                waiting.append(node.name)
    return None


# --- what is typed --------------------------------------------------------------------------------------------------------


def text_of(spec: str, model: Model, options: Mapping[str, Any]) -> Text | None:
    """What the options say about text; None where nothing says what the words' numbers are.

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
    found = Text(vocabulary, _vectors(options["vectors"]), options["unknown"], options["pad"], options["lower"], origin)
    _check_rows(found, model)
    return found


def _vocabulary(spec: str, given: Path | None) -> tuple[Vocabulary | None, str]:
    if given is not None:
        return Vocabulary.load(given), str(given)
    if spec.startswith("zoo:"):
        return zoo.vocabulary(spec.removeprefix("zoo:")), f"of {spec}"
    beside = Path(spec).with_suffix(".vocab.txt")
    return (Vocabulary.load(beside), str(beside)) if beside.is_file() else (None, "")


def _vectors(path: Path | None) -> Array | None:
    if path is None:
        return None
    try:
        found = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FormatError(f"{path}: the file cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise FormatError(f"{path}: this is no readable .npy file: {error}") from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f":
        raise FormatError(f"{path}: --vectors takes an .npy file of floating point numbers, (words, features)")
    return found


def _check_rows(text: Text, model: Model) -> None:
    """Every word needs a row in the table, the network's own or that of `vectors`."""
    held = tables(model)
    if text.vectors is not None and held:
        own = next(iter(held.values()))
        raise ParameterError(f"the network has its own table of words, node {own!r}: --vectors is for others")
    counts = {f"node {node!r}": model[node].layer.weight.shape[0] for node in held.values()}  # type: ignore[attr-defined]
    counts |= {} if text.vectors is None else {"--vectors": len(text.vectors)}
    for where, rows in counts.items():
        if text.vocabulary.rows > rows:
            last = text.vocabulary.spell([text.vocabulary.rows - 1])[0]
            raise FormatError(
                f"the vocabulary {text.origin} does not fit the network: {last!r} is number {text.vocabulary.rows - 1}, and the "
                f"table of {where} has rows 0 to {rows - 1}"
            )


# --- sentences ------------------------------------------------------------------------------------------------------------


def read(path: Path, text: Text | None, model: Model) -> list[tuple[tuple[str, ...], dict[str, Array]] | LrpError]:
    """For each line of a file its words, and the model's inputs for them (1, …); or what is wrong with the line.

    Raises
    ------
    FormatError
        Where the file cannot be read, or the network takes no text.
    """
    if text is None:
        raise FormatError(f"{path}: text needs --vocab FILE, which says what the number of each word is")
    found: list[tuple[tuple[str, ...], dict[str, Array]] | LrpError] = []
    lines = sentences_in(sys.stdin.read(), text.lower) if path == STDIN else read_sentences(path, text.lower)
    for line, words in enumerate(lines, start=1):
        try:
            arrays, shown = inputs_of(words, text, model)
            found.append((shown, arrays))
        except LrpError as error:
            found.append(FormatError(f"{path}, line {line}: {error}"))
    return found


def inputs_of(words: tuple[str, ...], text: Text, model: Model) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The model's inputs for one sentence, and the words that it reads: the padding, too, unless it is told the length.

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
    name, counts = _input_of(model, text), lengths(model)
    others = [other for other in model.inputs if other != name and other not in counts]
    if others:
        raise FormatError(f"the network also reads {', '.join(others)}, for which a sentence says nothing; an .npz can")
    whole = (*words, *_padding(words, text, model.input_shape.get(name)))
    numbers = text.vocabulary.look_up(whole, text.unknown)
    sample = numbers if text.vectors is None else text.vectors[numbers]
    found = {name: sample[None].astype(model.dtype)}
    return found | {other: np.array([len(words)], dtype=model.dtype) for other in counts}, words if counts else whole


def _input_of(model: Model, text: Text) -> str:
    if text.vectors is not None:
        known, what = sequences(model), "a recurrent layer reads none of its inputs"
    else:
        known, what = tuple(tables(model)), "it has no table of words; --vectors FILE.npy is for those that take words as vectors"
    if len(known) != 1:
        raise FormatError(f"the network takes no sentences: {what if not known else f'it has several inputs of words, {known}'}")
    return known[0]


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


def check_numbers(arrays: Mapping[str, Array], model: Model) -> None:
    """Refuse numbers of words that are no rows of the network's table, and lengths that are not there.

    Raises
    ------
    FormatError
        The message says which number, and where it stands.
    """
    limits = {name: (0, model[node].layer.weight.shape[0] - 1) for name, node in tables(model).items()}  # type: ignore[attr-defined]
    words = next(iter((*tables(model), *sequences(model))), None)
    if words is not None and arrays[words].ndim > 1:
        limits |= dict.fromkeys(lengths(model), (1, arrays[words].shape[1]))
    for name, (low, high) in limits.items():
        found = arrays[name]
        wrong = np.argwhere((found != np.rint(found.astype(np.float64))) | (found < low) | (found > high))
        if len(wrong):
            place, number = wrong[0].tolist(), float(found[tuple(wrong[0])])
            what = "the length" if name in lengths(model) else "the number of a word"
            raise FormatError(f"input {name!r}: {what} must be a whole number from {low} to {high}, found {number:g} at {place}")


def spelled(arrays: Mapping[str, Array], text: Text | None, model: Model) -> tuple[str, ...] | None:
    """The words whose numbers a sample holds, up to its length; without a vocabulary the numbers; None: it holds none."""
    known = tuple(tables(model))
    if len(known) != 1 or arrays[known[0]].ndim != 2:
        return None
    numbers = arrays[known[0]][0]
    for name in lengths(model):
        numbers = numbers[: int(arrays[name][0])]
    return tuple(f"{number:g}" for number in numbers) if text is None else text.vocabulary.spell(numbers)
