"""How much of the value arrives at the inputs, and that an explanation says so.

Written from the kind's description, without sight of the code. `Explanation.share_arrived` is Σ R over all inputs by the value,
(N,) or (N, T), NaN where it is undefined and None for a given start; `Explanation.remarks` has a text where it is under 5 %,
over 200 % or of the other sign, which names the nodes that kept it where there is a ledger, and else says that a ledger would.
Under LRP-0 a dense layer gives the inputs Σ_j x_j w_jk.
"""

import re
import warnings
from fractions import Fraction

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, Node, rules
from lrp_ref import layers as L

backends = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)
X = np.array([[1.0, 2.0]])


def one(reaches, bias, **choices):
    """A network whose inputs get `reaches` of a value of `reaches` + `bias`."""
    model = Model.sequential([L.Dense(np.array([[reaches / 2], [reaches / 4]]), np.array([bias]))])
    return lrp_ref.explain(model, X, **{"rule": rules.Zero(), "target": 0, "ledger": True, **choices})


# what reaches the inputs, the bias, the share, and whether it is worth a remark
SHARES = {
    "everything": (4.0, 0.0, 1.0, False),
    "half": (4.0, 4.0, 0.5, False),
    "an eighth": (1.0, 7.0, 0.125, False),
    "three halves": (3.0, -1.0, 1.5, False),
    "everything of a negative score": (-4.0, 0.0, 1.0, False),
    "half of a negative score": (-4.0, -4.0, 0.5, False),
    "a sixty-fourth": (1.0, 63.0, 1 / 64, True),
    "a sixty-fourth of a negative score": (-1.0, -63.0, 1 / 64, True),
    "a millionth": (2.0**-20, 1 - 2.0**-20, 2.0**-20, True),
    "nothing": (0.0, 2.0, 0.0, True),
    "four times": (4.0, -3.0, 4.0, True),
    "four times a negative score": (-4.0, 3.0, 4.0, True),
    "a thousand times": (1024.0, -1023.0, 1024.0, True),
    "the other sign": (-1.0, 2.0, -1.0, True),
    "the other sign, a negative score": (1.0, -2.0, -1.0, True),
    "the other sign, seven times": (-7.0, 8.0, -7.0, True),
    "the other sign, a little": (-1.0, 8.0, -1 / 7, True),
}


@pytest.mark.parametrize("name", SHARES)
@backends
def test_the_share_and_its_remark(name, backend):
    reaches, bias, share, remark = SHARES[name]
    e = one(reaches, bias, backend=backend)
    np.testing.assert_allclose(e.share_arrived, [share], rtol=1e-12)
    assert e.share_arrived.shape == (1,)
    assert isinstance(e.remarks, tuple)
    assert bool(e.remarks) == remark
    assert any("dense1" in text for text in e.remarks) == remark


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("precision", ["float32", "fast"])
def test_with_or_without_a_ledger_and_in_any_precision(name, precision):
    reaches, bias, share, remark = SHARES[name]
    for ledger in (False, True):
        e = one(reaches, bias, precision=precision, ledger=ledger)
        np.testing.assert_allclose(np.asarray(e.share_arrived, float), [share], rtol=1e-5)
        assert bool(e.remarks) == remark
        assert ledger or all("ledger=True" in text for text in e.remarks)


def test_a_remark_is_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(1.0, 999.0).remarks


@pytest.mark.parametrize("remark", [True, False])
def test_it_is_printed(remark):
    e = one(*((1.0, 63.0) if remark else (1.0, 1.0)))
    text = repr(e)
    assert re.search(r"1\.[56]|0\.01[56]|\b2 ?%" if remark else r"\b50|0\.5", text)  # in per cent or as a number
    assert all(words in text for words in e.remarks)


def test_the_node_that_kept_it_is_named_and_no_other():
    """1 of 101 arrives at the first layer's output; there nothing more is lost."""
    layers = [L.Dense(np.array([[1.0], [0.0]])), L.ReLU(), L.Dense(np.array([[1.0]]), np.array([100.0]))]
    model = Model.sequential(layers, ["careful", "relu", "greedy"])
    e = lrp_ref.explain(model, X, rule=rules.Zero(), target=0, ledger=True)
    np.testing.assert_allclose(e.share_arrived, [1 / 101], rtol=1e-12)
    assert any("greedy" in text for text in e.remarks)
    assert not any("careful" in text for text in e.remarks)


