"""CONV-HEAD-ELEMENT: which score stands behind every element of an output, found by what the graph computes.

Networks are dense layers without bias under LRP-0, so that a start of c_k z_k gives x_j the relevance Σ_k c_k x_j w_jk.
"""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explainer, Model, Node, rules
from lrp_ref import layers as L
from lrp_ref.errors import HeadError, RuleError, TargetError
from lrp_ref.network.elements import CONSTANT, SEVERAL, picks, survey
from lrp_ref.propagate.heads import Head, Logit, LogOdds
from lrp_ref.wrappers import sliding_window

W = np.array([[2.0, -1.0, 0.5, 1.0], [1.0, 0.5, -2.0, 0.25]])
X = np.array([[1.0, 3.0], [-2.0, 1.0]])
Z = X @ W  # (5, 0.5, −5.5, 1.75) and (−3, 2.5, −3, −1.75)
TERMS = X[:, :, None] * W

each_backend = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def chain(*layers: L.Layer) -> Model:
    return Model.sequential([L.Dense(W), *layers])


def explain(model: Model, head: object = None, *, x: np.ndarray = X, **call: object) -> lrp_ref.Explanation:
    return Explainer(model, rule=rules.Zero(), head=head, ledger=True)(x, **call)


# ---- what is found -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "element"),
    [
        pytest.param([L.Reshape((4, 1, 1)), L.Upsample(2), L.Flatten()], 1, id="repeated by upsampling: cell 5 is score 1"),
        pytest.param([L.Reshape((4, 1)), L.Mean((2,))], 3, id="a mean of one"),
        pytest.param([L.Reshape((4, 1)), L.Sum((-1,))], 3, id="a sum of one"),
        pytest.param([L.Reshape((4, 1)), L.ReduceMax((2,))], 3, id="a maximum of one"),
        pytest.param([L.Reshape((4, 1, 1)), L.GlobalAvgPool(), L.Flatten()], 3, id="a global pooling of one cell"),
        pytest.param([L.Reshape((4, 1, 1)), L.MaxPool(1), L.Flatten()], 3, id="a window of one cell"),
        pytest.param([L.Clip(1e-7, 1 - 1e-7)], 3, id="clipped as for a logarithm"),
        pytest.param([L.ReLU(), L.Abs()], 3, id="functions that leave it as it is"),
        pytest.param([L.Log()], 3, id="its logarithm"),
        pytest.param([L.Clip(1e-7, 1.0), L.Log(), L.Scale(10.0)], 3, id="decibels"),
        pytest.param([L.Scale(2.0, -1.0)], 3, id="on −1 to 1"),
        pytest.param([L.Clip(0.01, 0.99)], 3, id="clipped to hundredths"),
        pytest.param([L.Clip(0.25, 0.75)], 3, id="clipped to quarters"),
        pytest.param([L.Threshold(0.5)], 3, id="0 below a threshold"),
        pytest.param([L.Shrink(0.25, 0.25)], 3, id="shrunk"),
        pytest.param([L.LeakyReLU(), L.ELU(), L.PReLU(np.full(4, 0.5))], 3, id="functions of numbers below 0"),
        pytest.param([L.SiLU()], 3, id="a function that grows"),
        pytest.param([L.Scale(1.0, -0.5), L.Tanh()], 3, id="a function that grows, on −½ to ½"),
        pytest.param([L.Log(), L.Clip(-100.0, 0.0)], 3, id="a logarithm that is clipped, as in a loss"),
        pytest.param([L.Attach(before=np.array([0.25, 0.5]))], 1, id="behind two constants: cell 3 is score 1"),
    ],
)
def test_layers_that_keep_what_a_probability_says(layers, element):
    target = 5 if element == 1 and len(layers) == 3 else 3
    model = chain(L.Sigmoid(), *layers)
    with pytest.raises(HeadError, match="is a probability, of node 'sigmoid1'"):
        explain(model, target=target)
    e = explain(model, "logit", target=target)
    np.testing.assert_allclose(e.value, Z[:, element], rtol=1e-13)
    np.testing.assert_allclose(e.relevance, TERMS[:, :, element], rtol=1e-13)


