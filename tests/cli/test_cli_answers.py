"""What `lrp-ref explain` answers: places of an image, features by name, classes by name, and files of every kind."""

import json

import numpy as np
import pytest
from PIL import Image

import lrp_ref
from lrp_ref import Model, zoo
from lrp_ref import layers as L
from lrp_ref.cli import codes, labels
from lrp_ref.cli.app import commands
from lrp_ref.cli.grouped_help import GROUPS
from support.cli_runner import run

PLACES = (
    *("upper left", "upper centre", "upper right"),
    *("centre left", "centre", "centre right"),
    *("lower left", "lower centre", "lower right"),
)
NAMES = ("tench, Tinca tinca", "crane", "espresso", "espresso maker", "crane", "tiger cat", "oystercatcher")


@pytest.fixture
def three(tmp_path):
    np.save(tmp_path / "three.npy", zoo.digits().images[3])
    return tmp_path / "three.npy"


def stored(layers, shape, path):
    return lrp_ref.save(Model.sequential(layers, input_shape=shape), path)


def summing(shape, path):
    """A network whose score is the sum of its pixels: under LRP-0 the relevance is the input."""
    return stored([L.Flatten(), L.Dense(np.ones((int(np.prod(shape)), 1)))], shape, path)


# --- places --------------------------------------------------------------------------------------------------------------


def places_of(tmp_path, image):
    np.save(tmp_path / "x.npy", image)
    model = summing(image.shape, tmp_path / "m.npz")
    target = run("explain", model, tmp_path / "x.npy", "--rule", "*=Zero()", "--json").document["explanations"][0]["targets"][0]
    return target.get("regions")


def test_nine_places_have_the_sums_of_their_pixels_over_all_channels(tmp_path):
    image = np.zeros((3, 6, 9))
    image[0, 0, 0], image[2, 1, 2] = 2, 1  # upper left, in two channels
    image[1, 2, 8] = 4  # centre right
    image[1, 5, 3] = -1  # lower centre
    found = {place["region"]: place for place in places_of(tmp_path, image)}
    assert tuple(found) == PLACES
    assert {name: place["relevance"] for name, place in found.items() if place["relevance"]} == {
        "upper left": 3, "centre right": 4, "lower centre": -1
    }  # fmt: skip
    assert {name: place["share"] for name, place in found.items() if place["share"]} == {
        "upper left": 3 / 8, "centre right": 4 / 8, "lower centre": -1 / 8
    }  # fmt: skip
    text = run("explain", tmp_path / "m.npz", tmp_path / "x.npy", "--rule", "*=Zero()").out
    assert "Where its relevance lies in the image (negative: against it)" in text
    assert "upper   38 %     0 %    0 %\ncentre   0 %     0 %   50 %\nlower    0 %   -12 %    0 %\n" in text


def test_channels_may_be_the_last_axis(tmp_path):
    image = np.zeros((6, 8, 3))
    image[5, 7] = (1, 2, 3)
    assert [p["region"] for p in places_of(tmp_path, image) if p["relevance"] == 6 and p["share"] == 1] == ["lower right"]


@pytest.mark.parametrize("shape", [(12,), (1, 5, 9), (4, 9)])
def test_what_is_no_image_or_hardly_one_has_no_places(tmp_path, shape):
    assert places_of(tmp_path, np.ones(shape)) is None


def test_relevance_that_is_nothing_has_no_shares(tmp_path):
    assert [place["share"] for place in places_of(tmp_path, np.zeros((1, 6, 6)))] == [0.0] * 9


def test_a_table_of_several_images_names_their_strongest_places(tmp_path):
    for name, row in (("high", 0), ("low", 7)):
        image = np.zeros((1, 9, 9))
        image[0, row, 4] = 1
        np.save(tmp_path / f"{name}.npy", image)
    model = summing((1, 9, 9), tmp_path / "m.npz")
    text = run("explain", model, tmp_path / "high.npy", tmp_path / "low.npy", "--rule", "*=Zero()").out
    assert "upper centre 100 %" in text.splitlines()[3]
    assert "lower centre 100 %" in text.splitlines()[4]


# --- features ------------------------------------------------------------------------------------------------------------


def test_features_of_a_table_have_the_names_of_its_columns(tmp_path):
    model = stored([L.Dense(np.array([[1.0, -2.0], [3.0, 0.5], [-1.0, 2.0]]))], (3,), tmp_path / "m.npz")
    (tmp_path / "row.csv").write_text("age,bmi,blood pressure\n1,2,3\n", encoding="utf-8")
    done = run("explain", model, tmp_path / "row.csv", "--rule", "*=Zero()")
    assert "\nblood pressure  3          6\nbmi             2          1\n" in done.out
    assert "\nage      1         -2\n" in done.out
    blocks = run("explain", model, tmp_path / "row.csv", "--rule", "*=Zero()", "--target", "all").out
    assert "\nthe score of output 0, 4, of which 100 % arrives at the inputs\n  for       bmi 6, age 1\n" in blocks
    assert "\n  against   blood pressure -3\n" in blocks
    record = run("explain", model, tmp_path / "row.csv", "--json").document["explanations"][0]
    assert record["targets"][0]["positive"][0]["name"] == "blood pressure"


