"""A one-input linear layer under a rule, as products: which features meet which weights, on the way up and on the way down.

Shares with the same features are products of one input: [a⁺ a⁻] meets all weights of GeneralizedGamma in one pass. What is known
of the input makes features simpler: where a ≥ 0, a⁺ is a and a⁻ is nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...arrays import Array, Relative, like, negative, positive
from ...errors import LrpError
from ...layers.base import Linear
from ...lazy_dataclass import lazy_dataclass
from ...rules import LinearRule, ZBox
from ...rules.terms import IDENTITY, NEGATIVE, NEGATIVE_ONLY, ONE, POSITIVE, Feature, Share, Term

#: Features f with f(a) = a or 0: only for these can the message below be the ratio c with R = a·c (c picked by the sign of a).
_SIGNED = (IDENTITY, POSITIVE, NEGATIVE)


class _Magnitude(Feature):
    def __call__(self, a: Array) -> Array:
        return np.asarray(abs(a))

    def __repr__(self) -> str:
        return "|a|"


MAGNITUDE = _Magnitude()


#: Features that know nothing of the place.
_EVEN = (*_SIGNED, MAGNITUDE, ONE)


@lazy_dataclass(frozen=True, eq=False)
class PlannedShare:
    """A share with its terms simplified.

    Attributes
    ----------
    plain : whether its denominator is the layer's own pre-activation
    from_magnitudes : whether its denominator can be z⁺ = ½ (Σ a w + Σ |a||w|): one product beside the layer's own, not two
    """

    share: Share
    terms: tuple[Term, ...]
    plain: bool
    from_magnitudes: bool = False

    @property
    def features(self) -> tuple[Feature, ...]:
        """What its denominator is made of."""
        return tuple(term.feature for term in self.terms)


@lazy_dataclass(frozen=True, eq=False)
class Group:
    """Products of the same features: for each the index of its column (−1: the layer's own), and one weight a feature."""

    features: tuple[Feature, ...]
    columns: tuple[int, ...]
    weights: tuple[tuple[Array, ...], ...]


@lazy_dataclass(frozen=True, eq=False)
class ProductPlan:
    """A layer under a rule.

    Attributes
    ----------
    layer_weight : the layer's weight, in the number type that is computed in
    bias : of the layer, as its `offset` gives it
    columns : the shares
    rule, nonnegative : that declares them, and whether the input is known to be ≥ 0
    """

    layer_weight: Array
    bias: Array | None
    columns: tuple[PlannedShare, ...]
    rule: LinearRule
    nonnegative: bool

    @property
    def groups(self) -> tuple[Group, ...]:
        """The products on the way up, the layer's own first."""
        by_features: dict[tuple[int, ...], tuple[tuple[Feature, ...], list[int], list[tuple[Array, ...]]]] = {
            (id(IDENTITY),): ((IDENTITY,), [-1], [(self.layer_weight,)])
        }
        for position, column in enumerate(self.columns):
            if column.plain or not column.terms:
                continue
            features = (MAGNITUDE,) if column.from_magnitudes else column.features
            _, positions, weights = by_features.setdefault(tuple(map(id, features)), (features, [], []))
            positions.append(position)
            weights.append((abs(self.layer_weight),) if column.from_magnitudes else tuple(term.weight for term in column.terms))
        return tuple(Group(features, tuple(positions), tuple(weights)) for features, positions, weights in by_features.values())

    @property
    def features(self) -> tuple[Feature, ...]:
        """What the relevance below is made of: R = Σ_f f(a)·(what comes down for f)."""
        by_identity = {id(feature): feature for column in self.columns for feature in column.features}
        return tuple(by_identity.values())

    @property
    def downward(self) -> tuple[tuple[Array | None, ...], ...]:
        """For each of `features`, the weight that each column's quotient meets on the way down (None: none)."""
        return tuple(
            tuple(next((t.weight for t in column.terms if t.feature is feature), None) for column in self.columns)
            for feature in self.features
        )

    @property
    def even(self) -> bool:
        """Whether the same numbers give the same products wherever they are: no feature and no bias has a value for each cell."""
        known = all(any(feature is one for one in _EVEN) for feature in self.features)
        biases = [self.bias, *(column.share.bias for column in self.columns)]
        return known and all(math.prod(bias.shape[1:]) == 1 for bias in biases if bias is not None)

    @property
    def keeps_quotient(self) -> bool:
        """Whether what goes down can be c with R = a·c."""
        return all(any(feature is known for known in _SIGNED) for feature in self.features)


def product_plan(
    layer: Linear, rule: LinearRule, nonnegative: bool, dtype: Any, relu_follows: bool, halves: bool = False
) -> ProductPlan | None:
    """The layer under the rule, None where the rule does more than declare shares.

    Parameters
    ----------
    nonnegative : whether the input is known to be ≥ 0
    relu_follows : whether no relevance reaches z ≤ 0, so that shares for z < 0 alone can be left out
    halves : whether denominators may be made from the layer's own product, added up in the same order
    """
    kind = type(rule)
    more = any(getattr(kind, name) is not getattr(LinearRule, name) for name in ("propagate", "relevances"))
    checked = kind.divided is LinearRule.divided or kind is ZBox  # what ZBox adds is a check of its bounds
    if more or not checked or rule.empty != "drop":
        return None
    template = np.empty(0, dtype)
    weight, offset = like(layer.weights[0], template), layer.offset(0)
    bias = None if offset is None else like(offset, template)
    try:
        shares = rule.shares(weight, bias)
    except LrpError:
        return None  # the reference step says what is wrong, with the data at hand
    # Relative(ε) needs the root mean square over the sample, so it works on products as they are.
    halves = halves and relu_follows and not any(isinstance(share.stabiliser, Relative) for share in shares)
    columns = []
    for share in shares:
        terms = _simplified(share.terms, nonnegative)
        if len({id(term.feature) for term in terms}) < len(terms):
            return None
        plain = share.bias is bias and len(terms) == 1 and terms[0].feature is IDENTITY and terms[0].weight is weight
        if not (relu_follows and share.where is NEGATIVE_ONLY):
            columns.append(PlannedShare(share, terms, plain, halves and _is_half(share, terms, weight, bias)))
    return ProductPlan(weight, bias, tuple(columns), rule, nonnegative)


def _is_half(share: Share, terms: tuple[Term, ...], weight: Array, bias: Array | None) -> bool:
    """Whether z⁺ + b⁺ can be ½ (z + q) + b⁺ with z = Σ a w, q = Σ |a||w|, where relevance reaches z + b > 0 alone.

    There z⁺ + b⁺ = ½ (z + q) + b⁺ > ½ (q − b) + b⁺ ≥ ½ q: the errors of the sums, which are relative to q, at most double. And
    where no a w is positive, z = −q to the last bit: the share stays dead.
    """
    if [term.feature for term in terms] != [POSITIVE, NEGATIVE]:
        return False
    parts = np.array_equal(terms[0].weight, positive(weight)) and np.array_equal(terms[1].weight, negative(weight))
    covered = bias is None or np.all((like(0, weight) if share.bias is None else share.bias) >= bias)
    return bool(parts and covered)


def _simplified(terms: tuple[Term, ...], nonnegative: bool) -> tuple[Term, ...]:
    if not nonnegative:
        return terms
    terms_left = [term for term in terms if term.feature is not NEGATIVE]
    return tuple(Term(IDENTITY, term.weight) if term.feature is POSITIVE else term for term in terms_left)
