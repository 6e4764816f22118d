"""Words and their numbers: a vocabulary, and sentences from a file of text, one on each line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import FormatError, UnknownNameError

#: Files that are read as text, by suffix.
TEXT_SUFFIXES = (".txt",)
#: Bytes that a vocabulary or a file of sentences may have.
BYTES = 2**28


@dataclass(frozen=True)
class Vocabulary:
    """Which row of a network's table each word is.

    Parameters
    ----------
    numbers : the number of each word, from 0; no two words have the same one, and numbers may be left out

    Raises
    ------
    FormatError
        Where a number is negative, no integer, or taken twice, or there are no words.
    """

    numbers: Mapping[str, int]

    def __post_init__(self) -> None:
        taken: dict[int, str] = {}
        for word, number in self.numbers.items():
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise FormatError(
                    f"the number of {word!r} must be a row of the embedding table, an integer of at least 0; found {number!r}"
                )
            if taken.setdefault(number, word) != word:
                raise FormatError(f"{taken[number]!r} and {word!r} have the same number, {number}")
        if not taken:
            raise FormatError("a vocabulary needs words")
        object.__setattr__(self, "numbers", MappingProxyType(dict(self.numbers)))
        object.__setattr__(self, "_words", taken)

    def __reduce__(self) -> tuple[Any, ...]:
        return Vocabulary, (dict(self.numbers),)

    @classmethod
    def of(cls, words: Sequence[str]) -> Vocabulary:
        """A vocabulary from its words in order.

        Parameters
        ----------
        words : word k gets the number k

        Raises
        ------
        FormatError
            Where a word is there twice.
        """
        numbers: dict[str, int] = {}
        for number, word in enumerate(words):
            if word in numbers:
                raise FormatError(f"{word!r} stands there twice, as number {numbers[word]} and as number {number}")
            numbers[word] = number
        return cls(numbers)

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a vocabulary: line k + 1 of a text file is word k; or a JSON list; or a JSON object from words to numbers.

        Parameters
        ----------
        path : the file; .json says that it is JSON

        Raises
        ------
        FormatError
            Where the file cannot be read, or is none of these.
        """
        source = Path(path)
        text = read_text(source)
        try:
            content = json.loads(text) if source.suffix.lower() == ".json" else _lines(text)
            if isinstance(content, dict):
                return cls(content)
            if not isinstance(content, list) or not all(isinstance(word, str) for word in content):
                raise FormatError("as JSON it is a list of words, or an object from words to numbers")
            if "" in content:
                raise FormatError(f"line {content.index('') + 1} is empty: each line is the word of one row of the table")
            return cls.of(content)
        except (FormatError, ValueError, RecursionError) as error:
            raise FormatError(f"{source}: this is no vocabulary: {error}") from None

    @property
    def rows(self) -> int:
        """How many rows a table needs for these words."""
        return max(self.numbers.values()) + 1

    def look_up(self, words: Sequence[str], unknown: str | None = None) -> Array:
        """The numbers of words, (T,) int64.

        Parameters
        ----------
        words : the words of a sentence
        unknown : the word of the vocabulary that stands for those that are not in it; None: they are an error

        Raises
        ------
        UnknownNameError
            Where a word is not in the vocabulary; the message says which, where, and what is near.
        """
        if unknown is not None and unknown not in self.numbers:
            raise UnknownNameError(f"unknown={unknown!r} is itself not in the vocabulary{self._near(unknown)}")
        missing = [at for at, word in enumerate(words) if word not in self.numbers]
        if missing and unknown is None:
            word = words[missing[0]]
            more = f", and {len(missing) - 1} more are not either" if len(missing) > 1 else ""
            raise UnknownNameError(
                f"word {missing[0] + 1}, {word!r}, is not in the vocabulary of {len(self.numbers)} words"
                f"{self._near(word)}{more}; unknown= names the word to take for such ones"
            )
        return np.array([self.numbers[word if word in self.numbers else str(unknown)] for word in words], dtype=np.int64)

    def _near(self, word: str) -> str:
        import difflib  # here, because only a word that is not there needs it

        # The comparison is quadratic in the words' length, and a vocabulary may hold half a million of them.
        known = [w for w in list(self.numbers)[:20_000] if abs(len(w) - len(word)) < 3]
        near = difflib.get_close_matches(word[:100], known, n=1) if len(word) <= 100 else []
        return f" (the nearest is {near[0]!r})" if near else ""

    def spell(self, numbers: Any) -> tuple[str, ...]:
        """The words of numbers (T,); a number without a word is "#17".

        Parameters
        ----------
        numbers : of any shape, read in order
        """
        words: dict[int, str] = self._words  # type: ignore[attr-defined]
        return tuple(words.get(int(number), f"#{int(number)}") for number in np.asarray(numbers).reshape(-1))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.numbers)} words)"


def read_sentences(path: str | Path, lower: bool = False) -> list[tuple[str, ...]]:
    """The sentences of a text file, one on each line, its words set apart by spaces; an empty line is a sentence of no words.

    Parameters
    ----------
    path : the file
    lower : whether letters become small

    Raises
    ------
    FormatError
        Where the file cannot be read, or holds nothing.
    """
    source = Path(path)
    sentences = sentences_in(read_text(source), lower)
    if not any(sentences):
        raise FormatError(f"{source}: the file holds no sentence")
    return sentences


def sentences_in(text: str, lower: bool = False) -> list[tuple[str, ...]]:
    """The words of each line of a text.

    Parameters
    ----------
    text : the lines
    lower : whether letters become small
    """
    return [tuple(line.split()) for line in _lines(text.lower() if lower else text)]


def read_text(source: Path) -> str:
    """The content of a text file in UTF-8.

    Parameters
    ----------
    source : the file

    Raises
    ------
    FormatError
        Where it cannot be read, is no text, or is larger than `BYTES`.
    """
    try:
        if source.stat().st_size > BYTES:
            raise FormatError(f"{source}: the file has more than {BYTES} bytes")
        return source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FormatError(f"{source}: the file cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{source}: this is no text in UTF-8 ({error.reason} at byte {error.start})") from None


def _lines(text: str) -> list[str]:
    """The lines; `str.splitlines` would also split at characters that may be part of a word."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines
