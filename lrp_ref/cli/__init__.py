"""The command `lrp-ref`. Its modules need click and rich (extra `cli`); this one says so where they are missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..errors import missing_extra
from . import codes

__all__ = ["codes", "main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave the interpreter with its exit code (see `codes`).

    Parameters
    ----------
    arguments : without the program's name; None: those of the process
    """
    # A stream that was closed before the process began is no reason to fail: what would go there goes nowhere.
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal or pipe that cannot show ε gets \u03b5, not an exception.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        sys.stderr.write(f"lrp-ref: error: {missing_extra('click and rich', 'cli', 'the command line')}\n")
        sys.exit(codes.EXTRA)
    from .app import commands

    commands.main(None if arguments is None else list(arguments), prog_name="lrp-ref")
    raise AssertionError("click leaves the interpreter")
