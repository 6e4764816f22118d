"""The native format: one `.npz` with a JSON description of the graph and one member per array.

Nothing in it is code and nothing is unpickled. Everything is checked before it is believed: sizes before memory is taken, the JSON
before layers are made, the graph by `Model` itself.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from .. import layers as layer_module
from ..arrays import Array, is_exact
from ..errors import ExistingFileError, FormatError, LrpError, NumberTypeError, ParameterError
from ..layers.base import Layer
from ..model import Model, Node

FORMAT, VERSION = "lrp_ref.model", 1
BUDGET = 4 * 2**30  # bytes that the members of a file may take when unpacked
GRAPH_BUDGET = 16 * 2**20  # bytes that the JSON may take
MEMBERS = 100_000

LAYERS: dict[str, type[Layer]] = {
    name: kind
    for name in layer_module.__all__
    if isinstance(kind := getattr(layer_module, name), type) and not getattr(kind, "__abstractmethods__", None)
}


def save(model: Model, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write `model` (float32 or float64) to `path`, which ends in `.npz`.

    Raises
    ------
    ExistingFileError
        Where the file exists and `overwrite` is not set.
    FormatError
        Where the model has layers that the format does not know, or exact rationals.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise ParameterError(f"a model is saved as .npz, found {target}")
    if target.exists() and not overwrite:
        raise ExistingFileError(f"{target} exists; overwrite=True replaces it")
    graph, arrays = describe(model)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, graph=np.array(json.dumps(graph)), **arrays)  # type: ignore[arg-type]
    target.write_bytes(buffer.getvalue())
    return target


def describe(model: Model) -> tuple[dict[str, Any], dict[str, Array]]:
    """The graph as plain data, and its arrays by member name. Arrays that nodes share are written once."""
    arrays: dict[str, Array] = {}
    layers: dict[int, int] = {}
    described: list[dict[str, Any]] = []
    nodes = []
    for node in model.nodes:
        if id(node.layer) not in layers:
            layers[id(node.layer)] = len(described)
            described.append(_describe_layer(node, len(described), arrays))
        nodes.append({"name": node.name, "layer": layers[id(node.layer)], "inputs": list(node.inputs)})
    domain = {}
    for name, bounds in model.domain.items():
        for end in ("low", "high"):
            arrays[f"domain/{name}/{end}"] = np.asarray(getattr(bounds, end))
        domain[name] = {end: f"domain/{name}/{end}" for end in ("low", "high")}
    graph = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "input_shape": {name: list(shape) for name, shape in model.input_shape.items()},
        "domain": domain,
        "layers": described,
        "nodes": nodes,
    }
    return graph, arrays


def _describe_layer(node: Node, index: int, arrays: dict[str, Array]) -> dict[str, Any]:
    kind = type(node.layer).__name__
    if LAYERS.get(kind) is not type(node.layer):
        raise FormatError(f"{node.place}: the .npz format does not know this layer")
    options, members = {}, {}
    for field in fields(node.layer):
        value = getattr(node.layer, field.name)
        if isinstance(value, np.ndarray):
            if is_exact(value):
                raise NumberTypeError(f"{node.place}: rationals are not saved; model.astype(np.float64) first")
            member = f"layers/{index}/{field.name}"
            arrays[member] = np.ascontiguousarray(value) if value.ndim else np.asarray(value)
            members[field.name] = member
        elif value != field.default:
            options[field.name] = float(value) if not isinstance(value, (int, str, tuple, bool, type(None))) else value
    return {"kind": kind, "options": options, "arrays": members}


def load(path: str | Path, *, budget: int = BUDGET) -> Model:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : the file
    budget : how many bytes its members may take when unpacked

    Raises
    ------
    FormatError
        Where the file is missing, truncated, foreign, too large, of a newer version, or describes a network that cannot be.
    """
    source = Path(path)
    try:
        graph, arrays = _read(source, budget)
        return _built(graph, arrays)
    except FormatError as error:
        raise error.at(str(source)) from None
    except LrpError as error:
        raise FormatError(f"{source}: the file describes no valid network: {error}") from None


