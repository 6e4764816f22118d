"""Equal windows have equal sums: what repeats an earlier window of its sample has that window's number (`CONV-MAX-TIES`).

The sum of floats depends on their order, and BLAS libraries take another one at the edges of their tiles: equal windows would get
numbers that differ in the last bit, and their place would decide which of them wins a maximum. No order is asked for here. The
windows that hold the same numbers are looked for, and the first one's sum stands for all of them.

They are found by marks: integers that are equal where cells hold equal numbers, added up over a window with a factor for each
tap. Where marks agree, the numbers are compared bit for bit; should different ones share a mark, other factors are taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import numpy as np

from ..arrays import Array, Shape, is_exact
from ..lazy_dataclass import lazy_dataclass
from .window import Window

#: From marks (N, groups, *spatial), for each tap, what the output cells see through it: (N, groups, *out), 0 where it is padding.
Views = Callable[[Array], Iterator[Array]]

PROBED = 8  # numbers of a filter that are looked at before all of them are


@lazy_dataclass(frozen=True, eq=False)
class Repeats:
    """Places that repeat an earlier one.

    Attributes
    ----------
    rows : which rows (a sample and a group) have such places
    origin : for each of these rows and each place, the first place that holds the same
    """

    rows: Array
    origin: Array

    def settle(self, numbers: Array, axis: int) -> None:
        """Give every place the numbers of its origin; `numbers` (rows, …) has the places on `axis`, and is changed."""
        for row, origin in zip(self.rows, self.origin, strict=True):
            numbers[row] = np.take(numbers[row], origin, axis=axis - 1)


def settle_windows(products: Sequence[Array], x: Array, groups: int, views: Views) -> None:
    """Give equal windows of a sample equal numbers: products (N, upper, *out), made of x (N, lower, *spatial), are changed."""
    ties = repeats(x, groups, views) if products[0].size else None
    if ties is not None:
        for z in products:
            ties.settle(z.reshape(z.shape[0] * groups, z.shape[1] // groups, math.prod(z.shape[2:])), 2)


def settle_filters(z: Array, filters: Array) -> None:
    """Give equal filters (groups, upper/groups, terms) equal numbers: z (N, groups, upper/groups, cells) is changed."""
    upper, terms = filters.shape[1:]
    if upper < 2 or not terms or is_exact(filters) or _alike(filters[:, :, :: math.ceil(terms / PROBED)]) is None:
        return
    ties = _alike(filters)
    if ties is not None:
        for sample in z:
            ties.settle(sample, 1)


def _alike(filters: Array) -> Repeats | None:
    return repeats(filters.swapaxes(1, 2).reshape(1, -1, filters.shape[1]), filters.shape[0], alone)


def settle_rows(z: Array, x: Array) -> None:
    """Give equal rows of a sample equal numbers: z (N, rows, upper), made of x (N, rows, lower), is changed."""
    ties = repeats(x.swapaxes(1, 2), 1, alone) if x.shape[1] > 1 else None
    if ties is not None:
        ties.settle(z, 1)


def alone(marks: Array) -> Iterator[Array]:
    """An output cell sees the input cell in its place."""
    yield marks


def gathered(window: Window, out: Shape) -> Views:
    """The output cells `out` see what a convolution's windows do."""

    def views(marks: Array) -> Iterator[Array]:
        padded = np.zeros(marks.shape[:2] + window.padded(out), marks.dtype)
        in_input, in_padded = window.inside(marks.shape[2:], out)
        padded[in_padded] = marks[in_input]
        for cells in window.slices(out):
            yield padded[cells]

    return views


def scattered(window: Window, out: Shape) -> Views:
    """The output cells `out` see what those of a transposed convolution do."""

    def views(marks: Array) -> Iterator[Array]:
        in_output, in_padded = window.inside(out, marks.shape[2:])
        for cells in window.slices(marks.shape[2:]):
            padded = np.zeros(marks.shape[:2] + window.padded(marks.shape[2:]), marks.dtype)
            padded[cells] = marks
            seen = np.zeros(marks.shape[:2] + out, marks.dtype)
            seen[in_output] = padded[in_padded]
            yield seen

    return views


