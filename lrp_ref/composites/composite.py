"""An ordered list of (matcher, rule) pairs, the first match wins; and the bounds that `ZBox()` takes from a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ..arrays import Shape
from ..errors import DomainError, LrpError, ParameterError, RuleError
from ..layers.activations import Activation, Softmax
from ..layers.base import BaseEmbedding, Layer, Linear, Recurrent
from ..layers.conv import Conv, ConvTranspose
from ..layers.functions import Maximum, Minimum
from ..layers.lengths import MinMaxNorm
from ..layers.linear import Scale
from ..layers.merge import Multiply
from ..layers.normalization import BatchNorm
from ..layers.norms import LRN, Normalised
from ..layers.pooling import Pooling, Selecting
from ..layers.selection import Where
from ..layers.shape import Identity, Pad, Rearrangement
from ..lazy_dataclass import lazy_dataclass
from ..names import complaint
from ..network.model import Domain, Model, Node, ancestors
from ..network.squash import shown
from ..network.table import COLUMN
from ..rules import Rule, ZBox
from .matchers import Matcher, matcher_of

Entry: TypeAlias = tuple[Matcher, Rule]
_CHANGED = ", changed"

#: Layers in front of a rule that keep the rank, so that it can be told from the rule's layer.
_RANK_KEPT = (Scale, BatchNorm, Identity, Pad)


@lazy_dataclass(frozen=True)
class Composite:
    """An ordered tuple of (matcher, rule) pairs; the first that matches a node gives its rule.

    Parameters
    ----------
    entries : the pairs. A matcher may be a layer class, a tuple of layer classes or a node name (a glob)
    name : for tables
    positive_start : whether the decomposition is defined for a positive start only (deep Taylor)
    """

    entries: tuple[Entry, ...]
    name: str = "custom"
    positive_start: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(_entry(entry) for entry in self.entries))
        if wrong := complaint(self.name):
            raise ParameterError(f"the composite's name {self.name[:40]!r} {wrong}")

    @property
    def conserves(self) -> bool:
        """Whether every rule shares relevance out; a derivative shares nothing."""
        return all(rule.conserves for _, rule in self.entries)

    def with_rules(self, rules: Mapping[Any, Rule] | Iterable[Entry]) -> Composite:
        """The composite with more specific entries in front, such as {"conv1": rules.Flat()}.

        Parameters
        ----------
        rules : a mapping, or pairs, from a matcher (or layer class, tuple of layer classes, node name) to a rule; the first that
            matches a node gives its rule, before every entry of this composite

        Raises
        ------
        ParameterError, UnknownNameError
            Where a matcher or a rule is none; the message says what one looks like.
        """
        added = tuple(rules.items() if isinstance(rules, Mapping) else rules)
        name = self.name if self.name.endswith(_CHANGED) else self.name + _CHANGED
        return replace(self, entries=(*added, *self.entries), name=name)

    def assign(
        self,
        model: Model,
        needed: frozenset[str] | None = None,
        others: Mapping[str, Rule] | None = None,
        starts: Iterable[str] | None = None,
    ) -> dict[str, Rule]:
        """The rule of every node, or of those `needed`. `ZBox()` gets its bounds from the model's domain.

        A rule is asked for where relevance can arrive: a softmax whose weights multiply a signal that takes all needs none.

        Parameters
        ----------
        model : canonised
        needed : the nodes below what is explained; None: all
        others : rules of nodes that no entry serves
        starts : the nodes where relevance starts; None: it can arrive at all that are needed

        Raises
        ------
        RuleError
            Where nodes have no rule, or one that does not serve them; all are listed, with what would fit.
        """
        rule_of: dict[str, Rule] = {}
        for matcher, rule in self.entries:
            for name in matcher(model):
                rule_of.setdefault(name, rule)
        nodes = [node for node in model.nodes if needed is None or node.name in needed]
        for name, rule in (others or {}).items():
            if name not in rule_of or not rule_of[name].fits(model[name].layer):
                rule_of[name] = rule
        fitting = {
            node.name: rule_of[node.name] for node in nodes if node.name in rule_of and rule_of[node.name].fits(node.layer)
        }
        asked = {node.name for node in nodes} if starts is None else reached(model, fitting, starts)
        wrong = [node for node in nodes if node.name in asked and node.name not in fitting]
        if wrong:
            complaints = [f"{node.title}: {_complaint(rule_of.get(node.name), node.layer)}" for node in wrong]
            raise RuleError("no rule for " + "; ".join(complaints))
        for node in nodes:
            if node.name in fitting and node.name not in asked and not fitting[node.name].decides(node.layer):
                del fitting[node.name]
        open_boxes = [node for node in nodes if fitting.get(node.name) == ZBox()]
        shapes = _sample_shapes(model) if open_boxes else {}
        for node in open_boxes:
            if node.name in asked:
                fitting[node.name] = _boxed(model, node, shapes)
            else:
                del fitting[node.name]  # nobody asks for its bounds
        return fitting

    def rows(self, model: Model, needed: frozenset[str] | None = None) -> list[tuple[str, str, str]]:
        """(node, layer, rule) for every node; a squash that the output shows has none, the explanation starts before it.

        Parameters
        ----------
        model : the network, as `canonize` gives it: an explainer's rules are those of the folded one
        needed : the nodes below what is explained; None: all that relevance can reach

        Raises
        ------
        RuleError
            Where nodes have no rule, as in `assign`.
        """
        starts = None
        if needed is None:
            starts = tuple(_begins(model))
            above = ancestors(model, *model.outputs) - ancestors(model, *starts)
            needed = frozenset(node.name for node in model.nodes) - above
        rules = self.assign(model, needed, None, starts)
        return [(node.name, repr(node.layer), str(rules.get(node.name, "–"))) for node in model.nodes]

    def table(self, model: Model) -> str:
        """Which rule every node gets, as text. Long names and layers stand out of their columns, nothing is cut off.

        Parameters
        ----------
        model : the network, as in `rows`

        Raises
        ------
        RuleError
            Where nodes have no rule, as in `assign`.
        """
        rows = [("node", "layer", "rule"), *self.rows(model)]
        widths = [min(limit, max(len(row[i]) for row in rows)) for i, limit in enumerate((COLUMN, 2 * COLUMN))]
        lines = [f"{name:<{widths[0]}}  {layer:<{widths[1]}}  {rule}" for name, layer, rule in rows]
        line = "-" * (sum(widths) + 4 + max(len(row[2]) for row in rows))
        return "\n".join([f"composite {self.name}", lines[0], line, *lines[1:]])

    def __repr__(self) -> str:
        return "\n".join([f"composite {self.name}", *(f"  {matcher}: {rule}" for matcher, rule in self.entries)])

    def _repr_html_(self) -> str:
        from html import escape

        body = "".join(f"<tr><td>{escape(repr(m))}</td><td>{escape(str(r))}</td></tr>" for m, r in self.entries)
        return f"<table><caption>{escape(self.name)}</caption>{body}</table>"


def reached(model: Model, rules: Mapping[str, Rule], starts: Iterable[str]) -> frozenset[str]:
    """The nodes and inputs where relevance can arrive from some nodes; below a node without a rule, all that it reads.

    Parameters
    ----------
    model : the network
    rules : by node; a rule says which inputs it `hands_on` to
    starts : the nodes where relevance starts
    """
    reach: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name in reach:
            continue
        reach.add(name)
        if name not in model:
            continue
        node = model[name]
        takes = rules[name].hands_on(node.layer) if name in rules else (True,) * len(node.inputs)
        waiting += [source for source, taken in zip(node.inputs, takes, strict=True) if taken]
    return frozenset(reach)


def _begins(model: Model) -> Iterator[str]:
    """Where explanations of the model's outputs begin: at the outputs, or below the squash that one shows."""
    for output in model.outputs:
        sources = shown(model, output)[1]
        squashed = any(source.kind == "squash" for source in sources)
        yield from (source.explained_node for source in sources) if squashed else (output,)


