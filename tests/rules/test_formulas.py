"""A rule's formula stands once as LaTeX; docstring, `help()` and the documentation show that one."""

from __future__ import annotations

import inspect
import pydoc
import sys
from pathlib import Path

import pytest

from lrp_ref import rules
from lrp_ref.cli.formulas import readable

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_ext"
RULES = [kind for name in rules.__all__ if isinstance(kind := getattr(rules, name), type) and vars(kind).get("formula")]


def paragraphs(kind: type) -> list[str]:
    """The indented paragraphs of a docstring, each as one line.

    Where nothing follows an indented paragraph, `getdoc` takes its indentation for that of the docstring.
    """
    blocks = (inspect.getdoc(kind) or "").split("\n\n")
    return [" ".join(block.split()) for block in blocks if all(line.startswith("    ") for line in block.splitlines())]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_docstring_has_the_formula_in_plain_characters(rule):
    expected = " ".join(readable(rule.formula).split())
    assert paragraphs(rule)[:1] == [expected], (
        "behind the first sentence the docstring has this paragraph, indented, and behind it one that is not (the source, the "
        f"parameters): {expected}"
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_help_shows_a_formula_that_can_be_read(rule):
    text = pydoc.render_doc(rule, renderer=pydoc.plaintext).partition("Method resolution order")[0]
    assert readable(rule.formula).split("   ")[0].split(" · ")[0] in text
    assert "\\" not in text


def test_every_rule_that_can_be_made_has_a_formula():
    abstract = {rules.Rule, rules.LinearRule, rules.ProductRule}
    kinds = {kind for name in rules.__all__ if isinstance(kind := getattr(rules, name), type) and issubclass(kind, rules.Rule)}
    assert kinds - abstract == set(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_documentation_shows_the_latex_in_its_place(rule, monkeypatch):
    pytest.importorskip("sphinx")
    if not EXTENSIONS.exists():
        pytest.skip("the documentation lies in a checkout alone")
    monkeypatch.setattr(sys, "path", [str(EXTENSIONS), *sys.path])
    import rule_formulas

    lines = (inspect.getdoc(rule) or "").splitlines()
    rule_formulas.process(None, "class", "", rule, None, lines)
    assert lines.count(f".. math:: {rule.formula}") == 1
    assert rule_formulas.paragraph(lines, rule.formula) is None
