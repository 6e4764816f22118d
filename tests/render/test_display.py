"""What a notebook shows of what the library returns: pictures and pages, not the names of classes."""

import re
import subprocess
import sys
from base64 import b64decode

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, render, rules, zoo
from lrp_ref import layers as L

PNG = b"\x89PNG\r\n\x1a\n"


def digits(**choices):
    return lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:5], ledger=True, **choices)


def sequence():
    model = Model.sequential([L.Flatten(), L.Dense(np.ones((6, 1)))])
    return lrp_ref.explain(model, np.arange(6.0).reshape(1, 3, 2), rule=rules.Zero())


WORDS = render.Reading(("not", "bad"), np.array([-1.0, 2.0]), "class <b>", 2.0)
FIGURES = {
    "plot": lambda: digits().plot(),
    "picture": lambda: render.picture(digits(targets=(3, 5)), style="contrast"),
    "ledger": lambda: render.ledger(digits().ledger),
    "sequence": lambda: render.sequence(sequence()),
    "sentences": lambda: render.sentences([WORDS]),
    "grid": lambda: render.grid([np.ones((4, 4))], [[np.ones((4, 4))]], rows=["a"], columns=["b"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_displays_itself(name):
    assert FIGURES[name]()._repr_png_().startswith(PNG)


def test_an_explanation_shows_its_facts_and_its_picture():
    shown = digits()._repr_html_()
    assert "epsilon_plus" in shown
    assert "sample 0 of 2" in shown
    assert b64decode(re.search(r'base64,([^"]+)"', shown)[1]).startswith(PNG)


def test_what_cannot_be_drawn_is_shown_as_facts(monkeypatch):
    model = Model.sequential([L.Flatten(), L.Dense(np.ones((8, 1)))])
    assert "<img" not in lrp_ref.explain(model, np.ones((1, 1, 2, 2, 2)))._repr_html_()
    assert "<img" not in digits()[:0]._repr_html_()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "lrp_ref.render.drawing", raising=False)
    assert "<img" not in digits()._repr_html_()


def test_a_page_is_shown_in_a_frame_of_its_own():
    page = render.html([WORDS])
    shown = page._repr_html_()
    assert shown.startswith("<iframe")
    assert "<style>" not in shown  # escaped: styles of the page are none of the notebook's
    assert page.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("rule", [rules.Epsilon(0.25), rules.Gamma(), rules.ZBox(), rules.WinnerTakesAll()], ids=str)
def test_rules_show_their_formula(rule):
    shown = rule._repr_latex_()
    assert shown.startswith("$")
    assert shown.endswith(rule.formula + "$")
    assert type(rule).__name__ in shown


NOTEBOOK = """
import numpy as np
from IPython.core.formatters import DisplayFormatter
import lrp_ref
from lrp_ref import render, rules, zoo
display = DisplayFormatter()
e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4], ledger=True)
page = render.html([render.Reading(("a",), np.array([1.0]), "a", 1.0)])
kinds = {}
for name, shown in (("plot", e.plot()), ("e", e), ("page", page), ("rule", rules.Zero()), ("ledger", e.ledger),
                    ("explainer", lrp_ref.Explainer(zoo.load("digits"))), ("composite", lrp_ref.composites.epsilon_plus)):
    kinds[name] = sorted(display.format(shown)[0])
print(kinds)
"""


def test_a_notebook_shows_them():
    """The formatter of IPython, which decides what Jupyter and nbconvert show."""
    pytest.importorskip("IPython", reason="IPython shows what a notebook shows; it is not installed")
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, check=True)
    kinds = eval(done.stdout)  # noqa: S307 - of our own print
    assert "image/png" in kinds["plot"]
    assert "text/latex" in kinds["rule"]
    assert all("text/html" in kinds[name] for name in ("e", "page", "ledger", "explainer")), kinds
