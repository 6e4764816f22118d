"""Wrappers: the mean over translations, the sum over windows, and the relevant pattern (Montavon et al. 2018, §6.4 to §6.6)."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import lrp_ref
from lrp_ref import Explainer, Model, composites, rules, wrappers
from lrp_ref import layers as L
from lrp_ref.arrays import fractions
from lrp_ref.errors import (
    GraphError,
    HeadError,
    LrpError,
    NonFiniteError,
    NumberTypeError,
    ParameterError,
    ShapeError,
    TargetError,
    UnknownNameError,
)
from support.strategies import fewer

F = Fraction
BACKENDS = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def cnn(dtype: Any = np.float64, seed: int = 0, softmax: bool = False, bias: bool = True) -> Model:
    """Two channels of 5 × 4 cells, a convolution, average pooling, three scores; small dyadic weights."""
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return draw.integers(-6, 7, size=shape) / 4

    layers = [L.Conv(weights(3, 2, 2, 2), weights(3) if bias else None), L.ReLU(), L.AvgPool((2, 3)), L.Flatten()]
    layers += [L.Dense(weights(6, 3), weights(3) if bias else None), *([L.Softmax()] if softmax else [])]
    return Model.sequential(layers, input_shape=(2, 5, 4)).astype(dtype)


def image(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9, size=shape) / 8


EPSILON = composites.uniform(rules.Epsilon(F(1, 4)))


# ---- the translation trick ----------------------------------------------------------------------------------------------


@BACKENDS
def test_no_translation_changes_nothing(backend):
    explainer = Explainer(cnn(), EPSILON, backend=backend)
    x = image(3, 2, 5, 4)
    plain, found = explainer(x), wrappers.translated(explainer, x, 0)
    assert np.array_equal(found.relevance, plain.relevance)
    assert np.array_equal(found.value, plain.value)
    assert np.array_equal(found.prediction, plain.prediction)
    assert np.array_equal(found.target, plain.target)
    assert found.shifts == ((0, 0),)
    assert not found.shifted_out.any()
    assert found.backend == backend


def naive_mean(explainer: Explainer, x: np.ndarray, shifts: Any, target: Any) -> np.ndarray:
    """The formula, cell by cell, for circular shifts of the last two axes."""
    rows, columns = x.shape[-2:]
    total = 0 * explainer(x, target=target).relevance
    for down, right in shifts:
        moved = np.empty_like(x)
        for r in range(rows):
            for c in range(columns):
                moved[..., (r + down) % rows, (c + right) % columns] = x[..., r, c]
        R = explainer(moved, target=target).relevance
        for r in range(rows):
            for c in range(columns):
                total[..., r, c] += R[..., (r + down) % rows, (c + right) % columns]
    return total / len(shifts)


def test_the_formula_in_rationals():
    explainer = Explainer(cnn(object), EPSILON)
    x = fractions(image(2, 2, 5, 4))
    target = explainer(x).target
    found = wrappers.translated(explainer, x, 1)
    every = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    assert list(found.shifts) == every
    assert (found.relevance == naive_mean(explainer, x, every, target)).all()
    assert found.relevance.dtype == object
    assert {type(number) for number in found.relevance.flat} == {Fraction}
    chosen = wrappers.translated(explainer, x, [(0, 2), (-1, 0)])
    assert (chosen.relevance == naive_mean(explainer, x, [(0, 2), (-1, 0)], target)).all()


@given(st.data())
@fewer
def test_what_is_translated_is_conserved(data):
    """Σ R* is the mean of the explained values where the single explanations conserve; shifts may fill or wrap round."""
    fill = data.draw(st.sampled_from([None, 0, F(1, 2)]))
    shifts = data.draw(st.sampled_from([1, [(0, 1)], [(2, -3), (0, 0), (1, 1)], [(0, 0)]]))
    x = fractions(image(2, 2, 5, 4, seed=data.draw(st.integers(0, 9))))
    exact = wrappers.translated(Explainer(cnn(object, bias=False), rule=rules.Zero()), x, shifts, fill=fill)
    assert (exact.total + exact.shifted_out == exact.value).all()
    assert (exact.residual == exact.shifted_out).all()
    if fill is None or not fill:
        assert not exact.shifted_out.any(), "under LRP-0 a cell of 0 has no relevance"


def test_a_linear_model_under_lrp_0_gets_its_weights_averaged():
    """R*_i = x_i · mean of w over the translations: the heatmap of x itself only where the weights do not vary."""
    w, x = fractions([3, -1, 2, 5]), fractions([[1, 2, 0, 4]])
    explainer = Explainer(Model.sequential([L.Dense(w[:, None])]), rule=rules.Zero())
    found = wrappers.translated(explainer, x, [(0,), (1,)], axes=1)
    assert (found.relevance == x * (w + np.roll(w, -1)) / 2).all()
    assert found.value[0] == ((w * x[0]).sum() + (w * np.roll(x[0], 1)).sum()) / 2
    whole = wrappers.translated(explainer, x, 2, axes=-1)
    assert len(whole.shifts) == 5
    even = Explainer(Model.sequential([L.Dense(fractions([[2]] * 4))]), rule=rules.Zero())
    for shifts in (1, 3, [(1,), (-2,)]):
        assert (wrappers.translated(even, x, shifts, axes=1).relevance == even(x).relevance).all()


def test_what_comes_in_is_filled_and_its_relevance_booked():
    """CONV-TRANSLATE, by hand: f = 3 x_1 + 5 x_2 on (1, 2), moved right by one with a 7 coming in: f = 3·7 + 5·1."""
    model = Model.sequential([L.Dense(fractions([[3], [5]]))])
    found = wrappers.translated(Explainer(model, rule=rules.Zero()), fractions([[1, 2]]), [(1,)], fill=7, axes=1)
    assert found.value.tolist() == [26]
    assert found.relevance.tolist() == [[5, 0]], "x_1 was weighed by 5; x_2 had left"
    assert found.shifted_out.tolist() == [21]
    assert found.residual.tolist() == [21]


def test_all_translations_explain_the_target_of_the_input_itself():
    """CONV-TRANSLATE: scores (x_1, x_2); moved by one, the other class would be predicted."""
    model = Model.sequential([L.Dense(fractions([[1, 0], [0, 1]]))])
    explainer = Explainer(model, rule=rules.Zero())
    x = fractions([[3, 1], [1, 3]])
    found = wrappers.translated(explainer, x, [(1,)], axes=1)
    assert found.target.tolist() == [0, 1]
    assert found.value.tolist() == [1, 1]
    assert found.relevance.tolist() == [[0, 1], [1, 0]]


@BACKENDS
def test_several_targets_at_once_and_contrasts(backend):
    explainer = Explainer(cnn(), EPSILON, backend=backend)
    x = image(2, 2, 5, 4)
    many = wrappers.translated(explainer, x, 1, targets=(2, 0))
    everything = wrappers.translated(explainer, x, 1, target="all")
    assert many.relevance.shape == (2, 2, 2, 5, 4)
    assert everything.target.tolist() == [[0, 1, 2]] * 2
    for t, k in enumerate((2, 0)):
        one = wrappers.translated(explainer, x, 1, target=k)
        np.testing.assert_allclose(many.relevance[:, t], one.relevance, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(everything.value[:, k], one.value, rtol=1e-12)
    contrast = wrappers.translated(explainer, x, 1, target=2, contrast=[0, 1])
    assert contrast.value[0] == pytest.approx(many.value[0, 0] - many.value[0, 1], rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_number_types_of_translations(dtype):
    explainer = Explainer(cnn(dtype), EPSILON)
    x = image(2, 2, 5, 4).astype(dtype)
    found = wrappers.translated(explainer, x, 1, fill=0.5)
    exact = wrappers.translated(Explainer(cnn(object), EPSILON), fractions(x), 1, fill=0.5)
    assert found.relevance.dtype == found.value.dtype == found.shifted_out.dtype == dtype
    # A handful of roundings in each of a few dozen products.
    np.testing.assert_allclose(found.relevance, exact.relevance.astype(float), atol=200 * np.finfo(dtype).eps)


# ---- sliding windows ------------------------------------------------------------------------------------------------------


def naive_windows(explainer: Explainer, x: np.ndarray, corners: Any, target: Any) -> tuple[np.ndarray, Any]:
    """The formula, window by window."""
    total, value = 0 * x, 0 * x[:, 0, 0, 0]
    for r, c in corners:
        e = explainer(x[:, :, r : r + 5, c : c + 4], target=target)
        total[:, :, r : r + 5, c : c + 4] += e.relevance
        value += e.value
    return total, value


@BACKENDS
@pytest.mark.parametrize("dtype", [object, np.float64, np.float32])
def test_windows_are_explained_where_they_are(dtype, backend):
    explainer = Explainer(cnn(dtype), EPSILON, backend=backend)
    x = image(2, 2, 9, 7)
    x = fractions(x) if dtype is object else x.astype(dtype)
    found = wrappers.sliding_window(explainer, x, stride=(2, 3), target=[0, 2])
    corners = [(r, c) for r in (0, 2, 4) for c in (0, 3)]
    relevance, value = naive_windows(explainer, x, corners, [0, 2])
    assert np.array_equal(found.relevance, relevance), "the same windows in the same order: the same bits"
    assert np.array_equal(found.value, value)
    assert found.corners.tolist() == [list(corner) for corner in corners]
    assert found.window == (5, 4)
    assert found.target.tolist() == [0, 2]
    assert found.relevance.dtype == found.window_values.dtype == dtype
    assert found.counts.tolist() == [[r * c for c in (1, 1, 1, 2, 1, 1, 1)] for r in (1, 1, 2, 2, 3, 2, 2, 1, 1)]
    prediction = sum(explainer(x[:, :, r : r + 5, c : c + 4]).prediction for r, c in corners)
    assert np.array_equal(found.prediction, prediction)
    assert np.array_equal(found.activations["input"], x)


@given(st.data())
@fewer
def test_windows_conserve_exactly(data):
    """Σ R = Σ_s f(X[s]) − Σ_s residuals; the residuals are the biases' and stabilisers' shares."""
    composite = data.draw(st.sampled_from([EPSILON, composites.uniform(rules.ZPlus()), composites.epsilon_plus(F(1, 8))]))
    explainer = Explainer(cnn(object, seed=data.draw(st.integers(0, 3))), composite, ledger=data.draw(st.booleans()))
    x = fractions(image(2, 2, 6, 4, seed=data.draw(st.integers(0, 9))))
    target = data.draw(st.sampled_from(["predicted", 1, "all"]))
    found = wrappers.sliding_window(explainer, x, stride=1, target=target, batch=data.draw(st.integers(1, 9)))
    assert (found.total == found.window_values.sum(axis=1) - found.residuals.sum(axis=1)).all()
    assert (found.value == found.window_values.sum(axis=1)).all()
    assert (found.residual == found.residuals.sum(axis=1)).all()
    zero = wrappers.sliding_window(Explainer(cnn(object, bias=False), rule=rules.Zero()), x, stride=1, target=target)
    assert (zero.total == zero.value).all(), "LRP-0 without biases leaves nothing out"
    assert zero.ledger is None


@BACKENDS
def test_predicted_is_decided_on_the_sum_of_all_windows(backend):
    """CONV-WINDOW-TARGET: windows of scores (1, 0), (1, 0) and (0, 3): the sum says class 1, two of three windows class 0."""
    model = Model.sequential([L.Dense(np.eye(2)), L.Softmax()], input_shape=(2,))
    explainer = Explainer(model, rule=rules.Zero(), head="logit", backend=backend)
    x = np.array([[1.0, 0.0, 1.0, 0.0, 0.0, 3.0], [0.0, 2.0, 0.0, 2.0, 3.0, 0.0]])
    found = wrappers.sliding_window(explainer, x, stride=2, axes=1)
    assert found.target.tolist() == [1, 1]
    assert found.value.tolist() == [3, 4]
    assert found.window_values.tolist() == [[0, 0, 3], [2, 2, 0]]
    assert found.prediction.sum() == pytest.approx(6), "the model's output: probabilities of three windows of two samples"


def test_scores_decide_and_not_probabilities():
    """Two windows are sure of class 0 and one of class 1, with a score that outweighs theirs."""
    model = Model.sequential([L.Dense(np.eye(2)), L.Softmax()], input_shape=(2,))
    explainer = Explainer(model, rule=rules.Zero(), head="logit")
    found = wrappers.sliding_window(explainer, np.array([[60.0, 0.0, 50.0, 0.0, 0.0, 200.0]]), stride=2, axes=1)
    assert found.prediction[0].round(6).tolist() == [2, 1]
    assert found.target.tolist() == [1]
    assert found.value.tolist() == [200]


@BACKENDS
@pytest.mark.parametrize("batch", [1, 3, 5, 64])
def test_no_bit_depends_on_the_batch(batch, backend):
    explainer = Explainer(cnn(), EPSILON, backend=backend)
    x = np.random.default_rng(5).normal(size=(2, 2, 7, 6))
    once, found = (wrappers.sliding_window(explainer, x, stride=1, batch=size) for size in (1000, batch))
    for name in ("relevance", "value", "window_values", "residuals", "prediction", "target"):
        assert np.array_equal(getattr(once, name), getattr(found, name)), name


def test_progress_is_told():
    told: list[tuple[int, int]] = []
    explainer = Explainer(cnn(), EPSILON)
    wrappers.sliding_window(explainer, image(2, 2, 6, 6), stride=1, batch=5, progress=lambda *done: told.append(done))
    assert told == [(5, 12), (10, 12), (12, 12)]


@BACKENDS
def test_windows_with_several_targets_and_contrasts(backend):
    explainer = Explainer(cnn(), EPSILON, backend=backend)
    x = image(2, 2, 6, 5)
    one = [wrappers.sliding_window(explainer, x, stride=1, target=k) for k in range(3)]
    everything = wrappers.sliding_window(explainer, x, stride=1, target="all")
    assert everything.relevance.shape == (2, 3, 2, 6, 5)
    assert everything.window_values.shape == everything.residuals.shape == (2, 4, 3)
    each = wrappers.sliding_window(explainer, x, stride=1, targets=[[2, 0], [1, 1]])
    assert each.target.tolist() == [[2, 0], [1, 1]]
    same = wrappers.sliding_window(explainer, x, stride=1, targets=(2, 1))
    for k in range(3):
        np.testing.assert_allclose(everything.relevance[:, k], one[k].relevance, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(each.value, [[one[2].value[0], one[0].value[0]], [one[1].value[1]] * 2], rtol=1e-12)
    np.testing.assert_allclose(same.relevance[:, 1], one[1].relevance, rtol=1e-12, atol=1e-13)
    contrast = wrappers.sliding_window(explainer, x, stride=1, target=[0, 1], contrast=2)
    expected = [one[0].value[0] - one[2].value[0], one[1].value[1] - one[2].value[1]]
    np.testing.assert_allclose(contrast.value, expected, rtol=1e-12)


def test_edges():
    """CONV-WINDOW-EDGES."""
    explainer = Explainer(cnn(), EPSILON)
    x = image(1, 2, 8, 4)
    with pytest.raises(ParameterError, match="windows of 5 with a stride of 2 leave 1 of 8 cells out"):
        wrappers.sliding_window(explainer, x, stride=2)
    flush = wrappers.sliding_window(explainer, x, stride=2, edges="flush")
    assert flush.corners.tolist() == [[0, 0], [2, 0], [3, 0]]
    assert flush.counts.min() == 1
    drop = wrappers.sliding_window(explainer, x, stride=2, edges="drop")
    assert drop.corners.tolist() == [[0, 0], [2, 0]]
    assert not drop.counts[-1].any()
    assert not drop.relevance[:, :, -1].any()
    with pytest.raises(ParameterError, match="a stride of 6 leaves cells between windows of 5 out"):
        wrappers.sliding_window(explainer, image(1, 2, 11, 4), stride=6)
    gaps = wrappers.sliding_window(explainer, image(1, 2, 11, 4), stride=6, edges="drop")
    assert gaps.counts[:, 0].tolist() == [1] * 5 + [0] + [1] * 5
    exact = wrappers.sliding_window(explainer, x, stride=3, edges="flush")
    assert exact.corners.tolist() == [[0, 0], [3, 0]], "no window twice"


def test_a_window_of_its_own_size():
    """A convolutional network takes windows of any size; other outputs than classes are indexed by tuples."""
    model = Model.sequential([L.Conv(fractions([[[[1, 2]]]]))])
    x = fractions([[[[1, 2, 3, 4, 5]]]])
    found = wrappers.sliding_window(Explainer(model, rule=rules.Zero()), x, stride=(1, 2), window=(1, 3), target=(0, 0, 1))
    assert found.value.tolist() == [2 + 2 * 3 + 4 + 2 * 5]
    assert found.relevance.tolist() == [[[[0, 2, 6, 4, 10]]]]


def test_no_samples():
    explainer = Explainer(cnn(), EPSILON)
    empty = wrappers.sliding_window(explainer, np.zeros((0, 2, 9, 4)), stride=2, target="all")
    assert empty.relevance.shape == (0, 3, 2, 9, 4)
    assert empty.window_values.shape == (0, 3, 3)
    assert empty.prediction.shape == (0, 3)
    assert wrappers.translated(explainer, np.zeros((0, 2, 5, 4)), 1).relevance.shape == (0, 2, 5, 4)


# ---- the records ------------------------------------------------------------------------------------------------------------


def both(dtype: Any = np.float64) -> tuple[wrappers.Translated, wrappers.Windowed]:
    explainer = Explainer(cnn(dtype), EPSILON)
    x = image(1, 2, 9, 4)
    x = fractions(x) if dtype is object else x
    return wrappers.translated(explainer, x[:, :, :5], 1), wrappers.sliding_window(explainer, x, stride=2)


@pytest.mark.parametrize("dtype", [np.float64, object])
def test_records_are_explanations(dtype, tmp_path):
    for i, e in enumerate(both(dtype)):
        assert isinstance(e, lrp_ref.Explanation)
        assert e.coarsen(2).shape[0] == 1
        assert e.pattern().shape == e.relevance.shape
        file = np.load(e.save(tmp_path / f"{i}.npz"))
        assert {"relevance/input", "value", "prediction"} < set(file.files)
        own = {"shifts", "shifted_out"} if i == 0 else {"corners", "window_values", "residuals", "counts"}
        assert own < set(file.files)
        assert "value" in e.to_json()
        for same in (pickle.loads(pickle.dumps(e)), copy.deepcopy(e)):  # noqa: S301 (our own bytes)
            assert type(same) is type(e)
            assert (same.relevance == e.relevance).all()
            assert repr(same) == repr(e)
            for array in (same.relevance, same.shifted_out if i == 0 else same.residuals):
                with pytest.raises(ValueError, match="read-only"):
                    array[...] = 0
    moved, large = both()
    assert "9 translations" in repr(moved)
    assert "3 windows of (5, 4)" in repr(large)
    assert "3 windows" in large._repr_html_()


# ---- methods that conserve nothing ------------------------------------------------------------------------------------------


@BACKENDS
def test_the_mean_gradient_over_translations(backend):
    """A gradient is moved back and averaged as relevance is; it says what it is, and that it has no residual."""
    explainer = Explainer(cnn(), "gradient", head="unit", backend=backend)
    x = image(2, 2, 5, 4)
    shifts = [(0, 0), (1, 0), (0, -1)]
    found = wrappers.translated(explainer, x, shifts, target=1)
    parts = [np.roll(explainer(np.roll(x, s, (2, 3)), 1).relevance, [-k for k in s], (2, 3)) for s in shifts]
    np.testing.assert_allclose(found.relevance, sum(parts) / 3, rtol=1e-14, atol=1e-15)
    assert (found.method, found.composite, found.head, found.conserves) == ("gradient", "gradient", "unit", False)
    assert found.share_arrived is None
    assert "residual" not in found.arrays()
    with pytest.raises(ParameterError, match="there is no residual"):
        found.residual  # noqa: B018
    assert "method" in repr(found)
    filled = wrappers.translated(explainer, x, shifts, fill=0, target=1)
    assert filled.shifted_out.any()


@BACKENDS
def test_the_gradient_of_a_sum_over_windows(backend):
    """g = Σ_s f(X[s]), so ∂g/∂X is the sum of the windows' gradients, each in its place: exactly, on rationals as well."""
    for dtype in (np.float64, object):
        explainer = Explainer(cnn(dtype), "gradient", head="unit", backend=backend)
        x = image(2, 2, 6, 5) if dtype is np.float64 else fractions(image(2, 2, 6, 5))
        found = wrappers.sliding_window(explainer, x, stride=1, target=2)
        expected = 0 * found.relevance
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
            expected[:, :, row : row + 5, column : column + 4] += explainer(
                x[:, :, row : row + 5, column : column + 4], 2
            ).relevance
        assert (abs(found.relevance - expected) <= (1e-14 if dtype is np.float64 else 0)).all()
        assert (found.value == found.window_values.sum(axis=1)).all()
        assert (found.method, found.residuals, found.share_arrived, found.remarks) == ("gradient", None, None, ())
        assert not {"residual", "residuals"} & set(found.arrays())
        same = pickle.loads(pickle.dumps(found))  # noqa: S301 (our own bytes)
        assert (same.method, same.residuals) == ("gradient", None)


