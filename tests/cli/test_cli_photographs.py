"""Photographs on the command line: preprocessing, ONNX networks, several classes, styles, converting."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import lrp_ref
from lrp_ref import Model, Node, preprocess, zoo
from lrp_ref import layers as L
from lrp_ref.cli import codes, inspect, labels
from support.cli_runner import fresh, run

RNG = np.random.default_rng(5)


def photograph(path, width=40, height=30, mode="RGB"):
    colours = RNG.integers(0, 256, size=(height, width, 3)).astype(np.uint8)
    Image.fromarray(colours).convert(mode).save(path)
    return path


def net(side=12, outputs=4, layout="CHW"):
    """Convolution, ReLU, pooling, five outputs."""
    conv = L.Conv(RNG.normal(size=(6, 3, 3, 3)).astype(np.float32), RNG.normal(size=6).astype(np.float32))
    nodes = [] if layout == "CHW" else [Node("first", L.Transpose((0, 3, 1, 2)), ("image",))]
    nodes += [
        Node("conv", conv, ("image" if layout == "CHW" else "first",)),
        Node("relu", L.ReLU(), ("conv",)),
        Node("pool", L.GlobalAvgPool(), ("relu",)),
        Node("flat", L.Flatten(), ("pool",)),
        Node("score", L.Dense(RNG.normal(size=(6, outputs)).astype(np.float32)), ("flat",)),
    ]
    shape = (3, side, side) if layout == "CHW" else (side, side, 3)
    return Model(tuple(nodes), inputs=("image",), input_shape=shape)


@pytest.fixture
def model(tmp_path):
    return lrp_ref.save(net(), tmp_path / "net.npz")


@pytest.fixture
def photo(tmp_path):
    return photograph(tmp_path / "photo.png")


def explained(*arguments):
    return run("explain", *arguments, "--json").document["explanations"][0]


# --- preprocessing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "recipe"),
    [
        (["--preprocess", "caffe"], "caffe"),
        (["--preprocess", "imagenet"], "imagenet"),
        (
            ["--size", "20", "--crop", "12", "--mean", "0.5,0.4,0.3", "--std", "0.2", "--scale", "1/255", "--order", "BGR"],
            preprocess.Preprocessing(20, 12, (0.5, 0.4, 0.3), (0.2,), 1 / 255, "BGR"),
        ),
        (["--preprocess", "unit", "--crop", "0.5"], preprocess.Preprocessing(crop=0.5, scale=1 / 255)),
        (["--crop", "12x12"], preprocess.Preprocessing(crop=(12, 12))),
    ],
)
def test_what_is_typed_is_the_preprocessing_of_the_library_and_the_domain_follows(model, photo, options, recipe):
    loaded = lrp_ref.load(model)
    made = preprocess.fitted(recipe, loaded)
    x = preprocess.array_of(preprocess.read_image(photo), loaded, preprocessing=recipe)
    e = lrp_ref.explain(preprocess.with_domain(loaded, made), x[None], composite="epsilon_gamma_box")
    record = explained(model, photo, "--composite", "epsilon_gamma_box", *options)
    assert record["prediction"] == e.prediction[0].astype(float).tolist()
    assert record["targets"][0]["positive"][0]["relevance"] == float(e.relevance.max())
    assert f"): {preprocess.described(made)}\n" in run("explain", model, photo, *options).out


def test_a_file_beside_the_model_is_found_and_said(tmp_path, model, photo):
    plain = explained(model, photo, "--preprocess", "caffe")
    file = tmp_path / "net.preprocess.json"
    file.write_text('{"preset": "caffe"}')
    assert explained(model, photo)["prediction"] == plain["prediction"]
    assert f"preprocessing ({file}): crop square, 12 × 12, BGR" in run("explain", model, photo).out
    assert run("explain", model, photo, "--json").document["preprocessing"].startswith("crop square, 12 × 12, BGR")
    other = explained(model, photo, "--order", "RGB")
    assert other["prediction"] == explained(model, photo, "--preprocess", "caffe", "--order", "RGB")["prediction"]
    assert other["prediction"] != plain["prediction"]
    assert explained(model, photo, "--preprocess", "unit")["prediction"] != plain["prediction"]
    moved = shutil.copy(file, tmp_path / "other.json")
    file.unlink()
    assert explained(model, photo, "--preprocess", moved)["prediction"] == plain["prediction"]


def test_bounds_that_are_typed_go_before_those_of_the_preprocessing(model, photo):
    options = (model, "--preprocess", "unit", "--composite", "epsilon_gamma_box")
    assert "ZBox(low=0.0, high=1.0)" in run("inspect", *options).out
    assert "ZBox(low=-1.0, high=2.0)" in run("inspect", *options, "--low", "-1", "--high", "2").out


def test_a_guess_is_warned_of(model, photo):
    done = run("explain", model, photo)
    assert done.err.count("\n") == 1
    assert "pixels become 0 to 1: --preprocess imagenet, caffe, unit or none, or the file " in done.err
    assert "net.preprocess.json" in done.err
    assert run("explain", model, photo, "--low", 0, "--high", 1).err == ""


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            ["--preprocess", "imagnet"],
            2,
            "Did you mean 'imagenet'? Known: imagenet, caffe, unit, none. A file's name ends in .json",
        ),
        (["--preprocess", "missing.json"], 3, "missing.json: the file cannot be read"),
        (["--mean", "1,2"], 2, "one number or three, found 2"),
        (["--mean", "a"], 2, "--mean takes numbers, found 'a'"),
        (["--std", "0"], 2, "must be positive"),
        (["--scale", "1/0"], 2, "a quotient such as 1/255"),
        (["--crop", "0.0001"], 2, "between 0.01 and 1"),
        (["--size", "big"], 2, "--size takes extents such as 224"),
        (["--size", "16"], 3, "makes images of 16 × 16 pixels, and the model's input takes 12 × 12"),
        (["--crop", "100", "--size", "100"], 3, "makes images of 100 × 100 pixels"),
        (["--order", "GRB"], 2, "BGR"),
        (["--input-shape", "3x9x9"], 3, "--input-shape says (3, 9, 9), and the network takes (3, 12, 12)"),
        (["--input-shape", "3x0"], 2, "positive extents"),
        (["--top", "2", "--target", "1"], 2, "--top explains the best outputs"),
        (["--top", "0"], 2, "--top"),
        (["--style", "overlay"], 2, "give --out FILE.png"),
        (["--labels", "missing.txt"], 3, "missing.txt: the file cannot be read"),
    ],
)
def test_a_wrong_option_is_one_line(model, photo, options, code, message):
    done = run("explain", model, photo, *options, code=code)
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_images_of_every_mode_are_explained(tmp_path, model, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    path = photograph(tmp_path / f"x.{suffix}", mode=mode)
    assert len(explained(model, path, "--preprocess", "caffe")["best"]) == 4


def test_a_folder_with_a_broken_image_goes_on_and_says_so(tmp_path, model):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "c"):
        photograph(folder / f"{name}.jpg")
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:300])
    options = (model, folder, "--preprocess", "caffe", "--out", tmp_path / "maps" / "heat.png", "--style", "heatmap")
    done = run("explain", *options, code=codes.FILE)
    assert done.err.count("\n") == 1
    assert "b.jpg: the image cannot be read" in done.err
    assert "2 explained, 1 failed" in done.out
    assert {p.name for p in (tmp_path / "maps").iterdir()} == {"heat-a.png", "heat-c.png", "heat.run.jsonl"}
    again = run("explain", *options, code=codes.FILE)
    assert "0 explained, 2 there already" in again.out
    done = run("explain", *options[:-1], "overlay", code=codes.FILE)
    assert "made with other settings (style)" in done.err
    done = run("explain", *options[:3], "unit", *options[4:], code=codes.FILE)
    assert "made with other settings (preprocessing)" in done.err


def test_an_image_too_small_for_the_crop_names_its_file(tmp_path, model):
    path = photograph(tmp_path / "small.png", 8, 8)
    done = run("explain", model, path, "--crop", 12, code=codes.FILE)
    assert re.search(r"small\.png: an image of 8 × 8 pixels is smaller than the crop .*\(--size\)", done.err)


# --- classes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.txt", "ape\nbee\ncat\ndog\n"),
        ("names.json", '["ape", "bee", "cat", "dog"]'),
        ("names.json", '{"1": ["n1", "bee"], "0": ["n0", "ape"], "2": ["n2", "cat"], "3": ["n3", "dog"]}'),
    ],
)
def test_classes_have_names(tmp_path, model, photo, name, content):
    (tmp_path / name).write_text(content)
    assert labels.read_labels(tmp_path / name) == ["ape", "bee", "cat", "dog"]
    record = explained(model, photo, "--preprocess", "caffe", "--labels", tmp_path / name)
    best = int(np.argmax(record["prediction"]))
    label = ["ape", "bee", "cat", "dog"][best]
    assert record["best"][0] == {"output": best, "label": label, "score": record["prediction"][best]}
    assert record["targets"][0]["label"] == label
    text = run("explain", model, photo, "--preprocess", "caffe", "--labels", tmp_path / name).out
    assert f"prediction  {best} {label} (" in text
    assert f"explained   the score of output {best} ({label}), " in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"a\nb\nc\n", "--labels names 3 classes, and the network has 4 outputs"),
        ("x.txt", b"", "lines of text"),
        ("x.txt", b"\xff\xfe\x00", "these are no labels"),
        ("x.json", b"{", "these are no labels"),
        ("x.json", b"3", "lines of text, a JSON list"),
        ("x.json", b'{"0": "a", "2": "b"}', "keys 0 to 1"),
    ],
)
def test_labels_that_do_not_fit_say_so(tmp_path, model, photo, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in run("explain", model, photo, "--labels", tmp_path / name, code=codes.FILE).err


def test_the_best_classes_are_explained_in_one_pass(tmp_path, model, photo):
    record = explained(model, photo, "--preprocess", "caffe", "--top", 3)
    ranked = np.argsort(-np.array(record["prediction"]), kind="stable")
    assert [t["target"] for t in record["targets"]] == ranked[:3].tolist()
    for t in record["targets"]:
        alone = explained(model, photo, "--preprocess", "caffe", "--target", t["target"])["targets"][0]
        assert t["value"] == alone["value"]
        assert t["ledger"]["inputs"] == pytest.approx(alone["ledger"]["inputs"], rel=1e-5)
    assert len(explained(model, photo, "--preprocess", "caffe", "--top", 99)["targets"]) == 4


# --- pictures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [None, "panels", "heatmap", "overlay", "pattern", "contrast"])
def test_every_style_is_drawn(tmp_path, model, photo, style):
    out = tmp_path / "heat.png"
    run("explain", model, photo, "--preprocess", "caffe", "--out", out, *([] if style is None else ["--style", style]))
    with Image.open(out) as picture:
        assert min(picture.size) > 200


def test_the_contrast_style_explains_the_target_and_the_other_one(tmp_path, model, photo):
    out = tmp_path / "heat.png"
    common = (model, photo, "--preprocess", "caffe", "--style", "contrast", "--out", out, "--force")
    ranked = np.argsort(-np.array(explained(model, photo, "--preprocess", "caffe")["prediction"]), kind="stable").tolist()
    assert [t["target"] for t in explained(*common)["targets"]] == ranked[:2]
    assert [t["target"] for t in explained(*common, "--target", ranked[2])["targets"]] == [ranked[2], ranked[0]]
    assert [t["target"] for t in explained(*common, "--contrast", ranked[3])["targets"]] == [ranked[0], ranked[3]]
    assert "contrasted with itself" in run("explain", *common, "--contrast", ranked[0], code=codes.REFUSED).err
    assert "without --target all" in run("explain", *common, "--target", "all", code=codes.USAGE).err


def test_the_picture_shows_the_photograph_and_channels_may_be_last(tmp_path, photo, monkeypatch):
    seen = []

    def drawn(self, e, x, **options):
        seen.append((e, x, options))
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr("lrp_ref.render.Sheets.pixels", drawn)
    for layout in ("CHW", "HWC"):
        path = lrp_ref.save(net(layout=layout), tmp_path / f"{layout}.npz")
        run(
            "explain",
            path,
            photo,
            "--preprocess",
            "caffe",
            "--composite",
            "epsilon_gamma_box",
            "--out",
            tmp_path / f"{layout}.png",
        )
        e, x, options = seen.pop()
        assert e.relevances["image"].shape == (1, 3, 12, 12)
        assert e.activations["image"].shape == (1, 3, 12, 12)
        expected = preprocess.fitted("caffe", lrp_ref.load(path)).cut(preprocess.read_image(photo))
        assert np.array_equal(x, np.asarray(expected))
        # What the network read are the channels of the photograph, in its order, minus the means.
        assert np.array_equal(e.activations["image"][0, 2], x[..., 0] - np.float32(123))
        assert options == {"labels": None, "style": "panels"}


# --- several outputs, negative starts ------------------------------------------------------------------------------------


def test_one_of_several_outputs_is_chosen(tmp_path, photo):
    single, other = net(), Node("other", L.Dense(np.ones((6, 2), np.float32)), ("flat",))
    double = Model((*single.nodes, other), ("image",), ("score", "other"), input_shape=(3, 12, 12))
    path = lrp_ref.save(double, tmp_path / "two.npz")
    done = run("explain", path, photo, code=codes.REFUSED)
    assert "choose output= from score, other (--output-node)" in done.err
    for options in ((), ("--top", 2)):
        found = explained(path, photo, "--preprocess", "caffe", "--output-node", "other", *options)
        assert len(found["prediction"]) == 2
        assert found["targets"][0]["target"] == int(np.argmax(found["prediction"]))
    assert "Did you mean 'other'" in run("explain", path, photo, "--output-node", "othr", code=codes.USAGE).err
    assert "score" in run("inspect", path, "--output-node", "score").out


def test_deep_taylor_may_be_allowed_to_start_below_zero(tmp_path):
    path = lrp_ref.save(Model.sequential([L.Dense(np.array([[-1.0], [-1.0]]))]), tmp_path / "m.npz")
    np.save(tmp_path / "x.npy", np.ones(2))
    options = (path, tmp_path / "x.npy", "--composite", "deep_taylor")
    assert "(--allow-negative)" in run("explain", *options, code=codes.REFUSED).err
    assert explained(*options, "--allow-negative")["targets"][0]["value"] == -2


# --- ONNX, convert, inspect ----------------------------------------------------------------------------------------------


@pytest.fixture
def onnx_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    from support.onnx_networks import mobilenet

    onnx.save(mobilenet(), tmp_path / "mobile.onnx")
    return tmp_path / "mobile.onnx"


def test_an_onnx_network_explains_a_photograph(tmp_path, onnx_file, photo):
    out = tmp_path / "heat.npz"
    run("explain", onnx_file, photo, "--preprocess", "imagenet", "--composite", "epsilon_gamma_box", "--out", out)
    model = lrp_ref.load(onnx_file)
    recipe = preprocess.fitted("imagenet", model)
    x = recipe(preprocess.read_image(photo)).astype(np.float32)[None]
    e = lrp_ref.explain(preprocess.with_domain(model, recipe), x, composite="epsilon_gamma_box")
    with np.load(out, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["relevance/image"], e.relevance)


def test_a_converted_network_runs_with_numpy_alone(tmp_path, onnx_file):
    path = photograph(tmp_path / "photo.png")
    options = ("--composite", "epsilon_gamma_box")
    before = explained(onnx_file, path, "--preprocess", "imagenet", *options)
    out = tmp_path / "mobile-converted.npz"
    done = run("convert", onnx_file, out, "--preprocess", "imagenet")
    assert f"wrote {out}: 39 nodes" in done.out
    assert "(--preprocess imagenet): crop 0.875, 48 × 48, RGB" in done.out
    x = preprocess.array_of(preprocess.read_image(path), lrp_ref.load(out), preprocessing="imagenet")
    np.save(tmp_path / "x.npy", x)
    without = "import sys\nfor name in ('onnx', 'PIL', 'matplotlib'): sys.modules[name] = None"
    after = fresh("explain", out, tmp_path / "x.npy", *options, "--json", before=without)
    assert after.code == 0, after.err
    found = after.document["explanations"][0]
    assert found["prediction"] == before["prediction"]
    assert found["targets"] == before["targets"]
    assert explained(out, path, *options)["prediction"] == before["prediction"]  # the file beside it is found
    assert not any(isinstance(node.layer, L.BatchNorm) for node in lrp_ref.load(out).nodes)


def test_convert_overwrites_nothing_unless_asked(tmp_path, model):
    out, beside = tmp_path / "new.npz", tmp_path / "new.preprocess.json"
    beside.write_text("mine")
    done = run("convert", model, out, "--preprocess", "caffe", code=codes.FILE)
    assert done.err == f"lrp-ref: error: {beside} exists; --force overwrites it\n"
    assert not out.exists()
    run("convert", model, out)
    assert beside.read_text() == "mine"
    content = out.read_bytes()
    assert f"{out} exists" in run("convert", model, out, "--low", 0, "--high", 1, code=codes.FILE).err
    assert out.read_bytes() == content
    document = run("convert", model, out, "--preprocess", "caffe", "--force", "--json").document
    assert document["written"] == [str(out), str(beside)]
    assert json.loads(beside.read_text())["order"] == "BGR"
    assert lrp_ref.load(out).domain["image"].high.ravel().tolist() == [151, 138, 132]
    assert "written as .npz" in run("convert", model, tmp_path / "x.onnx", code=codes.USAGE).err


def test_inspect_shows_what_was_put_together_again(onnx_file):
    done = run("inspect", onnx_file)
    assert "39 nodes: 16 Conv, 4 HardSwish" in done.out
    assert "HardSwish was put together again from Multiply + Scale + Clip + Scale, 3×: /Mul_11, /Mul_29, /Mul_46" in done.out
    assert "Multiply was told which of its inputs is the signal, 3×: " in done.out
    assert "more were folded into their neighbours" in done.out
    found = run("inspect", onnx_file, "--json").document
    assert len(found["folded"]) == 10
    assert {p["layer"] for p in found["patterns"]} == {"HardSwish", "Multiply", "Dense"}
    assert "numpy, fused" not in done.out
    assert "numpy, fused" in run("inspect", onnx_file, "--plan", "--backend", "numpy").out


def test_a_network_that_was_not_taken_apart_has_no_patterns():
    model = net()
    assert inspect.patterns(model, model) == []


def test_open_extents_of_a_file_are_given_by_an_option(tmp_path, photo):
    onnx = pytest.importorskip("onnx")
    from support.onnx_networks import vgg

    proto = vgg()
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "any"
    onnx.save(proto, tmp_path / "open.onnx")
    done = run("explain", tmp_path / "open.onnx", photo, "--preprocess", "unit", code=codes.FILE)
    assert "the network cannot take samples of shape 'image': (3, 30, 40)" in done.err
    assert "input_shape= loads it for one shape (--input-shape)" in done.err
    side = vgg().graph.input[0].type.tensor_type.shape.dim[2].dim_value
    options = ("--preprocess", "unit", "--input-shape", f"3x{side}x{side}")
    assert len(explained(tmp_path / "open.onnx", photo, *options)["targets"]) == 1


# --- folders -------------------------------------------------------------------------------------------------------------


def test_a_photograph_has_the_same_picture_alone_and_anywhere_in_a_folder(tmp_path, model):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in "abc":
        photograph(folder / f"{name}.png", 40, 30)
    shutil.copy(folder / "a.png", folder / "d.png")
    common = ("--preprocess", "caffe", "--out")
    run("explain", model, folder, *common, tmp_path / "maps" / "heat.png")
    found = {name: (tmp_path / "maps" / f"heat-{name}.png").read_bytes() for name in "abcd"}
    assert found["a"] == found["d"] != found["b"]
    for name in "bd":
        run("explain", model, folder / f"{name}.png", *common, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes() == found[name]


# --- a preprocessing that does not fit ------------------------------------------------------------------------------------


def test_an_input_that_the_first_layer_never_saw_is_the_last_line_of_the_report(tmp_path):
    for label in (3, 4):
        np.save(tmp_path / f"{label}.npy", 255 * zoo.digits().images[label])
    wide = ("--low", "0", "--high", "255")  # so that the domain says nothing
    done = run("explain", "zoo:digits_bn", tmp_path / "3.npy", *wide)
    assert re.match(r"WARNING     the values at the first layer \(batchnorm1\) are \d+ times as large", done.out.splitlines()[-1])
    assert "lrp-ref: warning: 3.npy: the values at the first layer" in done.err
    (record,) = run("explain", "zoo:digits_bn", tmp_path / "3.npy", *wide, "--json").document["explanations"]
    assert len(record["warnings"]) == 1
    several = run("explain", "zoo:digits_bn", tmp_path / "3.npy", tmp_path / "4.npy", *wide).out
    assert re.search(r"^WARNING  3: the values .*\n\nWARNING  4: the values ", several, re.MULTILINE)
    np.save(tmp_path / "3.npy", zoo.digits().images[3])
    assert "WARNING" not in run("explain", "zoo:digits_bn", tmp_path / "3.npy").out


def test_a_guess_is_the_last_line_of_the_report(model, photo):
    assert (
        run("explain", model, photo).out.splitlines()[-1].startswith("WARNING     nothing says how this network wants its images")
    )
    assert "WARNING" not in run("explain", model, photo, "--preprocess", "unit").out
