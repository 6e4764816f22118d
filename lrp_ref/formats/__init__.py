"""Reading and writing models; the suffix decides, and nothing is ever unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import FormatError
from ..model import Model
from . import npz

READERS = {".npz": npz.load}


def load(path: str | Path, **options: Any) -> Model:
    """Read a model from a file; the suffix says how: `.npz`.

    Raises
    ------
    FormatError
        Where the file is missing, broken, foreign or of a kind that is not read.
    """
    source = Path(path)
    if source.suffix.lower() not in READERS:
        raise FormatError(f"{source}: files of kind {source.suffix or '(no suffix)'!r} are not read; known: {', '.join(READERS)}")
    return READERS[source.suffix.lower()](source, **options)


def save(model: Model, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a model in the native `.npz` format; see `lrp_ref.formats.npz`."""
    return npz.save(model, path, overwrite=overwrite)
