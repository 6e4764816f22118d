"""LSTM, GRU and RNN, in the layouts that exporters write around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .....arrays import Shape
from .....errors import FormatError
from .....layers import GRU, LSTM, RNN, Reshape
from .....layers.recurrent.base import Cells
from ..builder import Tensor, Value
from ..operator_call import Call
from ..registry import Operator, versions

#: ONNX's names of the activations that are read, and ours; names are compared without their case.
ACTIVATIONS = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softsign": "softsign", "hardsigmoid": "hard_sigmoid"}
#: How many activations each direction has, and what they are by default.
DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True)
class _Layout:
    """Extents of an operator and where its arrays have their axes."""

    directions: int
    hidden: int
    steps: int
    first: bool  # whether the batch axis is in front (layout = 1)


def _recurrent(call: Call) -> list[Tensor | None]:
    layout, x = _layout(call)
    fields, read = _fields(call, layout), [x]
    lengths = _lengths(call, layout)
    if lengths is not None:
        read.append(lengths)
    reads = ["lengths"] if lengths is not None else []
    for index, state in ((5, "hidden"), (6, "cell")):
        if state == "cell" and call.node.op != "LSTM":
            continue
        value = _state(call, index, state, layout)
        if isinstance(value, Tensor):
            read.append(value)
            reads.append(state)
        elif value is not None:
            fields[f"initial_{state}"] = value
    fields["reads"] = tuple(reads)
    outputs = []
    for name, returns in zip(call.node.outputs, ("all", "last", "cell"), strict=False):
        outputs.append(_output(call, _cell(call, fields, returns), read, layout) if name else None)
    return outputs


def _layout(call: Call) -> tuple[_Layout, Tensor]:
    """The extents, checked; and the sequences as a layer reads them, samples (steps, features)."""
    x, weight, recurrent = call.tensor(), call.constant(1), call.constant(2)
    first, op = bool(call.integer("layout", 0)), call.node.op
    both = call.text("direction", "forward") == "bidirectional"
    if call.rank(x) != 3:
        raise FormatError(f"its sequences have {call.rank(x)} axes instead of 3")
    batch = 0 if first else 1
    if call.lead and x.batch_axis != batch:
        raise FormatError(f"it has its batch along axis {batch}, and the model's batch is axis {x.batch_axis}{_way_out(call, x)}")
    if not call.lead and x.shape[batch] != 1:
        raise FormatError(f"a file for a single sample has a batch of {x.shape[batch]}")
    steps = x.shape[0] if call.lead else x.shape[1 - batch]
    size = recurrent.shape[-1]
    expected = [(1 + both, GATES[op] * size, x.shape[-1]), (1 + both, GATES[op] * size, size)]
    if [weight.shape, recurrent.shape] != expected or call.integer("hidden_size", size) != size:
        raise FormatError(
            f"its weights have shapes {weight.shape} and {recurrent.shape} instead of {expected[0]} and {expected[1]}"
        )
    if not call.lead:
        x = call.emit(Reshape((steps, x.shape[-1])), x, suffix="sequence")
    return _Layout(1 + both, size, steps, first), x


def _fields(call: Call, layout: _Layout) -> dict[str, Any]:
    """Weights and options of the layer, as its constructor from arrays takes them."""
    op, size = call.node.op, layout.hidden
    for name in ("clip", "input_forget"):
        if call.has(name) and call.node.attributes[name]:
            raise FormatError(f"the attribute {name!r} = {call.node.attributes[name]} is not supported")
    weight, recurrent = (call.parameter(call.constant(index)).swapaxes(1, 2) for index in (1, 2))
    fields: dict[str, Any] = {"weight_input": weight, "weight_recurrent": recurrent, **_activations(call, layout)}
    fields["direction"] = call.text("direction", "forward")
    bias = call.optional_constant(3)
    if bias is not None:
        if bias.shape != (layout.directions, 2 * GATES[op] * size):
            raise FormatError(f"its bias has shape {bias.shape} instead of {(layout.directions, 2 * GATES[op] * size)}")
        input_bias, recurrent_bias = np.split(call.parameter(bias), 2, axis=1)
        fields |= {"bias": input_bias, "bias_recurrent": recurrent_bias} if op == "GRU" else {"bias": input_bias + recurrent_bias}
    peepholes = call.optional_constant(7) if op == "LSTM" else None
    if peepholes is not None and peepholes.any():
        fields["peepholes"] = call.parameter(peepholes)
    if op == "GRU":
        fields["linear_before_reset"] = bool(call.integer("linear_before_reset", 0))
    return fields


def _activations(call: Call, layout: _Layout) -> dict[str, str]:
    op = call.node.op
    attribute = call.node.attributes.get("activations") or ()
    each = len(DEFAULTS[op])
    names = [str(name).lower() for name in attribute] if isinstance(attribute, tuple) else []
    functions = [ACTIVATIONS.get(name) for name in names] or list(DEFAULTS[op]) * layout.directions
    unknown = sorted({str(g) for g, f in zip(attribute, functions, strict=True) if f is None}) if names else []
    if unknown:
        raise FormatError(f"activations {', '.join(unknown)} are not read; known are Sigmoid, Tanh, Relu, Softsign, HardSigmoid")
    if len(functions) != each * layout.directions or functions[:each] != functions[-each:]:
        raise FormatError(f"its activations {attribute} are not {each} that all directions share")
    for name, default in (("activation_alpha", 0.2), ("activation_beta", 0.5)):
        values = call.node.attributes.get(name) or ()
        if any(abs(float(value) - default) > 1e-6 for value in values):
            raise FormatError(f"the attribute {name!r} = {values} is not supported")
    if op == "RNN":
        return {"activation": str(functions[0])}
    names = ["gate_activation", "activation", "state_activation"][:each]
    return dict(zip(names, map(str, functions), strict=False))


def _way_out(call: Call, x: Tensor) -> str:
    """The advice where sequences have the model's batch along another axis than the operator has."""
    if x.batch_axis:
        return ""
    sources = [call.builder.tensors[name] for name in call.builder.sources(x)]
    if any(call.rank(source) > (1 if source.kind else 2) for source in sources):  # integers stand for words, each a vector
        return "; load(…, batch_axis=1) reads a file whose inputs are sequences first"
    return (
        ": the steps of its sequence are the samples of what is in front, which is one network for each number of steps; "
        "end the model before it with outputs="
    )


