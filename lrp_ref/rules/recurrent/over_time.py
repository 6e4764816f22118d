"""The way back through an unrolled recurrent layer: the steps of LSTM, GRU and RNN, from the last one to the first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Protocol

import numpy as np

from ...arrays import Array, like, per_sample, zeros
from ...errors import RuleError
from ...layers.base import Layer
from ...layers.recurrent import GRU, LSTM, RNN
from ...layers.recurrent.base import Cells, Unrolled, activation, merge_directions
from ...ledger import Booking
from ..base import LinearRule
from ..products import ProductRule, SignalTakesAll
from .cells import Accounts, LinearOverTime, Product, StepwiseLinear


class CellRules(Protocol):
    """The rules of a cell's products, linear maps and sums, and which operands products weigh, as `ThroughTime` holds them."""

    @property
    def product(self) -> ProductRule:
        """The rule of products."""

    @property
    def linear(self) -> LinearRule:
        """The rule of linear maps."""

    @property
    def accumulation(self) -> LinearRule:
        """The rule of sums."""

    @property
    def operands(self) -> str:
        """Which operands products weigh, "activated" or "pre"."""


class CellBackward(ABC):
    """One cell's maps and products at every step of an unrolled pass, ready for relevance from the last step to the first.

    Parameters
    ----------
    rules : the rules of the pieces
    layer, u : the layer, and the values of its unrolled pass
    with_ledger : whether accounts are kept
    """

    def __init__(self, rules: CellRules, layer: Cells, u: Unrolled, with_ledger: bool) -> None:
        self.rules, self.layer, self.u, self.with_ledger = rules, layer, u, with_ledger
        self.size, self.before = layer.hidden, u.hidden[:, :, :-1]
        self.silent = type(rules.product) is SignalTakesAll  # whether gates get nothing
        self.products: list[Product] = []
        self.maps: list[LinearOverTime] = []
        self.sequence_maps: list[LinearOverTime] = []  # those whose first input is the sequence

    @abstractmethod
    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        """The relevance of the states before a step, from that of the states behind it, (D, N, 1, H) each."""

    def block(self, array: Array, gates: str) -> Array:
        """The blocks of neighbouring gates, of an array that holds all of them on its last axis."""
        first = self.layer.gate_names.index(gates[0])
        return array[..., first * self.size : (first + len(gates)) * self.size]

    def sequence_map(self, gates: str, *others: tuple[Array, Array], recurrent: bool = True) -> LinearOverTime:
        """The linear map of neighbouring gates from the sequence, the state before it, and (input, weight) beside them."""
        layer, x = self.layer, self.u.x
        weights = [self.block(like(layer.weight_input, x), gates), *(weight for _, weight in others)]
        inputs = [x, *(a for a, _ in others)]
        if recurrent:
            weights.insert(1, self.block(like(layer.weight_recurrent, x), gates))
            inputs.insert(1, self.before)
        bias = None if layer.bias is None else self.block(like(layer.bias, x), gates)[:, None, None]
        linear = self.map(StepwiseLinear(tuple(weights), bias), inputs, self.block(self.u.z, gates), len(gates))
        self.sequence_maps.append(linear)
        return linear

    def map(self, layer: StepwiseLinear, inputs: list[Array], z: Array, blocks: int = 1) -> LinearOverTime:
        """A linear map under the rule for linear maps."""
        self.maps.append(LinearOverTime(self.rules.linear, layer, inputs, z, blocks, self.with_ledger))
        return self.maps[-1]

    def sum(self, *terms: Array) -> LinearOverTime:
        """A sum of two terms under the rule for sums."""
        ones = like(np.ones((1, 1, 1, 1)), terms[0])
        z = terms[0] + terms[1]
        layer = StepwiseLinear((ones, ones))
        self.maps.append(LinearOverTime(self.rules.accumulation, layer, terms, z, with_ledger=self.with_ledger))
        return self.maps[-1]

    def product(self, gate: Array, signal: Array, before: tuple[Array, Array]) -> Product:
        """A product under the product rule, which weighs the factors, or what is `before` their activations."""
        operands = (gate, signal) if self.rules.operands == "activated" else before
        self.products.append(Product(self.rules.product, *operands))
        return self.products[-1]


