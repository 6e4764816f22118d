"""`lrp-ref inspect`: what a network is made of, and what would explain it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from ..composites import Composite
from ..errors import HeadError, LrpError
from ..explainer import Explainer
from ..network.canonize import canonized
from ..network.model import Model
from ..preprocess import domain_text
from . import completion, parsing
from .grouped_help import GroupedCommand
from .network import Network, read_network
from .options import resources, shared
from .output import Output
from .stops import stops

COLUMNS = ("node", "layer", "reads", "shape", "parameters", "rule", "step")
_OPEN = "the file leaves extents open: it is laid out for the shapes of what it is given, and the nodes are those of one layout"
_MOST = 4  # names in a line about what was put together again


@click.command(cls=GroupedCommand, short_help="Show a network, and which rule goes where.")
@click.argument("model", shell_complete=completion.models)
@click.option("--plan", is_flag=True, help="Show for each node the step that serves it, too.")
@shared
def inspect(
    model: str,
    plan: bool,
    composite: str,
    assignments: tuple[str, ...],
    head: str | None,
    output_node: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show MODEL: nodes, layers, what they read, shapes, parameters, and the rule of each node.

    MODEL is a path (.npz, .onnx), or zoo:digits or zoo:digits_bn. Batch norms and constant factors are folded first, as
    they are before explaining; what was folded into what is said below the table, and which patterns of the file were put
    together again. A node that reads the line above has nothing under "reads".
    """
    out = Output(as_json)
    network = read_network(model, options, original=True)
    rules = parsing.composite(composite, assignments)
    facts = _facts(network)
    try:
        explainer = _explainer(network.model, [head] if head else [None, "logit", "probability"], rules, output_node, options)
        explained = _explained(network.model, explainer)
    except LrpError:
        # What can be shown without rules helps to see why there are none.
        _document(
            out, facts | {"nodes": _nodes(canonized(network.model)[0], {}, {})}, plan, network.model, rules, output_node, head
        )
        raise
    _document(out, facts | {"composite": rules.name} | explained, plan, network.model, rules, output_node, head)


def _document(
    out: Output, facts: dict[str, Any], plan: bool, model: Model, rules: Composite, output: str | None, head: str | None
) -> None:
    """The network, and below it what would stop an explanation, with the options that avoid it."""
    _show(out, facts, plan)
    reasons = stops(model, rules, output, head)
    for stop in reasons:
        out.say(f"{stop.what}: {', or '.join(stop.options)}")
    out.document({"format": "lrp_ref.inspect", "version": 1, **facts, "stops": [stop.plain() for stop in reasons]})


def _explainer(model: Model, heads: list[str | None], rules: Composite, output: str | None, options: dict[str, Any]) -> Explainer:
    """Under the first head that the output has; explaining wants a choice where there is one, looking does not."""
    head, *others = heads
    try:
        return Explainer(model, rules, head=head, output=output, **resources(options))
    except HeadError:
        if not others:
            raise
        return _explainer(model, others, rules, output, options)


def _facts(network: Network) -> dict[str, Any]:
    model = network.model
    folded, merges = canonized(model)
    kinds = Counter(type(node.layer).__name__ for node in folded.nodes)
    return {
        "model": network.spec,
        "number_type": str(model.dtype),
        "inputs": {
            name: {
                "shape": list(model.input_shape[name]) if name in model.input_shape else None,
                "domain": domain_text(model.domain[name]) if name in model.domain else None,
            }
            for name in model.inputs
        },
        "outputs": list(model.outputs),
        "remarks": [*model.remarks, *([] if model.extents is None else [_OPEN])],
        "parameters": sum({id(n.layer): row[3] for n, row in zip(model.nodes, model.rows(), strict=True)}.values()),
        "layers": dict(kinds.most_common()),
        "preprocessing": None if network.images.stated is None else network.preprocessing_line(),
        "folded": [{"node": m.node, "into": list(m.into)} for m in merges],
        "patterns": [] if network.original is None else patterns(network.original, model),
    }


