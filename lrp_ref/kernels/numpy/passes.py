"""What steps do with arrays, as NumPy does it. A backend with faster functions has a table of its own, for the same steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...arrays import Array, Exact, Shape, each_target_times, like
from ...layers.base import Layer, Linear
from ...layers.pooling import MaxPool, pool_window
from ...lazy_dataclass import lazy_dataclass
from ...messages import MessageKind
from ...rules.denominators import divides, in_range
from ...rules.terms import ALL
from .oddities import kinds_of
from .prepared import Reduced


@lazy_dataclass(frozen=True, eq=False)
class LinearPasses:
    """The functions of a step for a linear layer.

    Attributes
    ----------
    backend, how : the first words of the step's label
    total : Σ_i map(a_i, w_i) of a layer, its inputs, a weight (or None) for each, and whether equal windows need equal numbers
    adjoint : Σ_q adjoint(s_q, w_q) of a layer, pairs (s_q, w_q), at least one, and the shape of the input
    factor : of a share, its denominators without their stabiliser, z, the output, the kind of message that arrives, and whether a
        ReLU follows: what a message is multiplied with (c) or divided by (R), and what is odd about the denominators
    quotient : s (N, targets, …) of a message, a factor (N, …), and the kind of the message
    """

    backend: str
    how: str
    total: Callable[[Linear, tuple[Array, ...], tuple[Array | None, ...], bool], Array]
    adjoint: Callable[[Linear, Sequence[tuple[Array, Array]], Shape], Array]
    factor: Callable[[Reduced, Array, Array, Array, MessageKind, bool], tuple[Array, int]]
    quotient: Callable[[Array, Array, MessageKind], Array]


@lazy_dataclass(frozen=True, eq=False)
class WindowPasses:
    """The functions of a step for the maximum of windows.

    Attributes
    ----------
    backend : the first word of the step's label
    winners : of a layer and its input (N, C, …), the largest cell of each window, and which one it is
    to_winners : of a layer, a message (N, targets, C, …), the winners, and the shape of the input, the message below
    to_ties : of a layer, a message, the input, and the largest cells, the message below that all equal cells share
    largest : the output of a layer
    """

    backend: str
    winners: Callable[[MaxPool, Array], tuple[Array, Array]]
    to_winners: Callable[[MaxPool, Array, Array, Shape], Array]
    to_ties: Callable[[MaxPool, Array, Array, Array], Array]
    largest: Callable[[Layer, Array], Array]


def folded(message: Array) -> Array:
    """(N, targets, …) as one batch."""
    return message.reshape(message.shape[0] * message.shape[1], *message.shape[2:])


def weighed(message: Array, factor: Array, takes: MessageKind) -> Array:
    """s = message·factor if the message is c, else message/divisor; message (N, targets, …), factor (N, …).

    A factor 1/z would overflow where z is so small that only R/z does not.
    """
    return each_target_times(message, factor) if takes == "ratio" else np.asarray(message / factor[:, None])


def sum_of_maps(layer: Linear, inputs: tuple[Array, ...], weights: tuple[Array | None, ...], _: bool = False) -> Array:
    """Σ_i map(a_i, w_i); a layer's own map gives equal windows equal numbers."""
    parts = [layer.map(a, w) for a, w in zip(inputs, weights, strict=True) if w is not None]
    return np.asarray(sum(parts[1:], parts[0]))


def adjoint(layer: Linear, pairs: Sequence[tuple[Array, Array]], shape: Shape) -> Array:
    """Σ_q adjoint(s_q, w_q), of at least one pair."""
    below = np.zeros(shape, pairs[0][1].dtype)
    for s, w in pairs:
        below += layer.adjoint(s, w, shape)
    return below


