"""What a run over many samples has written, so that it can be interrupted anywhere and go on, and mixes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ExistingFileError
from . import digests
from .locks import alone

#: Settings that say where something lies. What lies there is known by its digest.
PLACES = ("model", "labels", "vocab", "vectors", "preprocess")

Line = dict[str, Any]


@dataclass(eq=False)
class Journal:
    """STEM.run.jsonl beside the outputs: the settings of the run in its first line, then a line for each sample.

    A sample is noted twice: before its output takes its place, as an intent, and after that with its record. Both lines hold
    the digests of the settings, of the sample and of the output. When the run is over, the file is put in order: one line for
    each sample. A run that finds a journal goes on with it where settings and contents are the same, and refuses otherwise.

    Attributes
    ----------
    out : the path from which the outputs have their names
    settings : what was asked for, as plain data, and under "digests" the contents of what the settings name
    force : whether outputs that are there are written again
    warn : what is told of repairs
    """

    out: Path
    settings: Line
    force: bool = False
    warn: Callable[[str], None] = print
    _records: dict[str, Line] = field(default_factory=dict)
    _intents: set[tuple[str, str]] = field(default_factory=set)
    _order: list[str] = field(default_factory=list)
    _folder: Path | None = None

    def __post_init__(self) -> None:
        self.settings = json.loads(json.dumps(self.settings, default=str))  # as it will be read again

    @property
    def path(self) -> Path:
        """The journal's own file."""
        return self.out.with_name(f"{self.out.stem}.run.jsonl")

    @property
    def run(self) -> str:
        """The digest of all that the outputs depend on but the samples."""
        return digests.of({key: value for key, value in self.settings.items() if key not in PLACES})

    def output(self, name: str) -> Path:
        """The path of the output of a sample: heat.png becomes heat-NAME.png.

        Parameters
        ----------
        name : of the sample
        """
        return self.out.with_name(f"{self.out.stem}-{name}{self.out.suffix}")

    def draft(self, name: str) -> Path:
        """The path at which the output of a sample is made before it takes its place.

        Parameters
        ----------
        name : of the sample
        """
        assert self._folder is not None, "drafts are made while the journal is open"
        return self._folder / self.output(name).name

    @contextmanager
    def opened(self) -> Iterator[Journal]:
        """The journal for this process alone, with what an earlier run wrote; put in order at the end.

        Raises
        ------
        ExistingFileError
            Where an earlier run had other settings or another network, and `force` is not set.
        """
        folder = self.out.with_name(f".{self.out.stem}.run")
        with alone(folder, self._wait, self._warn_unlocked) as self._folder:
            self._begin()
            yield self
            self._finish()

    def _wait(self) -> None:
        if not self.force:
            self._check(_read(self.path))  # what will be refused needs no waiting
        self.warn(f"another run writes {self.output('NAME')}; this one waits until it is over")

    def _warn_unlocked(self) -> None:
        self.warn(f"{self.path.parent}: this file system has no locks; let no other run write {self.output('NAME')} meanwhile")

    # --- the samples --------------------------------------------------------------------------------------------------

    def earlier_record(self, name: str, sample: str) -> Line | None:
        """The record of a sample whose output is there, from the same sample; None where it must be explained.

        Parameters
        ----------
        name : of the sample
        sample : the digest of its content

        Raises
        ------
        ExistingFileError
            Where the output is there and was made of another sample, or is not what this run wrote.
        """
        self._order.append(name)
        known, path = self._records.get(name), self.output(name)
        if known is None or not path.exists():
            return None
        way_out = f"remove it to explain {name} again, or --force to write all outputs again"
        if known["digests"]["sample"] != sample:
            raise ExistingFileError(f"{path} was made of another input than {name} is now; {way_out}")
        if known["digests"]["output"] != digests.of_file(path):
            raise ExistingFileError(f"{path} is not the file that this run wrote; {way_out}")
        return {key: value for key, value in known.items() if key != "digests"}

    def publish(self, name: str, sample: str) -> Line:
        """Let the draft of a sample take its place, after an intent is noted; returns the digests for its record.

        Parameters
        ----------
        name : of the sample
        sample : the digest of its content

        Raises
        ------
        ExistingFileError
            Where another file is there.
        """
        draft, path = self.draft(name), self.output(name)
        marks = {"run": self.run, "sample": sample, "output": digests.of_file(draft)}
        there = digests.of_file(path) if path.exists() and not self.force else marks["output"]
        if there != marks["output"] and (name, there) not in self._intents:
            raise ExistingFileError(f"{path} is there and was not written by this run; --force overwrites it")
        self._append({"intent": name, "digests": marks})
        draft.replace(path)
        return marks

    def add(self, record: Line) -> None:
        """Note the record of a sample whose output has taken its place.

        Parameters
        ----------
        record : as plain data, with its digests
        """
        self._append(record)
        self._records[record["name"]] = record

    # --- the file -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Read what an earlier run wrote, mend it, or begin."""
        earlier = _Lines() if self.force else _read(self.path)
        self._check(earlier)
        self._records = {line["name"]: line for line in earlier.lines if "name" in line}
        self._intents = {(line["intent"], line["digests"]["output"]) for line in earlier.lines if "intent" in line}
        header = earlier.header or {}
        begun = header.get("run") == self.run
        # What was begun with --force goes on with it until it is over: it replaced some outputs, and must replace the others.
        self.force = self.force or (begun and header.get("force") is True)
        if earlier.broken:
            self.warn(f"{self.path}: {earlier.broken} line(s) cannot be read and are removed; their samples are explained again")
        if not begun or earlier.broken or not earlier.ended:
            self._write([self._header(self.force), *earlier.lines])

    def _finish(self) -> None:
        """Put the file in order: the settings, then one line for each sample, those of this run first."""
        names = dict.fromkeys([*(name for name in self._order if name in self._records), *self._records])
        self._write([self._header(False), *(self._records[name] for name in names)])

    def _check(self, earlier: _Lines) -> None:
        """Refuse to go on with what was made otherwise; where nothing was made yet, anything may begin."""
        header = earlier.header
        way_out = "choose another --out, or --force to write all of them again"
        if header is not None and "run" not in header:
            raise ExistingFileError(f"{self.path} was written by lrp_ref {header['lrp_ref']}, in another form; {way_out}")
        if all(line["digests"]["run"] == self.run for line in earlier.lines):
            return
        changed = {} if header is None else {key: header.get(key) != value for key, value in self.settings.items()}
        other = [key for key in changed if changed[key] and key not in (*PLACES, "digests")]
        contents = [] if header is None else [k for k, v in self.settings["digests"].items() if header["digests"].get(k) != v]
        what = f"other settings ({', '.join(other)})" if other or not contents else f"another content of {', '.join(contents)}"
        raise ExistingFileError(f"{self.path} says that these outputs were made with {what}; {way_out}")

    def _header(self, force: bool) -> Line:
        first = {"lrp_ref": self.settings["lrp_ref"]}  # in front, for people
        return first | self.settings | {"run": self.run, "force": force}

    def _append(self, line: Line) -> None:
        with self.path.open("ab", buffering=0) as file:  # one write, so that an interruption tears one line at most
            file.write(_line_bytes(line))

    def _write(self, lines: Sequence[Line]) -> None:
        assert self._folder is not None
        part = self._folder / self.path.name
        part.write_bytes(b"".join(map(_line_bytes, lines)))
        part.replace(self.path)