def repeats(x: Array, groups: int, views: Views) -> Repeats | None:
    """The output cells that see the same numbers of x (N, channels, *spatial) as an earlier one of their sample and group.

    None where there is none, or the numbers are rational.
    """
    if is_exact(x) or 0 in x.shape:
        return None
    shape = (x.shape[0], groups, x.shape[1] // groups, math.prod(x.shape[2:]))
    bits = np.add(x, x.dtype.type(0), order="C").reshape(shape).view(np.uint32)  # −0 + 0 = 0: the same number
    for attempt in count():
        marks = _marks(bits, x.itemsize, attempt)
        laid = marks.reshape(*shape[:2], *x.shape[2:])
        ties = _first(_added(views(laid)))
        if ties is None or _holds(ties, bits, marks, views(laid)):
            return ties
    raise AssertionError("there are attempts without end")


def _factors(many: int, seed: int) -> Array:
    """Odd integers of 64 bits that look random (the mixing function of Steele, Lea and Flood 2014)."""
    z = np.arange(1, many + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed * 0x632BE59BD9B4E019 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z ^ (z >> np.uint64(31))) | np.uint64(1))


def _marks(bits: Array, itemsize: int, attempt: int) -> Array:
    """A mark (N, groups, cells) for each column of (N, groups, channels, cells), 0 for zeros.

    The first attempt takes halves of 64 bits for themselves, which is fast; round numbers leave few of their bits in it.
    """
    factors = _factors(bits.shape[2], 2 * attempt)
    if attempt == 0:
        sums = np.einsum("ngcp,c->ngp", bits, (factors >> np.uint64(32)).astype(np.uint32) | np.uint32(1))
        return sums.astype(np.uint64) if itemsize == 4 else np.ascontiguousarray(sums).view(np.uint64)
    whole = bits.astype(np.uint64) if itemsize == 4 else bits.view(np.uint64)
    return np.asarray(np.einsum("ngcp,c->ngp", whole ^ (whole >> np.uint64(4 * itemsize - 1)), factors))


def _added(views: Iterator[Array]) -> Array:
    """Marks of windows, (N·groups, cells)."""
    total = next(views).copy()
    factor = 1
    for seen in views:
        factor = factor * 0x5851F42D4C957F2D % 2**64  # Knuth's multiplier: odd, so that no power of it is even
        total += seen * np.uint64(factor)
    return total.reshape(math.prod(total.shape[:2]), -1)


def _first(marks: Array) -> Repeats | None:
    """Where each mark of a row (rows, places) is for the first time; None where all marks of each row are different."""
    ordered = np.sort(marks, axis=1)
    rows = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if not rows.size:
        return None
    chosen, ordered = marks[rows], ordered[rows].ravel()
    base = np.arange(rows.size)[:, None] * chosen.shape[1]
    order = (np.argsort(chosen, axis=1) + base).ravel()
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]) | (np.arange(ordered.size) % chosen.shape[1] == 0))
    origin = np.empty_like(order)
    origin[order] = np.repeat(np.minimum.reduceat(order, starts), np.diff(np.append(starts, order.size)))
    return Repeats(rows, origin.reshape(chosen.shape) - base)


def _holds(ties: Repeats, bits: Array, marks: Array, views: Iterator[Array]) -> bool:
    """Whether places and their origins see the same numbers."""
    row, place = np.nonzero(ties.origin != np.arange(ties.origin.shape[1]))
    here = ties.rows[row] * ties.origin.shape[1] + place
    there = here + ties.origin[row, place] - place
    if any(not np.array_equal(np.take(seen, here), np.take(seen, there)) for seen in views):
        return False
    columns = bits.reshape(marks.shape[0] * marks.shape[1], bits.shape[2], marks.shape[2], -1)
    cells = marks.reshape(-1, marks.shape[2])
    if any(columns[row][:, cells[row] == 0].any() for row in ties.rows):
        return False
    equal = _first(cells[ties.rows])
    for row, origin in () if equal is None else zip(ties.rows[equal.rows], equal.origin, strict=True):
        copies = np.flatnonzero(origin != np.arange(origin.size))
        if not np.array_equal(np.take(columns[row], copies, axis=1), np.take(columns[row], origin[copies], axis=1)):
            return False
    return True