class LSTMBackward(CellBackward):
    """c = f ⊙ c' + i ⊙ g, h = o ⊙ h(c)."""

    layer: LSTM

    def __init__(self, rules: CellRules, layer: LSTM, u: Unrolled, with_ledger: bool) -> None:
        super().__init__(rules, layer, u, with_ledger)
        assert u.cell is not None
        names, x = layer.gates, u.x
        before, after = u.cell[:, :, :-1], u.cell[:, :, 1:]
        value = {name: self.block(u.values, name) for name in names}
        z = {name: self.block(u.z, name) for name in names}
        self.input_product = self.forget_product = self.output_product = None
        forget_term, input_term = before, value["g"]
        if "i" in names:
            input_term = value["i"] * value["g"]
            self.input_product = self.product(value["i"], value["g"], (z["i"], z["g"]))
        if "f" in names:
            forget_term = value["f"] * before
            self.forget_product = self.product(value["f"], before, (z["f"], before))
        if "o" in names:
            signal = activation(layer.state_activation, layer.state_scale, x)(after)
            self.output_product = self.product(value["o"], signal, (z["o"], after))
        self.cell_sum = self.sum(forget_term, input_term)
        self.gate_maps = self._gate_maps(before, after)

    def _gate_maps(self, before: Array, after: Array) -> dict[str, LinearOverTime]:
        """The linear maps by the gates that they lead to, of those that relevance reaches."""
        if self.silent:
            return {"g": self.sequence_map("g")}
        if self.layer.peepholes is None:
            return {self.layer.gates: self.sequence_map(self.layer.gates)}
        weights = np.split(like(self.layer.peepholes, self.u.x)[:, None, None], 3, axis=-1)
        peephole_inputs = {"i": before, "f": before, "o": after}
        maps = {name: self.sequence_map(name, (peephole_inputs[name], w)) for name, w in zip("ifo", weights, strict=True)}
        return maps | {"g": self.sequence_map("g")}

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        arrivals: dict[str, Array | None] = {}
        peephole = self.layer.peepholes is not None and not self.silent
        arrivals["o"], signal = self._divide(self.output_product, now, hidden)
        cell = cell + signal
        if peephole and arrivals["o"] is not None:
            self.gate_maps["o"].receive(now, arrivals["o"])
            cell = cell + self.gate_maps["o"].collect(2, now)
        self.cell_sum.receive(now, cell)
        arrivals["f"], cell_before = self._divide(self.forget_product, now, self.cell_sum.collect(0, now))
        arrivals["i"], arrivals["g"] = self._divide(self.input_product, now, self.cell_sum.collect(1, now))
        hidden_before = None
        for names, linear in self.gate_maps.items():
            if names != "o" or not peephole:
                parts = [part for name in names if (part := arrivals[name]) is not None]
                linear.receive(now, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1))
            message = linear.collect(1, now)
            hidden_before = message if hidden_before is None else hidden_before + message
            if peephole and names in ("i", "f"):
                cell_before = cell_before + linear.collect(2, now)
        assert hidden_before is not None
        return hidden_before, cell_before

    def _divide(self, product: Product | None, now: slice, relevance: Array) -> tuple[Array | None, Array]:
        return (None, relevance) if product is None else product.divide(now, relevance, self.with_ledger)


class GRUBackward(CellBackward):
    """h = z ⊙ h' + (1 − z) ⊙ n."""

    layer: GRU

    def __init__(self, rules: CellRules, layer: GRU, u: Unrolled, with_ledger: bool) -> None:
        super().__init__(rules, layer, u, with_ledger)
        x, before = u.x, self.before
        assert u.inner is not None
        value = {name: self.block(u.values, name) for name in "rzn"}
        z = {name: self.block(u.z, name) for name in "rzn"}
        complement = like(1, x) - value["z"]
        self.update_product = self.product(value["z"], before, (z["z"], before))
        self.candidate_product = self.product(complement, value["n"], (-z["z"], z["n"]))
        self.state_sum = self.sum(value["z"] * before, complement * value["n"])
        weight = self.block(like(layer.weight_recurrent, x), "n")
        self.inner: LinearOverTime | None = None
        if layer.linear_before_reset:
            ones = like(np.ones((1, 1, 1, self.size)), x)
            self.candidate = self.sequence_map("n", (value["r"] * u.inner, ones), recurrent=False)
            bias = None if layer.bias_recurrent is None else like(layer.bias_recurrent, x)[:, None, None]
            self.inner = self.map(StepwiseLinear((weight,), bias), [before], u.inner)
            self.reset_product = self.product(value["r"], u.inner, (z["r"], u.inner))
        else:
            self.candidate = self.sequence_map("n", (u.inner, weight), recurrent=False)
            self.reset_product = self.product(value["r"], before, (z["r"], before))
        self.gates = None if self.silent else self.sequence_map("rz")

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        self.state_sum.receive(now, hidden)
        update, hidden_before = self.update_product.divide(now, self.state_sum.collect(0, now), self.with_ledger)
        complement, candidate = self.candidate_product.divide(now, self.state_sum.collect(1, now), self.with_ledger)
        self.candidate.receive(now, candidate)
        reset, inner = self.reset_product.divide(now, self.candidate.collect(1, now), self.with_ledger)
        if self.inner is not None:
            self.inner.receive(now, inner)
            inner = self.inner.collect(0, now)
        hidden_before = hidden_before + inner
        if self.gates is not None and update is not None and complement is not None and reset is not None:
            self.gates.receive(now, np.concatenate([reset, update + complement], axis=-1))
            hidden_before = hidden_before + self.gates.collect(1, now)
        return hidden_before, cell


