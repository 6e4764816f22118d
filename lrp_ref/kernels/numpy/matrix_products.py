"""Matrix products of Dense and convolution: several weights in one product, columns in blocks of bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ...arrays import Array, Shape
from ...layers.conv import Conv, correlate_narrow, narrow
from ...layers.linear import Dense
from ...layers.ties import settle_filters
from ...layers.window import Window

BLOCK = 64 * 2**20  # bytes of columns at a time: larger ones leave the cache, and cost memory


def stack(layer: Dense | Conv, weights: Sequence[Array]) -> Array:
    """Weights side by side on the output axis.

    (lower, q·upper) for Dense, (groups, q·upper/groups, lower·taps/groups) for Conv.
    """
    if isinstance(layer, Dense):
        return weights[0] if len(weights) == 1 else np.concatenate(weights, axis=1)
    matrices = [w.reshape(layer.groups, w.shape[0] // layer.groups, math.prod(w.shape[1:])) for w in weights]
    return matrices[0] if len(matrices) == 1 else np.concatenate(matrices, axis=1)


def maps(layer: Dense | Conv, a: Array, stacked: Array, count: int) -> list[Array]:
    """map(a, w) for each of the `count` stacked weights; the first, the layer's own, has a product of its own (`multiplied`)."""
    if isinstance(layer, Dense):
        rows = np.ascontiguousarray(a).reshape(a.shape[0], math.prod(a.shape[1:-1]), a.shape[-1])
        own = stacked.shape[1] // count
        parts = [np.matmul(rows, w) for w in (stacked[:, :own], stacked[:, own:]) if w.size or w.shape[1]]
        z, *others = (part.reshape(*a.shape[:-1], part.shape[-1]) for part in parts)
        return [z] if count == 1 else [z, *np.split(others[0], count - 1, axis=-1)]
    out = layer.window.outputs(a.shape[2:])
    if narrow(layer.weight, layer.groups) and a.size and stacked.size:
        z = correlate_narrow(a, stacked, layer.window, out).reshape(a.shape[0], layer.groups, count, -1, *out)
        return [np.ascontiguousarray(z[:, :, q]).reshape(a.shape[0], layer.upper, *out) for q in range(count)]
    return _correlate(a, stacked, layer, out, count)


def multiplied(stacked: Array, columns: Array, channels: int) -> Array:
    """The product (N, groups, q·channels, cells) of weights (groups, q·channels, terms) and columns (N, groups, terms, cells).

    The first `channels`, the layer's own, have a product of their own: how many others there are depends on what is asked for,
    and BLAS adds in an order that fits the size of the whole. In one with the others, z would have other bits where a node
    behind it is filtered. Equal filters of the layer have equal numbers.
    """
    products = np.empty((*columns.shape[:2], stacked.shape[1], columns.shape[3]), columns.dtype)
    for chosen in (slice(0, channels), slice(channels, None)):
        if stacked[:, chosen].size:
            np.matmul(stacked[:, chosen], columns, out=products[:, :, chosen])
    settle_filters(products[:, :, :channels], stacked[:, :channels])
    return products


def adjoints(layer: Dense | Conv, quotients: Sequence[Array], stacked: Array, shape: Shape) -> Array:
    """Σ_q adjoint(s_q, w_q) for the stacked weights, in one product."""
    if isinstance(layer, Dense):
        s = quotients[0] if len(quotients) == 1 else np.concatenate(quotients, axis=-1)
        rows = np.ascontiguousarray(s).reshape(s.shape[0], math.prod(s.shape[1:-1]), s.shape[-1])
        return np.asarray(np.matmul(rows, stacked.T).reshape(*s.shape[:-1], stacked.shape[0]))
    return _correlate_adjoint(quotients, stacked, layer, shape)


def pointwise(window: Window) -> bool:
    """Whether the columns of a convolution are its input itself."""
    return window.taps == 1 and all(s == 1 for s in window.stride) and not any(any(p) for p in window.padding)


