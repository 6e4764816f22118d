"""Rewriting a model so that rules apply: batch norms and constant factors are folded into their linear neighbours.

Only BatchNorm and Scale are merged, never Dense into Dense: what a network computes in several steps stays several steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ..arrays import Array, Shape, is_exact, like
from ..errors import GraphError, LrpError, NonFiniteError, unknown
from ..held import adopt
from ..layers.base import Layer
from ..layers.conv import Conv, ConvTranspose
from ..layers.linear import Dense, Scale
from ..layers.normalization import BatchNorm
from ..layers.shape import Transpose
from ..lazy_dataclass import lazy_dataclass
from .draft import Draft
from .model import Model, Node

Weighted: TypeAlias = Dense | Conv | ConvTranspose
Affine: TypeAlias = BatchNorm | Scale


@lazy_dataclass(frozen=True)
class Merge:
    """A node that was merged, and the linear nodes that it was merged into.

    Parameters
    ----------
    node : the name of the batch norm or constant factor, which the new network does not have
    into : the names of the linear nodes whose weights and biases have it now
    """

    node: str
    into: tuple[str, ...]


def canonize(model: Model, input_shape: Mapping[str, Shape] | Shape | None = None) -> Model:
    r"""The same function with batch norms and constant factors folded into adjacent Dense, Conv and ConvTranspose layers.

    After a linear layer, with factor s and translation t: :math:`w'_{jk} = w_{jk} s_k,\; b'_k = s_k b_k + t_k`. Before one:
    :math:`w'_{jk} = s_j w_{jk},\; b'_k = b_k + \sum_j t_j w_{jk}`, where the sum leaves out zero padding, so that the bias of a
    padded convolution becomes a whole feature map (Samek et al. 2021, §1.4.1; Montavon et al. 2019, §10.3.2). The linear node
    keeps its name. A fold that would overflow is not made. Behind a linear layer there may be a Transpose in between, as where a
    file has its channels last.

    Parameters
    ----------
    model : the model
    input_shape : of one sample, for each input or for the only one; None: the model's own. Where it is not known, what depends
        on it is left alone: a translation in front of a padded or a transposed convolution, and a batch norm beside a Dense
        layer, whose features are the channels that it counts for inputs (N, features) only

    Raises
    ------
    GraphError, ShapeError, ExactnessError
        Where `input_shape` does not fit the model, or a batch norm of an exact model has no rational factor.
    """
    return canonized(model, input_shape)[0]


def canonized(model: Model, input_shape: Mapping[str, Shape] | Shape | None = None) -> tuple[Model, tuple[Merge, ...]]:
    """The network that `canonize` gives, and which node was merged into which.

    Parameters
    ----------
    model, input_shape : as for `canonize`
    """
    from heapq import heappop, heappush  # here and not above: importing lrp_ref must stay cheap

    known = _known(model, input_shape)
    shapes = model.sample_shapes({name: (1, *shape) for name, shape in known.items()}).batch(1) if known else {}
    draft = Draft(model)
    merges: list[Merge] = []
    # The first that can be folded is, as often as there is one. A fold changes this for its neighbours alone.
    waiting = [position for position, node in enumerate(model.nodes) if isinstance(node.layer, (BatchNorm, Scale))]
    while waiting:
        node = draft.at(heappop(waiting))
        merge = None if node is None else _fold(draft, node, shapes)
        if merge is not None:
            merges.append(merge)
            for position in draft.beside(merge.into, (BatchNorm, Scale), Transpose):
                heappush(waiting, position)
    return draft.to_model() if merges else model, tuple(merges)


def _known(model: Model, input_shape: Mapping[str, Shape] | Shape | None) -> dict[str, Shape]:
    """The shape of one sample of every input; none where one is missing."""
    if input_shape is None:
        shapes = dict(model.input_shape)
    elif isinstance(input_shape, Mapping):
        shapes = {name: tuple(shape) for name, shape in input_shape.items()}
    elif len(model.inputs) == 1:
        shapes = {model.inputs[0]: tuple(input_shape)}
    else:
        raise GraphError(f"the model has several inputs; give a mapping from {', '.join(model.inputs)} to shapes")
    for name in shapes:
        if name not in model.inputs:
            raise unknown("input", name, model.inputs)
    return shapes if len(shapes) == len(model.inputs) else {}


def _fold(model: Draft, node: Node, shapes: Mapping[str, Shape]) -> Merge | None:
    """Fold `node` into a neighbour, if it is an affine map of one input and a neighbour can take it exactly."""
    if not isinstance(node.layer, (BatchNorm, Scale)):
        return None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return _fold_after(model, node, node.layer, shapes) or _fold_before(model, node, node.layer, shapes)
    except NonFiniteError:
        return None
    except LrpError as error:
        raise error.at(node.title) from None


def _factor_and_translation(affine: Affine, layer: Weighted, channels: int, shape: Shape | None) -> tuple[Array, Array] | None:
    """(factor, translation), each (channels,), in the number type of the merged layer; None where they are not of that kind.

    `shape` is that of the array between the two layers, None where it is not known.
    """
    if isinstance(affine, BatchNorm):
        # A batch norm counts channels on axis 1, which is Dense's feature axis for inputs (N, features) only.
        if isinstance(layer, Dense) and (shape is None or len(shape) != 2):
            return None
        found: list[Array | None] = [affine.factor, affine.translation]
        found = [part if part is not None and part.shape == (channels,) else None for part in found]
    else:
        axes = 0 if isinstance(layer, Dense) else layer.dims
        bias = like(0, affine.weight) if affine.bias is None else affine.bias
        found = [_channelwise(part, channels, axes) for part in (affine.weight, bias)]
    factor, translation = found
    if factor is None or translation is None:
        return None
    kind = _common(factor, translation, layer.weight, *(() if layer.bias is None else (layer.bias,)))
    return like(factor, kind), like(translation, kind)


def _channelwise(constant: Array, channels: int, spatial: int) -> Array | None:
    """(channels,) from a constant that broadcasts against samples (…, channels, *spatial); None where it varies elsewhere."""
    extents = (1,) * (1 + spatial - constant.ndim) + constant.shape
    axis = len(extents) - 1 - spatial
    if extents[axis] not in (1, channels) or any(e != 1 for i, e in enumerate(extents) if i != axis):
        return None
    return np.broadcast_to(constant.reshape(-1), (channels,))


def _common(*arrays: Array) -> Array:
    """An empty array of the widest number type among `arrays`, so that folding rounds to none that is narrower."""
    exact = any(is_exact(a) for a in arrays)
    return np.empty(0, dtype=object if exact else np.result_type(*arrays))


# --- a linear layer, then the affine map -----------------------------------------------------------------------------


def _fold_after(model: Draft, node: Node, affine: Affine, shapes: Mapping[str, Shape]) -> Merge | None:
    (source,) = node.inputs
    if not model.private(source):
        return None
    name = source
    if isinstance(turn := model[source].layer, Transpose):  # channels last, as Keras writes them
        (name,), moved = model[source].inputs, _turned_back(affine, turn)
        if moved is None or not model.private(name):
            return None
        affine = moved
    layer = model[name].layer
    if not isinstance(layer, (Dense, Conv, ConvTranspose)):
        return None
    upper = int(layer.weight.shape[1]) if isinstance(layer, Dense) else layer.upper
    affine_map = _factor_and_translation(affine, layer, upper, shapes.get(name))
    if affine_map is None:
        return None
    model.put(name, _scaled_above(layer, *affine_map))
    model.drop(node)
    return Merge(node.name, (name,))


def _turned_back(affine: Affine, turn: Transpose) -> Scale | None:
    """A Scale behind a Transpose as it is in front of it; None where it is no Scale, or has more axes."""
    axes = len(turn.axes) - 1
    if not isinstance(affine, Scale) or any(part.ndim > axes for part in affine.parameters.values()):
        return None
    back = [turn.axes.index(axis) - 1 for axis in range(1, axes + 1)]
    parts = {
        name: part.reshape((1,) * (axes - part.ndim) + part.shape).transpose(back) for name, part in affine.parameters.items()
    }
    return Scale(**parts)


def _scaled_above(layer: Weighted, s: Array, t: Array) -> Weighted:
    """`layer` followed by s·z + t."""
    weight = like(layer.weight, s)
    dims = 0 if isinstance(layer, Dense) else layer.dims
    if isinstance(layer, Dense):
        weight = weight * s
    elif isinstance(layer, Conv):
        weight = weight * s.reshape(-1, *(1,) * (dims + 1))
    else:
        split = weight.reshape(layer.groups, -1, *weight.shape[1:])
        weight = (split * s.reshape(layer.groups, 1, -1, *(1,) * dims)).reshape(weight.shape)
    bias = t
    if layer.bias is not None:
        axes = (1,) * (layer.bias.ndim - 1)
        bias = like(layer.bias, s) * s.reshape(-1, *axes) + t.reshape(-1, *axes)
    return replace(layer, weight=adopt(weight), bias=bias)


# --- the affine map, then a linear layer -----------------------------------------------------------------------------


def _fold_before(model: Draft, node: Node, affine: Affine, shapes: Mapping[str, Shape]) -> Merge | None:
    """Into all the readers of `node`, if every one of them can take it: else it stays, for all of them."""
    readers = model.readers(node.name)
    if not readers or node.name in model.outputs:
        return None
    merged: dict[str, Layer] = {}
    for reader in readers:
        layer = _scaled_below(reader.layer, affine, shapes.get(node.name))
        if layer is None:
            return None
        merged[reader.name] = layer
    for name, taken in merged.items():
        model.put(name, taken)
    model.drop(node)
    return Merge(node.name, tuple(merged))


def _scaled_below(layer: Layer, affine: Affine, shape: Shape | None) -> Weighted | None:
    """`layer` with the affine map in front of it, or None where that cannot be done exactly."""
    if not isinstance(layer, (Dense, Conv, ConvTranspose)):
        return None
    factor_and_translation = _factor_and_translation(
        affine, layer, int(layer.weight.shape[0]) if isinstance(layer, Dense) else layer.lower, shape
    )
    if factor_and_translation is None:
        return None
    s, t = factor_and_translation
    bias = layer.bias
    if (t != like(0, t)).any():
        bias = _translated(layer, t, shape)
        if bias is None:
            return None
    return replace(layer, weight=adopt(_weight_below(layer, s)), bias=bias)


def _translated(layer: Weighted, t: Array, shape: Shape | None) -> Array | None:
    """The bias of `layer` on inputs to which t is added; a whole feature map where the image of a constant is none."""
    varies = _varies(layer)
    if varies and shape is None:
        return None
    if isinstance(layer, Dense):
        sample: Shape = (1, len(t))
    elif varies and shape is not None:
        sample = (1, *shape[1:])
    else:
        sample = (1, len(t), *(layer.window.extent(axis) for axis in range(layer.dims)))
    constant = np.broadcast_to(t.reshape(-1, *(1,) * (len(sample) - 2)), sample)
    z = layer.map(np.ascontiguousarray(constant), like(layer.weight, t))
    offset = layer.offset(z.ndim)
    whole: Array = (z if offset is None else z + like(offset, t))[0]
    return whole if varies else whole.reshape(len(whole))


def _varies(layer: Weighted) -> bool:
    """Whether the image of a constant input may differ from place to place: at zero padding, or between transposed windows."""
    if isinstance(layer, Dense):
        return False
    mapped = layer.bias is not None and layer.bias.ndim > 1
    return mapped or isinstance(layer, ConvTranspose) or any(any(pair) for pair in layer.padding)


def _weight_below(layer: Weighted, s: Array) -> Array:
    """w'_jk = s_j w_jk."""
    weight = like(layer.weight, s)
    if isinstance(layer, Conv):
        split = weight.reshape(layer.groups, -1, *weight.shape[1:])
        factor = s.reshape(layer.groups, 1, -1, *(1,) * layer.dims)
        return np.asarray((split * factor).reshape(weight.shape))
    return np.asarray(weight * s.reshape(-1, *(1,) * (weight.ndim - 1)))
