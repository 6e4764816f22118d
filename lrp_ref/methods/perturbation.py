"""What methods that perturb the input share: one input, and the score at many perturbed ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_finite, integer, like
from ..errors import GraphError, NumberTypeError, ParameterError, ShapeError
from ..layers.base import BaseEmbedding
from ..network.model import Model
from ..propagate.explanation import Explanation
from ..propagate.start import Request
from .base import ModelMethod
from .scoring import Answer, Progress, Scorer

#: How many perturbed inputs are predicted at once at most.
BLOCK = 256


@dataclass(frozen=True, eq=False)
class Probe:
    """A network at an input, and what it answers to others in its place.

    Attributes
    ----------
    scorer : what computes scores
    answer : at the inputs themselves
    batch : how many inputs are predicted at once; None: as many as some memory holds
    progress : called after each block
    """

    scorer: Scorer
    answer: Answer
    batch: int | None = None
    progress: Progress | None = None

    @property
    def x(self) -> Array:
        """The inputs (N, …)."""
        return next(iter(self.answer.inputs.values()))

    def scores(self, count: int, perturb: Callable[[Array, Array], Array]) -> Array:
        """The scores (N, count, T) of `count` perturbed inputs of each sample, block by block.

        Parameters
        ----------
        count : how many perturbations there are
        perturb : gives the inputs (B, …) for numbers of samples (B,) and of perturbations (B,)
        """
        (name,) = self.answer.inputs
        number = len(self.x)
        # Samples are next to each other: what perturbs all of them alike is made once.
        which, samples = (index.reshape(-1) for index in np.indices((count, number)))

        def inputs(part: slice) -> Mapping[str, Array]:
            return {name: perturb(samples[part], which[part])}

        size = self.scorer.batch_size(self.answer.inputs, BLOCK) if self.batch is None else self.batch
        found = self.scorer.over(self.answer.question, samples, inputs, size, self.progress)
        return np.ascontiguousarray(found.reshape(count, number, found.shape[-1]).swapaxes(0, 1))


@dataclass(frozen=True, eq=False)
class PerturbationMethod(ModelMethod):
    """A method that only looks forward: it predicts perturbed inputs, and compares.

    Parameters
    ----------
    model : of one input
    batch : how many inputs are predicted at once; None: as many as 256 MB hold. No bit depends on it
    progress : called after each block with the numbers of inputs done and of all inputs
    head, output, backend, precision, threads, memory : as of every `ModelMethod`
    """

    _: KW_ONLY
    batch: int | None = None
    progress: Progress | None = None

    needs: ClassVar[str] = "predictions"

    def _check(self) -> None:
        only_input(self.model, self.name)
        if self.batch is not None:
            integer(self.batch, "batch", 1)
        _ = self._scorer

    @property
    def parameters(self) -> dict[str, Any]:
        return {name: value for name, value in super().parameters.items() if name != "batch"}

    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        answer = self._scorer.answer(x, Request(target, targets, contrast))
        (name,) = answer.inputs
        relevance = self._relevance(Probe(self._scorer, answer, self.batch, self.progress))
        e = self._explained(answer, {name: relevance})
        return replace(e, cautions=(*e.cautions, *self._cautions()))

    def _cautions(self) -> tuple[str, ...]:
        """What a reader of the map has to know beside what is said of the model."""
        return ()

    @abstractmethod
    def _relevance(self, probe: Probe) -> Array:
        """(N, T, *sample)."""

    def _sample(self, shape: Shape | None) -> Array:
        """An empty batch of samples of this shape, or of the model's own, whose cost is to be estimated."""
        found = self.model.input_shape.get(self.model.inputs[0]) if shape is None else shape
        if found is None:
            raise ParameterError("the model does not say how large its input is (input_shape): give the shape of one sample")
        return np.zeros((0, *found))


def only_input(model: Any, method: str) -> str:
    """The name of the model's input.

    Parameters
    ----------
    model : the network
    method : what messages call the method

    Raises
    ------
    GraphError
        Where there are several.
    """
    if len(model.inputs) != 1:
        raise GraphError(f"{method} is for models of one input; this one has {len(model.inputs)}: {', '.join(model.inputs)}")
    name: str = model.inputs[0]
    return name


def reads_words(model: Model) -> bool:
    """Whether the input holds numbers of words, rows of a table.

    Parameters
    ----------
    model : of one input
    """
    return any(isinstance(node.layer, BaseEmbedding) for node in model.readers(model.inputs[0]))


def expanded(values: Array, sample: Shape) -> Array:
    """Numbers that broadcast against a sample, in its whole shape, writable.

    Parameters
    ----------
    values : (N, T, …)
    sample : the shape of a sample

    Returns
    -------
    array (N, T, *sample)
    """
    return np.array(np.broadcast_to(values, (*values.shape[:2], *sample)))


def background(value: Any, x: Array, place: str) -> Array:
    """What stands in the place of cells, in the shape of one sample and the number type of x.

    Parameters
    ----------
    value : a number, or an array that broadcasts against one sample
    x : the inputs (N, …)
    place : what messages call it

    Raises
    ------
    ShapeError, NumberTypeError, NonFiniteError
        Where it is none.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iufO":
        raise NumberTypeError(f"{place} must hold numbers, found {array.dtype}")
    if array.dtype.kind == "f":
        check_finite(array, place)
    try:
        return np.broadcast_to(like(array, x), x.shape[1:])
    except ValueError:
        raise ShapeError(f"{place} of shape {array.shape} does not broadcast against a sample of shape {x.shape[1:]}") from None
