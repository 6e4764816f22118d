"""Occlusion: the papers' numbers, a literal loop in rationals, laws, and what is refused."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrp_ref
from lrp_ref import Model, Node, methods
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import (
    ExactnessError,
    GraphError,
    HeadError,
    NonFiniteError,
    NumberTypeError,
    ParameterError,
    ShapeError,
    TargetError,
    UnknownNameError,
)
from lrp_ref.methods.draws import generator
from lrp_ref.methods.replacements import Blur, Deletion, Noise, Value, blurred, data_mean
from support.strategies import fewer

F = Fraction
BACKENDS = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def n1() -> Model:
    """The network N1 of the papers' examples, in rationals."""
    layers = [
        L.Dense(fractions([[2, -1, 1], [-1, 1, 1]]), fractions([1, 0, -1])),
        L.ReLU(),
        L.Dense(fractions([[1], [-2], [3]]), fractions([F(1, 2)])),
    ]
    return Model.sequential(layers)


def cnn(dtype: Any = np.float64, softmax: bool = False) -> Model:
    """Two channels of 5 × 4 cells, three scores; small dyadic weights."""
    draw = np.random.default_rng(7)
    w1, w2 = (draw.integers(-4, 5, size=shape) / 4 for shape in ((2, 2, 3, 3), (40, 3)))
    layers = [L.Conv(w1, np.array([0.5, -0.25]), padding=1), L.ReLU(), L.Flatten(), L.Dense(w2)]
    return Model.sequential([*layers, *([L.Softmax()] if softmax else [])]).astype(dtype)


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(-8, 9, size=(count, 2, 5, 4)) / 4


def numbers(size: int, low: int = -3, high: int = 3) -> Any:
    return st.lists(st.fractions(low, high, max_denominator=4), min_size=size, max_size=size)


# --- worked numbers ----------------------------------------------------------------------------------------------------


def test_n1_loses_5_and_3():
    e = methods.Occlusion(n1())(fractions([[1, 4]]), 0)
    assert e.relevance.tolist() == [[F(5), F(3)]]
    assert (e.value[0], e.method, e.conserves) == (F(13, 2), "Occlusion", False)


def test_both_factors_of_a_product_get_all_of_it():
    nodes = (Node("a", L.Dense([[1.0], [0.0]]), ("input",)), Node("b", L.Dense([[0.0], [1.0]]), ("input",)))
    model = Model((*nodes, Node("product", L.Multiply(), ("a", "b"))))
    assert methods.Occlusion(model)([[1.0, 1.0]], 0).relevance.tolist() == [[1.0, 1.0]]


def test_the_hand_wired_adder_loses_the_published_numbers():
    weight = np.zeros((2, 4))  # all gates are open, and w = 1/100 from the second feature to the cell
    weight[1, 2] = 0.01
    lstm = L.LSTM.from_arrays(weight, np.zeros((1, 4)), np.array([20.0, 20.0, 0.0, 20.0]))
    x = np.zeros((1, 5, 2))
    x[0, [1, 3], 1] = 0.6, 0.9
    x[0, [0, 2, 4], 0] = 0.7, -0.8, 0.5
    e = methods.Occlusion(Model.sequential([lstm, L.Dense([[100.0]])]))(x, 0)
    np.testing.assert_allclose(e.relevance[0, :, 0], (0, 0.599905, 0, 0.899870, 0), atol=5e-7)
    assert e.value[0] == pytest.approx(1.499856, abs=5e-7)


# --- a literal loop --------------------------------------------------------------------------------------------------


def by_hand(model: Model, x: np.ndarray, target: int, size: tuple[int, int], step: tuple[int, int], value: Any) -> np.ndarray:
    """The mean over all windows that cover a cell of what the score loses, as loops over single inputs in rationals."""
    exact, x = model.astype(object), fractions(x)
    height, width = x.shape[1:]
    whole = exact(x[None])[0, target]
    sums, counts = fractions(np.zeros(x.shape)), np.zeros((height, width), int)
    rows = [r for r in range(0, height + step[0], step[0]) if r == 0 or r - step[0] + size[0] < height]
    columns = [c for c in range(0, width + step[1], step[1]) if c == 0 or c - step[1] + size[1] < width]
    for r, c in itertools.product(rows, columns):
        cells = [(i, j) for i in range(r, r + size[0]) for j in range(c, c + size[1]) if i < height and j < width]
        other = x.copy()
        for i, j in cells:
            other[:, i, j] = F(value)
        loss = whole - exact(other[None])[0, target]
        for i, j in cells:
            sums[:, i, j] += loss
            counts[i, j] += 1
    return sums / fractions(counts)


