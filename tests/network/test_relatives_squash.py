"""A squash behind something that keeps its meaning: the head is decided by what the graph computes (CONV-HEAD).

Written from the kind's description, without sight of the code. Every network is one dense layer without bias, so that LRP-0 gives
R_j = x_j w_jk for the score k, and by linearity Σ_k c_k x_j w_jk for a start of c_k z_k.
"""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, Node, errors, rules
from lrp_ref import layers as L

W = np.array([[1.0, -2.0, 0.5], [-0.5, 1.0, -0.25]])  # (2, 3)
X = np.array([[1.0, -1.5]])
Z = (X @ W)[0]  # 1.75, −3.5, 0.875
TERMS = X[0][:, None] * W  # (2, 3), x_j w_jk


def chain(*behind, squash=None, weight=W):
    layers = [L.Dense(weight), squash or L.Sigmoid(), *behind]
    nodes, last = [], "input"
    for number, layer in enumerate(layers):
        name = f"n{number}"
        nodes.append(Node(name, layer, last))
        last = name
    return Model(tuple(nodes))


def explained(model, **choices):
    return lrp_ref.explain(model, X, rule=rules.Zero(), **choices)


def softmin(z, c):
    """What the log-odds of class c give each score in their printed form: c_k with R_k = c_k z_k, and η."""
    others = np.array([k for k in range(len(z)) if k != c])
    weights = np.exp(z[others] - z[c])
    part = -weights / weights.sum()
    coefficients = np.ones(len(z))
    coefficients[others] = part
    return coefficients, -np.log(weights.sum())


SHAPES = {
    "dropout": ([L.Dropout(0.5)], 1, 1),
    "reversed": ([L.Gather((2, 1, 0))], 0, 2),
    "sliced": ([L.Slice(1, 3)], 0, 1),
    "a column": ([L.Reshape((3, 1))], (1, 0), 1),
    "row and back": ([L.Reshape((1, 3)), L.Transpose((0, 2, 1)), L.Flatten()], 2, 2),
    "repeated": ([L.Tile((2,))], 4, 1),
    "broadcast": ([L.Expand((2, 3))], (1, 2), 2),
    "in hundredths": ([L.Scale(100.0)], 1, 1),
    "each on its scale": ([L.Scale(np.array([1.0, 8.0, 0.5]))], 1, 1),
    "identity of a scale of an identity": ([L.Identity(), L.Scale(0.5), L.Identity()], 0, 0),
}
CASES = [pytest.param(*case, id=name) for name, case in SHAPES.items()]


@pytest.mark.parametrize(("behind", "target", "k"), CASES)
@pytest.mark.parametrize("squash", [L.Sigmoid(), L.Softmax()], ids=["sigmoid", "softmax"])
def test_a_squash_behind_other_layers_wants_a_head(behind, target, k, squash):
    with pytest.raises(errors.HeadError, match="log-odds"):
        explained(chain(*behind, squash=squash), target=target)


@pytest.mark.parametrize(("behind", "target", "k"), CASES)
@pytest.mark.parametrize("backend", ["reference", None])
def test_its_logit_is_explained_when_asked_for(behind, target, k, backend):
    e = explained(chain(*behind), target=target, head="logit", backend=backend)
    np.testing.assert_allclose(e.value, [Z[k]], rtol=1e-12)
    np.testing.assert_allclose(e.relevance, TERMS[None, :, k], rtol=1e-12)


@pytest.mark.parametrize(("behind", "target", "k"), CASES)
def test_softmax_behind_other_layers_has_its_log_odds(behind, target, k):
    e = explained(chain(*behind, squash=L.Softmax()), target=target, head="log-odds")
    coefficients, eta = softmin(Z, k)
    np.testing.assert_allclose(e.value, [eta], rtol=1e-12)
    np.testing.assert_allclose(e.relevance, (TERMS @ coefficients)[None], rtol=1e-12)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_the_complement_of_a_sigmoid_has_minus_z(k):
    e = explained(chain(L.Scale(-1.0, 1.0)), target=k, head="logit")
    np.testing.assert_allclose(e.value, [-Z[k]], rtol=1e-12)
    np.testing.assert_allclose(e.relevance, -TERMS[None, :, k], rtol=1e-12)


