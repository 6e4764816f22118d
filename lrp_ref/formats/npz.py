"""The native format: one `.npz` with a JSON description of the graph and one member per array.

Nothing in it is code and nothing is unpickled. Everything is checked before it is believed: sizes before memory is taken
(`lrp_ref.formats.archive`), the version before the rest, the JSON before layers are made, the graph by `Model` itself.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import Field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .. import layers as layer_module
from ..arrays import Array, integer, is_exact
from ..errors import FormatError, LrpError, NumberTypeError, ParameterError
from ..held import adopt
from ..layers.base import Layer
from ..names import LONGEST
from ..network.model import Domain, Model, Node
from . import archive

FORMAT, VERSION = "lrp_ref.model", 1
BUDGET = 4 * 2**30  # bytes that the members of a file may take when unpacked
CHARACTERS = 4 * 2**20  # of the graph's JSON
DIGITS = 18  # of an integer in the JSON

#: What building a network from a file that is not one may raise; anything else would be a defect of ours.
_UNFIT = (LrpError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, MemoryError)

LAYERS: dict[str, type[Layer]] = {
    name: kind
    for name in layer_module.__all__
    if isinstance(kind := getattr(layer_module, name), type) and not getattr(kind, "__abstractmethods__", None)
}


# --- writing ---------------------------------------------------------------------------------------------------------


def save(model: Model, path: str | Path, *, overwrite: bool = False, compress: bool = True) -> Path:
    """Write `model` (float32 or float64) to `path`, which ends in `.npz`; the same model gives the same bytes.

    Parameters
    ----------
    model : the network
    path : the file
    overwrite : whether a file that exists is replaced
    compress : False: arrays are stored as they are, aligned, so that `load(path, mmap=True)` can map them

    Raises
    ------
    ExistingFileError
        Where the file exists and `overwrite` is not set. It is replaced whole or not at all.
    FormatError
        Where the model has layers that the format does not know, or the file cannot be written.
    NumberTypeError
        Where the model or its domain holds exact rationals.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise ParameterError(f"a model is saved as .npz, found {target}")
    if model.extents is not None:
        raise FormatError("a network with open extents cannot be saved: load it with input_shape= first")
    graph, arrays = describe(model)
    text = json.dumps(graph, allow_nan=False)
    if len(text) > CHARACTERS or len(arrays) >= archive.MEMBERS:
        raise FormatError(f"the model has {len(model.nodes)} nodes, more than the .npz format holds")
    archive.write(target, {"graph": np.array(text), **arrays}, overwrite, compress)
    return target


def describe(model: Model) -> tuple[dict[str, Any], dict[str, Array]]:
    """The graph of a model as plain data for JSON, and its arrays by member name; arrays that nodes share are written once.

    Parameters
    ----------
    model : float32 or float64

    Raises
    ------
    FormatError
        Where a node's layer is none of this package, or a parameter cannot be stored.
    NumberTypeError
        Where parameters are rationals.
    """
    arrays: dict[str, Array] = {}
    layers: dict[int, int] = {}
    described: list[dict[str, Any]] = []
    nodes = []
    for node in model.nodes:
        if id(node.layer) not in layers:
            layers[id(node.layer)] = len(described)
            described.append(_describe_layer(node, len(described), arrays))
        nodes.append({"name": node.name, "layer": layers[id(node.layer)], "inputs": list(node.inputs)})
    domain = _describe_domain(model, arrays)
    if model.default_dtype is not None and model.default_dtype.hasobject:
        raise NumberTypeError("the model computes in rationals, which are not saved; model.astype(np.float64) first")
    graph = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "input_shape": {name: list(shape) for name, shape in model.input_shape.items()},
        "domain": domain,
        "default_dtype": None if model.default_dtype is None else model.default_dtype.name,
        **({"whole": list(model.integer_inputs)} if model.integer_inputs else {}),
        "layers": described,
        "nodes": nodes,
    }
    return graph, arrays


