"""Which preprocessing the images of a model get: decided once, from what is asked for, what lies beside the file, the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import LrpError, unknown
from ..network.domain import Domain
from ..network.model import Model
from .fitting import fitted, with_domain
from .image_presets import PRESETS, described
from .recipe import Preprocessing
from .recipe_file import beside, load


@dataclass(frozen=True, eq=False)
class ImageInput:
    """A model with the preprocessing of its images.

    Attributes
    ----------
    model : the network, with the domain that follows from the preprocessing
    stated : the preprocessing that was asked for or found; None: nothing says, and images are stretched to the model's domain
    fitted : the preprocessing with the size, the layout and the channels of the model's input; an error where it is no image
    source : where it comes from: a preset's name, a file, or "the model's domain"
    """

    model: Model
    stated: Preprocessing | None
    fitted: Preprocessing | LrpError
    source: str

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing, ready for an image.

        Raises
        ------
        ShapeError, GraphError
            Where the model's input is no image.
        """
        if isinstance(self.fitted, LrpError):
            raise self.fitted
        return self.fitted

    @property
    def guessed(self) -> bool:
        """Whether nothing says what the model wants of an image: neither a preprocessing nor a domain."""
        return self.stated is None and self.model.inputs[0] not in self.model.domain

    @property
    def description(self) -> str | None:
        """The preprocessing in words, with the model's sizes where it takes images; None where nothing is stated."""
        if self.stated is None:
            return None
        return described(self.stated if isinstance(self.fitted, LrpError) else self.fitted)


def resolve(
    model: Model,
    choice: Preprocessing | str | None = None,
    *,
    file: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
    domain: Domain | tuple[Any, Any] | None = None,
) -> ImageInput:
    """The preprocessing of a model's images, and the model with the domain that follows.

    The first of these that there is holds: `choice`; the file of a preprocessing beside the model's; pixels 0 to 255 where
    `parameters` say something; what meets the model's domain, [0, 1] where it has none.

    Parameters
    ----------
    model : of one input that takes images, or any other where nothing is stated
    choice : a record, a preset's name, or a path that ends in .json
    file : the model's, beside which network.preprocess.json may lie; None: there is none
    parameters : of `Preprocessing`, by name, that replace those of the record
    domain : of every input of the model, instead of the one that follows from the preprocessing

    Raises
    ------
    UnknownNameError
        Where there is no preset of that name.
    FormatError
        Where the file of a preprocessing cannot be read.
    ParameterError
        Where a parameter is out of its range.
    ShapeError, GraphError
        Where a preprocessing is stated, and does not fit the model.
    """
    stated, source = _stated(choice, file, bool(parameters))
    ready: Preprocessing | LrpError | None = None
    if stated is not None:
        stated = stated.replace(**parameters) if parameters else stated
        ready = fitted(stated, model)
        model = with_domain(model, ready.domain)
    if domain is not None:
        model = replace(model, domain=dict.fromkeys(model.inputs, Domain.of(domain)))
    return ImageInput(model, stated, ready or _stretched(model), source)


def _stated(choice: Preprocessing | str | None, file: str | Path | None, changed: bool) -> tuple[Preprocessing | None, str]:
    """The record that is asked for or lies beside the model, and its source."""
    if isinstance(choice, Preprocessing):
        return choice, "a record"
    if choice is not None:
        return _named(choice), choice
    stored = None if file is None else beside(file)
    if stored is not None and stored.is_file():
        return load(stored), str(stored)
    return (PRESETS["none"], "none") if changed else (None, "the model's domain")


def _named(choice: str) -> Preprocessing:
    if choice in PRESETS:
        return PRESETS[choice]
    if choice.endswith(".json"):
        return load(choice)
    error = unknown("preprocessing", choice, PRESETS)
    raise type(error)(f"{error} A file's name ends in .json.")


def _stretched(model: Model) -> Preprocessing | LrpError:
    """The preprocessing that meets the model's domain; where the input is no image, what is wrong with it."""
    try:
        return fitted(None, model)
    except LrpError as error:  # it matters where there is an image to read
        return error.with_traceback(None)
