"""Steps over the C core: the algebra of `kernels/numpy/linear.py`, in products that are finished while they are in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, Exact, Shape, each_target_times, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.base import Linear
from ...layers.conv import Conv, ConvTranspose
from ...layers.linear import Dense
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Entry, OpenEntry
from ...messages import SYMBOLS, MessageKind
from ...network.model import Node
from ...rules import LinearRule, ZBox
from ...rules.denominators import divides
from ...rules.terms import IDENTITY, NEGATIVE, NEGATIVE_ONLY, POSITIVE, Feature
from ...step import BaseStep, Handed, PlanContext
from ..numpy.linear import defined
from ..numpy.oddities import Definition, Oddity, kinds_of, noted
from ..numpy.pass_through import PASS
from .native import _core
from .packed import Rows, Sizes, cells_last, channels_first, channels_turned, least_size
from .prepared import ConvAlgorithm, PackedLayer, conv_algorithm, packed_key, prepared, sizes, supported_features

_PRODUCTS = (Dense, Conv, ConvTranspose)


def step_for(context: PlanContext, node: Node) -> Compiled | None:
    """The step for a layer of matrix products (and perhaps the ReLU behind it) under a rule for linear layers; else None."""
    model, layer, rule, resources = context.model, node.layer, context.rules[node.name], context.resources
    served = isinstance(layer, Linear) and type(layer) in _PRODUCTS
    if not served or not isinstance(rule, LinearRule) or type(rule).__hash__ is None:
        return None
    nonnegative = node.inputs[0] in context.nonnegative
    supported = supported_features(model, node, rule, nonnegative)
    if supported is None:
        return None
    features, emits_quotient, even = supported
    assert isinstance(layer, Linear)
    choice = conv_algorithm(layer, context.shapes.get(node.inputs[0]), context.shapes.get(node.name), resources, model.dtype)
    if node.name in context.before_maxima:
        choice = replace(choice, ties=even, upward=choice.upward if even else _core.DIRECT)

    keys = {follows: packed_key(node, rule, nonnegative, follows, choice) for follows in (False, True)}

    def prepare(relu_follows: bool) -> PackedLayer:
        return prepared(model, keys[relu_follows], node, rule, nonnegative, relu_follows, choice, resources.threads)

    def prepare_sizes(relu_follows: bool) -> Sizes:
        return sizes(model, node, rule, nonnegative, relu_follows, choice, resources.threads)

    behind = context.activation_behind(node)
    return Compiled(
        (node,) if behind is None else (node, behind),
        rule,
        prepare,
        features,
        choice,
        resources.threads,
        emits_quotient,
        prepare_sizes,
        nonnegative,
        with_ledger=context.with_ledger,
    )


class LedgerInputs(NamedTuple):
    """The output, and each share's ε of each sample, where a stabiliser needs the whole sample."""

    output: Array
    spent: list[Array | None]


class SavedProduct(NamedTuple):
    """What the way back of a layer of products needs.

    Attributes
    ----------
    layer : the layer under its rule
    factors : for each share what a message is multiplied with (c) or divided by (R), channels last
    shape : of the input
    input : where the way back reads it
    ledger_inputs : None without a ledger
    oddity : what is odd about the denominators; None: nothing
    """

    layer: PackedLayer
    factors: list[Array]
    shape: Shape
    input: Array | None
    ledger_inputs: LedgerInputs | None
    oddity: Oddity | None


