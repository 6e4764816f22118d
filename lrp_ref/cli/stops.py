"""What would stop an explanation of a network, and the options that avoid it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote
from typing import Any

from ..composites import Composite
from ..errors import HeadError, LrpError, RuleError
from ..explainer import Explainer
from ..layers import Divide, Multiply, Rearrangement, Recurrent
from ..layers.functions import Function
from ..network.canonize import canonized
from ..network.model import Model, Node, ancestors
from ..rules import SignalTakesAll

#: A node in a message: its name, and its layer's.
_PLACE = re.compile(r"node '([^']+)' \((\w+)\)")


#: Cuts that are listed.
MOST = 4


@dataclass(frozen=True)
class Stop:
    """One thing that stops an explanation.

    Attributes
    ----------
    what : the output or node, and why
    options : what may be typed, each alone
    """

    what: str
    options: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"what": self.what, "options": list(self.options)}


def stops(model: Model, composite: Composite, output: str | None, head: str | None) -> list[Stop]:
    """The reasons why an output, or every output where none is chosen, cannot be explained.

    Parameters
    ----------
    model : the network
    composite : the rules
    output : one of its outputs; None: all of them
    head : what is explained of a probability
    """
    names = (output,) if output in model.outputs else model.outputs
    reasons: list[Stop] = []
    free = []
    for name in names:
        error = _error(model, composite, name, head)
        if error is None:
            free.append(name)
            reasons += _unsaid(model, composite, name, head)
            reasons += _branches(model, composite, name, head)
        elif isinstance(error, HeadError):
            reasons += _squashed(model, composite, name, "" if len(names) == 1 else f" --output-node {quote(name)}")
        elif isinstance(error, RuleError):
            reasons += _of_rules(model, name, error)
        else:
            reasons.append(Stop(f"output {name!r}: {error}", ("none",)))
    if len(names) > 1 and free:
        reasons.insert(0, Stop("the network has several outputs", tuple(f"--output-node {quote(name)}" for name in free)))
    return reasons


def _error(model: Model, composite: Composite, output: str, head: str | None) -> LrpError | None:
    try:
        Explainer(model, composite, output=output, head=head).plan(model.input_shape or None)
    except LrpError as error:
        return error
    return None


def _squashed(model: Model, composite: Composite, output: str, rest: str) -> list[Stop]:
    """The heads that an output has; where none can be explained, what lies below them is in the way."""
    errors = {head: _error(model, composite, output, head) for head in ("logit", "log-odds", "probability")}
    possible = {head: error for head, error in errors.items() if not isinstance(error, HeadError)}
    free = [head for head, error in possible.items() if error is None]
    reasons = [Stop(f"output {output!r} is squashed", tuple(f"--head {head}{rest}" for head in free or possible) or ("none",))]
    below = next((error for error in possible.values() if isinstance(error, RuleError)), None)
    return reasons if free or below is None else [*reasons, *_of_rules(model, output, below)]


def _branches(model: Model, composite: Composite, output: str, head: str | None) -> list[Stop]:
    """The branches of an output of which no element can be explained, and the ends at those of which all can."""
    begins = Explainer(model, composite, output=output, head=head).explained_nodes
    ends = tuple(f"--output {quote(name)}" for name, why in begins.items() if not why and name in model)
    reasons = []
    for name, why in begins.items():
        if why:
            nodes = ", ".join(f"node {node!r} ({layer})" for node, layer in dict.fromkeys(_PLACE.findall(why)))
            what = f"output {output!r} has elements that come from node {name!r}, and {nodes} has no rule"
            reasons.append(Stop(f"{what}; the others alone", ends or ("none",)))
    return reasons


def _unsaid(model: Model, composite: Composite, output: str, head: str | None) -> list[Stop]:
    """Products of which nobody says which factor is the signal, where the rule needs it."""
    folded = canonized(model)[0]
    rules = Explainer(model, composite, output=output, head=head).rules
    open_ones = [folded[name] for name, rule in rules.items() if isinstance(rule, SignalTakesAll)]
    return [
        Stop(f"{node.title} does not say which of its inputs is the signal", tuple(_choices(node)))
        for node in open_ones
        if isinstance(node.layer, Multiply) and node.layer.signal is None
    ]


def _of_rules(model: Model, output: str, error: RuleError) -> list[Stop]:
    """A stop for each node without a rule, and the cut in front of them all."""
    folded = canonized(model)[0]
    nodes = [folded[name] for name, _ in dict.fromkeys(_PLACE.findall(str(error))) if name in folded]
    names = {node.name for node in nodes}
    reasons = [Stop(f"{node.title} has no rule", tuple(_choices(node)) or ("none for this node alone",)) for node in nodes]
    below, behind = ancestors(folded, output), set(names)
    for node in folded.nodes:
        if not behind.isdisjoint(node.inputs):
            behind.add(node.name)
    passes = [choice for node in nodes for choice in _choices(node) if choice.startswith("--pass")]
    if len(nodes) > 1 and len(passes) == len(nodes):
        reasons.append(Stop(f"output {output!r} with relevance passing them all", (" ".join(passes),)))
    cuts: dict[str, None] = {}
    for node in reversed(folded.nodes):  # from the end: what is cut off is least
        if node.name in below and node.name in behind:
            cuts |= {name: None for name in node.inputs if name in folded and name in model and name not in behind}
    if nodes:
        ends = tuple(f"--output {quote(name)}" for name in list(cuts)[:MOST]) or ("none: the network begins with it",)
        reasons.append(Stop(f"output {output!r} without what lies behind", ends))
    return reasons


def _choices(node: Node) -> list[str]:
    """What may be typed about one node."""
    layer = node.layer
    if isinstance(layer, Multiply):
        return [*(f"--signal {quote(f'{node.name}={side}')}" for side in (0, 1)), f"--rule {quote(f'{node.name}=HalfProduct()')}"]
    if isinstance(layer, Divide):
        return [f"--signal {quote(f'{node.name}=0')}"]
    if isinstance(layer, Function) and not isinstance(layer, (Rearrangement, Recurrent)) and layer.arity == 1:
        return [f"--pass {quote(node.name)}"]
    return []
