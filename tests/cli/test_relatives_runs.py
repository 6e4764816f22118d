"""A run that was disturbed and taken up again ends as one that was not, or is refused; two runs are never mixed.

Written from the kind's description, without sight of the code. What must hold is read off the outputs: each is, byte for byte,
that of one undisturbed run, and every sample has a record with its value. A refusal (not exit code 0) that leaves the outputs
alone is as good where something else than the outputs changed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model
from lrp_ref import layers as L
from lrp_ref.cli import main

NAMES = [f"s{i}" for i in range(4)]
JOURNAL = Path("out/h.run.jsonl")


def network(seed):
    rng = np.random.default_rng(seed)
    return Model.sequential([L.Dense(rng.uniform(0.1, 1, (4, 5))), L.ReLU(), L.Dense(rng.normal(size=(5, 3)))])


def inputs(folder, names=NAMES, seed=0):
    Path(folder).mkdir(exist_ok=True)
    for i, name in enumerate(names):
        np.save(Path(folder) / f"{name}.npy", np.random.default_rng([seed, i]).uniform(0.1, 1, 4))


def run(*options, folder="in", out="out/h.npz"):
    """`lrp-ref explain`, in this process; its exit code."""
    before = sys.argv
    sys.argv = ["lrp-ref", "explain", "net.npz", folder, "--out", out, "--target", "0", *options]
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    finally:
        sys.argv = before
    return 0


def start(*options):
    """The same in a child that can be killed."""
    command = [sys.executable, "-m", "lrp_ref.cli", "explain", "net.npz", "in", "--out", "out/h.npz", "--target", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(lrp_ref.__file__).parents[1])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def outputs():
    return {path.stem[2:]: path.read_bytes() for path in sorted(Path("out").glob("h-*.npz"))}


def records():
    """The values by sample in the journal, each line of which must be a line."""
    lines = [json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    return {line["name"]: line["targets"][0]["value"] for line in lines if "name" in line and line.get("targets")}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a network and inputs, where a run has ended undisturbed; its outputs and records."""
    monkeypatch.chdir(tmp_path)
    lrp_ref.save(network(0), "net.npz")
    inputs("in")
    assert run() == 0
    return outputs(), records()


def undisturbed(*options):
    """What the files as they are now give, elsewhere."""
    before = outputs()
    assert run(*options, out="fresh/h.npz") == 0
    fresh = {path.stem[2:]: path.read_bytes() for path in sorted(Path("fresh").glob("h-*.npz"))}
    assert outputs() == before
    return fresh


def assert_same_or_refused(code, expected, before):
    """Everything is right; or something was refused and stays as it was: what fails is said, the others go on."""
    if code == 0:
        assert outputs() == expected
    else:
        assert all(found in (before.get(name), expected[name]) for name, found in outputs().items())
        assert set(before) <= set(outputs())


def test_a_run_that_ended_is_left_alone(place):
    assert run() == 0
    assert (outputs(), records()) == place


SPOILED = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "one byte": lambda path: path.write_bytes(path.read_bytes()[:-40] + b"!" + path.read_bytes()[-39:]),
    "text": lambda path: path.write_text("junk"),
    "another's": lambda path: path.write_bytes(Path("out/h-s0.npz").read_bytes()),
}


@pytest.mark.parametrize("how", SPOILED)
def test_an_output_that_is_not_what_was_written(place, how):
    SPOILED[how](Path("out/h-s2.npz"))
    before = outputs()
    assert_same_or_refused(run(), place[0], before)
    assert run("--force") == 0
    assert (outputs(), records()) == place


def test_two_outputs_that_were_exchanged(place):
    a, b = Path("out/h-s1.npz"), Path("out/h-s3.npz")
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    assert_same_or_refused(run(), place[0], outputs())


JOURNALS = {
    "gone": lambda text: None,
    "empty": lambda text: "",
    "torn in its last line": lambda text: text[:-25],
    "torn in its first line": lambda text: text[:25],
    "without its last end of line": lambda text: text.rstrip("\n"),
    "without its last line": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    "junk at its end": lambda text: text + "\x00\x00\x00\x00",
    "a line of junk inside": lambda text: text.replace("\n", "\n}{ junk\n", 2),
    "a number for a line": lambda text: text + "17\n",
    "a list for a line": lambda text: text + "[]\n",
    "only junk": lambda text: "junk\n" * 3,
    "each line twice": lambda text: "".join(line * 2 for line in text.splitlines(keepends=True)),
}


@pytest.mark.parametrize("how", JOURNALS)
def test_a_journal_that_is_not_what_was_written(place, how):
    """Repaired, or refused until --force; no record is lost and no line is left that is none."""
    text = JOURNALS[how](JOURNAL.read_text(encoding="utf-8"))
    JOURNAL.unlink() if text is None else JOURNAL.write_text(text, encoding="utf-8")
    if run() != 0:
        assert outputs() == place[0]
        assert run("--force") == 0
    assert (outputs(), records()) == place