def patterns(raw: Model, model: Model) -> list[dict[str, Any]]:
    """What the file takes apart and `model` has put together again: the node, its layer, and the layers that it was.

    Parameters
    ----------
    raw : the network as the file has it
    model : the same with patterns recognised; nodes keep their names
    """
    entries = []
    for node in model.nodes:
        if node.name not in raw or (repr(raw[node.name].layer) == repr(node.layer) and raw[node.name].inputs == node.inputs):
            continue
        parts, queue = [], [node.name]
        while queue:
            current = queue.pop(0)
            if current in parts or current not in raw or (current in model and current != node.name):
                continue
            parts.append(current)
            queue += raw[current].inputs
        was = [type(raw[name].layer).__name__ for name in parts]
        entries.append({"node": node.name, "layer": type(node.layer).__name__, "was": was, "nodes": parts})
    return entries


def _explained(model: Model, explainer: Explainer) -> dict[str, Any]:
    step_plan = explainer.plan(model.input_shape or None)
    steps = {node.name: (" + ".join(n.name for n in step.nodes), step.label) for step in step_plan.steps for node in step.nodes}
    rules = {name: str(rule) for name, rule in explainer.rules.items()}
    return {"backend": step_plan.backend, "plan": step_plan.described, "nodes": _nodes(step_plan.model, rules, steps)}


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


def _show(out: Output, facts: dict[str, Any], plan: bool) -> None:
    about = [f"{facts['parameters']} parameters"]
    about += [f"composite {facts['composite']}", facts["plan"]] if "composite" in facts else [facts["number_type"]]
    out.say(f"{facts['model']}: {', '.join(about)}")
    counts = ", ".join(f"{count} {kind}" for kind, count in facts["layers"].items())
    out.say(f"{len(facts['nodes'])} nodes: {counts}")
    for name, known in facts["inputs"].items():
        shape = "any shape" if known["shape"] is None else _extents_text(known["shape"])
        out.say(f"{name}: {shape}, domain {known['domain'] or 'unknown'}")
    out.say(f"output: {', '.join(facts['outputs'])}")
    for remark in facts["remarks"]:
        out.say(remark)
    if facts["preprocessing"]:
        out.say(facts["preprocessing"])
    rows, above = [], next(iter(facts["inputs"]))
    for node in facts["nodes"]:
        rows.append(_node_row(node, above))
        above = node["node"]
    width = len(COLUMNS) - (not plan)
    out.table(COLUMNS[:width], [row[:width] for row in rows], right=(4,), whole=(0, 3), spare=((6,) if plan else ()) + (2, 4))
    for fold in facts["folded"][:_MOST]:
        out.say(f"{fold['node']} was folded into {', '.join(fold['into'])}")
    if len(facts["folded"]) > _MOST:
        out.say(f"{len(facts['folded']) - _MOST} more were folded into their neighbours; --json lists them")
    _show_patterns(out, facts["patterns"])


def _node_row(node: dict[str, Any], above: str) -> tuple[Any, ...]:
    return (
        node["node"],
        node["layer"],
        "" if node["reads"] == [above] else ", ".join(node["reads"]),
        "?" if node["shape"] is None else _extents_text(node["shape"]),
        node["parameters"],
        node["rule"] or "–",
        _step(node),
    )


def _show_patterns(out: Output, entries: list[dict[str, Any]]) -> None:
    """A line for each kind of pattern, with the first nodes of it."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for pattern in entries:
        grouped.setdefault((pattern["layer"], *pattern["was"]), []).append(pattern["node"])
    for (layer, *was), nodes in grouped.items():
        listed = ", ".join(nodes[:_MOST]) + (f" and {len(nodes) - _MOST} more" if len(nodes) > _MOST else "")
        what = f"put together again from {' + '.join(was)}" if was != [layer] else "told which of its inputs is the signal"
        out.say(f"{layer} was {what}, {len(nodes)}×: {listed}")


def _step(node: dict[str, Any]) -> str:
    """The step's label, and the run of nodes that it serves, if it is one."""
    if node["step"] is None:
        return "–"
    return f"{node['step']} ({node['served_with']})" if " + " in node["served_with"] else str(node["step"])


def _extents_text(shape: list[int]) -> str:
    return " × ".join(map(str, shape)) or "1"
