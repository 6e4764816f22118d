"""Exit codes: what kind of thing went wrong, for scripts."""

from __future__ import annotations

from ..errors import (
    ExistingFileError,
    FormatError,
    GraphError,
    MissingExtraError,
    NumberTypeError,
    ParameterError,
    ShapeError,
    UnknownNameError,
)

OK, UNEXPECTED, USAGE, FILE, REFUSED, EXTRA, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

#: What each code means; shown by --help and in the documentation.
MEANING = {
    OK: "done",
    UNEXPECTED: "an error that nobody foresaw: please report it",
    USAGE: "the command line is wrong: an option, a value, a name that does not exist",
    FILE: "a file is missing, broken, of the wrong shape, or there already (--force overwrites)",
    REFUSED: "the explanation was refused: a node without a rule, a target or bounds that do not fit",
    EXTRA: "an optional dependency is missing; the message names the extra that installs it",
    INTERRUPTED: "interrupted from the keyboard",
}


def code_of(error: BaseException) -> int:
    """The exit code for an error of the library or of the operating system."""
    if isinstance(error, MissingExtraError):
        return EXTRA
    if isinstance(error, (UnknownNameError, ParameterError)):
        return USAGE
    if isinstance(error, (FormatError, ExistingFileError, ShapeError, NumberTypeError, GraphError, OSError)):
        return FILE
    return REFUSED
