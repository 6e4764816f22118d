"""Runs over many samples: interrupted anywhere they go on, and what was made otherwise is never taken for theirs."""

import errno
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, zoo
from lrp_ref import layers as L
from lrp_ref.cli import codes, digests, locks, writing
from lrp_ref.cli import explain_command as command
from lrp_ref.cli.journal import Journal
from lrp_ref.errors import ExistingFileError
from support.cli_runner import ROOT, run

DIGITS = 4


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The working folder, with digits in `in`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for label, image in enumerate(zoo.digits().images[:DIGITS]):
        np.save(tmp_path / "in" / f"{label}.npy", image)
    return tmp_path


def explain(*options, model="zoo:digits", out="o/heat.json", code=0):
    return run("explain", model, "in", "--out", out, *options, code=code)


def content(folder="o"):
    """Every file below a folder, hidden ones too, as bytes."""
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


@cache
def undisturbed(*options):
    """What a run leaves that nothing disturbed; the folder is removed again."""
    explain(*options)
    found = content()
    remove("o")
    return found


def remove(folder):
    for path in Path(folder).iterdir():
        path.unlink()
    Path(folder).rmdir()


def lines():
    return Path("o/heat.run.jsonl").read_text().splitlines()


def counts(text):
    """How many samples were explained, and how many were there already."""
    found = re.search(r"^(\d+) explained(?:, (\d+) there already)?", text, re.MULTILINE)
    return int(found[1]), int(found[2] or 0)


def interrupt(monkeypatch, owner, name, calls, late=False):
    """Let the call number `calls` of a method be interrupted before or after it does its work."""
    method, count = getattr(owner, name), [0]

    def stopped(*arguments):
        count[0] += 1
        if count[0] == calls and not late:
            raise KeyboardInterrupt
        done = method(*arguments)
        if count[0] == calls:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopped)
        yield


# --- interruptions --------------------------------------------------------------------------------------------------------

# What a run does for one sample, in this order; it is stopped at the second sample, before or after each.
STEPS = [(command, "write", 2), (Journal, "publish", 2), (Journal, "_append", 3), (Path, "replace", 5), (Journal, "add", 2)]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("owner", "name", "call"), STEPS)
@pytest.mark.parametrize("over", [False, True])
def test_a_run_that_was_stopped_anywhere_ends_as_if_it_was_not(work, monkeypatch, owner, name, call, late, over):
    wanted = undisturbed("--target", "3")
    if over:  # other outputs are there, and --force writes over them
        explain()
    stop = interrupt(monkeypatch, owner, name, call, late)
    next(stop)
    explain("--target", "3", *["--force"] * over, code=codes.INTERRUPTED)
    next(stop, None)
    done = explain("--target", "3")
    assert content() == wanted
    assert 0 < counts(done.out)[1] < DIGITS
    assert done.err == ""


def test_what_a_forced_run_did_not_reach_is_not_taken_for_its_own(work, monkeypatch):
    explain()
    stop = interrupt(monkeypatch, Journal, "add", 2, late=True)
    next(stop)
    explain("--target", "3", "--force", code=codes.INTERRUPTED)
    next(stop, None)
    assert "2 explained, 2 there already" in explain("--target", "3").out
    assert [json.loads(Path(f"o/heat-{i}.json").read_text())["target"] for i in range(DIGITS)] == [[3]] * DIGITS


def test_force_ends_with_its_run(work):
    explain("--force")
    Path("o/heat-1.json").write_text("mine")
    assert "not the file that this run wrote" in explain(code=codes.FILE).err
    np.save("in/9.npy", zoo.digits().images[9])
    Path("o/heat-9.json").write_text("mine")
    assert "o/heat-9.json is there and was not written by this run" in explain(code=codes.FILE).err
    assert Path("o/heat-9.json").read_text() == "mine"


def test_a_run_begun_with_force_replaces_what_was_there_but_nothing_that_changed_since(work, monkeypatch):
    explain()
    stop = interrupt(monkeypatch, Journal, "add", 2, late=True)
    next(stop)
    explain("--target", "3", "--force", code=codes.INTERRUPTED)
    next(stop, None)
    Path("o/heat-0.json").write_text("mine")  # this run had written it
    done = explain("--target", "3", code=codes.FILE)
    assert "o/heat-0.json is not the file that this run wrote; remove it" in done.err
    assert "2 explained, 1 there already and skipped (--force writes them again), 1 failed" in done.out
    assert Path("o/heat-0.json").read_text() == "mine"


