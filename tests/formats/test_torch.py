"""PyTorch modules: what they predict is what the model predicts, and the explanation's accounts close.

These tests need PyTorch (extra torch), which the gate's machine may lack: they are skipped there, each with its reason.
"""

import importlib.util
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref.errors import FormatError, MissingExtraError, ParameterError
from lrp_ref.formats import torch as loader
from support.fans import closes

try:
    import torch
    from torch import nn
except ImportError:
    torch = nn = None  # type: ignore[assignment]

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed: its modules are NOT tested here")


def test_without_pytorch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"PyTorch: pip install 'lrp_ref\[torch\]'"):
        loader.load(object(), np.ones((1, 2)))


# ---- modules -----------------------------------------------------------------------------------------------------------


def convolutional() -> Any:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 12, 3, stride=2, groups=2), nn.BatchNorm2d(12), nn.LeakyReLU(0.1), nn.AvgPool2d(2, ceil_mode=True)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 5)),
    )


def perceptron() -> Any:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8), nn.ELU(), nn.Linear(8, 3))


def smooth() -> Any:
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding="same"), nn.GELU(), nn.Upsample(scale_factor=2), nn.ConvTranspose2d(6, 4, 2, stride=2)),
        *(nn.SiLU(), nn.Conv2d(4, 4, 3, padding=1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.LayerNorm(4), nn.Linear(4, 3)),
    )


def unusual() -> Any:
    """What the exporters take apart in ways of their own."""
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.Softplus(2), nn.LPPool2d(2, 2), nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.PReLU(4)),
        *(nn.InstanceNorm2d(4, affine=True), nn.Flatten(), nn.Linear(36, 3)),
    )


