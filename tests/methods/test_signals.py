"""Modified backward passes: the papers' numbers, their definitions by masks, patterns, bad input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Explainer, Model, composites, methods, rules
from lrp_ref import layers as L
from lrp_ref.composites.matchers import Type
from lrp_ref.errors import HeadError, ParameterError, RuleError, UnknownNameError
from lrp_ref.ledger import Booking
from lrp_ref.methods import ExcitationBackprop, PatternAttribution, PatternNet, Patterns
from methods.nets import conv_net, dense_net, exact, halves, n1

SEEDS = st.integers(0, 10**6)


def test_the_three_backward_passes_of_n1_differ():
    x = exact((1, 4))
    assert methods.Gradient(n1())(x).relevance.tolist() == [[5, 1]]
    assert methods.GuidedBackprop(n1())(x).relevance.tolist() == [[3, 3]]
    assert methods.Deconvnet(n1())(x).relevance.tolist() == [[5, 2]]


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_they_are_their_definitions_by_masks(seed):
    random = np.random.default_rng(seed)
    model, x = dense_net(random).astype(object), lrp_ref.arrays.fractions(halves(random, 2, 3))
    (w1, w2, w3), trace = [n.layer.weight for n in model.nodes if isinstance(n.layer, L.Dense)], model.trace(x).activations
    for kind, masked in ((methods.Deconvnet, False), (methods.GuidedBackprop, True)):
        signal = np.stack([w3[:, 1]] * 2)
        for weight, name in ((w2, "dense2"), (w1, "dense1")):
            mask = (trace[name] > 0) if masked else np.ones(trace[name].shape, dtype=bool)
            signal = np.where(mask & (signal > 0), signal, Fraction(0)) @ weight.T
        assert (kind(model)(x, target=1).relevance == signal).all()


def test_rectified_passes_say_where_they_are_not_defined():
    with pytest.raises(ParameterError, match=r"has none: methods\.Gradient"):
        methods.GuidedBackprop(Model.sequential([L.Dense([[1.0]]), L.Tanh()]))
    mixed = Model.sequential([L.Dense([[1.0]]), L.ReLU(), L.Dense([[1.0]]), L.Tanh(), L.Dense([[1.0]])])
    found = methods.Deconvnet(mixed)(np.ones((1, 1)))
    assert found.remarks == ("Deconvnet is defined at ReLUs: through tanh1 goes the gradient",)
    assert methods.Deconvnet(n1())(exact((1, 4))).remarks == ()


# --- excitation backpropagation ----------------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_excitation_is_the_shares_of_z_plus(seed):
    random = np.random.default_rng(seed)
    model, x = dense_net(random).astype(object), abs(lrp_ref.arrays.fractions(halves(random, 2, 3)))
    found = ExcitationBackprop(model)(x, target=0)
    plus = Explainer(model, composites.uniform(rules.ZPlus()))(x, start=lrp_ref.arrays.fractions(np.array([[1, 0], [1, 0]])))
    assert (found.relevance == plus.relevance).all()
    assert (found.relevance >= 0).all()
    assert (found.shared == 1).all()
    assert ((found.total == 1) | (found.residual > 0)).all()


def test_contrastive_excitation_takes_away_what_speaks_against():
    # a = (1, 2, 1); w = (1, 1, −2): for it (1/3, 2/3, 0), against it (0, 0, 1).
    model = Model.sequential([L.Dense([[1.0], [1.0], [-2.0]])]).astype(object)
    x = exact((1, 2, 1))
    assert ExcitationBackprop(model)(x).relevance.tolist() == [[Fraction(1, 3), Fraction(2, 3), 0]]
    assert ExcitationBackprop(model, contrastive=True)(x).relevance.tolist() == [[Fraction(1, 3), Fraction(2, 3), 0]]
    shared = Model.sequential([L.Dense(np.eye(2)), L.ReLU(), L.Dense([[1.0, 0.0], [1.0, -1.0]])]).astype(object)
    found = ExcitationBackprop(shared, contrastive=True)(exact((1, 1)), target=1)
    assert found.relevance.tolist() == [[0, 0]]  # w of one sign: the positive pool is empty, and the rest is negative
    both = Model.sequential([L.Dense([[1.0, 1.0], [1.0, 0.0]]), L.ReLU(), L.Dense([[1.0], [-1.0]])]).astype(object)
    # Below the top (1, −1); on the first input ½ − 1, on the second ½.
    assert ExcitationBackprop(both, contrastive=True)(exact((1, 1))).relevance.tolist() == [[0, Fraction(1, 2)]]


def test_excitation_refuses_what_it_is_not():
    with pytest.raises(HeadError, match="starts with 1 at a score"):
        ExcitationBackprop(Model.sequential([L.Dense(np.eye(2)), L.Softmax()]), head="probability")
    with pytest.raises(ParameterError, match=r"node 'flatten1' \(Flatten\) has none"):
        ExcitationBackprop(Model.sequential([L.Dense(np.eye(2)), L.Flatten()]), contrastive=True)
    with pytest.raises(ParameterError, match="no difference of scores"):
        ExcitationBackprop(Model.sequential([L.Dense(np.eye(2))]))(np.ones((1, 2)), target=0, contrast=1)
    with pytest.raises(RuleError, match="rnn1"):
        ExcitationBackprop(Model.sequential([L.RNN(np.eye(2), np.eye(2), np.zeros(2))]))


# --- ε-LRP as a modified gradient --------------------------------------------------------------------------------------


class ChordSlope(rules.Rule):
    """f(z) / z in place of the derivative, 0 at 0."""

    conserves = False
    serves = "activations"

    def fits(self, layer):
        return isinstance(layer, L.Activation)

    def propagate(self, layer, inputs, output, relevance):
        zero = lrp_ref.arrays.like(0, output)
        lower = (relevance * lrp_ref.arrays.divide(output, inputs[0], inputs[0] != zero),)
        return lower, Booking.handed_on(relevance, lower)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_lrp_0_is_the_input_times_a_gradient_with_chord_slopes(seed):
    random = np.random.default_rng(seed)
    model = dense_net(random, kinds=("relu", "leaky", "clip")).astype(object)
    x = lrp_ref.arrays.fractions(halves(random, 2, 3))
    chords = composites.Composite(((Type(L.Activation), ChordSlope()), (Type(L.Layer), rules.Gradient())), "chords")
    slopes = Explainer(model, chords, head="unit")(x, target=0)
    told = slopes.value != 0  # 0/0 = 0: LRP-0 shares nothing of a score of 0, whose gradient need not be 0
    assert ((x * slopes.relevance)[told] == lrp_ref.explain(model, x, rule=rules.Zero(), target=0).relevance[told]).all()


# --- patterns ----------------------------------------------------------------------------------------------------------


def signal_and_distractor(dtype=object):
    """x = (s + d, d), y = s = x1 − x2, with s and d that do not correlate."""
    model = Model.sequential([L.Dense([[1.0], [-1.0]])]).astype(dtype)
    data = np.array([[s + d, d] for s in (-2, -1, 1, 2) for d in (-3, 3)], dtype=float)
    return model, lrp_ref.arrays.fractions(data) if dtype is object else data


def test_the_pattern_of_a_signal_leaves_the_distractor_out():
    model, data = signal_and_distractor()
    patterns = Patterns.fit(model, data)
    assert patterns.arrays["dense1"].tolist() == [[1], [0]]
    assert PatternNet(model, patterns)(exact((5, 3))).relevance.tolist() == [[1, 0]]
    assert PatternNet(model, patterns, "score")(exact((5, 3))).relevance.tolist() == [[2, 0]]
    assert PatternAttribution(model, patterns)(exact((5, 3))).relevance.tolist() == [[1, 0]]
    assert methods.GradientTimesInput(model)(exact((5, 3))).relevance.tolist() == [[5, -3]]


@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_a_pattern_is_covariance_by_definition(seed):
    random = np.random.default_rng(seed)
    model, data = dense_net(random).astype(object), lrp_ref.arrays.fractions(halves(random, 12, 3))
    trace = model.trace(data).activations
    for centre in ("positive", "printed"):
        patterns = Patterns.fit(model, [data[:5], data[5:]], centre)
        for name, before, rectified in (("dense1", "input", True), ("dense3", "relu2", False)):
            w, x, y = model[name].layer.weight, trace[before], trace[name]
            for k in range(y.shape[1]):
                rows = (y[:, k] > 0) if rectified else np.ones(len(y), dtype=bool)
                wanted = _pattern(w[:, k], x, y[:, k], rows, centre if rectified else "positive")
                assert patterns.arrays[name][:, k].tolist() == wanted.tolist()


def _pattern(w, x, y, rows, centre):
    if not rows.any():
        return w * 0
    n = Fraction(int(rows.sum()))
    mean_y = sum(y) / Fraction(len(y)) if centre == "printed" else sum(y[rows]) / n
    covariance = (x[rows] * y[rows][:, None]).sum(axis=0) / n - x[rows].sum(axis=0) / n * mean_y
    scale = (w * covariance).sum()
    return covariance / scale if scale != 0 else w * 0


def test_patterns_of_a_convolution_are_those_of_its_windows():
    random = np.random.default_rng(3)
    layer = L.Conv(halves(random, 4, 2, 2, 2), halves(random, 4), stride=1, padding=1, groups=2)
    model, data = Model.sequential([layer, L.ReLU()]), halves(random, 3, 4, 3, 3)
    exact_model = model.astype(object)
    patterns = Patterns.fit(exact_model, lrp_ref.arrays.fractions(data)).arrays["conv1"]
    padded = np.pad(data, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.array([padded[n, :, i : i + 2, j : j + 2] for n in range(3) for i in range(4) for j in range(4)])
    for k in range(4):
        x = lrp_ref.arrays.fractions(windows[:, 2 * (k // 2) : 2 * (k // 2) + 2].reshape(len(windows), -1))
        w = lrp_ref.arrays.fractions(layer.weight[k].reshape(-1))
        y = (x * w).sum(axis=1) + lrp_ref.arrays.fractions(layer.bias)[k]
        assert patterns[k].reshape(-1).tolist() == _pattern(w, x, y, y > 0, "positive").tolist()


def test_patterns_of_another_model_are_refused():
    model, data = signal_and_distractor(np.float64)
    patterns = Patterns.fit(model, data)
    other = Model.sequential([L.Dense([[1.0], [-2.0]])])
    with pytest.raises(ParameterError, match="'dense1' was fitted to other weights"):
        PatternNet(other, patterns)
    with pytest.raises(ParameterError, match="none of node 'dense2'"):
        PatternNet(Model.sequential([L.Dense([[1.0], [-1.0]]), L.Dense([[1.0]])]), patterns)
    for wrong in (None, 3):
        with pytest.raises(ParameterError, match=r"patterns=methods.Patterns.fit\(model, data\)"):
            PatternNet(model, wrong)
    with pytest.raises(UnknownNameError, match="printed"):
        Patterns.fit(model, data, "print")
    with pytest.raises(UnknownNameError, match="score"):
        PatternNet(model, patterns, "scores")
    with pytest.raises(ParameterError, match="no data"):
        Patterns.fit(model, [])
    assert PatternNet(model, patterns, precision="float32")(data[:1]).precision == "float32"


# --- 2.13: the input shift -----------------------------------------------------------------------------------------------


SHIFTS = {"constant": np.full(5, -1.0), "pattern": np.array([1.0, 0.0, -0.5, 1.0, 0.0])}
#: Which methods give the same explanation for inputs x + m and biases b − Wᵀm, for a constant shift and another.
PASSES = {
    "Gradient": (True, True),
    "Sensitivity": (True, True),
    "GuidedBackprop": (True, True),
    "Deconvnet": (True, True),
    "PatternNet": (True, True),
    "PatternAttribution": (True, True),
    "PatternNet, printed": (False, False),
    "PatternAttribution, printed": (False, False),
    "GradientTimesInput": (False, False),
    "IntegratedGradients, 0": (False, False),
    "IntegratedGradients, least": (True, False),
    "IntegratedGradients, shifted": (True, True),
    "SmoothGrad": (True, True),
    "SmoothGrad of GradientTimesInput": (False, False),
}


def explanations(model, data, x, m):
    """The explanations of x by every method; m is by how much all of it was shifted."""
    patterns = {centre: Patterns.fit(model, data, centre) for centre in ("positive", "printed")}
    times = methods.GradientTimesInput(model)
    made = {
        "Gradient": methods.Gradient(model),
        "Sensitivity": methods.Sensitivity(model),
        "GuidedBackprop": methods.GuidedBackprop(model),
        "Deconvnet": methods.Deconvnet(model),
        "PatternNet": PatternNet(model, patterns["positive"]),
        "PatternAttribution": PatternAttribution(model, patterns["positive"]),
        "PatternNet, printed": PatternNet(model, patterns["printed"]),
        "PatternAttribution, printed": PatternAttribution(model, patterns["printed"]),
        "GradientTimesInput": times,
        "IntegratedGradients, 0": methods.IntegratedGradients(model, exact=True),
        "IntegratedGradients, least": methods.IntegratedGradients(model, baseline=data.min(), exact=True),
        "IntegratedGradients, shifted": methods.IntegratedGradients(model, baseline=m, exact=True),
        "SmoothGrad": methods.SmoothGrad(model, samples=3, noise=0.1, relative=False),
        "SmoothGrad of GradientTimesInput": methods.SmoothGrad(model, times, samples=3, noise=0.1, relative=False),
    }
    return {name: method(x, target=0).relevance for name, method in made.items()}


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_input_shift_has_the_papers_table(shift):
    random, m = np.random.default_rng(6), SHIFTS[shift]
    first, second = L.Dense(random.normal(size=(5, 7)), random.normal(size=7)), L.Dense(random.normal(size=(7, 1)))
    moved = L.Dense(first.weight, first.bias - m @ first.weight)
    data = random.normal(size=(60, 5))
    data[0, 0], data[1, 1] = data.min() - 0.5, data.max() + 0.5
    x = data[2:5]
    before = explanations(Model.sequential([first, L.ReLU(), second]), data, x, np.zeros(5))
    after = explanations(Model.sequential([moved, L.ReLU(), second]), data + m, x + m, m)
    same = {name: bool(np.allclose(before[name], after[name], atol=1e-9)) for name in PASSES}
    assert same == {name: passes[shift == "pattern"] for name, passes in PASSES.items()}


def test_a_batch_is_its_samples_bit_for_bit():
    random = np.random.default_rng(1)
    model, x = conv_net(random), random.normal(size=(3, 1, 5, 5))
    made = [methods.Gradient(model), methods.Sensitivity(model), methods.GradientTimesInput(model), methods.GuidedBackprop(model)]
    made += [methods.Deconvnet(model), PatternAttribution.fit(model, random.normal(size=(20, 1, 5, 5)))]
    for method in made:
        whole = method(x, target="all").relevance
        assert np.array_equal(np.stack([method(x[n : n + 1], target="all").relevance[0] for n in range(3)]), whole)
