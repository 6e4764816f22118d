r"""DeepLIFT's multipliers of single layers, as rules over a doubled batch: samples first, then their references.

A multiplier is to a difference from the reference what a derivative is to a small one, and obeys the same chain rule. A linear
layer has its weights; here are the others. Each rule reads both runs from one batch (2N, …), and hands the multipliers of the
samples to both halves; where the sign of a contribution matters, under RevealCancel, the first half has those of the positive,
the second those of the negative contributions (`CONV-DEEPLIFT-SIGNS`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from ..arrays import Array, divide, is_exact, like, negative, positive, sum_to
from ..errors import RuleError
from ..layers.activations import Softmax
from ..layers.base import BaseEmbedding, Elementwise, Layer, Linear
from ..layers.functions import Choice, Divide, Maximum, Minimum
from ..layers.matmul import MatMul
from ..layers.merge import Multiply
from ..layers.pooling import Selecting, lowered, winners
from ..layers.selection import Where
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from ..rules.base import Rule


def halves(a: Array) -> tuple[Array, Array]:
    """The samples' and the references' half of a doubled batch (2N, …).

    Parameters
    ----------
    a : of both
    """
    return a[: len(a) // 2], a[len(a) // 2 :]


def doubled(a: Array) -> Array:
    """The same for samples and references, (2N, …).

    Parameters
    ----------
    a : (N, …)
    """
    return np.concatenate([a, a])


def one_multiplier(message: Array, difference: Array) -> Array:
    """Of the multipliers of positive and negative contributions, (2N, …), the one that the sign of the difference takes, (N, …).

    Where the difference is 0 it is their mean.

    Parameters
    ----------
    message : of both
    difference : Δ, (N, …)
    """
    plus, minus = halves(message)
    zero = like(0, difference)
    mean = (plus + minus) / like(2, difference)
    return np.asarray(np.where(difference > zero, plus, np.where(difference < zero, minus, mean)))


def ratio(dy: Array, dz: Array, slope: Array, size: Array) -> Array:
    """Δy / Δz; the slope where Δz = 0, and in floats where it says the same within the rounding of Δy (`CONV-DEEPLIFT-ZERO`).

    Parameters
    ----------
    dy, dz : the differences
    slope : the derivative at the sample
    size : |y| + |ȳ|, whose rounding Δy has
    """
    alive = np.asarray(dz != like(0, dz), dtype=bool)
    quotient = divide(dy, dz, alive)
    if is_exact(dz):
        return np.where(alive, quotient, slope)
    with np.errstate(invalid="ignore", over="ignore"):
        near = abs(dy - slope * dz) <= 4 * np.finfo(dz.dtype).eps * size
    return np.where(alive & ~near, quotient, slope)


class MultiplierRule(Rule):
    """A rule that gives the multipliers of a layer."""

    conserves: ClassVar[bool] = False
    source: ClassVar[str] = "Shrikumar et al. 2017"

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        lower = self.relevances(layer, inputs, output, relevance)
        return lower, Booking.handed_on(relevance, lower, flags=("is a multiplier: what arrives and what is handed on differ",))

    def relevances(self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        self.require(layer)
        upper = one_multiplier(relevance, output[: len(output) // 2] - output[len(output) // 2 :])
        return tuple(doubled(lower) for lower in self.below(layer, inputs, output, upper))

    @abstractmethod
    def below(self, layer: Layer, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        """The multipliers (N, …) of every input, from those of the output."""


@lazy_dataclass(frozen=True)
class Rescale(MultiplierRule):
    """The multiplier of a function of each element: Δy / Δz."""

    serves: ClassVar[str] = "functions of each element"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Elementwise) and not isinstance(layer, Softmax)

    def below(self, layer: Layer, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        assert isinstance(layer, Elementwise)
        (z, z_ref), (y, y_ref) = halves(inputs[0]), halves(output)
        slope = like(layer.derivative(inputs[0], output), z)
        slope = np.broadcast_to(slope, inputs[0].shape)[: len(z)]
        return (upper * ratio(y - y_ref, z - z_ref, slope, abs(y) + abs(y_ref)),)


@lazy_dataclass(frozen=True)
class LargestRescale(MultiplierRule):
    """The multiplier of a maximum pooling: the winner where the maximum is larger has Δy / Δz, the others 0.

    What overlapping windows give to one cell adds up.
    """

    serves: ClassVar[str] = "maximum pooling"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Selecting)

    def below(self, layer: Layer, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        assert isinstance(layer, Selecting)
        cells, exist = layer.cells(inputs[0])
        rows = (len(upper), cells.shape[1], 1, *cells.shape[3:])
        won = winners(lowered(cells, exist))
        (y, y_ref), (at, at_ref), (won_at, won_ref) = halves(output), halves(cells), halves(won)
        dy, dz = (y - y_ref).reshape(rows), at - at_ref
        wins = np.where((y >= y_ref).reshape(rows), won_at, won_ref)
        share = _of_winner(wins, dy, dz)
        return (layer.spread(share * upper.reshape(rows), (len(upper), *inputs[0].shape[1:])),)


@lazy_dataclass(frozen=True)
class ChoiceRescale(MultiplierRule):
    """The multiplier of a maximum or minimum of several inputs, as that of a pooling; of a choice by the same condition."""

    serves: ClassVar[str] = "maxima, minima and choices"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Choice)

    def below(self, layer: Layer, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        assert isinstance(layer, Choice)
        chosen = [halves(np.broadcast_to(mask, output.shape)) for mask in layer.chosen(inputs, output)]
        if isinstance(layer, Where):
            at, at_ref = halves(inputs[0])
            if not np.array_equal(at != like(0, at), at_ref != like(0, at)):
                raise RuleError(
                    "the condition chooses otherwise for the input than for the baseline, and DeepLIFT says no multiplier of a "
                    "condition: give a baseline for which it chooses the same"
                )
        elif not isinstance(layer, (Maximum, Minimum)):
            raise RuleError(f"DeepLIFT says no multiplier of {type(layer).__name__}")
        y, y_ref = halves(output)
        own = y <= y_ref if isinstance(layer, Minimum) else y >= y_ref
        lower = []
        for (won, won_ref), a in zip(chosen, inputs, strict=True):
            x, x_ref = halves(a)
            wins = np.where(own, won, won_ref)
            share = like(wins.astype(np.int8), y) if isinstance(layer, Where) else _of_winner(wins, y - y_ref, x - x_ref)
            lower.append(sum_to(share * upper, x.shape))
        return tuple(lower)


@lazy_dataclass(frozen=True)
class Midpoint(MultiplierRule):
    """The multipliers of two factors: each has the mean of the other over both runs, which is their Shapley value.

    Δ(a b) = ½ (b + b̄) Δa + ½ (a + ā) Δb

    Parameters
    ----------
    gradient : whether each has the other's value at the sample instead, which is not complete
    """

    gradient: bool = False
    serves: ClassVar[str] = "products, matrix products and quotients"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, (Multiply, MatMul, Divide))

    def below(self, layer: Layer, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        pairs = [halves(a) for a in inputs]
        if self.gradient:
            return layer.vjp(tuple(x for x, _ in pairs), output[: len(upper)], upper)
        if isinstance(layer, Divide):
            (a, a_ref), (b, b_ref) = pairs
            two = like(2, a)
            first = upper * (like(1, a) / b + like(1, a) / b_ref) / two
            second = -upper * (a + a_ref) / (two * b * b_ref)
            return sum_to(first, a.shape), sum_to(second, b.shape)
        middle = tuple((x + x_ref) / like(2, x) for x, x_ref in pairs)
        return layer.vjp(middle, output[: len(upper)], upper)


@lazy_dataclass(frozen=True)
class VectorSum(MultiplierRule):
    """What an embedding hands to an index: Σ m Δv over its vector. It is a contribution already, no multiplier."""

    serves: ClassVar[str] = "embeddings"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, BaseEmbedding)

    def below(self, layer: Layer, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        assert isinstance(layer, BaseEmbedding)
        v, v_ref = halves(output)
        return (layer.sum_vectors(upper * (v - v_ref)),)


@lazy_dataclass(frozen=True)
class SignedLinear(Rule):
    """A linear layer under RevealCancel: the sign of a whole contribution w Δx decides which multiplier it takes."""

    conserves: ClassVar[bool] = False
    source: ClassVar[str] = "Shrikumar et al. 2017"
    serves: ClassVar[str] = "linear layers"

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Linear)

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        lower = self.relevances(layer, inputs, output, relevance)
        return lower, Booking.handed_on(relevance, lower)

    def relevances(self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array) -> tuple[Array, ...]:
        self.require(layer)
        assert isinstance(layer, Linear)
        plus, minus = halves(relevance)
        lower = []
        for a, weight in zip(inputs, layer.weights, strict=True):
            x, x_ref = halves(a)
            parts = positive(like(weight, a)), negative(like(weight, a))
            up, down = (
                layer.adjoint(first, parts[0], x.shape) + layer.adjoint(second, parts[1], x.shape)
                for first, second in ((plus, minus), (minus, plus))
            )
            lower.append(doubled(one_multiplier(np.concatenate([up, down]), x - x_ref)))
        return tuple(lower)


def signed_differences(layer: Linear, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
    """Δz⁺ and Δz⁻ of a linear layer, (N, …) each: the positive and the negative of the contributions w Δx.

    Parameters
    ----------
    layer : the layer
    inputs : (2N, …) each
    """
    up: list[Array] = []
    down: list[Array] = []
    for a, weight in zip(inputs, layer.weights, strict=True):
        x, x_ref = halves(a)
        w, delta = like(weight, a), x - x_ref
        up.append(layer.map(positive(delta), positive(w)) + layer.map(negative(delta), negative(w)))
        down.append(layer.map(positive(delta), negative(w)) + layer.map(negative(delta), positive(w)))
    return np.asarray(sum(up[1:], up[0])), np.asarray(sum(down[1:], down[0]))


def reveal_cancel(layer: Elementwise, z: Array, output: Array, up: Array, down: Array) -> tuple[Array, Array]:
    """m⁺ and m⁻ of a function of each element, (N, …): what positive and negative contributions add, averaged over both orders.

    Δy⁺ = ½ [f(z̄ + Δz⁺) − f(z̄) + f(z̄ + Δz⁺ + Δz⁻) − f(z̄ + Δz⁻)], and Δy⁻ the same with both exchanged.

    Parameters
    ----------
    layer : the function
    z, output : its input and output, (2N, …)
    up, down : Δz⁺ and Δz⁻, (N, …)
    """
    (at, z_ref), (y, y_ref) = halves(z), halves(output)
    two = like(2, up)
    above, below = layer.forward(z_ref + up), layer.forward(z_ref + down)
    plus, minus = (above - y_ref + y - below) / two, (below - y_ref + y - above) / two
    slope = np.broadcast_to(like(layer.derivative(z, output), z), z.shape)[: len(at)]
    size = abs(y) + abs(y_ref)
    return ratio(plus, up, slope, size), ratio(minus, down, slope, size)


def _of_winner(wins: Array, dy: Array, dz: Array) -> Array:
    """Δy / Δz of the winners, 1 where they did not change, and 0 of the others."""
    alive = np.asarray(wins & (dz != like(0, dz)), dtype=bool)
    shape = np.broadcast_shapes(wins.shape, dy.shape, dz.shape)
    quotient = divide(np.broadcast_to(dy, shape), np.broadcast_to(dz, shape), np.broadcast_to(alive, shape))
    return np.where(wins & ~alive, like(1, dz), quotient)
