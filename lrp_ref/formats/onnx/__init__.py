"""Reading ONNX files: a network from any framework as a `Model`, to be explained without that framework.

The `onnx` package (extra `onnx`) parses the file; everything else is done here. A file is data from outside: names, wiring,
types, extents and sizes are checked before they are believed, and what cannot be represented is refused by name, all of it in
one message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Array, Shape
from ...errors import FormatError, LrpError, unknown
from ...layers.shape import Identity
from ...model import Model, Node
from .batches import batch_first, places_of
from .call import BATCH, Builder, Tensor, Value
from .folding import fold
from .graph import Broken, run
from .labels import picked_from, scores_of
from .operators import FOLDED, FOREIGN, HINTS, OPERATORS, OTHERS
from .patterns import recognised
from .reader import BUDGET, LEARNED, Declared, OpNode, Record, needed, read, record
from .strided import AS_STRIDED, as_strided, unstrided
from .tensors import FLOATS, kind_name
from .wrapped import Compute, unwrapped

__all__ = ["BUDGET", "load"]


def load(
    source: Any,
    *,
    outputs: str | Sequence[str] | None = None,
    input_shape: Mapping[str, Shape] | Shape | None = None,
    batched: bool = True,
    batch_axis: Mapping[str, int] | int = 0,
    patterns: bool = True,
    folder: str | Path | None = None,
    budget: int = BUDGET,
) -> Model:
    """Read an ONNX model.

    Parameters
    ----------
    source : a path, the bytes of a file, or an `onnx.ModelProto`
    outputs : names of the values (outputs or any others) that the model computes; None: the file's outputs, without those that
        pick indices (ArgMax, TopK)
    input_shape : of one sample, for each input or for the only one, where the file leaves extents open. A recurrent network whose
        nodes are the same for every extent needs none, and takes sequences of any length
    batched : whether the first axis of every input is the batch axis; False: the file describes a single sample, and the model
        gets a batch axis in front
    batch_axis : which axis of every input, or of each by name, is the batch; 1 where sequences come first, (T, N, features). The
        model's own is the first, that of its outputs too
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
    place = f"{source}: " if isinstance(source, (str, Path)) else ""
    try:
        proto, store = read(source, budget, None if folder is None else Path(folder))
        return _model(record(proto, store), outputs, input_shape, batched, batch_axis, patterns, budget)
    except UnicodeDecodeError:  # protobuf finds out when a name is read
        raise FormatError(f"{place}this is no readable ONNX file: a name in it is no text") from None
    except FormatError as error:
        raise FormatError(f"{place}{error}") from None


def _model(
    graph: Record,
    outputs: str | Sequence[str] | None,
    input_shape: Any,
    batched: bool,
    batch_axis: Any,
    patterns: bool,
    budget: int,
) -> Model:
    chosen = _chosen(graph, outputs)
    nodes = needed(graph, chosen)
    versions = _versions(nodes, graph.opset, graph.learned)
    nodes = needed(replace(graph, nodes=unwrapped(graph, nodes, _constants(graph, budget, versions))), chosen)
    if batched:
        nodes = needed(replace(graph, nodes=unstrided(nodes, graph, versions, OPERATORS)), chosen)
    used = {name for node in nodes for name in node.inputs} | set(chosen)
    inputs = [value for value in graph.inputs if value.name in used]
    if not inputs:
        raise FormatError("the outputs depend on no input")
    if input_shape is None and batched and any(node.op in ("GRU", "LSTM", "RNN") for node in nodes):
        places = places_of(batch_axis, inputs)
        dims = {value.name: batch_first(value.dims, places[value.name]) for value in inputs}
        if any(extent is None for shape in dims.values() for extent in (shape or ())[1:]):
            return _of_any_length(dims, lambda shapes: _model(graph, outputs, shapes, batched, batch_axis, patterns, budget))
    places = places_of(batch_axis, inputs) if batched else {}
    inputs = [replace(value, dims=batch_first(value.dims, places.get(value.name, 0))) for value in inputs]
    batch = _batch(inputs) if batched else None
    double = any(value.kind == 11 for value in inputs)
    builder = Builder(np.dtype(np.float64 if double else np.float32), budget, batch, graph.opset)
    values: dict[str, Value | Broken] = {n: graph.constant(n) for n in graph.initializers if n in used}
    shapes = _given_shapes(input_shape, [value.name for value in inputs])
    for value in inputs:
        shape = _sample_shape(value, shapes.get(value.name), batched, nodes)
        values[value.name] = builder.given(value.name, shape, places.get(value.name, 0), value.kind not in FLOATS)
    nodes = tuple(replace(node, outputs=tuple(name if name in used else "" for name in node.outputs)) for node in nodes)
    run(nodes, values, builder, versions | {AS_STRIDED: 1}, OPERATORS | {(AS_STRIDED, 1): as_strided}, fold)
    found = _named_outputs(builder, chosen, values, any(places.values()))
    kept = {value.name: value.shape for value in (builder.tensors[i.name] for i in inputs)}
    try:
        model = Model(tuple(found), tuple(kept), chosen, input_shape=kept)
    except LrpError as error:
        raise FormatError(str(error)) from None
    return recognised(model) if patterns else model


