"""`lrp-ref explain`: what it reads, what it says, what it writes, and what it never overwrites."""

import errno
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

import lrp_ref
from lrp_ref import Model, Node, errors, zoo
from lrp_ref import layers as L
from lrp_ref.cli import codes, records, report, samples, writing
from lrp_ref.cli.explain_command import MOST_WARNINGS
from support.cli_runner import fresh, run


@pytest.fixture
def digits(tmp_path):
    """A folder of ten digits, 0.npy to 9.npy, each without a batch axis."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for label, image in enumerate(zoo.digits().images):
        np.save(folder / f"{label}.npy", image)
    return folder


def save(path, array):
    np.save(path, array)
    return path


def stored(model, path):
    return lrp_ref.save(model, path)


# --- one sample ----------------------------------------------------------------------------------------------------------


def test_one_sample_gets_its_prediction_and_the_ledgers_total(digits):
    done = run("explain", "zoo:digits", digits / "3.npy", "--composite", "epsilon_alpha2_beta1")
    assert done.err == ""
    assert "prediction  3 (5.265)\nthen        4 (-0.4373); " in done.out
    assert "explained   the score of output 3, 5.26548" in done.out
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4], composite="epsilon_alpha2_beta1", ledger=True)
    balance = re.search(r"^ledger +(\S+) = inputs (\S+)", done.out, re.MULTILINE)
    assert [float(number) for number in balance.groups()] == pytest.approx([e.value[0], e.total[0]], rel=1e-5)
    assert "\nnode" not in done.out


def test_json_is_the_same_as_the_library(digits):
    done = run("explain", "zoo:digits", digits / "8.npy", "--target", "3", "--backend", "reference", "--json")
    (record,) = done.document["explanations"]
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[8:9], target=3, ledger=True, backend="reference")
    (target,) = record["targets"]
    assert record["predicted"] == 8
    assert record["prediction"] == e.prediction[0].astype(float).tolist()
    assert target["value"] == float(e.value[0])
    assert target["ledger"]["start"] == float(e.ledger.start[0])
    assert target["ledger"]["bias"] == float(e.ledger.bias[0])
    assert [entry["relevance"] for entry in target["negative"]] == np.sort(e.relevance.reshape(-1).astype(float))[:5].tolist()
    first = target["negative"][0]
    assert e.relevance[(0, *first["feature"])] == first["relevance"]
    assert zoo.digits().images[(8, *first["feature"])] == first["x"]


def test_precision_threads_and_memory_are_the_explainers(digits):
    chosen = ("--precision", "float64", "--threads", 2, "--memory", "low")
    document = run("explain", "zoo:digits", digits / "8.npy", *chosen, "--json").document
    assert document["precision"] == document["explanations"][0]["precision"] == "float64"
    assert document["explanations"][0]["backend"] == lrp_ref.BACKENDS[-1]
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[8:9], precision="float64", memory="low")
    (target,) = document["explanations"][0]["targets"]
    assert target["value"] == float(e.value[0])  # in float32 it is another number
    assert [entry["relevance"] for entry in target["positive"]] == (-np.sort(-e.relevance.reshape(-1)))[:5].tolist()
    assert "float64" in run("explain", "zoo:digits", digits / "8.npy", *chosen).out.splitlines()[0]


def test_the_ledger_is_printed_on_demand(digits):
    done = run("explain", "zoo:digits", digits / "3.npy", "--ledger")
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4], ledger=True)
    for entry in e.ledger:
        assert re.search(rf"^{entry.node} .*{re.escape(entry.rule)}", done.out, re.MULTILINE)
    rows = run("explain", "zoo:digits", digits / "3.npy", "--ledger", "--json").document["explanations"][0]["ledger"]
    assert rows == json.loads(json.dumps(e.ledger.rows()))
    assert "ledger" not in run("explain", "zoo:digits", digits / "3.npy", "--json").document["explanations"][0]


@pytest.mark.parametrize(
    ("options", "question", "value"),
    [
        (["--target", "8"], "the score of output 8", lambda z: z[8]),
        (["--contrast", "8"], "the score of output 3 minus that of output 8", lambda z: z[3] - z[8]),
        (["--head", "log-odds"], "the log-odds of output 3", lambda z: z[3] - np.log(np.exp(np.delete(z, 3)).sum())),
    ],
)
def test_what_is_explained_can_be_chosen(digits, options, question, value):
    done = run("explain", "zoo:digits", digits / "3.npy", *options)
    assert f"explained   {question}, " in done.out
    scores = zoo.load("digits")(zoo.digits().images[3:4])[0].astype(np.float64)
    found = run("explain", "zoo:digits", digits / "3.npy", *options, "--json").document["explanations"][0]["targets"][0]["value"]
    assert found == pytest.approx(value(scores), rel=1e-5)


def test_all_targets_and_rules_and_bounds_reach_the_library(digits):
    options = (
        "--target",
        "all",
        "--composite",
        "epsilon_gamma_box",
        "--low",
        "-0.5",
        "--high",
        "1.5",
        "--rule",
        "dense*=Epsilon(0.5)",
    )
    record = run("explain", "zoo:digits", digits / "3.npy", *options, "--json").document["explanations"][0]
    model = zoo.load("digits")
    wide = Model(model.nodes, model.inputs, model.outputs, {"input": (-0.5, 1.5)}, dict(model.input_shape))
    composite = lrp_ref.composites.epsilon_gamma_box().with_rules({"dense*": lrp_ref.rules.Epsilon(0.5)})
    e = lrp_ref.explain(wide, zoo.digits().images[3:4], target="all", composite=composite, ledger=True)
    assert [t["target"] for t in record["targets"]] == list(range(10))
    assert [t["ledger"]["inputs"] for t in record["targets"]] == e.ledger.relevance[0].tolist()
    text = run("explain", "zoo:digits", digits / "3.npy", *options).out
    assert len(re.findall(r"^the score of output \d, ", text, re.MULTILINE)) == 10


def test_a_network_that_ends_in_a_softmax_needs_a_head(tmp_path, digits):
    model = zoo.load("digits")
    path = stored(
        Model((*model.nodes, Node("softmax1", L.Softmax(), ("dense1",))), domain=(0, 1), input_shape=(1, 8, 8)),
        tmp_path / "m.npz",
    )
    done = run("explain", path, digits / "3.npy", code=codes.REFUSED)
    assert done.err.endswith("(--head logit, --head log-odds or --head probability)\n")
    assert "prediction  3 (0.9" in run("explain", path, digits / "3.npy", "--head", "logit").out
    # where no head was to be chosen, only the one that would do is named
    err = run("explain", "zoo:digits", digits / "3.npy", "--head", "probability", code=codes.REFUSED).err
    assert "--head logit explains it as a score" in err
    assert "--head log-odds" not in err


def test_outputs_of_several_axes_are_named_by_tuples(tmp_path):
    path = stored(Model.sequential([L.Conv(np.ones((2, 1, 1, 1)))], input_shape=(1, 2, 2)), tmp_path / "m.npz")
    x = save(tmp_path / "x.npy", np.array([[[1.0, 5.0], [2.0, 3.0]]]))
    record = run("explain", path, x, "--target", "1,0,1", "--json").document["explanations"][0]
    assert record["predicted"] == [0, 0, 1]
    assert record["targets"][0]["target"] == [1, 0, 1]
    assert record["targets"][0]["value"] == 5
    assert "the score of output [1, 0, 1], 5" in run("explain", path, x, "--target", "1,0,1").out


def test_without_evidence_of_one_sign_that_is_said():
    up, down = records.strongest({"x": np.array([0.0, 0.0])}, {"x": np.array([1.0, 2.0])})
    assert (up, down) == ([], [])


def test_the_strongest_features_are_over_all_inputs_and_no_more_than_asked():
    relevance = {"a": np.array([[1.0, -4.0], [3.0, 0.0]]), "b": np.array([2.0, -1.0, -9.0])}
    values = {"a": np.array([[10.0, 11.0], [12.0, 13.0]]), "b": np.array([20.0, 21.0, 22.0])}
    up, down = records.strongest(relevance, values, count=2)
    assert [(e["input"], e["feature"], e["x"], e["relevance"]) for e in up] == [("a", [1, 0], 12.0, 3.0), ("b", [0], 20.0, 2.0)]
    assert [(e["input"], e["feature"], e["relevance"]) for e in down] == [("b", [2], -9.0), ("a", [0, 1], -4.0)]
    assert report.feature_name(up[0], named=True) == "a [1, 0]"
    assert report.feature_name(up[1], named=False) == "0"


# --- what is read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 8, 8), (8, 8), (8, 8, 1)])
def test_one_sample_may_lack_the_batch_axis_and_axes_of_one(tmp_path, shape):
    x = save(tmp_path / "x.npy", zoo.digits().images[3].reshape(shape))
    assert "prediction  3 (5.265)" in run("explain", "zoo:digits", x).out


@pytest.mark.parametrize("shape", [(10, 1, 8, 8), (10, 8, 8)])
def test_a_file_may_hold_a_batch(tmp_path, shape):
    x = save(tmp_path / "x.npy", zoo.digits().images.reshape(shape))
    found = run("explain", "zoo:digits", x, "--json").document["explanations"]
    assert [record["predicted"] for record in found] == list(range(10))
    assert [record["name"] for record in found] == [f"x-{i}" for i in range(10)]


def test_arrays_of_an_npz_are_found_by_name_or_by_shape(tmp_path):
    np.savez(tmp_path / "named.npz", input=zoo.digits().images[3], other=zoo.digits().images[4])
    assert "prediction  3" in run("explain", "zoo:digits", tmp_path / "named.npz").out
    np.savez(tmp_path / "fits.npz", pixels=zoo.digits().images[3], label=3, vector=np.ones(4))
    assert "prediction  3" in run("explain", "zoo:digits", tmp_path / "fits.npz").out


def test_several_inputs_come_from_an_npz(tmp_path):
    nodes = (
        Node("d1", L.Dense(np.ones((2, 1))), ("a",)),
        Node("d2", L.Dense(np.ones((3, 1))), ("b",)),
        Node("sum", L.Add(), ("d1", "d2")),
    )
    path = stored(Model(nodes, inputs=("a", "b")), tmp_path / "m.npz")
    np.savez(tmp_path / "x.npz", a=np.array([1.0, 2.0]), b=np.array([3.0, 4.0, -5.0]))
    done = run("explain", path, tmp_path / "x.npz")
    assert re.search(r"^b 1 +4 +4$", done.out, re.MULTILINE)
    np.savez(tmp_path / "y.npz", a=np.ones(2))
    assert "the model takes a, b; the file holds a float64[2]" in run("explain", path, tmp_path / "y.npz", code=3).err
    x = save(tmp_path / "x.npy", np.ones(2))
    assert "an .npz with the arrays a, b gives them" in run("explain", path, x, code=3).err


def test_without_a_stated_shape_batches_are_told_from_samples_by_what_the_network_can_compute(tmp_path):
    path = stored(Model.sequential([L.Conv(np.ones((1, 1, 2, 2))), L.Flatten()]), tmp_path / "m.npz")
    for shape, count in (((1, 2, 2), 1), ((5, 1, 2, 2), 5)):
        x = save(tmp_path / "x.npy", np.ones(shape))
        assert len(run("explain", path, x, "--json").document["explanations"]) == count
    x = save(tmp_path / "x.npy", np.ones((2, 2)))
    assert "x.npy" in run("explain", path, x, code=3).err


def test_an_image_is_scaled_into_the_domain(tmp_path):
    pixels = np.rint(zoo.digits().images[3, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).resize((80, 80), Image.Resampling.NEAREST).convert("RGB").save(tmp_path / "three.png")
    done = run("explain", "zoo:digits", tmp_path / "three.png")
    assert "prediction  3" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "missing.npy", "no such file or folder"),
        (
            lambda p: save(p / "x.npy", np.ones((3, 3))),
            r"takes samples of shape (1, 8, 8), alone or as (N, …); the file holds (3, 3)",
        ),
        (lambda p: save(p / "x.npy", np.array(1.0)), "the file holds ()"),
        (lambda p: save(p / "x.npy", np.ones((8, 8), np.uint8)), "convert it, as in x.astype(np.float32)"),
        (lambda p: save(p / "x.npy", np.full((8, 8), np.nan)), "NaN"),
        (lambda p: save(p / "x.npy", np.array([None], dtype=object)), "no readable .npy file"),
        (lambda p: save(p / "x.npy", np.zeros((0, 1, 8, 8))), "holds no samples"),
        (lambda p: written(p / "x.npy", b"\x93NUMPY\x01\x00"), "no readable .npy file"),
        (lambda p: written(p / "x.npy", b""), "no readable .npy file"),
        (lambda p: written(p / "x.npz", b"PK no zip"), "no readable .npz file"),
        (lambda p: written(p / "x.dat", b"1 2 3"), "inputs of kind '.dat' are not read"),
        (lambda p: written(p / "x.txt", b"1 2 3"), "text needs --vocab FILE"),
        (lambda p: written(p / "x.png", b"no image"), "no image that Pillow can read"),
        (lambda p: several(p / "x.npz", a=np.ones((8, 8)), b=np.ones((8, 8))), "several arrays fit the model's input 'input'"),
        (lambda p: several(p / "x.npz", a=np.ones(3)), "no floating point array fits the model's input 'input'"),
        (lambda p: folder(p / "empty"), "holds no file of a kind that is read"),
    ],
)
def test_an_input_that_cannot_be_read_is_one_line_with_its_name(tmp_path, make, message):
    path = make(tmp_path)
    done = run("explain", "zoo:digits", path, code=codes.FILE)
    assert message in done.err
    assert path.name in done.err
    assert done.err.count("\n") == 1
    assert "failed" not in done.out  # one input that cannot be read is an error, and no table of failures


def written(path, content):
    path.write_bytes(content)
    return path


def several(path, **arrays):
    np.savez(path, **arrays)
    return path


def folder(path):
    path.mkdir()
    return path


def test_an_array_that_claims_to_be_huge_is_refused_before_memory_is_taken(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + "\n"
    path = written(tmp_path / "x.npy", b"\x93NUMPY\x01\x00v\x00" + header.encode())
    assert "no readable .npy file" in run("explain", "zoo:digits", path, code=3).err


def test_an_npz_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "BUDGET", 100)
    path = several(tmp_path / "x.npz", input=np.zeros((8, 8)))
    assert "more than 100" in run("explain", "zoo:digits", path, code=3).err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--target", "10"], 4, "target 10 is out of range"),
        (["--target", "-1"], 4, "target -1 is out of range"),
        (["--target", "three"], 2, '--target is "predicted"'),
        (["--contrast", "3"], 4, "cannot be contrasted with itself"),
        (["--composite", "epsilon_pluss"], 2, "Did you mean 'epsilon_plus'"),
        (["--rule", "conv1=Flt()"], 2, "Did you mean 'Flat'"),
        (["--rule", "relu1=Flat()"], 4, "does not serve it"),
        (["--backend", "fortran"], 2, "unknown backend 'fortran'"),
        (["--head", "softmax"], 2, "log-odds"),
        (["--low", "0"], 2, "give both"),
        (["--low", "1", "--high", "0"], 4, "needs low ≤ high"),
        (["--out", "x.tiff"], 2, "must be one of .png, .jpg, .jpeg, .svg, .pdf, .npz, .json"),
        (["--composite", "epsilon_gamma_box", "--low", "0", "--high", "0.5"], 4, "leave the bounds"),
        (["--composite", "deep_taylor", "--target", "8"], 4, "not defined for a negative start"),
    ],
)
def test_what_is_refused_is_said_with_its_code(digits, options, code, message):
    done = run("explain", "zoo:digits", digits / "3.npy", *options, code=code)
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_range_that_does_not_fit_the_domain_is_warned_of(tmp_path):
    x = save(tmp_path / "x.npy", zoo.digits().images[3] * 16)
    done = run("explain", "zoo:digits", x)
    assert done.err.startswith("lrp-ref: warning: x.npy: the input's values lie in [0, 15]")
    assert run("explain", "zoo:digits", x, "--json").document["explanations"][0]["warnings"]
    assert run("explain", "zoo:digits", x, "--low", 0, "--high", 16).err == ""


def test_warnings_of_many_inputs_come_to_an_end(tmp_path):
    x = save(tmp_path / "x.npy", zoo.digits().images * 16)
    done = run("explain", "zoo:digits", x)
    assert done.err.count("warning: ") == MOST_WARNINGS + 1
    assert "more inputs do not fit" in done.err


# --- what is written ------------------------------------------------------------------------------------------------------


def test_a_picture_arrays_and_json_are_written(tmp_path, digits):
    for suffix in (".png", ".npz", ".json"):
        path = tmp_path / "new folder" / f"three{suffix}"
        assert f"wrote {path}" in run("explain", "zoo:digits", digits / "3.npy", "--out", path).out
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4], ledger=True)
    with np.load(tmp_path / "new folder" / "three.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["relevance/input"], e.relevance)
    document = json.loads((tmp_path / "new folder" / "three.json").read_text(encoding="utf-8"))
    assert document["relevance/input"] == e.relevance.tolist()
    with Image.open(tmp_path / "new folder" / "three.png") as picture:
        assert min(picture.size) > 300
    assert {p.name for p in (tmp_path / "new folder").iterdir()} == {"three.png", "three.npz", "three.json"}


@pytest.mark.parametrize("suffix", [".png", ".npz", ".json"])
def test_no_file_is_overwritten_unless_asked(tmp_path, digits, suffix, monkeypatch):
    path = written(tmp_path / f"mine{suffix}", b"mine")
    with monkeypatch.context() as patch:
        patch.delattr(lrp_ref.Explainer, "__call__")  # it is refused before anything is computed
        done = run("explain", "zoo:digits", digits / "3.npy", "--out", path, code=codes.FILE)
    assert done.err == f"lrp-ref: error: {path} exists; --force overwrites it\n"
    assert path.read_bytes() == b"mine"
    run("explain", "zoo:digits", digits / "3.npy", "--out", path, "--force")
    assert path.read_bytes() != b"mine"


def test_a_full_disk_is_named_by_the_file_that_it_has_no_room_for(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*x\.json'"), writing.atomic_write(tmp_path / "x.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_an_interruption_while_writing_leaves_no_half_file(tmp_path):
    def half():
        with writing.atomic_write(tmp_path / "x.json") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_matplotlib_is_refused_before_anything_is_computed(tmp_path, digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("explain", "zoo:digits", digits / "3.npy", "--out", tmp_path / "x.png", code=codes.EXTRA)
    assert done.err == "lrp-ref: error: --out with .png needs matplotlib: pip install 'lrp_ref[plot]'\n"
    assert done.out == ""
    run("explain", "zoo:digits", digits / "3.npy", "--out", tmp_path / "x.npz")


def test_an_image_without_pillow_names_the_extra(tmp_path, digits):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    done = fresh("explain", "zoo:digits", tmp_path / "x.png", digits, before="import sys; sys.modules['PIL'] = None")
    assert done.code == codes.EXTRA
    assert done.err == "lrp-ref: error: reading an image needs Pillow: pip install 'lrp_ref[plot]'\n"


# --- many samples ---------------------------------------------------------------------------------------------------------


def test_a_folder_is_one_run_with_one_table(digits):
    done = run("explain", "zoo:digits", digits)
    assert "10 explained" in done.out
    for digit in range(10):
        assert re.search(rf"^{digit} +{digit} +{digit} ", done.out, re.MULTILINE)
    assert done.err == ""


def test_a_run_skips_what_is_written_and_its_table_stays_whole(tmp_path, digits):
    out = tmp_path / "maps" / "heat.npz"
    first = run("explain", "zoo:digits", digits, "--out", out)
    assert "10 explained" in first.out
    (out.parent / "heat-4.npz").unlink()
    kept = (out.parent / "heat-3.npz").stat().st_mtime_ns
    again = run("explain", "zoo:digits", digits, "--out", out)
    assert "1 explained, 9 there already and skipped (--force writes them again)" in again.out
    assert (out.parent / "heat-3.npz").stat().st_mtime_ns == kept
    assert (out.parent / "heat-4.npz").exists()
    rows = [re.findall(r"^\d +\d +\d .*", text, re.MULTILINE) for text in (first.out, again.out)]
    strip = [[re.sub(r" +(explained|there already)$", "", row) for row in part] for part in rows]
    assert strip[0] == strip[1]
    assert len(strip[0]) == 10
    assert "10 explained" in run("explain", "zoo:digits", digits, "--out", out, "--force").out
    assert (out.parent / "heat-3.npz").stat().st_mtime_ns > kept


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, digits, monkeypatch):
    out, write, calls = tmp_path / "heat.json", writing.write, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr("lrp_ref.cli.explain_command.write", interrupted)
    done = run("explain", "zoo:digits", digits, "--out", out, code=codes.INTERRUPTED)
    assert "3 explained" in done.out
    assert done.err.endswith("lrp-ref: error: interrupted: 7 of 10 inputs are left; the same command goes on with them\n")
    with (tmp_path / "heat.run.jsonl").open("a") as journal:
        journal.write('{"name": "3", "predic')  # as a process that was killed would leave it
    done = run("explain", "zoo:digits", digits, "--out", out)
    assert "7 explained, 3 there already" in done.out


def test_outputs_of_other_settings_are_not_mixed(tmp_path, digits):
    out = tmp_path / "heat.json"
    run("explain", "zoo:digits", digits, "--out", out)
    done = run("explain", "zoo:digits", digits, "--out", out, "--composite", "alpha1_beta0", "--target", "3", code=codes.FILE)
    assert "made with other settings (composite, target)" in done.err
    run("explain", "zoo:digits", digits, "--out", out, "--composite", "alpha1_beta0", "--target", "3", "--force")
    assert json.loads((tmp_path / "heat-3.json").read_text())["composite"] == "alpha1_beta0"


def test_foreign_files_in_the_way_are_kept(tmp_path, digits):
    written(tmp_path / "heat-3.json", b"mine")
    done = run("explain", "zoo:digits", digits, "--out", tmp_path / "heat.json", code=codes.FILE)
    assert "9 explained, 1 failed" in done.out
    assert "heat-3.json is there and was not written by this run; --force overwrites it" in done.err
    assert (tmp_path / "heat-3.json").read_bytes() == b"mine"


def test_what_fails_is_said_and_the_others_go_on(tmp_path, digits):
    written(digits / "bad.png", b"no image")
    save(digits / "odd.npy", np.ones((3, 3)))
    done = run("explain", "zoo:digits", digits, "--out", tmp_path / "heat.json", code=codes.FILE)
    assert "10 explained, 2 failed" in done.out
    assert done.err.count("lrp-ref: error: ") == 2
    found = run("explain", "zoo:digits", digits, "--json", code=codes.FILE).document["explanations"]
    assert {r["name"]: r["status"] for r in found if r["status"] != "explained"} == {"bad": "failed", "odd": "failed"}


def test_a_refusal_within_a_run_has_its_code(digits):
    done = run("explain", "zoo:digits", digits, "--composite", "deep_taylor", "--target", "8", code=codes.REFUSED)
    assert "1 explained, 9 failed" in done.out


def test_ledgers_of_many_samples(digits):
    done = run("explain", "zoo:digits", digits / "3.npy", digits / "4.npy", "--ledger")
    assert done.out.count("start at dense1") == 2


def test_samples_whose_names_clash_get_longer_names(tmp_path, digits):
    other = folder(tmp_path / "other")
    save(other / "3.npy", zoo.digits().images[5])
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(other / "4.png")
    found = run("explain", "zoo:digits", digits / "4.npy", other / "4.png", "--json").document["explanations"]
    assert [record["name"] for record in found] == ["4.npy", "4.png"]
    found = run("explain", "zoo:digits", digits / "3.npy", other / "3.npy", "--json").document["explanations"]
    assert [record["name"].rsplit("-", 2)[1:] for record in found] == [["digits", "3.npy"], ["other", "3.npy"]]
    found = run("explain", "zoo:digits", digits / "3.npy", digits / "3.npy", digits, "--json").document["explanations"]
    assert len(found) == 10


def test_two_samples_never_share_an_output(tmp_path):
    save(tmp_path / "a.npy", zoo.digits().images[:2])
    save(tmp_path / "a-1.npy", zoo.digits().images[7])
    done = run(
        "explain", "zoo:digits", tmp_path / "a.npy", tmp_path / "a-1.npy", "--out", tmp_path / "o" / "x.json", code=codes.USAGE
    )
    assert "two samples would be called 'a-1'" in done.err
    assert json.loads((tmp_path / "o" / "x-a-1.json").read_text())["target"] == [1]


def test_outputs_among_the_inputs_are_refused(digits):
    done = run("explain", "zoo:digits", digits, "--out", digits / "heat.png", code=codes.USAGE)
    assert "would be one of them next time" in done.err


def test_the_bar_is_drawn_on_a_terminal_and_the_document_stays_clean(digits, monkeypatch):
    done = run("explain", "zoo:digits", digits, "--json")
    assert len(done.document["explanations"]) == 10
    assert done.err == ""


def test_errors_that_name_their_file_do_not_name_it_twice(tmp_path):
    path = written(tmp_path / "x.png", b"no image")
    assert run("explain", "zoo:digits", path, code=3).err.count("x.png") == 1


def test_a_model_file_is_an_error_of_its_own(tmp_path, digits):
    path = written(tmp_path / "model.npz", b"nothing")
    assert "no readable .npz file" in run("explain", path, digits, code=3).err
    with pytest.raises(errors.FormatError):
        lrp_ref.load(path)
