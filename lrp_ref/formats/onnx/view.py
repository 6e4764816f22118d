"""A model's nodes while patterns are looked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ...arrays import Array
from ...layers import Multiply, Scale
from ...layers.base import Layer
from ...model import Node

Match: TypeAlias = tuple[Layer, tuple[str, ...]] | None
#: How far a pattern looks below a node: exporters write short chains, and a file may hold long ones.
DEPTH = 6


@dataclass
class View:
    """A model's nodes while patterns are looked for, with how often each is read and how many axes it has."""

    nodes: dict[str, Node]
    outputs: frozenset[str]
    reads: Counter[str]
    ranks: dict[str, int]

    def replace(self, name: str, layer: Layer, inputs: tuple[str, ...]) -> None:
        """Another layer under the same name; what nobody reads any more goes."""
        old = list(self.nodes[name].inputs)
        self.nodes[name] = Node(name, layer, inputs)
        self.reads.update(inputs)
        while old:
            source = old.pop()
            self.reads[source] -= 1
            if not self.reads[source] and source in self.nodes and source not in self.outputs:
                old += self.nodes.pop(source).inputs

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

    def affine(self, name: str) -> Iterator[tuple[float, float, str]]:
        """Every (w, b, base) with `name` = w·base + b for numbers w and b: `name` itself, and what lies below its scalar Scales."""  # noqa: E501
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
        """Every (w, base) with `name` = w·base."""
        return ((weight, base) for weight, bias, base in self.affine(name) if bias == 0)

    def is_multiple(self, name: str, factor: float, base: str) -> bool:
        """Whether `name` = factor·base."""
        return any(found == base and close(weight, factor) for weight, found in self.multiples(name))


def number(array: Array) -> float | None:
    """The only number of an array, None where it holds several."""
    return float(array.reshape(-1)[0]) if array.size == 1 else None


def close(a: float, b: float) -> bool:
    """Whether two numbers are the same constant, as files write it."""
    # Constants in a file are rounded to float32, or typed with a few digits: √(2/π) as 0.7979.
    return math.isclose(a, b, rel_tol=1e-4)
