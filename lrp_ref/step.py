"""What a plan asks the kernels for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .arrays import Shape
from .forks import cached_property
from .layers.activations import ReLU
from .layers.base import Layer, Linear, Recurrent
from .layers.merge import Multiply
from .layers.normalization import BatchNorm
from .layers.pooling import Selecting
from .lazy_dataclass import lazy_dataclass
from .network.model import Model, Node
from .resources import Resources
from .rules import Gradient, Pass, Rule, SignalTakesAll, ThroughTime, WinnerTakesAll, Zero


@lazy_dataclass(frozen=True, eq=False)
class PlanContext:
    """Steps for the nodes of a model.

    Attributes
    ----------
    model : canonised
    rules : of the nodes that relevance passes
    nonnegative : nodes whose output is never negative
    with_ledger : whether every step makes its bookings
    cuts : nodes and inputs whose relevance is filtered, or given: no run goes across one
    before_maxima : nodes from which a maximum is reached
    shapes : of one sample at each node and input, where they are known
    resources : what may be spent
    observed : nodes and inputs whose relevance is looked at
    """

    model: Model
    rules: Mapping[str, Rule]
    nonnegative: frozenset[str]
    with_ledger: bool
    cuts: frozenset[str]
    before_maxima: frozenset[str]
    shapes: Mapping[str, Shape]
    resources: Resources
    observed: frozenset[str] = frozenset()

    @cached_property
    def stand_ins(self) -> PlanContext:
        """The same with rules that move no element otherwise than a derivative does, in the place of all derivatives.

        Other rules are left out: no step of a derivative serves a node of theirs. And no run of a derivative goes across a node
        that is looked at: what arrives at a ReLU is not what arrives below it.
        """
        rules = {name: stand_in(self.model[name].layer) for name, rule in self.rules.items() if type(rule) is Gradient}
        return replace(self, rules=rules, cuts=self.cuts | self.observed)

    def activation_behind(self, node: Node) -> Node | None:
        """The ReLU that alone reads `node`, if relevance passes through it."""
        readers = self.model.readers(node.name)
        if node.name in self.cuts or len(readers) != 1 or node.name in self.model.outputs or type(readers[0].layer) is not ReLU:
            return None
        return readers[0] if type(self.rules.get(readers[0].name)) is Pass else None


def stand_in(layer: Layer) -> Rule:
    """The rule whose step computes the layer's output, and moves relevance along the layer's connections."""
    if isinstance(layer, Linear) and not isinstance(layer, BatchNorm):
        return Zero()
    if isinstance(layer, Selecting):
        return WinnerTakesAll()
    if isinstance(layer, Recurrent):
        return ThroughTime(linear=Zero(), accumulation=Zero())
    return SignalTakesAll() if isinstance(layer, Multiply) else Pass()
