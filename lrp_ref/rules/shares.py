r"""The engine: a rule is data, a tuple of shares of terms.

A linear layer is :math:`z_k = \sum_i \mathrm{map}(a_i, w_i)_k + b_k`. A rule replaces features and weights, and says which
part of the relevance each share takes. With :math:`e^q` what the stabiliser of share q adds to its denominator, and a share
*alive* at k where its denominator is not 0 and its `where` admits k:

.. math::

    z^q_k = \sum_i \sum_t \mathrm{map}(f_t(a_i), w_t)_k + b^q_k, \qquad
    s^q_k = \lambda_q R_k / (z^q_k + e^q_k) \text{ where alive, else } 0,

.. math::

    R_j = \sum_q \sum_t f_t(a)_j \cdot \mathrm{adjoint}(s^q, w_t)_j .

This is the four-step procedure of Montavon et al. 2019 (§10.2.2: forward, divide, backward, multiply) with the bias as one more
neuron. What each k accounts for adds up to R_k identically: the inputs, the bias Σ_q b^q s^q, the stabiliser Σ_q e^q s^q, and
R_k (1 − Σ_{q alive} λ_q), which nobody took.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import Array, divide, like, per_sample, zeros
from ..layers.base import Linear
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Booking
from .denominators import check, divides
from .terms import Share


@lazy_dataclass(frozen=True, eq=False)
class Quotient:
    """A share after the division: s = λ R / (z + e), with what the ledger needs of it.

    Parameters
    ----------
    position : this share once for each input of the layer; they have one denominator
    s : the quotient, of the output's shape; 0 where the share is dead
    e : what the stabiliser added, broadcastable against the output
    """

    position: tuple[Share, ...]
    s: Array
    e: Array


def denominator(layer: Linear, position: Sequence[Share], inputs: Sequence[Array], output: Array) -> Array:
    """The sum z^q of one share, of the output's shape: a forward pass with the share's features, weights and bias.

    Parameters
    ----------
    layer : the linear layer
    position : the share, once for each input of the layer
    inputs : the layer's inputs, each (N, …)
    output : the layer's output, whose shape and number type z^q has
    """
    parts = [(a, term) for a, share in zip(inputs, position, strict=True) for term in share.terms]
    z = zeros(output.shape, output)
    for a, term in parts:
        feature = term.feature(a)
        # Nothing is added to zeros that would change a bit, so skipping changes none either.
        if len(parts) == 1 or feature.any():
            z += layer.map(feature, term.weight)
    bias = position[0].bias
    return z if bias is None else z + bias


def quotients(
    layer: Linear,
    shares: Sequence[Sequence[Share]],
    inputs: Sequence[Array],
    output: Array,
    relevance: Array,
    empty: str = "drop",
) -> tuple[tuple[Quotient, ...], Array]:
    """The forward and the division half: every share's quotient, and the relevance that none of them took.

    Parameters
    ----------
    layer : the linear layer
    shares : for each input of the layer, the rule's shares
    inputs : the layer's inputs, each (N, …)
    output : the layer's plain pre-activation, (N, …)
    relevance : R_k, of the output's shape
    empty : "drop": what a dead share would take is unassigned. "renormalise": where exactly one share is alive it takes λ = 1

    Raises
    ------
    NonFiniteError, UnderflowError
        Where relevance is divided by a denominator that has left the range of its type (`lrp_ref.rules.denominators`).
    """
    positions = list(zip(*shares, strict=True))
    bottoms, stabilisers, alive = [], [], []
    for position in positions:
        z = denominator(layer, position, inputs, output)
        e, served = position[0].stabiliser(z), position[0].where(output)
        check(layer, position, inputs, z, e, served, relevance)
        bottoms.append(z + e)
        stabilisers.append(e)
        alive.append(divides(bottoms[-1]) & served)
    alone = np.sum(alive, axis=0) == 1 if empty == "renormalise" else np.zeros((), dtype=bool)
    taken = zeros(output.shape, output)
    divisions = []
    for position, bottom, e, living in zip(positions, bottoms, stabilisers, alive, strict=True):
        part = np.where(alone, like(1, output), like(position[0].coefficient, output))
        taken += np.where(living, part, like(0, output))
        divisions.append(Quotient(position, divide(part * relevance, bottom, living), e))
    return tuple(divisions), relevance * (like(1, output) - taken)


def redistribute(layer: Linear, divisions: Sequence[Quotient], inputs: Sequence[Array]) -> tuple[Array, ...]:
    """The backward half: the relevance of each input, feature · adjoint(s, weight), summed over all terms; each (N, …).

    Parameters
    ----------
    layer : the linear layer
    divisions : the quotients s = λ R / (z + e), one for each share
    inputs : the layer's inputs, each (N, …)
    """
    relevances = []
    for i, a in enumerate(inputs):
        parts = [(quotient.s, term) for quotient in divisions for term in quotient.position[i].terms]
        total = zeros(a.shape, a)
        for s, term in parts:
            feature = term.feature(a)
            if len(parts) == 1 or feature.any():
                total += feature * layer.adjoint(s, term.weight, a.shape)
        relevances.append(total)
    return tuple(relevances)


def book(
    layer: Linear,
    divisions: Sequence[Quotient],
    unassigned: Array,
    inputs: Sequence[Array],
    relevance: Array,
    relevances: Sequence[Array],
    flags: tuple[str, ...] = (),
) -> Booking:
    """The booking of a layer. Its turnover takes a pass with absolute values, so it is made only where a ledger is asked for.

    Parameters
    ----------
    layer : the linear layer
    divisions : the quotients, one for each share
    unassigned : the relevance that no share took, of the output's shape
    inputs : the layer's inputs, each (N, …)
    relevance : R_k, of the output's shape
    relevances : R_j of each input, as `redistribute` gives them
    flags : remarks of the rule
    """
    arriving, arriving_abs = per_sample(relevance), per_sample(abs(relevance))
    none = arriving * like(0, arriving)
    bias, stabiliser, turnover = none, none, arriving_abs
    for quotient in divisions:
        first, size = quotient.position[0], abs(quotient.s)
        if first.bias is not None:
            bias = bias + per_sample(quotient.s * first.bias)
            turnover = turnover + per_sample(size * abs(first.bias))
        stabiliser = stabiliser + per_sample(quotient.s * quotient.e)
        for a, share in zip(inputs, quotient.position, strict=True):
            for term in share.terms:
                turnover = turnover + per_sample(size * layer.map_absolute(term.feature(a), term.weight))
    return Booking(
        arriving=arriving,
        inputs=sum((per_sample(r) for r in relevances), none),
        bias=bias,
        stabiliser=stabiliser,
        unassigned=per_sample(unassigned),
        turnover=turnover,
        arriving_abs=arriving_abs,
        inputs_abs=sum((per_sample(abs(r)) for r in relevances), none),
        flags=flags,
    )
