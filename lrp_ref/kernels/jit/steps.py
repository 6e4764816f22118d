"""Steps over loops that Numba compiles: those of NumPy, with what is faster as a loop put in its place.

Matrix products stay NumPy's, in the blocks of `products`. A step keeps what its NumPy twin keeps, in the same shapes, so that it
can leave to it what it does not serve: nothing to compute, or a stabiliser that needs whole samples.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np

from ...arrays import Array, Exact, Shape, Signed, Unsigned, like
from ...errors import LrpError
from ...layers.conv import Conv, ConvTranspose
from ...layers.linear import Add, Scale, Subtract
from ...layers.pooling import AvgPool, MaxPool, SumPool, pool_window, window_largest
from ...lazy_dataclass import lazy_dataclass
from ...network.model import Node
from ...rules import Gradient
from ...rules.terms import ALL, NEGATIVE_ONLY, NONNEGATIVE
from ...step import PlanContext
from ..numpy import derivatives
from ..numpy import linear as fused
from ..numpy.linear import FusedLinear
from ..numpy.oddities import noted
from ..numpy.passing import Winners
from ..numpy.pooling import SplitWinners, Surrogate
from ..numpy.prepared import Prepared, Reduced
from ..numpy.products import pointwise
from . import loops
from .products import Form, direct, down, plain, planes, table, up

_KINDS = {Exact: loops.EXACT, Signed: loops.SIGNED, Unsigned: loops.UNSIGNED}
_WHERE = {ALL: loops.EVERYWHERE, NONNEGATIVE: loops.NONNEGATIVE, NEGATIVE_ONLY: loops.NEGATIVE}


def step_for(context: PlanContext, node: Node) -> Any:
    """The step with compiled loops for `node` (and perhaps the activation behind it), else NumPy's, else None."""
    loops.require()
    if type(context.rules[node.name]) is Gradient and context.model.dtype != object:
        return derivatives.step_for(context, node, step_for)
    step = fused.step_for(context, node)
    twin: type | None = _MAXIMA.get(type(step))
    if type(step) is FusedLinear:
        single = isinstance(step.layer, Conv) and pointwise(step.layer.window)
        twin = None if single else _LINEAR.get(type(step.layer))
    elif type(step) is Surrogate and type(step.layer) is SumPool:
        twin = JitSurrogate
    return step if twin is None else twin(**{f.name: getattr(step, f.name) for f in fields(step)})


@lazy_dataclass(frozen=True, eq=False)
class JitLinear(FusedLinear):
    """A linear layer whose factors are made in one pass."""

    @property
    def label(self) -> str:
        return f"jit, factors, {self.takes} → c"

    def _how(self, share: Reduced, dtype: np.dtype) -> tuple[Any, ...] | None:
        """Stabiliser, ε, where, whether c arrives, and λ, as the loop takes them; None where it does not serve the share."""
        kind, where = _KINDS.get(type(share.stabiliser)), _WHERE.get(share.where)
        if kind is None or where is None:
            return None
        some = np.empty(0, dtype)
        epsilon = like(getattr(share.stabiliser, "epsilon", 0), some)[()]
        if self.takes == "c" and len(self.nodes) == 2:
            where = loops.EVERYWHERE  # R = a·c is 0 where z < 0
        return kind, epsilon, where, self.takes == "c", share.coefficient[()]

    def _factor(self, share: Reduced, bottom: Array, z: Array, output: Array) -> tuple[Array, int]:
        how = self._how(share, bottom.dtype)
        if how is None or not bottom.size:
            return super()._factor(share, bottom, z, output)
        form = Form(1, 1, math.prod(z.shape[1:]))
        factor, none = np.empty(z.shape, z.dtype), np.empty((1, 1, 0), z.dtype)
        arrays = (form.of_array(z), form.of_array(output), form.of_array(factor))
        odd = loops.factors(form.of_array(bottom), 0, none, 0, *arrays, *how)
        return factor, odd


