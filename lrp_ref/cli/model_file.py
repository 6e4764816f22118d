"""The file of a network, read as the options say: where it ends, its shapes, its inputs, its products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import zoo
from ..arrays import Shape
from ..errors import ParameterError, ShapeError, unknown
from ..formats import load
from ..formats.cut import cut_at
from ..network.model import Model
from . import values


@dataclass(frozen=True)
class FileChoices:
    """What is typed about a network's file.

    Attributes
    ----------
    input_shape : of one sample, for all inputs or for each by name; None: nothing is typed
    batch_axis : of all inputs or of each by name; None: nothing is typed
    fix : the numbers at which inputs are held
    signal : which input of a product carries the information, by node
    ends : nodes that the network ends with
    passes : nodes that relevance passes
    """

    input_shape: Mapping[str, Shape] | Shape | None
    batch_axis: Mapping[str, int] | int | None
    fix: Mapping[str, Any]
    signal: Mapping[str, int]
    ends: tuple[str, ...]
    passes: tuple[str, ...]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> FileChoices:
        """The choices that the options READING say.

        Parameters
        ----------
        options : those of `options.network`

        Raises
        ------
        ParameterError
            Where an option is wrong.
        """
        return cls(
            values.by_name(options["input_shape"], "input-shape", values.extents),
            values.by_name(options["batch_axis"], "batch-axis", values.axis),
            values.pairs(options["fix"], "fix", values.constant),
            values.pairs(options["signal"], "signal", values.side),
            tuple(options["ends"]),
            tuple(options["passes"]),
        )


def read_model(spec: str, choices: FileChoices, original: bool = False) -> tuple[Model, Model | None]:
    """The network, and where `original` asks for it the one that an ONNX file has before patterns are put together again.

    Parameters
    ----------
    spec : a path, or the name of a network of the zoo behind "zoo:"
    choices : what is typed about the file
    original : whether the network of the file is wanted, too

    Raises
    ------
    ParameterError, UnknownNameError
        Where a choice is for another kind of file, or names what is not there.
    FormatError, ShapeError
        Where the file cannot be read, or the shape does not fit.
    """
    if Path(spec).suffix.lower() == ".onnx" and not spec.startswith("zoo:"):
        return _read_onnx(Path(spec), choices, original)
    if choices.batch_axis is not None or choices.fix:
        batch = choices.batch_axis is not None
        option, reason = ("--batch-axis", "the batch is axis 0") if batch else ("--fix", "inputs are what they are")
        raise ParameterError(f"{option} is for .onnx files; in all others {reason}")
    model = zoo.load(spec.removeprefix("zoo:")) if spec.startswith("zoo:") else load(Path(spec))
    model = _with_shape(model, choices.input_shape)
    model = cut_at(model, choices.ends) if choices.ends else model
    if choices.signal or choices.passes:
        from ..formats.onnx import with_choices

        model = with_choices(model, choices.signal, choices.passes)
    return model, None


def _read_onnx(path: Path, choices: FileChoices, original: bool) -> tuple[Model, Model | None]:
    from ..formats import onnx

    options: dict[str, Any] = {
        "input_shape": choices.input_shape,
        "batch_axis": choices.batch_axis,
        "fix": choices.fix,
        "outputs": choices.ends or None,
        "signal": choices.signal,
        "pass_through": choices.passes,
    }
    return onnx.load_with_original(path, **options) if original else (onnx.load(path, **options), None)


def _with_shape(model: Model, shape: Mapping[str, Shape] | Shape | None) -> Model:
    """The model with the shapes of its inputs, where its file leaves them open."""
    if shape is None:
        return model
    if not isinstance(shape, Mapping):
        if len(model.inputs) > 1:
            raise ParameterError(
                f"--input-shape NAME=… says of which input it is the shape; this network has {', '.join(model.inputs)}"
            )
        shape = {model.inputs[0]: shape}
    for name, typed in shape.items():
        if name not in model.inputs:
            raise unknown("input", name, model.inputs)
        known = model.input_shape.get(name, typed)
        if known != typed:
            raise ShapeError(f"--input-shape says {typed}, and the network takes {known}")
    return replace(model, input_shape={**model.input_shape, **shape})
