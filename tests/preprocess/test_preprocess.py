"""From images to arrays, and what is said about arrays that do not fit."""

import re
import sys
from dataclasses import replace

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


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "tif"), ("CMYK", "jpg"), ("YCbCr", "jpg"), ("P", "png")])
def test_other_colour_spaces_become_rgb(tmp_path, mode, suffix):
    plain = Image.new("RGB", (16, 16), (200, 40, 90))
    image = plain.quantize(4) if mode == "P" else plain.convert(mode)
    found = read(tmp_path, image, f"x.{suffix}").astype(int)
    assert found.shape == (16, 16, 3)
    # JPEG rounds; channels in another order, or inverted, would be off by more.
    assert np.abs(found - [200, 40, 90]).max() <= 4


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.gif", "x.tif", "x.webp", "x.bmp"])
def test_damaged_images_are_read_or_refused_never_anything_else(tmp_path, name):
    random = np.random.default_rng(0)
    path = saved(tmp_path, Image.fromarray(NOISE), name)
    whole = path.read_bytes()
    messages = []
    for _ in range(60):
        content = bytearray(whole[: random.integers(1, len(whole) + 1)] if random.random() < 0.3 else whole)
        for place in random.integers(0, min(len(content), 400), size=random.integers(1, 6)):
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        try:
            assert preprocess.read_image(path).mode in ("L", "RGB")
        except errors.FormatError as error:
            messages.append(str(error))
    assert messages
    assert all(message.startswith(str(path)) for message in messages)


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
    with pytest.raises(errors.ShapeError, match="1 or 3 channels, and the model's input has 5"):
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


# --- the record ----------------------------------------------------------------------------------------------------------

NOISE = np.random.default_rng(3).integers(0, 256, size=(30, 45, 3)).astype(np.uint8)


