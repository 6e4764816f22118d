"""Where explanations are written: nothing is overwritten unless asked, nothing is left half written, runs resume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import render
from ..arrays import Array
from ..errors import ExistingFileError, ParameterError
from ..explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".npz", ".json", ".html")
DPI = 150


@contextmanager
def whole(path: Path, force: bool = False) -> Iterator[Path]:
    """A path to write to, which becomes `path` when all went well, so that an interruption leaves no half file.

    Raises
    ------
    ExistingFileError
        Where `path` exists and `force` is not set.
    """
    if path.exists() and not force:
        raise ExistingFileError(f"{path} exists; --force overwrites it")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class Look:
    """How a picture is drawn.

    Attributes
    ----------
    style : as `render.picture` takes it
    labels : the names of the classes
    shown : the photograph
    channels_last : whether channels are its last axis
    words : a sentence with its relevance, which is drawn as words
    sequence : the input that runs over time, which is drawn so; "" where none does
    columns : the names of its features
    numbers : whether the relevance of words is shown as numbers, too
    """

    style: str = "panels"
    labels: Sequence[str] | None = None
    shown: Array | None = None
    channels_last: bool = False
    words: Sequence[render.Reading] = ()
    sequence: str = ""
    columns: Sequence[str] | None = None
    numbers: bool = False


def write(explanation: Explanation, path: Path, force: bool = False, look: Look | None = None) -> None:
    """An explanation as a picture, as arrays, or as JSON, by the suffix of `path`."""
    look = look or Look()
    with whole(path, force) as part:
        if path.suffix == ".png":
            _picture(explanation, look).savefig(part, dpi=DPI)
        elif path.suffix == ".npz":
            explanation.save(part, overwrite=True)
        else:
            part.write_text(explanation.to_json() + "\n", encoding="utf-8")


def _picture(explanation: Explanation, look: Look) -> Figure:
    if look.words:
        return render.sentences(look.words, numbers=look.numbers)
    if look.sequence:
        return render.sequence(explanation, labels=look.labels, features=look.columns, name=look.sequence)
    drawn = _channels_first(explanation) if look.channels_last else explanation
    return render.picture(drawn, look.shown, labels=look.labels, style=look.style)


def _channels_first(explanation: Explanation) -> Explanation:
    """The same with the channels of images in front, as pictures take them."""

    def moved(array: Array) -> Array:
        return np.moveaxis(array, -1, -3)

    return replace(
        explanation,
        relevances={name: moved(explanation.relevances[name]) for name in explanation.inputs},
        activations={name: moved(array) for name, array in explanation.activations.items()},
    )


def check_suffix(path: Path | None) -> None:
    """Refuse an output of a kind that is not written, before anything is computed."""
    if path is not None and path.suffix not in SUFFIXES:
        raise ParameterError(f"--out {path}: the suffix says what is written, and must be one of {', '.join(SUFFIXES)}")


def names_of(files: Sequence[Path]) -> list[str]:
    """A short name for each file, and no name twice: the stem, or more of the path where stems clash."""
    for shorten in (lambda p: p.stem, lambda p: p.name, lambda p: "-".join(p.resolve().parts[1:])):
        names = [shorten(file) for file in files]
        if len(set(names)) == len(names):
            break
    return names


@dataclass(eq=False)
class Journal:
    """What a run over several samples has written, in STEM.run.jsonl beside its outputs: settings, then a line per sample.

    A resumed run reads it, so that its table is whole, and so that outputs of other settings are not taken for its own.
    """

    out: Path
    settings: dict[str, Any]
    force: bool = False
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The journal's own file."""
        return self.out.with_name(f"{self.out.stem}.run.jsonl")

    def output(self, name: str) -> Path:
        """Where the sample `name` is written: heat.png becomes heat-NAME.png."""
        return self.out.with_name(f"{self.out.stem}-{name}{self.out.suffix}")

    def open(self) -> None:
        """Read what an earlier run wrote, or begin.

        Raises
        ------
        ExistingFileError
            Where an earlier run had other settings, and `force` is not set.
        """
        lines = [] if self.force or not self.path.exists() else self._lines()
        if lines and lines[0] != self.settings:
            changed = [key for key in self.settings if lines[0].get(key) != self.settings[key]]
            raise ExistingFileError(
                f"{self.path} says that these outputs were made with other settings ({', '.join(changed)}); "
                "choose another --out, or --force to write all of them again"
            )
        self.done = {str(line["name"]): line for line in lines[1:] if "name" in line}
        if not lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.settings) + "\n", encoding="utf-8")

    def _lines(self) -> list[dict[str, Any]]:
        """The lines that can be read: an interrupted run may have left half of the last one."""
        found = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return [line for line in found if isinstance(line, dict)]

    def add(self, record: dict[str, Any]) -> None:
        """Note a sample whose output is written."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
