"""CAM, Grad-CAM and guided Grad-CAM: literal loops in rationals, the law that ties them, and what is refused."""

from __future__ import annotations

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
from lrp_ref.errors import GraphError, HeadError, ParameterError, ShapeError, TargetError, UnknownNameError
from support.strategies import fewer

F = Fraction
BACKENDS = pytest.mark.parametrize("backend", lrp_ref.BACKENDS)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, size=shape) / 4


def averaged(dtype: Any = np.float64, softmax: bool = False, seed: int = 0) -> Model:
    """Two channels of 6 × 5 cells, a convolution of stride 2 to 3 × 3, an average of each map, three scores."""
    layers = [
        L.Conv(weights(4, 2, 3, 3, seed=seed), weights(4, seed=1), padding=1, stride=2),
        L.ReLU(),
        L.GlobalAvgPool(),
        L.Flatten(),
    ]
    layers += [L.Dense(weights(4, 3, seed=seed + 2), weights(3, seed=3))]
    return Model.sequential([*layers, *([L.Softmax()] if softmax else [])]).astype(dtype)


def dense(dtype: Any = np.float64) -> Model:
    """A convolution, a batch norm, a maximum, a dense layer, ReLU, scores: not averaged."""
    norm = L.BatchNorm(weights(4, seed=7), np.array([1.0, 4.0, 0.25, 1.0]), weights(4, seed=5) + 1, weights(4, seed=6), 0.0)
    layers = [L.Conv(weights(4, 2, 3, 3), weights(4, seed=1), padding=1), norm, L.LeakyReLU(0.25), L.MaxPool(2, ceil_mode=True)]
    layers += [L.Flatten(), L.Dense(weights(36, 5, seed=2)), L.ReLU(), L.Dense(weights(5, 3, seed=3))]
    return Model.sequential(layers).astype(dtype)


def images(count: int = 2) -> np.ndarray:
    return np.random.default_rng(9).integers(-8, 9, size=(count, 2, 6, 5)) / 4


def enlarged(small: Any, extents: tuple[int, int]) -> np.ndarray:
    """Bilinear, half-pixel centres, cell by cell in rationals."""
    rows, columns = np.shape(small)

    def ends(u: int, cells: int, extent: int) -> list[tuple[int, Fraction]]:
        where = max(F(0), min(F(cells - 1), (u + F(1, 2)) * F(cells, extent) - F(1, 2)))
        low = int(where)
        return [(low, 1 - (where - low)), (min(low + 1, cells - 1), where - low)]

    cells = [
        [
            sum(a * b * small[i][j] for i, a in ends(u, rows, extents[0]) for j, b in ends(v, columns, extents[1]))
            for v in range(extents[1])
        ]
        for u in range(extents[0])
    ]
    return np.array(cells, dtype=object)


# --- worked and literal ---------------------------------------------------------------------------------------------------


def test_cam_is_the_sum_of_maps_times_weights_and_enlarged_exactly():
    model, x = averaged(object), fractions(images())
    e = methods.CAM(model)(x, targets=[2, 0])
    maps = model.trace(x)["relu1"]
    for n in range(2):
        for t, c in enumerate((2, 0)):
            small = sum(model["dense1"].layer.weight[k, c] * maps[n, k] for k in range(4))
            assert (e.at("relu1")[n, t, 0] == small).all()
            assert (e.relevance[n, t] == enlarged(small, (6, 5))).all()
    # the mean over the pixels is the score without its bias
    assert (e.at("relu1").sum(axis=(2, 3, 4)) / 9 == e.value - model["dense1"].layer.bias[[2, 0]]).all()


def test_two_pixels_by_hand():
    """A = (2, 6) under a 1 × 1 convolution, w = 3: CAM (6, 18), Grad-CAM (3, 9); enlarged to 4: 6, 9, 15, 18."""
    layers = [L.Conv(np.ones((1, 1, 1, 2)), None, stride=(1, 2)), L.ReLU(), L.GlobalAvgPool(), L.Flatten(), L.Dense([[3.0]])]
    x = [[[[1.0, 1.0, 2.0, 4.0]]]]
    e = methods.CAM(Model.sequential(layers))(x, 0)
    assert e.at("relu1").tolist() == [[[[6.0, 18.0]]]]
    assert e.relevance.tolist() == [[[[6.0, 9.0, 15.0, 18.0]]]]
    assert methods.GradCAM(Model.sequential(layers))(x, 0).at("relu1").tolist() == [[[[3.0, 9.0]]]]


