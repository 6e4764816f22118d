"""Which rule at which node: ordered (matcher, rule) pairs, the first match wins; and the presets, as a table of data."""

from __future__ import annotations

import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import numpy as np

from .arrays import Number
from .errors import DomainError, LrpError, ParameterError, RuleError, unknown
from .layers.activations import Activation, Sigmoid, Softmax
from .layers.base import Layer, Linear
from .layers.conv import Conv, ConvTranspose
from .layers.linear import Add, Dense, Mean, Scale, Subtract
from .layers.merge import Multiply
from .layers.normalization import BatchNorm
from .layers.pooling import GlobalSumPool, Selecting, SumPool
from .layers.shape import Pad, Rearrangement, Upsample
from .model import Domain, Model, Node
from .rules import (
    AlphaBeta,
    AverageSurrogate,
    Epsilon,
    Flat,
    Gamma,
    GeneralizedGamma,
    LinearRule,
    Pass,
    Proportional,
    Rule,
    SignalTakesAll,
    WinnerTakesAll,
    WSquare,
    ZBox,
    Zero,
    ZPlus,
    relative,
)


class Matcher(ABC):
    """Chooses nodes of a model."""

    @abstractmethod
    def __call__(self, model: Model) -> frozenset[str]:
        """The names of the nodes that match."""

    def __and__(self, other: Matcher) -> Matcher:
        return _Both(self, other)

    def __or__(self, other: Matcher) -> Matcher:
        return _Either(self, other)

    def __invert__(self) -> Matcher:
        return _Not(self)


@dataclass(frozen=True)
class _Both(Matcher):
    left: Matcher
    right: Matcher

    def __call__(self, model: Model) -> frozenset[str]:
        return self.left(model) & self.right(model)

    def __repr__(self) -> str:
        return f"{self.left} & {self.right}"


@dataclass(frozen=True)
class _Either(Matcher):
    left: Matcher
    right: Matcher

    def __call__(self, model: Model) -> frozenset[str]:
        return self.left(model) | self.right(model)

    def __repr__(self) -> str:
        return f"({self.left} | {self.right})"


@dataclass(frozen=True)
class _Not(Matcher):
    inner: Matcher

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes) - self.inner(model)

    def __repr__(self) -> str:
        return f"~{self.inner}"


@dataclass(frozen=True)
class Type(Matcher):
    """Nodes whose layer is of one of these classes."""

    types: tuple[type[Layer], ...]

    def __init__(self, *types: type[Layer]) -> None:
        object.__setattr__(self, "types", types)

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes if isinstance(node.layer, self.types))

    def __repr__(self) -> str:
        return " | ".join(t.__name__ for t in self.types)


@dataclass(frozen=True)
class Name(Matcher):
    """Nodes whose name fits a glob such as "conv1*"; a plain name must exist."""

    pattern: str

    def __call__(self, model: Model) -> frozenset[str]:
        names = [node.name for node in model.nodes]
        found = frozenset(name for name in names if name == self.pattern or fnmatch.fnmatchcase(name, self.pattern))
        if not found and not any(c in self.pattern for c in "*?["):
            raise unknown("node", self.pattern, names)
        return found

    def __repr__(self) -> str:
        return f"name {self.pattern!r}"


@dataclass(frozen=True)
class Predicate(Matcher):
    """Nodes for which a function of (model, node) is true."""

    function: Callable[[Model, Node], bool]
    description: str = "predicate"

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes if self.function(model, node))

    def __repr__(self) -> str:
        return self.description


@dataclass(frozen=True)
class First(Matcher):
    """Every linear layer that no linear layer precedes on some path from an input.

    Scale and batch norm in front count as preprocessing of the input, not as linear layers.
    """

    def __call__(self, model: Model) -> frozenset[str]:
        # fresh: reachable from an input without meeting a linear layer
        fresh, found = set(model.inputs), set()
        for node in model.nodes:
            if not any(name in fresh for name in node.inputs):
                continue
            if isinstance(node.layer, Linear) and not isinstance(node.layer, (Scale, BatchNorm)):
                found.add(node.name)
            else:
                fresh.add(node.name)
        return frozenset(found)

    def __repr__(self) -> str:
        return "first linear"