def _entry(entry: Any) -> Entry:
    try:
        matcher, rule = entry
    except (TypeError, ValueError):
        raise ParameterError(f"an entry of a composite is a pair (matcher, rule), found {entry!r}") from None
    return matcher_of(matcher), rule_of(rule)


def rule_of(value: Any) -> Rule:
    """A rule from a `Rule`, or from its name, such as "epsilon" or "gamma(0.25)"; a class is a slip, which the error explains.

    Parameters
    ----------
    value : the rule

    Raises
    ------
    UnknownNameError
        Where it is a string that names no rule.
    ParameterError
        Where a string is no name with parameters, or it is a rule's class, or anything else.
    """
    if isinstance(value, Rule):
        return value
    if isinstance(value, str):
        from ..rules.by_name import rule_from  # here, because only texts need a parser

        return rule_from(value)
    hint = f"; did you mean {value.__name__}()?" if isinstance(value, type) and issubclass(value, Rule) else ""
    raise ParameterError(f"a rule is needed, found {value!r}{hint}")


_FITTING: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (Selecting, "WinnerTakesAll(), Proportional() or AverageSurrogate()"),
    (Pooling, "Proportional() or AverageSurrogate()"),
    (LRN, "Pass() or LocalTaylor()"),
    (Multiply, "SignalTakesAll(), ProportionalProduct(), AbsoluteProduct() or HalfProduct()"),
    ((Maximum, Minimum), "ChoiceTakesAll()"),
    (Where, "ChoiceTakesAll(), which wants a signal to choose; between constants none would"),
    (MinMaxNorm, "ConstantStatistics()"),
    (Normalised, "ConstantDeviation() or ConstantStatistics()"),
    (Softmax, "none: explain the score before it, or end the model there"),
    ((Activation, Rearrangement, BaseEmbedding), "Pass()"),
    (Linear, "a rule for linear layers, such as Epsilon()"),
    (Recurrent, "ThroughTime()"),
)


