"""The n of the ledger's bound, |rounding| ≤ 4·n·u·turnover: 1 + the larger of a node's fan-in and fan-out."""

from math import prod

import numpy as np

from lrp_ref import layers as L
from lrp_ref.explainer import Explainer
from lrp_ref.layers.base import Layer
from lrp_ref.layers.norms import Normalised
from lrp_ref.layers.pooling import GlobalSumPool, Pooling, SumPool
from lrp_ref.layers.recurrent.base import Cells
from lrp_ref.propagate.explanation import Explanation
from lrp_ref.propagate.plan import Plan


def fan(layer: Layer, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    """1 + the larger of fan-in and fan-out, from above, for the shapes of one sample (a leading batch axis of 1)."""
    if isinstance(layer, (L.Conv, L.ConvTranspose)):
        # Either side may be the one whose channels are listed whole: both are counted whole.
        return 1 + max(layer.weight.shape[:2]) * prod(layer.weight.shape[2:])
    if isinstance(layer, L.Dense):
        return 1 + max(layer.weight.shape)
    if isinstance(layer, (SumPool, Pooling)) and hasattr(layer, "kernel"):
        kernel = layer.kernel
        return 1 + (prod(kernel) if isinstance(kernel, tuple) else int(kernel) ** (len(output) - 2))
    if isinstance(layer, (GlobalSumPool, L.Mean, Normalised, Pooling)):
        return 1 + prod(inputs[0])
    if isinstance(layer, L.Upsample):
        return 1 + prod(output) // max(1, prod(inputs[0])) * 4
    if isinstance(layer, Cells):
        return 1 + max(layer.features + layer.hidden + 1, len(layer.gate_names) * layer.hidden)
    return 1 + max(2, len(inputs))


def outside_the_bound(e: Explanation, made: Plan) -> list[str]:
    """The nodes whose accounts leave over more than rounding explains, with how much; empty where the ledger closes."""
    assert e.ledger is not None
    shapes = made.model.shapes({name: e.activations[name].shape for name in made.model.inputs})
    u = float(np.finfo(made.model.dtype).eps) / 2
    wrong = []
    for entry in e.ledger:
        if entry.node not in made.model:
            continue  # where relevance starts
        node = made.model[entry.node]
        n = fan(node.layer, [shapes[name] for name in node.inputs], shapes[node.name])
        rounding, allowed = abs(entry.booking.rounding), 4 * n * u * entry.booking.turnover
        if not (rounding <= allowed).all():
            wrong.append(f"{node.title}: {rounding.max():.3g} of at most {allowed.min():.3g}")
    return wrong


def closes(explainer: Explainer, x: np.ndarray, **call: object) -> Explanation:
    """Explain, and assert that every node's accounts close; the explanation."""
    e = explainer(x, **call)
    wrong = outside_the_bound(e, explainer.plan({explainer.model.inputs[0]: x.shape[1:]}))
    assert not wrong, wrong
    return e
