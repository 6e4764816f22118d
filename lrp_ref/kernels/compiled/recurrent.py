"""The usual LSTM under the ε-rule and any of the four product rules, and the usual GRU under LRP-all, in C.

Everything that a step does to relevance is linear in it (`_ext/recurrent/recurrent_weights.inc`, `gru.inc`), so its denominators
and product rules are taken care of on the way up, which leaves factors, and the way down is multiplications alone. What is lost
at each unit is linear in it too, and is accounted for on the way down (`_ext/recurrent/recurrent_account.inc`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array
from ...errors import LrpError
from ...layers.base import Layer
from ...layers.recurrent import GRU, LSTM
from ...layers.recurrent.base import Cells, ends
from ...lazy_dataclass import lazy_dataclass
from ...ledger import PLACES, OpenEntry
from ...network.model import Node
from ...rules import (
    AbsoluteProduct,
    Epsilon,
    HalfProduct,
    LinearRule,
    ProportionalProduct,
    RelativeEpsilon,
    SignalTakesAll,
    ThroughTime,
    Zero,
)
from ...rules.recurrent.over_time import backward_through_time, cell_backward
from ...step import Handed, PlanContext
from ..numpy import recurrent
from ..numpy.recurrent import RecurrentStep, UnrolledStep
from .accounts import amounts
from .native import _core

_RETURNS = {"last": 0, "all": 1, "cell": 2}


def step_for(context: PlanContext, node: Node) -> CompiledRecurrentStep | UnrolledStep | None:
    """The compiled step for an LSTM or a GRU, else NumPy's for a recurrent layer, else None."""
    layer, rule, model = node.layer, context.rules[node.name], context.model
    code = _code(rule) if type(rule) is ThroughTime else None
    kind = None if code is None else _kind(layer, code[0] == 0)
    if code is None or kind is None:
        return recurrent.step_for(context, node)
    assert isinstance(rule, ThroughTime)
    all_gates, with_ledger = code[0] != 0, context.with_ledger

    def prepare() -> Any:
        key = (kind, layer, all_gates, with_ledger)
        return model.remember(key, lambda: _prepared(layer, all_gates, with_ledger, model.dtype))  # type: ignore[arg-type]

    return CompiledRecurrentStep(
        (node,), rule, prepare=prepare, code=code, threads=context.resources.threads, with_ledger=with_ledger
    )


def _kind(layer: Layer, signal_takes_all: bool) -> str | None:
    """Which prepared layer of the core serves, None where none does: a GRU's gates get nothing there."""
    if type(layer) is LSTM and _usual(layer):
        return "lstm"
    usual = type(layer) is GRU and (layer.gate_activation, layer.activation) == ("sigmoid", "tanh")
    return "gru" if usual and signal_takes_all else None


def _usual(layer: LSTM) -> bool:
    squashes = (layer.gate_activation, layer.activation, layer.state_activation) == ("sigmoid", "tanh", "tanh")
    return squashes and layer.gates == "ifog" and layer.peepholes is None and layer.scale == layer.state_scale == 1


def _code(rule: ThroughTime) -> tuple[int, bool, float, float, float] | None:
    """Product rule, operands, and the ε of products, linear maps and sums, as the C core takes them."""
    kinds: tuple[type, ...] = (SignalTakesAll, ProportionalProduct, AbsoluteProduct, HalfProduct)
    linear, total = _epsilon(rule.linear), _epsilon(rule.accumulation)
    if type(rule.product) not in kinds or linear is None or total is None:
        return None
    epsilon = float(getattr(rule.product, "epsilon", 0))
    return kinds.index(type(rule.product)), rule.operands == "pre", epsilon, linear, total


def _epsilon(rule: LinearRule) -> float | None:
    """The ε of a signed ε-rule, 0 of LRP-0; None of any other rule."""
    if type(rule) is Zero:
        return 0.0
    if type(rule) is not Epsilon or not rule.signed or isinstance(rule.epsilon, RelativeEpsilon):
        return None
    return float(rule.epsilon)


