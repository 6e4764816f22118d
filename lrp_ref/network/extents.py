"""Networks whose shapes a file leaves open: they are laid out anew for the shapes of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..arrays import Shape
from ..errors import GraphError, LrpError, ShapeError
from ..lazy_dataclass import lazy_dataclass
from .wiring import Node


@lazy_dataclass(frozen=True, eq=False)
class Extents:
    """How a network is laid out for inputs of other shapes.

    Parameters
    ----------
    read : from the shape of one sample of every input to the network for them
    nodes : the nodes of the network that stands for all of them, which is one of those that `read` gives
    """

    read: Callable[[Mapping[str, Shape]], Any]
    nodes: tuple[Node, ...]

    def fitted(self, nodes: Sequence[Node], shapes: Mapping[str, Shape]) -> Any:
        """The network for samples of these shapes; `nodes`: those of the network that asks.

        Raises
        ------
        ShapeError
            Where no network is to be had for these shapes.
        GraphError
            Where the network that asks was changed since it was read.
        """
        mine = {node.name: node.layer for node in self.nodes}
        if len(nodes) != len(mine) or any(mine.get(node.name) is not node.layer for node in nodes):
            raise GraphError(
                "a network with open extents is read from its file again for every input shape, so its nodes cannot be changed: "
                "load it with input_shape=, and change the network for that shape"
            )
        try:
            return self.read(shapes)
        except LrpError as error:
            listed = ", ".join(f"{name!r}: {shape}" for name, shape in shapes.items())
            raise ShapeError(
                f"the network cannot take samples of shape {listed}: {error}; input_shape= loads it for one shape"
            ) from None