@dataclass(frozen=True)
class Depth(Matcher):
    """Nodes by position: `start` ≤ position < `stop` of the computing order, where negative numbers count from the end."""

    start: int = 0
    stop: int | None = None

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes[self.start : self.stop])

    def __repr__(self) -> str:
        return f"positions {self.start} to {'the end' if self.stop is None else self.stop}"


def stages(model: Model) -> dict[str, int]:
    """The stage of every node, from 1. A stage ends at a pooling or strided layer, which belongs to the stage that it ends.

    On VGG-16 these are the five convolution blocks, and the dense layers form the sixth.
    """
    behind: dict[str, int] = dict.fromkeys(model.inputs, 1)
    found = {}
    for node in model.nodes:
        found[node.name] = max(behind[name] for name in node.inputs)
        behind[node.name] = found[node.name] + _shrinks(node.layer)
    return found


def _shrinks(layer: Layer) -> bool:
    if isinstance(layer, Conv):
        return any(stride > 1 for stride in layer.stride)
    return isinstance(layer, (SumPool, Selecting, GlobalSumPool))


@dataclass(frozen=True)
class Stages(Matcher):
    """Convolutions of the lower stages: the first ⌈3/5⌉ of the stages that hold a convolution, or the first `count`."""

    count: int | None = None

    def __call__(self, model: Model) -> frozenset[str]:
        found = stages(model)
        convolutions = [node.name for node in model.nodes if isinstance(node.layer, (Conv, ConvTranspose))]
        numbers = sorted({found[name] for name in convolutions})
        count = -(-3 * len(numbers) // 5) if self.count is None else self.count
        return frozenset(name for name in convolutions if found[name] in numbers[:count])

    def __repr__(self) -> str:
        return f"lower {'3/5' if self.count is None else self.count} of the stages"


Entry = tuple[Matcher, Rule]


@dataclass(frozen=True)
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
        entries = tuple((matcher_of(matcher), _rule_of(rule)) for matcher, rule in self.entries)
        object.__setattr__(self, "entries", entries)

    def with_rules(self, rules: Mapping[Any, Rule]) -> Composite:
        """The composite with more specific entries in front, such as {"conv1": rules.Flat()}."""
        return replace(self, entries=(*rules.items(), *self.entries), name=f"{self.name}, changed")

    def assign(self, model: Model, needed: frozenset[str] | None = None) -> dict[str, Rule]:
        """The rule of every node, or of those `needed`. `ZBox()` gets its bounds from the model's domain.

        Raises
        ------
        RuleError
            Where nodes have no rule, or one that does not serve them; all are listed, with what would fit.
        """
        found: dict[str, Rule] = {}
        for matcher, rule in self.entries:
            for name in matcher(model):
                found.setdefault(name, rule)
        nodes = [node for node in model.nodes if needed is None or node.name in needed]
        wrong = [
            f"{node.place}: {_complaint(found.get(node.name), node.layer)}"
            for node in nodes
            if node.name not in found or not found[node.name].fits(node.layer)
        ]
        if wrong:
            raise RuleError("no rule for " + "; ".join(wrong))
        return {node.name: _bounded(found[node.name], model, node) for node in nodes}

    def rows(self, model: Model, needed: frozenset[str] | None = None) -> list[tuple[str, str, str]]:
        """(node, layer, rule) for every node; a squashing layer at the end has none, the explanation starts before it."""
        if needed is None:
            ends = {n.name for n in model.nodes if n.name in model.outputs and isinstance(n.layer, (Softmax, Sigmoid))}
            needed = frozenset(n.name for n in model.nodes) - ends
        rules = self.assign(model, needed)
        return [(node.name, repr(node.layer), str(rules.get(node.name, "–"))) for node in model.nodes]

    def table(self, model: Model) -> str:
        """Which rule every node gets, as text."""
        rows = [("node", "layer", "rule"), *self.rows(model)]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"{name:<{widths[0]}}  {layer:<{widths[1]}}  {rule}" for name, layer, rule in rows]
        return "\n".join([f"composite {self.name}", lines[0], "-" * max(map(len, lines)), *lines[1:]])

    def __repr__(self) -> str:
        return "\n".join([f"composite {self.name}", *(f"  {matcher}: {rule}" for matcher, rule in self.entries)])

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><td>{escape(repr(m))}</td><td>{escape(str(r))}</td></tr>" for m, r in self.entries)
        return f"<table><caption>{escape(self.name)}</caption>{body}</table>"