@lazy_dataclass(frozen=True, eq=False)
class JitConv(JitLinear):
    """A convolution: columns gathered and scattered by loops, or none; products become outputs and factors in one pass."""

    @property
    def label(self) -> str:
        layer = self.layer
        assert isinstance(layer, Conv)
        how = ["direct" if few else "columns" for few in direct(layer)]
        return f"jit, {how[0] if how[0] == how[1] else '/'.join(how)}, {self.takes} → c"

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        made, (a,), layer = self.prepared, inputs, self.layer
        assert isinstance(layer, Conv)
        hows = [self._how(share, a.dtype) for share in made.shares]
        try:
            shape = layer.shape(a.shape)
        except LrpError as error:
            raise error.at(self.nodes[0].place) from None
        mapped = self.before_maximum and layer.bias is not None and layer.bias.ndim > 1  # a bias for each window
        if None in hows or 0 in a.shape or 0 in shape or mapped:
            return super().forward(*inputs)
        rectified = len(self.nodes) == 2
        output, factors = np.empty(shape, a.dtype), [np.empty(shape, a.dtype) for _ in made.shares]
        # The pre-activation is kept for the ledger, and for shares that serve one sign of it alone.
        kept = rectified and (self.with_ledger or any(how[2] != loops.EVERYWHERE for how in hows if how is not None))
        z = np.empty(shape, a.dtype) if kept else output
        odd = noted(self._fill(made, a, hows, (z, output, *factors)), inputs, output)
        return output, (made, factors, (a.shape,), (inputs, z, output) if self.with_ledger else None, odd)

    def _fill(self, made: Prepared, a: Array, hows: list[Any], arrays: tuple[Array, ...]) -> int:
        """The pre-activation (where it is not the output), the output and the factors; what is odd about denominators."""
        layer, out = self.layer, arrays[0].shape[2:]
        assert isinstance(layer, Conv)
        assert made.forward is not None
        form = Form.of(layer, arrays[0].shape)
        z, output, *factors = (form.of_array(x) for x in arrays)
        own = form.of_bias(made.bias, a.dtype)
        biases = [own if share.plain else form.of_bias(share.bias, a.dtype) for share in made.shares]
        places, odd = _places(made), 0
        for n, start, found in up(layer, a, made.forward, out):
            if arrays[0] is not arrays[1]:
                loops.activated(found, own, False, start, z[n])
            loops.activated(found, own, len(self.nodes) == 2, start, output[n])
            for q, bias, factor, how in zip(places, biases, factors, hows, strict=True):
                products = found if q is not None else np.zeros_like(found)
                odd |= loops.factors(products, q or 0, bias, start, z[n], output[n], factor[n], *how)
        if self.before_maximum:
            layer.settle(a, *arrays[int(arrays[0] is arrays[1]) :])
        return odd

    def _down(self, made: Prepared, factors: list[Array], shapes: tuple[Shape, ...], message: Array) -> tuple[Array, ...]:
        layer, targets, (shape,) = self.layer, message.shape[1], shapes
        assert isinstance(layer, Conv)
        if made.backward is None or 0 in shape or 0 in message.shape:
            return super()._down(made, factors, shapes, message)
        form = Form.of(layer, (message.shape[0], *message.shape[2:]))
        used = [factor for factor, share in zip(factors, made.shares, strict=True) if share.weights[0] is not None]
        s = np.empty((*message.shape[:2], form.groups, len(used), form.part, form.cells), message.dtype)
        arriving = message.reshape(*message.shape[:2], form.groups, form.part, form.cells)
        weigh = np.multiply if self.takes == "c" else np.divide  # as in passing.weighed
        for q, factor in enumerate(used):
            weigh(arriving, form.of_array(factor)[:, None], out=s[:, :, :, q])
        wide = s.reshape(shape[0] * targets, form.groups, len(used) * form.part, form.cells)
        lower = down(layer, wide, made.backward, (shape[0] * targets, *shape[1:]), message.shape[3:])
        return (lower.reshape(shape[0], targets, *shape[1:]),)


def _places(made: Prepared) -> list[int | None]:
    """Where among the stacked products each share's denominators are; None where it has no term."""
    places: list[int | None] = []
    extra = 0
    for share in made.shares:
        extra += not share.plain and share.weighted
        places.append(0 if share.plain else extra if share.weighted else None)
    return places


