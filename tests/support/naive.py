"""Every layer's `forward` as literal loops over output cells, written from the definitions and not from the library.

`forward(layer, *inputs)` computes in the number type of the data, one Python number at a time. It reads a layer's
fields and calls nothing of the package. `magnitude(layer, *inputs)` is Σ|terms| of the same sums: what rounding errors
are measured against.

Index letters: n sample, c channel below, u channel above, o output cell, i input cell, t tap of a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from lrp_ref import layers as L

Index = tuple[int, ...]


def forward(layer: L.Layer, *inputs: np.ndarray) -> np.ndarray:
    """The layer's output, in the number type of the inputs."""
    return _FORWARD[type(layer)](layer, *inputs)


def magnitude(layer: L.Layer, *inputs: np.ndarray) -> np.ndarray:
    """Σ|terms| of every output cell of a linear layer: its forward pass with every number replaced by its size."""
    sizes = {name: abs(value) for name, value in layer.parameters.items()}
    if isinstance(layer, L.Subtract):
        layer = L.Add(2)
    elif isinstance(layer, L.BatchNorm):
        sizes["mean"] = -sizes["mean"]  # so that a − mean becomes |a| + |mean|
        sizes["variance"] = layer.variance
    return forward(replace(layer, **sizes), *(abs(a) for a in inputs))


# ---- helpers ---------------------------------------------------------------------------------------------------------


def build(shape: Index, like: np.ndarray, cell: Callable[[Index], Any]) -> np.ndarray:
    """An array of `shape`, in the number type of `like`, whose cells are `cell(index)`."""
    out = np.empty(shape, dtype=like.dtype)
    for index in np.ndindex(*shape):
        out[index] = cell(index)
    return out


def total(terms: Iterator[Any], like: np.ndarray) -> Any:
    """Σ of terms in the number type of `like`."""
    result = Fraction(0) if like.dtype == object else like.dtype.type(0)
    for term in terms:
        result = result + term
    return result


def number(value: Any, like: np.ndarray) -> Any:
    """A Python number in the number type of `like`."""
    return Fraction(value) if like.dtype == object else like.dtype.type(value)


def broadcast_at(array: np.ndarray, index: Index) -> Any:
    """The element of `array` that broadcasting puts at `index`."""
    own = index[len(index) - array.ndim :]
    return array[tuple(0 if extent == 1 else i for i, extent in zip(own, array.shape, strict=True))]