def _line_bytes(line: Line) -> bytes:
    return json.dumps(line).encode("ascii") + b"\n"


@dataclass(eq=False)
class _Lines:
    """What a journal holds.

    Attributes
    ----------
    header : the settings, where they can be read
    lines : the samples, as intents and with their records
    broken : how many lines are neither
    ended : whether the last line is ended
    """

    header: Line | None = None
    lines: list[Line] = field(default_factory=list)
    broken: int = 0
    ended: bool = True


def _read(path: Path) -> _Lines:
    """The journal at `path`, of which an interrupted run may have left half of the last line."""
    result = _Lines()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return result
    result.ended = content.endswith(b"\n")
    for text in content.removesuffix(b"\n").split(b"\n"):
        line = _parsed(text)
        if result.header is None and "lrp_ref" in line and ("run" not in line or isinstance(line.get("digests"), dict)):
            result.header = line
        elif _is_of_a_sample(line):
            result.lines.append(line)
        else:
            result.broken += 1
    return result


def _parsed(text: bytes) -> Line:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}


def _is_of_a_sample(line: Line) -> bool:
    """Whether a line is an intent or a record, with its digests."""
    digest = line.get("digests")
    named = isinstance(line.get("name", line.get("intent")), str)
    return named and isinstance(digest, dict) and all(isinstance(digest.get(key), str) for key in ("run", "sample", "output"))
