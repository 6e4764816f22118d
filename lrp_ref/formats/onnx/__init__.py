"""Reading ONNX files: a network from any framework as a `Model`, to be explained without that framework.

The `onnx` package (extra `onnx`) parses the file; everything else is done here. A file is data from outside: names, wiring,
types, extents and sizes are checked before they are believed, and what cannot be represented is refused by name, all of it in
one message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...arrays import Shape
from ...errors import FormatError
from ...network.model import Model
from .loading import LoadRequest, build_model, read_graph
from .read.reader import BUDGET
from .user_choices import check_choices

__all__ = ["BUDGET", "load", "load_with_original", "with_choices"]


def load(
    source: Any,
    *,
    outputs: str | Sequence[str] | None = None,
    input_shape: Mapping[str, Shape] | Shape | None = None,
    batched: bool = True,
    batch_axis: Mapping[str, int] | int | None = None,
    fix: Mapping[str, Any] | None = None,
    signal: Mapping[str, int] | None = None,
    pass_through: Sequence[str] = (),
    patterns: bool = True,
    folder: str | Path | None = None,
    budget: int = BUDGET,
) -> Model:
    """Read an ONNX model.

    Parameters
    ----------
    source : a path, the bytes of a file, or an `onnx.ModelProto`
    outputs : names of the values (outputs or any others) or nodes, the file's or the model's, that the model ends with; None: the
        file's outputs, without those that pick indices or classes (ArgMax, TopK, the label beside a classifier's scores)
    input_shape : of one sample, for each input or for the only one, where the file leaves extents open. Without it the model is
        laid out for the shapes of what it is given; a recurrent network whose nodes are the same for every extent takes sequences
        of any length
    batched : whether the first axis of every input is the batch axis; False: the file describes a single sample, and the model
        gets a batch axis in front
    batch_axis : which axis of every input, or of some by name, is the batch; 1 where sequences come first, (T, N, features).
        None: the first. The model's own is the first, that of its outputs too: its `remarks` say where it is in the file
    fix : inputs held at a value, which are no inputs of the model then: a number, or an array of the input's shape
    signal : for products of two signals, which of the two inputs carries the information (0 or 1); the other one is a gate
    pass_through : nodes of one input and one output of the same shape through which relevance passes as through an activation
    patterns : whether what exporters take apart (GELU, SiLU, layer norm, dense layers, gates, …) is put together again
    folder : where external data may lie; None: beside the file
    budget : how many bytes each tensor, and all initializers together, may take

    Returns
    -------
    Model
        Nodes have the names of the file's nodes; inputs and outputs those of the file's inputs and outputs. An extent of the
        batch axis that the file fixes is not kept: the model takes batches of any size.

    Raises
    ------
    FormatError
        Where the file is missing, truncated, no ONNX file, of an unknown version, too large, or describes a network that cannot
        be represented: unknown operators and nodes that mix samples are all listed.
    MissingExtraError
        Where the `onnx` package is not installed.
    """
    with _name_file_in_errors(source):
        graph = read_graph(source, fix, folder, budget)
        choices = check_choices(signal or {}, pass_through)
        return build_model(LoadRequest(graph, outputs, batched, batch_axis, patterns, budget, choices), input_shape)


def load_with_original(
    source: Any,
    *,
    outputs: str | Sequence[str] | None = None,
    input_shape: Mapping[str, Shape] | Shape | None = None,
    batch_axis: Mapping[str, int] | int | None = None,
    fix: Mapping[str, Any] | None = None,
    signal: Mapping[str, int] | None = None,
    pass_through: Sequence[str] = (),
) -> tuple[Model, Model | None]:
    """Read an ONNX model, and the same network node by node as the file has it; the file is parsed and checked once.

    Parameters
    ----------
    source, outputs, input_shape, batch_axis, fix, signal, pass_through : as `load` takes them

    Returns
    -------
    Model, Model or None
        What `load` returns; and the network before patterns are put together again and without `signal` and `pass_through`,
        None where it is to end at a node that the file does not have.

    Raises
    ------
    FormatError, MissingExtraError
        As `load` raises them.
    """
    with _name_file_in_errors(source):
        graph = read_graph(source, fix, None, BUDGET)
        choices = check_choices(signal or {}, pass_through)
        request = LoadRequest(graph, outputs, True, batch_axis, True, BUDGET, choices)
        model = build_model(request, input_shape)
        try:
            return model, build_model(replace(request, patterns=False, choices=check_choices({}, ())), input_shape)
        except FormatError:
            return model, None


def with_choices(model: Model, signal: Mapping[str, int] | None = None, pass_through: Sequence[str] = ()) -> Model:
    """A model from any file with the choices of `load`: which factor is the signal, and which nodes relevance passes.

    Parameters
    ----------
    model : the network
    signal, pass_through : as `load` takes them

    Raises
    ------
    FormatError
        Where a node does not exist, or is not of a kind that the choice is for.
    """
    return check_choices(signal or {}, pass_through).apply(model)


@contextmanager
def _name_file_in_errors(source: Any) -> Iterator[None]:
    """Put the file's path in front of what is wrong with it."""
    prefix = f"{source}: " if isinstance(source, (str, Path)) else ""
    try:
        yield
    except UnicodeDecodeError:  # protobuf finds out when a name is read
        raise FormatError(f"{prefix}this is no readable ONNX file: a name in it is no text") from None
    except FormatError as error:
        raise FormatError(f"{prefix}{error}") from None
