"""The reference's algebra, fused: z reused, z and z^q in one product, the factor q = a/(z + e) kept from the forward pass.

With the message c of R = a·c, a linear layer's quotient is s = R/(z + e) = c·q: no division and no second forward pass on the way
back, and what is handed on is c again, c_j = Σ_k w_jk s_k. Only floats; rationals take the reference step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Literal, NamedTuple, Protocol

import numpy as np

from ...arrays import Array, Shape, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.base import Linear
from ...layers.conv import Conv, ConvTranspose
from ...layers.linear import Add, Dense, Mean, Scale, Subtract
from ...layers.pooling import AvgPool, GlobalAvgPool, GlobalSumPool, SumPool
from ...layers.shape import Upsample
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Booking, Entry, OpenEntry
from ...messages import SYMBOLS, MessageKind
from ...network.model import Node
from ...rules import LinearRule
from ...rules.shares import book
from ...step import BaseStep, Handed, PlanContext
from .matrix_products import adjoints, maps
from .oddities import Definition, Oddity, noted
from .pass_through import PASS
from .passes import LINEAR, LinearPasses, folded
from .prepared import StackedLayer, prepared

#: The linear layers whose offset does not depend on the rank of their input (a batch norm's does).
_LINEAR = (
    *(Dense, Conv, ConvTranspose, Scale, Add, Subtract, Mean, Upsample),
    *(SumPool, AvgPool, GlobalSumPool, GlobalAvgPool),
)


class Factory(Protocol):
    """What makes the step of a linear layer: `FusedLinear`, or a backend's own."""

    def __call__(
        self,
        nodes: tuple[Node, ...],
        rule: LinearRule,
        prepare: Callable[[bool], StackedLayer | None],
        *,
        with_ledger: bool,
        before_maximum: bool = ...,
        stand_in: Linear | None = ...,
    ) -> FusedLinear:
        """The step."""


def step_for(context: PlanContext, node: Node, make: Factory | None = None) -> FusedLinear | None:
    """The step for a linear layer (and perhaps the ReLU behind it) whose rule's features are its inputs; None for others."""
    model, layer, rule = context.model, node.layer, context.rules[node.name]
    # Layers and rules are known by their exact class: a subclass may compute something else.
    if type(layer) not in _LINEAR or not isinstance(rule, LinearRule):
        return None
    behind = context.activation_behind(node)
    nonnegative = tuple(name in context.nonnegative for name in node.inputs)

    def prepare(relu_follows: bool) -> StackedLayer | None:
        return prepared(model, node, rule, nonnegative, relu_follows)

    if prepare(behind is not None) is None:
        return None
    nodes = (node,) if behind is None else (node, behind)
    maximum = node.name in context.before_maxima
    return (make or FusedLinear)(nodes, rule, prepare, with_ledger=context.with_ledger, before_maximum=maximum)


class LedgerInputs(NamedTuple):
    """What the accounts of a linear layer are made from."""

    inputs: tuple[Array, ...]
    z: Array
    output: Array


class SavedLinear(NamedTuple):
    """What the way back of a linear layer needs.

    Attributes
    ----------
    layer : the layer under its rule
    factors : for each share what a message is multiplied with (c) or divided by (R), (N, …)
    shapes : of the inputs
    ledger_inputs : None without a ledger
    oddity : what is odd about the denominators; None: nothing
    """

    layer: StackedLayer
    factors: list[Array]
    shapes: tuple[Shape, ...]
    ledger_inputs: LedgerInputs | None
    oddity: Oddity | None


