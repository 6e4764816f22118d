"""Linear layers without a matrix, and maximum pooling, over the C core: windows are summed there, and factors made there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Array, Relative, Shape
from ..layers.linear import Add, Subtract
from ..layers.pooling import AvgPool, MaxPool, SumPool, pool_window
from ..layers.window import Window
from ..ledger import PLACES, Entry, OpenEntry
from ..records import dataclass
from .accounts import Way, accounting, sign_of, totals
from .fused import FusedLinear
from .maxima import Surrogate
from .native import _ext
from .oddities import noted
from .packed import channels_first, channels_last, share_of
from .passing import PASS, Winners, folded
from .prepared import Prepared, Reduced


def geometry(window: Window) -> tuple[Any, Any, Any, Any]:
    """Kernel, stride, dilation and the padding before, as the C core takes them."""
    return window.kernel, window.stride, window.dilation, tuple(before for before, _ in window.padding)


@dataclass(frozen=True, eq=False)
class CompiledSum(FusedLinear):
    """A sum over inputs or windows, with the ReLU behind it."""

    threads: int = 1
    nonnegative: bool = False  # whether no input is ever negative

    @property
    def label(self) -> str:
        return f"compiled, sums, {self.arrives} → c"

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        made = self.prepared
        if any(isinstance(share.stabiliser, Relative) for share in made.shares):
            return super().forward(*inputs)
        z, bottoms = self._products(made, inputs)
        if z.ndim == 1:  # a sum over everything but the batch leaves the core no channels
            return self._kept(made, inputs, z, bottoms)
        output, factors, odd = self._finish(made, z, bottoms)
        seen = (inputs, z, output) if self.booked else None
        return output, (made, factors, tuple(a.shape for a in inputs), seen, noted(odd, inputs, output))

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], tuple[Entry | OpenEntry, ...]]:
        made, factors, shapes, seen, odd = saved
        own = None if odd is None else self._settled(odd, made, factors, message)
        if own is not None or not self.booked or any(isinstance(share.stabiliser, Relative) for share in made.shares):
            return super().relevance(saved, message)
        return self._down(made, factors, shapes, message), self._accounts(made, factors, seen, message)

    def _accounts(self, made: Prepared, factors: list[Array], seen: Any, message: Array) -> tuple[OpenEntry, ...]:
        """Sums have few terms: their sizes are found anew, unless all of them are known to have one sign."""
        inputs, _, output = seen
        sizes = [self._size(inputs, share) for share in made.shares]
        turn = output.ndim > 2 and not output.flags.c_contiguous

        def ordered(x: Array, axis: int = 1) -> Array:
            x = x if message.ndim > 2 else x[..., None]
            return channels_last(x, axis) if turn else np.ascontiguousarray(x)

        def spread(bias: Array | None) -> Array | None:
            return None if bias is None else ordered(np.broadcast_to(bias, (1, *output.shape[1:])))[0]

        ways = [Way(size is None, 0.0, 1, ()) for size in sizes]
        core = accounting(ways, made.shares, [spread(share.bias) for share in made.shares], None, self.arrives == "c")
        given = [None if size is None else ordered(size) for size in sizes]
        shown = ordered(output) if self.arrives == "c" else None
        divided = [ordered(factor) for factor in factors]
        columns = core(ordered(message, 2), shown, divided, [None] * len(sizes), given, self.threads)
        account = OpenEntry(self.nodes[0].name, str(self.rule), columns, self.rule.flags(inputs))
        return (OpenEntry(self.nodes[1].name, PASS), account) if len(self.nodes) == 2 else (account,)

    def _size(self, inputs: tuple[Array, ...], share: Reduced) -> Array | None:
        """Σ |terms| of a share's denominators; None where all terms and the bias are known to have one sign."""
        pairs = [(a, w) for a, w in zip(inputs, share.weights, strict=True) if w is not None]
        if self.nonnegative and all(sign_of(part) == 1 for part in (*(w for _, w in pairs), share.bias) if part is not None):
            return None
        sizes = [self.layer.map_absolute(a, w) for a, w in pairs]
        return np.asarray(sum(sizes[1:], sizes[0])) if sizes else np.zeros_like(inputs[0])

    def _finish(self, made: Prepared, z: Array, bottoms: list[Array]) -> tuple[Array, list[Array], int]:
        """The biases are in the products already, so any order of the elements serves."""
        turn = not z.flags.c_contiguous

        def ordered(x: Array) -> Array:
            return channels_last(x) if turn else np.ascontiguousarray(x)

        products, shares = [ordered(z)], []
        for share, bottom in zip(made.shares, bottoms, strict=True):
            index = 0
            if not share.plain:
                index = len(products)
                products.append(ordered(bottom))
            shares.append(share_of(share, index))
        how = _ext.Finish(None, len(self.nodes) == 2, self.arrives == "c", shares)
        output, factors, odd = _ext.finish(how, products, self.threads)
        return (channels_first(output), [channels_first(factor) for factor in factors], odd) if turn else (output, factors, odd)

    def _total(self, inputs: tuple[Array, ...], weights: tuple[Array | None, ...]) -> Array:
        if isinstance(self.layer, SumPool):
            assert weights[0] is not None
            return self._pooled(inputs[0], weights[0])
        parts = [_times(self.layer, a, w) for a, w in zip(inputs, weights, strict=True) if w is not None]
        # Fresh memory: what comes out may get a bias added in place.
        return np.asarray(sum(parts[2:], parts[0] + parts[1])) if len(parts) > 1 else np.array(parts[0])

    def _pooled(self, a: Array, weight: Array) -> Array:
        layer = self.layer
        assert isinstance(layer, SumPool)
        window = pool_window(layer, a.ndim - 2)
        out = window.outputs(a.shape[2:])
        total = channels_first(_ext.window_sums(channels_last(a), *geometry(window), out, self.threads))
        return layer._share(total * weight, a.shape[2:])

    def _adjoint(self, made: Prepared, i: int, quotients: list[Array], shape: Shape) -> Array:
        layer = self.layer
        pairs = [(s, w) for s, share in zip(quotients, made.shares, strict=True) if (w := share.weights[i]) is not None]
        if type(layer) in (SumPool, AvgPool) and pairs:
            assert isinstance(layer, SumPool)
            s = sum((s * w for s, w in pairs[1:]), pairs[0][0] * pairs[0][1])
            window = pool_window(layer, len(shape) - 2)
            below = channels_last(layer._share(s, shape[2:]))
            return channels_first(_ext.window_spread(below, *geometry(window), shape[2:], self.threads))
        if len(pairs) == 1 and isinstance(layer, (Add, Subtract)) and pairs[0][0].shape == shape:
            return _times(layer, *pairs[0])
        return super()._adjoint(made, i, quotients, shape)


