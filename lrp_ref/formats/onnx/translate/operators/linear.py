"""Convolutions, matrix products and batch normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .....arrays import Array, Shape
from .....errors import FormatError
from .....layers import Add, BatchNorm, Conv, ConvTranspose, Dense, Identity, MatMul, Reshape, Scale, StackedDense, Transpose
from ..batch_axis import recount_matmul
from ..builder import Tensor, Value
from ..folded_batch import unfold_product
from ..operator_call import Call
from ..registry import Operator, versions
from .broadcasting import affine
from .windows import pads_of, per_spatial


def _conv(call: Call) -> Tensor:
    x, weight = call.image(), call.parameter(call.constant(1))
    dims = _spatial(call, x, weight)
    stride, dilation = per_spatial(call, "strides", dims), per_spatial(call, "dilations", dims)
    pads = pads_of(call, x.shape[1:], weight.shape[2:], stride, dilation)
    bias = call.optional_constant(2)
    layer = Conv(
        weight,
        None if bias is None else call.parameter(bias),
        stride=stride,
        padding=pads,
        dilation=dilation,
        groups=call.integer("group", 1),
    )
    return call.emit(layer, x)


def _spatial(call: Call, x: Tensor, weight: Array) -> int:
    """The number of spatial axes, checked against the kernel's."""
    dims = weight.ndim - 2
    if not 1 <= dims <= 3 or len(x.shape) != dims + 1:
        raise FormatError(f"a kernel of shape {weight.shape} meets samples of shape {x.shape}; 1 to 3 spatial axes are supported")
    kernel = call.integers("kernel_shape", ())
    if kernel and kernel != weight.shape[2:]:
        raise FormatError(f"the attribute kernel_shape is {kernel} and the weight's shape {weight.shape}")
    return dims


def _conv_transpose(call: Call) -> Tensor:
    x, weight = call.image(), call.parameter(call.constant(1))
    dims = _spatial(call, x, weight)
    stride, dilation = per_spatial(call, "strides", dims), per_spatial(call, "dilations", dims)
    extra = call.integers("output_padding", (0,) * dims)
    extents = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    pads, extra = _transposed_pads(call, x.shape[1:], extents, stride, extra)
    bias = call.optional_constant(2)
    layer = ConvTranspose(
        weight,
        None if bias is None else call.parameter(bias),
        stride=stride,
        padding=pads,
        dilation=dilation,
        groups=call.integer("group", 1),
        output_padding=extra,
    )
    return call.emit(layer, x)


