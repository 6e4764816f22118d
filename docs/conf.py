"""Sphinx configuration. The build needs no network: no intersphinx, and formulas are MathML."""

import sys
import tomllib
from pathlib import Path

here = Path(__file__).parent
sys.path[:0] = [str(here.parent), str(here / "_ext")]

metadata = tomllib.loads((here.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = metadata["name"]
author = metadata["authors"][0]["name"]
copyright = f"2026, {author}"
version = release = metadata["version"]

extensions = [
    "executed",
    "mathml",
    "plain_docstrings",
    "reference",
    "rule_formulas",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_ext", "experiments"]  # the tables are included by pages
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"
# `name` in a docstring is code, as it reads in the source.
default_role = "code"

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"lrp_ref {version}"
html_static_path = ["_static"]
html_css_files = ["lrp_ref.css"]
html_show_sphinx = False