def _times(layer: Any, a: Array, w: Array) -> Array:
    """a·w, without a pass over a where w is the 1 of an Add."""
    return a if isinstance(layer, (Add, Subtract)) and w.size == 1 and w.item() == 1 else layer.map(a, w)


@dataclass(frozen=True, eq=False)
class CompiledWinners(Winners):
    """Winner-takes-all through maximum pooling."""

    threads: int = 1

    keeps_infinite = True

    @property
    def label(self) -> str:
        return f"compiled, winners, {self.arrives}"

    def forward(self, *inputs: Array) -> tuple[Array, Any]:
        layer, (a,) = self.nodes[0].layer, inputs
        assert isinstance(layer, MaxPool)
        window = pool_window(layer, a.ndim - 2)
        seen = geometry(window)
        best, winner = _ext.winners(channels_last(a), *seen, window.outputs(a.shape[2:]), self.threads)
        best = channels_first(best)
        return best, (winner, a.shape, (a, best) if self.booked else None, seen)

    def relevance(self, saved: Any, message: Array) -> tuple[tuple[Array, ...], Any]:
        winner, shape, looked, (kernel, stride, dilation, before) = saved
        below = folded(channels_last(message, 2))
        found = _ext.to_winners(below, winner, kernel, stride, dilation, before, shape[2:], self.threads)
        lower = channels_first(found.reshape(shape[0], message.shape[1], *found.shape[1:]), 2)
        return (lower,), (self._account(looked[1], message),) if self.booked else ()

    def _account(self, output: Array, message: Array) -> OpenEntry:
        """Every message to a winner is a whole R_k; where windows overlap they add up below, and may cancel there."""
        layer = self.nodes[0].layer
        assert isinstance(layer, MaxPool)
        window, named = pool_window(layer, output.ndim - 2), str(self.rule)
        if all(step >= window.extent(axis) for axis, step in enumerate(window.stride)):
            return OpenEntry(self.nodes[0].name, named)
        columns = totals(message, output if self.arrives == "c" else None, self.threads)
        columns[..., PLACES["turnover"]] += columns[..., PLACES["arriving_abs"]]
        return OpenEntry(self.nodes[0].name, named, columns)


@dataclass(frozen=True, eq=False)
class CompiledSurrogate(Surrogate, CompiledSum):
    """Maximum pooling treated as a sum: the sum's windows and the maximum in C."""

    @property
    def label(self) -> str:
        return f"compiled, as a sum, {self.arrives} → c"

    def _maximum(self, a: Array) -> Array:
        layer = self.nodes[0].layer
        if not isinstance(layer, MaxPool):
            return layer.forward(a)
        window = pool_window(layer, a.ndim - 2)
        best, _ = _ext.winners(channels_last(a), *geometry(window), window.outputs(a.shape[2:]), self.threads)
        return channels_first(best)

    def _accounts(self, made: Prepared, factors: list[Array], seen: Any, message: Array) -> tuple[OpenEntry, ...]:
        return tuple(replace(entry, rule=str(self.outer)) for entry in super()._accounts(made, factors, seen, message))
