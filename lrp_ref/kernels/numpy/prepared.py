"""Per-layer preparation for the NumPy steps: simplify the shares, and stack their weights for one product."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...arrays import Array, Stabiliser, like
from ...errors import LrpError
from ...held import root
from ...layers.base import Layer, Linear
from ...layers.conv import Conv
from ...layers.linear import Dense
from ...lazy_dataclass import lazy_dataclass
from ...network.model import Model, Node
from ...rules import LinearRule
from ...rules.terms import IDENTITY, NEGATIVE, NEGATIVE_ONLY, POSITIVE, Share, Where
from .matrix_products import stack


@lazy_dataclass(frozen=True, eq=False)
class Reduced:
    """A share whose features are the input itself: λ, one weight for each input (None: no term), bias, stabiliser, where."""

    coefficient: Array
    weights: tuple[Array | None, ...]
    bias: Array | None
    stabiliser: Stabiliser
    where: Where
    is_preactivation: bool  # whether its denominator is the layer's own pre-activation

    @property
    def weighted(self) -> bool:
        """Whether any input has a term."""
        return any(w is not None for w in self.weights)


@lazy_dataclass(frozen=True, eq=False)
class StackedLayer:
    """A layer under a rule: its shares, and for Dense and Conv their weights stacked for one product."""

    shares: tuple[Reduced, ...]
    bias: Array | None
    weights: tuple[Array, ...]  # the layer's own, in the model's number type
    forward: Array | None = None  # stacked: the layer's own weight, then those of the shares that are not plain
    backward: Array | None = None  # stacked: the shares' weights


def prepared(
    model: Model, node: Node, rule: LinearRule, nonnegative: tuple[bool, ...], relu_follows: bool
) -> StackedLayer | None:
    """The layer under the rule; `relu_follows` leaves out the shares for z < 0."""
    if not declares(rule):
        return None  # a rule that does more than declare shares takes the reference step

    def build() -> tuple[StackedLayer | None, int]:
        stacked = _prepare(node.layer, rule, nonnegative, model.dtype, relu_follows)  # type: ignore[arg-type]
        return stacked, 0 if stacked is None else _size(stacked, node.layer)

    if type(rule).__hash__ is None:
        return build()[0]
    return model.remember((node.layer, rule, nonnegative, relu_follows), build)


def prepared_sum(layer: Linear, rule: LinearRule, nonnegative: tuple[bool, ...], dtype: Any) -> StackedLayer | None:
    """A layer of no node, whose weights are too small to keep."""
    return _prepare(layer, rule, nonnegative, dtype, False) if declares(rule) else None


def declares(rule: LinearRule) -> bool:
    """Whether the rule does nothing but declare shares."""
    more = any(getattr(type(rule), name) is not getattr(LinearRule, name) for name in ("divided", "propagate", "relevances"))
    return not more and rule.empty == "drop"


def _size(stacked: StackedLayer, layer: Layer) -> int:
    """The bytes that preparing took beyond the layer's own parameters."""
    arrays = [stacked.forward, stacked.backward, *(w for share in stacked.shares for w in share.weights)]
    bases = {id(base): base for a in arrays if a is not None for base in [root(a)]}
    layer_arrays = {id(root(w)) for w in layer.parameters.values()}
    return sum(base.nbytes for key, base in bases.items() if key not in layer_arrays)


def _prepare(
    layer: Linear, rule: LinearRule, nonnegative: tuple[bool, ...], dtype: Any, relu_follows: bool
) -> StackedLayer | None:
    template = np.empty(0, dtype)
    weights = tuple(like(w, template) for w in layer.weights)
    offset = layer.offset(0)  # of these layers it does not depend on the rank
    bias = None if offset is None else like(offset, template)
    try:
        positions = list(zip(*(rule.shares(w, bias) for w in weights), strict=True))
    except LrpError:
        return None  # the reference step says what is wrong, with the data at hand
    shares = []
    for position in positions:
        reduced = _reduce(position, weights, bias, nonnegative, template)
        if reduced is None:
            return None
        if not (relu_follows and reduced.where is NEGATIVE_ONLY):
            shares.append(reduced)
    if isinstance(layer, (Dense, Conv)):
        return _stacked(layer, tuple(shares), bias, weights)
    return StackedLayer(tuple(shares), bias, weights)


def _stacked(
    layer: Dense | Conv, shares: tuple[Reduced, ...], bias: Array | None, layer_weights: tuple[Array, ...]
) -> StackedLayer:
    """The layer's own weight and the shares' in one array, and the part of it that the way back needs: a view, if it can be."""
    upward = [(s, w) for s in shares if (w := s.weights[0]) is not None]
    extra = [w for s, w in upward if not s.is_preactivation]
    forward = stack(layer, [layer_weights[0], *extra])
    if len(extra) == len(upward):
        backward = forward[:, forward.shape[1] // (1 + len(extra)) :]
    else:
        backward = stack(layer, [w for _, w in upward])
    # From here on the stacked arrays hold the numbers; a share has to know only that it has a weight.
    without_weights = tuple(
        s if s.is_preactivation or s.weights[0] is None else replace(s, weights=(forward[:0],)) for s in shares
    )
    return StackedLayer(without_weights, bias, layer_weights, forward, backward if upward else None)


def _reduce(
    position: tuple[Share, ...],
    layer_weights: tuple[Array, ...],
    bias: Array | None,
    nonnegative: tuple[bool, ...],
    template: Array,
) -> Reduced | None:
    """Simplify a share for inputs known to be ≥ 0 (a⁺ → a, a⁻ → dropped); None if its features do not all reduce to a."""
    weights: list[Array | None] = []
    for share, known in zip(position, nonnegative, strict=True):
        terms = [t.weight for t in share.terms if not (known and t.feature is NEGATIVE)]
        features = [t.feature for t in share.terms if not (known and t.feature is NEGATIVE)]
        if any(not (f is IDENTITY or (known and f is POSITIVE)) for f in features) or len(terms) > 1:
            return None
        weights.append(terms[0] if terms else None)
    first = position[0]
    plain = first.bias is bias and all(w is o for w, o in zip(weights, layer_weights, strict=True))
    return Reduced(like(first.coefficient, template), tuple(weights), first.bias, first.stabiliser, first.where, plain)
