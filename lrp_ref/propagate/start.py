"""Where relevance starts, and what of it flows on: from what a call asks for to arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array, Shape, check_finite, fractions, is_exact, like, per_sample, unmasked
from ..errors import LrpError, ParameterError, ShapeError, TargetError
from ..lazy_dataclass import lazy_dataclass
from ..network.model import ancestors
from .forward import ForwardPass, refuse_values
from .scores import Scores
from .spec import ExplainSpec
from .targets import indices, several, spelled


@lazy_dataclass(frozen=True, eq=False)
class Request:
    """What of an output is explained, as a call of an explainer says it (`Explainer.__call__`).

    Raises
    ------
    TargetError, ParameterError
        Where two of its parts contradict each other.
    """

    target: Any = None
    targets: Any = None
    contrast: Any = None
    start: Any = None
    start_at: str | None = None
    filter: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.start is None and self.start_at is not None:
            raise TargetError(f"start_at={self.start_at!r} needs start=, the relevance that starts there")
        if self.filter is not None and not isinstance(self.filter, Mapping):
            raise ParameterError(
                "filter= must be a mapping from node names to the channels, neuron or mask that relevance flows through, found "
                f"{type(self.filter).__name__}"
            )
        if self.start is not None and not (self.target is None and self.targets is None and self.contrast is None):
            raise TargetError("start= is the relevance of the whole output: give it without target=, targets= or contrast=")
        if self.targets is not None and not (self.target is None and self.contrast is None):
            raise TargetError("give target= or targets=, not both (contrast= goes with target=)")


@lazy_dataclass(frozen=True, eq=False)
class Start:
    """Where relevance starts.

    Attributes
    ----------
    relevances : (N, T, …) at each node where it starts
    below : the nodes that a start like this one can reach
    value : (N, T), what is explained
    targets : (N, T) flat indices of the output; None: the start was given
    single : whether one target was asked for, so that the explanation has no axis of targets
    """

    relevances: Mapping[str, Array]
    below: frozenset[str]
    value: Array
    targets: Array | None
    single: bool


def start_of(spec: ExplainSpec, run: ForwardPass, request: Request) -> Start:
    """The start that a request means for these activations.

    Parameters
    ----------
    spec : what is explained of which model
    run : the forward pass, whose scores the start is made of
    request : what the call asks for: targets, a contrast, or a relevance of its own

    Raises
    ------
    TargetError, HeadError, RuleError, UnknownNameError, ShapeError, NonFiniteError, NumberTypeError
        Where it makes no sense for this output: an index out of range, a probability without a head, a start of another shape, a
        node that the output does not depend on, a score that is not finite, a negative start under deep Taylor.
    """
    if request.start is not None:
        start = _of_relevance(spec, run, request.start, request.start_at)
        _refuse_negative(spec, *start.relevances.values())
    else:
        start = _of_targets(spec, run, request)
        _refuse_negative(spec, start.value)
    return start


def _of_relevance(spec: ExplainSpec, run: ForwardPass, given: Any, start_at: str | None) -> Start:
    """The start that a relevance of the output's shape, or of that of `start_at`, makes."""
    at = spec.scores.output if start_at is None else spec.require(start_at, "node to start at")
    relevance = np.asarray(unmasked(given, "start"))
    if relevance.dtype.kind not in "iufO":
        raise TargetError(f"start must hold numbers, found {relevance.dtype}")
    if relevance.dtype.kind == "f":
        check_finite(relevance, "start")
    if is_exact(relevance):
        try:
            relevance = fractions(relevance)
        except LrpError as error:
            raise error.at("start") from None
    if relevance.shape != run.shapes[at]:
        raise ShapeError(f"start must have the shape of {at!r}, {run.shapes[at]}, found {relevance.shape}")
    relevance = np.array(like(relevance, run.template))  # a copy: it is kept, and the caller's buffer may change
    parts = {at: relevance} if start_at is not None else spec.scores.distribute(relevance, run.shapes)
    value = like(per_sample(relevance), relevance)[:, None]
    spec.route.require(*parts)
    _refuse_infinite(run, parts)
    below = spec.below if start_at is None else ancestors(spec.plan.model, at)
    return Start({name: part[:, None] for name, part in parts.items()}, below, value, None, True)


@lazy_dataclass(frozen=True, eq=False)
class Question:
    """Which elements of the output are explained, for the samples of one call.

    Attributes
    ----------
    targets : (N, T) flat indices into the output of a sample
    single : whether one target was asked for, so that the explanation has no axis of targets
    others : (N, 1) flat indices of what the target is contrasted with; None: nothing
    """

    targets: Array
    single: bool
    others: Array | None = None

    def spelled(self, outputs: Shape) -> dict[str, Any]:
        """The same as arguments of a `Method`, for outputs of this shape of a sample."""
        if not self.single:
            return {"targets": spelled(self.targets, outputs)}
        contrast = None if self.others is None else spelled(self.others[:, 0], outputs)
        return {"target": spelled(self.targets[:, 0], outputs), "contrast": contrast}


