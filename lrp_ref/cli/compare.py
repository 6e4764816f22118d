"""`lrp-ref compare`: one sample under several methods and composites, side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from .. import render
from ..errors import ExistingFileError, FormatError, ParameterError, missing_extra
from ..explainer import Explainer
from ..preprocess import FirstLayer
from ..propagate.explanation import Explanation
from . import completion, parsing
from .grouped_help import GroupedCommand
from .input_warnings import GUESS, input_warnings
from .network import Network, read_network_to_explain
from .options import comparing, resources
from .output import Output
from .samples import NamedSample, files_of, samples_of
from .writing import PICTURES, atomic_write, channels_first, write_figure

#: Features, words or steps whose relevance is printed.
MOST_ROWS = 60
#: A name, with parameters in parentheses or without.
_ENTRY = re.compile(r"\s*([\w-]+)\s*(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?\s*(?:,|$)")


@click.command(cls=GroupedCommand, short_help="Explain one input by several methods, side by side.")
@click.argument("model", shell_complete=completion.models)
@click.argument("path", type=click.Path(path_type=Path), metavar="INPUT")
@click.option(
    "--methods", "methods_text", metavar="A,B,…", help='Methods, such as "GradCAM,Occlusion(patch=2)": see `lrp-ref methods`.'
)
@click.option("--composites", metavar="A,B,…", help="Composites of LRP, such as epsilon_plus,alpha1_beta0.")
@click.option("--target", metavar="predicted|K|NAME", help="Which output is explained.  [default: predicted]")
@click.option(
    "--labels", type=click.Path(path_type=Path), metavar="FILE", help="The names of the classes: line K + 1 is class K; or JSON."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help=f"A picture ({', '.join(PICTURES)}).")
@click.option("--force", is_flag=True, help="Overwrite a file that is there already.")
@comparing
def compare(
    model: str,
    path: Path,
    methods_text: str | None,
    composites: str | None,
    target: str | None,
    labels: Path | None,
    out: Path | None,
    force: bool,
    head: str | None,
    output_node: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Explain what MODEL predicts for the one sample of INPUT, by several methods, each in a column.

    MODEL and INPUT are those of explain. Printed are each map's total, and its residual where the method conserves; of a
    sentence or a table each word's or feature's relevance, too.
    """
    _check_picture(out, force)
    network = read_network_to_explain(model, options | {"labels": labels})
    choices = {"head": head, "output": output_node, **resources(options)}
    columns = _explainers_of(network, methods_text, composites, choices)
    entry = _only_sample(path, network)
    asked = "predicted" if target is None else parsing.target_of(target, network.labels)
    if isinstance(asked, str) and asked == "all":
        raise ParameterError("a comparison shows one output: --target is predicted, an index, or with --labels a class's name")
    say = Output(as_json, writes_files=out is not None)
    _warn(say, network, entry)
    found = {name: explains(entry.sample.arrays, target=asked) for name, explains in columns.items()}
    rows = {name: _about(e) for name, e in found.items()}
    first = next(iter(found.values()))
    say.say(f"{path}: output {rows[next(iter(rows))]['target']}, of value {float(first.value[0]):.4g}")
    cells = [
        (name, f"{row['total']:.4g}", "–" if row["residual"] is None else f"{row['residual']:.4g}") for name, row in rows.items()
    ]
    say.table(("by", "total", "residual"), cells, right=(1, 2))
    _say_features(say, entry, found)
    if out is not None:
        _draw(out, force, network, entry, found)
        say.say(f"wrote {out}")
    document = {"format": "lrp_ref.compare", "version": 1, "model": model, "input": str(path), "columns": list(rows.values())}
    say.document(document)


def _check_picture(out: Path | None, force: bool) -> None:
    """Refuse what cannot be written, before anything is computed."""
    if out is None:
        return
    if out.suffix not in PICTURES:
        raise ParameterError(f"a comparison is drawn as {', '.join(PICTURES)}, found {str(out)!r}")
    if find_spec("matplotlib") is None:
        raise missing_extra("matplotlib", "plot", f"--out with {out.suffix}")
    if out.exists() and not force:
        raise ExistingFileError(f"{out} exists; --force overwrites it")


