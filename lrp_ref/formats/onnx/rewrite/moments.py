"""Statistics of a signal's groups: means, mean squares, variances, and the lengths that are their roots.

A statistic is read by what it amounts to, w₁ E[a] + w₂ E[a²] + w₃ E[a]² + c over the same axes, whatever nodes it is put together
from: E[(x − E[x])²] and E[x²] − E[x]² are one variance, a sum is n means. Axes that a reduction drops may be put back later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

from ....arrays import Shape
from ....layers import (
    Add,
    Clip,
    Expand,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Mean,
    Pow,
    Reciprocal,
    ReduceMax,
    ReLU,
    Reshape,
    Scale,
    Sqrt,
    Subtract,
    Sum,
)
from .rewriting import DEPTH, GraphView, close, number

Axes: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Statistic:
    """w₁ E[a] + w₂ E[a²] + w₃ E[a]² + c of groups of `count` elements along `axes`.

    Attributes
    ----------
    base : the node a
    mean, square, squared_mean, constant : w₁, w₂, w₃ and c
    averaged : whether it was written with means, and not with sums
    """

    base: str
    axes: Axes
    count: int
    mean: float = 0.0
    square: float = 0.0
    squared_mean: float = 0.0
    constant: float = 0.0
    averaged: bool = True

    def times(self, factor: float, shift: float = 0.0) -> Statistic:
        """The statistic times a number, and another number added."""
        weights = {name: factor * getattr(self, name) for name in ("mean", "square", "squared_mean", "constant")}
        return replace(self, **{**weights, "constant": weights["constant"] + shift})

    @property
    def is_mean(self) -> bool:
        """Whether it is E[a] and nothing else."""
        return close(self.mean, 1) and not (self.square or self.squared_mean or self.constant)

    @property
    def is_variance(self) -> bool:
        """Whether it is a multiple of E[a²] − E[a]², and a number more."""
        return not self.mean and self.square > 0 and close(self.squared_mean, -self.square)


def statistic(view: GraphView, name: str, depth: int = 2 * DEPTH) -> Statistic | None:
    """The statistic of one signal's groups that a node computes; None where it computes something else."""
    if not depth or name not in view.nodes:
        return None
    layer, sources = view.nodes[name].layer, view.nodes[name].inputs
    if isinstance(layer, Scale):
        weight, bias = number(layer.weight), 0.0 if layer.bias is None else number(layer.bias)
        below = None if weight is None or bias is None else statistic(view, sources[0], depth - 1)
        return None if below is None or weight is None or bias is None else below.times(weight, bias)
    if isinstance(layer, (Add, Subtract)) and len(sources) == 2 and view.shapes[sources[0]] == view.shapes[sources[1]]:
        operands = [statistic(view, source, depth - 1) for source in sources]
        return _combined(view, operands[0], operands[1], -1.0 if isinstance(layer, Subtract) else 1.0)
    if isinstance(layer, (Reshape, Flatten)):
        moves = _extents(view.shapes[name]) != _extents(view.shapes[sources[0]])
        return None if moves else statistic(view, sources[0], depth - 1)
    if isinstance(layer, ReLU) or (isinstance(layer, Clip) and (layer.low, layer.high) == (0, None)):
        below = statistic(view, sources[0], depth - 1)  # what rounding left below 0 of a variance
        return below if below is not None and below.is_variance and below.constant >= 0 else None
    if is_square_of_itself(view, name):
        below = statistic(view, sources[0], depth - 1)
        return None if below is None else _squared_mean(below)
    return _moment(view, name, depth)


def is_square_of_itself(view: GraphView, name: str) -> bool:
    """Whether a node is b² of the first node b that it reads."""
    layer, sources = view.layer(name), view.nodes[name].inputs
    if isinstance(layer, Pow):
        return number(layer.exponent) == 2
    return view.is_product(name) and view.same(sources[0], sources[1])


def _extents(shape: Shape) -> Shape:
    """The extents but those of 1: what a statistic keeps when axes are dropped, or put back."""
    return tuple(extent for extent in shape if extent != 1)


def _squared_mean(of: Statistic) -> Statistic | None:
    if of.square or of.squared_mean or of.constant:
        return None
    return replace(of, mean=0.0, squared_mean=of.mean**2)


def _combined(view: GraphView, one: Statistic | None, other: Statistic | None, sign: float) -> Statistic | None:
    if one is None or other is None or one.axes != other.axes or not view.same(one.base, other.base):
        return None
    added = other.times(sign)
    weights = {name: getattr(one, name) + getattr(added, name) for name in ("mean", "square", "squared_mean", "constant")}
    return replace(one, **weights, averaged=one.averaged and other.averaged)


def _moment(view: GraphView, name: str, depth: int) -> Statistic | None:
    """Means and sums of a signal, or of its square."""
    axes, count = reduced_axes(view, name, (Mean, GlobalAvgPool, Sum, GlobalSumPool))
    if not axes:
        return None
    averaged = isinstance(view.layer(name), (Mean, GlobalAvgPool))
    total = 1.0 if averaged else float(count)
    of = view.source(name)
    for factor, inner in view.multiples(of):
        if inner not in view.nodes or not is_square_of_itself(view, inner):
            continue
        base, weight = view.source(inner), factor * total
        x, centred_axes = centred_signal(view, base, depth - 1)
        if x and centred_axes == axes:  # E[(x − E[x])²] = E[x²] − E[x]²
            return Statistic(x, axes, count, square=weight, squared_mean=-weight, averaged=averaged)
        return Statistic(base, axes, count, square=weight, averaged=averaged)
    return Statistic(of, axes, count, mean=total, averaged=averaged)


