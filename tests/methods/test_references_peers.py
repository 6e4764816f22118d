"""What Captum computes is what comes out here, where it is right; where it is not, the proof is a sum."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from lrp_ref import Model
from lrp_ref import layers as L
from lrp_ref.methods import DeepLift, Lime, Shapley

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore::UserWarning")]  # Captum warns of the hooks it sets

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparison with Captum is NOT tested here")
nn = torch.nn


@pytest.fixture(scope="module")
def captum() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("captum", reason="Captum is not installed: the comparison with it is NOT tested here")
        import captum.attr as found
    return found


def numbers(tensor: Any) -> Any:
    return tensor.detach().numpy()


def twin(net: Any) -> Model:
    layers: list[L.Layer] = []
    for module in net:
        if isinstance(module, nn.Conv2d):
            layers.append(L.Conv(numbers(module.weight), numbers(module.bias)))
        elif isinstance(module, nn.Linear):
            layers.append(L.Dense(numbers(module.weight).T, numbers(module.bias)))
        else:
            kinds = {nn.ReLU: L.ReLU, nn.Tanh: L.Tanh, nn.Sigmoid: L.Sigmoid, nn.Flatten: L.Flatten, nn.Softplus: L.Softplus}
            layers.append(L.MaxPool(module.kernel_size) if isinstance(module, nn.MaxPool2d) else kinds[type(module)]())
    return Model.sequential(layers)


def network(*between: Any) -> Any:
    torch.manual_seed(0)
    size = 16 if any(isinstance(module, nn.MaxPool2d) for module in between) else 64
    layers = (nn.Conv2d(2, 4, 3), nn.ReLU(), *between, nn.Flatten(), nn.Linear(4 * size // 4, 12), nn.Tanh(), nn.Linear(12, 9))
    return nn.Sequential(*layers, nn.Sigmoid(), nn.Linear(9, 5), nn.Softplus(), nn.Linear(5, 3)).double().eval()


def pair() -> tuple[Any, Any]:
    torch.manual_seed(1)
    return torch.randn(5, 2, 6, 6).double(), torch.randn(5, 2, 6, 6).double()


def test_deep_lift(captum: Any) -> None:
    net, (x, baseline) = network(), pair()
    theirs = numbers(captum.DeepLift(net).attribute(x, baseline, target=1))
    ours = DeepLift(twin(net), baseline=numbers(baseline))(numbers(x), 1)
    np.testing.assert_allclose(ours.relevance, theirs, rtol=1e-9, atol=1e-12)


def test_deep_lift_through_maxima_adds_up_here(captum: Any) -> None:
    """CONV-DEEPLIFT-MAX: Captum 0.9.0 does not add up to the difference where windows change their winner."""
    net, (x, baseline) = network(nn.MaxPool2d(2)), pair()
    ours = DeepLift(twin(net), baseline=numbers(baseline))(numbers(x), 1)
    np.testing.assert_allclose(ours.shared, numbers(net(x) - net(baseline))[:, 1], rtol=1e-9)
    np.testing.assert_allclose(ours.residual, 0, atol=1e-12)
    theirs = numbers(captum.DeepLift(net).attribute(x, baseline, target=1))
    assert abs(theirs.sum(axis=(1, 2, 3)) - ours.shared).max() > 1e-3


def test_shapley_values(captum: Any) -> None:
    """Each element of a group gets the group's whole value there, an equal part of it here (CONV-GROUP-SHARE)."""
    net, (x, baseline) = network(), pair()
    groups = np.arange(36).reshape(6, 6) // 9
    mask = torch.as_tensor(np.broadcast_to(groups, (1, 2, 6, 6)).copy())
    method = captum.ShapleyValueSampling(net)
    theirs = numbers(method.attribute(x[:2], baseline[:2], target=0, feature_mask=mask, n_samples=400))
    found = Shapley(twin(net), baseline=numbers(baseline[:2]), groups=groups, permutations=400)
    values, exact = found.group_values(numbers(x[:2]), 0), found.replace(permutations=None).group_values(numbers(x[:2]), 0)
    ours = np.stack([theirs[:, 0][:, groups == g][:, 0] for g in range(4)], axis=1)
    error = 5 * values.standard_error[:, 0].max() + 5e-3
    np.testing.assert_allclose(ours, exact.values[:, 0], atol=error)


def test_lime(captum: Any) -> None:
    """The same 2⁸ samples, the kernel of CONV-LIME, a ridge regression: the same coefficients."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: LIME is NOT compared with Captum's")
    from captum._utils.models.linear_model import SkLearnRidge

    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    x, baseline = torch.randn(1, 8).double(), torch.randn(1, 8).double()
    masks = iter((np.arange(256)[:, None] >> np.arange(8)) & 1)

    def similarity(original: Any, perturbed: Any, interpretable: Any, **more: Any) -> Any:
        distance = 1 - np.sqrt(float(interpretable.double().mean()))
        return torch.tensor([np.sqrt(np.exp(-((distance / 0.25) ** 2)))])

    method = captum.LimeBase(
        net,
        SkLearnRidge(alpha=1.0),
        similarity,
        lambda original, **more: torch.as_tensor(next(masks))[None].double(),
        True,
        lambda sample, original, **more: torch.where(sample > 0, original, baseline),
        None,
    )
    theirs = numbers(method.attribute(x, target=1, n_samples=256))
    model = Model.sequential(
        [
            L.Dense(numbers(net[0].weight).T, numbers(net[0].bias)),
            L.ReLU(),
            L.Dense(numbers(net[2].weight).T, numbers(net[2].bias)),
        ]
    )
    ours = Lime(model, baseline=numbers(baseline), samples="all")(numbers(x), 1)
    np.testing.assert_allclose(ours.relevance, theirs.reshape(1, 8), rtol=1e-5, atol=1e-7)
