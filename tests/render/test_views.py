"""The papers' other views (Alber 2019, §22.A.5; Samek et al. 2021, §1.5), pooled relevance, comparisons."""

import numpy as np
import pytest
from matplotlib import colormaps

import lrp_ref
from lrp_ref import Explainer, Model, errors, render, rules, zoo
from lrp_ref import layers as L
from lrp_ref.render.colours import blurred
from lrp_ref.render.views import magnitude

R = np.array([[-2.0, 0.0, 4.0]])  # the numbers of the book's listings


def brightness(image):
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert (image == image[..., :1]).all()
    return image[..., 0].tolist()


def test_the_grey_map_is_the_size_of_relevance():
    assert brightness(render.grey_map(R)) == [[128, 0, 255]]  # 127.5, 0, 255
    channels = np.stack([R, -R])  # sums of sizes, not the size of sums
    assert brightness(render.grey_map(channels)) == [[128, 0, 255]]
    assert brightness(render.grey_map(0 * R)) == [[0, 0, 0]]


def test_the_projection_is_around_grey():
    """¼, ½, 1: the listing divides by max |R| alone, and leaves [0, 1]."""
    assert brightness(render.projection(R)) == [[64, 128, 255]]
    assert brightness(render.projection(0 * R)) == [[128, 128, 128]]


def test_the_scaled_input_is_as_bright_as_relevance_is_large():
    assert magnitude(R).tolist() == [[0.5, 0.0, 1.0]]
    assert brightness(render.scaled_input(np.array([[100, 100, 100]], np.uint8), R)) == [[50, 0, 100]]


def test_the_mask_leaves_the_segments_of_the_largest_sums():
    x = np.array([[10, 20, 30, 40]], np.uint8)
    values = np.array([[5.0, -4.0, 2.0, 2.0]])
    labels = np.array([[0, 0, 2, 2]])  # Σ R: 1 and 4, and no label 1
    assert brightness(render.masked_input(x, values, labels, top=1)) == [[0, 0, 30, 40]]
    assert brightness(render.masked_input(x, values, labels, top=2)) == [[10, 20, 30, 40]]
    assert brightness(render.masked_input(x, values, 1, top=1)) == [[10, 0, 0, 0]]
    assert brightness(render.masked_input(x, values, 2, top=1)) == [[0, 0, 30, 40]]
    large = np.arange(64.0 * 64).reshape(64, 64)
    kept = np.array(brightness(render.masked_input(np.full((64, 64), 255, np.uint8), large))) > 0
    assert kept.sum() == 50 * 16  # patches of 4 × 4
    for wrong, error in ((-labels, errors.ParameterError), (labels[0], errors.ShapeError), (0, errors.ParameterError)):
        with pytest.raises(error):
            render.masked_input(x, values, wrong)
    with pytest.raises(errors.ParameterError, match="at least 1 segment"):
        render.masked_input(x, values, labels, top=0)


def test_a_blend_is_the_size_after_a_blur_over_the_input():
    values = np.zeros((31, 31))
    values[15, 15] = -1.0
    x = np.zeros((31, 31, 3), np.uint8)
    soft = blurred(abs(values), 3.0)
    expected = 255 * colormaps["jet"](soft / soft.max())[..., :3]
    assert np.abs(render.blend(x, values, opacity=1.0).astype(int) - expected).max() <= 6  # 511 places for 256 colours
    assert np.abs(render.blend(x, values).astype(int) - expected / 2).max() <= 4
    smaller = blurred(abs(values), 0.02 * 31)
    expected = 255 * colormaps["jet"](smaller / smaller.max())[..., :3]
    assert np.abs(render.blend(x, values, sigma=None, opacity=1.0).astype(int) - expected).max() <= 6
    white = render.blend(x, values, cmap=None, opacity=1.0)
    assert white[0, 0].tolist() == [255, 255, 255]  # ours: from zero to the full colour for
    with pytest.raises(errors.ParameterError, match="opacity"):
        render.blend(x, values, opacity=2)


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("grey", "Σ |R| over channels; white"),
        ("scaled", "as bright as Σ |R|"),
        ("mask", "50 segments"),
        ("blend", "Gaussian blur of 0.16 cells"),
        ("projection", "grey is zero"),
    ],
)
def test_each_view_is_a_style_that_says_what_it_shows(style, said):
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4])
    figure = e.plot(style=style)
    assert len(figure.axes) == 1  # no colour bar: the colours are others
    assert said in figure.get_supxlabel().replace("\n", " ")
    relevance, x = e.relevance[0], e.activations["input"][0]
    expected = {
        "grey": lambda: render.grey_map(relevance),
        "scaled": lambda: render.scaled_input(x, relevance),
        "mask": lambda: render.masked_input(x, relevance),
        "blend": lambda: render.blend(x, relevance, sigma=0.16),
        "projection": lambda: render.projection(relevance),
    }[style]()
    assert np.array_equal(np.asarray(figure.axes[0].get_images()[0].get_array()), expected)
    with pytest.raises(errors.ParameterError, match="is for images"):
        lrp_ref.explain(Model.sequential([L.Dense(np.ones((3, 1)))]), np.ones((1, 3))).plot(style=style)