# --- targets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "index"), [("espresso", 2), ("Tinca  TINCA", 0), ("tench, tinca tinca", 0), ("espresso maker", 3)]
)
def test_a_class_has_the_names_between_commas(text, index):
    assert labels.class_of(text, NAMES) == index


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("crane", lrp_ref.errors.ParameterError, r"several classes; give the index: 1 \(crane\); 4 \(crane\)"),
        ("cat", lrp_ref.errors.UnknownNameError, r"no class is called 'cat'. Did you mean 5 \(tiger cat\)\?"),
        ("catch", lrp_ref.errors.UnknownNameError, r"Did you mean 6 \(oystercatcher\)\?"),
        ("expresso", lrp_ref.errors.UnknownNameError, r"Did you mean 2 \(espresso\)"),
        ("#!", lrp_ref.errors.UnknownNameError, r"no class is called '#!'\.$"),
    ],
)
def test_a_name_of_no_class_or_of_several_is_refused(text, kind, message):
    with pytest.raises(kind, match=message):
        labels.class_of(text, NAMES)


@pytest.fixture
def named(tmp_path):
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    (tmp_path / "names.txt").write_text("\n".join(words), encoding="utf-8")
    return "--labels", tmp_path / "names.txt"


def targets_of(*arguments):
    record = run("explain", "zoo:digits", *arguments, "--json").document["explanations"][0]
    return [target["target"] for target in record["targets"]], [target["value"] for target in record["targets"]]


def test_targets_are_typed_by_number_or_by_name(three, named):
    scores = zoo.load("digits")(zoo.digits().images[3:4])[0].tolist()
    assert targets_of(three, *named, "--target", "Eight") == ([8], pytest.approx([scores[8]]))
    assert targets_of(three, *named, "--targets", "eight, 3") == ([8, 3], pytest.approx([scores[8], scores[3]]))
    assert targets_of(three, "--targets", "8,3") == targets_of(three, *named, "--targets", "eight, 3")
    contrast = targets_of(three, *named, "--target", "three", "--contrast", "eight")
    assert contrast == ([3], pytest.approx([scores[3] - scores[8]], rel=1e-5))
    text = run("explain", "zoo:digits", three, *named, "--target", "three", "--contrast", "eight").out
    assert "explained   the score of output 3 (three) minus that of output 8 (eight), " in text


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--target", "three"], codes.USAGE, "a class's name with --labels FILE"),
        (["--targets", ","], codes.USAGE, "takes the outputs between commas"),
        (["--targets", "3,3"], codes.USAGE, "names an output twice"),
        (["--targets", "3,10"], codes.REFUSED, "target 10 is out of range"),
        (["--targets", "3,-1"], codes.REFUSED, "target -1 is out of range"),
        (["--targets", "3", "--target", "3"], codes.USAGE, "without --target"),
        (["--targets", "3", "--contrast", "3"], codes.USAGE, "without --target"),
        (["--targets", "3", "--top", "3"], codes.USAGE, "without --target"),
        (["--contrast", "eight"], codes.USAGE, "--contrast is the index of an output"),
    ],
)
def test_questions_that_make_no_sense_are_refused(three, options, code, message):
    assert message in run("explain", "zoo:digits", three, *options, code=code).err


def test_outputs_of_several_axes_stand_between_semicolons(tmp_path):
    model = stored([L.Dense(np.arange(18.0).reshape(3, 6)), L.Reshape((2, 3))], (3,), tmp_path / "m.npz")
    np.save(tmp_path / "x.npy", np.ones(3))
    record = run("explain", model, tmp_path / "x.npy", "--targets", "0,1; 1,2", "--json").document["explanations"][0]
    assert [target["target"] for target in record["targets"]] == [[0, 1], [1, 2]]
    assert [target["value"] for target in record["targets"]] == [1 + 7 + 13, 5 + 11 + 17]
    assert "out of range" in run("explain", model, tmp_path / "x.npy", "--targets", "0,1;2,0", code=codes.REFUSED).err


# --- output --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "head"),
    [(".png", b"\x89PNG"), (".jpg", b"\xff\xd8"), (".jpeg", b"\xff\xd8"), (".svg", b"<?xml"), (".pdf", b"%PDF")],
)
def test_pictures_are_written_in_every_format_and_the_same_each_time(three, tmp_path, suffix, head):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        run("explain", "zoo:digits", three, "-o", path, "--style", "heatmap")
    assert first.read_bytes().startswith(head)
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".jpg":  # and nearly the pixels of the .png
        run("explain", "zoo:digits", three, "-o", tmp_path / "c.png", "--style", "heatmap")
        with Image.open(first) as lossy, Image.open(tmp_path / "c.png") as exact:
            pixels = [np.asarray(image.convert("RGB"), dtype=np.int64) for image in (lossy, exact)]
        assert np.abs(pixels[0] - pixels[1]).mean() < 2


def test_quiet_leaves_warnings_errors_and_json(three, tmp_path):
    done = run("explain", "zoo:digits", three, "--quiet", "-o", tmp_path / "a.npz")
    assert (done.out, done.err) == ("", "")
    assert (tmp_path / "a.npz").exists()
    assert "exists" in run("explain", "zoo:digits", three, "-q", "-o", tmp_path / "a.npz", code=codes.FILE).err
    np.save(three, 16 * np.load(three))
    assert "warning" in run("explain", "zoo:digits", three, "--quiet").err
    assert json.loads(run("explain", "zoo:digits", three, "--quiet", "--json").out)["format"] == "lrp_ref.explain"


@pytest.mark.parametrize("command", ["explain", "inspect", "convert"])
def test_help_lists_every_option_below_a_heading(command):
    text = run(command, "--help").out
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [name for name in (*GROUPS, "Other") if name in headings]
    assert text[text.index("\nOther:") :].split() == ["Other:", "-h,", "--help", "Show", "this", "message", "and", "exit."]
    for option in commands.commands[command].params:
        assert not option.name or option.param_type_name == "argument" or option.opts[-1] in text
    assert max(map(len, text.splitlines())) <= 80
