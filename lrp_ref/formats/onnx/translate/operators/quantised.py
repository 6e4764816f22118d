"""Quantised networks, computed in floating point numbers: weights are what their integers stand for, activations are not rounded.

A pair of QuantizeLinear and DequantizeLinear rounds a signal to steps and cuts it off where its integers end. The first is
noise around what the network was trained to do; the second may be the network's own activation (exporters leave a ReLU to it),
and is kept as a Clip.
"""

from __future__ import annotations

import math

import numpy as np

from .....arrays import Array
from .....errors import FormatError
from .....layers import Clip, Identity, Scale
from ...read.tensors import CASTS
from ..operator_call import Call, Operator, Tensor
from .tables import versions

REMARK = "quantised activations are computed in floating point numbers, not rounded to the file's steps"


def _grid(call: Call) -> tuple[Array, Array]:
    """Scale and zero point, the zero in its own type."""
    scale, zero = call.constant(1), call.optional_constant(2)
    if zero is None:
        kind = call.node.attributes.get("output_dtype", 0) if call.node.op == "QuantizeLinear" else 0
        zero = np.zeros((), CASTS.get(kind, np.uint8))
    return scale, zero


def _shaped(call: Call, constant: Array, shape: tuple[int, ...]) -> Array:
    """A scale or zero point that meets an array of `shape`: one number, one for each cell of an axis, or one for each block."""
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


def dequantised(call: Call) -> Array:
    """(q − zero) · scale of constants."""
    q = call.constant(0)
    scale, zero = _grid(call)
    if not scale.dtype.kind == "f":
        raise FormatError("its scale is no floating point number")
    zero = zero if call.optional(2) is not None else np.zeros((), q.dtype)
    shifted = q.astype(np.float64) - _shaped(call, zero.astype(np.float64), q.shape)
    return np.asarray(shifted * _shaped(call, scale.astype(np.float64), q.shape)).astype(scale.dtype)


def quantised(call: Call) -> Array:
    """round(x / scale) + zero of constants, cut off at the ends of the integers."""
    x = call.constant(0)
    scale, zero = _grid(call)
    ends = np.iinfo(zero.dtype)
    found = np.rint(x / _shaped(call, scale, x.shape)) + _shaped(call, zero, x.shape)
    return np.asarray(np.clip(found, ends.min, ends.max)).astype(zero.dtype)


def _quantize(call: Call) -> Tensor:
    """A signal as the numbers that its integers stand for: cut off at their ends, and not rounded."""
    x = call.tensor()
    scale, zero = _grid(call)
    if scale.size != 1 or zero.size != 1 or zero.dtype.kind not in "iu":
        raise FormatError("a signal is quantised with several scales, or to no integers, which is not read")
    step, shift, ends = float(scale.reshape(())), int(zero.reshape(())), np.iinfo(zero.dtype)
    if not (math.isfinite(step) and step > 0):
        raise FormatError(f"its scale is {step}")
    made = call.emit(Clip(float((ends.min - shift) * step), float((ends.max - shift) * step)), x)
    call.builder.grids[made.name] = (step, shift)
    call.builder.remark(REMARK)
    return made


def _dequantize(call: Call) -> Tensor:
    x = call.tensor()
    scale, zero = _grid(call)
    grid = call.builder.grid_of(x)
    if grid is None:  # integers that the network is given, such as bytes of an image
        if not x.kind or scale.size != 1 or zero.size != 1:
            raise FormatError("it dequantises what is not quantised, or with several scales, which is not read")
        shifted = call.emit(Scale(call.parameter(1.0), call.parameter(-float(zero.reshape(())))), x, part="shifted")
        return call.emit(Scale(call.parameter(scale.reshape(()))), shifted)
    if scale.size != 1 or zero.size != 1 or grid != (float(scale.reshape(())), int(zero.reshape(()))):
        raise FormatError("it dequantises with another scale or zero point than the signal was quantised with, which is not read")
    made = call.emit(Identity(), x)
    call.builder.grids[made.name] = None
    return made


_SINCE = (10, 13, 19, 21, 23, 24, 25, 28)
TABLE: dict[tuple[str, int], Operator] = {
    **versions("DequantizeLinear", _dequantize, *_SINCE),
    **versions("QuantizeLinear", _quantize, *_SINCE),
}
