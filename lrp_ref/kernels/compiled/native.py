"""The C core. Only this module imports it: a tool that reads sources alone sees the package itself in its place."""

import os

from ...errors import FormatError, unknown
from . import _core

#: That of the core that this Python code was written for. One that was built from other sources, as it stays behind in a
#: checkout, might compute something else without any error.
INTERFACE = 11


#: What LRP_REF_INSTRUCTION_SET may name. A set that the processor does not have means the best that it has.
INSTRUCTION_SETS = ("x86-64-v4", "x86-64-v3", "baseline")


def require_set(asked: str) -> None:
    """Refuse the name of no instruction set."""
    if asked and asked not in INSTRUCTION_SETS:
        raise unknown("instruction set in LRP_REF_INSTRUCTION_SET", asked, INSTRUCTION_SETS)


def require(found: object) -> None:
    """Refuse a core with another interface."""
    if found != INTERFACE:
        raise FormatError(
            f"the compiled core has interface {found}, this package needs {INTERFACE}: build it again "
            "(pip install -e . or python setup.py build_ext --inplace), or choose backend='numpy'"
        )


require(getattr(_core, "INTERFACE", None))
require_set(os.environ.get("LRP_REF_INSTRUCTION_SET", ""))

__all__ = ["_core"]
