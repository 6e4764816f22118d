"""The forward half of a plan: outputs in computing order, each dropped when nothing reads it any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from ..arrays import Array, Shape, check_finite
from ..errors import NonFiniteError
from ..lazy_dataclass import lazy_dataclass
from ..network.model import Model
from ..step import Step
from .plan import Plan


@lazy_dataclass(frozen=True, eq=False)
class ForwardPass:
    """What a forward pass has left for the way back.

    Attributes
    ----------
    plan : the steps
    inputs : (N, …) each
    shapes : of every input and node, batch axis included
    values : the activations that are still there
    """

    plan: Plan
    inputs: Mapping[str, Array]
    shapes: Mapping[str, Shape]
    values: Mapping[str, Array]

    @property
    def template(self) -> Array:
        """An array of the number type that all numbers have."""
        return next(iter(self.inputs.values()))


def last_reads(steps: Sequence[Step], wanted: Iterable[str | None]) -> tuple[tuple[str, ...], ...]:
    """For each step the nodes and inputs that it reads last, so that their outputs can be freed once it is computed.

    Parameters
    ----------
    steps : the steps, in computing order
    wanted : nodes and inputs whose outputs are needed in the end, and are never freed
    """
    later = set(wanted)
    dead: list[tuple[str, ...]] = []
    for step in reversed(steps):
        reads = dict.fromkeys(step.nodes[0].inputs)
        dead.append(tuple(name for name in reads if name not in later))
        later.update(reads)
    return tuple(reversed(dead))


def node_outputs(
    plan: Plan,
    inputs: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    dead_after: Sequence[Collection[str]],
    saved: list[Any] | None = None,
) -> dict[str, Array]:
    """The outputs, by node, that are still there in the end.

    Parameters
    ----------
    plan : the steps
    inputs : (N, …) each
    shapes : of every input and node, batch axis included
    dead_after : for each step what is dropped behind it (`last_reads`)
    saved : gets what each step keeps for the way back; None: nothing goes back, and nothing is kept
    """
    values = dict(inputs)
    owners: dict[str, Array] = {}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # checked at the end, by node
        for step, dropped in zip(plan.steps, dead_after, strict=True):
            name = step.nodes[-1].name
            into = _slot_view(plan, name, shapes, owners) if name in plan.slots else None
            values[name], state = step.forward(*[values[source] for source in step.nodes[0].inputs], into=into)
            if saved is not None:
                saved.append(state)
            del state
            for last in dropped:
                del values[last]
    return values


def _slot_view(plan: Plan, name: str, shapes: Mapping[str, Shape], owners: dict[str, Array]) -> Array:
    """Where a node's output goes: a slice of another's, which is made when the first of them comes."""
    slot = plan.slots[name]
    if slot.owner not in owners:
        owners[slot.owner] = plan.output(shapes[slot.owner])
    output = owners[slot.owner] if name != slot.owner else owners.pop(name)
    return output[:, slot.first : slot.first + slot.channels]


def refuse_values(model: Model, inputs: Mapping[str, Array], names: Iterable[str]) -> NoReturn:
    """Raise the error that names the first node whose output is infinite or NaN, found by computing layer by layer.

    Parameters
    ----------
    model : the network
    inputs : its inputs by name, (N, …)
    names : nodes that are known to have such an output, in case the definition rounds otherwise and finds none

    Raises
    ------
    NonFiniteError
        Always.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        activations = model.trace(inputs).activations
    for name, array in activations.items():
        check_finite(array, f"the output of node {name!r}")
    raise NonFiniteError(f"the output of node {', '.join(map(repr, names))} is not finite")