class RNNBackward(CellBackward):
    """h = f(W x + U h' + b)."""

    layer: RNN

    def __init__(self, rules: CellRules, layer: RNN, u: Unrolled, with_ledger: bool) -> None:
        super().__init__(rules, layer, u, with_ledger)
        self.linear = self.sequence_map("h")

    def step(self, now: slice, hidden: Array, cell: Array) -> tuple[Array, Array]:
        self.linear.receive(now, hidden)
        return self.linear.collect(1, now), cell


BACKWARDS: tuple[tuple[type[Cells], type[CellBackward]], ...] = ((LSTM, LSTMBackward), (GRU, GRUBackward), (RNN, RNNBackward))


def cell_backward(rules: CellRules, layer: Layer, u: Unrolled, with_ledger: bool) -> CellBackward:
    """The maps and products of a recurrent layer under the rules, ready for any relevance.

    Raises
    ------
    RuleError
        Where the layer is no LSTM, GRU or RNN.
    """
    kind = next((backward for cells, backward in BACKWARDS if isinstance(layer, cells)), None)
    if kind is None or not isinstance(layer, Cells):
        raise RuleError(f"{rules} knows LSTM, GRU and RNN, not {type(layer).__name__}")
    return kind(rules, layer, u, with_ledger)


def backward_through_time(cells: CellBackward, relevance: Array) -> tuple[tuple[Array, ...], Booking | None]:
    """The relevance of every input of a recurrent layer, and its accounts where a ledger is kept.

    Parameters
    ----------
    cells : the layer's maps and products, from `cell_backward`
    relevance : R of the layer's output, of its shape and number type
    """
    layer, u = cells.layer, cells.u
    for product in cells.products:
        product.amounts.clear()
    hidden, cell, beyond = _initial_relevance(cells, relevance)
    parts = [linear.collect(0) for linear in cells.sequence_maps]
    x = np.asarray(sum(parts[1:], parts[0]))
    x = layer.to_sequence_order(x if u.alive is None else np.where(u.alive, x, like(0, x)))
    states = {name: merge_directions(state[:, :, 0]) for name, state in (("hidden", hidden), ("cell", cell))}
    states["lengths"] = zeros(relevance.shape[:1], relevance)
    relevances = (np.asarray(sum(x[1:], x[0])), *(states[name] for name in layer.reads))
    if not cells.with_ledger:
        return relevances, None
    constants = {name: states[name] for name in layer.states if name not in layer.reads}
    return relevances, _booking(cells, relevance, relevances, constants, beyond)


def _initial_relevance(cells: CellBackward, relevance: Array) -> tuple[Array, Array, Array | None]:
    """What reaches the initial states (D, N, 1, H), and what arrived beyond the sequences' ends (D, N, T, H)."""
    layer, alive, (d, n, steps, _) = cells.layer, cells.u.alive, cells.u.x.shape
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
            hidden, cell = cells.step(now, hidden, cell)
            continue
        here, none = alive[:, :, now], like(0, hidden)
        before = cells.step(now, np.where(here, hidden, none), np.where(here, cell, none))
        hidden, cell = np.where(here, before[0], hidden), np.where(here, before[1], cell)
    return hidden, cell, beyond


def _booking(
    cells: CellBackward, relevance: Array, relevances: tuple[Array, ...], constants: dict[str, Array], beyond: Array | None
) -> Booking:
    accounts = Accounts(cells.u.x.shape[:3], cells.u.x)
    for linear in cells.maps:
        linear.account(accounts)
    for product in cells.products:
        product.account(accounts)
    if beyond is not None:
        accounts.add("unassigned", beyond)
    # per step, in the sequences' own order, over both directions
    columns = accounts.steps.items()
    steps = {name: cells.layer.to_sequence_order(column[..., None])[..., 0].sum(axis=0) for name, column in columns}
    moved = steps.pop("turnover")
    stuck = {f"initial {name}": per_sample(state) for name, state in constants.items()}
    booking = Booking.handed_on(relevance, relevances)
    return replace(
        booking,
        bias=sum(stuck.values(), per_sample(steps["bias"])),
        stabiliser=per_sample(steps["stabiliser"]),
        unassigned=per_sample(steps["unassigned"]),
        turnover=booking.turnover + per_sample(moved) + sum(per_sample(abs(state)) for state in constants.values()),
        details=steps | stuck,
    )
