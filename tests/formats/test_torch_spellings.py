"""CONV-SPELLING through PyTorch's exporters and Keras: the same function gets the same layer, whoever writes the file.

All functions are exported at once, side by side, since an export takes seconds. These tests need PyTorch (extra torch) or Keras,
which the gate's machine may lack: they are skipped there, each with its reason.
"""

import importlib.util

import numpy as np
import pytest

import lrp_ref
from lrp_ref import layers as L
from lrp_ref.formats import torch as loader

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    torch = nn = F = None  # type: ignore[assignment]

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed: its spellings are NOT tested here")
needs_onnxscript = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="onnxscript is not installed: the new exporter is NOT tested here"
)
EXPORTERS = [pytest.param("torchscript", marks=needs_torch), pytest.param("dynamo", marks=(needs_torch, needs_onnxscript))]
#: What only the newer exporter can write.
NEW = {"RMSNorm", "expm1", "Threshold", "logaddexp"}


def rms(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def by_hand(x):
    """A layer norm."""
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def variance(x):
    return (x * x).mean(-1, keepdim=True) - x.mean(-1, keepdim=True) ** 2


def moments(x):
    """A layer norm."""
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(variance(x) + 1e-5)


def var_mean(x):
    squares, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(squares + 1e-5)


def taken_apart(x):
    inverse = torch.rsqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)
    return x * inverse - x.mean(-1, keepdim=True) * inverse


def ranged(x):
    low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
    return (x - low) / (high - low)


def normalised(x):
    powers = torch.exp(x - x.amax(-1, keepdim=True))
    return powers / powers.sum(-1, keepdim=True)


