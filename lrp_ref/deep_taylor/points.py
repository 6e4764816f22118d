"""The answers: one neuron's relevance expanded at its root point, and those of a whole layer."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .. import rules
from ..arrays import Array, Number, Shape, frozen, total
from ..errors import ParameterError
from ..layers.base import Linear
from .lines import root_of

#: Rows of a printed table; of neurons below that are not among them the number is told.
MOST_ROWS = 20


@dataclass(frozen=True, eq=False, repr=False)
class RootPoint:
    """One upper neuron's relevance, expanded at the root point of a rule: R_k = `zero_order` + Σ `terms` + `bias`.

    Arrays have the shape of one sample of the layer's input.

    Attributes
    ----------
    layer, rule, neuron : whose root it is; `neuron` is the index in one sample of the output
    a, weight, feeds : a_j, w_jk, and whether j feeds k at all
    b, z, relevance : b_k, z_k and R_k
    c : c_k = R_k / z_k, the slope of the relevance model; 0 where both are 0
    t : how far along the rule's line the root lies
    root, root_bias : ã_j, and ã_0 of the bias neuron, whose activation is 1
    z_root : the pre-activation at ã
    terms, bias : the first-order terms (a_j − ã_j) w_jk c_k and (1 − ã_0) b_k c_k
    zero_order : z(ã) c_k, what the expansion leaves at ã
    exists : whether the rule's line meets the hinge; where it does not, ã = a and all relevance is of zero order
    in_domain : whether the root exists, lies in the rule's domain, and between a and the end of the rule's line,
        0 ≤ t ≤ 1 (the line of w² has no end)
    active : whether z_k > 0; else the ReLU of the relevance model is 0, and the terms are those of z_k c_k without it
    """

    layer: Linear
    rule: rules.Rule
    neuron: tuple[int, ...]
    a: Array
    weight: Array
    feeds: Array
    b: Number
    z: Number
    relevance: Number
    c: Number
    t: Number
    root: Array
    root_bias: Number
    z_root: Number
    terms: Array
    bias: Number
    zero_order: Number
    exists: bool
    in_domain: bool
    active: bool

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, field.name, frozen(value))

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that unpickled and copied arrays are read-only again.
        return RootPoint, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def squared_distance(self) -> Number:
        """‖ã − a‖², the bias neuron not counted; exact in rationals."""
        step = (self.root - self.a).reshape(1, -1)
        squares: Number = total(step * step, (1,))[0]
        return squares

    @property
    def distance(self) -> float:
        """‖ã − a‖: the nearer the root, the more the terms are about this input (Montavon et al. 2019, §10.2.3)."""
        return math.sqrt(self.squared_distance)

    def rows(self) -> list[list[str]]:
        """The table's cells as text: the heading, a row for every j that feeds k (at most 20), and the bias."""
        rows = [["j", "a_j", "w_jk", "root ã_j", "(a_j − ã_j) w_jk c_k"]]
        below = [tuple(int(i) for i in index) for index in np.argwhere(self.feeds)]
        columns = (self.a, self.weight, self.root, self.terms)
        rows += [[_index(j), *(_written(column[j]) for column in columns)] for j in below[:MOST_ROWS]]
        if len(below) > MOST_ROWS:
            rows.append([f"… {len(below) - MOST_ROWS} more", "", "", "", ""])
        if self.b != 0:
            rows.append(["bias", "1", *map(_written, (self.b, self.root_bias, self.bias))])
        return rows

    @property
    def sums(self) -> str:
        """The expansion in one line."""
        inputs = total(self.terms.reshape(1, -1), (1,))[0]
        parts = [(inputs, "to the inputs"), (self.bias, "in the bias"), (self.zero_order, "left at the root")]
        listed = [f"{_summand(value)} {name}" for value, name in parts if value != 0 or name == "to the inputs"]
        return f"{' + '.join(listed)} = {_written(self.relevance)} = R_k"

    @property
    def remarks(self) -> str:
        """The root in one line."""
        if not self.exists:
            return "no root: the line never meets the hinge"
        verdict = "inside" if self.in_domain else "OUTSIDE"
        found = f"z(ã) = {_written(self.z_root)},  ‖ã − a‖ = {self.distance:.4g},  {verdict} its domain"
        found += f" ({root_of(self.rule).domain})"
        return found if self.active else f"{found}; z_k ≤ 0: the relevance model is not active"

    def __repr__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        named = (("z_k", self.z), ("R_k", self.relevance), ("c_k", self.c), ("t", self.t))
        title = f"root point of neuron {_index(self.neuron)} of {self.layer!r} under {self.rule}"
        facts = ",  ".join(f"{name} = {_written(value)}" for name, value in named)
        rule = "-" * max(map(len, lines))
        return "\n".join([title, facts, "", lines[0], rule, *lines[1:], "", self.sums, self.remarks])


@dataclass(frozen=True, eq=False, repr=False)
class RootPoints:
    """The root points of all upper neurons of a layer, in row-major order; index one to see it.

    Attributes
    ----------
    points : one `RootPoint` for each upper neuron
    shape : of the layer's output for one sample, (1, …)
    """

    points: tuple[RootPoint, ...]
    shape: Shape

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[RootPoint]:
        return iter(self.points)

    def __getitem__(self, neuron: Any) -> RootPoint:
        return self.points[number(neuron, self.shape)]

    @property
    def relevances(self) -> Array:
        """R_j, the sum over k of the first-order terms: what the rule hands to the layer's input, (1, …)."""
        return total(np.stack([point.terms for point in self.points]), (0,))[None]

    @property
    def in_domain(self) -> Array:
        """For each upper neuron whether its root lies in its domain, in the shape of the output."""
        return np.array([point.in_domain for point in self.points], dtype=bool).reshape(self.shape)

    @property
    def active(self) -> Array:
        """For each upper neuron whether z_k > 0, in the shape of the output."""
        return np.array([point.active for point in self.points], dtype=bool).reshape(self.shape)

    def __repr__(self) -> str:
        inside, active = (int(np.count_nonzero(which)) for which in (self.in_domain & self.active, self.active))
        of = f"{self.points[0].layer!r} under {self.points[0].rule}"
        return f"root points of {of}: {inside} of {active} active neurons have theirs in its domain"


def number(k: Any, shape: Shape) -> int:
    """A neuron's place in row-major order from its index in one sample of an output of `shape`.

    Raises
    ------
    ParameterError
        Where there is no such neuron.
    """
    sample = shape[1:]
    try:
        index = tuple(operator.index(i) for i in (k if np.ndim(k) else (k,)))
    except TypeError:
        raise ParameterError(f"k must be an int or a tuple of ints, found {k!r}") from None
    if len(index) != len(sample) or any(not -n <= i < n for i, n in zip(index, sample, strict=True)):
        raise ParameterError(f"neuron {index} does not exist in one sample of the output, of shape {sample}")
    return int(np.ravel_multi_index(tuple(i % n for i, n in zip(index, sample, strict=True)), sample))


def _index(index: tuple[int, ...]) -> str:
    return str(index[0]) if len(index) == 1 else str(index)


def _written(value: Any) -> str:
    """A number as it is printed: a fraction while it is short, else six digits."""
    short = not isinstance(value, (float, np.floating)) and len(str(value)) <= 13
    return str(value) if short else f"{float(value) + 0.0:.6g}"  # + 0.0: no −0


def _summand(value: Any) -> str:
    return f"({_written(value)})" if value < 0 else _written(value)
