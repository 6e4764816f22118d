"""Layers without a rational value, written out over any numbers: mpmath's, and dual numbers of them (`dual`).

Each formula is the printed one, a literal loop over elements; none is that of `lrp_ref.layers`.
"""

import itertools
from unittest import mock

import mpmath
import numpy as np

from lrp_ref import layers as L
from support import recurrent_by_hand

from . import dual


def elementwise(function):
    def loops(layer, *inputs):
        arrays = np.broadcast_arrays(*inputs)
        out = np.empty(arrays[0].shape, dtype=object)
        for index in np.ndindex(out.shape):
            out[index] = function(layer, *(a[index] for a in arrays))
        return out

    return loops


def along_axis(function):
    """A function of the list of all elements along `layer.axis`, which gives a list."""

    def loops(layer, a):
        moved = np.moveaxis(a, layer.axis, -1)
        out = np.empty(moved.shape, dtype=object)
        for index in np.ndindex(moved.shape[:-1]):
            out[index] = function(list(moved[index]))
        return np.moveaxis(out, -1, layer.axis)

    return loops


def softmax(values):
    powers = [dual.exp(v) for v in values]
    return [p / sum(powers) for p in powers]


def gelu(layer, z):
    if layer.approximate == "tanh":
        root = mpmath.sqrt(2 / mpmath.pi)
        return z * (1 + dual.tanh(root * (z + mpmath.mpf(0.044715) * z**3))) / 2
    return z * (1 + dual.erf(z / mpmath.sqrt(2))) / 2


def elu(alpha, z):
    return z if z > 0 else alpha * (dual.exp(z) - 1)


def lrn(layer, a):
    out = np.empty(a.shape, dtype=object)
    for n, c, *rest in np.ndindex(a.shape):
        low, high = c - (layer.size - 1) // 2, c + layer.size // 2
        total = sum(a[(n, k, *rest)] ** 2 for k in range(max(0, low), min(a.shape[1] - 1, high) + 1))
        base = total * mpmath.mpf(layer.alpha) / layer.size + layer.k
        out[(n, c, *rest)] = a[(n, c, *rest)] / dual.exp(dual.log(base) * layer.beta)
    return out


