"""Sums of branches: shared in proportion, flagged where they cancel, bounded under `add=rules.ZPlus()`; gradient × input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.composites import PRESETS
from lrp_ref.errors import ParameterError, RuleError
from support.fans import closes

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
EXPLODES = 10.0  # the ledger's own threshold: more than ten times what arrived


def shared(rule, layer, branches, R):
    """Each branch's relevance, and the booking, in exact rationals."""
    arrays = tuple(fractions([[value]]) for value in branches)
    lower, booking = rule.propagate(layer, arrays, layer.forward(*arrays), fractions([[R]]))
    return [int(part[0, 0]) if part[0, 0].denominator == 1 else part[0, 0] for part in lower], booking


# ---- one sum, by hand --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "branches", "rule", "expected", "stabiliser", "unassigned"),
    [
        (L.Add(), (3, 1), rules.Zero(), [6, 2], 0, 0),
        (L.Add(), (3, -1), rules.Zero(), [12, -4], 0, 0),
        (L.Subtract(), (3, 1), rules.Zero(), [12, -4], 0, 0),
        (L.Subtract(), (3, -1), rules.Zero(), [6, 2], 0, 0),
        (L.Add(), (3, -1), rules.Epsilon(2), [6, -2], 4, 0),  # 3·8/(2 + 2), −1·8/4, 2·8/4
        (L.Add(), (-3, 1), rules.Epsilon(2), [6, -2], 4, 0),  # the signed ε widens a negative sum too
        (L.Add(), (3, -3), rules.Epsilon(Fraction(1, 100)), [2400, -2400], 8, 0),  # cancelling: ε is all there is
        (L.Add(), (3, -3), rules.Zero(), [0, 0], 0, 8),  # 0/0 := 0, booked
        (L.Add(), (3, 1), rules.ZPlus(), [6, 2], 0, 0),
        (L.Add(), (3, -1), rules.ZPlus(), [8, 0], 0, 0),
        (L.Add(), (3, -3), rules.ZPlus(), [8, 0], 0, 0),
        (L.Subtract(), (3, 1), rules.ZPlus(), [8, 0], 0, 0),
        (L.Subtract(), (3, -1), rules.ZPlus(), [6, 2], 0, 0),
        (L.Add(), (-3, -1), rules.ZPlus(), [0, 0], 0, 8),  # nothing adds to the sum
    ],
)
def test_a_sum_of_branches_by_hand(layer, branches, rule, expected, stabiliser, unassigned):
    """R = 8 arrives at each sum."""
    found, booking = shared(rule, layer, branches, 8)
    assert found == expected
    assert (booking.arriving, booking.stabiliser, booking.unassigned) == ([8], [stabiliser], [unassigned])
    assert (booking.bias, booking.rounding) == ([0], [0])


branch = st.lists(st.fractions(-4, 4, max_denominator=8), min_size=2, max_size=2)


@given(st.lists(branch, min_size=2, max_size=2), branch)
def test_z_plus_hands_on_no_more_than_arrives_whatever_the_branches(branches, R):
    arrays = tuple(fractions([values]) for values in branches)
    lower, booking = rules.ZPlus().propagate(L.Add(), arrays, L.Add().forward(*arrays), fractions([R]))
    assert booking.inputs_abs[0] <= booking.arriving_abs[0]
    assert booking.rounding == [0]
    for k, relevance in enumerate(R):
        parts = [part[0, k] for part in lower]
        assert all(part * relevance >= 0 for part in parts)
        assert sum(parts) == (relevance if any(values[k] > 0 for values in branches) else 0)


@given(st.lists(st.lists(st.fractions(0, 4, max_denominator=8), min_size=3, max_size=3), min_size=2, max_size=2))
def test_on_branches_that_are_not_negative_z_plus_is_the_proportional_share(branches):
    """What `add=` changes: nothing where branches cannot cancel."""
    arrays = tuple(fractions([values]) for values in branches)
    R = fractions([[1, -2, 3]])
    output = L.Add().forward(*arrays)
    for ours, theirs in zip(
        rules.ZPlus().propagate(L.Add(), arrays, output, R)[0], rules.Zero().propagate(L.Add(), arrays, output, R)[0], strict=True
    ):
        assert (ours == theirs).all()