def factor(share: Reduced, bottom: Array, z: Array, output: Array, takes: MessageKind, relu_follows: bool) -> tuple[Array, int]:
    """For c the factor λ·a/(z + e), 0 where the share is dead; for R the divisor (z + e)/λ, infinite there. What is odd."""
    if not isinstance(share.stabiliser, Exact):
        bottom = bottom + share.stabiliser(bottom)
    served = None if share.where is ALL or (takes == "ratio" and relu_follows) else share.where(z)
    odd = 0
    inside = in_range(bottom)
    if not inside:
        meets = output != 0 if takes == "ratio" else None  # R = a·c
        odd = kinds_of(bottom, served if meets is None else meets if served is None else meets & served)
    if not inside or served is not None:
        alive = divides(bottom) if served is None else divides(bottom) & served
        # x / ∞ = 0 is what the dead share takes, and keeps the division one plain pass
        bottom = np.where(alive, bottom, like(np.inf, bottom))
    if takes == "relevance":
        return bottom if share.coefficient == 1 else bottom / share.coefficient, odd
    ratio = np.divide(output, bottom, out=None if bottom is z else bottom)
    if share.coefficient != 1:
        ratio *= share.coefficient
    return ratio, odd


def winners(layer: MaxPool, a: Array) -> tuple[Array, Array]:
    """The largest cell of each window, and the tap at which it is first seen."""
    out = layer.shape(a.shape)[2:]
    window = pool_window(layer, a.ndim - 2)
    padded = np.full(a.shape[:2] + window.padded(out), -np.inf, a.dtype)
    in_input, in_padded = window.inside(a.shape[2:], out)
    padded[in_padded] = a[in_input]
    counter = np.uint8 if window.taps < 256 else np.int32
    best, winner = np.full((*a.shape[:2], *out), -np.inf, a.dtype), np.zeros((*a.shape[:2], *out), counter)
    for tap, cells in enumerate(window.slices(out)):
        better = padded[cells] > best  # strictly: of equal cells the first wins
        np.maximum(best, padded[cells], out=best)
        np.copyto(winner, counter(tap), where=better)
    return best, winner


def to_winners(layer: MaxPool, message: Array, winner: Array, shape: Shape) -> Array:
    """The message below (N, targets, C, …): each winner gets what arrives at its windows."""
    targets, window, out = message.shape[1], pool_window(layer, len(shape) - 2), winner.shape[2:]
    padded = np.zeros((shape[0] * targets, shape[1], *window.padded(out)), message.dtype)
    flat = folded(message)
    wide = winner if targets == 1 else np.repeat(winner, targets, axis=0)
    for tap, cells in enumerate(window.slices(out)):
        padded[cells] += np.where(wide == tap, flat, like(0, flat))
    in_input, in_padded = window.inside(shape[2:], out)
    lower = np.zeros((shape[0] * targets, *shape[1:]), message.dtype)
    lower[in_input] = padded[in_padded]
    return lower.reshape(shape[0], targets, *shape[1:])


def to_ties(layer: MaxPool, message: Array, a: Array, best: Array) -> Array:
    """The message below (N, targets, C, …): equal cells of a window share what arrives there."""
    shape, targets, out = a.shape, message.shape[1], best.shape[2:]
    window = pool_window(layer, len(shape) - 2)
    in_input, in_padded = window.inside(shape[2:], out)
    values = np.full(shape[:2] + window.padded(out), -np.inf, a.dtype)
    values[in_padded] = a[in_input]
    count = np.zeros(best.shape, a.dtype)
    for cells in window.slices(out):
        count += values[cells] == best
    padded = np.zeros((shape[0] * targets, shape[1], *window.padded(out)), message.dtype)
    part = folded(message / count[:, None])
    for cells in window.slices(out):
        equal = values[cells] == best
        padded[cells] += np.where(equal if targets == 1 else np.repeat(equal, targets, axis=0), part, like(0, part))
    lower = np.zeros((shape[0] * targets, *shape[1:]), message.dtype)
    lower[in_input] = padded[in_padded]
    return lower.reshape(shape[0], targets, *shape[1:])


def largest(layer: Layer, a: Array) -> Array:
    """The output of a maximum."""
    return layer.forward(a)


LINEAR = LinearPasses("numpy", "fused", sum_of_maps, adjoint, factor, weighed)
WINDOWS = WindowPasses("numpy", winners, to_winners, to_ties, largest)
