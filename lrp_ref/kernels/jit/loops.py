"""The loops of the jit backend, compiled by Numba at their first call; only this module imports it.

Each is the twin of some lines of NumPy, which its comment names; where it adds in their order the bits are the same. So no
reordering is allowed (no `fastmath`), and there is one thread. Arrays are C-contiguous and of one number type, with all spatial
axes in one: where windows lie is looked up in a table of `spans`. A row that is cut out is a slice, because an index that is
known to count from 0 makes vectors. Without Numba the functions are plain Python: right, but slow, so the plan never offers them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ...arrays import Array
from ...errors import missing_extra

refused: ImportError | None = None
try:
    import numba
except ImportError as error:
    numba, refused = None, error

Function = TypeVar("Function", bound=Callable[..., Any])

#: What a span says: its first output cell, its first input cell, and how many there are.
OUTPUT, INPUT, COUNT = 0, 1, 2
#: The rows of a grid.
KERNEL, STRIDE, DILATION, BEFORE, INSIDE, OUT = range(6)
#: What a stabiliser adds, and which neurons a share serves.
EXACT, SIGNED, UNSIGNED = range(3)
EVERYWHERE, NONNEGATIVE, NEGATIVE = range(3)


def require() -> None:
    """Raise `MissingExtraError` where Numba is not there, or does not work with the NumPy that is."""
    if numba is None:
        raise missing_extra("numba", "numba", 'backend="jit"') from refused


def compiled(function: Function) -> Function:
    """The function, compiled for a number type when it first meets it, and kept on disk for the next process."""
    if numba is None:
        return function
    # NumPy's division by zero gives an infinity or NaN; Python's raises, and no loop with such a check is fast.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        loop: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # nothing can be written, neither beside this file nor in the user's cache directory
        loop = numba.njit(**options)(function)
    return loop


def inlined(function: Function) -> Function:
    """A part of several loops; called instead, it would count references to every row that it is given."""
    if numba is None:
        return function
    loop: Function = numba.njit(inline="always", error_model="numpy")(function)
    return loop


# ---- windows -----------------------------------------------------------------------------------------------------------


@compiled
def spans(grid: Array, table: Array) -> None:
    """Window.slices and Window.inside by rows of the last axis, without the padding: (rows of the output, taps, 3)."""
    for row in range(grid[OUT, 0] * grid[OUT, 1]):
        for tap in range(grid[KERNEL, 0] * grid[KERNEL, 1] * grid[KERNEL, 2]):
            t0, t1 = tap // (grid[KERNEL, 1] * grid[KERNEL, 2]), tap // grid[KERNEL, 2] % grid[KERNEL, 1]
            i0 = row // grid[OUT, 1] * grid[STRIDE, 0] + t0 * grid[DILATION, 0] - grid[BEFORE, 0]
            i1 = row % grid[OUT, 1] * grid[STRIDE, 1] + t1 * grid[DILATION, 1] - grid[BEFORE, 1]
            shift = tap % grid[KERNEL, 2] * grid[DILATION, 2] - grid[BEFORE, 2]
            first = max(0, -(shift // grid[STRIDE, 2]))  # the first output with o·stride + shift ≥ 0
            last = min(grid[OUT, 2], (grid[INSIDE, 2] - 1 - shift) // grid[STRIDE, 2] + 1)
            exists = 0 <= i0 < grid[INSIDE, 0] and 0 <= i1 < grid[INSIDE, 1] and first < last
            place = (i0 * grid[INSIDE, 1] + i1) * grid[INSIDE, 2] + first * grid[STRIDE, 2] + shift
            table[row, tap, OUTPUT] = row * grid[OUT, 2] + (first if exists else 0)
            table[row, tap, INPUT] = place if exists else 0
            table[row, tap, COUNT] = last - first if exists else 0


# ---- maxima ------------------------------------------------------------------------------------------------------------


@compiled
def winners(a: Array, table: Array, step: int, best: Array, winner: Array) -> None:
    """Winners.forward; `winner` is the cell that won, not the tap."""
    best[:] = -np.inf
    winner[:] = 0
    for p in range(a.shape[0]):
        for row in range(table.shape[0]):
            for tap in range(table.shape[1]):
                o, i, count = table[row, tap, OUTPUT], table[row, tap, INPUT], table[row, tap, COUNT]
                below, above, won = a[p, i:], best[p, o : o + count], winner[p, o : o + count]
                if step == 1:  # a step that is known makes vectors
                    _compete(below, 1, i, above, won)
                elif step == 2:
                    _compete(below, 2, i, above, won)
                else:
                    _compete(below, step, i, above, won)


@inlined
def _compete(below: Array, step: int, first: int, best: Array, won: Array) -> None:
    # np.maximum and np.copyto: of equal cells the first wins, and a NaN stays. All is loaded, and then chosen: which cell wins
    # cannot be predicted, so a branch is slow.
    for k in range(best.size):
        x, old, cell, here = below[k * step], best[k], won[k], first + k * step
        won[k] = here if x > old else cell
        high = x if x > old else old  # noqa: FURB136 (max() is defined otherwise for a NaN)
        best[k] = x if x != x else high


@compiled
def to_winners(message: Array, winner: Array, lower: Array) -> None:
    """Winners.relevance: backwards over the outputs is forwards over the taps, so messages add up in NumPy's order."""
    lower[:] = 0
    for n in range(message.shape[0]):
        for t in range(message.shape[1]):
            for c in range(message.shape[2]):
                for k in range(message.shape[3] - 1, -1, -1):
                    lower[n, t, c, winner[n, c, k]] += message[n, t, c, k]