def _transposed_pads(
    call: Call, spatial: Shape, extents: Sequence[int], stride: tuple[int, ...], extra: tuple[int, ...]
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Padding and output padding of a transposed convolution, from pads, auto_pad or the output's shape."""
    dims, auto = len(spatial), call.text("auto_pad", "NOTSET")
    output_extents = call.integers("output_shape", ())[-dims:]
    if auto.startswith("SAME") and not output_extents:
        # Where a stride is larger than its kernel's extent there are fewer cells than that, and none are added (ONNX Runtime).
        sizes = zip(spatial, stride, extents, extra, strict=True)
        output_extents = tuple(min(size * step, step * (size - 1) + add + extent) for size, step, extent, add in sizes)
    if not output_extents:
        explicit = call.integers("pads", (0,) * (2 * dims)) if auto == "NOTSET" else (0,) * (2 * dims)
        if len(explicit) != 2 * dims:
            raise FormatError(f"the attribute pads must hold {2 * dims} integers, found {explicit}")
        return tuple(zip(explicit[:dims], explicit[dims:], strict=True)), extra
    pads, more = [], []
    for size, step, extent, add, want in zip(spatial, stride, extents, extra, output_extents, strict=True):
        total = step * (size - 1) + add + extent - want
        small = max(total, 0) // 2
        pads.append((small, max(total, 0) - small) if auto == "SAME_UPPER" else (max(total, 0) - small, small))
        more.append(add + max(-total, 0))
    return tuple(pads), tuple(more)


def _batch_norm(call: Call) -> list[Tensor | None]:
    if call.integer("training_mode", 0) or (call.version < 9 and call.integer("spatial", 1) != 1):
        raise FormatError("it normalises by the statistics of its batch (training mode); export the network for inference")
    scale, shift, mean, variance = (call.parameter(call.constant(index)) for index in (1, 2, 3, 4))
    return [call.emit(BatchNorm(mean, variance, scale, shift, call.number("epsilon", 1e-5)), call.image())]


# --- matrix products ------------------------------------------------------------------------------------------------------


def _transposed(call: Call, x: Tensor, suffix: str = "transpose") -> Tensor:
    """The last two axes exchanged."""
    rank = len(x.shape) + 1
    if rank - 2 < 1:
        raise FormatError("a transpose of its input would move the batch axis, and each sample is explained by itself")
    return call.emit(Transpose((*range(rank - 2), rank - 1, rank - 2)), x, suffix=suffix)


def _gemm(call: Call) -> Tensor:
    first, second = call.value(0), call.value(1)
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    swapped = call.integer("transA", 0), call.integer("transB", 0)
    bias = call.optional(2)
    if isinstance(first, Tensor) and not isinstance(second, Tensor):
        x = _swap_rows(call, first) if swapped[0] else first
        weight = call.parameter(second.T if swapped[1] else second)
        weight = weight if alpha == 1 else call.parameter(weight * np.float64(alpha))
        row = _row(call, bias, weight.shape[-1], beta)
        if row is not None or bias is None:
            return call.emit(Dense(weight, row), x)
        return _plus(call, call.emit(Dense(weight), x, suffix="product"), bias, beta)
    if not isinstance(first, Tensor) and not isinstance(second, Tensor):
        known = (first.T if swapped[0] else first) @ (second.T if swapped[1] else second)
        x = call.tensor(2)
        x = x if beta == 1 else call.emit(Scale(call.parameter(beta)), x, suffix="scaled")
        return affine(call, x, None, call.per_sample(known * np.float64(alpha), call.rank(x)))
    if call.lead:
        raise FormatError("only a product with a constant matrix (an initializer) is supported: others mix samples")
    factors = [
        _matrix(call, value, bool(swap), f"factor_{k}")
        for k, (value, swap) in enumerate(zip((first, second), swapped, strict=True))
    ]
    product = _product(call, factors[0], factors[1], "product")
    product = product if alpha == 1 else affine(call, product, np.asarray(alpha), suffix="scaled")
    return _plus(call, product, bias, beta)


def _swap_rows(call: Call, x: Tensor) -> Tensor:
    if call.lead:
        raise FormatError("transA = 1 makes features of the batch axis, and each sample is explained by itself")
    return _transposed(call, x)


def _matrix(call: Call, value: Value, swap: bool, suffix: str) -> Value:
    if not swap:
        return value
    return _transposed(call, value, suffix) if isinstance(value, Tensor) else value.T


def _row(call: Call, bias: Value | None, upper: int, beta: float) -> Array | None:
    """A Gemm's third input as the bias of a Dense layer, where it is one."""
    if bias is None or isinstance(bias, Tensor):
        return None
    flat = call.parameter(bias.reshape(-1))
    if bias.ndim > 2 or flat.size not in (1, upper) or (bias.ndim == 2 and bias.shape[0] != 1):
        return None
    scaled = flat if beta == 1 else call.parameter(flat * np.float64(beta))
    return scaled if scaled.size == upper else np.broadcast_to(scaled, (upper,))


def _plus(call: Call, x: Tensor, bias: Value | None, beta: float) -> Tensor:
    if bias is None:
        return call.emit(Identity(), x)
    if not isinstance(bias, Tensor):
        return affine(call, x, None, call.per_sample(bias, call.rank(x)) * np.float64(beta))
    bias = bias if beta == 1 else call.emit(Scale(call.parameter(beta)), bias, suffix="bias")
    missing = call.rank(x) - call.rank(bias)
    if missing and call.lead:
        raise FormatError("its third input has no batch axis")
    bias = call.emit(Reshape((1,) * missing + bias.shape), bias, suffix="bias_row") if missing else bias
    return call.emit(Add(), x, bias)


def _matmul(call: Call) -> Tensor:
    return _product(call, call.value(0), call.value(1), "")


def _product(call: Call, first: Value, second: Value, suffix: str) -> Tensor:
    """first @ second as NumPy defines it."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return _of_signals(call, first, second, suffix)
    if isinstance(first, Tensor):
        assert not isinstance(second, Tensor)
        return _by_constant(call, first, second, suffix)
    assert isinstance(second, Tensor)
    if first.ndim > 2 and math.prod(first.shape[:-2]) == 1 and first.ndim <= call.rank(second):
        first = first.reshape(first.shape[-2:])
    if first.ndim >= 2 and len(second.shape) >= 2:  # W @ x = (xᵀ @ Wᵀ)ᵀ
        transposed_product = _by_constant(call, _transposed(call, second), first.swapaxes(-1, -2), "product")
        return _transposed(call, transposed_product, suffix)
    if first.ndim == 1 and len(second.shape) == 2:
        inner = call.emit(Dense(call.parameter(first.reshape(-1, 1))), _transposed(call, second), suffix="product")
        return call.emit(Reshape((second.shape[1],)), inner, suffix=suffix)
    if first.ndim == 2 and len(second.shape) == 1 and not call.lead:
        return call.emit(Dense(call.parameter(first.T)), second, suffix=suffix)
    raise FormatError(
        f"the product of a constant of shape {first.shape} and samples of shape {second.shape} mixes samples or is not supported"
    )


def _by_constant(call: Call, first: Tensor, second: Array, suffix: str) -> Tensor:
    if not first.shape:
        raise FormatError("the product with a matrix would mix samples: the signal has no axis beside the batch")
    if second.ndim > 2 and math.prod(second.shape[:-2]) == 1 and second.ndim <= call.rank(first):
        second = second.reshape(second.shape[-2:])
    if second.ndim == 1:
        inner = call.emit(Dense(call.parameter(second.reshape(-1, 1))), first, suffix="product")
        return call.emit(Reshape(inner.shape[:-1]), inner, suffix=suffix)
    if second.ndim == 2:
        return call.emit(Dense(call.parameter(second)), first, suffix=suffix)
    return _by_stack(call, first, second, suffix)


def _by_stack(call: Call, first: Tensor, second: Array, suffix: str) -> Tensor:
    """A signal times a stack of constant matrices, the axes in front of the last two matched as NumPy does."""
    if call.lead:
        second = call.per_sample(second, call.rank(first))
        matrices = call.parameter(second)
        return call.emit(Dense(matrices) if second.ndim == 2 else StackedDense(matrices), first, suffix=suffix)
    if len(first.shape) == 1:
        row = call.emit(Reshape((1,) * (second.ndim - 1) + first.shape), first, suffix="row")
        inner = call.emit(StackedDense(call.parameter(second)), row, suffix="product")
        return call.emit(Reshape((*inner.shape[:-2], inner.shape[-1])), inner, suffix=suffix)
    missing = second.ndim - len(first.shape)
    x = first if missing <= 0 else call.emit(Reshape((1,) * missing + first.shape), first, suffix="stack")
    return call.emit(StackedDense(call.parameter(second)), x, suffix=suffix)


def _of_signals(call: Call, first: Tensor, second: Tensor, suffix: str) -> Tensor:
    rows, columns = len(first.shape) == 1, len(second.shape) == 1
    if call.lead and (rows or columns or len(first.shape) != len(second.shape)):
        raise FormatError(f"the product of signals of shapes {first.shape} and {second.shape} beside the batch mixes samples")
    a = call.emit(Reshape((1, *first.shape)), first, suffix="row") if rows else first
    b = call.emit(Reshape((*second.shape, 1)), second, suffix="column") if columns else second
    rank = max(len(a.shape), len(b.shape))
    a, b = (
        x if len(x.shape) == rank else call.emit(Reshape((1,) * (rank - len(x.shape)) + x.shape), x, suffix=f"stack_{k}")
        for k, x in enumerate((a, b))
    )
    if not rows and not columns:
        return call.emit(MatMul(), a, b, suffix=suffix)
    inner = call.emit(MatMul(), a, b, suffix="product")
    shape = inner.shape[:-1] if columns else inner.shape
    shape = (*shape[:-2], *shape[-1:]) if rows and not columns else shape[:-1] if rows else shape
    return call.emit(Reshape(shape), inner, suffix=suffix)


TABLE: dict[tuple[str, int], Operator] = {
    **versions("BatchNormalization", _batch_norm, 7, 9, 14, 15),
    **versions("Conv", _conv, 1, 11, 22),
    **versions("ConvTranspose", _conv_transpose, 1, 11, 22),
    **versions("Gemm", _gemm, 7, 9, 11, 13, unfold=unfold_product),
    **versions("MatMul", _matmul, 1, 9, 13, recount=recount_matmul, unfold=unfold_product),
}
