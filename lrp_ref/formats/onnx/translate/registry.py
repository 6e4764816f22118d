"""The record of an operator, registered by name and schema version: its function, and how it treats the batch axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .builder import Value
from .operator_call import Call

#: From a node with its inputs looked up to its outputs: layers are emitted on the way.
OperatorFunction: TypeAlias = "Callable[[Call], Value | Sequence[Value | None]]"
#: Where a file has the batch: `batch_axis`, `before` and `behind` of a tensor.
Layout: TypeAlias = tuple[int, int, int]
#: From a node and its batch axis to the node with the batch in front, and the batch axis of its outputs.
Recount: TypeAlias = Callable[[Call, int], tuple[Call, int]]
#: From a node and the layout of its signals to the node with the batch apart and in front, and the layout of its outputs.
Unfold: TypeAlias = Callable[[Call, Layout], tuple[Call, Layout]]


@dataclass(frozen=True)
class Operator:
    """An operator of ONNX: the function that translates a node of it, and how it treats the batch axis of its signals.

    Parameters
    ----------
    function : translates a node whose signals have the batch in front
    elementwise : whether it has no axes, and its only signal is the first input
    broadcasts : whether its inputs broadcast against each other
    finds_batch : whether `function` itself looks up where the batch axis is
    finds_folded : whether `function` itself looks up which axes are folded into the batch
    recount : counts the axes of a node anew where the batch is elsewhere; None: such a layout is refused
    moves_batch : whether it may move the batch away from the front, so that `recount` is asked for every node
    unfold : counts the axes of a node anew where axes are folded into the batch; None: such a layout is refused
    """

    function: OperatorFunction
    elementwise: bool = False
    broadcasts: bool = False
    finds_batch: bool = False
    finds_folded: bool = False
    recount: Recount | None = None
    moves_batch: bool = False
    unfold: Unfold | None = None


def versions(op: str, function: OperatorFunction, *numbers: int, **traits: Any) -> dict[tuple[str, int], Operator]:
    """One function for several schema versions of an operator.

    Parameters
    ----------
    op : the operator's name, with its domain in front where that is not ONNX's own
    function : translates a node of it
    *numbers : the versions of the schema that the function was written for
    **traits : of `Operator`, such as `elementwise`
    """
    operator = Operator(function, **traits)
    return {(op, number): operator for number in numbers}