def test_a_wrapper_says_what_was_explained():
    """The head and what is to be known of it are those of the single explanations."""
    explainer = Explainer(cnn(softmax=True), EPSILON, head="log-odds")
    for found in (wrappers.translated(explainer, X[:, :, :5], 1), wrappers.sliding_window(explainer, X, stride=2)):
        assert (found.head, found.method, found.composite) == ("log-odds", "LRP", EPSILON.name)


# ---- refusals ---------------------------------------------------------------------------------------------------------------


X = image(1, 2, 9, 4)
TWO = Model(
    (lrp_ref.Node("a", L.Add(), ("x", "y")),),
    inputs=("x", "y"),
)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (GraphError, "the model must have one input; it has 2: x, y", {"explainer": Explainer(TWO, EPSILON)}),
        (ShapeError, r"shape \(N, C, \*spatial\), found shape \(1, 2\)", {"x": X[:, :, 0, 0]}),
        (ShapeError, "with axes", {"axes": 0}),
        (ShapeError, "with axes", {"axes": (2, -2)}),
        (ParameterError, "axes must be an integer", {"axes": 1.5}),
        (ParameterError, "shifts must be an integer", {"shifts": 0.5}),
        (ParameterError, "at least 0", {"shifts": -1}),
        (ParameterError, "an entry of shifts must be an integer", {"shifts": [(0, 0.5)]}),
        (ParameterError, "at least one translation, and none twice", {"shifts": []}),
        (ParameterError, "at least one translation, and none twice", {"shifts": [(0, 1), (0, 1)]}),
        (ParameterError, "one entry for each of 2 axes", {"shifts": [1]}),
        (ParameterError, r"moves the whole input, of extents \(5, 4\), out of the frame", {"shifts": [(0, -4)], "fill": 0}),
        (ParameterError, "fill must be a number", {"fill": "black"}),
        (ParameterError, "fill must be finite", {"fill": np.inf}),
        (NumberTypeError, "number type complex", {"x": np.zeros((1, 2, 5, 4), complex)}),
        (NonFiniteError, "NaN", {"x": np.full((1, 2, 5, 4), np.nan)}),
        (TargetError, "out of range", {"target": 3}),
        (TargetError, "not both", {"target": 1, "targets": (0, 1)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_translations_that_cannot_be(error, message, arguments):
    chosen = {"explainer": Explainer(cnn(), EPSILON), "x": X[:, :, :5]} | arguments
    with pytest.raises(error, match=message) as caught:
        wrappers.translated(**chosen)
    assert isinstance(caught.value, LrpError)


UNKNOWING = Explainer(Model.sequential([L.Conv(np.ones((1, 2, 2, 2))), L.Flatten()]), EPSILON)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (GraphError, "the model must have one input", {"explainer": Explainer(TWO, EPSILON)}),
        (ShapeError, r"shape \(N, C, \*spatial\)", {"x": X[0, 0]}),
        (ShapeError, "a window of 5 cells does not fit into 4", {"x": X[:, :, :4]}),
        (ShapeError, "input 'input' must have shape", {"window": 3, "edges": "flush"}),
        (ParameterError, r"give window=", {"explainer": UNKNOWING}),
        (ParameterError, "stride must be an int of at least 1", {"stride": 0}),
        (ParameterError, "or one for each of 2 axes", {"stride": (1, 1, 1)}),
        (ParameterError, "stride must be an integer", {"stride": 1.0}),
        (ParameterError, "window must be an int of at least 1", {"window": (5, -4)}),
        (ParameterError, "batch must be at least 1", {"batch": 0}),
        (UnknownNameError, "unknown choice of edges 'flus'. Did you mean 'flush'", {"edges": "flus"}),
        (NumberTypeError, "number type complex", {"x": np.zeros((1, 2, 9, 4), complex)}),
        (NonFiniteError, "NaN", {"x": np.where(X[0, 0, 8, 0] == X, np.nan, X)}),
        (TargetError, "out of range", {"target": 3}),
        (TargetError, "not one index for each of 1 sample", {"target": [0, 1, 2]}),
        (TargetError, "not both", {"target": 1, "targets": (0, 1)}),
        (TargetError, "cannot be contrasted with itself", {"target": 1, "contrast": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_windows_that_cannot_be(error, message, arguments):
    chosen = {"explainer": Explainer(cnn(), EPSILON), "x": X, "stride": 2} | arguments
    with pytest.raises(error, match=message) as caught:
        wrappers.sliding_window(**chosen)
    assert isinstance(caught.value, LrpError)


def test_refusals_of_the_explainer_reach_the_caller():
    """Deep Taylor decomposition has nothing to say about a window whose score is negative (CONV-DT-NEGATIVE)."""
    model = Model.sequential([L.Dense([[1.0], [1.0]])], input_shape=(2,))
    x = np.array([[3.0, 0.0, -1.0, 0.0]])
    with pytest.raises(TargetError, match="not defined for a negative start"):
        wrappers.sliding_window(Explainer(model, "deep_taylor"), x, stride=2, axes=1)
    allowed = wrappers.sliding_window(Explainer(model, "deep_taylor", allow_negative=True), x, stride=2, axes=1)
    assert allowed.value.tolist() == [2]
    with pytest.raises(HeadError):
        Explainer(cnn(softmax=True))


# ---- the relevant pattern ------------------------------------------------------------------------------------------------------


@st.composite
def explained(draw: DrawFn) -> lrp_ref.Explanation:
    seed = draw(st.integers(0, 2**16))
    explainer = Explainer(cnn(seed=seed), draw(st.sampled_from(["epsilon_plus", "epsilon_alpha2_beta1", EPSILON])))
    x = np.random.default_rng(seed).uniform(draw(st.sampled_from([-1, 0])), 1, size=(2, 2, 5, 4))
    return explainer(x, target=draw(st.sampled_from(["predicted", "all"])))


@given(explained())
@fewer
def test_the_pattern_stays_in_the_range_of_the_image(e):
    """With R scaled to [0, 1], every pixel of x ⊙ R lies between 0 and x: a range that holds x and 0 holds the pattern."""
    x = e.activations["input"][:, None] if e.several else e.activations["input"]
    pattern = e.pattern()
    assert pattern.shape == e.relevance.shape
    assert (pattern >= np.minimum(x, 0)).all()
    assert (pattern <= np.maximum(x, 0)).all()
    assert (pattern[e.relevance <= 0] == 0).all()


def test_the_pattern_by_hand():
    """R = (4, −2, 1, 0) becomes (1, 0, 1/4, 0); the most relevant pixel keeps its colour."""
    x = fractions([[2, -1, F(1, 2), 0]])
    e = lrp_ref.explain(Model.sequential([L.Dense(fractions([[2], [2], [2], [1]]))]), x, rule=rules.Zero())
    assert e.relevance.tolist() == [[4, -2, 1, 0]]
    assert e.pattern().tolist() == [[2, 0, F(1, 8), 0]]
    nothing = lrp_ref.explain(Model.sequential([L.Dense(fractions([[-1]] * 4))]), abs(x), rule=rules.Zero())
    assert not nothing.pattern().any(), "where nothing is relevant nothing is shown"