def by_differences(model: Model, maps: np.ndarray, layer: str, target: int) -> np.ndarray:
    """The derivative of a score by each cell of a node's output: one cell is moved a little, and the rest computed, exactly."""
    at = [node.name for node in model.nodes].index(layer) + 1
    above = Model.sequential([node.layer for node in model.nodes[at:]])
    step, found = F(1, 10**9), np.empty(maps.shape, dtype=object)
    for cell in np.ndindex(maps.shape):
        moved = maps.copy()
        moved[cell] += step
        found[cell] = (above(moved[None])[0, target] - above(maps[None])[0, target]) / step
    return found


@pytest.mark.parametrize(("layer", "relu"), [(None, True), ("conv1", False), ("maxpool1", True)])
def test_grad_cam_weights_maps_by_the_mean_of_their_derivative(layer, relu):
    model = dense(object)
    x = fractions(images(1)) + fractions(np.arange(60).reshape(1, 2, 6, 5)) / 977  # off the kinks, and no ties
    e = methods.GradCAM(model, layer, relu=relu)(x, 1)
    name = layer or "leakyrelu1"
    maps = model.trace(x)[name][0]
    alpha = [sum(g.flat) / g.size for g in by_differences(model, maps, name, 1)]
    small = sum(a * m for a, m in zip(alpha, maps, strict=True))
    small = np.maximum(small, F(0)) if relu else small
    assert (e.at(name)[0, 0] == small).all()
    assert (e.relevance[0] == enlarged(small, (6, 5))).all()


def guided_by_hand(model: Model, x: np.ndarray, target: int) -> np.ndarray:
    """Masks and transposed matrices: each layer of the network is its matrix, made from unit vectors."""
    values, steps = x[None], []
    for node in model.nodes:
        steps.append((node.layer, values))
        values = node.layer.forward(values)
    signal = fractions(np.eye(values.shape[1], dtype=int)[target])
    for layer, before in reversed(steps):
        if isinstance(layer, L.ReLU):
            signal = np.where((before.reshape(-1) > 0) & (signal > 0), signal, F(0))
            continue
        zero = layer.forward(before * 0).reshape(-1)
        units = fractions(np.eye(before.size, dtype=int)).reshape(before.size, *before.shape)
        signal = np.array([sum((layer.forward(unit).reshape(-1) - zero) * signal) for unit in units], dtype=object)
    return signal.reshape(x.shape)


@BACKENDS
def test_guided_grad_cam_is_guided_backpropagation_times_the_map(backend):
    model, x = averaged(object), fractions(images(1))
    expected = guided_by_hand(model, x[0], 1) * methods.GradCAM(model)(x, 1).relevance[0]
    assert (methods.GuidedGradCAM(model)(x, 1).relevance[0] == expected).all()
    floats = methods.GuidedGradCAM(averaged(), backend=backend)(images(1), 1).relevance[0]
    np.testing.assert_allclose(floats, expected.astype(float), rtol=1e-10, atol=1e-12)
    every = methods.GuidedGradCAM(model)(x, "all").relevance
    assert (every[0, 1] == expected).all()


# --- laws ----------------------------------------------------------------------------------------------------------------


@fewer
@given(st.integers(0, 1000), st.integers(0, 2))
def test_behind_a_global_average_grad_cam_is_the_positive_part_of_cam_by_the_pixels(seed, target):
    model, x = averaged(object, seed=seed), fractions(weights(2, 2, 6, 5, seed=seed))
    cam, grad_cam = (kind(model)(x, target).at("relu1") for kind in (methods.CAM, methods.GradCAM))
    assert (grad_cam == np.maximum(cam, F(0)) / 9).all()