def test_what_only_a_hidden_unit_does():
    """Weights and products with other signals make a number of a probability: it is explained as every other is."""
    for layers in ([L.Dense(np.eye(4))], [L.Reshape((4, 1)), L.Conv(np.ones((1, 4, 1)))]):
        assert explain(chain(L.Sigmoid(), *layers), target=0).value.shape == (2,)
    gated = Model((Node("z", L.Dense(W), "input"), Node("p", L.Sigmoid(), "z"), Node("y", L.Multiply(signal=0), ("z", "p"))))
    np.testing.assert_allclose(explain(gated, target=1).relevance, TERMS[:, :, 1] / (1 + np.exp(-Z[:, 1:2])))


def test_a_function_that_neither_grows_nor_falls_has_no_score():
    with pytest.raises(HeadError, match="which node 'abs1' combines"):
        explain(chain(L.Sigmoid(), L.Scale(1.0, -0.5), L.Abs()), "logit", target=3)


def test_a_probability_behind_a_function_that_falls_has_the_opposite_score():
    e = explain(chain(L.Sigmoid(), L.Scale(-1.0), L.LeakyReLU(0.5)), "logit", target=3)
    np.testing.assert_allclose(e.relevance, -TERMS[:, :, 3], rtol=1e-13)


@pytest.mark.parametrize("head", [None, "logit", "log-odds"])
def test_a_probability_that_a_number_gates_or_chooses_is_refused(head):
    """m p and p where m > 0: the sign of p is that of no score, and z is not what m leaves of it."""
    nodes = (Node("z", L.Dense(W), "input"), Node("p", L.Sigmoid(), "z"), Node("m", L.Dense(W[:, ::-1].copy()), "input"))
    for last in (Node("y", L.Multiply(signal=1), ("m", "p")), Node("y", L.Where(otherwise=0.0), ("m", "p"))):
        with pytest.raises(HeadError, match="node 'y'"):
            explain(Model((*nodes, last)), head, target=1)


def test_a_hard_sigmoid_has_a_score_and_no_log_odds():
    """max(0, min(1, z/5 + 1/2)) is positive where z < 0: passed as it is, it would turn the sign of all relevance."""
    model = chain(L.HardSigmoid())
    with pytest.raises(HeadError, match="is a probability"):
        explain(model, target=3)
    np.testing.assert_allclose(explain(model, "logit", target=3).relevance, TERMS[:, :, 3], rtol=1e-13)
    with pytest.raises(HeadError, match="no log-odds"):
        explain(model, "log-odds", target=3)
    assert explain(chain(L.HardSigmoid(1.0, 0.0)), target=3).head == "logit"  # a number between 0 and 1


def test_a_mean_of_numbers_and_probabilities_is_a_number():
    """Rows (box, p): their mean is a number, that of p and 1 − p is made of probabilities."""
    nodes = detector().nodes[:-1]
    halves = Model((*nodes, Node("mean", L.AvgPool((2,), (1,)), "turned"), Node("turned", L.Transpose((0, 2, 1)), "anchors")))
    assert explain(halves, target=0).value.tolist() == halves(X)[:, 0, 0].tolist()
    with pytest.raises(HeadError, match=r"element 1 .* which node 'mean' combines"):
        explain(halves, target=1)


