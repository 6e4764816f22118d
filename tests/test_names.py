"""Names that cannot be printed or stored are refused where they are given; what is drawn or printed is drawn as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrp_ref
from lrp_ref import Composite, Model, Node, render, rules, zoo
from lrp_ref import layers as L
from lrp_ref.errors import GraphError, ParameterError
from lrp_ref.names import LONGEST, complaint, escaped
from support.cli_runner import run

BAD = {
    "NUL": "a\0b",
    "escape": "\x1b[31m",
    "C1": "a\x9bb",
    "delete": "a\x7f",
    "line end": "a\nb",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "surrogate": "\ud800",
    "byte of a file's name": "a\udcffb",
    "long": "n" * (LONGEST + 1),
}
GOOD = ["conv1", "/features/0/Conv_output", "Σ ε", "猫", "a b", "a\u00a0b", "👩\u200d🔬", "$x$", "{0}%s", "n" * LONGEST]


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_names_that_no_table_or_file_holds_are_refused(name):
    dense = L.Dense(np.eye(2))
    for made in (
        lambda: Node(name, dense, ("input",)),
        lambda: Node("a", dense, (name,)),
        lambda: Model((Node("a", dense, ("x",)),), inputs=("x", name)),
    ):
        with pytest.raises(GraphError, match=r"^the name .* (holds .*, a control character: .* is allowed|has 1001 letters)"):
            made()
    with pytest.raises(ParameterError, match="the composite's name"):
        Composite(((L.Layer, rules.Pass()),), name)


@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_other_names_are_good_for_tables_and_files(name, tmp_path):
    assert complaint(name) == ""
    model = Model((Node(name, L.Dense(np.eye(2)), ("input",)),))
    e = lrp_ref.explain(model, np.ones((1, 2)), keep="all", ledger=True)
    stored = np.load(e.save(tmp_path / "e.npz"))
    assert f"relevance/{name}" in stored.files
    assert lrp_ref.load(lrp_ref.save(model, tmp_path / "m.npz")).nodes[0].name == name


def test_text_is_spelled_out():
    assert escaped("a\0\x1b\ud800\u2028é\n") == "a\\x00\\x1b\\ud800\\u2028é\\n"
    assert escaped("a\nb\r", "\n") == "a\nb\\r"
    assert escaped("plain é猫") == "plain é猫"


# ---- pictures ---------------------------------------------------------------------------------------------------------

LABELS = ["$\\frac{1}{$", "cost $5 to $6", "US$_a and $^{", "\ud800", "\x1b[1m", "x" * 5000, "a$b$c"]


@pytest.mark.parametrize("label", LABELS, ids=ascii)
@pytest.mark.parametrize("style", ["panels", "heatmap", "contrast"])
def test_labels_are_drawn_as_they_are(label, style, tmp_path):
    pytest.importorskip("matplotlib")
    target = {"targets": (0, 1)} if style == "contrast" else {"target": 0}
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[:1], **target)
    made = render.picture(e, labels=[label] * 10, style=style)
    made.savefig(tmp_path / "map.png", dpi=30)
    texts = [made.get_suptitle(), *(axes.get_title() for axes in made.axes)]
    assert any(escaped(label)[:20] in text for text in texts)


def test_other_pictures_draw_names_as_they_are(tmp_path):
    pytest.importorskip("matplotlib")
    odd = "$x_$ and \\frac{"
    rng = np.random.default_rng(0)
    model = Model((Node(odd, L.Dense(rng.standard_normal((3, 2))), (f"in {odd}",)),), inputs=(f"in {odd}",))
    e = lrp_ref.explain(model, np.ones((1, 3)), ledger=True)
    render.picture(e).savefig(tmp_path / "bars.png", dpi=30)
    render.ledger(e.ledger).savefig(tmp_path / "ledger.png", dpi=30)
    grid = render.grid([np.ones((2, 2))], [[np.ones((2, 2))]], rows=[odd], columns=[odd], groups=((odd, 1),), title=odd)
    grid.savefig(tmp_path / "grid.png", dpi=30)
    for name in ("bars", "ledger", "grid"):
        assert (tmp_path / f"{name}.png").stat().st_size > 0


# ---- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def net(tmp_path):
    lrp_ref.save(Model.sequential([L.Dense(np.eye(4)[:, :3] + 0.5)]), tmp_path / "net.npz")
    np.save(tmp_path / "a.npy", np.arange(4.0))
    return tmp_path


def test_names_of_classes_do_not_steer_the_terminal(net):
    (net / "labels.json").write_text(json.dumps(["\x1b[31mred", "a\u0007b", "\ud800"]))
    for target in ("0", "1", "2"):
        said = run("explain", net / "net.npz", net / "a.npy", "--labels", net / "labels.json", "--target", target).out
        assert not any(c in said for c in "\x1b\x07\ud800")
    assert "\\x1b[31mred" in said
    record = run("explain", net / "net.npz", net / "a.npy", "--labels", net / "labels.json", "--json").document
    assert {entry["label"] for entry in record["explanations"][0]["best"]} == {"\x1b[31mred", "a\u0007b", "\ud800"}


@pytest.mark.skipif(sys.platform == "win32", reason="links want rights there")
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_force_writes_where_a_link_leads_and_the_link_stays(net, suffix):
    kept = net / f"kept{suffix}"
    kept.write_bytes(b"precious")
    (net / "elsewhere").mkdir()
    link = net / "elsewhere" / f"heat{suffix}"
    link.symlink_to(kept)
    done = run("explain", net / "net.npz", net / "a.npy", "--out", link, code=3)
    assert "exists" in done.err
    assert kept.read_bytes() == b"precious"
    run("explain", net / "net.npz", net / "a.npy", "--out", link, "--force")
    assert link.is_symlink()
    assert kept.read_bytes() != b"precious"
    assert sorted(p.name for p in net.iterdir()) == sorted(["net.npz", "a.npy", "elsewhere", kept.name])
    dangling = net / "elsewhere" / f"gone{suffix}"
    dangling.symlink_to(net / "nothing")
    run("explain", net / "net.npz", net / "a.npy", "--out", dangling, code=3)
    assert dangling.is_symlink()
    assert not (net / "nothing").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_file_whose_name_is_no_text(net):
    name = os.fsdecode(b"caf\xe9.npy")
    try:
        np.save(net / name, np.arange(4.0))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    root = str(Path(lrp_ref.__file__).parents[1])
    for more in ((), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-m", "lrp_ref.cli", "explain", "net.npz", name, *more],
            cwd=net, env={**os.environ, "PYTHONPATH": root}, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
    assert json.loads(done.stdout)["explanations"][0]["input"] == name
