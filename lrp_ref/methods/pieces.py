r"""Where a straight path through the inputs bends: the pieces on which a piecewise linear network is affine.

The activations are carried along the path as their values at the ends of its pieces. Between two ends all of them are affine, up
to the first layer where a unit changes its sign or a maximum its winner; there the path gets new ends, between which that layer's
output is affine, too. On rationals every end is rational.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, like
from ..errors import LrpError, ParameterError
from ..layers.activations import LeakyReLU, ReLU
from ..layers.base import Elementwise, Layer, Linear
from ..layers.elementwise import Abs, Clip, HardSigmoid, PReLU
from ..layers.functions import Maximum, Minimum
from ..layers.merge import Multiply
from ..layers.pooling import Selecting, lowered
from ..layers.shape import Rearrangement
from ..network.model import Model, Node, ancestors


@dataclass(frozen=True, eq=False)
class Path:
    """A path as pieces.

    Attributes
    ----------
    ends : where pieces begin and end, (P,), from 0 to 1
    values : activations at the ends by name, (P, …)
    """

    ends: Array
    values: Mapping[str, Array]


def path_pieces(model: Model, nodes: Iterable[str], begin: Mapping[str, Array], end: Mapping[str, Array], most: int) -> Path:
    """The pieces of the straight path from one input to another, on which every activation below some nodes is affine.

    Parameters
    ----------
    model : the network, for inputs of this shape
    nodes : whose values are wanted
    begin, end : one sample (1, …) of every input
    most : how many pieces there may be

    Raises
    ------
    ParameterError
        Where a node is not piecewise linear along the path, or there are more pieces; the node is named.
    """
    wanted = tuple(nodes)
    below = ancestors(model, *(name for name in wanted if name in model))
    example = next(iter(begin.values()))
    walk = _Walk(like([0, 1], example), {name: np.concatenate([begin[name], end[name]]) for name in begin}, most)
    order = [node for node in model.nodes if node.name in below]
    for position, node in enumerate(order):
        walk.through(node)
        walk.forget({*wanted, *(name for later in order[position + 1 :] for name in later.inputs)})
    return Path(walk.ends, {name: walk.values[name] for name in wanted})


class _Walk:
    """The path while it goes through a network: its ends so far, and the activations that are still read."""

    def __init__(self, ends: Array, values: dict[str, Array], most: int) -> None:
        self.ends, self.values, self.most = ends, values, most

    def through(self, node: Node) -> None:
        """One node's output at the ends, with new ends where it bends."""
        inputs = [self.values[name] for name in node.inputs]
        moving = [bool((a[1:] != a[:-1]).any()) for a in inputs]
        try:
            if any(moving):
                self._bend(node, moving)
            self.values[node.name] = node.layer.forward(*(self.values[name] for name in node.inputs))
        except LrpError as error:
            raise error.at(node.title) from None

    def forget(self, read: set[str]) -> None:
        """Drop what nothing reads any more."""
        self.values = {name: array for name, array in self.values.items() if name in read}

    def _bend(self, node: Node, moving: list[bool]) -> None:
        """New ends where a layer's output bends."""
        layer, names = node.layer, node.inputs
        if _affine(layer, moving):
            return
        lines = _rivals(layer)
        if lines is not None:
            for _ in range(lines(*(self.values[name] for name in names)).shape[1]):
                if not self._insert(_overtaken(lines(*(self.values[name] for name in names)))):
                    return
            return
        self._insert([t for bound in _bends(layer) for t in _crossings(self.values[names[0]], bound)])

    def _insert(self, places: list[tuple[int, Any]]) -> bool:
        """New ends at fractions t of pieces, (piece, t); whether there was any."""
        found: dict[Any, tuple[int, Any]] = {}
        for piece, t in places:
            left, right = self.ends[piece], self.ends[piece + 1]
            at = left + t * (right - left)
            if left < at < right:
                found[at] = (piece, t)
        if not found:
            return False
        order = sorted(found)
        if len(self.ends) + len(order) - 1 > self.most:
            raise ParameterError(
                f"the path has more than {self.most} pieces up to here; most_pieces= allows more, exact=False with steps= "
                "integrates numerically"
            )
        pieces = np.array([found[at][0] for at in order])
        fractions = np.array([found[at][1] for at in order], dtype=self.ends.dtype)
        self.ends = np.insert(self.ends, pieces + 1, np.array(order, dtype=self.ends.dtype))
        for name, array in self.values.items():
            t = fractions.reshape(-1, *(1,) * (array.ndim - 1))
            self.values[name] = np.insert(array, pieces + 1, array[pieces] + t * (array[pieces + 1] - array[pieces]), axis=0)
        return True


