"""Quantised networks, computed in floating point numbers: weights are what their integers stand for, activations are not rounded.

A pair of QuantizeLinear and DequantizeLinear rounds a signal to steps and cuts it off where its integers end. The first is
noise around what the network was trained to do; the second may be the network's own activation (exporters leave a ReLU to it),
and is kept as a Clip.
"""

from __future__ import annotations

import math

import numpy as np

from .....errors import FormatError
from .....layers import Clip, Identity, Scale
from ..builder import Tensor
from ..operator_call import Call
from ..quantised_constants import scale_and_zero
from ..registry import Operator, versions

REMARK = "quantised activations are computed in floating point numbers, not rounded to the file's steps"


def _quantize(call: Call) -> Tensor:
    """A signal as the numbers that its integers stand for: cut off at their ends, and not rounded."""
    x = call.tensor()
    scale, zero = scale_and_zero(call)
    if scale.size != 1 or zero.size != 1 or zero.dtype.kind not in "iu":
        raise FormatError("a signal is quantised with several scales, or to no integers, which is not read")
    step, shift, ends = float(scale.reshape(())), int(zero.reshape(())), np.iinfo(zero.dtype)
    if not (math.isfinite(step) and step > 0):
        raise FormatError(f"its scale must be a positive finite number, found {step}")
    clip = call.emit(Clip(float((ends.min - shift) * step), float((ends.max - shift) * step)), x)
    call.builder.grids[clip.name] = (step, shift)
    call.builder.remark(REMARK)
    return clip


def _dequantize(call: Call) -> Tensor:
    x = call.tensor()
    scale, zero = scale_and_zero(call)
    grid = call.builder.grid_of(x)
    if grid is None:  # integers that the network is given, such as bytes of an image
        if not x.kind or scale.size != 1 or zero.size != 1:
            raise FormatError("it dequantises what is not quantised, or with several scales, which is not read")
        shifted = call.emit(Scale(call.parameter(1.0), call.parameter(-float(zero.reshape(())))), x, suffix="shifted")
        return call.emit(Scale(call.parameter(scale.reshape(()))), shifted)
    if scale.size != 1 or zero.size != 1 or grid != (float(scale.reshape(())), int(zero.reshape(()))):
        raise FormatError("it dequantises with another scale or zero point than the signal was quantised with, which is not read")
    output = call.emit(Identity(), x)
    call.builder.grids[output.name] = None
    return output


_SINCE = (10, 13, 19, 21, 23, 24, 25, 28)
TABLE: dict[tuple[str, int], Operator] = {
    **versions("DequantizeLinear", _dequantize, *_SINCE),
    **versions("QuantizeLinear", _quantize, *_SINCE),
}
