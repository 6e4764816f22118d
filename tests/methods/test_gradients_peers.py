"""Gradients of PyTorch, and what Captum makes of them, are what comes out here, where the conventions are the same."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from lrp_ref import Model, methods
from lrp_ref import layers as L

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparisons with other libraries are NOT tested here")
nn = torch.nn
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
TARGET = 2


@pytest.fixture(scope="module")
def captum() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("captum", reason="Captum is not installed: the comparison with it is NOT tested here")
        import captum.attr as found
    return found


def dense(activation: Any, twin: L.Layer) -> tuple[Any, list[L.Layer], tuple[int, ...]]:
    there = nn.Sequential(nn.Linear(6, 9), activation, nn.Linear(9, 7), activation, nn.Linear(7, 3)).double()
    layers = [there[i] for i in (0, 2, 4)]
    first, second, third = (L.Dense(one.weight.detach().numpy().T, one.bias.detach().numpy()) for one in layers)
    return there, [first, twin, second, twin, third], (6,)


def convolutional(pool: Any, twin: L.Layer, **options: Any) -> tuple[Any, list[L.Layer], tuple[int, ...]]:
    conv = nn.Conv2d(2, 4, 3, **options)
    there = nn.Sequential(conv, nn.ReLU(), pool, nn.Conv2d(4, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    there = nn.Sequential(*there, nn.Linear(5, 3)).double()
    parts = {name: tensor.detach().numpy() for name, tensor in there.named_parameters()}
    here = [L.Conv(parts["0.weight"], parts["0.bias"], **options), L.ReLU(), twin, L.Conv(parts["3.weight"], parts["3.bias"])]
    here += [L.ReLU(), L.GlobalAvgPool(), L.Flatten(), L.Dense(parts["7.weight"].T, parts["7.bias"])]
    return there, here, (2, 11, 10)


NETWORKS = {
    "dense, ReLU": lambda: dense(nn.ReLU(), L.ReLU()),
    "dense, leaky": lambda: dense(nn.LeakyReLU(0.125), L.LeakyReLU(0.125)),
    "dense, tanh": lambda: dense(nn.Tanh(), L.Tanh()),
    "dense, sigmoid": lambda: dense(nn.Sigmoid(), L.Sigmoid()),
    "maxima": lambda: convolutional(nn.MaxPool2d(2), L.MaxPool(2), padding=1),
    "overlapping maxima": lambda: convolutional(nn.MaxPool2d(3, stride=2), L.MaxPool(3, stride=2)),
    "averages": lambda: convolutional(nn.AvgPool2d(2), L.AvgPool(2), stride=2, padding=1),
    "dilation": lambda: convolutional(nn.AvgPool2d(2), L.AvgPool(2), dilation=2),
}
RECTIFIED = ("dense, ReLU", "maxima", "averages", "dilation")


def twins(name: str) -> tuple[Any, Model, np.ndarray]:
    """The same network there and here, and two samples."""
    torch.manual_seed(7)
    there, here, shape = NETWORKS[name]()
    return there, Model.sequential(here), np.random.default_rng(3).normal(size=(2, *shape))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_is_that_of_autograd(name):
    there, here, x = twins(name)
    inputs = torch.tensor(x, requires_grad=True)
    there(inputs)[:, TARGET].sum().backward()
    np.testing.assert_allclose(methods.Gradient(here)(x, TARGET).relevance, inputs.grad.numpy(), **CLOSE)
    np.testing.assert_allclose(methods.GradientTimesInput(here)(x, TARGET).relevance, x * inputs.grad.numpy(), **CLOSE)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("rule", "theirs"), [("midpoint", "middle"), ("left", "left"), ("right", "right")])
def test_integrated_gradients(captum, name, rule, theirs):
    there, here, x = twins(name)
    # 8 steps: Captum rounds its steps to float32, which takes eighths as they are
    paths = captum.IntegratedGradients(there)
    expected = paths.attribute(torch.tensor(x), 0.25, TARGET, n_steps=8, method=f"riemann_{theirs}")
    found = methods.IntegratedGradients(here, baseline=0.25, steps=8, rule=rule)(x, TARGET).relevance
    np.testing.assert_allclose(found, expected.detach().numpy(), **CLOSE)


def test_captums_trapezoids_are_too_small_by_one_of_their_points(captum):
    """Its weights 1/2n, 1/n, …, 1/n, 1/2n for n points add up to (n − 1)/n: of a linear function 4/5 arrives with 5 points."""
    there = nn.Sequential(nn.Linear(2, 1, bias=False)).double()
    x = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    theirs = captum.IntegratedGradients(there).attribute(x, n_steps=5, method="riemann_trapezoid").detach().numpy()
    here = Model.sequential([L.Dense(there[0].weight.detach().numpy().T)])
    e = methods.IntegratedGradients(here, steps=4, rule="trapezoid")(x.numpy())
    np.testing.assert_allclose(theirs, e.relevance * 4 / 5, rtol=1e-6)
    np.testing.assert_allclose(e.relevance.sum(), here(x.numpy()).item(), **CLOSE)


@pytest.mark.parametrize("name", RECTIFIED)
@pytest.mark.parametrize(("method", "theirs"), [(methods.GuidedBackprop, "GuidedBackprop"), (methods.Deconvnet, "Deconvolution")])
def test_rectified_messages(captum, name, method, theirs):
    there, here, x = twins(name)
    for number, layer in enumerate(there):
        if isinstance(layer, nn.ReLU):
            there[number] = nn.ReLU()  # Captum wants a module of its own for each use
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it sets hooks
        expected = getattr(captum, theirs)(there).attribute(torch.tensor(x, requires_grad=True), target=TARGET)
    np.testing.assert_allclose(method(here)(x, TARGET).relevance, expected.detach().numpy(), **CLOSE)