@pytest.mark.parametrize(
    ("size", "step"), [((1, 1), (1, 1)), ((2, 2), (2, 2)), ((2, 2), (1, 1)), ((3, 2), (2, 1)), ((5, 4), (5, 4)), ((4, 3), (4, 3))]
)
def test_patches_lose_what_a_loop_in_rationals_says(size, step):
    x, exact = images(2), fractions(images(2))
    found = methods.Occlusion(cnn(object), size, step, replacement=F(1, 3))(exact, 1).relevance
    floats = methods.Occlusion(cnn(), size, step, replacement=1 / 3)(x, 1).relevance
    for n in range(2):
        expected = by_hand(cnn(), x[n], 1, size, step, F(1, 3))
        assert (found[n] == expected).all()
        np.testing.assert_allclose(floats[n], expected.astype(float), rtol=1e-12, atol=1e-12)


def test_segments_lose_what_their_cells_lose_together():
    labels = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [0, 2, 2, 1], [3, 3, 3, 3], [3, 3, 3, 3]])
    x, model = images(1), cnn()
    found = methods.Occlusion(model, segments=labels, replacement=0.5)(x, 2).relevance
    for label in range(4):
        other = np.where(labels == label, 0.5, x)
        assert (found[0, :, labels == label] == model(x)[0, 2] - model(other)[0, 2]).all()


def test_a_segment_may_tell_channels_apart():
    labels = np.arange(2)[:, None, None]
    x, model = images(1), cnn()
    found = methods.Occlusion(model, segments=labels)(x, 0).relevance[0]
    for channel in range(2):
        other = x.copy()
        other[:, channel] = 0
        assert (found[channel] == model(x)[0, 0] - model(other)[0, 0]).all()


# --- words ---------------------------------------------------------------------------------------------------------------


def sentences() -> Model:
    draw = np.random.default_rng(2)
    wx, wh = draw.integers(-4, 5, size=(3, 8)) / 4, draw.integers(-4, 5, size=(2, 8)) / 4
    return Model.sequential([L.LSTM.from_arrays(wx, wh, np.zeros(8)), L.Dense(draw.integers(-4, 5, size=(2, 2)) / 2)])


def test_of_a_sequence_time_steps_are_replaced_whole():
    model, x = sentences(), np.random.default_rng(4).integers(-4, 5, size=(2, 5, 3)) / 4
    found = methods.Occlusion(model)(x, 1).relevance
    assert (found == methods.Occlusion(model, "word")(x, 1).relevance).all()
    assert (found == methods.Occlusion(model, axes=1)(x, 1).relevance).all()
    for t in range(5):
        other = x.copy()
        other[:, t] = 0
        expected = lrp_ref.Predictor(model)(x)[:, 1] - lrp_ref.Predictor(model)(other)[:, 1]
        assert (found[:, t] == expected[:, None]).all()


@BACKENDS
def test_deletion_shortens_the_sequence(backend):
    model, x = sentences(), np.random.default_rng(4).integers(-4, 5, size=(2, 5, 3)) / 4
    found = methods.Occlusion(model, replacement="delete", backend=backend)(x, targets=[0, 1]).relevance
    for t in range(5):
        expected = model(x) - model(np.delete(x, t, axis=1))
        np.testing.assert_allclose(found[:, :, t], np.repeat(expected[:, :, None], 3, axis=2), rtol=1e-12, atol=1e-14)


def test_deletion_of_everything_is_refused():
    with pytest.raises(ShapeError, match="leaves nothing of the sequence"):
        methods.Occlusion(sentences(), replacement="delete")(np.ones((1, 1, 3)), 0)


def test_deletion_needs_a_model_of_any_length_and_one_axis():
    fixed = Model.sequential([L.Flatten(), L.Dense(np.ones((6, 1)))], input_shape=(2, 3))
    with pytest.raises(ShapeError, match=r"deletion leaves samples of shape .* replacement by a number"):
        methods.Occlusion(fixed, axes=1, replacement="delete")(np.ones((1, 2, 3)), 0)
    with pytest.raises(ParameterError, match="one axis"):
        methods.Occlusion(cnn(), replacement=Deletion())(images(), 0)
    with pytest.raises(ParameterError, match="segments are none"):
        methods.Occlusion(cnn(), segments=np.zeros((5, 4), int), replacement="delete")


# --- what replaces -------------------------------------------------------------------------------------------------------