def _lengths(call: Call, layout: _Layout) -> Tensor | None:
    value = call.optional(4)
    if value is None or isinstance(value, Tensor):
        if value is not None and value.shape:
            raise FormatError(f"its lengths have samples of shape {value.shape}, where one number each is needed")
        return value
    if (value != layout.steps).any():
        raise FormatError(f"its lengths are constants other than the {layout.steps} steps: make them an input")
    return None


def _state(call: Call, index: int, state: str, layout: _Layout) -> Value | None:
    """An initial state: (N, directions·hidden) of a signal, (directions, hidden) of a constant; None: 0."""
    value = call.optional(index)
    shape = (layout.directions, layout.hidden)
    if value is None:
        return None
    if isinstance(value, Tensor):
        batch = 0 if layout.first else 1
        if value.shape != (shape if call.lead else (1, *shape) if layout.first else (shape[0], 1, shape[1])):
            raise FormatError(f"its initial {state} state has samples of shape {value.shape} instead of {shape}")
        if call.lead and value.batch_axis != batch:
            raise FormatError(
                f"its initial {state} state has its batch along axis {batch}, and the model's batch is {value.batch_axis}"
            )
        return call.emit(Reshape((shape[0] * shape[1],)), value, suffix=f"initial_{state}")
    rows = value if layout.first else np.moveaxis(value, 1, 0) if value.ndim == 3 else value
    if rows.shape[1:] != shape or not len(rows):
        raise FormatError(f"its initial {state} state has shape {value.shape}, where {shape} belongs to each sample")
    if (rows != rows[:1]).any():
        raise FormatError(f"its initial {state} state differs from sample to sample")
    return call.parameter(rows[0]) if rows[0].any() else None


def _cell(call: Call, fields: dict[str, Any], returns: str) -> Cells:
    one = fields["direction"] != "bidirectional"
    arrays = {k: v[0] if one and isinstance(v, np.ndarray) else v for k, v in fields.items()}
    options = {"returns": returns, **arrays}
    if call.node.op == "RNN":
        return RNN.from_arrays(**options)
    if call.node.op == "GRU":
        return GRU.from_arrays(gate_order="zrn", **options)
    return LSTM.from_arrays(gate_order="iofg", **options)


def _output(call: Call, cell: Cells, read: Sequence[Tensor], layout: _Layout) -> Tensor:
    """One output as the file lays it out: Y (T, D, N, H), or (N, T, D, H) of layout 1; states (D, N, H), or (N, D, H)."""
    suffix = {"all": "", "last": "last", "cell": "cell"}[cell.returns]
    only = sum(bool(name) for name in call.node.outputs) == 1
    steps = call.emit(cell, *read, suffix="" if only else suffix)
    sample: Shape = (layout.directions, layout.hidden)
    if cell.returns == "all":
        sample = (layout.steps, *sample)
    batch_axis = 0 if layout.first else 2 if cell.returns == "all" else 1
    if not call.lead:
        sample = (*sample[:batch_axis], 1, *sample[batch_axis:])
        return call.emit(Reshape(sample), steps, suffix=f"{suffix or 'steps'}_apart")
    return replace(call.emit(Reshape(sample), steps, suffix=f"{suffix or 'steps'}_apart"), batch_axis=batch_axis)


def _checked(call: Call) -> list[Tensor | None]:
    if call.text("direction", "forward") not in ("forward", "reverse", "bidirectional"):
        raise FormatError(f"its direction {call.text('direction')!r} is not known")
    return _recurrent(call)


TABLE: dict[tuple[str, int], Operator] = {
    **versions("GRU", _checked, 7, 14, 22, finds_batch=True),
    **versions("LSTM", _checked, 7, 14, 22, finds_batch=True),
    **versions("RNN", _checked, 7, 14, 22, finds_batch=True),
}
