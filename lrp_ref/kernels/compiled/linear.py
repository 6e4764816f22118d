"""Steps over the C core: the algebra of `kernels/numpy/linear.py`, in products that are finished while they are in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial, reduce
from operator import or_
from typing import Any

import numpy as np

from ...arrays import Array, Exact, Shape, like
from ...errors import LrpError
from ...forks import cached_property
from ...layers.base import Linear, Recurrent
from ...layers.conv import Conv, ConvTranspose
from ...layers.linear import Dense
from ...lazy_dataclass import lazy_dataclass
from ...ledger import Entry, OpenEntry
from ...messages import MessageKind
from ...network.model import Node
from ...rules import Gradient, LinearRule, ZBox
from ...rules.denominators import divides
from ...rules.terms import IDENTITY, NEGATIVE, NEGATIVE_ONLY, POSITIVE, Feature
from ...step import PlanContext
from ..numpy import linear as fused
from ..numpy.oddities import Definition, Oddity, kinds_of, noted
from ..numpy.passing import PASS, Winners
from ..numpy.pooling import GlobalWinners, Surrogate
from . import elementwise as compiled_elementwise
from . import joined, lookups, moves, norms
from .native import _core
from .packed import Rows, Sizes, cells_last, channels_first, channels_turned, least_size
from .prepared import Choice, Prepared, chosen, outline, prepared, sizes
from .sums import CompiledSum, CompiledSurrogate, CompiledWinners

_PRODUCTS = (Dense, Conv, ConvTranspose)
#: What gives a node a step of this backend, where it is no product: the first that does.
_OTHERS = (joined.step_for, moves.step_for, compiled_elementwise.step_for, norms.step_for, lookups.step_for)
#: NumPy's steps, and those that have their passes in C.
_COMPILED: tuple[tuple[Any, Any], ...] = (
    (fused.FusedLinear, CompiledSum),
    (Winners, CompiledWinners),
    (GlobalWinners, lookups.CompiledGlobalWinners),
    (Surrogate, CompiledSurrogate),
)


def step_for(context: PlanContext, node: Node) -> Any:
    """The compiled step for `node` (and perhaps the activation behind it), else NumPy's, else None."""
    model, layer, rule, resources = context.model, node.layer, context.rules[node.name], context.resources
    if model.dtype == object:
        return None
    if type(rule) is Gradient:
        from . import derivatives as compiled_derivatives  # over the steps of this module

        return compiled_derivatives.step_for(context, node)
    if isinstance(layer, Recurrent):
        from . import recurrent as compiled_recurrent  # few networks are

        return compiled_recurrent.step_for(context, node)
    if (
        isinstance(layer, Linear)
        and type(layer) in _PRODUCTS
        and isinstance(rule, LinearRule)
        and type(rule).__hash__ is not None
    ):
        behind = context.activation_behind(node)
        sure = node.inputs[0] in context.nonnegative
        choice = chosen(layer, context.shapes.get(node.inputs[0]), context.shapes.get(node.name), resources, model.dtype)
        outlined = outline(model, node, rule, sure)
        if outlined is not None:
            features, keeps, even = outlined
            if node.name in context.before_maxima:
                choice = replace(choice, ties=even, upward=choice.upward if even else _core.DIRECT)

            def prepare(rectified: bool) -> Prepared:
                return prepared(model, node, rule, sure, rectified, choice, resources.threads)

            def prepare_sizes(rectified: bool) -> Sizes:
                return sizes(model, node, rule, sure, rectified, choice, resources.threads)

            nodes = (node,) if behind is None else (node, behind)
            with_ledger = context.with_ledger
            return Compiled(
                nodes, rule, prepare, features, choice, resources.threads, keeps, prepare_sizes, sure, with_ledger=with_ledger
            )
    own = next((step for step in (found(context, node) for found in _OTHERS) if step is not None), None)
    return _compiled(context, fused.step_for(context, node)) if own is None else own


def _compiled(context: PlanContext, step: Any) -> Any:
    """NumPy's step, with the passes over windows and the factors in C."""
    threads = context.resources.threads
    for own, compiled in _COMPILED:
        if type(step) is own:
            made = compiled(**{f.name: getattr(step, f.name) for f in fields(step)}, threads=threads)
            sure = all(name in context.nonnegative for name in step.nodes[0].inputs)
            return replace(made, nonnegative=sure) if isinstance(made, CompiledSum) else made
    return step


