"""Reading and writing models; the suffix decides, and nothing is ever unpickled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import FormatError, ParameterError
from ..network.model import Model

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

SUFFIXES = (".npz", ".onnx")
_TORCH = """{file}: a file of PyTorch holds Python objects, which are never loaded. Three lines make a model of the module:
    module.load_state_dict(torch.load("weights.pt", weights_only=True))
    model = lrp_ref.formats.torch.load(module, example_input)
    lrp_ref.save(model, "network.npz")"""
_KERAS = """{file}: a file of Keras is read through ONNX. Three lines export it:
    keras_model = keras.saving.load_model("network.keras")
    keras_model.export("network.onnx", format="onnx")
    model = lrp_ref.load("network.onnx")"""
_SKLEARN = """{file}: a pickle runs what it holds, and is never loaded. Three lines make a model of the estimator:
    estimator = joblib.load("estimator.joblib")  # if you trust who wrote it
    model = lrp_ref.formats.sklearn.load(estimator)
    lrp_ref.save(model, "network.npz")"""
#: What is said of files that are not read, by suffix.
_EXPORTS = dict.fromkeys((".pt", ".pth"), _TORCH) | dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS)
_EXPORTS |= dict.fromkeys((".pkl", ".pickle", ".joblib"), _SKLEARN)
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
    ParameterError
        Where it is no path, or the options are of another format.
    """
    from pathlib import Path  # here, because it costs as much to import as all rules together

    if not isinstance(path, str) and not hasattr(path, "__fspath__"):
        raise ParameterError(
            f"load reads a file, found {type(path).__name__}: lrp_ref.formats.sklearn.load(estimator) and "
            "lrp_ref.formats.torch.load(module, example_input) make models of what is in memory; lrp_ref.explain takes it too"
        )
    source = Path(path)
    if source.suffix.lower() in _EXPORTS:
        raise FormatError(_EXPORTS[source.suffix.lower()].format(file=source))
    if source.suffix.lower() not in SUFFIXES:
        raise FormatError(
            f"{source}: files of kind {source.suffix or '(no suffix)'!r} are not read; known: {', '.join(SUFFIXES)}"
        )
    if source.suffix.lower() == ".onnx":
        if "mmap" in options:
            raise ParameterError(
                f"{source}: mmap= is for .npz files that are not compressed; save(load(path), …, compress=False) makes one"
            )
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