def _describe_domain(model: Model, arrays: dict[str, Array]) -> dict[str, dict[str, str]]:
    """The bounds of each input as names of members, which `arrays` takes."""
    domain: dict[str, dict[str, str]] = {}
    for index, (name, bounds) in enumerate(model.domain.items()):
        domain[name] = {}
        for end in ("low", "high"):
            member = f"domain/{index}/{end}"
            arrays[member] = _storable(getattr(bounds, end), f"the domain of input {name!r}")
            domain[name][end] = member
    return domain


def _describe_layer(node: Node, index: int, arrays: dict[str, Array]) -> dict[str, Any]:
    kind = type(node.layer).__name__
    if LAYERS.get(kind) is not type(node.layer):
        raise FormatError(f"{node.title}: the .npz format does not know this layer")
    options, members = {}, {}
    for field in fields(node.layer):
        value = getattr(node.layer, field.name)
        if isinstance(value, np.ndarray):
            member = f"layers/{index}/{field.name}"
            arrays[member] = _storable(value, node.title)
            members[field.name] = member
        elif field.name not in node.layer.parameter_names:
            # Written even where it is the default, so that another default one day changes no stored network.
            options[field.name] = _json_value(value, f"{node.title}: {field.name}")
    return {"kind": kind, "options": options, "arrays": members}


def _storable(value: Array, parameter_name: str) -> Array:
    if is_exact(value):
        raise NumberTypeError(f"{parameter_name}: rationals are not saved; model.astype(np.float64) first")
    return np.asarray(value)


def _json_value(value: Any, parameter_name: str) -> Any:
    """An option as JSON: numbers, texts, lists of them; a Fraction as a mapping, so that it stays exact."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Fraction):
        return {"fraction": str(value)}
    if isinstance(value, (tuple, list)):
        return [_json_value(entry, parameter_name) for entry in value]
    raise FormatError(f"{parameter_name} = {value!r} cannot be stored")


# --- reading ---------------------------------------------------------------------------------------------------------


def load(path: str | Path, *, budget: int = BUDGET, mmap: bool = False) -> Model:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : the file
    budget : how many bytes its members may take when unpacked
    mmap : whether arrays are read-only views of the file instead of copies: processes that map one file share its memory. The
        file must have been saved with `compress=False`, and must not be changed in place while the model is used (`save`
        replaces files whole, which is safe)

    Raises
    ------
    FormatError
        Where the file is missing, truncated, foreign, too large, of a newer version, or describes a network that cannot be; or
        where it is to be mapped, and is compressed.
    """
    source = Path(path)
    budget = integer(budget, "budget", 0)
    try:
        with archive.open_archive(source, budget, mmap) as members:
            return _build_model(_graph(members), members)
    except FormatError as error:
        raise FormatError(f"{source}: {_shorten(error, 500)}") from None
    except _UNFIT as error:
        raise FormatError(f"{source}: the file describes no valid network: {_shorten(error, 500)}") from None


def _shorten(value: object, most: int = 80) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _graph(members: archive.Archive) -> dict[str, Any]:
    if "graph" not in members.names:
        members_shown = ", ".join(members.names[:5]) or "nothing"
        raise FormatError(f"this .npz file holds no lrp_ref model (no member 'graph'); found {members_shown}")
    try:
        graph = json.loads(members.text("graph", CHARACTERS), parse_int=_integer, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"the member 'graph' is no valid JSON: {error}") from None
    if not isinstance(graph, dict) or graph.get("format") != FORMAT:
        raise FormatError(f"this is no lrp_ref model: the graph's format is not {FORMAT!r}")
    version = graph.get("version")
    if type(version) is not int or version != VERSION:
        newer = "; a newer lrp_ref wrote it" if type(version) is int and version > VERSION else ""
        raise FormatError(f"the file has version {version!r}, this lrp_ref reads version {VERSION}{newer}")
    return graph


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise FormatError(f"an integer in the graph has {len(text)} digits")
    return int(text)


def _constant(text: str) -> float:
    raise FormatError(f"the graph holds {text}, which is no number")


