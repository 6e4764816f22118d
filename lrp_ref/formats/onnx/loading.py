"""From a file's graph to a model: which inputs there are, where their batch is, of what shapes, and the nodes in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ...arrays import Array, Shape
from ...errors import FormatError, LrpError, unknown
from ...network.extents import Extents
from ...network.model import Model
from ..cut import cut_at
from .choices import Choices
from .read.labels import label_source, scores_of
from .read.reader import InputDeclaration, OnnxGraph, OpNode, needed_nodes
from .read.tensors import FLOATS
from .rewrite.as_strided import AS_STRIDED, as_strided, replace_as_strided
from .rewrite.masks import gate_masks
from .rewrite.negative_indices import Compute, remove_negative_indices
from .rewrite.patterns import recognise_patterns
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
)
from .translate.integers import BOOL
from .translate.nodes import MissingValue, translate_nodes
from .translate.open_lengths import model_of_any_length
from .translate.operator_call import Builder, Value
from .translate.operators import OPERATORS
from .translate.operators.quantisation import REMARK
from .translate.output_names import name_outputs
from .translate.schemas import versions_of

#: Of the weights' extents those up to the first, and so many of them, are tried for extents that are left open.
MOST, LIMIT = 4096, 16


class UnknownOutputError(FormatError):
    """The file has no value and no node of a name that it is to end with."""


@dataclass(frozen=True, eq=False)
class Reading:
    """How a file is read: its graph, and what `load` was told.

    Attributes
    ----------
    graph : inputs that are held at a value are among its initializers
    choices : which factors are signals, and which nodes relevance passes
    ends : nodes of the model, which the file may not have under these names, that it ends with; none: the outputs
    """

    graph: OnnxGraph
    outputs: str | Sequence[str] | None
    batched: bool
    batch_axis: Mapping[str, int] | int | None
    patterns: bool
    budget: int
    choices: Choices
    ends: tuple[str, ...] = ()

    def model(self, input_shape: Any) -> Model:
        """The model, for samples of these shapes where the file leaves extents open.

        Raises
        ------
        FormatError
            Where the file describes a network that cannot be represented.
        """
        graph, chosen = self.graph, chosen_outputs(self.graph, self.outputs)
        nodes, versions = self._rewritten(chosen)
        used = {name for node in nodes for name in node.reads} | set(chosen)
        declared = [value for value in graph.inputs if value.name in used]
        if not declared:
            raise FormatError("the outputs depend on no input")
        places = batch_axes_of(self.batch_axis, declared) if self.batched else {}
        inputs = [declare_batch_first(value, places.get(value.name, 0)) for value in declared]
        shapes = _given_shapes(input_shape, [value.name for value in inputs])
        left = [value for value in inputs if value.name not in shapes and is_open(value, self.batched)]

        def laid_out(more: Mapping[str, Shape]) -> Model:
            return self._laid_out(chosen, nodes, versions, inputs, {**shapes, **more}, places)

        if not left:
            return laid_out({})
        if any(node.op in ("GRU", "LSTM", "RNN") for node in nodes):
            model = model_of_any_length(left, self.batched, laid_out)
            if model is not None:
                return model
        return self._opened(left, laid_out, shapes)

    def _opened(
        self,
        left: Sequence[InputDeclaration],
        laid_out: Callable[[Mapping[str, Shape]], Model],
        input_shapes: Mapping[str, Shape],
    ) -> Model:
        """A model that is laid out for what it is given; its own nodes are those for the first extents that are possible."""
        said: list[FormatError] = []
        # A weight of so many rows may wait for so many features.
        weights = {int(e) for n in self.graph.initializers for e in self.graph.extents(n) if 1 < e <= MOST}
        for shapes in candidate_shapes(left, self.batched, dict.fromkeys((*CANDIDATES, *sorted(weights)[:LIMIT]))):
            try:
                model = laid_out(shapes)
            except FormatError as error:
                if said and str(said[0]) == str(error):  # whatever the extents are
                    raise error from None
                said.append(error)
                continue
            known = {name: shape for name, shape in model.input_shape.items() if name not in shapes}
            refit = Refit(self, MappingProxyType({**input_shapes, **shapes}))
            return replace(model, input_shape=known, extents=Extents(refit, model.nodes))
        raise FormatError(f"{open_message(left, self.batched)} ({said[0]})")

    def _rewritten(self, chosen: Sequence[str]) -> tuple[tuple[OpNode, ...], dict[str, int]]:
        """The nodes that the outputs need, and the versions of their operators' schemas."""
        graph = self.graph
        nodes = needed_nodes(graph, chosen)
        versions = versions_of(nodes, graph.opset, graph.learned)
        nodes = needed_nodes(replace(graph, nodes=remove_negative_indices(graph, nodes, self._constants(versions))), chosen)
        if self.batched:
            nodes = needed_nodes(replace(graph, nodes=replace_as_strided(nodes, graph, versions, OPERATORS)), chosen)
        return nodes, versions

    def _constants(self, versions: Mapping[str, int]) -> Compute:
        """What nodes compute where nothing depends on an input."""

        def compute(nodes: Sequence[OpNode], constants: dict[str, Array], name: str) -> Array:
            values: dict[str, Value | MissingValue] = dict(constants)
            builder = Builder(np.dtype(np.float64), self.budget, None, self.graph.opset)
            translate_nodes(nodes, values, builder, versions, OPERATORS, fold)
            return np.asarray(values[name])

        return compute

    def _pick_remarks(self, chosen: Sequence[str]) -> tuple[str, ...]:
        """That the file ends in what is picked from scores, and the model in the scores."""
        makers = {name: node for node in self.graph.nodes for name in node.outputs if name}
        if self.outputs is not None or any(label_source(name, makers) is None for name in self.graph.outputs):
            return ()
        picks, scores = (", ".join(map(repr, names)) for names in (self.graph.outputs, chosen))
        return (
            f"the file ends in {picks}, picked from {scores}: explained are the scores, and a target is one of their indices",
        )

    def _laid_out(
        self,
        chosen: tuple[str, ...],
        nodes: tuple[OpNode, ...],
        versions: Mapping[str, int],
        inputs: Sequence[InputDeclaration],
        shapes: Mapping[str, Shape],
        places: Mapping[str, int],
    ) -> Model:
        graph = self.graph
        batch = batch_extent(inputs) if self.batched else None
        double = any(value.kind == 11 for value in inputs)
        builder = Builder(np.dtype(np.float64 if double else np.float32), self.budget, batch, graph.opset)
        used = {name for node in nodes for name in node.reads} | set(chosen)
        if any(not graph.floated.isdisjoint(node.outputs) for node in nodes):
            builder.remark(REMARK)
        values: dict[str, Value | MissingValue] = {n: graph.constant(n) for n in graph.initializers if n in used}
        for value in inputs:
            shape = sample_shape(value, shapes.get(value.name), self.batched)
            kind = 0 if value.kind in FLOATS else value.kind
            values[value.name] = builder.given(value.name, shape, places.get(value.name, 0), kind)
        nodes = tuple(replace(node, outputs=tuple(name if name in used else "" for name in node.outputs)) for node in nodes)
        known = {**versions, AS_STRIDED: 1}
        translate_nodes(nodes, values, builder, known, OPERATORS | {(AS_STRIDED, 1): as_strided}, fold)
        model_nodes = name_outputs(builder, chosen, values)
        read = {name for node in model_nodes for name in node.inputs}
        input_shapes = {value.name: builder.tensors[value.name].shape for value in inputs if value.name in read}
        if not input_shapes:
            raise FormatError("the outputs depend on no input")
        integer_inputs = tuple(value.name for value in inputs if value.name in input_shapes and value.kind not in FLOATS)
        remarks = (*batch_axis_remarks(places, chosen, values), *self._pick_remarks(chosen), *builder.remarks)
        try:
            model = Model(
                tuple(model_nodes), tuple(input_shapes), chosen, input_shape=input_shapes, whole=integer_inputs, remarks=remarks
            )
        except LrpError as error:
            raise FormatError(str(error)) from None
        truths = frozenset(value.name for value in inputs if value.kind == BOOL)
        rewritten = self.choices.applied(gate_masks(recognise_patterns(model), truths) if self.patterns else model)
        return cut_at(rewritten, self.ends) if self.ends else rewritten


