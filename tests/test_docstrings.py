"""Docstrings have numpydoc sections: what a caller gives (Parameters), and what goes wrong (Raises).

Looked at is what a user meets: what some module of the package exports (`__all__`), the public methods of these classes, and what
the pages of the documentation show. A method that a base class has is documented there, once.
"""

import ast
import builtins
import contextlib
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path

import lrp_ref
from lrp_ref import errors

DOCS = Path(__file__).resolve().parent.parent / "docs"
SHOWN = re.compile(r"^\.\. automodule:: (\S+)\n   :members:(.*)$", re.MULTILINE)
#: name, or several names, then what it is
ENTRY = re.compile(r"^\*{0,2}(\w+(?:, \w+)*) : \S")
#: Raised where the code itself is wrong: no caller can bring it about.
BUGS = {"AssertionError", "NotImplementedError"}


def modules():
    """The modules of the package; not those whose extra, or whose compiled core, is missing here."""
    yield lrp_ref
    for module in pkgutil.walk_packages(lrp_ref.__path__, "lrp_ref."):
        if not module.name.endswith(("__main__", "._core")):
            with contextlib.suppress(ImportError, errors.MissingExtraError):
                yield importlib.import_module(module.name)


def shown():
    """What the pages of the documentation show: all of a module's own public names, or those that a page lists."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md")))
    for name, listed in SHOWN.findall(pages):
        module = importlib.import_module(name)
        own = [key for key, thing in vars(module).items() if getattr(thing, "__module__", None) == name and key[0] != "_"]
        yield from (getattr(module, key.strip()) for key in (listed.split(",") if listed.strip() else own))


@functools.cache
def public():
    """Each function and class that a user meets, by where it is defined."""
    exported = [getattr(module, name) for module in modules() for name in getattr(module, "__all__", ())]
    things = [thing for thing in (*exported, *shown()) if inspect.isfunction(thing) or inspect.isclass(thing)]
    return {_place(thing): thing for thing in things if thing.__module__.startswith("lrp_ref")}


def _place(thing):
    return f"{thing.__module__}.{thing.__qualname__}"


@functools.cache
def functions():
    """Public functions, and those public methods of public classes that no base class has."""
    found = {place: thing for place, thing in public().items() if inspect.isfunction(thing)}
    for kind in (thing for thing in public().values() if inspect.isclass(thing)):
        inherited = set().union(*(vars(base) for base in kind.__mro__[1:]))
        for name, value in vars(kind).items():
            method = inspect.unwrap(getattr(value, "__func__", value))
            if inspect.isfunction(method) and not name.startswith("_") and name not in inherited:
                found[_place(method)] = method
    return found


def sections(thing):
    """The sections of a docstring, by title: the lines below the dashes, which are as many as the title has letters."""
    lines, found, title = inspect.cleandoc(thing.__doc__ or "").splitlines(), {}, ""
    for line, below in zip(lines, [*lines[1:], ""], strict=False):
        if below and set(below) == {"-"} and len(below) > 2:
            assert len(below) == len(line), f"{_place(thing)}: {len(below)} dashes below {line!r}"
            title = line
        elif set(line) != {"-"}:
            found.setdefault(title, []).append(line)
    return found


def described(thing, *titles):
    """The names that the sections of these titles describe; of a class also those that its bases describe."""
    things = [base for base in thing.__mro__ if base.__module__.startswith("lrp_ref")] if inspect.isclass(thing) else [thing]
    lines = [line for own in things for title in titles for line in sections(own).get(title, ())]
    return [name for line in lines if (entry := ENTRY.match(line)) for name in entry[1].split(", ")]


def arguments(thing):
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "cls") and name[0] != "_"]


def raised(function):
    """The expressions that a function's own body raises."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    causes = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    return [text for text in map(ast.unparse, causes) if text.partition("(")[0] not in BUGS]


def test_there_is_something_to_look_at():
    assert len(functions()) > 150
    assert len(public()) > 200


def test_every_argument_of_a_public_function_is_described():
    names = {place: [name for name in arguments(f) if name not in described(f, "Parameters")] for place, f in functions().items()}
    assert {place: missing for place, missing in names.items() if missing} == {}


def test_every_argument_of_a_public_class_is_described():
    """Where the constructor is made of fields, these may be described as attributes."""
    kinds = {place: kind for place, kind in public().items() if inspect.isclass(kind) and kind.__init__ is not object.__init__}
    wanted = {
        place: [name for name in arguments(kind) if name not in described(kind, "Parameters", "Attributes")]
        for place, kind in kinds.items()
        if not (issubclass(kind, Exception) or getattr(kind, "_is_protocol", False))
    }
    assert {place: missing for place, missing in wanted.items() if missing} == {}


def test_no_section_describes_an_argument_that_there_is_not():
    strangers = {
        place: set(described(f, "Parameters")) - set(inspect.signature(f).parameters) for place, f in functions().items()
    }
    assert {place: names for place, names in strangers.items() if names} == {}


def test_every_public_function_that_raises_says_what_and_when():
    assert [place for place, f in functions().items() if raised(f) and not sections(f).get("Raises")] == []


def test_what_is_raised_is_an_error_that_there_is():
    wrong = {}
    for place, function in functions().items():
        lines = [line for line in sections(function).get("Raises", ()) if line]
        names = [name for line in lines if line[0] != " " for name in line.split(", ")]
        kinds = [getattr(errors, name, getattr(builtins, name, None)) for name in names]
        if lines and not (kinds and all(map(_is_error, kinds)) and any(line[0] == " " for line in lines)):
            wrong[place] = lines
    assert wrong == {}


def _is_error(thing):
    return inspect.isclass(thing) and issubclass(thing, Exception)
