"""CONV-SHARE: how much of a value arrives is stated wherever an explanation is shown, and a remark says what to do about it."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explanation, Model, composites, render, rules
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from support.cli_runner import run

#: 1 of 64 arrives.
LITTLE = Model.sequential([L.Dense([[0.5, 2.0], [0.25, 1.0]], [63.0, 0.0])], input_shape=(2,))
X = np.array([[1.0, 2.0]])


def of(model: Model, x: np.ndarray = X, **choices: object) -> Explanation:
    return lrp_ref.explain(model, x, **{"rule": rules.Zero(), "target": 0, "ledger": True, **choices})


# ---- what a remark says ------------------------------------------------------------------------------------------------


def test_a_remark_names_the_node_the_column_and_what_keeps_less():
    (remark,) = of(LITTLE).remarks
    assert remark == (
        "only 1.56 % of the value arrives at the inputs; dense1 keeps 98.4 % in its bias; "
        'z⁺ has no bias and keeps nothing in it: rule=rules.ZPlus(), or --rule "*=ZPlus()"'
    )
    assert of(LITTLE, ledger=False).remarks == (
        "only 1.56 % of the value arrives at the inputs; ledger=True names the nodes that keep the rest",
    )


@pytest.mark.parametrize(
    ("model", "rule", "less"),
    [
        (LITTLE, rules.Zero(), rules.ZPlus()),
        (LITTLE, rules.Epsilon(0.5), rules.ZPlus()),
        (Model.sequential([L.Dense([[0.5], [0.25]])]), rules.Epsilon(99), rules.Zero()),
        (Model.sequential([L.Dense([[-0.5], [-0.25]], [2.0])]), rules.ZPlus(), rules.Epsilon()),
    ],
    ids=["bias", "bias under ε", "stabiliser", "empty pool"],
)
def test_what_is_proposed_keeps_less(model, rule, less):
    e, better = of(model, rule=rule), of(model, rule=less)
    assert f"rules.{type(less).__name__}()" in e.remarks[0]
    assert abs(better.share_arrived[0] - 1) < abs(e.share_arrived[0] - 1) or type(less) is rules.Epsilon
    assert better.share_arrived[0] != 0


@pytest.mark.parametrize("value", [64.0, -64.0])
@pytest.mark.parametrize(
    ("share", "said"),
    [(1 / 32, "only"), (3 / 64, "only"), (7 / 128, ""), (1.0, ""), (2.0, ""), (2.25, "225 %"), (-1 / 64, "other sign")],
)
def test_under_5_and_over_200_percent_of_a_value_of_any_sign(share, said, value):
    """The share is that of the value, not of its size: where all of a negative score arrives it is 1."""
    e = of(Model.sequential([L.Dense([[share * value]], [(1 - share) * value])]), np.array([[1.0]]))
    assert e.value.tolist() == [value]
    assert e.share_arrived.tolist() == [share]
    assert len(e.remarks) == bool(said)
    assert all(said in remark for remark in e.remarks)


def test_nothing_is_proposed_where_nothing_is_known():
    norm = Model.sequential([L.LayerNorm(1, shift=np.array([64.0, 0]))])
    (remark,) = of(norm, composite="epsilon_plus", rule=None).remarks
    assert "layernorm1 keeps" in remark
    assert "rules." not in remark


def test_of_many_explanations_the_worst_is_told():
    model = Model.sequential([L.Dense([[1.0]], [1.0])])
    x = np.array([[1.0], [1 / 127], [1 / 63], [-0.5], [-1.0]])
    little, other = of(model, x).remarks[1], of(model, x).remarks[0]
    assert "only 0.781 % of the value arrives at the inputs at sample 1, the worst of 2 such in 4" in little
    assert "-100 % of it at sample 3, the worst of 1 such in 4" in other
    several = of(LITTLE, target=None, targets=(1, 0)).remarks
    assert "at sample 0, its target number 1, the worst of 1 such in 2" in several[0]


def test_at_most_three_nodes_are_named_the_largest_first():
    layers = []
    for k in range(6):
        layers += [L.Dense([[1.0]], [2.0**k]), L.ReLU()]
    (remark,) = of(Model.sequential(layers), np.array([[1.0]])).remarks
    assert remark.count("keeps") == 4  # z⁺ keeps nothing
    assert "dense6 keeps 50 % in its bias, dense5 keeps 25 % in its bias, dense4 keeps 12.5 % in its bias; " in remark


# ---- values that are rounding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_is_undefined_below_the_rounding_of_its_terms_and_not_above(dtype):
    """Against the exact sum: where the error could be as large as the value, there is no share; 100 times above there is."""
    rng = np.random.default_rng(3)
    u = float(np.finfo(dtype).eps)
    for scale, defined in ((0.0, False), (400 * u, True)):
        x = rng.standard_normal((20, 8)).astype(dtype)
        w = rng.standard_normal(8).astype(dtype)
        exact = (fractions(x) * fractions(w)).sum(axis=1)
        for n in range(20):
            size = float(abs(x[n] * w).sum())
            bias = dtype(-float(exact[n]) + scale * size)
            e = of(Model.sequential([L.Dense(w[:, None], np.array([bias]))]), x[n : n + 1])
            assert np.isfinite(e.share_arrived[0]) == defined
            if not defined:
                wrong = abs(Fraction(float(e.value[0])) - (exact[n] + Fraction(float(bias))))
                assert not e.value[0] or wrong <= e.doubt[0]


@pytest.mark.parametrize(
    "behind",
    [
        [L.Flatten()],
        [L.Flatten(), L.ReLU()],
        [L.Reshape((4, 1)), L.Transpose((0, 2, 1)), L.Flatten()],
        [L.Identity(), L.Flatten()],
        [L.Reshape((2, 2))],
    ],
    ids=str,
)
def test_the_sum_is_found_through_layers_that_move_it(behind):
    """A convolution of 0.1 + 0.2 − 0.3 at the second place alone."""
    x = np.array([[[[1.0, 1.0], [0.1, 0.2], [0.0, -0.3], [2.0, 1.0]]]])
    model = Model.sequential([L.Conv(np.array([[[[1.0], [1.0]]]]), stride=(2, 1)), *behind])
    moved = Model.sequential([L.Conv(np.array([[[[1.0, 1.0], [1.0, 1.0]]]]), stride=(2, 1)), L.Flatten()])
    e = of(model, x, target="all")
    assert np.isfinite(e.share_arrived[e.value != 0]).all()
    sums = np.array([[[[1.0, 1.0], [1.0, 1.0], [0.1, 0.2], [-0.3, 0.0]]]])
    assert np.isfinite(of(moved, sums, target="all").share_arrived).tolist() == [[True, False]]


def test_what_moves_a_sum_moves_its_doubt():
    """Of four sums the second is rounding; transposed it is the third."""
    w = np.array([[1.0, 0.1, 1.0, 2.0], [1.0, 0.2, 1.0, 0.5], [1.0, -0.3, 1.0, 1.0]])
    layers = [L.Dense(w), L.Reshape((2, 2)), L.Transpose((0, 2, 1))]
    for count, unknown in ((2, 1), (3, 2)):
        e = of(Model.sequential(layers[:count]), np.ones((1, 3)), target="all")
        assert np.flatnonzero(np.isnan(e.share_arrived[0])).tolist() == [unknown]


def test_a_contrast_of_two_large_scores_may_be_rounding():
    model = Model.sequential([L.Dense([[0.1, 0.3], [0.2, 0.0]])])
    e = of(model, np.array([[1.0, 1.0]]), target=0, contrast=1)
    assert 0 < abs(e.value[0]) < 1e-15
    assert np.isnan(e.share_arrived).all()


def test_an_explanation_without_samples():
    e = of(LITTLE, np.zeros((0, 2)))
    assert e.share_arrived.shape == (0,)
    assert e.remarks == ()


# ---- where it is stated -----------------------------------------------------------------------------------------------


def test_it_is_saved_and_is_json(tmp_path):
    model = Model.sequential([L.Dense([[1.0]], [1.0])])
    e = of(model, np.array([[1 / 63], [-1.0]]), ledger=False)
    stored = np.load(e.save(tmp_path / "e.npz"))
    np.testing.assert_array_equal(stored["share_arrived"], e.share_arrived)
    assert json.loads(str(stored["about"]))["remarks"] == list(e.remarks)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(e.to_json(), parse_constant=refuse)
    assert found["share_arrived"] == [e.share_arrived[0], None]
    assert found["remarks"] == list(e.remarks)
    started = lrp_ref.explain(model, np.array([[1.0]]), start=np.ones((1, 1)))
    assert "share_arrived" not in json.loads(started.to_json())


def test_a_picture_states_it():
    e = of(LITTLE)
    assert "1.56 % of the value arrives" in render.picture(e).get_supxlabel()
    assert "dense1 keeps 98.4 %" in render.picture(e).get_supxlabel().replace("\n", " ")
    both = of(LITTLE, target=None, targets=(0, 1))
    assert "1.56 % to 100 % of the values arrive" in render.picture(both).get_supxlabel()
    only = of(Model.sequential([L.Dense([[1.0], [0.0]], [1.0])]), np.array([[1.0, 0], [1 / 127, 0]]))
    assert "remark" not in render.picture(only, sample=0).get_supxlabel()
    assert "only" not in render.picture(only, sample=0).get_supxlabel()
    assert "only 0.781 %" in render.picture(only, sample=1).get_supxlabel().replace("\n", " ")


def test_the_command_line_states_it(tmp_path):
    path = lrp_ref.save(LITTLE, tmp_path / "little.npz")
    np.save(tmp_path / "one.npy", X)
    choices = (path, tmp_path / "one.npy", "--rule", "*=Zero()", "--target", "0")
    said = run("explain", *choices).out
    assert "of which 1.56 % arrives at the inputs" in said
    assert "remark      only 1.56 %" in said
    assert "dense1 keeps 98.4 % in its bias" in said
    record = run("explain", *choices, "--json").document["explanations"][0]
    assert record["targets"][0]["share_arrived"] == 1 / 64
    assert record["remarks"] == list(of(LITTLE).remarks)


def test_a_table_of_the_command_line_states_it(tmp_path):
    path = lrp_ref.save(LITTLE, tmp_path / "little.npz")
    np.save(tmp_path / "many.npy", np.array([[1.0, 2.0]] * 8))
    said = run("explain", path, tmp_path / "many.npy", "--rule", "*=Zero()", "--target", "0").out
    assert "arrived" in said
    assert said.count("1.56 %  ") == 8
    assert said.count("remark  ") == 5
    assert "3 more samples have remarks; --json lists them" in said


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_gamma_box", "alpha1_beta0", "lstm_all"])
def test_every_preset_has_a_share(name):
    rng = np.random.default_rng(0)
    first, last = L.Conv(rng.standard_normal((2, 1, 2, 2))), L.Dense(rng.uniform(size=(8, 2)))
    model = Model.sequential([first, L.ReLU(), L.Flatten(), last])
    made = composites.epsilon_gamma_box(-5, 5) if name == "epsilon_gamma_box" else name
    e = lrp_ref.explain(model, rng.standard_normal((3, 1, 3, 3)), composite=made)
    known = e.value != 0
    np.testing.assert_allclose(e.share_arrived[known], e.total[known] / e.value[known])
    assert known.any()
