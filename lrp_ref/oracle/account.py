"""What one upper neuron hands out, and what a layer does: the records that the oracle answers with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..arrays import Array, Shape
from ..forks import cached_property
from ..layers.base import Layer
from .matrix import constant

#: One element below: which input of the layer it belongs to, and its place in it, numbered in row-major order.
Lower = tuple[int, int]
Terms = dict[Lower, Fraction]


@dataclass(frozen=True)
class Upper:
    """One upper neuron k with everything that its formula needs.

    Attributes
    ----------
    number : its place in the output, numbered in row-major order
    a, w : a_j and w_jk for every j that feeds k (a cell of padding is no j); w_jk = 1 where the layer has no weights
    b : b_k
    R : R_k
    layer : the layer
    shapes : the shapes of the layer's inputs, each (1, …)
    """

    number: int
    a: Terms
    w: Terms
    b: Fraction
    R: Fraction
    layer: Layer
    shapes: tuple[Shape, ...]

    @property
    def contributions(self) -> Terms:
        """z_jk = a_j w_jk."""
        return {j: self.a[j] * self.w[j] for j in self.a}

    @property
    def z(self) -> Fraction:
        """z_k = Σ_{0,j} a_j w_jk, the pre-activation."""
        return sum(self.contributions.values(), self.b)


@dataclass(frozen=True)
class Pool:
    """Terms that share a part of R_k between them, in proportion: R_{j←k} = λ · term_j / denominator · R_k.

    Attributes
    ----------
    name : what a term is, as a formula
    terms : one for every j that feeds k
    bias : the term of neuron 0
    stabiliser : what is added to the denominator
    coefficient : λ, how much of R_k the pool is given
    """

    name: str
    terms: Terms
    bias: Fraction = Fraction(0)
    stabiliser: Fraction = Fraction(0)
    coefficient: Fraction = Fraction(1)

    @cached_property
    def denominator(self) -> Fraction:
        """Σ_{0,j} term_j + stabiliser."""
        return sum(self.terms.values(), self.bias + self.stabiliser)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be in proportion to: 0/0 := 0."""
        return self.denominator == 0

    def quotient(self, R: Fraction) -> Fraction:
        """s = λ · R_k / denominator: what a term of size 1 is given, 0 in an empty pool.

        Parameters
        ----------
        R : R_k, the relevance of the upper neuron
        """
        return Fraction(0) if self.empty else self.coefficient * R / self.denominator

    @property
    def kappa(self) -> Fraction:
        """Σ|terms| / |denominator|: how much of the denominator cancels; 0 for an empty pool."""
        size = sum(map(abs, self.terms.values()), abs(self.bias) + abs(self.stabiliser))
        return Fraction(0) if self.empty else size / abs(self.denominator)


@dataclass(frozen=True)
class Account:
    """How one upper neuron k hands out its relevance.

    Parameters
    ----------
    upper : the neuron k, with its inputs, weights and R_k
    pools : the terms among which the parts of R_k are shared out, a `Pool` for each part
    """

    upper: Upper
    pools: tuple[Pool, ...]

    @cached_property
    def messages(self) -> Terms:
        """R_{j←k} for every j that feeds k."""
        messages = dict.fromkeys(self.upper.a, Fraction(0))
        for pool in self.pools:
            s = pool.quotient(self.upper.R)
            for j, term in pool.terms.items():
                messages[j] += term * s
        return messages

    @property
    def bias(self) -> Fraction:
        """What stays in the bias."""
        return sum((pool.bias * pool.quotient(self.upper.R) for pool in self.pools), Fraction(0))

    @property
    def stabiliser(self) -> Fraction:
        """What the stabiliser absorbs."""
        return sum((pool.stabiliser * pool.quotient(self.upper.R) for pool in self.pools), Fraction(0))

    @property
    def unassigned(self) -> Fraction:
        """What nobody takes: the parts of empty pools."""
        taken = sum((pool.coefficient for pool in self.pools if not pool.empty), Fraction(0))
        return self.upper.R * (1 - taken)

    @property
    def kappa(self) -> Fraction:
        """κ_k of the pool whose denominator cancels most."""
        return max((pool.kappa for pool in self.pools), default=Fraction(0))