@BACKENDS
@pytest.mark.parametrize("kind", [methods.CAM, methods.GradCAM, methods.GuidedGradCAM])
def test_a_batch_is_its_samples_bit_for_bit(kind, backend):
    x, method = images(3), kind(averaged(), backend=backend)
    whole = method(x, targets=[0, 2])
    for n in range(3):
        one = method(x[n : n + 1], targets=[0, 2])
        assert one.relevance.tobytes() == whole.relevance[n : n + 1].tobytes()
    assert method(images(0), 1).relevance.shape == (0, 2, 6, 5)
    assert (whole.method, whole.conserves, whole.head) == (kind.__name__, False, "logit")


def test_heads_targets_and_contrasts_are_those_of_an_explainer():
    x, squashed = images(), averaged(softmax=True)
    cam = methods.CAM(squashed, head="logit")(x)
    np.testing.assert_allclose(cam.relevance, methods.CAM(averaged())(x).relevance, rtol=1e-12)
    np.testing.assert_allclose(cam.prediction, squashed(x), rtol=1e-12)
    assert methods.GradCAM(squashed, head="probability")(x, 1).head == "probability"
    with pytest.raises(HeadError):
        methods.GradCAM(squashed)(x, 1)
    with pytest.raises(ParameterError, match="score"):
        methods.CAM(squashed, head="probability")
    a, b, difference = (methods.CAM(averaged())(x, t, contrast=c).relevance for t, c in ((0, None), (2, None), (0, 2)))
    np.testing.assert_allclose(difference, a - b, atol=1e-12)
    with pytest.raises(TargetError):
        methods.CAM(averaged())(x, 3)


# --- which maps ------------------------------------------------------------------------------------------------------------


def test_the_maps_are_those_behind_the_activation_of_the_last_convolution():
    assert methods.GradCAM(dense())(images(1), 0).relevances.keys() == {"input", "leakyrelu1"}
    nodes = (
        Node("a", L.Conv(weights(2, 2, 1, 1), None), ("input",)),
        Node("b", L.Conv(weights(2, 2, 3, 3), None, padding=1), ("a",)),
        Node("sum", L.Add(), ("a", "b")),
        Node("relu", L.ReLU(), ("sum",)),
        Node("pool", L.GlobalAvgPool(), ("relu",)),
        Node("flat", L.Flatten(), ("pool",)),
        Node("scores", L.Dense(weights(2, 2)), ("flat",)),
    )
    assert methods.GradCAM(Model(nodes))(images(1), 0).relevances.keys() == {"input", "relu"}


def test_a_convolution_in_front_of_a_batch_norm_is_looked_at_as_it_is():
    model, x = dense(object), fractions(images(1))
    e = methods.GradCAM(model, "conv1", relu=False)(x, 1)
    floats = methods.GradCAM(dense(), "conv1", relu=False)(images(1), 1)
    np.testing.assert_allclose(floats.at("conv1"), e.at("conv1").astype(float), rtol=1e-10, atol=1e-12)


def test_of_one_axis():
    layers = [L.Conv(weights(3, 2, 3), None), L.ReLU(), L.GlobalAvgPool(), L.Flatten(), L.Dense(weights(3, 2))]
    assert methods.GradCAM(Model.sequential(layers))(weights(2, 2, 9), 0).relevance.shape == (2, 2, 9)


# --- bad input ---------------------------------------------------------------------------------------------------------------


def table() -> Model:
    return Model.sequential([L.Dense(weights(4, 3)), L.ReLU(), L.Dense(weights(3, 2))])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: methods.GradCAM(table()), GraphError, "no convolution is below node 'dense2'"),
        (lambda: methods.GuidedGradCAM(table()), GraphError, "no convolution"),
        (lambda: methods.CAM(table()), GraphError, "global average in front of node 'dense2'.*GradCAM"),
        (lambda: methods.CAM(dense()), GraphError, "GradCAM"),
        (lambda: methods.CAM(Model.sequential([L.Conv(weights(2, 2, 1, 1), None), L.ReLU()])), GraphError, "dense layer"),
        (lambda: methods.CAM(averaged(), "conv1"), ParameterError, "'relu1'"),
        (lambda: methods.GradCAM(averaged(), "conv9"), UnknownNameError, "conv1"),
        (lambda: methods.GradCAM(averaged(), "flatten1")(images(), 0), ShapeError, "feature maps"),
        (lambda: methods.GradCAM(averaged(), backend="gpu"), UnknownNameError, "gpu"),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