@lazy_dataclass(frozen=True, eq=False)
class Compiled:
    """Dense, convolution or transposed convolution under a rule for linear layers, with the ReLU behind it."""

    nodes: tuple[Node, ...]
    rule: LinearRule
    prepare: Callable[[bool], Prepared]  # whether shares for z < 0 alone are left out
    features: tuple[Feature, ...]
    choice: Choice
    threads: int
    keeps: bool  # whether what goes down can be c
    sizes: Callable[[bool], Sizes]  # of a convolution
    sure: bool  # whether the input is never negative
    takes: MessageKind = "R"
    with_ledger: bool = False

    accepts_quotient = True

    @cached_property
    def emits(self) -> MessageKind:
        return "c" if self.keeps else "R"

    @property
    def label(self) -> str:
        how = "" if self.dense else f"{self.choice}, "
        return f"compiled, {how}{self.takes} → {self.emits}"

    @property
    def prepared(self) -> Prepared:
        """What the step computes with: with c at a ReLU, R = a·c is 0 where z < 0, and shares for those are left out."""
        return self.prepare(self.takes == "c" and self.rectified)

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
    def named(self) -> str:
        """The rule, as accounts name it."""
        return str(self.rule)

    @cached_property
    def checks(self) -> bool:
        """Whether the rule has something to say about the input."""
        return isinstance(self.rule, ZBox)

    @cached_property
    def keeps_infinite(self) -> bool:
        """Whether what is not finite in a message is not finite below either; a dense layer looks past inputs of 0."""
        return not self.dense

    def _last(self, x: Array, axis: int = 1) -> Array:
        """Channels last, as the core takes them; a Dense layer has them there in the first place."""
        return np.ascontiguousarray(x) if self.dense else cells_last(x, axis)

    def _first(self, x: Array, axis: int = 1) -> Array:
        return x if self.dense else channels_first(x, axis)

    @cached_property
    def rectified(self) -> bool:
        """Whether a ReLU is served as well."""
        return len(self.nodes) == 2

    @property
    def places(self) -> bool:
        """Whether the output can go into a slice of another."""
        return not self.dense

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, Any]:
        made, (a,) = self.prepared, inputs
        if self.checks:
            try:
                self.rule.check(a)  # type: ignore[attr-defined]
            except LrpError as error:
                raise error.at(self.nodes[0].place) from None
        x = self._last(a)
        spent: list[Array | None] = []
        if made.relative:
            output, factors, odd, spent = self._finished(made, made.products.up(x, None, self.threads))
        elif isinstance(made.products, Rows):
            output, factors, odd = made.products.up(x, self._finish(made), self.threads)
        else:
            room = None if into is None else channels_turned(into)
            output, factors, odd = made.products.up(x, self._finish(made), self.threads, room)
        output = self._first(output)
        # A dense layer's c is not looked for where a = 0, for R = a·c: half of the weight is not read behind a ReLU.
        needed = a if self.with_ledger or self.weighs or (self.keeps and self.dense) else None
        return output, (made, factors, a.shape, needed, (output, spent) if self.with_ledger else None, noted(odd, inputs, output))

    def _finish(self, made: Prepared) -> Any:
        return made.usual[self.rectified, self.takes == "c"]

    def _finished(self, made: Prepared, products: list[Array]) -> tuple[Array, list[Array], int, list[Array | None]]:
        """Output, factors, what is odd, and each share's ε of each sample, where a stabiliser needs the whole sample."""
        plain = made.finishing((), False, False)
        z = self._first(_core.epilogue(plain, products[:1], self.threads)[0])
        output = _core.epilogue(made.finishing((), self.rectified, True), products[:1], self.threads)[0]
        found = [self._factor(made, place, products, z, self._first(output)) for place in range(len(made.shares))]
        factors, kinds, spent = (list(column) for column in zip(*found, strict=True)) if found else ([], [], [])
        return output, factors, reduce(or_, kinds, 0), spent

    def _factor(
        self, made: Prepared, place: int, products: list[Array], z: Array, output: Array
    ) -> tuple[Array, int, Array | None]:
        """A share's factor, what is odd about its denominators, and its ε of each sample where that is its own."""
        column = made.shares[place]
        share = column.share
        bottom = z
        if not column.plain:
            bottom = self._first(products[made.places[place]]) if place in made.places else np.zeros_like(z)
            bottom = bottom if share.bias is None else bottom + share.bias
        spent = None
        if not isinstance(share.stabiliser, Exact):
            e = share.stabiliser(np.ascontiguousarray(bottom))
            spent = abs(e.reshape(len(z), -1)[:, :1]).sum(axis=1, dtype=np.float64) if e.ndim else None
            bottom = bottom + e
        served = np.broadcast_to(share.where(z), z.shape)
        odd = kinds_of(bottom, served & (output != 0) if self.takes == "c" else served)
        bottom, coefficient = np.where(divides(bottom) & served, bottom, like(np.inf, bottom)), like(share.coefficient, z)
        return self._last(coefficient * output / bottom if self.takes == "c" else bottom / coefficient), odd, spent

    @cached_property
    def weighs(self) -> bool:
        """Whether the way down needs the input."""
        return any(feature is not IDENTITY for feature in self.features)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry | OpenEntry, ...]]:
        made, factors, shape, a, seen, odd = saved
        own = None if odd is None else self._settled(odd, made, factors, message)
        if own is not None:
            return own, self._defined_entries(a, message, own[0]) if self.with_ledger else ()
        cells = self._last(message, 2)
        below = self._down(made, factors, shape, a, cells)
        return (below,), self._entries(made, factors, seen, a, cells) if self.with_ledger else ()

    @cached_property
    def definition(self) -> Definition:
        """What says what becomes of denominators out of range."""
        return Definition(self.rule, self.layer, self.nodes[0].place, partial(least_size, threads=self.threads))

    def _settled(self, odd: Oddity, made: Prepared, factors: list[Array], message: Array) -> tuple[Array, ...] | None:
        coefficients = [float(column.share.coefficient) for column in made.shares]
        shares = [(self._first(factor), own) for factor, own in zip(factors, coefficients, strict=True)]
        return self.definition.settled(odd, shares, message, self.takes, self.emits)

    def _defined_entries(self, a: Array, message: Array, below: Array) -> tuple[Entry, ...]:
        """What the definition accounts for."""
        lower = a[:, None] * below if self.keeps else below
        z = self.layer.forward(a)
        output = np.maximum(z, like(0, z)) if self.rectified else z
        whole = message * output[:, None] if self.takes == "c" else message
        return fused.defined(self.nodes, self.rule, self.layer, (a,), z, whole, (lower,))

    def _down(self, made: Prepared, factors: list[Array], shape: Shape, a: Array | None, cells: Array) -> Array:
        """The message below, from one with its channels last."""
        targets = cells.shape[1]
        lower = (shape[0] * targets, *shape[1:])
        found = made.products.down(cells, self.takes, factors, lower, a if self.keeps else None, self.threads)
        if self.keeps and made.features == (POSITIVE, NEGATIVE):  # where a = 0 any c serves, for R = a·c
            assert a is not None
            yes, no = (p.reshape(lower[0], *p.shape[2:]) for p in found)
            chosen = _core.choose(self._last(a), yes, no, self.threads)
            return self._first(chosen.reshape(found[0].shape), 2)
        parts = [self._first(p, 2) for p in found]
        return self._lower(made, parts, a, (shape[0], targets, *shape[1:]))

    def _lower(self, made: Prepared, parts: list[Array], a: Array | None, shape: Shape) -> Array:
        """c, or R = Σ_f f(a)·part, from what comes down for each feature."""
        if not parts:
            return np.zeros(shape, self.nodes[0].layer.parameters["weight"].dtype)
        if not self.weighs:
            return parts[0]
        assert a is not None
        found = None
        for feature, p in zip(made.features, parts, strict=True):
            if self.keeps:
                sign = a[:, None] > 0 if feature is POSITIVE else a[:, None] < 0
                term = p if feature is IDENTITY else np.where(sign, p, like(0, p))
            else:
                term = feature(a)[:, None] * p
            found = term if found is None else found + term
        assert found is not None
        return found

    def _entries(self, made: Prepared, factors: list[Array], seen: Any, a: Array, cells: Array) -> tuple[OpenEntry, ...]:
        output, spent = seen
        quotient = self.takes == "c"
        core, spent = made.accounting[quotient], spent or [None] * len(made.shares)
        shown = self._last(output) if quotient or not self.rectified else None
        columns = core(cells, shown, factors, spent, self._sizes(made, a), self.threads)
        flags = () if self.sure else self.rule.flags((a,))
        account = OpenEntry(self.nodes[0].name, self.named, columns, flags)
        return (OpenEntry(self.nodes[1].name, PASS), account) if self.rectified else (account,)

    def _sizes(self, made: Prepared, a: Array) -> list[Array | None]:
        """For each share the sizes of its denominators, where they take a product of their own."""
        asked = made.sizes[self.rectified, self.takes == "c"]
        if self.checks and not self.rule.bounds.contains(a):  # type: ignore[attr-defined]
            asked = tuple(range(len(made.ways)))
        if not asked:
            return [None] * len(made.ways)
        if any(made.ways[place] is None for place in asked) or self.checks:
            return self._defined(made, a)
        x = self._last(a)
        if isinstance(made.products, Rows):
            terms = [way.terms if way is not None and i in asked else () for i, way in enumerate(made.ways)]
            return made.products.sizes(x, terms, self.threads)
        return self.sizes(self.takes == "c" and self.rectified)(x, asked, self.threads)

    def _defined(self, made: Prepared, a: Array) -> list[Array | None]:
        """The sizes by their definition, with what no product was made ready for."""
        bias = None if made.bias is None else like(made.bias, a)
        shares = self.rule.shares(like(self.layer.weights[0], a), bias)
        kept = [s for s in shares if len(made.shares) == len(shares) or s.where is not NEGATIVE_ONLY]
        found = [sum(self.layer.map_absolute(t.feature(a), t.weight) for t in share.terms) for share in kept]
        return [self._last(np.asarray(size)) for size in found]
