"""Model files made by hand, sound and unsound, and what a refusal looks like."""

import copy
import io
import json
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import lrp_ref
from lrp_ref import Model, Node, errors
from lrp_ref import layers as L
from lrp_ref.formats import npz

FormatError = errors.FormatError
#: Files are written to one folder, example after example.
mutations = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def small() -> Model:
    """A model with a domain, a shared layer, options of every type, and arrays of several ranks."""
    conv = L.Conv(np.arange(18.0).reshape(1, 2, 3, 3), [0.5], padding=((1, 0), (1, 1)))
    relu = L.LeakyReLU(0.25)
    nodes = (
        Node("scale", L.Scale(2.0, np.ones((2, 1, 1))), "input"),
        Node("conv", conv, "scale"),
        Node("relu", relu, "conv"),
        Node("pool", L.AvgPool(2, ceil_mode=True), "relu"),
        Node("again", relu, "pool"),
        Node("flat", L.Flatten(), "again"),
        Node("dense", L.Dense(np.ones((4, 3)) / 3), "flat"),
    )
    return Model(nodes, domain=(np.zeros((2, 1, 1)), 1), input_shape=(2, 4, 3))  # type: ignore[arg-type]


def header(descr: str = "'<f8'", shape: str = "(3,)", fortran: str = "False", pad: int = 0) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}{' ' * pad}\n".encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    return stream.getvalue()


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return path


def described(model: Model | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The graph and the members of a saved model, to be changed and written by `written`."""
    graph, arrays = npz.describe(model or small())
    return copy.deepcopy(graph), {name: npy(array) for name, array in arrays.items()}


def written(path: Path, graph: Any, arrays: dict[str, bytes]) -> Path:
    text = graph if isinstance(graph, str) else json.dumps(graph)
    return packed(path, {"graph.npy": npy(np.array(text)), **{f"{name}.npy": data for name, data in arrays.items()}})


def listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def refused(path: Path, match: str, **options: Any) -> None:
    """Reading gives a `FormatError` that names the file and says `match`, soon."""
    start = time.process_time()
    with pytest.raises(FormatError, match=match) as caught:
        lrp_ref.load(path, **options)
    assert time.process_time() - start < 5
    assert type(caught.value) is FormatError
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000 + len(str(path))