def centred_signal(view: GraphView, name: str, depth: int = 2 * DEPTH) -> tuple[str, Axes]:
    """The signal x and the axes of a node x − mean x; an empty name where a node is something else."""
    if not isinstance(view.layer(name), Subtract):
        return "", ()
    x, mean = view.nodes[name].inputs
    axes = is_mean(view, mean, x, depth)
    return (x, axes) if axes else ("", ())


def is_mean(view: GraphView, name: str, x: str, depth: int = 2 * DEPTH) -> Axes:
    """The axes along which a node is the mean of x's groups, aligned with their elements; none where it is not."""
    mean = statistic(view, without_expand(view, name), depth)
    if mean is None or not mean.is_mean or not view.same(mean.base, x) or not is_aligned(view, name, x, mean.axes):
        return ()
    return mean.axes


def reduced_axes(view: GraphView, name: str, kinds: tuple[type, ...]) -> tuple[Axes, int]:
    """The axes of a reduction of one of these kinds, and how many cells it goes over; no axes where a node is none."""
    layer = view.layer(name)
    if not isinstance(layer, kinds):
        return (), 0
    shape = view.shapes[view.source(name)]
    axes = layer.axes if isinstance(layer, (Mean, Sum, ReduceMax)) else range(2, len(shape))  # poolings of the whole image
    counted = tuple(sorted(axis % len(shape) for axis in axes))
    return counted, math.prod(shape[axis] for axis in counted)


def reduction_of(view: GraphView, name: str) -> str:
    """The reduction behind which the axes are there again, kept or put back by a Reshape; an empty name where there is none."""
    source = without_expand(view, name)
    below = view.source(source) if isinstance(view.layer(source), (Reshape, Flatten)) else source
    axes, _ = reduced_axes(view, below, (Mean, Sum, ReduceMax))
    return below if axes and is_aligned(view, source, view.source(below), axes) else ""


def is_aligned(view: GraphView, name: str, x: str, axes: Axes) -> bool:
    """Whether a statistic of x over these axes broadcasts against x: its shape has 1 there, before it is repeated."""
    shape = view.shapes[x]
    return view.shapes[without_expand(view, name)] == tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))


def without_expand(view: GraphView, name: str) -> str:
    """The node below an Expand, which repeats it along axes of extent 1; elsewhere the node itself."""
    layer = view.layer(name)
    repeats = isinstance(layer, Expand) and view.rank(name) == view.rank(view.source(name))
    return view.source(name) if repeats else name


@dataclass(frozen=True)
class Length:
    """max(√v + δ, f), or its inverse, of a statistic v."""

    of: Statistic
    outside: float = 0.0
    floor: float = 0.0


def length(view: GraphView, name: str, x: str) -> Length | None:
    """The divisor of the signal x that is the root of a statistic of it, aligned with x; None where a node is something else."""
    return _if_aligned(view, name, x, _length(view, name))


def inverse_length(view: GraphView, name: str, x: str) -> Length | None:
    """The factor of the signal x that is one over the root of a statistic, aligned with x; None where it is something else."""
    inner = without_unit_axes(view, name)
    layer = view.layer(inner)
    if isinstance(layer, Reciprocal):
        return _if_aligned(view, name, x, _length(view, view.source(inner)))
    below = view.source(inner) if inner in view.nodes else ""
    if isinstance(layer, Sqrt) and isinstance(view.layer(below), Reciprocal):
        below = view.source(below)
    elif not (isinstance(layer, Pow) and number(layer.exponent) == -0.5):
        return None
    variance = statistic(view, below)
    return None if variance is None else _if_aligned(view, name, x, Length(variance))


def _if_aligned(view: GraphView, name: str, x: str, divisor: Length | None) -> Length | None:
    return divisor if divisor is not None and is_aligned(view, name, x, divisor.of.axes) else None


def _length(view: GraphView, name: str) -> Length | None:
    inner, floor = split_floor(view, without_unit_axes(view, name))
    for weight, outside, base in view.affine(without_unit_axes(view, inner)):
        root = view.layer(base)
        if weight > 0 and outside >= 0 and (isinstance(root, Sqrt) or (isinstance(root, Pow) and number(root.exponent) == 0.5)):
            variance = statistic(view, view.source(base))
            return None if variance is None else Length(variance.times(weight**2), outside, floor)  # w √v is √(w² v)
    return None


def without_unit_axes(view: GraphView, name: str) -> str:
    """The node below layers that repeat, add or drop axes of extent 1."""
    name = without_expand(view, name)
    for _ in range(DEPTH):
        moves = isinstance(view.layer(name), (Reshape, Flatten))
        if not moves or _extents(view.shapes[name]) != _extents(view.shapes[view.source(name)]):
            return name
        name = view.source(name)
    return name


def split_floor(view: GraphView, name: str) -> tuple[str, float]:
    """The node b and the number f of max(b, f), which may be repeated; f is 0 where a node is no such maximum."""
    name = without_expand(view, name)
    layer = view.layer(name)
    if isinstance(layer, Clip) and layer.low is not None and layer.high is None and layer.low > 0:
        return without_expand(view, view.source(name)), float(layer.low)
    return name, 0.0