def test_an_output_whose_record_was_lost_is_known_by_the_intent(work, monkeypatch):
    write = command.write
    stop = interrupt(monkeypatch, Journal, "add", 2)
    next(stop)
    explain(code=codes.INTERRUPTED)  # the output is there, its record is not
    next(stop, None)

    def otherwise(explanation, path, *arguments):  # as another version of what draws would do it
        write(explanation, path, *arguments)
        path.write_text(path.read_text() + "\n")

    monkeypatch.setattr(command, "write", otherwise)
    assert f"{DIGITS - 1} explained, 1 there already" in explain().out
    assert Path("o/heat-1.json").read_text().endswith("\n\n")
    assert f"{DIGITS} there already" in explain().out


# --- what changed in between ----------------------------------------------------------------------------------------------


def test_a_model_that_was_replaced_under_its_name_is_noticed(work):
    lrp_ref.save(zoo.load("digits"), "m.npz")
    explain(model="m.npz")
    before = content()
    lrp_ref.save(zoo.load("digits_bn"), "m.npz", overwrite=True)
    done = explain(model="m.npz", code=codes.FILE)
    assert "made with another content of model; choose another --out, or --force" in done.err
    assert content() == before
    explain("--force", model="m.npz")
    lrp_ref.save(zoo.load("digits_bn"), "elsewhere.npz")
    assert f"{DIGITS} there already" in explain(model="elsewhere.npz").out  # the same network by another name


@pytest.mark.parametrize("option", ["--labels", "--vocab"])
def test_a_file_that_was_replaced_under_its_name_is_noticed(work, option):
    names = [f"name{i}" for i in range(10)] if option == "--labels" else list(zoo.vocabulary("sentences").numbers)
    Path("words.txt").write_text("\n".join(names), encoding="utf-8")
    Path("in.txt").write_text("the film was not bad\nthe film was bad\n")
    call = ("explain", "zoo:digits", "in") if option == "--labels" else ("explain", "zoo:sentences", "in.txt")
    run(*call, option, "words.txt", "--out", "o/heat.json")
    Path("words.txt").write_text("\n".join([*names[:-2], names[-1], names[-2]]), encoding="utf-8")
    done = run(*call, option, "words.txt", "--out", "o/heat.json", code=codes.FILE)
    assert f"another content of {option.strip('-')}" in done.err


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (("--backend", "reference"), "backend"),
        (("--precision", "float64"), "precision"),
        (("--rule", "conv1=Flat()"), "rules"),
        (("--memory", "low"), "memory"),
        (("--low", "-1", "--high", "2"), "low, high"),
        (("--allow-negative",), "allow_negative"),
        (("--top", "2"), "top"),
    ],
)
def test_every_option_that_changes_outputs_is_a_setting(work, option, named):
    explain()
    done = explain(*option, code=codes.FILE)
    assert f"made with other settings ({named})" in done.err
    assert explain("--threads", "1", "--ledger", "--json").err.startswith("lrp-ref: warning: whole ledgers are not kept")


def test_the_default_is_the_setting_that_it_stands_for(work):
    explain()
    again = ("--backend", lrp_ref.BACKENDS[-1], "--precision", "float32", "--target", "predicted")
    assert f"{DIGITS} there already" in explain(*again).out


def test_an_input_that_changed_is_noticed_and_the_others_go_on(work):
    explain()
    np.save("in/1.npy", zoo.digits().images[7])
    done = explain(code=codes.FILE)
    assert "o/heat-1.json was made of another input than 1 is now; remove it to explain 1 again" in done.err
    assert "0 explained, 3 there already and skipped (--force writes them again), 1 failed" in done.out
    Path("o/heat-1.json").unlink()
    assert "1 explained, 3 there already" in explain().out
    assert json.loads(Path("o/heat-1.json").read_text())["target"] == [7]


@pytest.mark.parametrize("junk", [b"", b"PK", b"{}\n"])
def test_an_output_is_known_by_its_content(work, junk):
    explain()
    Path("o/heat-2.json").write_bytes(junk)
    assert "o/heat-2.json is not the file that this run wrote" in explain(code=codes.FILE).err
    assert Path("o/heat-2.json").read_bytes() == junk


