"""Formulas as MathML, written while the documentation is built: every browser of today shows them, without a script or a network.

MathJax would come from a server, or be a download of megabytes beside the pages. `latex2mathml` makes the markup; a formula that
it cannot read fails the build, instead of standing on the page as it was typed.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator

#: What looks like LaTeX and was left as text.
_UNREAD = re.compile(r"<m(?:i|text|o)>\\[A-Za-z]+")


def mathml(latex: str, display: str) -> str:
    r"""The MathML of a formula.

    Parameters
    ----------
    latex : as in ``$…$``; lines that end in ``\\`` stand below each other, with or without an environment
    display : "inline" or "block"

    Raises
    ------
    ExtensionError
        Where the formula cannot be read, or a command of it is not known.
    """
    latex = latex.strip()
    if r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    try:
        markup: str = convert(latex, display=display)
    except Exception as error:  # whatever the parser fails with
        raise ExtensionError(f"no MathML for the formula {latex!r}: {error!r}") from error
    if _UNREAD.search(markup):
        raise ExtensionError(f"a command is not known in the formula {latex!r}: {_UNREAD.findall(markup)}")
    return markup


def visit_inline(writer: HTML5Translator, node: nodes.math) -> None:
    """A formula in a line."""
    writer.body.append(f'<span class="math">{mathml(node.astext(), "inline")}</span>')
    raise nodes.SkipNode


def visit_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    """A formula of its own, which scrolls where it is wider than the page."""
    writer.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
