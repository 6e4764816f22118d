"""Outputs of a file that are scores, which a model computes, and labels of classes that are picked by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....errors import FormatError, unknown
from .onnx_graph import OnnxGraph, OpNode
from .reader import ML_DOMAIN

#: Operators that pick places.
PICKS = frozenset({"ArgMax", "ArgMin", "TopK"})
#: Operators of which the first output is the class that was chosen, and the second the scores.
CLASSIFIERS = frozenset(f"{ML_DOMAIN}.{op}" for op in ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"))
#: Operators behind which a label is still one.
KEEPS = frozenset(
    (
        *("Cast", "Flatten", "Gather", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"),
        *(f"{ML_DOMAIN}.{op}" for op in ("ArrayFeatureExtractor", "LabelEncoder")),
    )
)
#: Scores as a list of mappings from class to score: the network's own scores are what it reads.
ZIPPED = f"{ML_DOMAIN}.ZipMap"


def scores_of(name: str, makers: Mapping[str, OpNode]) -> str:
    """The scores behind an output: itself, or what a ZipMap lists by class.

    Parameters
    ----------
    name : of the output
    makers : the node that computes each value
    """
    while name in makers and makers[name].op == ZIPPED and makers[name].inputs:
        name = makers[name].inputs[0]
    return name


def label_source(name: str, makers: Mapping[str, OpNode]) -> str | None:
    """The scores that a label was picked from; None where an output is no label.

    Parameters
    ----------
    name : of the output
    makers : the node that computes each value
    """
    visited: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        node = makers.get(current)
        if node is None or current in visited:
            continue
        visited.add(current)
        if node.op in PICKS and node.inputs:
            return node.inputs[0]
        if node.op in CLASSIFIERS and current == node.outputs[0]:
            return node.outputs[1] if len(node.outputs) > 1 else ""
        if node.op in KEEPS:
            waiting += [read for read in node.inputs if read]
    return None


class UnknownOutputError(FormatError):
    """The file has no value and no node of a name that the model is to end with."""


def select_outputs(graph: OnnxGraph, outputs: str | Sequence[str] | None) -> tuple[str, ...]:
    """The values that the model computes; ArgMax and TopK give labels, of which the scores behind them are explained.

    Parameters
    ----------
    outputs : names of values or nodes; None: the file's outputs that are scores, or else what its labels are picked from

    Raises
    ------
    UnknownOutputError
        Where the file has no value and no node of a name.
    FormatError
        Where names repeat, or an output of the file is computed by no node.
    """
    makers = makers_of(graph)
    if outputs is not None:
        return _named_values(graph, (outputs,) if isinstance(outputs, str) else tuple(outputs), makers)
    for name in graph.outputs:
        if name not in makers:
            raise FormatError(f"the output {name!r} is computed by no node")
    labels = {name: label_source(name, makers) for name in graph.outputs}
    scores = [scores_of(name, makers) for name, source in labels.items() if source is None]
    if not scores:
        scores = [scores_of(source, makers) for source in labels.values() if source is not None]
        if any(name not in makers for name in scores):
            raise FormatError("the outputs are indices picked from an input or a constant")
    return tuple(dict.fromkeys(scores))


def makers_of(graph: OnnxGraph) -> dict[str, OpNode]:
    """The node that computes each value."""
    return {name: node for node in graph.nodes for name in node.outputs if name}


def _named_values(graph: OnnxGraph, names: tuple[str, ...], makers: Mapping[str, OpNode]) -> tuple[str, ...]:
    """Values by their names or by those of the nodes whose first output they are."""
    by_node = {node.name: next(name for name in node.outputs if name) for node in graph.nodes if any(node.outputs)}
    values = tuple(name if name in makers else by_node.get(name, name) for name in names)
    for name in values:
        if name not in makers:
            raise UnknownOutputError(str(unknown("output", name, makers)))
    if len(set(values)) != len(values) or not values:
        raise FormatError(f"outputs must be different names, found {values}")
    return values


def pick_remarks(graph: OnnxGraph, outputs: str | Sequence[str] | None, scores: Sequence[str]) -> tuple[str, ...]:
    """The remark that a file ends in labels, and the model in the scores that they are picked from; none elsewhere.

    Parameters
    ----------
    outputs : what the user chose
    scores : the values that the model computes
    """
    makers = makers_of(graph)
    if outputs is not None or any(label_source(name, makers) is None for name in graph.outputs):
        return ()
    labels, sources = (", ".join(map(repr, names)) for names in (graph.outputs, scores))
    return (f"the file ends in {labels}, picked from {sources}: explained are the scores, and a target is one of their indices",)