def test_the_mean_of_the_data_cell_by_cell():
    x, model, data = images(2), cnn(), images(8)
    found = methods.Occlusion(model, 1, replacement=data_mean(data))(x, 0)
    assert (found.relevance == methods.Occlusion(model, 1, replacement=data.mean(axis=0))(x, 0).relevance).all()
    exact = data_mean(fractions([[1, 2], [2, 2], [4, 0]])).value
    assert exact.tolist() == [F(7, 3), F(4, 3)]
    with pytest.raises(ShapeError, match="at least one sample"):
        data_mean(np.ones((0, 2)))


def test_blur_is_a_mean_with_gaussian_weights_over_the_cells_inside():
    x = images(1)
    weight = [[np.exp(-((u - v) ** 2) / (2 * 0.8**2)) for v in range(5)] for u in range(5)]
    expected = np.zeros((5, 4))
    for u, v in itertools.product(range(5), range(4)):
        shares = [(weight[u][i] * weight[v][j], x[0, 1, i, j]) for i in range(5) for j in range(4)]
        expected[u, v] = sum(s * a for s, a in shares) / sum(s for s, _ in shares)
    np.testing.assert_allclose(blurred(x, 0.8, (2, 3))[0, 1], expected, rtol=1e-13)
    found = methods.Occlusion(cnn(), 2, replacement=Blur(0.8))(x, 0).relevance
    other = x.copy()
    other[:, :, :2, :2] = blurred(x, 0.8, (2, 3))[:, :, :2, :2]
    np.testing.assert_allclose(found[0, 0, 0, 0], (cnn()(x) - cnn()(other))[0, 0], rtol=1e-12)


def test_a_blur_leaves_what_is_equal_and_has_no_rational_form():
    np.testing.assert_allclose(blurred(np.full((1, 1, 6, 5), 3.0), 2.0, (2, 3)), 3.0, rtol=1e-14)
    with pytest.raises(ExactnessError, match="float64"):
        methods.Occlusion(cnn(object), replacement="blur")(fractions(images(1)), 0)


def test_noise_is_a_mean_over_draws_that_depend_on_seed_and_draw_alone():
    x, model = images(2), cnn()
    found = methods.Occlusion(model, 2, replacement=Noise(0.5, 0.25, draws=3, seed=9))(x, 1).relevance
    losses = []
    for draw in range(3):
        source = np.random.Generator(np.random.PCG64(np.random.SeedSequence(9, spawn_key=(draw,))))
        other = x.copy()
        other[:, :, :2, :2] = (0.25 + 0.5 * source.standard_normal((2, 5, 4)))[:, :2, :2]
        losses.append((model(x) - model(other))[:, 1])
    np.testing.assert_allclose(found[:, 0, 0, 0], np.mean(losses, axis=0), rtol=1e-12)


def test_keys_give_each_sample_its_own_noise_wherever_it_is_in_a_batch():
    x, model = images(3), cnn()
    found = methods.Occlusion(model, 2, replacement=Noise(per_sample_keys=(5, 8, 5)))(x, 1).relevance
    for n, key in enumerate((5, 8, 5)):
        alone = methods.Occlusion(model, 2, replacement=Noise(per_sample_keys=[key]))(x[n : n + 1], 1).relevance
        assert (found[n] == alone[0]).all()
    assert (found != methods.Occlusion(model, 2, replacement=Noise())(x, 1).relevance).any()
    with pytest.raises(ParameterError, match=r"each of 3 sample"):
        methods.Occlusion(model, 2, replacement=Noise(per_sample_keys=(1, 2)))(x, 1)


# --- what is explained ---------------------------------------------------------------------------------------------------


def test_f_difference_and_p_difference():
    x, whole = images(2), cnn(softmax=True)
    other = x.copy()
    other[:, :, :2, :2] = 0
    f = methods.Occlusion(whole, 2, head="logit")(x, 1)
    p = methods.Occlusion(whole, 2, head="probability")(x, 1)
    np.testing.assert_allclose(f.relevance[:, 0, 0, 0], (cnn()(x) - cnn()(other))[:, 1], rtol=1e-12)
    np.testing.assert_allclose(p.relevance[:, 0, 0, 0], (whole(x) - whole(other))[:, 1], rtol=1e-9, atol=1e-15)
    assert (f.head, p.head) == ("logit", "probability")
    np.testing.assert_allclose(f.prediction, whole(x), rtol=1e-12)
    with pytest.raises(HeadError, match="head='logit'"):
        methods.Occlusion(whole, 2)(x, 1)


