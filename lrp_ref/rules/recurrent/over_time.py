"""The way back through an unrolled recurrent layer: the steps of LSTM, GRU and RNN, from the last one to the first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...arrays import Array, like, per_sample, zeros
from ...errors import RuleError
from ...layers.base import Layer
from ...layers.recurrent import GRU, LSTM, RNN
from ...layers.recurrent.base import Cells, Unrolled, activation, merge_directions
from ...ledger import Booking
from ..products import SignalTakesAll
from .cells import Accounts, Blend, Product, Weighted

if TYPE_CHECKING:
    from .rule import ThroughTime


class Way(ABC):
    """One cell's maps and products, unrolled. `step` takes relevance through one step."""

    def __init__(self, rule: ThroughTime, layer: Cells, u: Unrolled, booked: bool) -> None:
        self.rule, self.layer, self.u, self.booked = rule, layer, u, booked
        self.size, self.before = layer.hidden, u.hidden[:, :, :-1]
        self.silent = type(rule.product) is SignalTakesAll  # whether gates get nothing
        self.products: list[Product] = []
        self.weighted: list[Weighted] = []
        self.sequence: list[Weighted] = []  # those whose first input is the sequence

    @abstractmethod
    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        """From what arrives at the states of a step to what reaches those before it."""

    def block(self, array: Array, gates: str) -> Array:
        """The blocks of neighbouring gates, of an array that holds all of them on its last axis."""
        first = self.layer.gate_names.index(gates[0])
        return array[..., first * self.size : (first + len(gates)) * self.size]

    def map(self, gates: str, *others: tuple[Array, Array], recurrent: bool = True) -> Weighted:
        """The linear map of neighbouring gates from the sequence, the state before it, and (input, weight) beside them."""
        layer, x = self.layer, self.u.x
        weights = [self.block(like(layer.weight_input, x), gates), *(weight for _, weight in others)]
        inputs = [x, *(a for a, _ in others)]
        if recurrent:
            weights.insert(1, self.block(like(layer.weight_recurrent, x), gates))
            inputs.insert(1, self.before)
        bias = None if layer.bias is None else self.block(like(layer.bias, x), gates)[:, None, None]
        found = self.weigh(Blend(tuple(weights), bias), inputs, self.block(self.u.z, gates), len(gates))
        self.sequence.append(found)
        return found

    def weigh(self, layer: Blend, inputs: list[Array], z: Array, blocks: int = 1) -> Weighted:
        """A linear map under the rule for linear maps."""
        self.weighted.append(Weighted(self.rule.linear, layer, inputs, z, blocks, self.booked))
        return self.weighted[-1]

    def sum(self, *terms: Array) -> Weighted:
        """A sum of two terms under the rule for sums."""
        ones = like(np.ones((1, 1, 1, 1)), terms[0])
        z = terms[0] + terms[1]
        self.weighted.append(Weighted(self.rule.accumulation, Blend((ones, ones)), terms, z, booked=self.booked))
        return self.weighted[-1]

    def product(self, gate: Array, signal: Array, before: tuple[Array, Array]) -> Product:
        """A product under the product rule, which weighs the factors, or what is `before` their activations."""
        operands = (gate, signal) if self.rule.operands == "activated" else before
        self.products.append(Product(self.rule.product, *operands))
        return self.products[-1]