def vector(weights):
    model = Model.sequential([L.Dense(np.array(weights)[:, None])])
    return lrp_ref.explain(model, np.ones((1, len(weights))), rule=rules.Zero())


def test_pooled_relevance_as_bars_and_as_a_pie():
    e = vector([1.0, 2.0, 3.0, 2.0])
    groups = [0, 0, 1, 1]
    figure = render.pooled(e, groups, names=["a", "b"])
    assert [bar.get_width() for bar in figure.axes[0].patches] == [3.0, 5.0]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]
    pie = render.pooled(e, groups, names=["a", "b"], kind="pie")
    assert sorted(text.get_text() for text in pie.axes[0].texts) == ["38 %", "62 %", "a", "b"]
    with pytest.raises(errors.ParameterError, match="a pie of a negative piece cannot be read"):
        render.pooled(vector([1.0, -2.0]), [0, 1], kind="pie")
    with pytest.raises(errors.ParameterError, match="nothing to share"):
        render.pooled(vector([0.0, 0.0]), [0, 1], kind="pie")
    with pytest.raises(errors.ShapeError, match="1 names for 2 groups"):
        render.pooled(e, groups, names=["a"])
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'pie'"):
        render.pooled(e, groups, kind="pies")
    with pytest.raises(errors.ParameterError, match="no sample 1"):
        render.pooled(e, groups, sample=1)


def test_a_comparison_has_a_column_for_each_rule_composite_and_method():
    net, x = zoo.load("digits"), zoo.digits().images[3:5]
    mine = Explainer(net, "alpha1_beta0")
    figure = render.compare(net, x, rules=[rules.Epsilon(0.25)], composites=["deep_taylor"], methods={"mine": mine}, title="t")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert [label.replace("\n", "") for label in labels] == ["input", "Epsilon(epsilon=0.25,signed=True)", "deep_taylor", "mine"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["class 3\nscore 5.265", "class 4\nscore 4.702"]
    canvas = np.asarray(figure.axes[0].get_images()[0].get_array())
    side = canvas.shape[1] // 4
    for column, e in enumerate(
        (lrp_ref.explain(net, x, rule=rules.Epsilon(0.25)), lrp_ref.explain(net, x, composite="deep_taylor"))
    ):
        for row in (0, 1):
            heat = render.heatmap(e.relevance[row])
            middle = canvas[row * side + side // 2, (column + 1) * side + side // 2]
            assert middle.tolist() == heat[4, 4].tolist() or middle.tolist() in heat[3:5, 3:5].reshape(-1, 3).tolist()
    assert render.compare(net, x, methods=[mine]).axes[0].get_xticklabels()[1].get_text().replace("\n", "") == "alpha1_beta0"
    with pytest.raises(errors.ParameterError, match="nothing to compare"):
        render.compare(net, x)
    with pytest.raises(errors.ParameterError, match="one target of each sample"):
        render.compare(net, x, composites=["epsilon_plus"], target="all")
    with pytest.raises(errors.ParameterError, match="a method is called"):
        render.compare(net, x, methods=[3])
    with pytest.raises(errors.ShapeError, match="1 images for 2 samples"):
        render.compare(net, x, rules=[rules.Zero()], images=x[:1])


def test_cells_of_a_grid_have_the_shape_of_the_maps_and_peaks_do_not_set_their_scale():
    values = np.ones((100, 200))
    values[0, :5] = 50.0
    figure = render.grid([values], [[values]], rows=["a"], columns=["b"])
    width, height = figure.get_size_inches() * figure.axes[0].get_position().size
    assert height / (width / 2) == pytest.approx(0.5)
    canvas = np.asarray(figure.axes[0].get_images()[0].get_array())
    assert (canvas[canvas.shape[0] // 2, -20] == render.scale()[-1]).all()