@pytest.mark.parametrize(
    ("layer", "shapes", "expected"),
    [
        (L.Concat(2), [(1, 2), (1, 1)], [0, 1, 2]),
        (L.Pad(((1, 0),)), [(1, 1, 2)], [CONSTANT, 0, 1]),
        (L.PadWith(((0, 0), (1, 1)), "constant", 7), [(1, 1, 2)], [CONSTANT, 0, 1, CONSTANT]),
        (L.PadWith(((0, 0), (1, 1)), "reflect"), [(1, 1, 3)], [1, 0, 1, 2, 1]),
        (L.AvgPool(2, 2), [(1, 1, 4)], [SEVERAL, SEVERAL]),
        (L.MaxPool(2, 1, ceil_mode=True), [(1, 1, 3)], [SEVERAL, SEVERAL]),
        (L.MaxPool(2, 2, padding=1), [(1, 1, 2)], [0, 1]),  # each window has one cell: the other is padding
        (L.Resize((1, 4), mode="nearest"), [(1, 1, 2)], [0, 0, 1, 1]),
        (L.Resize((1, 3), mode="linear", coordinates="align_corners"), [(1, 1, 2)], [0, SEVERAL, 1]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_which_element_each_is(layer, shapes, expected):
    assert picks(layer, [tuple(shape) for shape in shapes]).tolist() == expected


def test_the_survey_of_a_detector():
    """Boxes, scores and their complement, put together, moved and scaled."""
    model = detector()
    sources, e = survey(model, "out", model.shapes({"input": (1, 2)}))
    assert [(s.node, s.kind, s.explained_node) for s in sources] == [("box", "number", "box"), ("p", "squash", "z")]
    assert e.source.tolist() == [0, 1, 1, 0, 1, 1]
    assert e.element.tolist() == [0, 0, 0, 1, 1, 1]
    assert e.weight.tolist() == [1, 1, -1] * 2
    assert e.shift.tolist() == [0, 0, 1] * 2


def detector(probability: L.Layer | None = None) -> Model:
    """For two anchors a number, a probability and its complement: (N, 2, 3)."""
    nodes = [
        Node("box", L.Dense(4 * W[:, 2:]), "input"),
        Node("z", L.Dense(W[:, :2]), "input"),
        Node("p", probability or L.Sigmoid(), "z"),
        Node("q", L.Scale(-1.0, 1.0), "p"),
        Node("rows", L.Concat(3), ("box", "p", "q")),
        Node("anchors", L.Reshape((3, 2)), "rows"),
        Node("out", L.Transpose((0, 2, 1)), "anchors"),
    ]
    return Model(tuple(nodes))


# ---- the start of each element -----------------------------------------------------------------------------------------


@each_backend
def test_every_element_of_a_detector(backend):
    explainer = Explainer(detector(), rule=rules.Zero(), head="logit", backend=backend, ledger=True, keep=("z",))
    e = explainer(X, "all")
    boxes, scores = 4 * Z[:, 2:], Z[:, :2]
    np.testing.assert_allclose(e.value, np.stack([boxes, scores, -scores], axis=2).reshape(2, 6), rtol=1e-13)
    parts = [4 * TERMS[:, :, 2:], TERMS[:, :, :2], -TERMS[:, :, :2]]
    np.testing.assert_allclose(e.relevance, np.stack(parts, axis=3).reshape(2, 2, 6).transpose(0, 2, 1), rtol=1e-13, atol=1e-15)
    assert e.at("z").shape == (2, 6, 2)
    assert not e.at("z")[:, [0, 3]].any()
    assert e.head == "logit"
    assert np.abs(e.ledger.rounding).max() < 1e-13


def test_the_elements_that_are_asked_for_decide():
    model = detector()
    assert explain(model, target=(1, 0)).value.tolist() == (4 * Z[:, 3]).tolist()
    with pytest.raises(HeadError, match=r"element 4 of the output of node 'out' \(Transpose\) is a probability, of node 'p'"):
        explain(model, target=(1, 1))
    with pytest.raises(HeadError, match="element 1 of the output"):  # one sample of a batch is enough
        explain(model, target=np.array([[0, 0], [0, 1]]))
    with pytest.raises(HeadError, match=r"element 0 .* is not a probability"):
        explain(model, "log-odds", target=0)
    with pytest.raises(HeadError, match=r"element 3 .* is not a probability"):
        explain(model, "probability", target=3)


def test_the_predicted_element_is_the_largest_number_of_each_sample():
    """Sample 0 predicts a box (4·1.75), sample 1 a probability (1 − σ(−3) = 0.95 beside boxes of −12 and −7)."""
    e = explain(detector(), "logit")
    assert e.target.tolist() == [3, 2]
    assert e.value.tolist() == [7.0, 3.0]
    with pytest.raises(HeadError, match="element 2"):
        explain(detector())
    assert explain(detector(), x=X[:1]).target.tolist() == [3]


def test_saturated_probabilities_are_predicted_by_their_scores():
    model = Model.sequential([L.Dense(np.array([[100.0, 200.0, 150.0]])), L.Sigmoid(), L.Reshape((3, 1))])
    assert model([[1.0]]).ravel().tolist() == [1.0, 1.0, 1.0]
    assert explain(model, "logit", x=np.ones((1, 1))).target.tolist() == [1]


def log_odds(z: np.ndarray, c: int) -> tuple[np.ndarray, float]:
    """c_k with R_k = c_k z_k in the printed form, and η."""
    others = np.exp(np.delete(z, c) - z[c])
    return np.insert(-others / others.sum(), c, 1.0), -math.log(others.sum())


@pytest.mark.parametrize("head", ["logit", "log-odds"])
@pytest.mark.parametrize("c", range(4))
def test_the_complement_of_a_softmax_has_the_negative_log_odds(head, c):
    e = explain(chain(L.Softmax(), L.Scale(-3.0, 3.0)), head, target=c)
    for n in range(2):
        coefficients, eta = log_odds(Z[n], c)
        np.testing.assert_allclose(e.value[n], -eta, rtol=1e-12)
        np.testing.assert_allclose(e.relevance[n], -TERMS[n] @ coefficients, rtol=1e-12)


def test_a_negative_multiple_has_the_negative_score():
    """−5p is no complement: it is explained as −1 times what p is explained by."""
    for squash in (L.Softmax(), L.Sigmoid()):
        e = explain(chain(squash, L.Scale(-5.0)), "logit", target=2)
        np.testing.assert_allclose(e.relevance, -TERMS[:, :, 2])
        assert e.value.tolist() == (-Z[:, 2]).tolist()


def test_a_softmax_over_channels_has_the_log_odds_of_each_cell():
    """Two cells of two classes: scores (z₀, z₁), (z₂, z₃) along axis 1, log-odds ±(z₀ − z₁) in each cell."""
    model = chain(L.Reshape((2, 2)), L.Transpose((0, 2, 1)), L.Softmax(axis=1), L.Reshape((2, 2, 1)))
    e = explain(model, "log-odds", targets=[(0, 0, 0), (1, 1, 0)])
    np.testing.assert_allclose(e.value, np.stack([Z[:, 0] - Z[:, 1], Z[:, 3] - Z[:, 2]], axis=1), rtol=1e-13)
    np.testing.assert_allclose(e.relevance[:, 0], TERMS[:, :, 0] - TERMS[:, :, 1], rtol=1e-13)
    np.testing.assert_allclose(e.relevance[:, 1], TERMS[:, :, 3] - TERMS[:, :, 2], rtol=1e-13)
    assert explain(model, LogOdds(conserve=True), target=0).head == "LogOdds(conserve=True)"


def test_a_contrast_of_elements():
    """Of p against 1 − p it is z − (−z); of a box against a probability 4 z₂ − z₀."""
    e = explain(detector(), "logit", target=1, contrast=2)
    np.testing.assert_allclose(e.relevance, 2 * TERMS[:, :, 0])
    assert e.value.tolist() == (2 * Z[:, 0]).tolist()
    e = explain(detector(), "logit", target=0, contrast=1)
    np.testing.assert_allclose(e.relevance, 4 * TERMS[:, :, 2] - TERMS[:, :, 0])
    assert explain(detector(), target=0, contrast=3).value.tolist() == (4 * Z[:, 2] - 4 * Z[:, 3]).tolist()
    with pytest.raises(HeadError, match="element 1"):
        explain(detector(), target=0, contrast=1)


@each_backend
def test_one_score_below_another(backend):
    """h = ReLU(z) beside σ(h V): the start at h and what comes down from h V add up there."""
    v = np.array([[1.0], [-2.0], [0.5], [4.0]])
    nodes = [Node("z", L.Dense(W), "input"), Node("h", L.ReLU(), "z"), Node("s", L.Dense(v), "h"), Node("p", L.Sigmoid(), "s")]
    model = Model((*nodes, Node("out", L.Concat(), ("h", "p"))))
    explainer = Explainer(model, rule=rules.Zero(), head="logit", backend=backend, ledger=True)
    h = np.maximum(Z, 0)
    for targets in ([0, 4], [4, 0], [4, 4], [0, 0]):
        e = explainer(X, targets)
        start = [np.eye(4)[0] * h[n] if t == 0 else (h[n] * v[:, 0]) for n, t in enumerate(targets)]
        np.testing.assert_allclose(
            e.relevance, [TERMS[n] @ (start[n] / np.where(Z[n] == 0, 1, Z[n])) for n in range(2)], rtol=1e-12
        )
        assert np.abs(e.ledger.rounding).max() < 1e-13


def test_a_given_start_begins_where_the_scores_are():
    start = np.array([[[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]]] * 2)
    e = explain(detector(), "logit", start=start)
    at_z, at_box = np.array([2.5, 3.0]), np.array([1.0, 0.0])
    scores, boxes = np.where(Z == 0, 1, Z)[:, :2], 4 * Z[:, 2:]
    expected = [
        TERMS[n][:, :2] @ (at_z / scores[n] * (Z[n, :2] != 0)) + 4 * TERMS[n][:, 2:] @ (at_box / boxes[n]) for n in range(2)
    ]
    np.testing.assert_allclose(e.relevance, expected, rtol=1e-12)
    assert e.head == ""
    with pytest.raises(HeadError, match="element 1 "):
        explain(detector(), start=start)
    start[:, :, 1:] = 0
    np.testing.assert_allclose(explain(detector(), start=start).total, [1.0, 1.0], rtol=1e-14)


def test_a_head_of_ones_own_is_given_the_score_of_its_element():
    class Half(Head):
        def start(self, scores, targets):
            relevance, value = Logit().start(scores, targets)
            return relevance / 2, value / 2

    e = explain(chain(L.Sigmoid(), L.Scale(-1.0, 1.0)), Half(), target=3)
    np.testing.assert_allclose(e.relevance, -TERMS[:, :, 3] / 2)


# ---- refusals, and the number itself -----------------------------------------------------------------------------------


def ensemble(layer: L.Layer, squash: L.Layer) -> Model:
    nodes = [Node("z", L.Dense(W), "input"), Node("p", squash, "z"), Node("p2", squash, "input2")]
    return Model((*nodes, Node("joint", layer, ("p", "p2")), Node("out", L.Flatten(), "joint")), ("input", "input2"))


@pytest.mark.parametrize("layer", [L.Multiply(signal=0), L.Add(), L.Maximum(), L.Minimum(), L.Divide()], ids=repr)
@pytest.mark.parametrize("head", [None, "logit", "log-odds"])
def test_what_is_made_of_several_probabilities_is_refused_by_name(layer, head):
    with pytest.raises(HeadError, match=r"which node 'joint' combines, .* head='probability' explains the number itself"):
        Explainer(
            lrp_ref.Model(ensemble(layer, L.Sigmoid()).nodes, ("input", "input2"), input_shape={"input": (2,), "input2": (4,)}),
            rule=rules.Zero(),
            head=head,
        )


def test_squares_and_means_of_probabilities_are_refused_too():
    for layers in ([L.Pow(2.0)], [L.Mean((1,), True)], [L.Reshape((1, 4)), L.AvgPool(2)], [L.Reshape((1, 4)), L.MaxPool(2)]):
        with pytest.raises(HeadError, match="head='probability'"):
            explain(chain(L.Sigmoid(), *layers), "logit", target=0)
    assert explain(chain(L.Sigmoid(), L.Mean((1,), True)), "probability", target=0).value.shape == (2,)


@pytest.mark.parametrize("squash", [L.Sigmoid(), L.Softmax()], ids=repr)
def test_the_number_itself_is_explained_under_its_name(squash):
    model = chain(squash, L.Scale(-1.0, 1.0))
    e = explain(model, "probability", target=3)
    p = model(X)[:, 3]
    np.testing.assert_allclose(e.value, p)
    # 1 − p of the complement is a bias; −p goes through the squash as it is, in proportion to z = Σ_j x_j w_j3.
    np.testing.assert_allclose(e.relevance, ((p - 1) / Z[:, 3])[:, None] * TERMS[:, :, 3], rtol=1e-12)
    assert e.head == "probability"
    assert "head       probability" in repr(e)
    assert any("not the score" in remark for remark in e.remarks)
    assert json.loads(e.to_json())["head"] == "probability"
    assert json.loads(e.to_json())["remarks"] == list(e.remarks)
    assert copy.deepcopy(e).head == "probability"


def test_a_head_that_the_output_has_not_is_refused():
    with pytest.raises(HeadError, match=r"the output of node 'dense1' \(Dense\) comes from no softmax or sigmoid"):
        Explainer(chain(), head="probability")
    with pytest.raises(TargetError, match=r"element 0 .* is a constant"):
        explain(chain(L.Sigmoid(), L.Attach(before=np.ones(1))), "logit", target=0)
    assert explain(chain(), "logit", target=0).head == explain(chain(), target=0).head == "logit"


def test_a_softmax_inside_has_no_rule_of_the_head():
    nodes = [
        Node("z", L.Dense(W), "input"),
        Node("a", L.Softmax(), "z"),
        Node("s", L.Dense(W.T), "a"),
        Node("p", L.Softmax(), "s"),
    ]
    with pytest.raises(RuleError, match="node 'a' "):
        Explainer(Model(tuple(nodes)), head="probability")


@pytest.mark.parametrize("shape", [None, (2,)])
def test_with_and_without_shapes(shape):
    model = Model(detector().nodes, input_shape=shape)
    explainer = Explainer(model, rule=rules.Zero())
    assert "head Logit()" in repr(explainer)
    assert explainer(X, target=0).value.tolist() == (4 * Z[:, 2]).tolist()
    squashed = Model.sequential([L.Dense(W), L.Sigmoid(), L.Reshape((4, 1))], input_shape=shape)
    with pytest.raises(HeadError, match=r"node 'reshape1' .*node 'sigmoid1'"):
        Explainer(squashed)
    table = lrp_ref.composites.epsilon_plus().table(squashed)
    assert table.splitlines()[-2].split()[-1] == table.splitlines()[-1].split()[-1] == "–"


def test_windows_add_up_the_scores_of_a_squash_behind_other_layers():
    convolution = L.Conv(np.array([[[1.0, -1.0]], [[2.0, 0.5]]]), None)
    model = Model.sequential([convolution, L.Flatten(), L.Sigmoid(), L.Scale(0.5)], input_shape=(1, 2))
    e = sliding_window(Explainer(model, rule=rules.Zero(), head="logit"), np.array([[[1.0, 2.0, 4.0, 8.0]]]), window=2, stride=2)
    assert e.target.tolist() == [1]
    assert e.value.tolist() == [3.0 + 12.0]
