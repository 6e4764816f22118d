"""A naive walk over a graph: every node's messages from the oracle, in rationals, and how far floats may be from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from lrp_ref import Model, oracle, rules
from lrp_ref.arrays import Array, fractions
from lrp_ref.oracle import Messages

COLUMNS = ("arriving", "inputs", "bias", "stabiliser", "unassigned", "turnover")


@dataclass
class Walk:
    """What the walk found.

    Attributes
    ----------
    relevance : of every node and input that relevance reaches, exact
    error : by how much floats may differ from it, element by element
    accounts : for each node that relevance passes its columns, one number per sample
    fan : the n of its rounding bounds
    """

    relevance: dict[str, Array] = field(default_factory=dict)
    error: dict[str, Array] = field(default_factory=dict)
    accounts: dict[str, dict[str, list[Fraction]]] = field(default_factory=dict)
    fan: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, relevance: Array, error: Array) -> None:
        """Relevance adds up where the graph branches, and so do errors."""
        known = name in self.relevance
        self.relevance[name] = self.relevance[name] + relevance if known else relevance
        self.error[name] = self.error[name] + error if known else error

    def choose(self, name: str, masks: Mapping[str, Array]) -> None:
        """Keep the masked part of what has arrived at `name`."""
        if name in masks and name in self.relevance:
            self.relevance[name] = self.relevance[name] * fractions(masks[name].astype(int))

    def agrees(self, name: str, found: Array) -> bool:
        """Whether floats lie within the error of the exact relevance."""
        return bool((abs(fractions(found) - self.relevance[name]) <= self.error[name]).all())


def walk(
    model: Model,
    assigned: Mapping[str, rules.Rule],
    values: Mapping[str, Array],
    at: str,
    start: Array,
    roundoff: Fraction = Fraction(0),
    masks: Mapping[str, Array] = MappingProxyType({}),
) -> Walk:
    """From the relevance `start` of the output of `at` down to the inputs.

    A layer's messages for R_k = 1 are its shares S_jk = R_{j←k}/R_k, and R_j = Σ_k S_jk R_k by the definition of a rule. An
    error of R_k is handed on by |S_jk|, and each layer adds 4·n·u·Σ_k |S_jk R_k|·(1 + κ_k) of its own. `masks`: of the
    relevance of these nodes and inputs only what is chosen flows on.
    """
    found = Walk()
    exact = {name: fractions(a) for name, a in values.items()}
    found.put(at, fractions(start), fractions(np.zeros(start.shape)))
    for node in reversed(model.nodes):
        found.choose(node.name, masks)
        if node.name not in found.relevance or node.name not in assigned:
            continue
        R, error = found.relevance[node.name], found.error[node.name]
        parts, fan = [], 1
        columns: dict[str, list[Fraction]] = {name: [] for name in COLUMNS}
        for n in range(R.shape[0]):
            inputs = tuple(exact[name][n : n + 1] for name in node.inputs)
            unit = oracle.messages(node.layer, assigned[node.name], inputs, fractions(np.ones((1, *R.shape[1:]))))
            parts.append(_handed_on(unit, R[n].reshape(-1), error[n].reshape(-1), roundoff))
            _book(columns, unit, R[n].reshape(-1))
            fan = unit.fan
        found.accounts[node.name], found.fan[node.name] = columns, fan
        for i, name in enumerate(node.inputs):
            shape = (0, *exact[name].shape[1:])
            empty = fractions(np.zeros(shape))
            found.put(name, *(np.concatenate([empty, *(p[i][q] for p in parts)]) for q in (0, 1)))
    for name in model.inputs:
        found.choose(name, masks)
    return found


def _handed_on(unit: Messages, R: Array, error: Array, roundoff: Fraction) -> list[tuple[Array, Array]]:
    """For each input of the layer its relevance and the error of that."""
    kappa = np.array([account.kappa for account in unit.accounts], dtype=object)
    results = []
    for shares, shape in zip(unit.matrices, unit.shapes, strict=True):
        size = abs(shares)
        own = 4 * unit.fan * roundoff * ((abs(R) + error) * (1 + kappa))
        results.append(((shares @ R).reshape(shape), (size @ (error + own)).reshape(shape)))
    return results


def _book(columns: dict[str, list[Fraction]], unit: Messages, R: Array) -> None:
    """The columns of one sample: of R_k what goes to the inputs, the bias, the stabiliser, and nobody."""
    total = dict.fromkeys(COLUMNS, Fraction(0))
    for account, R_k in zip(unit.accounts, R, strict=True):
        sent = list(account.messages.values())
        total["arriving"] += R_k
        total["inputs"] += sum(sent, Fraction(0)) * R_k
        total["bias"] += account.bias * R_k
        total["stabiliser"] += account.stabiliser * R_k
        total["unassigned"] += account.unassigned * R_k
        total["turnover"] += (1 + sum(map(abs, sent), Fraction(0)) + abs(account.bias)) * abs(R_k)
    for name, value in total.items():
        columns[name].append(value)
