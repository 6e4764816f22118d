"""From the bytes of an ONNX file to a checked record of its graph. The `onnx` package parses, nothing else of it is used here."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ....errors import FormatError, missing_extra
from ....names import escaped
from .onnx_graph import Branch, InputDeclaration, OnnxGraph, OpNode
from .tensors import Store, array_of, split_large_initializers

#: Default budget in bytes, for each tensor and for all initializers together.
BUDGET = 4 * 2**30
OLDEST = 7
#: The newest operator set that the operators here were written for.
NEWEST = 28
#: The domain of the operators that stand for models of scikit-learn and the like.
ML_DOMAIN = "ai.onnx.ml"


def parse_file(source: Any, budget: int, folder: Path | None) -> tuple[Any, Store]:
    """The ModelProto of a file, and where its tensors' bytes are.

    Parameters
    ----------
    source : a path, the bytes of a file, or a ModelProto
    budget : how many bytes the tensors may take
    folder : where external data may lie; None: beside the file

    Raises
    ------
    FormatError
        Where the file is missing or is no ONNX file.
    MissingExtraError
        Where the `onnx` package is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise missing_extra("onnx", "onnx", "reading ONNX files") from None
    if isinstance(source, onnx.ModelProto):
        return source, Store(budget, folder)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        proto, blobs = _parse(data)
        return proto, Store(budget, folder, blobs, data)
    if not isinstance(source, (str, Path)):
        raise FormatError(f"an ONNX model is given as a path, as bytes or as a ModelProto, found {type(source).__name__}")
    path = Path(source)
    try:
        with path.open("rb") as stream:
            if not path.stat().st_size:
                raise FormatError("the file is empty")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                proto, blobs = _parse(mapped)
    except OSError as error:
        raise FormatError(f"the file cannot be read: {error.strerror or error}") from None
    return proto, Store(budget, folder or path.parent, blobs, path)


def _parse(data: bytes | mmap.mmap) -> tuple[Any, dict[str, tuple[int, int]]]:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    file_parts = split_large_initializers(data)
    proto = ModelProto()
    try:
        proto.ParseFromString(data[:] if file_parts is None else file_parts[0])
    except (DecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"this is no readable ONNX file: {error}") from None
    if not proto.HasField("graph"):
        raise FormatError("this is no ONNX file: it holds no graph")
    return proto, {} if file_parts is None else file_parts[1]


def parse_graph(proto: Any, store: Store) -> OnnxGraph:
    """The graph of a ModelProto, checked: versions, names, wiring.

    Parameters
    ----------
    proto : a ModelProto
    store : where its tensors' bytes are

    Raises
    ------
    FormatError
        Where the file is of an unknown version, or the graph has a cycle, reads what does not exist, or defines a name twice.
    """
    opset = _opset(proto)
    if len(proto.functions):
        names = ", ".join(function.name for function in proto.functions[:5])
        raise FormatError(
            f"the file defines functions of its own ({names}, …); onnx.inliner.inline_local_functions(model) inlines them"
        )
    graph = proto.graph
    if len(graph.sparse_initializer):
        raise FormatError("the file has sparse initializers, which are not read; store them as dense ones")
    initializers = {_text(tensor.name): tensor for tensor in graph.initializer}
    inputs = tuple(_declaration(value) for value in graph.input if value.name not in initializers)
    nodes = tuple(_node(entry, store, number) for number, entry in enumerate(graph.node))
    outputs = tuple(_text(value.name) for value in graph.output)
    if not outputs:
        raise FormatError("the graph has no outputs")
    known = [*initializers, *(value.name for value in inputs), *(name for node in nodes for name in node.outputs if name)]
    _check_unique(known)
    ml_opset = max((entry.version for entry in proto.opset_import if entry.domain == ML_DOMAIN), default=0)
    return OnnxGraph(
        opset,
        int(ml_opset),
        _sort_nodes(nodes, set(initializers) | {i.name for i in inputs}),
        inputs,
        outputs,
        initializers,
        store,
    )


def _opset(proto: Any) -> int:
    from onnx import defs

    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    newest = min(NEWEST, defs.onnx_opset_version())
    if not versions:
        raise FormatError("the file does not say which version of ONNX's operators it uses")
    if not OLDEST <= max(versions) <= newest:
        raise FormatError(
            f"the file uses version {max(versions)} of ONNX's operators; versions {OLDEST} to {newest} are read: "
            "export the network again with another opset_version, or convert it with onnx.version_converter"
        )
    return int(max(versions))


