"""Pipes, terminals of 80 columns, NO_COLOR, the progress bar; what a run keeps, and what `info` says is missing."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Model, zoo
from lrp_ref import layers as L
from lrp_ref.cli import codes, demo, info
from lrp_ref.cli.terminal import command_lines, fitting, terminal_table, wrapped
from support.cli_runner import CALL, ROOT, fresh, run
from support.terminal import on_terminal, screen

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for label in range(3):
        np.save(folder / f"{label}.npy", zoo.digits().images[label])
    return folder


# --- pipes ---------------------------------------------------------------------------------------------------------------


def with_a_closed_pipe(*arguments, closed="stdout"):
    """(exit code, what the other stream got) of a command whose reader has gone away before it wrote a word."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    call = [sys.executable, "-c", CALL, *map(str, arguments)]
    process = subprocess.Popen(call, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)
    getattr(process, closed).close()
    other = process.stderr if closed == "stdout" else process.stdout
    text = other.read().decode()
    other.close()
    return process.wait(timeout=60), text


@pytest.mark.parametrize("arguments", [("--help",), ("explain", "--help"), ("inspect", "zoo:digits", "--json")])
def test_a_pipe_that_closes_early_is_no_error(arguments):
    assert with_a_closed_pipe(*arguments) == (codes.OK, "")


def test_errors_that_nobody_reads_leave_the_output_alone(digits):
    code, text = with_a_closed_pipe("explain", "zoo:digits", digits, "--low", "-9", "--high", "9", closed="stderr")
    assert code == codes.OK
    assert text == "" or "3 explained" in text


def test_files_are_written_although_nobody_reads_what_is_said(digits, tmp_path):
    assert with_a_closed_pipe("explain", "zoo:digits", digits, "--out", tmp_path / "a" / "r.npz") == (codes.OK, "")
    assert sorted(p.name for p in (tmp_path / "a").glob("*.npz")) == ["r-0.npz", "r-1.npz", "r-2.npz"]


# --- text that fits ------------------------------------------------------------------------------------------------------


def test_lines_are_broken_between_words_and_go_on_below_their_text():
    assert wrapped("prediction  " + "word " * 4, 24).split("\n") == ["prediction  word word", "            word word"]
    assert wrapped("a line without a head", 12).split("\n") == ["a line", "  without a", "  head"]
    assert wrapped("/a/word/that/is/too/long", 10) == "/a/word/that/is/too/long"
    assert wrapped("short\nlines", 10) == "short\nlines"


def test_commands_go_on_behind_a_backslash():
    text = command_lines(["lrp-ref", "explain", "'a b'", "--out", "x.png"], 20)
    assert text.split("\n") == ["lrp-ref explain \\", "      'a b' --out \\", "      x.png"]


def test_cells_are_broken_between_words_and_numbers_never():
    lines = terminal_table(("rule", "x"), [["Epsilon(epsilon=1, signed=True)", "12.5"]], {1}, {1}, 24)
    assert lines == ["rule                   x", "─" * 24, "Epsilon(epsilon=1,  12.5", "signed=True)"]


def test_the_last_spare_column_stays_while_its_longest_word_has_room():
    columns, row = ("node", "rule", "a", "b"), ["n" * 10, "Rule(alpha=1, beta=2, gamma=3)", "1" * 9, "2" * 9]
    assert fitting(columns, [row], {2, 3}, (3, 1), 10 + 13 + 9 + 4) == [0, 1, 2]
    assert fitting(columns, [row], {2, 3}, (3, 1), 10 + 13 + 9 + 1) == [0, 2]
    assert fitting(columns, [row], {2, 3}, (3, 1), 100) == [0, 1, 2, 3]


#: What is said of columns that are left out.
TOO_NARROW = """(The terminal is too narrow for the columns --json has them all.)
    inputs, bias, stabiliser, unassigned, most against; reads, parameters; shape, arriving, rounding, Σ|R| below;"""


@on_posix
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("rules",),
        ("info",),
        ("inspect", "zoo:digits_bn"),
        ("explain", "zoo:digits", "digits/2.npy", "--ledger"),
        ("explain", "zoo:digits", "digits"),
        ("explain", "zoo:digits", "digits/2.npy", "--target", "all"),
        ("explain", "zoo:digits", "digits/2.npy", "--composite", "epsilon_pluss"),
    ],
)
def test_nothing_is_wider_than_80_columns_and_no_word_is_broken(digits, monkeypatch, arguments):
    monkeypatch.chdir(digits.parent)
    monkeypatch.setenv("LRP_REF_NUM_THREADS", "1")
    written, _ = on_terminal(*arguments)
    lines = screen(written)
    assert max(map(len, lines)) <= 80
    piped = run(*arguments, code=codes.USAGE if "epsilon_pluss" in arguments else codes.OK)
    words = set(re.findall(r"\S+", f"{piped.out} {piped.err} {TOO_NARROW}"))
    assert [word for line in lines for word in line.split() if word not in words and not set(word) <= set("─")] == []


