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
    """What stops an explanation of `output`, or of every output where none is chosen."""
    names = (output,) if output in model.outputs else model.outputs
    found: list[Stop] = []
    fine = []
    for name in names:
        error = _error(model, composite, name, head)
        if error is None:
            fine.append(name)
            found += _unsaid(model, composite, name, head)
            found += _branches(model, composite, name, head)
        elif isinstance(error, HeadError):
            found += _squashed(model, composite, name, "" if len(names) == 1 else f" --output-node {quote(name)}")
        elif isinstance(error, RuleError):
            found += _of_rules(model, name, error)
        else:
            found.append(Stop(f"output {name!r}: {error}", ("none",)))
    if len(names) > 1 and fine:
        found.insert(0, Stop("the network has several outputs", tuple(f"--output-node {quote(name)}" for name in fine)))
    return found


def _error(model: Model, composite: Composite, output: str, head: str | None) -> LrpError | None:
    try:
        Explainer(model, composite, output=output, head=head).plan(model.input_shape or None)
    except LrpError as error:
        return error
    return None


def _squashed(model: Model, composite: Composite, output: str, rest: str) -> list[Stop]:
    """The heads that an output has; where none can be explained, what lies below them is in the way."""
    errors = {head: _error(model, composite, output, head) for head in ("logit", "log-odds", "probability")}
    had = {head: error for head, error in errors.items() if not isinstance(error, HeadError)}
    fine = [head for head, error in had.items() if error is None]
    found = [Stop(f"output {output!r} is squashed", tuple(f"--head {head}{rest}" for head in fine or had) or ("none",))]
    below = next((error for error in had.values() if isinstance(error, RuleError)), None)
    return found if fine or below is None else [*found, *_of_rules(model, output, below)]


def _branches(model: Model, composite: Composite, output: str, head: str | None) -> list[Stop]:
    """The branches of an output of which no element can be explained, and the ends at those of which all can."""
    begins = Explainer(model, composite, output=output, head=head).begins
    fine = tuple(f"--output {quote(name)}" for name, why in begins.items() if not why and name in model)
    found = []
    for name, why in begins.items():
        if why:
            nodes = ", ".join(f"node {node!r} ({layer})" for node, layer in dict.fromkeys(_PLACE.findall(why)))
            what = f"output {output!r} has elements that come from node {name!r}, and {nodes} has no rule"
            found.append(Stop(f"{what}; the others alone", fine or ("none",)))
    return found


def _unsaid(model: Model, composite: Composite, output: str, head: str | None) -> list[Stop]:
    """Products of which nobody says which factor is the signal, where the rule needs it."""
    folded = canonized(model)[0]
    given = Explainer(model, composite, output=output, head=head).rules
    open_ones = [folded[name] for name, rule in given.items() if isinstance(rule, SignalTakesAll)]
    return [
        Stop(f"{node.place} does not say which of its inputs is the signal", tuple(_choices(node)))
        for node in open_ones
        if isinstance(node.layer, Multiply) and node.layer.signal is None
    ]


def _of_rules(model: Model, output: str, error: RuleError) -> list[Stop]:
    """A stop for each node without a rule, and the cut in front of them all."""
    folded = canonized(model)[0]
    wrong = [folded[name] for name, _ in dict.fromkeys(_PLACE.findall(str(error))) if name in folded]
    names = {node.name for node in wrong}
    found = [Stop(f"{node.place} has no rule", tuple(_choices(node)) or ("none for this node alone",)) for node in wrong]
    below, behind = ancestors(folded, output), set(names)
    for node in folded.nodes:
        if not behind.isdisjoint(node.inputs):
            behind.add(node.name)
    passes = [choice for node in wrong for choice in _choices(node) if choice.startswith("--pass")]
    if len(wrong) > 1 and len(passes) == len(wrong):
        found.append(Stop(f"output {output!r} with relevance passing them all", (" ".join(passes),)))
    cuts: dict[str, None] = {}
    for node in reversed(folded.nodes):  # from the end: what is cut off is least
        if node.name in below and node.name in behind:
            cuts |= {name: None for name in node.inputs if name in folded and name in model and name not in behind}
    if wrong:
        ends = tuple(f"--output {quote(name)}" for name in list(cuts)[:MOST]) or ("none: the network begins with it",)
        found.append(Stop(f"output {output!r} without what lies behind", ends))
    return found


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
