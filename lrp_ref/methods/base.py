"""What every method is: anything that answers (x, target) with an `Explanation`.

An `Explainer` is one, and so is each class of this package. Wrappers take and give methods, evaluations take them, and the
command line lists them (`lrp-ref methods`).
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, is_exact, like
from ..composites import Composite
from ..errors import ParameterError, ShapeError
from ..explainer import Explainer
from ..forks import cached_property
from ..network.model import Model
from ..propagate.explanation import Explanation
from ..propagate.heads import Head, Unit, head_of
from .scoring import Answer, Scorer, shapes_match, with_output

MOST_NUMBERS = 16  # of an array that an explanation writes out among the parameters


@dataclass(frozen=True)
class Cost:
    """What one explanation of one sample takes, in passes through the network.

    Attributes
    ----------
    forward : passes from the input to the output
    backward : passes back, for each target
    """

    forward: int
    backward: int = 0

    def __str__(self) -> str:
        return f"{self.forward} forward, {self.backward} backward"


@dataclass(frozen=True, eq=False)
class ModelMethod(ABC):
    """A method as a frozen record: a network, what of it is explained, how it is computed, and the method's own parameters.

    Parameters
    ----------
    model : the network
    head : "logit", "log-odds", "probability" or a `Head`; must be chosen where the output is a probability
    output : which output is explained, where there are several; or the name of any node
    backend, precision, threads, memory : how it is computed, as of an `Explainer`
    """

    model: Model
    _: KW_ONLY
    head: Any = None
    output: str | None = None
    backend: str | None = None
    precision: str | None = None
    threads: int | None = None
    memory: str = "normal"

    #: What is computed, as LaTeX.
    formula: ClassVar[str] = ""
    #: What the network, or the user, must give.
    needs: ClassVar[str] = ""
    #: What the relevances add up to; "nothing" where they are no share of anything.
    conserves: ClassVar[str] = "nothing"
    #: Passes through the network for one sample, in words, with the parameters' names.
    passes: ClassVar[str] = ""
    #: Where the method comes from.
    source: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self._check()

    @abstractmethod
    def _check(self) -> None:
        """Refuse parameters that make no sense, and a model that the method does not serve."""

    @abstractmethod
    def __call__(self, x: Any, target: Any = None, *, targets: Any = None, contrast: Any = None) -> Explanation:
        """Explain the prediction for a batch of inputs.

        Parameters
        ----------
        x : the input, (N, …), or a mapping from input names
        target, targets, contrast : what of the output is explained, as in a call of an `Explainer`

        Raises
        ------
        LrpError
            What an `Explainer` raises for inputs, targets and heads that do not fit.
        """

    @abstractmethod
    def estimate(self) -> Cost:
        """The cost of one explanation of one sample, in passes."""

    @property
    def name(self) -> str:
        """What explanations and tables call the method."""
        return type(self).__name__

    @property
    def parameters(self) -> dict[str, Any]:
        """The method's own parameters, as an explanation keeps them: numbers, texts and lists."""
        shared = {field.name for field in fields(ModelMethod)}
        return {f.name: written(getattr(self, f.name)) for f in fields(self) if f.name not in shared and f.name != "progress"}

    def replace(self, **choices: Any) -> Any:
        """A method of the same choices but for these.

        Parameters
        ----------
        choices : parameters of the constructor
        """
        return replace(self, **choices)

    def __getstate__(self) -> dict[str, Any]:
        # What is derived is made again.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    # --- what methods share ------------------------------------------------------------------------------------------

    @cached_property
    def _head(self) -> Head | None:
        """The head that was chosen."""
        head = None if self.head is None else head_of(self.head)
        return head.of if isinstance(head, Unit) else head

    @cached_property
    def _scorer(self) -> Scorer:
        """What the network answers."""
        choices = (self.backend, self.precision, self.threads, self.memory)
        return Scorer(self.model, self._head, self.output, *choices)

    def _explainer(self, composite: Composite | str = "gradient", derivative: bool = True, keep: Any = "input") -> Explainer:
        """A relevance pass by a composite of derivatives, or of other rules, as the method is computed.

        Parameters
        ----------
        composite : the rules
        derivative : whether the start is the derivative of the explained number, 1 at a score; else it is the number itself
        keep : as of an `Explainer`
        """
        return Explainer(
            with_output(self.model, self.output),
            composite,
            head=Unit(self._head) if derivative else self._head,
            keep=keep,
            backend=self.backend,
            precision=self.precision,
            threads=self.threads,
            memory=self.memory,
        )

    def _renamed(self, e: Explanation, **changes: Any) -> Explanation:
        """An explanation under this method's name, with its parameters, and what else changes."""
        head = "logit" if self._head is None else self._head.name
        return replace(e, **{"method": self.name, "parameters": self.parameters, "head": head, "composite": "", **changes})

    def _explained(self, answer: Answer, relevances: Mapping[str, Array], shared: Array | None = None) -> Explanation:
        """An explanation of an answer.

        Parameters
        ----------
        answer : what the network says
        relevances : (N, T, …) of every input, by name
        shared : (N, T), what they add up to, where the method conserves
        """
        question, scorer = answer.question, self._scorer
        single = question.single

        def squeezed(a: Array) -> Array:
            return a[:, 0] if single else a

        example = next(iter(answer.inputs.values()))
        return Explanation(
            relevances={name: squeezed(a) for name, a in relevances.items()},
            inputs=scorer.model.inputs,
            activations=answer.inputs,
            prediction=answer.prediction,
            target=squeezed(question.targets),
            value=squeezed(answer.value),
            backend=scorer.backend,
            precision="exact" if is_exact(example) else self.precision or example.dtype.name,
            head="logit" if self._head is None else self._head.name,
            cautions=answer.cautions,
            method=self.name,
            parameters=self.parameters,
            shared=None if shared is None else squeezed(shared),
        )


