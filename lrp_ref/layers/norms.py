"""Normalisations whose statistics come from the input itself: LRN, Instance-, Layer- and GroupNorm."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, check_number, check_type, integer, is_exact, like, square_root, sum_to, zeros
from ..errors import ExactnessError, NonFiniteError, ParameterError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .base import Layer, Linear, need_arity, need_rank
from .linear import broadcast_sample


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LRN(Layer):
    r"""Local response normalisation across channels, :math:`z_c = a_c / (k + \frac{\alpha}{n} \sum_{c'} a_{c'}^2)^\beta`.

    The sum goes over ⌊(n−1)/2⌋ channels below c and ⌈(n−1)/2⌉ above (Krizhevsky et al. 2012, §3.3, with ONNX's and Caffe's α/n).

    Parameters
    ----------
    size : n
    alpha, beta, k : the constants of the formula
    """

    size: int = 5
    alpha: Any = 1e-4
    beta: Any = 0.75
    k: Any = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "size", integer(self.size, "LRN.size", 1))
        for name in ("alpha", "beta", "k"):
            check_number(getattr(self, name), f"LRN.{name}")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], 2, "(N, C, …)", max(2, len(inputs[0])))
        return inputs[0]

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        a = inputs[0]
        if is_exact(a) and self.beta != int(self.beta):
            raise ExactnessError("LRN of rationals is not rational unless beta is a whole number; use float64 arrays")
        check_type(a)
        return np.asarray(a / self._base(a) ** like(self.beta, a))

    def expanded(self, a: Array) -> tuple[Array, Array]:
        r"""The expansion of each output between the input and the channel alone (Binder et al. 2016).

        Its own term :math:`a_k / (\kappa + \frac{\alpha}{n} a_k^2)^\beta`, and what the square of each neighbour is multiplied
        by, :math:`-2 \beta \frac{\alpha}{n} a_k / B_k^{\beta + 1}`.

        Parameters
        ----------
        a : the input, (N, C, …)

        Returns
        -------
        tuple of two arrays (N, C, …)
            The own term of each channel, and the factor of its neighbours' squares.
        """
        share, beta = like(self.alpha, a) / like(self.size, a), like(self.beta, a)
        own = a / (like(self.k, a) + share * a * a) ** beta
        return np.asarray(own), np.asarray(-like(2, a) * beta * share * a / self._base(a) ** (beta + like(1, a)))

    def neighbours(self, a: Array, mirrored: bool = False, itself: bool = False) -> Array:
        """The sum over each channel's neighbours, an array (N, C, …): the window of `size` channels that normalises it.

        Parameters
        ----------
        a : the numbers that are summed, (N, C, …), such as a² or the relevance that the neighbours are to get
        mirrored : False: over the channels in the window of c; True: over those whose window holds c, which is the transpose; the
            two differ where `size` is even
        itself : whether c itself is in the sum
        """
        below, above = (self.size - 1) // 2, self.size // 2
        below, above = (above, below) if mirrored else (below, above)
        channels, total = a.shape[1], zeros(a.shape, a)
        for step in range(-min(below, channels - 1), min(above, channels - 1) + 1):
            if step or itself:
                total[:, max(0, -step) : channels - max(0, step)] += a[:, max(0, step) : channels + min(0, step)]
        return total

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        # With B = k + (α/n) Σ a²: ∂z_c/∂a_j = δ_cj B_c^(−β) − 2 (α/n) β a_j z_c / B_c for j in c's window.
        a = inputs[0]
        base = self._base(a)
        others = self.neighbours(upper * output / base, mirrored=True, itself=True)
        factor = like(2 * self.beta, a) * like(self.alpha, a) / like(self.size, a)
        return (np.asarray(upper / base ** like(self.beta, a) - factor * a * others),)

    def _base(self, a: Array) -> Array:
        """k + (α/n) Σ a² of every channel's neighbours."""
        total = _finite(self.neighbours(a * a, itself=True), a, "the sum of neighbours' squares")
        return like(self.k, a) + like(self.alpha, a) / like(self.size, a) * total