# ---- add= in every preset ----------------------------------------------------------------------------------------------


def branched(layer):
    """A sum behind a dense layer, and the same at the input."""
    w = np.eye(2)
    return lrp_ref.Model(
        (
            lrp_ref.Node("first", layer, ("input", "input")),
            lrp_ref.Node("dense", L.Dense(w), ("first",)),
            lrp_ref.Node("other", L.Dense(w), ("first",)),
            lrp_ref.Node("sum", layer, ("dense", "other")),
            lrp_ref.Node("mean", L.Scale(np.ones(2)), ("sum",)),
        ),
        domain=(-1.0, 1.0),
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("layer", [L.Add(), L.Subtract()])
def test_every_preset_takes_a_rule_for_sums(preset, layer):
    model = branched(layer)
    plain, changed = PRESETS[preset]().assign(model), PRESETS[preset](add=rules.Epsilon(0.5)).assign(model)
    assert changed["first"] == changed["sum"] == rules.Epsilon(0.5)
    assert plain["sum"] != changed["sum"]
    assert {n: plain[n] for n in ("dense", "other", "mean")} == {n: changed[n] for n in ("dense", "other", "mean")}
    assert PRESETS[preset](add=None) == PRESETS[preset]()
    assert PRESETS[preset](add=rules.ZPlus()).name == f"{preset}(add=ZPlus())"
    assert PRESETS[preset](add=rules.ZPlus()).positive_start == PRESETS[preset]().positive_start


def test_add_stands_beside_the_other_parameters():
    assert composites.epsilon_plus(0.5, add=rules.ZPlus()).name == "epsilon_plus(epsilon=0.5, add=ZPlus())"
    assert composites.uniform(rules.Zero(), add=rules.ZPlus()).name == "uniform Zero(), add=ZPlus()"
    made = composites.uniform(rules.Zero(), add=rules.ZPlus()).assign(branched(L.Add()))
    assert (made["sum"], made["dense"]) == (rules.ZPlus(), rules.Zero())
    assert composites.epsilon_plus(add="ZPlus").entries == composites.epsilon_plus(add=rules.ZPlus()).entries
    with pytest.raises(ParameterError, match=r"did you mean ZPlus\(\)"):
        composites.epsilon_plus(add=rules.ZPlus)
    with pytest.raises(RuleError, match=r"node 'first' \(Add\).*WinnerTakesAll"):
        lrp_ref.Explainer(branched(L.Add()), composites.epsilon_plus(add=rules.WinnerTakesAll()))


# ---- cancelling branches -----------------------------------------------------------------------------------------------


def cancelling(rest):
    """h + (−(1 − rest)·h) behind a ReLU: what is left of h is `rest`."""
    random = np.random.default_rng(3)
    return lrp_ref.Model(
        (
            lrp_ref.Node("dense", L.Dense(abs(random.standard_normal((4, 6)))), ("input",)),
            lrp_ref.Node("relu", L.ReLU(), ("dense",)),
            lrp_ref.Node("minus", L.Dense(-(1 - rest) * np.eye(6)), ("relu",)),
            lrp_ref.Node("add", L.Add(), ("relu", "minus")),
            lrp_ref.Node("scores", L.Dense(random.standard_normal((6, 3))), ("add",)),
        )
    )


POSITIVE = abs(np.random.default_rng(4).standard_normal((2, 4))) + 0.5


@each_backend
def test_branches_that_cancel_are_booked_and_flagged(backend):
    """CONV-ADD: with 1 % left each branch gets about a hundred times what arrived, and the two nearly cancel again."""
    made = lrp_ref.Explainer(cancelling(0.01), "epsilon_plus", ledger=True, backend=backend)
    e = closes(made, POSITIVE)
    assert e.ledger.growth("add") == pytest.approx(1.99 / 0.01, rel=1e-3)  # (|1| + |−0.99|) / 0.01
    assert e.ledger.explosions() == ("add",)
    assert any(flag.startswith("add: Σ|R| grows 199-fold") for flag in e.ledger.flags)
    booking = e.ledger["add"]
    np.testing.assert_allclose(booking.inputs + booking.stabiliser, booking.arriving, rtol=1e-10)


@each_backend
def test_branches_that_cancel_wholly_leave_everything_to_the_stabiliser(backend):
    e = closes(lrp_ref.Explainer(cancelling(0.0), "epsilon_plus", ledger=True, backend=backend), POSITIVE, start=np.ones((2, 3)))
    booking = e.ledger["add"]
    assert (booking.inputs == 0).all()
    assert (e.relevance == 0).all()
    np.testing.assert_array_equal(booking.arriving, booking.stabiliser + booking.unassigned)


@each_backend
@pytest.mark.parametrize("rest", [0.5, 0.01, 0.0, -0.01])
def test_under_z_plus_sums_never_hand_on_more_than_arrived(backend, rest):
    composite = composites.epsilon_plus(add=rules.ZPlus())
    e = closes(lrp_ref.Explainer(cancelling(rest), composite, ledger=True, backend=backend), POSITIVE, start=np.ones((2, 3)))
    assert e.ledger.growth("add") <= 1 + 1e-12
    assert not e.ledger.explosions()


def deep(blocks=16, width=24, forgets=None):
    """A deep residual network of random He weights, ReLU(h + W₂·ReLU(W₁·h)); one block may take away 97 % of its shortcut."""
    random = np.random.default_rng(0)
    nodes, last = [], "input"
    for i in range(blocks):
        lower, upper = random.standard_normal((2, width, width)) * np.sqrt(2 / width)
        if i == forgets:
            lower, upper = np.eye(width), -1.94 * np.eye(width)  # halved below
        nodes += [
            lrp_ref.Node(f"lower{i}", L.Dense(lower), (last,)),
            lrp_ref.Node(f"inner{i}", L.ReLU(), (f"lower{i}",)),
            lrp_ref.Node(f"upper{i}", L.Dense(upper / 2), (f"inner{i}",)),
            lrp_ref.Node(f"add{i}", L.Add(), (last, f"upper{i}")),
            lrp_ref.Node(f"relu{i}", L.ReLU(), (f"add{i}",)),
        ]
        last = f"relu{i}"
    head = random.standard_normal((width, 4))
    return lrp_ref.Model((*nodes, lrp_ref.Node("scores", L.Dense(head), (last,))), input_shape=(width,))


def grown(model, add, backend):
    """Each sum's growth, what is flagged, and Σ|R| at the input. Dense layers take γ, under which they do not cancel much."""
    x = abs(np.random.default_rng(1).standard_normal((4, 24)))
    composite = composites.epsilon_plus(add=add).with_rules({L.Dense: rules.Gamma(1)})
    e = closes(lrp_ref.Explainer(model, composite, ledger=True, backend=backend), x)
    growth = {entry.node: e.ledger.growth(entry.node) for entry in e.ledger}
    assert set(e.ledger.explosions()) == {node for node, ratio in growth.items() if ratio > EXPLODES}
    sums = {node: ratio for node, ratio in growth.items() if node.startswith("add")}
    return sums, [node for node in e.ledger.explosions() if node in sums], float(abs(e.relevance).sum())


@each_backend
def test_in_a_deep_residual_network_sums_explode_and_the_alternative_does_not(backend):
    """What Zennit's users report of ResNets: Σ|R| grows from block to block, where the sums that conserve tell nothing.

    Each sum of random branches multiplies Σ|R| by a little, one that forgets its shortcut by 1.97/0.03; sixteen compound.
    """
    ordinary, flagged, reached = grown(deep(), None, backend)
    assert 1.1 < max(ordinary.values()) < EXPLODES
    assert not flagged
    forgetful, flagged, _ = grown(deep(forgets=9), None, backend)
    assert flagged == ["add9"]
    assert forgetful["add9"] == pytest.approx(1.97 / 0.03, rel=1e-3)
    for model in (deep(), deep(forgets=9)):
        bounded, flagged, alternative = grown(model, rules.ZPlus(), backend)
        assert max(bounded.values()) <= 1 + 1e-12
        assert not flagged
        assert reached > 10 * alternative


# ---- gradient × input --------------------------------------------------------------------------------------------------


def residual_with_batch_norm():
    """Convolution, batch norm, ReLU, max pooling, a block with a shortcut, the mean over space, a dense layer; biases."""
    random = np.random.default_rng(6)

    def norm(channels):
        mean, shift = 0.3 * random.standard_normal((2, channels))
        return L.BatchNorm(mean, random.uniform(0.5, 2, channels), random.uniform(0.5, 1.5, channels), shift)

    def conv(lower, upper):
        return L.Conv(
            random.standard_normal((upper, lower, 3, 3)) / (3 * np.sqrt(lower)), random.standard_normal(upper), padding=1
        )

    Node = lrp_ref.Node
    return lrp_ref.Model(
        (
            Node("conv1", conv(2, 5), ("input",)),
            Node("bn1", norm(5), ("conv1",)),
            Node("relu1", L.ReLU(), ("bn1",)),
            Node("pool", L.MaxPool(2), ("relu1",)),
            Node("conv2", conv(5, 5), ("pool",)),
            Node("bn2", norm(5), ("conv2",)),
            Node("relu2", L.ReLU(), ("bn2",)),
            Node("conv3", conv(5, 5), ("relu2",)),
            Node("bn3", norm(5), ("conv3",)),
            Node("add", L.Add(), ("pool", "bn3")),
            Node("relu3", L.ReLU(), ("add",)),
            Node("mean", L.GlobalAvgPool(), ("relu3",)),
            Node("flat", L.Flatten(), ("mean",)),
            Node("scores", L.Dense(random.standard_normal((5, 3)), random.standard_normal(3)), ("flat",)),
        ),
        input_shape=(2, 6, 6),
    )


def numerical_gradient(model, x, target, step=1e-5):
    """∂f/∂x by central differences, from predictions alone."""
    flat = x.reshape(-1)
    moved = flat + step * np.concatenate([np.eye(flat.size), -np.eye(flat.size)])
    scores = model(moved.reshape(-1, *x.shape[1:]))[:, target]
    return ((scores[: flat.size] - scores[flat.size :]) / (2 * step)).reshape(x.shape)


def kinks(model, x):
    """Which side of every kink an input is on: the ReLUs that are on, and the winners of the pooling."""
    trace = model.trace(x)
    winners = trace["relu1"].reshape(len(x), 5, 3, 2, 3, 2).swapaxes(3, 4).reshape(len(x), 5, 3, 3, 4).argmax(-1)
    return [trace[name] > 0 for name in ("relu1", "relu2", "relu3")] + [winners]


@each_backend
@pytest.mark.parametrize("canonize", [True, False])
def test_lrp_0_is_gradient_times_input_by_a_numerical_gradient(backend, canonize):
    """(Montavon et al. 2019, Sect. 10.2.1), with biases, batch norms, max pooling and a sum of branches."""
    model = residual_with_batch_norm()
    x = np.random.default_rng(8).standard_normal((1, 2, 6, 6))
    nudged = x + 1e-5 * np.concatenate([np.eye(72), -np.eye(72)]).reshape(-1, 2, 6, 6)
    for here, there in zip(kinks(model, x), kinks(model, nudged), strict=True):
        assert (here == there).all(), "a kink lies within the step: another seed is needed"
    for target in range(3):
        e = lrp_ref.explain(model, x, target=target, rule=rules.Zero(), backend=backend, canonize=canonize)
        expected = x * numerical_gradient(model, x, target)
        # Between kinks f is linear, so that only rounding is left: u·|f|/step = 1e-16/1e-5, times 100 for the sums in f.
        np.testing.assert_allclose(e.relevance, expected, atol=1e-9 * abs(expected).max(), rtol=0)