def test_settings_under_which_nothing_was_made_bind_nobody(work, monkeypatch):
    stop = interrupt(monkeypatch, command, "write", 1)
    next(stop)
    explain("--target", "3", code=codes.INTERRUPTED)
    next(stop, None)
    assert f"{DIGITS} explained" in explain().out


# --- a journal that was damaged -------------------------------------------------------------------------------------------

DAMAGES = {
    "torn": (lambda text: text[:-30], 1),
    "no last newline": (lambda text: text[:-1], 0),
    "empty": (lambda text: b"", 1),
    "empty lines": (lambda text: text.replace(b"\n", b"\n\n"), DIGITS + 1),
    "all junk": (lambda text: b"\x00\xff\xfe junk", 1),
    "junk in between": (lambda text: text.replace(b'\n{"name": "1"', b'\n\x80\x81{"name": "1"'), 1),
    "a torn line in between": (lambda text: text.replace(b'\n{"name": "1"', b'\n{"name": "1", "pre\n{"name": "1"'), 1),
    "settings lost": (lambda text: text.partition(b"\n")[2], 0),
    "settings torn": (lambda text: text[40:], 1),
    "other JSON": (lambda text: text + b'null\n[1, 2]\n"1"\n7\n{"name": "2"}\n{"name": "3", "digests": {"run": "x"}}\n', 6),
    "deep JSON": (lambda text: text + b"[" * 100_000 + b"\n", 1),
    "not a name": (lambda text: text.replace(b'"name": "1"', b'"name": 1'), 1),
    "a line twice": (lambda text: text + text.splitlines()[-1] + b"\n", 0),
    "two settings": (lambda text: text.splitlines()[0] + b"\n" + text, 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_mended_and_that_is_said(work, damage):
    wanted = undisturbed()
    explain()
    journal, (damaged, lost) = Path("o/heat.run.jsonl"), DAMAGES[damage]
    journal.write_bytes(damaged(journal.read_bytes()))
    done = explain()
    assert content() == wanted
    assert done.err.count("warning") == (lost > 0)
    assert f"o/heat.run.jsonl: {lost} line(s) cannot be read and are removed" in done.err or not lost
    assert explain().err == ""


def test_after_a_line_without_its_end_nothing_is_lost(work, monkeypatch):
    explain()
    journal = Path("o/heat.run.jsonl")
    journal.write_bytes(journal.read_bytes()[:-1])
    Path("o/heat-2.json").unlink()
    stop = interrupt(monkeypatch, Journal, "add", 1, late=True)
    next(stop)
    explain(code=codes.INTERRUPTED)
    next(stop, None)
    assert [json.loads(line).get("name") for line in lines()] == [None, "0", "1", "2", "3", None, "2"]


def test_without_its_journal_a_run_knows_its_outputs_when_it_has_made_them_again(work):
    wanted = undisturbed()
    explain()
    Path("o/heat.run.jsonl").unlink()
    assert f"{DIGITS} explained" in explain().out
    assert content() == wanted


def test_lines_of_another_run_are_none_of_this(work):
    explain("--target", "3")
    foreign = lines()[1]
    remove("o")
    wanted = undisturbed()
    explain()
    with Path("o/heat.run.jsonl").open("a") as journal:
        journal.write(foreign + "\n")
    assert "made with other settings" in explain(code=codes.FILE).err
    Path("o/heat.run.jsonl").write_text("\n".join([foreign, *lines()[1:]]) + "\n")
    assert "made with other settings" in explain(code=codes.FILE).err
    explain("--force")
    assert content() == wanted


def test_a_journal_of_an_older_version_is_refused(work):
    explain()
    header = {key: value for key, value in json.loads(lines()[0]).items() if key not in ("run", "digests", "force")}
    Path("o/heat.run.jsonl").write_text("\n".join([json.dumps(header), '{"name": "1", "predicted": 1}']) + "\n")
    before = content()
    assert f"written by lrp_ref {lrp_ref.__version__}, in another form" in explain(code=codes.FILE).err
    assert content() == before


def test_the_journal_is_in_order_when_the_run_is_over(work):
    explain()
    Path("o/heat-1.json").unlink()
    explain()
    np.save("in/0a.npy", zoo.digits().images[9])
    explain()
    found = [json.loads(line) for line in lines()]
    assert next(iter(found[0])) == "lrp_ref"
    assert [line["name"] for line in found[1:]] == ["0", "0a", "1", "2", "3"]
    assert all(line["out"] == f"o/heat-{line['name']}.json" for line in found[1:])
    assert all(line["digests"]["output"] == digests.of_file(Path(line["out"])) for line in found[1:])
    run("explain", "zoo:digits", "in/3.npy", "in/2.npy", "--out", "o/heat.json")  # of fewer samples
    assert [json.loads(line)["name"] for line in lines()[1:]] == ["3", "2", "0", "0a", "1"]


# --- several runs at once -------------------------------------------------------------------------------------------------


def killer(plan):
    """`tests/support/killer.py` with a plan."""
    if not hasattr(os, "fork"):
        pytest.skip("processes that are killed are started by fork")
    env = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    program = [sys.executable, str(Path(__file__).parents[1] / "support" / "killer.py")]
    done = subprocess.run(program, input=json.dumps(plan), capture_output=True, text=True, env=env, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_three_runs_on_one_output_lose_nothing_and_one_at_a_time_works(work):
    wanted = sorted(str(Path(name).relative_to("o")) for name in undisturbed())
    command = ["explain", "zoo:digits", "in", "--out", "o/heat.json", "--threads", "1"]
    done = killer({"what": "crowd", "seed": 0, "folder": str(work), "commands": [command] * 3})
    assert done["codes"] == [0, 0, 0], done["said"]
    assert done["names"] == wanted
    assert [json.loads(line)["name"] for line in lines()[1:]] == [str(i) for i in range(DIGITS)]
    assert sorted(counts(said) for said in done["said"]) == [(0, DIGITS), (0, DIGITS), (DIGITS, 0)]


def test_one_picture_of_two_runs_at_once_is_one_of_theirs(work):
    Path("o").mkdir()
    commands = [["explain", "zoo:digits", f"in/{i}.npy", "--out", "o/heat.json", "--threads", "1"] for i in (1, 1, 2)]
    done = killer({"what": "crowd", "seed": 0, "folder": str(work), "commands": commands})
    assert sorted(done["codes"]) == [0, codes.FILE, codes.FILE], done["said"]
    assert done["names"] == ["heat.json"]
    assert json.loads(Path("o/heat.json").read_text())["target"] == [1 if 0 in done["codes"][:2] else 2]


def test_who_must_wait_says_so_and_who_will_be_refused_does_not_wait(work, monkeypatch):
    explain()
    with locks.alone(Path("o/.heat.run"), lambda: None, lambda: None):
        assert "made with other settings (target)" in explain("--target", "3", code=codes.FILE).err

        def stop(seconds):
            raise KeyboardInterrupt

        monkeypatch.setattr(locks.time, "sleep", stop)
        done = explain(code=codes.INTERRUPTED)
    assert "warning: another run writes o/heat-NAME.json; this one waits until it is over" in done.err


def test_a_room_is_one_processs_and_gone_in_the_end(tmp_path, monkeypatch):
    room, waited = tmp_path / "room", []
    room.mkdir()
    (room / "draft").write_text("left by a process that was killed")
    with locks.alone(room, lambda: waited.append(1), lambda: None):
        assert [path.name for path in room.iterdir()] == ["lock"]
        outer = pytest.MonkeyPatch()
        outer.setattr(locks.time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), locks.alone(room, lambda: waited.append(2), lambda: None):
            pass
        outer.undo()
    assert waited == [2]
    assert not room.exists()


def test_a_lock_on_a_file_that_is_gone_is_no_lock(tmp_path, monkeypatch):
    room, lock = tmp_path / "room", locks._lock

    def late(file, unlocked):  # its owner left, and took the file along, between our opening and locking it
        monkeypatch.setattr(locks, "_lock", lock)
        (room / "lock").unlink()
        return lock(file, unlocked)

    monkeypatch.setattr(locks, "_lock", late)
    with locks.alone(room, lambda: None, lambda: None):
        assert (room / "lock").exists()


def test_a_file_system_without_locks_is_said(work, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(file, how):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert "this file system has no locks; let no other run write o/heat-NAME.json" in explain().err

    def broken(file, how):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    assert "broken" in explain(code=codes.FILE).err


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_in_between_is_not_overwritten(tmp_path, monkeypatch, links):
    def link(old, new):
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", link)
    with writing.atomic_write(tmp_path / "a.txt") as part:
        part.write_text("first")
    assert (tmp_path / "a.txt").read_text() == "first"
    (tmp_path / "b.txt").write_text("yours")
    with pytest.raises(ExistingFileError, match="--force"):
        writing.move_into_place(tmp_path / "a.txt", tmp_path / "b.txt", False)
    assert (tmp_path / "b.txt").read_text() == "yours"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_two_writers_of_one_file_have_a_part_each(tmp_path):
    with writing.atomic_write(tmp_path / "a.txt", force=True) as part:
        part.write_text("slow")
        with writing.atomic_write(tmp_path / "a.txt") as other:
            other.write_text("fast")
        assert (tmp_path / "a.txt").read_text() == "fast"
    assert (tmp_path / "a.txt").read_text() == "slow"


@pytest.mark.parametrize(
    ("trials", "kills", "suffix"),
    [(1, 4, ".json"), *(pytest.param(3, 5, suffix, marks=pytest.mark.slow) for suffix in (".json", ".npz"))],
)
def test_random_kills_lose_and_mix_nothing(tmp_path, trials, kills, suffix):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for i in range(20):
        np.save(inputs / f"s{i:02d}.npy", zoo.digits().images[i % 10] * (1 - i / 64))
    plan = {"what": "kills", "seed": 11, "folder": str(tmp_path), "inputs": str(inputs)}
    done = killer(plan | {"trials": trials, "kills": kills, "suffix": suffix})
    assert done["wrong"] == []
    assert done["files"] == 21
    assert done["killed"] > 0


# --- digests --------------------------------------------------------------------------------------------------------------


def net(value=1.0, name="dense1"):
    weight = np.array([[value, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return Model.sequential([L.Dense(weight, np.zeros(2)), L.ReLU()], names=(name, "relu1"))


def test_the_digest_of_a_model_is_that_of_its_content():
    first = net()
    found = digests.of(first)
    first(np.ones((1, 3)))  # what is derived from a model does not count
    assert digests.of(first) == digests.of(net()) == found
    others = [net(1.5), net(name="other"), net().astype(np.float32), net().astype(object)]
    others += [Model.sequential([L.Dense(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.zeros(2)), L.Tanh()])]
    assert len({found, *map(digests.of, others)}) == len(others) + 1


def test_the_digest_of_an_array_is_that_of_its_numbers():
    array = np.arange(24.0).reshape(2, 3, 4)
    assert digests.of(array) == digests.of(np.asfortranarray(array)) == digests.of(np.repeat(array, 2, axis=0)[::2])
    others = [array.reshape(6, 4), array.astype(np.float32), array + 1, array[:0], np.float64(3), np.array(3.0), array.tolist()]
    others += [np.array([Fraction(1, 3)]), np.array([Fraction(1, 2)]), np.array([0.0]), np.array([-0.0])]
    assert len({digests.of(array), *map(digests.of, others)}) == len(others) + 1


def test_large_arrays_are_read_in_blocks(monkeypatch):
    array = np.arange(1000.0).reshape(10, 100).T
    found = digests.of(array)
    monkeypatch.setattr(digests, "CHUNK", 64)
    assert digests.of(array) != digests.of(array + 1)
    assert found != digests.of(array[::-1])


def test_digests_tell_plain_data_apart():
    things = [None, True, 1, 1.0, "1", b"1", (), (1,), ((1,),), ("ab", "c"), ("a", "bc"), {}, {"a": 1}, {"b": 1}, Fraction(1)]
    assert len({digests.of(thing) for thing in things}) == len(things)
    assert digests.of({"a": 1, "b": 2}) == digests.of({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="not of function"):
        digests.of(lambda: None)


@pytest.mark.parametrize("name", ["digits", "digits_bn", "sentences"])
def test_every_network_of_the_zoo_has_a_digest(name):
    assert digests.of(zoo.load(name)) == digests.of(zoo.load(name))
