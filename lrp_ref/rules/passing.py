"""Pass: relevance goes through unchanged."""

from __future__ import annotations

from typing import ClassVar

from ..arrays import Array, divide, like
from ..errors import RuleError
from ..layers.activations import Activation, Softmax
from ..layers.base import BaseEmbedding, Layer, Linear
from ..layers.norms import LRN
from ..layers.shape import Rearrangement
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .base import Rule


@lazy_dataclass(frozen=True)
class Pass(Rule):
    """Relevance through activations (Samek et al. 2021, §1.4.3) and layers that only move elements, unchanged.

        R_j = R_k

    An embedding's words get what their vectors got (Arras et al. 2017). Local response normalisation is ignored too (Bach et al.
    2015). A layer that computes something needs one input of the output's shape. Where such a layer has a bias (a batch norm or
    a Scale that could not be folded), what LRP-0 would have left in that bias is passed on too, and the ledger reports it.
    """

    source: ClassVar[str] = "Bach et al. 2015; Samek et al. 2021, §1.4.3"
    serves: ClassVar[str] = "activations, layers that only move elements, embeddings, and one-input layers that keep the shape"
    formula: ClassVar[str] = r"R_j = R_k"
    usage: ClassVar[str] = "activations, shape layers, embeddings, normalisation that cannot be folded"

    def fits(self, layer: Layer) -> bool:
        if isinstance(layer, (Activation, Rearrangement, LRN, BaseEmbedding)):
            return not isinstance(layer, Softmax)
        return isinstance(layer, Linear) and layer.arity == 1

    def propagate(
        self, layer: Layer, inputs: tuple[Array, ...], output: Array, relevance: Array
    ) -> tuple[tuple[Array, ...], Booking]:
        self.require(layer)
        if isinstance(layer, Rearrangement):
            relevances = layer.adjoint(relevance, *(a.shape for a in inputs))
            kept = sum(r.size for r in relevances) == relevance.size
            # Only padding loses elements: what was given to constant zeros belongs to no input.
            return relevances, _moved(relevance, relevances, kept)
        if isinstance(layer, BaseEmbedding):
            relevances = (layer.sum_vectors(relevance),)
            return relevances, Booking.handed_on(relevance, relevances, messages=(relevance,))
        if inputs[0].shape != output.shape:
            raise RuleError(
                f"Pass needs equal shapes, {type(layer).__name__} turns {inputs[0].shape} into {output.shape}; "
                "use a rule for linear layers"
            )
        return (relevance,), Booking.handed_on(relevance, (relevance,), flags=_bias_flag(layer, output, relevance))


@lazy_dataclass(frozen=True)
class PassSquash(Pass):
    """`Pass` through a softmax too, where its probability is explained and not the score before it.

    The head "probability" gives it to the squash; nothing else does, since a softmax inside a network mixes its inputs.
    """

    serves: ClassVar[str] = "softmax and sigmoid layers whose probabilities are explained themselves"
    usage: ClassVar[str] = 'the head "probability"'

    def fits(self, layer: Layer) -> bool:
        return isinstance(layer, Activation)


def _moved(relevance: Array, relevances: tuple[Array, ...], kept: bool) -> Booking:
    booking = Booking.handed_on(relevance, relevances)
    if kept:
        return booking
    from dataclasses import replace

    return replace(booking, unassigned=booking.arriving - booking.inputs)


def _bias_flag(layer: Layer, output: Array, relevance: Array) -> tuple[str, ...]:
    bias = layer.offset(output.ndim) if isinstance(layer, Linear) else None
    if bias is None or not output.size:
        return ()
    share = (divide(relevance * like(bias, output), output, output != like(0, output))).sum()
    return (passed_on(float(share)),)


def passed_on(share: float) -> str:
    """The remark on a share that LRP-0 would have left in a bias."""
    return f"passes on {share:.3g}, which LRP-0 would have left in the bias"