def test_targets_and_contrasts_are_those_of_an_explainer():
    x, model = images(3), cnn()
    method = methods.Occlusion(model, 2)
    every = method(x, "all").relevance
    assert every.shape == (3, 3, 2, 5, 4)
    assert (method(x, targets=[[2], [0], [1]]).relevance[:, 0] == every[np.arange(3), [2, 0, 1]]).all()
    assert (method(x).relevance == every[np.arange(3), model(x).argmax(axis=1)]).all()
    np.testing.assert_allclose(method(x, 0, contrast=2).relevance, every[:, 0] - every[:, 2], atol=1e-12)
    for wrong in ({"target": 3}, {"target": 0, "contrast": 0}, {"target": "all", "contrast": 0}, {"target": 0, "targets": [1]}):
        with pytest.raises(TargetError):
            method(x, **wrong)


def test_an_output_is_chosen_and_several_inputs_are_refused():
    two = Model((Node("a", L.Dense([[1.0], [2.0]]), ("input",)), Node("b", L.Dense([[3.0], [4.0]]), ("input",))))
    assert methods.Occlusion(two, output="b")([[1.0, 1.0]], 0).relevance.tolist() == [[3.0, 4.0]]
    with pytest.raises(TargetError, match="output="):
        methods.Occlusion(two)
    with pytest.raises(UnknownNameError):
        methods.Occlusion(two, output="c")
    sums = Model((Node("sum", L.Add(), ("p", "q")),), inputs=("p", "q"))
    with pytest.raises(GraphError, match="p, q"):
        methods.Occlusion(sums)


# --- laws ----------------------------------------------------------------------------------------------------------------


@fewer
@given(st.data())
def test_of_a_linear_function_it_is_the_weight_times_the_difference_exactly(data):
    weights, x, b = (fractions(data.draw(numbers(4))) for _ in range(3))
    model = Model.sequential([L.Dense(weights[:, None], fractions(data.draw(numbers(1))))])
    assert (methods.Occlusion(model, replacement=b)(x[None], 0).relevance[0] == weights * (x - b)).all()


@fewer
@given(st.data())
def test_of_an_additive_function_patches_add_up_to_f_minus_f_of_the_replacement(data):
    w1, w2, x = (fractions(data.draw(numbers(4))) for _ in range(3))
    nodes = (Node("v", L.Scale(w1, fractions([0] * 4)), ("input",)), Node("relu", L.ReLU(), ("v",)))
    model = Model((*nodes, Node("sum", L.Dense(w2[:, None]), ("relu",))))
    e = methods.Occlusion(model)(x[None], 0)
    assert e.total[0] == e.value[0]


@BACKENDS
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_batch_is_its_samples_and_no_bit_depends_on_blocks(backend, dtype):
    x, model = images(3).astype(dtype), cnn(dtype)
    for replacement in (0.5, "blur", Noise(draws=2)):
        whole = methods.Occlusion(model, 2, 1, replacement=replacement, backend=backend)(x, targets=[0, 2])
        small = methods.Occlusion(model, 2, 1, replacement=replacement, backend=backend, batch=5)(x, targets=[0, 2])
        assert whole.relevance.dtype == dtype
        assert whole.relevance.tobytes() == small.relevance.tobytes()
        for n in range(3):
            one = methods.Occlusion(model, 2, 1, replacement=replacement, backend=backend)(x[n : n + 1], targets=[0, 2])
            assert one.relevance.tobytes() == whole.relevance[n : n + 1].tobytes()


def test_an_empty_batch_has_an_empty_explanation():
    assert methods.Occlusion(cnn(), 2)(images(0), 0).relevance.shape == (0, 2, 5, 4)


def test_progress_is_told_up_to_the_end():
    told = []
    methods.Occlusion(cnn(), 2, batch=4, progress=lambda *now: told.append(now))(images(2), 0)
    assert told == [(4, 12), (8, 12), (12, 12)]
    told.clear()
    methods.Occlusion(sentences(), replacement="delete", progress=lambda *now: told.append(now))(np.ones((2, 3, 3)), 0)
    assert told == [(2, 6), (4, 6), (6, 6)]


