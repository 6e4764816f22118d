"""The small networks of PyTorch's first exporters in the test data of the `onnx` package, judged by their stored outputs.

They are of version 6 and later; `onnx.version_converter` brings the older ones to a version that is read, as the error advises.
"""

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import numpy_helper, version_converter  # noqa: E402

from lrp_ref.errors import FormatError  # noqa: E402
from lrp_ref.formats import onnx as reader  # noqa: E402
from lrp_ref.formats.onnx.read.reader import OLDEST  # noqa: E402

DATA = Path(onnx.__file__).parent / "backend/test/data"
CASES = sorted(path for kind in ("pytorch-converted", "pytorch-operator") for path in (DATA / kind).glob("*/model.onnx"))
#: What is no network that could be explained, or what the converter makes a wrong model of.
OUT_OF_SCOPE = {
    "test_operator_non_float_params": "its input holds integers that are computed with",
    # Before version 7 a slope was one for each channel; the converter leaves its shape, which then means the last axis.
    "test_PReLU_1d_multiparam": "converted wrongly",
    "test_PReLU_2d_multiparam": "converted wrongly",
    "test_PReLU_3d_multiparam": "converted wrongly",
}


def stored(folder, kind):
    found = []
    for path in sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"), key=lambda p: int(p.stem.rsplit("_", 1)[1])):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(path.read_bytes())
        found.append(numpy_helper.to_array(tensor))
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_stored_outputs(path):
    if reason := OUT_OF_SCOPE.get(path.parent.name):
        pytest.skip(reason)
    proto = onnx.load(path)
    if proto.opset_import[0].version < OLDEST:
        proto = version_converter.convert_version(proto, 13)
    names = [value.name for value in proto.graph.input]
    arrays = dict(zip(names, stored(path.parent, "input"), strict=False))  # what is left over are initializers
    wanted = stored(path.parent, "output")
    try:
        model, batched = reader.load(proto), True
    except FormatError:  # a single sample, as the operators' cases have
        model, batched = reader.load(proto, batched=False), False
    x = {name: arrays[name].astype(np.float32) if arrays[name].dtype.kind == "i" else arrays[name] for name in model.inputs}
    found = model({name: array if batched else array[None] for name, array in x.items()})
    found = list(found.values()) if isinstance(found, dict) else [found]
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours if batched else ours[0], theirs, rtol=1e-3, atol=1e-5)


def test_there_are_as_many_as_there_were():
    assert len(CASES) >= 117
