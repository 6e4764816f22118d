"""From a model, a composite and an input to an explanation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .arrays import Shape
from .composites import Composite, composite_of, uniform
from .errors import HeadError, ParameterError, TargetError, unknown
from .lazy_dataclass import lazy_dataclass
from .memo import Memo
from .network.model import Model
from .network.table import COLUMN
from .propagate import versions
from .propagate.blocks import blocks, reporter
from .propagate.explanation import Explanation
from .propagate.footprint import footprint
from .propagate.heads import head_of
from .propagate.plan import Plan
from .propagate.prepare import Preparation
from .propagate.route import Route
from .propagate.run import Execution
from .propagate.samples import join
from .propagate.start import Request, masks, start_of
from .resources import Resources, chosen_threads
from .rules import LinearRule, Rule
from .sources import column_names, input_of, require_model, source_of

#: Plans that an explainer keeps: one for each shape of its inputs and set of nodes that are cut.
PLANS = 32


def explain(
    model: Any,
    x: Any,
    *,
    target: Any = None,
    targets: Any = None,
    contrast: Any = None,
    start: Any = None,
    start_at: str | None = None,
    filter: Mapping[str, Any] | None = None,
    composite: Any = None,
    rule: LinearRule | str | None = None,
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
    batch_size: int | None = None,
    progress: Any = None,
) -> Explanation:
    """Explain a prediction: an `Explainer` made and called once.

    Parameters
    ----------
    model : the network; or what stands for one and is read first: a path, a fitted estimator or pipeline of scikit-learn, a
        module of PyTorch. Who explains often reads it once, by `lrp_ref.load` or `lrp_ref.formats`
    x : the input, (N, …), as in a call of an `Explainer`, or a mapping from input names
    target, targets, contrast, start, start_at, filter : what of the output is explained, as in a call of an `Explainer`
    composite, rule, head, output, keep, ledger : what explains it, and what is kept, as of an `Explainer`
    backend, precision, canonize, allow_negative, threads, memory : how it is computed, as of an `Explainer`
    batch_size, progress : as in a call of an `Explainer`

    Raises
    ------
    LrpError
        What the loaders, an `Explainer` and its call raise.
    """
    source = source_of(model, x)
    explainer = Explainer(
        *(
            source.model,
            composite,
            rule,
            head,
            output,
            keep,
            ledger,
            backend,
            precision,
            canonize,
            allow_negative,
            threads,
            memory,
        )
    )
    choices: dict[str, Any] = {"start": start, "start_at": start_at, "filter": filter}
    choices |= {"batch_size": batch_size, "progress": progress}
    return source.named(explainer(x, target, targets=targets, contrast=contrast, **choices))


@lazy_dataclass(frozen=True, eq=False, repr=False, init=False)
class Explainer:
    """Layer-wise relevance propagation through one model under one composite.

    Parameters
    ----------
    model : the network; batch norms and constant factors are folded first (`canonize`)
    composite : a `Composite`, a preset's name, or "gradient" (with head="unit"); None: "epsilon_plus"
    rule : a rule for linear layers, or its name ("epsilon", "gamma(0.25)"), the same as composite=composites.uniform(rule)
    head : "logit", "log-odds", "probability" or a `Head`; must be chosen for what is a probability, the output of a softmax or
        sigmoid also behind layers that move, copy, scale or complement it. Numbers beside probabilities need none
    output : which output is explained, where the model has several
    keep : "input", "all", or the names of nodes whose relevance the explanation keeps
    ledger : whether the explanation carries the accounts
    backend : one of `lrp_ref.BACKENDS`; None: the fastest there is
    precision : "float64", "float32", "fast" or "exact"; None: the model's own. "fast" is float32 whose convolutions may use the
        larger Winograd tiles: about three times the rounding (only the compiled backend makes a difference)
    canonize : whether batch norms and constant factors are folded into linear layers first; False: they are nodes with
        rules of their own
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
    rule: LinearRule | str | None
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
        rule: LinearRule | str | None = None,
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
        require_model(model)
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
        composite = uniform(self.rule) if self.rule is not None else composite_of(_or(self.composite, "epsilon_plus"))
        model = versions.cast(self.model, self.precision)
        if self.output is None and len(model.outputs) > 1:
            raise TargetError(f"the model has several outputs; choose output= from {', '.join(model.outputs)}")
        if self.output is not None and self.output not in model.outputs:
            raise unknown("output", self.output, model.outputs)
        head = None if self.head is None else head_of(self.head)
        self._check_derivatives(composite)
        prepared = Preparation(
            *(model, composite, head, _or(self.output, model.outputs[0]), self.keep, self.ledger, self.backend, self.canonize),
            positive_start=composite.positive_start and not self.allow_negative,
            resources=self.resources,
            memo=Memo(PLANS),
        )
        self._set(_model=model, _prepared=prepared)
        rewritten = prepared.canonized()
        prepared.names_to_keep(rewritten, prepared.route(rewritten).scores)

    def _check_derivatives(self, composite: Composite) -> None:
        """Refuse what makes no sense of a gradient: a start that is no 1 unasked, and accounts."""
        if composite.conserves:
            return
        if self.head is None:
            raise HeadError(f"composite {composite.name!r} computes derivatives, which start with 1: give head='unit'")
        if self.ledger:
            raise ParameterError(
                f"ledger=True records how relevance is redistributed, and composite {composite.name!r} computes derivatives, "
                "which redistribute nothing: leave ledger=True out"
            )

    _model: Model
    _prepared: Preparation
    _threads: int | None

    @property
    def _choices(self) -> dict[str, Any]:
        """The arguments of the constructor, in its order."""
        names = ("model", "composite", "rule", "head", "output", "keep", "ledger", "backend", "precision", "canonize")
        chosen = {name: getattr(self, name) for name in (*names, "allow_negative")}
        return chosen | {"threads": self._threads, "memory": self.resources.memory}

    def replace(self, **choices: Any) -> Explainer:
        """An explainer of the same choices but for these; what was prepared for the model serves both.

        Parameters
        ----------
        choices : parameters of an `Explainer` by name, such as keep="all"; composite= in the place of a rule needs rule=None too

        Raises
        ------
        LrpError
            What an `Explainer` raises.
        """
        return Explainer(**(self._choices | choices))

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: what is derived from the model shares its memo again.
        return Explainer, tuple(self._choices.values())

    def _fitted(self, shapes: Mapping[str, Shape]) -> Explainer:
        """The explainer for samples of these shapes, of a network with open extents."""

        def build() -> tuple[Explainer, int]:
            return self.replace(model=self.model.fitted(shapes)), 1

        explainer: Explainer = self._prepared.memo.get(("fitted", tuple(shapes.items())), build)
        return explainer

    def plan(self, shapes: Mapping[str, Shape] | None = None, barriers: Sequence[str] = ()) -> Plan:
        """The steps that serve the model.

        Parameters
        ----------
        shapes : of one sample of each input; None: the model's own, if it has them
        barriers : nodes whose relevance is filtered, or given
        """
        samples = dict(self.model.input_shape) if shapes is None else {name: tuple(shape) for name, shape in shapes.items()}
        if self.model.extents is not None and len(samples) == len(self.model.inputs):
            return self._fitted(samples).plan(samples, barriers)

        return self._prepared.plan(samples, barriers)

    @property
    def _route(self) -> Route:
        """Where relevance goes for samples of the model's own shapes."""
        return self._prepared.route(self._prepared.canonized())

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rule of every node below what is explained, where one serves it, by name in the canonised model."""
        return MappingProxyType(self._route.rules)

    @property
    def explained_nodes(self) -> Mapping[str, str]:
        """The nodes where explanations of the output's elements begin, and for each what stops one there; empty: nothing does."""
        route = self._route
        return MappingProxyType({name: route.unserved.get(name, "") for name in route.scores.explained_nodes})

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
        batch_size: int | None = None,
        progress: Any = None,
    ) -> Explanation:
        """Explain the prediction for a batch of inputs.

        Parameters
        ----------
        x : the input, (N, …): an array, a tensor of PyTorch, a table of pandas, whose columns name the features, or images of
            Pillow, where the model's domain says what it wants of them (`CONV-DTYPE`); or a mapping from input names
        target : "predicted" (the default), "all", an int, or integers (N,), one per sample. Of an output of r > 1 axes beside
            the batch: one index (r,) for all samples, or (N, r), one per sample; an int is flat
        targets : integers (T,) for all samples, or (N, T), T per sample. For r > 1: (T, r), or (N, T, r); (T,) is flat.
            Relevance gets a second axis. The axes decide, never the container: see `lrp_ref.propagate.targets`
        contrast : an index, or one per sample: explain the score of `target` minus that of `contrast`
        start : a starting relevance of the output's shape, or of that of `start_at`
        start_at : the node whose output `start` is the relevance of
        filter : for each node the channels (an int or a list), the neuron (a tuple), or a boolean mask of a sample's
            shape, whose relevance alone flows on (Montavon et al. 2018, §4.4)
        batch_size : samples that are explained at a time; None: all at once. It changes no bit (`CONV-BATCH-BITS`)
        progress : True: a line on the standard error says how many are done; or a function of (done, all)

        Raises
        ------
        ShapeError, NumberTypeError, NonFiniteError, UnknownNameError
            Where the inputs do not fit, or what is computed leaves the range of its type; the node is named.
        TargetError, HeadError, RuleError, ParameterError
            Where what is asked for contradicts itself, is not there, or cannot be explained.
        """
        request = Request(target, targets, contrast, start, start_at, filter)
        names = column_names(x)
        x = input_of(self._model, x)
        if batch_size is None and not progress:
            explanation = self._explained(x, request)
        else:
            explanation = self._explained_in_blocks(x, request, batch_size, reporter(progress))
        return replace(explanation, feature_names=names) if names else explanation

    explain = __call__

    def _explained_in_blocks(self, x: Any, request: Request, size: int | None, report: Any) -> Explanation:
        """The explanation of a batch, so many samples at a time."""
        arrays = self._model._cast(x)
        model = self._model if self.model.extents is None else self._model.fitted(versions.sample_shapes(arrays))
        count = len(next(iter(arrays.values())))
        output = (count, *model.shapes_of(arrays)[_or(self.output, model.outputs[0])])
        done, found = 0, []
        for part, asked in blocks(arrays, request, output, count or 1 if size is None else size):
            found.append(self._explained(part, asked))
            done += len(found[-1])
            report(done, count)
        return join(found) if found else self._explained(x, request)

    def _explained(self, x: Any, request: Request) -> Explanation:
        arrays = self._model._cast(x)
        if self.model.extents is not None:
            return self._fitted(versions.sample_shapes(arrays))._explained(x, request)
        spec, shapes = self._prepared.spec(arrays, tuple(request.filter or ()), request.start_at)
        execution = Execution(spec, arrays, shapes)
        start = start_of(spec, execution.run, request)
        return execution.back(start, masks(spec, execution.run, request))

    def memory_needed(self, shape: Shape | Mapping[str, Shape], targets: int = 1) -> int:
        """An estimate, in bytes, of what explaining an input of this shape takes beside the model.

        Saved arrays, prepared weights and the work of one step; measured peaks lie within a factor of 2 of it. The compiled
        core works in up to some ten megabytes more for each thread.

        Parameters
        ----------
        shape : of the input, batch axis included; of several inputs a mapping
        targets : how many targets are explained at once
        """
        shapes = dict(shape) if isinstance(shape, Mapping) else {self._model.inputs[0]: tuple(shape)}
        samples = {name: tuple(extents[1:]) for name, extents in shapes.items()}
        plan = self.plan(samples)
        observed = self._prepared.names_to_keep(plan.model, self._prepared.route(plan.model, samples).scores)
        return footprint(plan, plan.model.shapes(shapes), observed, targets) + plan.model.remembered

    def _rows(self) -> tuple[str, list[tuple[str, ...]]]:
        plan, rules = self.plan(), self.rules
        labels = {node.name: step.label for step in plan.steps for node in step.nodes}
        explained = self._prepared.scores(plan.model).explained
        head = f"Explainer: {self._prepared.composite.name}, head {explained}, {plan.described}"
        rows: list[tuple[str, ...]] = [("node", "layer", "rule", "step")]
        rows += [(n.name, repr(n.layer), str(rules.get(n.name, "–")), labels[n.name]) for n in plan.model.nodes]
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