# --- which layers bend where -------------------------------------------------------------------------------------------


def _affine(layer: Layer, moving: list[bool]) -> bool:
    """Whether a layer's output is affine along a path on which these of its inputs move and are affine.

    Raises
    ------
    ParameterError
        Where it is neither affine nor made of affine pieces.
    """
    if isinstance(layer, (Linear, Rearrangement)) or (isinstance(layer, Multiply) and sum(moving) < 2):
        return True
    if _rivals(layer) is not None or _bends(layer):
        return False
    raise ParameterError(
        f"{type(layer).__name__} is not piecewise linear along this path, so that its integral has no exact form here: "
        "exact=False with steps= integrates numerically"
    )


def _bends(layer: Layer) -> tuple[Any, ...]:
    """Where a function of each element bends."""
    if isinstance(layer, (ReLU, LeakyReLU, PReLU, Abs)):
        return (0,)
    if isinstance(layer, Clip):
        # Without bounds it is the identity, and bends nowhere.
        return tuple(bound for bound in (layer.low, layer.high) if bound is not None) or (0,)
    if isinstance(layer, HardSigmoid) and isinstance(layer, Elementwise) and layer.alpha:
        return (_HardEnd(layer, 0), _HardEnd(layer, 1))
    return ()


@dataclass(frozen=True)
class _HardEnd:
    """Where αz + β is 0 or 1, in the number type of z."""

    layer: HardSigmoid
    level: int

    def like(self, z: Array) -> Array:
        return np.asarray((like(self.level, z) - like(self.layer.beta, z)) / like(self.layer.alpha, z))


def _crossings(z: Array, bound: Any) -> list[tuple[int, Any]]:
    """Where units (P, …) cross a bound between two ends: (piece, t)."""
    flat = z.reshape(len(z), -1) - (bound.like(z) if isinstance(bound, _HardEnd) else like(bound, z))
    zero = like(0, flat)
    changes = ((flat[:-1] < zero) & (flat[1:] > zero)) | ((flat[:-1] > zero) & (flat[1:] < zero))
    pieces, units = np.nonzero(changes)
    low, high = flat[pieces, units], flat[pieces + 1, units]
    return list(zip(pieces.tolist(), low / (low - high), strict=True)) if len(pieces) else []


def _rivals(layer: Layer) -> Callable[..., Array] | None:
    """For a layer that takes maxima what they are taken of, (P, lines, outputs); None: it takes none."""
    if isinstance(layer, Selecting):
        selecting = layer

        def cells(a: Array) -> Array:
            found = lowered(*selecting.cells(a))
            return np.moveaxis(found, 2, 1).reshape(len(a), found.shape[2], -1)

        return cells
    if isinstance(layer, (Maximum, Minimum)):
        sign = 1 if isinstance(layer, Maximum) else -1

        def stacked(*inputs: Array) -> Array:
            together = np.stack(np.broadcast_arrays(*inputs), axis=1)
            return (together * like(sign, together)).reshape(len(together), len(inputs), -1)

        return stacked
    return None


def _overtaken(lines: Array) -> list[tuple[int, Any]]:
    """Where a winner is overtaken by the winner of the piece's other end, (piece, t), of lines (P, lines, outputs)."""
    left, right = lines[:-1], lines[1:]
    first, last = _winner(left, right), _winner(right, left)
    a_left, a_right, b_left, b_right = (
        np.take_along_axis(side, winner[:, None], axis=1)[:, 0] for winner in (first, last) for side in (left, right)
    )
    pieces, outputs = np.nonzero(b_right > a_right)
    gap, lead = (a_left - b_left)[pieces, outputs], (b_right - a_right)[pieces, outputs]
    return list(zip(pieces.tolist(), gap / (gap + lead), strict=True)) if len(pieces) else []


def _winner(here: Array, there: Array) -> Array:
    """The largest line at one end of each piece, of equal ones the one that is largest at the other end: (pieces, outputs)."""
    top = here.max(axis=1, keepdims=True)
    floor = there.min(axis=1, keepdims=True) - like(1, there)
    return np.asarray(np.where(here == top, there, floor).argmax(axis=1))
