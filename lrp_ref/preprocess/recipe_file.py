"""A preprocessing as JSON, and the file of it that lies beside a model: network.preprocess.json beside network.onnx."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import FormatError, LrpError, ParameterError, unknown
from .image_presets import PRESETS
from .recipe import Preprocessing, Stretched

#: Characters of a file; a preprocessing takes two hundred.
CHARACTERS = 65536
_FIELDS = tuple(field.name for field in fields(Preprocessing))


def beside(model: str | Path) -> Path:
    """The path of a model's preprocessing: network.preprocess.json for network.onnx.

    Parameters
    ----------
    model : the path of the model
    """
    return Path(model).with_suffix(".preprocess.json")


def load(path: str | Path) -> Preprocessing:
    """Read a preprocessing from JSON: the parameters of `Preprocessing` by name, "preset" for those that are not given.

    `scale` may be a fraction in quotes, such as "1/255".

    Parameters
    ----------
    path : the file

    Raises
    ------
    FormatError
        Where the file is missing, no JSON, or says something else.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
        if len(text) > CHARACTERS:
            raise FormatError("it is too long")
        content = json.loads(text, parse_constant=_refused)
        return _record(content)
    except OSError as error:
        raise FormatError(f"{source}: the file cannot be read: {error.strerror or error}") from None
    except (LrpError, ValueError, RecursionError) as error:
        raise FormatError(f"{source}: this is no preprocessing: {error}") from None


def _refused(text: str) -> float:
    raise FormatError(f"{text} is no number")


def _record(content: Any) -> Preprocessing:
    if not isinstance(content, dict):
        raise FormatError('a preprocessing is an object such as {"preset": "imagenet", "size": 256, "crop": 224}')
    options = dict(content)
    preset = options.pop("preset", "none")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    for name in options:
        if name not in _FIELDS:
            raise unknown("parameter", name, (*_FIELDS, "preset"))
    if isinstance(options.get("scale"), str):
        options["scale"] = ratio(options["scale"])
    return PRESETS[preset].replace(**options)


def ratio(text: str) -> float:
    """The value of a number such as 0.5, or of a quotient such as 1/255.

    Parameters
    ----------
    text : the number

    Raises
    ------
    ParameterError
        Where it is neither.
    """
    above, sign, below = text.partition("/")
    try:
        return float(above) / float(below) if sign else float(text)
    except (ValueError, ZeroDivisionError):
        raise ParameterError(f"expected a number or a quotient such as 1/255, found {text!r}") from None


def text_of(preprocessing: Preprocessing) -> str:
    """The JSON that `load` reads; what is as by default is left out.

    Parameters
    ----------
    preprocessing : the record

    Raises
    ------
    ParameterError
        Where it follows a model's domain, and is no preprocessing of its own.
    """
    if isinstance(preprocessing, Stretched):
        raise ParameterError("a preprocessing made from the model's domain cannot be saved by itself: save the model")
    plain = PRESETS["none"]
    values = {name: getattr(preprocessing, name) for name in _FIELDS}
    stated: dict[str, Any] = {name: value for name, value in values.items() if value != getattr(plain, name)}
    if stated.get("scale") == 1 / 255:
        stated["scale"] = "1/255"
    return json.dumps(stated, indent=2) + "\n"