def each(value: Any, dims: int) -> Index:
    """One entry per axis."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims


def pairs(value: Any, dims: int) -> tuple[tuple[int, int], ...]:
    """(before, after) per axis."""
    return tuple(tuple(e) if isinstance(e, (tuple, list)) else (e, e) for e in each(value, dims))


def row_major(index: Index, shape: Index) -> int:
    """The position of `index` when the cells of `shape` are counted with the last axis fastest."""
    position = 0
    for i, extent in zip(index, shape, strict=True):
        position = position * extent + i
    return position


def from_row_major(position: int, shape: Index) -> Index:
    """The index of the cell at `position`."""
    index = []
    for extent in reversed(shape):
        index.append(position % extent)
        position //= extent
    return tuple(reversed(index))


# ---- linear layers without windows -----------------------------------------------------------------------------------


def dense(layer: L.Dense, x: np.ndarray) -> np.ndarray:
    lower, upper = layer.weight.shape

    def cell(index: Index) -> Any:
        *before, k = index
        z = total((x[(*before, j)] * layer.weight[j, k] for j in range(lower)), x)
        return z if layer.bias is None else z + layer.bias[k]

    return build((*x.shape[:-1], upper), x, cell)


def scale(layer: L.Scale, x: np.ndarray) -> np.ndarray:
    def cell(index: Index) -> Any:
        z = x[index] * broadcast_at(layer.weight, index)
        return z if layer.bias is None else z + broadcast_at(layer.bias, index)

    return build(x.shape, x, cell)


def joint_shape(inputs: tuple[np.ndarray, ...]) -> Index:
    return tuple(0 if 0 in extents else max(extents) for extents in zip(*(a.shape for a in inputs), strict=True))


def add(layer: L.Add, *inputs: np.ndarray) -> np.ndarray:
    return build(joint_shape(inputs), inputs[0], lambda index: total((broadcast_at(a, index) for a in inputs), inputs[0]))


def subtract(layer: L.Subtract, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return build(joint_shape((a, b)), a, lambda index: broadcast_at(a, index) - broadcast_at(b, index))


def multiply(layer: L.Multiply, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return build(joint_shape((a, b)), a, lambda index: broadcast_at(a, index) * broadcast_at(b, index))


def mean(layer: L.Mean, x: np.ndarray) -> np.ndarray:
    axes = {axis % x.ndim for axis in layer.axes}
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    gone = sorted(axes)

    def average(index: Index) -> Any:
        cells = list(np.ndindex(*(x.shape[axis] for axis in gone)))
        place = dict(zip(kept, index, strict=True))
        terms = (x[tuple((place | dict(zip(gone, cell, strict=True)))[axis] for axis in range(x.ndim))] for cell in cells)
        return total(terms, x) / number(len(cells), x)

    out = build(tuple(x.shape[axis] for axis in kept), x, average)
    if layer.keepdims:
        out = build(
            tuple(1 if axis in axes else n for axis, n in enumerate(x.shape)),
            x,
            lambda index: out[tuple(index[axis] for axis in kept)],
        )
    return out


def rational_root(value: Fraction) -> Fraction:
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    assert root * root == value
    return root


def batch_norm(layer: L.BatchNorm, x: np.ndarray) -> np.ndarray:
    """γ (x − μ) / √(σ² + ε) + β, in rationals."""

    def cell(index: Index) -> Any:
        c = index[1]
        z = (x[index] - layer.mean[c]) / rational_root(layer.variance[c] + Fraction(layer.epsilon))
        z = z if layer.scale is None else z * layer.scale[c]
        return z if layer.shift is None else z + layer.shift[c]

    return build(x.shape, x, cell)


# ---- convolution -----------------------------------------------------------------------------------------------------


def conv(layer: L.Conv, x: np.ndarray) -> np.ndarray:
    """z[n, u, o] = Σ_c Σ_t x[n, c, o·stride + t·dilation − before] · w[u, c, t] + b[u], without cells outside."""
    kernel = layer.weight.shape[2:]
    dims = len(kernel)
    stride, dilation, padding = each(layer.stride, dims), each(layer.dilation, dims), pairs(layer.padding, dims)
    spatial = x.shape[2:]
    out = tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, d, (before, after) in zip(spatial, kernel, stride, dilation, padding, strict=True)
    )
    uppers, per_group = layer.weight.shape[0] // layer.groups, layer.weight.shape[1]

    def terms(n: int, u: int, o: Index) -> Iterator[Any]:
        first = (u // uppers) * per_group
        for t in np.ndindex(*kernel):
            i = tuple(o[a] * stride[a] + t[a] * dilation[a] - padding[a][0] for a in range(dims))
            if all(0 <= i[a] < spatial[a] for a in range(dims)):
                for c in range(per_group):
                    yield x[(n, first + c, *i)] * layer.weight[(u, c, *t)]

    def cell(index: Index) -> Any:
        n, u, *o = index
        return with_bias(layer.bias, total(terms(n, u, tuple(o)), x), index)

    return build((x.shape[0], layer.weight.shape[0], *out), x, cell)


def with_bias(bias: np.ndarray | None, z: Any, index: Index) -> Any:
    """Add a bias per channel, or a bias that is a whole feature map."""
    if bias is None:
        return z
    return z + (bias[index[1]] if bias.ndim == 1 else bias[index[1:]])


def conv_transpose(layer: L.ConvTranspose, x: np.ndarray) -> np.ndarray:
    """Every input cell i puts x[n, c, i] · w[c, u, t] onto output cell i·stride + t·dilation − before."""
    kernel = layer.weight.shape[2:]
    dims = len(kernel)
    stride, dilation, padding = each(layer.stride, dims), each(layer.dilation, dims), pairs(layer.padding, dims)
    extra = each(layer.output_padding, dims)
    spatial = x.shape[2:]
    out = tuple(
        (spatial[a] - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 + extra[a] - sum(padding[a]) for a in range(dims)
    )
    per_group = layer.weight.shape[1]
    lowers = layer.weight.shape[0] // layer.groups

    def terms(n: int, u: int, o: Index) -> Iterator[Any]:
        group, within = divmod(u, per_group)
        for t in np.ndindex(*kernel):
            # the input cells i with i·stride + t·dilation − before = o: at most one along each axis
            ahead = tuple(o[a] + padding[a][0] - t[a] * dilation[a] for a in range(dims))
            if any(ahead[a] % stride[a] for a in range(dims)):
                continue
            i = tuple(ahead[a] // stride[a] for a in range(dims))
            if all(0 <= i[a] < spatial[a] for a in range(dims)):
                for c in range(group * lowers, (group + 1) * lowers):
                    yield x[(n, c, *i)] * layer.weight[(c, within, *t)]

    def cell(index: Index) -> Any:
        n, u, *o = index
        return with_bias(layer.bias, total(terms(n, u, tuple(o)), x), index)

    return build((x.shape[0], per_group * layer.groups, *out), x, cell)


# ---- pooling ---------------------------------------------------------------------------------------------------------


def windows_along(size: int, k: int, s: int, d: int, before: int, after: int, ceil_mode: bool) -> list[list[int]]:
    """For each window along one axis the input cells (negative or ≥ size: padding) that its taps fall on.

    Windows start at −before, −before + s, … as long as they fit into size + after. With `ceil_mode` one more is taken
    if the last one (or one before the first) left cells over, and it starts inside the input or its left padding.
    """
    starts = []
    start = -before
    while start + d * (k - 1) + 1 <= size + after:
        starts.append(start)
        start += s
    left_over = start - s + d * (k - 1) + 1 < size + after
    if ceil_mode and left_over and start < size:
        starts.append(start)
    return [[start + t * d for t in range(k)] for start in starts]


def pool(layer: Any, x: np.ndarray, collect: Callable[[list[Any], list[Index]], Any]) -> np.ndarray:
    """`collect(values of the cells that exist, all cells)` for every window."""
    dims = x.ndim - 2
    kernel, dilation, padding = each(layer.kernel, dims), each(layer.dilation, dims), pairs(layer.padding, dims)
    stride = kernel if layer.stride is None else each(layer.stride, dims)
    spatial = x.shape[2:]
    axes = [windows_along(spatial[a], kernel[a], stride[a], dilation[a], *padding[a], bool(layer.ceil_mode)) for a in range(dims)]

    def cell(index: Index) -> Any:
        n, c, *o = index
        seen = [tuple(axes[a][o[a]][t[a]] for a in range(dims)) for t in np.ndindex(*kernel)]
        values = [x[(n, c, *i)] for i in seen if all(0 <= i[a] < spatial[a] for a in range(dims))]
        return collect(values, seen)

    return build((*x.shape[:2], *(len(windows) for windows in axes)), x, cell)


def sum_pool(layer: L.SumPool, x: np.ndarray) -> np.ndarray:
    return pool(layer, x, lambda values, _: total(iter(values), x))


def avg_pool(layer: L.AvgPool, x: np.ndarray) -> np.ndarray:
    dims = x.ndim - 2
    padding = pairs(layer.padding, dims) if layer.count_include_pad else ((0, 0),) * dims

    def average(values: list[Any], seen: list[Index]) -> Any:
        counted = [i for i in seen if all(-padding[a][0] <= i[a] < x.shape[2 + a] + padding[a][1] for a in range(dims))]
        # A window that sees no cell at all is empty, and an empty average is 0.
        return total(iter(values), x) / number(max(len(counted), 1), x)

    return pool(layer, x, average)


def max_pool(layer: L.MaxPool, x: np.ndarray) -> np.ndarray:
    return pool(layer, x, lambda values, _: max(values))


def global_pool(x: np.ndarray, collect: Callable[[list[Any]], Any]) -> np.ndarray:
    spatial = x.shape[2:]
    return build(
        (*x.shape[:2], *(1 for _ in spatial)),
        x,
        lambda index: collect([x[(*index[:2], *i)] for i in np.ndindex(*spatial)]),
    )


def global_sum(layer: L.Layer, x: np.ndarray) -> np.ndarray:
    return global_pool(x, lambda values: total(iter(values), x))


def global_avg(layer: L.Layer, x: np.ndarray) -> np.ndarray:
    return global_pool(x, lambda values: total(iter(values), x) / number(len(values), x))


def global_max(layer: L.Layer, x: np.ndarray) -> np.ndarray:
    return global_pool(x, max)


def upsample(layer: L.Upsample, x: np.ndarray) -> np.ndarray:
    factor = each(layer.factor, x.ndim - 2)
    out = tuple(n * f for n, f in zip(x.shape[2:], factor, strict=True))
    return build(
        (*x.shape[:2], *out),
        x,
        lambda index: x[(*index[:2], *(o // f for o, f in zip(index[2:], factor, strict=True)))],
    )


# ---- activations -----------------------------------------------------------------------------------------------------


def elementwise(function: Callable[[Any, Any], Any]) -> Callable[[L.Layer, np.ndarray], np.ndarray]:
    return lambda layer, x: build(x.shape, x, lambda index: function(layer, x[index]))


def relu(layer: L.ReLU, z: Any) -> Any:
    return z if z > 0 else z * 0


def leaky_relu(layer: L.LeakyReLU, z: Any) -> Any:
    return z if z >= 0 else z * number(layer.slope, np.asarray(z))


def sigmoid(layer: L.Layer | None, z: Any) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (math.exp(z) + 1)


def gelu(layer: L.GELU, z: Any) -> float:
    z = float(z)
    if layer.approximate == "tanh":
        return 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return z * 0.5 * math.erfc(-z / math.sqrt(2))


def softplus(layer: L.Softplus, z: Any) -> float:
    z = float(z) * layer.beta
    return (max(z, 0.0) + math.log1p(math.exp(-abs(z)))) / layer.beta


def normalised(layer: L.Softmax, x: np.ndarray, finish: Callable[[float, list[float]], float]) -> np.ndarray:
    axis = layer.axis % x.ndim

    def cell(index: Index) -> float:
        row = [float(x[(*index[:axis], i, *index[axis + 1 :])]) for i in range(x.shape[axis])]
        return finish(float(x[index]), row)

    return build(x.shape, x, cell)


def softmax(layer: L.Softmax, x: np.ndarray) -> np.ndarray:
    return normalised(layer, x, lambda z, row: 1 / math.fsum(math.exp(other - z) for other in row))


def log_softmax(layer: L.LogSoftmax, x: np.ndarray) -> np.ndarray:
    return normalised(layer, x, lambda z, row: z - max(row) - math.log(math.fsum(math.exp(other - max(row)) for other in row)))


# ---- merging and moving ----------------------------------------------------------------------------------------------


def concat(layer: L.Concat, *inputs: np.ndarray) -> np.ndarray:
    axis = layer.axis % inputs[0].ndim
    # position along the axis → (input, its own position)
    origin = [(a, i) for a in inputs for i in range(a.shape[axis])]

    def cell(index: Index) -> Any:
        a, i = origin[index[axis]]
        return a[(*index[:axis], i, *index[axis + 1 :])]

    shape = inputs[0].shape
    return build((*shape[:axis], len(origin), *shape[axis + 1 :]), inputs[0], cell)


def reordered(x: np.ndarray, shape: Index) -> np.ndarray:
    """Every sample's cells in row-major order, in another shape."""
    return build((x.shape[0], *shape), x, lambda index: x[(index[0], *from_row_major(row_major(index[1:], shape), x.shape[1:]))])