class LSTMWay(Way):
    """c = f ⊙ c' + i ⊙ g, h = o ⊙ h(c)."""

    layer: LSTM

    def __init__(self, rule: ThroughTime, layer: LSTM, u: Unrolled, booked: bool) -> None:
        super().__init__(rule, layer, u, booked)
        assert u.cell is not None
        names, x = layer.gates, u.x
        before, after = u.cell[:, :, :-1], u.cell[:, :, 1:]
        value = {name: self.block(u.values, name) for name in names}
        z = {name: self.block(u.z, name) for name in names}
        self.added = self.kept = self.out = None
        added, kept = value["g"], before
        if "i" in names:
            added = value["i"] * value["g"]
            self.added = self.product(value["i"], value["g"], (z["i"], z["g"]))
        if "f" in names:
            kept = value["f"] * before
            self.kept = self.product(value["f"], before, (z["f"], before))
        if "o" in names:
            signal = activation(layer.state_activation, layer.state_scale, x)(after)
            self.out = self.product(value["o"], signal, (z["o"], after))
        self.total = self.sum(kept, added)
        self.maps = self._maps(before, after)

    def _maps(self, before: Array, after: Array) -> dict[str, Weighted]:
        """The linear maps by the gates that they lead to, of those that relevance reaches."""
        if self.silent:
            return {"g": self.map("g")}
        if self.layer.peepholes is None:
            return {self.layer.gates: self.map(self.layer.gates)}
        weights = np.split(like(self.layer.peepholes, self.u.x)[:, None, None], 3, axis=-1)
        seen = {"i": before, "f": before, "o": after}
        maps = {name: self.map(name, (seen[name], w)) for name, w in zip("ifo", weights, strict=True)}
        return maps | {"g": self.map("g")}

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        arrived: dict[str, Array | None] = {}
        peeping = self.layer.peepholes is not None and not self.silent
        arrived["o"], signal = self._split(self.out, now, hidden)
        cell = cell + signal
        if peeping and arrived["o"] is not None:
            self.maps["o"].take(now, arrived["o"])
            cell = cell + self.maps["o"].give(2, now)
        self.total.take(now, cell)
        arrived["f"], before = self._split(self.kept, now, self.total.give(0, now))
        arrived["i"], arrived["g"] = self._split(self.added, now, self.total.give(1, now))
        found = None
        for names, weighted in self.maps.items():
            if names != "o" or not peeping:
                parts = [part for name in names if (part := arrived[name]) is not None]
                weighted.take(now, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1))
            given = weighted.give(1, now)
            found = given if found is None else found + given
            if peeping and names in ("i", "f"):
                before = before + weighted.give(2, now)
        assert found is not None
        return found, before

    def _split(self, product: Product | None, now: slice, relevance: Array) -> tuple[Array | None, Array]:
        return (None, relevance) if product is None else product.divide(now, relevance, self.booked)


class GRUWay(Way):
    """h = z ⊙ h' + (1 − z) ⊙ n."""

    layer: GRU

    def __init__(self, rule: ThroughTime, layer: GRU, u: Unrolled, booked: bool) -> None:
        super().__init__(rule, layer, u, booked)
        x, before = u.x, self.before
        assert u.inner is not None
        value = {name: self.block(u.values, name) for name in "rzn"}
        z = {name: self.block(u.z, name) for name in "rzn"}
        open_ = like(1, x) - value["z"]
        self.kept = self.product(value["z"], before, (z["z"], before))
        self.added = self.product(open_, value["n"], (-z["z"], z["n"]))
        self.total = self.sum(value["z"] * before, open_ * value["n"])
        weight = self.block(like(layer.weight_recurrent, x), "n")
        self.inner: Weighted | None = None
        if layer.linear_before_reset:
            ones = like(np.ones((1, 1, 1, self.size)), x)
            self.candidate = self.map("n", (value["r"] * u.inner, ones), recurrent=False)
            bias = None if layer.bias_recurrent is None else like(layer.bias_recurrent, x)[:, None, None]
            self.inner = self.weigh(Blend((weight,), bias), [before], u.inner)
            self.reset = self.product(value["r"], u.inner, (z["r"], u.inner))
        else:
            self.candidate = self.map("n", (u.inner, weight), recurrent=False)
            self.reset = self.product(value["r"], before, (z["r"], before))
        self.gates = None if self.silent else self.map("rz")

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        self.total.take(now, hidden)
        update, before = self.kept.divide(now, self.total.give(0, now), self.booked)
        closed, candidate = self.added.divide(now, self.total.give(1, now), self.booked)
        self.candidate.take(now, candidate)
        reset, inner = self.reset.divide(now, self.candidate.give(1, now), self.booked)
        if self.inner is not None:
            self.inner.take(now, inner)
            inner = self.inner.give(0, now)
        before = before + inner
        if self.gates is not None and update is not None and closed is not None and reset is not None:
            self.gates.take(now, np.concatenate([reset, update + closed], axis=-1))
            before = before + self.gates.give(1, now)
        return before, cell


