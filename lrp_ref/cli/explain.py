"""`lrp-ref explain`: why a network said what it said about one input, or about a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .. import __version__, preprocess
from ..errors import LrpError, ParameterError, missing_extra
from ..explainer import Explainer
from ..propagate.method import Method
from ..propagate.plan import BACKENDS
from ..render import STYLES
from . import completion, digests, parsing
from .explain_command import ExplainCommand
from .grouped_help import GroupedCommand
from .journal import Journal
from .network import Network, read_network_to_explain
from .options import READING, TEXT, resources, shared, text
from .output import Output
from .question import Question, TypedQuestion
from .samples import files_of, samples_of
from .writing import PICTURES, SUFFIXES, check_suffix

#: Parameters of the command that change no output, or stand among the settings by another name.
UNSEEN = ("inputs", "out", "force", "as_json", "quiet", "ledger", "threads", "assignments", "method", "method_settings")


@click.command(cls=GroupedCommand, short_help="Explain what a network predicts for one input, or for many.")
@click.argument("model", shell_complete=completion.models)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option(
    "--target",
    metavar="predicted|K|NAME|all",
    help="Which output is explained: its number, or with --labels the name of its class.  [default: predicted]",
)
@click.option("--targets", metavar="K,K,…", help="Explain several outputs, by number or by name, in one pass.")
@click.option("--top", type=click.IntRange(1), metavar="K", help="Explain the K best outputs, in one pass.")
@click.option("--contrast", metavar="K|NAME", help="Explain the target's score minus that of another output.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The names of the classes: line K + 1 is class K; or a JSON list or object.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Write a picture, arrays, JSON, or a page of coloured words ({', '.join(SUFFIXES)}). Of several samples each gets its "
    "file, but for pages: heat.png becomes heat-NAME.png, files that are there are skipped, and an interrupted run goes on where "
    "it stopped.",
)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    metavar="STYLE",
    help=f"What a picture shows: {', '.join(STYLES)}. panels: input, heatmap and overlay; pattern: the input where it is "
    "relevant; contrast: the target, the runner-up (or --contrast K), and their difference.  [default: panels]",
)
@click.option("--method", metavar="NAME", help="Explain by another method than LRP; `lrp-ref methods` shows them.")
@click.option(
    "--set",
    "method_settings",
    multiple=True,
    metavar="PARAMETER=VALUE",
    help="A parameter of --method, such as steps=20. Can be repeated.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print warnings and errors alone.")
@click.option("--ledger", is_flag=True, help="Print the whole ledger, not its total alone.")
@click.option("--allow-negative", is_flag=True, help="Let deep Taylor decomposition start from a negative score.")
@click.option("--force", is_flag=True, help="Overwrite files that are there already.")
@text
@shared
def explain(
    model: str,
    inputs: tuple[Path, ...],
    target: str | None,
    targets: str | None,
    top: int | None,
    contrast: str | None,
    labels: Path | None,
    out: Path | None,
    style: str | None,
    method: str | None,
    method_settings: tuple[str, ...],
    quiet: bool,
    ledger: bool,
    allow_negative: bool,
    force: bool,
    composite: str,
    assignments: tuple[str, ...],
    head: str | None,
    output_node: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Explain what MODEL predicts for each INPUT.

    MODEL is a path (.npz, .onnx), or zoo:digits, zoo:digits_bn or zoo:sentences. INPUT is an .npy or .npz array, a table
    (.csv), text (.txt, a sentence on each line; - is the standard input), an image, or a folder of them; an array holds one
    sample or a batch, and is taken as the network takes it. Images are preprocessed as --preprocess says, or the file
    NETWORK.preprocess.json beside the model.
    """
    _check_out(out, style)
    typed = TypedQuestion(target, targets, top, contrast, style == "contrast")
    typed.check()
    network = read_network_to_explain(model, options | {"labels": labels})
    question = Question.asked(typed, network.labels, output_node)
    choices = {"head": head, "output": output_node, **resources(options)}
    if method is None and method_settings:
        raise ParameterError("--set gives parameters of --method NAME: name the method")
    explainer: Method
    if method is not None:
        _refuse_lrp_options(ledger, allow_negative, assignments)
        explainer = parsing.method_of(method, method_settings, network.model, **choices)
    else:
        explainer = Explainer(
            network.model,
            parsing.composite(composite, assignments),
            keep=tuple(network.kinds.tables.values()),
            ledger=True,
            allow_negative=allow_negative,
            **choices,
        )
    files = files_of(inputs, network)
    settings = {
        "lrp_ref": __version__, "model": model, **_way(explainer, composite, assignments),
        "target": target or "predicted", "targets": targets, "top": top, "contrast": question.contrast,
        "head": head, "output_node": output_node,
        "precision": options["precision"], "low": options["low"], "high": options["high"], "style": style,
        "labels": None if labels is None else str(labels),
        "preprocessing": network.images.description,
        "reading": {name: list(options[name]) for name in READING},
    } | {name: _option_value(options[name]) for name in TEXT}  # fmt: skip
    page = out if out is not None and out.suffix == ".html" else None
    out = out if page is None else None
    changed = f" with {', '.join(assignments)}" if assignments else ""
    by = f"composite {composite}{changed}" if method is None else f"method {_described(explainer)}"
    about = f"{model}, {by}, {options['precision'] or network.model.dtype}"
    command = ExplainCommand(
        Output(as_json, quiet, out is not None or page is not None),
        network,
        explainer,
        question,
        head,
        style,
        ledger,
        options["numbers"],
        force,
        page,
        about,
    )
    command.first_layer = preprocess.FirstLayer.of(network.model)
    command.out.say(about)
    for remark in network.model.remarks:
        command.out.say(remark)
    _say_preprocessing(command.out, network, files)
    entries = samples_of(files, network)
    first = list(islice(entries, 2)) if len(files) == 1 else []  # one file of one sample is explained at length
    if len(first) == 1:
        records = [command.single(first[0], out)]
    else:
        with _journal(command, out, inputs, settings) as journal:
            records = command.several(chain(first, entries), len(files), journal)
    command.out.document({"format": "lrp_ref.explain", "version": 1, **settings, "explanations": records})
    if command.failed:
        click.get_current_context().exit(command.failed)


