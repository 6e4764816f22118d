"""Gradient, sensitivity, gradient × input, simple Taylor: the papers' numbers, their laws, bad input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Model, Node, composites, methods, rules
from lrp_ref import layers as L
from lrp_ref.errors import HeadError, ParameterError, RuleError, ShapeError, UnknownNameError
from methods.nets import dense_net, exact, halves, n1
from support.dual import derivative

SEEDS = st.integers(0, 10**6)


def test_the_numbers_of_n1():
    x = exact((1, 4))
    assert methods.Gradient(n1())(x).relevance.tolist() == [[5, 1]]
    assert methods.Sensitivity(n1())(x).relevance.tolist() == [[25, 1]]
    assert methods.Sensitivity(n1(), "absolute")(x).relevance.tolist() == [[5, 1]]
    assert methods.Sensitivity(n1())(x).total.tolist() == [26]  # ‖∇f‖²
    assert methods.GradientTimesInput(n1())(x).relevance.tolist() == [[5, 4]]
    # (1, 2) lies on the kink of the second unit, whose derivative is 0.
    assert methods.GradientTimesInput(n1())(exact((1, 2))).relevance.tolist() == [[7, 0]]


def test_a_square_root_and_a_product_of_relus():
    root = Model(
        nodes=[
            Node("first", L.Slice(0, 1), ("input",)),
            Node("second", L.Slice(1, 2), ("input",)),
            Node("root", L.Sqrt(), ("second",)),
            Node("sum", L.Add(), ("first", "root")),
        ]
    )
    assert methods.GradientTimesInput(root)(np.array([[4.0, 4.0]])).relevance.tolist() == [[4, 1]]


def test_the_heads_of_a_softmax_have_the_papers_gradients():
    model = Model.sequential([L.Dense(np.eye(3)), L.Softmax()])
    x = np.array([[2.0, 1.0, 0.0]])
    of = {head: methods.Gradient(model, head=head)(x, target=0).relevance[0] for head in ("logit", "probability")}
    assert of["logit"].tolist() == [1, 0, 0]
    np.testing.assert_allclose(of["probability"], [0.222696, -0.162803, -0.059893], atol=1e-6)
    logs = methods.Gradient(Model.sequential([L.Dense(np.eye(3)), L.LogSoftmax()]), head="probability")(x, target=0).relevance[0]
    np.testing.assert_allclose(logs, [0.334759, -0.244728, -0.090031], atol=1e-6)
    assert abs(logs.sum()) < 1e-15


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_a_gradient_is_the_derivative_of_dual_numbers(seed):
    random = np.random.default_rng(seed)
    model = dense_net(random, kinds=("relu", "leaky", "clip", "hard")).astype(object)
    x, direction = (lrp_ref.arrays.fractions(halves(random, 2, 3) + 1 / 16) for _ in range(2))
    found = methods.Gradient(model)(x, target=1).relevance
    slopes = derivative(lambda a: _through(model, a), (x,), (direction,))
    if not _on_a_kink(model, x):
        assert ((found * direction).sum(axis=1) == slopes[:, 1]).all()


def _through(model, a):
    for node in model.nodes:
        a = node.layer.forward(a)
    return a


def _on_a_kink(model, x):
    trace = model.trace(x).activations
    bounds = {L.ReLU: (0,), L.LeakyReLU: (0,), L.Clip: (-1, 2), L.HardSigmoid: (-2, 2)}
    return any((trace[n.inputs[0]] == b).any() for n in model.nodes for b in bounds.get(type(n.layer), ()))


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_gradient_times_input_is_lrp_0_in_relu_and_leaky_networks(seed):
    random = np.random.default_rng(seed)
    model = dense_net(random, kinds=("relu", "leaky")).astype(object)
    x = lrp_ref.arrays.fractions(halves(random, 2, 3))
    lrp = lrp_ref.explain(model, x, composite=composites.uniform(rules.Zero()), target=0)
    gradient = methods.GradientTimesInput(model)(x, target=0)
    on_a_kink = [(model.trace(x).activations[n.inputs[0]] == 0).any() for n in model.nodes if len(n.inputs) and "relu" in n.name]
    if not any(on_a_kink):
        told = lrp.value != 0  # 0/0 = 0: LRP-0 shares nothing of a score of 0, whose gradient need not be 0
        assert (lrp.relevance == gradient.relevance)[told].all()


def test_with_another_activation_gradient_times_input_is_not_lrp_0():
    model = Model.sequential([L.Dense([[1.0]]), L.Clip(0.0, 1.0), L.Dense([[1.0]])]).astype(object)
    x = exact((2,))
    lrp = lrp_ref.explain(model, x, composite=composites.uniform(rules.Zero()))
    assert lrp.relevance.tolist() == [[1]]
    assert methods.GradientTimesInput(model)(x).relevance.tolist() == [[0]]


def test_a_clip_at_six_is_one_counterexample_and_average_pooling_of_maxima_another():
    layers = [L.Reshape((1, 2)), L.MaxPool(2), L.Flatten(), L.Dense([[1.0]])]
    model, x = Model.sequential(layers).astype(object), exact((1, 3))
    assert methods.GradientTimesInput(model)(x).relevance.tolist() == [[0, 3]]
    shared = composites.uniform(rules.Zero(), pool=rules.Proportional())
    assert lrp_ref.explain(model, x, composite=shared).relevance.tolist() == [[Fraction(3, 4), Fraction(9, 4)]]


def test_sensitivity_over_channels():
    weights = np.array([1.0, -3.0, 2.0, 4.0, 0.0, -5.0, 1.0, 1.0, 1.0, 2.0, 2.0, -2.0])[:, None]
    model = Model.sequential([L.Flatten(), L.Dense(weights)])
    x = np.ones((1, 3, 2, 2))
    found = methods.Sensitivity(model, "absolute", "max")(x)
    assert found.relevance.tolist() == [[[[1, 5], [2, 4]]]]  # Simonyan's map
    assert methods.Sensitivity(model, "signed", "sum")(x, target="all").relevance.tolist() == [[[[[2, -6], [5, 3]]]]]
    with pytest.raises(ShapeError, match="has no channels"):
        methods.Sensitivity(n1(), channels="max")(exact((1, 4)))
    with pytest.raises(UnknownNameError, match="squared"):
        methods.Sensitivity(n1(), "square")
    with pytest.raises(UnknownNameError, match="each"):
        methods.Sensitivity(n1(), channels="mean")


# --- simple Taylor -----------------------------------------------------------------------------------------------------


def test_at_a_given_root_the_terms_are_the_gradient_there():
    model = Model.sequential([L.Dense([[2.0], [-1.0]], [1.0])]).astype(object)
    found = methods.SimpleTaylor(model, root=[Fraction(1), Fraction(3)])(exact((2, 1)))
    assert found.relevance.tolist() == [[2, 2]]
    assert found.residual.tolist() == [0]
    assert found.shared.tolist() == [4]


def test_the_root_of_a_line_is_the_nearest_one():
    # |x| − 1 from 3 towards −3: the nearest root is 1, and the other one −1.
    model = Model.sequential([L.Abs(), L.Dense([[1.0]], [-1.0])])
    rational = methods.SimpleTaylor(model.astype(object), toward=-3)(exact((3,), (2,)))
    assert rational.relevance.tolist() == [[2], [1]]
    assert rational.residual.tolist() == [0, 0]
    floats = methods.SimpleTaylor(model, toward=-3)(np.array([[3.0], [2.0]]))
    np.testing.assert_allclose(floats.relevance, [[2], [1]], rtol=1e-12)


def test_a_homogeneous_function_has_gradient_times_input_at_the_origin():
    # The root is 0, a kink of every unit: the gradient is that of x's side.
    random = np.random.default_rng(5)
    model = dense_net(random, bias=False, last=1).astype(object)
    x = lrp_ref.arrays.fractions(halves(random, 4, 3))
    found, wanted = methods.SimpleTaylor(model)(x), methods.GradientTimesInput(model)(x)
    assert (found.relevance == wanted.relevance).all()
    assert (found.residual == 0).all()
    assert any(value != 0 for value in found.value)


def test_each_target_has_its_root():
    found = methods.SimpleTaylor(Model.sequential([L.Dense([[1.0, 1.0]], [-1.0, -2.0])]))(np.array([[4.0]]), target="all")
    np.testing.assert_allclose(found.relevance, [[[3.0], [2.0]]], rtol=1e-12)


def test_taylor_says_what_is_missing():
    model = Model.sequential([L.Dense([[1.0]], [1.0])])
    with pytest.raises(ParameterError, match=r"sample 0 has no root on the line from x to toward=0: another toward="):
        methods.SimpleTaylor(model)(np.array([[1.0]]))
    with pytest.raises(ParameterError, match="no root"):
        methods.SimpleTaylor(model.astype(object))(exact((1,)))
    with pytest.raises(ParameterError, match="root= or toward=, not both"):
        methods.SimpleTaylor(model, root=0, toward=1)
    with pytest.raises(ShapeError, match="root of input 'input' has shape"):
        methods.SimpleTaylor(model, root=[1, 2])(np.array([[1.0]]))


# --- bad input ---------------------------------------------------------------------------------------------------------


def test_a_layer_without_a_derivative_is_named():
    class Silent(L.Activation):
        def function(self, z):
            return z

        def derivative(self, z, output):
            raise lrp_ref.errors.DerivativeError("Silent has no derivative")

    model = Model.sequential([L.Dense([[1.0]]), Silent()], names=("dense", "silent"))
    with pytest.raises(lrp_ref.errors.DerivativeError, match="silent"):
        methods.Gradient(model)(np.array([[1.0]]))
    words = Model.sequential([L.Embedding(np.eye(3)), L.Flatten(), L.Dense(np.ones((6, 1)))], names=("words", "flat", "top"))
    with pytest.raises(RuleError, match="words"):
        methods.Gradient(words)


def test_probabilities_of_rationals_are_refused():
    with pytest.raises(HeadError, match="no softmax"):
        methods.Gradient(n1(), head="probability")