class RNNWay(Way):
    """h = f(W x + U h' + b)."""

    layer: RNN

    def __init__(self, rule: ThroughTime, layer: RNN, u: Unrolled, booked: bool) -> None:
        super().__init__(rule, layer, u, booked)
        self.linear = self.map("h")

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        self.linear.take(now, hidden)
        return self.linear.give(1, now), cell


WAYS: tuple[tuple[type[Cells], type[Way]], ...] = ((LSTM, LSTMWay), (GRU, GRUWay), (RNN, RNNWay))


def way_of(rule: ThroughTime, layer: Layer, u: Unrolled, booked: bool) -> Way:
    """The layer's maps and products under the rule, ready for any relevance."""
    kind = next((way for cells, way in WAYS if isinstance(layer, cells)), None)
    if kind is None or not isinstance(layer, Cells):
        raise RuleError(f"{rule} knows LSTM, GRU and RNN, not {type(layer).__name__}")
    return kind(rule, layer, u, booked)


def walk(way: Way, relevance: Array) -> tuple[tuple[Array, ...], Booking | None]:
    """The relevance of every input, and what the layer accounts for where the way is booked."""
    layer, u = way.layer, way.u
    for product in way.products:
        product.amounts.clear()
    hidden, cell, beyond = _back(way, relevance)
    parts = [weighted.give(0) for weighted in way.sequence]
    x = np.asarray(sum(parts[1:], parts[0]))
    x = layer.to_sequence_order(x if u.alive is None else np.where(u.alive, x, like(0, x)))
    states = {name: merge_directions(state[:, :, 0]) for name, state in (("hidden", hidden), ("cell", cell))}
    states["lengths"] = zeros(relevance.shape[:1], relevance)
    relevances = (np.asarray(sum(x[1:], x[0])), *(states[name] for name in layer.reads))
    if not way.booked:
        return relevances, None
    trapped = {name: states[name] for name in layer.states if name not in layer.reads}
    return relevances, _booking(way, relevance, relevances, trapped, beyond)


def _back(way: Way, relevance: Array) -> tuple[Array, Array, Array | None]:
    """What reaches the initial states (D, N, 1, H), and what arrived beyond the sequences' ends (D, N, T, H)."""
    layer, alive, (d, n, steps, _) = way.layer, way.u.alive, way.u.x.shape
    hidden, cell = (zeros((d, n, 1, layer.hidden), relevance) for _ in range(2))
    every, beyond = None, None
    if layer.returns == "all":
        every = layer.to_sequence_order(layer.split_directions(relevance))
        if alive is not None:
            beyond = np.where(alive, like(0, every), every)
            every = every - beyond
    elif layer.returns == "last":
        hidden = layer.split_directions(relevance)[:, :, None]
    else:
        cell = layer.split_directions(relevance)[:, :, None]
    for t in reversed(range(steps)):
        now = slice(t, t + 1)
        if every is not None:
            hidden = hidden + every[:, :, now]
        if alive is None:
            hidden, cell = way.step(now, hidden, cell)
            continue
        here, none = alive[:, :, now], like(0, hidden)
        before = way.step(now, np.where(here, hidden, none), np.where(here, cell, none))
        hidden, cell = np.where(here, before[0], hidden), np.where(here, before[1], cell)
    return hidden, cell, beyond


def _booking(
    way: Way, relevance: Array, relevances: tuple[Array, ...], trapped: dict[str, Array], beyond: Array | None
) -> Booking:
    accounts = Accounts(way.u.x.shape[:3], way.u.x)
    for weighted in way.weighted:
        weighted.account(accounts)
    for product in way.products:
        product.account(accounts)
    if beyond is not None:
        accounts.add("unassigned", beyond)
    # per step, in the sequences' own order, over both directions
    steps = {name: way.layer.to_sequence_order(column[..., None])[..., 0].sum(axis=0) for name, column in accounts.steps.items()}
    moved = steps.pop("turnover")
    stuck = {f"initial {name}": per_sample(state) for name, state in trapped.items()}
    booking = Booking.handed_on(relevance, relevances)
    return replace(
        booking,
        bias=sum(stuck.values(), per_sample(steps["bias"])),
        stabiliser=per_sample(steps["stabiliser"]),
        unassigned=per_sample(steps["unassigned"]),
        turnover=booking.turnover + per_sample(moved) + sum(per_sample(abs(state)) for state in trapped.values()),
        details=steps | stuck,
    )
