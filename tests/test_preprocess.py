"""From images to arrays, and what is said about arrays that do not fit."""

import re
import sys

import numpy as np
import pytest
from PIL import Image

from lrp_ref import Domain, Model, Node, errors, preprocess
from lrp_ref import layers as L


def model(channels=1, size=(4, 6), domain=(0.0, 1.0), dtype=np.float32, **options):
    kernel = np.ones((1, channels, 1, 1), dtype)
    shape = (channels, *size) if size else None
    return Model.sequential([L.Conv(kernel)], domain=domain, input_shape=shape, **options)


def saved(tmp_path, image, name="x.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def read(tmp_path, image, name="x.png", **options):
    return np.asarray(preprocess.read_image(saved(tmp_path, image, name, **options)))


GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=2)

# --- reading ------------------------------------------------------------------------------------------------------------


def test_grey_and_colour_images_are_read_as_they_are(tmp_path):
    assert np.array_equal(read(tmp_path, Image.fromarray(GREY)), GREY)
    assert np.array_equal(read(tmp_path, Image.fromarray(COLOUR)), COLOUR)


def test_transparency_is_laid_on_white(tmp_path):
    alpha = np.zeros((4, 6, 4), np.uint8)
    alpha[0, 0] = (10, 20, 30, 255)
    found = read(tmp_path, Image.fromarray(alpha))
    assert found[0, 0].tolist() == [10, 20, 30]
    assert (found[1:] == 255).all()
    grey = np.zeros((4, 6, 2), np.uint8)
    grey[0, 0] = (10, 255)
    found = read(tmp_path, Image.merge("LA", [Image.fromarray(grey[..., 0]), Image.fromarray(grey[..., 1])]))
    assert found.shape == (4, 6)
    assert found[0, 0] == 10
    assert found[1, 1] == 255


def test_a_palette_becomes_colours(tmp_path):
    palette = Image.fromarray(COLOUR).convert("P")
    assert read(tmp_path, palette, "x.gif").shape == (4, 6, 3)
    assert read(tmp_path, Image.fromarray(GREY > 100)).tolist() == (255 * (GREY > 100)).tolist()


def test_sixteen_bits_keep_their_place(tmp_path):
    deep = (GREY.astype(np.uint16) // 2) * 257
    assert np.array_equal(read(tmp_path, Image.fromarray(deep)), GREY // 2)
    dark = np.array([[0, 100]], np.uint16)  # a dark image is not brightened
    assert read(tmp_path, Image.fromarray(dark)).tolist() == [[0, 0]]


def test_a_photograph_taken_sideways_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned: the first row is the right-hand side
    found = read(tmp_path, Image.fromarray(GREY), exif=exif)
    assert np.array_equal(found, np.rot90(GREY, -1))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no image at all", "no image that Pillow can read"), (b"", "no image that Pillow can read"), (None, "No such file")],
)
def test_what_is_no_image_says_so(tmp_path, content, message):
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.FormatError, match=message) as caught:
        preprocess.read_image(path)
    assert str(path) in str(caught.value)


def test_a_broken_image_says_so(tmp_path):
    path = saved(tmp_path, Image.fromarray(COLOUR.repeat(30, axis=0).repeat(30, axis=1)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(errors.FormatError, match="cannot be read"):
        preprocess.read_image(path)


@pytest.mark.parametrize("limit", [20, 5])
def test_an_image_of_absurd_size_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, limit):
    path = saved(tmp_path, Image.fromarray(GREY))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # Pillow warns above it and raises above its double
    with pytest.raises(errors.FormatError, match="decompression bomb"):
        preprocess.read_image(path)


def test_an_image_of_floats_is_refused(tmp_path):
    with pytest.raises(errors.FormatError, match=r"no known range; give it as \.npy"):
        read(tmp_path, Image.fromarray(GREY.astype(np.float32)), "x.tif")


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(errors.MissingExtraError, match=r"needs Pillow: pip install 'lrp_ref\[plot\]'"):
        preprocess.read_image("x.png")


# --- into the model's shape and domain -----------------------------------------------------------------------------------


def test_black_and_white_meet_the_ends_of_the_domain_exactly():
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8))
    for low, high in [(0.0, 1.0), (-1.0, 1.0), (-0.9, 0.7), (0.0, 255.0)]:
        sample = preprocess.array_of(image, model(size=(2, 2), domain=(low, high), dtype=np.float64))
        assert sample.tolist() == [[[low, high], [high, low]]]


