"""Reading and writing models; the suffix decides, and nothing is ever unpickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import FormatError, ParameterError
from ..network.model import Model

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

SUFFIXES = (".npz", ".onnx")
_MODULES = ("npz", "onnx", "sklearn", "torch")  # imported when asked for: `lrp_ref.formats.onnx.load`


def load(path: str | Path, **options: Any) -> Model:
    """Read a model from a file; the suffix says how: `.npz` or `.onnx`.

    Parameters
    ----------
    path : the file
    **options : of `lrp_ref.formats.npz.load` (such as `mmap`) or `lrp_ref.formats.onnx.load`

    Raises
    ------
    FormatError
        Where the file is missing, broken, foreign or of a kind that is not read.
    """
    from pathlib import Path  # here, because it costs as much to import as all rules together

    source = Path(path)
    if source.suffix.lower() not in SUFFIXES:
        raise FormatError(
            f"{source}: files of kind {source.suffix or '(no suffix)'!r} are not read; known: {', '.join(SUFFIXES)}"
        )
    if source.suffix.lower() == ".onnx":
        if "mmap" in options:
            raise ParameterError(f"{source}: mmap= maps .npz files; save(load(path), …, compress=False) makes one that it can")
        from . import onnx

        return onnx.load(source, **options)
    from . import npz  # here, because reading archives is not needed to explain

    return npz.load(source, **options)


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def save(model: Model, path: str | Path, *, overwrite: bool = False, compress: bool = True) -> Path:
    """Write a model in the native `.npz` format; see `lrp_ref.formats.npz.save`.

    Parameters
    ----------
    model, path, overwrite, compress : as `lrp_ref.formats.npz.save` takes them
    """
    from . import npz

    return npz.save(model, path, overwrite=overwrite, compress=compress)
