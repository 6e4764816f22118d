"""Elements picked by their places in memory, as PyTorch exports `as_strided` (so it pools images that have channels last).

The file puts all samples in one row and picks from it by numbers that it computes from the batch: n·size + a place in sample n.
The numbers are worked out for one sample and for three. Where each sample picks from itself, and all pick alike, this is a
`Gather` in every sample; where not, it mixes samples and is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....arrays import Array
from ....errors import FormatError
from ....layers import Flatten, Gather, Identity, Reshape
from ..read.onnx_graph import OnnxGraph, OpNode
from ..translate.builder import BATCH, Tensor, Value
from ..translate.constant_folding import FOLDS, fold
from ..translate.nodes import MissingValue, translate_nodes
from ..translate.operator_call import Call
from ..translate.registry import Operator

AS_STRIDED = "AsStrided"
#: How many nodes may compute the numbers; exporters write a dozen.
MOST = 64


@dataclass(frozen=True, eq=False)
class Places:
    """The nodes that compute which elements are picked, from constants and from the shapes of signals."""

    nodes: tuple[OpNode, ...]
    name: str
    constants: Mapping[str, Array]
    signals: tuple[str, ...]
    versions: Mapping[str, int]
    operators: Mapping[tuple[str, int], Operator]

    def of(self, call: Call, batch: int) -> Array:
        """The numbers of the elements that a batch picks from its one row.

        Parameters
        ----------
        call : the Gather
        batch : how many samples

        Raises
        ------
        FormatError
            Where they are not known at load.
        """
        signals = {name: call.value(index) for index, name in enumerate(self.signals, start=1)}
        values: dict[str, Value | MissingValue] = {**self.constants, **signals}
        translate_nodes(self.nodes, values, replace(call.builder, batch=batch), self.versions, self.operators, fold)
        indices = values[self.name]
        if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu" or not indices.ndim:
            raise FormatError("the indices that it picks must be constant integers")
        return indices


def replace_as_strided(
    nodes: Sequence[OpNode], graph: OnnxGraph, versions: Mapping[str, int], operators: Mapping[tuple[str, int], Operator]
) -> tuple[OpNode, ...]:
    """The nodes of a file, in which a pair of Reshape to one row and Gather from it is one node of the kind `AS_STRIDED`.

    Parameters
    ----------
    nodes : in computing order
    versions, operators : what computes the numbers
    """
    maker = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}

    def maker_of(name: str) -> OpNode | None:
        return nodes[maker[name]] if name in maker else None

    new_nodes = []
    for node in nodes:
        picks = node.op == "Gather" and len(node.inputs) == 2 and node.attributes.get("axis", 0) == 0
        row = maker_of(node.inputs[0]) if picks else None
        if row is None or row.inputs[0] in graph.initializers or not _is_one_row(row, maker_of, graph):
            new_nodes.append(node)
            continue
        below, constants, signals = _below(node.inputs[1], maker_of, graph)
        ordered = tuple(nodes[index] for index in sorted(maker[name] for name in below))
        places = Places(ordered, node.inputs[1], constants, signals, versions, operators)
        new_nodes.append(replace(node, op=AS_STRIDED, inputs=(row.inputs[0], *signals), attributes={"places": places}))
    return tuple(new_nodes)


def _is_one_row(node: OpNode, maker_of: Callable[[str], OpNode | None], graph: OnnxGraph) -> bool:
    """Whether a node is Reshape(x, [-1])."""
    if node.op != "Reshape" or len(node.inputs) != 2:
        return False
    maker, name = maker_of(node.inputs[1]), node.inputs[1]
    target = graph.constant(name) if name in graph.initializers else None if maker is None else maker.attributes.get("value")
    return isinstance(target, np.ndarray) and target.shape == (1,) and target.dtype.kind == "i" and int(target[0]) == -1


def _below(
    name: str, maker_of: Callable[[str], OpNode | None], graph: OnnxGraph
) -> tuple[set[str], dict[str, Array], tuple[str, ...]]:
    """The names of the values that `name` is computed from: nodes down to shapes of signals, constants, signals."""
    nodes: dict[int, str] = {}
    constants: dict[str, Array] = {}
    signals: dict[str, None] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        node = maker_of(current)
        if current in graph.initializers:
            constants[current] = graph.constant(current)
        elif node is None or node.op not in FOLDS or len(nodes) > MOST:
            signals[current] = None
        elif id(node) not in nodes:
            nodes[id(node)] = current
            shapes = node.op in ("Shape", "Size")
            signals |= dict.fromkeys(node.inputs if shapes else ())
            waiting += [] if shapes else [read for read in node.inputs if read]
    return set(nodes.values()), constants, tuple(signals)


def as_strided(call: Call) -> Tensor:
    """A Gather in each sample, for a node of the kind `AS_STRIDED`.

    Parameters
    ----------
    call : the node

    Raises
    ------
    FormatError
        Where it picks elements of one sample for another.
    """
    x, places = call.image(), call.node.attributes["places"]
    counts, size = (1, 3) if call.builder.batch == BATCH else (call.builder.batch or 1,), math.prod(x.shape)
    positions_by_batch = [places.of(call, count) for count in counts]
    first_sample = positions_by_batch[0][:1]
    for count, positions in zip(counts, positions_by_batch, strict=True):
        expected = first_sample + size * np.arange(count).reshape(-1, *(1,) * (first_sample.ndim - 1))
        if positions.shape != expected.shape or (positions != expected).any():
            raise FormatError("it moves elements between samples: it does not pick the same elements of each")
    if not first_sample.size or first_sample.min() < 0 or first_sample.max() >= size:
        raise FormatError("it moves elements between samples, or picks none")
    shape, cells = first_sample.shape[1:], tuple(int(cell) for cell in first_sample.reshape(-1))
    call.builder.check(shape, "its output")
    if cells == tuple(range(size)):
        return call.emit(Identity() if shape == x.shape else Reshape(shape), x)
    row = call.emit(Flatten(), x, suffix="row")
    return call.emit(Reshape(shape), call.emit(Gather(cells, 1), row, suffix="picked"))
