"""Constants that a file stores as integers, with a scale and a zero point: to numbers and back."""

from __future__ import annotations

import numpy as np

from ....arrays import Array
from ....errors import FormatError
from ..read.tensors import CASTS
from .operator_call import Call


def scale_and_zero(call: Call) -> tuple[Array, Array]:
    """The scale and zero point of a node, the zero in its own type."""
    scale, zero = call.constant(1), call.optional_constant(2)
    if zero is None:
        kind = call.node.attributes.get("output_dtype", 0) if call.node.op == "QuantizeLinear" else 0
        zero = np.zeros((), CASTS.get(kind, np.uint8))
    return scale, zero


def align_scale(call: Call, constant: Array, shape: tuple[int, ...]) -> Array:
    """A scale or zero point, shaped to meet an array: one number, one for each cell of an axis, or one for each block.

    Parameters
    ----------
    constant : the scale or zero point
    shape : of the array

    Raises
    ------
    FormatError
        Where it does not fit that shape.
    """
    if constant.size == 1:
        return constant.reshape(())
    axis, block = call.integer("axis", 1), call.integer("block_size", 0)
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis < len(shape):
        raise FormatError(f"axis {axis} does not exist in shape {shape}")
    if block and constant.ndim == len(shape):
        return np.repeat(constant, block, axis=axis)[tuple(slice(e) for e in shape)]
    if constant.shape != (shape[axis],):
        raise FormatError(f"a scale of shape {constant.shape} does not fit axis {axis} of shape {shape}")
    return constant.reshape([-1 if k == axis else 1 for k in range(len(shape))])


def dequantize_constant(call: Call) -> Array:
    """A DequantizeLinear of constants: (q − zero) · scale.

    Raises
    ------
    FormatError
        Where the scale is no floating point number.
    """
    q = call.constant(0)
    scale, zero = scale_and_zero(call)
    if not scale.dtype.kind == "f":
        raise FormatError("its scale is no floating point number")
    zero = zero if call.optional(2) is not None else np.zeros((), q.dtype)
    shifted = q.astype(np.float64) - align_scale(call, zero.astype(np.float64), q.shape)
    return np.asarray(shifted * align_scale(call, scale.astype(np.float64), q.shape)).astype(scale.dtype)


def quantize_constant(call: Call) -> Array:
    """A QuantizeLinear of constants: round(x / scale) + zero, cut off at the ends of the integers."""
    x = call.constant(0)
    scale, zero = scale_and_zero(call)
    ends = np.iinfo(zero.dtype)
    rounded = np.rint(x / align_scale(call, scale, x.shape)) + align_scale(call, zero, x.shape)
    return np.asarray(np.clip(rounded, ends.min, ends.max)).astype(zero.dtype)