def by_hand(image, size, crop, order, scale, mean, std):
    """The definition, step by step: cut, resize, order, scale, shift, divide."""
    left, top, right, bottom = crop
    pixels = np.asarray(image.crop((left, top, right, bottom)).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
    if order == "BGR":
        pixels = np.stack([pixels[..., 2], pixels[..., 1], pixels[..., 0]], axis=-1)
    channels = [(pixels[..., c] * scale - mean[c]) / std[c] for c in range(3)]
    return np.stack(channels)


def test_caffe_is_the_square_in_the_middle_blue_first_minus_the_mean():
    image = Image.fromarray(NOISE)
    expected = by_hand(image, (20, 20), (7, 0, 37, 30), "BGR", 1.0, (104, 117, 123), (1, 1, 1))
    found = replace(preprocess.PRESETS["caffe"], size=20)(image)
    assert np.array_equal(found, expected)


def test_imagenet_is_torchvisions():
    """Resize(256), CenterCrop(224), ToTensor, Normalize: the shorter side, the longer one rounded down, halves to even."""
    image = Image.fromarray(NOISE)
    resized = image.resize((384, 256), Image.Resampling.BILINEAR)
    expected = by_hand(resized, (224, 224), (80, 16, 304, 240), "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert np.array_equal(replace(preprocess.PRESETS["imagenet"], size=224)(image), expected)
    fixed = replace(preprocess.PRESETS["imagenet"], size=256, crop=224)
    assert np.array_equal(fixed(image), expected)
    assert fixed.result == (224, 224)


@pytest.mark.parametrize(("turned", "resized"), [(False, (354, 341)), (True, (341, 354))])
def test_a_fraction_and_the_longer_side_are_rounded_down(turned, resized):
    """299 / 0.875 = 341.7 becomes 341, and 341 · 208 / 200 = 354.6 becomes 354, as torchvision's and timm's have it."""
    image = Image.fromarray(np.random.default_rng(4).integers(0, 256, size=(200, 208, 3)).astype(np.uint8))
    image = image.transpose(Image.Transpose.TRANSPOSE) if turned else image
    whole = np.asarray(image.resize(resized, Image.Resampling.BILINEAR))
    top, left = (round((extent - 299) / 2) for extent in whole.shape[:2])
    expected = whole[top : top + 299, left : left + 299].transpose(2, 0, 1)
    assert np.array_equal(preprocess.Preprocessing(299, 0.875)(image), expected)


@pytest.mark.parametrize(
    ("size", "crop", "shape"),
    [
        (None, None, (30, 45)),
        (10, None, (10, 10)),
        ((10, 20), None, (10, 20)),
        (None, "square", (30, 30)),
        (12, "square", (12, 12)),
        ((5, 20), "square", (5, 20)),
        (12, 0.5, (12, 12)),
        ((6, 18), 0.75, (6, 18)),
        (None, 20, (20, 20)),
        (None, (20, 40), (20, 40)),
        (24, (24, 30), (24, 30)),
        ((40, 40), 40, (40, 40)),
    ],
)
def test_sizes_and_crops(size, crop, shape):
    recipe = preprocess.Preprocessing(size, crop)
    assert recipe(Image.fromarray(NOISE)).shape == (3, *shape)
    assert recipe.cut(Image.fromarray(NOISE)).size == shape[::-1]


def test_a_crop_without_a_size_moves_no_pixel():
    image = Image.fromarray(NOISE)
    assert np.array_equal(preprocess.Preprocessing(crop=(20, 41))(image), NOISE[5:25, 2:43].transpose(2, 0, 1))
    assert np.array_equal(preprocess.Preprocessing(crop="square")(image), NOISE[:, 7:37].transpose(2, 0, 1))
    # Halves go to the even side, as torchvision has it: 12.5 to 12, 11.5 to 12.
    assert np.array_equal(preprocess.Preprocessing(crop=(30, 20))(image), NOISE[:, 12:32].transpose(2, 0, 1))
    assert np.array_equal(preprocess.Preprocessing(crop=(30, 22))(image), NOISE[:, 12:34].transpose(2, 0, 1))
    upright = Image.fromarray(NOISE.transpose(1, 0, 2))
    assert np.array_equal(preprocess.Preprocessing(crop="square")(upright), NOISE[:, 7:37].transpose(2, 1, 0))


@pytest.mark.parametrize("recipe", [*preprocess.PRESETS.values(), preprocess.Preprocessing(mean=(1, -2, 3), std=(0.5, 2, 0.1))])
@pytest.mark.parametrize("layout", ["CHW", "HWC"])
def test_the_domain_is_what_black_and_white_become(recipe, layout):
    made = replace(recipe, size=2, layout=layout)
    low, high = (made(Image.new("RGB", (2, 2), colour)) for colour in ("black", "white"))
    assert np.array_equal(np.broadcast_to(made.domain.low, low.shape), low)
    assert np.array_equal(np.broadcast_to(made.domain.high, high.shape), high)
    assert made.domain.low.size == (3 if recipe.channels else 1)
    noise = made(Image.fromarray(NOISE))
    assert ((noise >= made.domain.low) & (noise <= made.domain.high)).all()


def test_layouts():
    image = Image.fromarray(NOISE)
    first = preprocess.Preprocessing()(image)
    assert np.array_equal(preprocess.Preprocessing(layout="HWC")(image), np.moveaxis(first, 0, 2))
    grey = preprocess.Preprocessing(layout="HW", channels=1)(image)
    assert np.array_equal(grey, np.asarray(image.convert("L")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "number of pixels from 1 to 32768, found 0"),
        ({"size": True}, "number of pixels"),
        ({"size": (1, 2, 3)}, r"one number, or \(height, width\)"),
        ({"size": 10**9}, "number of pixels"),
        ({"crop": "middle"}, '"square", a fraction, or a size'),
        ({"crop": 1.5}, "between 0.01 and 1"),
        ({"crop": float("nan")}, "between 0.01 and 1"),
        ({"mean": (1, 2)}, "one number or three, found 2"),
        ({"mean": "1"}, "finite numbers"),
        ({"std": float("inf")}, "finite numbers"),
        ({"std": (1, 0, 1)}, "must be positive"),
        ({"scale": -1}, "must be positive"),
        ({"order": "GBR"}, "one of RGB, BGR, found 'GBR'"),
        ({"layout": "CWH"}, "one of CHW, HWC, HW"),
        ({"resample": "box"}, "one of nearest, bilinear, bicubic, lanczos"),
        ({"channels": 2}, "one of 1, 3"),
        ({"mean": (1, 2, 3), "channels": 1}, "must be 1 or 1, as there are channels"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(options, message):
    with pytest.raises(errors.ParameterError, match=message):
        preprocess.Preprocessing(**options)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (preprocess.Preprocessing(crop=0.5), "a crop of 0.5 needs size="),
        (preprocess.Preprocessing(crop=31), "30 × 45 pixels is smaller than the crop of 31 × 31"),
        (preprocess.Preprocessing(size=2**15), "cannot be resized to 32768 × 32768"),
    ],
)
def test_images_that_cannot_be_cut_say_so(recipe, message):
    with pytest.raises(errors.ShapeError, match=message):
        recipe(Image.fromarray(NOISE))


def test_an_image_of_absurd_proportions_is_not_blown_up():
    with pytest.raises(errors.ShapeError, match="cannot be resized to 256 × 5120000"):
        preprocess.Preprocessing(size=256, crop=224)(Image.new("L", (20000, 1)))


# --- fitted to a model ---------------------------------------------------------------------------------------------------


def test_what_the_models_input_says_is_filled_in():
    found = preprocess.fitted("imagenet", model(3, (20, 20)))
    assert (found.size, found.layout, found.channels) == ((20, 20), "CHW", 3)
    last = Model.sequential([L.Transpose((0, 3, 1, 2)), L.Conv(np.ones((1, 3, 1, 1)))], input_shape=(20, 30, 3))
    found = preprocess.fitted("caffe", last)
    assert (found.size, found.layout, found.channels) == ((20, 30), "HWC", 3)
    assert preprocess.array_of(Image.fromarray(NOISE), last, preprocessing="caffe").shape == (20, 30, 3)
    assert preprocess.fitted("unit", model(size=None)).size is None
    odd = Model.sequential([L.Flatten()], input_shape=(1, 8, 3))  # 1 × 8 × 3, or 8 pixels of a row in colour
    assert preprocess.fitted("none", odd).layout == "CHW"
    assert preprocess.fitted(preprocess.Preprocessing(layout="HWC"), odd).result == (1, 8)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("imagenet", "makes 3 channel\\(s\\), and the model's input has 1"),
        (preprocess.Preprocessing(size=5), "makes images of 5 × 5 pixels, and the model's input takes 4 × 6"),
        (preprocess.Preprocessing(layout="HW"), "layout='HW' does not fit samples of shape"),
    ],
)
def test_a_preprocessing_that_does_not_fit_says_so(recipe, message):
    with pytest.raises(errors.ShapeError, match=message):
        preprocess.fitted(recipe, model())


