"""From a model, a composite and an input to an explanation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .arrays import Array, Shape
from .composites import Composite, composite_of, uniform
from .errors import HeadError, ParameterError, TargetError, unknown
from .lazy_dataclass import lazy_dataclass
from .memo import Memo
from .network.model import COLUMN, Model, ancestors
from .network.shapes import Shapes
from .propagate import versions
from .propagate.explanation import Explanation
from .propagate.footprint import footprint
from .propagate.heads import Head, head_of
from .propagate.plan import Plan, plan
from .propagate.route import Route, route
from .propagate.run import Execution
from .propagate.scores import Scores, scores
from .propagate.spec import ExplainSpec, unknown_node, unreached
from .propagate.start import Request, masks, start_of
from .resources import Resources, chosen_threads
from .rules import LinearRule, Rule

#: Plans that an explainer keeps: one for each shape of its inputs and set of nodes that are cut.
PLANS = 32


def explain(
    model: Model,
    x: Any,
    *,
    target: Any = None,
    targets: Any = None,
    contrast: Any = None,
    start: Any = None,
    start_at: str | None = None,
    filter: Mapping[str, Any] | None = None,
    composite: Any = None,
    rule: LinearRule | None = None,
    head: Any = None,
    output: str | None = None,
    keep: Any = "input",
    ledger: bool = False,
    backend: str | None = None,
    precision: str | None = None,
    canonize: bool = True,
    allow_negative: bool = False,
    threads: int | None = None,
    memory: str = "normal",
) -> Explanation:
    """Explain a prediction: an `Explainer` made and called once.

    Parameters
    ----------
    model : the network
    x : the input, (N, …), or a mapping from input names
    target, targets, contrast, start, start_at, filter : what of the output is explained, as in a call of an `Explainer`
    composite, rule, head, output, keep, ledger : what explains it, and what is kept, as of an `Explainer`
    backend, precision, canonize, allow_negative, threads, memory : how it is computed, as of an `Explainer`

    Raises
    ------
    LrpError
        What an `Explainer` and its call raise.
    """
    explainer = Explainer(
        *(model, composite, rule, head, output, keep, ledger, backend, precision, canonize, allow_negative, threads, memory)
    )
    return explainer(x, target, targets=targets, contrast=contrast, start=start, start_at=start_at, filter=filter)


@lazy_dataclass(frozen=True, eq=False, repr=False, init=False)
class Explainer:
    """Layer-wise relevance propagation through one model under one composite.

    Parameters
    ----------
    model : the network; batch norms and constant factors are folded first (`canonize`)
    composite : a `Composite`, a preset's name, or "gradient" (with head="unit"); None: "epsilon_plus"
    rule : a rule for linear layers, the same as composite=composites.uniform(rule)
    head : "logit", "log-odds", "probability" or a `Head`; must be chosen for what is a probability, the output of a softmax or
        sigmoid also behind layers that move, copy, scale or complement it. Numbers beside probabilities need none
    output : which output is explained, where the model has several
    keep : "input", "all", or the names of nodes whose relevance the explanation keeps
    ledger : whether the explanation carries the accounts
    backend : one of `lrp_ref.BACKENDS`; None: the fastest there is
    precision : "float64", "float32", "fast" or "exact"; None: the model's own. "fast" is float32 whose convolutions may use the
        larger Winograd tiles: about three times the rounding (only the compiled backend makes a difference)
    allow_negative : whether deep Taylor decomposition may start from a negative value, for which it is not defined
    threads : of the compiled backend; None: LRP_REF_NUM_THREADS, or as many as this process has CPUs. They change no bit
    memory : "normal", or "low": the compiled backend keeps no transformed weights, and takes longer

    Raises
    ------
    RuleError
        Where nodes have no rule, or one that does not serve them; all of them are listed.
    HeadError, UnknownNameError, DomainError, ParameterError
        Where the other choices do not fit the model.
    """

    model: Model
    composite: Any
    rule: LinearRule | None
    head: Any
    output: str | None
    keep: Any
    ledger: bool
    backend: str | None
    precision: str | None
    canonize: bool
    allow_negative: bool
    resources: Resources

    # Not generated: the argument `memory` is a choice, the method `memory` an estimate.
    def __init__(
        self,
        model: Model,
        composite: Any = None,
        rule: LinearRule | None = None,
        head: Any = None,
        output: str | None = None,
        keep: Any = "input",
        ledger: bool = False,
        backend: str | None = None,
        precision: str | None = None,
        canonize: bool = True,
        allow_negative: bool = False,
        threads: int | None = None,
        memory: str = "normal",
    ) -> None:
        if composite is not None and rule is not None:
            raise ParameterError("give composite= or rule=, not both: rule= means composites.uniform(rule)")
        versions.check_computing(backend, precision)
        self._set(model=model, composite=composite, rule=rule, head=head, output=output, ledger=ledger, backend=backend)
        self._set(precision=precision, canonize=canonize, allow_negative=allow_negative)
        if not isinstance(keep, (str, Iterable)) or isinstance(keep, bytes):
            raise ParameterError(f'keep is "input", "all", a node\'s name or several, found {keep!r}')
        self._set(keep=keep if isinstance(keep, str) else tuple(keep))
        self._set(resources=Resources(chosen_threads(threads), memory, precision == "fast"), _threads=threads)
        self._derive()

    def _set(self, **values: Any) -> None:
        """Construction alone may set what is frozen."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _derive(self) -> None:
        """What follows from the choices; those that do not fit the model are refused here."""
        made = uniform(self.rule) if self.rule is not None else composite_of(_or(self.composite, "epsilon_plus"))
        model = versions.cast(self.model, self.precision)
        if self.output is None and len(model.outputs) > 1:
            raise TargetError(f"the model has several outputs; choose output= from {', '.join(model.outputs)}")
        if self.output is not None and self.output not in model.outputs:
            raise unknown("output", self.output, model.outputs)
        self._set(_model=model, _composite=made, _plans=Memo(PLANS))
        self._set(_head=None if self.head is None else head_of(self.head))
        self._check_derivatives(made)
        rewritten = self._canonized(model, None)
        self._kept_nodes(rewritten, self._route(rewritten, None).scores)

    def _check_derivatives(self, made: Composite) -> None:
        """Refuse what makes no sense of a gradient: a start that is no 1 unasked, and accounts."""
        if made.conserves:
            return
        if self.head is None:
            raise HeadError(f"composite {made.name!r} has derivatives for rules: a gradient starts with 1, head='unit'")
        if self.ledger:
            raise ParameterError(
                f"ledger=True books how relevance is shared out, and composite {made.name!r} has derivatives for rules, which "
                "share nothing: leave the ledger out"
            )

    _model: Model
    _composite: Composite
    _head: Head | None
    _plans: Memo
    _threads: int | None

    @property
    def _choices(self) -> dict[str, Any]:
        """The arguments of the constructor, in its order."""
        names = ("model", "composite", "rule", "head", "output", "keep", "ledger", "backend", "precision", "canonize")
        chosen = {name: getattr(self, name) for name in (*names, "allow_negative")}
        return chosen | {"threads": self._threads, "memory": self.resources.memory}

    def replace(self, **choices: Any) -> Explainer:
        """An explainer of the same choices but for these; what was prepared for the model serves both."""
        return Explainer(**(self._choices | choices))

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: what is derived from the model shares its memo again.
        return Explainer, tuple(self._choices.values())

    # --- choices that depend on the model --------------------------------------------------------------------------

    def _output_node(self, model: Model) -> str:
        return model.outputs[self.model.outputs.index(self.output)] if self.output else model.outputs[0]

    def _scores(self, model: Model, shapes: Mapping[str, Shape] | None) -> Scores:
        """What is explained of every element of the output, and where.

        Parameters
        ----------
        model : canonised or not
        shapes : of one sample of each input; None: the model's own, if it has them
        """
        given = dict(model.input_shape) if shapes is None else dict(shapes)

        def build() -> tuple[Scores, int]:
            return scores(model, self._output_node(model), self._shapes(given).batch(1), self._head), 1

        found: Scores = self._plans.get(("scores", model is self._model, tuple(sorted(given.items()))), build)
        return found

    def _route(self, model: Model, shapes: Mapping[str, Shape] | None, start_at: str | None = None) -> Route:
        """Where relevance goes in a canonised model, from the scores down, or from where a start is given."""
        given = dict(model.input_shape) if shapes is None else dict(shapes)
        if start_at is not None and start_at not in ancestors(model, *self._scores(model, shapes).begins):
            start_at = None  # the run says what is wrong with it

        def build() -> tuple[Route, int]:
            return route(model, self._assign, self._scores(model, shapes), self._shapes(given).batch(1), start_at), 1

        found: Route = self._plans.get(("route", start_at, tuple(sorted(given.items()))), build)
        return found

    def _assign(
        self, model: Model, needed: frozenset[str], others: Mapping[str, Rule], starts: tuple[str, ...]
    ) -> dict[str, Rule]:
        """The composite's rules: once for a model, whatever the shapes of its inputs."""

        def build() -> tuple[dict[str, Rule], int]:
            return self._composite.assign(model, needed, others, starts), 1

        rules: dict[str, Rule] = self._plans.get(("rules", model, needed, tuple(others), starts), build)
        return rules

    def _shapes(self, samples: Mapping[str, Shape]) -> Shapes:
        """The shapes of one sample at every input and node, where those of all inputs are known."""
        if len(samples) < len(self._model.inputs):
            return Shapes({})
        return self._model.sample_shapes({name: (1, *shape) for name, shape in samples.items()})

    def _canonized(self, model: Model, shapes: Mapping[str, Shape] | None) -> Model:
        if not self.canonize:
            return model
        return versions.canonized(model, model.input_shape if shapes is None else shapes)

    def _kept_nodes(self, model: Model, found: Scores) -> tuple[str, ...]:
        if isinstance(self.keep, str) and self.keep == "input":
            return model.inputs
        if isinstance(self.keep, str) and self.keep == "all":
            return (*model.inputs, *(node.name for node in model.nodes))
        names = (self.keep,) if isinstance(self.keep, str) else tuple(self.keep)
        known = (*model.inputs, *(node.name for node in model.nodes))
        # Without shapes it is not known where the elements come from: the call decides.
        begins = found.begins if found.sure else (*found.begins, found.output)
        reached = {*model.inputs, *ancestors(model, *begins)}
        for name in names:
            if name not in known:
                raise unknown_node("node to keep", name, list(known), self.model)
            if name not in reached:
                raise unreached("node to keep", name)
        return tuple(dict.fromkeys((*model.inputs, *names)))

    def _fitted(self, shapes: Mapping[str, Shape]) -> Explainer:
        """The explainer for samples of these shapes, of a network with open extents."""

        def build() -> tuple[Explainer, int]:
            return self.replace(model=self.model.fitted(shapes)), 1

        found: Explainer = self._plans.get(("fitted", tuple(shapes.items())), build)
        return found

    def plan(self, shapes: Mapping[str, Shape] | None = None, cuts: Sequence[str] = ()) -> Plan:
        """The steps that serve the model.

        Parameters
        ----------
        shapes : of one sample of each input; None: the model's own, if it has them
        cuts : nodes whose relevance is filtered, or given
        """
        given = dict(self.model.input_shape) if shapes is None else {name: tuple(shape) for name, shape in shapes.items()}
        if self.model.extents is not None and len(given) == len(self.model.inputs):
            return self._fitted(given).plan(given, cuts)

        def build() -> tuple[Plan, int]:
            return self._planned(given, frozenset(cuts)), 1

        found: Plan = self._plans.get((tuple(sorted(given.items())), frozenset(cuts)), build)
        return found

    def _for(
        self, arrays: Mapping[str, Array], cuts: Sequence[str], start_at: str | None
    ) -> tuple[ExplainSpec, dict[str, Shape]]:
        """What to do with these inputs, and the shapes at every node; inputs that do not fit are refused."""

        def build() -> tuple[tuple[ExplainSpec, dict[str, Shape]], int]:
            every, shapes = self._model.shapes_of(arrays), versions.sample_shapes(arrays)
            made = self.plan(shapes, cuts) if start_at is None else self._planned(shapes, frozenset((*cuts, start_at)), start_at)
            count = len(next(iter(arrays.values())))
            return (self._spec(made, shapes, start_at), every.batch(count)), 1

        key = ("inputs", tuple((name, array.shape) for name, array in arrays.items()), frozenset(cuts), start_at)
        found: tuple[ExplainSpec, dict[str, Shape]] = self._plans.get(key, build)
        return found

    def _planned(self, shapes: Mapping[str, Shape], cuts: frozenset[str], start_at: str | None = None) -> Plan:
        model = self._canonized(self._model, shapes)
        way = self._route(model, shapes, start_at)
        found = way.scores
        seen = frozenset((*self._kept_nodes(model, found), *found.begins))
        # Where relevance starts at several nodes, one of them may lie below another.
        cuts = cuts | (frozenset(found.begins) if len(found.begins) > 1 else frozenset())
        backend = versions.backend_for(model, self.backend)
        return plan(model, way.rules, backend, seen, self.ledger, cuts, self._shapes(shapes), self.resources)

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rule of every node below what is explained, where one serves it, by name in the canonised model."""
        model = self._canonized(self._model, self.model.input_shape or None)
        return MappingProxyType(self._route(model, None).rules)

    @property
    def begins(self) -> Mapping[str, str]:
        """The nodes where explanations of the output's elements begin, and for each what stops one there; empty: nothing does."""
        found = self._route(self._canonized(self._model, self.model.input_shape or None), None)
        return MappingProxyType({name: found.unserved.get(name, "") for name in found.scores.begins})

    # --- explaining ------------------------------------------------------------------------------------------------

    def __call__(
        self,
        x: Any,
        target: Any = None,
        *,
        targets: Any = None,
        contrast: Any = None,
        start: Any = None,
        start_at: str | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """Explain the prediction for a batch of inputs.

        Parameters
        ----------
        x : the input, (N, …), or a mapping from input names
        target : "predicted" (the default), "all", an int, or integers (N,), one per sample. Of an output of r > 1 axes beside
            the batch: one index (r,) for all samples, or (N, r), one per sample; an int is flat
        targets : integers (T,) for all samples, or (N, T), T per sample. For r > 1: (T, r), or (N, T, r); (T,) is flat.
            Relevance gets a second axis. The axes decide, never the container: see `lrp_ref.propagate.targets`
        contrast : an index, or one per sample: explain the score of `target` minus that of `contrast`
        start : a starting relevance of the output's shape, or of that of `start_at`
        start_at : the node whose output `start` is the relevance of
        filter : for each node the channels (an int or a list), the neuron (a tuple), or a boolean mask of a sample's
            shape, whose relevance alone flows on (Montavon et al. 2018, §4.4)

        Raises
        ------
        ShapeError, NumberTypeError, NonFiniteError, UnknownNameError
            Where the inputs do not fit, or what is computed leaves the range of its type; the node is named.
        TargetError, HeadError, RuleError, ParameterError
            Where what is asked for contradicts itself, is not there, or cannot be explained.
        """
        return self._explained(x, Request(target, targets, contrast, start, start_at, filter))

    def _explained(self, x: Any, request: Request) -> Explanation:
        arrays = self._model._cast(x)
        if self.model.extents is not None:
            return self._fitted(versions.sample_shapes(arrays))._explained(x, request)
        spec, shapes = self._for(arrays, tuple(request.filter or ()), request.start_at)
        execution = Execution(spec, arrays, shapes)
        start = start_of(spec, execution.run, request)
        return execution.back(start, masks(spec, execution.run, request))

    def _spec(self, made: Plan, shapes: Mapping[str, Shape], start_at: str | None) -> ExplainSpec:
        way = self._route(made.model, shapes, start_at)
        keep = self._kept_nodes(made.model, way.scores)
        composite = self._composite
        method = "LRP" if composite.conserves else composite.name
        positive = composite.positive_start and not self.allow_negative
        ends = (way.scores.output, *way.scores.begins, *((start_at,) if start_at in made.model else ()))
        needed = made.pruned(ancestors(made.model, *ends))
        return ExplainSpec(needed, self._model, way, keep, self.ledger, composite.name, method, positive, start_at)

    def memory_needed(self, shape: Shape | Mapping[str, Shape], targets: int = 1) -> int:
        """An estimate, in bytes, of what explaining an input of this shape takes beside the model.

        Saved arrays, prepared weights and the work of one step; measured peaks lie within a factor of 2 of it. The compiled
        core works in up to some ten megabytes more for each thread.

        Parameters
        ----------
        shape : of the input, batch axis included; of several inputs a mapping
        targets : how many targets are explained at once
        """
        whole = dict(shape) if isinstance(shape, Mapping) else {self._model.inputs[0]: tuple(shape)}
        made = self.plan({name: tuple(s[1:]) for name, s in whole.items()})
        kept = self._kept_nodes(made.model, self._route(made.model, {name: tuple(s[1:]) for name, s in whole.items()}).scores)
        return footprint(made, made.model.shapes(whole), kept, targets) + made.model._memo.size

    def _rows(self) -> tuple[str, list[tuple[str, ...]]]:
        made, rules = self.plan(), self.rules
        served = {node.name: step.label for step in made.steps for node in step.nodes}
        head = f"Explainer: {self._composite.name}, head {self._scores(made.model, None).explained}, {made.described}"
        rows: list[tuple[str, ...]] = [("node", "layer", "rule", "step")]
        rows += [(n.name, repr(n.layer), str(rules.get(n.name, "–")), served[n.name]) for n in made.model.nodes]
        return head, rows

    def __repr__(self) -> str:
        head, rows = self._rows()
        # Long ones stand out of their columns, nothing is cut off.
        widths = [min(2 * COLUMN, max(len(row[i]) for row in rows)) for i in range(4)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([head, *lines])

    def _repr_html_(self) -> str:
        from html import escape

        head, (titles, *rows) = self._rows()
        top = "".join(f"<th>{escape(title)}</th>" for title in titles)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><caption>{escape(head)}</caption><tr>{top}</tr>{body}</table>"


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
