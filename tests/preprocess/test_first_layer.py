"""An input that the first layer of a network did not see in training (`CONV-FIRST-LAYER`)."""

import dataclasses

import numpy as np
import pytest

from lrp_ref import Model, Node, zoo
from lrp_ref import layers as L
from lrp_ref.preprocess import FirstLayer

#: 12 × 12 pixels of mean 0 and deviation 1.
PIXELS = np.tile([[1.0, -1.0], [-1.0, 1.0]], (6, 6))[None, None]


def normalising(mean, variance, *before):
    """A network whose first layers are `before` and a batch normalisation with these statistics."""
    return Model.sequential([*before, L.BatchNorm(np.array(mean), np.array(variance), epsilon=0.0), L.ReLU()])


def doubling(bias=None):
    return L.Conv(np.full((1, 1, 1, 1), 2.0), bias)


@pytest.mark.parametrize(
    ("scale", "found"),
    [(1, None), (4.9, None), (5.1, "are 5.1 times as large"), (255, "are 255 times"), (0.06, None), (0.04, "differ by 4 %")],
)
def test_a_batch_normalisation_knows_the_size_of_its_inputs(scale, found):
    """Behind a convolution that doubles its deviation is 2, and so is that of training."""
    first = FirstLayer.of(normalising([0.0], [4.0], doubling()))
    said = first.misfit(scale * PIXELS)
    assert said is None if found is None else found in said
    assert said is None or "(batchnorm1)" in said
    assert FirstLayer.of(normalising([0.0], [1.0])).misfit(scale * PIXELS) == (
        said and said.replace("first layer", "first layer")
    )


def test_a_shifted_mean_counts_as_size():
    first = FirstLayer.of(normalising([0.0], [1.0]))
    assert first.misfit(PIXELS + 4) is None  # √(4² + 1²) = 4.1
    assert "5.1 times" in first.misfit(PIXELS + 5)


def test_the_median_channel_decides():
    x = np.concatenate([PIXELS, PIXELS, 100 * PIXELS], axis=1)
    assert FirstLayer.of(normalising([0.0] * 3, [1.0] * 3)).misfit(x) is None
    assert FirstLayer.of(normalising([0.0] * 3, [1.0] * 3)).misfit(x[:, [0, 2, 2]]) is not None


def test_features_have_a_size_and_no_spread():
    first = FirstLayer.of(normalising([50.0] * 3, [100.0] * 3))
    assert first.misfit(np.array([[50.0, 50.0, 50.0]])) is None
    assert "times as large" in first.misfit(np.array([[5.0, 50000.0, 40000.0]]))


@pytest.mark.parametrize(("scale", "found"), [(1, None), (0.011, None), (0.009, "are 1.8 % of its bias")])
def test_a_convolution_must_see_more_than_its_bias(scale, found):
    """Its responses are ±2 · scale, its bias 1."""
    model = Model.sequential([doubling(np.array([1.0])), L.ReLU(), L.Flatten()])
    said = FirstLayer.of(model).misfit(scale * PIXELS)
    assert said is None if found is None else found in said
    assert FirstLayer.of(model).misfit(1000 * PIXELS) is None  # of large ones nothing is known


@pytest.mark.parametrize("x", [np.zeros((1, 1, 12, 12)), np.full((1, 1, 12, 12), 1e-3)])
def test_an_image_that_shows_nothing_is_no_mistake(x):
    for model in (normalising([0.0], [4.0], doubling()), Model.sequential([doubling(np.array([1.0])), L.ReLU()])):
        assert FirstLayer.of(model).misfit(x) is None


def test_a_photograph_that_shows_next_to_nothing_is_no_mistake():
    first = FirstLayer.of(normalising([0.0], [4.0], doubling()))
    night = 128 + PIXELS[0, 0] * 10
    assert first.misfit(0.01 * PIXELS, night) is None
    assert first.misfit(0.01 * PIXELS, 128 + PIXELS[0, 0] * 60) is not None
    assert first.misfit(100 * PIXELS, night) is not None  # of its size it tells as much as any


@pytest.mark.parametrize(
    "model",
    [
        Model.sequential([doubling(), L.ReLU()]),  # without a bias
        Model.sequential([doubling(np.zeros(1)), L.ReLU()]),
        Model.sequential([L.Dense(np.ones((2, 2)), np.ones(2)), L.ReLU()]),
        Model.sequential([L.ReLU()] * 9 + [L.BatchNorm(np.zeros(1), np.ones(1))]),  # no first layer
        Model(
            (Node("sum", L.Add(2), ("a", "b")), Node("norm", L.BatchNorm(np.zeros(1), np.ones(1)), ("sum",))), inputs=("a", "b")
        ),
    ],
)
def test_where_nothing_tells_nothing_is_said(model):
    first = FirstLayer.of(model)
    assert first is None or first.misfit(1e-9 * PIXELS) is None


def test_signals_are_not_judged():
    model = Model.sequential([L.BatchNorm(np.zeros(1), np.ones(1))])
    assert FirstLayer.of(model).misfit(1000 * PIXELS[:, :, 0]) is None


def test_the_shipped_network_notices_pixels_up_to_255_and_no_digit_of_its_own():
    model, images = zoo.load("digits_bn"), zoo.digits().images
    first = FirstLayer.of(model)
    assert [first.misfit(x[None]) for x in images] == [None] * 10
    assert all("times as large" in first.misfit(255 * x[None]) for x in images)
    assert all("differ by 0." in first.misfit(x[None] / 255) for x in images)
    assert FirstLayer.of(dataclasses.replace(model).astype(object)) is None
