"""A network: named nodes wired into a directed acyclic graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from ..arrays import Array, Shape, frozen
from ..errors import DomainError, GraphError, LrpError, ShapeError, unknown
from ..forks import cached_property
from ..layers.base import Layer
from ..lazy_dataclass import lazy_dataclass
from ..memo import Memo
from .domain import Domain
from .extents import Extents
from .inputs import by_input, cast_input, for_inputs, number_type, sample_shape
from .shapes import Shapes
from .table import Row, html_table, node_rows, text_rows
from .wiring import Node, check_layer, check_names, check_outputs, default_names, ordered, underflow_remarks

__all__ = ["Domain", "Model", "Node", "Trace", "ancestors"]

Found = TypeVar("Found")


@lazy_dataclass(frozen=True, eq=False)
class Trace:
    """All activations of one forward pass, by node name; inputs of the model included.

    Parameters
    ----------
    activations : for every input and node its output, (N, …), read-only

    Raises
    ------
    UnknownNameError
        Where `trace[name]` is asked for a name that there is not.
    """

    activations: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        if name not in self.activations:
            raise unknown("node", name, self.activations)
        return self.activations[name]


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A network as a graph of layers. Calling it predicts.

    Parameters
    ----------
    nodes : the nodes, in any order; names must be unique. A layer used twice is two nodes that share weights
    inputs : the names of the model's inputs
    outputs : the names of the nodes that are outputs; None: those that nobody reads
    domain : for each input a (low, high) pair, or one pair for the only input
    input_shape : for each input the shape of one sample, or one shape for the only input
    default_dtype : the number type where no layer has parameters, which otherwise say it; None: float64
    integer_inputs : the inputs that hold whole numbers (or truth values), and are taken as integers too
    remarks : what is otherwise in this network than in the file that it comes from
    extents : how the network is laid out for inputs of other shapes; None: it is the same for all

    Raises
    ------
    GraphError
        Where names clash or are missing, or the graph has a cycle.
    DomainError
        Where the bounds of an input do not fit its samples.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...] = ("input",)
    outputs: tuple[str, ...] = None  # type: ignore[assignment]
    domain: Mapping[str, Domain] = None  # type: ignore[assignment]
    input_shape: Mapping[str, Shape] = None  # type: ignore[assignment]
    default_dtype: Any = None
    integer_inputs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    extents: Extents | None = None
    _named: Mapping[str, Node] = field(init=False)
    _readers: Mapping[str, tuple[Node, ...]] = field(init=False)
    _memo: Memo = field(init=False)

    def __post_init__(self) -> None:
        inputs = (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)
        nodes = (self.nodes,) if isinstance(self.nodes, Node) else tuple(self.nodes)
        check_names(nodes, inputs)
        nodes = ordered(nodes, inputs)
        readers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        outputs = self.outputs if self.outputs is not None else [n.name for n in nodes if n.name not in readers]
        outputs = check_outputs((outputs,) if isinstance(outputs, str) else tuple(outputs), nodes)
        shapes = {name: sample_shape(shape, name) for name, shape in by_input(self.input_shape, inputs).items()}
        domain = {name: Domain.of(pair) for name, pair in by_input(self.domain, inputs).items()}
        for name, bounds in domain.items():
            if name in shapes and not bounds.fits(shapes[name]):
                raise DomainError(f"the domain {bounds} of input {name!r} does not fit samples of shape {shapes[name]}")
        for name in self.integer_inputs:
            if name not in inputs:
                raise unknown("input", name, inputs)
        for name, value in (
            ("nodes", nodes),
            ("inputs", inputs),
            ("outputs", outputs),
            ("domain", MappingProxyType(domain)),
            ("input_shape", MappingProxyType(shapes)),
            ("default_dtype", None if self.default_dtype is None else number_type(self.default_dtype)),
            ("_named", {node.name: node for node in nodes}),
            ("_readers", {name: tuple(reading) for name, reading in readers.items()}),
            ("_memo", Memo(light=4 * len(nodes) + 64)),  # what some explainers of one model need at a time
        ):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        domain, shapes = dict(self.domain), dict(self.input_shape)
        rest = (self.default_dtype, self.integer_inputs, self.remarks, self.extents)
        return Model, (self.nodes, self.inputs, self.outputs, domain, shapes, *rest)

    @classmethod
    def sequential(
        cls, layers: Iterable[Layer], names: Sequence[str] | None = None, *, domain: Any = None, input_shape: Any = None
    ) -> Model:
        """A chain of layers: each reads the one before it, the first reads "input", the last is the output.

        Parameters
        ----------
        layers : the layers, in computing order
        names : one for each layer; None: conv1, relu1, conv2 and so on, by class and number
        domain : the (low, high) that the input lies in, numbers or arrays that broadcast against one sample; None: not known
        input_shape : the shape of one sample, without the batch axis; None: not known

        Raises
        ------
        GraphError
            Where there is no layer, one is no `Layer`, or the names clash or are not as many.
        DomainError
            Where the bounds do not fit the samples.
        """
        layers = tuple(layers)
        for position, layer in enumerate(layers, start=1):
            check_layer(layer, f"layer {position} of {len(layers)}")
        names = default_names(layers) if names is None else tuple(names)
        if len(names) != len(layers):
            raise GraphError(f"{len(layers)} layers need as many names, found {len(names)}")
        before = ("input", *names)
        nodes = tuple(Node(n, layer, (b,)) for n, layer, b in zip(names, layers, before, strict=False))
        return cls(nodes, domain=domain, input_shape=input_shape)

    def __getitem__(self, name: str) -> Node:
        if name not in self._named:
            raise unknown("node", name, self._named)
        return self._named[name]

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def readers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read a node's output or an input, in computing order; none where nothing does.

        Parameters
        ----------
        name : of the node or input
        """
        return self._readers.get(name, ())

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The number type that the model computes in: that of its parameters, `default_dtype` where it has none."""
        kinds = {value.dtype for node in self.nodes for value in node.layer.parameters.values()}
        if np.dtype(object) in kinds:
            return np.dtype(object)
        return np.dtype(np.result_type(*kinds) if kinds else self.default_dtype or np.float64)

    def astype(self, dtype: Any) -> Model:
        """The same model in float64, float32 or exact rationals (`object`), domain included; shared layers stay shared.

        Parameters that become 0 there are remarked on, those that become infinite are refused.

        Parameters
        ----------
        dtype : `float64`, `float32`, or `object` for arrays of `fractions.Fraction`, in which a float keeps its binary value

        Raises
        ------
        NumberTypeError
            Where it is another one.
        NonFiniteError
            Where a parameter is too large for it.
        """
        dtype = number_type(dtype)
        cast = {id(node.layer): node.layer.astype(dtype) for node in self.nodes}
        nodes = tuple(Node(node.name, cast[id(node.layer)], node.inputs) for node in self.nodes)
        domain = {name: bounds.astype(dtype) for name, bounds in self.domain.items()}
        extents = None if self.extents is None else replace(self.extents, nodes=nodes)
        remarks = tuple(dict.fromkeys((*self.remarks, *underflow_remarks(self.nodes, nodes))))
        return replace(self, nodes=nodes, domain=domain, default_dtype=dtype, extents=extents, remarks=remarks)

    def fitted(self, shapes: Mapping[str, Shape]) -> Model:
        """The network for samples of these shapes, by input: this one, but for a network with open extents.

        Parameters
        ----------
        shapes : for each input the shape of one sample, without the batch axis

        Raises
        ------
        ShapeError
            Where the network cannot be laid out for them.
        """
        if self.extents is None:
            return self
        asked, extents = {name: tuple(int(extent) for extent in shapes[name]) for name in self.inputs}, self.extents

        def build() -> tuple[Model, int]:
            laid_out: Model = extents.fitted(self.nodes, asked).astype(self.dtype)
            laid_out = replace(laid_out, outputs=self.outputs, domain=self.domain)
            shared = {id(a) for node in self.nodes for a in node.layer.parameters.values()}
            return laid_out, sum(a.nbytes for n in laid_out.nodes for a in n.layer.parameters.values() if id(a) not in shared)

        return self.remember(("fitted", self.dtype, tuple(asked.items())), build)

    def remember(self, key: Hashable, build: Callable[[], tuple[Found, int]]) -> Found:
        """What `build` makes of this model, made once and held with it, until `forget` or until the memo is full.

        Parameters
        ----------
        key : what is made, and from what; models that were derived from one share its memo
        build : gives it with its size in bytes
        """
        value: Found = self._memo.get(key, build)
        return value

    def remembering_with(self, model: Model) -> Model:
        """The same network with the memo of another, so that `model.forget()` frees what is made of this one.

        Parameters
        ----------
        model : the network from which this one was derived
        """
        if self._memo is model._memo:
            return self
        derived: Model = object.__new__(type(self))  # nothing is checked again
        derived.__dict__.update(self.__dict__, _memo=model._memo)
        return derived

    @property
    def remembered(self) -> int:
        """The bytes of what is held for this model."""
        return self._memo.size

    def forget(self) -> None:
        """Free the prepared weights that explainers of this model keep."""
        self._memo.clear()

    def shapes(self, inputs: Mapping[str, Shape] | Shape) -> dict[str, Shape]:
        """The shape of every input's and node's output, batch axis included, for inputs of these shapes.

        Parameters
        ----------
        inputs : for each input its shape, (N, …); or one shape, where the model has one input

        Raises
        ------
        ShapeError
            Where a layer does not fit what it reads; the node is named.
        UnknownNameError
            Where an input is missing, or there is none of that name.
        """
        shapes: dict[str, Shape] = {name: tuple(shape) for name, shape in for_inputs(inputs, self.inputs).items()}
        for node in self.fitted({name: shape[1:] for name, shape in shapes.items()}).nodes:
            try:
                shapes[node.name] = node.layer.shape(*(shapes[name] for name in node.inputs))
            except LrpError as error:
                raise error.at(node.title) from None
        return shapes

    def sample_shapes(self, inputs: Mapping[str, Shape] | Shape) -> Shapes:
        """The shape of one sample at every input and node, worked out once for inputs of these shapes, batch axis included.

        Parameters
        ----------
        inputs : as in `shapes`

        Raises
        ------
        ShapeError
            Where a layer does not fit what it reads; the node is named.
        """
        by_name = {name: tuple(shape) for name, shape in for_inputs(inputs, self.inputs).items()}
        # By the names of the nodes, too: a rewritten model has the memo of the one that it was made from.
        key = ("shapes", tuple(self._named), tuple(shape[1:] for shape in by_name.values()))
        return self.remember(key, lambda: (Shapes({name: shape[1:] for name, shape in self.shapes(by_name).items()}), 0))

    def prepare(self, x: Any) -> dict[str, Array]:
        """The inputs by name, checked and cast to the model's number type.

        Parameters
        ----------
        x : the input, an array (N, …) of floats, whole numbers or `Fraction`; for several inputs a mapping from their names

        Raises
        ------
        ShapeError, NumberTypeError, NonFiniteError, UnknownNameError
            Where they are no inputs of this model.
        """
        arrays = self._cast(x)
        self.shapes_of(arrays)
        return arrays

    def _cast(self, x: Any) -> dict[str, Array]:
        """`prepare` without the check of the shapes."""
        return {
            name: cast_input(value, name, self.dtype, name in self.integer_inputs)
            for name, value in for_inputs(x, self.inputs).items()
        }

    def shapes_of(self, arrays: Mapping[str, Array]) -> Shapes:
        """The shape of one sample at every input and node for these inputs, by name.

        Parameters
        ----------
        arrays : for each input its samples, (N, …)

        Raises
        ------
        ShapeError
            Where one has no batch axis or another shape than the model's, the batch extents differ, or a layer does not fit.
        """
        for name, array in arrays.items():
            if array.ndim == 0:
                raise ShapeError(f"input {name!r} is a single number; samples with a batch axis are needed")
            expected = self.input_shape.get(name)
            if expected is None or array.shape[1:] == expected:
                continue
            hint = ". The batch axis is required: x[None] adds it to a single sample" if array.shape == expected else ""
            wanted = ", ".join(map(str, ("N", *expected)))
            raise ShapeError(f"input {name!r} must have shape ({wanted}), found {array.shape}{hint}")
        batches = {array.shape[0] for array in arrays.values()}
        if len(batches) > 1:
            raise ShapeError(f"the inputs' batch extents differ: {sorted(batches)}")
        return self.sample_shapes({name: array.shape for name, array in arrays.items()})

    def trace(self, x: Any) -> Trace:
        """All activations of one forward pass, read-only: those of every input and node, also where no output depends on them.

        Parameters
        ----------
        x : the input, as in `prepare`

        Raises
        ------
        ShapeError, NumberTypeError, NonFiniteError, UnknownNameError
            Where it is no input of this model.
        ExactnessError
            Where the model computes in rationals and a layer has no rational form; the node is named.
        """
        activations = self.prepare(x)
        for node in self._fitting(activations).nodes:
            activations[node.name] = self.compute(node, [activations[name] for name in node.inputs])
        return Trace(MappingProxyType({name: frozen(array) for name, array in activations.items()}))

    def _fitting(self, arrays: Mapping[str, Array]) -> Model:
        return self.fitted({name: array.shape[1:] for name, array in arrays.items()})

    @staticmethod
    def compute(node: Node, inputs: Sequence[Array]) -> Array:
        """The output of one node, (N, …).

        Parameters
        ----------
        node : the node
        inputs : the arrays that it reads, (N, …), in the order of `node.inputs`

        Raises
        ------
        LrpError
            What the layer's `forward` raises, with the node's name in front of the message.
        """
        try:
            return node.layer.forward(*inputs)
        except LrpError as error:
            raise error.at(node.title) from None

    def __call__(self, x: Any) -> Any:
        """The output for a batch of inputs (a mapping, where there are several outputs): the definition, layer by layer.

        `lrp_ref.Predictor(model)` gives the same within the rounding of floats, and is there for speed.

        What no output depends on is not computed, and an activation is dropped when its last reader has seen it.
        """
        activations = self.prepare(x)
        all_nodes = self._fitting(activations).nodes
        needed = set(self.outputs)
        for node in reversed(all_nodes):
            if node.name in needed:
                needed.update(node.inputs)
        nodes = [node for node in all_nodes if node.name in needed]
        left = Counter(name for node in nodes for name in set(node.inputs))
        for node in nodes:
            activations[node.name] = self.compute(node, [activations[name] for name in node.inputs])
            for name in set(node.inputs):
                left[name] -= 1
                if not left[name] and name not in self.outputs:
                    del activations[name]
        if len(self.outputs) == 1:
            return activations[self.outputs[0]]
        return {name: activations[name] for name in self.outputs}

    def rows(self) -> list[Row]:
        """For each node: name, layer, what it reads, how many parameters."""
        return node_rows(self.nodes)

    def __repr__(self) -> str:
        count = sum({id(n.layer): row[3] for n, row in zip(self.nodes, self.rows(), strict=True)}.values())
        head = f"Model: {len(self.nodes)} nodes, {count} parameters, {self.dtype}"
        about = [
            f"  {name}: {self.input_shape.get(name, 'any shape')}, domain {self.domain.get(name, 'unknown')}"
            for name in self.inputs
        ]
        return "\n".join([head, *about, *text_rows(self.rows())])

    def _repr_html_(self) -> str:
        return html_table(self.rows())


def ancestors(model: Model, *names: str) -> frozenset[str]:
    """The nodes that `names` are computed from, themselves included; inputs of the model are none.

    Parameters
    ----------
    model : the network
    names : nodes of it, or inputs, which have no ancestors

    Raises
    ------
    UnknownNameError
        Where there is no such node.
    """
    names_above: set[str] = set()
    waiting = list(names)
    while waiting:
        current = waiting.pop()
        if current in model.inputs or current in names_above:
            continue
        names_above.add(current)
        waiting += model[current].inputs
    return frozenset(names_above)