@compiled
def ties(a: Array, best: Array, table: Array, step: int, count: Array) -> None:
    """The count in SplitWinners.relevance: how many cells of each window are its best."""
    count[:] = 0
    for n in range(a.shape[0]):
        for c in range(a.shape[1]):
            for row in range(table.shape[0]):
                for tap in range(table.shape[1]):
                    o, i = table[row, tap, OUTPUT], table[row, tap, INPUT]
                    for k in range(table[row, tap, COUNT]):
                        if a[n, c, i + k * step] == best[n, c, o + k]:
                            count[n, c, o + k] += 1


@compiled
def to_ties(shares: Array, a: Array, best: Array, table: Array, step: int, lower: Array) -> None:
    """The rest of SplitWinners.relevance, a part to each of them; backwards, as in `to_winners`."""
    lower[:] = 0
    for n in range(shares.shape[0]):
        for t in range(shares.shape[1]):
            for c in range(shares.shape[2]):
                for row in range(table.shape[0] - 1, -1, -1):
                    for tap in range(table.shape[1]):
                        o, i = table[row, tap, OUTPUT], table[row, tap, INPUT]
                        for k in range(table[row, tap, COUNT]):
                            if a[n, c, i + k * step] == best[n, c, o + k]:
                                lower[n, t, c, i + k * step] += shares[n, t, c, o + k]


# ---- sums over windows, and their transpose ----------------------------------------------------------------------------


@compiled
def window_sums(x: Array, table: Array, step: int, total: Array) -> None:
    """window_sum of layers.window."""
    total[:] = 0
    for p in range(x.shape[0]):
        for row in range(table.shape[0]):
            for tap in range(table.shape[1]):
                o, i, count = table[row, tap, OUTPUT], table[row, tap, INPUT], table[row, tap, COUNT]
                below, above = x[p, i:], total[p, o : o + count]
                if step == 1:
                    _gain(above, below, 1)
                elif step == 2:
                    _gain(above, below, 2)
                else:
                    _gain(above, below, step)


@compiled
def window_spread(s: Array, table: Array, step: int, lower: Array) -> None:
    """window_spread of layers.window; rows backwards, as in `to_winners`."""
    lower[:] = 0
    for p in range(s.shape[0]):
        for row in range(table.shape[0] - 1, -1, -1):
            for tap in range(table.shape[1]):
                o, i, count = table[row, tap, OUTPUT], table[row, tap, INPUT], table[row, tap, COUNT]
                below, above = lower[p, i:], s[p, o : o + count]
                if step == 1:
                    _spend(below, above, 1)
                elif step == 2:
                    _spend(below, above, 2)
                else:
                    _spend(below, above, step)


