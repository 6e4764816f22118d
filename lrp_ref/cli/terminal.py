"""Text that fits a terminal: lines and cells are broken between words, and columns that have no room are left out."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence

GAP = 2  # between columns
_ROOMY = 24  # a column of text counts as no wider when columns are left out: its cells can have several lines
_HEAD = re.compile(r"\s*\S+(?: \S+)* {2,}")  # what stands in front of a text, such as "prediction  "
_DEEPEST = 32


def is_styled() -> bool:
    """Whether bold type and colours are wanted: not where NO_COLOR is set (https://no-color.org)."""
    return not os.environ.get("NO_COLOR")


def wrapped(text: str, width: int) -> str:
    """Lines no wider than the terminal, broken between words; what goes on in the next line is indented.

    Parameters
    ----------
    text : one line or several
    width : of the terminal
    """
    return "\n".join(line for whole in text.split("\n") for line in _wrapped_lines(whole, width))


def _wrapped_lines(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    head = _HEAD.match(line)
    deep = len(line) - len(line.lstrip()) + 2 if head is None or head.end() > _DEEPEST else head.end()
    indent = " " * min(deep, width // 2)
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


def command_lines(words: Sequence[str], width: int) -> str:
    """A command whose words are quoted already, in lines that can be typed as they are: all but the last end with a backslash.

    Parameters
    ----------
    words : of the command
    width : of the terminal
    """
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"      {word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)


# --- tables --------------------------------------------------------------------------------------------------------------


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], whole: set[int], spare: Sequence[int], width: int
) -> list[int]:
    """Which columns of a table are shown.

    Parameters
    ----------
    columns, rows : the headings and the cells
    whole : the columns whose cells are never broken
    spare : the columns that are left out, in this order, while the others do not fit; the last of them only where it has no room
        for its longest word
    width : of the terminal
    """
    lines = [columns, *rows]
    shown, least = list(range(len(columns))), [_least(lines, i, whole) for i in range(len(columns))]
    usual = [max(least[i], min(_natural(lines, i), _ROOMY)) for i in shown]
    for number, column in enumerate(spare, start=1):
        widths = least if number == len(spare) else usual
        if _total([widths[i] for i in shown]) <= width:
            break
        shown.remove(column)
    return shown


def terminal_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: set[int], whole: set[int], width: int
) -> list[str]:
    """The lines of a table: the headings, a rule below them, the rows; cells are broken between words.

    Parameters
    ----------
    columns, rows : the headings and the cells
    right : the columns that are set to the right
    whole : the columns whose cells are never broken
    width : of the terminal
    """
    lines = [columns, *rows]
    widths = [_natural(lines, i) for i in range(len(columns))]
    least = [_least(lines, i, whole) for i in range(len(columns))]
    while _total(widths) > width and (loose := [i for i in range(len(widths)) if widths[i] > least[i]]):
        widths[max(loose, key=lambda i: widths[i])] -= 1
    heading, *body = [_set(line, widths, right, whole) for line in lines]
    return [*heading, "─" * min(_total(widths), width), *(line for row in body for line in row)]


def _set(cells: Sequence[str], widths: Sequence[int], right: set[int], whole: set[int]) -> list[str]:
    """A row, which has as many lines as its longest cell."""
    parts = [
        textwrap.wrap(cell, widths[i], break_long_words=False, break_on_hyphens=False) or [""] if i not in whole else [cell]
        for i, cell in enumerate(cells)
    ]
    lines = []
    for k in range(max(map(len, parts))):
        words = [part[k] if k < len(part) else "" for part in parts]
        placed = [word.rjust(w) if i in right else word.ljust(w) for i, (word, w) in enumerate(zip(words, widths, strict=True))]
        lines.append((" " * GAP).join(placed).rstrip())
    return lines


def _natural(lines: Sequence[Sequence[str]], column: int) -> int:
    return max(len(line[column]) for line in lines)


def _least(lines: Sequence[Sequence[str]], column: int, whole: set[int]) -> int:
    """The width of a column's longest word; of one that is never broken, its width."""
    if column in whole:
        return _natural(lines, column)
    return max((len(word) for line in lines for word in line[column].split()), default=0)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