def question_of(explained: Scores, values: Mapping[str, Array], request: Request) -> Question:
    """Which elements a request means for these activations.

    Parameters
    ----------
    explained : what is explained of every element
    values : activations by name, of which the scores are read
    request : what a call asks for, without a given start

    Raises
    ------
    TargetError
        Where an index is out of range, or a contrast makes no sense.
    """
    scores = explained.array(values)
    if request.targets is not None:
        return Question(several(request.targets, scores), False)
    target, contrast = "predicted" if request.target is None else request.target, request.contrast
    single = not (isinstance(target, str) and target == "all")
    flat = indices(target, scores)
    if contrast is None:
        return Question(flat, single)
    if not single or (isinstance(contrast, str) and contrast == "all"):
        raise TargetError("contrast= needs one target, and one index to contrast it with")
    if not explained.contrasts:
        raise TargetError("contrast= explains a difference of scores; the log-odds head contrasts with every other class itself")
    others = indices(contrast, scores, "contrast")
    if (flat == others).any():
        raise TargetError("a target cannot be contrasted with itself")
    return Question(flat, single, others)


def _of_targets(spec: ExplainSpec, run: ForwardPass, request: Request) -> Start:
    """The start that one target, several, or a contrast makes."""
    _refuse_infinite_scores(spec, run)
    question = question_of(spec.scores, run.values, request)
    if question.others is not None:
        return _contrasted(spec, run, question.targets, question.others)
    return _headed(spec, run, question.targets, question.single)


def _headed(spec: ExplainSpec, run: ForwardPass, targets: Array, single: bool) -> Start:
    """The start that the head gives to targets (N, T)."""
    relevances, value = spec.scores.start(run.values, targets)
    spec.route.require(*relevances)
    return Start(relevances, spec.below, value, targets, single)


def _contrasted(spec: ExplainSpec, run: ForwardPass, targets: Array, others: Array) -> Start:
    """The start that explains the score of the targets minus that of the others."""
    plus, minus = _headed(spec, run, targets, True), _headed(spec, run, others, True)
    relevances = dict(plus.relevances)
    for name, relevance in minus.relevances.items():
        relevances[name] = relevances[name] - relevance if name in relevances else -relevance
    return replace(plus, relevances=relevances, value=plus.value - minus.value)


def _refuse_infinite_scores(spec: ExplainSpec, run: ForwardPass) -> None:
    """Raise `NonFiniteError` where a score is not finite."""
    if not all(run.plan.finite(run.values[name]) for name in spec.scores.explained_nodes):
        refuse_values(run.plan.model, run.inputs, spec.scores.explained_nodes)


def _refuse_infinite(run: ForwardPass, parts: Mapping[str, Array]) -> None:
    """Raise `NonFiniteError` where a given relevance starts at a value that is not finite: it is no share of anything."""
    wrong = [
        name
        for name, relevance in parts.items()
        if not run.plan.finite(run.values[name]) and (~np.isfinite(run.values[name]) & (relevance != like(0, relevance))).any()
    ]
    if wrong:
        refuse_values(run.plan.model, run.inputs, wrong)


def _refuse_negative(spec: ExplainSpec, *starts: Array) -> None:
    """Raise `TargetError` where a decomposition that is not defined for it would start from a negative number."""
    if spec.positive_start and any((r < like(0, r)).any() for r in starts):
        worst = min(r.min() for r in starts if r.size)
        raise TargetError(
            f"deep Taylor decomposition is not defined for a negative start, found {float(worst):.4g}; choose another "
            "target or composite, or allow_negative=True"
        )


def masks(spec: ExplainSpec, run: ForwardPass, request: Request) -> dict[str, Array]:
    """The mask of each filtered node, of one sample's shape: 1 where its relevance flows on, and 0 elsewhere.

    Parameters
    ----------
    spec : what is explained of which model
    run : the forward pass, which has the shapes at every node
    request : what the call asks for; its `filter` chooses channels, a neuron or a mask

    Raises
    ------
    UnknownNameError, ShapeError
        Where there is no such node, or what is chosen of it does not fit.
    """
    if not request.filter:
        return {}
    chosen = {spec.require(name, "node to filter"): choice for name, choice in request.filter.items()}
    return {
        name: like(_mask(choice, run.shapes[name][1:], name).astype(np.int8), run.template) for name, choice in chosen.items()
    }


def _mask(choice: Any, sample: Shape, name: str) -> Array:
    """A boolean mask of one sample from channels, a neuron or a mask."""
    mask = np.zeros(sample, dtype=bool)
    try:
        if not isinstance(choice, tuple) and np.asarray(choice).dtype == bool:
            if np.shape(choice) != sample:
                raise ValueError(f"a mask has the shape of a sample, not {np.shape(choice)}; a list of integers means channels")
            mask |= np.asarray(choice)
        elif isinstance(choice, (tuple, int, np.integer)):
            mask[choice] = True
        else:
            mask[list(choice)] = True
    except (IndexError, ValueError, TypeError) as error:
        raise ShapeError(
            f"the filter {choice!r} does not fit node {name!r}, whose samples have shape {sample}: {error}"
        ) from None
    return mask
