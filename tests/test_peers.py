"""What Zennit, Captum and PyTorch's autograd compute is what comes out here, at matched settings.

A peer proves nothing about a rule; it shows that people who move get the numbers that they know, where the conventions are the
same. Where they are not, `docs/conventions.md` says how. The tests run where the libraries are; nothing of their code is in here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, composites, rules
from lrp_ref import layers as L

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the comparisons with other libraries are NOT tested here")
nn = torch.nn

#: Zennit has a stabiliser in every rule; this one is far below what is compared.
TINY = 1e-12
CLOSE = {"rtol": 1e-8, "atol": 1e-8}


@pytest.fixture(scope="module")
def zennit() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("zennit.rules", reason="Zennit is not installed: the comparison with it is NOT tested here")


@pytest.fixture(scope="module")
def captum() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("captum", reason="Captum is not installed: the comparison with it is NOT tested here")
        import captum.attr as found
    return found


# --- layers, under Zennit's rules -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Twin:
    """One layer there and here, and the shape of a sample."""

    module: Any
    layer: L.Linear
    sample: tuple[int, ...]


def numbers(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().numpy()


def dense(bias: bool = True) -> Twin:
    module = nn.Linear(7, 5, bias=bias).double()
    return Twin(module, L.Dense(numbers(module.weight).T, numbers(module.bias)), (7,))


def conv(dims: int, extent: int = 7, lower: int = 4, upper: int = 6, **options: Any) -> Twin:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    module = kind(lower, upper, 3, **options).double()
    named = {name: value for name, value in options.items() if name != "bias"}
    return Twin(module, L.Conv(numbers(module.weight), numbers(module.bias), **named), (lower, *(extent,) * dims))


def transposed(**options: Any) -> Twin:
    module = nn.ConvTranspose2d(4, 6, 3, **options).double()
    return Twin(module, L.ConvTranspose(numbers(module.weight), numbers(module.bias), **options), (4, 5, 5))


TWINS = {
    "dense": dense,
    "dense without bias": lambda: dense(bias=False),
    "conv 1d": lambda: conv(1, padding=1),
    "conv 2d": lambda: conv(2),
    "conv 2d, padding": lambda: conv(2, padding=1),
    "conv 2d, stride": lambda: conv(2, stride=2, padding=1),
    "conv 2d, dilation": lambda: conv(2, dilation=2, padding=2),
    "conv 2d, groups": lambda: conv(2, groups=2),
    "conv 2d, no bias": lambda: conv(2, bias=False),
    "depthwise": lambda: conv(2, lower=4, upper=4, groups=4),
    "conv 3d": lambda: conv(3, extent=4),
    "transposed": transposed,
    "transposed, stride": lambda: transposed(stride=2, padding=1),
}

#: The rule here, and its maker there: Zennit's name, its arguments, and whether the biases are left out as they are here.
RULES = {
    "LRP-0": (rules.Zero(), "Epsilon", {"epsilon": TINY}, False),
    "epsilon": (rules.Epsilon(0.25), "Epsilon", {"epsilon": 0.25}, False),
    "z+": (rules.ZPlus(), "ZPlus", {"stabilizer": TINY}, True),
    "alpha 1 beta 0": (rules.AlphaBeta(1, 0), "AlphaBeta", {"alpha": 1, "beta": 0, "stabilizer": TINY}, False),
    "alpha 2 beta 1": (rules.AlphaBeta(2, 1), "AlphaBeta", {"alpha": 2, "beta": 1, "stabilizer": TINY}, False),
    "alpha 3 beta 2": (rules.AlphaBeta(3, 2, bias="none"), "AlphaBeta", {"alpha": 3, "beta": 2, "stabilizer": TINY}, True),
    "gamma": (rules.GeneralizedGamma(0.25), "Gamma", {"gamma": 0.25, "stabilizer": TINY}, False),
    "large gamma": (rules.GeneralizedGamma(4), "Gamma", {"gamma": 4, "stabilizer": TINY}, False),
    "flat": (rules.Flat(), "Flat", {"stabilizer": TINY}, True),
    "w2": (rules.WSquare(), "WSquare", {"stabilizer": TINY}, True),
    "zB": (rules.ZBox(-3, 3), "ZBox", {"low": -3.0, "high": 3.0, "stabilizer": TINY}, True),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", TWINS)
def test_a_layer_under_zennits_rules(zennit, name, rule):
    torch.manual_seed(0)
    twin, random = TWINS[name](), np.random.default_rng(1)
    ours, theirs, options, without_bias = RULES[rule]
    x = random.uniform(-3, 3, (2, *twin.sample))
    tensor = torch.from_numpy(x).requires_grad_()
    hook = getattr(zennit, theirs)(**options, **({"zero_params": "bias"} if without_bias else {}))
    handle = hook.register(twin.module)
    try:
        output = twin.module(tensor)
        R = random.standard_normal(tuple(output.shape))
        (expected,) = torch.autograd.grad(output, tensor, torch.from_numpy(R))
    finally:
        handle.remove()
    z = twin.layer.forward(x)
    (found,), _ = ours.propagate(twin.layer, (x,), z, R)
    np.testing.assert_allclose(found, expected.numpy(), **CLOSE)


# --- small networks -------------------------------------------------------------------------------------------------------


def convolutional(bias: bool = True) -> Any:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, bias=bias), nn.ReLU(), nn.AvgPool2d(2, 1)),
        *(nn.Flatten(), nn.Linear(32, 12, bias=bias), nn.ReLU(), nn.Linear(12, 5, bias=bias)),
    )


def strided(bias: bool = True) -> Any:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=bias), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2, padding=1, bias=bias)),
        *(nn.ReLU(), nn.AvgPool2d(3, 2), nn.Flatten(), nn.Linear(24, 5, bias=bias)),
    )


NETWORKS = {"convolutional": convolutional, "strided": strided}
PLAIN = (nn.ReLU, nn.Flatten, nn.MaxPool2d)


def here(module: Any) -> Model:
    """A chain of PyTorch's layers as a model, made from its arrays."""
    made = {
        nn.Conv2d: lambda m: L.Conv(numbers(m.weight), numbers(m.bias), m.stride, m.padding, m.dilation, m.groups),
        nn.Linear: lambda m: L.Dense(numbers(m.weight).T, numbers(m.bias)),
        nn.MaxPool2d: lambda m: L.MaxPool(m.kernel_size, m.stride),
        nn.AvgPool2d: lambda m: L.AvgPool(m.kernel_size, m.stride),
        nn.ReLU: lambda m: L.ReLU(),
        nn.Flatten: lambda m: L.Flatten(),
    }
    return Model.sequential([made[type(part)](part) for part in module])