def matcher_of(value: Any) -> Matcher:
    """A matcher from a `Matcher`, a layer class, a tuple of them, or a node name."""
    if isinstance(value, Matcher):
        return value
    if isinstance(value, str):
        return Name(value)
    types = value if isinstance(value, tuple) else (value,)
    if all(isinstance(t, type) and issubclass(t, Layer) for t in types):
        return Type(*types)
    raise ParameterError(f"a matcher is a Matcher, a layer class, a tuple of layer classes or a node name, found {value!r}")


def _rule_of(value: Any) -> Rule:
    if isinstance(value, Rule):
        return value
    hint = f"; did you mean {value.__name__}()?" if isinstance(value, type) and issubclass(value, Rule) else ""
    raise ParameterError(f"a rule is needed, found {value!r}{hint}")


_FITTING: tuple[tuple[tuple[type[Layer], ...] | type[Layer], str], ...] = (
    (Selecting, "WinnerTakesAll(), Proportional() or AverageSurrogate()"),
    (Multiply, "SignalTakesAll(), ProportionalProduct(), AbsoluteProduct() or HalfProduct()"),
    (Softmax, "none: explain the score before it, or end the model there"),
    ((Activation, Rearrangement), "Pass()"),
    (Linear, "a rule for linear layers, such as Epsilon()"),
)


def _complaint(rule: Rule | None, layer: Layer) -> str:
    fitting = next((text for types, text in _FITTING if isinstance(layer, types)), "a rule of your own (a subclass of Rule)")
    return f"{'nothing matches' if rule is None else f'{rule} does not serve it'} (fits: {fitting})"


def _bounded(rule: Rule, model: Model, node: Node) -> Rule:
    """`ZBox()` with the bounds of the node's input: the model's domain, through Scale, batch norm and zero Pad in front."""
    if not isinstance(rule, ZBox) or rule.low is not None:
        return rule
    try:
        domain = _domain_at(model, node.inputs[0])
    except LrpError as error:
        raise error.at(node.place) from None
    return ZBox(domain.low, domain.high)


def _domain_at(model: Model, name: str) -> Domain:
    if name in model.inputs:
        if name not in model.domain:
            raise DomainError(
                f"ZBox() needs bounds and the model has no domain for {name!r}: give low= and high=, or Model(…, domain=(low, high))"
            )
        return model.domain[name]
    node = model[name]
    if isinstance(node.layer, Rearrangement) and node.layer.arity == 1:
        domain = _domain_at(model, node.inputs[0])
        if domain.low.ndim or domain.high.ndim:
            raise DomainError(f"{node.place} moves the elements that the domain's arrays of bounds speak of: give ZBox(low, high)")
        # Padding cells are 0 and must lie within the bounds too.
        zero = domain.low * 0
        return Domain(min(domain.low, zero), max(domain.high, zero)) if isinstance(node.layer, Pad) else domain
    if isinstance(node.layer, (Scale, BatchNorm)):
        domain = _domain_at(model, node.inputs[0])
        spatial = len(model.input_shape.get(model.inputs[0], (0,))) + 1
        ends = [_affine(node.layer, bound, spatial) for bound in (domain.low, domain.high)]
        return Domain(np.minimum(*ends), np.maximum(*ends))
    raise DomainError(f"ZBox() stands behind {node.place}, whose values the domain does not bound: give ZBox(low, high)")


def _affine(layer: Scale | BatchNorm, bound: Any, ndim: int) -> Any:
    z = layer.map(bound.reshape((1,) * (ndim - bound.ndim) + bound.shape) if isinstance(layer, BatchNorm) else bound, layer.weights[0])
    offset = layer.offset(ndim)
    found = z if offset is None else z + offset
    found = found[0] if isinstance(layer, BatchNorm) else found
    return found.reshape(()) if found.size == 1 else found


# --- the presets -----------------------------------------------------------------------------------------------------

_CONVOLUTIONS = (Conv, ConvTranspose)
_SUMS = (Add, Subtract, Mean, SumPool, GlobalSumPool, Upsample)
_CONSTANTS = (BatchNorm, Scale)