@pytest.mark.parametrize(
    "behind",
    [
        [L.Scale(-1.0, 1.0), L.Scale(-1.0, 1.0)],
        [L.Scale(-1.0, 1.0), L.Reshape((3, 1)), L.Flatten(), L.Scale(-1.0, 1.0)],
        [L.Scale(-100.0, 100.0), L.Scale(-0.01, 1.0)],
    ],
    ids=["twice", "with shapes between", "in hundredths"],
)
def test_the_complement_of_a_complement_is_the_probability(behind):
    with pytest.raises(errors.HeadError):
        explained(chain(*behind), target=1)
    e = explained(chain(*behind), target=1, head="logit")
    np.testing.assert_allclose(e.relevance, TERMS[None, :, 1], rtol=1e-12)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_the_complement_of_a_softmax_has_the_negative_log_odds(k):
    e = explained(chain(L.Scale(-1.0, 1.0), squash=L.Softmax()), target=k, head="log-odds")
    coefficients, eta = softmin(Z, k)
    np.testing.assert_allclose(e.value, [-eta], rtol=1e-12)
    np.testing.assert_allclose(e.relevance, -(TERMS @ coefficients)[None], rtol=1e-12)


def test_log_softmax_behind_a_shape_layer_wants_a_head():
    model = chain(L.Reshape((3, 1)), squash=L.LogSoftmax())
    with pytest.raises(errors.HeadError):
        explained(model, target=(0, 0))
    np.testing.assert_allclose(explained(model, target=(0, 0), head="logit").relevance, TERMS[None, :, 0], rtol=1e-12)


def both(first=True):
    """[1 − p, p] or [p, 1 − p] of a single logit."""
    nodes = [Node("z", L.Dense(W[:, 1:2]), "input"), Node("p", L.Sigmoid(), "z"), Node("q", L.Scale(-1.0, 1.0), "p")]
    return Model((*nodes, Node("both", L.Concat(), ("q", "p") if first else ("p", "q"))))


@pytest.mark.parametrize(("first", "target", "sign"), [(True, 0, -1), (True, 1, 1), (False, 0, 1), (False, 1, -1)])
def test_two_classes_made_of_one_sigmoid(first, target, sign):
    model = both(first=first)
    with pytest.raises(errors.HeadError):
        explained(model, target=target)
    for head in ("logit", "log-odds"):  # of a sigmoid they are the same
        e = explained(model, target=target, head=head)
        np.testing.assert_allclose(e.value, [sign * Z[1]], rtol=1e-12)
        np.testing.assert_allclose(e.relevance, sign * TERMS[None, :, 1], rtol=1e-12)


def test_both_targets_at_once_have_each_its_own_start():
    e = explained(both(), targets=(0, 1), head="logit")
    np.testing.assert_allclose(e.value, [[-Z[1], Z[1]]], rtol=1e-12)
    np.testing.assert_allclose(e.relevance, np.stack([-TERMS[:, 1], TERMS[:, 1]])[None], rtol=1e-12)


def mixed():
    """Three numbers and three scores of the same features, side by side: a detector with one anchor."""
    V = W[:, ::-1] * 2.0
    nodes = (Node("box", L.Dense(V), "input"), Node("z", L.Dense(W), "input"), Node("p", L.Sigmoid(), "z"))
    return Model((*nodes, Node("out", L.Concat(), ("box", "p")))), X[0][:, None] * V


@pytest.mark.parametrize("target", [0, 1, 2])
def test_numbers_beside_probabilities_need_no_head(target):
    model, terms = mixed()
    np.testing.assert_allclose(explained(model, target=target).relevance, terms[None, :, target], rtol=1e-12)