def written(value: Any) -> Any:
    """A parameter as JSON has it: small arrays as lists, others by shape, range and checksum; rationals as texts.

    Parameters
    ----------
    value : of a parameter
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): written(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)) and len(value) <= MOST_NUMBERS:
        return [written(entry) for entry in value]
    if isinstance(value, (np.ndarray, list, tuple)):
        return _array_text(np.asarray(value))
    return str(getattr(value, "__name__", value))


def _array_text(array: Array) -> Any:
    if array.size <= MOST_NUMBERS:
        return array.astype(str).tolist() if is_exact(array) else array.tolist()
    bits = "".join(map(str, array.flat)).encode() if is_exact(array) else np.ascontiguousarray(array).tobytes()
    return f"{array.dtype}{list(array.shape)} from {array.min()} to {array.max()}, CRC-32 {zlib.crc32(bits):08x}"


def input_like(value: Any, inputs: Mapping[str, Array], what: str) -> dict[str, Array]:
    """What is given in place of the inputs, such as a baseline, of their shapes and number type.

    Parameters
    ----------
    value : one array or number for all inputs, or a mapping from their names; each of the shape of one sample, of the batch, or
        one that broadcasts against it
    inputs : (N, …) each
    what : what messages call it

    Raises
    ------
    ShapeError
        Where it does not broadcast against an input.
    ParameterError
        Where a mapping leaves an input out, or names another.
    """
    given = value if isinstance(value, Mapping) else dict.fromkeys(inputs, value)
    if set(given) != set(inputs):
        raise ParameterError(f"{what} has one entry for each input, {', '.join(inputs)}; found {', '.join(map(str, given))}")
    return {name: _input_like(given[name], array, f"{what} of input {name!r}") for name, array in inputs.items()}


def _input_like(value: Any, array: Array, what: str) -> Array:
    found = like(value, array)
    if not shapes_match(found.shape, array.shape):
        wanted = _shapes(array.shape)
        raise ShapeError(f"the {what} has shape {found.shape}, which does not fit the input's {array.shape}: give {wanted}")
    if not is_exact(found) and not np.isfinite(found).all():
        raise ParameterError(f"the {what} is not finite")
    return np.ascontiguousarray(np.broadcast_to(found, array.shape))


def _shapes(shape: Shape) -> str:
    return f"a number, one sample {shape[1:]} or the batch {shape}"
