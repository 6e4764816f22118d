"""PyTorch's recurrent modules: what both exporters write of them predicts the same, at any number of steps.

These tests need PyTorch (extra torch), which the gate's machine may lack: they are skipped there, each with its reason.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

import lrp_ref
from lrp_ref.errors import FormatError
from lrp_ref.formats import onnx as reader
from lrp_ref.formats import torch as loader
from lrp_ref.layers.base import Recurrent
from support.fans import closes

torch = pytest.importorskip("torch", reason="PyTorch is not installed: its recurrent modules are NOT tested here")
from torch import nn  # noqa: E402

FEATURES, H = 4, 5
CELLS = {
    "LSTM of two layers, both ways": lambda **o: nn.LSTM(FEATURES, H, 2, bidirectional=True, **o),
    "LSTM without biases": lambda **o: nn.LSTM(FEATURES, H, bias=False, **o),
    "GRU of two layers, both ways": lambda **o: nn.GRU(FEATURES, H, 2, bidirectional=True, **o),
    "GRU without biases": lambda **o: nn.GRU(FEATURES, H, bias=False, **o),
    "RNN of two layers, both ways": lambda **o: nn.RNN(FEATURES, H, 2, bidirectional=True, **o),
    "RNN with ReLU": lambda **o: nn.RNN(FEATURES, H, nonlinearity="relu", **o),
}


class Network(nn.Module):
    """Scores of everything that a cell returns: the last step, the mean over steps, and the states of all directions."""

    def __init__(self, cell):
        super().__init__()
        wide = H * (2 if cell.bidirectional else 1)
        self.cell, self.heads = cell, nn.ModuleList([nn.Linear(wide, 3) for _ in range(3)])

    def forward(self, x):
        steps, state = self.cell(x if self.cell.batch_first else x.transpose(0, 1))
        steps = steps if self.cell.batch_first else steps.transpose(0, 1)
        hidden = state[0] if isinstance(state, tuple) else state
        hidden = torch.cat([hidden[-2], hidden[-1]], 1) if self.cell.bidirectional else hidden[-1]
        last, mean, states = self.heads
        return last(steps[:, -1]) + mean(steps.mean(1)) + states(hidden)


def network(name, **options):
    torch.manual_seed(1)
    return Network(CELLS[name](**options)).eval()


def sequences(count, steps):
    return torch.randn(count, steps, FEATURES, generator=torch.Generator().manual_seed(steps))


def predicted(module, *inputs):
    with torch.no_grad():
        return module(*inputs).numpy()


@pytest.mark.parametrize("exporter", loader.EXPORTERS)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_the_model_predicts_what_the_module_predicts_and_its_explanation_closes(name, batch_first, exporter):
    module, x = network(name, batch_first=batch_first), sequences(3, 6)
    model = loader.load(module, x[:1], exporter=exporter)
    np.testing.assert_allclose(model(x.numpy()), predicted(module, x), atol=3e-6)
    found = [node for node in model.nodes if isinstance(node.layer, Recurrent)]
    # The newer exporter takes an RNN apart into its steps, which are explained as any other nodes.
    assert len(found) >= (0 if name.startswith("RNN") and exporter == "dynamo" else module.cell.num_layers)
    for composite in ("lstm_all", "lstm_half"):
        e = closes(lrp_ref.Explainer(model, composite, ledger=True), x.numpy())
        assert abs(e.relevance).max() > 0


def written(module, x, exporter):
    """The module as a file whose batch and steps are open."""
    import onnx

    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exporters warn of their own future
        if exporter == "dynamo":
            shapes = [dict.fromkeys((0, 1), torch.export.Dim.AUTO)]
            return torch.onnx.export(module, (x,), dynamic_shapes=shapes, dynamo=True, verbose=False).model_proto
        axes = {"x": {0: "batch", 1: "steps"}}
        torch.onnx.export(module, (x,), stream, input_names=["x"], dynamic_axes=axes, dynamo=False)

    return onnx.load_model_from_string(stream.getvalue())


@pytest.mark.parametrize("exporter", loader.EXPORTERS)
@pytest.mark.parametrize("name", ["LSTM of two layers, both ways", "GRU without biases", "RNN with ReLU"])
def test_a_file_for_any_number_of_steps_is_read_as_one(name, exporter):
    if name.startswith("RNN") and exporter == "dynamo":
        pytest.skip("PyTorch 2.13's newer exporter writes an RNN of any number of steps as a loop over a list")
    if exporter == "dynamo":
        pytest.importorskip("onnxscript", reason="onnxscript is not installed: the newer exporter is NOT tested")
    module = network(name, batch_first=True)
    model = reader.load(written(module, sequences(2, 6), exporter))
    assert model.input_shape == {}
    for steps in (1, 6, 11):
        x = sequences(3, steps)
        np.testing.assert_allclose(model(x.numpy()), predicted(module, x), atol=3e-6)


@pytest.mark.parametrize("exporter", loader.EXPORTERS)
def test_projections_are_refused_by_name(exporter):
    torch.manual_seed(3)
    module = nn.Sequential()
    module.add_module("reader", nn.LSTM(FEATURES, H, proj_size=3, batch_first=True))
    with pytest.raises(FormatError, match=r"Sequential: 'reader' is an LSTM with proj_size=3.*no form in ONNX"):
        loader.load(module, sequences(1, 6), exporter=exporter)
