"""Integrated gradients and SmoothGrad: the papers' numbers, completeness, bits, bad input."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Model, Node, methods
from lrp_ref import layers as L
from lrp_ref.errors import ExactnessError, HeadError, ParameterError, ShapeError, UnknownNameError
from lrp_ref.methods import IntegratedGradients, SmoothGrad
from lrp_ref.methods.paths import RULES, quadrature
from methods.nets import conv_net, dense_net, exact, halves, n1

SEEDS = st.integers(0, 10**6)


def root_net():
    """y = x1 + √x2."""
    return Model(
        nodes=[
            Node("first", L.Slice(0, 1), ("input",)),
            Node("second", L.Slice(1, 2), ("input",)),
            Node("root", L.Sqrt(), ("second",)),
            Node("sum", L.Add(), ("first", "root")),
        ]
    )


def product_net():
    """h = ReLU(x1 − 1) · ReLU(x2)."""
    return Model(
        nodes=[
            Node("moved", L.Dense(np.eye(2), [-1.0, 0.0]), ("input",)),
            Node("relu", L.ReLU(), ("moved",)),
            Node("first", L.Slice(0, 1), ("relu",)),
            Node("second", L.Slice(1, 2), ("relu",)),
            Node("product", L.Multiply(), ("first", "second")),
        ]
    )


def largest_net():
    """max(x1, x2), as the papers write it: ReLUs of x1 and x2, and of their difference."""
    return Model.sequential([L.Dense([[1.0, 0.0], [-1.0, 1.0]]), L.ReLU(), L.Dense([[1.0], [1.0]])]).astype(object)


def test_the_numbers_of_n1():
    found = IntegratedGradients(n1(), exact=True)(exact((1, 4)))
    assert found.relevance.tolist() == [[Fraction(27, 5), Fraction(-2, 5)]]
    assert (found.shared.tolist(), found.residual.tolist(), found.total.tolist()) == ([5], [0], [5])
    floats = IntegratedGradients(n1().astype(np.float64), exact=True)(np.array([[1.0, 4.0]]))
    np.testing.assert_allclose(floats.relevance, [[5.4, -0.4]], rtol=1e-14)


def test_a_square_root_is_integrated_as_well_as_the_rule_can():
    x = np.array([[4.0, 4.0]])
    right = IntegratedGradients(root_net(), baseline=0, steps=1000, rule="right")(x).relevance[0]
    assert (right[0], round(right[1], 6)) == (pytest.approx(4), 1.954319)
    gauss = IntegratedGradients(root_net(), steps=100, rule="gauss-legendre")(x).relevance[0]
    np.testing.assert_allclose(gauss, [4, 2], atol=1e-2)
    assert abs(gauss[1] - 2) < abs(IntegratedGradients(root_net(), steps=1000)(x).relevance[0, 1] - 2) < abs(right[1] - 2)


def test_a_product_of_relus_is_complete_where_deeplift_is_not():
    x = np.array([[2.0, 1.0]])
    np.testing.assert_allclose(IntegratedGradients(product_net(), steps=1000)(x).relevance, [[0.75, 0.25]], atol=1e-6)
    right = IntegratedGradients(product_net(), steps=1000, rule="right")(x).relevance
    np.testing.assert_allclose(right, [[0.7505, 0.2505]], atol=1e-9)


def test_the_maximum_belongs_to_the_larger_input():
    assert IntegratedGradients(largest_net(), exact=True)(exact((2, 1), (3, 2))).relevance.tolist() == [[2, 0], [3, 0]]


def test_rules_of_integration():
    assert quadrature("midpoint", 2) == ([Fraction(1, 4), Fraction(3, 4)], [Fraction(1, 2)] * 2)
    assert quadrature("right", 2)[0] == [Fraction(1, 2), 1]
    assert quadrature("left", 2)[0] == [0, Fraction(1, 2)]
    assert quadrature("trapezoid", 2) == ([0, Fraction(1, 2), 1], [Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)])
    for rule in RULES:
        places, weights = quadrature(rule, 7)
        assert math.isclose(sum(weights), 1)
        degree = 13 if rule == "gauss-legendre" else 1 if rule in ("midpoint", "trapezoid") else 0
        powers = sum(float(w) * float(p) ** degree for p, w in zip(places, weights, strict=True))
        assert math.isclose(powers, 1 / (degree + 1))


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_the_exact_form_is_complete_exactly(seed):
    random = np.random.default_rng(seed)
    model = dense_net(random, kinds=("relu", "leaky", "abs", "clip", "hard")).astype(object)
    x, baseline = (lrp_ref.arrays.fractions(halves(random, 2, 3)) for _ in range(2))
    found = IntegratedGradients(model, baseline=baseline, exact=True)(x, target="all")
    assert (found.residual == 0).all()
    assert (found.shared == model(x) - model(baseline)).all()


@settings(max_examples=3, deadline=None)
@given(SEEDS)
def test_it_is_complete_through_maxima_and_minima(seed):
    random = np.random.default_rng(seed)
    model, x = conv_net(random).astype(object), lrp_ref.arrays.fractions(halves(random, 1, 1, 5, 5))
    found = IntegratedGradients(model, exact=True)(x, target="all")
    assert (found.residual == 0).all()
    floats = IntegratedGradients(conv_net(np.random.default_rng(seed)), exact=True)(x.astype(float), target="all")
    np.testing.assert_allclose(floats.residual, 0, atol=1e-11)


@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_pieces_are_what_many_steps_converge_to(seed):
    random = np.random.default_rng(seed)
    model = dense_net(random)
    x = random.normal(size=(1, 3))
    steps = IntegratedGradients(model, steps=3000, block=500)(x, target=0).relevance
    np.testing.assert_allclose(IntegratedGradients(model, exact=True)(x, target=0).relevance, steps, atol=0.02)


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_without_biases_and_from_0_it_is_gradient_times_input(seed):
    random = np.random.default_rng(seed)
    model = dense_net(random, bias=False, kinds=("relu", "leaky")).astype(object)
    x = lrp_ref.arrays.fractions(halves(random, 2, 3))
    found = IntegratedGradients(model, exact=True)(x, target=1)
    assert (found.relevance == methods.GradientTimesInput(model)(x, target=1).relevance).all()


def test_with_a_bias_or_from_another_baseline_it_is_not():
    x, flat = exact((1, 4)), dense_net(np.random.default_rng(3), bias=False).astype(object)
    wanted = methods.GradientTimesInput(n1())(x).relevance.tolist()
    assert wanted != IntegratedGradients(n1(), exact=True)(x).relevance.tolist()  # biases
    y = exact((1, 2, -1))
    moved = IntegratedGradients(flat, exact=True, baseline=[1, -1, 2])(y, target=0).relevance
    assert (moved != methods.GradientTimesInput(flat)(y, target=0).relevance).any()


def test_a_path_on_a_kink_takes_the_derivative_0():
    # ReLU(x1 − x2) on the diagonal, from 0: the path is on the kink from its begin to its end.
    model = Model.sequential([L.Dense([[1.0], [-1.0]]), L.ReLU()]).astype(object)
    assert IntegratedGradients(model, exact=True)(exact((2, 2))).relevance.tolist() == [[0, 0]]


def test_several_baselines_are_averaged():
    x = exact((1, 4))
    one, other = (IntegratedGradients(n1(), baseline=b, exact=True)(x) for b in (0, [1, 2]))
    both = IntegratedGradients(n1(), baselines=[0, [1, 2]], exact=True)(x)
    assert (both.relevance == (one.relevance + other.relevance) / 2).all()
    assert (both.shared == (one.shared + other.shared) / 2).all()
    assert both.parameters == {"exact": True, "baselines": [0, [1, 2]]}


def test_a_batch_is_its_samples_bit_for_bit_in_any_block():
    random = np.random.default_rng(1)
    model, x = conv_net(random), random.normal(size=(3, 1, 5, 5))
    for choices in ({"steps": 5}, {"exact": True}, {"steps": 3, "rule": "trapezoid"}):
        whole = IntegratedGradients(model, **choices)(x, target="all").relevance
        for block in (1, 7):
            assert np.array_equal(IntegratedGradients(model, block=block, **choices)(x, target="all").relevance, whole)
        alone = [IntegratedGradients(model, **choices)(x[n : n + 1], target="all").relevance[0] for n in range(3)]
        assert np.array_equal(np.stack(alone), whole)


def test_targets_contrasts_and_heads():
    random = np.random.default_rng(2)
    model, x = dense_net(random), random.normal(size=(2, 3))
    plus, minus, both = (
        IntegratedGradients(model, exact=True)(x, **asked) for asked in ({"target": 1}, {"target": 0}, {"targets": [1, 0]})
    )
    contrast = IntegratedGradients(model, exact=True)(x, target=1, contrast=0)
    np.testing.assert_allclose(contrast.relevance, plus.relevance - minus.relevance, atol=1e-12)
    np.testing.assert_allclose(contrast.residual, 0, atol=1e-12)
    assert np.array_equal(both.relevance[:, 0], plus.relevance)
    ended = Model.sequential([*(node.layer for node in model.nodes), L.Softmax()])
    for head in ("probability", "log-odds"):
        steps = IntegratedGradients(ended, head=head, steps=2000, block=500)(x)
        np.testing.assert_allclose(steps.residual, 0, atol=0.02)
        with pytest.raises(HeadError, match="piecewise linear"):
            IntegratedGradients(ended, head=head, exact=True)


def test_several_inputs_share_one_path():
    model = Model(
        inputs=("a", "b"),
        nodes=[
            Node("da", L.Dense([[1.0, -1.0]], [0.5, 1.0]), ("a",)),
            Node("sum", L.Add(), ("da", "b")),
            Node("relu", L.ReLU(), ("sum",)),
        ],
    ).astype(object)
    found = IntegratedGradients(model, baseline={"a": 0, "b": [1, -2]}, exact=True)(
        {"a": exact((3,)), "b": exact((-2, 4))}, target="all"
    )
    assert (found.residual == 0).all()
    assert set(found.relevance) == {"a", "b"}


def test_progress_and_cost():
    seen = []
    method = IntegratedGradients(n1(), steps=5, block=2, baselines=[0, 1], progress=lambda *done: seen.append(done))
    method(exact((1, 4)))
    assert seen == [(2, 10), (4, 10), (5, 10), (7, 10), (9, 10), (10, 10)]
    assert method.estimate() == methods.Cost(13, 10)


def test_what_cannot_be_integrated_is_refused():
    x = np.array([[1.0, 4.0]])
    for steps in (0, -1, 2.5, True):
        with pytest.raises(ParameterError, match="steps"):
            IntegratedGradients(n1(), steps=steps)
    with pytest.raises(UnknownNameError, match="Did you mean 'midpoint'"):
        IntegratedGradients(n1(), rule="midpont")
    with pytest.raises(ShapeError, match=r"baseline of input 'input' has shape \(3,\), which does not fit"):
        IntegratedGradients(n1(), baseline=[0, 0, 0])(exact((1, 4)))
    with pytest.raises(ParameterError, match=r"'root'.*Sqrt.* is not piecewise linear along this path.*steps="):
        IntegratedGradients(root_net(), exact=True)(x)
    with pytest.raises(ParameterError, match=r"'product'.*Multiply is not piecewise linear"):
        IntegratedGradients(product_net(), exact=True)(np.array([[2.0, 1.0]]))
    with pytest.raises(ExactnessError, match="not rational"):
        IntegratedGradients(n1(), rule="gauss-legendre")(exact((1, 4)))
    with pytest.raises(ParameterError, match="more than 2 pieces"):
        IntegratedGradients(n1(), exact=True, most_pieces=2)(exact((1, 4)))
    for wrong in ({"baselines": []}, {"baselines": [0], "baseline": 1}, {"baselines": 3}):
        with pytest.raises(ParameterError, match="baseline"):
            IntegratedGradients(n1(), **wrong)


# --- SmoothGrad --------------------------------------------------------------------------------------------------------


def test_the_mean_over_noise_is_that_of_a_relu():
    # 2.4 (7): for one ReLU the expectation is w · Φ(z / (σ‖w‖)).
    w, x = np.array([3.0, -4.0]), np.array([[1.0, 0.5]])
    model = Model.sequential([L.Dense(w[:, None]), L.ReLU()])
    found = SmoothGrad(model, samples=1000, noise=0.4, relative=False)(x).relevance[0]
    phi = 0.5 * math.erfc(-(w @ x[0]) / (0.4 * 5) / math.sqrt(2))
    np.testing.assert_allclose(found, w * phi, atol=0.1)


def test_without_noise_it_is_the_method():
    x = exact((1, 4))
    assert (SmoothGrad(n1(), noise=0, samples=3)(x).relevance == methods.Gradient(n1())(x).relevance).all()
    squares = SmoothGrad(n1(), noise=0, samples=3, form="squared")(x).relevance
    assert (squares == methods.Sensitivity(n1())(x).relevance).all()
    model = n1()
    inner = methods.IntegratedGradients(model, exact=True)
    found = SmoothGrad(model, inner, noise=0, samples=2)(x)
    assert (found.relevance == inner(x).relevance).all()
    assert not found.conserves
    explainer = lrp_ref.Explainer(model, ledger=True)
    assert (SmoothGrad(model, explainer, noise=0, samples=1)(x).relevance == explainer(x).relevance).all()


def test_noise_is_a_part_of_each_samples_range():
    seen = []

    class Spy:
        def __init__(self, model):
            self.model, self.inner = model, methods.Gradient(model)

        def __call__(self, x, target=None, *, targets=None, contrast=None):
            seen.append(x)
            return self.inner(x, target, targets=targets, contrast=contrast)

    model, x = dense_net(np.random.default_rng(0)), np.array([[0.0, 1.0, 0.5], [0.0, 10.0, 5.0]])
    SmoothGrad(model, Spy(model), samples=1, noise=0.5)(x)
    moved = seen[1]["input"] - x
    np.testing.assert_allclose(moved[1], 10 * moved[0], rtol=1e-12)  # the same draw, ten times the range


def test_the_same_seed_is_the_same_bits_and_a_batch_its_samples():
    random = np.random.default_rng(4)
    model, x = dense_net(random), random.normal(size=(3, 3))
    whole = SmoothGrad(model, samples=5, seed=7)(x, target="all").relevance
    assert np.array_equal(SmoothGrad(model, samples=5, seed=7)(x, target="all").relevance, whole)
    assert not np.array_equal(SmoothGrad(model, samples=5, seed=8)(x, target="all").relevance, whole)
    alone = [SmoothGrad(model, samples=5, seed=7)(x[n : n + 1], target="all").relevance[0] for n in range(3)]
    assert np.array_equal(np.stack(alone), whole)
    keyed = SmoothGrad(model, samples=5, seed=7, per_sample_keys=[5, 6, 7])(x, target="all").relevance
    one = SmoothGrad(model, samples=5, seed=7, per_sample_keys=[6])(x[1:2], target="all").relevance
    assert np.array_equal(one[0], keyed[1])


def test_the_target_is_decided_on_the_input_itself():
    model = Model.sequential([L.Dense([[1.0, -1.0]])])
    found = SmoothGrad(model, noise=100, relative=False, samples=4)(np.array([[0.1]]))
    assert found.target.tolist() == [0]
    assert found.relevance.tolist() == [[1]]


def test_what_makes_no_sense_is_refused():
    for wrong in ({"seed": 1.5}, {"seed": -1}, {"seed": "a"}, {"samples": 0}, {"noise": -1}, {"method": 3}):
        with pytest.raises(ParameterError):
            SmoothGrad(n1(), **wrong)
    with pytest.raises(UnknownNameError):
        SmoothGrad(n1(), form="square")
    with pytest.raises(ParameterError, match="another model"):
        SmoothGrad(n1(), methods.Gradient(n1()))
    model = n1()
    with pytest.raises(ParameterError, match="precision belong to the method"):
        SmoothGrad(model, methods.Gradient(model), precision="float32")
    with pytest.raises(ParameterError, match="per_sample_keys"):
        SmoothGrad(model, per_sample_keys=[1, 2])(exact((1, 4)))
