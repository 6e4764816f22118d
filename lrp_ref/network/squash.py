"""What the elements of an output are: probabilities, whose score lies before a softmax or sigmoid, or other numbers.

A squash is found by what the graph computes, not by its last node: it lies behind layers that move, copy, scale or complement
an element, p ↦ w·p + b, and functions of it alone that grow with it, or fall (CONV-HEAD-ELEMENT). `elements` follows each one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from ..layers.activations import Activation, LogSigmoid, Sigmoid, Softmax
from ..layers.base import Layer, Linear
from ..layers.linear import Scale
from ..layers.merge import Multiply
from ..layers.normalization import BatchNorm
from ..layers.pooling import Pooling
from ..layers.shape import Rearrangement
from ..lazy_dataclass import lazy_dataclass
from .model import Model, Node

Kind: TypeAlias = Literal["number", "squash", "combined"]

SQUASHES = (LogSigmoid, Sigmoid, Softmax)


@lazy_dataclass(frozen=True)
class Source:
    """A node that elements of an output come from.

    Attributes
    ----------
    node : its name
    kind : "squash", a softmax or sigmoid; "combined", a product, sum or other function of several probabilities; "number"
    explained_node : the node whose output is explained: the one that a squash reads, else the node itself
    """

    node: str
    kind: Kind
    explained_node: str


def shown(model: Model, output: str, moves: bool = False) -> tuple[tuple[Node, ...], tuple[Source, ...]]:
    """The nodes that may hand elements on to an output, and the sources below them, by the graph alone, both in computing order.

    Parameters
    ----------
    model : the network
    output : the node whose elements are looked at
    moves : True: only layers that move elements are between, and a squash is a source like others; False: layers that scale or
        combine elements are between as well, and a squash is a source of probabilities
    """
    sources: dict[str, Source] = {}
    between: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name in sources or name in between:
            continue
        layer = model[name].layer if name in model else None
        if layer is not None and is_squash(layer) and not moves:
            sources[name] = Source(name, "squash", model[name].inputs[0])
        elif layer is None or not (isinstance(layer, Rearrangement) if moves else _hands_on(layer)):
            sources[name] = Source(name, "number", name)
        else:
            between.add(name)
            waiting += model[name].inputs
    order = (*model.inputs, *(node.name for node in model.nodes))
    return tuple(node for node in model.nodes if node.name in between), tuple(sources[name] for name in order if name in sources)


def is_squash(layer: Layer) -> bool:
    """Whether a layer makes probabilities of scores. A hard sigmoid does where 0 is the score of ½.

    Parameters
    ----------
    layer : the layer; its class decides, of a hard sigmoid its parameters too
    """
    if isinstance(layer, SQUASHES) or not isinstance(layer, Activation):
        return isinstance(layer, SQUASHES)
    from ..layers.elementwise import HardSigmoid  # imported where few networks have it

    return isinstance(layer, HardSigmoid) and layer.beta == 0.5 and layer.alpha > 0


def _hands_on(layer: Layer) -> bool:
    """Whether an element of the layer's output may be one of its input, scaled, or a combination of several without weights."""
    if isinstance(layer, Linear):
        return isinstance(layer, (Scale, BatchNorm)) or not layer.parameter_names
    if isinstance(layer, Multiply):
        return layer.constant is None  # else it is a gate
    return isinstance(layer, (Rearrangement, Pooling)) or _keeps_order(layer) or _combines(layer)


def _keeps_order(layer: Layer) -> bool:
    """Whether the layer may be a function of each probability alone that grows with it, or falls."""
    return isinstance(layer, Activation) or _grows(layer)


def _grows(layer: Layer) -> bool:
    from ..layers.functions import Exp, Log, Sqrt  # imported where few networks have them

    return isinstance(layer, (Exp, Log, Sqrt))


def _combines(layer: Layer) -> bool:
    from ..layers.functions import Pairwise, Pow

    return isinstance(layer, (Pairwise, Pow))


def squashes(model: Model, output: str) -> Iterator[Node]:
    """The softmax and sigmoid nodes whose probabilities an output shows.

    Parameters
    ----------
    model : the network
    output : the node that is looked at
    """
    return (model[source.node] for source in shown(model, output)[1] if source.kind == "squash")
