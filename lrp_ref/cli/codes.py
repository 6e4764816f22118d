"""Exit codes: what kind of thing went wrong, for scripts."""

from __future__ import annotations

from ..errors import (
    DomainError,
    ExistingFileError,
    FormatError,
    GraphError,
    HeadError,
    LrpError,
    MissingExtraError,
    NumberTypeError,
    ParameterError,
    ShapeError,
    UnknownNameError,
)
from ..names import escaped

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


# The library's messages name its own arguments; these are the options that set them.
_OPTIONS = {
    "output=": "--output-node",
    "allow_negative=": "--allow-negative",
    "input_shape=": "--input-shape",
    "size=": "--size",
    "unknown=": "--unknown",
    "batch_axis=": "--batch-axis",
}


def message(error: BaseException) -> str:
    """An error as one line, with the options that help."""
    text = escaped(" ".join(str(error).splitlines()))
    if isinstance(error, HeadError):
        return f"{text} (--head logit, --head log-odds or --head probability)"
    if isinstance(error, DomainError):
        return f"{text} (--low and --high give the bounds, and so does --preprocess)"
    options = [option for name, option in _OPTIONS.items() if name in text] if isinstance(error, LrpError) else []
    return f"{text} ({', '.join(options)})" if options else text


def code_of(error: BaseException) -> int:
    """The exit code for an error of the library or of the operating system."""
    if isinstance(error, MissingExtraError):
        return EXTRA
    if isinstance(error, (UnknownNameError, ParameterError)):
        return USAGE
    if isinstance(error, (FormatError, ExistingFileError, ShapeError, NumberTypeError, GraphError, OSError)):
        return FILE
    return REFUSED
