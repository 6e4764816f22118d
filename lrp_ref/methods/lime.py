"""LIME: a linear model of segments that are there or not, fitted near an input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Number, check_number, integer, is_exact, like, zeros
from ..errors import ExactnessError, ParameterError, missing_extra
from ..propagate.explanation import Explanation
from ..propagate.start import Request
from .base import Cost, ModelMethod, input_like
from .draws import check_seed, generator
from .equations import solve_exactly, undetermined
from .scoring import Answer, Progress
from .segments import Segments, segments_of

#: The most segments whose 2ⁿ samples are all evaluated.
MOST_SEGMENTS = 16
#: The most coefficients that a regression is solved for: its equations take 8 n² bytes.
MOST_COEFFICIENTS = 8192
#: How many patches there are along an axis by default.
ACROSS = 8


@dataclass(frozen=True, eq=False)
class Lime(ModelMethod):
    r"""LIME (Ribeiro et al. 2016; Alber 2019, §22.2.1).

    .. math::

        \min_{c,\,b} \sum_s \pi_s \bigl(f(x_s) - b - z_s^\top c\bigr)^2 + \alpha \lVert c \rVert^2, \qquad
        \pi_s = \sqrt{\exp(-d_s^2 / w^2)}, \quad d_s = 1 - \sqrt{|z_s| / n}

    A sample z_s says which of the n segments are there; what is not is that of the baseline. The first sample is the input,
    the others have each segment with probability ½; d_s is the cosine distance to the input, 1 of nothing (`CONV-LIME`).
    Every element gets the coefficient of its segment. It conserves nothing.

    Parameters
    ----------
    model : the network
    baseline : what absent segments are: a number, one sample, a batch, or a mapping from input names
    segments : integer labels 0, 1, … that broadcast against one sample (`superpixels` computes some); of several inputs a
        mapping. An int p: patches of p × p cells. None: 8 × 8 patches of an image, every element of anything else
    samples : how many, or "all": every one of the 2ⁿ, for up to 16 segments
    width : w of the kernel; None: all samples weigh the same
    ridge : α
    seed : of the samples, an integer of at least 0; they are the same for every input
    batch : how many inputs are predicted at once; None: as many as 256 MB hold, 1024 at most. No bit depends on it
    progress : called after each batch with the numbers of inputs done and of all
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    ParameterError
        Where a parameter is out of its range; when called: where a segment is empty, or nothing determines the coefficients.
    ExactnessError
        When called with rationals and a kernel, whose weights are not rational.
    """

    _: KW_ONLY
    baseline: Any = 0
    segments: Any = None
    samples: Any = 1000
    width: Number | None = 0.25
    ridge: Number = 1.0
    seed: int = 0
    batch: int | None = None
    progress: Progress | None = None

    formula: ClassVar[str] = r"R_i = c_i,\quad \min_{c,b} \sum_s \pi_s (f(x_s) - b - z_s c)^2 + \alpha \sum_i c_i^2"
    needs: ClassVar[str] = "a baseline and segments"
    passes: ClassVar[str] = "1 + samples forward"
    source: ClassVar[str] = "Ribeiro et al. 2016; Alber 2019, §22.2.1"

    def _check(self) -> None:
        check_seed(self.seed)
        check_number(self.ridge, "Lime.ridge", 0)
        if self.samples != "all":
            integer(self.samples, "Lime.samples", 2)
        if self.batch is not None:
            integer(self.batch, "Lime.batch", 1)
        if self.width is not None:
            check_number(self.width, "Lime.width", 0)
            if self.width == 0:
                raise ParameterError("Lime.width must be positive; None lets all samples weigh the same")
        _ = self._scorer

    def estimate(self) -> Cost:
        if self.samples != "all":
            return Cost(1 + int(self.samples))
        if self.segments is None or len(self.model.input_shape) < len(self.model.inputs):
            raise ParameterError('the cost of samples="all" depends on the number of segments: give segments= and an input_shape')
        example = {name: np.zeros((1, *shape)) for name, shape in self.model.input_shape.items()}
        return Cost(1 + 2 ** segments_of(self.segments, example, "Lime.segments").count)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        inputs = answer.inputs
        segments = segments_of(self._default(inputs) if self.segments is None else self.segments, inputs, "Lime.segments")
        present = self._samples(segments.count)
        weights = kernel_weights(present, self.width, next(iter(inputs.values())))
        fitting = ridge_operator(like(present.astype(np.int8), weights), weights, self.ridge)
        scores = self._scores(answer, segments, present)
        coefficients = np.matmul(fitting, scores[..., None])[..., 0]
        return self._explained(answer, segments.spread(like(coefficients, answer.value)))

    @staticmethod
    def _default(inputs: Mapping[str, Array]) -> Any:
        """Patches of an image, and None of anything else."""
        if len(inputs) > 1:
            return None
        (array,) = inputs.values()
        return math.ceil(max(array.shape[-2:]) / ACROSS) if array.ndim == 4 else None

    def _samples(self, count: int) -> Array:
        """Which segments are there, (samples, segments)."""
        if count > MOST_COEFFICIENTS:
            raise ParameterError(
                f"a regression on {count} segments: {MOST_COEFFICIENTS} are the most; segments= puts elements together"
            )
        if self.samples != "all":
            drawn = generator(self.seed, 0).integers(0, 2, (int(self.samples) - 1, count))
            return np.concatenate([np.ones((1, count), dtype=bool), drawn == 1])
        if count > MOST_SEGMENTS:
            raise ParameterError(
                f'samples="all" of {count} segments are 2^{count}, and {MOST_SEGMENTS} segments are the most: samples=1000 draws '
                "some, and segments= puts elements together"
            )
        return np.asarray((np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1)

    def _scores(self, answer: Answer, segments: Segments, present: Array) -> Array:
        """f of every sample, (N, T, samples), in the number type that the fit has."""
        inputs, number = answer.inputs, len(answer.prediction)
        other = input_like(self.baseline, inputs, "baseline")
        which, sample = (part.reshape(-1) for part in np.indices((len(present), number)))

        def perturbed(part: slice) -> dict[str, Array]:
            own, absent = ({name: array[sample[part]] for name, array in given.items()} for given in (inputs, other))
            return segments.mix(present[which[part]], own, absent)

        size = self._scorer.batch_size(inputs) if self.batch is None else self.batch
        found = self._scorer.over(answer.question, sample, perturbed, size, self.progress)
        found = np.ascontiguousarray(np.moveaxis(found.reshape(len(present), number, found.shape[1]), 0, 2))
        return found if is_exact(found) else found.astype(np.float64)


def kernel_weights(present: Array, width: Number | None, example: Array) -> Array:
    """π of samples, float64 or rational: how near each is to having every segment.

    Parameters
    ----------
    present : which segments are there, (samples, segments)
    width : of the kernel; None: 1 for all
    example : an array of the number type that is computed in

    Raises
    ------
    ExactnessError
        Where they are asked for in rationals.
    """
    wide = example if is_exact(example) else np.zeros(0)
    if width is None:
        return zeros((len(present),), wide) + like(1, wide)
    if is_exact(example):
        raise ExactnessError(
            "the kernel of LIME is not rational: width=None lets all samples weigh the same, or use float64 arrays"
        )
    distance = 1 - np.sqrt(present.mean(axis=1)) if present.shape[1] else np.zeros(len(present))
    return np.asarray(np.exp(-(distance**2) / (2 * float(width) ** 2)))


def ridge_operator(z: Array, weights: Array, ridge: Number) -> Array:
    """What gives the coefficients of a weighted ridge regression with an unpenalised intercept: c = G f, (segments, samples).

    It does not depend on f, so that a sample's coefficients have the same bits in any batch.

    Parameters
    ----------
    z : (samples, segments)
    weights : (samples,)
    ridge : α

    Raises
    ------
    ParameterError
        Where the samples do not determine the coefficients.
    """
    centred = z - (weights[:, None] * z).sum(axis=0) / weights.sum()
    weighted = (weights[:, None] * centred).T
    system = np.asarray(weighted @ centred)
    count = len(system)
    system = system + like(ridge, z) * like(np.eye(count, dtype=np.int8), z)
    if is_exact(z):
        return solve_exactly(system, weighted)
    if count and np.linalg.matrix_rank(system) < count:
        raise undetermined(count, len(z))
    return np.ascontiguousarray(np.linalg.solve(system, weighted))


def superpixels(image: Any, count: int = 64, compactness: float = 10.0) -> Array:
    """Labels of superpixels of an image by SLIC, for `segments=` of any method that takes them.

    Parameters
    ----------
    image : (C, H, W)
    count : about how many there are to be
    compactness : how much nearness counts beside likeness

    Returns
    -------
    (H, W), labels 0, 1, … without a gap

    Raises
    ------
    MissingExtraError
        Where scikit-image is not installed.
    ParameterError
        Where it is no image.
    """
    array = np.asarray(image, dtype=np.float64)
    if array.ndim != 3:
        raise ParameterError(f"superpixels of one image (C, H, W) are computed, found shape {array.shape}")
    integer(count, "count", 1)
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise missing_extra("scikit-image", "superpixels", "computing superpixels") from None
    labels = slic(array, n_segments=count, compactness=compactness, channel_axis=0, start_label=0, convert2lab=len(array) == 3)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