def test_a_journal_that_is_no_text(place):
    JOURNAL.write_bytes(bytes(range(128, 256)) * 4)
    code = run()
    assert code in (0, 3)
    if code:
        assert run("--force") == 0
    assert (outputs(), records()) == place


@pytest.mark.parametrize("missing", [[], ["s1"], NAMES], ids=["nothing missing", "one missing", "all missing"])
def test_a_network_that_was_replaced(place, missing):
    for name in missing:
        Path(f"out/h-{name}.npz").unlink()
    lrp_ref.save(network(1), "net.npz", overwrite=True)
    expected, before = undisturbed(), outputs()
    assert_same_or_refused(run(), expected, before)


def test_the_same_network_in_a_new_file_is_the_same(place):
    lrp_ref.save(network(0), "net.npz", overwrite=True)
    later = time.time() + 60
    os.utime("net.npz", (later, later))
    Path("out/h-s1.npz").unlink()
    assert run() == 0
    assert outputs() == place[0]


@pytest.mark.parametrize("missing", [[], ["s1"]], ids=["nothing missing", "another missing"])
def test_an_input_that_was_changed(place, missing):
    for name in missing:
        Path(f"out/h-{name}.npz").unlink()
    np.save("in/s2.npy", np.full(4, 0.25))
    expected, before = undisturbed(), outputs()
    assert_same_or_refused(run(), expected, before)


def test_inputs_that_came_later_are_added(place):
    inputs("in", [*NAMES, "s4"])
    expected = undisturbed()
    assert run() == 0
    assert outputs() == expected
    assert set(records()) == {*NAMES, "s4"}


def test_another_folder_with_the_same_names(place):
    inputs("other", seed=9)
    before = outputs()
    assert run(folder="other", out="fresh/h.npz") == 0
    expected = {path.stem[2:]: path.read_bytes() for path in sorted(Path("fresh").glob("h-*.npz"))}
    assert_same_or_refused(run(folder="other"), expected, before)


OTHERS = [["--backend", "reference"], ["--precision", "float32"], ["--rule", "*=Zero()"], ["--composite", "alpha1_beta0"]]
OTHERS += [["--contrast", "1"], ["--target", "1"], ["--target", "all"]]


@pytest.mark.parametrize("options", OTHERS, ids=" ".join)
@pytest.mark.parametrize("missing", [[], ["s1", "s2"]], ids=["nothing missing", "two missing"])
def test_other_settings_are_never_mixed_in(place, options, missing):
    for name in missing:
        Path(f"out/h-{name}.npz").unlink()
    expected, before = undisturbed(*options), outputs()
    assert_same_or_refused(run(*options), expected, before)


MANY = [f"s{i:02}" for i in range(30)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What undisturbed runs make of many samples for targets 0 and 1."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("undisturbed"))
    try:
        lrp_ref.save(network(0), "net.npz")
        inputs("in", MANY)
        return {target: undisturbed("--target", str(target), "--force") for target in (0, 1)}
    finally:
        os.chdir(before)


@pytest.fixture
def many(expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lrp_ref.save(network(0), "net.npz")
    inputs("in", MANY)
    return expected


def kill_after(child, count, how, newer=None):
    """End the child as soon as so many outputs are there (newer than a time, where one is given)."""
    until = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < until:
        done = [path for path in Path("out").glob("h-*.npz") if newer is None or path.stat().st_mtime_ns > newer]
        if len(done) >= count:
            break
        time.sleep(0.001)
    if child.poll() is None:
        child.send_signal(how)
    child.communicate(timeout=30)


@pytest.mark.parametrize(("count", "how"), [(1, signal.SIGKILL), (12, signal.SIGKILL), (15, signal.SIGTERM), (9, signal.SIGINT)])
def test_a_run_that_was_ended_from_outside_is_taken_up(many, count, how):
    kill_after(start(), count, how)
    assert run() == 0
    assert outputs() == many[0]
    assert sorted(records()) == MANY
    assert not [path for path in Path("out").iterdir() if path.suffix not in (".npz", ".jsonl", ".lock") and path.is_file()]


@pytest.mark.parametrize("then", [["--target", "1"], []], ids=["with the new target", "with the old target"])
def test_a_forced_run_that_was_killed_mixes_no_targets(many, then):
    assert run() == 0
    newest = max(path.stat().st_mtime_ns for path in Path("out").glob("h-*.npz"))
    kill_after(start("--target", "1", "--force"), 10, signal.SIGKILL, newest)
    before = outputs()
    code = run(*then)
    assert outputs() == (many[1 if then else 0] if code == 0 else before)
    assert run("--target", "1", "--force") == 0
    assert outputs() == many[1]


def test_three_runs_on_one_output(many):
    children = [start() for _ in range(3)]
    ends = [child.communicate(timeout=60) and child.returncode for child in children]
    assert 0 in ends
    assert set(ends) <= {0, 3}
    assert run() == 0
    assert outputs() == many[0]
    assert sorted(records()) == MANY
