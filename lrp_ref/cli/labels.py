"""The names of the classes of a network, and the class that a name means."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from .. import zoo
from ..errors import FormatError, ParameterError, UnknownNameError

_MOST = 5  # names that a suggestion lists


def labels_of(spec: str, path: Path | None) -> list[str] | None:
    """The names of the classes, from a file or of a network of the zoo; None where nothing names them.

    Parameters
    ----------
    spec : what is typed for the network
    path : the file that is typed for the names

    Raises
    ------
    FormatError
        Where the file cannot be read.
    """
    if path is not None:
        return read_labels(path)
    return list(zoo.classes(spec.removeprefix("zoo:"))) or None if spec.startswith("zoo:") else None


def read_labels(path: Path) -> list[str]:
    """The names of the classes: line k + 1 of a text file is class k; or a JSON list, or a mapping from k to a name.

    Parameters
    ----------
    path : the file; .json says that it is JSON

    Raises
    ------
    FormatError
        Where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        labels = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except OSError as error:
        raise FormatError(f"{path}: the file cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: these are no labels: {error}") from None
    if isinstance(labels, dict):
        if set(labels) != {str(k) for k in range(len(labels))}:
            raise FormatError(f"{path}: labels as a mapping have the keys 0 to {len(labels) - 1}")
        labels = [labels[str(k)] for k in range(len(labels))]
    if not isinstance(labels, list) or not labels:
        raise FormatError(f"{path}: labels are lines of text, a JSON list, or a JSON object from indices to names")
    # {"0": ["n01440764", "tench"]}, as Keras writes it: the last entry is for people.
    return [str(entry[-1] if isinstance(entry, list) and entry else entry).strip() for entry in labels]


def class_of(text: str, labels: Sequence[str]) -> int:
    """The index of the class with a name: its label, or one of the names that commas set apart in it; letters of either case.

    Parameters
    ----------
    text : the name, such as "espresso"
    labels : the names of all classes

    Raises
    ------
    UnknownNameError
        Where no class has that name; the message suggests some.
    ParameterError
        Where several have it.
    """
    wanted = _folded(text)
    found = [k for k, label in enumerate(labels) if _folded(label) == wanted]
    found = found or [k for k, label in enumerate(labels) if wanted in map(_folded, label.split(","))]
    if len(found) > 1:
        raise ParameterError(f"{text!r} is the name of several classes; give the index: {_listed(found, labels)}")
    if not found:
        raise UnknownNameError(f"no class is called {text!r}.{_suggestion(wanted, labels)}")
    return found[0]


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _listed(found: Sequence[int], labels: Sequence[str]) -> str:
    return "; ".join(f"{k} ({labels[k]})" for k in found[:_MOST]) + ("; …" if len(found) > _MOST else "")


def _suggestion(wanted: str, labels: Sequence[str]) -> str:
    """Classes that have the name as a word, else as a part of one, else with a name that is spelled nearly so."""
    folded = [_folded(label) for label in labels]
    near = [k for k, label in enumerate(folded) if re.search(rf"\b{re.escape(wanted)}\b", label)]
    near = near or [k for k, label in enumerate(folded) if wanted in label]
    if not near:
        names = {_folded(name): k for k, label in enumerate(labels) for name in (label, *label.split(",")) if len(name) <= 100}
        near = [names[name] for name in difflib.get_close_matches(wanted[:100], names, n=_MOST)]
    return f" Did you mean {_listed(list(dict.fromkeys(near)), labels)}?" if near else ""
