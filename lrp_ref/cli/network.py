"""The network that a command works on: read from its file, with its preprocessing and the domain that follows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import preprocess, zoo
from ..errors import FormatError, LrpError, ParameterError
from ..network.domain import Domain
from ..network.model import Model
from ..preprocess import Preprocessing, stored
from . import reading
from .options import RECIPE
from .text import Text


@dataclass(frozen=True, eq=False)
class Network:
    """A model, and what is done to images before it sees them.

    Attributes
    ----------
    spec : what was typed
    model : with the domain that was chosen
    raw : the model before patterns were put together again, for files that have patterns
    preprocessing : what was chosen, or None for one that meets the model's domain
    origin : where that comes from, in words
    text : what is done to sentences; None where nothing says what the words' numbers are
    """

    spec: str
    model: Model
    raw: Model | None
    preprocessing: Preprocessing | None
    origin: str
    text: Text | None = None

    def for_images(self) -> Preprocessing:
        """The preprocessing with the model's sizes filled in."""
        return preprocess.fitted(self.preprocessing, self.model)

    @property
    def guessed(self) -> bool:
        """Whether nothing says what the network wants of an image."""
        return self.preprocessing is None and self.model.inputs[0] not in self.model.domain

    def recipe(self) -> str | None:
        """What is done to images, in words, with the model's sizes where it takes images; None where nothing says."""
        if self.preprocessing is None:
            return None
        try:
            return preprocess.described(self.for_images())
        except LrpError:  # no network of images: said by name where there are some
            return preprocess.described(self.preprocessing)

    def said(self) -> str:
        """One line on the preprocessing, for people."""
        return f"preprocessing ({self.origin}): {preprocess.described(self.for_images())}"


def network_of(spec: str, options: Mapping[str, Any], raw: bool = False) -> Network:
    """The network that `spec` and the options of `options.network` say; `raw`: also as the file has it.

    Raises
    ------
    ParameterError, UnknownNameError
        Where an option is wrong.
    FormatError, ShapeError
        Where a file cannot be read, or the preprocessing does not fit the model.
    """
    low, high = options["low"], options["high"]
    if (low is None) != (high is None):
        raise ParameterError("--low and --high are the two ends of the input's domain: give both")
    model, filed = reading.read(spec, options, raw)
    chosen, origin = preprocessing_of(spec, options)
    if chosen is not None:
        model = preprocess.with_domain(model, chosen)
    if low is not None:
        model = replace(model, domain=dict.fromkeys(model.inputs, Domain(low, high)))
    return Network(spec, model, filed, chosen, origin)


# --- what is typed about images -------------------------------------------------------------------------------------------


def preprocessing_of(spec: str, options: Mapping[str, Any]) -> tuple[Preprocessing | None, str]:
    """The preprocessing that was asked for, or that lies beside the model, and where it comes from."""
    typed = {name: _parsed(name, options[name]) for name in RECIPE if options[name] is not None}
    named, file = options["preprocess"], preprocess.beside(spec)
    if named is not None:
        found, origin = _named(named), f"--preprocess {named}"
    elif not spec.startswith("zoo:") and file.is_file():
        found, origin = stored.load(file), str(file)
    elif typed:
        found, origin = preprocess.PRESETS["none"], "none"
    else:
        return None, "the model's domain"
    return found.replace(**typed), ", ".join([origin, *(f"--{name} {options[name]}" for name in typed)])


def _named(text: str) -> Preprocessing:
    if text in preprocess.PRESETS:
        return preprocess.PRESETS[text]
    if text.endswith(".json"):
        return stored.load(text)
    from ..errors import unknown

    error = unknown("preprocessing", text, preprocess.PRESETS)
    raise type(error)(f"{error} A file's name ends in .json.")


def _parsed(name: str, text: str) -> Any:
    """The value of one of the options RECIPE."""
    if name in ("mean", "std"):
        return tuple(_float(part, name) for part in text.split(","))
    if name == "scale":
        return stored.ratio(text)
    if name == "order" or text == "square":
        return text
    if name == "crop" and "." in text:
        return _float(text, name)
    extents = _integers(text, name)
    return extents[0] if len(extents) == 1 else extents


def _float(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"--{name} takes numbers, found {text!r}") from None


def _integers(text: str, name: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
    except ValueError:
        raise ParameterError(f"--{name} takes extents such as 224 or 3x224x224, found {text!r}") from None


def zoo_labels(spec: str) -> list[str] | None:
    """The names of the classes of a network of the zoo, where these are not the digits."""
    return list(zoo.classes(spec.removeprefix("zoo:"))) or None if spec.startswith("zoo:") else None


def labels_of(path: Path | None) -> list[str] | None:
    """The names of the classes: line k + 1 of a text file is class k; or a JSON list, or a mapping from k to a name.

    Raises
    ------
    FormatError
        Where the file cannot be read.
    """
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except OSError as error:
        raise FormatError(f"{path}: the file cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: these are no labels: {error}") from None
    if isinstance(found, dict):
        if set(found) != {str(k) for k in range(len(found))}:
            raise FormatError(f"{path}: labels as a mapping have the keys 0 to {len(found) - 1}")
        found = [found[str(k)] for k in range(len(found))]
    if not isinstance(found, list) or not found:
        raise FormatError(f"{path}: labels are lines of text, a JSON list, or a JSON object from indices to names")
    # {"0": ["n01440764", "tench"]}, as Keras writes it: the last entry is for people.
    return [str(entry[-1] if isinstance(entry, list) and entry else entry).strip() for entry in found]
