"""`lrp-ref inspect`: what a network is made of, and what would explain it."""

from __future__ import annotations

from typing import Any

import click

from ..canonize import canonized
from ..errors import LrpError
from ..explainer import Explainer
from ..layers.activations import LogSoftmax, Sigmoid, Softmax
from ..model import Model
from . import parsing
from .options import shared
from .output import Output

COLUMNS = ("node", "layer", "reads", "shape", "parameters", "rule", "step")


@click.command(short_help="Show a network, and which rule goes where.")
@click.argument("model")
@shared
def inspect(
    model: str,
    composite: str,
    assignments: tuple[str, ...],
    head: str | None,
    low: float | None,
    high: float | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Show MODEL: nodes, layers, shapes, parameters, the rule of each node, and the step that serves it.

    MODEL is a path, or zoo:digits or zoo:digits_bn. Batch norms and constant factors are folded first, as they are
    before explaining; what was folded into what is said below the table.
    """
    out = Output(as_json)
    network = parsing.model_of(model, low, high)
    chosen = parsing.composite(composite, assignments)
    facts = _facts(model, network)
    try:
        explained = _explained(network, Explainer(network, chosen, head=head or _head(network), backend=backend))
    except LrpError:
        # What can be shown without rules helps to see why there are none.
        _show(out, facts | {"nodes": _nodes(canonized(network)[0], {}, {})})
        raise
    _show(out, facts | {"composite": chosen.name} | explained)
    out.document({"format": "lrp_ref.inspect", "version": 1, **facts, "composite": chosen.name, **explained})


def _head(model: Model) -> str | None:
    """Rules and steps are the same under each head; explaining wants a choice, looking does not."""
    squashed = len(model.outputs) == 1 and isinstance(model[model.outputs[0]].layer, (Softmax, LogSoftmax, Sigmoid))
    return "logit" if squashed else None


def _facts(spec: str, model: Model) -> dict[str, Any]:
    return {
        "model": spec,
        "number_type": str(model.dtype),
        "inputs": {
            name: {
                "shape": list(model.input_shape[name]) if name in model.input_shape else None,
                "domain": str(model.domain[name]) if name in model.domain else None,
            }
            for name in model.inputs
        },
        "outputs": list(model.outputs),
        "parameters": sum({id(n.layer): row[3] for n, row in zip(model.nodes, model.rows(), strict=True)}.values()),
        "folded": [{"node": m.node, "into": list(m.into)} for m in canonized(model)[1]],
    }


def _explained(model: Model, explainer: Explainer) -> dict[str, Any]:
    made = explainer.plan(model.input_shape or None)
    steps = {node.name: (" + ".join(n.name for n in step.nodes), step.label) for step in made.steps for node in step.nodes}
    rules = {name: str(rule) for name, rule in explainer.rules.items()}
    return {"backend": made.backend, "nodes": _nodes(made.model, rules, steps)}


def _nodes(model: Model, rules: dict[str, str], steps: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    known = set(model.input_shape) == set(model.inputs)
    shapes = model.shapes({name: (1, *shape) for name, shape in model.input_shape.items()}) if known else {}
    return [
        {
            "node": name,
            "layer": layer,
            "reads": list(model[name].inputs),
            "shape": list(shapes[name][1:]) if name in shapes else None,
            "parameters": count,
            "rule": rules.get(name),
            "step": steps[name][1] if name in steps else None,
            "served_with": steps[name][0] if name in steps else None,
        }
        for name, layer, _, count in model.rows()
    ]


def _show(out: Output, facts: dict[str, Any]) -> None:
    about = [f"{facts['parameters']} parameters", facts["number_type"]]
    about += [f"composite {facts['composite']}, backend {facts['backend']}"] if "composite" in facts else []
    out.say(f"{facts['model']}: {', '.join(about)}")
    for name, known in facts["inputs"].items():
        shape = "any shape" if known["shape"] is None else _extents(known["shape"])
        out.say(f"{name}: {shape}, domain {known['domain'] or 'unknown'}")
    rows = [
        (
            node["node"],
            node["layer"],
            ", ".join(node["reads"]),
            "?" if node["shape"] is None else _extents(node["shape"]),
            node["parameters"],
            node["rule"] or "–",
            _step(node),
        )
        for node in facts["nodes"]
    ]
    out.table(COLUMNS, rows, right=(4,), spare=(6, 2, 4))
    for fold in facts["folded"]:
        out.say(f"{fold['node']} was folded into {', '.join(fold['into'])}")


def _step(node: dict[str, Any]) -> str:
    """The step's label, and the run of nodes that it serves, if it is one."""
    if node["step"] is None:
        return "–"
    return f"{node['step']} ({node['served_with']})" if " + " in node["served_with"] else str(node["step"])


def _extents(shape: list[int]) -> str:
    return " × ".join(map(str, shape)) or "1"
