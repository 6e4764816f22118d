"""From the nodes of a file to the nodes of a model, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....errors import FormatError, LrpError
from ....network.model import Model
from ..read.onnx_graph import Branch, OpNode
from .batch_axis import move_batch_first
from .builder import Builder, Tensor, Value
from .ends import END, with_ends
from .folded_batch import has_folded_batch, unfold_batch
from .integers import check_integers, kind_of
from .operator_call import Call
from .registry import Operator


@dataclass(frozen=True)
class MissingValue:
    """A value that could not be translated; `why` is empty where that was reported already, and its dependants stay silent."""

    why: str = ""


#: What a file that contradicts itself can raise inside an operator's function; it is said with the node's name.
_NODE_ERRORS = (
    LrpError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    MemoryError,
    RecursionError,
)


def translate_nodes(
    nodes: Sequence[OpNode],
    values: dict[str, Value | MissingValue],
    builder: Builder,
    version_of: Mapping[str, int],
    operators: Mapping[tuple[str, int], Operator],
    fold: Callable[[Call], Sequence[Value | None] | None],
    within: Collection[str] = (),
) -> None:
    """Translate nodes into layers or constants, one after the other.

    Parameters
    ----------
    nodes : in computing order
    values : by the file's names; takes what the nodes compute
    builder : takes the layers
    version_of : the schema version of each operator
    operators : by name and schema version
    fold : computes a node of constants
    within : values of a branch, which no model ends at

    Raises
    ------
    FormatError
        Where nodes cannot be represented; all of them are listed.
    """
    complaints: list[str] = []
    for node in nodes:
        inputs = [values.get(name) if name else None for name in node.inputs]
        results: Sequence[Value | MissingValue | None]
        broken = [value for value in inputs if isinstance(value, MissingValue)]
        results = [MissingValue()] * len(node.outputs)
        if broken:
            complaints += [f"{node.title}: {value.why}" for value in broken if value.why]
            if node.op == "If":
                complaints.append(f"{node.title}: which branch it takes is not known")
        else:
            call = Call(node, tuple(inputs), version_of[node.op], builder)  # type: ignore[arg-type]
            try:
                with np.errstate(all="ignore"):  # what overflows is infinite, and refused as a weight
                    if node.op == "If":
                        results = _take_branch(call, values, version_of, operators, fold)
                    else:
                        results = _translate_node(call, operators, fold)
            except _NODE_ERRORS as error:
                ends = [name for name in node.inputs if name not in within and _is_computed(values.get(name), builder)]
                complaints.append(f"{node.title}: {with_ends(_message_of(error), ends)}")
        for index, name in enumerate(node.outputs):
            value = results[index] if index < len(results) else None
            values[name] = (
                MissingValue(f"it reads {name!r}, an output of {node.title} that is not supported") if value is None else value
            )
    if complaints:
        shown = "; ".join(complaints[:20]) + (f"; and {len(complaints) - 20} more" if len(complaints) > 20 else "")
        raise FormatError(shown)


def _take_branch(
    call: Call,
    values: Mapping[str, Value | MissingValue],
    version_of: Mapping[str, int],
    operators: Mapping[tuple[str, int], Operator],
    fold: Callable[[Call], Sequence[Value | None] | None],
) -> Sequence[Value | MissingValue | None]:
    """The outputs of an If, from the branch that its condition chooses: the other one is no part of the network."""
    condition = call.value(0)
    if isinstance(condition, Tensor):
        sources = ", ".join(f"fix={{{name!r}: …}}" for name in call.builder.sources(condition))
        raise FormatError(
            f"which branch it takes depends on the network's input: LRP explains one network, not two; {sources} sets the "
            "input that decides to a value"
        )
    if condition.size != 1:
        raise FormatError(f"its condition must be one truth value, found shape {condition.shape}")
    branch = call.node.attributes.get("then_branch" if condition.reshape(()) else "else_branch")
    if not isinstance(branch, Branch) or len(branch.outputs) != len(call.node.outputs):
        raise FormatError("its branch is missing, or has another number of outputs")
    inner = {**values, **branch.constants}
    own = [name for node in branch.nodes for name in node.outputs]
    translate_nodes(branch.nodes, inner, call.builder, version_of, operators, fold, own)
    return [inner.get(name) for name in branch.outputs]


def _is_computed(value: Value | MissingValue | None, builder: Builder) -> bool:
    """Whether a value depends on the network's input, and is not one."""
    return isinstance(value, Tensor) and value.name in builder.nodes


def _message_of(error: Exception) -> str:
    return str(error) if isinstance(error, LrpError) else f"its inputs and attributes do not fit each other ({error})"


def _translate_node(
    call: Call, operators: Mapping[tuple[str, int], Operator], fold: Callable[[Call], Sequence[Value | None] | None]
) -> Sequence[Value | None]:
    if not any(isinstance(value, Tensor) for value in call.inputs):
        folded = fold(call)
        return _compute_by_layers(call, operators) if folded is None else folded
    operator = operators.get((call.node.op, call.version))
    check_integers(call)
    if operator is None and not call.version:
        raise FormatError(f"{call.node.op} is not read")
    if operator is None:
        raise FormatError(f"it is computed of constants alone, and here it reads what depends on the network's input; {END}")
    kind = kind_of(call)
    changed: dict[str, Any] = {} if kind is None else {"kind": kind}
    if has_folded_batch(call) and not operator.finds_folded:
        call, (batch_axis, before, behind) = unfold_batch(call, operator)
        changed |= {"batch_axis": batch_axis, "before": before, "behind": behind}
    elif not has_folded_batch(call) and (call_and_axis := move_batch_first(call, operator)) is not None:
        call = call_and_axis[0]
        changed["batch_axis"] = call_and_axis[1]
    result = operator.function(call)
    values = [result] if isinstance(result, (Tensor, np.ndarray)) else result
    return [replace(value, **changed) if isinstance(value, Tensor) and changed else value for value in values]


def _compute_by_layers(call: Call, operators: Mapping[tuple[str, int], Operator]) -> Sequence[Value | None]:
    """The outputs of a node of constants, by its layers: the first input is taken for the one sample of a small model."""
    first = call.constant(0)
    inner = Builder(
        np.dtype(first.dtype if first.dtype.kind == "f" else np.float64), call.builder.budget, None, call.builder.opset
    )
    inputs = (inner.add_input("input", first.shape), *call.inputs[1:])
    result = operators[call.node.op, call.version].function(replace(call, inputs=inputs, builder=inner))
    values = [result] if isinstance(result, (Tensor, np.ndarray)) else result
    names = [value.name for value in values if isinstance(value, Tensor)]
    computed = Model(tuple(inner.nodes.values()), ("input",), tuple(names)).trace(first.astype(inner.dtype)[None])
    return [computed[value.name][0].astype(first.dtype) if isinstance(value, Tensor) else value for value in values]