@dataclass(frozen=True, eq=False)
class Refit:
    """A file laid out for other shapes; `shapes` are those of inputs that are not given."""

    reading: Reading
    shapes: Mapping[str, Shape]

    def __call__(self, shapes: Mapping[str, Shape]) -> Model:
        return self.reading.model({name: shapes.get(name, shape) for name, shape in self.shapes.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return Refit, (self.reading, dict(self.shapes))


def chosen_outputs(graph: OnnxGraph, outputs: str | Sequence[str] | None) -> tuple[str, ...]:
    """The values that the model computes."""
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    if outputs is not None:
        names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        named = {node.name: next(name for name in node.outputs if name) for node in graph.nodes if any(node.outputs)}
        names = tuple(name if name in makers else named.get(name, name) for name in names)
        for name in names:
            if name not in makers:
                raise UnknownOutputError(str(unknown("output", name, makers)))
        if len(set(names)) != len(names) or not names:
            raise FormatError(f"outputs must be different names, found {names}")
        return names
    for name in graph.outputs:
        if name not in makers:
            raise FormatError(f"the output {name!r} is computed by no node")
    # A class label beside the scores is no score: it is left out, and explained is what it picks from.
    picked = {name: label_source(name, makers) for name in graph.outputs}
    scores = [scores_of(name, makers) for name, source in picked.items() if source is None]
    if not scores:
        scores = [scores_of(source, makers) for source in picked.values() if source is not None]
        if any(name not in makers for name in scores):
            raise FormatError("the outputs are indices picked from an input or a constant")
    return tuple(dict.fromkeys(scores))


def _given_shapes(input_shape: Any, names: Sequence[str]) -> dict[str, Shape]:
    if input_shape is None:
        return {}
    if isinstance(input_shape, Mapping):
        for name in input_shape:
            if name not in names:
                raise FormatError(str(unknown("input", name, names)))
        return {name: tuple(int(extent) for extent in shape) for name, shape in input_shape.items()}
    if len(names) != 1:
        raise FormatError(f"input_shape must be a mapping from the inputs {', '.join(names)}")
    return {names[0]: tuple(int(extent) for extent in input_shape)}
