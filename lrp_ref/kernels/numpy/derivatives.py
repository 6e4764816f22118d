"""Steps for derivatives, R_j = Σ_k ∂z_k/∂x_j R_k: the fused steps' products, with factors of 1.

A linear layer's derivative is its adjoint, that of a maximum goes to the winner, a rearrangement moves elements back: the steps
of LRP-0, winner-takes-all and Pass do all that, without the division. Their forward halves weigh nothing, which is what predicts
(`lrp_ref.predictor`). Messages are R.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from ...arrays import Array, Shape, each_target_times
from ...errors import LrpError
from ...forks import cached_property
from ...layers.base import Elementwise
from ...layers.shape import Rearrangement
from ...lazy_dataclass import lazy_dataclass
from ...network.model import Model, Node
from ...rules import Rule
from ...step import BaseStep, Handed, PlanContext, Saved, SavedNode, Step
from .linear import FusedLinear
from .max_pooling import MaximumStep
from .pass_through import PassingStep
from .prepared import StackedLayer


def step_for(context: PlanContext, node: Node, steps: Callable[[PlanContext, Node], Step | None]) -> Step | None:
    """The step for a node under `Gradient`, None where the reference serves as well.

    Parameters
    ----------
    context, node : as of any `step_for`
    steps : the backend's `step_for`, for the rules that stand in for derivatives
    """
    # A derivative has no accounts: the reference says so.
    if context.with_ledger:
        return None
    return over(steps(context.stand_ins, node), node, context.rules[node.name])


def over(inner: Step | None, node: Node, rule: Rule) -> Step | None:
    """The derivative's step over one that computes the same output; None where there is none."""
    if isinstance(inner, FusedLinear):
        return LinearDerivative(inner.nodes, rule, inner)
    moves = isinstance(inner, PassingStep) and isinstance(node.layer, Rearrangement)
    if inner is not None and (moves or isinstance(inner, MaximumStep)):
        return replace(inner, rule=rule)
    if isinstance(node.layer, Elementwise) and type(node.layer).vjp is Elementwise.vjp:
        return ElementwiseDerivative((node,), rule, inner)
    return None if inner is None else DefinedDerivative((node,), rule, inner)


@lazy_dataclass(frozen=True, eq=False)
class Derivative(BaseStep[Saved]):
    """What the steps of derivatives have in common.

    Attributes
    ----------
    inner : the step that computes the output; None: the layer itself does
    """

    rule: Rule
    inner: Step | None

    @property
    def backend(self) -> str:
        return "numpy" if self.inner is None else self.inner.backend

    @property
    def writes_into_slice(self) -> bool:
        return self.inner is not None and self.inner.writes_into_slice

    @property
    def columns(self) -> Literal["all", "block", "none"]:
        return "all" if self.inner is None else self.inner.columns

    def _output(self, inputs: tuple[Array, ...], into: Array | None) -> Array:
        return Model.compute(self.nodes[0], inputs) if self.inner is None else self.inner.forward(*inputs, into=into)[0]


class SavedDerivative(NamedTuple):
    """The output behind a ReLU, which tells where the derivative is 1 (else ones), and the inputs' shapes."""

    output: Array
    shapes: tuple[Shape, ...]


@lazy_dataclass(frozen=True, eq=False)
class LinearDerivative(Derivative[SavedDerivative]):
    """A linear layer, with the ReLU behind it: the products of the step under LRP-0."""

    inner: FusedLinear

    @property
    def label(self) -> str:
        return f"{self.backend}, plain"

    @property
    def share_count(self) -> int:
        return self.inner.share_count

    @property
    def prepared(self) -> StackedLayer:
        """One share, the layer's own weights."""
        return self.inner.prepared

    @cached_property
    def upward(self) -> FusedLinear:
        """The step without shares: it makes no factors."""
        prepare = self.inner.prepare

        def bare(relu_follows: bool) -> StackedLayer | None:
            stacked = prepare(relu_follows)
            return None if stacked is None else replace(stacked, shares=())

        return replace(self.inner, prepare=bare)

    @cached_property
    def downward(self) -> FusedLinear:
        """The step that multiplies what arrives by its factors, and divides by nothing."""
        return replace(self.inner, takes="ratio")

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedDerivative]:
        output, _ = self.upward.forward(*inputs, into=into)
        # A ReLU's output tells where its derivative is 1.
        shown = output if len(self.nodes) == 2 else np.broadcast_to(np.ones((), output.dtype), output.shape)
        return output, SavedDerivative(shown, tuple(a.shape for a in inputs))

    def relevance(self, saved: SavedDerivative, message: Array) -> Handed:
        output = saved.output
        factor = (output > 0).astype(output.dtype) if len(self.nodes) == 2 else output
        return self.downward.messages(self.prepared, [factor], saved.shapes, message), ()


class SavedElementwise(NamedTuple):
    """The input and the output."""

    z: Array
    output: Array


@lazy_dataclass(frozen=True, eq=False)
class ElementwiseDerivative(Derivative[SavedElementwise]):
    """A function of each element: its derivative is made once for all targets."""

    @property
    def label(self) -> str:
        return f"{self.backend}, elementwise"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedElementwise]:
        output = self._output(inputs, into)
        return output, SavedElementwise(inputs[0], output)

    def relevance(self, saved: SavedElementwise, message: Array) -> Handed:
        layer = self.nodes[0].layer
        assert isinstance(layer, Elementwise)
        try:
            slope = np.broadcast_to(layer.derivative(saved.z, saved.output), saved.z.shape)
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        return (self._weighed(message, slope),), ()

    def _weighed(self, message: Array, slope: Array) -> Array:
        return each_target_times(message, slope)


@lazy_dataclass(frozen=True, eq=False)
class DefinedDerivative(Derivative[SavedNode]):
    """An output by the step inside, and the layer's own derivative for the way back."""

    @property
    def label(self) -> str:
        return f"{self.backend}, defined"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedNode]:
        output = self._output(inputs, into)
        return output, SavedNode(inputs, output)

    def relevance(self, saved: SavedNode, message: Array) -> Handed:
        node = self.nodes[0]
        try:
            targets = [self.rule.relevances(node.layer, *saved, message[:, t]) for t in range(message.shape[1])]
        except LrpError as error:
            raise error.at(node.title) from None
        return tuple(np.stack(parts, axis=1) for parts in zip(*targets, strict=True)), ()
