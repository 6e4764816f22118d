"""The C core. Only this module imports it: a tool that reads sources alone sees the package itself in its place."""

from .. import _ext

__all__ = ["_ext"]
