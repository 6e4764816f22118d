"""Sentences whose words are coloured by their relevance: on a terminal, in a pipe, and as a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..propagate.explanation import Explanation
from ..render import Reading, readings
from ..render.canvas import printable
from ..render.readings import arrival_note, colours_of, signed_number
from .output import Output, number_text

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100  # of a pipe


def add_words(record: dict[str, Any], explanation: Explanation, words: Sequence[str], name: str) -> None:
    """Put the words of a sentence and their relevance into the record of its explanation.

    Parameters
    ----------
    record : of one sample, as `report.record_of` makes it
    explanation : of the sample
    words : of the sentence
    name : the input that takes the words
    """
    for target, reading in zip(record["targets"], readings(explanation, words, name=name), strict=True):
        pairs = zip(reading.words, reading.relevance.tolist(), strict=True)
        target["words"] = [{"word": word, "relevance": relevance} for word, relevance in pairs]


def readings_of(record: dict[str, Any], head: str = "") -> list[Reading]:
    """The sentence of a record, once for each target; none where it has no words.

    Parameters
    ----------
    record : of one sample
    head : what stands in front of each caption
    """
    targets = [target for target in record.get("targets", ()) if "words" in target]
    limit = max((abs(word["relevance"]) for target in targets for word in target["words"]), default=0.0)
    sentences = []
    for target in targets:
        relevance = np.array([word["relevance"] for word in target["words"]])
        caption = f"{head}{_caption(target)}"
        sentences.append(Reading(tuple(word["word"] for word in target["words"]), relevance, caption, limit))
    return sentences


def _caption(target: dict[str, Any]) -> str:
    if target["target"] is None:
        return f"start with Σ R = {number_text(target['value'])}"
    name = f"output {target['target']}" if target["label"] is None else target["label"]
    return ", ".join((f"{name} ({number_text(target['value'])})", *arrival_note(target.get("share_arrived"))))


def show_words(out: Output, sentences: Sequence[Reading], numbers: bool, captions: bool = True) -> None:
    """Print sentences with coloured words; with numbers below them where these are asked for, or where there are no colours.

    Parameters
    ----------
    out : where they go
    sentences : with their relevance
    numbers : whether each word has its relevance below it
    captions : whether each sentence has its caption above it
    """
    if out.silent or not sentences:
        return
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False) if out.terminal else None
    coloured = console is not None and console.color_system is not None and not console.no_color
    for one in sentences:
        if captions:
            out.say(printable(one.caption))
        for line in _terminal_lines(one, console.width if console else WIDTH, numbers or not coloured, not coloured):
            with out.printing():
                _print_line(one, line, console if coloured else None, numbers or not coloured)


def show_legend(out: Output, numbers: bool) -> None:
    """Print a line on what the colours mean, where there are some.

    Parameters
    ----------
    out : where it goes
    numbers : whether numbers stand below the words
    """
    if out.terminal and not out.silent:
        out.say("orange speaks for it, blue against it" + ("" if numbers else "; --numbers shows the numbers"))


def _word(reading: Reading, i: int, plain: bool) -> str:
    """A word as it is shown: what is underlined elsewhere is in brackets in plain text."""
    word = printable(reading.words[i])
    return f"[{word}]" if plain and reading.underlined(i) else word


def _terminal_lines(reading: Reading, width: int, numbers: bool, plain: bool) -> list[list[tuple[int, int]]]:
    """(word, cells) by line, broken where the next word would leave the terminal."""
    from rich.cells import cell_len

    lines: list[list[tuple[int, int]]] = [[]]
    left = width - 2
    for i, relevance in enumerate(reading.relevance.tolist()):
        wide = max(cell_len(_word(reading, i, plain)), len(signed_number(relevance)) if numbers else 0) + 2
        if lines[-1] and wide > left:
            lines.append([])
            left = width - 2
        lines[-1].append((i, wide))
        left -= wide
    return lines


def _print_line(reading: Reading, line: list[tuple[int, int]], console: Console | None, numbers: bool) -> None:
    from rich.cells import cell_len
    from rich.style import Style
    from rich.text import Text

    colours, words, below = colours_of(reading), Text("  "), "  "
    for i, wide in line:
        (red, green, blue), dark = colours[i]
        word = _word(reading, i, console is None)
        space = wide - cell_len(word)
        style = Style(color="#ffffff" if dark else "#000000", bgcolor=f"#{red:02x}{green:02x}{blue:02x}")
        words.append(" " * (space // 2), style)
        words.append(word, style + Style(underline=reading.underlined(i)))
        words.append(" " * (space - space // 2), style)
        below += signed_number(float(reading.relevance[i])).center(wide)
    if console is None:
        sys.stdout.write(f"{words.plain.rstrip()}\n")
    else:
        console.print(words, soft_wrap=True)
    if numbers:
        sys.stdout.write(f"{below.rstrip()}\n")
