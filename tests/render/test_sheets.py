"""Pictures as pixels: what many of them share is drawn once, and each is the picture that matplotlib draws alone."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import lrp_ref
from lrp_ref import Model, Node, render, rules, zoo
from lrp_ref import layers as L
from lrp_ref.cli import records
from lrp_ref.render import canvas, maps, panels

RNG = np.random.default_rng(7)


def digit(k=3, **choices):
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[k : k + 1], composite="epsilon_gamma_box", ledger=True, **choices)
    return e, None


def photograph(side=130, scale=1.0, width=None):
    """A network of one layer on noise, whose relevance is that of a photograph: many cells, and a few peaks."""
    x = RNG.normal(size=(1, 3, side, width or side)) * scale
    e = lrp_ref.explain(Model.sequential([L.Flatten(), L.Dense(RNG.normal(size=(x.size, 2)))]), x, rule=rules.Zero())
    return e, RNG.integers(0, 256, size=(side, width or side, 3)).astype(np.uint8)


def two_inputs():
    nodes = (
        Node("a1", L.Conv(np.ones((1, 3, 2, 2))), ("a",)),
        Node("b1", L.Dense(np.ones((9, 1))), ("b",)),
        Node("flat", L.Flatten(), ("a1",)),
        Node("sum", L.Add(), ("flat", "b1")),
    )
    x = {"a": RNG.normal(size=(1, 3, 2, 2)), "b": RNG.normal(size=(1, 9))}
    return lrp_ref.explain(Model(nodes, inputs=("a", "b")), x, rule=rules.Zero()), None


def difference(found, expected):
    """The largest step at each pixel."""
    assert found.shape == expected.shape
    return np.abs(found.astype(int) - expected.astype(int)).max(axis=2)


CASES = {
    "a digit": (digit, {}),
    "its heatmap": (digit, {"style": "heatmap"}),
    "its overlay": (digit, {"style": "overlay"}),
    "its pattern, which has no scale": (digit, {"style": "pattern"}),
    "a long name": (digit, {"labels": [" ".join(["a long name of a class"] * 6)] * 10}),
    "a name that looks like a formula": (digit, {"labels": ["$x^2$ \\alpha"] * 10}),
    "a photograph": (photograph, {}),
    "small numbers, with a power of ten above the scale": (lambda: photograph(scale=1e-7), {}),
    "large numbers": (lambda: photograph(scale=1e7), {}),
    "a wide photograph": (lambda: photograph(110, width=170), {}),
    "a line, which is stretched": (lambda: photograph(4, width=60), {}),
    "two inputs": (two_inputs, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_pixels_are_those_that_matplotlib_draws(case):
    """But for two of 256 steps of a colour where one lies over the other.

    Older versions of matplotlib draw an image that ends with a pixel one pixel too wide: some cells begin a pixel later.
    """
    make, options = CASES[case]
    e, x = make()
    alone = render.pixels(render.picture(e, x, **options), 150)
    found = render.Sheets(150).pixels(e, x, **options)
    assert found.dtype == np.uint8
    beside = [np.roll(alone, (up, left), axis=(0, 1)) for up in (-1, 0, 1) for left in (-1, 0, 1)]
    assert np.min([difference(found, shifted) for shifted in beside], axis=0).max() <= 2
    assert (difference(found, alone) > 2).mean() < 0.1


def test_cells_that_are_smaller_than_pixels_are_averaged_as_matplotlib_does():
    ramp = np.add.outer(np.linspace(0, 1, 450), np.linspace(-1, 1, 450))  # smooth: in noise two ways to average differ
    model = Model.sequential([L.Flatten(), L.Dense(ramp.reshape(-1, 1))])
    e = lrp_ref.explain(model, np.ones((1, 1, 450, 450)), rule=rules.Zero())
    x = (60 * (ramp + 1)).astype(np.uint8)[..., None].repeat(3, axis=2)
    off = difference(render.Sheets(150).pixels(e, x), render.pixels(render.picture(e, x), 150))
    assert (off > 6).mean() < 1e-3


def test_a_picture_is_the_same_wherever_it_lies():
    pictures = [photograph(scale=s) for s in (1.0, 1e-6, 30.0)] + [digit(4), digit(7)]
    alone = [render.Sheets(60).pixels(e, x) for e, x in pictures]
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 1, 3, 1, 0]):
        shared = render.Sheets(60)
        for i in order:
            assert np.array_equal(shared.pixels(*pictures[i]), alone[i])


def test_what_pictures_share_is_drawn_once(monkeypatch):
    drawn = []
    whole = panels.Frame.figure
    monkeypatch.setattr(panels.Frame, "figure", lambda self, *limit: drawn.append(self) or whole(self, *limit))
    shared = render.Sheets(60)
    for k in (3, 4, 5):
        shared.pixels(*digit(k))
    assert len(drawn) == 1
    shared.pixels(*digit(3), style="heatmap")
    assert len(drawn) == 2


def test_pictures_of_bars_and_of_several_targets_are_drawn_as_they_are():
    e, _ = digit(target="all")
    assert np.array_equal(render.Sheets(60).pixels(e), render.pixels(render.picture(e), 60))
    bars = lrp_ref.explain(Model.sequential([L.Dense(np.ones((7, 2)))]), np.ones((1, 7)))
    assert np.array_equal(render.Sheets(60).pixels(bars), render.pixels(render.picture(bars), 60))


@pytest.mark.parametrize("style", ["heatmap", "pattern"])
def test_a_panel_begins_and_ends_with_a_pixel_and_its_frame_covers_no_cell(style):
    e, x = photograph(123)
    content = maps.content_of(e, x, style=style)
    found = render.Sheets(150).pixels(e, x, style=style)
    ((box,),) = panels.panels_of(content, e, 0).frame.boxes
    edges = [150 * length for length in (box[0], box[1], box[0] + box[2], box[1] + box[3])]
    left, base, right, top = map(round, edges)
    assert edges == pytest.approx([left, base, right, top], abs=1e-6)
    assert right - left == top - base == 492
    rows = slice(len(found) - top, len(found) - base)
    (image,) = content.maps[0].layers(style, content.limit, content.look)
    assert np.array_equal(found[rows, left:right], image.repeat(4, axis=0).repeat(4, axis=1))  # 492 = 4 · 123
    assert (found[rows][:, [left - 1, right]] < 255).all()


def test_of_more_facts_a_picture_is_higher_and_its_panels_are_as_large():
    e, x = photograph()
    few = panels.panels_of(maps.content_of(e, x), e, 0)
    more = panels.panels_of(maps.content_of(e, x), replace(e, cautions=("a word of caution " * 30,)), 0)
    assert more.frame.lines[1] > few.frame.lines[1]
    assert more.frame.size[1] > few.frame.size[1]
    assert [box[2:] for box in more.frame.boxes[0]] == [box[2:] for box in few.frame.boxes[0]]
    assert canvas.characters(few.frame.size[0]) > 100


# --- files --------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_png_holds_its_pixels(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, size=(height, width, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(render.png(pixels, 150))) as read:
        read.verify()
    with Image.open(io.BytesIO(render.png(pixels, 150))) as read:
        assert (read.mode, read.format) == ("RGB", "PNG")
        assert np.array_equal(np.asarray(read), pixels)
        assert read.info["dpi"] == pytest.approx((150, 150), abs=0.02)


# --- what the report says of a sample ------------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(1, 6))
def test_the_least_values_are_the_first_of_those_that_are_equal(values, count):
    array = np.array(values, dtype=np.float64)
    assert sorted(records.smallest(array, count)) == sorted(np.argsort(array, kind="stable")[:count].tolist())
