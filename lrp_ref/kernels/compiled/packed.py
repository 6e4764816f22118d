"""Weights as the C core takes them, and the products over them: `forward`, a layer's denominators; `backward`, their adjoints.

Arrays in here are channels last: (N, *spatial, C), contiguous, or a slice of the channels of what is. Outside, a step's arrays
have the layers' order, (N, C, *spatial), and keep this memory: the next step finds it as it is, and any other code reads it like
every strided array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arrays import Array, Exact, Relative, Shape, Signed, like
from ...layers.conv import Conv, ConvTranspose
from ...messages import MessageKind
from ...rules.denominators import least
from ...rules.terms import ALL, IDENTITY, NEGATIVE, NONNEGATIVE, ONE, POSITIVE, Above, Below, Feature
from ..numpy.passes import weighed
from .native import _core
from .product_plan import MAGNITUDE, PlannedShare, ProductPlan

_CODES = (
    (IDENTITY, _core.COPY),
    (POSITIVE, _core.POSITIVE),
    (NEGATIVE, _core.NEGATIVE),
    (MAGNITUDE, _core.MAGNITUDE),
    (ONE, _core.ONE),
)

#: Below so many channels the way down is a scatter, whose products stack the taps: a panel of the other kind is mostly empty.
FEW = 16


#: Arrays of so many bytes come from memory that is kept: what comes anew from the system has to be cleared.
SMALL = 1 << 16


#: By the axis of the channels and the number of axes: their order with that one at the end, and back.
_TURNED = {(axis, ndim): (*range(axis), *range(axis + 1, ndim), axis) for axis in (1, 2) for ndim in range(axis + 2, 9)}
_BACK = {(axis, ndim): (*range(axis), ndim - 1, *range(axis, ndim - 1)) for axis, ndim in _TURNED}


def channels_turned(x: Array, axis: int = 1) -> Array:
    """The axis of the channels at the end: a view."""
    return x.transpose(_TURNED[axis, x.ndim]) if x.ndim > axis + 1 else x


def channels_last(x: Array, axis: int = 1) -> Array:
    """The axis of the channels at the end, contiguous: no copy where the memory is so already."""
    x = channels_turned(x, axis)
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)


def cells_last(x: Array, axis: int = 1) -> Array:
    """The axis of the channels at the end: no copy where x is a slice of the channels of what is contiguous so."""
    x = channels_turned(x, axis)
    return x if lies_in_cells(x) else np.ascontiguousarray(x)


def lies_in_cells(x: Array) -> bool:
    """Whether x (…, C) is contiguous, or a slice of the channels of what is."""
    if x.flags.c_contiguous:
        return True
    expected, least = None, x.shape[-1] * x.itemsize
    if x.size == 0 or (x.shape[-1] > 1 and x.strides[-1] != x.itemsize):
        return False
    for extent, stride in zip(x.shape[-2::-1], x.strides[-2::-1], strict=True):
        if extent == 1:
            continue
        expected = stride if expected is None else expected
        if stride != expected or stride < least:
            return False
        expected *= extent
    return True


def finite(x: Array, threads: int) -> bool:
    """Whether no number of a message (N, targets, C, …) is infinite or NaN."""
    cells = x if lies_in_cells(x) else channels_turned(x, 2)
    return _core.finite(cells, threads) if lies_in_cells(cells) else bool(np.isfinite(x).all())


def least_size(x: Array, threads: int) -> float:
    """The least size of a number of x that is not 0."""
    cells = x if lies_in_cells(x) else channels_turned(x)
    return _core.least_size(cells, threads) if lies_in_cells(cells) else least(x)


def room_like(x: Array, shape: Shape | None = None) -> Array | None:
    """A new array of any content, its axes in memory in the order of those of x; None where NumPy's own are as fast."""
    shape = x.shape if shape is None else shape
    if math.prod(shape) * x.itemsize < SMALL:
        return None
    axes = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    room: Array = _core.new_array([shape[axis] for axis in axes], x.dtype)
    return room.transpose(sorted(range(x.ndim), key=axes.__getitem__))


