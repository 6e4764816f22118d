"""Speed: a module or a package for each backend; nothing here is part of a definition.

A backend is a line in `NEEDS` and a record `BACKEND`, in a module of its name, or in the module `backend` of a package of its
name: a package is imported to look for its `_core`, and must not import its steps then.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from ..errors import LrpError, missing_extra
from ..step import Backend

#: The backends in the order of preference, the best last, and the module without which each cannot compute.
NEEDS = {"jit": "numba", "numpy": "numpy", "compiled": f"{__name__}.compiled._core"}


def installed() -> tuple[str, ...]:
    """The names of the backends that can compute here."""
    return tuple(name for name, module in NEEDS.items() if find_spec(module) is not None)


def load(name: str) -> Backend:
    """An installed backend."""
    module = import_module(f".{name}", __name__)
    if hasattr(module, "__path__"):
        module = import_module(".backend", module.__name__)
    backend: Backend = module.BACKEND
    return backend


def missing(name: object) -> LrpError | None:
    """The error for a backend that lacks an extra; None where no extra brings it."""
    return missing_extra("numba", "numba", 'backend="jit"') if name == "jit" else None
