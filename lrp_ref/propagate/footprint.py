"""How much memory a plan takes, estimated from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..arrays import Shape
from ..errors import LrpError
from ..layers.conv import Conv, ConvTranspose
from ..layers.pooling import Selecting
from ..rules import LinearRule
from ..step import Step
from .plan import Plan
from .reference_step import ReferenceStep

#: Bytes of one number; a Fraction is a pointer to an object with two integers of its own.
FRACTION = 120


def footprint(plan: Plan, shapes: Mapping[str, Shape], observed: Collection[str], targets: int) -> int:
    """The largest number of bytes that a run holds at once, beside the weights: saved arrays and one step's work.

    Parameters
    ----------
    plan : the plan
    shapes : of every input and node, batch axis included
    observed : whose relevance is kept
    targets : how many targets are explained at once
    """
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    item = FRACTION if plan.model.dtype == object else plan.model.dtype.itemsize
    block = plan.served_by.block
    held = sum(size[name] for name in plan.model.inputs)
    peak, saved = 0, []
    for step in plan.steps:
        end, below = _around(step, size)
        shares = step.share_count
        columns = _columns(step, shapes, item, 1, block)
        peak = max(peak, held + below + end * (1 + shares) + columns)
        saved.append(end * (max(shares, 1) + (shares > 0 and step.nodes[-1].name in plan.needed_activations)))
        held += saved[-1]
    for step, step_bytes in zip(reversed(plan.steps), reversed(saved), strict=True):
        end, below = _around(step, size)
        columns = _columns(step, shapes, item, targets, block)
        quotients = 0 if step.columns == "none" else step.share_count
        work = targets * (end * (1 + quotients) + 2 * below) + columns + _modified(step)
        peak = max(peak, held + work)
        held += targets * sum(size[node.name] for node in step.nodes[-1:] if node.name in observed) - step_bytes
    return item * peak


def forward_footprint(plan: Plan, shapes: Mapping[str, Shape], dead_after: Sequence[Collection[str]]) -> int:
    """The largest number of bytes that a forward pass alone holds at once, beside the weights.

    Parameters
    ----------
    plan : the plan
    shapes : of every input and node, batch axis included
    dead_after : for each step the nodes and inputs that are dropped behind it
    """
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    item = FRACTION if plan.model.dtype == object else plan.model.dtype.itemsize
    block = plan.served_by.block
    held = peak = sum(size[name] for name in plan.model.inputs)
    for step, dropped in zip(plan.steps, dead_after, strict=True):
        held += size[step.nodes[-1].name]
        peak = max(peak, held + _columns(step, shapes, item, 1, block))
        held -= sum(size[name] for name in dropped)
    return item * peak


def _around(step: Step, size: Mapping[str, int]) -> tuple[int, int]:
    return size[step.nodes[-1].name], sum(size[name] for name in step.nodes[0].inputs)


def _columns(step: Step, shapes: Mapping[str, Shape], item: int, targets: int, block: int) -> int:
    """The columns of a convolution or a maximum: what every window sees. A block of them is so many bytes."""
    node = step.nodes[0]
    below, above = shapes[node.inputs[0]], shapes[node.name]
    if step.columns == "none":
        return 0  # it works in blocks of its own, a few megabytes for each thread
    if isinstance(node.layer, (Conv, ConvTranspose)):
        taps = math.prod(node.layer.weight.shape[2:])
        wide = below if isinstance(node.layer, Conv) else above
        columns = taps * math.prod(wide[:2]) * math.prod((above if wide is below else below)[2:])
        # The reference takes one target after the other, with all columns of it, and multiplies into as many.
        return int(min(targets * columns, block // item) if step.columns == "block" else columns)
    return 3 * math.prod(below) if isinstance(node.layer, Selecting) else 0


def _modified(step: Step) -> int:
    """The weights that a rule makes at every call of the reference step."""
    rule, layer = step.rule, step.nodes[0].layer
    if not isinstance(step, ReferenceStep) or not isinstance(rule, LinearRule):
        return 0
    weights = [a for name, a in layer.parameters.items() if name == "weight"]
    try:
        one = [np.ones((1,) * a.ndim, a.dtype) for a in weights]
        copies = [sum(t.weight is not w for s in rule.shares(w, None) for t in s.terms) for w in one]
    except LrpError:
        copies = [2] * len(weights)
    return sum(count * a.size for count, a in zip(copies, weights, strict=True))