@lazy_dataclass(frozen=True, eq=False)
class FusedLinear(BaseStep[SavedLinear]):
    """A linear layer under a rule whose features are its inputs, with the ReLU behind it.

    Attributes
    ----------
    prepare : the layer under its rule; the argument says whether shares for z < 0 alone are left out
    passes : the backend's functions
    before_maximum : whether equal windows need equal numbers
    stand_in : the linear layer where it is not the node's own, but stands in for a maximum
    """

    rule: LinearRule
    prepare: Callable[[bool], StackedLayer | None]
    passes: LinearPasses = LINEAR
    before_maximum: bool = False
    stand_in: Linear | None = None

    accepts_quotient = True

    @property
    def emits(self) -> MessageKind:
        return "ratio"

    @property
    def backend(self) -> str:
        return self.passes.backend

    @property
    def label(self) -> str:
        return f"{self.backend}, {self.passes.how}, {SYMBOLS[self.takes]} → c"

    @property
    def share_count(self) -> int:
        return len(self.prepared.shares)

    @property
    def columns(self) -> Literal["all", "block", "none"]:
        return "block" if isinstance(self.layer, Conv) else "all"

    @property
    def prepared(self) -> StackedLayer:
        """The shares that can take anything of what arrives: with c at a ReLU, R = a·c is 0 where z < 0."""
        stacked = self.prepare(self.takes == "ratio" and self.relu_follows)
        assert stacked is not None
        return stacked

    @cached_property
    def layer(self) -> Linear:
        """The linear layer that the step serves."""
        layer = self.nodes[0].layer if self.stand_in is None else self.stand_in
        assert isinstance(layer, Linear)
        return layer

    @property
    def relu_follows(self) -> bool:
        """Whether the step serves the ReLU behind the layer as well."""
        return len(self.nodes) == 2

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedLinear]:
        try:
            self.layer.shape(*(a.shape for a in inputs))
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        stacked = self.prepared
        z, bottoms = self.products(stacked, inputs)
        output = np.maximum(z, like(0, z)) if self.relu_follows else z
        return output, self.saved(stacked, inputs, z, output, bottoms)

    def saved(self, layer: StackedLayer, inputs: tuple[Array, ...], z: Array, output: Array, bottoms: list[Array]) -> SavedLinear:
        """What the way back needs, from the pre-activation, the output, and the shares' denominators."""
        made = [
            self.passes.factor(s, bottom, z, output, self.takes, self.relu_follows)
            for s, bottom in zip(layer.shares, bottoms, strict=True)
        ]
        odd = noted(reduce(or_, (kinds for _, kinds in made), 0), inputs, output)
        return self.saved_of(layer, [factor for factor, _ in made], inputs, z, output, odd)

    def saved_of(
        self,
        layer: StackedLayer,
        factors: list[Array],
        inputs: tuple[Array, ...],
        z: Array,
        output: Array,
        oddity: Oddity | None,
    ) -> SavedLinear:
        """What the way back needs, from the shares' factors."""
        ledger_inputs = LedgerInputs(inputs, z, output) if self.with_ledger else None
        return SavedLinear(layer, factors, tuple(a.shape for a in inputs), ledger_inputs, oddity)

    def products(self, stacked: StackedLayer, inputs: tuple[Array, ...]) -> tuple[Array, list[Array]]:
        """The pre-activation, and each share's denominators without their stabiliser."""
        layer = self.layer
        extra = [s for s in stacked.shares if not s.is_preactivation and s.weighted]
        if stacked.forward is not None:
            assert isinstance(layer, (Dense, Conv))
            z, *products = maps(layer, inputs[0], stacked.forward, 1 + len(extra))
            if self.before_maximum:
                layer.settle(inputs[0], z)
        else:
            z = self._total(inputs, stacked.weights)
            products = [self._total(inputs, s.weights) for s in extra]
        if stacked.bias is not None:
            z += stacked.bias
        rest = iter(products)
        bottoms = []
        for share in stacked.shares:
            bottom = z if share.is_preactivation else next(rest) if share.weighted else np.zeros_like(z)
            if not share.is_preactivation and share.bias is not None:
                bottom += share.bias
            bottoms.append(bottom)
        return z, bottoms

    def _total(self, inputs: tuple[Array, ...], weights: tuple[Array | None, ...]) -> Array:
        return self.passes.total(self.layer, inputs, weights, self.before_maximum)

    def relevance(self, saved: SavedLinear, message: Array) -> Handed:
        messages = None if saved.oddity is None else self._settled(saved.oddity, saved, message)
        if messages is None:
            messages = self.messages(saved.layer, saved.factors, saved.shapes, message)
        return messages, self._entries(saved.ledger_inputs, message, messages)

    @cached_property
    def definition(self) -> Definition:
        """What says what becomes of denominators out of range."""
        return Definition(self.rule, self.layer, self.nodes[0].title)

    def _settled(self, oddity: Oddity, saved: SavedLinear, message: Array) -> tuple[Array, ...] | None:
        shares = [(factor, float(share.coefficient)) for factor, share in zip(saved.factors, saved.layer.shares, strict=True)]
        return self.definition.settled(oddity, shares, message, self.takes, self.emits)

    def messages(
        self, stacked: StackedLayer, factors: list[Array], shapes: tuple[Shape, ...], message: Array
    ) -> tuple[Array, ...]:
        """The messages below."""
        quotients = [folded(self.passes.quotient(message, factor, self.takes)) for factor in factors]
        targets = message.shape[1]
        return tuple(
            self._adjoint(stacked, i, quotients, (shape[0] * targets, *shape[1:])).reshape(shape[0], targets, *shape[1:])
            for i, shape in enumerate(shapes)
        )

    def _adjoint(self, stacked: StackedLayer, i: int, quotients: list[Array], shape: Shape) -> Array:
        pairs = [(s, w) for s, share in zip(quotients, stacked.shares, strict=True) if (w := share.weights[i]) is not None]
        if stacked.backward is not None:
            assert isinstance(self.layer, (Dense, Conv))
            return adjoints(self.layer, [s for s, _ in pairs], stacked.backward, shape)
        return self.passes.adjoint(self.layer, pairs, shape) if pairs else np.zeros(shape, stacked.weights[0].dtype)

    def _entries(
        self, ledger_inputs: LedgerInputs | None, message: Array, messages: tuple[Array, ...]
    ) -> tuple[Entry | OpenEntry, ...]:
        if ledger_inputs is None:
            return ()
        inputs, z, output = ledger_inputs
        relevance = message * output[:, None] if self.takes == "ratio" else message
        lower = tuple(a[:, None] * m for a, m in zip(inputs, messages, strict=True))
        return defined(self.nodes, self.rule, self.layer, inputs, z, relevance, lower)


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
        quotients, unassigned = rule.divided(layer, inputs, z, above)
        linear.append(book(layer, quotients, unassigned, inputs, above, below, flags))
        passed.append(Booking.handed_on(above, (above,)))
    entries: tuple[Entry, ...] = (Entry(nodes[0].name, str(rule), Booking.stacked(linear)),)
    if len(nodes) == 2:
        entries = (Entry(nodes[1].name, PASS, Booking.stacked(passed)), *entries)
    return entries
