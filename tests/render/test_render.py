"""Pictures: tested on what they must show, never against a stored image."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import lrp_ref
from lrp_ref import Model, Node, errors, render, rules, zoo
from lrp_ref import layers as L
from lrp_ref.render import canvas, colours

ROOT = Path(lrp_ref.__file__).parent.parent
WHITE = [255, 255, 255]
# Simulated colour blindness on linear RGB at full severity (Machado, Oliveira & Fernandes 2009).
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb, vision="normal"):
    """CIELAB of uint8 sRGB colours as someone with that vision sees them."""
    c = rgb / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ np.array(VISION[vision]).T
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    xyz = np.clip(linear, 0, 1) @ to_xyz.T / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def sides():
    """The scale from zero outwards: positive, negative."""
    scale = render.scale()
    middle = len(scale) // 2
    return scale[middle:], scale[middle::-1]


# --- the scale ----------------------------------------------------------------------------------------------------------


def test_the_middle_of_the_scale_is_white_and_nothing_else_is():
    positive, negative = sides()
    assert positive.shape == negative.shape == (colours.STEPS + 1, 3)
    assert positive[0].tolist() == negative[0].tolist() == WHITE
    assert (positive[1:] != WHITE).any(axis=1).all()
    assert (negative[1:] != WHITE).any(axis=1).all()


def test_each_side_darkens_steadily_and_both_by_the_same_amount():
    lightness = [lab(side)[:, 0] for side in sides()]
    for side in lightness:
        # One step of 8-bit rounding may cancel one of 255 steps, never turn it.
        assert (np.diff(side) <= 1e-9).all()
        assert side[0] - side[-1] > 70
    assert np.abs(lightness[0] - lightness[1]).max() < 3  # of 100; 3 is hardly seen


@pytest.mark.parametrize("vision", VISION)
def test_the_sign_can_be_read_whatever_the_colour_vision(vision):
    positive, negative = (lab(side, vision) for side in sides())
    apart = np.linalg.norm(positive - negative, axis=1)
    # A difference of 2.3 is just noticeable side by side; 40 is blue against yellow.
    assert apart[colours.STEPS // 10] > 10
    assert (apart[colours.STEPS // 4 :] > 40).all()


# --- heatmaps -----------------------------------------------------------------------------------------------------------

maps = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-8, 8, width=16))


@given(maps)
def test_zero_is_white_and_the_sign_decides_the_side(relevance):
    image = render.heatmap(relevance).astype(int)
    assert image.shape == (*relevance.shape, 3)
    assert (image[relevance == 0] == 255).all()
    shown = np.abs(relevance) > np.abs(relevance).max() / colours.STEPS
    red, blue = image[..., 0], image[..., 2]
    assert (red > blue)[shown & (relevance > 0)].all()
    assert (blue > red)[shown & (relevance < 0)].all()


@given(maps)
def test_minus_r_is_the_mirror_of_r(relevance):
    scale = render.scale()
    place = {tuple(colour): i for i, colour in enumerate(scale.tolist())}
    up, down = render.heatmap(relevance), render.heatmap(-relevance)
    for a, b in zip(up.reshape(-1, 3).tolist(), down.reshape(-1, 3).tolist(), strict=True):
        assert place[tuple(a)] + place[tuple(b)] == len(scale) - 1


@given(maps, st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_scale_follows_the_largest_value_and_a_limit_holds_it(relevance, factor):
    assert np.array_equal(render.heatmap(relevance), render.heatmap(factor * relevance))
    limit = 2.0
    assert np.array_equal(render.heatmap(relevance, limit=limit), render.heatmap(np.clip(relevance, -limit, limit), limit=limit))


def test_the_ends_of_the_scale_are_the_largest_values_of_either_sign():
    scale = render.scale()
    assert render.heatmap([[2.0, -2.0, 0.0]])[0].tolist() == [scale[-1].tolist(), scale[0].tolist(), WHITE]
    assert render.heatmap([[2.0, -1.0]], limit=4)[0, 0].tolist() == scale[colours.STEPS + 128].tolist()


def test_channels_are_summed_vectors_are_a_row_and_fractions_are_numbers():
    channels = np.array([[[1.0, 2.0]], [[-1.0, 3.0]]])
    assert np.array_equal(render.heatmap(channels), render.heatmap([[0.0, 5.0]]))
    assert render.heatmap([1.0, -1.0, 0.0]).shape == (1, 3, 3)
    exact = np.array([[Fraction(1, 3), Fraction(-1, 3)]], dtype=object)
    assert np.array_equal(render.heatmap(exact), render.heatmap([[1.0, -1.0]]))


def test_maps_of_nothing_are_white_or_empty():
    assert (render.heatmap(np.zeros((2, 3))) == 255).all()
    assert render.heatmap(np.zeros((0, 3))).shape == (0, 3, 3)
    tiny = render.heatmap([[5e-324, -5e-324]])
    assert tiny[0, 0].tolist() == render.scale()[-1].tolist()


def test_the_transparent_map_is_as_opaque_as_it_is_strong():
    image = render.heatmap([[0.0, 0.5, -1.0]], transparent=True)
    assert image.shape == (1, 3, 4)
    alpha = image[0, :, 3].astype(int)
    assert alpha[0] == 0 < alpha[1] < alpha[2] == 255


@pytest.mark.parametrize(
    ("relevance", "limit", "error", "message"),
    [
        (np.zeros((1, 3, 8, 8)), None, errors.ShapeError, r"choose one, as in R\[0\]"),
        (3.0, None, errors.ShapeError, r"found \(\)"),
        ([[np.nan]], None, errors.NonFiniteError, "NaN or infinity"),
        ([["a"]], None, errors.ParameterError, "array of numbers"),
        ([[1.0]], 0, errors.ParameterError, "positive number, found 0"),
        ([[1.0]], float("nan"), errors.ParameterError, "positive number, found nan"),
    ],
)
def test_what_cannot_be_drawn_says_why(relevance, limit, error, message):
    with pytest.raises(error, match=message):
        render.heatmap(relevance, limit=limit)


# --- figures ------------------------------------------------------------------------------------------------------------


def drawn(figure, tmp_path):
    """Draw it; all text must lie inside the picture."""
    figure.savefig(tmp_path / "figure.png", dpi=60)
    agg = FigureCanvasAgg(figure)
    agg.draw()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox(agg.get_renderer())
    inside = box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < width + 0.01 and box.y1 < height + 0.01
    assert inside, f"something is cut off: {box} in {width} × {height} inches"
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def explained(x=None, **choices):
    x = zoo.digits().images[3:5] if x is None else x
    return lrp_ref.explain(zoo.load("digits"), x, **{"composite": "epsilon_gamma_box", "ledger": True} | choices)


def images(axes):
    return [np.asarray(image.get_array()) for image in axes.get_images()]


def test_a_picture_shows_input_heatmap_and_overlay_with_class_and_score(tmp_path):
    e = explained()
    figure = render.picture(e, sample=1)
    texts = drawn(figure, tmp_path)
    assert "class 4, score 4.702" in texts
    computed = f"epsilon_gamma_box · float32 · backend {e.backend} · {100 * e.share_arrived[1]:.3g} % of the value arrives"
    assert {"input", "relevance", "overlay", computed} <= set(texts)
    base, heat, overlay, bar = figure.axes
    assert np.array_equal(images(heat)[0], render.heatmap(e.relevance[1]))
    assert (
        images(base)[0][..., 0].tolist() == np.rint(255 * e.activations["input"][1, 0] / e.activations["input"][1].max()).tolist()
    )
    assert images(overlay)[1].shape == (8, 8, 4)
    low, high = bar.get_ylim()
    assert -low == high == pytest.approx(np.abs(e.relevance[1]).max())


def test_a_picture_of_several_targets_has_one_scale_and_the_largest_values_first(tmp_path):
    e = explained(target="all")
    figure = render.picture(e)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:3] == ["input", "class 3\nscore 5.265", "class 4\nscore −0.4373"]
    assert len(titles) == 11
    limit = np.abs(e.relevance[0].sum(axis=1)).max()
    assert np.array_equal(images(figure.axes[2])[0], render.heatmap(e.relevance[0, 4], limit=limit))
    drawn(figure, tmp_path)


def test_of_very_many_targets_the_strongest_are_drawn():
    model = Model.sequential(
        [L.Conv(np.ones((40, 1, 1, 1)) * np.arange(1, 41).reshape(40, 1, 1, 1)), L.GlobalAvgPool(), L.Flatten()]
    )
    figure = render.picture(lrp_ref.explain(model, np.ones((1, 1, 2, 2)), target="all", rule=rules.Zero()))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["input", *(f"class {k}\nscore {k + 1}" for k in range(39, 27, -1))]


def test_names_of_classes_and_another_picture_of_the_input(tmp_path):
    photograph = np.zeros((30, 20, 3), np.uint8)
    photograph[3, 4] = (10, 20, 30)
    names = [f"number {k}, a label that is longer than most" for k in range(10)]
    figure = render.picture(explained(), photograph, labels=names)
    assert f"{names[3]}, score 5.265" in drawn(figure, tmp_path)
    assert np.array_equal(images(figure.axes[0])[0], photograph)
    # The heatmap keeps its own cells; the overlay stretches it over the photograph.
    assert tuple(figure.axes[2].get_images()[1].get_extent()) == (-0.5, 19.5, 29.5, -0.5)


def test_long_names_of_classes_are_wrapped(tmp_path):
    names = [" ".join(["a long name of a class"] * 6) + f" {k}" for k in range(10)]
    drawn(render.picture(explained(), labels=names), tmp_path)
    texts = drawn(render.picture(explained(target="all"), labels=names), tmp_path)
    assert any("\n" in text and "class 3" in text for text in texts)


def test_a_contrast_and_a_given_start_are_not_called_a_score():
    assert render.picture(explained(x=zoo.digits().images[3:4], target=3, contrast=8)).get_suptitle() == "class 3, value 8.201"
    e = lrp_ref.Explainer(zoo.load("digits"), "epsilon_plus")(zoo.digits().images[:1], start=np.ones((1, 10)))
    assert render.picture(e).get_suptitle() == "start with Σ R = 10"


def vector_model():
    rng = np.random.default_rng(0)
    return Model.sequential([L.Dense(rng.normal(size=(7, 5))), L.ReLU(), L.Dense(rng.normal(size=(5, 2)))])


@pytest.mark.parametrize("size", [7, 500])
def test_vectors_become_bars(size, tmp_path):
    rng = np.random.default_rng(1)
    model = Model.sequential([L.Dense(rng.normal(size=(size, 2)))])
    e = lrp_ref.explain(model, rng.normal(size=(1, size)), rule=rules.Epsilon(0.1))
    figure = render.picture(e)
    drawn(figure, tmp_path)
    _, below = figure.axes
    if size == 7:
        heights = np.array([bar.get_height() for bar in below.patches]).reshape(2, size).sum(axis=0)
        assert np.allclose(heights, e.relevance[0], rtol=1e-12, atol=0)
        for bar in below.patches:
            red, _, blue, _ = bar.get_facecolor()
            assert bar.get_height() == 0 or (red > blue) == (bar.get_height() > 0)
    assert below.get_ylim()[0] == -below.get_ylim()[1]


def test_vectors_of_several_targets_share_one_scale(tmp_path):
    figure = render.picture(lrp_ref.explain(vector_model(), np.ones((1, 7)), target="all"))
    drawn(figure, tmp_path)
    assert len(figure.axes) == 3
    assert figure.axes[1].get_ylim() == figure.axes[2].get_ylim()


def two_inputs(first, second):
    nodes = (
        Node("a1", first, ("a",)),
        Node("b1", second, ("b",)),
        Node("flat", L.Flatten(), ("a1",)),
        Node("sum", L.Add(), ("flat", "b1")),
    )
    return Model(nodes, inputs=("a", "b"))


def test_several_inputs_get_a_row_each(tmp_path):
    model = two_inputs(L.Conv(np.ones((1, 3, 2, 2))), L.Dense(np.ones((5, 1))))
    e = lrp_ref.explain(model, {"a": np.ones((1, 3, 2, 2)), "b": np.ones((1, 5))}, rule=rules.Zero())
    assert {"a", "b"} <= set(drawn(render.picture(e), tmp_path))
    several = lrp_ref.explain(model, {"a": np.ones((1, 3, 2, 2)), "b": np.ones((1, 5))}, rule=rules.Zero(), target="all")
    assert drawn(render.picture(several), tmp_path)


def test_an_all_zero_explanation_is_drawn_white(tmp_path):
    figure = render.picture(explained(x=np.zeros((1, 1, 8, 8), np.float32), composite="epsilon_plus"))
    drawn(figure, tmp_path)
    assert (images(figure.axes[1])[0] == 255).all()


def test_volumes_and_samples_that_do_not_exist_are_refused():
    model = Model.sequential([L.Conv(np.ones((1, 1, 2, 2, 2))), L.Flatten()])
    e = lrp_ref.explain(model, np.ones((1, 1, 2, 2, 2)), rule=rules.Zero())
    with pytest.raises(errors.ShapeError, match=r"samples of shape \(1, 2, 2, 2\); a picture needs"):
        render.picture(e)
    for sample in (2, -1):
        with pytest.raises(errors.ParameterError, match=f"no sample {sample} in an explanation of 2"):
            render.picture(explained(), sample=sample)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([0.0, 1.0]), [[[0, 0, 0], [255, 255, 255]]]),
        (np.array([[[5.0]], [[5.0]]]), [[[128, 128, 128]]]),
        (np.array([[[0.0, 2.0]], [[2.0, 4.0]]]), [[[0, 0, 0], [255, 255, 255]]]),
        (np.array([[[0.0]], [[1.0]], [[2.0]]]), [[[0, 128, 255]]]),
        (np.array([[[1, 2, 3]]], np.uint8), [[[1, 2, 3]]]),
    ],
    ids=["vector", "constant", "two channels are grey", "three are red, green, blue", "uint8 as it is"],
)
def test_inputs_as_images(x, expected):
    assert canvas.as_image(x).tolist() == expected


@pytest.mark.parametrize("width", [3, 4])
def test_an_image_as_wide_as_colours_are_many_keeps_its_channels_first(width):
    x = np.arange(2.0 * width).reshape(1, 2, width)
    assert canvas.as_image(x).tolist() == canvas.as_image(x[0]).tolist()


@pytest.mark.parametrize("style", ["heatmap", "overlay", "pattern"])
def test_a_style_is_one_panel_alone(style, tmp_path):
    e = explained()
    figure = render.picture(e, style=style)
    drawn(figure, tmp_path)
    assert len(figure.axes) == (1 if style == "pattern" else 2)  # a pattern has no scale
    shown = images(figure.axes[0])
    if style == "heatmap":
        assert np.array_equal(shown[0], render.heatmap(e.relevance[0]))
    elif style == "overlay":
        assert [image.shape[2] for image in shown] == [3, 4]
    else:
        positive = np.maximum(e.relevance[0].sum(axis=0), 0)
        expected = canvas.as_image(e.activations["input"][0]) * (positive / positive.max())[..., None]
        assert np.abs(shown[0].astype(float) - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("style", ["heatmap", "overlay", "pattern"])
def test_styles_of_several_targets_and_inputs(style, tmp_path):
    figure = render.picture(explained(target="all"), style=style)
    drawn(figure, tmp_path)
    assert "class 3\nscore 5.265" in [axes.get_title() for axes in figure.axes]


def test_the_contrast_names_the_classes_and_its_difference_has_a_scale_of_its_own(tmp_path):
    e = explained(targets=[[8, 3], [8, 3]])
    figure = render.picture(e, style="contrast")
    drawn(figure, tmp_path)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title.splitlines()[0] for title in titles] == ["input", "class 8", "class 3", "class 8"]
    assert titles[-1] == "class 8\nminus class 3"
    one, two = e.relevance[0].sum(axis=1).astype(np.float64)
    limit = max(np.abs(m).max() for m in (one, two))
    for axes, expected in zip(figure.axes[1:3], (one, two), strict=True):
        assert np.array_equal(images(axes)[0], render.heatmap(expected, limit=limit))
    assert np.array_equal(images(figure.axes[3])[0], render.heatmap(one - two))
    bars = [axes.get_ylim() for axes in figure.axes[4:]]
    assert max(max(np.abs(ends)) for ends in bars) == pytest.approx(max(limit, np.abs(one - two).max()))
    assert len(bars) == 2


def test_styles_that_do_not_fit_say_so():
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'overlay'"):
        render.picture(explained(), style="overlays")
    with pytest.raises(errors.ParameterError, match="compares two targets"):
        render.picture(explained(), style="contrast")
    with pytest.raises(errors.ParameterError, match="is for images"):
        render.picture(lrp_ref.explain(vector_model(), np.ones((1, 7))), style="overlay")


def test_in_fine_maps_single_cells_do_not_outshine_the_rest(tmp_path):
    values = np.ones((1, 1, 120, 120))
    values[0, 0, :2, :10] = 100.0  # 20 of 14400 cells
    model = Model.sequential([L.Flatten(), L.Dense(np.ones((14400, 1)))])
    figure = render.picture(lrp_ref.explain(model, values, rule=rules.Zero()), style="heatmap")
    texts = drawn(figure, tmp_path)
    map_, bar = figure.axes
    assert bar.get_ylim() == (0, 1)  # the sign that occurs
    assert any("beyond the scale: 0.139 % of the cells, which hold 12.2 % of Σ |R|" in text for text in texts)
    assert (images(map_)[0][5, 5] == render.scale()[-1]).all()
    small = render.picture(lrp_ref.explain(model_of(60), values[..., :60, :60], rule=rules.Zero()), style="heatmap")
    drawn(small, tmp_path)
    assert small.axes[1].get_ylim() == (0, 100)


def model_of(side):
    return Model.sequential([L.Flatten(), L.Dense(np.ones((side * side, 1)))])


# --- the ledger ---------------------------------------------------------------------------------------------------------


def test_the_ledger_is_drawn_as_two_curves_from_the_output_down(tmp_path):
    e = explained(rule=rules.Zero(), composite=None, keep="all")
    figure = render.ledger(e.ledger, sample=1)
    drawn(figure, tmp_path)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["dense1", "flatten1", "avgpool2", "relu3", "conv3", "avgpool1", "relu2", "conv2", "relu1", "conv1", "input"]
    curves = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.get_lines()}
    kept = [e.at(name)[1].astype(np.float64) for name in names]
    # Sums of float32 relevance in another order: 1e-5 of the turnover is a hundred roundings.
    assert np.allclose(curves["Σ R"], [r.sum() for r in kept], rtol=1e-5, atol=1e-5)
    assert np.allclose(curves["Σ |R|"], [np.abs(r).sum() for r in kept], rtol=1e-5)


def test_a_ledger_of_several_targets_shows_the_first_and_other_samples_are_refused(tmp_path):
    ledger = explained(target="all").ledger
    assert drawn(render.ledger(ledger), tmp_path)
    with pytest.raises(errors.ParameterError, match="no sample 2 in a ledger of 2"):
        render.ledger(ledger, sample=2)


def test_where_several_nodes_read_the_input_the_last_place_is_all_of_it():
    nodes = (
        Node("up", L.Dense(np.ones((2, 1))), ("input",)),
        Node("down", L.Dense(np.ones((2, 1))), ("input",)),
        Node("sum", L.Add(), ("up", "down")),
    )
    e = lrp_ref.explain(Model(nodes), np.ones((1, 2)), rule=rules.Zero(), ledger=True)
    (axes,) = render.ledger(e.ledger).axes
    assert axes.get_xticklabels()[-1].get_text() == "input"
    curves = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.get_lines()}
    assert curves["Σ R"].tolist() == [4, 4, 4]  # not one branch's 2


# --- the grid -----------------------------------------------------------------------------------------------------------


def test_the_grid_puts_every_map_in_its_place(tmp_path):
    inputs = [np.array([[[0.0, 1.0]]]), np.array([[[1.0, 0.0]]])]
    maps = [[np.array([[[1.0, 0.0]]]), np.array([[[0.0, -1.0]]])], [np.array([[[-1.0, 0.0]]]), np.array([[[0.0, 1.0]]])]]
    figure = render.grid(inputs, maps, rows=["one", "two"], columns=["A", "B"], groups=(("both", 2),), title="A title")
    assert {"one", "two", "A", "B", "both", "input", "A title"} <= set(drawn(figure, tmp_path))
    (image,) = images(figure.axes[0])
    height, width = image.shape[0] // 2, image.shape[1] // 3
    scale = render.scale()
    for row, column, half, colour in [
        (0, 1, 0, scale[-1]),
        (0, 2, 1, scale[0]),
        (1, 1, 0, scale[0]),
        (1, 2, 1, scale[-1]),
        (0, 1, 1, WHITE),
    ]:
        y, x = int((row + 0.5) * height), int((column + 0.25 + 0.5 * half) * width)
        assert image[y, x].tolist() == list(colour), (row, column, half)


@pytest.mark.parametrize("title", ["", "A title"])
@pytest.mark.parametrize("groups", [(), (("a group", 2),)])
@pytest.mark.parametrize("lines", [1, 3])
def test_labels_of_the_grid_are_whole_and_apart(tmp_path, title, groups, lines):
    x = np.zeros((1, 2, 2))
    columns = ["\n".join(["column"] * lines)] * 2
    figure = render.grid(
        [x], [[x, x]], rows=["a label of\nmore than twenty letters"], columns=columns, groups=groups, title=title
    )
    drawn(figure, tmp_path)
    maps, bar = figure.axes
    texts = [*maps.get_xticklabels(), *maps.get_yticklabels(), *maps.texts, *bar.get_xticklabels(), *figure.texts]
    assert len(texts) == 1 + 3 + 3 + len(groups) + bool(title)
    boxes = [text.get_window_extent() for text in texts]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_the_grid_wants_as_many_labels_as_maps():
    with pytest.raises(errors.ShapeError, match="2 × 1 labels need as many maps, found 1 inputs"):
        render.grid([np.zeros((1, 2, 2))], [[np.zeros((1, 2, 2))]], rows=["a", "b"], columns=["c"])


# --- what drawing does not do -------------------------------------------------------------------------------------------


def isolated(code):
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_drawing_leaves_pyplot_alone_and_importing_draws_nothing():
    done = isolated(
        "from lrp_ref import render\nassert 'matplotlib' not in sys.modules\n"
        "render.heatmap([[1.0]])\nassert 'matplotlib' not in sys.modules\n"
        "render.grid([[[1.0]]], [[[[1.0]]]], rows=['a'], columns=['b']).canvas\nassert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_a_figure_names_the_extra_and_heatmaps_work(monkeypatch):
    e = explained()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "lrp_ref.render.drawing", raising=False)
    assert render.heatmap(e.relevance[0]).shape == (8, 8, 3)
    for draw in (lambda: render.picture(e), lambda: render.ledger(e.ledger)):
        with pytest.raises(errors.MissingExtraError, match=r"a picture needs matplotlib: pip install 'lrp_ref\[plot\]'"):
            draw()
