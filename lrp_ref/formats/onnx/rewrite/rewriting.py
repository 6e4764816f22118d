"""A model's nodes while patterns are looked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ....arrays import Array, Shape
from ....layers import Multiply, Scale
from ....layers.base import Layer
from ....network.model import Node

Match: TypeAlias = tuple[Layer, tuple[str, ...]] | None
#: How far a pattern looks below a node: exporters write short chains, and a file may hold long ones.
DEPTH = 6


@dataclass
class GraphView:
    """A model's nodes while patterns are looked for, with how often each is read, and its shape for a batch of one sample."""

    nodes: dict[str, Node]
    outputs: frozenset[str]
    reads: Counter[str]
    shapes: dict[str, Shape]

    def replace(self, name: str, layer: Layer, inputs: tuple[str, ...]) -> None:
        """Put another layer under a node's name, and drop the nodes that nobody reads any more."""
        old = list(self.nodes[name].inputs)
        self.nodes[name] = Node(name, layer, inputs)
        self.reads.update(inputs)
        while old:
            source = old.pop()
            self.reads[source] -= 1
            if not self.reads[source] and source in self.nodes and source not in self.outputs:
                old += self.nodes.pop(source).inputs

    def insert(self, name: str, layer: Layer, inputs: tuple[str, ...]) -> str:
        """Add a node; returns its name, which is `name` or that with a number."""
        free_name, count = name, 1
        while free_name in self.shapes:
            count += 1
            free_name = f"{name}_{count}"
        self.nodes[free_name] = Node(free_name, layer, inputs)
        self.shapes[free_name] = layer.shape(*(self.shapes[source] for source in inputs))
        self.reads.update(inputs)
        return free_name

    def rank(self, name: str) -> int:
        """The number of a node's axes."""
        return len(self.shapes[name])

    def layer(self, name: str) -> Layer | None:
        """The layer of a node, None for an input of the model."""
        return self.nodes[name].layer if name in self.nodes else None

    def source(self, name: str) -> str:
        """The first input of a node."""
        return self.nodes[name].inputs[0]

    def private(self, name: str) -> bool:
        """Whether a node is read once and is no output."""
        return self.reads[name] == 1 and name not in self.outputs

    def is_product(self, name: str) -> bool:
        """Whether a node multiplies two signals."""
        layer = self.layer(name)
        return isinstance(layer, Multiply) and layer.constant is None

    def same(self, first: str, second: str, depth: int = DEPTH) -> bool:
        """Whether two nodes compute the same: one node, or equal layers on the same inputs. Files compute a mean twice."""
        if first == second:
            return True
        one, other = self.nodes.get(first), self.nodes.get(second)
        if one is None or other is None or not depth or repr(one.layer) != repr(other.layer):
            return False
        mine, theirs = one.layer.parameters, other.layer.parameters
        return (
            len(one.inputs) == len(other.inputs)
            and mine.keys() == theirs.keys()
            and all(np.array_equal(value, theirs[key]) for key, value in mine.items())
            and all(self.same(a, b, depth - 1) for a, b in zip(one.inputs, other.inputs, strict=True))
        )

    def affine(self, name: str) -> Iterator[tuple[float, float, str]]:
        """Every (w, b, base) with `name` = w·base + b for numbers w, b: the node itself, and those below its scalar Scales."""
        weight, bias = 1.0, 0.0
        yield weight, bias, name
        for _ in range(DEPTH):
            layer = self.layer(name)
            if not isinstance(layer, Scale):
                return
            shift = 0.0 if layer.bias is None else number(layer.bias)
            factor = number(layer.weight)
            if factor is None or shift is None:
                return
            weight, bias, name = weight * factor, weight * shift + bias, self.source(name)
            yield weight, bias, name

    def multiples(self, name: str) -> Iterator[tuple[float, str]]:
        """Every pair (w, base) with `name` = w·base."""
        return ((weight, base) for weight, bias, base in self.affine(name) if bias == 0)

    def is_multiple(self, name: str, factor: float, base: str) -> bool:
        """Whether `name` = factor·base."""
        return any(multiple_of == base and close(weight, factor) for weight, multiple_of in self.multiples(name))


def number(array: Array) -> float | None:
    """The number that all entries of an array are, None where they differ."""
    return float(array.flat[0]) if array.size and (array.size == 1 or (array == array.flat[0]).all()) else None


def shortest(value: float) -> float:
    """The shortest decimal that stands for a float32 number: 0.3 for 0.30000001192."""
    decimal = float(str(np.float32(value)))
    return decimal if np.float32(decimal) == value or decimal == value else value


def close(a: float, b: float) -> bool:
    """Whether two numbers are the same constant, as files write it."""
    # Constants in a file are rounded to float32, or typed with a few digits: √(2/π) as 0.7979.
    return math.isclose(a, b, rel_tol=1e-4)
