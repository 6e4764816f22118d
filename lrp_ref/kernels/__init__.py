"""Speed: a package for each backend; nothing here is part of a definition.

A backend is a package with a module `backend`, which holds its record `BACKEND`, and a line in `NEEDS`.
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
    backend: Backend = import_module(f".{name}.backend", __name__).BACKEND
    return backend


def missing(name: object) -> LrpError | None:
    """The error for a backend that lacks an extra; None where no extra brings it."""
    return missing_extra("numba", "numba", 'backend="jit"') if name == "jit" else None
