"""Steps for functions of each element, gates and affine maps: one pass over memory in the C core, and relevance as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ...arrays import Array, like
from ...forks import cached_property
from ...layers import activations as A
from ...layers import elementwise as E
from ...layers.base import Layer, Linear
from ...layers.linear import Scale
from ...layers.merge import Multiply
from ...layers.normalization import BatchNorm
from ...lazy_dataclass import lazy_dataclass
from ...ledger import OpenEntry
from ...messages import SYMBOLS
from ...network.model import Node
from ...rules import HalfProduct, Pass, Rule, SignalTakesAll
from ...rules.passing import PassSquash, passed_on
from ...step import BaseStep, Handed, PlanContext
from .native import _core

#: Of an array in the core; a message has an axis for the targets beside that of the batch.
MOST_AXES = 8
#: z·σ(βz) with a smaller |β| is left to the reference: the core takes σ for 0 below its range, and z may be anything there.
LEAST_BETA = 1e-3


class Function(Protocol):
    """A layer's function of arrays."""

    def __call__(self, *inputs: Array, into: Array | None = None) -> Array:
        """The output, in `into` where that is given."""


#: By exact class, for a subclass may compute something else: the core's function, and its numbers or the fields that hold them.
_FUNCTIONS: Mapping[type[Layer], tuple[Any, ...]] = {
    A.ReLU: (_core.RELU,),
    A.LeakyReLU: (_core.LEAKY, "slope"),
    A.Tanh: (_core.TANH,),
    A.Sigmoid: (_core.SIGMOID,),
    A.LogSigmoid: (_core.LOG_SIGMOID,),
    A.GELU: (_core.GELU,),
    A.Softplus: (_core.SOFTPLUS, "beta"),
    E.ELU: (_core.ELU, "alpha", 1.0),
    E.SELU: (_core.ELU, "alpha", "gamma"),
    E.CELU: (_core.CELU, "alpha"),
    E.SiLU: (_core.SILU, "beta"),
    E.Mish: (_core.MISH,),
    E.HardSigmoid: (_core.HARD_SIGMOID, "alpha", "beta"),
    E.HardSwish: (_core.HARD_SWISH,),
    E.Softsign: (_core.SOFTSIGN,),
    E.Clip: (_core.CLIP, "low", "high"),
    E.Abs: (_core.ABS,),
    E.Threshold: (_core.THRESHOLD, "threshold", "value"),
    E.Shrink: (_core.SHRINK, "threshold", "shift"),
}


def _numbered(layer: Layer) -> tuple[Any, ...] | None:
    """The core's function for a layer, with its numbers; None where it has none for these."""
    code, *fields = _FUNCTIONS[type(layer)]
    values = [getattr(layer, field) if isinstance(field, str) else field for field in fields]
    if type(layer) is A.GELU and layer.approximate == "tanh":
        return (_core.GELU_TANH,)
    if type(layer) is E.Clip:
        values = [bound if value is None else value for value, bound in zip(values, (-np.inf, np.inf), strict=True)]
    served = abs(values[0]) >= LEAST_BETA if type(layer) is E.SiLU else values[0] > 0 if type(layer) is E.CELU else True
    return (code, *values) if served else None


def function_of(layer: Layer, dtype: Any, ndim: int | None, threads: int) -> Function | None:
    """The layer as a function in the core; None where it has none.

    Parameters
    ----------
    dtype : of the model
    ndim : axes of the input, None where they are not known
    """
    pointwise, constants = _pointwise(layer, dtype, ndim)
    if pointwise is None:
        return None

    def function(*inputs: Array, into: Array | None = None) -> Array:
        found: Array = pointwise(*inputs, *constants, threads=threads, into=into)
        return found

    return function


def _pointwise(layer: Layer, dtype: Any, ndim: int | None) -> tuple[Any, tuple[Array, ...]]:
    """A function of the core, and the arrays that it takes beside the inputs."""
    template, kind = np.empty(0, dtype), type(layer)
    if kind in _FUNCTIONS:
        numbers = _numbered(layer)
        return (None if numbers is None else _core.Pointwise(*numbers)), ()
    if type(layer) is E.PReLU:
        return _core.Pointwise(_core.PRELU), (like(layer.slope, template),)
    if type(layer) is Multiply:
        return _core.Pointwise(_core.PRODUCT), () if layer.constant is None else (like(layer.constant, template),)
    if kind is Scale or (kind is BatchNorm and ndim is not None):
        assert isinstance(layer, Linear)
        offset = layer.offset(ndim or 0)
        weight = like(layer.weights[0] if offset is None or kind is Scale else layer.weights[0].reshape(offset.shape), template)
        constants = (weight,) if offset is None else (weight, like(offset, template))
        return _core.Pointwise(_core.PRODUCT if offset is None else _core.AFFINE), constants
    return None, ()