_NONE = "none yet; a rule of your own would (a subclass of Rule), or end the model before it"


def _complaint(rule: Rule | None, layer: Layer) -> str:
    fitting = next((text for types, text in _FITTING if isinstance(layer, types)), _NONE)
    return f"{'nothing matches' if rule is None else f'{rule} does not serve it'} (fits: {fitting})"


# --- the bounds of ZBox() --------------------------------------------------------------------------------------------


def _sample_shapes(model: Model) -> dict[str, Shape]:
    """The shape of one sample of everything, where the model knows those of its inputs."""
    if set(model.input_shape) != set(model.inputs):
        return {}
    return dict(model.sample_shapes({name: (1, *shape) for name, shape in model.input_shape.items()}))


def _boxed(model: Model, node: Node, shapes: Mapping[str, Shape]) -> ZBox:
    """`ZBox()` with the bounds of the node's input: the model's domain, through what stands in front of it."""
    rank = node.layer.dims + 2 if isinstance(node.layer, (Conv, ConvTranspose)) else None
    try:
        first, *others = (_domain_at(model, name, shapes, rank) for name in node.inputs)
        if not all(first.same_as(other) for other in others):
            raise DomainError(f"ZBox() has one pair of bounds and the inputs have {first}, {', '.join(map(repr, others))}")
    except LrpError as error:
        raise error.at(node.title) from None
    return ZBox(first.low, first.high)


def _domain_at(model: Model, name: str, shapes: Mapping[str, Shape], rank: int | None) -> Domain:
    """The bounds of the node or input `name`. `rank` is that of its output, None where it is not known."""
    passed: list[tuple[Node, int | None]] = []
    while name not in model.inputs:
        node = model[name]
        if len(node.inputs) > 1 or not isinstance(node.layer, (Scale, BatchNorm, Rearrangement)):
            raise DomainError(f"ZBox() follows {node.title}, whose output the domain gives no bounds for: give ZBox(low, high)")
        name = node.inputs[0]
        rank = len(shapes[name]) + 1 if name in shapes else rank if isinstance(node.layer, _RANK_KEPT) else None
        passed.append((node, rank))
    if name not in model.domain:
        raise DomainError(
            f"ZBox() needs bounds and the model has no domain for {name!r}: give low= and high=, or Model(…, domain=(low, high))"
        )
    domain = model.domain[name]
    for node, rank in reversed(passed):
        try:
            domain = domain.behind(node.layer, shapes.get(node.inputs[0]), rank)
        except LrpError as error:
            raise error.at(f"behind {node.title}") from None
    return domain
