"""What commands print: tables for people on a terminal, plain text in a pipe, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import click

Item = TypeVar("Item")


class Output:
    """Where a command's words go. With `as_json`, words and tables are silent and `document` prints.

    Warnings and progress go to stderr in any case.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.terminal = sys.stdout.isatty()

    def say(self, text: str = "") -> None:
        """A line of text."""
        if not self.as_json:
            click.echo(text)

    def heading(self, text: str) -> None:
        """A line that opens a part, after an empty one."""
        self.say()
        if not self.as_json:
            click.secho(text, bold=True)  # click drops the style in a pipe

    def warn(self, text: str) -> None:
        """A line on stderr that does not end the command."""
        click.echo(f"lrp-ref: warning: {text}", err=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Iterable[int] = ()) -> None:
        """Rows under headings; columns whose numbers are in `right` are set to the right."""
        if self.as_json:
            return
        cells = [[str(cell) for cell in row] for row in rows]
        rights = set(right)
        if self.terminal:
            self._rich(columns, cells, rights)
        else:
            click.echo(plain_table(columns, cells, rights))

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
        """The JSON document of this command."""
        if self.as_json:
            wide = (sys.stdout.encoding or "ascii").lower().replace("-", "") == "utf8"
            click.echo(json.dumps(data, indent=2, ensure_ascii=not wide))

    def progress(self, items: Sequence[Item], title: str) -> Iterator[Item]:
        """The items one by one, with a bar on stderr where that is a terminal and there are several."""
        if len(items) < 2 or not sys.stderr.isatty():
            yield from items
            return
        from rich.console import Console
        from rich.progress import track

        yield from track(items, title, console=Console(stderr=True), transient=True)


def plain_table(columns: Sequence[str], rows: list[list[str]], right: set[int]) -> str:
    """Columns apart by two spaces, a line of hyphens under the headings, nothing else."""
    lines = [list(columns), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]

    def set_line(line: list[str]) -> str:
        parts = [cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
        return "  ".join(parts).rstrip()

    return "\n".join([set_line(list(columns)), "  ".join("-" * w for w in widths), *(set_line(row) for row in rows)])


def number(value: float, digits: int = 4) -> str:
    """A number for a table."""
    return f"{value:.{digits}g}"
