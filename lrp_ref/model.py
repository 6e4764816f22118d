"""A network: named nodes wired into a directed acyclic graph."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from .arrays import Array, Shape, check_finite, fractions, frozen, is_exact, parameter
from .errors import DomainError, GraphError, LrpError, NumberTypeError, ShapeError, UnknownNameError, unknown
from .layers.base import Layer
from .memo import Memo


@dataclass(frozen=True, eq=False)
class Node:
    """A layer with a name and the names of what it reads: other nodes, or inputs of the model."""

    name: str
    layer: Layer
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)
        object.__setattr__(self, "inputs", given)

    @property
    def place(self) -> str:
        """How error messages call the node."""
        return f"node {self.name!r} ({type(self.layer).__name__})"


@dataclass(frozen=True, eq=False)
class Domain:
    """The values that an input can take: low ≤ x ≤ high, numbers or arrays that broadcast against one sample."""

    low: Any
    high: Any

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, parameter(getattr(self, name), f"Domain.{name}"))
        if not np.all(self.low <= self.high):
            raise DomainError(f"a domain needs low ≤ high, found low = {self.low}, high = {self.high}")

    @classmethod
    def of(cls, value: Any) -> Domain:
        """A domain from a `Domain` or a (low, high) pair."""
        if isinstance(value, Domain):
            return value
        try:
            low, high = value
        except (TypeError, ValueError):
            raise DomainError(f"a domain is a pair (low, high), found {value!r}") from None
        return cls(low, high)

    def __reduce__(self) -> tuple[Any, ...]:
        return Domain, (self.low, self.high)

    def __repr__(self) -> str:
        low, high = (b.item() if b.ndim == 0 else f"array{list(b.shape)}" for b in (self.low, self.high))
        return f"[{low}, {high}]"


@dataclass(frozen=True, eq=False)
class Trace:
    """All activations of one forward pass, by node name; inputs of the model included."""

    activations: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        if name not in self.activations:
            raise unknown("node", name, self.activations)
        return self.activations[name]


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A network as a graph of layers. Calling it predicts.

    Parameters
    ----------
    nodes : the nodes, in any order; names must be unique. A layer used twice is two nodes that share weights
    inputs : the names of the model's inputs
    outputs : the names of the nodes that are outputs; None: those that nobody reads
    domain : for each input a (low, high) pair, or one pair for the only input
    input_shape : for each input the shape of one sample, or one shape for the only input

    Raises
    ------
    GraphError
        Where names clash or are missing, or the graph has a cycle.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...] = ("input",)
    outputs: tuple[str, ...] = None  # type: ignore[assignment]
    domain: Mapping[str, Domain] = None  # type: ignore[assignment]
    input_shape: Mapping[str, Shape] = None  # type: ignore[assignment]
    _memo: Memo = field(default_factory=Memo, init=False)

    def __post_init__(self) -> None:
        inputs = (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)
        nodes = _sorted(tuple(self.nodes), inputs)
        read = {name for node in nodes for name in node.inputs}
        outputs = self.outputs if self.outputs is not None else [n.name for n in nodes if n.name not in read]
        outputs = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        known = {node.name for node in nodes}
        for name in outputs:
            if name not in known:
                raise unknown("output", name, known)
        if not outputs:
            raise GraphError("a model needs at least one node")
        domain = {k: Domain.of(v) for k, v in _by_input(self.domain, inputs, (Domain, tuple, list)).items()}
        shapes = _by_input(self.input_shape, inputs, (tuple, list))
        shapes = {name: tuple(int(extent) for extent in shape) for name, shape in shapes.items()}
        for name, value in (
            ("nodes", nodes),
            ("inputs", inputs),
            ("outputs", outputs),
            ("domain", MappingProxyType(domain)),
            ("input_shape", MappingProxyType(shapes)),
        ):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self.nodes, self.inputs, self.outputs, dict(self.domain), dict(self.input_shape))

    @classmethod
    def sequential(
        cls, layers: Iterable[Layer], names: Sequence[str] | None = None, *, domain: Any = None, input_shape: Any = None
    ) -> Model:
        """Layers one after the other; the default names are conv1, relu1, conv2, …"""
        layers = tuple(layers)
        names = default_names(layers) if names is None else tuple(names)
        if len(names) != len(layers):
            raise GraphError(f"{len(layers)} layers need as many names, found {len(names)}")
        before = ("input", *names)
        nodes = tuple(Node(n, layer, (b,)) for n, layer, b in zip(names, layers, before, strict=False))
        return cls(nodes, domain=domain, input_shape=input_shape)

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise unknown("node", name, [node.name for node in self.nodes])

    def __contains__(self, name: str) -> bool:
        return any(node.name == name for node in self.nodes)

    def readers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read the node or input `name`."""
        return tuple(node for node in self.nodes if name in node.inputs)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The number type that the model computes in: that of its parameters, float64 where it has none."""
        kinds = {value.dtype for node in self.nodes for value in node.layer.parameters.values()}
        if np.dtype(object) in kinds:
            return np.dtype(object)
        return np.dtype(np.result_type(*kinds)) if kinds else np.dtype(np.float64)

    def astype(self, dtype: Any) -> Model:
        """The same model in float64, float32 or exact rationals (`object`); shared layers stay shared."""
        if np.dtype(dtype) not in (np.float32, np.float64, np.dtype(object)):
            raise NumberTypeError(f"a model computes in float64, float32 or object (Fraction), not {dtype}")
        cast = {id(node.layer): node.layer.astype(dtype) for node in self.nodes}
        nodes = tuple(Node(node.name, cast[id(node.layer)], node.inputs) for node in self.nodes)
        return Model(nodes, self.inputs, self.outputs, dict(self.domain), dict(self.input_shape))

    def forget(self) -> None:
        """Free the prepared weights that explainers of this model keep."""
        self._memo.clear()

    def shapes(self, inputs: Mapping[str, Shape] | Shape) -> dict[str, Shape]:
        """The shape of every input's and node's output, batch axis included, for inputs of these shapes."""
        found: dict[str, Shape] = dict(inputs) if isinstance(inputs, Mapping) else {self.inputs[0]: tuple(inputs)}
        for node in self.nodes:
            try:
                found[node.name] = node.layer.shape(*(found[name] for name in node.inputs))
            except LrpError as error:
                raise error.at(node.place) from None
        return found

    def prepare(self, x: Any) -> dict[str, Array]:
        """The inputs by name, checked and cast to the model's number type."""
        if isinstance(x, Mapping):
            for name in x:
                if name not in self.inputs:
                    raise unknown("input", name, self.inputs)
            missing = [name for name in self.inputs if name not in x]
            if missing:
                raise UnknownNameError(f"the model also needs the input(s) {', '.join(missing)}")
            given = dict(x)
        elif len(self.inputs) == 1:
            given = {self.inputs[0]: x}
        else:
            raise UnknownNameError(f"the model has {len(self.inputs)} inputs; give a mapping with {', '.join(self.inputs)}")
        arrays = {name: self._cast(given[name], name) for name in self.inputs}
        self._check_shapes(arrays)
        return arrays

    def _cast(self, value: Any, name: str) -> Array:
        array = np.asarray(value)
        if is_exact(array) and not is_exact(np.empty(0, self.dtype)):
            raise NumberTypeError(
                f"input {name!r} holds Python objects and the model computes in {self.dtype}; "
                "model.astype(object) computes in exact rationals"
            )
        if array.dtype.kind not in "fO":
            raise NumberTypeError(
                f"input {name!r} has the number type {array.dtype}; convert it, as in x.astype(np.{np.dtype(self.dtype).name})"
                if array.dtype.kind in "iub" and self.dtype != object
                else f"input {name!r} has the number type {array.dtype}; floating point numbers (or Fractions) are needed"
            )
        check_finite(array, f"input {name!r}")
        return fractions(array) if self.dtype == object else np.ascontiguousarray(array, dtype=self.dtype)

    def _check_shapes(self, arrays: Mapping[str, Array]) -> None:
        for name, array in arrays.items():
            if array.ndim == 0:
                raise ShapeError(f"input {name!r} is a single number; samples with a batch axis are needed")
            expected = self.input_shape.get(name)
            if expected is None or array.shape[1:] == expected:
                continue
            hint = ". The batch axis is required: x[None] adds it to a single sample" if array.shape == expected else ""
            raise ShapeError(f"input {name!r} must have shape (N, {', '.join(map(str, expected))}), found {array.shape}{hint}")
        batches = {array.shape[0] for array in arrays.values()}
        if len(batches) > 1:
            raise ShapeError(f"the inputs' batch extents differ: {sorted(batches)}")
        self.shapes({name: array.shape for name, array in arrays.items()})

    def trace(self, x: Any) -> Trace:
        """Predict, and keep all activations."""
        found = self.prepare(x)
        for node in self.nodes:
            found[node.name] = self.compute(node, [found[name] for name in node.inputs])
        return Trace(MappingProxyType({name: frozen(array) for name, array in found.items()}))

    @staticmethod
    def compute(node: Node, inputs: Sequence[Array]) -> Array:
        """One node's output; errors name the node."""
        try:
            return node.layer.forward(*inputs)
        except LrpError as error:
            raise error.at(node.place) from None

    def __call__(self, x: Any) -> Any:
        """The output for a batch of inputs (a mapping, where there are several outputs)."""
        left = Counter(name for node in self.nodes for name in set(node.inputs))
        found = self.prepare(x)
        for node in self.nodes:
            found[node.name] = self.compute(node, [found[name] for name in node.inputs])
            for name in set(node.inputs):
                left[name] -= 1
                if not left[name] and name not in self.outputs:
                    del found[name]
        if len(self.outputs) == 1:
            return found[self.outputs[0]]
        return {name: found[name] for name in self.outputs}

    def rows(self) -> list[tuple[str, str, str, int]]:
        """For each node: name, layer, what it reads, how many parameters."""
        return [
            (n.name, repr(n.layer), ", ".join(n.inputs), sum(v.size for v in n.layer.parameters.values())) for n in self.nodes
        ]

    def __repr__(self) -> str:
        count = sum({id(n.layer): row[3] for n, row in zip(self.nodes, self.rows(), strict=True)}.values())
        head = f"Model: {len(self.nodes)} nodes, {count} parameters, {self.dtype}"
        about = [f"  {name}: {self.input_shape.get(name, 'any shape')}, domain {self.domain.get(name, 'unknown')}" for name in self.inputs]
        width = max(len(n.name) for n in self.nodes)
        lines = [f"  {name:<{width}}  {layer}  ← {reads}" for name, layer, reads, _ in self.rows()]
        return "\n".join([head, *about, *lines])

    def _repr_html_(self) -> str:
        from html import escape

        body = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(layer)}</td><td>{escape(reads)}</td><td>{count}</td></tr>"
            for name, layer, reads, count in self.rows()
        )
        return f"<table><tr><th>node</th><th>layer</th><th>reads</th><th>parameters</th></tr>{body}</table>"


