"""One neuron explained: the table that a student fills in by hand."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from typing import Any

import numpy as np

from .. import rules
from ..arrays import Shape
from ..errors import ParameterError
from ..layers.base import Layer, Linear
from .account import Account, Lower, Pool
from .messages import formula_of, upper_neurons

#: A fraction that takes more characters than this is printed as a decimal number alone.
WIDEST = 13


def written(value: Fraction) -> str:
    """A fraction with its decimal value beside it: 8/3 (2.66667); a long one as ≈0.1."""
    if value.denominator == 1 and len(str(value)) <= WIDEST:
        return str(value)
    decimal = f"{float(value):.6g}"
    return f"{value} ({decimal})" if len(str(value)) <= WIDEST else f"≈{decimal}"


@dataclass(frozen=True, eq=False)
class NeuronTable:
    """How one upper neuron shares its relevance, as a table; `print` it, or let a notebook show it.

    Attributes
    ----------
    account : the numbers, as fractions
    layer, rule : what they belong to
    neuron : the neuron's index in one sample of the output
    """

    account: Account
    layer: Layer
    rule: rules.Rule
    neuron: tuple[int, ...]

    @property
    def title(self) -> str:
        """Which neuron, of which layer, under which rule."""
        return f"neuron {_index(self.neuron)} of {self.layer!r} under {self.rule}"

    @property
    def facts(self) -> str:
        """What the neuron has: R_k, and z_k in a linear layer."""
        known = f"R_k = {written(self.account.upper.R)}"
        return f"z_k = {written(self.account.upper.z)},  {known}" if self._weighted else known

    @property
    def sums(self) -> str:
        """The account in one line."""
        account = self.account
        parts = [
            (sum(account.messages.values(), Fraction(0)), "to the inputs"),
            (account.bias, "in the bias"),
            (account.stabiliser, "in the stabiliser"),
            (account.unassigned, "unassigned"),
        ]
        total = sum((value for value, _ in parts), Fraction(0))
        listed = " + ".join(f"{_summand(value)} {name}" for value, name in parts if value or name == "to the inputs")
        return f"{listed} = {written(total)} = R_k"

    @property
    def _weighted(self) -> bool:
        return isinstance(self.layer, Linear) and not isinstance(self.rule, rules.Pass)

    def rows(self) -> list[list[str]]:
        """The table's cells as text: the heading, a row for every j that feeds k, bias, stabiliser, sums, quotients."""
        account, upper = self.account, self.account.upper
        columns: list[tuple[str, Callable[[Lower], Fraction], Fraction]] = [("a_j", lambda j: upper.a[j], Fraction(1))]
        if self._weighted:
            columns += [
                ("w_jk", lambda j: upper.w[j], upper.b),
                ("z_jk = a_j w_jk", lambda j: upper.contributions[j], upper.b),
            ]
        pools = [pool for pool in account.pools if pool.coefficient or not pool.empty]
        heading = ["j", *(name for name, _, _ in columns), *(pool.name for pool in pools), "R_{j←k}"]
        rows = [heading]
        for j, message in account.messages.items():
            cells = [value(j) for _, value, _ in columns] + [pool.terms[j] for pool in pools] + [message]
            rows.append([self._label(j), *map(written, cells)])
        if self._weighted and upper.b:
            cells = [of_bias for _, _, of_bias in columns] + [pool.bias for pool in pools] + [account.bias]
            rows.append(["bias", *map(written, cells)])
        blank = [""] * len(columns)
        if any(pool.stabiliser for pool in pools):
            rows.append(["stabiliser", *blank, *(written(p.stabiliser) for p in pools), written(account.stabiliser)])
        return [*rows, *self._foot(pools, blank)]

    def _foot(self, pools: list[Pool], blank: list[str]) -> list[list[str]]:
        """Sums, the parts of R_k where they are not simply 1, and the quotients that multiply the terms."""
        account = self.account
        handed = sum(account.messages.values(), account.bias + account.stabiliser)
        rows = [["sum", *blank, *(written(pool.denominator) for pool in pools), written(handed)]]
        if any(pool.coefficient != 1 for pool in pools):
            rows.append(["part of R_k", *blank, *(written(pool.coefficient) for pool in pools), ""])
        quotients = ["empty: 0" if p.empty else written(p.quotient(account.upper.R)) for p in pools]
        rows.append(["× " + ("part · " if len(rows) > 1 else "") + "R_k / sum", *blank, *quotients, ""])
        if account.unassigned:
            rows.append(["unassigned", *blank, *("" for _ in pools), written(account.unassigned)])
        return rows

    def _label(self, j: Lower) -> str:
        index = _index(tuple(int(i) for i in np.unravel_index(j[1], self.account.upper.shapes[j[0]][1:])))
        return index if len(self.account.upper.shapes) == 1 else f"input {j[0]}: {index}"

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        padded = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
        head, *body = ["  ".join(cells).rstrip() for cells in padded]
        line = "-" * (sum(widths) + 2 * (len(widths) - 1))
        foot = next(i for i, row in enumerate(rows[1:]) if row[0] == "sum")
        return "\n".join([self.title, self.facts, "", head, line, *body[:foot], line, *body[foot:], "", self.sums])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *rows = self.rows()
        titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        body = "".join(
            f"<tr><th style='text-align:left'>{escape(row[0])}</th>"
            + "".join(f"<td style='text-align:right'>{escape(cell)}</td>" for cell in row[1:])
            + "</tr>"
            for row in rows
        )
        return (
            f"<p>{escape(self.title)}<br>{escape(self.facts)}</p>"
            f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table><p>{escape(self.sums)}</p>"
        )


def _index(index: tuple[int, ...]) -> str:
    return str(index[0]) if len(index) == 1 else str(index)


def _summand(value: Fraction) -> str:
    return f"({written(value)})" if value < 0 else written(value)


def _number(neuron: Any, shape: Shape) -> tuple[tuple[int, ...], int]:
    """A neuron's index in one sample, and its place in row-major order."""
    sample = shape[1:]
    try:
        index = (operator.index(neuron),) if np.ndim(neuron) == 0 else tuple(operator.index(i) for i in neuron)
    except TypeError:
        raise ParameterError(f"neuron must be an int or a tuple of ints, found {neuron!r}") from None
    inside = len(index) == len(sample) and all(-extent <= i < extent for i, extent in zip(index, sample, strict=True))
    if not inside:
        raise ParameterError(f"neuron {index} does not exist in one sample of the output, of shape {sample}")
    index = tuple(i % extent for i, extent in zip(index, sample, strict=True))
    return index, int(np.ravel_multi_index(index, sample))


def explain_neuron(layer: Layer, rule: rules.Rule, a: Any, R: Any, neuron: Any) -> NeuronTable:
    """How one neuron of a layer's output shares its relevance among what feeds it, as a table of fractions.

    Parameters
    ----------
    layer, rule, a, R : as for `messages`
    neuron : its index in one sample of the output, an int or a tuple; (channel, row, column) in an image

    Raises
    ------
    ParameterError
        Where there is no such neuron.
    """
    uppers, _, shape = upper_neurons(layer, rule, a, R)
    index, number = _number(neuron, shape)
    return NeuronTable(Account(uppers[number], formula_of(rule)(rule, uppers[number])), layer, rule, index)
