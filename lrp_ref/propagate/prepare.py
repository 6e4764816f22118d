"""From a model and what an explainer was told to what serves samples of a shape: made once for each shape, and remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import Array, Shape
from ..composites import Composite
from ..lazy_dataclass import lazy_dataclass
from ..memo import Memo
from ..network.model import Model, ancestors
from ..network.shapes import Shapes
from ..resources import Resources
from ..rules import Rule
from . import versions
from .heads import Head
from .plan import Plan, plan
from .route import Route, route
from .scores import Scores, scores
from .spec import ExplainSpec, unknown_node, unreached


@lazy_dataclass(frozen=True, eq=False)
class Preparation:
    """What an explainer was told, and what follows from it for samples of a shape.

    Where a method takes `samples`, they are the shapes of one sample of each input; None: the model's own, if it has them.

    Attributes
    ----------
    model : in one number type
    composite : which rule goes where
    head : what of a score is explained; None: it was not chosen
    output : the node that is explained
    keep : "input", "all", or the names of nodes whose relevance the explanation keeps
    with_ledger : whether the explanation carries the accounts
    backend : its name; None: the fastest there is
    canonize : whether the model is rewritten first
    positive_start : whether a negative start is refused
    resources : what may be spent
    memo : of what was made
    """

    model: Model
    composite: Composite
    head: Head | None
    output: str
    keep: str | tuple[str, ...]
    with_ledger: bool
    backend: str | None
    canonize: bool
    positive_start: bool
    resources: Resources
    memo: Memo

    def sample_shapes_or_own(self, samples: Mapping[str, Shape] | None) -> dict[str, Shape]:
        """The shapes of one sample of each input: those given, or the model's own.

        Parameters
        ----------
        samples : by input, without the batch axis; None: `input_shape` of the model, empty where it has none
        """
        return dict(self.model.input_shape if samples is None else samples)

    def shapes(self, samples: Mapping[str, Shape]) -> Shapes:
        """The shapes of one sample at every input and node; empty where that of an input is not known.

        Parameters
        ----------
        samples : by input, without the batch axis
        """
        if len(samples) < len(self.model.inputs):
            return Shapes({})
        return self.model.sample_shapes({name: (1, *shape) for name, shape in samples.items()})

    def canonized(self, samples: Mapping[str, Shape] | None = None) -> Model:
        """The model that is explained: rewritten for samples of these shapes (`canonize`), or as it is where that was not wanted.

        Parameters
        ----------
        samples : by input, without the batch axis; None: the model's own
        """
        return versions.canonized(self.model, self.sample_shapes_or_own(samples)) if self.canonize else self.model

    def scores(self, model: Model, samples: Mapping[str, Shape] | None = None) -> Scores:
        """The scores that are explained: what of every element of the output, and at which node.

        Parameters
        ----------
        model : the model, canonised or not
        samples : by input, without the batch axis; None: the model's own

        Raises
        ------
        HeadError
            Where the output is a probability and no head is chosen, or the head does not fit.
        """
        known = self.sample_shapes_or_own(samples)

        def build() -> tuple[Scores, int]:
            output = model.outputs[self.model.outputs.index(self.output)]
            return scores(model, output, self.shapes(known).batch(1), self.head), 1

        result: Scores = self.memo.get(("scores", model is self.model, tuple(sorted(known.items()))), build)
        return result

    def route(self, model: Model, samples: Mapping[str, Shape] | None = None, start_at: str | None = None) -> Route:
        """The route of relevance in a canonised model: from the scores down, or from where a start is given.

        Parameters
        ----------
        model : what `canonized` gives
        samples : by input, without the batch axis; None: the model's own
        start_at : the node where a given relevance starts; None: at the scores

        Raises
        ------
        HeadError
            As of `scores`.
        RuleError
            Where relevance reaches a node without a rule.
        """
        known, explained = self.sample_shapes_or_own(samples), self.scores(model, samples)
        if start_at is not None and start_at not in ancestors(model, *explained.explained_nodes):
            start_at = None  # whoever starts there says what is wrong with it

        def build() -> tuple[Route, int]:
            return route(model, self._assign, explained, self.shapes(known).batch(1), start_at), 1

        result: Route = self.memo.get(("route", start_at, tuple(sorted(known.items()))), build)
        return result

    def _assign(
        self, model: Model, needed: frozenset[str], others: Mapping[str, Rule], starts: tuple[str, ...]
    ) -> dict[str, Rule]:
        """The composite's rules: once for a model, whatever the shapes of its inputs."""

        def build() -> tuple[dict[str, Rule], int]:
            return self.composite.assign(model, needed, others, starts), 1

        rules: dict[str, Rule] = self.memo.get(("rules", model, needed, tuple(others), starts), build)
        return rules

    def names_to_keep(self, model: Model, explained: Scores) -> tuple[str, ...]:
        """The nodes and inputs of a canonised model whose relevance the explanation keeps.

        Parameters
        ----------
        model : what `canonized` gives
        explained : what `scores` gives for it

        Raises
        ------
        UnknownNameError
            Where there is no such node, or no relevance reaches it.
        """
        if self.keep == "input":
            return model.inputs
        known = (*model.inputs, *(node.name for node in model.nodes))
        if self.keep == "all":
            return known
        names = (self.keep,) if isinstance(self.keep, str) else self.keep
        # Without shapes it is not known where the elements come from: the call decides.
        begins = explained.explained_nodes if explained.sure else (*explained.explained_nodes, explained.output)
        reached = {*model.inputs, *ancestors(model, *begins)}
        for name in names:
            if name not in known:
                raise unknown_node("node to keep", name, list(known), self.model)
            if name not in reached:
                raise unreached("node to keep", name)
        return tuple(dict.fromkeys((*model.inputs, *names)))

    def plan(self, samples: Mapping[str, Shape], barriers: Sequence[str] = (), start_at: str | None = None) -> Plan:
        """The plan: the steps that serve the model for samples of these shapes.

        Parameters
        ----------
        samples : by input, without the batch axis, where they are known: they decide how convolutions are computed
        barriers : nodes whose relevance is filtered or given: no step joins one with the node that reads it
        start_at : the node where a given relevance starts; None: at the scores

        Raises
        ------
        RuleError, HeadError, UnknownNameError
            As of `route` and `names_to_keep`.
        """
        every = frozenset(barriers if start_at is None else (*barriers, start_at))

        def build() -> tuple[Plan, int]:
            return self._planned(samples, every, start_at), 1

        result: Plan = self.memo.get(("plan", tuple(sorted(samples.items())), every, start_at), build)
        return result

    def _planned(self, samples: Mapping[str, Shape], barriers: frozenset[str], start_at: str | None) -> Plan:
        model = self.canonized(samples)
        served = self.route(model, samples, start_at)
        begins = served.scores.explained_nodes
        observed = frozenset((*self.names_to_keep(model, served.scores), *begins))
        # Where relevance starts at several nodes, one of them may lie below another.
        barriers |= frozenset(begins) if len(begins) > 1 else frozenset()
        backend = versions.backend_for(model, self.backend)
        shapes = self.shapes(samples)
        return plan(model, served.rules, backend, observed, self.with_ledger, barriers, shapes, self.resources)

    def spec(
        self, arrays: Mapping[str, Array], barriers: Sequence[str], start_at: str | None
    ) -> tuple[ExplainSpec, dict[str, Shape]]:
        """The specification of one call, and the shapes at every node, batch axis included.

        Parameters
        ----------
        arrays : the inputs by name, (N, …), in the model's number type
        barriers : nodes whose relevance is filtered or given
        start_at : the node where a given relevance starts; None: at the scores

        Raises
        ------
        ShapeError
            Where the inputs do not fit the model.
        """

        def build() -> tuple[tuple[ExplainSpec, dict[str, Shape]], int]:
            shapes = self.model.shapes_of(arrays)
            count = len(next(iter(arrays.values())))
            return (self._spec(versions.sample_shapes(arrays), barriers, start_at), shapes.batch(count)), 1

        key: Any = ("inputs", tuple((name, array.shape) for name, array in arrays.items()), frozenset(barriers), start_at)
        result: tuple[ExplainSpec, dict[str, Shape]] = self.memo.get(key, build)
        return result

    def _spec(self, samples: Mapping[str, Shape], barriers: Sequence[str], start_at: str | None) -> ExplainSpec:
        plan = self.plan(samples, barriers, start_at)
        served = self.route(plan.model, samples, start_at)
        keep, composite = self.names_to_keep(plan.model, served.scores), self.composite
        method = "LRP" if composite.conserves else composite.name
        ends = (served.scores.output, *served.scores.explained_nodes, *((start_at,) if start_at in plan.model else ()))
        needed = plan.pruned(ancestors(plan.model, *ends))
        return ExplainSpec(
            needed, self.model, served, keep, self.with_ledger, composite.name, method, self.positive_start, start_at
        )
