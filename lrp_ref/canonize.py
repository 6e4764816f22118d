"""Rewriting a model so that rules apply: batch norms and constant factors are folded into their linear neighbours.

Only BatchNorm and Scale are merged, never Dense into Dense: what a network computes in several steps stays several steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .arrays import Array, Shape, like
from .layers.base import Linear
from .layers.conv import Conv, ConvTranspose
from .layers.linear import Dense, Scale
from .layers.normalization import BatchNorm
from .model import Model, Node

_Weighted = (Dense, Conv, ConvTranspose)


@dataclass(frozen=True)
class Merge:
    """A node that was merged, and the linear node that it was merged into."""

    node: str
    into: tuple[str, ...]


def canonize(model: Model, input_shape: Mapping[str, Shape] | Shape | None = None) -> Model:
    r"""The same function with batch norms and constant factors folded into adjacent Dense, Conv and ConvTranspose layers.

    After a linear layer, with factor s and translation t: :math:`w'_{jk} = w_{jk} s_k,\; b'_k = s_k b_k + t_k`. Before one:
    :math:`w'_{jk} = s_j w_{jk},\; b'_k = b_k + \sum_j t_j w_{jk}`, where the sum leaves out zero padding, so that the bias of a padded
    convolution becomes a whole feature map (Samek et al. 2021, §1.4.1; Montavon et al. 2019, §10.3.2). The linear node keeps its name.

    Parameters
    ----------
    model : the model
    input_shape : of one sample, for each input or for the only one; None: the model's own. Where it is not known, what depends on
        it (a fold in front of a padded convolution, or of a Dense layer on inputs of unknown rank) is left alone
    """
    return canonized(model, input_shape)[0]


def canonized(model: Model, input_shape: Mapping[str, Shape] | Shape | None = None) -> tuple[Model, tuple[Merge, ...]]:
    """`canonize`, and what was merged into what."""
    if input_shape is not None and not isinstance(input_shape, Mapping):
        input_shape = {model.inputs[0]: input_shape}
    known = dict(model.input_shape) if input_shape is None else dict(input_shape)
    merges: list[Merge] = []
    step: tuple[Model, Merge] | None = (model, Merge("", ()))
    while step is not None:
        model = step[0]
        shapes = _shapes(model, known)
        step = next(filter(None, (_fold(model, node, shapes) for node in model.nodes)), None)
        if step is not None:
            merges.append(step[1])
    return model, tuple(merges)


def _shapes(model: Model, known: Mapping[str, Shape]) -> dict[str, Shape]:
    if set(known) != set(model.inputs):
        return {}
    return model.shapes({name: (1, *shape) for name, shape in known.items()})


def _fold(model: Model, node: Node, shapes: Mapping[str, Shape]) -> tuple[Model, Merge] | None:
    """Fold `node` into a neighbour, if it is an affine map of one input and a neighbour can take it exactly."""
    if not isinstance(node.layer, (BatchNorm, Scale)):
        return None
    return _fold_after(model, node) or _fold_before(model, node, shapes)


def _per_channel(layer: Linear, channels: int, spatial: int) -> tuple[Array, Array] | None:
    """(factor, translation), each (channels,), of an affine layer on (N, channels, *spatial); None where it is not of that kind."""
    if isinstance(layer, BatchNorm):
        return layer.factor, layer.translation
    factor = layer.weights[0]
    bias = layer.offset(0)
    parts = (factor, np.zeros(1, factor.dtype) * factor.flat[0] if bias is None else bias)
    found = []
    for part in parts:
        extents = (1,) * max(0, 1 + spatial - part.ndim) + part.shape
        if len(extents) != 1 + spatial or extents[0] not in (1, channels) or any(e != 1 for e in extents[1:]):
            return None
        found.append(np.broadcast_to(part.reshape(-1), (channels,)))
    return found[0], found[1]


def _fold_after(model: Model, node: Node) -> tuple[Model, Merge] | None:
    (source,) = node.inputs
    if source in model.inputs or source in model.outputs or len(model.readers(source)) != 1:
        return None
    layer = model[source].layer
    if not isinstance(layer, _Weighted):
        return None
    dense = isinstance(layer, Dense)
    upper = layer.weight.shape[1] if isinstance(layer, Dense) else layer.upper
    affine = _per_channel(node.layer, upper, 0 if dense else layer.dims)  # type: ignore[union-attr, arg-type]
    if affine is None:
        return None
    s, t = (like(part, layer.weight) for part in affine)
    merged = _scaled_above(layer, s, t)
    nodes = [
        replace(n, layer=merged) if n.name == source else _rewired(n, node.name, source) for n in model.nodes if n is not node
    ]
    outputs = tuple(source if name == node.name else name for name in model.outputs)
    return _rebuilt(model, nodes, outputs), Merge(node.name, (source,))


def _scaled_above(layer: Linear, s: Array, t: Array) -> Linear:
    """`layer` followed by s·z + t."""
    assert isinstance(layer, _Weighted)
    if isinstance(layer, Dense):
        weight, ones = layer.weight * s, ()
    elif isinstance(layer, Conv):
        weight, ones = layer.weight * s.reshape(-1, *(1,) * (layer.weight.ndim - 1)), (1,) * layer.dims
    else:
        groups, dims = layer.groups, layer.dims
        split = layer.weight.reshape(groups, -1, *layer.weight.shape[1:])
        weight = (split * s.reshape(groups, 1, -1, *(1,) * dims)).reshape(layer.weight.shape)
        ones = (1,) * dims
    if layer.bias is None:
        bias = t
    elif layer.bias.ndim == 1:
        bias = s * layer.bias + t
    else:
        bias = s.reshape(-1, *ones) * layer.bias + t.reshape(-1, *ones)
    return replace(layer, weight=weight, bias=bias)


def _fold_before(model: Model, node: Node, shapes: Mapping[str, Shape]) -> tuple[Model, Merge] | None:
    readers = model.readers(node.name)
    if not readers or node.name in model.outputs:
        return None
    merged: dict[str, Linear] = {}
    for reader in readers:
        layer = _scaled_below(reader.layer, node, shapes)
        if layer is None:
            return None
        merged[reader.name] = layer
    nodes = [
        Node(n.name, merged[n.name], node.inputs) if n.name in merged else n for n in model.nodes if n is not node
    ]
    return _rebuilt(model, nodes, model.outputs), Merge(node.name, tuple(merged))


def _scaled_below(layer: object, node: Node, shapes: Mapping[str, Shape]) -> Linear | None:
    """`layer` with the affine map of `node` in front of it, or None where that cannot be done exactly."""
    if not isinstance(layer, _Weighted):
        return None
    shape = shapes.get(node.name)
    if isinstance(layer, Dense):
        # A batch norm counts channels on axis 1, which is Dense's feature axis for inputs (N, features) only.
        if shape is None or len(shape) != 2:
            return None
        lower, spatial = layer.weight.shape[0], 0
    else:
        lower, spatial = layer.lower, layer.dims
    affine = _per_channel(node.layer, lower, spatial)  # type: ignore[arg-type]
    if affine is None:
        return None
    s, t = (like(part, layer.weight) for part in affine)
    moved = (t != like(0, t)).any()
    if moved and shape is None:
        return None
    bias = layer.bias
    if moved:
        assert shape is not None
        constant = np.broadcast_to(t.reshape(1, -1, *(1,) * spatial), (1, *shape[1:]))
        z = layer.map(np.ascontiguousarray(constant), layer.weight)
        offset = layer.offset(z.ndim)
        whole = (z if offset is None else z + offset)[0]
        bias = whole if _varies(layer) else whole.reshape(whole.shape[0], -1)[:, 0]
    return replace(layer, weight=_weight_below(layer, s), bias=bias)


def _varies(layer: Linear) -> bool:
    """Whether the image of a constant input differs from place to place: at zero padding, or between transposed windows."""
    if isinstance(layer, Dense):
        return False
    assert isinstance(layer, (Conv, ConvTranspose))
    mapped = layer.bias is not None and layer.bias.ndim > 1
    return mapped or isinstance(layer, ConvTranspose) or any(any(pair) for pair in layer.padding)


def _weight_below(layer: Linear, s: Array) -> Array:
    """w'_jk = s_j w_jk."""
    assert isinstance(layer, _Weighted)
    if isinstance(layer, Conv):
        split = layer.weight.reshape(layer.groups, -1, *layer.weight.shape[1:])
        factor = s.reshape(layer.groups, 1, -1, *(1,) * layer.dims)
        return np.asarray((split * factor).reshape(layer.weight.shape))
    return np.asarray(layer.weight * s.reshape(-1, *(1,) * (layer.weight.ndim - 1)))


def _rewired(node: Node, old: str, new: str) -> Node:
    return replace(node, inputs=tuple(new if name == old else name for name in node.inputs))


def _rebuilt(model: Model, nodes: list[Node], outputs: tuple[str, ...]) -> Model:
    return Model(tuple(nodes), model.inputs, outputs, dict(model.domain), dict(model.input_shape))
