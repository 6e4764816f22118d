"""Convolution and its transpose in 1 to 3 dimensions: one pair of maps, used both ways round."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array, Shape, integer, zeros
from ..errors import ParameterError, ShapeError
from ..forks import cached_property
from ..lazy_dataclass import lazy_dataclass
from .base import Linear, need_arity, need_rank
from .ties import gathered, scattered, settle_filters, settle_windows
from .window import Window, gather, paddings, per_axis, scatter

#: Up to so many products of a channel below and one above, a group's taps are added one by one.
NARROW = 2


def correlate(a: Array, weight: Array, window: Window, groups: int, out: Shape) -> Array:
    """map = matmul ∘ gather: (N, lower, *spatial) → (N, upper, *out)."""
    upper = weight.shape[0]
    if 0 in a.shape or 0 in weight.shape:
        return zeros((a.shape[0], upper, *out), a)
    if narrow(weight, groups):
        return correlate_narrow(a, weight.reshape(groups, upper // groups, -1), window, out)
    columns = gather(a, window, out).reshape(a.shape[0], groups, -1, int(np.prod(out)))
    matrix = weight.reshape(groups, upper // groups, -1)
    return np.asarray(np.matmul(matrix, columns).reshape(a.shape[0], upper, *out))


def narrow(weight: Array, groups: int) -> bool:
    """Whether a convolution's groups have so few channels that there is no matrix to speak of (depthwise ones)."""
    return int(weight.shape[1] * (weight.shape[0] // groups)) <= NARROW


def correlate_narrow(a: Array, matrix: Array, window: Window, out: Shape) -> Array:
    """`correlate` tap by tap, each number in the same order wherever it is; matrix (groups, upper/groups, lower·taps/groups)."""
    groups, upper, terms = matrix.shape
    apart = (groups, terms // window.taps)
    z = zeros((a.shape[0], groups, upper, *out), a)
    padded = zeros((groups * apart[1], *window.padded(out)), a)[None]
    in_input, in_padded = window.inside(a.shape[2:], out)
    factors = matrix.reshape(groups, upper, *apart[1:], window.taps, *(1 for _ in out))
    for sample, total in zip(a, z, strict=True):  # one by one, for they stay in the cache
        padded[in_padded] = sample[None][in_input]
        for tap, cells in enumerate(window.slices(out)):
            seen = padded[cells].reshape(*apart, *out)
            for j, k in np.ndindex(apart[1], upper):
                total[:, k] += factors[:, k, j, tap] * seen[:, j]
    return np.asarray(z.reshape(a.shape[0], groups * upper, *out))


def correlate_adjoint(s: Array, weight: Array, window: Window, groups: int, shape: Shape) -> Array:
    """adjoint = scatter ∘ matmulᵀ: (N, upper, *out) → `shape` = (N, lower, *spatial)."""
    upper, out = weight.shape[0], s.shape[2:]
    if 0 in s.shape or 0 in weight.shape:
        return zeros(shape, s)
    rows = np.ascontiguousarray(s).reshape(s.shape[0], groups, upper // groups, -1)
    matrix = weight.reshape(groups, upper // groups, -1).swapaxes(1, 2)
    columns = np.matmul(matrix, rows).reshape(s.shape[0], shape[1], window.taps, *out)
    return scatter(columns, window, shape)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class _Convolution(Linear):
    weight: Any
    bias: Any = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    parameter_names: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__name__
        if not 3 <= self.weight.ndim <= 5:
            raise ShapeError(f"{kind}.weight must have 2 channel and 1 to 3 kernel axes, found {self.weight.shape}")
        if 0 in self.weight.shape[2:]:
            raise ShapeError(f"{kind}.weight has an empty kernel: {self.weight.shape}")
        for name in ("stride", "dilation"):
            object.__setattr__(self, name, per_axis(getattr(self, name), name, self.dims))
        object.__setattr__(self, "padding", paddings(self.padding, self.dims))
        object.__setattr__(self, "groups", integer(self.groups, f"{kind}.groups", 1))
        if self.weight.shape[0] % self.groups:
            raise ParameterError(
                f"{kind}.groups must divide the {self.weight.shape[0]} channels of the weight's first axis, found {self.groups}"
            )
        if self.bias is not None and (self.bias.ndim not in (1, self.dims + 1) or self.bias.shape[0] != self.upper):
            raise ShapeError(
                f"{kind}.bias must be ({self.upper},), or a feature map ({self.upper}, *output), found {self.bias.shape}"
            )

    @property
    def dims(self) -> int:
        """How many spatial axes there are."""
        return int(self.weight.ndim) - 2

    @property
    @abstractmethod
    def lower(self) -> int:
        """Channels below."""

    @property
    @abstractmethod
    def upper(self) -> int:
        """Channels above."""

    @cached_property
    def window(self) -> Window:
        """Where the kernel sees its input."""
        return Window(self.weight.shape[2:], self.stride, self.padding, self.dilation)

    @property
    def weights(self) -> tuple[Array, ...]:
        return (self.weight,)

    def offset(self, ndim: int) -> Array | None:
        if self.bias is None:
            return None
        return np.asarray(self.bias if self.bias.ndim > 1 else self.bias.reshape(-1, *(1,) * self.dims))

    @abstractmethod
    def _outputs(self, spatial: Shape) -> Shape:
        """The extents of the output."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        need_rank(inputs[0], self.dims + 2, f"(N, {self.lower}, {', '.join('spatial' for _ in range(self.dims))})")
        if inputs[0][1] != self.lower:
            raise ShapeError(f"expected {self.lower} channels on axis 1, found shape {inputs[0]}")
        out = self._outputs(inputs[0][2:])
        if self.bias is not None and self.bias.ndim > 1 and self.bias.shape[1:] != out:
            raise ShapeError(
                f"the bias is a whole feature map of shape {self.bias.shape} (a batch norm in front of zero padding "
                f"was folded in), which fixes the input size; this input would give {out}"
            )
        return (inputs[0][0], self.upper, *out)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Conv(_Convolution):
    """Convolution (cross-correlation, as in every deep-learning framework), 1 to 3 dimensions.

    Parameters
    ----------
    weight : (upper, lower/groups, *kernel), which other libraries call (out, in/groups, *kernel)
    bias : (upper,), a feature map (upper, *output), or None
    stride, dilation : an int, or one per axis
    padding : an int, or one entry per axis, each an int or a (before, after) pair; zeros
    groups : divides both channel counts; groups = lower is depthwise
    """

    @property
    def lower(self) -> int:
        return int(self.weight.shape[1]) * self.groups

    @property
    def upper(self) -> int:
        return int(self.weight.shape[0])

    def _outputs(self, spatial: Shape) -> Shape:
        return self.window.outputs(spatial)

    def map(self, a: Array, weight: Array) -> Array:
        z = correlate(a, weight, self.window, self.groups, self.window.outputs(a.shape[2:]))
        filters = weight.reshape(self.groups, weight.shape[0] // self.groups, math.prod(weight.shape[1:]))
        if z.size:
            settle_filters(z.reshape(z.shape[0], *filters.shape[:2], -1), filters)
            self.settle(a, z)
        return z

    def settle(self, a: Array, *products: Array) -> None:
        r"""Make products equal, in place, where windows of one sample hold the same numbers: BLAS rounds equal rows differently.

        Parameters
        ----------
        a : the input whose windows are compared, (N, lower, \*spatial)
        products : arrays (N, upper, \*output) that are functions of these windows alone, such as z; they are changed
        """
        if not narrow(self.weight, self.groups):
            settle_windows(products, a, self.groups, gathered(self.window, products[0].shape[2:]))

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return correlate_adjoint(s, weight, self.window, self.groups, shape)


@lazy_dataclass(frozen=True, eq=False, repr=False)
class ConvTranspose(_Convolution):
    """Transposed convolution: the two maps of `Conv` exchanged.

    Parameters
    ----------
    weight : (lower, upper/groups, *kernel)
    bias : (upper,), a feature map (upper, *output), or None
    stride, dilation, padding, groups : those of the convolution that this one transposes
    output_padding : extra cells at the end of each axis, an int or one per axis; smaller than stride or dilation
    """

    output_padding: Any = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        extra = per_axis(self.output_padding, "output_padding", self.dims, low=0)
        object.__setattr__(self, "output_padding", extra)
        if any(e >= max(s, d) for e, s, d in zip(extra, self.stride, self.dilation, strict=True)):
            raise ParameterError(f"output_padding {extra} must be smaller than the stride or the dilation of each axis")

    @property
    def lower(self) -> int:
        return int(self.weight.shape[0])

    @property
    def upper(self) -> int:
        return int(self.weight.shape[1]) * self.groups

    def _outputs(self, spatial: Shape) -> Shape:
        out = tuple(
            (size - 1) * stride + self.window.extent(axis) - before - after + extra
            for axis, (size, stride, (before, after), extra) in enumerate(
                zip(spatial, self.stride, self.padding, self.output_padding, strict=True)
            )
        )
        if any(extent < 1 for extent in out):
            raise ShapeError(f"padding {self.padding} leaves nothing of an input of {spatial} cells")
        return out

    def map(self, a: Array, weight: Array) -> Array:
        shape = (a.shape[0], self.upper, *self._outputs(a.shape[2:]))
        z = correlate_adjoint(a, weight, self.window, self.groups, shape)
        self.settle(a, z)
        return z

    def settle(self, a: Array, *products: Array) -> None:
        r"""Make products equal, in place, where output cells of one sample are sums of the same numbers, as `Conv.settle` does.

        Parameters
        ----------
        a : the input whose cells are compared, (N, lower, \*spatial)
        products : arrays (N, upper, \*output) that are functions of these cells alone, such as z; they are changed
        """
        settle_windows(products, a, self.groups, scattered(self.window, products[0].shape[2:]))

    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        return correlate(s, weight, self.window, self.groups, shape[2:])