def _constants(graph: Record, budget: int, versions: Mapping[str, int]) -> Compute:
    """What nodes compute where nothing depends on an input."""

    def compute(nodes: Sequence[OpNode], given: dict[str, Array], name: str) -> Array:
        values: dict[str, Value | Broken] = dict(given)
        run(nodes, values, Builder(np.dtype(np.float64), budget, None, graph.opset), versions, OPERATORS, fold)
        return np.asarray(values[name])

    return compute


def _of_any_length(dims: Mapping[str, tuple[int | None, ...] | None], read: Callable[[Any], Model]) -> Model:
    """A recurrent network whose steps the file leaves open: read for two numbers of steps, it must be the same both times."""
    made = [
        read({name: tuple(steps if extent is None else extent for extent in (shape or ())[1:]) for name, shape in dims.items()})
        for steps in (5, 7)
    ]
    if not all(_same(a, b) for a, b in zip(*(model.nodes for model in made), strict=False)) or len(made[0].nodes) != len(
        made[1].nodes
    ):
        raise FormatError("the network is another for every number of steps: give input_shape=, the shape of one sample")
    fixed = {name: shape for name, shape in made[0].input_shape.items() if None not in (dims[name] or ())[1:]}
    return replace(made[0], input_shape=fixed)


def _same(one: Node, other: Node) -> bool:
    if (one.name, one.inputs, repr(one.layer)) != (other.name, other.inputs, repr(other.layer)):
        return False
    theirs = other.layer.parameters
    return all(np.array_equal(value, theirs[name]) for name, value in one.layer.parameters.items())


def _chosen(graph: Record, outputs: str | Sequence[str] | None) -> tuple[str, ...]:
    """The values that the model computes."""
    makers = {name: node for node in graph.nodes for name in node.outputs if name}
    if outputs is not None:
        names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        for name in names:
            if name not in makers:
                raise FormatError(str(unknown("output", name, makers)))
        if len(set(names)) != len(names) or not names:
            raise FormatError(f"outputs must be different names, found {names}")
        return names
    for name in graph.outputs:
        if name not in makers:
            raise FormatError(f"the output {name!r} is computed by no node")
    # A class label beside the scores is no score: it is left out, and explained is what it picks from.
    picked = {name: picked_from(name, makers) for name in graph.outputs}
    scores = [scores_of(name, makers) for name, source in picked.items() if source is None]
    if not scores:
        scores = [scores_of(source, makers) for source in picked.values() if source is not None]
        if any(name not in makers for name in scores):
            raise FormatError("the outputs are indices picked from an input or a constant")
    return tuple(dict.fromkeys(scores))


