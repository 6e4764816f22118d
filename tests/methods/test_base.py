"""What all methods share: the protocol, heads, targets, provenance, what is refused."""

import json
import pickle
from fractions import Fraction

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, methods
from lrp_ref import layers as L
from lrp_ref.errors import HeadError, ParameterError, ShapeError, TargetError, UnknownNameError
from lrp_ref.methods.base import input_like, written
from lrp_ref.methods.draws import checked_keys, generator
from lrp_ref.methods.scoring import Scorer, blocks
from lrp_ref.propagate.heads import LogOdds, Unit
from lrp_ref.propagate.start import Request

X = np.array([[1.0, 2.0], [-1.0, 0.75]])


def net(*last):
    return Model.sequential(
        [L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU(), L.Dense([[1.0, 2.0, 0.5], [1.0, -1.0, 0.25]], [0.5, 0.0, 0.25]), *last]
    )


def test_an_explainer_and_every_method_are_methods():
    assert isinstance(Explainer(net()), methods.Method)
    assert isinstance(methods.Gradient(net()), methods.Method)
    for name, kind in methods.METHODS.items():
        assert name == kind.__name__
        assert kind.formula
        assert kind.needs
        assert kind.passes
        assert kind.source
        assert kind.conserves


def test_methods_are_found_by_name_in_any_spelling():
    assert methods.method_named("gradient-times_input") is methods.GradientTimesInput
    with pytest.raises(UnknownNameError, match="Did you mean 'Gradient'"):
        methods.method_named("Gradiant")


@pytest.mark.parametrize("head", ["logit", "log-odds", "probability"])
def test_a_gradient_is_of_the_number_that_the_head_explains(head):
    model = net(L.Softmax())
    found = methods.Gradient(model, head=head)(X, target=1)
    step = 2.0**-20
    scorer = Scorer(model, lrp_ref.heads.head_of(head))
    for j in range(2):
        up, down = X.copy(), X.copy()
        up[:, j] += step
        down[:, j] -= step
        difference = scorer.answer(up, Request(1)).value - scorer.answer(down, Request(1)).value
        np.testing.assert_allclose(found.relevance[:, j], difference[:, 0] / (2 * step), atol=1e-8)
    assert np.array_equal(found.value, scorer.answer(X, Request(1)).value[:, 0])
    assert found.head == head


def test_the_gradient_of_a_complement_is_that_of_its_log_odds():
    # 1 − p of a softmax: what is explained is −log-odds, and its derivative is no start of z and −q z.
    model = net(L.Softmax(), L.Scale(-1.0, 1.0))
    complement = methods.Gradient(model, head="logit")(X, target=0)
    odds = methods.Gradient(net(L.Softmax()), head="log-odds")(X, target=0)
    np.testing.assert_allclose(complement.relevance, -odds.relevance, rtol=1e-12)
    np.testing.assert_allclose(complement.value, -odds.value, rtol=1e-12)


def test_a_probability_is_not_explained_unasked():
    patterns = methods.Patterns.fit(net(L.Softmax()), X)
    for kind in methods.METHODS.values():
        with pytest.raises(HeadError, match="choose head="):
            kind(net(L.Softmax()), **({"patterns": patterns} if issubclass(kind, methods.PatternNet) else {}))


def test_a_head_without_a_derivative_says_what_it_needs():
    class Own(lrp_ref.heads.Head):
        def start(self, scores, targets):
            return scores[:, None] * 0, targets * 0.0

    with pytest.raises(HeadError, match="slopes"):
        methods.Gradient(net(), head=Own())(X)


def test_log_odds_slopes_add_up_to_nothing():
    slopes, value = Unit(LogOdds()).start(np.array([[1.0, 2.0, -1.0]]), np.array([[0, 1]]))
    np.testing.assert_allclose(slopes.sum(axis=2), 0, atol=1e-15)
    assert slopes[0, 0, 0] == slopes[0, 1, 1] == 1
    assert value.shape == (1, 2)


