"""Steps for derivatives over the C core: dense layers and convolutions, packed for the way up and, when it is asked for, down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, Shape, each_target_times, like
from ...layers.base import Elementwise, Linear
from ...layers.conv import Conv, ConvTranspose
from ...lazy_dataclass import lazy_dataclass
from ...network.model import Model, Node
from ...rules import LinearRule, Rule, Zero
from ...step import Handed, PlanContext, Step
from ..numpy.derivatives import Derivative, ElementwiseDerivative, over
from .elementwise import PassedFunction, function_for, times
from .linear import Compiled
from .native import _core
from .packed import Taps, cells_last
from .prepared import ConvAlgorithm, PackedLayer, packed
from .product_plan import product_plan

_RULE = Zero()


def step_for(context: PlanContext, node: Node, steps: Callable[[PlanContext, Node], Step | None]) -> Step | None:
    """The compiled step for a node under `Gradient`, else NumPy's, else None.

    Parameters
    ----------
    context, node : as of any `step_for`
    steps : the backend's `step_for`, for the rules that stand in for derivatives
    """
    if context.with_ledger:
        return None
    inner, rule = steps(context.stand_ins, node), context.rules[node.name]
    if type(inner) is Compiled:
        return _product_derivative(context.model, inner, rule)
    function = function_for(context, node) if inner is None or isinstance(node.layer, Elementwise) else None
    if function is not None:
        inner = PassedFunction((node,), rule, function, context.resources.threads)
    step = over(inner, node, rule)
    if type(step) is ElementwiseDerivative and function is not None:
        return CompiledElementwise((node,), rule, inner, threads=context.resources.threads)
    return step


def _product_derivative(model: Model, inner: Compiled, rule: Rule) -> ProductDerivative:
    node, choice, threads = inner.nodes[0], inner.choice, inner.threads

    def prepare(_: bool) -> PackedLayer:
        return upward(model, node, _RULE, choice, threads)

    # What goes down is R, and no share weighs anything.
    bare = replace(inner, prepare=prepare, emits_quotient=False)
    return ProductDerivative(inner.nodes, rule, bare, model=model)


def upward(model: Model, node: Node, rule: LinearRule, choice: ConvAlgorithm, threads: int) -> PackedLayer:
    """The layer's own products, packed once for a model."""

    def build() -> tuple[PackedLayer, int]:
        plan = product_plan(node.layer, rule, False, model.dtype, False)  # type: ignore[arg-type]
        assert plan is not None
        return packed(node.layer, replace(plan, columns=()), choice, threads)

    return model.remember(("upward", node.layer, choice), build)


class Downward(Taps):
    """The adjoint of a convolution."""

    def __init__(self, layer: Conv | ConvTranspose, dtype: Any, algorithm: int, threads: int) -> None:
        super().__init__(layer)
        weight = self._upward(like(layer.weight, np.empty(0, dtype))).swapaxes(1, 2)
        self._adjoint = self._product([weight], not self._transposed, algorithm, threads)
        self.nbytes: int = self._adjoint.nbytes

    def __call__(self, cells: Array, mask: Array | None, shape: Shape, threads: int) -> Array:
        """What comes down, channels last: of cells (N·T, …), where the mask (N, …), if there is one, is not 0."""
        part = (cells, _core.COPY, None) if mask is None else (cells, _core.TIMES, mask)
        found: Array = self._run(self._adjoint, [part], not self._transposed, shape, None, threads)[0]
        return found


class SavedMask(NamedTuple):
    """The output behind a ReLU, which tells where its derivative is 1, and the input's shape."""

    output: Array | None
    shape: Shape


@lazy_dataclass(frozen=True, eq=False)
class ProductDerivative(Derivative[SavedMask]):
    """Dense, convolution or transposed convolution, with the ReLU behind it."""

    inner: Compiled
    model: Model = field(kw_only=True)

    @property
    def label(self) -> str:
        return "compiled, plain" if self.inner.dense else f"compiled, {self.inner.choice}, plain"

    @property
    def share_count(self) -> int:
        return self.inner.share_count

    @property
    def prepared(self) -> PackedLayer:
        """The layer's own weights, packed for the way up."""
        return self.inner.prepared

    @property
    def keeps_nonfinite(self) -> bool:
        """Whether what is not finite in a message is not finite below either: no product of these looks past a number."""
        return self.inner.keeps_nonfinite

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedMask]:
        output, _ = self.inner.forward(*inputs, into=into)
        # A ReLU's output tells where its derivative is 1.
        return output, SavedMask(output if self.inner.relu_follows else None, inputs[0].shape)

    def relevance(self, saved: SavedMask, message: Array) -> Handed:
        output, shape = saved
        mask = None if output is None else (output > 0).astype(output.dtype)
        return (
            self._messages_below_dense(message, mask) if self.inner.dense else self._messages_below(message, mask, shape),
        ), ()

    def _messages_below_dense(self, message: Array, mask: Array | None) -> Array:
        layer = self.inner.layer
        s = message if mask is None else each_target_times(message, mask)
        rows = np.ascontiguousarray(s).reshape(-1, s.shape[-1])
        found: Array = _core.dense(rows, _matrix(layer, s).T, self.inner.threads)
        return found.reshape(*s.shape[:-1], found.shape[-1])

    def _messages_below(self, message: Array, mask: Array | None, shape: Shape) -> Array:
        layer, threads, choice = self.inner.layer, self.inner.threads, self.inner.choice
        assert isinstance(layer, (Conv, ConvTranspose))

        def build() -> tuple[Downward, int]:
            made = Downward(layer, message.dtype, choice.downward, threads)
            return made, made.nbytes

        product: Downward = self.model.remember(("downward", layer, message.dtype, choice.downward), build)
        cells = self.inner._last(message, 2)
        folded = cells.reshape(cells.shape[0] * cells.shape[1], *cells.shape[2:])
        lower = product(folded, None if mask is None else cells_last(mask), shape[2:], threads)
        return self.inner._first(lower.reshape(*cells.shape[:2], *lower.shape[1:]), 2)


@lazy_dataclass(frozen=True, eq=False)
class CompiledElementwise(ElementwiseDerivative):
    """A function of each element in the core; its derivative is NumPy's."""

    threads: int = 1

    def _weighed(self, message: Array, slope: Array) -> Array:
        return times(message, np.ascontiguousarray(slope)[:, None] if 0 in slope.strides else slope[:, None], self.threads)


def _matrix(layer: Linear, template: Array) -> Array:
    w = like(layer.weights[0], template)
    return w if w.flags.c_contiguous or w.flags.f_contiguous else np.ascontiguousarray(w)