def drawn(make: Any, **options: Any) -> tuple[Any, Any]:
    """A network with biases that matter, and inputs."""
    torch.manual_seed(3)
    module = make(**options).double().eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.mul_(2 if name.endswith("weight") else 3)
    return module, np.random.default_rng(4).standard_normal((3, 3, 10, 10))


# What convolutions, the first of them, and dense layers get: here and there.
COMPOSITES = {
    "epsilon": (rules.Epsilon(0.1), None, rules.Epsilon(0.1)),
    "epsilon_plus": (rules.AlphaBeta(1, 0), None, rules.Epsilon(1e-6)),
    "epsilon_plus_flat": (rules.AlphaBeta(1, 0), rules.Flat(), rules.Epsilon(1e-6)),
    "epsilon_alpha2_beta1": (rules.AlphaBeta(2, 1), None, rules.Epsilon(1e-6)),
    "epsilon_alpha2_beta1_flat": (rules.AlphaBeta(2, 1), rules.Flat(), rules.Epsilon(1e-6)),
    "epsilon_gamma_box": (rules.GeneralizedGamma(0.25), rules.ZBox(-5, 5), rules.Epsilon(1e-6)),
}


def there(zennit: Any, rule: Any) -> Any:
    """Zennit's rule of the same formula."""
    match rule:
        case rules.Epsilon():
            return zennit.Epsilon(rule.epsilon)
        case rules.AlphaBeta():
            return zennit.AlphaBeta(rule.alpha, rule.beta, stabilizer=TINY)
        case rules.GeneralizedGamma():
            return zennit.Gamma(rule.gamma, stabilizer=TINY)
        case rules.Flat():
            return zennit.Flat(stabilizer=TINY, zero_params="bias")
        case _:
            return zennit.ZBox(float(rule.low), float(rule.high), stabilizer=TINY, zero_params="bias")


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_under_zennits_rules(zennit, name, composite, backend):
    module, x = drawn(NETWORKS[name])
    convolutions, first, dense_rule = COMPOSITES[composite]
    rule_of = {0: first or convolutions}
    handles = []
    for i, part in enumerate(module):
        if isinstance(part, nn.Conv2d):
            handles.append(there(zennit, rule_of.get(i, convolutions)).register(part))
        elif isinstance(part, nn.Linear):
            handles.append(there(zennit, dense_rule).register(part))
        elif isinstance(part, nn.AvgPool2d):
            handles.append(zennit.Norm(stabilizer=TINY).register(part))
        elif isinstance(part, nn.ReLU):
            handles.append(zennit.Pass().register(part))
    tensor = torch.from_numpy(x).requires_grad_()
    try:
        output = module(tensor)
        best = output.detach().argmax(dim=1, keepdim=True)
        start = torch.zeros_like(output).scatter(1, best, output.detach().gather(1, best))
        (expected,) = torch.autograd.grad(output, tensor, start)
    finally:
        for handle in handles:
            handle.remove()
    entries = [("conv1", rule_of[0]), (L.Conv, convolutions), (L.AvgPool, rules.Zero()), (L.Dense, dense_rule)]
    rest = [(L.MaxPool, rules.WinnerTakesAll()), ((L.ReLU, L.Flatten), rules.Pass())]
    explainer = Explainer(here(module), composites.Composite((*entries, *rest)), backend=backend)
    found = explainer(x)
    np.testing.assert_allclose(found.prediction, numbers(output), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found.relevance, expected.numpy(), rtol=1e-7, atol=1e-7 * np.abs(expected.numpy()).max())


