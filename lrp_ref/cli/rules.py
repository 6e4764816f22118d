"""`lrp-ref rules`: every rule with its formula, parameters, use and source."""

from __future__ import annotations

import inspect as introspection
from dataclasses import fields
from typing import Any

import click

from ..rules import Rule
from ..rules.by_name import known_rules
from .formulas import readable
from .output import Output

LEGEND = (
    "a_j, x_j: the layer's inputs; a_0 = 1 and w_0k = b_k stand for the bias; x⁺ = max(0, x), x⁻ = min(0, x); s: the sign,",
    "with s(0) = 1; Σ over j: over the inputs that k sees. 0 / 0 is 0, and the ledger books what was not assigned.",
)


@click.command(short_help="Show every rule: formula, parameters, use, source.")
@click.option("--latex", is_flag=True, help="Show formulas as LaTeX.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (formulas as LaTeX and as text).")
def rules(latex: bool, as_json: bool) -> None:
    """Every rule: formula, parameters with their defaults, where it is used, and its source."""
    out = Output(as_json)
    entries = [_entry(name, kind) for name, kind in known_rules().items()]
    for served in dict.fromkeys(entry["serves"] for entry in entries):
        out.heading(f"Rules for {served}")
        for entry in entries:
            if entry["serves"] == served:
                out.say()
                out.say(entry["signature"])
                out.say(f"    {entry['latex'] if latex else entry['formula']}")
                out.say(f"    use     {entry['usage']}")
                out.say(f"    source  {entry['source']}")
    out.say()
    for line in LEGEND:
        out.say(line)
    out.document({"format": "lrp_ref.rules", "version": 1, "rules": entries})


def _entry(name: str, kind: type[Rule]) -> dict[str, Any]:
    signature = introspection.signature(kind)
    # Only what can be set: a class variable is no parameter.
    parameters = {f.name: f.default for f in fields(kind) if f.name in signature.parameters}  # type: ignore[arg-type]
    shown = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
    return {
        "name": name,
        "signature": f"{name}({shown})",
        "parameters": {key: value if _is_plain(value) else repr(value) for key, value in parameters.items()},
        "formula": readable(kind.formula),
        "latex": kind.formula,
        "usage": kind.usage,
        "source": kind.source,
        "serves": kind.serves,
    }


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
