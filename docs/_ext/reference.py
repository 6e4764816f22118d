"""`{reference}`: the reference of the layers or the rules of some modules, without lists that are kept by hand.

Each line of the directive names a module; behind it may stand classes that the package does not export, and yet are documented.
Shown are the classes and functions that the package's `__all__` has from this module, in the order of the source, each with what
it alone has: methods and properties with a docstring that no base class has, and attributes with a comment `#:`. What every
layer or every rule has is documented once, at `Layer`, `Linear`, `Rule` and the like.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


def public(module: str, others: tuple[str, ...] = ()) -> list[Any]:
    """The classes and functions of a module that its package exports, and those named `others`, in the order of the source."""
    package = importlib.import_module(".".join(module.split(".")[:2]))
    names = {*package.__all__, *others}
    things = [getattr(package, name, None) or getattr(importlib.import_module(module), name) for name in sorted(names)]
    home = [getattr(thing, "__module__", "") for thing in things]  # a table of a package has none
    inside = [thing for thing, where in zip(things, home, strict=True) if where == module or where.startswith(f"{module}.")]
    return sorted(inside, key=lambda thing: (thing.__module__, inspect.getsourcelines(thing)[1]))


def members(kind: type) -> list[str]:
    """The names of what a class alone has and says something about."""
    bases = set().union(*(vars(base) for base in kind.__mro__[1:]))
    comments = {name for owner, name in ModuleAnalyzer.for_module(kind.__module__).find_attr_docs() if owner == kind.__name__}
    own = {name for name, value in vars(kind).items() if _has_docstring(value)}
    return [name for name in vars(kind) if name in own | comments and name not in bases and not name.startswith("_")]


def _has_docstring(value: Any) -> bool:
    code = inspect.isroutine(value) or isinstance(value, (property, classmethod, staticmethod)) or hasattr(value, "function")
    return code and bool(getattr(value, "__doc__", None))


def listing(lines: list[str]) -> Iterator[str]:
    """The reStructuredText of the modules that the lines name."""
    for line in lines:
        module, *others = line.split()
        yield f".. automodule:: {module}\n"
        for thing in public(module, tuple(others)):
            kind = "class" if isinstance(thing, type) else "function"
            yield f".. auto{kind}:: {_typed(thing)}"
            if isinstance(thing, type) and (names := members(thing)):
                yield f"   :members: {', '.join(names)}"
            yield ""


def _typed(thing: Any) -> str:
    """The name by which a user reaches a class or a function."""
    package = importlib.import_module(".".join(thing.__module__.split(".")[:2]))
    exported = getattr(package, thing.__name__, None) is thing
    return f"{package.__name__ if exported else thing.__module__}.{thing.__name__}"


class Reference(SphinxDirective):
    """``{reference}``: a line for each module."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The nodes that autodoc makes of the listing."""
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *listing(list(self.content)), "```"]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("reference", Reference)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
