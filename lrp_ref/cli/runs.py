"""One call of `lrp-ref explain`: one sample and all about it, or many and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ..errors import ExistingFileError, FormatError, LrpError, MissingExtraError, ParameterError
from ..explainer import Explainer
from ..preprocess import misfit
from ..propagate.explanation import Explanation
from ..render import Sheets, html, readings
from . import codes, digests, text
from .inputs import Sample, samples_of
from .journal import Journal
from .network import Network
from .output import Output
from .question import Question
from .records import record_of, show_ledger, show_one, show_sentences, show_several
from .words import add_words, readings_of
from .writing import DPI, Look, names_of, whole, write

MOST_WARNINGS = 5


@dataclass(eq=False)
class Run:
    """One call of the command: what it explains with, and what it has said so far.

    `page` is one file for all sentences, and `about` a line on it; `known` holds the samples of files that were read already.
    """

    out: Output
    network: Network
    explainer: Explainer
    question: Question
    labels: list[str] | None
    head: str | None
    style: str | None
    ledger: bool
    numbers: bool = False
    page: Path | None = None
    about: str = ""
    known: dict[Path, list[Sample | LrpError]] = field(default_factory=dict)
    failed: int = codes.OK
    warned: int = 0
    used: set[str] = field(default_factory=set)
    sheets: Sheets = field(default_factory=lambda: Sheets(DPI))

    def single(self, file: Path, sample: Sample, path: Path | None, force: bool) -> dict[str, Any]:
        """Explain the only sample, and say all about it."""
        for wanted in (path, self.page):
            if wanted is not None and wanted.exists() and not force:
                raise ExistingFileError(f"{wanted} exists; --force overwrites it")
        about = {"name": file.stem, "input": str(file), "status": "explained"}
        record = about | self._explain(file.name, sample, path, force)
        self.out.say(f"{file}")
        self.out.say()
        show_one(self.out, record, self.numbers)
        if self.ledger:
            self._show_ledger(record)
        if path is not None:
            self.out.say()
            self.out.say(f"wrote {path}")
        self.write_page([record], force)
        return record

    def write_page(self, records: list[dict[str, Any]], force: bool) -> None:
        """The page of all sentences, where one is asked for."""
        found = [one for record in records for one in readings_of(record, f"{record['name']}: " if len(records) > 1 else "")]
        if self.page is None or not found:
            return
        with whole(self.page, force) as part:
            part.write_text(html(found, facts=self.about), encoding="utf-8")
        self.out.say()
        self.out.say(f"wrote {self.page}")

    def several(self, files: list[Path], journal: Journal | None, force: bool = False) -> list[dict[str, Any]]:
        """Explain every sample of every file; what fails is said, and the others go on."""
        if self.page is not None and self.page.exists() and not force:
            raise ExistingFileError(f"{self.page} exists; --force overwrites it")
        records: list[dict[str, Any]] = []
        try:
            with self.out.progress("explaining", len(files)) as advance:
                for file, name in zip(files, names_of(files), strict=True):
                    for record in self._file(file, name, journal, lambda more: advance(0, more)):
                        records.append(record)
                        advance(1, 0)
        finally:
            # After an interruption, too: what is done is done, and the next run goes on from there.
            self._summary(records, journal)
        self.write_page(records, force)
        return records

    def _file(self, file: Path, name: str, journal: Journal | None, expect: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        try:
            # The standard input can be read once.
            samples = self.known.pop(file) if file in self.known else samples_of(file, self.network)
        except MissingExtraError:
            raise
        except LrpError as error:
            yield self._failure(file, name, error)
            return
        if not samples:
            yield self._failure(file, name, FormatError(f"{file}: the file holds no samples"))
        expect(len(samples) - 1)
        for i, sample in enumerate(samples):
            own = name if len(samples) == 1 else f"{name}-{i}"
            try:
                if isinstance(sample, LrpError):
                    raise sample
                yield {"name": own, "input": str(file), "sample": i} | self._sample(file, own, sample, journal)
            except LrpError as error:
                yield self._failure(file, own, error)

    def _sample(self, file: Path, name: str, sample: Sample, journal: Journal | None) -> dict[str, Any]:
        if name in self.used:
            raise ParameterError(f"{file}: two samples would be called {name!r}; rename one of the files")
        self.used.add(name)
        if journal is None:
            return self._explain(name, sample, None, False) | {"status": "explained"}
        made_of, path = digests.of(sample), journal.output(name)
        found = journal.found(name, made_of)
        if found is not None:
            return found | {"out": str(path), "status": "there already"}
        record = {"name": name} | self._explain(name, sample, journal.draft(name), True) | {"out": str(path)}
        noted = {"digests": journal.put(name, made_of)}
        journal.add({key: value for key, value in record.items() if key != "ledger"} | noted)
        return record | {"status": "explained"}

    def _explain(self, name: str, sample: Sample, path: Path | None, force: bool) -> dict[str, Any]:
        model, arrays = self.network.model, sample.arrays
        found = [misfit(array, model.domain.get(key)) for key, array in arrays.items()]
        warnings = [warning for warning in found if warning]
        for warning in warnings:
            self._warn(f"{name}: {warning}")
        self._check_words(sample)
        explanation = self.explainer(arrays, **self.question.call(model, arrays))
        self._check_labels(explanation.prediction[0].size)
        if path is not None:
            write(explanation, path, force, self._look(explanation, sample))
        asked = {"contrast": None if self.question.pair else self.question.contrast, "head": self.head}
        record = asked | record_of(explanation, self.ledger, self.labels)
        record |= {"warnings": warnings, "out": None if path is None else str(path)}
        if sample.words is not None:
            add_words(record, explanation, sample.words, self._words_input)
        elif text.sequences(model):
            record["sequence"] = True
        return record

    @property
    def _words_input(self) -> str:
        """The input that takes words, where there is one."""
        model = self.network.model
        return next(iter((*text.tables(model), *text.sequences(model))), "")

    def _check_words(self, sample: Sample) -> None:
        if self.page is not None and sample.words is None:
            raise ParameterError("--out FILE.html is a page of words, and these inputs have none; .png and .npz take any")
        if self.style is not None and sample.words is not None:
            raise ParameterError("--style is for pictures of arrays; the words of a sentence are drawn one after the other")

    def _look(self, explanation: Explanation, sample: Sample) -> Look:
        """How the sample is drawn."""
        last = sample.shown is not None and self.network.for_images().layout == "HWC"
        look = Look(self.sheets, self.style or "panels", self.labels, sample.shown, last, (), "", sample.columns, self.numbers)
        if sample.words is not None:
            return replace(look, words=readings(explanation, sample.words, labels=self.labels, name=self._words_input))
        return replace(look, sequence=next(iter(text.sequences(self.network.model)), "") if self.style is None else "")

    def _check_labels(self, outputs: int) -> None:
        if self.labels is not None and len(self.labels) != outputs:
            raise FormatError(f"--labels names {len(self.labels)} classes, and the network has {outputs} outputs")

    def _warn(self, text: str) -> None:
        self.warned += 1
        if self.warned <= MOST_WARNINGS:
            self.out.warn(text)
        elif self.warned == MOST_WARNINGS + 1:
            self.out.warn("more inputs do not fit the model's domain; --json lists all warnings")

    def _failure(self, file: Path, name: str, error: LrpError) -> dict[str, Any]:
        self.failed = self.failed or codes.code_of(error)
        text = codes.message(error)
        click.echo(f"lrp-ref: error: {text if str(file) in text else f'{name}: {text}'}", err=True)
        return {"name": name, "input": str(file), "status": "failed", "error": str(error)}

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
