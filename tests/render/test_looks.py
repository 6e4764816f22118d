"""Colours, scales and blurs that are asked for, and what a picture says of itself."""

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Explanation, Model, errors, render, rules, zoo
from lrp_ref import layers as L
from lrp_ref.render.colours import blurred, table_of
from lrp_ref.render.figures import _columns


def of_map(values: np.ndarray) -> Explanation:
    """An explanation whose relevance is this map (H, W)."""
    return lrp_ref.explain(
        Model.sequential([L.Flatten(), L.Dense(np.ones((values.size, 1)))]), values[None, None], rule=rules.Zero()
    )


SIGNED = np.array([[4.0, -2.0, 0.0], [1.0, 1.0, 1.0]])


def shown(figure, panel=0):
    return np.asarray(figure.axes[panel].get_images()[0].get_array())


def test_another_colour_map_colours_maps_and_bar():
    figure = render.picture(of_map(SIGNED), style="heatmap", cmap="seismic")
    # The table of the book's listing: R / max |R| · 127.5 + 127.5 is the index into 256 colours.
    from matplotlib import colormaps

    expected = np.rint(255 * colormaps["seismic"]((SIGNED / 4 + 1) / 2)[..., :3])
    assert np.abs(shown(figure).astype(int) - expected).max() <= 8  # 511 places for 256 colours
    bar = figure.axes[1].collections[-1].cmap(np.linspace(0, 1, 3))[:, :3]
    assert np.allclose(bar, colormaps["seismic"](np.linspace(0, 1, 3))[:, :3], atol=0.02)


def test_colours_may_be_a_table_and_what_is_none_is_refused():
    two = np.array([[0, 0, 255], [255, 255, 255], [255, 0, 0]], np.uint8)
    assert render.heatmap([[1.0, -1.0, 0.0]], cmap=two)[0].tolist() == [[255, 0, 0], [0, 0, 255], [255, 255, 255]]
    assert np.array_equal(table_of(None), render.scale())
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'seismic'"):
        render.heatmap([[1.0]], cmap="seismik")
    for wrong in (two[:2], two.astype(float), 3):
        with pytest.raises(errors.ParameterError, match=r"colours|colour map"):
            render.heatmap([[1.0]], cmap=wrong)


def test_a_percentile_or_a_limit_says_what_takes_the_full_colour():
    e = of_map(np.arange(100.0).reshape(10, 10))
    assert render.picture(e, style="heatmap", percentile=50).axes[1].get_ylim() == (0, 49.5)
    figure = render.picture(e, style="heatmap", vmax=80)
    assert figure.axes[1].get_ylim() == (0, 80)
    assert np.array_equal(shown(figure), render.heatmap(np.arange(100.0).reshape(10, 10), limit=80))
    said = figure.get_supxlabel()
    beyond = np.arange(81, 100).sum() / np.arange(100).sum()
    assert f"beyond the scale: 19 % of the cells, which hold {100 * beyond:.3g} % of Σ |R|" in said.replace("\n", " ")
    for choices in ({"percentile": 50, "vmax": 1}, {"percentile": 0}, {"percentile": 101}, {"vmax": 0}, {"smooth": 0}):
        with pytest.raises(errors.ParameterError):
            render.picture(e, **choices)


def test_the_bar_shows_the_signs_that_occur():
    for values, ends in ((SIGNED, (-4, 4)), (abs(SIGNED), (0, 4)), (-abs(SIGNED), (-4, 0)), (0 * SIGNED, (-1, 1))):
        figure = render.picture(of_map(values), style="heatmap")
        assert figure.axes[1].get_ylim() == ends
        pixels = render.Sheets(dpi=60).pixels(of_map(values), style="heatmap")
        assert np.abs(pixels.astype(int) - render.pixels(figure, 60)).max() <= 96  # the ends of thin lines
    one = render.picture(of_map(abs(SIGNED)), style="heatmap").axes[1]
    assert one.get_ylabel() == "relevance: for"
    colours = one.collections[-1].cmap
    assert np.allclose(colours(0.0)[:3], 1)  # white is zero
    assert np.allclose(colours(1.0)[:3], render.scale()[-1] / 255)


def test_a_blur_keeps_the_sum_and_is_said():
    values = np.zeros((9, 8))
    values[0, 0], values[4, 4] = 1.0, -2.0
    soft = blurred(values, 1.5)
    assert soft.sum() == pytest.approx(-1)
    assert abs(soft).max() < 1
    assert np.allclose(blurred(np.ones((5, 6)), 2.0), 1)
    # A Gaussian: at the distance of one standard deviation e^(−1/2) of its middle, where no edge is near.
    far = np.zeros((41, 41))
    far[20, 20] = 1.0
    assert blurred(far, 3.0)[20, 23] / blurred(far, 3.0)[20, 20] == pytest.approx(np.exp(-0.5))
    figure = render.picture(of_map(values), style="heatmap", smooth=1.5)
    assert "smoothed by a Gaussian of 1.5 cells" in figure.get_supxlabel()
    assert np.array_equal(shown(figure), render.heatmap(soft))


def test_targets_leave_few_places_empty():
    assert [_columns(n) for n in range(2, 14)] == [2, 3, 4, 5, 3, 4, 4, 3, 5, 4, 4, 5]
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4], targets=(3, 5))
    assert len(render.picture(e).axes) == 4  # the input, two maps, the bar


def test_a_pattern_says_what_it_is():
    figure = render.picture(of_map(SIGNED), style="pattern")
    assert "as bright as it is relevant" in figure.get_supxlabel().replace("\n", " ")


def test_one_map_is_drawn_on_axes_of_the_callers(tmp_path):
    from matplotlib.figure import Figure

    e = of_map(SIGNED)
    axes = Figure().add_subplot()
    assert e.plot(ax=axes, cmap="bwr", vmax=8) is axes
    assert np.array_equal(np.asarray(axes.get_images()[0].get_array()), render.heatmap(SIGNED, limit=8, cmap="bwr"))
    assert axes.get_title() == "class 0, score 5"
    vector = lrp_ref.explain(Model.sequential([L.Dense(np.ones((3, 1)))]), np.ones((1, 3)))
    bars = render.picture_on(Figure().add_subplot(), vector)
    assert [patch.get_height() for patch in bars.patches[:3]] == pytest.approx([1, 1, 1])
    several = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4], target="all")
    with pytest.raises(errors.ParameterError, match="axes hold one map; found 10"):
        several.plot(ax=axes)
    with pytest.raises(errors.ParameterError, match="style 'panels'"):
        e.plot(ax=axes, style="panels")


def test_the_figure_has_the_dots_that_were_asked_for():
    assert of_map(SIGNED).plot(dpi=50).get_dpi() == 50


def test_the_contrast_of_vectors_names_the_classes():
    model = Model.sequential([L.Dense(np.array([[1.0, 2.0], [3.0, -1.0]]))])
    e = lrp_ref.explain(model, np.ones((1, 2)), targets=(0, 1), rule=rules.Zero()).named(["a", "b"], ["0", "yes"])
    figure = e.plot(style="contrast")
    assert [axes.get_title() for axes in figure.axes] == ["", "class 0, score 4", "yes, score 1", "class 0 minus yes"]
    assert [patch.get_height() for patch in figure.axes[3].patches[:2]] == [0, 4]  # 1 − 2 is a bar down