def _prepared(layer: Cells, all_gates: bool, with_ledger: bool, dtype: Any) -> tuple[Any, int]:
    weight, recurrent_weight = (np.ascontiguousarray(a, dtype) for a in (layer.weight_input, layer.weight_recurrent))
    bias = None if layer.bias is None else np.ascontiguousarray(layer.bias, dtype)
    backwards = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[layer.direction]
    if isinstance(layer, GRU):
        inner = None if layer.bias_recurrent is None else np.ascontiguousarray(layer.bias_recurrent, dtype)
        packed: _core.LSTM = _core.GRU(weight, recurrent_weight, bias, inner, backwards, layer.linear_before_reset, with_ledger)
    else:
        packed = _core.LSTM(weight, recurrent_weight, bias, backwards, all_gates, with_ledger)
    return packed, packed.nbytes


class SavedRecurrent(NamedTuple):
    """What the way back of a layer in the core needs.

    Attributes
    ----------
    packed : the layer's weights
    factors : what the core's forward pass leaves
    call : what the forward pass was called with
    inputs : where a denominator is out of range
    """

    packed: Any
    factors: Any
    call: tuple[Any, ...]
    inputs: tuple[Array, ...] | None


@lazy_dataclass(frozen=True, eq=False, kw_only=True)
class CompiledRecurrentStep(RecurrentStep[SavedRecurrent]):
    """One pass over time and back."""

    prepare: Callable[[], Any]
    code: tuple[int, bool, float, float, float]
    threads: int = 1

    backend = "compiled"
    columns = "none"

    @property
    def label(self) -> str:
        return "compiled, through time"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedRecurrent]:
        layer, a, lengths = self.layer, inputs[0], None
        read = dict(zip(layer.reads, inputs[1:], strict=True))
        if "lengths" in read:
            try:
                lengths = ends(read["lengths"], a.shape[1])
            except LrpError as error:
                raise error.at(self.nodes[0].title) from None
        states = [_state(layer, name, read, a) if name in layer.states else None for name in ("hidden", "cell")]
        call = (np.ascontiguousarray(a), lengths, states, _RETURNS[layer.returns], self.code)
        packed = self.prepare()
        output, factors, odd = packed.forward(*call, self.threads)
        return output, SavedRecurrent(packed, factors, call, inputs if odd else None)

    def relevance(self, saved: SavedRecurrent, message: Array) -> Handed:
        packed, factors, call, inputs = saved
        lower, hidden, cell, accounts = packed.relevance(factors, np.ascontiguousarray(message), *call, self.threads)
        states = {"hidden": hidden, "cell": cell}
        messages: tuple[Array, ...] = (lower,)
        if self.layer.reads:
            below = states | {"lengths": np.zeros(message.shape[:2], message.dtype)}
            messages = (lower, *(below[name] for name in self.layer.reads))
        if inputs is not None:
            # A denominator is out of range: the definition refuses it, or finds an exact zero, and then says the same.
            for t in range(message.shape[1]):
                self._check_by_definition(inputs, message[:, t])
        return messages, (self._entry(accounts, states),) if self.with_ledger else ()

    def _entry(self, accounts: tuple[Array, ...], states: dict[str, Array]) -> OpenEntry:
        """The accounts of the core, and what an initial state that is a constant keeps."""
        columns, stabiliser, unassigned, bias = accounts
        details = {"bias": bias, "stabiliser": stabiliser, "unassigned": unassigned}
        for name in self.layer.states:
            if name in self.layer.reads:
                continue
            if getattr(self.layer, f"initial_{name}") is None:
                details[f"initial {name}"] = np.zeros(columns.shape[:2])  # 0 takes nothing
                continue
            details[f"initial {name}"], size = amounts(states[name], None, self.threads)
            columns[..., PLACES["bias"]] += details[f"initial {name}"]
            columns[..., PLACES["turnover"]] += size
        return OpenEntry(self.nodes[0].name, self.rule_name, columns, details=details, adds=True)

    def _check_by_definition(self, inputs: tuple[Array, ...], relevance: Array) -> None:
        """The definition's way back, for its errors."""
        try:
            cells = cell_backward(self.rule, self.layer, self.layer.unroll(*inputs), with_ledger=False)
            backward_through_time(cells, np.ascontiguousarray(relevance))
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None


def _state(layer: Cells, name: str, read: dict[str, Array], a: Array) -> Array | None:
    """An initial state as (N, directions·hidden), None where it is 0."""
    if name in read:
        return np.ascontiguousarray(read[name])
    constant = getattr(layer, f"initial_{name}")
    if constant is None:
        return None
    return np.ascontiguousarray(np.broadcast_to(constant.reshape(-1), (len(a), constant.size)), a.dtype)
