"""The package as a whole: what importing costs, that it can be vendored, that its papers agree with each other."""

import ast
import doctest
import importlib
import inspect
import json
import pkgutil
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lrp_ref"
CONVENTION = re.compile(r"CONV-[A-Z0-9]+(?:-[A-Z0-9]+)*")


def run_isolated(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that finds packages in `path` and is told nothing by the environment."""
    program = f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"
    return subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", program], capture_output=True, text=True, timeout=120, check=False
    )


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_importing_pulls_in_numpy_alone_and_prints_nothing():
    done = run_isolated(
        "import numpy\nbefore = set(sys.modules)\nimport lrp_ref\n"
        "import json; sys.stderr.write(json.dumps(sorted(set(sys.modules) - before)))",
        ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert "lrp_ref" in loaded
    assert loaded - {"lrp_ref", "numpy"} <= sys.stdlib_module_names


def test_importing_brings_networks_and_what_explains_them_comes_when_it_is_asked_for():
    program = """
import json, lrp_ref
early = sorted(name for name in sys.modules if name.startswith("lrp_ref."))
names = {name: type(getattr(lrp_ref, name)).__name__ for name in lrp_ref.__all__}
rooms = {name: getattr(lrp_ref, name).__name__ for name in sorted(lrp_ref._ROOMS)}
print(json.dumps([early, dir(lrp_ref) == sorted([*lrp_ref.__all__, "__version__"]), names, rooms]))
lrp_ref.nothing
"""
    done = run_isolated(program, ROOT)
    early, listed, names, rooms = json.loads(done.stdout)
    assert not [name for name in early if re.match(r"lrp_ref\.(rules|composites|explain|propagate|step|kernels|formats)", name)]
    assert listed
    assert names["canonize"] == names["explain"] == names["load"] == "function"
    assert names["Explainer"] == names["Composite"] == "type"
    assert names["rules"] == names["composites"] == "module"
    assert rooms.pop("heads") == "lrp_ref.propagate.heads"
    assert rooms == {room: f"lrp_ref.{room}" for room in rooms}
    assert "AttributeError: module 'lrp_ref' has no attribute 'nothing'" in done.stderr


PUBLIC = {
    "": """
        BACKENDS Booking Composite Domain Explainer Explanation Ledger Model Node Predictor adopt canonize composites
        errors explain heads layers load methods rules save
    """,
    # Layers and rules that can be made are pinned by the tables of their tests: support.strategies.KINDS and
    # support.more_layers.CASES, and the formulas of lrp_ref.oracle.
    ".layers": "Activation Layer Linear Rearrangement Recurrent Selecting",
    ".rules": "LinearRule ProductRule RelativeEpsilon Rule relative",
    ".oracle": """
        Account Messages NeuronTable Pool Upper explain_neuron messages
    """,
    ".zoo": """
        HeldOut Sentences classes digits load names sentences vocabulary
    """,
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_the_pinned_ones(module):
    """A name that appears or disappears is a decision; it is made here and in the changelog."""
    found = importlib.import_module(f"lrp_ref{module}")
    things = {name: getattr(found, name) for name in found.__all__}
    made = {name for name, thing in things.items() if module in MADE and _can_be_made(thing, MADE[module])}
    assert sorted(set(things) - made) == sorted(PUBLIC[module].split())


#: Packages whose classes that can be made are pinned elsewhere, and what these are.
MADE = {".layers": "Layer", ".rules": "Rule"}


def _can_be_made(thing: object, base: str) -> bool:
    bases = [kind.__name__ for kind in getattr(thing, "__mro__", ())]
    return base in bases[1:] and not inspect.isabstract(thing)


@pytest.mark.parametrize("package", ["layers", "rules"])
def test_every_public_layer_and_rule_is_documented(package):
    """By the module that it is in: docs/_ext/reference.py finds the names, and what each of them alone has."""
    pages = "\n".join(f.read_text(encoding="utf-8") for f in (ROOT / "docs").rglob("*.md"))
    modules = re.findall(r"automodule:: (\S+)\n   :members:\n", pages)
    modules += [
        line.split()[0] for block in re.findall(r"```{reference}\n(.*?)\n```", pages, re.DOTALL) for line in block.splitlines()
    ]
    assert len(modules) == len(set(modules))
    found = importlib.import_module(f"lrp_ref.{package}")
    places = {name: getattr(found, name).__module__ for name in found.__all__}
    assert [name for name, place in places.items() if not any(f"{place}.".startswith(f"{module}.") for module in modules)] == []


def test_the_reference_of_a_class_has_what_it_alone_has(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs" / "_ext"), *sys.path])
    import reference

    from lrp_ref import layers

    lines = list(reference.listing(["lrp_ref.layers.merge Product", "lrp_ref.layers.recurrent"]))
    text = [line for line in "\n".join(lines).splitlines() if line]
    assert text[:5] == [
        ".. automodule:: lrp_ref.layers.merge",
        ".. autoclass:: lrp_ref.layers.Concat",
        ".. autoclass:: lrp_ref.layers.merge.Product",
        "   :members: factors",
        ".. autoclass:: lrp_ref.layers.Multiply",
    ]
    assert ".. autoclass:: lrp_ref.layers.LSTM" in text
    assert reference.members(layers.Layer)[:3] == ["parameter_names", "arity", "shape"]
    assert reference.members(layers.ReLU) == []


def test_the_lines_of_the_texts_can_be_reviewed():
    """A line of a table is as long as it is; others are wrapped, or a change of a word shows a paragraph."""
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    lines = [(file.name, line) for file in texts for line in file.read_text(encoding="utf-8").splitlines()]
    assert [pair for pair in lines if len(pair[1]) > 150 and not pair[1].lstrip().startswith(("|", "$"))] == []


VENDORED = """
import importlib, pkgutil
sys.modules["lrp_ref"] = None  # from here on `import lrp_ref` raises ImportError
package = importlib.import_module("host._vendor.lrp_ref")
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import numpy as np
layers = importlib.import_module("host._vendor.lrp_ref.layers")
model = package.Model.sequential([layers.Dense(np.array([[3.0, -1.0], [-1.0, 2.0]]), np.array([1.0, -1.0]))])
e = package.explain(model, np.array([[1.0, 2.0]]), target=0, rule=package.rules.Zero())
print(e.relevance.tolist())
importlib.import_module("host._vendor.lrp_ref.zoo").load("digits")
# Cython enters a compiled module under the name that it was built as, too; nothing asks for it by that name.
found = [name for name in sys.modules if name.startswith("lrp_ref.") and name != "lrp_ref.kernels.compiled._core"]
assert not found, "an absolute import inside the package"
"""


@pytest.mark.parametrize("left_out", ["__pycache__", "kernels"])
def test_the_package_works_when_copied_into_another_tree(tmp_path, left_out):
    """With everything, and without what is there for speed alone."""
    vendor = tmp_path / "host" / "_vendor"
    vendor.mkdir(parents=True)
    for folder in (vendor.parent, vendor):
        (folder / "__init__.py").touch()
    shutil.copytree(PACKAGE, vendor / "lrp_ref", ignore=shutil.ignore_patterns("__pycache__", left_out))
    done = run_isolated(VENDORED, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[[3.0, -2.0]]"


def test_every_import_inside_the_package_is_relative():
    absolute = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            absolute += [f"{file.relative_to(ROOT)}: {n}" for n in names if n.partition(".")[0] == "lrp_ref"]
    assert absolute == []


def test_the_version_is_the_same_everywhere():
    done = run_isolated("import lrp_ref; print(lrp_ref.__version__)", ROOT)
    version = project()["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert done.stdout.strip() == version, done.stderr
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [version]
    newest, date = re.findall(r"^## (\S+) \((\S+)\)$", changes, re.MULTILINE)[0]
    assert newest == version
    assert re.findall(r"^date-released: (.*)$", citation, re.MULTILINE) == [date]


def test_conventions_have_one_id_each_and_an_anchor_of_that_name():
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    entries = re.findall(rf"^\((\S+)\)=\n### `({CONVENTION.pattern})`: ", text, re.MULTILINE)
    ids = [name for _, name in entries]
    assert len(ids) == text.count("\n### ") == len(set(ids))
    assert [anchor for anchor, _ in entries] == [name.lower() for name in ids]
    bodies = re.split(r"^### .*$", text, flags=re.MULTILINE)[1:]
    incomplete = [n for n, body in zip(ids, bodies, strict=True) if not ("**Here.**" in body and "**Source.**" in body)]
    assert incomplete == []


def test_every_convention_that_is_cited_exists():
    defined = set(CONVENTION.findall((ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")))
    files = [
        *PACKAGE.rglob("*.py"),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
    ]
    cited = {(name, str(f.relative_to(ROOT))) for f in files for name in CONVENTION.findall(f.read_text(encoding="utf-8"))}
    assert cited, "nothing cites a convention"
    assert {(name, file) for name, file in cited if name not in defined} == set()


def test_the_readme_opens_with_two_lines_that_do_all_their_set_up():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.startswith("```sh\n")
    demo, tests = code_blocks(text, "sh")[0].splitlines()
    for line in (demo, tests):
        assert line.startswith("python3 -m venv .venv && .venv/bin/python -m pip install ")
    assert demo.endswith(" && .venv/bin/lrp-ref demo")
    assert " && .venv/bin/python -m pytest" in tests


def test_the_lines_of_python_in_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = code_blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python")
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_oldest_dependencies_of_the_gate_are_the_lower_bounds():
    extras = project()["optional-dependencies"]
    bounds = [*project()["dependencies"], *extras["cli"], *extras["plot"]]
    pinned = [line for line in (ROOT / ".ci" / "oldest.txt").read_text().splitlines() if not line.startswith("#")]

    def release(version: str) -> list[int]:
        return ([int(part) for part in version.split(".")] + [0, 0])[:3]

    stated = {name: release(bound) for name, bound in (b.split(">=") for b in bounds)}
    assert {name: release(pin) for name, pin in (p.split("==") for p in pinned)} == stated


def test_the_examples_in_the_docstrings_do_what_they_say():
    found = 0
    for module in pkgutil.walk_packages([str(PACKAGE)], "lrp_ref."):
        if "__main__" not in module.name:
            failed, tried = doctest.testmod(importlib.import_module(module.name))
            assert not failed, module.name
            found += tried
    failed, tried = doctest.testmod(importlib.import_module("lrp_ref"))
    assert not failed
    assert found + tried > 0


DOCUMENTED = """
import importlib, inspect, pkgutil, lrp_ref
names = ["lrp_ref", *(m.name for m in pkgutil.walk_packages(lrp_ref.__path__, "lrp_ref.") if "__main__" not in m.name)]
for module in map(importlib.import_module, names):
    for name, thing in vars(module).items():
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and not name.startswith("_"):
            for member, value in vars(thing).items():
                value = getattr(value, "__func__", value)
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    # A step follows the protocol Step without inheriting from it.
                    if not inspect.getdoc(getattr(thing, member)) and not hasattr(lrp_ref.propagate.plan.Step, member):
                        print(f"{module.__name__}.{name}.{member}")
"""


def test_every_public_method_is_documented_by_itself_its_base_class_or_its_protocol():
    done = run_isolated(DOCUMENTED, ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_no_test_reaches_the_network():
    with socket.socket() as one, pytest.raises(RuntimeError, match="a test tried to reach the network"):
        one.connect(("127.0.0.1", 9))


def test_every_extra_that_an_error_names_exists():
    named = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "missing_extra":
                named.add(ast.literal_eval(node.args[1]))
    assert named >= {"cli", "plot"}
    assert named <= set(project()["optional-dependencies"])


@pytest.mark.parametrize("file", ["LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "lrp_ref/py.typed"])
def test_the_files_that_packaging_promises_exist(file):
    assert (ROOT / file).is_file()