@inlined
def _gain(total: Array, x: Array, step: int) -> None:
    for k in range(total.size):
        total[k] += x[k * step]


@inlined
def _spend(lower: Array, s: Array, step: int) -> None:
    for k in range(s.size):
        lower[k * step] += s[k]


# ---- convolutions ------------------------------------------------------------------------------------------------------


@compiled
def gather(x: Array, table: Array, step: int, columns: Array) -> None:
    """The columns of products._correlate, (samples, channels, taps, cells): 0 where a window sees padding."""
    width = columns.shape[3] // table.shape[0]
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for tap in range(table.shape[1]):
                for row in range(table.shape[0]):
                    o, i, count = table[row, tap, OUTPUT], table[row, tap, INPUT], table[row, tap, COUNT]
                    if count < width:
                        columns[n, c, tap, row * width : (row + 1) * width] = 0
                    below, above = x[n, c, i:], columns[n, c, tap, o : o + count]
                    if step == 1:
                        _copy(above, below, 1)
                    else:
                        _copy(above, below, step)


@inlined
def _copy(above: Array, below: Array, step: int) -> None:
    for k in range(above.size):
        above[k] = below[k * step]


@compiled
def scatter(columns: Array, table: Array, step: int, lower: Array) -> None:
    """The transpose of `gather`, as in products._correlate_adjoint: added to `lower`, tap by tap."""
    for n in range(lower.shape[0]):
        for c in range(lower.shape[1]):
            for tap in range(table.shape[1]):
                for row in range(table.shape[0]):
                    o, i, count = table[row, tap, OUTPUT], table[row, tap, INPUT], table[row, tap, COUNT]
                    below, above = lower[n, c, i:], columns[n, c, tap, o : o + count]
                    if step == 1:
                        _spend(below, above, 1)
                    else:
                        _spend(below, above, step)