@pytest.mark.parametrize("target", [3, 4, 5])
def test_probabilities_beside_numbers_need_one(target):
    model, _ = mixed()
    with pytest.raises(errors.HeadError):
        explained(model, target=target)
    e = explained(model, target=target, head="logit")
    np.testing.assert_allclose(e.relevance, TERMS[None, :, target - 3], rtol=1e-12)


def test_one_probability_among_the_targets_is_enough_to_be_asked():
    model, _ = mixed()
    with pytest.raises(errors.HeadError):
        explained(model, targets=(0, 4))


@pytest.mark.parametrize("k", [0, 1, 2])
@pytest.mark.parametrize("behind", [[], [L.Identity()], [L.Reshape((3, 1)), L.Flatten()]], ids=["bare", "identity", "shapes"])
def test_the_probability_itself_by_its_name(k, behind):
    e = explained(chain(*behind), target=k, head="probability")
    p = 1 / (1 + np.exp(-Z[k]))
    np.testing.assert_allclose(e.value, [p], rtol=1e-12)
    np.testing.assert_allclose(e.relevance, p / Z[k] * TERMS[None, :, k], rtol=1e-12)


def combined(layer, squashes):
    names = [f"p{i}" for i in range(len(squashes))]
    nodes = [Node(f"z{i}", L.Dense(W * (i + 1)), "input") for i in range(len(squashes))]
    nodes += [Node(name, squash, f"z{i}") for i, (name, squash) in enumerate(zip(names, squashes, strict=True))]
    return Model((*nodes, Node("joined", layer, tuple(names))))


PROBABILITIES = {
    "objectness times class": (L.Multiply(), [L.Sigmoid(), L.Softmax()], lambda a, b: a * b),
    "two sigmoids": (L.Multiply(signal=1), [L.Sigmoid(), L.Sigmoid()], lambda a, b: a * b),
    "an ensemble's sum": (L.Add(), [L.Softmax(), L.Softmax()], lambda a, b: a + b),
    "a difference": (L.Subtract(), [L.Sigmoid(), L.Sigmoid()], lambda a, b: a - b),
}


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize("head", [None, "logit", "log-odds"])
def test_products_and_sums_of_probabilities_are_refused(name, head):
    layer, squashes, _ = PROBABILITIES[name]
    with pytest.raises(errors.LrpError, match="probability"):
        explained(combined(layer, squashes), target=1, head=head)


@pytest.mark.parametrize("name", ["two sigmoids", "an ensemble's sum"])
def test_products_and_sums_are_explained_as_probabilities(name):
    layer, squashes, function = PROBABILITIES[name]
    model = combined(layer, squashes)
    values = [np.asarray(s.forward((i + 1) * Z[None]), float)[0, 1] for i, s in enumerate(squashes)]
    e = explained(model, target=1, head="probability")
    np.testing.assert_allclose(e.value, [function(*values)], rtol=1e-12)
    assert "probabilit" in f"{e!r} {e.remarks}".lower()


def test_the_mean_of_a_map_of_sigmoids_is_a_sum_of_probabilities():
    with pytest.raises(errors.LrpError, match="probability"):
        explained(chain(L.Mean((1,), keepdims=True)), target=0)


@pytest.mark.parametrize("behind", [[L.Dense(np.eye(3))], [L.Scale(2.0), L.Dense(np.eye(3)[:, :2])]], ids=["dense", "scale"])
def test_a_sigmoid_inside_a_network_is_no_head(behind):
    p = 1 / (1 + np.exp(-Z[0])) * (2 if len(behind) == 2 else 1)
    e = explained(chain(*behind), target=0)
    np.testing.assert_allclose(e.value, [p], rtol=1e-12)
    np.testing.assert_allclose(e.relevance, p / Z[0] * TERMS[None, :, 0], rtol=1e-12)