def _versions(nodes: Sequence[OpNode], opset: int, learned: int = 0) -> dict[str, int]:
    """The version of every operator's schema, for the versions of ONNX's own and of ai.onnx.ml's operators.

    Raises
    ------
    FormatError
        Where operators are not known; all are listed, with what would help.
    """
    from onnx import defs

    found, wrong = {}, {}
    for node in nodes:
        if node.op in found or node.op in wrong:
            continue
        try:
            own = not node.op.startswith(f"{LEARNED}.")
            schema = (node.op, opset) if own else (node.op[len(LEARNED) + 1 :], learned, LEARNED)
            found[node.op] = int(defs.get_schema(*schema).since_version)
        except defs.SchemaError:
            foreign = "." in node.op and own
            wrong[node.op] = FOREIGN if foreign else f"ONNX has no such operator in version {schema[1]}"
            continue
        known = (node.op, found[node.op]) in OPERATORS or node.op in FOLDED
        if not known:
            newer = any(op == node.op for op, _ in OPERATORS)
            wrong[node.op] = f"its schema of version {found[node.op]} is not known yet" if newer else HINTS.get(node.op, OTHERS)
    if wrong:
        counts = Counter(node.op for node in nodes)
        listed = [f"{op} ({counts[op]}×: {hint})" for op, hint in sorted(wrong.items())]
        raise FormatError(f"the network uses operators that are not read: {'; '.join(listed)}")
    return found


def _batch(inputs: Sequence[Declared]) -> int:
    """The extent that stands for the batch axis: the one that the file fixes, or the symbol."""
    extents = {value.dims[0] for value in inputs if value.dims}
    if any(value.dims == () for value in inputs):
        raise FormatError("an input is a single number and has no batch axis; batched=False gives every input one")
    fixed = extents - {None, 0}
    if len(fixed) > 1:
        raise FormatError(
            f"the inputs' first extents differ ({sorted(map(str, fixed))}): they are no batch; batched=False gives them one"
        )
    # Where one input leaves the batch open, so do all.
    return next(iter(fixed)) if fixed and None not in extents else BATCH  # type: ignore[return-value]


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


def _sample_shape(value: Declared, given: Shape | None, batched: bool, nodes: Sequence[OpNode]) -> Shape:
    """The shape of one sample of an input, checked: a network of unknown extents cannot be laid out."""
    whole = all(
        node.op in ("Cast", "Gather", "Shape") or node.inputs[4:5] == (value.name,) for node in nodes if value.name in node.inputs
    )
    if value.kind not in FLOATS and not (whole and value.kind in range(2, 14)):
        raise FormatError(
            f"input {value.name!r} holds {kind_name(value.kind)} values; only floating point inputs can be explained"
        )
    declared = None if value.dims is None else value.dims[1:] if batched else value.dims
    if given is not None:
        fits = declared is None or (
            len(declared) == len(given) and all(d in (None, g) for d, g in zip(declared, given, strict=True))
        )
        if not fits or min(given, default=1) < 1:
            raise FormatError(f"input_shape {given} does not fit input {value.name!r}, which the file declares as {declared}")
        return given
    if declared is None or None in declared or 0 in declared:
        shown = "any shape" if declared is None else f"({', '.join('?' if d is None else str(d) for d in declared)})"
        raise FormatError(f"input {value.name!r} has samples of shape {shown}: give input_shape=, the shape of one sample")
    return tuple(extent for extent in declared if extent is not None)


def _named_outputs(builder: Builder, chosen: Sequence[str], values: Mapping[str, Value | Broken], moved: bool) -> list[Node]:
    """The nodes, those that compute outputs under the outputs' names; `moved`: whether the file is known to be sequence first."""
    renamed: dict[str, str] = {}
    extra: list[tuple[str, str]] = []
    for name in chosen:
        value = values.get(name)
        if isinstance(value, Broken) and value.why:
            raise FormatError(value.why.removeprefix("it reads "))
        if not isinstance(value, Tensor):
            raise FormatError(f"the output {name!r} does not depend on the network's input")
        if value.place and not moved:
            raise FormatError(
                f"the output {name!r} has its batch along axis {value.place}: the network moves the batch axis, and samples are "
                "explained one by one"
            )
        if value.name in builder.nodes and value.name not in renamed:
            renamed[value.name] = name
        else:
            extra.append((name, value.name))
    taken = set(chosen)
    for old in builder.nodes:
        if old in taken and old not in renamed:
            renamed[old] = builder.unique(f"{old}_node")
    new = {name: renamed.get(name, name) for name in builder.tensors}
    made = [Node(new[n.name], n.layer, tuple(new[i] for i in n.inputs)) for n in builder.nodes.values()]
    made += [Node(name, Identity(), (new[source],)) for name, source in extra]
    wanted = set(chosen)
    for node in reversed(made):  # what no output depends on is left out
        if node.name in wanted:
            wanted.update(node.inputs)
    return [node for node in made if node.name in wanted]
