"""A network that is refused says where it may end instead, and it can end there; in Python and on the command line."""

import re
from ast import literal_eval

import numpy as np
import pytest

pytest.importorskip("onnx")

from lrp_ref.cli import codes
from lrp_ref.errors import FormatError
from lrp_ref.formats import onnx as reader
from support import onnx_networks


def proto_of(build):
    """A network of one input x (4,), written by `build(maker, z)` behind a dense layer that computes z."""
    m = onnx_networks.Maker(18)
    return m.model(build(m, m.dense("x", 4, 3)), (4,), name="x", out="y")


REFUSED = {
    # Computed of constants, and not of signals
    "constants alone": (lambda m, z: m.dense(m.op("CumSum", z, np.array(1)), 3, 2), ["gemm0_0"]),
    # Not known at all
    "unknown": (lambda m, z: m.dense(m.op("Hardmax", m.op("Relu", z)), 3, 2), ["relu1_0"]),
    # One that reads another: neither the second's input nor the network's own is an end
    "chain": (lambda m, z: m.op("Add", m.op("Hardmax", m.op("Hardmax", z)), m.op("Hardmax", "x")), ["gemm0_0"]),
    "two signals": (lambda m, z: m.op("BitwiseAnd", z, m.op("Relu", z)), ["gemm0_0", "relu1_0"]),
    "arguments": (lambda m, z: m.op("Cast", z, to=7), ["gemm0_0"]),
    # What is refused reads the input itself: the network has no end before it
    "input": (lambda m, z: m.op("Add", z, m.op("CumSum", "x", np.array(1))), []),
}


@pytest.mark.parametrize(("build", "names"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_the_values_to_end_at(build, names):
    proto = proto_of(build)
    with pytest.raises(FormatError) as refused:
        reader.load(proto)
    text = str(refused.value)
    found = re.search(r"end the model before it with outputs=('[^']*'|\([^()]*\))", text)
    ends = [] if found is None else literal_eval(found[1])
    assert ([ends] if isinstance(ends, str) else list(ends)) == names, text
    if names:
        assert reader.load(proto, outputs=ends)(np.ones((2, 4), np.float32)) is not None
        assert " ".join(f"--output {name}" for name in names) + " ends the network before it" in codes.message(refused.value)
    else:
        assert "--output NODE ends the network before it" in codes.message(refused.value)


def test_a_name_with_a_space_is_quoted_for_the_shell():
    error = FormatError("end the model before it with outputs='a b'")
    assert codes.message(error) == "--output 'a b' ends the network before it"
