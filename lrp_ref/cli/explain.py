"""`lrp-ref explain`: why a network said what it said about one input, or about a folder of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..errors import ExistingFileError, FormatError, LrpError, MissingExtraError, ParameterError, missing_extra
from ..explainer import Explainer
from ..model import Model
from ..preprocess import misfit
from . import codes, parsing
from .inputs import files_of, samples_of
from .options import shared
from .output import Output
from .records import record_of, show_ledger, show_one, show_several
from .writing import SUFFIXES, Journal, check_suffix, names_of, write

MOST_WARNINGS = 5


@click.command(short_help="Explain what a network predicts for one input, or for many.")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option("--target", default="predicted", show_default=True, metavar="predicted|K|all", help="Which output is explained.")
@click.option("--contrast", type=int, metavar="K", help="Explain the target's score minus that of output K.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Write a picture, arrays or JSON ({', '.join(SUFFIXES)}). Of several samples each gets its file: heat.png becomes "
    "heat-NAME.png, files that are there are skipped, and an interrupted run goes on where it stopped.",
)
@click.option("--ledger", is_flag=True, help="Print the whole ledger, not its total alone.")
@click.option("--force", is_flag=True, help="Overwrite files that are there already.")
@shared
def explain(
    model: str,
    inputs: tuple[Path, ...],
    target: str,
    contrast: int | None,
    out: Path | None,
    ledger: bool,
    force: bool,
    composite: str,
    assignments: tuple[str, ...],
    head: str | None,
    low: float | None,
    high: float | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Explain what MODEL predicts for each INPUT.

    MODEL is a path, or zoo:digits or zoo:digits_bn. INPUT is an .npy or .npz array, an image, or a folder of them; an
    array holds one sample or a batch. Images are made grey or RGB, resized, and scaled into the model's domain.
    """
    check_suffix(out)
    if out is not None and out.suffix == ".png" and find_spec("matplotlib") is None:
        raise missing_extra("matplotlib", "plot", "--out with .png")
    network = parsing.model_of(model, low, high)
    chosen = parsing.composite(composite, assignments)
    explainer = Explainer(network, chosen, head=head, backend=backend, ledger=True)
    call = {"target": parsing.target_of(target)} | ({} if contrast is None else {"contrast": contrast})
    files = files_of(inputs)
    settings = {
        "lrp_ref": __version__, "model": model, "composite": composite, "rules": list(assignments), "target": target,
        "contrast": contrast, "head": head, "low": low, "high": high,
    }  # fmt: skip
    run = _Run(Output(as_json), network, explainer, call, {"contrast": contrast, "head": head}, ledger)
    changed = f" with {', '.join(assignments)}" if assignments else ""
    run.out.say(f"{model}, composite {composite}{changed}, {network.dtype}")
    if len(files) == 1 and len(only := samples_of(files[0], network)) == 1:
        records = [run.single(files[0], only[0], out, force)]
    else:
        journal = _journal(out, inputs, settings, force)
        records = run.several(files, journal)
    run.out.document({"format": "lrp_ref.explain", "version": 1, **settings, "explanations": records})
    if run.failed:
        click.get_current_context().exit(run.failed)


def _journal(out: Path | None, inputs: tuple[Path, ...], settings: dict[str, Any], force: bool) -> Journal | None:
    if out is None:
        return None
    for folder in inputs:
        if folder.is_dir() and folder.resolve() == out.parent.resolve():
            raise ParameterError(f"--out {out} lies among the inputs and would be one of them next time; choose another folder")
    journal = Journal(out, settings, force)
    journal.open()
    return journal


@dataclass(eq=False)
class _Run:
    """One call of the command: what it explains with, and what it has said so far."""

    out: Output
    model: Model
    explainer: Explainer
    call: dict[str, Any]
    asked: dict[str, Any]
    ledger: bool
    failed: int = codes.OK
    warned: int = 0
    used: set[str] = field(default_factory=set)

    def single(self, file: Path, sample: dict[str, Any], path: Path | None, force: bool) -> dict[str, Any]:
        """Explain the only sample, and say all about it."""
        if path is not None and path.exists() and not force:
            raise ExistingFileError(f"{path} exists; --force overwrites it")
        about = {"name": file.stem, "input": str(file), "status": "explained", **self.asked}
        record = about | self._explain(file.name, sample, path, force)
        self.out.say(f"{file}")
        self.out.say()
        show_one(self.out, record)
        if self.ledger:
            self._show_ledger(record)
        if path is not None:
            self.out.say()
            self.out.say(f"wrote {path}")
        return record

    def several(self, files: list[Path], journal: Journal | None) -> list[dict[str, Any]]:
        """Explain every sample of every file; what fails is said, and the others go on."""
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
        return records

    def _file(self, file: Path, name: str, journal: Journal | None, expect: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        try:
            samples = samples_of(file, self.model)
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
                yield {"name": own, "input": str(file), "sample": i} | self._sample(file, own, sample, journal)
            except LrpError as error:
                yield self._failure(file, own, error)

    def _sample(self, file: Path, name: str, sample: dict[str, Any], journal: Journal | None) -> dict[str, Any]:
        if name in self.used:
            raise ParameterError(f"{file}: two samples would be called {name!r}; rename one of the files")
        self.used.add(name)
        if journal is None:
            return self._explain(name, sample, None, False) | {"status": "explained"}
        path = journal.output(name)
        if path.exists() and not journal.force:
            return journal.done.get(name, {}) | {"out": str(path), "status": "there already"}
        record = self._explain(name, sample, path, journal.force) | {"status": "explained"}
        journal.add({"name": name} | {key: value for key, value in record.items() if key != "ledger"})
        return record

    def _explain(self, name: str, sample: dict[str, Any], path: Path | None, force: bool) -> dict[str, Any]:
        found = [misfit(array, self.model.domain.get(key)) for key, array in sample.items()]
        warnings = [text for text in found if text]
        for text in warnings:
            self._warn(f"{name}: {text}")
        explanation = self.explainer(sample, **self.call)
        if path is not None:
            write(explanation, path, force)
        record = record_of(explanation, self.ledger)
        return record | {"warnings": warnings, "out": None if path is None else str(path)}

    def _warn(self, text: str) -> None:
        self.warned += 1
        if self.warned <= MOST_WARNINGS:
            self.out.warn(text)
        elif self.warned == MOST_WARNINGS + 1:
            self.out.warn("more inputs do not fit the model's domain; --json lists all warnings")

    def _failure(self, file: Path, name: str, error: LrpError) -> dict[str, Any]:
        self.failed = self.failed or codes.code_of(error)
        text = str(error) if str(file) in str(error) else f"{name}: {error}"
        click.echo(f"lrp-ref: error: {' '.join(text.splitlines())}", err=True)
        return {"name": name, "input": str(file), "status": "failed", "error": str(error)}

    def _summary(self, records: list[dict[str, Any]], journal: Journal | None) -> None:
        if records:
            show_several(self.out, records)
        for record in records if self.ledger else ():
            if "ledger" in record:
                self.out.heading(record["name"])
                self._show_ledger(record)
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
