"""From a model, a composite and an input to an explanation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np

from .arrays import Array, Shape, check_finite, is_exact, like, per_sample, zeros
from .canonize import canonize
from .composites import Composite, composite_of, uniform
from .errors import HeadError, NonFiniteError, ParameterError, ShapeError, TargetError, UnknownNameError, unknown
from .explanation import Explanation
from .heads import Head, Logit, LogOdds, contrasted, head_of, indices, several
from .layers.activations import LogSoftmax, Sigmoid, Softmax
from .ledger import Booking, Entry, Ledger
from .model import Model
from .plan import BACKENDS, Plan, plan
from .rules import LinearRule, Rule

PRECISIONS = {"float64": np.float64, "float32": np.float32, "exact": object}


def explain(
    model: Model,
    x: Any,
    *,
    composite: Any = None,
    rule: LinearRule | None = None,
    head: Any = None,
    output: str | None = None,
    keep: Any = "input",
    ledger: bool = False,
    backend: str | None = None,
    precision: str | None = None,
    canonical: bool = True,
    allow_negative: bool = False,
    **call: Any,
) -> Explanation:
    """Explain a prediction: an `Explainer` made and called once. See there for the parameters."""
    explainer = Explainer(
        model,
        composite,
        rule=rule,
        head=head,
        output=output,
        keep=keep,
        ledger=ledger,
        backend=backend,
        precision=precision,
        canonical=canonical,
        allow_negative=allow_negative,
    )
    return explainer(x, **call)


@dataclass(frozen=True, eq=False, repr=False)
class Explainer:
    """Layer-wise relevance propagation through one model under one composite.

    Parameters
    ----------
    model : the network; batch norms and constant factors are folded first (`canonical`)
    composite : a `Composite` or a preset's name; None: "epsilon_plus"
    rule : a rule for linear layers, the same as composite=composites.uniform(rule)
    head : "logit", "log-odds" or a `Head`; must be chosen where the network ends in a softmax or sigmoid
    output : which output is explained, where the model has several
    keep : "input", "all", or the names of nodes whose relevance the explanation keeps
    ledger : whether the explanation carries the accounts
    backend : "reference" or "numpy"; None: the fastest there is
    precision : "float64", "float32" or "exact"; None: the model's own
    allow_negative : whether deep Taylor decomposition may start from a negative value, for which it is not defined

    Raises
    ------
    RuleError
        Where nodes have no rule, or one that does not serve them; all of them are listed.
    HeadError, UnknownNameError, DomainError, ParameterError
        Where the other choices do not fit the model.
    """

    model: Model
    composite: Any = None
    rule: LinearRule | None = None
    head: Any = None
    output: str | None = None
    keep: Any = "input"
    ledger: bool = False
    backend: str | None = None
    precision: str | None = None
    canonical: bool = True
    allow_negative: bool = False
    _model: Model = field(init=False)
    _composite: Composite = field(init=False)
    _head: Head = field(init=False)

    def __post_init__(self) -> None:
        if self.composite is not None and self.rule is not None:
            raise ParameterError("give composite= or rule=, not both: rule= means composites.uniform(rule)")
        made = uniform(self.rule) if self.rule is not None else composite_of(_or(self.composite, "epsilon_plus"))
        if self.backend is not None and self.backend not in BACKENDS:
            raise unknown("backend", self.backend, BACKENDS)
        if self.precision is not None and self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        object.__setattr__(self, "keep", self.keep if isinstance(self.keep, str) else tuple(self.keep))
        model = self._cast()
        if self.output is None and len(model.outputs) > 1:
            raise TargetError(f"the model has several outputs; choose output= from {', '.join(model.outputs)}")
        if self.output is not None and self.output not in model.outputs:
            raise unknown("output", self.output, model.outputs)
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_composite", made)
        object.__setattr__(self, "_head", self._chosen_head(model))
        rewritten = self._canonized(model, None)
        made.assign(rewritten, ancestors(rewritten, self._start_node(rewritten)))
        self._kept_nodes(rewritten)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: what is derived from the model shares its memo again.
        return Explainer, tuple(getattr(self, field.name) for field in fields(self) if field.init)

    # --- choices that depend on the model --------------------------------------------------------------------------

    def _cast(self) -> Model:
        """The model in the one number type that is computed in."""
        dtype = np.dtype(self.model.dtype if self.precision is None else PRECISIONS[self.precision])
        if all(a.dtype == dtype for node in self.model.nodes for a in node.layer.parameters.values()) and dtype == self.model.dtype:
            return self.model
        return _derived(self.model, ("precision", dtype), lambda: self.model.astype(dtype))

    def _output_node(self, model: Model) -> str:
        return model.outputs[self.model.outputs.index(self.output)] if self.output else model.outputs[0]

    def _squash(self, model: Model) -> str | None:
        """The softmax or sigmoid that ends the graph, if one does."""
        name = self._output_node(model)
        return name if isinstance(model[name].layer, (Softmax, LogSoftmax, Sigmoid)) else None

    def _start_node(self, model: Model) -> str:
        """The node whose output is explained: before a squashing layer."""
        squash = self._squash(model)
        return self._output_node(model) if squash is None else model[squash].inputs[0]

    def _chosen_head(self, model: Model) -> Head:
        squash = self._squash(model)
        if squash is None:
            return Logit() if self.head is None else head_of(self.head)
        if self.head is None:
            raise HeadError(
                f"{model[squash].place} ends the network: choose head='logit' to explain the score before it, or head='log-odds' "
                "to explain log P/(1 − P)"
            )
        chosen = head_of(self.head)
        # The log-odds of a sigmoid's probability are its score.
        return Logit() if isinstance(model[squash].layer, Sigmoid) and isinstance(chosen, LogOdds) else chosen

    def _canonized(self, model: Model, shapes: Mapping[str, Shape] | None) -> Model:
        if not self.canonical:
            return model
        shapes = dict(model.input_shape) if shapes is None else shapes
        key = ("canonical", model.dtype, tuple(sorted(shapes.items())))
        return _derived(model, key, lambda: canonize(model, shapes))

    def _kept_nodes(self, model: Model) -> tuple[str, ...]:
        if isinstance(self.keep, str) and self.keep == "input":
            return model.inputs
        if isinstance(self.keep, str) and self.keep == "all":
            return (*model.inputs, *(node.name for node in model.nodes))
        names = (self.keep,) if isinstance(self.keep, str) else tuple(self.keep)
        known = (*model.inputs, *(node.name for node in model.nodes))
        for name in names:
            if name not in known:
                raise self._unknown_node("node to keep", name, known)
        return tuple(dict.fromkeys((*model.inputs, *names)))

    def _unknown_node(self, what: str, name: str, known: Sequence[str]) -> UnknownNameError:
        error = unknown(what, name, known)
        folded = self.canonical and name in self.model
        return UnknownNameError(f"{error} It was folded into its linear neighbour.") if folded else error

    def plan(
        self, shapes: Mapping[str, Shape] | None = None, cuts: Sequence[str] = ()
    ) -> Plan:
        """The steps that serve the model.

        Parameters
        ----------
        shapes : of one sample of each input; None: the model's own, if it has them
        cuts : nodes whose relevance is filtered, or given
        """
        model = self._canonized(self._model, shapes)
        needed = ancestors(model, self._start_node(model))
        rules = self._composite.assign(model, needed)
        seen = frozenset((*self._kept_nodes(model), self._start_node(model)))
        return plan(model, rules, self._backend(model), seen, self.ledger, frozenset(cuts))

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rule of every node that relevance passes, by name in the canonised model."""
        model = self._canonized(self._model, self.model.input_shape or None)
        return MappingProxyType(self._composite.assign(model, ancestors(model, self._start_node(model))))

    def _backend(self, model: Model) -> str:
        return "reference" if model.dtype == object else self.backend or BACKENDS[-1]

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
        target : "predicted" (the default), "all", an index into the output (a tuple for outputs of several axes), or one index per
            sample
        targets : several indices for every sample, or (N, T) of them: relevance gets a second axis
        contrast : an index, or one per sample: explain the score of `target` minus that of `contrast`
        start : a starting relevance of the output's shape, or of that of `start_at`
        start_at : the node whose output `start` is the relevance of
        filter : for each node the channels (an int or a list), the neuron (a tuple), or a boolean mask of a sample's shape, whose
            relevance alone flows on (Montavon et al. 2018, §4.4)
        """
        arrays = self._model.prepare(x)
        shapes = {name: array.shape[1:] for name, array in arrays.items()}
        made = self.plan(shapes, [*(filter or ()), *([] if start_at is None else [start_at])])
        run = _Run(self, made, arrays, self._start_node(made.model))
        at = run.begin if start_at is None else run.node(start_at, "node to start at")
        relevance, value, chosen, single = run.start(at, target, targets, contrast, start, start_at)
        self._refuse_negative(value if start is None else relevance)
        return run.back(at, relevance, value, chosen, single, run.masks(filter or {}))

    def _refuse_negative(self, value: Array) -> None:
        if self._composite.positive_start and not self.allow_negative and (value < like(0, value)).any():
            worst = value.min()
            raise TargetError(
                f"deep Taylor decomposition is not defined for a negative start, found {float(worst):.4g}; choose another target or "
                "composite, or allow_negative=True"
            )

    def memory(self, shape: Shape | Mapping[str, Shape]) -> int:
        """An estimate, in bytes, of what explaining an input of this shape (batch axis included) takes beside the model.

        Counts each step's activations and factors, the prepared weights and one step's columns; measured peaks lie within a factor
        of 2 of it.
        """
        whole = dict(shape) if isinstance(shape, Mapping) else {self._model.inputs[0]: tuple(shape)}
        made = self.plan({name: tuple(s[1:]) for name, s in whole.items()})
        sizes = {name: int(np.prod(s)) for name, s in made.model.shapes(whole).items()}
        item = 8 if made.model.dtype == object else made.model.dtype.itemsize
        columns = 0
        total = sum(sizes[name] for name in made.model.inputs)
        for step in made.steps:
            end = sizes[step.nodes[-1].name]
            factors = len(step.prepared.shares) if hasattr(step, "prepared") else 1
            total += end * factors + (end if step.nodes[-1].name in made.kept else 0)
            columns = max(columns, 3 * end)
        return item * (total + columns) + made.model._memo.size

    def __repr__(self) -> str:
        made = self.plan(self.model.input_shape or None)
        served = {node.name: step.label for step in made.steps for node in step.nodes}
        rules = self.rules
        rows = [("node", "layer", "rule", "step")]
        rows += [(n.name, repr(n.layer), str(rules.get(n.name, "–")), served[n.name]) for n in made.model.nodes]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        head = f"Explainer: {self._composite.name}, head {self._head}, {made.model.dtype}, backend {made.backend}"
        return "\n".join([head, *lines])


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _derived(model: Model, key: Hashable, build: Callable[[], Model]) -> Model:
    """A model made from `model`, once. It shares the memo: what is derived from a model is bounded and forgotten with it."""

    def made() -> tuple[Model, int]:
        found = build()
        object.__setattr__(found, "_memo", model._memo)
        own = {id(node.layer) for node in model.nodes}
        return found, sum(a.nbytes for n in found.nodes if id(n.layer) not in own for a in n.layer.parameters.values())

    found: Model = model._memo.get(key, made)
    return found


def ancestors(model: Model, name: str) -> frozenset[str]:
    """The nodes that `name` is computed from, itself included."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in model.inputs or current in found:
            continue
        found.add(current)
        waiting += model[current].inputs
    return frozenset(found)


