"""What commands print: tables for people on a terminal, plain text in a pipe, or one JSON document."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ..names import escaped
from .terminal import command_lines, fitting, is_styled, terminal_table, wrapped

#: What is no character of a text, such as the bytes of a file's name that is no UTF-8.
_SURROGATES = re.compile("[\ud800-\udfff]")


class Output:
    """Where a command's words go.

    Parameters
    ----------
    as_json : words and tables are silent, and `document` prints; warnings and progress go to stderr in any case
    quiet : words, tables and progress are silent, too; warnings are not
    writes_files : the command goes on in silence where whoever reads its words goes away, since it has files to write
    """

    def __init__(self, as_json: bool = False, quiet: bool = False, writes_files: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.writes_files = writes_files
        self.terminal = sys.stdout.isatty()
        self._complain: Callable[[str], None] = _to_stderr

    @property
    def silent(self) -> bool:
        """Whether words and tables are not printed."""
        return self.as_json or self.quiet

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Around what is printed: a pipe whose reader has gone away is no reason to write no files.

        Raises
        ------
        BrokenPipeError
            Where the reader has gone away and the command has nothing else to do.
        """
        try:
            yield
        except BrokenPipeError:
            if not self.writes_files:
                raise
            discard(sys.stdout)

    def say(self, text: str = "") -> None:
        """Print a line of text; on a terminal it is broken between words.

        Parameters
        ----------
        text : the line
        """
        text = escaped(text, "\n")
        self._print(wrapped(text, width()) if self.terminal else text)

    def _print(self, text: str) -> None:
        if not self.silent:
            with self.printing():
                click.echo(text)

    def commands(self, lines: Sequence[str]) -> None:
        """Print commands so that they can be copied: on a terminal, long ones in lines that end with a backslash.

        Parameters
        ----------
        lines : a command each
        """
        for line in lines:
            words = [shlex.quote(escaped(word)) for word in shlex.split(line)]
            self._print(f"  {command_lines(words, width() - 2)}" if self.terminal else f"  {line}")

    def heading(self, text: str) -> None:
        """Print a line that opens a part, after an empty one.

        Parameters
        ----------
        text : the line
        """
        self.say()
        self._print(_bold(wrapped(escaped(text), width())) if self.terminal else escaped(text))

    def warn(self, text: str) -> None:
        """Print a warning on stderr, which does not end the command.

        Parameters
        ----------
        text : the warning
        """
        self._complain(f"lrp-ref: warning: {escaped(text)}")

    def error(self, text: str) -> None:
        """Print an error on stderr, which does not end the command either.

        Parameters
        ----------
        text : what is wrong
        """
        self._complain(f"lrp-ref: error: {escaped(text)}")

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        *,
        right: Iterable[int] = (),
        whole: Iterable[int] = (),
        spare: Sequence[int] = (),
    ) -> None:
        """Rows under headings.

        Parameters
        ----------
        right : numbers of the columns that are set to the right; their cells are never broken
        whole : numbers of other columns whose cells are never broken
        spare : numbers of the columns that are left out, in this order, where a terminal is too narrow for all of them
        """
        if self.silent:
            return
        cells = [[escaped(str(cell)) for cell in row] for row in rows]
        rights = set(right)
        if not self.terminal:
            self._print(plain_table(columns, cells, rights))
            return
        unbroken = rights | set(whole)
        shown = fitting(columns, cells, unbroken, spare, width())
        rights, unbroken = ({at for at, i in enumerate(shown) if i in chosen} for chosen in (rights, unbroken))
        cells = [[row[i] for i in shown] for row in cells]
        heading, *lines = terminal_table([columns[i] for i in shown], cells, rights, unbroken, width())
        self._print("\n".join([_bold(heading), *lines]))
        if len(shown) < len(columns):
            left_out = ", ".join(column for i, column in enumerate(columns) if i not in shown)
            self.say(f"(The terminal is too narrow for the columns {left_out}; --json has them all.)")

    def document(self, data: dict[str, Any]) -> None:
        """Print the JSON document of a command.

        Parameters
        ----------
        data : plain data
        """
        if self.as_json:
            wide = (sys.stdout.encoding or "ascii").lower().replace("-", "") == "utf8"
            text = json.dumps(data, indent=2, ensure_ascii=not wide)
            with self.printing():
                click.echo(text if text.isascii() or not _SURROGATES.search(text) else json.dumps(data, indent=2))

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int, int], None]]:
        """A bar on stderr, where that is a terminal. Yields a function of (steps done, steps that there are more than said).

        Parameters
        ----------
        title : what stands beside the bar
        total : how many steps there are
        """
        if self.quiet or not sys.stderr.isatty():
            yield lambda _done, _more: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True, highlight=False)
        with Progress(*shown, console=console, transient=True) as bar:
            self._complain = lambda line: console.out(wrapped(line, width()))  # above the bar
            task = bar.add_task(title, total=total)

            def advance(done: int, more: int) -> None:
                bar.update(task, total=(bar.tasks[0].total or 0) + more, advance=done)

            try:
                yield advance
            finally:
                self._complain = _to_stderr


def width() -> int:
    """The columns of the terminal."""
    return shutil.get_terminal_size().columns


def _to_stderr(line: str) -> None:
    """Print a line on stderr; on a terminal it is broken between words."""
    click.echo(wrapped(line, width()) if sys.stderr.isatty() else line, err=True)


def complain(text: str) -> None:
    """Print on stderr what ends a command.

    Parameters
    ----------
    text : what is wrong
    """
    _to_stderr(f"lrp-ref: error: {escaped(text)}")


def discard(stream: Any) -> None:
    """Let all that a stream is given from now on go nowhere, what it still holds included.

    Parameters
    ----------
    stream : the standard output or error, which nobody reads any more
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _bold(text: str) -> str:
    return click.style(text, bold=True) if is_styled() else text


def plain_table(columns: Sequence[str], rows: list[list[str]], right: set[int]) -> str:
    """A table as plain text: columns apart by two spaces, a line of hyphens under the headings, nothing else.

    Parameters
    ----------
    columns : the headings
    rows : the cells
    right : numbers of the columns that are set to the right
    """
    lines = [list(columns), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]

    def set_line(line: list[str]) -> str:
        parts = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
        return "  ".join(parts).rstrip()

    return "\n".join([set_line(list(columns)), "  ".join("-" * w for w in widths), *(set_line(row) for row in rows)])


def number_text(value: float, digits: int = 4) -> str:
    """A number for a table.

    Parameters
    ----------
    value : the number
    digits : how many of its digits are shown
    """
    return f"{value:.{digits}g}"
