"""How nodes are wired into a graph: names, arity, and an order in which everything is computed before it is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import GraphError, unknown
from ..layers.base import Layer
from ..lazy_dataclass import lazy_dataclass
from ..names import complaint


@lazy_dataclass(frozen=True, eq=False)
class Node:
    """A layer with a name and the names of what it reads: other nodes, or inputs of the model.

    Parameters
    ----------
    name : a non-empty string that no other node or input of the model has
    layer : what the node computes
    inputs : the names of what it reads, in the order of the layer's inputs; one name may be a string

    Raises
    ------
    GraphError
        Where a name is no string that can be printed, or the layer is none.
    """

    name: str
    layer: Layer
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        inputs = (self.inputs,) if isinstance(self.inputs, str) else tuple(self.inputs)
        object.__setattr__(self, "inputs", inputs)
        for name in (self.name, *inputs):
            _check_name(name)
        check_layer(self.layer, f"node {self.name!r}")

    @property
    def title(self) -> str:
        """How error messages call the node."""
        return f"node {self.name!r} ({type(self.layer).__name__})"


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise GraphError(f"names must be non-empty strings, found {name!r}")
    if wrong := complaint(name):
        raise GraphError(f"the name {name[:40]!r}{'…' if len(name) > 40 else ''} {wrong}")


def check_layer(layer: Any, title: str) -> None:
    """Raise `GraphError` unless `layer` is a layer; the class of one is a common slip."""
    if isinstance(layer, Layer):
        return
    hint = f"; did you mean {layer.__name__}(…)?" if isinstance(layer, type) and issubclass(layer, Layer) else ""
    raise GraphError(f"{title} needs a layer, found {layer!r}{hint}")


def check_names(nodes: tuple[Node, ...], inputs: tuple[str, ...]) -> None:
    """Refuse names that clash or do not exist, and nodes that read another number of inputs than their layers have."""
    for node in nodes:
        if not isinstance(node, Node):
            raise GraphError(f"nodes are Node(name, layer, inputs), found {node!r}; Model.sequential takes bare layers")
    for name in inputs:
        _check_name(name)
    counts = Counter([*inputs, *(node.name for node in nodes)])
    for name, count in counts.items():
        if count > 1:
            raise GraphError(f"the name {name!r} is used {count} times")
    for node in nodes:
        for name in node.inputs:
            if name not in counts:
                raise GraphError(f"{node.title} reads a node that does not exist: {unknown('node or input', name, counts)}")
        if node.layer.arity != len(node.inputs):
            raise GraphError(f"{node.title} has {node.layer.arity} input(s) and reads {len(node.inputs)}: {node.inputs}")


def ordered(nodes: tuple[Node, ...], inputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes in an order in which everything is computed before it is read; the given order where it is one."""
    from heapq import heappop, heappush  # here and not above: importing lrp_ref must stay cheap

    readers: dict[str, list[int]] = {}
    waits = []
    for position, node in enumerate(nodes):
        reads = set(node.inputs).difference(inputs)
        waits.append(len(reads))
        for name in reads:
            readers.setdefault(name, []).append(position)
    ready = [position for position, count in enumerate(waits) if not count]
    order = []
    while ready:
        position = heappop(ready)  # the earliest of those that can be computed
        order.append(nodes[position])
        for reader in readers.get(nodes[position].name, ()):
            waits[reader] -= 1
            if not waits[reader]:
                heappush(ready, reader)
    if len(order) < len(nodes):
        raise GraphError(f"the graph has a cycle: {_cycle([n for n, count in zip(nodes, waits, strict=True) if count])}")
    return tuple(order)


def _cycle(waiting: list[Node]) -> str:
    """One cycle among nodes that all wait for one of them, in the direction in which data would flow."""
    known = {node.name: node for node in waiting}
    name, path = waiting[0].name, dict[str, int]()
    while name not in path:
        path[name] = len(path)
        name = next(read for read in known[name].inputs if read in known)
    loop = [*list(path)[path[name] :], name][::-1]
    return " → ".join(loop if len(loop) <= 12 else [*loop[:10], "…", loop[-1]])


def underflow_remarks(nodes: Iterable[Node], cast: Iterable[Node]) -> tuple[str, ...]:
    """Remarks on parameters that are not 0, and are 0 in the number type that the same nodes are cast to."""
    remarks = []
    for node, other in zip(nodes, cast, strict=True):
        theirs = other.layer.parameters
        for name, value in node.layer.parameters.items():
            lost = 0 if value.dtype == theirs[name].dtype else int(np.count_nonzero((value != 0) & (theirs[name] == 0)))
            if lost:
                remarks.append(f"{node.title}: {lost} of {value.size} numbers of {name} are 0 in {theirs[name].dtype}")
    return tuple(remarks)


def default_names(layers: Iterable[Layer]) -> tuple[str, ...]:
    """Names for layers without names: their class names in lower case, counted, as conv1, relu1, conv2.

    Parameters
    ----------
    layers : the layers, in computing order
    """
    counts: Counter[str] = Counter()
    names = []
    for layer in layers:
        kind = re.sub(r"\W", "", type(layer).__name__).lower()
        counts[kind] += 1
        names.append(f"{kind}{counts[kind]}")
    return tuple(names)


def check_outputs(outputs: tuple[str, ...], nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """The names of the outputs; those that clash or do not exist are refused."""
    if not nodes:
        raise GraphError("a model needs at least one node")
    if not outputs or len(set(outputs)) != len(outputs):
        raise GraphError(f"outputs must be different nodes, at least one, found {outputs}")
    known = {node.name: node for node in nodes}
    for name in outputs:
        if name not in known:
            raise unknown("output", name, known)
    return outputs
