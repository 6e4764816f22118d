"""The reference's algebra, fused: z reused, z and z^q in one product, the factor q = a/(z + e) kept from the forward pass.

With the message c of R = a·c, a linear layer's quotient is s = R/(z + e) = c·q: no division and no second forward pass on the way
back, and what is handed on is c again, c_j = Σ_k w_jk s_k. Only floats; rationals take the reference step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..arrays import Array, Exact, Shape, Stabiliser, like
from ..errors import LrpError
from ..layers.activations import ReLU
from ..layers.base import Layer, Linear
from ..layers.conv import Conv, ConvTranspose
from ..layers.linear import Add, Dense, Mean, Scale, Subtract
from ..layers.pooling import AvgPool, GlobalAvgPool, GlobalSumPool, MaxPool, SumPool, pool_window
from ..layers.shape import Rearrangement, Upsample
from ..ledger import Booking, Entry
from ..model import Model, Node
from ..rules import LinearRule, Pass, Rule, WinnerTakesAll
from ..rules.shares import ALL, IDENTITY, NEGATIVE, NEGATIVE_ONLY, POSITIVE, Share, Where, book
from .products import adjoints, maps, stack

Currency = Literal["R", "c"]

#: The linear layers whose offset does not depend on the rank of their input (a batch norm's does).
_LINEAR = (
    *(Dense, Conv, ConvTranspose, Scale, Add, Subtract, Mean, Upsample),
    *(SumPool, AvgPool, GlobalSumPool, GlobalAvgPool),
)


def offer(
    model: Model,
    rules: Mapping[str, Rule],
    node: Node,
    nonnegative: frozenset[str],
    booked: bool,
    cuts: frozenset[str] = frozenset(),
) -> FusedLinear | PassThrough | Winners | None:
    """The fused step for `node` (and perhaps the activation behind it), None where there is none."""
    if model.dtype == object:
        return None
    layer, rule = node.layer, rules[node.name]
    # Layers and rules are known by their exact class: a subclass may compute something else.
    if type(layer) in _LINEAR and isinstance(rule, LinearRule):
        behind = None if node.name in cuts else _activation(model, rules, node)
        sure = tuple(name in nonnegative for name in node.inputs)

        def prepare(rectified: bool) -> Prepared | None:
            return _prepared(model, node, rule, sure, rectified)

        if prepare(behind is not None) is None:
            return None
        return FusedLinear((node,) if behind is None else (node, behind), rule, prepare, booked=booked)
    if type(rule) is Pass and (type(layer) is ReLU or isinstance(layer, Rearrangement)):
        return PassThrough((node,), rule, booked=booked)
    if type(layer) is MaxPool and rule == WinnerTakesAll():
        return Winners((node,), rule, booked=booked)
    return None


def _activation(model: Model, rules: Mapping[str, Rule], node: Node) -> Node | None:
    """The ReLU that alone reads `node`, if relevance passes through it."""
    readers = model.readers(node.name)
    if len(readers) != 1 or node.name in model.outputs or type(readers[0].layer) is not ReLU:
        return None
    return readers[0] if type(rules.get(readers[0].name)) is Pass else None


# --- what is prepared once for a layer and a rule ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reduced:
    """A share whose features are the input itself: λ, one weight for each input (None: no term), bias, stabiliser, where."""

    coefficient: Array
    weights: tuple[Array | None, ...]
    bias: Array | None
    stabiliser: Stabiliser
    where: Where
    plain: bool  # whether its denominator is the layer's own pre-activation

    @property
    def weighted(self) -> bool:
        """Whether any input has a term."""
        return any(w is not None for w in self.weights)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A layer under a rule: its shares, and for Dense and Conv their weights stacked for one product."""

    shares: tuple[Reduced, ...]
    bias: Array | None
    weights: tuple[Array, ...]  # the layer's own, in the model's number type
    forward: Array | None = None  # stacked: the layer's own weight, then those of the shares that are not plain
    backward: Array | None = None  # stacked: the shares' weights


def _prepared(
    model: Model, node: Node, rule: LinearRule, nonnegative: tuple[bool, ...], rectified: bool
) -> Prepared | None:
    """The layer under the rule; `rectified` leaves out the shares for z < 0."""
    more = any(getattr(type(rule), name) is not getattr(LinearRule, name) for name in ("divided", "propagate", "relevances"))
    if more or rule.empty != "drop":
        return None  # a rule that does more than declare shares takes the reference step

    def build() -> tuple[Prepared | None, int]:
        made = _prepare(node.layer, rule, nonnegative, model.dtype, rectified)  # type: ignore[arg-type]
        return made, 0 if made is None else _size(made, node.layer)

    if type(rule).__hash__ is None:
        return build()[0]
    found: Prepared | None = model._memo.get((node.layer, rule, nonnegative, rectified), build)
    return found


