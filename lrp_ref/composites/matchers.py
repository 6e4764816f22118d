"""Which nodes of a model a rule is meant for: by layer type, name, position in the graph, stage, or any condition."""

from __future__ import annotations

import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ..arrays import integer
from ..errors import ParameterError, unknown
from ..layers.base import Layer, Linear
from ..layers.conv import Conv, ConvTranspose
from ..layers.linear import Scale
from ..layers.normalization import BatchNorm
from ..layers.pooling import GlobalSumPool, Pooling, SumPool
from ..lazy_dataclass import lazy_dataclass
from ..network.model import Model, Node


class Matcher(ABC):
    """Chooses nodes of a model. Matchers combine: `a & b`, `a | b`, `~a`."""

    @abstractmethod
    def __call__(self, model: Model) -> frozenset[str]:
        """The names of the nodes that match."""

    def __and__(self, other: Any) -> Matcher:
        return _Both(self, matcher_of(other))

    def __or__(self, other: Any) -> Matcher:
        return _Either(self, matcher_of(other))

    def __invert__(self) -> Matcher:
        return _Not(self)


@lazy_dataclass(frozen=True)
class _Both(Matcher):
    left: Matcher
    right: Matcher

    def __call__(self, model: Model) -> frozenset[str]:
        return self.left(model) & self.right(model)

    def __repr__(self) -> str:
        return f"{_enclosed(self.left)} & {_enclosed(self.right)}"


@lazy_dataclass(frozen=True)
class _Either(Matcher):
    left: Matcher
    right: Matcher

    def __call__(self, model: Model) -> frozenset[str]:
        return self.left(model) | self.right(model)

    def __repr__(self) -> str:
        return f"{self.left} | {self.right}"


@lazy_dataclass(frozen=True)
class _Not(Matcher):
    inner: Matcher

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes) - self.inner(model)

    def __repr__(self) -> str:
        return f"~{_enclosed(self.inner)}"


def _enclosed(matcher: Matcher) -> str:
    several = isinstance(matcher, (_Either, _Both)) or (isinstance(matcher, Type) and len(matcher.types) > 1)
    return f"({matcher})" if several else repr(matcher)


@lazy_dataclass(frozen=True)
class Type(Matcher):
    """Nodes whose layer is of one of these classes.

    Parameters
    ----------
    types : layer classes; a node whose layer's class inherits from one of them matches too

    Raises
    ------
    ParameterError
        Where there is none, or one is no class.
    """

    types: tuple[type, ...]

    def __init__(self, *types: type) -> None:
        if not types or not all(isinstance(t, type) for t in types):
            raise ParameterError(f"Type takes layer classes, found {', '.join(map(repr, types)) or 'none'}")
        object.__setattr__(self, "types", types)

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes if isinstance(node.layer, self.types))

    def __repr__(self) -> str:
        return " | ".join(t.__name__ for t in self.types)


@lazy_dataclass(frozen=True)
class Name(Matcher):
    """Nodes whose name fits a glob such as "conv1*"; a plain name must exist.

    Parameters
    ----------
    pattern : a node's name, or a glob, in which `*`, `?` and `[…]` match as in file names; upper and lower case differ

    Raises
    ------
    UnknownNameError
        When it is asked for the nodes of a model that has no node of this plain name.
    """

    pattern: str

    def __call__(self, model: Model) -> frozenset[str]:
        names = [node.name for node in model.nodes]
        matches = frozenset(name for name in names if name == self.pattern or fnmatch.fnmatchcase(name, self.pattern))
        if not matches and not any(c in self.pattern for c in "*?["):
            raise unknown("node", self.pattern, names)
        return matches

    def __repr__(self) -> str:
        return f"name {self.pattern!r}"


@lazy_dataclass(frozen=True)
class Predicate(Matcher):
    """Nodes for which a function of (model, node) is true.

    Parameters
    ----------
    function : from the model and one of its nodes to whether the node matches
    description : what tables call the matcher
    """

    function: Callable[[Model, Node], bool]
    description: str = "predicate"

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes if self.function(model, node))

    def __repr__(self) -> str:
        return self.description


