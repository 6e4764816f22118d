"""Shapley values: worked numbers, the axioms, a literal sum over orders, random orders, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrp_ref import Model, Node
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import HeadError, ParameterError, ShapeError, TargetError
from lrp_ref.methods import Shapley
from lrp_ref.methods.games import MOST_GROUPS, exact_values, ranks_of

N1 = Model.sequential(
    [
        L.Dense(fractions([[2, -1, 1], [-1, 1, 1]]), fractions([1, 0, -1])),
        L.ReLU(),
        L.Dense(fractions([[1], [-2], [3]]), fractions([Fraction(1, 2)])),
    ]
)
# max(x1, x2) for x ≥ 0 as ReLU(x1 − x2) + ReLU(x2) − ReLU(−x2)
MAX = Model.sequential([L.Dense(fractions([[1, 0, 0], [-1, 1, -1]])), L.ReLU(), L.Dense(fractions([[1], [1], [-1]]))])


def by_orders(worth: Callable[[frozenset[int]], Any], count: int) -> list[Any]:
    """The definition: what each player adds, averaged over all n! orders."""
    found = [Fraction(0)] * count
    for order in permutations(range(count)):
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            found[player] += worth(before | {player}) - worth(before)
    return [value / math.factorial(count) for value in found]


def worth_of(model: Model, x: Any, baseline: Any) -> Callable[[frozenset[int]], Any]:
    def worth(present: frozenset[int]) -> Any:
        mixed = [x[i] if i in present else baseline[i] for i in range(len(x))]
        return model(np.array([mixed], dtype=object))[0, 0]

    return worth


# --- numbers -----------------------------------------------------------------------------------------------------------


def test_numbers_of_n1() -> None:
    """papers.md §2.4: v(∅) = 3/2, v(1) = 9/2, v(2) = 5/2 (x2 = 4), v(12) = 13/2: ((3 + 4)/2, (1 + 2)/2)."""
    e = Shapley(N1)(fractions([[1, 4]]))
    assert e.relevance.tolist() == [[Fraction(7, 2), Fraction(3, 2)]]
    assert e.residual.tolist() == [0]
    assert e.value.tolist() == [Fraction(13, 2)]


def test_numbers_of_the_max_network() -> None:
    """papers.md §2.6: (x1 − x2/2, x2/2) for x1 ≥ x2, the tie included."""
    e = Shapley(MAX)(fractions([[2, 1], [3, 1], [1, 1], [2, 0], [1, 2]]))
    half = Fraction(1, 2)
    assert e.relevance.tolist() == [[3 * half, half], [5 * half, half], [half, half], [2, 0], [half, 3 * half]]


def test_numbers_of_a_product() -> None:
    """papers.md §2.14: f = x1 x2 at (1, 1) gives (1/2, 1/2), which adds up to 1 where occlusion gives (1, 1)."""
    model = Model((Node("product", L.Multiply(), ("a", "b")),), inputs=("a", "b")).astype(object)
    e = Shapley(model)({"a": fractions([[1]]), "b": fractions([[1]])}, 0)
    assert [e.at(name).tolist() for name in "ab"] == [[[Fraction(1, 2)]], [[Fraction(1, 2)]]]


def test_numbers_of_a_published_game() -> None:
    """field.md §4: x1 x2 + 2 x3 [x1 > 0] + x4 x2 x3 at (1, 2, 3, 4): (4, 9, 11, 8), by enumeration and by shap and shapiq."""
    x = (1, 2, 3, 4)
    worth = []
    for number in range(16):
        a, b, c, d = (x[i] if number >> i & 1 else 0 for i in range(4))
        worth.append(a * b + 2 * c * (a > 0) + d * b * c)
    assert exact_values(fractions(worth)).tolist() == [4, 9, 11, 8]


# --- the axioms, and a literal definition ------------------------------------------------------------------------------

ENTRIES = st.integers(-3, 3)


@st.composite
def networks(draw: st.DrawFn, features: int = 4) -> Model:
    def weight(rows: int, columns: int) -> Any:
        return fractions(draw(st.lists(ENTRIES, min_size=rows * columns, max_size=rows * columns))).reshape(rows, columns)

    return Model.sequential([L.Dense(weight(features, 3), weight(1, 3)[0]), L.ReLU(), L.Dense(weight(3, 1))])


def points(features: int = 4) -> st.SearchStrategy[Any]:
    return st.lists(ENTRIES, min_size=features, max_size=features).map(lambda row: fractions([row]))


@settings(max_examples=15)
@given(networks(), points(), points())
def test_the_definition_over_orders(model: Model, x: Any, baseline: Any) -> None:
    found = Shapley(model, baseline=baseline[0])(x)
    assert found.relevance[0].tolist() == by_orders(worth_of(model, x[0], baseline[0]), 4)
    assert found.residual.tolist() == [0]
    assert found.total.tolist() == (model(x) - model(baseline))[:, 0].tolist()


@settings(max_examples=15)
@given(networks(), points(), st.integers(0, 3))
def test_a_dummy_gets_nothing(model: Model, x: Any, dummy: int) -> None:
    """A feature that no neuron reads adds nothing."""
    first = model["dense1"].layer
    assert isinstance(first, L.Dense)
    weight = np.array(first.weight)
    weight[dummy] = fractions(0)
    deaf = Model.sequential([L.Dense(weight, first.bias), *(node.layer for node in model.nodes[1:])])
    assert Shapley(deaf)(x).relevance[0, dummy] == 0


@settings(max_examples=15)
@given(networks(), points())
def test_symmetric_features_get_the_same(model: Model, x: Any) -> None:
    """Two features with the same weights, value and baseline cannot be told apart."""
    first = model["dense1"].layer
    assert isinstance(first, L.Dense)
    weight, point = np.array(first.weight), np.array(x)
    weight[1], point[0, 1] = weight[0], point[0, 0]
    same = Model.sequential([L.Dense(weight, first.bias), *(node.layer for node in model.nodes[1:])])
    relevance = Shapley(same)(point).relevance
    assert relevance[0, 0] == relevance[0, 1]


@settings(max_examples=10)
@given(points(), points(), points())
def test_of_an_additive_function_it_is_occlusion(weight: Any, x: Any, baseline: Any) -> None:
    """f = Σ w_i x_i + 1: R_i = w_i (x_i − b_i), exactly, whatever the order; random orders give it, too."""
    model = Model.sequential([L.Dense(weight.reshape(4, 1), fractions([1]))])
    drops = (weight * (x - baseline)).tolist()
    assert Shapley(model, baseline=baseline)(x).relevance.tolist() == drops
    assert Shapley(model, baseline=baseline, permutations=2, seed=3)(x).relevance.tolist() == drops


# --- groups --------------------------------------------------------------------------------------------------------------


def test_a_group_is_one_player_and_shares_its_value() -> None:
    """CONV-GROUP-SHARE: x2 and x3 of MAX over (x1, (x2 + x3)/2) are one group; each has half of its value."""
    weight = np.concatenate([MAX["dense1"].layer.weight[:1], np.repeat(MAX["dense1"].layer.weight[1:] / 2, 2, axis=0)])
    model = Model.sequential([L.Dense(weight), L.ReLU(), MAX["dense2"].layer])
    method = Shapley(model, groups=[0, 1, 1])
    e = method(fractions([[2, 1, 1]]))
    assert e.relevance.tolist() == [[Fraction(3, 2), Fraction(1, 4), Fraction(1, 4)]]
    assert e.coarsen([0, 1, 1]).tolist() == [[Fraction(3, 2), Fraction(1, 2)]]
    assert method.group_values(fractions([[2, 1, 1]])).values.tolist() == [[[Fraction(3, 2), Fraction(1, 2)]]]


def test_patches_are_groups() -> None:
    """Patches of 2 × 2 over 3 × 3 cells: 4 groups of 4, 2, 2 and 1 cells; f = Σ x."""
    model = Model.sequential([L.GlobalSumPool(), L.Flatten()]).astype(object)
    e = Shapley(model, groups=2)(fractions(np.arange(9).reshape(1, 1, 3, 3)))
    assert e.relevance[0, 0].tolist() == [[2.0, 2.0, 3.5], [2.0, 2.0, 3.5], [6.5, 6.5, 8.0]]
    assert Shapley(model, groups=np.zeros((3, 3), int)).estimate().forward == 2


# --- random orders -------------------------------------------------------------------------------------------------------


def test_each_order_is_followed_by_its_reverse() -> None:
    ranks = ranks_of(5, 6, 7)
    assert sorted(ranks[0].tolist()) == list(range(7))
    assert (ranks[::2] + ranks[1::2] == 6).all()
    assert not np.array_equal(ranks[0], ranks[2])


def test_random_orders_against_the_definition_on_the_same_orders() -> None:
    """CONV-SHAPLEY-SAMPLING: the mean of what each feature adds along each order, and √(Σ(pair − mean)²/(P(P − 1)))."""
    x, worth = fractions([[1, 4]]), worth_of(N1, (1, 4), (0, 0))
    model = Model.sequential([L.Dense(np.diag(fractions([1, 1]))), *(node.layer for node in N1.nodes)])
    ranks = ranks_of(1, 8, 2)
    gains = []
    for order in ranks.argsort(axis=1):
        seen: frozenset[int] = frozenset()
        row = [Fraction(0)] * 2
        for player in order.tolist():
            row[player] = worth(seen | {player}) - worth(seen)
            seen |= {player}
        gains.append(row)
    found = Shapley(model, permutations=8, seed=1).group_values(x)
    mean = [sum(column) / 8 for column in zip(*gains, strict=True)]
    assert found.values[0, 0].tolist() == mean
    pairs = (np.array(gains, dtype=float)[::2] + np.array(gains, dtype=float)[1::2]) / 2
    assert np.allclose(found.standard_error, pairs.std(axis=0, ddof=1) / 2)


def test_random_orders_come_near_and_say_how_near() -> None:
    """Of a game with interactions of three, pairs do not cancel: the estimate is within 4 standard errors, which shrink."""
    rng = np.random.default_rng(0)
    model = Model.sequential([L.Dense(rng.normal(size=(6, 8))), L.ReLU(), L.Dense(rng.normal(size=(8, 1)))])
    x = rng.normal(size=(2, 6))
    exact = Shapley(model).group_values(x)
    few, many = (Shapley(model, permutations=n, seed=2).group_values(x) for n in (20, 320))
    assert exact.standard_error is None
    assert many.standard_error is not None
    assert few.standard_error is not None
    assert (abs(many.values - exact.values) <= 4 * many.standard_error + 1e-12).all()
    assert many.standard_error.mean() < 0.5 * few.standard_error.mean()
    assert np.allclose(many.values.sum(axis=-1), exact.shared)
    e = Shapley(model, permutations=20)(x)
    assert "standard error" in e.remarks[-1]


def test_many_features_take_no_table_of_coalitions() -> None:
    """20 000 features in 2 orders: 40 000 coalitions, whose table alone would be 800 MB."""
    import tracemalloc

    model = Model.sequential([L.GlobalSumPool(), L.Flatten()])
    method = Shapley(model, permutations=2, batch=16)
    x = np.ones((1, 1, 20_000))
    tracemalloc.start()
    with pytest.raises(StopIteration):  # after some blocks it is clear what it takes
        method.replace(progress=lambda done, every: done < 64 or next(iter(())))(x)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_one_pair_has_no_standard_error() -> None:
    assert np.isnan(Shapley(N1, permutations=2).group_values(fractions([[1, 4]])).standard_error).all()


# --- bits ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"permutations": 6, "seed": 4}])
def test_bits_of_batches_blocks_and_seeds(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    model = Model.sequential([L.Dense(rng.normal(size=(5, 7)), rng.normal(size=7)), L.ReLU(), L.Dense(rng.normal(size=(7, 3)))])
    x = rng.normal(size=(4, 5))
    whole = Shapley(model, **options)(x, "all").relevance
    assert whole.shape == (4, 3, 5)
    for batch in (1, 3, 1000):
        assert np.array_equal(Shapley(model, batch=batch, **options)(x, "all").relevance, whole)
    alone = [Shapley(model, **options)(x[i : i + 1], "all").relevance[0] for i in range(4)]
    assert np.array_equal(np.stack(alone), whole)
    assert np.array_equal(Shapley(model, **options)(x, 2).relevance, whole[:, 2])
    if options:
        assert not np.array_equal(Shapley(model, permutations=6, seed=5)(x, "all").relevance, whole)


def test_targets_contrasts_and_an_empty_batch() -> None:
    model = Model.sequential([L.Dense(fractions([[1, 2], [3, 5]])), L.ReLU()])
    x = fractions([[1, 1], [2, 0]])
    one, two = (Shapley(model)(x, k).relevance for k in (0, 1))
    assert Shapley(model)(x, 1, contrast=0).relevance.tolist() == (two - one).tolist()
    assert Shapley(model)(x, targets=[1, 0]).relevance.tolist() == np.stack([two, one], axis=1).tolist()
    assert Shapley(model)(x[:0]).relevance.shape == (0, 2)


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    Shapley(N1, batch=3, progress=lambda done, every: seen.append((done, every)))(fractions([[1, 4]]))
    assert seen == [(3, 4), (4, 4)]


# --- bad input -------------------------------------------------------------------------------------------------------------


def wide(features: int) -> Model:
    return Model.sequential([L.Dense(np.ones((features, 1)))])


def test_too_many_groups_say_what_to_use_instead() -> None:
    with pytest.raises(ParameterError, match=r"21 groups take 2\^21 evaluations, and 20 groups are the most: permutations=200"):
        Shapley(wide(21))(np.ones((1, 21)))
    assert MOST_GROUPS == 20
    assert Shapley(wide(21), permutations=2)(np.ones((1, 21))).relevance.tolist() == [[1.0] * 21]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"groups": [0, 2]}, ParameterError, "labels no element with 1: that segment is empty"),
        ({"groups": [0, -1]}, ParameterError, "non-negative integer labels"),
        ({"groups": [0.5, 1]}, ParameterError, "non-negative integer labels"),
        ({"groups": [0, 1, 2]}, ShapeError, r"of shape \(3,\) does not broadcast against a sample of shape \(2,\)"),
        ({"groups": 2}, ShapeError, "patches need two axes"),
        ({"groups": [0, 10**9]}, ParameterError, "labels count segments from 0"),
        ({"baseline": [1, 2, 3]}, ShapeError, r"baseline of input 'input' has shape \(3,\)"),
        ({"baseline": {"other": 1}}, ParameterError, "one entry for each input"),
    ],
)
def test_bad_parameters_of_a_call(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Shapley(wide(2), **options)(np.ones((1, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"permutations": 3}, "must be even"),
        ({"permutations": 0}, "at least 2"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"seed": -1}, "at least 0"),
        ({"batch": 0}, "at least 1"),
    ],
)
def test_bad_parameters(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Shapley(wide(2), **options)


def test_a_probability_needs_a_head_and_a_target_must_exist() -> None:
    model = Model.sequential([L.Dense(np.eye(2)), L.Softmax()])
    with pytest.raises(HeadError, match="is a probability"):
        Shapley(model)
    assert Shapley(model, head="logit")(np.array([[1.0, 2.0]]), 1).relevance.tolist() == [[0.0, 2.0]]
    with pytest.raises(TargetError, match="out of range"):
        Shapley(wide(2))(np.ones((1, 2)), 3)


def test_several_inputs_need_labels_each() -> None:
    model = Model((Node("sum", L.Add(), ("a", "b")),), inputs=("a", "b"))
    x = {"a": np.ones((1, 2)), "b": np.ones((1, 2))}
    with pytest.raises(ParameterError, match="several inputs"):
        Shapley(model, groups=[0, 1])(x, 0)
    e = Shapley(model, groups={"a": [0, 1], "b": [0, 1]})(x, 0)
    assert e.at("a").tolist() == [[1.0, 0.0]]


def test_the_cost_is_estimated() -> None:
    model = Model.sequential([L.Dense(np.ones((3, 1)))], input_shape=(3,))
    assert Shapley(model).estimate().forward == 8
    assert Shapley(model, permutations=10).estimate().forward == 22
    with pytest.raises(ParameterError, match="groups="):
        Shapley(wide(3)).estimate()