@compiled
def correlate(x: Array, weight: Array, table: Array, z: Array) -> None:
    """The products of products._correlate without columns or stride, for few channels: (samples, groups, weights, cells)."""
    taps = table.shape[1]
    z[:] = 0
    for n in range(z.shape[0]):
        for g in range(z.shape[1]):
            for r in range(z.shape[2]):
                for row in range(table.shape[0]):
                    for entry in range(weight.shape[2]):
                        w, c, tap = weight[g, r, entry], g * (weight.shape[2] // taps) + entry // taps, entry % taps
                        o, i, count = table[row, tap, OUTPUT], table[row, tap, INPUT], table[row, tap, COUNT]
                        above, below = z[n, g, r, o : o + count], x[n, c, i:]
                        for k in range(above.size):
                            above[k] += w * below[k]


@compiled
def correlate_adjoint(s: Array, weight: Array, table: Array, step: int, lower: Array) -> None:
    """The transpose of `correlate`, as in products._correlate_adjoint."""
    taps = table.shape[1]
    lower[:] = 0
    for n in range(s.shape[0]):
        for g in range(s.shape[1]):
            for row in range(table.shape[0]):
                for r in range(s.shape[2]):
                    for entry in range(weight.shape[2]):
                        w, c, tap = weight[g, r, entry], g * (weight.shape[2] // taps) + entry // taps, entry % taps
                        o, i, count = table[row, tap, OUTPUT], table[row, tap, INPUT], table[row, tap, COUNT]
                        below, above = lower[n, c, i:], s[n, g, r, o : o + count]
                        if step == 1:
                            _spend_weighted(below, above, w, 1)
                        elif step == 2:
                            _spend_weighted(below, above, w, 2)
                        else:
                            _spend_weighted(below, above, w, step)


@inlined
def _spend_weighted(lower: Array, s: Array, w: Any, step: int) -> None:
    for k in range(s.size):
        lower[k * step] += w * s[k]


# ---- what follows the products of a linear layer -------------------------------------------------------------------------


@compiled
def activated(products: Array, bias: Array, rectified: bool, start: int, output: Array) -> None:
    """The bias and np.maximum of FusedLinear.forward.

    From products (samples, groups, weights, cells) into the cells of the output (samples, groups, channels, cells) from `start`
    on. A channel's bias: nothing, one number, or one for each cell.
    """
    cells, zero = products.shape[3], products.dtype.type(0)
    for n in range(output.shape[0]):
        for g in range(output.shape[1]):
            for p in range(output.shape[2]):
                sums = output[n, g, p, start : start + cells]
                _biased(products[n, g, p], bias[g, p], start, sums)
                if rectified:
                    for k in range(cells):
                        z = sums[k]
                        sums[k] = z if (z > zero) | (z != z) else zero  # a NaN stays


@inlined
def _biased(row: Array, bias: Array, start: int, sums: Array) -> None:
    if bias.size == 0:
        for k in range(sums.size):
            sums[k] = row[k]
    elif bias.size == 1:
        for k in range(sums.size):
            sums[k] = row[k] + bias[0]
    else:
        biases = bias[start:]
        for k in range(sums.size):
            sums[k] = row[k] + biases[k]


@compiled
def factors(
    products: Array, q: int, bias: Array, start: int, z: Array, output: Array, factor: Array,
    kind: int, epsilon: Any, where: int, quotient: bool, coefficient: Any,
) -> int:  # fmt: skip
    """FusedLinear._factor of the share whose denominators are the q-th of the products: λ·output/(z + e), or (z + e)/λ.

    The denominator of a dead one is infinite, as of what overflowed; what is odd about them is returned (`oddities`). There are
    several passes over a row, but all after the first find it in the cache.
    """
    cells, zero, never = products.shape[3], products.dtype.type(0), products.dtype.type(np.inf)
    odd = 0
    for n in range(factor.shape[0]):
        for g in range(factor.shape[1]):
            for p in range(factor.shape[2]):
                bottoms, top = factor[n, g, p, start : start + cells], output[n, g, p, start : start + cells]
                _biased(products[n, g, q * factor.shape[2] + p], bias[g, p], start, bottoms)
                _stabilised(bottoms, kind, epsilon)
                sign = z[n, g, p, start : start + cells]
                odd |= _oddities(bottoms, top, sign, where, quotient)
                if where != EVERYWHERE:
                    for k in range(cells):
                        bottoms[k] = bottoms[k] if (sign[k] >= zero) == (where == NONNEGATIVE) else zero
                for k in range(cells):
                    size = abs(bottoms[k])
                    bottom = bottoms[k] if (size > zero) & (size < never) else never
                    bottoms[k] = (top[k] / bottom) * coefficient if quotient else bottom / coefficient
    return odd


@inlined
def _oddities(bottom: Array, top: Array, sign: Array, where: int, quotient: bool) -> int:
    """oddities.kinds_of: 1 where a denominator that relevance meets is 0 or subnormal, 2 where one is not finite."""
    zero, never = bottom.dtype.type(0), bottom.dtype.type(np.inf)
    tiny = bottom.dtype.type(2.0**-126 if bottom.itemsize == 4 else 2.0**-1022)
    small, over = 0, 0
    for k in range(bottom.size):
        size = abs(bottom[k])
        served = (where == EVERYWHERE) | ((not sign[k] < zero) if where == NONNEGATIVE else (not sign[k] >= zero))
        meets = served & ((not quotient) | (top[k] != zero))
        small |= meets & (size < tiny)
        over |= meets & (not size < never)
    return small + 2 * over


@inlined
def _stabilised(bottom: Array, kind: int, epsilon: Any) -> None:
    if kind == SIGNED:
        for k in range(bottom.size):
            bottom[k] += -epsilon if bottom[k] < 0 else epsilon
    elif kind == UNSIGNED:
        for k in range(bottom.size):
            bottom[k] += epsilon