@lazy_dataclass(frozen=True)
class First(Matcher):
    """Every linear layer that no linear layer precedes on some path from an input.

    Scale and batch norm in front count as preprocessing of the input, not as linear layers.
    """

    def __call__(self, model: Model) -> frozenset[str]:
        # fresh: reachable from an input without meeting a linear layer
        fresh, matches = set(model.inputs), set()
        for node in model.nodes:
            if not any(name in fresh for name in node.inputs):
                continue
            if isinstance(node.layer, Linear) and not isinstance(node.layer, (Scale, BatchNorm)):
                matches.add(node.name)
            else:
                fresh.add(node.name)
        return frozenset(matches)

    def __repr__(self) -> str:
        return "first linear"


@lazy_dataclass(frozen=True)
class Bounded(Matcher):
    """Nodes that depend on no input but those whose domain the model knows."""

    def __call__(self, model: Model) -> frozenset[str]:
        bounded = set(model.domain)
        for node in model.nodes:
            if bounded.issuperset(node.inputs):
                bounded.add(node.name)
        return frozenset(bounded - set(model.inputs))

    def __repr__(self) -> str:
        return "domain known"


@lazy_dataclass(frozen=True)
class Depth(Matcher):
    """Nodes by position: `start` ≤ position < `stop` of the computing order, where negative numbers count from the end.

    Parameters
    ----------
    start : the first position, an int; nodes are counted from 0 in computing order
    stop : the first position that is left out; None: to the end
    """

    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", integer(self.start, "Depth.start"))
        if self.stop is not None:
            object.__setattr__(self, "stop", integer(self.stop, "Depth.stop"))

    def __call__(self, model: Model) -> frozenset[str]:
        return frozenset(node.name for node in model.nodes[self.start : self.stop])

    def __repr__(self) -> str:
        return f"positions {self.start} to {'the end' if self.stop is None else self.stop}"


def stages(model: Model) -> dict[str, int]:
    """The stage of every node, from 1. A stage ends at a pooling or strided layer, which belongs to the stage that it ends.

    On VGG-16 these are the five convolution blocks, and the dense layers form the sixth.

    Parameters
    ----------
    model : the network; its inputs are in stage 1
    """
    behind: dict[str, int] = dict.fromkeys(model.inputs, 1)
    stage_of = {}
    for node in model.nodes:
        stage_of[node.name] = max(behind[name] for name in node.inputs)
        behind[node.name] = stage_of[node.name] + _shrinks(node.layer)
    return stage_of


def _shrinks(layer: Layer) -> bool:
    if isinstance(layer, Conv):
        return any(stride > 1 for stride in layer.stride)
    return isinstance(layer, (SumPool, Pooling, GlobalSumPool))


@lazy_dataclass(frozen=True)
class Stages(Matcher):
    """Convolutions of the lower stages: the first ⌈3/5⌉ of the stages that hold a convolution, or the first `count`.

    Parameters
    ----------
    count : how many stages with a convolution, from the input's side, an int of at least 0; None: ⌈3/5⌉ of them
    """

    count: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            object.__setattr__(self, "count", integer(self.count, "the number of stages", 0))

    def __call__(self, model: Model) -> frozenset[str]:
        stage_of = stages(model)
        convolutions = [node.name for node in model.nodes if isinstance(node.layer, (Conv, ConvTranspose))]
        numbers = sorted({stage_of[name] for name in convolutions})
        count = -(-3 * len(numbers) // 5) if self.count is None else self.count
        return frozenset(name for name in convolutions if stage_of[name] in numbers[:count])

    def __repr__(self) -> str:
        return f"lower {'3/5' if self.count is None else self.count} of the stages"


def matcher_of(value: Any) -> Matcher:
    """A matcher from a `Matcher`, a layer class, a tuple of them, or a node name.

    Parameters
    ----------
    value : a `Matcher`; a layer class or a tuple of them, for nodes of these kinds; or a node name, in which `*` and `?` match as
        in file names

    Raises
    ------
    ParameterError
        Where it is none of these.
    """
    if isinstance(value, Matcher):
        return value
    if isinstance(value, str):
        return Name(value)
    types = value if isinstance(value, tuple) else (value,)
    if types and all(isinstance(t, type) and issubclass(t, Layer) for t in types):
        return Type(*types)
    slip = isinstance(value, type) and issubclass(value, Matcher)
    hint = f"; did you mean {value.__name__}()?" if slip else ""
    raise ParameterError(f"a matcher is a Matcher, a layer class, a tuple of layer classes or a node name, found {value!r}{hint}")
