"""Expanding a layer's relevance at the root points of a rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import rules
from ..arrays import Array, Shape, check_finite, fractions, is_exact, like, total, zeros
from ..errors import DomainError, RuleError, ShapeError
from ..layers.base import Layer, Linear
from .lines import Line, Neurons, root_of
from .points import RootPoint, RootPoints, number


def root_point(layer: Layer, rule: rules.Rule, a: Any, relevance: Any, k: Any) -> RootPoint:
    """One upper neuron's relevance, expanded at the root point that the rule stands for.

    Where the rule's line never meets the hinge (z⁺ without a positive contribution, say) there is no root. The
    expansion then stays at a: all relevance is of zero order, and no message is sent, as the rule's ledger books it.

    Parameters
    ----------
    layer : a linear layer of one input
    rule : a rule in `ROOTS`
    a : the layer's input for one sample, (1, …), floats or fractions; everything is computed in its number type
    relevance : R_k of the layer's whole output, (1, …)
    k : the upper neuron, by its index in one sample of the output: an int, or a tuple

    Raises
    ------
    RuleError
        Where the rule has no root point (the message says why); where the layer is not linear or has several inputs.
    DomainError
        Where z_k = 0 and R_k ≠ 0: no slope c_k makes the relevance model R_k. Where zᴮ has no bounds, or a leaves them.
    ShapeError, ParameterError
        Where the arrays do not fit the layer, or there is no such neuron.
    """
    inputs, R, shape = _arrays(layer, rule, a, relevance)
    chosen = number(k, shape)
    # A relative ε is a fraction of the root mean square over all upper neurons.
    if isinstance(getattr(rule, "epsilon", None), rules.RelativeEpsilon):
        return _expansions(layer, rule, inputs, R, shape, np.arange(math.prod(shape)))[chosen]
    return _expansions(layer, rule, inputs, R, shape, np.array([chosen]))[0]


def root_points(layer: Layer, rule: rules.Rule, a: Any, relevance: Any) -> RootPoints:
    """The root points of all upper neurons of one sample, each as `root_point` finds it.

    It takes memory for (upper × lower) numbers: meant for small layers.

    Parameters
    ----------
    layer, rule, a, relevance : as for `root_point`

    Raises
    ------
    RuleError, DomainError, ShapeError
        As for `root_point`.
    """
    inputs, R, shape = _arrays(layer, rule, a, relevance)
    return RootPoints(_expansions(layer, rule, inputs, R, shape, np.arange(math.prod(shape))), shape)


def _arrays(layer: Layer, rule: rules.Rule, a: Any, relevance: Any) -> tuple[Array, Array, Shape]:
    """The input and the relevance of one sample, checked, and the output's shape."""
    root_of(rule)
    rule.require(layer)
    if layer.arity != 1:
        raise RuleError(f"root points are found for layers of one input, {type(layer).__name__} has {layer.arity}")
    inputs = np.asarray(a)
    inputs = fractions(inputs) if is_exact(inputs) else like(inputs, inputs)
    check_finite(inputs, "a")
    shape = layer.shape(inputs.shape)
    if shape[0] != 1:
        raise ShapeError(f"root points are found for one sample, with a batch axis of 1; found {shape[0]} samples")
    if not math.prod(shape):
        raise ShapeError(f"the layer's output of shape {shape} has no neurons to expand")
    R = like(relevance, inputs)
    if R.shape != shape:
        raise ShapeError(f"relevance must have the shape of the layer's output, {shape}, found {R.shape}")
    check_finite(R, "relevance")
    return inputs, R, shape


def _neurons(layer: Linear, a: Array, shape: Shape, chosen: Array) -> Neurons:
    """The chosen columns of the layer's matrix, as rows: the adjoint of unit vectors."""
    units = like((chosen[:, None] == np.arange(math.prod(shape))).astype(np.int8), a).reshape(len(chosen), *shape[1:])
    lower = (len(chosen), *a.shape[1:])
    weight = like(layer.weights[0], a)
    w = layer.adjoint(units, weight, lower).reshape(len(chosen), -1)
    ones = zeros(weight.shape, a) + like(1, a)
    feeds = layer.adjoint(units, ones, lower).reshape(len(chosen), -1) != like(0, a)
    offset = layer.offset(len(shape))
    b = np.broadcast_to(like(0 if offset is None else offset, a), shape).reshape(-1)[chosen]
    return Neurons(a.reshape(-1), w, feeds, b, a.shape[1:])