def channels_first(x: Array, axis: int = 1) -> Array:
    """The inverse view."""
    return x if x.ndim <= axis + 1 else x.transpose(_BACK[axis, x.ndim])


def channels_last_constant(value: Any, template: Array, ndim: int) -> Array:
    """A constant that broadcasts against one sample (C, *spatial), as one that broadcasts against (*spatial, C)."""
    array = like(value, template)
    if array.ndim == 0:
        return array
    array = array.reshape((1,) * (ndim - array.ndim) + array.shape)
    return np.ascontiguousarray(array.transpose((*range(1, ndim), 0)))


def product_input(x: Array, feature: Feature) -> tuple[Array, int, Any]:
    """One part of a product's input, for the C core."""
    for known, code in _CODES:
        if feature is known:
            return x, code, None
    assert isinstance(feature, (Above, Below))
    bound = feature.low if isinstance(feature, Above) else feature.high
    return x, _core.MINUS, channels_last_constant(bound, x, x.ndim - 1)


def share_of(share: Any, product: int, bias: Array | None = None, from_magnitudes: bool = False) -> tuple[Any, ...]:
    """A `Share`, or what has its stabiliser, region, coefficient, as `_core.Epilogue` takes it, with the place of its product."""
    stabiliser, epsilon = _core.EXACT, 0.0
    if not isinstance(share.stabiliser, Exact):
        assert not isinstance(share.stabiliser, Relative)
        stabiliser = _core.SIGNED if isinstance(share.stabiliser, Signed) else _core.UNSIGNED
        epsilon = float(share.stabiliser.epsilon)
    where = _core.ALL if share.where is ALL else _core.NONNEGATIVE if share.where is NONNEGATIVE else _core.NEGATIVE_ONLY
    return product, from_magnitudes, bias, stabiliser, epsilon, where, float(share.coefficient)


def epilogue(
    columns: Sequence[PlannedShare], products: dict[int, int], bias: Array | None, relu_follows: bool, quotient: bool
) -> Any:
    """What the C core does with the products: `products` says where each column's is."""
    shares = []
    for position, column in enumerate(columns):
        bias_last = None if column.plain or column.share.bias is None else offset_last(column.share.bias)
        index = 0 if column.plain else products.get(position, -1)
        shares.append(share_of(column.share, index, bias_last, column.from_magnitudes))
    return _core.Epilogue(None if bias is None else offset_last(bias), relu_follows, quotient, shares)


def offset_last(offset: Array) -> Array:
    """A bias as a layer's `offset` gives it, (C,), (C, 1, …) or a feature map (C, *spatial), with channels last."""
    if offset.ndim == 1:
        return np.ascontiguousarray(offset)
    if all(extent == 1 for extent in offset.shape[1:]):
        return np.ascontiguousarray(offset.reshape(-1))
    return np.ascontiguousarray(offset.transpose((*range(1, offset.ndim), 0)))


