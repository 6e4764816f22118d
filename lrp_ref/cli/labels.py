"""The names of the classes of a network."""

from __future__ import annotations

import json
from pathlib import Path

from .. import zoo
from ..errors import FormatError


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
