"""The options that `explain` and `inspect` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..composites import PRESETS
from ..plan import BACKENDS

_SHARED = (
    click.option(
        "--composite",
        default="epsilon_plus",
        show_default=True,
        metavar="NAME",
        help=f"Which rule goes where: {', '.join(PRESETS)}.",
    ),
    click.option(
        "--rule",
        "assignments",
        multiple=True,
        metavar="NODE=RULE",
        help='A rule in front of the composite, such as "conv1=Flat()". NODE may be a glob, "dense*=Epsilon(0.25)", and then '
        "means the nodes that the rule serves. Can be repeated; the first that matches a node holds.",
    ),
    click.option(
        "--head", type=click.Choice(["logit", "log-odds"]), help="What is explained of a network that ends in a softmax."
    ),
    click.option("--low", type=float, help="The least value that an input can take, for the zB rule and for images."),
    click.option("--high", type=float, help="The greatest value that an input can take."),
    click.option("--backend", metavar="NAME", help=f"What computes: {', '.join(BACKENDS)}.  [default: {BACKENDS[-1]}]"),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
)


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put the shared options on a command."""
    for option in reversed(_SHARED):
        command = option(command)
    return command
