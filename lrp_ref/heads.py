"""Where relevance starts: the score before softmax, or the log-odds of a class."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from .arrays import Array, is_exact, like, total, zeros
from .errors import ExactnessError, HeadError, TargetError, unknown
from .records import dataclass


class Head(ABC):
    """What of the output scores is explained."""

    @abstractmethod
    def start(self, scores: Array, targets: Array) -> tuple[Array, Array]:
        """The starting relevance, and the explained values.

        Parameters
        ----------
        scores : (N, *output), before any softmax
        targets : (N, T) indices into the flattened output of a sample

        Returns
        -------
        relevance : (N, T, *output)
        values : (N, T), what is explained; the relevance adds up to them, or the ledger books the difference
        """


def one_hot(targets: Array, scores: Array) -> Array:
    """1 at each target, 0 elsewhere: (N, T, outputs), in the number type of the scores."""
    size = math.prod(scores.shape[1:])
    return like((targets[:, :, None] == np.arange(size)).astype(np.int8), scores)


@dataclass(frozen=True)
class Logit(Head):
    """R_c = z_c, nothing for the other outputs (Montavon et al. 2019, §10.3.1)."""

    def start(self, scores: Array, targets: Array) -> tuple[Array, Array]:
        size, rows = math.prod(scores.shape[1:]), targets.size
        values = np.asarray(scores, order="C").take(targets + size * np.arange(len(scores))[:, None])
        relevance = zeros((*targets.shape, *scores.shape[1:]), scores)
        relevance.put(targets.ravel() + size * np.arange(rows), values)
        return relevance, values


@dataclass(frozen=True)
class LogOdds(Head):
    r"""The log-odds of a class (Montavon et al. 2019, §10.3.1).

    .. math:: \eta_c = \log\frac{P_c}{1 - P_c} = -\log\sum_{c' \ne c} e^{-(z_c - z_{c'})}

    The "min-take-most" redistribution gives each contrast :math:`z_{c,c'} = z_c - z_{c'}` the relevance :math:`q_{c'} z_{c,c'}`,
    with :math:`q_{c'} = e^{-z_{c,c'}} / \sum_{c'' \ne c} e^{-z_{c,c''}}`; LRP-0 through the difference gives, in closed form,

    .. math:: R_c = z_c, \qquad R_{c'} = -q_{c'} z_{c'} .

    This printed form over-distributes by the entropy of q (0 for two classes), which the ledger books.

    Parameters
    ----------
    conserve : give each contrast q_{c'} η_c instead, and divide it by LRP-0 through z_c − z_{c'}: adds up to η_c. A contrast of
        exactly 0 takes nothing
    """

    conserve: bool = False

    def start(self, scores: Array, targets: Array) -> tuple[Array, Array]:
        if is_exact(scores):
            raise ExactnessError('the log-odds are not rational; use head="logit" or float64 arrays')
        if scores.ndim != 2 or scores.shape[1] < 2:
            raise HeadError(f'head="log-odds" needs scores (N, classes) of at least two classes, found {scores.shape}')
        own = one_hot(targets, scores)
        z = scores[:, None, :]
        z_c = total(own * z, (2,), keepdims=True)
        contrast = np.where(own != 0, np.inf, z_c - z).astype(z.dtype)
        nearest = contrast.min(axis=2, keepdims=True)
        powers = np.exp(nearest - contrast)
        whole = total(powers, (2,), keepdims=True)
        q = powers / whole
        eta = nearest - np.log(whole)
        if not self.conserve:
            return own * z_c - q * z, eta[:, :, 0]
        s = np.divide(q * eta, contrast, out=np.zeros_like(q), where=(contrast != 0) & (own == 0))
        return own * (z_c * total(s, (2,), keepdims=True)) - s * z, eta[:, :, 0]


HEADS: dict[str, Head] = {"logit": Logit(), "log-odds": LogOdds()}


def head_of(value: Any) -> Head:
    """A head from a `Head` or its name."""
    if isinstance(value, Head):
        return value
    if value not in HEADS:
        raise unknown("head", value, HEADS)
    return HEADS[value]


def contrasted(scores: Array, targets: Array, others: Array) -> tuple[Array, Array]:
    """The start that explains z_target − z_other: R_target = z_target, R_other = −z_other."""
    if (targets == others).any():
        raise TargetError("a target cannot be contrasted with itself")
    (up, value), (down, other) = Logit().start(scores, targets), Logit().start(scores, others)
    return up - down, value - other
