"""How a network's file is read: what was typed about its end, its shapes, its inputs, its products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import zoo
from ..errors import ParameterError, ShapeError, unknown
from ..formats import load
from ..formats.cut import cut_at
from ..network.model import Model


def read(spec: str, options: Mapping[str, Any], raw: bool) -> tuple[Model, Model | None]:
    """The network, and where `raw` asks for it what an ONNX file has before patterns are put together again.

    Raises
    ------
    ParameterError, UnknownNameError
        Where an option is wrong, or is for another kind of file.
    FormatError, ShapeError
        Where the file cannot be read, or the shape does not fit.
    """
    shape = by_name(options["input_shape"], "input-shape", extents)
    axis = by_name(options["batch_axis"], "batch-axis", whole)
    fix, signal = pairs(options["fix"], "fix", value), pairs(options["signal"], "signal", side)
    ends, passes = tuple(options["ends"]), tuple(options["passes"])
    if Path(spec).suffix.lower() == ".onnx" and not spec.startswith("zoo:"):
        from ..formats import onnx

        given = {"input_shape": shape, "batch_axis": axis, "fix": fix, "outputs": ends or None}
        given |= {"signal": signal, "pass_through": passes}
        return onnx.load_with_original(Path(spec), **given) if raw else (onnx.load(Path(spec), **given), None)
    if axis is not None or fix:
        option, rest = ("--batch-axis", "the batch is axis 0") if axis is not None else ("--fix", "inputs are what they are")
        raise ParameterError(f"{option} is for .onnx files; in all others {rest}")
    model = zoo.load(spec.removeprefix("zoo:")) if spec.startswith("zoo:") else load(Path(spec))
    model = _shaped(model, shape)
    model = cut_at(model, ends) if ends else model
    if signal or passes:
        from ..formats.onnx import with_choices

        model = with_choices(model, signal, passes)
    return model, None


def _shaped(model: Model, shape: Any) -> Model:
    if shape is None:
        return model
    if not isinstance(shape, dict):
        if len(model.inputs) > 1:
            raise ParameterError(
                f"--input-shape NAME=… says of which input it is the shape; this network has {', '.join(model.inputs)}"
            )
        shape = {model.inputs[0]: shape}
    for name, given in shape.items():
        if name not in model.inputs:
            raise unknown("input", name, model.inputs)
        known = model.input_shape.get(name, given)
        if known != given:
            raise ShapeError(f"--input-shape says {given}, and the network takes {known}")
    return replace(model, input_shape={**model.input_shape, **shape})


# --- what was typed ---------------------------------------------------------------------------------------------------------


def by_name(texts: Sequence[str], option: str, parse: Any) -> Any:
    """One value for all inputs, or a mapping from NAME=VALUE; None where nothing was typed."""
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return parse(texts[0], option)
    return pairs(texts, option, parse)


def pairs(texts: Sequence[str], option: str, parse: Any) -> dict[str, Any]:
    """A mapping from texts such as NAME=VALUE; names may hold an = themselves."""
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, typed = text.rpartition("=")
        if not sign or not name:
            raise ParameterError(f"--{option} takes NAME=VALUE, found {text!r}")
        if name in found:
            raise ParameterError(f"--{option} says {name!r} twice")
        found[name] = parse(typed, option)
    return found


def extents(text: str, option: str) -> tuple[int, ...]:
    """Extents such as 224 or 3x224x224, as a tuple."""
    try:
        found = tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
    except ValueError:
        raise ParameterError(f"--{option} takes extents such as 224 or 3x224x224, found {text!r}") from None
    if min(found) < 1:
        raise ParameterError(f"--{option} takes positive extents, found {text!r}")
    return found


def whole(text: str, option: str) -> int:
    """A number of an axis."""
    if not text.isdecimal():
        raise ParameterError(f"--{option} takes the number of an axis, found {text!r}")
    return int(text)


def side(text: str, option: str) -> int:
    """0 or 1."""
    if text not in ("0", "1"):
        raise ParameterError(f"--{option} takes NODE=0 or NODE=1, found {text!r}")
    return int(text)


def value(text: str, option: str) -> float | int:
    """A number."""
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        raise ParameterError(f"--{option} holds an input at a number, found {text!r}") from None
