"""Which step serves a node: the core's steps, and NumPy's where it has none."""

from __future__ import annotations

from ...network.model import Node
from ...rules import Gradient
from ...step import PlanContext, Step
from ..numpy import pass_through
from . import concat_in_place, derivatives, elementwise, linear, lookups, moves, norms, recurrent, sums

#: The families of steps, in the order in which they are asked.
_FAMILIES = (recurrent, linear, concat_in_place, moves, elementwise, norms, lookups, sums, pass_through)


def step_for(context: PlanContext, node: Node) -> Step | None:
    """The step for `node` (and perhaps the ReLU behind it), None where the definition serves it."""
    if context.model.dtype == object:
        return None
    if type(context.rules[node.name]) is Gradient:
        return derivatives.step_for(context, node, step_for)
    for family in _FAMILIES:
        step: Step | None = family.step_for(context, node)
        if step is not None:
            return step
    return None