@dataclass(frozen=True)
class _Row:
    """One preset: the rule of each kind of node. `first` is the rule of the first linear layer, None: like the others."""

    conv: Rule
    dense: Rule
    sums: Rule
    pool: Rule
    first: Rule | None = None
    lower: Rule | None = None  # convolutions of the lower stages
    extra: tuple[Entry, ...] = field(default=())

    def composite(self, name: str, gamma_stages: int | None = None) -> Composite:
        first = [(First(), self.first)] if self.first else []
        lower = [(Stages(gamma_stages), self.lower)] if self.lower else []
        return Composite(
            (
                *first,
                *lower,
                (Type(*_CONVOLUTIONS), self.conv),
                (Type(Dense), self.dense),
                (Type(*_SUMS), self.sums),
                (Type(Selecting), self.pool),
                (Type(Multiply), SignalTakesAll()),
                (Type(*_CONSTANTS), Pass()),
                (Type(Activation) & ~Type(Softmax), Pass()),
                (Type(Rearrangement), Pass()),
            ),
            name,
        )


_ROWS: dict[str, _Row] = {
    "epsilon_plus": _Row(AlphaBeta(1, 0), Epsilon(), Epsilon(), WinnerTakesAll()),
    "epsilon_alpha2_beta1": _Row(AlphaBeta(2, 1), Epsilon(), Epsilon(), WinnerTakesAll()),
    "epsilon_gamma_box": _Row(GeneralizedGamma(), Epsilon(), Epsilon(), WinnerTakesAll(), first=ZBox()),
    "deep_taylor": _Row(ZPlus(), ZPlus(), ZPlus(), Proportional(), first=ZBox()),
    "alpha1_beta0": _Row(AlphaBeta(1, 0), AlphaBeta(1, 0), ZPlus(), WinnerTakesAll()),
    "lrp_overview": _Row(
        Epsilon(relative(0.25)), Zero(), Epsilon(), AverageSurrogate(), first=ZBox(), lower=Gamma()
    ),
    "innvestigate_a": _Row(AlphaBeta(1, 0), Epsilon(0.1), Epsilon(), WinnerTakesAll()),
    "innvestigate_b": _Row(AlphaBeta(2, 1), Epsilon(0.1), Epsilon(), WinnerTakesAll()),
}
for _name in ("epsilon_plus", "epsilon_alpha2_beta1", "innvestigate_a", "innvestigate_b"):
    _ROWS[f"{_name}_flat"] = replace(_ROWS[_name], first=Flat())


def epsilon_plus(epsilon: Number = 1e-6) -> Composite:
    """α1β0 (bias in the pool) on convolutions, ε on dense layers: the default (Samek et al. 2021, Fig. 1.1)."""
    return _with_epsilon("epsilon_plus", epsilon)


def epsilon_plus_flat(epsilon: Number = 1e-6) -> Composite:
    """`epsilon_plus` with the flat rule in the first linear layer."""
    return _with_epsilon("epsilon_plus_flat", epsilon)


def epsilon_alpha2_beta1(epsilon: Number = 1e-6) -> Composite:
    """α2β1 on convolutions, ε on dense layers."""
    return _with_epsilon("epsilon_alpha2_beta1", epsilon)


def epsilon_alpha2_beta1_flat(epsilon: Number = 1e-6) -> Composite:
    """`epsilon_alpha2_beta1` with the flat rule in the first linear layer."""
    return _with_epsilon("epsilon_alpha2_beta1_flat", epsilon)


def _with_epsilon(name: str, epsilon: Number) -> Composite:
    row = replace(_ROWS[name], dense=Epsilon(epsilon), sums=Epsilon(epsilon))
    return row.composite(name if epsilon == 1e-6 else f"{name}(epsilon={epsilon})")


def epsilon_gamma_box(low: Any = None, high: Any = None, gamma: Number = 0.25, epsilon: Number = 1e-6) -> Composite:
    """zᴮ in the first linear layer, generalised γ on convolutions, ε on dense layers.

    Parameters
    ----------
    low, high : the bounds of the first layer's input; None: the model's domain
    gamma, epsilon : of the γ and the ε rules
    """
    row = replace(
        _ROWS["epsilon_gamma_box"],
        first=ZBox(low, high),
        conv=GeneralizedGamma(gamma),
        dense=Epsilon(epsilon),
        sums=Epsilon(epsilon),
    )
    return row.composite("epsilon_gamma_box")


