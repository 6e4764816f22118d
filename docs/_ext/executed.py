"""Directives that run code and commands while the documentation is built, and show what these printed.

`{executed}` takes Python; the blocks of one page share one namespace, in order. An exception fails the build unless
the option `:raises:` names its class; then the message is shown. `{terminal}` takes `lrp-ref` command lines; `:exit: 2`
says that the last one ends with that code. `:figure: name.png` shows a picture that was written; `:files: _static/a.npz`
copies files of the documentation into the folder before. Nothing is cached: every build runs everything, in a temporary
folder, so that a page can save files and the checkout stays clean.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]


class Shown(SphinxDirective):
    """What both directives share: a folder for the page, and the nodes that show code, output and picture."""

    has_content = True

    @property
    def folder(self) -> Path:
        """The temporary folder in which the code of this page runs."""
        name = "executed_folder"
        if name not in self.env.temp_data:
            self.env.temp_data[name] = tempfile.mkdtemp(prefix="lrp-ref-docs-")
        return Path(self.env.temp_data[name])

    def copy_files(self) -> None:
        """Copy the files that the option `files` names into the folder of the page."""
        for name in self.options.get("files", "").split():
            shutil.copy(Path(self.env.srcdir) / name, self.folder)

    def block(self, text: str, language: str, *classes: str) -> nodes.Node:
        """A literal block."""
        return nodes.literal_block(text, text, language=language, classes=list(classes))

    def picture(self) -> list[nodes.Node]:
        """The picture that the option `figure` names, copied out of the folder."""
        if "figure" not in self.options:
            return []
        source = self.folder / self.options["figure"]
        page = self.env.docname
        target = Path(self.env.app.outdir) / "_images" / f"{page.replace('/', '-')}-{source.name}"
        if not source.exists():
            raise self.error(f"no file {self.options['figure']} was written")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        path = "../" * page.count("/") + f"_images/{target.name}"
        return [nodes.raw("", f'<p><img src="{path}" alt="{self.options.get("alt", "")}"></p>', format="html")]


class Executed(Shown):
    """``{executed}``: show Python code, run it, show what it printed."""

    option_spec: ClassVar[dict[str, Any]] = {
        "raises": directives.unchanged_required,
        "figure": directives.unchanged_required,
        "alt": directives.unchanged,
        "files": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Run the code; the nodes of the code, its output, and its picture."""
        self.copy_files()
        code = "\n".join(self.content)
        printed = self._execute(code)
        output = [self.block(printed, "text", "output")] if printed else []
        return [self.block(code, "python"), *output, *self.picture()]

    def _execute(self, code: str) -> str:
        space = self.env.temp_data.setdefault("executed", {"__name__": "__main__"})
        expected = self.options.get("raises")
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.chdir(self.folder):
                exec(compile(code, f"{self.env.docname}:{self.lineno}", "exec"), space)  # noqa: S102 (our purpose)
        except Exception as error:
            if type(error).__name__ != expected:
                raise self.error(f"executed code failed: {type(error).__name__}: {error}") from error
            out.write(f"{expected}: {error}")
        else:
            if expected:
                raise self.error(f"executed code was to raise {expected} and did not")
        return out.getvalue().rstrip()


class Terminal(Shown):
    """``{terminal}``: show `lrp-ref` command lines, run them, show what they printed."""

    option_spec: ClassVar[dict[str, Any]] = {
        "exit": directives.nonnegative_int,
        "figure": directives.unchanged_required,
        "alt": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Run the commands; one block as a terminal would show it, and the picture."""
        lines = list(self.content)
        codes = [0] * (len(lines) - 1) + [self.options.get("exit", 0)]
        text = "\n".join(self._command(line, code) for line, code in zip(lines, codes, strict=True))
        return [self.block(text, "console"), *self.picture()]

    def _command(self, line: str, expected: int) -> str:
        program, *arguments = shlex.split(line)
        if program != "lrp-ref":
            raise self.error(f"only lrp-ref can be run here, not {program}")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "MPLBACKEND": "Agg"}
        main = "import sys; from lrp_ref.cli import main; sys.argv[0] = 'lrp-ref'; main()"
        done = subprocess.run(
            [sys.executable, "-c", main, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != expected:
            raise self.error(f"{line} ended with exit code {done.returncode}, not {expected}: {done.stdout}")
        return f"$ {line}\n{done.stdout.rstrip()}".rstrip()


def remove_folder(app: Sphinx, _: nodes.document) -> None:
    """Remove the temporary folder of the page that was just read."""
    folder = app.env.temp_data.pop("executed_folder", None)
    if folder:
        shutil.rmtree(folder)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("executed", Executed)
    app.add_directive("terminal", Terminal)
    app.connect("doctree-read", remove_folder)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
