"""Words coloured by their relevance, as a page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from .canvas import printable
from .colours import NEGATIVE, NEUTRAL, POSITIVE
from .readings import Reading, colours_of, on_scale, scale_note, signed_number

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.3em } h2 { font-size: 0.95em; font-weight: 600; margin: 1.6em 0 0.3em }
h3 { font-size: 0.85em; font-weight: 400; color: #444; margin: 0.6em 0 0.2em }
.facts { color: #666; font-size: 0.85em }
.scale { display: inline-block; width: 12em; height: 0.9em; margin: 0 0.5em; vertical-align: middle; border: 1px solid #ccc }
.words { border: 1px solid #ccc; border-radius: 3px; padding: 0.3em; margin: 0 }
.words span { text-align: center; display: inline-block; padding: 0.05em 0.25em; border-radius: 3px; vertical-align: top }
.words small { display: none; font-size: 0.7em; direction: ltr; unicode-bidi: isolate }
#numbers:checked ~ main small { display: block }
"""


class Page(str):
    """A page of HTML: a text, which a notebook displays as what it says."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        # A frame of its own: the page's styles are none of the notebook's.
        height = min(800, 200 + 110 * self.count("<section>"))
        return f'<iframe srcdoc="{escape(self)}" style="width: 100%; height: {height}px; border: 0"></iframe>'


def html(
    readings: Sequence[Reading],
    *,
    title: str = "Relevance of words",
    facts: str = "",
    scale: str = "page",
    percentile: float | None = None,
) -> Page:
    """A page with sentences whose words are coloured by their relevance: orange speaks for, blue against, white is zero.

    The page needs no other file and no script. What is said of one sentence, such as under several rules or for several
    classes, stands together. A number appears where the pointer rests on a word, and all of them where the box is ticked.

    Parameters
    ----------
    readings : what `readings` returned, of one sentence or of many
    title : the heading
    facts : a line below it, such as how it was computed
    scale : "page": one scale for all sentences, so that a filler is no darker than it is relevant; "sentence": each has its own
    percentile : of |R| of the words: what takes the full colour; None: as `on_scale` has it

    Raises
    ------
    UnknownNameError, ParameterError
        Where there is no such scale, or the percentile is out of its range.
    """
    readings = on_scale(readings, scale, percentile)
    stops = ", ".join(_hex(c) for c in (*NEGATIVE[:0:-1], NEUTRAL, *POSITIVE[1:]))
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(printable(title))}</title>",
        f"<style>{_STYLE}.scale {{ background: linear-gradient(to right, {stops}) }}\n</style>",
        f"</head>\n<body>\n<h1>{escape(printable(title))}</h1>",
        f'<p class="facts">{escape(printable(facts))}</p>' if facts else "",
        f'<p>against<span class="scale"></span>for: the full colour is {scale_note(scale, percentile)}</p>',
        '<input type="checkbox" id="numbers"><label for="numbers"> show the numbers</label>\n<main>',
        *(_section(number, group) for number, group in enumerate(_groups(readings), start=1)),
        "</main>\n</body>\n</html>\n",
    ]
    return Page("\n".join(part for part in parts if part))


def _groups(readings: Sequence[Reading]) -> list[list[Reading]]:
    """The readings of each sentence, in the order in which the sentences come first."""
    found: dict[tuple[str, ...], list[Reading]] = {}
    for one in readings:
        found.setdefault(one.words, []).append(one)
    return list(found.values())


def _section(number: int, group: list[Reading]) -> str:
    """A sentence: its number where several things are said of it, and for each what was explained above the words."""
    several = len(group) > 1
    parts = [f"<h2>sentence {number}</h2>"] if several else []
    for one in group:
        tag = "h3" if several else "h2"
        heading = escape(printable(one.caption))
        parts += [f'<{tag} title="max |R| = {float(np.abs(one.relevance).max(initial=0)):.3g}">{heading}</{tag}>', _words(one)]
    return "\n".join(["<section>", *parts, "</section>"])


def _words(reading: Reading) -> str:
    spans = []
    for i, (colour, dark) in enumerate(colours_of(reading)):
        word, relevance = escape(printable(reading.words[i])), float(reading.relevance[i])
        style = f"background: {_hex(colour)}{'; color: #fff' if dark else ''}"
        inside = f"{f'<u>{word}</u>' if reading.underlined(i) else word}<small>{signed_number(relevance)}</small>"
        spans.append(f'<span style="{style}" title="{signed_number(relevance, 4)}">{inside}</span>')
    return "\n".join(['<p class="words" dir="auto">', *spans, "</p>"])


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
