"""The pieces of a recurrent layer on its way back: linear maps and products at every step of an unrolled pass.

Arrays have the axes (directions, N, T, ·), see `lrp_ref.layers.recurrent.base`. Everything that does not wait for relevance is
computed once for all steps: denominators on the way in, and the relevance of the sequence, one product for all steps, at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arrays import Array, Exact, Shape, divide, is_exact, like, zeros
from ...layers.base import Linear
from ...layers.merge import Multiply
from ...lazy_dataclass import lazy_dataclass
from ..base import LinearRule
from ..denominators import check, divides, in_range
from ..products import ProductRule, SignalTakesAll
from ..shares import denominator

#: In every product of a recurrent cell the gate is the first factor and the signal the second.
GATED = Multiply(signal=1)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class StepwiseLinear(Linear):
    """z = Σ_i map(a_i, w_i) + b at every step: a matrix for each direction, (D, lower, upper), or a factor, (D, 1, 1, upper)."""

    matrices: tuple[Array, ...]
    bias: Any = None

    def __post_init__(self) -> None:  # its arrays are a layer's own parameters, checked there
        pass

    @property
    def arity(self) -> int:
        return len(self.matrices)

    @property
    def weights(self) -> tuple[Array, ...]:
        return self.matrices

    def offset(self, ndim: int) -> Array | None:
        return None if self.bias is None else np.asarray(self.bias)

    def shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], self.matrices[0].shape[-1])

    def map(self, a: Array, weight: Array) -> Array:
        return np.asarray(np.matmul(a, weight[:, None]) if weight.ndim == 3 else a * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return np.asarray(np.matmul(s, weight.swapaxes(1, 2)[:, None]) if weight.ndim == 3 else s * weight)


class LinearOverTime:
    """One linear map at every step, under a rule for linear layers (`lrp_ref.rules.shares`).

    Parameters
    ----------
    rule, layer, inputs : the rule, the map and its inputs (D, N, T, ·)
    z : its output (D, N, T, ·), the plain pre-activation
    blocks : how many maps lie side by side in it: an ε relative to z is relative to each
    with_ledger : whether accounts are kept
    """

    def __init__(
        self,
        rule: LinearRule,
        layer: StepwiseLinear,
        inputs: Sequence[Array],
        z: Array,
        blocks: int = 1,
        with_ledger: bool = False,
    ) -> None:
        self.layer = layer
        shares = [rule.shares(weight, layer.bias) for weight in layer.weights]
        self.positions = list(zip(*shares, strict=True))
        self.inputs, self.z = inputs, z
        self.sums: list[Array | None] = []  # without e, where a denominator is to be looked at
        self.denominators, self.e, alive = [], [], []
        for position in self.positions:
            terms = denominator(layer, position, inputs, z)
            e = _stabiliser_terms(position[0].stabiliser, terms, blocks)
            self.denominators.append(terms + e)
            self.e.append(e)
            self.sums.append(None if in_range(self.denominators[-1]) else terms)
            alive.append(divides(self.denominators[-1]) & position[0].where(z))
        alone = np.sum(alive, axis=0) == 1 if rule.empty == "renormalise" else np.zeros((), dtype=bool)
        self.coefficients = [np.where(alone, like(1, z), like(position[0].coefficient, z)) for position in self.positions]
        if with_ledger:
            self.assignment, self.relevance = zeros(z.shape, z), zeros(z.shape, z)
            for coefficient, living in zip(self.coefficients, alive, strict=True):
                self.assignment += np.where(living, coefficient, like(0, z))
        self.with_ledger = with_ledger
        self.alive = [None if living.all() else living for living in alive]
        self.s = [zeros(z.shape, z) for _ in self.positions]
        # what each input's relevance is a sum of: the share's number, f(a) at every step, the weight
        self.terms = [
            [(q, term.feature(a), term.weight) for q, position in enumerate(self.positions) for term in position[i].terms]
            for i, a in enumerate(inputs)
        ]

    def receive(self, now: slice, relevance: Array) -> None:
        """Divide the relevance (D, N, 1, ·) that arrives at one step."""
        if self.with_ledger:
            self.relevance[:, :, now] = relevance
        self._check(now, relevance)
        for s, total, coefficient, alive in zip(self.s, self.denominators, self.coefficients, self.alive, strict=True):
            part = relevance if coefficient.ndim == 0 and coefficient == 1 else _at(coefficient, now) * relevance
            if alive is None:
                np.divide(part, total[:, :, now], out=s[:, :, now])
            else:
                s[:, :, now] = divide(part, total[:, :, now], alive[:, :, now])

    def _check(self, now: slice, relevance: Array) -> None:
        """Refuse denominators of these steps that are out of range; a sample in one direction is told from others."""
        for position, z, e in zip(self.positions, self.sums, self.e, strict=True):
            if z is not None:
                admission = np.broadcast_to(position[0].where(self.z), z.shape)[:, :, now]
                inputs = [np.broadcast_to(a, (*z.shape[:3], a.shape[-1]))[:, :, now] for a in self.inputs]
                check(self.layer, position, inputs, z[:, :, now], _at(e, now), admission, relevance, leading=2)

    def collect(self, i: int, now: slice = slice(None)) -> Array:
        """The relevance of input i, (D, N, ·, ·), at the steps `now`, whose relevance has been received."""
        total = None
        for q, feature, weight in self.terms[i]:
            a = feature[:, :, now]
            term = a * self.layer.adjoint(self.s[q][:, :, now], weight, a.shape)
            total = term if total is None else total + term
        assert total is not None
        return np.asarray(total)

    def account(self, into: Accounts) -> None:
        """Book all steps."""
        into.add("unassigned", self.relevance * (like(1, self.relevance) - self.assignment))
        into.add("turnover", abs(self.relevance))
        for q, (position, s, e) in enumerate(zip(self.positions, self.s, self.e, strict=True)):
            if position[0].bias is not None:
                into.add("bias", s * position[0].bias)
                into.add("turnover", abs(s * position[0].bias))
            into.add("stabiliser", s * e)
            for terms in self.terms:
                for _, feature, weight in (term for term in terms if term[0] == q):
                    into.add("turnover", abs(s) * self.layer.map_absolute(feature, weight))


def _at(array: Array, now: slice) -> Array:
    return array if array.ndim == 0 else array[:, :, now]


def _stabiliser_terms(stabiliser: Any, z: Array, blocks: int) -> Array:
    """What the stabiliser adds, each step and each block of z being a sample of its own."""
    if isinstance(stabiliser, Exact):
        return like(0, z)
    rows = (z.size * blocks // z.shape[-1], z.shape[-1] // blocks)
    e = np.asarray(stabiliser(z.reshape(-1, rows[1])))
    return e if e.ndim == 0 else np.broadcast_to(e, rows).reshape(z.shape)


class Accounts:
    """What every step accounts for, (D, N, T) each, in step order.

    Parameters
    ----------
    shape : (D, N, T)
    template : an array of the pass; accounts are rationals where it is, else float64
    """

    def __init__(self, shape: Shape, template: Array) -> None:
        wide = template if is_exact(template) else np.zeros(0)
        self.steps = {name: zeros(shape, wide) for name in ("bias", "stabiliser", "unassigned", "turnover")}

    def add(self, name: str, amounts: Array) -> None:
        """Book amounts (D, N, T, ·), added up over the last axis."""
        column = self.steps[name]
        wide = np.asarray(np.broadcast_to(amounts, (*column.shape, amounts.shape[-1])), order="C")
        self.steps[name] = column + (wide if is_exact(wide) else wide.astype(np.float64)).sum(axis=-1)


class Product:
    """One product at every step, under a product rule."""

    def __init__(self, rule: ProductRule, gate: Array | None, signal: Array | None) -> None:
        self.rule, self.gate, self.signal = rule, gate, signal
        self.amounts: list[tuple[slice, tuple[Array, ...]]] = []

    def divide(self, now: slice, relevance: Array, with_ledger: bool) -> tuple[Array | None, Array]:
        """The relevance of the gate (None: nothing) and of the signal."""
        if type(self.rule) is SignalTakesAll:
            return None, relevance
        assert self.gate is not None
        assert self.signal is not None
        gate, signal, absorbed, lost = self.rule.divided(GATED, (self.gate[:, :, now], self.signal[:, :, now]), relevance)
        if with_ledger:
            self.amounts.append((now, (absorbed, lost, abs(relevance) + abs(gate) + abs(signal))))
        return gate, signal

    def account(self, into: Accounts) -> None:
        """Book all steps."""
        for now, amounts in self.amounts:
            for name, amount in zip(("stabiliser", "unassigned", "turnover"), amounts, strict=True):
                column = into.steps[name]
                column[:, :, now] += (amount if is_exact(amount) else amount.astype(np.float64)).sum(axis=-1)