def _declaration(value: Any) -> InputDeclaration:
    name, kind = _text(value.name), value.type
    if not kind.HasField("tensor_type"):
        raise FormatError(f"input {value.name!r} is no tensor")
    tensor = kind.tensor_type
    if not tensor.HasField("shape"):
        return InputDeclaration(name, tensor.elem_type, None)
    # PaddlePaddle writes −1 where an extent is open.
    dims = tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in tensor.shape.dim)
    return InputDeclaration(name, tensor.elem_type, dims, tuple(dim.dim_param for dim in tensor.shape.dim))


def _node(entry: Any, store: Store, number: int) -> OpNode:
    kind, domain = _text(entry.op_type), _text(entry.domain)
    op = kind if domain in ("", "ai.onnx") else f"{domain}.{kind}"
    name = _text(entry.name) or f"{kind or 'node'}_{number}"
    attributes = {_text(a.name): _attribute(a, store, f"node {name!r} ({op})") for a in entry.attribute}
    return OpNode(name, op, tuple(map(_text, entry.input)), tuple(map(_text, entry.output)), attributes)


def _text(value: Any) -> str:
    """A name, without control characters; protobuf hands out bytes, or raises, where it is no text."""
    if not isinstance(value, str):
        raise FormatError(f"this is no readable ONNX file: the name {value!r} is no text")
    return escaped(value)


#: AttributeProto's types and the fields that hold their values: float, int, string, tensor, and lists of them.
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}


class UnsupportedAttribute:
    """The value of an attribute of a kind that no operator here has, such as a list of graphs."""


def _branch(graph: Any, store: Store, node_label: str) -> Branch:
    """A graph inside a node; those of loops have inputs of their own, which nothing reads here."""
    constants = {_text(t.name): array_of(t, store, f"{node_label}: its constant {t.name!r}") for t in graph.initializer}
    nodes = tuple(_node(entry, store, number) for number, entry in enumerate(graph.node))
    outputs = tuple(_text(value.name) for value in graph.output)
    inner_names = {*constants, *(_text(value.name) for value in graph.input), *(name for node in nodes for name in node.outputs)}
    captured = dict.fromkeys(name for node in nodes for name in node.reads if name and name not in inner_names)
    captured |= dict.fromkeys(name for name in outputs if name not in inner_names)
    return Branch(nodes, outputs, constants, tuple(captured))


def _attribute(attribute: Any, store: Store, node_label: str) -> Any:
    if attribute.type == 5:
        return _branch(attribute.g, store, node_label)
    if attribute.type not in _FIELDS:
        return UnsupportedAttribute()
    value = getattr(attribute, _FIELDS[attribute.type])
    if attribute.type == 4:
        return array_of(value, store, f"{node_label}: its attribute {attribute.name!r}")
    if attribute.type == 3:
        return value.decode("utf-8", "replace")
    if attribute.type == 8:
        return tuple(text.decode("utf-8", "replace") for text in value)
    return value if attribute.type in (1, 2) else tuple(value)


def _check_unique(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FormatError(f"the name {name!r} is defined twice")
        seen.add(name)


def _sort_nodes(nodes: Sequence[OpNode], sources: set[str]) -> tuple[OpNode, ...]:
    """The nodes in an order in which everything is computed before it is read."""
    maker = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    readers: dict[int, list[int]] = {index: [] for index in range(len(nodes))}
    missing = [0] * len(nodes)
    for index, node in enumerate(nodes):
        for name in set(node.reads) - {""} - sources:
            if name not in maker:
                raise FormatError(
                    f"{node.title} reads {name!r}, which is neither an input, nor an initializer, nor computed by a node"
                )
            readers[maker[name]].append(index)
            missing[index] += 1
    ready = [index for index, count in enumerate(missing) if not count]
    for index in ready:  # grows while it is walked
        for reader in readers[index]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(ready) < len(nodes):
        stuck = [nodes[index].name for index, count in enumerate(missing) if count]
        raise FormatError(f"the graph has a cycle through {', '.join(map(repr, stuck[:10]))}{', …' if len(stuck) > 10 else ''}")
    return tuple(
        nodes[index] for index in (ready if sorted(ready) != ready and _is_unsorted(nodes, sources) else range(len(nodes)))
    )


def _is_unsorted(nodes: Sequence[OpNode], sources: set[str]) -> bool:
    """Whether some node reads what a later one computes."""
    done = set(sources) | {""}
    for node in nodes:
        if not done.issuperset(node.reads):
            return True
        done.update(node.outputs)
    return False
