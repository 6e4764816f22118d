"""`lrp-ref demo`: the first thing that a newcomer sees must work as it is printed."""

import re
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

import lrp_ref
from lrp_ref import render, zoo
from lrp_ref.cli import codes
from lrp_ref.cli import demo as module
from support.cli_runner import fresh, run


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The demo, run once in a folder of its own as a newcomer would: (folder, result)."""
    folder = tmp_path_factory.mktemp("demo")
    done = fresh("demo", cwd=folder)
    assert done.code == 0, done.err
    return folder, done


def test_every_digit_has_its_prediction(shown):
    _, done = shown
    scores = zoo.load("digits")(zoo.digits().images)
    for digit in range(10):
        assert re.search(rf"^{digit} +{digit} +{scores[digit].max():.4g} +\d ", done.out, re.MULTILINE)
    assert done.err == ""


def test_the_ledger_of_one_is_a_table_that_adds_up(shown):
    _, done = shown
    e = lrp_ref.explain(zoo.load("digits"), zoo.digits().images[3:4], rule=module.ACCOUNT, ledger=True)
    for entry in e.ledger:
        assert re.search(rf"^{entry.node} .*{float(entry.booking.inputs[0]):.4g} ", done.out, re.MULTILINE)
    assert f"{float(e.ledger.start[0]):.6g} = inputs {float(e.ledger.relevance[0]):.6g}" in done.out


def test_the_picture_and_the_digits_are_written_where_it_says(shown):
    folder, done = shown
    assert re.search(r"^lrp-demo/demo.png ", done.out, re.MULTILINE)
    assert sorted(p.name for p in (folder / "lrp-demo" / "digits").iterdir()) == [f"{d}.npy" for d in range(10)]
    for digit, image in enumerate(zoo.digits().images):
        assert np.array_equal(np.load(folder / "lrp-demo" / "digits" / f"{digit}.npy"), image)
    with Image.open(folder / "lrp-demo" / "demo.png") as picture:
        assert min(picture.size) > 1000


def test_every_command_to_try_next_works_as_it_stands(shown, monkeypatch):
    folder, done = shown
    lines = done.out.partition("What to try next\n")[2].splitlines()
    assert len(lines) == 7
    monkeypatch.chdir(folder)
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "lrp-ref"
        assert run(*arguments).out
    assert (folder / "lrp-demo" / "three.png").exists()
    assert (folder / "lrp-demo" / "all.png").exists()
    assert len(list((folder / "lrp-demo" / "maps").glob("digit-*.png"))) == 10


def test_the_columns_of_the_picture_are_the_rules_and_composites_by_name():
    digits = zoo.digits().images
    columns = module._sheet_columns(zoo.load("digits"), digits)
    assert list(columns) == ["LRP-0", "LRP-ε", "LRP-γ", "LRP-αβ", "z⁺", *module.COMPOSITES]
    for name in module.COMPOSITES:
        assert columns[name].composite == name
    for title, rule in module.RULES:
        expected = lrp_ref.explain(zoo.load("digits"), digits, rule=rule).relevance
        assert np.array_equal(columns[title.splitlines()[0]].relevance, expected)


def test_the_picture_shows_each_map_in_its_place(tmp_path, monkeypatch):
    seen = {}
    grid = render.grid

    def kept(inputs, relevances, **labels):
        seen.update(labels, relevances=relevances)
        return grid(inputs, relevances, **labels)

    monkeypatch.setattr(render, "grid", kept)
    monkeypatch.setattr(module, "DPI", 30)
    run("demo", "--out", tmp_path)
    assert seen["rows"][3] == "digit 3\npredicted 3\nscore 5.265"
    place = [c.replace("\n", "") for c in seen["columns"]].index("epsilon_gamma_box")
    expected = lrp_ref.explain(zoo.load("digits"), zoo.digits().images, composite="epsilon_gamma_box").relevance
    assert np.array_equal(seen["relevances"][7][place], expected[7])


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DPI", 30)
    (tmp_path / "demo.png").write_text("mine")
    done = run("demo", "--out", tmp_path, code=codes.FILE)
    assert "--force overwrites it" in done.err
    assert (tmp_path / "demo.png").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo.png"]
    run("demo", "--out", tmp_path, "--force")
    assert (tmp_path / "demo.png").read_bytes()[1:4] == b"PNG"


def test_without_out_the_first_free_folder_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DPI", 30)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lrp-demo").mkdir()
    document = run("demo", "--json").document
    assert document["written"][0] == str(module.Path("lrp-demo-2") / "demo.png")
    assert (tmp_path / "lrp-demo-2" / "demo.png").exists()
    assert list((tmp_path / "lrp-demo").iterdir()) == []
    assert [p["predicted"] for p in document["predictions"]] == list(range(10))
    assert document["example"]["targets"][0]["target"] == 3


def test_without_matplotlib_the_numbers_are_shown_and_the_extra_is_named(tmp_path):
    done = fresh("demo", before="import sys; sys.modules['matplotlib'] = None", cwd=tmp_path)
    assert done.code == codes.EXTRA
    assert "The ledger of digit 3" in done.out
    assert done.err == "lrp-ref: error: a picture needs matplotlib: pip install 'lrp_ref[plot]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("lrp-ref", ["lrp-ref"]),
        ("/somewhere/.venv/bin/lrp-ref", ["/somewhere/.venv/bin/lrp-ref"]),
        ("/site-packages/lrp_ref/cli/__main__.py", [module.Path(sys.executable).name, "-m", "lrp_ref.cli"]),
    ],
)
def test_the_commands_to_try_name_the_program_as_it_was_called(monkeypatch, called, expected):
    monkeypatch.setattr(sys, "argv", [called])
    assert module.program() == expected


def test_a_folder_with_a_space_is_quoted(tmp_path):
    assert any("'a folder/digits'" in line for line in module.next_commands(module.Path("a folder")))