def groups(layer, sample):
    """The lists of indices that are normalised together."""
    if isinstance(layer, (L.LayerNorm, L.RMSNorm)):
        heads = np.ndindex(sample.shape[: -layer.axes])
        return [[(*head, *tail) for tail in np.ndindex(sample.shape[-layer.axes :])] for head in heads]
    size = len(sample) // (layer.groups if isinstance(layer, L.GroupNorm) else len(sample))
    return [[i for i in np.ndindex(sample.shape) if i[0] // size == g] for g in range(len(sample) // size)]


def affine(layer, value, index, shape):
    """γ or β of one element; None is left to the caller."""
    if isinstance(layer, (L.LayerNorm, L.RMSNorm)):
        return np.broadcast_to(value, shape[-layer.axes :])[index[-layer.axes :]]
    return value[index[0]]


def normalised(layer, a):
    out = np.empty(a.shape, dtype=object)
    for n in range(len(a)):
        for members in groups(layer, a[n]):
            values = [a[n][i] for i in members]
            mean = 0 if isinstance(layer, L.RMSNorm) else sum(values) / len(values)
            variance = sum((v - mean) ** 2 for v in values) / (len(values) - getattr(layer, "correction", 0))
            for i, v in zip(members, values, strict=True):
                z = (v - mean) / (dual.sqrt(variance + layer.epsilon) + getattr(layer, "outside", 0))
                z = z if layer.scale is None else z * affine(layer, layer.scale, i, a.shape[1:])
                out[n][i] = z if layer.shift is None else z + affine(layer, layer.shift, i, a.shape[1:])
    return out


def lp_norm(layer, a):
    axes, members = tuple(axis % a.ndim for axis in layer.axes), {}
    for index in np.ndindex(a.shape):
        members.setdefault(tuple(0 if k in axes else i for k, i in enumerate(index)), []).append(index)
    out = np.empty(a.shape, dtype=object)
    for indices in members.values():
        total = sum((abs(a[i]) ** int(layer.p) for i in indices), mpmath.mpf(layer.epsilon))
        length = (dual.sqrt(total) if layer.p == 2 else total) + layer.outside
        for i in indices:
            out[i] = a[i] / (max(layer.floor, length))
    return out


def norm(values, p):
    total = sum(abs(v) ** int(p) for v in values)
    return dual.exp(dual.log(total) / p)


def windows(layer, a):
    """What each window of a pooling layer sees, padding left out: (place in the output, list of elements)."""
    dims = a.ndim - 2
    per = lambda v: v if isinstance(v, tuple) else (v,) * dims  # noqa: E731
    kernel, dilation = per(layer.kernel), per(layer.dilation)
    stride = kernel if layer.stride is None else per(layer.stride)
    pads = tuple(p if isinstance(p, tuple) else (p, p) for p in per(layer.padding))
    for n, c, *cell in np.ndindex(layer.shape(a.shape)):
        seen = []
        for tap in itertools.product(*map(range, kernel)):
            place = tuple(o * s + t * d - p[0] for o, s, t, d, p in zip(cell, stride, tap, dilation, pads, strict=True))
            if all(0 <= x < e for x, e in zip(place, a.shape[2:], strict=True)):
                seen.append(a[(n, c, *place)])
        yield (n, c, *cell), seen


def lp_pool(layer, a):
    out = np.empty(layer.shape(a.shape), dtype=object)
    for place, seen in windows(layer, a):
        out[place] = norm(seen, layer.p)
    return out


def global_lp_pool(layer, a):
    out = np.empty(layer.shape(a.shape), dtype=object)
    for n, c in np.ndindex(a.shape[:2]):
        out[n, c] = norm(list(a[n, c].flat), layer.p)
    return out


def recurrent(layer, *inputs):
    smooth = {"sigmoid": dual.sigmoid, "tanh": dual.tanh, "softsign": lambda z: z / (1 + abs(z))}
    with mock.patch.dict(recurrent_by_hand.FUNCTIONS, smooth):
        return recurrent_by_hand.forward(layer, *inputs)


FORMULAS = {
    L.Tanh: elementwise(lambda layer, z: dual.tanh(z)),
    L.Sigmoid: elementwise(lambda layer, z: dual.sigmoid(z)),
    L.LogSigmoid: elementwise(lambda layer, z: dual.log(dual.sigmoid(z))),
    L.GELU: elementwise(gelu),
    L.Softplus: elementwise(lambda layer, z: dual.log(1 + dual.exp(layer.beta * z)) / layer.beta),
    L.Softmax: along_axis(softmax),
    L.LogSoftmax: along_axis(lambda values: [dual.log(p) for p in softmax(values)]),
    L.ELU: elementwise(lambda layer, z: elu(layer.alpha, z)),
    L.SELU: elementwise(lambda layer, z: layer.gamma * elu(layer.alpha, z)),
    L.CELU: elementwise(lambda layer, z: z if z > 0 else layer.alpha * (dual.exp(z / layer.alpha) - 1)),
    L.SiLU: elementwise(lambda layer, z: z * dual.sigmoid(layer.beta * z)),
    L.Mish: elementwise(lambda layer, z: z * dual.tanh(dual.log(1 + dual.exp(z)))),
    L.Exp: elementwise(lambda layer, z: dual.exp(z)),
    L.Log: elementwise(lambda layer, z: dual.log(z)),
    L.Sqrt: elementwise(lambda layer, z: dual.sqrt(z)),
    L.Erf: elementwise(lambda layer, z: dual.erf(z)),
    L.Power: elementwise(lambda layer, base, exponent: dual.exp(exponent * dual.log(base))),
    L.LRN: lrn,
    L.LayerNorm: normalised,
    L.GroupNorm: normalised,
    L.InstanceNorm: normalised,
    L.RMSNorm: normalised,
    L.LpNorm: lp_norm,
    L.LpPool: lp_pool,
    L.GlobalLpPool: global_lp_pool,
    L.LSTM: recurrent,
    L.GRU: recurrent,
    L.RNN: recurrent,
}