class _Run:
    """One call: the forward pass, then relevance from the start down."""

    def __init__(self, explainer: Explainer, made: Plan, arrays: dict[str, Array], begin: str) -> None:
        self.explainer, self.plan, self.model, self.begin = explainer, made, made.model, begin
        self.count = next(iter(arrays.values())).shape[0]
        self.shapes = self.model.shapes({name: array.shape for name, array in arrays.items()})
        self.inputs = arrays
        self.values, self.saved = self._forward(dict(arrays))

    def _forward(self, values: dict[str, Array]) -> tuple[dict[str, Array], list[Any]]:
        wanted = {*self.plan.kept, self.begin, self.explainer._output_node(self.model), *self.model.inputs}
        left = Counter(name for step in self.plan.steps for name in set(step.nodes[0].inputs))
        saved = []
        for step in self.plan.steps:
            reads = step.nodes[0].inputs
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # checked at the end, by node
                values[step.nodes[-1].name], kept = step.forward(*(values[name] for name in reads))
            saved.append(kept)
            for name in set(reads):
                left[name] -= 1
                if not left[name] and name not in wanted:
                    del values[name]
        return values, saved

    def node(self, name: str, what: str) -> str:
        """A node that exists in the canonised model and that the explained output depends on."""
        below = ancestors(self.model, self.begin)
        known = [n for n in self.shapes if n in below or n in self.model.inputs]
        if name in known:
            return name
        if name in self.model:
            raise UnknownNameError(f"{what} {name!r} is not below the explained output, so no relevance reaches it")
        raise self.explainer._unknown_node(what, name, known)

    # --- where relevance starts --------------------------------------------------------------------------------------

    def start(
        self, at: str, target: Any, targets: Any, contrast: Any, start: Any, start_at: str | None
    ) -> tuple[Array, Array, Array | None, bool]:
        """(relevance (N, T, …), value (N, T), targets (N, T) or None, whether there is one target only)."""
        if start is not None or start_at is not None:
            if start is None:
                raise TargetError(f"start_at={start_at!r} says where start= begins, and start= is missing")
            if target is not None or targets is not None or contrast is not None:
                raise TargetError("start= is a whole starting relevance: give it without target=, targets= or contrast=")
            return self._given(start, at)
        scores = self.values[self.begin]
        if targets is not None:
            if target is not None or contrast is not None:
                raise TargetError("give target= or targets=, not both (contrast= goes with target=)")
            chosen, single = several(targets, scores), False
        else:
            wanted = "predicted" if target is None else target
            chosen, single = indices(wanted, scores), not (isinstance(wanted, str) and wanted == "all")
        if contrast is not None:
            if not single:
                raise TargetError("contrast= needs one target")
            if not isinstance(self.explainer._head, Logit):
                raise TargetError("contrast= explains a difference of scores; the log-odds head contrasts with every other class itself")
            relevance, value = contrasted(scores, chosen, indices(contrast, scores, "contrast"))
        else:
            relevance, value = self.explainer._head.start(scores, chosen)
        return relevance, value, chosen, single

    def _given(self, start: Any, at: str) -> tuple[Array, Array, None, bool]:
        relevance = np.asarray(start)
        if relevance.dtype.kind not in "iufO":
            raise TargetError(f"start must hold numbers, found {relevance.dtype}")
        check_finite(relevance, "start") if relevance.dtype.kind == "f" else None
        expected = self.shapes[at]
        if relevance.shape != expected:
            raise ShapeError(f"start must have the shape of {at!r}, {expected}, found {relevance.shape}")
        relevance = like(relevance, next(iter(self.inputs.values())))[:, None]
        return relevance, like(per_sample(relevance), relevance)[:, None], None, True

    def masks(self, chosen: Mapping[str, Any]) -> dict[str, Array]:
        """For each filtered node what its relevance is multiplied by."""
        some = next(iter(self.inputs.values()))
        return {
            name: like(_mask(choice, self.shapes[self.node(name, "node to filter")][1:], name).astype(np.int8), some)
            for name, choice in chosen.items()
        }

    # --- the way back --------------------------------------------------------------------------------------------------

    def back(
        self, at: str, start: Array, value: Array, chosen: Array | None, single: bool, masks: dict[str, Array]
    ) -> Explanation:
        """Take the starting relevance down to the inputs."""
        entries: list[Entry] = []
        heaps: dict[str, dict[str, Array]] = {at: {"R": start}}
        whole: dict[str, Array] = {}
        explained = self.explainer.ledger
        if explained and (chosen is not None):
            booking = [Booking.handed_on(value[:, t], (start[:, t],)) for t in range(value.shape[1])]
            gap = [_with_rest(b) for b in booking]
            entries.append(Entry(f"start at {at}", str(self.explainer._head), Booking.stacked(gap)))
        for step, kept in zip(reversed(self.plan.steps), reversed(self.saved), strict=True):
            self.saved.pop()
            name = step.nodes[-1].name
            if name not in heaps:
                continue
            message = self._arrived(name, heaps.pop(name), step.arrives, masks, whole, entries)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                messages, booked = step.relevance(kept, message)
            entries += booked
            for source, part in zip(step.nodes[0].inputs, messages, strict=True):
                heap = heaps.setdefault(source, {})
                heap[step.hands_on] = heap[step.hands_on] + part if step.hands_on in heap else part
        for name in self.model.inputs:
            empty = {"R": zeros((*value.shape, *self.shapes[name][1:]), value)}
            whole[name] = self._arrived(name, heaps.pop(name, empty), "R", masks, whole, entries)
        return self._result(whole, start, value, chosen, single, entries)

    def _arrived(
        self, name: str, heap: dict[str, Array], kind: str, masks: dict[str, Array], whole: dict[str, Array], entries: list[Entry]
    ) -> Array:
        """The message at a node in the currency that its step takes; its relevance is put aside where someone looks."""
        if kind == "R":
            message = heap.get("R")
            if "c" in heap:
                product = self.values[name][:, None] * heap["c"]
                message = product if message is None else message + product
        else:
            message = heap["c"]
        assert message is not None
        if name in masks:
            chosen = message * masks[name]
            if self.explainer.ledger:
                entries.append(_filtered(name, message, chosen))
            message = chosen
        self._check(message, name)
        if name in self._seen():
            whole[name] = self._relevance(name, message, kind)
        return message

    def _relevance(self, name: str, message: Array, kind: str) -> Array:
        return message if kind == "R" else np.asarray(self.values[name][:, None] * message)

    def _seen(self) -> frozenset[str]:
        names = self.explainer._kept_nodes(self.model)
        return frozenset(self.plan.alias.get(name, name) for name in names)

    @staticmethod
    def _check(message: Array, name: str) -> None:
        if not is_exact(message) and not np.isfinite(message).all():
            raise NonFiniteError(
                f"the relevance at {name!r} is not finite: a denominator above it is tiny beside its relevance. A rule with an ε, "
                "or float64, helps; ledger=True shows the last nodes before"
            )

    def _result(
        self, whole: dict[str, Array], start: Array, value: Array, chosen: Array | None, single: bool, entries: list[Entry]
    ) -> Explanation:
        total = [per_sample(whole[name][:, t]) for t in range(value.shape[1]) for name in self.model.inputs]
        ledger = None
        if self.explainer.ledger:
            width = len(self.model.inputs)
            arrived = [sum(total[t * width : (t + 1) * width][1:], total[t * width]) for t in range(value.shape[1])]
            begun = like(value, arrived[0]) if is_exact(value) else value.astype(np.float64)
            ledger = Ledger(tuple(entries), begun, np.stack(arrived, axis=1))
            ledger = ledger.first() if single else ledger
        kept = {
            name: whole[self.plan.alias.get(name, name)]
            for name in self.explainer._kept_nodes(self.model)
            if self.plan.alias.get(name, name) in whole
        }
        if single:
            kept = {name: array[:, 0] for name, array in kept.items()}
        return Explanation(
            relevances=kept,
            inputs=self.model.inputs,
            activations=self.inputs,
            prediction=self.values[self.explainer._output_node(self.model)],
            target=chosen if chosen is None or not single else chosen[:, 0],
            value=value[:, 0] if single else value,
            ledger=ledger,
            backend=self.plan.backend,
            precision="exact" if self.model.dtype == object else str(self.model.dtype),
            composite=self.explainer._composite.name,
        )


def _with_rest(booking: Booking) -> Booking:
    """A head's booking: what its relevance adds up to beyond the explained value is unassigned (negative: over-distributed)."""
    from dataclasses import replace

    rest = booking.arriving - booking.inputs
    return replace(booking, unassigned=rest)


def _filtered(name: str, before: Array, after: Array) -> Entry:
    bookings = [
        Booking.handed_on(before[:, t], (after[:, t],), unassigned=before[:, t] - after[:, t]) for t in range(before.shape[1])
    ]
    return Entry(name, "filter", Booking.stacked(bookings))


def _mask(choice: Any, sample: Shape, name: str) -> Array:
    """A boolean mask of one sample from channels, a neuron or a mask."""
    found = np.zeros(sample, dtype=bool)
    try:
        if isinstance(choice, np.ndarray) and choice.dtype == bool:
            found |= np.broadcast_to(choice, sample)
        elif isinstance(choice, tuple) or isinstance(choice, (int, np.integer)):
            found[choice] = True
        else:
            found[list(choice)] = True
    except (IndexError, ValueError, TypeError) as error:
        raise ShapeError(f"the filter {choice!r} does not fit node {name!r}, whose samples have shape {sample}: {error}") from None
    return found
