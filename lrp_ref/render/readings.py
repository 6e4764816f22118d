"""Words and their relevance: what a page, a picture and a terminal show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import Array
from ..errors import ParameterError, ShapeError, unknown
from ..propagate.explanation import Explanation
from ..propagate.share import percent
from .colours import heatmap, limit_of
from .maps import caption_of, labels_of

#: Whose scale the colours of words are on.
SCALES = ("page", "sentence")


@dataclass(frozen=True, eq=False)
class Reading:
    """A sentence as a network read it.

    Attributes
    ----------
    words : what is shown
    relevance : (T,) of each word, float64
    caption : what was explained
    limit : the |R| that takes the full colour
    marked : for each word whether it is underlined, such as those that are known to matter; empty: none is
    """

    words: tuple[str, ...]
    relevance: Array
    caption: str
    limit: float
    marked: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.words) == self.relevance.size == len(self.marked or self.words):
            marks = f" and {len(self.marked)} marks" if self.marked else ""
            raise ShapeError(f"{len(self.words)} words with {self.relevance.size} relevances{marks}")

    def underlined(self, i: int) -> bool:
        """Whether word `i` is marked.

        Parameters
        ----------
        i : the number of the word
        """
        return bool(self.marked) and self.marked[i]


def readings(
    explanation: Explanation, words: Sequence[str], *, sample: int = 0, labels: Sequence[str] | None = None, name: str = ""
) -> tuple[Reading, ...]:
    """The words of one sample with their relevance, once for each target, all targets on one colour scale.

    The relevance of a word is that of its number, or the sum over its vector.

    Parameters
    ----------
    explanation : of a network that reads sequences, (N, T) numbers of words or (N, T, F) vectors
    words : those of the sample; steps after the last word must have got nothing
    sample : which of the batch
    labels : the names of the classes
    name : of the input, where there are several

    Raises
    ------
    ShapeError
        Where the relevance does not belong to these words.
    ParameterError
        Where there is no such sample or input.
    """
    if not 0 <= sample < explanation.value.shape[0]:
        raise ParameterError(f"there is no sample {sample} in an explanation of {explanation.value.shape[0]}")
    if not name and len(explanation.inputs) > 1:
        raise ParameterError(f"name= says which input holds the words: {', '.join(explanation.inputs)}")
    relevance = np.asarray(explanation.at(name or explanation.inputs[0])[sample], dtype=np.float64)
    steps = step_relevance(relevance if explanation.several else relevance[None], len(words))
    limit = limit_of(steps)
    values = np.atleast_1d(explanation.value[sample])
    targets = None if explanation.target is None else np.atleast_1d(explanation.target[sample])
    share = explanation.share_arrived if explanation.method == "LRP" else None
    share = None if share is None else np.atleast_1d(share[sample])
    sentences = []
    for t, row in enumerate(steps):
        target = None if targets is None else int(targets[t])
        caption = caption_of(target, float(values[t]), explanation.prediction[sample], labels_of(explanation, labels))
        caption = ", ".join((*caption.splitlines(), *arrival_note(None if share is None else float(share[t]))))
        sentences.append(Reading(tuple(words), row, caption, limit))
    return tuple(sentences)


def on_scale(readings: Sequence[Reading], scale: str = "page", percentile: float | None = None) -> tuple[Reading, ...]:
    """Sentences with the |R| that takes the full colour, one for all of them or each its own.

    On one scale a filler of a sentence in which nothing matters stays pale; on its own it would be as dark as the word that
    decides another sentence.

    Parameters
    ----------
    readings : of one page
    scale : "page": one scale for all sentences; "sentence": each has its own
    percentile : of |R| of the words, 0 < p ≤ 100: what takes the full colour; None: the largest |R|, of a page the median over
        the sentences, so that one that explodes does not leave the others white

    Raises
    ------
    UnknownNameError
        Where there is no such scale.
    ParameterError
        Where the percentile is out of its range.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    if percentile is not None and not 0 < percentile <= 100:
        raise ParameterError(f"percentile is above 0 and at most 100, found {percentile}")
    limits = [one.limit if percentile is None else _percentile([one], percentile) for one in readings]
    if scale == "page" and limits:
        whole = float(np.median(limits)) if percentile is None else _percentile(readings, percentile)
        whole = whole or max(limits)
        limits = [whole] * len(limits)
    return tuple(replace(one, limit=limit) for one, limit in zip(readings, limits, strict=True))


def _percentile(readings: Sequence[Reading], percentile: float) -> float:
    sizes = np.concatenate([np.abs(one.relevance) for one in readings])
    found = float(np.percentile(sizes, percentile)) if sizes.size else 0.0
    return found or float(sizes.max(initial=0.0))


def scale_note(scale: str, percentile: float | None) -> str:
    """What the ends of the colour scale are, in words.

    Parameters
    ----------
    scale, percentile : as `on_scale` takes them
    """
    if percentile is not None:
        of = "all sentences" if scale == "page" else "each sentence"
        return f"the |R| that {percentile:g} % of the words of {of} do not exceed"
    return "the median over the sentences of max |R|" if scale == "page" else "max |R| of each sentence"


def arrival_note(share: float | None) -> tuple[str, ...]:
    """The end of a caption: how much of the value arrives, where that is known.

    Parameters
    ----------
    share : of the value; None: not known
    """
    return () if share is None or np.isnan(share) else (f"{percent(share)} of it arrives",)


def step_relevance(relevance: Array, count: int) -> Array:
    """The relevance (targets, T) of the first `count` steps; the others are padding and have none.

    Parameters
    ----------
    relevance : (targets, T), or (targets, T, F), which is summed over features
    count : how many steps there are

    Raises
    ------
    ShapeError
        Where it is of another rank, has too few steps, or padding has relevance.
    """
    if relevance.ndim not in (2, 3):
        raise ShapeError(f"words are steps of a sequence, (T,) or (T, features) of one sample; found {relevance.shape[1:]}")
    steps = relevance if relevance.ndim == 2 else relevance.sum(axis=2)
    if steps.shape[1] < count:
        raise ShapeError(f"{count} words, and relevance for {steps.shape[1]} steps")
    if np.any(relevance[:, count:]):
        raise ShapeError(f"{count} words, and {steps.shape[1]} steps, of which those after the words have relevance too")
    return np.asarray(steps[:, :count])


def signed_number(value: float, digits: int = 2) -> str:
    """A relevance with its sign: +0.31, −1.2, 0.

    Parameters
    ----------
    value : the relevance
    digits : how many of its digits are shown
    """
    text = f"{value:+.{digits}g}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def colours_of(reading: Reading) -> list[tuple[tuple[int, int, int], bool]]:
    """The colour of each word, and whether it is so dark that it wants white letters.

    Parameters
    ----------
    reading : the sentence
    """
    colours = heatmap(reading.relevance, limit=reading.limit or 1.0)[0].astype(int).tolist() if reading.words else []
    return [((r, g, b), _luminance((r, g, b)) < 0.179) for r, g, b in colours]


def _luminance(colour: tuple[int, int, int]) -> float:
    """The relative luminance of an sRGB colour; below 0.179 white letters have more contrast than black ones (WCAG 2)."""
    c = np.array(colour) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))