def default_names(layers: Iterable[Layer]) -> tuple[str, ...]:
    """conv1, relu1, conv2, …: the layers' class names in lower case, counted."""
    counts: Counter[str] = Counter()
    names = []
    for layer in layers:
        kind = re.sub(r"\W", "", type(layer).__name__).lower()
        counts[kind] += 1
        names.append(f"{kind}{counts[kind]}")
    return tuple(names)


def _by_input(value: Any, inputs: tuple[str, ...], single: tuple[type, ...]) -> dict[str, Any]:
    """A mapping by input name from a mapping, from one value for the only input, or from None."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        for name in value:
            if name not in inputs:
                raise unknown("input", name, inputs)
        return dict(value)
    if isinstance(value, single) and len(inputs) == 1:
        return {inputs[0]: value}
    raise GraphError(f"expected a mapping from the inputs {', '.join(inputs)}, found {value!r}")


def _sorted(nodes: tuple[Node, ...], inputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes in an order in which everything is computed before it is read; the given order where it is one."""
    counts = Counter([*inputs, *(node.name for node in nodes)])
    for name, count in counts.items():
        if not isinstance(name, str) or not name:
            raise GraphError(f"names must be non-empty strings, found {name!r}")
        if count > 1:
            raise GraphError(f"the name {name!r} is used {count} times")
    for node in nodes:
        for name in node.inputs:
            if name not in counts:
                raise GraphError(f"{node.place} reads {name!r}, which does not exist; known: {', '.join(counts)}")
        if node.layer.arity != len(node.inputs):
            raise GraphError(f"{node.place} has {node.layer.arity} input(s) and reads {len(node.inputs)}: {node.inputs}")
    done, order, waiting = set(inputs), [], list(nodes)
    while waiting:
        ready = [node for node in waiting if all(name in done for name in node.inputs)]
        if not ready:
            raise GraphError(f"the graph has a cycle through {', '.join(node.name for node in waiting)}")
        order += ready
        done |= {node.name for node in ready}
        waiting = [node for node in waiting if node.name not in done]
    return tuple(order)
