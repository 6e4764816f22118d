"""Explanations as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, is_exact
from ..booking import AMOUNTS, COLUMNS
from ..errors import FormatError, ParameterError
from ..formats.archive import Archive, open_archive, write
from ..ledger import Booking, Entry, Ledger, plain
from .explanation import FORMAT, VERSION, Explanation

_BUDGET = 2**33  # bytes of the arrays
_LONGEST = 2**26  # characters of the facts, which hold the ledger


def write_explanation(explanation: Explanation, path: str | Path, overwrite: bool = False) -> Path:
    """Write an explanation, as `Explanation.save` says.

    Parameters
    ----------
    explanation : what is written
    path : of the file, which ends in .npz
    overwrite : whether a file of that name is replaced

    Raises
    ------
    ParameterError, ExistingFileError, FormatError
        As `Explanation.save` raises them.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise ParameterError(f"an explanation is saved as .npz, not {target.suffix or 'without a suffix'}: {target}")
    about = {
        "format": FORMAT,
        "version": VERSION,
        "inputs": list(explanation.inputs),
        "method": explanation.method,
        "parameters": dict(explanation.parameters),
        "composite": explanation.composite,
        "head": explanation.head,
        "remarks": list(explanation.remarks),
        "cautions": list(explanation.cautions),
        "backend": explanation.backend,
        "precision": explanation.precision,
        "number_type": "rational" if is_exact(explanation.value) else str(explanation.dtype),
        "feature_names": list(explanation.feature_names),
        "class_names": list(explanation.class_names),
        "ledger": None if explanation.ledger is None else _accounts(explanation.ledger),
    }
    inputs = {f"activation/{name}": array for name, array in explanation.activations.items()}
    found = {name: array.astype(str) if is_exact(array) else array for name, array in inputs.items()}
    found |= {} if explanation.doubt is None else {"doubt": explanation.doubt}
    write(target, {"about": np.array(json.dumps(about)), **explanation.arrays(), **found}, overwrite)
    return target


def _accounts(ledger: Ledger) -> Any:
    """A ledger as JSON has it, with the details of its bookings."""
    stored = json.loads(ledger.to_json())
    stored["wiring"] = None if ledger.wiring is None else {name: list(inputs) for name, inputs in ledger.wiring.items()}
    for row, entry in zip(stored["entries"], ledger, strict=True):
        row["details"] = {name: plain(part) for name, part in entry.booking.details.items()}
    return stored


def read_explanation(path: str | Path) -> Explanation:
    """An explanation from the `.npz` that its `save` wrote; nothing in it is unpickled.

    Parameters
    ----------
    path : the file

    Raises
    ------
    FormatError
        Where it is missing, broken or no explanation, or was written by a version that did not keep the inputs.
    """
    source = Path(path)
    try:
        with open_archive(source, _BUDGET) as archive:
            if "about" not in archive.names:
                raise FormatError("this is no explanation: it has no member 'about'")
            return _explanation(archive, json.loads(archive.text("about", _LONGEST)))
    except FormatError as error:
        raise error.at(str(source)) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{source}: this is no explanation that can be read: {error}") from None


def _explanation(archive: Archive, about: Mapping[str, Any]) -> Explanation:
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise FormatError(f"format {about.get('format')!r}, version {about.get('version')!r}; {FORMAT!r}, {VERSION} is read")
    exact = about.get("number_type") == "rational"

    def numbers(name: str) -> Array:
        return archive.rationals(name) if exact else archive.array(name)

    def group(kind: str, read: Any) -> dict[str, Array]:
        return {name.removeprefix(kind): read(name) for name in archive.names if name.startswith(kind)}

    activations = group("activation/", numbers)
    if not activations:
        raise FormatError("the file has no inputs: it was written before they were kept. numpy.load reads its arrays")
    names = archive.names
    facts: dict[str, Any] = {name: about[name] for name in ("backend", "precision", "composite", "head", "method", "parameters")}
    facts |= {name: tuple(about[name]) for name in ("cautions", "feature_names", "class_names")}
    facts["ledger"] = None if about["ledger"] is None else _ledger(about["ledger"])
    facts["doubt"] = archive.array("doubt") if "doubt" in names else None
    facts["shared"] = numbers("shared") if "shared" in names else None
    target = archive.integers("target") if "target" in names else None
    relevances, inputs = group("relevance/", numbers), tuple(about["inputs"])
    return Explanation(relevances, inputs, activations, numbers("prediction"), target, numbers("value"), **facts)


def _ledger(stored: Mapping[str, Any]) -> Ledger:
    """The accounts, in float64 or rationals as they were written."""
    entries = []
    for row in stored["entries"]:
        columns: dict[str, Any] = {name: _numbers(row[name]) for name in (*COLUMNS, *AMOUNTS)}
        details = {name: _numbers(part) for name, part in row.get("details", {}).items()}
        entries.append(Entry(row["node"], row["rule"], Booking(**columns, flags=tuple(row["flags"]), details=details)))
    wiring = stored.get("wiring")
    wiring = None if wiring is None else {name: tuple(inputs) for name, inputs in wiring.items()}
    return Ledger(tuple(entries), _numbers(stored["totals"]["start"]), _numbers(stored["totals"]["relevance"]), wiring)


def _numbers(nested: Any) -> Array:
    """Floats, or rationals where they are written as strings."""
    found = np.asarray(nested)
    if found.dtype.kind != "U":
        return found.astype(np.float64)
    return np.array([Fraction(text) for text in found.reshape(-1).tolist()], dtype=object).reshape(found.shape)