class Rows:
    """Dense: products over the last axis. Holds the shares' own weights; the layer's is not copied."""

    def __init__(self, plan: ProductPlan) -> None:
        self._groups = [(g.features, [[_as_matrix(w) for w in weights] for weights in g.weights]) for g in plan.groups]
        self._backward = [[None if w is None else _as_matrix(w) for w in weights] for weights in plan.downward]
        self._held = [w for _, products in self._groups for weights in products for w in weights]
        self._held += [w for weights in self._backward for w in weights if w is not None]

    def arrays(self) -> list[Array]:
        """What is held beside the layer's own weight, and may be shared with it."""
        return self._held

    def forward(self, x: Array, epilogue: Any, threads: int) -> Any:
        """(output, factors, what is odd), or the products where `epilogue` is None."""
        products = []
        for features, weights in self._groups:
            inputs = [np.ascontiguousarray(feature(x)).reshape(-1, x.shape[-1]) for feature in features]
            for group_weights in weights:
                total = None
                for a, w in zip(inputs, group_weights, strict=True):
                    total = _core.dense(a, w, threads, total)
                assert total is not None
                products.append(total.reshape(*x.shape[:-1], total.shape[-1]))
        return products if epilogue is None else _core.epilogue(epilogue, products, threads)

    def backward(
        self, message: Array, takes: MessageKind, factors: Sequence[Array], shape: Shape, wanted: Array | None, threads: int
    ) -> list[Array]:
        """For each feature what comes down; message (N, T, …), factors (N, …), shape (N·T, *sample).

        Where `wanted` (N, …) is 0, so is what comes down, and is not looked for.
        """
        asked = None if wanted is None else self._asked(wanted, message.shape[1])
        quotients = [np.ascontiguousarray(weighed(message, factor, takes)).reshape(-1, message.shape[-1]) for factor in factors]
        messages = []
        for weights in self._backward:
            total = None
            for s, w in zip(quotients, weights, strict=True):
                if w is not None:
                    total = _core.dense(s, w.T, threads, total, asked)
            assert total is not None
            messages.append(total.reshape(*message.shape[:-1], total.shape[-1]))
        return messages

    def sizes(self, x: Array, terms: Sequence[Sequence[Any]], threads: int) -> list[Array | None]:
        """For each share Σ |terms| of its denominators; None where it has no terms here. Nothing is copied."""
        sizes: list[Array | None] = []
        for share_terms in terms:
            total = None
            for term in share_terms:
                a = np.ascontiguousarray(term.feature(x)).reshape(-1, x.shape[-1])
                total = _core.dense(a, _as_matrix(term.weight), threads, total, None, True)
            sizes.append(None if total is None else total.reshape(*x.shape[:-1], total.shape[-1]))
        return sizes

    def _asked(self, wanted: Array, targets: int) -> Array:
        """A row for each sample, or where a sample has several rows of its own for each target as well."""
        if wanted.ndim > 2 and targets > 1:
            wanted = np.repeat(wanted, targets, axis=0)
        return np.ascontiguousarray(wanted).reshape(-1, wanted.shape[-1])


def _as_matrix(w: Array) -> Array:
    return w if w.flags.c_contiguous or w.flags.f_contiguous else np.ascontiguousarray(w)


def _side_by_side(weights: list[Array]) -> Array:
    """Weights of several parts, one after the other on the axis of the lower channels; a view where there is one.

    The core reads weights in any order of memory, and keeps those of Winograd's algorithm: what is not copied is held once.
    """
    return weights[0] if len(weights) == 1 else np.concatenate(weights, axis=2)


