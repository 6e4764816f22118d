"""The score of a target, forward alone: for methods that look at a network through what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array, Shape
from ..errors import TargetError, unknown
from ..lazy_dataclass import lazy_dataclass
from ..memo import Memo
from ..network.model import Model
from ..predictor import Predictor
from ..propagate import versions
from ..propagate.heads import Head
from ..propagate.scores import Scores, scores
from ..propagate.start import Question, Request, question_of

#: What inputs that are predicted at once may take.
BATCH_BYTES = 2**28

#: What is called after each block with the numbers of inputs done and of all.
Progress = Callable[[int, int], None]


@lazy_dataclass(frozen=True, eq=False)
class Answer:
    """What a network says of some inputs, and which of it is explained.

    Attributes
    ----------
    inputs : (N, …) each, of the model's number type
    prediction : the output, after any softmax
    question : the targets, (N, T) flat indices
    value : (N, T), what is explained
    cautions : what a reader has to know of the model, and of what is explained of it
    """

    inputs: Mapping[str, Array]
    prediction: Array
    question: Question
    value: Array
    cautions: tuple[str, ...] = ()


@lazy_dataclass(frozen=True, eq=False)
class _Asked:
    """What serves inputs of some shapes: the predictor of the explained nodes, and what is explained of each element."""

    predictor: Predictor
    scores: Scores


class Scorer:
    """The explained number of every input, by the steps of a backend, and nothing of a way back.

    Parameters
    ----------
    model : the network
    head : which number of an output is explained; None: the score, where the output is no probability
    output : which output, where the model has several; or any node
    backend, precision, threads, memory : how it is computed, as of a `Predictor`

    Raises
    ------
    TargetError, UnknownNameError, ParameterError, HeadError
        Where the output, or how it is computed, does not fit.
    """

    def __init__(
        self,
        model: Model,
        head: Head | None = None,
        output: str | None = None,
        backend: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
        memory: str = "normal",
    ) -> None:
        self.head = head
        self.model = with_output(versions.cast(model, precision), output)
        self.output = self.model.outputs[0]
        self._choices: dict[str, Any] = {"backend": backend, "precision": precision, "threads": threads, "memory": memory}
        versions.check_computing(backend, precision)
        self._memo = Memo()
        if self.model.extents is None:
            # Refused here, where it can be known without the shapes of inputs.
            scores(self.model, self.output, {}, head)

    @property
    def backend(self) -> str:
        """The name of the backend that computes."""
        return versions.backend_for(self.model, self._choices["backend"])

    def _for(self, arrays: Mapping[str, Array]) -> _Asked:
        """What serves inputs of these shapes."""
        shapes = versions.sample_shapes(arrays)

        def build() -> tuple[_Asked, int]:
            model = self.model.fitted(shapes)
            batch = model.sample_shapes({name: (1, *shape) for name, shape in shapes.items()}).batch(1)
            explained = scores(model, self.output, batch, self.head)
            nodes = tuple(name for name in dict.fromkeys((self.output, *explained.explained_nodes)) if name in model)
            return _Asked(Predictor(replace(model, outputs=nodes), **self._choices), explained), 1

        asked: _Asked = self._memo.get(tuple(shapes.items()), build)
        return asked

    def explained(self, inputs: Mapping[str, Array]) -> tuple[Model, Scores]:
        """The model for inputs of these shapes, and what is explained of every element of its output.

        Parameters
        ----------
        inputs : (N, …) each
        """
        return self.model.fitted(versions.sample_shapes(inputs)), self._for(inputs).scores

    def inputs(self, x: Any) -> dict[str, Array]:
        """The inputs by name, checked and in the model's number type.

        Parameters
        ----------
        x : the input, (N, …), or a mapping from input names
        """
        return self.model.prepare(x)

    def answer(self, x: Any, request: Request) -> Answer:
        """Predict, and find out which elements are explained.

        Parameters
        ----------
        x : the input, (N, …), or a mapping from input names
        request : what a call asks for

        Raises
        ------
        LrpError
            What an `Explainer` raises for inputs, targets and heads that do not fit.
        """
        arrays = self.inputs(x)
        asked, nodes = self._run(arrays)
        question = question_of(asked.scores, nodes, request)
        value = _value(asked.scores, nodes, question)
        return Answer(arrays, nodes[self.output], question, value, (*self.model.remarks, *asked.scores.remarks))

    def values(self, inputs: Mapping[str, Array], question: Question) -> Array:
        """What is explained (N, T) of these inputs.

        Parameters
        ----------
        inputs : (N, …) each, of the model's number type
        question : which elements, (N, T)
        """
        asked, nodes = self._run(inputs)
        return _value(asked.scores, nodes, question)

    def over(
        self,
        question: Question,
        rows: Array,
        inputs: Callable[[slice], Mapping[str, Array]],
        block: int = 64,
        progress: Progress | None = None,
    ) -> Array:
        """What is explained (M, T) of many inputs, some at a time; no bit depends on how many.

        Parameters
        ----------
        question : which elements of each sample, (N, T)
        rows : (M,), the sample whose targets each input is asked about
        inputs : gives the inputs number `slice` of the M
        block : how many are predicted at once
        progress : called after each block
        """
        parts = []
        for part in blocks(len(rows), block):
            chosen = rows[part]
            others = None if question.others is None else question.others[chosen]
            parts.append(self.values(inputs(part), Question(question.targets[chosen], question.single, others)))
            if progress is not None:
                progress(part.stop, len(rows))
        return np.concatenate(parts)

    def batch_size(self, inputs: Mapping[str, Array], most: int = 1024) -> int:
        """How many inputs are predicted at once, so that they fit into `BATCH_BYTES`.

        Parameters
        ----------
        inputs : (N, …) each, by name
        most : never more than these
        """
        predictor = self._for(inputs).predictor
        two, three = ({name: (count, *a.shape[1:]) for name, a in inputs.items()} for count in (2, 3))
        each = predictor.memory_needed(three) - predictor.memory_needed(two)
        return int(min(max(BATCH_BYTES // max(each, 1), 1), most))

    def _run(self, arrays: Mapping[str, Array]) -> tuple[_Asked, dict[str, Array]]:
        asked = self._for(arrays)
        found = asked.predictor(arrays)
        names = asked.predictor.model.outputs
        return asked, {**arrays, **(found if len(names) > 1 else {names[0]: found})}


def _value(explained: Scores, nodes: Mapping[str, Array], question: Question) -> Array:
    """The explained numbers (N, T), less those that they are contrasted with."""
    value = explained.start(nodes, question.targets)[1]
    return value if question.others is None else np.asarray(value - explained.start(nodes, question.others)[1])


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `count`; one empty slice where there is nothing.

    Parameters
    ----------
    count : of what
    size : of a block
    """
    for begin in range(0, count, size) or (0,):
        yield slice(begin, min(begin + size, count))


def with_output(model: Model, output: str | None) -> Model:
    """The model with one output: the one that is chosen, or any of its nodes.

    Parameters
    ----------
    model : the network
    output : a node's name; None: the model's only output

    Raises
    ------
    TargetError, UnknownNameError
        Where there are several outputs and none is chosen, or there is no such node.
    """
    if output is None:
        if len(model.outputs) > 1:
            raise TargetError(f"the model has several outputs; choose output= from {', '.join(model.outputs)}")
        return model
    if output not in model:
        raise unknown("output", output, (*model.outputs, *(node.name for node in model.nodes)))
    return model if model.outputs == (output,) else replace(model, outputs=(output,))


def shapes_match(given: Shape, wanted: Shape) -> bool:
    """Whether an array of shape `given` stands for one of shape `wanted`, by broadcasting.

    Parameters
    ----------
    given, wanted : shapes
    """
    try:
        return np.broadcast_shapes(given, wanted) == tuple(wanted)
    except ValueError:
        return False
