"""Where relevance starts: the score before a softmax or sigmoid, the log-odds of a class, or the probability itself."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..arrays import Array, is_exact, like, total, zeros
from ..errors import ExactnessError, HeadError, unknown
from ..lazy_dataclass import lazy_dataclass


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

    def over(self, scores: Array, targets: Array, axis: int) -> tuple[Array, Array]:
        """The starting relevance (N, T, *output) and the values (N, T), where a softmax over one axis reads the scores.

        A head that looks at one score alone, as `Logit` does, need not know which axis that is.

        Parameters
        ----------
        scores, targets : as in `start`
        axis : the axis of the classes, counted with the batch axis
        """
        return self.start(scores, targets)

    def slopes(self, scores: Array, targets: Array, axis: int) -> tuple[Array, Array]:
        """The derivatives of the explained values with respect to the scores, and the values: where a gradient starts.

        Parameters
        ----------
        scores, targets : as `start` takes them
        axis : the axis of the scores that a softmax reads, for a head that looks at several

        Raises
        ------
        HeadError
            Where the head says no derivative.
        """
        raise HeadError(f"head {self.name} has no derivative: its class needs a method slopes(scores, targets, axis)")

    @property
    def name(self) -> str:
        """What an explanation calls it."""
        return next((name for name, head in HEADS.items() if head == self), str(self))


@lazy_dataclass(frozen=True)
class Logit(Head):
    """R_c = z_c, nothing for the other outputs (Montavon et al. 2019, §10.3.1)."""

    def start(self, scores: Array, targets: Array) -> tuple[Array, Array]:
        values = _chosen(scores, targets)
        return _scattered(scores, targets, values), values

    def slopes(self, scores: Array, targets: Array, axis: int) -> tuple[Array, Array]:
        values = _chosen(scores, targets)
        return _scattered(scores, targets, zeros(values.shape, values) + like(1, values)), values


def _chosen(scores: Array, targets: Array) -> Array:
    """The scores of the targets, (N, T)."""
    size = math.prod(scores.shape[1:])
    return np.asarray(scores, order="C").take(targets + size * np.arange(len(scores))[:, None])


def _scattered(scores: Array, targets: Array, values: Array) -> Array:
    """Values (N, T) at their targets, nothing for the other outputs: (N, T, *output)."""
    size = math.prod(scores.shape[1:])
    relevance = zeros((*targets.shape, *scores.shape[1:]), scores)
    relevance.put(targets.ravel() + size * np.arange(targets.size), values)
    return relevance


@lazy_dataclass(frozen=True)
class Probability(Logit):
    """R_c = p_c, the number that the network ends in, and through its softmax or sigmoid as through an activation.

    Below the squash relevance is that of p_c, not of a score: its sign is inverted where the logit is negative.
    """


@lazy_dataclass(frozen=True)
class Unit(Head):
    """The derivative of what is explained with respect to the scores, which is where a gradient starts: 1 at one score.

    Parameters
    ----------
    of : the head whose number is derived; None: none was chosen, so that scores are, and probabilities are refused
    """

    of: Head | None = Logit()

    def start(self, scores: Array, targets: Array) -> tuple[Array, Array]:
        return self.over(scores, targets, 1)

    def over(self, scores: Array, targets: Array, axis: int) -> tuple[Array, Array]:
        return (Logit() if self.of is None else self.of).slopes(scores, targets, axis)


@lazy_dataclass(frozen=True)
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
        if scores.ndim != 2:
            raise HeadError(f'head="log-odds" needs scores (N, classes) of at least two classes, found {scores.shape}')
        return self.over(scores, targets, 1)

    def over(self, scores: Array, targets: Array, axis: int) -> tuple[Array, Array]:
        z, chosen, members = self._competing(scores, targets, axis)
        shares, values = self._shares(z, chosen)
        return _put(shares, members, scores, targets), values

    def slopes(self, scores: Array, targets: Array, axis: int) -> tuple[Array, Array]:
        z, chosen, members = self._competing(scores, targets, axis)
        _, q, eta = self._weights(z, chosen)
        return _put(np.where(chosen, like(1, q), -q), members, scores, targets), eta[:, :, 0]

    def _competing(self, scores: Array, targets: Array, axis: int) -> tuple[Array, Array, Array]:
        """The scores (N, T, classes) of the classes that compete, which of them is explained, and their flat indices."""
        if is_exact(scores):
            raise ExactnessError('the log-odds are not rational; use head="logit" or float64 arrays')
        if scores.ndim <= axis or scores.shape[axis] < 2:
            raise HeadError(f'head="log-odds" needs scores (N, classes) of at least two classes, found {scores.shape}')
        classes = _classes(scores.shape[1:], axis % scores.ndim - 1)
        class_of = np.empty(classes.size, dtype=np.intp)
        class_of[classes] = np.arange(len(classes))[:, None]
        members = classes[class_of[targets]]  # (N, T, classes), flat indices
        rows = np.arange(len(scores))[:, None, None]
        z = np.asarray(scores, order="C").reshape(len(scores), classes.size)[rows, members]
        return z, members == targets[:, :, None], members

    def _weights(self, z: Array, chosen: Array) -> tuple[Array, Array, Array]:
        """The contrasts z_c − z_c' of scores (N, T, classes), their weights q, and η (N, T, 1)."""
        is_target = like(chosen.astype(np.int8), z)
        z_c = total(is_target * z, (2,), keepdims=True)
        contrast = np.where(chosen, np.inf, z_c - z).astype(z.dtype)
        nearest = contrast.min(axis=2, keepdims=True)
        powers = np.exp(nearest - contrast)
        sum_of_powers = total(powers, (2,), keepdims=True)
        return contrast, powers / sum_of_powers, nearest - np.log(sum_of_powers)

    def _shares(self, z: Array, chosen: Array) -> tuple[Array, Array]:
        """R and η (N, T) of scores (N, T, classes), where `chosen` marks the class of each."""
        contrast, q, eta = self._weights(z, chosen)
        is_target = like(chosen.astype(np.int8), z)
        z_c = total(is_target * z, (2,), keepdims=True)
        if not self.conserve:
            return is_target * z_c - q * z, eta[:, :, 0]
        s = np.divide(q * eta, contrast, out=np.zeros_like(q), where=(contrast != 0) & ~chosen)
        return is_target * (z_c * total(s, (2,), keepdims=True)) - s * z, eta[:, :, 0]