def _explainers_of(
    network: Network, methods: str | None, composites: str | None, choices: dict[str, Any]
) -> dict[str, Callable[..., Any]]:
    """What explains, by the name of its column."""
    found: dict[str, Callable[..., Any]] = {}
    for option, typed in (("--methods", methods), ("--composites", composites)):
        for name, parameters in _entries(typed, option):
            column = f"{name}({parameters})" if parameters else name
            if column in found:
                raise ParameterError(f"{option} names {column} twice")
            if option == "--methods":
                settings = re.findall(r"\w[^=,]*=(?:[^,()\[\]]|\([^()]*\)|\[[^\[\]]*\])*", parameters)
                if re.sub(r"[\s,]", "", "".join(settings)) != re.sub(r"[\s,]", "", parameters):
                    raise ParameterError(
                        f"a method takes PARAMETER=VALUE in parentheses, such as Occlusion(patch=2), found {column!r}"
                    )
                found[column] = parsing.method_of(name, settings, network.model, **choices)
            elif parameters:
                raise ParameterError(f"--composites takes names of presets, found {column!r}")
            else:
                tables = tuple(network.kinds.tables.values())
                found[column] = Explainer(network.model, parsing.composite(name, ()), keep=tables, **choices)
    if not found:
        raise ParameterError("nothing to compare: give --methods A,B,… or --composites A,B,…, or both")
    return found


def _entries(typed: str | None, option: str) -> list[tuple[str, str]]:
    """Names and their parameters, from a list with commas between."""
    found, at = [], 0
    while typed is not None and at < len(typed):
        entry = _ENTRY.match(typed, at)
        if entry is None:
            raise ParameterError(f"{option} takes names with commas between, found {typed[at:]!r}")
        found.append((entry[1], (entry[2] or "").strip()))
        at = entry.end()
    return found


def _only_sample(path: Path, network: Network) -> NamedSample:
    entries = list(samples_of(files_of((path,), network), network))
    if len(entries) != 1:
        raise FormatError(f"{path} holds {len(entries)} samples, and a comparison is of one: give a file of one sample")
    return entries[0]


def _warn(say: Output, network: Network, entry: NamedSample) -> None:
    """Say what is suspicious about the input."""
    sample, first = entry.sample, FirstLayer.of(network.model)
    for text in input_warnings(network, first, sample.arrays, sample.shown):
        say.warn(f"{entry.name}: {text}")
    if sample.shown is not None and network.images.guessed:
        say.warn(GUESS)


def _about(e: Explanation) -> dict[str, Any]:
    """One column, as the document has it."""
    return {
        "method": e.method,
        "composite": e.composite,
        "parameters": dict(e.parameters),
        "target": None if e.target is None else int(e.target[0]),
        "value": float(e.value[0]),
        "total": float(e.total[0]),
        "residual": float(e.residual[0]) if e.conserves else None,
    }


def _say_features(say: Output, entry: NamedSample, found: dict[str, Explanation]) -> None:
    """The relevance of each word or feature, of samples of one axis."""
    first = next(iter(found.values()))
    if len(first.inputs) != 1 or first.relevances[first.inputs[0]].ndim != 2:
        return
    values = {name: e.relevances[e.inputs[0]][0] for name, e in found.items()}
    count = len(next(iter(values.values())))
    names = entry.sample.words or entry.sample.columns or tuple(map(str, range(count)))
    names = (*names, *map(str, range(len(names), count)))
    say.say()
    rows = [(names[i], *(f"{float(column[i]):.4g}" for column in values.values())) for i in range(min(count, MOST_ROWS))]
    say.table(("of", *values), rows, right=range(1, len(values) + 1))
    if count > MOST_ROWS:
        say.say(f"… and {count - MOST_ROWS} more")


def _draw(out: Path, force: bool, network: Network, entry: NamedSample, found: dict[str, Explanation]) -> None:
    """The picture: a column for each, of an image or of numbers."""
    first = next(iter(found.values()))
    if len(first.inputs) != 1:
        raise ParameterError(f"a picture compares maps of one input, and the network has {len(first.inputs)}: leave --out out")
    shown = None if entry.sample.shown is None else [entry.sample.shown]
    last = entry.sample.shown is not None and network.images.preprocessing.layout == "HWC"
    methods = {name: _remembered(channels_first(e) if last else e) for name, e in found.items()}
    x = entry.sample.arrays[first.inputs[0]]
    figure = render.compare(network.model, x, methods=methods, labels=network.labels, images=shown, title=entry.name)
    with atomic_write(out, force) as part:
        write_figure(figure, part)


def _remembered(e: Explanation) -> Callable[..., Explanation]:
    """What gives an explanation that is there already."""

    def explains(x: Any, target: Any = None) -> Explanation:  # noqa: ARG001 (as a method is called)
        return e

    return explains