def test_the_first_layer_may_be_the_one():
    layers = [L.Dense(np.array([[1.0], [0.0]]), np.array([99.0])), L.ReLU(), L.Dense(np.array([[2.0]]), np.array([10.0]))]
    model = Model.sequential(layers, ["greedy", "relu", "careful"])
    e = lrp_ref.explain(model, X, rule=rules.Zero(), target=0, ledger=True)
    np.testing.assert_allclose(e.share_arrived, [2 / 210], rtol=1e-12)
    assert any("greedy" in text for text in e.remarks)


def test_many_layers_that_keep_half_each():
    """Ten layers, in none of which more than half stays, and 1/1024 arrives."""
    layers = []
    value = 1.0
    for _ in range(10):
        layers += [L.Dense(np.array([[1.0]]), np.array([value])), L.ReLU()]
        value *= 2
    e = lrp_ref.explain(Model.sequential(layers), np.array([[1.0]]), rule=rules.Zero(), target=0)
    np.testing.assert_allclose(e.share_arrived, [1 / 1024], rtol=1e-12)
    assert e.remarks


def test_a_stabiliser_may_be_what_keeps_it():
    """ε = 99 z: a hundredth arrives."""
    e = one(1.0, 0.0, rule=rules.Epsilon(99.0))
    np.testing.assert_allclose(e.share_arrived, [0.01], rtol=1e-12)
    assert e.remarks
    assert any("dense1" in text for text in e.remarks)


def test_an_empty_pool_may_be_what_keeps_it():
    """All products are negative and the score positive: z⁺ has nowhere to go."""
    e = one(-1.0, 2.0, rule=rules.ZPlus())
    np.testing.assert_array_equal(e.share_arrived, [0])
    assert e.remarks
    assert any("dense1" in text for text in e.remarks)


def test_each_sample_has_its_own():
    model = Model.sequential([L.Dense(np.array([[1.0]]), np.array([1.0]))])
    x = np.array([[1.0], [1 / 127], [-0.5], [-3.0]])
    e = lrp_ref.explain(model, x, rule=rules.Zero(), target=0)
    np.testing.assert_allclose(e.share_arrived, [1 / 2, 1 / 128, -1, 3 / 2], rtol=1e-12)
    assert e.remarks
    assert not lrp_ref.explain(model, x[[0, 3]], rule=rules.Zero(), target=0).remarks


def test_each_target_has_its_own():
    model = Model.sequential([L.Dense(np.array([[1.0, 1.0, 3.0]]), np.array([0.0, 99.0, -2.0]))])
    e = lrp_ref.explain(model, np.array([[1.0], [1.0]]), rule=rules.Zero(), targets=(0, 1, 2))
    np.testing.assert_allclose(e.share_arrived, [[1, 1 / 100, 3]] * 2, rtol=1e-12)
    assert e.share_arrived.shape == (2, 3)
    assert e.remarks


def test_of_several_inputs_all_count():
    """a · 1 + b · 1 with b's map under a bias of its own: 1 and 2 of 1 + 4."""
    nodes = (
        Node("left", L.Dense(np.array([[1.0]])), "a"),
        Node("right", L.Dense(np.array([[1.0]]), np.array([2.0])), "b"),
        Node("sum", L.Add(), ("left", "right")),
    )
    model = Model(nodes, inputs=("a", "b"))
    e = lrp_ref.explain(model, {"a": np.array([[1.0]]), "b": np.array([[2.0]])}, rule=rules.Zero(), target=0)
    np.testing.assert_allclose(e.share_arrived, [3 / 5], rtol=1e-12)
    assert not e.remarks


def test_of_a_contrast():
    """(6 + 1) − (2 + 1): the biases cancel, and all of the difference arrives."""
    model = Model.sequential([L.Dense(np.array([[6.0, 2.0]]), np.array([1.0, 1.0]))])
    e = lrp_ref.explain(model, np.array([[1.0]]), rule=rules.Zero(), target=0, contrast=1)
    np.testing.assert_allclose(e.share_arrived, [1.0], rtol=1e-12)
    assert not e.remarks