def _size(made: Prepared, layer: Layer) -> int:
    """The bytes that preparing took beyond the layer's own parameters."""
    arrays = [made.forward, made.backward, *(w for share in made.shares for w in share.weights)]
    whole = {id(base): base for a in arrays if a is not None for base in [a if a.base is None else a.base]}
    own = {id(w if w.base is None else w.base) for w in layer.parameters.values()}
    return sum(base.nbytes for key, base in whole.items() if key not in own)


def _prepare(
    layer: Linear, rule: LinearRule, nonnegative: tuple[bool, ...], dtype: Any, rectified: bool
) -> Prepared | None:
    some = np.empty(0, dtype)
    weights = tuple(like(w, some) for w in layer.weights)
    offset = layer.offset(0)  # of these layers it does not depend on the rank
    bias = None if offset is None else like(offset, some)
    try:
        positions = list(zip(*(rule.shares(w, bias) for w in weights), strict=True))
    except LrpError:
        return None  # the reference step says what is wrong, with the data at hand
    shares = []
    for position in positions:
        reduced = _reduce(position, weights, bias, nonnegative, some)
        if reduced is None:
            return None
        if not (rectified and reduced.where is NEGATIVE_ONLY):
            shares.append(reduced)
    if isinstance(layer, (Dense, Conv)):
        return _stacked(layer, tuple(shares), bias, weights)
    return Prepared(tuple(shares), bias, weights)


