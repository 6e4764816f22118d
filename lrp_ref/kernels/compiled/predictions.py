"""What computes a node that is predicted and never explained: the forward half of the step that would serve its derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...arrays import Array
from ...network.model import Node
from ...rules import Gradient
from ...step import PlanContext
from . import derivatives as compiled_derivatives
from . import elementwise as compiled_elementwise


def forward(context: PlanContext, node: Node) -> Callable[..., Array] | None:
    """The core's way to a node's output; None where it has none."""
    function = compiled_elementwise.forward(context, node)
    if function is not None:
        return function
    step = compiled_derivatives.step_for(replace(context, rules={node.name: Gradient()}, with_ledger=False), node)
    if step is None:
        return None

    def output(*inputs: Array) -> Array:
        found: Array = step.forward(*inputs)[0]
        return found

    return output
