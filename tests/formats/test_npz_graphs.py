"""Sound archives with graphs that cannot be, and random damage to everything: a model or a `FormatError`, nothing else."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Domain, Model
from lrp_ref import layers as L
from lrp_ref.formats import npz
from support.npz_files import FormatError, described, header, mutations, npy, refused, small, written

# ---- hostile graphs --------------------------------------------------------------------------------------------------


def edit(*path: Any, value: Any = ...) -> Any:
    """Set (or, without a value, delete) the entry of the graph at `path`."""

    def change(graph: Any) -> None:
        for key in path[:-1]:
            graph = graph[key]
        if value is ...:
            del graph[path[-1]]
        else:
            graph[path[-1]] = value

    return change


LAYER = ("layers", 1, "options")  # the convolution of `small`
GRAPHS = {
    "a cycle": (edit("nodes", 0, "inputs", value=["dense"]), "the graph has a cycle"),
    "a node that reads itself": (edit("nodes", 1, "inputs", value=["conv"]), "the graph has a cycle: conv → conv"),
    "an input that does not exist": (
        edit("nodes", 1, "inputs", value=["scal"]),
        "reads a node that does not exist: .*Did you mean 'scale'",
    ),
    "too many inputs": (edit("nodes", 1, "inputs", value=["scale", "scale"]), "has 1 input"),
    "no inputs": (edit("nodes", 1, "inputs", value=[]), "has 1 input"),
    "a name twice": (edit("nodes", 1, "name", value="scale"), "the name 'scale' is used 2 times"),
    "a name of the input's": (edit("nodes", 1, "name", value="input"), "the name 'input' is used 2 times"),
    "an empty name": (edit("nodes", 1, "name", value=""), "expected a name"),
    "a very long name": (edit("nodes", 1, "name", value="x" * 10_000), "expected a name"),
    "a number for a name": (edit("nodes", 1, "name", value=3), "which is no str"),
    "no name": (edit("nodes", 1, "name"), "has no 'name'"),
    "a text for inputs": (edit("nodes", 1, "inputs", value="scale"), "which is no list"),
    "a node that is none": (edit("nodes", 1, value=3), "has no 'name'"),
    "nodes that are none": (edit("nodes", value={}), "which is no list"),
    "no nodes": (edit("nodes", value=[]), "at least one node"),
    "a layer that does not exist": (edit("nodes", 1, "layer", value=99), "names layer 99, which does not exist"),
    "a layer from the end": (edit("nodes", 1, "layer", value=-1), "names layer -1"),
    "a layer by truth": (edit("nodes", 1, "layer", value=True), "which is no int"),
    "a layer by name": (edit("nodes", 1, "layer", value="conv"), "which is no int"),
    "an unknown layer": (
        edit("layers", 1, "kind", value="Convolution"),
        "the layer 'Convolution', which this lrp_ref does not know",
    ),
    "an abstract layer": (edit("layers", 1, "kind", value="Linear"), "the layer 'Linear'"),
    "something else of ours": (edit("layers", 1, "kind", value="__all__"), "the layer '__all__'"),
    "an unknown parameter": (edit(*LAYER, "colour", value=3), "layer Conv has no parameter 'colour'"),
    "a hidden parameter": (edit(*LAYER, "parameter_names", value=[]), "has no parameter 'parameter_names'"),
    "an array that is an option": (edit(*LAYER, "weight", value=[[[1.0]]]), "has no parameter 'weight'"),
    "an option that is an array": (edit("layers", 1, "arrays", "stride", value="layers/0/weight"), "has no parameter 'stride'"),
    "an unknown array": (edit("layers", 1, "arrays", "scale", value="layers/0/weight"), "has no parameter 'scale'"),
    "a missing array": (
        edit("layers", 1, "arrays", "weight", value="gone"),
        "names the array 'gone', which the file does not hold",
    ),
    "the graph as an array": (edit("layers", 1, "arrays", "weight", value="graph"), "names the array 'graph'"),
    "an array twice": (edit("layers", 1, "arrays", "bias", value="layers/0/weight"), "or names it twice"),
    "an array that is a number": (edit("layers", 1, "arrays", "weight", value=3), "names the array 3"),
    "a required array left out": (edit("layers", 1, "arrays", "weight"), "weight"),
    "an array of another shape": (
        edit("layers", 1, "arrays", value={"weight": "layers/1/bias", "bias": "layers/1/weight"}),
        r"Conv\.weight must have 2 channel",
    ),
    "a text for a number": (edit(*LAYER, "groups", value="2"), r"Conv\.groups must be an integer"),
    "a fraction of a group": (edit(*LAYER, "groups", value=0.5), r"Conv\.groups must be an integer"),
    "truth for a number": (edit(*LAYER, "groups", value=True), r"Conv\.groups is no switch"),
    "a huge number": (edit(*LAYER, "groups", value=10**17), r"Conv\.groups must divide"),
    "a list for a number": (edit(*LAYER, "groups", value=[1]), r"Conv\.groups must be an integer"),
    "a negative stride": (edit(*LAYER, "stride", value=[-1, 1]), "stride must be at least 1"),
    "a text for strides": (edit(*LAYER, "stride", value="ab"), "stride must be an int or 2 ints"),
    "too many strides": (edit(*LAYER, "stride", value=[1] * 100_000), "stride must be an int or 2 ints"),
    "very deep padding": (edit(*LAYER, "padding", value=json.loads("[" * 900 + "]" * 900)), "padding|recursion"),
    "deep padding": (edit(*LAYER, "padding", value=[[[[1]]]]), "padding"),
    "a mapping for padding": (edit(*LAYER, "padding", value={"a": 1}), "has no 'fraction'"),
    "a fraction that is none": (edit("layers", 2, "options", "slope", value={"fraction": "1/0"}), "is no fraction"),
    "a very long fraction": (edit("layers", 2, "options", "slope", value={"fraction": "1" * 4000}), "is no fraction"),
    "a text for a slope": (edit("layers", 2, "options", "slope", value="0.25"), r"LeakyReLU\.slope must be a number"),
    "a number beyond floats": (edit("layers", 2, "options", "slope", value=1e400), "Infinity"),
    "a text for a switch": (
        edit("layers", 3, "options", "ceil_mode", value="no"),
        r"AvgPool\.ceil_mode is true or false, found 'no'",
    ),
    "a number for a switch": (edit("layers", 3, "options", "ceil_mode", value=1), r"AvgPool\.ceil_mode is true or false"),
    "a negative kernel": (edit("layers", 3, "options", "kernel", value=-2), "kernel must be at least 1"),
    "no kernel": (edit("layers", 3, "options", "kernel"), "kernel"),
    "no options": (edit("layers", 3, "options"), "has no 'options'"),
    "a list of options": (edit("layers", 3, "options", value=[]), "which is no dict"),
    "unknown outputs": (edit("outputs", value=["dens"]), "unknown output 'dens'. Did you mean 'dense'"),
    "no outputs": (edit("outputs", value=[]), "outputs must be different nodes, at least one"),
    "an output twice": (edit("outputs", value=["dense", "dense"]), "outputs must be different nodes"),
    "no inputs of the model": (edit("inputs", value=[]), "does not exist"),
    "an input twice": (edit("inputs", value=["input", "input"]), "the name 'input' is used 2 times"),
    "inputs that are none": (edit("inputs", value="input"), "which is no list"),
    "a shape of an unknown input": (edit("input_shape", value={"imput": [3]}), "unknown input 'imput'"),
    "a negative extent": (edit("input_shape", "input", value=[-3]), "integers of a reasonable size"),
    "a huge extent": (edit("input_shape", "input", value=[2**40]), "integers of a reasonable size"),
    "a shape of texts": (edit("input_shape", "input", value=["3"]), "integers of a reasonable size"),
    "a shape of truths": (edit("input_shape", "input", value=[True]), "integers of a reasonable size"),
    "a number for a shape": (edit("input_shape", "input", value=3), "which is no list"),
    "no shapes": (edit("input_shape"), "has no 'input_shape'"),
    "a domain of an unknown input": (
        edit("domain", value={"imput": {"low": "domain/0/low", "high": "domain/0/high"}}),
        "unknown input",
    ),
    "half a domain": (edit("domain", "input", "low"), "has no 'low'"),
    "a domain of numbers": (edit("domain", "input", value=[0, 1]), "has no 'low'"),
    "a domain upside down": (edit("domain", "input", value={"low": "domain/0/high", "high": "domain/0/low"}), "needs low ≤ high"),
    "a domain of another shape": (
        edit("domain", "input", "low", value="layers/4/weight"),
        "do not fit|does not fit|does not hold",
    ),
    "no domain": (edit("domain"), "has no 'domain'"),
    "a number type that is none": (edit("default_dtype", value="float16"), "number type is float32 or float64, found 'float16'"),
    "rationals": (edit("default_dtype", value="object"), "number type is float32 or float64, found 'object'"),
    "a number type that is a list": (edit("default_dtype", value=["float32"]), "number type is float32 or float64"),
}


@pytest.mark.parametrize(("change", "match"), GRAPHS.values(), ids=GRAPHS)
def test_graphs_that_cannot_be(tmp_path, change, match):
    graph, arrays = described()
    lrp_ref.load(written(tmp_path / "fine.npz", graph, arrays))
    change(graph)
    refused(written(tmp_path / "m.npz", graph, arrays), match)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("member", ["layers/1/weight", "layers/1/bias", "domain/0/low"])
def test_weights_that_are_no_numbers(tmp_path, bad, member):
    graph, arrays = npz.describe(small())
    arrays[member] = np.where(np.arange(arrays[member].size) == 0, bad, 1.0).reshape(arrays[member].shape)
    path = written(tmp_path / "m.npz", graph, {name: npy(array) for name, array in arrays.items()})
    refused(path, r"(Conv|Domain)\.\w+ has 1 value\(s\) that are NaN or infinite")


def test_graphs_of_many_nodes_take_no_time(tmp_path):
    """20 000 nodes: in the worst order, in a circle, and with a name that does not exist among many that look like it."""
    count = 20_000
    layer = {"kind": "ReLU", "options": {}, "arrays": {}}
    base = {"format": "lrp_ref.model", "version": 1, "inputs": ["input"], "input_shape": {}, "domain": {}, "layers": [layer]}
    chain = [{"name": f"a{i}", "layer": 0, "inputs": [f"a{i - 1}" if i else "input"]} for i in range(count)]
    path = written(tmp_path / "m.npz", {**base, "outputs": [f"a{count - 1}"], "nodes": chain[::-1]}, {})
    start = time.process_time()
    assert lrp_ref.load(path).nodes[-1].name == f"a{count - 1}"
    assert time.process_time() - start < 5
    circle = [{**chain[0], "inputs": [f"a{count - 1}"]}, *chain[1:]]
    refused(written(path, {**base, "outputs": ["a0"], "nodes": circle}, {}), "has a cycle: .* → … → ")
    star = [{"name": f"a{i}", "layer": 0, "inputs": ["input"]} for i in range(count)]
    lrp_ref.load(written(path, {**base, "outputs": ["a0"], "nodes": star}, {}))
    r = np.random.default_rng(0)
    # Names that look alike to the search for the nearest, until it compares them in full, in a time quadratic in their length.
    long = ["".join(letters) for letters in r.choice(["a", "b"], (10_000, 190))]
    alike = [{"name": name, "layer": 0, "inputs": ["input"]} for name in long[1:]]
    refused(written(path, {**base, "outputs": [long[0]], "nodes": alike}, {}), "unknown output")


# ---- random damage ---------------------------------------------------------------------------------------------------

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=3)
    | st.sampled_from(["input", "conv", "Conv", "Dense", "layers/1/weight", "fraction", "graph", 0, 1, -1, 2**31, 1e308]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["fraction", "low", "kind", "a"]), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


def places(graph: Any, path: tuple = ()) -> list[tuple]:
    """Where every value of the graph is."""
    if isinstance(graph, dict):
        return [found for key, value in graph.items() for found in ((*path, key), *places(value, (*path, key)))]
    if isinstance(graph, list):
        return [found for key, value in enumerate(graph) for found in ((*path, key), *places(value, (*path, key)))]
    return []


def survives(path: Path) -> None:
    """Reading gives a model or a `FormatError`: anything else raised fails the test."""
    with contextlib.suppress(FormatError):
        assert isinstance(lrp_ref.load(path), Model)


@settings(mutations, max_examples=4 * settings.default.max_examples)
@given(st.data())
def test_no_graph_makes_reading_fail_otherwise(tmp_path, data):
    graph, arrays = described()
    for _ in range(data.draw(st.integers(1, 3))):
        *inner, key = data.draw(st.sampled_from(places(graph)))
        value = graph
        for step in inner:
            value = value[step]
        action = data.draw(st.sampled_from(["replace", "replace", "delete", "double"]))
        if action == "replace":
            value[key] = data.draw(JUNK)
        elif action == "delete":
            del value[key]
        elif isinstance(value, list):
            value.append(value[key])
        if not places(graph):
            break
    survives(written(tmp_path / "m.npz", graph, arrays))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> bytes:
    """A saved model."""
    return lrp_ref.save(small(), tmp_path_factory.mktemp("base") / "m.npz").read_bytes()


@settings(mutations, max_examples=5 * settings.default.max_examples)
@given(st.data())
def test_no_damage_to_a_file_makes_reading_fail_otherwise(tmp_path, base, data):
    found = bytearray(base)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(found) - 1)))
        action = data.draw(st.sampled_from(["flip", "flip", "set", "cut", "drop", "insert", "copy"]))
        if action == "flip" and found:
            found[at] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "set":
            found[at : at + 4] = data.draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f", b"PK\x01\x02"]))
        elif action == "cut":
            del found[at:]
        elif action == "drop":
            del found[at : at + data.draw(st.integers(1, 50))]
        elif action == "insert":
            found[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        elif action == "copy":
            found[at:at] = found[at : at + data.draw(st.integers(1, 200))]
    path = tmp_path / "m.npz"
    path.write_bytes(found)
    survives(path)


def test_a_file_cut_off_anywhere_is_refused(tmp_path, base):
    path = tmp_path / "m.npz"
    path.write_bytes(base)
    for length in reversed(range(len(base))):
        os.truncate(path, length)
        with pytest.raises(FormatError):
            lrp_ref.load(path)


@settings(mutations, max_examples=3 * settings.default.max_examples)
@given(st.data())
def test_no_header_makes_reading_fail_otherwise(tmp_path, data):
    graph, arrays = described(Model.sequential([L.Dense(np.ones((3, 1)))]))
    found = bytearray(header(shape="(3, 1)", pad=data.draw(st.integers(0, 3))) + np.ones(3).tobytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(6, len(found) - 1))
        piece = data.draw(st.sampled_from([b"", b"9", b"(", b"O", b"'", b",", b" ", b"-", b"\xff", b"\0", b"1e9", b"0x", b"\n"]))
        found[at : at + data.draw(st.integers(0, 2))] = piece
    survives(written(tmp_path / "m.npz", graph, {**arrays, "layers/0/weight": bytes(found)}))


def test_a_domain_is_read_as_a_domain(tmp_path):
    model = lrp_ref.load(lrp_ref.save(small(), tmp_path / "m.npz"))
    assert isinstance(model.domain["input"], Domain)
    assert repr(model.domain["input"]) == "[array[2, 1, 1], 1.0]"
