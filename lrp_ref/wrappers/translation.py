"""The translation trick: the mean explanation of slightly translated inputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import Array, check_number, frozen, integer, integers, like, zeros
from ..errors import ParameterError
from ..explainer import Explainer
from ..propagate.explanation import Explanation
from ..propagate.targets import spelled
from .axes import moved_axes, only_input, storable

Shift = tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Translated(Explanation):
    """The mean of the explanations of translated inputs, each translated back.

    `value` and `prediction` are means over the translations too.

    Attributes
    ----------
    shifts : the translations, in cells along each shifted axis
    shifted_out : the mean relevance of the cells that came in from outside, and leave again, (N,) or (N, T); 0 where shifts are
        circular. Σ R + shifted_out + what the single explanations did not assign = value, where the method conserves
    """

    shifts: tuple[Shift, ...] = ()
    shifted_out: Array = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "shifted_out", frozen(np.asarray(self.shifted_out)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Translated, (*super().__reduce__()[1], self.shifts, self.shifted_out)

    def arrays(self) -> dict[str, Array]:
        """Everything but the ledger as named arrays, as `save` writes them."""
        return super().arrays() | storable({"shifts": np.array(self.shifts), "shifted_out": self.shifted_out})

    def _facts(self) -> list[tuple[str, str]]:
        return [*super()._facts(), ("mean over", f"{len(self.shifts)} translations"), ("shifted out", str(self.shifted_out))]


def translated(
    explainer: Explainer,
    x: Any,
    shifts: int | Sequence[Any] = 1,
    *,
    fill: Any = None,
    axes: int | Sequence[int] | None = None,
    target: Any = None,
    targets: Any = None,
    contrast: Any = None,
) -> Translated:
    r"""Explain slightly translated versions of the input, and average what they say (Montavon et al. 2018, §6.4).

    .. math:: R^\star(x) = \frac{1}{|\mathcal T|} \sum_{\tau \in \mathcal T} \tau^{-1}(R(\tau(x)))

    It evens out what depends on the grid of strided layers, and the noise of the first filters. All translations explain the
    same target; "predicted" is decided on the input as it is.

    Parameters
    ----------
    explainer : of a model of one input
    x : (N, C, *spatial)
    shifts : an int r: all translations by at most r cells along every axis; or a sequence of translations, one int per axis each
    fill : None: shifts are circular, what leaves on one side comes in on the other, and nothing is lost. A number: it fills the
        cells that come in, what leaves is gone, and the relevance of filled cells is booked as `shifted_out`
    axes : the axes of x that are shifted; None: all but the first two
    target, targets, contrast : as an `Explainer` takes them

    Raises
    ------
    ParameterError
        Where there is no translation, one is given twice, or one moves all of the input out.
    ShapeError
        Where x has no such axes.
    """
    name = only_input(explainer)
    x = np.asarray(x)
    where = moved_axes(axes, x)
    moves = _moves(shifts, [x.shape[axis] for axis in where], fill)
    unmoved = explainer(x, target=target, targets=targets, contrast=contrast)
    assert unmoved.target is not None
    target = spelled(unmoved.target, unmoved.prediction.shape[1:])
    same = {"targets" if unmoved.several else "target": target, "contrast": contrast}
    # R may have the targets as a second axis.
    above = [axis + unmoved.relevance.ndim - x.ndim for axis in where]
    sums = [zeros(a.shape, a) for a in (unmoved.relevance, unmoved.value, unmoved.prediction, unmoved.value)]
    for shift in moves:
        e = explainer(_shifted(x, shift, where, fill), **same) if any(shift) else unmoved
        back = _shifted(e.relevance, [-s for s in shift], above, None if fill is None else 0)
        loss = e.total - replace(e, relevances={name: back}).total
        sums = [total + part for total, part in zip(sums, (back, e.value, e.prediction, loss), strict=True)]
    relevance, value, prediction, shifted_out = (total / like(len(moves), total) for total in sums)
    return Translated(
        relevances={name: relevance},
        inputs=unmoved.inputs,
        activations=unmoved.activations,
        prediction=prediction,
        target=unmoved.target,
        value=value,
        backend=unmoved.backend,
        precision=unmoved.precision,
        composite=unmoved.composite,
        head=unmoved.head,
        cautions=unmoved.cautions,
        method=unmoved.method,
        shifts=moves,
        shifted_out=shifted_out,
    )


def _moves(shifts: Any, extents: Sequence[int], fill: Any) -> tuple[Shift, ...]:
    """The translations, checked."""
    if fill is not None:
        check_number(fill, "fill")
    if isinstance(shifts, (tuple, list, np.ndarray)):
        moves = [integers(shift, "an entry of shifts") for shift in shifts]
    else:
        reach = integer(shifts, "shifts", 0)
        moves = list(itertools.product(range(-reach, reach + 1), repeat=len(extents)))
    if not moves or len(set(moves)) < len(moves):
        raise ParameterError(f"shifts must hold at least one translation, and none twice, found {shifts!r}")
    for shift in moves:
        if len(shift) != len(extents):
            raise ParameterError(f"a translation has one entry for each of {len(extents)} axes, found {shift}")
        if fill is not None and any(abs(s) >= extent > 0 for s, extent in zip(shift, extents, strict=True)):
            raise ParameterError(f"the translation {shift} moves the whole input, of extents {tuple(extents)}, out of the frame")
    return tuple(moves)


def _shifted(a: Array, shift: Sequence[int], axes: Sequence[int], fill: Any) -> Array:
    """The array moved by `shift` cells: circular for fill=None, else with `fill` in the cells that come in."""
    if fill is None:
        return np.roll(a, tuple(shift), tuple(axes))
    moved = zeros(a.shape, a) + like(fill, a)
    source, destination = [slice(None)] * a.ndim, [slice(None)] * a.ndim
    for s, axis in zip(shift, axes, strict=True):
        extent = a.shape[axis]
        source[axis] = slice(max(-s, 0), extent - max(s, 0))
        destination[axis] = slice(max(s, 0), extent - max(-s, 0))
    moved[tuple(destination)] = a[tuple(source)]
    return moved
