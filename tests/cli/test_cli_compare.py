"""`lrp-ref compare`: one sample under several methods and composites."""

import json

import numpy as np
import pytest
from PIL import Image

import lrp_ref
from lrp_ref import Model, methods, zoo
from lrp_ref import layers as L
from lrp_ref.cli import codes
from support.cli_runner import run


@pytest.fixture(scope="module")
def digit(tmp_path_factory):
    path = tmp_path_factory.mktemp("digits") / "digit.npy"
    np.save(path, zoo.digits().images[3:4])
    return path


def test_each_column_is_what_the_method_gives(digit):
    options = ("--methods", "occlusion(patch=2, stride=1),GradCAM", "--composites", "epsilon_plus,alpha1_beta0")
    document = json.loads(run("compare", "zoo:digits", digit, *options, "--json").out)
    x, model = zoo.digits().images[3:4], zoo.load("digits")
    wanted = [methods.Occlusion(model, 2, 1)(x), methods.GradCAM(model)(x)]
    wanted += [lrp_ref.explain(model, x, composite=name) for name in ("epsilon_plus", "alpha1_beta0")]
    assert len(document["columns"]) == 4
    for column, e in zip(document["columns"], wanted, strict=True):
        assert (column["method"], column["composite"], column["target"]) == (e.method, e.composite, 3)
        assert column["total"] == pytest.approx(float(e.total[0]), rel=1e-5)
        assert column["residual"] == (pytest.approx(float(e.residual[0]), abs=1e-4) if e.conserves else None)
    text = run("compare", "zoo:digits", digit, *options).out
    assert "occlusion(patch=2, stride=1)" in text
    assert "alpha1_beta0" in text


def test_words_are_rows(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("the plot was not bad\n", encoding="utf-8")
    text = run(
        "compare",
        "zoo:sentences",
        path,
        "--methods",
        "Occlusion(replacement=delete)",
        "--composites",
        "lstm_all",
        "--target",
        "1",
    ).out
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    numbers = zoo.vocabulary("sentences").look_up(["the", "plot", "was", "not", "bad"])[None].astype(np.float32)
    e = methods.Occlusion(zoo.load("sentences"), replacement="delete")(numbers, 1)
    assert float(rows["not"][0]) == pytest.approx(e.relevance[0, 3], rel=1e-3)
    assert {"the", "plot", "was", "not", "bad"} <= set(rows)


def test_a_picture_is_written_once(digit, tmp_path):
    pytest.importorskip("matplotlib")
    out, options = tmp_path / "compare.png", ("--methods", "Gradient,RISE(masks=20, grid=4)", "--target", "8", "--out")
    assert f"wrote {out}" in run("compare", "zoo:digits", digit, *options, out).out.replace("\n", "")
    assert out.stat().st_size > 1000
    assert "exists" in run("compare", "zoo:digits", digit, *options, out, code=codes.FILE).err
    run("compare", "zoo:digits", digit, *options, out, "--force")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "nothing to compare"),
        (("--methods", "Occlusion,Occlusion"), "twice"),
        (("--methods", "Nothing"), "unknown method"),
        (("--methods", "Occlusion(patch)"), "PARAMETER=VALUE"),
        (("--methods", "Occlusion(size=2)"), "unknown parameter"),
        (("--methods", "Occlusion(patch=2"), "commas between"),
        (("--composites", "epsilon"), "composite"),
        (("--composites", "epsilon_plus(1)"), "names of presets"),
        (("--methods", "Gradient", "--target", "all"), "one output"),
        (("--methods", "Gradient", "--out", "a.npz"), "drawn as"),
    ],
)
def test_what_makes_no_sense_is_refused(digit, options, words):
    assert words in run("compare", "zoo:digits", digit, *options, code=codes.USAGE).err


def test_a_comparison_is_of_one_sample(tmp_path):
    path = tmp_path / "two.npy"
    np.save(path, zoo.digits().images[:2])
    assert "2 samples" in run("compare", "zoo:digits", path, "--methods", "Gradient", code=codes.FILE).err


def test_a_comparison_warns_of_inputs_that_do_not_fit_and_draws_channels_last(tmp_path):
    model = Model.sequential([L.Flatten(), L.Dense(np.linspace(-1, 1, 8 * 9 * 3 * 2).reshape(-1, 2))], input_shape=(8, 9, 3))
    path = lrp_ref.save(model, tmp_path / "m.npz")
    Image.fromarray(np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)).save(tmp_path / "x.bmp")
    for name in "ab":
        done = run("compare", path, tmp_path / "x.bmp", "--composites", "epsilon_plus", "-o", tmp_path / f"{name}.svg")
        assert "which is a guess" in done.err
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    np.save(tmp_path / "d.npy", 255 * zoo.digits().images[3])
    wide = ("--low", "0", "--high", "255", "--composites", "epsilon_plus")
    assert "times as large" in run("compare", "zoo:digits_bn", tmp_path / "d.npy", *wide).err