def _finite(statistic: Array, a: Array, what: str) -> Array:
    """What a finite input is divided by; where it overflowed the output would be 0 without a word (`CONV-FLOAT-RANGE`)."""
    if not is_exact(a) and not np.isfinite(statistic).all() and np.isfinite(a).all():
        raise NonFiniteError(f"{what} overflows {a.dtype}; rescale the inputs, or use a wider number type")
    return statistic


def _group(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape with one entry for each group, whose elements lie along `axes`."""
    return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))


def _group_mean(values: Array, axes: tuple[int, ...]) -> Array:
    """The mean of every group."""
    count = like(math.prod(values.shape[axis] for axis in axes), values)
    return np.asarray(sum_to(values, _group(values.shape, axes)) / count)


class Normalised(Layer):
    r"""A normalisation by mean and variance of groups: :math:`z = \gamma\,(a - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta`."""

    scale: Any
    shift: Any
    epsilon: Any
    #: δ, added to the deviation outside of the root, and what is taken off the number of elements that the variance divides by.
    outside: Any = 0
    correction: Any = 0
    #: Whether the mean of a group is taken off.
    centred: ClassVar[bool] = True
    #: Whether what is taken off is a linear map of the group, as a mean is.
    linear_mean: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.epsilon, f"{type(self).__name__}.epsilon", 0)

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        """A shape of the same elements, and its axes that are normalised over."""
        raise NotImplementedError

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        """γ and β, broadcastable against `shape`."""
        raise NotImplementedError

    def statistics(self, a: Array) -> tuple[Array, Array]:
        """Mean and 1/√(σ² + ε) of every element's group, broadcastable against the grouped input."""
        grouped, axes = self._grouped(a.shape)
        values = a.reshape(grouped)
        mean = _group_mean(values, axes) if self.centred else zeros(_group(grouped, axes), a)
        deviation = self._deviation(values - mean if self.centred else values, axes, a)
        return mean, np.asarray(like(1, a) / (deviation + like(self.outside, a) if self.outside else deviation))

    def _deviation(self, centred: Array, axes: tuple[int, ...], a: Array) -> Array:
        """√(σ² + ε) of every group, from what is left beside its mean."""
        variance = _finite(_group_mean(centred * centred, axes), a, "the variance of inputs that are normalised together")
        if self.correction:
            variance = variance * self._corrected(centred, axes)
        return square_root(variance + like(self.epsilon, a))

    def _corrected(self, values: Array, axes: tuple[int, ...]) -> Array:
        """n/(n − 1), or 1."""
        count = math.prod(values.shape[axis] for axis in axes)
        return like(count, values) / like(count - self.correction, values)

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        a = inputs[0]
        grouped, _ = self._grouped(a.shape)
        mean, inverse = self.statistics(a)
        z = ((a.reshape(grouped) - mean) * inverse).reshape(a.shape)
        scale, shift = self._affine(a.shape)
        z = z if scale is None else z * like(scale, a)
        return np.asarray(z if shift is None else z + like(shift, a))

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        # With n = (a − μ)/(σ + δ) and g = γ·upper: (g − mean(g) − n·mean(g·n)·(σ + δ)/σ) / (σ + δ) over each group.
        a = inputs[0]
        grouped, axes = self._grouped(a.shape)
        mean, inverse = self.statistics(a)
        scale, _ = self._affine(a.shape)
        g = (upper if scale is None else upper * like(scale, a)).reshape(grouped)
        n = (a.reshape(grouped) - mean) * inverse
        centred = g - _group_mean(g, axes) if self.centred else g
        inner = _group_mean(g * n, axes) if not (self.outside or self.correction) else self._slope(g, n, inverse, axes, a)
        lower = (centred - n * inner) * inverse
        return (np.asarray(lower.reshape(a.shape)),)

    def _slope(self, g: Array, n: Array, inverse: Array, axes: tuple[int, ...], a: Array) -> Array:
        """mean(g·n)·(σ + δ)/σ, and n/(n − 1) times that of a corrected variance; 0 for a group of equal numbers."""
        none = like(0, a)
        deviation = like(1, a) / inverse - like(self.outside, a)
        whole = _group_mean(g * n, axes) * self._corrected(n, axes)
        flat = deviation <= none
        return np.where(flat, none, whole / (np.where(flat, like(1, a), deviation) * inverse))

    def with_constant_statistics(self, a: Array) -> Linear:
        """The layer as a linear one for the input `a`: mean and deviation held at that input's."""
        weight, shift, mean = self._weight(a)
        if not self.centred:
            return _ElementwiseAffine(weight, shift)
        return _ElementwiseAffine(weight, np.asarray((shift if shift is not None else zeros(a.shape, a)) - mean * weight))

    def with_constant_deviation(self, a: Array) -> Linear:
        """The layer as a linear one for the input `a`: the deviation alone held at that input's."""
        if not self.centred:
            return self.with_constant_statistics(a)
        weight, shift, _ = self._weight(a)
        return _CentredAffine(weight, shift, *self._grouped(a.shape))

    def _weight(self, a: Array) -> tuple[Array, Array | None, Array]:
        """γ/√(σ² + ε) of every element, β, and every element's mean; all of a's shape."""
        grouped, _ = self._grouped(a.shape)
        mean, inverse = (np.broadcast_to(part, grouped).reshape(a.shape) for part in self.statistics(a))
        scale, shift = self._affine(a.shape)
        weight = inverse if scale is None else inverse * like(scale, a)
        return np.asarray(weight), None if shift is None else np.broadcast_to(like(shift, a), a.shape), mean

    def _per_channel(self, shape: Shape) -> Shape:
        need_rank(shape, 3, "(N, C, …)", max(3, len(shape)))
        for name, value in self.parameters.items():
            if value.shape != (shape[1],):
                raise ShapeError(f"{type(self).__name__}.{name} of shape {value.shape} does not fit {shape[1]} channels")
        return shape

    def _on_channels(self, shape: Shape) -> tuple[Array | None, Array | None]:
        ones = (1,) * (len(shape) - 2)
        factors = [None if value is None else np.asarray(value).reshape(-1, *ones) for value in (self.scale, self.shift)]
        return factors[0], factors[1]


@lazy_dataclass(frozen=True, eq=False, repr=False)
class _ElementwiseAffine(Linear):
    """z = a·w + b elementwise, with a weight and a bias for every element of every sample."""

    weight: Any
    bias: Any

    @property
    def weights(self) -> tuple[Array, ...]:
        return (self.weight,)

    def offset(self, ndim: int) -> Array | None:
        return None if self.bias is None else np.asarray(self.bias)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return inputs[0]

    def map(self, a: Array, weight: Array) -> Array:
        return np.asarray(a * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return np.asarray(s * weight)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class _CentredAffine(_ElementwiseAffine):
    """z = (a − mean of a's group)·w + b: every output of a group reads all of the group."""

    grouped: Shape
    axes: tuple[int, ...]

    def _count(self, a: Array) -> Array:
        return like(math.prod(self.grouped[axis] for axis in self.axes), a)

    def _mean(self, a: Array) -> Array:
        """The mean of every element's group, broadcast to a's shape."""
        return np.broadcast_to(_group_mean(a.reshape(self.grouped), self.axes), self.grouped).reshape(a.shape)

    def map(self, a: Array, weight: Array) -> Array:
        return np.asarray((a - self._mean(a)) * weight)

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        moved = s * weight
        return np.asarray(moved - self._mean(moved))

    def map_absolute(self, a: Array, weight: Array) -> Array:
        # Σ_j |a_j| |δ_jk − 1/n|: 1 − 1/n for the element itself, 1/n for each other
        size = abs(a)
        return np.asarray((size * (like(1, a) - like(2, a) / self._count(a)) + self._mean(size)) * abs(weight))


def _need_elements(shape: Shape, axes: tuple[int, ...]) -> None:
    if not math.prod(shape[axis] for axis in axes):
        raise ShapeError(f"nothing to normalise over in an input of shape {shape}")


@lazy_dataclass(frozen=True, eq=False, repr=False)
class InstanceNorm(Normalised):
    """Each channel of each sample normalised over its spatial axes (Ulyanov et al. 2016).

    Parameters
    ----------
    scale, shift : (C,) γ and β; None: 1 and 0
    epsilon : inside the square root
    """

    scale: Any = None
    shift: Any = None
    epsilon: Any = 1e-5
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "shift")

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        shape = self._per_channel(inputs[0])
        _need_elements(shape, tuple(range(2, len(shape))))
        return shape

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        return shape, tuple(range(2, len(shape)))

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        return self._on_channels(shape)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class GroupNorm(Normalised):
    """Groups of channels of each sample normalised together (Wu & He 2018).

    Parameters
    ----------
    groups : divides the channels
    scale, shift : (C,) γ and β; None: 1 and 0
    epsilon : inside the square root
    """

    groups: int = 1
    scale: Any = None
    shift: Any = None
    epsilon: Any = 1e-5
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "groups", integer(self.groups, "GroupNorm.groups", 1))

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        shape = self._per_channel(inputs[0])
        if shape[1] % self.groups:
            raise ShapeError(f"GroupNorm.groups = {self.groups} must divide the {shape[1]} channels")
        _need_elements(shape, tuple(range(1, len(shape))))
        return shape

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        grouped = (shape[0], self.groups, shape[1] // self.groups, *shape[2:])
        return grouped, tuple(range(2, len(grouped)))

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        return self._on_channels(shape)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LastAxes(Normalised):
    """A normalisation of each sample over its last `axes` axes; `scale` and `shift` broadcast against these."""

    axes: int = 1
    scale: Any = None
    shift: Any = None
    epsilon: Any = 1e-5
    outside: Any = 0.0
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "shift")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axes", integer(self.axes, f"{type(self).__name__}.axes", 1))
        check_number(self.outside, f"{type(self).__name__}.outside", 0)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        if self.axes >= len(inputs[0]):
            raise ShapeError(f"{self.axes} axes to normalise over do not exist beside a batch axis in {inputs[0]}")
        last = inputs[0][-self.axes :]
        _need_elements(inputs[0], tuple(range(len(inputs[0]) - self.axes, len(inputs[0]))))
        for name, value in self.parameters.items():
            if broadcast_sample(value.shape, last) != last:
                kind = type(self).__name__
                raise ParameterError(f"{kind}.{name} of shape {value.shape} does not fit the normalised axes {last}")
        return inputs[0]

    def _grouped(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        return shape, tuple(range(len(shape) - self.axes, len(shape)))

    def _affine(self, shape: Shape) -> tuple[Array | None, Array | None]:
        return self.scale, self.shift


@lazy_dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(LastAxes):
    r"""Each sample normalised over its last `axes` axes (Ba et al. 2016).

    .. math:: z = \gamma\,(a - \mu)/(\sqrt{\sigma^2 + \epsilon} + \delta) + \beta

    Parameters
    ----------
    axes : how many of the last axes are normalised together; the batch axis may not be among them
    scale, shift : broadcast against these axes; None: 1 and 0
    epsilon : inside the square root
    outside : δ, outside of it
    correction : σ² is the sum of squares divided by n − correction: 0, or 1 for the variance of a sample
    """

    correction: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.correction not in (0, 1):
            raise ParameterError(f"LayerNorm.correction must be 0 or 1, found {self.correction!r}")

    def shape(self, *inputs: Shape) -> Shape:
        shape = super().shape(*inputs)
        if math.prod(shape[-self.axes :]) <= self.correction:
            raise ShapeError("one number has no variance with correction 1")
        return shape
