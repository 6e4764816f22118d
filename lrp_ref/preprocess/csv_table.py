"""Tables of numbers as text: `.csv`, a row for each time step (or sample), a column for each feature."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..errors import FormatError
from .vocabulary import read_text

#: Files that are read as tables, by suffix.
TABLE_SUFFIXES = (".csv",)
_DELIMITERS = ",;\t"


def read_table(path: str | Path) -> tuple[Array, tuple[str, ...] | None]:
    """The numbers of a table, float64 (rows, columns), and the columns' names where the first line has such.

    Cells are set apart by commas; by semicolons or tabs, where the first line has no comma.

    Parameters
    ----------
    path : the file

    Raises
    ------
    FormatError
        Where the file cannot be read, holds no rows, a cell is no number, or a row has another number of cells.
    """
    source = Path(path)
    text = read_text(source)
    first = text.partition("\n")[0]
    delimiter = next((sign for sign in _DELIMITERS if sign in first), ",")
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise FormatError(f"{source}: this is no table: {error}") from None
    names = tuple(rows[0][1]) if rows and not any(_is_number(cell) for cell in rows[0][1]) else None
    rows = rows[1:] if names else rows
    if not rows:
        raise FormatError(f"{source}: the table holds no rows of numbers")
    width = len(names) if names else len(rows[0][1])
    return np.array([_numbers(row, width, line, source) for line, row in rows], dtype=np.float64), names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(row: list[str], width: int, line: int, source: Path) -> list[float]:
    if len(row) != width:
        raise FormatError(f"{source}, line {line}: {len(row)} cells, and {width} columns before")
    wrong = next((at for at, cell in enumerate(row) if not _is_number(cell)), None)
    if wrong is not None:
        raise FormatError(f"{source}, line {line}, column {wrong + 1}: {row[wrong]!r} is no number")
    return [float(cell) for cell in row]
