"""Which source each element of an output comes from, and what became of it on the way (CONV-HEAD-ELEMENT).

An element is followed through layers that move, copy, scale or complement it, p ↦ w·p + b, and through functions of it alone
that grow with it, or fall. The sources are those that `squash` finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ..arrays import Array, Shape, like
from ..layers.activations import LogSigmoid, LogSoftmax
from ..layers.base import Layer, Linear
from ..layers.linear import Scale
from ..layers.merge import Multiply
from ..layers.normalization import BatchNorm
from ..layers.pooling import Pooling
from ..layers.shape import Rearrangement
from ..lazy_dataclass import lazy_dataclass
from .model import Model, Node
from .squash import Kind, Source, _grows, _keeps_order, shown

#: In place of a source: the element is a constant, or none element alone.
CONSTANT, SEVERAL = -1, -2
#: How far, of its range, a bound may cut a probability without changing what it says: networks clip logarithms at 1e-7.
TOLERANCE = 1e-3
#: At how many numbers a function of a probability is tried, and between which where it is not known what the probability became.
PROBES, UNKNOWN = 17, 32.0


@lazy_dataclass(frozen=True, eq=False)
class Elements:
    """Where the elements of a node's output come from: `weight` · (element `element` of `sources[source]`) + `shift`.

    Behind a function that grows with a probability `weight` says in which direction, and `shift` is not a number; infinite behind
    that of a complement.

    Parameters
    ----------
    source : the index of each element's source, or CONSTANT or SEVERAL, integers (size,)
    element : the index of the element in a sample of the source, integers (size,)
    weight : the factor, (size,)
    shift : what is added, (size,)
    """

    source: Array
    element: Array
    weight: Array
    shift: Array

    @classmethod
    def of(cls, source: int, size: int) -> Elements:
        """The elements of a source itself: each stands for itself, with weight 1 and shift 0.

        Parameters
        ----------
        source : the source's index
        size : how many elements a sample of it has
        """
        return cls(np.full(size, source), np.arange(size), np.ones(size), np.zeros(size))

    def at(self, indices: Array) -> Elements:
        """Some of the elements, in a new order.

        Parameters
        ----------
        indices : indices of elements, of any shape
        """
        return Elements(self.source[indices], self.element[indices], self.weight[indices], self.shift[indices])

    def where(self, mask: Array, others: Elements) -> Elements:
        """These elements where a mask holds, others elsewhere.

        Parameters
        ----------
        mask : truth values, of the elements' shape
        others : as many elements
        """
        mine, theirs = self._columns, others._columns
        return Elements(*(np.where(mask, a, b) for a, b in zip(mine, theirs, strict=True)))

    @property
    def _columns(self) -> tuple[Array, Array, Array, Array]:
        return self.source, self.element, self.weight, self.shift


def _signals(node: Node) -> tuple[int, ...]:
    """Which inputs of a node that puts several together decide what it is: neither a gate nor a condition does."""
    from ..layers.selection import Where

    if isinstance(node.layer, Multiply) and node.layer.signal is not None:
        return (node.layer.signal,)
    return tuple(range(int(isinstance(node.layer, Where)), len(node.inputs)))


class _Survey:
    """The elements of every node between an output and its sources, from below."""

    def __init__(self, model: Model, shapes: Mapping[str, Shape]) -> None:
        self.model, self.shapes = model, shapes
        self.sources: list[Source] = []
        self.elements: dict[str, Elements] = {}

    def size(self, name: str) -> int:
        return int(np.prod(self.shapes[name], dtype=np.int64))

    def add_source(self, source: Source) -> Elements:
        """The elements of a new source."""
        self.sources.append(source)
        return Elements.of(len(self.sources) - 1, self.size(source.node))

    def kinds(self, elements: Elements, kind: Kind) -> Array:
        """Which elements come from a source of this kind."""
        known = np.array([source.kind == kind for source in self.sources] + [False])  # the last is that of constants
        return known[np.maximum(elements.source, CONSTANT)]

    def hand_on(self, node: Node) -> Elements:
        """The elements of a node's output from those of its inputs."""
        layer, below = node.layer, [self.elements[name] for name in node.inputs]
        if isinstance(layer, (Scale, BatchNorm)):
            return self._scaled(node, layer, below[0])
        if isinstance(layer, (Rearrangement, Pooling)) or (isinstance(layer, Linear) and layer.arity == 1):
            return self._picked(node, below)
        if len(below) == 1 and _keeps_order(layer):
            return self._grown(node, below[0])
        return self._joined(node, below)

    def _scaled(self, node: Node, layer: Scale | BatchNorm, below: Elements) -> Elements:
        ones = np.ones(self.shapes[node.inputs[0]])
        weight = np.broadcast_to(layer.map(ones, like(layer.weights[0], ones)), ones.shape).reshape(-1)
        shift = np.asarray(layer.forward(0 * ones)).reshape(-1)
        elements = replace(below, weight=below.weight * weight, shift=below.shift * weight + shift)
        elements = replace(elements, source=np.where(self.kinds(below, "squash") & (weight == 0), CONSTANT, elements.source))
        return self._numbers(node, self.kinds(below, "number"), elements)

    def _numbers(self, node: Node, mask: Array, others: Elements) -> Elements:
        """Numbers of the node's own where `mask` holds, the others elsewhere."""
        return self.add_source(Source(node.name, "number", node.name)).where(mask, others) if mask.any() else others

    def _picked(self, node: Node, below: list[Elements]) -> Elements:
        """What a layer that moves, copies or pools hands on."""
        inputs = Elements(*(np.concatenate(parts) for parts in zip(*(b._columns for b in below), strict=True)))
        shapes = [self.shapes[name] for name in node.inputs]
        picked = picks(node.layer, shapes)
        elements = inputs.at(np.maximum(picked, 0))
        elements = replace(elements, source=np.where(picked == CONSTANT, CONSTANT, elements.source))
        several = picked == SEVERAL
        if not several.any():
            return elements
        numbers = _parted(self.kinds(inputs, "number").astype(np.float64), shapes)
        touched = np.asarray(node.layer.forward(*numbers)).reshape(-1) != 0
        elements = self._combined(node, several & ~touched, elements)
        return self._numbers(node, several & touched, elements)

    def _combined(self, node: Node, mask: Array, others: Elements) -> Elements:
        return self.add_source(Source(node.name, "combined", node.name)).where(mask, others) if mask.any() else others

    def _grown(self, node: Node, below: Elements) -> Elements:
        """Behind a function of each element: a probability where the function grows with it, or falls."""
        squash = self.kinds(below, "squash")
        elements = self._numbers(node, self.kinds(below, "number"), below)
        if not squash.any():
            return elements
        same, span = np.zeros(squash.shape, dtype=bool), np.ones(squash.shape)
        if not _grows(node.layer):
            same, span = _course(lambda z: _applied(node.layer, z, self.shapes[node.inputs[0]]), below)
        plain = np.isnan(below.shift) | (below.shift == 0)
        ends = np.where(squash & (span == 0), CONSTANT, below.source)
        moved = Elements(ends, below.element, np.sign(below.weight) * span, np.where(plain, np.nan, np.inf))
        elements = moved.where(squash & ~same, elements)
        return self._combined(node, squash & ~same & np.isnan(span), elements)

    def _joined(self, node: Node, below: list[Elements]) -> Elements:
        """Several signals element by element: numbers where one of them is, else a combination of probabilities.

        A probability that has a number for its gate, or is chosen by one, is no number.
        """
        shape = self.shapes[node.name]
        size = self.size(node.name)
        numbers = np.zeros(size, dtype=bool)
        signals = _signals(node)
        for index in signals:
            name, elements = node.inputs[index], below[index]
            is_number = self.kinds(elements, "number") | ((elements.source == CONSTANT) & (len(signals) > 1))
            numbers |= np.broadcast_to(is_number.reshape(self.shapes[name]), shape).reshape(-1)
        constants = Elements(np.full(size, CONSTANT), np.zeros(size, dtype=np.intp), np.ones(size), np.zeros(size))
        return self._numbers(node, numbers, self._combined(node, ~numbers, constants))


