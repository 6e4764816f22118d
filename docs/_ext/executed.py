"""A directive that runs its code while the documentation is built, and shows what the code printed.

Blocks of one page share one namespace, in order. An exception fails the build unless the option `:raises:` names its
class; then the message is shown. `:figure: name.png` shows a picture that the code wrote. Nothing is cached: every
build runs everything, in a temporary folder, so that a page can save files and the checkout stays clean.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Executed(SphinxDirective):
    """``{executed}``: show the code, run it, show its output."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "raises": directives.unchanged_required,
        "figure": directives.unchanged_required,
        "alt": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """The nodes of the code, its output, and its picture."""
        code = "\n".join(self.content)
        shown: list[nodes.Node] = [nodes.literal_block(code, code, language="python")]
        printed = self._execute(code)
        if printed:
            shown.append(nodes.literal_block(printed, printed, language="text", classes=["output"]))
        if "figure" in self.options:
            shown.append(self._picture(self.options["figure"]))
        return shown

    def _execute(self, code: str) -> str:
        pages = self.env.temp_data
        space = pages.setdefault("executed", {"__name__": "__main__"})
        folder = pages.setdefault("executed_folder", tempfile.mkdtemp(prefix="lrp-ref-docs-"))
        expected = self.options.get("raises")
        out = io.StringIO()
        before = Path.cwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(code, f"{self.env.docname}:{self.lineno}", "exec"), space)  # noqa: S102 (it is what we are for)
        except Exception as error:
            if type(error).__name__ != expected:
                raise self.error(f"executed code failed: {type(error).__name__}: {error}") from error
            out.write(f"{expected}: {error}")
        else:
            if expected:
                raise self.error(f"executed code was to raise {expected} and did not")
        finally:
            os.chdir(before)
        return out.getvalue().rstrip()

    def _picture(self, name: str) -> nodes.Node:
        source = Path(self.env.temp_data["executed_folder"]) / name
        target = Path(self.env.app.outdir) / "_images" / f"{self.env.docname.replace('/', '-')}-{name}"
        if not source.exists():
            raise self.error(f"the code wrote no file {name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        up = "../" * self.env.docname.count("/")
        alt = self.options.get("alt", "")
        return nodes.raw("", f'<p><img src="{up}_images/{target.name}" alt="{alt}"></p>', format="html")


def remove_folder(app: Sphinx, _: nodes.document) -> None:
    """Remove the temporary folder of the page that was just read."""
    folder = app.env.temp_data.pop("executed_folder", None)
    if folder:
        shutil.rmtree(folder)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("executed", Executed)
    app.connect("doctree-read", remove_folder)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
