"""Patterns of nodes that stand for one layer, which exporters took apart: activations, norms, dense layers, gates.

A pattern looks at one node and at what it reads, and gives the layer that the node is in truth, with the inputs of that
layer. The node keeps its name; nodes that nobody reads any more disappear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from ....arrays import Array
from ....layers import Concat, Dense, Gather, Identity, Recurrent, Reshape, Scale
from ....network.model import Model, Node
from .decomposed_functions import hard_sigmoid, lp_pool, softplus
from .exponentials import logarithm, logistic, negated_softplus, scaled_softplus, shifted_tanh, softmax, softsign, tanh_half
from .gated_activations import self_gated_activation
from .gates import gate, restore_gated_constants
from .local_response_norm import local_response
from .min_max_norm import guarded_norm, min_max
from .norms import norm_affine, norm_by_length, split_norm
from .piecewise import activation_by_bend, hard_shrinkage, leaky_maximum, nested_bounds, soft_shrinkage
from .rewriting import GraphView, Match

#: From a node to the layer that it is, and what that reads; None where it is something else.
Pattern: TypeAlias = Callable[[GraphView, Node], Match]


def recognise_patterns(model: Model) -> Model:
    """A model in which groups of nodes that stand for one layer are that layer.

    Parameters
    ----------
    model : node by node as its file has it
    """
    view = _view_of(model)
    restore_gated_constants(view)  # before a constant that is added behind one makes it an affine map
    changed = True
    while changed:
        changed = _replace(view, PATTERNS)
        # Gates that were put together again, and then what may have been a part of something larger.
        changed = changed or restore_gated_constants(view) or _replace(view, LATE_PATTERNS)
    recognised = replace(model, nodes=tuple(view.nodes.values()))
    if any(type(node.layer) is Identity for node in recognised.nodes):
        recognised = replace(recognised, nodes=tuple(_drop_identities(recognised).values()))
    return recognised


def _replace(view: GraphView, patterns: Sequence[Pattern]) -> bool:
    """Put the layer of the first pattern that fits in the place of every node; whether one did."""
    changed = False
    for name in list(view.nodes):
        node = view.nodes.get(name)
        match = None if node is None else next(filter(None, (pattern(view, node) for pattern in patterns)), None)
        if match is not None:
            view.replace(name, *match)
            changed = True
    return changed


def _view_of(model: Model) -> GraphView:
    shapes = dict(model.shapes({name: (1, *shape) for name, shape in model.input_shape.items()}))
    nodes = _drop_identities(model)
    return GraphView(nodes, frozenset(model.outputs), Counter(name for node in nodes.values() for name in node.inputs), shapes)


def _drop_identities(model: Model) -> dict[str, Node]:
    """The nodes without those that a Cast or an empty Slice left behind: they say nothing about the network."""
    new: dict[str, str] = {}
    nodes = {}
    for node in model.nodes:
        inputs = tuple(new.get(name, name) for name in node.inputs)
        if type(node.layer) is Identity and node.name not in model.outputs:
            new[node.name] = inputs[0]
        else:
            nodes[node.name] = node if inputs == node.inputs else replace(node, inputs=inputs)
    return nodes


# --- both directions of a recurrent layer ------------------------------------------------------------------------------------


def _both_directions(view: GraphView, node: Node) -> Match:
    """The last states of all directions, picked one by one and put side by side again: what the layer returned."""
    if not isinstance(node.layer, Concat) or len(node.inputs) < 2:
        return None
    sources = set()
    for position, name in enumerate(node.inputs):
        below = [name]
        for kind in (Reshape, Gather, Reshape):
            if not isinstance(view.layer(below[-1]), kind):
                return None
            below.append(view.source(below[-1]))
        gather, reshape = view.layer(below[1]), view.layer(below[2])
        assert isinstance(gather, Gather)
        assert isinstance(reshape, Reshape)
        count = len(node.inputs)
        if (
            len(reshape.to) != 2
            or reshape.to[0] != count
            or gather.axis != 1
            or [cell % count for cell in gather.indices] != [position]
        ):
            return None
        sources.add(below[3])
    (source,) = sources if len(sources) == 1 else (None,)
    if source is None or not isinstance(view.layer(source), Recurrent) or view.rank(node.name) != 2:
        return None
    return Identity(), (source,)


# --- affine maps ---------------------------------------------------------------------------------------------------


def _dense(view: GraphView, node: Node) -> Match:
    """MatMul + Add: a dense layer with its bias."""
    layer = node.layer
    if not isinstance(layer, Scale) or layer.bias is None or not _is_one(layer.weight):
        return None
    (source,) = node.inputs
    below = view.layer(source)
    if not isinstance(below, Dense) or below.bias is not None or not view.private(source):
        return None
    upper = below.weight.shape[1]
    if layer.bias.size != upper or layer.bias.shape[-1:] != (upper,):
        return None
    return Dense(below.weight, layer.bias.reshape(-1)), view.nodes[source].inputs


def _is_one(weight: Array) -> bool:
    return bool((weight == 1).all())


def _mul_add(view: GraphView, node: Node) -> Match:
    """Mul + Add by constants: one affine map, such as a batch norm that was taken apart."""
    layer = node.layer
    if not isinstance(layer, Scale) or layer.bias is None or layer.weight.size != 1 or not _is_one(layer.weight):
        return None
    (source,) = node.inputs
    below = view.layer(source)
    if not isinstance(below, Scale) or below.bias is not None or not view.private(source):
        return None
    return Scale(below.weight, layer.bias), view.nodes[source].inputs


PATTERNS: tuple[Pattern, ...] = (
    activation_by_bend,
    leaky_maximum,
    nested_bounds,
    hard_shrinkage,
    soft_shrinkage,
    logistic,
    tanh_half,
    logarithm,
    negated_softplus,
    scaled_softplus,
    softsign,
    softmax,
    self_gated_activation,
    norm_by_length,
    split_norm,
    min_max,
    guarded_norm,
    norm_affine,
    local_response,
    hard_sigmoid,
    softplus,
    lp_pool,
    _dense,
    _mul_add,
    gate,
    _both_directions,
)
#: Patterns that are parts of others, such as of GELU: they are looked for where no other fits any more.
LATE_PATTERNS: tuple[Pattern, ...] = (shifted_tanh,)
