"""Linear layers without a matrix, and maximum pooling, over the C core: windows are summed there, and factors made there."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, Relative, Shape
from ...forks import cached_property
from ...layers.base import Layer, Linear
from ...layers.linear import Add, Subtract
from ...layers.pooling import AvgPool, GlobalAvgPool, GlobalSumPool, MaxPool, SumPool, pool_window
from ...layers.shape import Upsample
from ...layers.window import Window, per_axis
from ...lazy_dataclass import lazy_dataclass
from ...ledger import PLACES, OpenEntry
from ...network.model import Node
from ...step import Handed, PlanContext, Step
from ..numpy import linear, max_pooling
from ..numpy import passes as numpy_passes
from ..numpy.linear import FusedLinear, LedgerInputs, SavedLinear
from ..numpy.max_pooling import MaximumStep, Winners
from ..numpy.oddities import noted
from ..numpy.pass_through import PASS
from ..numpy.passes import LinearPasses, WindowPasses, folded
from ..numpy.prepared import Reduced, StackedLayer
from .accounts import SizeMethod, accounting, sign_of, totals
from .native import _core
from .packed import channels_first, channels_last, room_like, share_of


def step_for(context: PlanContext, node: Node) -> Step | None:
    """The step for a linear layer without a matrix, or for maximum pooling; None for others."""
    threads, nonnegative = context.resources.threads, all(name in context.nonnegative for name in node.inputs)
    summing = partial(CompiledSum, passes=passes_of(threads), threads=threads, nonnegative=nonnegative)
    step = linear.step_for(context, node, summing) or max_pooling.step_for(context, node, windows_of(threads), summing)
    if type(step) is Winners:
        return CompiledWinners(step.nodes, step.rule, with_ledger=step.with_ledger, threads=threads)
    return step


def geometry(window: Window) -> tuple[Any, Any, Any, Any]:
    """Kernel, stride, dilation and the padding before, as the C core takes them."""
    return window.kernel, window.stride, window.dilation, tuple(before for before, _ in window.padding)


#: Sums each of whose outputs sees a cell of every input.
_WHOLE = (Add, Subtract, Upsample, GlobalSumPool, GlobalAvgPool)


@lazy_dataclass(frozen=True, eq=False)
class CompiledSum(FusedLinear):
    """A sum over inputs or windows, with the ReLU behind it."""

    threads: int = 1
    nonnegative: bool = False  # whether no input is ever negative

    columns = "none"

    @cached_property
    def keeps_nonfinite(self) -> bool:
        """Whether what is not finite in a message is not finite below either: each number reaches a cell through every share."""
        return type(self.layer) in _WHOLE and all(share.weighted for share in self.prepared.shares)

    @cached_property
    def prepared(self) -> StackedLayer:
        """Of weights as small as these nothing has to be dropped."""
        return super().prepared

    @cached_property
    def epilogue(self) -> Any:
        """What becomes of the products."""
        positions = accumulate((not share.is_preactivation for share in self.prepared.shares), initial=0)
        shares = [
            share_of(share, 0 if share.is_preactivation else position + 1)
            for position, share in zip(positions, self.prepared.shares, strict=False)
        ]
        return _core.Epilogue(None, self.relu_follows, self.takes == "ratio", shares)

    @cached_property
    def relative(self) -> bool:
        """Whether a stabiliser needs the whole sample."""
        return any(isinstance(share.stabiliser, Relative) for share in self.prepared.shares)

    @cached_property
    def alike(self) -> tuple[bool, ...]:
        """For each share whether all terms of a denominator, and its bias, are known to have one sign."""
        alike = []
        for share in self.prepared.shares:
            weights = [part for part in (*share.weights, share.bias) if part is not None]
            single = type(self.layer) is Upsample and share.bias is None
            alike.append(single or (self.nonnegative and all(sign_of(part) == 1 for part in weights)))
        return tuple(alike)

    @cached_property
    def unit(self) -> bool:
        """Whether the terms are the inputs themselves, but for their signs."""
        weights = [w for share in self.prepared.shares for w in share.weights if w is not None]
        return isinstance(self.layer, (Add, Subtract)) and all(w.size == 1 and abs(w.item()) == 1 for w in weights)

    @cached_property
    def core(self) -> Any:
        """What accounts for the shares, where no bias has a shape to be known before."""
        return self._accounting([None] * len(self.alike)) if all(s.bias is None for s in self.prepared.shares) else None

    def _accounting(self, biases: list[Array | None]) -> Any:
        size_methods = [SizeMethod(alike, 0.0, 1, ()) for alike in self.alike]
        return accounting(size_methods, self.prepared.shares, biases, None, self.takes == "ratio")

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedLinear]:
        stacked = self.prepared
        if self.relative:
            return super().forward(*inputs)
        z, bottoms = self.products(stacked, inputs)
        if z.ndim == 1:  # a sum over everything but the batch leaves the core no channels
            output = np.maximum(z, z.dtype.type(0)) if self.relu_follows else z
            return output, self.saved(stacked, inputs, z, output, bottoms)
        output, factors, odd = self._epilogue(stacked, z, bottoms)
        return output, self.saved_of(stacked, factors, inputs, z, output, noted(odd, inputs, output))

    def relevance(self, saved: SavedLinear, message: Array) -> Handed:
        defined_messages = None if saved.oddity is None else self._settled(saved.oddity, saved, message)
        if defined_messages is not None or saved.ledger_inputs is None or self.relative:
            return super().relevance(saved, message)
        messages = self.messages(saved.layer, saved.factors, saved.shapes, message)
        return messages, self._accounts(saved.layer, saved.factors, saved.ledger_inputs, message)

    def _accounts(
        self, stacked: StackedLayer, factors: list[Array], ledger_inputs: LedgerInputs, message: Array
    ) -> tuple[OpenEntry, ...]:
        """Sums have few terms: their sizes are found anew, unless all of them are known to have one sign."""
        inputs, _, output = ledger_inputs
        pairs = zip(stacked.shares, self.alike, strict=True)
        sizes = [None if alike else self._size(inputs, share) for share, alike in pairs]
        turn = output.ndim > 2 and not output.flags.c_contiguous

        def ordered(x: Array, axis: int = 1) -> Array:
            x = x if message.ndim > 2 else x[..., None]
            return channels_last(x, axis) if turn else np.ascontiguousarray(x)

        def spread(bias: Array | None) -> Array | None:
            return None if bias is None else ordered(np.broadcast_to(bias, (1, *output.shape[1:])))[0]

        core = self.core if self.core is not None else self._accounting([spread(share.bias) for share in stacked.shares])
        sizes_last = [None if size is None else ordered(size) for size in sizes]
        shown = ordered(output) if self.takes == "ratio" else None
        divided = [ordered(factor) for factor in factors]
        columns = core(ordered(message, 2), shown, divided, [None] * len(sizes), sizes_last, self.threads)
        account = OpenEntry(self.nodes[0].name, self.rule_name, columns, self.rule.flags(inputs))
        return (OpenEntry(self.nodes[1].name, PASS), account) if self.relu_follows else (account,)

    def _size(self, inputs: tuple[Array, ...], share: Reduced) -> Array:
        """Σ |terms| of a share's denominators."""
        pairs = [(a, w) for a, w in zip(inputs, share.weights, strict=True) if w is not None]
        if self.unit and len({a.shape for a, _ in pairs}) == 1:
            return _sizes([a for a, _ in pairs])
        sizes = [self.layer.map_absolute(a, w) for a, w in pairs]
        return np.asarray(sum(sizes[1:], sizes[0])) if sizes else np.zeros_like(inputs[0])

    def _epilogue(self, stacked: StackedLayer, z: Array, bottoms: list[Array]) -> tuple[Array, list[Array], int]:
        """The biases are in the products already, so any order of the elements serves."""
        turn = not z.flags.c_contiguous

        def ordered(x: Array) -> Array:
            return channels_last(x) if turn else np.ascontiguousarray(x)

        pairs = zip(stacked.shares, bottoms, strict=True)
        products = [ordered(z), *(ordered(bottom) for share, bottom in pairs if not share.is_preactivation)]
        output, factors, odd = _core.epilogue(self.epilogue, products, self.threads)
        return (channels_first(output), [channels_first(factor) for factor in factors], odd) if turn else (output, factors, odd)