def captums(captum: Any, rule: Any) -> Any:
    from captum.attr._utils import lrp_rules

    match rule:
        case rules.Epsilon():
            return lrp_rules.EpsilonRule(rule.epsilon)
        case rules.Gamma():
            return lrp_rules.GammaRule(rule.gamma)
        case _:
            return lrp_rules.Alpha1_Beta0_Rule()


def without_flattening(bias: bool = True) -> Any:
    """Captum has no rule for a flattening layer: convolutions end in maps of one cell."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 10, 3, bias=bias), nn.ReLU()),
        nn.Conv2d(10, 5, 3, bias=bias),
    )


BY_CAPTUM = [rules.Epsilon(0.1), rules.Epsilon(1e-9), rules.Gamma(0.25), rules.AlphaBeta(1, 0)]


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("rule", BY_CAPTUM, ids=lambda rule: type(rule).__name__)
def test_a_network_under_captums_rules(captum, rule, backend):
    """Without biases and of inputs that are not negative: beyond that Captum's γ and α1β0 are other rules."""
    module, x = drawn(without_flattening, bias=False)
    x = np.abs(x)
    for part in module:
        if isinstance(part, nn.Conv2d):
            part.rule = captums(captum, rule)
    tensor = torch.from_numpy(x).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = [(int(k), 0, 0) for k in module(tensor).reshape(3, 5).argmax(dim=1)]
        expected = numbers(captum.LRP(module).attribute(tensor, target=target))
    entries = ((L.Conv, rule), (L.MaxPool, rules.WinnerTakesAll()), (L.ReLU, rules.Pass()))
    found = Explainer(here(module), composites.Composite(entries), backend=backend)(x)
    np.testing.assert_allclose(found.relevance, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_lrp_0_is_autograds_gradient_times_input(name, backend):
    module, x = drawn(NETWORKS[name])
    tensor = torch.from_numpy(x).requires_grad_()
    output = module(tensor)
    for target in range(5):
        (gradient,) = torch.autograd.grad(output[:, target].sum(), tensor, retain_graph=True)
        found = Explainer(here(module), rule=rules.Zero(), backend=backend)(x, target)
        np.testing.assert_allclose(found.relevance, x * gradient.numpy(), rtol=1e-8, atol=1e-10)


def test_lrp_0_is_autograds_gradient_times_input_in_graphs():
    """A shortcut and a concatenation, written here as a graph and there as a function."""
    random = np.random.default_rng(5)
    first, second = nn.Conv2d(3, 4, 3, padding=1).double(), nn.Conv2d(4, 4, 3, padding=1).double()
    last = nn.Linear(8, 3).double()
    x = torch.from_numpy(random.standard_normal((2, 3, 6, 6))).requires_grad_()
    h = torch.relu(first(x))
    both = torch.cat([h + second(h), torch.relu(second(h))], dim=1)
    output = last(both.mean(dim=(2, 3)))
    nodes = (
        Node("conv1", L.Conv(numbers(first.weight), numbers(first.bias), padding=1), ("input",)),
        Node("relu1", L.ReLU(), ("conv1",)),
        Node("conv2", L.Conv(numbers(second.weight), numbers(second.bias), padding=1), ("relu1",)),
        Node("add", L.Add(), ("relu1", "conv2")),
        Node("relu2", L.ReLU(), ("conv2",)),
        Node("concat", L.Concat(), ("add", "relu2")),
        Node("pool", L.GlobalAvgPool(), ("concat",)),
        Node("flat", L.Flatten(), ("pool",)),
        Node("dense", L.Dense(numbers(last.weight).T, numbers(last.bias)), ("flat",)),
    )
    explainer = Explainer(Model(nodes), rule=rules.Zero())
    for target in range(3):
        (gradient,) = torch.autograd.grad(output[:, target].sum(), x, retain_graph=True)
        found = explainer(numbers(x), target)
        np.testing.assert_allclose(found.prediction, numbers(output), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(found.relevance, numbers(x * gradient), rtol=1e-8, atol=1e-12)
