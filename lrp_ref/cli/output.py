"""What commands print: tables for people on a terminal, plain text in a pipe, or one JSON document."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ..names import escaped

#: What is no character of a text, such as the bytes of a file's name that is no UTF-8.
_SURROGATES = re.compile("[\ud800-\udfff]")


class Output:
    """Where a command's words go.

    Parameters
    ----------
    as_json : words and tables are silent, and `document` prints; warnings and progress go to stderr in any case
    quiet : words, tables and progress are silent, too; warnings are not
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.terminal = sys.stdout.isatty()

    @property
    def silent(self) -> bool:
        """Whether words and tables are not printed."""
        return self.as_json or self.quiet

    def say(self, text: str = "") -> None:
        """Print a line of text.

        Parameters
        ----------
        text : the line
        """
        if not self.silent:
            click.echo(escaped(text, "\n"))

    def heading(self, text: str) -> None:
        """Print a line that opens a part, after an empty one.

        Parameters
        ----------
        text : the line
        """
        self.say()
        if not self.silent:
            click.secho(escaped(text), bold=True)  # click drops the style in a pipe

    def warn(self, text: str) -> None:
        """Print a warning on stderr, which does not end the command.

        Parameters
        ----------
        text : the warning
        """
        click.echo(f"lrp-ref: warning: {escaped(text)}", err=True)

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Iterable[int] = (), spare: Iterable[int] = ()
    ) -> None:
        """Rows under headings.

        Parameters
        ----------
        right : numbers of the columns that are set to the right
        spare : numbers of the columns that are left out, in this order, where a terminal is too narrow for all of them
        """
        if self.silent:
            return
        cells = [[escaped(str(cell)) for cell in row] for row in rows]
        rights = set(right)
        if not self.terminal:
            click.echo(plain_table(columns, cells, rights))
            return
        columns_shown = _fitting(columns, cells, list(spare), shutil.get_terminal_size().columns)
        columns_left_out = [column for i, column in enumerate(columns) if i not in columns_shown]
        cells = [[row[i] for i in columns_shown] for row in cells]
        self._rich([columns[i] for i in columns_shown], cells, {at for at, i in enumerate(columns_shown) if i in rights})
        if columns_left_out:
            self.say(f"(The terminal is too narrow for the columns {', '.join(columns_left_out)}; --json has them all.)")

    @staticmethod
    def _rich(columns: Sequence[str], rows: list[list[str]], right: set[int]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for i, column in enumerate(columns):
            # Folding keeps every character where a column does not fit; an ellipsis would lose numbers.
            table.add_column(column, justify="right" if i in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))  # Text: "[0, 3]" is no markup
        Console(file=sys.stdout, highlight=False).print(table)

    def document(self, data: dict[str, Any]) -> None:
        """Print the JSON document of a command.

        Parameters
        ----------
        data : plain data
        """
        if self.as_json:
            wide = (sys.stdout.encoding or "ascii").lower().replace("-", "") == "utf8"
            text = json.dumps(data, indent=2, ensure_ascii=not wide)
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
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)

            def advance(done: int, more: int) -> None:
                bar.update(task, total=(bar.tasks[0].total or 0) + more, advance=done)

            yield advance


def _fitting(columns: Sequence[str], rows: list[list[str]], spare: list[int], width: int) -> list[int]:
    """Which columns are shown within `width`."""
    widths = [max(len(line[i]) for line in [columns, *rows]) for i in range(len(columns))]
    fitting = list(range(len(columns)))
    while spare and sum(widths[i] + 3 for i in fitting) > width:
        fitting.remove(spare.pop(0))
    return fitting


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
