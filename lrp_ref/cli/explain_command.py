"""What `lrp-ref explain` does with samples: each is explained, written and reported; one at length, many in a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExistingFileError, FormatError, LrpError, ParameterError
from ..preprocess import FirstLayer
from ..propagate.explanation import Explanation
from ..propagate.method import Method
from ..render import Sheets, html, readings
from . import codes, digests
from .coloured_words import add_words, readings_of
from .input_warnings import GUESS, input_warnings
from .journal import Journal
from .network import Network
from .output import Output
from .question import Question
from .records import add_names, record_of
from .regions import add_regions, layout_of
from .report import show_ledger, show_one, show_sentences, show_several
from .samples import NamedSample, Sample
from .writing import DPI, Look, atomic_write, write

MOST_WARNINGS = 5
MOST_SCORES = 20  # that a journal keeps; of more it keeps the best


@dataclass(eq=False)
class ExplainCommand:
    """One call of the command.

    Attributes
    ----------
    out : where its words go
    network, explainer, question : what is explained, by what, and which of its outputs
    head, style, ledger, numbers : as they are typed
    force : whether files that are there are overwritten
    page : one file for all sentences
    about : a line on the call, which stands on the page
    failed : the exit code of the first sample that failed
    warned : how many samples do not fit the model's domain
    names : of the samples until now
    sheets : what the pictures of one call share
    first_layer : what tells an input that was not preprocessed for the network, where something does
    """

    out: Output
    network: Network
    explainer: Method
    question: Question
    head: str | None
    style: str | None
    ledger: bool
    numbers: bool = False
    force: bool = False
    page: Path | None = None
    about: str = ""
    failed: int = codes.OK
    warned: int = 0
    names: set[str] = field(default_factory=set)
    sheets: Sheets = field(default_factory=lambda: Sheets(DPI))
    first_layer: FirstLayer | None = None

    def single(self, entry: NamedSample, path: Path | None) -> dict[str, Any]:
        """Explain the only sample, and say all about it.

        Parameters
        ----------
        entry : the sample
        path : where its explanation is written; None: nowhere

        Raises
        ------
        LrpError
            Where the sample cannot be read or explained, or a file is there already.
        """
        sample = entry.sample
        for file in (path, self.page):
            if file is not None and file.exists() and not self.force:
                raise ExistingFileError(f"{file} exists; --force overwrites it")
        about = {"name": entry.file.stem, "input": str(entry.file), "status": "explained"}
        record = about | self._explain(entry.file.name, sample, path)
        self.out.say(f"{entry.file}")
        self.out.say()
        show_one(self.out, record, self.numbers)
        if self.ledger:
            self._show_ledger(record)
        if path is not None:
            self.out.say()
            self.out.say(f"wrote {path}")
        self.write_page([record])
        return record

    def several(self, entries: Iterable[NamedSample], files: int, journal: Journal | None) -> list[dict[str, Any]]:
        """Explain every sample; what fails is said, and the others go on.

        Parameters
        ----------
        entries : the samples
        files : how many files they come from
        journal : of the outputs; None: nothing is written for each sample

        Raises
        ------
        ExistingFileError
            Where the page is there already.
        MissingExtraError
            Where images cannot be read or drawn.
        """
        if self.page is not None and self.page.exists() and not self.force:
            raise ExistingFileError(f"{self.page} exists; --force overwrites it")
        records: list[dict[str, Any]] = []
        total = files
        try:
            with self.out.progress("explaining", files) as advance:
                for entry in entries:
                    total += entry.more
                    advance(0, entry.more)
                    records.append(self._record(entry, journal))
                    advance(1, 0)
        except KeyboardInterrupt:
            more = "" if journal is None else "; the same command goes on with them"
            raise KeyboardInterrupt(f"{total - len(records)} of {total} inputs are left{more}") from None
        finally:
            # After an interruption, too: what is done is done, and the next run goes on from there.
            self._summary(records, journal)
        self.write_page(records)
        return records

    def write_page(self, records: list[dict[str, Any]]) -> None:
        """Write the page of all sentences, where one is asked for.

        Parameters
        ----------
        records : of the samples

        Raises
        ------
        ExistingFileError
            Where the page is there already.
        """
        sentences = [one for record in records for one in readings_of(record, f"{record['name']}: " if len(records) > 1 else "")]
        if self.page is None or not sentences:
            return
        with atomic_write(self.page, self.force) as part:
            part.write_text(html(sentences, facts=self.about), encoding="utf-8")
        self.out.say()
        self.out.say(f"wrote {self.page}")

    def _record(self, entry: NamedSample, journal: Journal | None) -> dict[str, Any]:
        """The record of a sample, or of its failure."""
        try:
            about = {"name": entry.name, "input": str(entry.file), "sample": entry.index}
            return about | self._explain_once(entry, entry.sample, journal)
        except LrpError as error:
            self.failed = self.failed or codes.code_of(error)
            text = codes.message(error)
            self.out.error(text if str(entry.file) in text else f"{entry.name}: {text}")
            return {"name": entry.name, "input": str(entry.file), "status": "failed", "error": str(error)}

    def _explain_once(self, entry: NamedSample, sample: Sample, journal: Journal | None) -> dict[str, Any]:
        """Explain a sample of many, but where an earlier run has written its output."""
        name = entry.name
        if name in self.names:
            raise ParameterError(f"{entry.file}: two samples would be called {name!r}; rename one of the files")
        self.names.add(name)
        if journal is None:
            return self._explain(name, sample, None) | {"status": "explained"}
        digest, path = digests.of(sample), journal.output(name)
        known = journal.earlier_record(name, digest)
        if known is not None:
            return known | {"out": str(path), "status": "there already"}
        record = {"name": name} | self._explain(name, sample, journal.draft(name), force=True) | {"out": str(path)}
        noted = {"digests": journal.publish(name, digest)}
        journal.add(_kept(record) | noted)
        return record | {"status": "explained"}

    def _explain(self, name: str, sample: Sample, path: Path | None, force: bool | None = None) -> dict[str, Any]:
        """Explain a sample, write the explanation, and return its record."""
        model, arrays = self.network.model, sample.arrays
        warnings = input_warnings(self.network, self.first_layer, arrays, sample.shown)
        for warning in warnings:
            self._warn(f"{name}: {warning}")
        if sample.shown is not None and self.network.images.guessed:
            warnings.append(GUESS)  # said once for all on stderr
        self._check_words(sample)
        explanation = self.explainer(arrays, **self.question.call(model, arrays))
        self._check_labels(explanation.prediction[0].size)
        if path is not None:
            write(explanation, path, self.force if force is None else force, self._look(explanation, sample))
        contrast, labels = None if self.question.pair else self.question.contrast, self.network.labels
        label = labels[contrast] if labels and isinstance(contrast, int) else None
        typed = {"contrast": contrast, "contrast_label": label, "head": self.head}
        record = typed | record_of(explanation, self.ledger, self.network.labels)
        record |= {"warnings": warnings, "out": None if path is None else str(path)}
        if sample.words is not None:
            add_words(record, explanation, sample.words, self.network.kinds.words)
        else:
            add_names(record, sample.columns)
            add_regions(record, explanation, None if sample.columns else layout_of(self.network))
            record |= {"sequence": True} if self.network.kinds.sequences else {}
        return record

    def _check_words(self, sample: Sample) -> None:
        if self.page is not None and sample.words is None:
            raise ParameterError("--out FILE.html is a page of words, and these inputs have none; .png and .npz take any")
        if self.style is not None and sample.words is not None:
            raise ParameterError("--style is for pictures of arrays; the words of a sentence are drawn one after the other")

    def _look(self, explanation: Explanation, sample: Sample) -> Look:
        """How the sample is drawn."""
        network = self.network
        last = sample.shown is not None and network.images.preprocessing.layout == "HWC"
        look = Look(self.sheets, self.style or "panels", network.labels, sample.shown, last, (), "", sample.columns, self.numbers)
        if sample.words is not None:
            return replace(look, words=readings(explanation, sample.words, labels=network.labels, name=network.kinds.words))
        return replace(look, sequence=next(iter(network.kinds.sequences), "") if self.style is None else "")

    def _check_labels(self, outputs: int) -> None:
        labels = self.network.labels
        if labels is not None and len(labels) != outputs:
            raise FormatError(f"--labels names {len(labels)} classes, and the network has {outputs} outputs")

    def _warn(self, text: str) -> None:
        self.warned += 1
        if self.warned <= MOST_WARNINGS:
            self.out.warn(text)
        elif self.warned == MOST_WARNINGS + 1:
            self.out.warn("more inputs do not fit the model's domain; --json lists all warnings")

    def _summary(self, records: list[dict[str, Any]], journal: Journal | None) -> None:
        sentences = [record for record in records if readings_of(record)]
        others = [record for record in records if not readings_of(record)]
        if sentences:
            show_sentences(self.out, sentences, self.numbers)
        if others and (not sentences or any(record["status"] != "failed" for record in others)):
            show_several(self.out, others)
        for record in records if self.ledger else ():
            if "ledger" in record:
                self.out.heading(record["name"])
                self._show_ledger(record)
        if self.ledger and any(record["status"] == "there already" for record in records):
            self.out.warn("whole ledgers are not kept: --ledger shows none of samples that were there already (--force does)")
        counts = {s: sum(r["status"] == s for r in records) for s in ("explained", "there already", "failed")}
        self.out.say()
        skipped = f", {counts['there already']} there already and skipped (--force writes them again)"
        failed = f", {counts['failed']} failed"
        self.out.say(
            f"{counts['explained']} explained{skipped if counts['there already'] else ''}{failed if counts['failed'] else ''}"
        )
        if journal is not None:
            self.out.say(f"outputs {journal.output('NAME')}; {journal.path} keeps the settings of the run")

    def _show_ledger(self, record: dict[str, Any]) -> None:
        self.out.say()
        show_ledger(self.out, record["ledger"])


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    """What a journal keeps of a record: no ledger, and of many scores the best alone."""
    left_out = {"ledger"} | ({"prediction"} if np.size(record["prediction"]) > MOST_SCORES else set())
    return {key: value for key, value in record.items() if key not in left_out}
