"""Schema versions: which one of every operator a file means, and whether it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from ....errors import FormatError
from ..read.onnx_graph import Branch, OpNode
from ..read.reader import ML_DOMAIN
from .ends import ends_before, with_ends
from .operators import FOLDED, FOREIGN, HINTS, OPERATORS, OTHERS


def versions_of(nodes: Sequence[OpNode], opset: int, ml_opset: int = 0, inputs: Collection[str] = ()) -> dict[str, int]:
    """The schema version of every operator, for the versions of ONNX's own and of ai.onnx.ml's operators.

    Operators inside branches that are not read have the version 0: whether a branch is taken is not known yet.

    Parameters
    ----------
    nodes : those that the outputs need
    opset, ml_opset : the versions that the file imports
    inputs : the names of the network's inputs, from which it follows where the network may end instead

    Raises
    ------
    FormatError
        Where operators are not known; all are listed, with what would help.
    """
    versions: dict[str, int] = {}
    wrong: dict[str, str] = {}
    for node in nodes:
        if node.op not in versions and node.op not in wrong:
            _look_up(node.op, opset, ml_opset, versions, wrong)
    if wrong:
        counts = Counter(node.op for node in nodes)
        advised = {op: with_ends(hint, ends_before(op, nodes, wrong, inputs)) for op, hint in wrong.items()}
        listed = [f"{op} ({counts[op]}×: {hint})" for op, hint in sorted(advised.items())]
        raise FormatError(f"the network uses operators that are not read: {'; '.join(listed)}")
    for op in {node.op for node in _inside(nodes)} - versions.keys():
        _look_up(op, opset, ml_opset, versions, wrong)
    return dict.fromkeys(wrong, 0) | versions


def _inside(nodes: Sequence[OpNode]) -> Iterator[OpNode]:
    for node in nodes:
        for branch in node.attributes.values():
            if isinstance(branch, Branch):
                yield from branch.nodes
                yield from _inside(branch.nodes)


def _look_up(op: str, opset: int, ml_opset: int, versions: dict[str, int], wrong: dict[str, str]) -> None:
    from onnx import defs

    is_standard = not op.startswith(f"{ML_DOMAIN}.")
    schema = (op, opset) if is_standard else (op[len(ML_DOMAIN) + 1 :], ml_opset, ML_DOMAIN)
    try:
        version = int(defs.get_schema(*schema).since_version)
    except defs.SchemaError:
        wrong[op] = FOREIGN if "." in op and is_standard else f"ONNX has no such operator in version {schema[1]}"
        return
    if (op, version) in OPERATORS or op in FOLDED or op == "If":
        versions[op] = version
    else:
        newer = any(known == op for known, _ in OPERATORS)
        wrong[op] = f"its schema of version {version} is not known yet" if newer else hint_of(op)


def hint_of(op: str) -> str:
    """The advice for an operator that is not read."""
    return HINTS.get(op, FOREIGN if "." in op and not op.startswith(ML_DOMAIN) else OTHERS)