if nn is not None:

    class Block(nn.Module):
        """Two convolutions and a shortcut, which is a convolution where the shape changes."""

        def __init__(self, lower: int, upper: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(lower, upper, 3, stride, 1, bias=False), nn.BatchNorm2d(upper)
            self.conv2, self.bn2 = nn.Conv2d(upper, upper, 3, 1, 1, bias=False), nn.BatchNorm2d(upper)
            self.down = nn.Sequential(nn.Conv2d(lower, upper, 1, stride, bias=False), nn.BatchNorm2d(upper))
            self.changes = lower != upper or stride != 1

        def forward(self, x):
            h = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(h + (self.down(x) if self.changes else x))

    class Residual(nn.Module):
        """ResNet-shaped: a stem, blocks with and without a convolution in the shortcut, the mean over space, a dense layer."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
            self.layer1 = nn.Sequential(Block(8, 8), Block(8, 8))
            self.layer2 = nn.Sequential(Block(8, 12, 2), Block(12, 12))
            self.fc = nn.Linear(12, 5)

        def forward(self, x):
            return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(self.layer2(self.layer1(self.stem(x))), 1), 1))

    class Inverted(nn.Module):
        """MobileNet-shaped: expansion, depthwise convolution, a squeeze-and-excitation gate, projection, shortcut."""

        def __init__(self) -> None:
            super().__init__()
            self.expand, self.bn1 = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)
            self.depth, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)
            self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
            self.project, self.fc = nn.Conv2d(8, 4, 1), nn.Linear(4, 3)

        def forward(self, x):
            h = nn.functional.hardswish(self.bn1(self.expand(x)))
            h = nn.functional.relu6(self.bn2(self.depth(h)))
            h = h * nn.functional.hardsigmoid(self.excite(torch.relu(self.squeeze(h.mean((2, 3), keepdim=True)))))
            return self.fc((self.project(h) + x).mean((2, 3)))

    class Dense(nn.Module):
        """DenseNet-shaped: batch norm and ReLU before each convolution, and everything concatenated."""

        def __init__(self) -> None:
            super().__init__()
            self.bns = nn.ModuleList(nn.BatchNorm2d(4 + 3 * i) for i in range(3))
            self.convs = nn.ModuleList(nn.Conv2d(4 + 3 * i, 3, 3, padding=1, bias=False) for i in range(3))
            self.fc = nn.Linear(13, 4)

        def forward(self, x):
            for bn, conv in zip(self.bns, self.convs, strict=True):
                x = torch.cat([x, conv(torch.relu(bn(x)))], 1)
            return self.fc(x.mean((2, 3)))

    class Two(nn.Module):
        """Two inputs, two outputs."""

        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.head = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 2)

        def forward(self, image, table):
            h = torch.relu(self.left(image) + self.right(table))
            return self.head(h), h

    class Sorts(nn.Module):
        """Uses an operator that is not read."""

        def forward(self, x):
            return torch.cumsum(x * 2, 1) + torch.bitwise_not(x.int())

    class Fails(nn.Module):
        """Cannot be exported, nor run."""

        def forward(self, x):
            raise TypeError("no such luck")

    class Draws(nn.Module):
        """Depends on more than its input."""

        calls = 0

        def forward(self, x):
            Draws.calls += 1
            return x * Draws.calls


NETWORKS = {
    "convolutional": (convolutional, (3, 14, 14)),
    "perceptron": (perceptron, (6,)),
    "smooth": (smooth, (2, 6, 6)),
    "unusual": (unusual, (2, 6, 6)),
    "residual": (lambda: Residual(), (3, 32, 32)),
    "inverted": (lambda: Inverted(), (4, 6, 6)),
    "dense": (lambda: Dense(), (4, 6, 6)),
}


def made(name: str, seed: int = 0) -> Any:
    """A module with random weights, and batch norms with statistics that are none of a fresh one."""
    torch.manual_seed(seed)
    module = NETWORKS[name][0]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return module


def batch(name: str, count: int) -> Any:
    return torch.randn(count, *NETWORKS[name][1], generator=torch.Generator().manual_seed(7))


def predicted(module: Any, *inputs: Any) -> np.ndarray:
    module.eval()
    with torch.no_grad():
        return module(*inputs).numpy()


# ---- tests -------------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("exporter", loader.EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_model_predicts_what_the_module_predicts_and_its_explanation_closes(name, exporter):
    module, x = made(name), batch(name, 3)
    model = loader.load(module, x[:1], exporter=exporter)
    expected = predicted(module, x)
    # Two float32 implementations of one small network differ by their summing orders: 1e-5 of the largest score.
    assert np.abs(model(x.numpy()) - expected).max() <= 1e-5 * np.abs(expected).max()
    for backend in lrp_ref.BACKENDS:
        e = closes(lrp_ref.Explainer(model, "epsilon_plus", ledger=True, backend=backend), x.numpy())
        assert e.relevance.shape == x.shape
        assert abs(e.relevance).max() > 0


@needs_torch
def test_in_float64_the_prediction_is_exact_to_float64s_rounding():
    module, x = made("residual").double(), batch("residual", 2).double()
    model = loader.load(module, x)
    assert model.dtype == np.float64
    expected = predicted(module, x)
    assert np.abs(model(x.numpy()) - expected).max() <= 1e-13 * np.abs(expected).max()


@needs_torch
def test_nodes_are_named_by_the_modules_that_they_come_from():
    model = loader.load(made("residual"), batch("residual", 1), exporter="dynamo")
    names = [node.name for node in model.nodes]
    assert [name for name in names if name.startswith("layer1.0.")] == [
        *("layer1.0.bn1", "layer1.0.relu", "layer1.0.bn2", "layer1.0.add", "layer1.0.relu_2")  # with conv1 and conv2 in them
    ]
    assert isinstance(model["layer1.0.bn1"].layer, L.Conv)
    assert model.outputs == ("fc",)
    e = lrp_ref.explain(model, batch("residual", 1).numpy(), keep=["layer1.0.add"])
    assert e.at("layer1.0.add").shape == (1, 8, 8, 8)


@needs_torch
def test_of_several_nodes_of_one_module_the_last_has_its_name():
    model = loader.load(made("smooth"), batch("smooth", 1), exporter="dynamo", patterns=False)
    assert model.readers("4.Sigmoid") == (model["4"],)
    assert isinstance(model["4"].layer, L.Multiply)


@needs_torch
@pytest.mark.parametrize("exporter", loader.EXPORTERS)
def test_the_module_stays_as_it_was(exporter):
    module = made("convolutional").train()
    module[1].eval()
    module[4].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    wanted = [p.requires_grad for p in module.parameters()]
    x = batch("convolutional", 1).requires_grad_()
    loader.load(module, x, exporter=exporter)
    assert [part.training for part in module.modules()] == modes
    assert [p.requires_grad for p in module.parameters()] == wanted
    assert all(p.grad is None for p in module.parameters())
    assert x.grad is None
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.is_grad_enabled()


@needs_torch
def test_the_mode_comes_back_after_an_error_too():
    module = nn.Sequential(nn.Dropout(), Fails()).train()
    with pytest.raises(FormatError, match=r"cannot export this module to ONNX.*no such luck"):
        loader.load(module, torch.ones(2, 2))
    assert module.training
    assert module[0].training


@needs_torch
def test_several_inputs_and_outputs_by_name():
    torch.manual_seed(0)
    module, image, table = Two(), torch.randn(2, 3), torch.randn(2, 2)
    model = loader.load(module, (image, table))
    assert model.inputs == ("image", "table")
    assert len(model.outputs) == 2
    found = model({"image": image.numpy(), "table": table.numpy()})
    for ours, theirs in zip(found.values(), module(image, table), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-6)
    e = lrp_ref.explain(model, {"image": image.numpy(), "table": table.numpy()}, output=model.outputs[0])
    assert e.at("table").shape == (2, 2)


@needs_torch
def test_an_array_is_an_example_too():
    module = made("perceptron")
    x = np.random.default_rng(0).standard_normal((1, 6))
    assert loader.load(module, x)(x).shape == (1, 3)


@needs_torch
@pytest.mark.parametrize("exporter", loader.EXPORTERS)
def test_the_batch_axis_stays_open_though_the_example_is_one_sample(exporter, monkeypatch):
    import onnx

    written = []
    monkeypatch.setattr(loader.onnx, "load", lambda proto, **_: written.append(proto))
    loader.load(made("perceptron"), np.ones((1, 6)), exporter=exporter, check=False)
    proto = written[0] if exporter == "dynamo" else onnx.load_from_string(written[0])
    axes = proto.graph.input[0].type.tensor_type.shape.dim
    assert axes[0].dim_param
    assert axes[1].dim_value == 6


@needs_torch
def test_what_is_not_read_is_named():
    with pytest.raises(FormatError, match=r"Sorts: .*BitwiseNot"):
        loader.load(Sorts(), torch.ones(2, 3))


@needs_torch
def test_a_module_that_is_no_function_of_its_input_is_refused_unless_asked_for():
    with pytest.raises(FormatError, match="away from the module's"):
        loader.load(Draws(), torch.ones(2, 3))
    loader.load(Draws(), torch.ones(2, 3), check=False)


@needs_torch
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda x: x, np.ones((1, 2))), "torch.nn.Module is needed, found function"),
        (("module", np.ones(())), "needs a batch axis"),
        (("module", np.ones((0, 6))), "needs a batch axis and a sample"),
    ],
)
def test_slips(arguments, message):
    module, x = arguments
    with pytest.raises(ParameterError, match=message):
        loader.load(made("perceptron") if module == "module" else module, x)
    with pytest.raises(ParameterError, match="exporter is one of dynamo, torchscript"):
        loader.load(made("perceptron"), np.ones((1, 6)), exporter="other")


@needs_torch
def test_the_example_does_what_it_says(capsys):
    """The documentation shows this script and what it prints."""
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("pytorch_network", root / "examples" / "pytorch_network.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own
        script.main()
    page = (root / "docs" / "ways_in" / "pytorch.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "  3.relu_2  ReLU()  ← 3.add\n" in printed
    shown = [line for line in printed.splitlines() if "difference" not in line and "from the file" not in line]
    assert "\n".join(shown[:-2]) in page