@pytest.mark.parametrize("start", [np.ones((1, 1)), np.array([[-2.0]]), np.zeros((1, 1))], ids=["1", "−2", "0"])
def test_a_given_start_has_none(start):
    e = one(1.0, 63.0, target=None, start=start)
    assert e.share_arrived is None
    assert not e.remarks


@pytest.mark.parametrize("reaches", [0.0, 1.0, -2.0])
@backends
def test_a_value_of_exactly_0_has_none(reaches, backend):
    e = one(reaches, -reaches, backend=backend)
    np.testing.assert_array_equal(e.share_arrived, [np.nan])
    assert not e.remarks


@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [
        ([0.1, 0.2, -0.3], [1.0, 1.0, 1.0], 0.0),
        ([1.0, 1.0, 1.0], [0.1, 0.7, -0.8], 0.0),
        ([1e8, 1.0, 1.0], [0.1, 0.3, 0.0], -1e7 - 0.3),
        ([3.0, 1.0, 0.0], [0.1, 0.0, 0.0], -0.3),
    ],
)
@backends
def test_a_value_below_its_rounding_bound_has_none(x, weight, bias, backend):
    """What is left of 0.1 + 0.2 − 0.3 is the rounding of its terms, and a share of it means nothing."""
    model = Model.sequential([L.Dense(np.array(weight)[:, None], np.array([bias]))])
    e = lrp_ref.explain(model, np.array([x]), rule=rules.Zero(), target=0, backend=backend)
    assert np.isnan(e.share_arrived).all()
    assert not e.remarks


def test_a_small_value_that_is_exact_has_one():
    """2⁻⁴⁰ is small and no rounding: nothing larger was added up to it."""
    e = one(2.0**-40, 0.0)
    np.testing.assert_allclose(e.share_arrived, [1.0], rtol=1e-12)
    assert not e.remarks


def test_one_undefined_sample_spoils_no_other():
    model = Model.sequential([L.Dense(np.array([[1.0]]), np.array([1.0]))])
    e = lrp_ref.explain(model, np.array([[-1.0], [1.0], [1 / 127]]), rule=rules.Zero(), target=0)
    np.testing.assert_allclose(e.share_arrived, [np.nan, 1 / 2, 1 / 128], rtol=1e-12)
    assert e.remarks


def test_a_convolution_and_the_default_composite():
    """α1β0 with the bias in the pool: 8 of 8 + 504 arrive at four pixels of 1 and weight 2 under a bias of 504."""
    layers = [L.Conv(np.full((1, 1, 2, 2), 2.0), np.array([504.0])), L.ReLU(), L.Flatten()]
    e = lrp_ref.explain(Model.sequential(layers), np.ones((1, 1, 2, 2)), target=0, ledger=True)
    np.testing.assert_allclose(e.share_arrived, [8 / 512], rtol=1e-9)
    assert e.remarks
    assert any("conv1" in text for text in e.remarks)


def test_a_network_whose_relevance_all_arrives_says_nothing():
    rng = np.random.default_rng(0)
    layers = [L.Conv(rng.uniform(0, 1, (3, 1, 3, 3))), L.ReLU(), L.MaxPool(2), L.Flatten(), L.Dense(rng.uniform(0, 1, (12, 4)))]
    e = lrp_ref.explain(Model.sequential(layers), rng.uniform(0, 1, (3, 1, 6, 6)), targets=(0, 1, 2, 3))
    np.testing.assert_allclose(e.share_arrived, np.ones((3, 4)), rtol=1e-5)
    assert e.remarks == ()


def test_rationals():
    model = Model.sequential([L.Dense([[1], [1]], [61])]).astype(object)
    e = lrp_ref.explain(model, np.array([[Fraction(1), Fraction(2)]]), rule=rules.Zero(), target=0)
    assert np.asarray(e.share_arrived, float).tolist() == [3 / 64]
    assert e.remarks