def sum_of_maps(threads: int, layer: Linear, inputs: tuple[Array, ...], weights: tuple[Array | None, ...], _: bool) -> Array:
    """Σ_i map(a_i, w_i), in fresh memory: what comes out may get a bias added in place."""
    if isinstance(layer, SumPool):
        assert weights[0] is not None
        return _pooled(threads, layer, inputs[0], weights[0])
    parts = [_times(layer, a, w) for a, w in zip(inputs, weights, strict=True) if w is not None]
    if len(parts) == 1:
        return np.array(parts[0])
    alike = parts[0].shape == parts[1].shape
    return np.asarray(sum(parts[2:], np.add(parts[0], parts[1], out=room_like(parts[0]) if alike else None)))


def _pooled(threads: int, layer: SumPool, a: Array, weight: Array) -> Array:
    window = pool_window(layer, a.ndim - 2)
    out = window.outputs(a.shape[2:])
    sums = channels_first(_core.window_sums(channels_last(a), *geometry(window), out, threads))
    return layer.settle(layer._share(sums * weight, a.shape[2:]), a, weight, partial(_window_largest, threads))


def _window_largest(threads: int, a: Array, window: Window) -> Array:
    """The largest cell of each window."""
    best, _ = _core.winners(channels_last(a), *geometry(window), window.outputs(a.shape[2:]), threads)
    return channels_first(best)


def quotient(message: Array, factor: Array, takes: str) -> Array:
    """s of a message (N, targets, …), in the order of its memory."""
    how = np.multiply if takes == "ratio" else np.divide
    return np.asarray(how(message, factor[:, None], out=room_like(message)))


