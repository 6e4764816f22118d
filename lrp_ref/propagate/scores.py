"""Which score stands behind every element of an output, and where its explanation begins (CONV-HEAD-ELEMENT)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

import numpy as np

from ..arrays import Array, Shape, like, zeros
from ..errors import HeadError, TargetError
from ..forks import cached_property
from ..layers.activations import Softmax
from ..layers.base import Layer
from ..layers.linear import Scale
from ..layers.shape import Rearrangement
from ..lazy_dataclass import lazy_dataclass
from ..network.elements import CONSTANT, Elements, survey
from ..network.model import Model
from ..network.squash import SQUASHES, Source, shown
from .heads import Head, Logit, LogOdds, Probability, Unit

_CHOICES = (
    "choose head='logit' to explain the score before it, head='log-odds' to explain log P/(1 − P), or head='probability' to "
    "explain the number itself"
)


@lazy_dataclass(frozen=True, eq=False)
class Scores:
    """What is explained of every element of an output under one head.

    Attributes
    ----------
    output : the node whose output is the prediction
    title : what messages call it
    head : as it was chosen; None: it was not
    sources : where the elements come from; none where no element is a probability
    layers : the softmax and sigmoid layers that the output shows, by node
    elements : which source each element comes from; None where shapes are not known
    sure : whether elements of no other kind can be among them
    """

    output: str
    title: str
    head: Head | None
    sources: tuple[Source, ...] = ()
    layers: Mapping[str, Layer] = field(default_factory=dict)
    elements: Elements | None = None
    sure: bool = True

    def __post_init__(self) -> None:
        kinds = {source.kind for source in self.sources}
        if isinstance(self.number, Probability) and not kinds & {"squash", "combined"}:
            raise HeadError(
                f"head='probability' needs a probability, and the output of {self.title} comes from no softmax or sigmoid; "
                "head='logit' explains it as a score"
            )
        if self.sure and kinds and "number" not in kinds and (self.number is None or "squash" not in kinds):
            self._refuse_all()

    def _refuse_all(self) -> None:
        """Raise `HeadError`: no element can be explained under this head."""
        if isinstance(self.number, Probability):
            return
        squash = next((source for source in self.sources if source.kind == "squash"), None)
        if squash is None:
            raise HeadError(_combined(f"the output of {self.title}", self.sources[0]))
        layer = type(self.layers[squash.node]).__name__
        behind = "" if squash.node == self.output else f", of node {squash.node!r} ({layer})"
        raise HeadError(f"the output of {self.title} is a probability{behind}: {_CHOICES}")

    @property
    def number(self) -> Head | None:
        """The head that says which number is explained: under `Unit` the one whose number is derived."""
        return self.head.of if isinstance(self.head, Unit) else self.head

    @property
    def explained(self) -> Head:
        """The head that is in force."""
        return Logit() if self.head is None else self.head

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of an explanation has to know about what it explains."""
        if not isinstance(self.number, Probability):
            return ()
        kinds = {source.kind for source in self.sources}
        what = "a probability" if kinds == {"squash"} else "probabilities, or products and sums of them"
        shares = "" if isinstance(self.head, Unit) else ": relevance shares that number and its sign"
        return (f"explained is the output itself, {what}, not the score before it{shares}",)

    @property
    def _direct(self) -> bool:
        """Whether relevance starts at the output itself."""
        return not self.sources or isinstance(self.number, Probability)

    @cached_property
    def explained_nodes(self) -> tuple[str, ...]:
        """The nodes or inputs where relevance starts."""
        if self._direct:
            return (self.output,)
        return tuple(dict.fromkeys(source.explained_node for source in self.sources if source.kind != "combined"))

    @property
    def squashes(self) -> tuple[str, ...]:
        """The softmax and sigmoid nodes whose probabilities are explained themselves: relevance passes through them."""
        return tuple(self.layers) if isinstance(self.number, Probability) else ()

    @cached_property
    def _ordered(self) -> bool:
        """Whether all elements are probabilities of one squash on one scale, so that their scores are in the same order."""
        e = self.elements
        if e is None or len(self.sources) != 1 or (e.source == CONSTANT).any() or not e.source.size:
            return False
        same = (e.weight == e.weight[0]).all() and np.array_equal(e.shift, np.full_like(e.shift, e.shift[0]), equal_nan=True)
        return bool(same and e.weight[0] > 0)

    def array(self, values: Mapping[str, Array]) -> Array:
        """Scores in the output's shape, the largest of which is what the network predicts.

        Parameters
        ----------
        values : the outputs of the nodes that are explained, and of the output node, by name
        """
        if self._direct or not self._ordered:
            return values[self.output]
        assert self.elements is not None
        scores = np.asarray(values[self.explained_nodes[0]], order="C")
        flat = scores.reshape(len(scores), math.prod(scores.shape[1:]))
        return np.asarray(flat[:, self.elements.element].reshape(values[self.output].shape))

    def split(self, model: Model, shapes: Mapping[str, Shape]) -> Scores:
        """The same scores, explained below the layers that only move elements: each element where it comes from.

        Parameters
        ----------
        model : the canonised network
        shapes : of every input and node, for a batch of one sample; empty where they are not known
        """
        if not self._direct or isinstance(self.number, Probability):
            return self
        _, ends = shown(model, self.output, moves=True)
        if len(ends) < 2:
            return self
        sources, elements = survey(model, self.output, shapes, moves=True) if shapes else (ends, None)
        return replace(self, sources=sources, elements=elements)

    # --- starts ------------------------------------------------------------------------------------------------------

    def start(self, values: Mapping[str, Array], targets: Array) -> tuple[dict[str, Array], Array]:
        """The starting relevance (N, T, …) at the nodes where there is any, and the explained values (N, T).

        Parameters
        ----------
        values : activations by name; those of `explained_nodes` are read
        targets : (N, T) indices into the flattened output of a sample

        Raises
        ------
        HeadError
            Where an element that is asked for is a probability and no head was chosen, or has no score of the chosen kind.
        """
        if not self.sources:
            relevance, value = self.explained.start(values[self.output], targets)
            return {self.output: relevance}, value
        self._check(targets)
        if isinstance(self.number, Probability):
            relevance, value = self.explained.start(values[self.output], targets)
            return {self.output: relevance}, value
        assert self.elements is not None
        e = self.elements
        turned = (e.weight < 0) & (e.source != CONSTANT)
        # 1 − p of a softmax is no score's: −log-odds. −p is a multiple of p.
        complement = turned & ~np.isclose(e.shift, 0, rtol=0, atol=1e-6 * np.abs(e.weight)) & ~np.isnan(e.shift)
        total: dict[str, Array] = {}
        value = zeros(targets.shape, next(iter(values.values())))
        for index, source in enumerate(self.sources):
            for opposite in (False, True):
                mask = (e.source[targets] == index) & (complement[targets] == opposite)
                if not mask.any():
                    continue
                elements = np.where(mask, e.element[targets], 0)
                relevance, source_value = self._start_at_source(source, opposite, values[source.explained_node], elements)
                sign = like(np.where(turned[targets], -1, 1) * mask, relevance)
                relevance = relevance * sign.reshape(*sign.shape, *(1,) * (relevance.ndim - 2))
                total[source.explained_node] = (
                    total[source.explained_node] + relevance if source.explained_node in total else relevance
                )
                value = value + source_value * sign
        return total, value

    def _start_at_source(self, source: Source, complement: bool, scores: Array, elements: Array) -> tuple[Array, Array]:
        layer, head = self.layers.get(source.node), self.explained
        if layer is not None and not isinstance(layer, Softmax):
            # The log-odds of a sigmoid's probability are its score.
            return _same_kind(head, Logit() if isinstance(self.number, LogOdds) else None).start(scores, elements)
        if layer is None:
            return head.start(scores, elements)
        other = LogOdds() if complement and isinstance(self.number or Logit(), Logit) else None
        return _same_kind(head, other).over(scores, elements, layer.axis)

    def _check(self, targets: Array) -> None:
        """Raise where an element that is asked for is not what the head explains."""
        e = self.elements
        if e is None or not targets.size:
            return
        for index in np.unique(targets).tolist():
            what = f"element {index} of the output of {self.title}"
            if e.source[index] == CONSTANT:
                raise TargetError(f"{what} is a constant: it depends on no input")
            self._check_one(what, self.sources[e.source[index]])

    def _check_one(self, what: str, source: Source) -> None:
        head = self.number
        if source.kind == "combined" and not isinstance(head, Probability):
            raise HeadError(_combined(what, source))
        if source.kind == "squash" and head is None:
            raise HeadError(f"{what} is a probability, of node {source.node!r}: {_CHOICES}")
        if isinstance(head, LogOdds) and not isinstance(layer := self.layers.get(source.node), (*SQUASHES, type(None))):
            raise HeadError(
                f"{what} is a probability of node {source.node!r} ({type(layer).__name__}), which has no log-odds: "
                "head='logit' explains the score before it, and head='probability' the number itself"
            )
        if source.kind == "number" and isinstance(head, (LogOdds, Probability)):
            raise HeadError(
                f"{what} is not a probability, which head={head.name!r} needs: leave head= out, or give head='logit', to explain "
                "the number itself"
            )

    def distribute(self, relevance: Array, shapes: Mapping[str, Shape]) -> dict[str, Array]:
        """A given start, divided between the nodes where it begins: each element's relevance lies where its score does.

        Parameters
        ----------
        relevance : the start, (N, *output)
        shapes : of every input and node, batch axis included

        Raises
        ------
        HeadError, TargetError
            Where it is not 0 at an element that the head does not explain, such as a product of probabilities, or at a constant.
        """
        if self._direct:
            return {self.output: relevance}
        assert self.elements is not None
        e, flat = self.elements, relevance.reshape(len(relevance), math.prod(relevance.shape[1:]))
        self._check(np.flatnonzero((flat != like(0, flat)).any(axis=0))[None])
        total: dict[str, Array] = {}
        for index, source in enumerate(self.sources):
            elements = np.flatnonzero(e.source == index)
            if source.kind == "combined" or not elements.size:
                continue
            shape = shapes[source.explained_node]
            relevance_at = zeros((len(flat), math.prod(shape[1:])), flat)
            where: Any = (slice(None), e.element[elements])
            np.add.at(relevance_at, where, flat[:, elements])
            relevance_at = relevance_at.reshape(len(flat), *shape[1:])
            total[source.explained_node] = (
                total[source.explained_node] + relevance_at if source.explained_node in total else relevance_at
            )
        return total

    @property
    def contrasts(self) -> bool:
        """Whether the head explains one score alone, so that two of them can be contrasted."""
        softmax = any(isinstance(layer, Softmax) for layer in self.layers.values())
        return not isinstance(self.number, LogOdds) or bool(self.sources and not softmax)


