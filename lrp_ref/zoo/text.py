"""The sentences of the zoo: what words their network knows, and sentences that it was not trained on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import FormatError
from ..preprocess import Vocabulary
from .catalogue import check_name, file_of

#: The classes of each network, where they have names.
CLASSES = {"sentences": ("negative", "positive")}


@dataclass(frozen=True)
class Sentences:
    """Sentences that `zoo:sentences` was not trained on: the first 200 of its test part.

    Parameters
    ----------
    words : of each sentence
    labels : the class of each, 0 negative or 1 positive
    matters : for each sentence, which of its words decide on it
    """

    words: tuple[tuple[str, ...], ...]
    labels: tuple[int, ...]
    matters: tuple[tuple[bool, ...], ...]


def sentences() -> Sentences:
    """200 sentences that `examples/sentence_grammar.py` made, and which of their words matter.

    Raises
    ------
    FormatError
        Where the file that ships is broken.
    """
    with file_of("sentences.txt") as path:
        lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [re.fullmatch(r"(negative|positive)\t(\S+(?: \S+)*)", line) for line in lines]
    labelled = [(pair[1], pair[2].split()) for pair in pairs if pair]
    if len(labelled) != len(lines):
        raise FormatError("sentences.txt of the zoo is broken: a line is a class, a tab, and the words that matter in brackets")
    words = tuple(tuple(word.strip("[]") for word in marked) for _, marked in labelled)
    matters = tuple(tuple(word.startswith("[") for word in marked) for _, marked in labelled)
    return Sentences(words, tuple(CLASSES["sentences"].index(label) for label, _ in labelled), matters)


def vocabulary(name: str) -> Vocabulary | None:
    """The vocabulary of a network of words; None for a network that does not read words.

    Parameters
    ----------
    name : one of `names()`

    Raises
    ------
    UnknownNameError
        No network has that name; the message gives the nearest.
    """
    check_name(name)
    if name not in CLASSES:
        return None
    with file_of(f"{name}.vocab.txt") as path:
        return Vocabulary.load(path)


def classes(name: str) -> tuple[str, ...]:
    """The names of a network's classes; empty where class k is the digit k.

    Parameters
    ----------
    name : one of `names()`

    Raises
    ------
    UnknownNameError
        No network has that name; the message gives the nearest.
    """
    check_name(name)
    return CLASSES.get(name, ())
