"""Convolutions over loops that Numba compiles: columns gathered and scattered by loops, or none at all.

Matrix products stay NumPy's, in the blocks of `products`. The step saves what its NumPy twin saves, in the same shapes, so that
it can leave to it what it does not serve: nothing to compute, or a stabiliser that needs whole samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import Array, Shape
from ...errors import LrpError
from ...layers.conv import Conv
from ...lazy_dataclass import lazy_dataclass
from ...messages import SYMBOLS
from ..numpy.linear import FusedLinear, SavedLinear
from ..numpy.oddities import noted
from ..numpy.prepared import StackedLayer
from . import loops
from .matrix_products import Form, direct, down, up
from .passes import factor_options


@lazy_dataclass(frozen=True, eq=False)
class JitConv(FusedLinear):
    """A convolution whose products become outputs and factors in one pass."""

    @property
    def label(self) -> str:
        layer = self.layer
        assert isinstance(layer, Conv)
        how = ["direct" if few else "columns" for few in direct(layer)]
        return f"jit, {how[0] if how[0] == how[1] else '/'.join(how)}, {SYMBOLS[self.takes]} → c"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedLinear]:
        stacked, (a,), layer = self.prepared, inputs, self.layer
        assert isinstance(layer, Conv)
        options = [factor_options(share, a.dtype, self.takes, self.relu_follows) for share in stacked.shares]
        try:
            shape = layer.shape(a.shape)
        except LrpError as error:
            raise error.at(self.nodes[0].title) from None
        mapped = self.before_maximum and layer.bias is not None and layer.bias.ndim > 1  # a bias for each window
        if None in options or 0 in a.shape or 0 in shape or mapped:
            return super().forward(*inputs)
        output, factors = np.empty(shape, a.dtype), [np.empty(shape, a.dtype) for _ in stacked.shares]
        # The pre-activation is kept for the ledger, and for shares that serve one sign of it alone.
        one_sign = any(how[2] != loops.EVERYWHERE for how in options if how is not None)
        z = np.empty(shape, a.dtype) if self.relu_follows and (self.with_ledger or one_sign) else output
        odd = noted(self._fill(stacked, a, options, (z, output, *factors)), inputs, output)
        return output, self.saved_of(stacked, factors, inputs, z, output, odd)

    def _fill(self, stacked: StackedLayer, a: Array, options: list[Any], arrays: tuple[Array, ...]) -> int:
        """The pre-activation (where it is not the output), the output and the factors; what is odd about denominators."""
        layer, out = self.layer, arrays[0].shape[2:]
        assert isinstance(layer, Conv)
        assert stacked.forward is not None
        form = Form.of(layer, arrays[0].shape)
        z, output, *factors = (form.of_array(x) for x in arrays)
        layer_bias = form.of_bias(stacked.bias, a.dtype)
        biases = [layer_bias if share.is_preactivation else form.of_bias(share.bias, a.dtype) for share in stacked.shares]
        indices, odd = _product_indices(stacked), 0
        for n, start, products in up(layer, a, stacked.forward, out):
            if arrays[0] is not arrays[1]:
                loops.activated(products, layer_bias, False, start, z[n])
            loops.activated(products, layer_bias, self.relu_follows, start, output[n])
            for q, bias, factor, how in zip(indices, biases, factors, options, strict=True):
                bottoms = products if q is not None else np.zeros_like(products)
                odd |= loops.factors(bottoms, q or 0, bias, start, z[n], output[n], factor[n], *how)
        if self.before_maximum:
            layer.settle(a, *arrays[int(arrays[0] is arrays[1]) :])
        return odd

    def messages(
        self, stacked: StackedLayer, factors: list[Array], shapes: tuple[Shape, ...], message: Array
    ) -> tuple[Array, ...]:
        """The messages below."""
        layer, targets, (shape,) = self.layer, message.shape[1], shapes
        assert isinstance(layer, Conv)
        if stacked.backward is None or 0 in shape or 0 in message.shape:
            return super().messages(stacked, factors, shapes, message)
        form = Form.of(layer, (message.shape[0], *message.shape[2:]))
        used = [factor for factor, share in zip(factors, stacked.shares, strict=True) if share.weights[0] is not None]
        s = np.empty((*message.shape[:2], form.groups, len(used), form.channels, form.cells), message.dtype)
        arriving = message.reshape(*message.shape[:2], form.groups, form.channels, form.cells)
        weigh = np.multiply if self.takes == "ratio" else np.divide  # as in passes.weighed
        for q, factor in enumerate(used):
            weigh(arriving, form.of_array(factor)[:, None], out=s[:, :, :, q])
        wide = s.reshape(shape[0] * targets, form.groups, len(used) * form.channels, form.cells)
        lower = down(layer, wide, stacked.backward, (shape[0] * targets, *shape[1:]), message.shape[3:])
        return (lower.reshape(shape[0], targets, *shape[1:]),)


def _product_indices(stacked: StackedLayer) -> list[int | None]:
    """Where among the stacked products each share's denominators are; None where it has no term."""
    positions: list[int | None] = []
    extra = 0
    for share in stacked.shares:
        extra += not share.is_preactivation and share.weighted
        positions.append(0 if share.is_preactivation else extra if share.weighted else None)
    return positions
