"""Prediction difference analysis: what the score loses where a patch is drawn anew from what the data make likely there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_finite, integer, is_exact, like, unmasked, zeros
from ..errors import ExactnessError, ParameterError, ShapeError, unknown
from ..propagate.heads import Probability
from .base import Cost
from .draws import check_seed, generator
from .occlusion import Region, extents_of, mean_of_parts, moved_axes, patches
from .perturbation import PerturbationMethod, Probe
from .replacements import mean_over_draws

MEASURES = ("evidence", "difference")
#: Windows of the data that a Gaussian is fitted to at most.
WINDOWS = 20_000


@dataclass(frozen=True, eq=False)
class PredictionDifference(PerturbationMethod):
    r"""What a prediction loses where a patch is unknown, drawn from a Gaussian given what surrounds it (Zintgraf et al. 2017).

    .. math::
        p(c \mid x_{\setminus w}) = \frac{1}{S} \sum_{s=1}^{S} p\big(c \mid x_{\setminus w}, x_w^{(s)}\big), \qquad
        R_w = \log_2 \frac{p(c \mid x)}{1 - p(c \mid x)}
            - \log_2 \frac{p(c \mid x_{\setminus w})}{1 - p(c \mid x_{\setminus w})}

    That is the weight of evidence, with p replaced by (p N + 1)/(N + K) for N data and K classes (`CONV-EVIDENCE`); or the
    difference p(c | x) − p(c | x∖w). The inner patch w is drawn given the outer patch around it, jointly over channels, from a
    Gaussian fitted to all windows of the data (`CONV-CONDITIONAL`). A cell gets the mean over the inner patches that cover it.

    Parameters
    ----------
    model : of one input; its output is a probability, unless measure="difference"
    data : (M, …), samples of the shape of those that are explained, M ≥ 2
    patch : the extents of the inner patch, as of an `Occlusion`
    outer : those of the outer patch; None: 4 cells more, of a table all features
    stride : how far apart inner patches are
    samples : S
    seed : of the draws; an integer ≥ 0
    measure : "evidence" or "difference"
    count : N; None: M
    axes : the axes that patches move along, as of an `Occlusion`
    head : "probability"; with measure="difference" also another, as of an `Explainer`
    batch, progress : as of every `PerturbationMethod`
    output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError, UnknownNameError, ShapeError
        Where a choice makes no sense, or the data are of another shape.
    HeadError
        Where the output is no probability.
    ExactnessError
        For rationals.
    """

    data: Any = None
    patch: Any = None
    outer: Any = None
    _: KW_ONLY
    stride: Any = 1
    samples: int = 10
    seed: int = 0
    measure: str = "evidence"
    count: int | None = None
    axes: int | Sequence[int] | None = None

    formula: ClassVar[str] = r"R_w = \log_2 o(c|x) - \log_2 o(c|x_{-w})"
    needs: ClassVar[str] = "predictions, and data"
    passes: ClassVar[str] = "1 + patches × samples forward"
    source: ClassVar[str] = "Zintgraf et al. 2017"

    def _check(self) -> None:
        super()._check()
        if self.measure not in MEASURES:
            raise unknown("measure", self.measure, MEASURES)
        if self.measure == "evidence" and not isinstance(self._head, Probability):
            raise ParameterError('the weight of evidence is that of a probability: head="probability", or measure="difference"')
        integer(self.samples, "samples", 1)
        check_seed(self.seed)
        if self.count is not None:
            integer(self.count, "count", 1)
        if self.data is None:
            raise ParameterError("give data=, samples (M, …) that say what is likely: a Gaussian is fitted to them")
        data = np.asarray(unmasked(self.data, "data"))
        if data.dtype.kind not in "iuf" or data.ndim < 2 or len(data) < 2:
            raise ShapeError(f"data are at least two samples (M, …) of numbers, found {data.dtype} of shape {data.shape}")
        check_finite(data.astype(np.float64, copy=False), "data")

    def estimate(self, shape: Shape | None = None) -> Cost:
        """The cost of one explanation of one sample, in passes.

        Parameters
        ----------
        shape : of one sample; None: the model's own, or that of the data
        """
        found = np.shape(self.data)[1:] if shape is None else shape
        x = self._sample(found)
        return Cost(1 + len(self._parts(x)) * self.samples)

    def _parts(self, x: Array) -> list[Region]:
        return patches(self.patch, self.stride, x, moved_axes(self.model, x, self.axes))

    def _relevance(self, probe: Probe) -> Array:
        x = probe.x
        self._check_call(probe)
        axes = moved_axes(self.model, x, self.axes)
        inner = extents_of(self.patch, x, axes)
        known = Gaussian.of(np.asarray(self.data, dtype=np.float64), axes, self._outer(inner, x, axes))
        parts = self._parts(x)
        laws = [known.given(x, part) for part in parts]
        noise = [generator(self.seed, draw).standard_normal(x.shape[1:]) for draw in range(self.samples)]

        def perturb(samples: Array, which: Array) -> Array:
            found = x[samples]
            for row, sample, number in zip(found, samples, which, strict=True):
                part, (means, root) = parts[number // self.samples], laws[number // self.samples]
                drawn = means[sample] + root @ noise[number % self.samples][part].reshape(-1)
                row[part] = like(drawn, x).reshape(row[part].shape)
            return found

        values = probe.scores(len(parts) * self.samples, perturb)
        unknown_part = mean_over_draws(values.reshape(len(x), len(parts), self.samples, values.shape[-1]))
        size = max(math.prod(probe.answer.prediction.shape[1:]), 2)
        return mean_of_parts(self._loss(probe.answer.value[:, None], unknown_part, size), parts, x)

    def _check_call(self, probe: Probe) -> None:
        if is_exact(probe.x):
            raise ExactnessError("draws from a Gaussian are not rational: explain in float64, or by Occlusion")
        if np.shape(self.data)[1:] != probe.x.shape[1:]:
            raise ShapeError(f"data have samples of shape {np.shape(self.data)[1:]}, and explained are {probe.x.shape[1:]}")
        if self.measure == "evidence" and probe.answer.question.others is not None:
            raise ParameterError('a contrast of probabilities has no odds: measure="difference" explains it')

    def _outer(self, inner: Shape, x: Array, axes: tuple[int, ...]) -> Shape:
        if self.outer is None:
            wanted = [x.shape[axis] if x.ndim == 2 else extent + 4 for extent, axis in zip(inner, axes, strict=True)]
            return tuple(min(extent, x.shape[axis]) for extent, axis in zip(wanted, axes, strict=True))
        outer = extents_of(self.outer, x, axes, "outer")
        if any(o < i for o, i in zip(outer, inner, strict=True)):
            raise ParameterError(f"the outer patch {outer} is smaller than the inner one, {inner}")
        return outer

    def _loss(self, whole: Array, part: Array, classes: int) -> Array:
        """The measure of what is lost, (N, parts, T)."""
        if self.measure == "difference":
            return np.asarray(whole - part)
        count = len(self.data) if self.count is None else self.count
        return np.asarray(evidence(whole, count, classes) - evidence(part, count, classes))


def evidence(p: Array, count: int, classes: int) -> Array:
    """The log₂ odds of a probability after Laplace's correction, (p N + 1)/(N + K).

    Parameters
    ----------
    p : probabilities
    count, classes : N and K
    """
    corrected = (p * like(count, p) + like(1, p)) / like(count + classes, p)
    return np.asarray(np.log2(corrected / (like(1, p) - corrected)))


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A Gaussian of windows, the same at every place of an input.

    Attributes
    ----------
    mean : (D,), D the cells of a window in C order, those of all other axes included
    covariance : (D, D)
    axes : that windows move along
    extents : of a window along these axes
    """

    mean: Array
    covariance: Array
    axes: tuple[int, ...]
    extents: Shape

    @classmethod
    def of(cls, data: Array, axes: tuple[int, ...], extents: Shape) -> Gaussian:
        """The mean and covariance of the windows of data, of evenly spaced ones where there are more than `WINDOWS`.

        Parameters
        ----------
        data : (M, …)
        axes : that windows move along
        extents : of a window
        """
        places = [range(data.shape[axis] - extent + 1) for axis, extent in zip(axes, extents, strict=True)]
        every = len(data) * math.prod(len(along) for along in places)
        chosen = np.unique(np.linspace(0, every - 1, min(every, WINDOWS)).astype(np.intp))
        numbers = np.unravel_index(chosen, (len(data), *(len(along) for along in places)))
        rows = [data[n][_window(data.ndim, axes, corner, extents)].reshape(-1) for n, *corner in zip(*numbers, strict=True)]
        windows = np.array(rows)
        mean = windows.mean(axis=0)
        return cls(mean, (windows - mean).T @ (windows - mean) / max(len(windows) - 1, 1), axes, extents)

    def given(self, x: Array, part: Region) -> tuple[Array, Array]:
        """The means (N, d) of the d cells of `part` given the rest of its window in each sample, and a root of their covariance.

        Parameters
        ----------
        x : the inputs (N, …)
        part : an inner patch; its window is around it, inside of the input
        """
        corner = []
        for axis, extent in zip(self.axes, self.extents, strict=True):
            begin, end = part[axis - 1].start, part[axis - 1].stop
            middle = begin - (extent - (end - begin)) // 2
            corner.append(min(max(middle, 0), x.shape[axis] - extent))
        window = _window(x.ndim, self.axes, corner, self.extents)
        marked = np.zeros(x.shape[1:], dtype=bool)
        marked[part] = True
        inside = marked[window].reshape(-1)
        own, others = self.covariance[np.ix_(inside, inside)], self.covariance[np.ix_(inside, ~inside)]
        slope = others @ np.linalg.pinv(self.covariance[np.ix_(~inside, ~inside)], hermitian=True)
        rest = np.asarray(x, dtype=np.float64)[(slice(None), *window)].reshape(len(x), -1)[:, ~inside] - self.mean[~inside]
        means = zeros((len(x), int(inside.sum())), self.mean)
        for n, row in enumerate(rest):  # sample by sample, so that no bit depends on the batch
            means[n] = self.mean[inside] + slope @ row
        values, vectors = np.linalg.eigh(own - slope @ others.T)
        return means, vectors * np.sqrt(np.maximum(values, 0))


def _window(ndim: int, axes: tuple[int, ...], corner: Sequence[int], extents: Shape) -> tuple[Any, ...]:
    """An index of one sample."""
    found = [slice(None)] * (ndim - 1)
    for axis, begin, extent in zip(axes, corner, extents, strict=True):
        found[axis - 1] = slice(int(begin), int(begin) + extent)
    return tuple(found)
