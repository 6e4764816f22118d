"""Passes over memory as loops that Numba compiles; where a loop does not serve, or is no faster, it is NumPy's pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...arrays import Array, Exact, Shape, Signed, Unsigned, like
from ...layers.base import Layer, Linear
from ...layers.conv import ConvTranspose
from ...layers.linear import Add, Scale, Subtract
from ...layers.pooling import AvgPool, MaxPool, SumPool, pool_window, window_largest
from ...messages import MessageKind
from ...rules.terms import ALL, NEGATIVE_ONLY, NONNEGATIVE
from ..numpy import passes as numpy_passes
from ..numpy.passes import LinearPasses, WindowPasses
from ..numpy.prepared import Reduced
from . import loops
from .matrix_products import Form, plain, planes, table

_KINDS = {Exact: loops.EXACT, Signed: loops.SIGNED, Unsigned: loops.UNSIGNED}
_WHERE = {ALL: loops.EVERYWHERE, NONNEGATIVE: loops.NONNEGATIVE, NEGATIVE_ONLY: loops.NEGATIVE}


def factor_options(share: Reduced, dtype: np.dtype, takes: MessageKind, relu_follows: bool) -> tuple[Any, ...] | None:
    """Stabiliser, ε, where, whether c arrives, and λ, as the loop takes them; None where it does not serve the share."""
    kind, where = _KINDS.get(type(share.stabiliser)), _WHERE.get(share.where)
    if kind is None or where is None:
        return None
    epsilon = like(getattr(share.stabiliser, "epsilon", 0), np.empty(0, dtype))[()]
    if takes == "ratio" and relu_follows:
        where = loops.EVERYWHERE  # R = a·c is 0 where z < 0
    return kind, epsilon, where, takes == "ratio", share.coefficient[()]


def factor(share: Reduced, bottom: Array, z: Array, output: Array, takes: MessageKind, relu_follows: bool) -> tuple[Array, int]:
    """As NumPy's, in one pass."""
    options = factor_options(share, bottom.dtype, takes, relu_follows)
    if options is None or not bottom.size:
        return numpy_passes.factor(share, bottom, z, output, takes, relu_follows)
    form = Form(1, 1, math.prod(z.shape[1:]))
    made, none = np.empty(z.shape, z.dtype), np.empty((1, 1, 0), z.dtype)
    arrays = (form.of_array(z), form.of_array(output), form.of_array(made))
    odd = loops.factors(form.of_array(bottom), 0, none, 0, *arrays, *options)
    return made, odd


# ---- transposed convolution: the loops of convolution, exchanged ----------------------------------------------------------