def _stacked(layer: Dense | Conv, shares: tuple[Reduced, ...], bias: Array | None, own: tuple[Array, ...]) -> Prepared:
    """The layer's own weight and the shares' in one array, and the part of it that the way back needs: a view, if it can be."""
    upward = [(s, w) for s in shares if (w := s.weights[0]) is not None]
    extra = [w for s, w in upward if not s.plain]
    forward = stack(layer, [own[0], *extra])
    if len(extra) == len(upward):
        backward = forward[:, forward.shape[1] // (1 + len(extra)) :]
    else:
        backward = stack(layer, [w for _, w in upward])
    # From here on the stacked arrays hold the numbers; a share has to know only that it has a weight.
    lean = tuple(s if s.plain or s.weights[0] is None else replace(s, weights=(forward[:0],)) for s in shares)
    return Prepared(lean, bias, own, forward, backward if upward else None)


def _reduce(
    position: tuple[Share, ...], own: tuple[Array, ...], bias: Array | None, nonnegative: tuple[bool, ...], some: Array
) -> Reduced | None:
    """A share with its features taken as the input itself, which holds for a⁺ where a ≥ 0; None where it does not."""
    weights: list[Array | None] = []
    for share, sure in zip(position, nonnegative, strict=True):
        kept = [t.weight for t in share.terms if not (sure and t.feature is NEGATIVE)]
        features = [t.feature for t in share.terms if not (sure and t.feature is NEGATIVE)]
        if any(not (f is IDENTITY or (sure and f is POSITIVE)) for f in features) or len(kept) > 1:
            return None
        weights.append(kept[0] if kept else None)
    first = position[0]
    plain = first.bias is bias and all(w is o for w, o in zip(weights, own, strict=True))
    return Reduced(like(first.coefficient, some), tuple(weights), first.bias, first.stabiliser, first.where, plain)


# --- the steps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FusedLinear:
    """A linear layer under a rule whose features are its inputs, with the ReLU behind it."""

    nodes: tuple[Node, ...]
    rule: LinearRule
    prepare: Callable[[bool], Prepared | None]  # whether shares for z < 0 alone are left out
    arrives: Currency = "R"
    booked: bool = False

    accepts_quotient = True
    hands_on: Currency = "c"

    @property
    def label(self) -> str:
        return f"numpy, fused, {self.arrives} → c"

    @property
    def prepared(self) -> Prepared:
        """The shares that can take anything of what arrives: with c at a ReLU, R = a·c is 0 where z < 0."""
        made = self.prepare(self.arrives == "c" and len(self.nodes) == 2)
        assert made is not None
        return made

    @property
    def layer(self) -> Linear:
        layer = self.nodes[0].layer
        assert isinstance(layer, Linear)
        return layer

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        try:
            self.layer.shape(*(a.shape for a in inputs))
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        made = self.prepared
        z, bottoms = self._products(made, inputs)
        output = np.maximum(z, like(0, z)) if len(self.nodes) == 2 else z
        factors = [self._factor(s, bottom, z, output) for s, bottom in zip(made.shares, bottoms, strict=True)]
        return output, (made, factors, tuple(a.shape for a in inputs), (inputs, z, output) if self.booked else None)

    def _products(self, made: Prepared, inputs: tuple[Array, ...]) -> tuple[Array, list[Array]]:
        """The pre-activation, and each share's denominator without its stabiliser."""
        layer = self.layer
        extra = [s for s in made.shares if not s.plain and s.weighted]
        if made.forward is not None:
            assert isinstance(layer, (Dense, Conv))
            z, *products = maps(layer, inputs[0], made.forward, 1 + len(extra))
        else:
            z = _total(layer, inputs, made.weights)
            products = [_total(layer, inputs, s.weights) for s in extra]
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

    def _factor(self, share: Reduced, bottom: Array, z: Array, output: Array) -> Array:
        """λ·a/(z + e) where c arrives, λ/(z + e) where R does; 0 where the share is dead."""
        if not isinstance(share.stabiliser, Exact):
            bottom = bottom + share.stabiliser(bottom)
        dead = bottom == 0
        if share.where is not ALL and not (self.arrives == "c" and len(self.nodes) == 2):
            dead |= ~share.where(z)
        if dead.any():
            # x / inf = 0 is the dead share's factor, and keeps the division one plain pass
            bottom = np.where(dead, like(np.inf, bottom), bottom)
        factor = np.divide(output if self.arrives == "c" else share.coefficient, bottom, out=None if bottom is z else bottom)
        if self.arrives == "c" and share.coefficient != 1:
            factor *= share.coefficient
        return factor

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        made, factors, shapes, seen = saved
        quotients = [_folded(message * factor[:, None]) for factor in factors]
        targets = message.shape[1]
        messages = tuple(
            self._adjoint(made, i, quotients, (shape[0] * targets, *shape[1:])).reshape(shape[0], targets, *shape[1:])
            for i, shape in enumerate(shapes)
        )
        return messages, self._entries(seen, message, messages) if self.booked else ()

    def _adjoint(self, made: Prepared, i: int, quotients: list[Array], shape: Shape) -> Array:
        layer = self.layer
        pairs = [(s, w) for s, share in zip(quotients, made.shares, strict=True) if (w := share.weights[i]) is not None]
        if made.backward is not None:
            assert isinstance(layer, (Dense, Conv))
            return adjoints(layer, [s for s, _ in pairs], made.backward, shape)
        total = np.zeros(shape, quotients[0].dtype)
        for s, w in pairs:
            total += layer.adjoint(s, w, shape)
        return total

    def _entries(self, seen: Any, message: Array, messages: tuple[Array, ...]) -> tuple[Entry, ...]:
        inputs, z, output = seen
        linear, passed = [], []
        for t in range(message.shape[1]):
            relevance = message[:, t] * output if self.arrives == "c" else message[:, t]
            found, unassigned = self.rule.divided(self.layer, inputs, z, relevance)
            lower = tuple(a * m[:, t] for a, m in zip(inputs, messages, strict=True))
            flags = self.rule.flags(inputs)
            linear.append(book(self.layer, found, unassigned, inputs, relevance, lower, flags))
            passed.append(Booking.handed_on(relevance, (relevance,)))
        entries: tuple[Entry, ...] = (Entry(self.nodes[0].name, str(self.rule), Booking.stacked(linear)),)
        if len(self.nodes) == 2:
            entries = (Entry(self.nodes[1].name, str(Pass()), Booking.stacked(passed)), *entries)
        return entries


def _total(layer: Linear, inputs: tuple[Array, ...], weights: tuple[Array | None, ...]) -> Array:
    parts = [layer.map(a, w) for a, w in zip(inputs, weights, strict=True) if w is not None]
    return np.asarray(sum(parts[1:], parts[0]))


def _folded(message: Array) -> Array:
    """(N, targets, …) as one batch."""
    return message.reshape(message.shape[0] * message.shape[1], *message.shape[2:])


@dataclass(frozen=True, eq=False)
class PassThrough:
    """Pass through a ReLU or a layer that only moves elements; either currency goes through."""

    nodes: tuple[Node, ...]
    rule: Rule
    arrives: Currency = "R"
    booked: bool = False

    accepts_quotient = True

    @property
    def label(self) -> str:
        return f"numpy, pass, {self.arrives}"

    @property
    def hands_on(self) -> Currency:
        return self.arrives

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        output = Model.compute(self.nodes[0], inputs)
        # R = a·c is 0 where the ReLU's output is, and there its input is not: c must be 0 instead.
        mask = output > 0 if isinstance(self.nodes[0].layer, ReLU) and self.arrives == "c" else None
        return output, (mask, tuple(a.shape for a in inputs), output if self.booked else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        mask, shapes, output = saved
        layer, targets = self.nodes[0].layer, message.shape[1]
        if isinstance(layer, Rearrangement):
            wide = [(shape[0] * targets, *shape[1:]) for shape in shapes]
            parts = layer.restore(_folded(message), *wide)
            messages = tuple(p.reshape(shape[0], targets, *shape[1:]) for p, shape in zip(parts, shapes, strict=True))
        else:
            messages = (message if mask is None else message * mask[:, None],)
        return messages, self._entries(output, message, shapes) if self.booked else ()

    def _entries(self, output: Array, message: Array, shapes: tuple[Shape, ...]) -> tuple[Entry, ...]:
        node = self.nodes[0]
        inputs = tuple(np.broadcast_to(np.zeros((), output.dtype), shape) for shape in shapes)
        whole = message * output[:, None] if self.arrives == "c" else message
        bookings = [self.rule.propagate(node.layer, inputs, output, whole[:, t])[1] for t in range(message.shape[1])]
        return (Entry(node.name, str(self.rule), Booking.stacked(bookings)),)


@dataclass(frozen=True, eq=False)
class Winners:
    """Winner-takes-all through maximum pooling; the output is the winner's value, so c goes through like R."""

    nodes: tuple[Node, ...]
    rule: Rule
    arrives: Currency = "R"
    booked: bool = False

    accepts_quotient = True

    @property
    def label(self) -> str:
        return f"numpy, winners, {self.arrives}"

    @property
    def hands_on(self) -> Currency:
        return self.arrives

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        layer, (a,) = self.nodes[0].layer, inputs
        assert isinstance(layer, MaxPool)
        try:
            out = layer.shape(a.shape)[2:]
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        window = pool_window(layer, a.ndim - 2)
        padded = np.full(a.shape[:2] + window.padded(out), -np.inf, a.dtype)
        in_input, in_padded = window.inside(a.shape[2:], out)
        padded[in_padded] = a[in_input]
        counter = np.uint8 if window.taps < 256 else np.int32
        best, winner = np.full((*a.shape[:2], *out), -np.inf, a.dtype), np.zeros((*a.shape[:2], *out), counter)
        for tap, cells in enumerate(window.slices(out)):
            better = padded[cells] > best  # strictly: of equal cells the first wins
            np.maximum(best, padded[cells], out=best)
            np.copyto(winner, counter(tap), where=better)
        return best, (winner, a.shape, (a, best) if self.booked else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry, ...]]:
        winner, shape, seen = saved
        layer, targets = self.nodes[0].layer, message.shape[1]
        assert isinstance(layer, MaxPool)
        window = pool_window(layer, len(shape) - 2)
        wide, out = (shape[0], targets, *shape[1:]), winner.shape[2:]
        padded = np.zeros((shape[0] * targets, shape[1], *window.padded(out)), message.dtype)
        flat = _folded(message)
        winners = winner if targets == 1 else np.repeat(winner, targets, axis=0)
        for tap, cells in enumerate(window.slices(out)):
            padded[cells] += np.where(winners == tap, flat, like(0, flat))
        in_input, in_padded = window.inside(shape[2:], out)
        lower = np.zeros((shape[0] * targets, *shape[1:]), message.dtype)
        lower[in_input] = padded[in_padded]
        messages = (lower.reshape(wide),)
        return messages, self._entries(seen, message, messages[0]) if self.booked else ()

    def _entries(self, seen: Any, message: Array, lower: Array) -> tuple[Entry, ...]:
        a, output = seen
        if self.arrives == "c":
            message, lower = message * output[:, None], lower * a[:, None]
        # Every message to a winner is a whole R_k; where windows overlap they add up in `lower`, and may cancel there.
        bookings = [
            Booking.handed_on(message[:, t], (lower[:, t],), messages=(message[:, t],)) for t in range(message.shape[1])
        ]
        return (Entry(self.nodes[0].name, str(self.rule), Booking.stacked(bookings)),)
