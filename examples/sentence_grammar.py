"""A grammar of sentences that say whether something is good or bad, for which it is known which words matter.

What somebody thinks of something is said by a *sentiment word* with a value, which a *degree word* in front of it multiplies
and a *negation* turns round. Everything else (what it is about, how the sentence opens, what stands between its clauses) says
nothing. The values of the clauses are added.
"""

from __future__ import annotations

import dataclasses

import numpy as np

CLASSES = ("negative", "positive")

ADJECTIVES = {
    "good": 1, "nice": 1, "pleasant": 1, "clever": 1, "great": 2, "brilliant": 2, "wonderful": 2, "superb": 2,
    "bad": -1, "dull": -1, "weak": -1, "clumsy": -1, "awful": -2, "terrible": -2, "horrible": -2, "dreadful": -2,
}  # fmt: skip
VERBS = {"like": 1, "enjoy": 1, "love": 2, "adore": 2, "dislike": -1, "mind": -1, "hate": -2, "detest": -2}
NOUNS = {"charm": 1, "wit": 1, "depth": 1, "flaws": -1, "holes": -1, "cliches": -1}
DEGREES = {"very": 2.0, "really": 2.0, "extremely": 3.0, "slightly": 0.5, "somewhat": 0.5}
THINGS = ("film", "plot", "story", "cast", "music", "ending", "dialogue", "book", "camera", "director")
NEUTRAL = ("new", "first", "french", "whole", "second", "recent")
OPENINGS = ("in the end", "all in all", "to be honest", "of course", "last night", "as for me")
BETWEEN = ("and", "while", ",", "and then")


@dataclasses.dataclass(frozen=True)
class Clause:
    """Some words, which of them matter, and what they add up to."""

    words: tuple[str, ...]
    matters: tuple[bool, ...]
    value: float


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence: its words, which of them matter, and the clause each belongs to (−1: none), and the clauses' values."""

    words: tuple[str, ...]
    matters: tuple[bool, ...]
    clause: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        return sum(self.values)

    @property
    def label(self) -> int:
        return int(self.value > 0)

    def __str__(self) -> str:
        """The class and the sentence, the words that matter in brackets: how the held-out sentences are stored."""
        marked = (f"[{word}]" if matters else word for word, matters in zip(self.words, self.matters, strict=True))
        return f"{CLASSES[self.label]}\t{' '.join(marked)}"


def clause(random: np.random.Generator) -> Clause:
    """One thing said: about what something is, about what it has, or about what somebody feels."""
    kind = random.choice(["is", "has", "feels"], p=[0.6, 0.15, 0.25])
    negated = random.random() < 0.3
    table = {"is": ADJECTIVES, "has": NOUNS, "feels": VERBS}[kind]
    word = str(random.choice(list(table)))
    value = -table[word] if negated else table[word]
    degree = str(random.choice(list(DEGREES))) if kind != "has" and random.random() < 0.4 else None
    thing = _thing(random)
    if kind == "is":
        negation = str(random.choice(["not", "never"])) if negated else None
        parts = [(thing, False), (["was"], False), (negation, True), (degree, True), (word, True)]
    elif kind == "has":
        parts = [(thing, False), (["had"], False), ("no" if negated else "some", negated), (word, True)]
    else:
        negation = str(random.choice(["not", "never"])) if negated else None
        parts = [(["i", "did"], False), (negation, True), (degree, True), (word, True), (thing, False)]
    return _clause(parts, value * (DEGREES[degree] if degree else 1.0))


def _thing(random: np.random.Generator) -> list[str]:
    adjective = [str(random.choice(NEUTRAL))] if random.random() < 0.3 else []
    return [str(random.choice(["the", "this"])), *adjective, str(random.choice(THINGS))]


def _clause(parts: list, value: float) -> Clause:
    words: list[str] = []
    matters: list[bool] = []
    for part, important in parts:
        found = [part] if isinstance(part, str) else part or []
        words += found
        matters += [important] * len(found)
    return Clause(tuple(words), tuple(matters), value)


def sentence(random: np.random.Generator, most: int = 2) -> Sentence:
    """One to `most` clauses, perhaps after an opening."""
    pieces: list[tuple[tuple[str, ...], tuple[bool, ...], int]] = []
    if random.random() < 0.4:
        pieces.append(_plain(str(random.choice(OPENINGS))))
    clauses = [clause(random) for _ in range(random.integers(1, most + 1))]
    for number, one in enumerate(clauses):
        if number:
            pieces.append(_plain(str(random.choice(BETWEEN))))
        pieces.append((one.words, one.matters, number))
    words = tuple(word for piece, _, _ in pieces for word in piece)
    matters = tuple(important for _, marks, _ in pieces for important in marks)
    belongs = tuple(number for piece, _, number in pieces for _ in piece)
    return Sentence(words, matters, belongs, tuple(one.value for one in clauses))


def _plain(text: str) -> tuple[tuple[str, ...], tuple[bool, ...], int]:
    words = tuple(text.split())
    return words, (False,) * len(words), -1


def different(count: int, seed: int = 0, most: int = 2, zero: bool = False) -> list[Sentence]:
    """The first `count` different sentences, but those whose values cancel unless `zero`."""
    random = np.random.default_rng(seed)
    found: dict[tuple[str, ...], Sentence] = {}
    while len(found) < count:
        made = sentence(random, most)
        if zero or made.value:
            found.setdefault(made.words, made)
    return list(found.values())


def vocabulary() -> list[str]:
    """Every word of the grammar, in alphabetical order."""
    words = {*ADJECTIVES, *VERBS, *NOUNS, *DEGREES, *THINGS, *NEUTRAL, "the", "this", "was", "had", "no", "some", "i", "did"}
    words |= {"not", "never", *" ".join((*OPENINGS, *BETWEEN)).split()}
    return sorted(words)
