"""Show each rule's formula as LaTeX, where its docstring has it as plain text.

The LaTeX stands once, in the class attribute `formula`. The docstring has the same formula in plain characters, as an indented
paragraph, so that `help()` and the source can be read; `lrp_ref.cli.formulas.readable` makes one of the other, and a test holds
that they agree.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from lrp_ref.cli.formulas import readable


def paragraph(lines: list[str], formula: str) -> tuple[int, int] | None:
    """The first line of the indented paragraph that is the readable formula, and the line behind it; None: there is none."""
    wanted = readable(formula).split()
    start = 0
    for end in range(len(lines) + 1):
        if end == len(lines) or not lines[end].strip():
            block = lines[start:end]
            if block and all(line.startswith("    ") for line in block) and " ".join(block).split() == wanted:
                return start, end
            start = end + 1
    return None


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Put the LaTeX in the place of the plain formula, in the docstring of a rule."""
    formula = vars(thing).get("formula", "") if what == "class" else ""
    place = paragraph(lines, formula) if isinstance(formula, str) and formula else None
    if place:
        lines[slice(*place)] = [f".. math:: {formula}"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Go before `plain_docstrings` and napoleon, which would read the formula as text."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process, priority=300)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
