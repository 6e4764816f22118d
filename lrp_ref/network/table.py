"""A network as a table: a row for each node, in text and in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from .wiring import Node

#: A node's name, its layer, what it reads, how many parameters it has.
Row: TypeAlias = tuple[str, str, str, int]

#: Names of up to this length set the width of a table's column; longer ones stand out of it.
COLUMN = 40


def node_rows(nodes: Sequence[Node]) -> list[Row]:
    """A row for each node.

    Parameters
    ----------
    nodes : in the order of the rows
    """
    return [(n.name, repr(n.layer), ", ".join(n.inputs), sum(v.size for v in n.layer.parameters.values())) for n in nodes]


def text_rows(rows: Sequence[Row]) -> list[str]:
    """Lines of text with aligned names; longer ones stand out.

    Parameters
    ----------
    rows : at least one
    """
    width = min(COLUMN, max(len(name) for name, *_ in rows))
    return [f"  {name:<{width}}  {layer}  ← {reads}" for name, layer, reads, _ in rows]


def html_table(rows: Sequence[Row]) -> str:
    """A table for notebooks.

    Parameters
    ----------
    rows : of the nodes
    """
    from html import escape

    body = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(layer)}</td><td>{escape(reads)}</td><td>{count}</td></tr>"
        for name, layer, reads, count in rows
    )
    return f"<table><tr><th>node</th><th>layer</th><th>reads</th><th>parameters</th></tr>{body}</table>"