def test_targets_are_those_of_an_explainer():
    method, explainer = methods.Gradient(net()), Explainer(net(), "gradient", head="unit")
    for asked in ({"target": [2, 0]}, {"target": "all"}, {"targets": [[0, 1], [2, 2]]}, {"target": 1, "contrast": [0, 2]}):
        a, b = method(X, **asked), explainer(X, **asked)
        assert np.array_equal(a.relevance, b.relevance)
        assert np.array_equal(a.value, b.value)
        answer = Scorer(net()).answer(X, Request(**asked))
        assert np.array_equal(answer.question.targets if a.several else answer.question.targets[:, 0], a.target)
        np.testing.assert_allclose(answer.value if a.several else answer.value[:, 0], a.value, rtol=1e-15)
        again = method(X, **answer.question.spelled((3,)))
        assert np.array_equal(again.relevance, a.relevance)
    with pytest.raises(TargetError, match="out of range"):
        method(X, target=3)


def test_any_node_may_be_explained():
    found = methods.Gradient(net(), output="relu1")(X, target=0)
    assert found.relevance.tolist() == [[1, 2], [1, 2]]
    with pytest.raises(UnknownNameError, match="relu1"):
        methods.Gradient(net(), output="relu")


def test_blocks_give_the_same_bits():
    scorer, many = Scorer(net()), np.random.default_rng(0).normal(size=(7, 2))
    question = scorer.answer(X, Request("all")).question
    rows, seen = np.array([0, 1, 1, 0, 0, 1, 0]), []
    calls = [
        scorer.over(question, rows, lambda part: {"input": many[part]}, size, lambda *done: seen.append(done))
        for size in (1, 3, 64)
    ]
    assert all(np.array_equal(calls[0], other) for other in calls[1:])
    assert calls[0].shape == (7, 3)
    assert seen[-1] == (7, 7)
    assert list(blocks(0, 4)) == [slice(0, 0)]


def test_provenance_is_saved(tmp_path):
    found = methods.GradientTimesInput(net())(X)
    with np.load(found.save(tmp_path / "e.npz")) as saved:
        about = json.loads(str(saved["about"]))
    assert (about["method"], about["parameters"]) == ("GradientTimesInput", {})
    assert json.loads(found.to_json())["method"] == "GradientTimesInput"
    assert written(np.arange(3.0)) == [0, 1, 2]
    assert written(np.arange(40.0)).startswith("float64[40] from 0.0 to 39.0, CRC-32 ")
    assert written(Fraction(1, 3)) == "1/3"


def test_methods_are_values():
    method = methods.Gradient(net(), head="logit")
    again = pickle.loads(pickle.dumps(method))  # noqa: S301
    assert np.array_equal(again(X).relevance, method(X).relevance)
    assert method.replace(head=None).head is None
    assert method.estimate() == methods.Cost(1, 1)
    with pytest.raises(AttributeError):
        method.head = "logit"


def test_seeds_and_keys():
    first = generator(3, 0).normal(size=4)
    assert np.array_equal(first, generator(3, 0).normal(size=4))
    assert not np.array_equal(first, generator(3, 1).normal(size=4))
    assert not np.array_equal(first, generator(3, 0, 0).normal(size=4))
    for wrong in (1.5, True, "1", None, -1):
        with pytest.raises(ParameterError, match="seed"):
            generator(wrong, 0)
    assert checked_keys([3, 4], 2) == (3, 4)
    with pytest.raises(ParameterError, match="per_sample_keys"):
        checked_keys([3], 2)


def test_what_stands_for_an_input():
    inputs = {"input": X}
    assert input_like(0, inputs, "baseline")["input"].tolist() == [[0, 0], [0, 0]]
    assert input_like([1, 2], inputs, "baseline")["input"].tolist() == [[1, 2], [1, 2]]
    with pytest.raises(ShapeError, match=r"baseline of input 'input' has shape \(3,\)"):
        input_like([1, 2, 3], inputs, "baseline")
    with pytest.raises(ParameterError, match="one entry for each input"):
        input_like({"x": 1}, inputs, "baseline")
    with pytest.raises(ParameterError, match="not finite"):
        input_like(np.nan, inputs, "baseline")
