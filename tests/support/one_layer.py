"""One layer under one rule through the Explainer, in every surrounding that changes how a backend serves it.

A backend chooses its step by what is known of the layer's input (behind a ReLU it is ≥ 0), by what is behind the layer (a
ReLU is served together with it) and by what arrives from above (relevance, or the quotient c of R = a·c).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from lrp_ref import Composite, Explainer, Explanation, Model, Node, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, Shape
from support.strategies import Case

PRECISIONS = ("float64", "float32", "fast")
DTYPES = {"float64": np.float64, "float32": np.float32, "fast": np.float32}
#: u, the unit round-off.
ROUNDOFF = {name: float(np.finfo(dtype).eps) / 2 for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Around:
    """What stands around the layer.

    Attributes
    ----------
    front : a ReLU in front of every input
    behind : a ReLU behind the layer
    above : on top an identity under LRP-0, which hands on c = R/z where a backend can take it; nothing where z = 0
    """

    front: bool = False
    behind: bool = False
    above: bool = False


AROUND = tuple(Around(*flags) for flags in product((False, True), repeat=3))


def model_of(case: Case, around: Around) -> Model:
    """The layer of a case as a model; its inputs are called x0, x1, …"""
    names = tuple(f"x{i}" for i in range(len(case.inputs)))
    nodes = [Node(f"front{i}", L.ReLU(), (name,)) for i, name in enumerate(names)] if around.front else []
    below = tuple(node.name for node in nodes) or names
    nodes.append(Node("layer", case.layer, below))
    if around.behind:
        nodes.append(Node("behind", L.ReLU(), (nodes[-1].name,)))
    if around.above:
        nodes.append(Node("above", L.Add(1), (nodes[-1].name,)))
    return Model(tuple(nodes), names)


def composite_of(rule: rules.Rule, around: Around) -> Composite:
    above = (("above", rules.Zero()),) if around.above else ()
    return Composite((("layer", rule), *above, (L.ReLU, rules.Pass())))


def behind_relu(case: Case) -> Case:
    """The case with inputs that a ReLU can give."""
    return replace(case, inputs=tuple(np.maximum(a, 0.0) for a in case.inputs))


def explainer(case: Case, rule: rules.Rule, around: Around, **options: Any) -> Explainer:
    return Explainer(model_of(case, around), composite_of(rule, around), canonize=False, **options)


def fed(case: Case, around: Around) -> dict[str, Array]:
    """What the model is fed so that the layer gets its inputs: in front of a ReLU, −1 for 0."""
    return {f"x{i}": np.where(a == 0, -1.0, a) if around.front else a for i, a in enumerate(case.inputs)}


def explained(case: Case, rule: rules.Rule, around: Around, **options: Any) -> Explanation:
    """The explanation that starts with the case's relevance at the end of the model."""
    return explainer(case, rule, around, keep="all", **options)(fed(case, around), start=case.relevance)


def lower(e: Explanation, case: Case, around: Around) -> list[Array]:
    """R_j of every input of the layer."""
    return [e.at(f"front{i}" if around.front else f"x{i}") for i in range(len(case.inputs))]


def arriving(case: Case, around: Around) -> Array:
    """The relevance that arrives at the layer."""
    if not around.above:
        return case.relevance
    z = case.layer.forward(*case.inputs)
    return np.where(z > 0 if around.behind else z != 0, case.relevance, case.relevance * 0)


# ---- the rounding bound, without the oracle ----------------------------------------------------------------------------


def fan(layer: L.Layer, lower: Shape, upper: Shape) -> int:
    """n = 1 + the larger of fan-in and fan-out, from above."""
    if isinstance(layer, (L.Conv, L.ConvTranspose)):
        first, second = layer.weight.shape[0] // layer.groups, layer.weight.shape[1]
        return 1 + max(first, second) * math.prod(layer.weight.shape[2:])
    if isinstance(layer, L.Dense):
        return 1 + max(layer.weight.shape)
    if hasattr(layer, "kernel"):
        return 1 + (math.prod(layer.kernel) if isinstance(layer.kernel, tuple) else layer.kernel ** (len(upper) - 2))
    return 1 + max(math.prod(lower[1:]), math.prod(upper[1:]), layer.arity)


def absolute(layer: L.Linear, found: rules.shares.Quotient, inputs: tuple[Array, ...]) -> Array:
    """Σ|terms| of a share's denominator, its bias and stabiliser included."""
    bias = found.position[0].bias
    total = abs(found.e) + (0 if bias is None else abs(bias))
    for a, share in zip(inputs, found.position, strict=True):
        for term in share.terms:
            total = total + layer.map_absolute(term.feature(a), term.weight)
    return np.asarray(total)


def quotients(case: Case, rule: rules.LinearRule, relevance: Array) -> tuple[rules.shares.Quotient, ...]:
    found, _ = rule.divided(case.layer, case.inputs, case.layer.forward(*case.inputs), relevance)
    return tuple(found)


def settled(case: Case, rule: rules.LinearRule, u: float) -> Case:
    """The case without the relevance of neurons of which rounding by u may turn a sign or a denominator (n·u·κ ≥ 1/8)."""
    layer, inputs, relevance = case.layer, case.inputs, case.relevance
    z = layer.forward(*inputs)
    n = fan(layer, inputs[0].shape, z.shape)
    plain = quotients(case, rules.Zero(), np.ones_like(z))[0]
    unsure = [(absolute(layer, plain, inputs), z)]
    for found in quotients(case, rule, np.ones_like(z)):
        size = absolute(layer, found, inputs)
        bottom = np.divide(float(found.position[0].coefficient), found.s, out=np.zeros_like(z), where=found.s != 0)
        unsure.append((np.where(bottom == 0, 0.0, size), bottom))
    for size, bottom in unsure:
        relevance = np.where((size > 0) & (8 * n * u * size >= abs(bottom)), 0.0, relevance)
    return replace(case, relevance=relevance)


def tolerance(case: Case, rule: rules.LinearRule, around: Around, exact: bool = False) -> tuple[Array, ...]:
    """4·n·Σ_k |R_{j←k}|·(1 + κ_k), to be multiplied by the unit round-off: how far each R_j may be from the exact one.

    Where the denominators are `exact`, κ plays no part.

    From the shares: Σ_q Σ_t |f_t(a_j)| · adjoint(|s^q|·(1 + κ^q), |w_t|), with κ^q = Σ|terms| / |denominator|.
    """
    layer, inputs = case.layer, case.inputs
    R = arriving(case, around)
    errors = [np.zeros_like(a) for a in inputs]
    units = quotients(case, rule, np.ones_like(R))
    for found, unit in zip(quotients(case, rule, R), units, strict=True):
        kappa = absolute(layer, found, inputs) * abs(unit.s) / abs(float(found.position[0].coefficient))
        weighed = abs(found.s) if exact else abs(found.s) * (1 + kappa)
        for i, (a, share) in enumerate(zip(inputs, found.position, strict=True)):
            for term in share.terms:
                errors[i] += abs(term.feature(a)) * layer.adjoint(weighed, abs(term.weight), a.shape)
    n = fan(layer, inputs[0].shape, case.relevance.shape)
    return tuple(4 * n * error for error in errors)