def _expansions(layer: Layer, rule: rules.Rule, a: Array, relevance: Array, shape: Shape, chosen: Array) -> tuple[RootPoint, ...]:
    """The expansions of the chosen upper neurons."""
    assert isinstance(layer, Linear)
    k = _neurons(layer, a, shape, chosen)
    line = root_of(rule).line(rule, k)
    R, z = relevance.reshape(-1)[chosen], k.z
    _refuse_hinge(z, R, chosen, shape)
    descent = total(line.d * k.w, (1,)) + line.d_0 * k.b
    bottom = descent if line.stabiliser is None else descent + line.stabiliser(descent)
    t, c = _divided(z, bottom), _divided(R, z)
    # a − ã, and not computed as that: in floats it would lose the digits of a short step from a large a.
    step, step_0 = t[:, None] * line.d, t * line.d_0
    root, root_bias = k.a - step, like(1, a) - step_0
    z_root = total(root * k.w, (1,)) + root_bias * k.b
    exists = np.asarray((bottom != like(0, a)) | (z == like(0, a)), dtype=bool)
    inside = exists & _inside(k, line, t, bottom, root)
    points = []
    for row, chosen_k in enumerate(chosen):
        arrays = (a[0], k.w[row], k.feeds[row], root[row], (step * k.w * c[:, None])[row])
        sampled = [array.reshape(a.shape[1:]) for array in arrays]
        points.append(
            RootPoint(
                layer=layer,
                rule=rule,
                neuron=tuple(int(i) for i in np.unravel_index(int(chosen_k), shape[1:])),
                a=sampled[0],
                weight=sampled[1],
                feeds=sampled[2],
                b=k.b[row],
                z=z[row],
                relevance=R[row],
                c=c[row],
                t=t[row],
                root=sampled[3],
                root_bias=root_bias[row],
                z_root=z_root[row],
                terms=sampled[4],
                bias=step_0[row] * k.b[row] * c[row],
                zero_order=z_root[row] * c[row],
                exists=bool(exists[row]),
                in_domain=bool(inside[row]),
                active=bool(z[row] > like(0, a)),
            )
        )
    return tuple(points)


def _divided(top: Array, bottom: Array) -> Array:
    """top / bottom, 0 where the bottom is 0."""
    out = np.asarray(top * like(0, top))
    np.divide(top, bottom, out=out, where=np.asarray(bottom != like(0, top), dtype=bool))
    return out


def _refuse_hinge(z: Array, R: Array, chosen: Array, shape: Shape) -> None:
    """Raise where no slope c_k makes the relevance model R_k."""
    bad = np.flatnonzero((z == like(0, z)) & (like(0, z) != R))
    if bad.size:
        index = tuple(int(i) for i in np.unravel_index(int(chosen[bad[0]]), shape[1:]))
        raise DomainError(
            f"neuron {index} has z_k = 0 and R_k = {R[bad[0]]}: no c_k solves R_k = z_k c_k, so there is no expansion"
        )


def _inside(k: Neurons, line: Line, t: Array, bottom: Array, root: Array) -> Array:
    """Whether each root is in its domain and on its segment; in floats, up to the rounding of t and of the root."""
    slack_t, slack = t * like(0, t), root * like(0, t)
    if not is_exact(t):
        eps = np.finfo(t.dtype).eps
        n = 2 + k.feeds.sum(axis=1)
        moved = abs(t) * (abs(line.d * k.w).sum(axis=1) + abs(line.d_0 * k.b))
        summed = abs(k.a * k.w).sum(axis=1) + abs(k.b) + moved
        slack_t = 2 * n * eps * (abs(t) + _divided(summed, abs(bottom)))
        slack = slack_t[:, None] * abs(line.d) + eps * (abs(root) + abs(t[:, None] * line.d))
    inside = np.ones(t.shape, dtype=bool)
    if line.ends:
        inside &= np.asarray((t >= -slack_t) & (t <= like(1, t) + slack_t), dtype=bool)
    # Neurons that do not feed k have not moved: whether they are in the domain is not this root's business.
    if line.low is not None:
        inside &= np.asarray((root >= line.low - slack) | ~k.feeds, dtype=bool).all(axis=1)
    if line.high is not None:
        inside &= np.asarray((root <= line.high + slack) | ~k.feeds, dtype=bool).all(axis=1)
    return inside