def test_bounds_of_each_channel_hold_for_it():
    low, high = np.array([-1.0, 0.0, 1.0]).reshape(3, 1, 1), np.array([1.0, 5.0, 2.0]).reshape(3, 1, 1)
    white = Image.new("RGB", (6, 4), "white")
    sample = preprocess.array_of(white, model(3, domain=(low, high)))
    assert sample[:, 0, 0].tolist() == [1, 5, 2]


def test_the_presets_differ_in_the_scale_alone():
    image = Image.fromarray(GREY)
    unit, none = (preprocess.array_of(image, model(), preprocessing=p) for p in ("unit", "none"))
    assert np.array_equal(none[0], GREY)
    assert np.allclose(unit * 255, none, rtol=1e-6)
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'unit'"):
        preprocess.array_of(image, model(), preprocessing="units")


def test_the_number_type_is_the_models_and_layout_is_channels_first():
    sample = preprocess.array_of(Image.fromarray(COLOUR), model(3), preprocessing="none")
    assert sample.dtype == np.float32
    assert np.array_equal(sample, np.moveaxis(COLOUR, 2, 0))
    exact = model(dtype=np.float64).astype(object)
    assert preprocess.array_of(Image.fromarray(GREY), exact).dtype == np.float64


def test_images_become_grey_or_colour_as_the_channels_demand():
    grey, colour = Image.fromarray(GREY), Image.fromarray(COLOUR)
    three = preprocess.array_of(grey, model(3), preprocessing="none")
    assert np.array_equal(three, np.stack([GREY] * 3))
    assert preprocess.array_of(colour, model(1)).shape == (1, 4, 6)
    with pytest.raises(errors.ShapeError, match="1 or 3 channels, and the model's input 5"):
        preprocess.array_of(grey, model(5))


def test_images_are_resized_to_the_models_size_or_keep_their_own():
    plain = Image.new("L", (50, 30), 51)
    resized = preprocess.array_of(plain, model())
    assert resized.shape == (1, 4, 6)
    assert np.allclose(resized, 0.2)
    assert preprocess.array_of(plain, model(size=None, domain=None)).shape == (1, 30, 50)


def test_inputs_without_a_channel_axis_take_grey_images():
    flat = Model.sequential([L.Flatten()], input_shape=(4, 6))
    assert preprocess.array_of(Image.fromarray(GREY), flat, preprocessing="none").tolist() == GREY.tolist()


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (Model.sequential([L.Dense(np.ones((5, 2)))], input_shape=(5,)), errors.ShapeError, r"shape \(5,\); an image fits"),
        (Model.sequential([L.Dense(np.ones((5, 2)))]), errors.ShapeError, "does not state the shape of 'input'"),
        (Model((Node("sum", L.Add(), ("a", "b")),), inputs=("a", "b")), errors.GraphError, "name the image's: a, b"),
    ],
)
def test_models_that_take_no_image_say_so(network, error, message):
    with pytest.raises(error, match=message):
        preprocess.array_of(Image.fromarray(GREY), network)


def test_a_domain_that_does_not_fit_the_image_says_so():
    network = model(size=None, domain=(np.zeros((7, 7)), np.ones((7, 7))))
    with pytest.raises(errors.ShapeError, match="does not broadcast against an image"):
        preprocess.array_of(Image.fromarray(GREY), network)


# --- whether an array fits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "domain", "message"),
    [
        ([0.0, 200.0], Domain(0, 1), r"lie in \[0, 200\], 1 of 2 outside the model's domain \[0.0, 1.0\]"),
        ([-0.1, 1.0], Domain(0, 1), "1 of 2 outside"),
        ([0.0, 1.0], Domain(0, 255), r"a small part of the model's domain \[0.0, 255.0\]"),
        ([0.3, 0.3], Domain(0, 1), "a small part"),
        ([0.0, 1.0, 0.5], Domain([0, 0], [1, 1]), "does not broadcast"),
    ],
)
def test_a_range_that_does_not_fit_is_described(x, domain, message):
    assert re.search(message, preprocess.misfit(np.array(x), domain))


@pytest.mark.parametrize(
    ("x", "domain"),
    [
        ([0.0, 1.0], Domain(0, 1)),
        ([0.2, 0.9], Domain(0, 1)),
        ([0.0, 1 + 9e-6], Domain(0, 1)),
        ([5.0, 9.0], None),
        ([], Domain(0, 1)),
        ([0.5], Domain(0, 1)),
    ],
)
def test_a_range_that_fits_is_not_remarked_upon(x, domain):
    assert preprocess.misfit(np.array(x), domain) is None