@on_posix
def test_the_rule_column_of_a_ledger_fits_80_columns(digits):
    written, code = on_terminal("explain", "zoo:digits", digits / "2.npy", "--ledger")
    assert code == codes.OK
    assert any(re.match(r"node +rule +inputs +bias +stabiliser +unassigned$", line) for line in screen(written))


@on_posix
def test_no_colour_means_no_escape_codes(digits):
    arguments = ("explain", "zoo:digits", digits / "2.npy", "--ledger")
    assert b"\x1b[1m" in on_terminal(*arguments)[0]
    assert b"\x1b" not in on_terminal(*arguments, NO_COLOR="1")[0]
    assert b"\x1b[1m" in on_terminal(*arguments, NO_COLOR="")[0]
    running = on_terminal("explain", "zoo:digits", digits, NO_COLOR="1")[0]
    assert not re.search(rb"\x1b\[[0-9;]*m", running)  # the bar moves the cursor, and has no colours


@on_posix
def test_errors_stand_above_the_bar_which_counts(digits):
    (digits / "1.npy").write_bytes(b"junk")
    written, code = on_terminal("explain", "zoo:digits", digits)
    assert code == codes.FILE
    text = "\n".join(screen(written))
    assert re.search(r"^lrp-ref: error:", text, re.MULTILINE)
    assert "1.npy: this is no readable .npy file:" in " ".join(text.split())
    assert "explaining" not in text  # the bar is gone, and nothing of it is left in the line of the error
    assert b"3/3" in written


# --- what is kept, what is there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outputs", "kept"), [(20, True), (21, False)])
def test_a_journal_keeps_the_best_of_many_scores(tmp_path, outputs, kept):
    model = lrp_ref.save(Model.sequential([L.Dense(np.ones((3, outputs)))], input_shape=(3,)), tmp_path / "m.npz")
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.ones(3))
    arguments = ("explain", model, tmp_path / "a.npy", tmp_path / "b.npy", "--out", tmp_path / "r.npz", "--json")
    assert len(run(*arguments).document["explanations"][0]["prediction"]) == outputs
    _, *lines = map(json.loads, (tmp_path / "r.run.jsonl").read_text().splitlines())
    assert [("prediction" in line, len(line["best"])) for line in lines] == [(kept, 5)] * 2
    again = run(*arguments).document["explanations"][0]
    assert (again["status"], "prediction" in again, len(again["best"])) == ("there already", kept, 5)


def test_info_says_what_is_missing_and_how_to_install_it(monkeypatch):
    there = run("info", "--json").document
    monkeypatch.setattr(info, "find_spec", lambda name: None if name in ("onnx", "matplotlib") else object())
    found = run("info", "--json").document
    assert found["missing"] == {"pictures": "pip install 'lrp_ref[plot]'", ".onnx": "pip install 'lrp_ref[onnx]'"}
    assert found["formats"] == [".npz"]
    assert there["formats"] == [name for name in (".npz", ".onnx") if name not in there["missing"]]
    assert ".onnx (pip install 'lrp_ref[onnx]')" in run("info").out
    monkeypatch.setattr(info, "find_spec", lambda name: object())
    assert re.search("^missing +nothing$", run("info").out, re.MULTILINE)


# --- completion ----------------------------------------------------------------------------------------------------------


def completed(*words):
    """What bash is offered for the last of the words."""
    environment = {"_LRP_REF_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = fresh(**environment)
    assert (done.code, done.err) == (0, "")
    return [line.partition(",")[2] for line in done.out.splitlines() if line.startswith("plain,")]


def test_a_shell_completes_commands_options_and_values():
    assert completed("lrp-ref", "expl") == ["explain"]
    assert completed("lrp-ref", "explain", "--comp") == ["--composite"]
    assert completed("lrp-ref", "explain", "--composite", "lstm_a") == ["lstm_all", "lstm_abs"]
    assert completed("lrp-ref", "explain", "--preprocess", "im") == ["imagenet"]
    assert completed("lrp-ref", "inspect", "zoo:digits_") == ["zoo:digits_bn"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_the_lines_that_it_evaluates(shell):
    text = fresh(_LRP_REF_COMPLETE=f"{shell}_source", PATH=os.environ["PATH"]).out
    assert "lrp-ref" in text
    assert "_LRP_REF_COMPLETE" in text


# --- the demo ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "said"), [(None, "without its compiled core: "), ("x86-64-v3", "the compiled core for x86-64-v3")]
)
def test_the_demo_says_what_computes(tmp_path, monkeypatch, found, said):
    monkeypatch.setattr(demo, "instruction_set", lambda: found)
    monkeypatch.setattr(demo, "_write", lambda *_: {tmp_path: "nothing"})
    assert said in run("demo", "--out", tmp_path / "demo").out


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "lrp_ref", "--version"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert lrp_ref.__version__ in done.stdout.decode()
