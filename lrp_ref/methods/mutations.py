"""Insertions: what a score gains where something is added to an input, or one letter is exchanged for another."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, integer, like
from ..errors import GraphError, ParameterError, ShapeError
from ..propagate.explanation import Explanation
from ..propagate.start import Request
from .base import Cost, ModelMethod, input_like
from .scoring import Answer, Progress
from .segments import segments_of


@dataclass(frozen=True, eq=False)
class _Addition(ModelMethod):
    """A method that compares the score at inputs to which something is done with that at the input itself."""

    _: KW_ONLY
    batch: int | None = None
    progress: Progress | None = None

    def _check(self) -> None:
        if self.batch is not None:
            integer(self.batch, "batch", 1)
        _ = self._scorer

    def _gains(self, answer: Answer, count: int, changed: Any) -> Array:
        """f of `count` changed inputs of each sample less f of the input, (N, T, count)."""
        inputs, number = answer.inputs, len(answer.prediction)
        which, sample = (part.reshape(-1) for part in np.indices((count, number)))
        size = self._scorer.batch_size(inputs) if self.batch is None else self.batch
        found = self._scorer.over(answer.question, sample, lambda part: changed(sample[part], which[part]), size, self.progress)
        scores = np.moveaxis(found.reshape(count, number, found.shape[1]), 0, 2)
        return np.ascontiguousarray(scores - answer.value[:, :, None])


@dataclass(frozen=True, eq=False)
class Insertion(_Addition):
    r"""A test charge: what a score gains where something is added (Montavon et al. 2018, §8.2).

    .. math:: R_i = f(x + q\, e_i) - f(x)

    The counterpart of occlusion, which takes away: it also says what an empty place would do. Every element of a segment gets
    the gain of the whole (`CONV-INSERTION`). It conserves nothing; for a linear f it is q times the weight.

    Parameters
    ----------
    model : the network
    charge : q, what is added: a number, one sample, a batch, or a mapping from input names
    segments : what is added to at once: integer labels that broadcast against one sample, an int p: patches of p × p cells; None:
        every element by itself
    batch : how many inputs are predicted at once; None: as many as 256 MB hold, 1024 at most. No bit depends on it
    progress : called after each batch with the numbers of inputs done and of all
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    _: KW_ONLY
    charge: Any = 1
    segments: Any = None

    formula: ClassVar[str] = r"R_i = f(x + q e_i) - f(x)"
    needs: ClassVar[str] = "predictions"
    passes: ClassVar[str] = "1 + segments forward"
    source: ClassVar[str] = "Montavon et al. 2018, §8.2"

    def estimate(self) -> Cost:
        if len(self.model.input_shape) < len(self.model.inputs):
            raise ParameterError("the cost depends on the number of segments: give a model that knows its input_shape")
        example = {name: np.zeros((1, *shape)) for name, shape in self.model.input_shape.items()}
        return Cost(1 + segments_of(self.segments, example, "Insertion.segments").count)

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        inputs, segments = answer.inputs, segments_of(self.segments, answer.inputs, "Insertion.segments")
        added = {name: inputs[name] + q for name, q in input_like(self.charge, inputs, "charge").items()}

        def changed(sample: Array, which: Array) -> dict[str, Array]:
            own, other = ({name: a[sample] for name, a in given.items()} for given in (inputs, added))
            return segments.mix(which[:, None] != np.arange(segments.count), own, other)

        return self._explained(answer, segments.spread(self._gains(answer, segments.count, changed)))


@dataclass(frozen=True, eq=False)
class Mutation(_Addition):
    r"""A mutation map: what a score gains where one letter of a sequence is exchanged (Montavon et al. 2018, §8.2).

    .. math:: R_{t,a} = f(x \text{ with the letter } a \text{ at } t) - f(x)

    Of sequences of letters in one-hot coding. The letters that are there have 0.

    Parameters
    ----------
    model : of one input (N, …), one-hot along an axis
    axis : of the letters, of the input with its batch axis
    batch : how many inputs are predicted at once; None: as many as 256 MB hold, 1024 at most. No bit depends on it
    progress : called after each batch with the numbers of inputs done and of all
    head, output, backend, precision, threads, memory : as of every `ModelMethod`

    Raises
    ------
    GraphError
        Where the model has several inputs.
    ParameterError
        When called: where a place does not hold one letter.
    ShapeError
        When called: where the axis is none of letters.
    """

    _: KW_ONLY
    axis: int = -1

    formula: ClassVar[str] = r"R_{t,a} = f(x_t := a) - f(x)"
    needs: ClassVar[str] = "letters in one-hot coding"
    passes: ClassVar[str] = "1 + places × letters forward"
    source: ClassVar[str] = "Montavon et al. 2018, §8.2"

    def _check(self) -> None:
        super()._check()
        integer(self.axis, "Mutation.axis")
        if len(self._scorer.model.inputs) != 1:
            raise GraphError(f"Mutation changes one input, and the model has {', '.join(self._scorer.model.inputs)}")

    def estimate(self) -> Cost:
        shapes = list(self.model.input_shape.values())
        if not shapes:
            raise ParameterError("the cost depends on the shape of the input: give a model that knows its input_shape")
        return Cost(1 + int(np.prod(shapes[0])))

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        ((name, array),) = answer.inputs.items()
        if not (-array.ndim < self.axis < array.ndim) or self.axis == 0:
            raise ShapeError(f"axis {self.axis} is none beside the batch of an input of shape {array.shape}")
        letters = np.moveaxis(array, self.axis, -1)
        one, zero = like(1, array), like(0, array)
        if not (((letters == one).sum(axis=-1) == 1) & ((letters != zero).sum(axis=-1) == 1)).all():
            raise ParameterError(f"Mutation needs one letter at each place, a 1 among zeros along axis {self.axis}")
        flat = np.ascontiguousarray(letters).reshape(len(array), -1, letters.shape[-1])
        places, kinds = flat.shape[1:]

        def changed(sample: Array, which: Array) -> dict[str, Array]:
            found = flat[sample]
            rows, place = np.arange(len(sample)), which // kinds
            found[rows, place] = zero
            found[rows, place, which % kinds] = one
            moved = np.moveaxis(found.reshape(len(sample), *letters.shape[1:]), -1, self.axis)
            return {name: np.ascontiguousarray(moved)}

        gains = self._gains(answer, places * kinds, changed)
        relevance = gains.reshape(*gains.shape[:2], *letters.shape[1:])
        axis = self.axis if self.axis < 0 else self.axis + 1
        return self._explained(answer, {name: np.ascontiguousarray(np.moveaxis(relevance, -1, axis))})
