"""What computes a node that is predicted and never explained: the forward half of the step that would serve its derivative."""

from __future__ import annotations

from dataclasses import replace

from ...arrays import Array
from ...network.model import Node
from ...rules import Gradient
from ...step import Forward, PlanContext
from .dispatch import step_for
from .elementwise import function_for


def forward_for(context: PlanContext, node: Node) -> Forward | None:
    """The core's way to a node's output; None where it has none."""
    function = function_for(context, node)
    if function is not None:
        return function
    step = step_for(replace(context, rules={node.name: Gradient()}, with_ledger=False), node)
    if step is None:
        return None

    def output(*inputs: Array) -> Array:
        return step.forward(*inputs)[0]

    return output
