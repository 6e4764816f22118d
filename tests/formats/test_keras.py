"""Files that Keras writes: channels last, with the batch norms and biases behind a transposition.

Keras itself is seldom installed where this runs; then only a file that is wired like its files is read here.
"""

import importlib.util
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from support import onnx_examples, onnx_networks

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import lrp_ref
from lrp_ref import layers as L
from lrp_ref.formats import onnx as reader

FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def wired():
    """Convolution, bias and batch norm in parts, ReLU, pooling: as Keras on PyTorch writes them."""
    m = onnx_networks.Maker()
    x = m.op("Transpose", "x", perm=FIRST)
    x = m.op("Pad", x, np.array([0, 0, 0, 0, 0, 0, 1, 1]), np.float32(0))
    x = m.op("Conv", x, m.floats(8, 3, 3, 3, scale=0.2), strides=[2, 2])
    x = m.op("Add", m.op("Transpose", x, perm=LAST), m.floats(8))
    x = m.op("Sub", x, m.floats(1, 1, 1, 8))
    x = m.op("Add", m.op("Mul", x, m.floats(1, 1, 1, 8)), m.floats(1, 1, 1, 8))
    x = m.op("MaxPool", m.op("Transpose", m.op("Relu", x), perm=FIRST), kernel_shape=[2, 2], strides=[2, 2])
    x = m.op("ReduceMean", m.op("Transpose", x, perm=LAST), axes=[1, 2], keepdims=0)
    m.channels[x] = 8
    return m.model(m.op("Softmax", m.dense(x, 8, 5, split=True), axis=-1), (16, 16, 3), name="x", out="y")


def test_a_file_of_channels_last_is_folded_and_explained_without_a_bias_on_the_way():
    proto = wired()
    x = np.random.default_rng(0).random((2, 16, 16, 3), dtype=np.float32)
    (want,), _ = onnx_examples.expected(proto, x)
    model = lrp_ref.canonize(reader.load(proto))
    np.testing.assert_allclose(model(x), want, rtol=1e-4, atol=1e-6)
    assert not any(isinstance(node.layer, (L.Scale, L.BatchNorm)) for node in model.nodes)
    composite = lrp_ref.composites.epsilon_gamma_box(low=0.0, high=1.0)
    e = lrp_ref.explain(model, x, composite=composite, head="logit", ledger=True)
    assert e.relevance.shape == x.shape
    assert not any("passes on" in flag for flag in e.ledger.flags)


needs_keras = pytest.mark.skipif(
    importlib.util.find_spec("keras") is None or importlib.util.find_spec("torch") is None,
    reason="Keras and PyTorch are not installed: files of Keras itself are NOT tested here",
)


@needs_keras
def test_the_example_does_what_it_says(capsys):
    """The documentation shows this script and what it prints."""
    root = Path(__file__).resolve().parents[2]
    os.environ.setdefault("KERAS_BACKEND", "torch")
    spec = importlib.util.spec_from_file_location("keras_network", root / "examples" / "keras_network.py")
    script = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras's and PyTorch's own
        spec.loader.exec_module(script)
        script.main()
    page = (root / "docs" / "ways_in" / "keras.md").read_text(encoding="utf-8")
    shown = [line for line in capsys.readouterr().out.splitlines() if "difference" not in line]
    assert len(shown) > 15
    assert "\n".join(shown[:-1]) in page
