"""The values that an input of a network can take, and what the layers in front of a rule make of these bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array, Shape, like, parameter
from ..errors import DomainError
from ..layers.base import Layer
from ..layers.linear import Scale
from ..layers.normalization import BatchNorm
from ..layers.shape import Flatten, Identity, Pad, Rearrangement, Reshape, Transpose
from ..lazy_dataclass import lazy_dataclass


@lazy_dataclass(frozen=True, eq=False)
class Domain:
    """The values that an input can take: low ≤ x ≤ high, numbers or arrays that broadcast against one sample.

    Parameters
    ----------
    low, high : numbers, or arrays that broadcast against one sample; arrays are copied

    Raises
    ------
    DomainError
        Where low > high somewhere, or their shapes do not fit.
    NumberTypeError, NonFiniteError
        Where a bound is no finite number.
    """

    low: Any
    high: Any

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, parameter(getattr(self, name), f"Domain.{name}"))
        try:
            ordered = bool(np.all(self.low <= self.high))
        except ValueError:
            raise DomainError(f"low and high have shapes {self.low.shape} and {self.high.shape}, which do not fit") from None
        if not ordered:
            raise DomainError(f"a domain needs low ≤ high, found low = {self.low}, high = {self.high}")

    @classmethod
    def of(cls, value: Any) -> Domain:
        """A domain from a `Domain` or a (low, high) pair.

        Parameters
        ----------
        value : a `Domain`, which is returned, or a pair (low, high) of numbers or of arrays that broadcast against one sample

        Raises
        ------
        DomainError
            Where it is neither, or low > high somewhere.
        """
        if isinstance(value, Domain):
            return value
        try:
            low, high = value
        except (TypeError, ValueError):
            raise DomainError(f"a domain is a pair (low, high), found {value!r}") from None
        return cls(low, high)

    def astype(self, dtype: Any) -> Domain:
        """The same bounds in another number type.

        Parameters
        ----------
        dtype : float32, float64, or `object` for exact rationals

        Raises
        ------
        NumberTypeError
            Where it is another number type.
        """
        target = np.empty(0, dtype=dtype)
        return Domain(like(self.low, target), like(self.high, target))

    def same_as(self, other: Domain) -> bool:
        """Whether the bounds are equal, element by element.

        Parameters
        ----------
        other : the domain to compare with; a number and an array full of it have different shapes, and are not the same
        """
        return np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)

    def fits(self, sample: Shape) -> bool:
        """Whether the bounds broadcast against one sample of this shape.

        Parameters
        ----------
        sample : the shape of one sample, without the batch axis
        """
        try:
            return all(np.broadcast_shapes(b.shape, sample) == sample for b in (self.low, self.high))
        except ValueError:
            return False

    def behind(self, layer: Layer, sample: Shape | None, rank: int | None) -> Domain:
        """The bounds of what `layer` makes of an input within these.

        Exact for elementwise affine layers, and for layers whose every output element is an input element or a constant; other
        layers are refused. The zeros that a Pad adds lie within the new bounds too (CONV-DOMAIN-LAYER).

        Parameters
        ----------
        layer : a layer of one input
        sample : the shape of one sample of that input; None: not known
        rank : how many axes that input has, batch axis included; None: not known

        Raises
        ------
        DomainError
            Where the layer is of another kind, or where the shape must be known and is not.
        """
        same_values = isinstance(layer, (Flatten, Reshape, Transpose)) and self.low.size == self.high.size == 1
        if same_values or isinstance(layer, Identity):
            return self
        if isinstance(layer, (Scale, BatchNorm)):
            ends = [_affine(layer, bound, rank) for bound in (self.low, self.high)]
            return Domain(np.minimum(*ends), np.maximum(*ends))
        if isinstance(layer, Pad):
            return self._padded(layer, sample, rank)
        if isinstance(layer, Rearrangement) and layer.arity == 1:
            return self._moved(layer, sample)
        raise DomainError("the domain gives no bounds for its output: give ZBox(low, high)")

    def _padded(self, layer: Pad, sample: Shape | None, rank: int | None) -> Domain:
        if any(self._varies(bound, rank) for bound in (self.low, self.high)):
            return self._moved(layer, sample)
        return Domain(*(f(b, like(0, b)) for f, b in ((np.minimum, self.low), (np.maximum, self.high))))

    @staticmethod
    def _varies(bound: Array, rank: int | None) -> bool:
        """Whether a bound differs, or may differ, along spatial axes."""
        if rank is None:
            return bound.size > 1
        spatial = bound.shape[max(0, bound.ndim - (rank - 2)) :]
        return any(extent != 1 for extent in spatial)

    def _moved(self, layer: Rearrangement, sample: Shape | None) -> Domain:
        if sample is None:
            raise DomainError(
                "the bounds differ between elements, and without the input's shape it is not known where the layer moves them: "
                "give the model input_shape=, or ZBox(low, high)"
            )
        return Domain(*(layer.forward(np.broadcast_to(b, (1, *sample)))[0] for b in (self.low, self.high)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Domain, (self.low, self.high)

    def __repr__(self) -> str:
        low, high = (b.item() if b.ndim == 0 else f"array{list(b.shape)}" for b in (self.low, self.high))
        return f"[{low}, {high}]"


def _affine(layer: Scale | BatchNorm, bound: Array, rank: int | None) -> Array:
    """The image of a bound, in the layer's own number type: rounded as the activations are, it bounds them."""
    if isinstance(layer, Scale):
        weight, bias = layer.weight, layer.bias
    else:
        weight, bias = _on_sample(layer.factor, rank), _on_sample(layer.translation, rank)
    z = np.asarray(like(bound, weight) * weight)
    return z if bias is None else np.asarray(z + like(bias, z))


def _on_sample(values: Array, rank: int | None) -> Array:
    """(C,) shaped to broadcast against one sample (C, *spatial) of an input with `rank` axes."""
    if values.size == 1:
        return values.reshape(())
    if rank is None:
        raise DomainError(
            "without the input's shape it is not known which axis has channels: give the model input_shape=, or ZBox(low, high)"
        )
    return values.reshape(-1, *(1,) * (rank - 2))