class _Members:
    """The arrays of a file; each may be named once, so that no file makes more work than its size."""

    def __init__(self, members: archive.Archive) -> None:
        self._archive = members
        self._left = set(members.names) - {"graph"}

    def take(self, name: Any) -> Array:
        if not isinstance(name, str) or name not in self._left:
            raise FormatError(
                f"the graph names the array {_shorten(repr(name))}, which the file does not hold, or names it twice"
            )
        self._left.remove(name)
        return adopt(self._archive.array(name))


def _build_model(graph: dict[str, Any], archived: archive.Archive) -> Model:
    members = _Members(archived)
    layers = [_layer(entry, members) for entry in _get(graph, "layers", list)]
    nodes = []
    for entry in _get(graph, "nodes", list):
        name, index = _text(_get(entry, "name", str)), _get(entry, "layer", int)
        if not 0 <= index < len(layers):
            raise FormatError(f"node {name!r} names layer {index}, which does not exist")
        nodes.append(Node(name, layers[index], tuple(_text(read) for read in _get(entry, "inputs", list))))
    shapes = {name: tuple(_extent(e) for e in _of(shape, list)) for name, shape in _get(graph, "input_shape", dict).items()}
    domain = {
        name: Domain(*(members.take(_get(bounds, end, str)) for end in ("low", "high")))
        for name, bounds in _get(graph, "domain", dict).items()
    }
    inputs, outputs = (tuple(_text(name) for name in _get(graph, key, list)) for key in ("inputs", "outputs"))
    dtype = graph.get("default_dtype")
    if dtype not in (None, "float32", "float64"):
        raise FormatError(f"the graph's number type is float32 or float64, found {_shorten(repr(dtype))}")
    integer_inputs = tuple(_text(name) for name in _of(graph.get("whole", []), list))
    return Model(tuple(nodes), inputs, outputs, domain, shapes, dtype, integer_inputs)


def _layer(entry: Any, members: _Members) -> Layer:
    kind = _get(entry, "kind", str)
    if kind not in LAYERS:
        raise FormatError(f"the file uses the layer {_shorten(repr(kind))}, which this lrp_ref does not know")
    known = {field.name: field for field in fields(LAYERS[kind])}
    arrays = set(LAYERS[kind].parameter_names)
    stored_options, named = _get(entry, "options", dict), _get(entry, "arrays", dict)
    strange = (stored_options.keys() - (known.keys() - arrays)) | (named.keys() - arrays)
    if strange:
        raise FormatError(f"layer {kind} has no parameter {_shorten(', '.join(sorted(map(repr, strange))))}")
    options = {name: _option(value, known[name], kind) for name, value in stored_options.items()}
    return LAYERS[kind](**options, **{name: members.take(member) for name, member in named.items()})


def _option(value: Any, field: Field[Any], kind: str) -> Any:
    """A parameter from JSON. Only a switch is a bool: elsewhere Python would take it for 0 or 1."""
    if isinstance(value, bool) != isinstance(field.default, bool) and value is not field.default:
        requirement = "true or false" if isinstance(field.default, bool) else "no switch"
        raise FormatError(f"{kind}.{field.name} is {requirement}, found {_shorten(repr(value))}")
    return _value(value)


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(entry) for entry in value)
    if isinstance(value, dict):
        text = _get(value, "fraction", str)
        if not re.fullmatch(r"-?\d{1,300}(/[1-9]\d{0,299})?", text):
            raise FormatError(f"{_shorten(repr(text))} is no fraction")
        return Fraction(text)
    return value


def _get(entry: Any, key: str, kind: type) -> Any:
    """The value of `key`, which must be there and of type `kind`."""
    if not isinstance(entry, dict) or key not in entry:
        raise FormatError(f"an entry of the graph has no {key!r}: {_shorten(entry)}")
    return _of(entry[key], kind, f" under {key!r}")


def _of(value: Any, kind: type, where: str = "") -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise FormatError(f"the graph holds {_shorten(repr(value))}{where}, which is no {kind.__name__}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        raise FormatError(f"expected a name in the graph, found {_shorten(repr(value))}")
    return value


def _extent(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise FormatError(f"the extents of an input shape are integers of a reasonable size, found {_shorten(repr(value))}")
    return value