def test_a_model_gets_the_domain_of_its_preprocessing_and_keeps_all_else():
    before = Model(
        (Node("conv", L.Conv(np.ones((1, 3, 1, 1), np.float32)), ("a",)), Node("relu", L.ReLU(), ("b",))),
        ("a", "b"), domain={"b": (0, 1)}, input_shape={"a": (3, 4, 6), "b": (2,)}, default_dtype=np.float32,
    )  # fmt: skip
    after = preprocess.with_domain(before, preprocess.PRESETS["caffe"], "a")
    assert after.domain["a"].low.ravel().tolist() == [-104, -117, -123]
    assert after.domain["a"].low.dtype == np.float32
    assert after.domain["b"] is before.domain["b"]
    assert (after.nodes, after.outputs, after.input_shape) == (before.nodes, before.outputs, before.input_shape)
    assert preprocess.with_domain(model(), (2, 3)).domain["input"].low == 2
    with pytest.raises(errors.GraphError, match="name the image's"):
        preprocess.with_domain(before, (0, 1))


def test_no_pixel_leaves_the_domain_in_single_precision():
    network = model(3, (30, 45))
    recipe = replace(preprocess.PRESETS["imagenet"], crop=None)
    made = preprocess.with_domain(network, recipe)
    extremes = Image.fromarray(NOISE // 128 * 255)
    x = preprocess.array_of(extremes, made, preprocessing=recipe)
    low, high = made.domain["input"].low, made.domain["input"].high
    assert x.dtype == low.dtype == np.float32
    assert ((x >= low) & (x <= high)).all()
    assert ((x == low).any(axis=(1, 2)) & (x == high).any(axis=(1, 2))).all()


# --- stored ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [*preprocess.PRESETS.values(), preprocess.Preprocessing((3, 4), (2, 2), (1, 2, 3), 2.0, 0.25, "BGR", "HWC", "bicubic", 3)],
)
def test_a_preprocessing_is_stored_as_json_and_read_again(tmp_path, recipe):
    path = preprocess.beside(tmp_path / "net.onnx")
    assert path.name == "net.preprocess.json"
    path.write_text(preprocess.text_of(recipe))
    assert preprocess.load(path) == recipe


