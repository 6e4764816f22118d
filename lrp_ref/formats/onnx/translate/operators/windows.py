"""Windows of convolutions and poolings: strides, dilations, explicit and automatic padding; and the poolings."""

from __future__ import annotations

import math
from typing import Any

from .....arrays import Shape
from .....errors import FormatError
from .....layers import AvgPool, GlobalAvgPool, GlobalLpPool, GlobalMaxPool, LpPool, MaxPool
from .....layers.base import Layer
from .....layers.window import Window
from ..builder import Tensor
from ..operator_call import Call
from ..registry import Operator, OperatorFunction, versions

Pads = tuple[tuple[int, int], ...]


def per_spatial(call: Call, name: str, dims: int) -> tuple[int, ...]:
    """The entries of an attribute, one per spatial axis; 1 for each where it is left out.

    Raises
    ------
    FormatError
        Where there are more or fewer.
    """
    numbers = call.integers(name, (1,) * dims) or (1,) * dims
    if len(numbers) != dims:
        raise FormatError(f"the attribute {name} must hold {dims} integers, found {numbers}")
    return numbers


def pads_of(call: Call, spatial: Shape, kernel: Shape, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Pads:
    """The paddings (before, after) of each spatial axis, from `pads` or from `auto_pad`.

    Parameters
    ----------
    spatial, kernel, stride, dilation : one extent for each spatial axis

    Raises
    ------
    FormatError
        Where there are more or fewer, or `auto_pad` is not known.
    """
    dims, auto = len(kernel), call.text("auto_pad", "NOTSET")
    if min(stride) < 1 or min(dilation) < 1:
        raise FormatError(f"strides {stride} and dilations {dilation} must be positive")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(_pad_same(*axis, upper=auto == "SAME_UPPER") for axis in zip(spatial, kernel, stride, dilation, strict=True))
    if auto not in ("NOTSET", "VALID", ""):
        raise FormatError(f"the attribute auto_pad is {auto!r}, which is not supported")
    pads = call.integers("pads", ()) or (0,) * (2 * dims)
    pads = (0,) * (2 * dims) if auto == "VALID" else pads
    if len(pads) != 2 * dims:
        raise FormatError(f"the attribute pads must hold {2 * dims} integers, found {pads}")
    return tuple(zip(pads[:dims], pads[dims:], strict=True))


def _pad_same(size: int, kernel: int, stride: int, dilation: int, *, upper: bool) -> tuple[int, int]:
    """Padding that gives ⌈size / stride⌉ windows; the odd cell goes to the end or to the beginning."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    small = total // 2
    return (small, total - small) if upper else (total - small, small)


def _pool(call: Call, kind: type[Layer], **options: Any) -> Tensor:
    x = call.image()
    kernel = call.integers("kernel_shape")
    dims = len(kernel)
    if not 1 <= dims <= 3 or len(x.shape) != dims + 1:
        raise FormatError(f"a window of {dims} axes meets samples of shape {x.shape}; 1 to 3 spatial axes are supported")
    stride, dilation = per_spatial(call, "strides", dims), per_spatial(call, "dilations", dims)
    pads = pads_of(call, x.shape[1:], kernel, stride, dilation)
    ceil = bool(call.integer("ceil_mode", 0)) and call.text("auto_pad", "NOTSET") in ("NOTSET", "")
    window = Window.of(kernel, stride, pads, dilation, ceil, dims=dims)
    cells = window.taps * math.prod(window.outputs(x.shape[1:])) * call.builder.dtype.itemsize
    if cells > call.builder.budget:
        raise FormatError(
            f"its windows take {cells} bytes in one channel, more than the budget of {call.builder.budget}; budget= raises it"
        )
    return call.emit(kind(kernel, stride, pads, dilation, ceil, **options), x)  # type: ignore[call-arg]


def _max_pool(call: Call) -> list[Tensor | None]:
    return [_pool(call, MaxPool)]


def _average_pool(call: Call) -> Tensor:
    return _pool(call, AvgPool, count_include_pad=bool(call.integer("count_include_pad", 0)))


def _lp_pool(call: Call) -> Tensor:
    return _pool(call, LpPool, p=call.integer("p", 2))


def _global_lp_pool(call: Call) -> Tensor:
    return call.emit(GlobalLpPool(call.integer("p", 2)), call.image())


def _global(layer: type[Layer]) -> OperatorFunction:
    def function(call: Call) -> Tensor:
        return call.emit(layer(), call.image())

    return function


TABLE: dict[tuple[str, int], Operator] = {
    **versions("AveragePool", _average_pool, 7, 10, 11, 19, 22),
    **versions("GlobalAveragePool", _global(GlobalAvgPool), 1, 22),
    **versions("GlobalLpPool", _global_lp_pool, 2, 22),
    **versions("GlobalMaxPool", _global(GlobalMaxPool), 1, 22),
    **versions("LpPool", _lp_pool, 2, 11, 18, 22),
    **versions("MaxPool", _max_pool, 1, 8, 10, 11, 12, 22),
}
