"""Occlusion and Grad-CAM of Captum give what comes out here, where the conventions are the same."""

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


@pytest.fixture(scope="module")
def captum() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("captum", reason="Captum is not installed: the comparison with it is NOT tested here")
        import captum.attr as found
    return found


def twins() -> tuple[Any, Model, np.ndarray]:
    """The same network there and here, and images of 2 × 9 × 8 cells."""
    torch.manual_seed(0)
    there = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten())
    there = nn.Sequential(*there, nn.Linear(20, 3)).double()
    parts = {name: tensor.detach().numpy() for name, tensor in there.named_parameters()}
    here = [L.Conv(parts["0.weight"], parts["0.bias"], padding=1), L.ReLU(), L.MaxPool(2)]
    here += [L.Conv(parts["3.weight"], parts["3.bias"]), L.ReLU(), L.Flatten(), L.Dense(parts["6.weight"].T, parts["6.bias"])]
    return there, Model.sequential(here), np.random.default_rng(1).normal(size=(2, 2, 9, 8))


@pytest.mark.parametrize(
    ("patch", "stride", "baseline"), [(3, 3, 0.0), (3, 2, 0.5), ((2, 4), (1, 2), 0.0), (1, 1, -1.0), (4, 3, 0.0)]
)
def test_occlusion(captum, patch, stride, baseline):
    there, here, x = twins()
    patches, strides = ((n, n) if isinstance(n, int) else n for n in (patch, stride))
    expected = captum.Occlusion(there).attribute(
        torch.tensor(x), sliding_window_shapes=(2, *patches), strides=(2, *strides), target=1, baselines=baseline
    )
    found = methods.Occlusion(here, patch, stride, replacement=baseline)(x, 1).relevance
    np.testing.assert_allclose(found, expected.detach().numpy(), **CLOSE)


@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam(captum, relu):
    there, here, x = twins()
    for layer, name in ((4, None), (3, "conv2"), (2, "maxpool1")):
        expected = captum.LayerGradCam(there, there[layer]).attribute(torch.tensor(x), target=2, relu_attributions=relu)
        e = methods.GradCAM(here, name, relu=relu)(x, 2)
        (kept,) = set(e.relevances) - {"input"}
        np.testing.assert_allclose(e.at(kept), expected.detach().numpy(), **CLOSE)


def test_guided_grad_cam(captum):
    there, here, x = twins()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it sets hooks
        guided = captum.GuidedBackprop(there).attribute(torch.tensor(x, requires_grad=True), target=0).detach().numpy()
    large = methods.GradCAM(here)(x, 0).relevance
    np.testing.assert_allclose(methods.GuidedGradCAM(here)(x, 0).relevance, guided * large, **CLOSE)