@lazy_dataclass(frozen=True, eq=False)
class JitTransposed(JitLinear):
    """A transposed convolution: the loops of convolution, exchanged."""

    @property
    def label(self) -> str:
        return f"jit, transposed, {self.takes} → c"

    def _total(self, inputs: tuple[Array, ...], weights: tuple[Array | None, ...]) -> Array:
        (a,), (w,), layer = inputs, weights, self.layer
        assert isinstance(layer, ConvTranspose)
        assert w is not None
        shape = layer.shape(a.shape)
        if 0 in a.shape or 0 in shape or 0 in w.shape:
            return super()._total(inputs, weights)
        rows = a.reshape(a.shape[0], layer.groups, layer.lower // layer.groups, math.prod(a.shape[2:]))
        columns = np.matmul(self._matrix(w).swapaxes(1, 2), rows)
        columns = columns.reshape(a.shape[0], layer.upper, layer.window.taps, rows.shape[-1])
        z = np.zeros((*shape[:2], math.prod(shape[2:])), a.dtype)
        loops.scatter(columns, table(layer.window, shape[2:], a.shape[2:]), layer.stride[-1], z)
        z = z.reshape(shape)
        if self.before_maximum:
            layer.settle(a, z)
        return z

    def _adjoint(self, made: Prepared, i: int, quotients: list[Array], shape: Shape) -> Array:
        layer = self.layer
        assert isinstance(layer, ConvTranspose)
        if 0 in shape or 0 in quotients[0].shape or 0 in layer.weight.shape:
            return super()._adjoint(made, i, quotients, shape)
        spatial, size = quotients[0].shape[2:], math.prod(shape[2:])
        where = table(layer.window, spatial, shape[2:])
        columns = np.empty((shape[0], layer.upper, layer.window.taps, size), quotients[0].dtype)
        total = np.zeros((shape[0], layer.groups, layer.lower // layer.groups, size), columns.dtype)
        for s, share in zip(quotients, made.shares, strict=True):
            w = share.weights[i]
            if w is not None:
                loops.gather(planes(s, 2), where, layer.stride[-1], columns)
                total += np.matmul(self._matrix(w), columns.reshape(shape[0], layer.groups, -1, size))
        return total.reshape(shape)

    def _matrix(self, w: Array) -> Array:
        layer = self.layer
        assert isinstance(layer, ConvTranspose)
        return w.reshape(layer.groups, layer.lower // layer.groups, math.prod(w.shape[1:]))


@lazy_dataclass(frozen=True, eq=False)
class JitPool(JitLinear):
    """Sum or average pooling."""

    @property
    def label(self) -> str:
        return f"jit, windows, {self.takes} → c"

    def _total(self, inputs: tuple[Array, ...], weights: tuple[Array | None, ...]) -> Array:
        (a,), (w,), layer = inputs, weights, self.layer
        if not isinstance(layer, SumPool) or w is None or not a.size:
            return super()._total(inputs, weights)
        window = pool_window(layer, a.ndim - 2)
        out = window.outputs(a.shape[2:])
        total = np.empty((a.shape[0] * a.shape[1], math.prod(out)), a.dtype)
        loops.window_sums(_flat(a), table(window, a.shape[2:], out), window.stride[-1], total)
        return layer.settle(layer._share(total.reshape(*a.shape[:2], *out) * w, a.shape[2:]), a, w, window_largest)

    def _adjoint(self, made: Prepared, i: int, quotients: list[Array], shape: Shape) -> Array:
        layer = self.layer
        parts = [s * w for s, share in zip(quotients, made.shares, strict=True) if (w := share.weights[i]) is not None]
        if not isinstance(layer, SumPool) or not parts or 0 in shape:
            return super()._adjoint(made, i, quotients, shape)
        s = layer._share(sum(parts[1:], parts[0]), shape[2:])
        window = pool_window(layer, len(shape) - 2)
        lower = np.empty((shape[0] * shape[1], math.prod(shape[2:])), s.dtype)
        loops.window_spread(_flat(s), table(window, shape[2:], s.shape[2:]), window.stride[-1], lower)
        return lower.reshape(shape)


@lazy_dataclass(frozen=True, eq=False)
class JitWinners(Winners):
    """Winner-takes-all through maximum pooling."""

    @property
    def label(self) -> str:
        return f"jit, winners, {self.takes}"

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        (a,) = inputs
        best, winner = _maximum(self.nodes[0], a)
        return best, (winner, a.shape, (a, best) if self.with_ledger else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        winner, shape, seen = saved
        lower = np.empty((*message.shape[:2], shape[1], math.prod(shape[2:])), message.dtype)
        loops.to_winners(planes(message, 3), planes(winner, 2), lower)
        messages = (lower.reshape(*message.shape[:2], *shape[1:]),)
        return messages, self._entries(seen, message, messages[0]) if self.with_ledger else ()


@lazy_dataclass(frozen=True, eq=False)
class JitSplitWinners(SplitWinners):
    """Winner-takes-all where equal cells share."""

    @property
    def label(self) -> str:
        return f"jit, shared winners, {self.takes}"

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        (a,) = inputs
        best, _ = _maximum(self.nodes[0], a)
        return best, ((a, best), a.shape, (a, best) if self.with_ledger else None)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        (a, best), shape, seen = saved
        layer = self.nodes[0].layer
        assert isinstance(layer, MaxPool)
        window = pool_window(layer, a.ndim - 2)
        where, step, count = table(window, shape[2:], best.shape[2:]), window.stride[-1], np.empty(best.shape, a.dtype)
        below, above = planes(a, 2), planes(best, 2)
        loops.ties(below, above, where, step, planes(count, 2))
        lower = np.empty((*message.shape[:2], shape[1], math.prod(shape[2:])), message.dtype)
        loops.to_ties(planes(message / count[:, None], 3), below, above, where, step, lower)
        messages = (lower.reshape(*message.shape[:2], *shape[1:]),)
        return messages, self._entries(seen, message, messages[0]) if self.with_ledger else ()


@lazy_dataclass(frozen=True, eq=False)
class JitSurrogate(Surrogate, JitPool):
    """Maximum pooling treated as a sum: the sum's windows and the maximum."""

    @property
    def label(self) -> str:
        return f"jit, as a sum, {self.takes} → c"

    def _maximum(self, a: Array) -> Array:
        node = self.nodes[0]
        return _maximum(node, a)[0] if isinstance(node.layer, MaxPool) else node.layer.forward(a)


def _flat(x: Array) -> Array:
    """All planes of all samples, and their cells."""
    return plain(x).reshape(x.shape[0] * x.shape[1], math.prod(x.shape[2:]))


def _maximum(node: Node, a: Array) -> tuple[Array, Array]:
    """The largest cell of each window, and which one it is among those of its channel."""
    layer = node.layer
    assert isinstance(layer, MaxPool)
    window, spatial = pool_window(layer, a.ndim - 2), a.shape[2:]
    try:
        out = window.outputs(spatial)
    except LrpError as error:
        raise error.at(node.place) from None
    best = np.empty((*a.shape[:2], *out), a.dtype)
    winner = np.empty(best.shape, np.int32 if math.prod(spatial) < 2**31 else np.int64)
    loops.winners(_flat(a), table(window, spatial, out), window.stride[-1], _flat(best), _flat(winner))
    return best, winner


#: What is served. benchmarks/jit.py showed no gain elsewhere when these loops were tried there, and the step is NumPy's: Dense
#: (0.7 to 1.0 of its speed; with the factors alone 0.9 to 1.2, which is noise: to call a loop costs what the short passes do),
#: means and pooling over whole channels (1.0 to 1.1), upsampling (0.8 to 1.2), convolutions of single cells (0.9 to 1.2: they
#: have no columns to gather). Not tried: rearrangements and ReLUs alone (one pass already), recurrent
#: layers.
_LINEAR: dict[type, type[JitLinear]] = {
    Conv: JitConv,
    ConvTranspose: JitTransposed,
    SumPool: JitPool,
    AvgPool: JitPool,
    **dict.fromkeys((Scale, Add, Subtract), JitLinear),
}
_MAXIMA: dict[type, type[Winners]] = {Winners: JitWinners, SplitWinners: JitSplitWinners}
