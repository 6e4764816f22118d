"""One exception tree: every message says where, what was found, and what would work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self


class LrpError(Exception):
    """Base of every error that lrp_ref raises on purpose."""

    def at(self, location: str) -> Self:
        """The same error with the place where it happened in front of its message.

        Layers and rules know no names; whoever walks the graph adds them.

        Parameters
        ----------
        location : where it happened, such as "node 'conv1' (Conv)"
        """
        return type(self)(f"{location}: {self}")

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message first, then the lines of the caller's; the library's own are left out."""
        import traceback
        from pathlib import Path

        package = str(Path(__file__).parent)
        lines = [f"{type(self).__name__}: {self}", ""]
        for frame in reversed(traceback.extract_tb(self.__traceback__)):
            if not frame.filename.startswith(package) and "/IPython/" not in frame.filename.replace("\\", "/"):
                lines += [f"in {frame.filename}, line {frame.lineno}, {frame.name}:", f"    {frame.line}"]
        return [*lines, "", "(the library's own lines: import traceback; traceback.print_exc() in an except clause)"]


class ShapeError(LrpError, ValueError):
    """An array has a rank, an extent or a channel count that does not fit."""


class NumberTypeError(LrpError, TypeError):
    """An array holds numbers of a kind that the library does not compute with."""


class NonFiniteError(LrpError, ValueError):
    """NaN or infinity where a number is needed."""


class UnderflowError(LrpError, ValueError):
    """A number that something is divided by is too small for its type: what is left of it says nothing."""


class ExactnessError(LrpError, TypeError):
    """Rational arithmetic was asked for something that has no rational value."""


class ParameterError(LrpError, ValueError):
    """A parameter of a layer, a rule or a call is out of its range."""


class RuleError(LrpError, ValueError):
    """A rule does not fit the layer or the input that it was given."""


class DerivativeError(LrpError, TypeError):
    """A gradient was asked for through a layer that has no derivative."""


class DomainError(LrpError, ValueError):
    """Bounds of the input domain are missing or violated."""


class GraphError(LrpError, ValueError):
    """A network is wired in a way that cannot be computed."""


class TargetError(LrpError, ValueError):
    """What is to be explained does not exist or was not chosen."""


class HeadError(LrpError, ValueError):
    """The network ends in a squashing layer and no head was chosen."""


class UnknownNameError(LrpError, LookupError):
    """A node, rule, composite or backend of that name does not exist."""


class FormatError(LrpError, ValueError):
    """A file is broken, foreign, hostile or of an unknown version."""


class ExistingFileError(LrpError, FileExistsError):
    """A file is there already and nobody asked for it to be overwritten."""


class MissingExtraError(LrpError, ImportError):
    """An optional dependency is needed; the message says which extra installs it."""


def unknown(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """An `UnknownNameError` that names the nearest match and what exists.

    Parameters
    ----------
    kind : what the name is a name of, such as "node" or "composite"
    name : what was given
    known : the names that exist; 20 are listed, and the nearest one is suggested
    """
    import difflib  # here, because only who mistypes a name needs it

    names = [str(k) for k in known]
    # The comparison is quadratic in the names' length: a file may hold a hundred thousand names, or long ones.
    near = difflib.get_close_matches(str(name)[:100], [n for n in names[:1000] if len(n) <= 100], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return UnknownNameError(f"unknown {kind} {name!r}.{hint} Known: {listed or 'none'}.")


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """A `MissingExtraError` for `package`, which the extra `extra` installs.

    Parameters
    ----------
    package : the missing package, by the name that pip installs
    extra : the extra of lrp_ref that requires it
    purpose : what needs it, with which the message begins, such as "a picture"
    """
    return MissingExtraError(f"{purpose} needs {package}: pip install 'lrp_ref[{extra}]'")
