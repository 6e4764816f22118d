"""Integers and truth values that depend on an input: where they stay what they are, and where their arithmetic is another one.

A model computes in floating point numbers. Integers that are picked, compared, moved or added are the same there as long as they
are exact; what divides them cuts off, and what holds 8 or 16 bits wraps around, which is refused.
"""

from __future__ import annotations

import numpy as np

from ....errors import FormatError
from .builder import Tensor
from .operator_call import Call

BOOL = 9
#: Operators of which integers in make integers out, of the same kind.
KEEPS = frozenset(
    (
        *("Abs", "Add", "Clip", "Concat", "Expand", "Flatten", "Gather", "Identity", "Max", "Min", "Mul", "Neg", "Pad"),
        *("ReduceMax", "ReduceMin", "ReduceSum", "Reshape", "Sign", "Slice", "Split", "Squeeze", "Sub", "Sum", "Tile"),
        *("Transpose", "Unsqueeze", "Where"),
    )
)
#: Those of them that compute something, which wraps around where numbers have 8 or 16 bits.
_COMPUTES = frozenset({"Add", "Mul", "Neg", "ReduceSum", "Sub", "Sum"})
#: Kinds of 8 and 16 bits.
_NARROW = frozenset({2, 3, 4, 5})
#: Operators whose outputs are truth values.
TRUTHS = frozenset({"And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Xor"})
#: Operators that may stand between a signal's quantisation and its dequantisation: they pick and move.
PICKS = frozenset({"DequantizeLinear", "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
#: Operators that cut off where they are given integers.
_CUTS = frozenset({"Div", "Mean", "Mod", "ReduceMean"})


def _values(call: Call) -> list[Tensor | np.ndarray]:
    """The inputs whose elements become those of the output."""
    values = [value for value in call.inputs if value is not None]
    return values[1:] if call.node.op == "Where" else values


def kind_of(call: Call) -> int | None:
    """The element kind of a node's outputs: an integer type, 0 for floating point numbers; None: what the operator says."""
    op = call.node.op
    if op in TRUTHS:
        return BOOL
    if op == "Cast":
        return None
    if op not in KEEPS:
        return 0
    kinds = [value.kind for value in _values(call) if isinstance(value, Tensor)]
    constants = [value for value in _values(call) if not isinstance(value, Tensor)]
    if not kinds or 0 in kinds or any(array.dtype.kind not in "iub" for array in constants):
        return 0
    return max(kinds)


def check_integers(call: Call) -> None:
    """Raise `FormatError` where integers are computed with as floating point numbers cannot."""
    if call.node.op not in PICKS and any(isinstance(v, Tensor) and call.builder.grid_of(v) for v in call.inputs):
        raise FormatError(
            "it computes with the integers of a quantised signal: between QuantizeLinear and DequantizeLinear only operators "
            "that pick or move elements are supported"
        )
    op, kinds = call.node.op, {value.kind for value in _values(call) if isinstance(value, Tensor)}
    if op in _CUTS and kinds and 0 not in kinds:
        raise FormatError("it divides integers, which drops the remainder: export the network with a Cast to floats in front")
    if op in _COMPUTES and kinds & _NARROW:
        raise FormatError("it computes with integers of 8 or 16 bits, which wrap around: export the network with a Cast in front")