def test_a_preset_with_changes_and_a_quotient_are_read(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"preset": "imagenet", "size": 342, "crop": 299, "resample": "bicubic"}')
    assert preprocess.load(path) == replace(preprocess.PRESETS["imagenet"], size=342, crop=299, resample="bicubic")
    path.write_text('{"scale": "1/255"}')
    assert preprocess.load(path) == preprocess.PRESETS["unit"]
    path.write_text('{"preset": "imagenet", "mean": 0.5, "std": 0.5}')
    assert preprocess.load(path).channels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no preprocessing"),
        ("[]", "is an object such as"),
        ('{"preset": "imagnet"}', "Did you mean 'imagenet'"),
        ('{"preset": 3}', "unknown preset"),
        ('{"meen": 3}', "Did you mean 'mean'"),
        ('{"scale": "1/0"}', "a quotient such as 1/255"),
        ('{"scale": NaN}', "NaN is no number"),
        ('{"size": 1e3}', "number of pixels"),
        ('{"mean": [1, null, 3]}', "finite numbers"),
        ('{"mean": {"r": 1}}', "finite numbers"),
        ('{"order": ["RGB"]}', "one of RGB, BGR"),
        ("[" * 5000, "no preprocessing"),
        ('{"a": "' + "x" * 70000 + '"}', "too long"),
    ],
)
def test_a_file_that_is_no_preprocessing_says_so(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(errors.FormatError, match=message) as caught:
        preprocess.load(path)
    assert str(path) in str(caught.value)


def test_what_follows_a_models_domain_is_not_stored():
    with pytest.raises(errors.ParameterError, match="cannot be saved by itself"):
        preprocess.text_of(preprocess.fitted(None, model()))


def test_a_preprocessing_in_words():
    words = preprocess.described(preprocess.fitted("imagenet", model(3, (20, 20))))
    assert words == "crop 0.875, 20 × 20, RGB, · 1/255, minus (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)"
    assert (
        preprocess.described(preprocess.Preprocessing(256, 224, resample="bicubic"))
        == "resized to 256, crop 224 × 224, bicubic, RGB"
    )
    bounds = (np.array([-1, -2, -3]).reshape(3, 1, 1), np.array([1, 2, 3]).reshape(3, 1, 1))
    words = preprocess.described(preprocess.fitted(None, model(3, domain=bounds)))
    assert words == "resized to 4 × 6, black and white become [(-1, -2, -3), (1, 2, 3)]"


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