def _put(shares: Array, members: Array, scores: Array, targets: Array) -> Array:
    """Shares (N, T, classes) at the flat indices of their classes, (N, T, *output)."""
    relevance = zeros((*targets.shape, math.prod(scores.shape[1:])), scores)
    np.put_along_axis(relevance, members, shares, axis=2)
    return relevance.reshape(*targets.shape, *scores.shape[1:])


def _classes(sample: tuple[int, ...], axis: int) -> Array:
    """Which elements of a sample compete: a row of flat indices for each cell beside `axis`."""
    places = np.moveaxis(np.arange(math.prod(sample)).reshape(sample), axis, -1)
    return places.reshape(-1, sample[axis])


HEADS: dict[str, Head] = {"logit": Logit(), "log-odds": LogOdds(), "probability": Probability(), "unit": Unit()}


def head_of(value: Any) -> Head:
    """A head from a `Head` or its name.

    Parameters
    ----------
    value : a `Head`, which is returned; or "logit", "log-odds", "probability" or "unit"

    Raises
    ------
    UnknownNameError
        Where it is neither; the nearest name is suggested.
    """
    if isinstance(value, Head):
        return value
    if not isinstance(value, str) or value not in HEADS:
        raise unknown("head", value, HEADS)
    return HEADS[value]