@lazy_dataclass(frozen=True, eq=False)
class Compiled(BaseStep[SavedProduct]):
    """Dense, convolution or transposed convolution under a rule for linear layers, with the ReLU behind it.

    Attributes
    ----------
    prepare : the layer under its rule; the argument says whether shares for z < 0 alone are left out
    features : of the input, that the rule uses
    emits_quotient : whether the messages below can be c
    sizes : of a convolution's terms, for the ledger
    nonnegative : whether the input is never negative
    """

    rule: LinearRule
    prepare: Callable[[bool], PackedLayer]
    features: tuple[Feature, ...]
    choice: ConvAlgorithm
    threads: int
    emits_quotient: bool
    sizes: Callable[[bool], Sizes]
    nonnegative: bool

    accepts_quotient = True
    backend = "compiled"
    columns = "none"

    @cached_property
    def emits(self) -> MessageKind:
        return "ratio" if self.emits_quotient else "relevance"

    @property
    def label(self) -> str:
        how = "" if self.dense else f"{self.choice}, "
        return f"compiled, {how}{SYMBOLS[self.takes]} → {SYMBOLS[self.emits]}"

    @property
    def share_count(self) -> int:
        return len(self.prepared.shares)

    @property
    def prepared(self) -> PackedLayer:
        """What the step computes with: with c at a ReLU, R = a·c is 0 where z < 0, and shares for those are left out."""
        return self.prepare(self.takes == "ratio" and self.relu_follows)

    @cached_property
    def layer(self) -> Linear:
        """The linear layer that the step serves."""
        layer = self.nodes[0].layer
        assert isinstance(layer, Linear)
        return layer

    @cached_property
    def dense(self) -> bool:
        """Whether the layer is Dense, with the channels last in the first place."""
        return isinstance(self.layer, Dense)

    @cached_property
    def checks(self) -> bool:
        """Whether the rule validates its input (only ZBox, against its bounds)."""
        return isinstance(self.rule, ZBox)

    @cached_property
    def keeps_nonfinite(self) -> bool:
        """Whether NaN and infinity in a message always reach the result: not of Dense, which skips columns where a = 0."""
        return not self.dense

    def _last(self, x: Array, axis: int = 1) -> Array:
        """Channels last, as the core takes them; a Dense layer has them there in the first place."""
        return np.ascontiguousarray(x) if self.dense else cells_last(x, axis)

    def _first(self, x: Array, axis: int = 1) -> Array:
        return x if self.dense else channels_first(x, axis)

    @cached_property
    def relu_follows(self) -> bool:
        """Whether the step serves the ReLU behind the layer as well."""
        return len(self.nodes) == 2

    @property
    def writes_into_slice(self) -> bool:
        """Whether the output can go into a slice of another."""
        return not self.dense

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedProduct]:
        packed, (a,) = self.prepared, inputs
        if self.checks:
            try:
                self.rule.check(a)  # type: ignore[attr-defined]
            except LrpError as error:
                raise error.at(self.nodes[0].title) from None
        x = self._last(a)
        spent: list[Array | None] = []
        if packed.relative:
            output, factors, odd, spent = self._finished(packed, packed.products.forward(x, None, self.threads))
        elif isinstance(packed.products, Rows):
            output, factors, odd = packed.products.forward(x, self._epilogue(packed), self.threads)
        else:
            slice_view = None if into is None else channels_turned(into)
            output, factors, odd = packed.products.forward(x, self._epilogue(packed), self.threads, slice_view)
        output = self._first(output)
        # R = a·c is 0 wherever a = 0, so a dense layer skips those columns of c: behind a ReLU about half of the weight.
        needed = a if self.with_ledger or self.weighs or (self.emits_quotient and self.dense) else None
        ledger_inputs = LedgerInputs(output, spent) if self.with_ledger else None
        return output, SavedProduct(packed, factors, a.shape, needed, ledger_inputs, noted(odd, inputs, output))

    def _epilogue(self, packed: PackedLayer) -> Any:
        return packed.usual[self.relu_follows, self.takes == "ratio"]

    def _finished(self, packed: PackedLayer, products: list[Array]) -> tuple[Array, list[Array], int, list[Array | None]]:
        """Output, factors, what is odd, and each share's ε of each sample, where a stabiliser needs the whole sample."""
        plain = packed.epilogue((), False, False)
        z = self._first(_core.epilogue(plain, products[:1], self.threads)[0])
        output = _core.epilogue(packed.epilogue((), self.relu_follows, True), products[:1], self.threads)[0]
        by_share = [self._factor(packed, position, products, z, self._first(output)) for position in range(len(packed.shares))]
        factors, kinds, spent = (list(column) for column in zip(*by_share, strict=True)) if by_share else ([], [], [])
        return output, factors, reduce(or_, kinds, 0), spent

    def _factor(
        self, packed: PackedLayer, position: int, products: list[Array], z: Array, output: Array
    ) -> tuple[Array, int, Array | None]:
        """A share's factor, what is odd about its denominators, and its ε of each sample where that is its own."""
        column = packed.shares[position]
        share = column.share
        bottom = z
        if not column.plain:
            bottom = self._first(products[packed.product_of[position]]) if position in packed.product_of else np.zeros_like(z)
            bottom = bottom if share.bias is None else bottom + share.bias
        spent = None
        if not isinstance(share.stabiliser, Exact):
            e = share.stabiliser(np.ascontiguousarray(bottom))
            spent = abs(e.reshape(len(z), -1)[:, :1]).sum(axis=1, dtype=np.float64) if e.ndim else None
            bottom = bottom + e
        served = np.broadcast_to(share.where(z), z.shape)
        odd = kinds_of(bottom, served & (output != 0) if self.takes == "ratio" else served)
        bottom, coefficient = np.where(divides(bottom) & served, bottom, like(np.inf, bottom)), like(share.coefficient, z)
        return self._last(coefficient * output / bottom if self.takes == "ratio" else bottom / coefficient), odd, spent

    @cached_property
    def weighs(self) -> bool:
        """Whether the way down needs the input."""
        return any(feature is not IDENTITY for feature in self.features)

    def relevance(self, saved: SavedProduct, message: Array) -> Handed:
        packed, factors, shape, a, ledger_inputs, odd = saved
        defined_messages = None if odd is None else self._settled(odd, packed, factors, message)
        if defined_messages is not None:
            return defined_messages, self._defined_entries(a, message, defined_messages[0]) if self.with_ledger else ()
        cells = self._last(message, 2)
        below = self._messages_below(packed, factors, shape, a, cells)
        return (below,), self._entries(packed, factors, ledger_inputs, a, cells)

    @cached_property
    def definition(self) -> Definition:
        """What says what becomes of denominators out of range."""
        return Definition(self.rule, self.layer, self.nodes[0].title, partial(least_size, threads=self.threads))

    def _settled(self, odd: Oddity, packed: PackedLayer, factors: list[Array], message: Array) -> tuple[Array, ...] | None:
        coefficients = [float(column.share.coefficient) for column in packed.shares]
        shares = [(self._first(factor), coefficient) for factor, coefficient in zip(factors, coefficients, strict=True)]
        return self.definition.settled(odd, shares, message, self.takes, self.emits)

    def _defined_entries(self, a: Array | None, message: Array, below: Array) -> tuple[Entry, ...]:
        """What the definition accounts for."""
        assert a is not None
        lower = each_target_times(below, a) if self.emits_quotient else below
        z = self.layer.forward(a)
        output = np.maximum(z, like(0, z)) if self.relu_follows else z
        relevance = each_target_times(message, output) if self.takes == "ratio" else message
        return defined(self.nodes, self.rule, self.layer, (a,), z, relevance, (lower,))

    def _messages_below(self, packed: PackedLayer, factors: list[Array], shape: Shape, a: Array | None, cells: Array) -> Array:
        """The message below, from one with its channels last."""
        targets = cells.shape[1]
        lower = (shape[0] * targets, *shape[1:])
        products = packed.products.backward(cells, self.takes, factors, lower, a if self.emits_quotient else None, self.threads)
        if self.emits_quotient and packed.features == (POSITIVE, NEGATIVE):  # where a = 0 any c serves, for R = a·c
            assert a is not None
            yes, no = (p.reshape(lower[0], *p.shape[2:]) for p in products)
            chosen = _core.choose(self._last(a), yes, no, self.threads)
            return self._first(chosen.reshape(products[0].shape), 2)
        features_first = [self._first(p, 2) for p in products]
        return self._lower(packed, features_first, a, (shape[0], targets, *shape[1:]))

    def _lower(self, packed: PackedLayer, products: list[Array], a: Array | None, shape: Shape) -> Array:
        """c, or R = Σ_f f(a)·part, from what comes down for each feature."""
        if not products:
            return np.zeros(shape, self.nodes[0].layer.parameters["weight"].dtype)
        if not self.weighs:
            return products[0]
        assert a is not None
        lower = None
        for feature, p in zip(packed.features, products, strict=True):
            if self.emits_quotient:
                sign = a[:, None] > 0 if feature is POSITIVE else a[:, None] < 0
                term = p if feature is IDENTITY else np.where(sign, p, like(0, p))
            else:
                term = feature(a)[:, None] * p
            lower = term if lower is None else lower + term
        assert lower is not None
        return lower

    def _entries(
        self, packed: PackedLayer, factors: list[Array], ledger_inputs: LedgerInputs | None, a: Array | None, cells: Array
    ) -> tuple[OpenEntry, ...]:
        if ledger_inputs is None:
            return ()
        assert a is not None
        output, spent = ledger_inputs
        quotient = self.takes == "ratio"
        core, spent = packed.accounting[quotient], spent or [None] * len(packed.shares)
        shown = self._last(output) if quotient or not self.relu_follows else None
        columns = core(cells, shown, factors, spent, self._sizes(packed, a), self.threads)
        flags = () if self.nonnegative else self.rule.flags((a,))
        account = OpenEntry(self.nodes[0].name, self.rule_name, columns, flags)
        return (OpenEntry(self.nodes[1].name, PASS), account) if self.relu_follows else (account,)

    def _sizes(self, packed: PackedLayer, a: Array) -> list[Array | None]:
        """For each share the sizes of its denominators, where they take a product of their own."""
        asked = packed.sizes[self.relu_follows, self.takes == "ratio"]
        if self.checks and not self.rule.bounds.contains(a):  # type: ignore[attr-defined]
            asked = tuple(range(len(packed.size_methods)))
        if not asked:
            return [None] * len(packed.size_methods)
        if any(packed.size_methods[position] is None for position in asked) or self.checks:
            return self._defined(packed, a)
        x = self._last(a)
        if isinstance(packed.products, Rows):
            terms = [method.terms if method is not None and i in asked else () for i, method in enumerate(packed.size_methods)]
            return packed.products.sizes(x, terms, self.threads)
        return self.sizes(self.takes == "ratio" and self.relu_follows)(x, asked, self.threads)

    def _defined(self, packed: PackedLayer, a: Array) -> list[Array | None]:
        """The sizes by their definition, with what no product was made ready for."""
        bias = None if packed.bias is None else like(packed.bias, a)
        shares = self.rule.shares(like(self.layer.weights[0], a), bias)
        served = [s for s in shares if len(packed.shares) == len(shares) or s.where is not NEGATIVE_ONLY]
        magnitudes = [sum(self.layer.map_absolute(t.feature(a), t.weight) for t in share.terms) for share in served]
        return [self._last(np.asarray(size)) for size in magnitudes]
