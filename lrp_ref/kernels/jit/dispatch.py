"""Which step serves a node: NumPy's steps, with loops in the place of passes where they are faster."""

from __future__ import annotations

from collections.abc import Callable

from ...layers.base import Linear
from ...layers.conv import Conv
from ...network.model import Node
from ...rules import Gradient, LinearRule
from ...step import PlanContext, Step
from ..numpy import derivatives, linear, max_pooling, pass_through, recurrent
from ..numpy.linear import FusedLinear
from ..numpy.matrix_products import pointwise
from ..numpy.passes import LINEAR as NUMPY
from ..numpy.prepared import StackedLayer
from . import loops
from .conv import JitConv
from .passes import FACTORS, LINEAR, WINDOWS


def step_for(context: PlanContext, node: Node) -> Step | None:
    """The step for `node` (and perhaps the ReLU behind it), None where the definition serves it.

    Raises
    ------
    MissingExtraError
        Where Numba is not there, or does not work.
    """
    loops.require()
    if context.model.dtype == object:
        return None
    if type(context.rules[node.name]) is Gradient:
        return derivatives.step_for(context, node, step_for)
    return (
        linear.step_for(context, node, _linear_step)
        or pass_through.step_for(context, node)
        or max_pooling.step_for(context, node, WINDOWS, _linear_step)
        or recurrent.step_for(context, node)
    )


def _linear_step(
    nodes: tuple[Node, ...],
    rule: LinearRule,
    prepare: Callable[[bool], StackedLayer | None],
    *,
    with_ledger: bool,
    before_maximum: bool = False,
    stand_in: Linear | None = None,
) -> FusedLinear:
    """The step for a linear layer, by its class."""
    layer = nodes[0].layer if stand_in is None else stand_in
    step = JitConv if type(layer) is Conv and not pointwise(layer.window) else FusedLinear
    passes = FACTORS if step is JitConv else LINEAR.get(type(layer), NUMPY)
    return step(nodes, rule, prepare, passes, before_maximum, stand_in, with_ledger=with_ledger)
