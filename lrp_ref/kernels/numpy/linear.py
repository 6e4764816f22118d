"""The reference's algebra, fused: z reused, z and z^q in one product, the factor q = a/(z + e) kept from the forward pass.

With the message c of R = a·c, a linear layer's quotient is s = R/(z + e) = c·q: no division and no second forward pass on the way
back, and what is handed on is c again, c_j = Σ_k w_jk s_k. Only floats; rationals take the reference step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from ...arrays import Array, Exact, Shape, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.activations import ReLU
from ...layers.base import Linear, Recurrent
from ...layers.conv import Conv, ConvTranspose
from ...layers.linear import Add, Dense, Mean, Scale, Subtract
from ...layers.pooling import AvgPool, GlobalAvgPool, GlobalSumPool, MaxPool, SumPool
from ...layers.shape import Rearrangement, Upsample
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry, OpenEntry
from ...messages import MessageKind
from ...network.model import Node
from ...rules import Gradient, LinearRule, Pass, WinnerTakesAll
from ...rules.denominators import divides, in_range
from ...rules.shares import book
from ...rules.terms import ALL
from ...step import PlanContext
from .oddities import Definition, Oddity, kinds_of, noted
from .passing import PASS, PassThrough, Winners, folded, weighed
from .prepared import Prepared, Reduced, prepared
from .products import adjoints, maps

#: The linear layers whose offset does not depend on the rank of their input (a batch norm's does).
_LINEAR = (
    *(Dense, Conv, ConvTranspose, Scale, Add, Subtract, Mean, Upsample),
    *(SumPool, AvgPool, GlobalSumPool, GlobalAvgPool),
)


def step_for(context: PlanContext, node: Node) -> Any:
    """The fused step for `node` (and perhaps the activation behind it), None where there is none."""
    model, layer, rule, with_ledger = context.model, node.layer, context.rules[node.name], context.with_ledger
    if model.dtype == object:
        return None
    if type(rule) is Gradient:
        from . import derivatives  # over the steps of this module

        return derivatives.step_for(context, node, step_for)
    # Layers and rules are known by their exact class: a subclass may compute something else.
    if type(layer) in _LINEAR and isinstance(rule, LinearRule):
        behind = context.activation_behind(node)
        sure = tuple(name in context.nonnegative for name in node.inputs)

        def prepare(rectified: bool) -> Prepared | None:
            return prepared(model, node, rule, sure, rectified)

        if prepare(behind is not None) is None:
            return None
        nodes = (node,) if behind is None else (node, behind)
        return FusedLinear(nodes, rule, prepare, with_ledger=with_ledger, before_maximum=node.name in context.before_maxima)
    if type(rule) is Pass and (type(layer) is ReLU or isinstance(layer, Rearrangement)):
        return PassThrough((node,), rule, with_ledger=with_ledger)
    if type(layer) is MaxPool and rule == WinnerTakesAll():
        return Winners((node,), rule, with_ledger=with_ledger)
    if isinstance(layer, Recurrent):
        from . import recurrent  # few networks are

        return recurrent.step_for(context, node)
    from . import pooling as maxima  # whose steps build on those of this module

    return maxima.step_for(context, node)


@lazy_dataclass(frozen=True, eq=False)
class FusedLinear:
    """A linear layer under a rule whose features are its inputs, with the ReLU behind it."""

    nodes: tuple[Node, ...]
    rule: LinearRule
    prepare: Callable[[bool], Prepared | None]  # whether shares for z < 0 alone are left out
    takes: MessageKind = "R"
    with_ledger: bool = False
    before_maximum: bool = False  # whether equal windows need equal numbers

    accepts_quotient = True
    emits: MessageKind = "c"

    @property
    def label(self) -> str:
        return f"numpy, fused, {self.takes} → c"

    @property
    def prepared(self) -> Prepared:
        """The shares that can take anything of what arrives: with c at a ReLU, R = a·c is 0 where z < 0."""
        made = self.prepare(self.takes == "c" and len(self.nodes) == 2)
        assert made is not None
        return made

    @property
    def layer(self) -> Linear:
        """The linear layer that the step serves."""
        layer = self.nodes[0].layer
        assert isinstance(layer, Linear)
        return layer

    @cached_property
    def named(self) -> str:
        """The rule, as accounts name it."""
        return str(self.rule)

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        try:
            self.layer.shape(*(a.shape for a in inputs))
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        made = self.prepared
        return self._kept(made, inputs, *self._products(made, inputs))

    def _kept(self, made: Prepared, inputs: tuple[Array, ...], z: Array, bottoms: list[Array]) -> tuple[Array, Any]:
        """The output, and what the way back needs."""
        output = np.maximum(z, like(0, z)) if len(self.nodes) == 2 else z
        return output, self._saved(made, inputs, z, output, bottoms)

    def _saved(self, made: Prepared, inputs: tuple[Array, ...], z: Array, output: Array, bottoms: list[Array]) -> Any:
        """What the way back needs."""
        found = [self._factor(s, bottom, z, output) for s, bottom in zip(made.shares, bottoms, strict=True)]
        odd = noted(reduce(or_, (kinds for _, kinds in found), 0), inputs, output)
        shapes = tuple(a.shape for a in inputs)
        return made, [factor for factor, _ in found], shapes, (inputs, z, output) if self.with_ledger else None, odd

    def _products(self, made: Prepared, inputs: tuple[Array, ...]) -> tuple[Array, list[Array]]:
        """The pre-activation, and each share's denominator without its stabiliser."""
        layer = self.layer
        extra = [s for s in made.shares if not s.plain and s.weighted]
        if made.forward is not None:
            assert isinstance(layer, (Dense, Conv))
            z, *products = maps(layer, inputs[0], made.forward, 1 + len(extra))
            if self.before_maximum:
                layer.settle(inputs[0], z)
        else:
            z = self._total(inputs, made.weights)
            products = [self._total(inputs, s.weights) for s in extra]
        if made.bias is not None:
            z += made.bias
        rest = iter(products)
        bottoms = []
        for share in made.shares:
            bottom = z if share.plain else next(rest) if share.weighted else np.zeros_like(z)
            if not share.plain and share.bias is not None:
                bottom += share.bias
            bottoms.append(bottom)
        return z, bottoms

    def _factor(self, share: Reduced, bottom: Array, z: Array, output: Array) -> tuple[Array, int]:
        """For c the factor λ·a/(z + e), 0 where the share is dead; for R the divisor (z + e)/λ, infinite there. What is odd."""
        if not isinstance(share.stabiliser, Exact):
            bottom = bottom + share.stabiliser(bottom)
        served = None if share.where is ALL or (self.takes == "c" and len(self.nodes) == 2) else share.where(z)
        odd = 0
        inside = in_range(bottom)
        if not inside:
            meets = output != 0 if self.takes == "c" else None  # R = a·c
            odd = kinds_of(bottom, served if meets is None else meets if served is None else meets & served)
        if not inside or served is not None:
            alive = divides(bottom) if served is None else divides(bottom) & served
            # x / ∞ = 0 is what the dead share takes, and keeps the division one plain pass
            bottom = np.where(alive, bottom, like(np.inf, bottom))
        if self.takes == "R":
            return bottom if share.coefficient == 1 else bottom / share.coefficient, odd
        factor = np.divide(output, bottom, out=None if bottom is z else bottom)
        if share.coefficient != 1:
            factor *= share.coefficient
        return factor, odd

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry | OpenEntry, ...]]:
        made, factors, shapes, seen, odd = saved
        messages = None if odd is None else self._settled(odd, made, factors, message)
        if messages is None:
            messages = self._down(made, factors, shapes, message)
        return messages, self._entries(seen, message, messages) if self.with_ledger else ()

    @cached_property
    def definition(self) -> Definition:
        """What says what becomes of denominators out of range."""
        return Definition(self.rule, self.layer, self.nodes[0].place)

    def _settled(self, odd: Oddity, made: Prepared, factors: list[Array], message: Array) -> tuple[Array, ...] | None:
        shares = [(factor, float(share.coefficient)) for factor, share in zip(factors, made.shares, strict=True)]
        return self.definition.settled(odd, shares, message, self.takes, self.emits)

    def _down(self, made: Prepared, factors: list[Array], shapes: tuple[Shape, ...], message: Array) -> tuple[Array, ...]:
        """The messages below."""
        quotients = [folded(self._quotient(message, factor)) for factor in factors]
        targets = message.shape[1]
        return tuple(
            self._adjoint(made, i, quotients, (shape[0] * targets, *shape[1:])).reshape(shape[0], targets, *shape[1:])
            for i, shape in enumerate(shapes)
        )

    def _quotient(self, message: Array, factor: Array) -> Array:
        """s of a share, (N, targets, …)."""
        return weighed(message, factor, self.takes)

    def _adjoint(self, made: Prepared, i: int, quotients: list[Array], shape: Shape) -> Array:
        layer = self.layer
        pairs = [(s, w) for s, share in zip(quotients, made.shares, strict=True) if (w := share.weights[i]) is not None]
        if made.backward is not None:
            assert isinstance(layer, (Dense, Conv))
            return adjoints(layer, [s for s, _ in pairs], made.backward, shape)
        total = np.zeros(shape, made.weights[0].dtype)
        for s, w in pairs:
            total += layer.adjoint(s, w, shape)
        return total

    def _total(self, inputs: tuple[Array, ...], weights: tuple[Array | None, ...]) -> Array:
        """Σ_i map(a_i, w_i)."""
        parts = [self.layer.map(a, w) for a, w in zip(inputs, weights, strict=True) if w is not None]
        return np.asarray(sum(parts[1:], parts[0]))

    def _entries(self, seen: Any, message: Array, messages: tuple[Array, ...]) -> tuple[Entry, ...]:
        inputs, z, output = seen
        whole = message * output[:, None] if self.takes == "c" else message
        lower = tuple(a[:, None] * m for a, m in zip(inputs, messages, strict=True))
        return defined(self.nodes, self.rule, self.layer, inputs, z, whole, lower)


def defined(
    nodes: tuple[Node, ...],
    rule: LinearRule,
    layer: Linear,
    inputs: tuple[Array, ...],
    z: Array,
    relevance: Array,
    lower: tuple[Array, ...],
) -> tuple[Entry, ...]:
    """The entries of a linear layer, and of the activation behind it, by the definition; relevances are (N, targets, …)."""
    linear, passed, flags = [], [], rule.flags(inputs)
    for t in range(relevance.shape[1]):
        above, below = relevance[:, t], tuple(part[:, t] for part in lower)
        found, unassigned = rule.divided(layer, inputs, z, above)
        linear.append(book(layer, found, unassigned, inputs, above, below, flags))
        passed.append(Booking.handed_on(above, (above,)))
    entries: tuple[Entry, ...] = (Entry(nodes[0].name, str(rule), Booking.stacked(linear)),)
    if len(nodes) == 2:
        entries = (Entry(nodes[1].name, PASS, Booking.stacked(passed)), *entries)
    return entries
