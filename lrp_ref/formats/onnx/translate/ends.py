"""Where a network may end instead: the values that a node reads which is not read itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..read.onnx_graph import OpNode

#: The advice that gets the values.
END = "end the model before it with outputs="


def with_ends(advice: str, names: Sequence[str]) -> str:
    """An advice to end the model before a node, with the values to end it at.

    Parameters
    ----------
    advice : may have `END` in it
    names : of values; none: the advice as it is
    """
    if not names:
        return advice
    chosen = repr(names[0]) if len(names) == 1 else repr(tuple(names))
    return advice.replace(END, f"{END}{chosen}")


def ends_before(op: str, nodes: Sequence[OpNode], refused: Collection[str], inputs: Collection[str]) -> tuple[str, ...]:
    """The values that nodes of an operator read, that depend on the network's input and on no operator that is refused.

    Parameters
    ----------
    op : the operator
    nodes : in computing order
    refused : the operators that are not read
    inputs : the names of the network's inputs
    """
    signals, unread = set(inputs), set[str]()
    names: list[str] = []
    for node in nodes:
        if node.op == op:
            names += [name for name in node.inputs if name in signals and name not in unread and name not in inputs]
        if not signals.isdisjoint(node.inputs):
            signals.update(node.outputs)
        if node.op in refused or not unread.isdisjoint(node.inputs):
            unread.update(node.outputs)
    return tuple(dict.fromkeys(names))