def _read(source: Path, budget: int) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            _check_sizes(members, budget)
            arrays = {info.filename.removesuffix(".npy"): _member(archive, info) for info in members}
    except OSError as error:
        raise FormatError(f"the file cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FormatError(f"this is no readable .npz file: {error}") from None
    if "graph" not in arrays:
        raise FormatError(f"this .npz file holds no lrp_ref model (no member 'graph'); found {', '.join(list(arrays)[:5])}")
    return _graph(arrays.pop("graph")), arrays


def _check_sizes(members: list[zipfile.ZipInfo], budget: int) -> None:
    if len(members) > MEMBERS:
        raise FormatError(f"the file has {len(members)} members, more than {MEMBERS}")
    names = [info.filename for info in members]
    if len(set(names)) != len(names):
        raise FormatError("two members of the file have the same name")
    size = sum(info.file_size for info in members)
    if size > budget:
        raise FormatError(f"the members would take {size} bytes, more than the budget of {budget}; load(…, budget=…) raises it")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """One array, read as what its header says only where that is what the archive holds."""
    if not info.filename.endswith(".npy"):
        raise FormatError(f"member {info.filename!r} is no array")
    # Read through the size that the archive's directory states: a member that lies about it stops there.
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise FormatError(f"member {info.filename!r} has not the size that the archive states")
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if reader is None:
            raise ValueError(f"array format {version} is not supported")
        shape, fortran, dtype = reader(stream, max_header_size=10_000)
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise FormatError(f"member {info.filename!r} has no valid array header: {error}") from None
    if dtype.hasobject:
        raise FormatError(f"member {info.filename!r} holds pickled Python objects, which are never loaded")
    if not (dtype in (np.float32, np.float64) or (info.filename == "graph.npy" and dtype.kind == "U")):
        raise FormatError(f"member {info.filename!r} has the number type {dtype}, not float32 or float64")
    count = 1
    for extent in shape:
        count *= int(extent)
    if any(int(extent) < 0 for extent in shape) or count * dtype.itemsize != len(data) - stream.tell():
        raise FormatError(f"member {info.filename!r} states the shape {shape}, which its data does not have")
    array = np.frombuffer(data, dtype, count, stream.tell())
    return array.reshape(shape, order="F" if fortran else "C")


def _graph(member: Array) -> dict[str, Any]:
    if member.dtype.kind != "U" or member.ndim or member.nbytes > GRAPH_BUDGET:
        raise FormatError("the member 'graph' is no JSON text of a reasonable size")
    try:
        graph = json.loads(str(member))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the member 'graph' is no valid JSON: {error}") from None
    if not isinstance(graph, dict) or graph.get("format") != FORMAT:
        raise FormatError(f"this is no lrp_ref model: the graph's format is not {FORMAT!r}")
    if graph.get("version") != VERSION:
        raise FormatError(f"the file has version {graph.get('version')!r}; this lrp_ref reads version {VERSION}")
    return graph


def _built(graph: dict[str, Any], arrays: Mapping[str, Array]) -> Model:
    layers = [_layer(entry, arrays) for entry in _list(graph, "layers")]
    nodes = []
    for entry in _list(graph, "nodes"):
        name, index, inputs = (_get(entry, key) for key in ("name", "layer", "inputs"))
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(layers):
            raise FormatError(f"node {name!r} names layer {index!r}, which does not exist")
        nodes.append(Node(_text(name), layers[index], tuple(_text(i) for i in _sequence(inputs))))
    shapes = _mapping(graph, "input_shape")
    if any(not isinstance(e, int) or not 0 <= e < 2**31 for shape in shapes.values() for e in _sequence(shape)):
        raise FormatError("an input shape in the file is not made of reasonable extents")
    domain = {
        name: tuple(_array(_get(bounds, end), arrays) for end in ("low", "high"))
        for name, bounds in _mapping(graph, "domain").items()
    }
    inputs, outputs = (tuple(_text(name) for name in _list(graph, key)) for key in ("inputs", "outputs"))
    return Model(tuple(nodes), inputs, outputs, domain, {name: tuple(shape) for name, shape in shapes.items()})


def _layer(entry: Any, arrays: Mapping[str, Array]) -> Layer:
    kind = _get(entry, "kind")
    if not isinstance(kind, str) or kind not in LAYERS:
        raise FormatError(f"the file uses the layer {kind!r}, which this lrp_ref does not know")
    names = {field.name for field in fields(LAYERS[kind])}
    options = {name: _tuples(value) for name, value in _mapping(entry, "options").items()}
    members = {name: _array(member, arrays) for name, member in _mapping(entry, "arrays").items()}
    strange = (set(options) | set(members)) - names
    if strange:
        raise FormatError(f"layer {kind} has no parameter {', '.join(sorted(map(repr, strange)))}")
    try:
        return LAYERS[kind](**options, **members)
    except (TypeError, AttributeError, OverflowError) as error:
        raise FormatError(f"layer {kind} cannot be made from the file: {error}") from None


def _array(member: Any, arrays: Mapping[str, Array]) -> Array:
    if not isinstance(member, str) or member not in arrays:
        raise FormatError(f"the graph names the array {member!r}, which the file does not hold")
    return arrays[member]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _get(entry: Any, key: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise FormatError(f"an entry of the graph has no {key!r}: {str(entry)[:80]}")
    return entry[key]


def _list(entry: Any, key: str) -> list[Any]:
    value = _get(entry, key)
    if not isinstance(value, list):
        raise FormatError(f"the graph's {key!r} is no list")
    return value


def _mapping(entry: Any, key: str) -> dict[str, Any]:
    value = _get(entry, key)
    if not isinstance(value, dict):
        raise FormatError(f"the graph's {key!r} is no mapping")
    return value


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise FormatError(f"expected a list in the graph, found {str(value)[:80]}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise FormatError(f"expected a name in the graph, found {str(value)[:80]}")
    return value
