"""What compiled steps account for, from what they have: messages, the factors of their shares and their output, in one pass.

All but the turnover comes from these alone. That takes Σ_j |a_j w_jk| for each denominator, its *size*. Where all terms have one
sign it is |z^q|. Where a ≥ 0 and the weights are w + γw⁺, the layer's own product and the share's give it: z⁺ = (z^q − z)/γ, and
the size is (2 + γ)z⁺ − z. Elsewhere it is one product more, of sizes with sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arrays import Array, Relative, Signed, Stabiliser, Unsigned
from ...lazy_dataclass import lazy_dataclass
from ...ledger import PLACES
from ...rules import Gamma, GeneralizedGamma, LinearRule
from ...rules.terms import IDENTITY, NEGATIVE, NEGATIVE_ONLY, ONE, POSITIVE, Above, Below, Feature, Term
from .native import _core
from .packed import channels_turned, lies_in_cells
from .product_plan import MAGNITUDE, PlannedShare

#: Sizes found by γ have the rounding of two products, (2 + γ)/γ times: little beside what many terms may round.
LEAST_GAMMA, LEAST_TERMS = 0.125, 32
#: What is looked at first: most weights have both signs within these.
GLANCE = 1024


@lazy_dataclass(frozen=True)
class SizeMethod:
    """How the size of a share's denominator is found: `alike`, by `tilt`, or by a product of `terms`.

    Attributes
    ----------
    alike : all terms have one sign, that of the bias
    tilt : γ where the weights are w + γw⁺ (`sign` 1) or w + γw⁻ (−1), on inputs a ≥ 0; else 0
    terms : of the product, whose weights' own signs make every product ≥ 0 once the input's is dropped
    """

    alike: bool
    tilt: float
    sign: int
    terms: tuple[Term, ...]


def sign_of(array: Array) -> int:
    """1 where no number is negative, −1 where none is positive, 0 where there are both (1 where all are 0)."""
    for part in (array.reshape(-1)[:GLANCE] if array.flags.c_contiguous else array[:1], array):
        least, most = (part.min(), part.max()) if part.size else (0, 0)
        if least < 0 < most:
            return 0
    return 1 if least >= 0 else -1


def size_method_of(column: PlannedShare, rule: LinearRule, nonnegative: bool, terms: int) -> SizeMethod | None:
    """The method for a share, whose denominators have so many terms; None where its features have no size of their own."""
    signs = [_sign(term.feature, nonnegative) * sign_of(term.weight) for term in column.terms]
    bias = column.share.bias
    signs += [sign_of(bias)] if bias is not None and bias.any() else []
    if column.terms and signs and abs(sum(signs)) == len(signs):
        return SizeMethod(True, 0.0, 1, ())
    if any(isinstance(term.feature, (Above, Below)) for term in column.terms):
        return None
    tilt = 0.0
    if type(rule) in (Gamma, GeneralizedGamma) and nonnegative and [term.feature for term in column.terms] == [IDENTITY]:
        gamma = float(rule.gamma)  # type: ignore[attr-defined]
        tilt = gamma if gamma >= LEAST_GAMMA and terms >= LEAST_TERMS else 0.0
    return SizeMethod(False, tilt, -1 if column.share.where is NEGATIVE_ONLY else 1, column.terms)


def _sign(feature: Feature, nonnegative: bool) -> int:
    """That of its values, 0 where they may have either."""
    if feature in (POSITIVE, MAGNITUDE, ONE) or isinstance(feature, Above):
        return 1
    if feature is NEGATIVE or isinstance(feature, Below):
        return -1
    return int(nonnegative)


def size_term(term: Term, nonnegative: bool) -> tuple[Feature, Array]:
    """A feature and a weight whose products are |terms|."""
    if term.feature is IDENTITY and not nonnegative:
        return MAGNITUDE, abs(term.weight)
    return term.feature, -abs(term.weight) if term.feature is NEGATIVE else abs(term.weight)


def accounting(
    size_methods: Sequence[SizeMethod],
    shares: Sequence[Any],
    biases: Sequence[Array | None],
    layer_bias: Array | None,
    quotient: bool,
) -> Any:
    """What the core knows of the shares; biases channels last, `layer_bias` the layer's."""
    coded = []
    for method, share, bias in zip(size_methods, shares, biases, strict=True):
        kind, epsilon = _coded(share.stabiliser)
        coded.append((bias, kind, epsilon, float(share.coefficient), method.alike, method.tilt, method.sign))
    return _core.Accounting(layer_bias, quotient, coded)


def _coded(stabiliser: Stabiliser) -> tuple[int, float]:
    """A stabiliser's kind, and its ε where that is one number for all samples."""
    if isinstance(stabiliser, Relative):
        return _core.SIGNED if stabiliser.signed else _core.UNSIGNED, 0.0
    if isinstance(stabiliser, (Signed, Unsigned)):
        return _core.SIGNED if isinstance(stabiliser, Signed) else _core.UNSIGNED, float(stabiliser.epsilon)
    return _core.EXACT, 0.0


#: Nothing but what arrives, by whether that is c.
_ARRIVING = {quotient: _core.Accounting(None, quotient, []) for quotient in (False, True)}


def totals(message: Array, activation: Array | None, threads: int) -> Array:
    """The columns of what arrives alone: a message (N, targets, …) in any order of memory, and where it is c the activation."""
    parts: tuple[Array, ...] = (message,) if activation is None else (message, activation)
    if message.ndim > 3 and not all(part.flags.c_contiguous for part in parts):
        parts = tuple(channels_turned(part, 2 - i) for i, part in enumerate(parts))
    elif message.ndim < 3:
        parts = tuple(part[..., None] for part in parts)
    cells = [part if lies_in_cells(part) else np.ascontiguousarray(part) for part in parts]
    found: Array = _ARRIVING[activation is not None](cells[0], None if activation is None else cells[1], [], [], [], threads)
    return found


def amounts(message: Array, activation: Array | None, threads: int) -> tuple[Array, Array]:
    """Σ R and Σ|R| of a message, (N, targets) each."""
    columns = totals(message, activation, threads)
    return columns[..., PLACES["arriving"]], columns[..., PLACES["arriving_abs"]]