@dataclass(frozen=True)
class _DeepTaylor(Composite):
    """zᴮ in the first linear layer where the model has a domain, w² where it has none."""

    def assign(self, model: Model, needed: frozenset[str] | None = None) -> dict[str, Rule]:
        if all(name in model.domain for name in model.inputs):
            return super().assign(model, needed)
        unbounded = tuple((m, WSquare() if rule == ZBox() else rule) for m, rule in self.entries)
        return Composite(unbounded, self.name).assign(model, needed)


def deep_taylor(low: Any = None, high: Any = None) -> Composite:
    """Deep Taylor decomposition: z⁺ everywhere, zᴮ in the first linear layer, or w² without bounds (Montavon et al. 2018, Tab. 2).

    It is defined for a positive start only; the explainer refuses others unless `allow_negative=True`.
    """
    made = replace(_ROWS["deep_taylor"], first=ZBox(low, high)).composite("deep_taylor")
    return (_DeepTaylor if low is None else Composite)(made.entries, made.name, positive_start=True)


def alpha1_beta0() -> Composite:
    """α1β0 in every weighted layer."""
    return _ROWS["alpha1_beta0"].composite("alpha1_beta0")


def lrp_overview(low: Any = None, high: Any = None, gamma_stages: int | None = None) -> Composite:
    """zᴮ first, γ on the lower stages, ε of 0.25 rms on the upper ones, LRP-0 on dense layers (Montavon et al. 2019, Fig. 10.4).

    Parameters
    ----------
    low, high : the bounds of the first layer's input; None: the model's domain
    gamma_stages : how many stages take γ; None: the first ⌈3/5⌉ (on VGG-16 the first three of five blocks)
    """
    return replace(_ROWS["lrp_overview"], first=ZBox(low, high)).composite("lrp_overview", gamma_stages)


def innvestigate_a() -> Composite:
    """ε = 0.1 on dense layers, α1β0 on convolutions (iNNvestigate's sequential preset A)."""
    return _ROWS["innvestigate_a"].composite("innvestigate_a")


def innvestigate_b() -> Composite:
    """ε = 0.1 on dense layers, α2β1 on convolutions (iNNvestigate's sequential preset B)."""
    return _ROWS["innvestigate_b"].composite("innvestigate_b")


def innvestigate_a_flat() -> Composite:
    """`innvestigate_a` with the flat rule in the first linear layer."""
    return _ROWS["innvestigate_a_flat"].composite("innvestigate_a_flat")


def innvestigate_b_flat() -> Composite:
    """`innvestigate_b` with the flat rule in the first linear layer."""
    return _ROWS["innvestigate_b_flat"].composite("innvestigate_b_flat")


def uniform(rule: LinearRule, pool: Rule | None = None) -> Composite:
    """One rule for every linear layer, Scale and batch norm included.

    αβ with β > 0 is never used on pooling, sums and constant factors, whose negative pool is empty: they take ε = 1e-6 then.

    Parameters
    ----------
    rule : a rule for linear layers
    pool : the rule of maximum pooling; None: `WinnerTakesAll()`, with which uniform LRP-0 equals gradient × input
    """
    if not isinstance(rule, LinearRule):
        raise ParameterError(f"uniform needs a rule for linear layers, found {rule!r}")
    signed = isinstance(rule, AlphaBeta) and rule.beta > 0
    row = _Row(rule, rule, Epsilon() if signed else rule, pool or WinnerTakesAll())
    made = row.composite(f"uniform {rule}")
    return Composite(((Type(*_CONSTANTS), row.sums), *made.entries), made.name)


PRESETS: dict[str, Callable[[], Composite]] = {
    function.__name__: function
    for function in (
        epsilon_plus,
        epsilon_plus_flat,
        epsilon_alpha2_beta1,
        epsilon_alpha2_beta1_flat,
        epsilon_gamma_box,
        deep_taylor,
        alpha1_beta0,
        lrp_overview,
        innvestigate_a,
        innvestigate_a_flat,
        innvestigate_b,
        innvestigate_b_flat,
    )
}


def composite_of(value: Any) -> Composite:
    """A composite from a `Composite` or a preset's name."""
    if isinstance(value, Composite):
        return value
    if not isinstance(value, str) or value not in PRESETS:
        raise unknown("composite", value, PRESETS)
    return PRESETS[value]()