def adjoint(threads: int, layer: Linear, pairs: list[tuple[Array, Array]], shape: Shape) -> Array:
    """Σ_q adjoint(s_q, w_q)."""
    if type(layer) in (SumPool, AvgPool):
        assert isinstance(layer, SumPool)
        s = sum((s * w for s, w in pairs[1:]), pairs[0][0] * pairs[0][1])
        window = pool_window(layer, len(shape) - 2)
        below = channels_last(layer._share(s, shape[2:]))
        return channels_first(_core.window_spread(below, *geometry(window), shape[2:], threads))
    if len(pairs) == 1 and isinstance(layer, (Add, Subtract)) and pairs[0][0].shape == shape:
        return _times(layer, *pairs[0])
    if type(layer) in (GlobalSumPool, GlobalAvgPool):
        assert isinstance(layer, GlobalSumPool)
        every = sum((layer._share(s * w, shape[2:]) for s, w in pairs), np.zeros((), pairs[0][0].dtype))
        return np.broadcast_to(every, shape)
    if type(layer) is Upsample and len(pairs) == 1:
        return _gathered(threads, *pairs[0], layer.factor, len(shape) - 2)
    return numpy_passes.adjoint(layer, pairs, shape)


def _gathered(threads: int, s: Array, w: Array, factor: Any, dims: int) -> Array:
    """The sum of the cells that each cell was repeated to, axis by axis."""
    cells = channels_last(s)
    for axis, count in enumerate(per_axis(factor, "factor", dims)):
        kernel = tuple(count if other == axis else 1 for other in range(dims))
        out = tuple(extent // size for extent, size in zip(cells.shape[1:-1], kernel, strict=True))
        cells = _core.window_sums(cells, kernel, kernel, (1,) * dims, (0,) * dims, out, threads)
    return np.multiply(channels_first(cells), w)


def pool_output(threads: int, layer: Layer, a: Array) -> Array:
    """The output of a maximum."""
    return _window_largest(threads, a, pool_window(layer, a.ndim - 2)) if isinstance(layer, MaxPool) else layer.forward(a)


def passes_of(threads: int) -> LinearPasses:
    """The core's functions for sums."""
    return LinearPasses(
        "compiled", "sums", partial(sum_of_maps, threads), partial(adjoint, threads), numpy_passes.factor, quotient
    )


def windows_of(threads: int) -> WindowPasses:
    """NumPy's functions of windows, but for what stands in for a maximum: winners have a step of their own."""
    return replace(numpy_passes.WINDOWS, largest=partial(pool_output, threads))


def _sizes(parts: list[Array]) -> Array:
    """Σ |a| over arrays of one shape."""
    total = np.abs(parts[0], out=room_like(parts[0]))
    for part in parts[1:]:
        np.add(total, np.abs(part, out=room_like(total)), out=total)
    return total


def _times(layer: Any, a: Array, w: Array) -> Array:
    """a·w, without a pass over a where w is the 1 of an Add."""
    return a if isinstance(layer, (Add, Subtract)) and w.size == 1 and w.item() == 1 else layer.map(a, w)


class SavedWindows(NamedTuple):
    """Which cell of each window won, the input's shape, the output, where the ledger asks for it, and the windows' geometry."""

    winner: Array
    shape: Shape
    output: Array | None
    geometry: tuple[Any, Any, Any, Any]


@lazy_dataclass(frozen=True, eq=False)
class CompiledWinners(MaximumStep[SavedWindows]):
    """Winner-takes-all through maximum pooling."""

    threads: int = 1

    keeps_nonfinite = True
    backend = "compiled"
    columns = "none"

    def forward(self, *inputs: Array, into: Array | None = None) -> tuple[Array, SavedWindows]:
        (a,), layer = inputs, self.layer
        window = pool_window(layer, a.ndim - 2)
        looked = geometry(window)
        best, winner = _core.winners(channels_last(a), *looked, window.outputs(a.shape[2:]), self.threads)
        best = channels_first(best)
        return best, SavedWindows(winner, a.shape, best if self.with_ledger else None, looked)

    def relevance(self, saved: SavedWindows, message: Array) -> Handed:
        winner, shape, output, (kernel, stride, dilation, before) = saved
        below = folded(channels_last(message, 2))
        cells = _core.to_winners(below, winner, kernel, stride, dilation, before, shape[2:], self.threads)
        lower = channels_first(cells.reshape(shape[0], message.shape[1], *cells.shape[1:]), 2)
        if output is None:
            return (lower,), ()
        apart = all(step > reach * (wide - 1) for wide, step, reach in zip(kernel, stride, dilation, strict=True))
        return (lower,), (self._account(apart, output, message),)

    def _account(self, apart: bool, output: Array, message: Array) -> OpenEntry:
        """Every message to a winner is a whole R_k; unless windows lie apart they add up below, and may cancel there."""
        if apart:
            return OpenEntry(self.nodes[0].name, self.rule_name)
        columns = totals(message, output if self.takes == "ratio" else None, self.threads)
        columns[..., PLACES["turnover"]] += columns[..., PLACES["arriving_abs"]]
        return OpenEntry(self.nodes[0].name, self.rule_name, columns)
