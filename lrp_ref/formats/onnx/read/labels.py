"""Which outputs of a file are scores, and which are names of classes that were picked by them."""

from __future__ import annotations

from collections.abc import Mapping

from .reader import ML_DOMAIN, OpNode

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
    """The scores that an output is, or that it lists by class."""
    while name in makers and makers[name].op == ZIPPED and makers[name].inputs:
        name = makers[name].inputs[0]
    return name


def label_source(name: str, makers: Mapping[str, OpNode]) -> str | None:
    """The scores that a label was picked by; None where an output is no label."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        node = makers.get(current)
        if node is None or current in seen:
            continue
        seen.add(current)
        if node.op in PICKS and node.inputs:
            return node.inputs[0]
        if node.op in CLASSIFIERS and current == node.outputs[0]:
            return node.outputs[1] if len(node.outputs) > 1 else ""
        if node.op in KEEPS:
            waiting += [read for read in node.inputs if read]
    return None