_TIMES, _SHARE = _core.Pointwise(_core.PRODUCT), _core.Pointwise(_core.SHARE)


def times(a: Array, b: Array, threads: int) -> Array:
    """a·b, which may broadcast, in the order of a's memory."""
    found: Array = _TIMES(a, b, threads=threads)
    return found


def step_for(context: PlanContext, node: Node) -> PassedFunction | None:
    """The step for a function of each element that relevance passes, or for a product that it is shared by; None for others."""
    kind = _step(context, node)
    function = None if kind is None else function_for(context, node)
    if kind is None or function is None:
        return None
    return kind((node,), context.rules[node.name], function, context.resources.threads, with_ledger=context.with_ledger)


def _step(context: PlanContext, node: Node) -> type[PassedFunction] | None:
    layer, rule = node.layer, type(context.rules[node.name])
    if rule in (Pass, PassSquash) and type(layer) not in (A.ReLU, Multiply):
        return PassedAffine if isinstance(layer, Linear) else PassedFunction
    if rule in (SignalTakesAll, HalfProduct) and type(layer) is Multiply and _is_whole(context, node, rule is SignalTakesAll):
        return SharedProduct
    return None


def _is_whole(context: PlanContext, node: Node, signal: bool) -> bool:
    """Whether no factor that takes relevance broadcasts, or is a constant, which the reference books."""
    layer, shape = node.layer, context.shapes.get(node.name)
    assert isinstance(layer, Multiply)
    if shape is None or (signal and layer.signal is None) or (layer.constant is not None and not (signal and layer.signal == 0)):
        return False
    takers = [node.inputs[layer.signal or 0]] if signal else node.inputs
    return all(context.shapes.get(name) == shape for name in takers)


def function_for(context: PlanContext, node: Node) -> Function | None:
    """What computes the node's output in the core; None where the core has no function for it."""
    if context.model.dtype == object:
        return None
    known = context.shapes.get(node.inputs[0])
    if known is not None and len(known) > MOST_AXES - 2:
        return None
    return function_of(node.layer, context.model.dtype, None if known is None else 1 + len(known), context.resources.threads)


@lazy_dataclass(frozen=True, eq=False)
class PassedFunction(BaseStep["Array | None"]):
    """Pass through a function of each element. Of either currency what goes on is R = y·c."""

    rule: Rule
    function: Function
    threads: int

    accepts_quotient = True
    keeps_nonfinite = True
    writes_into_slice = True
    backend = "compiled"
    columns = "none"

    @property
    def label(self) -> str:
        return f"compiled, elementwise, {SYMBOLS[self.takes]} → R"

    @cached_property
    def entries(self) -> tuple[OpenEntry, ...]:
        """What passes is what arrives at the node in front."""
        return (OpenEntry(self.nodes[0].name, self.rule_name),) if self.with_ledger else ()

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, Array | None]:
        output = self.function(*inputs, into=into)
        return output, output if self.takes == "ratio" else None

    def relevance(self, saved: Array | None, message: Array) -> Handed:
        return (message if saved is None else times(message, saved[:, None], self.threads),), self.entries


@lazy_dataclass(frozen=True, eq=False)
class PassedAffine(PassedFunction):
    """Pass through a Scale or a batch norm: what LRP-0 would have left in the bias is passed on too, and remarked."""

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, Array | None]:
        output = self.function(*inputs, into=into)
        return output, output if self.takes == "ratio" or self.entries else None

    def relevance(self, saved: Array | None, message: Array) -> Handed:
        if saved is None:
            return (message,), ()
        R = times(message, saved[:, None], self.threads) if self.takes == "ratio" else message
        return (R,), tuple(replace(entry, flags=self._flags(R, saved)) for entry in self.entries)

    def _flags(self, R: Array, output: Array) -> tuple[str, ...]:
        layer = self.nodes[0].layer
        assert isinstance(layer, Linear)
        offset = layer.offset(output.ndim)
        if offset is None or not output.size:
            return ()
        bias = like(offset, output)
        shares = [_SHARE(R[:, t], bias, output, threads=self.threads).sum() for t in range(R.shape[1])]
        return tuple(dict.fromkeys(passed_on(float(share)) for share in shares))


@lazy_dataclass(frozen=True, eq=False)
class SharedProduct(PassedFunction):
    """A signal times its gate, of which the signal takes all and the gate nothing (None), or both take half."""

    def relevance(self, saved: Array | None, message: Array) -> Handed:
        layer = self.nodes[0].layer
        assert isinstance(layer, Multiply)
        R = message if saved is None else times(message, saved[:, None], self.threads)
        if type(self.rule) is HalfProduct:
            R = times(R, np.full((), 0.5, R.dtype), self.threads)
            return (R, R), self.entries
        return tuple(R if index == layer.signal else None for index in range(layer.arity)), self.entries
