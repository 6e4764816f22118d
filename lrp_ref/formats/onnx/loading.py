"""From a file's graph to a model, one function for each phase, in the order in which they run.

The graph of a file is read and checked once (`read_graph`). What follows is done for one shape of every input (`build_model`),
and again for other shapes where the file leaves extents open (`lrp_ref.network.extents`):

1. `select_outputs`: which values the model computes
2. `simplify_nodes`: the nodes that these need, without index arithmetic, and the versions of their operators
3. `declare_inputs`: the inputs that are read, with the batch axis in front
4. `shapes_by_input`: the shape of one sample of each input
5. `translate`: every node as layers, or as a constant
6. `assemble`: the nodes that outputs depend on, wired as a `Model`
7. `rewrite`: what exporters took apart, as the layers that it is
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ...arrays import Array, Shape
from ...errors import FormatError, LrpError
from ...network.extents import Extents
from ...network.model import Model
from ..cut import cut_at
from .read import reader
from .read.onnx_graph import InputDeclaration, OnnxGraph, OpNode, needed_nodes
from .read.outputs import UnknownOutputError, pick_remarks, select_outputs
from .read.tensors import FLOATS
from .rewrite.as_strided import AS_STRIDED, as_strided, replace_as_strided
from .rewrite.dynamic_quantisation import remove_dynamic_quantisation
from .rewrite.masks import gate_masks
from .rewrite.negative_indices import Compute, remove_negative_indices
from .rewrite.patterns import recognise_patterns
from .rewrite.tensorflow_operators import replace_tensorflow_operators
from .translate.builder import Builder, Value
from .translate.constant_folding import fold
from .translate.declarations import (
    CANDIDATES,
    batch_axes_of,
    batch_axis_remarks,
    batch_extent,
    candidate_shapes,
    declare_batch_first,
    is_open,
    open_message,
    sample_shape,
    shapes_by_input,
)
from .translate.integers import BOOL
from .translate.nodes import MissingValue, translate_nodes
from .translate.open_lengths import model_of_any_length
from .translate.operators import OPERATORS
from .translate.operators.quantisation import REMARK
from .translate.output_names import name_outputs
from .translate.registry import Operator
from .translate.schemas import versions_of
from .user_choices import Choices, hold_inputs

#: Extents of weights up to the first, and so many of them, are candidates for extents that are left open.
MOST, LIMIT = 4096, 16
RECURRENT = ("GRU", "LSTM", "RNN")


def read_graph(source: Any, fix: Mapping[str, Any] | None, folder: str | Path | None, budget: int) -> OnnxGraph:
    """The checked graph of a file, with inputs held at values, and in floating point numbers.

    Parameters
    ----------
    source, fix, folder, budget : as `load` takes them

    Raises
    ------
    FormatError
        Where the file is missing, no ONNX file, too large, or contradicts itself; or `fix` does not fit its inputs.
    """
    proto, store = reader.parse_file(source, budget, None if folder is None else Path(folder))
    graph = reader.parse_graph(proto, store)
    graph = hold_inputs(graph, fix or {})
    graph = replace_tensorflow_operators(graph)
    return remove_dynamic_quantisation(graph)


@dataclass(frozen=True, eq=False)
class LoadRequest:
    """A graph, and what `load` was told about it.

    Attributes
    ----------
    graph : inputs that are held at a value are among its initializers
    choices : which factors are signals, and which nodes relevance passes
    end_nodes : nodes of the model, which the file may not have under these names, that it ends with; none: the outputs
    """

    graph: OnnxGraph
    outputs: str | Sequence[str] | None
    batched: bool
    batch_axis: Mapping[str, int] | int | None
    patterns: bool
    budget: int
    choices: Choices
    end_nodes: tuple[str, ...] = ()


def build_model(request: LoadRequest, input_shape: Any) -> Model:
    """The model of a graph; where the file has no output of a name, the model's own node of that name is the end.

    Parameters
    ----------
    input_shape : of one sample, for each input or for the only one, where the file leaves extents open

    Raises
    ------
    FormatError
        Where the file describes a network that cannot be represented.
    """
    try:
        return _build(request, input_shape)
    except UnknownOutputError as error:
        outputs = request.outputs or ()
        end_nodes = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        try:
            return _build(replace(request, outputs=None, end_nodes=end_nodes), input_shape)
        except LrpError:
            raise error from None


def _build(request: LoadRequest, input_shape: Any) -> Model:
    outputs = select_outputs(request.graph, request.outputs)
    nodes, versions = simplify_nodes(request, outputs)
    inputs, batch_axes = declare_inputs(request, nodes, outputs)
    shapes = shapes_by_input(input_shape, [value.name for value in inputs])
    network = Network(request, outputs, nodes, versions, inputs, batch_axes, shapes)
    open_inputs = [value for value in inputs if value.name not in shapes and is_open(value, request.batched)]
    if not open_inputs:
        return network.model({})
    if any(node.op in RECURRENT for node in nodes):
        model = model_of_any_length(open_inputs, request.batched, network.model)
        if model is not None:
            return model
    return _model_of_open_extents(network, open_inputs)


def simplify_nodes(request: LoadRequest, outputs: Sequence[str]) -> tuple[tuple[OpNode, ...], dict[str, int]]:
    """The nodes that the outputs need, and the versions of their operators' schemas.

    Parameters
    ----------
    outputs : the values that the model computes

    Raises
    ------
    FormatError
        Where operators are not read; all are listed.
    """
    graph = request.graph
    nodes = needed_nodes(graph, outputs)
    versions = versions_of(nodes, graph.opset, graph.ml_opset, [value.name for value in graph.inputs])
    nodes = remove_negative_indices(graph, nodes, _constants_of(request, versions))
    nodes = needed_nodes(replace(graph, nodes=nodes), outputs)
    if request.batched:
        nodes = replace_as_strided(nodes, graph, versions, OPERATORS)
        nodes = needed_nodes(replace(graph, nodes=nodes), outputs)
    return nodes, versions


def _constants_of(request: LoadRequest, versions: Mapping[str, int]) -> Compute:
    """A function that computes a value from constants alone."""

    def compute(nodes: Sequence[OpNode], constants: dict[str, Array], name: str) -> Array:
        values: dict[str, Value | MissingValue] = dict(constants)
        builder = Builder(np.dtype(np.float64), request.budget, None, request.graph.opset)
        translate_nodes(nodes, values, builder, versions, OPERATORS, fold)
        return np.asarray(values[name])

    return compute


def declare_inputs(
    request: LoadRequest, nodes: Sequence[OpNode], outputs: Sequence[str]
) -> tuple[list[InputDeclaration], dict[str, int]]:
    """The inputs that nodes read, declared with the batch in front, and which axis of each is the batch in the file.

    Parameters
    ----------
    nodes, outputs : those of the simplified graph

    Raises
    ------
    FormatError
        Where none is read, or an input's batch seems to be elsewhere than `batch_axis` says.
    """
    names = _names_read(nodes, outputs)
    declared = [value for value in request.graph.inputs if value.name in names]
    if not declared:
        raise FormatError("the outputs depend on no input")
    batch_axes = batch_axes_of(request.batch_axis, declared) if request.batched else {}
    return [declare_batch_first(value, batch_axes.get(value.name, 0)) for value in declared], batch_axes


def _names_read(nodes: Sequence[OpNode], outputs: Sequence[str]) -> set[str]:
    return {name for node in nodes for name in node.reads} | set(outputs)


@dataclass(frozen=True, eq=False)
class Network:
    """The nodes and inputs of a file that its outputs need: what is left once extents are known.

    Attributes
    ----------
    inputs : declared with the batch in front; `batch_axes` says where the file has it
    shapes : of one sample, for the inputs of which the user or the file says it
    """

    request: LoadRequest
    outputs: tuple[str, ...]
    nodes: tuple[OpNode, ...]
    versions: Mapping[str, int]
    inputs: Sequence[InputDeclaration]
    batch_axes: Mapping[str, int]
    shapes: Mapping[str, Shape]

    def model(self, open_shapes: Mapping[str, Shape]) -> Model:
        """The model for one shape of every input.

        Parameters
        ----------
        open_shapes : of one sample, for the inputs that leave extents open

        Raises
        ------
        FormatError
            Where nodes cannot be represented; all of them are listed.
        """
        builder, values = translate(self, {**self.shapes, **open_shapes})
        return rewrite(self, assemble(self, builder, values))


def translate(network: Network, shapes: Mapping[str, Shape]) -> tuple[Builder, dict[str, Value | MissingValue]]:
    """The layers of a network in a builder, and its values by the file's names: tensors of the builder, or constants.

    Parameters
    ----------
    shapes : of one sample of each input, where the file leaves its extents open

    Raises
    ------
    FormatError
        Where nodes cannot be represented; all of them are listed.
    """
    request, graph, inputs = network.request, network.request.graph, network.inputs
    batch = batch_extent(inputs) if request.batched else None
    double = any(value.kind == 11 for value in inputs)
    builder = Builder(np.dtype(np.float64 if double else np.float32), request.budget, batch, graph.opset)
    names = _names_read(network.nodes, network.outputs)
    if any(not graph.dequantised.isdisjoint(node.outputs) for node in network.nodes):
        builder.remark(REMARK)
    values: dict[str, Value | MissingValue] = {n: graph.constant(n) for n in graph.initializers if n in names}
    for value in inputs:
        shape = sample_shape(value, shapes.get(value.name), request.batched)
        kind = 0 if value.kind in FLOATS else value.kind
        values[value.name] = builder.add_input(value.name, shape, network.batch_axes.get(value.name, 0), kind)
    nodes = [replace(node, outputs=tuple(name if name in names else "" for name in node.outputs)) for node in network.nodes]
    versions = {**network.versions, AS_STRIDED: 1}
    translate_nodes(nodes, values, builder, versions, OPERATORS | {(AS_STRIDED, 1): Operator(as_strided)}, fold)
    return builder, values


def assemble(network: Network, builder: Builder, values: Mapping[str, Value | MissingValue]) -> Model:
    """A `Model` of the builder's nodes that the outputs depend on, under the outputs' names.

    Parameters
    ----------
    builder, values : what `translate` gives

    Raises
    ------
    FormatError
        Where an output depends on no input, or the nodes make no model.
    """
    nodes = name_outputs(builder, network.outputs, values)
    sources = {name for node in nodes for name in node.inputs}
    inputs = [value for value in network.inputs if value.name in sources]
    if not inputs:
        raise FormatError("the outputs depend on no input")
    shapes = {value.name: builder.tensors[value.name].shape for value in inputs}
    integer_inputs = tuple(value.name for value in inputs if value.kind not in FLOATS)
    remarks = (
        *batch_axis_remarks(network.batch_axes, network.outputs, values),
        *pick_remarks(network.request.graph, network.request.outputs, network.outputs),
        *builder.remarks,
    )
    try:
        return Model(
            tuple(nodes), tuple(shapes), network.outputs, input_shape=shapes, integer_inputs=integer_inputs, remarks=remarks
        )
    except LrpError as error:
        raise FormatError(str(error)) from None


def rewrite(network: Network, model: Model) -> Model:
    """A model whose groups of nodes that stand for a layer are that layer, with masks as gates, and the user's choices.

    Parameters
    ----------
    model : node by node as the file has it

    Raises
    ------
    FormatError, UnknownNameError
        Where a choice or an end names no node, or a choice does not fit its node.
    """
    request = network.request
    if request.patterns:
        truths = frozenset(value.name for value in network.inputs if value.kind == BOOL)
        model = gate_masks(recognise_patterns(model), truths)
    model = request.choices.apply(model)
    return cut_at(model, request.end_nodes) if request.end_nodes else model


# --- extents that a file leaves open ------------------------------------------------------------------------------------------


def _model_of_open_extents(network: Network, open_inputs: Sequence[InputDeclaration]) -> Model:
    """A model that is laid out for what it is given; its own nodes are those for the first extents that are possible."""
    request, errors = network.request, list[FormatError]()
    # A weight of so many rows may wait for so many features.
    weights = {int(e) for n in request.graph.initializers for e in request.graph.extents(n) if 1 < e <= MOST}
    sizes = dict.fromkeys((*CANDIDATES, *sorted(weights)[:LIMIT]))
    for shapes in candidate_shapes(open_inputs, request.batched, sizes):
        try:
            model = network.model(shapes)
        except FormatError as error:
            if errors and str(errors[0]) == str(error):  # whatever the extents are
                raise error from None
            errors.append(error)
            continue
        known = {name: shape for name, shape in model.input_shape.items() if name not in shapes}
        refit = Refit(request, MappingProxyType({**network.shapes, **shapes}))
        return replace(model, input_shape=known, extents=Extents(refit, model.nodes))
    raise FormatError(f"{open_message(open_inputs, request.batched)} ({errors[0]})")


@dataclass(frozen=True, eq=False)
class Refit:
    """A function from input shapes to the model of a file for these; `shapes` are those of inputs that are not given."""

    request: LoadRequest
    shapes: Mapping[str, Shape]

    def __call__(self, shapes: Mapping[str, Shape]) -> Model:
        return _build(self.request, {name: shapes.get(name, shape) for name, shape in self.shapes.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return Refit, (self.request, dict(self.shapes))
