"""The choices of a user beyond shapes: inputs held at a value, factors that are signals, nodes that relevance passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...arrays import Array, Shape
from ...errors import DerivativeError, FormatError, ShapeError, unknown
from ...layers import Divide, Multiply, Reciprocal
from ...layers.activations import Activation
from ...layers.base import Layer
from ...layers.shape import Rearrangement
from ...network.model import Model, Node
from .read.onnx_graph import InputDeclaration, OnnxGraph
from .read.tensors import CASTS


@dataclass(frozen=True, eq=False, repr=False)
class PassThrough(Activation):
    """A layer of one input that keeps the shape, and that relevance is to pass as it passes an activation."""

    layer: Layer

    @property
    def parameters(self) -> dict[str, Array]:
        return self.layer.parameters

    def astype(self, dtype: Any) -> PassThrough:
        return PassThrough(self.layer.astype(dtype))

    def shape(self, *inputs: Shape) -> Shape:
        output = self.layer.shape(*inputs)
        if output != inputs[0]:
            raise ShapeError(
                f"pass_through= is for layers that keep their input's shape, and {self.layer} turns {inputs[0]} into {output}"
            )
        return output

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return self.layer.forward(*inputs)

    def function(self, z: Array) -> Array:
        return self.layer.forward(z)

    def derivative(self, z: Array, output: Array) -> Array:
        raise DerivativeError(f"{type(self.layer).__name__} may not be an elementwise function: use vjp")

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        return self.layer.vjp(inputs, output, upper)


def hold_inputs(graph: OnnxGraph, fix: Mapping[str, Any]) -> OnnxGraph:
    """A graph whose inputs are held at values: these are constants then.

    Parameters
    ----------
    fix : the value of each such input, a number or an array of the input's shape

    Raises
    ------
    FormatError
        Where there is no input of a name, or a value is not of the type or shape that the file declares.
    """
    declared = {value.name: value for value in graph.inputs}
    for name in fix:
        if name not in declared:
            raise FormatError(str(unknown("input", name, declared)))
    constants = {name: _held_value(declared[name], value) for name, value in fix.items()}
    inputs = tuple(value for value in graph.inputs if value.name not in fix)
    initializers = {**graph.initializers, **dict.fromkeys(fix)}
    return replace(graph, inputs=inputs, initializers=initializers, _arrays={**graph._arrays, **constants})


def _held_value(declared: InputDeclaration, value: Any) -> np.ndarray:
    """The value in the shape that the file declares; one number stands for all, and open extents are 1 then."""
    if declared.kind not in CASTS:
        raise FormatError(f"fix= sets an input to numbers, and input {declared.name!r} does not hold numbers")
    try:
        array = np.asarray(value)
        converted: np.ndarray = array.astype(CASTS[declared.kind])
    except (TypeError, ValueError):
        raise FormatError(f"fix= sets input {declared.name!r} to {value!r}, which is not a number") from None
    if array.dtype.kind not in "iufb" or not np.array_equal(converted, array, equal_nan=False):
        raise FormatError(f"fix= sets input {declared.name!r} to {value!r}, which does not fit its type")
    if declared.dims is None or array.ndim:
        fits = declared.dims is None or (
            len(declared.dims) == array.ndim and all(d in (None, 0, e) for d, e in zip(declared.dims, array.shape, strict=True))
        )
        if not fits:
            raise FormatError(f"fix= gives input {declared.name!r} shape {array.shape}, and the file declares {declared.dims}")
        return converted
    return np.broadcast_to(converted, tuple(extent or 1 for extent in declared.dims))


def check_choices(signal: Mapping[str, int], pass_through: Sequence[str]) -> Choices:
    """The choices of a user, checked as far as they can be without a network.

    Parameters
    ----------
    signal : which input of a node is the signal, 0 or 1, by the names of products
    pass_through : the names of nodes that relevance passes as it passes an activation

    Raises
    ------
    FormatError
        Where `signal` says something else than 0 or 1.
    """
    for name, index in signal.items():
        if index not in (0, 1) or isinstance(index, bool):
            raise FormatError(
                f"signal= must be 0 or 1 for node {name!r}, the index of the input that is the signal; found {index!r}"
            )
    names = (pass_through,) if isinstance(pass_through, str) else tuple(pass_through)
    return Choices(dict(signal), names)


@dataclass(frozen=True, eq=False)
class Choices:
    """The factors that are signals, and the nodes that relevance passes, by the names of nodes."""

    signal: Mapping[str, int]
    passes: tuple[str, ...]

    def apply(self, model: Model) -> Model:
        """A model with the choices in its layers.

        Parameters
        ----------
        model : of any file

        Raises
        ------
        FormatError
            Where a node does not exist, or is not of a kind that the choice is for.
        """
        known = [node.name for node in model.nodes]
        for name in (*self.signal, *self.passes):
            if name not in known:
                raise FormatError(str(unknown("node", name, known)))
        if not self.signal and not self.passes:
            return model
        nodes: list[Node] = []
        for node in model.nodes:
            if node.name in self.signal:
                nodes += _with_signal(node, self.signal[node.name])
            elif node.name in self.passes:
                nodes.append(Node(node.name, _pass_layer(node), node.inputs))
            else:
                nodes.append(node)
        return replace(model, nodes=tuple(nodes))


def _with_signal(node: Node, index: int) -> list[Node]:
    if isinstance(node.layer, Multiply):
        return [Node(node.name, Multiply(signal=index), node.inputs)]
    if isinstance(node.layer, Divide) and index == 0:  # a/b is a times the gate 1/b
        gate = f"{node.name}/reciprocal"
        return [Node(gate, Reciprocal(), node.inputs[1:]), Node(node.name, Multiply(signal=0), (node.inputs[0], gate))]
    raise FormatError(f"signal= is for products of two signals (and quotients, whose signal is 0), and {node.title} is none")


def _pass_layer(node: Node) -> Layer:
    if isinstance(node.layer, (Activation, Rearrangement)):
        return node.layer  # which relevance passes as it is
    if node.layer.arity != 1:
        raise FormatError(f"pass_through= is for nodes of one input, and {node.title} has {node.layer.arity}")
    return PassThrough(node.layer)