def fan_in(layer: Any) -> int:
    """How many terms a denominator has; of a transposed convolution no fewer."""
    shape = layer.weight.shape
    if isinstance(layer, Conv):
        return math.prod(shape[1:])
    return int(shape[0] // layer.groups if isinstance(layer, ConvTranspose) else shape[0])


class Taps:
    """Products with the weights of a convolution or its transpose."""

    def __init__(self, layer: Conv | ConvTranspose) -> None:
        self._layer, self._transposed, window = layer, isinstance(layer, ConvTranspose), layer.window
        self._before = tuple(first for first, _ in window.padding)
        self._turned = tuple(window.extent(axis) - 1 - first for axis, first in enumerate(self._before))

    def _upward(self, weight: Array) -> Array:
        """(groups, upper, lower, *kernel)."""
        groups = self._layer.groups
        w = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        return w.swapaxes(1, 2) if self._transposed else w

    def _product(self, weights: list[Array], spreads: bool, algorithm: int, threads: int, ties: bool = False) -> Any:
        """Gathering is a convolution; so is spreading with stride 1, with the kernel turned round."""
        window = self._layer.window
        if not spreads:
            return _core.Convolution(weights, window.stride, window.dilation, algorithm, threads, ties)
        if any(step != 1 for step in window.stride) or sum(w.shape[0] * w.shape[1] for w in weights) < FEW:
            return _core.Scatter(weights, window.stride, window.dilation, threads)
        turned = (slice(None),) * 3 + (slice(None, None, -1),) * self._layer.dims
        return _core.Convolution([w[turned] for w in weights], window.stride, window.dilation, algorithm, threads, ties)

    def _run(
        self,
        product: Any,
        inputs: list[Any],
        spreads: bool,
        out: Shape,
        epilogue: Any,
        threads: int,
        into: Array | None = None,
        earlier: Sequence[Array] = (),
    ) -> Any:
        if spreads and isinstance(product, _core.Scatter):
            return product(inputs, self._before, out, threads)
        return product(inputs, self._turned if spreads else self._before, out, epilogue, threads, into, earlier)


class Windows(Taps):
    """Convolution and its transpose.

    Parameters
    ----------
    algorithms : of the way up and of the way down, where it gathers with stride 1
    ties : whether windows that hold the same numbers need the same products on the way up
    """

    def __init__(
        self, layer: Conv | ConvTranspose, plan: ProductPlan, algorithms: tuple[int, int], threads: int, ties: bool = False
    ) -> None:
        super().__init__(layer)
        transposed, upward = self._transposed, self._upward
        self._features = [group.features for group in plan.groups]
        self._forward = []
        for group in plan.groups:
            weights = [_side_by_side([upward(w) for w in group_weights]) for group_weights in group.weights]
            self._forward.append(self._product(weights, transposed, algorithms[0], threads, ties))
        downward = [
            _side_by_side([upward(np.zeros_like(plan.layer_weight) if w is None else w).swapaxes(1, 2) for w in weights])
            for weights in plan.downward
            if weights
        ]
        self._backward = self._product(downward, not transposed, algorithms[1], threads) if downward else None
        self.nbytes = sum(product.nbytes for product in [*self._forward, self._backward] if product is not None)

    def forward(self, x: Array, epilogue: Any, threads: int, into: Array | None = None) -> Any:
        """(output, factors, what is odd), or the products where `epilogue` is None.

        The output goes into `into`, unless scatters make it.
        """
        out = self._layer._outputs(x.shape[1:-1])
        spreads = isinstance(self._layer, ConvTranspose)
        gathers = epilogue is not None and not isinstance(self._forward[-1], _core.Scatter)
        products: list[Array] = []
        for features, product in list(zip(self._features, self._forward, strict=True))[: -1 if gathers else None]:
            products += self._run(product, [product_input(x, f) for f in features], spreads, out, None, threads)
        if gathers:
            inputs = [product_input(x, f) for f in self._features[-1]]
            return self._run(self._forward[-1], inputs, spreads, out, epilogue, threads, into, products)
        return products if epilogue is None else _core.epilogue(epilogue, products, threads)

    def backward(
        self, message: Array, takes: MessageKind, factors: Sequence[Array], shape: Shape, wanted: Array | None, threads: int
    ) -> list[Array]:
        """For each feature what comes down, channels last; message (N, T, …), factors (N, …), shape (N·T, C, *spatial)."""
        if self._backward is None:
            return []
        folded = message.reshape(shape[0], *message.shape[2:])
        inputs = [(folded, _core.TIMES if takes == "ratio" else _core.OVER, factor) for factor in factors]
        spreads = isinstance(self._layer, Conv)
        messages: list[Array] = self._run(self._backward, inputs, spreads, shape[2:], None, threads)
        return [p.reshape(*message.shape[:2], *p.shape[1:]) for p in messages]


class Sizes(Taps):
    """Σ |terms| of a convolution's denominators: products of sizes with sizes, one for each share that has `terms`."""

    def __init__(
        self, layer: Conv | ConvTranspose, terms: Sequence[Sequence[tuple[Feature, Array]]], algorithm: int, threads: int
    ) -> None:
        super().__init__(layer)
        self._shares: list[Any] = []
        for share_terms in terms:
            weights = [_side_by_side([self._upward(weight) for _, weight in share_terms])] if share_terms else []
            product = self._product(weights, self._transposed, algorithm, threads) if weights else None
            self._shares.append(([feature for feature, _ in share_terms], product))
        self.nbytes = sum(product.nbytes for _, product in self._shares if product is not None)

    def __call__(self, x: Array, asked: Sequence[int], threads: int) -> list[Array | None]:
        """Channels last, for the shares that are asked for."""
        out = self._layer._outputs(x.shape[1:-1])
        sizes: list[Array | None] = [None] * len(self._shares)
        for position in asked:
            features, product = self._shares[position]
            (sizes[position],) = self._run(product, [product_input(x, f) for f in features], self._transposed, out, None, threads)
        return sizes
