"""`lrp-ref methods`: every other way to explain, with its formula, needs, cost and source."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import click

from ..methods import METHODS, ModelMethod
from .formulas import readable
from .output import Output

LEGEND = (
    "f: the number that is explained of an output, the score unless --head says another; x, x̃: the input, and a baseline or root",
    "of it. lrp-ref explain MODEL INPUT --method NAME [--set PARAMETER=VALUE]… explains by one of them.",
)


@click.command(short_help="Show every method beside LRP: formula, needs, cost, source.")
@click.option("--latex", is_flag=True, help="Show formulas as LaTeX.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (formulas as LaTeX and as text).")
def methods(latex: bool, as_json: bool) -> None:
    """Every method beside LRP: formula, what it needs, what its relevances add up to, its cost in passes, its source."""
    out = Output(as_json)
    entries = [_method_row(name, kind) for name, kind in METHODS.items()]
    for entry in entries:
        out.heading(entry["signature"])
        out.say(f"    {entry['latex'] if latex else entry['formula']}")
        for title, key in (("needs", "needs"), ("adds up to", "conserves"), ("passes", "passes"), ("source", "source")):
            out.say(f"    {title:<10}  {entry[key]}")
        out.say()
    for line in LEGEND:
        out.say(line)
    out.document({"format": "lrp_ref.methods", "version": 1, "methods": entries})


def _method_row(name: str, kind: type[ModelMethod]) -> dict[str, Any]:
    shared = {field.name for field in fields(ModelMethod)} | {"progress"}
    own = {f.name: f.default for f in fields(kind) if f.name not in shared}
    shown = ", ".join(key if default is MISSING else f"{key}={default!r}" for key, default in own.items())
    return {
        "name": name,
        "signature": f"{name}({shown})",
        "parameters": {key: None if default is MISSING else repr(default) for key, default in own.items()},
        "formula": readable(kind.formula),
        "latex": kind.formula,
        "needs": kind.needs,
        "conserves": kind.conserves,
        "passes": kind.passes,
        "source": kind.source,
    }