def transposed_total(layer: Linear, inputs: tuple[Array, ...], weights: tuple[Array | None, ...], ties: bool) -> Array:
    """map(a, w)."""
    (a,), (w,) = inputs, weights
    assert isinstance(layer, ConvTranspose)
    assert w is not None
    shape = layer.shape(a.shape)
    if 0 in a.shape or 0 in shape or 0 in w.shape:
        return numpy_passes.sum_of_maps(layer, inputs, weights)
    rows = a.reshape(a.shape[0], layer.groups, layer.lower // layer.groups, math.prod(a.shape[2:]))
    columns = np.matmul(_kernel_matrix(layer, w).swapaxes(1, 2), rows)
    columns = columns.reshape(a.shape[0], layer.upper, layer.window.taps, rows.shape[-1])
    flat = np.zeros((*shape[:2], math.prod(shape[2:])), a.dtype)
    loops.scatter(columns, table(layer.window, shape[2:], a.shape[2:]), layer.stride[-1], flat)
    z = flat.reshape(shape)
    if ties:
        layer.settle(a, z)
    return z


def transposed_adjoint(layer: Linear, pairs: Sequence[tuple[Array, Array]], shape: Shape) -> Array:
    """Σ_q adjoint(s_q, w_q)."""
    assert isinstance(layer, ConvTranspose)
    first = pairs[0][0]
    if 0 in shape or 0 in first.shape or 0 in layer.weight.shape:
        return numpy_passes.adjoint(layer, pairs, shape)
    spatial, size = first.shape[2:], math.prod(shape[2:])
    where = table(layer.window, spatial, shape[2:])
    columns = np.empty((shape[0], layer.upper, layer.window.taps, size), first.dtype)
    below = np.zeros((shape[0], layer.groups, layer.lower // layer.groups, size), columns.dtype)
    for s, w in pairs:
        loops.gather(planes(s, 2), where, layer.stride[-1], columns)
        below += np.matmul(_kernel_matrix(layer, w), columns.reshape(shape[0], layer.groups, -1, size))
    return below.reshape(shape)


def _kernel_matrix(layer: ConvTranspose, w: Array) -> Array:
    return w.reshape(layer.groups, layer.lower // layer.groups, math.prod(w.shape[1:]))


# ---- sums over windows ------------------------------------------------------------------------------------------------------


def pool_total(layer: Linear, inputs: tuple[Array, ...], weights: tuple[Array | None, ...], _: bool) -> Array:
    """map(a, w)."""
    (a,), (w,) = inputs, weights
    if not isinstance(layer, SumPool) or w is None or not a.size:
        return numpy_passes.sum_of_maps(layer, inputs, weights)
    window = pool_window(layer, a.ndim - 2)
    out = window.outputs(a.shape[2:])
    sums = np.empty((a.shape[0] * a.shape[1], math.prod(out)), a.dtype)
    loops.window_sums(_flat(a), table(window, a.shape[2:], out), window.stride[-1], sums)
    return layer.settle(layer._share(sums.reshape(*a.shape[:2], *out) * w, a.shape[2:]), a, w, window_largest)


def pool_adjoint(layer: Linear, pairs: Sequence[tuple[Array, Array]], shape: Shape) -> Array:
    """Σ_q adjoint(s_q, w_q)."""
    if not isinstance(layer, SumPool) or 0 in shape:
        return numpy_passes.adjoint(layer, pairs, shape)
    parts = [s * w for s, w in pairs]
    s = layer._share(sum(parts[1:], parts[0]), shape[2:])
    window = pool_window(layer, len(shape) - 2)
    lower = np.empty((shape[0] * shape[1], math.prod(shape[2:])), s.dtype)
    loops.window_spread(_flat(s), table(window, shape[2:], s.shape[2:]), window.stride[-1], lower)
    return lower.reshape(shape)


# ---- maxima -----------------------------------------------------------------------------------------------------------------


def winners(layer: MaxPool, a: Array) -> tuple[Array, Array]:
    """The largest cell of each window, and which one it is among those of its channel."""
    window, spatial = pool_window(layer, a.ndim - 2), a.shape[2:]
    out = window.outputs(spatial)
    best = np.empty((*a.shape[:2], *out), a.dtype)
    winner = np.empty(best.shape, np.int32 if math.prod(spatial) < 2**31 else np.int64)
    loops.winners(_flat(a), table(window, spatial, out), window.stride[-1], _flat(best), _flat(winner))
    return best, winner


def to_winners(_: MaxPool, message: Array, winner: Array, shape: Shape) -> Array:
    """The message below (N, targets, C, …): each winner gets what arrives at its windows."""
    lower = np.empty((*message.shape[:2], shape[1], math.prod(shape[2:])), message.dtype)
    loops.to_winners(planes(message, 3), planes(winner, 2), lower)
    return lower.reshape(*message.shape[:2], *shape[1:])


def to_ties(layer: MaxPool, message: Array, a: Array, best: Array) -> Array:
    """The message below (N, targets, C, …): equal cells of a window share what arrives there."""
    shape, window = a.shape, pool_window(layer, a.ndim - 2)
    where, step, count = table(window, shape[2:], best.shape[2:]), window.stride[-1], np.empty(best.shape, a.dtype)
    below, above = planes(a, 2), planes(best, 2)
    loops.ties(below, above, where, step, planes(count, 2))
    lower = np.empty((*message.shape[:2], shape[1], math.prod(shape[2:])), message.dtype)
    loops.to_ties(planes(message / count[:, None], 3), below, above, where, step, lower)
    return lower.reshape(*message.shape[:2], *shape[1:])


def largest(layer: Layer, a: Array) -> Array:
    """The output of a maximum."""
    return winners(layer, a)[0] if isinstance(layer, MaxPool) else layer.forward(a)


def _flat(x: Array) -> Array:
    """All planes of all samples, and their cells."""
    return plain(x).reshape(x.shape[0] * x.shape[1], math.prod(x.shape[2:]))


WINDOWS = WindowPasses("jit", winners, to_winners, to_ties, largest)
FACTORS = replace(numpy_passes.LINEAR, backend="jit", how="factors", factor=factor)
_POOL = replace(FACTORS, how="windows", total=pool_total, adjoint=pool_adjoint)
#: By the layer. benchmarks/jit.py showed no gain elsewhere when these loops were tried there, and the passes are NumPy's: Dense
#: (0.7 to 1.0 of its speed; with the factors alone 0.9 to 1.2, which is noise: to call a loop costs what the short passes do),
#: means and pooling over whole channels (1.0 to 1.1), upsampling (0.8 to 1.2), convolutions of single cells (0.9 to 1.2: they
#: have no columns to gather). Not tried: rearrangements and ReLUs alone (one pass already), recurrent layers.
LINEAR: dict[type[Layer], LinearPasses] = {
    ConvTranspose: replace(FACTORS, how="transposed", total=transposed_total, adjoint=transposed_adjoint),
    SumPool: _POOL,
    AvgPool: _POOL,
    **dict.fromkeys((Scale, Add, Subtract), FACTORS),
}