#: For each layer the functions that are read as it.
TABLE = {
    "ReLU()": {
        "ReLU": lambda: nn.ReLU(),
        "maximum": lambda: lambda x: torch.maximum(x, torch.tensor(0.0)),
        "maximum of zeros": lambda: lambda x: torch.maximum(x, torch.zeros_like(x)),
        "clamp": lambda: lambda x: x.clamp(min=0),
        "where": lambda: lambda x: torch.where(x > 0, x, 0.0),
        "where zeros": lambda: lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
        "mask": lambda: lambda x: x * (x > 0),
        "mask of floats": lambda: lambda x: (x > 0).float() * x,
        "masked_fill": lambda: lambda x: x.masked_fill(x < 0, 0.0),
    },
    "Clip(low=0.0, high=6.0)": {"ReLU6": lambda: nn.ReLU6(), "nested": lambda: lambda x: torch.relu(x.clamp(max=6))},
    "LeakyReLU(slope=0.1)": {
        "LeakyReLU": lambda: nn.LeakyReLU(0.1),
        "maximum of a multiple": lambda: lambda x: torch.maximum(x, 0.1 * x),
    },
    "Abs()": {"abs": lambda: torch.abs, "maximum of the negative": lambda: lambda x: torch.maximum(x, -x)},
    "Sigmoid()": {
        "Sigmoid": lambda: nn.Sigmoid(),
        "quotient": lambda: lambda x: 1 / (1 + torch.exp(-x)),
        "power": lambda: lambda x: (1 + torch.exp(-x)) ** -1,
    },
    "SiLU()": {
        "SiLU": lambda: nn.SiLU(),
        "quotient ": lambda: lambda x: x / (1 + torch.exp(-x)),
        "product": lambda: lambda x: x * (1 / (1 + torch.exp(-x))),
    },
    "Softplus()": {
        "Softplus": lambda: nn.Softplus(),
        "log1p": lambda: lambda x: torch.log1p(torch.exp(x)),
        "logaddexp": lambda: lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    },
    "LogSigmoid()": {"LogSigmoid": lambda: nn.LogSigmoid(), "log": lambda: lambda x: torch.log(torch.sigmoid(x))},
    "Softsign()": {"Softsign": lambda: nn.Softsign(), "quotient  ": lambda: lambda x: x / (1 + x.abs())},
    f"HardSigmoid(alpha={1 / 6})": {
        "hard sigmoid": lambda: lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
        "relu6": lambda: lambda x: F.relu6(x + 3) / 6,
    },
    "HardSwish()": {"Hardswish": lambda: nn.Hardswish(), "times relu6": lambda: lambda x: x * F.relu6(x + 3) / 6},
    "Shrink(threshold=0.4)": {"Hardshrink": lambda: nn.Hardshrink(0.4)},
    "Shrink(threshold=0.3, shift=0.3)": {"Softshrink": lambda: nn.Softshrink(0.3)},
    "Threshold(threshold=0.1, value=0.2)": {"Threshold": lambda: nn.Threshold(0.1, 0.2)},
    "ELU()": {"ELU": lambda: nn.ELU(), "expm1": lambda: lambda x: torch.where(x > 0, x, torch.expm1(x))},
    "Softmax(axis=2)": {"Softmax": lambda: nn.Softmax(-1), "exponentials": lambda: normalised},
    "GELU(approximate='tanh')": {"GELU": lambda: nn.GELU("tanh"), "gelu by hand": lambda: gelu},
    "LayerNorm()": {
        "LayerNorm": lambda: nn.LayerNorm(6, elementwise_affine=False),
        "by hand": lambda: by_hand,
        "moments": lambda: moments,
        "rsqrt of moments": lambda: lambda x: (x - x.mean(-1, keepdim=True)) * torch.rsqrt(variance(x).clamp(min=0) + 1e-5),
        "power": lambda: lambda x: (x - x.mean(-1, keepdim=True)) * (variance(x) + 1e-5) ** -0.5,
        "reciprocal": lambda: lambda x: (x - x.mean(-1, keepdim=True)) * torch.sqrt(variance(x) + 1e-5).reciprocal(),
        "taken apart": lambda: taken_apart,
        "var_mean": lambda: var_mean,
        "means unsqueezed": lambda: lambda x: (x - x.mean(-1)[..., None]) / (x.var(-1, unbiased=False)[..., None] + 1e-5).sqrt(),
    },
    "LayerNorm(epsilon=0.0, outside=1e-06, correction=1)": {
        "annotated": lambda: lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6),
    },
    "LayerNorm(epsilon=0.0, outside=1e-06)": {
        "std": lambda: lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, unbiased=False) + 1e-6),
    },
    "LayerNorm(correction=1)": {
        "unbiased": lambda: lambda x: (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5),
    },
    "RMSNorm(epsilon=1e-06)": {"RMSNorm": lambda: nn.RMSNorm(6, 1e-6, elementwise_affine=False), "rsqrt": lambda: rms},
    "RMSNorm(epsilon=0.0, outside=1e-06)": {
        "root": lambda: lambda x: x / (x.pow(2).mean(-1, keepdim=True).sqrt() + 1e-6),
        "norm of x": lambda: lambda x: x / (x.norm(dim=-1, keepdim=True) * 6**-0.5 + 1e-6),
    },
    "LpNorm(axes=(2,), outside=1e-06)": {"norm + eps": lambda: lambda x: x / (x.norm(dim=2, keepdim=True) + 1e-6)},
    "LpNorm(axes=(2,))": {"norm": lambda: lambda x: x / x.norm(dim=2, keepdim=True)},
    "LpNorm(axes=(2,), floor=9.999999960041972e-13)": {"normalize": lambda: lambda x: F.normalize(x, dim=2)},
    "MinMaxNorm(axes=(1, 2))": {"min-max": lambda: ranged},
}
NAMED = {name: (layer, make) for layer, names in TABLE.items() for name, make in names.items()}


def beside(functions):
    """A module whose output has the functions' values side by side."""

    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.functions = functions
            self.modules_ = nn.ModuleList([f for f in functions if isinstance(f, nn.Module)])

        def forward(self, x):
            return torch.cat([f(x) for f in self.functions], 1)

    return Beside().eval()


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_every_function_is_the_layer_itself(exporter):
    names = [name for name in NAMED if exporter == "dynamo" or name not in NEW]
    x = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)) * 2
    model = loader.load(beside([NAMED[name][1]() for name in names]), x, exporter=exporter)
    joined = model.nodes[-1]
    assert isinstance(joined.layer, L.Concat)
    found = {name: repr(model[source].layer) for name, source in zip(names, joined.inputs, strict=True)}
    assert found == {name: NAMED[name][0] for name in names}
    assert all(model[source].inputs == model.inputs for source in joined.inputs)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("size", [3, 4])