def _blocks(samples: int, out: Shape, row_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Samples, or rows of one sample, whose columns fit into a block; the same rows whatever the number of samples."""
    rows = max(1, min(out[0], BLOCK // max(1, row_bytes)))
    if rows < out[0]:
        for n in range(samples):
            for start in range(0, out[0], rows):
                yield slice(n, n + 1), slice(start, min(out[0], start + rows))
        return
    many = max(1, BLOCK // max(1, row_bytes * out[0]))
    for n in range(0, samples, many):
        yield slice(n, min(samples, n + many)), slice(0, out[0])


def _row_bytes(channels: int, window: Window, out: Shape, itemsize: int) -> int:
    return channels * window.taps * math.prod(out[1:]) * itemsize


def _taps(window: Window, out: Shape, rows: slice) -> Iterator[tuple[slice, ...]]:
    """The padded cells that the output rows `rows` see through each tap."""
    first = rows.start * window.stride[0]
    for cells in window.slices((rows.stop - rows.start, *out[1:])):
        row = cells[2]
        yield (*cells[:2], slice(row.start + first, row.stop + first, row.step), *cells[3:])


def _zero_padded(x: Array, window: Window, out: Shape) -> Array:
    extents = window.padded(out)
    if extents == x.shape[2:] and not any(before for before, _ in window.padding):
        return x
    padded = np.zeros(x.shape[:2] + extents, x.dtype)
    in_input, in_padded = window.inside(x.shape[2:], out)
    padded[in_padded] = x[in_input]
    return padded


def _correlate(a: Array, stacked: Array, layer: Conv, out: Shape, count: int) -> list[Array]:
    window, groups, (samples, lower) = layer.window, layer.groups, a.shape[:2]
    channels = layer.upper // groups
    z = [np.empty((samples, groups, channels, *out), a.dtype) for _ in range(count)]
    if 0 in a.shape or 0 in out:
        return [np.zeros((samples, layer.upper, *out), a.dtype) for _ in z]
    padded = _zero_padded(a, window, out)
    for n, rows in _blocks(samples, out, _row_bytes(lower, window, out, a.itemsize)):
        many, height = n.stop - n.start, rows.stop - rows.start
        if pointwise(window):
            columns = padded[n, :, rows].reshape(many, groups, lower // groups, -1)
        else:
            columns = np.empty((many, lower, window.taps, height, *out[1:]), a.dtype)
            for tap, cells in enumerate(_taps(window, out, rows)):
                columns[:, :, tap] = padded[n][cells]
            columns = columns.reshape(many, groups, lower // groups * window.taps, -1)
        products = multiplied(stacked, columns, channels).reshape(many, groups, count * channels, height, *out[1:])
        for q, array in enumerate(z):
            array[n, :, :, rows] = products[:, :, q * channels : (q + 1) * channels]
    return [array.reshape(samples, layer.upper, *out) for array in z]


def _correlate_adjoint(quotients: Sequence[Array], stacked: Array, layer: Conv, shape: Shape) -> Array:
    window, groups, (samples, lower), out = layer.window, layer.groups, shape[:2], quotients[0].shape[2:]
    if 0 in shape or 0 in quotients[0].shape:
        return np.zeros(shape, quotients[0].dtype)
    part, matrix = layer.upper // groups, stacked.swapaxes(1, 2)
    padded = np.zeros((samples, lower, *window.padded(out)), quotients[0].dtype)
    for n, rows in _blocks(samples, out, _row_bytes(lower, window, out, padded.itemsize)):
        many, height = n.stop - n.start, rows.stop - rows.start
        parts = [s[n, :, rows].reshape(many, groups, part, -1) for s in quotients]
        s = np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts, axis=2)
        columns = np.matmul(matrix, s).reshape(many, lower, window.taps, height, *out[1:])
        view = padded[n]
        for tap, cells in enumerate(_taps(window, out, rows)):
            view[cells] += columns[:, :, tap]
    in_input, in_padded = window.inside(shape[2:], out)
    if padded[in_padded].shape == tuple(shape):
        return padded[in_padded]
    x = np.zeros(shape, padded.dtype)
    x[in_input] = padded[in_padded]
    return x