@dataclass(frozen=True, eq=False)
class Messages:
    """All messages of a layer for one sample.

    Attributes
    ----------
    accounts : one for each upper neuron, in row-major order
    shapes : the shapes of the layer's inputs, each (1, …)
    shape : the shape of its output, (1, …)
    """

    accounts: tuple[Account, ...]
    shapes: tuple[Shape, ...]
    shape: Shape

    @cached_property
    def matrices(self) -> tuple[Array, ...]:
        """R_{j←k} as one matrix (lower, upper) for each input of the layer; 0 where j does not feed k."""
        matrices = tuple(constant(0, (math.prod(shape), len(self.accounts))) for shape in self.shapes)
        for account in self.accounts:
            for (i, j), message in account.messages.items():
                matrices[i][j, account.upper.number] = message
        return matrices

    @property
    def relevances(self) -> tuple[Array, ...]:
        """R_j = Σ_k R_{j←k}, in the shape of each input."""
        return tuple(_row_sums(m).reshape(shape) for m, shape in zip(self.matrices, self.shapes, strict=True))

    @property
    def sizes(self) -> tuple[Array, ...]:
        """Σ_k |R_{j←k}|, in the shape of each input: what the rounding error of R_j is measured by."""
        return tuple(_row_sums(abs(m)).reshape(shape) for m, shape in zip(self.matrices, self.shapes, strict=True))

    @property
    def bias(self) -> Array:
        """What stays in the bias, in the shape of the output."""
        return self._per_upper(lambda account: account.bias)

    @property
    def stabiliser(self) -> Array:
        """What the stabiliser absorbs, in the shape of the output."""
        return self._per_upper(lambda account: account.stabiliser)

    @property
    def unassigned(self) -> Array:
        """What nobody takes, in the shape of the output."""
        return self._per_upper(lambda account: account.unassigned)

    @property
    def kappa(self) -> Array:
        """κ_k, in the shape of the output."""
        return self._per_upper(lambda account: account.kappa)

    @property
    def turnover(self) -> Fraction:
        """Σ|R_k| + Σ|R_{j←k}| + Σ|bias shares|: the amount that moved."""
        moved = [abs(account.upper.R) + abs(account.bias) for account in self.accounts]
        return sum(moved, sum((size for sizes in self.sizes for size in sizes.flat), Fraction(0)))

    @property
    def fan(self) -> int:
        """1 + the larger of fan-in and fan-out: the n of the rounding bounds."""
        outgoing: dict[Lower, int] = {}
        for account in self.accounts:
            for j in account.upper.a:
                outgoing[j] = outgoing.get(j, 0) + 1
        return 1 + max([*outgoing.values(), *(len(account.upper.a) for account in self.accounts)], default=0)

    def tolerance(self, roundoff: Fraction) -> tuple[Array, ...]:
        """The rounding bound of each R_j, in the shape of each input: 4·n·u·Σ_k |R_{j←k}|·(1 + κ_k), with n the `fan`.

        Parameters
        ----------
        roundoff : the unit round-off u of the number type under test, as a `Fraction`: 2⁻⁵³ of float64, 2⁻²⁴ of float32
        """
        growth = np.array([1 + account.kappa for account in self.accounts], dtype=object)
        scale = 4 * self.fan * roundoff
        return tuple(
            scale * _row_sums(abs(m) * growth).reshape(shape) for m, shape in zip(self.matrices, self.shapes, strict=True)
        )

    def _per_upper(self, quantity: Callable[[Account], Fraction]) -> Array:
        values = np.empty(len(self.accounts), dtype=object)
        values[:] = [quantity(account) for account in self.accounts]
        return values.reshape(self.shape)


def _row_sums(matrix: Array) -> Array:
    return np.asarray([sum(row, Fraction(0)) for row in matrix], dtype=object)
