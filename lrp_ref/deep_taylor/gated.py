"""The Taylor expansion of a gated product at its nearest root point (Arras et al. 2019, §11.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np

from ..arrays import Array, check_type, divide, frozen, is_exact, like, zeros
from ..errors import ParameterError, RuleError, ShapeError
from ..layers.activations import Activation, Sigmoid, Softmax, Tanh
from ..layers.base import Layer
from ..layers.shape import Identity


@dataclass(frozen=True, eq=False, repr=False)
class GatedProduct:
    """The relevance of products, expanded at (z_g, 0): R_p = `gate_term` + `signal_term` + `remainder`. Arrays have one shape.

    Attributes
    ----------
    gate, signal : z_g and z_s, before their activations
    value : σ(z_g) h(z_s)
    relevance : R_p
    c : c_p = R_p / value, the slope of the relevance model; 0 where the value is 0
    root_gate, root_signal : the root point, z_g and 0
    gate_term : R_g = σ'(z_g) h(0) c_p (z_g − z_g) = 0
    signal_term : R_s = σ(z_g) h'(0) c_p z_s, of a kinked h with the slope on the side of 0 where z_s is
    remainder : what the terms of higher order hold, and all of R_p where the value is 0
    """

    gate: Array
    signal: Array
    value: Array
    relevance: Array
    c: Array
    root_gate: Array
    root_signal: Array
    gate_term: Array
    signal_term: Array
    remainder: Array

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, frozen(getattr(self, field.name)))

    def __reduce__(self) -> tuple[Any, ...]:
        return GatedProduct, tuple(getattr(self, field.name) for field in fields(self))

    @property
    def distance(self) -> Array:
        """How far the root point is from (z_g, z_s): |z_s|. No root is nearer, because every root has z_s = 0."""
        return np.asarray(abs(self.signal))

    def __repr__(self) -> str:
        rows = [("z_g", self.gate), ("z_s", self.signal), ("value", self.value), ("R_p", self.relevance), ("c_p", self.c)]
        rows += [("R_g", self.gate_term), ("R_s", self.signal_term), ("remainder", self.remainder)]
        with np.printoptions(precision=6, threshold=8):
            lines = [f"  {name:<9}  {array}" for name, array in rows]
        return "\n".join(["GatedProduct at the root point (z_g, 0)", *lines])


def gated_product(
    gate: Any, signal: Any, relevance: Any, *, activation: Layer | None = None, gate_activation: Layer | None = None
) -> GatedProduct:
    r"""Expand the relevance of :math:`\sigma(z_g)\, h(z_s)` at its nearest root point, :math:`(z_g, 0)`.

    .. math::

        \hat R_p(z_g, z_s) = \sigma(z_g)\, h(z_s)\, c_p
            = \underbrace{0}_{R_g} + \underbrace{\sigma(z_g)\, h'(0)\, z_s\, c_p}_{R_s} + \dots

    Nothing goes to the gate. The signal takes all, :math:`R_s = R_p`, where h is linear on its side of 0 (the identity, a
    ReLU): that is LRP-all. A tanh saturates, and R_s exceeds R_p by what `remainder` says (Arras et al. 2019, §11.3.2).

    Parameters
    ----------
    gate, signal : z_g and z_s, the pre-activations, (N, …); they broadcast against each other
    relevance : R_p of the product, of their common shape
    activation : h, a layer with h(0) = 0 such as Tanh(), ReLU() or Identity(); None: Tanh()
    gate_activation : σ; None: Sigmoid()

    Raises
    ------
    RuleError
        Where h(0) is not 0, so that (z_g, 0) is no root: a sigmoid as the signal has none.
    ParameterError, ShapeError, ExactnessError
        Where an activation is none, shapes do not fit, or a function has no rational values.
    """
    squash, door = activation or Tanh(), gate_activation or Sigmoid()
    for layer in (squash, door):
        if not isinstance(layer, (Activation, Identity)) or isinstance(layer, Softmax):
            raise ParameterError(f"an activation is a function of one number such as Tanh(), found {layer!r}")
    z_g, z_s, R = _together(gate, signal, relevance)
    none = zeros(z_s.shape, z_s)
    if (squash.forward(none) != none).any():
        raise RuleError(f"{squash} is not 0 at 0, so that (z_g, 0) is no root of the product")
    opened = door.forward(z_g)
    value = np.asarray(opened * squash.forward(z_s))
    c = divide(R, value, value != none)
    term = np.asarray(opened * _slope(squash, z_s) * z_s * c)
    return GatedProduct(z_g, z_s, value, R, c, z_g, none, none, term, np.asarray(R - term))


def _together(gate: Any, signal: Any, relevance: Any) -> tuple[Array, Array, Array]:
    """The three in one number type and shape."""
    values = [np.atleast_1d(value) for value in (gate, signal, relevance)]
    exact = next((a for a in values if is_exact(a)), None)
    wide = np.zeros(0, np.result_type(np.float32, *values)) if exact is None else exact
    try:
        arrays = [like(a, wide) for a in values]
        check_type(wide)
        z_g, z_s = np.broadcast_arrays(*arrays[:2])
    except ValueError as error:
        raise ShapeError(f"the gate {values[0].shape} and the signal {values[1].shape} do not broadcast: {error}") from None
    if arrays[2].shape != z_g.shape:
        raise ShapeError(f"relevance must have the shape of the product, {z_g.shape}, found {arrays[2].shape}")
    return z_g, z_s, arrays[2]


def _slope(squash: Layer, z: Array) -> Array:
    """h'(0) on the side of 0 where z is: that of the smallest number there, where every kink but one at 0 is far away."""
    small = like(Fraction(1, 2**1000), z) if is_exact(z) else like(np.finfo(z.dtype).tiny, z)
    at = np.where(z < like(0, z), -small, small)
    (slope,) = squash.vjp((at,), squash.forward(at), np.broadcast_to(like(1, z), z.shape))
    return slope
