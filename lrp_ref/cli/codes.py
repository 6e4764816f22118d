"""Exit codes: what kind of thing went wrong, for scripts."""

from __future__ import annotations

import re
from shlex import quote

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
    UNEXPECTED: "an unexpected error: please report it",
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
}
#: Arguments whose values a message gives, and the options that take them.
_VALUED = {"batch_axis": "--batch-axis", "fix": "--fix", "signal": "--signal"}
_MAPPING = re.compile(r"\b(batch_axis|fix|signal)=\{([^{}]*)\}")
#: The values that a network may end at, as Python would have them.
_ENDS = re.compile(r"end the model before it with outputs=(\([^()]*\)|'[^']*')")
#: What cannot be done here, what can be done instead.
_INSTEAD = tuple(
    (re.compile(found), instead)
    for found, instead in (
        (
            r"make the layer Multiply\(signal=0\) or Multiply\(signal=1\), or use HalfProduct, \w+ or ProportionalProduct",
            "--signal NODE=0 or NODE=1 says it, and --rule NODE=HalfProduct() shares; lrp-ref inspect lists the nodes",
        ),
        (
            r"none yet; a rule of your own would \(a subclass of Rule\), or end the model before it",
            "none; lrp-ref inspect lists the options that avoid it",
        ),
        (r"explain the score before it, or end the model there", "lrp-ref inspect lists the ends and heads that leave it out"),
        (r"[;,](?: and)? batched=False [^;,.]*", ""),
        (r"end the model before it with outputs=(?![('])", "--output NODE ends the network before it"),
        (r"; load\(…, batch_axis=1\) reads", "; --batch-axis 1 reads"),
        (r"batch_axis= says", "--batch-axis NAME=N says"),
        (r"\boutputs=", "--output NODE"),
        (r"\bpass_through=", "--pass NODE"),
        (r"\bsignal= ", "--signal NODE=0|1 "),
        (r"\bfix= ", "--fix NAME=VALUE "),
    )
)


def message(error: BaseException) -> str:
    """The message of an error in one line, with the options that help.

    Parameters
    ----------
    error : of the library, or of the operating system
    """
    text = escaped(" ".join(str(error).splitlines()))
    if isinstance(error, HeadError):
        if "choose head=" in text:
            return f"{text} (--head logit, --head log-odds or --head probability)"
        return re.sub(r"head='([\w-]+)'", r"--head \1", text)
    if isinstance(error, DomainError):
        return f"{text} (--low and --high give the bounds, and so does --preprocess)"
    if not isinstance(error, LrpError):
        return text
    text = _ENDS.sub(_ended, _MAPPING.sub(_typed, text))
    for pattern, instead in _INSTEAD:
        text = pattern.sub(instead, text)
    options = [option for name, option in _OPTIONS.items() if name in text]
    return f"{text} ({', '.join(options)})" if options else text


def _typed(match: re.Match[str]) -> str:
    """batch_axis={'a': 1, 'b': 1} as it is typed: --batch-axis a=1 --batch-axis b=1."""
    option = _VALUED[match[1]]
    pairs = re.findall(r"'([^']+)': ([^,]+)", match[2])
    return " ".join(f"{option} {name}={value}" for name, value in pairs) or f"{option} NAME=VALUE"


def _ended(match: re.Match[str]) -> str:
    """outputs=('a', 'b') as it is typed: --output a --output b."""
    names = re.findall(r"'([^']*)'", match[1])
    return f"{' '.join(f'--output {quote(name)}' for name in names)} ends the network before it"


def code_of(error: BaseException) -> int:
    """The exit code for an error of the library or of the operating system.

    Parameters
    ----------
    error : what ended the command
    """
    if isinstance(error, MissingExtraError):
        return EXTRA
    if isinstance(error, (UnknownNameError, ParameterError)):
        return USAGE
    if isinstance(error, (FormatError, ExistingFileError, ShapeError, NumberTypeError, GraphError, OSError)):
        return FILE
    return REFUSED