def test_local_response_normalisation(exporter, size):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LocalResponseNorm(size, 0.001, 0.75, 2.0), nn.Flatten(), nn.Linear(64, 2)).eval()
    x = torch.randn(2, 3, 6, 6)
    model = loader.load(net, x, exporter=exporter)
    assert repr(model.nodes[1 + (size % 2 == 0)].layer) == repr(L.LRN(size, 0.001, 0.75, 2.0))
    np.testing.assert_allclose(model(x.numpy()), net(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert np.isfinite(lrp_ref.explain(model, x.numpy(), target=0).relevance).all()


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_siamese_network_by_absolute_differences(exporter):
    """|u − v|: piecewise linear, so that LRP-0 is gradient × input."""
    torch.manual_seed(0)

    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.last = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4)), nn.Linear(4, 1)

        def forward(self, a, b):
            return self.last(torch.abs(self.e(a) - self.e(b)))

    net = Siamese().eval()
    a, b = (torch.randn(3, 5, requires_grad=True) for _ in range(2))
    net(a, b).sum().backward()
    model = loader.load(net, (a.detach(), b.detach()), exporter=exporter)
    given = dict(zip(model.inputs, (a.detach().numpy(), b.detach().numpy()), strict=True))
    e = lrp_ref.explain(model, given, rule=lrp_ref.rules.Zero(), target=0)
    for t, found in zip((a, b), e.relevance.values(), strict=True):
        np.testing.assert_allclose(found, (t.grad * t).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("form", ["x + t(h − x)", "th + (1 − t)x", "2th"])
def test_highways_hold_their_gate(exporter, form):
    """Whichever way the mixture is written: gradient × input with the gate held."""
    torch.manual_seed(0)

    class Highway(nn.Module):
        def __init__(self):
            super().__init__()
            self.t, self.h, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x, held=False):
            t, h = torch.sigmoid(self.t(x)), torch.relu(self.h(x))
            t = t.detach() if held else t
            mixed = {"x + t(h − x)": lambda: x + t * (h - x), "th + (1 − t)x": lambda: t * h + (1 - t) * x}
            return self.last(mixed[form]() if form in mixed else (2 * t) * h)

    net, x = Highway().eval(), torch.randn(3, 6)
    held = x.clone().requires_grad_()
    net(held, True)[:, 0].sum().backward()
    e = lrp_ref.explain(loader.load(net, x, exporter=exporter), x.numpy(), rule=lrp_ref.rules.Zero(), target=0)
    np.testing.assert_allclose(e.relevance, (held.grad * held).detach().numpy(), rtol=1e-3, atol=1e-4)


CHOICES = {
    "maximum": lambda a, b: torch.maximum(a, b),
    "minimum": lambda a, b: torch.minimum(a, b),
    "where": lambda a, b: torch.where(b > 0.25, a, b),
    "where of both": lambda a, b: torch.where(a > b, b, a),
    "where of two": lambda a, b: torch.where((b > 0.25) & (a < 1), a, b),
    "mask": lambda a, b: a * (b > 0.25) + b * (b <= 0.25),
    "masked_fill": lambda a, b: a.masked_fill(b < 0.25, 0.0),
    "stack": lambda a, b: torch.stack([a, b], 1).amax(1),
    "largest of three": lambda a, b: torch.maximum(torch.maximum(a, b), a + b),
}


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_choices_between_signals_are_gradient_times_input(exporter):
    """All of them side by side: piecewise linear, so that LRP-0 is gradient × input."""
    torch.manual_seed(0)

    class Choices(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 7, bias=False), nn.Linear(5, 7, bias=False)
            self.last = nn.ModuleList([nn.Linear(7, 1) for _ in CHOICES])

        def forward(self, x):
            a, b = self.a(x), self.b(x)
            return torch.cat([last(choice(a, b)) for last, choice in zip(self.last, CHOICES.values(), strict=True)], 1)

    net, x = Choices().eval(), torch.randn(4, 5, requires_grad=True)
    model = loader.load(net, x.detach(), exporter=exporter)
    targets = tuple(range(len(CHOICES)))
    e = lrp_ref.explain(model, x.detach().numpy(), rule=lrp_ref.rules.Zero(), targets=targets)
    for index, name in enumerate(CHOICES):
        (slope,) = torch.autograd.grad(net(x)[:, index].sum(), x)
        np.testing.assert_allclose(e.relevance[:, index], (slope * x).detach().numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
