"""Steps for derivatives, R_j = Σ_k ∂z_k/∂x_j R_k: the fused steps' products, with factors of 1.

A linear layer's derivative is its adjoint, that of a maximum goes to the winner, a rearrangement moves elements back: the steps
of LRP-0, winner-takes-all and Pass do all that, without the division. Their forward halves weigh nothing, which is what predicts
(`lrp_ref.predictor`). Messages are R.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...arrays import Array
from ...errors import LrpError
from ...forks import cached_property
from ...layers.base import Elementwise
from ...layers.shape import Rearrangement
from ...lazy_dataclass import lazy_dataclass
from ...messages import MessageKind
from ...network.model import Model, Node
from ...rules import Rule
from ...step import PlanContext
from .linear import FusedLinear
from .passing import PassThrough, Winners
from .pooling import Surrogate
from .prepared import Prepared


def step_for(context: PlanContext, node: Node, steps: Callable[[PlanContext, Node], Any]) -> Any:
    """The step for a node under `Gradient`, None where the reference serves as well.

    Parameters
    ----------
    context, node : as of any `step_for`
    steps : the backend's `step_for`, for the rules that stand in for derivatives
    """
    # A derivative has no accounts: the reference says so.
    return None if context.with_ledger else over(steps(context.stand_ins, node), node, context.rules[node.name])


def over(inner: Any, node: Node, rule: Rule) -> Any:
    """The derivative's step over one that computes the same output; None where there is none."""
    if isinstance(inner, FusedLinear) and not isinstance(inner, Surrogate):
        return LinearDerivative(inner.nodes, rule, inner)
    moves = isinstance(inner, PassThrough) and isinstance(node.layer, Rearrangement)
    if moves or isinstance(inner, Winners):
        return replace(inner, rule=rule)
    if isinstance(node.layer, Elementwise) and type(node.layer).vjp is Elementwise.vjp:
        return ElementwiseDerivative((node,), rule, inner)
    return None if inner is None else DefinedDerivative((node,), rule, inner)


@lazy_dataclass(frozen=True, eq=False)
class Derivative:
    """What the steps of derivatives have in common.

    Attributes
    ----------
    inner : the step that computes the output; None: the layer itself does
    """

    nodes: tuple[Node, ...]
    rule: Rule
    inner: Any
    takes: MessageKind = "R"
    with_ledger: bool = False

    accepts_quotient = False
    emits: MessageKind = "R"

    @property
    def backend(self) -> str:
        """The first word of the label: that of the step inside."""
        return "numpy" if self.inner is None else str(self.inner.label).partition(",")[0]

    @property
    def places(self) -> bool:
        """Whether the output can go into a slice of another."""
        return bool(getattr(self.inner, "places", False))

    def _output(self, inputs: tuple[Array, ...], placed: dict[str, Any]) -> Array:
        output: Array = Model.compute(self.nodes[0], inputs) if self.inner is None else self.inner.forward(*inputs, **placed)[0]
        return output


@lazy_dataclass(frozen=True, eq=False)
class LinearDerivative(Derivative):
    """A linear layer, with the ReLU behind it: the products of the step under LRP-0."""

    inner: FusedLinear

    @property
    def label(self) -> str:
        return f"{self.backend}, plain"

    @property
    def prepared(self) -> Prepared:
        """One share, the layer's own weights."""
        return self.inner.prepared

    @cached_property
    def upward(self) -> FusedLinear:
        """The step without shares: it makes no factors."""
        prepare = self.inner.prepare

        def bare(rectified: bool) -> Prepared | None:
            made = prepare(rectified)
            return None if made is None else replace(made, shares=())

        return replace(self.inner, prepare=bare)

    @cached_property
    def downward(self) -> FusedLinear:
        """The step that multiplies what arrives by its factors, and divides by nothing."""
        return replace(self.inner, takes="c")

    def forward(self, *inputs: Array, **placed: Any) -> tuple[Array, Any]:
        output, _ = self.upward.forward(*inputs, **placed)
        # A ReLU's output tells where its derivative is 1.
        kept = output if len(self.nodes) == 2 else np.broadcast_to(np.ones((), output.dtype), output.shape)
        return output, (kept, tuple(a.shape for a in inputs))

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[()]]:
        output, shapes = saved
        factor = (output > 0).astype(output.dtype) if len(self.nodes) == 2 else output
        return self.downward._down(self.prepared, [factor], shapes, message), ()


@lazy_dataclass(frozen=True, eq=False)
class ElementwiseDerivative(Derivative):
    """A function of each element: its derivative is made once for all targets."""

    @property
    def label(self) -> str:
        return f"{self.backend}, elementwise"

    def forward(self, *inputs: Array, **placed: Any) -> tuple[Array, Any]:
        output = self._output(inputs, placed)
        return output, (inputs[0], output)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[()]]:
        z, output = saved
        layer = self.nodes[0].layer
        assert isinstance(layer, Elementwise)
        try:
            slope = np.broadcast_to(layer.derivative(z, output), z.shape)
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        return (self._weighed(message, slope),), ()

    def _weighed(self, message: Array, slope: Array) -> Array:
        return np.asarray(message * slope[:, None])


@lazy_dataclass(frozen=True, eq=False)
class DefinedDerivative(Derivative):
    """An output by the step inside, and the layer's own derivative for the way back."""

    @property
    def label(self) -> str:
        return f"{self.backend}, defined"

    def forward(self, *inputs: Array, **placed: Any) -> tuple[Array, Any]:
        output = self._output(inputs, placed)
        return output, (inputs, output)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[()]]:
        node, (inputs, output) = self.nodes[0], saved
        try:
            found = [self.rule.relevances(node.layer, inputs, output, message[:, t]) for t in range(message.shape[1])]
        except LrpError as error:
            raise error.at(node.place) from None
        return tuple(np.stack(parts, axis=1) for parts in zip(*found, strict=True)), ()
