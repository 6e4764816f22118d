"""`lrp-ref convert`: a network from any file as an `.npz` that runs with NumPy alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import formats, preprocess
from ..errors import ExistingFileError, ParameterError
from ..network.canonize import canonized
from . import completion, options
from .grouped_help import GroupedCommand
from .network import read_network
from .output import Output
from .writing import atomic_write


@click.command(cls=GroupedCommand, short_help="Convert a network to .npz, ready to run with NumPy alone.")
@click.argument("model", shell_complete=completion.models)
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.npz")
@click.option("--force", is_flag=True, help="Overwrite files that are there already.")
@options.network
def convert(model: str, out: Path, force: bool, as_json: bool, **typed: Any) -> None:
    """Write MODEL to OUT.npz: batch norms and constant factors folded, patterns put together again.

    What is known about its images, from the options or from a file beside the model, is written to OUT.preprocess.json.
    """
    say = Output(as_json)
    if out.suffix != ".npz":
        raise ParameterError(f"a network is written as .npz, found {out}")
    network = read_network(model, typed, original=True)
    beside = preprocess.beside(out) if network.images.stated is not None else None
    for path in (out, beside):
        if path is not None and path.exists() and not force:
            raise ExistingFileError(f"{path} exists; --force overwrites it")
    folded, merges = canonized(network.model)
    formats.save(folded, out, overwrite=force)
    if beside is not None:
        with atomic_write(beside, force) as part:
            part.write_text(preprocess.text_of(network.images.preprocessing), encoding="utf-8")
    facts: dict[str, Any] = {
        "model": model,
        "nodes": len(network.original.nodes if network.original else network.model.nodes),
        "nodes_written": len(folded.nodes),
        "folded": [{"node": m.node, "into": list(m.into)} for m in merges],
        "bytes": out.stat().st_size,
        "written": [str(path) for path in (out, beside) if path is not None],
    }
    say.say(f"{model}: {facts['nodes']} nodes, {len(merges)} of them folded into their neighbours")
    say.say(f"wrote {out}: {len(folded.nodes)} nodes, {facts['bytes'] / 1e6:.1f} MB")
    if beside is not None:
        say.say(f"wrote {beside}: {network.preprocessing_line()}")
    say.document({"format": "lrp_ref.convert", "version": 1, **facts})