def _course(function: Callable[[Array], Array], below: Elements) -> tuple[Array, Array]:
    """Where a function leaves elements as they are, and by how much it grows (or falls) with them: NaN where it does neither."""
    known = np.isfinite(below.shift)
    low = np.where(known, np.minimum(below.shift, below.shift + below.weight), -UNKNOWN)
    high = np.where(known, np.maximum(below.shift, below.shift + below.weight), UNKNOWN)
    same, up, down, span = known, np.ones(low.shape, dtype=bool), np.ones(low.shape, dtype=bool), np.zeros(low.shape)
    with np.errstate(all="ignore"):
        last = function(low)
        for t in np.linspace(0, 1, PROBES):
            z = low + t * (high - low)
            value = function(z)
            same = same & (np.abs(value - z) <= TOLERANCE * (high - low))
            up, down, span = up & (value >= last), down & (value <= last), span + (value - last)
            last = value
    return same, np.where(up | down, span, np.nan)


def _applied(layer: Layer, z: Array, shape: Shape) -> Array:
    return np.asarray(layer.forward(z.reshape(shape))).reshape(-1)


def _parted(flat: Array, shapes: list[Shape]) -> list[Array]:
    """One array for each shape, of consecutive numbers."""
    ends = np.cumsum([int(np.prod(shape, dtype=np.int64)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


def picks(layer: Layer, shapes: list[Shape]) -> Array:
    """Which element of its inputs, counted through all of them, each output element of a layer is.

    CONSTANT stands for none, SEVERAL for more than one. The layer is tried on the elements' numbers x, on x² and on −x: a mean or
    maximum of several elements answers one of them otherwise than a copy does.

    Parameters
    ----------
    layer : whose output elements are copies of input elements, or means, sums or maxima of several
    shapes : of its inputs
    """
    size = sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes)
    x = np.arange(1, size + 1, dtype=np.float64)
    one, square, minus, none = (np.asarray(layer.forward(*_parted(probe, shapes))).reshape(-1) for probe in (x, x * x, -x, 0 * x))
    constant = (one == none) & (square == none) & (minus == none)
    copied = (square == one * one) & (minus == -one) & (none == 0) & (one >= 1) & (one <= size) & (one == np.rint(one))
    return np.where(constant, CONSTANT, np.where(copied, one - 1, SEVERAL)).astype(np.intp)


def survey(model: Model, output: str, shapes: Mapping[str, Shape], moves: bool = False) -> tuple[tuple[Source, ...], Elements]:
    """The sources of an output's elements, and which of them each element comes from.

    Parameters
    ----------
    model : the network
    output : a node of it
    shapes : of every input and node, for a batch of one sample
    moves : as for `shown`
    """
    between, ends = shown(model, output, moves)
    tracing = _Survey(model, shapes)
    for source in ends:
        reached = tracing.add_source(source)
        logarithm = source.node in model and isinstance(model[source.node].layer, (LogSigmoid, LogSoftmax))
        tracing.elements[source.node] = replace(reached, shift=reached.shift + np.nan) if logarithm else reached
    for node in between:
        tracing.elements[node.name] = tracing.hand_on(node)
    reached = tracing.elements[output]
    used = [index for index in range(len(tracing.sources)) if (reached.source == index).any()]
    new = np.full(len(tracing.sources) + 1, CONSTANT)
    new[used] = np.arange(len(used))
    return tuple(tracing.sources[index] for index in used), replace(reached, source=new[reached.source])
