"""Read the docstrings of this library as they are written: plain text with formulas, before they are reStructuredText.

A shape such as (N, C, *spatial) is no emphasis, and `name : what it is` under *Parameters* may go on for several lines.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

STAR = re.compile(r"(?<![\w*\\])\*(?=[A-Za-z])")
ENTRY = re.compile(r"^(\w+(?:, \w+)*) : (.*)$")
SECTIONS = {"Parameters", "Attributes", "Other Parameters"}


def escape(lines: list[str]) -> list[str]:
    """Escape bars, and stars in front of a word, where they are text: not in code, formulas, directives or examples."""
    out: list[str] = []
    inside: int | None = None  # the indentation of a directive
    example = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        if line.lstrip().startswith(".. "):
            inside = indent
        out.append(line if example or inside is not None else _escape_text(line))
    return out


def _escape_text(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else STAR.sub(r"\*", part).replace("|", r"\|") for part in parts)


def describe(lines: list[str]) -> list[str]:
    """Turn `name : text` into a name with a description, in the sections that list names; prose ends such a section."""
    out: list[str] = []
    listing = False
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[i + 1].strip()):
            listing = line.strip() in SECTIONS
        entry = ENTRY.match(line) if listing else None
        if listing and not entry and line[:1].strip() and not lines[i - 1]:
            listing = line.strip() in SECTIONS
            out += [] if listing else [""]  # napoleon ends a section at the second empty line
        out += [entry[1], f"    {entry[2]}"] if entry else [line]
    return out


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place."""
    lines[:] = describe(escape(lines))
    if what in {"property", "attribute", "data"}:
        lines[:0] = ["..", ""]  # an empty comment; else napoleon takes what stands before a colon for a type


def setup(app: Sphinx) -> dict[str, Any]:
    """Go before napoleon, which has the default priority of 500."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