def flatten(layer: L.Flatten, x: np.ndarray) -> np.ndarray:
    return reordered(x, (*x.shape[1 : layer.start], math.prod(x.shape[layer.start :])))


def reshape(layer: L.Reshape, x: np.ndarray) -> np.ndarray:
    known = math.prod(extent for extent in layer.to if extent != -1)
    return reordered(x, tuple(math.prod(x.shape[1:]) // known if extent == -1 else extent for extent in layer.to))


def transpose(layer: L.Transpose, x: np.ndarray) -> np.ndarray:
    """Axis k of the output is axis axes[k] of the input."""

    def cell(index: Index) -> Any:
        place = dict(zip(layer.axes, index, strict=True))
        return x[tuple(place[axis] for axis in range(x.ndim))]

    return build(tuple(x.shape[axis] for axis in layer.axes), x, cell)


def pad(layer: L.Pad, x: np.ndarray) -> np.ndarray:
    around = pairs(layer.padding, x.ndim - 2)
    out = tuple(before + n + after for n, (before, after) in zip(x.shape[2:], around, strict=True))

    def cell(index: Index) -> Any:
        i = tuple(o - before for o, (before, _) in zip(index[2:], around, strict=True))
        inside = all(0 <= k < n for k, n in zip(i, x.shape[2:], strict=True))
        return x[(*index[:2], *i)] if inside else number(0, x)

    return build((*x.shape[:2], *out), x, cell)


def same(layer: L.Layer, x: np.ndarray) -> np.ndarray:
    return build(x.shape, x, lambda index: x[index])


_FORWARD: dict[type[L.Layer], Callable[..., np.ndarray]] = {
    L.Dense: dense,
    L.Scale: scale,
    L.Add: add,
    L.Subtract: subtract,
    L.Multiply: multiply,
    L.Mean: mean,
    L.BatchNorm: batch_norm,
    L.Conv: conv,
    L.ConvTranspose: conv_transpose,
    L.SumPool: sum_pool,
    L.AvgPool: avg_pool,
    L.MaxPool: max_pool,
    L.GlobalSumPool: global_sum,
    L.GlobalAvgPool: global_avg,
    L.GlobalMaxPool: global_max,
    L.Upsample: upsample,
    L.ReLU: elementwise(relu),
    L.LeakyReLU: elementwise(leaky_relu),
    L.Tanh: elementwise(lambda layer, z: math.tanh(z)),
    L.Sigmoid: elementwise(sigmoid),
    L.GELU: elementwise(gelu),
    L.Softplus: elementwise(softplus),
    L.Softmax: softmax,
    L.LogSoftmax: log_softmax,
    L.Concat: concat,
    L.Flatten: flatten,
    L.Reshape: reshape,
    L.Transpose: transpose,
    L.Pad: pad,
    L.Identity: same,
    L.Dropout: same,
}
