"""The gradient as a composite: every layer's derivative, from a start of 1; what it refuses; PyTorch's autograd."""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, composites, rules
from lrp_ref import layers as L
from lrp_ref.errors import HeadError, ParameterError, RuleError
from support import random_nets

NETS = {
    kind.__name__: kind
    for kind in vars(random_nets).values()
    if callable(kind) and getattr(kind, "__annotations__", {}).get("return") == "tuple[Model, tuple[int, ...]]"
}
N1 = Model.sequential(
    [L.Dense([[2.0, -1.0, 1.0], [-1.0, 1.0, 1.0]], [1.0, 0.0, -1.0]), L.ReLU(), L.Dense([[1.0], [-2.0], [3.0]], [0.5])]
)


def explainer(model, **choices):
    return Explainer(model, composites.gradient(), head="unit", **choices)


def test_the_papers_network():
    """papers.md §2.4: N1 at (1, 4), pre-activations (−1, 3, 4): ∂f = −2·(−1, 1) + 3·(1, 1) = (5, 1); gradient × input (5, 4)."""
    e = explainer(N1)(np.array([[1.0, 4.0]]))
    assert e.relevance.tolist() == [[5, 1]]
    assert e.value.tolist() == N1(np.array([[1.0, 4.0]]))[:, 0].tolist()


def test_there_are_networks_to_try():
    assert len(NETS) > 3


@pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
@pytest.mark.parametrize("kind", NETS.values(), ids=NETS)
def test_backends_precisions_and_batches(kind, backend):
    """Equal to the reference in float64; a batch has the bits of its samples; targets are a second axis."""
    model, shape = kind(np.random.default_rng(1))
    x = np.random.default_rng(2).normal(size=(3, *shape))
    whole = explainer(model, backend=backend, keep="all")(x, targets=(0, 2))
    wanted = explainer(model, backend="reference", keep="all")(x, targets=(0, 2))
    for name, found in whole.relevances.items():
        np.testing.assert_allclose(found, wanted.relevances[name], rtol=1e-10, atol=1e-10 * np.abs(wanted.relevances[name]).max())
    for n in range(3):
        for t, target in enumerate((0, 2)):
            one = explainer(model, backend=backend)(x[n : n + 1], target)
            assert one.relevance.tobytes() == whole.relevance[n, t].tobytes()
    narrow = explainer(model, backend=backend, precision="float32")(x.astype(np.float32), 0)
    assert narrow.relevance.dtype == np.float32


def test_a_squash_is_explained_before_it_with_its_sign():
    dense = L.Dense(np.array([[2.0], [-3.0]]))
    x = np.array([[1.0, 1.0]])
    squashed = Model.sequential([dense, L.Sigmoid()])
    complement = Model.sequential([dense, L.Sigmoid(), L.Scale(-1.0, 1.0)])
    assert explainer(squashed)(x).relevance.tolist() == [[2, -3]]
    assert explainer(complement)(x).relevance.tolist() == [[-2, 3]]


def test_the_start_is_chosen():
    with pytest.raises(HeadError, match=r"head='unit'"):
        Explainer(N1, composites.gradient())


def test_there_are_no_accounts():
    with pytest.raises(ParameterError, match="leave ledger=True out"):
        explainer(N1, ledger=True)


def test_it_is_no_share_of_the_value():
    e = explainer(N1)(np.array([[1.0, 4.0]]))
    assert (e.method, e.conserves, e.share_arrived, e.remarks) == ("gradient", False, None, ())
    with pytest.raises(ParameterError, match="there is no residual"):
        e.residual  # noqa: B018
    assert "residual" not in e.arrays()
    assert "gradient" in repr(e)
    assert '"method": "gradient"' in e.to_json()
    lrp = lrp_ref.explain(N1, np.array([[1.0, 4.0]]))
    assert (lrp.method, lrp.conserves) == ("LRP", True)


def test_one_derivative_among_rules_is_no_lrp():
    """A composite of which one rule is a derivative conserves nothing, and says so."""
    mixed = composites.epsilon_plus().with_rules({"dense1": rules.Gradient()})
    assert not mixed.conserves
    assert composites.epsilon_plus().conserves
    with pytest.raises(HeadError, match="derivatives, which start with 1"):
        Explainer(N1, mixed)


def test_words_have_no_gradient():
    model = Model.sequential([L.Embedding(np.eye(3)), L.Flatten(), L.Dense(np.ones((6, 2)))])
    with pytest.raises(RuleError, match="embedding1"):
        explainer(model)


def test_several_inputs_of_a_unit_head():
    """1 at every target, shaped like the output."""
    model = Model.sequential([L.Conv(np.ones((2, 1, 1)))])
    x = np.array([[[1.0, 2.0]]])
    e = explainer(model)(x, targets=[(0, 1), (1, 0)])
    assert e.relevance.tolist() == [[[[0, 1]], [[1, 0]]]]
    assert e.value.tolist() == [[2, 1]]


# --- PyTorch's autograd -------------------------------------------------------------------------------------------------------


def torch_networks(torch):
    nn = torch.nn  # no batch norm and no two biases among them: the file, or its reader, adds them up in float32

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.out = nn.Linear(6, 4)

        def forward(self, x):
            h = torch.relu(self.a(x))
            return self.out(torch.relu(self.b(h) + h).mean((2, 3)))

    class Gates(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.out = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.out(torch.sigmoid(self.a(x)) * torch.tanh(self.b(x)))

    class Last(nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.cell, self.out = kind(4, 5, batch_first=True, bidirectional=True, bias=False), nn.Linear(10, 3)

        def forward(self, x):
            return self.out(self.cell(x)[0].mean(1))

    def smooth(activation):
        return nn.Sequential(nn.Linear(5, 7), activation, nn.Linear(7, 6), activation, nn.Linear(6, 3))

    image, table, sequence = (2, 3, 10, 10), (2, 5), (2, 6, 4)
    flat = lambda: (nn.Flatten(), nn.LazyLinear(4))  # noqa: E731
    return {
        "residual": (Residual(), image),
        "max pooling": (nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), *flat()), image),
        "average pooling": (nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.ELU(), nn.AvgPool2d(2), *flat()), image),
        "transposed": (nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.LeakyReLU(0.1), *flat()), image),
        "group norm": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), *flat()), image),
        "instance norm": (nn.Sequential(nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=True), nn.ReLU(), *flat()), image),
        "gates": (Gates(), table),
        "GELU": (smooth(nn.GELU()), table),
        "SiLU": (smooth(nn.SiLU()), table),
        "Softplus": (smooth(nn.Softplus()), table),
        "Mish": (smooth(nn.Mish()), table),
        "layer norm": (nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)), table),
        "LSTM": (Last(nn.LSTM), sequence),
        "GRU": (Last(nn.GRU), sequence),
        "RNN": (Last(nn.RNN), sequence),
    }


def test_fifteen_exported_networks_have_the_gradient_of_autograd():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no autograd to compare with")
    torch.manual_seed(0)
    for name, (module, shape) in torch_networks(torch).items():
        x = torch.randn(shape)
        module(x)
        module.eval().double()
        wide = x.double().requires_grad_()
        module(wide)[:, 1].sum().backward()
        wanted = wide.grad.numpy()
        model = lrp_ref.formats.torch.load(module.float(), x).astype(np.float64)
        found = explainer(model)(x.double().numpy(), 1).relevance
        assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max(), name