def _same_kind(head: Head, other: Head | None) -> Head:
    """`other` in place of the head where there is one, as the derivative where the head is one."""
    if other is None:
        return head
    return Unit(other) if isinstance(head, Unit) else other


def _combined(what: str, source: Source) -> str:
    return (
        f"{what} is a function of several probabilities, which node {source.node!r} combines, and has no score of its own: "
        "head='probability' explains the number itself; a model that ends below that node has each probability as an output"
    )


def scores(model: Model, output: str, shapes: Mapping[str, Shape], head: Head | None) -> Scores:
    """What is explained of every element of `output` under `head`.

    Parameters
    ----------
    model : the network
    output : which node's output
    shapes : of every input and node, for a batch of one sample; empty where they are not known
    head : None where none was chosen

    Raises
    ------
    HeadError
        Where no element can be explained under this head.
    """
    between, ends = shown(model, output)
    title = model[output].title
    if all(source.kind == "number" for source in ends):
        return Scores(output, title, head)
    layers = {source.node: model[source.node].layer for source in ends if source.kind == "squash"}
    sources, elements = survey(model, output, shapes) if shapes else (ends, None)
    if all(source.kind == "number" for source in sources):
        return Scores(output, title, head)
    moved = all(isinstance(node.layer, (Rearrangement, Scale)) for node in between)
    return Scores(output, title, head, sources, layers, elements, bool(shapes) or moved)