# --- bad input -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({"patch": 6}, ShapeError, "larger than the input"),
        ({"patch": (2, 5)}, ShapeError, "larger than the input"),
        ({"patch": 0}, ParameterError, "at least 1"),
        ({"patch": (1, 1, 1)}, ParameterError, "each of 2 axes"),
        ({"patch": 1.5}, ParameterError, "integer"),
        ({"patch": "letter"}, ParameterError, '"word"'),
        ({"patch": "word", "axes": 2}, ParameterError, "without axes="),
        ({"patch": 2, "stride": 3}, ParameterError, "leaves cells"),
        ({"axes": 0}, ShapeError, "beside the batch"),
        ({"axes": (2, 2)}, ShapeError, "each of them once"),
        ({"segments": np.array([[0, 0, 2, 2]] * 5)}, ParameterError, "segment 1 is empty"),
        ({"segments": np.zeros((5, 4))}, ParameterError, "integer labels"),
        ({"segments": np.full((5, 4), -1)}, ParameterError, "integer labels"),
        ({"segments": np.zeros((3, 4), int)}, ShapeError, "do not broadcast"),
        ({"segments": np.zeros((5, 4), int), "patch": 2}, ParameterError, "not both"),
        ({"replacement": np.ones(3)}, ShapeError, "does not broadcast"),
        ({"replacement": np.nan}, NonFiniteError, "replacement"),
        ({"replacement": "black"}, UnknownNameError, "blur"),
        ({"replacement": None}, NumberTypeError, "replacement"),
        ({"batch": 0}, ParameterError, "batch"),
        ({"backend": "gpu"}, UnknownNameError, "gpu"),
        ({"head": "odds"}, UnknownNameError, "head"),
    ],
)
def test_what_makes_no_sense_is_refused(choices, error, words):
    with pytest.raises(error, match=words):
        methods.Occlusion(cnn(), **choices)(images(1), 0)


@pytest.mark.parametrize("seed", [1.5, "1", True, -1, None])
def test_seeds_are_integers(seed):
    with pytest.raises(ParameterError, match="seed"):
        Noise(seed=seed)
    with pytest.raises(ParameterError, match="seed"):
        generator(seed, 0)


def test_parameters_of_replacements_are_checked():
    for wrong in (lambda: Blur(0), lambda: Noise(-1), lambda: Noise(draws=0), lambda: Noise(per_sample_keys=(-1,))):
        with pytest.raises(ParameterError):
            wrong()
    assert Value(2).backgrounds(np.zeros((1, 3)), (1,))[0].tolist() == [[2, 2, 2]]


def test_it_says_what_it_was_told_and_what_it_costs():
    method = methods.Occlusion(cnn(), 2, replacement=Noise(draws=3), batch=7)
    assert method(images(1), 0).parameters["patch"] == 2
    assert "batch" not in method.parameters
    assert method.estimate((2, 5, 4)).forward == 1 + 6 * 3
    with pytest.raises(ParameterError, match="shape of one sample"):
        method.estimate()


# --- input shift: two networks that differ by what is added to their input (Kindermans et al. 2019) -------------------------


@pytest.mark.parametrize(
    ("shift", "replacement", "same"),
    [
        ("constant", "zero", False),
        ("pattern", "zero", False),
        ("constant", "least", True),
        ("pattern", "least", False),
        ("constant", "moved", True),
        ("pattern", "moved", True),
    ],
)
def test_which_replacement_a_shift_of_the_input_leaves_alone(shift, replacement, same):
    draw = np.random.default_rng(6)
    w1, w2, x = (fractions(draw.integers(-4, 5, size=size)) / 4 for size in ((4, 3), (3, 1), (1, 4)))
    m = fractions([F(-1)] * 4 if shift == "constant" else [1, -1, 1, -1])
    first = Model.sequential([L.Dense(w1, fractions([1, 0, 2])), L.ReLU(), L.Dense(w2)])
    second = Model.sequential([L.Dense(w1, fractions([1, 0, 2]) - m @ w1), L.ReLU(), L.Dense(w2)])
    data = fractions(draw.integers(-8, 9, size=(5, 4)))
    chosen = {"zero": (F(0), F(0)), "least": (data.min(), (data + m).min()), "moved": (F(1, 2), m + F(1, 2))}[replacement]
    maps = [
        methods.Occlusion(n, replacement=b)(y, 0).relevance for n, b, y in zip((first, second), chosen, (x, x + m), strict=True)
    ]
    assert (first(x) == second(x + m)).all()
    assert (maps[0] == maps[1]).all() == same


def test_of_words_the_replacement_is_a_word_and_the_explanation_says_so():
    model = Model.sequential([L.Embedding([[5.0], [1.0], [3.0]]), L.Mean(1), L.Dense([[2.0]])])
    e = methods.Occlusion(model)([[1.0, 2.0]], 0)
    assert e.relevance.tolist() == [[1.0 - 5.0, 3.0 - 5.0]]
    assert not methods.Occlusion(model, replacement="delete")([[1.0, 2.0]], 0).cautions
    assert 'replacement="delete"' in e.cautions[-1]
