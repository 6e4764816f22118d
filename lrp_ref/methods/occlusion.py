"""Occlusion: what the score loses where a part of the input is replaced."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, integers, like, zeros
from ..errors import ParameterError, ShapeError
from ..layers.base import Recurrent
from ..network.model import Model
from .base import Cost
from .perturbation import PerturbationMethod, Probe, expanded, reads_words
from .replacements import Deletion, mean_over_draws, replacement_of

#: One part of a sample: an index into it.
Region = Any

#: What is said where the input holds numbers of words (`CONV-OCCLUSION-WORDS`).
WORDS = (
    "the input holds numbers of words, and what replaces one is a number of a word, 0 that of row 0: "
    'replacement="delete" takes words out'
)


@dataclass(frozen=True, eq=False)
class Occlusion(PerturbationMethod):
    r"""What the score loses where a patch, a segment or a word is replaced (Zeiler and Fergus 2014).

    .. math:: R_u = \operatorname*{mean}_{P \ni u} \big( f_c(x) - f_c(x_{P \leftarrow b}) \big)

    Each cell gets the whole loss of its patch, and where patches overlap the mean over those that cover it
    (`CONV-OCCLUSION-CELL`). For a linear f and patches of one cell that is w · (x − b). It conserves nothing.

    Of probabilities, head="logit" gives the f-difference and head="probability" the P-difference.

    Parameters
    ----------
    model : of one input
    patch : the patches' extents: an int, or one for each axis; "word": one time step, all of its features. None: one feature of
        a table, one time step of what a recurrent layer reads, an eighth of an image's extents (`CONV-OCCLUSION-PATCH`)
    stride : how far apart patches are; None: as far as they are long. The last ones are cut off where the input ends
    segments : instead of patches integer labels 0, 1, … that broadcast against one sample
    axes : the axes of x that patches move along; along the others they cover everything. None: all behind the channels, of a
        table its features, of what a recurrent layer reads its time
    replacement : what replaces cells: a number, an array that broadcasts against one sample, "blur", "noise", "delete", or a
        record of `methods.replacements` such as `Noise(sigma, draws=, seed=)` and `data_mean(data)`
    batch, progress : as of every `PerturbationMethod`
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError, ShapeError
        Where patches are larger than the input or leave cells out, a segment is empty, or both are given.
    """

    patch: Any = None
    stride: Any = None
    segments: Any = None
    axes: int | Sequence[int] | None = None
    replacement: Any = 0

    formula: ClassVar[str] = r"R_u = f(x) - f(x_{P := b})"
    passes: ClassVar[str] = "1 + patches × draws forward"
    source: ClassVar[str] = "Zeiler and Fergus 2014; Arras et al. 2019, §11.5.1"

    def _check(self) -> None:
        super()._check()
        if self.segments is not None and not (self.patch is None and self.stride is None and self.axes is None):
            raise ParameterError("give segments=, or patches by patch=, stride= and axes=, not both")
        if isinstance(self.patch, str) and (self.patch != "word" or self.axes is not None):
            raise ParameterError(f'patch is extents, or "word" without axes=, found {self.patch!r} with axes={self.axes!r}')
        if isinstance(replacement_of(self.replacement), Deletion) and self.segments is not None:
            raise ParameterError("deletion takes time steps out, and segments are none: give patch=, or another replacement")

    def _relevance(self, probe: Probe) -> Array:
        x = probe.x
        parts, axes = self._parts(x)
        if isinstance(replacement_of(self.replacement), Deletion):
            found = self._deleted(probe, parts, axes)
        else:
            found = self._replaced(probe, parts, axes)
        return mean_of_parts(probe.answer.value[:, None] - found, parts, x)

    def estimate(self, shape: Shape | None = None) -> Cost:
        """The cost of one explanation of one sample, in passes.

        Parameters
        ----------
        shape : of one sample; None: the model's own

        Raises
        ------
        ParameterError
            Where the model does not say it either.
        """
        parts, _ = self._parts(self._sample(shape))
        return Cost(1 + len(parts) * getattr(replacement_of(self.replacement), "draws", 1))

    def _cautions(self) -> tuple[str, ...]:
        if not reads_words(self.model) or isinstance(replacement_of(self.replacement), Deletion):
            return ()
        return (WORDS,)

    def _parts(self, x: Array) -> tuple[list[Region], tuple[int, ...]]:
        """The parts of a sample, and the axes of space or time."""
        if self.segments is not None:
            return _segments(self.segments, x), tuple(range(2, x.ndim)) or (1,)
        axes = moved_axes(self.model, x, 1 if self.patch == "word" else self.axes)
        return patches(self.patch, self.stride, x, axes), axes

    def _replaced(self, probe: Probe, parts: Sequence[Region], axes: tuple[int, ...]) -> Array:
        """The scores (N, parts, T) with each part replaced."""
        x, draws = probe.x, replacement_of(self.replacement).backgrounds(probe.x, axes)

        def perturb(samples: Array, which: Array) -> Array:
            found = x[samples]
            for row, sample, number in zip(found, samples, which, strict=True):
                instead, part = draws[number % len(draws)], parts[number // len(draws)]
                row[part] = instead[sample if len(instead) > 1 else 0][part]
            return found

        values = probe.scores(len(parts) * len(draws), perturb)
        return mean_over_draws(values.reshape(len(x), len(parts), len(draws), values.shape[-1]))

    def _deleted(self, probe: Probe, parts: Sequence[Region], axes: tuple[int, ...]) -> Array:
        """The scores (N, parts, T) of the sequences without each part."""
        x = probe.x
        if len(axes) != 1:
            raise ParameterError(f"deletion takes steps out of one axis, and patches move along {axes}: give axes=, or replace")
        found = zeros((len(x), len(parts), probe.answer.value.shape[1]), probe.answer.value)
        for number, part in enumerate(parts):
            kept = np.delete(x, part[axes[0] - 1], axis=axes[0])
            if not kept.shape[axes[0]]:
                raise ShapeError(f"deletion of {x.shape[axes[0]]} step(s) leaves nothing of the sequence: shorter patches do")
            try:
                found[:, number] = replace(probe, progress=None).scores(1, partial(_samples_of, kept))[:, 0]
            except ShapeError as error:
                raise ShapeError(
                    f"deletion leaves samples of shape {kept.shape[1:]}, which this model does not take; replacement by a number "
                    f"keeps the length: {error}"
                ) from None
            if self.progress is not None:
                self.progress(len(x) * (number + 1), len(x) * len(parts))
        return found


def _samples_of(x: Array, samples: Array, _: Array) -> Array:
    return np.asarray(x[samples])


def moved_axes(model: Model, x: Array, axes: Any) -> tuple[int, ...]:
    """The axes that patches move along, counted from the front.

    Parameters
    ----------
    model : tells what is time
    x : the inputs (N, …)
    axes : what a caller says; None: of a table its features, of what a recurrent layer reads its time, else all but the first two

    Raises
    ------
    ShapeError
        Where x does not have them.
    """
    if axes is None:
        timed = any(isinstance(node.layer, Recurrent) for node in model.readers(model.inputs[0]))
        axes = 1 if x.ndim == 2 or (x.ndim == 3 and timed) else tuple(range(2, x.ndim))
    found = tuple(axis + x.ndim if axis < 0 else axis for axis in integers(axes, "axes"))
    if not found or len(set(found)) < len(found) or any(not 0 < axis < x.ndim for axis in found):
        raise ShapeError(f"axes {found} are not axes beside the batch of an input of shape {x.shape}, each of them once")
    return tuple(sorted(found))


def extents_of(patch: Any, x: Array, axes: tuple[int, ...], name: str = "patch") -> tuple[int, ...]:
    """The extents of patches along axes; None: one cell of one axis, an eighth of several.

    Raises
    ------
    ParameterError, ShapeError
        Where there are others, one is below 1, or the input is smaller.
    """
    if patch is None or patch == "word":
        return (1,) if len(axes) == 1 else tuple(max(x.shape[axis] // 8, 1) for axis in axes)
    found = integers(patch, name)
    found = found * len(axes) if isinstance(patch, (int, np.integer)) else found
    if len(found) != len(axes) or min(found) < 1:
        raise ParameterError(f"{name} must be an int of at least 1, or one for each of {len(axes)} axes, found {patch!r}")
    for extent, axis in zip(found, axes, strict=True):
        if extent > x.shape[axis]:
            raise ShapeError(f"{name} {found} is larger than the input, which has {x.shape[axis]} cells along axis {axis}")
    return found


def patches(patch: Any, stride: Any, x: Array, axes: tuple[int, ...]) -> list[Region]:
    """Where patches are: an index into a sample for each.

    Parameters
    ----------
    patch, stride : as of an `Occlusion`
    x : the inputs (N, …)
    axes : that patches move along

    Raises
    ------
    ParameterError, ShapeError
        Where they leave cells out, or are larger than the input.
    """
    extents = extents_of(patch, x, axes)
    steps = extents if stride is None else extents_of(stride, x, axes, "stride")
    for extent, step in zip(extents, steps, strict=True):
        if step > extent:
            raise ParameterError(f"a stride of {step} leaves cells between patches of {extent} out: nothing would explain them")
    begins = [
        range(0, step * math.ceil((x.shape[axis] - extent) / step) + 1, step)
        for axis, extent, step in zip(axes, extents, steps, strict=True)
    ]
    found = []
    for corner in itertools.product(*begins):
        part = [slice(None)] * (x.ndim - 1)
        for axis, begin, extent in zip(axes, corner, extents, strict=True):
            part[axis - 1] = slice(begin, min(begin + extent, x.shape[axis]))
        found.append(tuple(part))
    return found


def _segments(labels: Any, x: Array) -> list[Region]:
    """Masks of one sample, one for each label."""
    found = np.asarray(labels)
    if found.dtype.kind not in "iu" or not found.size or found.min() < 0:
        raise ParameterError(f"segments must be integer labels 0, 1, …, found {found.dtype} of shape {found.shape}")
    try:
        found = np.broadcast_to(found, x.shape[1:])
    except ValueError:
        raise ShapeError(f"segments of shape {found.shape} do not broadcast against a sample of shape {x.shape[1:]}") from None
    sizes = np.bincount(found.reshape(-1))
    if (sizes == 0).any():
        empty = int(np.flatnonzero(sizes == 0)[0])
        raise ParameterError(
            f"segment {empty} is empty: labels go from 0 to {len(sizes) - 1} without a gap "
            "(np.unique(labels, return_inverse=True)[1].reshape(labels.shape) makes them so)"
        )
    return [found == label for label in range(len(sizes))]


def mean_of_parts(losses: Array, parts: Sequence[Region], x: Array) -> Array:
    """The mean over the parts that cover a cell, (N, T, *sample).

    Parameters
    ----------
    losses : of each part, (N, parts, T)
    parts : an index into a sample for each
    x : the inputs (N, …)
    """
    found = expanded(zeros((len(x), losses.shape[2], *(1,) * (x.ndim - 1)), losses), x.shape[1:])
    counts = np.zeros(x.shape[1:], dtype=np.int64)
    for number, part in enumerate(parts):
        where = (slice(None), slice(None), *(part if isinstance(part, tuple) else (part,)))
        loss = losses[:, number]
        cells = found[where]
        found[where] = cells + loss.reshape(*loss.shape, *(1,) * (cells.ndim - 2))
        counts[part] += 1
    return np.asarray(found / like(counts, losses))
