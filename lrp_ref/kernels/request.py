"""What a plan asks the kernels for."""

from __future__ import annotations

from collections.abc import Mapping

from ..arrays import Shape
from ..layers.activations import ReLU
from ..means import Means
from ..model import Model, Node
from ..records import dataclass
from ..rules import Pass, Rule


@dataclass(frozen=True, eq=False)
class Request:
    """Steps for the nodes of a model.

    Attributes
    ----------
    model : canonised
    rules : of the nodes that relevance passes
    nonnegative : nodes whose output is never negative
    booked : whether every step makes its bookings
    cuts : nodes and inputs whose relevance is filtered, or given: no run goes across one
    before_maxima : nodes from which a maximum is reached
    shapes : of one sample at each node and input, where they are known
    means : what may be spent
    """

    model: Model
    rules: Mapping[str, Rule]
    nonnegative: frozenset[str]
    booked: bool
    cuts: frozenset[str]
    before_maxima: frozenset[str]
    shapes: Mapping[str, Shape]
    means: Means

    def activation_behind(self, node: Node) -> Node | None:
        """The ReLU that alone reads `node`, if relevance passes through it."""
        readers = self.model.readers(node.name)
        if node.name in self.cuts or len(readers) != 1 or node.name in self.model.outputs or type(readers[0].layer) is not ReLU:
            return None
        return readers[0] if type(self.rules.get(readers[0].name)) is Pass else None
