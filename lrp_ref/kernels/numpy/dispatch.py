"""Which step serves a node: the table of NumPy's steps, above the modules that they are in."""

from __future__ import annotations

from ...network.model import Node
from ...rules import Gradient
from ...step import PlanContext, Step
from . import derivatives, linear, max_pooling, pass_through, recurrent


def step_for(context: PlanContext, node: Node) -> Step | None:
    """The step for `node` (and perhaps the ReLU behind it), None where the definition serves it."""
    if context.model.dtype == object:
        return None
    if type(context.rules[node.name]) is Gradient:
        return derivatives.step_for(context, node, step_for)
    for family in (linear, pass_through, max_pooling, recurrent):
        step: Step | None = family.step_for(context, node)
        if step is not None:
            return step
    return None
