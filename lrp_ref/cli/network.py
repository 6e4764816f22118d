"""The network that a command works on: its model, what its inputs hold, what is done to images and sentences, its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ParameterError
from ..network.model import Model
from ..preprocess import ImageInput, described, resolve
from . import values
from .input_kinds import InputKinds
from .labels import labels_of
from .model_file import FileChoices, read_model
from .sentences import Text, text_of


@dataclass(frozen=True, eq=False)
class Network:
    """A network, and all that is known of its inputs and outputs.

    Attributes
    ----------
    spec : what is typed for it
    model : with the domain that is chosen
    images : the preprocessing of its images
    origin : where the preprocessing comes from, as it is typed
    original : the model before patterns are put together again, where a command asks for it and the file has patterns
    kinds : which inputs hold words, sequences and lengths
    text : what is done to sentences; None where nothing says what the words' numbers are
    labels : the names of the classes
    """

    spec: str
    model: Model
    images: ImageInput
    origin: str
    original: Model | None
    kinds: InputKinds
    text: Text | None = None
    labels: list[str] | None = None

    def preprocessing_line(self) -> str:
        """One line on the preprocessing of images.

        Raises
        ------
        ShapeError, GraphError
            Where the network's input is no image.
        """
        return f"preprocessing ({self.origin}): {described(self.images.preprocessing)}"


def read_network(spec: str, options: Mapping[str, Any], original: bool = False) -> Network:
    """The network that is typed, without words and labels.

    Parameters
    ----------
    spec : a path, or the name of a network of the zoo behind "zoo:"
    options : those of `options.network`
    original : whether the network as an ONNX file has it is wanted, too

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
    choices, parameters = FileChoices.of(options), values.image_parameters(options)
    model, as_filed = read_model(spec, choices, original)
    file, choice = None if spec.startswith("zoo:") else spec, options["preprocess"]
    images = resolve(model, choice, file=file, parameters=parameters, domain=None if low is None else (low, high))
    origin = images.source if choice is None else f"--preprocess {choice}"
    origin = ", ".join([origin, *(f"--{name} {options[name]}" for name in parameters)])
    return Network(spec, images.model, images, origin, as_filed, InputKinds.of(images.model))


def read_network_to_explain(spec: str, options: Mapping[str, Any]) -> Network:
    """The network that is typed, with what is done to sentences and the names of its classes.

    Parameters
    ----------
    spec : a path, or the name of a network of the zoo behind "zoo:"
    options : those of `options.network` and `options.text`, and "labels"

    Raises
    ------
    ParameterError, UnknownNameError
        Where an option is wrong.
    FormatError, ShapeError
        Where a file cannot be read, or does not fit the network.
    """
    network = read_network(spec, options)
    text = text_of(spec, network.model, network.kinds, options)
    return replace(network, text=text, labels=labels_of(spec, options["labels"]))
