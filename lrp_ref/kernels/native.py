"""The C core. Only this module imports it: a tool that reads sources alone sees the package itself in its place."""

from .. import _ext
from ..errors import FormatError

#: That of the core that this Python code was written for. One that was built from other sources, as it stays behind in a
#: checkout, might compute something else without any error.
INTERFACE = 4


def require(found: object) -> None:
    """Refuse a core with another interface."""
    if found != INTERFACE:
        raise FormatError(
            f"the compiled core has interface {found}, this package needs {INTERFACE}: build it again "
            "(pip install -e . or python setup.py build_ext --inplace), or choose backend='numpy'"
        )


require(getattr(_ext, "INTERFACE", None))

__all__ = ["_ext"]
