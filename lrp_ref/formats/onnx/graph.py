"""From the nodes of a file to the nodes of a model, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import FormatError, LrpError
from ...model import Model
from ...records import dataclass
from .batches import in_front
from .call import Builder, Call, Operator, Tensor, Value
from .reader import OpNode


@dataclass(frozen=True)
class Broken:
    """A value that does not exist. Where `why` is empty its node was complained about, and what depends on it is not as well."""

    why: str = ""


#: What a file that contradicts itself can raise inside an operator's function; it is said with the node's name.
_MISFITS = (
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


def run(
    nodes: Sequence[OpNode],
    values: dict[str, Value | Broken],
    builder: Builder,
    version_of: Mapping[str, int],
    operators: Mapping[tuple[str, int], Operator],
    fold: Callable[[Call], Sequence[Value | None] | None],
) -> None:
    """Turn every node into layers or known values; `values` takes what they compute, by the file's names.

    Raises
    ------
    FormatError
        Where nodes cannot be represented; all of them are listed.
    """
    complaints: list[str] = []
    for node in nodes:
        inputs = [values.get(name) if name else None for name in node.inputs]
        broken = [value for value in inputs if isinstance(value, Broken)]
        found: Sequence[Value | Broken | None] = [Broken()] * len(node.outputs)
        if broken:
            complaints += [f"{node.place}: {value.why}" for value in broken if value.why]
        else:
            call = Call(node, tuple(inputs), version_of[node.op], builder)  # type: ignore[arg-type]
            try:
                with np.errstate(all="ignore"):  # what overflows is infinite, and refused as a weight
                    found = _computed(call, operators, fold)
            except _MISFITS as error:
                complaints.append(f"{node.place}: {_said(error)}")
        for index, name in enumerate(node.outputs):
            value = found[index] if index < len(found) else None
            values[name] = (
                Broken(f"it reads {name!r}, an output of {node.place} that is not supported") if value is None else value
            )
    if complaints:
        shown = "; ".join(complaints[:20]) + (f"; and {len(complaints) - 20} more" if len(complaints) > 20 else "")
        raise FormatError(shown)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, LrpError) else f"its inputs and attributes do not fit each other ({error})"


def _computed(
    call: Call, operators: Mapping[tuple[str, int], Operator], fold: Callable[[Call], Sequence[Value | None] | None]
) -> Sequence[Value | None]:
    if not any(isinstance(value, Tensor) for value in call.inputs):
        folded = fold(call)
        return _evaluated(call, operators) if folded is None else folded
    operator = operators.get((call.node.op, call.version))
    if operator is None:
        raise FormatError(
            "it is read between constants only, and its input depends on the network's input; "
            "end the model before it with outputs="
        )
    moved = in_front(call)
    if moved is None:
        found = operator(call)
        return [found] if isinstance(found, (Tensor, np.ndarray)) else found
    found = operator(moved[0])
    values = [found] if isinstance(found, (Tensor, np.ndarray)) else found
    return [replace(value, place=moved[1]) if isinstance(value, Tensor) else value for value in values]


def _evaluated(call: Call, operators: Mapping[tuple[str, int], Operator]) -> Sequence[Value | None]:
    """What a node computes from constants, by its layers: the first input is taken for the one sample of a small model."""
    first = call.constant(0)
    inner = Builder(
        np.dtype(first.dtype if first.dtype.kind == "f" else np.float64), call.builder.budget, None, call.builder.opset
    )
    inputs = (inner.given("input", first.shape), *call.inputs[1:])
    found = operators[call.node.op, call.version](replace(call, inputs=inputs, builder=inner))
    values = [found] if isinstance(found, (Tensor, np.ndarray)) else found
    names = [value.name for value in values if isinstance(value, Tensor)]
    computed = Model(tuple(inner.nodes.values()), ("input",), tuple(names)).trace(first.astype(inner.dtype)[None])
    return [computed[value.name][0].astype(first.dtype) if isinstance(value, Tensor) else value for value in values]