def _refuse_lrp_options(ledger: bool, allow_negative: bool, assignments: tuple[str, ...]) -> None:
    """Raise `ParameterError` where options of LRP are typed beside --method."""
    source = click.get_current_context().get_parameter_source("composite")
    typed = {
        "--composite": source is not ParameterSource.DEFAULT,
        "--rule": bool(assignments),
        "--ledger": ledger,
        "--allow-negative": allow_negative,
    }
    wrong = [option for option, given in typed.items() if given]
    if wrong:
        raise ParameterError(f"{', '.join(wrong)} is of LRP, and --method explains by another method: give one of them")


def _way(explainer: Method, composite: str, assignments: tuple[str, ...]) -> dict[str, Any]:
    """What explains, among the settings: composite and rules, or the method and its parameters."""
    if isinstance(explainer, Explainer):
        return {"composite": composite, "rules": list(assignments)}
    about: Any = explainer
    return {"method": about.name, "parameters": about.parameters}


def _described(explainer: Any) -> str:
    """A method with its parameters."""
    given = ", ".join(f"{name}={value}" for name, value in explainer.parameters.items())
    return f"{explainer.name}({given})" if given else str(explainer.name)


def _option_value(value: Any) -> Any:
    """An option as JSON."""
    return str(value) if isinstance(value, Path) else value


def _check_out(out: Path | None, style: str | None) -> None:
    check_suffix(out)
    drawn = out is not None and out.suffix in PICTURES
    if style is not None and not drawn:
        raise ParameterError("--style says how a picture is drawn: give --out FILE.png")
    if out is not None and drawn and find_spec("matplotlib") is None:
        raise missing_extra("matplotlib", "plot", f"--out with {out.suffix}")


def _say_preprocessing(out: Output, network: Network, files: list[Path]) -> None:
    """What happens to images, if there are any; a guess is warned of."""
    if not any(file.suffix.lower() in preprocess.SUFFIXES for file in files):
        return
    if isinstance(network.images.fitted, LrpError):
        return  # said for each image, by name
    out.say(network.preprocessing_line())
    if network.images.guessed:
        out.warn(
            "nothing says how this network wants its images, so pixels become 0 to 1: --preprocess imagenet, caffe, unit or "
            f"none, or the file {preprocess.beside(network.spec)}"
        )


@contextmanager
def _journal(
    command: ExplainCommand, out: Path | None, inputs: tuple[Path, ...], settings: dict[str, Any]
) -> Iterator[Journal | None]:
    """The journal of a run that writes a file for each sample."""
    if out is None:
        yield None
        return
    for folder in inputs:
        if folder.is_dir() and folder.resolve() == out.parent.resolve():
            raise ParameterError(f"--out {out} lies among the inputs and would be one of them next time; choose another folder")
    typed = {name: value for name, value in click.get_current_context().params.items() if name not in UNSEEN}
    with Journal(out, typed | settings | _resolved(command), command.force, command.out.warn).opened() as journal:
        yield journal


def _resolved(command: ExplainCommand) -> dict[str, Any]:
    """What decides over the outputs beside what was typed: the defaults that hold here, and the contents of files."""
    network, explainer = command.network, command.explainer
    contents = {
        "model": network.model, "preprocess": network.images.stated, "vocab": network.text, "labels": network.labels
    }  # fmt: skip
    return {
        "backend": getattr(explainer, "backend", None) or BACKENDS[-1],
        "precision": getattr(explainer, "precision", None) or str(network.model.dtype),
        "digests": {name: digests.of(content) for name, content in contents.items()},
    }
